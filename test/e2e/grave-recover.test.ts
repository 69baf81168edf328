/** A database is recovered beside the one in use, and switched over to, from the command line alone [004 sections 3.1 and 3.2, 001 step 3c]. */
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { switchOver } from '../../activities/incident/going-back.ts';
import { hashOfPlace } from '../../activities/incident/places.ts';
import type { Scene } from '../../activities/incident/scene.ts';
import { fieldOf } from '../../model/field.ts';
import type { RollbackState } from '../../model/state.ts';
import { loadConfig } from '../../worker/config.ts';
import { postgresTools } from '../databases/postgres-tools.ts';
import { queryAt } from '../store/database.ts';
import { Crashes, keepAWorker } from '../support/crashing-worker.ts';
import { ID, stepOf, waitsFor } from '../support/incident.ts';
import { CANARY, estate, NAMES, recoverHouse, type Estate, type House } from '../support/recover-house.ts';
import { run, type Ran } from '../support/world.ts';

const bin = await postgresTools();
const TRAIL = 'trail';

let owned: Estate;
/** Recovered from its backup, and without a table of migrations; recovered to a time. */
let [shop, market]: House[] = [];
beforeAll(async () => {
  if (bin === null) return;
  owned = await estate(bin, ['shop', 'market', TRAIL]);
  [shop, market] = await Promise.all(['shop', 'market'].map((database) => recoverHouse(owned, { database, trail: TRAIL, ledger: database === 'market' })));
}, 180_000);
afterAll(async () => {
  await Promise.all([shop?.close(), market?.close()]);
  await owned?.close();
});

/** What was said to whoever typed: no secret may be in it. */
const heard: string[] = [];
async function cli({ world }: House, args: readonly string[]): Promise<Ran> {
  const ran = await world.cli(args);
  heard.push(ran.stdout, ran.stderr);
  return ran;
}
/** As a person types it; what it refuses fails the test. */
async function say(house: House, args: readonly string[]): Promise<string> {
  const ran = await cli(house, args);
  expect(ran, `${args.join(' ')}\n${ran.stdout}${ran.stderr}`).toMatchObject({ code: 0 });
  return ran.stdout;
}
const WHY = ['--severity', 'P1', '--cause', 'reliability-regression', '--reason', 'orders are lost', '--impact', 'nobody can order', '--contact', '#inc'];
function start(house: House, kind: string, incident: string, more: readonly string[] = [], names: readonly string[] = NAMES): Promise<Ran> {
  const to = names.flatMap((name) => ['--to', `${name}=v1.0.0`]);
  return cli(house, ['start', kind, '--environment', 'production', '--component', ...names, ...to, '--incident', incident, ...WHY, '--by', 'carol', ...more]);
}
const handleOf = ({ world }: House, kind: string, incident: string): WorkflowHandle => world.client.workflow.getHandle(`${kind}/production/${incident}`);
async function confirmPlan(house: House, handle: WorkflowHandle, step: string, by: string): Promise<RollbackState> {
  const state = await waitsFor(house.world, handle, step);
  await say(house, ['confirm', handle.workflowId, '--step', step, '--plan', state.planHash ?? '', '--by', by]);
  return state;
}

async function decide(house: House, handle: WorkflowHandle, step: string, action: string, ...more: string[]): Promise<Ran> {
  return cli(house, ['decide', handle.workflowId, '--step', step, '--action', action, '--reason', 'seen to', '--by', 'dora', ...more]);
}
const failsAt = ({ world }: House, handle: WorkflowHandle, step: string): Promise<RollbackState> =>
  world.until(handle, `failed at ${step}`, (state) => state.state === 'stopped' && stepOf(state, step).state === 'failed');
