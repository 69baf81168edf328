/** The whole of an incident of level 3, with a second database that is recovered from its backup, and what has to be so of it in the end whatever died meanwhile. */
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { expect, type TestContext } from 'vitest';
import { TASK_QUEUE } from '../../model/task-queue.ts';
import type { RollbackState } from '../../model/state.ts';
import { postgresTools } from '../databases/postgres-tools.ts';
import { queryAt } from '../store/database.ts';
import { Crashes } from './crashing-worker.ts';
import { badCycle, EXPOSED, graveWorld, layKey, MIGRATION, NAMES, type Grave } from './grave.ts';
import { expectChain, recordOf } from './incident-scene.ts';
import { startInput } from './incident.ts';
import type { World } from './world.ts';

export const ID3 = 'l3Rollback/production/INC-42';
export const UNDO = `undo.main.${MIGRATION}`;
export const RESTORE = 'restore.main.orders';
const isOld = (id: string): boolean => id === 'key-2024' || id === 'key-2025';
/** Live like the one that was exposed, with nobody who reads it: it goes too. */
const FORGOTTEN = 'canary-that-nobody-holds-any-more';

export interface GraveScene extends Grave {
  /** Where the service looks its keys up. */
  readonly folder: string;
  /** Of the second database, as it was before; null where there is none. */
  readonly stock: string | null;
  readonly crashes: Crashes;
}

/** The bad release is out, two keys are live, and no worker runs. `points`: where one will die. With a second database where Postgres's programs are to be had. */
export async function graveScene(context: TestContext, points: readonly string[] = [], hasStock = false): Promise<GraveScene> {
  const grave = await graveWorld();
  context.onTestFinished(() => grave.close());
  const { world, query } = grave;
  const folder = /folder: (\S+?),/.exec(await readFile(world.config, 'utf8'))?.[1] ?? '';
  await layKey(folder, 'key-2024', FORGOTTEN);
  const crashes = new Crashes(join(world.folder, 'crashes'), points);
  await badCycle(grave);
  await world.endWorkers();
  const stock = hasStock ? await layStock(grave, crashes) : null;
  await query(`
    CREATE TABLE put_back (id bigint);
    CREATE FUNCTION put_back() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO put_back VALUES (NEW.id); RETURN NULL; END $$;
    CREATE TRIGGER put_back AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION put_back()`);
  await armCommands(world, crashes);
  return { ...grave, folder, stock, crashes };
}

/** The next caller of the script is killed in its midst, once. */
const dies = (crashes: Crashes, point: string): string =>
  crashes.points.includes(point) ? `if (set -C; echo $PPID > '${crashes.file(point)}') 2>/dev/null; then kill -9 $PPID; exit 1; fi\n` : '';

/** What the house's own commands are, with a death in them. */
async function armCommands(world: World, crashes: Crashes): Promise<void> {
  const script = (name: string, text: string): Promise<void> => writeFile(join(world.folder, name), `#!/bin/sh\n${text}`, { mode: 0o755 });
  const rebuild = await readFile(join(world.folder, 'rebuild-totals'), 'utf8');
  await writeFile(join(world.folder, 'rebuild-totals.js'), rebuild, { mode: 0o755 });
  await script('rebuild-totals', `${dies(crashes, 'rebuild.main.totals:command')}exec ./rebuild-totals.js\n`);
  await script('prove-payments', dies(crashes, 'install.payments:prove'));
  await script('reload-api', `${dies(crashes, 'install.payments:reload')}date >> api.reloaded\n`);
  const config = await readFile(world.config, 'utf8');
  await writeFile(world.config, config.replace('reload: [sh, -c, "date >> api.reloaded"]', 'reload: [./reload-api]'));
}

