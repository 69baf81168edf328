/** Starts the embedded Postgres on a folder of ours: initialised once, reachable on 127.0.0.1 with a password only. */
import { randomBytes, randomUUID } from 'node:crypto';
import { chmod, chown, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findPostgres, type PostgresBinaries } from './postgres-binaries.ts';
import { chooseRunner, giveTo, type Runner, type RunnerName } from './postgres-runner.ts';
import { freePort, portTaken, requireFree, type WantedPort } from './ports.ts';
import { LocalProblem, textOf } from './problem.ts';
import { commandLine, diesWithUs, endLeftover, logTail, sizeOf, startChild, type Child, type Exit } from './processes.ts';

const USER = 'postgres';
const DATABASE = 'backout';
const READY_WITHIN_MS = 60_000;
const STOP_GRACE_MS = 10_000;

export interface PostgresOptions {
  /** Holds `postgres/`, `postgres.password` and `postgres.log`. */
  readonly folder: string;
  /** 0: any free port. */
  readonly port: number;
  /** Nothing is forced to disk: survives the death of any process, not a power cut; for tests. */
  readonly fast?: boolean;
  /** One way of running as root instead of the best one; for tests. */
  readonly runner?: RunnerName;
}

export interface LocalPostgres {
  readonly url: string;
  readonly pid: number;
  readonly exited: Promise<Exit>;
  stop(): Promise<void>;
}

/** The caller holds the folder (`claimFolder`): a server that still runs on its data is taken for a leftover and stopped. */
export async function startPostgres(options: PostgresOptions): Promise<LocalPostgres> {
  const binaries = await findPostgres();
  await mkdir(options.folder, { recursive: true, mode: 0o700 });
  const data = join(options.folder, 'postgres');
  const runner = await chooseRunner(binaries.postgres, options.folder, options.runner);
  await endForgotten(data);
  const wanted: WantedPort = { what: 'Postgres', option: '--postgres-port', port: options.port === 0 ? await freePort() : options.port };
  await requireFree([wanted]);
  const password = await ensureData(data, options.folder, binaries, runner);
  const logPath = join(options.folder, 'postgres.log');
  for (let attempt = 1; ; attempt += 1) {
    const offset = sizeOf(logPath);
    const child = await spawnPostgres(options, { binaries, runner, data, logPath, port: wanted.port });
    try {
      const url = await untilReady(child, wanted.port, password);
      const stop = async (): Promise<void> => {
        await child.stop('SIGINT', STOP_GRACE_MS);
      };
      return { url, pid: child.pid, exited: child.exited, stop };
    } catch (error) {
      await child.stop('SIGQUIT', 2_000);
      const said = logTail(logPath, offset);
      // The children of a killed server take a moment to notice.
      if (attempt < 20 && /still in use|lock file .* already exists/.test(said)) {
        await sleep(250);
        continue;
      }
      if (/Address already in use/i.test(said)) throw await portTaken([wanted]);
      throw new LocalProblem(
        'postgres-failed',
        `Postgres did not start: ${textOf(error)}.${said === '' ? '' : `\n${said}`}`,
        `Its log is ${logPath}. Or set DATABASE_URL.`,
        error,
      );
    }
  }
}

interface Launch {
  readonly binaries: PostgresBinaries;
  readonly runner: Runner;
  readonly data: string;
  readonly logPath: string;
  readonly port: number;
}

async function spawnPostgres({ fast }: PostgresOptions, { binaries, runner, data, logPath, port }: Launch): Promise<Child> {
  const settings = [
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    'max_connections=100',
    'log_timezone=UTC',
    'timezone=UTC',
    // Not synchronous_commit: without it a killed server loses what it has confirmed.
    ...(fast === true ? ['fsync=off', 'full_page_writes=off'] : []),
  ];
  const server = [binaries.postgres, '-D', data, '-p', String(port), ...settings.flatMap((setting) => ['-c', setting])];
  // Behind the change of user, which would clear it.
  const [command = binaries.postgres, ...args] = [...runner.prefix, ...(await diesWithUs('INT')), ...server];
  return startChild({ command, args, logPath, env: cleanEnvironment(), ...runner.identity, lastSignal: 'SIGINT' });
}

