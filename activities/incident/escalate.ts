/** A level grows in place [product.md 2]: what is done stays done, what is missing is planned, and the record has both plans. */
import type { Escalate } from '../../model/input.ts';
import { forbiddenStep, type Plan, type PlanStep } from '../../model/plan.ts';
import type { People } from '../../model/roles.ts';
import type { DatabasePlace } from '../../model/incident-data.ts';
import { changes, POLICIES } from '../../model/policy.ts';
import { entryOf, type RecordEntry } from '../../model/record.ts';
import type { Rule } from '../../model/refusal.ts';
import type { RecordPosition } from '../../model/state.ts';
import { canonical, sha256 } from '../../store/digest.ts';
import { StoreUnavailable } from '../../store/store.ts';
import { findComponent, NotPossible } from '../components.ts';
import { ConfigError } from '../../model/config-file.ts';
import { again, type Attempt, type Dependencies } from '../dependencies.ts';
import { appendOrKeep, shown } from '../recording.ts';
import { lookAtData } from './data-look.ts';
import { beside, recoveryOf, stepsOf } from './plan.ts';

export interface EscalateWork extends Escalate {
  readonly rollbackId: string;
  readonly cause: string;
  readonly entries: readonly RecordEntry[];
}

export type Escalated = { readonly record: RecordPosition } & (
  | { readonly plan: Plan; readonly planHash: string; readonly warnings: readonly string[]; readonly people: People | null }
  | { readonly rule: Rule; readonly explanation: string }
);

/** How long the record may be away before the level stays what it is. */
const RECORD_PATIENCE_MS = 30_000;

/** Changes nothing but the record: the plan, and who asked for it. Asked for again, it answers what was planned. */
export async function escalateRollback(work: EscalateWork, deps: Dependencies, attempt: Attempt): Promise<Escalated> {
  try {
    const { record } = await appendOrKeep(deps, attempt, work.rollbackId, work.entries);
    if (record.behind) throw new StoreUnavailable('the record cannot be reached');
    return await escalated(work, deps, attempt);
  } catch (error) {
    const refused = (rule: Rule, explanation: string): Escalated => ({
      rule,
      explanation,
      record: { entries: 0, head: null, behind: error instanceof StoreUnavailable },
    });
    if (error instanceof NotPossible) return { ...refused(error.rule, error.message), record: shown(await deps.store.position(work.rollbackId)) };
    if (error instanceof ConfigError) return refused('configuration', error.message);
    if (!(error instanceof StoreUnavailable)) throw error;
    if (Date.now() < attempt.firstScheduledMs + RECORD_PATIENCE_MS) throw again('the record cannot be reached', error);
    return refused(
      'record-unavailable',
      'Postgres cannot be reached, and a level does not grow without the record; nothing was changed: escalate again once it is back',
    );
  }
}

async function escalated(work: EscalateWork, deps: Dependencies, attempt: Attempt): Promise<Escalated> {
  const { rollbackId, to, by, reason } = work;
  const row = await deps.store.rollback(rollbackId);
  if (!row?.plan || row.planHash === null || row.outcome !== null) throw new NotPossible('closed', 'the record has no open plan of this rollback');
  const before = row.plan;
  // The Security Lead may have been named only now.
  const people = (await deps.config()).config.people ?? null;
  // An earlier attempt may have written it and died before the workflow heard of it.
  const isWritten = (POLICIES[before.kind].level ?? 0) >= (POLICIES[to].level ?? 0);
  const made = isWritten ? { plan: before, warnings: await warnedOf(rollbackId, deps) } : await planOf(work, before, deps, attempt);
  const planHash = sha256(canonical(made.plan));
  if (isWritten) return { ...made, people, planHash, record: shown(await deps.store.position(rollbackId)) };
  const held = await deps.store.claim({
    environment: before.environment,
    components: placesOf(made.plan),
    rollbackId,
    workflowId: attempt.workflowId,
    by,
    at: new Date().toISOString(),
  });
  if (held) throw new NotPossible('exclusion', `${held.holder.component} is held by ${held.holder.workflowId}, started by ${held.holder.by}`);
  const { position } = await deps.store.replan(
    rollbackId,
    { plan: made.plan, planHash, deploymentIds: {} },
    {
      event: `${attempt.runId}/escalated/${to}`,
      rollbackId,
      at: new Date().toISOString(),
      type: 'replanned',
      plan: made.plan,
      planHash,
      planHashBefore: row.planHash,
      escalated: { from: before.kind, to, by, reason },
      warnings: made.warnings,
    },
  );
  await deps.checkpoint(position);
  return { ...made, people, planHash, record: shown(position) };
}

