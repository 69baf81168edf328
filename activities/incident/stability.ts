/** Is the target still in place, healthy and frozen [001 step 5]? Looked at for a while before the unfreeze, and once more before anything is lifted. */
import { failure } from '../../model/failure.ts';
import { POLICIES } from '../../model/policy.ts';
import type { Failure } from '../../model/state.ts';
import { StoreUnavailable } from '../../store/store.ts';
import { checkHealth, readServed } from '../checks.ts';
import { callOf, findComponent } from '../components.ts';
import { pause } from '../dependencies.ts';
import { failed, fromError, type Found } from '../found.ts';
import { drifted as keysDrifted, sourcesOf } from './configuration.ts';
import { liftedByHand } from './carriers.ts';
import type { Scene } from './scene.ts';

const EVERY_MS = 1_000;
/** Bad readings of health in a row, so that one lost packet stops nothing. */
const BAD_READINGS = 3;

export async function stability(scene: Scene): Promise<Found> {
  const { work, attempt, loaded, deps } = scene;
  const forMs = loaded.config.unfreeze.stableForSeconds * 1000;
  const until = Date.now() + forMs;
  try {
    for (;;) {
      const found = (await grownSince(scene)) ?? (await driftOf(scene)) ?? (await stillFrozen(scene));
      if (found) return found;
      if (Date.now() >= until) break;
      attempt.heartbeat('watching the target');
      await pause(Math.min(EVERY_MS, Math.max(1, until - Date.now())), deps, attempt);
    }
    return {
      state: 'done',
      receipt: { after: { stableForSeconds: forMs / 1000, components: (scene.incident.targets ?? []).map((one) => one.component) } },
      failure: null,
      remains: [],
    };
  } catch (error) {
    return fromError(work, attempt, error, { receipt: null, acted: false });
  }
}

/** A run that was reset to before its level grew knows nothing of what the higher one has begun, and would unfreeze what is half done. */
async function grownSince({ work, incident, deps }: Scene): Promise<Found | null> {
  const row = await deps.store.rollback(work.rollbackId).catch((error: unknown) => {
    if (error instanceof StoreUnavailable) return null;
    throw error;
  });
  const kind = row?.plan?.kind;
  if (kind === undefined || (POLICIES[kind].level ?? 1) <= (incident.level ?? 1)) return null;
  return failed('PlanStale', `the record has a plan of ${kind} for this rollback, and this run was reset to before that: escalate it again`);
}

/** What left its target since it was put back; null: nothing. */
export async function driftOf(scene: Scene): Promise<Found | null> {
  const looks = await Promise.all((scene.incident.targets ?? []).map((target) => driftOfComponent(scene, target)));
  const drifted = looks.filter((one) => one !== null);
  const [first] = drifted;
  if (!first) return null;
  return { ...failed('Drifted', drifted.map((one) => one.failure.message).join('; ')), change: { drifted } };
}

async function driftOfComponent(
  { work, loaded, deps, attempt }: Scene,
  { component: name, to, marks = [] }: { component: string; to: string; marks?: readonly string[] },
): Promise<{ component: string; failure: Failure; config?: true } | null> {
  const component = findComponent(loaded, deps.adapters, work.environment, name);
  const drifted = (what: string): { component: string; failure: Failure } => ({
    component: name,
    failure: failure('Drifted', `${name} was put back to ${to}, and now ${what}`),
  });
  const call = callOf(component, { to, operationId: 'inspection', attempt: 1, signal: attempt.signal, heartbeat: attempt.heartbeat });
  const { current } = await component.adapter.inspect(call);
  if (current !== null && current !== to) return drifted(`${component.adapter.name} has ${current} in place`);
  const keys = marks.some((id) => id !== '') ? await keysDrifted(sourcesOf(loaded, component, attempt, 'inspection'), marks) : [];
  if (keys.length > 0) return { ...drifted(`its configuration is not as it was recorded: ${keys.map((one) => one.what).join(', ')}`), config: true };
  const { served } = component.config;
  const reading = served ? await readServed(served, attempt.signal) : null;
  if (reading?.version && reading.version !== to) return drifted(`${served?.url ?? ''} serves ${reading.version}`);
  for (let bad = 1; ; bad += 1) {
    const health = await checkHealth({ ...component.config, settleSeconds: 0.001 }, attempt.signal);
    if (health.failure === null) return null;
    if (bad >= BAD_READINGS) return drifted(`it is unhealthy: ${health.failure.message}`);
    await pause(EVERY_MS, deps, attempt);
  }
}

async function stillFrozen(scene: Scene): Promise<Found | null> {
  const unfrozen = await liftedByHand(scene);
  if (unfrozen.length === 0) return null;
  const what = unfrozen.map(({ carrier, detail }) => `${carrier} (${detail})`).join('; ');
  return { ...failed('FreezeLifted', `the freeze was lifted by hand on ${what}`), change: { unfrozen } };
}
