/** `backout tenant`: what provisioning records, and what people read of it, on a real Postgres. */
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { postgres } from '../../activities/provisioning/registry.ts';
import type { RequestCall } from '../../activities/provisioning/provisioning.ts';
import type { Recorded, StoredRequest } from '../../store/provisioning.ts';
import { entry, WEBHOOK, WORKFLOW } from '../provisioning/contract.ts';
import { type TestDatabase, testDatabase } from '../store/database.ts';
import { backout, emptyFolder, NOWHERE, problemOf, type Ran } from './cli.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
}, 60_000);
afterAll(async () => {
  await database.drop();
});

const tenant = (args: readonly string[], cwd?: string): Promise<Ran> =>
  backout(['tenant', ...args], { env: { DATABASE_URL: database.url }, ...(cwd === undefined ? {} : { cwd }) });

async function filed(document: unknown): Promise<{ readonly cwd: string; readonly args: readonly string[] }> {
  const cwd = await emptyFolder();
  await writeFile(join(cwd, 'tenant.json'), typeof document === 'string' ? document : JSON.stringify(document));
  return { cwd, args: ['record', '--environment', 'production', '--file', 'tenant.json'] };
}
async function record(document: unknown, more: readonly string[] = []): Promise<Ran> {
  const { cwd, args } = await filed(document);
  return tenant([...args, ...more], cwd);
}
const done = async <T>(ran: Promise<Ran>): Promise<T> => {
  const { code, stdout, stderr } = await ran;
  expect(code, stdout + stderr).toBe(0);
  return JSON.parse(stdout) as T; // Our own output, compared below.
};

const given = (more: Readonly<Record<string, unknown>> = {}) => ({
  requestId: `req-${randomUUID()}`,
  tenant: `acme-${randomUUID()}`,
  version: '1.4.0',
  status: 'COMPLETED',
  artifacts: [WORKFLOW, WEBHOOK],
  ...more,
});
const callOf = ({ requestId, tenant }: { readonly requestId: string; readonly tenant: string }, rollbackId: string): RequestCall<{ url: string }> => ({
  environment: 'production',
  tenant,
  options: { url: 'env:DATABASE_URL' },
  folder: '/',
  signal: new AbortController().signal,
  secret: () => Promise.resolve(database.url),
  requests: [requestId],
  rollbackId,
  operationId: randomUUID(),
  by: 'ben',
  at: '2026-11-21T10:00:00.000Z',
});

test('each has help with an example, and the options of every command', async () => {
  for (const command of ['tenant', 'tenant record', 'tenant list', 'tenant show']) {
    const { code, stdout } = await backout([...command.split(' '), '--help']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/Examples?:\n\s+\$ backout tenant /);
    expect(stdout).toContain('--json');
  }
  // The file that the help shows is one.
  const { stdout } = await backout(['tenant', 'record', '--help']);
  const shown = JSON.parse(/\{\n[^]*?\n  \}/.exec(stdout)?.[0] ?? '') as object;
  expect(await done<Recorded>(record(shown, ['--json']))).toMatchObject({ did: 'recorded', request: { tenant: 'acme', status: 'COMPLETED' } });
});

test('record brings the tables up, records a request, and the same again changes nothing', async () => {
  const document = given();
  const ran = await record(document);
  expect(ran.stdout).toBe(`recorded request ${document.requestId} of ${document.tenant} in production as COMPLETED: 2 artifacts\n`);
  const again = await done<Recorded>(record({ ...document, artifacts: [WEBHOOK, WORKFLOW] }, ['--json']));
  expect(again).toMatchObject({
    did: 'unchanged',
    added: [],
    changed: [],
    corrected: [],
    request: { requestId: document.requestId, config: { artifacts: [WORKFLOW, WEBHOOK] } },
  });
  expect((await record(document)).stdout).toBe(`unchanged: request ${document.requestId} of ${document.tenant} in production is recorded so already\n`);
  const twice = given();
  const both = await Promise.all([record(twice, ['--json']), record(twice, ['--json'])].map((one) => done<Recorded>(one)));
  expect(both.map((one) => one.did).toSorted()).toEqual(['recorded', 'unchanged']);
});

