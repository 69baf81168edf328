/** The forms in which houses keep their chains: who links, what is hashed, how it is printed. Each is told what it has to be by the house's own statements. */
import canonicalize from 'canonicalize';
import { createHash, randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { postgres } from '../../activities/evidence/registry.ts';
import { chainOptions } from '../../activities/evidence/postgres-options.ts';
import type { ChainCall } from '../../activities/evidence/chain.ts';
import type { ChainOptions } from '../../activities/evidence/postgres-options.ts';
import { rejection } from '../adapters/contract.ts';
import { type TestDatabase, testDatabase } from '../store/database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
  // Nothing of how Backout reads may hang on what the database is set to.
  const name = new URL(database.url).pathname.slice(1);
  await database.query(`ALTER DATABASE ${name} SET TimeZone = 'Asia/Tokyo'; ALTER DATABASE ${name} SET DateStyle = 'German'; ALTER DATABASE ${name} SET bytea_output = 'escape';
    ALTER DATABASE ${name} SET default_transaction_isolation = 'serializable'`);
}, 60_000);
afterAll(async () => {
  await database.drop();
});

const WINDOW = { from: '2000-01-01T00:00:00.000Z', to: '2100-01-01T00:00:00.000Z' };
const ANNOTATION = { incident: 'INC-7', rollbackId: 'r1', by: "o'hara", at: '2026-11-21T11:00:00.123Z', window: WINDOW };

interface Form {
  readonly call: ChainCall<ChainOptions>;
  readonly table: string;
}

/** `sql` makes the table `$T`, in the schema `$S`, for the role `$R`. */
async function form(sql: string, options: Readonly<Record<string, unknown>>): Promise<Form> {
  const schema = `form_${randomUUID().slice(0, 8)}`;
  const named = (text: string): string => text.replaceAll('$T', `${schema}.evidence`).replaceAll('$S', schema).replaceAll('$R', `${schema}_backout`);
  await database.query(named(`CREATE SCHEMA $S; CREATE ROLE $R LOGIN; GRANT USAGE ON SCHEMA $S TO $R; ${sql}; GRANT SELECT ON ALL TABLES IN SCHEMA $S TO $R`));
  const url = new URL(database.url);
  url.username = `${schema}_backout`;
  const parsed = chainOptions.parse(
    JSON.parse(
      named(JSON.stringify({ url: 'env:E', table: '$T', order: 'seq', previous: 'previous', hash: 'hash', at: 'at', operation: { column: 'op' }, ...options })),
    ),
  );
  const call = {
    name: 'trail',
    environment: 'production',
    options: parsed,
    folder: '/',
    operationId: 'r1/trail.annotate/1',
    attempt: 1,
    signal: new AbortController().signal,
    heartbeat: () => undefined,
    secret: () => Promise.resolve(url.href),
  };
  return { call, table: `${schema}.evidence` };
}

/** It is sound before and after, the annotation is found again, and it says what it should. */
async function expectAnnotated({ call, table }: Form, entries: number): Promise<Record<string, unknown>> {
  expect(await postgres.survey(call)).toMatchObject({ entries, breaks: [] });
  const { after } = await postgres.annotate(call, ANNOTATION);
  expect(after).toMatchObject({ annotations: 1, already: false });
  expect((await postgres.annotate(call, ANNOTATION)).after).toMatchObject({ annotations: 1, already: true });
  expect(await postgres.survey(call)).toMatchObject({ entries: entries + 1, breaks: [] });
  for (const line of handLines(call)) expect(await byHand(line), line).toEqual([]);
  const [last] = await database.query<Record<string, unknown>>(`SELECT *, to_json(t.at) AS at FROM ${table} t ORDER BY t.seq DESC LIMIT 1`);
  return last ?? {};
}

/** The lines that look at the chain. */
const handLines = (call: Form['call']): string[] => postgres.manual(call).filter((line) => line.startsWith('psql '));

