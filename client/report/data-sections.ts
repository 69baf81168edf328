/** The section of what levels 2 and 3 did [001 steps 3c to 3e]: first what was lost, then each database, evidence chain and credential. */
import { duration } from '../words.ts';
import { lossOf } from '../../model/incident-data.ts';
import type { ChainReport } from './chains.ts';
import { credentialBlocks } from './credential-sections.ts';
import type { DataReport } from './data.ts';
import type { DataStep } from './data-step.ts';
import { count, shortHash, violationWords } from './data-words.ts';
import type { CheckReport, DatabaseReport, Recovered } from './databases.ts';
import { code, heading, moment, quote, strong, table, text, type Block, type Line, type Piece, type Tone } from './document.ts';
import type { Lost } from './losses.ts';

export const dataBlocks = (data: DataReport): Block[] => [
  ...lossBlocks(data),
  ...(data.window === null || data.databases.length + data.chains.length === 0
    ? []
    : [text(`Taken for damaged: what was deleted or written from ${moment(data.window.from)} to ${moment(data.window.to)} UTC.`)]),
  ...data.databases.flatMap(databaseBlocks),
  ...data.chains.flatMap(chainBlocks),
  ...(data.credentials ? credentialBlocks(data.credentials) : []),
];

/** In one line, for whoever reads no further. */
export const lostWords = ({ what, rows }: Pick<Lost, 'what' | 'rows'>): string => `${what}${rows === null ? '' : ` (${count(rows, 'row')})`}`;

function lossBlocks({ lost, lostUntold, databases, chains }: DataReport): Block[] {
  const untold = lostUntold.map((name) => text([strong(`Backout cannot say what was lost of ${name}:`), ' people went back with it by hand; see their note.']));
  if (databases.length + chains.length === 0) return [];
  if (lost.length === 0) return [...untold, ...(untold.length === 0 ? [text('Nothing was lost by design.')] : [])];
  return [
    heading('WHAT WAS LOST BY DESIGN'),
    quote(
      strong('This is gone, or was left as it is, as it was approved or as its source could not have it otherwise. Nobody should have to find it out later.'),
    ),
    table(
      ['what', 'rows', 'why', 'approved by', 'step'],
      lost.map((one): Line[] => [
        strong(one.what),
        one.rows === null ? { tone: 'bad', text: 'cannot be counted' } : { tone: 'bad', text: String(one.rows) },
        one.why,
        one.approvedBy === null ? 'nobody was asked' : `${one.approvedBy}${one.at === null ? '' : `, done ${moment(one.at)}`}`,
        code(one.step),
      ]),
    ),
    ...untold,
  ];
}

const TONES: Readonly<Record<string, Tone>> = {
  done: 'good',
  already: 'good',
  confirmed: 'good',
  failed: 'bad',
  unknown: 'bad',
  declined: 'bad',
  skipped: 'warn',
};

export function stateOf({ state, at, failure }: Pick<DataStep, 'state' | 'at' | 'failure'>): readonly Piece[] {
  const [tone, word] = [TONES[state] ?? 'calm', state === 'pending' ? 'not done' : state];
  return [{ tone, text: word }, ...(at === null ? [] : [`, ${moment(at)}`]), ...(failure === null ? [] : [`: ${failure}`])];
}
const byOf = ({ approved }: Pick<DataStep, 'approved'>): string =>
  approved === null ? 'needed none' : `${approved.by}, ${moment(approved.at)}${approved.note === null ? '' : `: ${approved.note}`}`;
const shown = (rows: number | null): string => (rows === null ? '' : String(rows));

function databaseBlocks(database: DatabaseReport): Block[] {
  const { name, undone, restored, recovered, byHand, rebuilt } = database;
  const isLeft = undone.length + restored.length === 0 && recovered === null && byHand === null;
  return [
    heading(`Database ${name}`),
    ...(isLeft ? [text('No migration and no row of it had to be gone back with.')] : []),
    ...(byHand
      ? [
          text([
            'Gone back with by hand: ',
            ...stateOf(byHand),
            `. ${byHand.approved === null ? 'Nobody has said so yet.' : `${byOf(byHand)}${byHand.evidence.length === 0 ? '' : `; ${byHand.evidence.join('; ')}`}`}`,
          ]),
        ]
      : []),
    ...(undone.length === 0
      ? []
      : [
          table(
            ['migration undone', 'state', 'approved by', 'destroyed', 'took'],
            undone.map((one): Line[] => [
              one.migration,
              [...stateOf(one), ...(one.byHand ? [', by hand'] : [])],
              byOf(one),
              destroyedWords(one),
              one.milliseconds === null ? '' : duration(one.milliseconds / 1000),
            ]),
          ),
        ]),
    ...(restored.length === 0 ? [] : restoredBlocks(restored)),
    ...(recovered ? recoveredBlocks(recovered) : []),
    ...(rebuilt.length === 0
      ? []
      : [
          table(
            ['rebuilt', 'state', 'output'],
            rebuilt.map((one): Line[] => [one.name, stateOf(one), one.file === null ? '' : [code(one.file), ', sha256 ', code(one.sha256 ?? '')]]),
          ),
        ]),
    ...checkBlocks(database),
  ];
}

function destroyedWords({ state, destroyed, wouldDestroy }: DatabaseReport['undone'][number]): Line {
  if (destroyed !== null) return destroyed.length === 0 ? 'nothing' : strong(lossOf(destroyed));
  if (wouldDestroy.length === 0) return state === 'done' || state === 'already' ? 'nothing, as it was planned' : '';
  return state === 'done' || state === 'already' ? strong(`${lossOf(wouldDestroy)}, as it was planned`) : `would destroy ${lossOf(wouldDestroy)}`;
}

