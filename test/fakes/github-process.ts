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

/** A fake that speaks as `github-server.ts` does. */
export interface FakeProcess<Control, Entry> {
  readonly url: string;
  readonly control: (control: Control) => Promise<void>;
  readonly ledger: () => Promise<Entry[]>;
  readonly state: () => Promise<unknown>;
  readonly requests: () => Promise<string[]>;
  readonly read: <T>(path: string) => Promise<T>;
  readonly stop: () => Promise<void>;
}

export interface FakeGithub extends Omit<FakeProcess<Control, LedgerEntry>, 'read'> {
  /** Dispatches that took effect. */
  readonly dispatches: (operation?: string) => Promise<number>;
  readonly served: (component: string) => Promise<string | null>;
}

export async function startFake<Control, Entry>(file: string, settings: Control): Promise<FakeProcess<Control, Entry>> {
  const folder = await mkdtemp(join(tmpdir(), 'fake-github-'));
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL(file, import.meta.url)), '--port', '0', '--ledger', join(folder, 'ledger.jsonl'), '--until-stdin-ends'],
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
  const control = async (change: Control): Promise<void> => {
    await fetch(`${url}/_control`, { method: 'POST', body: JSON.stringify(change) });
  };
  await control(settings);
  return {
    url,
    control,
    ledger: () => read('/_ledger'),
    state: () => read('/_state'),
    requests: () => read('/_requests'),
    read,
    stop: async () => {
      child.kill('SIGKILL');
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export async function startFakeGithub(settings: Control = {}): Promise<FakeGithub> {
  const { read, ...fake } = await startFake<Control, LedgerEntry>('./github.ts', settings);
  return {
    ...fake,
    dispatches: async (operation) =>
      (await fake.ledger()).filter((entry) => entry.event === 'dispatch' && (operation === undefined || entry.operation === operation)).length,
    served: async (component) => (await read<{ version: string | null }>(`/_served/${component}`)).version,
  };
}
