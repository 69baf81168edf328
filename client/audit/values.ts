/** Compares what a history holds with what its replay did: replay alone looks at the kind and order of commands, never at a value. */
import type { ToldCommand, ToldTask } from '../../workflows/audit-sink.ts';
import type { FailureSeen, RunHistory } from './history.ts';
import { differences, inWords, isFields, short, valueOf, type Difference, type Encoded } from './payloads.ts';
import type { Findings } from './result.ts';

type Told<K extends ToldCommand['kind']> = Extract<ToldCommand, { readonly kind: K }>;

const MICROSECOND = 0.001;

/** Answers how many values were compared. */
export function compareValues(run: RunHistory, tasks: readonly ToldTask[], findings: Findings): number {
  // What the last, unfinished task would do has left no events yet.
  const commands = tasks.flatMap((task) => (task.historyLength < run.lastTask ? task.commands : []));
  const compare = new Comparison(run, commands, findings);
  compare.activities();
  compare.timers();
  compare.attributes();
  compare.updates();
  compare.end();
  return compare.count;
}

class Comparison {
  count = 0;
  private readonly run: RunHistory;
  private readonly commands: readonly ToldCommand[];
  private readonly findings: Findings;
  /** Milliseconds that the history counts as people's time, and a replay as the machine's, or the other way round. */
  private readonly shifts: number[] = [];

  constructor(run: RunHistory, commands: readonly ToldCommand[], findings: Findings) {
    this.run = run;
    this.commands = commands;
    this.findings = findings;
  }

  activities(): void {
    const told = new Map(this.of('activity').map((one) => [one.id, one]));
    for (const { eventId, id, type, input, summary, timeoutsMs } of this.run.activities) {
      const where = `event ${eventId}, activity ${type}`;
      const replayed = told.get(id);
      told.delete(id);
      if (!replayed) {
        this.unknown(where, 'was scheduled');
        continue;
      }
      if (replayed.type !== type) this.differs(where, `was scheduled; replay schedules ${replayed.type}`);
      this.input(where, input.map(valueOf), replayed.input.map(valueOf));
      this.same(where, 'the summary', valueOf(summary), valueOf(replayed.summary));
      // The server writes down more timeouts than were asked for.
      const asked = Object.fromEntries(Object.keys(replayed.timeoutsMs).map((name) => [name, timeoutsMs[name]]));
      this.same(where, 'the timeouts', asked, replayed.timeoutsMs);
    }
    for (const missing of told.values()) this.absent(`activity ${missing.type} (${missing.id})`);
  }

  timers(): void {
    const told = new Map(this.of('timer').map((one) => [one.id, one]));
    const cancelled = new Set(this.of('timer-cancelled').map((one) => one.id));
    for (const { eventId, id, ms, summary } of this.run.timers) {
      const where = `event ${eventId}, timer ${id}`;
      const replayed = told.get(id);
      told.delete(id);
      if (!replayed) {
        this.unknown(where, 'was started');
        continue;
      }
      // The workflow may compute fractions of a nanosecond, which the server does not keep.
      const isSame = Math.abs(ms - replayed.ms) < MICROSECOND || this.shifts.some((shift) => Math.abs(Math.abs(ms - replayed.ms) - shift) < 1);
      this.same(where, 'the duration in ms', ms, isSame ? ms : replayed.ms);
      this.same(where, 'the summary', valueOf(summary), valueOf(replayed.summary));
    }
    // Started and cancelled within one task, it never reached the server.
    for (const missing of told.values()) if (!cancelled.has(missing.id)) this.absent(`timer ${missing.id}`);
  }

  attributes(): void {
    const told = this.of('attributes');
    this.run.attributes.forEach(({ eventId, values }, index) => {
      const where = `event ${eventId}, search attributes`;
      const replayed = told[index];
      if (!replayed) {
        this.unknown(where, 'were set');
        return;
      }
      this.same(where, 'the values', valuesOf(values), valuesOf(replayed.values));
    });
    if (told.length > this.run.attributes.length) this.absent('a change of search attributes');
  }

  updates(): void {
    const told = new Map(this.of('update').map((one) => [one.id, one]));
    for (const { eventId, id, answer } of this.run.updates) {
      const where = `event ${eventId}, update`;
      const replayed = told.get(id);
      told.delete(id);
      if (!replayed) {
        this.unknown(where, 'was answered');
        continue;
      }
      this.same(where, 'the answer', plain(answer), plain(replayed.answer));
    }
    for (const missing of told.values()) this.absent(`the answer to update ${missing.id}`);
  }

