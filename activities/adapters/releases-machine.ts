/**
 * What there is on the machine: processes, as proc(5) tells of them, never our own memory; and the folder of releases with its state file.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { connect, createServer } from 'node:net';
import { basename, delimiter, dirname, join, relative, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { AdapterError, type AdapterCall } from './adapter.ts';
import type { ReleasesOptions } from './releases.ts';

const PROBE_TIMEOUT_MS = 5_000;
const VERSION = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$/;
/** Process numbers and start times begin anew with each boot. */
const BOOT = orNull(() => fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()) ?? '';

export const identitySchema = z.object({ pid: z.number(), start: z.string() });
const backendSchema = identitySchema.extend({ id: z.string(), version: z.string(), port: z.number() });
const activeSchema = backendSchema.extend({
  operationId: z.string(),
  from: z.string().nullable(),
  at: z.string(),
  drainMs: z.number(),
  previous: backendSchema.nullable(),
});

/** `start` tells it from a later process with the same number. */
export type Identity = z.infer<typeof identitySchema>;
/** A process of a release; `id` is in the environment of all it starts. */
export type Backend = z.infer<typeof backendSchema>;
/** Where traffic goes, and since which operation. The file is only ever replaced by a rename. */
export type Active = z.infer<typeof activeSchema>;

export const stateFolder = (root: string): string => join(root, '.backout');
export const activeFile = (root: string): string => join(stateFolder(root), 'active.json');

export function orNull<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null; // A process or a file that is gone, or another user's: it tells us nothing.
  }
}

export function readActive(root: string): Active | null {
  return orNull(() => activeSchema.parse(JSON.parse(fs.readFileSync(activeFile(root), 'utf8'))));
}

export const processes = (): number[] => fs.readdirSync('/proc').map(Number).filter(Number.isInteger);

/** Null for a process that has ended, also while nobody has yet asked how. */
export function identify(pid: number): Identity | null {
  const stat = orNull(() => fs.readFileSync(`/proc/${pid}/stat`, 'utf8'));
  const [state = 'X', ...fields] = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? [];
  if (state === 'Z' || state === 'X') return null;
  return { pid, start: `${BOOT}/${fields[18]}` };
}

export const isAlive = ({ pid, start }: Identity): boolean => identify(pid)?.start === start;

export function environmentOf(pid: number): ReadonlyMap<string, string> {
  const block = orNull(() => fs.readFileSync(`/proc/${pid}/environ`, 'utf8')) ?? '';
  return new Map(block.split('\0').map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]));
}

/** The release's process and whatever it started, told by the mark in their environment. */
export function family(backend: Backend): Identity[] {
  return processes().flatMap((pid) => {
    const found = pid === backend.pid || environmentOf(pid).get('BACKOUT_PROCESS') === backend.id ? identify(pid) : null;
    return found === null || (pid === backend.pid && found.start !== backend.start) ? [] : [found];
  });
}

/** Asks `find` again only when all that it found has ended: to look through /proc takes long where much runs. */
export function remaining(find: () => Identity[]): () => Identity[] {
  let known: Identity[] = [];
  return () => {
    known = known.filter(isAlive);
    return known.length > 0 ? known : (known = find());
  };
}

/** SIGTERM, then after `patienceMs` SIGKILL. `before` may throw to keep either from being sent. */
export async function retire(find: () => Identity[], patienceMs: number, before: () => void = () => undefined): Promise<void> {
  const left = remaining(find);
  for (const [signal, waitMs] of [
    ['SIGTERM', patienceMs],
    ['SIGKILL', 2_000],
  ] as const) {
    if (left().length === 0) return;
    before();
    for (const one of left()) if (isAlive(one)) orNull(() => process.kill(one.pid, signal));
    for (const end = performance.now() + waitMs; performance.now() < end && left().length > 0;) await sleep(50);
  }
}

/** Starts a process that outlives this one: its own session, no pipe to us, and no more of our environment than is named. */
export function launch(program: string, args: readonly string[], at: { cwd: string; env: Record<string, string>; log: string }): Identity {
  const output = fs.openSync(at.log, 'a');
  const child = spawn(program, args, { cwd: at.cwd, env: at.env, detached: true, stdio: ['ignore', output, output] });
  child.on('error', () => undefined); // Said by the missing pid already.
  child.unref();
  fs.closeSync(output);
  const identity = child.pid === undefined ? null : identify(child.pid);
  if (identity === null) throw new AdapterError('failed', `${program} could not be started; traffic was not moved; log: ${at.log}`);
  return identity;
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** 2xx on every path; without a path, a connection. */
export async function isHealthy(port: number, host: string, paths: readonly string[], signal: AbortSignal): Promise<boolean> {
  const either = AbortSignal.any([signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)]);
  const socket = connect({ port, host, signal: either }).on('error', () => undefined);
  try {
    await once(socket, 'connect', { signal: either });
    const answers = await Promise.all(paths.map((path) => fetch(`http://${host}:${port}${path}`, { signal: either, redirect: 'manual' })));
    for (const answer of answers) await answer.body?.cancel();
    return answers.every(({ ok }) => ok);
  } catch {
    return false; // Not yet; whoever asks knows how long to go on.
  } finally {
    socket.destroy();
  }
}

