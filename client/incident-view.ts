/** What only an incident rollback shows: who commands, what is frozen, now against then, and what the unfreeze still needs [001]. */
import { lossOf } from '../model/incident-data.ts';
import type { RollbackState } from '../model/state.ts';
import { paint } from './output.ts';
import { at, columns, cut, plain, wrap } from './words.ts';

interface Look {
  readonly width: number;
  readonly nowMs: number;
}

/** Lines no wider than the look; none where the rollback is of another kind. */
export function commandLines(state: RollbackState, look: Look): string[] {
  const command = state.incidentCommand;
  if (!command) return [];
  const wide = Math.min(look.width, 100);
  const { declared, frozen, nextUpdateAt, level, roles } = command;
  const head = declared
    ? `L${level} of ${state.incident ?? '?'}, declared by ${plain(declared.by)} ${at(declared.at, look.nowMs)}`
    : `L${level} of ${state.incident ?? '?'}, proposed only: nothing is touched before it is declared`;
  const commander = roles['incident-commander'] ?? [];
  const facts = [
    ...(commander.length === 0 ? [] : [`commander ${commander.map(plain).join(', ')}`]),
    frozen.length === 0 ? 'nothing is frozen' : `frozen: ${frozen.join(', ')}`,
    ...(nextUpdateAt === null ? [] : [`next update ${at(nextUpdateAt, look.nowMs)}`]),
  ];
  return [...wrap(head, wide).map((line) => paint('bold', line)), ...wrap(facts.join(' · '), wide)];
}

const isAsked = (state: RollbackState, step: string): boolean => state.waiting.some((one) => one.step === step);

/** Now against then, where the target is to be confirmed. */
export function comparisonLines(state: RollbackState, look: Look): string[] {
  if (!isAsked(state, 'target')) return [];
  const rows = state.targets.flatMap((target) => [
    [target.component, 'version', target.from ?? '?', target.to],
    ...(target.comparison ?? []).map((one) => ['', one.what, one.now ?? '–', one.then ?? '–']),
  ]);
  const wide = Math.min(look.width, 120);
  const [first, second] = [0, 1].map((column) => Math.max(...rows.map((row) => columns(row[column] ?? '')), column === 1 ? 4 : 9));
  const value = Math.max(12, Math.floor((wide - (first ?? 0) - (second ?? 0) - 8) / 2));
  const line = (row: readonly string[]): string =>
    `${(row[0] ?? '').padEnd(first ?? 0)}  ${(row[1] ?? '').padEnd(second ?? 0)}  ${cut(plain(row[2] ?? ''), value).padEnd(value)}  ${cut(plain(row[3] ?? ''), value)}`;
  return [
    paint('dim', line(['component', 'what', 'now', 'then'])),
    ...rows.map((row) => (row[2] === row[3] ? paint('dim', line(row)) : line(row))),
    paint('dim', `plan ${state.planHash ?? ''}`),
  ];
}

/** What is lost by what lies ahead, in full: the list of steps cuts its titles off. Gone once nothing of it is left to be done. */
export function lossLines(state: RollbackState, look: Look): string[] {
  const ahead = state.steps.filter((step) => (step.destroys?.length ?? 0) > 0 && (step.state === 'pending' || step.state === 'waiting'));
  if (ahead.length === 0) return [];
  const wide = Math.min(look.width, 100);
  return [
    paint('bold', 'What will be lost, each for its own approval'),
    ...ahead.flatMap((step) => wrap(`! ${step.id}: ${plain(lossOf(step.destroys ?? []))}`, wide, '  ').map((line) => paint('yellow', line))),
  ];
}

/** The four conditions of the unfreeze, once the gates have been asked. */
export function conditionLines(state: RollbackState, look: Look): string[] {
  const command = state.incidentCommand;
  const relevant = isAsked(state, 'unfreeze') || isAsked(state, 'ownership') || state.steps.some((step) => step.id === 'stability' && step.state !== 'pending');
  if (!command || !relevant || state.state === 'closed') return [];
  const wide = Math.min(look.width, 100);
  return [
    paint('bold', 'Unfreeze when all of these are met'),
    ...command.conditions.flatMap(({ condition, met, by }) =>
      wrap(`${condition}: ${plain(by)}`, wide, '  ').map((line, index) =>
        index === 0 ? `${paint(met ? 'green' : 'yellow', met ? '✔' : '·')} ${line.trimStart()}` : line,
      ),
    ),
  ];
}
