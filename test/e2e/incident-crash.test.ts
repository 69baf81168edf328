/**
 * The worker is killed at every boundary of an incident rollback (I1, I2 of `reliability.md`), from its opening to its end: before and after each call
 * to the register, the platforms, the configuration, the channels, the repository. Three rollbacks share the boundaries out between them, because each
 * attempt at a step waits longer than the one before.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { describe, expect, it, vi, type TestContext } from 'vitest';
import { verifyChain, type RecordEntry, type StoredEntry } from '../../model/record.ts';
import type { RollbackState } from '../../model/state.ts';
import { digest } from '../../store/digest.ts';
import { startFakeGithubRules, type FakeGithubRules } from '../fakes/github-rules-process.ts';
import { CRASHING_WORKER, Crashes, runningOf, servingOf } from '../support/crashing-worker.ts';
import {
  COMPONENTS,
  confirmTarget,
  envFileOf,
  GATES,
  githubFreeze,
  ID,
  incidentWorld,
  lines,
  propose,
  recordedWithConfig,
  repository,
  run,
  signRows,
  waitsFor,
} from '../support/incident.ts';
import type { World } from '../support/world.ts';

/** What the worker does has happened, and nobody knows of it: the record has it not. */
const DONE_AND_NOT_RECORDED = [
  'openRollback:after-open',
  'freeze:after-freeze',
  'freeze.github:word=freezing environment production',
  'communication.declared:after-post=stakeholders',
  'identify:after-claim',
  'identify:after-replan',
  'api.config:after-apply',
  'worker.deploy:word=recording',
  'web.deploy:after-apply',
  'communication.update:after-post=internal',
  'review:after-git=commit-tree',
  'review:after-git=push',
  'communication.recovery:after-post=status',
  'lift.github:word=lifting workflow promote.yml',
  'lift:after-unfreeze',
  'closeRollback:after-finish',
];
/** What is about to happen has not, or a part of it. */
const NOT_DONE = [
  'openRollback:before-open',
  'freeze:before-freeze',
  'freeze.github:before-set',
  'communication.declared:before-post=stakeholders',
  'identify:before-claim',
  'identify:before-replan',
  'worker.config:word=writing',
  'api.deploy:before-apply',
  'admin.deploy:word=starting',
  'health:before-append',
  'review:before-git=update-ref',
  'stability:before-append',
  'communication.recovery:before-post=stakeholders',
  'lift.github:before-lift',
  'lift:before-unfreeze',
  'closeRollback:before-finish',
];
/** It is done, and recorded or not, and the workflow has not heard of it. */
const DONE_AND_NOT_REPORTED = [
  'freeze:before-append',
  'freeze:after-append',
  'freeze.github:after-set',
  'communication.declared:before-append',
  'identify:after-append',
  'worker.config:before-append',
  'api.deploy:before-append',
  'admin.deploy:after-append',
  'gate.ci-pr:before-append',
  'communication.update:before-append',
  'review:after-git=update-ref',
  'review:after-append',
  'communication.recovery:before-append',
  'lift.github:after-lift',
  'lift.github:after-append',
  'lift:after-append',
];

