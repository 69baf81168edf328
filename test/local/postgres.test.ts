import { spawnSync } from 'node:child_process';
import { execFile } from 'node:child_process';
import { constants, cp, chmod, lstat, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { expect, onTestFinished, test, vi } from 'vitest';
import { findPostgres } from '../../client/local/postgres-binaries.ts';
import { startPostgres, type LocalPostgres, type PostgresOptions } from '../../client/local/postgres.ts';
import { isAlive } from '../../client/local/processes.ts';
import { problemOf, temporaryFolder, untilDead } from './support/local.ts';

vi.setConfig({ testTimeout: 60_000 });
const isRoot = process.getuid?.() === 0;

async function start(options: Omit<PostgresOptions, 'port'>): Promise<LocalPostgres> {
  const postgres = await startPostgres({ port: 0, fast: true, ...options });
  onTestFinished(async () => {
    await postgres.stop();
  });
  return postgres;
}

async function sql(url: string, text: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

test("what npm leaves out is made: the libraries' links and the executable bit", async () => {
  const root = await temporaryFolder();
  const original = dirname(dirname((await findPostgres()).postgres));
  const links = Array.from((await readFile(join(original, 'pg-symlinks.json'), 'utf8')).matchAll(/"target":"([^"]+)"/g), ([, target]) => target ?? '');
  await cp(original, join(root, 'native'), {
    recursive: true,
    mode: constants.COPYFILE_FICLONE,
    filter: async (path) => !(await lstat(path)).isSymbolicLink(),
  });
  await writeFile(join(root, 'package.json'), '{"version": "18.4.0"}');
  await Promise.all(
    ['initdb', 'postgres'].map(async (name) => {
      await chmod(join(root, 'native', 'bin', name), 0o644);
    }),
  );
  expect(links.length).toBeGreaterThan(0);
  await expect(stat(join(root, links[0] ?? ''))).rejects.toThrow(/ENOENT/);
  const [found] = await Promise.all([findPostgres(root), findPostgres(root)]);
  expect(found.major).toBe('18');
  for (const link of links) expect((await stat(join(root, link))).isFile()).toBe(true);
  const { stdout } = await promisify(execFile)(found.postgres, ['--version']);
  expect(stdout).toContain('18.4');
});

test('a package that is broken leads to DATABASE_URL', async () => {
  const problem = await problemOf(findPostgres(await temporaryFolder()));
  expect(problem).toMatchObject({ type: 'postgres-missing' });
  expect(problem['remedy']).toContain('Set DATABASE_URL to a Postgres 14 or later');
});

test('a platform without a package leads to DATABASE_URL', async () => {
  const [platform, arch] = [process.platform, process.arch];
  Object.defineProperty(process, 'arch', { value: 'riscv64' });
  onTestFinished(() => {
    Object.defineProperty(process, 'arch', { value: arch });
  });
  expect(await problemOf(findPostgres())).toMatchObject({ message: `There is no embedded Postgres for ${platform}-riscv64.` });
});

test('it lets nobody in without its password, and makes the database once', async () => {
  const folder = await temporaryFolder();
  const postgres = await start({ folder });
  expect(
    await sql(postgres.url, 'select current_database() as name, pg_encoding_to_char(encoding) as encoding from pg_database where datname = current_database()'),
  ).toEqual([{ name: 'backout', encoding: 'UTF8' }]);
  const wrong = new URL(postgres.url);
  wrong.password = 'postgres';
  await expect(sql(wrong.href, 'select 1')).rejects.toThrow(/password authentication failed/);
});

test('a pid file left by a kill and a reboot, its pid now another process, does not keep it from starting', async () => {
  const folder = await temporaryFolder();
  const first = await start({ folder });
  await sql(first.url, 'create table kept ()');
  process.kill(first.pid, 'SIGKILL');
  await untilDead([first.pid]);
  const path = join(folder, 'postgres', 'postmaster.pid');
  const [, ...rest] = (await readFile(path, 'utf8')).split('\n');
  await writeFile(path, [process.pid, ...rest].join('\n'));
  const second = await start({ folder });
  expect(await sql(second.url, 'select * from kept')).toEqual([]);
});

test('a server that outlived its parent on this very data is stopped first', async () => {
  const folder = await temporaryFolder();
  const first = await start({ folder });
  const second = await start({ folder });
  expect(isAlive(first.pid)).toBe(false);
  expect(await sql(second.url, 'select 1 as one')).toEqual([{ one: 1 }]);
});

test('an initdb cut short leaves nothing that looks whole, and nothing for long', async () => {
  const folder = await temporaryFolder();
  await mkdir(join(folder, 'postgres.cut-short.new'));
  await writeFile(join(folder, 'postgres.password'), 'of the attempt that was cut short');
  expect(await sql((await start({ folder })).url, 'select 1 as one')).toEqual([{ one: 1 }]);
  expect((await readdir(folder)).toSorted()).toEqual(['postgres', 'postgres.log', 'postgres.password']);
});

test('data of another Postgres is not touched', async () => {
  const folder = await temporaryFolder();
  await mkdir(join(folder, 'postgres'));
  await writeFile(join(folder, 'postgres', 'PG_VERSION'), '17\n');
  expect(await problemOf(startPostgres({ folder, port: 0 }))).toMatchObject({
    type: 'postgres-failed',
    message: `${join(folder, 'postgres')} was made by Postgres 17; this Backout brings Postgres 18.`,
  });
});

test('stop is bounded: a client that stays is cut off', async () => {
  const postgres = await start({ folder: await temporaryFolder() });
  const client = new Client({ connectionString: postgres.url });
  client.on('error', () => undefined);
  await client.connect();
  await postgres.stop();
  expect(isAlive(postgres.pid)).toBe(false);
});

/** In a checkout that only root can look into, no other user can run the binary: then the namespace is the one way. */
const isOpen = spawnSync('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', '--', 'test', '-x', process.execPath]).status === 0;

test.runIf(isRoot && isOpen && process.platform === 'linux')('as root it runs in every way there is, and the data follows', async () => {
  const folder = await temporaryFolder();
  for (const [runner, isOwnedByRoot] of [
    ['namespace', true],
    ['capability', false],
    ['namespace', true],
  ] as const) {
    const postgres = await start({ folder: join(folder, 'deep'), runner });
    await sql(postgres.url, 'create table if not exists kept (); select * from kept');
    expect((await stat(join(folder, 'deep', 'postgres'))).uid === 0).toBe(isOwnedByRoot);
    await postgres.stop();
  }
  const nowhere = await problemOf(startPostgres({ folder: join(folder, 'deep'), port: 0, runner: 'user' }));
  expect(nowhere['message']).toBe('Postgres does not run as root, and no other way works here (tried: namespace, capability, user).');
  await chmod(folder, 0o711);
  const plain = await start({ folder: join(folder, 'deep'), runner: 'user' });
  expect(await sql(plain.url, 'select * from kept')).toEqual([]);
});
