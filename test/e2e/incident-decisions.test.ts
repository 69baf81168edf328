/** Who may say what in an incident rollback, and what becomes of it [001 Ownership, steps 1 to 5]: real commands as gates, platforms on paper. */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RollbackState } from '../../model/state.ts';
import type { MessageReply } from '../../workflows/messages.ts';
import { TASK_QUEUE } from '../../model/task-queue.ts';
import { lines, PEOPLE, propose, startInput, stepOf, waitsFor } from '../support/incident.ts';
import { eventually, LyingWorld } from '../support/lying-world.ts';
import type { World } from '../support/world.ts';

const PAPER = ['free', 'area', 'own', 'leads', 'rows', 'first', 'left', 'right', 'closes', 'gated', 'handed', 'taken', 'robbed', 'waited'];
const AFTER: Readonly<Record<string, string[]>> = { second: ['after: [first]'], left: ['targetSeconds: 2'] };
/** Loose, it misbehaves as it is told; else it passes. */
const GATE = `#!/bin/sh
[ -e loose ] || exit 0
case $1 in
  red) echo 'two tests failed'; exit 1 ;;
  hang) sleep 60 ;;
  loud) head -c 100000000 /dev/zero | tr '\\0' x; exit 1 ;;
esac
`;

let lying: LyingWorld;
let world: World;
beforeAll(async () => {
  lying = await LyingWorld.create({
    paper: { ...Object.fromEntries(PAPER.map((name) => [name, AFTER[name] ?? []])), second: AFTER['second'] ?? [] },
    yaml: [
      '    gates:',
      '      ci-pr: { command: [./gate, red] }',
      '      orders: { command: [./gate, hang], timeoutSeconds: 1, covers: smoke }',
      '      emission: { command: [./gate, loud], covers: evidence }',
      '      absent: { command: [./absent] }',
      // On one line: this world sorts its lines.
      `people: { ${[...PEOPLE.slice(1), 'sid: { roles: [developer], deputyFor: [security-lead] }'].join(', ')} }`,
      'channels: { incident: [{ file: ./incidents.log }], stakeholders: [{ file: ./stakeholders.log }] }',
      'confirmations: { fourEyes: true }',
      'unfreeze: { stableForSeconds: 0 }',
    ],
  });
  world = lying.world;
  for (const name of ['gate', 'absent']) await writeFile(join(world.folder, name), name === 'gate' ? GATE : '#!/bin/sh\n', { mode: 0o755 });
});
afterAll(() => lying.close());

const say = (handle: WorkflowHandle, name: string, body: unknown): Promise<MessageReply> =>
  handle.executeUpdate<MessageReply, [unknown]>(name, { args: [body] });
const incidentOf = (...components: string[]): string => `INC-${components[0] ?? ''}`;
/** Asked for by CI. */
const asked = (components: string[], more: Record<string, unknown> = {}): Promise<WorkflowHandle> =>
  propose(world, { components, incident: incidentOf(...components), ...more });
async function declared(components: string[], more: Record<string, unknown> = {}): Promise<WorkflowHandle> {
  const handle = await asked(components, more);
  await waitsFor(world, handle, 'declaration');
  await say(handle, 'confirm', { step: 'declaration', by: 'carol' });
  return handle;
}
const ruleOf = async (reply: Promise<MessageReply>): Promise<string | undefined> => (await reply).refusal?.rule;
const toldOf = async (handle: WorkflowHandle) => (await lines(world, 'stakeholders.log')).filter((one) => one['workflowId'] === handle.workflowId);
const frozenBy = (...components: string[]) => world.store.freezes({ incident: incidentOf(...components), inForceOnly: true });
async function confirmTarget(handle: WorkflowHandle, by = 'carol'): Promise<MessageReply> {
  const { planHash } = await waitsFor(world, handle, 'target');
  return say(handle, 'confirm', { step: 'target', by, plan: planHash });
}
const NONE = { choice: 'not-applicable', note: 'nothing of it was touched' };
const CHAIN = { choice: 'done', evidence: ['chain-verification=https://ci/7', 'incident-links=https://wiki/42'] };
const NEXT = { data: { nextCycleOwner: 'abe', reviewOwner: 'ivy' } };
const ROWS: readonly Record<string, unknown>[] = [
  { step: 'cleanup.data', by: 'dora', ...NONE },
  { step: 'cleanup.evidence', by: 'dora', ...CHAIN },
  { step: 'cleanup.credentials', by: 'sam', ...NONE },
];
async function toTheEnd(handle: WorkflowHandle, by = 'carol'): Promise<RollbackState> {
  await waitsFor(world, handle, 'unfreeze');
  expect(await say(handle, 'confirm', { step: 'unfreeze', by })).toMatchObject({ accepted: true });
  return world.closed(handle);
}

