/** Records histories of incidents that grow to level 2 and 3, as `record-incident.ts` does of level 1: `node test/histories/record-grave.ts RELEASE`. */
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import type { WorkflowHandle } from '@temporalio/client';
import { TASK_QUEUE } from '../../model/task-queue.ts';
import { approve, badCycle, graveWorld, MIGRATION, NAMES, type Grave } from '../support/grave.ts';
import { confirmTarget, declared, startInput, waitsFor } from '../support/incident.ts';

const [, , release = ''] = process.argv;
if (!/^\d+\.\d+\.\d+$/.test(release)) throw new Error('usage: node test/histories/record-grave.ts 0.3.0');

const only = { components: [...NAMES], incident: 'INC-42' };

async function save({ world }: Grave, level: string, ending: string, handle: WorkflowHandle, runId?: string): Promise<void> {
  const history = await world.client.workflow.getHandle(handle.workflowId, runId).fetchHistory();
  const json = historyToJSON(history).replaceAll(resolve(import.meta.dirname, '../..'), '/backout').replaceAll(world.folder, '/world');
  await writeFile(join(import.meta.dirname, `${release}-${level}-${ending}.json`), `${json}\n`);
  process.stdout.write(`${level} ${ending}: ${history.events?.length ?? 0} events\n`);
}

async function inHouse(play: (grave: Grave) => Promise<void>): Promise<void> {
  const grave = await graveWorld();
  try {
    await badCycle(grave);
    await play(grave);
  } finally {
    await grave.close();
  }
}

async function dataApproved({ world }: Grave, handle: WorkflowHandle): Promise<void> {
  await confirmTarget(world, handle);
  await approve(world, handle, `undo.main.${MIGRATION}`);
  await approve(world, handle, 'restore.main.orders');
}

async function sign(handle: WorkflowHandle, lists: Record<string, readonly string[]>): Promise<void> {
  await handle.signal('confirm', { step: 'credentials', by: 'sam', data: lists, note: 'found in a log' });
}

async function toTheEnd({ world }: Grave, handle: WorkflowHandle): Promise<void> {
  await waitsFor(world, handle, 'ownership');
  for (const [area, by] of [
    ['data', 'dora'],
    ['evidence', 'dora'],
    ['credentials', 'sam'],
  ] as const) {
    const evidence = ['chain-verification=https://ci/verify/7', 'incident-links=https://wiki/INC-42', 'rotation-log=https://wiki/keys', 'scope-verification=https://wiki/scopes'];
    await handle.signal('confirm', { step: `cleanup.${area}`, by, choice: 'done', evidence });
  }
  await handle.signal('confirm', { step: 'ownership', by: 'carol', data: { nextCycleOwner: 'abe', reviewOwner: 'carol' } });
  await waitsFor(world, handle, 'unfreeze');
  await handle.signal('confirm', { step: 'unfreeze', by: 'carol' });
  await world.closed(handle);
}

const start = ({ world }: Grave, kind: 'l2Rollback' | 'l3Rollback'): Promise<WorkflowHandle> =>
  world.client.workflow.start(kind, {
    workflowId: `${kind}/production/INC-42`,
    taskQueue: TASK_QUEUE,
    args: [startInput({ ...only, trigger: 'operator', by: 'carol' })],
  });

// It grows twice, and is refused once in between.
await inHouse(async (grave) => {
  const { world } = grave;
  const handle = await declared(world, only);
  await confirmTarget(world, handle);
  await waitsFor(world, handle, 'ownership');
  await handle.signal('escalate', { to: 'l2Rollback', by: 'dora', reason: 'she may not' });
  await handle.signal('escalate', { to: 'l2Rollback', by: 'carol', reason: 'orders are gone' });
  await world.until(handle, 'level 2', (state) => state.kind === 'l2Rollback');
  await dataApproved(grave, handle);
  await waitsFor(world, handle, 'cleanup.data');
  await handle.signal('escalate', { to: 'l3Rollback', by: 'carol', reason: 'a key is in a log' });
  await waitsFor(world, handle, 'credentials');
  await sign(handle, { rotate: ['payments'], revokeFirst: [], unaffected: ['google'] });
  await confirmTarget(world, handle);
  await toTheEnd(grave, handle);
  await save(grave, 'l1', 'grown-to-l3', handle);
});

// Started as level 3, the exploited key first; ended from outside in the middle, and resumed.
await inHouse(async (grave) => {
  const { world } = grave;
  const handle = await start(grave, 'l3Rollback');
  await waitsFor(world, handle, 'credentials');
  await sign(handle, { rotate: [], revokeFirst: ['payments'], unaffected: ['google'] });
  await confirmTarget(world, handle);
  await approve(world, handle, `undo.main.${MIGRATION}`);
  const lost = await waitsFor(world, handle, 'restore.main.orders');
  await handle.terminate('recorded');
  await save(grave, 'l3', 'terminated', handle, lost.runId);
  const resumes = { rollbackId: lost.rollbackId, by: 'carol', reason: 'somebody terminated it' };
  const successor = await world.client.workflow.start('l3Rollback', {
    workflowId: handle.workflowId,
    taskQueue: TASK_QUEUE,
    args: [startInput({ ...only, trigger: 'operator', by: 'carol', resumes })],
  });
  await confirmTarget(world, successor).catch(() => undefined);
  await approve(world, successor, 'restore.main.orders');
  await toTheEnd(grave, successor);
  await save(grave, 'l3', 'resumed', successor);
});

// Level 2, refused at the start by a migration that nobody can take back.
await inHouse(async (grave) => {
  const { world } = grave;
  await grave.query(`INSERT INTO supabase_migrations.schema_migrations VALUES ('20260201000001_unknown', '{"select 1"}', 'unknown')`);
  const handle = await start(grave, 'l2Rollback');
  await world.closed(handle);
  await save(grave, 'l2', 'refused', handle);
});
process.exit(0);
