/** An incident that begins as a bad release and grows: to level 2, because rows are gone, and to level 3, because a key was in a log [001 steps 3c to 3e]. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';
import type { RollbackState } from '../../model/state.ts';
import { freePort } from '../local/ports.ts';
import { appendEvidence, credentialYaml, DATABASE_YAML, layDatabase, layKeys, startPayments, type Payments, type Query } from './ledgered-house.ts';
import { componentYaml, layRelease, laySmoke, shopYaml } from './shop.ts';
import { backout, chapter, follow, onStage, release, say, visit, type Stage } from './stage.ts';

const ID = 'l1Rollback/production/INC-77';
const GOOD = 'v1.4.0';
const BAD = 'v1.5.0';
const COMPONENTS = ['api', 'web'] as const;

/** Exit code 0 only where rows, totals and schema are as they were, the evidence holds, the old key is refused, and the audit is clean. */
export async function demoGrave(folder: string): Promise<number> {
  chapter(
    'Backout: an incident grows to level 3',
    `Real parts in ${relative(process.cwd(), folder)}: a Temporal server, a Postgres with the shop's own database, a worker, two services, a payment service with keys, and five people.`,
  );
  const ports = await layOut(folder);
  const key = await layKeys(folder, ports['payments'] ?? 0, createRequire(import.meta.url).resolve('pg'));
  const payments = await startPayments(folder, ports['payments'] ?? 0);
  try {
    return await onStage(folder, ports, (stage) => play({ stage, payments, key }));
  } finally {
    payments.stop();
  }
}

interface Play {
  readonly stage: Stage;
  readonly payments: Payments;
  /** That was exposed. */
  readonly key: string;
}

async function layOut(folder: string): Promise<Record<string, number>> {
  await mkdir(folder, { recursive: true });
  const earlier = await readFile(join(folder, 'backout.yaml'), 'utf8').catch(() => '');
  const ports: Record<string, number> = { payments: Number(/:(\d+)\/key/.exec(earlier)?.[1] ?? (await freePort())) };
  for (const name of COMPONENTS) {
    await layRelease(folder, name, { version: GOOD });
    await layRelease(folder, name, { version: BAD, broken: true });
    // The ports of an earlier demo are kept: `backout dev` may have the same file open.
    ports[name] = Number(new RegExp(`srv/${name},.*port: (\\d+)`).exec(earlier)?.[1] ?? (await freePort()));
  }
  await laySmoke(folder);
  const config = ['config: [{ source: env-file, options: { path: ./api.env, plain: [RATE_LIMIT] } }]'];
  await writeFile(
    join(folder, 'backout.yaml'),
    shopYaml(
      COMPONENTS.map((name) => componentYaml(name, ports[name] ?? 0, name === 'api' ? config : ['after: [api]'])),
      [
        ...DATABASE_YAML,
        ...credentialYaml(ports['payments'] ?? 0),
        '    gates:',
        '      ci-pr: { command: ["true"] }',
        '      emission: { command: ["true"], covers: evidence }',
        'product: Portarium',
        'people:',
        '  carol: { roles: [incident-commander] }',
        '  abe: { roles: [api-lead, infrastructure-lead] }',
        '  dora: { roles: [data-evidence-lead] }',
        '  sam: { roles: [security-lead] }',
        '  cleo: { roles: [communications-owner] }',
        'channels: { incident: [{ file: ./incidents.log }], stakeholders: [{ file: ./stakeholders.log }] }',
        'unfreeze: { stableForSeconds: 2 }',
        'watch: { minutes: 0 }',
      ],
    ),
  );
  return ports;
}

const waitsFor =
  (step: string) =>
  (state: RollbackState): boolean =>
    state.state === 'stopped' || state.steps.some((one) => one.id === step && one.state === 'waiting');

class Unfinished extends Error {}

