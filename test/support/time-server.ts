/**
 * A Temporal server in which a day passes in a moment: Temporal's own test server, which is Java. Its jars are fetched once, by Maven, into
 * `$XDG_CACHE_HOME/backout/time-server-VERSION` (33 MB). Without Java or Maven there is none, and whoever wanted it says so.
 *
 * It carries workflows, activities, timers, signals, updates and queries; it lists nothing (`ListWorkflowExecutions` is not implemented).
 */
import { cacheFolder } from '../../client/local/find-temporal.ts';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { InternalConnectionOptionsSymbol, type InternalConnectionOptions } from '@temporalio/client/lib/connection.js';
import { msToTs } from '@temporalio/common/lib/time.js';
import proto from '@temporalio/proto';
import { freePort, waitForPort } from '../../client/local/ports.ts';
import { answers, diesWithUs, logTail, startChild } from '../../client/local/processes.ts';
import { SEARCH_ATTRIBUTES } from '../../client/local/search-attributes.ts';

const POM = join(import.meta.dirname, 'time-server.pom.xml');
const MAIN = 'io.temporal.testserver.TestServer';
const MAVEN = 'mvn';
const FETCH_MAX_MS = 5 * 60_000;
const READY_WITHIN_MS = 30_000;
const HOW = 'install a Java runtime and Maven (Debian: apt-get install default-jre-headless maven)';

export type Jars = { readonly folder: string } | { readonly impossible: string };

export interface TimeServer {
  readonly address: string;
  readonly client: Client;
  /** Lets this much time pass in all of the server, with what is due in it; real time goes on as before and after. */
  pass(ms: number): Promise<void>;
  /** The server's own time. */
  now(): Promise<Date>;
  stop(): Promise<void>;
}

/** The jars, or why they cannot be had here. */
export async function timeServerJars(progress: (line: string) => void): Promise<Jars> {
  if (!(await answers(['java', '-version'], { timeoutMs: 30_000 }))) return { impossible: `there is no java on the PATH: ${HOW}` };
  const folder = join(cacheFolder(), `time-server-${version()}`);
  if (existsSync(folder)) return { folder };
  if (!(await answers([MAVEN, '--version'], { timeoutMs: 30_000 }))) return { impossible: `there is no mvn on the PATH: ${HOW}` };
  await mkdir(cacheFolder(), { recursive: true });
  progress(`fetching the time-skipping server into ${folder}: some seconds and 33 MB, once`);
  // In a folder of its own, then renamed: two can do it at once, and none ever sees a half.
  const making = await mkdtemp(join(cacheFolder(), 'time-server-making-'));
  try {
    const failure = await fetchJars(making);
    if (failure !== null) return { impossible: `Maven could not fetch the time-skipping server: ${failure}` };
    await rename(making, folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error;
    });
    return { folder };
  } finally {
    await rm(making, { recursive: true, force: true });
  }
}

export async function startTimeServer(jars: string): Promise<TimeServer> {
  const port = await freePort();
  const address = `127.0.0.1:${port}`;
  const folder = await mkdtemp(join(tmpdir(), 'backout-time-'));
  const logPath = join(folder, 'server.log');
  const java = ['java', '-Xmx256m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-cp', join(jars, '*'), MAIN, String(port)];
  const [command = 'java', ...args] = [...(await diesWithUs('TERM')), ...java];
  const child = await startChild({ command, args, logPath, lastSignal: 'SIGKILL' });
  const stopServer = async (): Promise<void> => {
    await child.stop('SIGKILL', 0);
    await rm(folder, { recursive: true, force: true });
  };
  const until = Date.now() + READY_WITHIN_MS;
  try {
    if (!(await waitForPort(port, () => child.hasExited() || Date.now() > until))) throw new Error(`it did not answer: ${logTail(logPath, 0)}`);
    // The one way the SDK has to the server's clock; its own test environment goes the same way.
    const options: InternalConnectionOptions = { address, [InternalConnectionOptionsSymbol]: { supportsTestService: true } };
    const connection = await Connection.connect(options);
    const { testService } = connection;
    if (!testService) throw new Error('the SDK offers no test service any more');
    await connection.operatorService.addSearchAttributes({ namespace: 'default', searchAttributes: attributeTypes() });
    return {
      address,
      client: new Client({ connection }),
      pass: async (ms) => {
        await testService.unlockTimeSkippingWithSleep({ duration: msToTs(ms) });
      },
      now: async () => {
        const { time } = await testService.getCurrentTime({});
        return new Date(Number(time?.seconds ?? 0) * 1000 + (time?.nanos ?? 0) / 1e6);
      },
      stop: async () => {
        await connection.close();
        await stopServer();
      },
    };
  } catch (cause) {
    await stopServer();
    throw new Error('the time-skipping server did not start', { cause });
  }
}

/** It adds them, and does not list them. */
function attributeTypes(): Record<string, number> {
  const { INDEXED_VALUE_TYPE_KEYWORD, INDEXED_VALUE_TYPE_KEYWORD_LIST } = proto.temporal.api.enums.v1.IndexedValueType;
  const types = { Keyword: INDEXED_VALUE_TYPE_KEYWORD, KeywordList: INDEXED_VALUE_TYPE_KEYWORD_LIST };
  return Object.fromEntries(Object.entries(SEARCH_ATTRIBUTES).map(([name, type]) => [name, types[type]]));
}

/** As the POM has it, in the one place that a newer one is named. */
function version(): string {
  const named = /<artifactId>temporal-test-server<\/artifactId>\s*<version>([\d.]+)</.exec(readFileSync(POM, 'utf8'))?.[1];
  if (named === undefined) throw new Error(`${POM} names no version of temporal-test-server`);
  return named;
}

/** Null: they are there. */
async function fetchJars(folder: string): Promise<string | null> {
  let said = '';
  const child = spawn(MAVEN, ['-q', '-B', '-f', POM, 'dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${folder}`], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: FETCH_MAX_MS,
  });
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      said = `${said}${chunk.toString()}`.slice(0, 8_000);
    });
  const code = await new Promise<number | string>((resolve) => {
    child.once('error', (error) => {
      resolve(error.message);
    });
    child.once('close', (status, signal) => {
      resolve(status ?? signal ?? 'no status');
    });
  });
  if (code === 0) return null;
  const words = said.split('\n').filter((line) => /ERROR/.test(line));
  return `it ended with ${code}: ${words.slice(0, 2).join(' ').slice(0, 600)}`;
}
