import { spawnSync } from 'node:child_process';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Assessment, Check } from '../../activities/databases/database.ts';
import { check, isSame } from '../../activities/databases/postgres-checks.ts';
import { assess } from '../../activities/databases/postgres-counting.ts';
import { hashOfStatements } from '../../activities/databases/postgres-inverse.ts';
import { ledger } from '../../activities/databases/postgres-ledger.ts';
import { manual } from '../../activities/databases/postgres-manual.ts';
import type { Call } from '../../activities/databases/postgres-session.ts';
import { undo } from '../../activities/databases/postgres-undo.ts';
import { postgres } from '../../activities/databases/registry.ts';
import { rejection } from '../adapters/contract.ts';
import { queryAt, testDatabase, type TestDatabase } from '../store/database.ts';
import { expectFit, laxness, Overheard } from '../support/overheard.ts';
import { postgresTools } from './postgres-tools.ts';
import { APPLIED, apply, callOf, CANARY, COUPON, pictureOf, sha256, shop, withPassword } from './undo-given.ts';

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
  heard = new Overheard();
});
afterEach(() => {
  expectFit(heard, CANARY);
});

const sql = (text: string): Promise<Record<string, unknown>[]> => queryAt(url, text);
const call = (overrides: Partial<Call> = {}, options: Record<string, unknown> = {}): Call => heard.hearing(callOf(url, overrides, options));
const assessed = (inverse: string, on = call()): Promise<Assessment> => heard.keep(assess(on, inverse));
const destroys = async (inverse: string): Promise<unknown> => (await assessed(inverse)).destroys.map(({ what, rows }) => [what, rows]);

/** What an inverse may do without a person's word. Its rows are looked at afterwards. */
const HARMLESS = [
  'CREATE TABLE fresh (id int PRIMARY KEY, at timestamptz DEFAULT now(), of int REFERENCES orders (id))',
  'CREATE TABLE fresh AS SELECT lower(customer) AS customer FROM orders',
  'CREATE INDEX fresh ON orders (lower(customer))',
  "CREATE VIEW fresh AS SELECT evil(id) FROM orders; COMMENT ON VIEW fresh IS 'x'; DROP VIEW fresh",
  "CREATE FUNCTION fresh() RETURNS int LANGUAGE sql AS 'SELECT 1'; DROP FUNCTION fresh()",
  'CREATE TRIGGER fresh BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION guard(); DROP TRIGGER fresh ON orders',
  'CREATE POLICY fresh ON orders USING (evil(id) = 1); DROP POLICY fresh ON orders; ALTER TABLE orders DISABLE ROW LEVEL SECURITY',
  "CREATE TYPE fresh AS ENUM ('a'); ALTER TYPE fresh ADD VALUE 'b'; DROP TYPE fresh",
  'CREATE SEQUENCE fresh; CREATE SCHEMA fresher; DROP SCHEMA fresher',
  'DROP INDEX by_customer',
  'ALTER TABLE orders ADD COLUMN fresh uuid DEFAULT gen_random_uuid()',
  "ALTER TABLE orders ALTER COLUMN coupon SET DEFAULT 'x', ALTER COLUMN coupon DROP NOT NULL",
  'ALTER TABLE orders ADD CONSTRAINT fresh CHECK (id > 0); ALTER TABLE orders DROP CONSTRAINT fresh',
  'ALTER TABLE orders RENAME COLUMN coupon TO voucher; ALTER TABLE orders RENAME TO purchases',
  'GRANT SELECT ON orders TO PUBLIC; REVOKE SELECT ON orders FROM PUBLIC',
  'DROP TABLE IF EXISTS no_such; SELECT count(*) FROM orders; LOCK TABLE orders; ANALYZE orders',
];

