/** A house with an evidence table on a real Postgres: triggers refuse every change, and the role that Backout comes with has no right to one. */
import { createHash, randomUUID } from 'node:crypto';
import { Client } from 'pg';
import type { ChainCall } from '../../activities/evidence/chain.ts';
import { type ChainOptions, chainOptions } from '../../activities/evidence/postgres-options.ts';
import type { TestDatabase } from '../store/database.ts';
import { type Lossy, lossyWay } from '../provisioning/lossy.ts';

export const CANARY = 'canary-5d0f93';
const START = Date.parse('2026-11-21T10:00:00.000Z');
export const minute = (place: number): string => new Date(START + place * 60_000).toISOString();

export interface Entry {
  readonly order: string;
  readonly previous: string;
  readonly hash: string;
  /** What it says. */
  readonly body: string;
  /** What it should have as its hash. */
  readonly meant: string;
}

export type Tampering = 'remove' | 'content' | 'aside' | 'hash' | 'previous' | 'swap' | 'rewrite';

interface Stored {
  seq: string;
  actor: string;
  body: string;
  previous: string;
  hash: string;
}
const hashOf = ({ previous, seq, actor, body }: Omit<Stored, 'hash'>): string =>
  createHash('sha256').update(`${previous}|${seq}|${actor}|${body}`).digest('hex');

export class House {
  readonly schema = `house_${randomUUID().slice(0, 8)}`;
  readonly role = `${this.schema}_backout`;
  readonly database: TestDatabase;
  readonly #ways: Lossy[] = [];
  readonly #clients: Client[] = [];

  private constructor(database: TestDatabase) {
    this.database = database;
  }

  /** `columns`: those of the order and of the link. */
  static async create(database: TestDatabase, columns = 'seq bigint PRIMARY KEY, previous text NOT NULL UNIQUE'): Promise<House> {
    const house = new House(database);
    const { schema, role } = house;
    await house.query(`
      CREATE SCHEMA ${schema};
      CREATE ROLE ${role} LOGIN;
      CREATE TABLE ${schema}.runs (id text, started timestamptz NOT NULL);
      CREATE TABLE ${schema}.evidence (${columns}, at timestamptz NOT NULL DEFAULT now(), actor text NOT NULL, body text NOT NULL, note text, operation text, hash text NOT NULL);
      CREATE FUNCTION ${schema}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'evidence is append-only'; END $$;
      CREATE TRIGGER refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON ${schema}.evidence FOR EACH STATEMENT EXECUTE FUNCTION ${schema}.refuse();
      GRANT USAGE ON SCHEMA ${schema} TO ${role};
      GRANT SELECT ON ${schema}.runs TO ${role};
      GRANT SELECT, INSERT, MAINTAIN ON ${schema}.evidence TO ${role}`);
    return house;
  }

  readonly rawOptions: Readonly<Record<string, unknown>> = {
    url: 'env:EVIDENCE',
    table: `${this.schema}.evidence`,
    order: 'seq',
    contiguous: true,
    previous: 'previous',
    hash: 'hash',
    over: [{ previous: true }, { text: '|' }, { column: 'seq' }, { text: '|' }, { column: 'actor' }, { text: '|' }, { column: 'body' }],
    at: 'at',
    runs: { table: `${this.schema}.runs`, id: 'id', at: 'started' },
    operation: { column: 'operation' },
    genesis: 'genesis',
    lockTimeoutSeconds: 0.3,
    append: {
      columns: {
        at: '{at}',
        actor: 'backout',
        operation: '{operation}',
        body: { incident: '{incident}', rollback: '{rollbackId}', by: '{by}', window: ['{from}', '{to}'], runs: '{runs}', entries: '{entries}' },
      },
    },
  };

  options(overrides: Readonly<Record<string, unknown>> = {}): ChainOptions {
    return chainOptions.parse({ ...this.rawOptions, ...overrides });
  }

  get url(): string {
    const url = new URL(this.database.url);
    [url.username, url.password] = [this.role, CANARY];
    return url.href;
  }

  call(overrides: Partial<ChainCall<ChainOptions>> = {}): ChainCall<ChainOptions> {
    return {
      name: 'trail',
      environment: 'production',
      options: this.options(),
      folder: '/house',
      operationId: `${this.schema}/trail.annotate/1`,
      attempt: 1,
      signal: new AbortController().signal,
      heartbeat: () => undefined,
      secret: () => Promise.resolve(this.url),
      ...overrides,
    };
  }

