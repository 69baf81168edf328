import { Connection, WorkflowClient } from '@temporalio/client';
import { readFile, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Client } from 'pg';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { readDev } from '../../client/local/folder.ts';
import { freePort } from '../../client/local/ports.ts';
import { isAlive } from '../../client/local/processes.ts';
import { startServices, type LocalServices, type ServicesOptions } from '../../client/local/services.ts';
import { problemOf, serverPids, startElsewhere, temporaryFolder, untilDead } from './support/local.ts';

vi.setConfig({ testTimeout: 120_000 });
vi.stubEnv('TEMPORAL_ADDRESS', '');
vi.stubEnv('TEMPORAL_PROFILE', '');
vi.stubEnv('DATABASE_URL', '');

const anyPorts = { temporalPort: 0, uiPort: 0, postgresPort: 0, progress: () => undefined };

async function start(options: Partial<ServicesOptions> & { readonly folder: string }): Promise<LocalServices> {
  const services = await startServices({ ...anyPorts, ...options });
  onTestFinished(async () => {
    await services.stop();
  });
  return services;
}

async function withTemporal<T>({ temporalAddress }: LocalServices, use: (client: WorkflowClient, connection: Connection) => Promise<T>): Promise<T> {
  const connection = await Connection.connect({ address: temporalAddress });
  try {
    return await use(new WorkflowClient({ connection }), connection);
  } finally {
    await connection.close();
  }
}

