/** Temporal and Postgres for this machine, whichever are not configured to be elsewhere: for `backout dev`, the demo and the tests. */
import type { Connection } from '@temporalio/client';
import { findTemporal } from './find-temporal.ts';
import { claimFolder } from './folder.ts';
import { freePort, requireFree, type WantedPort } from './ports.ts';
import { startPostgres } from './postgres.ts';
import { LocalProblem, textOf, type Progress } from './problem.ts';
import type { Exit } from './processes.ts';
import { registerSearchAttributes } from './search-attributes.ts';
import { startTemporal } from './temporal.ts';

export const DEFAULT_PORTS = { temporalPort: 7233, uiPort: 8233, postgresPort: 5434 } as const;
const CONNECT_MS = 5_000;

export interface ServicesOptions {
  /** From `stateFolder`. */
  readonly folder: string;
  readonly progress: Progress;
  /** 0 is any free port. */
  readonly temporalPort?: number;
  readonly uiPort?: number;
  readonly postgresPort?: number;
  /** Keeps no histories and forces nothing to disk; for tests. */
  readonly memory?: boolean;
  readonly headless?: boolean;
  /** Of the Temporal server, beside its own; for tests. */
  readonly dynamicConfig?: Readonly<Record<string, number>>;
  /** Gives up a start under way, with everything it has begun. */
  readonly signal?: AbortSignal;
}

export interface LocalServices {
  readonly temporalAddress: string;
  readonly namespace: string;
  /** Null for a server that is not ours, or without its UI. */
  readonly uiUrl: string | null;
  readonly databaseUrl: string;
  /** Of what we started. */
  readonly pids: { readonly temporal?: number; readonly postgres?: number };
  /** Resolves when something we started ends, asked to or not; never where everything is elsewhere. */
  readonly exited: Promise<{ readonly what: 'Temporal' | 'Postgres'; readonly exit: Exit }>;
  /** Stops what we started and nothing else. Twice is once. */
  stop(): Promise<void>;
}

