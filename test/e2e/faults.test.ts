/** Bad input and faults, through real Temporal: what is said, how the execution ends, and what is left afterwards. One row each. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WorkflowExecutionAlreadyStartedError, type WorkflowHandle } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RULE_SOURCE, type Rule } from '../../model/refusal.ts';
import type { FailureType } from '../../model/failure.ts';
import type { RollbackState } from '../../model/state.ts';
import { layRelease } from '../../client/demo/shop.ts';
import { eventually, json, LyingWorld, type Hooked } from '../support/lying-world.ts';
import { BOOTS, type World } from '../support/world.ts';

const CANARY = 'canary-7f3a91';
const PAPER = [
  'same',
  'taken',
  'fifty',
  'late',
  'broken-file',
  'saved-file',
  'kept-file',
  'changed-file',
  'idle',
  'half',
  'gone-back',
  'failed-before',
  'locked',
  'deaf',
  'unwell',
];
const BAD = [
  '      never: { type: service, adapter: paper }',
  '      wrong-options: { type: service, options: { root: ./srv/web, command: [./bin/serve], prot: 1 } }',
  '      wrong-platform: { type: service, adapter: heroku }',
  '      wrong-executor: { type: service, adapter: paper, executor: github-actions }',
];

let lying: LyingWorld;
let world: World;
const hooked: Hooked[] = [];

beforeAll(async () => {
  const good = { version: 'v1.1.0' };
  lying = await LyingWorld.create(
    {
      paper: Object.fromEntries(PAPER.map((name) => [name, []])),
      shops: [
        BOOTS,
        { name: 'says', releases: [{ version: 'v1.0.0', says: 'v0.0.1' }, good], yaml: ['settleSeconds: 1'] },
        { name: 'sick', releases: [{ version: 'v1.0.0', unhealthy: true }, good] },
        { name: 'crash', releases: [{ version: 'v1.0.0', crashes: true }, good] },
        { name: 'smoky', releases: [{ version: 'v1.0.0', broken: true }, good] },
      ],
      env: { BROKEN_WEBHOOK: `http://127.0.0.1:1/${CANARY}` },
      yaml: [...BAD, 'channels: { incident: [{ file: ./incidents.log }, { webhook: "env:INCIDENT_WEBHOOK" }, { webhook: "env:BROKEN_WEBHOOK" }] }'],
    },
    hooked,
    CANARY,
  );
  world = lying.world;
  await lying.changeConfig((yaml) => yaml.replaceAll('startTimeoutSeconds: 10', 'startTimeoutSeconds: 2'));
  await world.recorded('web', 'v0.9.0', false);
  await world.recorded('web', 'v0.7.0', true);
  await world.recorded('gone-back', 'v1.1.0', true);
  await Promise.all([
    world.badRelease('web'),
    ...['says', 'sick', 'crash', 'smoky'].map(async (name) => {
      await world.recorded(name, 'v1.0.0', true);
      await world.release(name, 'v1.1.0', false);
    }),
  ]);
});
afterAll(() => lying.close());

const like = (text: string | RegExp): unknown => (typeof text === 'string' ? text : expect.stringMatching(text));
const REQUEST = {
  environment: 'production',
  components: ['web'],
  targets: { web: 'v1.0.0' },
  trigger: 'verification',
  cause: 'smoke-failed',
  reason: 'checkout answers 500',
  by: 'ci',
};
const request = (more: Record<string, unknown> = {}): Record<string, unknown> => ({ ...REQUEST, ...more });
/** Starts a rollback of web with something else in its request. */
const web = (more: Record<string, unknown>) => (): Promise<WorkflowHandle> => lying.on('web', more);
const bytes = (payload: Parameters<LyingWorld['raw']>[0]) => (): Promise<WorkflowHandle> => lying.raw(payload);
const kind = (name: string, subject: string, more: Record<string, unknown>) => (): Promise<WorkflowHandle> =>
  lying.raw(json(request(more)), name, `${name}/production/${subject}`);

const CANNOT = 'the start input cannot be used: ';
const UNSTORABLE = 'holds a character that cannot be stored (NUL or half a surrogate pair)';
const CAUSES = 'verification-failed, smoke-failed, health-degraded, definition-of-done-violated, behaviour-deviates, operator-judgement';

