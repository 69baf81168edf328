/**
 * The worker is killed at every boundary of an incident rollback (I1, I2 of `reliability.md`): between any two calls of a step to the register, the
 * platforms, the configuration, the channels, the repository. Three rollbacks share the boundaries out between them, because each attempt at a step
 * waits longer than the one before.
 */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { RollbackState } from '../../model/state.ts';
import { Crashes, keepAWorker } from '../support/crashing-worker.ts';
import { lines, propose, signRows } from '../support/incident.ts';
import { drift, expectOnceEach, sceneOf, watchRegister } from '../support/incident-scene.ts';

/** Each in the order in which one rollback meets them. */
const FIRST = [
  'freeze:after-freeze',
  'freeze.github:word=freezing environment production',
  'communication.declared:after-post=stakeholders',
  'identify:after-replan',
  'api.config:word=writing',
  'worker.deploy:word=recording',
  'review:after-git=push',
  'communication.recovery:after-post=status',
  'lift:after-unfreeze',
];
const SECOND = [
  'freeze:before-freeze',
  'freeze.github:before-append',
  'communication.declared:before-append',
  'identify:before-replan',
  'worker.config:after-apply',
  'admin.deploy:word=starting',
  'communication.update:after-post=internal',
  'review:after-git=commit-tree',
  'lift.github:word=lifting workflow promote.yml',
  'closeRollback:after-finish',
];
const THIRD = [
  'openRollback:after-open',
  'freeze:after-append',
  'identify:after-append',
  'api.deploy:after-apply',
  'health:before-append',
  'communication.update:before-append',
  'review:before-append',
  'stability:before-append',
  'communication.recovery:before-post=stakeholders',
  'lift.github:after-lift',
  'lift:before-unfreeze',
];

describe.concurrent('an incident rollback whose worker is killed', () => {
  it.for([
    ['first', FIRST],
    ['second', SECOND],
    ['third', THIRD],
  ] as const)(
    'at the %s of its boundaries: every effect and every word once, frozen from the freeze to the lift',
    { timeout: 280_000 },
    async ([, boundaries], context) => {
      const scene = await sceneOf(context);
      const { world } = scene;
      const crashes = new Crashes(join(world.folder, 'crashes'), boundaries);
      const workers = keepAWorker(context, world, { ...crashes.env, BACKOUT_SWEEP_MS: '10000' });
      const register = watchRegister(context, world);
      const handle = await propose(world);
      const waits = (step: string): Promise<RollbackState> =>
        world.until(handle, `waiting for ${step}`, (state) => state.steps.some((one) => one.id === step && one.state === 'waiting'), 120_000);
      await waits('declaration');
      // Reality moves between the proposal and the declaration: the plan is made anew.
      await drift(world);
      await handle.signal('confirm', { step: 'declaration', by: 'carol' });
      const { planHash } = await waits('target');
      await handle.signal('confirm', { step: 'target', by: 'carol', plan: planHash });
      await waits('ownership');
      await handle.signal('confirm', { step: 'communication.update', by: 'cleo', note: 'every component is back', data: { risks: ['a queue to drain'] } });
      await signRows(handle);
      await waits('unfreeze');
      // Killed while only a person is awaited, too; what she says meanwhile is kept.
      workers.current()?.kill('SIGKILL');
      await handle.signal('confirm', { step: 'unfreeze', by: 'carol' });
      const state = await world.until(handle, 'closed', (seen) => seen.state === 'closed', 120_000);

      expect(crashes.fired()).toEqual(boundaries);
      expect(workers.deaths).toEqual([...boundaries, 'while waiting'].map(() => 'SIGKILL'));
      expect(await register()).toEqual([false, true, false]);
      await expectOnceEach(scene, state, { updates: 1, resumed: 0, refrozen: 0 });
      const notices = await lines(world, 'incidents.log');
      expect(new Set(notices.map((one) => one['id'])).size).toBe(notices.length);
      for (const notice of ['opened', 'closed']) expect(notices.filter((one) => one['notice'] === notice)).toHaveLength(1);
    },
  );
});
