/** Brings the schema up. */
import { Client } from 'pg';
import { runner } from 'node-pg-migrate';
import { fileURLToPath } from 'node:url';
import { isAway, placeOf, unavailable } from './unavailable.ts';

const CONNECT_TIMEOUT_MS = 2_000;
/** Long enough for any other worker's migration; a lock held longer is a fault that somebody has to see. */
const LOCK_TIMEOUT_MS = 120_000;

/**
 * Applies what is missing. Safe to run twice and at once: node-pg-migrate's advisory lock is waited for, in the
 * server. It has a connection of its own, since the lock outlasts the statement timeout of the others.
 */
export async function migrate(url: string): Promise<void> {
  const place = placeOf(url);
  const client = new Client({
    connectionString: url,
    application_name: 'backout migrate',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    lock_timeout: LOCK_TIMEOUT_MS,
  });
  client.on('error', () => undefined); // The query in flight reports it; without a listener it would end the process.
  try {
    await client.connect();
  } catch (error) {
    throw unavailable(place, error);
  }
  try {
    await runner({
      dbClient: client,
      direction: 'up',
      dir: fileURLToPath(new URL('./migrations', import.meta.url)),
      migrationsSchema: 'ops',
      migrationsTable: 'schema_migrations',
      createMigrationsSchema: true,
      advisoryLockMode: 'wait',
      singleTransaction: true,
      log: () => undefined,
    });
  } catch (error) {
    throw isAway(error) ? unavailable(place, error) : error;
  } finally {
    await client.end().catch(() => undefined); // Gone already: what matters was thrown above.
  }
}
