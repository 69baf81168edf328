/** The sections of a report, in the order in which they are read. */
import { BLOCKED, PASSED, type StepState } from '../../model/state.ts';
import { duration } from '../words.ts';
import {
  code,
  day,
  due,
  em,
  heading,
  list,
  moment,
  quote,
  strong,
  table,
  tableOr,
  text,
  time,
  type Block,
  type Line,
  type Piece,
  type Section,
  type Tone,
} from './document.ts';
import { lostWords } from './data-sections.ts';
import { remainsBlocks } from './remains-section.ts';
import { incidentSections } from './incident-sections.ts';
import { tenantFacts, tenantSections, unlessTold } from './tenant-sections.ts';
import { BACKOUT } from './timeline.ts';
import type { GateReport, Verdict } from './proof.ts';
import type { Report } from './report.ts';

const MARK: Readonly<Record<StepState, string>> = {
  pending: '·',
  running: '▶',
  waiting: '◆',
  unknown: '?',
  done: '✔',
  already: '✔',
  failed: '✘',
  skipped: '↷',
  confirmed: '✔',
  declined: '✘',
  irreversible: '⊘',
};
const NOT_FILLED = strong('Not filled: to be written by a person.');

export const outcomeOf = (report: Report): string => (report.state === 'closed' ? (report.outcome ?? 'closed') : report.state);

const OUTCOME_TONE: Readonly<Record<string, Tone>> = {
  'rolled-back': 'good',
  'rolled-back-late': 'warn',
  partial: 'warn',
  failed: 'bad',
  stopped: 'bad',
  abandoned: 'bad',
  waiting: 'warn',
};
export const outcomeTone = (report: Report): Tone => OUTCOME_TONE[outcomeOf(report)] ?? 'calm';

export function titleOf(report: Report): string {
  if (report.deprovision) return `Deprovisioning of ${report.deprovision.tenant}: ${outcomeOf(report)}`;
  const subject = report.components.length > 0 ? report.components.join(', ') : report.id;
  const versions = [...new Set(report.targets.map((target) => target.to))];
  const [to] = versions;
  const each = report.targets.map((target) => `${target.component} to ${target.to}`).join(', ');
  return `Rollback of ${versions.length > 1 ? each : `${subject}${to === undefined ? '' : ` to ${to}`}`}: ${outcomeOf(report)}`;
}

/** Empty: it is closed. */
export const notClosed = (report: Report): Block[] =>
  report.state === 'closed' ? [] : [quote('This rollback is not closed. The report tells how things stood when it was made.')];

export function sectionsOf(report: Report): Section[] {
  const section = (id: string, title: string, ...blocks: readonly Block[]): Section => ({ id, title, blocks });
  const all = [
    section('remains', report.deprovision ? 'What could not be removed' : 'What remains', ...remainsBlocks(report)),
    section('follow-ups', 'Follow-ups', tableOr('Nothing is left to follow up.', ['action', 'owner', 'due', 'from'], followUpRows(report))),
    ...incidentSections(report),
    ...tenantSections(report),
    section('gates', 'Checks', ...gates(report)),
    section('timeline', 'Timeline', ...timeline(report)),
    section('decisions', 'Decisions', ...decisions(report)),
    section('waiting', 'Waiting times', ...waiting(report)),
    ...(report.steps.length === 0 ? [] : [section('steps', 'Steps', ...steps(report))]),
    section('answers', 'What people answered', ...answers(report)),
    ...(report.refusals.length === 0 ? [] : [section('refusals', 'What was refused', refusals(report))]),
    ...(report.warnings.length === 0 ? [] : [section('warnings', 'Warnings', list(report.warnings))]),
    section('safeguards', 'Safeguards', ...safeguards(report)),
    // What is left to do stands in the follow-ups; a deprovisioning has no post-mortem.
    ...(report.deprovision ? [] : [section('review', 'For the review', ...open(report))]),
    section('verify', 'How to verify this', ...verify(report)),
  ];
  return all.filter((one) => one.blocks.length > 0);
}