/** Makes the data where there is none, and returns the password. In a folder of its own first: an initdb cut short leaves nothing that looks whole. */
async function ensureData(data: string, folder: string, { initdb, major }: PostgresBinaries, runner: Runner): Promise<string> {
  const passwordPath = join(folder, 'postgres.password');
  const there = await readFile(join(data, 'PG_VERSION'), 'utf8').catch(() => null);
  if (there !== null) {
    if (there.trim() !== major) {
      throw new LocalProblem(
        'postgres-failed',
        `${data} was made by Postgres ${there.trim()}; this Backout brings Postgres ${major}.`,
        `Export it with the Backout that made it (pg_dump) and remove the folder, or set DATABASE_URL.`,
      );
    }
    await giveTo(data, runner.owner);
    return readPassword(passwordPath, data);
  }
  await removeRemains(folder);
  const password = randomBytes(24).toString('hex');
  const making = join(folder, `postgres.${randomUUID()}.new`);
  const pwfile = `${making}.password`;
  try {
    await mkdir(making, { mode: 0o700 });
    await writeFile(pwfile, password, { mode: 0o600 });
    if (runner.owner !== null)
      await Promise.all(
        [making, pwfile].map(async (path) => {
          await chown(path, runner.owner?.uid ?? 0, runner.owner?.gid ?? 0);
        }),
      );
    await initialise(
      [
        ...runner.prefix,
        initdb,
        '-D',
        making,
        '-U',
        USER,
        '--auth=scram-sha-256',
        `--pwfile=${pwfile}`,
        '-E',
        'UTF8',
        '--locale=C',
        '--no-sync',
        '--no-instructions',
      ],
      runner,
      join(folder, 'postgres.log'),
    );
    if (runner.owner !== null) await chown(pwfile, process.getuid?.() ?? 0, process.getgid?.() ?? 0);
    await chmod(pwfile, 0o600);
    await rename(pwfile, passwordPath);
    await rename(making, data);
  } finally {
    await Promise.all(
      [making, pwfile].map(async (path) => {
        await rm(path, { recursive: true, force: true });
      }),
    );
  }
  return password;
}

async function removeRemains(folder: string): Promise<void> {
  const remains = (await readdir(folder)).filter((name) => /^postgres\..+\.new(\.password)?$/.test(name));
  await Promise.all(
    remains.map(async (name) => {
      await rm(join(folder, name), { recursive: true, force: true });
    }),
  );
}

async function readPassword(path: string, data: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    throw new LocalProblem(
      'postgres-failed',
      `The password of the database in ${data} is gone: ${textOf(error)}.`,
      `Restore ${path}, or remove both to start with an empty database.`,
      error,
    );
  }
}

async function initialise(words: readonly string[], { identity }: Runner, logPath: string): Promise<void> {
  const [command = '', ...args] = words;
  const offset = sizeOf(logPath);
  const child = await startChild({ command, args, logPath, env: cleanEnvironment(), ...identity, lastSignal: 'SIGKILL' });
  const { code, signal } = await child.exited;
  if (code !== 0) {
    throw new LocalProblem(
      'postgres-failed',
      `The database could not be made: initdb ended with ${signal ?? `code ${code}`}.\n${logTail(logPath, offset)}`,
      `Its log is ${logPath}. Or set DATABASE_URL.`,
    );
  }
}

/**
 * After kill -9 of everything, `postmaster.pid` remains. Postgres takes any living process with that pid for its own, so one
 * that is none loses the file here; a server that outlived us on this very data is ours, for we hold the folder, and is stopped.
 */
async function endForgotten(data: string): Promise<void> {
  const path = join(data, 'postmaster.pid');
  const pid = Number((await readFile(path, 'utf8').catch(() => '')).split('\n')[0]);
  if (!Number.isSafeInteger(pid) || pid <= 0) return;
  const line = await commandLine(pid);
  if (line?.includes(` -D ${data} `) === true) await endLeftover(pid, 'SIGINT', STOP_GRACE_MS);
  else await rm(path, { force: true });
}

/** Connects with our password, so that another server on the port is not taken for ours; makes the database the first time. */
async function untilReady(child: Child, port: number, password: string): Promise<string> {
  const { Client } = await import('pg');
  const until = Date.now() + READY_WITHIN_MS;
  const urlOf = (database: string): string => `postgresql://${USER}:${password}@127.0.0.1:${port}/${database}`;
  for (;;) {
    const client = new Client({ connectionString: urlOf('postgres'), connectionTimeoutMillis: 5_000 });
    client.on('error', () => undefined);
    try {
      await client.connect();
      const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [DATABASE]);
      if (rowCount === 0) await client.query(`create database ${DATABASE}`);
      return urlOf(DATABASE);
    } catch (error) {
      if (child.hasExited()) throw new Error('it ended at once', { cause: error });
      if (Date.now() > until) throw error;
      await sleep(30);
    } finally {
      await client.end().catch(() => undefined);
    }
  }
}

/** PGDATA, PGPORT and their kin of the user are for another server. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  return { ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('PG'))), LC_ALL: 'C' };
}
