/**
 * A house whose database can be recovered: a real server that archives its WAL, with a database for each world; a base backup of it and dumps. What runs
 * reads its address in environment files, and is reloaded. The password in it is a canary: it may be in those files and in memory, and nowhere else.
 */
import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { queryAt } from '../store/database.ts';
import { startReal, type RealServer } from '../databases/postgres-tools.ts';
import { freePort } from '../../client/local/ports.ts';
import { GATES, incidentWorld } from './incident.ts';
import type { World } from './world.ts';

export const NAMES = ['api', 'worker'] as const;
/** Of the password, in whichever spelling. */
export const CANARY = randomBytes(12).toString('hex');
const PASSWORD = `canary/${CANARY}+e2`;

export interface Estate {
  readonly server: RealServer;
  readonly folder: string;
  /** ISO: before the base backup, and after the last good order. */
  readonly at: { readonly early: string; readonly good: string };
  readonly close: () => Promise<void>;
}

export interface House {
  readonly world: World;
  /** Of the database in use before anything is recovered. */
  readonly url: string;
  /** As the application does it, by the address that `api.env` holds now. */
  readonly app: <Row extends object>(sql: string) => Promise<Row[]>;
  /** All of the content of the database that was in use. */
  readonly digest: () => Promise<string>;
  readonly isSealed: () => Promise<boolean>;
  /** What the two files hold; with the name or port of the database alone: `places`. */
  readonly addresses: () => Promise<string[]>;
  readonly places: () => Promise<string[]>;
  /** Databases that were made beside it. */
  readonly made: () => Promise<string[]>;
  /** Where recovered servers lie, and what listens there. */
  readonly into: string;
  readonly port: number;
  /** What the worker is given: addresses. */
  readonly env: Readonly<Record<string, string>>;
  readonly close: () => Promise<void>;
}

const clock = async (server: RealServer): Promise<string> => {
  const [row] = await server.query<{ now: string }>(
    `SELECT pg_sleep(0.05), to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS now, pg_sleep(0.05)`,
  );
  return row?.now ?? '';
};

/** Backup, base backup, twenty orders more, and then what the bad release does. An order of no tenant is in the backup, and was mended since. */
export async function estate(bin: string, databases: readonly string[]): Promise<Estate> {
  const folder = await mkdtemp(join(tmpdir(), 'backout-estate-'));
  const wal = join(folder, 'wal');
  await mkdir(wal);
  for (const path of [folder, wal]) await chmod(path, 0o777);
  const server = await startReal({ bin, password: PASSWORD, settings: ['archive_mode=on', `archive_command=cp %p ${wal}/%f`, 'wal_level=replica'] });
  await server.query(`CREATE ROLE shop LOGIN PASSWORD '${PASSWORD}'`);
  const inEach = (text: string): Promise<unknown> => Promise.all(databases.map((name) => server.query(text, [], name)));
  for (const name of databases) await server.query(`CREATE DATABASE ${name} OWNER shop`);
  await inEach(SCHEMA);
  const early = await clock(server);
  // The labels of a base backup count whole seconds.
  await delay(1_100);
  await server.run('pg_basebackup', ['--pgdata', join(folder, 'base'), '--checkpoint=fast', '--wal-method=none', '--no-sync']);
  for (const name of databases) await server.run('pg_dump', ['--format', 'custom', '--file', join(folder, `${name}.dump`)], name);
  await delay(1_100);
  await inEach(`UPDATE orders SET tenant = 'acme' WHERE id = 7; INSERT INTO orders SELECT n, 'acme', 'request-' || n, n FROM generate_series(101, 120) AS n`);
  const good = await clock(server);
  await inEach('UPDATE orders SET cents = 0 WHERE id <= 50; DELETE FROM orders WHERE id BETWEEN 61 AND 80');
  const [segment] = await server.query<{ name: string }>('SELECT pg_walfile_name(pg_switch_wal()) AS name');
  for (const until = Date.now() + 20_000; !(await readdir(wal)).includes(segment?.name ?? ''); await delay(50))
    if (Date.now() > until) throw new Error('the WAL was not archived');
  const close = async (): Promise<void> => {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  };
  return { server, folder, at: { early, good }, close };
}

