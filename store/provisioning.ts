/** The provisioning store's tables (schema `upa`): reading them, and what `backout tenant record` writes. What is forbidden there is said in 0005_provisioning.sql. */
import type { QueryResultRow } from 'pg';
import { keyOf, type Artifact, type LogEntry, type ProvisioningRequest, type RequestStatus, type TenantConfig } from '../model/tenant.ts';
import { iso, type Database, type Queries, type Value } from './database.ts';
import { column, jsonb } from './digest.ts';

/** A request as its rows have it. */
export interface StoredRequest extends ProvisioningRequest {
  readonly environment: string;
  readonly createdAt: string;
}

/** An artifact that was taken off the list before any rollback, since it was listed by mistake. */
export interface Correction {
  readonly requestId: string;
  readonly artifact: Artifact;
  readonly by: string;
  readonly at: string;
}

interface RequestRow extends QueryResultRow {
  request_id: string;
  environment: string;
  tenant: string;
  version: string | null;
  status: RequestStatus;
  rollback_id: string | null;
  cleanup_confirmed_by: string | null;
  cleanup_confirmed_at: Date | null;
  created_at: Date;
  tenant_config: TenantConfig;
}

const SELECT = `SELECT r.request_id, r.environment, r.tenant, r.version, r.status, r.rollback_id, r.cleanup_confirmed_by, r.cleanup_confirmed_at, r.created_at, c.tenant_config
  FROM upa.provisioning_requests r JOIN upa.canonical_objects c USING (request_id)`;

const requestOf = (row: RequestRow): StoredRequest => {
  const { status, artifacts, removed, rollback } = row.tenant_config;
  return {
    requestId: row.request_id,
    environment: row.environment,
    tenant: row.tenant,
    version: row.version,
    status: row.status,
    rollbackId: row.rollback_id,
    cleanup: row.cleanup_confirmed_by === null ? null : { by: row.cleanup_confirmed_by, at: iso(row.cleanup_confirmed_at) ?? '' },
    createdAt: iso(row.created_at) ?? '',
    // What else the house keeps in it is the house's.
    config: { status, artifacts, removed, rollback },
  };
};

/** Text that a column keeps as it is. What it does not keep is no name of anything here, and must not be taken for the name that it would become. */
export const isStorable = (text: string): boolean => column(text) === text;

/** Oldest first. Without a tenant: of all. */
export async function requestsOf(queries: Queries, environment: string, tenant: string | null): Promise<StoredRequest[]> {
  if (!isStorable(environment) || !isStorable(tenant ?? '')) return [];
  const rows = await queries.query<RequestRow>(`${SELECT} WHERE r.environment = $1 AND ($2::text IS NULL OR r.tenant = $2) ORDER BY r.created_at, r.id`, [
    environment,
    tenant,
  ]);
  return rows.map(requestOf);
}

/** These requests, whosever they are, held until the transaction ends: always in the same order, so that two writers wait and never block each other. */
export async function lockedRequests(queries: Queries, ids: readonly string[]): Promise<StoredRequest[]> {
  const rows = await queries.query<RequestRow>(`${SELECT} WHERE r.request_id = ANY($1) ORDER BY r.request_id FOR UPDATE OF r, c`, [ids.filter(isStorable)]);
  return rows.map(requestOf);
}

interface LogRow extends QueryResultRow {
  timestamp: Date;
  kind: LogEntry['event'];
  logged_by: string;
  reason: string;
  artifacts_removed: string[];
  artifacts_not_removable: LogEntry['notRemovable'];
  detail: string | null;
}

/** Oldest first. */
export async function logOf(queries: Queries, environment: string, tenant: string): Promise<LogEntry[]> {
  if (!isStorable(environment) || !isStorable(tenant)) return [];
  const rows = await queries.query<LogRow>(
    `SELECT "timestamp", kind, logged_by, reason, artifacts_removed, artifacts_not_removable, detail
       FROM upa.error_log WHERE environment = $1 AND tenant = $2 ORDER BY id`,
    [environment, tenant],
  );
  return rows.map((row) => ({
    at: iso(row.timestamp) ?? '',
    event: row.kind,
    by: row.logged_by,
    reason: row.reason,
    removed: row.artifacts_removed,
    notRemovable: row.artifacts_not_removable,
    detail: row.detail,
  }));
}

/** Oldest first. */
export async function correctionsOf(queries: Queries, requests: readonly string[]): Promise<Correction[]> {
  const rows = await queries.query<{ request_id: string; artifact: Artifact; corrected_by: string; corrected_at: Date }>(
    'SELECT request_id, artifact, corrected_by, corrected_at FROM upa.corrections WHERE request_id = ANY($1) ORDER BY id',
    [requests],
  );
  return rows.map((row) => ({ requestId: row.request_id, artifact: row.artifact, by: row.corrected_by, at: iso(row.corrected_at) ?? '' }));
}

