/** What has to be answered before a rollback may be closed, so that it can be said before anybody is refused. Whose word closes it is judged elsewhere. */
import type { Desk, DeskStep } from './answers.ts';
import { no, type No } from './authority.ts';
import { changes } from './policy.ts';
import { PASSED } from './state.ts';

/** What stands in the way of the end, each with the steps that are to be answered. */
export interface Open {
  /** The time target was missed, and nobody has said why. */
  readonly finding: readonly DeskStep[];
  /** No generation of it works. */
  readonly none: readonly DeskStep[];
  /** Two generations are alive. */
  readonly alive: readonly DeskStep[];
  /** Rows of the cleanup checklist. */
  readonly rows: readonly DeskStep[];
}

export function openBefore(desk: Desk): Open {
  return {
    finding: desk.steps.filter((step) => step.id === 'investigation' && step.state !== 'confirmed'),
    none: desk.steps.filter((step) => step.operation === 'install' && isNoneLeft(desk, step.subject ?? '')),
    alive: desk.steps.filter((step) => step.operation === 'revoke' && !PASSED.has(step.state) && isIssued(desk, step.subject ?? '')),
    // Once anything was changed, the cleanup is answered for, however it ends [001 Step 3 Checklist].
    rows: hasChanged(desk) ? desk.steps.filter((step) => step.id.startsWith('cleanup.') && step.state !== 'confirmed' && !desk.kept.has(step.id)) : [],
  };
}

export function judgeEnd(desk: Desk): No {
  const { finding, none, alive, rows } = openBefore(desk);
  if (finding.length > 0) return no('finding', 'the time target was missed; confirm the step investigation with its finding before closing');
  if (none.length > 0) return no('credential-open', `no generation is alive of ${subjects(none)}: ${goOn(none)}`);
  if (alive.length > 0) return no('credential-open', `two generations are alive of ${subjects(alive)}: ${goOn(alive)}`);
  if (rows.length === 0) return null;
  return no(
    'mandatory-row',
    `the cleanup checklist is not answered: ${rows.map((step) => `${step.id} (${step.owner ?? ''})`).join(', ')}; confirm each row, it is kept until then`,
  );
}

const subjects = (steps: readonly DeskStep[]): string => steps.map((step) => step.subject ?? '').join(', ');
const goOn = (steps: readonly DeskStep[]): string =>
  `go on with ${steps.map((step) => step.id).join(', ')}, or the ${steps[0]?.owner ?? ''} decides to skip it, with a due date`;

/** Revoked first, and no other one is in place: nothing would be left that works. */
const isNoneLeft = ({ steps }: Desk, credential: string): boolean => {
  const of = (operation: string): DeskStep | undefined => steps.find((step) => step.subject === credential && step.operation === operation);
  const [revoked, installed] = [of('revoke')?.state, of('install')?.state];
  return (revoked === 'done' || revoked === 'already') && installed !== undefined && !PASSED.has(installed);
};

const isIssued = ({ steps }: Desk, credential: string): boolean =>
  steps.some(
    (step) =>
      step.subject === credential && (step.operation === 'issue' || step.operation === 'install') && (step.state === 'done' || step.state === 'already'),
  );

/** Has anything been changed but the freeze? */
const hasChanged = (desk: Desk): boolean => desk.steps.some((step) => changes(step.effect) && step.operation !== 'freeze' && step.state !== 'pending');
