/**
 * A worker that meets its end at a named boundary, once each: BACKOUT_CRASH_AT lists the points, separated by commas, and a file per point under
 * BACKOUT_CRASH_DIR remembers that it fired, over all workers that share the folder. A point is killed at (SIGKILL); `stop@` before it suspends
 * (SIGSTOP), `fail@` throws what no retry helps against; `#2` behind it is the same point once more.
 *
 *   openRollback:before-open   :after-open         closeRollback:before-finish   :after-finish
 *   STEP:before-find           :after-find         what a later attempt asks the record
 *   STEP:before-append         :after-append       the step's own entry: done and not recorded, recorded and not reported
 *   STEP:before-inspect        :before-apply       :after-apply       :before-verify
 *   STEP:word=TEXT             inside apply, set or lift, where the adapter says a word that begins with TEXT
 *
 * Of an incident also: STEP:before-CALL and :after-CALL, where CALL is `freeze` or `unfreeze` of the register, `claim`, `replan`, `inspect`, `set` or
 * `lift` of a platform that holds the freeze, `compare` or `apply` of the configuration, `post=AUDIENCE`, `git=WORD` (`armed-incident.ts`). Of levels 2 and 3:
 * every call to a database, an evidence chain, an authority or a holder (`armed-grave.ts`); `escalateRollback:before-claim` and `:before-replan`.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { enableCompileCache, flushCompileCache } from 'node:module';
import { join } from 'node:path';
import { ApplicationFailure } from '@temporalio/common';
import type { TestContext } from 'vitest';
import { AdapterError, type Adapter, type AdapterCall } from '../../activities/adapters/adapter.ts';
import type { Dependencies } from '../../activities/dependencies.ts';
import type { Store } from '../../store/store.ts';
import { armedHistory, armGrave } from './armed-grave.ts';
import { armedRegister, armOutside, type Reach } from './armed-incident.ts';
import type { World } from './world.ts';

export const CRASHING_WORKER = 'test/support/crashing-worker.ts';

/** What the test arms, and what has become of it. */
export class Crashes {
  readonly folder: string;
  readonly points: readonly string[];

  constructor(folder: string, points: readonly string[]) {
    this.folder = folder;
    this.points = points;
    mkdirSync(folder, { recursive: true });
  }

  get env(): { BACKOUT_CRASH_AT: string; BACKOUT_CRASH_DIR: string } {
    return { BACKOUT_CRASH_AT: this.points.join(','), BACKOUT_CRASH_DIR: this.folder };
  }

  fired(): string[] {
    return this.points.filter((point) => existsSync(this.file(point)));
  }
  /** The process it fired in; null before. */
  pid(point: string): number | null {
    return existsSync(this.file(point)) ? Number(readFileSync(this.file(point), 'utf8')) : null;
  }
  /** How the call ended in whose midst the worker was suspended, once it went on: `done`, or the kind of its error. */
  ended(point: string): string | null {
    return existsSync(`${this.file(point)}.ended`) ? readFileSync(`${this.file(point)}.ended`, 'utf8') : null;
  }

  file(point: string): string {
    return join(this.folder, encodeURIComponent(point));
  }
}

/** Starts another worker whenever one has died, until the test has ended; `deaths` are the signals that ended them. */
export function keepAWorker(
  context: TestContext,
  world: World,
  env: Readonly<Record<string, string>>,
): { deaths: (string | null)[]; current: () => ChildProcess | undefined } {
  const deaths: (string | null)[] = [];
  let child: ChildProcess | undefined;
  const ended = new AbortController();
  const keeping = (async () => {
    while (!ended.signal.aborted) {
      child = await world.worker(env, CRASHING_WORKER);
      if (ended.signal.aborted) await world.end(child);
      if (child.signalCode === null && child.exitCode === null) await once(child, 'exit');
      if (!ended.signal.aborted) deaths.push(child.signalCode);
    }
  })();
  context.onTestFinished(async () => {
    ended.abort();
    if (child) await world.end(child);
    await keeping;
  });
  return { deaths, current: () => child };
}

/** What runs of a component of `releases`, asked of the system and not of the adapter: the front counts where `front` is set. */
export function runningOf(folder: string, component: string): { pid: number; process: string | undefined; release: string | undefined; front: boolean }[] {
  const root = join(folder, 'srv', component);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      const marks = new Map(
        environmentOf(pid)
          .split('\0')
          .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
      );
      const front = marks.get('BACKOUT_FRONT') === root;
      return front || marks.get('BACKOUT_ROOT') === root
        ? [{ pid: Number(pid), process: marks.get('BACKOUT_PROCESS'), release: marks.get('BACKOUT_RELEASE'), front }]
        : [];
    });
}

function environmentOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8');
  } catch {
    return ''; // It has ended meanwhile.
  }
}

/** Has its process been started, since the world began? */
export const wasLaunched = (folder: string, component: string, version: string): boolean =>
  existsSync(join(folder, 'srv', component, 'logs', `${version}.log`));

/** The mark of the process that traffic goes to. */
export const servingOf = (folder: string, component: string): string => {
  const active: { id: string } = JSON.parse(readFileSync(join(folder, 'srv', component, '.backout', 'active.json'), 'utf8'));
  return active.id;
};

