import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { verifyChain } from '../../model/record.ts';
import { digest, sha256 } from '../../store/digest.ts';
import { openStore } from '../../store/postgres.ts';
import type { OpenRequest, Store } from '../../store/store.ts';
import { type TestDatabase, testDatabase } from './database.ts';
import { all, AT, closing, entry, healthy, opening, recorded } from './given.ts';

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
const openingOf = (components: string[], more: Partial<OpenRequest> = {}): OpenRequest =>
  opening({ components, workflowId: `deployRevert/production/${components.join('+')}`, ...more });
const eventRow = async (id: string): Promise<Record<string, unknown> | undefined> =>
  (await database.query('SELECT status, trigger_type, deployment_id, rollback_steps, metadata FROM ops.rollback_events WHERE event_id = $1', [id]))[0];

describe('opening', () => {
  it('writes the event, the claims, the snapshots and the entries', async () => {
    const bad = await healthy(store, 'v2', { component: web });
    const request = openingOf([web, api], {
      deploymentIds: { [web]: bad.deploymentId },
      snapshots: { [web]: { current: 'v2' }, [api]: 'NUL \u0000' },
      reason: 'NUL \u0000',
    });
    const answer = await store.open(request);
    expect(answer).toMatchObject({ stored: request.entries, position: { entries: 1 } });
    const { refused: _, deploymentIds: __, snapshots: ___, entries: ____, ...event } = request;
    expect(await store.rollback(request.rollbackId)).toEqual({ ...event, reason: 'NUL \ufffd', outcome: null, closedAt: null });
    expect(await eventRow(request.rollbackId)).toMatchObject({ status: 'in_progress', trigger_type: 'automatic', deployment_id: bad.deploymentId });
    expect(await store.claims({ rollbackId: request.rollbackId })).toEqual(
      [api, web].map((component) => ({
        environment: 'production',
        component,
        rollbackId: request.rollbackId,
        workflowId: request.workflowId,
        by: 'ci',
        at: AT,
      })),
    );
    expect(
      await database.query(
        `SELECT snapshot_type, deployment_id, environment_config->>'component' AS component, environment_config->'observed' AS observed
      FROM ops.system_snapshots WHERE environment_config->>'rollbackId' = $1 ORDER BY id`,
        [request.rollbackId],
      ),
    ).toEqual([
      { snapshot_type: 'pre_rollback', deployment_id: bad.deploymentId, component: web, observed: { current: 'v2' } },
      { snapshot_type: 'pre_rollback', deployment_id: null, component: api, observed: 'NUL \ufffd' },
    ]);
  });

  it('twice changes nothing, and lets a successor add its own entry', async () => {
    const request = openingOf([web], { snapshots: { [web]: 1 } });
    const first = await store.open(request);
    expect(await store.open(request)).toEqual(first);
    const successor = { ...request, entries: [entry(request.rollbackId, 'run-2/opened')] };
    expect(await store.open(successor)).toMatchObject({ position: { entries: 2 } });
    expect(await database.query(`SELECT count(*)::int FROM ops.system_snapshots WHERE environment_config->>'rollbackId' = $1`, [request.rollbackId])).toEqual([
      { count: 1 },
    ]);
    expect(await store.rollbacks({ workflowId: request.workflowId })).toHaveLength(1);
  });

  it('answers the holder and writes nothing where one component is claimed', async () => {
    const holder = openingOf([web]);
    await store.open(holder);
    const request = openingOf([api, web]);
    expect(await store.open(request)).toEqual({
      holder: expect.objectContaining({ component: web, rollbackId: holder.rollbackId, workflowId: holder.workflowId, by: 'ci' }),
    });
    expect(await store.rollback(request.rollbackId)).toBeNull();
    expect(await store.claims({ environment: 'production', components: [api] })).toEqual([]);
    expect(await store.entriesOf(request.rollbackId)).toEqual([]);
    expect(await store.open(openingOf([web], { environment: 'staging' }))).toHaveProperty('position');
  });

  it('records a refusal as aborted, without a claim', async () => {
    await store.open(openingOf([web]));
    const request = openingOf([web], { refused: true, trigger: 'operator' });
    expect(await store.open(request)).toMatchObject({ stored: request.entries });
    expect(await store.open(request)).toMatchObject({ stored: request.entries, position: { entries: 1 } });
    expect(await eventRow(request.rollbackId)).toMatchObject({ status: 'aborted', trigger_type: 'manual' });
    expect(await store.rollback(request.rollbackId)).toMatchObject({ outcome: 'refused', closedAt: AT });
    expect(await store.claims({ rollbackId: request.rollbackId })).toEqual([]);
  });

  it('lets one of fifty through, whatever the order of its components', async () => {
    const requests = Array.from({ length: 50 }, (_, n) => openingOf(n % 4 < 2 ? [web, api] : [api, web]));
    // Connections first: while they are made one after the other, the first request would be alone.
    await Promise.all(Array.from({ length: 20 }, (_, n) => (n % 2 === 0 ? other : store).ping()));
    const answers = await Promise.all(requests.map((request, n) => (n % 2 === 0 ? other : store).open(request)));
    const winners = requests.filter((_, n) => !('holder' in (answers[n] ?? {})));
    expect(winners).toHaveLength(1);
    const holders = answers.flatMap((answer) => ('holder' in answer ? [`${answer.holder.component} ${answer.holder.rollbackId}`] : []));
    expect(holders).toEqual(Array.from({ length: 49 }, () => `${api} ${winners[0]?.rollbackId}`));
    expect(await store.claims({ components: [web, api] })).toHaveLength(2);
    expect(verifyChain(await all(store.chain()), digest)).toEqual([]);
  });
});

