/**
 * The data folder of a recovered server: copied from the base backup, with a configuration of its own. That of the base is not taken over: it may name folders,
 * ports, archives and publishers of the server in use.
 */
import { constants } from 'node:fs';
import { chmod, chown, copyFile, lstat, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { AdapterError } from '../adapters/adapter.ts';
import { runCommand } from '../command.ts';
import { stopped, type Call } from './postgres-session.ts';

export interface RunAs {
  /** Words before a program. */
  readonly prefix: readonly string[];
  /** Null: whoever makes it. */
  readonly owner: { readonly uid: number; readonly gid: number } | null;
}

const NAMESPACE = ['unshare', '--user', '--map-user=1000', '--map-group=1000', '--'];

/** Postgres refuses root. A root's worker runs it as the owner of the base backup, or, where that is root too, as another user only in its own eyes. */
export async function runAs(call: Call, base: string): Promise<RunAs> {
  if (process.getuid?.() !== 0) return { prefix: [], owner: null };
  const { uid, gid } = await stat(base);
  if (uid !== 0) return { prefix: ['setpriv', '--reuid', String(uid), '--regid', String(gid), '--clear-groups', '--'], owner: { uid, gid } };
  const { code } = await runCommand({ command: [...NAMESPACE, 'true'], cwd: '/', seconds: 10, env: {}, output: new PassThrough().resume() }, call.signal);
  if (code === 0) return { prefix: NAMESPACE, owner: null };
  throw new AdapterError('configuration', `Postgres does not run as root, and root owns ${base}: give it to another user, or set \`archive.start\``);
}

const LEFT_OUT = new Set(['postmaster.pid', 'postmaster.opts', 'standby.signal', 'recovery.signal']);

/** Answers how many bytes. Throws `failed` where the disk is full; nothing is followed out of the base. */
export async function copyBase(call: Call, base: string, data: string, { owner }: RunAs): Promise<number> {
  let bytes = 0;
  const copy = async (from: string, to: string, isTop: boolean): Promise<void> => {
    await mkdir(to, { mode: 0o700, recursive: true });
    for (const entry of await readdir(from, { withFileTypes: true })) {
      if (call.signal.aborted) throw stopped();
      const [source, target] = [join(from, entry.name), join(to, entry.name)];
      if (isTop && LEFT_OUT.has(entry.name)) continue;
      if (entry.isDirectory()) await copy(source, target, false);
      else if (entry.isFile()) {
        await copyFile(source, target, constants.COPYFILE_FICLONE);
        await chmod(target, 0o600);
        bytes += (await lstat(target)).size;
      } else throw new AdapterError('configuration', `${source} is neither a file nor a folder, and is not copied`);
      if (entry.isFile() && owner !== null) await chown(target, owner.uid, owner.gid);
      call.heartbeat(`copying the base backup: ${Math.round(bytes / 1e6)} MB`);
    }
    if (owner !== null) await chown(to, owner.uid, owner.gid);
  };
  try {
    await copy(base, data, true);
    return bytes;
  } catch (error) {
    throw diskWords(error);
  }
}

/** An error of the file system in the words of the port. */
export function diskWords(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof AdapterError) return error;
  const code = 'code' in error ? String(error.code) : '';
  if (code === 'ENOSPC' || code === 'EDQUOT') return new AdapterError('failed', 'the disk is full', { cause: error });
  return new AdapterError(/^(?:EACCES|EPERM|EROFS)$/.test(code) ? 'unauthorized' : 'failed', error.message, { cause: error });
}

/** Of the base's own settings only those without which its WAL cannot be replayed or its data not be read. */
const CARRIED =
  /^\s*(max_connections|max_prepared_transactions|max_locks_per_transaction|max_worker_processes|max_wal_senders|wal_level|shared_buffers|shared_preload_libraries|timezone|lc_monetary|lc_numeric|lc_time|default_text_search_config|password_encryption|work_mem|maintenance_work_mem|effective_cache_size)\s*(?:=|\s)\s*('(?:[^']|'')*'|[^\s#']+)/i;

