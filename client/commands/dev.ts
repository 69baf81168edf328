/** `backout dev`: everything on this machine, until Ctrl-C; the next start goes on with what is open. */
import { fork, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { stateFolder } from '../local/folder.ts';
import { LocalProblem } from '../local/problem.ts';
import { DEFAULT_PORTS, startServices, type LocalServices } from '../local/services.ts';

const WORKER = join(dirname(fileURLToPath(import.meta.url)), '../../worker/main.ts');
const WORKER_GRACE_MS = 25_000;
const RESTART_MS = 2_000;
const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

export function register(program: Command): void {
  program
    .command('dev')
    .description('everything on this machine: Temporal server and UI, Postgres, worker; Ctrl-C stops what it started')
    .option('--temporal-port <n>', 'port of the Temporal server', Number, DEFAULT_PORTS.temporalPort)
    .option('--ui-port <n>', 'port of the Temporal UI', Number, DEFAULT_PORTS.uiPort)
    .option('--postgres-port <n>', 'port of Postgres', Number, DEFAULT_PORTS.postgresPort)
    .addHelpText('after', '\nExample:\n  $ backout dev --temporal-port 7300 --ui-port 8300 --postgres-port 5500')
    .action(async (options: { temporalPort: number; uiPort: number; postgresPort: number }, command: Command) => {
      const given: unknown = command.optsWithGlobals()['config'];
      await dev({ ...options, config: resolve(typeof given === 'string' ? given : (process.env['BACKOUT_CONFIG'] ?? 'backout.yaml')) });
    });
}

interface DevOptions {
  readonly temporalPort: number;
  readonly uiPort: number;
  readonly postgresPort: number;
  readonly config: string;
}

export async function dev(options: DevOptions): Promise<void> {
  if (!existsSync(options.config))
    throw new LocalProblem('stopped', `there is no ${options.config}`, 'write one with `backout init`, or name another with --config or BACKOUT_CONFIG');
  const stopped = new AbortController();
  const onSignal = (): void => {
    stopped.abort(new LocalProblem('stopped', 'stopped before everything was up', 'start again'));
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  const services = await startServices({
    folder: stateFolder(options.config),
    progress: say,
    temporalPort: options.temporalPort,
    uiPort: options.uiPort,
    postgresPort: options.postgresPort,
    signal: stopped.signal,
  });
  const worker = keepWorker(services, options.config, stopped.signal);
  try {
    await Promise.race([worker.ready, aborted(stopped.signal)]);
    if (!stopped.signal.aborted) {
      say(
        [
          '',
          'Backout is up.',
          `  Temporal     ${services.temporalAddress}`,
          `  Temporal UI  ${services.uiUrl ?? 'of that server'}`,
          `  Postgres     ${services.databaseUrl.replace(/:[^:@/]*@/, ':…@')}`,
          `  state        ${stateFolder(options.config)}`,
          '',
          'Next: backout doctor · backout list · Ctrl-C stops everything it started',
          '',
        ].join('\n'),
      );
    }
    const died = await Promise.race([aborted(stopped.signal).then(() => null), services.exited]);
    if (died)
      throw new LocalProblem(
        died.what === 'Postgres' ? 'postgres-failed' : 'temporal-failed',
        `${died.what} has ended by itself`,
        `see its log in ${stateFolder(options.config)}, then start backout dev again: open rollbacks go on`,
      );
  } finally {
    say('stopping; open rollbacks go on with the next start');
    stopped.abort();
    await worker.stop();
    await services.stop();
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  }
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((done) => {
    if (signal.aborted) done();
    else
      signal.addEventListener(
        'abort',
        () => {
          done();
        },
        { once: true },
      );
  });

export interface KeptWorker {
  readonly ready: Promise<void>;
  pid(): number | undefined;
  stop(): Promise<void>;
}

/** A worker that is started again when it dies: open rollbacks wait for one. */
export function keepWorker(
  services: Pick<LocalServices, 'temporalAddress' | 'namespace' | 'databaseUrl'>,
  config: string,
  signal: AbortSignal,
  env: NodeJS.ProcessEnv = {},
): KeptWorker {
  let child: ChildProcess | undefined;
  let stopping = false;
  const ready = Promise.withResolvers<void>();
  const start = (): void => {
    // In a group of its own: Ctrl-C is for us, and we stop things in order.
    const started = fork(WORKER, [], {
      detached: true,
      cwd: dirname(config),
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: {
        ...process.env,
        ...env,
        TEMPORAL_ADDRESS: services.temporalAddress,
        TEMPORAL_NAMESPACE: services.namespace,
        DATABASE_URL: services.databaseUrl,
        BACKOUT_CONFIG: config,
      },
    });
    child = started;
    started.once('message', () => {
      ready.resolve();
    });
    started.once('exit', (code) => {
      if (stopping || signal.aborted) return;
      if (code === 2) ready.reject(new LocalProblem('stopped', 'the worker cannot use the configuration; see above', 'mend backout.yaml and start again'));
      else {
        say(`the worker has ended (${code ?? 'killed'}); starting it again in ${RESTART_MS / 1000} s`);
        setTimeout(() => {
          if (!stopping && !signal.aborted) start();
        }, RESTART_MS);
      }
    });
  };
  const last = (): void => {
    child?.kill('SIGTERM');
  };
  process.once('exit', last);
  start();
  return {
    ready: ready.promise,
    pid: () => child?.pid,
    async stop() {
      stopping = true;
      process.off('exit', last);
      const running = child;
      if (!running || running.exitCode !== null || running.signalCode !== null) return;
      const gone = new Promise<void>((done) => {
        running.once('exit', () => {
          done();
        });
      });
      running.kill('SIGTERM');
      const insist = setTimeout(() => {
        running.kill('SIGKILL');
      }, WORKER_GRACE_MS);
      await gone;
      clearTimeout(insist);
    },
  };
}
