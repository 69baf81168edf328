/** A level that grows when nobody expects it: who may ask, in which state, what is refused, and that the rollback goes on all the same [product.md 2, ADR 0025]. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RollbackState } from '../../model/state.ts';
import { TASK_QUEUE } from '../../model/task-queue.ts';
import { queryAt } from '../store/database.ts';
import { startInput, stepOf, waitsFor } from '../support/incident.ts';
import { answered, graveyard, say, type Graveyard, type Plot } from '../support/plots.ts';
import type { Ran, World } from '../support/world.ts';

const UP = 'ALTER TABLE orders ADD COLUMN coupon text';
const INVERSE = 'ALTER TABLE orders DROP COLUMN coupon;';
const COUPON = '20260112000001_coupon';
const UNDO = `undo.main.${COUPON}`;

let yard: Graveyard<'odd' | 'broken' | 'thaw' | 'no'>;
let world: World;
beforeAll(async () => {
  yard = await graveyard({ odd: [], broken: [], thaw: [], no: [] });
  ({ world } = yard.grave);
}, 180_000);
afterAll(() => yard.close());

const escalate = (handle: WorkflowHandle, to: string, more: Record<string, unknown> = {}) =>
  say(handle, 'escalate', { to, by: 'carol', reason: 'it is worse than it seemed', ...more });
const levelled = (handle: WorkflowHandle, level: number): Promise<RollbackState> =>
  world.until(handle, `at level ${level}`, (state) => state.incidentCommand?.level === level);
const failedIn = (state: RollbackState): string[] => state.steps.flatMap((step) => (step.state === 'failed' ? [step.id] : []));
const frozen = ({ name }: Plot, scope: string): Promise<Ran> => world.cli(['freeze', 'check', '--environment', name, '--scope', scope]);
async function expectClean(state: RollbackState): Promise<void> {
  expect(state).toMatchObject({ outcome: 'rolled-back', remains: [], record: { behind: false } });
  const audited = await world.cli(['audit', state.id]);
  expect(audited, audited.stdout).toMatchObject({ code: 0 });
}
/** A column of the bad release, in seven rows, and twenty rows that it has lost. */
async function damage(plot: Plot): Promise<void> {
  await plot.migrate(COUPON, UP, INVERSE);
  await plot.query(`UPDATE orders SET coupon = 'SPRING' WHERE id <= 7`);
  await plot.query('DELETE FROM orders WHERE id BETWEEN 41 AND 60');
}

