/** What comes in between while an incident is rolled back: Postgres is away (I7 of `reliability.md`), people stop it, cancel it, and answer meanwhile. */
import type { WorkflowHandle } from '@temporalio/client';
import { describe, expect, it, vi, type TestContext } from 'vitest';
import { startPostgres } from '../../client/local/postgres.ts';
import { isAlive } from '../../client/local/processes.ts';
import type { RollbackState } from '../../model/state.ts';
import { wasLaunched } from '../support/crashing-worker.ts';
import { COMPONENTS, confirmTarget, declared, GATES, ID, incidentWorld, lines, propose, signRows, stepOf, waitsFor } from '../support/incident.ts';
import { expectChain, expectOneEffect, expectWords, recordOf } from '../support/incident-scene.ts';
import type { World } from '../support/world.ts';
import { join } from 'node:path';

/** Its good releases take a while to start, so that whatever happens meets a wave in flight. */
async function slowWorld(context: TestContext): Promise<World> {
  const after = ['after: [api, worker]'];
  const yaml: Readonly<Record<string, readonly string[]>> = { web: after, admin: after };
  const releases = [
    { version: 'v1.0.0', startMs: 2_500 },
    { version: 'v1.1.0', broken: true },
  ];
  const world = await incidentWorld({
    environment: GATES,
    world: { shops: COMPONENTS.map((name) => ({ name, releases, yaml: yaml[name] ?? [] })) },
  });
  context.onTestFinished(() => world.close());
  await Promise.all(
    COMPONENTS.map(async (name) => {
      await world.recorded(name, 'v1.0.0', true);
      await world.release(name, 'v1.1.0', false);
    }),
  );
  return world;
}

/** Their new processes run, and traffic has not moved. */
async function inFlight(world: World, components: readonly string[]): Promise<void> {
  for (const name of components)
    await vi.waitFor(
      () => {
        expect(wasLaunched(world.folder, name, 'v1.0.0'), name).toBe(true);
      },
      { timeout: 20_000 },
    );
  for (const name of components) expect(await world.ownEffects(name)).toEqual([]);
}

async function postgresKilled(world: World, pid: number): Promise<void> {
  process.kill(pid, 'SIGKILL');
  await vi.waitFor(
    () => {
      expect(isAlive(pid)).toBe(false);
    },
    { timeout: 5_000 },
  );
  await expect(world.store.ping()).rejects.toThrow(/cannot be used/);
}

async function postgresAgain(context: TestContext, world: World): Promise<number> {
  const server = await startPostgres({ folder: join(world.folder, '.backout'), port: Number(new URL(world.services.databaseUrl).port), fast: true });
  context.onTestFinished(() => server.stop());
  return server.pid;
}

const statesOf = (state: RollbackState, effect: string): string[] => state.steps.flatMap((one) => (one.effect === effect ? [one.state] : []));

async function expectEnd(world: World, handle: WorkflowHandle, updates: readonly string[]): Promise<RollbackState> {
  const end = await world.closed(handle);
  expect(end).toMatchObject({ outcome: 'rolled-back', record: { behind: false }, clock: { breached: false }, incidentCommand: { frozen: [] } });
  for (const name of COMPONENTS) await expectOneEffect(world, end.rollbackId, name);
  await expectWords(world, ['declared', ...updates, 'recovery']);
  expect(await world.store.freezes({})).toMatchObject([{ inForce: [], rollbackId: end.rollbackId }]);
  expect(await world.store.claims({})).toEqual([]);
  await expectChain(world);
  const audited = await world.cli(['audit', ID]);
  expect(audited, audited.stdout).toMatchObject({ code: 0 });
  return end;
}

