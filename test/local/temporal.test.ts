import { Connection, WorkflowClient } from '@temporalio/client';
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { findTemporal } from '../../client/local/find-temporal.ts';
import { freePort } from '../../client/local/ports.ts';
import { registerSearchAttributes, SEARCH_ATTRIBUTES } from '../../client/local/search-attributes.ts';
import { startTemporal } from '../../client/local/temporal.ts';
import { problemOf, temporaryFolder } from './support/local.ts';

vi.setConfig({ testTimeout: 60_000 });
const progress = (): undefined => undefined;
/** No download, on a machine with a network either. */
const offline = { HTTPS_PROXY: 'http://127.0.0.1:9', HTTP_PROXY: 'http://127.0.0.1:9', NO_PROXY: '' };

async function script(folder: string, name: string, body: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, name), `#!/bin/sh\n${body}\n`);
  await chmod(join(folder, name), 0o755);
}

/** A `go` that "builds" in no time. */
const quickGo = (version: string): string =>
  `[ "$1" = version ] && exit 0\nprintf '#!/bin/sh\\necho "temporal version 1.5.1 (Server ${version}, UI 2.42.1)"\\n' > "$GOBIN/temporal" && /bin/chmod 755 "$GOBIN/temporal"`;

test('with nothing at hand, one error says what was tried and what to do, soon', async () => {
  const cache = await temporaryFolder();
  const began = Date.now();
  const problem = await problemOf(findTemporal({ progress, env: { ...offline, PATH: '', XDG_CACHE_HOME: cache } }));
  expect(problem['type']).toBe('temporal-missing');
  expect(problem['message']).toMatch(
    new RegExp(
      "^No Temporal server was found or could be provided\\. Tried: `temporal` on the PATH \\(none\\); the SDK's own download \\(.+\\); " +
        '`go install github.com/temporalio/cli/cmd/temporal@v1\\.5\\.1` \\(no `go` on the PATH\\)\\.$',
    ),
  );
  for (const way of ['install the `temporal` command', 'install Go 1.25', 'temporal.download', 'proxy.golang.org', 'TEMPORAL_ADDRESS'])
    expect(problem['remedy']).toContain(way);
  expect(Date.now() - began).toBeLessThan(15_000);
});

test('a build that fails is told in one line', async () => {
  const folder = await temporaryFolder();
  await script(join(folder, 'bin'), 'go', '[ "$1" = version ] && exit 0\necho "go: dial tcp: lookup proxy.golang.org: no such host" >&2; exit 1');
  const problem = await problemOf(findTemporal({ progress, env: { ...offline, PATH: join(folder, 'bin'), XDG_CACHE_HOME: folder } }));
  expect(problem['message']).toContain('(go: dial tcp: lookup proxy.golang.org: no such host, ended with code 1)');
});

test('a `temporal` on the PATH comes first, except one that is too old or something else', async () => {
  const folder = await temporaryFolder();
  const [old, other, good] = ['old', 'other', 'good'].map((name) => join(folder, name));
  await script(old ?? '', 'temporal', 'echo "temporal version 1.0.0 (Server 1.24.2, UI 2.28.0)"');
  await script(other ?? '', 'temporal', 'echo "a calendar"');
  await script(good ?? '', 'temporal', 'echo "temporal version 1.6.0 (Server 1.31.0, UI 2.45.0)"');
  const env = { ...offline, XDG_CACHE_HOME: folder };
  expect(await findTemporal({ progress, env: { ...env, PATH: `${old}:${other}:${good}` } })).toEqual({ path: join(good ?? '', 'temporal'), from: 'path' });
  const problem = await problemOf(findTemporal({ progress, env: { ...env, PATH: `${old}:${other}` } }));
  expect(problem['message']).toContain('old/temporal (server 1.24, needs 1.29 or later)');
  expect(problem['message']).toContain('other/temporal (`--version` names no Temporal server)');
});

test('it is built once, by two processes at once too, and then taken from the cache', async () => {
  const folder = await temporaryFolder();
  await script(join(folder, 'bin'), 'go', quickGo('1.29.1'));
  const told: string[] = [];
  const find = (): ReturnType<typeof findTemporal> =>
    findTemporal({ progress: (line) => told.push(line), env: { ...offline, PATH: join(folder, 'bin'), XDG_CACHE_HOME: folder } });
  const path = join(folder, 'backout', 'temporal-1.5.1', 'temporal');
  expect(await Promise.all([find(), find()])).toEqual([
    { path, from: 'build' },
    { path, from: 'build' },
  ]);
  expect(told[0]).toContain('building the Temporal server once, about 3 minutes');
  expect(await find()).toEqual({ path, from: 'cache' });
  expect(await readdir(join(folder, 'backout', 'temporal-1.5.1'))).toEqual(['temporal']);
});

