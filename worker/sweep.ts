/**
 * Once in a while: export the histories of closed runs into the record, find what was ended from outside, and find what is stuck. Every
 * round is safe to repeat and to run on several workers at once.
 */
import type { Client, WorkflowExecutionInfo } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { KINDS } from '../model/policy.ts';
import type { RecordEntry } from '../model/record.ts';
import { sha256 } from '../store/digest.ts';
import { watchFreezes } from './freezes.ts';
import { notice, type Sweep } from './notice.ts';

const TYPES = KINDS.map((kind) => `'${kind}'`).join(', ');
/** A workflow task that has failed this often in a row is a loop: the execution looks RUNNING and does nothing. */
const STUCK_ATTEMPTS = 3;
/** A step that has been tried this often, for minutes: a platform is away, and people should hear of it though nothing has failed. */
const ASKING_ATTEMPTS = Number(process.env['BACKOUT_ASKING_ATTEMPTS'] ?? 12);
/** Executions looked at more closely in one round. */
const ROUND_MAX = 500;

/** One round. Throws where Temporal or Postgres is away; the caller tries again later. */
export async function sweep(deps: Sweep, { exported, drifting }: Memory): Promise<void> {
  await exportClosed(deps, exported);
  await findStuck(deps);
  await watchFreezes(deps, drifting);
}

/** What one worker remembers between its rounds. */
export interface Memory {
  /** Runs that need no further look. */
  readonly exported: Set<string>;
  /** What was told of freezes that do not hold. */
  readonly drifting: Map<string, string>;
}

async function exportClosed(deps: Sweep, known: Set<string>): Promise<void> {
  let looked = 0;
  for await (const run of deps.client.workflow.list({ query: `WorkflowType IN (${TYPES}) AND ExecutionStatus != 'Running'` })) {
    if (known.has(run.runId)) continue;
    looked += 1;
    if (looked > ROUND_MAX) return;
    if (!(await deps.store.hasHistory(run.runId))) await exportRun(deps, run);
    await noticeAbandoned(deps, run);
    known.add(run.runId);
  }
}

async function exportRun({ client, store, checkpoint }: Sweep, run: WorkflowExecutionInfo): Promise<void> {
  const history = await client.workflow.getHandle(run.workflowId, run.runId).fetchHistory();
  const json = historyToJSON(history);
  const rollbackId = await rollbackOf(history, run, client);
  const at = new Date().toISOString();
  const entry: RecordEntry = {
    event: `${run.runId}/history`,
    rollbackId,
    at,
    type: 'history',
    workflowId: run.workflowId,
    runId: run.runId,
    status: run.status.name,
    events: history.events?.length ?? 0,
    sha256: sha256(json),
  };
  await store.saveHistory({ rollbackId, workflowId: run.workflowId, runId: run.runId, json, sha256: sha256(json) }, entry);
  await checkpoint(await store.position(rollbackId));
}

/** The rollback a run belongs to: what its first event says, a successor's input before its own id. */
async function rollbackOf(
  history: Awaited<ReturnType<ReturnType<Client['workflow']['getHandle']>['fetchHistory']>>,
  run: WorkflowExecutionInfo,
  client: Client,
): Promise<string> {
  const started = history.events?.[0]?.workflowExecutionStartedEventAttributes;
  const payload = started?.input?.payloads?.[0];
  const first = started?.originalExecutionRunId ?? run.runId;
  if (!payload) return first;
  try {
    const input: unknown = client.options.loadedDataConverter.payloadConverter.fromPayload(payload);
    const resumes = (input as { resumes?: { rollbackId?: unknown } } | null)?.resumes?.rollbackId;
    return typeof resumes === 'string' && /^[0-9a-f-]{36}$/.test(resumes) ? resumes : first;
  } catch {
    // Anything may have been sent as input; the workflow itself has refused it.
    return first;
  }
}

/** Ended from outside while its rollback is open, and nothing goes on under its Id: somebody has to resume it. */
async function noticeAbandoned(deps: Sweep, run: WorkflowExecutionInfo): Promise<void> {
  if (run.status.name !== 'TERMINATED' && run.status.name !== 'TIMED_OUT') return;
  // Not the newest: a start that was refused meanwhile is newer than what it was refused for.
  const claim = (await deps.store.rollbacks({ workflowId: run.workflowId })).find((one) => one.outcome === null);
  if (!claim) return;
  const latest = await deps.client.workflow.getHandle(run.workflowId).describe();
  if (latest.runId !== run.runId && latest.status.name === 'RUNNING') return;
  const text = `${run.workflowId} was ended from outside (${run.status.name}) and is abandoned; what it holds stays held`;
  await notice(deps, {
    event: `${run.runId}/abandoned`,
    rollbackId: claim.rollbackId,
    workflowId: run.workflowId,
    kind: 'abandoned',
    text,
    next: [`backout resume ${run.workflowId} --by YOU --reason WHY`],
  });
}

async function findStuck(deps: Sweep): Promise<void> {
  let looked = 0;
  for await (const run of deps.client.workflow.list({ query: `WorkflowType IN (${TYPES}) AND ExecutionStatus = 'Running'` })) {
    looked += 1;
    if (looked > ROUND_MAX) return;
    const { raw } = await deps.client.workflow.getHandle(run.workflowId, run.runId).describe();
    const attempt = raw.pendingWorkflowTask?.attempt ?? 0;
    if (attempt >= STUCK_ATTEMPTS)
      await stuck(deps, run, {
        event: `${run.runId}/stuck`,
        text: `${run.workflowId} looks running and is stuck: its workflow task has failed ${attempt} times. The worker's log has the reason; nothing is changed meanwhile`,
        next: ['mend the worker and start it again: the execution goes on by itself', `backout now COMPONENT --print`],
      });
    const [asking] = (raw.pendingActivities ?? []).filter((one) => (one.attempt ?? 0) >= ASKING_ATTEMPTS && one.activityType?.name === 'runStep');
    if (asking)
      await stuck(deps, run, {
        event: `${run.runId}/stuck/${asking.activityId ?? ''}`,
        text: `${run.workflowId} has tried one step ${asking.attempt ?? 0} times: ${asking.lastFailure?.message ?? 'no reason is known'}. Nothing has failed: it goes on by itself once it is answered`,
        next: [`backout show ${run.workflowId}`],
      });
  }
}

async function stuck(deps: Sweep, run: WorkflowExecutionInfo, what: { event: string; text: string; next: string[] }): Promise<void> {
  const history = await deps.client.workflow.getHandle(run.workflowId, run.runId).fetchHistory();
  await notice(deps, { ...what, rollbackId: await rollbackOf(history, run, deps.client), workflowId: run.workflowId, kind: 'stuck' });
}
