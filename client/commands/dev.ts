/** `backout dev`: everything on this machine, until Ctrl-C; the next start goes on with what is open. */
import { relative, resolve } from 'node:path';
import { InvalidArgumentError, type Command } from 'commander';
import { stateFolder } from '../local/folder.ts';
import { LocalProblem } from '../local/problem.ts';
import { Settings } from '../settings.ts';
import { keepWorker } from '../local/kept-worker.ts';
import { DEFAULT_PORTS, startServices } from '../local/services.ts';

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

export function register(program: Command): void {
  program
    .command('dev')
    .description('everything on this machine: Temporal server and UI, Postgres, worker; Ctrl-C stops what it started')
    .option('--temporal-port <n>', 'port of the Temporal server', port, DEFAULT_PORTS.temporalPort)
    .option('--ui-port <n>', 'port of the Temporal UI', port, DEFAULT_PORTS.uiPort)
    .option('--postgres-port <n>', 'port of Postgres', port, DEFAULT_PORTS.postgresPort)
    .addHelpText('after', '\nExample:\n  $ backout dev --temporal-port 7300 --ui-port 8300 --postgres-port 5500')
    .action(async (options: { temporalPort: number; uiPort: number; postgresPort: number }, command: Command) => {
      const given: unknown = command.optsWithGlobals()['config'];
      await dev({ ...options, config: resolve(typeof given === 'string' ? given : (process.env['BACKOUT_CONFIG'] ?? 'backout.yaml')) });
    });
}

function port(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 65_535) throw new InvalidArgumentError('a port is a whole number from 1 to 65535');
  return value;
}

interface DevOptions {
  readonly temporalPort: number;
  readonly uiPort: number;
  readonly postgresPort: number;
  readonly config: string;
}

export async function dev(options: DevOptions): Promise<void> {
  // Read before anything is started: a mistake in it is said with file and line, and leaves nothing behind.
  await new Settings({ json: false, config: options.config }).requireConfig();
  const named = options.config === resolve('backout.yaml') ? '' : ` --config ${relative(process.cwd(), options.config)}`;
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
          `Next: backout doctor${named} · backout list${named} · Ctrl-C stops everything it started`,
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
