/** What a rollback shows: to `show`, to the Temporal UI, to whoever is awaited. Pure readings of `Progress`. */
import { isGuarded, signersOf } from '../model/authority.ts';
import { isSignedOff, unfreezeConditions } from '../model/conditions.ts';
import { changes } from '../model/policy.ts';
import { holdersOf, INCIDENT_ROLES } from '../model/roles.ts';
import { PASSED, type IncidentView, type Remaining, type RollbackState, type StepView } from '../model/state.ts';
import { startAgain } from '../model/start-again.ts';
import { beforeClose, waitingOf } from './awaited.ts';
import type { IncidentProgress } from './incident-progress.ts';
import type { Progress } from './progress.ts';
import type { StepProgress } from './step-progress.ts';
import { remainsOfTenant, tenantViewOf } from './tenant.ts';

const iso = (ms: number): string => new Date(ms).toISOString();

/** `backout show ID --json`, query `state` [product.md 10]. */
export function viewOf(progress: Progress, nowMs: number): RollbackState {
  const { identity, input, plan } = progress;
  const first = beforeClose(progress);
  return {
    rollbackId: identity.rollbackId,
    id: identity.workflowId,
    runId: identity.runId,
    kind: progress.kind,
    environment: input?.environment ?? '',
    components: input?.components ?? [],
    tenant: input?.tenant ?? null,
    incident: input?.incident ?? null,
    trigger: {
      type: input?.trigger ?? 'operator',
      cause: input?.cause ?? '',
      reason: input?.reason ?? '',
      by: input?.by ?? '',
      at: progress.openedAt ?? iso(identity.startedAtMs),
    },
    state: progress.name(),
    outcome: progress.outcome,
    planHash: progress.planHash,
    targets: plan?.targets ?? [],
    clock: {
      targetSeconds: plan ? plan.targetSeconds : progress.policy.targetSeconds,
      machineSeconds: progress.machineMs(nowMs) / 1000,
      humanSeconds: progress.humanMs(nowMs) / 1000,
      breached: progress.breached,
    },
    steps: progress.steps.map(stepViewOf),
    waiting: waitingOf(progress),
    answers: progress.answers,
    remains: remainsOf(progress),
    refusals: progress.refusals,
    warnings: progress.warnings,
    stopped: progress.stopReason(),
    ...(first === null ? {} : { beforeClose: first }),
    ...(progress.incident === null ? {} : { incidentCommand: commandOf(progress, progress.incident) }),
    ...(plan?.artifacts ? { deprovision: tenantViewOf(progress, plan.artifacts) } : {}),
    record: progress.record,
  };
}

function commandOf(progress: Progress, incident: IncidentProgress): IncidentView {
  const desk = progress.desk();
  return {
    level: progress.policy.level ?? 1,
    declared: incident.declared,
    roles: Object.fromEntries(Object.keys(INCIDENT_ROLES).map((role) => [role, isGuarded(desk, role) ? signersOf(desk, role) : holdersOf(desk, role)])),
    frozen: incident.frozen,
    conditions: unfreezeConditions(desk.steps, progress.answers),
    nextUpdateAt: incident.nextUpdateMs === null ? null : iso(incident.nextUpdateMs),
  };
}

/** What was not undone: parts in between, and at an end without success every component that is not at its target. */
function remainsOf(progress: Progress): Remaining[] {
  if (progress.plan?.artifacts) return remainsOfTenant(progress);
  const parts = progress.steps.flatMap((step) => step.remains);
  if (progress.outcome !== 'failed' && progress.outcome !== 'partial') return parts;
  const left = progress.steps.filter((step) => step.planned.operation === 'deploy' && !PASSED.has(step.state));
  if (progress.incident) return [...parts, ...leftOf(progress, progress.incident)];
  return [
    ...parts,
    ...left.map((step) => ({
      artifact: step.planned.component ?? step.planned.id,
      reason: step.failure?.message ?? 'not attempted',
      owner: step.planned.owner,
    })),
  ];
}

/** What an incident leaves: whatever changes and was not done, and the freeze. */
function leftOf(progress: Progress, incident: IncidentProgress): Remaining[] {
  const left = progress.steps.filter(
    ({ planned, state }) =>
      changes(planned.effect) &&
      planned.operation !== 'lift' &&
      ((state === 'skipped' && !(planned.only && !isSignedOff(progress.answers, planned.id))) || (!PASSED.has(state) && incident.declared !== null)),
  );
  return [
    ...left.map((step) => ({ artifact: step.planned.id, reason: step.failure?.message ?? 'not attempted', owner: step.planned.owner })),
    ...incident.frozen.map((scope) => ({
      artifact: `freeze of ${scope} in ${progress.input?.environment ?? ''}`,
      reason: `stays until a controlled unfreeze: start the rollback of this incident again to come to it: ${againOf(progress)}`,
      owner: progress.policy.lead,
    })),
  ];
}

/** With the kind it has grown to. A database that was switched over is back. */
function againOf({ kind, input, plan, steps }: Progress): string {
  const isBack = (database: string): boolean =>
    steps.some((step) => step.planned.id === `switch.${database}` && (step.state === 'done' || step.state === 'already'));
  const recover = Object.fromEntries(Object.entries(plan?.recover ?? {}).filter(([database]) => !isBack(database)));
  const { environment = '', incident = null, cause = '' } = input ?? {};
  return startAgain({ kind, environment, incident, cause, targets: plan?.targets ?? [], recover });
}

const stepViewOf = (step: StepProgress): StepView => ({
  ...step.planned,
  state: step.state,
  attempts: step.attempts,
  startedAt: step.startedAt,
  endedAt: step.endedAt,
  receipt: step.receipt,
  failure: step.failure,
});
