/** What goes wrong, or is tried on purpose, while a tenant is taken back: whatever happens, nobody else's workflow is touched [000 Invariants]. */
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { MadeWorkflow } from '../../client/demo/house.ts';
import type { Artifact } from '../../model/tenant.ts';
import { eventually } from '../support/lying-world.ts';
import { artifactsOf, expectRolledBack, stepOf, Tenants, workflowStep } from '../support/tenants.ts';

/** The way to a server that may be gone for a while: whoever comes then is refused the connection. */
class Way {
  private readonly sockets = new Set<Socket>();
  private server: Server | null = null;
  private port = 0;
  private readonly to: URL;
  private constructor(to: string) {
    this.to = new URL(to);
  }
  static async to(address: string): Promise<Way> {
    const way = new Way(address);
    await way.open();
    return way;
  }
  get url(): string {
    const url = new URL(this.to);
    url.hostname = '127.0.0.1';
    url.port = String(this.port);
    return url.href.replace(/\/$/, '');
  }
  async open(): Promise<void> {
    this.server = createServer((client) => {
      const upstream = connect(Number(this.to.port), this.to.hostname);
      for (const [one, other] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        this.sockets.add(one);
        one.on('error', () => other.destroy()).on('close', () => other.destroy());
        one.pipe(other);
      }
    }).listen(this.port, '127.0.0.1');
    await once(this.server, 'listening');
    const address = this.server.address();
    this.port = typeof address === 'object' && address !== null ? address.port : 0;
  }
  close(): void {
    for (const socket of this.sockets) socket.destroy();
    this.sockets.clear();
    this.server?.close();
  }
}

let house: Tenants;
let [toStore, toN8n]: Way[] = [];
const ways = (): { store: Way; n8n: Way } => {
  if (!toStore || !toN8n) throw new Error('no way');
  return { store: toStore, n8n: toN8n };
};
/** The key of the environment `locked`. */
const key = (value: string): Promise<void> => writeFile(join(house.world.folder, 'n8n.key'), value);
/** Everything that a tenant who leaves in this file has. */
const leaving = new Set<string>();
let others: MadeWorkflow[] = [];
beforeAll(async () => {
  house = await Tenants.create({
    worker: false,
    environments: [
      '  staging:',
      '    tenants:',
      '      provisioning: { store: postgres, options: { url: "env:UPA_URL" } }',
      '      platforms: { n8n: { platform: n8n, options: { url: "http://127.0.0.1:1", apiKey: "env:N8N_API_KEY" } } }',
      '  locked:',
      '    tenants: { platforms: { n8n: { platform: n8n, options: { url: "http://127.0.0.1:2", apiKey: "file:./n8n.key" } } } }',
    ],
  });
  await key('fake-key');
  await house.replaceInConfig('http://127.0.0.1:2', house.n8n.url);
  [toStore, toN8n] = [await Way.to(house.world.services.databaseUrl), await Way.to(house.n8n.url)];
  await house.replaceInConfig('http://127.0.0.1:1', toN8n.url);
  await house.world.worker({ UPA_URL: toStore.url });
  others = [
    ...(await house.tenant('globex')).workflows,
    await house.workflow('globex', 'victim intake 1', 'template/intake', ['template']),
    await house.workflow('globex', 'show room', 'demo/intake', ['demo', 'tenant:globex']),
  ];
});
afterAll(async () => {
  toStore?.close();
  toN8n?.close();
  await house.close();
});
/** The other tenants, the template and the demo instance work on, and Backout's key has changed nothing that was not leaving. */
async function expectOthersWork(): Promise<void> {
  for (const { path } of others) expect(await house.answers(path), path).toBe(200);
  expect((await house.n8n.effects()).filter(({ workflowId }) => !leaving.has(workflowId))).toEqual([]);
  expect((await house.requests('globex'))[0]).toMatchObject({ status: 'COMPLETED', rollbackId: null, config: { removed: [] } });
}
afterEach(expectOthersWork);

