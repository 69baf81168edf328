/**
 * Child processes that serve: in a process group of their own, because Ctrl-C in a terminal reaches the whole group and we
 * want to stop them in order ourselves; ended with us all the same, by the kernel where it can (Linux) and by an exit hook elsewhere.
 */
import { execFile, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, renameSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
const LOG_BYTES_MAX = 10_000_000;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Child {
  readonly pid: number;
  readonly exited: Promise<Exit>;
  hasExited(): boolean;
  /** Asks with `signal`, insists with SIGKILL after `graceMs`; only ever this very process. Twice is once. */
  stop(signal: NodeJS.Signals, graceMs: number): Promise<Exit>;
}

export interface ChildOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** Appended to; renamed to `<log>.1` first where it has grown beyond 10 MB. */
  readonly logPath: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly uid?: number;
  readonly gid?: number;
  /** Sent when this process ends without having stopped the child. */
  readonly lastSignal: NodeJS.Signals;
}

export async function startChild(options: ChildOptions): Promise<Child> {
  const log = openLog(options.logPath);
  const child = spawn(options.command, options.args, {
    detached: true,
    stdio: ['ignore', log, log],
    env: options.env ?? process.env,
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.gid === undefined ? {} : { gid: options.gid }),
  });
  closeSync(log);
  let gone = false;
  const exited = new Promise<Exit>((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })));
  const pid = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('spawn', () => resolve(child.pid ?? 0));
  });
  const last = (): void => {
    child.kill(options.lastSignal);
  };
  process.once('exit', last);
  child.once('exit', () => {
    gone = true;
    process.removeListener('exit', last);
  });
  const stop = async (signal: NodeJS.Signals, graceMs: number): Promise<Exit> => {
    if (!gone) child.kill(signal);
    const insist = setTimeout(() => {
      if (!gone) child.kill('SIGKILL');
    }, graceMs);
    try {
      return await exited;
    } finally {
      clearTimeout(insist);
    }
  };
  return { pid, exited, hasExited: () => gone, stop };
}

/**
 * Words to put before a command so that the kernel signals it when we die, even by SIGKILL; none where the system has no such
 * tool. To the kernel "we" is the thread that starts it: a worker thread's children end with the thread.
 */
export async function diesWithUs(signal: 'INT' | 'TERM'): Promise<readonly string[]> {
  const words = ['setpriv', '--pdeathsig', signal, '--'];
  return (await answers([...words, 'true'])) ? words : [];
}

export interface RunOptions {
  readonly timeoutMs?: number;
  readonly env?: NodeJS.ProcessEnv;
  readonly identity?: { readonly uid?: number; readonly gid?: number };
}

/** Whether a command ends well, in time. */
export async function answers(command: readonly string[], options: RunOptions = {}): Promise<boolean> {
  return (await outputOf(command, options)) !== null;
}

/** What a command writes to stdout, null where it fails, is missing, or takes too long. */
export async function outputOf(command: readonly string[], { timeoutMs = 5_000, env = process.env, identity = {} }: RunOptions = {}): Promise<string | null> {
  const [program, ...args] = command;
  if (program === undefined) return null;
  try {
    return (await run(program, args, { timeout: timeoutMs, killSignal: 'SIGKILL', env, ...identity })).stdout;
  } catch {
    return null;
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return zombieFree(pid);
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

function zombieFree(pid: number): boolean {
  try {
    return afterName(pid)[0] !== 'Z';
  } catch {
    return true;
  }
}

/** The fields of /proc/PID/stat behind the name, which may itself hold spaces and brackets. */
function afterName(pid: number): string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/** When a process was born, as its system says it: with the pid it names one process for ever, since pids are used again. */
export async function bornAt(pid: number): Promise<string | null> {
  if (process.platform === 'linux') {
    try {
      return afterName(pid)[19] ?? null;
    } catch {
      return null;
    }
  }
  return (await outputOf(['ps', '-o', 'lstart=', '-p', String(pid)]))?.trim() ?? null;
}

/** The command line of a process, null where it is gone or cannot be read. */
export async function commandLine(pid: number): Promise<string | null> {
  if (process.platform === 'linux') {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
    } catch {
      return null;
    }
  }
  return outputOf(['ps', '-ww', '-o', 'args=', '-p', String(pid)]);
}

/** Ends a process that is not our child: a leftover of an earlier run whose identity the caller has made sure of. */
export async function endLeftover(pid: number, signal: NodeJS.Signals, graceMs: number): Promise<void> {
  const until = Date.now() + graceMs;
  if (!send(pid, signal)) return;
  while (isAlive(pid) && Date.now() < until) await sleep(50);
  if (!isAlive(pid)) return;
  send(pid, 'SIGKILL');
  while (isAlive(pid) && Date.now() < until + 2_000) await sleep(50);
}

function send(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

function openLog(path: string): number {
  try {
    if (statSync(path).size > LOG_BYTES_MAX) renameSync(path, `${path}.1`);
  } catch {
    /* No log yet. */
  }
  return openSync(path, 'a', 0o600);
}

/** The last lines of a log from `offset` on, for the error that points to it. */
export function logTail(path: string, offset: number, lines = 8): string {
  try {
    return readFileSync(path).subarray(offset).toString('utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } catch {
    return '';
  }
}

export function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch {
    return 0;
  }
}
