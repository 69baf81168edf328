/** Appends one annotation to a chain, under its writers' lock, linked and verified before it is committed. */
import { setTimeout as wait } from 'node:timers/promises';
import { type Client, escapeIdentifier, escapeLiteral } from 'pg';
import type { Receipt } from '../../model/state.ts';
import { canonical, column as storable, jsonb } from '../../store/digest.ts';
import { AdapterError } from '../adapters/adapter.ts';
import { quotedTable, sqlState, withSession } from '../databases/postgres-session.ts';
import type { Annotation, ChainCall } from './chain.ts';
import { counted, look, operationOf, type Affected, type Seen } from './postgres-look.ts';
import { PLACEHOLDER, type ChainOptions, type Placeholder, type Template } from './postgres-options.ts';
import { AS_TEXT, column, entriesQuery, entryColumns, inTransaction } from './postgres-sql.ts';
import { hasher, Walk, type From, type Row } from './postgres-walk.ts';

type Call = ChainCall<ChainOptions>;

const TRIES = 3;
/** Between two tries, in which those who waited behind us go first. */
const SPACE_MS = 1_000;
const LOCKED = '55P03';
const FORBIDDEN = '42501';

export const annotate = (call: Call, annotation: Annotation): Promise<Receipt> =>
  withSession(
    call,
    call.options.url,
    async (client) => {
      const { options } = call;
      // All of the table is read before anybody has to wait for us; under the lock only what has come since.
      const seen = await inTransaction(client, 'read', options, async () => ({
        ...(await look(client, call, annotation.window, null)),
        runs: await counted(client, options, annotation.window),
      }));
      if (seen.found.length > 0) return receiptOf(seen.found, null);
      for (let tries = 1; ; tries += 1)
        try {
          return await inTransaction(client, 'append', options, () => append(client, call, annotation, seen));
        } catch (error) {
          if (sqlState(error) !== LOCKED) throw error;
          const holders = await holdersOf(client, call);
          if (tries === TRIES)
            throw new AdapterError(
              'conflict',
              `${options.table} was not to be had for an annotation in ${TRIES} tries of ${options.lockTimeoutSeconds} s: ${holders}; nothing was appended`,
            );
          await wait(SPACE_MS * tries, undefined, { signal: call.signal });
        }
    },
    { doing: () => `annotating ${call.name}` },
  );

function receiptOf(found: readonly string[], affected: Affected | null): Receipt {
  const [first = null, last = null] = [found[0], found.at(-1)];
  const after = { annotations: found.length, first, last, already: affected === null };
  if (affected === null) return { after, detail: `the annotation of this operation is entry ${first} already` };
  const { entries, runs } = affected;
  const what = [`${entries.count} entries`, ...(runs === null ? [] : [`${runs.count} runs`])].join(' and ');
  return {
    after: { ...after, affected: { entries: entries.count, runs: runs?.count ?? null } },
    detail: `${what} in the window are annotated in entry ${first}`,
  };
}

async function append(client: Client, call: Call, annotation: Annotation, seen: Seen & Pick<Affected, 'runs'>): Promise<Receipt> {
  const { options } = call;
  await lock(client, call);
  const since = await look(client, call, annotation.window, seen.last);
  if (since.found.length > 0) return receiptOf(since.found, null);
  const affected = {
    runs: seen.runs,
    entries: {
      count: seen.entries.count + since.entries.count,
      first: seen.entries.first ?? since.entries.first,
      last: since.entries.last ?? seen.entries.last,
    },
  };
  const { window, ...rest } = annotation;
  const words: Words = { ...rest, ...window, operation: operationOf(call), ...affected };
  if ('function' in options.append) await client.query(`SELECT ${quotedTable(options.append.function)}($1::jsonb)`, [printed(words)]);
  else await insert(client, options, since, filledIn(options.append.columns, words));
  return receiptOf(await verified(client, call, annotation, since), affected);
}

