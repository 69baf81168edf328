/** A worker process beside the local services, started again when it dies: open rollbacks wait for one. */
import { fork, type ChildProcess } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EXIT, Problem } from '../problem.ts';
import type { LocalServices } from './services.ts';

const WORKER = join(dirname(fileURLToPath(import.meta.url)), '../../worker/main.ts');
const WORKER_GRACE_MS = 25_000;
const RESTART_MS = 2_000;
const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

export interface KeptWorker {
  readonly ready: Promise<void>;
  stop(): Promise<void>;
}

export function keepWorker(services: Pick<LocalServices, 'temporalAddress' | 'namespace' | 'databaseUrl'>, config: string, signal: AbortSignal): KeptWorker {
  let child: ChildProcess | undefined;
  let stopping = false;
  let up = false;
  const ready = Promise.withResolvers<void>();
  const start = (): void => {
    // In a group of its own: Ctrl-C is for us, and we stop things in order.
    const started = fork(WORKER, [], {
      detached: true,
      cwd: dirname(config),
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: {
        ...process.env,
        TEMPORAL_ADDRESS: services.temporalAddress,
        TEMPORAL_NAMESPACE: services.namespace,
        DATABASE_URL: services.databaseUrl,
        BACKOUT_CONFIG: config,
      },
    });
    child = started;
    started.once('message', () => {
      up = true;
      ready.resolve();
    });
    started.once('exit', (code) => {
      if (stopping || signal.aborted) return;
      // Before it was ever up the configuration is the user's first mistake; later, an edit of the file that may be mended any moment.
      if (code === 2 && !up)
        ready.reject(new Problem(EXIT.usage, 'configuration', 'the worker cannot use the configuration; see above', 'mend backout.yaml and start again'));
      else {
        const why = code === 2 ? 'cannot use backout.yaml, see above: nothing is rolled back until it is mended' : `has ended (${code ?? 'killed'})`;
        say(`the worker ${why}; starting it again in ${RESTART_MS / 1000} s`);
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
    async stop() {
      stopping = true;
      process.off('exit', last);
      await end(child);
    },
  };
}

/** Asks it to stop, and insists when it does not. */
async function end(child: ChildProcess | undefined): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise<void>((done) => {
    child.once('exit', () => {
      done();
    });
  });
  child.kill('SIGTERM');
  const insist = setTimeout(() => {
    child.kill('SIGKILL');
  }, WORKER_GRACE_MS);
  await gone;
  clearTimeout(insist);
}
