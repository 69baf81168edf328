/** A level that grows while the worker dies, and a rollback of level 3 that is terminated, resumed and reset: nothing is repeated, nothing is forgotten, and what is frozen stays frozen. */
import type { ChildProcess } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import type { WorkflowHandle } from '@temporalio/client';
import { describe, expect, it, vi } from 'vitest';
import { fieldOf } from '../../model/field.ts';
import type { RollbackState } from '../../model/state.ts';
import { CRASHING_WORKER, keepAWorker } from '../support/crashing-worker.ts';
import { appendEvidence } from '../../client/demo/ledgered-house.ts';
import { NAMES } from '../support/grave.ts';
import { expectMoved, expectNoSecret, expectRecord, graveScene, RESTORE, UNDO, watchKeys, type GraveScene } from '../support/grave-scene.ts';
import { confirmTarget, declared, ID, lines, signRows, stepOf, waitsFor } from '../support/incident.ts';
import { recordOf, reset, watchRegister, type HistoryEvent } from '../support/incident-scene.ts';

const FROZEN = ['merges', 'claims', 'promotions', 'deployments'];
const LIST = { rotate: ['payments'], unaffected: ['google'] };

const started = ({ world }: GraveScene): Promise<WorkflowHandle> => declared(world, { components: [...NAMES] });
const escalate = (handle: WorkflowHandle, to: string): Promise<void> => handle.signal('escalate', { to, by: 'carol', reason: `it is worse: ${to}` });
const sign = (handle: WorkflowHandle): Promise<void> => handle.signal('confirm', { step: 'credentials', by: 'sam', data: LIST, note: 'seen in the log' });

async function approve({ world }: GraveScene, handle: WorkflowHandle, step: string): Promise<RollbackState> {
  const state = await waitsFor(world, handle, step);
  await handle.signal('confirm', { step, by: 'dora', plan: state.planHash });
  return state;
}

/** From the checklist to the end. */
async function signedOff({ world }: GraveScene, handle: WorkflowHandle): Promise<RollbackState> {
  const state = await world.until(handle, 'asking for the checklist', (seen) => stepOf(seen, 'cleanup.credentials').state === 'waiting', 60_000);
  expect(stepOf(state, 'cleanup.data').state).toBe('waiting');
  await handle.signal('confirm', { step: 'cleanup.data', by: 'dora', choice: 'done', evidence: ['tenant-isolation-test=https://ci/isolation/7'] });
  await handle.signal('confirm', { step: 'cleanup.evidence', by: 'dora', choice: 'done' });
  await handle.signal('confirm', { step: 'cleanup.credentials', by: 'sam', choice: 'done' });
  await handle.signal('confirm', { step: 'ownership', by: 'carol', data: { nextCycleOwner: 'abe', reviewOwner: 'carol' } });
  await waitsFor(world, handle, 'unfreeze');
  await handle.signal('confirm', { step: 'unfreeze', by: 'carol' });
  return world.closed(handle);
}

async function expectDone(scene: GraveScene, handle: WorkflowHandle, state: RollbackState): Promise<void> {
  expect(state).toMatchObject({ kind: 'l3Rollback', outcome: 'rolled-back', record: { behind: false }, remains: [] });
  await expectMoved(scene, state);
  await expectRecord(scene, state);
  const audited = await scene.world.cli(['audit', handle.workflowId]);
  expect(audited, audited.stdout).toMatchObject({ code: 0 });
  await expectNoSecret(scene, handle);
}

/** Its first look at the evidence is what the gate compares with, whatever was appended since. */
async function expectFirstSurvey({ world }: GraveScene, state: RollbackState): Promise<void> {
  const [first] = (await recordOf(world, state.rollbackId)).filter((one) => one.step === 'evidence.trail');
  const seen = fieldOf(first?.['receipt'], 'after');
  const before = { entries: 5, head: fieldOf(seen, 'head'), digest: fieldOf(seen, 'digest') };
  expect(seen).toMatchObject(before);
  expect(stepOf(state, 'chain.trail')).toMatchObject({ state: 'done', receipt: { after: { before, broken: 0 } } });
}

