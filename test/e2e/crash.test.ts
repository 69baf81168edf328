/**
 * The worker is killed or suspended (I1, I2, I4 of `reliability.md`): at every boundary of a rollback from its opening to its end. From the switch on a
 * later attempt finds a deployment in place, so few boundaries can meet one component: those inside a deployment are spread over four.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ChildProcess } from 'node:child_process';
import { Client as Postgres } from 'pg';
import { describe, expect, it, vi, type TestContext } from 'vitest';
import { verifyChain, type RecordEntry, type StoredEntry } from '../../model/record.ts';
import type { RollbackState } from '../../model/state.ts';
import { digest } from '../../store/digest.ts';
import { CRASHING_WORKER, Crashes, runningOf, servingOf } from '../support/crashing-worker.ts';
import { startFakeGithub } from '../fakes/github-process.ts';
import { BOOTS, World, type WorldOptions } from '../support/world.ts';

/** In the order in which one rollback meets them. */
const FROM_OPEN_TO_CLOSE = [
  'openRollback:before-open',
  'openRollback:after-open',
  // Nothing has happened; inspected; the lease is taken and nothing started.
  'web.deploy:before-inspect',
  'web.deploy:before-apply',
  'web.deploy:word=starting',
  'web.deploy:after-append',
  'web.smoke:before-append',
  'web.smoke:after-append',
  'web.health:before-append',
  'web.health:after-append',
  'web.served:before-append',
  'web.served:after-append',
  // The new process runs and nobody knows of it; the switch is prepared; switched, and not in the platform's ledger; verified.
  'api.deploy:word=waiting for v1.0.0 to be healthy',
  'api.deploy:word=switching',
  'api.deploy:word=recording',
  'api.deploy:before-append',
  'closeRollback:before-finish',
  'closeRollback:after-finish',
];
const BEHIND_THE_SWITCH = [
  // Switched, and the link says otherwise; all is done, and the old release still ends; done, and not verified.
  'cart.deploy:word=pointing',
  'cart.deploy:after-find',
  'cart.deploy:word=waiting for the old release',
  'pay.deploy:after-apply',
  'pay.deploy:before-find',
];

