/** An incident rollback that is terminated, reset, cancelled or stopped: nothing is repeated, nothing is forgotten, and what is frozen stays frozen. */
import type { ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { RollbackState } from '../../model/state.ts';
import { CRASHING_WORKER, Crashes } from '../support/crashing-worker.ts';
import { badReleases, confirmTarget, declared, ID, incidentWorld, lines, propose, signRows, stepOf, waitsFor } from '../support/incident.ts';
import {
  drift,
  expectChain,
  expectOnceEach,
  expectOneEffect,
  recordOf,
  reset,
  sceneOf,
  standing,
  watchRegister,
  type HistoryEvent,
} from '../support/incident-scene.ts';
import type { World } from '../support/world.ts';

/** Where a history is reset to. */
const isStart = (event: HistoryEvent): boolean => Boolean(event.workflowExecutionStartedEventAttributes);
const isLastSignal = (event: HistoryEvent, index: number, all: readonly HistoryEvent[]): boolean =>
  Boolean(event.workflowExecutionSignaledEventAttributes) && !all.slice(index + 1).some((one) => one.workflowExecutionSignaledEventAttributes);
const completed =
  (count: number) =>
  (event: HistoryEvent, index: number, all: readonly HistoryEvent[]): boolean =>
    Boolean(event.activityTaskCompletedEventAttributes) && all.slice(0, index + 1).filter((one) => one.activityTaskCompletedEventAttributes).length === count;

const FROZEN = ['merges', 'claims', 'promotions', 'deployments'];

/** What the operator types, and what he is shown. */
async function resumed(world: World, id: string): Promise<RollbackState> {
  // Nobody is there who could judge it: who does not lead is refused before anything is started.
  const eve = await world.cli(['resume', id, '--by', 'eve', '--reason', 'I found it lying there']);
  expect(eve).toMatchObject({ code: 3, stderr: expect.stringMatching(/Incident Commander goes on with an abandoned rollback: .*carol/) as string });
  const { state, waiting } = JSON.parse((await world.cli(['show', id, '--json'])).stdout) as RollbackState;
  const { closeTime } = await world.client.workflow.getHandle(id).describe();
  // What was only proposed claims nothing, and is not awaited.
  expect(waiting).toMatchObject(state === 'abandoned' ? [{ for: 'incident-commander', since: closeTime?.toISOString() }] : []);
  const ran = await world.cli(['resume', id, '--by', 'carol', '--reason', 'it was terminated by mistake', '--json']);
  expect(ran, ran.stderr).toMatchObject({ code: 0 });
  return JSON.parse(ran.stdout) as RollbackState; // As `show --json` prints it.
}

const notices = async (world: World, id: string): Promise<string[]> =>
  (await world.incidents()).flatMap((one) => ('workflowId' in one && one.workflowId === id ? [one.notice] : []));

async function died(worker: ChildProcess): Promise<void> {
  await vi.waitFor(
    () => {
      expect(worker.signalCode).toBe('SIGKILL');
    },
    { timeout: 60_000 },
  );
}

describe('an incident rollback', { timeout: 240_000 }, () => {
  let world: World;
  beforeAll(async () => {
    world = await incidentWorld();
    await badReleases(world);
    await world.worker();
  });
  afterAll(() => world.close());

  const handleOf = (incident: string): WorkflowHandle => world.client.workflow.getHandle(`l1Rollback/production/${incident}`);
  /** From the declaration to the question whether to unfreeze. */
  async function untilUnfreeze(incident: string, component: string): Promise<RollbackState> {
    await declared(world, { incident, components: [component] });
    const handle = handleOf(incident);
    await confirmTarget(world, handle);
    await waitsFor(world, handle, 'ownership');
    await signRows(handle);
    return waitsFor(world, handle, 'unfreeze');
  }
  const told = async (incident: string): Promise<unknown[]> =>
    (await lines(world, 'stakeholders.log')).flatMap((one) => (one['workflowId'] === `l1Rollback/production/${incident}` ? [one['template']] : []));
  const frozen = async (incident: string): Promise<readonly string[][]> =>
    (await world.store.freezes({ incident, inForceOnly: true })).map((one) => [...one.inForce]);
  const audited = async (incident: string): Promise<void> => {
    const ran = await world.cli(['audit', handleOf(incident).workflowId]);
    expect(ran, ran.stdout).toMatchObject({ code: 0 });
  };

  it.concurrent('is terminated again and again: resumed, it repeats nothing, believes nobody but the platforms, and stays frozen', async (context) => {
    const scene = await sceneOf(context);
    const { world: whole, github, before } = scene;
    const crashes = new Crashes(join(whole.folder, 'crashes'), [
      'identify:before-claim',
      'web.deploy:before-apply',
      'admin.deploy:before-append',
      'lift:before-unfreeze',
    ]);
    const register = watchRegister(context, whole);
    let worker = await whole.worker(crashes.env, CRASHING_WORKER);
    await propose(whole);
    const handle = whole.client.workflow.getHandle(ID);
    const { rollbackId } = await waitsFor(whole, handle, 'declaration');
    const terminated = async (): Promise<RollbackState> => {
      await handle.terminate('somebody clicked it in the Temporal UI');
      expect((await whole.store.claims({ rollbackId })).map((one) => one.component)).toContain('@INC-42');
      worker = await whole.worker(crashes.env, CRASHING_WORKER);
      const state = await resumed(whole, ID);
      expect(state).toMatchObject({ rollbackId, incidentCommand: { declared: { by: 'carol' }, frozen: FROZEN } });
      return state;
    };
    await drift(whole);
    await handle.signal('confirm', { step: 'declaration', by: 'carol' });

    await died(worker);
    const first = await terminated();
    expect(stepOf(first, 'freeze')).toMatchObject({ state: 'done' });
    await confirmTarget(whole, handle);

    // Between two deployments: the target that was confirmed is the one that is gone on to.
    await died(worker);
    for (const name of ['api', 'worker']) await expectOneEffect(whole, rollbackId, name);
    const second = await terminated();
    expect(second.steps.flatMap((step) => (step.state === 'done' && step.effect === 'deploy' ? [step.id] : []))).toEqual(['api.deploy', 'worker.deploy']);
    expect(stepOf(second, 'target').state).toBe('confirmed');
    expect(second.incidentCommand?.nextUpdateAt).not.toBeNull();

    // Put back, and nobody knows of it.
    await died(worker);
    const third = await terminated();
    expect(third.planHash).toBe(second.planHash);
    await waitsFor(whole, handle, 'ownership');

    // While rows are signed, of which nobody but the history knows.
    await handle.signal('confirm', { step: 'communication.update', by: 'cleo', note: 'every component is back' });
    await handle.signal('confirm', { step: 'cleanup.credentials', by: 'sam', choice: 'not-applicable', note: 'no credential was touched' });
    await whole.until(handle, 'told', (state) => stepOf(state, 'communication.update').attempts > 0 && state.answers.some((one) => one.by === 'sam'));
    await whole.end(worker);
    await handle.signal('confirm', { step: 'communication.update', by: 'cleo', note: 'the rows are being signed' });
    await handle.signal('confirm', { step: 'cleanup.data', by: 'dora', choice: 'not-applicable', note: 'no schema or data was touched' });
    await terminated();
    const rows = await waitsFor(whole, handle, 'ownership');
    const rowsOf = (state: RollbackState): string[] => state.steps.flatMap((one) => (one.id.startsWith('cleanup.') ? [one.state] : []));
    expect(rowsOf(rows)).toEqual(['confirmed', 'waiting', 'confirmed']);
    await signRows(handle);
    await waitsFor(whole, handle, 'unfreeze');
    await handle.signal('confirm', { step: 'unfreeze', by: 'carol' });

    // The platform is unfrozen, the register is not: as long as the unfreeze is asked again, both are frozen.
    await died(worker);
    expect(await standing(github)).toEqual(before);
    await terminated();
    await waitsFor(whole, handle, 'unfreeze');
    expect(await standing(github)).not.toEqual(before);
    await handle.signal('confirm', { step: 'unfreeze', by: 'carol' });
    const end = await whole.closed(handle);

    expect(crashes.fired()).toEqual(crashes.points);
    expect(await register()).toEqual([false, true, false]);
    await expectOnceEach(scene, end, { updates: 2, resumed: 5, refrozen: 1 });
    const asked = end.answers.map((one) => `${one.name} ${one.step ?? ''}`);
    expect(asked.filter((one) => one === 'confirm declaration' || one === 'confirm target')).toEqual(['confirm declaration', 'confirm target']);
    expect(
      (await lines(whole, 'internal.log')).flatMap((one) => (one['template'] === 'update' ? [String(one['body']).includes('the rows are being signed')] : [])),
    ).toEqual([false, true]);

    // It is over: what drifts from now on is not its own, and a run that is reset to the moment before its changes makes none.
    await drift(whole);
    const runId = await reset(whole, handle, end.runId, completed(3));
    const over = await whole.until(handle, 'stopped', (state) => state.runId === runId && state.state === 'stopped');
    // The wave after them is not begun.
    expect(over.steps.flatMap((one) => (one.effect === 'config' ? [one.failure?.type ?? one.state] : []))).toEqual(['ClaimLost', 'ClaimLost', 'pending']);
    expect(await readFile(join(whole.folder, 'api.env'), 'utf8')).toContain('RATE_LIMIT=1\n');
    expect(await whole.store.freezes({ inForceOnly: true })).toEqual([]);
    expect(await standing(github)).toEqual(before);
  });

  it.concurrent('is terminated while it is only proposed: resumed and declined, it has touched nothing and holds nothing', async () => {
    await propose(world, { incident: 'INC-1', components: ['web'] });
    const handle = handleOf('INC-1');
    const { rollbackId } = await waitsFor(world, handle, 'declaration');
    await handle.terminate('somebody clicked it in the Temporal UI');
    await vi.waitFor(async () => expect(await notices(world, handle.workflowId)).toContain('abandoned'), { timeout: 15_000 });
    expect(await world.store.claims({ rollbackId })).toMatchObject([{ component: '@INC-1' }]);
    const anew = await propose(world, { incident: 'INC-1', components: ['web'] });
    expect(await world.closed(anew)).toMatchObject({ outcome: 'refused', refusals: [{ rule: 'abandoned' }] });
    expect(await resumed(world, handle.workflowId)).toMatchObject({ rollbackId, incidentCommand: { declared: null, frozen: [] } });
    await waitsFor(world, handle, 'declaration');
    await handle.signal('decline', { step: 'declaration', by: 'carol', reason: 'it was the network' });
    expect(await world.closed(handle)).toMatchObject({ rollbackId, outcome: 'refused', refusals: [{ rule: 'declaration', by: 'carol' }] });
    expect(await world.store.rollback(rollbackId)).toMatchObject({ outcome: 'refused' });
    expect(await world.store.claims({ components: ['@INC-1'] })).toEqual([]);
    expect(await world.store.freezes({ incident: 'INC-1' })).toEqual([]);
    expect((await world.ownEffects('web')).filter((one) => one.operationId.startsWith(rollbackId))).toEqual([]);
    expect(await told('INC-1')).toEqual([]);
    await audited('INC-1');
  });

  it.concurrent.each([
    ['INC-2', 'api', 'the first task', isStart],
    ['INC-3', 'worker', 'the middle, behind the freeze', completed(2)],
  ] as const)(
    'of %s, over %s, is reset to %s: it goes on under its id, with one freeze, one effect and every word once',
    async (incident, component, _, to) => {
      const waiting = await untilUnfreeze(incident, component);
      const handle = handleOf(incident);
      const runId = await reset(world, handle, waiting.runId, to);
      const again = await world.until(
        handle,
        'asking again',
        (state) => state.runId === runId && state.steps.some((one) => one.state === 'waiting' && ['target', 'unfreeze'].includes(one.id)),
      );
      expect(again).toMatchObject({
        rollbackId: waiting.rollbackId,
        planHash: waiting.planHash,
        incidentCommand: { declared: { by: 'carol' }, frozen: FROZEN },
      });
      expect(await frozen(incident)).toEqual([FROZEN]);
      if (stepOf(again, 'target').state === 'waiting') {
        await confirmTarget(world, handle);
        await world.until(handle, 'put back again', (state) =>
          state.steps.some((one) => one.state === 'waiting' && ['ownership', 'unfreeze'].includes(one.id)),
        );
        await signRows(handle);
      }
      await waitsFor(world, handle, 'unfreeze');
      await handle.signal('confirm', { step: 'unfreeze', by: 'carol' });
      expect(await world.closed(handle)).toMatchObject({ rollbackId: waiting.rollbackId, outcome: 'rolled-back', record: { behind: false } });
      await expectOneEffect(world, waiting.rollbackId, component);
      expect(await told(incident)).toEqual(['declared', 'recovery']);
      const types = (await recordOf(world, waiting.rollbackId)).map((one) => one.type);
      for (const type of ['freeze', 'unfreeze', 'closed']) expect([type, types.filter((one) => one === type).length]).toEqual([type, 1]);
      expect(await frozen(incident)).toEqual([]);
      expect((await world.store.deployments({ component, version: 'v1.1.0' })).map((one) => one.status)).toEqual(['rolled_back']);
      await audited(incident);
    },
  );

  it.concurrent('is terminated when it is unfrozen in part: resumed, the rest is frozen and asked about, with a notice of its own', async () => {
    const { rollbackId } = await untilUnfreeze('INC-4', 'web');
    const handle = handleOf('INC-4');
    await handle.signal('confirm', { step: 'unfreeze', by: 'carol', data: { scopes: ['merges'] } });
    await world.until(handle, 'asking about the rest', (state) => state.incidentCommand?.frozen.length === 3 && stepOf(state, 'unfreeze').state === 'waiting');
    await handle.terminate('somebody clicked it in the Temporal UI');
    const rest = FROZEN.slice(1);
    expect(await resumed(world, handle.workflowId)).toMatchObject({ rollbackId, incidentCommand: { frozen: rest } });
    await waitsFor(world, handle, 'unfreeze');
    expect(await frozen('INC-4')).toEqual([rest]);
    await handle.signal('confirm', { step: 'unfreeze', by: 'carol' });
    expect(await world.closed(handle)).toMatchObject({ outcome: 'rolled-back', incidentCommand: { frozen: [] } });
    expect(await frozen('INC-4')).toEqual([]);
    expect(await told('INC-4')).toEqual(['declared', 'recovery', 'recovery']);
    await expectOneEffect(world, rollbackId, 'web');
    await audited('INC-4');
  });

  it.concurrent('is reset when it is over: it neither freezes anew nor lifts what the next one of its incident has frozen', async () => {
    const { rollbackId, runId } = await untilUnfreeze('INC-5', 'admin');
    const handle = handleOf('INC-5');
    await handle.signal('confirm', { step: 'unfreeze', by: 'carol' });
    expect(await world.closed(handle)).toMatchObject({ outcome: 'rolled-back' });
    const next = await declared(world, { incident: 'INC-5', components: ['admin'] });
    await waitsFor(world, next, 'target');
    await next.signal('stop', { by: 'carol', reason: 'fixed forward' });
    await next.signal('decide', { action: 'close', by: 'carol', reason: 'fixed forward' });
    expect(await world.closed(next)).toMatchObject({ outcome: 'partial' });
    const held = await world.store.freezes({ incident: 'INC-5', inForceOnly: true });
    expect(held).toHaveLength(1);
    for (const [step, to] of [
      ['freeze', isStart],
      ['lift', isLastSignal],
    ] as const) {
      const again = await reset(world, handle, runId, to);
      const stopped = await world.until(handle, 'stopped', (state) => state.runId === again && state.state === 'stopped');
      expect(stepOf(stopped, step)).toMatchObject({ state: 'failed', failure: { type: 'ClaimLost' } });
      expect(await world.store.freezes({ incident: 'INC-5', inForceOnly: true })).toEqual(held);
      await handle.signal('stop', { by: 'carol', reason: 'it is over' });
      await handle.signal('decide', { action: 'close', by: 'carol', reason: 'it is over' });
      await world.until(handle, 'closed', (state) => state.runId === again && state.state === 'closed');
    }
    await expectOneEffect(world, rollbackId, 'admin');
    expect(await world.store.rollback(rollbackId)).toMatchObject({ outcome: 'rolled-back' });
    await expectChain(world);
  });
});
