/** `backout freeze`: what pipelines ask, on a real register; and what they are told where it cannot be read. */
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FREEZE_SCOPES, type Freeze, type FreezeScope } from '../../model/freeze.ts';
import { openStore } from '../../store/postgres.ts';
import type { Store } from '../../store/store.ts';
import { type TestDatabase, testDatabase } from '../store/database.ts';
import { entry } from '../store/given.ts';
import { backout, emptyFolder, NOWHERE, problemOf, type Ran } from './cli.ts';

interface Checked {
  readonly environment: string;
  readonly scope: string | null;
  readonly frozen: boolean;
  readonly freezes: readonly Freeze[];
  readonly allowedBy: string | null;
}

let database: TestDatabase;
let store: Store;
beforeAll(async () => {
  database = await testDatabase();
  store = openStore(database.url);
  await store.migrate();
}, 60_000);
afterAll(async () => {
  await store.close();
  await database.drop();
});

async function frozen(environment: string, incident: string, scopes: readonly FreezeScope[] = FREEZE_SCOPES): Promise<Freeze> {
  const rollbackId = randomUUID();
  const { freeze } = await store.freeze({
    environment,
    incident,
    rollbackId,
    workflowId: `l1Rollback/${environment}/${incident}`,
    by: 'carol',
    at: new Date(Date.now() - 300_000).toISOString(),
    scopes,
    exceptions: { roles: ['incident-commander', 'api-lead'], items: ['rollback', 'incident'] },
    entry: entry(rollbackId, `${rollbackId}/freeze`, { type: 'freeze', environment, incident }),
  });
  return freeze;
}
async function lifted(environment: string, incident: string, scopes: readonly FreezeScope[] = FREEZE_SCOPES): Promise<void> {
  const rollbackId = randomUUID();
  const told = entry(rollbackId, `${rollbackId}/unfreeze`, { type: 'unfreeze', environment, incident });
  await store.unfreeze({ environment, incident, rollbackId, by: 'dan', at: new Date().toISOString(), scopes, entry: told });
}

const freeze = (args: readonly string[], cwd?: string): Promise<Ran> =>
  backout(['freeze', ...args], { env: { DATABASE_URL: database.url }, ...(cwd === undefined ? {} : { cwd }) });
async function checked(args: readonly string[], code: number, cwd?: string): Promise<Checked> {
  const ran = await freeze(['check', ...args, '--json'], cwd);
  expect(ran.code, ran.stdout + ran.stderr).toBe(code);
  return JSON.parse(ran.stdout) as Checked; // Our own output, compared below.
}

/** A folder with a configuration that names two environments and a third one beside them. */
async function configured(): Promise<string> {
  const cwd = await emptyFolder();
  const text = `environments:
  production: { components: {}, freeze: { also: [preview] } }
  staging: { components: {} }
people:
  dan: { roles: [developer, api-lead] }
  eve: { roles: [developer] }
`;
  await writeFile(join(cwd, 'backout.yaml'), text);
  return cwd;
}

test.each(['freeze', 'freeze check', 'freeze list'])('`backout %s --help` has an example, and the options of every command', async (command) => {
  const { code, stdout } = await backout([...command.split(' '), '--help']);
  expect(code).toBe(0);
  expect(stdout).toMatch(/Examples?:\n\s+\$ backout freeze /);
  expect(stdout).toContain('--json');
});

test('nothing is frozen: exit 0', async () => {
  expect(await checked(['--environment', 'calm', '--scope', 'deployments'], 0)).toEqual({
    environment: 'calm',
    scope: 'deployments',
    frozen: false,
    freezes: [],
    allowedBy: null,
  });
  const ran = await freeze(['check', '--environment', 'calm']);
  expect([ran.code, ran.stdout]).toEqual([0, 'not frozen: calm\n']);
});

