/** The chained record: entries only ever follow one another, each under the hash of the one before. */
import { GENESIS, type RecordEntry, type RecordPositionOf, type StoredEntry } from '../model/record.ts';
import type { Appended } from './store.ts';
import { type Database, type Queries, uuidOrNull } from './database.ts';
import { canonical, column, digest } from './digest.ts';

/** `BKT1`. Node-pg-migrate has another key. */
const LOCK_KEY = 0x424b5431;
const BATCH_ROWS = 500;

interface Row {
  seq: string;
  rollback_id: string;
  at: string;
  body: string;
  previous: string;
  hash: string;
}

/**
 * Every transaction that appends begins with this: `seq` has no gap, the chain no fork, and since it is the first
 * lock of every writer, two of them can never wait for each other.
 */
export async function lockRecord(queries: Queries): Promise<void> {
  await queries.query('SELECT pg_advisory_xact_lock($1)', [LOCK_KEY]);
}

function isEntry(value: unknown): value is RecordEntry {
  return typeof value === 'object' && value !== null && 'event' in value && typeof value.event === 'string' && 'rollbackId' in value;
}

function entryOf(body: string): RecordEntry {
  const value: unknown = JSON.parse(body);
  if (!isEntry(value)) throw new Error(`the record holds something that is no entry: ${body.slice(0, 200)}`);
  return value;
}

async function tail(queries: Queries): Promise<{ seq: number; head: string }> {
  const [last] = await queries.query<{ seq: string; hash: string }>('SELECT seq, hash FROM ops.record ORDER BY seq DESC LIMIT 1');
  return last === undefined ? { seq: 0, head: GENESIS } : { seq: Number(last.seq), head: last.hash };
}

/** What the record holds under these events. */
async function storedUnder(queries: Queries, events: readonly string[]): Promise<Map<string, RecordEntry>> {
  const rows = await queries.query<{ event: string; body: string }>('SELECT event, body FROM ops.record WHERE event = ANY($1)', [events]);
  return new Map(rows.map((row) => [row.event, entryOf(row.body)]));
}

/** Inside a transaction that holds the record's lock. An event that is there already stays as it is. */
export async function appendEntries(queries: Queries, rollbackId: string, entries: readonly RecordEntry[]): Promise<Appended> {
  const known = await storedUnder(
    queries,
    entries.map((entry) => entry.event),
  );
  let { seq, head } = await tail(queries);
  const rows: { seq: number; at: string; body: string; previous: string; hash: string; event: string }[] = [];
  const stored = entries.map((entry) => {
    if (entry.rollbackId !== rollbackId) throw new Error(`entry ${entry.event} belongs to ${entry.rollbackId}, not to ${rollbackId}`);
    const event = column(entry.event);
    const earlier = known.get(event);
    if (earlier !== undefined) return earlier;
    const body = canonical(entry);
    const previous = head;
    head = digest(previous, body);
    seq += 1;
    rows.push({ seq, at: entry.at, body, previous, hash: head, event });
    const now = entryOf(body);
    known.set(event, now);
    return now;
  });
  if (rows.length > 0) {
    await queries.query(
      `INSERT INTO ops.record (seq, rollback_id, at, body, previous, hash, event)
       SELECT seq, $1, at, body, previous, hash, event
         FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[]) AS entry (seq, at, body, previous, hash, event)`,
      [
        rollbackId,
        rows.map((row) => row.seq),
        rows.map((row) => row.at),
        rows.map((row) => row.body),
        rows.map((row) => row.previous),
        rows.map((row) => row.hash),
        rows.map((row) => row.event),
      ],
    );
  }
  return { position: { entries: await countOf(queries, rollbackId), seq, head }, stored };
}

async function countOf(queries: Queries, rollbackId: string): Promise<number> {
  const [row] = await queries.query<{ count: string }>('SELECT count(*) FROM ops.record WHERE rollback_id = $1', [uuidOrNull(rollbackId)]);
  return Number(row?.count ?? 0);
}

/** `Store.append`. */
export async function append(database: Database, rollbackId: string, entries: readonly RecordEntry[]): Promise<Appended> {
  return database.transaction(async (queries) => {
    await lockRecord(queries);
    return appendEntries(queries, rollbackId, entries);
  });
}

/** `Store.find`. */
export async function find(database: Database, event: string): Promise<RecordEntry | null> {
  const known = await storedUnder(database, [event]);
  return known.get(column(event)) ?? null;
}

/** The stored entries of these events, in the order they were appended. */
export async function entriesUnder(queries: Queries, events: readonly string[]): Promise<RecordEntry[]> {
  const rows = await queries.query<{ body: string }>('SELECT body FROM ops.record WHERE event = ANY($1) ORDER BY seq', [events]);
  return rows.map((row) => entryOf(row.body));
}

/** `Store.position`, in one statement, so that both halves are of the same moment. */
export async function position(queries: Queries, rollbackId: string): Promise<RecordPositionOf> {
  const [row] = await queries.query<{ entries: string; seq: string; hash: string }>(
    `SELECT (SELECT count(*) FROM ops.record WHERE rollback_id = $1) AS entries, seq, hash FROM ops.record ORDER BY seq DESC LIMIT 1`,
    [uuidOrNull(rollbackId)],
  );
  return row === undefined ? { entries: 0, seq: 0, head: GENESIS } : { entries: Number(row.entries), seq: Number(row.seq), head: row.hash };
}

const STORED = 'seq, rollback_id, at, body, previous, hash';

const storedOf = (row: Row): StoredEntry => ({
  seq: Number(row.seq),
  rollbackId: row.rollback_id,
  at: row.at,
  body: row.body,
  previous: row.previous,
  hash: row.hash,
});

/** `Store.entriesOf`. */
export async function entriesOf(queries: Queries, rollbackId: string): Promise<StoredEntry[]> {
  const rows = await queries.query<Row>(`SELECT ${STORED} FROM ops.record WHERE rollback_id = $1 ORDER BY seq`, [uuidOrNull(rollbackId)]);
  return rows.map(storedOf);
}

/** `Store.chain`. By key and not by cursor: no transaction stays open while the reader thinks. */
export async function* chain(database: Database, from: number): AsyncGenerator<StoredEntry> {
  let after = from;
  for (;;) {
    const rows = await database.query<Row>(`SELECT ${STORED} FROM ops.record WHERE seq > $1 ORDER BY seq LIMIT ${BATCH_ROWS}`, [after]);
    yield* rows.map(storedOf);
    const last = rows.at(-1);
    if (last === undefined || rows.length < BATCH_ROWS) return;
    after = Number(last.seq);
  }
}
