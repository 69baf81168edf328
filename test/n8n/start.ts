/**
 * Starts a real n8n with a database of its own, an owner and an API key, without a browser. For the tests here and for whoever wants to show
 * Backout against a real one: `const n8n = await startN8n()`.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { installN8n } from './install.ts';

/** What Backout's own key may do, and no more. */
export const BACKOUT_SCOPES = ['workflow:list', 'workflow:read', 'workflow:deactivate', 'workflow:delete', 'execution:list'];

export interface RealN8n {
  readonly url: string;
  /** With every scope there is: for whoever sets up what is to be looked at. */
  readonly ownerKey: string;
  /** With `BACKOUT_SCOPES` alone. */
  readonly apiKey: string;
  readonly createKey: (scopes: readonly string[]) => Promise<string>;
  /** Ends it, and removes its database. */
  readonly stop: () => Promise<void>;
}

export class N8nImpossible extends Error {}

const READY_MAX_MS = 10 * 60_000;
const PAUSE_MS = 250;
const STOP_MAX_MS = 10_000;
const PASSWORD = 'Backout-test-1';

/** Throws `N8nImpossible` where it cannot be installed here. */
export async function startN8n(progress: (line: string) => void = () => {}): Promise<RealN8n> {
  const installed = await installN8n(progress);
  if ('impossible' in installed) throw new N8nImpossible(installed.impossible);
  const folder = await mkdtemp(join(tmpdir(), 'backout-n8n-'));
  const [port, brokerPort] = await Promise.all([freePort(), freePort()]);
  const url = `http://127.0.0.1:${port}`;
  let log = '';
  const child = spawn(process.execPath, [installed.entry, 'start'], {
    cwd: folder,
    env: settings(folder, port, brokerPort),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      log = `${log}${chunk.toString()}`.slice(-10_000);
    });
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => {
      resolve();
    });
  });
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_MAX_MS);
    await ended;
    clearTimeout(late);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    progress(`starting n8n at ${url}`);
    await ready(url, () => (child.exitCode === null ? null : log));
    const createKey = await owner(url);
    return { url, createKey, stop, ownerKey: await createKey('all'), apiKey: await createKey(BACKOUT_SCOPES) };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Only what is listed: n8n reads many variables, and none of the developer's shall be among them. */
function settings(folder: string, port: number, brokerPort: number): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'],
    HOME: folder,
    N8N_USER_FOLDER: folder,
    N8N_PORT: String(port),
    N8N_LISTEN_ADDRESS: '127.0.0.1',
    N8N_HOST: '127.0.0.1',
    N8N_SECURE_COOKIE: 'false',
    N8N_ENCRYPTION_KEY: 'test',
    N8N_DIAGNOSTICS_ENABLED: 'false',
    N8N_VERSION_NOTIFICATIONS_ENABLED: 'false',
    N8N_TEMPLATES_ENABLED: 'false',
    N8N_PERSONALIZATION_ENABLED: 'false',
    N8N_COMMUNITY_PACKAGES_ENABLED: 'false',
    N8N_RUNNERS_BROKER_PORT: String(brokerPort),
    DB_TYPE: 'sqlite',
  };
}

/** `/healthz` answers 200 while the migrations still run; this one does not. */
async function ready(url: string, endedWith: () => string | null): Promise<void> {
  const until = Date.now() + READY_MAX_MS;
  for (;;) {
    const log = endedWith();
    if (log !== null) throw new Error(`n8n ended before it was ready: ${log}`);
    const status = await fetch(`${url}/healthz/readiness`).then(
      (response) => response.status,
      () => 0,
    );
    if (status === 200) return;
    if (Date.now() > until) throw new Error(`n8n was not ready within ${READY_MAX_MS / 1000} s`);
    await sleep(PAUSE_MS);
  }
}

/** Sets the owner up and answers with what makes an API key; `all` stands for every scope of the owner. */
async function owner(url: string): Promise<(scopes: readonly string[] | 'all') => Promise<string>> {
  const rest = async (method: string, path: string, cookie: string, body?: unknown): Promise<{ cookie: string; data: unknown }> => {
    const response = await fetch(`${url}/rest${path}`, {
      method,
      headers: { 'content-type': 'application/json', cookie },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const answer = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${answer.slice(0, 300)}`);
    const set = response.headers.getSetCookie().map((one) => one.split(';')[0]);
    const { data }: { data: unknown } = JSON.parse(answer);
    return { cookie: set.join('; '), data };
  };
  const { cookie } = await rest('POST', '/owner/setup', '', { email: 'owner@backout.test', firstName: 'Back', lastName: 'Out', password: PASSWORD });
  const { data: every } = await rest('GET', '/api-keys/scopes', cookie);
  let keys = 0;
  return async (scopes) => {
    const { data } = await rest('POST', '/api-keys', cookie, { label: `key ${(keys += 1)}`, scopes: scopes === 'all' ? every : scopes, expiresAt: null });
    if (typeof data !== 'object' || data === null || !('rawApiKey' in data) || typeof data.rawApiKey !== 'string') throw new Error('n8n gave no API key');
    return data.rawApiKey;
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
  });
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}