/** Who listens on a TCP port, whatever the address. A socket of ours that no process holds belongs to one that is just ending. */
export function listenersOn(port: number, among?: readonly number[]): { pids: number[]; otherUser: boolean } {
  const rows = ['tcp', 'tcp6']
    .flatMap((table) => (orNull(() => fs.readFileSync(`/proc/net/${table}`, 'utf8')) ?? '').split('\n').map((row) => row.trim().split(/\s+/)))
    .filter(([, local = '', , state]) => state === '0A' && Number.parseInt(local.split(':')[1] ?? '', 16) === port);
  const sockets = new Set(rows.map((row) => `socket:[${row[9]}]`));
  const holds = (pid: number): boolean =>
    (orNull(() => fs.readdirSync(`/proc/${pid}/fd`)) ?? []).some((fd) => sockets.has(orNull(() => fs.readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? ''));
  const ownUid = process.getuid?.() ?? 0;
  return { pids: sockets.size > 0 ? (among ?? processes()).filter(holds) : [], otherUser: rows.some((row) => ownUid !== 0 && Number(row[7]) !== ownUid) };
}

type Holder =
  | { readonly kind: 'none' | 'front' }
  /** A release that a simple script started on the public port itself. */
  | { readonly kind: 'direct'; readonly version: string; readonly processes: readonly Identity[] }
  | { readonly kind: 'foreign'; readonly who: string };

/** What is there: read only. */
export class Site {
  readonly root: string;
  readonly #options: ReleasesOptions;

  constructor({ folder, options }: Pick<AdapterCall<ReleasesOptions>, 'folder' | 'options'>) {
    const root = resolve(folder, options.root);
    if (!fs.existsSync(root)) throw new AdapterError('configuration', `the folder ${root} of option "root" does not exist`);
    this.root = fs.realpathSync(root);
    this.#options = options;
  }

  folderOf(version: string): string {
    return join(this.root, 'releases', version);
  }
  logOf(name: string): string {
    return join(this.root, 'logs', `${name}.log`);
  }

  versions(): string[] {
    const changed = (version: string): number => orNull(() => fs.statSync(this.folderOf(version)))?.mtimeMs ?? 0;
    return (orNull(() => fs.readdirSync(join(this.root, 'releases'))) ?? [])
      .filter((version) => VERSION.test(version) && orNull(() => fs.statSync(this.folderOf(version)).isDirectory()) === true)
      .toSorted((a, b) => changed(b) - changed(a) || b.localeCompare(a, 'en', { numeric: true }));
  }

  /** The program of a version, or null where it cannot be run. The pattern keeps `..`, `/` and NUL out of every path. */
  program(version: string): string | null {
    const [name = ''] = this.#options.command;
    if (!VERSION.test(version) || !fs.existsSync(this.folderOf(version))) return null;
    const folders = (this.#options.env?.['PATH'] ?? process.env['PATH'] ?? '').split(delimiter);
    const candidates = name.includes('/') ? [resolve(this.folderOf(version), name)] : folders.map((folder) => join(folder, name));
    return candidates.find((path) => orNull(() => fs.accessSync(path, fs.constants.X_OK)) === undefined) ?? null;
  }

  link(): string | null {
    const target = orNull(() => resolve(this.root, fs.readlinkSync(join(this.root, 'current'))));
    return target !== null && orNull(() => fs.realpathSync(dirname(target))) === join(this.root, 'releases') ? basename(target) : null;
  }

  holder(): Holder {
    const { pids, otherUser } = listenersOn(this.#options.port);
    const [pid] = pids;
    if (pid === undefined) return otherUser ? { kind: 'foreign', who: 'a process of another user' } : { kind: 'none' };
    if (pids.every((one) => environmentOf(one).get('BACKOUT_FRONT') === this.root)) return { kind: 'front' };
    const within = pids.map((one) => relative(join(this.root, 'releases'), orNull(() => fs.readlinkSync(`/proc/${one}/cwd`)) ?? '/').split('/')[0] ?? '');
    const [version = ''] = within;
    if (within.every((one) => VERSION.test(one))) return { kind: 'direct', version, processes: pids.flatMap((one) => identify(one) ?? []) };
    const words = orNull(() => fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')) ?? [];
    // Other arguments may be secrets: the program, and what looks like its script, are enough to find it.
    return {
      kind: 'foreign',
      who: `pid ${pid}: ${words
        .slice(0, 2)
        .filter((word) => !word.startsWith('-'))
        .join(' ')
        .slice(0, 200)}`,
    };
  }

  look(): { active: Active | null; holder: Holder; link: string | null; serving: string | null } {
    const [active, holder] = [readActive(this.root), this.holder()];
    const routed = holder.kind === 'front' && active !== null && isAlive(active) ? active.version : null;
    return { active, holder, link: this.link(), serving: holder.kind === 'direct' ? holder.version : routed };
  }

  /** Processes that this platform started under this root, but for those of the runs named. */
  strays(keep: readonly (string | undefined)[]): Identity[] {
    const marks = processes()
      .map((pid) => ({ pid, mark: environmentOf(pid) }))
      .filter(({ mark }) => mark.get('BACKOUT_ROOT') === this.root);
    return marks.filter(({ mark }) => !keep.includes(mark.get('BACKOUT_PROCESS'))).flatMap(({ pid }) => identify(pid) ?? []);
  }

  fronts(): Identity[] {
    return processes()
      .filter((pid) => environmentOf(pid).get('BACKOUT_FRONT') === this.root)
      .flatMap((pid) => identify(pid) ?? []);
  }
}
