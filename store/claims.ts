/** `ops.claims`: one rollback per component of an environment, from the plan to the end, through stop and terminate. */
import type { Appended, Claim, Store, TransferRequest } from './store.ts';
import { type Database, type Queries, uuidOrNull } from './database.ts';
import { appendEntries, lockRecord, position } from './record.ts';

interface Row {
  environment: string;
  component: string;
  rollback_id: string;
  workflow_id: string;
  claimed_by: string;
  claimed_at: Date;
}

const COLUMNS = 'environment, component, rollback_id, workflow_id, claimed_by, claimed_at';

const claimOf = (row: Row): Claim => ({
  environment: row.environment,
  component: row.component,
  rollbackId: row.rollback_id,
  workflowId: row.workflow_id,
  by: row.claimed_by,
  at: row.claimed_at.toISOString(),
});

/**
 * Takes all or none, inside a transaction that holds the record's lock. Answers another's claim that is in the
 * way, null once all are ours; our own are taken again without a word, so that a successor goes on.
 */
export async function takeClaims(queries: Queries, components: readonly string[], claim: Omit<Claim, 'component'>): Promise<Claim | null> {
  const sorted = [...new Set(components)].toSorted();
  const [held] = await queries.query<Row>(
    `SELECT ${COLUMNS} FROM ops.claims WHERE environment = $1 AND component = ANY($2) AND rollback_id <> $3 ORDER BY component COLLATE "C" LIMIT 1`,
    [claim.environment, sorted, claim.rollbackId],
  );
  if (held !== undefined) return claimOf(held);
  await queries.query(
    `INSERT INTO ops.claims (${COLUMNS}) SELECT $1, component, $3, $4, $5, $6 FROM unnest($2::text[]) AS component
     ON CONFLICT (environment, component) DO NOTHING`,
    [claim.environment, sorted, claim.rollbackId, claim.workflowId, claim.by, claim.at],
  );
  return null;
}

/** What a rollback claimed after its end would be held for ever. */
async function refuseEnded(queries: Queries, rollbackId: string): Promise<void> {
  const ended = await queries.query('SELECT FROM ops.rollback_events WHERE event_id = $1 AND completed_at IS NOT NULL', [rollbackId]);
  if (ended.length > 0) throw new Error(`rollback ${rollbackId} has ended: it claims nothing any more`);
}

/** `Store.claim`. */
export async function claim(database: Database, request: Parameters<Store['claim']>[0]): ReturnType<Store['claim']> {
  const { components, ...by } = request;
  return database.transaction(async (queries) => {
    await lockRecord(queries);
    await refuseEnded(queries, request.rollbackId);
    const holder = await takeClaims(queries, components, by);
    return holder === null ? null : { holder };
  });
}

/** `Store.transferClaims`. What was given up meanwhile is free, and is taken as anything free is. */
export async function transferClaims(database: Database, request: TransferRequest): Promise<Appended & { readonly holder: Claim | null }> {
  const { environment, components, from, to, entry } = request;
  return database.transaction(async (queries) => {
    await lockRecord(queries);
    await refuseEnded(queries, to.rollbackId);
    const [third] = await queries.query<Row>(
      `SELECT ${COLUMNS} FROM ops.claims WHERE environment = $1 AND component = ANY($2) AND rollback_id NOT IN ($3, $4) ORDER BY component COLLATE "C" LIMIT 1`,
      [environment, components, from, to.rollbackId],
    );
    if (third !== undefined) return { holder: claimOf(third), position: await position(queries, to.rollbackId), stored: [] };
    await queries.query('DELETE FROM ops.claims WHERE environment = $1 AND component = ANY($2) AND rollback_id = $3', [environment, components, from]);
    await takeClaims(queries, components, { environment, ...to });
    return { holder: null, ...(await appendEntries(queries, to.rollbackId, [entry])) };
  });
}

/** Inside the transaction that ends the rollback. */
export async function releaseClaims(queries: Queries, rollbackId: string): Promise<void> {
  await queries.query('DELETE FROM ops.claims WHERE rollback_id = $1', [rollbackId]);
}

/** `Store.claims`. */
export async function claims(database: Database, filter: Parameters<Store['claims']>[0]): Promise<Claim[]> {
  if (filter.rollbackId !== undefined && uuidOrNull(filter.rollbackId) === null) return [];
  const rows = await database.query<Row>(
    `SELECT ${COLUMNS} FROM ops.claims
      WHERE ($1::uuid IS NULL OR rollback_id = $1) AND ($2::text IS NULL OR environment = $2) AND ($3::text[] IS NULL OR component = ANY($3))
      ORDER BY environment COLLATE "C", component COLLATE "C"`,
    [filter.rollbackId ?? null, filter.environment ?? null, filter.components ?? null],
  );
  return rows.map(claimOf);
}
