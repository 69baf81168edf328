/** Records one history of every ending of a deprovisioning, as `record.ts` does of a deployRevert: `node test/histories/record-tenant.ts RELEASE`. */
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import type { WorkflowHandle } from '@temporalio/client';
import type { RollbackState } from '../../model/state.ts';
import { Tenants } from '../support/tenants.ts';

const [, , release = ''] = process.argv;
if (!/^\d+\.\d+\.\d+$/.test(release)) throw new Error('usage: node test/histories/record-tenant.ts 0.2.0');

// The engine suggests it after few events here: what goes on as a new run is recorded too.
const house = await Tenants.create({ world: { dynamicConfig: { 'limit.historyCount.suggestContinueAsNew': 120 } } });

async function save(ending: string, handle: WorkflowHandle, runId?: string): Promise<void> {
  const history = await house.world.client.workflow.getHandle(handle.workflowId, runId).fetchHistory();
  const json = historyToJSON(history).replaceAll(resolve(import.meta.dirname, '../..'), '/backout').replaceAll(house.world.folder, '/world');
  await writeFile(join(import.meta.dirname, `${release}-upa-${ending}.json`), `${json}\n`);
  process.stdout.write(`${ending}: ${history.events?.length ?? 0} events\n`);
}

async function walkThrough(handle: WorkflowHandle, { workflows }: { workflows: readonly { id: string; path: string }[] }): Promise<RollbackState> {
  await house.inventory(handle);
  for (const [index, { id, path }] of workflows.entries()) {
    await house.confirm(handle, `workflow.${id}`, { choice: index % 2 === 0 ? 'delete' : 'deactivate' });
    await house.say(handle, 'confirm', { step: `webhook.${path}` });
  }
  await house.confirm(handle, 'routes');
  await house.confirm(handle, 'completion');
  return house.world.closed(handle);
}

try {
  const refused = await house.start('nobody');
  await house.world.closed(refused);
  await save('refused', refused);

  const acme = await house.tenant('acme', 2);
  const rolledBack = await house.start('acme');
  await walkThrough(rolledBack, acme);
  await save('rolled-back', rolledBack);

  const globex = await house.tenant('globex', 2);
  const partial = await house.start('globex');
  await house.inventory(partial);
  const [first, second] = globex.workflows;
  await house.confirm(partial, `workflow.${first?.id ?? ''}`, { choice: 'delete' });
  await house.asked(partial, `workflow.${second?.id ?? ''}`);
  await house.say(partial, 'decline', { step: `workflow.${second?.id ?? ''}`, reason: 'the client still uses it' });
  await house.world.stopped(partial);
  await house.say(partial, 'decide', { action: 'close', reason: 'another day' });
  await house.world.closed(partial);
  await save('partial', partial);

  const initech = await house.tenant('initech', 2);
  const terminated = await house.start('initech');
  const lost = await house.inventory(terminated);
  const [one, other] = initech.workflows;
  await house.confirm(terminated, `workflow.${one?.id ?? ''}`, { choice: 'delete' });
  await house.say(terminated, 'confirm', { step: `workflow.${other?.id ?? ''}`, choice: 'deactivate' });
  await house.asked(terminated, `webhook.${one?.path ?? ''}`);
  await terminated.terminate('recorded');
  await save('terminated', terminated, lost.runId);
  const resumed = await house.start('initech', { resumes: { rollbackId: lost.rollbackId, by: 'ana', reason: 'somebody terminated it' } });
  for (const { path } of initech.workflows) await house.confirm(resumed, `webhook.${path}`);
  await house.confirm(resumed, 'routes');
  await house.confirm(resumed, 'completion');
  await house.world.closed(resumed);
  await save('resumed', resumed);

  const hooli = await house.tenant('hooli', 8);
  const long = await house.start('hooli');
  const asked = await house.asked(long, 'inventory');
  await walkThrough(house.world.client.workflow.getHandle(long.workflowId), hooli);
  await save('continued', long, asked.runId);
} finally {
  await house.close();
}
process.exit(0);
