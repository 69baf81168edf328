/** A configured command: no shell, its own process group, little of the worker's environment, and nothing left of it when it is over. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';

export interface Command {
  /** Program and arguments. */
  readonly command: readonly string[];
  readonly cwd: string;
  readonly seconds: number;
  /** Beside PATH, HOME and LANG: no credential of the worker leaks into it. */
  readonly env: Readonly<Record<string, string>>;
  /**
   * A stream takes both outputs, in the order in which they are read, and is not ended. A file descriptor goes to the command itself: what it leaves running
   * then goes on, as a reload that starts a service needs; otherwise that is ended too, so that no test outlives its verdict.
   */
  readonly output: Writable | number;
}

export interface Ended {
  readonly by: 'exit' | 'signal' | 'timeout' | 'start';
  readonly code: number | null;
  /** The code, or in words what else ended it. */
  readonly exit: string;
  readonly seconds: number;
}

/** For what may print secrets, or what nobody asks for. */
export const discarded = (): Writable =>
  new Writable({
    write: (_chunk, _encoding, done) => {
      done();
    },
  });

const PATIENCE_MS = 2_000;
const KILL_MS = 1_000;
/** How long a pipe may stay open after the group is gone: a process that left the group may hold it for ever. */
const DRAIN_MS = 2_000;

type End = Omit<Ended, 'seconds'>;

/** Resolves whatever becomes of the command; throws only when aborted, and then the group has been ended as well. */
export async function runCommand(given: Command, signal: AbortSignal): Promise<Ended> {
  signal.throwIfAborted();
  const started = Date.now();
  const child = start(given);
  const end = 'by' in child ? child : await life(given, child, signal);
  signal.throwIfAborted();
  return { ...end, seconds: (Date.now() - started) / 1000 };
}

async function life(given: Command, child: ChildProcess, signal: AbortSignal): Promise<End> {
  const { output, seconds } = given;
  const closed = once(child, 'close').catch(() => undefined);
  const { promise, resolve } = Promise.withResolvers<End>();
  child.once('error', (error) => {
    resolve(notStarted(given, error));
  });
  child.once('exit', (code, by) => {
    resolve(code === null ? { by: 'signal', code, exit: `signal ${by ?? '?'}` } : { by: 'exit', code, exit: String(code) });
  });
  const stop = (): void => {
    resolve({ by: 'timeout', code: null, exit: `a timeout after ${seconds} s` });
  };
  const timer = setTimeout(stop, seconds * 1000);
  signal.addEventListener('abort', stop, { once: true });
  if (typeof output !== 'number') for (const pipe of [child.stdout, child.stderr]) pipe?.pipe(output, { end: false });
  const end = await promise;
  clearTimeout(timer);
  signal.removeEventListener('abort', stop);
  if (child.pid === undefined) return end;
  if (end.by === 'timeout' || typeof output !== 'number') await endGroup(child.pid);
  await Promise.race([closed, delay(DRAIN_MS, undefined, { ref: false })]);
  for (const pipe of [child.stdout, child.stderr]) pipe?.destroy();
  return end;
}

function start({ command, cwd, env, output }: Command): ChildProcess | End {
  const [program = '', ...args] = command;
  const { PATH = '', HOME = '', LANG = 'C.UTF-8' } = process.env;
  const to = typeof output === 'number' ? output : 'pipe';
  try {
    return spawn(program, args, { cwd, detached: true, stdio: ['ignore', to, to], env: { PATH, HOME, LANG, ...env } });
  } catch (error) {
    return notStarted({ command, cwd }, error);
  }
}

/** A folder that is not there is reported as a program that is not there. */
function notStarted({ command, cwd }: Pick<Command, 'command' | 'cwd'>, error: unknown): End {
  const reason = statSync(cwd, { throwIfNoEntry: false })?.isDirectory()
    ? error instanceof Error
      ? error.message
      : String(error)
    : `there is no folder ${cwd}`;
  const missing = reason === `spawn ${command[0]} ENOENT`;
  return { by: 'start', code: null, exit: `an error at the start: ${missing ? `there is no program ${command[0]}` : reason}` };
}

/** The whole group, also where its first process has ended: a test often starts a browser or a server that would outlive it. */
async function endGroup(group: number): Promise<void> {
  for (const [signal, waitMs] of [
    ['SIGTERM', PATIENCE_MS],
    ['SIGKILL', KILL_MS],
  ] as const) {
    if (!send(group, signal)) return;
    for (const until = Date.now() + waitMs; Date.now() < until && send(group, 0);) await delay(20);
  }
}

/** False where nobody is left. */
function send(group: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-group, signal);
  } catch {
    return false;
  }
}

export interface LastBytes {
  readonly add: (chunk: Buffer) => void;
  /** How many were added in all. */
  readonly total: () => number;
  readonly read: () => Buffer;
}

/** The last bytes of what is added, in constant memory. */
export function lastBytes(max: number): LastBytes {
  const ring = Buffer.alloc(max);
  let total = 0;
  return {
    add: (chunk) => {
      const kept = chunk.subarray(-max);
      const wrapped = kept.copy(ring, (total + chunk.length - kept.length) % max);
      kept.copy(ring, 0, wrapped);
      total += chunk.length;
    },
    total: () => total,
    read: () => (total <= max ? ring.subarray(0, total) : Buffer.concat([ring.subarray(total % max), ring.subarray(0, total % max)])),
  };
}

/** The end of an output as a person may be shown it: no colours, no half characters. */
export const textOf = (bytes: Buffer, chars: number): string =>
  stripVTControlCharacters(bytes.toString('utf8'))
    .trim()
    .slice(-chars)
    .toWellFormed()
    .replace(/^\uFFFD+/, '');
