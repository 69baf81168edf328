/** One walk over the plan: hold where it is stopped, ask where a person is needed, run what is left. Reads as a list. */
import { ActivityFailure, ApplicationFailure, condition, isCancellation, rootCause, setCurrentDetails, upsertSearchAttributes } from '@temporalio/workflow';
import { changes } from '../model/policy.ts';
import type { RecordEntry } from '../model/record.ts';
import { BLOCKED, PASSED } from '../model/state.ts';
import { WARN_AT } from '../model/clock.ts';
import type { StepOutcome } from '../activities/step.ts';
import type { Notice } from '../activities/notify.ts';
import { currentDetails, movingAttributes } from './details.ts';
import { notify, runStep } from './proxies.ts';
import type { Progress } from './progress.ts';
import type { StepProgress } from './step-progress.ts';
import { waitingOf } from './view.ts';

const iso = (ms: number): string => new Date(ms).toISOString();

/** Walks until every step has passed or a person closes it. */
export async function walk(progress: Progress): Promise<void> {
  for (;;) {
    await hold(progress);
    if (progress.closing) return;
    noteVerified(progress);
    const step = progress.next();
    if (!step) return;
    if (step.planned.mode === 'manual') await ask(progress, step);
    else if (progress.breached && changes(step.planned.effect) && !step.granted) step.held = true;
    else await execute(progress, step, 'run');
    checkClock(progress);
  }
}

/** Waits while it is stopped: for weeks if need be. A claim that a step is done is inspected here. */
async function hold(progress: Progress): Promise<void> {
  let told: string | null = null;
  for (;;) {
    const claimed = progress.steps.find((step) => step.doneSaidBy !== null);
    if (claimed && !progress.closing) {
      await execute(progress, claimed, 'inspect');
      continue;
    }
    const reason = progress.stopReason();
    if (reason === null) break;
    progress.awaitPerson(Date.now());
    show(progress);
    if (reason !== told) void tell(progress, 'stopped', reason);
    told = reason;
    await condition(() => progress.stopReason() !== reason || progress.steps.some((step) => step.doneSaidBy !== null));
  }
  progress.resumeMachine(Date.now());
}

/** Asks a person and waits; time passing never answers for him [product.md 4]. */
async function ask(progress: Progress, step: StepProgress): Promise<void> {
  if (step.planned.id === 'availability' && progress.atTarget && progress.steps.every((one) => one.planned.operation !== 'deploy' || one.state === 'already')) {
    // Nothing was changed, so there is no restored availability to confirm [product.md 2].
    Object.assign(step, { state: 'already', endedAt: iso(Date.now()) });
    return;
  }
  if (step.state === 'pending') Object.assign(step, { state: 'waiting', startedAt: iso(Date.now()) });
  const early = progress.kept.get(step.planned.id);
  if (early) {
    const state = early.kind === 'confirm' ? 'confirmed' : 'declined';
    Object.assign(step, { state, endedAt: iso(Date.now()) });
    return;
  }
  progress.awaitPerson(Date.now());
  show(progress);
  const { settings } = progress;
  const answered = (): boolean => step.state !== 'waiting' || progress.stopReason() !== null || progress.closing !== null;
  const untilReminder = (settings?.remindAfterSeconds ?? 300) * 1000;
  if (await condition(answered, untilReminder, { summary: `reminder: ${step.planned.id}` })) return;
  void tell(progress, 'reminder', `${step.planned.owner ?? 'operator'} is still awaited for ${step.planned.id}`);
  const untilHandOver = Math.max(1000, (settings?.handOverAfterSeconds ?? 1800) * 1000 - untilReminder);
  if (await condition(answered, untilHandOver, { summary: `hand-over: ${step.planned.id}` })) return;
  step.handedTo = settings?.handOverTo ?? null;
  void tell(progress, 'handed-over', `nobody has answered ${step.planned.id}; handed over to ${settings?.handOverTo ?? 'on-call-lead'}`);
  await condition(answered);
}

/** One activity: inspect, apply what is missing, verify; or only inspect, where a person says it is done. */
async function execute(progress: Progress, step: StepProgress, mode: 'run' | 'inspect'): Promise<void> {
  const before = { state: step.state, failure: step.failure };
  const now = Date.now();
  progress.resumeMachine(now);
  const saidBy = step.doneSaidBy ?? 'unknown';
  Object.assign(step, { state: 'running', startedAt: step.startedAt ?? iso(now), endedAt: null, doneSaidBy: null });
  const outcome = await attempt(progress, step, mode, now);
  step.tries += 1;
  Object.assign(step, { attempts: step.attempts + outcome.attempts, endedAt: iso(Date.now()), receipt: outcome.receipt ?? step.receipt });
  if (mode === 'inspect' && outcome.state !== 'done' && outcome.state !== 'already') {
    progress.refuse(
      'inspection-disagrees',
      `${step.planned.id} was said to be done, and the inspection does not agree: ${outcome.failure?.message ?? outcome.state}`,
      saidBy,
      Date.now(),
      'decide',
    );
    Object.assign(step, before);
  } else {
    Object.assign(step, { state: outcome.state, failure: outcome.failure });
  }
  step.remains = outcome.remains;
  for (const warning of outcome.warnings) progress.warn(warning);
  setCurrentDetails(currentDetails(progress));
}

