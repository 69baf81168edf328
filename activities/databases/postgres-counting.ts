/** What the statements of an inverse would destroy, found in the catalog and counted. */
import { DatabaseError, escapeIdentifier, type Client } from 'pg';
import { AdapterError } from '../adapters/adapter.ts';
import type { Destroyed } from '../../model/plan.ts';
import { MoreDestroyed, type Assessment } from './database.ts';
import { inverseOf, type Effect, type Inverse, type Statement } from './postgres-inverse.ts';
import { isLost, withSession, type Call } from './postgres-session.ts';
import type { Name } from './postgres-tree.ts';

export const quoted = ({ schema, name }: Name): string => (schema === null ? '' : `${escapeIdentifier(schema)}.`) + escapeIdentifier(name);
const shown = ({ schema, name }: Name): string => (schema === null ? name : `${schema}.${name}`);

/** A relation of the catalog, and the column that is meant. */
interface Found extends Name {
  readonly oid: string;
  readonly kind: string;
  readonly column: number | null;
}

type Known = Exclude<Effect, { of: 'unknown' }>;

/** One effect of one statement; `found` null: it is not there, and nothing is destroyed. */
export interface Counted extends Destroyed {
  readonly statement: number;
  readonly effect: Effect;
  readonly found: Found | null;
}

const columnOf = (effect: Known): string | null => (effect.of === 'column' ? effect.column : null);

async function find(client: Client, effect: Known): Promise<Found | null> {
  const { rows } = await client.query<Found>(
    `SELECT c.oid::text, c.relkind AS kind, n.nspname AS schema, c.relname AS name, a.attnum AS column
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
       LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = $2 AND NOT a.attisdropped
      WHERE c.oid = pg_catalog.to_regclass($1)`,
    [quoted(effect.relation), columnOf(effect)],
  );
  const [found] = rows;
  return found === undefined || (effect.of === 'column' && found.column === null) ? null : found;
}

async function count(client: Client, effect: Known, found: Found): Promise<number> {
  const where = effect.of === 'column' ? ` WHERE ${escapeIdentifier(effect.column)} IS NOT NULL` : '';
  const { rows } = await client.query<{ count: string }>(`SELECT count(*) FROM ${quoted(found)}${where}`);
  return Number(rows[0]?.count);
}

/** The locks that the statements will take themselves, so that what is counted under them stays as it is. */
async function lock(client: Client, effect: Known): Promise<void> {
  const found = await find(client, effect);
  if (found === null || !/^[rp]$/.test(found.kind)) return;
  await client.query(`LOCK TABLE ${quoted(found)} IN ACCESS EXCLUSIVE MODE`);
  if ((await find(client, effect))?.oid !== found.oid)
    throw new AdapterError('conflict', `somebody else is renaming ${shown(found)}; nothing was changed by this statement`);
}

/**
 * Each effect of some statements of an inverse, in their order. A name that an earlier statement may have changed, or made, is not counted: what it means then is not known
 * now. `rowsOf` counts, or says null.
 */
async function survey(
  client: Client,
  statements: readonly Statement[],
  inverse: readonly Statement[],
  rowsOf: (what: string, effect: Known, found: Found) => Promise<number | null>,
): Promise<Counted[]> {
  const counted: Counted[] = [];
  for (const { number: statement, effects } of statements) {
    const earlier = inverse.filter((one) => one.number < statement);
    for (const effect of effects) {
      if (effect.of === 'unknown') {
        counted.push({ statement, effect, found: null, what: effect.what, rows: null });
        continue;
      }
      const found = earlier.some((one) => one.renames) ? null : await find(client, effect);
      const name = `${effect.of === 'rows' ? 'rows of' : effect.of} ${shown(found ?? effect.relation)}${effect.of === 'column' ? `.${effect.column}` : ''}`;
      const isNothing = found === null && effect.ifExists && !earlier.some((one) => one.creates);
      const what = found === null ? `statement ${statement}: ${name}` : name;
      counted.push({ statement, effect, found, what, rows: isNothing ? 0 : found && (await rowsOf(what, effect, found)) });
    }
  }
  return counted;
}

