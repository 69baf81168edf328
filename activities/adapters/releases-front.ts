/**
 * The half of `releases` that outlives a worker: the state folder with its lease, what /proc says of processes, and the front.
 *
 * The front is a small process of its own that listens on the public port and hands every request to the active release. It works on
 * HTTP, not on TCP, because the unit that must not fail at a switch is the request: a client's kept-alive connection stays open across
 * the switch and its next request simply goes to the new release, whereas a TCP proxy could only guess whether such a connection is
 * idle before it breaks it. Each request gets its own connection to the release, so there is no idle connection that the release could
 * close at the wrong moment, and a connection that is refused has carried no byte of the request: trying again is safe.
 *
 * It also retires the release it has moved away from, because it alone knows when the last request there has ended, and because it is
 * still there when the worker that switched has died.
 */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, linkSync, openSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer, request as send, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, createServer as createTcpServer, type Socket } from 'node:net';
import { basename, join } from 'node:path';
import { pipeline, type Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { AdapterError } from './adapter.ts';

const CONNECT_ATTEMPTS = 20;
const CONNECT_PAUSE_MS = 50;
const PROBE_TIMEOUT_MS = 5_000;
/** Longer than the 60 s after which common load balancers and clients let go, so that it is never the front that closes first. */
const KEEP_ALIVE_MS = 75_000;
/** A holder that has not refreshed its lease for so long has been stopped, or is gone. */
const LEASE_STALE_MS = 4_000;
const LEASE_REFRESH_MS = 1_000;
const LEASE_POLL_MS = 250;
/** Process numbers and start times begin anew with each boot. */
const BOOT = orNull(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()) ?? '';
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'proxy-connection', 'upgrade', 'expect', 'te', 'trailer']);

const backendSchema = z.object({ id: z.string(), pid: z.number(), start: z.string(), version: z.string(), port: z.number() });
const activeSchema = backendSchema.extend({
  operationId: z.string(),
  from: z.string().nullable(),
  at: z.string(),
  drainMs: z.number(),
  previous: backendSchema.nullable(),
});

/** A process of a release; `start` tells it from a later process with the same number, `id` is in the environment of all it starts. */
export type Backend = z.infer<typeof backendSchema>;
/** Where traffic goes, and since which operation. The file is only ever replaced by a rename. */
export type Active = z.infer<typeof activeSchema>;
export type Identity = Pick<Backend, 'pid' | 'start'>;

export const superseded = (): AdapterError => new AdapterError('superseded', 'another attempt has taken over this platform; this one did nothing more');
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
  return orNull(() => activeSchema.parse(JSON.parse(readFileSync(activeFile(root), 'utf8'))));
}

export const processes = (): number[] => readdirSync('/proc').map(Number).filter(Number.isInteger);

/** Null for a process that has ended, also while nobody has yet asked how. */
export function identify(pid: number): Identity | null {
  const stat = orNull(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  const [state = 'X', ...fields] = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? [];
  if (state === 'Z' || state === 'X') return null;
  return { pid, start: `${BOOT}/${fields[18]}` };
}

export const isAlive = ({ pid, start }: Identity): boolean => identify(pid)?.start === start;

export function environmentOf(pid: number): ReadonlyMap<string, string> {
  const block = orNull(() => readFileSync(`/proc/${pid}/environ`, 'utf8')) ?? '';
  return new Map(block.split('\0').map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]));
}

/** The release's process and whatever it started, told by the mark in their environment. */
export function family(backend: Identity & { readonly id: string }): Identity[] {
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

/** SIGTERM, then after `patienceMs` SIGKILL. `before` may throw to keep either from being sent. False: something still runs. */
export async function retire(find: () => Identity[], patienceMs: number, before: () => void = () => undefined): Promise<boolean> {
  const left = remaining(find);
  for (const [signal, waitMs] of [
    ['SIGTERM', patienceMs],
    ['SIGKILL', 2_000],
  ] as const) {
    if (left().length === 0) return true;
    before();
    for (const one of left()) if (isAlive(one)) orNull(() => process.kill(one.pid, signal));
    for (const end = performance.now() + waitMs; performance.now() < end && left().length > 0;) await sleep(50);
  }
  return left().length === 0;
}

/** Starts a process that outlives this one: its own session, no pipe to us, and no more of our environment than is named. */
export function launch(program: string, args: readonly string[], at: { cwd: string; env: Record<string, string>; log: string }): Identity {
  const output = openSync(at.log, 'a');
  const child = spawn(program, args, { cwd: at.cwd, env: at.env, detached: true, stdio: ['ignore', output, output] });
  child.on('error', () => undefined); // Said by the missing pid already.
  child.unref();
  closeSync(output);
  const identity = child.pid === undefined ? null : identify(child.pid);
  if (identity === null) throw new AdapterError('failed', `${program} could not be started; traffic was not moved; log: ${at.log}`);
  return identity;
}

export async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0, '127.0.0.1');
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
    .flatMap((table) => (orNull(() => readFileSync(`/proc/net/${table}`, 'utf8')) ?? '').split('\n').map((row) => row.trim().split(/\s+/)))
    .filter(([, local = '', , state]) => state === '0A' && Number.parseInt(local.split(':')[1] ?? '', 16) === port);
  const sockets = new Set(rows.map((row) => `socket:[${row[9]}]`));
  const holds = (pid: number): boolean =>
    (orNull(() => readdirSync(`/proc/${pid}/fd`)) ?? []).some((fd) => sockets.has(orNull(() => readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? ''));
  const ownUid = process.getuid?.() ?? 0;
  return { pids: sockets.size > 0 ? (among ?? processes()).filter(holds) : [], otherUser: rows.some((row) => ownUid !== 0 && Number(row[7]) !== ownUid) };
}

