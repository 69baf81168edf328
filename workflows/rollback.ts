/** The spine: open, walk, close. Every kind is this function; what differs is data (`model/policy.ts`) and the plan. */
import {
  ActivityFailure,
  allHandlersFinished,
  ApplicationFailure,
  CancellationScope,
  condition,
  rootCause,
  setCurrentDetails,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import { isSignedOff } from '../model/conditions.ts';
import { parseStart } from '../model/input.ts';
import { changes, type Kind } from '../model/policy.ts';
import type { Target } from '../model/plan.ts';
import type { Outcome, RollbackState, StepView } from '../model/state.ts';
import type { CloseWork } from '../activities/close.ts';
import type { Opened, Refused } from '../activities/open.ts';
import { currentDetails, movingAttributes, plannedAttributes } from './details.ts';
import { installHandlers } from './handlers.ts';
import { Progress } from './progress.ts';
import { viewOf } from './view.ts';
import { closeEventually, closeSoon, openRollback } from './proxies.ts';
import { keepInformed } from './communications.ts';
import { watchClock } from './deadline.ts';
import { declareAtOnce, reopen } from './incident.ts';
import { recorded, show } from './telling.ts';
import { writeFailure } from './request.ts';
import { continueRun, isNeverBegun, leavesRequest, rejoin } from './tenant.ts';
import { walk } from './walk.ts';

/**
 * Runs one rollback. Input: the JSON of `product.md` 5. Messages: `messages.ts`. Ends `rolled-back`, `rolled-back-late`, `partial` or `refused` as Completed,
 * `failed` as Failed; never by itself while something is undone, and never by the passing of time.
 */
export async function rollback(kind: Kind, raw: unknown): Promise<Ended> {
  const info = workflowInfo();
  const startedAtMs = Math.min(info.startTime.getTime(), Date.now());
  const progress = new Progress({
    rollbackId: rollbackIdOf(raw, info.originalExecutionRunId),
    workflowId: info.workflowId,
    runId: info.runId,
    kind,
    startedAtMs,
  });
  installHandlers(progress);
  // The first cancel request from outside is a stop; nothing inside may be cut off half-way.
  CancellationScope.current().cancelRequested.catch(() => {
    if (progress.closed || progress.ending || progress.stop) return;
    progress.stop = { by: 'cancel request', reason: 'the execution was asked to cancel from outside' };
    progress.answered({ name: 'stop', step: null, ...progress.stop }, Date.now());
  });
  return CancellationScope.nonCancellable(() => run(progress, raw));
}

/** A successor is told the id it goes on under; everything else is known by its first run. */
function rollbackIdOf(raw: unknown, firstRunId: string): string {
  const parsed = parseStart(raw);
  const named = 'value' in parsed ? (parsed.value.resumes?.rollbackId ?? '') : '';
  // What is no UUID names no rollback, and nothing could be recorded under it.
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(named) ? named : firstRunId;
}

async function run(progress: Progress, raw: unknown): Promise<Ended> {
  const parsed = parseStart(raw);
  progress.input = 'value' in parsed ? parsed.value : null;
  const opened = await open(progress, 'error' in parsed ? parsed.error : null);
  if (opened !== null) {
    upsertSearchAttributes([...plannedAttributes(progress), ...movingAttributes(progress)]);
    progress.shown = JSON.stringify(movingAttributes(progress).map((one) => one.value));
    setCurrentDetails(currentDetails(progress));
    declareAtOnce(progress, Date.now());
    rejoin(progress);
    const beside = [watchClock(progress), keepInformed(progress)];
    do if ((await walk(progress)) === 'continue') return continueRun(progress);
    while (!(await close(progress)));
    await Promise.all(beside);
  }
  await condition(() => allHandlersFinished() && progress.telling === 0);
  return finish(progress);
}

/** Null: refused, and on the record where there is one. */
async function open(progress: Progress, malformed: string | null): Promise<Opened | null> {
  const { identity, input } = progress;
  let opened: Opened | Refused;
  try {
    opened = await openRollback.executeWithOptions({ summary: 'inspect, decide, plan' }, [
      {
        rollbackId: identity.rollbackId,
        workflowId: identity.workflowId,
        kind: identity.kind,
        startedAt: new Date(identity.startedAtMs).toISOString(),
        input,
        malformed,
      },
    ]);
  } catch (error) {
    if (!(error instanceof ActivityFailure)) throw error;
    progress.refuse('platform-unavailable', `the plan could not be made: ${rootCause(error) ?? error.message}`, input?.by ?? 'unknown', Date.now());
    // It may have claimed before it fell silent: what it holds is given up.
    const entries = progress.takeUnrecorded(Date.now());
    progress.ending = true;
    await closeSoon({ ...closingOf(progress, 'refused'), entries }).then(
      (closed) => {
        recorded(progress, closed.record, []);
      },
      () => {
        progress.record = { ...progress.record, behind: true };
      },
    );
    await endRefused(progress);
    return null;
  }
  progress.record = opened.record;
  for (const warning of opened.warnings) progress.warn(warning);
  if ('refusal' in opened) {
    progress.refusals.push(opened.refusal);
    await endRefused(progress);
    return null;
  }
  progress.adopt(opened.plan, opened.planHash, opened.settings, opened.carried);
  progress.atTarget = opened.atTarget;
  return opened;
}

async function endRefused(progress: Progress): Promise<void> {
  progress.outcome = 'refused';
  progress.clock = { ...progress.clock, endedAtMs: Date.now() };
  upsertSearchAttributes([...plannedAttributes(progress), ...movingAttributes(progress)]);
  setCurrentDetails(currentDetails(progress));
}

function outcomeOf(progress: Progress): Outcome {
  if (progress.closing && progress.incident && progress.incident.declared === null) return 'refused';
  if (progress.closing && isNeverBegun(progress)) return 'refused';
  if (progress.closing || left(progress)) return progress.policy.partialEnd ? 'partial' : 'failed';
  return progress.breached ? 'rolled-back-late' : 'rolled-back';
}

/** Is something left undone that the rollback was to do? A platform that could not be frozen is history by now. */
const left = (progress: Progress): boolean =>
  progress.incident !== null &&
  progress.steps.some(
    ({ state, planned: { id, operation, effect } }) =>
      state === 'skipped' && (changes(effect) || operation === 'deploy') && operation !== 'freeze' && isSignedOff(progress.answers, id),
  );

/** A component that is unhealthy by accepted risk is not known healthy; a check that is not configured was said so [ADR 0012]. */
const isProven = (progress: Progress): boolean =>
  progress.steps.every(({ planned: { operation }, state, failure }) => {
    const proves = operation === 'health' || operation === 'smoke' || operation === 'served';
    return !proves || state === 'done' || state === 'already' || (state === 'skipped' && failure === null);
  });

/** Writes the end. It cannot close until the record has caught up [product.md 9]; false: what was put back is not served any more, so walk on. */
async function close(progress: Progress): Promise<boolean> {
  if (leavesRequest(progress)) await writeFailure(progress);
  progress.ending = true;
  if (progress.incident) await condition(() => progress.incident?.sending === false);
  const outcome = outcomeOf(progress);
  progress.resumeMachine(Date.now());
  progress.awaitPerson(Date.now());
  const closing = closingOf(progress, outcome);
  for (;;) {
    const entries = progress.takeUnrecorded(Date.now());
    const closed = await closeSoon.executeWithOptions({ summary: outcome }, [{ ...closing, entries }]).catch(async (error: unknown) => {
      if (!(error instanceof ActivityFailure)) throw error;
      progress.record = { ...progress.record, behind: true };
      show(progress);
      return closeEventually.executeWithOptions({ summary: `${outcome}, as soon as the record is there` }, [{ ...closing, entries }]);
    });
    if (closed.drifted.length > 0) {
      progress.unrecorded.unshift(...entries);
      progress.ending = false;
      reopen(progress, closed.drifted);
      return false;
    }
    recorded(progress, closed.record, []);
    for (const warning of closed.warnings) progress.warn(warning);
    await condition(() => progress.telling === 0);
    // What was said meanwhile belongs into the record too.
    if (progress.unrecorded.length === 0) break;
  }
  progress.clock = { ...progress.clock, endedAtMs: Date.parse(closing.at) };
  progress.outcome = outcome;
  show(progress);
  return true;
}

const closingOf = (progress: Progress, outcome: Outcome): Omit<CloseWork, 'entries'> => {
  const now = Date.now();
  return {
    rollbackId: progress.identity.rollbackId,
    workflowId: progress.identity.workflowId,
    outcome,
    at: new Date(now).toISOString(),
    closing: progress.closing,
    // Of an incident or a tenant in short: each step has its own entry in the record, and the people's answers have theirs.
    steps: progress.steps.map(({ planned: { id, component }, state, attempts, startedAt, endedAt }) =>
      isInFull(progress) ? { id, component, state, attempts, startedAt, endedAt } : { id, ...(component === null ? {} : { component }), state, endedAt },
    ),
    targets: bare(progress.plan?.targets ?? []),
    environment: progress.plan?.environment ?? '',
    machineMs: progress.machineMs(now),
    humanMs: progress.humanMs(now),
    breached: progress.breached,
    ...(progress.incident === null ? {} : { verified: progress.verified && isProven(progress) }),
  };
};

/** Without what belongs to a target of an incident: the plan has that, and a history is no place to repeat it. */
const bare = (targets: readonly Target[]): Target[] => targets.map(({ component, from, to, config }) => ({ component, from, to, config }));

/** What an execution answers at its end. Of an incident or a tenant in short: the query `state`, the plan and the record have the rest. */
export type Ended =
  | RollbackState
  | (Omit<RollbackState, 'steps' | 'targets' | 'answers' | 'waiting' | 'incidentCommand'> & {
      readonly targets: readonly Pick<Target, 'component' | 'from' | 'to'>[];
      readonly steps: readonly Pick<StepView, 'id' | 'state'>[];
    });

/** What has many steps says its end in short. */
const isInFull = ({ policy }: Progress): boolean => policy.subject === 'components';

function endOf(progress: Progress): Ended {
  const state = viewOf(progress, Date.now());
  if (isInFull(progress)) return state;
  const { steps, targets, answers: _answers, waiting: _waiting, incidentCommand: _command, ...rest } = state;
  return {
    ...rest,
    targets: targets.map(({ component, from, to }) => ({ component, from, to })),
    steps: steps.map(({ id, state: word }) => ({ id, state: word })),
  };
}

function finish(progress: Progress): Ended {
  const state = endOf(progress);
  if (progress.outcome !== 'failed') return state;
  const who = progress.closing ? ` ${progress.closing.by} closed it: ${progress.closing.reason}` : '';
  throw ApplicationFailure.nonRetryable(`the rollback failed.${who}`, 'RollbackFailed', state);
}
