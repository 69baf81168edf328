/** Do the histories and the record tell the same story? Both ways: what a history reports is recorded, and what is recorded somebody did. */
import type { RecordEntry } from '../../model/record.ts';
import { canonical, sha256 } from '../../store/digest.ts';
import type { ActivityRan, RunHistory } from './history.ts';
import type { Position } from './chain.ts';
import { differences, inWords, isFields, short, valueOf } from './payloads.ts';
import type { Findings } from './result.ts';

export interface RecordedEntry {
  readonly seq: number;
  readonly entry: RecordEntry;
}

export interface Story {
  readonly rollbackId: string;
  /** The runs whose histories are at hand. */
  readonly runs: readonly RunHistory[];
  /** Newer histories of those that were open: what was done since is explained by them. */
  readonly since: readonly RunHistory[];
  readonly entries: readonly RecordedEntry[];
  /** Ids of all runs that are known to exist, with or without a history at hand; null where nobody can say. */
  readonly knownRuns: ReadonlySet<string> | null;
}

type Fields = Readonly<Record<string, unknown>>;
const fields = (value: unknown): Fields => (isFields(value) ? value : {});
const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const word = (value: unknown): string => (typeof value === 'string' || typeof value === 'number' ? String(value) : '');

const ALTERED =
  'One of the two was changed: the history shows what the engine was told, the record what the worker wrote down. Compare both with what the platform itself says, and find out who can write to either.';
const LOST =
  'Something that happened was taken out of the record, or the history was added to. The history is the older witness; find out who can write to the database.';
const INVENTED = 'The record tells something no execution did: it was written by another hand. Find out who can write to the database.';

/** Answers the positions of the chain that the histories tell. */
export function reconcile(story: Story, findings: Findings): Position[] {
  const check = new Reconciliation(story, findings);
  for (const run of [...story.runs, ...story.since]) for (const activity of run.activities) check.explain(activity);
  for (const run of story.runs) {
    for (const activity of run.activities) check.activity(run, activity);
    check.end(run);
  }
  check.backwards();
  return check.positions;
}

class Reconciliation {
  readonly positions: Position[] = [];
  private readonly story: Story;
  private readonly findings: Findings;
  private readonly byEvent: ReadonlyMap<string, RecordedEntry>;
  /** Names of entries that some activity may have written. */
  private readonly explained = new Set<string>();

  constructor(story: Story, findings: Findings) {
    this.story = story;
    this.findings = findings;
    this.byEvent = new Map(story.entries.map((one) => [one.entry.event, one]));
  }

  /** Whatever became of it: these entries it may have written. */
  explain(activity: ActivityRan): void {
    const work = fields(valueOf(activity.input[0] ?? null));
    const events = [...ownEvents(activity.type, work), ...list(work['entries']).map((one) => word(fields(one)['event']))];
    for (const runId of activity.runs) for (const event of events) this.explained.add(`${runId}/${event}`);
  }

  activity(run: RunHistory, activity: ActivityRan): void {
    const work = fields(valueOf(activity.input[0] ?? null));
    const carried = list(work['entries']).map(fields);
    const own = ownEvents(activity.type, work);
    if (activity.result === null || activity.owner === null || own.length === 0) return;
    const where = `run ${run.runId}, event ${activity.eventId}, ${activity.type}`;
    const result = fields(valueOf(activity.result));
    const record = fields(result['record']);
    if (record['behind'] !== false) {
      this.behind(run, activity, where);
      return;
    }
    this.position(where, record);
    for (const entry of carried)
      this.entry(where, `${activity.owner}/${word(entry['event'])}`, { ...entry, event: `${activity.owner}/${word(entry['event'])}` });
    this.ownEntry(where, activity, work, result);
  }

  /** What the run's end shows of people must be on the record: answers and refusals are evidence. */
  end(run: RunHistory): void {
    const state = stateOf(run);
    if (state === null) return;
    const where = `run ${run.runId}, its end`;
    const record = fields(state['record']);
    if (record['behind'] !== false) {
      this.findings.skip(`run ${run.runId}: its refusals; it ended while Postgres could not be reached, and says so`);
      return;
    }
    this.position(where, record);
    this.shown(where, 'answer', list(state['answers']), this.bodies(['answer'], 'answer'));
    this.shown(where, 'refusal', list(state['refusals']), this.bodies(['refusal', 'refused'], 'refusal'));
    // The first end counts: a run that was reset after it, a refused start and a refused successor end only themselves.
    const closed = this.byEvent.get(`${run.runId}/closed`);
    if (closed && closed.entry['outcome'] !== state['outcome'])
      this.fault(where, `it ended ${short(state['outcome'])}, and entry ${closed.seq} of the record says ${short(closed.entry['outcome'])}`, ALTERED);
  }

