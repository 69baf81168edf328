/** A rollback that has stopped, and what people may decide about it [product.md 2, 3, 6; 002 sections 9 and 11]. */
import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RollbackState } from '../../model/state.ts';
import { layRelease } from '../../client/demo/shop.ts';
import type { MessageReply } from '../../workflows/messages.ts';
import { eventually, LyingWorld } from '../support/lying-world.ts';
import { BOOTS, type World } from '../support/world.ts';

// `zeta` stands before `alpha` in backout.yaml.
const PAPER = ['zeta', 'alpha', 'retried', 'behind-it', 'skipped', 'closed', 'stop-a', 'stop-b', 'never-mind', 'declined', 'ends', 'whole'];

let lying: LyingWorld;
let world: World;
beforeAll(async () => {
  lying = await LyingWorld.create({
    shops: [
      { name: 'by-hand', releases: [{ version: 'v1.0.0', crashes: true }, { version: 'v1.1.0' }] },
      { ...BOOTS, name: 'drifts', yaml: ['settleSeconds: 1'] },
    ],
    paper: Object.fromEntries(PAPER.map((name) => [name, []])),
  });
  world = lying.world;
  await Promise.all([world.recorded('by-hand', 'v1.0.0', true), world.recorded('drifts', 'v1.0.0', true)]);
  await Promise.all([world.release('by-hand', 'v1.1.0', false), world.release('drifts', 'v1.1.0', false)]);
});
afterAll(() => lying.close());

const say = (handle: WorkflowHandle, name: string, body: unknown): Promise<MessageReply> =>
  handle.executeUpdate<MessageReply, [unknown]>(name, { args: [body] });
const stepOf = (state: RollbackState, id: string): RollbackState['steps'][number] => state.steps.find((step) => step.id === id)!;
const both = (...components: string[]): Promise<WorkflowHandle> =>
  world.start({ components, targets: Object.fromEntries(components.map((name) => [name, 'v1.0.0'])) });
const FULL = { kind: 'failed', message: 'disk full' } as const;

async function failing(component: string): Promise<WorkflowHandle> {
  lying.write(component, { fails: FULL });
  const handle = await lying.on(component);
  await world.stopped(handle);
  expect(lying.sheet(component).applied).toHaveLength(1);
  lying.write(component, { fails: null });
  return handle;
}

