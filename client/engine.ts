/** The few things Backout's commands ask of Temporal. Field numbers are those of temporal.api 1.62; they never change their meaning. */
import { randomUUID } from 'node:crypto';
import { TASK_QUEUE } from '../model/task-queue.ts';
import { Channel, encode, type Decoded, type Fields } from './grpc.ts';
import { failureOf, payload, payloads, runOf, valueOf, type Run } from './payloads.ts';
import { CallError, EXIT, GRPC, isNotFound, Problem } from './problem.ts';
import type { TemporalSettings } from './settings.ts';

/** A worker that lives answers within milliseconds; one that was just killed is noticed by the server within this. */
const ANSWER_MS = 4_000;
const LONG_POLL_MS = 60_000;
/** A worker's long poll lasts a minute. */
const POLLED_SECONDS = 75;
const SERVICE = '/temporal.api.workflowservice.v1.WorkflowService/';
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

/** Enumerations of the API, by number. */
const [REUSE_ALWAYS, CONFLICT_FAIL, CLOSE_EVENT, STAGE_COMPLETED, WORKFLOW_TASKS, QUERY_ALWAYS] = [1, 1, 2, 3, 1, 1];

const execution = (id: string, runId?: string): Fields => [
  [1, id],
  [2, runId],
];

export class Engine {
  readonly settings: TemporalSettings;
  private readonly channel: Channel;
  private readonly identity = `backout-cli@${process.pid}`;

  constructor(settings: TemporalSettings) {
    this.settings = settings;
    const { options, namespace } = settings;
    this.channel = new Channel({
      address: /:\d+$/.test(options.address) ? options.address : `${options.address}:7233`,
      tls: tlsOf(options),
      headers: { 'temporal-namespace': namespace, ...headersOf(options) },
    });
  }

  close(): void {
    this.channel.close();
  }

  async describe(id: string, runId?: string): Promise<Run> {
    const answer = await this.call('DescribeWorkflowExecution', [[2, execution(id, runId)]]);
    const info = answer.message(2);
    if (!info) throw new CallError(GRPC.notFound, `workflow not found for ID: ${id}`);
    return runOf(info);
  }

  /** Newest first, as the server lists them. */
  async list(query: string, limit: number): Promise<Run[]> {
    const runs: Run[] = [];
    let token: Buffer | null = null;
    do {
      const answer: Decoded = await this.call('ListWorkflowExecutions', [
        [2, Math.min(limit, 1000)],
        [3, token],
        [4, query],
      ]);
      runs.push(...answer.messages(1).map(runOf));
      token = answer.bytes(2);
    } while (token !== null && token.length > 0 && runs.length < limit);
    return runs.slice(0, limit);
  }

  /** The new run's id; null: one runs under this Id already. */
  async start({ type, id, input, summary, timeoutSeconds }: NewRun): Promise<string | null> {
    try {
      const answer = await this.call('StartWorkflowExecution', [
        [2, id],
        [3, [[1, type]]],
        [4, [[1, TASK_QUEUE]]],
        [5, payloads(input)],
        [6, timeoutSeconds === undefined ? null : [[1, timeoutSeconds]]],
        [9, this.identity],
        [10, randomUUID()],
        [11, REUSE_ALWAYS],
        [22, CONFLICT_FAIL],
        [23, [[1, payload(summary)]]],
      ]);
      return answer.text(1);
    } catch (error) {
      if (error instanceof CallError && error.code === GRPC.alreadyExists) return null;
      throw error;
    }
  }

  /** From the first event: needs no worker. Null where the history is gone. */
  async first(id: string, runId?: string): Promise<First | null> {
    try {
      const answer = await this.call('GetWorkflowExecutionHistory', [
        [2, execution(id, runId)],
        [3, 1],
      ]);
      const begun = answer.message(1)?.messages(1)[0]?.message(6);
      return begun ? { kind: begun.message(1)?.text(1) ?? '', runId: begun.text(14), input: valueOf(begun.message(6)) } : null;
    } catch (error) {
      if (isNotFound(error)) return null;
      throw error;
    }
  }

  async query<T>(id: string, runId: string | undefined, name: string, ms = ANSWER_MS): Promise<T> {
    const answer = await this.call(
      'QueryWorkflow',
      [
        [2, execution(id, runId)],
        [3, [[1, name]]],
        [4, QUERY_ALWAYS],
      ],
      ms,
    );
    return valueOf(answer.message(1)) as T; // Our own workflow's answer.
  }

