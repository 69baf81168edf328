/** What became of a statement that was begun outside of a transaction: as far as the catalog tells for sure. */
import type { Client } from 'pg';
import { AdapterError } from '../adapters/adapter.ts';
import type { Alone } from './postgres-alone.ts';
import { quoted } from './postgres-counting.ts';
import type { Statement } from './postgres-inverse.ts';
import type { Progress, Row } from './postgres-progress.ts';

export interface Index {
  readonly oid: string;
  readonly name: string;
  readonly isValid: boolean;
}

/** The index that the statement is about, as it is now; null: there is none, or it is about none. */
export async function stateOfIndex(client: Client, alone: Alone): Promise<Index | null> {
  if (alone.as !== 'drop-index' && alone.as !== 'create-index') return null;
  const [name, table] = alone.as === 'drop-index' ? [quoted(alone.index), null] : [alone.index, quoted(alone.table)];
  const { rows } = await client.query<Index>(
    `SELECT c.oid::text, n.nspname || '.' || c.relname AS name, i.indisvalid AS "isValid"
       FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE CASE WHEN $2::text IS NULL THEN c.oid = pg_catalog.to_regclass($1) ELSE c.relname = $1 AND i.indrelid = pg_catalog.to_regclass($2) END`,
    [name, table],
  );
  return rows[0] ?? null;
}

async function isThere(client: Client, oid: string): Promise<boolean> {
  return (await client.query('SELECT FROM pg_catalog.pg_class WHERE oid = $1::oid', [oid])).rows.length > 0;
}

/** Nobody else is at it: its session held the lock that we hold now. `run`: it is not applied, or once more does no harm. Else an AdapterError. */
export async function settle(
  client: Client,
  { title, number }: Statement,
  alone: Alone,
  { state, object }: Row,
  progress: Progress,
): Promise<'applied' | 'run'> {
  const unknown = (): AdapterError =>
    new AdapterError(
      'unknown',
      `${title} was begun by an earlier attempt, and nobody can say whether it is applied; ${progress.words(number)}; ` +
        `look, and say so before you try again: UPDATE backout.undone_statements SET state = 'done' (or 'failed') WHERE ${progress.where(number)}`,
    );
  if (alone.as === 'repeatable') return 'run';
  if (alone.as === 'other') {
    if (state === 'begun') throw unknown();
    return 'run';
  }
  const index = await stateOfIndex(client, alone);
  if (alone.as === 'drop-index') {
    if (object === null && index !== null && state === 'begun') throw unknown();
    return object === null || (await isThere(client, object)) ? 'run' : 'applied';
  }
  if (alone.index === null && state === 'begun') throw unknown();
  if (index === null || index.oid === object) return 'run';
  if (index.isValid) return state === 'begun' ? 'applied' : 'run';
  throw new AdapterError(
    'failed',
    `${title} was begun by an earlier attempt and has left the index ${index.name} behind, which is not valid and not used: drop it, and try again; ${progress.words()}`,
  );
}