test('frozen: exit 3, by which incident, since when, by whom, what would be let through, what lifts it', async () => {
  const held = await frozen('told', 'INC-1');
  expect(await checked(['--environment', 'told', '--scope', 'merges'], 3)).toEqual({
    environment: 'told',
    scope: 'merges',
    frozen: true,
    freezes: [held],
    allowedBy: null,
  });
  const { code, stdout } = await freeze(['check', '--environment', 'told', '--scope', 'promotions']);
  expect(code).toBe(3);
  expect(stdout).toBe(
    [
      'frozen: promotions in told',
      '',
      '  by       incident INC-1, declared by carol',
      `  since    ${held.at} (5 min ago)`,
      '  holds    merges, claims, promotions, deployments',
      '  but for  deployments by incident-commander, api-lead (--role, --by); claims of rollback, incident items (--item)',
      '  until    its rollback lifts it: backout show l1Rollback/told/INC-1',
      '',
    ].join('\n'),
  );
  expect(await checked(['--environment', 'told'], 3)).toMatchObject({ scope: null, frozen: true });
});

test('rollback owners may deploy, by their role or by their name, and nothing else', async () => {
  const cwd = await configured();
  await frozen('staging', 'INC-1');
  const deploy = ['--environment', 'staging', '--scope', 'deployments'];
  const why = 'api-lead is a rollback owner and may deploy';
  expect(await checked([...deploy, '--role', 'api-lead'], 0)).toMatchObject({ frozen: false, freezes: [{ incident: 'INC-1' }], allowedBy: why });
  expect(await checked([...deploy, '--by', 'dan'], 0, cwd)).toMatchObject({ frozen: false, allowedBy: why });
  expect((await freeze(['check', ...deploy, '--by', 'dan'], cwd)).stdout).toContain(`let through: deployments in staging; ${why}\n`);
  expect(await checked([...deploy, '--role', 'developer', 'security-lead'], 3)).toMatchObject({ allowedBy: null });
  expect(await checked([...deploy, '--by', 'eve'], 3, cwd)).toMatchObject({ frozen: true });
  expect(await checked(['--environment', 'staging', '--scope', 'merges', '--by', 'dan'], 3, cwd)).toMatchObject({ frozen: true });
  const stranger = await freeze(['check', ...deploy, '--by', 'constructor'], cwd);
  expect(stranger.code).toBe(3);
  expect(stranger.stderr).toContain('constructor is not among the people of');
  // Names have their roles from the file alone.
  expect(problemOf(await freeze(['check', ...deploy, '--by', 'dan', '--json']))).toMatchObject({ type: 'configuration' });
});

test('rollback and incident items may be claimed', async () => {
  await frozen('claimed', 'INC-1');
  const claim = ['--environment', 'claimed', '--scope', 'claims'];
  expect(await checked([...claim, '--item', 'incident'], 0)).toMatchObject({ frozen: false, allowedBy: 'work items of kind incident may be claimed' });
  expect(await checked([...claim, '--item', 'feature'], 3)).toMatchObject({ frozen: true });
  expect(await checked(claim, 3)).toMatchObject({ frozen: true });
});

test('what is lifted is open again, scope by scope, and a second incident keeps holding', async () => {
  await frozen('twice', 'INC-1');
  await frozen('twice', 'INC-2', ['deployments']);
  await lifted('twice', 'INC-1', ['merges']);
  expect(await checked(['--environment', 'twice', '--scope', 'merges'], 0)).toMatchObject({ freezes: [], allowedBy: null });
  expect(await checked(['--environment', 'twice', '--scope', 'claims'], 3)).toMatchObject({ freezes: [{ incident: 'INC-1' }] });
  await lifted('twice', 'INC-1');
  expect(await checked(['--environment', 'twice', '--scope', 'deployments'], 3)).toMatchObject({ freezes: [{ incident: 'INC-2' }] });
  expect(await checked(['--environment', 'twice'], 3)).toMatchObject({ freezes: [{ incident: 'INC-2' }] });
  await lifted('twice', 'INC-2');
  expect(await checked(['--environment', 'twice'], 0)).toMatchObject({ freezes: [] });
});

