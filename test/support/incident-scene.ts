/** The whole of an incident, with everything outside that it touches, and what has to be so of it in the end whatever died meanwhile. */
import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import { expect, type TestContext } from 'vitest';
import { verifyChain, type RecordEntry, type StoredEntry } from '../../model/record.ts';
import type { RollbackState } from '../../model/state.ts';
import { digest } from '../../store/digest.ts';
import { startFakeGithubRules, type FakeGithubRules } from '../fakes/github-rules-process.ts';
import { runningOf, servingOf } from './crashing-worker.ts';
import { COMPONENTS, envFileOf, GATES, githubFreeze, ID, incidentWorld, lines, recordedWithConfig, repository, run } from './incident.ts';
import type { World } from './world.ts';

export type HistoryEvent = temporal.api.history.v1.IHistoryEvent;

export interface Scene {
  readonly world: World;
  readonly github: FakeGithubRules;
  /** What GitHub had before anything was frozen. */
  readonly before: unknown;
  readonly product: { readonly folder: string; readonly remote: string };
}

const RECORDED = '# limits\nRATE_LIMIT=100\nAPI_KEY=not-shown\n';
const DRIFTED = '# limits\nRATE_LIMIT=1\nAPI_KEY=not-shown\nDEBUG=1\n';
const CONFIGURED = ['api', 'worker', 'web'];

/** Four components in two waves of two, three with configuration of their own; a GitHub that freezes too; a repository for review. */
export async function sceneOf(context: TestContext): Promise<Scene> {
  const github = await startFakeGithubRules();
  context.onTestFinished(() => github.stop());
  const after = 'after: [api, worker]';
  const world = await incidentWorld({
    component: { api: [envFileOf('api')], worker: [envFileOf('worker')], web: [envFileOf('web'), after], admin: [after] },
    environment: [...GATES, ...githubFreeze(github.url), '    review: { repository: ./product, remote: origin }'],
    world: { env: { GITHUB_TOKEN: 'fake-token' } },
  });
  context.onTestFinished(() => world.close());
  const product = await repository(world);
  await Promise.all(
    COMPONENTS.map(async (name) => {
      if (CONFIGURED.includes(name)) await recordedWithConfig(world, name, 'v1.0.0', RECORDED);
      else await world.recorded(name, 'v1.0.0', true);
      await world.release(name, 'v1.1.0', false);
    }),
  );
  return { world, github, before: await standing(github), product };
}

/** Somebody edits the configuration of what runs. */
export async function drift(world: World): Promise<void> {
  for (const name of CONFIGURED) await writeFile(join(world.folder, `${name}.env`), DRIFTED);
}

/** What freezes at GitHub, and what is noted of it. */
export async function standing(github: FakeGithubRules): Promise<unknown> {
  const { workflows, environments, variables } = await github.state();
  return { rules: await github.rulesOn('main'), workflows, environments, variables };
}

