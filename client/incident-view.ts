/** What only an incident rollback shows: who commands, what is frozen, now against then, and what the unfreeze still needs [001]. */
import { lossOf } from '../model/incident-data.ts';
import { SIGNED_LISTS, signedOf } from '../model/signed.ts';
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
  // Of a run that was only refused nobody knows more than that: what an earlier one has frozen may be frozen still.
  if (state.outcome === 'refused') return wrap(`L${level} of ${state.incident ?? '?'}`, wide).map((line) => paint('bold', line));
  const commander = roles['incident-commander'] ?? [];
  const facts = [
    ...(commander.length === 0 ? [] : [`commander ${commander.map(plain).join(', ')}`]),
    frozen.length === 0 ? 'nothing is frozen' : `frozen: ${frozen.join(', ')}`,
    ...(nextUpdateAt === null ? [] : [`next update ${at(nextUpdateAt, look.nowMs)}`]),
  ];
  return [...wrap(head, wide).map((line) => paint('bold', line)), ...wrap(facts.join(' · '), wide)];
}

const isAsked = (state: RollbackState, step: string): boolean => state.waiting.some((one) => one.step === step);

/** What was there when it was planned against then, where the target is to be confirmed: what is there now may be another by now. */
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
    paint('dim', line(['component', 'what', 'when planned', 'then'])),
    ...rows.map((row) => (row[2] === row[3] ? paint('dim', line(row)) : line(row))),
    paint('dim', `plan ${state.planHash ?? ''}`),
  ];
}

/** What each list of the Security Lead means, where it is asked for; and what was signed, from then on. */
export function signedLines(state: RollbackState, look: Look): string[] {
  const wide = Math.min(look.width, 100);
  const step = state.steps.find((one) => one.demands?.lists !== undefined);
  if (!step || (state.state === 'closed' && step.state !== 'confirmed')) return [];
  const block = (title: string, lines: readonly string[]): string[] => [
    paint('bold', title),
    ...lines.flatMap((line) => wrap(line, wide, '  ').map((one, index) => (index === 0 ? one : `  ${one}`))),
  ];
  if (isAsked(state, step.id))
    return block('Each credential in one list', [
      'rotate: exposed, nobody is seen to use it; the new one works before the old one goes, no outage',
      'revokeFirst: exploited now; the old one goes at once, what uses it stands still until the new one is in place',
      'unaffected: not exposed; stays as it is',
    ]);
  const said = step.state === 'confirmed' ? state.answers.findLast((one) => one.name === 'confirm' && one.step === step.id) : undefined;
  if (!said) return [];
  const signed = signedOf(said['data']);
  const lists = SIGNED_LISTS.flatMap((list) => (signed[list].length === 0 ? [] : [`${LIST[list]}: ${signed[list].map(plain).join(', ')}`]));
  return block(`Signed by ${plain(said.by)} ${at(said.at, look.nowMs)}`, [
    ...lists,
    ...(typeof said['note'] === 'string' ? [`note: ${plain(said['note'])}`] : []),
  ]);
}
const LIST = { rotate: 'rotate', revokeFirst: 'revoke first', unaffected: 'not exposed' } as const;

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
