/** A rollback as a person reads it at three in the morning: what happened, what now, and the exact next command last. */
import { startAgain } from '../model/start-again.ts';
import type { Outcome, RollbackState, StepState, StepView, Waiting } from '../model/state.ts';
import { isAnswered } from '../model/warnings.ts';
import { commandLines, comparisonLines, conditionLines, lossLines, signedLines } from './incident-view.ts';
import { commandName, paint } from './output.ts';
import { inventoryLines, shownSteps } from './tenant-view.ts';
import { at, clock, columns, cut, duration, elapsed, plain, quoted, wrap } from './words.ts';

type Format = Parameters<typeof paint>[0];

export interface Look {
  readonly width: number;
  readonly nowMs: number;
  /** Seconds since this state was made, for clocks that go on running. */
  readonly aheadSeconds?: number;
  /** Who will answer, for commands to be copied. */
  readonly by: string | null;
}

const STEP: Readonly<Record<StepState, readonly [mark: string, Format]>> = {
  pending: ['·', 'dim'],
  running: ['▶', 'cyan'],
  waiting: ['◆', 'yellow'],
  unknown: ['?', 'red'],
  done: ['✔', 'green'],
  already: ['✔', 'green'],
  failed: ['✘', 'red'],
  skipped: ['↷', 'yellow'],
  confirmed: ['✔', 'green'],
  declined: ['✘', 'red'],
  irreversible: ['⊘', 'yellow'],
};
/** States that the mark alone does not tell. */
const SPOKEN: Partial<Record<StepState, string>> = {
  already: 'was there already',
  unknown: 'result unknown',
  skipped: 'skipped',
  irreversible: 'cannot be undone',
  declined: 'declined',
  waiting: 'waiting',
  running: 'running',
  failed: 'failed',
};
const COLOUR: Readonly<Record<string, Format>> = {
  planning: 'cyan',
  running: 'cyan',
  waiting: 'yellow',
  stopped: 'red',
  abandoned: 'red',
  'rolled-back': 'green',
  'rolled-back-late': 'yellow',
  partial: 'yellow',
  failed: 'red',
  refused: 'red',
};

export const stateWord = (state: Pick<RollbackState, 'state' | 'outcome'>): string => (state.state === 'closed' ? (state.outcome ?? 'closed') : state.state);
export const paintState = (word: string, text = word): string => paint(COLOUR[word] ?? 'dim', text);

/** Lines no wider than the look, without a blank one at either end. */
export function render(state: RollbackState, look: Look): string[] {
  const sections = [
    heading(state, look),
    commandLines(state, look),
    timeLines(state, look),
    stepLines(state, look),
    comparisonLines(state, look),
    signedLines(state, look),
    lossLines(state, look),
    inventoryLines(state, look),
    conditionLines(state, look),
    remarks(state, look),
    happened(state, look),
    commands(state, look),
  ];
  return sections.filter((lines) => lines.length > 0).flatMap((lines, index) => (index === 0 ? lines : ['', ...lines]));
}

function heading(state: RollbackState, look: Look): string[] {
  const word = stateWord(state);
  const where =
    state.targets.length > 0
      ? state.targets.map((target) => `${target.component}  ${plain(target.from ?? '?')} → ${plain(target.to)}`).join(',  ')
      : state.components.join(', ') || (state.tenant ?? state.incident ?? '');
  const label = word.toUpperCase();
  const title = cut(where, look.width - label.length - 2);
  const { trigger } = state;
  const story = `${plain(trigger.by)} started it ${at(trigger.at, look.nowMs)} (${trigger.type}, ${trigger.cause}): ${plain(trigger.reason)}`;
  return [
    `${paint('bold', title)}${' '.repeat(Math.max(2, Math.min(look.width, 100) - columns(title) - label.length))}${paintState(word, paint('bold', label))}`,
    paint('dim', cut(`${state.id}   ${state.rollbackId}`, look.width)),
    ...wrap(story, Math.min(look.width, 100)),
  ];
}