/** Each in a world of its own, and at the same time: most of it is waiting for heartbeats that do not come. */
describe.concurrent('a worker', () => {
  it.for([
    ['at every boundary from the opening to the end', ['web', 'api'], FROM_OPEN_TO_CLOSE],
    ['at every boundary behind the switch', ['cart', 'pay'], BEHIND_THE_SWITCH],
  ] as const)('is killed %s: one rollback, one effect a component', { timeout: 280_000 }, async ([, components, boundaries], context) => {
    const world = await worldOf(context, { shops: components.map((name) => ({ ...BOOTS, name })) });
    await Promise.all(components.map((name) => bad(world, name)));
    const crashes = new Crashes(join(world.folder, 'crashes'), boundaries);
    const workers = keepAWorker(context, world, crashes);
    const handle = await world.start({ components, targets: targetsOf(components) });
    await world.until(handle, 'waiting for availability', (state) => state.steps.some((one) => one.id === 'availability' && one.state === 'waiting'), 240_000);
    // Killed while only a person is awaited, too; what he says meanwhile is kept.
    workers.current()?.kill('SIGKILL');
    await world.confirm(handle);
    const state = await world.until(handle, 'closed', (seen) => seen.state === 'closed', 60_000);

    expect(crashes.fired()).toEqual(boundaries);
    expect(workers.deaths).toEqual([...boundaries, 'while waiting'].map(() => 'SIGKILL'));
    expect(state).toMatchObject({ outcome: 'rolled-back', record: { behind: false }, clock: { breached: false }, remains: [] });
    expect(state.steps.map((step) => [step.id, step.state])).toEqual([...stepsOf(components).map((step) => [step, 'done']), ['availability', 'confirmed']]);
    await expectOneEffectEach(world, state.rollbackId, components);
    await expectRecord(world, state, components);
  });

  it(
    'is suspended before and inside apply beyond its heartbeat: another takes over, and it does nothing more when it wakes',
    { timeout: 180_000 },
    async (context) => {
      const world = await worldOf(context, { shops: ['web', 'api'].map((name) => ({ ...BOOTS, name })) });
      await Promise.all(['web', 'api'].map((name) => bad(world, name)));
      const [before, inside] = ['stop@web.deploy:before-apply', 'stop@api.deploy:word=switching'];
      const crashes = new Crashes(join(world.folder, 'crashes'), [before, inside]);
      await world.worker(crashes.env, CRASHING_WORKER);
      const handle = await world.start({ components: ['web', 'api'], targets: targetsOf(['web', 'api']) });
      const { runId } = await handle.describe();
      await suspended(crashes, before);
      await world.worker(crashes.env, CRASHING_WORKER);
      for (const [point, component] of [
        [before, 'web'],
        [inside, 'api'],
      ] as const) {
        const pid = await suspended(crashes, point);
        // Asked of the record: a query may be swallowed by the suspended worker's open polls.
        const event = `${runId}/step/${component}.deploy/0/0`;
        await vi.waitFor(
          async () => {
            expect((await world.store.find(event))?.['attempts'], `the other worker puts ${component} back`).toBeGreaterThan(1);
          },
          { timeout: 60_000 },
        );
        const serving = servingOf(world.folder, component);
        expect(stateOf(pid), 'still suspended').toBe('T');
        process.kill(pid, 'SIGCONT');
        await vi.waitFor(
          () => {
            expect(crashes.ended(point), `${point} goes on`).not.toBeNull();
          },
          { timeout: 20_000 },
        );
        expect(servingOf(world.folder, component)).toBe(serving);
      }
      // Awake in the middle of its switch, it has found the lease taken.
      expect(crashes.ended(inside)).toBe('superseded');
      await world.waiting(handle);
      await world.confirm(handle);
      const state = await world.closed(handle);
      expect(state.outcome).toBe('rolled-back');
      await expectOneEffectEach(world, state.rollbackId, ['web', 'api']);
      const entries = await entriesOf(world, state.rollbackId);
      expect(entries.filter((one) => one.type === 'step').map((one) => one['step'])).toEqual(stepsOf(['web', 'api']));
      expect(entries.filter((one) => one.type === 'late-attempt')).toEqual([]);
    },
  );

  it('is killed when the end is written, and somebody deploys before another looks: it stays as it was written', { timeout: 180_000 }, async (context) => {
    const world = await worldOf(context);
    await bad(world, 'web');
    const crashes = new Crashes(join(world.folder, 'crashes'), ['closeRollback:after-finish']);
    const first = await world.worker(crashes.env, CRASHING_WORKER);
    const handle = await world.start();
    await world.waiting(handle);
    await world.confirm(handle);
    await vi.waitFor(
      () => {
        expect(first.signalCode).toBe('SIGKILL');
      },
      { timeout: 15_000 },
    );
    expect(crashes.fired()).toEqual(crashes.points);
    await world.release('web', 'v1.1.0', false);
    await world.worker();
    const state = await world.closed(handle);
    expect(state.outcome).toBe('rolled-back');
    expect(await world.store.rollback(state.rollbackId)).toMatchObject({ outcome: 'rolled-back' });
    expect(await world.ownEffects()).toHaveLength(1);
    expect((await entriesOf(world, state.rollbackId)).filter((one) => one.type === 'closed')).toHaveLength(1);
  });

  it(
    'is killed after its dispatch has reached GitHub and before the answer: the run is found again, not dispatched again',
    { timeout: 180_000 },
    async (context) => {
      const github = await startFakeGithub({
        served: { docs: 'v2' },
        plans: [{ states: [{ status: 'waiting', ms: null }] }],
        faults: [{ method: 'POST', path: '/dispatches$', after: true, delayMs: 30_000 }],
      });
      const yaml = [
        '      docs:',
        '        type: storefront',
        '        adapter: github-actions',
        `        options: { repository: acme/shop, workflow: rollback.yml, baseUrl: "${github.url}", pollSeconds: 0.1, findSeconds: 1, followSeconds: 30 }`,
        `        served: { url: "${github.url}/_served/docs", json: version }`,
        'channels: { incident: [{ file: ./incidents.log }] }',
      ];
      context.onTestFinished(() => github.stop());
      const world = await worldOf(context, { shops: [], yaml, env: { GITHUB_TOKEN: 'fake-token' } });
      await world.recorded('docs', 'v1', true);
      await world.recorded('docs', 'v2', false);
      const first = await world.worker();
      const handle = await world.start({ components: ['docs'], targets: { docs: 'v1' } });
      await vi.waitFor(
        async () => {
          expect(await github.dispatches()).toBe(1);
        },
        { timeout: 20_000 },
      );
      expect((await world.state(handle)).steps[0]).toMatchObject({ id: 'docs.deploy', state: 'running' });
      await world.end(first);
      expect(first.signalCode).toBe('SIGKILL');
      await world.worker();
      // Only the second attempt has an id to follow.
      await vi.waitFor(
        async () => {
          expect((await github.requests()).filter((one) => /\/actions\/runs\/\d+$/.test(one))).not.toEqual([]);
        },
        { timeout: 20_000 },
      );
      await github.control({ approve: true });
      await world.waiting(handle);
      await world.confirm(handle);
      const state = await world.closed(handle);
      expect(state).toMatchObject({ outcome: 'rolled-back', record: { behind: false } });
      const [deploy] = state.steps;
      expect(deploy).toMatchObject({ state: 'done', attempts: 2 });
      const ledger = await github.ledger();
      expect(ledger.filter((one) => one.event === 'dispatch')).toEqual([
        expect.objectContaining({ operation: `${state.rollbackId}/docs.deploy/0`, run: deploy?.receipt?.ids?.['runId'] }),
      ]);
      expect((await github.requests()).filter((one) => one.startsWith('POST'))).toHaveLength(1);
      expect(await github.served('docs')).toBe('v1');
      expect(verifyChain(await chainOf(world), digest)).toEqual([]);
    },
  );
});

