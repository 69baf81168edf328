/** The few things Backout's commands ask of Temporal, over the SDK's client; every call has a deadline and fails in our words. */
import {
  Client,
  Connection,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowUpdateFailedError,
  type WorkflowExecutionDescription,
  type WorkflowExecutionInfo,
} from '@temporalio/client';
import { ApplicationFailure, defaultPayloadConverter, type Payload } from '@temporalio/common';
import proto from '@temporalio/proto';
import { TASK_QUEUE } from '../model/task-queue.ts';
import { CallError, EXIT, GRPC, grpcCode, isNotFound, Problem, reasonOf } from './problem.ts';
import type { TemporalSettings } from './settings.ts';

/** A worker that lives answers within milliseconds; one that was just killed is noticed by the server within this. */
const ANSWER_MS = 4_000;
/** A worker's long poll lasts a minute. */
const POLLED_SECONDS = 75;

export type RunStatus = WorkflowExecutionInfo['status']['name'];

export interface Run {
  readonly id: string;
  readonly runId: string;
  readonly type: string;
  readonly status: RunStatus;
  readonly startedAt: string;
  readonly closedAt: string | null;
  readonly historyLength: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** A step that is being tried again and again, and why; null: none is. Known of what is described, not of what is listed. */
  readonly trying: string | null;
}

/** The request an execution was started with. */
export interface First {
  readonly kind: string;
  readonly runId: string;
  readonly input: unknown;
}

export interface NewRun {
  readonly type: string;
  readonly id: string;
  readonly input: unknown;
  readonly summary: string;
  readonly timeoutSeconds?: number;
}

/** The workflow's validator rejected an update, or the workflow ended while it was being answered. */
export class UpdateFailed extends Error {
  override readonly name = 'UpdateFailed';
  readonly type: string;
  constructor(type: string, message: string) {
    super(message);
    this.type = type;
  }
}

export class Engine {
  readonly settings: TemporalSettings;
  readonly client: Client;
  readonly connection: Connection;

  constructor(settings: TemporalSettings) {
    this.settings = settings;
    // Without the SDK's retries: who is away is said at once, and the commands that wait try again by themselves.
    this.connection = Connection.lazy({ ...settings.options, interceptors: [] });
    this.client = new Client({ connection: this.connection, namespace: settings.namespace, identity: `backout-cli@${process.pid}` });
  }

  close(): Promise<void> {
    return this.connection.close();
  }

  describe(id: string, runId?: string): Promise<Run> {
    return this.call(async () => runOf(await this.handle(id, runId).describe()));
  }

  /** Newest first, as the server lists them. */
  list(query: string, limit: number): Promise<Run[]> {
    return this.call(async () => {
      const runs: Run[] = [];
      for await (const info of this.client.workflow.list({ query, pageSize: Math.min(limit, 1000) })) {
        runs.push(runOf(info));
        if (runs.length >= limit) break;
      }
      return runs;
    });
  }

  /** The new run's id; null: one runs under this Id already. */
  async start({ type, id, input, summary, timeoutSeconds }: NewRun): Promise<string | null> {
    try {
      const handle = await this.call(() =>
        this.client.workflow.start(type, {
          workflowId: id,
          taskQueue: TASK_QUEUE,
          args: [input],
          staticSummary: summary,
          workflowIdReusePolicy: 'ALLOW_DUPLICATE',
          workflowIdConflictPolicy: 'FAIL',
          ...(timeoutSeconds === undefined ? {} : { workflowExecutionTimeout: `${timeoutSeconds}s` }),
        }),
      );
      return handle.firstExecutionRunId;
    } catch (error) {
      if (error instanceof WorkflowExecutionAlreadyStartedError) return null;
      throw error;
    }
  }

  /** From the first event: needs no worker. Null where the history is gone. */
  async first(id: string, runId?: string): Promise<First | null> {
    try {
      const { namespace } = this.settings;
      const execution = { workflowId: id, ...(runId === undefined ? {} : { runId }) };
      const { history } = await this.call(() => this.connection.workflowService.getWorkflowExecutionHistory({ namespace, execution, maximumPageSize: 1 }));
      const begun = history?.events?.[0]?.workflowExecutionStartedEventAttributes;
      return begun ? { kind: begun.workflowType?.name ?? '', runId: begun.originalExecutionRunId ?? '', input: jsonOf(begun.input?.payloads?.[0]) } : null;
    } catch (error) {
      if (isNotFound(error)) return null;
      throw error;
    }
  }

  query<T>(id: string, runId: string | undefined, name: string, ms = ANSWER_MS): Promise<T> {
    return this.call(() => this.handle(id, runId).query<T>(name), ms);
  }

  /** The same update id again is the same update. Throws UpdateFailed. */
  async update<T>(id: string, name: string, message: unknown, updateId: string, ms: number): Promise<T> {
    try {
      return await this.call(() => this.handle(id).executeUpdate<T, [unknown]>(name, { args: [message], updateId }), ms);
    } catch (error) {
      if (!(error instanceof WorkflowUpdateFailedError)) throw error;
      const type = error.cause instanceof ApplicationFailure ? (error.cause.type ?? '') : '';
      throw new UpdateFailed(type, error.cause?.message ?? error.message);
    }
  }

  signal(id: string, name: string, message: unknown): Promise<void> {
    return this.call(() => this.handle(id).signal(name, message));
  }

