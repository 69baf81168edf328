/** `deployment record --migrations PATH`: what is read, and what is refused by its place. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readMigrations } from '../../client/migrations-file.ts';
import { sha256 } from '../../store/digest.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'backout-migrations-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const lay = (files: Readonly<Record<string, string>>): Promise<unknown> =>
  Promise.all(Object.entries(files).map(([name, text]) => writeFile(join(folder, name), text)));
const fromJson = async (value: unknown): Promise<unknown> => {
  await lay({ 'm.json': typeof value === 'string' ? value : JSON.stringify(value) });
  return readMigrations(join(folder, 'm.json'));
};

describe('a folder', () => {
  it('has NAME.sql or NAME.up.sql, and NAME.down.sql beside it, in the order of the names', async () => {
    await lay({ '2_b.up.sql': 'CREATE TABLE b ()', '2_b.down.sql': 'DROP TABLE b', '1_a.sql': 'CREATE TABLE a ()', 'README.md': 'x' });
    await expect(readMigrations(folder)).resolves.toEqual([
      { name: '1_a', hash: sha256('CREATE TABLE a ()'), sql: 'CREATE TABLE a ()', inverse: null },
      { name: '2_b', hash: sha256('CREATE TABLE b ()'), sql: 'CREATE TABLE b ()', inverse: 'DROP TABLE b' },
    ]);
  });
  it('with an inverse that says nothing has none', async () => {
    await lay({ '1_a.sql': 'CREATE TABLE a ()', '1_a.down.sql': ' \n' });
    await expect(readMigrations(folder)).resolves.toMatchObject([{ inverse: null }]);
  });
  it.each([
    [{}, /has no NAME\.sql/],
    [{ '1_a.sql': '', '2_b.down.sql': 'x' }, /2_b\.down\.sql .* has no migration beside it/],
    [{ 'a b.sql': '' }, /"a b" is no name/],
    [{ '1.sql': '', '1.up.sql': '' }, /1 is there twice/],
  ])('is refused by what is wrong with it: %j', async (files, message) => {
    await lay(files);
    await expect(readMigrations(folder)).rejects.toThrow(message);
  });
  it('that is not there is named', async () => {
    await expect(readMigrations(join(folder, 'nowhere'))).rejects.toThrow(/nowhere cannot be read/);
  });
});

describe('a JSON file', () => {
  it('has names with SQL, or with a hash alone', async () => {
    const hash = 'AB'.repeat(32);
    await expect(
      fromJson([
        { name: 'a', sql: 'x', inverse: 'y' },
        { name: 'b', hash },
      ]),
    ).resolves.toEqual([
      { name: 'a', hash: sha256('x'), sql: 'x', inverse: 'y' },
      { name: 'b', hash: `sha256:${hash.toLowerCase()}`, sql: null, inverse: null },
    ]);
    await expect(fromJson([{ name: 'a', sql: 'x', hash: sha256('x') }])).resolves.toMatchObject([{ sql: 'x' }]);
  });
  it.each([
    ['{', /is not JSON/],
    [[], /m\.json/],
    [[{ name: 'a' }], /at least its "hash"/],
    [[{ name: 'a', hash: 'x' }], /SHA-256/],
    [[{ name: 'a', sql: 'x', hash: sha256('y') }], /is not the SHA-256 of "sql"/],
    [[{ name: 'a', sql: 'x', down: 'y' }], /down/],
    [[{ name: 'a/b', sql: 'x' }], /0\.name/],
  ])('is refused by what is wrong with it: %j', async (value, message) => {
    await expect(fromJson(value)).rejects.toThrow(message);
  });
});
