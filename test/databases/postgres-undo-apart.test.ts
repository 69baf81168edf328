import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { MoreDestroyed, type Migration } from '../../activities/databases/database.ts';
import type { Call } from '../../activities/databases/postgres-session.ts';
import { undo } from '../../activities/databases/postgres-undo.ts';
import type { Destroyed } from '../../model/plan.ts';
import type { Receipt } from '../../model/state.ts';
import { rejection } from '../adapters/contract.ts';
import { lossyWay } from '../provisioning/lossy.ts';
import { queryAt, testDatabase, type TestDatabase } from '../store/database.ts';
import { expectFit, Overheard } from '../support/overheard.ts';
import { apply, APPROVED, callOf, CANARY, COUPON, shop, withPassword } from './undo-given.ts';

let server: TestDatabase;
let url = '';
let heard = new Overheard();
beforeAll(async () => {
  server = await testDatabase();
}, 60_000);
afterAll(async () => {
  await server.drop();
});
beforeEach(async () => {
  url = withPassword(await server.another());
  await shop(url);
  await sql('CREATE INDEX by_customer ON orders (customer); CREATE INDEX by_coupon ON orders (coupon)');
  heard = new Overheard();
});
afterEach(() => {
  expectFit(heard, CANARY);
});

const sql = (text: string): Promise<Record<string, unknown>[]> => queryAt(url, text);
const call = (overrides: Partial<Call> = {}, options: Record<string, unknown> = {}): Call => heard.hearing(callOf(url, overrides, options));
const migration = (inverse: string): Migration => ({ ...COUPON, inverse });
const undone = (on: Call, inverse: string, approved: readonly Destroyed[] = APPROVED): Promise<Receipt> => heard.keep(undo(on, migration(inverse), approved));
const refused = (...given: Parameters<typeof undone>) => rejection(undone(...given));
const indexes = async (): Promise<unknown[]> =>
  (
    await sql(
      `SELECT c.relname AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = 'orders'::regclass AND i.indisvalid AND NOT i.indisprimary ORDER BY 1`,
    )
  ).map(({ name }) => name);
const hasCoupon = async (): Promise<boolean> => (await sql(`SELECT FROM pg_attribute WHERE attrelid = 'orders'::regclass AND attname = 'coupon'`)).length > 0;
const ledgerRows = async (): Promise<number> => (await sql('SELECT FROM supabase_migrations.schema_migrations')).length;
const states = async (): Promise<unknown[]> => (await sql('SELECT state FROM backout.undone_statements ORDER BY number')).map(({ state }) => state);

const DROP = 'DROP INDEX CONCURRENTLY by_customer';
const THREE = `${DROP}; ALTER TABLE orders DROP COLUMN coupon; DROP INDEX CONCURRENTLY no_such`;

async function application(): Promise<Client> {
  const client = new Client({ connectionString: url, application_name: 'shop-worker' });
  await client.connect();
  return client;
}

