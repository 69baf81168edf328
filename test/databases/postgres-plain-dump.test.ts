import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { plainProblem } from '../../activities/databases/postgres-plain-dump.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'backout-plain-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function problemOf(sql: string | Buffer): Promise<string | null> {
  const path = join(folder, 'dump.sql');
  await writeFile(path, sql);
  return plainProblem(path, new AbortController().signal, () => undefined);
}
const COPY = 'COPY public.t (a, "b c") FROM stdin;\n';

describe('a plain dump may hold', () => {
  it.each([
    ['what looks like a command in data', `${COPY}\\! evil\t\\N\n\\connect\tx\n\\.\nSELECT 1;\n`],
    ['the same in quotes', `SELECT '\\! evil', "\\c", $$\\!$$, $a$ \\! $b$ $$ ; $a$, E'it\\'s \\\\ \\! evil';\n`],
    ['the same in comments', '-- \\! evil\n/* \\! /* \\c */ \\! */ SELECT 1;\n'],
    ['bodies that are SQL', 'CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;\nSELECT 3;\n'],
    ['rules of several statements', 'CREATE RULE r AS ON INSERT TO t DO INSTEAD (DELETE FROM t; DELETE FROM u);\nSELECT 1;\n'],
    ['what pg_dump of today writes', '\\restrict abcDEF123\nSELECT 1;\n\n\\unrestrict abcDEF123\n'],
    ['its settings', "SET statement_timeout = 0;\nSET standard_conforming_strings = on;\nSELECT pg_catalog.set_config('search_path', '', false);\n"],
    [
      'grants and comments of its own objects',
      "GRANT SELECT ON TABLE t TO r;\nREVOKE ALL ON SCHEMA public FROM PUBLIC;\nCREATE USER MAPPING FOR r SERVER s;\nCOMMENT ON TABLE t IS 'x';\n",
    ],
    ['numbers', 'INSERT INTO t VALUES (1e10, -1.5, 0.25, 3);\n'],
    ['no newline at its end', 'SELECT 1;'],
    ['windows’ lines', 'SELECT 1;\r\nCOPY t (a) FROM stdin;\r\n\\! evil\r\n\\.\r\nSELECT 2;\r\n'],
  ])('%s', async (_, sql) => {
    expect(await problemOf(sql)).toBeNull();
  });
});

describe('a plain dump is refused with', () => {
  it.each([
    ['a program', '\\! touch /tmp/x\n'],
    ['a program behind a statement', 'SELECT 1; \\! touch /tmp/x\n'],
    ['a program within a statement', 'SELECT 1 \\g |cat\n;'],
    ['another database', '\\connect shop\n'],
    ['another file', '\\i /etc/passwd\n'],
    ['data from a program', "\\copy t from program 'id'\n"],
    ['what only looks like pg_dump’s', 'SELECT \\restrict x\n'],
    ['the same with a program in it', '\\restrict `touch /tmp/x`\n'],
    ['a program behind data', `${COPY}1\t2\n\\.\n\\! evil\n`],
    ['a program behind quotes', `SELECT 'a''b'; \\! evil\n`],
    ['a program behind dollars', 'SELECT $a$ $b$ $a$; \\! evil\n'],
    ['dollars that are part of a name', "SELECT a$$, '$$; \\! evil '\n\\! evil\n"],
    ['a program behind a nested comment', '/* /* */ */ \\! evil\n'],
    ['data that nobody reads, in the body of a function', 'CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; COPY t FROM stdin;\n\\! evil\n\\.\nEND;\n'],
    ['data that nobody reads, in brackets', 'SELECT (1; COPY t FROM stdin;\n\\! evil\n\\.\n);\n'],
    ['data that go out instead', 'COPY (SELECT 1 FROM stdin) TO stdout;\n\\! evil\n\\.\n'],
    ['a program of the server', "COPY t FROM PROGRAM 'id';\n"],
    ['a file of the server', "COPY t TO '/tmp/x';\n"],
    ['a statement on the line of its data', 'COPY t FROM stdin; SELECT 1;\n'],
    ['quotes that are read another way', "SET standard_conforming_strings = off;\nSELECT '\\';\n"],
    ['a quote that can be read in two ways', "SELECT '\\''; -- '\n"],
    ['an escape that depends on the encoding', Buffer.from([...Buffer.from("SELECT E'"), 0x81, 0x5c, ...Buffer.from("'; '\n")])],
    ['a number that goes on', "SELECT 1e'\\' \\! evil '\n"],
    ['a number before dollars', "SELECT 1a$$ ' $$ \\! evil '\n"],
    ['another database dropped', 'DROP DATABASE shop;\n'],
    ['the same in other letters and with a comment', 'drop /* x */\n  database if exists shop;\n'],
    ['roles', "ALTER ROLE admin PASSWORD 'x';\n"],
    ['users', 'CREATE USER eve SUPERUSER;\n'],
    ['settings of the server', "ALTER SYSTEM SET archive_command = 'id';\n"],
    ['rights of a role', 'GRANT admin TO eve;\n'],
    ['rights on a database', 'REVOKE CONNECT ON DATABASE shop FROM PUBLIC;\n'],
    ['words of a database', "COMMENT ON DATABASE shop IS 'x';\n"],
  ])('%s', async (_, sql) => {
    expect(await problemOf(sql)).toMatch(/^line \d+: /);
  });

  it.each([
    ['quotes', "SELECT 'a\n"],
    ['data', `${COPY}1\t2\n`],
    ['a function', 'CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1;\n'],
    ['itself', '-- PostgreSQL database dump\nSELECT 1;\n'],
  ])('an end in the middle of %s', async (_, sql) => {
    expect(await problemOf(sql)).toMatch(/not complete/);
  });

  it('nothing of its content in the words', async () => {
    expect(await problemOf(`INSERT INTO t VALUES ('Bob');\n\\! curl Bob\n`)).toMatch(/^line 2: (?!.*Bob)/);
  });
});

it('reads 100 MB in constant memory, and stops when aborted', async () => {
  const path = join(folder, 'large.sql');
  const data = `${'x'.repeat(99)}\n`.repeat(10_000);
  await writeFile(path, [COPY, ...Array.from({ length: 100 }, () => data), '\\.\n', "INSERT INTO t VALUES (1, 'a');\n".repeat(50_000)].join(''));
  const before = process.memoryUsage().rss;
  let most = before;
  const passed = (): void => void (most = Math.max(most, process.memoryUsage().rss));
  expect(await plainProblem(path, new AbortController().signal, passed)).toBeNull();
  expect(most - before).toBeLessThan(80e6);
  const abort = new AbortController();
  await expect(plainProblem(path, abort.signal, () => abort.abort())).rejects.toThrow(/abort/i);
});
