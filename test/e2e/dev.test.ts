/** `backout dev` as a user runs it: up, a worker that comes back, killed itself, and stopped with Ctrl-C. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { freePort } from '../../client/local/ports.ts';
import { componentYaml, shopYaml } from '../../client/demo/shop.ts';
import { run } from '../support/world.ts';

const LAUNCHER = resolve(import.meta.dirname, '../../client/backout.mjs');
let folder: string;
let config: string;
let yaml: string;
let ports: string[];
let log = '';
const running = new Set<ChildProcess>();

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'backout-dev-'));
  config = join(folder, 'backout.yaml');
  yaml = shopYaml([componentYaml('web', await freePort())]);
  await writeFile(config, yaml);
  ports = ['--temporal-port', String(await freePort()), '--ui-port', String(await freePort()), '--postgres-port', String(await freePort())];
});
afterEach(async () => {
  for (const child of running) child.kill('SIGKILL');
  await vi.waitFor(
    async () => {
      const still = await left();
      if (still.length > 0) throw new Error(`still running: ${still.join('; ')}`);
    },
    { timeout: 30_000 },
  );
  await rm(folder, { recursive: true, force: true });
});

/** Processes that work in this folder, or were told of it. */
async function left(): Promise<string[]> {
  const { stdout } = await run('ps', ['-eo', 'pid=,args='], '/', process.env);
  return stdout.split('\n').filter((line) => line.includes(folder));
}

async function up(): Promise<ChildProcess> {
  log = '';
  const child = spawn(process.execPath, [LAUNCHER, 'dev', '--config', config, ...ports], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  child.once('exit', () => running.delete(child));
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      log += chunk.toString('utf8');
    });
  }
  await said('Backout is up.');
  return child;
}

const said = (text: string, times = 1): Promise<void> =>
  expect.poll(() => log.split(text).length - 1, { timeout: 30_000, message: log }).toBeGreaterThanOrEqual(times);
const backout = (...args: string[]) => run(process.execPath, [LAUNCHER, ...args, '--config', config], folder, process.env);
const workers = async (): Promise<number[]> => {
  const { stdout } = await run('ps', ['-eo', 'pid=,args='], '/', process.env);
  const pids = stdout
    .split('\n')
    .filter((line) => line.includes('worker/main.ts'))
    .map((line) => Number(line.trim().split(' ')[0]));
  const own = await Promise.all(pids.map(async (pid) => ((await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')).includes(config) ? [pid] : [])));
  return own.flat();
};

test('a killed worker comes back, also past a broken configuration; a killed dev leaves nothing; Ctrl-C ends it all with 0', async () => {
  const first = await up();
  const [worker = 0] = await workers();
  expect(worker).toBeGreaterThan(0);
  await writeFile(config, 'environments: [');
  process.kill(worker, 'SIGKILL');
  await said('cannot use backout.yaml');
  await writeFile(config, yaml);
  await said('worker ready', 2);
  expect((await backout('list', '--json')).code).toBe(0);

  first.kill('SIGKILL');
  await once(first, 'exit');
  await expect.poll(workers, { timeout: 30_000 }).toEqual([]);
  const second = await up();
  expect((await backout('list', '--json')).code).toBe(0);
  const another = await run(process.execPath, [LAUNCHER, 'dev', '--config', config], folder, process.env);
  expect([another.code, another.stderr]).toEqual([1, expect.stringContaining(`pid ${second.pid}`)]);

  second.kill('SIGINT');
  const [code] = (await once(second, 'exit')) as [number];
  expect(code).toBe(0);
});

test('a configuration that cannot be used is said with its line, and nothing is started', async () => {
  await writeFile(config, yaml.replace('storefront', 'saas'));
  const ran = await run(process.execPath, [LAUNCHER, 'dev', '--config', config, ...ports], folder, process.env);
  expect([ran.code, ran.stderr]).toEqual([
    2,
    expect.stringContaining('backout.yaml:5: environments.production.components.web.type: expected one of storefront'),
  ]);
});
