/** `ops.histories`: exported histories of closed runs, each announced by an entry of the record. */
import type { RecordEntry } from '../model/record.ts';
import type { Store } from './store.ts';
import { type Database, uuidOrNull } from './database.ts';
import { appendEntries, entriesOf, lockRecord } from './record.ts';

type History = Parameters<Store['saveHistory']>[0];

/** `Store.saveHistory`. The first export of a run counts. */
export async function saveHistory(database: Database, history: History, entry: RecordEntry): Promise<void> {
  await database.transaction(async (queries) => {
    await lockRecord(queries);
    await queries.query(
      'INSERT INTO ops.histories (run_id, workflow_id, rollback_id, json, sha256) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (run_id) DO NOTHING',
      [history.runId, history.workflowId, history.rollbackId, history.json, history.sha256],
    );
    await appendEntries(queries, history.rollbackId, [entry]);
  });
}

/** `Store.hasHistory`. */
export async function hasHistory(database: Database, runId: string): Promise<boolean> {
  const rows = await database.query('SELECT FROM ops.histories WHERE run_id = $1', [runId]);
  return rows.length > 0;
}

/** `Store.recordOf`. */
export async function recordOf(database: Database, rollbackId: string): ReturnType<Store['recordOf']> {
  return database.snapshot(async (queries) => ({
    entries: await entriesOf(queries, rollbackId),
    histories: await queries.query<{ workflowId: string; runId: string; json: string; sha256: string }>(
      `SELECT workflow_id AS "workflowId", run_id AS "runId", json, sha256 FROM ops.histories WHERE rollback_id = $1 ORDER BY saved_at, run_id`,
      [uuidOrNull(rollbackId)],
    ),
  }));
}
