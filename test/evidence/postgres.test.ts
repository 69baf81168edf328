import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { postgres } from '../../activities/evidence/registry.ts';
import { type ChainOptions, chainOptions } from '../../activities/evidence/postgres-options.ts';
import { rejection } from '../adapters/contract.ts';
import { type TestDatabase, testDatabase } from '../store/database.ts';
import { evidenceContract } from './contract.ts';
import { CANARY, House, minute } from './house.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
}, 60_000);
afterAll(async () => {
  await database.drop();
});

evidenceContract<ChainOptions>({
  name: 'postgres',
  setup: async () => {
    const house = await House.create(database);
    return {
      chain: postgres,
      rawOptions: house.rawOptions,
      call: (overrides) => house.call(overrides),
      append: (count, pause) => house.append(count, pause),
      runs: (...places) => house.runs(...places),
      entries: () => house.entries(),
      snapshot: () => house.snapshot(),
      tamper: (how, place) => house.tamper(how, place),
      holding: (program) => house.holding(program),
      awaited: () => house.awaited(),
      away: () => house.away(),
      lossy: (takesEffect) => house.lossy(takesEffect),
      minute,
      canary: CANARY,
      teardown: () => house.close(),
    };
  },
});

const ANNOTATION = { incident: 'INC-7', rollbackId: 'r1', by: 'ana', at: minute(60), window: { from: minute(2), to: minute(5) } };

