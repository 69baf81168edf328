/** The four conditions of the controlled unfreeze [001 step 5], each met or not, and by what. Pure readings of the steps and the answers. */
import type { Operation, PlannedStep } from './plan.ts';
import { changes } from './policy.ts';
import { PASSED, type Answer, type Condition, type StepState } from './state.ts';

export interface ConditionStep extends PlannedStep {
  readonly state: StepState;
}

const LEAVABLE: ReadonlySet<Operation> = new Set(['restore', 'rebuild', 'annotate']);

const isDone = (step: ConditionStep): boolean => step.state === 'done' || step.state === 'already';

/** Was it left out by somebody's decision? Else there was nothing to do or to check, which is said as a warning. */
export const isSignedOff = (answers: readonly Answer[], id: string): boolean =>
  answers.findLast((one) => one.name === 'decide' && one.step === id)?.['action'] === 'skip';

/** What was left out by a decision, keeps the target from being stable, and is not decided about again: this rollback lifts no freeze any more. */
export const deadEnds = <S extends ConditionStep>(steps: readonly S[], answers: readonly Answer[]): S[] =>
  stabilityOf(steps, answers).unstable.filter((step) => step.state === 'skipped');

function stabilityOf<S extends ConditionStep>(steps: readonly S[], answers: readonly Answer[]): Record<'done' | 'needless' | 'signed' | 'unstable', S[]> {
  const changing = steps.filter(({ operation, effect }) => operation === 'stability' || (operation !== null && changes(effect) && effect !== 'freeze'));
  const needless = changing.filter((step) => step.operation !== 'deploy' && step.state === 'skipped' && !isSignedOff(answers, step.id));
  // Rows, derived tables and marks that are signed for as left do not keep a target from being stable.
  const signed = changing.filter(
    ({ operation, state, id }) => operation !== null && LEAVABLE.has(operation) && state === 'skipped' && isSignedOff(answers, id),
  );
  const unstable = changing.filter((step) => !isDone(step) && !needless.includes(step) && !signed.includes(step));
  return { done: changing.filter(isDone), needless, signed, unstable };
}

export function unfreezeConditions(steps: readonly ConditionStep[], answers: readonly Answer[]): Condition[] {
  const said = (name: string, id: string): Answer | undefined => answers.findLast((one) => one.name === name && one.step === id);
  const { done, needless, signed, unstable } = stabilityOf(steps, answers);
  const checks = steps.filter((step) => step.mode === 'gate' && step.operation !== 'stability');
  const rows = steps.filter((step) => step.id.startsWith('cleanup.'));
  const open = [...checks.filter((step) => !PASSED.has(step.state)), ...rows.filter((step) => step.state !== 'confirmed')];
  const skipped = checks.filter((step) => step.state === 'skipped');
  const accepted = skipped.filter((step) => isSignedOff(answers, step.id));
  // Of a credential that was signed as not exposed there is nothing to be checked.
  const unchecked = skipped.filter((step) => !accepted.includes(step) && !step.only);
  const owner = steps.find((step) => step.id === 'ownership');
  const words = steps.filter((step) => step.operation === 'communicate' && step.subject !== 'recovery');
  // An update that is not due yet is pending; the declaration is owed from the first moment on.
  const unsent = words.filter((step) => !PASSED.has(step.state) && !(step.subject === 'update' && step.state === 'pending'));
  const names = (list: readonly ConditionStep[]): string => list.map((step) => `${step.id} is ${step.state}`).join(', ');
  return [
    {
      condition: 'rollback target is stable',
      met: unstable.length === 0,
      by:
        unstable.length > 0
          ? names(unstable)
          : [
              `${done.map((step) => step.id).join(', ')} are done`,
              ...needless.flatMap((step) => (step.only ? [] : [`nothing was recorded for ${step.id}`])),
              ...signed.map((step) => `${step.id} was signed for as left`),
            ].join('; '),
    },
    {
      condition: 'critical checks pass or accepted risk is signed off',
      met: open.length === 0,
      by:
        open.length > 0
          ? names(open)
          : [
              `${checks.length - skipped.length} checks passed, ${rows.length} cleanup rows signed`,
              ...accepted.map((step) => `${step.id} signed off by ${said('decide', step.id)?.by ?? '?'}`),
              ...unchecked.map((step) => `nothing was checked by ${step.id}`),
            ].join('; '),
    },
    {
      condition: 'ownership is re-established for next-cycle work',
      met: owner?.state === 'confirmed',
      by: owner?.state === 'confirmed' ? `confirmed by ${said('confirm', 'ownership')?.by ?? '?'}` : `ownership is ${owner?.state ?? 'not planned'}`,
    },
    {
      condition: 'communication updates are sent',
      met: unsent.length === 0,
      by: unsent.length === 0 ? `${words.map((step) => step.id).join(', ')}: nothing is overdue` : names(unsent),
    },
  ];
}