/** What the statement of a line for psql shows. */
async function byHand(line: string): Promise<unknown[]> {
  const sql = /-c '(.*)'$/.exec(line)?.[1]?.replaceAll(String.raw`'\''`, "'") ?? '';
  const client = new Client({ connectionString: database.url });
  await client.connect();
  const answers = [await client.query(sql)].flat();
  await client.end();
  return answers.at(-1)?.rows ?? [];
}

describe('forms of a chain', () => {
  it('a trigger of the table links: digest over the row, SHA-512 in base64, with a time as Postgres prints it', async () => {
    const made = await form(
      `CREATE TABLE $T (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), body jsonb NOT NULL, op text, previous text, hash text);
       CREATE FUNCTION $S.link() RETURNS trigger LANGUAGE plpgsql SET TimeZone = 'UTC' SET DateStyle = 'ISO' SECURITY DEFINER AS $$ BEGIN
         NEW.previous := (SELECT hash FROM $T t ORDER BY t.seq DESC LIMIT 1);
         NEW.hash := encode(sha512(convert_to(coalesce(NEW.previous, '') || NEW.at::text || NEW.body::text, 'UTF8')), 'base64');
         RETURN NEW;
       END $$;
       CREATE TRIGGER link BEFORE INSERT ON $T FOR EACH ROW EXECUTE FUNCTION $S.link();
       INSERT INTO $T (body) VALUES ('{"b": 1, "a": "x"}'); INSERT INTO $T (body) VALUES ('{}'); GRANT INSERT, MAINTAIN ON $T TO $R`,
      {
        algorithm: 'sha512',
        encoding: 'base64',
        over: [{ previous: true }, { column: 'at' }, { column: 'body' }],
        append: { linkedBy: 'trigger', columns: { body: { incident: '{incident}', n: '{entries}' }, op: '{operation}' } },
      },
    );
    const { body, hash } = await expectAnnotated(made, 2);
    expect(body).toEqual({ incident: 'INC-7', n: { count: 2, first: '1', last: '2' } });
    expect(hash).toContain('\n');
  });

  it('the application links: a prefix before SHA-256, over canonical JSON and a time as JavaScript prints it; found again by a path', async () => {
    const made = await form(
      `CREATE TABLE $T (seq serial PRIMARY KEY, id uuid NOT NULL DEFAULT gen_random_uuid(), at timestamptz(3) NOT NULL DEFAULT clock_timestamp(), body jsonb, previous text NOT NULL, hash text NOT NULL);
       GRANT INSERT, MAINTAIN ON $T TO $R; GRANT USAGE ON ALL SEQUENCES IN SCHEMA $S TO $R`,
      {
        prefix: 'sha256:',
        genesis: '',
        operation: { column: 'body', path: ['backout', 'operation'] },
        over: [{ previous: true }, { column: 'body', as: 'json' }, { text: '\n  ' }, { column: 'at', as: 'iso' }, { column: 'id' }, { column: 'seq' }],
        append: { columns: { body: { 'z"': ['{by}', '{incident}: {runs}'], backout: { operation: '{operation}' } } } },
      },
    );
    let previous = '';
    for (const body of [{ b: 1.5, a: 'ü"\n' }, [], null]) {
      const [at, id, seq] = ['2026-11-21T10:00:00.120Z', randomUUID(), String(previous === '' ? 1 : 2)];
      const [{ next } = { next: seq }] = await database.query<{ next: string }>(`SELECT nextval(pg_get_serial_sequence('${made.table}', 'seq'))::text AS next`);
      const hash = `sha256:${createHash('sha256')
        .update(`${previous}${canonicalize(body)}\n  ${at}${id}${next}`)
        .digest('hex')}`;
      await database.query(`INSERT INTO ${made.table} (seq, id, at, body, previous, hash) VALUES ($1, $2, $3, $4, $5, $6)`, [
        next,
        id,
        at,
        JSON.stringify(body),
        previous,
        hash,
      ]);
      previous = hash;
    }
    const { seq, id, at, body, hash, ...row } = await expectAnnotated(made, 3);
    expect(row['previous']).toBe(previous);
    expect(body).toEqual({ 'z"': ["o'hara", 'INC-7: null'], backout: { operation: 'r1/trail.annotate' } });
    const text = `${previous}${canonicalize(body)}\n  ${new Date(String(at)).toISOString()}${String(id)}${String(seq)}`;
    expect(hash).toBe(`sha256:${createHash('sha256').update(text).digest('hex')}`);
  });

  it.each([
    ['bytea', 'bytea', `sha256($1 || $2)`, { encoding: 'bytea', genesis: '00', over: [{ previous: true }, { column: 'payload', as: 'bytes' }] }],
    [
      'the bytes of upper-case hex',
      'text',
      `upper(encode(sha256(decode($1, 'hex') || $2), 'hex'))`,
      {
        genesis: '00',
        over: [
          { previous: true, as: 'bytes' },
          { column: 'payload', as: 'bytes' },
        ],
      },
    ],
    [
      'the bytes of base64, with a word before them',
      'text',
      `'v1-' || encode(sha256(decode(substr($1, 4), 'base64') || $2), 'base64')`,
      {
        encoding: 'base64',
        prefix: 'v1-',
        genesis: 'v1-AA==',
        over: [
          { previous: true, as: 'bytes' },
          { column: 'payload', as: 'bytes' },
        ],
      },
    ],
  ])('what is hashed are bytes: %s', async (_, type, hash, options) => {
    const genesis = type === 'bytea' ? String.raw`\x00` : options.genesis;
    const made = await form(
      `CREATE TABLE $T (seq bigint PRIMARY KEY, at timestamp NOT NULL DEFAULT now(), payload bytea NOT NULL, op varchar(80), previous ${type} NOT NULL UNIQUE, hash ${type} NOT NULL);
       GRANT INSERT, MAINTAIN ON $T TO $R`,
      { ...options, contiguous: true, append: { columns: { payload: String.raw`\xff00{entries}`.replace('{entries}', '9f'), op: '{operation}' } } },
    );
    const next = `WITH head AS (SELECT coalesce((SELECT hash FROM ${made.table} t ORDER BY t.seq DESC LIMIT 1), '${genesis}') AS h, (SELECT count(*) + 1 FROM ${made.table}) AS n)
      INSERT INTO ${made.table} (seq, payload, previous, hash) SELECT n, '\\xfe00ff', h, ${hash.replace('$1', 'h').replace('$2', String.raw`'\xfe00ff'::bytea`)} FROM head`;
    for (let round = 0; round < 3; round += 1) await database.query(next);
    expect((await expectAnnotated(made, 3))['payload']).toEqual(Buffer.from('ff009f', 'hex'));
    // The house goes on, and its own statement finds the annotation to link to.
    await database.query(next);
    expect(await postgres.survey(made.call)).toMatchObject({ entries: 5, breaks: [] });
    await database.query(`UPDATE ${made.table} SET payload = '\\x00' WHERE seq = 2`);
    const shown = await Promise.all(handLines(made.call).map(byHand));
    expect(shown).toEqual([[], [{ at: '2' }]]);
  });

  const append = (body: string, rights = ''): string =>
    `CREATE TABLE $T (seq bigint PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), body text NOT NULL, previous text, hash text NOT NULL);
     CREATE FUNCTION $S.put(said text) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
       SELECT pg_advisory_xact_lock(77);
       INSERT INTO $T (seq, body, previous, hash) SELECT coalesce(max(seq), 0) + 1, said, (SELECT hash FROM $T t ORDER BY t.seq DESC LIMIT 1),
         encode(sha256(convert_to(coalesce((SELECT hash FROM $T t ORDER BY t.seq DESC LIMIT 1), '') || said, 'UTF8')), 'hex') FROM $T $$;
     CREATE FUNCTION $S.append(entry jsonb) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN ${body} RETURN 1; END $$;
     SELECT $S.put('not JSON, of r1'); SELECT $S.put('{neither'); SELECT $S.put('{"by": "r1"}'); ${rights}`;
  const byFunction = { over: [{ previous: true }, { column: 'body' }], operation: { column: 'body', path: ['operation'] }, append: { function: '$S.append' } };

  it("the house's own function appends, in a table that this role may only read; found again in texts that hold JSON, or do not", async () => {
    const made = await form(append('PERFORM $S.put(entry::text);'), byFunction);
    const { body } = await expectAnnotated(made, 3);
    expect(JSON.parse(String(body))).toMatchObject({
      incident: ANNOTATION.incident,
      by: ANNOTATION.by,
      at: ANNOTATION.at,
      ...WINDOW,
      operation: 'r1/trail.annotate',
      runs: null,
      entries: { count: 3 },
    });
    expect(postgres.manual(made.call).at(-1)).toMatch(/^echo 'SELECT "form_\w+"\."append"\(.*\)' \| psql "\$E" -v incident="\$INCIDENT"$/);
    const receipts = await Promise.all(['a', 'a', 'b'].map((step) => postgres.annotate({ ...made.call, operationId: `r1/${step}/1` }, ANNOTATION)));
    expect(receipts).toHaveLength(3);
    expect(await postgres.survey(made.call)).toMatchObject({ entries: 6, breaks: [] });
  });

  it.each([
    ['appends nothing', 'PERFORM 1;', /0 entries are found/],
    ['appends twice', 'PERFORM $S.put(entry::text); PERFORM $S.put(entry::text);', /2 entries are found/],
    [
      'does not link',
      `INSERT INTO $T (seq, body, previous, hash) VALUES (4, entry::text, 'x', encode(sha256(convert_to('x' || entry::text, 'UTF8')), 'hex'));`,
      /link at 4/,
    ],
    ['does not hash', `INSERT INTO $T (seq, body, previous, hash) SELECT 4, entry::text, hash, 'x' FROM $T WHERE seq = 3;`, /hash at 4/],
    ['fails, and quotes what it got', `RAISE 'no: %', entry;`, /P0001/],
  ])('a function that %s: it is failed, nothing is appended, and nothing of it is said', async (_, body, message) => {
    const made = await form(append(body), byFunction);
    const error = await rejection(postgres.annotate(made.call, ANNOTATION));
    expect(error).toMatchObject({ kind: 'failed', message: expect.stringMatching(message) as string });
    expect(error.message).not.toMatch(/INC-7|hara/);
    expect(await postgres.survey(made.call)).toMatchObject({ entries: 3, breaks: [] });
  });

  it('numbers that have to be contiguous and come from a sequence that has skipped one: failed, and nothing is appended', async () => {
    const made = await form(
      `CREATE TABLE $T (seq bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), op text, previous text, hash text NOT NULL); GRANT INSERT, MAINTAIN ON $T TO $R;
       GRANT USAGE ON ALL SEQUENCES IN SCHEMA $S TO $R; INSERT INTO $T (hash) VALUES (encode(sha256(''), 'hex')); SELECT nextval(pg_get_serial_sequence('$T', 'seq'))`,
      { contiguous: true, over: [{ previous: true }], append: { columns: { op: '{operation}' } } },
    );
    expect(await rejection(postgres.annotate(made.call, ANNOTATION))).toMatchObject({ kind: 'failed', message: expect.stringContaining('gap at 3') as string });
    expect(await postgres.survey(made.call)).toMatchObject({ entries: 1, breaks: [] });
  });

  it('an order that the house makes itself, and that is no number, cannot be made here', async () => {
    const made = await form(
      `CREATE TABLE $T (seq text PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), op text, previous text, hash text NOT NULL); GRANT INSERT, MAINTAIN ON $T TO $R`,
      { over: [{ previous: true }], append: { columns: { op: '{operation}' } } },
    );
    expect(await rejection(postgres.annotate(made.call, ANNOTATION))).toMatchObject({
      kind: 'configuration',
      message: expect.stringContaining('append.function') as string,
    });
  });
});