/**
 * Who may change things: the creator of the lease with the highest number, and creating a number is exclusive. A lease is free when its
 * holder is dead or has not refreshed it. A successor first removes what its predecessors had prepared, so that a rename of theirs
 * which comes late finds nothing to rename.
 */
export class Lease {
  readonly #folder: string;
  readonly #operationId: string;
  #number = 0;
  #timer: NodeJS.Timeout | undefined;

  private constructor(folder: string, operationId: string) {
    this.#folder = folder;
    this.#operationId = operationId;
  }

  static async acquire(
    call: { readonly operationId: string; readonly signal: AbortSignal; readonly heartbeat: (progress: string) => void },
    folder: string,
  ): Promise<Lease> {
    const lease = new Lease(folder, call.operationId);
    for (let newest = lease.#newest(); !(lease.#isFree(newest) && lease.#create(newest + 1)); newest = lease.#newest()) {
      call.heartbeat('waiting for another attempt on this platform to end');
      await sleep(LEASE_POLL_MS, undefined, { signal: call.signal });
    }
    const old = /^(?:lease|next-\w+(?:\.json)?)\.(\d+)$/;
    for (const name of readdirSync(folder)) if (Number(old.exec(name)?.[1] ?? 'none') < lease.#number) rmSync(join(folder, name), { force: true });
    lease.#timer = setInterval(() => {
      lease.#touch(new Date());
    }, LEASE_REFRESH_MS);
    return lease;
  }

  /** Throws unless the lease is still ours. To be called in the same breath as the change that it guards. */
  hold(): void {
    if (this.#newest() !== this.#number || (this.#isStale(this.#number) && !this.#create(this.#number + 1))) throw superseded();
  }

  /** A name for a file to be renamed into place under this lease. */
  prepared(target: string): string {
    return join(this.#folder, `next-${basename(target)}.${this.#number}`);
  }

  release(): void {
    clearInterval(this.#timer);
    this.#touch(new Date(0));
  }

  #file(number: number): string {
    return join(this.#folder, `lease.${number}`);
  }
  #touch(at: Date): void {
    orNull(() => utimesSync(this.#file(this.#number), at, at));
  }
  #newest(): number {
    return Math.max(
      0,
      ...readdirSync(this.#folder)
        .filter((name) => name.startsWith('lease.'))
        .map((name) => Number(name.slice(6))),
    );
  }
  #isStale(number: number): boolean {
    return Date.now() - (orNull(() => statSync(this.#file(number)).mtimeMs) ?? 0) > LEASE_STALE_MS;
  }

  #isFree(number: number): boolean {
    const holder = z.object({ pid: z.number(), start: z.string() }).safeParse(orNull(() => JSON.parse(readFileSync(this.#file(number), 'utf8'))));
    return this.#isStale(number) || !holder.success || !isAlive(holder.data);
  }

  #create(number: number): boolean {
    const claim = join(this.#folder, `claim-${randomUUID()}`);
    writeFileSync(claim, JSON.stringify({ ...identify(process.pid), operationId: this.#operationId }));
    const created = orNull(() => linkSync(claim, this.#file(number))) === undefined;
    rmSync(claim, { force: true });
    if (created) this.#number = number;
    return created && this.#newest() === number; // A low number is free again once it has been tidied away: it is no lease.
  }
}

class Front {
  readonly #root: string;
  /** Requests under way, by the process that answers them. */
  readonly #requests = new Map<string, number>();
  readonly #retiring = new Set<string>();

  constructor(root: string) {
    this.#root = root;
  }

  /** Counts the request before it connects, so that the release it goes to is not retired in between. */
  async #dial(): Promise<{ socket: Socket; done: () => void }> {
    for (let tries = 1; ; tries += 1) {
      const active = readActive(this.#root);
      if (active !== null) {
        const { id, port } = active;
        const count = (change: number): void => {
          this.#requests.set(id, (this.#requests.get(id) ?? 0) + change);
        };
        count(1);
        const socket = connect({ port, host: '127.0.0.1', noDelay: true });
        const connected = await new Promise<boolean>((resolve) => {
          socket
            .once('connect', () => {
              resolve(true);
            })
            .on('error', () => {
              resolve(false);
            });
        });
        if (connected)
          return {
            socket,
            done: () => {
              count(-1);
            },
          };
        count(-1);
      }
      if (tries === CONNECT_ATTEMPTS) throw new Error('the active release accepts no connection');
      await sleep(CONNECT_PAUSE_MS);
    }
  }

  async forward(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const fail = (error: Error): void => {
      if (response.headersSent) response.destroy();
      else response.writeHead(502, { 'content-type': 'text/plain' }).end(`No answer from the release: ${error.message}\n`);
    };
    const dialled = await this.#dial().catch((error: unknown) => {
      fail(error instanceof Error ? error : new Error(String(error)));
      return null;
    });
    if (dialled === null) return;
    const { socket, done } = dialled;
    const finish = (): void => {
      socket.destroy();
      done();
    };
    if (response.closed) return finish();
    response.once('close', finish);
    const headers = [...endToEnd(request.rawHeaders), 'X-Forwarded-For', request.socket.remoteAddress ?? '', 'Connection', 'close'];
    const onward = send({ createConnection: () => socket, method: request.method, path: request.url, headers, setHost: false });
    onward.on('error', fail).on('response', (answer) => {
      response.sendDate = false;
      response.writeHead(answer.statusCode ?? 502, answer.statusMessage, endToEnd(answer.rawHeaders));
      response.flushHeaders();
      pipeline(answer, response, () => undefined);
    });
    pipeline(request, onward, () => undefined);
  }

  /** WebSockets and the like: bytes both ways until either side ends, at the latest when the release is retired. */
  async upgrade(request: IncomingMessage, client: Duplex, head: Buffer): Promise<void> {
    client.on('error', () => client.destroy());
    const dialled = await this.#dial().catch(() => null);
    if (dialled === null) return void client.end('HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\n');
    const { socket, done } = dialled;
    const lines = request.rawHeaders.map((text, index) => (index % 2 === 0 ? `${text}: ` : `${text}\r\n`)).join('');
    socket.write(`${request.method} ${request.url} HTTP/1.1\r\n${lines}\r\n`);
    socket.write(head);
    pipeline(client, socket, client, done);
  }

  /** Stops the release that traffic has left, once its last request has ended or the time for that is over. */
  async retirePrevious(): Promise<void> {
    const active = readActive(this.#root);
    const previous = active?.previous ?? null;
    if (active === null || previous === null || this.#retiring.has(previous.id)) return;
    this.#retiring.add(previous.id);
    const end = performance.now() + active.drainMs;
    while (performance.now() < end && (this.#requests.get(previous.id) ?? 0) > 0) await sleep(50);
    await retire(() => family(previous), active.drainMs);
    this.#requests.delete(previous.id);
  }
}

/** All headers but those that belong to one connection only, in the form of `rawHeaders`. */
function endToEnd(raw: readonly string[]): string[] {
  const named = raw.flatMap((text, index) => (raw[index - 1]?.toLowerCase() === 'connection' && index % 2 === 1 ? text.toLowerCase().split(/\s*,\s*/) : []));
  const dropped = new Set([...HOP_BY_HOP, ...named]);
  return raw.filter((_, index) => !dropped.has((raw[index - (index % 2)] ?? '').toLowerCase()));
}

/** Binds as soon as the port is free: when a directly started release is taken over, that is the moment it lets go. */
function main(root: string, port: number, host: string, bindTimeoutMs: number): void {
  const log = (error: unknown): void => {
    process.stderr.write(`${new Date().toISOString()} ${String(error)}\n`);
  };
  const front = new Front(root);
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: 0 }, (request, response) => {
    front.forward(request, response).catch(log);
  });
  const end = performance.now() + bindTimeoutMs;
  server.on('upgrade', (request, socket, head) => {
    front.upgrade(request, socket, head).catch(log);
  });
  server.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EADDRINUSE' && performance.now() < end) {
      setTimeout(() => server.listen(port, host), 5);
    } else {
      log(error);
      process.exit(1);
    }
  });
  // Nobody restarts the front: one request that goes wrong in an unforeseen way must not end it.
  process.on('uncaughtException', log);
  setInterval(() => {
    front.retirePrevious().catch(log);
  }, 100);
  server.listen(port, host);
}

if (import.meta.main) {
  const [root = '', port = '', host = '', bindTimeoutMs = ''] = process.argv.slice(2);
  main(root, Number(port), host, Number(bindTimeoutMs));
}
