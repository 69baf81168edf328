/** The command against a real server, database, worker and shop: from the start to the end, and what happens when parts of it are away. */
import { randomUUID } from 'node:crypto';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { RollbackState } from '../../model/state.ts';
import { World, type Ran } from '../support/world.ts';
import { LAUNCHER, problemOf } from './cli.ts';

const ID = 'deployRevert/production/web';
const START = [
  'start',
  'deployRevert',
  '--environment',
  'production',
  '--component',
  'web',
  '--cause',
  'smoke-failed',
  '--reason',
  'checkout answers 500',
  '--by',
  'ci',
  '--trigger',
  'verification',
];

let world: World;
beforeAll(async () => {
  world = await World.create({ shops: [{ name: 'web', releases: [{ version: 'v1.0.0' }, { version: 'v1.1.0', broken: true }, { version: 'v1.2.0' }] }] });
});
afterAll(() => world.close());

const cli = (args: readonly string[]): Promise<Ran> => world.cli(args, { BACKOUT_BY: 'ana' });
/** The one document of a command that did what was asked. */
async function done<T>(args: readonly string[], code = 0): Promise<T> {
  const ran = await cli([...args, '--json']);
  expect(ran.code, ran.stdout + ran.stderr).toBe(code);
  return JSON.parse(ran.stdout) as T; // The caller says what it asked for.
}
async function failed(args: readonly string[], code: number): Promise<ReturnType<typeof problemOf>> {
  const ran = await cli([...args, '--json']);
  expect(ran.code, ran.stdout + ran.stderr).toBe(code);
  return problemOf(ran);
}
/** Seen directly: a process for each look would be most of this test. */
const waitFor = (state: RollbackState['state']): Promise<RollbackState> =>
  world.until(world.client.workflow.getHandle(ID), state, (seen) => seen.state === state);

const record = (id: string, version: string, status = 'in_progress'): string[] => [
  'deployment',
  'record',
  '--id',
  id,
  '--environment',
  'production',
  '--component',
  'web',
  '--version',
  version,
  '--commit',
  'abc',
  '--branch',
  'main',
  '--status',
  status,
];

test('without a worker: a start is kept, an answer is kept, a reading says so', async () => {
  const kept = await failed([...START, '--to', 'last-healthy'], 6);
  expect(kept).toMatchObject({ type: 'no-worker', kept: true, id: ID, request: { targets: { web: 'last-healthy' } } });
  expect(await failed(['stop', ID, '--reason', 'wait'], 6)).toMatchObject({
    type: 'no-worker',
    kept: true,
    message: expect.stringMatching(/^kept, no worker runs/) as string,
  });
  expect(await failed(['show', 'web'], 6)).toMatchObject({
    type: 'no-worker',
    message: expect.stringContaining('the record has nothing of it yet'.replace('it', ID)) as string,
  });
  expect(await failed(['plan', ...START.slice(1)], 6)).toMatchObject({ type: 'no-worker' });
  expect(await failed(['deployment', 'verify', randomUUID()], 6)).toMatchObject({ type: 'no-worker' });
  const doctor = await done<{ findings: { check: string; verdict: string }[] }>(['doctor'], 1);
  expect(doctor.findings.find((one) => one.check === 'worker')?.verdict).toBe('problem');
  await world.client.workflow.getHandle(ID).terminate('test');
});

test('ends of an execution that had changed nothing leave nothing behind', async () => {
  await world.worker();
  expect(await done<{ rollbacks: { state: string; outcome: null }[] }>(['list'])).toMatchObject({ rollbacks: [{ id: ID, state: 'closed', outcome: null }] });
  expect((await done<{ rollbacks: unknown[] }>(['list', '--open'])).rollbacks).toEqual([]);
  expect(await failed(['resume', ID, '--reason', 'r'], 6)).toMatchObject({ type: 'no-worker' });
});

