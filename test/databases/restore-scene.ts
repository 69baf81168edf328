/** A table of the house and its audit log, each in a schema of its own, on a real Postgres. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll } from 'vitest';
import type { Restore } from '../../activities/databases/database.ts';
import { type TestDatabase, testDatabase } from '../store/database.ts';
import { given, type Given } from './postgres-given.ts';

export const CANARY = 'canary-51be0c';
export const FROM = '2026-11-20T00:00:00.000Z';
export const TO = '2026-11-21T00:00:00.000Z';
export const IN = '2026-11-20T12:00:00Z';

let database: TestDatabase;
let url = '';
/** As a test may connect itself, and as `backout.yaml` has it. */
export const addresses = (): { readonly own: string; readonly shop: string } => ({ own: database.url, shop: url });
beforeAll(async () => {
  database = await testDatabase();
  const to = new URL(database.url);
  to.password = CANARY;
  url = to.href;
}, 60_000);
afterAll(async () => {
  await database.drop();
});

export interface Scene {
  readonly schema: string;
  /** Of `HERE` the scene's own is put in. */
  run(sql: string): Promise<Record<string, unknown>[]>;
  given(options?: Readonly<Record<string, unknown>>): Given;
  /** Entries of the audit log. */
  deleted(olds: readonly unknown[], more?: { at?: string; table?: string; action?: string }): Promise<void>;
}

const AUDIT = `CREATE TABLE HERE.audit_log (id bigserial PRIMARY KEY, table_name text, action text, old_data jsonb, created_at timestamptz NOT NULL DEFAULT now())`;
export const RESTORE: Restore = { name: 'workflows', window: { from: FROM, to: TO }, tenant: null };

export async function scene(table = 'CREATE TABLE HERE.workflows (id int PRIMARY KEY, name text, owner text)'): Promise<Scene> {
  const schema = `s${randomBytes(6).toString('hex')}`;
  const run = (sql: string): Promise<Record<string, unknown>[]> => database.query(sql.replaceAll('HERE', schema));
  await run(`CREATE SCHEMA HERE; ${AUDIT}; ${table}`);
  return {
    schema,
    run,
    given: (options = {}) => {
      const { audit, ...rest } = options as { audit?: object };
      const workflows = { table: `${schema}.workflows`, key: ['id'], audit: { table: `${schema}.audit_log`, ...audit }, ...rest };
      return given({ restores: { workflows } }, { 'env:SHOP': url });
    },
    deleted: async (olds, { at = IN, table: of = 'workflows', action = 'DELETE' } = {}) => {
      await database.query(
        `INSERT INTO ${schema}.audit_log (table_name, action, old_data, created_at) SELECT $1, $2, value, $4 FROM jsonb_array_elements($3::jsonb)`,
        [of, action, JSON.stringify(olds), at],
      );
    },
  };
}