describe.concurrent('an incident rollback whose worker is killed', () => {
  it.for([
    ['before each call', NOT_DONE],
    ['after each call', DONE_AND_NOT_RECORDED],
    ['before it could say so', DONE_AND_NOT_REPORTED],
  ] as const)('%s: every effect and every word once, frozen from the freeze to the lift', { timeout: 280_000 }, async ([, boundaries], context) => {
    const { world, github, before, product } = await scene(context);
    const crashes = new Crashes(join(world.folder, 'crashes'), boundaries);
    const workers = keepAWorker(context, world, crashes);
    const register = watchRegister(context, world);
    const handle = await propose(world);
    await waitsFor(world, handle, 'declaration');
    // Reality moves between the proposal and the declaration: the plan is made anew.
    await drifted(world);
    await handle.signal('confirm', { step: 'declaration', by: 'carol' });
    await confirmTarget(world, handle);
    await waitsFor(world, handle, 'ownership');
    await handle.signal('confirm', { step: 'communication.update', by: 'cleo', note: 'every component is back', data: { risks: ['a queue to drain'] } });
    await signRows(handle);
    await waitsFor(world, handle, 'unfreeze');
    // Killed while only a person is awaited, too; what she says meanwhile is kept.
    workers.current()?.kill('SIGKILL');
    await handle.signal('confirm', { step: 'unfreeze', by: 'carol' });
    const state = await world.until(handle, 'closed', (seen) => seen.state === 'closed', 120_000);

    expect(crashes.fired()).toEqual(boundaries);
    expect(workers.deaths).toEqual([...boundaries, 'while waiting'].map(() => 'SIGKILL'));
    expect(state).toMatchObject({ outcome: 'rolled-back', record: { behind: false }, clock: { breached: false }, remains: [], refusals: [] });
    expect(state.steps.flatMap((step) => (['done', 'confirmed'].includes(step.state) ? [] : [[step.id, step.state]]))).toEqual([]);
    await expectPutBack(world, state.rollbackId);
    expect(await register()).toEqual([false, true, false]);
    await expectFrozenOnce(world, state);
    await expectEveryWordOnce(world);
    await expectOneCommit(world, product, state.rollbackId);
    expect(await github.effects()).toBe(6);
    expect((await github.ledger()).filter((one) => one.event === 'ruleset.create')).toHaveLength(1);
    expect(await standing(github)).toEqual(before);
    const audited = await world.cli(['audit', ID]);
    expect(audited, audited.stdout).toMatchObject({ code: 0 });
  });
});

async function scene(context: TestContext) {
  const github = await startFakeGithubRules();
  context.onTestFinished(() => github.stop());
  const after = 'after: [api, worker]';
  const world = await incidentWorld({
    component: { api: [envFileOf('api')], worker: [envFileOf('worker')], web: [after], admin: [after] },
    environment: [...GATES, ...githubFreeze(github.url), '    review: { repository: ./product, remote: origin }'],
    world: { env: { GITHUB_TOKEN: 'fake-token' } },
  });
  context.onTestFinished(() => world.close());
  const product = await repository(world);
  await Promise.all(
    COMPONENTS.map(async (name) => {
      if (name === 'api' || name === 'worker') await recordedWithConfig(world, name, 'v1.0.0', RECORDED);
      else await world.recorded(name, 'v1.0.0', true);
      await world.release(name, 'v1.1.0', false);
    }),
  );
  return { world, github, before: await standing(github), product };
}

const RECORDED = '# limits\nRATE_LIMIT=100\nAPI_KEY=not-shown\n';

async function drifted(world: World): Promise<void> {
  for (const name of ['api', 'worker']) await writeFile(join(world.folder, `${name}.env`), '# limits\nRATE_LIMIT=1\nAPI_KEY=not-shown\nDEBUG=1\n');
}

/** What freezes at GitHub, and what is noted of it. */
async function standing(github: FakeGithubRules): Promise<unknown> {
  const { workflows, environments, variables } = await github.state();
  return { rules: await github.rulesOn('main'), workflows, environments, variables };
}

/** Starts another worker whenever one has died, until the test has ended. */
function keepAWorker(context: TestContext, world: World, crashes: Crashes): { deaths: (string | null)[]; current: () => ChildProcess | undefined } {
  const deaths: (string | null)[] = [];
  let child: ChildProcess | undefined;
  const ended = new AbortController();
  const keeping = (async () => {
    while (!ended.signal.aborted) {
      child = await world.worker(crashes.env, CRASHING_WORKER);
      if (ended.signal.aborted) await world.end(child);
      if (child.signalCode === null && child.exitCode === null) await once(child, 'exit');
      if (!ended.signal.aborted) deaths.push(child.signalCode);
    }
  })();
  context.onTestFinished(async () => {
    ended.abort();
    if (child) await world.end(child);
    await keeping;
  });
  return { deaths, current: () => child };
}

/** Looks at the register all the time; answers whether everything was frozen, change by change. */
function watchRegister(context: TestContext, world: World): () => Promise<boolean[]> {
  const seen: boolean[] = [];
  const look = async (): Promise<void> => {
    const frozen = (await world.store.freezes({ inForceOnly: true })).flatMap((one) => one.inForce).length;
    expect([0, 4], 'all scopes or none').toContain(frozen);
    if (seen.at(-1) !== frozen > 0) seen.push(frozen > 0);
  };
  const ended = new AbortController();
  const looking = (async () => {
    for (; !ended.signal.aborted; await new Promise((soon) => setTimeout(soon, 50))) await look();
  })();
  const stop = async (): Promise<void> => {
    ended.abort();
    await looking;
  };
  context.onTestFinished(stop);
  return async () => {
    await stop();
    await look();
    return seen;
  };
}

