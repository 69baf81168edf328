import { randomUUID } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Receipt } from '../../model/state.ts';
import { AdapterError, type AdapterCall } from './adapter.ts';
import { superseded, type Lease } from './releases-lease.ts';
import {
  activeFile,
  family,
  freePort,
  isAlive,
  isHealthy,
  launch,
  listenersOn,
  orNull,
  remaining,
  retire,
  stateFolder,
  type Active,
  type Backend,
  type Identity,
  type Site,
} from './releases-machine.ts';
import type { ReleasesOptions } from './releases.ts';

type Call = AdapterCall<ReleasesOptions>;

/** A process without traffic has nothing to finish. */
const STRAY_PATIENCE_MS = 500;
/** What the front takes to be ready to bind, before a directly started release is asked to let go of the port. */
const FRONT_READY_MS = 400;
const FRONT_BIND_MS = 10_000;
const FRONT_PROGRAM = join(import.meta.dirname, 'releases-front.ts');
const INHERITED = ['PATH', 'HOME', 'LANG', 'TZ'];

const inherited = (): Record<string, string> =>
  Object.fromEntries(INHERITED.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])));

/** One attempt to put a version in place, under its lease. Every change goes through `#step`. */
export class Attempt {
  readonly #call: Call;
  readonly #site: Site;
  readonly #lease: Lease;
  #word = 'looking';

  constructor(call: Call, site: Site, lease: Lease) {
    this.#call = call;
    this.#site = site;
    this.#lease = lease;
  }

  beat(): void {
    this.#call.heartbeat(this.#word);
  }