test('CI records and verifies: only the checks make a version known healthy', async () => {
  const [good, bad] = [randomUUID(), randomUUID()];
  await world.deploy('web', 'v1.0.0');
  expect(await done(record(good, 'v1.0.0'))).toMatchObject({ deploymentId: good, status: 'in_progress', healthCheckPassed: false, deployedBy: 'ana' });
  expect(await done(record(good, 'v1.0.0'))).toMatchObject({ deploymentId: good });
  expect(await failed(record(good, 'v9'), 2)).toMatchObject({ type: 'conflict', message: expect.stringContaining('another version (v1.0.0)') as string });
  expect(await done(['deployment', 'verify', good])).toMatchObject({ passed: true, deployment: { status: 'success', healthCheckPassed: true } });
  await world.deploy('web', 'v1.1.0');
  await done(record(bad, 'v1.1.0'));
  expect(await done(['deployment', 'verify', bad], 1)).toMatchObject({ passed: false, deployment: { status: 'failed' } });
  expect(await failed(['deployment', 'verify', randomUUID()], 2)).toMatchObject({ type: 'unknown-name' });
  expect(await done<{ deployments: { version: string }[] }>(['deployment', 'list', '--component', 'web'])).toMatchObject({
    deployments: [{ version: 'v1.1.0' }, { version: 'v1.0.0' }],
  });
});

test('plan shows the steps and changes nothing; doctor would go there', async () => {
  const plan = await done<{ plan: { targets: unknown; steps: { id: string }[] }; planHash: string }>([
    'plan',
    'deployRevert',
    '--environment',
    'production',
    '--component',
    'web',
    '--to',
    'last-healthy',
  ]);
  expect(plan).toMatchObject({
    workflowId: ID,
    planHash: expect.stringMatching(/^sha256:/) as string,
    plan: { targets: [{ component: 'web', from: 'v1.1.0', to: 'v1.0.0' }] },
  });
  expect(plan.plan.steps.map((step) => step.id)).toEqual(['web.deploy', 'web.smoke', 'web.health', 'web.served', 'availability']);
  expect(await world.serves()).toBe('v1.1.0');
  expect(await failed(['plan', 'deployRevert', '--environment', 'production', '--component', 'web', '--to', 'v7'], 3)).toMatchObject({
    type: 'refused',
    refusal: { rule: 'target-known' },
  });
  expect(await done<{ components: unknown[] }>(['doctor'])).toMatchObject({
    ok: true,
    components: [{ component: 'web', current: 'v1.1.0', target: 'v1.0.0' }],
  });
});

test.each([
  [['--to', 'v7'], 'target-known', /never recorded as deployed/],
  [['--to', 'v1.1.0'], 'target-known-healthy', /not known healthy.*last healthy one is v1\.0\.0/],
  [[], 'target-named', /no target is named.*v1\.0\.0/],
] as const)('a start %j that policy refuses exits 3, says why, and is on the record', async (more, rule, message) => {
  const problem = await failed([...START, ...more], 3);
  expect(problem).toMatchObject({ type: 'refused', refusal: { rule }, message: expect.stringMatching(message) as string });
  expect(await done<RollbackState>(['show', String(problem['rollbackId'])])).toMatchObject({ state: 'closed', outcome: 'refused' });
});

test('unknown environment and component are refused by the worker, which knows', async () => {
  expect(await failed([...START.with(3, 'moon'), '--to', 'last-healthy'], 3)).toMatchObject({ refusal: { rule: 'unknown-environment' } });
  expect(await failed([...START.with(5, 'cart'), '--to', 'last-healthy'], 3)).toMatchObject({ refusal: { rule: 'unknown-component' } });
});

test('equal starts at once: one runs, the others attach; another target meets the holder', async () => {
  const states = await Promise.all(
    ['last-healthy', 'v1.0.0', 'last-healthy', 'v1.0.0'].map((to) => done<RollbackState & { attached: boolean }>([...START, '--to', to])),
  );
  expect(states.filter((one) => !one.attached)).toHaveLength(1);
  expect(new Set(states.map((one) => one.rollbackId)).size).toBe(1);
  const other = await failed([...START, '--to', 'v1.2.0'], 3);
  expect(other).toMatchObject({ type: 'refused', message: expect.stringContaining('ci takes web to v1.0.0, not to v1.2.0') as string, holder: { id: ID } });
});

