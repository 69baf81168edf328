/**
 * The worker is killed at every boundary of what levels 2 and 3 add [001 steps 3c to 3e]: between any two calls to a database, an evidence chain, an
 * authority, a holder and the record, and in the midst of the house's own commands. Three rollbacks share the boundaries out between them.
 */
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { describe, expect, it } from 'vitest';
import type { RollbackState } from '../../model/state.ts';
import { Crashes, keepAWorker } from '../support/crashing-worker.ts';
import { expectMoved, expectNoSecret, expectRecord, graveScene, RESTORE, startL3, UNDO, watchKeys, type GraveScene } from '../support/grave-scene.ts';
import { stepOf } from '../support/incident.ts';
import { watchRegister } from '../support/incident-scene.ts';

/** Each in the order in which one rollback meets them; `after-tell=old` lies between the two generations that are old. */
const FIRST = [
  'issue.payments:before-generations',
  'credential.payments:after-tell=old',
  'issue.payments:word=issuing',
];

const PATIENCE_MS = 150_000;

async function answered({ world }: GraveScene, handle: WorkflowHandle): Promise<RollbackState> {
  const waits = (step: string): Promise<RollbackState> =>
    world.until(handle, `waiting for ${step}`, (state) => state.steps.some((one) => one.id === step && one.state === 'waiting'), PATIENCE_MS);
  const approve = async (step: string): Promise<void> => {
    const { planHash } = await waits(step);
    await handle.signal('confirm', { step, by: step === 'target' ? 'carol' : 'dora', plan: planHash });
  };
  const list = { rotate: ['payments'], unaffected: ['google'] };
  await waits('credentials');
  await handle.signal('confirm', { step: 'credentials', by: 'sam', data: list, note: 'seen in the log' });
  const planned = await waits('target');
  for (const step of ['target', ...planned.steps.flatMap((one) => (one.approval ? [one.id] : []))]) await approve(step);
  await waits('cleanup.credentials');
  await handle.signal('confirm', { step: 'cleanup.data', by: 'dora', choice: 'done' });
  await handle.signal('confirm', { step: 'cleanup.evidence', by: 'dora', choice: 'done' });
  await handle.signal('confirm', { step: 'cleanup.credentials', by: 'sam', choice: 'done' });
  await handle.signal('confirm', { step: 'ownership', by: 'carol', data: { nextCycleOwner: 'abe', reviewOwner: 'carol' } });
  await waits('unfreeze');
  await handle.signal('confirm', { step: 'unfreeze', by: 'carol' });
  return world.until(handle, 'closed', (seen) => seen.state === 'closed', PATIENCE_MS);
}

describe.concurrent('a rollback of level 3 whose worker is killed', () => {
  it.for([['first', FIRST]] as const)(
    'at the %s of its boundaries: everything once, never without a key, frozen from the freeze to the lift',
    { timeout: 280_000 },
    async ([, boundaries], context) => {
      const made: { crashes?: Crashes } = {};
      const scene = await graveScene(context, (world) => (made.crashes = new Crashes(join(world.folder, 'crashes'), boundaries)));
      const { world } = scene;
      const crashes = made.crashes!;
      const workers = keepAWorker(context, world, { ...crashes.env, BACKOUT_SWEEP_MS: '10000' });
      const register = watchRegister(context, world);
      const keys = watchKeys(context, scene);
      const handle = await startL3(scene);
      const state = await answered(scene, handle);

      expect(crashes.fired()).toEqual(boundaries);
      expect(workers.deaths).toEqual(boundaries.map(() => 'SIGKILL'));
      await keys();
      expect(await register()).toEqual([false, true, false]);
      expect(state).toMatchObject({ kind: 'l3Rollback', outcome: 'rolled-back', record: { behind: false }, remains: [], refusals: [] });
      expect(state.steps.flatMap((step) => (['done', 'confirmed'].includes(step.state) ? [] : [[step.id, step.state]]))).toEqual([['rotate.google', 'skipped']]);
      expect(stepOf(state, 'chain.trail')).toMatchObject({ receipt: { after: { broken: 0 } } });
      await expectMoved(scene, state);
      await expectRecord(scene, state);
      const audited = await world.cli(['audit', handle.workflowId]);
      expect(audited, audited.stdout).toMatchObject({ code: 0 });
      await expectNoSecret(scene, handle);
    },
  );
});
