/** A database is recovered beside the one in use, and switched over to, from the command line alone [004 sections 3.1 and 3.2, 001 step 3c]. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RollbackState } from '../../model/state.ts';
import { postgresTools } from '../databases/postgres-tools.ts';
import { queryAt } from '../store/database.ts';
import { Crashes, keepAWorker } from '../support/crashing-worker.ts';
import { stepOf, waitsFor } from '../support/incident.ts';
import { CANARY, estate, NAMES, recoverHouse, type Estate, type House } from '../support/recover-house.ts';
import type { Ran } from '../support/world.ts';

const bin = await postgresTools();
const TRAIL = 'trail';

let owned: Estate;
beforeAll(async () => {
  if (bin !== null) owned = await estate(bin, ['shop', 'market', TRAIL]);
}, 120_000);
afterAll(() => owned?.close());

/** What was said to whoever typed: no secret may be in it. */
const heard: string[] = [];
async function cli({ world }: House, args: readonly string[]): Promise<Ran> {
  const ran = await world.cli(args);
  heard.push(ran.stdout, ran.stderr);
  return ran;
}
/** As a person types it; what it refuses fails the test. */
async function say(house: House, args: readonly string[]): Promise<string> {
  const ran = await cli(house, args);
  expect(ran, `${args.join(' ')}\n${ran.stdout}${ran.stderr}`).toMatchObject({ code: 0 });
  return ran.stdout;
}
const start = (house: House, kind: string, incident: string, more: readonly string[] = [], names: readonly string[] = NAMES): Promise<Ran> =>
  cli(house, [
    ...['start', kind, '--environment', 'production', '--component', ...names, ...names.flatMap((name) => ['--to', `${name}=v1.0.0`])],
    ...['--incident', incident, '--severity', 'P1', '--cause', 'reliability-regression', '--reason', 'orders are lost', '--impact', 'nobody can order'],
    ...['--contact', '#inc', '--by', 'carol', ...more],
  ]);
const handleOf = ({ world }: House, kind: string, incident: string): WorkflowHandle => world.client.workflow.getHandle(`${kind}/production/${incident}`);
async function confirmPlan(house: House, handle: WorkflowHandle, step: string, by: string): Promise<RollbackState> {
  const state = await waitsFor(house.world, handle, step);
  await say(house, ['confirm', handle.workflowId, '--step', step, '--plan', state.planHash ?? '', '--by', by]);
  return state;
}

describe.skipIf(bin === null)('from a backup [004 section 3.2]', () => {
  let house: House;
  let handle: WorkflowHandle;
  beforeAll(async () => {
    house = await recoverHouse(owned, { database: 'shop', trail: TRAIL, ledger: false });
    handle = handleOf(house, 'l2Rollback', 'INC-42');
  }, 120_000);
  afterAll(() => house?.close());

  it('is refused when it is planned where there is no backup, and where evidence would be lost', async () => {
    const dump = join(house.world.folder, 'main.dump');
    await rename(dump, `${dump}.away`);
    const missing = await start(house, 'l2Rollback', 'INC-40', ['--recover', 'main=backup']);
    console.log(missing);
    await rename(`${dump}.away`, dump);
    const lost = await start(house, 'l2Rollback', 'INC-41', ['--recover', 'main=backup', 'trail=backup']);
    console.log(lost);
    const begun = await start(house, 'l2Rollback', 'INC-42', ['--recover', 'main=backup']);
    console.log(begun);
    const state = await confirmPlan(house, handle, 'target', 'carol');
    console.log(state.steps.map((one) => [one.id, one.title, one.state].join(' | ')).join('\n'), state.clock, state.warnings);
    await waitsFor(house.world, handle, 'recover.main');
  }, 120_000);
});