  end(): void {
    const { end, events } = this.run;
    const where = `event ${events}, the end`;
    const completed = this.of('completed')[0];
    const failed = this.of('failed')[0];
    if (end?.kind === 'completed') {
      if (completed) this.state(where, 'the result', valueOf(end.result), valueOf(completed.result));
      else this.unknown(where, 'is a result');
    } else if (end?.kind === 'failed') {
      if (!failed) {
        this.unknown(where, 'is a failure');
        return;
      }
      const { details, ...recorded } = end.failure;
      const { details: told, ...replayed } = failed.failure;
      this.same(where, 'the failure', recorded, replayed);
      this.state(where, 'the state in the failure', valueOf(details[0] ?? null), valueOf(told[0] ?? null));
    } else if (completed ?? failed) this.absent('the end of the execution');
  }

  private of<K extends ToldCommand['kind']>(kind: K): Told<K>[] {
    return this.commands.filter((one): one is Told<K> => one.kind === kind);
  }

  private same(where: string, what: string, recorded: unknown, replayed: unknown): void {
    this.report(where, what, differences(recorded, replayed));
  }

  /** The one field that may differ: a reset run shows its own id, and replay runs under the id of the first. Both are checked. */
  private state(where: string, what: string, recorded: unknown, replayed: unknown): void {
    const isOwn = ({ path, left, right }: Difference): boolean => path === 'runId' && left === this.run.runId && right === this.run.originalRunId;
    this.report(
      where,
      what,
      differences(recorded, replayed).filter((one) => !isOwn(one)),
    );
  }

  private report(where: string, what: string, found: readonly Difference[]): void {
    this.count += 1;
    if (found.length > 0) this.differs(where, `${what} differs: ${inWords(found, 'the history has', 'replay computes')}`);
  }

  /**
   * A worker that takes a run over may be told two workflow tasks of it as one, and so may a replay: a wait that ended within them has no length then. It
   * has been seen under load, after a worker was killed. The sum of both times is the same, as is everything else; what differs is said, and accuses nobody.
   */
  private input(where: string, recorded: readonly unknown[], replayed: readonly unknown[]): void {
    const found = differences(recorded, replayed);
    const [was, now] = [timesOf(recorded[0]), timesOf(replayed[0])];
    const shift = was && now ? Math.abs(was.human - now.human) : 0;
    const isShift = shift > 0 && was && now && Math.abs(was.machine + was.human - now.machine - now.human) < 1;
    if (!this.run.takenOver || !isShift || !found.every(({ path }) => CLOCK.has(path))) {
      this.report(where, 'the input', found);
      return;
    }
    this.count += 1;
    this.shifts.push(shift);
    this.findings.skip(
      `run ${this.run.runId}, ${where}: which ${Math.round(shift)} ms were people's time and which the machine's; its replay divides them otherwise, as it may where another worker has taken a run over`,
    );
  }

  private unknown(where: string, what: string): void {
    this.differs(where, `${what}, and replay does nothing of the kind`);
  }

  private absent(what: string): void {
    this.differs(`after event ${this.run.lastTask}`, `replay does something the history does not have: ${what}`);
  }

  private differs(where: string, fault: string): void {
    this.findings.fault(
      'values',
      `run ${this.run.runId}, ${where}`,
      fault,
      'The history was changed after the fact, here or in something before that decides it (an activity result, a message, a time). Keep this copy, get the original from Temporal or from the record, and compare event by event.',
    );
  }
}

/** What an activity is told of the time target [002 section 7]. */
const CLOCK: ReadonlySet<string> = new Set(['[0].deadlineAt', '[0].machineMs', '[0].humanMs']);

function timesOf(work: unknown): { readonly machine: number; readonly human: number } | null {
  const [machine, human] = isFields(work) ? [work['machineMs'], work['humanMs']] : [];
  return typeof machine === 'number' && typeof human === 'number' ? { machine, human } : null;
}

const valuesOf = (values: Readonly<Record<string, Encoded>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, valueOf(value)]));

const isFailure = (answer: Encoded | FailureSeen): answer is FailureSeen => 'message' in answer;

const plain = (answer: Encoded | FailureSeen): unknown =>
  isFailure(answer) ? { failure: answer.message, type: answer.type, details: answer.details.map(valueOf) } : valueOf(answer);

/** For the text: which builds a history was made by. */
export const buildOf = (run: RunHistory): string | null => run.builds.at(-1) ?? null;
export const buildName = (build: string | null): string =>
  build === null ? 'an unknown build' : `build ${short(build.replace(/^.*\+/, '').slice(0, 12)).replaceAll('"', '')}`;
