/** `ops.migration_history` [003]: what was applied with which deployment, the recorded way back, and what became of it. */
import type { RecordedMigration, Store } from './store.ts';
import { type Database, iso, type Queries, uuidOrNull } from './database.ts';
import { sha256 } from './digest.ts';

interface Row {
  migration_name: string;
  migration_hash: string;
  rollback_script: string | null;
  rollback_sha256: string | null;
  applied_sql: string | null;
  deployment_id: string;
  component: string;
  version: string;
  deployed_at: Date | null;
  applied_at: Date;
}

const migrationOf = (row: Row): RecordedMigration => ({
  name: row.migration_name,
  hash: row.migration_hash,
  sql: row.applied_sql,
  inverse: row.rollback_script,
  isInverseAsRecorded: row.rollback_script === null || row.rollback_sha256 === sha256(row.rollback_script),
  deploymentId: row.deployment_id,
  component: row.component,
  version: row.version,
  deployedAt: iso(row.deployed_at) ?? row.applied_at.toISOString(),
});

const APPLIED = `SELECT m.migration_name, m.migration_hash, m.rollback_script, m.metadata->>'rollback_sha256' AS rollback_sha256, m.metadata->>'sql' AS applied_sql,
    d.deployment_id, d.component, d.version, d.deployed_at, m.applied_at
  FROM ops.migration_history m JOIN ops.deployments d USING (deployment_id)
  WHERE m.environment = $1 AND m.database = $2 AND m.rolled_back_at IS NULL`;

/** `Store.migrations`. */
export async function migrations(database: Database, of: Parameters<Store['migrations']>[0]): Promise<RecordedMigration[]> {
  return (await database.query<Row>(`${APPLIED} ORDER BY d.id DESC, m.id DESC`, [of.environment, of.database])).map(migrationOf);
}

/** `Store.recordMigrations`. What was applied is told once: another hash or another way back is another migration. */
export async function recordMigrations(database: Database, request: Parameters<Store['recordMigrations']>[0]): Promise<{ recorded: number; already: number }> {
  return database.transaction(async (queries) => {
    const [deployment] = await queries.query<{ environment: string }>('SELECT environment FROM ops.deployments WHERE deployment_id = $1', [
      uuidOrNull(request.deploymentId),
    ]);
    if (!deployment) throw new Error(`no deployment ${request.deploymentId} is recorded`);
    let recorded = 0;
    for (const migration of request.migrations) if (await recordOne(queries, { ...request, environment: deployment.environment }, migration)) recorded += 1;
    return { recorded, already: request.migrations.length - recorded };
  });
}

async function recordOne(
  queries: Queries,
  { deploymentId, environment, database }: { deploymentId: string; environment: string; database: string },
  { name, hash, sql, inverse }: Parameters<Store['recordMigrations']>[0]['migrations'][number],
): Promise<boolean> {
  const [written] = await queries.query<{ id: string }>(
    `INSERT INTO ops.migration_history (deployment_id, environment, database, migration_name, migration_hash, rollback_script, metadata)
     VALUES ($1, $2, $3, $4, $5, $6, jsonb_strip_nulls(jsonb_build_object('rollback_sha256', $7::text, 'sql', $8::text)))
     ON CONFLICT (environment, database, migration_name) WHERE rolled_back_at IS NULL DO NOTHING RETURNING id`,
    [deploymentId, environment, database, name, hash, inverse, inverse === null ? null : sha256(inverse), sql],
  );
  if (written) return true;
  const [before] = await queries.query<{ migration_hash: string; rollback_script: string | null; deployment_id: string }>(
    'SELECT migration_hash, rollback_script, deployment_id FROM ops.migration_history WHERE environment = $1 AND database = $2 AND migration_name = $3 AND rolled_back_at IS NULL',
    [environment, database, name],
  );
  if (before?.migration_hash !== hash) throw new Error(`the migration ${name} of ${database} is recorded already, with another hash`);
  // Of the same hash, it is what was applied: it may be told later.
  if (sql !== null)
    await queries.query(
      `UPDATE ops.migration_history SET metadata = coalesce(metadata, '{}') || jsonb_build_object('sql', $4::text)
       WHERE environment = $1 AND database = $2 AND migration_name = $3 AND rolled_back_at IS NULL AND metadata->>'sql' IS NULL`,
      [environment, database, name, sql],
    );
  // What had no way back may be given one; what has one keeps it.
  if (before.rollback_script === null && inverse !== null) {
    await queries.query(
      `UPDATE ops.migration_history SET rollback_script = $4, metadata = coalesce(metadata, '{}') || jsonb_build_object('rollback_sha256', $5::text)
       WHERE environment = $1 AND database = $2 AND migration_name = $3 AND rolled_back_at IS NULL`,
      [environment, database, name, inverse, sha256(inverse)],
    );
    return true;
  }
  if (inverse !== null && before.rollback_script !== inverse)
    throw new Error(`the migration ${name} of ${database} is recorded already, with another inverse; what is recorded is not changed afterwards`);
  return false;
}

/** `Store.migrationUndone`. Told again, it says the same; a failure that was followed by a success is history. */
export async function migrationUndone(database: Database, told: Parameters<Store['migrationUndone']>[0]): Promise<void> {
  const { environment, name, at, successful, milliseconds, error } = told;
  await database.query(
    `UPDATE ops.migration_history SET rollback_successful = $4, execution_time_ms = $5, error_message = $6,
       rolled_back_at = CASE WHEN $4 THEN $7::timestamptz END
     WHERE environment = $1 AND database = $2 AND migration_name = $3 AND rolled_back_at IS NULL`,
    [environment, told.database, name, successful, milliseconds, error, at],
  );
}
