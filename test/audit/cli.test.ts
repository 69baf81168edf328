/** `backout audit` and `backout report` as a user runs them, on a real database that somebody has been at. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Audit } from '../../client/audit/result.ts';
import type { Report } from '../../client/report/report.ts';
import { World } from '../support/world.ts';
import { auditOfWorld } from './evidence.ts';

const ID = 'deployRevert/production/web';
let world: World;
let rollbackId = '';
let history = '';
/** Audits one after the other, while it waits and until the history was exported. */
const meanwhile: Audit[] = [];

beforeAll(async () => {
  world = await World.create();
  const worker = await world.worker();
  await world.badRelease();
  const handle = await world.start();
  rollbackId = (await handle.describe()).runId;
  await world.waiting(handle);
  meanwhile.push(await auditOfWorld(world, ID));
  await Promise.all([
    world.confirm(handle),
    (async () => {
      while (!(await world.store.hasHistory(rollbackId))) meanwhile.push(await auditOfWorld(world, ID));
    })(),
  ]);
  history = join(world.folder, 'history.json');
  await writeFile(history, historyToJSON(await handle.fetchHistory()));
  // Nothing of this needs one.
  await world.end(worker);
});
afterAll(() => world.close());

const audit = async (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<{ code: number; audit: Audit }> => {
  const ran = await world.cli(['audit', ...args, '--json'], env);
  return { code: ran.code, audit: JSON.parse(ran.stdout) as Audit };
};

/** What the owner of the database can do who takes the guards away; undone afterwards. */
async function tampered<T>(table: string, change: string, back: string, work: () => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: world.services.databaseUrl });
  await client.connect();
  const behindTheGuards = async (sql: string): Promise<void> => {
    await client.query(`ALTER TABLE ${table} DISABLE TRIGGER USER`);
    const { rowCount } = await client.query(sql);
    await client.query(`ALTER TABLE ${table} ENABLE ALWAYS TRIGGER USER`).catch(() => client.query(`ALTER TABLE ${table} ENABLE TRIGGER USER`));
    if (rowCount !== 1) throw new Error(`${sql}: ${rowCount} rows`);
  };
  try {
    await behindTheGuards(change);
    return await work();
  } finally {
    await behindTheGuards(back);
    await client.end();
  }
}

