/** What a command talks to, opened when it is needed and closed with it. */
import { connect } from 'node:net';
import type { Client, Connection, WorkflowHandle } from '@temporalio/client';
import type { Command } from 'commander';
import { TASK_QUEUE } from '../model/task-queue.ts';
import type { Store } from '../store/store.ts';
import { EXIT, Problem, grpcCode, reasonOf } from './problem.ts';
import { flagsOf, Settings, type Flags } from './settings.ts';

const CONNECT_MS = 3_000;
/** A worker that lives answers within milliseconds; one that was just killed is noticed by the server within this. */
export const ANSWER_MS = 4_000;
const GRPC = { deadline: 4, notFound: 5, denied: 7, unavailable: 14, unauthenticated: 16 } as const;
/** `temporal.api.enums.v1.TaskQueueType`. */
const WORKFLOW_TASKS = 1;
/** A long poll lasts a minute. */
const POLL_SECONDS = 75;

export interface Server {
  readonly client: Client;
  readonly connection: Connection;
  readonly address: string;
  readonly namespace: string;
  readonly from: string;
  /** Runs calls that have to be answered by then. */
  within<T>(ms: number, call: () => Promise<T>): Promise<T>;
}

export class Session {
  readonly settings: Settings;
  readonly flags: Flags;
  private opened: Promise<Server> | null = null;
  private record: Promise<Store | null> | null = null;

  constructor(flags: Flags) {
    this.flags = flags;
    this.settings = new Settings(flags);
  }

  /** Throws where it cannot be reached. */
  temporal(): Promise<Server> {
    return (this.opened ??= this.connect());
  }

  /** Null where no database is configured. Connects with the first query. */
  store(): Promise<Store | null> {
    return (this.record ??= this.openStore());
  }

  async requireStore(): Promise<Store> {
    const store = await this.store();
    if (store) return store;
    throw new Problem(
      EXIT.unreachable,
      'postgres-unreachable',
      'no database is configured, and no `backout dev` runs in this folder',
      'give --database-url or DATABASE_URL, or start `backout dev`',
    );
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.opened?.then((server) => server.connection.close()), this.record?.then((store) => store?.close())]);
  }

  private async connect(): Promise<Server> {
    const { options, namespace, from } = await this.settings.temporal();
    const { Client, Connection } = await import('@temporalio/client');
    let connection: Connection;
    try {
      await knock(options.address);
      connection = await Connection.connect({ ...options, connectTimeout: CONNECT_MS });
    } catch (error) {
      const remedy = `${from === 'the default' ? 'start `backout dev`, or give --address or TEMPORAL_ADDRESS' : `see whether it runs, or correct ${from}`}`;
      throw new Problem(
        EXIT.unreachable,
        'temporal-unreachable',
        `Temporal at ${options.address} (from ${from}) cannot be reached: ${reasonOf(error)}`,
        remedy,
        {},
        error,
      );
    }
    const client = new Client({ connection, namespace, identity: `backout-cli@${process.pid}` });
    return { client, connection, address: options.address, namespace, from, within: (ms, call) => connection.withDeadline(Date.now() + ms, call) };
  }

  private async openStore(): Promise<Store | null> {
    const database = await this.settings.database();
    if (!database) return null;
    const { openStore } = await import('../store/postgres.ts');
    try {
      return openStore(database.url, { connections: 2, statementTimeoutMs: 4_000 });
    } catch (cause) {
      throw new Problem(
        EXIT.usage,
        'configuration',
        `${database.from}: ${reasonOf(cause)}`,
        'correct it; an address looks like postgres://user:password@host:5432/database',
        {},
        cause,
      );
    }
  }
}

/** gRPC takes its whole time over a port that nobody listens on; TCP says so at once. */
async function knock(address: string): Promise<void> {
  const [, host, port] = /^(?:\[?([^/\]]+)\]?):(\d+)$/.exec(address) ?? [];
  if (host === undefined) return;
  await new Promise<void>((done, refused) => {
    const socket = connect({ host, port: Number(port), timeout: CONNECT_MS });
    const settled = (): void => {
      socket.destroy();
      done();
    };
    socket.once('connect', settled).once('timeout', settled).once('error', refused);
  });
}

/** Opens a session for one command and closes it whatever happens. */
export async function withSession<T>(command: Command, work: (session: Session) => Promise<T>): Promise<T> {
  const session = new Session(flagsOf(command));
  try {
    return await work(session);
  } finally {
    await session.close();
  }
}

export const isNotFound = (error: unknown): boolean => error instanceof Error && (error.name === 'WorkflowNotFoundError' || grpcCode(error) === GRPC.notFound);

/** What a worker said, or why none did. */
export type Heard<T> = { readonly value: T } | { readonly silence: string };

/** Queries a run. Throws where Temporal is away or the run is unknown. */
export async function query<T>(server: Server, handle: WorkflowHandle, name: string, ms = ANSWER_MS): Promise<Heard<T>> {
  const nobody = isPolled(server).then((polled) => (polled ? null : { silence: 'no worker runs' }));
  try {
    const value = server.within(ms, async () => ({ value: await handle.query<T>(name) }));
    value.catch(() => undefined); // Awaited below, or not needed any more.
    return (await Promise.race([nobody, value])) ?? (await value);
  } catch (error) {
    const code = grpcCode(error);
    if (isNotFound(error) || code === null || code === GRPC.unavailable || code === GRPC.unauthenticated || code === GRPC.denied) throw error;
    return { silence: code === GRPC.deadline ? 'no worker answers' : `the worker cannot answer: ${reasonOf(error)}` };
  }
}

/** A worker polls at least once a minute. One that was killed since is still listed; then the deadline tells. */
export async function isPolled(server: Server): Promise<boolean> {
  const pollers = await pollersOf(server).catch(() => null);
  return pollers === null || pollers.length > 0;
}

export async function pollersOf(server: Server): Promise<{ readonly identity: string; readonly secondsAgo: number }[]> {
  const { pollers } = await server.within(ANSWER_MS, () =>
    server.connection.workflowService.describeTaskQueue({ namespace: server.namespace, taskQueue: { name: TASK_QUEUE }, taskQueueType: WORKFLOW_TASKS }),
  );
  const seen = (pollers ?? []).map((one) => ({ identity: one.identity ?? '', secondsAgo: Date.now() / 1000 - Number(one.lastAccessTime?.seconds ?? 0) }));
  return seen.filter((one) => one.secondsAgo < POLL_SECONDS);
}