const countOf = async (url: string): Promise<unknown> =>
  (
    await queryAt<{ rows: number; slow: number; last: number; nobody: number; spoilt: number }>(
      url,
      `SELECT count(*)::int AS rows, max(id)::int AS last, (count(*) FILTER (WHERE tenant = 'nobody'))::int AS nobody, (count(*) FILTER (WHERE cents = 0))::int AS spoilt,
       (SELECT count(*)::int FROM slow) AS slow FROM orders`,
    )
  )[0];
/** How often the data lead was believed about this step. */
const saidOf = (state: RollbackState, step: string): number => state.answers.filter((one) => one.name === 'confirm' && one.step === step).length;

/** As the report prints a time. */
const seconds = (iso: string): string => iso.slice(0, 19).replace('T', ' ');

/** Rows are signed with what the steps have produced, and it is unfrozen. */
async function toTheEnd(house: House, handle: WorkflowHandle, rows: readonly (readonly string[])[]): Promise<RollbackState> {
  await waitsFor(house.world, handle, 'ownership');
  const confirm = (step: string, ...more: string[]): Promise<string> => say(house, ['confirm', handle.workflowId, '--step', step, ...more]);
  for (const [step = '', ...more] of rows) await confirm(step, ...more);
  await confirm('ownership', '--data', '{"nextCycleOwner":"abe","reviewOwner":"carol"}', '--by', 'carol');
  await waitsFor(house.world, handle, 'unfreeze');
  await confirm('unfreeze', '--by', 'carol');
  return house.world.closed(handle);
}

/** The password is where it has to be, and in no history, record, log, letter or answer. */
async function expectNoSecret({ world }: House, handle: WorkflowHandle, rollbackId: string): Promise<void> {
  const history = JSON.stringify(await handle.fetchHistory()).replaceAll(/"data":"([\w+/=]+)"/g, (_, data: string) => Buffer.from(data, 'base64').toString());
  expect(history).toContain('switch.main');
  expect(history).not.toContain(CANARY);
  expect(JSON.stringify(await world.store.entriesOf(rollbackId))).not.toContain(CANARY);
  const { stdout } = await run('grep', ['-rlaF', CANARY, '.'], world.folder, process.env);
  expect(
    stdout
      .split('\n')
      .filter((line) => line !== '')
      .toSorted(),
  ).toEqual(['./api.env', './trail.env', './worker.env']);
  expect(await world.workerLog()).not.toContain(CANARY);
  expect(heard.join('\n')).not.toContain(CANARY);
}

