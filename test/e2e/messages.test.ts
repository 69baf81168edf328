/** Everything a person may say to a running rollback, as signal and as update, and everything else that may arrive [product.md 6]. */
import { WorkflowNotFoundError, WorkflowUpdateFailedError, type WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UNREADABLE } from '../../model/reading.ts';
import type { Plan } from '../../model/plan.ts';
import type { RollbackState, Waiting } from '../../model/state.ts';
import type { MessageReply } from '../../workflows/messages.ts';
import { eventually, json, LyingWorld, type Raw } from '../support/lying-world.ts';
import { BOOTS, run, type World } from '../support/world.ts';

const PAPER = [
  'by-signal',
  'by-update',
  'malformed',
  'junk',
  'flood',
  'heavy',
  'chatty',
  'early',
  'twice',
  'declined',
  'both',
  'stale',
  'four-eyes',
  'roles',
  'unanswered',
  'shown',
];

let lying: LyingWorld;
let world: World;
beforeAll(async () => {
  lying = await LyingWorld.create({
    shops: [BOOTS],
    paper: Object.fromEntries(PAPER.map((name) => [name, []])),
    yaml: [
      'people: { ana: { roles: [operator] }, olli: { roles: [operator] }, ben: { roles: [auditor] }, lea: { roles: [on-call-lead] } }',
      'confirmations: { remindAfterSeconds: 1, handOverAfterSeconds: 2, handOverTo: on-call-lead, fourEyes: true }',
    ],
  });
  world = lying.world;
  await world.badRelease('web');
});
afterAll(() => lying.close());

type Send = (handle: WorkflowHandle, name: string, body: unknown) => Promise<MessageReply | undefined>;
const bySignal: Send = async (handle, name, body) => {
  await handle.signal(name, body);
  return undefined;
};
const byUpdate: Send = (handle, name, body) => handle.executeUpdate<MessageReply, [unknown]>(name, { args: [body] });

const confirm = { step: 'availability', by: 'ana' };

/** No message has ever failed a workflow task, and none is failing now. */
async function expectUnharmed(handle: WorkflowHandle): Promise<void> {
  const { raw, status } = await handle.describe();
  expect(status.name).not.toBe('FAILED');
  expect(raw.pendingWorkflowTask?.attempt ?? 1).toBe(1);
  const { events = [] } = await handle.fetchHistory();
  // The server itself ends a task early when a hundred signals came during it; the next one goes on.
  const causes = (events ?? []).flatMap((event) => event.workflowTaskFailedEventAttributes?.cause ?? []).map(String);
  expect(causes.filter((cause) => !cause.endsWith('FORCE_CLOSE_COMMAND') && cause !== '17')).toEqual([]);
}

/** Ends well, with every refusal that the state shows on the record. */
async function endsWell(handle: WorkflowHandle, by = 'ana'): Promise<RollbackState> {
  await world.waiting(handle);
  await handle.signal('confirm', { ...confirm, by });
  const state = await world.closed(handle);
  expect(state).toMatchObject({ outcome: 'rolled-back', record: { behind: false } });
  await expectUnharmed(handle);
  const recorded = (await lying.recordOf(state)).filter((one) => one['type'] === 'refusal').map((one) => one['refusal']);
  expect(recorded).toEqual(state.refusals);
  return state;
}

describe('the temporal command', () => {
  it('completes a waiting rollback with the JSON of the docs', async () => {
    const handle = await lying.on('web');
    await world.waiting(handle);
    const args = ['workflow', 'signal', '--workflow-id', 'deployRevert/production/web', '--name', 'confirm', '--input', '{"step":"availability","by":"ana"}'];
    const ran = await run('temporal', [...args, '--address', world.services.temporalAddress], world.folder, process.env);
    expect(ran).toMatchObject({ code: 0 });
    const state = await world.closed(handle);
    expect(state).toMatchObject({ outcome: 'rolled-back', answers: [{ name: 'confirm', step: 'availability', by: 'ana', proof: 'self-declared' }] });
    expect(await world.serves('web')).toBe('v1.0.0');
    expect((await handle.describe()).status.name).toBe('COMPLETED');
  });
});