describe.concurrent('a proposal', () => {
  it('[001 step 1] by CI touches nothing: no freeze, no claim on a component, no word to stakeholders; a no of the commander ends it', async () => {
    const handle = await asked(['free']);
    const state = await waitsFor(world, handle, 'declaration');
    expect(state).toMatchObject({ state: 'waiting', incidentCommand: { declared: null, frozen: [] }, waiting: [{ for: 'incident-commander' }] });
    expect((await world.store.claims({ rollbackId: state.rollbackId })).map((one) => one.component)).toEqual(['@INC-free']);
    // Somebody who does not wait for the commander is not in the way, nor is the proposal in his.
    const revert = await lying.on('free');
    await world.waiting(revert);
    await say(revert, 'confirm', { step: 'availability', by: 'dan' });
    expect((await world.closed(revert)).outcome).toBe('rolled-back');
    for (const [by, rule] of Object.entries({ abe: 'role', dan: 'role', ci: 'unknown-person' }))
      expect(await say(handle, 'confirm', { step: 'declaration', by, role: 'incident-commander' })).toMatchObject({ accepted: false, refusal: { rule, by } });
    expect(await ruleOf(say(handle, 'decline', { step: 'declaration', by: 'dora', reason: 'x' }))).toBe('role');
    expect(await say(handle, 'decline', { step: 'declaration', by: 'carol', reason: 'a false alarm' })).toMatchObject({ accepted: true });
    const end = await world.closed(handle);
    expect(end).toMatchObject({ outcome: 'refused', incidentCommand: { declared: null, frozen: [] } });
    expect(end.steps.filter((step) => step.attempts > 0)).toEqual([]);
    expect(await world.store.freezes({ incident: 'INC-free' })).toEqual([]);
    expect(await world.store.claims({ rollbackId: state.rollbackId })).toEqual([]);
    expect(await toldOf(handle)).toEqual([]);
    expect(lying.sheet('free').applied).toHaveLength(1);
    const refusals = (await lying.recordOf(end)).flatMap((one) => (one['type'] === 'refusal' ? [one['refusal']] : []));
    expect(refusals).toMatchObject([
      { rule: 'role', by: 'abe', explanation: 'abe does not have the role incident-commander; it is held by carol' },
      { rule: 'role', by: 'dan', explanation: expect.stringContaining('dan is a deputy and may take it over') as string },
      { rule: 'unknown-person', by: 'ci' },
      { rule: 'role', by: 'dora' },
      { rule: 'declaration', source: '[001 step 1]', explanation: 'carol declined to declare rollback mode: a false alarm' },
    ]);
  });

  it('[001 Freeze Scope] of a red CI is declared with the critical area and the missed window; also while it is stopped', async () => {
    const input = startInput({ components: ['area'], incident: 'INC-area', cause: 'ci-failed-in-critical-area', reason: 'npm run ci:pr is red' });
    const handle = await world.client.workflow.signalWithStart('l1Rollback', {
      workflowId: 'l1Rollback/production/INC-area',
      taskQueue: TASK_QUEUE,
      args: [input],
      signal: 'stop',
      signalArgs: [{ by: 'abe', reason: 'one moment' }],
    });
    await world.until(handle, 'planned', (state) => state.steps.length > 0);
    const declare = { step: 'declaration', by: 'carol' };
    expect(await say(handle, 'confirm', declare)).toMatchObject({
      refusal: { rule: 'declaration', explanation: 'declaration needs "criticalArea" and "missedWindow" in "data", each a text' },
    });
    expect(await ruleOf(say(handle, 'confirm', { ...declare, data: { criticalArea: 'checkout' } }))).toBe('declaration');
    const data = { criticalArea: 'checkout', missedWindow: 'two hours' };
    expect(await say(handle, 'confirm', { ...declare, data })).toMatchObject({ accepted: true, state: 'stopped' });
    expect(await frozenBy('area')).toEqual([]);
    await say(handle, 'resume', { by: 'carol', reason: 'go' });
    const state = await waitsFor(world, handle, 'target');
    expect(state.incidentCommand).toMatchObject({ declared: { by: 'carol', ...data }, frozen: ['merges', 'claims', 'promotions', 'deployments'] });
    await eventually('the declaration is told', async () => (await toldOf(handle)).length > 0);
    expect((await toldOf(handle))[0]?.['body']).toMatch(/^Trigger: CI fails in a critical area .*\(area: checkout; missed window: two hours\)/m);
    // Two incidents of one environment: each has its own freeze.
    expect((await frozenBy('area')).map((one) => [one.environment, one.by])).toEqual([['production', 'carol']]);
  });

  it('by the commander himself is the declaration; who started may not confirm, and a deputy takes over in the middle', async () => {
    const input = { trigger: 'operator', by: 'carol', cause: 'ci-failed-in-critical-area' };
    const handle = await asked(['own'], { ...input, declaration: { criticalArea: 'checkout', missedWindow: 'two hours' } });
    const { planHash, incidentCommand } = await waitsFor(world, handle, 'target');
    expect(incidentCommand).toMatchObject({
      level: 1,
      declared: { by: 'carol', criticalArea: 'checkout', at: expect.stringMatching(/^\d{4}-.*Z$/) as string },
      roles: { 'incident-commander': ['carol'] },
    });
    const target = { step: 'target', plan: planHash };
    expect(await say(handle, 'confirm', { ...target, by: 'carol' })).toMatchObject({ refusal: { rule: 'four-eyes', by: 'carol' } });
    expect(await ruleOf(say(handle, 'confirm', { ...target, by: 'dan' }))).toBe('role');
    expect(await ruleOf(say(handle, 'assign', { role: 'api-lead', to: 'dan', by: 'dan', reason: 'x' }))).toBe('role');
    expect(await say(handle, 'assign', { role: 'incident-commander', to: 'dan', by: 'dan', reason: 'carol is on a plane' })).toMatchObject({ accepted: true });
    expect(await say(handle, 'confirm', { ...target, by: 'dan' })).toMatchObject({ accepted: true });
    await waitsFor(world, handle, 'ownership');
    for (const row of ROWS) await say(handle, 'confirm', row);
    expect(await say(handle, 'confirm', { step: 'ownership', by: 'carol', ...NEXT })).toMatchObject({
      refusal: { rule: 'role', explanation: 'carol does not have the role incident-commander; it is held by dan' },
    });
    expect(await say(handle, 'confirm', { step: 'ownership', by: 'dan', ...NEXT })).toMatchObject({ accepted: true });
    await waitsFor(world, handle, 'unfreeze');
    expect(await ruleOf(say(handle, 'confirm', { step: 'unfreeze', by: 'carol' }))).toBe('four-eyes');
    const end = await toTheEnd(handle, 'dan');
    expect(end).toMatchObject({ outcome: 'rolled-back', incidentCommand: { roles: { 'incident-commander': ['dan'] } } });
    const [freeze] = await world.store.freezes({ incident: 'INC-own' });
    // Who froze and who lifted are two.
    expect([freeze?.by, new Set(freeze?.lifted.map((one) => one.by))]).toEqual(['carol', new Set(['dan'])]);
    const recovery = (await toldOf(handle)).find((one) => one['template'] === 'recovery');
    expect(recovery?.['body']).toMatch(/Post-incident review owner: ivy/);
    // Without the area it is only a proposal, and so is what a machine starts in his name.
    const silent = await asked(['own'], { ...input, incident: 'INC-silent' });
    const automatic = await asked(['own'], { trigger: 'automatic', by: 'carol', incident: 'INC-automatic' });
    for (const one of [silent, automatic]) expect((await waitsFor(world, one, 'declaration')).incidentCommand?.declared).toBeNull();
  });
});

