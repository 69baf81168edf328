/** Every released workflow version: its recorded histories replay on today's code [product.md 12; temporal.md 3.3]. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils.js';
import { Worker } from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';
import { expect, test } from 'vitest';
import { PAYLOAD_CONVERTER, workflowBundle } from '../worker/bundle.ts';

const FOLDER = join(import.meta.dirname, 'histories');
type Json = { events: Record<string, { activityType?: { name: string } } | undefined>[] };
const read = async (file: string): Promise<Json> => JSON.parse(await readFile(join(FOLDER, file), 'utf8')) as Json; // Recorded by record.ts.
const options = async () => ({ workflowBundle: { codePath: (await workflowBundle()).codePath }, dataConverter: { payloadConverterPath: PAYLOAD_CONVERTER } });

test('every recorded ending replays', async () => {
  const files = (await readdir(FOLDER)).filter((file) => file.endsWith('.json'));
  const reverts = ['rolled-back', 'rolled-back-late', 'failed', 'refused', 'already-there', 'cancelled', 'reset', 'terminated', 'resumed'];
  const incidents = ['rolled-back', 'refused', 'in-scopes', 'partial', 'terminated', 'resumed'].map((ending) => `l1-${ending}`);
  const tenants = ['rolled-back', 'refused', 'partial', 'terminated', 'resumed', 'continued'].map((ending) => `upa-${ending}`);
  for (const ending of [...reverts, ...incidents, ...tenants]) {
    expect(
      files.some((file) => file.endsWith(`-${ending}.json`)),
      ending,
    ).toBe(true);
  }
  const histories = async function* histories() {
    for (const file of files) yield { workflowId: `deployRevert/production/${file}`, history: historyFromJSON(await read(file)) };
  };
  const errors: string[] = [];
  let replayed = 0;
  for await (const result of Worker.runReplayHistories(await options(), histories())) {
    replayed += 1;
    if (result.error) errors.push(`${result.workflowId}: ${result.error.message}`);
  }
  expect(errors).toEqual([]);
  expect(replayed).toBe(files.length);
});

test('a history of other code does not', async () => {
  const [file = ''] = (await readdir(FOLDER)).filter((one) => one.endsWith('-rolled-back.json'));
  const history = await read(file);
  const step = history.events.find((event) => event['activityTaskScheduledEventAttributes']?.activityType?.name === 'runStep');
  const type = step?.['activityTaskScheduledEventAttributes']?.activityType;
  expect(type).toBeDefined();
  if (type) type.name = 'notify';
  await expect(Worker.runReplayHistory(await options(), historyFromJSON(history))).rejects.toThrow(DeterminismViolationError);
});