async function attempt(progress: Progress, step: StepProgress, mode: 'run' | 'inspect', now: number): Promise<StepOutcome> {
  const { identity, plan } = progress;
  if (!plan) throw new Error('a step runs only after the plan is made');
  const target = plan.targets.find((one) => one.component === step.planned.component);
  const entries = progress.takeUnrecorded(now);
  const left = plan.targetSeconds === null || step.granted ? null : plan.targetSeconds * 1000 - progress.machineMs(now);
  try {
    const outcome = await runStep.executeWithOptions({ summary: step.planned.title }, [
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

/** What the activity said of the record: where the chain stands, or that the entries are still to be carried. */
export function recorded(progress: Progress, record: Progress['record'], entries: readonly (Progress['unrecorded'][number] | null)[]): void {
  if (record.behind) {
    progress.unrecorded.unshift(...entries.filter((one) => one !== null));
    progress.record = { ...progress.record, behind: true };
  } else {
    progress.record = record;
  }
}

/** Tells the incident channel; what cannot be delivered is a warning, never a reason to stop. */
export async function tell(progress: Progress, notice: Notice, text: string): Promise<void> {
  const { identity } = progress;
  const entries = progress.takeUnrecorded(Date.now());
  const at = iso(Date.now());
  progress.telling += 1;
  try {
    const told = await notify.executeWithOptions({ summary: `${notice}: ${text}`.slice(0, 200) }, [
      {
        rollbackId: identity.rollbackId,
        workflowId: identity.workflowId,
        notice,
        text,
        at,
        next: waitingOf(progress).map((one) => one.answer),
        machineMs: progress.machineMs(Date.now()),
        humanMs: progress.humanMs(Date.now()),
        entries,
      },
    ]);
    recorded(progress, told.record, [...entries, told.entry]);
    for (const warning of told.warnings) progress.warn(warning);
  } catch (error) {
    if (!(error instanceof ActivityFailure)) throw error;
    progress.unrecorded.unshift(...entries);
    progress.warn(`the incident channel could not be told (${notice}): ${rootCause(error) ?? error.message}`);
  } finally {
    progress.telling -= 1;
  }
}

/** Every gate has passed: machine time ends here, whatever the person does later. */
function noteVerified(progress: Progress): void {
  const left = progress.steps.some((step) => step.planned.mode !== 'manual' && step.state !== 'done' && step.state !== 'already' && step.state !== 'skipped');
  if (!left) progress.awaitPerson(Date.now());
}

/** The clock beside the walk: a warning at 60 %, a breach at 100 % of the target. Runs until the rollback is closed. */
export async function watchClock(progress: Progress): Promise<void> {
  const targetMs = (progress.plan?.targetSeconds ?? 0) * 1000;
  if (targetMs === 0) return;
  for (const share of [WARN_AT, 1]) {
    for (;;) {
      await condition(() => progress.closed || progress.clock.humanSinceMs === null);
      const left = targetMs * share - progress.machineMs(Date.now());
      if (progress.closed || progress.breached) return;
      if (left <= 0) break;
      await condition(() => progress.closed || progress.breached || progress.clock.humanSinceMs !== null, left, {
        summary: share === 1 ? 'time target' : 'time target, 60 %',
      });
    }
    if (share === 1) breach(progress);
    else void tell(progress, 'warning', `60 % of the ${targetMs / 1000} s are used`);
  }
}

/** A timer may fire late; the walk looks at the clock itself at every boundary. */
export function checkClock(progress: Progress): void {
  const target = progress.plan?.targetSeconds ?? null;
  if (target !== null && progress.machineMs(Date.now()) > target * 1000) breach(progress);
}

function breach(progress: Progress): void {
  if (progress.breached) return;
  progress.breach(Date.now());
  const text = `the time target of ${progress.plan?.targetSeconds ?? 0} s was missed [002 section 7]; an investigation is open`;
  progress.note('breach', Date.now(), { targetSeconds: progress.plan?.targetSeconds ?? null, machineMs: progress.machineMs(Date.now()) });
  void tell(progress, 'breach', text);
}

/** Shows what people and searches see; costs one event, and only where something moved. */
export function show(progress: Progress): void {
  const attributes = movingAttributes(progress);
  const key = JSON.stringify(attributes.map((one) => one.value));
  setCurrentDetails(currentDetails(progress));
  if (key === progress.shown) return;
  progress.shown = key;
  upsertSearchAttributes(attributes);
}