describe.concurrent('a conversation', () => {
  it.each([
    ['by-signal', bySignal],
    ['by-update', byUpdate],
  ])('%s: every message', async (component, send) => {
    lying.write(component, { fails: { kind: 'failed', message: 'disk full' } });
    const handle = await lying.on(component);
    await world.stopped(handle);
    lying.write(component, { fails: null });
    const replies = [await send(handle, 'decide', { step: `${component}.deploy`, by: 'ana', action: 'retry', reason: 'freed', analysis: 'disk was full' })];
    await world.waiting(handle);
    replies.push(await send(handle, 'assign', { role: 'operator', to: 'ben', by: 'ana', reason: 'end of shift' }));
    replies.push(await send(handle, 'stop', { by: 'ana', reason: 'wait for the CEO' }));
    await world.stopped(handle);
    replies.push(await send(handle, 'resume', { by: 'ben', reason: 'she has gone home' }));
    await world.waiting(handle);
    replies.push(await send(handle, 'decline', { step: 'availability', by: 'ben', reason: 'images are missing' }));
    await world.stopped(handle);
    replies.push(await send(handle, 'decide', { step: 'availability', by: 'ben', action: 'retry', reason: 'cache', analysis: 'the cache was cold' }));
    await world.waiting(handle);
    replies.push(await send(handle, 'escalate', { to: 'l2Rollback', by: 'ben', reason: 'data?' }));
    replies.push(await send(handle, 'confirm', { ...confirm, by: 'ben', role: 'operator', note: 'looked', evidence: ['https://e/1'], data: { orders: 3 } }));
    const state = await world.closed(handle);
    expect(state.outcome).toBe('rolled-back');
    const said = [
      ['decide', 'ana'],
      ['assign', 'ana'],
      ['stop', 'ana'],
      ['resume', 'ben'],
      ['decline', 'ben'],
      ['decide', 'ben'],
      ['confirm', 'ben'],
    ];
    expect(state.answers.map((one) => [one.name, one.by])).toEqual(said);
    expect(state.answers.every((one) => one.proof === 'self-declared')).toBe(true);
    expect(state.refusals).toMatchObject([{ rule: 'level', message: 'escalate', by: 'ben' }]);
    const expected = [true, true, true, true, true, true, false, true];
    expect(replies.map((reply) => reply?.accepted)).toEqual(send === byUpdate ? expected : expected.map(() => undefined));
    const recorded = (await lying.recordOf(state)).filter((one) => one['type'] === 'answer').map((one) => one['answer']);
    expect(recorded).toEqual(state.answers);
    await expectUnharmed(handle);
  });

  it('an update answers with the refusal, and with the word of the state', async () => {
    const handle = await lying.on('declined');
    await world.waiting(handle);
    expect(await byUpdate(handle, 'confirm', { step: 'nope', by: 'ana' })).toEqual({
      accepted: false,
      state: 'waiting',
      refusal: {
        rule: 'unknown-step',
        source: '[docs/runbook.md]',
        explanation: 'there is no step "nope"; the steps are declined.deploy, declined.smoke, declined.health, declined.served, availability',
        by: 'ana',
        at: expect.any(String) as string,
        message: 'confirm',
      },
    });
    expect(await byUpdate(handle, 'decline', { ...confirm, reason: 'images are missing' })).toEqual({ accepted: true, state: 'stopped' });
    expect(await byUpdate(handle, 'decline', { ...confirm, reason: 'twice' })).toEqual({ accepted: true, state: 'stopped' });
    // Only a decision helps against a decline.
    expect(await byUpdate(handle, 'confirm', confirm)).toMatchObject({ accepted: false, state: 'stopped', refusal: { rule: 'already-answered' } });
    expect(await byUpdate(handle, 'decide', { step: 'availability', by: 'ana', action: 'retry', reason: 'again', analysis: 'a cache' })).toMatchObject({
      accepted: true,
    });
    const state = await endsWell(handle);
    expect(state.answers.map((one) => one.name)).toEqual(['decline', 'decide', 'confirm']);
    // What the gates saw before was no longer believed.
    expect(state.steps.filter((step) => step.mode === 'gate').map((step) => step.attempts)).toEqual([2, 2, 2]);
    expect(lying.sheet('declined').applied).toHaveLength(1);
  });

  it('a malformed update is rejected by the validator, and leaves no trace', async () => {
    const handle = await lying.on('malformed');
    await world.waiting(handle);
    for (const [name, body, says] of [
      [
        'confirm',
        undefined,
        'confirm: one JSON object is expected. Expected: Yes to a waiting step: {"step":"availability","by":"ana","note":"checked the shop"}',
      ],
      ['confirm', { by: 'ana' }, 'confirm: "step" must be a text that is not empty. Expected: '],
      ['decide', { by: 'ana', step: 'x', action: 'ignore', reason: 'x' }, 'decide: "action" must be one of retry, skip, done, close. Expected: '],
      ['stop', 'now', 'stop: one JSON object is expected'],
    ] as const) {
      const error = await byUpdate(handle, name, body).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(WorkflowUpdateFailedError);
      const { cause } = error as WorkflowUpdateFailedError; // Checked above.
      expect(cause).toBeInstanceOf(ApplicationFailure);
      expect(cause).toMatchObject({ type: 'Malformed', message: expect.stringContaining(says) as string });
    }
    expect((await handle.fetchHistory()).events?.filter((event) => event.workflowExecutionUpdateAcceptedEventAttributes)).toEqual([]);
    expect((await endsWell(handle)).refusals).toEqual([]);
  });
});

