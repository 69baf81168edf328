/**
 * Records one history of every ending, on real parts, into this folder: `node test/histories/record.ts RELEASE`. Run it once for a release; the files are
 * never changed afterwards. `test/replay.test.ts` replays them all on today's code.
 */
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import type { WorkflowHandle } from '@temporalio/client';
import { World } from '../support/world.ts';

const [, , release = ''] = process.argv;
if (!/^\d+\.\d+\.\d+$/.test(release)) throw new Error('usage: node test/histories/record.ts 0.1.0');

const shop = (name: string, bad: object = {}) => ({ name, releases: [{ version: 'v1.0.0', ...bad }, { version: 'v1.1.0', broken: true }] });
const world = await World.create({
  shops: [shop('web'), { ...shop('slow', { startMs: 2_500 }), yaml: ['targetSeconds: 2'] }, shop('cancelled'), shop('reset'), shop('terminated'), shop('failed')],
});

/** The ids in a history are those of this run; the paths of this machine do not belong into it. */
async function save(ending: string, handle: WorkflowHandle, runId?: string): Promise<void> {
  const history = await world.client.workflow.getHandle(handle.workflowId, runId).fetchHistory();
  await writeFile(join(import.meta.dirname, `${release}-${ending}.json`), `${historyToJSON(history).replaceAll(resolve(import.meta.dirname, '../..'), '/backout')}\n`);
  process.stdout.write(`${ending}: ${history.events?.length ?? 0} events\n`);
}

const start = async (component: string, more: Record<string, unknown> = {}): Promise<WorkflowHandle> => world.start({ components: [component], targets: { [component]: 'v1.0.0' }, ...more });
const confirmed = async (handle: WorkflowHandle): Promise<void> => {
  await world.waiting(handle);
  await world.confirm(handle);
  await world.closed(handle);
};

try {
  await world.worker();
  for (const component of ['web', 'slow', 'cancelled', 'reset', 'terminated', 'failed']) await world.badRelease(component);

  const rolledBack = await start('web');
  await confirmed(rolledBack);
  await save('rolled-back', rolledBack);

  const there = await start('web');
  await world.closed(there);
  await save('already-there', there);

  const refused = await start('web', { targets: { web: 'v9.9.9' } });
  await world.closed(refused);
  await save('refused', refused);

  const late = await start('slow');
  await world.until(late, 'breached', (state) => state.clock.breached);
  await late.signal('confirm', { step: 'investigation', by: 'ana', note: 'the release starts slowly' });
  await confirmed(late);
  await save('rolled-back-late', late);

  const failed = await start('failed');
  await world.waiting(failed);
  await failed.signal('decline', { step: 'availability', by: 'ana', reason: 'still broken' });
  await world.stopped(failed);
  await failed.signal('decide', { step: 'availability', by: 'ana', action: 'close', reason: 'fixed forward' });
  await world.closed(failed);
  await save('failed', failed);

  const cancelled = await start('cancelled');
  await world.waiting(cancelled);
  await cancelled.cancel();
  await world.stopped(cancelled);
  await cancelled.signal('nonsense', { no: 'such message' });
  await cancelled.executeUpdate('resume', { args: [{ by: 'ana', reason: 'it was right' }] });
  await confirmed(cancelled);
  await save('cancelled', cancelled);

  const reset = await start('reset');
  const before = await world.waiting(reset);
  const { events } = await reset.fetchHistory();
  const workflowTaskFinishEventId = events?.find((event) => event.workflowTaskCompletedEventAttributes)?.eventId;
  if (!workflowTaskFinishEventId) throw new Error('the history has no completed task');
  const workflowExecution = { workflowId: reset.workflowId, runId: before.runId };
  const { runId } = await world.client.workflowService.resetWorkflowExecution({ namespace: 'default', workflowExecution, reason: 'recorded', workflowTaskFinishEventId, requestId: randomUUID() });
  await confirmed(world.client.workflow.getHandle(reset.workflowId, runId));
  await save('reset', reset, runId);

  const terminated = await start('terminated');
  const lost = await world.waiting(terminated);
  await terminated.terminate('recorded');
  await save('terminated', terminated, lost.runId);
  const successor = await start('terminated', { resumes: { rollbackId: lost.rollbackId, by: 'ana', reason: 'somebody terminated it' } });
  await confirmed(successor);
  await save('resumed', successor);
} finally {
  await world.close();
}
process.exit(0);