describe('undo statement by statement', () => {
  it('runs what cannot be in a transaction, each with its mark, then takes the migration out of the ledger', async () => {
    const on = call();
    const receipt = await undone(on, `${DROP}; ALTER TABLE orders DROP COLUMN coupon; CREATE INDEX CONCURRENTLY again ON orders (customer); VACUUM orders`);
    expect(receipt.after).toMatchObject({ migration: '20260102', destroyed: APPROVED });
    expect([await indexes(), await hasCoupon(), await ledgerRows()]).toEqual([['again'], false, 1]);
    const again = await undone(on, `${DROP}; ALTER TABLE orders DROP COLUMN coupon; CREATE INDEX CONCURRENTLY again ON orders (customer); VACUUM orders`);
    expect(again.after).toMatchObject({ already: true });
  });

  it('stops where one fails, says exactly what is applied and what is not, and goes on from there', async () => {
    const on = call();
    const error = await refused(on, THREE);
    expect(error).toMatchObject({
      kind: 'failed',
      message:
        'statement 3 (DROP INDEX CONCURRENTLY no_such) failed: index "no_such" does not exist; applied: statement 1 (DROP INDEX CONCURRENTLY by_customer), ' +
        'statement 2 (ALTER TABLE orders); not applied: statement 3 (DROP INDEX CONCURRENTLY no_such)',
    });
    expect([await indexes(), await hasCoupon(), await ledgerRows(), await states()]).toEqual([[], false, 2, ['done', 'done', 'failed']]);
    await sql('CREATE INDEX no_such ON orders (customer)');
    expect((await undone(on, THREE)).after).toMatchObject({ destroyed: APPROVED });
    expect([await indexes(), await ledgerRows()]).toEqual([[], 1]);
    expect((await refused(call({ operationId: on.operationId }), DROP)).kind).toBe('conflict');
  });

  it('one in a transaction that fails there is not applied, and another inverse does not go on from it', async () => {
    const on = call();
    const inverse = `${DROP}; ALTER TABLE orders ALTER COLUMN customer TYPE int USING customer::int`;
    const approved = [{ what: 'statement 2: ALTER TABLE orders ALTER COLUMN customer TYPE', rows: null }];
    expect(await refused(on, inverse, approved)).toMatchObject({
      kind: 'failed',
      message: expect.stringMatching(
        /^statement 2 \(ALTER TABLE orders\) failed: .*; applied: statement 1 .*by_customer\); not applied: statement 2 \(ALTER TABLE orders\)$/,
      ) as string,
    });
    expect(await refused(on, 'DROP INDEX CONCURRENTLY by_coupon')).toMatchObject({
      kind: 'conflict',
      message: expect.stringMatching(/begun with another inverse/) as string,
    });
  });

  it('a migration that has come meanwhile is a conflict, and what an earlier attempt has changed is not denied', async () => {
    const on = call();
    await refused(on, THREE);
    await apply(url, '20260103', 'CREATE TABLE newer ()');
    expect(await refused(on, THREE)).toMatchObject({
      kind: 'conflict',
      message: expect.stringMatching(/20260103 is; nothing was changed by this attempt$/) as string,
    });
    await sql(`DELETE FROM supabase_migrations.schema_migrations WHERE version = '20260103'; CREATE INDEX no_such ON orders (id)`);
    await sql(`CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
      CREATE TRIGGER keep BEFORE DELETE ON supabase_migrations.schema_migrations FOR EACH ROW EXECUTE FUNCTION keep()`);
    expect(await refused(on, THREE)).toMatchObject({
      kind: 'failed',
      message: expect.stringMatching(/applied: statement 1 .*, statement 3 .*; not applied: none$/) as string,
    });
  });

  it('more than was approved is found before anything is begun, and again under the lock', async () => {
    const error = await refused(call(), THREE, [{ what: 'column public.orders.coupon', rows: 2 }]);
    expect(error).toBeInstanceOf(MoreDestroyed);
    expect(error.message).toMatch(/applied: none/);
    expect(await indexes()).toEqual(['by_coupon', 'by_customer']);
    const filling = `${DROP}; UPDATE orders SET coupon = 'x'; ALTER TABLE orders DROP COLUMN coupon`;
    const later = await refused(call(), filling, [...APPROVED, { what: 'statement 2: UPDATE orders', rows: null }]);
    expect(later).toMatchObject({ destroys: expect.arrayContaining([{ what: 'column public.orders.coupon', rows: 10 }]) as unknown });
    expect(later.message).toMatch(/applied: statement 1 .*, statement 2 \(UPDATE orders\); not applied: statement 3/);
    expect(await hasCoupon()).toBe(true);
  });

  it('a long lock is a conflict that names its holder, and what it stopped in the middle of is finished later', async () => {
    const holder = await application();
    await holder.query('BEGIN');
    await holder.query('SELECT FROM orders');
    const on = call();
    const error = await refused(on, DROP);
    expect(error.kind).toBe('conflict');
    expect(error.message).toMatch(/application shop-worker.*applied: none; not applied: statement 1/);
    await holder.end();
    await undone(on, DROP);
    expect([await indexes(), await ledgerRows()]).toEqual([['by_coupon'], 1]);
  });

  it('a new index that could not be finished is named, and in the way until somebody drops it', async () => {
    const on = call();
    const UNIQUE = 'CREATE UNIQUE INDEX CONCURRENTLY one_each ON orders ((id % 2))';
    const first = await refused(on, UNIQUE);
    expect(first.message).toMatch(
      /^statement 1 .* failed: could not create unique index "one_each"; it has left the index public.one_each behind, which is not valid/,
    );
    expect((await refused(on, UNIQUE)).message).toMatch(/has left the index public.one_each behind.*drop it, and try again; applied: none/);
    await sql('DROP INDEX one_each; DELETE FROM orders WHERE id > 2');
    await undone(on, UNIQUE);
    expect(await indexes()).toContain('one_each');
  });

  it('an index that is there and not valid is not taken for a new one', async () => {
    await sql(`UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'by_customer'::regclass`);
    const error = await refused(call(), 'CREATE INDEX CONCURRENTLY IF NOT EXISTS by_customer ON orders (customer)');
    expect(error).toMatchObject({ kind: 'failed', message: expect.stringMatching(/was there, and is not valid/) as string });
    expect(await ledgerRows()).toBe(2);
  });

  it.each([true, false])('the reply to a COMMIT lost (it took effect: %s), nothing is done twice', async (takesEffect) => {
    const way = await lossyWay(url, takesEffect);
    const on = call();
    expect((await refused({ ...on, secret: () => Promise.resolve(way.url) }, DROP)).kind).toBe('unavailable');
    way.close();
    await undone({ ...on, options: { ...on.options, lockTimeoutSeconds: 5 } }, DROP);
    expect([await indexes(), await ledgerRows()]).toEqual([['by_coupon'], 1]);
  });

  it('killed in the middle of one, the next attempt finds out and finishes it', async () => {
    const holder = await application();
    await holder.query('BEGIN; SELECT FROM orders');
    const on = call({}, { lockTimeoutSeconds: 10 });
    const killed = refused(on, DROP);
    const ours = `FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '${DROP}%' AND wait_event_type = 'Lock'`;
    await expect.poll(() => sql(`SELECT ${ours}`), { timeout: 10_000 }).toHaveLength(1);
    await sql(`SELECT pg_terminate_backend(pid) ${ours}`);
    expect((await killed).kind).toBe('unavailable');
    expect(await states()).toEqual(['begun']);
    await holder.end();
    await undone(on, DROP);
    expect([await indexes(), await ledgerRows(), await states()]).toEqual([['by_coupon'], 1, ['done']]);
  });
});