/** Looks at the register all the time; answers whether everything was frozen, change by change. */
export function watchRegister(context: TestContext, world: World): () => Promise<boolean[]> {
  const seen: boolean[] = [];
  const look = async (): Promise<void> => {
    const frozen = (await world.store.freezes({ inForceOnly: true })).flatMap((one) => one.inForce).length;
    expect([0, 4], 'all scopes or none').toContain(frozen);
    if (seen.at(-1) !== frozen > 0) seen.push(frozen > 0);
  };
  const ended = new AbortController();
  const looking = (async () => {
    for (; !ended.signal.aborted; await new Promise((soon) => setTimeout(soon, 100))) await look();
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

export const recordOf = async (world: World, rollbackId: string): Promise<(RecordEntry & { step?: string })[]> =>
  (await world.store.entriesOf(rollbackId)).map((one) => JSON.parse(one.body) as RecordEntry); // Our own writer's.

/** What is told, on top of the declaration and the recovery, and how often the platform was frozen. */
export interface Told {
  readonly updates: number;
  readonly resumed: number;
  readonly refrozen: number;
}

/** One effect and one word each, frozen from the freeze to the lift, and an audit without a finding. */
export async function expectOnceEach({ world, github, before, product }: Scene, state: RollbackState, told: Told): Promise<void> {
  expect(state).toMatchObject({ outcome: 'rolled-back', record: { behind: false }, clock: { breached: false }, remains: [], refusals: [] });
  expect(state.steps.flatMap((step) => (['done', 'confirmed'].includes(step.state) ? [] : [[step.id, step.state]]))).toEqual([]);
  await expectPutBack(world, state.rollbackId);
  await expectFrozenOnce(world, state, told);
  await expectWords(world, ['declared', ...Array.from({ length: told.updates }, () => 'update'), 'recovery']);
  for (const at of [product.folder, product.remote]) {
    const log = await run('git', ['-C', at, 'log', '--format=%s %b', 'main..rollback/INC-42'], { env: { PATH: process.env['PATH'], HOME: world.folder } });
    expect(log.stdout.trim()).toBe(`Verification of the rollback of INC-42 Backout-Operation: ${state.rollbackId}/review/0`);
  }
  // A ruleset, a workflow and an environment are set, and put back.
  expect(await github.effects()).toBe(6 * (1 + told.refrozen));
  expect((await github.ledger()).filter((one) => one.event === 'ruleset.create')).toHaveLength(1);
  expect(await standing(github)).toEqual(before);
  const audited = await world.cli(['audit', ID]);
  expect(audited, audited.stdout).toMatchObject({ code: 0 });
}

async function expectPutBack(world: World, rollbackId: string): Promise<void> {
  for (const name of COMPONENTS) {
    await expectOneEffect(world, rollbackId, name);
    const rows = await world.store.deployments({ component: name });
    expect(
      rows.map((one) => [one.version, one.status, one.rollbackFrom !== null]),
      name,
    ).toEqual([
      ['v1.0.0', 'success', true],
      ['v1.1.0', 'rolled_back', false],
      ['v1.0.0', 'success', false],
    ]);
  }
  for (const name of CONFIGURED) {
    expect(await readFile(join(world.folder, `${name}.env`), 'utf8')).toBe(RECORDED);
    expect(await readFile(join(world.folder, `${name}.reloaded`), 'utf8')).not.toBe('');
  }
  expect(await world.store.claims({})).toEqual([]);
}

export async function expectOneEffect(world: World, rollbackId: string, name: string): Promise<void> {
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
}

/** One freeze and one lift, with everything that changes in between. */
async function expectFrozenOnce(world: World, { rollbackId, steps }: RollbackState, { resumed, refrozen }: Told): Promise<void> {
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
  expect(types.filter((type) => type === 'resumed')).toHaveLength(resumed);
  const at = (step: string): number => own.findIndex((one) => one.step === step);
  for (const step of steps.filter((one) => one.effect === 'config' || one.effect === 'deploy')) {
    expect(at(step.id), step.id).toBeGreaterThan(frozen);
    expect(at(step.id), step.id).toBeLessThan(lifted);
  }
  expect(at('communication.recovery')).toBeLessThan(at('lift.github'));
  expect(at('lift.github')).toBeLessThan(lifted);
  // Whoever goes on looks again; what was done, said or written is not done, said or written again.
  const once = steps.filter(
    (step) => step.effect === 'deploy' || ['freeze', 'communication.declared', 'communication.recovery', 'review', 'lift'].includes(step.id),
  );
  for (const { id } of once) expect([id, own.filter((one) => one.step === id).length]).toEqual([id, 1]);
  for (const id of ['freeze.github', 'lift.github']) expect([id, own.filter((one) => one.step === id).length]).toEqual([id, 1 + refrozen]);
  await expectChain(world);
}

export async function expectChain(world: World): Promise<void> {
  const chain: StoredEntry[] = [];
  for await (const entry of world.store.chain()) chain.push(entry);
  expect(verifyChain(chain, digest)).toEqual([]);
}

/** Every audience has heard the same, each once. */
export async function expectWords(world: World, templates: readonly string[]): Promise<void> {
  for (const audience of ['stakeholders', 'internal', 'status']) {
    const told = await lines(world, `${audience}.log`);
    expect(
      told.map((one) => one['template']),
      audience,
    ).toEqual(templates);
    expect(new Set(told.map((one) => one['id'])).size).toBe(told.length);
  }
}

/** Back to the task that the given event of the history has led to, as the dialog of the Temporal UI does it; what was said since is said again, unless `isForgotten`. */
export async function reset(
  world: World,
  { workflowId }: WorkflowHandle,
  runId: string,
  to: (event: HistoryEvent, index: number, all: readonly HistoryEvent[]) => boolean,
  isForgotten = false,
): Promise<string> {
  const { events } = await world.client.workflow.getHandle(workflowId, runId).fetchHistory();
  const from = events?.findIndex(to) ?? -1;
  const task = events?.slice(from).find((event) => event.workflowTaskCompletedEventAttributes);
  if (from < 0 || !task?.eventId) throw new Error('the history has no such task');
  const answer = await world.client.workflowService.resetWorkflowExecution({
    namespace: 'default',
    workflowExecution: { workflowId, runId },
    reason: 'somebody clicked it in the Temporal UI',
    workflowTaskFinishEventId: task.eventId,
    requestId: randomUUID(),
    ...(isForgotten ? { resetReapplyExcludeTypes: [temporal.api.enums.v1.ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL] } : {}),
  });
  expect(answer.runId).not.toBe(runId);
  return answer.runId;
}
