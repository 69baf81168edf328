/** Starts the service that looks its keys up in a folder, and uses it as a client does. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Control } from './key-service.ts';

export interface KeyService {
  readonly url: string;
  readonly control: (control: Control) => Promise<void>;
  readonly requests: () => Promise<string[]>;
  /** What the service answers to `GET|POST /charges?tenant=…` with this key. */
  readonly charges: (secret: string, tenant: string, method?: 'GET' | 'POST') => Promise<number>;
  readonly stop: () => Promise<void>;
}

export async function startKeyService(folder: string, header = 'Authorization'): Promise<KeyService> {
  const script = fileURLToPath(new URL('./key-service.ts', import.meta.url));
  const child = spawn(process.execPath, [script, '--folder', folder, '--header', header, '--port', '0', '--until-stdin-ends'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const [line] = (await Promise.race([once(createInterface(child.stdout), 'line'), ended])) as [string];
  const { url }: { url: string } = JSON.parse(line);
  return {
    url,
    control: async (control) => {
      await fetch(`${url}/_control`, { method: 'POST', body: JSON.stringify(control) });
    },
    requests: async () => JSON.parse(await (await fetch(`${url}/_requests`)).text()) as string[],
    charges: async (secret, tenant, method = 'GET') => {
      const value = header === 'Authorization' ? `Bearer ${secret}` : secret;
      return (await fetch(`${url}/charges?tenant=${tenant}`, { method, headers: { [header]: value, 'x-caller': 'shop' } })).status;
    },
    stop: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
