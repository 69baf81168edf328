/** `backout doctor` of levels 2 and 3 [001 steps 3c to 3e]: on a real database, a real chain and keys that are really accepted; each thing that an L3 would miss is found, and nothing is changed. */
import { randomUUID } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { looking, ok, type Looking } from '../../activities/incident/findings.ts';
import { AdapterError } from '../../activities/adapters/adapter.ts';
import { NotPossible } from '../../activities/components.ts';
import { keptOf } from '../../activities/incident/keep.ts';
import type { Doctored, Finding } from '../../activities/inspect.ts';
import { sha256 } from '../../store/digest.ts';
import { badCycle, EXPOSED, graveWorld, MIGRATION, type Grave } from '../support/grave.ts';

let grave: Grave;
let yaml = '';
let keysFolder = '';
beforeAll(async () => {
  grave = await graveWorld();
  await badCycle(grave);
  yaml = await readFile(grave.world.config, 'utf8');
  keysFolder = /authority: key-files\s+options: \{ folder: "?([^,"]+)/.exec(yaml)?.[1] ?? '';
}, 180_000);
afterAll(() => grave.close());

async function doctor(): Promise<{ readonly findings: readonly Finding[]; readonly all: string }> {
  const { stdout } = await grave.world.cli(['doctor', '--json']);
  const { incidents } = JSON.parse(stdout) as Pick<Doctored, 'incidents'>;
  return { findings: incidents.flatMap((one) => one.findings), all: stdout };
}
const TARGETS = ['--to', 'api=v1.0.0', '--to', 'worker=v1.0.0', '--by', 'carol'];
const told = (findings: readonly Finding[], check: string): string[] =>
  findings.flatMap((one) => (one.check === check ? [`${one.verdict}: ${one.detail}`] : []));