/** Seconds since the worker last spoke belong to whoever is at work: the machine, or a person. */
export function clocks(state: RollbackState, ahead: number): { machine: number; human: number } {
  const { machineSeconds, humanSeconds } = state.clock;
  if (state.state === 'closed' || state.state === 'abandoned') return { machine: machineSeconds, human: humanSeconds };
  const isMachine = state.state === 'running' || state.state === 'planning';
  return { machine: machineSeconds + (isMachine ? ahead : 0), human: humanSeconds + (isMachine ? 0 : ahead) };
}

/** The worker's clock stands still between its tasks: what has passed since. After a resume its start is another, and only our own watch helps. */
export function aheadOf(state: RollbackState, nowMs: number, seenAtMs = nowMs): number {
  const spokeMs = Date.parse(state.trigger.at) + (state.clock.machineSeconds + state.clock.humanSeconds) * 1000;
  return Math.max(0, (spokeMs > nowMs ? nowMs - seenAtMs : nowMs - spokeMs) / 1000);
}

function timeLines(state: RollbackState, look: Look): string[] {
  if (state.outcome === 'refused') return [];
  const { targetSeconds, breached } = state.clock;
  const { machine, human } = clocks(state, look.aheadSeconds ?? 0);
  const people = human >= 1 ? `   ${paint('dim', `people ${elapsed(human)}`)}` : '';
  if (targetSeconds === null) return [`time  ${duration(machine)}${people}`];
  const share = Math.min(1, machine / targetSeconds);
  const late = breached || machine > targetSeconds;
  const colour: Format = late ? 'red' : share >= 0.6 ? 'yellow' : 'green';
  const said = `time  ${clock(machine)} of ${clock(targetSeconds)}`;
  const missed = late ? '  TARGET MISSED' : '';
  // The bar gives way first: the numbers say the same.
  const wide = Math.min(32, look.width - columns(said) - columns(missed) - columns(people) - 2);
  const full = machine > 0 ? Math.max(1, Math.floor(share * wide)) : 0;
  const bar = wide < 6 ? '' : `  ${paint(colour, '█'.repeat(full))}${paint('dim', '░'.repeat(wide - full))}`;
  const line = `${paint(colour, said)}${bar}${paint(['red', 'bold'], missed)}`;
  return columns(line) + columns(people) <= look.width ? [line + people] : [line, people.trim()];
}

function stepLines(state: RollbackState, look: Look): string[] {
  const { shown, rest } = shownSteps(state.steps);
  const ids = Math.min(28, Math.max(0, ...shown.map((step) => columns(step.id))));
  return [...shown.flatMap((step) => stepLine(step, answererOf(state, step), ids, look)), ...(rest === null ? [] : [paint('dim', `  ${rest}`)])];
}

function spentOn({ startedAt, endedAt }: StepView, nowMs: number): string {
  if (startedAt === null) return '';
  return endedAt === null ? elapsed((nowMs - Date.parse(startedAt)) / 1000) : duration((Date.parse(endedAt) - Date.parse(startedAt)) / 1000);
}

const ANSWER: Partial<Record<StepState, string>> = { confirmed: 'confirm', declined: 'decline', skipped: 'decide' };

/** Who has answered it, where a person has. */
function answererOf(state: RollbackState, step: StepView): string | null {
  const name = ANSWER[step.state];
  return name === undefined ? null : (state.answers.findLast((one) => one.name === name && one.step === step.id)?.by ?? null);
}

function stepLine(step: StepView, answerer: string | null, ids: number, look: Look): string[] {
  const [mark, colour] = STEP[step.state];
  const spent = spentOn(step, look.nowMs);
  const spoken = answerer === null ? SPOKEN[step.state] : `${step.state} by ${cut(plain(answerer), 24)}`;
  const tried = step.attempts > 1 ? `${step.attempts} attempts` : '';
  const wide = Math.min(look.width, 100);
  const right = cut([spoken, tried, spent].filter((part) => part !== undefined && part !== '').join(' · '), wide - 12);
  const idWide = Math.min(ids, wide - 4 - columns(right));
  const room = wide - 6 - idWide - columns(right);
  const title = room < 6 ? '' : `  ${cut(plain(step.title), room)}`;
  const line = `${paint(colour, mark)} ${paint(step.state === 'pending' ? 'dim' : 'reset', cut(step.id, idWide).padEnd(idWide))}${paint('dim', title)}`;
  const gap = ' '.repeat(Math.max(1, wide - columns(line) - columns(right)));
  const isCalm = spoken === undefined || step.state === 'already' || step.state === 'confirmed';
  const first = right === '' ? line : `${line}${gap}${isCalm ? paint('dim', right) : paint(colour, right)}`;
  if (!step.failure || (step.state !== 'failed' && step.state !== 'unknown' && step.state !== 'declined')) return [first];
  return [first, ...wrap(plain(step.failure.message), wide, '  ').map((text) => paint('red', text))];
}

