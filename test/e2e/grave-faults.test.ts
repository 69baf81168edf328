/** What goes wrong at levels 2 and 3, on real parts: nothing is made worse, nothing is told that is not so, and there is a way on [001 steps 3c to 3e]. */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RollbackState } from '../../model/state.ts';
import { queryAt } from '../store/database.ts';
import { appendEvidence } from '../../client/demo/ledgered-house.ts';
import { badCycle, EXPOSED, MIGRATION, NAMES } from '../support/grave.ts';
import { signRows, startInput, stepOf, waitsFor } from '../support/incident.ts';
import { answered, graveyard, say, type Graveyard, type Plot } from '../support/plots.ts';
import type { Ran, World } from '../support/world.ts';

let yard: Graveyard<'undone' | 'rows' | 'chained' | 'keyed'>;
let world: World;
beforeAll(async () => {
  yard = await graveyard({ undone: [], rows: [], chained: [], keyed: [] });
  ({ world } = yard.grave);
}, 180_000);
afterAll(() => yard.close());

const confirm = (handle: WorkflowHandle, step: string, by: string, more: Record<string, unknown> = {}) => say(handle, 'confirm', { step, by, ...more });
const decide = (handle: WorkflowHandle, step: string, by: string, action: string, more: Record<string, unknown> = {}) =>
  say(handle, 'decide', { step, by, action, reason: 'seen to', ...more });
const stoppedBy = (handle: WorkflowHandle, step: string, type: string): Promise<RollbackState> =>
  world.until(handle, `stopped by ${step}: ${type}`, (state) => state.state === 'stopped' && stepOf(state, step).failure?.type === type, 60_000);
/** Its clear words, and nothing else of the answer. */
const refusedFor = async (reply: ReturnType<typeof say>): Promise<string | undefined> => (await reply).refusal?.rule;
async function expectClean(state: RollbackState): Promise<void> {
  expect(state).toMatchObject({ state: 'closed', record: { behind: false } });
  const audited = await world.cli(['audit', state.id]);
  expect(audited, audited.stdout).toMatchObject({ code: 0 });
}
const report = async (state: RollbackState): Promise<string> => {
  const ran: Ran = await world.cli(['report', state.id]);
  expect(ran, ran.stderr).toMatchObject({ code: 0 });
  return ran.stdout;
};
const loseOrders = (plot: Plot): Promise<unknown> => plot.query('DELETE FROM orders WHERE id BETWEEN 41 AND 60');