/** One entry for each thing; the most that is said of it. */
export function destroyedOf(counted: readonly Counted[]): Destroyed[] {
  const most = new Map<string, number | null>();
  for (const { what, rows, found, effect } of counted) {
    if (found === null && effect.of !== 'unknown' && rows === 0) continue;
    const other = most.get(what);
    most.set(what, rows === null || other === null ? null : Math.max(rows, other ?? 0));
  }
  return [...most].map(([what, rows]) => ({ what, rows }));
}

const isMore = ({ what, rows }: Destroyed, approved: readonly Destroyed[]): boolean => {
  const allowed = approved.find((one) => one.what === what);
  if (allowed === undefined) return rows !== 0;
  return allowed.rows !== null && (rows === null || rows > allowed.rows);
};

/** `changed` says what has been changed so far. */
export function refuseMore(counted: readonly Counted[], approved: readonly Destroyed[], changed: string): void {
  const destroys = destroyedOf(counted);
  const more = destroys.filter((one) => isMore(one, approved)).map(({ what, rows }) => `${what} (${rows === null ? 'not counted' : `${rows} rows`})`);
  if (more.length > 0) throw new MoreDestroyed(`more would be destroyed than was approved: ${more.join(', ')}; ${changed}`, destroys);
}

/** Under the locks of the statements, in a transaction. What was approved without a number needs none. */
export async function countLocked(
  client: Client,
  statements: readonly Statement[],
  inverse: readonly Statement[],
  approved: readonly Destroyed[],
): Promise<Counted[]> {
  for (const { effects } of statements) for (const effect of effects) if (effect.of !== 'unknown') await lock(client, effect);
  return survey(client, statements, inverse, async (what, effect, found) =>
    approved.some((one) => one.what === what && one.rows === null) ? null : count(client, effect, found),
  );
}

/** Without a lock, each count in a transaction of its own; what cannot be counted, since it is locked or takes too long, is null. */
export const countFreely = (client: Client, statements: readonly Statement[], inverse: readonly Statement[]): Promise<Counted[]> =>
  survey(client, statements, inverse, async (_what, effect, found) => {
    await client.query('BEGIN READ ONLY');
    try {
      await client.query(`SET LOCAL lock_timeout = '1ms'`);
      return await count(client, effect, found);
    } catch (error) {
      if (error instanceof DatabaseError && !isLost(error)) return null;
      throw error;
    } finally {
      await client.query('ROLLBACK');
    }
  });

/**
 * Right before a statement is run: is what it names still what was counted, and no more of it? Counted again only where `moved`: an earlier statement
 * may have changed rows.
 */
export async function recount(client: Client, counted: readonly Counted[], moved: boolean): Promise<Counted[]> {
  const again: Counted[] = [];
  for (const one of counted) {
    const { effect, found, rows } = one;
    if (effect.of === 'unknown' || rows === null) {
      again.push(one);
      continue;
    }
    const now = await find(client, effect);
    if (now?.oid !== found?.oid || now?.column !== found?.column)
      throw new AdapterError('failed', `${one.what} is not what it was when it was counted: an earlier statement has changed what the name means`);
    again.push(moved && now !== null ? { ...one, rows: await count(client, effect, now) } : one);
  }
  return again;
}

async function touched(client: Client, { statements }: Inverse): Promise<string[]> {
  const names = [...new Set(statements.flatMap(({ relations }) => relations.map(quoted)))];
  const { rows } = await client.query<{ name: string }>(
    `SELECT DISTINCT n.nspname || '.' || c.relname AS name
       FROM unnest($1::text[]) AS given(name) JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(given.name)
       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'f', 'm') ORDER BY 1`,
    [names],
  );
  return rows.map(({ name }) => name);
}

export async function assess(call: Call, sql: string): Promise<Assessment> {
  const inverse = inverseOf(sql);
  const transactional = inverse.statements.every(({ alone }) => alone === null);
  if (inverse.problem !== null) return { transactional, destroys: [], touches: [], problem: inverse.problem };
  return withSession(
    call,
    call.options.url,
    async (client) => ({
      transactional,
      destroys: destroyedOf(await countFreely(client, inverse.statements, inverse.statements)),
      touches: await touched(client, inverse),
      problem: null,
    }),
    { doing: () => 'counting what an inverse would destroy' },
  );
}
