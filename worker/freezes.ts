/**
 * While an environment is frozen: is it still? Somebody may lift the freeze on a platform by hand, an automation may put the bad version
 * back. The sweep looks, records and tells; what to do about it, people decide, and the rollback's own `stability` finds it too.
 */
import { whatIsLifted, whereIs } from '../activities/incident/drift.ts';
import type { LoadedConfig } from '../model/config-file.ts';
import type { Freeze } from '../model/freeze.ts';
import type { RecordEntry } from '../model/record.ts';
import type { RollbackEvent } from '../store/store.ts';
import { notice, type Sweep } from './notice.ts';

interface Drift {
  readonly freeze: Freeze;
  /** What left its place: a component, or a carrier. */
  readonly subject: string;
  readonly verdict: string;
}

/** `drifting` is what was told already, by this worker: it is told again only when it changes. */
export async function watchFreezes(deps: Sweep, drifting: Map<string, string>): Promise<void> {
  const held = await deps.store.freezes({ inForceOnly: true });
  if (held.length === 0) {
    drifting.clear();
    return;
  }
  const loaded = await deps.config();
  const found = (await Promise.all(held.map((freeze) => driftsOf(deps, loaded, freeze)))).flat();
  const now = new Map(found.map((one) => [`${one.freeze.freezeId}/${one.subject}`, one]));
  for (const key of drifting.keys()) if (!now.has(key)) drifting.delete(key);
  for (const [key, drift] of now) {
    if (drifting.get(key) === drift.verdict) continue;
    drifting.set(key, drift.verdict);
    await tellOf(deps, drift);
  }
}

async function driftsOf(deps: Sweep, loaded: LoadedConfig, freeze: Freeze): Promise<Drift[]> {
  // The newest rollback of the incident knows what was put back; the one that froze may be long over.
  const [rollback] = (await deps.store.rollbacks({ workflowId: freeze.workflowId, limit: 5 })).filter((one) => one.plan !== null);
  if (!rollback?.plan || rollback.environment !== freeze.environment) return [];
  const last = await lastStates(deps, rollback);
  const isIn = (step: string): boolean => ['done', 'already'].includes(last.get(step) ?? '');
  const components = rollback.plan.targets.filter((target) => isIn(`${target.component}.deploy`));
  const carriers = rollback.plan.steps.flatMap((step) =>
    step.operation === 'freeze' && step.subject !== undefined && isIn(step.id) && !last.has(`lift.${step.subject}`) ? [step.subject] : [],
  );
  const looks = await Promise.all([
    ...components.map(async ({ component, to }) => ({ subject: component, verdict: await whereIs(deps.adapters, loaded, freeze, component, to) })),
    ...carriers.map(async (name) => ({ subject: name, verdict: await whatIsLifted(loaded, freeze, name) })),
  ]);
  return looks.flatMap(({ subject, verdict }) => (verdict === null ? [] : [{ freeze, subject, verdict }]));
}

async function lastStates({ store }: Sweep, { rollbackId }: RollbackEvent): Promise<Map<string, string>> {
  const entries = (await store.entriesOf(rollbackId)).map((one) => JSON.parse(one.body) as RecordEntry); // The chain holds what our own writer put there.
  return new Map(entries.flatMap((one) => (one.type === 'step' ? [[String(one['step']), String(one['state'])]] : [])));
}

async function tellOf(deps: Sweep, { freeze, subject, verdict }: Drift): Promise<void> {
  const [rollback] = await deps.store.rollbacks({ workflowId: freeze.workflowId, limit: 1 });
  const rollbackId = rollback?.rollbackId ?? freeze.rollbackId;
  await notice(deps, {
    event: `${rollbackId}/freeze-drift/${subject}/${new Date().toISOString()}`,
    rollbackId,
    workflowId: freeze.workflowId,
    kind: 'freeze-drift',
    text: `${freeze.environment} is frozen for ${freeze.incident}, and ${verdict}`,
    next: [`find out who did it`, `backout show ${freeze.workflowId}`, `backout freeze list --environment ${freeze.environment}`],
  });
}