function remarks(state: RollbackState, look: Look): string[] {
  const wide = Math.min(look.width, 100);
  const told = (sign: string, format: Format, text: string): string[] =>
    wrap(plain(text), wide, '  ').map((line, index) => (index === 0 ? `${paint(format, sign)} ${line.slice(2)}` : line));
  const refused = state.outcome === 'refused' ? [] : state.refusals.slice(-3);
  return [
    ...state.warnings.filter((warning) => !isAnswered(warning, state.steps)).flatMap((warning) => told('!', 'yellow', warning)),
    ...state.remains.flatMap((one) => told('!', 'red', `not undone: ${one.artifact}: ${one.reason}${one.owner === null ? '' : ` (${one.owner})`}`)),
    ...(state.refusals.length > 3 && refused.length > 0 ? told('–', 'dim', `${state.refusals.length - 3} earlier messages were refused too`) : []),
    ...refused.flatMap((one) => told('–', 'dim', `refused ${one.message ?? 'start'} by ${one.by} at ${at(one.at, look.nowMs)}: ${one.explanation}`)),
    ...(state.record.behind ? told('!', 'yellow', 'the record is behind: Postgres is away; it cannot close before it has caught up') : []),
  ];
}

const ENDED: Readonly<Record<Outcome, string>> = {
  'rolled-back': 'Rolled back, verified and confirmed.',
  'rolled-back-late': 'Rolled back and confirmed, after the time target.',
  partial: 'Ended with something not undone.',
  failed: 'Failed: it was closed without reaching its target.',
  refused: 'Refused: nothing was changed.',
};

/** One sentence: what now. */
function happened(state: RollbackState, look: Look): string[] {
  const wide = Math.min(look.width, 100);
  const said = (format: Format, text: string): string[] => wrap(plain(text), wide).map((line) => paint(format, line));
  if (state.state === 'closed') {
    if (state.outcome === null)
      return said(
        'red',
        state.steps.some((step) => step.mode === 'automatic' && step.attempts > 0)
          ? 'Its execution was ended from outside after it had begun, and it holds nothing any more: see which rollback has taken its components over.'
          : 'Its execution was ended from outside before anything was changed.',
      );
    const format: Format = state.outcome === 'rolled-back' ? 'green' : 'bold';
    return [
      ...said(format, ENDED[state.outcome]),
      ...(state.outcome === 'refused' ? state.refusals.slice(-1).flatMap((one) => wrap(`${plain(one.explanation)} ${one.source}`, wide)) : []),
    ];
  }
  if (state.stopped !== null) {
    const failed = state.steps.find((step) => step.failure && (step.state === 'failed' || step.state === 'unknown' || step.state === 'declined'));
    return [
      ...said(['red', 'bold'], `${state.state === 'abandoned' ? 'Abandoned' : 'Stopped'}: ${state.stopped}`),
      ...(failed?.failure && state.state === 'stopped' ? remedyLines(failed.failure.remedy, wide) : []),
    ];
  }
  if (state.waiting.length === 0) return said('dim', state.state === 'planning' ? 'Being planned; nothing has been changed.' : 'At work; nobody is awaited.');
  const more = state.waiting.length > ASKED_MAX ? said('yellow', `and for ${state.waiting.length - ASKED_MAX} more steps`) : [];
  const lines = state.waiting.slice(0, ASKED_MAX).flatMap((one) => {
    const asked = state.steps.find((step) => step.id === one.step);
    const since = one.since === '' ? '' : ` since ${at(one.since, look.nowMs)}`;
    return [
      ...said(['yellow', 'bold'], `Waiting for ${one.for}${since}: ${asked?.title ?? one.step}`),
      ...(one.why === undefined ? [] : said('reset', `Not yet: ${one.why}.`)),
    ];
  });
  return [...lines, ...more];
}

