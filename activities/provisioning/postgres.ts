/**
 * `postgres`: requests, Canonical Objects and the error_log in the schema `upa` [000]. The database itself refuses what the policy forbids
 * (store/migrations/0005_provisioning.sql); here is the order of things, and that nothing is done twice.
 */
import { z } from 'zod';
import { keyOf, type Artifact, type LogEntry, type ProvisioningRequest, type RequestStatus } from '../../model/tenant.ts';
import { uuidOrNull, type Queries } from '../../store/database.ts';
import { jsonb } from '../../store/digest.ts';
import { isStorable, lockedRequests, logOf, requestsOf, updateConfig, type StoredRequest } from '../../store/provisioning.ts';
import { AdapterError } from '../adapters/adapter.ts';
import { stopped, withDatabase, type PostgresOptions } from './postgres-call.ts';
import type { Changed, ProvisioningStore, RequestCall } from './provisioning.ts';

type Call = RequestCall<PostgresOptions>;

const optionsSchema = z.strictObject({
  url: z
    .string()
    .regex(/^(env|file):.+/, '`env:NAME` or `file:PATH`')
    .default('env:DATABASE_URL')
    .describe('The address of the database, as a reference that the worker resolves'),
});

const conflict = (message: string): AdapterError => new AdapterError('conflict', message);
const sorted = (ids: Iterable<string>): string[] => [...new Set(ids)].sort((a, b) => (a < b ? -1 : 1));
const keys = (artifacts: readonly Artifact[]): string => artifacts.map(keyOf).join(', ');

/** Slashes around a path make no other route of it; each way to write it is found by the index. */
function spellings({ type, id }: Artifact): Pick<Artifact, 'type' | 'id'>[] {
  if (type !== 'webhook') return [{ type, id }];
  const path = id.replaceAll(/^\/+|\/+$/g, '');
  return [...new Set([id, path, `/${path}`, `${path}/`, `/${path}/`])].map((one) => ({ type, id: one }));
}

/** The requests of the call, held until the transaction ends. */
async function locked(queries: Queries, call: Call): Promise<StoredRequest[]> {
  const rows = await lockedRequests(queries, call.requests);
  const foreign = rows.filter((row) => row.tenant !== call.tenant || row.environment !== call.environment);
  if (foreign.length > 0)
    throw new AdapterError(
      'protected',
      `not of tenant ${call.tenant} in ${call.environment}: ${foreign.map((row) => `request ${row.requestId} (tenant ${row.tenant} in ${row.environment})`).join(', ')}; nothing was changed`,
    );
  const missing = sorted(call.requests).filter((id) => rows.every((row) => row.requestId !== id));
  if (missing.length > 0 || rows.length === 0)
    throw new AdapterError('not-found', `there is no request ${missing.join(', ')} of tenant ${call.tenant} in ${call.environment}`);
  return rows;
}

/** Was this done under this operation id before? */
async function isDone(queries: Queries, call: Call, action: string, subject: string): Promise<boolean> {
  const [known] = await queries.query<{ request_ids: string[] }>(
    'SELECT request_ids FROM upa.operations WHERE operation_id = $1 AND action = $2 AND subject = $3',
    [call.operationId, action, subject],
  );
  if (known === undefined) return false;
  if (known.request_ids.join('\n') !== sorted(call.requests).join('\n'))
    throw conflict(`operation ${call.operationId} has done this for other requests: ${known.request_ids.join(', ')}`);
  return true;
}

type Work = (queries: Queries, rows: readonly StoredRequest[], rollbackId: string) => Promise<boolean>;

