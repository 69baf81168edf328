/** A platform of the test: a folder of releases, a free port, and the means to count what runs there without asking the adapter. */
import { freePort } from '../../../client/local/ports.ts';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AdapterCall } from '../../../activities/adapters/adapter.ts';
import { releases, type ReleasesOptions } from '../../../activities/adapters/releases.ts';
import type { Order } from './attempt.ts';

export const CANARY = 'canary-5f1d7c';
const MODES = { v1: 'well', v2: 'well', v3: 'well', crashing: 'crash', sick: 'sick', silent: 'silent', stubborn: 'stubborn' };
type Call = AdapterCall<ReleasesOptions>;

function readable(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // The process has ended.
  }
}

export class Platform {
  readonly folder = mkdtempSync(join(tmpdir(), 'backout-releases-'));
  readonly root = join(this.folder, 'srv');
  readonly port: number;
  readonly children: ChildProcess[] = [];
  readonly #baseline: number;

  private constructor(port: number, baseline: number) {
    this.port = port;
    this.#baseline = baseline;
    for (const [version, mode] of Object.entries(MODES)) {
      const bin = join(this.root, 'releases', version, 'bin');
      mkdirSync(bin, { recursive: true });
      const program = join(import.meta.dirname, 'service.ts');
      writeFileSync(join(bin, 'serve'), `#!/bin/sh\nexec '${process.execPath}' '${program}' "$@"\n`, { mode: 0o755 });
      writeFileSync(join(bin, '..', 'mode'), mode);
      writeFileSync(join(bin, '..', 'version'), version);
    }
  }

  /** Nothing runs. */
  static async bare(): Promise<Platform> {
    return new Platform(await freePort(), 0);
  }

  /** v1 serves, and its start is not counted. */
  static async serving(): Promise<Platform> {
    const platform = new Platform(await freePort(), 1);
    await releases.apply(platform.call({ to: 'v1', operationId: 'start' }));
    return platform;
  }

  get rawOptions(): Record<string, unknown> {
    return { root: './srv', command: ['./bin/serve', '{port}'], port: this.port, startTimeoutSeconds: 20, drainSeconds: 1, env: { TOKEN: 'env:TOKEN' } };
  }

  call(overrides: Partial<Call> = {}): Call {
    return {
      environment: 'test',
      component: 'web',
      options: releases.options.parse(this.rawOptions),
      folder: this.folder,
      to: 'v2',
      healthPaths: ['/healthz'],
      operationId: 'rollback/web.deploy/1',
      attempt: 1,
      signal: new AbortController().signal,
      heartbeat: () => undefined,
      secret: () => Promise.resolve(CANARY),
      served: () => Promise.resolve(null),
      ...overrides,
    };
  }

  options(overrides: Partial<ReleasesOptions>): ReleasesOptions {
    return releases.options.parse({ ...this.rawOptions, ...overrides });
  }

  ledger(): string[] {
    return readable(join(this.root, '.backout', 'effects.jsonl'))
      .split('\n')
      .filter(Boolean);
  }

  effects(): number {
    return this.ledger().length - this.#baseline;
  }

  /** What runs under the root, by the mark in its environment. */
  running(): { pid: number; version: string }[] {
    return readdirSync('/proc')
      .map(Number)
      .filter(Number.isInteger)
      .flatMap((pid) => {
        const marks = new Map(
          readable(`/proc/${pid}/environ`)
            .split('\0')
            .map((entry) => [entry.split('=')[0], entry.slice(entry.indexOf('=') + 1)]),
        );
        if (marks.get('BACKOUT_FRONT') === this.root) return [{ pid, version: 'front' }];
        return marks.get('BACKOUT_ROOT') === this.root ? [{ pid, version: marks.get('BACKOUT_RELEASE') ?? '' }] : [];
      });
  }

  versions(): string[] {
    return this.running()
      .map(({ version }) => version)
      .toSorted();
  }

  kill(version: string): void {
    for (const one of this.running().filter((running) => running.version === version)) process.kill(one.pid, 'SIGKILL');
  }

  snapshot(): unknown {
    const files = readdirSync(this.root, { recursive: true, encoding: 'utf8' })
      .toSorted()
      .map((name) => [name, name === 'current' ? readlinkSync(join(this.root, name)) : statSync(join(this.root, name)).mtimeMs]);
    return { files, running: this.running() };
  }

  child(program: string, args: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}): ChildProcess {
    const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'inherit'] });
    this.children.push(child);
    return child;
  }

  attempt(order: Partial<Order> = {}): { child: ChildProcess; said: Promise<string> } {
    const { to, operationId } = this.call();
    const whole: Order = { options: this.rawOptions, folder: this.folder, to, operationId, ...order };
    const child = this.child(process.execPath, [join(import.meta.dirname, 'attempt.ts'), JSON.stringify(whole)], {
      env: { ...process.env, WORKER_SECRET: CANARY },
    });
    let text = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    return { child, said: once(child, 'close').then(() => text.trim()) };
  }

  /** Ends all that the test started; answers with what should not have been there. */
  async teardown(): Promise<string[]> {
    for (const child of this.children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)) {
      child.kill('SIGKILL');
      await once(child, 'close');
    }
    const found = this.versions();
    while (this.running().length > 0) {
      for (const { pid } of this.running()) process.kill(pid, 'SIGKILL');
      await new Promise((resolve) => {
        setTimeout(resolve, 20);
      });
    }
    rmSync(this.folder, { recursive: true, force: true });
    const services = found.filter((version) => version !== 'front');
    return services.length > 1 || found.length - services.length > 1 ? found : [];
  }
}