describe('finishing', () => {
  it('marks what was taken back, writes what was restored, and gives the claims up', async () => {
    const good = await healthy(store, 'v1', { component: web });
    const bad = await healthy(store, 'v2', { component: web });
    const request = openingOf([web], { deploymentIds: { [web]: bad.deploymentId }, by: 'ana' });
    await store.open(request);
    const close = closing(request.rollbackId, {
      restored: [{ component: web, from: 'v2', to: 'v1', snapshot: { current: 'v1' } }],
      metadata: { machineSeconds: 12, kind: 'mine' },
    });
    expect(await store.finish(close)).toMatchObject({ stored: close.entries, position: { entries: 2 } });
    expect(await store.deployment(bad.deploymentId)).toMatchObject({ status: 'rolled_back', rolledBackAt: close.at });
    const [restored] = await store.deployments({ component: web });
    expect(restored).toEqual({
      deploymentId: expect.any(String),
      environment: 'production',
      component: web,
      version: 'v1',
      commit: 'commit-of-v1',
      branch: 'main',
      status: 'success',
      healthCheckPassed: true,
      platformRef: 'ref-of-v1',
      rollbackFrom: bad.deploymentId,
      deployedBy: 'ana',
      deployedAt: close.at,
      completedAt: close.at,
      rolledBackAt: null,
    });
    expect(restored?.deploymentId).not.toBe(good.deploymentId);
    expect(await store.lastHealthy('production', web, null)).toEqual(restored);
    expect(
      await database.query(`SELECT environment_config->'observed' AS observed FROM ops.system_snapshots WHERE deployment_id = $1`, [restored?.deploymentId]),
    ).toEqual([{ observed: { current: 'v1' } }]);
    expect(await eventRow(request.rollbackId)).toMatchObject({
      status: 'success',
      rollback_steps: close.steps,
      metadata: { outcome: 'rolled-back', machineSeconds: 12, kind: 'deployRevert' },
    });
    expect(await store.rollback(request.rollbackId)).toMatchObject({ outcome: 'rolled-back', closedAt: close.at, kind: 'deployRevert', by: 'ana' });
    expect(await store.claims({ rollbackId: request.rollbackId })).toEqual([]);
  });

  it('twice, and at once, changes nothing and answers the same entries', async () => {
    await healthy(store, 'v1', { component: web });
    const request = openingOf([web]);
    await store.open(request);
    const close = closing(request.rollbackId, { restored: [{ component: web, from: 'v2', to: 'v1', snapshot: null }] });
    const answers = await Promise.all([store, other, store, other].map((one) => one.finish(close)));
    const late = await store.finish({ ...close, outcome: 'failed', entries: [entry(request.rollbackId, 'run-2/closed')] });
    for (const answer of [...answers, late]) expect(answer.stored).toEqual(close.entries);
    expect(late.position).toMatchObject({ entries: 2 });
    expect(await store.deployments({ component: web })).toHaveLength(2);
    expect(await store.rollback(request.rollbackId)).toMatchObject({ outcome: 'rolled-back' });
    // Opened again after its end, it takes no claim that nobody would give up.
    expect(await store.open(request)).toMatchObject({ stored: request.entries });
    expect(await store.claims({ rollbackId: request.rollbackId })).toEqual([]);
  });
});