export async function startServices(options: ServicesOptions): Promise<LocalServices> {
  const claim = await claimFolder(options.folder);
  const started: (() => Promise<void>)[] = [];
  let stopping: Promise<void> | null = null;
  const stop = (): Promise<void> =>
    (stopping ??= (async () => {
      await Promise.all(started.map((stopOne) => stopOne()));
      await claim.release();
    })());
  try {
    const [temporal, postgres] = await startBoth(options, started);
    const published = { temporalAddress: temporal.address, namespace: temporal.namespace, uiUrl: temporal.uiUrl, databaseUrl: postgres.url };
    const pids = { ...(temporal.pid === undefined ? {} : { temporal: temporal.pid }), ...(postgres.pid === undefined ? {} : { postgres: postgres.pid }) };
    await claim.publish(published, pids);
    const exits = [
      temporal.exited?.then((exit) => ({ what: 'Temporal', exit }) as const),
      postgres.exited?.then((exit) => ({ what: 'Postgres', exit }) as const),
    ];
    return { ...published, pids, exited: Promise.race(exits.filter((exit) => exit !== undefined)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface ATemporal {
  readonly address: string;
  readonly namespace: string;
  readonly uiUrl: string | null;
  readonly pid?: number;
  readonly exited?: Promise<Exit>;
}
interface APostgres {
  readonly url: string;
  readonly pid?: number;
  readonly exited?: Promise<Exit>;
}

/** At once; where one fails, the other is not waited for (it may be building for minutes) but given up. */
async function startBoth(options: ServicesOptions, started: (() => Promise<void>)[]): Promise<[ATemporal, APostgres]> {
  const failed = new AbortController();
  const signal = options.signal === undefined ? failed.signal : AbortSignal.any([options.signal, failed.signal]);
  const ports = await choosePorts(options);
  const giveUp = async <T>(start: Promise<T>): Promise<T> => {
    try {
      return await start;
    } catch (error) {
      failed.abort(error);
      throw error;
    }
  };
  const [temporal, postgres] = await Promise.allSettled([
    giveUp(provideTemporal(options, ports, signal, started)),
    giveUp(providePostgres(options, ports, started)),
  ]);
  if (options.signal?.aborted === true) throw new LocalProblem('stopped', 'Stopped while starting.', 'Start again when you like; nothing is left running.');
  if (temporal.status === 'fulfilled' && postgres.status === 'fulfilled') return [temporal.value, postgres.value];
  const first: unknown = failed.signal.reason;
  throw first instanceof Error ? first : new Error(textOf(first));
}

async function provideTemporal(
  { folder, progress, memory, headless, dynamicConfig }: ServicesOptions,
  ports: Ports,
  signal: AbortSignal,
  started: (() => Promise<void>)[],
): Promise<ATemporal> {
  if (isTemporalElsewhere()) return connectTemporal(progress);
  const { path } = await findTemporal({ progress, signal });
  signal.throwIfAborted();
  const temporal = await startTemporal({
    path,
    folder,
    port: ports.temporalPort,
    uiPort: ports.uiPort,
    ...(memory === undefined ? {} : { memory }),
    ...(headless === undefined ? {} : { headless }),
    ...(dynamicConfig === undefined ? {} : { dynamicConfig }),
  });
  started.push(() => temporal.stop());
  return temporal;
}

async function providePostgres({ folder, memory }: ServicesOptions, { postgresPort }: Ports, started: (() => Promise<void>)[]): Promise<APostgres> {
  const elsewhere = databaseElsewhere();
  if (elsewhere !== null) return { url: await checkDatabase(elsewhere) };
  const postgres = await startPostgres({ folder, port: postgresPort, fast: memory === true });
  started.push(() => postgres.stop());
  return postgres;
}

interface Ports {
  readonly temporalPort: number;
  readonly uiPort: number;
  readonly postgresPort: number;
}

/** All of them looked at before anything starts, so that one error names every port that is taken. */
async function choosePorts(options: ServicesOptions): Promise<Ports> {
  const choose = async (port: number): Promise<number> => (port === 0 ? freePort() : port);
  const temporalPort = await choose(options.temporalPort ?? DEFAULT_PORTS.temporalPort);
  const uiPort = await choose(options.uiPort ?? DEFAULT_PORTS.uiPort);
  const postgresPort = await choose(options.postgresPort ?? DEFAULT_PORTS.postgresPort);
  const wanted: WantedPort[] = [];
  if (!isTemporalElsewhere()) wanted.push({ what: 'Temporal', option: '--temporal-port', port: temporalPort });
  if (!isTemporalElsewhere() && options.headless !== true) wanted.push({ what: 'Temporal UI', option: '--ui-port', port: uiPort });
  if (databaseElsewhere() === null) wanted.push({ what: 'Postgres', option: '--postgres-port', port: postgresPort });
  await requireFree(wanted);
  return { temporalPort, uiPort, postgresPort };
}

/** Asked for in the environment of this command. A profile file alone does not count: it may name production. */
function isTemporalElsewhere(): boolean {
  return isSet('TEMPORAL_ADDRESS') || isSet('TEMPORAL_PROFILE');
}

function databaseElsewhere(): string | null {
  return isSet('DATABASE_URL') ? (process.env['DATABASE_URL'] ?? null) : null;
}

function isSet(name: string): boolean {
  return (process.env[name] ?? '') !== '';
}

/** A server that is not ours: TLS, API key and namespace by the ecosystem's own environment configuration. */
async function connectTemporal(progress: Progress): Promise<ATemporal> {
  const [{ Connection: Client }, { loadClientConnectConfig }] = await Promise.all([import('@temporalio/client'), import('@temporalio/envconfig')]);
  const { connectionOptions, namespace = 'default' } = loadClientConnectConfig();
  const address = connectionOptions.address ?? '127.0.0.1:7233';
  let connection: Connection;
  try {
    connection = await Client.connect({ ...connectionOptions, connectTimeout: CONNECT_MS });
  } catch (error) {
    throw new LocalProblem(
      'temporal-unreachable',
      `Temporal at ${address} cannot be reached: ${textOf(error)}.`,
      'Start that server or correct TEMPORAL_ADDRESS; unset it to have a server started here.',
      error,
    );
  }
  try {
    const added = await registerSearchAttributes(connection, namespace);
    if (added.length > 0) progress(`added the search attributes ${added.join(', ')} to ${namespace} at ${address}`);
  } catch (error) {
    // Hosted servers keep the right to themselves, and their attributes may well be there.
    if (!(error instanceof LocalProblem)) throw error;
    progress(`${error.message} ${error.remedy}`);
  } finally {
    await connection.close();
  }
  return { address, namespace, uiUrl: null };
}

async function checkDatabase(url: string): Promise<string> {
  const { Client } = await import('pg');
  try {
    const client = new Client({ connectionString: url, connectionTimeoutMillis: CONNECT_MS });
    client.on('error', () => undefined);
    await client.connect();
    await client.end();
    return url;
  } catch (error) {
    throw new LocalProblem(
      'database-unreachable',
      `The database of DATABASE_URL (${withoutPassword(url)}) cannot be reached: ${textOf(error)}.`,
      'Start it or correct DATABASE_URL; unset it to have a Postgres started here.',
      error,
    );
  }
}

function withoutPassword(url: string): string {
  if (!URL.canParse(url)) return 'not a URL';
  const { protocol, username, host, pathname } = new URL(url);
  return `${protocol}//${username === '' ? '' : `${username}@`}${host}${pathname}`;
}