test('show, list, waiting and why, by id, by rollback id and by component', async () => {
  const state = await waitFor('waiting');
  for (const name of [state.rollbackId, 'web', state.rollbackId.slice(0, 13)])
    expect((await done<RollbackState>(['show', name])).rollbackId, name).toBe(state.rollbackId);
  expect(await done(['list', '--open'])).toMatchObject({
    source: 'temporal',
    rollbacks: [{ id: ID, rollbackId: state.rollbackId, state: 'waiting', waitingFor: ['operator'], targets: ['web=v1.0.0'] }],
  });
  expect(await done(['waiting', '--role', 'operator'])).toMatchObject({ waiting: [{ id: ID, step: 'availability', for: 'operator' }] });
  expect(await done(['waiting', '--role', 'security-lead'])).toEqual({ waiting: [] });
  expect(await done<{ why: string }>(['why', 'web'])).toMatchObject({
    why: expect.stringMatching(/ci started it .*checkout answers 500[^]*web v1\.1\.0 → v1\.0\.0[^]*backout confirm/) as string,
  });
  expect(await failed(['show', 'nope'], 2)).toMatchObject({ type: 'unknown-name', open: [ID] });
  expect(await failed(['show', 'deployRevert/production/nope'], 2)).toMatchObject({ type: 'unknown-name' });
});

test('answers: what is refused exits 3 and says why', async () => {
  expect(await failed(['confirm', 'web'], 2)).toMatchObject({ message: expect.stringContaining('awaited now: availability') as string });
  expect(await failed(['confirm', 'web', '--step', 'nope'], 3)).toMatchObject({ type: 'refused', refusal: { rule: 'unknown-step' } });
  expect(await failed(['confirm', 'web', '--step', 'availability', '--plan', 'sha256:old'], 3)).toMatchObject({ refusal: { rule: 'stale-plan' } });
  expect(await failed(['decide', 'web', '--step', 'web.deploy', '--action', 'retry', '--reason', 'r'], 3)).toMatchObject({ refusal: { rule: 'not-failed' } });
  expect(await failed(['escalate', 'web', '--to', 'l2Rollback', '--reason', 'r'], 3)).toMatchObject({ refusal: { rule: 'level' } });
  expect(await failed(['resume', 'web', '--reason', 'r'], 3)).toMatchObject({ refusal: { rule: 'not-stopped' } });
});

test('stop, resume, and a watch that lives through it to the end', async () => {
  const watching = watch();
  await watching.seen('waiting');
  expect(await done(['stop', 'web', '--reason', 'wait a moment'])).toMatchObject({ accepted: true });
  await watching.seen('stopped');
  expect(await done(['resume', 'web', '--reason', 'go on'])).toMatchObject({ accepted: true });
  await waitFor('waiting');
  expect(await done(['assign', 'web', '--role', 'operator', '--to', 'ben', '--reason', 'end of shift'])).toMatchObject({ accepted: true });
  expect(
    await done(['confirm', 'web', '--step', 'availability', '--by', 'ben', '--note', 'bought boots', '--evidence', 'https://wiki/1', '--data', '{"orders":1}']),
  ).toMatchObject({ accepted: true, id: ID });
  const { code, lines } = await watching.ended;
  expect(code).toBe(0);
  expect(lines.map((one) => one.state)).toEqual(expect.arrayContaining(['waiting', 'stopped', 'closed']));
  expect(lines.at(-1)).toMatchObject({ outcome: 'rolled-back' });
  expect(await world.serves()).toBe('v1.0.0');
  expect(await failed(['confirm', ID, '--step', 'availability'], 3)).toMatchObject({ type: 'refused', outcome: 'rolled-back' });
  expect(await failed(['confirm', 'web', '--step', 'availability'], 2)).toMatchObject({ type: 'unknown-name' });
});

interface Watching {
  readonly seen: (state: string) => Promise<void>;
  readonly ended: Promise<{ readonly code: number | null; readonly lines: readonly RollbackState[] }>;
}