class Armed {
  private readonly crashes: Crashes;
  /** Points this process was suspended at, by step. */
  private readonly slept = new Map<string, string>();

  constructor(crashes: Crashes) {
    this.crashes = crashes;
  }

  reach(step: string, boundary: string): void {
    for (const point of this.crashes.points) {
      const [, act = 'kill', where = ''] = /^(?:(\w+)@)?(.*?)(?:#\d+)?$/.exec(point) ?? [];
      if (matches(where, step, boundary)) this.fire(point, act, step);
    }
  }

  private fire(point: string, act: string, step: string): void {
    try {
      writeFileSync(this.crashes.file(point), String(process.pid), { flag: 'wx' });
    } catch {
      return; // It has fired before.
    }
    if (act === 'fail') throw ApplicationFailure.nonRetryable(`armed to fail at ${point}`, 'Armed');
    process.kill(process.pid, act === 'stop' ? 'SIGSTOP' : 'SIGKILL');
    // Only who was suspended comes here.
    this.slept.set(step, point);
  }

  /** Leaves a trace of how a call ended in which this process was suspended. */
  note(step: string, how: string): void {
    const point = this.slept.get(step);
    if (point !== undefined) writeFileSync(`${this.crashes.file(point)}.ended`, how);
  }
}

function matches(where: string, step: string, boundary: string): boolean {
  const word = `${step}:word=`;
  if (where.startsWith(word)) return boundary.startsWith('word=') && boundary.startsWith(where.slice(step.length + 1));
  return where === `${step}:${boundary}`;
}

/** `rollbackId/step/generation`; an inspection for a plan has another id, and no step. */
const stepOf = (call: AdapterCall<unknown>): string => call.operationId.split('/')[1] ?? '';

const armedAdapter = (adapter: Adapter, armed: Armed): Adapter => ({
  ...adapter,
  inspect: (call) => {
    armed.reach(stepOf(call), 'before-inspect');
    return adapter.inspect(call);
  },
  apply: async (call) => {
    const step = stepOf(call);
    armed.reach(step, 'before-apply');
    const heartbeat = (word: string): void => {
      call.heartbeat(word);
      armed.reach(step, `word=${word}`);
    };
    try {
      const receipt = await adapter.apply({ ...call, heartbeat });
      armed.note(step, 'done');
      armed.reach(step, 'after-apply');
      return receipt;
    } catch (error) {
      armed.note(step, error instanceof AdapterError ? error.kind : String(error));
      throw error;
    }
  },
  verify: (call) => {
    armed.reach(stepOf(call), 'before-verify');
    return adapter.verify(call);
  },
});

const armedStore = (store: Store, armed: Armed): Store => ({
  ...store,
  ...armedRegister(store, reaching(armed)),
  ...armedHistory(store, reaching(armed)),
  open: async (request) => {
    armed.reach('openRollback', 'before-open');
    const opened = await store.open(request);
    armed.reach('openRollback', 'after-open');
    return opened;
  },
  append: async (rollbackId, entries) => {
    const steps = entries.flatMap((entry) => (entry.type === 'step' ? [String(entry['step'])] : []));
    for (const step of steps) armed.reach(step, 'before-append');
    const appended = await store.append(rollbackId, entries);
    for (const step of steps) armed.reach(step, 'after-append');
    return appended;
  },
  find: async (event) => {
    const step = /\/step\/([^/]+)\//.exec(event)?.[1] ?? '';
    armed.reach(step, 'before-find');
    const found = await store.find(event);
    armed.reach(step, 'after-find');
    return found;
  },
  finish: async (request) => {
    armed.reach('closeRollback', 'before-finish');
    const finished = await store.finish(request);
    armed.reach('closeRollback', 'after-finish');
    return finished;
  },
});

const reaching =
  (armed: Armed): Reach =>
  (step, boundary) => {
    armed.reach(step, boundary);
  };

function armedByEnvironment(): Armed {
  const { BACKOUT_CRASH_AT: points, BACKOUT_CRASH_DIR: folder } = process.env;
  if (points === undefined || points === '' || folder === undefined) throw new Error('BACKOUT_CRASH_AT and BACKOUT_CRASH_DIR are not set: no fault would fire');
  return new Armed(new Crashes(folder, points.split(',')));
}

const arm =
  (armed: Armed) =>
  (deps: Dependencies): Dependencies => ({
    ...deps,
    store: armedStore(deps.store, armed),
    adapters: Object.fromEntries(Object.entries(deps.adapters).map(([name, adapter]) => [name, armedAdapter(adapter, armed)])),
  });

if (import.meta.main) {
  // Not at the top: the tests read this file for `Crashes`, and need no worker for that.
  const armed = armedByEnvironment();
  armOutside(reaching(armed));
  armGrave(reaching(armed));
  // Many of them are started, and none comes to an end at which it would keep what it has compiled.
  enableCompileCache();
  const { runProcess } = await import('../../worker/worker.ts');
  flushCompileCache();
  await runProcess(arm(armed));
}
