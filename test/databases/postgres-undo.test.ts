import { Client } from 'pg';
import { array, assert, asyncProperty, constantFrom } from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { MoreDestroyed, type Migration } from '../../activities/databases/database.ts';
import { ledger } from '../../activities/databases/postgres-ledger.ts';
import { undo } from '../../activities/databases/postgres-undo.ts';
import type { Call } from '../../activities/databases/postgres-session.ts';
import type { Destroyed } from '../../model/plan.ts';
import type { Receipt } from '../../model/state.ts';
import { rejection } from '../adapters/contract.ts';
import { lossyWay, type Lossy } from '../provisioning/lossy.ts';
import { queryAt, testDatabase, type TestDatabase } from '../store/database.ts';
import { expectFit, Overheard } from '../support/overheard.ts';
import { APPLIED, apply, APPROVED, callOf, CANARY, COUPON, operation, pictureOf, sha256, shop, withPassword } from './undo-given.ts';

let server: TestDatabase;
beforeAll(async () => {
  server = await testDatabase();
}, 60_000);
afterAll(async () => {
  await server.drop();
});

/** A shop for each test, and nobody of ours is in it when the test is over. */
let url = '';
let heard = new Overheard();
const clients: Client[] = [];
const ways: Lossy[] = [];
beforeEach(async () => {
  url = withPassword(await server.another());
  await shop(url);
  heard = new Overheard();
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.end()));
  for (const way of ways.splice(0)) way.close();
  expectFit(heard, CANARY);
  await until(`NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'backout %')`);
});

const call = (overrides: Partial<Call> = {}, options: Record<string, unknown> = {}): Call => heard.hearing(callOf(url, overrides, options));
const undone = (on: Call, migration: Migration = COUPON, approved: readonly Destroyed[] = APPROVED): Promise<Receipt> =>
  heard.keep(undo(on, migration, approved));
const refused = (...given: Parameters<typeof undone>) => rejection(undone(...given));
const applied = async (): Promise<string[]> => (await heard.keep(ledger(callOf(url), 'env:SHOP_DB'))).map(({ name }) => name);
const sql = (text: string): Promise<Record<string, unknown>[]> => queryAt(url, text);
const migration = (inverse: string, name = COUPON.name): Migration => ({ ...COUPON, name, inverse });

async function application(name = 'shop-worker'): Promise<Client> {
  const client = new Client({ connectionString: url, application_name: name });
  client.on('error', () => undefined);
  await client.connect();
  clients.push(client);
  return client;
}
const until = (condition: string): Promise<unknown> =>
  sql(`DO $$ BEGIN
    FOR n IN 1..500 LOOP
      PERFORM pg_stat_clear_snapshot();
      IF ${condition} THEN RETURN; END IF;
      PERFORM pg_sleep(0.02);
    END LOOP;
    RAISE EXCEPTION 'it never came';
  END $$`);
const WAITING = `EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'backout %' AND wait_event_type = 'Lock')`;

/** What came of it, and whether all is as it was. */
async function outcomeOf(work: () => Promise<{ kind: string; message: string }>): Promise<unknown> {
  const before = JSON.stringify(await pictureOf(url));
  const { kind, message } = await work();
  return { kind, message, isUntouched: JSON.stringify(await pictureOf(url)) === before };
}
const untouched = (kind: string, message: RegExp) => ({ kind, message: expect.stringMatching(message) as string, isUntouched: true });