test('a build under way can be given up', async () => {
  const folder = await temporaryFolder();
  await script(join(folder, 'bin'), 'go', '[ "$1" = version ] && exit 0\nexec /bin/sleep 60');
  const stop = new AbortController();
  const found = findTemporal({ progress: () => stop.abort(), env: { ...offline, PATH: join(folder, 'bin'), XDG_CACHE_HOME: folder }, signal: stop.signal });
  expect(await problemOf(found)).toMatchObject({ name: 'AbortError' });
});

test('a server has the search attributes from its start; to another they are added once, and rollbacks can use them at once', async () => {
  const { path } = await findTemporal({ progress });
  const server = await startTemporal({ path, folder: await temporaryFolder(), port: 0, uiPort: 0, memory: true, headless: true });
  onTestFinished(async () => {
    await server.stop();
  });
  expect(server.uiUrl).toBeNull();
  const connection = await Connection.connect({ address: server.address });
  onTestFinished(async () => {
    await connection.close();
  });
  expect(await registerSearchAttributes(connection, 'default')).toEqual([]);

  const { config } = await connection.workflowService.describeNamespace({ namespace: 'default' });
  await connection.workflowService.registerNamespace({ namespace: 'other', workflowExecutionRetentionPeriod: config?.workflowExecutionRetentionTtl ?? null });
  await vi.waitFor(
    async () => {
      await connection.workflowService.describeNamespace({ namespace: 'other' });
    },
    { timeout: 10_000 },
  );
  const added = await vi.waitFor(async () => registerSearchAttributes(connection, 'other'), { timeout: 20_000, interval: 200 });
  expect(added.toSorted()).toEqual(Object.keys(SEARCH_ATTRIBUTES).toSorted());
  expect(await registerSearchAttributes(connection, 'other')).toEqual([]);
  const client = new WorkflowClient({ connection, namespace: 'other' });
  await client.start('nobodyRunsThis', {
    workflowId: 'one',
    taskQueue: 'none',
    searchAttributes: { RollbackKind: ['deployRevert'], RollbackComponents: ['web', 'api'] },
  });
  expect(await client.count('RollbackKind = "deployRevert" AND RollbackComponents = "api"')).toMatchObject({ count: 1 });
});

test('an attribute that is there with another type is refused, with what to run', async () => {
  const connection = { operatorService: { listSearchAttributes: () => Promise.resolve({ customAttributes: { RollbackKind: 1 } }) } };
  // @ts-expect-error: only what is called here.
  const problem = await problemOf(registerSearchAttributes(connection, 'prod'));
  expect(problem).toMatchObject({
    type: 'search-attributes',
    message: 'The search attributes RollbackKind could not be added to the namespace prod: they are there with another type.',
    remedy: 'Ask an administrator of that server to run: temporal operator search-attribute create --namespace prod --name RollbackKind --type Keyword',
  });
});

test('a taken port is named, with its option', async () => {
  const taken = await freePort();
  const other = createServer().listen(taken, '127.0.0.1');
  onTestFinished(() => {
    other.close();
  });
  const problem = await problemOf(startTemporal({ path: 'temporal', folder: await temporaryFolder(), port: taken, uiPort: 0 }));
  expect(problem).toMatchObject({ type: 'port-taken', message: `Port ${taken} (Temporal) is taken by another program.` });
  expect(problem['remedy']).toMatch(/^Stop that program, or use another port: --temporal-port \d+$/);
});

test('a server that ends at once is told with its last words', async () => {
  const folder = await temporaryFolder();
  await script(folder, 'temporal', 'echo "no space left on device" >&2; exit 3');
  const problem = await problemOf(startTemporal({ path: join(folder, 'temporal'), folder, port: 0, uiPort: 0 }));
  expect(problem).toMatchObject({
    type: 'temporal-failed',
    message: 'The Temporal server did not start: it ended with code 3.\nno space left on device',
    remedy: `Its log is ${join(folder, 'temporal.log')}.`,
  });
});
