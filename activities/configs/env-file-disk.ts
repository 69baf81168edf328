/** An environment file on this machine: read behind its links, and replaced under a lease in one rename, with the reload that is due after it. */
import * as fs from 'node:fs';
import { isUtf8 } from 'node:buffer';
import { basename, dirname, join, resolve } from 'node:path';
import { AdapterError, type AdapterCall, type AdapterErrorKind } from '../adapters/adapter.ts';
import { Lease, superseded } from '../adapters/releases-lease.ts';
import { runCommand } from '../command.ts';
import { readIfThere, syncFolder, writeNew, type KeptValues } from './env-file-kept.ts';
import type { Edit } from './env-file-lines.ts';

const FILE_MAX = 1024 * 1024;
const RELOAD_SECONDS = 60;
const HEARTBEAT_MS = 500;
/** As many as Linux follows. */
const LINKS_MAX = 40;

const KINDS: Readonly<Record<string, AdapterErrorKind>> = {
  EACCES: 'unauthorized',
  EPERM: 'unauthorized',
  EROFS: 'unauthorized',
  ENOENT: 'not-found',
  EEXIST: 'conflict',
};

/** Nothing but an AdapterError leaves: the system's errors name a file and a reason, and hold no value. */
export async function guarded<T>(signal: AbortSignal, act: () => Promise<T> | T): Promise<T> {
  try {
    signal.throwIfAborted();
    return await act();
  } catch (error) {
    if (error instanceof AdapterError) throw error;
    if (signal.aborted) throw new AdapterError('unavailable', 'stopped as asked; what was not finished is found by the next attempt', { cause: error });
    const code = error instanceof Error && 'code' in error ? error.code : null;
    throw new AdapterError(KINDS[String(code)] ?? 'unexpected-response', error instanceof Error ? error.message : 'no error', { cause: error });
  }
}

export interface File {
  /** The file itself, behind all links. */
  readonly target: string;
  readonly bytes: Buffer | null;
  readonly stats: fs.Stats | null;
}

/** Null bytes: there is no file. */
export function read(path: string): File {
  const target = targetOf(path);
  const stats = fs.statSync(target, { throwIfNoEntry: false }) ?? null;
  if (stats !== null && !stats.isFile()) throw new AdapterError('configuration', `${path} is no file`);
  if (stats !== null && stats.size > FILE_MAX) throw new AdapterError('configuration', `${path} is larger than ${FILE_MAX} bytes: no environment file`);
  const bytes = readIfThere(target);
  if (bytes !== null && !isUtf8(bytes)) throw new AdapterError('configuration', `${path} is not UTF-8, and would not survive being written`);
  return { target, bytes, stats };
}

/** One name for one file, also where it is not there yet: every link on its way is followed. */
export function behindLinks(path: string): string {
  const target = targetOf(path);
  const within = dirname(target);
  return join(fs.existsSync(within) ? fs.realpathSync(within) : within, basename(target));
}

/** A link may lead to what is not there yet. */
export function targetOf(path: string): string {
  if (fs.existsSync(path)) return fs.realpathSync(path);
  let target = path;
  for (let hop = 0; hop < LINKS_MAX && fs.lstatSync(target, { throwIfNoEntry: false })?.isSymbolicLink(); hop++)
    target = resolve(dirname(target), fs.readlinkSync(target));
  return target;
}

export const textOf = ({ bytes }: File): string => bytes?.toString('utf8') ?? '';

export interface Rewriting {
  readonly call: Pick<AdapterCall<unknown>, 'operationId' | 'signal' | 'heartbeat' | 'folder'>;
  /** As configured, from the folder of the call: no more of it is in a heartbeat. */
  readonly path: string;
  /** What lies beside the file, and under whose lease it is written; its folder is there. */
  readonly kept: KeptValues;
  /** Program and arguments, and what it is told beside the little of every command. */
  readonly reload: readonly string[] | undefined;
  readonly env: Readonly<Record<string, string>>;
  /** What the file is to become; null where no machine should edit it. */
  readonly change: (file: File) => Edit | null;
}

/** Writes where something is to change, and reloads where that is due. `reload`: how it ended, null where none was due. */
export async function rewrite(work: Rewriting): Promise<{ change: Edit; reload: string | null }> {
  const { call, kept } = work;
  const path = resolve(call.folder, work.path);
  const lease = await Lease.acquire(call, kept.folder);
  const beat = setInterval(() => {
    call.heartbeat(`setting ${work.path}`);
  }, HEARTBEAT_MS);
  try {
    const file = read(path);
    const change = work.change(file);
    if (change === null)
      throw new AdapterError(
        'failed',
        `${path} has lines that no machine should edit, an open quote perhaps; nothing was changed: mend it, or set the keys by hand`,
      );
    if (textOf(file) !== change.text) replace(work, path, file, change, lease);
    return { change, reload: work.reload && kept.isReloadDue() ? await reloaded(work, work.reload, path) : null };
  } finally {
    clearInterval(beat);
    lease.release();
  }
}

/** One rename in the file's own folder, in the same breath as the last look at the file and at the lease. */
function replace(work: Rewriting, path: string, file: File, change: Edit, lease: Lease): void {
  const { call, kept } = work;
  const folder = dirname(file.target);
  const old = `.next-${basename(file.target)}.`;
  for (const name of fs.readdirSync(folder)) if (name.startsWith(old) && /^\d+$/.test(name.slice(old.length))) fs.rmSync(join(folder, name), { force: true });
  const prepared = join(folder, `.${basename(lease.prepared(file.target))}`);
  try {
    writeNew(prepared, change.text, file.stats ?? undefined);
    if (work.reload) kept.setReloadDue(true);
    call.heartbeat(`writing ${work.path}`);
    call.signal.throwIfAborted();
    lease.hold();
    const now = read(path);
    const isSame = now.target === file.target && now.stats?.ino === file.stats?.ino && now.stats?.mode === file.stats?.mode && textOf(now) === textOf(file);
    if (!isSame || (now.bytes === null) !== (file.bytes === null))
      throw new AdapterError('conflict', `somebody else has changed ${path} while it was being set; their change is in place, and nothing was changed here`);
    // A successor has removed what was prepared: the rename is the fence itself.
    if (!fs.existsSync(prepared)) throw superseded();
    // What has come into being meanwhile is nobody's to replace.
    if (file.bytes === null) fs.linkSync(prepared, file.target);
    else fs.renameSync(prepared, file.target);
  } finally {
    fs.rmSync(prepared, { force: true });
  }
  syncFolder(folder);
}

/** Its output may hold values: it stays beside them, and is in no message. */
async function reloaded({ call, kept, env }: Rewriting, command: readonly string[], path: string): Promise<string> {
  const output = fs.openSync(kept.reloadLog, 'w', 0o600);
  try {
    const { exit } = await runCommand({ command, cwd: call.folder, seconds: RELOAD_SECONDS, env, output }, call.signal);
    if (exit !== '0')
      throw new AdapterError(
        'failed',
        `${path} is written as it should be, but its reload ${command[0]} ended with ${exit}; what runs may hold the old values; its output: ${kept.reloadLog}`,
      );
    kept.setReloadDue(false);
    return exit;
  } finally {
    fs.closeSync(output);
  }
}
