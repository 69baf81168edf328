/** Temporal, Postgres or the worker is away, at the start and midway (I1, I2, I7, I9 of `reliability.md`). */
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { describe, expect, it, vi, type TestContext } from 'vitest';
import { findTemporal } from '../../client/local/find-temporal.ts';
import { startPostgres } from '../../client/local/postgres.ts';
import { isAlive } from '../../client/local/processes.ts';
import { startTemporal } from '../../client/local/temporal.ts';
import { verifyChain, type RecordEntry, type StoredEntry } from '../../model/record.ts';
import { digest } from '../../store/digest.ts';
import { CRASHING_WORKER, Crashes, wasLaunched } from '../support/crashing-worker.ts';
import { BOOTS, World, type Shop, type WorldOptions } from '../support/world.ts';

/** Its good release takes a while to start, so that a fault meets the deployment in flight. */
const SLOW: Shop = {
  name: 'web',
  releases: [
    { version: 'v1.0.0', startMs: 2_000 },
    { version: 'v1.1.0', broken: true },
  ],
};

/** Each in a world of its own, and at the same time: most of it is waiting. */
describe.concurrent('away', () => {
  it('Temporal is killed in the midst of the deployment and while a person is awaited: it goes on where it was', { timeout: 150_000 }, async (context) => {
    const world = await worldOf(context, { shops: [SLOW], memory: false });
    await bad(world, 'web');
    await world.worker();
    const handle = await world.start();
    await inFlight(world, 'web');
    await killed(world, 'temporal');
    await expect(world.client.connection.withDeadline(Date.now() + 1_000, () => handle.describe())).rejects.toThrow(
      /Failed to connect|UNAVAILABLE|DEADLINE_EXCEEDED|describe/,
    );
    // The operation in flight is not touched by it.
    await vi.waitFor(
      async () => {
        expect(await world.ownEffects()).toHaveLength(1);
      },
      { timeout: 15_000 },
    );
    let stop = await temporalAgain(context, world);
    await world.waiting(handle);
    await stop('SIGKILL');
    stop = await temporalAgain(context, world);
    await world.confirm(handle);
    const state = await world.closed(handle);
    expect(state).toMatchObject({ outcome: 'rolled-back', record: { behind: false }, clock: { breached: false } });
    await expectPutBack(world, 'web', `${state.rollbackId}/web.deploy/0`);
    await expectWholeRecord(world, state.rollbackId, [
      'opened',
      'step web.deploy',
      'step web.smoke',
      'step web.health',
      'step web.served',
      'answer confirm',
      'closed',
    ]);
  });

  it(
    'Postgres is killed midway: the rollback goes on, says that the record is behind, and closes when it has caught up; a start meanwhile is refused',
    { timeout: 150_000 },
    async (context) => {
      const world = await worldOf(context, { shops: [SLOW, { ...BOOTS, name: 'api' }] });
      await Promise.all(['web', 'api'].map((name) => bad(world, name)));
      await world.worker();
      const handle = await world.start();
      await inFlight(world, 'web');
      await killed(world, 'postgres');
      await expect(world.store.ping()).rejects.toThrow(/Postgres at .* cannot be used/);
      const refused = await world.start({ components: ['api'], targets: { api: 'v1.0.0' } });

      expect(await world.waiting(handle)).toMatchObject({ record: { entries: 1, behind: true } });
      await expectPutBack(world, 'web');
      await handle.signal('assign', { role: 'operator', to: 'zoe', by: 'ana', reason: 'end of shift' });
      await world.confirm(handle, { by: 'zoe' });
      await vi.waitFor(
        async () => {
          expect(await pending(handle)).toMatchObject([{ type: 'closeRollback', failure: expect.stringContaining('the record cannot be reached') }]);
        },
        { timeout: 20_000 },
      );
      expect(await world.state(handle)).toMatchObject({ state: 'running', outcome: null, record: { behind: true } });

      const no = await world.closed(refused);
      expect(no).toMatchObject({ outcome: 'refused', record: { behind: true }, refusals: [{ rule: 'record-unavailable', source: '[docs/runbook.md]' }] });
      expect(no.refusals[0]?.explanation).toMatch(
        /nothing was changed\. By hand:\ncd \S+\n\S+ \S+releases\.ts deploy --root \S+srv\/api .*--version v1\.0\.0 .*-- \.\/bin\/serve/,
      );
      expect(await world.ownEffects('api')).toEqual([]);
      expect(await world.serves('api')).toBe('v1.1.0');

      expect((await world.state(handle)).outcome).toBeNull();
      await postgresAgain(context, world);
      const state = await world.until(handle, 'closed', (seen) => seen.state === 'closed', 40_000);
      expect(state).toMatchObject({ outcome: 'rolled-back', record: { behind: false }, clock: { breached: false } });
      await expectPutBack(world, 'web', `${state.rollbackId}/web.deploy/0`);
      await expectWholeRecord(world, state.rollbackId, [
        'opened',
        'step web.deploy',
        'step web.smoke',
        'step web.health',
        'step web.served',
        'answer assign',
        'answer confirm',
        'closed',
      ]);
      expect((await world.store.rollback(state.rollbackId))?.outcome).toBe('rolled-back');
      // The refusal that could not be recorded comes with its history.
      await vi.waitFor(
        async () => {
          expect(await world.store.hasHistory(no.runId)).toBe(true);
        },
        { timeout: 10_000 },
      );
      expect(await world.store.claims({})).toEqual([]);
    },
  );

  it(
    'the worker is away, at the start, midway, and over the deadline: nothing is lost, and nothing is changed late without a decision',
    { timeout: 150_000 },
    async (context) => {
      const late = { ...BOOTS, yaml: ['targetSeconds: 3'] };
      const world = await worldOf(context, { shops: [BOOTS, { ...late, name: 'unmade' }, { ...late, name: 'midway' }] });
      await Promise.all(['web', 'unmade', 'midway'].map((name) => bad(world, name)));
      const web = await world.start();
      const unmade = await world.start({ components: ['unmade'], targets: { unmade: 'v1.0.0' } });
      await agedBeyond(unmade, 3_000);
      expect(await web.describe()).toMatchObject({ status: { name: 'RUNNING' }, historyLength: 2 });

      const crashes = new Crashes(join(world.folder, 'crashes'), ['midway.deploy:before-apply']);
      const worker = await world.worker(crashes.env, CRASHING_WORKER);
      await world.waiting(web);
      expect(await world.stopped(unmade)).toMatchObject({ clock: { breached: true, targetSeconds: 3 }, stopped: expect.stringMatching(/time target/) });
      const midway = await world.start({ components: ['midway'], targets: { midway: 'v1.0.0' } });
      await vi.waitFor(
        () => {
          expect(worker.signalCode).toBe('SIGKILL');
        },
        { timeout: 15_000 },
      );
      expect(crashes.fired()).toEqual(crashes.points);
      // Kept while no worker runs.
      await world.confirm(web);
      await agedBeyond(midway, 3_000);

      await world.worker();
      expect(await world.closed(web)).toMatchObject({ outcome: 'rolled-back' });
      await expectPutBack(world, 'web');
      const stopped = await world.stopped(midway);
      expect(stopped).toMatchObject({
        clock: { breached: true },
        steps: [
          { id: 'midway.deploy', state: 'failed', failure: { type: 'DeadlinePassed' } },
          {},
          {},
          {},
          { state: 'pending' },
          { id: 'investigation', state: 'waiting' },
        ],
      });
      for (const name of ['unmade', 'midway']) {
        expect(await world.ownEffects(name)).toEqual([]);
        expect(await world.serves(name)).toBe('v1.1.0');
        const told = await noticesOf(world, `deployRevert/production/${name}`);
        expect(told.filter((notice) => notice === 'breach')).toHaveLength(1);
        expect(told).toContain('stopped');
      }

      await midway.signal('decide', {
        step: 'midway.deploy',
        by: 'ana',
        action: 'retry',
        reason: 'the worker was down',
        analysis: 'its machine was out of memory',
      });
      await world.waiting(midway);
      await expectPutBack(world, 'midway', `${stopped.rollbackId}/midway.deploy/1`);
      await world.confirm(midway);
      await world.until(
        midway,
        'waiting for the finding alone',
        (state) => state.state === 'waiting' && state.waiting.length === 1 && state.waiting[0]?.step === 'investigation',
      );
      await expect(midway.executeUpdate('confirm', { args: [{ step: 'investigation', by: 'ana' }] })).resolves.toMatchObject({
        accepted: false,
        refusal: { rule: 'finding' },
      });
      expect((await world.state(midway)).outcome).toBeNull();
      await midway.signal('confirm', { step: 'investigation', by: 'ana', note: 'no second worker' });
      expect(await world.closed(midway)).toMatchObject({ outcome: 'rolled-back-late', clock: { breached: true } });

      await expect(unmade.executeUpdate('decide', { args: [{ action: 'close', by: 'ana', reason: 'fixed forward' }] })).resolves.toMatchObject({
        accepted: false,
        refusal: { rule: 'finding' },
      });
      await unmade.signal('confirm', { step: 'investigation', by: 'ana', note: 'no worker ran' });
      await unmade.signal('decide', { action: 'close', by: 'ana', reason: 'fixed forward' });
      expect(await world.closed(unmade)).toMatchObject({ outcome: 'failed', clock: { breached: true } });
      expect(await world.ownEffects('unmade')).toEqual([]);
      expect(await world.store.claims({})).toEqual([]);
    },
  );
});

