/** What a rollback shows: to `show`, to the Temporal UI, to whoever is awaited. Pure readings of `Progress`. */
import { answerTo } from '../model/answer-to.ts';
import { isSignedOff, unfreezeConditions } from '../model/conditions.ts';
import { changes } from '../model/policy.ts';
import { holdersOf, INCIDENT_ROLES } from '../model/roles.ts';
import { BLOCKED, PASSED, type IncidentView, type Remaining, type RollbackState, type StepView, type Waiting } from '../model/state.ts';
import type { IncidentProgress } from './incident-progress.ts';
import type { Progress } from './progress.ts';
import type { StepProgress } from './step-progress.ts';
import { remainsOfTenant, tenantViewOf } from './tenant.ts';

const iso = (ms: number): string => new Date(ms).toISOString();

/** `backout show ID --json`, query `state` [product.md 10]. */
export function viewOf(progress: Progress, nowMs: number): RollbackState {
  const { identity, input, plan } = progress;
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
    roles: Object.fromEntries(Object.keys(INCIDENT_ROLES).map((role) => [role, holdersOf(desk, role)])),
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
      reason: 'stays until a controlled unfreeze: start the rollback of this incident again to come to it',
      owner: progress.policy.lead,
    })),
  ];
}

/** Who is awaited for what, with the very words to answer. */
export function waitingOf(progress: Progress): Waiting[] {
  if (progress.closed) return [];
  const id = progress.identity.workflowId;
  const waits = progress.steps
    .filter((step) => step.state === 'waiting')
    .map((step) => {
      const { flags, json } = answerTo(step.planned, progress.planHash);
      return {
        step: step.planned.id,
        for: step.planned.owner ?? 'operator',
        since: step.startedAt ?? '',
        answer: `backout confirm ${id} --step ${step.planned.id} --by YOU${flags}`,
        json: `confirm ${JSON.stringify(json)}`,
      };
    });
  const beside = progress.steps.filter((step) => step.planned.beside && BLOCKED.has(step.state)).map((step) => decisionOn(progress, step));
  return progress.stopReason() === null ? [...beside, ...waits] : [...decisionsAwaited(progress), ...beside, ...waits];
}

function decisionsAwaited(progress: Progress): Waiting[] {
  const id = progress.identity.workflowId;
  const blocked = progress.blocked();
  if (!progress.stop && blocked.length > 0) return blocked.map((step) => decisionOn(progress, step));
  return [
    {
      step: progress.next()?.planned.id ?? '',
      for: progress.policy.lead,
      since: iso(progress.clock.humanSinceMs ?? progress.identity.startedAtMs),
      answer: `backout resume ${id} --by YOU --reason WHY`,
      json: 'resume {"by":"YOU","reason":"WHY"}',
    },
  ];
}

function decisionOn(progress: Progress, step: StepProgress): Waiting {
  const analysis = progress.policy.retryNeedsAnalysis;
  const json = { step: step.planned.id, by: 'YOU', action: 'retry', reason: 'WHY', ...(analysis ? { analysis: 'WHAT WENT WRONG' } : {}) };
  return {
    step: step.planned.id,
    for: step.planned.owner ?? 'operator',
    since: step.endedAt ?? iso(progress.clock.humanSinceMs ?? progress.identity.startedAtMs),
    answer: `backout decide ${progress.identity.workflowId} --step ${step.planned.id} --action retry --by YOU --reason WHY${analysis ? ' --analysis "WHAT WENT WRONG"' : ''}`,
    json: `decide ${JSON.stringify(json)}`,
  };
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
