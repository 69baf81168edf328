/** `ops.deployments` [003]: what was deployed, and what the checks found of it. */
import { randomUUID } from 'node:crypto';
import type { Deployment, DeploymentStatus, Store } from './store.ts';
import { type Database, iso, type Queries, uuidOrNull, type Value } from './database.ts';
import { jsonb } from './digest.ts';
import { insertSnapshot } from './snapshots.ts';

const LIST_LIMIT = 100;

interface Row {
  deployment_id: string;
  environment: string;
  component: string;
  version: string;
  git_commit: string;
  git_branch: string;
  status: DeploymentStatus;
  is_healthy: boolean;
  platform_ref: string | null;
  rollback_from: string | null;
  person: string | null;
  deployed_at: Date | null;
  completed_at: Date | null;
  rolled_back_at: Date | null;
}

/** The column of people takes only users where there are users; then the name is in `metadata`. */
const COLUMNS = `d.deployment_id, d.environment, d.component, d.version, d.git_commit, d.git_branch, d.status,
  coalesce(d.health_check_passed, false) AS is_healthy, d.platform_ref, d.rollback_from,
  coalesce(d.metadata->>'deployed_by', d.deployed_by::text) AS person, d.deployed_at, d.completed_at, d.rolled_back_at`;

const deploymentOf = (row: Row): Deployment => ({
  deploymentId: row.deployment_id,
  environment: row.environment,
  component: row.component,
  version: row.version,
  commit: row.git_commit,
  branch: row.git_branch,
  status: row.status,
  healthCheckPassed: row.is_healthy,
  platformRef: row.platform_ref,
  rollbackFrom: row.rollback_from,
  deployedBy: row.person,
  // Null only in rows that somebody else wrote.
  deployedAt: iso(row.deployed_at) ?? new Date(0).toISOString(),
  completedAt: iso(row.completed_at),
  rolledBackAt: iso(row.rolled_back_at),
});

async function one(queries: Queries, where: string, values: readonly Value[]): Promise<Deployment | null> {
  const [row] = await queries.query<Row>(`SELECT ${COLUMNS} FROM ops.deployments d WHERE ${where} ORDER BY d.id DESC LIMIT 1`, values);
  return row === undefined ? null : deploymentOf(row);
}

/** SQL for `metadata`: the name that the column of people, an `ops.person`, could not take. */
export const nameLeft = (key: string, parameter: string): string =>
  `jsonb_strip_nulls(jsonb_build_object('${key}', CASE WHEN ops.person(${parameter}) IS NULL THEN ${parameter} END))`;

/**
 * `Store.recordDeployment`. What CI calls a success is in progress until the checks have seen it; what they
 * found, or a rollback did, is not talked over, except by a failure.
 */
export async function recordDeployment(database: Database, reported: Parameters<Store['recordDeployment']>[0]): Promise<Deployment> {
  if (reported.status === 'rolled_back') throw new Error('rolled_back is set by a rollback that was verified, never recorded from outside');
  const { deploymentId, environment, component, version, commit, branch, platformRef, deployedBy } = reported;
  const status = reported.status === 'success' ? 'in_progress' : reported.status;
  const [row] = await database.query<Row>(
    `INSERT INTO ops.deployments AS d
       (deployment_id, environment, component, version, git_commit, git_branch, status, platform_ref, deployed_by, completed_at, metadata)
     VALUES ($1, $2, $3, $4, $5, $6, $7::text, $8, ops.person($9::text), CASE WHEN $7::text = 'failed' THEN now() END,
       jsonb_build_object('reported_status', $10::text) || ${nameLeft('deployed_by', '$9::text')})
     ON CONFLICT (deployment_id) DO UPDATE SET
       status = CASE WHEN d.status IN ('failed', 'rolled_back') OR (d.status = 'success' AND excluded.status <> 'failed') THEN d.status ELSE excluded.status END,
       platform_ref = coalesce(excluded.platform_ref, d.platform_ref),
       completed_at = coalesce(d.completed_at, excluded.completed_at),
       metadata = coalesce(d.metadata, '{}') || jsonb_build_object('reported_status', $10::text)
     WHERE (d.environment, d.component, d.version) = (excluded.environment, excluded.component, excluded.version)
     RETURNING ${COLUMNS}`,
    [deploymentId, environment, component, version, commit, branch, status, platformRef, deployedBy, reported.status],
  );
  if (row === undefined) throw new Error(`deployment ${deploymentId} is recorded already, and is not ${component} ${version} in ${environment}`);
  return deploymentOf(row);
}

