/** Evidence of real rollbacks, taken once from a whole Backout, then forged at will. */
import { historyFromJSON, historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { Auditor, type Evidence } from '../../client/audit/audit.ts';
import type { Audit, Check } from '../../client/audit/result.ts';
import { temporalSource } from '../../client/audit/sources.ts';
import { GENESIS, type RecordEntry, type StoredEntry } from '../../model/record.ts';
import { canonical, digest } from '../../store/digest.ts';
import type { ExportedHistory } from '../../store/store.ts';
import { PAYLOAD_CONVERTER, workflowBundle } from '../../worker/bundle.ts';
import type { World } from '../support/world.ts';

export interface Json {
  [name: string]: Json | Json[] | string | number | boolean | null | undefined;
}

/** One run with its history as JSON text. */
export interface RunText {
  readonly workflowId: string;
  readonly runId: string;
  readonly json: string;
}

export interface Snapshot {
  readonly entries: readonly StoredEntry[];
  readonly exports: readonly ExportedHistory[];
  /** Null: Temporal is gone. */
  readonly runs: readonly RunText[] | null;
  readonly checkpoints: string | null;
  /** False: no Postgres. */
  readonly record?: boolean;
}

const CHECKPOINTS = 'checkpoints.jsonl';

export async function take(world: World, workflowId: string, checkpoints: string): Promise<Snapshot> {
  const entries: StoredEntry[] = [];
  for await (const entry of world.store.chain()) entries.push(entry);
  const rollbacks = [...new Set(entries.map((entry) => entry.rollbackId))];
  const exports = (await Promise.all(rollbacks.map((rollbackId) => world.store.recordOf(rollbackId)))).flatMap((record) => record.histories);
  const runs: RunText[] = [];
  for await (const run of world.client.workflow.list({ query: `WorkflowId = '${workflowId}'` })) {
    runs.push({ workflowId, runId: run.runId, json: historyToJSON(await world.client.workflow.getHandle(workflowId, run.runId).fetchHistory()) });
  }
  return { entries, exports, runs, checkpoints };
}

export async function evidenceOf({ entries, exports, runs, checkpoints, record }: Snapshot): Promise<Evidence> {
  const { codePath } = await workflowBundle();
  const ours = new Set(runs?.map((run) => run.workflowId));
  return {
    code: { codePath, payloadConverterPath: PAYLOAD_CONVERTER },
    checkpoints: { file: CHECKPOINTS, text: checkpoints },
    store:
      record === false
        ? null
        : {
            async *chain(after = 0) {
              yield* entries.filter((entry) => entry.seq > after);
            },
            credentials: () => Promise.resolve([]),
            recordOf: async (rollbackId) => {
              const of = entries.filter((entry) => entry.rollbackId === rollbackId);
              const own = new Set(of.map((entry) => entry.body.match(/"event":"([^/"]+)/)?.[1]));
              return { entries: of, histories: exports.filter((row) => own.has(row.runId)) };
            },
          },
    temporal: runs && {
      runsOf: async (workflowId) => runs.filter((run) => run.workflowId === workflowId),
      workflowIds: async () => ours,
      history: async ({ runId }) => {
        const run = runs.find((one) => one.runId === runId);
        return run ? historyFromJSON(JSON.parse(run.json)) : null;
      },
    },
  };
}

export async function auditOf(snapshot: Snapshot, workflowId: string): Promise<Audit> {
  const auditor = new Auditor(await evidenceOf(snapshot));
  await auditor.record();
  await auditor.workflow(workflowId);
  return auditor.end();
}

export async function auditFile(snapshot: Snapshot, text: string): Promise<Audit> {
  const auditor = new Auditor(await evidenceOf(snapshot));
  await auditor.record();
  await auditor.file({ name: 'history.json', text });
  return auditor.end();
}

/** Of a whole Backout as it is now. */
export async function auditOfWorld(world: World, workflowId: string): Promise<Audit> {
  const { codePath } = await workflowBundle();
  const auditor = new Auditor({
    store: world.store,
    temporal: temporalSource(world.client),
    code: { codePath, payloadConverterPath: PAYLOAD_CONVERTER },
    checkpoints: { file: CHECKPOINTS, text: null },
  });
  await auditor.record();
  await auditor.workflow(workflowId);
  return auditor.end();
}