async function worldOf(context: TestContext, options: WorldOptions = {}): Promise<World> {
  const world = await World.create(options);
  context.onTestFinished(() => world.close());
  return world;
}

/** The bad release in place, the good one known healthy and never started. */
async function bad(world: World, component: string): Promise<void> {
  await world.recorded(component, 'v1.0.0', true);
  await world.release(component, 'v1.1.0', false);
}

const stepsOf = (components: readonly string[]): string[] =>
  components.flatMap((name) => ['deploy', 'smoke', 'health', 'served'].map((what) => `${name}.${what}`));
const targetsOf = (components: readonly string[]): Record<string, string> => Object.fromEntries(components.map((name) => [name, 'v1.0.0']));

/** The kernel's letter for what a process does; T: suspended by a signal. */
const stateOf = (pid: number): string => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.[0] ?? '';

/** Waits until the point has fired and its process is really suspended. */
async function suspended(crashes: Crashes, point: string): Promise<number> {
  await vi.waitFor(
    () => {
      expect(stateOf(crashes.pid(point) ?? process.pid), `${point} fires`).toBe('T');
    },
    { timeout: 30_000 },
  );
  return crashes.pid(point) ?? 0;
}

async function expectOneEffectEach(world: World, rollbackId: string, components: readonly string[]): Promise<void> {
  for (const name of components) {
    expect(await world.ownEffects(name), name).toEqual([
      expect.objectContaining({ operationId: `${rollbackId}/${name}.deploy/0`, from: 'v1.1.0', to: 'v1.0.0' }),
    ]);
    expect(await world.serves(name)).toBe('v1.0.0');
    const running = runningOf(world.folder, name);
    expect(running.filter((one) => one.front)).toHaveLength(1);
    expect(
      running.filter((one) => !one.front).map((one) => one.process),
      `of ${name} there runs what serves, and nothing else`,
    ).toEqual([servingOf(world.folder, name)]);
  }
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

async function chainOf(world: World): Promise<StoredEntry[]> {
  const entries: StoredEntry[] = [];
  for await (const entry of world.store.chain()) entries.push(entry);
  return entries;
}

const entriesOf = async (world: World, rollbackId: string): Promise<RecordEntry[]> =>
  (await world.store.entriesOf(rollbackId)).map((one) => JSON.parse(one.body) as RecordEntry); // Our own writer's.

async function expectRecord(world: World, { rollbackId, record }: RollbackState, components: readonly string[]): Promise<void> {
  expect(verifyChain(await chainOf(world), digest)).toEqual([]);
  const own = await entriesOf(world, rollbackId);
  expect(record.entries).toBe(own.filter((one) => one.type !== 'history').length);
  expect(own.filter((one) => one.type === 'step').map((one) => `${String(one['step'])}/${String(one['generation'])}`)).toEqual(
    stepsOf(components).map((step) => `${step}/0`),
  );
  expect(own.map((one) => one.type).filter((type) => type !== 'step' && type !== 'history')).toEqual(['opened', 'answer', 'closed']);
  const each = String(components.length);
  await expect(rowOf(world, rollbackId)).resolves.toEqual({ status: 'success', outcome: 'rolled-back', held: '0', restored: each, taken_back: each });
}

async function rowOf(world: World, rollbackId: string): Promise<unknown> {
  const postgres = new Postgres({ connectionString: world.services.databaseUrl });
  await postgres.connect();
  try {
    const { rows } = await postgres.query<Record<string, unknown>>(
      `SELECT status, metadata->>'outcome' AS outcome, (SELECT count(*) FROM ops.claims WHERE rollback_id = $1) AS held,
        (SELECT count(*) FROM ops.deployments WHERE rollback_from IS NOT NULL AND status = 'success') AS restored, (SELECT count(*) FROM ops.deployments WHERE status = 'rolled_back') AS taken_back
        FROM ops.rollback_events WHERE event_id = $1`,
      [rollbackId],
    );
    return rows[0];
  } finally {
    await postgres.end();
  }
}
