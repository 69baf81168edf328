/** The target is identified [001 step 2]: components are taken, platforms and records read again, and the plan is what reality makes it. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Plan } from '../../model/plan.ts';
import type { FailureType } from '../../model/failure.ts';
import type { Rule } from '../../model/refusal.ts';
import { canonical, sha256 } from '../../store/digest.ts';
import type { Claim } from '../../store/store.ts';
import { findComponent, NotPossible } from '../components.ts';
import { again } from '../dependencies.ts';
import { failed, fromError, type Found } from '../found.ts';
import { look } from '../look.ts';
import type { Scene } from './scene.ts';
import { targetOf } from './plan.ts';

/** How long another rollback is waited for before the commander is asked again. */
const WAIT_MS = 600_000;
const LOOK_EVERY_MS = 500;

const FAILURE_OF: Partial<Record<Rule, FailureType>> = { 'platform-unavailable': 'PlatformUnavailable', 'target-in-place': 'NotFound' };

export async function identify(scene: Scene): Promise<Found> {
  const { work, attempt, deps } = scene;
  try {
    const row = await deps.store.rollback(work.rollbackId);
    if (!row?.plan || row.planHash === null) return failed('ClaimLost', 'the record has no plan of this rollback');
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
  const made = await Promise.all(
    before.targets.map(async (target) => {
      // What is back already was gone back from somewhere: that stays as it was confirmed.
      if (incident.settled?.includes(target.component)) return { target, warnings: [], volatile: {}, deployment: null };
      const component = findComponent(loaded, deps.adapters, work.environment, target.component);
      const seen = await look(component, request, deps, attempt, { patient: true, strict: false });
      return { ...(await targetOf(component, seen, loaded, deps, attempt)), deployment: seen.deployment };
    }),
  );
  const targets = made.map((one) => one.target);
  const plan: Plan = { ...before, targets };
  const hash = sha256(canonical(plan));
  const volatile = Object.fromEntries(made.flatMap((one) => (Object.keys(one.volatile).length === 0 ? [] : [[one.target.component, one.volatile]])));
  const receipt = { after: { planHash: hash, ...(Object.keys(volatile).length === 0 ? {} : { now: volatile }) } };
  const found: Found = { state: 'done', receipt, failure: null, remains: [], warnings: made.flatMap((one) => one.warnings) };
  if (hash === hashBefore) return found;
  const deploymentIds = Object.fromEntries(made.flatMap((one) => (one.deployment ? [[one.target.component, one.deployment.deploymentId]] : [])));
  const { position } = await deps.store.replan(
    work.rollbackId,
    { plan, planHash: hash, deploymentIds },
    {
      event: `${attempt.runId}/step/${work.step.id}/${work.generation}/${work.ordinal}/plan`,
      rollbackId: work.rollbackId,
      at: new Date().toISOString(),
      type: 'replanned',
      plan,
      planHash: hash,
      planHashBefore: hashBefore,
    },
  );
  await deps.checkpoint(position);
  return { ...found, change: { plan: { targets, hash } } };
}

/** Takes every component; answers who holds one that could not be taken. */
async function take(scene: Scene, plan: Plan): Promise<Claim | null> {
  const { work, incident, deps, attempt } = scene;
  const request = {
    environment: work.environment,
    components: plan.targets.map((target) => target.component),
    rollbackId: work.rollbackId,
    workflowId: attempt.workflowId,
    by: incident.by,
    at: new Date().toISOString(),
  };
  const until = Date.now() + WAIT_MS;
  for (;;) {
    const held = await deps.store.claim(request);
    if (!held) return null;
    if (incident.takeover === 'take-over') {
      await takeOver(scene, held.holder, request.components);
      continue;
    }
    if (incident.takeover !== 'wait' || Date.now() >= until) return held.holder;
    attempt.heartbeat(`waiting for ${held.holder.workflowId}`);
    await delay(LOOK_EVERY_MS, undefined, { signal: AbortSignal.any([attempt.signal, deps.stopping]) }).catch((error: unknown) => {
      throw again('the worker is stopping', error);
    });
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
    await delay(LOOK_EVERY_MS, undefined, { signal: attempt.signal });
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
  while (await other.isMoving()) await delay(LOOK_EVERY_MS, undefined, { signal: attempt.signal });
}
