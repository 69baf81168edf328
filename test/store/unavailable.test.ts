import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openStore } from '../../store/postgres.ts';
import { type Store, StoreUnavailable } from '../../store/store.ts';
import { isAway } from '../../store/unavailable.ts';
import { freePort } from '../../client/local/ports.ts';
import { type Server, startServer } from './database.ts';
import { entry } from './given.ts';

async function failureOf(work: Promise<unknown>): Promise<Error> {
  try {
    await work;
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error('it did not fail');
}

const AWAY = { name: 'StoreUnavailable', hasCause: true, hasPassword: false, isQuick: true };

async function failureWithin(limitMs: number, work: () => Promise<unknown>): Promise<typeof AWAY> {
  const since = performance.now();
  const failure = await failureOf(work());
  return {
    name: failure.name,
    hasCause: failure.cause instanceof Error,
    hasPassword: failure.message.includes('hunter2'),
    isQuick: performance.now() - since < limitMs,
  };
}

describe('a database that is not there', () => {
  it('is unavailable at once where nothing listens', async () => {
    const store = openStore(`postgres://backout:hunter2@localhost:${await freePort()}/backout`);
    expect(await failureWithin(8_000, () => store.ping())).toEqual(AWAY);
    expect(await failureWithin(8_000, () => store.append(randomUUID(), []))).toEqual(AWAY);
    expect(await failureWithin(8_000, () => store.migrate())).toEqual(AWAY);
    expect((await failureOf(store.ping())).message).toMatch(/^Postgres at localhost:\d+\/backout cannot be used: .*ECONNREFUSED/);
    await store.close();
    await store.close();
  });

  it('is unavailable in seconds where something listens and says nothing', async () => {
    const silent = createServer((socket) => socket.on('error', () => undefined)).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const address = silent.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const store = openStore(`postgres://backout:hunter2@127.0.0.1:${port}/backout`);
    expect(await failureWithin(8_000, () => store.ping())).toEqual(AWAY);
    expect(await failureWithin(8_000, () => store.migrate())).toEqual(AWAY);
    await store.close();
    silent.close();
  });

  it('is no address where it is none, and the password is not repeated', () => {
    for (const url of ['postgres://u:hunter2@[::', 'hunter2', 'https://u:hunter2@x/']) {
      expect(() => openStore(url)).toThrow(/^the database address is not a URL/);
    }
  });
});

describe('a database that goes away', () => {
  let server: Server;
  let store: Store;
  beforeAll(async () => {
    server = await startServer();
    store = openStore(server.url);
    await store.migrate();
  }, 60_000);
  afterAll(async () => {
    await store.close();
    await server.stop();
  });

  it('is unavailable when it ends a connection, and there again with the next', async () => {
    const killer = openStore(server.url);
    await killer.ping();
    const { Client } = await import('pg');
    const admin = new Client({ connectionString: server.url });
    await admin.connect();
    await admin.query('SELECT pg_advisory_lock($1)', [0x424b5431]);
    const id = randomUUID();
    const waiting = failureOf(store.append(id, [entry(id, 'waits for the lock')]));
    await admin.query(`DO $$ BEGIN
      FOR n IN 1..100 LOOP
        PERFORM pg_stat_clear_snapshot();
        EXIT WHEN EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'backout' AND wait_event_type = 'Lock');
        PERFORM pg_sleep(0.05);
      END LOOP;
    END $$`);
    await admin.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'backout'`);
    await admin.end();
    expect(await waiting).toBeInstanceOf(StoreUnavailable);
    await killer.close();
    expect(await store.append(id, [entry(id, 'waits for the lock')])).toMatchObject({ position: { entries: 1 } });
  });

  it('is unavailable when a lock is held too long, and when it only reads', async () => {
    const { Client } = await import('pg');
    const admin = new Client({ connectionString: server.url });
    await admin.connect();
    const hasty = openStore(server.url, { statementTimeoutMs: 200 });
    const id = randomUUID();
    await admin.query('SELECT pg_advisory_lock($1)', [0x424b5431]);
    expect(await failureWithin(8_000, () => hasty.append(id, [entry(id, 'hasty')]))).toEqual(AWAY);
    await admin.query('SELECT pg_advisory_unlock($1)', [0x424b5431]);
    await hasty.close();
    await admin.query('ALTER DATABASE postgres SET default_transaction_read_only = on');
    const reader = openStore(server.url);
    await reader.ping();
    expect(await failureWithin(8_000, () => reader.append(id, [entry(id, 'read only')]))).toEqual(AWAY);
    await admin.query('SET default_transaction_read_only = off');
    await admin.query('ALTER DATABASE postgres RESET default_transaction_read_only');
    await reader.close();
    await admin.end();
  });

  it('lets other errors pass as they are', async () => {
    const failure = await failureOf(store.append('no uuid', [entry('no uuid', 'x')]));
    expect(failure).not.toBeInstanceOf(StoreUnavailable);
    expect(failure).toHaveProperty('code', '22P02');
  });

  it('is unavailable when it was stopped', async () => {
    await server.stop();
    expect(await failureWithin(8_000, () => store.ping())).toEqual(AWAY);
    expect(await failureWithin(8_000, () => store.migrate())).toEqual(AWAY);
  });
});

describe('the codes', () => {
  it.each(['ECONNREFUSED', '08006', '57P01', '57P03', '53100', '25006', '53300'])('%s means away', (code) => {
    expect(isAway(Object.assign(new Error('x'), { code }))).toBe(true);
  });
  it.each(['23505', '42P01', '22P02', '', '57'])('%s does not', (code) => {
    expect(isAway(Object.assign(new Error('x'), { code }))).toBe(false);
  });
});
