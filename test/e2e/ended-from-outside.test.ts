/** Cancelled, terminated, reset, forged and stuck: what the Temporal UI lets anybody do to a rollback [product.md 3, 6]. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import { temporal } from '@temporalio/proto';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { verifyChain, type RecordEntry, type StoredEntry } from '../../model/record.ts';
import type { RollbackState } from '../../model/state.ts';
import { TASK_QUEUE } from '../../model/task-queue.ts';
import { digest } from '../../store/digest.ts';
import { CRASHING_WORKER, Crashes, runningOf, servingOf, wasLaunched } from '../support/crashing-worker.ts';
import { BOOTS, World, type Shop } from '../support/world.ts';

type HistoryEvent = temporal.api.history.v1.IHistoryEvent;

const SLOW: Shop['releases'] = [
  { version: 'v1.0.0', startMs: 2_500 },
  { version: 'v1.1.0', broken: true },
];
const YAML = [
  'people: { ana: { roles: [operator] }, ben: { roles: [operator] } }',
  'confirmations: { fourEyes: true }',
  'channels: { incident: [{ file: ./incidents.log }] }',
];
const idOf = (component: string): string => `deployRevert/production/${component}`;

let world: World;

/** The bad release in place, the good one known healthy. */
async function bad(component: string, at = world): Promise<void> {
  await at.recorded(component, 'v1.0.0', true);
  await at.release(component, 'v1.1.0', false);
}

const start = (component: string, more: Record<string, unknown> = {}, at = world): Promise<WorkflowHandle> =>
  at.start({ components: [component], targets: { [component]: 'v1.0.0' }, ...more });

/** What `backout resume` starts. */
const resume = (component: string, rollbackId: string, more: Record<string, unknown> = {}, at = world): Promise<WorkflowHandle> =>
  start(component, { resumes: { rollbackId, by: 'ben', reason: 'it was terminated by mistake' }, ...more }, at);

/** Ends the execution from outside, and sees that what it holds stays held. */
async function terminated(handle: WorkflowHandle, rollbackId: string, at = world): Promise<void> {
  await handle.terminate('somebody clicked it in the Temporal UI');
  expect((await handle.describe()).status.name).toBe('TERMINATED');
  expect(await at.store.claims({ rollbackId })).toHaveLength(1);
}

async function inFlight(component: string): Promise<void> {
  await vi.waitFor(
    () => {
      expect(wasLaunched(world.folder, component, 'v1.0.0')).toBe(true);
    },
    { timeout: 20_000 },
  );
  expect(await world.ownEffects(component)).toEqual([]);
}

const noticesOf = async (component: string, at = world): Promise<{ notice: string; text: string; next: string[] }[]> =>
  (await at.incidents()).filter((one) => 'workflowId' in one && one.workflowId === idOf(component));

async function told(component: string, notice: string, at = world): Promise<{ text: string; next: string[] }[]> {
  await vi.waitFor(
    async () => {
      expect((await noticesOf(component, at)).map((one) => one.notice)).toContain(notice);
    },
    { timeout: 15_000 },
  );
  return (await noticesOf(component, at)).filter((one) => one.notice === notice);
}

async function expectPutBack(component: string, rollbackId: string, generations = [0], at = world): Promise<void> {
  expect((await at.ownEffects(component)).map((one) => one.operationId)).toEqual(
    generations.map((generation) => `${rollbackId}/${component}.deploy/${generation}`),
  );
  expect(await at.serves(component)).toBe('v1.0.0');
  expect(
    runningOf(at.folder, component)
      .filter((one) => !one.front)
      .map((one) => one.process),
  ).toEqual([servingOf(at.folder, component)]);
}

async function expectClosed(handle: WorkflowHandle, component: string, rollbackId: string, generations = [0], at = world): Promise<RollbackState> {
  const state = await at.closed(handle);
  expect(state).toMatchObject({ rollbackId, id: idOf(component), outcome: 'rolled-back', record: { behind: false } });
  await expectPutBack(component, rollbackId, generations, at);
  expect(await at.store.claims({ rollbackId })).toEqual([]);
  expect((await at.store.rollback(rollbackId))?.outcome).toBe('rolled-back');
  return state;
}