test('record again replaces the artifacts: what was listed by mistake goes off the list, and who said so stays', async () => {
  const document = given();
  await record(document);
  const assistant = { type: 'vapi-assistant', id: '5f0c' };
  const ran = await record({ ...document, version: '1.4.1', artifacts: [{ ...WORKFLOW, name: 'Intake' }, assistant] }, ['--by', 'carol']);
  expect(ran.stdout.split('\n')).toEqual([
    `changed request ${document.requestId} of ${document.tenant} in production as COMPLETED: 2 artifacts`,
    '  + vapi-assistant 5f0c',
    '  ~ n8n-workflow x7Kq2 (Intake)',
    '  - webhook acme/intake on n8n, off the list; that it was there is kept',
    '',
  ]);
  const shown = await done<{ requests: StoredRequest[] }>(tenant(['show', document.tenant, '--environment', 'production', '--json']));
  expect(shown).toMatchObject({
    requests: [{ version: '1.4.1', config: { artifacts: [{ ...WORKFLOW, name: 'Intake' }, assistant] } }],
    corrections: [{ requestId: document.requestId, artifact: WEBHOOK, by: 'carol' }],
    errorLog: [],
  });
  const { cwd, args } = await filed({ ...document, version: '1.4.1', artifacts: [assistant] });
  expect(problemOf(await backout(['tenant', ...args, '--json'], { cwd, env: { DATABASE_URL: database.url, USER: '' } })).message).toContain('say with --by');
});

test('a file that is wrong is refused, with every place and nothing written', async () => {
  const cases: readonly (readonly [unknown, RegExp])[] = [
    ['{', /^tenant\.json: is no JSON: /],
    [[], /^tenant\.json: the document: /],
    [given({ tenant: '' }), /tenant: is a name of letters/],
    [given({ tenant: 'a\u0000' }), /tenant: is a name of letters/],
    [given({ tenant: 'acme ' }), /tenant: is a name of letters/],
    [given({ status: 'ROLLED_BACK' }), /status: is COMPLETED or FAILED/],
    [given({ surprise: true }), /surprise/],
    [given({ artifacts: [WORKFLOW, { ...WEBHOOK, apiKey: 'hunter2' }] }), /artifacts\.1: .*apiKey/],
    [given({ artifacts: [{ type: 'database', id: 'x' }] }), /artifacts\.0\.type: .*n8n-workflow/],
    [given({ artifacts: [WORKFLOW, { type: WORKFLOW.type, id: WORKFLOW.id }] }), /artifacts\.1: is n8n-workflow x7Kq2 once more, as artifacts\.0/],
    [given({ tenant: '', requestId: '' }), /requestId: is empty\n.*tenant: is a name of letters/],
  ];
  const before = await database.query('SELECT count(*) FROM upa.provisioning_requests');
  for (const [document, message] of cases) {
    const ran = await record(document, ['--json']);
    expect(ran.code).toBe(2);
    expect(problemOf(ran)).toMatchObject({ type: 'configuration', message: expect.stringMatching(message) as string });
    expect(ran.stdout).not.toContain('hunter2');
  }
  const gone = await tenant(['record', '--environment', 'production', '--file', 'nothing.json', '--json']);
  expect([gone.code, problemOf(gone).message]).toEqual([2, 'nothing.json cannot be read']);
  expect((await tenant(['record', '--file', 'x.json'])).code).toBe(2);
  expect(await database.query('SELECT count(*) FROM upa.provisioning_requests')).toEqual(before);
});

test('a request that is another’s, or has another status, or is in a rollback, is a conflict that says what to do', async () => {
  const document = given();
  await record(document);
  const conflict = async (more: object, message: RegExp): Promise<void> => {
    const ran = await record({ ...document, ...more }, ['--json']);
    expect(ran.code).toBe(2);
    expect(problemOf(ran)).toMatchObject({ type: 'conflict', message: expect.stringMatching(message) as string });
  };
  await conflict({ tenant: 'Acme' }, /is tenant acme-.*give this one an id of its own/);
  await conflict({ status: 'FAILED' }, /is COMPLETED and not FAILED.*record a further request/);
  const rollbackId = randomUUID();
  const call = (): RequestCall<{ url: string }> => callOf(document, rollbackId);
  await postgres.begin(call());
  await conflict({}, /is ROLLBACK_IN_PROGRESS and not COMPLETED/);
  await conflict({ requestId: randomUUID() }, /is being rolled back in production .*record a new request when that has ended/);
  await postgres.release(call(), WEBHOOK, 'remove');
  await postgres.fail(call(), entry({ event: 'rollback-failed' }));
  await conflict({ status: 'FAILED' }, /webhook acme\/intake was removed by a rollback; what is provisioned again is of a new request/);
  await conflict({ status: 'FAILED', artifacts: [] }, /an artifact is never dropped/);
  await postgres.confirmCleanup(call());
  await postgres.complete(call(), entry(), [WORKFLOW]);
  await conflict({ status: 'FAILED' }, /is ROLLED_BACK and not FAILED/);
});

