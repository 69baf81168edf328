import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Plan } from '../../model/plan.ts';
import { openStore } from '../../store/postgres.ts';
import type { OpenRequest, Store } from '../../store/store.ts';
import { type TestDatabase, testDatabase } from './database.ts';
import { AT, closing, entry, healthy, opening, recorded } from './given.ts';

let database: TestDatabase;
let store: Store;
let other: Store;
beforeAll(async () => {
  database = await testDatabase();
  store = openStore(database.url);
  other = openStore(database.url);
  await store.migrate();
}, 60_000);
afterAll(async () => {
  await store.close();
  await other.close();
  await database.drop();
});

let web = '';
let api = '';
beforeEach(() => {
  web = `web-${randomUUID()}`;
  api = `api-${randomUUID()}`;
});

const taken = (rollbackId: string): { rollbackId: string; workflowId: string; by: string; at: string } => ({
  rollbackId,
  workflowId: `l1Rollback/production/${rollbackId}`,
  by: 'ana',
  at: AT,
});
const heldBy = async (component: string): Promise<string | undefined> => (await store.claims({ components: [component] }))[0]?.rollbackId;

/** A rollback that is open and holds these. */
async function opened(components: readonly string[], more: Partial<OpenRequest> = {}): Promise<string> {
  const request = opening({ components, workflowId: `deployRevert/production/${components.join('+')}`, ...more });
  expect(await store.open(request)).toHaveProperty('position');
  return request.rollbackId;
}

/** An incident rollback: it holds its own name only. */
const incident = (components: readonly string[]): Promise<string> => opened(components, { kind: 'l1Rollback', claims: [`@INC-${randomUUID()}`] });

describe('opening with a claim on something else than the components', () => {
  it('leaves the components to others', async () => {
    const name = `@${randomUUID()}`;
    const rollbackId = await opened([web, api], { claims: [name] });
    expect((await store.claims({ rollbackId })).map((one) => one.component)).toEqual([name]);
    expect(await store.rollback(rollbackId)).toMatchObject({ components: [web, api] });
    expect(await store.open(opening({ components: [web], claims: [name] }))).toMatchObject({ holder: { component: name, rollbackId } });
    await opened([web]);
  });
});

describe('claiming afterwards', () => {
  it('takes all or none, is given up with the end, and may be repeated', async () => {
    const rollbackId = await incident([web, api]);
    const request = { environment: 'production', components: [web, api], ...taken(rollbackId) };
    const holder = await opened([web]);
    expect(await store.claim(request)).toEqual({ holder: expect.objectContaining({ component: web, rollbackId: holder }) });
    expect(await heldBy(api)).toBeUndefined();
    await store.finish(closing(holder));
    expect(await store.claim(request)).toBeNull();
    expect(await store.claim(request)).toBeNull();
    expect(await store.claims({ components: [api] })).toEqual([{ environment: 'production', component: api, ...taken(rollbackId) }]);
    await store.finish(closing(rollbackId));
    expect(await store.claims({ rollbackId })).toEqual([]);
  });

  it('lets one of ten through', async () => {
    const rollbacks = await Promise.all(Array.from({ length: 10 }, () => incident([web, api])));
    const answers = await Promise.all(
      rollbacks.map((rollbackId, n) =>
        (n % 2 === 0 ? other : store).claim({ environment: 'production', components: n % 3 === 0 ? [api, web] : [web, api], ...taken(rollbackId) }),
      ),
    );
    expect(answers.filter((one) => one === null)).toHaveLength(1);
    expect(await heldBy(web)).toBe(await heldBy(api));
  });

  it('is refused to a rollback that has ended: nobody would give it up', async () => {
    const rollbackId = await incident([web]);
    await store.finish(closing(rollbackId));
    const late = { environment: 'production', components: [web], ...taken(rollbackId) };
    await expect(store.claim(late)).rejects.toThrow('has ended');
    const from = await opened([web]);
    const transfer = { environment: 'production', components: [web], from, to: taken(rollbackId), entry: entry(rollbackId, `${rollbackId}/takeover`) };
    await expect(store.transferClaims(transfer)).rejects.toThrow('has ended');
    expect(await heldBy(web)).toBe(from);
  });
});

