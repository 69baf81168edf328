/** The target is identified [001 step 2]: components are taken, platforms and records read again, and the plan is what reality makes it. */
import type { Compared, Plan, PlanStep, Target } from '../../model/plan.ts';
import { entryOf } from '../../model/record.ts';
import { changes } from '../../model/policy.ts';
import { PASSED, type StepState } from '../../model/state.ts';
import type { FailureType } from '../../model/failure.ts';
import type { Rule } from '../../model/refusal.ts';
import { canonical, sha256 } from '../../store/digest.ts';
import type { Claim } from '../../store/store.ts';
import { findComponent, NotPossible } from '../components.ts';
import { pause } from '../dependencies.ts';
import { failed, fromError, mayHaveActed, type Found } from '../found.ts';
import { look, type Look } from '../look.ts';
import { replan } from '../recording.ts';
import type { Scene } from './scene.ts';
import { lookAtData } from './data-look.ts';
import { placesOf } from './escalate.ts';
import { beside, stepsOf, targetOf } from './plan.ts';

/** How long another rollback is waited for before the commander is asked again. */
const WAIT_MS = 600_000;
const LOOK_EVERY_MS = 500;

const FAILURE_OF: Partial<Record<Rule, FailureType>> = {
  'platform-unavailable': 'PlatformUnavailable',
  'target-in-place': 'NotFound',
  'revoked-credential': 'RevokedCredential',
  inverse: 'CannotGoBack',
  recover: 'CannotGoBack',
  'evidence-rewrite': 'CannotGoBack',
};

export async function identify(scene: Scene): Promise<Found> {
  const { work, attempt, deps } = scene;
  try {
    const row = await deps.store.rollback(work.rollbackId);
    if (!row?.plan || row.planHash === null) return failed('ClaimLost', 'the record has no plan of this rollback');
    if (row.outcome !== null) return failed('ClaimLost', `this rollback has ended ${row.outcome} already; nothing was taken`);
    const holder = await take(scene, row.plan);
    if (holder) {
      const what = `${holder.component} is held by ${holder.workflowId}, started by ${holder.by}`;
      return { ...failed('Held', what), change: { held: { component: holder.component, workflowId: holder.workflowId } } };
    }
    return await looked(scene, row.plan, row.planHash);
  } catch (error) {
    if (error instanceof NotPossible) return failed(FAILURE_OF[error.rule] ?? 'Configuration', error.message);
    return fromError(work, attempt, error, { receipt: null, acted: false });
  }
}

async function looked(scene: Scene, before: Plan, hashBefore: string): Promise<Found> {
  const { work, incident, loaded, deps, attempt } = scene;
  const request = {
    environment: work.environment,
    targets: Object.fromEntries(before.targets.map(({ component, to }) => [component, to])),
    trigger: 'operator',
    analysis: null,
    resumes: null,
  } as const;
  const done = await doneBefore(scene);
  const made = await Promise.all(
    before.targets.map(async (target) => {
      // What is back already was gone back from somewhere: that stays as it was confirmed.
      const settled = { target, warnings: [], volatile: {}, deployment: null };
      if (incident.settled?.includes(target.component)) return settled;
      const component = findComponent(loaded, deps.adapters, work.environment, target.component);
      const seen = await look(component, request, deps, attempt, { patient: true, strict: false });
      if (isOwnDoing(scene, seen, target, done)) return settled;
      const now = await targetOf(component, seen, loaded, deps, attempt);
      const isSetBack = done.has(`${target.component}.config`);
      return { ...now, target: isSetBack ? asConfirmed(now.target, target) : now.target, deployment: seen.deployment };
    }),
  );
  const targets = made.map((one) => one.target);
  const data = await dataNow(scene, before, targets, done);
  const plan: Plan = { ...before, targets, ...data.more };
  const hash = sha256(canonical(plan));
  const volatile = Object.fromEntries(made.flatMap((one) => (Object.keys(one.volatile).length === 0 ? [] : [[one.target.component, one.volatile]])));
  const receipt = { after: { planHash: hash, ...(Object.keys(volatile).length === 0 ? {} : { now: volatile }) } };
  const found: Found = { state: 'done', receipt, failure: null, remains: [], warnings: [...made.flatMap((one) => one.warnings), ...data.warnings] };
  // An earlier attempt may have written this plan and died before the workflow heard of it.
  if (hash === hashBefore) return mayHaveActed(work, attempt) ? { ...found, change: { plan: { targets, hash, ...data.more } } } : found;
  const deploymentIds = Object.fromEntries(made.flatMap((one) => (one.deployment ? [[one.target.component, one.deployment.deploymentId]] : [])));
  // What backout.yaml has come to have since is taken too, before anything of it is confirmed.
  const held = await deps.store.claim(claimFor(scene, placesOf(plan)));
  if (held) return failed('ClaimLost', `${held.holder.component} is held by ${held.holder.workflowId}, started by ${held.holder.by}`);
  await replan(work, deps, attempt, { plan, planHash: hash, planHashBefore: hashBefore, deploymentIds });
  return { ...found, change: { plan: { targets, hash, ...data.more } } };
}