async function until(stage: Stage, step: string): Promise<RollbackState> {
  const state = await follow(stage, ID, waitsFor(step));
  if (state.state !== 'stopped') return state;
  throw new Unfinished(`the rollback is stopped: ${state.stopped ?? ''}\n  ${state.waiting.map((one) => one.answer).join('\n  ')}`);
}

const confirm = (stage: Stage, step: string, by: string, ...more: string[]): Promise<number> =>
  backout(stage, ['confirm', ID, '--step', step, '--by', by, ...more]);

async function confirmPlan(stage: Stage, step: string, by: string): Promise<void> {
  const { planHash } = await until(stage, step);
  await confirm(stage, step, by, '--plan', planHash ?? '');
}

async function play(all: Play): Promise<number> {
  const { stage } = all;
  try {
    const query = await layDatabase(stage.folder, stage.services.databaseUrl);
    const migration = await badCycle(stage, query);
    await levelOne(stage);
    await levelTwo(stage, query, migration);
    await levelThree(all, query);
    return await conclude(all, query);
  } catch (error) {
    if (!(error instanceof Unfinished)) throw error;
    say(`\n${error.message}`);
    return 4;
  }
}

async function badCycle(stage: Stage, query: Query): Promise<string> {
  chapter(`1. ${GOOD} runs and is proven healthy`, 'Verification also keeps the newest migration, and what is set in the consoles that only people can reach.');
  for (const name of COMPONENTS) await release(stage, name, GOOD, 'a7f3b29');
  chapter(
    `2. ${BAD} is released, with a migration; the cycle fails`,
    'CI records the migration with its inverse. The release deletes orders, fails at the checkout, and writes its payment key into a log.',
  );
  const migration = `${new Date().toISOString().replaceAll(/\D/g, '').slice(0, 14)}_coupon`;
  const up = 'ALTER TABLE orders ADD COLUMN coupon text';
  await writeFile(join(stage.folder, 'migrations.json'), JSON.stringify([{ name: migration, sql: up, inverse: 'ALTER TABLE orders DROP COLUMN coupon' }]));
  await query(up);
  await query(`INSERT INTO supabase_migrations.schema_migrations VALUES ($1, $2, 'coupon')`, [migration, [up]]);
  await release(stage, 'api', BAD, 'c81d0e4', ['--migrations', relative(process.cwd(), join(stage.folder, 'migrations.json'))]);
  await release(stage, 'web', BAD, 'c81d0e4');
  await query(`UPDATE orders SET coupon = 'SPRING' WHERE id <= 7`);
  await query('DELETE FROM orders WHERE id BETWEEN 41 AND 60');
  await appendEvidence(query, 5);
  return migration;
}

async function levelOne(stage: Stage): Promise<void> {
  chapter('3. The Incident Commander declares level 1: code and configuration', 'Contain first. Everything is frozen, the good release is put back.');
  const where = COMPONENTS.flatMap((name) => ['--to', `${name}=last-healthy`]);
  const what = ['start', 'l1Rollback', '--environment', 'production', '--component', ...COMPONENTS, ...where, '--incident', 'INC-77', '--severity', 'P1'];
  await backout(stage, [
    ...what,
    '--cause',
    'reliability-regression',
    '--reason',
    'the checkout answers 500',
    '--impact',
    'customers cannot buy',
    '--contact',
    '#inc-77',
    '--by',
    'carol',
  ]);
  await confirmPlan(stage, 'target', 'carol');
  await until(stage, 'cleanup.data');
}

async function levelTwo(stage: Stage, query: Query, migration: string): Promise<void> {
  const [left] = await query<{ rows: number }>('SELECT count(*)::int AS rows FROM orders');
  chapter(
    '4. Orders are missing: it grows to level 2',
    `${left?.rows ?? 0} of 100 orders are left. What is done stays done; schema and rows are planned beside it, and what would be lost is counted.`,
  );
  await backout(stage, ['escalate', ID, '--to', 'l2Rollback', '--reason', 'orders are gone', '--by', 'carol']);
  await until(stage, 'target');
  await backout(stage, ['show', ID]);
  await confirmPlan(stage, 'target', 'carol');
  chapter(
    '5. The Data and Evidence Lead approves each loss for itself',
    'Seven coupons go with their column. The approval is bound to the plan that says so; were there an eighth by now, it would be asked again.',
  );
  await confirmPlan(stage, `undo.main.${migration}`, 'dora');
  await confirmPlan(stage, 'restore.main.orders', 'dora');
  await until(stage, 'cleanup.data');
}