/** What needs a person's word, and by which it is asked for. */
const DESTRUCTIVE: readonly (readonly [string, readonly (readonly [string, number | null])[]])[] = [
  ['ALTER TABLE orders DROP COLUMN coupon', [['column public.orders.coupon', 3]]],
  ['ALTER TABLE public.orders DROP COLUMN IF EXISTS coupon, DROP COLUMN IF EXISTS no_such', [['column public.orders.coupon', 3]]],
  ['DROP TABLE orders', [['table public.orders', 10]]],
  [
    'DROP TABLE orders, "Odd Name"',
    [
      ['table public.orders', 10],
      ['table public.Odd Name', 1],
    ],
  ],
  ['TRUNCATE orders', [['rows of public.orders', 10]]],
  [
    'TRUNCATE orders; DROP TABLE orders',
    [
      ['rows of public.orders', 10],
      ['table public.orders', 10],
    ],
  ],
  [
    'DROP TABLE orders CASCADE',
    [
      ['table public.orders', 10],
      ['statement 1: DROP TABLE orders … CASCADE', null],
    ],
  ],
  ['DROP MATERIALIZED VIEW totals', [['materialized view public.totals', 1]]],
  ['DROP TABLE no_such', [['statement 1: table no_such', null]]],
  ['ALTER TABLE orders RENAME TO old; DROP TABLE old', [['statement 2: table old', null]]],
  ['ALTER TABLE orders RENAME TO old; DROP TABLE IF EXISTS old', [['statement 2: table old', null]]],
  ['ALTER TABLE orders RENAME COLUMN coupon TO x; ALTER TABLE orders DROP COLUMN customer', [['statement 2: column orders.customer', null]]],
  ['DELETE FROM orders', [['statement 1: DELETE FROM orders', null]]],
  ["UPDATE orders SET coupon = ''", [['statement 1: UPDATE orders', null]]],
  ['WITH gone AS (DELETE FROM orders RETURNING 1) SELECT * FROM gone', [['statement 1: WITH gone', null]]],
  ['INSERT INTO orders VALUES (99)', [['statement 1: INSERT INTO orders', null]]],
  ['MERGE INTO orders USING orders o ON false WHEN MATCHED THEN DELETE', [['statement 1: MERGE INTO orders', null]]],
  ['DO $$ BEGIN DELETE FROM orders; END $$', [['statement 1: DO', null]]],
  ['CALL evil()', [['statement 1: CALL evil', null]]],
  ['SELECT evil(1)', [['statement 1: a call of evil()', null]]],
  ['SELECT public.lower(1)', [['statement 1: a call of public.lower()', null]]],
  ['CREATE TABLE x AS SELECT evil(1)', [['statement 1: a call of evil()', null]]],
  ['CREATE TABLE x PARTITION OF y FOR VALUES IN (evil(1))', [['statement 1: a call of evil()', null]]],
  ['ALTER TABLE orders ADD COLUMN x int DEFAULT evil(1)', [['statement 1: a call of evil()', null]]],
  ['ALTER TABLE orders ALTER COLUMN customer TYPE varchar(1)', [['statement 1: ALTER TABLE orders ALTER COLUMN customer TYPE', null]]],
  ['ALTER TABLE orders DROP CONSTRAINT orders_pkey CASCADE', [['statement 1: ALTER TABLE orders … CASCADE', null]]],
  ['ALTER TABLE orders SET UNLOGGED', [['statement 1: ALTER TABLE orders SetUnLogged', null]]],
  ['DROP SCHEMA public CASCADE', [['statement 1: DROP SCHEMA public … CASCADE', null]]],
  ['DROP EXTENSION x', [['statement 1: DROP EXTENSION x', null]]],
  ['DROP SEQUENCE x', [['statement 1: DROP SEQUENCE x', null]]],
  ['ALTER SEQUENCE x RESTART', [['statement 1: ALTER SEQUENCE x', null]]],
  ['DROP OWNED BY x', [['statement 1: DROP OWNED BY x', null]]],
  ['REFRESH MATERIALIZED VIEW totals WITH NO DATA', [['statement 1: REFRESH MATERIALIZED VIEW totals', null]]],
  ["COPY orders TO '/tmp/x'", [['statement 1: COPY orders', null]]],
  ['EXPLAIN ANALYZE DELETE FROM orders', [['statement 1: EXPLAIN ANALYZE DELETE FROM orders', null]]],
  ['CREATE EVENT TRIGGER x ON sql_drop EXECUTE FUNCTION evil()', [['statement 1: CREATE EVENT TRIGGER x', null]]],
];