/** One change, all or none. `work` answers whether it wrote anything. */
async function change(call: Call, action: string, subject: string, work: Work): Promise<Changed> {
  const rollbackId = uuidOrNull(call.rollbackId)?.toLowerCase();
  if (rollbackId === undefined) throw new AdapterError('configuration', `the rollback id ${JSON.stringify(call.rollbackId)} is no UUID`);
  return withDatabase(call, (database) =>
    database.transaction(async (queries) => {
      const rows = await locked(queries, call);
      if (await isDone(queries, call, action, subject)) return { already: true };
      const hasChanged = await work(queries, rows, rollbackId);
      if (hasChanged)
        await queries.query('INSERT INTO upa.operations (operation_id, action, subject, request_ids) VALUES ($1, $2, $3, $4)', [
          call.operationId,
          action,
          subject,
          sorted(call.requests),
        ]);
      if (call.signal.aborted) throw stopped();
      return { already: !hasChanged };
    }),
  );
}

const ids = (rows: readonly ProvisioningRequest[]): string[] => rows.map((row) => row.requestId);
const inProgress = (rows: readonly StoredRequest[]): StoredRequest[] => rows.filter((row) => row.status === 'ROLLBACK_IN_PROGRESS');

/** In a rollback other than this one, or in none: it is not this one's to go on with. */
function refuseStrangers(rows: readonly ProvisioningRequest[], rollbackId: string): void {
  const stranger = rows.find((row) => row.rollbackId !== rollbackId || !['ROLLBACK_IN_PROGRESS', 'FAILED'].includes(row.status));
  if (stranger)
    throw conflict(
      `request ${stranger.requestId} is ${stranger.status}${stranger.rollbackId === null ? '' : ` under rollback ${stranger.rollbackId}`}, and not under this one (${rollbackId})`,
    );
}

const writeLog = (queries: Queries, call: Call, rollbackId: string, entry: LogEntry): Promise<unknown> =>
  queries.query(
    `INSERT INTO upa.error_log (event, kind, environment, tenant, request_ids, rollback_id, "timestamp", logged_by, reason,
         artifacts_removed, artifacts_not_removable, detail)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb, $12)`,
    [
      `${call.operationId} ${entry.event}`,
      entry.event,
      call.environment,
      call.tenant,
      sorted(call.requests),
      rollbackId,
      entry.at,
      entry.by,
      entry.reason,
      entry.removed,
      jsonb(entry.notRemovable),
      entry.detail,
    ],
  );

