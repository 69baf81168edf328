/** What an annotation has to know of a chain: its head, what is affected, and whether it is there already. */
import { type Client, escapeIdentifier } from 'pg';
import type { Window } from '../../model/plan.ts';
import { quotedTable } from '../databases/postgres-session.ts';
import type { ChainCall } from './chain.ts';
import type { ChainOptions } from './postgres-options.ts';
import { column, entryColumns } from './postgres-sql.ts';
import type { From } from './postgres-walk.ts';

/** How many runs are named, of those that are counted. */
const NAMED_MAX = 100;

export interface Affected {
  /** Null: it is not configured where they are. */
  readonly runs: { readonly count: number; readonly ids: readonly string[]; readonly more: boolean } | null;
  /** Order values of the first and the last. */
  readonly entries: { readonly count: number; readonly first: string | null; readonly last: string | null };
}

export interface Seen extends From {
  readonly entries: Affected['entries'];
  /** Order values of this operation's annotations. */
  readonly found: readonly string[];
}

/** `rollbackId/step`, without the generation: what a person has had done again is still the same annotation. */
export const operationOf = ({ operationId }: Pick<ChainCall<ChainOptions>, 'operationId'>): string => operationId.replace(/\/[^/]*$/, '');

/** Of texts that hold JSON only those that hold the operation's own words are read as such. */
const isOf = ({ operation }: ChainOptions): string => {
  const said = column(operation.column);
  return operation.path === undefined
    ? `${said}::text = $3`
    : String.raw`CASE WHEN position($4 IN ${said}::text) > 0 AND ${said}::text ~ '^\s*\{' THEN ${said}::jsonb #>> $5 = $3 END`;
};

/** In one statement, and therefore of one moment. `after`: affected and found are only those behind it; the head is the head. */
export async function look(client: Client, call: ChainCall<ChainOptions>, window: Window, after: string | null): Promise<Seen> {
  const { options } = call;
  const [order, at, table] = [column(options.order), column(options.at), quotedTable(options.table)];
  const operation = operationOf(call);
  const path = options.operation.path === undefined ? [] : [operation.replace(/\/.*$/s, ''), options.operation.path];
  const behind = after === null ? 'true' : `${order} > $${4 + path.length}`;
  const within = `FROM ${table} t WHERE ${behind} AND ${at} >= $1::timestamptz AND ${at} < $2::timestamptz`;
  const [, , hash] = entryColumns(options);
  const { rows } = await client.query<{ head: [string, string | null] | null; count: string; first: string | null; last: string | null; found: string[] }>(
    `SELECT (SELECT json_build_array(${order}::text, ${hash}) FROM ${table} t WHERE ${order} IS NOT NULL ORDER BY ${order} DESC LIMIT 1) AS head,
        (SELECT count(*) ${within}) AS count,
        (SELECT ${order}::text ${within} ORDER BY ${order} LIMIT 1) AS first,
        (SELECT ${order}::text ${within} ORDER BY ${order} DESC LIMIT 1) AS last,
        ARRAY(SELECT ${order}::text FROM ${table} t WHERE ${behind} AND ${isOf(options)} ORDER BY ${order}) AS found`,
    [window.from, window.to, operation, ...path, ...(after === null ? [] : [after])],
  );
  const [{ head, count, first, last, found } = { head: null, count: '0', first: null, last: null, found: [] }] = rows;
  return { last: head?.[0] ?? null, head: head?.[1] ?? null, entries: { count: Number(count), first, last }, found };
}

/** The runs of the window. */
export async function counted(client: Client, { runs }: ChainOptions, { from, to }: Window): Promise<Affected['runs']> {
  if (runs === undefined) return null;
  const [table, id, at] = [quotedTable(runs.table), escapeIdentifier(runs.id), escapeIdentifier(runs.at)];
  const within = `FROM ${table} WHERE ${at} >= $1::timestamptz AND ${at} < $2::timestamptz AND ${id} IS NOT NULL`;
  const { rows } = await client.query<{ count: string; ids: string[] }>(
    `SELECT (SELECT count(DISTINCT ${id}) ${within}) AS count, ARRAY(SELECT DISTINCT ${id}::text ${within} ORDER BY 1 LIMIT ${NAMED_MAX}) AS ids`,
    [from, to],
  );
  const [{ count, ids } = { count: '0', ids: [] }] = rows;
  return { count: Number(count), ids, more: Number(count) > ids.length };
}