describe('undo in one transaction', () => {
  it('runs the inverse, takes the migration out of the ledger and leaves its mark', async () => {
    const on = call();
    const receipt = await undone(on);
    expect(receipt).toStrictEqual({
      before: { newest: '20260102' },
      after: { migration: '20260102', destroyed: APPROVED, milliseconds: expect.any(Number) as number },
      ids: { operation: on.operationId.slice(0, -2), inverse: `sha256:${sha256(COUPON.inverse)}` },
      detail: expect.any(String) as string,
    });
    expect(await applied()).toEqual(['20260101']);
    expect(await sql(`SELECT attname FROM pg_attribute WHERE attrelid = 'orders'::regclass AND attname = 'coupon'`)).toEqual([]);
    expect(await sql('SELECT operation, migration, inverse, destroyed FROM backout.undone')).toEqual([
      { operation: on.operationId.slice(0, -2), migration: '20260102', inverse: sha256(COUPON.inverse), destroyed: APPROVED },
    ]);
  });

  it('called again, in another generation too, it finds its mark and touches nothing', async () => {
    const on = call();
    await undone(on);
    const before = await pictureOf(url);
    const again = await undone(call({ operationId: on.operationId.replace(/1$/, '2'), attempt: 2 }));
    expect(again.after).toMatchObject({ migration: '20260102', already: true, destroyed: APPROVED });
    expect(await pictureOf(url)).toStrictEqual(before);
  });

  it('an inverse that fails half-way has changed nothing, and the statement is named, not its data', async () => {
    const inverse = `ALTER TABLE orders DROP COLUMN coupon; ALTER TABLE orders ALTER COLUMN customer TYPE int USING customer::int`;
    const approved = [...APPROVED, { what: 'statement 2: ALTER TABLE orders ALTER COLUMN customer TYPE', rows: null }];
    expect(await outcomeOf(() => refused(call(), migration(inverse), approved))).toEqual(
      untouched('failed', /^statement 2 \(ALTER TABLE orders\) failed: Postgres says 22P02.*nothing was changed$/),
    );
  });

  it('what the inverse, a trigger or a constraint says of rows is in no message', async () => {
    await sql(`CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no: %', OLD.customer USING ERRCODE = '23505'; END $$;
      CREATE TRIGGER shout BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION shout()`);
    const approved = [{ what: 'statement 1: DELETE FROM orders', rows: null }];
    expect(await outcomeOf(() => refused(call(), migration('DELETE FROM orders'), approved))).toEqual(
      untouched('failed', /statement 1 \(DELETE FROM orders\) failed: Postgres says 23505/),
    );
    expect(await outcomeOf(() => refused(call(), migration(`ALTER TABLE orders ADD CONSTRAINT c CHECK (customer = '${CANARY}')`), []))).toEqual(
      untouched('failed', /check constraint "c" of relation "orders" is violated by some row/),
    );
  });

  it.each([
    ['SET LOCAL lock_timeout = 0', /sets lock_timeout/],
    ['SET ROLE postgres', /sets role/],
    ['RESET ALL', /sets every setting/],
    ["SELECT set_config('search_path', '', false)", /calls set_config/],
    ['COMMIT; DROP TABLE orders', /begins or ends a transaction/],
    ["COPY orders TO PROGRAM 'cat'", /runs a program/],
    ['DROP TABL orders', /does not parse/],
    ['-- nothing', /is empty/],
  ])('is never begun where the inverse is %s', async (inverse, why) => {
    expect(await outcomeOf(() => refused(call(), migration(inverse)))).toEqual(untouched('failed', why));
  });

  it.each([
    ['a timeout', `DO $$ BEGIN PERFORM set_config('lock_timeout', '0', true); END $$`, /has changed lock_timeout/],
    ['the search path', `DO $$ BEGIN SET LOCAL search_path = backout; END $$`, /has changed search_path/],
    ['the transaction', `DO $$ BEGIN COMMIT; END $$`, /statement 1 \(DO\) failed: Postgres says 2D000/],
  ])('an inverse that changes %s from within is stopped, with nothing changed', async (_what, inverse, why) => {
    expect(await outcomeOf(() => refused(call(), migration(inverse), [{ what: 'statement 1: DO', rows: null }]))).toEqual(untouched('failed', why));
  });

  it('a role that is changed from within is seen', async () => {
    const role = `role_${sha256(url).slice(0, 8)}`;
    await sql(`CREATE ROLE ${role}`);
    const inverse = migration(`DO $$ BEGIN PERFORM set_config('role', '${role}', true); END $$`);
    expect(await outcomeOf(() => refused(call(), inverse, [{ what: 'statement 1: DO', rows: null }]))).toEqual(
      untouched('failed', /has changed current user, role/),
    );
    await sql(`DROP ROLE ${role}`);
  });

  it('neither a mark nor a row in the ledger is a conflict; so is a row that came again, a newer one, a copy, and another text than was recorded', async () => {
    await apply(url, '20260103', 'CREATE TABLE coupons (id int)');
    expect(await outcomeOf(() => refused(call()))).toEqual(untouched('conflict', /20260102 is not the newest of .*: 20260103 is/));
    await sql(`DELETE FROM supabase_migrations.schema_migrations WHERE version = '20260103'`);
    expect(await outcomeOf(() => refused(call(), { ...COUPON, hash: sha256('other') }))).toEqual(untouched('conflict', /has another hash/));
    const on = call();
    await undone(on);
    expect(await outcomeOf(() => refused(on, migration('SELECT 1')))).toEqual(untouched('conflict', /by another inverse/));
    expect(await outcomeOf(() => refused(call()))).toEqual(untouched('conflict', /there is no mark/));
    await apply(url, '20260102', APPLIED['20260102']);
    expect(await outcomeOf(() => refused(on))).toEqual(untouched('conflict', /it was applied anew/));
  });

  it('a ledger row that was deleted by hand is a conflict', async () => {
    await sql(`DELETE FROM supabase_migrations.schema_migrations WHERE version = '20260102'`);
    expect(await outcomeOf(() => refused(call()))).toEqual(untouched('conflict', /nobody can say what became of it/));
  });

  it('takes out its own row and no other one, whatever the inverse does to the ledger', async () => {
    const inverse = `DELETE FROM supabase_migrations.schema_migrations`;
    const approved = [{ what: 'statement 1: DELETE FROM supabase_migrations.schema_migrations', rows: null }];
    expect(await outcomeOf(() => refused(call(), migration(inverse), approved))).toEqual(untouched('failed', /not only 20260102 was taken out/));
    await undone(call(), migration(`${inverse} WHERE version = '20260102'`), approved);
    expect(await applied()).toEqual(['20260101']);
  });

  it('more than was approved throws MoreDestroyed with all counts, and changes nothing', async () => {
    await sql(`UPDATE orders SET coupon = '${CANARY}' WHERE id = 4`);
    const error = await refused(call(), migration('ALTER TABLE orders DROP COLUMN coupon; DROP TABLE IF EXISTS gone'));
    expect(error).toBeInstanceOf(MoreDestroyed);
    expect((error as MoreDestroyed).destroys).toEqual([{ what: 'column public.orders.coupon', rows: 4 }]);
    expect(await outcomeOf(() => refused(call(), COUPON, []))).toEqual(
      untouched('conflict', /more would be destroyed.*column public.orders.coupon \(4 rows\); nothing was changed/),
    );
    await undone(call(), COUPON, [{ what: 'column public.orders.coupon', rows: 4 }]);
    expect(await applied()).toEqual(['20260101']);
  });

  it('counts again behind a statement that writes rows, and sees a name that has come to mean something else', async () => {
    const filling = migration(`UPDATE orders SET coupon = 'x'; ALTER TABLE orders DROP COLUMN coupon`);
    expect(await outcomeOf(() => refused(call(), filling, [{ what: 'statement 1: UPDATE orders', rows: null }, ...APPROVED]))).toEqual(
      untouched('conflict', /column public.orders.coupon \(10 rows\)/),
    );
    await sql(
      `CREATE SCHEMA other; CREATE TABLE other.orders (id int); INSERT INTO other.orders VALUES (1); ALTER ROLE CURRENT_USER IN DATABASE ${new URL(url).pathname.slice(1)} SET search_path = public, other`,
    );
    const twice = migration(`DROP TABLE orders; DROP TABLE orders`);
    expect(await outcomeOf(() => refused(call(), twice, [{ what: 'table public.orders', rows: 10 }]))).toEqual(
      untouched('failed', /table public.orders is not what it was when it was counted/),
    );
  });

  it('rows written by an application until the lock is had are counted: none can be written afterwards', async () => {
    const writer = await application();
    await writer.query('BEGIN');
    await writer.query(`UPDATE orders SET coupon = 'new' WHERE id = 10`);
    const undoing = refused(call({}, { lockTimeoutSeconds: 10 }));
    await until(WAITING);
    await writer.query('COMMIT');
    expect(await undoing).toMatchObject({ destroys: [{ what: 'column public.orders.coupon', rows: 4 }] });
  });
});

