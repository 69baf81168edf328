/**
 * A Postgres with all its programs: PyPI's wheel `pgserver`, which holds a whole Postgres 16. It is fetched once, by pip, into
 * `$XDG_CACHE_HOME/backout/postgres-tools-VERSION` (11 MB). Without Python or pip there is none, and whoever wanted it says so.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cacheFolder } from '../../client/local/find-temporal.ts';
import { chooseRunner, type Runner } from '../../client/local/postgres-runner.ts';
import { freePort } from '../../client/local/ports.ts';
import { answers, diesWithUs, logTail, startChild } from '../../client/local/processes.ts';
import { queryAt } from '../store/database.ts';
import type { QueryResultRow } from 'pg';

const VERSION = '0.1.4';
/** One of those that the wheel is made for, whichever Python is here: nothing of it is run by Python. */
const WHEEL = ['--no-deps', '--only-binary=:all:', '--python-version', '3.11', '--implementation', 'cp', '--abi', 'cp311'];
const FETCH_MAX_MS = 3 * 60_000;
const READY_WITHIN_MS = 30_000;

/** The folder of the programs; null where they cannot be had, which is told loudly. */
export async function postgresTools(): Promise<string | null> {
  const folder = join(cacheFolder(), `postgres-tools-${VERSION}`);
  const bin = join(folder, 'pgserver', 'pginstall', 'bin');
  if (existsSync(bin)) return bin;
  await mkdir(cacheFolder(), { recursive: true });
  // In a folder of its own, then renamed: two can do it at once, and none ever sees a half.
  const making = await mkdtemp(join(cacheFolder(), 'postgres-tools-making-'));
  try {
    const why = await fetchInto(making);
    if (why !== null) {
      process.stderr.write(`\n*** NO POSTGRES TOOLS (${why}): THE TESTS OF BACKUPS AND POINT-IN-TIME RECOVERY ARE SKIPPED ***\n\n`);
      return null;
    }
    await rename(join(making, 'whole'), folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error;
    });
    return bin;
  } finally {
    await rm(making, { recursive: true, force: true });
  }
}

async function fetchInto(folder: string): Promise<string | null> {
  const pip = ['python3', '-m', 'pip', '--disable-pip-version-check', 'download', `pgserver==${VERSION}`, '-d', folder, '-q', ...WHEEL];
  if (!(await answers(pip, { timeoutMs: FETCH_MAX_MS }))) return 'pip could not fetch the wheel `pgserver`';
  const wheel = (await readdir(folder)).find((name) => name.endsWith('.whl'));
  const whole = join(folder, 'whole');
  if (wheel === undefined || !(await answers(['python3', '-m', 'zipfile', '-e', join(folder, wheel), whole], { timeoutMs: 60_000 })))
    return 'it did not unpack';
  const bin = join(whole, 'pgserver', 'pginstall', 'bin');
  for (const name of await readdir(bin)) await chmod(join(bin, name), 0o755);
  return (await answers([join(bin, 'psql'), '--version'])) ? null : 'its programs do not run here';
}

export interface RealServer {
  readonly bin: string;
  readonly folder: string;
  readonly port: number;
  /** Words before a server's program, where this is root. */
  readonly prefix: readonly string[];
  /** As the superuser `admin`, whose password is the canary. */
  url(database?: string, user?: string): string;
  query<Row extends QueryResultRow>(text: string, values?: readonly unknown[], database?: string): Promise<Row[]>;
  /** One of the programs, against this server. */
  run(program: string, args: readonly string[], database?: string): Promise<string>;
  stop(): Promise<void>;
}

export interface RealOptions {
  readonly bin: string;
  readonly password: string;
  readonly settings?: readonly string[];
}

export async function startReal({ bin, password, settings = [] }: RealOptions): Promise<RealServer> {
  const folder = await mkdtemp(join(tmpdir(), 'backout-real-'));
  await chmod(folder, 0o755);
  const runner = await chooseRunner(join(bin, 'postgres'), folder);
  const [data, log, port] = [join(folder, 'data'), join(folder, 'server.log'), await freePort()];
  await initialise({ bin, folder, data, password, runner });
  const all = ['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'fsync=off', `port=${port}`, 'log_timezone=UTC', ...settings];
  const server = [join(bin, 'postgres'), '-D', data, ...all.flatMap((setting) => ['-c', setting])];
  const [command = '', ...args] = [...runner.prefix, ...(await diesWithUs('INT')), ...server];
  const child = await startChild({ command, args, logPath: log, ...runner.identity, lastSignal: 'SIGINT' });
  const url = (database = 'postgres', user = 'admin'): string => `postgres://${user}:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`;
  const stop = async (): Promise<void> => {
    await child.stop('SIGINT', 10_000);
    await rm(folder, { recursive: true, force: true });
  };
  for (const until = Date.now() + READY_WITHIN_MS; ;) {
    const problem = await queryAt(url(), 'SELECT').then(
      () => null,
      (error: unknown) => error,
    );
    if (problem === null) break;
    if (child.hasExited() || Date.now() > until) {
      const said = logTail(log, 0);
      await stop();
      throw new Error(`Postgres did not start: ${said}`, { cause: problem });
    }
  }
  const run = async (program: string, args: readonly string[], database = 'postgres'): Promise<string> => {
    const env = { ...process.env, PGHOST: '127.0.0.1', PGPORT: String(port), PGUSER: 'admin', PGPASSWORD: password, PGDATABASE: database, TZ: 'UTC' };
    return (await promisify(execFile)(join(bin, program), args, { env, timeout: 120_000, maxBuffer: 1e9 })).stdout;
  };
  return { bin, folder, port, prefix: runner.prefix, url, query: (text, values, database) => queryAt(url(database), text, values), run, stop };
}

interface Initial {
  readonly bin: string;
  readonly folder: string;
  readonly data: string;
  readonly password: string;
  readonly runner: Runner;
}

async function initialise({ bin, folder, data, password, runner }: Initial): Promise<void> {
  const pwfile = join(folder, 'password');
  await mkdir(data, { mode: 0o700 });
  await writeFile(pwfile, password, { mode: 0o600 });
  if (runner.owner !== null) for (const path of [data, pwfile]) await chown(path, runner.owner.uid, runner.owner.gid);
  const command = [
    ...runner.prefix,
    join(bin, 'initdb'),
    '-D',
    data,
    '-U',
    'admin',
    '-A',
    'scram-sha-256',
    `--pwfile=${pwfile}`,
    '-N',
    '-E',
    'UTF8',
    '--locale=C',
  ];
  const done = await answers(command, { timeoutMs: 60_000, identity: runner.identity });
  await rm(pwfile);
  if (!done) throw new Error(`initdb failed: ${await readFile(join(data, 'PG_VERSION'), 'utf8').catch(() => 'nothing was made')}`);
}