describe.concurrent('the leads', () => {
  it('answer early, twice and in any order: what they did is kept until it is asked, and nothing is asked again', async () => {
    const handle = await declared(['leads']);
    await waitsFor(world, handle, 'target');
    const [data, evidence, credentials] = ROWS;
    expect(await say(handle, 'confirm', { ...evidence, evidence: ['chain-verification=https://ci/7'] })).toMatchObject({
      refusal: { rule: 'evidence', source: '[001 step 3 checklist]', explanation: expect.stringMatching(/missing: incident-links=/) as string },
    });
    expect(await ruleOf(say(handle, 'confirm', { ...credentials, by: 'dora' }))).toBe('role');
    const ownership = { step: 'ownership', by: 'carol', ...NEXT };
    const replies = await Promise.all([ownership, credentials, evidence, data, evidence, ownership].map((one) => say(handle, 'confirm', one)));
    expect(replies.map((one) => one.accepted)).toEqual(Array.from({ length: 6 }, () => true));
    expect(await ruleOf(say(handle, 'confirm', { step: 'unfreeze', by: 'carol' }))).toBe('not-asked');
    await confirmTarget(handle);
    const end = await toTheEnd(handle);
    expect(end.outcome).toBe('rolled-back');
    const given = end.answers.filter((one) => one.name === 'confirm').map((one) => String(one.step));
    expect(given.toSorted()).toEqual(['cleanup.credentials', 'cleanup.data', 'cleanup.evidence', 'declaration', 'ownership', 'target', 'unfreeze']);
    expect((await world.incidents()).filter((one) => one.notice === 'reminder')).toEqual([]);
  });

  it('say no early, and may say yes once it was decided; two of them at once; a mandatory row is never a risk', async () => {
    const handle = await declared(['rows']);
    await waitsFor(world, handle, 'target');
    expect(await say(handle, 'decline', { step: 'cleanup.data', by: 'dora', reason: 'a projection is broken' })).toMatchObject({ accepted: true });
    await confirmTarget(handle);
    const stopped = await world.stopped(handle);
    expect(stopped.stopped).toBe('cleanup.data declined: dora declined cleanup.data: a projection is broken');
    const decide = { step: 'cleanup.data', by: 'carol', reason: 'repaired' };
    expect(await say(handle, 'decide', { ...decide, action: 'skip', due: '2099-12-01' })).toMatchObject({
      refusal: { rule: 'mandatory-row', source: '[001 step 3 checklist]' },
    });
    await say(handle, 'decide', { ...decide, action: 'retry' });
    const asking = await waitsFor(world, handle, 'cleanup.data');
    expect(asking.incidentCommand?.conditions).toMatchObject([
      { met: false, by: 'stability is pending' },
      { met: false, by: 'cleanup.data is waiting, cleanup.evidence is waiting, cleanup.credentials is waiting' },
      { met: false, by: 'ownership is waiting' },
      { met: true },
    ]);
    const replies = await Promise.all([...ROWS, { step: 'ownership', by: 'carol', ...NEXT }].map((one) => say(handle, 'confirm', one)));
    expect(replies.every((one) => one.accepted)).toBe(true);
    expect((await toTheEnd(handle)).outcome).toBe('rolled-back');
  });
});

