/** For somebody who was not there, in a few lines: what happened, who decided, what was proven, what remains. */
import { PASSED } from '../../model/state.ts';
import { duration } from '../words.ts';
import { lostWords } from './data-sections.ts';
import type { Decision } from './decisions.ts';
import { due } from './document.ts';
import type { FollowUp } from './follow-ups.ts';
import type { GateReport, Verdict } from './proof.ts';
import type { IncidentReport } from './command.ts';
import type { Drift } from './freeze.ts';
import type { Reading } from './reading.ts';
import type { TenantReport } from './tenant.ts';
import { confirmedLines, failedLines, provenOf } from './tenant-words.ts';

export interface InShort {
  readonly happened: readonly string[];
  readonly decided: readonly string[];
  readonly proven: readonly string[];
  readonly remains: readonly string[];
}

export interface InShortOf {
  readonly reading: Reading;
  readonly summary: string;
  readonly incident: IncidentReport | null;
  readonly tenant: TenantReport | null;
  readonly gates: readonly GateReport[];
  readonly decisions: readonly Decision[];
  readonly drift: readonly Drift[];
  readonly followUps: readonly FollowUp[];
}

/** Of a long list nobody reads the middle: the whole stands further down. */
const LINES_MAX = 9;

export const inShortOf = (of: InShortOf): InShort => ({
  happened: [of.summary, ...grownLine(of), ...freezeLine(of), ...lostLine(of), ...(of.tenant ? failedLines(of.tenant) : []), ...driftLines(of)],
  decided: decidedLines(of),
  proven: provenLines(of),
  remains: remainLines(of),
});