const toldOf = async ({ world }: GraveScene, template: string): Promise<number> =>
  (await lines(world, 'stakeholders.log')).filter((one) => one['template'] === template).length;

describe.concurrent('a rollback that grows to level 3', { timeout: 240_000 }, () => {
  it('while its worker is killed before and after the plan is written, and while people are awaited: each plan once, each word once', async (context) => {
    const scene = await graveScene(context, [
      'escalateRollback:before-claim',
      'escalateRollback:after-replan',
      'escalateRollback:before-replan',
      'escalateRollback:after-replan#2',
    ]);
    const { world, crashes } = scene;
    const config = await readFile(world.config, 'utf8');
    await writeFile(world.config, config.replace(/^ {4}databases:$/m, '    databases:\n      spare: { options: { url: env:SHOP_DB } }'));
    const workers = keepAWorker(context, world, { ...crashes.env, BACKOUT_SWEEP_MS: '10000' });
    const [register, keys] = [watchRegister(context, world), watchKeys(context, scene)];
    const handle = await started(scene);
    await confirmTarget(world, handle);
    await waitsFor(world, handle, 'cleanup.data');
    await escalate(handle, 'l2Rollback');
    const second = await world.until(handle, 'at level 2', (state) => state.kind === 'l2Rollback' && stepOf(state, 'target').state === 'waiting', 60_000);
    await escalate(handle, 'l3Rollback');
    const third = await world.until(handle, 'at level 3', (state) => state.kind === 'l3Rollback' && stepOf(state, 'target').state === 'waiting', 60_000);
    expect(third.rollbackId).toBe(second.rollbackId);
    const claims = (await world.store.claims({ rollbackId: third.rollbackId })).map((one) => one.component);
    expect(claims.toSorted()).toEqual(
      ['@INC-42', '@credential/google', '@credential/payments', '@database/main', '@database/spare', '@evidence/trail', ...NAMES].toSorted(),
    );
    // What is said while nobody hears it is kept.
    await waitsFor(world, handle, 'credentials');
    workers.current()?.kill('SIGKILL');
    await sign(handle);
    await confirmTarget(world, handle);
    await approve(scene, handle, UNDO);
    await approve(scene, handle, RESTORE);
    const state = await signedOff(scene, handle);

    expect(crashes.fired()).toEqual(crashes.points);
    expect(workers.deaths).toEqual([...crashes.points, 'while waiting'].map(() => 'SIGKILL'));
    await keys();
    expect(await register()).toEqual([false, true, false]);
    const own = await recordOf(world, state.rollbackId);
    expect(own.flatMap((one) => (one.type === 'replanned' && one['escalated'] ? [one['escalated']] : []))).toMatchObject([
      { from: 'l1Rollback', to: 'l2Rollback', by: 'carol' },
      { from: 'l2Rollback', to: 'l3Rollback', by: 'carol' },
    ]);
    const notices = (await world.incidents()).filter((one) => one.notice === 'escalated');
    expect(notices).toHaveLength(2);
    expect(await toldOf(scene, 'declared')).toBe(3);
    expect(await toldOf(scene, 'recovery')).toBe(1);
    expect(state.refusals).toEqual([]);
    // Said with a plan whose first answer was lost.
    expect(state.warnings).toContainEqual(expect.stringMatching(/^no checks of spare are configured/));
    await expectDone(scene, handle, state);
  });

  it('and is terminated again and again: resumed, it repeats nothing, forgets no signature and believes its first survey', async (context) => {
    const points = [
      'escalateRollback:before-replan',
      'escalateRollback:after-replan',
      'install.payments:before-reveal',
      'revoke.payments:after-revoke',
      `${UNDO}:before-undo`,
      `${RESTORE}:before-preview`,
    ];
    const scene = await graveScene(context, points);
    const { world, query, crashes } = scene;
    const [register, keys] = [watchRegister(context, world), watchKeys(context, scene)];
    let worker: ChildProcess = await world.worker(crashes.env, CRASHING_WORKER);
    const handle = await started(scene);
    await confirmTarget(world, handle);
    const { rollbackId } = await waitsFor(world, handle, 'cleanup.data');
    const current = world.client.workflow.getHandle(ID);
    const ended = async (kind = 'l3Rollback'): Promise<RollbackState> => {
      await vi.waitFor(() => expect(worker.signalCode).toBe('SIGKILL'), { timeout: 60_000 });
      await current.terminate('somebody clicked it in the Temporal UI');
      expect((await world.store.freezes({ inForceOnly: true })).map((one) => one.inForce)).toEqual([FROZEN]);
      worker = await world.worker(crashes.env, CRASHING_WORKER);
      const ran = await world.cli(['resume', ID, '--by', 'carol', '--reason', 'it was terminated by mistake', '--json']);
      expect(ran, ran.stderr).toMatchObject({ code: 0 });
      const state = JSON.parse(ran.stdout) as RollbackState; // As `show --json` prints it.
      expect(state).toMatchObject({ rollbackId, kind, incidentCommand: { frozen: FROZEN } });
      return state;
    };

    // Signed as not applicable at a level at which that was possible; the plan of the higher one is written, and no workflow knows of it.
    await handle.signal('confirm', { step: 'cleanup.data', by: 'dora', choice: 'not-applicable', note: 'no data was touched' });
    await world.until(handle, 'signed', (state) => stepOf(state, 'cleanup.data').state === 'confirmed');
    await escalate(handle, 'l3Rollback');
    // Asked for, and not planned yet: it is not asked for once more.
    await ended('l1Rollback');
    const first = await ended();
    expect(stepOf(first, 'cleanup.data').state).toBe('pending');
    expect(stepOf(first, 'api.deploy').state).toBe('done');
    await waitsFor(world, current, 'credentials');
    await sign(current);
    await confirmTarget(world, current);

    // Issued, and put nowhere.
    const second = await ended();
    expect(['credentials', 'issue.payments'].map((id) => stepOf(second, id).state)).toEqual(['confirmed', 'done']);

    // One of two is revoked.
    const third = await ended();
    expect(third.planHash).toBe(second.planHash);
    expect(['issue.payments', 'install.payments'].map((id) => stepOf(third, id).state)).toEqual(['done', 'done']);
    await approve(scene, current, UNDO);

    // Approved, and not begun: an approval is no deed.
    const fourth = await ended();
    expect(['revoke.payments', 'evidence.trail'].map((id) => stepOf(fourth, id).state)).toEqual(['done', 'done']);
    await appendEvidence(query, 2);
    await approve(scene, current, RESTORE);

    // Undone, and nothing put back yet.
    const fifth = await ended();
    expect(stepOf(fifth, UNDO)).toMatchObject({ state: 'done', receipt: { after: { destroyed: [{ rows: 7 }] } } });
    await world.until(current, 'put back', (state) => stepOf(state, 'annotate.trail').state === 'done', 60_000);
    await appendEvidence(query, 1);
    const state = await signedOff(scene, current);

    expect(crashes.fired()).toEqual(points);
    await keys();
    expect(await register()).toEqual([false, true, false]);
    const asked = state.answers.map((one) => `${one.name} ${one.step ?? ''}`);
    for (const once of ['confirm credentials', `confirm ${UNDO}`, `confirm ${RESTORE}`])
      expect([once, asked.filter((one) => one === once).length]).toEqual([once, 1]);
    const own = await recordOf(world, rollbackId);
    const tries = (step: string): number => own.filter((one) => one.step === step).length;
    for (const step of [
      'survey.main',
      'evidence.trail',
      'issue.payments',
      'install.payments',
      UNDO,
      RESTORE,
      'rebuild.main.totals',
      'annotate.trail',
      'revoke.payments',
    ])
      expect([step, tries(step)]).toEqual([step, 1]);
    await expectFirstSurvey(scene, state);
    await expectDone(scene, current, state);
  });

  it('and is reset to before it grew, and to before its new key: it asks again, does nothing again, and says so', async (context) => {
    const scene = await graveScene(context);
    const { world, query } = scene;
    await world.worker();
    const [register, keys] = [watchRegister(context, world), watchKeys(context, scene)];
    const first = await started(scene);
    await confirmTarget(world, first);
    await waitsFor(world, first, 'cleanup.data');
    await escalate(first, 'l3Rollback');
    await waitsFor(world, first, 'credentials');
    await sign(first);
    await confirmTarget(world, first);
    await approve(scene, first, UNDO);
    await approve(scene, first, RESTORE);
    const moved = await waitsFor(world, first, 'cleanup.credentials');
    await appendEvidence(query, 1);
    const handle = world.client.workflow.getHandle(ID);

    const of =
      (run: string, step: string) =>
      (state: RollbackState): boolean =>
        state.runId === run && state.steps.some((one) => one.id === step && one.state === 'waiting');
    // By somebody who wants nothing of what was said since: this run knows of no higher level, and would end without it.
    const small = await reset(world, handle, moved.runId, beforeSignal('escalate'), true);
    await world.until(handle, 'at the checklist of level 1', of(small, 'cleanup.credentials'), 60_000);
    await signRows(handle);
    const stopped = await world.until(handle, 'stopped', (state) => state.runId === small && state.state === 'stopped', 60_000);
    expect(stepOf(stopped, 'stability').failure).toMatchObject({ type: 'PlanStale', message: expect.stringMatching(/l3Rollback.*escalate/) });
    expect(stopped).toMatchObject({ kind: 'l1Rollback', incidentCommand: { frozen: FROZEN } });
    await escalate(handle, 'l3Rollback');
    await world.until(handle, 'at level 3', of(small, 'credentials'), 60_000);

    const runId = await reset(world, handle, small, beforeSignal('escalate'));
    // Asked for again by the same message, it is the plan that was written; what was signed of it is not known to this run.
    const grown = await world.until(handle, 'grown again', of(runId, 'credentials'), 60_000);
    expect(grown).toMatchObject({ rollbackId: moved.rollbackId, kind: 'l3Rollback', planHash: moved.planHash, incidentCommand: { frozen: FROZEN } });
    expect(stepOf(grown, 'issue.payments').state).toBe('pending');
    await sign(handle);
    await confirmTarget(world, handle);
    await approve(scene, handle, UNDO);
    await approve(scene, handle, RESTORE);
    const again = await world.until(handle, 'at the checklist again', of(runId, 'cleanup.credentials'), 60_000);
    expect(again.warnings).toContainEqual(expect.stringMatching(/^trail was looked at by an earlier run of this rollback/));
    await expectFirstSurvey(scene, again);

    const last = await reset(world, handle, runId, beforeStep('issue.payments'));
    // What was approved was approved of a question that has not been asked yet.
    const asking = await world.until(handle, 'asking again', of(last, UNDO), 60_000);
    expect(stepOf(asking, 'credentials').state).toBe('confirmed');
    expect(asking).toMatchObject({ rollbackId: moved.rollbackId, planHash: moved.planHash, incidentCommand: { frozen: FROZEN } });
    await approve(scene, handle, UNDO);
    await approve(scene, handle, RESTORE);
    const state = await signedOff(scene, handle);
    await keys();
    expect(await register()).toEqual([false, true, false]);
    await expectFirstSurvey(scene, state);
    await expectDone(scene, handle, state);
  });
});

const isTask = (event: HistoryEvent | undefined): boolean => Boolean(event?.workflowTaskCompletedEventAttributes);
/** The task that has scheduled the step. */
const beforeStep =
  (step: string) =>
  (event: HistoryEvent, _: number, all: readonly HistoryEvent[]): boolean => {
    const told = all.find((one) => Buffer.from(one.activityTaskScheduledEventAttributes?.input?.payloads?.[0]?.data ?? '').includes(`"step":{"id":"${step}"`));
    return isTask(event) && String(event.eventId) === String(told?.activityTaskScheduledEventAttributes?.workflowTaskCompletedEventId);
  };
/** The last task that did not know of it. */
const beforeSignal =
  (name: string) =>
  (_: HistoryEvent, index: number, all: readonly HistoryEvent[]): boolean => {
    const at = all.findIndex((one) => one.workflowExecutionSignaledEventAttributes?.signalName === name);
    return index === all.findLastIndex((one, place) => place < at && isTask(one));
  };