/** A database of shelves, with a backup of before the bad release has emptied them, and its address in `api.env`. */
async function layStock({ world }: Grave, crashes: Crashes): Promise<string | null> {
  const tools = await postgresTools();
  if (tools === null) return null;
  const at = new URL(world.services.databaseUrl);
  at.pathname = '/stock';
  await queryAt(world.services.databaseUrl, 'CREATE DATABASE stock');
  await queryAt(at.href, 'CREATE TABLE shelves (id int PRIMARY KEY, pieces int); CREATE TABLE made (n text)');
  const rows = Array.from({ length: 50 }, (_, id) => `${id}\t${id * 10}\n`).join('');
  await writeFile(
    join(world.folder, 'stock.sql'),
    `--\n-- PostgreSQL database dump\n--\n\nSET standard_conforming_strings = on;\nCREATE TABLE public.made (n text);\nCREATE TABLE public.shelves (id integer PRIMARY KEY, pieces integer);\nCOPY public.shelves (id, pieces) FROM stdin;\n${rows}\\.\n\n--\n-- PostgreSQL database dump complete\n--\n`,
  );
  await mkdir(join(world.folder, 'bin'));
  await writeFile(join(world.folder, 'bin/psql'), `#!/bin/sh\n${dies(crashes, 'recover.stock:psql')}exec ${tools}/psql "$@"\n`, { mode: 0o755 });
  await writeFile(join(world.folder, 'stock-db'), at.href, { mode: 0o600 });
  await writeFile(join(world.folder, 'admin-db'), world.services.databaseUrl, { mode: 0o600 });
  const env = join(world.folder, 'api.env');
  await writeFile(env, `${await readFile(env, 'utf8')}STOCK_URL=${at.href}\n`);
  const config = await readFile(world.config, 'utf8');
  const lines = [
    '    databases:',
    '      stock:',
    '        options: { url: "file:./stock-db", bin: ./bin, ledger: { table: made, name: n }, backup: { file: ./stock.sql, admin: "file:./admin-db" } }',
    '        checks: [{ name: no-debts, covers: other, sql: "select id from shelves where pieces < 0" }]',
    '        reference: [{ holder: env-file, options: { path: ./api.env, key: STOCK_URL, reload: [sh, -c, "date >> stock.reloaded"] } }]',
  ];
  await writeFile(world.config, config.replace(/^ {4}databases:$/m, lines.join('\n')));
  return at.href;
}

export const startL3 = ({ world, stock }: GraveScene): Promise<WorkflowHandle> =>
  world.client.workflow.start('l3Rollback', {
    workflowId: ID3,
    taskQueue: TASK_QUEUE,
    args: [startInput({ components: [...NAMES], trigger: 'operator', by: 'carol', ...(stock === null ? {} : { recover: { stock: 'backup' } }) })],
  });

/** Looks at the keys all the time: one is live whatever happens, and what runs is never given one that is not accepted. */
export function watchKeys(context: TestContext, { folder, keys, world }: GraveScene): () => Promise<void> {
  const ended = new AbortController();
  const look = async (): Promise<void> => {
    expect(keysIn(folder).filter((one) => one.state === 'live')).not.toEqual([]);
    const authorization = `Bearer ${await keyHeld(world)}`;
    const { status } = await fetch(`${keys.url}/key`, { headers: { authorization, connection: 'close' } });
    expect(status, 'the key that is read is accepted').toBe(204);
  };
  const looking = (async () => {
    for (; !ended.signal.aborted; await new Promise((soon) => setTimeout(soon, 50))) await look();
  })();
  const stop = async (): Promise<void> => {
    ended.abort();
    await looking;
  };
  context.onTestFinished(stop);
  return stop;
}

export interface Key {
  readonly id: string;
  readonly state: 'live' | 'revoked';
  readonly operation: string | null;
}
export const keysIn = (folder: string): Key[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.json') && !name.startsWith('.'))
    .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as Key); // Written by the authority and by us.

export const keyHeld = async (world: World): Promise<string> => /^PAYMENTS_KEY=(.*)$/m.exec(await readFile(join(world.folder, 'api.env'), 'utf8'))?.[1] ?? '';

/** Every migration undone, every row put back, evidence marked and credentials moved, each of it once. */
export async function expectMoved(scene: GraveScene, { rollbackId }: RollbackState): Promise<void> {
  await expectGoneBack(scene, rollbackId);
  const { query, world, folder, keys } = scene;
  const marks = await query<{ body: string }>('SELECT body FROM evidence WHERE operation IS NOT NULL');
  expect(marks.map((one) => JSON.parse(one.body) as unknown)).toEqual([expect.objectContaining({ incident: 'INC-42', rollback: rollbackId })]);
  const all = keysIn(folder);
  expect(all.map(({ id, state, operation }) => `${isOld(id) ? id : 'new'} ${state} ${operation ?? ''}`).toSorted()).toEqual([
    'key-2024 revoked ',
    'key-2025 revoked ',
    `new live ${rollbackId}/issue.payments`,
  ]);
  for (const old of [EXPOSED, FORGOTTEN]) expect(await keys.charges(old, 'acme')).toBe(401);
  expect(await scene.charges()).toBe(200);
  const told = await world.store.credentials({ credential: 'payments' });
  const named = (one: { generation: string; state: string }): string => `${one.state} ${isOld(one.generation) ? one.generation : 'new'}`;
  expect(told.map(named).toSorted()).toEqual(['installed new', 'issued new', 'old key-2024', 'old key-2025', 'revoked key-2024', 'revoked key-2025']);
}

