/** What an audit log cannot say for itself: which table, which zone, what came after, and whose it was. */
import { describe, expect, it } from 'vitest';
import { preview, restore } from '../../activities/databases/postgres-restore.ts';
import { RESTORE, scene, TO } from './restore-scene.ts';

const row = (id: number, owner = 'acme'): object => ({ id, name: `w${id}`, owner });

describe('a row that has a later story', () => {
  it('made anew and deleted again after the window, stays deleted, and is counted', async () => {
    const here = await scene();
    await here.deleted([row(1), row(2)]);
    await here.deleted([row(2, 'globex')], { at: TO });
    // Of another table of the house, with the same key.
    await here.deleted([row(1)], { at: TO, table: 'customers' });
    expect(await preview(here.given().call, RESTORE)).toMatchObject({ missing: 1, later: 1 });
    expect((await restore(here.given().call, RESTORE)).after).toMatchObject({ restored: 1 });
    expect(await here.run('SELECT id FROM HERE.workflows')).toEqual([{ id: 1 }]);
  });

  it('and is there again, is left as it is, whatever was written of it since', async () => {
    const here = await scene();
    await here.run(`INSERT INTO HERE.workflows VALUES (1, 'anew', 'acme')`);
    await here.deleted([row(1)]);
    await here.deleted([row(1)], { at: TO, action: 'UPDATE' });
    expect(await preview(here.given().call, RESTORE)).toMatchObject({ missing: 0, later: 0 });
  });
});

it('rows of tenants that are left out are counted, and stay deleted', async () => {
  const here = await scene();
  await here.deleted([row(1), row(2, 'globex'), row(3, 'globex')]);
  const { call } = here.given({ tenant: 'owner', tenants: ['acme'] });
  expect(await preview(call, RESTORE)).toMatchObject({ missing: 1, others: 2, byTenant: [{ tenant: 'acme', rows: 1 }] });
  await restore(call, RESTORE);
  expect(await here.run('SELECT id FROM HERE.workflows')).toEqual([{ id: 1 }]);
});

describe('times without a zone', () => {
  const inTokyo = async () => {
    const here = await scene();
    await here.run(`ALTER TABLE HERE.audit_log ALTER created_at TYPE timestamp USING created_at AT TIME ZONE 'UTC'`);
    // What came in at 20:00 UTC of the day before the window ends, as a log has it that writes UTC.
    await here.run(`INSERT INTO HERE.audit_log (table_name, action, old_data, created_at)
      VALUES ('workflows', 'DELETE', '{"id": 1, "name": "w1", "owner": "acme"}', '2026-11-20T23:30:00')`);
    const given = (audit: object) => {
      const { call } = here.given({ audit });
      const secret = async (reference: string): Promise<string> => `${await call.secret(reference)}?options=-c%20timezone%3DAsia/Tokyo`;
      return { ...call, secret };
    };
    return { here, given };
  };

  it('are read as those of the database, and that is said where it is not UTC', async () => {
    const { given } = await inTokyo();
    const { notes, missing } = await preview(given({}), RESTORE);
    expect(missing).toBe(1);
    expect(notes).toContainEqual(expect.stringMatching(/have no zone and are read as Asia\/Tokyo.* audit\.zone/));
    const early = { ...RESTORE, window: { from: '2026-11-20T23:00:00.000Z', to: TO } };
    expect(await preview(given({}), early)).toMatchObject({ missing: 0 });
  });

  it('are read as those of the zone that is said', async () => {
    const { given } = await inTokyo();
    const early = { ...RESTORE, window: { from: '2026-11-20T23:00:00.000Z', to: TO } };
    expect(await preview(given({ zone: 'UTC' }), early)).toMatchObject({ missing: 1 });
    const { notes } = await preview(given({ zone: 'UTC' }), early);
    expect(notes.join()).not.toContain('zone');
  });
});

describe('a table whose name another schema has too', () => {
  it('is said to be told apart from it by nothing', async () => {
    const here = await scene();
    await here.run('CREATE SCHEMA HERE_archive; CREATE TABLE HERE_archive.workflows (id int)');
    const { notes } = await preview(here.given().call, RESTORE);
    expect(notes).toContainEqual(expect.stringMatching(new RegExp(`${here.schema}_archive\\.workflows.* is called like .*audit\\.schema`)));
  });

  it('is told apart by the column of the log that names the schema', async () => {
    const here = await scene();
    await here.run('ALTER TABLE HERE.audit_log ADD schema_name text');
    await here.deleted([row(1), row(2)]);
    await here.run(`UPDATE HERE.audit_log SET schema_name = CASE WHEN old_data ->> 'id' = '1' THEN 'HERE' ELSE 'archive' END`);
    const { call } = here.given({ audit: { schema: 'schema_name' } });
    expect(await preview(call, RESTORE)).toMatchObject({ missing: 1, notes: [] });
    await restore(call, RESTORE);
    expect(await here.run('SELECT id FROM HERE.workflows')).toEqual([{ id: 1 }]);
  });
});

it('a json that may not be empty comes back as json null, which its entry cannot tell from nothing', async () => {
  const here = await scene(`CREATE TABLE HERE.workflows (id int PRIMARY KEY, doc jsonb NOT NULL, note jsonb)`);
  await here.deleted([{ id: 1, doc: null, note: null }]);
  expect((await restore(here.given().call, RESTORE)).after).toMatchObject({ restored: 1, blocked: [] });
  expect(await here.run(`SELECT doc::text AS doc, note IS NULL AS none FROM HERE.workflows`)).toEqual([{ doc: 'null', none: true }]);
});

it('says which tables its rows refer to: these go first', async () => {
  const here = await scene(`CREATE TABLE HERE.owners (name text PRIMARY KEY); CREATE TABLE HERE.workflows (id int PRIMARY KEY, name text,
    owner text REFERENCES HERE.owners, parent int REFERENCES HERE.workflows)`);
  expect(await preview(here.given().call, RESTORE)).toMatchObject({ table: `${here.schema}.workflows`, refersTo: [`${here.schema}.owners`] });
});
