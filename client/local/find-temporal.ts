/** Finds a Temporal server: on the PATH, in our cache, by the SDK's own download, by a pinned `go install`. */
import { spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { LocalProblem, type Progress } from './problem.ts';
import { outputOf, sizeOf } from './processes.ts';

const PINNED = '1.5.1';
const SOURCE = `github.com/temporalio/cli/cmd/temporal@v${PINNED}`;
/** The server inside CLI 1.5.1; an older one on the PATH lacks what our workflows use. */
const SERVER_MIN = [1, 29] as const;
const DOWNLOAD_STALL_MS = 20_000;
const BUILD_MAX_MS = 30 * 60_000;
const EXECUTABLE = process.platform === 'win32' ? 'temporal.exe' : 'temporal';

export interface FoundTemporal {
  readonly path: string;
  readonly from: 'path' | 'cache' | 'download' | 'build';
}

export interface FindOptions {
  readonly progress: Progress;
  readonly env?: NodeJS.ProcessEnv;
  /** Ends a download or a build under way. */
  readonly signal?: AbortSignal;
}

export async function findTemporal({ progress, env = process.env, signal }: FindOptions): Promise<FoundTemporal> {
  const tried: string[] = [];
  const cache = cacheFolder(env);
  const built = join(cache, `temporal-${PINNED}`, EXECUTABLE);
  const downloaded = join(cache, 'temporal-sdk', EXECUTABLE);

  const onPath = await findOnPath(env, tried);
  if (onPath !== null) return { path: onPath, from: 'path' };
  for (const path of [built, downloaded]) {
    if (await isGood(path, tried, false)) return { path, from: 'cache' };
  }
  if (await download(downloaded, { progress, env, tried, signal })) return { path: downloaded, from: 'download' };
  signal?.throwIfAborted();
  if (await build(built, { progress, env, tried, signal })) return { path: built, from: 'build' };
  signal?.throwIfAborted();
  throw new LocalProblem(
    'temporal-missing',
    `No Temporal server was found or could be provided. Tried: ${tried.join('; ')}.`,
    'Do one of these: install the `temporal` command (https://docs.temporal.io/cli); install Go 1.25 or later, so that it can be built once; ' +
      'allow a network connection to temporal.download or proxy.golang.org; or set TEMPORAL_ADDRESS to a server that runs.',
  );
}

/** What is made once and used by every checkout: `$XDG_CACHE_HOME/backout`. */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  const configured = env['XDG_CACHE_HOME'];
  return join(configured !== undefined && configured !== '' ? configured : join(env['HOME'] ?? homedir(), '.cache'), 'backout');
}

async function findOnPath(env: NodeJS.ProcessEnv, tried: string[]): Promise<string | null> {
  for (const folder of (env['PATH'] ?? '').split(delimiter).filter((part) => part !== '')) {
    const path = join(folder, EXECUTABLE);
    if (await isGood(path, tried, false)) return path;
  }
  if (tried.length === 0) tried.push('`temporal` on the PATH (none)');
  return null;
}

/** Whether this is a Temporal server that is new enough; a file that is there and is not gets its line in `tried`. */
async function isGood(path: string, tried: string[], isExpected: boolean): Promise<boolean> {
  if (sizeOf(path) === 0) {
    if (isExpected) tried.push(`${path} was not written`);
    return false;
  }
  const version = await outputOf([path, '--version'], { timeoutMs: 10_000 });
  const [, major, minor] = /Server (\d+)\.(\d+)/.exec(version ?? '') ?? [];
  if (major === undefined || minor === undefined) {
    tried.push(`${path} (\`--version\` names no Temporal server)`);
    return false;
  }
  const isNewEnough = Number(major) > SERVER_MIN[0] || (Number(major) === SERVER_MIN[0] && Number(minor) >= SERVER_MIN[1]);
  if (!isNewEnough) tried.push(`${path} (server ${major}.${minor}, needs ${SERVER_MIN.join('.')} or later)`);
  return isNewEnough;
}

interface Attempt {
  readonly progress: Progress;
  readonly env: NodeJS.ProcessEnv;
  readonly tried: string[];
  readonly signal: AbortSignal | undefined;
}