const recordOf = async (
  rollbackId: string,
  at = world,
): Promise<(RecordEntry & { step?: string; generation?: number; answer?: { name: string; by: string } })[]> =>
  (await at.store.entriesOf(rollbackId)).map((one) => JSON.parse(one.body) as RecordEntry); // Our own writer's.

async function expectChain(at = world): Promise<void> {
  const chain: StoredEntry[] = [];
  for await (const entry of at.store.chain()) chain.push(entry);
  expect(verifyChain(chain, digest)).toEqual([]);
}

/** Back to the task that the given event of the history has led to, as the dialog of the Temporal UI does it. */
async function reset(
  handle: WorkflowHandle,
  runId: string,
  to: (event: HistoryEvent, index: number, all: readonly HistoryEvent[]) => boolean,
): Promise<string> {
  const { events } = await world.client.workflow.getHandle(handle.workflowId, runId).fetchHistory();
  const from = events?.findIndex(to) ?? -1;
  const task = events?.slice(from).find((event) => event.workflowTaskCompletedEventAttributes);
  if (from < 0 || !task?.eventId) throw new Error('the history has no such task');
  const answer = await world.client.workflowService.resetWorkflowExecution({
    namespace: 'default',
    workflowExecution: { workflowId: handle.workflowId, runId },
    reason: 'somebody clicked it in the Temporal UI',
    workflowTaskFinishEventId: task.eventId,
    requestId: randomUUID(),
  });
  expect(answer.runId).not.toBe(runId);
  return answer.runId;
}