async function expectGoneBack({ query, world, stock }: GraveScene, rollbackId: string): Promise<void> {
  await expect(query('SELECT version FROM supabase_migrations.schema_migrations')).resolves.toEqual([{ version: '20260101000001_orders' }]);
  await expect(query('SELECT operation, migration, destroyed FROM backout.undone')).resolves.toEqual([
    { operation: `${rollbackId}/${UNDO}`, migration: MIGRATION, destroyed: [{ what: 'column public.orders.coupon', rows: 7 }] },
  ]);
  const history = await queryAt(
    world.services.databaseUrl,
    `SELECT migration_name, rollback_successful, rolled_back_at IS NOT NULL AS gone, error_message, execution_time_ms IS NOT NULL AS timed FROM ops.migration_history`,
  );
  expect(history).toEqual([{ migration_name: MIGRATION, rollback_successful: true, gone: true, error_message: null, timed: true }]);
  await expect(query('SELECT count(*)::int AS rows, sum(cents)::int AS cents FROM orders')).resolves.toEqual([{ rows: 100, cents: 505_000 }]);
  const back = await query<{ id: string }>('SELECT id FROM put_back ORDER BY id');
  expect(back.map((one) => Number(one.id))).toEqual(Array.from({ length: 20 }, (_, index) => 41 + index));
  await expect(query('SELECT sum(cents)::int AS cents FROM totals')).resolves.toEqual([{ cents: 505_000 }]);
  if (stock === null) return;
  const made = await queryAt<{ name: string }>(stock, `SELECT datname AS name FROM pg_database WHERE datname LIKE 'stock%' ORDER BY 1`);
  expect(made.map((one) => one.name)).toEqual(['stock', `stock_backout_${rollbackId.slice(0, 8)}`]);
  const address = /^STOCK_URL=(.*)$/m.exec(await readFile(join(world.folder, 'api.env'), 'utf8'))?.[1] ?? '';
  expect(new URL(address).pathname).toBe(`/${made[1]?.name}`);
  await expect(queryAt(address, 'SELECT count(*)::int AS rows, sum(pieces)::int AS pieces FROM shelves')).resolves.toEqual([{ rows: 50, pieces: 12_250 }]);
  await expect(queryAt(stock, 'INSERT INTO shelves VALUES (1, 1)')).rejects.toThrow(/read-only/);
}

/** One entry for each try of a step in each run, in the order in which it was frozen, gone back and unfrozen. */
export async function expectRecord({ world }: GraveScene, { rollbackId, steps }: RollbackState): Promise<void> {
  const own = await recordOf(world, rollbackId);
  expect(own.filter((one) => one.type === 'late-attempt')).toEqual([]);
  const at = (name: string): number => own.findIndex((one) => one.step === name);
  const tries = own.filter((one) => one.type === 'step').map((one) => `${one.step ?? ''}/${String(one['generation'])} of ${one.event.split('/')[0] ?? ''}`);
  expect(tries.filter((one, index) => tries.indexOf(one) !== index)).toEqual([]);
  for (const step of steps.filter((one) => one.state === 'done')) expect(at(step.id), step.id).toBeGreaterThan(-1);
  const [frozen, lifted] = [own.findIndex((one) => one.type === 'freeze'), own.findIndex((one) => one.type === 'unfreeze')];
  for (const step of steps.filter((one) => ['config', 'deploy', 'schema', 'data', 'evidence', 'credential'].includes(one.effect) && one.state === 'done')) {
    expect(at(step.id), step.id).toBeGreaterThan(frozen);
    expect(at(step.id), step.id).toBeLessThan(lifted);
  }
  await expectChain(world);
}

/** Neither what was exposed nor what has taken its place, in whatever is kept or told. */
export async function expectNoSecret({ world, stock }: GraveScene, handle: WorkflowHandle): Promise<void> {
  const own = await keyHeld(world);
  expect(own).not.toBe(EXPOSED);
  const { rollbackId } = await world.state(handle);
  const said = [
    textOf(await handle.fetchHistory()),
    JSON.stringify(await world.store.entriesOf(rollbackId)),
    await world.workerLog(),
    ...(await Promise.all(['incidents.log', 'stakeholders.log', 'internal.log'].map((file) => readFile(join(world.folder, file), 'utf8').catch(() => '')))),
    (await world.cli(['report', handle.workflowId])).stdout,
  ];
  // That they are read at all.
  for (const text of said.slice(0, 2)) expect(text).toContain('issue.payments');
  const secrets = [EXPOSED, FORGOTTEN, own, ...(stock === null ? [] : [stock])];
  for (const [index, text] of said.entries()) for (const secret of secrets) expect(text.includes(secret), `a secret in ${index}`).toBe(false);
}

/** Every text in it, whatever it is packed into. */
function textOf(value: unknown): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8');
  if (typeof value === 'object' && value !== null) return Object.values(value).map(textOf).join('\n');
  return typeof value === 'string' ? value : '';
}