function restoredBlocks(restored: DatabaseReport['restored']): Block[] {
  const rows = restored.map((one): Line[] => [
    `${one.restore}${one.tenant === null ? '' : `, of ${one.tenant} alone`}`,
    stateOf(one),
    byOf(one),
    shown(one.restored),
    shown(one.there),
    one.changed !== null && one.changed > 0 ? strong(String(one.changed)) : shown(one.changed),
    [
      ...one.blocked.map(({ by, rows: blocked }) => `${blocked} because of ${by}`),
      ...(one.unreadable > 0 ? [`${count(one.unreadable, 'audit entry', 'audit entries')} without a readable key`] : []),
    ].join('; '),
  ]);
  return [table(['rows from the audit log', 'state', 'approved by', 'restored', 'there already', 'changed since, left', 'could not be put back'], rows)];
}

function recoveredBlocks(one: Recovered): Block[] {
  const { switched } = one;
  const rows: Line[][] = [
    ['Recovered', stateOf(one)],
    ['Approved by', byOf(one)],
    ...(one.into === null ? [] : [['Into', `${one.into}, which is new`]]),
    ...(one.from === null ? [] : [['From', one.from]]),
    ['As of', one.asOf === null ? 'not known' : strong(`${moment(one.asOf)} UTC: nothing written later is in it`)],
    ...(one.newestMigration === null ? [] : [['Its newest migration', one.newestMigration]]),
    ...(one.checks.length === 0
      ? []
      : [['Its checks, before anybody was switched over', one.checks.map((check) => `${check.name}: ${violationWords(check)}`).join('; ')]]),
    ...(switched === null
      ? []
      : [
          ['Switched over', stateOf(switched)],
          ['Approved by', byOf(switched)],
          ...(switched.places === null ? [] : [['Its address was changed in', count(switched.places, 'place')]]),
          ...(switched.kept === null ? [] : [['Kept, read-only for new sessions', switched.kept]]),
          ...(switched.connected.length === 0 ? [] : [['Still connected to that one then', switched.connected.join(', ')]]),
        ]),
  ];
  return [table(['', ''], rows)];
}

const COVERS: Readonly<Record<string, string>> = { tenants: 'tenant boundaries', idempotency: 'idempotency' };

function checkBlocks({ checks, isChecked, byHand }: DatabaseReport): Block[] {
  const found = (one: CheckReport['before']): readonly Piece[] => {
    if (one === null) return [{ tone: 'warn', text: 'not run' }];
    if (one.violations === null) return [{ tone: 'bad', text: 'could not be run' }, `: ${one.detail ?? 'no reason given'}`];
    return [{ tone: one.violations === 0 ? 'good' : 'bad', text: violationWords(one) }];
  };
  if (checks.length === 0 && isChecked) return [text('The house’s own checks were not run yet.')];
  // Who goes back with it by hand gives the proof, too.
  if (checks.length === 0) return byHand ? [] : [text('The house has no check of its own for it: nothing was proven of its tenant boundaries.')];
  return [
    table(
      ['the house’s own check', 'of', 'before', 'after'],
      checks.map((one): Line[] => [one.name, COVERS[one.covers] ?? '', found(one.before), found(one.after)]),
    ),
  ];
}

/** What is toned does not wrap: a word or two. */
const VERDICT: Readonly<Record<ChainReport['verdict'], readonly [tone: Tone, word: string, words: string]>> = {
  intact: ['good', '✔ intact', ': what was there before is what it was, and what came after it links on'],
  'broken-before': [
    'warn',
    '! broken before',
    ': it was so before anything was appended, and is so still; recorded, not repaired. Nothing else of it is broken, and nothing was rewritten',
  ],
  failed: ['bad', '✘ does not hold', ''],
  'not-verified': ['warn', '· not verified', ''],
};

function chainBlocks({ name, before, after, verdict, failure, annotation }: ChainReport): Block[] {
  const [tone, word, words] = VERDICT[verdict];
  const rows: Line[][] = [before, after].map((seen, index) => [
    index === 0 ? 'before' : 'after',
    seen === null ? 'not looked at' : moment(seen.at),
    shown(seen?.entries ?? null),
    seen ? code(shortHash(seen.head)) : '',
    seen?.broken === 0 ? { tone: 'good', text: 'nothing' } : seen?.broken ? { tone: 'bad', text: count(seen.broken, 'break') } : '',
  ]);
  return [
    heading(`Evidence ${name}`),
    text([{ tone, text: word }, words, ...(failure === null ? [] : [`: ${failure}`])]),
    table(['', 'time (UTC)', 'entries', 'head', 'broken'], rows),
    ...(before?.firstBreak ? [text([strong('Broken before, and not repaired:'), ` ${before.firstBreak}`])] : []),
    ...(annotation ? [annotationBlock(annotation)] : []),
    ...((before?.warnings ?? []).length === 0
      ? []
      : [text([strong('What could let it be forked or rewritten unseen:'), ` ${before?.warnings.join('; ') ?? ''}`])]),
  ];
}

function annotationBlock(one: NonNullable<ChainReport['annotation']>): Block {
  const of = [
    one.entries === null ? null : count(one.entries, 'affected entry', 'affected entries'),
    one.runs === null ? null : count(one.runs, 'affected run'),
  ].filter((words) => words !== null);
  const where = one.first === null ? '' : one.first === one.last || one.last === null ? `, entry ${one.first}` : `, entries ${one.first} to ${one.last}`;
  const what =
    one.annotations === null ? '' : `: ${count(one.annotations, 'entry', 'entries')} appended${where}${of.length === 0 ? '' : `, for ${of.join(' and ')}`}`;
  return text(['Annotated with this incident, by what was appended: ', ...stateOf(one), what]);
}