describe.concurrent('a step that failed', () => {
  it('[002 section 11] stops everything, tells the incident channel, and is tried again only with an analysis, as a new operation', async () => {
    lying.write('retried', { fails: FULL });
    const handle = await both('retried', 'behind-it');
    const state = await world.stopped(handle);
    expect(state).toMatchObject({ stopped: 'retried.deploy failed: disk full', waiting: [{ step: 'retried.deploy', for: 'operator' }] });
    expect(state.waiting[0]?.answer).toBe(
      'backout decide deployRevert/production/behind-it+retried --step retried.deploy --action retry --by YOU --reason WHY --analysis "WHAT WENT WRONG"',
    );
    expect(stepOf(state, 'retried.deploy').failure).toMatchObject({
      type: 'PlatformFailed',
      retryable: false,
      remedy: expect.stringContaining('retry (in a deployRevert with the analysis)') as string,
    });
    expect(state.steps.slice(1).every((step) => step.state === 'pending' && step.attempts === 0)).toBe(true);
    await eventually('the incident channel is told', async () =>
      (await lying.toldOf(handle)).some(
        (one) => one.notice === 'stopped' && one.text === 'retried.deploy failed: disk full' && one.next[0] === state.waiting[0]?.answer,
      ),
    );
    const retry = { step: 'retried.deploy', by: 'ana', action: 'retry', reason: 'freed 20 GB' };
    expect(await say(handle, 'decide', retry)).toMatchObject({
      accepted: false,
      state: 'stopped',
      refusal: {
        rule: 'analysis',
        source: '[002 section 11]',
        explanation: 'a repeated attempt needs a written analysis of the failure; say it in "analysis"',
      },
    });
    expect([lying.sheet('retried').applied.length, lying.sheet('behind-it').applied.length]).toEqual([1, 0]);
    lying.write('retried', { fails: null });
    expect(await say(handle, 'decide', { ...retry, analysis: 'the disk was full' })).toMatchObject({ accepted: true });
    await world.waiting(handle);
    expect(lying.sheet('retried').applied.map((one) => one.operationId)).toEqual(
      [0, 1].map((generation) => `${state.rollbackId}/retried.deploy/${generation}`),
    );
    await world.confirm(handle);
    const closed = await world.closed(handle);
    expect(closed.outcome).toBe('rolled-back');
    const deploys = (await lying.recordOf(closed)).filter((one) => one['step'] === 'retried.deploy').map((one) => [one['state'], one['generation']]);
    expect(deploys).toEqual([
      ['failed', 0],
      ['done', 1],
    ]);
  });

  it('[002 section 9] is never skipped', async () => {
    const handle = await failing('skipped');
    expect(await say(handle, 'decide', { step: 'skipped.deploy', by: 'ana', action: 'skip', reason: 'not important' })).toMatchObject({
      accepted: false,
      refusal: {
        rule: 'no-partial',
        source: '[002 section 9]',
        explanation: 'partial rollbacks are forbidden here, so skipped.deploy cannot be skipped; retry with an analysis, or close',
      },
    });
    const state = await world.state(handle);
    expect(stepOf(state, 'skipped.deploy').state).toBe('failed');
    for (const id of ['skipped.smoke', 'availability'])
      expect(await say(handle, 'decide', { step: id, by: 'ana', action: 'skip', reason: 'x' })).toMatchObject({ refusal: { rule: 'not-failed' } });
  });

  it('[002 section 11] is done by hand only when an inspection agrees', async () => {
    const handle = await lying.on('by-hand');
    await world.stopped(handle);
    const done = { step: 'by-hand.deploy', by: 'ana', action: 'done', reason: 'put back by hand' };
    expect(await say(handle, 'decide', done)).toMatchObject({ accepted: true });
    const disagrees = await world.until(handle, 'refused', (state) => state.refusals.length > 0);
    expect(disagrees.refusals).toMatchObject([
      {
        rule: 'inspection-disagrees',
        by: 'ana',
        message: 'decide',
        explanation: 'by-hand.deploy was said to be done, and the inspection does not agree: by-hand is at v1.1.0, not at v1.0.0',
      },
    ]);
    expect(stepOf(await world.stopped(handle), 'by-hand.deploy')).toMatchObject({ state: 'failed', failure: { type: 'PlatformFailed' } });
    await layRelease(world.folder, 'by-hand', { version: 'v1.0.0' });
    await world.deploy('by-hand', 'v1.0.0');
    await say(handle, 'decide', done);
    const state = await world.waiting(handle);
    expect(state.steps.map((step) => step.state)).toEqual(['already', 'done', 'done', 'done', 'waiting']);
    await world.confirm(handle);
    expect((await world.closed(handle)).outcome).toBe('rolled-back');
    // Backout itself has changed nothing.
    expect(await world.ownEffects('by-hand')).toEqual([]);
  });

  it('[002 section 11] closed: the execution fails, what is left is named, the claim is given up, and the next attempt needs an analysis', async () => {
    const handle = await failing('closed');
    expect(await world.store.claims({ components: ['closed'] })).toHaveLength(1);
    expect(await say(handle, 'decide', { by: 'ana', action: 'close', reason: 'the platform is gone' })).toMatchObject({ accepted: true });
    const error = await handle.result().catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(WorkflowFailedError);
    const cause = (error as WorkflowFailedError).cause as ApplicationFailure; // Checked here and below.
    expect(cause).toBeInstanceOf(ApplicationFailure);
    expect(cause).toMatchObject({ type: 'RollbackFailed', message: 'the rollback failed. ana closed it: the platform is gone' });
    const state = await world.state(handle);
    expect(state).toMatchObject({ state: 'closed', outcome: 'failed', remains: [{ artifact: 'closed', reason: 'disk full', owner: 'operator' }], waiting: [] });
    expect((await handle.describe()).status.name).toBe('FAILED');
    expect(await world.store.claims({ components: ['closed'] })).toEqual([]);
    expect((await world.store.rollback(state.rollbackId))?.outcome).toBe('failed');
    // Nothing was taken back, so no deployment says so.
    expect((await world.store.deployments({ component: 'closed' })).map((one) => one.status)).toEqual(['in_progress', 'success']);

    const again = (await (await lying.on('closed')).result()) as RollbackState; // What the workflow type answers.
    expect(again).toMatchObject({ outcome: 'refused', refusals: [{ rule: 'analysis', source: '[002 section 11]' }] });
    const next = await lying.on('closed', { analysis: 'the disk was full, and is not any more' });
    await world.waiting(next);
    await world.confirm(next);
    expect((await world.closed(next)).outcome).toBe('rolled-back');
  });
});