/** The fault, how it is brought about, the rule that refuses it, and what it says. */
const REFUSED: readonly (readonly [string, () => Promise<WorkflowHandle>, Rule, string | RegExp])[] = [
  ['no input', bytes(null), 'malformed', `${CANNOT}one JSON object is expected`],
  ['a text as input', bytes(json('web')), 'malformed', `${CANNOT}one JSON object is expected`],
  ['a list as input', bytes(json([{}])), 'malformed', `${CANNOT}one JSON object is expected`],
  ['broken JSON', bytes({ encoding: 'json/plain', data: '{"environment":' }), 'malformed', `${CANNOT}the payload cannot be read (encoding json/plain)`],
  ['an encrypted payload', bytes({ encoding: 'binary/encrypted' }), 'malformed', `${CANNOT}the payload cannot be read (encoding binary/encrypted)`],
  ['a payload without encoding', bytes({ data: '{}' }), 'malformed', `${CANNOT}the payload cannot be read (encoding missing)`],
  ['bytes as input', bytes({ encoding: 'binary/plain', data: 'x' }), 'malformed', `${CANNOT}"environment" must be a text that is not empty`],
  ['missing fields', bytes(json(request({ cause: undefined }))), 'malformed', `${CANNOT}"cause" must be a text that is not empty`],
  [
    'a name of a megabyte',
    bytes(json(request({ components: ['"'.repeat(900_000)] }))),
    'malformed',
    /^the start input cannot be used: "components" holds "(\\")+\\?$/,
  ],
  ['a NUL in the reason', web({ reason: 'a\u0000b' }), 'malformed', `${CANNOT}"reason" ${UNSTORABLE}`],
  ['a stray target', web({ targets: { api: 'v1' } }), 'malformed', `${CANNOT}"targets" names "api", which is not among "components"`],
  [
    ...(['another Workflow Id', () => lying.raw(json(request()), 'deployRevert', 'mine'), 'workflow-id'] as const),
    'the Workflow Id of this request is deployRevert/production/web, not mine; start it under that Id',
  ],
  [
    'an automatic deprovisioning',
    kind('upaDeprovision', 'acme', { trigger: 'automatic' }),
    'operator-only',
    'a deprovisioning is always started by an operator, never by automatic',
  ],
  [
    ...([
      'a deprovisioning where no tenants are',
      kind('upaDeprovision', 'acme', { trigger: 'operator', cause: 'client-offboarded', tenant: 'acme', by: 'ana', components: [], targets: {} }),
    ] as const),
    ...(['tenant', /^production has no tenants in .*backout\.yaml; say under environments\.production\.tenants where they are provisioned$/] as const),
  ],
  ['[002 section 3] an unknown cause', web({ cause: 'friday' }), 'cause', `"friday" is no cause of a deployRevert; the causes are ${CAUSES}`],
  ['an unknown environment', web({ environment: 'prod' }), 'unknown-environment', /^there is no environment "prod" in \/.*backout\.yaml; there is production$/],
  ['an environment called constructor', web({ environment: 'constructor' }), 'unknown-environment', /^there is no environment "constructor"/],
  [
    ...(['[002 section 4] an unknown component', () => lying.on('stripe'), 'unknown-component'] as const),
    /^there is no component "stripe" in production; there is web, .*\. External systems cannot be rolled back \[002 section 4\]$/,
  ],
  ['no component', web({ components: [], targets: {} }), 'unknown-component', 'no component was named'],
  [
    ...(['an unknown platform', () => lying.on('wrong-platform'), 'unknown-platform'] as const),
    'wrong-platform names the platform "heroku", which Backout does not know; it knows github-actions, releases, paper',
  ],
  [
    ...(['wrong options of an adapter', () => lying.on('wrong-options'), 'configuration'] as const),
    /backout\.yaml:\d+: environments\.production\.components\.wrong-options\.options\.port: expected number, and it is missing\n.*options\.prot: no such setting here$/,
  ],
  [
    ...(['[002 section 6] an executor that the adapter is not', () => lying.on('wrong-executor'), 'executor'] as const),
    'wrong-executor demands execution by github-actions, and its adapter is paper',
  ],
  ['[002 section 5] no target', web({ targets: {} }), 'target-named', 'no target is named for web; the last healthy one is v1.0.0'],
  [
    ...(['[002 section 5] a target never recorded', web({ targets: { web: 'v6.6.6' } }), 'target-known'] as const),
    'v6.6.6 of web was never recorded as deployed in production; the last healthy one is v1.0.0',
  ],
  [
    ...(['[002 section 5] a target never verified', web({ targets: { web: 'v0.9.0' } }), 'target-known-healthy'] as const),
    'v0.9.0 of web is not known healthy (its checks never passed, or it was rolled back); the last healthy one is v1.0.0',
  ],
  [
    '[002 section 5] a target gone from disk',
    web({ targets: { web: 'v0.7.0' } }),
    'target-in-place',
    /^releases no longer has v0\.7\.0 of web; it has v1\.[01]\.0, v1\.[01]\.0$/,
  ],
  [
    ...(['[002 section 5] last-healthy where there is none', () => lying.on('never', { targets: { never: 'last-healthy' } }), 'previous-release'] as const),
    'never has no earlier release that is known healthy; record and verify one, or act by hand',
  ],
  [
    ...(['[003] an automatic start while all is well', web({ trigger: 'automatic' }), 'already-stable'] as const),
    'web answers its health checks; an automatic rollback of a stable component is refused, an operator may start one',
  ],
  ['a platform that lets nobody in', lockedOut, 'platform-unavailable', 'locked cannot be inspected: the token has expired'],
  [
    '[002 section 5] a target that was rolled back',
    rolledBack,
    'target-known-healthy',
    /^v1\.1\.0 of gone-back is not known healthy \(its checks never passed, or it was rolled back\); /,
  ],
  [
    ...(['[002 section 11] another attempt without an analysis', failedBefore, 'analysis'] as const),
    /^rollback [0-9a-f-]{36} of this deployment of failed-before failed; another attempt needs a written analysis \(--analysis\)$/,
  ],
  [
    ...(['another rollback that shares a component', sharing, 'exclusion'] as const),
    /^taken in production is held by rollback [0-9a-f-]{36} \(deployRevert\/production\/taken\), started by ci at .*; follow it with backout watch deployRevert\/production\/taken$/,
  ],
];