describe.concurrent('a level is asked for', () => {
  it('by the commander alone, once it is declared; the higher of two wins; never downwards, and not after the end', async () => {
    const plot = yard.plots.odd;
    await damage(plot);
    const input = startInput({ environment: 'odd', components: ['odd'], incident: 'INC-odd' });
    const handle = await world.client.workflow.start('l1Rollback', { workflowId: plot.idOf('l1Rollback'), taskQueue: TASK_QUEUE, args: [input] });
    await waitsFor(world, handle, 'declaration');
    expect(await escalate(handle, 'l2Rollback')).toMatchObject({ accepted: false, refusal: { rule: 'declaration', by: 'carol' } });
    expect(await world.store.freezes({ environment: 'odd' })).toEqual([]);
    await say(handle, 'confirm', { step: 'declaration', by: 'carol' });
    const first = await waitsFor(world, handle, 'target');
    for (const [by, rule] of Object.entries({ dora: 'role', sam: 'role', dan: 'role', mallory: 'unknown-person' }))
      expect(await escalate(handle, 'l2Rollback', { by })).toMatchObject({ accepted: false, refusal: { rule, by } });
    expect(await world.cli(['escalate', handle.workflowId, '--to', 'l1Rollback', '--reason', 'x', '--by', 'carol'])).toMatchObject({ code: 2 });
    expect(await world.state(handle)).toMatchObject({ kind: 'l1Rollback', planHash: first.planHash, incidentCommand: { level: 1 } });

    await say(handle, 'stop', { by: 'carol', reason: 'one moment' });
    // What was said with the lower one holds for the higher.
    const window = { from: new Date(Date.now() - 7_200_000).toISOString(), to: new Date(Date.now() - 3_600_000).toISOString() };
    const asks = [{ to: 'l2Rollback', window }, { to: 'l3Rollback' }, { to: 'l2Rollback' }];
    for (const ask of asks) await handle.signal('escalate', { ...ask, by: 'carol', reason: `to ${ask.to}` });
    const grown = await levelled(handle, 3);
    expect(await handle.query('plan')).toMatchObject({ window });
    expect(grown.steps.map((step) => step.id)).not.toContain('restore.main.orders');
    expect(grown).toMatchObject({ kind: 'l3Rollback', state: 'stopped', stopped: 'stopped by carol: one moment', rollbackId: first.rollbackId });
    expect(grown.planHash).not.toBe(first.planHash);
    expect(stepOf(grown, 'target').state).not.toBe('confirmed');
    await say(handle, 'resume', { by: 'carol', reason: 'go' });
    const asked = await waitsFor(world, handle, 'credentials');
    expect(await escalate(handle, 'l2Rollback')).toMatchObject({
      accepted: false,
      refusal: { rule: 'level', explanation: expect.stringMatching(/level 3 already/) as string },
    });
    // Accepted and not carried out would be a lie.
    expect(await escalate(handle, 'l3Rollback', { window })).toMatchObject({
      accepted: false,
      refusal: { rule: 'level', explanation: 'it is at l3Rollback already; nothing was changed' },
    });
    for (const more of [{ recover: { main: 'by-hand' } }, { window: { ...window, to: new Date().toISOString() } }])
      expect(await escalate(handle, 'l3Rollback', more)).toMatchObject({
        accepted: false,
        refusal: { rule: 'level', explanation: expect.stringMatching(/part of that plan/) as string },
      });
    expect(await say(handle, 'confirm', { step: 'target', by: 'carol', plan: first.planHash })).toMatchObject({
      accepted: false,
      refusal: { rule: 'stale-plan' },
    });
    expect((await world.state(handle)).planHash).toBe(asked.planHash);

    const end = await answered(world, handle);
    expect(stepOf(end, UNDO).state).toBe('done');
    expect(['issue', 'install', 'revoke', 'scope'].map((operation) => stepOf(end, `${operation}.payments`).state)).toEqual(Array(4).fill('skipped'));
    expect(await plot.columns()).not.toContain('coupon');
    const late = await world.cli(['escalate', handle.workflowId, '--to', 'l3Rollback', '--reason', 'x', '--by', 'carol']);
    expect(late).toMatchObject({ code: 3 });
    expect(late.stderr).toMatch(/closed|ended|over/);
    await expectClean(end);
  }, 120_000);

  it('after a step has failed, and in the middle of a deploy: what runs is not cut off, what failed is still decided about, nothing is done twice', async () => {
    const plot = yard.plots.broken;
    await damage(plot);
    plot.write({ fails: { kind: 'failed', message: 'the disk is full' } });
    const handle = await plot.start();
    const first = await waitsFor(world, handle, 'target');
    await say(handle, 'confirm', { step: 'target', by: 'carol', plan: first.planHash });
    await world.stopped(handle);
    expect(await escalate(handle, 'l2Rollback')).toMatchObject({ accepted: true });
    const grown = await levelled(handle, 2);
    expect(grown).toMatchObject({ state: 'stopped', stopped: expect.stringMatching(/^broken\.deploy failed: .*disk is full/) as string });
    expect(failedIn(grown)).toEqual(['broken.deploy']);
    expect(grown.planHash).not.toBe(first.planHash);

    plot.write({ fails: null, takesMs: 3_000 });
    await say(handle, 'decide', { step: 'broken.deploy', action: 'retry', by: 'carol', reason: 'freed 20 GB' });
    const again = await waitsFor(world, handle, 'target');
    await say(handle, 'confirm', { step: 'target', by: 'carol', plan: again.planHash });
    await world.until(handle, 'deploying', (state) => stepOf(state, 'broken.deploy').state === 'running');
    await escalate(handle, 'l3Rollback');
    expect(await world.state(handle)).toMatchObject({ kind: 'l2Rollback', incidentCommand: { level: 2 } });
    const third = await waitsFor(world, handle, 'credentials');
    expect(stepOf(third, 'broken.deploy').state).toBe('done');
    expect(third.incidentCommand?.level).toBe(3);
    const end = await answered(world, handle);
    expect(plot.sheet.applied.map((one) => one.operationId)).toEqual([0, 1].map((generation) => `${end.rollbackId}/broken.deploy/${generation}`));
    expect(stepOf(end, 'restore.main.orders').receipt).toMatchObject({ after: { restored: 20 } });
    await expectClean(end);
  }, 120_000);

  it('while the unfreeze is awaited, and after a part of it: everything is frozen again first, and asked again', async () => {
    const plot = yard.plots.thaw;
    await damage(plot);
    const handle = await plot.start();
    const first = await answered(world, handle, 'unfreeze');
    await escalate(handle, 'l2Rollback');
    const second = await waitsFor(world, handle, 'target');
    expect(second.planHash).not.toBe(first.planHash);
    expect(await say(handle, 'confirm', { step: 'unfreeze', by: 'carol' })).toMatchObject({ accepted: false });
    expect(stepOf(second, 'cleanup.data')).toMatchObject({ state: 'pending', demands: { choices: ['done'] } });
    expect(stepOf(second, 'cleanup.evidence').state).toBe('confirmed');
    await answered(world, handle, 'unfreeze');
    await say(handle, 'confirm', { step: 'unfreeze', by: 'carol', data: { scopes: ['merges', 'claims'] } });
    await world.until(handle, 'partly unfrozen', (state) => state.incidentCommand?.frozen.length === 2);
    expect(await frozen(plot, 'merges')).toMatchObject({ code: 0 });

    await waitsFor(world, handle, 'unfreeze');
    await escalate(handle, 'l3Rollback');
    const third = await waitsFor(world, handle, 'target');
    expect(third).toMatchObject({ kind: 'l3Rollback', incidentCommand: { frozen: ['merges', 'claims', 'promotions', 'deployments'] } });
    for (const scope of ['merges', 'deployments']) expect(await frozen(plot, scope)).toMatchObject({ code: 3 });
    // Frozen before anybody is asked, or anything is done.
    const types = (await world.store.entriesOf(third.rollbackId)).map((one) => JSON.parse(one.body) as Record<string, unknown>);
    expect(types.filter((one) => ['freeze', 'unfreeze', 'replanned'].includes(String(one['type']))).map((one) => one['type'])).toEqual([
      'freeze',
      'replanned',
      'unfreeze',
      'replanned',
      'freeze',
    ]);
    const end = await answered(world, handle);
    expect(end.incidentCommand?.frozen).toEqual([]);
    expect(await frozen(plot, 'deployments')).toMatchObject({ code: 0 });
    await expectClean(end);
  }, 120_000);
});

