/**
 * The state folder `.backout/` beside `backout.yaml`: databases, logs, and `dev.json`, which tells other commands what runs.
 * `dev.json` is also the lock: it is created with its content in one step (link), so that of two starts one wins.
 */
import { randomUUID } from 'node:crypto';
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { LocalProblem } from './problem.ts';
import { bornAt, endLeftover, isAlive } from './processes.ts';

/** A process, named so that a later one with the same pid is not taken for it. */
export interface ProcessMark {
  readonly pid: number;
  readonly born: string | null;
}

export interface Pids {
  readonly dev: ProcessMark;
  readonly temporal?: ProcessMark;
  readonly postgres?: ProcessMark;
}

interface DevFile extends Partial<Services> {
  readonly startedAt: string;
  readonly pids: Pids;
}

interface Services {
  readonly temporalAddress: string;
  readonly namespace: string;
  readonly uiUrl: string | null;
  readonly databaseUrl: string;
}

/** What a running `backout dev` tells the other commands of its folder. */
export interface Dev extends Services {
  readonly pids: Pids;
  readonly startedAt: string;
}

/** The folder beside the configuration, or in the working directory where there is none. */
export function stateFolder(configPath: string | null, cwd = process.cwd()): string {
  return join(configPath === null ? resolve(cwd) : dirname(resolve(cwd, configPath)), '.backout');
}

/** What runs in this folder; null where nothing does, or it is still starting. */
export async function readDev(folder: string): Promise<Dev | null> {
  const file = await read(folder);
  return file !== null && isPublished(file) && (await isRunning(file.pids.dev)) ? file : null;
}

export interface Claim {
  /** Publishes what runs; `pids` are our children. */
  publish(services: Services, pids: { readonly temporal?: number; readonly postgres?: number }): Promise<void>;
  release(): Promise<void>;
}

/** Takes the folder for this process, or throws with the pid of its holder. Ends what a killed holder has left running. */
export async function claimFolder(folder: string): Promise<Claim> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  // The folder holds a password and databases: it never belongs into the user's repository.
  await writeFile(join(folder, '.gitignore'), '*\n');
  const own: DevFile = { startedAt: new Date().toISOString(), pids: { dev: await markOf(process.pid) } };
  const temporary = await temporaryFile(folder, own);
  try {
    while (!(await isLinked(temporary, devPath(folder)))) await takeOver(folder);
  } finally {
    await rm(temporary, { force: true });
  }
  return {
    publish: async (services, { temporal, postgres }) => {
      const pids: Pids = {
        dev: own.pids.dev,
        ...(temporal === undefined ? {} : { temporal: await markOf(temporal) }),
        ...(postgres === undefined ? {} : { postgres: await markOf(postgres) }),
      };
      await rename(await temporaryFile(folder, { ...own, ...services, pids }), devPath(folder));
    },
    release: async () => {
      const holder = (await read(folder))?.pids.dev;
      if (holder?.pid === own.pids.dev.pid && holder.born === own.pids.dev.born) await rm(devPath(folder), { force: true });
    },
  };
}

/** Removes a dead holder's file, with what it left running; throws where the holder lives. */
async function takeOver(folder: string): Promise<void> {
  const file = await read(folder);
  if (file !== null && (await isRunning(file.pids.dev))) {
    throw new LocalProblem(
      'already-running',
      `Backout already runs in ${folder} (pid ${file.pids.dev.pid}, since ${file.startedAt}).`,
      `Use it as it is, stop it with Ctrl-C or \`kill ${file.pids.dev.pid}\`, or start from another folder.`,
    );
  }
  const aside = join(folder, `dev.${randomUUID()}.stale`);
  try {
    await rename(devPath(folder), aside);
  } catch {
    return; // Somebody else was faster; look again.
  }
  const moved = await parse(aside);
  // Another start took over between our look and our rename: it is given its file back.
  if (moved !== null && (await isRunning(moved.pids.dev))) await isLinked(aside, devPath(folder));
  await rm(aside, { force: true });
  if (moved === null || (await isRunning(moved.pids.dev))) return;
  await Promise.all([endIfLeft(moved.pids.temporal, 'SIGTERM'), endIfLeft(moved.pids.postgres, 'SIGINT')]);
}

/** Only a process that is surely still the one we wrote down is ended. */
async function endIfLeft(left: ProcessMark | undefined, signal: NodeJS.Signals): Promise<void> {
  if (left !== undefined && left.born !== null && (await isRunning(left))) await endLeftover(left.pid, signal, 10_000);
}

async function isRunning({ pid, born }: ProcessMark): Promise<boolean> {
  return isAlive(pid) && (await bornAt(pid)) === born;
}

async function markOf(pid: number): Promise<ProcessMark> {
  return { pid, born: await bornAt(pid) };
}

function devPath(folder: string): string {
  return join(folder, 'dev.json');
}

async function read(folder: string): Promise<DevFile | null> {
  return parse(devPath(folder));
}

/** A file that is absent or not ours is as good as none: nothing runs that could be named. By hand, for zod costs every command 50 ms. */
async function parse(path: string): Promise<DevFile | null> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    return isDevFile(value) ? value : null;
  } catch {
    return null;
  }
}

function isDevFile(value: unknown): value is DevFile {
  if (!isRecord(value) || typeof value['startedAt'] !== 'string' || !isRecord(value['pids']) || !isMark(value['pids']['dev'])) return false;
  const { temporal, postgres } = value['pids'];
  return [temporal, postgres].every((mark) => mark === undefined || isMark(mark));
}

function isPublished(file: DevFile): file is DevFile & Dev {
  return [file.temporalAddress, file.namespace, file.databaseUrl].every((value) => typeof value === 'string') && file.uiUrl !== undefined;
}

function isMark(value: unknown): value is ProcessMark {
  return isRecord(value) && Number.isSafeInteger(value['pid']) && Number(value['pid']) > 0 && (value['born'] === null || typeof value['born'] === 'string');
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

async function temporaryFile(folder: string, content: DevFile): Promise<string> {
  const path = join(folder, `dev.${randomUUID()}.tmp`);
  await writeFile(path, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 });
  return path;
}

async function isLinked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}