describe.concurrent('a stop', () => {
  it('finishes the operation in flight, changes nothing further, and is resumed', async () => {
    lying.write('stop-a', { takesMs: 800 });
    const handle = await both('stop-a', 'stop-b');
    await eventually('the deployment is under way', () => lying.sheet('stop-a').applied.length === 1);
    expect(await say(handle, 'stop', { by: 'ana', reason: 'wrong component' })).toMatchObject({ accepted: true, state: 'stopped' });
    const state = await world.until(handle, 'finished', (seen) => stepOf(seen, 'stop-a.deploy').state === 'done');
    expect(state).toMatchObject({ state: 'stopped', stopped: 'stopped by ana: wrong component' });
    expect(state.waiting[0]).toMatchObject({
      json: 'resume {"by":"YOU","reason":"WHY"}',
      answer: 'backout resume deployRevert/production/stop-a+stop-b --by YOU --reason WHY',
    });
    await eventually('the incident channel is told', async () => (await lying.toldOf(handle)).some((one) => one.notice === 'stopped'));
    const later = await world.state(handle);
    expect(later.steps.map((step) => step.state)).toEqual(['done', ...Array.from({ length: 8 }, () => 'pending')]);
    expect([lying.sheet('stop-a').version, lying.sheet('stop-b').version]).toEqual(['v1.0.0', 'v1.1.0']);
    expect(await say(handle, 'resume', { by: 'ana', reason: 'it was right' })).toMatchObject({ accepted: true });
    await world.waiting(handle);
    expect([lying.sheet('stop-a').applied.length, lying.sheet('stop-b').applied.length]).toEqual([1, 1]);
    expect(await say(handle, 'resume', { by: 'ana', reason: 'again' })).toMatchObject({ refusal: { rule: 'not-stopped', explanation: 'it is not stopped' } });
    await world.confirm(handle);
    expect((await world.closed(handle)).outcome).toBe('rolled-back');
  });

  it('may be closed, as failed', async () => {
    lying.write('never-mind', { takesMs: 300 });
    const handle = await lying.on('never-mind');
    await world.waiting(handle);
    expect(await say(handle, 'decide', { by: 'ana', action: 'close', reason: 'x' })).toMatchObject({ refusal: { rule: 'not-stopped' } });
    await say(handle, 'stop', { by: 'ana', reason: 'never mind' });
    await say(handle, 'decide', { by: 'ana', action: 'close', reason: 'never mind' });
    expect(await world.closed(handle)).toMatchObject({ outcome: 'failed', remains: [] });
  });
});

describe.concurrent('availability', () => {
  it('[002 section 8] declined is a failed verification: a retry looks at every gate again before anybody is asked', async () => {
    const handle = await lying.on('declined');
    await world.waiting(handle);
    await say(handle, 'decline', { step: 'availability', by: 'ana', reason: 'the shop is empty' });
    const state = await world.stopped(handle);
    expect(state).toMatchObject({ stopped: 'availability declined: ana declined availability: the shop is empty' });
    lying.write('declined', { unhealthy: true });
    await say(handle, 'decide', { step: 'availability', by: 'ana', action: 'retry', reason: 'restarted', analysis: 'a cache' });
    const sick = await world.until(handle, 'unhealthy', (seen) => stepOf(seen, 'declined.health').state === 'failed');
    expect(sick.steps.map((step) => [step.state, step.attempts])).toEqual([
      ['done', 1],
      ['done', 2],
      ['failed', 2],
      ['pending', 1],
      ['pending', 0],
    ]);
    lying.write('declined', { unhealthy: false });
    await say(handle, 'decide', { step: 'declined.health', by: 'ana', action: 'retry', reason: 'restarted', analysis: 'it was the database' });
    await world.waiting(handle);
    await world.confirm(handle);
    expect((await world.closed(handle)).outcome).toBe('rolled-back');
    expect(lying.sheet('declined').applied).toHaveLength(1);
  });

  it('declined and closed: failed, and the deployment is not called rolled back', async () => {
    const handle = await lying.on('ends');
    await world.waiting(handle);
    await say(handle, 'decline', { step: 'availability', by: 'ana', reason: 'the shop is empty' });
    await world.stopped(handle);
    await say(handle, 'decide', { by: 'ana', action: 'close', reason: 'the target is bad, too' });
    expect((await world.closed(handle)).outcome).toBe('failed');
    expect((await world.store.deployments({ component: 'ends' })).map((one) => one.status)).toEqual(['in_progress', 'success']);
  });

  it('[002 section 8] confirmed when somebody has put the bad version back meanwhile: nothing is closed, and the gate says why', async () => {
    const handle = await lying.on('drifts');
    const before = await world.waiting(handle);
    expect(stepOf(before, 'drifts.served').state).toBe('done');
    await world.deploy('drifts', 'v1.1.0');
    await world.confirm(handle);
    const state = await world.stopped(handle);
    expect(stepOf(state, 'drifts.deploy')).toMatchObject({
      state: 'failed',
      failure: { message: expect.stringMatching(/serves v1\.1\.0, not v1\.0\.0/) as string },
    });
    expect(state.steps.slice(1).map((step) => step.state)).toEqual(['pending', 'pending', 'pending', 'pending']);
    expect(state.outcome).toBeNull();
    expect((await handle.describe()).status.name).toBe('RUNNING');
    expect((await world.store.deployments({ component: 'drifts' })).map((one) => one.status)).toEqual(['in_progress', 'success']);
    expect(await world.store.claims({ components: ['drifts'] })).toHaveLength(1);
    await say(handle, 'decide', { step: 'drifts.deploy', by: 'ana', action: 'retry', reason: 'the pipeline is off', analysis: 'a late pipeline' });
    await world.waiting(handle);
    await world.confirm(handle);
    const closed = await world.closed(handle);
    expect(closed.outcome).toBe('rolled-back');
    expect(await world.serves('drifts')).toBe('v1.0.0');
    expect((await world.ownEffects('drifts')).map((one) => one.operationId)).toEqual(
      [0, 1].map((generation) => `${closed.rollbackId}/drifts.deploy/${generation}`),
    );
    expect((await lying.recordOf(closed)).filter((one) => one['type'] === 'drift')).toHaveLength(1);
  });
});