/** What has come behind `from` is linked to it and holds, and one entry of it is the annotation of this operation. */
async function verified(client: Client, call: Call, { window }: Annotation, from: From): Promise<readonly string[]> {
  const { options } = call;
  const walk = new Walk(options, from);
  const { rows } = await client.query<(string | null)[]>({ ...entriesQuery(options, { after: from.last }, false), rowMode: 'array', types: AS_TEXT });
  for (const row of rows) walk.take(row);
  const { found } = await look(client, call, window, from.last);
  const [wrong] = walk.breaks;
  if (wrong !== undefined)
    throw new AdapterError('failed', `what was to be appended does not hold: ${wrong.kind} at ${wrong.at}, ${wrong.detail}; nothing was appended`);
  if (found.length !== 1)
    throw new AdapterError('failed', `${found.length} entries are found by operation ${operationOf(call)} where 1 was to be appended; nothing was appended`);
  return found;
}

/** By which two attempts of this operation never run at once. */
const ownKey = (call: Call): string => `backout ${call.options.table} ${operationOf(call)}`;

/**
 * Whoever waits for us waits for a bounded time, even where this process freezes. A function of the house's own locks as its writers do: to lock the table around
 * it could be a deadlock with them.
 */
async function lock(client: Client, call: Call): Promise<void> {
  const { options } = call;
  await client.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [ownKey(call)]);
  if (options.lock !== undefined) await client.query('SELECT pg_advisory_xact_lock($1)', [options.lock]);
  if ('columns' in options.append) await lockTable(client, options);
  const milliseconds = `${Math.ceil(options.holdTimeoutSeconds * 1_000)}ms`;
  await client.query(`SELECT set_config('statement_timeout', $1, true), set_config('idle_in_transaction_session_timeout', $1, true)`, [milliseconds]);
}

async function lockTable(client: Client, { url, table }: ChainOptions): Promise<void> {
  try {
    await client.query(`LOCK TABLE ${quotedTable(table)} IN SHARE ROW EXCLUSIVE MODE`);
  } catch (error) {
    if (sqlState(error) !== FORBIDDEN) throw error;
    const remedy = `grant it MAINTAIN (Postgres 17 and later), or append by a function of the house's own (append.function)`;
    throw new AdapterError('unauthorized', `the role of ${url} may not lock ${table}, or use its schema: ${remedy}; nothing was appended`);
  }
}

/** By application and process, never what it says. */
async function holdersOf(client: Client, call: Call): Promise<string> {
  const { rows } = await client.query<{ who: string }>(
    `SELECT DISTINCT format('%s (%s, process %s%s)', coalesce(nullif(a.application_name, ''), 'an unnamed application'), a.usename, a.pid,
         ', in a transaction since ' || to_char(a.xact_start AT TIME ZONE 'UTC', 'HH24:MI:SS UTC')) AS who
       FROM pg_locks l JOIN pg_stat_activity a USING (pid)
      WHERE l.granted AND a.pid <> pg_backend_pid() AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (l.relation = to_regclass($1) AND l.mode NOT IN ('AccessShareLock', 'RowShareLock')
          OR l.locktype = 'advisory' AND l.objsubid = 1 AND (l.classid::bigint << 32 | l.objid::bigint) IN ($2::bigint, hashtextextended($3, 0)))
      ORDER BY 1 LIMIT 5`,
    [quotedTable(call.options.table), call.options.lock ?? null, ownKey(call)],
  );
  return rows.length === 0 ? 'whoever held it is gone now' : `held by ${rows.map(({ who }) => who).join('; ')}`;
}

type Words = Readonly<Record<Placeholder, unknown>>;
type Values = ReadonlyMap<string, string | null>;

/** JSON in its canonical form: a house may hash it as text. Nothing in it that no column takes. */
const printed = (value: unknown): string => (typeof value === 'string' ? storable(value) : canonical(JSON.parse(jsonb(value))));

