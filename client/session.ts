/** What a command talks to, opened when it is needed and closed with it. */
import type { Client, Connection } from '@temporalio/client';
import type { Command } from 'commander';
import type { Store } from '../store/store.ts';
import type { Engine } from './engine.ts';
import { CallError, EXIT, GRPC, isNotFound, Problem, reasonOf } from './problem.ts';
import { flagsOf, Settings, type Flags } from './settings.ts';

export class Session {
  readonly settings: Settings;
  readonly flags: Flags;
  private running: Promise<Engine> | null = null;
  private record: Promise<Store | null> | null = null;

  constructor(flags: Flags) {
    this.flags = flags;
    this.settings = new Settings(flags);
  }

  /** Connects with the first call, which throws where Temporal is away. */
  engine(): Promise<Engine> {
    return (this.running ??= this.openEngine());
  }

  /** The SDK's client itself, for work on histories. Throws at once where Temporal is away. */
  async temporal(): Promise<{ readonly client: Client; readonly connection: Connection }> {
    const engine = await this.engine();
    await engine.pollers();
    return engine;
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
    await Promise.allSettled([this.running?.then((engine) => engine.close()), this.record?.then((store) => store?.close())]);
  }

  private async openEngine(): Promise<Engine> {
    const [settings, { Engine }] = await Promise.all([this.settings.temporal(), import('./engine.ts')]);
    return new Engine(settings);
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

/** Opens a session for one command and closes it whatever happens. */
export async function withSession<T>(command: Command, work: (session: Session) => Promise<T>): Promise<T> {
  const session = new Session(flagsOf(command));
  try {
    return await work(session);
  } finally {
    await session.close();
  }
}

/** What a worker said, or why none did. */
export type Heard<T> = { readonly value: T } | { readonly silence: string };

/** Queries a run. Throws where Temporal is away or the run is unknown. */
export async function query<T>(engine: Engine, id: string, runId: string | undefined, name: string, ms?: number): Promise<Heard<T>> {
  const value = engine.query<T>(id, runId, name, ms).then((one): Heard<T> => ({ value: one }), silenceOf);
  value.catch(() => undefined); // Where nobody listens it is not awaited any more.
  const nobody = isPolled(engine).then((polled): Heard<T> | null => (polled ? null : { silence: NO_WORKER }));
  return (await Promise.race([value, nobody])) ?? value;
}

export const NO_WORKER = 'no worker runs';

function silenceOf(error: unknown): { readonly silence: string } {
  if (!(error instanceof CallError) || isNotFound(error)) throw error;
  // Without a worker, questions pile up at the server until it takes no more.
  const isUnheard = error.code === GRPC.deadline || error.message.includes('query buffer is full');
  return { silence: isUnheard ? 'no worker answers' : `the worker cannot answer: ${error.message}` };
}

/** Where the server cannot say, a worker is taken to be there: then the deadline tells. */
export const isPolled = (engine: Engine): Promise<boolean> =>
  engine.pollers().then(
    (pollers) => pollers.length > 0,
    () => true,
  );