  query<Row extends object>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    return this.database.query<Row & Record<string, unknown>>(text, values);
  }

  /** The application appends as it should: the head is read under the lock. One entry a minute, of the entry's own number. */
  async append(count: number, pause: () => Promise<void> = async () => undefined): Promise<void> {
    const client = await this.client('the-application');
    const table = `${this.schema}.evidence`;
    for (let round = 0; round < count; round += 1) {
      await client.query('BEGIN');
      await client.query(`LOCK TABLE ${table} IN SHARE ROW EXCLUSIVE MODE`);
      const [head] = (await client.query<{ seq: string; hash: string }>(`SELECT seq, hash FROM ${table} ORDER BY seq DESC LIMIT 1`)).rows;
      const seq = String(Number(head?.seq ?? 0) + 1);
      const entry = { seq, previous: head?.hash ?? 'genesis', actor: 'agent', body: `{"said":"${CANARY} ${seq}"}` };
      await client.query(`INSERT INTO ${table} (seq, previous, at, actor, body, note, hash) VALUES ($1, $2, $3, $4, $5, $6, $7)`, [
        seq,
        entry.previous,
        minute(Number(seq) - 1),
        entry.actor,
        entry.body,
        CANARY,
        hashOf(entry),
      ]);
      await client.query('COMMIT');
      await pause();
    }
    await client.end();
  }

  async runs(...places: readonly number[]): Promise<void> {
    for (const place of places) await this.query(`INSERT INTO ${this.schema}.runs VALUES ($1, $2)`, [`run-${place}`, minute(place)]);
  }

  async #stored(): Promise<Stored[]> {
    return this.query<Stored>(`SELECT seq::text, actor, body, previous, hash FROM ${this.schema}.evidence t ORDER BY t.seq`);
  }

  async entries(): Promise<Entry[]> {
    return (await this.#stored()).map((row) => ({ order: row.seq, previous: row.previous, hash: row.hash, body: row.body, meant: hashOf(row) }));
  }

  /** Everything in it, and when each row was last written. */
  snapshot(): Promise<unknown[]> {
    return this.query(`SELECT t::text, xmin::text, ctid::text FROM ${this.schema}.evidence t ORDER BY t.seq, t.hash`);
  }

  /** By somebody who has all rights, behind the back of the triggers. `seq` is the entry. */
  async tamper(how: Tampering, seq: number): Promise<void> {
    const table = `${this.schema}.evidence`;
    const sql: Readonly<Record<Exclude<Tampering, 'rewrite'>, string>> = {
      remove: `DELETE FROM ${table} WHERE seq = ${seq}`,
      content: `UPDATE ${table} SET body = body || ' and more' WHERE seq = ${seq}`,
      aside: `UPDATE ${table} SET note = 'another' WHERE seq = ${seq}`,
      hash: `UPDATE ${table} SET hash = repeat('0', 64) WHERE seq = ${seq}`,
      previous: `UPDATE ${table} SET previous = repeat('1', 64) WHERE seq = ${seq}`,
      swap: `UPDATE ${table} SET seq = -1 WHERE seq = ${seq}; UPDATE ${table} SET seq = ${seq} WHERE seq = ${seq + 1}; UPDATE ${table} SET seq = ${seq + 1} WHERE seq = -1`,
    };
    await this.unguarded(how === 'rewrite' ? await this.#rewriting(seq) : sql[how]);
  }

  unguarded(sql: string): Promise<unknown> {
    return this.query(`SET session_replication_role = replica; ${sql}`);
  }

  /** Another body, and from there on every hash anew: a chain in which nothing is wrong. */
  async #rewriting(from: number): Promise<string> {
    const rows = await this.#stored();
    let head = '';
    const changes: string[] = [];
    for (const row of rows) {
      if (Number(row.seq) === from) row.body = 'rewritten';
      if (Number(row.seq) > from) row.previous = head;
      head = Number(row.seq) < from ? row.hash : hashOf(row);
      changes.push(`UPDATE ${this.schema}.evidence SET body = '${row.body}', previous = '${row.previous}', hash = '${head}' WHERE seq = ${row.seq}`);
    }
    // From the end, so that no two have the same predecessor on the way.
    return changes.toReversed().join('; ');
  }

  async client(application: string): Promise<Client> {
    const client = new Client({ connectionString: this.database.url, application_name: application });
    client.on('error', () => undefined);
    await client.connect();
    this.#clients.push(client);
    return client;
  }

  /** Another program is in the middle of writing, until it is told to end. */
  async holding(application: string): Promise<() => Promise<void>> {
    const client = await this.client(application);
    await client.query('BEGIN');
    await client.query(`LOCK TABLE ${this.schema}.evidence IN ROW EXCLUSIVE MODE`);
    return async () => {
      await client.query('COMMIT');
    };
  }

  /** Until somebody waits for a lock on the table, or nobody does. */
  async awaited(isSomebody = true): Promise<void> {
    await this.query(`DO $$ BEGIN
      FOR n IN 1..500 LOOP
        EXIT WHEN ${isSomebody} = EXISTS (SELECT FROM pg_locks WHERE relation = '${this.schema}.evidence'::regclass AND NOT granted);
        PERFORM pg_sleep(0.02);
      END LOOP;
    END $$`);
  }

  async lossy(takesEffect: boolean): Promise<ChainCall<ChainOptions>> {
    const way = await lossyWay(this.url, takesEffect);
    this.#ways.push(way);
    return this.call({ secret: () => Promise.resolve(way.url) });
  }

  away(): ChainCall<ChainOptions> {
    return this.call({ secret: () => Promise.resolve(`postgres://backout:${CANARY}@127.0.0.1:1/evidence`) });
  }

  async close(): Promise<void> {
    for (const way of this.#ways) way.close();
    for (const client of this.#clients) await client.end().catch(() => undefined);
    await this.query(`DROP SCHEMA ${this.schema} CASCADE; DROP OWNED BY ${this.role}; DROP ROLE ${this.role}`);
  }
}
