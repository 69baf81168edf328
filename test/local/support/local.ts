/** What the tests of the local services share: folders that vanish, a starter in a process of its own, looks at pids. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isAlive } from '../../../client/local/processes.ts';
import { onTestFinished } from 'vitest';

export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'backout-local-'));
  onTestFinished(async () => {
    await rm(folder, { recursive: true, force: true });
  });
  return folder;
}

export interface Started {
  readonly pid: number;
  /** The line it printed, parsed. */
  readonly said: Record<string, unknown>;
  readonly exited: Promise<number | null>;
  /** As a terminal does it: to the whole process group. */
  interrupt(): void;
}

/** Runs `start-services.ts` as the leader of a process group, as a shell would. */
export async function startElsewhere(folder: string): Promise<Started> {
  const script = fileURLToPath(new URL('start-services.ts', import.meta.url));
  const child = spawn(process.execPath, [script, folder], { detached: true, stdio: ['ignore', 'pipe', 'inherit'] });
  const pid = child.pid ?? 0;
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  const line = await new Promise<string>((resolve, reject) => {
    createInterface(child.stdout)
      .once('line', resolve)
      .once('close', () => reject(new Error('it said nothing')));
  });
  const said: unknown = JSON.parse(line);
  if (!isRecord(said)) throw new Error(`it said ${line}`);
  return {
    pid,
    said,
    exited,
    interrupt: () => {
      process.kill(-pid, 'SIGINT');
    },
  };
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** The pids of the servers that a starter told. */
export function serverPids({ said }: Started): number[] {
  const pids = said['pids'];
  if (!isRecord(pids)) throw new Error(`no pids in ${JSON.stringify(said)}`);
  return [Number(pids['temporal']), Number(pids['postgres'])];
}

export async function untilDead(pids: readonly number[]): Promise<void> {
  while (pids.some((pid) => isAlive(pid))) await sleep(50);
}

/** What a promise is rejected with. */
export async function problemOf(promise: Promise<unknown>): Promise<Record<string, unknown>> {
  try {
    await promise;
  } catch (error) {
    if (isRecord(error)) return error;
  }
  throw new Error('it was not refused');
}
