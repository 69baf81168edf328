/** For somebody who was not there, in a few lines: what happened, who decided, what was proven, what remains. */
import { duration } from '../words.ts';
import type { Decision } from './decisions.ts';
import type { FollowUp } from './follow-ups.ts';
import type { GateReport, Verdict } from './proof.ts';
import type { IncidentReport } from './command.ts';
import type { Drift } from './freeze.ts';
import type { Reading } from './reading.ts';

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
  readonly gates: readonly GateReport[];
  readonly decisions: readonly Decision[];
  readonly drift: readonly Drift[];
  readonly followUps: readonly FollowUp[];
}

/** Of a long list nobody reads the middle: the whole stands further down. */
const LINES_MAX = 8;

export const inShortOf = (of: InShortOf): InShort => ({
  happened: [of.summary, ...freezeLine(of), ...driftLines(of)],
  decided: decidedLines(of),
  proven: provenLines(of),
  remains: remainLines(of),
});

const minute = (iso: string): string => `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC`;
const list = (items: readonly string[]): string => items.join(', ');

function freezeLine({ incident }: InShortOf): string[] {
  if (!incident) return [];
  const { environments, inForce } = incident.freeze;
  if (environments.length === 0)
    return [incident.declaration ? 'Nothing was frozen.' : 'Rollback mode was proposed and never declared: nothing was frozen, nothing was changed.'];
  const frozen = environments
    .map(({ environment, scopes, frozenAt }) => `${list(scopes)} in ${environment}${frozenAt === null ? '' : ` from ${minute(frozenAt)}`}`)
    .join('; ');
  const last = environments
    .flatMap((one) => one.lifted.map(({ at }) => at))
    .toSorted()
    .at(-1);
  const end = inForce.length > 0 ? `Still frozen: ${list(inForce)}.` : last === undefined ? '' : `All of it was lifted by ${minute(last)}.`;
  return [`Frozen: ${frozen}. ${end}`.trim()];
}

function driftLines({ drift }: InShortOf): string[] {
  const [first] = drift;
  if (!first) return [];
  return [`Reality moved ${drift.length === 1 ? 'once' : `${drift.length} times`} meanwhile: ${first.detail}${drift.length === 1 ? '' : ', and more below'}.`];
}

function decidedLines({ decisions, incident }: InShortOf): string[] {
  const lines = decisions.map(
    ({ at, by, what, why, due }) => `${by} ${what}${due === null ? '' : ` until ${due}`}, ${minute(at)}${why === null ? '' : `: ${why}`}`,
  );
  const short = lines.length > LINES_MAX ? [...lines.slice(0, LINES_MAX - 1), `and ${lines.length - LINES_MAX + 1} more decisions, below`] : lines;
  const handOvers = (incident?.roles ?? []).flatMap(({ title, handOvers: all }) =>
    all.map(({ to, by, at }) => `${title} went over to ${to}, ${minute(at)}, by ${by}`),
  );
  return short.length + handOvers.length === 0 ? ['Nobody had to decide anything.'] : [...short, ...handOvers];
}

const NOT_PASSED: readonly (readonly [Verdict, string])[] = [
  ['failed', 'Failed'],
  ['inconclusive', 'Could not tell'],
  ['error', 'Could not be run'],
  ['unchecked', 'Nothing is configured for'],
  ['not-run', 'Not looked at, or not again since something moved'],
];

function provenLines({ reading, gates, incident }: InShortOf): string[] {
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
    `${passed.length} of ${gates.length} checks passed${passed.length === 0 ? '.' : `: ${list(passed.map((one) => one.step))}.`}`,
    ...others,
    ...(incident?.declaration
      ? [
          `${signed.length} of ${rows.length} rows of the cleanup checklist are answered${signed.length === 0 ? '.' : `: ${list(signed.map(({ title, answer, by }) => `${title} (${answer ?? ''}, ${by ?? ''})`))}.`}`,
        ]
      : []),
    ...(files === 0 ? [] : [`${files} output${files === 1 ? ' is' : 's are'} kept with ${files === 1 ? 'its hash' : 'their hashes'}.`]),
    ...(incident?.review
      ? [`The results are committed for review: ${incident.review.path}, commit ${incident.review.commit.slice(0, 12)} on ${incident.review.branch}.`]
      : []),
    ...(reading.entries.length === 0 ? ['The record could not be read for this report.'] : []),
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
  const tasks = followUps.map(({ action, owner, due }) => `${action} (${owner}${due === null ? '' : `, until ${due.length > 16 ? minute(due) : due}`})`);
  const short = tasks.length > LINES_MAX ? [...tasks.slice(0, LINES_MAX - 1), `and ${tasks.length - LINES_MAX + 1} more follow-ups, below`] : tasks;
  const kept = state.clock.breached && state.clock.targetSeconds !== null ? [`The time target of ${duration(state.clock.targetSeconds)} was missed.`] : [];
  return waits.length + tasks.length + kept.length === 0 ? ['Nothing, as far as the platforms show.'] : [...waits, ...kept, ...short];
}
