/** Once before all tests: what takes minutes on a fresh machine is provided with progress, the bundle is built, and what every world begins with is made. */
import { execFile } from 'node:child_process';
import { readdir, rm, statfs } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { findTemporal } from '../../client/local/find-temporal.ts';
import { startPostgres } from '../../client/local/postgres.ts';
import { isAlive } from '../../client/local/processes.ts';
import { workflowBundle } from '../../worker/bundle.ts';
import { COMPILE_CACHE } from './world.ts';

const MEMORY_MIN = 4e9;

export default async function prepare(): Promise<(() => Promise<void>) | undefined> {
  for (const name of ['TEMPORAL_ADDRESS', 'TEMPORAL_NAMESPACE', 'TEMPORAL_PROFILE', 'DATABASE_URL', 'BACKOUT_CONFIG', 'BACKOUT_BY']) delete process.env[name];
  const { from } = await findTemporal({
    progress: (line) => {
      process.stderr.write(`${line}\n`);
    },
  });
  const { buildId } = await workflowBundle();
  await compiled();
  process.stderr.write(`Temporal server: from the ${from}; workflow bundle ${buildId}\n`);
  return layFolder();
}

/** Compiles what the tests start again and again, and keeps it where they look for it. */
async function compiled(): Promise<void> {
  const programs = ['worker/worker.ts', 'activities/adapters/releases.ts', 'activities/adapters/releases-front.ts', 'client/run.ts'];
  const source = `await Promise.all(${JSON.stringify(programs.map((program) => pathToFileURL(resolve(program)).href))}.map((program) => import(program))); process.exit(0)`;
  const run = promisify(execFile)(process.execPath, ['--input-type=module', '--eval', source], { env: { ...process.env, NODE_COMPILE_CACHE: COMPILE_CACHE } });
  // Of a source that does not compile the tests that need it will tell.
  await run.catch(() => undefined);
}

/**
 * Where the worlds lie, with the data of a Postgres that each of them begins with: where there is plenty of memory, in memory, since to write 40 MB
 * to a disk costs more than `initdb` does. What is killed loses nothing there that it would keep on a disk. Answers how to be rid of it.
 */
async function layFolder(): Promise<(() => Promise<void>) | undefined> {
  const memory = '/dev/shm';
  const there = await statfs(memory).catch(() => null);
  if (there === null || there.bavail * there.bsize < MEMORY_MIN) return undefined;
  // Left by runs that were killed.
  for (const name of await readdir(memory)) {
    const pid = /^backout-tests-(\d+)$/.exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) await rm(join(memory, name), { recursive: true, force: true });
  }
  const folder = join(memory, `backout-tests-${process.pid}`);
  const made = join(folder, 'postgres');
  const server = await startPostgres({ folder: made, port: 0, fast: true });
  await server.stop();
  await rm(join(made, 'postgres.log'), { force: true });
  process.env['BACKOUT_TEST_FOLDER'] = folder;
  process.env['BACKOUT_TEST_POSTGRES'] = made;
  return () => rm(folder, { recursive: true, force: true });
}
