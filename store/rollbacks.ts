/** `ops.rollback_events` [003]: what was opened and how it ended. */
import type { Plan } from '../model/plan.ts';
import type { Kind, Trigger } from '../model/policy.ts';
import type { RecordEntry } from '../model/record.ts';
import type { Outcome } from '../model/state.ts';
import type { Appended, Claim, CloseRequest, OpenRequest, Replanned, RollbackEvent, Store } from './store.ts';
import { releaseClaims, takeClaims } from './claims.ts';
import { type Database, iso, type Queries, uuidOrNull, type Value } from './database.ts';
import { nameLeft, restore } from './deployments.ts';
import { jsonb } from './digest.ts';
import { appendEntries, entriesUnder, lockRecord, position } from './record.ts';
import { insertSnapshot } from './snapshots.ts';
import { EVENT_STATUS, TRIGGER_TYPE } from './words.ts';

const LIST_LIMIT = 100;

/** What [003] has no column for. */
interface Metadata {
  readonly workflow_id: string;
  readonly kind: Kind;
  readonly environment: string;
  readonly components: readonly string[];
  readonly trigger: Trigger;
  readonly cause: string;
  readonly plan_hash: string | null;
  readonly deployment_ids: Readonly<Record<string, string>>;
  readonly outcome?: Outcome;
  /** The entries that ended it. */
  readonly closing?: readonly string[];
}

interface Row {
  event_id: string;
  trigger_reason: string;
  person: string | null;
  initiated_at: Date;
  completed_at: Date | null;
  rollback_plan: Plan | null;
  metadata: Metadata;
}

/** Rows of other writers of [003]'s table have no `workflow_id`, and are not ours to read. */
const SELECT = `SELECT event_id, trigger_reason, coalesce(metadata->>'initiated_by', initiated_by::text) AS person,
    initiated_at, completed_at, rollback_plan, metadata
  FROM ops.rollback_events WHERE metadata ? 'workflow_id'`;

const eventOf = (row: Row): RollbackEvent => ({
  rollbackId: row.event_id,
  workflowId: row.metadata.workflow_id,
  kind: row.metadata.kind,
  environment: row.metadata.environment,
  components: row.metadata.components,
  trigger: row.metadata.trigger,
  cause: row.metadata.cause,
  reason: row.trigger_reason,
  by: row.person ?? '',
  outcome: row.metadata.outcome ?? null,
  openedAt: row.initiated_at.toISOString(),
  closedAt: iso(row.completed_at),
  plan: row.rollback_plan,
  planHash: row.metadata.plan_hash,
});

async function select(queries: Queries, rest: string, values: readonly Value[]): Promise<Row[]> {
  return queries.query<Row>(`${SELECT} ${rest}`, values);
}

async function rowOf(queries: Queries, rollbackId: string): Promise<Row | undefined> {
  const [row] = await select(queries, 'AND event_id = $1', [uuidOrNull(rollbackId)]);
  return row;
}

async function insertEvent(queries: Queries, request: OpenRequest): Promise<void> {
  const { workflowId, kind, environment, components, trigger, cause, planHash, deploymentIds, refused } = request;
  const metadata: Metadata = {
    workflow_id: workflowId,
    kind,
    environment,
    components,
    trigger,
    cause,
    plan_hash: planHash,
    deployment_ids: deploymentIds,
    ...(refused ? { outcome: 'refused' } : {}),
  };
  const [first] = components;
  await queries.query(
    `INSERT INTO ops.rollback_events
       (event_id, deployment_id, trigger_type, trigger_reason, initiated_by, initiated_at, status, completed_at, rollback_plan, metadata)
     VALUES ($1, $2, $3, $4, ops.person($5::text), $6, $7, $8, $9::jsonb, $10::jsonb || ${nameLeft('initiated_by', '$5::text')})`,
    [
      request.rollbackId,
      first === undefined ? null : (deploymentIds[first] ?? null),
      TRIGGER_TYPE[trigger],
      request.reason,
      request.by,
      request.openedAt,
      EVENT_STATUS[refused ? 'refused' : 'open'],
      refused ? request.openedAt : null,
      request.plan === null ? null : jsonb(request.plan),
      jsonb(metadata),
    ],
  );
  for (const [component, observed] of Object.entries(request.snapshots)) {
    const config = { rollbackId: request.rollbackId, environment, component, observed };
    await insertSnapshot(queries, { type: 'pre_rollback', deploymentId: deploymentIds[component] ?? null, metrics: null, config });
  }
}

/**
 * `Store.open`. A rollback that is open already keeps its row and its claims, and only the entries that are new are
 * appended: so a second attempt changes nothing, and a successor goes on where its predecessor was terminated.
 */