/** `slow` makes a restore long enough to be caught in the midst of it. */
const SCHEMA = `SET ROLE shop;
  CREATE SCHEMA supabase_migrations;
  CREATE TABLE supabase_migrations.schema_migrations (version text PRIMARY KEY, statements text[], name text);
  INSERT INTO supabase_migrations.schema_migrations VALUES ('20260101000001_orders', '{"create table orders"}', 'orders');
  CREATE TABLE tenants (name text PRIMARY KEY);
  INSERT INTO tenants VALUES ('acme'), ('globex');
  CREATE TABLE orders (id bigint PRIMARY KEY, tenant text NOT NULL, request text NOT NULL, cents int NOT NULL);
  INSERT INTO orders SELECT n, (ARRAY['acme', 'globex'])[1 + n % 2], 'request-' || n, n FROM generate_series(1, 100) AS n;
  UPDATE orders SET tenant = 'nobody' WHERE id = 7;
  CREATE TABLE totals (tenant text PRIMARY KEY, cents bigint NOT NULL);
  CREATE TABLE evidence (seq bigint PRIMARY KEY, at timestamptz NOT NULL, body text NOT NULL, operation text, previous text, hash text NOT NULL);
  CREATE FUNCTION public.slowly(int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_catalog.pg_sleep(0.005); RETURN true; END $$;
  CREATE TABLE slow (id int CHECK (public.slowly(id)));
  INSERT INTO slow SELECT generate_series(1, 300)`;

export interface HouseOptions {
  readonly database: string;
  /** The one that holds the evidence. */
  readonly trail: string;
  /** Is the migration tool's table configured? */
  readonly ledger: boolean;
}

/** `trail` is another database of the same house, which holds its evidence. */
const yaml = ({ server, folder }: Estate, { database, ledger, port, into }: HouseOptions & { readonly port: number; readonly into: string }): string[] => [
  ...GATES,
  '    databases:',
  '      main:',
  '        options:',
  '          url: env:SHOP_DB',
  ...(ledger ? ['          ledger: { table: supabase_migrations.schema_migrations, statements: statements }'] : []),
  `          bin: ${server.bin}`,
  `          backup: { file: ./main.dump, admin: env:ADMIN_DB }`,
  `          archive: { base: ${join(folder, 'base')}, wal: ${join(folder, 'wal')}, into: ${into}, port: ${port} }`,
  '        rebuild: [{ name: totals, command: [./rebuild-totals] }]',
  '        checks:',
  '          - { name: tenant-isolation, covers: tenants, sql: "select o.id from orders o left join tenants t on t.name = o.tenant where t.name is null" }',
  '          - { name: one-order-a-request, covers: idempotency, sql: "select request from orders group by request having count(*) > 1" }',
  '        reference:',
  ...NAMES.map(
    (name) =>
      `          - { holder: env-file, options: { path: ./${name}.env, key: DATABASE_URL, reload: [sh, -c, "sed -n 's#^DATABASE_URL=.*@##p' ${name}.env >> ${name}.reloaded"] } }`,
  ),
  '      trail:',
  '        options:',
  '          url: env:TRAIL_DB',
  `          bin: ${server.bin}`,
  `          backup: { file: ${join(folder, `${database}.dump`)}, admin: env:ADMIN_DB }`,
  '        checks: [{ name: hashed, covers: other, sql: "select seq from evidence where hash is null" }]',
  '        reference: [{ holder: env-file, options: { path: ./trail.env, key: DATABASE_URL } }]',
  '    evidence:',
  '      trail:',
  '        options: { url: env:TRAIL_DB, table: evidence, order: seq, at: at, previous: previous, hash: hash, over: [{ previous: true }, { column: body }],',
  '          operation: { column: operation }, append: { columns: { at: "{at}", operation: "{operation}", body: "incident {incident}" } } }',
];

