/** Who holds the lock that a session waits for: seen by a second session while it waits, since nobody can tell afterwards. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { AdapterError } from '../adapters/adapter.ts';
import { applicationOf, withSession, type Call } from './postgres-session.ts';

interface Holder {
  readonly pid: number;
  readonly application: string | null;
  readonly role: string | null;
  readonly kind: string | null;
  readonly state: string | null;
  readonly seconds: number | null;
}

export interface Holders {
  /** The lock was not had: by whom it is held, as `conflict`; `unavailable` where an earlier attempt of the same operation is still at it. */
  refusal(what: string): AdapterError;
}

const WATCH = `
  SELECT b.pid, h.application_name AS application, h.usename AS role, h.backend_type AS kind, h.state, extract(epoch FROM now() - coalesce(h.xact_start, h.backend_start))::int AS seconds
    FROM pg_catalog.pg_stat_activity me CROSS JOIN LATERAL unnest(pg_catalog.pg_blocking_pids(me.pid)) AS b(pid)
    LEFT JOIN pg_catalog.pg_stat_activity h ON h.pid = b.pid
   WHERE me.pid = $1 AND me.wait_event_type = 'Lock'`;

const wordsOf = ({ pid, application, role, kind, state, seconds }: Holder): string => {
  if (pid === 0) return 'a prepared transaction';
  // Another role's session shows no more than its pid to one that may not look.
  const name = application ? `application ${application.replaceAll(/[^\x20-\x7e]/g, '?')}` : (kind ?? 'application not shown to this role');
  const facts = [name, ...(role === null ? [] : [`role ${role}`]), ...(state === null ? [] : [state]), ...(seconds === null ? [] : [`for ${seconds} s`])];
  return `pid ${pid} (${facts.join(', ')})`;
};

/** Runs `work` on the session of `client`, watched by another one. */
export async function watched<T>(call: Call, client: Client, work: (holders: Holders) => Promise<T>): Promise<T> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  const over = new AbortController();
  let [seen, trouble]: [readonly Holder[], string | null] = [[], null];
  const everyMs = Math.min(250, Math.max(10, call.options.lockTimeoutSeconds * 100));
  const watch = async (watcher: Client): Promise<void> => {
    while (!over.signal.aborted) {
      const found = await watcher.query<Holder>(WATCH, [rows[0]?.pid]);
      if (found.rows.length > 0) seen = found.rows;
      await sleep(everyMs, undefined, { signal: over.signal }).catch(() => undefined); // Over: the loop ends.
    }
  };
  const watching = withSession(call, call.options.url, watch, { statementTimeoutSeconds: 5, quiet: true }).catch((error: unknown) => {
    trouble = error instanceof Error ? error.message : String(error);
  });
  try {
    return await work({
      refusal: (what) => {
        const isOurs = seen.some(({ application }) => application === applicationOf(call));
        if (isOurs) return new AdapterError('unavailable', `an earlier attempt of this operation is still at work (${seen.map(wordsOf).join(', ')}); ${what}`);
        const who =
          seen.length > 0 ? `it is held by ${seen.map(wordsOf).join(', ')}` : `who holds it could not be seen${trouble === null ? '' : `: ${trouble}`}`;
        return new AdapterError('conflict', `a lock was not had within ${call.options.lockTimeoutSeconds} s, tried three times: ${who}; ${what}`);
      },
    });
  } finally {
    over.abort();
    await watching;
  }
}
