/** What the report may not pass over in silence: whatever was left out, has failed, or is still to be done, before and after the end. */
import { changes } from '../../model/policy.ts';
import { BLOCKED, PASSED, type Remaining, type StepView } from '../../model/state.ts';
import { isUnexposed, skipOf, textIn, type Reading } from './reading.ts';

/** Does its end leave a platform, a database or a credential as it has to be? A gate of a credential tells whether it does. */
const counts = ({ effect, operation }: StepView): boolean => (changes(effect) && effect !== 'freeze' && effect !== 'tenant') || operation === 'scope';

/** As the rollback itself says at its end; until then as its steps stand. */
export function leftOf(reading: Reading): readonly Remaining[] {
  const { state, steps } = reading;
  if (state.outcome === 'refused') return state.remains;
  const said = new Set(state.remains.map((one) => one.artifact));
  const left = steps.filter((step) => counts(step) && !said.has(step.id) && (BLOCKED.has(step.state) || isLeftOut(reading, step)));
  return [...state.remains, ...left.map((step): Remaining => ({ artifact: step.id, reason: whyOf(reading, step), owner: step.owner }))];
}

/** Steps that are neither done nor failed yet: nobody can say what they will leave. */
export const stillToDo = ({ state, steps }: Reading): readonly string[] =>
  state.state === 'closed' ? [] : steps.filter((step) => counts(step) && !PASSED.has(step.state) && !BLOCKED.has(step.state)).map((step) => step.id);

/** What there was nothing to do for was not left out. */
const isLeftOut = (reading: Reading, step: StepView): boolean => step.state === 'skipped' && !isUnexposed(reading, step) && skipOf(reading, step.id) !== null;

function whyOf(reading: Reading, step: StepView): string {
  const skip = skipOf(reading, step.id);
  const due = textIn(skip, 'due');
  if (skip) return `left out by ${skip.by}${due === null ? '' : ` until ${due}`}: ${textIn(skip, 'reason') ?? 'no reason given'}`;
  return `${step.state === 'unknown' ? 'its result is unknown' : step.state}: ${step.failure?.message ?? 'no reason given'}`;
}