function lockedOut(): Promise<WorkflowHandle> {
  lying.write('locked', { locked: 'the token has expired' });
  return lying.on('locked');
}

async function rolledBack(): Promise<WorkflowHandle> {
  const first = await lying.on('gone-back');
  await world.waiting(first);
  await world.confirm(first);
  expect((await world.closed(first)).outcome).toBe('rolled-back');
  return lying.on('gone-back', { targets: { 'gone-back': 'v1.1.0' } });
}

async function failedBefore(): Promise<WorkflowHandle> {
  lying.write('failed-before', { fails: { kind: 'failed', message: 'disk full' } });
  const first = await lying.on('failed-before');
  await world.stopped(first);
  await first.signal('decide', { by: 'ana', action: 'close', reason: 'no use' });
  expect((await world.closed(first)).outcome).toBe('failed');
  return lying.on('failed-before');
}

async function sharing(): Promise<WorkflowHandle> {
  await world.waiting(await lying.on('taken'));
  return world.start({ components: ['web', 'taken'], targets: { web: 'v1.0.0', taken: 'v1.0.0' } });
}

describe('a start that is refused', () => {
  it.each(REFUSED)('%s', async (_, start, rule, says) => {
    const handle = await start();
    const state = (await handle.result()) as RollbackState; // What the workflow type answers.
    expect(state).toMatchObject({ state: 'closed', outcome: 'refused', planHash: null, steps: [], record: { behind: false } });
    expect(state.refusals).toEqual([{ rule, source: RULE_SOURCE[rule], explanation: like(says), by: like(/./), at: like(/^\d{4}-/) }]);
    expect((await handle.describe()).status.name).toBe('COMPLETED');
    expect(await world.store.claims({ rollbackId: state.rollbackId })).toEqual([]);
    expect(await lying.recordOf(state)).toEqual([expect.objectContaining({ type: 'refused', refusal: state.refusals[0] })]);
    expect(await world.ownEffects('web')).toEqual([]);
    expect(await world.serves('web')).toBe('v1.1.0');
  });

  it('an unknown kind ends at once and says which there are', async () => {
    const handle = await lying.raw(json({}), 'deployRevrt', 'deployRevrt/production/web');
    expect(await handle.result()).toEqual({
      outcome: 'refused',
      explanation: 'there is no kind deployRevrt; the kinds are deployRevert, l1Rollback, l2Rollback, l3Rollback, upaDeprovision',
    });
  });
});

