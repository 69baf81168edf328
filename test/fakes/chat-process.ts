/** Starts the fake Slack and Discord and talks to their control. They end with the process that started them. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Control, Posted } from './chat.ts';

export interface FakeChat {
  readonly url: string;
  /** The address of a hook, by its token. */
  readonly slack: (token: string) => string;
  readonly discord: (token: string) => string;
  readonly control: (control: Control) => Promise<void>;
  /** What the channels show. */
  readonly posted: () => Promise<Posted[]>;
  readonly requests: () => Promise<{ chat: string; token: string; status: number | string }[]>;
  readonly stop: () => Promise<void>;
}

export async function startFakeChat(): Promise<FakeChat> {
  const folder = await mkdtemp(join(tmpdir(), 'fake-chat-'));
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL('./chat.ts', import.meta.url)), '--port', '0', '--ledger', join(folder, 'ledger.jsonl'), '--until-stdin-ends'],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => {
      resolve();
    });
  });
  const url = await new Promise<string>((resolve, reject) => {
    child.once('exit', (code) => {
      reject(new Error(`the fake chat ended with ${code}`));
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
  return {
    url,
    slack: (token) => `${url}/services/T0/B0/${token}`,
    discord: (token) => `${url}/api/webhooks/1337/${token}`,
    control: async (control) => {
      await fetch(`${url}/_control`, { method: 'POST', body: JSON.stringify(control) });
    },
    posted: () => read('/_ledger'),
    requests: () => read('/_requests'),
    stop: async () => {
      child.kill('SIGKILL');
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}