test('show tells all of a tenant: what it has, what was removed, what became of it, the error_log', async () => {
  const document = given();
  await record(document);
  const rollbackId = randomUUID();
  const call = (): RequestCall<{ url: string }> => callOf(document, rollbackId);
  await postgres.begin(call());
  await postgres.release(call(), WEBHOOK, 'remove');
  await postgres.fail(call(), entry({ event: 'rollback-failed', removed: [], notRemovable: [], detail: 'n8n \u001B[31manswered 500' }));
  await postgres.confirmCleanup(call());
  await postgres.complete(call(), entry(), [WORKFLOW]);
  const { code, stdout } = await tenant(['show', document.tenant, '--environment', 'production']);
  expect(code).toBe(0);
  expect(stdout.split('\n')).toEqual([
    `${document.tenant} in production`,
    '',
    expect.stringMatching(new RegExp(`^request ${document.requestId} \\(1\\.4\\.0\\): ROLLED_BACK, deprovisioned; recorded 20`)) as string,
    `  rollback  ${rollbackId}`,
    '  cleanup   confirmed by ben 2026-11-21T10:00:00.000Z',
    '  ended     rolled back by ben 2026-11-21T10:00:00.000Z: client offboarded',
    '  has       n8n-workflow x7Kq2 (Acme intake 😀)',
    '  removed   webhook acme/intake on n8n: remove, by ben 2026-11-21T10:00:00.000Z',
    '',
    'error_log',
    '  2026-11-21T10:00:00.000Z rollback-failed by ana: client offboarded',
    '    n8n answered 500',
    '  2026-11-21T10:00:00.000Z rolled-back by ana: client offboarded',
    '    removed n8n-workflow x7Kq2',
    '    not removable credential smtp: credentials are operator-managed (ben)',
    '',
  ]);
  const unknown = await tenant(['show', document.tenant.toUpperCase(), '--environment', 'production', '--json']);
  expect(unknown.code).toBe(2);
  expect(problemOf(unknown)).toMatchObject({ type: 'unknown-name', remedy: expect.stringContaining('backout tenant list --environment production') as string });
});

test('list has every tenant of the environment once, and says where there is none', async () => {
  const { cwd } = await filed({});
  for (const [name, status] of [
    ['zeta', 'COMPLETED'],
    ['Acme', 'FAILED'],
    ['acme', 'COMPLETED'],
    ['acme', 'COMPLETED'],
  ]) {
    await writeFile(join(cwd, 'one.json'), JSON.stringify(given({ tenant: name, status })));
    expect((await tenant(['record', '--environment', 'listed', '--file', 'one.json'], cwd)).code).toBe(0);
  }
  const listed = await done<{ tenants: { tenant: string; requests: unknown[]; artifacts: number }[] }>(tenant(['list', '--environment', 'listed', '--json']));
  expect(listed.tenants.map((one) => [one.tenant, one.requests.length, one.artifacts])).toEqual([
    ['Acme', 1, 2],
    ['acme', 2, 4],
    ['zeta', 1, 2],
  ]);
  const [titles, ...rows] = (await tenant(['list', '--environment', 'listed'])).stdout.trimEnd().split('\n');
  expect(titles).toMatch(/^TENANT +REQUESTS +ARTIFACTS +REMOVED +LAST RECORDED$/);
  expect(rows[1]).toMatch(/^acme +2 COMPLETED +4 +0 +\d+ s ago$/);
  expect((await tenant(['list', '--environment', 'nowhere'])).stdout).toBe('no tenant is recorded in nowhere\n');
  await writeFile(join(cwd, 'backout.yaml'), 'environments: { production: { components: {} } }\n');
  expect((await tenant(['list', '--environment', 'prodution'], cwd)).stderr).toContain('there is no environment prodution in');
});

test('without a database, or with one that nobody has used: exit 6 and 2, the remedy, and no password', async () => {
  const { cwd, args } = await filed(given());
  for (const command of [args, ['list', '--environment', 'production'], ['show', 'acme', '--environment', 'production']]) {
    for (const env of [NOWHERE, {}]) {
      const ran = await backout(['tenant', ...command, '--json'], { cwd, env });
      expect(ran.code).toBe(6);
      expect(problemOf(ran).type).toBe('postgres-unreachable');
      expect(ran.stdout + ran.stderr).not.toContain('secret');
    }
  }
  const unused = await database.another();
  const ran = await backout(['tenant', 'list', '--environment', 'production', '--json'], { env: { DATABASE_URL: unused } });
  expect(ran.code).toBe(2);
  expect(problemOf(ran)).toMatchObject({ type: 'configuration', message: 'this database has no provisioning store yet' });
});
