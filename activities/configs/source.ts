/**
 * The port of whoever keeps a component's configuration: an environment file, a platform's variables [001 step 3b]. One file per
 * platform, one line in `registry.ts`, one contract test.
 */
import type { z } from 'zod';
import type { Receipt } from '../../model/state.ts';
import type { AdapterCall } from '../adapters/adapter.ts';

export interface ConfigCall<Options> extends Pick<
  AdapterCall<Options>,
  'environment' | 'component' | 'options' | 'folder' | 'operationId' | 'signal' | 'heartbeat' | 'secret'
> {}

/** A key as it may be shown: a secret only ever by fingerprint. Null: the key is not there. */
export interface ConfigKey {
  readonly key: string;
  /** The value itself where the configuration says it is no secret, else `fingerprint:` and what cannot be turned back. */
  readonly now: string | null;
  readonly then: string | null;
}

/** A key of a file that a credential, or the address of a database, is held in. */
export interface HeldKey {
  /** Behind all links. */
  readonly path: string;
  readonly key: string;
}

/** What was recorded of a known good configuration. The values themselves stay with the source, where they lie. */
export interface ConfigMark {
  /** The source's own name for what it kept. */
  readonly id: string;
  /** Key to shown value. */
  readonly keys: Readonly<Record<string, string>>;
}

export interface ConfigSource<Options = unknown> {
  /** As users write it in `backout.yaml`. */
  readonly name: string;
  readonly options: z.ZodType<Options>;
  readonly limits: readonly string[];
  /** Keeps the values as they are now, beside the source and readable by the worker alone; the same values give the same id. */
  record(call: ConfigCall<Options>): Promise<ConfigMark>;
  /** Now against what was recorded, every key of either, sorted. Throws `not-found` where what was kept is gone. Changes nothing. */
  compare(call: ConfigCall<Options>, mark: ConfigMark): Promise<readonly ConfigKey[]>;
  /** Sets every drifted key back to its recorded value, all or none; a write that somebody else made meanwhile is a `conflict`. The receipt names keys, never secrets. Called again it finds nothing left to do. */
  apply(call: ConfigCall<Options>, mark: ConfigMark): Promise<Receipt>;
  /** The options with which these keys are neither recorded, compared nor set back: credentials and addresses have a way of their own. */
  without?(call: Pick<ConfigCall<Options>, 'options' | 'folder'>, held: readonly HeldKey[]): Options;
  /** The values that `apply` would set, by key: for a comparison within the worker, and nowhere else. */
  recorded?(call: ConfigCall<Options>, mark: ConfigMark): Promise<ReadonlyMap<string, string>>;
  /** The same by hand, one shell command a line; no secret in it. */
  manual(call: Pick<ConfigCall<Options>, 'component' | 'options' | 'folder'>, mark: ConfigMark): string[];
}
