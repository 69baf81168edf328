/**
 * `releases`, the embedded default: `<root>/releases/<version>/…`, a `current` link, real processes on this machine, and no vendor.
 *
 *   <root>/releases/<version>/   one folder a version          <root>/.backout/active.json    where traffic goes: its rename is the switch
 *   <root>/current               link to the one in place      <root>/.backout/effects.jsonl  one line a real switch, only appended to
 *   <root>/logs/<version>.log    what its processes say        <root>/.backout/lease.<n>      who may change things: the highest n
 *
 * CI deploys forward by the same path:
 *   node activities/adapters/releases.ts deploy --root R --port P --version V [--health /healthz] -- ./bin/serve
 * What runs, who listens and what is left over is asked of /proc (proc(5), Linux 6), never of our own memory.
 */
import { randomUUID } from 'node:crypto';
import * as fs from 'node:fs';
import { basename, delimiter, dirname, join, relative, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import type { Receipt } from '../../model/state.ts';
import { AdapterError, type Adapter, type AdapterCall, type Observation } from './adapter.ts';
import {
  activeFile,
  environmentOf,
  family,
  freePort,
  identify,
  isAlive,
  isHealthy,
  launch,
  Lease,
  listenersOn,
  orNull,
  processes,
  readActive,
  remaining,
  retire,
  stateFolder,
  superseded,
  type Active,
  type Backend,
  type Identity,
} from './releases-front.ts';

const optionsSchema = z.strictObject({
  root: z.string().min(1).describe('Folder that holds releases/ and current; relative to backout.yaml'),
  command: z.array(z.string().min(1)).min(1).describe('Run in the release folder; `{port}` and the variable PORT are where it must listen on 127.0.0.1'),
  port: z.int().min(1).max(65_535).describe('The public one'),
  host: z.string().default('127.0.0.1'),
  startTimeoutSeconds: z.number().positive().max(600).default(20),
  drainSeconds: z.number().min(0).max(600).default(5).describe('For the last requests to the old release, and again from SIGTERM to SIGKILL'),
  env: z.record(z.string(), z.string()).optional().describe('Variables of the service; `env:NAME` and `file:PATH` are secrets of the worker'),
});
export type ReleasesOptions = z.infer<typeof optionsSchema>;
type Call = AdapterCall<ReleasesOptions>;

const HEARTBEAT_MS = 500;
/** A process without traffic has nothing to finish. */
const STRAY_PATIENCE_MS = 500;
/** What the front takes to be ready to bind, before a directly started release is asked to let go of the port. */
const FRONT_READY_MS = 400;
const FRONT_BIND_MS = 10_000;
const FRONT_PROGRAM = join(import.meta.dirname, 'releases-front.ts');
const VERSION = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$/;
const INHERITED = ['PATH', 'HOME', 'LANG', 'TZ'];

const inherited = (): Record<string, string> =>
  Object.fromEntries(INHERITED.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])));

type Holder =
  | { readonly kind: 'none' | 'front' }
  /** A release that a simple script started on the public port itself. */
  | { readonly kind: 'direct'; readonly version: string; readonly processes: readonly Identity[] }
  | { readonly kind: 'foreign'; readonly who: string };

/** What is there: read only. */
class Site {
  readonly root: string;
  readonly #options: ReleasesOptions;

