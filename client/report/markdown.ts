/** The report as Markdown: plain enough for any viewer, and for a diff. */
import type { StepState } from '../../model/state.ts';
import { duration, plain } from '../words.ts';
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
const NOT_FILLED = '**Not filled: to be written by a person.**';

/** Text from people and platforms must not become a table, a heading or a link. */
const inline = (text: string): string => plain(text).replaceAll(/[\\`*_[\]<>|#]/g, String.raw`\$&`);
const code = (text: string): string => `\`${plain(text).replaceAll('`', "'")}\``;
const day = (iso: string): string => iso.slice(0, 10);
const time = (iso: string): string => iso.slice(11, 19);

export function markdownOf(report: Report): string {
  const sections = [
    head(report),
    facts(report),
    timeline(report),
    steps(report),
    people(report),
    remarks(report),
    remains(report),
    open(report),
    verify(report),
  ];
  return `${sections
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n')}\n`;
}

const table = (titles: readonly string[], rows: readonly (readonly string[])[]): string[] => [
  `| ${titles.join(' | ')} |`,
  `|${titles.map(() => '---|').join('')}`,
  ...rows.map((row) => `| ${row.join(' | ')} |`),
];

const outcomeOf = (report: Report): string => (report.state === 'closed' ? (report.outcome ?? 'closed') : report.state);

function head(report: Report): string[] {
  const subject = report.components.length > 0 ? report.components.join(', ') : report.id;
  const to = report.targets.map((target) => target.to);
  const where = to.length === 0 ? '' : ` to ${inline([...new Set(to)].join(', '))}`;
  return [
    `# Rollback of ${inline(subject)}${where}: ${outcomeOf(report)}`,
    '',
    inline(report.summary),
    ...(report.state === 'closed' ? [] : ['', '> This rollback is not closed. The report tells how things stood when it was made.']),
  ];
}

function facts(report: Report): string[] {
  const { clock, incident, trigger } = report;
  const ended = report.endedAt === null ? 'not closed' : `${day(report.endedAt)} ${time(report.endedAt)} UTC`;
  const target = clock.targetSeconds === null ? 'none' : duration(clock.targetSeconds);
  const verdict = clock.targetSeconds === null ? '' : clock.breached ? ', **missed**' : report.outcome === 'refused' ? '' : ', kept';
  const rows = [
    ['Outcome', `**${outcomeOf(report)}**`],
    ...report.targets.map((one) => [`Version of ${inline(one.component)}`, `${inline(one.from ?? 'unknown')} → **${inline(one.to)}**`]),
    ['Started', `${day(report.startedAt)} ${time(report.startedAt)} UTC by ${inline(trigger.by)} (${inline(trigger.type)}, ${inline(trigger.cause)})`],
    ...(incident.detectedAt === null ? [] : [['Detected', `${day(incident.detectedAt)} ${time(incident.detectedAt)} UTC`]]),
    ['Ended', ended],
    ['Machine time', duration(clock.machineSeconds)],
    ['People awaited', duration(clock.humanSeconds)],
    ['Together', duration(clock.sumSeconds)],
    ['Target (machine time)', `${target}${verdict}`],
    ...(incident.number === null ? [] : [['Incident', inline(incident.number)]]),
    ...(incident.severity === null ? [] : [['Severity', inline(incident.severity)]]),
    ...(incident.contact === null ? [] : [['Contact', inline(incident.contact)]]),
    ['Rollback', `${code(report.id)}, ${code(report.rollbackId)}`],
  ];
  return table(['', ''], rows);
}

function timeline(report: Report): string[] {
  const started = Date.parse(report.timeline[0]?.at ?? report.startedAt);
  const days = new Set(report.timeline.map((one) => day(one.at)));
  const at = (iso: string): string => (days.size > 1 ? `${day(iso)} ${time(iso)}` : time(iso));
  const rows = report.timeline.map(({ at: iso, who, what }) => [at(iso), `+${duration((Date.parse(iso) - started) / 1000)}`, inline(who), inline(what)]);
  return ['## Timeline', '', `Times are UTC${days.size === 1 ? `, ${[...days][0] ?? ''}` : ''}.`, '', ...table(['time', 'after', 'who', 'what'], rows)];
}

function steps(report: Report): string[] {
  if (report.steps.length === 0) return [];
  const took = (from: string | null, to: string | null): string => (from === null || to === null ? '' : duration((Date.parse(to) - Date.parse(from)) / 1000));
  const rows = report.steps.map((step) => [
    code(step.id),
    inline(step.title),
    `${MARK[step.state as StepState] ?? ''} ${step.state}`,
    step.attempts === 0 ? '' : String(step.attempts),
    took(step.startedAt, step.endedAt),
    inline(step.evidence),
  ]); // The state's own word.
  return ['## Steps', '', ...table(['step', 'what', 'state', 'attempts', 'took', 'evidence'], rows)];
}

function people(report: Report): string[] {
  const answers = report.answers.map((answer) => [
    `${day(answer.at)} ${time(answer.at)}`,
    inline(answer.by),
    inline(answer.name),
    answer.step === null ? '' : code(answer.step),
    answer.proof,
  ]);
  const refusals = report.refusals.map((refusal) => [
    `${day(refusal.at)} ${time(refusal.at)}`,
    inline(refusal.by),
    inline(refusal.message ?? 'start'),
    inline(refusal.explanation),
    inline(`${refusal.rule}, ${refusal.source}`),
  ]);
  return [
    '## What people answered',
    '',
    ...(answers.length === 0
      ? ['Nobody answered anything.']
      : [...table(['time (UTC)', 'who', 'said', 'step', 'known by'], answers), '', '*self-declared*: the name is what the person gave; nothing proves it.']),
    ...(refusals.length === 0 ? [] : ['', '## What was refused', '', ...table(['time (UTC)', 'who', 'what', 'why', 'rule'], refusals)]),
  ];
}

const remarks = (report: Report): string[] =>
  report.warnings.length === 0 ? [] : ['## Warnings', '', ...report.warnings.map((warning) => `- ${inline(warning)}`)];

function remains(report: Report): string[] {
  const rows = report.remains.map((one) => [inline(one.artifact), inline(one.reason), inline(one.owner ?? 'nobody yet')]);
  const waits = report.waiting.map((one) => `- ${inline(one.for)}${one.step === '' ? '' : `, for ${code(one.step)}`}: ${code(one.answer)}`);
  return [
    '## What remains',
    '',
    ...(rows.length === 0 ? ['Nothing was left behind, as far as the platforms show.'] : table(['what', 'why', 'who owns it'], rows)),
    ...(waits.length === 0 ? [] : ['', 'Awaited:', '', ...waits]),
  ];
}

const open = (report: Report): string[] => [
  '## For the review',
  ...report.open.flatMap(({ question, answer }) => ['', `### ${question}`, '', answer === null ? NOT_FILLED : `${inline(answer)} (as given at the start)`]),
  '',
  '### Action items',
  '',
  ...table(['action', 'owner', 'due'], [['*not filled*', '', '']]),
];

function verify(report: Report): string[] {
  const { entries, head: hash } = report.record;
  return [
    '## How to verify this',
    '',
    'Everything above comes from an append-only, hash-chained record and from the histories of the executions. To check both, and each against the other:',
    '',
    '```sh',
    ...report.verify,
    '```',
    '',
    `- entries of this rollback in the record: ${entries}`,
    `- head of the chain then: ${hash === null ? 'unknown' : code(hash)}`,
    `- hash of the plan: ${report.planHash === null ? 'no plan was made' : code(report.planHash)}`,
    ...report.sources.map((source) => `- ${inline(source)}`),
    `- made ${report.madeAt}`,
  ];
}
