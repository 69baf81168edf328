/** One run as its history tells it: what was scheduled, what came back, and how it ended. */
import { historyFromJSON, type History } from '@temporalio/common/lib/proto-utils.js';
import { encodedOf, isFields, valueOf, type Encoded } from './payloads.ts';

export interface ActivityRan {
  readonly eventId: number;
  readonly id: string;
  readonly type: string;
  readonly input: readonly Encoded[];
  readonly summary: Encoded | null;
  readonly timeoutsMs: Readonly<Record<string, number>>;
  /** Of `ActivityTaskCompleted`; null while there is none. */
  result: Encoded | null;
  /** The run in which it came to its result; the record names its entries by it. */
  owner: string | null;
  /** The run in which it was scheduled, and every later one that may have carried it out. */
  readonly runs: readonly string[];
}

export interface FailureSeen {
  readonly message: string;
  readonly type: string;
  readonly nonRetryable: boolean;
  readonly details: readonly Encoded[];
}

export type End =
  | { readonly kind: 'completed'; readonly result: Encoded | null }
  | { readonly kind: 'failed'; readonly failure: FailureSeen }
  | { readonly kind: 'ended'; readonly how: string };

export interface RunHistory {
  readonly workflowId: string;
  readonly runId: string;
  /** Stable over resets; replay runs under it. */
  readonly originalRunId: string;
  readonly type: string;
  readonly rollbackId: string;
  readonly raw: History;
  readonly events: number;
  /** This run and those it was reset from, whose events stand at its beginning. */
  readonly lineage: readonly string[];
  readonly activities: readonly ActivityRan[];
  readonly timers: readonly { readonly eventId: number; readonly id: string; readonly ms: number; readonly summary: Encoded | null }[];
  readonly attributes: readonly { readonly eventId: number; readonly values: Readonly<Record<string, Encoded>> }[];
  readonly updates: readonly { readonly eventId: number; readonly id: string; readonly answer: Encoded | FailureSeen }[];
  readonly end: End | null;
  /** The last workflow task that was completed; commands after it have left no events. */
  readonly lastTask: number;
  /** Another worker has gone on with it. */
  readonly takenOver: boolean;
  /** Builds of the workflow code, oldest first. */
  readonly builds: readonly string[];
  /** Kinds of events whose values nobody here knows how to compare. */
  readonly foreign: readonly string[];
}

/** Thrown for a text that is no history. */
export class NoHistory extends Error {
  override readonly name = 'NoHistory';
}