/** What was said with the plan of that level. */
async function warnedOf(rollbackId: string, { store }: Dependencies): Promise<readonly string[]> {
  const written = (await store.entriesOf(rollbackId)).map(entryOf).findLast((one) => one.type === 'replanned' && one['escalated'] !== undefined);
  return (written?.['warnings'] as readonly string[] | undefined) ?? [];
}

/** What no component is, as it is claimed: nobody else goes back with it meanwhile. */
export const placesOf = ({ places }: Pick<Plan, 'places'>): string[] => Object.keys(places ?? {}).map((place) => `@${place}`);

/** Databases that something was changed of, by the record; one whose way back is said anew now is looked at anew, where it was not recovered already. */
async function begunOf({ rollbackId, recover }: EscalateWork, { steps, data }: Plan, { store }: Dependencies): Promise<DatabasePlace[]> {
  const tries = (await store.entriesOf(rollbackId)).map(entryOf).filter((one) => one.type === 'step');
  const [tried, passed] = [tries, tries.filter((one) => one['state'] === 'done' || one['state'] === 'already')].map(
    (all) => new Set(all.map((one) => one['step'])),
  );
  const begun = new Set(steps.flatMap((step) => (step.place !== undefined && changes(step.effect) && tried?.has(step.id) ? [step.place] : [])));
  return (data?.databases ?? []).filter(({ name, recover: how }) => {
    const wanted = recover?.[name] ?? how;
    if (wanted !== how && passed?.has(`recover.${name}`))
      throw new NotPossible(
        'recover',
        `${name} is recovered from ${how ?? '?'} by this rollback already: escalate without --recover ${name}=…; who does not want it declines switch.${name}`,
      );
    return wanted === how && begun.has(`database/${name}`);
  });
}

/** What was counted anew before it was approved is in the words of its step, not in what was found when it was planned: of a database that is kept as it was begun, those words are kept. */
export function asCounted(steps: readonly PlanStep[], before: Pick<Plan, 'steps'>, kept: ReadonlySet<string>): PlanStep[] {
  return steps.map((step) => {
    const was = before.steps.find((one) => one.id === step.id && one.place === step.place && one.digest === step.digest);
    if (!was?.destroys || step.place === undefined || !kept.has(step.place)) return step;
    const { title, destroys, approval, attests, demands } = was;
    return {
      ...step,
      title,
      destroys,
      ...(approval === undefined ? {} : { approval }),
      ...(attests === undefined ? {} : { attests }),
      ...(demands === undefined ? {} : { demands }),
    };
  });
}

async function planOf(work: EscalateWork, before: Plan, deps: Dependencies, attempt: Attempt): Promise<{ plan: Plan; warnings: readonly string[] }> {
  const { to, cause } = work;
  const { environment, targets, tenant, window: span, recover } = before;
  const loaded = await deps.config();
  const said = recoveryOf({
    ...(span === undefined ? {} : { window: span }),
    ...recoveryOf(work),
    ...(recover === undefined && work.recover === undefined ? {} : { recover: { ...recover, ...work.recover } }),
  });
  const begun = await begunOf(work, before, deps);
  const seen = await lookAtData(loaded, { kind: to, environment, targets, tenant, begun, until: new Date().toISOString(), ...said }, deps, attempt);
  const components = targets.map((target) => findComponent(loaded, deps.adapters, environment, target.component));
  const planned = stepsOf(loaded, { kind: to, environment, cause, components, targets, data: seen });
  const steps = asCounted(planned, before, new Set(begun.map((one) => `database/${one.name}`)));
  const forbidden = forbiddenStep(to, steps);
  if (forbidden) throw new NotPossible('effect-not-allowed', `${forbidden.id} would touch ${forbidden.effect}, which a ${to} may not`);
  const plan: Plan = { ...before, kind: to, steps, targetSeconds: seen?.targetSeconds ?? before.targetSeconds, ...beside(seen) };
  return { plan, warnings: seen?.warnings ?? [] };
}