describe.concurrent('[001 step 3c] schema', () => {
  const [NOTE, COUPON] = ['20260111000001_note', '20260112000001_coupon'];
  const historyOf = async (name: string) =>
    (
      await queryAt<Record<string, unknown>>(
        world.services.databaseUrl,
        `SELECT rollback_successful, error_message, rolled_back_at FROM ops.migration_history WHERE environment = 'undone' AND migration_name = $1`,
        [name],
      )
    )[0];

  it('a long lock is told by who holds it; more rows than were approved are asked about anew; an inverse that fails half-way leaves nothing, and a person finishes it', async () => {
    const plot = yard.plots.undone;
    await plot.migrate(NOTE, 'ALTER TABLE orders ADD COLUMN note text', 'ALTER TABLE orders DROP COLUMN note; ALTER TABLE orders DROP CONSTRAINT never_there;');
    await plot.migrate(COUPON, 'ALTER TABLE orders ADD COLUMN coupon text', 'ALTER TABLE orders DROP COLUMN coupon;');
    await plot.query(`UPDATE orders SET coupon = 'SPRING' WHERE id <= 7`);
    const what = ['start', 'l2Rollback', '--environment', 'undone', '--component', 'undone', '--to', 'v1.0.0', '--incident', 'INC-undone', '--severity', 'P1'];
    const started = await world.cli([...what, '--cause', 'reliability-regression', '--reason', 'x', '--impact', 'y', '--contact', 'z', '--by', 'carol']);
    expect(started, started.stderr).toMatchObject({ code: 0 });
    const handle = world.client.workflow.getHandle(plot.idOf('l2Rollback'));
    const undo = `undo.main.${COUPON}`;
    const before = await answered(world, handle, undo);
    expect(stepOf(before, undo).destroys).toEqual([{ what: 'column public.orders.coupon', rows: 7 }]);

    // The shop is in the middle of something long.
    const shop = new Client({ connectionString: plot.url, application_name: 'checkout' });
    await shop.connect();
    try {
      await shop.query('BEGIN');
      await shop.query(`UPDATE orders SET coupon = 'AUTUMN' WHERE id BETWEEN 8 AND 10`);
      await confirm(handle, undo, 'dora', { plan: before.planHash });
      const held = await stoppedBy(handle, undo, 'Conflict');
      expect(held.stopped).toMatch(/tried three times: it is held by pid \d+ \(application checkout, .*idle in transaction.*; nothing was changed/);
      await shop.query('COMMIT');
    } finally {
      await shop.end();
    }
    expect(await plot.columns()).toContain('coupon');
    await decide(handle, undo, 'dora', 'retry');
    const again = await waitsFor(world, handle, undo);
    expect(stepOf(again, undo)).toMatchObject({ destroys: [{ rows: 10 }], title: expect.stringMatching(/with 10 rows/) as string });
    expect(again.planHash).not.toBe(before.planHash);
    expect(await plot.columns()).toContain('coupon');
    expect(await refusedFor(confirm(handle, undo, 'dora', { plan: before.planHash }))).toBe('stale-plan');
    await confirm(handle, undo, 'dora', { plan: again.planHash });

    const noted = await waitsFor(world, handle, `undo.main.${NOTE}`);
    expect(stepOf(noted, undo)).toMatchObject({ state: 'done', receipt: { after: { destroyed: [{ rows: 10 }] } } });
    expect(await historyOf(COUPON)).toMatchObject({ rollback_successful: true, error_message: null });
    await confirm(handle, `undo.main.${NOTE}`, 'dora', { plan: noted.planHash });
    const half = await stoppedBy(handle, `undo.main.${NOTE}`, 'PlatformFailed');
    expect(half.stopped).toMatch(/constraint "never_there".*does not exist; nothing was changed/);
    expect(await plot.columns()).toContain('note');
    expect(await plot.ledger()).toContain(NOTE);
    expect(await historyOf(NOTE)).toMatchObject({
      rollback_successful: false,
      rolled_back_at: null,
      error_message: expect.stringMatching(/never_there/) as string,
    });

    // Whoever says that it is done is believed as far as the ledger agrees.
    await decide(handle, `undo.main.${NOTE}`, 'dora', 'done');
    const disagreed = await world.until(handle, 'disagreed with', (state) => state.refusals.some((one) => one.rule === 'inspection-disagrees'));
    expect(stepOf(disagreed, `undo.main.${NOTE}`).state).toBe('failed');
    await plot.query('ALTER TABLE orders DROP COLUMN note');
    await plot.query('DELETE FROM supabase_migrations.schema_migrations WHERE version = $1', [NOTE]);
    await decide(handle, `undo.main.${NOTE}`, 'dora', 'done');
    const end = await answered(world, handle);
    expect(stepOf(end, `undo.main.${NOTE}`)).toMatchObject({ state: 'done', receipt: { after: { byHand: true } } });
    expect(await historyOf(NOTE)).toMatchObject({ rollback_successful: true, error_message: 'undone by hand' });
    expect(end.outcome).toBe('rolled-back');
    await expectClean(end);
  }, 150_000);
});

describe.concurrent('[001 step 3c] rows', () => {
  it('of the tenant alone come back, and none over what was made anew; what the house’s checks find is nobody’s to accept', async () => {
    const plot = yard.plots.rows;
    await loseOrders(plot);
    await plot.query(`INSERT INTO orders VALUES (41, 'globex', 'made-anew', 1), (42, 'acme', 'made-anew-too', 1)`);
    await plot.query(`INSERT INTO orders VALUES (901, 'nobody', 'request-901', 1)`);
    const handle = await plot.start('l2Rollback', { tenant: 'acme' });
    const asked = await answered(world, handle, 'restore.main.orders');
    expect(asked.tenant).toBe('acme');
    expect(asked.warnings.join('\n')).toMatch(/before anything was changed in main: tenant-isolation finds 1 violation/);
    expect(stepOf(asked, 'restore.main.orders').title).toBe(
      'Put back 9 deleted rows of orders (acme 9) from the audit log; 1 that were made anew since stay as they are',
    );
    expect(asked.warnings).toContainEqual(expect.stringMatching(/^9 deleted rows of orders belong to other tenants/));
    // Written late, of what was deleted in the window: one more than was counted.
    const [{ at } = { at: '' }] = await plot.query<{ at: string }>(`SELECT min(created_at)::text AS at FROM audit_log`);
    await plot.query(`DELETE FROM orders WHERE id = 40`);
    await plot.query(`UPDATE audit_log SET created_at = $1 WHERE old_data ->> 'id' = '40'`, [at]);
    await confirm(handle, 'restore.main.orders', 'dora', { plan: asked.planHash });
    const more = await world.until(
      handle,
      'asked about anew',
      (state) => state.planHash !== asked.planHash && stepOf(state, 'restore.main.orders').state === 'waiting',
    );
    expect(stepOf(more, 'restore.main.orders').title).toBe(
      'Put back 10 deleted rows of orders (acme 10) from the audit log; 1 that were made anew since stay as they are',
    );
    expect(more.warnings.join('\n')).toMatch(/10 rows of orders would be put back, and 9 were approved; nothing was changed/);
    expect(await plot.query('SELECT id FROM orders WHERE id = 44')).toEqual([]);
    await confirm(handle, 'restore.main.orders', 'dora', { plan: more.planHash });
    const violated = await stoppedBy(handle, 'invariants.main', 'InvariantViolated');
    expect(stepOf(violated, 'restore.main.orders').receipt).toMatchObject({ after: { restored: 10, changed: 1, tenant: 'acme' } });
    expect(violated.warnings.join('\n')).toMatch(/1 rows of orders were made anew since they were deleted, and were left as they are/);
    const there = await plot.query<{ id: string; cents: number }>('SELECT id, cents FROM orders WHERE id BETWEEN 41 AND 60 ORDER BY id');
    expect(there.map((one) => Number(one.id))).toEqual([41, 42, 44, 46, 48, 50, 52, 54, 56, 58, 60]);
    expect(there.filter((one) => one.cents === 1).map((one) => Number(one.id))).toEqual([41, 42]);

    expect(violated.stopped).toMatch(/in main, tenant-isolation finds 1 violation/);
    for (const by of ['dora', 'carol']) expect(await refusedFor(decide(handle, 'invariants.main', by, 'skip', { due: '2099-01-01' }))).toBe('not-skippable');
    await decide(handle, 'invariants.main', 'dora', 'retry');
    await world.until(handle, 'found violated again', (state) => state.state === 'stopped' && stepOf(state, 'invariants.main').attempts > 1);
    await plot.query('DELETE FROM orders WHERE id = 901');
    await decide(handle, 'invariants.main', 'dora', 'retry');
    const end = await answered(world, handle);
    expect(stepOf(end, 'invariants.main')).toMatchObject({ state: 'done', receipt: { after: { before: [{ violations: 1 }, { violations: 0 }] } } });
    expect(await report(end)).toMatch(/made anew/);
    await expectClean(end);
  }, 120_000);
});

describe.concurrent('[001 step 3d] evidence', () => {
  it('with a gap from before is marked, told and not repaired; what somebody rewrites meanwhile stops it, and nobody can accept that', async () => {
    const plot = yard.plots.chained;
    await appendEvidence(plot.query, 8);
    const forged = (sql: string): Promise<unknown> =>
      plot.query(`ALTER TABLE evidence DISABLE TRIGGER refuse; ${sql}; ALTER TABLE evidence ENABLE TRIGGER refuse`);
    await forged('DELETE FROM evidence WHERE seq = 4');
    await loseOrders(plot);
    const handle = await plot.start('l3Rollback');
    await waitsFor(world, handle, 'credentials');
    const signers = { sam: list({ rotate: ['payments'] }), sid: list({ unaffected: ['payments'] }) };
    const replies = await Promise.all(Object.entries(signers).map(([by, signed]) => confirm(handle, 'credentials', by, signed)));
    expect(replies.filter((reply) => reply.accepted)).toHaveLength(1);
    const [won, lost] = replies[0]?.accepted ? ['sam', 'sid'] : ['sid', 'sam'];
    const said = {
      rule: 'already-answered',
      by: lost,
      explanation: expect.stringMatching(new RegExp(`^${won} has signed another list already, .*backout stop l3Rollback/chained/INC-chained`)) as string,
    };
    expect(replies.find((reply) => !reply.accepted)?.refusal).toMatchObject(said);
    const asked = await answered(world, handle, 'restore.main.orders');
    expect(stepOf(asked, 'issue.payments').state).toBe(won === 'sam' ? 'done' : 'skipped');
    expect(stepOf(asked, 'evidence.trail').receipt).toMatchObject({ after: { entries: 7, broken: expect.any(Number) as number } });
    expect(asked.warnings.join('\n')).toMatch(/trail was broken before anything was appended: .*it is recorded, and not repaired/);
    const [{ body } = { body: '' }] = await plot.query<{ body: string }>('SELECT body FROM evidence WHERE seq = 2');
    await forged(`UPDATE evidence SET body = '{"run":"another"}' WHERE seq = 2`);
    await confirm(handle, 'restore.main.orders', 'dora', { plan: asked.planHash });
    const broken = await stoppedBy(handle, 'chain.trail', 'ChainBroken');
    expect(broken.stopped).toMatch(/entries of trail that were there before are not what they were: 7 then, 7 now/);
    for (const by of ['dora', 'carol', 'sam']) expect(await refusedFor(decide(handle, 'chain.trail', by, 'skip', { due: '2099-01-01' }))).toBe('not-skippable');
    expect(await refusedFor(decide(handle, 'chain.trail', 'dora', 'done'))).toBeUndefined();
    await world.until(handle, 'disagreed with', (state) => state.refusals.some((one) => one.rule === 'inspection-disagrees'));
    await forged(`UPDATE evidence SET body = '${body}' WHERE seq = 2`);
    await decide(handle, 'chain.trail', 'dora', 'retry');
    const end = await answered(world, handle);
    expect(stepOf(end, 'chain.trail')).toMatchObject({ state: 'done', receipt: { after: { entries: 8, before: { entries: 7 } } } });
    expect(end.warnings.join('\n')).toMatch(/trail was broken before this incident was rolled back .*and is so still: it is recorded, and not repaired/);
    const marks = await plot.query<{ seq: string; body: string }>('SELECT seq, body FROM evidence WHERE operation IS NOT NULL');
    expect(marks).toMatchObject([{ seq: '9', body: expect.stringContaining('INC-chained') as string }]);
    expect(await plot.query('SELECT seq FROM evidence WHERE seq = 4')).toEqual([]);
    expect(await report(end)).toMatch(/broken before, and not repaired/i);
    await expectClean(end);
  }, 120_000);
});

const list = (more: Record<string, unknown>) => ({ note: 'seen in a log', data: { rotate: [], revokeFirst: [], unaffected: [], ...more } });

describe.concurrent('[001 step 3e] credentials', () => {
  it('are moved by a Security Lead alone; a key that does not work is taken out again, and one that is used elsewhere is not revoked unsaid', async () => {
    const plot = yard.plots.keyed;
    await loseOrders(plot);
    const handle = await plot.start('l3Rollback');
    await waitsFor(world, handle, 'credentials');
    // The commander may not appoint one, nor answer, nor decide; by signal, which answers nothing.
    await handle.signal('assign', { role: 'security-lead', to: 'carol', by: 'carol', reason: 'I do it myself' });
    await handle.signal('confirm', { step: 'credentials', by: 'carol', role: 'security-lead', ...list({ rotate: ['payments'] }) });
    await handle.signal('decline', { step: 'credentials', by: 'carol', reason: 'no time' });
    const refused = await world.until(handle, 'refused', (state) => state.refusals.length >= 3);
    expect(refused.refusals.map((one) => one.rule)).toEqual(['security-lead', 'security-lead', 'security-lead']);
    expect(stepOf(refused, 'credentials').state).toBe('waiting');

    const refuses = join(world.folder, 'refuse-proof-keyed');
    await writeFile(refuses, '');
    expect(await confirm(handle, 'credentials', 'sam', list({ rotate: ['payments'] }))).toMatchObject({ accepted: true });
    await confirm(handle, 'target', 'carol', { plan: refused.planHash });
    const unproven = await stoppedBy(handle, 'install.payments', 'CredentialRejected');
    expect(unproven.stopped).toMatch(/prove-payments ended with 1\); PAYMENTS_KEY of .* has the earlier one again/);
    expect(await readFile(join(world.folder, 'keyed.env'), 'utf8')).toContain(plot.exposed);
    expect(await plot.charges()).toBe(200);
    await handle.signal('decide', { step: 'install.payments', action: 'retry', by: 'carol', reason: 'I say so' });
    await handle.signal('decide', { step: 'install.payments', action: 'skip', due: '2099-01-01', by: 'carol', reason: 'I say so' });
    const still = await world.until(handle, 'refused again', (state) => state.refusals.length >= 5);
    expect(still.refusals.slice(3).map((one) => one.rule)).toEqual(['security-lead', 'security-lead']);
    expect(stepOf(still, 'install.payments')).toMatchObject({ state: 'failed', attempts: stepOf(unproven, 'install.payments').attempts });
    await rm(refuses);
    // Somebody whom the list does not name charges all the time.
    const used = await (async () => {
      const ended = new AbortController();
      const charging = (async () => {
        while (!ended.signal.aborted) await plot.keys.charges(plot.exposed, 'acme');
      })();
      try {
        await decide(handle, 'install.payments', 'sam', 'retry');
        return await stoppedBy(handle, 'revoke.payments', 'StillUsed');
      } finally {
        ended.abort();
        await charging;
      }
    })();
    expect(await readFile(join(world.folder, 'keyed.env'), 'utf8')).not.toContain(plot.exposed);
    expect(used.stopped).toMatch(/the old payments was used after the new one was put in place: key-2025 by shop at 2/);
    expect(await refusedFor(decide(handle, 'revoke.payments', 'carol', 'retry', { analysis: 'never mind' }))).toBe('security-lead');
    // Of her decision to retry, only what was used after it stands in the way.
    const retried = async (more: Record<string, unknown>): Promise<void> => {
      await say(handle, 'stop', { by: 'carol', reason: 'a moment' });
      await decide(handle, 'revoke.payments', 'sam', 'retry', more);
      expect(await plot.keys.charges(plot.exposed, 'acme')).toBe(200);
      await say(handle, 'resume', { by: 'carol', reason: 'go' });
    };
    await retried({});
    const again = await world.until(handle, 'found used again', (state) => state.stopped?.startsWith('revoke.payments failed') === true);
    expect(stepOf(again, 'revoke.payments')).toMatchObject({ failure: { type: 'StillUsed' }, attempts: 2 });
    await retried({ analysis: 'the batch job of finance, which is switched off' });
    const end = await answered(world, handle);
    expect(['issue', 'install', 'revoke', 'scope'].map((operation) => stepOf(end, `${operation}.payments`).state)).toEqual(Array(4).fill('done'));
    expect([await plot.keys.charges(plot.exposed, 'acme'), await plot.charges()]).toEqual([401, 200]);
    await expectClean(end);
    await expectSecret(end, plot.exposed);
  }, 150_000);
});

