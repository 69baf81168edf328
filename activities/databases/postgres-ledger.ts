/** The migration tool's own ledger, and the marks that Backout leaves beside it in the customer's database. */
import { escapeIdentifier, escapeLiteral, type Client } from 'pg';
import type { Destroyed } from '../../model/plan.ts';
import type { Receipt } from '../../model/state.ts';
import { AdapterError } from '../adapters/adapter.ts';
import { isNamed, type Applied, type Migration } from './database.ts';
import { hashOfStatements, sha256 } from './postgres-inverse.ts';
import type { PostgresOptions } from './postgres-options.ts';
import { quotedTable, withSession, type Address, type Call } from './postgres-session.ts';

export type LedgerOptions = NonNullable<PostgresOptions['ledger']>;

export function ledgerOf({ name, options }: Pick<Call, 'name' | 'options'>): LedgerOptions {
  if (options.ledger === undefined)
    throw new AdapterError('configuration', `the database ${name} has no ledger in backout.yaml: without the migration tool's own table nothing can be undone`);
  return options.ledger;
}

export const newestFirst = ({ name, order }: LedgerOptions): string =>
  [order, name].flatMap((one) => (one ? [`${escapeIdentifier(one)} DESC`] : [])).join(', ');

interface Row {
  readonly name: string;
  readonly hash: string | null;
  readonly statements: readonly string[] | null;
}

const appliedOf = ({ name, hash, statements }: Row): Applied => ({
  name,
  hash: hash?.replace(/^\\x/, '') ?? (statements ? hashOfStatements(statements.join(';\n')) : null),
});

async function read(client: Client, ledger: LedgerOptions): Promise<Applied[]> {
  const text = (column: string | undefined, as: string): string => (column === undefined ? 'NULL' : `${escapeIdentifier(column)}::${as}`);
  const { rows } = await client.query<Row>(
    `SELECT ${text(ledger.name, 'text')} AS name, ${text(ledger.hash, 'text')} AS hash, ${text(ledger.statements, 'text[]')} AS statements
       FROM ${quotedTable(ledger.table)} ORDER BY ${newestFirst(ledger)}`,
  );
  return rows.map(appliedOf).toReversed();
}

export const ledger = (call: Call, address: Address): Promise<readonly Applied[]> => {
  const options = ledgerOf(call);
  return withSession(call, address, (client) => read(client, options), { doing: () => `reading ${options.table}` });
};

/** Whatever a role's search path, the same key for the same table. */
export const lockOf = ({ table }: LedgerOptions, of: 'xact_' | '' = 'xact_'): string =>
  `SELECT pg_catalog.pg_advisory_${of}lock(pg_catalog.hashtextextended('backout ledger ' || n.nspname || '.' || c.relname, 0))
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ${escapeLiteral(quotedTable(table))}::regclass;`;

/** Backout's own lock on this ledger, and the migration tool's. Postgres keeps locks of transactions and of sessions in one space. */
export async function lockLedger(client: Client, options: LedgerOptions, of: 'xact_' | ''): Promise<void> {
  const { lock } = options;
  await client.query(lockOf(options, of));
  if (lock !== undefined) await client.query(`SELECT pg_catalog.pg_advisory_${of}lock($1::bigint)`, [lock]);
}

/** That one operation has undone a migration. */
export interface Mark {
  /** Without its generation: a person's decision makes no other operation of it. */
  readonly operation: string;
  readonly migration: string;
  /** SHA-256. */
  readonly inverse: string;
  readonly destroyed: readonly Destroyed[];
  readonly milliseconds: number;
}

export const operationOf = ({ operationId }: Pick<Call, 'operationId'>): string => operationId.replace(/\/[^/]*$/, '');

/** Under the lock of the ledger. Another ledger of the same database may be at it as well. */
export async function prepareMarks(client: Client): Promise<void> {
  const { rows } = await client.query<{ there: boolean }>(
    `SELECT to_regclass('backout.undone') IS NOT NULL AND to_regclass('backout.undone_statements') IS NOT NULL AS there`,
  );
  if (rows[0]?.there) return;
  await client.query(`SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('backout.undone', 0))`);
  await client.query(`CREATE SCHEMA IF NOT EXISTS backout`);
  await client.query(`
    CREATE TABLE IF NOT EXISTS backout.undone (
      operation text PRIMARY KEY, migration text NOT NULL, inverse text NOT NULL, destroyed jsonb NOT NULL,
      milliseconds integer NOT NULL, at timestamptz NOT NULL DEFAULT now())`);
  await client.query(`
    CREATE TABLE IF NOT EXISTS backout.undone_statements (
      operation text NOT NULL, number integer NOT NULL, statement text NOT NULL, state text NOT NULL CHECK (state IN ('begun', 'failed', 'done')),
      object oid, destroyed jsonb NOT NULL DEFAULT '[]', at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (operation, number))`);
  await client.query(`COMMENT ON SCHEMA backout IS 'What Backout has undone in this database. Without it, it cannot tell what it has done.'`);
}