async function worldOf(context: TestContext, options: WorldOptions): Promise<World> {
  const world = await World.create(options);
  context.onTestFinished(() => world.close());
  return world;
}

/** The bad release in place, the good one known healthy and never started. */
async function bad(world: World, component: string): Promise<void> {
  await world.recorded(component, 'v1.0.0', true);
  await world.release(component, 'v1.1.0', false);
}

/** Its new process runs, and traffic has not moved. */
async function inFlight(world: World, component: string): Promise<void> {
  await vi.waitFor(
    () => {
      expect(wasLaunched(world.folder, component, 'v1.0.0')).toBe(true);
    },
    { timeout: 20_000 },
  );
  expect(await world.ownEffects(component)).toEqual([]);
}

/** Kill -9 of what the world has started. */
async function killed(world: World, what: 'temporal' | 'postgres'): Promise<void> {
  const pid = world.services.pids[what] ?? 0;
  expect(isAlive(pid)).toBe(true);
  process.kill(pid, 'SIGKILL');
  await vi.waitFor(
    () => {
      expect(isAlive(pid)).toBe(false);
    },
    { timeout: 5_000 },
  );
}

const stateFolder = (world: World): string => join(world.folder, '.backout');

/** The same server again, on the same port and data. */
async function temporalAgain(context: TestContext, world: World): Promise<(signal: 'SIGKILL') => Promise<void>> {
  const { path } = await findTemporal({ progress: () => undefined });
  const server = await startTemporal({
    path,
    folder: stateFolder(world),
    port: Number(world.services.temporalAddress.split(':')[1]),
    uiPort: 0,
    headless: true,
  });
  context.onTestFinished(() => server.stop());
  return async (signal) => {
    process.kill(server.pid, signal);
    await server.exited;
  };
}

