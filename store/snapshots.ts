/** `ops.system_snapshots` [003]. */
import { randomUUID } from 'node:crypto';
import type { Queries } from './database.ts';
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
