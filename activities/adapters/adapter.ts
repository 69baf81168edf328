/**
 * The port every platform stands behind. One file per platform, one line in `registry.ts`, one contract test; each sentence
 * here is a rule of that test. Shared code asks for capabilities declared here, never for a platform's name.
 */
import type { z } from 'zod';
import type { Receipt } from '../../model/state.ts';

/** How an attempt that wakes late is kept from acting, and what window remains [product.md 3]. */
export interface Fence {
  readonly by: 'conditional-write' | 'operation-id' | 'lease';
  /** What remains possible, in one sentence an operator understands. */
  readonly window: string;
}

export interface AdapterCall<Options> {
  readonly environment: string;
  readonly component: string;
  readonly options: Options;
  /** Folder of `backout.yaml`; relative paths in options start here. */
  readonly folder: string;
  /** The version to go to. */
  readonly to: string;
  /** The paths of the component's health checks, e.g. `/healthz`; a platform that starts processes asks them before it moves traffic. */
  readonly healthPaths: readonly string[];
  /** `rollbackId/step/generation`: stable over attempts, resets and successors. A call found under it is never made again. */
  readonly operationId: string;
  /** 1 for the first attempt of this activity execution by the engine; more means an earlier one may have acted. */
  readonly attempt: number;
  /** Aborted when the activity is cancelled or the worker shuts down. Never by the deadline: nothing is killed half-way. */
  readonly signal: AbortSignal;
  /** Says "still alive", with a word for the watcher. Call it at least every second while waiting. */
  readonly heartbeat: (progress: string) => void;
  /** Resolves `env:NAME` and `file:PATH`; throws an AdapterError `configuration` where there is none. Never put the value into anything returned or thrown. */
  readonly secret: (reference: string) => Promise<string>;
  /** The version the component's own `served` check reads right now; null where it has none or cannot say. */
  readonly served: () => Promise<string | null>;
}

/** What the platform shows. Observing changes nothing. */
export interface Observation {
  /** The version in place; null: the platform cannot say. */
  readonly current: string | null;
  /** Is the target there to go back to? `unknown` where the platform does not tell beforehand. */
  readonly targetPresent: boolean | 'unknown';
  /** The operation that put `current` there, where the platform keeps it: tells `done` from `already` after a crash. */
  readonly operationId: string | null;
  /** Parts that disagree (domains, instances): named, so that a half-moved component is never reported as either. */
  readonly parts: readonly { readonly name: string; readonly version: string | null }[];
  /** Versions the platform could go to, newest first, as far as it tells. */
  readonly versions: readonly string[];
  /** Ids and facts for the receipt: no secrets. */
  readonly facts: Readonly<Record<string, string | number | boolean | null>>;
}

export interface Adapter<Options = unknown> {
  /** As users write it in `backout.yaml`. */
  readonly name: string;
  /** Strict: an unknown option is an error that names its place. */
  readonly options: z.ZodType<Options>;
  readonly fence: Fence;
  /** Does it execute through a CI/CD system of its own? Otherwise the worker is the executor [002 section 6]. */
  readonly executesInCi: boolean;
  /** What this platform cannot guarantee, shown in plan and doctor. */
  readonly limits: readonly string[];
  inspect(call: AdapterCall<Options>): Promise<Observation>;
  /**
   * Puts `to` in place, once. The caller has inspected and found it missing. Called again with the same `operationId` after a crash, it must find what its earlier
   * call did and go on from there. Resolves only when the platform says it is finished.
   */
  apply(call: AdapterCall<Options>): Promise<Receipt>;
  /** An independent reading after `apply`, never the echo of the write. */
  verify(call: AdapterCall<Options>): Promise<Observation>;
  /** Files and folders of `to`, where its platform lets the worker read them: looked through for revoked credentials before it is restored. */
  files?(call: AdapterCall<Options>): Promise<readonly string[]>;
  /** The same by hand, filled in, one shell command a line: for `now --print` when Backout is down. */
  manual(call: Pick<AdapterCall<Options>, 'environment' | 'component' | 'options' | 'folder' | 'to'>): string[];
}

/**
 * What an adapter throws, and nothing else:
 * `unavailable`, `rate-limited`: transient, retried · `unauthorized`, `not-found`, `conflict`, `configuration`, `unexpected-response`: a person must act ·
 * `failed`: the platform said it did not work, and what is in place is as it was or named in the message ·
 * `unknown`: the platform has not said what became of a call; only a fresh inspection may tell ·
 * `superseded`: another attempt has taken over; this one did nothing more ·
 * `protected`: what was to be changed is a template, a demo instance or somebody else's; nothing was changed.
 */
export const ADAPTER_ERROR_KINDS = [
  'unavailable',
  'rate-limited',
  'unauthorized',
  'not-found',
  'conflict',
  'configuration',
  'unexpected-response',
  'failed',
  'unknown',
  'superseded',
  'protected',
] as const;
export type AdapterErrorKind = (typeof ADAPTER_ERROR_KINDS)[number];

export class AdapterError extends Error {
  override readonly name = 'AdapterError';
  readonly kind: AdapterErrorKind;
  /** What the platform asked us to wait, in ms. */
  readonly retryAfterMs: number | undefined;
  constructor(kind: AdapterErrorKind, message: string, options: { cause?: unknown; retryAfterMs?: number } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : {});
    this.kind = kind;
    this.retryAfterMs = options.retryAfterMs;
  }
}
