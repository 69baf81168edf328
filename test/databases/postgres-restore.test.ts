import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Client } from 'pg';
import { describe, expect, it } from 'vitest';
import { preview, restore } from '../../activities/databases/postgres-restore.ts';
import { rejection } from '../adapters/contract.ts';
import { everything } from './postgres-given.ts';
import { addresses, CANARY, FROM, IN, RESTORE, scene, TO, type Scene } from './restore-scene.ts';

const row = (id: number, name = `w${id}`, owner = 'acme'): object => ({ id, name, owner });
const many = (count: number, make: (id: number) => object): object[] => Array.from({ length: count }, (_, place) => make(place + 1));
const rowsOf = (here: Scene): Promise<Record<string, unknown>[]> => here.run('SELECT * FROM HERE.workflows ORDER BY id');

describe('what is put back [004 section 3.4]', () => {
  it('rows deleted in the window; a preview says the same beforehand and changes nothing; a second call finds nothing left', async () => {
    const here = await scene();
    await here.run(`INSERT INTO HERE.workflows VALUES (2, 'w2', 'acme'), (3, 'renamed since', 'acme')`);
    await here.deleted([1, 2, 3, 4].map((id) => row(id)));
    const before = await rowsOf(here);
    expect(await preview(here.given().call, RESTORE)).toMatchObject({
      missing: 2,
      same: 1,
      changed: 1,
      unreadable: 0,
      later: 0,
      others: 0,
      refersTo: [],
      byTenant: [],
    });
    expect(await rowsOf(here)).toEqual(before);
    const receipt = await restore(here.given().call, RESTORE);
    expect(receipt).toMatchObject({
      after: { restored: 2, same: 1, changed: 1, blocked: [] },
      detail: expect.stringMatching(/^2 rows put back, 1 .* 1 /) as string,
    });
    expect(await rowsOf(here)).toEqual([row(1), row(2), row(3, 'renamed since'), row(4)]);
    expect(await restore(here.given().call, RESTORE)).toMatchObject({ after: { restored: 0, same: 3, changed: 1 } });
    expect(await preview(here.given().call, RESTORE)).toMatchObject({ missing: 0, same: 3, changed: 1 });
  });

  it('the window has its first instant in it and its last one not', async () => {
    const here = await scene();
    await here.deleted([row(1)], { at: '2026-11-19T23:59:59.999999Z' });
    await here.deleted([row(2)], { at: FROM });
    await here.deleted([row(3)], { at: '2026-11-20T23:59:59.999999Z' });
    await here.deleted([row(4)], { at: TO });
    await restore(here.given().call, RESTORE);
    expect(await rowsOf(here)).toEqual([row(2), row(3)]);
  });

  it.each([
    ['the end is to come', { from: FROM, to: '2999-01-01T00:00:00Z' }, /not over yet/],
    ['nothing is in it', { from: TO, to: FROM }, /ends .* before/],
    ['no time', { from: FROM, to: 'now' }, /ISO/],
    ['no time zone', { from: FROM, to: '2026-11-21T00:00:00' }, /time zone/],
  ])('a window that is none is refused: %s', async (_, window, message) => {
    const here = await scene();
    await here.deleted([row(1)]);
    for (const act of [preview, restore]) {
      expect(await rejection(act(here.given().call, { ...RESTORE, window }))).toMatchObject({
        kind: 'configuration',
        message: expect.stringMatching(message) as string,
      });
    }
    expect(await rowsOf(here)).toEqual([]);
  });

  it('the latest entry of a key, by its time and then by its id', async () => {
    const here = await scene();
    await here.deleted([row(1, 'late')], { at: '2026-11-20T13:00:00Z' });
    await here.deleted([row(1, 'early')], { at: '2026-11-20T11:00:00Z' });
    for (const name of ['first', 'second']) await here.deleted([row(2, name)]);
    expect(await preview(here.given().call, RESTORE)).toMatchObject({ missing: 2 });
    await restore(here.given().call, RESTORE);
    expect(await rowsOf(here)).toEqual([row(1, 'late'), row(2, 'second')]);
  });

  it('nothing of another action or another table', async () => {
    const here = await scene();
    await here.deleted([row(1)], { action: 'UPDATE' });
    await here.deleted([row(2)], { action: 'delete' });
    await here.deleted([row(3)], { table: 'workflow_runs' });
    await here.deleted([row(4)], { table: 'shop.workflows' });
    await restore(here.given().call, RESTORE);
    expect(await rowsOf(here)).toEqual([]);
    await restore(here.given({ audit: { named: 'shop.workflows' } }).call, RESTORE);
    expect(await rowsOf(here)).toEqual([row(4)]);
  });

  it('entries whose key cannot be read are counted, never guessed', async () => {
    const here = await scene();
    await here.deleted([null, [1], { name: 'no id' }, { id: null }, 7, row(1)]);
    await here.run(`INSERT INTO HERE.audit_log (table_name, action, old_data, created_at) VALUES ('workflows', 'DELETE', NULL, '${IN}')`);
    expect(await preview(here.given().call, RESTORE)).toMatchObject({ missing: 1, unreadable: 6 });
    expect(await restore(here.given().call, RESTORE)).toMatchObject({ after: { restored: 1, unreadable: 6 } });
  });
});