/** Everything at v1.0.0 and verified with the worker's own verification, then v1.1.0. A worker runs. */
export async function recoverHouse(owned: Estate, options: HouseOptions): Promise<House> {
  const { database, trail } = options;
  const { server, folder } = owned;
  const into = await mkdtemp(join(folder, 'into-'));
  await chmod(into, 0o755);
  const [url, port] = [server.url(database, 'shop'), await freePort()];
  const env = { SHOP_DB: url, ADMIN_DB: server.url(), TRAIL_DB: server.url(trail, 'shop') };
  const world = await incidentWorld({
    components: [...NAMES],
    component: { api: ['config: [{ source: env-file, options: { path: ./api.env, plain: [RATE_LIMIT] } }]'] },
    environment: yaml(owned, { ...options, port, into }),
    world: { env },
  });
  await layFiles(world, owned, database, env);
  await world.worker();
  await Promise.all(NAMES.map((name) => world.release(name, 'v1.0.0', false)));
  for (const name of NAMES) {
    const [row] = await world.store.deployments({ component: name });
    const verified = await world.cli(['deployment', 'verify', row?.deploymentId ?? '']);
    if (verified.code !== 0) throw new Error(`${name} could not be verified: ${verified.stdout}${verified.stderr}`);
  }
  await Promise.all(NAMES.map((name) => world.release(name, 'v1.1.0', false)));
  const addresses = (): Promise<string[]> =>
    Promise.all(NAMES.map(async (name) => /^DATABASE_URL=(.*)$/m.exec(await readFile(join(world.folder, `${name}.env`), 'utf8'))?.[1] ?? ''));
  return {
    world,
    url,
    into,
    port,
    env,
    addresses,
    places: async () => (await addresses()).map((one) => one.replace(/^.*@/, '')),
    app: async <Row extends object>(sql: string) => queryAt<Row & Record<string, unknown>>((await addresses())[0] ?? '', sql),
    digest: async () =>
      createHash('sha256')
        .update(await server.run('pg_dump', [], database))
        .digest('hex'),
    isSealed: async () => (await queryAt<{ on: string }>(url, `SELECT current_setting('default_transaction_read_only') AS on`))[0]?.on === 'on',
    made: async () =>
      (await server.query<{ name: string }>('SELECT datname AS name FROM pg_database WHERE datname LIKE $1', [`${database}_backout_%`])).map((one) => one.name),
    close: async () => {
      await world.close();
      await stopRecovered(server, into);
    },
  };
}

async function layFiles(
  world: World,
  { folder }: Estate,
  database: string,
  { SHOP_DB: url, TRAIL_DB: trail }: { SHOP_DB: string; TRAIL_DB: string },
): Promise<void> {
  await writeFile(join(world.folder, 'main.dump'), await readFile(join(folder, `${database}.dump`)));
  for (const name of NAMES) await writeFile(join(world.folder, `${name}.env`), `RATE_LIMIT=100\nDATABASE_URL=${url}\n`, { mode: 0o600 });
  await writeFile(join(world.folder, 'trail.env'), `DATABASE_URL=${trail}\n`, { mode: 0o600 });
  // As the application reads its address.
  const source = `#!/usr/bin/env node
import('${join(import.meta.dirname, '../../node_modules/pg/lib/index.js')}').then(async ({ default: pg }) => {
  const [, connectionString] = /^DATABASE_URL=(.*)$/m.exec(require('node:fs').readFileSync('api.env', 'utf8'));
  const client = new pg.Client({ connectionString });
  await client.connect();
  await client.query('DELETE FROM totals');
  await client.query('INSERT INTO totals SELECT tenant, sum(cents) FROM orders GROUP BY tenant');
  await client.end();
});
`;
  await writeFile(join(world.folder, 'rebuild-totals'), source, { mode: 0o755 });
}

/** A recovered server outlives the worker that has started it. */
async function stopRecovered({ bin, prefix }: RealServer, into: string): Promise<void> {
  for (const home of await readdir(into))
    for (const name of await readdir(join(into, home)))
      if (name.startsWith('data-'))
        spawnSync(prefix[0] ?? 'env', [...prefix.slice(1), join(bin, 'pg_ctl'), 'stop', '-m', 'immediate', '-D', join(into, home, name)]);
}
