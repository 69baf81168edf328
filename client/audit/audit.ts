/** The audit: the chain, what vouches for it from outside, and every run of every rollback against it. Only reads. */
import type { RecordEntry, StoredEntry } from '../../model/record.ts';
import { isKind } from '../../model/policy.ts';
import type { ExportedHistory, Store } from '../../store/store.ts';
import { checkCheckpoints, checkPosition, emptyChain, parseCheckpoints, readChain, type Chain } from './chain.ts';
import { reconcileCredentials } from './credentials.ts';
import { compareCopies, readExports } from './exports.ts';
import { NoHistory, parseHistory, readRun, type RunHistory } from './history.ts';
import { isFields } from './payloads.ts';
import { reconcile, type RecordedEntry } from './reconcile.ts';
import { replayAll, type Code, type Replayed } from './replay.ts';
import { Findings, type Audit, type Checked, type CheckedRun } from './result.ts';
import type { RunAtServer, TemporalSource } from './sources.ts';

/** What an audit reads of the store. */
export type RecordSource = Pick<Store, 'chain' | 'recordOf' | 'credentials'>;

export interface Evidence {
  readonly store: RecordSource | null;
  readonly temporal: TemporalSource | null;
  readonly code: Code;
  /** The file with the heads of the chain outside Postgres; `text` null: there is none. */
  readonly checkpoints: { readonly file: string; readonly text: string | null };
}

export interface HistoryFile {
  readonly name: string;
  readonly text: string;
}

/** What the record has of a rollback, of one moment. */
interface Recorded {
  readonly entries: readonly RecordedEntry[];
  readonly histories: readonly ExportedHistory[];
}
const NOTHING: Recorded = { entries: [], histories: [] };

/** A rollback with the histories at hand. */
interface Case {
  readonly workflowId: string;
  readonly rollbackId: string;
  readonly runs: readonly Seen[];
  readonly entries: readonly RecordedEntry[];
  readonly heads: number;
  readonly credentials: number;
}
interface Seen {
  readonly run: RunHistory;
  /** A newer history of one that was open. */
  readonly since: RunHistory | null;
  readonly from: CheckedRun['from'];
  readonly exported: boolean | null;
}

/** Histories replayed by one worker; more are not kept in memory at a time. */
const REPLAY_MAX = 100;

export class Auditor {
  readonly findings = new Findings();
  private readonly evidence: Evidence;
  private chain: Chain | null = null;
  private anchoredUntil: number | null = null;
  private readonly checked: Checked[] = [];
  private waiting: Case[] = [];

  constructor(evidence: Evidence) {
    this.evidence = evidence;
  }

  /** The record as a whole; first of all. Null without Postgres. */
  async record(): Promise<Chain | null> {
    const { store, checkpoints } = this.evidence;
    if (!store) return null;
    this.chain = emptyChain();
    await readChain(this.chain, store.chain(), this.findings);
    if (checkpoints.text === null)
      this.findings.skip(`whether the record was written anew together with its histories: there are no checkpoints outside Postgres (${checkpoints.file})`);
    else
      this.anchoredUntil = checkCheckpoints(this.chain, parseCheckpoints(checkpoints.text, checkpoints.file, this.findings), checkpoints.file, this.findings);
    return this.chain;
  }

  /** Every rollback of a Workflow Id, or one of them. Answers how many were found. */
  async workflow(workflowId: string, only: string | null = null): Promise<number> {
    const { runs, known, records } = await this.gather(workflowId);
    const ids = new Set([...records.keys(), ...runs.map(({ run }) => run.rollbackId)]);
    let count = 0;
    for (const rollbackId of ids) {
      if (only !== null && rollbackId !== only) continue;
      count += 1;
      const own = runs.filter(({ run }) => run.rollbackId === rollbackId);
      await this.open({ workflowId, rollbackId, runs: own, entries: records.get(rollbackId)?.entries ?? [], known });
    }
    return count;
  }

  /** A history handed in as a file. */
  async file({ name, text }: HistoryFile): Promise<void> {
    let run: RunHistory;
    try {
      run = readRun(parseHistory(text));
    } catch (error) {
      if (!(error instanceof NoHistory)) throw error;
      this.findings.fault('origin', name, error.message, 'Export it again: temporal workflow show --workflow-id ID --run-id RUN -o json');
      return;
    }
    if (!isKind(run.type)) {
      this.findings.fault(
        'origin',
        name,
        `a foreign history: it is of the type ${run.type}, and no kind of rollback`,
        'Nothing in it was done by Backout as a rollback; it was not looked at further.',
      );
      return;
    }
    const record = await this.home(name, run);
    if (record === null) return;
    const seen = await this.besideOriginal(name, run, record);
    await this.open({ workflowId: run.workflowId, rollbackId: run.rollbackId, runs: [seen], entries: record.entries, known: null });
  }