/** `Store.verifyDeployment`. A version that was rolled back stays so, whatever a late check says. */
export async function verifyDeployment(database: Database, deploymentId: string, passed: boolean, details: unknown, snapshot: unknown): Promise<Deployment> {
  return database.transaction(async (queries) => {
    const [row] = await queries.query<Row>(
      `UPDATE ops.deployments AS d SET
         health_check_details = $3::jsonb, completed_at = coalesce(d.completed_at, now()),
         health_check_passed = CASE WHEN d.status = 'rolled_back' THEN d.health_check_passed ELSE $2 END,
         status = CASE WHEN d.status = 'rolled_back' THEN d.status WHEN $2 THEN 'success' ELSE 'failed' END
       WHERE d.deployment_id = $1 RETURNING ${COLUMNS}`,
      [uuidOrNull(deploymentId), passed, jsonb(details)],
    );
    if (row === undefined) throw new Error(`no deployment ${deploymentId} is recorded`);
    await insertSnapshot(queries, { type: 'post_deployment', deploymentId: row.deployment_id, metrics: details, config: snapshot });
    return deploymentOf(row);
  });
}

/** `Store.deployment`. */
export async function deployment(database: Database, deploymentId: string): Promise<Deployment | null> {
  return one(database, 'd.deployment_id = $1', [uuidOrNull(deploymentId)]);
}

/** `Store.deployments`. By order of recording, not by anybody's clock. */
export async function deployments(database: Database, filter: Parameters<Store['deployments']>[0]): Promise<Deployment[]> {
  const rows = await database.query<Row>(
    `SELECT ${COLUMNS} FROM ops.deployments d
      WHERE ($1::text IS NULL OR d.environment = $1) AND ($2::text IS NULL OR d.component = $2) AND ($3::text IS NULL OR d.version = $3)
      ORDER BY d.id DESC LIMIT $4`,
    [filter.environment ?? null, filter.component ?? null, filter.version ?? null, filter.limit ?? LIST_LIMIT],
  );
  return rows.map(deploymentOf);
}

/** `Store.lastHealthy`. A version whose later deployment failed or was rolled back is not known healthy any more. */
export async function lastHealthy(database: Database, environment: string, component: string, except: string | null): Promise<Deployment | null> {
  return one(
    database,
    `d.environment = $1 AND d.component = $2 AND d.status = 'success' AND d.health_check_passed AND ($3::text IS NULL OR d.version <> $3)
     AND NOT EXISTS (SELECT FROM ops.deployments later
       WHERE (later.environment, later.component, later.version) = (d.environment, d.component, d.version)
         AND later.id > d.id AND later.status IN ('failed', 'rolled_back'))`,
    [environment, component, except],
  );
}

interface Restoration {
  readonly environment: string;
  readonly component: string;
  readonly rollbackId: string;
  readonly by: string | null;
  readonly at: string;
  readonly from: string | null;
  readonly to: string;
  /** The row that is taken back, where the rollback knew it. */
  readonly takenBackId: string | null;
}

/** Marks the bad row and writes the restored one; answers the new row's id. Inside a transaction. */
export async function restore(queries: Queries, done: Restoration): Promise<string> {
  // Where the platform was at its target already, `from` is the target: that row must not be marked.
  const [taken] = await queries.query<{ deployment_id: string }>(
    `UPDATE ops.deployments SET status = 'rolled_back', rolled_back_at = $6 WHERE id = (
       SELECT id FROM ops.deployments
        WHERE environment = $1 AND component = $2 AND version <> $3 AND status <> 'rolled_back' AND (deployment_id = $4 OR version = $5)
        ORDER BY deployment_id IS NOT DISTINCT FROM $4 DESC, id DESC LIMIT 1)
     RETURNING deployment_id`,
    [done.environment, done.component, done.to, done.takenBackId, done.from, done.at],
  );
  const deploymentId = randomUUID();
  await queries.query(
    `INSERT INTO ops.deployments (deployment_id, environment, component, version, git_commit, git_branch, platform_ref,
       status, health_check_passed, rollback_from, deployed_by, deployed_at, completed_at, metadata)
     SELECT $1, $2, $3, $4, coalesce(known.git_commit, 'unknown'), coalesce(known.git_branch, 'unknown'), known.platform_ref,
       'success', true, $5, ops.person($6::text), $7, $7, jsonb_build_object('rollback_id', $8::text) || ${nameLeft('deployed_by', '$6::text')}
       FROM (SELECT) AS row LEFT JOIN LATERAL (
         SELECT git_commit, git_branch, platform_ref FROM ops.deployments
          WHERE environment = $2 AND component = $3 AND version = $4
          ORDER BY (status = 'success' AND health_check_passed IS TRUE) DESC, id DESC LIMIT 1) AS known ON true`,
    [deploymentId, done.environment, done.component, done.to, taken?.deployment_id ?? null, done.by, done.at, done.rollbackId],
  );
  return deploymentId;
}