describe('locks', () => {
  it('a long lock is a conflict that names who holds it, changes nothing and ends nobody; once it is released it succeeds', async () => {
    const holder = await application('shop-worker');
    await holder.query('BEGIN');
    await holder.query('SELECT FROM orders');
    const on = call();
    const started = performance.now();
    expect(await outcomeOf(() => refused(on))).toEqual(
      untouched(
        'conflict',
        /^a lock was not had within 0.2 s, tried three times: it is held by pid \d+ \(application shop-worker, role postgres, idle in transaction, for \d+ s\); nothing was changed$/,
      ),
    );
    // Three times 0.2 s, with 0.1 s and 0.2 s between them.
    expect(performance.now() - started).toBeGreaterThan(850);
    await holder.query('COMMIT');
    await undone(on);
    expect(await applied()).toEqual(['20260101']);
  });

  it("the migration tool's own lock, its open transaction and Backout's own lock are waited for alike", async () => {
    const tool = await application('migration-tool');
    await tool.query('SELECT pg_advisory_lock(4711)');
    expect(await outcomeOf(() => refused(call({}, { ledger: { hash: 'checksum', lock: 4711 } })))).toEqual(untouched('conflict', /application migration-tool/));
    await tool.query('SELECT pg_advisory_unlock_all()');
    await tool.query('BEGIN');
    await tool.query(`INSERT INTO supabase_migrations.schema_migrations VALUES ('20260109', null)`);
    expect(await outcomeOf(() => refused(call()))).toEqual(untouched('conflict', /application migration-tool/));
    await tool.query('ROLLBACK');
  });

  it('two attempts at once have one effect; an earlier one that is still at it is waited for later', async () => {
    const slow = migration(`SELECT pg_sleep(1); ALTER TABLE orders DROP COLUMN coupon`);
    const approved = [
      { what: 'statement 1: a call of pg_sleep()', rows: null },
      { what: 'statement 2: column orders.coupon', rows: null },
    ];
    const on = call({}, { lockTimeoutSeconds: 5 });
    const both = await Promise.all([undone(on, slow, approved), undone(on, slow, approved)]);
    expect(both.map(({ after }) => (after as { already?: boolean }).already === true).toSorted((a, b) => Number(a) - Number(b))).toEqual([false, true]);
    expect(await sql('SELECT FROM backout.undone')).toHaveLength(1);
    await apply(url, '20260102', APPLIED['20260102']);
    const impatient = call({ operationId: operation() }, { lockTimeoutSeconds: 0.1 });
    const first = undone(impatient, slow, approved);
    await until(
      `EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep(1)%' AND application_name LIKE 'backout %')`,
    );
    expect(await refused(impatient, slow, approved)).toMatchObject({
      kind: 'unavailable',
      message: expect.stringMatching(/an earlier attempt of this operation/) as string,
    });
    await first;
    expect((await undone(impatient, slow, approved)).after).toMatchObject({ already: true });
  });

  it('stops promptly when aborted, says so in the meantime, and has done nothing', async () => {
    const holder = await application();
    await holder.query('BEGIN; SELECT FROM orders');
    const abort = new AbortController();
    const beats: string[] = [];
    const before = await pictureOf(url);
    const waiting = refused(call({ signal: abort.signal, heartbeat: (text) => beats.push(text) }, { lockTimeoutSeconds: 30 }));
    await until(WAITING);
    await new Promise((resolve) => setTimeout(resolve, 700));
    abort.abort();
    const aborted = performance.now();
    expect((await waiting).kind).toBe('unavailable');
    expect(performance.now() - aborted).toBeLessThan(500);
    expect(beats.join()).toContain('undoing 20260102');
    await until(`NOT ${WAITING}`);
    await holder.query('COMMIT');
    expect(await pictureOf(url)).toStrictEqual(before);
  });
});

