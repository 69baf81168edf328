/**
 * Rows that were deleted, put back from the customer's own audit log [004 section 3.4]. What 004 does in one statement is done here with a fixed window, the
 * latest entry of each key, a tenant filter and `ON CONFLICT DO NOTHING`; without these it would bring back rows of other tenants, fail on the first row that
 * is there already, and find other rows at each run. What is to be put back is laid into a temporary table first: the audit log is read once, no row of it
 * comes to us, and what our own inserts write into the audit log is never read.
 */
import { escapeIdentifier, DatabaseError, type Client } from 'pg';
import type { Receipt } from '../../model/state.ts';
import type { Preview, Restore } from './database.ts';
import { restoreOf, type Source } from './postgres-restore-source.ts';
import { sqlState, withSession, type Call } from './postgres-session.ts';

const BATCH = 500;
const TENANTS_SHOWN = 20;
/** What is known of each row to be put back; it goes with the session. */
const ROWS = 'pg_temp.backout_restore';
const A_TRIGGER = 'a trigger of the table';
/** An integrity constraint, a value that is none of its column's type, or what a trigger of the house raises. */
const REFUSED = /^(?:2[23]...|P0001)$/;

export async function preview(call: Call, restore: Restore): Promise<Preview> {
  const counting = async (client: Client): Promise<Preview> => {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const source = await restoreOf(call, restore, client);
    const { rows } = await client.query<{ state: string | null; tenant: string | null; rows: string }>(
      `SELECT state, CASE WHEN state IS NULL THEN tenant END AS tenant, count(*) AS rows
       FROM (SELECT wanted.tenant, ${stateOf(source)} AS state FROM ${beside(source, `(${source.wanted})`)}) AS found GROUP BY 1, 2`,
      [...source.values],
    );
    const unreadable = await unreadableOf(client, source);
    const later = await missingOf(client, source, source.later);
    const others = source.others === null ? 0 : await missingOf(client, source, source.others);
    await client.query('COMMIT');
    const sum = (state: string | null): number => rows.filter((row) => row.state === state).reduce((total, row) => total + Number(row.rows), 0);
    const byTenant = rows
      .filter(({ state }) => state === null && source.hasTenant)
      .map((row) => ({ tenant: row.tenant ?? '(none)', rows: Number(row.rows) }))
      .sort((one, other) => other.rows - one.rows || (one.tenant < other.tenant ? -1 : 1))
      .slice(0, TENANTS_SHOWN);
    const { named: table, refersTo, notes } = source;
    return { missing: sum(null), same: sum('same'), changed: sum('changed'), unreadable, later, others, table, refersTo, notes, byTenant };
  };
  return withSession(call, call.options.url, counting, { doing: () => `counting what ${restore.name} would put back` });
}

/**
 * In batches of 500 by key, each in one transaction, so that a crash loses one batch at most and the next attempt finds the rest. Where a constraint refuses a
 * row (its parent is gone, another row has its unique value now) that row alone is left out and counted as blocked, by constraint: the other rows do not
 * wait for it, and nobody is told that it is back. Every other error undoes its batch and is thrown.
 */
export async function restore(call: Call, restore: Restore): Promise<Receipt> {
  const at = { done: 0, total: 0 };
  const restoring = async (client: Client): Promise<Receipt> => {
    const source = await restoreOf(call, restore, client);
    at.total = await lay(client, source);
    await advanceSequences(client, source);
    const passed = (rows: number): void => {
      at.done += rows;
      call.heartbeat(`${restore.name}: ${at.done} of ${at.total} rows looked at`);
    };
    await pass(client, source, passed);
    // A row may stand before its own parent in the order of the keys: again, for as long as that helps.
    for (let before = 0, now = await restoredOf(client); now > before; now = await restoredOf(client)) {
      before = now;
      const again = await reopen(client, source);
      if (again === 0) break;
      at.done -= again;
      await pass(client, source, passed);
    }
    return receiptOf(client, source, restore);
  };
  return withSession(call, call.options.url, restoring, {
    doing: () => `${restore.name}: ${at.total === 0 ? 'reading the audit log' : `${at.done} of ${at.total} rows looked at`}`,
  });
}

const quoted = escapeIdentifier;
/** Rows to be put back, each with the row of its key that is there, if any. */
const beside = ({ table, key }: Source, rows: string): string =>
  `${rows} AS wanted LEFT JOIN ${table} AS backout_row ON ${key.map((name, place) => `backout_row.${quoted(name)} = wanted.k${place}`).join(' AND ')}`;