describe('assess', () => {
  beforeEach(async () => {
    await sql(`CREATE TABLE "Odd Name" (id int); INSERT INTO "Odd Name" VALUES (1); CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM orders;
      CREATE INDEX by_customer ON orders (customer);
      CREATE FUNCTION evil(int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN DELETE FROM orders; RETURN 1; END $$;
      CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$`);
  });

  it.each(HARMLESS)('asks for nothing, and nothing is lost: %s', async (inverse) => {
    expect(await assessed(inverse)).toMatchObject({ destroys: [], problem: null, transactional: true });
    const rows = `SELECT json_agg(to_json(o) ORDER BY id)::text AS rows FROM (SELECT id, customer FROM TABLE) o`;
    const before = await sql(rows.replace('TABLE', 'orders'));
    await undo(call(), { ...COUPON, inverse }, []);
    expect(await sql(rows.replace('TABLE', inverse.includes('purchases') ? 'purchases' : 'orders'))).toEqual(before);
  });

  it.each(DESTRUCTIVE)('asks: %s', async (inverse, expected) => {
    const before = await pictureOf(url);
    expect(await destroys(inverse)).toEqual(expected);
    expect(await pictureOf(url)).toStrictEqual(before);
  });

  it.each([
    ['DROP INDEX CONCURRENTLY by_customer', false],
    ['CREATE INDEX CONCURRENTLY x ON orders (id)', false],
    ['REINDEX (CONCURRENTLY) TABLE orders', false],
    ['VACUUM orders', false],
    ["ALTER SYSTEM SET work_mem = '4MB'", false],
    ['ANALYZE orders', true],
    ['REINDEX TABLE orders', true],
    ['DROP INDEX by_customer', true],
  ])('knows whether it runs in a transaction: %s', async (inverse, transactional) => {
    expect((await assessed(inverse)).transactional).toBe(transactional);
  });

  it('waits for no lock: what is locked is not counted', async () => {
    const holder = new Client({ connectionString: url });
    await holder.connect();
    await holder.query('BEGIN; LOCK TABLE orders');
    const started = performance.now();
    expect(await destroys(COUPON.inverse)).toEqual([['column public.orders.coupon', null]]);
    expect(performance.now() - started).toBeLessThan(1_000);
    await holder.end();
  });

  it('rows that this role may not see are not counted as none', async () => {
    await sql(
      `ALTER TABLE orders ENABLE ROW LEVEL SECURITY; CREATE ROLE reader_${sha256(url).slice(0, 8)} LOGIN; GRANT SELECT ON orders TO reader_${sha256(url).slice(0, 8)}`,
    );
    const reader = new URL(url);
    reader.username = `reader_${sha256(url).slice(0, 8)}`;
    const on = call({ secret: () => Promise.resolve(reader.href) });
    expect((await assessed(COUPON.inverse, on)).destroys).toEqual([{ what: 'column public.orders.coupon', rows: null }]);
    await sql(`DROP OWNED BY ${reader.username}; DROP ROLE ${reader.username}`);
  });

  it('names the tables it touches', async () => {
    const inverse = `ALTER TABLE orders DROP COLUMN coupon; DROP TABLE "Odd Name"; UPDATE public.orders SET id = 1 WHERE id IN (SELECT version::int FROM supabase_migrations.schema_migrations); CREATE TABLE fresh ()`;
    expect((await assessed(inverse)).touches).toEqual(['public.Odd Name', 'public.orders', 'supabase_migrations.schema_migrations']);
  });

  it('says why it can never be run, and repeats nothing of it', async () => {
    const wrong = `SELECT 1;\nSELECT '${CANARY}' FROM WHERE`;
    expect(await assessed(wrong)).toMatchObject({ problem: 'it does not parse: see line 2', destroys: [] });
    for (const inverse of [
      '',
      ' ; ',
      'SELECT 1\0; DROP TABLE orders',
      `SELECT '${'x'.repeat(1_000_001)}'`,
      'SELECT pg_terminate_backend(1)',
      'DISCARD ALL',
      'COPY orders FROM STDIN',
    ])
      expect((await assessed(inverse)).problem).not.toBeNull();
  });
});