async function expectPutBack(world: World, rollbackId: string): Promise<void> {
  for (const name of COMPONENTS) {
    expect(await world.ownEffects(name), name).toEqual([
      expect.objectContaining({ operationId: `${rollbackId}/${name}.deploy/0`, from: 'v1.1.0', to: 'v1.0.0' }),
    ]);
    expect(await world.serves(name)).toBe('v1.0.0');
    expect(
      runningOf(world.folder, name)
        .filter((one) => !one.front)
        .map((one) => one.process),
      `of ${name} there runs what serves, and nothing else`,
    ).toEqual([servingOf(world.folder, name)]);
    const rows = await world.store.deployments({ component: name });
    expect(rows.map((one) => [one.version, one.status, one.rollbackFrom !== null])).toEqual([
      ['v1.0.0', 'success', true],
      ['v1.1.0', 'rolled_back', false],
      ['v1.0.0', 'success', false],
    ]);
  }
  for (const name of ['api', 'worker']) {
    expect(await readFile(join(world.folder, `${name}.env`), 'utf8')).toBe(RECORDED);
    expect(await readFile(join(world.folder, `${name}.reloaded`), 'utf8')).not.toBe('');
  }
  expect(await world.store.claims({})).toEqual([]);
}

const recordOf = async (world: World, rollbackId: string): Promise<(RecordEntry & { step?: string; operation?: string })[]> =>
  (await world.store.entriesOf(rollbackId)).map((one) => JSON.parse(one.body) as RecordEntry); // Our own writer's.

/** One freeze and one lift, with everything that changes in between. */
async function expectFrozenOnce(world: World, { rollbackId, steps }: RollbackState): Promise<void> {
  const [freeze, ...more] = await world.store.freezes({});
  expect(more).toEqual([]);
  expect(freeze).toMatchObject({ rollbackId, by: 'carol', inForce: [] });
  expect(freeze?.lifted.map((one) => [one.scope, one.by, one.rollbackId])).toEqual(freeze?.scopes.map((scope) => [scope, 'carol', rollbackId]));
  const own = await recordOf(world, rollbackId);
  const types = own.map((one) => one.type);
  const [frozen, lifted] = [types.indexOf('freeze'), types.indexOf('unfreeze')];
  expect(types.filter((type) => ['freeze', 'unfreeze', 'replanned', 'opened', 'closed', 'late-attempt', 'drift', 'void'].includes(type))).toEqual([
    'opened',
    'freeze',
    'replanned',
    'unfreeze',
    'closed',
  ]);
  const written = own.filter((one) => one.type === 'step').map((one) => String(one.step));
  expect(written.toSorted()).toEqual(steps.flatMap((step) => (step.operation === null ? [] : [step.id])).toSorted());
  const at = (step: string): number => own.findIndex((one) => one.step === step);
  for (const step of written.filter((one) => /\.(?:config|deploy)$/.test(one))) {
    expect(at(step), step).toBeGreaterThan(frozen);
    expect(at(step), step).toBeLessThan(lifted);
  }
  expect(at('communication.recovery')).toBeLessThan(at('lift.github'));
  expect(at('lift.github')).toBeLessThan(lifted);
  const chain: StoredEntry[] = [];
  for await (const entry of world.store.chain()) chain.push(entry);
  expect(verifyChain(chain, digest)).toEqual([]);
}

async function expectEveryWordOnce(world: World): Promise<void> {
  for (const audience of ['stakeholders', 'internal', 'status']) {
    const told = await lines(world, `${audience}.log`);
    expect(
      told.map((one) => one['template']),
      audience,
    ).toEqual(['declared', 'update', 'recovery']);
  }
  expect((await world.incidents()).map((one) => one.notice)).toEqual(['opened', 'closed']);
}

async function expectOneCommit(world: World, { folder, remote }: { folder: string; remote: string }, rollbackId: string): Promise<void> {
  for (const at of [folder, remote]) {
    const log = await run('git', ['-C', at, 'log', '--format=%s %b', 'main..rollback/INC-42'], { env: { PATH: process.env['PATH'], HOME: world.folder } });
    expect(log.stdout.trim()).toBe(`Verification of the rollback of INC-42 Backout-Operation: ${rollbackId}/review/0`);
  }
}