describe('a statement that was begun, and never heard of again', () => {
  /** As a crash leaves it behind that statement: begun, and its object as it was before. */
  async function crashed(on: Call, inverse: string, since: string): Promise<void> {
    await undone(on, inverse, [...APPROVED, { what: 'statement 1: ALTER TABLE parts DetachPartition', rows: null }]).catch((error: unknown) => error);
    await sql(`UPDATE backout.undone_statements SET state = 'begun'; DELETE FROM backout.undone`);
    await sql(`INSERT INTO supabase_migrations.schema_migrations VALUES ('20260102', '${COUPON.hash}') ON CONFLICT DO NOTHING`);
    await sql(since);
  }

  it('an index that is gone was dropped: it is done, though one of its name has been made since', async () => {
    const on = call();
    await crashed(on, DROP, 'CREATE INDEX by_customer ON orders (customer)');
    await undone(on, DROP);
    expect([await indexes(), await ledgerRows()]).toEqual([['by_coupon', 'by_customer'], 1]);
  });

  it('an index that is still there was not dropped: it is dropped now', async () => {
    const on = call();
    const holder = await application();
    await holder.query('BEGIN; SELECT FROM orders');
    await crashed(on, DROP, 'SELECT 1');
    await holder.end();
    await undone(on, DROP);
    expect(await indexes()).toEqual(['by_coupon']);
  });

  it('an index that was made is done; one that is not there is made', async () => {
    const on = call();
    const CREATE = 'CREATE INDEX CONCURRENTLY made ON orders (customer)';
    await crashed(on, CREATE, 'SELECT 1');
    await undone(on, CREATE);
    expect(await indexes()).toContain('made');
    await crashed(on, CREATE, 'DROP INDEX made');
    await undone(on, CREATE);
    expect([(await indexes()).includes('made'), await ledgerRows()]).toEqual([true, 1]);
  });

  it('what the catalog cannot tell is unknown, and is decided by a person', async () => {
    const on = call();
    await sql('CREATE TABLE parts (id int) PARTITION BY LIST (id); CREATE TABLE part PARTITION OF parts FOR VALUES IN (1)');
    const DETACH = `ALTER TABLE parts DETACH PARTITION part CONCURRENTLY; ALTER TABLE orders DROP COLUMN coupon`;
    const approved = [...APPROVED, { what: 'statement 1: ALTER TABLE parts DetachPartition', rows: null }];
    await crashed(on, DETACH, 'DELETE FROM backout.undone_statements WHERE number = 2; ALTER TABLE orders ADD COLUMN coupon text');
    const error = await refused(on, DETACH, approved);
    expect(error.kind).toBe('unknown');
    expect(error.message).toMatch(
      /^statement 1 \(ALTER TABLE parts\) was begun by an earlier attempt, and nobody can say whether it is applied; applied: none; not applied: statement 2 \(ALTER TABLE orders\); look/,
    );
    const [statement] = /UPDATE backout.*$/.exec(error.message) ?? [''];
    await sql(statement.replace(` (or 'failed')`, ''));
    await undone(on, DETACH, approved);
    expect([await hasCoupon(), await ledgerRows()]).toEqual([false, 1]);
  });
});
