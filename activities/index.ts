/** The activities, over whatever the worker hands in. Every one beats while it works, so that a dead worker is noticed in seconds. */
import { Context } from '@temporalio/activity';
import { closeRollback, type CloseWork } from './close.ts';
import type { Attempt, Dependencies } from './dependencies.ts';
import { escalateRollback, type EscalateWork } from './incident/escalate.ts';
import { inspect, type Ask } from './inspect.ts';
import { notify, type NotifyWork } from './notify.ts';
import { openRollback, type OpenWork } from './open.ts';
import { runStep, type StepWork } from './step.ts';
import { watchHealth, type WatchWork } from './watch.ts';

const BEAT_MS = 500;

async function alive<T>(work: (attempt: Attempt) => Promise<T>): Promise<T> {
  const context = Context.current();
  const { info } = context;
  const beat = setInterval(() => {
    context.heartbeat();
  }, BEAT_MS);
  try {
    return await work({
      number: info.attempt,
      runId: info.workflowExecution?.runId ?? '',
      workflowId: info.workflowExecution?.workflowId ?? '',
      firstScheduledMs: info.scheduledTimestampMs,
      signal: context.cancellationSignal,
      heartbeat: (progress) => {
        context.heartbeat(progress);
      },
    });
  } finally {
    clearInterval(beat);
  }
}

export const createActivities = (deps: Dependencies) => ({
  /** Inspects, decides, plans, claims; answers a plan or a refusal. */
  openRollback: (work: OpenWork) => alive((attempt) => openRollback(work, deps, attempt)),
  /** One step of the plan. */
  runStep: (work: StepWork) => alive((attempt) => runStep(work, deps, attempt)),
  /** Another level: the plan of it, or a refusal. */
  escalateRollback: (work: EscalateWork) => alive((attempt) => escalateRollback(work, deps, attempt)),
  /** Tells the incident channel. */
  notify: (work: NotifyWork) => alive((attempt) => notify(work, deps, attempt)),
  /** Looks after what was put back. */
  watchHealth: (work: WatchWork) => alive((attempt) => watchHealth(work, deps, attempt)),
  /** Writes the end. */
  closeRollback: (work: CloseWork) => alive((attempt) => closeRollback(work, deps, attempt)),
  /** Plan, doctor and verification for the CLI: reads platforms, changes none. */
  inspect: (ask: Ask) => alive((attempt) => inspect(ask, deps, attempt)),
});
export type Activities = ReturnType<typeof createActivities>;