describe('from outside', { timeout: 150_000 }, () => {
  const shops: Shop[] = [
    ...['waits', 'drift', 'first', 'middle', 'closed', 'other', 'forged', 'victim'].map((name) => ({ ...BOOTS, name })),
    ...['cancel', 'stops', 'flight'].map((name) => ({ name, releases: SLOW })),
    { name: 'late', releases: [{ version: 'v1.0.0', startMs: 3_500 }, { version: 'v1.1.0' }], yaml: ['targetSeconds: 3'] },
  ];
  beforeAll(async () => {
    world = await World.create({ shops, yaml: YAML });
    await world.worker();
  });
  afterAll(() => world.close());

  it.concurrent('a cancel request is a stop: the operation in flight ends, resume goes on, and another request is harmless', async () => {
    await bad('cancel');
    const handle = await start('cancel');
    await inFlight('cancel');
    await handle.cancel();
    const stopped = await world.stopped(handle);
    expect(stopped).toMatchObject({
      stopped: expect.stringMatching(/^stopped by cancel request/),
      steps: [{ id: 'cancel.deploy' }, { state: 'pending' }, { state: 'pending' }, { state: 'pending' }, { state: 'pending' }],
    });
    await world.until(handle, 'done with the operation in flight', (state) => state.steps[0]?.state === 'done');
    await expectPutBack('cancel', stopped.rollbackId);
    await handle.cancel();
    await handle.signal('resume', { by: 'ana', reason: 'it was right' });
    await world.waiting(handle);
    await handle.cancel();
    await world.confirm(handle);
    const state = await expectClosed(handle, 'cancel', stopped.rollbackId);
    expect(state.answers.map((one) => one.name)).toEqual(['stop', 'resume', 'confirm']);
    expect((await handle.describe()).status.name).toBe('COMPLETED');
  });

  it.concurrent('terminated while it waits: abandoned, told once, held against a new start, and resumed with everything that was said', async () => {
    await bad('waits');
    const handle = await start('waits', { by: 'ana', trigger: 'operator' });
    const before = await world.waiting(handle);
    const { rollbackId } = before;
    await expect(handle.executeUpdate('confirm', { args: [{ step: 'availability', by: 'ana' }] })).resolves.toMatchObject({ refusal: { rule: 'four-eyes' } });
    // No activity follows it, so that only the history has it.
    await handle.signal('assign', { role: 'operator', to: 'zoe', by: 'ben', reason: 'end of shift' });
    await world.until(handle, 'assigned', (state) => state.answers.length === 1);
    expect((await recordOf(rollbackId)).filter((one) => one.type === 'answer')).toEqual([]);
    await terminated(handle, rollbackId);
    expect(await told('waits', 'abandoned')).toMatchObject([
      { text: expect.stringContaining('TERMINATED'), next: [expect.stringContaining(`backout resume ${idOf('waits')}`)] },
    ]);

    const anew = await start('waits', { by: 'ben', trigger: 'operator' });
    const refused = await world.closed(anew);
    expect(refused).toMatchObject({
      outcome: 'refused',
      refusals: [{ rule: 'abandoned', explanation: expect.stringContaining(`backout resume ${idOf('waits')}`) }],
    });
    expect(refused.rollbackId).not.toBe(rollbackId);

    const successor = await resume('waits', rollbackId, { by: 'ben', trigger: 'operator' });
    const after = await world.waiting(successor);
    expect(after).toMatchObject({
      rollbackId,
      planHash: before.planHash,
      answers: [{ name: 'assign', by: 'ben', to: 'zoe' }],
      refusals: [{ rule: 'four-eyes', by: 'ana' }],
      steps: [{ state: 'done', attempts: 1 }, {}, {}, {}, {}],
    });
    expect(after.runId).not.toBe(before.runId);
    expect(after.clock.machineSeconds).toBeGreaterThan(before.clock.machineSeconds);
    expect(after.clock.humanSeconds).toBeGreaterThan(before.clock.humanSeconds);
    // The first starter stays the starter; who was assigned stays assigned.
    await expect(successor.executeUpdate('confirm', { args: [{ step: 'availability', by: 'ana' }] })).resolves.toMatchObject({
      refusal: { rule: 'four-eyes' },
    });
    await expect(successor.executeUpdate('confirm', { args: [{ step: 'availability', by: 'zoe' }] })).resolves.toMatchObject({ accepted: true });
    const state = await expectClosed(successor, 'waits', rollbackId);
    const record = await recordOf(rollbackId);
    expect(record.filter((one) => one.type === 'answer').map((one) => [one.answer?.name, one.answer?.by])).toEqual([
      ['assign', 'ben'],
      ['confirm', 'zoe'],
    ]);
    expect(record.filter((one) => one.type === 'step' && one.step === 'waits.deploy')).toHaveLength(1);
    expect(record.filter((one) => one.type === 'opened' || one.type === 'resumed' || one.type === 'closed').map((one) => one.type)).toEqual([
      'opened',
      'resumed',
      'closed',
    ]);
    expect(state.clock.machineSeconds).toBeLessThan(60);
  });

  it.concurrent('terminated while it is stopped: the successor stays stopped until somebody resumes it', async () => {
    await bad('stops');
    const handle = await start('stops');
    await inFlight('stops');
    await handle.signal('stop', { by: 'ana', reason: 'is it the right one?' });
    await world.until(handle, 'stopped after the operation in flight', (state) => state.state === 'stopped' && state.steps[0]?.state === 'done');
    const { rollbackId } = await world.state(handle);
    await terminated(handle, rollbackId);
    const successor = await resume('stops', rollbackId);
    expect(await world.stopped(successor)).toMatchObject({
      rollbackId,
      stopped: expect.stringContaining('is it the right one?'),
      steps: [{ state: 'done' }, { state: 'pending' }, {}, {}, {}],
    });
    await successor.signal('resume', { by: 'ben', reason: 'it was' });
    await world.waiting(successor);
    await world.confirm(successor);
    await expectClosed(successor, 'stops', rollbackId);
  });

  it.concurrent('terminated with the deployment in flight: the successor makes it, once, and nothing is left over', async () => {
    await bad('flight');
    const handle = await start('flight');
    await inFlight('flight');
    const { runId: rollbackId } = await handle.describe();
    await terminated(handle, rollbackId);
    const successor = await resume('flight', rollbackId);
    expect(await world.waiting(successor)).toMatchObject({ rollbackId, steps: [{ id: 'flight.deploy', state: 'done' }, {}, {}, {}, {}] });
    await world.confirm(successor);
    await expectClosed(successor, 'flight', rollbackId);
  });

  it.concurrent('somebody deploys the bad version again before it is resumed: a person decides', async () => {
    await bad('drift');
    const handle = await start('drift');
    const { rollbackId } = await world.waiting(handle);
    await terminated(handle, rollbackId);
    await world.deploy('drift', 'v1.1.0');
    const successor = await resume('drift', rollbackId);
    expect(await world.stopped(successor)).toMatchObject({
      rollbackId,
      steps: [{ id: 'drift.deploy', state: 'failed', failure: { type: 'Drifted' } }, { state: 'pending' }, {}, {}, {}],
    });
    expect(await world.serves('drift')).toBe('v1.1.0');
    await expect(successor.executeUpdate('decide', { args: [{ step: 'drift.deploy', by: 'ana', action: 'retry', reason: 'again' }] })).resolves.toMatchObject({
      refusal: { rule: 'analysis' },
    });
    await successor.signal('decide', { step: 'drift.deploy', by: 'ana', action: 'retry', reason: 'again', analysis: 'a pipeline was still running' });
    await world.waiting(successor);
    await world.confirm(successor);
    await expectClosed(successor, 'drift', rollbackId, [0, 1]);
  });

  it.concurrent('terminated after its time target was missed: it stays late, and the finding that was given stays given', async () => {
    await bad('late');
    const handle = await start('late');
    const before = await world.waiting(handle);
    expect(before).toMatchObject({ clock: { breached: true }, steps: [{ state: 'done' }, {}, {}, {}, {}, { id: 'investigation', state: 'waiting' }] });
    await handle.executeUpdate('confirm', { args: [{ step: 'investigation', by: 'ana', note: 'the release takes too long to start' }] });
    await terminated(handle, before.rollbackId);
    const successor = await resume('late', before.rollbackId);
    expect(await world.waiting(successor)).toMatchObject({
      clock: { breached: true },
      steps: [{ state: 'done' }, {}, {}, {}, {}, { id: 'investigation', state: 'confirmed' }],
    });
    await world.confirm(successor);
    expect(await world.closed(successor)).toMatchObject({ rollbackId: before.rollbackId, outcome: 'rolled-back-late' });
    await expectPutBack('late', before.rollbackId);
  });

  it.concurrent.each([
    ['first', 'the first task', (event: HistoryEvent) => event.workflowExecutionStartedEventAttributes !== null],
    [
      'middle',
      'the middle, behind the deployment',
      (event: HistoryEvent, index: number, all: readonly HistoryEvent[]) =>
        event.activityTaskCompletedEventAttributes !== null && all.slice(0, index).filter((one) => one.activityTaskCompletedEventAttributes).length === 1,
    ],
  ] as const)('%s: reset to %s goes on under the same rollbackId, with one effect, and asks again', async (component, _, to) => {
    await bad(component);
    const handle = await start(component);
    const before = await world.waiting(handle);
    const runId = await reset(handle, before.runId, to);
    const after = await world.until(handle, 'waiting again', (state) => state.runId === runId && state.state === 'waiting');
    expect(after).toMatchObject({
      rollbackId: before.rollbackId,
      planHash: before.planHash,
      steps: [{ state: 'done' }, { state: 'done' }, { state: 'done' }, { state: 'done' }, { id: 'availability', state: 'waiting' }],
    });
    await expectPutBack(component, before.rollbackId);
    await world.confirm(handle);
    await expectClosed(handle, component, before.rollbackId);
    expect((await recordOf(before.rollbackId)).filter((one) => one.type === 'closed')).toHaveLength(1);
  });

  it.concurrent('a closed rollback that is reset while another holds the component changes nothing', async () => {
    await Promise.all(['closed', 'other'].map((name) => bad(name)));
    const handle = await start('closed');
    const first = await world.waiting(handle);
    await world.confirm(handle);
    await expectClosed(handle, 'closed', first.rollbackId);
    await world.release('closed', 'v1.1.0', false);
    const holder = await world.start({ components: ['closed', 'other'], targets: { closed: 'v1.0.0', other: 'v1.0.0' } });
    await holder.signal('stop', { by: 'ana', reason: 'holds it' });
    const held = await world.until(holder, 'stopped', (state) => state.state === 'stopped' && state.steps.every((one) => one.state !== 'running'));
    const effects = await world.effects('closed');
    const claims = await world.store.claims({ rollbackId: held.rollbackId });
    expect(claims).toHaveLength(2);
    if (held.steps[0]?.state === 'done') await world.deploy('closed', 'v1.1.0');
    for (const to of [
      (event: HistoryEvent) => event.workflowExecutionStartedEventAttributes !== null,
      (event: HistoryEvent) => event.activityTaskCompletedEventAttributes !== null,
    ]) {
      const runId = await reset(handle, first.runId, to);
      const stopped = await world.until(handle, 'stopped', (state) => state.runId === runId && state.state === 'stopped');
      expect(stopped).toMatchObject({
        rollbackId: first.rollbackId,
        steps: [{ id: 'closed.deploy', state: 'failed', failure: { type: 'ClaimLost' } }, {}, {}, {}, {}],
      });
      await handle.signal('decide', { action: 'close', by: 'ana', reason: 'it was closed already' });
      await world.until(handle, 'closed', (state) => state.runId === runId && state.state === 'closed');
    }
    expect((await world.ownEffects('closed')).length).toBe(effects.filter((one) => !one.operationId.startsWith('deploy/')).length);
    expect(await world.serves('closed')).toBe('v1.1.0');
    expect(await world.store.claims({ rollbackId: held.rollbackId })).toEqual(claims);
    expect(await world.store.rollback(first.rollbackId)).toMatchObject({ outcome: 'rolled-back' });
  });

  it.concurrent('a forged successor is refused, and what it names is left alone', async () => {
    await Promise.all(['forged', 'victim'].map((name) => bad(name)));
    const victim = await start('victim');
    const { rollbackId: open } = await world.waiting(victim);
    const own = await start('forged');
    const { rollbackId: ended } = await world.waiting(own);
    await world.confirm(own);
    await expectClosed(own, 'forged', ended);
    for (const [rollbackId, rule, explanation] of [
      [randomUUID(), 'abandoned', /there is no rollback/],
      ['not-a-uuid', 'abandoned', /there is no rollback not-a-uuid/],
      [ended, 'abandoned', /ended rolled-back; there is nothing to resume/],
      [open, 'workflow-id', /runs under deployRevert\/production\/victim/],
    ] as const) {
      const forged = await resume('forged', rollbackId);
      const state = await world.closed(forged);
      expect(state, rollbackId).toMatchObject({
        outcome: 'refused',
        refusals: [{ rule, explanation: expect.stringMatching(explanation) }],
        record: { behind: false },
      });
    }
    expect(await world.store.claims({ components: ['forged', 'victim'] })).toMatchObject([{ component: 'victim', rollbackId: open }]);
    await expectPutBack('forged', ended);
    await world.confirm(victim);
    await expectClosed(victim, 'victim', open);
  });

  it('what was abandoned was told once each, and the chain holds', async () => {
    const notices = (await world.incidents()).filter((one) => one.notice === 'abandoned').map((one) => one.text.split(' ')[0]);
    expect(notices).toContain(idOf('waits'));
    expect(notices).toEqual([...new Set(notices)]);
    await expectChain();
  });
});