describe.skipIf(bin === null)('from a backup [004 section 3.2]', () => {
  let house: House;
  let handle: WorkflowHandle;
  let before = '';
  beforeAll(async () => {
    house = shop as House; // Made above.
    handle = handleOf(house, 'l2Rollback', 'INC-42');
    before = await house.digest();
  });

  it('is refused when it is planned where there is no backup, and where evidence would be lost; each with the way out', async () => {
    const { world } = house;
    const dump = join(world.folder, 'main.dump');
    await rename(dump, `${dump}.away`);
    const missing = await start(house, 'l2Rollback', 'INC-40', ['--recover', 'main=backup']);
    expect(missing).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/there is no backup \.\/main\.dump; name a time or by-hand.*\n.*nothing was changed/) as string,
    });
    await rename(`${dump}.away`, dump);
    const lost = await start(house, 'l2Rollback', 'INC-41', ['--recover', 'main=backup', 'trail=backup']);
    expect(lost).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/trail holds the evidence trail, of which nothing may be lost: recover it by hand/) as string,
    });
    // Nobody can tell whether one that is down holds evidence.
    await owned.server.query('ALTER DATABASE shop ALLOW_CONNECTIONS false');
    const unknown = await start(house, 'l2Rollback', 'INC-39', ['--recover', 'main=backup']);
    await owned.server.query('ALTER DATABASE shop ALLOW_CONNECTIONS true');
    expect(unknown).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/whether main holds evidence cannot be told, so it is not recovered; say --recover main=by-hand/) as string,
    });
    const refusals = (await world.store.rollbacks({ limit: 10 })).map((one) => one.outcome);
    expect(refusals).toEqual(['refused', 'refused', 'refused']);
    await expect(house.made()).resolves.toEqual([]);
  }, 120_000);

  it('is planned with what it loses, and with a time target of half an hour; the data lead approves', async () => {
    const { world } = house;
    const begun = await start(house, 'l2Rollback', 'INC-42', ['--recover', 'main=backup']);
    expect(begun).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/switch\.main: everything written to main after \S+Z, which cannot be counted/) as string,
    });
    const planned = await confirmPlan(house, handle, 'target', 'carol');
    expect(planned.clock.targetSeconds).toBe(1_800);
    expect(planned.steps.map((step) => step.id).filter((id) => id.includes('main'))).toEqual([
      'recover.main',
      'switch.main',
      'rebuild.main.totals',
      'invariants.main',
    ]);
    for (const id of ['recover.main', 'switch.main']) expect(stepOf(planned, id)).toMatchObject({ owner: 'data-evidence-lead', approval: true });
    const waiting = await waitsFor(world, handle, 'recover.main');
    const another = await cli(house, ['confirm', handle.workflowId, '--step', 'recover.main', '--plan', waiting.planHash ?? '', '--by', 'abe']);
    expect(another).toMatchObject({ code: 3, stderr: expect.stringMatching(/data-evidence-lead/) as string });
    await expect(house.made()).resolves.toEqual([]);
    await world.endWorkers();
  }, 120_000);

  it('is made anew by who comes after a death in its midst: one, complete, the one in use untouched; what violates a check is not switched to', async (context) => {
    const { world } = house;
    const crashes = new Crashes(join(world.folder, 'crashes'), ['recover.main:word=restoring into']);
    keepAWorker(context, world, crashes.env);
    await confirmPlan(house, handle, 'recover.main', 'dora');
    const state = await failsAt(house, handle, 'recover.main');
    expect(crashes.fired()).toEqual(crashes.points);
    expect(stepOf(state, 'recover.main').failure).toMatchObject({
      type: 'InvariantViolated',
      message: 'the recovered main is not switched to: tenant-isolation finds 1 violations',
    });
    const [made = '', ...more] = await house.made();
    expect([made, more]).toEqual([`shop_backout_${state.rollbackId.slice(0, 8)}`, []]);
    const recovered = owned.server.url(made, 'shop');
    await expect(countOf(recovered)).resolves.toEqual({ rows: 100, last: 100, nobody: 1, spoilt: 0, slow: 300 });
    expect([await house.digest(), await house.isSealed(), await house.addresses()]).toEqual([before, false, [house.url, house.url]]);
    expect(stepOf(state, 'switch.main').state).toBe('pending');
    await queryAt(recovered, `UPDATE orders SET tenant = 'acme' WHERE id = 7`);
    expect(await decide(house, handle, 'recover.main', 'retry', '--analysis', 'its tenant was mended')).toMatchObject({ code: 0 });
    const asked = await waitsFor(world, handle, 'switch.main');
    expect(stepOf(asked, 'recover.main')).toMatchObject({ state: 'done', receipt: { after: { database: made, already: true, newestMigration: null } } });
    expect([saidOf(asked, 'recover.main'), await house.made(), await house.isSealed()]).toEqual([1, [made], false]);
  }, 120_000);

  it('is switched over to once, whoever dies between the seal and the last place; nobody is asked again', async (context) => {
    const { world } = house;
    const crashes = new Crashes(join(world.folder, 'crashes-switch'), ['recover.main:after-seal', 'switch.main:after-write']);
    const { deaths } = keepAWorker(context, world, crashes.env);
    await confirmPlan(house, handle, 'switch.main', 'dora');
    const half = world.until(handle, 'at the rows', (state) => stepOf(state, 'switch.main').state === 'done', 60_000);
    const state = await half;
    expect([crashes.fired(), deaths]).toEqual([crashes.points, ['SIGKILL', 'SIGKILL']]);
    const [made = ''] = await house.made();
    const place = `127.0.0.1:${owned.server.port}/${made}`;
    await expect(house.places()).resolves.toEqual([place, place]);
    for (const name of NAMES)
      expect(new Set((await readFile(join(world.folder, `${name}.reloaded`), 'utf8')).trim().split('\n')), name).toEqual(new Set([place]));
    expect(saidOf(state, 'switch.main')).toBe(1);
    expect([await house.isSealed(), await house.digest()]).toEqual([true, before]);
    await expect(queryAt(house.url, 'DELETE FROM orders')).rejects.toThrow(/read-only transaction/);
    await waitsFor(world, handle, 'ownership');
    await expect(house.app('SELECT sum(cents)::int AS cents FROM totals')).resolves.toEqual([{ cents: 5_050 }]);
  }, 120_000);

  it('is proven, told with what was lost and kept, and audited; the address is nowhere but where it is read', async () => {
    const { world } = house;
    await world.worker();
    const end = await toTheEnd(house, handle, [
      ['cleanup.data', '--choice', 'done', '--by', 'dora'],
      ['cleanup.evidence', '--choice', 'not-applicable', '--note', 'none was written', '--by', 'dora'],
      ['cleanup.credentials', '--choice', 'not-applicable', '--note', 'none was exposed', '--by', 'sam'],
    ]);
    expect(end).toMatchObject({ outcome: 'rolled-back', remains: [], clock: { breached: false } });
    expect(stepOf(end, 'invariants.main')).toMatchObject({ state: 'done', receipt: { after: { checks: [{ violations: 0 }, { violations: 0 }] } } });
    const report = await say(house, ['report', handle.workflowId, '--format', 'markdown']);
    const asOf = fieldOf(stepOf(end, 'recover.main').receipt?.after, 'asOf');
    expect(report).toContain(`LOST BY DESIGN: everything written to main after ${seconds(String(asOf))} UTC`);
    expect(report).toMatch(/it is still in shop, which is kept, read-only \| dora, done/);
    expect(report).toMatch(/options\.url still names the main that was left: .*set it to the recovered one/);
    expect(report).toContain('| Decide what becomes of shop, the main that was in use: it is kept, read-only | dora |');
    await say(house, ['audit', handle.workflowId]);
    await expectNoSecret(house, handle, end.rollbackId);
  }, 120_000);

  it('a later rollback of level 1 leaves the address as it is; a higher one is refused until the configuration names the one in use', async () => {
    const { world } = house;
    const held = await house.addresses();
    const path = join(world.folder, 'api.env');
    await world.release('api', 'v1.1.0', false);
    await writeFile(path, (await readFile(path, 'utf8')).replace('RATE_LIMIT=100', 'RATE_LIMIT=1'));
    const later = handleOf(house, 'l1Rollback', 'INC-43');
    expect(await start(house, 'l1Rollback', 'INC-43', [], ['api'])).toMatchObject({ code: 0 });
    await confirmPlan(house, later, 'target', 'carol');
    const state = await waitsFor(world, later, 'ownership');
    expect(stepOf(state, 'api.config')).toMatchObject({ state: 'done', receipt: { before: [{ what: 'config RATE_LIMIT', now: '1', then: '100' }] } });
    expect(await readFile(path, 'utf8')).toMatch(/^RATE_LIMIT=100$/m);
    await expect(house.addresses()).resolves.toEqual(held);
    const escalate = (...more: string[]): Promise<string> =>
      say(house, ['escalate', later.workflowId, '--to', 'l2Rollback', '--reason', 'rows too', '--by', 'carol', ...more]);
    await escalate();
    const refused = await world.until(later, 'refused', (one) => one.refusals.length > 0);
    expect(refused).toMatchObject({
      kind: 'l1Rollback',
      refusals: [
        {
          rule: 'recover',
          explanation: expect.stringMatching(/reference\.0 holds the address of another database than databases\.main\.options\.url/) as string,
        },
      ],
    });

    // As the refusal says; then nobody wants it: left out it would keep the freeze for good, so it is ended, and nothing was made.
    await world.endWorkers();
    await world.worker({ SHOP_DB: held[0] });
    await world.until(later, 'heard of by that worker', () => true);
    await escalate('--recover', 'main=backup');
    await confirmPlan(house, later, 'target', 'carol');
    await waitsFor(world, later, 'recover.main');
    await say(house, ['decline', later.workflowId, '--step', 'recover.main', '--reason', 'not again', '--by', 'dora']);
    await world.until(later, 'stopped at recover.main', (one) => one.state === 'stopped' && stepOf(one, 'recover.main').state === 'declined');
    const left = await decide(house, later, 'recover.main', 'skip', '--due', '2099-01-01');
    expect(left).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/could not lift its freeze: recover it by hand.*--action done.*--action close/) as string,
    });
    expect([await house.addresses(), (await house.made()).length]).toEqual([held, 1]);
  }, 120_000);
});

