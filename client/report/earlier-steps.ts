/** Steps of a smaller plan that the record's last one has no more: what was undone at level 2 is not planned again at level 3, and was done all the same. */
import { POLICIES } from '../../model/policy.ts';
import { whole, type Plan, type PlanStep } from '../../model/plan.ts';
import type { RecordEntry } from '../../model/record.ts';
import type { Failure, Receipt, RollbackState, StepState, StepView } from '../../model/state.ts';

/** The workflow's own state has them. */
export function withEarlierSteps(state: RollbackState, entries: readonly RecordEntry[]): RollbackState {
  if (POLICIES[state.kind].level === null) return state;
  const steps = [...state.steps];
  // The newest first: what was counted anew stands there.
  for (const plan of plansIn(entries).toReversed()) {
    for (const [at, planned] of plan.steps.entries()) {
      if (planned.place === undefined || steps.some((one) => one.id === planned.id)) continue;
      const view = viewOf(planned, entries);
      if (!view) continue;
      const before = plan.steps.slice(0, at).findLast((one) => steps.some((step) => step.id === one.id));
      steps.splice(before ? steps.findIndex((step) => step.id === before.id) + 1 : 0, 0, view);
    }
  }
  return steps.length === state.steps.length ? state : { ...state, steps };
}

const plansIn = (entries: readonly RecordEntry[]): Plan[] =>
  entries.flatMap((entry) => (typeof entry['plan'] === 'object' && entry['plan'] !== null ? [entry['plan'] as Plan] : [])); // Written by whoever plans.

/** As runStep recorded it. */
type StepEntry = RecordEntry & {
  readonly state: StepState;
  readonly attempts?: number;
  readonly startedAt?: string;
  readonly receipt?: Receipt | null;
  readonly failure?: Failure | null;
};

/** Null: it was never run. */
function viewOf(planned: PlanStep, entries: readonly RecordEntry[]): StepView | null {
  const runs = entries.filter((entry): entry is StepEntry => entry.type === 'step' && entry['step'] === planned.id);
  const last = runs.at(-1);
  if (!last) return null;
  return {
    ...whole(planned),
    state: last.state,
    attempts: runs.reduce((sum, one) => sum + (one.attempts ?? 0), 0),
    startedAt: last.startedAt ?? null,
    endedAt: last.at,
    receipt: last.receipt ?? null,
    failure: last.failure ?? null,
  };
}