test('list shows what is in force, and with --all what was', async () => {
  const incident = 'INC-\u001B[31m9';
  await frozen('listed', incident, ['merges', 'deployments']);
  await lifted('listed', incident, ['deployments']);
  await frozen('listed', 'INC-8', ['claims']);
  await lifted('listed', 'INC-8');
  const incidents = async (args: readonly string[]): Promise<string[]> =>
    (JSON.parse((await freeze(['list', '--environment', 'listed', '--json', ...args])).stdout) as { freezes: Freeze[] }).freezes.map((one) => one.incident);
  expect(await incidents([])).toEqual([incident]);
  expect(await incidents(['--all'])).toEqual(['INC-8', incident]);
  const { code, stdout } = await freeze(['list', '--environment', 'listed', '--all']);
  expect(code).toBe(0);
  const [titles, ...rows] = stdout.trimEnd().split('\n');
  expect(titles).toMatch(/^ENVIRONMENT +INCIDENT +FROZEN +SINCE +BY +ROLLBACK$/);
  expect(rows[0]).toMatch(/^listed +INC-8 +lifted by dan \d+ s ago +5 min ago +carol +l1Rollback\/listed\/INC-8$/);
  expect(rows[1]).toMatch(/^listed +INC-9 +merges \(others lifted by dan \d+ s ago\)/);
  expect(stdout).not.toContain('\u001B');
  expect((await freeze(['list', '--environment', 'nowhere'])).stdout).toBe('nothing is frozen in nowhere\n');
});

test('a scope or an environment that is none: exit 2, with those there are', async () => {
  const cwd = await configured();
  const scope = await freeze(['check', '--environment', 'production', '--scope', 'merge', '--json'], cwd);
  expect(scope.code).toBe(2);
  expect(problemOf(scope)).toMatchObject({ type: 'unknown-name', remedy: '--scope is one of merges, claims, promotions, deployments' });
  for (const args of [
    ['check', '--environment', 'prodution'],
    ['list', '--environment', 'prodution'],
  ]) {
    const ran = await freeze([...args, '--json'], cwd);
    expect(ran.code).toBe(2);
    expect(problemOf(ran)).toMatchObject({
      type: 'unknown-name',
      message: expect.stringContaining('no environment "prodution" in') as string,
      remedy: 'it has production, staging, preview',
    });
  }
  expect(await checked(['--environment', 'preview'], 0, cwd)).toMatchObject({ frozen: false });
  expect((await freeze(['check'], cwd)).code).toBe(2);
  // Without a file, and with one that is broken, the register is asked all the same; that the name was not looked up is said.
  expect((await freeze(['check', '--environment', 'prodution'])).stderr).toMatch(/^! without .*backout\.yaml nobody can say/);
  await writeFile(join(cwd, 'backout.yaml'), 'environments: [\n');
  await frozen('production', 'INC-1');
  const broken = await freeze(['check', '--environment', 'production'], cwd);
  expect(broken.code).toBe(3);
  expect(broken.stderr).toContain('backout.yaml:');
});

test('where the register cannot be read nothing is known, and that is no zero: exit 6', async () => {
  const check = ['freeze', 'check', '--environment', 'production', '--scope', 'merges', '--json'];
  const unused = await database.another();
  const cases = [
    [NOWHERE, /^whether production is frozen is not known, since the register cannot be read: Postgres at 127\.0\.0\.1:1\/b/],
    [{}, /not known.*no database is configured/],
    [{ DATABASE_URL: unused }, /not known.*"ops\.freezes" does not exist/],
  ] as const;
  for (const [env, message] of cases) {
    const ran = await backout(check, { env });
    expect(ran.code).toBe(6);
    const problem = problemOf(ran);
    expect(problem.type).toBe('postgres-unreachable');
    expect(problem.message).toMatch(message);
    expect(problem.remedy).toMatch(/^treat it as frozen; /);
    expect(ran.stdout + ran.stderr).not.toContain('secret');
  }
  expect((await backout(['freeze', 'list'], { env: NOWHERE })).code).toBe(6);
  // A pipeline that may read the register and nothing else can ask.
  const role = `pipeline_${randomUUID().slice(0, 8)}`;
  await database.query(
    `CREATE ROLE ${role} LOGIN PASSWORD 'secret'; GRANT USAGE ON SCHEMA ops TO ${role}; GRANT SELECT ON ops.freezes, ops.unfreezes TO ${role}`,
  );
  const url = new URL(database.url);
  url.username = role;
  url.password = 'secret';
  expect((await backout(['freeze', 'check', '--environment', 'calm'], { env: { DATABASE_URL: url.href } })).code).toBe(0);
  await database.query(`REVOKE SELECT ON ops.freezes FROM ${role}`);
  expect((await backout(['freeze', 'check', '--environment', 'calm'], { env: { DATABASE_URL: url.href } })).code).toBe(6);
  await database.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
});
