/** The statements about a chain, and the one place that says how an entry is read and what of it is hashed. */
import { type Client, escapeIdentifier, escapeLiteral } from 'pg';
import { quotedTable } from '../databases/postgres-session.ts';
import type { ChainOptions } from './postgres-options.ts';

/** A stretch of what is hashed, as the database hands it over: text as it is, bytes in hex or base64, JSON to be made canonical. */
export interface Segment {
  readonly kind: 'text' | 'hex' | 'base64' | 'json';
  readonly sql: string;
  /** What is hashed where there is none; null: the statement has seen to it. */
  readonly instead: string | null;
}

/** Every value as Postgres prints it. */
export const AS_TEXT = { getTypeParser: () => (value: string) => value };

/** A column of the row `t`: without the qualifier, ORDER BY would take what is selected under the same name, which is text. */
export const column = (name: string): string => `t.${escapeIdentifier(name)}`;

const ISO = `'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'`;
/** On one line, as a shell command needs it. */
export const literal = (words: string): string =>
  /[\n\r]/.test(words) ? `convert_from(decode('${Buffer.from(words).toString('hex')}', 'hex'), 'UTF8')` : escapeLiteral(words);
const text = (sql: string, instead: string): Segment => ({ kind: 'text', sql: `coalesce(${sql}, ${literal(instead)})`, instead: null });

function segmentOf(part: ChainOptions['over'][number], { previous, encoding, prefix }: ChainOptions): Segment {
  if ('text' in part) return { kind: 'text', sql: literal(part.text), instead: null };
  if ('previous' in part) {
    const stored = column(previous);
    if (encoding === 'bytea') return { kind: 'hex', sql: `encode(${stored}, 'hex')`, instead: part.null };
    if (part.as === 'stored') return text(`${stored}::text`, part.null);
    return { kind: encoding, sql: `nullif(substr(${stored}::text, ${prefix.length + 1}), '')`, instead: part.null };
  }
  const value = column(part.column);
  if (part.as === 'bytes') return { kind: 'hex', sql: `encode(${value}, 'hex')`, instead: part.null };
  if (part.as === 'json') return { kind: 'json', sql: `${value}::text`, instead: part.null };
  return text(part.as === 'iso' ? `to_char(${value}::timestamptz AT TIME ZONE 'UTC', ${ISO})` : `${value}::text`, part.null);
}

/** What is hashed, in as few values as can be: the database joins the texts. */
export function segmentsOf(options: ChainOptions): Segment[] {
  const joined: Segment[] = [];
  for (const segment of options.over.map((part) => segmentOf(part, options))) {
    const last = joined.at(-1);
    if (segment.kind === 'text' && last?.kind === 'text') joined[joined.length - 1] = { ...last, sql: `${last.sql} || ${segment.sql}` };
    else joined.push(segment);
  }
  return joined;
}

/** A hash column: text, or hex. */
const hashColumn = (name: string, { encoding }: ChainOptions): string => (encoding === 'bytea' ? `encode(${column(name)}, 'hex')` : `${column(name)}::text`);

/** Of the row `t`: order, previous, hash, what is hashed. */
export const entryColumns = (options: ChainOptions): string[] => [
  `${column(options.order)}::text`,
  hashColumn(options.previous, options),
  hashColumn(options.hash, options),
  ...segmentsOf(options).map(({ sql }) => sql),
];

interface Span {
  /** Only later than this order value. */
  readonly after?: string | null;
  /** Only up to this one. */
  readonly until?: string | null;
}

/** Entries in their order. `all`: with everything that is stored of each, as the last value. */
export function entriesQuery(options: ChainOptions, { after = null, until = null }: Span, all: boolean): { text: string; values: string[] } {
  const order = column(options.order);
  const bounds = [
    { sign: '>', value: after },
    { sign: '<=', value: until },
  ].flatMap(({ sign, value }) => (value === null ? [] : [{ sign, value }]));
  const where = bounds.length === 0 ? '' : ` WHERE ${bounds.map(({ sign }, place) => `${order} ${sign} $${place + 1}`).join(' AND ')}`;
  const columns = [...entryColumns(options), ...(all ? ['t::text'] : [])].join(', ');
  return { text: `SELECT ${columns} FROM ${quotedTable(options.table)} t${where} ORDER BY ${order}`, values: bounds.map(({ value }) => value) };
}

/** All is printed alike, whatever the role and the database are set to. */
export const printing = ({ timezone }: ChainOptions): Readonly<Record<string, string>> => ({
  TimeZone: timezone,
  DateStyle: 'ISO, YMD',
  IntervalStyle: 'postgres',
  extra_float_digits: '1',
  bytea_output: 'hex',
});

const LEVELS = { read: 'repeatable read, read only', append: 'read committed, read write' } as const;

/** In one transaction. Entries come by the index that orders them wherever there is one: to sort all of them could fill the disk of the database. */
export async function inTransaction<T>(client: Client, to: 'read' | 'append', options: ChainOptions, work: () => Promise<T>): Promise<T> {
  await client.query(`BEGIN ISOLATION LEVEL ${LEVELS[to]}`);
  try {
    const settings = Object.entries({ ...printing(options), enable_sort: 'off' });
    await client.query(`SELECT ${settings.map((_, place) => `set_config($${2 * place + 1}, $${2 * place + 2}, true)`).join(', ')}`, settings.flat());
    const result = await work();
    await client.query(to === 'read' ? 'ROLLBACK' : 'COMMIT');
    return result;
  } catch (error) {
    // Where the connection is gone there is nothing to undo, and the first error is the one that tells.
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

/** What the catalog says that a reader of a survey should know. */
export async function warningsOf(client: Client, { table, order, previous }: ChainOptions): Promise<string[]> {
  const isUnique = `EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
    WHERE i.indrelid = $1::regclass AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1 AND i.indpred IS NULL AND a.attname`;
  const [row] = (
    await client.query<{ order: boolean; previous: boolean; rewritable: boolean; role: string }>(
      `SELECT ${isUnique} = $2) AS "order", ${isUnique} = $3) AS previous, current_user AS role,
         has_any_column_privilege($1::regclass, 'UPDATE') OR has_table_privilege($1::regclass, 'DELETE, TRUNCATE') AS rewritable`,
      [quotedTable(table), order, previous],
    )
  ).rows;
  return [
    ...(row?.order ? [] : [`nothing in the catalog keeps two entries of ${table} from the same ${order}`]),
    ...(row?.previous
      ? []
      : [`nothing in the catalog keeps two entries of ${table} from the same ${previous}: writers that read the head without a lock can fork the chain`]),
    ...(row?.rewritable ? [`the role ${row.role} may change or delete entries of ${table}: SELECT, INSERT and MAINTAIN would do`] : []),
  ];
}
