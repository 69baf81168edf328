/** `ops.system_snapshots` [003]. */
import { randomUUID } from 'node:crypto';
import type { Store } from './store.ts';
import { type Database, iso, type Queries, uuidOrNull } from './database.ts';
import { jsonb } from './digest.ts';

interface Snapshot {
  readonly type: 'pre_deployment' | 'post_deployment' | 'pre_rollback';
  readonly deploymentId: string | null;
  /** What the checks measured. */
  readonly metrics: unknown;
  /** What was observed of the platform. */
  readonly config: unknown;
}

export async function insertSnapshot(queries: Queries, snapshot: Snapshot): Promise<void> {
  await queries.query(
    'INSERT INTO ops.system_snapshots (snapshot_id, deployment_id, snapshot_type, key_metrics, environment_config) VALUES ($1, $2, $3, $4, $5)',
    [randomUUID(), snapshot.deploymentId, snapshot.type, jsonb(snapshot.metrics), jsonb(snapshot.config)],
  );
}

/** `Store.snapshot`. */
export async function snapshot(database: Database, deploymentId: string): ReturnType<Store['snapshot']> {
  const [row] = await database.query<{ environment_config: unknown; created_at: Date | null }>(
    `SELECT environment_config, created_at FROM ops.system_snapshots
      WHERE deployment_id = $1 AND snapshot_type = 'post_deployment' ORDER BY id DESC LIMIT 1`,
    [uuidOrNull(deploymentId)],
  );
  // A time is missing only in rows that somebody else wrote.
  return row === undefined ? null : { config: row.environment_config, at: iso(row.created_at) ?? new Date(0).toISOString() };
}
