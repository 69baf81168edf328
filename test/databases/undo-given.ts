/** A customer's database with a real history of migrations, on a real Postgres, and calls to it. */
import { createHash, randomUUID } from 'node:crypto';
import type { Migration } from '../../activities/databases/database.ts';
import { postgresOptions } from '../../activities/databases/postgres-options.ts';
import type { Call } from '../../activities/databases/postgres-session.ts';
import { queryAt } from '../store/database.ts';

export const CANARY = 'canary-5d11c0';
export const PASSWORD = `pass-${CANARY}`;
export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

export const withPassword = (url: string): string => {
  const to = new URL(url);
  to.password = PASSWORD;
  return to.href;
};

/** The migrations of the shop; its rows hold canaries. */
export const APPLIED = {
  '20260101': `CREATE TABLE orders (id int PRIMARY KEY, customer text)`,
  '20260102': `ALTER TABLE orders ADD COLUMN coupon text`,
} as const;

export async function shop(url: string): Promise<void> {
  await queryAt(url, `CREATE SCHEMA supabase_migrations; CREATE TABLE supabase_migrations.schema_migrations (version text PRIMARY KEY, checksum text)`);
  for (const [version, sql] of Object.entries(APPLIED)) await apply(url, version, sql);
  await queryAt(url, `INSERT INTO orders SELECT n, '${CANARY} ' || n, CASE WHEN n <= 3 THEN '${CANARY}-' || n END FROM generate_series(1, 10) AS n`);
}

/** As the migration tool does. */
export async function apply(url: string, version: string, sql: string): Promise<void> {
  await queryAt(url, sql);
  await queryAt(url, 'INSERT INTO supabase_migrations.schema_migrations VALUES ($1, $2)', [version, sha256(sql)]);
}

export const COUPON: Migration = { name: '20260102', hash: sha256(APPLIED['20260102']), inverse: 'ALTER TABLE orders DROP COLUMN coupon' };
export const APPROVED = [{ what: 'column public.orders.coupon', rows: 3 }];

export const operation = (step = 'main.undo.20260102'): string => `${randomUUID()}/${step}/1`;

export function callOf(url: string, overrides: Partial<Call> = {}, options: Record<string, unknown> = {}): Call {
  return {
    name: 'main',
    environment: 'production',
    options: postgresOptions.parse({ url: 'env:SHOP_DB', ledger: { hash: 'checksum' }, lockTimeoutSeconds: 0.2, statementTimeoutSeconds: 20, ...options }),
    folder: '/',
    operationId: operation(),
    attempt: 1,
    signal: new AbortController().signal,
    heartbeat: () => undefined,
    secret: () => Promise.resolve(url),
    ...overrides,
  };
}

/** All that an undoing could change: every column of every table of ours, every index, every row of the ledger and of orders. */
export const pictureOf = (url: string): Promise<unknown> =>
  Promise.all(
    [
      `SELECT n.nspname, c.relname, c.relkind, a.attname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' ORDER BY 1, 2, 3, 4`,
      'SELECT * FROM supabase_migrations.schema_migrations ORDER BY 1',
      'SELECT *, xmin::text FROM orders ORDER BY 1',
    ].map((sql) => queryAt(url, sql)),
  );