export interface Settings {
  readonly port: number;
  readonly wal: string;
  /** ISO. */
  readonly target: string;
  /** Whoever enters has a password; otherwise the base's own rules stay. */
  readonly hasPassword: boolean;
}

export async function configure(base: string, data: string, { owner }: RunAs, { port, wal, target, hasPassword }: Settings): Promise<void> {
  if (/['"\\$`%\n]/.test(wal)) throw new AdapterError('configuration', `the path of the WAL archive has a character that the shell would read: ${wal}`);
  const carried = new Map<string, string>();
  for (const name of ['postgresql.conf', 'postgresql.auto.conf']) {
    const text = await readFile(join(base, name), 'utf8').catch(() => '');
    for (const line of text.split('\n')) {
      const found = CARRIED.exec(line);
      if (found?.[1] !== undefined && found[2] !== undefined) carried.set(found[1].toLowerCase(), found[2]);
    }
  }
  const time = target.replace('T', ' ').replace(/Z$/, '+00');
  const lines = [
    '# Made by Backout for a recovered server; that of the base backup is not used.',
    ...[...carried].map(([name, value]) => `${name} = ${value}`),
    `port = ${port}`,
    "listen_addresses = '127.0.0.1'",
    "unix_socket_directories = ''",
    'ssl = off',
    // Nobody enters before it is what it is to be, and no setting of the server in use has to be matched.
    'hot_standby = off',
    'archive_mode = off',
    'max_logical_replication_workers = 0',
    `restore_command = 'cp "${wal}/%f" "%p"'`,
    `recovery_target_time = '${time}'`,
    "recovery_target_action = 'promote'",
    'logging_collector = on',
    "log_directory = 'log'",
    "log_filename = 'backout.log'",
    'log_file_mode = 0600',
    "log_destination = 'stderr'",
    'log_rotation_age = 0',
    'log_rotation_size = 0',
    "log_line_prefix = '%m '",
    "log_timezone = 'UTC'",
    "lc_messages = 'C'",
    'log_error_verbosity = terse',
    'log_min_error_statement = panic',
  ];
  const files = new Map([
    ['postgresql.conf', `${lines.join('\n')}\n`],
    ['postgresql.auto.conf', ''],
    ['recovery.signal', ''],
  ]);
  const hasRules = (await lstat(join(data, 'pg_hba.conf')).catch(() => null)) !== null;
  // `md5` takes passwords of both kinds.
  if (hasPassword || !hasRules) files.set('pg_hba.conf', 'host all all 127.0.0.1/32 md5\n');
  for (const [name, text] of files) {
    await writeFile(join(data, name), text, { mode: 0o600 });
    if (owner !== null) await chown(join(data, name), owner.uid, owner.gid);
  }
}

export interface Mark {
  /** The operation. */
  readonly backout: string;
  /** `copying`: no server has ever run on it. */
  readonly state: 'copying' | 'starting' | 'finished';
  readonly target: string;
  readonly port: number;
  /** Of one attempt: whoever finds another's here has been superseded. */
  readonly attempt: string;
}

const MARK = 'backout.json';

export async function writeMark(home: string, mark: Mark): Promise<void> {
  const making = join(home, `${MARK}.new`);
  await writeFile(making, `${JSON.stringify(mark)}\n`, { mode: 0o600, flush: true });
  await rename(making, join(home, MARK));
}

/** Null: there is nothing. `foreign`: something that Backout did not make. */
export async function readMark(home: string): Promise<Mark | 'foreign' | null> {
  const names = await readdir(home).catch(() => null);
  if (names === null || names.every((name) => name === `${MARK}.new`)) return null;
  try {
    const mark = JSON.parse(await readFile(join(home, MARK), 'utf8')) as Mark | null;
    return typeof mark?.backout === 'string' ? mark : 'foreign';
  } catch {
    return 'foreign';
  }
}

export const removeHome = (home: string): Promise<void> => rm(home, { recursive: true, force: true });

/** Until the next look, or at once when aborted. */
export async function pause(call: Call, ms: number): Promise<void> {
  await delay(ms, undefined, { signal: call.signal }).catch(() => {
    throw stopped();
  });
}
