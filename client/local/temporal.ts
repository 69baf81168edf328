/** Starts a Temporal development server, tuned and kept on disk as `performance.md` measured it. */
import type { Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort, portTaken, requireFree, waitForPort, type WantedPort } from './ports.ts';
import { LocalProblem, textOf } from './problem.ts';
import { diesWithUs, logTail, sizeOf, startChild, type Child, type Exit } from './processes.ts';
import { registerSearchAttributes, SEARCH_ATTRIBUTES } from './search-attributes.ts';

/** Never another: whoever reaches a development server may do anything on it. */
const HOST = '127.0.0.1';
const NAMESPACE = 'default';
const READY_WITHIN_MS = 60_000;
const STOP_GRACE_MS = 10_000;
/** 90 days: closed histories outlive an incident's review even where the sweep has not exported them. */
const RETENTION_HOURS = 2160;
/** The defaults poll 20 tasks a second on the one shard and fire timers a second late. */
const DYNAMIC_CONFIG = [
  'history.transferProcessorMaxPollRPS=1000',
  'history.timerProcessorMaxPollRPS=1000',
  'history.timerProcessorMaxTimeShift="10ms"',
  'system.enableActivityEagerExecution=true',
];

export interface TemporalOptions {
  /** The binary, from `findTemporal`. */
  readonly path: string;
  /** Holds `temporal.db` and `temporal.log`. */
  readonly folder: string;
  /** 0: any free port. */
  readonly port: number;
  readonly uiPort: number;
  /** Without the UI. */
  readonly headless?: boolean;
  /** Keeps nothing; for tests. */
  readonly memory?: boolean;
  /** Further dynamic configuration of the server; for tests. */
  readonly dynamicConfig?: Readonly<Record<string, number>>;
}

export interface LocalTemporal {
  readonly address: string;
  readonly namespace: string;
  readonly uiUrl: string | null;
  readonly pid: number;
  readonly exited: Promise<Exit>;
  stop(): Promise<void>;
}

export async function startTemporal(options: TemporalOptions): Promise<LocalTemporal> {
  const ports = await choosePorts(options);
  await mkdir(options.folder, { recursive: true, mode: 0o700 });
  const logPath = join(options.folder, 'temporal.log');
  const offset = sizeOf(logPath);
  const [command = options.path, ...args] = [...(await diesWithUs('TERM')), options.path, ...serverArguments(options, ports)];
  const child = await startChild({ command, args, logPath, env: withoutTemporal(process.env), lastSignal: 'SIGTERM' });
  const address = `${HOST}:${ports.server.port}`;
  const uiUrl = ports.ui === null ? null : `http://${HOST}:${ports.ui.port}`;
  try {
    await untilReady(child, address, ports);
  } catch (error) {
    await child.stop('SIGKILL', 0);
    const said = logTail(logPath, offset);
    const taken = wantedPorts(ports).filter(({ port }) => said.includes(`:${port}: bind:`));
    if (taken.length > 0) throw await portTaken(taken);
    throw new LocalProblem(
      'temporal-failed',
      `The Temporal server did not start: ${textOf(error)}.${said === '' ? '' : `\n${said}`}`,
      `Its log is ${logPath}.`,
      error,
    );
  }
  // In order it takes a second, which a server that keeps nothing can save.
  const stop = async (): Promise<void> => {
    await child.stop(options.memory === true ? 'SIGKILL' : 'SIGTERM', STOP_GRACE_MS);
  };
  return { address, namespace: NAMESPACE, uiUrl, pid: child.pid, exited: child.exited, stop };
}

interface Ports {
  readonly server: WantedPort;
  readonly ui: WantedPort | null;
}

async function choosePorts({ port, uiPort, headless }: TemporalOptions): Promise<Ports> {
  const chosen = { what: 'Temporal', option: '--temporal-port', port: port === 0 ? await freePort() : port } as const;
  const ui = headless === true ? null : ({ what: 'Temporal UI', option: '--ui-port', port: uiPort === 0 ? await freePort() : uiPort } as const);
  const ports = { server: chosen, ui };
  await requireFree(wantedPorts(ports));
  return ports;
}

function wantedPorts({ server, ui }: Ports): WantedPort[] {
  return ui === null ? [server] : [server, ui];
}

function serverArguments({ folder, memory, dynamicConfig = {} }: TemporalOptions, { server, ui }: Ports): string[] {
  // WAL: 2 fsyncs a rollback instead of 213; survives the death of any process (a power cut may cost the last commits).
  const disk = ['--db-filename', join(folder, 'temporal.db'), '--sqlite-pragma', 'journal_mode=WAL', '--sqlite-pragma', 'synchronous=NORMAL'];
  return [
    'server',
    'start-dev',
    '--ip',
    HOST,
    '--port',
    String(server.port),
    ...(ui === null ? ['--headless'] : ['--ui-port', String(ui.port)]),
    ...(memory === true ? [] : disk),
    '--log-level',
    'error',
    ...[...DYNAMIC_CONFIG, ...Object.entries(dynamicConfig).map(([name, value]) => `${name}=${value}`)].flatMap((value) => ['--dynamic-config-value', value]),
    ...Object.entries(SEARCH_ATTRIBUTES).flatMap(([name, type]) => ['--search-attribute', `${name}=${type}`]),
  ];
}

/** A user's profile or TLS settings are for another server. */
function withoutTemporal(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('TEMPORAL_')));
}

async function untilReady(child: Child, address: string, { server, ui }: Ports): Promise<void> {
  const until = Date.now() + READY_WITHIN_MS;
  const isOver = (): boolean => child.hasExited() || Date.now() > until;
  // The import takes as long as the server: both at once.
  const [{ Connection: Client }, isUp] = await Promise.all([import('@temporalio/client'), waitForPort(server.port, isOver)]);
  if (!isUp) throw await whyNotUp(child);
  const connection = await Client.connect({ address, connectTimeout: '10s' });
  try {
    await retrying(isOver, async () => {
      await keepHistories(connection);
    });
    await registerSearchAttributes(connection, NAMESPACE);
  } finally {
    await connection.close();
  }
  if ((ui !== null && !(await waitForPort(ui.port, isOver))) || child.hasExited()) throw await whyNotUp(child);
}

async function whyNotUp(child: Child): Promise<Error> {
  if (!child.hasExited()) return new Error(`it did not answer within ${READY_WITHIN_MS / 1000} s`);
  const { code, signal } = await child.exited;
  return new Error(`it ended with ${signal ?? `code ${code}`}`);
}

async function keepHistories({ workflowService }: Connection): Promise<void> {
  const { config } = await workflowService.describeNamespace({ namespace: NAMESPACE });
  const wanted = msToTs(`${RETENTION_HOURS} hours`);
  if (Number(config?.workflowExecutionRetentionTtl?.seconds ?? 0) >= Number(wanted.seconds)) return;
  await workflowService.updateNamespace({ namespace: NAMESPACE, config: { workflowExecutionRetentionTtl: wanted } });
}

/** The namespace is there a moment after the port. */
async function retrying(isOver: () => boolean, attempt: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      await attempt();
      return;
    } catch (error) {
      if (isOver()) throw error;
      await sleep(50);
    }
  }
}