/** Stopped at this step, for this reason; the incident channel was told, and nothing follows [002 section 11]. */
async function stopsAt(handle: WorkflowHandle, step: string, type: FailureType, message: string | RegExp): Promise<RollbackState> {
  const state = await world.stopped(handle);
  const at = state.steps.findIndex((one) => one.id === step);
  expect(state.steps[at]).toMatchObject({ state: 'failed', failure: { type, message: like(message) } });
  expect(state.steps.slice(at + 1).every((one) => one.state === 'pending')).toBe(true);
  expect((await handle.describe()).status.name).toBe('RUNNING');
  expect(state.waiting).toMatchObject([{ step, json: like(/^decide \{"step":/) }]);
  await eventually('the incident channel is told', async () =>
    (await lying.toldOf(handle)).some((one) => one.notice === 'stopped' && one.text.startsWith(`${step} failed: `)),
  );
  return state;
}

/** The fault; the component that has it; where it stops, why, and what is left: the version served, and the effects of Backout. */
const STOPPED: readonly (readonly [string, string, string, FailureType, string | RegExp, string, number])[] = [
  [
    ...(['[002 section 8] a served version that is not what the platform claims', 'says', 'says.served', 'ServedVersionDiffers'] as const),
    ...([/^http:\/\/127\.0\.0\.1:\d+\/version serves v0\.0\.1, not v1\.0\.0, although releases reports v1\.0\.0 in place$/, 'v0.0.1', 1] as const),
  ],
  [
    ...(['[002 section 8] a target that never becomes healthy', 'sick', 'sick.deploy', 'PlatformFailed'] as const),
    ...([/^v1\.0\.0 was not healthy on 127\.0\.0\.1:\d+ within 2 s .*it was stopped, and v1\.1\.0 still serves; log: /, 'v1.1.0', 0] as const),
  ],
  [
    ...(['a target that crashes', 'crash', 'crash.deploy', 'PlatformFailed'] as const),
    ...([/^v1\.0\.0 ended before it was healthy .*; it was stopped, and v1\.1\.0 still serves; log: .*logs\/v1\.0\.0\.log$/, 'v1.1.0', 0] as const),
  ],
  [
    ...(['[002 section 8] smoke tests that fail on the target', 'smoky', 'smoky.smoke', 'SmokeFailed'] as const),
    ...([/^\.\/smoke http:\/\/127\.0\.0\.1:\d+ ended with 1: checkout answered 500$/, 'v1.0.0', 1] as const),
  ],
];

describe.concurrent('a fault on the way', () => {
  it.each(STOPPED)('%s', async (_, component, step, type, says, serves, effects) => {
    await stopsAt(await lying.on(component), step, type, says);
    expect(await world.serves(component)).toBe(serves);
    expect(await world.ownEffects(component)).toHaveLength(effects);
  });

  it('[002 section 8] a platform that answers 200 and does nothing', async () => {
    lying.write('idle', { lie: 'idle' });
    await stopsAt(await lying.on('idle'), 'idle.deploy', 'NotAtTarget', 'paper reported success, but idle is at v1.1.0, not at v1.0.0');
    expect(lying.sheet('idle')).toMatchObject({ version: 'v1.1.0', applied: [{ to: 'v1.0.0' }] });
  });

  it('[002 section 9] a component that is half moved is failed, and what was not undone is named', async () => {
    lying.write('half', { lie: 'half' });
    const handle = await lying.on('half');
    const why = 'half is half moved: www.shop.example not at v1.0.0';
    const state = await stopsAt(handle, 'half.deploy', 'HalfMoved', why);
    expect(state.remains).toEqual([{ artifact: 'www.shop.example', reason: 'at v1.1.0, not at v1.0.0', owner: 'operator' }]);
    await handle.signal('decide', { by: 'ana', action: 'close', reason: 'by hand tomorrow' });
    expect(await world.closed(handle)).toMatchObject({ outcome: 'failed', remains: [{ artifact: 'www.shop.example' }, { artifact: 'half', reason: why }] });
    expect(lying.sheet('half').applied).toHaveLength(1);
  });

  it('[002 section 8] health that fails after the deployment', async () => {
    lying.write('unwell', { unhealthy: true });
    const says = /^not healthy: http:.*\/unwell\/healthz: HTTP 503$/;
    const state = await stopsAt(await lying.on('unwell'), 'unwell.health', 'Unhealthy', says);
    expect(state.steps.map((step) => step.state)).toEqual(['done', 'done', 'failed', 'pending', 'pending']);
  });

  it('everything at its target already ends rolled-back at once, with nothing to confirm', async () => {
    lying.write('same', { version: 'v1.0.0' });
    const handle = await lying.on('same');
    const state = (await handle.result()) as RollbackState; // What the workflow type answers.
    expect(state).toMatchObject({ outcome: 'rolled-back', targets: [{ from: 'v1.0.0', to: 'v1.0.0' }], answers: [] });
    const ends = [
      ['same.deploy', 'already'],
      ['same.smoke', 'done'],
      ['same.health', 'done'],
      ['same.served', 'done'],
      ['availability', 'already'],
    ];
    expect(state.steps.map((step) => [step.id, step.state])).toEqual(ends);
    expect(lying.sheet('same').applied).toEqual([]);
    // Nothing was rolled back, so no deployment says that it was.
    expect((await world.store.deployments({ component: 'same' })).map((one) => one.status).toSorted()).toEqual(['in_progress', 'success']);
  });

  it('50 equal starts at once are one rollback', async () => {
    const starts = await Promise.allSettled(Array.from({ length: 50 }, () => lying.on('fifty')));
    const won = starts.filter((one) => one.status === 'fulfilled');
    const lost = starts.filter((one) => one.status === 'rejected').map((one) => one.reason as unknown);
    expect([won.length, lost.length]).toEqual([1, 49]);
    expect(lost.every((one) => one instanceof WorkflowExecutionAlreadyStartedError)).toBe(true);
    const handle = won[0]!.value;
    await world.waiting(handle);
    expect(lying.sheet('fifty').applied).toHaveLength(1);
    await world.confirm(handle);
    expect((await world.closed(handle)).outcome).toBe('rolled-back');
    expect(await world.store.rollbacks({ component: 'fifty' })).toHaveLength(1);
  });

  it('[002 section 3] a late start without a justification is recorded and owed an answer, never blocked', async () => {
    const detectedAt = new Date(Date.now() - 3_600_000).toISOString();
    const handle = await lying.on('late', { detectedAt });
    const state = await world.waiting(handle);
    expect(state.refusals).toEqual([]);
    const owed = `detected at ${detectedAt} and started 60 minutes later without a justification; an answer is owed [002 section 3]`;
    expect(state.warnings).toContain(owed);
    expect((await lying.recordOf(state))[0]).toMatchObject({ type: 'opened', warnings: expect.arrayContaining([owed]) as unknown });
  });

  it('an incident channel that is down is a warning, and the others are told; no secret address is written anywhere', async () => {
    const handle = await lying.on('deaf');
    await world.waiting(handle);
    await world.confirm(handle);
    const state = await world.closed(handle);
    expect(state).toMatchObject({ outcome: 'rolled-back', warnings: expect.arrayContaining(['a webhook could not be told: no answer']) as unknown });
    const mine = hooked.filter((one) => one.workflowId === 'deployRevert/production/deaf');
    expect(mine.map((one) => one.notice)).toEqual(['opened', 'closed']);
    expect(mine[0]?.text).toBe('ci started deployRevert/production/deaf (verification, smoke-failed): checkout answers 500. deaf v1.1.0 → v1.0.0');
    const written = [state, await world.store.entriesOf(state.rollbackId), historyToJSON(await handle.fetchHistory()), await world.incidents()];
    const texts = [...written.map((one) => JSON.stringify(one)), await world.workerLog(), await readFile(join(world.folder, 'incidents.log'), 'utf8')];
    for (const text of texts) {
      expect(text.length).toBeGreaterThan(20);
      expect(text).not.toContain(CANARY);
    }
  });
});

describe('backout.yaml, while a rollback runs', () => {
  /** Changes the file while the deployment is under way. */
  async function changing(component: string, change: (yaml: string) => string): Promise<WorkflowHandle> {
    lying.write(component, { takesMs: 1_000 });
    const handle = await lying.on(component);
    await eventually('the deployment is under way', () => lying.sheet(component).applied.length === 1);
    await lying.changeConfig(change);
    return handle;
  }
  const ends = async (handle: WorkflowHandle): Promise<RollbackState> => {
    await world.waiting(handle);
    await world.confirm(handle);
    return world.closed(handle);
  };

  it('broken: the step fails, and goes on by a decision when it is mended', async () => {
    const handle = await changing('broken-file', (yaml) => yaml.replace('environments:', 'environment:'));
    const state = await world.stopped(handle);
    // The channels are named in that very file.
    await eventually('the incident channel is told', async () =>
      (await lying.toldOf(handle)).some((one) => one.notice === 'stopped' && one.text.startsWith('broken-file.smoke failed: ')),
    );
    await lying.changeConfig((yaml) => yaml.replace('environment:', 'environments:'));
    expect(state.steps.map((step) => step.state)).toEqual(['done', 'failed', 'pending', 'pending', 'pending']);
    const says = like(/backout\.yaml:1: environments: expected record, and it is missing/);
    expect(state.steps[1]?.failure).toMatchObject({ type: 'Configuration', message: says });
    await handle.signal('decide', { step: 'broken-file.smoke', by: 'ana', action: 'retry', reason: 'mended', analysis: 'a typo' });
    expect((await ends(handle)).outcome).toBe('rolled-back');
    expect(lying.sheet('broken-file').applied).toHaveLength(1);
  });

  it('broken while only a person is awaited: the end is written and told all the same', async () => {
    const handle = await lying.on('kept-file');
    await world.waiting(handle);
    await lying.changeConfig((yaml) => yaml.replace('environments:', 'environment:'));
    await world.confirm(handle);
    const state = await world.closed(handle);
    await lying.changeConfig((yaml) => yaml.replace('environment:', 'environments:'));
    expect(state).toMatchObject({ outcome: 'rolled-back', record: { behind: false } });
    expect((await lying.toldOf(handle)).map((one) => one.notice)).toEqual(['opened', 'closed']);
  });

  it('broken for a moment, as when it is being saved: nobody is bothered', async () => {
    const handle = await changing('saved-file', (yaml) => yaml.replace('environments:', 'environment:'));
    await eventually('an attempt has met it', async () => {
      const [pending] = (await handle.describe()).raw.pendingActivities ?? [];
      return pending?.activityType?.name === 'runStep' && (pending.lastFailure?.message ?? '').includes('environments: expected record');
    });
    await lying.changeConfig((yaml) => yaml.replace('environment:', 'environments:'));
    const state = await ends(handle);
    expect(state).toMatchObject({ outcome: 'rolled-back', answers: [{ name: 'confirm' }] });
    expect(state.steps[1]?.attempts).toBeGreaterThan(1);
  });

  it('[002 section 6] changed for the component: the plan was not made for it, until a person decides, for all of its steps', async () => {
    const handle = await changing('changed-file', (yaml) =>
      yaml.replace(/( {6}changed-file:\n.*\n.*\n) {8}settleSeconds: 0.3/, '$1        settleSeconds: 0.4'),
    );
    const state = await stopsAt(handle, 'changed-file.smoke', 'ConfigurationChanged', 'the configuration of changed-file has changed since the plan was made');
    expect(state.steps[0]?.state).toBe('done');
    await handle.signal('decide', { step: 'changed-file.smoke', by: 'ana', action: 'retry', reason: 'looked at it', analysis: 'a longer time to settle' });
    expect((await ends(handle)).outcome).toBe('rolled-back');
  });
});

it('a target that crashed is mended and put back by a retry', async () => {
  const handle = world.client.workflow.getHandle('deployRevert/production/crash');
  await world.stopped(handle);
  await layRelease(world.folder, 'crash', { version: 'v1.0.0' });
  await handle.signal('decide', { step: 'crash.deploy', by: 'ana', action: 'retry', reason: 'mended', analysis: 'the price list was missing' });
  await world.waiting(handle);
  expect(await world.serves('crash')).toBe('v1.0.0');
  expect((await world.ownEffects('crash')).map((one) => one.to)).toEqual(['v1.0.0']);
});