/** Bounded by progress, not by time: a slow line may take minutes, a dead one 20 s. Offline this takes half a second. */
async function download(target: string, { progress, env, tried, signal }: Attempt): Promise<boolean> {
  return intoPlace(target, tried, "the SDK's own download", async (folder) => {
    const script = fileURLToPath(new URL('sdk-download.ts', import.meta.url));
    const ended = new AbortController();
    const child = watch(spawn(process.execPath, [script, folder], { env, stdio: ['ignore', 'ignore', 'pipe'], ...(signal === undefined ? {} : { signal }) }));
    const end = child.finished.finally(() => ended.abort());
    let [bytes, since, told] = [0, Date.now(), Date.now()];
    while (!ended.signal.aborted) {
      await sleep(250, undefined, { signal: ended.signal }).catch(() => undefined);
      const now = await bytesIn(folder);
      if (now !== bytes) [bytes, since] = [now, Date.now()];
      if (Date.now() - since > DOWNLOAD_STALL_MS) child.kill();
      if (bytes > 0 && Date.now() - told > 10_000) {
        told = Date.now();
        progress(`downloading the Temporal server once, ${Math.round(bytes / 1e6)} MB so far`);
      }
    }
    const failure = await end;
    const found = (await readdir(folder)).find((name) => name.startsWith('temporal-') && !name.endsWith('.downloading'));
    if (found === undefined) throw new Error(reasonOf(failure ?? 'nothing arrived'));
    await chmod(join(folder, found), 0o755);
    return join(folder, found);
  });
}

async function build(target: string, { progress, env, tried, signal }: Attempt): Promise<boolean> {
  const version = await outputOf(['go', 'version'], { env });
  if (version === null) {
    tried.push(`\`go install ${SOURCE}\` (no \`go\` on the PATH)`);
    return false;
  }
  return intoPlace(target, tried, `\`go install ${SOURCE}\``, async (folder) => {
    const began = Date.now();
    const seconds = (): number => Math.round((Date.now() - began) / 1000);
    progress(`building the Temporal server once, about 3 minutes (${SOURCE}, kept in ${target})`);
    const telling = setInterval(() => progress(`building the Temporal server once, about 3 minutes, ${seconds()} s so far`), 10_000);
    try {
      const child = watch(
        spawn('go', ['install', SOURCE], {
          env: { ...env, GOBIN: folder, GOWORK: 'off' },
          cwd: folder,
          stdio: ['ignore', 'ignore', 'pipe'],
          timeout: BUILD_MAX_MS,
          ...(signal === undefined ? {} : { signal }),
        }),
      );
      const failure = await child.finished;
      if (failure !== null) throw new Error(reasonOf(failure));
      progress(`built the Temporal server in ${seconds()} s`);
      return join(folder, EXECUTABLE);
    } finally {
      clearInterval(telling);
    }
  });
}

/** Makes a binary in a folder of its own and renames it, so that two processes can do it at once and none ever sees a half. */
async function intoPlace(target: string, tried: string[], what: string, make: (folder: string) => Promise<string>): Promise<boolean> {
  const home = join(target, '..');
  let folder: string | null = null;
  try {
    await mkdir(home, { recursive: true });
    folder = await mkdtemp(join(home, 'making-'));
    await rename(await make(folder), target);
    return await isGood(target, tried, true);
  } catch (error) {
    tried.push(`${what} (${error instanceof Error ? error.message : String(error)})`);
    return false;
  } finally {
    if (folder !== null) await rm(folder, { recursive: true, force: true });
  }
}

interface Watched {
  /** null: ended well; else its last words. */ readonly finished: Promise<string | null>;
  kill(): void;
}

function watch(child: ReturnType<typeof spawn>): Watched {
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString('utf8')).slice(-8_000);
  });
  const finished = new Promise<string | null>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(code === 0 ? null : `${said}\nended with ${signal ?? `code ${code}`}`));
  });
  return {
    finished,
    kill: () => {
      child.kill('SIGKILL');
    },
  };
}

/** One line out of a tool's last words: what is wrong, without the trace. */
function reasonOf(output: string): string {
  const lines = output
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('at ') && !line.startsWith('go: downloading'));
  const telling = lines.find((line) => /^Error: |dns error|error:|failed/i.test(line)) ?? lines.slice(-2).join(', ');
  const cause = /dns error[^:]*: [^:]*|connection refused|timed out|tls handshake[^:]*/i.exec(telling);
  return (cause?.[0] ?? telling).slice(0, 300);
}

async function bytesIn(folder: string): Promise<number> {
  const names = await readdir(folder).catch(() => []);
  return names.reduce((sum, name) => sum + sizeOf(join(folder, name)), 0);
}