export function factRows(report: Report): (readonly Line[])[] {
  const { clock, incident, trigger } = report;
  const at = (iso: string): string => `${moment(iso)} UTC`;
  const target = clock.targetSeconds === null ? 'none' : duration(clock.targetSeconds);
  const verdict: readonly Piece[] =
    clock.targetSeconds === null ? [] : clock.breached ? [', ', strong('missed')] : report.outcome === 'refused' ? [] : [', kept'];
  return [
    ['Outcome', strong(outcomeOf(report))],
    ...tenantFacts(report),
    ...report.targets.map((one): Line[] => [`Version of ${one.component}`, [one.from ?? 'unknown', ' → ', strong(one.to)]]),
    ['Started', `${at(report.startedAt)} by ${trigger.by} (${trigger.type}, ${trigger.cause})`],
    ...(incident.detectedAt === null ? [] : [['Detected', at(incident.detectedAt)]]),
    ['Ended', report.endedAt === null ? 'not closed' : at(report.endedAt)],
    ...lostFact(report),
    ['Machine time', duration(clock.machineSeconds)],
    ['People awaited', duration(clock.humanSeconds)],
    ['Together', duration(clock.sumSeconds)],
    // Nothing presses at a tenant: there is no target to be kept.
    ...(report.deprovision ? [] : [['Target (machine time)', [target, ...verdict]] as const]),
    ...(incident.number === null ? [] : [['Incident', incident.number]]),
    ...(incident.severity === null ? [] : [['Severity', incident.severity]]),
    ...(incident.contact === null ? [] : [['Contact', incident.contact]]),
    ['Rollback', [code(report.id), ', ', code(report.rollbackId)]],
  ];
}

/** Where data was gone back with: nobody has to look for it. */
function lostFact({ incidentCommand }: Report): Line[][] {
  const data = incidentCommand?.data;
  if (!data || data.databases.length + data.chains.length === 0) return [];
  const words = [...data.lost.map(lostWords), ...data.lostUntold.map((name) => `of ${name} what people say who went back with it by hand`)];
  return [['Lost by design', words.length === 0 ? 'nothing' : strong(words.join('; '))]];
}

export const followUpRows = (report: Report): Line[][] => report.followUps.map((one) => [one.action, one.owner, due(one.due), one.source]);

const VERDICT: Readonly<Record<Verdict, readonly [Tone, string]>> = {
  passed: ['good', '✔ passed'],
  failed: ['bad', '✘ failed'],
  inconclusive: ['warn', '? inconclusive'],
  error: ['bad', '! error'],
  unchecked: ['warn', '↷ nothing configured'],
  'not-run': ['warn', '· not run'],
};

function gates(report: Report): Block[] {
  if (report.gates.length === 0) return [text('Nothing was checked.')];
  const rows = report.gates.map((gate): Line[] => [[code(gate.step), ' ', gate.title], verdictOf(gate.verdict), foundOf(gate), fileOf(gate)]);
  const again = report.gates.filter((gate) => gate.runs.length > 1);
  return [
    table(['check', 'verdict', 'what was found', 'evidence'], rows),
    ...(again.length === 0
      ? []
      : [
          heading('Every time it was run'),
          table(
            ['check', 'time (UTC)', 'verdict', 'what was found', 'evidence'],
            again.flatMap((gate) => gate.runs.map((run): Line[] => [code(gate.step), moment(run.at), verdictOf(run.verdict), run.detail, fileOf(run)])),
          ),
        ]),
  ];
}

function verdictOf(verdict: Verdict): Piece {
  const [tone, words] = VERDICT[verdict];
  return { tone, text: words };
}

function foundOf({ detail, byComponent, signedOff }: GateReport): string {
  const each =
    byComponent && !Object.values(byComponent).every((word) => word === 'passed')
      ? Object.entries(byComponent)
          .map(([name, word]) => `${name}: ${word}`)
          .join(', ')
      : '';
  const signed = signedOff
    ? `${signedOff.as === 'accepted-risk' ? `accepted as risk by ${signedOff.by} until ${signedOff.due ?? '?'}` : `known baseline blocker, by ${signedOff.by}`}: ${signedOff.reason}`
    : '';
  return [detail, each, signed].filter((one) => one !== '').join('; ');
}

const fileOf = ({ evidence }: Pick<GateReport, 'evidence'>): Line => (evidence ? [code(evidence.file), ', sha256 ', code(evidence.sha256)] : '');

function timeline(report: Report): Block[] {
  const started = Date.parse(report.timeline[0]?.at ?? report.startedAt);
  const days = new Set(report.timeline.map((one) => day(one.at)));
  const rows = report.timeline.map(({ at, who, what, trouble }) => ({
    at: days.size > 1 ? moment(at) : time(at),
    after: `+${duration((Date.parse(at) - started) / 1000)}`,
    who,
    what,
    mark: trouble === true ? ('trouble' as const) : who === BACKOUT ? ('machine' as const) : ('person' as const),
  }));
  return [text(`Times are UTC${days.size === 1 ? `, ${[...days][0] ?? ''}` : ''}.`), { kind: 'moments', rows }];
}

