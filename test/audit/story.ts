/** Real rollbacks of every ending, run once; what they left behind is what the tests forge. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import type { RecordEntry } from '../../model/record.ts';
import { World } from '../support/world.ts';
import { bodyOf, take, type Snapshot } from './evidence.ts';

export const ID = 'deployRevert/production/web';

export interface Story {
  readonly real: Snapshot;
  /** Run ids by what became of the run. */
  readonly runOf: Readonly<Record<string, string>>;
  jsonOf(name: string): string;
  seqWhere(matches: (entry: RecordEntry) => boolean): number;
  stepOf(name: string, step: string): (entry: RecordEntry) => boolean;
}

export async function live(): Promise<Story> {
  const runOf: Record<string, string> = {};
  const world = await World.create();
  try {
    await world.worker();
    await world.badRelease();
    const keep = async (name: string, handle: WorkflowHandle): Promise<void> => {
      runOf[name] = (await handle.describe()).runId;
    };

    // Rolled back, with a message that was refused, and confirmed by an update.
    let handle = await world.start();
    await world.waiting(handle);
    await handle.signal('nonsense', { any: 'thing' });
    await handle.executeUpdate('confirm', { args: [{ step: 'availability', by: 'ana' }] });
    await handle.result();
    await keep('rolled back', handle);

    handle = await world.start({ targets: { web: 'v9' } });
    await handle.result();
    await keep('refused', handle);

    // Declined and closed: the execution fails.
    await world.release('web', 'v1.1.0', false);
    handle = await world.start();
    await world.waiting(handle);
    await handle.signal('decline', { step: 'availability', by: 'ana', reason: 'it is slow' });
    await world.stopped(handle);
    await handle.signal('decide', { action: 'close', by: 'ana', reason: 'enough' });
    await handle.result().catch(() => undefined);
    await keep('failed', handle);

    // Terminated, resumed, reset, reset again, and then rolled back.
    await world.release('web', 'v1.1.0', false);
    handle = await world.start();
    const { rollbackId } = await world.waiting(handle);
    await keep('terminated', handle);
    await handle.terminate('somebody clicked');
    handle = await world.start({ resumes: { rollbackId, by: 'ana', reason: 'it was a mistake' } });
    await world.waiting(handle);
    await keep('resumed', handle);
    // The second workflow task: the plan is made, and nothing is done yet.
    const second = (await handle.fetchHistory()).events?.filter((event) => event.workflowTaskCompletedEventAttributes)[1]?.eventId ?? null;
    const reset = async (name: string): Promise<WorkflowHandle> => {
      const { runId } = await world.client.workflowService.resetWorkflowExecution({
        namespace: 'default',
        workflowExecution: { workflowId: ID, runId: runOf[name] ?? '' },
        reason: 'test',
        workflowTaskFinishEventId: second,
        requestId: `reset ${name}`,
      });
      return world.client.workflow.getHandle(ID, runId);
    };
    handle = await reset('resumed');
    await world.waiting(handle);
    await keep('reset away', handle);
    // To before the mark of the first reset.
    handle = await reset('reset away');
    await world.waiting(handle);
    await world.confirm(handle);
    await handle.result();
    await keep('reset', handle);

    const closed = Object.values(runOf);
    for (let tries = 0; tries < 100 && !(await Promise.all(closed.map((one) => world.store.hasHistory(one)))).every(Boolean); tries += 1)
      await new Promise((soon) => {
        setTimeout(soon, 100);
      });
    const real = await take(world, ID, await readFile(join(world.folder, '.backout', 'checkpoints.jsonl'), 'utf8'));
    return storyOf(real, runOf);
  } finally {
    await world.close();
  }
}

export const storyOf = (real: Snapshot, runOf: Readonly<Record<string, string>>): Story => ({
  real,
  runOf,
  jsonOf: (name) => real.runs?.find((run) => run.runId === runOf[name])?.json ?? '',
  seqWhere: (matches) => real.entries.find((entry) => matches(bodyOf(entry)))?.seq ?? 0,
  stepOf: (name, step) => (entry) => entry.type === 'step' && entry['step'] === step && entry.event.startsWith(runOf[name] ?? '?'),
});