/** A part of the Canonical Object; the rest of it stays as it is. */
export async function updateConfig(queries: Queries, requestId: string, part: Partial<TenantConfig>): Promise<void> {
  await queries.query('UPDATE upa.canonical_objects SET tenant_config = tenant_config || $2::jsonb WHERE request_id = $1', [requestId, jsonb(part)]);
}

export interface Recording {
  readonly environment: string;
  readonly requestId: string;
  readonly tenant: string;
  readonly version: string | null;
  readonly status: 'COMPLETED' | 'FAILED';
  readonly artifacts: readonly Artifact[];
  /** Who takes off the list what is listed no longer. */
  readonly by: string | null;
}

/** What became of it: `unchanged` is a success, and wrote nothing. */
export interface Recorded {
  readonly did: 'recorded' | 'changed' | 'unchanged';
  readonly request: StoredRequest;
  readonly added: readonly Artifact[];
  /** Their name or platform. */
  readonly changed: readonly Artifact[];
  /** Listed before and no longer: kept in `upa.corrections`. */
  readonly corrected: readonly Artifact[];
}

/** Why a recording is refused; nothing was written. */
export class NotRecordable extends Error {
  override readonly name = 'NotRecordable';
}

/** A provisioning request and its Canonical Object, as a file says. Recorded again, its artifacts replace those listed, as long as no rollback has the request. */
export async function recordRequest(database: Database, recording: Recording): Promise<Recorded> {
  return database.transaction(async (queries) => {
    // Two who record the same new request: the second finds what the first wrote.
    await queries.query(`SELECT pg_advisory_xact_lock(hashtextextended('upa record ' || $1, 0))`, [recording.requestId]);
    const [before] = await lockedRequests(queries, [recording.requestId]);
    const change = before === undefined ? await insert(queries, recording) : await replace(queries, before, recording);
    const [request] = await lockedRequests(queries, [recording.requestId]);
    if (request === undefined) throw new Error(`request ${recording.requestId} was written and is not there`);
    return { ...change, request };
  });
}

type Change = Omit<Recorded, 'request'>;

async function insert(queries: Queries, { environment, requestId, tenant, version, status, artifacts }: Recording): Promise<Change> {
  await queries.query('INSERT INTO upa.provisioning_requests (request_id, environment, tenant, version, status) VALUES ($1, $2, $3, $4, $5)', [
    requestId,
    environment,
    tenant,
    version,
    status,
  ]);
  const config: TenantConfig = { status: 'active', artifacts, removed: [], rollback: null };
  await queries.query('INSERT INTO upa.canonical_objects (request_id, environment, tenant, tenant_config) VALUES ($1, $2, $3, $4::jsonb)', [
    requestId,
    environment,
    tenant,
    jsonb(config),
  ]);
  return { did: 'recorded', added: artifacts, changed: [], corrected: [] };
}

const isSame = (a: Artifact, b: Artifact): boolean => keyOf(a) === keyOf(b) && a.name === b.name && a.platform === b.platform;

async function replace(
  queries: Queries,
  before: StoredRequest,
  { environment, requestId, tenant, version, status, artifacts, by }: Recording,
): Promise<Change> {
  if (before.environment !== environment || before.tenant !== tenant)
    throw new NotRecordable(`request ${requestId} is tenant ${before.tenant}'s in ${before.environment}, and stays so: give this one an id of its own`);
  if (before.status !== status)
    throw new NotRecordable(`request ${requestId} is ${before.status} and not ${status}: its status changes only by a rollback; record a further request`);
  const removed = artifacts.filter((one) => before.config.removed.some((gone) => keyOf(gone) === keyOf(one)));
  if (removed.length > 0)
    throw new NotRecordable(`request ${requestId}: ${removed.map(keyOf).join(', ')} was removed by a rollback; what is provisioned again is of a new request`);
  const listed = new Map(before.config.artifacts.map((one) => [keyOf(one), one]));
  const kept = new Set(artifacts.map(keyOf));
  const added = artifacts.filter((one) => !listed.has(keyOf(one)));
  const changed = artifacts.filter((one) => listed.has(keyOf(one)) && !isSame(one, listed.get(keyOf(one)) ?? one));
  const corrected = before.config.artifacts.filter((one) => !kept.has(keyOf(one)));
  const isNewVersion = version !== before.version;
  if (added.length + changed.length + corrected.length === 0 && !isNewVersion) return { did: 'unchanged', added, changed, corrected };
  if (corrected.length > 0 && by === null)
    throw new NotRecordable(`request ${requestId} lists ${corrected.map(keyOf).join(', ')}: say with --by who takes that off the list`);
  if (isNewVersion) await queries.query('UPDATE upa.provisioning_requests SET version = $2 WHERE request_id = $1', [requestId, version]);
  for (const one of corrected) {
    const values: Value[] = [requestId, jsonb(one), by];
    await queries.query('INSERT INTO upa.corrections (request_id, artifact, corrected_by) VALUES ($1, $2::jsonb, $3)', values);
  }
  await updateConfig(queries, requestId, { artifacts });
  return { did: 'changed', added, changed, corrected };
}