function decisions(report: Report): Block[] {
  const rows = report.decisions.map((one): Line[] => [
    moment(one.at),
    one.by,
    `${one.what}${one.due === null ? '' : ` until ${one.due}`}`,
    [one.why, ...one.evidence].filter((part) => part !== null).join('; '),
  ]);
  return [tableOr('Nobody had to decide anything.', ['time (UTC)', 'who', 'what', 'why'], rows)];
}

function waiting(report: Report): Block[] {
  const { waits, byRole } = report.waitingTimes;
  if (waits.length === 0) return [text('Nobody was awaited.')];
  const { shown, more } = unlessTold(report, waits);
  return [
    table(
      ['role', 'awaited for', 'times'],
      byRole.map((one): Line[] => [one.role, duration(one.seconds), String(one.waits)]),
    ),
    text(
      'What was awaited at the same time is counted once for a role. The clock of the rollback counts only the time in which nobody but people was awaited.',
    ),
    table(
      ['since (UTC)', 'for', 'of', 'took', 'answered by'],
      shown.map((one): Line[] => [
        moment(one.since),
        one.step === null ? 'a decision about the whole' : [one.asked === 'decision' ? 'a decision about ' : '', code(one.step)],
        one.awaited,
        one.seconds === 0 && one.until !== null ? 'nothing: answered before it was asked' : duration(one.seconds),
        one.until === null ? { tone: 'warn', text: 'still awaited' } : (one.answeredBy ?? ''),
      ]),
    ),
    ...more,
  ];
}

function steps(report: Report): Block[] {
  const took = (from: string | null, to: string | null): string => (from === null || to === null ? '' : duration((Date.parse(to) - Date.parse(from)) / 1000));
  const { shown, more } = unlessTold(
    report,
    report.steps.map((one) => ({ ...one, step: one.id })),
  );
  const rows = shown.map((step): Line[] => {
    const state = step.state as StepState; // The state's own word.
    const tone: Tone = BLOCKED.has(state) ? 'bad' : state === 'skipped' || state === 'irreversible' ? 'warn' : PASSED.has(state) ? 'good' : 'calm';
    const attempts = step.attempts === 0 ? '' : String(step.attempts);
    return [code(step.id), step.title, { tone, text: `${MARK[state] ?? ''} ${state}` }, attempts, took(step.startedAt, step.endedAt), step.evidence];
  });
  return [table(['step', 'what', 'state', 'attempts', 'took', 'evidence'], rows), ...more];
}

function answers(report: Report): Block[] {
  if (report.answers.length === 0) return [text('Nobody answered anything.')];
  const { shown, more } = unlessTold(report, report.answers);
  const rows = shown.map((answer): Line[] => [moment(answer.at), answer.by, answer.name, answer.step === null ? '' : code(answer.step), answer.proof]);
  return [
    table(['time (UTC)', 'who', 'said', 'step', 'known by'], rows),
    ...more,
    text([em('self-declared'), ': the name is what the person gave; nothing proves it.']),
  ];
}

function refusals(report: Report): Block {
  const rows = report.refusals.map((one): Line[] => [moment(one.at), one.by, one.message ?? 'start', one.explanation, `${one.rule}, ${one.source}`]);
  return table(['time (UTC)', 'who', 'what', 'why', 'rule'], rows);
}

function safeguards(report: Report): Block[] {
  const rows = report.safeguards.map((one): Line[] => [one.gap, one.change, one.where, one.seenIn]);
  return [tableOr('This run shows no control gap.', ['gap', 'what to change', 'where', 'seen in'], rows)];
}

const open = (report: Report): Block[] => [
  ...report.open.flatMap(({ question, answer }) => [heading(question), text(answer === null ? NOT_FILLED : `${answer} (as given at the start)`)]),
  heading('Action items'),
  table(['action', 'owner', 'due'], [...report.followUps.map((one): Line[] => [one.action, one.owner, due(one.due)]), [em('not filled'), '', '']]),
];

function verify(report: Report): Block[] {
  const { entries, head } = report.record;
  return [
    text(
      'Everything above comes from an append-only, hash-chained record and from the histories of the executions. To check both, and each against the other:',
    ),
    { kind: 'commands', lines: report.verify },
    list([
      `entries of this rollback in the record: ${entries}`,
      ['head of the chain then: ', head === null ? 'unknown' : code(head)],
      ['hash of the plan: ', report.planHash === null ? 'no plan was made' : code(report.planHash)],
      ...report.sources,
      `made ${report.madeAt}`,
    ]),
  ];
}
