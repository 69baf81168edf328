/** How `backout.yaml` describes a customer's Postgres. */
import { z } from 'zod';

const seconds = z.number().positive().max(86_400);
const reference = z.string().regex(/^(env|file):.+/, '`env:NAME` or `file:PATH`');
const identifier = z.string().regex(/^[A-Za-z_]\w{0,62}$/, 'a name of letters, digits and _');
const table = z.string().regex(/^[A-Za-z_]\w{0,62}(\.[A-Za-z_]\w{0,62})?$/, 'TABLE or SCHEMA.TABLE, letters, digits and _');

const restore = z.strictObject({
  table: table.describe('Whose deleted rows are put back'),
  key: z.array(identifier).min(1).describe('Its primary key'),
  columns: z.array(identifier).min(1).optional().describe('What is put back; without it, every column that is no generated one'),
  tenant: identifier.optional().describe('The column that says whose row it is'),
  tenants: z.array(z.string()).min(1).optional().describe('Only rows of these tenants; without it, of all'),
  audit: z
    .strictObject({
      table: table.default('audit_log'),
      id: identifier.default('id').describe('Orders entries of the same time'),
      of: identifier.default('table_name').describe('The column that names the table'),
      named: z.string().min(1).optional().describe('What `of` says of it; without it, its name without the schema'),
      action: identifier.default('action'),
      deleted: z.string().default('DELETE').describe('What `action` says of a deletion'),
      old: identifier.default('old_data').describe('The row as it was, in json'),
      at: identifier.default('created_at'),
      zone: z
        .string()
        .regex(/^[A-Za-z0-9_+\-/]+$/, 'a time zone such as UTC or Europe/Berlin')
        .optional()
        .describe('The zone of `at`, where that column keeps none'),
      schema: identifier.optional().describe('The column that names the schema of the table, where the log has one'),
    })
    .prefault({})
    .describe('The audit log [004 section 3.4]'),
});

export const postgresOptions = z.strictObject({
  url: reference.describe('The address of the database, as the owner of its schema'),
  ledger: z
    .strictObject({
      table: table.default('supabase_migrations.schema_migrations'),
      name: identifier.default('version').describe('The column that names a migration, and orders them unless `order` does'),
      order: identifier.optional(),
      hash: identifier.optional().describe('The column with the SHA-256 of what was applied'),
      statements: identifier.optional().describe('The column, an array of texts, with what was applied'),
      lock: z.int().optional().describe("The migration tool's own advisory lock, taken beside Backout's"),
    })
    .optional()
    .describe("The migration tool's own table; without it no migration can be undone"),
  lockTimeoutSeconds: seconds.max(60).default(3),
  statementTimeoutSeconds: seconds.default(300),
  restores: z.record(z.string().regex(/^[a-z0-9-]+$/, 'lower-case letters, digits and hyphens'), restore).default({}),
  backup: z
    .strictObject({
      file: z.string().describe('Made by pg_dump: plain SQL, custom, or a directory; from the folder of backout.yaml'),
      admin: reference.describe('The address of a database of the same server, as somebody who may create databases'),
    })
    .optional()
    .describe('A backup that can be restored into a new database [004 section 3.2]'),
  archive: z
    .strictObject({
      base: z.string().describe('A base backup made by pg_basebackup, as a folder'),
      wal: z.string().describe('The folder of the archived WAL'),
      into: z.string().describe('The folder in which recovered clusters are made'),
      port: z.int().min(1).max(65_535).describe('Where the recovered server listens'),
      start: z
        .array(z.string())
        .min(1)
        .optional()
        .describe('The house’s own command that starts a server for the data folder in BACKOUT_DATA, on BACKOUT_PORT; without it, pg_ctl'),
    })
    .optional()
    .describe('A WAL archive for point-in-time recovery [004 section 3.1]'),
  bin: z.string().optional().describe('The folder of pg_restore, psql and pg_ctl; without it, those of the PATH'),
});
export type PostgresOptions = z.infer<typeof postgresOptions>;
export type RestoreOptions = z.infer<typeof restore>;
