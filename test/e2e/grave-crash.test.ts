/**
 * The worker is killed at every boundary of what levels 2 and 3 add [001 steps 3c to 3e]: between any two calls to a database, an evidence chain, an
 * authority, a holder and the record, and in the midst of the house's own commands. Three rollbacks share the boundaries out between them.
 */
import type { WorkflowHandle } from '@temporalio/client';
import { describe, expect, it } from 'vitest';
import type { RollbackState } from '../../model/state.ts';
import { keepAWorker } from '../support/crashing-worker.ts';
import { expectMoved, expectNoSecret, expectRecord, graveScene, RESTORE, startL3, UNDO, watchKeys, type GraveScene } from '../support/grave-scene.ts';
import { stepOf } from '../support/incident.ts';
import { watchRegister } from '../support/incident-scene.ts';

/**
 * Each in the order in which one rollback meets them; `#2` behind it is the same one once more, by the next attempt. What lies between two boundaries with
 * nothing changed in between, a look and a look, is one of them.
 */
const FIRST = [
  'issue.payments:after-adopt',
  'issue.payments:word=issuing',
  'credential.payments:after-tell=issued',
  'install.payments:before-write',
  'install.payments:prove',
  'survey.main:after-check',
  'recover.stock:psql',
  'switch.stock:word=writing',
  `${UNDO}:after-undo`,
  `${RESTORE}:word=orders: `,
  'rebuild.main.totals:before-append',
  'annotate.trail:before-annotate',
  'revoke.payments:word=revoked',
  'revoke.payments:after-revoke#2',
  'chain.trail:after-survey',
];
const SECOND = [
  'issue.payments:before-generations',
  'credential.payments:after-tell=old',
  'issue.payments:word=issued',
  'install.payments:word=writing',
  'credential.payments:after-tell=installed',
  'evidence.trail:after-survey',
  'recover.stock:after-recover',
  'switch.stock:after-write',
  `${UNDO}:before-undo`,
  `${UNDO}:after-append`,
  `${RESTORE}:after-restore`,
  'annotate.trail:after-annotate',
  'revoke.payments:after-accepts',
  'revoke.payments:word=forgetting',
  'credential.payments:after-tell=revoked',
];
const THIRD = [
  'issue.payments:word=keeping the secret',
  'issue.payments:after-append',
  'install.payments:after-accepts',
  'install.payments:reload',
  'install.payments:after-append',
  'survey.main:after-append',
  'recover.stock:after-append',
  'recover.stock:after-seal',
  `${UNDO}:after-told`,
  `${RESTORE}:after-append`,
  'rebuild.main.totals:command',
  'annotate.trail:after-append',
  'revoke.payments:word=revoking',
  'revoke.payments:after-revoke',
  'scope.payments:after-generations',
  'invariants.main:after-check',
];

const PATIENCE_MS = 150_000;

async function answered({ world }: GraveScene, handle: WorkflowHandle): Promise<RollbackState> {
  const waits = async (step: string): Promise<RollbackState> => {
    const isThere = (state: RollbackState): boolean => state.steps.some((one) => one.id === step && one.state === 'waiting');
    const state = await world.until(handle, `waiting for ${step}`, (seen) => isThere(seen) || seen.state === 'stopped', PATIENCE_MS);
    expect(state.steps.flatMap(({ id, failure }) => (failure === null ? [] : [[id, failure]]))).toEqual([]);
    return state;
  };
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
  it.for([
    ['first', FIRST],
    ['second', SECOND],
    ['third', THIRD],
  ] as const)(
    'at the %s of its boundaries: everything once, never without a key, frozen from the freeze to the lift',
    { timeout: 400_000 },
    async ([, boundaries], context) => {
      const scene = await graveScene(context, boundaries, true);
      const { world, crashes } = scene;
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
      expect(state.steps.flatMap((step) => (['done', 'already', 'confirmed'].includes(step.state) ? [] : [[step.id, step.state]]))).toEqual([
        ['rotate.google', 'skipped'],
      ]);
      expect(stepOf(state, 'chain.trail')).toMatchObject({ receipt: { after: { broken: 0 } } });
      // Whoever died after the rows were back has left no count of them.
      const uncounted = state.warnings.filter((one) => one.startsWith('rows of orders that an earlier attempt may have put back'));
      const { restored } = (stepOf(state, RESTORE).receipt as { after: { restored: number } }).after;
      expect([restored, uncounted.length]).toEqual(
        boundaries.some((one) => one === `${RESTORE}:after-restore` || one.startsWith(`${RESTORE}:word`)) ? [0, 1] : [20, 0],
      );
      await expectMoved(scene, state);
      await expectRecord(scene, state);
      const audited = await world.cli(['audit', handle.workflowId]);
      expect(audited, audited.stdout).toMatchObject({ code: 0 });
      await expectNoSecret(scene, handle);
    },
  );
});