/** What levels 2 and 3 go back with is looked at again too, until the first of it was begun: then it stays as it was confirmed. */
async function dataNow(
  { work, incident, loaded, deps, attempt }: Scene,
  before: Plan,
  targets: readonly Target[],
  done: ReadonlySet<string>,
): Promise<{ more: Pick<Plan, 'places' | 'window' | 'recover' | 'data'> & { steps?: readonly PlanStep[] }; warnings: readonly string[] }> {
  const tried = new Set((await deps.store.entriesOf(work.rollbackId)).map(entryOf).flatMap((one) => (one.type === 'step' ? [String(one['step'])] : [])));
  const begun = before.steps.some((step) => step.place !== undefined && (done.has(step.id) || (changes(step.effect) && tried.has(step.id))));
  if (before.places === undefined || begun) return { more: {}, warnings: [] };
  const { kind, environment, tenant, window: span, recover } = before;
  const said = { ...(span === undefined ? {} : { window: span }), ...(recover === undefined ? {} : { recover }) };
  const seen = await lookAtData(loaded, { kind, environment, targets, tenant, until: new Date().toISOString(), ...said }, deps, attempt);
  const components = targets.map((target) => findComponent(loaded, deps.adapters, work.environment, target.component));
  const steps = stepsOf(loaded, { kind, environment, cause: incident.cause ?? '', components, targets, data: seen });
  return {
    more: { ...beside(seen), ...(canonical(steps) === canonical(before.steps) && !mayHaveActed(work, attempt) ? {} : { steps }) },
    warnings: seen?.warnings ?? [],
  };
}

/** Steps that have passed, by the record, in whichever run of this rollback. */
async function doneBefore({ work, deps }: Scene): Promise<ReadonlySet<string>> {
  const entries = (await deps.store.entriesOf(work.rollbackId)).map(entryOf);
  // The state of a step's entry is one of a step.
  return new Set(entries.flatMap((one) => (one.type === 'step' && PASSED.has(one['state'] as StepState) ? [String(one['step'])] : [])));
}

/** Put back by this very rollback, in a run that was ended or reset, perhaps before it could say so. */
const isOwnDoing = ({ work }: Scene, { observation: { current, operationId } }: Look, { component, to }: Target, done: ReadonlySet<string>): boolean =>
  current === to && (done.has(`${component}.deploy`) || (operationId?.startsWith(`${work.rollbackId}/`) ?? false));

/** Configuration that this rollback has set back itself had drifted when it was confirmed; only what drifted since is another plan. */
function asConfirmed(now: Target, before: Target): Target {
  const isConfig = (one: Compared): boolean => one.what.startsWith('config ');
  const known = (before.comparison ?? []).filter(isConfig);
  const hashes = new Set(known.map(canonical));
  const all = now.comparison ?? [];
  return all.some((one) => isConfig(one) && !hashes.has(canonical(one))) ? now : { ...now, comparison: [...all.filter((one) => !isConfig(one)), ...known] };
}

const claimFor = ({ work, incident, attempt }: Scene, components: readonly string[]) => ({
  environment: work.environment,
  components,
  rollbackId: work.rollbackId,
  workflowId: attempt.workflowId,
  by: incident.by,
  at: new Date().toISOString(),
});

/** Takes every component; answers who holds one that could not be taken. */
async function take(scene: Scene, plan: Plan): Promise<Claim | null> {
  const { incident, deps, attempt } = scene;
  const request = claimFor(scene, [...plan.targets.map((target) => target.component), ...placesOf(plan)]);
  const until = Date.now() + WAIT_MS;
  for (;;) {
    const held = await deps.store.claim(request);
    if (!held) return null;
    // The commander's word is about the one that was named to him.
    const word = held.holder.workflowId === incident.holder ? incident.takeover : null;
    if (word === 'take-over') {
      await takeOver(scene, held.holder, request.components);
      continue;
    }
    if (word !== 'wait' || Date.now() >= until) return held.holder;
    attempt.heartbeat(`waiting for ${held.holder.workflowId}`);
    await pause(LOOK_EVERY_MS, deps, attempt);
  }
}

/**
 * The other rollback is stopped first, and left alone until nothing of it runs; only then do its components change hands. It stays
 * stopped: a change it is told to go on with finds that it no longer holds them.
 */
async function takeOver(scene: Scene, holder: Claim, components: readonly string[]): Promise<void> {
  const { work, incident, deps, attempt } = scene;
  const other = deps.peer(holder.workflowId);
  await other.stop({ by: incident.by, reason: `taken over by ${attempt.workflowId}` });
  while (await other.isMoving()) {
    attempt.heartbeat(`waiting until ${holder.workflowId} has stopped`);
    await pause(LOOK_EVERY_MS, deps, attempt);
  }
  const held = await deps.store.claims({ rollbackId: holder.rollbackId, environment: work.environment, components });
  const { position } = await deps.store.transferClaims({
    environment: work.environment,
    components: held.map((claim) => claim.component),
    from: holder.rollbackId,
    to: { rollbackId: work.rollbackId, workflowId: attempt.workflowId, by: incident.by, at: new Date().toISOString() },
    entry: {
      event: `${attempt.runId}/step/${work.step.id}/${work.generation}/${work.ordinal}/takeover-${holder.rollbackId}`,
      rollbackId: work.rollbackId,
      at: new Date().toISOString(),
      type: 'takeover',
      from: holder.workflowId,
      fromRollbackId: holder.rollbackId,
      by: incident.by,
      components: held.map((claim) => claim.component),
    },
  });
  await deps.checkpoint(position);
  // Somebody may have let it go on in that very moment.
  while (await other.isMoving()) await pause(LOOK_EVERY_MS, deps, attempt);
}
