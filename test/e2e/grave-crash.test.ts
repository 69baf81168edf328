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

/** Each in the order in which one rollback meets them; behind `#2` the same one once more, by the next attempt. */
const FIRST = [
  'issue.payments:before-generations',
  'issue.payments:word=issuing',
  'issue.payments:after-reveal',
  'issue.payments:after-append',
  'install.payments:after-read',
  'install.payments:word=writing',
  'install.payments:prove',
  'survey.main:before-check',
  'evidence.trail:after-survey',
  'recover.stock:psql',
  'recover.stock:after-ledger',
  'recover.stock:after-seal',
  'switch.stock:after-append',
  `${UNDO}:after-undo`,
  `${RESTORE}:after-preview`,
  `${RESTORE}:after-append`,
  'rebuild.main.totals:before-append',
  'annotate.trail:before-annotate',
  'revoke.payments:after-generations',
  'revoke.payments:word=revoked',
  'revoke.payments:after-revoke#2',
  'scope.payments:after-generations',
  'chain.trail:before-append',
];
const SECOND = [
  'issue.payments:after-read',
  'credential.payments:after-tell=old',
  'issue.payments:word=issued',
  'issue.payments:before-append',
  'install.payments:after-reveal',
  'install.payments:before-write',
  'install.payments:after-write',
  'install.payments:after-append',
  'survey.main:after-check',
  'evidence.trail:after-append',
  'recover.stock:before-recover',
  'recover.stock:after-check',
  'switch.stock:after-read',
  'switch.stock:after-write',
  `${UNDO}:before-undo`,
  `${UNDO}:after-append`,
  `${RESTORE}:word=orders: `,
  'rebuild.main.totals:command',
  'annotate.trail:after-annotate',
  'revoke.payments:after-accepts',
  'revoke.payments:word=forgetting',
  'credential.payments:after-tell=revoked',
  'invariants.main:after-check',
];
const THIRD = [
  'issue.payments:after-adopt',
  'issue.payments:word=keeping the secret',
  'issue.payments:after-issue',
  'credential.payments:after-tell=issued',
  'install.payments:after-accepts',
  'install.payments:reload',
  'credential.payments:after-tell=installed',
  'survey.main:after-append',
  'evidence.trail:before-survey',
  'recover.stock:after-recover',
  'recover.stock:after-append',
  'recover.stock:after-recovered',
  'switch.stock:word=writing',
  'switch.stock:before-append',
  `${UNDO}:after-ledger`,
  `${UNDO}:after-told`,
  `${RESTORE}:after-restore`,
  'rebuild.main.totals:after-append',
  'annotate.trail:after-append',
  'revoke.payments:word=revoking',
  'revoke.payments:after-revoke',
  'revoke.payments:after-append',
  'scope.payments:before-append',
  'chain.trail:after-survey',
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
      expect(state.steps.flatMap((step) => (['done', 'already', 'confirmed'].includes(step.state) ? [] : [[step.id, step.state]]))).toEqual([
        ['rotate.google', 'skipped'],
      ]);
      expect(stepOf(state, 'chain.trail')).toMatchObject({ receipt: { after: { broken: 0 } } });
      await expectMoved(scene, state);
      await expectRecord(scene, state);
      const audited = await world.cli(['audit', handle.workflowId]);
      expect(audited, audited.stdout).toMatchObject({ code: 0 });
      await expectNoSecret(scene, handle);
    },
  );
});