async function two(tenant: string, more: readonly Artifact[] = [], environment = 'production') {
  const workflows = [
    await house.workflow(tenant, `${tenant} intake 1`, `${tenant}/intake-1`),
    await house.workflow(tenant, `${tenant} intake 2`, `${tenant}/intake-2`),
  ];
  for (const { id } of workflows) leaving.add(id);
  const requestId = await house.provisioned(tenant, [...workflows.flatMap(artifactsOf), ...more], { environment });
  const [first, second] = workflows;
  if (!first || !second) throw new Error('no workflows');
  return { requestId, first, second, paths: [first.path, second.path] as const };
}
/** Both are said before either is carried out. */
async function deleteTogether(handle: WorkflowHandle, ...workflows: readonly MadeWorkflow[]): Promise<void> {
  await house.tell(handle, 'stop', { reason: 'one moment' });
  for (const one of workflows) await house.tell(handle, 'confirm', { step: workflowStep(one), choice: 'delete' });
  await house.tell(handle, 'resume', { reason: 'go on' });
}
/** A trigger, a constraint or a missing grant has said no. */
const REFUSED = /^(55000|23\d\d\d|42501)$/;
/** Some activity of it is at its third attempt. */
const isTryingAgain = async (handle: WorkflowHandle): Promise<boolean> =>
  (await handle.describe()).raw.pendingActivities?.some(({ attempt }) => (attempt ?? 0) >= 3) ?? false;

describe.concurrent('a platform', () => {
  it('[000 Rollback is NOT triggered by] that is away for a while is waited for: nothing has failed, and it goes on by itself', async () => {
    const { first, second, paths } = await two('away', [], 'staging');
    const handle = await house.begun('away', { environment: 'staging' });
    await house.asked(handle, workflowStep(first));
    ways().n8n.close();
    await deleteTogether(handle, first, second);
    await eventually('tried again', () => isTryingAgain(handle));
    expect((await house.world.state(handle)).state).toBe('running');
    expect(await house.requestOf('away', 'staging')).toMatchObject({ status: 'ROLLBACK_IN_PROGRESS' });
    // By now it is there, and busy.
    await house.n8n.control({ faults: [first, second].map(({ id }) => ({ path: `/workflows/${id}`, answer: { status: 503 } })) });
    await house.n8n.control({ faults: paths.map((path) => ({ path: `/webhook/${path}`, method: 'OPTIONS', times: 2, answer: { status: 502 } })) });
    await ways().n8n.open();
    await expectRolledBack(house, 'away', await house.finish(handle), paths, 'staging');
    expect(await house.events('away', 'staging')).toEqual(['rolled-back']);
    expect((await house.effectsOn(first, second)).toSorted()).toEqual(['delete 1', 'delete 2', 'unpublish 1', 'unpublish 2']);
  });

  it('that takes the key no longer fails what it fails: one word goes on with all of it when the key is back', async () => {
    const environment = 'locked';
    const { first, second, paths } = await two('keyless', [], environment);
    /** Without the key it cannot be begun. */
    async function refused(): Promise<WorkflowHandle> {
      await key('fake-key');
      const started = await house.start('keyless', { environment });
      const { planHash } = await house.asked(started, 'inventory');
      await key('no-key');
      await house.tell(started, 'confirm', { step: 'inventory', plan: planHash });
      await house.inState(started, 'begin', ['failed']);
      return started;
    }
    // Closed then, nothing of the request has failed, and nobody says so.
    const given = await refused();
    await house.decide(given, 'close');
    expect(await house.world.closed(given)).toMatchObject({ outcome: 'partial', deprovision: { status: null } });
    const handle = await refused();
    expect(await house.requestOf('keyless', environment)).toMatchObject({ status: 'COMPLETED' });
    expect(await house.log('keyless', environment)).toEqual([]);
    await key('fake-key');
    expect(await house.decide(handle, 'retry', 'all')).toMatchObject({ accepted: true });
    await house.asked(handle, workflowStep(first));
    await key('no-key');
    await deleteTogether(handle, first, second);
    const state = await house.failed(handle, 'keyless', 1, environment);
    for (const one of [first, second]) expect(stepOf(state, workflowStep(one))).toMatchObject({ state: 'failed', failure: { type: 'Unauthorized' } });
    expect(await house.log('keyless', environment)).toMatchObject([{ event: 'rollback-failed', detail: expect.stringMatching(/401.*401/s) as string }]);
    expect(await house.requestOf('keyless', environment)).toMatchObject({ status: 'FAILED' });
    expect(await house.effectsOn(first, second)).toEqual([]);
    await key('fake-key');
    expect(await house.decide(handle, 'retry', 'all')).toMatchObject({ accepted: true });
    await expectRolledBack(house, 'keyless', await house.finish(handle), paths, environment);
    expect(await house.events('keyless', environment)).toEqual(['rollback-failed', 'rolled-back']);
  });

  it('that says 500 or nothing and has done it all the same has done it once', async () => {
    const { first, second, paths } = await two('half-said');
    const handle = await house.begun('half-said');
    await house.asked(handle, workflowStep(first));
    await house.n8n.control({
      faults: [
        { method: 'DELETE', path: first.id, after: true, answer: { status: 500 } },
        { method: 'POST', path: `${second.id}/unpublish`, after: true, answer: { status: 500 } },
        { method: 'DELETE', path: second.id, after: true, answer: 'reset' },
      ],
    });
    const end = await house.finish(handle);
    await expectRolledBack(house, 'half-said', end, paths);
    expect(stepOf(end, workflowStep(first)).state).toBe('done');
    expect(stepOf(end, workflowStep(second)).state).toBe('done');
    expect(await house.events('half-said')).toEqual(['rolled-back']);
    expect((await house.effectsOn(first, second)).toSorted()).toEqual(['delete 1', 'delete 2', 'unpublish 1', 'unpublish 2']);
  });

  it('that answers with something else is not believed: nothing is taken for gone', async () => {
    const { first, second, paths } = await two('babel');
    const handle = await house.begun('babel');
    await house.asked(handle, workflowStep(first));
    await house.n8n.control({
      faults: [
        { path: `/workflows/${first.id}$`, answer: 'html' },
        { path: `/workflows/${second.id}$`, answer: { status: 200, body: '{"data":[],"active":false}' } },
        // Two who stand before it, and know no routes.
        { path: `/webhook/${first.path}`, answer: { status: 404, body: 'not found' } },
        { path: `/webhook-test/${first.path}`, answer: 'html' },
      ],
    });
    await deleteTogether(handle, first, second);
    const state = await house.failed(handle, 'babel', 1);
    for (const one of [first, second]) expect(stepOf(state, workflowStep(one)).failure?.type).toBe('UnexpectedResponse');
    expect(await house.effectsOn(first, second)).toEqual([]);
    await house.decide(handle, 'retry', 'all');
    await expectRolledBack(house, 'babel', await house.finish(handle), paths);
  });
});

