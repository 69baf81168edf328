/**
 * While an environment is frozen: is it still? Somebody may lift the freeze on a platform by hand, an automation may put the bad version
 * back. The sweep looks, records and tells; what to do about it, people decide, and the rollback's own `stability` finds it too.
 */
import { whatIsLifted, whereIs } from '../activities/incident/drift.ts';
import type { LoadedConfig } from '../model/config-file.ts';
import type { Freeze } from '../model/freeze.ts';
import { entryOf } from '../model/record.ts';
import type { Answer } from '../model/state.ts';
import { notice, type Sweep } from './notice.ts';

interface Drift {
  readonly freeze: Freeze;
  readonly rollbackId: string;
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
  const entries = (await deps.store.entriesOf(rollback.rollbackId)).map(entryOf);
  const place = (step: string): number => entries.findLastIndex((one) => one.type === 'step' && one['step'] === step);
  const isIn = (step: string): boolean => ['done', 'already'].includes(String(entries[place(step)]?.['state']));
  const components = rollback.plan.targets.filter((target) => isIn(`${target.component}.deploy`));
  // From the commander's word on a platform may be unfrozen by ourselves, before the record tells of it.
  const unfrozen = entries.findLastIndex((one) => one.type === 'answer' && isUnfreeze(one['answer'] as Answer));
  const carriers = rollback.plan.steps.flatMap(({ id, operation, subject }) =>
    operation === 'freeze' && subject !== undefined && isIn(id) && place(id) > Math.max(unfrozen, place(`lift.${subject}`)) ? [subject] : [],
  );
  const looks = await Promise.all([
    ...components.map(async ({ component, to }) => ({ subject: component, verdict: await whereIs(deps.adapters, loaded, freeze, component, to) })),
    ...carriers.map(async (name) => ({ subject: name, verdict: await whatIsLifted(loaded, freeze, name) })),
  ]);
  return looks.flatMap(({ subject, verdict }) => (verdict === null ? [] : [{ freeze, rollbackId: rollback.rollbackId, subject, verdict }]));
}

const isUnfreeze = ({ name, step }: Answer): boolean => name === 'confirm' && step === 'unfreeze';

async function tellOf(deps: Sweep, { freeze, rollbackId, subject, verdict }: Drift): Promise<void> {
  await notice(deps, {
    event: `${rollbackId}/freeze-drift/${subject}/${new Date().toISOString()}`,
    rollbackId,
    workflowId: freeze.workflowId,
    kind: 'freeze-drift',
    text: `${freeze.environment} is frozen for ${freeze.incident}, and ${verdict}`,
    next: ['find out who did it', `backout show ${freeze.workflowId}`, `backout freeze list --environment ${freeze.environment}`],
  });
}