  /** Every entry belongs to a run, and something that run did explains it. */
  backwards(): void {
    const atHand = new Set(this.story.runs.flatMap((run) => run.lineage));
    // A run whose base was reset holds only the beginning of the base's history; one that was open, only what was done until then.
    const whole = new Set([...this.story.runs.filter((run) => run.end !== null), ...this.story.since].map((run) => run.runId));
    for (const run of this.story.runs)
      if (!whole.has(run.runId)) this.findings.skip(`run ${run.runId}: what it has done since; this history of it was taken while it was open`);
    for (const { seq, entry } of this.story.entries) {
      const [runId = ''] = entry.event.split('/');
      const where = `entry ${seq} of the record (${entry.event})`;
      if (this.story.knownRuns && !this.story.knownRuns.has(runId) && !atHand.has(runId)) {
        if (entry['notice'] === 'degraded') this.findings.skip(`${where}: who told it; the histories of watches are not exported, and Temporal has it no more`);
        else
          this.fault(
            where,
            `it belongs to run ${runId}, which neither Temporal nor the exported histories know`,
            `${INVENTED} Only a run that is older than what Temporal keeps, and was never exported, may be innocent.`,
          );
      } else if (whole.has(runId) && !this.isExplained(entry) && !SWEPT.has(entry.type)) {
        this.fault(where, `the history of its run has nothing that wrote it (type ${entry.type})`, INVENTED);
      }
    }
  }

  /** A step may write more than its own entry, under its name: what it froze, the plan it made anew, an attempt that came late. */
  private isExplained({ event, type }: RecordEntry): boolean {
    return this.explained.has(event) || (OF_A_STEP.has(type) && this.explained.has(event.split('/').slice(0, 5).join('/')));
  }

  private ownEntry(where: string, activity: ActivityRan, work: Fields, result: Fields): void {
    const at = (event: string): string => `${activity.owner ?? ''}/${event}`;
    switch (activity.type) {
      case 'openRollback': {
        if (isFields(result['refusal'])) {
          this.entry(where, at('refused'), { refusal: result['refusal'] });
          return;
        }
        const { plan, planHash } = result;
        if (sha256(canonical(plan ?? null)) !== planHash)
          this.fault(
            where,
            'the plan does not have the hash that was confirmed',
            'The plan or its hash was changed in the history: what people confirmed is not what it shows.',
          );
        this.entry(where, at('opened'), { plan, planHash });
        return;
      }
      case 'runStep': {
        const [event = ''] = ownEvents(activity.type, work);
        const { state, receipt, failure, remains } = result;
        // Another attempt has spoken first; this one's doing is kept beside it.
        const beside = this.byEvent.get(at(`${event}/attempt-${word(result['attempts'])}`));
        this.entry(where, beside ? at(`${event}/attempt-${word(result['attempts'])}`) : at(event), { state, receipt, failure, remains });
        return;
      }
      case 'escalateRollback':
        if (isFields(result['plan'])) this.replanned(where, at(`escalated/${word(work['to'])}`), result);
        return;
      case 'notify':
        this.entry(where, at(`${word(work['notice'])}/${word(work['at'])}`), { notice: work['notice'], text: work['text'] });
        return;
      default:
        this.closed(where, at('closed'), work);
    }
  }

  /** The plan of another level; a run that was reset is answered with the one that an earlier run has written. */
  private replanned(where: string, event: string, { plan, planHash }: Fields): void {
    if (sha256(canonical(plan ?? null)) !== planHash)
      this.fault(
        where,
        'the plan does not have the hash that was confirmed',
        'The plan or its hash was changed in the history: what people confirmed is not what it shows.',
      );
    if (this.byEvent.has(event)) this.entry(where, event, { plan, planHash });
    else if (!this.story.entries.some(({ entry }) => entry.type === 'replanned' && entry['planHash'] === planHash))
      this.fault(where, `the record has no entry ${event}`, LOST);
  }

