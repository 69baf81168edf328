/** What the opening activity tells the workflow besides the plan. */
import type { People } from './roles.ts';
import type { Refusal } from './refusal.ts';
import type { Answer, Failure, Receipt, StepState } from './state.ts';

/** The worker's configuration as far as the workflow decides by it; no secrets. */
export interface Settings {
  readonly people: People | null;
  readonly remindAfterSeconds: number;
  readonly handOverAfterSeconds: number;
  readonly handOverTo: string;
  /** How often stakeholders are told, in seconds; only where an incident is rolled back. */
  readonly updateEverySeconds?: number;
}

/** What an earlier run of the same rollback left in the record: after a terminate, or a reset to the start. */
export interface Carried {
  readonly machineMs: number;
  readonly humanMs: number;
  readonly breached: boolean;
  /** When the rollback was started first; absent in histories recorded before it was carried. */
  readonly openedAt?: string;
  /** Who started it first; he stays the starter for four eyes. */
  readonly starter: string;
  readonly answers: readonly Answer[];
  readonly refusals: readonly Refusal[];
  /** Answers and refusals that only the lost run's history had: they still belong into the record. */
  readonly unrecorded: { readonly answers: readonly Answer[]; readonly refusals: readonly Refusal[] };
  readonly warnings: readonly string[];
  /** When what was said of a step became void last, ISO; absent where nothing did. */
  readonly voided?: Readonly<Record<string, string>>;
  readonly steps: readonly {
    readonly id: string;
    readonly progress: {
      readonly state: StepState;
      readonly generation: number;
      readonly attempts: number;
      readonly startedAt: string | null;
      readonly endedAt: string | null;
      readonly receipt: Receipt | null;
      readonly failure: Failure | null;
      readonly mayHaveActed: boolean;
    };
  }[];
}
