/** The freeze register: `ops.freezes` and `ops.unfreezes`. Both only grow, and the database takes no row that the record does not tell of. */
import { randomUUID } from 'node:crypto';
import { FREEZE_SCOPES, type Freeze, type FreezeExceptions, type FreezeScope } from '../model/freeze.ts';
import type { FreezeRequest, Registered, Store, UnfreezeRequest } from './store.ts';
import type { Database, Queries, Value } from './database.ts';
import { column, jsonb } from './digest.ts';
import { appendEntries, entriesUnder, lockRecord, position } from './record.ts';

interface Row {
  freeze_id: string;
  environment: string;
  incident: string;
  rollback_id: string;
  workflow_id: string;
  declared_by: string;
  frozen_at: Date;
  scopes: FreezeScope[];
  exceptions: FreezeExceptions;
  event: string;
  lifted: { scope: FreezeScope; by: string; at: string; rollbackId: string; event: string }[];
}

const SELECT = `SELECT f.freeze_id, f.environment, f.incident, f.rollback_id, f.workflow_id, f.declared_by, f.frozen_at, f.scopes, f.exceptions, f.event,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('scope', u.scope, 'by', u.lifted_by, 'at', u.lifted_at, 'rollbackId', u.rollback_id, 'event', u.event)), '[]')
       FROM ops.unfreezes u WHERE u.freeze_id = f.freeze_id) AS lifted
  FROM ops.freezes f`;

/** In the order of the runbook, each once. */
const sorted = (scopes: readonly FreezeScope[]): FreezeScope[] => FREEZE_SCOPES.filter((scope) => scopes.includes(scope));

function freezeOf(row: Row): Freeze {
  const scopes = sorted(row.scopes);
  const lifted = scopes.flatMap((scope) => row.lifted.filter((one) => one.scope === scope));
  return {
    freezeId: row.freeze_id,
    environment: row.environment,
    incident: row.incident,
    rollbackId: row.rollback_id,
    workflowId: row.workflow_id,
    by: row.declared_by,
    at: row.frozen_at.toISOString(),
    scopes,
    inForce: scopes.filter((scope) => lifted.every((one) => one.scope !== scope)),
    lifted: lifted.map((one) => ({ ...one, at: new Date(one.at).toISOString() })),
    exceptions: row.exceptions,
    event: row.event,
  };
}

async function select(queries: Queries, where: string, values: readonly Value[]): Promise<Freeze[]> {
  const rows = await queries.query<Row>(`${SELECT} WHERE ${where} ORDER BY f.id DESC`, values);
  return rows.map(freezeOf);
}

const ofIncident = (queries: Queries, { environment, incident }: Pick<Freeze, 'environment' | 'incident'>): Promise<Freeze[]> =>
  select(queries, 'f.environment = $1 AND f.incident = $2', [environment, incident]);

/** `Store.freeze`. An attempt that comes late finds its own row, lifted or not: it must not freeze again what was lifted since. */
export async function freeze(database: Database, request: FreezeRequest): Promise<Registered & { readonly freeze: Freeze }> {
  const wanted = sorted(request.scopes);
  if (wanted.length === 0) throw new Error(`a freeze names at least one of ${FREEZE_SCOPES.join(', ')}`);
  const { environment, incident, rollbackId, entry } = request;
  return database.transaction(async (queries) => {
    await lockRecord(queries);
    const held = await ofIncident(queries, request);
    const missing = wanted.filter((scope) => held.every((one) => !one.inForce.includes(scope)));
    const own = held.find((one) => one.event === column(entry.event));
    const known = own ?? (missing.length === 0 ? held.find((one) => wanted.some((scope) => one.inForce.includes(scope))) : undefined);
    if (known) return { freeze: known, already: true, position: await position(queries, rollbackId) };
    const appended = await appendEntries(queries, rollbackId, [...(request.entries ?? []), entry]);
    const freezeId = randomUUID();
    await queries.query(
      `INSERT INTO ops.freezes (freeze_id, environment, incident, rollback_id, workflow_id, declared_by, frozen_at, scopes, exceptions, event)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb, $10)`,
      [freezeId, environment, incident, rollbackId, request.workflowId, request.by, request.at, missing, jsonb(request.exceptions), entry.event],
    );
    const [written] = await select(queries, 'f.freeze_id = $1', [freezeId]);
    if (written === undefined) throw new Error(`the freeze of ${environment} was written and is not there`);
    return { freeze: written, already: false, position: appended.position };
  });
}

/** `Store.unfreeze`. An entry that is there already has lifted what it could: what was frozen since is not its. */
export async function unfreeze(database: Database, request: UnfreezeRequest): Promise<Registered> {
  const { rollbackId, by, at, entry } = request;
  return database.transaction(async (queries) => {
    await lockRecord(queries);
    const held = await ofIncident(queries, request);
    const rows = held.flatMap((one) => one.inForce.filter((scope) => request.scopes.includes(scope)).map((scope) => ({ freezeId: one.freezeId, scope })));
    const isLate = (await entriesUnder(queries, [entry.event])).length > 0;
    if (rows.length === 0 || isLate) return { already: true, position: await position(queries, rollbackId) };
    const appended = await appendEntries(queries, rollbackId, [entry]);
    await queries.query(
      `INSERT INTO ops.unfreezes (freeze_id, scope, lifted_by, lifted_at, rollback_id, event)
       SELECT freeze_id, scope, $3, $4, $5, $6 FROM unnest($1::uuid[], $2::text[]) AS lifted (freeze_id, scope)`,
      [rows.map((row) => row.freezeId), rows.map((row) => row.scope), by, at, rollbackId, entry.event],
    );
    return { already: false, position: appended.position };
  });
}

/** `Store.freezes`. By order of recording, not by anybody's clock. */
export async function freezes(database: Database, filter: Parameters<Store['freezes']>[0]): Promise<Freeze[]> {
  return select(
    database,
    `($1::text IS NULL OR f.environment = $1) AND ($2::text IS NULL OR f.incident = $2) AND (NOT $3::boolean OR EXISTS (
       SELECT FROM unnest(f.scopes) AS frozen (scope)
        WHERE NOT EXISTS (SELECT FROM ops.unfreezes u WHERE u.freeze_id = f.freeze_id AND u.scope = frozen.scope)))`,
    [filter.environment ?? null, filter.incident ?? null, filter.inForceOnly ?? false],
  );
}