export async function open(database: Database, request: OpenRequest): Promise<{ readonly holder: Claim } | Appended> {
  return database.transaction(async (queries) => {
    await lockRecord(queries);
    const existing = await rowOf(queries, request.rollbackId);
    const isEnded = existing !== undefined && existing.completed_at !== null;
    if (!request.refused && !isEnded) {
      const { environment, rollbackId, workflowId, by, openedAt } = request;
      const holder = await takeClaims(queries, request.claims ?? request.components, { environment, rollbackId, workflowId, by, at: openedAt });
      if (holder !== null) return { holder };
    }
    if (existing === undefined) await insertEvent(queries, request);
    return appendEntries(queries, request.rollbackId, request.entries);
  });
}

/** `Store.replan`. A late attempt must not bring back the plan before the newest: its entry is there, and it changes nothing. */
export async function replan(database: Database, rollbackId: string, to: Replanned, entry: RecordEntry): Promise<Appended> {
  return database.transaction(async (queries) => {
    await lockRecord(queries);
    const row = await rowOf(queries, rollbackId);
    if (row === undefined) throw new Error(`no rollback ${rollbackId} was opened`);
    if (row.completed_at !== null) throw new Error(`rollback ${rollbackId} has ended ${row.metadata.outcome ?? ''}: its plan stays as it was`);
    const isLate = (await entriesUnder(queries, [entry.event])).length > 0;
    if (!isLate) {
      const metadata = { plan_hash: to.planHash, deployment_ids: to.deploymentIds } satisfies Partial<Metadata>;
      await queries.query('UPDATE ops.rollback_events SET rollback_plan = $2::jsonb, metadata = metadata || $3::jsonb WHERE event_id = $1', [
        rollbackId,
        jsonb(to.plan),
        jsonb(metadata),
      ]);
    }
    return appendEntries(queries, rollbackId, [entry]);
  });
}

async function restoreComponents(queries: Queries, row: Row, request: CloseRequest): Promise<void> {
  const { environment, deployment_ids: deploymentIds } = row.metadata;
  const { rollbackId, at } = request;
  for (const { component, from, to, snapshot } of request.restored) {
    const takenBackId = deploymentIds[component] ?? null;
    const deploymentId = await restore(queries, { environment, component, rollbackId, by: row.person, at, from, to, takenBackId });
    const config = { rollbackId, environment, component, observed: snapshot };
    await insertSnapshot(queries, { type: 'post_deployment', deploymentId, metrics: null, config });
  }
}

/** `Store.finish`. The first end counts: a second changes nothing, and answers the entries of the first. */
export async function finish(database: Database, request: CloseRequest): Promise<Appended> {
  const { rollbackId, outcome, at } = request;
  return database.transaction(async (queries) => {
    await lockRecord(queries);
    const row = await rowOf(queries, rollbackId);
    if (row === undefined) throw new Error(`no rollback ${rollbackId} was opened`);
    if (row.completed_at !== null) {
      return { position: await position(queries, rollbackId), stored: await entriesUnder(queries, row.metadata.closing ?? []) };
    }
    await restoreComponents(queries, row, request);
    const appended = await appendEntries(queries, rollbackId, request.entries);
    const ended = { outcome, closing: appended.stored.map((entry) => entry.event) } satisfies Partial<Metadata>;
    await queries.query(
      `UPDATE ops.rollback_events SET status = $2, completed_at = $3, rollback_steps = $4::jsonb[], metadata = $5::jsonb || metadata || $6::jsonb
        WHERE event_id = $1`,
      [rollbackId, EVENT_STATUS[outcome], at, request.steps.map(jsonb), jsonb(request.metadata), jsonb(ended)],
    );
    await releaseClaims(queries, rollbackId);
    return appended;
  });
}

/** `Store.rollback`. */
export async function rollback(database: Database, rollbackId: string): Promise<RollbackEvent | null> {
  const row = await rowOf(database, rollbackId);
  return row === undefined ? null : eventOf(row);
}

/** `Store.rollbacks`. */
export async function rollbacks(database: Database, filter: Parameters<Store['rollbacks']>[0]): Promise<RollbackEvent[]> {
  const rows = await select(
    database,
    `AND ($1::text IS NULL OR metadata->>'environment' = $1) AND ($2::text IS NULL OR metadata->'components' ? $2)
     AND ($3::text IS NULL OR metadata->>'workflow_id' = $3) ORDER BY id DESC LIMIT $4`,
    [filter.environment ?? null, filter.component ?? null, filter.workflowId ?? null, filter.limit ?? LIST_LIMIT],
  );
  return rows.map(eventOf);
}

/**
 * `Store.lastAttempt`. A refused start tried nothing: counting it would let a refusal hide the failure before it.
 * Without a deployment any attempt on the component counts.
 */
export async function lastAttempt(database: Database, environment: string, component: string, deploymentId: string | null): Promise<RollbackEvent | null> {
  const [row] = await select(
    database,
    `AND status IN ('success', 'failed') AND metadata->>'environment' = $1 AND metadata->'components' ? $2
     AND ($3::text IS NULL OR metadata->'deployment_ids'->>$2 = $3) ORDER BY completed_at DESC, id DESC LIMIT 1`,
    [environment, component, deploymentId],
  );
  return row === undefined ? null : eventOf(row);
}
