/** One call to a customer's Postgres: a connection of its own, and its errors in the words of the port, without a secret and without a row's content. */
import { Client, DatabaseError, escapeIdentifier } from 'pg';
import { isAway, placeOf } from '../../store/unavailable.ts';
import { AdapterError, type AdapterErrorKind } from '../adapters/adapter.ts';
import type { DatabaseCall } from './database.ts';
import type { PostgresOptions } from './postgres-options.ts';

export type Call = DatabaseCall<PostgresOptions>;
/** What a session needs of a call, a database's or another one's. */
export type SessionCall = Pick<Call, 'operationId' | 'signal' | 'secret' | 'heartbeat'> & {
  readonly options: Pick<PostgresOptions, 'lockTimeoutSeconds' | 'statementTimeoutSeconds'>;
};
/** A reference (`env:NAME`, `file:PATH`), or an address itself with the words that are said instead of it. */
export type Address = string | { readonly url: string; readonly as: string };

export interface SessionSettings {
  /** Instead of those of the options; 0: none. */
  readonly lockTimeoutSeconds?: number;
  readonly statementTimeoutSeconds?: number;
  /** What the heartbeat says; it beats twice a second by itself. */
  readonly doing?: () => string;
  /** For a second connection that only watches: the heart is beating elsewhere. */
  readonly quiet?: boolean;
}

const CONNECT_TIMEOUT_MS = 5_000;
const HEARTBEAT_MS = 500;
const GRACE_MS = 15_000;

/**
 * A connection for `work` alone, ended in every case. Answers at once when aborted: the connection is cut, and the server undoes what was under way unless
 * it was just about to commit it. Row security is off: what it would hide from this role is an error, never a smaller count. Wants a connection that is not
 * shared by a pooler in transaction mode.
 */
export async function withSession<T>(call: SessionCall, address: Address, work: (client: Client) => Promise<T>, settings: SessionSettings = {}): Promise<T> {
  const { signal } = call;
  if (signal.aborted) throw stopped();
  const name = typeof address === 'string' ? address : address.as;
  let [stop, secrets]: [() => void, readonly string[]] = [() => undefined, []];
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = () => {
      reject(stopped());
    };
    signal.addEventListener('abort', stop, { once: true });
  });
  const { doing = () => `asking the database of ${name}` } = settings;
  const beat = settings.quiet
    ? undefined
    : setInterval(() => {
        call.heartbeat(doing());
      }, HEARTBEAT_MS);
  const working = (async () => {
    const url = typeof address === 'string' ? await call.secret(address) : address.url;
    secrets = secretsOf(url, name);
    signal.throwIfAborted();
    return connected(call, url, work, settings);
  })();
  try {
    return await Promise.race([working, aborted]);
  } catch (error) {
    throw signal.aborted ? stopped() : translated(error, name, secrets);
  } finally {
    clearInterval(beat);
    signal.removeEventListener('abort', stop);
    working.catch(() => undefined); // Where nobody waits for it any more.
  }
}

async function connected<T>(call: SessionCall, url: string, work: (client: Client) => Promise<T>, settings: SessionSettings): Promise<T> {
  const { lockTimeoutSeconds = call.options.lockTimeoutSeconds, statementTimeoutSeconds = call.options.statementTimeoutSeconds } = settings;
  const application = applicationOf(call);
  const client = new Client({
    connectionString: url,
    application_name: application,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    // Where the server has vanished and will never say that the time is over.
    ...(statementTimeoutSeconds > 0 ? { query_timeout: milliseconds(statementTimeoutSeconds) + GRACE_MS } : {}),
  });
  client.on('error', () => undefined); // Told by the query under way, or the next one.
  const cut = (): void => {
    void client.end().catch(() => undefined);
  };
  call.signal.addEventListener('abort', cut, { once: true });
  try {
    await client.connect();
    // Here rather than when connecting, where the address could say otherwise and poolers refuse. The last one: a server whose client is gone stops working for it.
    await client.query(
      `SELECT set_config('application_name', $1, false), set_config('lock_timeout', $2, false), set_config('statement_timeout', $3, false),
         set_config('row_security', 'off', false), set_config('standard_conforming_strings', 'on', false), (SELECT set_config(name, '1s', false) FROM pg_catalog.pg_settings
           WHERE name = 'client_connection_check_interval' AND version() !~* 'windows|visual|mingw')`,
      [application, `${milliseconds(lockTimeoutSeconds)}ms`, `${milliseconds(statementTimeoutSeconds)}ms`],
    );
    return await work(client);
  } finally {
    call.signal.removeEventListener('abort', cut);
    await client.end();
  }
}