describe.concurrent('a level that cannot be planned', () => {
  const ops = (sql: string, values: readonly unknown[] = []): Promise<unknown> => queryAt(world.services.databaseUrl, sql, values);
  const inverseIs = (sql: string): Promise<unknown> =>
    ops(`UPDATE ops.migration_history SET rollback_script = $1 WHERE environment = 'no' AND migration_name = $2`, [sql, COUPON]);

  it('is refused with the way out, changes nothing, and level 1 goes on; by hand it gets to its end', async () => {
    const plot = yard.plots.no;
    await plot.migrate(COUPON, UP, null);
    const handle = await plot.start();
    const before = await answered(world, handle, 'ownership');
    let refusals = 0;
    const refused = async (rule: string, words: RegExp, more: Record<string, unknown> = {}): Promise<void> => {
      expect(await escalate(handle, 'l2Rollback', more)).toMatchObject({ accepted: true });
      // A database that is away is asked for half a minute.
      const state = await world.until(handle, `refused: ${words.source}`, (one) => one.refusals.length > refusals, 60_000);
      refusals = state.refusals.length;
      expect(state).toMatchObject({ kind: 'l1Rollback', planHash: before.planHash, state: 'waiting', incidentCommand: { level: 1 } });
      expect(state.refusals.at(-1)).toMatchObject({ rule, by: 'carol', message: 'escalate', explanation: expect.stringMatching(words) as string });
      expect(stepOf(state, 'ownership').state).toBe('waiting');
      expect((await world.store.claims({ environment: 'no' })).map((one) => one.component).toSorted()).toEqual(['@INC-no', 'no']);
    };
    const out = '--recover DATABASE=backup, a time, or by-hand';
    await refused('inverse', new RegExp(`^not escalated to l2Rollback: ${COUPON} of main has no recorded inverse; .*${out}`));
    const shown = await world.cli(['show', handle.workflowId]);
    expect(shown.stdout).toContain('has no recorded inverse');
    expect(shown.stdout).toContain('--recover');

    await plot.record(COUPON, UP, INVERSE);
    await inverseIs('DROP TABLE orders;');
    await refused('inverse', /is not what was recorded: somebody has changed it; .*--recover/);
    await inverseIs(INVERSE);

    await plot.apply('20260113000001_stray', 'ALTER TABLE orders ADD COLUMN stray int');
    await refused('inverse', /20260113000001_stray is applied to main since the target, and nobody has recorded it .*--recover/);
    await plot.record('20260113000001_stray', 'ALTER TABLE orders ADD COLUMN stray int', null, 'other');
    await refused('inverse', /was applied by other, which is not part of this rollback.*name it as well/);
    await plot.query(`DELETE FROM supabase_migrations.schema_migrations WHERE version = '20260113000001_stray'`);

    await plot.query(`UPDATE supabase_migrations.schema_migrations SET statements = '{"drop table orders"}' WHERE version = $1`, [COUPON]);
    await refused('inverse', /is not what was recorded: the ledger of main has another hash; .*--recover/);
    await plot.query('UPDATE supabase_migrations.schema_migrations SET statements = $2 WHERE version = $1', [COUPON, [UP]]);

    const url = join(world.folder, 'no.db');
    const address = await readFile(url, 'utf8');
    await writeFile(url, 'postgres://shop:canary-password@127.0.0.1:1/shop');
    await refused('platform-unavailable', /the database main cannot be looked at/);
    expect(JSON.stringify(await world.state(handle))).not.toContain('canary-password');
    await refused('recover', /there is no database mian in no; there is main/, { recover: { mian: 'by-hand' } });
    await refused('recover', /cannot be recovered from backup.*by-hand/, { recover: { main: 'backup' } });

    // With the database away still, and an inverse that cannot be trusted: people go back with it.
    expect(await say(handle, 'confirm', { step: 'cleanup.evidence', by: 'dora', choice: 'not-applicable', note: 'none was touched' })).toMatchObject({
      accepted: true,
    });
    const told = await world.cli([
      'escalate',
      handle.workflowId,
      '--to',
      'l2Rollback',
      '--recover',
      'main=by-hand',
      '--reason',
      'orders are gone',
      '--by',
      'carol',
    ]);
    expect(told, told.stderr).toMatchObject({ code: 0 });
    const grown = await waitsFor(world, handle, 'target');
    expect(grown).toMatchObject({ kind: 'l2Rollback', incidentCommand: { level: 2 } });
    expect(grown.steps.filter((step) => step.place?.startsWith('database/') === true)).toEqual([]);
    expect(stepOf(grown, 'by-hand.main')).toMatchObject({ mode: 'manual', owner: 'data-evidence-lead', mandatory: true });
    await say(handle, 'confirm', { step: 'target', by: 'carol', plan: grown.planHash });
    await waitsFor(world, handle, 'by-hand.main');
    const byHand = { step: 'by-hand.main', by: 'dora', note: 'dropped the column in psql' };
    expect(await say(handle, 'confirm', byHand)).toMatchObject({ accepted: false, refusal: { rule: 'evidence' } });
    expect(await say(handle, 'confirm', { ...byHand, by: 'abe', evidence: ['repair-notes=x', 'tenant-isolation-test=y'] })).toMatchObject({ accepted: false });
    const end = await answered(world, handle);
    await writeFile(url, address);
    expect(await plot.columns()).toContain('coupon');
    await expectClean(end);
  }, 150_000);
});
