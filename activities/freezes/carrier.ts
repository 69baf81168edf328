/**
 * The port of whoever carries a freeze to a platform: its branch rules, its deployment permissions. The register in Postgres is what
 * holds; a carrier makes a platform hold it too. One file per platform, one line in `registry.ts`, one contract test.
 */
import type { z } from 'zod';
import type { FreezeScope } from '../../model/freeze.ts';
import type { Receipt } from '../../model/state.ts';
import type { AdapterCall } from '../adapters/adapter.ts';

export interface FreezeCall<Options> extends Pick<
  AdapterCall<Options>,
  'environment' | 'options' | 'folder' | 'operationId' | 'signal' | 'heartbeat' | 'secret'
> {
  /** The carrier's name in `backout.yaml`. */
  readonly name: string;
  readonly incident: string;
  /** The scopes to set, or to lift; those the carrier does not carry are left alone. */
  readonly scopes: readonly FreezeScope[];
  /** What `set` left behind, as its receipt says: for `lift`, which puts back what was there. Null where nobody knows. */
  readonly before: unknown;
}

/** One thing on the platform that holds the freeze: a ruleset, a workflow, an environment's reviewers. */
export interface FreezePart {
  readonly name: string;
  readonly scope: FreezeScope;
  readonly frozen: boolean;
  /** What the platform shows of it, for the receipt; no secrets. */
  readonly detail: string;
}

export interface FreezeCarrier<Options = unknown> {
  /** As users write it in `backout.yaml`. */
  readonly name: string;
  readonly options: z.ZodType<Options>;
  /** What it cannot guarantee, shown in plan and doctor. */
  readonly limits: readonly string[];
  /** Reads every part it carries for these scopes; changes nothing. */
  inspect(call: FreezeCall<Options>): Promise<readonly FreezePart[]>;
  /** Freezes what `inspect` finds unfrozen, and nothing else; `before` in the receipt is what `lift` needs to put it back. Safe to call again. */
  set(call: FreezeCall<Options>): Promise<Receipt>;
  /** Puts back what was there before, where the part is still as `set` left it. Safe to call again. */
  lift(call: FreezeCall<Options>): Promise<Receipt>;
  /** The same by hand, one shell command a line. */
  manual(call: Pick<FreezeCall<Options>, 'environment' | 'name' | 'options' | 'scopes'>, action: 'set' | 'lift'): string[];
}