describe('what finishing marks', () => {
  it('takes the newest row of the bad version where CI named none, and knows no row where there is none', async () => {
    const older = await healthy(store, 'v2', { component: web });
    const newer = await recorded(store, 'v2', { component: web });
    const request = openingOf([web, api]);
    await store.open(request);
    await store.finish(
      closing(request.rollbackId, {
        restored: [
          { component: web, from: 'v2', to: 'v1', snapshot: null },
          { component: api, from: null, to: 'v7', snapshot: null },
        ],
      }),
    );
    expect(await store.deployment(newer.deploymentId)).toMatchObject({ status: 'rolled_back' });
    expect(await store.deployment(older.deploymentId)).toMatchObject({ status: 'success' });
    // A version that was rolled back last is not known healthy by its older row.
    expect((await store.lastHealthy('production', web, null))?.version).toBe('v1');
    expect(await store.lastHealthy('production', web, 'v1')).toBeNull();
    expect((await store.deployments({ component: api }))[0]).toMatchObject({
      version: 'v7',
      rollbackFrom: null,
      commit: 'unknown',
      branch: 'unknown',
      platformRef: null,
    });
  });

  it('does not mark the target where the platform was at it already', async () => {
    const good = await healthy(store, 'v1', { component: web });
    const bad = await recorded(store, 'v2', { component: web });
    const request = openingOf([web], { deploymentIds: { [web]: bad.deploymentId } });
    await store.open(request);
    await store.finish(closing(request.rollbackId, { restored: [{ component: web, from: 'v1', to: 'v1', snapshot: null }] }));
    expect(await store.deployment(good.deploymentId)).toMatchObject({ status: 'success' });
    expect(await store.deployment(bad.deploymentId)).toMatchObject({ status: 'rolled_back' });
  });

  it('says every outcome in the words of [003]', async () => {
    const statuses: unknown[] = [];
    for (const outcome of ['rolled-back', 'rolled-back-late', 'partial', 'failed', 'refused'] as const) {
      const request = openingOf([web]);
      await store.open(request);
      await store.finish(closing(request.rollbackId, { outcome, steps: [] }));
      statuses.push((await eventRow(request.rollbackId))?.['status']);
      expect((await store.rollback(request.rollbackId))?.outcome).toBe(outcome);
    }
    expect(statuses).toEqual(['success', 'success', 'failed', 'failed', 'aborted']);
    await expect(store.finish(closing(randomUUID()))).rejects.toThrow('no rollback');
  });

  it('undoes everything where a part of it fails', async () => {
    const bad = await healthy(store, 'v2', { component: web });
    const request = openingOf([web]);
    await store.open(request);
    await expect(
      store.finish(
        closing(request.rollbackId, { restored: [{ component: web, from: 'v2', to: 'v1', snapshot: null }], entries: [entry(randomUUID(), 'foreign')] }),
      ),
    ).rejects.toThrow('belongs to');
    expect(await store.deployment(bad.deploymentId)).toMatchObject({ status: 'success' });
    expect(await store.claims({ rollbackId: request.rollbackId })).toHaveLength(1);
  });
});

describe('looking back', () => {
  it('lists by environment, component and workflow, newest first', async () => {
    const first = openingOf([web]);
    const second = openingOf([api], { environment: 'staging' });
    const third = openingOf([web, api], { refused: true });
    for (const request of [first, second, third]) await store.open(request);
    const ids = async (filter: Parameters<Store['rollbacks']>[0]): Promise<string[]> => (await store.rollbacks(filter)).map((one) => one.rollbackId);
    expect(await ids({ component: web })).toEqual([third.rollbackId, first.rollbackId]);
    expect(await ids({ component: api, environment: 'staging' })).toEqual([second.rollbackId]);
    expect(await ids({ workflowId: third.workflowId })).toEqual([third.rollbackId]);
    expect(await ids({ component: web, limit: 1 })).toEqual([third.rollbackId]);
    expect(await store.rollback('no uuid')).toBeNull();
    expect(await store.claims({ rollbackId: 'no uuid' })).toEqual([]);
  });

  it('finds the last attempt on a deployment, behind any refusal [002 section 11]', async () => {
    const bad = await recorded(store, 'v2', { component: web });
    const deploymentIds = { [web]: bad.deploymentId };
    const attempt = openingOf([web], { deploymentIds });
    await store.open(attempt);
    expect(await store.lastAttempt('production', web, bad.deploymentId)).toBeNull();
    await store.finish(closing(attempt.rollbackId, { outcome: 'failed' }));
    await store.open(openingOf([web], { deploymentIds, refused: true }));
    expect(await store.lastAttempt('production', web, bad.deploymentId)).toMatchObject({ rollbackId: attempt.rollbackId, outcome: 'failed' });
    expect(await store.lastAttempt('production', web, null)).toMatchObject({ rollbackId: attempt.rollbackId });
    expect(await store.lastAttempt('production', web, randomUUID())).toBeNull();
    expect(await store.lastAttempt('staging', web, null)).toBeNull();
  });

  it('keeps exported histories, once, with their entry in the record', async () => {
    const request = openingOf([web]);
    await store.open(request);
    const json = JSON.stringify({ events: ['\u0000'] });
    const history = { rollbackId: request.rollbackId, workflowId: request.workflowId, runId: randomUUID(), json, sha256: sha256(json) };
    expect(await store.hasHistory(history.runId)).toBe(false);
    await Promise.all([store, other].map((one) => one.saveHistory(history, entry(request.rollbackId, `${history.runId}/history`, { type: 'history' }))));
    expect(await store.hasHistory(history.runId)).toBe(true);
    const { rollbackId: _, ...kept } = history;
    expect((await store.recordOf(request.rollbackId)).histories).toEqual([kept]);
    expect(await store.position(request.rollbackId)).toMatchObject({ entries: 2 });
  });
});