  async terminate(id: string, reason: string): Promise<void> {
    await this.call(() => this.handle(id).terminate(reason));
  }

  /** Waits for the end. Throws where it failed. */
  async result(id: string, runId: string, signal: AbortSignal): Promise<unknown> {
    try {
      return (await this.connection.withAbortSignal(signal, () => this.handle(id, runId).result())) as unknown; // Whatever the workflow returns.
    } catch (error) {
      if (!(error instanceof WorkflowFailedError)) throw this.inWords(error);
      throw new Problem(
        EXIT.failed,
        'unexpected',
        `${id} did not complete: ${reasonOf(error.cause ?? error)}`,
        'see its execution in the Temporal UI',
        {},
        error,
      );
    }
  }

  /** Workers that have polled lately. One that was killed since is still among them. */
  async pollers(): Promise<string[]> {
    const { namespace } = this.settings;
    const { pollers } = await this.call(() =>
      this.connection.workflowService.describeTaskQueue({
        namespace,
        taskQueue: { name: TASK_QUEUE },
        taskQueueType: proto.temporal.api.enums.v1.TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
      }),
    );
    return (pollers ?? []).filter((one) => Date.now() / 1000 - Number(one.lastAccessTime?.seconds ?? 0) < POLLED_SECONDS).map((one) => one.identity ?? '');
  }

  private handle(id: string, runId?: string) {
    return this.client.workflow.getHandle(id, runId);
  }

  private async call<T>(work: () => Promise<T>, ms = ANSWER_MS): Promise<T> {
    try {
      return await this.connection.withDeadline(Date.now() + ms, work);
    } catch (error) {
      throw this.inWords(error);
    }
  }

  /** gRPC's own code where there is one; what is the SDK's own, and ours, stays as it is. */
  private inWords(error: unknown): unknown {
    const code = codeOf(error);
    if (code === null) return error;
    const { namespace, from, options } = this.settings;
    const message = reasonOf(error);
    const remedy =
      from === 'the default'
        ? 'start `backout dev`, or give --address or TEMPORAL_ADDRESS'
        : `see whether it runs, or correct ${from}; \`backout dev\` brings one along`;
    const away = (what: string, then: string): Problem =>
      new Problem(EXIT.unreachable, 'temporal-unreachable', `Temporal at ${options.address} (from ${from}) ${what}: ${message}`, then, {}, error);
    if (code === GRPC.unavailable) return away('cannot be reached', remedy);
    if (code === GRPC.unauthenticated || code === GRPC.denied) return away('does not allow this', 'correct the API key or certificate of the environment');
    if (code === GRPC.notFound && /namespace/i.test(message)) {
      return new Problem(
        EXIT.usage,
        'unknown-name',
        `Temporal at ${options.address} has no namespace ${namespace}`,
        'correct --namespace or TEMPORAL_NAMESPACE',
        {},
        error,
      );
    }
    return new CallError(code, message, error);
  }
}

/** The SDK has classes of its own for two of gRPC's codes. */
function codeOf(error: unknown): number | null {
  if (error instanceof WorkflowExecutionAlreadyStartedError || error instanceof WorkflowUpdateFailedError || error instanceof WorkflowFailedError) return null;
  if (error instanceof Error && error.name === 'WorkflowNotFoundError') return GRPC.notFound;
  if (error instanceof Error && error.name === 'WorkflowUpdateRPCTimeoutOrCancelledError') return GRPC.deadline;
  return grpcCode(error);
}

type Described = Omit<WorkflowExecutionInfo, 'raw' | 'parentExecution' | 'rootExecution'>;

const runOf = (info: Described & { readonly raw: unknown }): Run => ({
  id: info.workflowId,
  runId: info.runId,
  type: info.type,
  status: info.status.name,
  startedAt: info.startTime.toISOString(),
  closedAt: info.closeTime?.toISOString() ?? null,
  historyLength: info.historyLength,
  attributes: Object.fromEntries(Object.entries(attributesOf(info.raw)).map(([name, value]) => [name, jsonOf(value)])),
  trying: tryingOf(info.raw),
});

/** Once may be chance. */
const TRIED_OFTEN = 3;

function tryingOf(raw: unknown): string | null {
  const { pendingActivities } = raw as Partial<WorkflowExecutionDescription['raw']>;
  const often = (pendingActivities ?? []).find((one) => (one.attempt ?? 0) >= TRIED_OFTEN && one.lastFailure);
  return often ? `one step has been tried ${often.attempt ?? 0} times, and goes on by itself once it is answered: ${often.lastFailure?.message ?? ''}` : null;
}

/** A description wraps what a list gives as it is; both are the API's own message. */
function attributesOf(raw: unknown): Record<string, Payload> {
  const { workflowExecutionInfo, searchAttributes } = raw as Partial<WorkflowExecutionDescription['raw']> & Partial<WorkflowExecutionInfo['raw']>;
  return (workflowExecutionInfo ?? { searchAttributes }).searchAttributes?.indexedFields ?? {};
}

/** What is not JSON, or encrypted, is nothing that a command could show. */
function jsonOf(payload: Payload | null | undefined): unknown {
  try {
    return payload ? defaultPayloadConverter.fromPayload<unknown>(payload) : null;
  } catch {
    return null;
  }
}