async function postgresAgain(context: TestContext, world: World): Promise<void> {
  const server = await startPostgres({ folder: stateFolder(world), port: Number(new URL(world.services.databaseUrl).port), fast: true });
  context.onTestFinished(() => server.stop());
  expect(server.url).toBe(world.services.databaseUrl);
}

async function pending(handle: WorkflowHandle): Promise<{ type: string | undefined; failure: string | undefined }[]> {
  const { raw } = await handle.describe();
  return (raw.pendingActivities ?? []).map((one) => ({ type: one.activityType?.name ?? undefined, failure: one.lastFailure?.message ?? undefined }));
}

async function agedBeyond(handle: WorkflowHandle, ms: number): Promise<void> {
  const { startTime } = await handle.describe();
  await vi.waitFor(
    () => {
      expect(Date.now() - startTime.getTime()).toBeGreaterThan(ms);
    },
    { timeout: ms + 5_000 },
  );
}

/** The channel's file holds more than a test usually asks for. */
const noticesOf = async (world: World, workflowId: string): Promise<string[]> =>
  (await world.incidents()).filter((one) => 'workflowId' in one && one.workflowId === workflowId).map((one) => one.notice);

async function expectPutBack(world: World, component: string, operationId?: string): Promise<void> {
  expect(await world.ownEffects(component)).toEqual([
    expect.objectContaining({ from: 'v1.1.0', to: 'v1.0.0', ...(operationId === undefined ? {} : { operationId }) }),
  ]);
  expect(await world.serves(component)).toBe('v1.0.0');
}

/** Everything that happened, once and in this order, in a chain that holds. */
async function expectWholeRecord(world: World, rollbackId: string, what: readonly string[]): Promise<void> {
  const chain: StoredEntry[] = [];
  for await (const entry of world.store.chain()) chain.push(entry);
  expect(verifyChain(chain, digest)).toEqual([]);
  const entries = (await world.store.entriesOf(rollbackId)).map((one) => JSON.parse(one.body) as RecordEntry & { step?: string; answer?: { name: string } }); // Our own writer's.
  const named = entries
    .filter((one) => one.type !== 'history')
    .map((one) => [one.type, one.step ?? one.answer?.name].filter((word) => word !== undefined).join(' '));
  expect(named).toEqual(what);
}
