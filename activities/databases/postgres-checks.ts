/** The house's own checks, each read-only and in its time; and whether another address leads to the same database. */
import { randomInt } from 'node:crypto';
import { DatabaseError } from 'pg';
import type { Check, Checked } from './database.ts';
import { soleQuery } from './postgres-inverse.ts';
import { isLost, reasonOf, withSession, type Address, type Call } from './postgres-session.ts';

export function check(call: Call, address: Address, checks: readonly Check[]): Promise<readonly Checked[]> {
  let doing = 'checking';
  return withSession(
    call,
    address,
    async (client) => {
      const checked: Checked[] = [];
      for (const { name, covers, sql } of checks) {
        doing = `checking ${name}`;
        const query = soleQuery(sql);
        if ('problem' in query) {
          checked.push({ name, covers, violations: null, detail: query.problem });
          continue;
        }
        await client.query('BEGIN READ ONLY');
        try {
          const { rows } = await client.query<{ count: string }>(`SELECT count(*) FROM (\n${query.sql}\n) AS violations`);
          checked.push({ name, covers, violations: Number(rows[0]?.count), detail: null });
        } catch (error) {
          if (!(error instanceof DatabaseError) || isLost(error)) throw error;
          checked.push({ name, covers, violations: null, detail: reasonOf(error) });
        }
        await client.query('ROLLBACK');
      }
      return checked;
    },
    { doing: () => doing },
  );
}

/**
 * A lock that is taken by one of the addresses is there for the other one only where both lead to the same database: names, system identifiers and object ids
 * are the same in every copy of its files.
 */
export const isSame = (call: Call, url: string): Promise<boolean> =>
  withSession(call, call.options.url, async (client) => {
    const key = [randomInt(2 ** 31), randomInt(2 ** 31)];
    await client.query('SELECT pg_catalog.pg_advisory_lock($1::int, $2::int)', key);
    const address = { url, as: 'the address asked about' };
    return withSession(
      call,
      address,
      async (other) => {
        const { rows } = await other.query<{ same: boolean }>('SELECT NOT pg_catalog.pg_try_advisory_lock($1::int, $2::int) AS same', key);
        return rows[0]?.same === true;
      },
      { quiet: true },
    );
  });