/** Everything goes on while it is read: who reads it first sees only so much of it, and later all. */
export async function auditMeanwhile(
  snapshot: Snapshot,
  workflowId: string,
  runId: string,
  seen: { readonly events: number; readonly entries: number },
): Promise<Audit> {
  const evidence = await evidenceOf(snapshot);
  const [asked, { temporal, store }] = [new Set<string>(), evidence];
  const isFirst = (what: string): boolean => asked.size < asked.add(what).size;
  const auditor = new Auditor({
    ...evidence,
    temporal: temporal && {
      ...temporal,
      history: async (run) => {
        const whole = await temporal.history(run);
        return run.runId === runId && isFirst('history') && whole ? { ...whole, events: whole.events?.slice(0, seen.events) ?? [] } : whole;
      },
    },
    store: store && {
      ...store,
      async *chain(after) {
        for await (const entry of store.chain(after)) if (entry.seq <= seen.entries || asked.has('chain')) yield entry;
        asked.add('chain');
      },
    },
  });
  await auditor.record();
  await auditor.workflow(workflowId);
  return auditor.end();
}

/** The faults of one check, as one text each. */
export const faultsOf = (audit: Audit, check: Check): string[] =>
  audit.faults.filter((fault) => fault.check === check).map((fault) => `${fault.where}: ${fault.fault}`);

/** Which checks have found something. */
export const checks = (audit: Audit): string[] => [...new Set(audit.faults.map((fault) => fault.check))].toSorted();

export const bodyOf = (entry: StoredEntry): RecordEntry => JSON.parse(entry.body) as RecordEntry;

/** A chain that is whole in itself, over these bodies. */
export function rechained(bodies: readonly RecordEntry[]): StoredEntry[] {
  let previous = GENESIS;
  return bodies.map((body, index) => {
    const text = canonical(body);
    const hash = digest(previous, text);
    const entry = { seq: index + 1, rollbackId: body.rollbackId, at: body.at, body: text, previous, hash };
    previous = hash;
    return entry;
  });
}

/** Every event of a history that has these attributes, changed in place. */
export function forged(json: string, attributes: string, change: (of: Json, event: Json) => void, which: (of: Json) => boolean = () => true): string {
  const history = JSON.parse(json) as { events: Json[] };
  let hits = 0;
  for (const event of history.events) {
    const of = event[`${attributes}EventAttributes`] as Json | undefined;
    if (!of || !which(of)) continue;
    hits += 1;
    change(of, event);
  }
  if (hits === 0) throw new Error(`nothing to forge: no ${attributes}`);
  return JSON.stringify(history);
}

export const dataOf = (payload: Json): Buffer => Buffer.from(typeof payload['data'] === 'string' ? payload['data'] : '', 'base64');

/** Changes the value of a payload. */
export function repay(payload: Json, change: (value: Json) => void): void {
  const value = JSON.parse(dataOf(payload).toString('utf8')) as Json;
  change(value);
  payload['data'] = Buffer.from(JSON.stringify(value)).toString('base64');
}

/** The first payload under a field such as `result` or `input`. */
export const first = (of: Json, field: string): Json => ((of[field] as Json)['payloads'] as Json[])[0] as Json;

/** Without events that match, and numbered anew as a careful forger would. */
export function without(json: string, matches: (event: Json) => boolean): string {
  const { events } = JSON.parse(json) as { events: Json[] };
  return JSON.stringify({ events: events.filter((event) => !matches(event)) });
}

/** The same history under another id, in the payloads too. */
export function elsewhere(json: string, id: string, other: string): string {
  const inPayload = (base64: string): string => Buffer.from(Buffer.from(base64, 'base64').toString('utf8').replaceAll(id, other)).toString('base64');
  return json.replaceAll(id, other).replaceAll(/"data": *"([^"]*)"/g, (_, base64: string) => `"data":"${inPayload(base64)}"`);
}
