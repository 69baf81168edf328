/**
 * The port of a customer's evidence: an append-only, hash-chained list that is preserved, annotated and verified, never rewritten [001 step 3d]. One file
 * per kind, one line in `registry.ts`, one contract test; each sentence here is a rule of that test. Throws an AdapterError and nothing else; what an entry
 * says is in nothing that is returned or thrown.
 */
import type { z } from 'zod';
import type { Receipt } from '../../model/state.ts';
import type { AdapterCall } from '../adapters/adapter.ts';
import type { Window } from '../../model/plan.ts';

export interface ChainCall<Options> extends Pick<
  AdapterCall<Options>,
  'environment' | 'options' | 'folder' | 'operationId' | 'attempt' | 'signal' | 'heartbeat' | 'secret'
> {
  /** As `backout.yaml` names it. */
  readonly name: string;
}

/** Where the chain does not hold. */
export interface Break {
  /** The order value of the entry. */
  readonly at: string;
  readonly kind: 'gap' | 'link' | 'hash' | 'order';
  /** One sentence, no content. */
  readonly detail: string;
}

/** The chain as it was read from its beginning. */
export interface Survey {
  readonly entries: number;
  /** Order value and hash of the last entry; null: it is empty. */
  readonly last: string | null;
  readonly head: string | null;
  /** SHA-256 over all that is stored of every entry, in order up to `last`: what was there before is recognised by it, whether the chain covers it or not. */
  readonly digest: string;
  /** The first ones, twenty at most, and how many there are in all. */
  readonly breaks: readonly Break[];
  readonly broken: number;
  /** What could let it be forked or rewritten unseen, as the platform itself shows it. */
  readonly warnings: readonly string[];
}

/** What an annotation says, beside the operation it comes from. */
export interface Annotation {
  readonly incident: string;
  readonly rollbackId: string;
  readonly by: string;
  readonly at: string;
  /** The span in which runs and entries are affected. */
  readonly window: Window;
}

export interface EvidenceChain<Options = unknown> {
  /** As users write it in `backout.yaml`. */
  readonly name: string;
  /** Strict: an unknown option is an error that names its place. */
  readonly options: z.ZodType<Options>;
  readonly limits: readonly string[];
  /** Reads all of it in constant memory, in one snapshot, with progress. Changes nothing. `until`: only up to this order value. */
  survey(call: ChainCall<Options>, until?: string | null): Promise<Survey>;
  /**
   * Appends the annotations of what is affected in the window, linked to the chain's head in one transaction under a lock that other writers of the table wait for;
   * no entry that is there is touched. Those of this operation that are there already are found again, and not appended twice. The receipt has their
   * count, and the order values of the first and the last.
   */
  annotate(call: ChainCall<Options>, annotation: Annotation): Promise<Receipt>;
  /** How many runs or entries are affected in the window, for the plan. Changes nothing. */
  affected(call: ChainCall<Options>, window: Window): Promise<number>;
  /** The same by hand, one line each; no secret in it. */
  manual(call: Pick<ChainCall<Options>, 'name' | 'options' | 'folder'>): string[];
}