  /** Replays what is left and says it all. */
  async end(): Promise<Audit> {
    await this.replay();
    const { findings, chain, anchoredUntil } = this;
    const record = chain && { entries: chain.entries, head: chain.entries === 0 ? null : chain.head, anchoredUntil };
    return { ok: findings.faults.length === 0, record, checked: this.checked, faults: findings.faults, notChecked: findings.notChecked };
  }

  /** What the record has of the rollback a file belongs to; null: it does not belong here, and that was said. */
  private async home(name: string, run: RunHistory): Promise<Recorded | null> {
    if (!this.chain) {
      this.findings.skip(
        `${name}: whether it belongs to this installation, and whether the record agrees with it; no Postgres is at hand, so only its own replay and values were checked`,
      );
      return NOTHING;
    }
    const rollback = this.chain.rollbacks.get(run.rollbackId);
    const record = rollback ? await this.recordOf(run.rollbackId) : NOTHING;
    const why = !rollback
      ? `its rollback ${run.rollbackId} is not on the record`
      : !rollback.workflowIds.has(run.workflowId)
        ? `rollback ${run.rollbackId} runs under ${[...rollback.workflowIds].join(', ')}, not under ${run.workflowId}`
        : !record.entries.some(({ entry }) => entry.event.startsWith(`${run.runId}/`))
          ? `the record has nothing of its run ${run.runId}`
          : null;
    if (why === null) return record;
    this.findings.fault(
      'origin',
      name,
      `a foreign history: ${why}`,
      'It was made by another installation, or invented; or the record has lost this rollback. It proves nothing here and was not looked at further.',
    );
    return null;
  }

  /** A file may be compared with the copy that was saved at the time, else with the one Temporal still has. */
  private async besideOriginal(name: string, run: RunHistory, { entries, histories }: Recorded): Promise<Seen> {
    const { store, temporal } = this.evidence;
    const rows = histories.filter((row) => row.runId === run.runId);
    const own = entries.filter(({ entry }) => entry.event === `${run.runId}/history`);
    const exported = readExports(rows, own, this.findings).get(run.runId);
    const original = exported?.raw ?? (temporal ? await temporal.history(run) : null);
    const isOpen = run.end === null;
    if (original) compareCopies(run.runId, run.raw, original, { left: name, right: exported ? 'the export in the record' : 'Temporal', isOpen }, this.findings);
    else if (store) this.findings.skip(`${name}: no other copy of this history is at hand, neither in the record nor in Temporal`);
    return { run, since: isOpen && original ? readRun(original, run) : null, from: 'a file', exported: exported?.whole ?? null };
  }

  /**
   * Histories of all runs, Temporal's, and the exported ones where it has none any more; with what the record has of them. What a history
   * tells is on the record before it is in the history: the record is read after the histories, and what goes on meanwhile is no fault.
   */
  private async gather(workflowId: string): Promise<{ runs: Seen[]; known: Set<string> | null; records: ReadonlyMap<string, Recorded> }> {
    const { temporal } = this.evidence;
    const atServer = new Map<string, RunHistory | null>();
    const look = async (wanted: readonly RunAtServer[]): Promise<void> => {
      for (const at of wanted) {
        const raw = (await temporal?.history(at)) ?? null;
        atServer.set(at.runId, raw && readRun(raw, at));
      }
    };
    await look((await temporal?.runsOf(workflowId)) ?? []);
    let records = await this.recordsOf(workflowId);
    for (;;) {
      const more = (await this.named(workflowId, records)).filter(({ runId }) => !atServer.has(runId));
      if (more.length === 0) break;
      await look(more);
      records = await this.recordsOf(workflowId);
    }
    const exported = new Map([...records.values()].flatMap(({ entries, histories }) => [...readExports(histories, entries, this.findings)]));
    const runs: Seen[] = [];
    for (const [runId, run] of atServer) {
      if (run === null) continue;
      const raw = run.end === null ? await temporal?.history(run) : null;
      const since = raw ? readRun(raw, run) : null;
      const copy = exported.get(runId);
      const sides = { left: 'Temporal', right: 'the export in the record', isOpen: false };
      if (copy) compareCopies(runId, (since ?? run).raw, copy.raw, sides, this.findings);
      exported.delete(runId);
      runs.push({ run, since, from: 'Temporal', exported: copy?.whole ?? null });
    }
    for (const [runId, { workflowId: id, raw, whole }] of exported)
      runs.push({ run: readRun(raw, { workflowId: id, runId }), since: null, from: 'the record', exported: whole });
    return { runs, known: temporal ? new Set(runs.flatMap(({ run }) => run.lineage)) : null, records };
  }