const list = (items: readonly string[]): string => items.join(', ');
const and = (items: readonly string[]): string => (items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} and ${items.at(-1) ?? ''}`);
/** To the minute, UTC; with the day where it is not that of the start. */
const when = ({ state }: Reading, iso: string): string =>
  `${iso.slice(0, 10) === state.trigger.at.slice(0, 10) ? '' : `${iso.slice(0, 10)} `}${iso.slice(11, 16)} UTC`;

function freezeLine({ reading, incident }: InShortOf): string[] {
  if (!incident) return [];
  const { environments, inForce } = incident.freeze;
  if (environments.length === 0) return [incident.declaration ? 'Nothing was frozen.' : undeclared(reading)];
  const scopes = [...new Set(environments.flatMap((one) => one.scopes))];
  const since = environments.flatMap(({ frozenAt }) => frozenAt ?? []).toSorted()[0];
  const last = environments
    .flatMap((one) => one.lifted.map(({ at }) => at))
    .toSorted()
    .at(-1);
  const what = `${and(environments.map((one) => one.environment))} (${list(scopes)})`;
  const from = since === undefined ? '' : `, from ${when(reading, since)}`;
  if (inForce.length > 0) return [`Frozen: ${what}${from}. Still frozen: ${list(inForce)}.`];
  return [`Frozen: ${what}${from}${last === undefined ? '' : ` until ${when(reading, last)}`}.`];
}

const grownLine = ({ reading, incident }: InShortOf): string[] =>
  (incident?.escalations ?? []).map(({ at, from, to, by, reason }) => `${by} had it grow from ${from} to ${to} at ${when(reading, at)}: ${reason}.`);

/** Nobody should find it out later. */
function lostLine({ incident }: InShortOf): string[] {
  const { lost = [], lostUntold = [] } = incident?.data ?? {};
  const shown = lost.slice(0, LINES_MAX).map(lostWords);
  return [
    ...(lost.length === 0
      ? []
      : [`LOST BY DESIGN: ${shown.join('; ')}${lost.length > shown.length ? `; and ${lost.length - shown.length} more, below` : ''}.`]),
    ...(lostUntold.length === 0 ? [] : [`What was lost of ${and(lostUntold)}, which people went back with by hand, they alone can say.`]),
  ];
}

const undeclared = ({ state }: Reading): string =>
  state.state === 'closed'
    ? 'Rollback mode was proposed and never declared: nothing was frozen, nothing was changed.'
    : 'Rollback mode is proposed and not declared yet: nothing is frozen, nothing is changed.';

/** Each thing that moved once, as it was seen last. */
function driftLines({ drift }: InShortOf): string[] {
  const latest = [...new Map(drift.map((one) => [`${one.what}/${one.subject ?? ''}`, one.detail])).values()];
  return latest.length === 0
    ? []
    : [`Meanwhile reality moved: ${latest.slice(0, 3).join('; ')}${latest.length > 3 ? `; and ${latest.length - 3} more, below` : ''}.`];
}

function decidedLines({ reading, decisions, incident, tenant }: InShortOf): string[] {
  const confirmed = tenant ? confirmedLines(tenant) : [];
  const decided = decisions.map(({ at, by, what, why, due, action, name, step }, index) => {
    const isVoid = incident?.voided.some((one) => one.confirmedAt === at) ?? false;
    const line = `${by} ${what}${due === null ? '' : ` until ${due}`}${isVoid ? ', which was void soon after' : ''}${why === null ? '' : `${step === 'credentials' ? '; note: ' : ': '}${why}`}`;
    // Asked again, and answered the same way: the last word will do.
    const isRepeated = action !== null && decisions.slice(index + 1).some((later) => later.action === action && later.step === step);
    return { at, line, isMinor: isVoid || isRepeated || action === 'retry' || action === 'done' || name === 'resume' };
  });
  const handOvers = (incident?.roles ?? []).flatMap(({ title, handOvers: all }) =>
    all.map(({ to, by, at, from }) => ({
      at,
      line: `${by} gave the role ${title} to ${to}${from === null || from === by ? '' : `, in place of ${from}`}`,
      isMinor: false,
    })),
  );
  const all = [...decided, ...handOvers].toSorted((one, other) => one.at.localeCompare(other.at));
  const shown = all.length > LINES_MAX ? all.filter((one) => !one.isMinor).slice(-LINES_MAX) : all;
  const more = all.length - shown.length;
  if (all.length + confirmed.length === 0) return ['Nobody had to decide anything.'];
  return [
    ...confirmed,
    ...shown.map(({ at, line }) => `${when(reading, at)}: ${line}`),
    ...(more === 0 ? [] : [`and ${more} more decision${more === 1 ? '' : 's'}, below`]),
  ];
}

const NOT_PASSED: readonly (readonly [Verdict, string])[] = [
  ['failed', 'Failed'],
  ['inconclusive', 'Could not tell'],
  ['error', 'Could not be run'],
  ['unchecked', 'Nothing is configured for'],
  ['not-run', 'Not looked at, or not again since something moved'],
];

function provenLines({ reading, gates, incident, tenant }: InShortOf): string[] {
  if (tenant) return [...provenOf(tenant), ...(reading.entries.length === 0 ? ['The record could not be read for this report.'] : [])];
  if (gates.length === 0) return ['Nothing was checked.'];
  const passed = gates.filter((one) => one.verdict === 'passed');
  const others = NOT_PASSED.flatMap(([verdict, word]) => {
    const own = gates.filter((one) => one.verdict === verdict);
    return own.length === 0 ? [] : [`${word}: ${list(own.map(nameOf))}.`];
  });
  const files = gates.filter((one) => one.evidence !== null).length;
  const rows = incident?.cleanup ?? [];
  const signed = rows.filter((one) => one.answer !== null);
  return [
    `${passed.length} of ${gates.length} checks passed${passed.length === 0 ? '.' : `: ${list(passed.map(nameOf))}.`}`,
    ...others,
    ...(incident?.declaration
      ? [
          `${signed.length} of ${rows.length} rows of the cleanup checklist are answered${signed.length === 0 ? '.' : `: ${list(signed.map(({ title, answer, by }) => `${title} (${answer ?? ''}, ${by ?? ''})`))}.`}`,
        ]
      : []),
    ...movedLines(incident),
    ...(files === 0 ? [] : [`${files} output${files === 1 ? ' is' : 's are'} kept with ${files === 1 ? 'its hash' : 'their hashes'}.`]),
    ...(incident?.review
      ? [`The results are committed for review: ${incident.review.path}, commit ${incident.review.commit.slice(0, 12)} on ${incident.review.branch}.`]
      : []),
    ...(reading.entries.length === 0 ? ['The record could not be read for this report.'] : []),
  ];
}

/** Whose word moved the credentials, and that the evidence goes on. */
function movedLines(incident: IncidentReport | null): string[] {
  const { chains = [], credentials = null } = incident?.data ?? {};
  const rotated = [
    ...(credentials?.rotated ?? []).filter((one) => one.state === 'rotated'),
    ...(credentials?.byHand ?? []).filter((one) => one.state === 'confirmed'),
  ];
  const intact = chains.filter((one) => one.verdict === 'intact' || one.verdict === 'broken-before');
  return [
    ...(intact.length === 0
      ? []
      : [`Evidence goes on and was not rewritten: ${list(intact.map(({ name, verdict }) => `${name}${verdict === 'intact' ? '' : ' (broken before)'}`))}.`]),
    ...(credentials?.signed && rotated.length > 0 ? [`Rotated, as signed by ${credentials.signed.by}: ${list(rotated.map((one) => one.name))}.`] : []),
  ];
}

function nameOf({ step, signedOff, byComponent }: GateReport): string {
  const bad = Object.entries(byComponent ?? {}).flatMap(([name, word]) => (word === 'passed' ? [] : [`${name} ${word}`]));
  const signed = signedOff
    ? [signedOff.as === 'accepted-risk' ? `accepted as risk by ${signedOff.by} until ${signedOff.due ?? '?'}` : `known baseline blocker, by ${signedOff.by}`]
    : [];
  const more = [...bad, ...signed];
  return more.length === 0 ? step : `${step} (${more.join('; ')})`;
}

function remainLines({ reading, followUps }: InShortOf): string[] {
  const { state } = reading;
  const waits = state.waiting.map((one) => `Awaited: ${one.for}${one.step === '' ? '' : `, for ${one.step}`}.`);
  const tasks = followUps.map((one) => `${one.action} (${one.owner}${one.due === null ? '' : `, until ${due(one.due)}`})`);
  const short = tasks.length > LINES_MAX ? [...tasks.slice(0, LINES_MAX - 1), `and ${tasks.length - LINES_MAX + 1} more follow-ups, below`] : tasks;
  const kept = state.clock.breached && state.clock.targetSeconds !== null ? [`The time target of ${duration(state.clock.targetSeconds)} was missed.`] : [];
  const open = state.state === 'closed' ? [] : reading.steps.filter((step) => !PASSED.has(step.state) && !step.beside && !step.afterFailure);
  const left =
    open.length === 0
      ? []
      : [
          `${open.length} of ${reading.steps.length} steps are not done: ${list(open.slice(0, 4).map((step) => step.id))}${open.length > 4 ? ' and so on' : ''}.`,
        ];
  const all = [...waits, ...left, ...kept, ...short];
  return all.length === 0 ? ['Nothing, as far as the platforms show.'] : all;
}
