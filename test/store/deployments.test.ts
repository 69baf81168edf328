import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { deployedInstead, deployedSince } from '../../activities/incident/keep.ts';
import { openStore } from '../../store/postgres.ts';
import type { Deployment, Store } from '../../store/store.ts';
import { type TestDatabase, testDatabase } from './database.ts';
import { healthy, recorded } from './given.ts';

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

let component = '';
beforeEach(() => {
  component = `web-${randomUUID()}`;
});
const again = (row: Deployment, more: Partial<Deployment>): Promise<Deployment> => store.recordDeployment({ ...row, ...more });
const statusOf = async (id: string): Promise<string | undefined> => (await store.deployment(id))?.status;

describe('what CI records', () => {
  it('is read back', async () => {
    const row = await recorded(store, 'v1', { component });
    expect(row).toMatchObject({
      component,
      version: 'v1',
      commit: 'commit-of-v1',
      branch: 'main',
      platformRef: 'ref-of-v1',
      status: 'in_progress',
      healthCheckPassed: false,
      rollbackFrom: null,
    });
    expect(await store.deployment(row.deploymentId)).toEqual(row);
    expect(await store.deployment(randomUUID())).toBeNull();
    expect(await store.deployment('no uuid')).toBeNull();
  });

  it('never is a success by itself: the checks say that', async () => {
    const { deploymentId, status } = await recorded(store, 'v1', { component, status: 'success' });
    expect(status).toBe('in_progress');
    expect(await store.lastHealthy('production', component, null)).toBeNull();
    const verified = await store.verifyDeployment(deploymentId, true, { p95: 120 }, { served: 'v1' });
    expect(verified).toMatchObject({ status: 'success', healthCheckPassed: true });
    expect(verified.completedAt).not.toBeNull();
    expect(
      await database.query('SELECT snapshot_type, key_metrics, environment_config FROM ops.system_snapshots WHERE deployment_id = $1', [deploymentId]),
    ).toEqual([{ snapshot_type: 'post_deployment', key_metrics: { p95: 120 }, environment_config: { served: 'v1' } }]);
  });

  it('may be said again as it moves on, and does not talk the checks over', async () => {
    const row = await recorded(store, 'v1', { component, status: 'pending', platformRef: null });
    expect(await again(row, { status: 'in_progress', platformRef: 'p1' })).toMatchObject({ status: 'in_progress', platformRef: 'p1' });
    await store.verifyDeployment(row.deploymentId, true, null, null);
    expect(await again(row, { status: 'in_progress' })).toMatchObject({ status: 'success', platformRef: 'p1' });
    expect(await again(row, { status: 'failed' })).toMatchObject({ status: 'failed' });
    expect(await again(row, { status: 'success' })).toMatchObject({ status: 'failed' });
  });

  it('is refused where it is another deployment, or says rolled_back', async () => {
    const row = await recorded(store, 'v1', { component });
    await expect(again(row, { version: 'v2' })).rejects.toThrow('recorded already');
    await expect(again(row, { status: 'rolled_back' })).rejects.toThrow('rolled_back');
  });
});

describe('what the checks find', () => {
  it('fails a deployment', async () => {
    const { deploymentId } = await recorded(store, 'v1', { component });
    expect(await store.verifyDeployment(deploymentId, false, { smoke: 'failed \u0000' }, undefined)).toMatchObject({
      status: 'failed',
      healthCheckPassed: false,
    });
    await expect(store.verifyDeployment(randomUUID(), true, null, null)).rejects.toThrow('no deployment');
  });

  it('does not bring back what was rolled back', async () => {
    const { deploymentId } = await healthy(store, 'v1', { component });
    await database.query(`UPDATE ops.deployments SET status = 'rolled_back' WHERE deployment_id = $1`, [deploymentId]);
    await store.verifyDeployment(deploymentId, true, null, null);
    expect(await statusOf(deploymentId)).toBe('rolled_back');
  });
});

describe('the last healthy version', () => {
  it('is the newest that the checks passed, in this environment and component, except one', async () => {
    await healthy(store, 'v1', { component });
    const v2 = await healthy(store, 'v2', { component });
    const v3 = await healthy(store, 'v3', { component });
    await recorded(store, 'v4', { component });
    await healthy(store, 'v5', { component, environment: 'staging' });
    expect((await store.lastHealthy('production', component, null))?.deploymentId).toBe(v3.deploymentId);
    expect((await store.lastHealthy('production', component, 'v3'))?.deploymentId).toBe(v2.deploymentId);
    expect(await store.lastHealthy('qa', component, null)).toBeNull();
    expect((await store.deployments({ component, limit: 2 })).map((row) => row.version)).toEqual(['v5', 'v4']);
    expect((await store.deployments({ component, environment: 'production', version: 'v2' })).map((row) => row.deploymentId)).toEqual([v2.deploymentId]);
  });

  it('is not one whose later deployment failed', async () => {
    await healthy(store, 'v1', { component });
    await healthy(store, 'v2', { component });
    const { deploymentId } = await recorded(store, 'v2', { component });
    await store.verifyDeployment(deploymentId, false, null, null);
    expect((await store.lastHealthy('production', component, null))?.version).toBe('v1');
  });
});

describe('what was served instead of the target of a rollback', () => {
  const versions = async (to: string): Promise<string[]> => (await deployedInstead({ store }, 'production', { component, to })).map((row) => row.version);

  it('is what came since it was served the last time, verified', async () => {
    const first = await recorded(store, 'v1', { component });
    await store.verifyDeployment(first.deploymentId, true, null, null);
    await recorded(store, 'v2', { component });
    expect(await versions('v1')).toEqual(['v2']);
    // Gone back to: what was served instead is still what the data has to be mended of.
    const back = await recorded(store, 'v1', { component });
    await store.verifyDeployment(back.deploymentId, true, null, null);
    expect(await versions('v1')).toEqual(['v2']);
    await recorded(store, 'v3', { component });
    await recorded(store, 'v4', { component, status: 'failed' });
    expect(await versions('v1')).toEqual(['v4', 'v3']);
    expect(await versions('v0')).toEqual(['v4', 'v3', 'v1', 'v2', 'v1']);
  });
});

describe('what came after the target of a rollback', () => {
  it('is all that was deployed since, however much: the oldest of it says when the damage began', async () => {
    await recorded(store, 'v0', { component });
    await recorded(store, 'v1', { component });
    const since: Deployment[] = [];
    for (let count = 2; count < 122; count += 1) since.push(await recorded(store, `v${count}`, { component }));
    const found = await deployedSince({ store }, 'production', { component, to: 'v1' });
    expect(found.map((row) => row.version)).toEqual(since.map((row) => row.version).toReversed());
  });
});
