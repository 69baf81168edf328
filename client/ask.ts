/** Asks a worker for a reading that only it can make, through the workflow `inspection`; changes nothing. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkflowHandle } from '@temporalio/client';
import type { Ask, Inspected } from '../activities/inspect.ts';
import { TASK_QUEUE } from '../model/task-queue.ts';
import { EXIT, Problem } from './problem.ts';
import { ANSWER_MS, isPolled, type Server, type Session } from './session.ts';

/** Until a worker has taken it up. The reading itself may take as long as its checks do. */
const TAKEN_WITHIN_MS = 5_000;

export async function askWorker<A extends Ask['ask']>(session: Session, ask: Ask & { readonly ask: A }): Promise<Extract<Inspected, { ask: A }>> {
  const server = await session.temporal();
  if (!(await isPolled(server))) throw noWorker('no worker runs');
  const handle = await server.within(ANSWER_MS, () =>
    server.client.workflow.start('inspection', {
      workflowId: `inspection/${randomUUID()}`,
      taskQueue: TASK_QUEUE,
      args: [ask],
      workflowExecutionTimeout: '15m',
      staticSummary: `backout ${ask.ask}`,
    }),
  );
  const given = new AbortController();
  try {
    const result = server.connection.withAbortSignal(given.signal, () => handle.result());
    result.catch(() => undefined); // Awaited below, or given up.
    const inspected: unknown = await Promise.race([result, notTaken(server, handle, given.signal)]);
    return inspected as Extract<Inspected, { ask: A }>; // The workflow answers what it was asked.
  } finally {
    given.abort();
  }
}

/** Throws when no worker has taken it up, and takes it back: nobody waits for the answer any more. */
async function notTaken(server: Server, handle: WorkflowHandle, signal: AbortSignal): Promise<never> {
  await sleep(TAKEN_WITHIN_MS, undefined, { signal });
  const { historyLength } = await server.within(ANSWER_MS, () => handle.describe());
  // Started, and its first task scheduled: that is all that has happened.
  if (historyLength > 2) return new Promise<never>(() => undefined);
  await server.within(ANSWER_MS, () => handle.terminate('no worker answered'));
  throw noWorker(`no worker answered within ${TAKEN_WITHIN_MS / 1000} s`);
}

const noWorker = (message: string): Problem => new Problem(EXIT.unreachable, 'no-worker', message, 'start a worker; `backout dev` brings one along');
