/** The time target, missed: what is finished, what is held, who is told, and what it takes to end [002 section 7, product.md 4]. */
import type { WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RollbackState } from '../../model/state.ts';
import type { MessageReply } from '../../workflows/messages.ts';
import { eventually, LyingWorld } from '../support/lying-world.ts';
import type { World } from '../support/world.ts';

let lying: LyingWorld;
let world: World;
beforeAll(async () => {
  const five = ['targetSeconds: 5'];
  lying = await LyingWorld.create({
    yaml: ['confirmations: { remindAfterSeconds: 7 }'],
    shops: [{ name: 'web', releases: [{ version: 'v1.0.0', startMs: 6_000 }, { version: 'v1.1.0' }], yaml: five }],
    paper: {
      'first-a': five,
      'second-a': [],
      'first-b': five,
      'second-b': [],
      'first-c': five,
      'second-c': [],
      fails: five,
      close: ['targetSeconds: 14'],
      person: ['targetSeconds: 6'],
    },
  });
  world = lying.world;
  await world.recorded('web', 'v1.0.0', true);
  await world.release('web', 'v1.1.0', false);
});
afterAll(() => lying.close());

const say = (handle: WorkflowHandle, name: string, body: unknown): Promise<MessageReply> =>
  handle.executeUpdate<MessageReply, [unknown]>(name, { args: [body] });
const finding = { step: 'investigation', by: 'ana', note: 'the disk was slow' };
const stateOf = (state: RollbackState, id: string): string | undefined => state.steps.find((step) => step.id === id)?.state;
const breached = (handle: WorkflowHandle): Promise<RollbackState> => world.until(handle, 'breached', (state) => state.clock.breached);
const told = async (handle: WorkflowHandle): Promise<string[]> => (await lying.toldOf(handle)).map((one) => one.notice);

/** Two components, the first of which takes longer than the whole may. */
async function heldAtTheSecond(letter: string): Promise<{ handle: WorkflowHandle; state: RollbackState; first: string; second: string }> {
  const [first, second] = [`first-${letter}`, `second-${letter}`];
  lying.write(first, { takesMs: 5_500 });
  const handle = await world.start({ components: [second, first], targets: { [first]: 'v1.0.0', [second]: 'v1.0.0' } });
  const state = await world.stopped(handle);
  expect(state.clock.breached).toBe(true);
  return { handle, state, first, second };
}