describe('claims that change hands', () => {
  const moving = (components: readonly string[], from: string, to: string): Parameters<Store['transferClaims']>[0] => ({
    environment: 'production',
    components,
    from,
    to: taken(to),
    entry: entry(to, `${to}/takeover`, { type: 'takeover' }),
  });

  it('move with the entry that tells of it, and the one before cannot give them up any more', async () => {
    const from = await opened([web, api]);
    const to = await incident([web, api]);
    const request = moving([web, api], from, to);
    const answer = await store.transferClaims(request);
    expect(answer).toMatchObject({ holder: null, stored: [request.entry], position: { entries: 2 } });
    expect(await store.transferClaims(request)).toEqual(answer);
    expect(await store.claims({ components: [web, api] })).toEqual([api, web].map((component) => ({ environment: 'production', component, ...taken(to) })));
    await store.finish(closing(from));
    expect(await heldBy(web)).toBe(to);
    expect(await store.open(opening({ components: [web], rollbackId: from }))).not.toHaveProperty('holder');
    expect(await heldBy(web)).toBe(to);
  });

  it('are left alone where one of them is a third one’s', async () => {
    const from = await opened([api]);
    const third = await opened([web]);
    const to = await incident([web, api]);
    expect(await store.transferClaims(moving([web, api], from, to))).toMatchObject({ holder: { component: web, rollbackId: third }, stored: [] });
    expect(await heldBy(api)).toBe(from);
    expect(await store.find(`${to}/takeover`)).toBeNull();
  });

  it('are taken where they were given up meanwhile; elsewhere nothing moves', async () => {
    const from = await opened([web]);
    const to = await incident([web, api]);
    await store.finish(closing(from));
    const staging = await opened([web], { environment: 'staging' });
    expect(await store.transferClaims(moving([web, api], from, to))).toMatchObject({ holder: null });
    expect((await store.claims({ rollbackId: to })).map((one) => one.component)).toEqual(expect.arrayContaining([web, api]));
    expect((await store.claims({ environment: 'staging', components: [web] }))[0]?.rollbackId).toBe(staging);
  });

  it('of nothing only tells', async () => {
    const to = await incident([web]);
    expect(await store.transferClaims(moving([], randomUUID(), to))).toMatchObject({ holder: null, position: { entries: 2 } });
  });
});

describe('another plan', () => {
  const planTo = (version: string): Plan => ({
    kind: 'l1Rollback',
    environment: 'production',
    tenant: null,
    incident: 'INC-1',
    targets: [{ component: web, from: 'v2', to: version, config: 'sha256:c' }],
    steps: [],
    targetSeconds: 900,
  });

  it('replaces the one before, and a late attempt does not bring that back', async () => {
    const rollbackId = await opened([web], { plan: planTo('v1'), planHash: 'sha256:1' });
    const bad = await recorded(store, 'v2', { component: web });
    const second = { plan: planTo('v1.1'), planHash: 'sha256:2', deploymentIds: { [web]: bad.deploymentId } };
    const third = { ...second, plan: planTo('v1.2'), planHash: 'sha256:3' };
    const told = entry(rollbackId, `${rollbackId}/plan/2`, { type: 'replanned' });
    expect(await store.replan(rollbackId, second, told)).toMatchObject({ stored: [told], position: { entries: 2 } });
    await store.replan(rollbackId, third, entry(rollbackId, `${rollbackId}/plan/3`));
    expect(await store.replan(rollbackId, second, told)).toMatchObject({ stored: [told], position: { entries: 3 } });
    expect(await store.rollback(rollbackId)).toMatchObject({ plan: third.plan, planHash: 'sha256:3', components: [web], outcome: null });
    // What the new plan takes back is what the end marks.
    await store.finish(closing(rollbackId, { restored: [{ component: web, from: null, to: 'v1.2', snapshot: {} }] }));
    expect(await store.deployment(bad.deploymentId)).toMatchObject({ status: 'rolled_back' });
  });

  it('is refused where the rollback has ended or was never opened, and the record has nothing of it', async () => {
    const rollbackId = await opened([web], { plan: planTo('v1'), planHash: 'sha256:1' });
    await store.finish(closing(rollbackId));
    const to = { plan: planTo('v0'), planHash: 'sha256:0', deploymentIds: {} };
    await expect(store.replan(rollbackId, to, entry(rollbackId, `${rollbackId}/plan`))).rejects.toThrow('has ended rolled-back');
    expect(await store.rollback(rollbackId)).toMatchObject({ planHash: 'sha256:1' });
    expect(await store.find(`${rollbackId}/plan`)).toBeNull();
    const nobody = randomUUID();
    await expect(store.replan(nobody, to, entry(nobody, `${nobody}/plan`))).rejects.toThrow('no rollback');
  });
});

describe('what was observed of a deployment', () => {
  it('is the newest verification, and not what a rollback saw before it', async () => {
    const { deploymentId } = await healthy(store, 'v1', { component: web });
    await store.verifyDeployment(deploymentId, true, {}, { version: 'v1', again: true });
    await opened([web], { deploymentIds: { [web]: deploymentId }, snapshots: { [web]: 'before' } });
    expect(await store.snapshot(deploymentId)).toEqual({ config: { version: 'v1', again: true }, at: expect.stringMatching(/^\d{4}-.*Z$/) });
    expect(await store.snapshot((await recorded(store, 'v2', { component: web })).deploymentId)).toBeNull();
    expect(await store.snapshot('build-42')).toBeNull();
  });
});