const milliseconds = (seconds: number): number => (seconds > 0 ? Math.max(1, Math.round(seconds * 1_000)) : 0);

/** 63 bytes at most, as Postgres keeps it. */
export const applicationOf = ({ operationId }: Pick<SessionCall, 'operationId'>): string =>
  `backout ${operationId.replaceAll(/[^\x20-\x7e]/g, '?')}`.slice(0, 63);

export const stopped = (): AdapterError => new AdapterError('unavailable', 'stopped as asked; what was not finished is found by the next attempt');

/** Reads the address, whose own error would repeat it. */
function secretsOf(url: string, name: string): readonly string[] {
  try {
    return placeOf(url).secrets;
  } catch {
    throw new AdapterError('configuration', `${name} is not an address such as postgres://user@host:5432/database`);
  }
}

/** `TABLE` or `SCHEMA.TABLE`, as the options have it, for a statement. */
export const quotedTable = (name: string): string => name.split('.').map(escapeIdentifier).join('.');

/** What Postgres answered; empty where it did not answer. */
export const sqlState = (error: unknown): string => (error instanceof DatabaseError ? (error.code ?? '') : '');
/** The connection is gone, and with it the answer. */
export const isLost = (error: unknown): boolean => /^(?:08|57P)/.test(sqlState(error)) || (!(error instanceof DatabaseError) && isAway(error));

const KINDS: readonly (readonly [RegExp, AdapterErrorKind])[] = [
  [/^53100$/, 'failed'],
  // Connection, resources, shutdown; lost against another transaction; a standby after a failover.
  [/^(?:08...|53...|57P..|40001|40P01|25006)$/, 'unavailable'],
  [/^(?:28...|42501)$/, 'unauthorized'],
  [/^(?:3D000|42P01|42703|3F000)$/, 'configuration'],
  [/^55P03$/, 'conflict'],
];

/** Classes whose messages are Postgres's own and name objects only: those of others quote values, and a syntax error quotes the statement. */
const SPEAKING = /^(?:08|0A|23|25|28|2B|3D|3F|40|42|53|54|55|57|58)(?!601$)/;

/** Why, in Postgres's words where they can hold neither a value nor what a customer's own function says. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join('; ');
  if (!(error instanceof DatabaseError)) return error instanceof Error ? error.message : 'no error';
  const { code = '', file = '', table, column, constraint } = error;
  if (SPEAKING.test(code) && file !== 'pl_exec.c') return error.message;
  const about = Object.entries({ table, column, constraint }).flatMap(([what, name]) => (name === undefined ? [] : [`${what} ${name}`]));
  return `Postgres says ${code}${about.length === 0 ? '' : ` of ${about.join(', ')}`}; its words could hold data, and stay in its log`;
}

/** The database's error is no cause of it: its details hold rows. */
function translated(error: unknown, name: string, secrets: readonly string[]): AdapterError {
  if (error instanceof AdapterError) return error;
  const kind = KINDS.find(([pattern]) => pattern.test(sqlState(error)))?.[1] ?? (isLost(error) ? 'unavailable' : 'failed');
  const reason = secrets.reduce((text, secret) => text.replaceAll(secret, '***'), reasonOf(error));
  return new AdapterError(kind, `the database of ${name}: ${reason}`);
}
