/** One call to the provisioning store on Postgres: its connection, and its errors in the words of the port. */
import { connect, type Database } from '../../store/database.ts';
import { StoreUnavailable } from '../../store/store.ts';
import { AdapterError, type AdapterErrorKind } from '../adapters/adapter.ts';
import type { ProvisioningCall } from './provisioning.ts';

export interface PostgresOptions {
  /** `env:NAME` or `file:PATH`. */
  readonly url: string;
}

const STATEMENT_TIMEOUT_MS = 8_000;

/**
 * A connection for this call alone: calls are minutes and days apart. Answers at once when aborted; what is under way then is undone, unless the
 * database was just about to commit it, which the next attempt finds under its operation id.
 */
export async function withDatabase<T>(call: ProvisioningCall<PostgresOptions>, work: (database: Database) => Promise<T>): Promise<T> {
  const { signal, options } = call;
  if (signal.aborted) throw stopped();
  let stop = (): void => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = () => {
      reject(stopped());
    };
    signal.addEventListener('abort', stop, { once: true });
  });
  const working = (async () => {
    const database = open(await call.secret(options.url), options.url);
    try {
      return await work(database);
    } finally {
      await database.close();
    }
  })();
  try {
    return await Promise.race([working, aborted]);
  } catch (error) {
    throw translated(error, options.url);
  } finally {
    signal.removeEventListener('abort', stop);
    working.catch(() => undefined); // Where nobody waits for it any more.
  }
}

export const stopped = (): AdapterError => new AdapterError('unavailable', 'stopped as asked; what was not finished is found by the next attempt');

function open(url: string, reference: string): Database {
  try {
    return connect(url, { connections: 1, statementTimeoutMs: STATEMENT_TIMEOUT_MS });
  } catch (cause) {
    throw new AdapterError('configuration', `${reference}: ${messageOf(cause)}`, { cause });
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '');

/** Whether the triggers and constraints of 0005_provisioning.sql spoke, or Postgres itself. */
const KINDS: readonly (readonly [RegExp, AdapterErrorKind])[] = [
  [/^23001$/, 'protected'],
  [/^(?:55000|23...)$/, 'conflict'],
  [/^(?:42501|28...)$/, 'unauthorized'],
  [/^(?:42P01|3F000|3D000|42883|42703)$/, 'configuration'],
];
/** No table, no schema. */
const MISSING = /^(?:42P01|3F000)$/;

/** The database's own message: it says what is allowed instead, and holds no password. */
function translated(error: unknown, reference: string): AdapterError {
  if (error instanceof AdapterError) return error;
  const cause = error instanceof StoreUnavailable ? error.cause : error;
  const code = codeOf(cause);
  if (MISSING.test(code)) {
    const remedy = `a worker makes it in its own database when it starts, \`backout tenant record --database-url\` in any other`;
    return new AdapterError('configuration', `the database of ${reference} has no provisioning store (${messageOf(error)}): ${remedy}`, { cause: error });
  }
  const kind = KINDS.find(([pattern]) => pattern.test(code))?.[1];
  if (kind !== undefined) return new AdapterError(kind, messageOf(error), { cause: error });
  return new AdapterError(error instanceof StoreUnavailable ? 'unavailable' : 'unexpected-response', messageOf(error), { cause: error });
}