  async run(): Promise<Receipt> {
    const { operationId, to } = this.#call;
    this.beat();
    const before = this.#site.look();
    if (before.holder.kind === 'foreign')
      throw new AdapterError(
        'conflict',
        `port ${this.#call.options.port} is held by ${before.holder.who}, which is no release of ${this.#site.root}; it was left alone and nothing was changed`,
      );
    // The line of an attempt that died between its switch and this line.
    if (before.holder.kind === 'front' && before.active !== null) this.#record(before.active);
    const earlier = before.active?.operationId === operationId && before.active.version === to && isAlive(before.active) ? before.active : null;
    const active = earlier === null && before.serving !== to ? await this.#move(before) : earlier;
    if (active !== null) {
      await this.#openDoor(active, before.serving);
      this.#record(active);
    }
    if (this.#site.link() !== to) {
      this.#replace(`pointing current at ${to}`, join(this.#site.root, 'current'), (path) => {
        fs.symlinkSync(join('releases', to), path);
      });
    }
    if (active !== null) await this.#settle(active);
    const { active: now } = this.#site.look();
    return {
      before: { version: before.serving, link: before.link },
      after: { version: to, pid: now?.pid ?? null, port: now?.port ?? null },
      ids: { process: now?.id ?? 'none', pid: now?.pid ?? 0 },
      detail: active === null ? `${to} was in place already` : `${before.serving ?? 'nothing'} → ${to}`,
    };
  }

  /** Says the word, looks at the lease, makes the change: in one breath. */
  #step<T>(word: string, change: () => T): T {
    this.#word = word;
    this.beat();
    this.#lease.hold();
    return change();
  }

  #replace(word: string, target: string, prepare: (path: string) => void): void {
    const prepared = this.#lease.prepared(target);
    fs.rmSync(prepared, { force: true });
    prepare(prepared);
    this.#step(word, () => {
      try {
        fs.renameSync(prepared, target);
      } catch (error) {
        // A successor has removed it: the rename is the fence itself.
        if (!fs.existsSync(prepared)) throw superseded();
        throw error;
      }
    });
  }

  #record({ id, operationId, from, version: to, at }: Active): void {
    const ledger = join(stateFolder(this.#site.root), 'effects.jsonl');
    if ((orNull(() => fs.readFileSync(ledger, 'utf8')) ?? '').includes(id)) return;
    this.#step(`recording ${to}`, () => {
      fs.appendFileSync(ledger, `${JSON.stringify({ id, operationId, from, to, at })}\n`);
    });
  }

  async #retire(find: () => Identity[], patienceMs: number): Promise<void> {
    await retire(find, patienceMs, () => {
      this.#lease.hold();
    });
  }

  async #until(word: string, timeoutMs: number, signal: AbortSignal | undefined, done: () => boolean | Promise<boolean>): Promise<boolean> {
    this.#word = word;
    this.beat();
    for (const end = performance.now() + timeoutMs; !(await done()); await sleep(50, undefined, { signal })) if (performance.now() > end) return false;
    return true;
  }

  async #move(before: ReturnType<Site['look']>): Promise<Active> {
    const { to, operationId, options } = this.#call;
    const { active } = before;
    await this.#retire(() => this.#site.strays([active?.id, active?.previous?.id]), STRAY_PATIENCE_MS);
    const backend = await this.#start();
    try {
      await this.#becomesHealthy(backend, before.serving);
      const previous =
        active !== null && isAlive(active) ? { id: active.id, pid: active.pid, start: active.start, version: active.version, port: active.port } : null;
      const next: Active = { ...backend, operationId, from: before.serving, at: new Date().toISOString(), drainMs: options.drainSeconds * 1_000, previous };
      this.#replace(`switching from ${before.serving ?? 'nothing'} to ${to}`, activeFile(this.#site.root), (path) => {
        fs.writeFileSync(path, JSON.stringify(next));
      });
      return next;
    } catch (error) {
      this.#lease.hold();
      await this.#retire(() => family(backend), STRAY_PATIENCE_MS);
      throw error;
    }
  }

  async #start(): Promise<Backend> {
    const { to, options, secret } = this.#call;
    const port = await freePort();
    const id = randomUUID();
    const env = inherited();
    for (const [name, value] of Object.entries(options.env ?? {})) env[name] = /^(env|file):./.test(value) ? await secret(value) : value;
    Object.assign(env, { PORT: String(port), BACKOUT_RELEASE: to, BACKOUT_ROOT: this.#site.root, BACKOUT_PROCESS: id });
    const args = options.command.slice(1).map((word) => word.replaceAll('{port}', String(port)));
    const at = { cwd: this.#site.folderOf(to), env, log: this.#site.logOf(to) };
    return { id, version: to, port, ...this.#step(`starting ${to}`, () => launch(this.#site.program(to) ?? '', args, at)) };
  }

  async #becomesHealthy(backend: Backend, serving: string | null): Promise<void> {
    const { to, options, healthPaths, signal } = this.#call;
    const ends = (why: string): AdapterError =>
      new AdapterError('failed', `${to} ${why}; it was stopped, and ${serving ?? 'nothing'} still serves; log: ${this.#site.logOf(to)}`);
    const healthy = await this.#until(`waiting for ${to} to be healthy`, options.startTimeoutSeconds * 1_000, signal, async () => {
      if (!isAlive(backend)) throw ends('ended before it was healthy (it must stay in the foreground)');
      return (await isHealthy(backend.port, '127.0.0.1', healthPaths, signal)) && isAlive(backend);
    });
    signal.throwIfAborted();
    if (!healthy) throw ends(`was not healthy on 127.0.0.1:${backend.port} within ${options.startTimeoutSeconds} s (does it listen on {port} or PORT?)`);
  }

  /** Sees that the front has the public port: starts it, and has a directly started release let go. From here on nothing is given up half-way. */
  async #openDoor(next: Active, serving: string | null): Promise<void> {
    const { options } = this.#call;
    const holder = this.#site.holder();
    if (holder.kind === 'front') return;
    await this.#retire(() => this.#site.fronts(), STRAY_PATIENCE_MS);
    const log = this.#site.logOf('front');
    const args = [FRONT_PROGRAM, this.#site.root, String(options.port), options.host, String(next.drainMs + FRONT_BIND_MS)];
    const front = this.#step('starting the front', () =>
      launch(process.execPath, args, { cwd: this.#site.root, env: { ...inherited(), BACKOUT_FRONT: this.#site.root }, log }),
    );
    if (holder.kind === 'direct') {
      await sleep(FRONT_READY_MS);
      this.#step(`stopping ${holder.version}, which was started directly`, () => undefined);
      await this.#retire(() => holder.processes.filter(isAlive), next.drainMs);
    }
    const open = await this.#until(
      'waiting for the front',
      FRONT_BIND_MS,
      undefined,
      () => listenersOn(options.port, [front.pid]).pids.length > 0 || !isAlive(front),
    );
    if (open && isAlive(front)) return;
    const left = this.#site.look().serving;
    await this.#retire(() => [...this.#site.fronts(), ...family(next)], STRAY_PATIENCE_MS);
    throw new AdapterError(
      'failed',
      `the front could not listen on ${options.host}:${options.port}; ${left ?? `nothing, where ${serving ?? 'nothing'} was before,`} serves; log: ${log}`,
    );
  }

  /** The front retires what it has left; what nobody retires, because an earlier attempt or an earlier front died, is stopped here. */
  async #settle(active: Active): Promise<void> {
    const left = remaining(() => [...this.#site.strays([active.id]), ...(active.previous === null ? [] : family(active.previous))]);
    await this.#until('waiting for the old release to end', 2 * active.drainMs + 3_000, undefined, () => left().length === 0 || this.#call.signal.aborted);
    if (this.#call.signal.aborted) return;
    await this.#retire(left, STRAY_PATIENCE_MS);
  }
}