describe('connections', () => {
  it.each([true, false])('lost at COMMIT (it took effect: %s) is unavailable, and the next attempt finds out by the mark', async (takesEffect) => {
    const way = await lossyWay(url, takesEffect);
    ways.push(way);
    const on = call();
    expect(await refused({ ...on, secret: () => Promise.resolve(way.url) })).toMatchObject({
      kind: 'unavailable',
      message: expect.stringMatching(/lost at COMMIT/) as string,
    });
    await until(`NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'backout %')`);
    const receipt = await undone(on);
    expect((receipt.after as { already?: boolean }).already ?? false).toBe(takesEffect);
    expect(await sql('SELECT FROM backout.undone')).toHaveLength(1);
    expect(await applied()).toEqual(['20260101']);
  });

  it('killed in the middle of the inverse, nothing has changed, and the next attempt does it', async () => {
    const slow = migration(`ALTER TABLE orders DROP COLUMN coupon; SELECT pg_sleep(30)`);
    const approved = [...APPROVED, { what: 'statement 2: a call of pg_sleep()', rows: null }];
    const on = call();
    expect(
      await outcomeOf(async () => {
        const killed = refused(on, slow, approved);
        await until(
          `EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'SELECT pg_sleep(30)%' OR query LIKE ' SELECT pg_sleep(30)%')`,
        );
        await sql(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND pid <> pg_backend_pid() AND datname = current_database()`,
        );
        return killed;
      }),
    ).toEqual(untouched('unavailable', /terminating connection/));
    await undone(on);
    expect(await applied()).toEqual(['20260101']);
  });

  it('says what is wrong with the way to it without saying its password', async () => {
    const nowhere = new URL(url);
    nowhere.pathname = '/no_such';
    const stranger = new URL(url);
    stranger.username = 'nobody_knows';
    const cases = [
      [`postgres://u:${CANARY}@127.0.0.1:1/x`, 'unavailable'],
      [nowhere.href, 'configuration'],
      [stranger.href, 'unauthorized'],
      [`no url ${CANARY}`, 'configuration'],
    ] as const;
    for (const [address, kind] of cases) {
      const error = await refused(call({ secret: () => Promise.resolve(address) }));
      expect([error.kind, error.message]).toEqual([kind, expect.stringContaining('env:SHOP_DB')]);
    }
    expect((await refused(call({}, { ledger: undefined }))).kind).toBe('configuration');
    expect((await refused(call({}, { ledger: { table: 'no_such' } }))).kind).toBe('configuration');
  });
});

describe('any inverse', () => {
  const parts = constantFrom(
    'ALTER TABLE orders DROP COLUMN coupon',
    'ALTER TABLE orders ADD COLUMN note text',
    'CREATE TABLE more (id int)',
    'DROP TABLE no_such',
    'ALTER TABLE orders ALTER COLUMN customer SET NOT NULL',
  );
  const names = ['column public.orders.coupon', 'column orders.coupon', 'table no_such'];
  const approved = [...APPROVED, ...[1, 2, 3, 4].flatMap((n) => names.map((name) => ({ what: `statement ${n}: ${name}`, rows: null })))];
  const marked = async (): Promise<number> =>
    (await sql(`SELECT to_regclass('backout.undone') AS there`))[0]?.['there'] === null ? 0 : (await sql('SELECT FROM backout.undone')).length;
  it('is applied as a whole and marked, or not at all', async () => {
    const outcomes: string[] = [];
    await assert(
      asyncProperty(array(parts, { minLength: 1, maxLength: 4 }), async (inverse) => {
        url = withPassword(await server.another());
        await shop(url);
        const before = await pictureOf(url);
        const outcome = await undone(call(), migration(inverse.join(';\n')), approved).then(
          () => 'done',
          () => 'not',
        );
        outcomes.push(outcome);
        const [names, marks, after] = [await applied(), await marked(), await pictureOf(url)];
        const isWhole = outcome === 'done' ? names.length === 1 && marks === 1 : marks === 0 && JSON.stringify(after) === JSON.stringify(before);
        expect([outcome, isWhole]).toEqual([outcome, true]);
      }),
      { numRuns: 12, examples: [[['DROP TABLE no_such']], [['CREATE TABLE more (id int)']]] },
    );
    expect(new Set(outcomes)).toEqual(new Set(['done', 'not']));
  });
});
