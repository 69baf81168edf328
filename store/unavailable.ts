/** Which errors mean that the database is away, and not that we asked something wrong. */
import { StoreUnavailable } from './store.ts';

/**
 * Classes 08 connection, 28 login, 53 resources (disk full, too many connections), 57P shutdown, 58 the system below;
 * 57014 statement timeout, 25006 read-only (a standby after a failover), 40xxx and 55P03 lost against other
 * transactions, 3D000 no such database.
 */
const AWAY_SQLSTATE = /^(?:(?:08|28|53|58)...|57P..|57014|25006|40001|40P01|55P03|3D000)$/;

const AWAY_SYSTEM = new Set(['ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT', 'EPIPE', 'EHOSTUNREACH', 'ENETUNREACH']);

/** What pg 8.23 says without a code. */
const AWAY_MESSAGE =
  /^(?:Connection terminated|timeout expired|timeout exceeded|Query read timeout|Client has encountered a connection error|Client was closed)/;

const codeOf = (error: Error): string => ('code' in error && typeof error.code === 'string' ? error.code : '');

export const isAway = (error: unknown): boolean =>
  error instanceof Error && (AWAY_SYSTEM.has(codeOf(error)) || AWAY_SQLSTATE.test(codeOf(error)) || AWAY_MESSAGE.test(error.message));

/** Where the database is, without who enters it. */
interface Place {
  readonly name: string;
  readonly secrets: readonly string[];
}

/** Reads a connection string; a broken one is reported without being repeated, since it holds a password. */
export function placeOf(url: string): Place {
  const parsed = URL.parse(url);
  if (parsed === null || !/^postgres(?:ql)?:$/.test(parsed.protocol)) {
    throw new Error('the database address is not a URL such as postgres://user@host:5432/database');
  }
  const { hostname, port, pathname, password, searchParams } = parsed;
  const host = hostname === '' ? (searchParams.get('host') ?? 'localhost') : hostname;
  const secrets = [password, decoded(password), searchParams.get('password') ?? ''].filter((secret) => secret !== '');
  return { name: `${host}:${port === '' ? '5432' : port}${pathname}`, secrets };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // Not encoded, then: as it is.
  }
}

/** `localhost` is tried on every address, and the reasons come together. */
const reasonOf = (error: unknown): string => {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join('; ');
  return error instanceof Error ? error.message : String(error);
};

export function unavailable(place: Place, cause: unknown): StoreUnavailable {
  const reason = place.secrets.reduce((text, secret) => text.replaceAll(secret, '***'), reasonOf(cause));
  return new StoreUnavailable(`Postgres at ${place.name} cannot be used: ${reason}`, { cause });
}