describe('from outside, with no worker to see it', () => {
  let alone: World;
  beforeAll(async () => {
    alone = await World.create({ shops: ['unseen', 'unheard', 'unlucky', 'luckless', 'stuck'].map((name) => ({ ...BOOTS, name })), yaml: YAML });
    await Promise.all(['unseen', 'unheard', 'unlucky', 'luckless', 'stuck'].map((name) => bad(name, alone)));
  });
  afterAll(() => alone.close());

  it('abandoned and stuck rollbacks are told by the worker that comes, and resumed with what nobody had heard', { timeout: 150_000 }, async () => {
    const stuck = await stuckHistory(alone);
    // Sweeps when it starts, and not again.
    const first = await alone.worker({ BACKOUT_SWEEP_MS: '600000' });
    const [unseen, unheard, unlucky] = await Promise.all(['unseen', 'unheard', 'unlucky'].map((name) => start(name, {}, alone)));
    const states = await Promise.all([unseen, unheard, unlucky].map((handle) => alone.waiting(handle as WorkflowHandle)));
    const [unseenId = '', unheardId = '', unluckyId = ''] = states.map((state) => state.rollbackId);

    // Terminated, and started anew before any sweep.
    await terminated(unseen as WorkflowHandle, unseenId, alone);
    expect(await alone.closed(await start('unseen', {}, alone))).toMatchObject({ outcome: 'refused', refusals: [{ rule: 'abandoned' }] });
    await terminated(unlucky as WorkflowHandle, unluckyId, alone);
    await alone.end(first);
    await unheard?.signal('assign', { role: 'operator', to: 'zoe', by: 'ana', reason: 'end of shift' });
    await terminated(unheard as WorkflowHandle, unheardId, alone);

    const crashes = new Crashes(join(alone.folder, 'crashes'), [
      'fail@openRollback:before-open',
      'fail@openRollback:before-open#2',
      'fail@openRollback:after-open',
    ]);
    await alone.worker(crashes.env, CRASHING_WORKER);
    for (const name of ['unseen', 'unheard', 'unlucky']) expect(await told(name, 'abandoned', alone), name).toHaveLength(1);
    const [loop] = await told('stuck', 'stuck', alone);
    expect(loop).toMatchObject({ text: expect.stringMatching(/looks running and is stuck: its workflow task has failed \d+ times/) });
    expect((await stuck.describe()).status.name).toBe('RUNNING');
    expect(await alone.ownEffects('stuck')).toEqual([]);

    // A successor that cannot be opened must not end what it wanted to resume.
    const unopened = {
      outcome: 'refused',
      record: { behind: false },
      refusals: [{ rule: 'platform-unavailable', explanation: expect.stringContaining('armed to fail') }],
    };
    expect(await alone.closed(await resume('unlucky', unluckyId, {}, alone))).toMatchObject(unopened);
    expect(await alone.store.rollback(unluckyId)).toMatchObject({ outcome: null });
    expect(await alone.store.claims({ rollbackId: unluckyId })).toHaveLength(1);

    // A first start that cannot be opened holds nothing, whether it failed before or after it had taken its claim.
    for (const _ of ['before', 'after']) {
      const { rollbackId } = await alone.closed(await start('luckless', {}, alone)).then((state) => {
        expect(state).toMatchObject(unopened);
        return state;
      });
      expect((await recordOf(rollbackId, alone)).map((one) => one.type)).toContain('refusal');
    }
    expect(crashes.fired()).toEqual(crashes.points);
    expect(await alone.store.claims({ components: ['luckless'] })).toEqual([]);
    expect(await alone.ownEffects('luckless')).toEqual([]);

    for (const [name, rollbackId] of [
      ['unlucky', unluckyId],
      ['unseen', unseenId],
      ['unheard', unheardId],
    ] as const) {
      const successor = await resume(name, rollbackId, {}, alone);
      await alone.waiting(successor);
      await alone.confirm(successor, name === 'unheard' ? { by: 'zoe' } : {});
      await expectClosed(successor, name, rollbackId, [0], alone);
    }
    expect((await recordOf(unheardId, alone)).filter((one) => one.type === 'answer').map((one) => one.answer?.name)).toEqual(['assign', 'confirm']);
    await expectChain(alone);
    expect(await told('stuck', 'stuck', alone)).toHaveLength(1);
  });
});

/** A history whose code is not that of the worker: this test answers its first task as another version would have, with a timer. */
async function stuckHistory(at: World): Promise<WorkflowHandle> {
  const handle = await start('stuck', {}, at);
  const service = at.client.workflowService;
  const task = await at.client.connection.withDeadline(Date.now() + 10_000, () =>
    service.pollWorkflowTaskQueue({ namespace: 'default', taskQueue: { name: TASK_QUEUE }, identity: 'an older version' }),
  );
  expect(task.workflowExecution?.workflowId).toBe(handle.workflowId);
  const timer = { timerId: '1', startToFireTimeout: msToTs('1 hour') };
  await service.respondWorkflowTaskCompleted({
    taskToken: task.taskToken,
    namespace: 'default',
    identity: 'an older version',
    commands: [{ commandType: temporal.api.enums.v1.CommandType.COMMAND_TYPE_START_TIMER, startTimerCommandAttributes: timer }],
  });
  await handle.signal('stop', { by: 'ana', reason: 'wakes it up' });
  return handle;
}
