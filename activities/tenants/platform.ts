/**
 * The port of a platform that has artifacts of tenants [000 Rollback Scope]. One file per platform, one line in `registry.ts`, one contract test; each
 * sentence here is a rule of that test. Throws an AdapterError and nothing else; a secret is in nothing that is returned or thrown.
 */
import type { z } from 'zod';
import type { Receipt } from '../../model/state.ts';
import type { Artifact, ArtifactType } from '../../model/tenant.ts';
import type { AdapterCall, Fence } from '../adapters/adapter.ts';

export interface PlatformCall<Options> extends Pick<AdapterCall<Options>, 'environment' | 'options' | 'folder' | 'signal' | 'heartbeat' | 'secret'> {
  readonly tenant: string;
}

export interface ArtifactCall<Options> extends PlatformCall<Options>, Pick<AdapterCall<Options>, 'operationId' | 'attempt'> {
  readonly artifact: Artifact;
  /** Everything that the tenant's Canonical Objects list: what may be found in use beside the artifact without being anybody else's. */
  readonly listed: readonly Artifact[];
}

/**
 * `present`: it is there and at work. `inactive`: it is there and does nothing. `absent`: the platform says that there is none.
 * `unknown`: this platform, or this configuration of it, cannot tell; `detail` says why.
 */
export type Presence = 'present' | 'inactive' | 'absent' | 'unknown';

export interface Sighting {
  readonly presence: Presence;
  /** Why it may never be touched: a template, a demo instance, another tenant's, or not marked as this tenant's. Null: it is this tenant's alone. */
  readonly guarded: string | null;
  /** One sentence an operator understands, ids and times included. */
  readonly detail: string;
  /** For the receipt: no secrets. */
  readonly facts: Readonly<Record<string, string | number | boolean | null>>;
}

export interface TenantPlatform<Options = unknown> {
  /** As users write it in `backout.yaml`. */
  readonly name: string;
  readonly types: readonly ArtifactType[];
  /** Strict: an unknown option is an error that names its place. */
  readonly options: z.ZodType<Options>;
  readonly limits: readonly string[];
  /** What Backout can do here by a person's choice, by type. A type without an entry is a person's to act on: there is no authority. */
  readonly actions: Partial<Readonly<Record<ArtifactType, { readonly choices: readonly string[]; readonly fence: Fence }>>>;
  /** Looks. Changes nothing and runs nothing of the tenant's. Throws `configuration` for a type that is not in `types`. */
  inspect(call: ArtifactCall<Options>): Promise<Sighting>;
  /**
   * The same for many at once, in their order, from as few calls as the platform allows; what a listing shows at work need not be looked at one by one.
   * A platform without it is asked for each.
   */
  survey?(call: PlatformCall<Options> & Pick<ArtifactCall<Options>, 'listed'>, artifacts: readonly Artifact[]): Promise<readonly Sighting[]>;
  /** Everything that carries this very tenant's mark; empty where the platform has no marks. */
  marked(call: PlatformCall<Options>): Promise<readonly Artifact[]>;
  /** A fingerprint of each template and demo instance, by id: compared before and after. Empty where there are none. */
  protected(call: PlatformCall<Options>): Promise<Readonly<Record<string, string>>>;
  /**
   * Does what was chosen, and proves it by reading again. Looks again at whose it is just before each write, and throws `protected` where it is not this
   * tenant's. Called again after a crash it finds what was done and does only what is left. Throws `not-found` where there was nothing to act on,
   * and `configuration`, before the platform is asked, for a type or a choice that `actions` does not have.
   */
  apply(call: ArtifactCall<Options>, choice: string): Promise<Receipt>;
  /** The same by hand: a link, a command, one line each; no secret in it. */
  manual(call: Pick<ArtifactCall<Options>, 'artifact' | 'tenant' | 'options' | 'folder'>, choice: string | null): string[];
}