  /** Null: taken in, and not answered yet. The same update id again is the same update. Throws UpdateFailed. */
  async update<T>(id: string, name: string, message: unknown, updateId: string, ms: number): Promise<T | null> {
    const answer = await this.call(
      'UpdateWorkflowExecution',
      [
        [2, execution(id)],
        [4, [[1, STAGE_COMPLETED]]],
        [
          5,
          [
            [
              1,
              [
                [1, updateId],
                [2, this.identity],
              ],
            ],
            [
              2,
              [
                [2, name],
                [3, payloads(message)],
              ],
            ],
          ],
        ],
      ],
      ms,
    );
    const outcome = answer.message(2);
    const failure = outcome?.message(2);
    if (failure) throw new UpdateFailed(failure.message(5)?.text(1) ?? '', failure.text(1));
    return outcome ? (valueOf(outcome.message(1)) as T) : null; // Our own workflow's answer.
  }

  async signal(id: string, name: string, message: unknown): Promise<void> {
    await this.call('SignalWorkflowExecution', [
      [2, execution(id)],
      [3, name],
      [4, payloads(message)],
      [5, this.identity],
      [6, randomUUID()],
    ]);
  }

  async terminate(id: string, reason: string): Promise<void> {
    await this.call('TerminateWorkflowExecution', [
      [2, execution(id)],
      [3, reason],
      [5, this.identity],
    ]);
  }

  /** Waits for the end. Throws where it failed. */
  async result(id: string, runId: string, signal: AbortSignal): Promise<unknown> {
    let token: Buffer | null = null;
    for (;;) {
      const answer: Decoded = await this.call(
        'GetWorkflowExecutionHistory',
        [
          [2, execution(id, runId)],
          [4, token],
          [5, true],
          [6, CLOSE_EVENT],
        ],
        LONG_POLL_MS,
        signal,
      );
      const event = answer.message(1)?.messages(1)[0];
      token = answer.bytes(3);
      if (!event) continue;
      const completed = event.message(7);
      if (completed) return valueOf(completed.message(1));
      throw new Problem(
        EXIT.failed,
        'unexpected',
        `${id} did not complete: ${failureOf(event.message(8)?.message(1) ?? null)}`,
        'see its execution in the Temporal UI',
      );
    }
  }

  /** Workers that have polled lately. One that was killed since is still among them. */
  async pollers(): Promise<string[]> {
    const answer = await this.call('DescribeTaskQueue', [
      [2, [[1, TASK_QUEUE]]],
      [3, WORKFLOW_TASKS],
    ]);
    return answer
      .messages(1)
      .filter((one) => Date.now() / 1000 - (one.message(1)?.number(1) ?? 0) < POLLED_SECONDS)
      .map((one) => one.text(2));
  }

  private async call(method: string, fields: Fields, ms = ANSWER_MS, signal?: AbortSignal): Promise<Decoded> {
    const { namespace, from } = this.settings;
    try {
      return await this.channel.call(SERVICE + method, encode([[1, namespace], ...fields]), { ms, signal });
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      const remedy =
        from === 'the default'
          ? 'start `backout dev`, or give --address or TEMPORAL_ADDRESS'
          : `see whether it runs, or correct ${from}; \`backout dev\` brings one along`;
      const away = (what: string, then: string): Problem =>
        new Problem(EXIT.unreachable, 'temporal-unreachable', `Temporal at ${this.channel.address} (from ${from}) ${what}: ${error.message}`, then, {}, error);
      if (error.code === GRPC.unavailable) throw away('cannot be reached', remedy);
      if (error.code === GRPC.unauthenticated || error.code === GRPC.denied)
        throw away('does not allow this', 'correct the API key or certificate of the environment');
      if (error.code === GRPC.notFound && /namespace/i.test(error.message))
        throw new Problem(
          EXIT.usage,
          'unknown-name',
          `Temporal at ${this.channel.address} has no namespace ${namespace}`,
          'correct --namespace or TEMPORAL_NAMESPACE',
          {},
          error,
        );
      throw error;
    }
  }
}

function tlsOf({ tls, apiKey }: TemporalSettings['options']): object | null {
  if (!tls && (apiKey === undefined || tls === false)) return null;
  if (typeof tls !== 'object' || tls === null) return {};
  const { serverNameOverride, serverRootCACertificate, clientCertPair } = tls;
  const pem = (bytes: Uint8Array): Buffer => Buffer.from(bytes);
  return {
    ...(serverNameOverride === undefined ? {} : { servername: serverNameOverride }),
    ...(serverRootCACertificate ? { ca: pem(serverRootCACertificate) } : {}),
    ...(clientCertPair ? { cert: pem(clientCertPair.crt), key: pem(clientCertPair.key) } : {}),
  };
}

function headersOf({ apiKey, metadata }: TemporalSettings['options']): Record<string, string> {
  const plain = Object.entries(metadata ?? {}).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  const key = typeof apiKey === 'function' ? apiKey() : apiKey;
  return { ...Object.fromEntries(plain), ...(key === undefined ? {} : { authorization: `Bearer ${key}` }) };
}