function watch(): Watching {
  const child = spawn(process.execPath, [LAUNCHER, 'watch', ID, '--json'], {
    cwd: world.folder,
    env: world.environment(),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: RollbackState[] = [];
  createInterface(child.stdout).on('line', (line) => lines.push(JSON.parse(line) as RollbackState)); // One state a line.
  return {
    seen: (state) =>
      vi.waitFor(
        () => {
          expect(lines.at(-1)?.state).toBe(state);
        },
        { timeout: 20_000 },
      ),
    ended: new Promise((ended) => {
      child.once('close', (code) => {
        ended({ code, lines });
      });
    }),
  };
}

/** A start that has said that it attaches: answered before, the rollback would be over when it comes. */
async function attached(args: readonly string[]): Promise<{ ended: Promise<{ code: number | null; stdout: string }> }> {
  const child = spawn(process.execPath, [LAUNCHER, ...args, '--json'], {
    cwd: world.folder,
    env: world.environment({ BACKOUT_BY: 'ana' }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (data) => (stdout += String(data)));
  child.stderr.on('data', (data) => (stderr += String(data)));
  const ended = new Promise<{ code: number | null; stdout: string }>((over) => {
    child.once('close', (code) => {
      over({ code, stdout });
    });
  });
  await vi.waitFor(
    () => {
      expect(stderr).toContain(`attached: the same request runs already as ${ID}`);
    },
    { timeout: 20_000 },
  );
  return { ended };
}

test('terminated from outside: said everywhere, refused at the start, resumed to its end', async () => {
  await world.release('web', 'v1.1.0', false);
  const started = await done<RollbackState>(['now', 'web', '--reason', 'checkout answers 500 again']);
  expect(started).toMatchObject({ attached: false, trigger: { cause: 'operator-judgement' } });
  await waitFor('waiting');
  await world.client.workflow.getHandle(ID).terminate('by mistake');
  expect(await done<RollbackState>(['show', ID])).toMatchObject({ state: 'abandoned', outcome: null, rollbackId: started.rollbackId });
  expect(await done(['list', '--open'])).toMatchObject({ rollbacks: [{ id: ID, state: 'abandoned', rollbackId: started.rollbackId }] });
  const doctor = await done<{ findings: { check: string; verdict: string }[] }>(['doctor'], 1);
  expect(doctor.findings.find((one) => one.check === 'abandoned')?.verdict).toBe('problem');
  expect(await failed([...START, '--to', 'last-healthy'], 3)).toMatchObject({
    type: 'abandoned',
    remedy: expect.stringContaining(`resume ${ID}`) as string,
    holder: { rollbackId: started.rollbackId },
  });
  expect(await failed(['confirm', ID, '--step', 'availability'], 4)).toMatchObject({ type: 'abandoned' });
  expect(await done<RollbackState>(['resume', 'web', '--reason', 'go on'])).toMatchObject({ rollbackId: started.rollbackId, id: ID });
  await waitFor('waiting');
  const waiting = await attached([...START, '--to', 'last-healthy', '--cause', 'operator-judgement', '--wait=60s']);
  await done(['confirm', 'web', '--step', 'availability']);
  const end = await waiting.ended;
  expect([end.code, (JSON.parse(end.stdout) as RollbackState).outcome]).toEqual([0, 'rolled-back']);
  expect(await failed(['resume', ID, '--reason', 'r'], 3)).toMatchObject({ type: 'refused' });
});

test('--wait ends with 4 where a person declines, and where time is up', async () => {
  await world.release('web', 'v1.1.0', false);
  const elapsed = await done<RollbackState>([...START, '--to', 'v1.0.0', '--wait=2s'], 4);
  expect(elapsed.state).not.toBe('closed');
  await waitFor('waiting');
  await done(['decline', 'web', '--step', 'availability', '--reason', 'still 500']);
  expect(await done<RollbackState>([...START, '--to', 'v1.0.0', '--wait'], 4)).toMatchObject({ state: 'stopped', attached: true });
  expect(await failed(['decide', 'web', '--step', 'availability', '--action', 'retry', '--reason', 'r'], 3)).toMatchObject({ refusal: { rule: 'analysis' } });
  expect(await done(['decide', 'web', '--action', 'close', '--reason', 'fixed forward'])).toMatchObject({ accepted: true });
  expect(await waitFor('closed')).toMatchObject({ outcome: 'failed' });
});

test('Temporal away: the record answers, and says so', async () => {
  const env = { TEMPORAL_ADDRESS: '127.0.0.1:1' };
  const list = await world.cli(['list', '--json'], env);
  expect(list.code).toBe(0);
  expect(JSON.parse(list.stdout)).toMatchObject({
    source: 'record',
    rollbacks: expect.arrayContaining([expect.objectContaining({ id: ID, outcome: 'rolled-back' })]) as unknown,
  });
  expect(list.stderr).toMatch(/cannot be reached.*this is what the record says/);
  const show = await world.cli(['show', ID, '--json'], env);
  expect(JSON.parse(show.stdout)).toMatchObject({
    id: ID,
    state: 'closed',
    steps: expect.arrayContaining([expect.objectContaining({ id: 'web.deploy' })]) as unknown,
  });
  expect(show.stderr).toMatch(/this is the record as of/);
});