describe.concurrent('whatever arrives', () => {
  const EVERY = ['confirm', 'decline', 'decide', 'stop', 'resume', 'escalate', 'assign'];
  const PAYLOADS: readonly (readonly [string, readonly Raw[]])[] = [
    ['no payload', []],
    ['two payloads', [json('one'), json('two')]],
    ['broken JSON', [{ encoding: 'json/plain', data: '{"step":' }]],
    ['bytes', [{ encoding: 'binary/plain', data: '\u0000\u0001' }]],
    ['null', [{ encoding: 'binary/null' }]],
    ['an encrypted payload', [{ encoding: 'binary/encrypted', data: 'x' }]],
    ['a protobuf', [{ encoding: 'json/protobuf', data: '{}' }]],
    ['a payload without encoding', [{ data: '{}' }]],
    ['an encoding of garbage', [{ encoding: '\u0000\ud800‮', data: '{}' }]],
    ['an empty object', [json({})]],
    ['a list', [json([confirm])]],
    ['wrong types', [json({ step: 7, by: ['ana'], action: {}, to: null, role: true, reason: 1 })]],
    ['a __proto__', [{ encoding: 'json/plain', data: '{"__proto__":{"step":"availability","by":"ana","reason":"x","action":"close"}}' }]],
    ['20000 levels', [{ encoding: 'json/plain', data: `${'['.repeat(20_000)}${']'.repeat(20_000)}` }]],
    ['our own mark', [json({ [UNREADABLE]: '\u0000' })]],
  ];
  const NAMES = [
    '__temporal_x',
    '__temporal_workflow_metadata',
    '__stack_trace',
    '__enhanced_stack_trace',
    'constructor',
    '__proto__',
    'n'.repeat(300),
    'Confirm',
    '‮😀',
  ];

  it('junk to every handler, and to names that are none, is a refusal each; the rollback goes on', async () => {
    const handle = await lying.on('junk');
    await world.waiting(handle);
    for (const name of EVERY) for (const [, payloads] of PAYLOADS.slice(0, 11)) await lying.rawSignal(handle, name, payloads);
    let seen = await world.until(handle, 'refused', (state) => state.refusals.length === EVERY.length * 11);
    expect(seen).toMatchObject({ state: 'waiting', answers: [], stopped: null });
    expect(new Set(seen.refusals.map((one) => one.rule))).toEqual(new Set(['malformed']));
    expect(seen.refusals[2]?.explanation).toMatch(/^confirm: the payload cannot be read \(encoding json\/plain\)\. Expected: Yes to a waiting step: /);
    for (const [, payloads] of PAYLOADS.slice(11)) await lying.rawSignal(handle, 'decide', payloads);
    for (const name of NAMES) await lying.rawSignal(handle, name, [json(confirm)]);
    await lying.rawSignal(handle, 'confirm', [json({ ...confirm, step: 'web.nope' })]);
    const all = EVERY.length * 11 + PAYLOADS.slice(11).length + NAMES.length + 1;
    seen = await world.until(handle, 'refused', (state) => state.refusals.length === all);
    expect(seen.refusals.slice(-NAMES.length - 1).map((one) => one.rule)).toEqual([...NAMES.map(() => 'unknown-message'), 'unknown-step']);
    expect(seen.refusals.at(-NAMES.length - 1)?.explanation).toBe(
      'there is no message "reserved: __temporal_x"; the messages are confirm, decline, decide, stop, resume, escalate, assign',
    );
    await expectUnharmed(handle);
    const state = await endsWell(handle);
    expect(state.refusals).toHaveLength(all);
  });

  it('a thousand junk signals: the first are kept, the rest are counted', async () => {
    const handle = await lying.on('flood');
    await world.waiting(handle);
    for (let round = 0; round < 10; round += 1) {
      await Promise.all(
        Array.from({ length: 100 }, (_, at) => lying.rawSignal(handle, at % 2 === 0 ? 'confirm' : `n${at}`, [{ encoding: 'json/plain', data: '{' }])),
      );
    }
    await handle.signal('confirm', { ...confirm, step: 'the-last' });
    const state = await endsWell(handle);
    expect(state.refusals).toHaveLength(100);
    expect(state.warnings).toContain('more than 100 messages were refused; the later ones are only counted');
    const counted = (await lying.recordOf(state)).filter((one) => one['type'] === 'flood').map((one) => Number(one['refusedBeyondCount']));
    expect(counted.reduce((sum, one) => sum + one, 0)).toBe(1_001 - 100);
  });

  it('messages as large as the server takes them', async () => {
    const handle = await lying.on('heavy');
    await world.waiting(handle);
    const large = '語'.repeat(60_000);
    const bodies = [
      { [UNREADABLE]: '語'.repeat(600_000) },
      { ...confirm, step: large },
      { ...confirm, by: '\u0001'.repeat(30_000) },
      { ...confirm, data: large },
      { ...confirm, plan: large },
    ];
    for (const body of bodies) {
      await lying.rawSignal(handle, 'confirm', [json(body)]);
    }
    // Each of them, as long as a name may be, as often as refusals are kept.
    const long = '語'.repeat(200);
    await Promise.all(Array.from({ length: 120 }, () => lying.rawSignal(handle, 'confirm', [json({ ...confirm, step: long, by: long, plan: long })])));
    const state = await endsWell(handle);
    expect(state.refusals).toHaveLength(100);
    expect(JSON.stringify(state).length).toBeLessThan(300_000);
  });

  it('accepted ones without end change nothing twice', async () => {
    const handle = await lying.on('chatty');
    await world.waiting(handle);
    const assign = { role: 'operator', to: 'ben', by: 'ana', reason: 'x'.repeat(4_000) };
    await Promise.all(Array.from({ length: 200 }, () => handle.signal('assign', assign)));
    await Promise.all(Array.from({ length: 50 }, () => handle.signal('stop', { by: 'ana', reason: 'wait' })));
    await world.stopped(handle);
    await handle.signal('resume', { by: 'ana', reason: 'go on' });
    const state = await endsWell(handle);
    expect(state.answers.map((one) => one.name)).toEqual(['assign', 'stop', 'resume', 'confirm']);
  });
});