export async function leaveMark(client: Client, { operation, migration, inverse, destroyed, milliseconds }: Mark): Promise<void> {
  await client.query('INSERT INTO backout.undone (operation, migration, inverse, destroyed, milliseconds) VALUES ($1, $2, $3, $4, $5)', [
    operation,
    migration,
    inverse,
    JSON.stringify(destroyed),
    milliseconds,
  ]);
}

/** The mark of an earlier attempt, all done; null: the migration is there to be undone, and the newest. Else a `conflict`; `changed` says what has been changed so far. */
export async function inspect(client: Client, call: Call, migration: Migration, changed: string): Promise<Mark | null> {
  const options = ledgerOf(call);
  const operation = operationOf(call);
  const isMarked = (await client.query<{ there: boolean }>(`SELECT to_regclass('backout.undone') IS NOT NULL AS there`)).rows[0]?.there;
  const marks = isMarked
    ? await client.query<Mark>('SELECT operation, migration, inverse, destroyed, milliseconds FROM backout.undone WHERE operation = $1', [operation])
    : null;
  const mark = marks?.rows[0] ?? null;
  const applied = await read(client, options);
  const rows = applied.filter((one) => one.name === migration.name);
  const conflict = (why: string): AdapterError => new AdapterError('conflict', `${why}; ${changed}`);
  if (mark !== null && (!isNamed(mark.migration, migration.name) || mark.inverse !== sha256(migration.inverse)))
    throw conflict(`this operation has undone ${mark.migration} by another inverse than this one of ${migration.name}`);
  if (mark !== null && rows.length > 0) throw conflict(`${migration.name} was undone by this operation, and is in ${options.table} again: it was applied anew`);
  if (mark !== null) return mark;
  const [row] = rows;
  if (row === undefined)
    throw conflict(`${migration.name} is not in ${options.table}, and there is no mark that this operation has undone it: nobody can say what became of it`);
  if (rows.length > 1) throw conflict(`${migration.name} is in ${options.table} ${rows.length} times`);
  const newest = applied.at(-1)?.name;
  if (newest !== migration.name) throw conflict(`${migration.name} is not the newest of ${options.table}: ${newest} is`);
  if (row.hash !== null && bare(row.hash) !== bare(migration.hash))
    throw conflict(`${migration.name} is not what was recorded: ${options.table} has another hash`);
  return null;
}

const bare = (hash: string): string => hash.replace(/^sha256:/i, '').toLowerCase();

/** In the transaction of the mark. The inverse may have taken the row out itself, and no other one. */
export async function takeOut(client: Client, options: LedgerOptions, name: string, before: number, changed: string): Promise<void> {
  await client.query(`DELETE FROM ${quotedTable(options.table)} WHERE ${escapeIdentifier(options.name)}::text = $1`, [name]);
  const after = await read(client, options);
  if (after.length !== before - 1 || after.some((one) => one.name === name))
    throw new AdapterError('failed', `${options.table} has ${after.length} rows instead of ${before - 1}: not only ${name} was taken out; ${changed}`);
}

/** Keeps writers of the ledger out until the end of the transaction, and not its readers. How many rows there are. */
export async function holdLedger(client: Client, { table }: LedgerOptions): Promise<number> {
  await client.query(`LOCK TABLE ${quotedTable(table)} IN SHARE ROW EXCLUSIVE MODE`);
  const { rows } = await client.query<{ count: string }>(`SELECT count(*) FROM ${quotedTable(table)}`);
  return Number(rows[0]?.count);
}

export const receiptOf = ({ operation, migration, inverse, destroyed, milliseconds }: Mark, already: boolean): Receipt => ({
  before: { newest: migration },
  after: { migration, destroyed, milliseconds, ...(already ? { already: true } : {}) },
  ids: { operation, inverse: `sha256:${inverse}` },
  detail: already ? `${migration} had been undone by this operation` : `${migration} undone, and taken out of the ledger`,
});