export const postgres: ProvisioningStore<PostgresOptions> = {
  name: 'postgres',
  options: optionsSchema,
  limits: [
    'A tenant is compared letter by letter: two spellings of one name are two tenants.',
    'Artifacts are compared within one environment: that two environments share one n8n is told by its marks alone.',
    'The owner of the tables, and a superuser, could take the triggers away that refuse what the policy forbids.',
  ],
  requests: (call) =>
    withDatabase(call, async (database) =>
      (await requestsOf(database, call.environment, call.tenant)).map(({ environment: _, createdAt: __, ...request }) => request),
    ),
  alsoListed: (call, artifacts, except) =>
    withDatabase(call, async (database) => {
      if (!isStorable(call.environment)) return [];
      const asked = artifacts.filter((one, place) => isStorable(one.id) && artifacts.findIndex((other) => keyOf(other) === keyOf(one)) === place);
      const spelled = asked.flatMap((one, place) => spellings(one).map((artifact) => ({ place, artifact })));
      const rows = await database.query<{ place: number; tenant: string; requestId: string; status: RequestStatus }>(
        `SELECT DISTINCT asked.place, r.tenant, r.request_id AS "requestId", r.status
           FROM unnest($2::int[], $3::jsonb[]) AS asked (place, artifact)
           JOIN upa.canonical_objects c ON c.tenant_config->'artifacts' @> jsonb_build_array(asked.artifact)
           JOIN upa.provisioning_requests r USING (request_id)
          WHERE r.environment = $1 ORDER BY asked.place, r.tenant, r.request_id`,
        [call.environment, spelled.map(({ place }) => place), spelled.map(({ artifact }) => jsonb(artifact))],
      );
      return rows.flatMap(({ place, tenant, requestId, status }) => {
        const artifact = asked[place];
        const isElse = tenant !== call.tenant || (status !== 'ROLLED_BACK' && !except.includes(requestId));
        return artifact !== undefined && isElse ? [{ artifact, tenant, requestId }] : [];
      });
    }),
  begin: (call) =>
    change(call, 'begin', '', async (queries, rows, rollbackId) => {
      const ended = rows.find((row) => row.status === 'ROLLED_BACK');
      if (ended) throw conflict(`request ${ended.requestId} is ROLLED_BACK, which is terminal; nothing was changed`);
      const others = rows.filter((row) => row.status !== 'ROLLBACK_IN_PROGRESS' || row.rollbackId !== rollbackId);
      if (others.length > 0)
        await queries.query(`UPDATE upa.provisioning_requests SET status = 'ROLLBACK_IN_PROGRESS', rollback_id = $2 WHERE request_id = ANY($1)`, [
          ids(others),
          rollbackId,
        ]);
      return others.length > 0;
    }),
  release: (call, artifact, how) =>
    change(call, 'release', keyOf(artifact), async (queries, rows, rollbackId) => {
      const listing = rows.filter((row) => row.config.artifacts.some((one) => keyOf(one) === keyOf(artifact)));
      refuseStrangers(listing, rollbackId);
      for (const { requestId, config } of listing) {
        const gone = config.artifacts.filter((one) => keyOf(one) === keyOf(artifact));
        await updateConfig(queries, requestId, {
          artifacts: config.artifacts.filter((one) => !gone.includes(one)),
          removed: [...config.removed, ...gone.map((one) => ({ ...one, at: call.at, by: call.by, rollbackId, how }))],
        });
      }
      return listing.length > 0;
    }),
  fail: (call, entry) =>
    change(call, 'fail', '', async (queries, rows, rollbackId) => {
      refuseStrangers(rows, rollbackId);
      await queries.query(`UPDATE upa.provisioning_requests SET status = 'FAILED' WHERE request_id = ANY($1)`, [ids(inProgress(rows))]);
      await writeLog(queries, call, rollbackId, entry);
      return true;
    }),
  confirmCleanup: (call) =>
    change(call, 'confirmCleanup', '', async (queries, rows, rollbackId) => {
      refuseStrangers(rows, rollbackId);
      const [open] = inProgress(rows);
      if (open) throw conflict(`request ${open.requestId} is ROLLBACK_IN_PROGRESS: a cleanup is confirmed of one that is FAILED`);
      const left = rows.filter((row) => row.cleanup === null);
      if (left.length > 0)
        await queries.query('UPDATE upa.provisioning_requests SET cleanup_confirmed_by = $2, cleanup_confirmed_at = $3 WHERE request_id = ANY($1)', [
          ids(left),
          call.by,
          call.at,
        ]);
      return left.length > 0;
    }),
  complete: (call, entry, left) =>
    change(call, 'complete', '', async (queries, rows, rollbackId) => {
      const open = rows.filter((row) => row.status !== 'ROLLED_BACK');
      refuseStrangers(open, rollbackId);
      const unclean = open.find((row) => row.status === 'FAILED' && row.cleanup === null);
      if (unclean) throw conflict(`request ${unclean.requestId} is FAILED, and its cleanup is not confirmed`);
      const documented = new Set(left.map(keyOf));
      for (const { requestId, config } of open) {
        const listed = config.artifacts.filter((one) => !documented.has(keyOf(one)));
        if (listed.length > 0) throw conflict(`request ${requestId} still lists ${keys(listed)}; nothing was changed`);
      }
      if (open.length === 0) return false;
      const rollback = { at: call.at, by: call.by, rollbackId, reason: entry.reason };
      for (const { requestId } of open) await updateConfig(queries, requestId, { status: 'deprovisioned', rollback });
      await queries.query(`UPDATE upa.provisioning_requests SET status = 'ROLLED_BACK' WHERE request_id = ANY($1)`, [ids(open)]);
      await writeLog(queries, call, rollbackId, entry);
      return true;
    }),
  log: (call) => withDatabase(call, (database) => logOf(database, call.environment, call.tenant)),
};