async function sql(databaseUrl: string, text: string): Promise<unknown[]> {
  const client = new Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

async function leaveSomething(services: LocalServices): Promise<void> {
  await sql(services.databaseUrl, "create table kept (word text); insert into kept values ('still here')");
  await withTemporal(services, async (client) => {
    await client.start('nobodyRunsThis', {
      workflowId: 'kept',
      taskQueue: 'none',
      searchAttributes: { RollbackKind: ['deployRevert'], RollbackTarget: ['web=1.4.2'] },
    });
  });
}

async function expectItIsStillThere(services: LocalServices): Promise<void> {
  expect(await sql(services.databaseUrl, 'select word from kept')).toEqual([{ word: 'still here' }]);
  await withTemporal(services, async (client) => {
    const { status, searchAttributes } = await client.getHandle('kept').describe();
    expect(status.name).toBe('RUNNING');
    expect(searchAttributes).toMatchObject({ RollbackKind: ['deployRevert'], RollbackTarget: ['web=1.4.2'] });
  });
}

describe('what is there keeps', () => {
  test('a stop and a start', async () => {
    const folder = await temporaryFolder();
    const first = await start({ folder });
    await leaveSomething(first);
    await first.stop();
    expect([first.pids.temporal, first.pids.postgres].map((pid) => isAlive(pid ?? 0))).toEqual([false, false]);
    await expectItIsStillThere(await start({ folder }));
  });

  test('SIGKILL of both servers', async () => {
    const folder = await temporaryFolder();
    const first = await start({ folder });
    await leaveSomething(first);
    const pids = [first.pids.temporal ?? 0, first.pids.postgres ?? 0];
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    expect((await first.exited).exit.signal).toBe('SIGKILL');
    await untilDead(pids);
    await first.stop();
    await expectItIsStillThere(await start({ folder }));
  });

  test.runIf(process.platform === 'linux')('SIGKILL of their parent, which they do not outlive, and whose claim on the folder is taken over', async () => {
    const folder = await temporaryFolder();
    const elsewhere = await startElsewhere(folder);
    const dev = await readDev(folder);
    expect(dev?.pids).toMatchObject({ dev: { pid: elsewhere.pid } });
    process.kill(elsewhere.pid, 'SIGKILL');
    await elsewhere.exited;
    expect(await readDev(folder)).toBeNull();
    await untilDead(serverPids(elsewhere));
    const again = await start({ folder });
    expect(await sql(again.databaseUrl, 'select 1 as one')).toEqual([{ one: 1 }]);
  });
});

test('the state is private, and told only while it is true', async () => {
  const folder = await temporaryFolder();
  const services = await start({ folder });
  const dev = await readDev(folder);
  expect(dev).toMatchObject({ temporalAddress: services.temporalAddress, namespace: 'default', uiUrl: services.uiUrl, databaseUrl: services.databaseUrl });
  expect(dev?.pids).toMatchObject({ dev: { pid: process.pid }, temporal: { pid: services.pids.temporal }, postgres: { pid: services.pids.postgres } });
  const modes = await Promise.all(['dev.json', 'postgres.password', 'temporal.log'].map(async (name) => (await stat(join(folder, name))).mode & 0o777));
  expect(modes).toEqual([0o600, 0o600, 0o600]);
  expect(await readFile(join(folder, '.gitignore'), 'utf8')).toBe('*\n');
  await services.stop();
  expect(await readDev(folder)).toBeNull();
});

test('histories are kept for 90 days, and the UI answers', async () => {
  const services = await start({ folder: await temporaryFolder(), memory: true });
  await withTemporal(services, async (_, connection) => {
    const { config } = await connection.workflowService.describeNamespace({ namespace: services.namespace });
    expect(Number(config?.workflowExecutionRetentionTtl?.seconds)).toBe(90 * 24 * 3600);
  });
  expect((await fetch(services.uiUrl ?? '')).status).toBe(200);
});

test('two folders run side by side', async () => {
  const [one, two] = await Promise.all([temporaryFolder(), temporaryFolder()]);
  const services = await Promise.all([start({ folder: one }), start({ folder: two })]);
  await leaveSomething(services[0]);
  await services[0].stop();
  expect(await sql(services[1].databaseUrl, "select count(*)::int as n from pg_tables where tablename = 'kept'")).toEqual([{ n: 0 }]);
  await withTemporal(services[1], async (client) => {
    await expect(client.getHandle('kept').describe()).rejects.toThrow(/not found/i);
  });
});

test('a second start in the same folder is refused with the pid of the first, which goes on', async () => {
  const folder = await temporaryFolder();
  const services = await start({ folder, memory: true });
  const problem = await problemOf(startServices({ ...anyPorts, folder }));
  expect(problem).toMatchObject({ type: 'already-running' });
  expect(problem['message']).toContain(`Backout already runs in ${folder} (pid ${process.pid}, since `);
  expect(await sql(services.databaseUrl, 'select 1 as one')).toEqual([{ one: 1 }]);
  expect(await readDev(folder)).not.toBeNull();
});

test('of starts at once in one folder, one wins', async () => {
  const folder = await temporaryFolder();
  const elsewhere = await Promise.all([startElsewhere(folder), startElsewhere(folder), startElsewhere(folder)]);
  expect(elsewhere.filter(({ said }) => said['problem'] === 'already-running')).toHaveLength(2);
  const winner = elsewhere.find(({ said }) => said['problem'] === undefined);
  winner?.interrupt();
  expect(await winner?.exited).toBe(0);
});

test('Ctrl-C reaches the starter, not the servers, which it stops in order', async () => {
  const folder = await temporaryFolder();
  const elsewhere = await startElsewhere(folder);
  elsewhere.interrupt();
  expect(await elsewhere.exited).toBe(0);
  expect(serverPids(elsewhere).map(isAlive)).toEqual([false, false]);
  expect(await readDev(folder)).toBeNull();
  expect(await readFile(join(folder, 'postgres.log'), 'utf8')).toContain('database system is shut down');
});

test('taken ports are named together with the options that would work; nothing is left running', async () => {
  const [taken, free] = [await freePort(), await freePort()];
  const other = createServer().listen(taken, '127.0.0.1');
  onTestFinished(() => {
    other.close();
  });
  const folder = await temporaryFolder();
  const problem = await problemOf(startServices({ ...anyPorts, folder, temporalPort: free, uiPort: taken, postgresPort: taken }));
  expect(problem).toMatchObject({
    type: 'port-taken',
    message: `Port ${taken} (Temporal UI) is taken by another program. Port ${taken} (Postgres) is taken by another program.`,
  });
  expect(problem['remedy']).toMatch(/^Stop that program, or use other ports: --ui-port \d+ --postgres-port \d+$/);
  expect(await readDev(folder)).toBeNull();
  await (await startServices({ ...anyPorts, folder, memory: true })).stop();
});

describe('services elsewhere', () => {
  test('are used as they are: attributes added, nothing started, nothing stopped', async () => {
    const there = await start({ folder: await temporaryFolder(), memory: true });
    vi.stubEnv('TEMPORAL_ADDRESS', there.temporalAddress);
    vi.stubEnv('DATABASE_URL', there.databaseUrl);
    onTestFinished(elsewhereNoMore);
    const here = await start({ folder: await temporaryFolder() });
    expect(here).toMatchObject({ temporalAddress: there.temporalAddress, namespace: 'default', uiUrl: null, databaseUrl: there.databaseUrl, pids: {} });
    await here.stop();
    expect([there.pids.temporal, there.pids.postgres].map((pid) => isAlive(pid ?? 0))).toEqual([true, true]);
  });

  test('that do not answer are named, without the password, and what was begun is stopped', async () => {
    const closed = await freePort();
    onTestFinished(elsewhereNoMore);
    vi.stubEnv('DATABASE_URL', `postgresql://ana:secret@127.0.0.1:${closed}/backout`);
    const folder = await temporaryFolder();
    const database = await problemOf(startServices({ ...anyPorts, folder }));
    expect(database).toMatchObject({ type: 'database-unreachable' });
    expect(database['message']).toContain(`(postgresql://ana@127.0.0.1:${closed}/backout) cannot be reached: connect ECONNREFUSED`);
    expect(await readDev(folder)).toBeNull();
    vi.stubEnv('DATABASE_URL', '');
    vi.stubEnv('TEMPORAL_ADDRESS', `127.0.0.1:${closed}`);
    const temporal = await problemOf(startServices({ ...anyPorts, folder }));
    expect(temporal).toMatchObject({ type: 'temporal-unreachable' });
    expect(temporal['message']).toContain(`Temporal at 127.0.0.1:${closed} cannot be reached`);
  });
});

function elsewhereNoMore(): void {
  vi.stubEnv('TEMPORAL_ADDRESS', '');
  vi.stubEnv('DATABASE_URL', '');
}