describe('tenants', () => {
  const mixed = async (): Promise<Scene> => {
    const here = await scene();
    for (const [id, owner] of [
      [1, 'acme'],
      [2, 'bolt'],
      [3, 'acme'],
      [4, 'core'],
    ] as const) {
      await here.deleted([row(id, `w${id}`, owner)]);
    }
    return here;
  };

  it('are counted, most rows first; only those asked for are put back', async () => {
    const here = await mixed();
    const { byTenant } = await preview(here.given({ tenant: 'owner' }).call, RESTORE);
    expect(byTenant).toEqual([
      { tenant: 'acme', rows: 2 },
      { tenant: 'bolt', rows: 1 },
      { tenant: 'core', rows: 1 },
    ]);
    await restore(here.given({ tenant: 'owner' }).call, { ...RESTORE, tenant: 'acme' });
    expect((await rowsOf(here)).map(({ id }) => id)).toEqual([1, 3]);
    await restore(here.given({ tenant: 'owner', tenants: ['acme', 'bolt'] }).call, RESTORE);
    expect((await rowsOf(here)).map(({ id }) => id)).toEqual([1, 2, 3]);
  });

  it('a row that was another tenant’s when it was last deleted is not given to an earlier one', async () => {
    const here = await scene();
    await here.deleted([row(1, 'old', 'acme')], { at: '2026-11-20T10:00:00Z' });
    await here.deleted([row(1, 'new', 'bolt')], { at: '2026-11-20T11:00:00Z' });
    expect(await preview(here.given({ tenant: 'owner' }).call, { ...RESTORE, tenant: 'acme' })).toMatchObject({ missing: 0 });
    await restore(here.given({ tenant: 'owner' }).call, { ...RESTORE, tenant: 'acme' });
    expect(await rowsOf(here)).toEqual([]);
  });

  it('are not narrowed where no column names them, and not widened beyond the configuration', async () => {
    const here = await mixed();
    const cases = [
      [{}, 'acme', /names no column/],
      [{ tenants: ['acme'] }, null, /names no column/],
      [{ tenant: 'owner', tenants: ['acme'] }, 'bolt', /not configured for the tenant bolt/],
    ] as const;
    for (const [options, tenant, message] of cases) {
      for (const act of [preview, restore]) {
        const error = await rejection(act(here.given(options).call, { ...RESTORE, tenant }));
        expect(error).toMatchObject({ kind: 'configuration', message: expect.stringMatching(message) as string });
      }
    }
    expect(await rowsOf(here)).toEqual([]);
  });
});