describe('ledger', () => {
  const read = (options: Record<string, unknown>) => ledger(call({}, options), 'env:SHOP_DB');

  it('is read oldest first, in the order of its own column', async () => {
    expect(await read({})).toEqual(Object.entries(APPLIED).map(([name, text]) => ({ name, hash: sha256(text) })));
    await sql(`ALTER TABLE supabase_migrations.schema_migrations ADD COLUMN at int; UPDATE supabase_migrations.schema_migrations SET at = -version::int`);
    expect((await read({ ledger: { order: 'at' } })).map((one) => one.name)).toEqual(['20260102', '20260101']);
  });

  it('keeps no hash, or that of the statements it keeps, whatever their spacing', async () => {
    expect((await read({ ledger: {} })).map((one) => one.hash)).toEqual([null, null]);
    await sql(`ALTER TABLE supabase_migrations.schema_migrations ADD COLUMN statements text[];
      UPDATE supabase_migrations.schema_migrations SET statements = ARRAY['create table a ()', 'drop  table b'] WHERE version = '20260101'`);
    const file = '-- first\ncreate table a();\n\ndrop table b; -- last\n';
    expect((await read({ ledger: { statements: 'statements' } })).map((one) => one.hash)).toEqual([hashOfStatements(file), null]);
    expect(hashOfStatements(file)).not.toBe(hashOfStatements(file.replace('b', 'c')));
  });
});

describe('check', () => {
  const checked = (...queries: string[]) =>
    heard.keep(
      check(
        call({}, { statementTimeoutSeconds: 0.3 }),
        'env:SHOP_DB',
        queries.map((text, place): Check => ({ name: `c${place}`, covers: 'tenants', sql: text })),
      ),
    );

  it('counts what each query returns', async () => {
    expect(await checked('SELECT * FROM orders WHERE coupon IS NOT NULL -- rows', 'SELECT id, id FROM orders WHERE id > 99;')).toEqual([
      { name: 'c0', covers: 'tenants', violations: 3, detail: null },
      { name: 'c1', covers: 'tenants', violations: 0, detail: null },
    ]);
  });

  it('what cannot be run is said, with nothing of a row, and the others are run', async () => {
    const before = await pictureOf(url);
    const result = await checked(
      'SELECT customer::int FROM orders ORDER BY 1',
      'SELECT FROM no_such',
      'DELETE FROM orders RETURNING 1',
      'SELECT 1) x; DROP TABLE orders; SELECT * FROM (SELECT 1',
      'SELECT 1; SELECT 2',
      "SELECT nextval('s')",
      '',
      'SELECT 1',
    );
    expect(result.map(({ violations }) => violations)).toEqual([null, null, null, null, null, null, null, 1]);
    expect(result.filter(({ violations }) => violations === null).every(({ detail }) => detail !== null && detail !== '')).toBe(true);
    expect(result[1]?.detail).toBe('relation "no_such" does not exist');
    expect(await pictureOf(url)).toStrictEqual(before);
  });

  it('writes nothing, and ends in its time', async () => {
    await sql(`CREATE FUNCTION evil() RETURNS int LANGUAGE plpgsql VOLATILE AS $$ BEGIN DELETE FROM orders; RETURN 1; END $$;
      CREATE FUNCTION slow() RETURNS SETOF int LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(5); RETURN NEXT 1; END $$`);
    const [evil, slow] = await checked('SELECT FROM orders WHERE evil() = 1', 'SELECT * FROM slow()');
    expect(evil).toMatchObject({ violations: null, detail: 'cannot execute DELETE in a read-only transaction' });
    expect(slow).toMatchObject({ violations: null, detail: 'canceling statement due to statement timeout' });
  });

  it('a database that is away is an error, not a check that could not be run', async () => {
    const away = call({ secret: () => Promise.resolve(`postgres://u:${CANARY}@127.0.0.1:1/x`) });
    expect((await rejection(heard.keep(check(away, 'env:SHOP_DB', [{ name: 'c', covers: 'other', sql: 'SELECT 1' }])))).kind).toBe('unavailable');
  });
});