describe.concurrent('when it is said', () => {
  it('too early: what attests what was seen is refused until it is asked', async () => {
    lying.write('early', { takesMs: 700 });
    const handle = await lying.on('early');
    await eventually('the deployment is under way', () => lying.sheet('early').applied.length === 1);
    expect(await byUpdate(handle, 'confirm', confirm)).toMatchObject({
      accepted: false,
      state: 'running',
      refusal: { rule: 'not-asked', explanation: 'availability attests what was seen and is not asked yet; answer again when it is waiting' },
    });
    expect(await byUpdate(handle, 'confirm', { ...confirm, step: 'early.smoke' })).toMatchObject({ refusal: { rule: 'not-asked' } });
    const waiting = await world.waiting(handle);
    expect(waiting.answers).toEqual([]);
    await endsWell(handle);
  });

  it('twice: once; and late: the execution is over', async () => {
    const handle = await lying.on('twice');
    await world.waiting(handle);
    await Promise.all([handle.signal('confirm', confirm), handle.signal('confirm', { ...confirm, by: 'olli' }), handle.signal('confirm', confirm)]);
    const state = await world.closed(handle);
    expect(state.answers).toHaveLength(1);
    expect(state.refusals.every((one) => one.rule === 'closed')).toBe(true);
    await expect(handle.signal('confirm', confirm)).rejects.toBeInstanceOf(WorkflowNotFoundError);
    await expect(byUpdate(handle, 'confirm', confirm)).rejects.toBeInstanceOf(WorkflowNotFoundError);
    await expectUnharmed(handle);
  });

  it('contradicting answers: the first counts', async () => {
    const handle = await lying.on('both');
    await world.waiting(handle);
    await byUpdate(handle, 'stop', { by: 'ana', reason: 'hold it' });
    expect(await byUpdate(handle, 'confirm', confirm)).toEqual({ accepted: true, state: 'stopped' });
    expect(await byUpdate(handle, 'decline', { ...confirm, by: 'olli', reason: 'no' })).toMatchObject({
      accepted: false,
      refusal: { rule: 'already-answered', explanation: 'availability was confirmed already' },
    });
    expect((await handle.describe()).status.name).toBe('RUNNING');
    await byUpdate(handle, 'resume', { by: 'ana', reason: 'go on' });
    expect(await world.closed(handle)).toMatchObject({ outcome: 'rolled-back', refusals: [{ rule: 'already-answered', by: 'olli' }] });
  });

  it('for another plan: refused; for this one: taken', async () => {
    const handle = await lying.on('stale');
    const { planHash } = await world.waiting(handle);
    const old = `sha256:${'0'.repeat(64)}`;
    expect(await byUpdate(handle, 'confirm', { ...confirm, plan: old })).toMatchObject({
      accepted: false,
      refusal: {
        rule: 'stale-plan',
        source: '[docs/runbook.md]',
        explanation: `the answer is for plan ${old}, the plan is now ${planHash ?? ''}; look at it again`,
      },
    });
    expect(await byUpdate(handle, 'confirm', { ...confirm, plan: planHash })).toMatchObject({ accepted: true });
    expect((await world.closed(handle)).outcome).toBe('rolled-back');
  });
});