/** JSON is filled in as JSON: no word of a person ends the text that it stands in. */
function filled(template: Template, words: Words): unknown {
  if (Array.isArray(template)) return template.map((one) => filled(one, words));
  if (typeof template === 'object' && template !== null) return Object.fromEntries(Object.entries(template).map(([key, one]) => [key, filled(one, words)]));
  if (typeof template !== 'string') return template;
  const whole = /^\{(\w+)\}$/.exec(template)?.[1];
  if (whole !== undefined) return words[whole as Placeholder]; // The options allow no other.
  return template.replaceAll(PLACEHOLDER, (_, name: Placeholder) => printed(words[name]));
}

const filledIn = (columns: Readonly<Record<string, Template>>, words: Words): Values =>
  new Map(Object.entries(columns).map(([name, template]) => [name, template === null ? null : printed(filled(template, words))]));

interface Column {
  readonly name: string;
  readonly type: string;
  /** An expression; null: there is none. */
  readonly fallback: string | null;
}

async function columnsOf(client: Client, { table }: ChainOptions): Promise<ReadonlyMap<string, Column>> {
  const { rows } = await client.query<Column>(
    `SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
         CASE WHEN a.attidentity <> '' THEN format('nextval(%L)', pg_get_serial_sequence($1, a.attname)) WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END AS fallback
       FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped`,
    [quotedTable(table)],
  );
  return new Map(rows.map((row) => [row.name, row]));
}

async function insert(client: Client, options: ChainOptions, head: From, given: Values): Promise<void> {
  const isLinkedByTrigger = 'columns' in options.append && options.append.linkedBy === 'trigger';
  const values = isLinkedByTrigger ? given : await linked(client, options, head, given);
  const names = [...values.keys()];
  await client.query(
    `INSERT INTO ${quotedTable(options.table)} (${names.map(escapeIdentifier).join(', ')}) OVERRIDING SYSTEM VALUE VALUES (${names.map((_, place) => `$${place + 1}`).join(', ')})`,
    [...values.values()],
  );
}

/** The entry with its link, its hash, and whatever else is hashed and would be filled in by a default of the table: a row is hashed as it will be printed. */
async function linked(client: Client, options: ChainOptions, head: From, given: Values): Promise<Values> {
  const columns = await columnsOf(client, options);
  const stored = (hash: string | null): string | null => (options.encoding === 'bytea' && hash !== null ? String.raw`\x${hash}` : hash);
  const values = new Map([...given, [options.previous, stored(head.last === null ? options.genesis : head.head)]]);
  const hashed = options.over.flatMap((part) => ('column' in part ? [part.column] : []));
  const late = [...new Set([...hashed, options.order])].filter((name) => !values.has(name));
  const expressions = late.map((name) => columns.get(name)?.fallback ?? (name === options.order ? nextOf(options, columns.get(name), head) : 'NULL'));
  const typed = (name: string, sql: string): string => `(${sql})::${columns.get(name)?.type ?? 'text'} AS ${escapeIdentifier(name)}`;
  const row = [
    ...[...values.keys()].map((name, place) => typed(name, `$${place + 1}`)),
    ...late.map((name, place) => typed(name, expressions[place] ?? 'NULL')),
    ...(values.has(options.hash) || late.includes(options.hash) ? [] : [typed(options.hash, 'NULL')]),
  ];
  const { rows } = await client.query<Row & string[]>({
    text: `WITH t AS MATERIALIZED (SELECT ${row.join(', ')}) SELECT ${[...entryColumns(options), ...late.map((name) => `${column(name)}::text`)].join(', ')} FROM t`,
    values: [...values.values()],
    rowMode: 'array',
    types: AS_TEXT,
  });
  const [made = []] = rows;
  for (const [place, name] of late.entries()) values.set(name, made[made.length - late.length + place] ?? null);
  return values.set(options.hash, stored(hasher(options)(made)));
}

/** Where the table does not number its entries itself. */
function nextOf({ order, table }: ChainOptions, own: Column | undefined, { last }: From): string {
  if (own !== undefined && !/^(?:smallint|integer|bigint|numeric)/.test(own.type))
    throw new AdapterError('configuration', `${order} of ${table} has no default and is no number: append by a function of the house's own (append.function)`);
  return last === null ? '1' : `${escapeLiteral(last)}::numeric + 1`;
}