/** The words are wrapped; commands to be copied stand below them, each on a line of its own, as they are. */
function remedyLines(remedy: string, wide: number): string[] {
  const [words = '', ...byHand] = remedy.split('\n');
  return [...wrap(plain(words), wide), ...byHand.map((line) => paint('bold', plain(line)))];
}

/** More questions than these are counted. */
const ASKED_MAX = 12;

/** Never wrapped: to be copied as they are. */
function commands(state: RollbackState, look: Look): string[] {
  const next = nextCommands({ ...state, waiting: state.waiting.slice(0, ASKED_MAX) }, look.by);
  const wide = Math.max(...next.map((one) => one.what.length));
  return next.map((one) => `  ${paint('dim', one.what.padEnd(wide))}  ${paint('bold', one.line)}`);
}

export interface NextCommand {
  readonly what: string;
  readonly line: string;
}

type Typed = (what: string, line: string, role?: string) => NextCommand;

/** In an incident each step is somebody's: the name of whoever looks is put in only where he may answer. */
const typedBy = ({ incidentCommand }: RollbackState, by: string | null): Typed => {
  const may = (role: string): boolean => incidentCommand === undefined || (by !== null && (incidentCommand.roles[role] ?? []).includes(by));
  return (what, line, role = 'operator') => ({
    what,
    line: line.replace(/^backout/, commandName()).replace(' --by YOU', by === null || !may(role) ? ' --by YOU' : ` --by ${quoted(by)}`),
  });
};

const DECLINABLE: ReadonlySet<string> = new Set(['availability', 'declaration', 'target', 'unfreeze', 'inventory', 'routes', 'completion']);

/** Every answer to one of the things that are awaited. */
export function answersTo(state: RollbackState, one: Waiting, by: string | null): NextCommand[] {
  const command = typedBy(state, by);
  const [, verb = ''] = one.answer.split(' ');
  // A row of the checklist is answered, not refused; so are facts and findings.
  const canDecline = verb === 'confirm' && DECLINABLE.has(one.step);
  const confirms = canDecline ? 'yes' : one.step === 'investigation' ? 'finding' : one.for;
  const label = { confirm: confirms, decide: one.answer.includes(' --action close ') ? 'give up' : 'again', resume: 'go on' }[verb] ?? verb;
  const said = command(one.when ?? label, one.answer, one.for);
  if (one.or) return [...one.or.map((other) => command(other.when, other.answer, one.for)), said];
  return canDecline ? [command('no', `backout decline ${state.id} --step ${one.step} --by YOU --reason WHY`, one.for), said] : [said];
}

/** What the awaited person, or anybody curious, types next; the likeliest last. */
export function nextCommands(state: RollbackState, by: string | null): NextCommand[] {
  const { id, incidentCommand } = state;
  const command = typedBy(state, by);
  if (state.state === 'closed') {
    const isFrozen = state.outcome !== 'refused' && incidentCommand !== undefined && incidentCommand.frozen.length > 0;
    const again = isFrozen ? [command('lift the freeze', startAgain({ ...state, cause: state.trigger.cause }), 'incident-commander')] : [];
    return [...again, command('report', `backout report ${state.outcome === 'refused' ? state.rollbackId : id}`)];
  }
  if (state.waiting.length === 0) return [command('follow', `backout watch ${id}`)];
  return [...(state.state === 'stopped' ? endings(state, command) : []), ...state.waiting.flatMap((one) => answersTo(state, one, by))];
}

/** The end is offered where it would be taken; else what has to be answered before it, by whoever answers that. */
function endings({ id, incidentCommand, beforeClose = [], waiting }: RollbackState, command: Typed): NextCommand[] {
  const close = `backout decide ${id} --action close --by YOU --reason WHY`;
  const offered = new Set(waiting.flatMap((one) => [one.answer, ...(one.or ?? []).map((other) => other.answer)]));
  if (beforeClose.length === 0) return offered.has(close) ? [] : [command('give up', close, incidentCommand ? 'incident-commander' : 'operator')];
  return beforeClose.filter((one) => !offered.has(one.answer)).map((one) => command(`before giving up (${one.for})`, one.answer, one.for));
}