describe.concurrent('a time target that is missed', () => {
  it('[002 section 7] the operation in flight is finished, an incident and an investigation are opened, and it can only end late, with a finding', async () => {
    const handle = await lying.on('web');
    const during = await breached(handle);
    expect([stateOf(during, 'web.deploy'), stateOf(during, 'investigation')]).toEqual(['running', 'waiting']);
    expect(during.clock).toMatchObject({ targetSeconds: 5 });
    // Nothing is killed half-way: the slow release gets its traffic, and the gates look at it.
    const waiting = await world.until(handle, 'asking for availability', (state) => stateOf(state, 'availability') === 'waiting');
    expect(waiting.steps.filter((step) => step.component === 'web').map((step) => [step.state, step.attempts])).toEqual([
      ['done', 1],
      ['done', 1],
      ['done', 1],
      ['done', 1],
    ]);
    expect(await world.serves('web')).toBe('v1.0.0');
    expect(await world.ownEffects('web')).toHaveLength(1);
    expect(await told(handle)).toEqual(expect.arrayContaining(['opened', 'warning', 'breach']));
    expect((await lying.toldOf(handle)).find((one) => one.notice === 'breach')?.text).toBe(
      'the time target of 5 s was missed [002 section 7]; an investigation is open',
    );
    expect(waiting.waiting.map((one) => one.step)).toEqual(['availability', 'investigation']);

    expect(await say(handle, 'confirm', { step: 'availability', by: 'ana' })).toMatchObject({ accepted: true });
    expect(await say(handle, 'confirm', { step: 'investigation', by: 'ana' })).toMatchObject({
      accepted: false,
      refusal: { rule: 'finding', source: '[002 section 7]', explanation: 'the investigation closes with its finding; say it in "note"' },
    });
    expect(await say(handle, 'decline', { ...finding, reason: 'no time' })).toMatchObject({ refusal: { rule: 'finding' } });
    expect((await handle.describe()).status.name).toBe('RUNNING');
    expect(await say(handle, 'confirm', finding)).toMatchObject({ accepted: true });
    const state = await world.closed(handle);
    expect(state).toMatchObject({ outcome: 'rolled-back-late', clock: { breached: true } });
    expect(state.clock.machineSeconds).toBeGreaterThan(6);
    expect((await handle.describe()).status.name).toBe('COMPLETED');
    expect((await world.store.rollback(state.rollbackId))?.outcome).toBe('rolled-back-late');
    const entries = await lying.recordOf(state);
    expect(entries.filter((one) => one['type'] === 'breach')).toMatchObject([{ targetSeconds: 5 }]);
    expect(entries.find((one) => one['type'] === 'closed')).toMatchObject({ outcome: 'rolled-back-late', breached: true });
    expect(entries.some((one) => one['type'] === 'answer' && JSON.stringify(one).includes('the disk was slow'))).toBe(true);
  });

  it('[002 section 7] between two components: the second is held, untouched, and goes on by a decision', async () => {
    const { handle, state, first, second } = await heldAtTheSecond('a');
    const before = [`${first}.deploy`, `${first}.smoke`, `${first}.health`, `${first}.served`].map((id) => [id, 'done']);
    const after = ['deploy', 'smoke', 'health', 'served'].map((what) => [`${second}.${what}`, 'pending']);
    expect(state.steps.map((step) => [step.id, step.state])).toEqual([...before, ...after, ['availability', 'pending'], ['investigation', 'waiting']]);
    expect(state.stopped).toBe(`the time target was missed before ${second}.deploy; no further change begins without a decision`);
    expect(state.waiting.map((one) => one.step)).toEqual([`${second}.deploy`, 'investigation']);
    expect([lying.sheet(first).version, lying.sheet(second).version, lying.sheet(second).applied.length]).toEqual(['v1.0.0', 'v1.1.0', 0]);

    const retry = { step: `${second}.deploy`, by: 'ana', action: 'retry', reason: 'go on late' };
    expect(await say(handle, 'decide', retry)).toMatchObject({ accepted: false, refusal: { rule: 'analysis' } });
    expect(lying.sheet(second).applied).toEqual([]);
    expect(await say(handle, 'decide', { ...retry, analysis: 'a slow disk' })).toMatchObject({ accepted: true });
    await say(handle, 'confirm', finding);
    await world.waiting(handle);
    expect(lying.sheet(second)).toMatchObject({ version: 'v1.0.0', applied: [{ operationId: `${state.rollbackId}/${second}.deploy/0` }] });
    await world.confirm(handle);
    expect((await world.closed(handle)).outcome).toBe('rolled-back-late');
  });

  it('[002 section 7] closing instead needs the finding, and names what was not undone', async () => {
    const { handle, first, second } = await heldAtTheSecond('b');
    const close = { by: 'ana', action: 'close', reason: 'tomorrow' };
    expect(await say(handle, 'decide', close)).toMatchObject({ accepted: false, refusal: { rule: 'finding', source: '[002 section 7]' } });
    await say(handle, 'confirm', finding);
    expect(await say(handle, 'decide', close)).toMatchObject({ accepted: true });
    const state = await world.closed(handle);
    expect(state).toMatchObject({ outcome: 'failed', remains: [{ artifact: second, reason: 'not attempted', owner: 'operator' }] });
    expect([lying.sheet(first).applied.length, lying.sheet(second).applied.length]).toEqual([1, 0]);
    expect((await handle.describe()).status.name).toBe('FAILED');
  });

  it('a held component that somebody has put back by hand is done, without a call', async () => {
    const { handle, second } = await heldAtTheSecond('c');
    const done = { step: `${second}.deploy`, by: 'ana', action: 'done', reason: 'by hand' };
    await say(handle, 'decide', done);
    await world.until(handle, 'refused', (state) => state.refusals.some((one) => one.rule === 'inspection-disagrees'));
    expect((await world.stopped(handle)).stopped).toMatch(/^the time target was missed before/);
    lying.write(second, { version: 'v1.0.0' });
    await say(handle, 'decide', done);
    await say(handle, 'confirm', finding);
    const state = await world.waiting(handle);
    expect(stateOf(state, `${second}.deploy`)).toBe('already');
    expect(lying.sheet(second).applied).toEqual([]);
    await world.confirm(handle);
    expect((await world.closed(handle)).outcome).toBe('rolled-back-late');
  });

  it('missed and failed: no end without the finding', async () => {
    lying.write('fails', { takesMs: 5_500, fails: { kind: 'failed', message: 'disk full' } });
    const handle = await lying.on('fails');
    const state = await world.until(handle, 'failed', (seen) => stateOf(seen, 'fails.deploy') === 'failed');
    expect(state).toMatchObject({ state: 'stopped', clock: { breached: true }, stopped: 'fails.deploy failed: disk full' });
    expect(await say(handle, 'decide', { by: 'ana', action: 'close', reason: 'x' })).toMatchObject({ refusal: { rule: 'finding' } });
    await say(handle, 'confirm', finding);
    await say(handle, 'decide', { by: 'ana', action: 'close', reason: 'x' });
    expect((await world.closed(handle)).outcome).toBe('failed');
  });
});

