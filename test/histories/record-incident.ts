/** Records one history of every ending of an incident rollback, as `record.ts` does of a deployRevert: `node test/histories/record-incident.ts RELEASE`. */
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import type { WorkflowHandle } from '@temporalio/client';
import { confirmTarget, declared, incidentWorld, propose, signRows, waitsFor, walkThrough } from '../support/incident.ts';

const [, , release = ''] = process.argv;
if (!/^\d+\.\d+\.\d+$/.test(release)) throw new Error('usage: node test/histories/record-incident.ts 0.2.0');

const NAMES = ['api', 'web'];
const world = await incidentWorld({ components: NAMES, component: { web: ['after: [api]'] } });
const only = { components: NAMES };

async function save(ending: string, handle: WorkflowHandle, runId?: string): Promise<void> {
  const history = await world.client.workflow.getHandle(handle.workflowId, runId).fetchHistory();
  const json = historyToJSON(history).replaceAll(resolve(import.meta.dirname, '../..'), '/backout').replaceAll(world.folder, '/world');
  await writeFile(join(import.meta.dirname, `${release}-l1-${ending}.json`), `${json}\n`);
  process.stdout.write(`${ending}: ${history.events?.length ?? 0} events\n`);
}
const bad = (): Promise<unknown> => Promise.all(NAMES.map((name) => world.release(name, 'v1.1.0', false)));

try {
  await world.worker();
  for (const name of NAMES) await world.badRelease(name);

  const declined = await propose(world, { ...only, incident: 'INC-1' });
  await waitsFor(world, declined, 'declaration');
  await declined.signal('confirm', { step: 'target', by: 'abe' });
  await declined.signal('decline', { step: 'declaration', by: 'carol', reason: 'the monitor was wrong' });
  await world.closed(declined);
  await save('refused', declined);

  const rolledBack = await declared(world, { ...only, incident: 'INC-2' });
  await waitsFor(world, rolledBack, 'target');
  await rolledBack.signal('confirm', { step: 'communication.update', by: 'cleo', note: 'we are looking at it' });
  await world.until(rolledBack, 'sent', (state) => state.steps.some((step) => step.id === 'communication.update' && step.attempts > 0 && step.state === 'pending'));
  await walkThrough(world, rolledBack);
  await save('rolled-back', rolledBack);

  await bad();
  const scoped = await declared(world, { ...only, incident: 'INC-3' });
  await confirmTarget(world, scoped);
  await waitsFor(world, scoped, 'ownership');
  await signRows(scoped);
  await waitsFor(world, scoped, 'unfreeze');
  await scoped.signal('confirm', { step: 'unfreeze', by: 'carol', data: { scopes: ['merges'] } });
  await world.until(scoped, 'asked for the rest', (state) => state.incidentCommand?.frozen.length === 3 && state.waiting.some((one) => one.step === 'unfreeze'));
  await scoped.signal('confirm', { step: 'unfreeze', by: 'carol' });
  await world.closed(scoped);
  await save('in-scopes', scoped);

  await bad();
  const partial = await declared(world, { ...only, incident: 'INC-4' });
  await confirmTarget(world, partial);
  const stopped = await waitsFor(world, partial, 'ownership');
  await partial.signal('stop', { by: 'carol', reason: 'another way is better' });
  await signRows(partial);
  await partial.signal('decide', { action: 'close', by: 'carol', reason: 'another way is better' });
  await world.closed(partial);
  await save('partial', partial, stopped.runId);

  await bad();
  const terminated = await declared(world, { ...only, incident: 'INC-5' });
  await confirmTarget(world, terminated);
  const lost = await waitsFor(world, terminated, 'ownership');
  await terminated.signal('confirm', { step: 'cleanup.data', by: 'dora', choice: 'not-applicable', note: 'nothing was touched' });
  await world.until(terminated, 'signed', (state) => state.steps.some((step) => step.id === 'cleanup.data' && step.state === 'confirmed'));
  await terminated.terminate('recorded');
  await save('terminated', terminated, lost.runId);
  const successor = await declared(world, { ...only, incident: 'INC-5', resumes: { rollbackId: lost.rollbackId, by: 'carol', reason: 'somebody terminated it' } });
  await waitsFor(world, successor, 'ownership');
  await signRows(successor);
  await waitsFor(world, successor, 'unfreeze');
  await successor.signal('confirm', { step: 'unfreeze', by: 'carol' });
  await world.closed(successor);
  await save('resumed', successor);
} finally {
  await world.close();
}
process.exit(0);