describe.concurrent('who says it', () => {
  it('four eyes: the starter may not confirm what he started', async () => {
    const handle = await lying.on('four-eyes', { by: 'ana' });
    await world.waiting(handle);
    expect(await byUpdate(handle, 'confirm', confirm)).toMatchObject({
      accepted: false,
      refusal: { rule: 'four-eyes', explanation: 'ana started this rollback; somebody else has to answer availability' },
    });
    expect((await endsWell(handle, 'olli')).answers).toMatchObject([{ name: 'confirm', by: 'olli' }]);
  });

  it('roles: who has none is refused, until it is assigned', async () => {
    const handle = await lying.on('roles');
    await world.waiting(handle);
    const asBen = { ...confirm, by: 'ben', role: 'operator' };
    expect(await byUpdate(handle, 'confirm', { ...confirm, by: 'eve' })).toMatchObject({ refusal: { rule: 'unknown-person' } });
    expect(await byUpdate(handle, 'confirm', { ...confirm, by: 'constructor' })).toMatchObject({ refusal: { rule: 'unknown-person' } });
    expect(await byUpdate(handle, 'confirm', asBen)).toMatchObject({
      refusal: { rule: 'role', explanation: 'ben does not have the role operator; it is held by ana, olli' },
    });
    for (const [name, body] of [
      ['assign', { role: 'operator', to: 'ben', by: 'ben', reason: 'me' }],
      ['decide', { by: 'ben', action: 'close', reason: 'x' }],
      ['stop', { by: 'eve', reason: 'x' }],
    ] as const) {
      const reply = await byUpdate(handle, name, body);
      expect([name, reply?.accepted]).toEqual([name, name === 'stop']);
    }
    // Anybody may stop; going on takes a role.
    expect(await byUpdate(handle, 'resume', { by: 'ben', reason: 'x' })).toMatchObject({ refusal: { rule: 'role' } });
    expect(await byUpdate(handle, 'resume', { by: 'ana', reason: 'x' })).toMatchObject({ accepted: true });
    expect(await byUpdate(handle, 'assign', { role: 'operator', to: 'ben', by: 'ana', reason: 'end of shift' })).toMatchObject({ accepted: true });
    await world.waiting(handle);
    expect((await endsWell(handle, 'ben')).answers.at(-1)).toMatchObject({ name: 'confirm', by: 'ben' });
  });

  it('time passing answers for nobody: a reminder, a hand-over, and the next role may answer', async () => {
    const handle = await lying.on('unanswered');
    await world.waiting(handle);
    expect(await byUpdate(handle, 'confirm', { ...confirm, by: 'lea' })).toMatchObject({ refusal: { rule: 'role' } });
    await eventually('handed over', async () => (await lying.toldOf(handle)).some((one) => one.notice === 'handed-over'));
    const told = (await lying.toldOf(handle)).map((one) => [one.notice, one.text]).slice(1);
    expect(told).toEqual([
      ['reminder', 'operator is still awaited for availability'],
      ['handed-over', 'nobody has answered availability; handed over to on-call-lead'],
    ]);
    expect((await world.state(handle)).state).toBe('waiting');
    expect(await byUpdate(handle, 'confirm', { ...confirm, by: 'ben' })).toMatchObject({ refusal: { rule: 'role' } });
    expect((await endsWell(handle, 'lea')).answers).toMatchObject([{ name: 'confirm', by: 'lea' }]);
  });
});