async function missingOf(client: Client, source: Source, rows: string): Promise<number> {
  const { rows: found } = await client.query<{ rows: string }>(
    `SELECT count(*) AS rows FROM ${beside(source, `(${rows})`)} WHERE backout_row.${quoted(source.key[0] ?? '')} IS NULL`,
    [...source.values],
  );
  return Number(found[0]?.rows);
}

/** Null: it is not there. Compared is what the audit entry says, as json: not every type knows whether it is equal. */
const stateOf = ({ key }: Source): string =>
  `CASE WHEN backout_row.${quoted(key[0] ?? '')} IS NULL THEN NULL
     WHEN to_jsonb(jsonb_populate_record(backout_row, wanted.old)) = to_jsonb(backout_row) THEN 'same' ELSE 'changed' END`;

/** Answers how many there are. */
async function lay(client: Client, source: Source): Promise<number> {
  await client.query(`DROP TABLE IF EXISTS ${ROWS}`);
  await client.query(
    `CREATE TEMPORARY TABLE backout_restore (n bigint PRIMARY KEY, ${source.keyColumns}, old jsonb, columns text[], state text, blocked_by text)`,
  );
  const keys = source.key.map((_, place) => `k${place}`).join();
  const { rowCount } = await client.query(
    `INSERT INTO ${ROWS} SELECT row_number() OVER (ORDER BY ${keys}), ${keys}, old, ARRAY(SELECT jsonb_object_keys(old) ORDER BY 1) FROM (${source.wanted}) AS wanted`,
    [...source.values],
  );
  await client.query(`ANALYZE ${ROWS}`);
  return rowCount ?? 0;
}

/**
 * A number that is put back must not be given out a second time. Before the rows are: nothing is lost by a gap, and the application goes on writing
 * meanwhile. Never backwards.
 */
async function advanceSequences(client: Client, source: Source): Promise<void> {
  for (const { column, sequence } of source.sequences) {
    await client.query(
      `SELECT setval($1::regclass, highest) FROM (SELECT max((old ->> $2)::numeric)::bigint AS highest FROM ${ROWS}) AS rows, ${sequence} AS now
       WHERE highest > last_value OR (highest = last_value AND NOT is_called)`,
      [sequence, column],
    );
  }
}

/** Once over all that is open, batch by batch. */
async function pass(client: Client, source: Source, passed: (rows: number) => void): Promise<void> {
  for (let last = 0; ;) {
    const { rows } = await client.query<{ n: string | null; rows: string }>(
      `SELECT max(n) AS n, count(*) AS rows FROM (SELECT n FROM ${ROWS} WHERE n > $1 AND state IS NULL ORDER BY n LIMIT ${BATCH}) AS batch`,
      [last],
    );
    const [to, count] = [Number(rows[0]?.n), Number(rows[0]?.rows)];
    if (count === 0) return;
    await batch(client, source, [last + 1, to]);
    last = to;
    passed(count);
  }
}

/** Of the rows' numbers, both included. */
type Span = readonly [from: number, to: number];
const OPEN = 'wanted.n BETWEEN $1 AND $2 AND wanted.state IS NULL';

