/** What was lost by design: as it was approved, or as what it was taken from could not have it otherwise. Each with who approved it, so that nobody finds it out later. */
import { lossOf } from '../../model/incident-data.ts';
import type { ChainReport } from './chains.ts';
import type { DatabaseReport, Recovered, Restored, Undone } from './databases.ts';
import { count } from './data-words.ts';
import { moment } from './document.ts';

export interface Lost {
  readonly what: string;
  /** Null: nobody can count it. */
  readonly rows: number | null;
  readonly why: string;
  readonly approvedBy: string | null;
  readonly at: string | null;
  readonly step: string;
}

const isDone = (state: string): boolean => state === 'done' || state === 'already';

export const lossesOf = (databases: readonly DatabaseReport[], chains: readonly ChainReport[]): Lost[] => [
  ...databases.flatMap(({ name, undone, restored, recovered }) => [
    ...undone.flatMap((one) => byInverse(name, one)),
    ...restored.flatMap((one) => notPutBack(name, one)),
    ...(recovered ? sinceThen(name, recovered) : []),
  ]),
  ...chains.flatMap(brokenBefore),
];

function byInverse(database: string, { step, state, at, approved, migration, destroyed, wouldDestroy, byHand, mayBePartly, failure }: Undone): Lost[] {
  const by = { approvedBy: approved?.by ?? null, at, step };
  if (isDone(state)) {
    const why = `destroyed by undoing ${migration}${byHand ? ' by hand; counted when it was planned' : destroyed ? '' : '; counted when it was planned'}`;
    return (destroyed ?? wouldDestroy).map((one) => ({ what: `${one.what} of ${database}`, rows: one.rows, why, ...by }));
  }
  if (!mayBePartly || wouldDestroy.length === 0) return [];
  return [
    {
      what: `of ${database}, some or all of: ${lossOf(wouldDestroy)}`,
      rows: null,
      why: `undoing ${migration} is ${state}: ${failure ?? 'no reason given'}`,
      ...by,
    },
  ];
}

/** What a try that has not ended has found is not lost: it may be put back by the next one. */
function notPutBack(database: string, { step, at, approved, restore, restored, changed, unreadable, blocked, lostColumns, state }: Restored): Lost[] {
  if (!isDone(state) && state !== 'skipped') return [];
  const by = { approvedBy: approved?.by ?? null, at, step };
  const lost = (what: string, rows: number | null, why: string): Lost => ({ what: `${what} of ${restore} of ${database}`, rows, why, ...by });
  return [
    ...(changed !== null && changed > 0
      ? [lost('the former content of rows', changed, 'they were made anew, or changed, since they were deleted, and were left as they are')]
      : []),
    ...(unreadable > 0 ? [lost('deleted rows', unreadable, 'their audit entries have no key that can be read: nobody can put them back from there')] : []),
    ...blocked.map((one) => lost('deleted rows', one.rows, `could not be put back because of ${one.by}`)),
    ...(lostColumns.length > 0 && (restored ?? 0) > 0
      ? [lost(`the values of ${lostColumns.join(', ')} in the rows that were put back`, null, 'the table does not have these columns any more')]
      : []),
  ];
}

function sinceThen(database: string, { asOf, settingsNotRestored, switched }: Recovered): Lost[] {
  if (!switched || !isDone(switched.state)) return [];
  const by = { approvedBy: switched.approved?.by ?? null, at: switched.at, step: switched.step };
  const kept = switched.kept === null ? 'the one that was in use is kept' : `it is still in ${switched.kept}, which is kept, read-only`;
  return [
    {
      what: `everything written to ${database} after ${asOf === null ? 'what it was recovered from' : `${moment(asOf)} UTC`}`,
      rows: null,
      why: `it was recovered as of then, and switched over to; ${kept}`,
      ...by,
    },
    ...(settingsNotRestored.length > 0
      ? [
          {
            what: `${count(settingsNotRestored.length, 'setting')} of the database itself: ${settingsNotRestored.join(', ')}`,
            rows: null,
            why: 'no backup holds them',
            ...by,
          },
        ]
      : []),
  ];
}

const brokenBefore = ({ name, before }: ChainReport): Lost[] =>
  before === null || (before.broken ?? 0) === 0
    ? []
    : [
        {
          what: `the proof of ${name} at ${count(before.broken ?? 0, 'place')}, the first ${before.firstBreak ?? 'not told'}`,
          rows: null,
          why: 'it was broken before anything was appended: it is recorded, and not repaired',
          approvedBy: null,
          at: before.at,
          step: `evidence.${name}`,
        },
      ];