describe.concurrent('a time target that is met', () => {
  it('at 60 % a warning goes out, once, and nothing else', async () => {
    lying.write('close', { takesMs: 9_000 });
    const handle = await lying.on('close');
    await eventually('warned', async () => (await told(handle)).includes('warning'));
    expect((await lying.toldOf(handle)).find((one) => one.notice === 'warning')?.text).toBe('60 % of the 14 s are used');
    const during = await world.state(handle);
    expect([during.clock.breached, stateOf(during, 'close.deploy')]).toEqual([false, 'running']);
    expect(during.clock.machineSeconds).toBeGreaterThanOrEqual(8.4);
    await world.waiting(handle);
    await world.confirm(handle);
    const state = await world.closed(handle);
    expect(state).toMatchObject({ outcome: 'rolled-back', clock: { breached: false } });
    expect(await told(handle)).toEqual(['opened', 'warning', 'closed']);
  });

  it('a person who takes his time misses no target: human time stands apart, and both together are what has passed', async () => {
    const handle = await lying.on('person');
    await world.waiting(handle);
    // The reminder comes later than the target of the whole would allow the machine.
    await eventually('reminded', async () => (await told(handle)).includes('reminder'));
    const waited = await world.state(handle);
    expect(waited).toMatchObject({ state: 'waiting', clock: { breached: false, targetSeconds: 6 } });
    expect(waited.clock.humanSeconds).toBeGreaterThanOrEqual(7);
    await say(handle, 'stop', { by: 'ana', reason: 'lunch' });
    await world.stopped(handle);
    await say(handle, 'resume', { by: 'ana', reason: 'back' });
    await world.confirm(handle);
    const state = await world.closed(handle);
    expect(state).toMatchObject({ outcome: 'rolled-back', clock: { breached: false } });
    expect(state.clock.machineSeconds).toBeLessThan(6);
    expect(state.clock.humanSeconds).toBeGreaterThanOrEqual(7);
    const { startTime, closeTime } = await handle.describe();
    const elapsed = ((closeTime?.getTime() ?? 0) - startTime.getTime()) / 1000;
    expect(state.clock.machineSeconds + state.clock.humanSeconds).toBeGreaterThan(elapsed - 2);
    expect(state.clock.machineSeconds + state.clock.humanSeconds).toBeLessThanOrEqual(elapsed);
    expect((await world.store.rollback(state.rollbackId))?.outcome).toBe('rolled-back');
  });
});
