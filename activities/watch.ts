/** Thirty minutes of looking after a rollback has succeeded [004 section 8.1]: one heartbeating activity, so that a poll costs no history. */
import type { Target } from '../model/plan.ts';
import { checkHealth, readServed } from './checks.ts';
import { findComponent, NotPossible } from './components.ts';
import { pause, type Attempt, type Dependencies } from './dependencies.ts';

export interface WatchWork {
  readonly rollbackId: string;
  readonly workflowId: string;
  readonly environment: string;
  readonly targets: readonly Target[];
  /** ISO time at which the watch ends by itself. */
  readonly until: string;
  readonly everySeconds: number;
}

/** `superseded`: another version was put in place, or another rollback has taken over; this watch has nothing to say about that. */
export type Watched =
  | { readonly verdict: 'healthy' }
  | { readonly verdict: 'superseded'; readonly detail: string }
  | { readonly verdict: 'degraded'; readonly detail: string };

/** That many bad readings in a row, so that one lost packet wakes nobody. */
const BAD_READINGS = 3;

export async function watchHealth(work: WatchWork, deps: Dependencies, attempt: Attempt): Promise<Watched> {
  let bad = 0;
  while (Date.now() < Date.parse(work.until)) {
    const looked = await Promise.all(work.targets.map((target) => look(work, target, deps, attempt)));
    const gone = looked.find((one) => one.verdict === 'superseded');
    if (gone) return gone;
    const worse = looked.find((one) => one.verdict === 'degraded');
    bad = worse ? bad + 1 : 0;
    if (worse && bad >= BAD_READINGS) return worse;
    attempt.heartbeat(worse ? `bad reading ${bad}` : 'healthy');
    await pause(work.everySeconds * 1000, deps, attempt);
  }
  return { verdict: 'healthy' };
}

async function look(work: WatchWork, target: Target, deps: Dependencies, attempt: Attempt): Promise<Watched> {
  const { component: name, to, from } = target;
  try {
    const { config } = findComponent(await deps.config(), deps.adapters, work.environment, name);
    const served = config.served ? await readServed(config.served, attempt.signal) : null;
    if (served?.version === from && from !== to) return { verdict: 'degraded', detail: `${name} serves ${from} again, the version that was taken back` };
    if (served && served.version !== null && served.version !== to) return { verdict: 'superseded', detail: `${name} serves ${served.version} now` };
    const health = await checkHealth({ ...config, settleSeconds: 0.001 }, attempt.signal);
    return health.failure ? { verdict: 'degraded', detail: `${name}: ${health.failure.message}` } : { verdict: 'healthy' };
  } catch (error) {
    if (error instanceof NotPossible) return { verdict: 'superseded', detail: error.message };
    throw error;
  }
}
