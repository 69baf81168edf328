/** One step, one activity: what it is given, and what its outcome means for the rollback. */
import { ActivityFailure, ApplicationFailure, isCancellation, rootCause } from '@temporalio/workflow';
import { BY_HAND } from '../model/deprovision.ts';
import { changes } from '../model/policy.ts';
import type { Target } from '../model/plan.ts';
import type { RecordEntry } from '../model/record.ts';
import { BLOCKED, PASSED } from '../model/state.ts';
import type { StepOutcome } from '../activities/step.ts';
import { checkOwnTime, follow, incidentWorkOf } from './incident.ts';
import type { Progress } from './progress.ts';
import { runStep, runTenantStep } from './proxies.ts';
import type { StepProgress } from './step-progress.ts';
import { draw, recorded } from './telling.ts';
import { followTenant, tenantWorkOf } from './tenant.ts';

const iso = (ms: number): string => new Date(ms).toISOString();

/** One activity: inspect, apply what is missing, verify; or only inspect, where a person says it is done. */
export async function execute(progress: Progress, step: StepProgress, mode: 'run' | 'inspect'): Promise<void> {
  const before = { state: step.state, failure: step.failure };
  const now = Date.now();
  // Waiting for another rollback, by the commander's word, is waiting for its people.
  if (step.planned.operation === 'identify' && progress.incident?.takeover === 'wait') progress.awaitPerson(now);
  // What goes on beside the walk is not what the clock is about: people may be awaited meanwhile.
  else if (!progress.verified && !step.planned.beside) progress.resumeMachine(now);
  const saidBy = step.doneSaidBy ?? 'unknown';
  Object.assign(step, { state: 'running', startedAt: step.startedAt ?? iso(now), endedAt: null, doneSaidBy: null });
  // Who did it himself is believed as far as a look agrees; nothing was attempted, so nothing has failed.
  const how = step.approval?.choice === BY_HAND ? 'inspect' : mode;
  const outcome = await attempt(progress, step, how, now);
  step.tries += 1;
  Object.assign(step, { attempts: step.attempts + outcome.attempts, endedAt: iso(Date.now()), receipt: outcome.receipt ?? step.receipt });
  if (how === 'inspect' && outcome.state !== 'done' && outcome.state !== 'already') {
    // Its approval may have been another's word, about another question.
    const confirmed = step.approval?.choice === BY_HAND ? step.approval.by : null;
    progress.refuse(
      'inspection-disagrees',
      `${step.planned.id} was said to be done, and the inspection does not agree: ${outcome.failure?.message ?? outcome.state}`,
      confirmed ?? saidBy,
      Date.now(),
      confirmed === null ? 'decide' : 'confirm',
    );
    Object.assign(step, before, confirmed === null ? {} : { approval: null });
  } else {
    Object.assign(step, { state: outcome.state, failure: outcome.failure });
  }
  step.remains = outcome.remains;
  checkOwnTime(progress, step, Date.now() - now);
  follow(progress, step, outcome);
  followTenant(progress, step, outcome);
  for (const warning of outcome.warnings) progress.warn(warning);
  draw(progress);
}

async function attempt(progress: Progress, step: StepProgress, mode: 'run' | 'inspect', now: number): Promise<StepOutcome> {
  const { identity, plan } = progress;
  if (!plan) throw new Error('a step runs only after the plan is made');
  const target = plan.targets.find((one) => one.component === step.planned.component);
  const entries = progress.takeUnrecorded(now);
  const left = step.granted ? null : leftMs(progress, target, now);
  try {
    const runs = plan.artifacts === undefined ? runStep : runTenantStep;
    const outcome = await runs.executeWithOptions({ summary: step.planned.title }, [
      {
        rollbackId: identity.rollbackId,
        environment: plan.environment,
        step: { id: step.planned.id, operation: step.planned.operation, component: step.planned.component, effect: step.planned.effect },
        from: target?.from ?? null,
        to: target?.to ?? '',
        config: target?.config ?? '',
        generation: step.generation,
        ordinal: step.tries,
        mode,
        mayHaveActed: step.mayHaveActed,
        deadlineAt: left === null ? null : iso(now + left),
        machineMs: progress.machineMs(now),
        humanMs: progress.humanMs(now),
        entries,
        ...incidentWorkOf(progress, step),
        ...tenantWorkOf(progress, step),
      },
    ]);
    // A result completed by hand (`temporal activity complete`) may be anything; it proves nothing.
    if (!isOutcome(outcome)) return lost(progress, step, entries, 'NoAnswer', 'the activity was completed from outside with something that is no result');
    recorded(progress, outcome.record, [...entries, outcome.entry]);
    return outcome;
  } catch (error) {
    if (!(error instanceof ActivityFailure) || isCancellation(error)) throw error;
    const type = error.cause instanceof ApplicationFailure ? (error.cause.type ?? 'Unknown') : 'NoAnswer';
    return lost(progress, step, entries, type, `no attempt reported back: ${rootCause(error) ?? error.message}`);
  }
}

/** What is left of the whole's time, or of the component's own; null: there is no clock. */
function leftMs(progress: Progress, target: Target | undefined, nowMs: number): number | null {
  const whole = progress.plan?.targetSeconds ?? null;
  if (whole === null) return null;
  const left = whole * 1000 - progress.machineMs(nowMs);
  return target?.targetSeconds === undefined ? left : Math.min(left, target.targetSeconds * 1000);
}

function isOutcome(value: unknown): value is StepOutcome {
  const like = value as Partial<StepOutcome> | null;
  return (
    typeof like === 'object' &&
    like !== null &&
    (PASSED.has(like.state ?? 'pending') || BLOCKED.has(like.state ?? 'pending')) &&
    typeof like.attempts === 'number' &&
    Array.isArray(like.remains) &&
    Array.isArray(like.warnings) &&
    typeof like.record === 'object'
  );
}

/** The activity gave no answer, for all its attempts: whether it acted is not known, and only an inspection may tell. */
function lost(progress: Progress, step: StepProgress, entries: readonly RecordEntry[], type: string, message: string): StepOutcome {
  progress.unrecorded.unshift(...entries);
  const failure = { type, message, retryable: true, remedy: 'look at the platform, then decide: retry inspects before it applies anything' };
  const state = changes(step.planned.effect) ? 'unknown' : 'failed';
  progress.note('step', Date.now(), { step: step.planned.id, state, generation: step.generation, failure });
  return { state, attempts: 1, receipt: null, failure, remains: [], warnings: [], entry: null, record: progress.record };
}