describe.concurrent('what is not the tenant’s', () => {
  it('[000 Invariants 2, 4] is refused where its Canonical Object lists it: another tenant’s, a template of its name, a demo instance, a shared path', async () => {
    const { workflows } = await house.tenant('initech');
    const [theirs] = workflows;
    const [globex, template, demo] = others;
    if (!theirs || !globex || !template || !demo) throw new Error('no others');
    const unlisted = await house.workflow('initech', 'victim intake 3', 'initech/unlisted');
    const wrong: readonly (readonly [Artifact, RegExp])[] = [
      [{ type: 'n8n-workflow', id: theirs.id, name: 'victim intake 1' }, /is listed by request .* of another tenant, initech/],
      [{ type: 'n8n-workflow', id: unlisted.id, name: 'victim intake 3' }, /another tenant's, by its tag "tenant:initech"/],
      [{ type: 'n8n-workflow', id: template.id, name: 'victim intake 1' }, /it is a template/],
      [{ type: 'n8n-workflow', id: demo.id }, /it is a demo instance/],
      [{ type: 'webhook', id: globex.path }, /of another tenant, globex/],
      [{ type: 'webhook', id: unlisted.path }, /another tenant's/],
      [{ type: 'webhook', id: `/${template.path}/` }, /it is a template/],
      [{ type: 'webhook', id: demo.path }, /it is a demo instance/],
    ];
    for (const [index, [artifact, why]] of wrong.entries()) {
      const tenant = `victim-${index}`;
      const own = await house.workflow(tenant, `${tenant} intake`, `${tenant}/intake`);
      await house.provisioned(tenant, [...artifactsOf(own), artifact]);
      const state = await house.world.closed(await house.start(tenant));
      expect(state).toMatchObject({
        outcome: 'refused',
        refusals: [{ rule: 'protected', source: '[000 Invariants]', explanation: expect.stringMatching(why) as string }],
      });
      expect(await house.requestOf(tenant)).toMatchObject({ status: 'COMPLETED', rollbackId: null });
      expect(await house.answers(own.path)).toBe(200);
    }
    for (const path of [theirs.path, unlisted.path]) expect(await house.answers(path)).toBe(200);
  });

  it('by now, though it was when it was confirmed, is left alone at the last moment', async () => {
    const { first, second, paths } = await two('turncoat');
    const handle = await house.begun('turncoat');
    await house.asked(handle, workflowStep(first));
    await house.retagged(first, 'template', 'tenant:turncoat');
    await house.retagged(second, 'tenant:globex');
    await deleteTogether(handle, first, second);
    const state = await house.failed(handle, 'turncoat', 1);
    for (const one of [first, second]) expect(stepOf(state, workflowStep(one)).failure?.type).toBe('Protected');
    expect(await house.effectsOn(first, second)).toEqual([]);
    for (const path of paths) expect(await house.answers(path)).toBe(200);
    // A path of theirs is theirs too.
    for (const one of [first, second]) await house.retagged(one, 'tenant:turncoat');
    await house.decide(handle, 'retry', 'all');
    await expectRolledBack(house, 'turncoat', await house.finish(handle), paths);
  });
});

describe.concurrent('a person', () => {
  it('who says it twice, or two who say it at once, have said it once', async () => {
    const { first, second, paths } = await two('stutter');
    const handle = await house.begun('stutter');
    await house.asked(handle, workflowStep(first));
    const words = [
      ...Array.from({ length: 4 }, (_, index) => ({ choice: 'delete', by: index % 2 === 0 ? 'ana' : 'ben' })),
      { choice: 'deactivate', by: 'ben' },
    ];
    const replies = await Promise.all(words.map((word) => house.tell(handle, 'confirm', { step: workflowStep(first), ...word })));
    const [kept] = replies.flatMap((one, index) => (one.accepted ? [words[index]?.choice] : []));
    expect(replies.filter((one) => !one.accepted).map((one) => one.refusal?.rule)).toEqual(
      words.filter((one) => one.choice !== kept).map(() => 'already-answered'),
    );
    await house.passed(handle, workflowStep(first));
    for (const choice of ['delete', 'deactivate'])
      expect(await house.ruleOf(handle, 'confirm', { step: workflowStep(first), choice })).toBe(choice === kept ? undefined : 'already-answered');
    expect(await house.ruleOf(handle, 'decline', { step: workflowStep(first), reason: 'too late' })).toBe('already-answered');
    await expectRolledBack(house, 'stutter', await house.finish(handle), paths);
    expect((await house.effectsOn(first, second)).filter((one) => one.endsWith('1'))).toEqual(
      kept === 'delete' ? ['unpublish 1', 'delete 1'] : ['unpublish 1'],
    );
  });

  it('who confirms what is gone already is right: it is said to be so, and that is no failure', async () => {
    const { first, second, paths } = await two('early-bird');
    const handle = await house.begun('early-bird');
    await house.asked(handle, workflowStep(first));
    await house.deletedByHand(first);
    const end = await house.finish(handle, { [workflowStep(second)]: { choice: 'deactivate' } });
    await expectRolledBack(house, 'early-bird', end, paths);
    expect(stepOf(end, workflowStep(first)).state).toBe('already');
    expect(await house.events('early-bird')).toEqual(['rolled-back']);
    expect(await house.effectsOn(first, second)).toEqual(['unpublish 2']);
  });

  it('who offboards the same tenant at the same time as others starts it once', async () => {
    const { requestId, first, second, paths } = await two('popular');
    const starts = await Promise.allSettled([
      house.start('popular'),
      house.start('popular', { by: 'ben' }),
      house.start('popular', { cause: 'upgrade-regression', request: requestId }),
    ]);
    const started = starts.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    expect(started).toHaveLength(1);
    // Under another Id it is refused.
    const odd = await house.world.client.workflow.start('upaDeprovision', {
      workflowId: 'upaDeprovision/production/popular-2',
      taskQueue: 'backout',
      args: [{ environment: 'production', tenant: 'popular', trigger: 'operator', cause: 'client-offboarded', reason: 'x', by: 'ben' }],
    });
    expect((await house.world.closed(odd)).refusals).toMatchObject([{ rule: 'workflow-id' }]);
    const [handle] = started;
    if (!handle) throw new Error('not started');
    await expectRolledBack(house, 'popular', await house.finish(handle), paths);
    expect(await house.events('popular')).toEqual(['rolled-back']);
    expect((await house.effectsOn(first, second)).toSorted()).toEqual(['delete 1', 'delete 2', 'unpublish 1', 'unpublish 2']);
  });
});

describe.concurrent('the provisioning store', () => {
  it('[000 Invariants 1, 3] takes neither a request nor a word of the error_log back, whoever asks in SQL', async () => {
    const { requestId, first, second, paths } = await two('tampered');
    const handle = await house.begun('tampered');
    await house.asked(handle, workflowStep(first));
    await house.say(handle, 'decline', { step: workflowStep(first), reason: 'one moment' });
    await house.failed(handle, 'tampered', 1);
    const before = [await house.requests('tampered'), await house.log('tampered')];
    const request = `WHERE request_id = '${requestId}'`;
    const sets = ["status = 'COMPLETED'", "status = 'ROLLED_BACK'", "tenant = 'globex'", "request_id = 'another'", 'rollback_id = NULL', "status = 'GONE'"];
    for (const sql of [
      ...sets.map((set) => `UPDATE upa.provisioning_requests SET ${set} ${request}`),
      `DELETE FROM upa.provisioning_requests ${request}`,
      'TRUNCATE upa.provisioning_requests CASCADE',
      `DELETE FROM upa.canonical_objects ${request}`,
      `UPDATE upa.canonical_objects SET tenant_config = tenant_config || '{"status":"deprovisioned"}' ${request}`,
      `UPDATE upa.canonical_objects SET tenant_config = tenant_config || '{"artifacts":[]}' ${request}`,
      "DELETE FROM upa.error_log WHERE tenant = 'tampered'",
      "UPDATE upa.error_log SET detail = 'nothing' WHERE tenant = 'tampered'",
      "UPDATE upa.error_log SET artifacts_removed = '{}' WHERE tenant = 'tampered'",
      'TRUNCATE upa.error_log',
      'DELETE FROM upa.operations',
    ])
      await expect(house.database.query(sql), sql).rejects.toMatchObject({ code: expect.stringMatching(REFUSED) as string });
    expect([await house.requests('tampered'), await house.log('tampered')]).toEqual(before);
    await house.decide(handle, 'retry', workflowStep(first));
    await house.asked(handle, workflowStep(first));
    // What the policy lets anybody do is noticed: nothing is changed of a request that is not in its rollback.
    await house.database.query(`UPDATE upa.provisioning_requests SET status = 'FAILED' ${request}`);
    await house.say(handle, 'confirm', { step: workflowStep(first), choice: 'delete' });
    const state = await house.failed(handle, 'tampered', 2);
    expect(stepOf(state, workflowStep(first)).failure?.message).toContain(`request ${requestId} is FAILED`);
    expect(await house.effectsOn(first, second)).toEqual([]);
    await house.decide(handle, 'retry', 'all');
    await expectRolledBack(house, 'tampered', await house.finish(handle), paths);
    expect(await house.events('tampered')).toEqual(['rollback-failed', 'rollback-failed', 'rolled-back']);
    for (const sql of [`UPDATE upa.provisioning_requests SET status = 'COMPLETED' ${request}`, `DELETE FROM upa.provisioning_requests ${request}`])
      await expect(house.database.query(sql), sql).rejects.toMatchObject({ code: expect.stringMatching(REFUSED) as string });
  });

  it('that is away is waited for, before a change and after one', async () => {
    const { first, second, paths } = await two('storeless', [{ type: 'crm', id: 'hub-storeless' }], 'staging');
    const handle = await house.begun('storeless', { environment: 'staging' });
    await house.asked(handle, 'crm.hub-storeless');
    ways().store.close();
    await house.say(handle, 'confirm', { step: workflowStep(first), choice: 'delete' });
    await house.say(handle, 'confirm', { step: 'crm.hub-storeless' });
    await eventually('tried again', () => isTryingAgain(handle));
    expect(await house.effectsOn(first, second)).toEqual([]);
    await ways().store.open();
    await house.passed(handle, 'crm.hub-storeless');
    const asked = await house.finish(handle, { completion: null });
    expect(asked.waiting.map((one) => one.step)).toEqual(['completion']);
    ways().store.close();
    await house.say(handle, 'confirm', { step: 'completion' });
    await eventually('tried again', () => isTryingAgain(handle));
    expect(await house.requestOf('storeless', 'staging')).toMatchObject({ status: 'ROLLBACK_IN_PROGRESS' });
    await ways().store.open();
    await expectRolledBack(house, 'storeless', await house.world.closed(handle), paths, 'staging');
    expect(await house.events('storeless', 'staging')).toEqual(['rolled-back']);
    expect((await house.effectsOn(first, second)).toSorted()).toEqual(['delete 1', 'delete 2', 'unpublish 1', 'unpublish 2']);
  });
});
