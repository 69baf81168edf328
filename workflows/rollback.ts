/** The spine: open, walk, close. Every kind is this function; what differs is data (`model/policy.ts`) and the plan. */
import { ActivityFailure, allHandlersFinished, ApplicationFailure, CancellationScope, condition, rootCause, setCurrentDetails, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import { parseStart } from '../model/input.ts';
import type { Kind } from '../model/policy.ts';
import type { Outcome, RollbackState } from '../model/state.ts';
import type { Opened } from '../activities/open.ts';
import { currentDetails, movingAttributes, plannedAttributes } from './details.ts';
import { installHandlers } from './handlers.ts';
import { Progress } from './progress.ts';
import { closeEventually, closeSoon, openRollback } from './proxies.ts';
import { recorded, show, walk, watchClock } from './walk.ts';

/**
 * Runs one rollback. Input: the JSON of `product.md` 5. Messages: `messages.ts`. Ends `rolled-back`, `rolled-back-late`, `partial` or `refused` as Completed,
 * `failed` as Failed; never by itself while something is undone, and never by the passing of time.
 */
export async function rollback(kind: Kind, raw: unknown): Promise<RollbackState> {
  const info = workflowInfo();
  const startedAtMs = Math.min(info.runStartTime.getTime(), Date.now());
  const progress = new Progress({ rollbackId: rollbackIdOf(raw, info.originalExecutionRunId), workflowId: info.workflowId, runId: info.runId, kind, startedAtMs });
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
  return 'value' in parsed && parsed.value.resumes ? parsed.value.resumes.rollbackId : firstRunId;
}

async function run(progress: Progress, raw: unknown): Promise<RollbackState> {
  const parsed = parseStart(raw);
  progress.input = 'value' in parsed ? parsed.value : null;
  const opened = await open(progress, 'error' in parsed ? parsed.error : null);
  if (opened !== null) {
    upsertSearchAttributes([...plannedAttributes(progress), ...movingAttributes(progress)]);
    progress.shown = JSON.stringify(movingAttributes(progress).map((one) => one.value));
    setCurrentDetails(currentDetails(progress));
    const clock = watchClock(progress);
    await walk(progress);
    await close(progress);
    await clock;
  }
  await condition(() => allHandlersFinished() && progress.telling === 0);
  return finish(progress);
}

/** Null: refused, and on the record where there is one. */
async function open(progress: Progress, malformed: string | null): Promise<Opened | null> {
  const { identity, input } = progress;
  let opened: Opened;
  try {
    opened = await openRollback.executeWithOptions({ summary: 'inspect, decide, plan' }, [{
      rollbackId: identity.rollbackId, runId: identity.runId, workflowId: identity.workflowId, kind: identity.kind, startedAt: new Date(identity.startedAtMs).toISOString(), input, malformed,
    }]);
  } catch (error) {
    if (!(error instanceof ActivityFailure)) throw error;
    progress.refuse('platform-unavailable', `the plan could not be made: ${rootCause(error) ?? error.message}`, input?.by ?? 'unknown', Date.now());
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
  if (progress.closing) return progress.policy.partialEnd ? 'partial' : 'failed';
  return progress.breached ? 'rolled-back-late' : 'rolled-back';
}

/** It cannot close until the record has caught up [product.md 9]. */
async function close(progress: Progress): Promise<void> {
  progress.ending = true;
  const outcome = outcomeOf(progress);
  const now = Date.now();
  progress.clock = { ...progress.clock, endedAtMs: now };
  const closing = {
    rollbackId: progress.identity.rollbackId, runId: progress.identity.runId, workflowId: progress.identity.workflowId, outcome, at: new Date(now).toISOString(), closing: progress.closing,
    steps: progress.steps.map((step) => ({ id: step.planned.id, state: step.state, attempts: step.attempts, startedAt: step.startedAt, endedAt: step.endedAt })),
    restored: outcome === 'rolled-back' || outcome === 'rolled-back-late' ? (progress.plan?.targets ?? []) : [],
    environment: progress.plan?.environment ?? '', machineMs: progress.machineMs(now), humanMs: progress.humanMs(now), breached: progress.breached,
  };
  for (;;) {
    const entries = progress.takeUnrecorded(now);
    const closed = await closeSoon.executeWithOptions({ summary: outcome }, [{ ...closing, entries }]).catch(async (error: unknown) => {
      if (!(error instanceof ActivityFailure)) throw error;
      progress.record = { ...progress.record, behind: true };
      show(progress);
      return closeEventually.executeWithOptions({ summary: `${outcome}, as soon as the record is there` }, [{ ...closing, entries }]);
    });
    recorded(progress, closed.record, []);
    for (const warning of closed.warnings) progress.warn(warning);
    await condition(() => progress.telling === 0);
    // What was said meanwhile belongs into the record too.
    if (progress.unrecorded.length === 0) break;
  }
  progress.outcome = outcome;
  show(progress);
}

function finish(progress: Progress): RollbackState {
  const state = progress.view(Date.now());
  if (progress.outcome !== 'failed') return state;
  const who = progress.closing ? ` ${progress.closing.by} closed it: ${progress.closing.reason}` : '';
  throw ApplicationFailure.nonRetryable(`the rollback failed.${who}`, 'RollbackFailed', state);
}
