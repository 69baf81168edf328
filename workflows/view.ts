/** What a rollback shows: to `show`, to the Temporal UI, to whoever is awaited. Pure readings of `Progress`. */
import { PASSED, type Remaining, type RollbackState, type StepView, type Waiting } from '../model/state.ts';
import type { Progress } from './progress.ts';
import type { StepProgress } from './step-progress.ts';

const iso = (ms: number): string => new Date(ms).toISOString();

/** `backout show ID --json`, query `state` [product.md 10]. */
export function viewOf(progress: Progress, nowMs: number): RollbackState {
  const { identity, input, plan } = progress;
  return {
    rollbackId: identity.rollbackId,
    id: identity.workflowId,
    runId: identity.runId,
    kind: identity.kind,
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
    record: progress.record,
  };
}

/** What was not undone: parts in between, and at an end without success every component that is not at its target. */
function remainsOf(progress: Progress): Remaining[] {
  const parts = progress.steps.flatMap((step) => step.remains);
  if (progress.outcome !== 'failed' && progress.outcome !== 'partial') return parts;
  const left = progress.steps.filter((step) => step.planned.operation === 'deploy' && !PASSED.has(step.state));
  return [
    ...parts,
    ...left.map((step) => ({
      artifact: step.planned.component ?? step.planned.id,
      reason: step.failure?.message ?? 'not attempted',
      owner: step.planned.owner,
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
      const note = step.planned.id === 'investigation' ? ' --note "the finding"' : '';
      const json = { step: step.planned.id, by: 'YOU', ...(note === '' ? {} : { note: 'the finding' }) };
      return {
        step: step.planned.id,
        for: step.planned.owner ?? 'operator',
        since: step.startedAt ?? '',
        answer: `backout confirm ${id} --step ${step.planned.id} --by YOU${note}`,
        json: `confirm ${JSON.stringify(json)}`,
      };
    });
  return progress.stopReason() === null ? waits : [decisionAwaited(progress, id), ...waits];
}

function decisionAwaited(progress: Progress, id: string): Waiting {
  const step = progress.next();
  if (progress.stop || !step)
    return {
      step: step?.planned.id ?? '',
      for: 'operator',
      since: iso(progress.clock.humanSinceMs ?? progress.identity.startedAtMs),
      answer: `backout resume ${id} --by YOU --reason WHY`,
      json: 'resume {"by":"YOU","reason":"WHY"}',
    };
  const analysis = progress.policy.retryNeedsAnalysis;
  const json = { step: step.planned.id, by: 'YOU', action: 'retry', reason: 'WHY', ...(analysis ? { analysis: 'WHAT WENT WRONG' } : {}) };
  return {
    step: step.planned.id,
    for: step.planned.owner ?? 'operator',
    since: step.endedAt ?? iso(progress.clock.humanSinceMs ?? progress.identity.startedAtMs),
    answer: `backout decide ${id} --step ${step.planned.id} --action retry --by YOU --reason WHY${analysis ? ' --analysis "WHAT WENT WRONG"' : ''}`,
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
