/** Starts the fake GitHub and talks to its control. It ends with the process that started it, never with a worker that is killed. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Control } from './github.ts';

interface LedgerEntry {
  readonly event: 'dispatch' | 'conclusion' | 'cancel';
  readonly operation?: string | null;
  readonly run: number;
  readonly conclusion?: string;
}

export interface FakeGithub {
  readonly url: string;
  readonly control: (control: Control) => Promise<void>;
  readonly ledger: () => Promise<LedgerEntry[]>;
  /** Dispatches that took effect. */
  readonly dispatches: (operation?: string) => Promise<number>;
  readonly state: () => Promise<unknown>;
  readonly requests: () => Promise<string[]>;
  readonly served: (component: string) => Promise<string | null>;
  readonly stop: () => Promise<void>;
}

export async function startFakeGithub(settings: Control = {}): Promise<FakeGithub> {
  const folder = await mkdtemp(join(tmpdir(), 'fake-github-'));
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL('./github.ts', import.meta.url)), '--port', '0', '--ledger', join(folder, 'ledger.jsonl'), '--until-stdin-ends'],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => {
      resolve();
    });
  });
  const url = await new Promise<string>((resolve, reject) => {
    child.once('exit', (code) => {
      reject(new Error(`the fake GitHub ended with ${code}`));
    });
    createInterface(child.stdout).once('line', (line) => {
      const said: { url: string } = JSON.parse(line);
      resolve(said.url);
    });
  });
  const read = async <T>(path: string): Promise<T> => {
    const value: T = JSON.parse(await (await fetch(`${url}${path}`)).text());
    return value;
  };
  const ledger = (): Promise<LedgerEntry[]> => read('/_ledger');
  const control = async (change: Control): Promise<void> => {
    await fetch(`${url}/_control`, { method: 'POST', body: JSON.stringify(change) });
  };
  await control(settings);
  return {
    url,
    control,
    ledger,
    dispatches: async (operation) =>
      (await ledger()).filter((entry) => entry.event === 'dispatch' && (operation === undefined || entry.operation === operation)).length,
    state: () => read('/_state'),
    requests: () => read('/_requests'),
    served: async (component) => (await read<{ version: string | null }>(`/_served/${component}`)).version,
    stop: async () => {
      child.kill('SIGKILL');
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}
