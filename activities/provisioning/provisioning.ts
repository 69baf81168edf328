/**
 * The port of the provisioning store: requests, Canonical Objects and the error_log [000], which belong to the agent that provisions tenants.
 * One file per store, one line in `registry.ts`, one contract test; each sentence here is a rule of that test. Throws an AdapterError and nothing else.
 */
import type { z } from 'zod';
import type { Artifact, LogEntry, ProvisioningRequest, Removed } from '../../model/tenant.ts';
import type { AdapterCall } from '../adapters/adapter.ts';

export interface ProvisioningCall<Options> extends Pick<AdapterCall<Options>, 'environment' | 'options' | 'folder' | 'signal' | 'secret'> {
  readonly tenant: string;
}

/** A change to the requests that one rollback takes back. */
export interface RequestCall<Options> extends ProvisioningCall<Options> {
  /**
   * Their ids; all of the same tenant. A request of another tenant or environment among them is `protected`, one that is not there `not-found`, and nothing is
   * changed.
   */
  readonly requests: readonly string[];
  readonly rollbackId: string;
  /** `rollbackId/step/generation`: what was done under it, to the same requests and the same artifact, is not done again. */
  readonly operationId: string;
  /** Who confirmed it. */
  readonly by: string;
  /** ISO time. */
  readonly at: string;
}

/** `already`: it was so before, and nothing was written. */
export interface Changed {
  readonly already: boolean;
}

export interface ProvisioningStore<Options = unknown> {
  /** As users write it in `backout.yaml`. */
  readonly name: string;
  readonly options: z.ZodType<Options>;
  readonly limits: readonly string[];
  /** Every request of this very tenant in this environment, oldest first; none where it is not known. Changes nothing. */
  requests(call: ProvisioningCall<Options>): Promise<readonly ProvisioningRequest[]>;
  /**
   * Who else in this environment lists these artifacts: requests of other tenants, whatever their status, and requests of this tenant beside `except` that are
   * not ROLLED_BACK. In the order asked. Changes nothing.
   */
  alsoListed(
    call: ProvisioningCall<Options>,
    artifacts: readonly Artifact[],
    except: readonly string[],
  ): Promise<readonly { readonly artifact: Artifact; readonly tenant: string; readonly requestId: string }[]>;
  /**
   * COMPLETED or FAILED to ROLLBACK_IN_PROGRESS, all or none. One that is in it by an earlier rollback goes on under this one; one that is ROLLED_BACK is a
   * `conflict`. A cleanup that was confirmed before has to be confirmed anew.
   */
  begin(call: RequestCall<Options>): Promise<Changed>;
  /**
   * Takes an artifact out of the tenant's configuration and keeps it under `removed`, as it was listed, in every one of the requests that lists it; where none
   * does it is `already`. This and what follows is a `conflict` where such a request is neither ROLLBACK_IN_PROGRESS nor FAILED under this rollback.
   */
  release(call: RequestCall<Options>, artifact: Artifact, how: Removed['how']): Promise<Changed>;
  /** ROLLBACK_IN_PROGRESS to FAILED, and the entry into the error_log, in one transaction. Of requests that are FAILED already only the entry is written. */
  fail(call: RequestCall<Options>, entry: LogEntry): Promise<Changed>;
  /** That what a failed rollback left was cleaned up by hand. Only of requests that are FAILED under this rollback. */
  confirmCleanup(call: RequestCall<Options>): Promise<Changed>;
  /**
   * The end, in one transaction: `deprovisioned` with who and when, then ROLLED_BACK, then the entry into the error_log. A `conflict` where a request is
   * FAILED and its cleanup is not confirmed, or where its Canonical Object still lists an artifact that is not in `left`.
   */
  complete(call: RequestCall<Options>, entry: LogEntry, left: readonly Artifact[]): Promise<Changed>;
  /** The error_log of this tenant, oldest first. */
  log(call: ProvisioningCall<Options>): Promise<readonly LogEntry[]>;
}