describe('isSame', () => {
  it('tells the same database by another name from another database of the same server', async () => {
    const other = withPassword(await server.another());
    const named = new URL(url);
    named.searchParams.set('application_name', 'x');
    named.hostname = named.hostname === 'localhost' ? '127.0.0.1' : 'localhost';
    expect(await heard.keep(isSame(call(), url))).toBe(true);
    expect(await heard.keep(isSame(call(), named.href))).toBe(true);
    expect(await heard.keep(isSame(call(), other))).toBe(false);
    const error = await rejection(heard.keep(isSame(call(), `postgres://u:${CANARY}@127.0.0.1:1/x`)));
    expect([error.kind, error.message]).toEqual(['unavailable', expect.stringContaining('the address asked about')]);
  });
});

describe('manual', () => {
  const lines = (inverse: string, options: Record<string, unknown> = {}): string[] => heard.note(manual(call({}, options), { ...COUPON, inverse }));
  const MULTILINE = `ALTER TABLE orders -- it's one\n  DROP COLUMN coupon;\nCOMMENT ON TABLE orders IS '\\! $HOME'`;

  it('gives shell commands of one line each, without an address', () => {
    for (const inverse of [MULTILINE, 'DROP INDEX CONCURRENTLY by_customer; SELECT 1', 'DROP TABL']) {
      const commands = lines(inverse);
      for (const line of commands) expect(line).not.toMatch(/\n|undefined|\[object/);
      expect(commands.join()).toContain('"$SHOP_DB"');
      expect(spawnSync('sh', ['-n'], { input: commands.join('\n'), encoding: 'utf8' }).stderr).toBe('');
    }
    expect(lines(MULTILINE, { url: 'file:./the address' }).join()).toContain(`"$(cat './the address')"`);
  });

  it('do by psql what undo does, and refuse what undo refuses', async (context) => {
    const bin = await postgresTools();
    if (bin === null) context.skip('no psql');
    const run = (inverse: string): number | null =>
      spawnSync('sh', ['-e'], { input: lines(inverse, { bin: String(bin) }).join('\n'), env: { PATH: process.env['PATH'], SHOP_DB: url }, encoding: 'utf8' })
        .status;
    await apply(url, '20260103', 'CREATE TABLE newer ()');
    const before = await pictureOf(url);
    expect(run(MULTILINE)).not.toBe(0);
    expect(await pictureOf(url)).toStrictEqual(before);
    await sql(`DELETE FROM supabase_migrations.schema_migrations WHERE version = '20260103'`);
    expect(run(MULTILINE)).toBe(0);
    expect((await ledger(call(), 'env:SHOP_DB')).map(({ name }) => name)).toEqual(['20260101']);
    expect(await sql(`SELECT obj_description('orders'::regclass) AS said`)).toEqual([{ said: '\\! $HOME' }]);
    await sql(`INSERT INTO supabase_migrations.schema_migrations VALUES ('20260102', null); CREATE INDEX by_customer ON orders (customer)`);
    expect(run('DROP INDEX CONCURRENTLY by_customer; SELECT 1')).toBe(0);
    expect(await sql(`SELECT to_regclass('by_customer') AS there`)).toEqual([{ there: null }]);
    expect(await ledger(call(), 'env:SHOP_DB')).toHaveLength(1);
  });
});

describe('postgres', () => {
  it('says what it is and what it cannot guarantee, and takes strict options with references only', () => {
    expect([postgres.name, postgres.limits.every((limit) => /^[A-Z].*\.$/s.test(limit))]).toEqual(['postgres', true]);
    expect(laxness(postgres.options, { url: 'env:SHOP_DB' })).toEqual([]);
    expect(postgres.options.safeParse({ url }).success).toBe(false);
  });

  it('has no ledger of what was never recovered', async () => {
    expect((await rejection(heard.keep(postgres.ledger(call(), 'recovered')))).kind).toBe('not-found');
    expect((await rejection(heard.keep(postgres.check(call(), [], 'recovered')))).kind).toBe('not-found');
  });
});