const expectSecret = async (state: RollbackState, secret: string): Promise<void> => {
  const history = JSON.stringify(await world.client.workflow.getHandle(state.id).fetchHistory());
  const all = [history, JSON.stringify(await world.store.entriesOf(state.rollbackId)), JSON.stringify(state), await world.workerLog()];
  for (const text of all) expect(text).not.toContain(secret);
  expect(history).not.toContain(Buffer.from(secret).toString('base64').slice(4, 20));
};

describe('[001 step 3e] an L3 from the start', () => {
  const incident = (kind: string, id: string, components: readonly string[]): string[] => {
    const { cause, reason, impact, contact } = startInput() as Record<string, string>;
    const to = components.flatMap((name) => ['--to', `${name}=v1.0.0`]);
    const what = [kind, '--environment', 'production', '--component', ...components, ...to, '--incident', id, '--severity', 'P1'];
    return [...what, '--cause', cause ?? '', '--reason', reason ?? '', '--impact', impact ?? '', '--contact', contact ?? '', '--by', 'carol'];
  };
  const start = (...of: Parameters<typeof incident>): Promise<Ran> => world.cli(['start', ...incident(...of)]);
  const env = (): string => join(world.folder, 'api.env');

  it('revokes an exploited key before the new one is there, where she says so; it stays under 250 events', async () => {
    const { grave } = yard;
    await writeFile(env(), `${await readFile(env(), 'utf8')}LEGACY_KEY=${EXPOSED}\nPAY_URL=https://x:${EXPOSED}@pay.example/v1\n`);
    await badCycle(grave);
    expect(await start('l3Rollback', 'INC-7', NAMES)).toMatchObject({ code: 0 });
    const handle = world.client.workflow.getHandle('l3Rollback/production/INC-7');
    const end = await answered(world, handle, undefined, { credentials: list({ revokeFirst: ['payments'], unaffected: ['google'] }) });
    expect(end).toMatchObject({ outcome: 'rolled-back', kind: 'l3Rollback', incidentCommand: { level: 3 } });
    expect(stepOf(end, `undo.main.${MIGRATION}`).state).toBe('done');
    const at = (id: string): string[] => [stepOf(end, id).startedAt ?? '', stepOf(end, id).endedAt ?? ''];
    expect(at('revoke.payments')[1] ?? '' <= (at('issue.payments')[0] ?? '')).toBeTruthy();
    expect(stepOf(end, 'revoke.payments').receipt).toMatchObject({
      after: { revoked: [{ generation: 'key-2025', proof: 'service' }], order: expect.stringMatching(/old one first/) as string },
    });
    const files = await Promise.all(
      (await readdir(grave.folder)).filter((name) => /^key-.*\.json$/.test(name)).map(async (name) => readFile(join(grave.folder, name), 'utf8')),
    );
    const keys = files.map((text) => JSON.parse(text) as { state: string; issuedAt: string; revokedAt?: string }); // Written by the authority.
    const [old, fresh] = [keys.find((one) => one.state === 'revoked'), keys.find((one) => one.state === 'live')];
    expect(keys).toHaveLength(2);
    expect(Date.parse(old?.revokedAt ?? '')).toBeLessThanOrEqual(Date.parse(fresh?.issuedAt ?? ''));
    expect([await grave.keys.charges(EXPOSED, 'acme'), await grave.charges()]).toEqual([401, 200]);

    const { raw } = await handle.describe();
    const [events, bytes] = [Number(raw.workflowExecutionInfo?.historyLength), Number(raw.workflowExecutionInfo?.historySizeBytes)];
    process.stdout.write(`an L3 from the start: ${events} events, ${bytes} bytes\n`);
    expect(events).toBeLessThan(250);
    // 60 kB are wanted; the plan alone is ten of them, and an event without its payload is 160 bytes.
    expect(bytes).toBeLessThan(95_000);
    await expectClean(end);
    await expectSecret(end, EXPOSED);
    const kept = await readdir(join(world.folder, '.backout', 'credentials')).catch(() => []);
    expect(kept.filter((name) => name.startsWith(end.rollbackId))).toEqual([]);

    // What an owner of the database can do who takes the guards away: a revoked key would be unknown again.
    const table = 'ops.credential_generations';
    const behindTheGuards = (sql: string): Promise<unknown> =>
      queryAt(
        world.services.databaseUrl,
        `ALTER TABLE ${table} DISABLE TRIGGER USER; ${sql}; ALTER TABLE ${table} ENABLE ALWAYS TRIGGER credential_generations_only_grow`,
      );
    await behindTheGuards(`UPDATE ${table} SET credential = 'another' WHERE credential = 'payments' AND state = 'revoked'`);
    const emptied = await world.cli(['audit', '--all']);
    await behindTheGuards(`UPDATE ${table} SET credential = 'payments' WHERE credential = 'another'`);
    expect(emptied.code).toBe(1);
    expect(emptied.stdout.replaceAll(/\s+/g, ' ')).toMatch(/key-2025 of payments was revoked in production, and ops.credential_generations has no such row/);
  }, 150_000);

  it('is not brought back: a recorded configuration that carries the revoked key is not set back, a build that carries it is no target', async () => {
    await world.release('api', 'v1.1.0', false);
    const mended = (await readFile(env(), 'utf8')).replace(`LEGACY_KEY=${EXPOSED}`, 'LEGACY_KEY=none').replace(/PAY_URL=.*/, 'PAY_URL=none');
    await writeFile(env(), mended);
    expect(await start('l1Rollback', 'INC-8', ['api'])).toMatchObject({ code: 0 });
    const handle = world.client.workflow.getHandle('l1Rollback/production/INC-8');
    const asked = await waitsFor(world, handle, 'target');
    await confirm(handle, 'target', 'carol', { plan: asked.planHash });
    const carried = await stoppedBy(handle, 'api.config', 'RevokedCredential');
    expect(carried.stopped).toMatch(
      /the recorded configuration carries the revoked payments \(LEGACY_KEY\), the revoked payments \(PAY_URL\); nothing was set back/,
    );
    expect(stepOf(carried, 'api.config').failure?.remedy).toMatch(/set the other keys back by hand/);
    expect(await readFile(env(), 'utf8')).toContain('LEGACY_KEY=none');
    await signRows(handle);
    await decide(handle, 'api.config', 'carol', 'close');
    const end = await world.closed(handle);
    expect(end.outcome).toBe('partial');
    await expectClean(end);
    await expectSecret(end, EXPOSED);

    await world.release('api', 'v1.1.0', false);
    await writeFile(join(world.folder, 'srv/api/releases/v1.0.0/bin/settings.json'), JSON.stringify({ key: EXPOSED }));
    const carries = /v1\.0\.0 of api carries the revoked payments \(.*settings\.json\); name a version without it, or build it anew/;
    const what = ['start', 'deployRevert', '--environment', 'production', '--component', 'api', '--to', 'v1.0.0', '--cause', 'smoke-failed', '--by', 'ana'];
    const refused = await world.cli([...what, '--reason', 'checkout answers 500', '--wait=30s']);
    expect(refused, refused.stdout).toMatchObject({ code: 3 });
    const [rollback] = await world.store.rollbacks({ workflowId: 'deployRevert/production/api', limit: 1 });
    expect(JSON.stringify(await world.store.entriesOf(rollback?.rollbackId ?? ''))).toContain('revoked-credential');
    expect(refused.stdout + refused.stderr).toMatch(/carries the revoked\s+payments/);
    expect(refused.stdout + refused.stderr).not.toContain(EXPOSED);
    // Who asks in peace hears it before anything is frozen.
    const shown = await world.cli(['plan', ...incident('l1Rollback', 'INC-9', ['api'])]);
    expect((shown.stdout + shown.stderr).replaceAll(/\s+/g, ' ')).toMatch(
      /v1\.0\.0 of api carries the revoked payments \(.*settings\.json\); it would be refused once everything is frozen/,
    );
    const doctor = await world.cli(['doctor']);
    expect(doctor.code).toBe(1);
    expect(doctor.stdout.replaceAll(/\s+/g, ' ')).toMatch(/v1\.0\.0 of api carries the revoked payments \(.*settings\.json\): a rollback to it is refused/);
    // An incident is contained first, and then finds it before anything is changed [ADR 0014].
    expect(await start('l1Rollback', 'INC-9', ['api'])).toMatchObject({ code: 0 });
    const contained = world.client.workflow.getHandle('l1Rollback/production/INC-9');
    const found = await stoppedBy(contained, 'identify', 'RevokedCredential');
    expect(found.stopped).toMatch(carries);
    await decide(contained, 'identify', 'carol', 'close');
    const closed = await world.closed(contained);
    expect(await world.serves('api')).toBe('v1.1.0');
    await expectSecret(closed, EXPOSED);
  }, 120_000);
});