  private closed(where: string, event: string, work: Fields): void {
    const { outcome, at, machineMs, humanMs, breached, closing, steps } = work;
    const missing = !this.byEvent.has(event);
    // The first end counts: a run that was reset after it may end once more, and writes none.
    if (missing && this.story.entries.some(({ entry }) => entry.type === 'closed')) return;
    // What was never opened has no end [activities/close.ts].
    if (missing && outcome === 'refused' && !this.byEvent.has(event.replace(/closed$/, 'opened'))) return;
    this.entry(where, event, { outcome, at, machineMs, humanMs, breached, closing, steps });
  }

  private entry(where: string, event: string, said: Fields): void {
    const found = this.byEvent.get(event);
    if (!found) {
      this.fault(where, `the record has no entry ${event}`, LOST);
      return;
    }
    const recorded = Object.fromEntries(Object.keys(said).map((name) => [name, found.entry[name]]));
    // As the writer stores it: what has no UTF-8 is replaced.
    const unlike = differences(JSON.parse(canonical(said)), recorded);
    if (unlike.length > 0)
      this.fault(where, `entry ${found.seq} of the record says something else ${inWords(unlike, 'the history has', 'the record has')}`, ALTERED);
  }

  private shown(where: string, what: string, shown: readonly unknown[], recorded: ReadonlySet<string>): void {
    for (const one of shown)
      if (!recorded.has(canonical(one)))
        this.fault(where, `it shows ${what === 'answer' ? 'an answer' : 'a refusal'} that is not on the record: ${short(one)}`, LOST);
  }

  private bodies(types: readonly string[], field: string): Set<string> {
    return new Set(this.story.entries.flatMap(({ entry }) => (types.includes(entry.type) ? [canonical(entry[field] ?? null)] : [])));
  }

  /** Later activities carry what this one could not write; a run that was ended before has left it in its history only. */
  private behind(run: RunHistory, activity: ActivityRan, where: string): void {
    const result = fields(valueOf(activity.result));
    const entry = fields(result['entry']);
    if (!isFields(result['entry'])) return;
    if (this.byEvent.has(`${activity.owner ?? ''}/${word(entry['event'])}`)) {
      this.ownEntry(where, activity, fields(valueOf(activity.input[0] ?? null)), result);
      return;
    }
    if (run.end?.kind === 'completed' || run.end?.kind === 'failed')
      this.fault(where, `the record never got ${word(entry['event'])}, which it could not take at the time`, LOST);
    else
      this.findings.skip(
        `${where}: Postgres was away and the record has not got it ${run.end ? 'before the run was ended from outside' : 'yet'}; only the history knows`,
      );
  }

  private position(where: string, record: Fields): void {
    const { entries, head } = record;
    if (typeof head === 'string' && typeof entries === 'number') this.positions.push({ where, rollbackId: this.story.rollbackId, entries, head });
  }

  private fault(where: string, fault: string, meaning: string): void {
    this.findings.fault('record', where, fault, meaning);
  }
}

/** What a step writes beside its own entry. */
const OF_A_STEP: ReadonlySet<string> = new Set(['late-attempt', 'freeze', 'unfreeze', 'replanned', 'takeover']);
/** Written by the worker's sweep, from outside of the run. */
const SWEPT: ReadonlySet<string> = new Set(['history', 'abandoned', 'stuck', 'freeze-drift']);

/** The names under which an activity may write its own entries; empty for one that writes none. */
function ownEvents(type: string, work: Fields): string[] {
  switch (type) {
    case 'openRollback':
      return ['opened', 'refused'];
    case 'runStep':
      return [`step/${word(fields(work['step'])['id'])}/${word(work['generation'])}/${word(work['ordinal'])}`];
    case 'notify':
      return [`${word(work['notice'])}/${word(work['at'])}`];
    case 'escalateRollback':
      return [`escalated/${word(work['to'])}`];
    case 'closeRollback':
      return ['closed'];
    default:
      return [];
  }
}

/** The state a run ended with; null where it did not end by itself, or ended with something else. */
export function stateOf(run: RunHistory): Fields | null {
  const value = run.end?.kind === 'completed' ? valueOf(run.end.result) : run.end?.kind === 'failed' ? valueOf(run.end.failure.details[0] ?? null) : null;
  return isFields(value) && typeof value['rollbackId'] === 'string' ? value : null;
}
