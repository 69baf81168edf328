import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AdapterError } from '../../activities/adapters/adapter.ts';
import type { RequestCall } from '../../activities/provisioning/provisioning.ts';
import { postgres } from '../../activities/provisioning/registry.ts';
import { connect } from '../../store/database.ts';
import { migrate } from '../../store/migrate.ts';
import { recordRequest } from '../../store/provisioning.ts';
import { rejection } from '../adapters/contract.ts';
import { type TestDatabase, testDatabase } from '../store/database.ts';
import { provisioningContract, WEBHOOK, type Seed } from './contract.ts';
import { type Lossy, lossyWay } from './lossy.ts';

const CANARY = 'canary-7c2e41';

let database: TestDatabase;
/** With a password, which the server does not ask for. */
let url = '';
beforeAll(async () => {
  database = await testDatabase();
  await migrate(database.url);
  const to = new URL(database.url);
  to.password = CANARY;
  url = to.href;
}, 60_000);
afterAll(async () => {
  await database.drop();
});

type Options = { url: string };
const callOf = (environment: string, rollbackId: string, overrides: Partial<RequestCall<Options>> = {}): RequestCall<Options> => ({
  environment,
  tenant: 'acme',
  options: { url: 'env:DATABASE_URL' },
  folder: '/',
  signal: new AbortController().signal,
  secret: () => Promise.resolve(url),
  requests: [],
  rollbackId,
  operationId: `${rollbackId}/step/${randomUUID()}`,
  by: 'ana',
  at: '2026-11-21T10:00:00.000Z',
  ...overrides,
});

async function provision(environment: string, seed: Seed): Promise<void> {
  const at = connect(database.url, { connections: 1 });
  try {
    await recordRequest(at, { environment, version: null, by: null, ...seed });
  } finally {
    await at.close();
  }
}

/** Every row of every table, whosever it is, and when it was last written. */
const snapshot = async (): Promise<unknown> =>
  Promise.all(
    ['provisioning_requests', 'canonical_objects', 'error_log', 'corrections', 'operations'].map((table) =>
      database.query(`SELECT *, xmin::text FROM upa.${table} ORDER BY 1, 2, 3`),
    ),
  );

provisioningContract<Options>({
  name: 'postgres',
  setup: async () => {
    const [environment, rollbackId] = [`production-${randomUUID()}`, randomUUID()];
    const ways: Lossy[] = [];
    const call = (overrides: Partial<RequestCall<Options>> = {}): RequestCall<Options> => callOf(environment, rollbackId, overrides);
    return {
      store: postgres,
      rawOptions: { url: 'env:DATABASE_URL' },
      call,
      provision: (seed) => provision(environment, seed),
      snapshot,
      away: () => call({ secret: () => Promise.resolve(`postgres://backout:${CANARY}@127.0.0.1:1/backout`) }),
      lossy: async (takesEffect) => {
        const way = await lossyWay(url, takesEffect);
        ways.push(way);
        return call({ secret: () => Promise.resolve(way.url) });
      },
      canary: CANARY,
      teardown: async () => {
        for (const way of ways) way.close();
      },
    };
  },
});

describe('postgres', () => {
  const environment = `plain-${randomUUID()}`;
  const call = (overrides: Partial<RequestCall<Options>> = {}): RequestCall<Options> => callOf(environment, randomUUID(), overrides);

  it('is at DATABASE_URL unless it is said otherwise, and an address is never in the file itself', () => {
    expect(postgres.options.parse({})).toEqual({ url: 'env:DATABASE_URL' });
    for (const literal of [url, 'DATABASE_URL', 'env:', 7]) expect(postgres.options.safeParse({ url: literal }).success).toBe(false);
  });

  it('says what is wrong with the way to it, and what to do', async () => {
    const empty = new URL(await database.another());
    empty.password = CANARY;
    const nowhere = new URL(url);
    nowhere.pathname = '/no_such_database';
    const role = `reader_${randomUUID().slice(0, 8)}`;
    await database.query(`CREATE ROLE ${role} LOGIN; GRANT USAGE ON SCHEMA upa TO ${role}`);
    const reader = new URL(url);
    reader.username = role;
    const stranger = new URL(url);
    stranger.username = 'nobody_knows';
    const cases = [
      [empty.href, 'configuration', /no provisioning store .*`backout tenant record --database-url`/],
      [nowhere.href, 'configuration', /"no_such_database" does not exist/],
      [reader.href, 'unauthorized', /permission denied/],
      [stranger.href, 'unauthorized', /nobody_knows/],
      [`hunter2 ${CANARY}`, 'configuration', /^env:DATABASE_URL: .*not a URL/],
    ] as const;
    for (const [address, kind, message] of cases) {
      const error = await rejection(postgres.requests(call({ secret: () => Promise.resolve(address) })));
      expect(error).toMatchObject({ kind, message: expect.stringMatching(message) as string });
      expect(error.message).not.toContain(CANARY);
    }
    const missing = new AdapterError('configuration', 'there is no such variable');
    expect(await rejection(postgres.requests(call({ secret: () => Promise.reject(missing) })))).toBe(missing);
    expect((await rejection(postgres.log(call({ secret: () => Promise.reject(new Error('a disk')) })))).kind).toBe('unexpected-response');
    await database.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  });

  it('waits for another writer, stops waiting when aborted, and has then done nothing', async () => {
    const requestId = randomUUID();
    await provision(environment, { requestId, tenant: 'acme', status: 'COMPLETED', artifacts: [WEBHOOK] });
    const { Client } = await import('pg');
    const other = new Client({ connectionString: database.url });
    await other.connect();
    await other.query('BEGIN');
    await other.query('SELECT FROM upa.provisioning_requests WHERE request_id = $1 FOR UPDATE', [requestId]);
    const abort = new AbortController();
    const waiting = rejection(postgres.begin(call({ requests: [requestId], signal: abort.signal })));
    await untilWaiting();
    abort.abort();
    expect((await waiting).kind).toBe('unavailable');
    await other.query('COMMIT');
    await other.end();
    await untilNobodyIsThere();
    expect(await postgres.requests(call())).toMatchObject([{ status: 'COMPLETED' }]);
  });

  it('a rollback id that is none is a mistake, told as one', async () => {
    expect((await rejection(postgres.begin(call({ rollbackId: 'r1' })))).kind).toBe('configuration');
  });

  it('names what it compares letter by letter, with 500 artifacts at once', async () => {
    const artifacts = Array.from({ length: 500 }, (_, place) => ({ type: 'n8n-workflow', id: `wf-${place}` }) as const);
    const requestId = randomUUID();
    await provision(environment, { requestId, tenant: 'large', status: 'COMPLETED', artifacts });
    expect(await postgres.alsoListed(call(), artifacts, [])).toHaveLength(500);
    expect(await postgres.alsoListed(call({ tenant: 'large' }), artifacts, [requestId])).toEqual([]);
  });
});

/** Somebody of Backout's waits for a lock. */
const untilWaiting = (): Promise<unknown> => until(`EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`);
const untilNobodyIsThere = (): Promise<unknown> =>
  until(`NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'backout')`);
const until = (condition: string): Promise<unknown> =>
  database.query(`DO $$ BEGIN
    FOR n IN 1..500 LOOP
      PERFORM pg_stat_clear_snapshot();
      EXIT WHEN ${condition};
      PERFORM pg_sleep(0.02);
    END LOOP;
  END $$`);