describe.concurrent('several components', () => {
  it('[002 section 9] go in the order of backout.yaml, each as a whole: where one fails, the next is not begun', async () => {
    lying.write('zeta', { fails: FULL });
    const handle = await both('alpha', 'zeta');
    const state = await world.stopped(handle);
    expect(state.targets.map((target) => target.component)).toEqual(['zeta', 'alpha']);
    expect([lying.sheet('zeta').applied.length, lying.sheet('alpha').applied.length]).toEqual([1, 0]);
    lying.write('zeta', { fails: null });
    await say(handle, 'decide', { step: 'zeta.deploy', by: 'ana', action: 'retry', reason: 'freed', analysis: 'disk full' });
    const waiting = await world.waiting(handle);
    const startedAt = waiting.steps.map((step) => step.startedAt ?? '');
    expect(startedAt).toEqual(startedAt.toSorted());
    expect(waiting.steps.map((step) => step.id).indexOf('zeta.served')).toBeLessThan(waiting.steps.map((step) => step.id).indexOf('alpha.deploy'));
    await world.confirm(handle);
    expect((await world.closed(handle)).outcome).toBe('rolled-back');
  });
});

describe('the end', () => {
  it('[002 section 10] marks the bad deployment, writes the restored one with where it came from, and gives up the claim', async () => {
    const handle = await lying.on('whole');
    await world.waiting(handle);
    const waiting = (await world.store.deployments({ component: 'whole' })).map((one) => one.status);
    expect(waiting).toEqual(['in_progress', 'success']);
    await world.confirm(handle);
    const state = await world.closed(handle);
    const [restored, bad, good] = await world.store.deployments({ component: 'whole' });
    expect(bad).toMatchObject({ version: 'v1.1.0', status: 'rolled_back', rolledBackAt: expect.any(String) as string });
    expect(good).toMatchObject({ version: 'v1.0.0', status: 'success', rollbackFrom: null });
    expect(restored).toMatchObject({ version: 'v1.0.0', status: 'success', healthCheckPassed: true, rollbackFrom: bad?.deploymentId });
    expect(await world.store.claims({ rollbackId: state.rollbackId })).toEqual([]);
    const event = await world.store.rollback(state.rollbackId);
    expect(event).toMatchObject({
      outcome: 'rolled-back',
      reason: 'checkout answers 500',
      cause: 'smoke-failed',
      trigger: 'verification',
      by: 'ci',
      planHash: state.planHash,
    });
    expect(event?.closedAt).not.toBeNull();
    const entries = await lying.recordOf(state);
    expect(entries.map((one) => one['type'])).toEqual(['opened', 'step', 'step', 'step', 'step', 'answer', 'closed']);
    expect(entries[0]).toMatchObject({
      input: { reason: 'checkout answers 500' },
      plan: { targets: [{ component: 'whole', from: 'v1.1.0', to: 'v1.0.0' }] },
      at: expect.any(String) as string,
    });
    expect(entries.at(-1)).toMatchObject({ outcome: 'rolled-back' });
    expect(state.record).toMatchObject({ entries: entries.length, behind: false });
  });
});
