/** What the worker knows of other executions: whether one is open, and what a lost one had known. */
import type { Client } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/client';
import type { Peer, Predecessor } from '../activities/dependencies.ts';
import type { RollbackState } from '../model/state.ts';

export async function isOpen(client: Client, workflowId: string): Promise<boolean> {
  try {
    return (await client.workflow.getHandle(workflowId).describe()).status.name === 'RUNNING';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}

/** The newest ended run of this rollback before the given one; its state is asked of the worker, which replays the history. */
export async function predecessor(client: Client, workflowId: string, rollbackId: string, runId: string): Promise<Predecessor | null> {
  for await (const run of client.workflow.list({ query: `WorkflowId = '${workflowId.replaceAll("'", '')}'` })) {
    if (run.runId === runId || run.status.name === 'RUNNING' || !run.closeTime) continue;
    const handle = client.workflow.getHandle(workflowId, run.runId);
    const state = await client.connection.withDeadline(Date.now() + 10_000, () => handle.query<RollbackState>('state')).catch(() => null);
    if (state?.rollbackId !== rollbackId || state.outcome !== null) continue;
    const { events } = await handle.fetchHistory();
    const last = events?.findLast((event) => event.workflowTaskStartedEventAttributes)?.eventTime;
    const asOfMs = last ? Number(last.seconds ?? 0) * 1000 + (last.nanos ?? 0) / 1e6 : run.closeTime.getTime();
    return { state, asOfMs, endedAtMs: run.closeTime.getTime() };
  }
  return null;
}

/** Another rollback, seen from one that takes its components over. */
export const peer = (client: Client, workflowId: string): Peer => {
  const handle = client.workflow.getHandle(workflowId);
  return {
    stop: (message) =>
      handle.signal('stop', message).catch((error: unknown) => {
        if (!(error instanceof WorkflowNotFoundError)) throw error;
      }),
    isMoving: async () => {
      if (!(await isOpen(client, workflowId))) return false;
      const state = await client.connection.withDeadline(Date.now() + 10_000, () => handle.query<RollbackState>('state'));
      return state.state === 'planning' || state.state === 'running' || state.steps.some((step) => step.state === 'running');
    },
  };
};