/** JSON of `temporal workflow show -o json`, or of our own export. */
export function parseHistory(json: string): History {
  try {
    const parsed: unknown = JSON.parse(json);
    // The SDK's own export is a text already, and was once wrapped into another.
    return historyFromJSON(typeof parsed === 'string' ? JSON.parse(parsed) : parsed);
  } catch (cause) {
    throw new NoHistory(`this is no Temporal history: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

type Event = NonNullable<History['events']>[number];
type ProtoFailure = NonNullable<NonNullable<Event['workflowExecutionFailedEventAttributes']>['failure']>;
type ProtoDuration = NonNullable<NonNullable<Event['timerStartedEventAttributes']>['startToFireTimeout']>;

const idOf = (event: Event): number => Number(event.eventId ?? 0);
const text = (value: string | null | undefined): string => value ?? '';
const milliseconds = (duration: ProtoDuration | null | undefined): number => Number(duration?.seconds ?? 0) * 1000 + (duration?.nanos ?? 0) / 1e6;
const failureOf = (failure: ProtoFailure | null | undefined): FailureSeen => ({
  message: text(failure?.message),
  type: text(failure?.applicationFailureInfo?.type),
  nonRetryable: failure?.applicationFailureInfo?.nonRetryable ?? false,
  details: (failure?.applicationFailureInfo?.details?.payloads ?? []).map((one) => encodedOf(one)).filter((one) => one !== null),
});

/** Events that only tell when something was done, or whose values came from outside and are the replay's own input. */
const PLAIN = new Set([
  'workflowTaskScheduled',
  'workflowTaskStarted',
  'workflowTaskCompleted',
  'workflowTaskFailed',
  'workflowTaskTimedOut',
  'activityTaskStarted',
  'activityTaskFailed',
  'activityTaskTimedOut',
  'activityTaskCancelRequested',
  'activityTaskCanceled',
  'timerFired',
  'timerCanceled',
  'workflowExecutionStarted',
  'workflowExecutionSignaled',
  'workflowExecutionCancelRequested',
  'workflowExecutionUpdateAdmitted',
  'workflowExecutionUpdateAccepted',
  'workflowExecutionOptionsUpdated',
]);

/** Reads what the first event says of itself; `known` is what the server says of the run. */
export function readRun(raw: History, known?: { readonly workflowId: string; readonly runId: string }): RunHistory {
  const events = raw.events ?? [];
  const started = events[0]?.workflowExecutionStartedEventAttributes;
  if (!started) throw new NoHistory('this is no whole history: it does not begin with the start of an execution');
  const originalRunId = text(started.originalExecutionRunId);
  const resets = resetsIn(events);
  const lineage = [...new Set([originalRunId, ...resets.flatMap(({ from, to }) => [from, to])])];
  const read = new Reader(lineage, [originalRunId, ...resets.map(({ to }) => to)]);
  for (const event of events) read.next(event);
  const runId = known?.runId ?? lineage.at(-1) ?? '';
  const rollbackId = read.activities.map(({ input }) => valueOf(input[0] ?? null)).find((work) => isFields(work) && typeof work['rollbackId'] === 'string');
  return {
    workflowId: known?.workflowId ?? text(started.workflowId),
    runId,
    originalRunId,
    type: text(started.workflowType?.name),
    rollbackId: isFields(rollbackId) ? String(rollbackId['rollbackId']) : originalRunId,
    raw,
    events: events.length,
    lineage,
    activities: read.activities,
    timers: read.timers,
    attributes: read.attributes,
    updates: read.updates,
    end: read.end,
    lastTask: read.lastTask,
    takenOver: read.workers.size > 1,
    builds: [...read.builds],
    foreign: [...read.foreign],
  };
}

interface Reset {
  readonly from: string;
  readonly to: string;
}

/** A reset leaves a mark; where a reset is reset to before its mark, that mark is not among the events. */
const resetsIn = (events: readonly Event[]): Reset[] =>
  events.filter(isReset).map(({ workflowTaskFailedEventAttributes: mark }) => ({ from: text(mark?.baseRunId), to: text(mark?.newRunId) }));

const isReset = (event: Event): boolean => text(event.workflowTaskFailedEventAttributes?.newRunId) !== '';

const NOTHING: Encoded = { encoding: 'binary/null', data: new Uint8Array() };

class Reader {
  readonly activities: ActivityRan[] = [];
  readonly timers: RunHistory['timers'][number][] = [];
  readonly attributes: RunHistory['attributes'][number][] = [];
  readonly updates: RunHistory['updates'][number][] = [];
  readonly builds = new Set<string>();
  readonly workers = new Set<string>();
  readonly foreign = new Set<string>();
  end: End | null = null;
  lastTask = 0;
  private readonly lineage: readonly string[];
  /** By segment: the run whose events it has. The first event of all keeps the id of the run that wrote it. */
  private readonly owners: readonly string[];
  private readonly accepted = new Map<number, string>();
  private segment = 0;

  constructor(lineage: readonly string[], owners: readonly string[]) {
    this.lineage = lineage;
    this.owners = owners;
  }

  next(event: Event): void {
    const eventId = idOf(event);
    if (isReset(event)) this.segment += 1;
    if (event.workflowTaskStartedEventAttributes) this.workers.add(text(event.workflowTaskStartedEventAttributes.identity));
    if (event.workflowTaskCompletedEventAttributes) this.task(event, eventId);
    else if (event.activityTaskScheduledEventAttributes || event.activityTaskCompletedEventAttributes) this.activity(event, eventId);
    else if (event.timerStartedEventAttributes)
      this.timers.push({
        eventId,
        id: text(event.timerStartedEventAttributes.timerId),
        ms: milliseconds(event.timerStartedEventAttributes.startToFireTimeout),
        summary: encodedOf(event.userMetadata?.summary),
      });
    else if (event.upsertWorkflowSearchAttributesEventAttributes) {
      const values = fieldsOf(event.upsertWorkflowSearchAttributesEventAttributes.searchAttributes?.indexedFields);
      // Written by the SDK for each patch marker, and not by the workflow.
      if (Object.keys(values).some((name) => name !== 'TemporalChangeVersion')) this.attributes.push({ eventId, values });
    } else if (event.workflowExecutionUpdateAcceptedEventAttributes)
      this.accepted.set(eventId, text(event.workflowExecutionUpdateAcceptedEventAttributes.protocolInstanceId));
    else if (event.workflowExecutionUpdateCompletedEventAttributes) this.update(event, eventId);
    else if (event.workflowExecutionCompletedEventAttributes)
      this.end = { kind: 'completed', result: encodedOf(event.workflowExecutionCompletedEventAttributes.result?.payloads?.[0]) };
    else if (event.workflowExecutionFailedEventAttributes)
      this.end = { kind: 'failed', failure: failureOf(event.workflowExecutionFailedEventAttributes.failure) };
    else this.other(event);
  }

  private task(event: Event, eventId: number): void {
    this.lastTask = eventId;
    const completed = event.workflowTaskCompletedEventAttributes;
    const build = text(completed?.workerVersion?.buildId) || text(completed?.binaryChecksum);
    // Most recent last: the code that brought it to its end is the one to replay it with.
    if (build !== '') {
      this.builds.delete(build);
      this.builds.add(build);
    }
  }

  private activity(event: Event, eventId: number): void {
    const scheduled = event.activityTaskScheduledEventAttributes;
    if (scheduled) {
      const { startToCloseTimeout, scheduleToCloseTimeout, scheduleToStartTimeout, heartbeatTimeout } = scheduled;
      this.activities.push({
        eventId,
        id: text(scheduled.activityId),
        type: text(scheduled.activityType?.name),
        input: (scheduled.input?.payloads ?? []).map((one) => encodedOf(one)).filter((one) => one !== null),
        summary: encodedOf(event.userMetadata?.summary),
        timeoutsMs: Object.fromEntries(
          Object.entries({ startToCloseTimeout, scheduleToCloseTimeout, scheduleToStartTimeout, heartbeatTimeout }).map(([name, value]) => [
            name,
            milliseconds(value),
          ]),
        ),
        result: null,
        owner: null,
        runs: this.lineage.slice(this.lineage.indexOf(this.owners[this.segment] ?? '')),
      });
      return;
    }
    const completed = event.activityTaskCompletedEventAttributes;
    const ran = this.activities.find((one) => one.eventId === Number(completed?.scheduledEventId ?? 0));
    if (!ran) return;
    ran.result = encodedOf(completed?.result?.payloads?.[0]) ?? NOTHING;
    ran.owner = this.owners[this.segment] ?? null;
  }

  private update(event: Event, eventId: number): void {
    const completed = event.workflowExecutionUpdateCompletedEventAttributes;
    const id = this.accepted.get(Number(completed?.acceptedEventId ?? 0)) ?? text(completed?.meta?.updateId);
    const success = encodedOf(completed?.outcome?.success?.payloads?.[0]);
    this.updates.push({ eventId, id, answer: completed?.outcome?.failure ? failureOf(completed.outcome.failure) : (success ?? NOTHING) });
  }

  private other(event: Event): void {
    const name =
      Object.keys(event)
        .find((key) => key.endsWith('EventAttributes'))
        ?.replace('EventAttributes', '') ?? 'unknown';
    if (/^workflowExecution(Terminated|TimedOut|Canceled|ContinuedAsNew)$/.test(name)) this.end = { kind: 'ended', how: name.replace('workflowExecution', '') };
    else if (!PLAIN.has(name)) this.foreign.add(name);
  }
}

function fieldsOf(fields: Readonly<Record<string, Parameters<typeof encodedOf>[0]>> | null | undefined): Record<string, Encoded> {
  return Object.fromEntries(
    Object.entries(fields ?? {}).flatMap(([name, value]) => {
      const encoded = encodedOf(value);
      return encoded ? [[name, encoded]] : [];
    }),
  );
}
