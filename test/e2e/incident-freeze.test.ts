/**
 * One incident from the freeze to the unfreeze, with everything that people and pipelines do to it in between [001 Freeze Scope, steps 2, 3 and 5]:
 * real releases, a real environment file, a GitHub that holds the freeze and one that refuses.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import type { WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RollbackState } from '../../model/state.ts';
import { layRelease } from '../../client/demo/shop.ts';
import type { MessageReply } from '../../workflows/messages.ts';
import { startFakeGithubRules, type FakeGithubRules } from '../fakes/github-rules-process.ts';
import { declared, GATES, incidentWorld, lines, signRows, stepOf, waitsFor } from '../support/incident.ts';
import { eventually } from '../support/lying-world.ts';
import type { World } from '../support/world.ts';

const CANARIES = { token: 'ghp_canary-7f3a/+=', then: 'canary-password-then', now: 'canary-password-now' };
const ID = 'l1Rollback/production/INC-1';
const SCOPES = ['merges', 'claims', 'promotions', 'deployments'];
const carrier = (name: string, apiUrl: string, token: string): string =>
  `        ${name}: { carrier: github, options: { repository: acme/shop, apiUrl: "${apiUrl}", token: "env:${token}", promotionWorkflows: [promote.yml], environments: [production], rollbackOwners: [{ type: Team, id: 7 }], settleSeconds: 1 } }`;

let github: FakeGithubRules;
let mirror: FakeGithubRules;
let world: World;
let handle: WorkflowHandle;
let shown = '';

const say = (name: string, body: unknown, to = handle): Promise<MessageReply> => to.executeUpdate<MessageReply, [unknown]>(name, { args: [body] });
const decide = (step: string, action: string, more: Record<string, unknown> = {}, to = handle): Promise<MessageReply> =>
  say('decide', { step, by: 'carol', action, reason: 'seen', ...more }, to);
const failed = (step: string): Promise<RollbackState> =>
  world.until(handle, `${step} failed`, (state) => state.state === 'stopped' && stepOf(state, step).state === 'failed');
async function cli(...args: string[]): Promise<{ code: number; stdout: string }> {
  const ran = await world.cli(args);
  shown += ran.stdout + ran.stderr;
  return ran;
}
const record = async (type: string): Promise<Record<string, unknown>[]> =>
  (await world.store.entriesOf((await world.state(handle)).rollbackId))
    .map((one) => JSON.parse(one.body) as Record<string, unknown>) // Our own writer's.
    .filter((one) => one['type'] === type);
const driftsTold = async (): Promise<string[]> => (await world.incidents()).filter((one) => one.notice === 'freeze-drift').map((one) => one.text);
const recoveries = async (): Promise<Record<string, unknown>[]> => (await lines(world, 'stakeholders.log')).filter((one) => one['template'] === 'recovery');
const inForce = async (): Promise<(readonly string[])[]> => (await world.store.freezes({ incident: 'INC-1', inForceOnly: true })).map((one) => one.inForce);
const envOf = (password: string, limit: number): string => `# of the shop\nRATE_LIMIT=${limit}\nPASSWORD=${password}\n`;

beforeAll(async () => {
  [github, mirror] = await Promise.all([startFakeGithubRules({ token: CANARIES.token }), startFakeGithubRules({ token: CANARIES.token })]);
  await mirror.control({ permissions: { administration: 'read', actions: 'write', variables: 'write' } });
  world = await incidentWorld({
    components: ['api', 'web', 'admin'],
    component: {
      api: ['settleSeconds: 3'],
      web: [
        'settleSeconds: 3',
        'after: [api]',
        'config: [{ source: env-file, options: { path: ./web.env, plain: [RATE_LIMIT] } }]',
        'facts: { migrations: { command: [cat, web.migrations] }, cutover: { command: [cat, web.cutover] } }',
        'openapi: { url: "http://127.0.0.1:PORT/openapi.json", critical: ["GET /checkout"] }',
      ],
      admin: ['settleSeconds: 0.5'],
    },
    environment: [
      ...GATES,
      '    freeze:',
      '      also: [staging]',
      '      carriers:',
      carrier('github', github.url, 'TOKEN'),
      carrier('mirror', mirror.url, 'TOKEN'),
    ],
    world: { env: { TOKEN: CANARIES.token } },
  });
  await writeFile(world.config, (await readFile(world.config, 'utf8')).replace('PORT', String(world.ports['web'])));
  await layRelease(world.folder, 'web', { version: 'v1.2.0', broken: true });
  await Promise.all([world.worker(), world.badRelease('api'), world.recorded('admin', 'v1.0.0', true)]);
  const good = await world.release('web', 'v1.0.0', false);
  for (const [name, text] of Object.entries({ env: envOf(CANARIES.then, 10), migrations: '41\n', cutover: 'offset 7\n' }))
    await writeFile(join(world.folder, `web.${name}`), text);
  const verified = await cli('deployment', 'verify', good);
  if (verified.code !== 0) throw new Error(`v1.0.0 of web could not be verified: ${verified.stdout}`);
  await Promise.all([world.release('web', 'v1.1.0', false), world.release('admin', 'v1.1.0', false)]);
  for (const [name, text] of Object.entries({ env: envOf(CANARIES.now, 99), migrations: '42\n', cutover: 'offset 9\n' }))
    await writeFile(join(world.folder, `web.${name}`), text);
  // Slow to start, so that there is time for things to happen.
  await layRelease(world.folder, 'api', { version: 'v1.0.0', startMs: 2_000 });
}, 120_000);
afterAll(async () => {
  await world.close();
  await Promise.all([github.stop(), mirror.stop()]);
});

describe('an incident', () => {
  it('[001 Freeze Scope] freezes the register and the platforms; one that cannot be frozen is decided about, and stays a known rest', async () => {
    handle = await declared(world, { components: ['api', 'web'], incident: 'INC-1' });
    const state = await failed('freeze.mirror');
    expect(stepOf(state, 'freeze.mirror').failure).toMatchObject({ type: 'Unauthorized', retryable: false });
    expect((await world.store.freezes({ incident: 'INC-1' })).map((one) => `${one.environment}: ${one.inForce.join(', ')}`).toSorted()).toEqual([
      `production: ${SCOPES.join(', ')}`,
      `staging: ${SCOPES.join(', ')}`,
    ]);
    const [register] = await world.store.freezes({ incident: 'INC-1' });
    expect(register?.exceptions).toEqual({ roles: ['incident-commander', 'api-lead', 'infrastructure-lead'], items: ['rollback', 'incident'] });
    expect(await github.rulesOn('main')).toHaveLength(1);
    const { workflows, environments } = await github.state();
    expect([workflows['promote.yml'], environments['production']?.reviewers]).toEqual(['disabled_manually', [{ type: 'Team', id: 7 }]]);
    expect((await decide('freeze.mirror', 'skip')).refusal?.rule).toBe('accepted-risk');
    expect(await decide('freeze.mirror', 'skip', { due: '2099-12-01' })).toMatchObject({ accepted: true });
    await waitsFor(world, handle, 'target');
    expect((await cli('freeze', 'check', '--environment', 'production', '--scope', 'merges')).code).toBe(3);
  });

  it('[001 step 2] shows now and then, secrets by their fingerprints; a release meanwhile makes another plan, and the old word is void', async () => {
    const before = await world.state(handle);
    const rows = Object.fromEntries((before.targets.find((one) => one.component === 'web')?.comparison ?? []).map((one) => [one.what, [one.now, one.then]]));
    expect(rows).toMatchObject({ migrations: ['42', '41'], cutover: [null, 'offset 7'], 'config RATE_LIMIT': ['99', '10'], commit: ['0123abc', '0123abc'] });
    const [now, then] = rows['config PASSWORD'] ?? [];
    expect([now, then].every((one) => /^fingerprint:[0-9a-f]{12}$/.test(one ?? ''))).toBe(true);
    expect(now).not.toBe(then);
    expect(stepOf(before, 'identify').receipt?.after).toMatchObject({ now: { web: { cutover: 'offset 9' } } });
    expect(before.warnings).toContain(
      'web: the migrations are at 42, and were at 41 with v1.0.0; level 1 leaves the schema as it is, level 2 undoes what was recorded',
    );
    await say('confirm', { step: 'target', by: 'carol', plan: before.planHash });
    await world.until(handle, 'the api is put back', (state) => stepOf(state, 'api.deploy').state === 'running');
    await world.deploy('web', 'v1.2.0');
    const again = await world.until(handle, 'asked again', (state) => state.planHash !== before.planHash && stepOf(state, 'target').state === 'waiting');
    expect(again.targets.map((one) => [one.component, one.from])).toEqual([
      ['api', 'v1.1.0'],
      ['web', 'v1.2.0'],
    ]);
    expect(await world.serves('web')).toBe('v1.2.0');
    expect((await say('confirm', { step: 'target', by: 'carol', plan: before.planHash })).refusal?.rule).toBe('stale-plan');
    await say('confirm', { step: 'target', by: 'carol', plan: again.planHash });
  });

  it('[001 steps 3a, 3b] sets configuration back and reads it again, then the code, in the declared order', async () => {
    const state = await waitsFor(world, handle, 'ownership');
    expect(await readFile(join(world.folder, 'web.env'), 'utf8')).toBe(envOf(CANARIES.then, 10));
    // Set back before the code, once, by the first plan.
    const [set] = (await record('step')).filter((one) => one['step'] === 'web.config');
    expect(set).toMatchObject({ state: 'done', receipt: { after: 'as it was recorded' } });
    const [api, web] = [await world.ownEffects('api'), await world.ownEffects('web')] as unknown as { at: string; to: string }[][]; // The ledger has the time, too.
    expect([api?.map((one) => one.to), web?.map((one) => one.to)]).toEqual([['v1.0.0'], ['v1.0.0']]);
    expect(api![0]!.at < web![0]!.at).toBe(true);
    expect(String(set?.['at']) < api![0]!.at).toBe(true);
    expect(stepOf(state, 'parity')).toMatchObject({ state: 'done', receipt: { after: { web: { against: 'what was recorded of v1.0.0' } } } });
  });

  it('[001 step 5] hears of the bad version and of a freeze lifted by hand while people sign, goes no further, and puts both back', async () => {
    await world.deploy('web', 'v1.1.0');
    await eventually('the sweep tells of the release', async () => (await driftsTold()).length === 1);
    await github.control({ rulesets: [] });
    await eventually('the sweep tells of the freeze', async () => (await driftsTold()).length === 2);
    expect(await driftsTold()).toEqual([
      'production is frozen for INC-1, and web was put back to v1.0.0, and releases has v1.1.0 in place',
      expect.stringMatching(/^production is frozen for INC-1, and the freeze was lifted by hand on github: .*rollback-freeze/),
    ]);
    expect(await record('freeze-drift')).toHaveLength(2);
    await signRows(handle);
    const drifted = await failed('web.deploy');
    expect(stepOf(drifted, 'web.deploy').failure).toMatchObject({
      type: 'Drifted',
      message: 'web was put back to v1.0.0, and now releases has v1.1.0 in place',
    });
    expect(drifted.steps.filter((step) => step.mode === 'gate').map((step) => step.state)).not.toContain('done');
    expect(stepOf(drifted, 'ownership').state).toBe('confirmed');
    await decide('web.deploy', 'retry', { by: 'abe' });
    const unfrozen = await failed('freeze.github');
    expect(stepOf(unfrozen, 'freeze.github').failure?.message).toMatch(/^github is not frozen any more: /);
    expect(await world.serves('web')).toBe('v1.0.0');
    await decide('freeze.github', 'retry');
    const state = await waitsFor(world, handle, 'unfreeze');
    expect(await github.rulesOn('main')).toHaveLength(1);
    expect(state.incidentCommand?.conditions.every((one) => one.met)).toBe(true);
    expect((await record('drift')).map((one) => one['component'] ?? one['carrier'])).toEqual(['web', 'github']);
    expect(await driftsTold()).toHaveLength(2);
  });

  it('[001 step 5, Template C] unfreezes what was chosen, says so, and asks about the rest', async () => {
    const unfreeze = { step: 'unfreeze', by: 'carol' };
    expect((await say('confirm', { ...unfreeze, data: { scopes: ['everything'] } })).refusal?.rule).toBe('choice');
    await say('confirm', { ...unfreeze, data: { scopes: ['merges', 'claims'] } });
    const rest = ['promotions', 'deployments'];
    await world.until(handle, 'asked about the rest', (state) => state.incidentCommand?.frozen.length === 2 && stepOf(state, 'unfreeze').state === 'waiting');
    expect(await inForce()).toEqual([rest, rest]);
    expect(await github.rulesOn('main')).toEqual([]);
    expect((await github.state()).environments['production']?.reviewers).toEqual([{ type: 'Team', id: 7 }]);
    expect((await recoveries())[0]?.['body']).toMatch(/^Unfreeze scope:\n- feature merges\n- claims of implementation work\nPost-incident/m);
    expect((await recoveries())[0]?.['body']).toMatch(/^- mirror holds the freeze: .*2099-12-01/m);
    const check = async (scope: string): Promise<number> => (await cli('freeze', 'check', '--environment', 'production', '--scope', scope)).code;
    expect([await check('merges'), await check('promotions'), await check('deployments')]).toEqual([0, 3, 3]);
  });

  it('[001 step 5] looks again before it says that it is over, and again before it lifts', async () => {
    await world.deploy('web', 'v1.1.0');
    await say('confirm', { step: 'unfreeze', by: 'carol' });
    await failed('web.deploy');
    expect(await recoveries()).toHaveLength(1);
    expect(await inForce()).toHaveLength(2);
    await decide('web.deploy', 'retry');
    await waitsFor(world, handle, 'unfreeze');
    // While the platform takes its time to lift, the bad version comes once more.
    await github.control({ faults: [{ method: 'PUT', path: 'environments/production', delayMs: 2_500 }] });
    await say('confirm', { step: 'unfreeze', by: 'carol' });
    await world.until(handle, 'lifting', (state) => stepOf(state, 'lift.github').state === 'running');
    await world.deploy('web', 'v1.1.0');
    const state = await failed('web.deploy');
    expect(stepOf(state, 'lift').state).toBe('pending');
    expect(await inForce()).toHaveLength(2);
    await decide('web.deploy', 'retry');
    await waitsFor(world, handle, 'unfreeze');
    expect((await github.state()).environments['production']?.reviewers).toEqual([{ type: 'Team', id: 7 }]);
    await say('confirm', { step: 'unfreeze', by: 'carol' });
    expect(await world.closed(handle)).toMatchObject({ outcome: 'rolled-back', incidentCommand: { frozen: [] } });
    expect(await inForce()).toEqual([]);
    // Each word of recovery is a message of its own.
    expect(new Set((await recoveries()).map((one) => one['id'])).size).toBe(3);
    const { workflows, environments } = await github.state();
    expect([workflows['promote.yml'], environments['production']?.reviewers]).toEqual(['active', [{ type: 'User', id: 31 }]]);
    expect(await world.serves('web')).toBe('v1.0.0');
  });

  it('leaves no secret anywhere', async () => {
    for (const args of [
      ['show', ID, '--json'],
      ['why', ID],
      ['report', ID],
      ['report', ID, '--format', 'json'],
      ['freeze', 'list'],
      ['list', '--json'],
    ])
      await cli(...args);
    const audit = await cli('audit', ID);
    expect(audit, audit.stdout).toMatchObject({ code: 0 });
    let chain = '';
    for await (const entry of world.store.chain()) chain += entry.body;
    const logs = await Promise.all(
      ['worker.log', 'incidents.log', 'stakeholders.log', 'internal.log', 'status.log'].map((name) => readFile(join(world.folder, name), 'utf8')),
    );
    const everywhere = { history: historyToJSON(await handle.fetchHistory()), chain, shown, logs: logs.join('\n') };
    const decoded = everywhere.history.replaceAll(/"data": "([A-Za-z0-9+/=]+)"/g, (_, data: string) => Buffer.from(data, 'base64').toString('utf8'));
    expect(decoded).toContain('config PASSWORD');
    expect(chain).toContain('config PASSWORD');
    for (const [place, text] of Object.entries({ ...everywhere, decoded }))
      for (const canary of Object.values(CANARIES)) expect(text.includes(canary), `${canary} in ${place}`).toBe(false);
  });
});

describe('a component that is left out', () => {
  it('[001 step 5] leaves the target unstable: nothing is unfrozen, and the rollback ends partial', async () => {
    await layRelease(world.folder, 'admin', { version: 'v1.0.0', crashes: true });
    await mirror.control({ permissions: { administration: 'write', actions: 'write', variables: 'write' } });
    handle = await declared(world, { components: ['admin'], incident: 'INC-2' });
    await say('confirm', { step: 'target', by: 'carol', plan: (await waitsFor(world, handle, 'target')).planHash });
    await failed('admin.deploy');
    expect((await decide('admin.deploy', 'skip')).refusal?.rule).toBe('accepted-risk');
    await decide('admin.deploy', 'skip', { due: '2099-12-01' });
    await world.until(handle, 'the gates are red', (state) => ['smoke', 'served'].every((id) => stepOf(state, id).state === 'failed'));
    for (const gate of ['smoke', 'served']) await decide(gate, 'skip', { by: 'abe', due: '2099-12-01' });
    await waitsFor(world, handle, 'ownership');
    await signRows(handle);
    await waitsFor(world, handle, 'unfreeze');
    expect((await say('confirm', { step: 'unfreeze', by: 'carol' })).refusal).toMatchObject({
      rule: 'unfreeze-conditions',
      source: '[001 step 5]',
      explanation: expect.stringMatching(
        /^nothing is unfrozen yet: "rollback target is stable" is not met \(admin\.deploy is skipped\)\. .*close it/,
      ) as string,
    });
    await say('stop', { by: 'carol', reason: 'no other way' });
    await say('decide', { action: 'close', by: 'carol', reason: 'v1.0.0 does not start' });
    const end = await world.closed(handle);
    expect(end).toMatchObject({ outcome: 'partial', incidentCommand: { frozen: SCOPES } });
    expect(end.remains.map((one) => one.artifact)).toEqual(['admin.deploy', ...SCOPES.map((scope) => `freeze of ${scope} in production`)]);
    expect(await world.store.freezes({ incident: 'INC-2', inForceOnly: true })).toHaveLength(2);
  });

  it('[001 Freeze Scope] keeps its platforms frozen when another incident that shares them is over', async () => {
    handle = await declared(world, { components: ['web'], incident: 'INC-3' });
    await say('confirm', { step: 'target', by: 'carol', plan: (await waitsFor(world, handle, 'target')).planHash });
    expect(stepOf(await waitsFor(world, handle, 'ownership'), 'web.deploy').state).toBe('already');
    await signRows(handle);
    await waitsFor(world, handle, 'unfreeze');
    await say('confirm', { step: 'unfreeze', by: 'carol' });
    const end = await world.closed(handle);
    expect(end).toMatchObject({ outcome: 'rolled-back', incidentCommand: { frozen: [] } });
    expect(stepOf(end, 'lift.github').receipt?.detail).toBe('left frozen: INC-2 in production needs it too, and lifts it with its own unfreeze');
    expect(await github.rulesOn('main')).toHaveLength(1);
    expect((await world.store.freezes({ inForceOnly: true })).map((one) => one.incident)).toEqual(['INC-2', 'INC-2']);
  });
});