  constructor({ folder, options }: Pick<Call, 'folder' | 'options'>) {
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

/** One attempt to put a version in place, under its lease. Every change goes through `#step`. */
class Attempt {
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

  async #until(word: string, timeoutMs: number, signal: AbortSignal | undefined, done: () => boolean | Promise<boolean>): Promise<boolean> {
    this.#word = word;
    this.beat();
    for (const end = performance.now() + timeoutMs; !(await done()); await sleep(50, undefined, { signal })) if (performance.now() > end) return false;
    return true;
  }

  async #move(before: ReturnType<Site['look']>): Promise<Active> {
    const { to, operationId, options } = this.#call;
    const { active } = before;
    await retire(
      () => this.#site.strays([active?.id, active?.previous?.id]),
      STRAY_PATIENCE_MS,
      () => {
        this.#lease.hold();
      },
    );
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
      await retire(
        () => family(backend),
        STRAY_PATIENCE_MS,
        () => {
          this.#lease.hold();
        },
      );
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
    const hold = (): void => {
      this.#lease.hold();
    };
    const holder = this.#site.holder();
    if (holder.kind === 'front') return;
    await retire(() => this.#site.fronts(), STRAY_PATIENCE_MS, hold);
    const log = this.#site.logOf('front');
    const args = [FRONT_PROGRAM, this.#site.root, String(options.port), options.host, String(next.drainMs + FRONT_BIND_MS)];
    const front = this.#step('starting the front', () =>
      launch(process.execPath, args, { cwd: this.#site.root, env: { ...inherited(), BACKOUT_FRONT: this.#site.root }, log }),
    );
    if (holder.kind === 'direct') {
      await sleep(FRONT_READY_MS);
      this.#step(`stopping ${holder.version}, which was started directly`, () => undefined);
      await retire(() => holder.processes.filter(isAlive), next.drainMs, hold);
    }
    const open = await this.#until(
      'waiting for the front',
      FRONT_BIND_MS,
      undefined,
      () => listenersOn(options.port, [front.pid]).pids.length > 0 || !isAlive(front),
    );
    if (open && isAlive(front)) return;
    const left = this.#site.look().serving;
    await retire(() => [...this.#site.fronts(), ...family(next)], STRAY_PATIENCE_MS, hold);
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
    await retire(left, STRAY_PATIENCE_MS, () => {
      this.#lease.hold();
    });
  }
}

/** Nothing but an AdapterError leaves: the system's errors name a file and a reason, and hold no secret. */
async function guarded<T>(signal: AbortSignal, act: () => Promise<T>): Promise<T> {
  try {
    signal.throwIfAborted();
    return await act();
  } catch (error) {
    if (error instanceof AdapterError) throw error;
    if (signal.aborted) throw new AdapterError('unavailable', 'stopped waiting as asked; traffic was not moved', { cause: error });
    const code = error instanceof Error && 'code' in error ? error.code : null;
    throw new AdapterError(
      code === 'EACCES' || code === 'EPERM' ? 'unauthorized' : 'unexpected-response',
      error instanceof Error ? error.message : 'no error',
      { cause: error },
    );
  }
}

const inspect = (call: Call): Promise<Observation> =>
  guarded(call.signal, () => {
    const site = new Site(call);
    const { active, holder, link, serving } = site.look();
    const current = link === null || link === serving ? serving : null;
    return Promise.resolve({
      current,
      targetPresent: site.program(call.to) !== null,
      operationId: current !== null && holder.kind === 'front' ? (active?.operationId ?? null) : null,
      parts:
        link === null || link === serving
          ? []
          : [
              { name: 'the current link', version: link },
              { name: 'the serving process', version: serving },
            ],
      versions: site.versions(),
      facts: {
        portHeldBy: holder.kind === 'foreign' ? holder.who : holder.kind,
        pid: holder.kind === 'front' && serving !== null ? (active?.pid ?? null) : null,
        privatePort: active?.port ?? null,
        log: serving === null ? null : site.logOf(serving),
      },
    });
  });

export const releases: Adapter<ReleasesOptions> = {
  name: 'releases',
  options: optionsSchema,
  fence: {
    by: 'lease',
    window:
      'None for traffic and the link: a switch is the rename of a file that a successor removes first. A worker that is stopped for more than 4 s exactly ' +
      'between its last look at the lease and a start or a stop may still start one process, which gets no traffic and is stopped by the next apply, ' +
      'stop one that its successor stops as well, or repeat a line of the ledger word for word.',
  },
  executesInCi: false,
  limits: [
    'One Linux machine: processes and ports are read from /proc, and the folder must not be shared with another machine.',
    'HTTP/1.1 only. The service sees the front as its peer and the client in X-Forwarded-For; the front itself ends with the machine.',
    'A request to the old release that lasts longer than drainSeconds, and every upgraded connection (WebSocket), is cut off.',
    'A release that a script started on the public port itself is taken over with a gap: from its letting go of the port until the front has bound it, some milliseconds, and what it does to its own requests on SIGTERM.',
    'Nothing restarts a process that dies, or any of them after a reboot: apply and deploy do.',
    'The command stays in the foreground and listens on 127.0.0.1:PORT. Versions are letters, digits and . _ + - only.',
  ],
  inspect,
  apply: (call) =>
    guarded(call.signal, async () => {
      const site = new Site(call);
      if (site.program(call.to) === null)
        throw new AdapterError(
          'not-found',
          `${JSON.stringify(call.to)} is no release of ${site.root} that has ${call.options.command[0]}; nothing was changed`,
        );
      for (const folder of [stateFolder(site.root), join(site.root, 'logs')]) fs.mkdirSync(folder, { recursive: true });
      const lease = await Lease.acquire(call, stateFolder(site.root));
      const attempt = new Attempt(call, site, lease);
      const beat = setInterval(() => {
        attempt.beat();
      }, HEARTBEAT_MS);
      try {
        return await attempt.run();
      } finally {
        clearInterval(beat);
        lease.release();
      }
    }),
  /** `inspect` reads the system anew; beyond that the public port must answer. */
  verify: async (call) => {
    const seen = await inspect(call);
    const { host, port } = call.options;
    const answers = await guarded(call.signal, () => isHealthy(port, ['0.0.0.0', '::'].includes(host) ? '127.0.0.1' : host, [], call.signal));
    return { ...seen, current: answers ? seen.current : null, facts: { ...seen.facts, answers } };
  },
  manual: ({ folder, options, to }) => {
    const root = resolve(folder, options.root);
    const flags = Object.entries({
      root,
      port: options.port,
      host: options.host,
      version: to,
      'start-timeout': options.startTimeoutSeconds,
      drain: options.drainSeconds,
    });
    const env = Object.entries(options.env ?? {}).map(([name, value]) => ['env', `${name}=${value}`] as const);
    const words = [...flags, ...env].flatMap(([name, value]) => [`--${name}`, String(value)]);
    const quoted = (word: string): string => (/^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`);
    return [
      `cd ${quoted(folder)}`,
      [process.execPath, import.meta.filename, 'deploy', ...words, '--', ...options.command].map(quoted).join(' '),
      `readlink ${quoted(join(root, 'current'))}`,
    ];
  },
};

/** What a CI script calls to deploy forward: `apply` itself, under a lease like any other. */
async function deploy(argv: readonly string[]): Promise<void> {
  const text = { type: 'string' } as const;
  const many = { type: 'string', multiple: true, default: [] as string[] } as const;
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: { root: text, port: text, host: text, version: text, operation: text, 'start-timeout': text, drain: text, health: many, env: many },
  });
  const number = (flag: string | undefined): number | undefined => (flag === undefined ? undefined : Number(flag));
  const options = optionsSchema.parse({
    root: values.root,
    command: positionals,
    port: number(values.port),
    host: values.host,
    startTimeoutSeconds: number(values['start-timeout']),
    drainSeconds: number(values.drain),
    env: Object.fromEntries(values.env.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)])),
  });
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      abort.abort();
    });
  const receipt = await releases.apply({
    environment: 'deploy',
    component: 'deploy',
    options,
    folder: process.cwd(),
    to: values.version ?? '',
    healthPaths: values.health,
    attempt: 1,
    operationId: values.operation ?? `deploy/${randomUUID()}`,
    signal: abort.signal,
    heartbeat: () => undefined,
    served: () => Promise.resolve(null),
    secret: (reference) => {
      const name = reference.slice(reference.indexOf(':') + 1);
      const value = reference.startsWith('env:') ? process.env[name] : orNull(() => fs.readFileSync(name, 'utf8').trim());
      return value === undefined || value === null ? Promise.reject(new AdapterError('configuration', `there is no ${reference}`)) : Promise.resolve(value);
    },
  });
  process.stdout.write(`${JSON.stringify(receipt)}\n`);
}

if (import.meta.main) {
  const [word, ...argv] = process.argv.slice(2);
  try {
    if (word !== 'deploy') throw new Error('usage: releases.ts deploy --root R --port P --version V [--health /healthz] [--env NAME=VALUE] -- COMMAND…');
    await deploy(argv);
  } catch (error) {
    process.stderr.write(`releases: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
