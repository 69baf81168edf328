/** `deployment record --migrations PATH`: what was applied with a deployment, and the way back of each [003 ops.migration_history]. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { sha256 } from '../store/digest.ts';
import { EXIT, Problem } from './problem.ts';

export interface MigrationGiven {
  readonly name: string;
  /** SHA-256 of what was applied, as `sha256:…`. */
  readonly hash: string;
  /** Null: only the hash is known. */
  readonly sql: string | null;
  /** SQL; null: there is none, and a rollback over it is refused. */
  readonly inverse: string | null;
}

/** It is part of a step's id and of a command line. */
const NAME = /^\w[\w.-]{0,119}$/;
const HASH = /^(?:sha256:)?[0-9a-f]{64}$/i;

const fileSchema = z
  .array(
    z
      .strictObject({
        name: z.string().regex(NAME, 'letters, digits, and _ . - inside, 120 at most'),
        hash: z.string().regex(HASH, 'the SHA-256 of what was applied').optional(),
        sql: z.string().optional(),
        inverse: z.string().nullable().default(null),
      })
      .refine(({ hash, sql }) => hash !== undefined || sql !== undefined, '"sql", or at least its "hash"')
      .refine(({ hash, sql }) => hash === undefined || sql === undefined || hashOf(hash) === sha256(sql), '"hash" is not the SHA-256 of "sql"'),
  )
  .min(1);

const FORMS = 'PATH is a JSON file [{"name", "sql" or "hash", "inverse"}], or a folder with NAME.sql and NAME.down.sql';
const usage = (message: string, cause?: unknown): Problem => new Problem(EXIT.usage, 'usage', `--migrations: ${message}`, FORMS, {}, cause);

/** In the order in which they were applied: of a file its own, of a folder that of the names. */
export async function readMigrations(path: string): Promise<MigrationGiven[]> {
  const there = await stat(path).catch((cause: unknown) => {
    throw usage(`${path} cannot be read`, cause);
  });
  const migrations = there.isDirectory() ? await fromFolder(path) : await fromFile(path);
  const twice = migrations.find((one, at) => migrations.findIndex((other) => other.name === one.name) !== at);
  if (twice) throw usage(`${twice.name} is there twice`);
  return migrations;
}

async function fromFile(path: string): Promise<MigrationGiven[]> {
  const text = await readFile(path, 'utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw usage(`${path} is not JSON: ${cause instanceof Error ? cause.message : ''}`, cause);
  }
  const parsed = fileSchema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw usage(`${path}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not what is expected'}`);
  }
  return parsed.data.map(({ name, hash, sql = null, inverse }) => ({
    name,
    hash: hash === undefined ? sha256(sql ?? '') : hashOf(hash),
    sql,
    inverse: blankless(inverse),
  }));
}

const hashOf = (hash: string): string => `sha256:${hash.replace(/^sha256:/i, '').toLowerCase()}`;
/** A file that says nothing is no way back. */
const blankless = (sql: string | null): string | null => (sql === null || sql.trim() === '' ? null : sql);

async function fromFolder(folder: string): Promise<MigrationGiven[]> {
  const files = (await readdir(folder)).filter((name) => name.endsWith('.sql')).toSorted();
  const downs = new Set(files.filter((name) => name.endsWith('.down.sql')));
  const ups = files.filter((name) => !downs.has(name));
  if (ups.length === 0) throw usage(`${folder} has no NAME.sql`);
  const stray = [...downs].find((down) => !ups.some((up) => baseOf(up) === down.replace(/\.down\.sql$/, '')));
  if (stray !== undefined) throw usage(`${stray} in ${folder} has no migration beside it`);
  return Promise.all(
    ups.map(async (up) => {
      const name = baseOf(up);
      if (!NAME.test(name)) throw usage(`${JSON.stringify(name)} is no name: letters, digits, and _ . - inside, 120 at most`);
      const down = `${name}.down.sql`;
      const inverse = downs.has(down) ? await readFile(join(folder, down), 'utf8') : null;
      const sql = await readFile(join(folder, up), 'utf8');
      return { name, hash: sha256(sql), sql, inverse: blankless(inverse) };
    }),
  );
}

const baseOf = (file: string): string => file.replace(/(?:\.up)?\.sql$/, '');