describe('what the Temporal UI shows', () => {
  it('is enough to run it: queries, search attributes, current details with the very JSON to send', async () => {
    const handle = await lying.on('shown');
    const state = await world.waiting(handle);
    const [waiting] = await handle.query<readonly Waiting[]>('waiting');
    expect(waiting).toMatchObject({
      step: 'availability',
      for: 'operator',
      answer: 'backout confirm deployRevert/production/shown --step availability --by YOU',
    });
    expect(state.waiting[0]).toEqual(waiting);
    const plan = await handle.query<Plan>('plan');
    expect(plan).toMatchObject({ kind: 'deployRevert', targets: [{ component: 'shown', from: 'v1.1.0', to: 'v1.0.0' }], targetSeconds: 300 });
    expect(await handle.query<string>('why')).toBe(
      'ci started it (verification, smoke-failed): checkout answers 500. shown v1.1.0 → v1.0.0. Waiting for operator (availability): backout confirm deployRevert/production/shown --step availability --by YOU',
    );
    await eventually('the search attributes are there', async () => {
      const listed: string[] = [];
      const query =
        'RollbackKind = "deployRevert" AND RollbackState = "waiting" AND RollbackComponents = "shown" AND RollbackWaitingFor = "operator" AND RollbackTrigger = "verification" AND RollbackTarget = "shown=v1.0.0" AND RollbackEnvironment = "production"';
      for await (const one of world.client.workflow.list({ query })) listed.push(one.workflowId);
      return listed.length === 1 && listed[0] === handle.workflowId;
    });
    const { currentDetails = '', definition } = await handle.query<{
      currentDetails?: string;
      definition?: { signalDefinitions?: { name: string; description?: string }[] };
    }>('__temporal_workflow_metadata');
    expect(currentDetails).toContain('**shown v1.1.0 → v1.0.0** · waiting');
    expect(currentDetails).toContain('| ⏳ waiting | availability |');
    const [, name = '', body = ''] = /Send the signal or update `(\w+)` with\n\s+```json\n\s+(.*)\n/.exec(currentDetails) ?? [];
    expect([name, body]).toEqual(['confirm', '{"step":"availability","by":"YOU"}']);
    expect(definition?.signalDefinitions?.find((one) => one.name === 'confirm')?.description).toContain('{"step":"availability","by":"ana"');
    await lying.rawSignal(handle, name, [{ encoding: 'json/plain', data: body.replace('YOU', 'ana') }]);
    expect((await world.closed(handle)).outcome).toBe('rolled-back');
    expect(await handle.query<readonly Waiting[]>('waiting')).toEqual([]);
    expect(await handle.query<string>('why')).toMatch(/It ended rolled-back\.$/);
  });
});