async function batch(client: Client, source: Source, span: Span): Promise<void> {
  await client.query('BEGIN');
  try {
    // A constraint that would speak at COMMIT, when nobody could say of which row, speaks at once.
    await client.query('SET CONSTRAINTS ALL IMMEDIATE');
    if ((await refusal(client, () => put(client, source, span))) !== null) await putEach(client, source, span);
    // What was neither put back nor is there was left out by a trigger: a policy that hid it would have been an error.
    await client.query(
      `UPDATE ${ROWS} AS rows SET state = coalesce(found.state, 'blocked'), blocked_by = CASE WHEN found.state IS NULL THEN '${A_TRIGGER}' END
       FROM (SELECT wanted.n, ${stateOf(source)} AS state FROM ${beside(source, ROWS)} WHERE ${OPEN}) AS found WHERE found.n = rows.n`,
      [...span],
    );
    await client.query('COMMIT');
  } catch (error) {
    // Where the connection is gone, so is the transaction; the first error is the one to be told.
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

/** Explicit columns, those that the entries have: what was added to the table since takes its own default. */
async function put(client: Client, source: Source, span: Span): Promise<void> {
  const { rows } = await client.query<{ columns: string[] }>(`SELECT DISTINCT columns FROM ${ROWS} AS wanted WHERE ${OPEN}`, [...span]);
  for (const { columns } of rows) {
    const typed = columns.map((name) => `${quoted(name)} ${source.columns.get(name)}`).join();
    const returned = source.key.map((name) => quoted(name)).join();
    await client.query(
      `WITH put AS (
         INSERT INTO ${source.table} (${columns.map(quoted).join()}) OVERRIDING SYSTEM VALUE
         SELECT ${columns.map((name) => (source.jsonNulls.has(name) ? `coalesce(typed.${quoted(name)}, 'null')` : `typed.${quoted(name)}`)).join()} FROM ${ROWS} AS wanted, jsonb_to_record(wanted.old) AS typed(${typed})
         WHERE ${OPEN} AND wanted.columns = $3 ORDER BY wanted.n
         ON CONFLICT (${returned}) DO NOTHING RETURNING ${returned})
       UPDATE ${ROWS} AS wanted SET state = 'restored' FROM put WHERE ${OPEN} AND ${source.key.map((name, place) => `put.${quoted(name)} = wanted.k${place}`).join(' AND ')}`,
      [...span, columns],
    );
  }
}

async function putEach(client: Client, source: Source, span: Span): Promise<void> {
  const { rows } = await client.query<{ n: string }>(`SELECT n FROM ${ROWS} AS wanted WHERE ${OPEN} ORDER BY n`, [...span]);
  for (const { n } of rows) {
    const by = await refusal(client, () => put(client, source, [Number(n), Number(n)]));
    if (by !== null) await client.query(`UPDATE ${ROWS} SET state = 'blocked', blocked_by = $2 WHERE n = $1`, [n, by]);
  }
}

/** Which constraint refused it, with nothing of it left; null: none did. */
async function refusal(client: Client, act: () => Promise<void>): Promise<string | null> {
  await client.query('SAVEPOINT backout');
  try {
    await act();
    await client.query('RELEASE SAVEPOINT backout');
    return null;
  } catch (error) {
    if (!(error instanceof DatabaseError) || !REFUSED.test(sqlState(error))) throw error;
    await client.query('ROLLBACK TO SAVEPOINT backout');
    if (sqlState(error).startsWith('22')) return 'a value that its column does not take';
    if (error.code === '23502') return `${error.column ?? 'a column'} that may not be empty`;
    return error.constraint ?? A_TRIGGER;
  }
}

/** Those that wait for a row of the same table; answers how many. */
async function reopen(client: Client, { table }: Source): Promise<number> {
  const { rowCount } = await client.query(
    `UPDATE ${ROWS} SET state = NULL, blocked_by = NULL WHERE state = 'blocked'
       AND blocked_by IN (SELECT conname FROM pg_constraint WHERE contype = 'f' AND conrelid = to_regclass($1) AND confrelid = conrelid)`,
    [table],
  );
  return rowCount ?? 0;
}

async function restoredOf(client: Client): Promise<number> {
  const { rows } = await client.query<{ rows: string }>(`SELECT count(*) AS rows FROM ${ROWS} WHERE state = 'restored'`);
  return Number(rows[0]?.rows);
}

async function unreadableOf(client: Client, { unreadable }: Source): Promise<number> {
  const { rows } = await client.query<{ rows: string }>(unreadable.text, [...unreadable.values]);
  return Number(rows[0]?.rows);
}

async function receiptOf(client: Client, source: Source, { name, window, tenant }: Restore): Promise<Receipt> {
  const { rows } = await client.query<{ state: string; by: string | null; rows: string }>(
    `SELECT state, blocked_by AS by, count(*) AS rows FROM ${ROWS} GROUP BY 1, 2 ORDER BY count(*) DESC, 2`,
  );
  const count = (state: string): number => rows.filter((row) => row.state === state).reduce((total, row) => total + Number(row.rows), 0);
  const [restored, same, changed] = ['restored', 'same', 'changed'].map(count);
  const blocked = rows.filter(({ state }) => state === 'blocked').map((row) => ({ by: row.by, rows: Number(row.rows) }));
  const unreadable = await unreadableOf(client, source);
  const lost = (await client.query<{ name: string }>(source.lost.text, [...source.lost.values])).rows.map(({ name }) => name);
  const detail = [
    `${restored} rows put back, ${same} were there as they were, ${changed} were there and have changed since (left as they are)`,
    ...blocked.map(({ by, rows }) => `${rows} could not be put back because of ${by}`),
    ...(unreadable > 0 ? [`${unreadable} audit entries have no readable key`] : []),
    ...(lost.length > 0 ? [`the table has no column ${lost.join(', ')} any more`] : []),
  ].join('; ');
  return { after: { restore: name, window, tenant, restored, same, changed, blocked, unreadable, lost }, detail };
}