async function levelThree({ stage, payments, key }: Play, query: Query): Promise<void> {
  chapter(
    '6. The payment key is found in a log: it grows to level 3',
    `Whoever has it can charge: the payment service answers ${await payments.charge(key)}. Only the Security Lead moves credentials, not even the commander.`,
  );
  await backout(stage, ['escalate', ID, '--to', 'l3Rollback', '--reason', 'the payment key is in a log', '--by', 'carol']);
  await until(stage, 'credentials');
  const list = JSON.stringify({ rotate: ['payments'], revokeFirst: [], unaffected: ['google'] });
  const refused = await confirm(stage, 'credentials', 'carol', '--data', list, '--note', 'found in the log of api');
  if (refused !== 3) throw new Error('the commander was expected to be refused');
  await confirm(stage, 'credentials', 'sam', '--data', list, '--note', 'found in the log of api');
  await confirmPlan(stage, 'target', 'carol');
  await appendEvidence(query, 2);
  await until(stage, 'cleanup.data');
}

async function conclude({ stage, payments, key }: Play, query: Query): Promise<number> {
  chapter('7. The checklist', 'Its evidence was produced by the steps themselves; who owns a row still signs it.');
  for (const [area, by] of [
    ['data', 'dora'],
    ['evidence', 'dora'],
    ['credentials', 'sam'],
  ] as const)
    await confirm(stage, `cleanup.${area}`, by, '--choice', 'done');
  await confirm(stage, 'ownership', 'carol', '--data', '{"nextCycleOwner":"abe","reviewOwner":"carol"}');
  await until(stage, 'unfreeze');
  await confirm(stage, 'unfreeze', 'carol');
  const end = await follow(stage, ID, (state) => state.state === 'closed' || state.state === 'stopped');
  chapter('8. What is left for those who were not there', 'A report that says what was lost by design, and an audit that replays the history.');
  const report = join(stage.folder, 'INC-77.html');
  await backout(stage, ['report', ID, '--format', 'html', '--out', relative(process.cwd(), report)]);
  const audited = await backout(stage, ['audit', ID]);
  const [orders] = await query<{ rows: number; coupons: number; totals: number }>(
    `SELECT (SELECT count(*)::int FROM orders) AS rows, (SELECT sum(cents)::int FROM totals) AS totals,
       (SELECT count(*)::int FROM information_schema.columns WHERE table_name = 'orders' AND column_name = 'coupon') AS coupons`,
  );
  const now = /^PAYMENTS_KEY=(.*)$/m.exec(await readFile(join(stage.folder, 'api.env'), 'utf8'))?.[1] ?? '';
  const [old, current] = [await payments.charge(key), await payments.charge(now)];
  const versions = await Promise.all(COMPONENTS.map((name) => visit(stage, name, '/version')));
  const isBack = orders?.rows === 100 && orders.totals === 505_000 && orders.coupons === 0 && versions.every((one) => one.includes(`"${GOOD}"`));
  const good = isBack && old === 401 && current === 200 && end.outcome === 'rolled-back' && audited === 0;
  chapter(
    good ? 'Done: code, schema, rows and totals are back; the evidence goes on, marked; the exposed key is worth nothing' : 'Not done',
    `${orders?.rows ?? 0} orders, totals ${orders?.totals ?? 0}; the old key is answered ${old}, the new one ${current}. It ended ${end.outcome ?? end.state}. The report: ${relative(process.cwd(), report)}`,
  );
  return good ? 0 : 1;
}