/** With another configuration, which the worker reads anew; and as it was again. */
async function configured<T>(change: (text: string) => string, then: () => Promise<T>): Promise<T> {
  const changed = change(yaml);
  expect(changed).not.toBe(yaml);
  await writeFile(grave.world.config, changed);
  try {
    return await then();
  } finally {
    await writeFile(grave.world.config, yaml);
  }
}
const inOptions = (line: string) => (text: string) => text.replace(/^( +)ledger: \{/m, `$1${line}\n$1ledger: {`);

describe('doctor of an environment with databases, evidence and credentials', () => {
  it('says what would be undone and lost, that checks hold, evidence is whole, keys are good; and changes nothing', async () => {
    const standing = async (): Promise<unknown> => [
      await grave.query('select * from supabase_migrations.schema_migrations order by 1'),
      await grave.query('select * from orders order by 1'),
      await grave.query('select * from evidence order by 1'),
      await grave.query(`select nspname from pg_namespace where nspname = 'backout'`),
      await readFile(join(grave.world.folder, 'api.env'), 'utf8'),
      (await readdir(keysFolder)).toSorted(),
    ];
    const before = await standing();
    const { findings, all } = await doctor();
    expect(told(findings, 'credentials')).toEqual(['ok: sam may sign for them']);
    expect(told(findings, 'database main')).toEqual([`ok: postgres answers; the newest of 2 in its ledger is ${MIGRATION}`]);
    expect(told(findings, 'undo main')).toEqual([
      `ok: 1 since the last healthy versions, each with an inverse that can be run: ${MIGRATION}; they would destroy column public.orders.coupon with 7 rows`,
    ]);
    expect(told(findings, 'checks main')).toEqual(['ok: 2 can be run, and hold']);
    expect(told(findings, 'evidence trail')[0]).toMatch(
      /^ok: postgres answers; a window of the last 24 hours would affect \d+; \d+ entries, nothing is broken$/,
    );
    expect(told(findings, 'credential payments')).toContain('ok: key-files answers; key-2025 alive, 0 revoked');
    expect(told(findings, 'credential payments')).toContain('ok: held in 1 place, and accepted');
    expect(told(findings, 'credential google').join()).toMatch(
      /by hand, at https:\/\/console\.cloud\.google\.com.*recorded with the last healthy version: redirect/,
    );
    expect(findings.filter((one) => one.verdict === 'problem')).toEqual([]);
    expect(all).not.toContain(EXPOSED);
    await expect(standing()).resolves.toEqual(before);
  }, 60_000);

  it('knows the newest migration of the target from its verification, also of a component that has nothing else to be kept', async () => {
    expect(yaml).not.toMatch(/^ {6}worker:(?:\n {8}.*)*\n {8}(?:config|facts|openapi):/m);
    const kept = await keptOf({ store: grave.world.store }, 'production', 'worker', 'v1.0.0');
    expect(kept?.kept?.ledgers).toEqual({ main: '20260101000001_orders' });
  });

  it('finds a migration that nobody recorded, as a plan of level 2 would', async () => {
    await grave.query(`insert into supabase_migrations.schema_migrations values ('20260113000001_other', '{"select 1"}', 'other')`);
    const { findings } = await doctor();
    await grave.query(`delete from supabase_migrations.schema_migrations where version = '20260113000001_other'`);
    expect(told(findings, 'undo main').join()).toMatch(/^problem: 20260113000001_other is applied to main since the target, and nobody has recorded it/);
    expect(told(findings, 'database main')[0]).toMatch(/^ok/);
  }, 60_000);

  it('finds one that was recorded and is in no ledger, and knows one that the ledger names by its number alone', async () => {
    const [bad] = await grave.world.store.deployments({ environment: 'production', component: 'api', limit: 1 });
    const one = (name: string) => ({ name, hash: `sha256:${sha256('select 1')}`, sql: 'select 1', inverse: 'select 2' });
    const deploymentId = bad?.deploymentId ?? '';
    await grave.world.store.recordMigrations({ deploymentId, database: 'main', migrations: [one('20260114000001_c6')] });
    expect(told((await doctor()).findings, 'undo main').join()).toMatch(
      /warning: 20260114000001_c6 was recorded .* and the ledger does not have it: it would not be undone/,
    );
    const planned = await grave.world.cli([
      'plan',
      'l2Rollback',
      '--environment',
      'production',
      '--component',
      'api',
      'worker',
      '--incident',
      'INC-9',
      ...TARGETS,
    ]);
    expect(planned.stdout).toMatch(/damaged from \S+Z to \S+Z: what was deleted then is put back/);
    expect(planned.stderr).toMatch(/! 20260114000001_c6 was recorded for main since the target, and its ledger does not have it: it is not undone/);
    // As Supabase's own tool writes it.
    await grave.query(`insert into supabase_migrations.schema_migrations values ('20260114000001', '{"select 1"}', 'c6')`);
    const { findings } = await doctor();
    await grave.query(`delete from supabase_migrations.schema_migrations where version = '20260114000001'`);
    expect(told(findings, 'undo main').join()).toMatch(/^ok: 2 since the last healthy versions, .*: 20260114000001_c6, 20260112000001_coupon/);
    await grave.world.store.migrationUndone({
      environment: 'production',
      database: 'main',
      name: '20260114000001_c6',
      at: new Date().toISOString(),
      successful: true,
      milliseconds: 1,
      error: null,
    });
  }, 60_000);

  it('is not recorded of a database that nobody knows without a word', async () => {
    await writeFile(join(grave.world.folder, 'one.json'), JSON.stringify([{ name: '20260115000001_x', sql: 'select 1', inverse: 'select 2' }]));
    const of = ['--environment', 'production', '--component', 'api', '--version', 'v9', '--commit', 'abc', '--branch', 'main', '--status', 'pending'];
    const told = await grave.world.cli(['deployment', 'record', '--id', randomUUID(), ...of, '--migrations', 'one.json', '--database', 'nope']);
    expect(told).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/! production has no database nope in .*: what is recorded of it could not be undone/) as string,
    });
  });

  it('finds a check that is violated, and one that cannot be run', async () => {
    await grave.query(`insert into orders (id, tenant, request, cents) values (9001, 'nobody', 'r-9001', 1)`);
    const { findings } = await configured((text) => text.replace(/select request from orders/, 'select request from no_such_table'), doctor);
    await grave.query('delete from orders where id = 9001');
    expect(told(findings, 'checks main')).toEqual([
      'warning: tenant-isolation finds 1 violations now',
      expect.stringMatching(/^problem: one-order-a-request cannot be run: .*no_such_table/) as string,
    ]);
  }, 60_000);

  it('finds a backup that is not there, and says as of when one is that is; and an archive of which nothing can be read', async () => {
    expect(told((await doctor()).findings, 'recover main')).toEqual([
      expect.stringMatching(/^warning: neither a backup nor an archive is configured/) as string,
    ]);
    const backup = inOptions('backup: { file: ./main.sql, admin: env:SHOP_DB }');
    const without = await configured(backup, doctor);
    expect(told(without.findings, 'recover main')).toEqual(['problem: not from the backup: there is no backup ./main.sql']);
    expect(told(without.findings, 'address main')).toEqual([expect.stringMatching(/^warning: nothing says where its address is read/) as string]);
    await writeFile(join(grave.world.folder, 'main.sql'), '-- Started on 2026-01-02 03:04:05 UTC\nSELECT 1;\n');
    const there = await configured(backup, doctor);
    expect(told(there.findings, 'recover main')).toEqual(['ok: from the backup as of 2026-01-02T03:04:05.000Z: what is written after that is not in it']);
    const archive = await configured(inOptions('archive: { base: ./base, wal: ./wal, into: ./recovered, port: 54399 }'), doctor);
    expect(told(archive.findings, 'recover main')).toEqual([expect.stringMatching(/^problem: not from the archive: .*base is no base backup/) as string]);
  }, 120_000);

  it('finds an address that leads to another database, and one that holds nothing', async () => {
    const at = (key: string) => (text: string) =>
      text.replace(/^( +)checks:$/m, `$1reference: [{ holder: env-file, options: { path: ./addresses.env, key: ${key} } }]\n$1checks:`);
    await writeFile(join(grave.world.folder, 'addresses.env'), `SAME=${grave.url}\nOTHER=${grave.world.services.databaseUrl}\n`);
    const of = async (key: string): Promise<string[]> => told((await configured(at(key), doctor)).findings, 'address main');
    await expect(of('SAME')).resolves.toEqual(['ok: read in 1 place, and that of this very database']);
    await expect(of('OTHER')).resolves.toEqual(['problem: reference 1 (env-file) holds the address of another database']);
    await expect(of('NONE')).resolves.toEqual(['problem: reference 1 (env-file) holds nothing']);
  }, 120_000);

  it('finds evidence that is broken, and evidence that is not there', async () => {
    await grave.query('alter table evidence disable trigger all');
    const [row] = await grave.query<{ hash: string }>('select hash from evidence where seq = 2');
    await grave.query(`update evidence set hash = repeat('0', 64) where seq = 2`);
    const broken = await doctor();
    await grave.query('update evidence set hash = $1 where seq = 2', [row?.hash]);
    await grave.query('alter table evidence enable trigger all');
    expect(told(broken.findings, 'evidence trail')[0]).toMatch(/^warning: .*of 5 entries 1 break, the first at 2: its hash is not the one of what it holds$/);
    const gone = await configured((text) => text.replace('table: evidence', 'table: no_evidence'), doctor);
    expect(told(gone.findings, 'evidence trail')).toEqual([expect.stringMatching(/^problem: .*no_evidence/) as string]);
  }, 60_000);

  it('finds a key that is held and not accepted, one that nobody holds, and one of which no generation is alive', async () => {
    const env = join(grave.world.folder, 'api.env');
    const held = await readFile(env, 'utf8');
    await writeFile(env, held.replace(EXPOSED, 'somebody-elses'));
    const foreign = await doctor();
    await writeFile(env, held.replace(/^PAYMENTS_KEY=.*$/m, ''));
    const nothing = await doctor();
    await writeFile(env, held);
    expect(told(foreign.findings, 'credential payments')).toContain('warning: what holder 1 (env-file) holds is not accepted now');
    expect(told(nothing.findings, 'credential payments')).toContain('problem: holder 1 (env-file) holds nothing');
    const file = join(keysFolder, 'key-2025.json');
    const key = await readFile(file, 'utf8');
    await writeFile(file, key.replace('"live"', '"revoked"'));
    const dead = await doctor();
    await writeFile(file, key);
    expect(told(dead.findings, 'credential payments')).toContain('problem: key-files answers, and no generation of it is alive: nothing is accepted');
  }, 60_000);

  it('finds that nobody may sign, that a console is not recorded, that no command proves anything; a place that is configured wrongly hides none of the others', async () => {
    const { findings } = await configured(
      (text) =>
        text
          .replace('sam: { roles: [security-lead] }', 'sam: { roles: [operator] }')
          .replace(/, record: \{ command: \[.*?\] \}/, '')
          .replace(/^ +prove: .*$/m, '')
          .replace(/(options: \{ )console:/, '$1konsole: 1, console:'),
      doctor,
    );
    expect(told(findings, 'credentials')[0]).toMatch(/^problem: nobody has the role security-lead/);
    expect(told(findings, 'credential payments')).toContain('warning: no command proves that what runs works with a new one');
    expect(told(findings, 'credential google')[0]).toMatch(/^problem: .*konsole/);
    expect(told(findings, 'database main')[0]).toMatch(/^ok/);
    const unrecorded = await configured((text) => text.replace(/, record: \{ command: \[.*?\] \}/, ''), doctor);
    expect(told(unrecorded.findings, 'credential google')[1]).toMatch(/^warning: nothing records what is set there/);
  }, 60_000);

  it('finds a database that is away, and looks all the same whether it could be recovered', async () => {
    const { findings } = await configured(
      (text) => inOptions('backup: { file: ./no.sql, admin: env:SHOP_DB }')(text).replace(/url: env:SHOP_DB\n( +)backup/, 'url: file:./gone-db\n$1backup'),
      async () => {
        await writeFile(join(grave.world.folder, 'gone-db'), 'postgres://u:pass-canary@127.0.0.1:1/gone');
        return doctor();
      },
    );
    expect(told(findings, 'database main')).toEqual([expect.stringMatching(/^problem: the database of file:\.\/gone-db/) as string]);
    expect(told(findings, 'undo main')).toEqual([]);
    expect(told(findings, 'recover main')).toEqual(['problem: not from the backup: there is no backup ./no.sql']);
    expect(JSON.stringify(findings)).not.toContain('pass-canary');
  }, 60_000);
});

