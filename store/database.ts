/** The connections: a pool whose errors are translated once, here. */
import { Pool, type PoolClient, type QueryResultRow } from 'pg';
import { column } from './digest.ts';
import { isAway, placeOf, unavailable } from './unavailable.ts';

export type Value = string | number | boolean | null | readonly string[] | readonly number[];

/** One connection, or one transaction on it. */
export interface Queries {
  query<Row extends QueryResultRow>(text: string, values?: readonly Value[]): Promise<Row[]>;
}

export interface Database extends Queries {
  transaction<Result>(work: (queries: Queries) => Promise<Result>): Promise<Result>;
  /** All that is read in it is of one moment. */
  snapshot<Result>(work: (queries: Queries) => Promise<Result>): Promise<Result>;
  close(): Promise<void>;
}

export interface StoreOptions {
  /** How long to wait for a connection, the queue for a free one included. */
  readonly connectTimeoutMs?: number;
  readonly statementTimeoutMs?: number;
  readonly connections?: number;
}

const CONNECT_TIMEOUT_MS = 2_000;
const STATEMENT_TIMEOUT_MS = 10_000;
/** Beyond the server's own timeout: for a server that is gone without a word. */
const SILENCE_MS = 2_000;
/** A writer that freezes in the middle holds the record's lock; after this the server ends its transaction. */
const FROZEN_WRITER_MS = 15_000;

const storable = (value: Value): Value => {
  if (typeof value === 'string') return column(value);
  return Array.isArray(value) ? value.map((one: string | number) => (typeof one === 'string' ? column(one) : String(one))) : value;
};

const queriesOn = (client: PoolClient): Queries => ({
  async query<Row extends QueryResultRow>(text: string, values: readonly Value[] = []): Promise<Row[]> {
    const result = await client.query<Row>(text, values.map(storable));
    return result.rows;
  },
});

/** Opens nothing yet: the first query connects. */
export function connect(url: string, options: StoreOptions = {}): Database {
  const place = placeOf(url);
  const statementTimeoutMs = options.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS;
  const pool = new Pool({
    connectionString: url,
    application_name: 'backout',
    max: options.connections ?? 10,
    connectionTimeoutMillis: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    statement_timeout: statementTimeoutMs,
    query_timeout: statementTimeoutMs + SILENCE_MS,
    idle_in_transaction_session_timeout: FROZEN_WRITER_MS,
    keepAlive: true,
  });
  // An idle connection that breaks is replaced by the pool; without listeners it would end the process.
  const ignore = (): undefined => undefined;
  pool.on('error', ignore);
  pool.on('connect', (client) => client.on('error', ignore));

  async function take(): Promise<PoolClient> {
    if (pool.ending) throw new Error('the store is closed');
    try {
      return await pool.connect();
    } catch (error) {
      throw unavailable(place, error);
    }
  }

  async function use<Result>(work: (queries: Queries) => Promise<Result>, undo: (queries: Queries) => Promise<unknown>): Promise<Result> {
    const client = await take();
    const queries = queriesOn(client);
    let isBroken = false;
    try {
      return await work(queries);
    } catch (error) {
      isBroken =
        isAway(error) ||
        !(await undo(queries).then(
          () => true,
          () => false,
        ));
      throw isAway(error) ? unavailable(place, error) : error;
    } finally {
      client.release(isBroken);
    }
  }

  const within = <Result>(begin: string, work: (queries: Queries) => Promise<Result>): Promise<Result> =>
    use(
      async (queries) => {
        await queries.query(begin);
        const result = await work(queries);
        await queries.query('COMMIT');
        return result;
      },
      (queries) => queries.query('ROLLBACK'),
    );

  return {
    query: (text, values) =>
      use(
        (queries) => queries.query(text, values),
        async () => undefined,
      ),
    transaction: (work) => within('BEGIN', work),
    snapshot: (work) => within('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY', work),
    close: async () => {
      if (!pool.ending) await pool.end();
    },
  };
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** For looking something up under an id that a person typed: what is no UUID names nothing, and is no error. */
export const uuidOrNull = (text: string | null): string | null => (text !== null && UUID.test(text) ? text : null);

/** The ISO time of a `timestamptz`. */
export const iso = (time: Date | null): string | null => time?.toISOString() ?? null;