describe('columns', () => {
  it('of every kind come back as they were; what was added since takes its default, what was dropped is named', async () => {
    const here = await scene(`CREATE TYPE HERE.mood AS ENUM ('glad', 'sad'); CREATE DOMAIN HERE.sure AS text NOT NULL;
      CREATE TABLE HERE.workflows (id uuid PRIMARY KEY, "Group" text, amount numeric, big bigint, at timestamptz, raw bytea, doc json, tags text[], mood HERE.mood,
        twice bigint GENERATED ALWAYS AS (big * 2) STORED, sure HERE.sure DEFAULT 'added since', note text NOT NULL DEFAULT 'too', gone int)`);
    const id = '9b2f0a5e-51a1-4c37-9d2e-0b3c4d5e6f70';
    await here.run(`INSERT INTO HERE.workflows (id, "Group", amount, big, at, raw, doc, tags, mood, gone) VALUES
      ('${id}', 'ü "x"', 12345678901234567890.1200, 9007199254740993, '2026-01-02 03:04:05.678901+02', '\\x00ff', '{"b": 1, "a": [1.10]}', '{a,"b c",NULL}', 'sad', 7)`);
    await here.run(`INSERT INTO HERE.audit_log (table_name, action, old_data, created_at)
      SELECT 'workflows', 'DELETE', to_jsonb(w) - 'sure' - 'note', '${IN}' FROM HERE.workflows AS w`);
    const text = (): Promise<Record<string, unknown>[]> =>
      here.run(`SELECT id, "Group", amount::text, big, at, raw, doc::jsonb, tags, mood, twice, sure, note FROM HERE.workflows`);
    const before = await text();
    await here.run('DELETE FROM HERE.workflows; ALTER TABLE HERE.workflows DROP COLUMN gone');
    expect(await restore(here.given().call, RESTORE)).toMatchObject({
      after: { restored: 1, lost: ['gone'] },
      detail: expect.stringContaining('no column gone any more') as string,
    });
    expect(await text()).toEqual(before);
    expect(await preview(here.given().call, RESTORE)).toMatchObject({ missing: 0, same: 1, changed: 0 });
  });

  it('only those that are configured, with the key', async () => {
    const here = await scene();
    await here.deleted([row(1)]);
    await restore(here.given({ columns: ['name'] }).call, RESTORE);
    expect(await rowsOf(here)).toEqual([{ id: 1, name: 'w1', owner: null }]);
    expect(await preview(here.given({ columns: ['name'] }).call, RESTORE)).toMatchObject({ same: 1 });
    expect((await rejection(preview(here.given({ columns: ['nmae'] }).call, RESTORE))).message).toMatch(/has no column nmae/);
  });

  it('a key of two columns, whose numbers count for themselves, and are not given out again', async () => {
    const here = await scene(
      `CREATE TABLE HERE.workflows (id int GENERATED ALWAYS AS IDENTITY, tenant text, serial serial, other serial, PRIMARY KEY (tenant, id))`,
    );
    await here.run(`SELECT setval('HERE.workflows_other_seq', 900)`);
    await here.deleted([{ id: 1, tenant: 'a', serial: 70, other: 5 }]);
    await here.deleted([{ id: 1, tenant: 'b', serial: 71, other: 6 }]);
    expect(await restore(here.given({ key: ['tenant', 'id'] }).call, RESTORE)).toMatchObject({ after: { restored: 2 } });
    const made = await here.run(`INSERT INTO HERE.workflows (tenant) VALUES ('a') RETURNING id, serial, other`);
    expect(made).toEqual([{ id: 2, serial: 72, other: 901 }]);
  });

  it.each([
    ['an unknown restore', { name: 'orders' }, {}, /no restore orders/],
    ['a name of every object', { name: 'constructor' }, {}, /no restore constructor/],
    ['no such table', {}, { table: 'nowhere' }, /no table nowhere/],
    ['a key that is none', {}, { key: ['name'] }, /name is no primary key/],
    ['no such audit log', {}, { audit: { table: 'nowhere' } }, /nowhere/],
    ['no such column in it', {}, { audit: { old: 'olddata' } }, /olddata/],
  ])('what cannot be is a mistake of the configuration: %s', async (_, asked, options, message) => {
    const here = await scene();
    for (const act of [preview, restore]) {
      const error = await rejection(act(here.given(options).call, { ...RESTORE, ...asked }));
      expect(error).toMatchObject({ kind: 'configuration', message: expect.stringMatching(message) as string });
    }
  });

  it('an entry that is no row of this table is left out alone, and its words stay in the database', async () => {
    const here = await scene();
    await here.deleted([row(1), { id: 2, name: 'w2', owner: 'acme' }]);
    await here.run('ALTER TABLE HERE.workflows ALTER owner TYPE int USING length(owner)');
    await here.deleted([
      { id: 'the secret of Bob', name: 'x', owner: 7 },
      { id: 3, name: 'w3', owner: 5 },
    ]);
    expect(await preview(here.given().call, RESTORE)).toMatchObject({ missing: 3, unreadable: 1 });
    const receipt = await restore(here.given().call, RESTORE);
    expect(receipt.after).toMatchObject({ restored: 1, blocked: [{ by: 'a value that its column does not take', rows: 2 }], unreadable: 1 });
    expect(JSON.stringify(receipt)).not.toContain('Bob');
    expect(await rowsOf(here)).toEqual([{ id: 3, name: 'w3', owner: 5 }]);
  });
});

