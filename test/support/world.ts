/** A whole Backout in a temporary folder: real Temporal, real Postgres, a real shop on the platform `releases`, real worker processes. */
import { execFile, fork, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import type { RollbackState } from '../../model/state.ts';
import { workflowIdOf } from '../../model/plan.ts';
import { TASK_QUEUE } from '../../model/task-queue.ts';
import { freePort } from '../../client/local/ports.ts';
import { startServices, type LocalServices } from '../../client/local/services.ts';
import { componentYaml, layRelease, laySmoke, shopYaml, stopShop, type Release } from '../../client/demo/shop.ts';
import { openStore } from '../../store/postgres.ts';
import type { Store } from '../../store/store.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const WAIT_MS = 30_000;
/** The folder that `backout` itself uses. */
export const COMPILE_CACHE = join(tmpdir(), 'node-compile-cache');

export interface Shop {
  readonly name: string;
  readonly releases: readonly Release[];
  readonly yaml?: readonly string[];
}
export interface WorldOptions {
  readonly shops?: readonly Shop[];
  readonly yaml?: readonly string[];
  readonly memory?: boolean;
  /** False for a Temporal server with its UI. */
  readonly headless?: boolean;
  readonly dynamicConfig?: Readonly<Record<string, number>>;
  /** The `watch:` line; without it nothing is watched, so that no watch outlives its test. */
  readonly watch?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** One good release, and one whose checkout is broken. */
export const BOOTS: Shop = { name: 'web', releases: [{ version: 'v1.0.0' }, { version: 'v1.1.0', broken: true }] };

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export class World {
  readonly folder: string;
  readonly config: string;
  readonly services: LocalServices;
  readonly store: Store;
  readonly client: Client;
  readonly ports: Readonly<Record<string, number>>;
  private readonly connection: Connection;
  private readonly env: NodeJS.ProcessEnv;
  private readonly workers = new Set<ChildProcess>();

  private constructor(made: {
    folder: string;
    services: LocalServices;
    store: Store;
    connection: Connection;
    ports: Record<string, number>;
    env: NodeJS.ProcessEnv;
  }) {
    this.folder = made.folder;
    this.config = join(made.folder, 'backout.yaml');
    this.services = made.services;
    this.store = made.store;
    this.connection = made.connection;
    this.client = new Client({ connection: made.connection, namespace: made.services.namespace });
    this.ports = made.ports;
    this.env = made.env;
  }

  static async create(options: WorldOptions = {}): Promise<World> {
    for (const name of ['TEMPORAL_ADDRESS', 'TEMPORAL_NAMESPACE', 'DATABASE_URL', 'BACKOUT_CONFIG']) delete process.env[name];
    const folder = await mkdtemp(join(process.env['BACKOUT_TEST_FOLDER'] ?? tmpdir(), 'backout-world-'));
    await layPostgres(folder);
    const shops = options.shops ?? [BOOTS];
    const ports: Record<string, number> = {};
    for (const shop of shops) {
      ports[shop.name] = await freePort();
      for (const release of shop.releases) await layRelease(folder, shop.name, release);
    }
    await laySmoke(folder);
    const channels = ['channels: { incident: [{ file: ./incidents.log }] }'];
    await writeFile(
      join(folder, 'backout.yaml'),
      shopYaml(
        shops.map((shop) => componentYaml(shop.name, ports[shop.name] ?? 0, shop.yaml)),
        [...(options.yaml ?? channels), options.watch ?? 'watch: { minutes: 0 }'],
      ),
    );
    const services = await startServices({
      folder: join(folder, '.backout'),
      progress: () => undefined,
      temporalPort: 0,
      uiPort: 0,
      postgresPort: 0,
      memory: options.memory ?? true,
      headless: options.headless ?? true,
      ...(options.dynamicConfig === undefined ? {} : { dynamicConfig: options.dynamicConfig }),
    });
    const store = openStore(services.databaseUrl);
    await store.migrate();
    const connection = await Connection.connect({ address: services.temporalAddress });
    return new World({ folder, services, store, connection, ports, env: options.env ?? {} });
  }

  /** Environment in which a command or a worker of this world runs. */
  environment(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
    const { PATH, HOME, LANG, TMPDIR } = process.env;
    return {
      PATH: `${join(ROOT, 'node_modules/.bin')}:${PATH ?? ''}`,
      HOME,
      LANG,
      ...(TMPDIR === undefined ? {} : { TMPDIR }),
      TEMPORAL_ADDRESS: this.services.temporalAddress,
      DATABASE_URL: this.services.databaseUrl,
      BACKOUT_CONFIG: this.config,
      BACKOUT_SWEEP_MS: '500',
      NO_COLOR: '1',
      // Of the programs that are started and killed by the hundred, none keeps what it has compiled: they all take what `prepare.ts` has kept.
      NODE_COMPILE_CACHE: COMPILE_CACHE,
      ...this.env,
      ...more,
    };
  }

  /** A worker process, ready. Its log is `worker.log` in the world's folder. */
  async worker(env: NodeJS.ProcessEnv = {}, program = 'worker/main.ts'): Promise<ChildProcess> {
    const child = fork(join(ROOT, program), [], { cwd: this.folder, detached: true, stdio: ['ignore', 'pipe', 'pipe', 'ipc'], env: this.environment(env) });
    const log = createWriteStream(join(this.folder, 'worker.log'), { flags: 'a' });
    child.stdout?.pipe(log, { end: false });
    child.stderr?.pipe(log, { end: false });
    this.workers.add(child);
    child.once('exit', () => {
      this.workers.delete(child);
      log.end();
    });
    await new Promise<void>((ready, reject) => {
      child.once('message', () => {
        ready();
      });
      child.once('exit', (code) => {
        reject(new Error(`the worker ended with ${code ?? 'a signal'} before it was ready; see ${join(this.folder, 'worker.log')}`));
      });
    });
    return child;
  }

  /** Ends a process of ours and waits for it. */
  async end(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise<void>((done) => {
      child.once('exit', () => {
        done();
      });
    });
    child.kill(signal);
    await gone;
  }

  async endWorkers(): Promise<void> {
    await Promise.all([...this.workers].map((worker) => this.end(worker)));
  }

  /** What CI's deploy script does on this platform. */
  async deploy(component: string, version: string): Promise<void> {
    const ran = await run(
      process.execPath,
      [
        join(ROOT, 'activities/adapters/releases.ts'),
        'deploy',
        '--root',
        `./srv/${component}`,
        '--port',
        String(this.ports[component]),
        '--version',
        version,
        '--drain',
        '1',
        '--',
        './bin/serve',
      ],
      this.folder,
      this.environment(),
    );
    if (ran.code !== 0) throw new Error(`the deployment of ${version} failed: ${ran.stderr}`);
  }

  /** Deployed, recorded by CI; `healthy` records that its checks passed, as \`deployment verify\` would. */
  async release(component: string, version: string, healthy: boolean): Promise<string> {
    await this.deploy(component, version);
    return this.recorded(component, version, healthy);
  }

  async recorded(component: string, version: string, healthy: boolean): Promise<string> {
    const deploymentId = randomUUID();
    await this.store.recordDeployment({
      deploymentId,
      environment: 'production',
      component,
      version,
      commit: '0123abc',
      branch: 'main',
      status: 'in_progress',
      platformRef: null,
      deployedBy: 'ci',
    });
    if (healthy) await this.store.verifyDeployment(deploymentId, true, [], {});
    return deploymentId;
  }

  /** The good release, then the bad one in its place. */
  async badRelease(component = 'web', good = 'v1.0.0', bad = 'v1.1.0'): Promise<void> {
    await this.release(component, good, true);
    await this.release(component, bad, false);
  }

  /** A start as `temporal workflow start` would make it. */
  async start(more: Record<string, unknown> = {}, kind = 'deployRevert'): Promise<WorkflowHandle> {
    const input = {
      environment: 'production',
      components: ['web'],
      targets: { web: 'v1.0.0' },
      trigger: 'verification',
      cause: 'smoke-failed',
      reason: 'checkout answers 500',
      by: 'ci',
      ...more,
    };
    return this.client.workflow.start(kind, {
      workflowId: workflowIdOf({ kind: 'deployRevert', environment: input.environment, components: input.components }),
      taskQueue: TASK_QUEUE,
      args: [input],
    });
  }

  state(handle: WorkflowHandle): Promise<RollbackState> {
    return this.connection.withDeadline(Date.now() + 10_000, () => handle.query<RollbackState>('state'));
  }

  /** Waits until the rollback looks as wanted; fails with what it looked like last. */
  async until(handle: WorkflowHandle, what: string, wanted: (state: RollbackState) => boolean, waitMs = WAIT_MS): Promise<RollbackState> {
    const begin = Date.now();
    let last: RollbackState | undefined;
    while (Date.now() < begin + waitMs) {
      last = await this.state(handle).catch(() => last);
      if (last && wanted(last)) return last;
      // The longer it lasts, the less a moment more counts: each query costs server and worker what a step costs them.
      await delay(Math.min(Math.max(50, (Date.now() - begin) / 5), 500));
    }
    throw new Error(`never ${what}; last seen: ${JSON.stringify(last, null, 1)}\n${await this.workerLog()}`);
  }

  waiting(handle: WorkflowHandle, step = 'availability'): Promise<RollbackState> {
    return this.until(
      handle,
      `waiting for ${step}`,
      (state) => state.steps.some((one) => one.id === step && one.state === 'waiting') && state.state === 'waiting',
    );
  }

  stopped(handle: WorkflowHandle): Promise<RollbackState> {
    return this.until(handle, 'stopped', (state) => state.state === 'stopped');
  }

  /** The end of it, however it ended. */
  closed(handle: WorkflowHandle): Promise<RollbackState> {
    return this.until(handle, 'closed', (state) => state.state === 'closed');
  }

  confirm(handle: WorkflowHandle, more: Record<string, unknown> = {}): Promise<void> {
    return handle.signal('confirm', { step: 'availability', by: 'ana', ...more });
  }

  async effects(component = 'web'): Promise<{ operationId: string; from: string | null; to: string }[]> {
    const text = await readFile(join(this.folder, 'srv', component, '.backout', 'effects.jsonl'), 'utf8').catch(() => '');
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { operationId: string; from: string | null; to: string }); // The adapter's own ledger.
  }

  /** Effects by Backout, not by CI's deploys. */
  async ownEffects(component = 'web'): Promise<{ operationId: string; from: string | null; to: string }[]> {
    return (await this.effects(component)).filter((one) => !one.operationId.startsWith('deploy/'));
  }

  async serves(component = 'web'): Promise<string> {
    const response = await fetch(`http://127.0.0.1:${this.ports[component] ?? 0}/version`, { headers: { connection: 'close' } });
    return ((await response.json()) as { version: string }).version; // The shop's own answer.
  }

  async incidents(): Promise<{ notice: string; text: string; next: string[] }[]> {
    const text = await readFile(join(this.folder, 'incidents.log'), 'utf8').catch(() => '');
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { notice: string; text: string; next: string[] }); // Written by the file channel.
  }

  workerLog(): Promise<string> {
    return readFile(join(this.folder, 'worker.log'), 'utf8').catch(() => '');
  }

  /** The `backout` command, as a user runs it. */
  cli(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> {
    return run(process.execPath, [join(ROOT, 'client/backout.mjs'), ...args], this.folder, this.environment(env));
  }

  /** Everything of this world is gone afterwards. */
  async close(): Promise<void> {
    await this.endWorkers();
    await stopShop(this.folder);
    await this.store.close();
    await this.connection.close();
    await this.services.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** The data that `initdb` makes, made once for all worlds by `prepare.ts`. */
async function layPostgres(folder: string): Promise<void> {
  const { BACKOUT_TEST_POSTGRES: made } = process.env;
  if (made !== undefined) await promisify(execFile)('cp', ['-a', made, join(folder, '.backout')]);
}

export function run(command: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv): Promise<Ran> {
  return new Promise((done) => {
    execFile(command, [...args], { cwd, env, maxBuffer: 50_000_000, timeout: 120_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
      done({ code, stdout, stderr });
    });
  });
}