describe('backout audit', () => {
  test('accuses nobody of what goes on while it looks', () => {
    expect(meanwhile.length).toBeGreaterThan(1);
    expect(meanwhile.flatMap(({ faults }) => faults)).toEqual([]);
    expect(meanwhile.some(({ checked }) => checked.some(({ runs }) => runs.some(({ state }) => state === 'open')))).toBe(true);
  });

  test('says line by line what it looked at, and ends 0', async () => {
    for (const what of [[ID], [rollbackId], ['--all'], [history]]) {
      const ran = await world.cli(['audit', ...what]);
      expect(ran).toMatchObject({ code: 0, stderr: '' });
      expect(ran.stdout).toMatch(
        /^✓ chain .*\n✓ checkpoints .*\n✓ heads .*\n✓ export .*\n✓ replay .*\n✓ values .*\n✓ record .*\n\nNo fault found in 1 rollback, 1 run\.\n$/,
      );
    }
    // The name of a component will do, too.
    expect((await audit(['web'])).audit).toMatchObject({
      ok: true,
      faults: [],
      notChecked: [],
      checked: [{ id: ID, rollbackId, runs: [{ runId: rollbackId, state: 'closed', exported: true }] }],
    });
  });

  test('finds an edited entry, says what it means, and ends 1', async () => {
    const edit = (from: string, to: string): string =>
      `UPDATE ops.record SET body = replace(body, '"by":"${from}"', '"by":"${to}"') WHERE body LIKE '%"type":"answer"%'`;
    await tampered('ops.record', edit('ana', 'ben'), edit('ben', 'ana'), async () => {
      const ran = await world.cli(['audit', ID]);
      expect(ran.code).toBe(1);
      expect(ran.stdout).toMatch(/✗ chain +entry \d+ of the record/);
      expect(ran.stdout).toContain('was edited: its hash does not match its body');
      expect(ran.stdout).toContain('Somebody changed what the record says');
      expect((await audit(['--all'])).code).toBe(1);
    });
    expect((await audit([ID])).code).toBe(0);
  });

  test('finds a changed activity result in the exported history, and ends 1', async () => {
    // The receipt of a step, somewhere in the text; the payloads are base64, and this is a letter of one.
    const [row] = (await world.store.recordOf(rollbackId)).histories;
    if (!row) throw new Error('nothing was exported');
    const data = /activityTaskCompletedEventAttributes.*?data[\\": ]+([A-Za-z0-9+/=]{200,})/s.exec(row.json)?.[1] ?? '';
    const forged = Buffer.from(Buffer.from(data, 'base64').toString('utf8').replace('v1.0.0', 'v6.6.6')).toString('base64');
    const swap = (from: string, to: string): string => `UPDATE ops.histories SET json = replace(json, '${from}', '${to}') WHERE run_id = '${rollbackId}'`;
    await tampered('ops.histories', swap(data, forged), swap(forged, data), async () => {
      const { code, audit: found } = await audit([ID]);
      expect(code).toBe(1);
      expect(found.faults.map((fault) => fault.check)).toEqual(['export', 'export']);
      expect(found.faults[1]?.fault).toContain('the copies differ');
      // Without Temporal the replay has nothing but this export.
      const alone = await audit([ID], { TEMPORAL_ADDRESS: '127.0.0.1:1' });
      expect(alone.code).toBe(1);
      expect(new Set(alone.audit.faults.map((fault) => fault.check)).size).toBeGreaterThan(1);
    });
  });

  test('without Temporal audits the exports, and says what that leaves open', async () => {
    const { code, audit: found } = await audit([ID], { TEMPORAL_ADDRESS: '127.0.0.1:1' });
    expect(code).toBe(0);
    expect(found.checked[0]?.runs[0]?.from).toBe('the record');
    expect(found.notChecked.join()).toContain('what only Temporal knows');
  });

  test('of a file works without anything else, and says what that leaves open', async () => {
    const ran = await world.cli(['audit', history, '--database-url', 'postgres://nobody@127.0.0.1:1/none'], { TEMPORAL_ADDRESS: '127.0.0.1:1' });
    expect(ran.code).toBe(0);
    expect(ran.stdout).toMatch(
      /^✓ replay .*\n✓ values .*\n– not checked: the record: .*\n– not checked: .*no Postgres is at hand.*\n\nNo fault found in 1 rollback, 1 run\. 2 things were not checked, see above\.\n$/,
    );
  });

  test.each([
    ['nothing named', [], 2, 'nothing to audit was named'],
    ['both', ['web', '--all'], 2, '--all is everything already'],
    ['an unknown id', ['deployRevert/production/shop'], 2, 'knows deployRevert/production/shop'],
    ['an unknown file', ['nowhere.json'], 2, 'nowhere.json cannot be read'],
    ['an unknown rollback id', ['00000000-0000-4000-8000-000000000000'], 2, '00000000'],
    ['a database that is away', [ID, '--database-url', 'postgres://nobody@127.0.0.1:1/none'], 6, 'cannot be used'],
  ])('with %s ends with the exit code for it', async (_, args, code, message) => {
    const ran = await world.cli(['audit', ...args]);
    expect(ran.code).toBe(code);
    expect(ran.stderr).toContain(message);
    expect(ran.stdout).toBe('');
  });
});

describe('backout report', () => {
  test('is Markdown, on stdout or in a file, and JSON', async () => {
    const ran = await world.cli(['report', ID]);
    expect(ran.code).toBe(0);
    expect(ran.stdout).toMatch(/^# Rollback of web to v1\.0\.0: rolled-back\n\nci asked for a rollback of web in production/);
    for (const part of [
      '## Timeline',
      '## Steps',
      '## What people answered',
      '## What remains',
      '## For the review',
      '## How to verify this',
      `backout audit ${ID}`,
    ])
      expect(ran.stdout).toContain(part);
    const file = join(world.folder, 'report.md');
    expect((await world.cli(['report', rollbackId, '--out', file])).stdout).toBe('');
    expect((await readFile(file, 'utf8')).split('\n')[0]).toBe(ran.stdout.split('\n')[0]);
    const { stdout } = await world.cli(['report', 'web', '--format', 'json']);
    const report = JSON.parse(stdout) as Report;
    expect(report).toMatchObject({ id: ID, rollbackId, outcome: 'rolled-back', answers: [{ by: 'ana', proof: 'self-declared' }] });
    expect(report.timeline.length).toBeGreaterThan(6);
  });

  test('works from the record alone, and says so', async () => {
    const ran = await world.cli(['report', ID], { TEMPORAL_ADDRESS: '127.0.0.1:1' });
    expect(ran.code).toBe(0);
    expect(ran.stdout).toContain('the state is put together from the record alone');
    expect(ran.stdout).toContain('# Rollback of web to v1.0.0: rolled-back');
  });

  test.each([
    ['an unknown id', ['deployRevert/production/shop'], 2],
    ['an unknown format', ['web', '--format', 'pdf'], 2],
    ['a file that cannot be written', ['web', '--out', '/nowhere/report.md'], 2],
  ])('with %s ends 2', async (_, args, code) => {
    expect((await world.cli(['report', ...args])).code).toBe(code);
  });
});

test('an entry that somebody appended for a run that never was is found, and stays found', async () => {
  await world.store.append(rollbackId, [{ event: '00000000-0000-4000-8000-000000000000/opened', rollbackId, at: new Date().toISOString(), type: 'opened' }]);
  const { code, audit: found } = await audit([ID]);
  expect(code).toBe(1);
  expect(found.faults.map((fault) => fault.fault)).toEqual([expect.stringContaining('which neither Temporal nor the exported histories know')]);
});