describe('what a row meets there', () => {
  it('a missing parent blocks that row alone, by its constraint, also one that is deferred; the others come back', async () => {
    const here = await scene(`CREATE TABLE HERE.owners (name text PRIMARY KEY); INSERT INTO HERE.owners VALUES ('acme');
      CREATE TABLE HERE.projects (id int PRIMARY KEY);
      CREATE TABLE HERE.workflows (id int PRIMARY KEY, name text UNIQUE, owner text CONSTRAINT its_owner REFERENCES HERE.owners DEFERRABLE INITIALLY DEFERRED,
        project int CONSTRAINT its_project REFERENCES HERE.projects)`);
    await here.run(`INSERT INTO HERE.workflows VALUES (9, 'taken', 'acme')`);
    await here.deleted([row(1), row(2, 'w2', 'gone'), { ...row(3), project: 1 }, { ...row(4), project: 2 }, row(5, 'taken'), row(6)]);
    const receipt = await restore(here.given().call, RESTORE);
    expect(receipt).toMatchObject({
      after: {
        restored: 2,
        blocked: [
          { by: 'its_project', rows: 2 },
          { by: 'its_owner', rows: 1 },
          { by: 'workflows_name_key', rows: 1 },
        ],
      },
      detail: expect.stringContaining('2 could not be put back because of its_project') as string,
    });
    expect((await rowsOf(here)).map(({ id }) => id)).toEqual([1, 6, 9]);
    await here.run('INSERT INTO HERE.projects VALUES (1), (2)');
    expect(await restore(here.given().call, RESTORE)).toMatchObject({ after: { restored: 2, same: 2 } });
  });

  it('a parent in the same table comes back however late it stands', async () => {
    const here = await scene(`CREATE TABLE HERE.workflows (id int PRIMARY KEY, parent int CONSTRAINT its_parent REFERENCES HERE.workflows)`);
    // Each needs the one behind it, three batches away; the last but one has none.
    await here.deleted(many(1_600, (id) => ({ id, parent: id === 1_600 ? 9_999 : id === 1_599 ? null : Math.min(id + 533, 1_599) })));
    expect(await restore(here.given().call, RESTORE)).toMatchObject({ after: { restored: 1_599, blocked: [{ by: 'its_parent', rows: 1 }] } });
  });

  it('what a trigger of the house leaves out or refuses is told, and its words are not', async () => {
    const here = await scene();
    await here.run(`CREATE FUNCTION HERE.guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.id = 2 THEN RETURN NULL; END IF;
        IF NEW.id = 3 THEN RAISE EXCEPTION 'quota of Bob'; END IF;
        RETURN NEW; END $$;
      CREATE TRIGGER guard BEFORE INSERT ON HERE.workflows FOR EACH ROW EXECUTE FUNCTION HERE.guard()`);
    await here.deleted(many(3, row));
    const receipt = await restore(here.given().call, RESTORE);
    expect(receipt).toMatchObject({ after: { restored: 1, blocked: [{ by: 'a trigger of the table', rows: 2 }] } });
    expect(everything(receipt)).not.toContain('Bob');
  });

  it('the house’s own audit triggers write on, and what they write is never read: no loop, and nothing new in the window', async () => {
    const here = await scene();
    await here.run(`CREATE FUNCTION HERE.audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO HERE.audit_log (table_name, action, old_data) VALUES ('workflows', TG_OP, to_jsonb(coalesce(OLD, NEW)));
        -- The worst of triggers: it says of each insertion that it was a deletion.
        INSERT INTO HERE.audit_log (table_name, action, old_data) VALUES ('workflows', 'DELETE', jsonb_build_object('id', NEW.id + 1000));
        RETURN NULL; END $$;
      CREATE TRIGGER audit AFTER INSERT OR DELETE ON HERE.workflows FOR EACH ROW EXECUTE FUNCTION HERE.audit()`);
    await here.deleted(many(600, row));
    expect(await restore(here.given().call, RESTORE)).toMatchObject({ after: { restored: 600 } });
    expect(await here.run('SELECT count(*)::int AS n FROM HERE.audit_log')).toEqual([{ n: 600 + 1_200 }]);
    expect(await restore(here.given().call, RESTORE)).toMatchObject({ after: { restored: 0, same: 600 } });
    expect(await rowsOf(here)).toHaveLength(600);
  });
});