describe.skipIf(bin === null)('to a time [004 section 3.1]', () => {
  let house: House;
  let handle: WorkflowHandle;
  let before = '';
  beforeAll(async () => {
    house = market as House; // Made above.
    handle = handleOf(house, 'l1Rollback', 'INC-42');
    before = await house.digest();
  });
  const recovered = (): string => house.url.replace(`:${owned.server.port}/`, `:${house.port}/`);
  const retry = (): Promise<Ran> => decide(house, handle, 'switch.main', 'retry', '--analysis', 'mended');

  it('a level 1 that has held grows: a time outside of the archive is refused with the way out, and nothing changes', async () => {
    const { world } = house;
    expect(await start(house, 'l1Rollback', 'INC-42')).toMatchObject({ code: 0 });
    const first = await confirmPlan(house, handle, 'target', 'carol');
    await waitsFor(world, handle, 'cleanup.data');
    const escalate = (time: string): Promise<string> =>
      say(house, ['escalate', ID, '--to', 'l2Rollback', '--recover', `main=${time}`, '--reason', 'orders are gone', '--by', 'carol']);
    for (const [time, why] of [
      [owned.at.early, /lies before the end of the base backup \(\S+\); name another time, backup or by-hand/],
      ['2099-01-01T00:00:00Z', /lies after the end of the archive \(last commit \S+\); name another time/],
    ] as const) {
      await escalate(time);
      const refused = await world.until(handle, 'refused', (state) => state.refusals.some((one) => why.test(one.explanation)));
      expect(refused).toMatchObject({ kind: 'l1Rollback', planHash: first.planHash, clock: { targetSeconds: 900 } });
    }
    await escalate(owned.at.good);
    const grown = await waitsFor(world, handle, 'target');
    expect(grown).toMatchObject({ kind: 'l2Rollback', rollbackId: first.rollbackId, clock: { targetSeconds: 1_800 } });
    expect(stepOf(grown, 'recover.main').title).toContain(`what was written after ${owned.at.good} is not in it`);
    await world.endWorkers();
  }, 120_000);

  it('is gone on with, or begun anew, by who comes after a death: one server, complete, as of that time; the one in use untouched', async (context) => {
    const { world } = house;
    const crashes = new Crashes(join(world.folder, 'crashes'), ['recover.main:word=copying', 'recover.main:word=the recovered server is starting']);
    const { deaths } = keepAWorker(context, world, crashes.env);
    await confirmPlan(house, handle, 'target', 'carol');
    await confirmPlan(house, handle, 'recover.main', 'dora');
    const state = await world.until(handle, 'recovered', (one) => stepOf(one, 'switch.main').state === 'waiting', 60_000);
    expect([crashes.fired(), deaths]).toEqual([crashes.points, ['SIGKILL', 'SIGKILL']]);
    const [home = '', ...others] = await readdir(house.into);
    expect([home, others]).toEqual([state.rollbackId.slice(0, 8), []]);
    expect((await readdir(join(house.into, home))).filter((name) => name.startsWith('data-'))).toHaveLength(1);
    expect(stepOf(state, 'recover.main')).toMatchObject({
      state: 'done',
      receipt: { after: { asOf: owned.at.good, checks: [{ violations: 0 }, { violations: 0 }], newestMigration: '20260101000001_orders' } },
    });
    await expect(countOf(recovered())).resolves.toEqual({ rows: 120, last: 120, nobody: 0, spoilt: 0, slow: 300 });
    expect([await house.digest(), await house.isSealed(), await house.addresses()]).toEqual([before, false, [house.url, house.url]]);
    expect([saidOf(state, 'recover.main'), saidOf(state, 'switch.main')]).toEqual([1, 0]);
  }, 120_000);

  it('is not begun to be switched to once the time is over, and what a dead attempt has sealed takes writes again', async () => {
    const { world } = house;
    await world.worker();
    const { rollbackId } = await world.state(handle);
    for (const [name, value] of Object.entries(house.env)) vi.stubEnv(name, value);
    const loaded = await loadConfig(world.config);
    const found = async (number: number): Promise<unknown> => {
      const step = { id: 'switch.main', operation: 'switch', component: null, effect: 'config' } as const;
      const late = {
        rollbackId,
        environment: 'production',
        step,
        generation: 0,
        mode: 'run',
        mayHaveActed: false,
        deadlineAt: new Date(0).toISOString(),
      } as const;
      const data = { at: 'database/main', place: hashOfPlace(loaded, 'production', 'database/main') ?? '', approved: [], recover: owned.at.good };
      const attempt = {
        number,
        runId: rollbackId,
        workflowId: ID,
        firstScheduledMs: Date.now(),
        signal: new AbortController().signal,
        heartbeat: () => undefined,
      };
      // What else a step is given, this one does not look at.
      return switchOver({
        work: late,
        incident: { id: 'INC-42', by: 'carol', subject: 'main', data },
        loaded,
        deps: { store: world.store },
        attempt,
      } as unknown as Scene);
    };
    await owned.server.query('ALTER DATABASE market SET default_transaction_read_only = on');
    for (const [number, isSealed] of [
      [1, true],
      [2, false],
    ] as const) {
      expect(await found(number)).toMatchObject({
        state: 'failed',
        failure: { type: 'DeadlinePassed', message: expect.stringMatching(/nothing was begun/) as string },
      });
      expect(await house.isSealed()).toBe(isSealed);
    }
    expect(await house.addresses()).toEqual([house.url, house.url]);
  }, 120_000);

  it('is not switched to where somebody has spoilt it since, and the one in use takes writes while nobody was switched over', async () => {
    const { world } = house;
    await queryAt(recovered(), `INSERT INTO orders VALUES (900, 'nobody', 'request-900', 1)`);
    await confirmPlan(house, handle, 'switch.main', 'dora');
    const spoilt = await failsAt(house, handle, 'switch.main');
    expect(stepOf(spoilt, 'switch.main').failure).toMatchObject({ type: 'InvariantViolated', message: expect.stringMatching(/finds 1 violations/) as string });
    expect([await house.isSealed(), await house.addresses()]).toEqual([false, [house.url, house.url]]);

    await queryAt(recovered(), 'DELETE FROM orders WHERE id = 900');
    // Where nothing can be kept beside it, the first of them cannot be written.
    const kept = join(world.folder, 'api.env.backout');
    await rename(kept, `${kept}.away`);
    await writeFile(kept, '');
    expect(await retry()).toMatchObject({ code: 0 });
    const nobody = await world.until(handle, 'failed anew', (state) => /nobody was switched over/.test(stepOf(state, 'switch.main').failure?.message ?? ''));
    expect(stepOf(nobody, 'switch.main').state).toBe('failed');
    expect([await house.isSealed(), await house.addresses()]).toEqual([false, [house.url, house.url]]);
    await queryAt(house.url, 'DELETE FROM totals');
    await rm(kept);
    await rename(`${kept}.away`, kept);
  }, 120_000);

  it('a person who switched over by hand is believed when all that read it say so', async () => {
    const { world } = house;
    const worker = join(world.folder, 'worker.env');
    await writeFile(`${worker}.backout`, '');
    await retry();
    const half = await world.until(handle, 'half', (state) => /takes no writes of new sessions/.test(stepOf(state, 'switch.main').failure?.message ?? ''));
    expect(stepOf(half, 'switch.main').state).toBe('failed');
    expect([await house.isSealed(), await house.addresses()]).toEqual([true, [recovered(), house.url]]);

    expect(await decide(house, handle, 'switch.main', 'done')).toMatchObject({ code: 0 });
    await world.until(handle, 'not believed', (state) => state.refusals.some((one) => one.rule === 'inspection-disagrees' && one.message === 'decide'));
    expect(stepOf(await world.state(handle), 'switch.main').state).toBe('failed');
    await writeFile(worker, `RATE_LIMIT=100\nDATABASE_URL=${recovered()}\n`);
    await decide(house, handle, 'switch.main', 'done');
    const state = await waitsFor(world, handle, 'ownership');
    expect(stepOf(state, 'switch.main')).toMatchObject({ state: 'done', receipt: { after: { switched: 2, byHand: true } } });
    expect(saidOf(state, 'switch.main')).toBe(1);
    await expect(house.app('SELECT count(*)::int AS rows FROM totals')).resolves.toEqual([{ rows: 2 }]);
  }, 120_000);

  it('grows to level 3 with what was recovered; is told, and audited, without a secret', async () => {
    const { world } = house;
    const escalate = (...more: string[]): Promise<string> =>
      say(house, ['escalate', ID, '--to', 'l3Rollback', '--reason', 'evidence too', '--by', 'carol', ...more]);
    await escalate('--recover', 'main=backup');
    await world.until(handle, 'refused', (state) =>
      state.refusals.some((one) => one.explanation.includes(`main is recovered from ${owned.at.good} by this rollback already`)),
    );
    await escalate();
    const grown = await waitsFor(world, handle, 'target');
    expect(grown).toMatchObject({ kind: 'l3Rollback', incidentCommand: { level: 3 } });
    expect(['recover.main', 'switch.main', 'rebuild.main.totals'].map((id) => stepOf(grown, id).state)).toEqual(['done', 'done', 'done']);
    await confirmPlan(house, handle, 'target', 'carol');
    const end = await toTheEnd(house, handle, [
      ['cleanup.data', '--choice', 'done', '--by', 'dora'],
      ['cleanup.evidence', '--choice', 'done', '--by', 'dora'],
      ['cleanup.credentials', '--choice', 'done', '--evidence', 'rotation-log=none', 'scope-verification=none', '--by', 'sam'],
    ]);
    expect(end).toMatchObject({ outcome: 'rolled-back', kind: 'l3Rollback', remains: [], clock: { breached: false } });
    expect([saidOf(end, 'recover.main'), saidOf(end, 'switch.main'), await house.addresses()]).toEqual([1, 1, [recovered(), recovered()]]);
    const report = await say(house, ['report', ID, '--format', 'markdown']);
    expect(report).toContain(`LOST BY DESIGN: everything written to main after ${seconds(owned.at.good)} UTC`);
    expect(report).toMatch(/See that the main that was in use takes no writes any more.*people have switched over by hand \| dora/);
    expect(report).not.toContain('nobody was switched over to it');
    await say(house, ['audit', ID]);
    await expectNoSecret(house, handle, end.rollbackId);
  }, 120_000);
});