describe('a look of a doctor', () => {
  const attempt = (signal = new AbortController().signal): Looking['attempt'] => ({
    number: 1,
    runId: 'r',
    workflowId: 'w',
    firstScheduledMs: Date.now(),
    signal,
    heartbeat: () => undefined,
  });
  const asked = { check: 'main', remedy: 'mend it' };

  it('is given up after its time, as a warning: nobody knows then', async () => {
    const hanging = (within: Looking['attempt']): Promise<Finding[]> =>
      new Promise((_, reject) => {
        within.signal.addEventListener('abort', () => {
          reject(new AdapterError('unavailable', 'stopped as asked'));
        });
      });
    await expect(looking({ ...asked, attempt: attempt(), seconds: 0.05 }, hanging)).resolves.toEqual([
      { check: 'main', verdict: 'warning', detail: 'no answer within 0.05 s: a rollback would wait longer for it', remedy: 'see what holds it up' },
    ]);
  });

  it('makes a finding of what a platform or a rule says, and hides no bug', async () => {
    const failing = (thrown: Error): Promise<Finding[]> => looking({ ...asked, attempt: attempt() }, () => Promise.reject(thrown));
    await expect(failing(new AdapterError('failed', 'the disk is full'))).resolves.toEqual([
      { check: 'main', verdict: 'problem', detail: 'the disk is full', remedy: 'mend it' },
    ]);
    await expect(failing(new NotPossible('inverse', 'no inverse'))).resolves.toMatchObject([{ verdict: 'problem', detail: 'no inverse' }]);
    await expect(failing(new TypeError('a bug'))).rejects.toThrow('a bug');
  });

  it('ends with the worker that asks', async () => {
    const stopping = new AbortController();
    const look = looking({ ...asked, attempt: attempt(stopping.signal) }, async (within) => {
      stopping.abort();
      within.signal.throwIfAborted();
      return [ok('main', 'never said')];
    });
    await expect(look).rejects.toThrow(/abort/i);
  });
});