  /** The record as it is now, of every rollback under a Workflow Id. */
  private async recordsOf(workflowId: string): Promise<Map<string, Recorded>> {
    const { chain, findings } = this;
    const { store } = this.evidence;
    if (chain && store) await readChain(chain, store.chain(chain.last?.seq ?? 0), findings);
    const ids = [...(chain?.rollbacks ?? [])].filter(([, one]) => one.workflowIds.has(workflowId)).map(([rollbackId]) => rollbackId);
    return new Map(await Promise.all(ids.map(async (rollbackId) => [rollbackId, await this.recordOf(rollbackId)] as const)));
  }

  private async recordOf(rollbackId: string): Promise<Recorded> {
    const record = await this.evidence.store?.recordOf(rollbackId);
    return record ? { entries: record.entries.flatMap(readEntry), histories: record.histories } : NOTHING;
  }

  /** A list of executions may lag behind, and does not go back for ever: what the record names is asked for by its id. */
  private async named(workflowId: string, records: ReadonlyMap<string, Recorded>): Promise<RunAtServer[]> {
    const runs: RunAtServer[] = [];
    for (const [rollbackId, { entries }] of records) {
      // The watch after a success runs under an Id of its own, and tells on behalf of its rollback.
      for (const id of watchIds(rollbackId, entries)) runs.push(...((await this.evidence.temporal?.runsOf(id)) ?? []));
      for (const runId of new Set(entries.map(({ entry }) => runIdOf(entry)))) runs.push({ workflowId, runId });
    }
    return runs;
  }

  private async open(one: Omit<Case, 'heads' | 'credentials'> & { readonly known: ReadonlySet<string> | null }): Promise<void> {
    const { workflowId, rollbackId, runs, entries, known } = one;
    const histories = runs.map(({ run }) => run);
    const chain = this.chain;
    const since = runs.flatMap((seen) => seen.since ?? []);
    const positions = chain ? reconcile({ rollbackId, runs: histories, since, entries, knownRuns: known }, this.findings) : [];
    if (chain) for (const position of positions) checkPosition(chain, position, this.findings);
    if (histories.length === 0) this.findings.skip(`rollback ${rollbackId} (${workflowId}): replay and values; none of its histories is at hand`);
    // After the entries: what a step says it has told is there by then.
    const rows = (await this.evidence.store?.credentials({ rollbackId })) ?? [];
    const credentials = chain ? reconcileCredentials(entries, rows, this.findings) : 0;
    this.waiting.push({ workflowId, rollbackId, runs, entries, heads: positions.length, credentials });
    if (this.waiting.reduce((sum, { runs: more }) => sum + more.length, 0) >= REPLAY_MAX) await this.replay();
  }

  private async replay(): Promise<void> {
    const cases = this.waiting;
    this.waiting = [];
    const replayed = await replayAll(
      cases.flatMap(({ runs }) => runs.map(({ run }) => run)),
      this.evidence.code,
      this.findings,
    );
    for (const { workflowId, rollbackId, runs, entries, heads, credentials } of cases) {
      const values = runs.reduce((sum, { run }) => sum + (replayed.get(run)?.values ?? 0), 0);
      this.checked.push({ id: workflowId, rollbackId, runs: runs.map((seen) => shown(seen, replayed)), entries: entries.length, values, heads, credentials });
    }
  }
}

const shown = ({ run, from, exported }: Seen, replayed: ReadonlyMap<RunHistory, Replayed>): CheckedRun => ({
  runId: run.runId,
  from,
  exported,
  events: run.events,
  build: replayed.get(run)?.build ?? null,
  state: run.end === null ? 'open' : run.end.kind === 'ended' ? 'ended' : 'closed',
});

/** As `worker/watches.ts` names it; nothing was watched that was not put back. */
function watchIds(rollbackId: string, entries: readonly RecordedEntry[]): string[] {
  if (!entries.some(({ entry }) => entry.type === 'closed')) return [];
  const plan = entries.find(({ entry }) => entry.type === 'opened')?.entry['plan'];
  const targets = isFields(plan) && Array.isArray(plan['targets']) ? plan['targets'].filter(isFields) : [];
  const components = targets.map((target) => String(target['component'])).toSorted();
  return isFields(plan) && components.length > 0 ? [`watch/${String(plan['environment'])}/${components.join('+')}/${rollbackId}`] : [];
}

/** An entry's name begins with its run [activities/recording.ts]. */
const runIdOf = (entry: RecordEntry): string => entry.event.split('/')[0] ?? '';

function readEntry({ seq, body }: StoredEntry): RecordedEntry[] {
  try {
    return [{ seq, entry: JSON.parse(body) as RecordEntry }]; // What is no entry of ours, the chain's check has named.
  } catch {
    return [];
  }
}