describe.concurrent('the target', () => {
  it('[001 step 2] is confirmed for one plan: void once reality moves; in the declared order, what is independent at once, each with its own time', async () => {
    for (const name of ['first', 'left', 'right']) lying.write(name, { takesMs: name === 'left' ? 2_500 : 1_500 });
    const handle = await declared(['first', 'left', 'right', 'second']);
    const before = await waitsFor(world, handle, 'target');
    const confirm = { step: 'target', by: 'carol' };
    expect(await say(handle, 'confirm', confirm)).toMatchObject({ refusal: { rule: 'stale-plan', source: '[docs/runbook.md]' } });
    expect(await ruleOf(say(handle, 'confirm', { ...confirm, plan: `sha256:${'0'.repeat(64)}` }))).toBe('stale-plan');
    await say(handle, 'confirm', { ...confirm, plan: before.planHash });
    await eventually('the first is under way', () => lying.sheet('first').applied.length === 1);
    lying.write('second', { version: 'v1.2.0', has: ['v1.2.0', 'v1.1.0', 'v1.0.0'] });
    const again = await world.until(handle, 'asked again', (state) => state.planHash !== before.planHash && stepOf(state, 'target').state === 'waiting');
    expect(again.targets.find((one) => one.component === 'second')?.from).toBe('v1.2.0');
    expect(again.warnings).toContain('the confirmation of the target is void: second is at v1.2.0, and the plan was confirmed for v1.1.0');
    expect(stepOf(again, 'second.deploy')).toMatchObject({ state: 'pending', failure: null });
    expect(await say(handle, 'confirm', { ...confirm, plan: before.planHash })).toMatchObject({ accepted: false, refusal: { rule: 'stale-plan' } });
    await say(handle, 'confirm', { ...confirm, plan: again.planHash });
    const back = await waitsFor(world, handle, 'ownership');
    for (const name of ['first', 'left', 'right', 'second']) expect(lying.sheet(name).applied, name).toHaveLength(1);
    const at = (name: string): [string, string] => [stepOf(back, `${name}.deploy`).startedAt ?? '', stepOf(back, `${name}.deploy`).endedAt ?? ''];
    const together = ['first', 'left', 'right'].map(at);
    expect(
      together
        .map(([start]) => start)
        .toSorted()
        .at(-1)! < together.map(([, end]) => end).toSorted()[0]!,
    ).toBe(true);
    expect(at('second')[0] > at('first')[1]).toBe(true);
    const record = await lying.recordOf(back);
    expect(record.filter((one) => one['type'] === 'void')).toMatchObject([
      { step: 'target', why: 'second is at v1.2.0, and the plan was confirmed for v1.1.0' },
    ]);
    expect(record.filter((one) => one['type'] === 'replanned')).toMatchObject([{ planHash: again.planHash, planHashBefore: before.planHash }]);
    // What was under way is finished, and that it took too long is said.
    expect(back.warnings).toContainEqual(expect.stringMatching(/^left\.deploy took \d+\.\d s; the time target of left is 2 s$/));
    expect(back.warnings.join()).not.toMatch(/right\.deploy took/);
    const allowed = await deadlinesOf(handle);
    expect(allowed['left.deploy']).toBeLessThan(4_000);
    expect(allowed['first.deploy']).toBeGreaterThan(800_000);
  });

  it('[001 Step 3 Checklist] a partial end leaves no row open and keeps the freeze; another rollback of the incident takes it over and lifts it', async () => {
    lying.write('closes', { fails: { kind: 'failed', message: 'disk full' } });
    const handle = await declared(['closes']);
    await confirmTarget(handle);
    await world.stopped(handle);
    const close = { by: 'carol', action: 'close', reason: 'for today' };
    expect(await say(handle, 'decide', close)).toMatchObject({
      refusal: {
        rule: 'mandatory-row',
        explanation: expect.stringMatching(/not answered: cleanup\.data \(.*cleanup\.evidence \(.*cleanup\.credentials \(/) as string,
      },
    });
    for (const row of ROWS) await say(handle, 'confirm', row);
    expect(await ruleOf(say(handle, 'decide', { ...close, by: 'abe' }))).toBe('role');
    expect(await say(handle, 'decide', close)).toMatchObject({ accepted: true });
    const partial = await world.closed(handle);
    expect(partial).toMatchObject({ outcome: 'partial', incidentCommand: { frozen: ['merges', 'claims', 'promotions', 'deployments'] } });
    expect(partial.remains.map((one) => one.artifact)).toEqual([
      'closes.deploy',
      ...['merges', 'claims', 'promotions', 'deployments'].map((scope) => `freeze of ${scope} in production`),
    ]);
    expect((await handle.describe()).status.name).toBe('COMPLETED');
    const [kept] = await frozenBy('closes');
    expect(kept?.inForce).toHaveLength(4);
    lying.write('closes', { fails: null });
    const second = await declared(['closes']);
    await confirmTarget(second);
    expect(stepOf(await waitsFor(world, second, 'ownership'), 'freeze').state).toBe('already');
    for (const row of [...ROWS, { step: 'ownership', by: 'carol', ...NEXT }]) await say(second, 'confirm', row);
    const end = await toTheEnd(second);
    expect(end).toMatchObject({ outcome: 'rolled-back', incidentCommand: { frozen: [] } });
    const freezes = await world.store.freezes({ incident: 'INC-closes' });
    expect(freezes).toMatchObject([{ freezeId: kept?.freezeId, rollbackId: partial.rollbackId, inForce: [] }]);
    expect(new Set(freezes[0]?.lifted.map((one) => one.rollbackId))).toEqual(new Set([end.rollbackId]));
  });
});

/** What each attempt may take, in ms, as its activity was told. */
async function deadlinesOf(handle: WorkflowHandle): Promise<Record<string, number>> {
  const { events = [] } = await handle.fetchHistory();
  return Object.fromEntries(
    (events ?? []).flatMap((event) => {
      const [input] = event.activityTaskScheduledEventAttributes?.input?.payloads ?? [];
      const work = input ? (JSON.parse(Buffer.from(input.data ?? []).toString('utf8')) as { step?: { id: string }; deadlineAt?: string }) : {};
      return work.step && work.deadlineAt ? [[work.step.id, Date.parse(work.deadlineAt) - Number(event.eventTime?.seconds ?? 0) * 1000]] : [];
    }),
  );
}

describe.concurrent('beside a deployRevert', () => {
  it('taken over knowingly, one by one: it is stopped first, its claim moves, and what it is told later changes nothing', async () => {
    lying.write('taken', { takesMs: 2_500 });
    lying.write('robbed', { fails: { kind: 'failed', message: 'disk full' } });
    const [revert, other] = [await lying.on('taken'), await lying.on('robbed')];
    await eventually('it is under way', () => lying.sheet('taken').applied.length === 1);
    await world.stopped(other);
    const handle = await declared(['taken', 'robbed']);
    const titleOf = async (name: string) =>
      stepOf(
        await world.until(
          handle,
          `asks about ${name}`,
          (state) => state.waiting.some((one) => one.step === 'takeover') && stepOf(state, 'takeover').title.includes(`${name} is`),
        ),
        'takeover',
      ).title;
    expect(await titleOf('robbed')).toBe('Take over or wait? robbed is held by deployRevert/production/robbed, started by ci');
    expect(await ruleOf(say(handle, 'confirm', { step: 'takeover', by: 'carol', choice: 'both' }))).toBe('choice');
    expect(await ruleOf(say(handle, 'confirm', { step: 'takeover', by: 'abe', choice: 'take-over' }))).toBe('role');
    const takeOver = { step: 'takeover', by: 'carol', choice: 'take-over' };
    await say(handle, 'confirm', takeOver);
    expect(await titleOf('taken')).toBe('Take over or wait? taken is held by deployRevert/production/taken, started by ci');
    // Nobody has said yes to that yet.
    expect((await world.state(revert)).stopped).toBeNull();
    await say(handle, 'confirm', takeOver);
    const state = await waitsFor(world, handle, 'target');
    const stopped = await world.state(revert);
    expect(stopped).toMatchObject({ state: 'stopped', stopped: `stopped by carol: taken over by ${handle.workflowId}` });
    // The operation in flight was finished, and its outcome is what the plan is made of.
    expect(stepOf(stopped, 'taken.deploy').state).toBe('done');
    expect(state.targets.map((one) => [one.component, one.from])).toEqual([
      ['taken', 'v1.0.0'],
      ['robbed', 'v1.1.0'],
    ]);
    const holders = await world.store.claims({ components: ['taken', 'robbed'] });
    expect(holders.map((one) => one.rollbackId)).toEqual([state.rollbackId, state.rollbackId]);
    const takeovers = (await lying.recordOf(state)).filter((one) => one['type'] === 'takeover');
    expect(String(takeovers[1]?.['at']) >= (stepOf(stopped, 'taken.deploy').endedAt ?? '9')).toBe(true);
    expect(takeovers).toMatchObject([
      { from: other.workflowId, by: 'carol', components: ['robbed'] },
      { from: revert.workflowId, fromRollbackId: stopped.rollbackId, by: 'carol', components: ['taken'] },
    ]);
    // Told to go on, the one that lost its component finds that it has.
    lying.write('robbed', { fails: null });
    await say(other, 'resume', { by: 'dan', reason: 'go on' });
    await say(other, 'decide', { step: 'robbed.deploy', by: 'dan', action: 'retry', reason: 'freed', analysis: 'the disk was full' });
    const lost = await world.until(other, 'lost', (one) => stepOf(one, 'robbed.deploy').failure?.type === 'ClaimLost');
    expect(stepOf(lost, 'robbed.deploy').failure?.message).toBe('robbed is no longer claimed by this rollback; nothing was changed');
    expect([lying.sheet('robbed').version, lying.sheet('robbed').applied.length]).toEqual(['v1.1.0', 1]);
    await confirmTarget(handle);
    const back = await waitsFor(world, handle, 'ownership');
    expect([stepOf(back, 'taken.deploy').state, stepOf(back, 'robbed.deploy').state]).toEqual(['already', 'done']);
    // Ended, it gives nothing up that is not its own any more.
    await say(other, 'decide', { by: 'dan', action: 'close', reason: 'the incident has it' });
    await world.closed(other);
    expect(await world.store.claims({ components: ['robbed'] })).toMatchObject([{ rollbackId: state.rollbackId }]);
  });

  it('waited for: nothing of it is touched, and the plan is made of what it leaves', async () => {
    const revert = await lying.on('waited');
    await world.waiting(revert);
    const handle = await declared(['waited']);
    const { clock } = await waitsFor(world, handle, 'takeover');
    await say(handle, 'confirm', { step: 'takeover', by: 'carol', choice: 'wait' });
    await world.until(handle, 'waits', (state) => stepOf(state, 'identify').state === 'running');
    expect(await world.store.claims({ components: ['waited'] })).toMatchObject([{ workflowId: revert.workflowId }]);
    await say(revert, 'confirm', { step: 'availability', by: 'dan' });
    expect((await world.closed(revert)).outcome).toBe('rolled-back');
    const state = await waitsFor(world, handle, 'target');
    // Waiting for the other one's people was people's time.
    expect(state.clock.machineSeconds).toBe(clock.machineSeconds);
    expect(state.targets[0]).toMatchObject({ from: 'v1.0.0', to: 'v1.0.0' });
    await confirmTarget(handle);
    expect(stepOf(await waitsFor(world, handle, 'ownership'), 'waited.deploy').state).toBe('already');
    expect(lying.sheet('waited').applied).toHaveLength(1);
  });
});

describe('the gates', () => {
  it('[001 step 4] red, hanging, loud and absent ones stop it; each passes by what is asked of it, and who signed is named', async () => {
    await Promise.all([writeFile(join(world.folder, 'loose'), ''), rm(join(world.folder, 'absent'))]);
    lying.write('gated', { unhealthy: true, smokes: false });
    const handle = await declared(['gated']);
    await confirmTarget(handle);
    const GATES = ['health', 'smoke', 'gate.ci-pr', 'gate.orders', 'gate.emission', 'gate.absent'];
    const red = await world.until(handle, 'red', (state) => state.state === 'stopped' && GATES.every((id) => stepOf(state, id).state === 'failed'));
    expect(GATES.map((id) => [stepOf(red, id).failure?.type, (stepOf(red, id).receipt?.after as { verdict?: string } | undefined)?.verdict])).toEqual([
      ['Unhealthy', undefined],
      ['SmokeFailed', undefined],
      ['GateFailed', 'failed'],
      ['GateInconclusive', 'inconclusive'],
      ['GateFailed', 'failed'],
      ['GateError', 'error'],
    ]);
    expect(stepOf(red, 'health').failure?.message).toMatch(/^gated: not healthy: http.*HTTP 503$/);
    expect(stepOf(red, 'smoke').failure?.message).toMatch(/^gated: .*checkout answered 500$/);
    expect(stepOf(red, 'served').state).toBe('done');
    expect(stepOf(red, 'gate.ci-pr').failure?.message).toBe('ci-pr is failed (1): two tests failed');
    expect(stepOf(red, 'gate.orders').failure?.message).toMatch(/^orders is inconclusive \(a timeout after 1 s\)/);
    expect(stepOf(red, 'gate.absent').failure?.message).toMatch(/there is no program \.\/absent/);
    // Of 100 MB the history has a hash, and the disk a part.
    expect(JSON.stringify(stepOf(red, 'gate.emission')).length).toBeLessThan(2_000);
    expect(Number(stepOf(red, 'gate.emission').receipt?.ids?.['bytes'])).toBeLessThan(8_000_000);
    const decide = (step: string, action: string, more: Record<string, unknown> = {}) =>
      say(handle, 'decide', { step, by: 'carol', action, reason: 'seen', ...more });
    expect(await decide('gate.ci-pr', 'skip')).toMatchObject({ refusal: { rule: 'baseline-blocker', source: '[001 step 4]' } });
    expect(await ruleOf(decide('gate.ci-pr', 'skip', { evidence: ['link=https://t/7'] }))).toBe('baseline-blocker');
    expect(await decide('gate.ci-pr', 'skip', { evidence: ['link=https://t/7', 'proof=https://ci/1'] })).toMatchObject({ accepted: true });
    expect(await ruleOf(decide('gate.orders', 'skip', { by: 'sam', due: '2099-12-01' }))).toBe('role');
    expect(await ruleOf(decide('gate.orders', 'skip', { due: 'soon' }))).toBe('accepted-risk');
    expect(await decide('gate.orders', 'skip', { by: 'abe', due: '2099-12-01' })).toMatchObject({ accepted: true });
    // Saying that it passes is looked at, and it does not.
    await decide('gate.absent', 'done');
    await world.until(handle, 'refused', (state) => state.refusals.some((one) => one.rule === 'inspection-disagrees'));
    await Promise.all([rm(join(world.folder, 'loose')), writeFile(join(world.folder, 'absent'), '#!/bin/sh\n', { mode: 0o755 })]);
    lying.write('gated', { unhealthy: false, smokes: true });
    for (const step of ['health', 'smoke', 'gate.emission', 'gate.absent']) await decide(step, 'retry');
    const rows = await waitsFor(world, handle, 'ownership');
    expect(GATES.map((id) => stepOf(rows, id).state)).toEqual(['done', 'done', 'skipped', 'skipped', 'done', 'done']);
    for (const row of [...ROWS, { step: 'ownership', by: 'carol', ...NEXT }]) await say(handle, 'confirm', row);
    expect((await waitsFor(world, handle, 'unfreeze')).incidentCommand?.conditions[1]).toEqual({
      condition: 'critical checks pass or accepted risk is signed off',
      met: true,
      by: '5 checks passed, 3 cleanup rows signed; gate.ci-pr signed off by carol; gate.orders signed off by abe',
    });
    const end = await toTheEnd(handle);
    expect(end.outcome).toBe('rolled-back');
    const recovery = (await toldOf(handle)).find((one) => one['template'] === 'recovery');
    expect(recovery?.['body']).toMatch(/^- ci-pr passes: .*carol/m);
    expect(recovery?.['body']).toMatch(/^- orders passes: .*abe.*2099-12-01/m);
  });
});

describe('hand-over', () => {
  it('a deputy is refused before the time, and answers after it; the holder still may', async () => {
    await lying.changeConfig((yaml) => yaml.replace('{ fourEyes: true }', '{ fourEyes: true, remindAfterSeconds: 1, handOverAfterSeconds: 2 }'));
    const handle = await asked(['handed']);
    await waitsFor(world, handle, 'declaration');
    expect(await ruleOf(say(handle, 'confirm', { step: 'declaration', by: 'dan' }))).toBe('role');
    const told = async (notice: string) => (await lying.toldOf(handle)).filter((one) => one.notice === notice).map((one) => one.text);
    await eventually('it is handed over', async () => (await told('handed-over')).length > 0);
    expect(await told('reminder')).toEqual(['incident-commander is still awaited for declaration']);
    expect(await told('handed-over')).toEqual(['nobody has answered declaration; handed over to the deputy of incident-commander']);
    expect(await ruleOf(say(handle, 'confirm', { step: 'declaration', by: 'sid' }))).toBe('role');
    expect(await say(handle, 'confirm', { step: 'declaration', by: 'dan' })).toMatchObject({ accepted: true });
    const state = await waitsFor(world, handle, 'target');
    // He answered once; the role is still carol's.
    expect(state.incidentCommand).toMatchObject({ declared: { by: 'dan' }, roles: { 'incident-commander': ['carol'] } });
    expect(await confirmTarget(handle)).toMatchObject({ accepted: true });
  });
});
