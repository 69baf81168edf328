/** What undoing at once and undoing statement by statement have in common. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import type { Destroyed } from '../../model/plan.ts';
import { AdapterError } from '../adapters/adapter.ts';
import type { Migration } from './database.ts';
import type { Holders } from './postgres-holders.ts';
import { sha256, type Statement } from './postgres-inverse.ts';
import { operationOf, type Mark } from './postgres-ledger.ts';
import { isLost, reasonOf, sqlState, type Call } from './postgres-session.ts';

export const TRIES = 3;
/** Not had in time, or lost against another one. */
const LOCKED = /^(?:55P03|40P01)$/;
export const isLocked = (error: unknown): boolean => LOCKED.test(sqlState(error));
export const NOTHING = 'nothing was changed';

/** What one undoing is about. */
export interface Undoing {
  readonly call: Call;
  readonly client: Client;
  readonly migration: Migration;
  readonly approved: readonly Destroyed[];
  readonly statements: readonly Statement[];
  readonly holders: Holders;
  /** What it is doing, for the watcher. */
  readonly say: (doing: string) => void;
}

/** Three tries, spaced: whoever waits behind us is let through between them. `changed` says what has been changed so far. */
export async function patiently<T>(undoing: Undoing, changed: string, work: () => Promise<T>): Promise<T> {
  const { call, client, holders } = undoing;
  for (let number = 1; ; number += 1) {
    try {
      return await work();
    } catch (error) {
      const isGone = isLost(error) || call.signal.aborted || (error instanceof AdapterError && error.kind === 'unavailable');
      if (!isGone) await client.query('ROLLBACK');
      if (!isLocked(error)) throw error;
      if (number === TRIES) throw holders.refusal(changed);
      await pause(undoing, number);
    }
  }
}

export async function pause({ call, say }: Undoing, tried: number): Promise<void> {
  say(`waits for a lock, tried ${tried} of ${TRIES} times`);
  await sleep(tried * Math.min(2_000, call.options.lockTimeoutSeconds * 500), undefined, { signal: call.signal });
}

/** Whatever the role's defaults are: what is read behind a lock is what is there then. */
export const BEGIN = 'begin isolation level read committed read write';

export const markOf = ({ call, migration }: Undoing, destroyed: readonly Destroyed[]): Omit<Mark, 'milliseconds'> => ({
  operation: operationOf(call),
  migration: migration.name,
  inverse: sha256(migration.inverse),
  destroyed,
});

/** One statement in a transaction. It leaves that, its role and its limits as they were. */
export async function runGuarded(client: Client, { sql, title }: Statement, changed: string): Promise<void> {
  const before = await stateOf(client);
  try {
    await client.query(sql);
  } catch (error) {
    if (isLost(error) || isLocked(error)) throw error;
    throw failedBy(title, error, changed);
  }
  const after = await stateOf(client);
  const differing = Object.keys(before).filter((name) => before[name] !== after[name]);
  if (differing.includes('transaction'))
    throw new AdapterError('unknown', `${title} has ended the transaction it was run in: nobody can say which statements are applied`);
  if (differing.length > 0) throw new AdapterError('failed', `${title} has changed ${differing.join(', ')} under Backout; ${changed}`);
}

export const failedBy = (title: string, error: unknown, changed: string): AdapterError =>
  new AdapterError('failed', `${title} failed: ${reasonOf(error)}; ${changed}`);

const SETTINGS = [
  'role',
  'search_path',
  'lock_timeout',
  'statement_timeout',
  'row_security',
  'session_replication_role',
  'standard_conforming_strings',
  'synchronous_commit',
];

async function stateOf(client: Client): Promise<Readonly<Record<string, string>>> {
  const { rows } = await client.query<Record<string, string>>(
    `SELECT txid_current()::text AS transaction, session_user::text AS "session user", current_user::text AS "current user",
       ${SETTINGS.map((name) => `current_setting('${name}') AS ${name}`).join(', ')}`,
  );
  return rows[0] ?? {};
}

export async function commit(client: Client, changed: string): Promise<void> {
  try {
    const { command } = await client.query('COMMIT');
    if (command !== 'COMMIT') throw new AdapterError('failed', `Postgres has answered COMMIT with ${command}; ${changed}`);
  } catch (error) {
    if (error instanceof AdapterError) throw error;
    throw isLost(error)
      ? new AdapterError('unavailable', 'the connection was lost at COMMIT; the next attempt finds by the mark what became of it')
      : failedBy('COMMIT', error, changed);
  }
}