describe('many rows, and what comes between', () => {
  /** 10,000 rows of 10 kB, which would be 100 MB here. */
  const large = async (): Promise<Scene> => {
    const here = await scene();
    await here.run(`INSERT INTO HERE.audit_log (table_name, action, old_data, created_at)
      SELECT 'workflows', 'DELETE', jsonb_build_object('id', n, 'owner', 'acme', 'name', repeat(md5(n::text), 320)), '${IN}' FROM generate_series(1, 10000) AS n`);
    return here;
  };
  const digest = (here: Scene): Promise<unknown> =>
    here.run(`SELECT count(*)::int AS rows, md5(string_agg(w::text, '' ORDER BY id)) AS digest FROM HERE.workflows AS w`);

  it('10,000 rows in one call: batches of 500, each a transaction of its own, with progress and in constant memory', async () => {
    const here = await large();
    const { call, beats } = here.given();
    globalThis.gc?.();
    const before = process.memoryUsage().rss;
    let most = before;
    const watched = { ...call, heartbeat: (progress: string): void => (call.heartbeat(progress), void (most = Math.max(most, process.memoryUsage().rss))) };
    expect(await restore(watched, RESTORE)).toMatchObject({ after: { restored: 10_000 } });
    expect(most - before).toBeLessThan(30e6);
    expect(new Set(beats)).toContain('workflows: 5000 of 10000 rows looked at');
    expect(await here.run('SELECT count(DISTINCT xmin::text)::int AS n, count(*)::int AS rows FROM HERE.workflows')).toEqual([{ n: 20, rows: 10_000 }]);
  });

  it('stopped while another holds a row: at once, with whole batches in place; the next call finds the rest', async () => {
    const here = await large();
    const other = new Client({ connectionString: addresses().own });
    await other.connect();
    // The first of the fourth batch is just being made by somebody else.
    await other.query(`BEGIN; INSERT INTO ${here.schema}.workflows VALUES (1501, 'theirs', 'acme')`);
    const { call, abort, beats } = here.given();
    const restoring = rejection(restore({ ...call, options: { ...call.options, lockTimeoutSeconds: 60 } }, RESTORE));
    await expect.poll(() => beats, { timeout: 30_000 }).toContain('workflows: 1500 of 10000 rows looked at');
    const started = Date.now();
    abort.abort();
    expect((await restoring).kind).toBe('unavailable');
    expect(Date.now() - started).toBeLessThan(2_000);
    expect(await here.run('SELECT count(*)::int AS rows FROM HERE.workflows')).toEqual([{ rows: 1_500 }]);
    await other.query('COMMIT');
    await other.end();
    expect(await restore(here.given().call, RESTORE)).toMatchObject({ after: { restored: 8_499, same: 1_500, changed: 1 } });
  });

  it('a lock that is not had within the time is a conflict, and nothing is waited for without end', async () => {
    const here = await scene();
    await here.deleted([row(1)]);
    const other = new Client({ connectionString: addresses().own });
    await other.connect();
    await other.query(`BEGIN; LOCK TABLE ${here.schema}.workflows IN SHARE MODE`);
    const { call } = here.given();
    expect(await rejection(restore({ ...call, options: { ...call.options, lockTimeoutSeconds: 0.2 } }, RESTORE))).toMatchObject({ kind: 'conflict' });
    await other.end();
    expect(await rowsOf(here)).toEqual([]);
  });

  it('killed in the middle and called again: every row once, as an unbroken run has it', async () => {
    const [whole, broken] = [await large(), await large()];
    await restore(whole.given().call, RESTORE);
    const { call } = broken.given();
    const source = `const { restore } = await import(process.env.MODULE);
      const call = { ...JSON.parse(process.env.CALL), signal: new AbortController().signal, secret: async () => process.env.SHOP,
        heartbeat: (said) => { if (said.includes(' 3000 of')) process.kill(process.pid, 'SIGKILL'); } };
      await restore(call, ${JSON.stringify(RESTORE)});`;
    const env = {
      ...process.env,
      MODULE: new URL('../../activities/databases/postgres-restore.ts', import.meta.url).href,
      CALL: JSON.stringify(call),
      SHOP: addresses().shop,
    };
    const [, signal] = (await once(spawn(process.execPath, ['--input-type=module', '--eval', source], { env, stdio: 'inherit' }), 'exit')) as [unknown, string];
    expect(signal).toBe('SIGKILL');
    expect(await broken.run('SELECT count(*)::int AS rows FROM HERE.workflows')).toEqual([{ rows: 3_000 }]);
    expect(await restore({ ...call, attempt: 2 }, RESTORE)).toMatchObject({ after: { restored: 7_000, same: 3_000 } });
    expect(await digest(broken)).toEqual(await digest(whole));
  });

  it('neither the password nor a row is in anything that leaves', async () => {
    const here = await scene();
    await here.deleted([row(1, 'Bob of Basel'), row(2, 'Bob of Bern')]);
    const { call, beats } = here.given({ tenant: 'owner' });
    const left: unknown[] = [await preview(call, RESTORE), await restore(call, RESTORE), beats];
    const away = { ...call, secret: () => Promise.resolve(`postgres://shop:${CANARY}@127.0.0.1:1/shop`) };
    left.push(await rejection(restore(away, RESTORE)), await rejection(preview({ ...call, secret: () => Promise.resolve(`no address ${CANARY}`) }, RESTORE)));
    expect(everything(...left)).not.toMatch(/canary|Bob/);
    expect(left.length).toBe(5);
  });
});
