/** Starts the watch over what a rollback has put back. */
import { WorkflowExecutionAlreadyStartedError, type Client } from '@temporalio/client';
import type { WatchWork } from '../activities/watch.ts';
import { TASK_QUEUE } from '../model/task-queue.ts';

/** One watch per rollback: its Id is the rollback's, so a repeated start is the same watch. */
export async function startWatch(client: Client, work: WatchWork): Promise<void> {
  const components = work.targets.map((target) => target.component).toSorted();
  try {
    await client.workflow.start('healthWatch', {
      workflowId: `watch/${work.environment}/${components.join('+')}/${work.rollbackId}`,
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
      taskQueue: TASK_QUEUE,
      args: [work],
      staticSummary: `Watching ${components.join(', ')} until ${work.until}, after ${work.workflowId}`,
    });
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  }
}