describe('postgres', () => {
  let house: House;
  beforeEach(async () => {
    house = await House.create(database);
  });
  afterEach(async () => {
    await house.close();
  });
  const withOptions = (overrides: Readonly<Record<string, unknown>>) => house.call({ options: house.options(overrides) });

  it.each([
    ['an address in the file itself', { url: 'postgres://me@host/db' }, 'url'],
    ['a name that is no name', { table: 'evidence; DROP TABLE evidence' }, 'table'],
    ['a word that no template knows', { append: { columns: { operation: '{operation}', body: { by: ['{who}'] } } } }, '{who}'],
    ['an annotation that could not be found again', { append: { columns: { body: '{operation}' } } }, 'found again'],
    ['a path that does not hold the operation', { operation: { column: 'body', path: ['op'] }, append: { columns: { body: { op: '{by}' } } } }, 'found again'],
    ['a hash that somebody else writes', { append: { columns: { operation: '{operation}', hash: '{by}' } } }, 'filled in'],
    ['nothing to hash', { over: [] }, 'over'],
  ])('refuses %s', (_, overrides, words) => {
    expect(JSON.stringify(chainOptions.safeParse({ ...house.rawOptions, ...overrides }).error?.issues)).toContain(words);
  });

  it('counts entries where no runs are configured', async () => {
    await house.append(8);
    expect(await postgres.affected(withOptions({ runs: undefined }), ANNOTATION.window)).toBe(3);
  });

  it('comes with a role that may neither change nor delete, into a table that refuses both; nothing of either is tried', async () => {
    await house.append(3);
    const table = `${house.schema}.evidence`;
    for (const sql of [`UPDATE ${table} SET note = 'x'`, `DELETE FROM ${table}`]) {
      await expect(house.query(`SET ROLE ${house.role}; ${sql}`)).rejects.toThrow('permission denied');
      await expect(house.query(sql)).rejects.toThrow('append-only');
    }
    await postgres.survey(house.call());
    await postgres.annotate(house.call(), ANNOTATION);
    expect(await postgres.survey(house.call())).toMatchObject({ entries: 4, broken: 0, warnings: [] });
  });

  it('without the right to lock it says what is missing, and appends nothing', async () => {
    await house.append(3);
    await house.query(`REVOKE MAINTAIN ON ${house.schema}.evidence FROM ${house.role}`);
    const before = await house.snapshot();
    expect(await rejection(postgres.annotate(house.call(), ANNOTATION))).toMatchObject({
      kind: 'unauthorized',
      message: expect.stringMatching(/may not lock .*MAINTAIN.*append\.function/) as string,
    });
    expect(await house.snapshot()).toStrictEqual(before);
  });

  it('warns where nothing keeps the chain from being forked or rewritten, as the catalog shows it', async () => {
    const table = `${house.schema}.evidence`;
    await house.query(
      `ALTER TABLE ${table} DROP CONSTRAINT evidence_previous_key, DROP CONSTRAINT evidence_pkey; GRANT UPDATE (note) ON ${table} TO ${house.role}`,
    );
    const { warnings } = await postgres.survey(house.call());
    expect(warnings.map((one) => /same seq|fork|may change/.exec(one)?.[0])).toEqual(['same seq', 'fork', 'may change']);
  });

  it('a writer that read the head outside of the lock forks the chain, which is told; a unique previous refuses it', async () => {
    const table = `${house.schema}.evidence`;
    await house.append(3);
    const [head] = await house.query<{ hash: string }>(`SELECT hash FROM ${table} WHERE seq = 3`);
    await postgres.annotate(house.call(), ANNOTATION);
    const late = `INSERT INTO ${table} (seq, previous, actor, body, hash) VALUES (5, '${head?.hash}', 'late', '{}', encode(sha256('${head?.hash}|5|late|{}'), 'hex'))`;
    await expect(house.query(late)).rejects.toThrow('evidence_previous_key');
    await house.query(`ALTER TABLE ${table} DROP CONSTRAINT evidence_previous_key`);
    await house.query(late);
    expect((await postgres.survey(house.call())).breaks).toMatchObject([{ at: '5', kind: 'link' }]);
  });

  it('rows that a policy hides from its role are an error, never a shorter chain', async () => {
    await house.append(3);
    await house.query(`ALTER TABLE ${house.schema}.evidence ENABLE ROW LEVEL SECURITY`);
    for (const act of [
      () => postgres.survey(house.call()),
      () => postgres.annotate(house.call(), ANNOTATION),
      () => postgres.affected(withOptions({ runs: undefined }), ANNOTATION.window),
    ])
      expect(await rejection(act())).toMatchObject({ kind: 'unauthorized', message: expect.stringContaining('row-level security') as string });
  });

  it('tells entries of the same order value, of none, and of one that is no whole number', async () => {
    await house.close();
    house = await House.create(database, 'seq numeric, previous text NOT NULL');
    await house.append(4);
    await house.unguarded(`UPDATE ${house.schema}.evidence SET seq = 2 WHERE seq = 3; UPDATE ${house.schema}.evidence SET seq = 4.5 WHERE seq = 4`);
    await house.query(`INSERT INTO ${house.schema}.evidence (previous, actor, body, hash) VALUES ('', '', '', '')`);
    const { breaks, entries, last } = await postgres.survey(house.call());
    expect(breaks.map(({ at, kind }) => `${at} ${kind}`)).toEqual(['2 order', '4.5 order', ' order']);
    expect([entries, last]).toEqual([4, '4.5']);
  });

  it('waits for the advisory lock of the house, and names who has it', async () => {
    await house.append(1);
    const other = await house.client('the-importer');
    await other.query('SELECT pg_advisory_lock($1)', [2 ** 40 + 7]);
    expect(await rejection(postgres.annotate(withOptions({ lock: 2 ** 40 + 7, lockTimeoutSeconds: 0.1 }), ANNOTATION))).toMatchObject({
      kind: 'conflict',
      message: expect.stringContaining('the-importer') as string,
    });
    await other.query('SELECT pg_advisory_unlock_all()');
    await other.query('SELECT pg_advisory_lock(hashtextextended($1, 0))', [`backout ${house.schema}.evidence ${house.schema}/trail.annotate`]);
    expect((await rejection(postgres.annotate(withOptions({ lockTimeoutSeconds: 0.1 }), ANNOTATION))).message).toContain('the-importer');
    await other.query('SELECT pg_advisory_unlock_all()');
    await postgres.annotate(withOptions({ lock: 2 ** 40 + 7 }), ANNOTATION);
    expect((await house.entries()).at(-1)?.body).toContain('INC-7');
  });

  it('tries again, when those who waited behind it have gone first', async () => {
    await house.append(2);
    const end = await house.holding('nightly-export');
    const annotating = postgres.annotate(house.call(), ANNOTATION);
    await house.awaited();
    await house.awaited(false);
    await end();
    await house.append(1);
    await annotating;
    expect((await house.entries()).map(({ body }) => body.includes('INC-7'))).toEqual([false, false, false, true]);
  });

  it.each([
    ['changes what is written', `NEW.actor := 'somebody'; RETURN NEW;`, /does not hold: hash/],
    ['drops it', 'RETURN NULL;', /0 entries are found/],
    ['refuses it, and quotes it', `RAISE 'not this one: % ${CANARY}', NEW.body;`, /P0001/],
  ])('a trigger of the table that %s: nothing is appended, and it is said without what it says', async (_, body, message) => {
    await house.append(2);
    await house.query(`CREATE FUNCTION ${house.schema}.meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${body} END $$;
      CREATE TRIGGER meddle BEFORE INSERT ON ${house.schema}.evidence FOR EACH ROW EXECUTE FUNCTION ${house.schema}.meddle()`);
    const error = await rejection(postgres.annotate(house.call(), ANNOTATION));
    expect(error).toMatchObject({ kind: 'failed', message: expect.stringMatching(message) as string });
    expect(error.message).not.toMatch(new RegExp(`${CANARY}|INC-7`));
    expect(await house.entries()).toHaveLength(2);
  });

  it('keeps nobody waiting for longer than it may, and appends nothing then', async () => {
    await house.append(2);
    await house.query(`CREATE FUNCTION ${house.schema}.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(20); RETURN NEW; END $$;
      CREATE TRIGGER dawdle BEFORE INSERT ON ${house.schema}.evidence FOR EACH ROW EXECUTE FUNCTION ${house.schema}.dawdle()`);
    const started = performance.now();
    expect((await rejection(postgres.annotate(withOptions({ holdTimeoutSeconds: 0.2 }), ANNOTATION))).kind).toBe('failed');
    expect(performance.now() - started).toBeLessThan(5_000);
    expect(await house.entries()).toHaveLength(2);
  });

  it('words that no column takes are appended without what it does not take', async () => {
    await postgres.annotate(house.call(), { ...ANNOTATION, incident: 'INC-7\u0000', by: 'half \ud800' });
    expect(JSON.parse((await house.entries())[0]?.body ?? '')).toMatchObject({ incident: 'INC-7\ufffd', by: 'half \ufffd' });
    expect(await postgres.survey(house.call())).toMatchObject({ entries: 1, broken: 0 });
  });

  it('says what is wrong with the way to it', async () => {
    const stranger = new URL(house.url);
    stranger.username = 'nobody_knows';
    const cases = [
      [house.call({ secret: () => Promise.resolve(stranger.href) }), 'unauthorized'],
      [house.call({ secret: () => Promise.resolve(`hunter2 ${CANARY}`) }), 'configuration'],
      [withOptions({ table: `${house.schema}.nothing` }), 'configuration'],
      [withOptions({ hash: 'nothing' }), 'configuration'],
    ] as const;
    for (const [call, kind] of cases) {
      const error = await rejection(postgres.survey(call));
      expect(error.kind, error.message).toBe(kind);
      expect(error.message).not.toContain(CANARY);
    }
  });

  it('a survey waits for who keeps readers out, and gives up where no entry comes', async () => {
    await house.append(2);
    const other = await house.client('vacuum');
    await other.query(`BEGIN; LOCK TABLE ${house.schema}.evidence IN ACCESS EXCLUSIVE MODE`);
    expect((await rejection(postgres.survey(withOptions({ statementTimeoutSeconds: 1 })))).kind).toBe('unavailable');
    const waiting = postgres.survey(house.call());
    await house.awaited();
    await other.query('COMMIT');
    expect(await waiting).toMatchObject({ entries: 2, broken: 0 });
  });

  it('stops in the middle when aborted, at once', async () => {
    await large(2_000, 4_000);
    const abort = new AbortController();
    const surveying = rejection(postgres.survey(house.call({ signal: abort.signal })));
    await busy();
    const aborted = performance.now();
    abort.abort();
    expect((await surveying).kind).toBe('unavailable');
    expect(performance.now() - aborted).toBeLessThan(1_000);
  });

  it('needs no more memory for many large entries than for one, and says how far it is', async () => {
    await large(150, 30_000);
    const said: string[] = [];
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, process.memoryUsage().rss);
    }, 5);
    const before = process.memoryUsage().rss;
    expect(await postgres.survey(house.call({ heartbeat: (words) => said.push(words) }))).toMatchObject({ entries: 150, broken: 0 });
    clearInterval(watch);
    // 150 entries of 1 MB, each of which comes twice: as what is hashed, and as it is stored.
    expect((most - before) / 2 ** 20).toBeLessThan(150);
    expect(said).toContainEqual(expect.stringMatching(/^\d+ entries of trail verified$/));
  });

  /** So many entries of `size` times 32 characters. */
  const large = (count: number, size: number): Promise<unknown> =>
    house.query(`DO $$ DECLARE p text := 'genesis'; b text; h text; BEGIN
      FOR n IN 1..${count} LOOP
        b := repeat(md5(n::text), ${size});
        h := encode(sha256(convert_to(p || '|' || n || '|agent|' || b, 'UTF8')), 'hex');
        INSERT INTO ${house.schema}.evidence (seq, previous, actor, body, hash) VALUES (n, p, 'agent', b, h);
        p := h;
      END LOOP;
    END $$`);
  /** Until the survey is under way. */
  const busy = (): Promise<unknown> =>
    house.query(`DO $$ BEGIN
      FOR n IN 1..500 LOOP
        PERFORM pg_stat_clear_snapshot();
        EXIT WHEN EXISTS (SELECT FROM pg_stat_activity WHERE usename = '${house.role}' AND query LIKE '%t::text%');
        PERFORM pg_sleep(0.01);
      END LOOP;
    END $$`);
});