describe.concurrent('an incident rollback', { timeout: 200_000 }, () => {
  it('without Postgres does not begin: nothing can be frozen, so nothing is changed. Once it has begun it goes on, and the record catches up', async (context) => {
    const world = await slowWorld(context);
    await world.worker();
    const handle = await propose(world);
    await waitsFor(world, handle, 'declaration');
    await postgresKilled(world, world.services.pids.postgres ?? 0);
    await handle.signal('confirm', { step: 'declaration', by: 'carol' });
    const stopped = await world.until(handle, 'stopped', (state) => state.state === 'stopped', 90_000);
    expect(stepOf(stopped, 'freeze')).toMatchObject({ state: 'failed', failure: { type: 'RecordUnavailable', retryable: true } });
    expect(stopped).toMatchObject({ record: { behind: true }, incidentCommand: { declared: { by: 'carol' }, frozen: [] } });
    expect(statesOf(stopped, 'deploy')).toEqual(['pending', 'pending', 'pending', 'pending']);
    expect(stepOf(stopped, 'communication.declared').state).toBe('pending');
    expect(await lines(world, 'stakeholders.log')).toEqual([]);
    await expect(
      handle.executeUpdate('decide', { args: [{ step: 'freeze', by: 'carol', action: 'skip', reason: 'go on', due: '2099-01-01' }] }),
    ).resolves.toMatchObject({
      refusal: { rule: 'not-skippable' },
    });

    const pid = await postgresAgain(context, world);
    await handle.signal('decide', { step: 'freeze', by: 'carol', action: 'retry', reason: 'Postgres is there again' });
    await confirmTarget(world, handle);
    await inFlight(world, ['api', 'worker']);
    const before = await world.state(handle);
    expect(before.record.behind).toBe(false);
    await postgresKilled(world, pid);
    const behind = await waitsFor(world, handle, 'ownership');
    expect(behind).toMatchObject({ record: { behind: true, entries: before.record.entries }, incidentCommand: { frozen: expect.arrayContaining(['merges']) } });
    expect(statesOf(behind, 'deploy')).toEqual(['done', 'done', 'done', 'done']);
    await handle.signal('confirm', { step: 'communication.update', by: 'cleo', note: 'every component is back' });
    await signRows(handle);
    await vi.waitFor(async () => expect(await lines(world, 'stakeholders.log')).toHaveLength(2), { timeout: 10_000 });

    await postgresAgain(context, world);
    await waitsFor(world, handle, 'unfreeze');
    await handle.signal('confirm', { step: 'unfreeze', by: 'carol' });
    const end = await expectEnd(world, handle, ['update']);
    const steps = (await recordOf(world, end.rollbackId)).flatMap((one) => (one.type === 'step' ? [`${one.step ?? ''} ${String(one['state'])}`] : []));
    expect(steps.filter((one) => one.startsWith('freeze '))).toEqual(['freeze failed', 'freeze done']);
    for (const name of COMPONENTS) expect(steps.filter((one) => one.startsWith(`${name}.deploy`))).toEqual([`${name}.deploy done`]);
  });

  it('is stopped and cancelled while its waves run: what is in flight ends, nothing begins, people are heard, and it stays frozen', async (context) => {
    const world = await slowWorld(context);
    await world.worker();
    const handle = await declared(world);
    await confirmTarget(world, handle);
    await inFlight(world, ['api', 'worker']);
    await handle.signal('stop', { by: 'carol', reason: 'is it the right one?' });
    await handle.signal('confirm', { step: 'communication.update', by: 'cleo', note: 'stopped for a moment' });
    await handle.signal('confirm', { step: 'cleanup.credentials', by: 'sam', choice: 'not-applicable', note: 'no credential was touched' });
    const first = await world.until(
      handle,
      'stopped after its wave',
      (state) => state.state === 'stopped' && statesOf(state, 'deploy').every((one) => one !== 'running'),
    );
    expect(statesOf(first, 'deploy')).toEqual(['done', 'done', 'pending', 'pending']);
    expect(first).toMatchObject({ stopped: 'stopped by carol: is it the right one?', incidentCommand: { frozen: expect.arrayContaining(['deployments']) } });
    await vi.waitFor(async () => expect(await lines(world, 'stakeholders.log')).toHaveLength(2), { timeout: 10_000 });
    for (const name of ['web', 'admin']) expect(wasLaunched(world.folder, name, 'v1.0.0')).toBe(false);
    await expect(handle.executeUpdate('resume', { args: [{ by: 'cleo', reason: 'it is' }] })).resolves.toMatchObject({ refusal: { rule: 'role' } });
    await handle.signal('resume', { by: 'carol', reason: 'it is' });

    await inFlight(world, ['web', 'admin']);
    await handle.cancel();
    await handle.signal('assign', { role: 'data-evidence-lead', to: 'abe', by: 'carol', reason: 'dora is on leave' });
    const second = await world.until(handle, 'stopped again', (state) => state.state === 'stopped' && statesOf(state, 'deploy').every((one) => one === 'done'));
    expect(second.stopped).toMatch(/^stopped by cancel request/);
    expect(stepOf(second, 'health').state).toBe('pending');
    await handle.cancel();
    await handle.signal('resume', { by: 'carol', reason: 'nobody meant it' });

    // Stopped while rows are asked: they are signed meanwhile, by whoever holds the role now.
    await waitsFor(world, handle, 'ownership');
    await handle.signal('stop', { by: 'carol', reason: 'lunch' });
    await expect(
      handle.executeUpdate('confirm', { args: [{ step: 'cleanup.data', by: 'dora', choice: 'not-applicable', note: 'nothing was touched' }] }),
    ).resolves.toMatchObject({ refusal: { rule: 'role' } });
    await handle.signal('confirm', { step: 'cleanup.data', by: 'abe', choice: 'not-applicable', note: 'nothing was touched' });
    await handle.signal('confirm', {
      step: 'cleanup.evidence',
      by: 'abe',
      choice: 'done',
      evidence: ['chain-verification=https://ci/7', 'incident-links=https://wiki/INC-42'],
    });
    await handle.signal('confirm', { step: 'ownership', by: 'carol', data: { nextCycleOwner: 'abe', reviewOwner: 'carol' } });
    const third = await world.until(handle, 'signed', (state) => stepOf(state, 'ownership').state === 'confirmed');
    expect(third).toMatchObject({ state: 'stopped' });
    expect(stepOf(third, 'stability').state).toBe('pending');
    await handle.signal('resume', { by: 'carol', reason: 'back' });
    await waitsFor(world, handle, 'unfreeze');
    await handle.signal('stop', { by: 'carol', reason: 'one more look' });
    await handle.signal('confirm', { step: 'unfreeze', by: 'carol' });
    await world.until(handle, 'unfrozen by word', (state) => state.state === 'stopped' && stepOf(state, 'unfreeze').state === 'confirmed');
    expect(await world.store.freezes({ inForceOnly: true })).toHaveLength(1);
    await handle.signal('resume', { by: 'carol', reason: 'it is well' });
    const end = await expectEnd(world, handle, ['update']);
    expect(end.answers.filter((one) => one.name === 'stop').map((one) => one.by)).toEqual(['carol', 'cancel request', 'carol', 'carol']);
    expect((await handle.describe()).status.name).toBe('COMPLETED');
  });
});
