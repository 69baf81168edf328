/** The end: one more look at what is served, then outcome, deployments, snapshots, claims and the last entries in one transaction; then the channel is told. */
import { failure } from '../model/failure.ts';
import type { RecordEntry } from '../model/record.ts';
import type { Target } from '../model/plan.ts';
import { PASSED, type Failure, type Outcome, type RecordPosition, type StepState } from '../model/state.ts';
import { StoreUnavailable } from '../store/store.ts';
import { checkServed } from './checks.ts';
import { findComponent, NotPossible } from './components.ts';
import { again, lastConfig, type Attempt, type Dependencies } from './dependencies.ts';
import { tell } from './notify.ts';
import { appendOrKeep, named, shown } from './recording.ts';

export interface CloseWork {
  readonly rollbackId: string;
  readonly workflowId: string;
  readonly environment: string;
  readonly outcome: Outcome;
  readonly at: string;
  readonly closing: { readonly by: string; readonly reason: string } | null;
  readonly steps: readonly {
    readonly id: string;
    readonly component?: string | null;
    readonly state: StepState;
    readonly attempts?: number;
    readonly startedAt?: string | null;
    readonly endedAt: string | null;
  }[];
  readonly targets: readonly Target[];
  readonly machineMs: number;
  readonly humanMs: number;
  readonly breached: boolean;
  /** Only where an incident is rolled back: did every gate over all its components pass, or was signed off? */
  readonly verified?: boolean;
  readonly entries: readonly RecordEntry[];
}

export interface Closed {
  readonly record: RecordPosition;
  readonly warnings: readonly string[];
  /** Components that no longer serve their target: then nothing was closed, and the gates have to look again. */
  readonly drifted: readonly { readonly component: string; readonly failure: Failure }[];
}

export async function closeRollback(work: CloseWork, deps: Dependencies, attempt: Attempt): Promise<Closed> {
  const { rollbackId, outcome, at, steps, machineMs, humanMs, breached, closing } = work;
  // A successor, or a run reset to its start, that could not even begin gives up nothing of what it was to go on with; and what was never opened has no end.
  if (outcome === 'refused' && closing === null && (attempt.runId !== rollbackId || (await deps.store.rollback(rollbackId)) === null)) {
    const { record } = await appendOrKeep(deps, attempt, rollbackId, work.entries);
    return { record, warnings: [], drifted: [] };
  }
  // An earlier attempt has written the end and died before it could say so: what has changed since is no longer this rollback's.
  const written = await deps.store.find(`${attempt.runId}/closed`).catch(() => null);
  const drifted = written ? [] : await drift(work, deps, attempt);
  if (drifted.length > 0) return { drifted, warnings: [], record: { entries: 0, head: null, behind: true } };
  const entry: RecordEntry = { event: 'closed', rollbackId, at, type: 'closed', outcome, machineMs, humanMs, breached, closing, steps };
  const declined = steps.some((step) => step.state === 'declined');
  // A component counts as restored when Backout moved it and every gate of it passed, however the whole ended; one that was at its target already changes no deployment.
  const restored = work.targets.filter((target) => {
    const own = steps.filter((step) => step.component === target.component);
    return (
      !declined &&
      work.verified !== false &&
      own.every((step) => PASSED.has(step.state)) &&
      own.some((step) => step.id === `${target.component}.deploy` && step.state === 'done')
    );
  });
  try {
    // Apart from the end itself, which is written once: a later call may only bring what was said meanwhile.
    if (work.entries.length > 0) await deps.store.append(rollbackId, named(attempt.runId, work.entries));
    const { position } = await deps.store.finish({
      rollbackId,
      outcome,
      at,
      steps,
      metadata: { machineMs, humanMs, breached },
      restored: restored.map((target) => ({
        component: target.component,
        from: target.from,
        to: target.to,
        snapshot: { version: target.to, verifiedBy: steps.filter((step) => step.component === target.component) },
      })),
      entries: named(attempt.runId, [entry]),
    });
    await deps.checkpoint(position);
    const unwatched = succeeded(work) ? await watchOver(work, restored, deps) : [];
    const text = `${outcome} after ${(machineMs / 1000).toFixed(1)} s of machine time${closing ? `; closed by ${closing.by}: ${closing.reason}` : ''}`;
    const warnings = await tell(await lastConfig(deps), {
      id: `${attempt.runId}/closed`,
      notice: 'closed',
      at,
      text,
      rollbackId,
      workflowId: work.workflowId,
      next: [`backout report ${work.workflowId}`, `backout audit ${work.workflowId}`],
    });
    return { record: shown(position), warnings: [...unwatched, ...warnings], drifted: [] };
  } catch (error) {
    if (error instanceof StoreUnavailable) throw again('the record cannot be reached', error);
    throw error;
  }
}

const succeeded = (work: CloseWork): boolean => work.outcome === 'rolled-back' || work.outcome === 'rolled-back-late';

/** What was put back is looked after for a while, in a workflow of its own. That it cannot be is a warning, and undoes nothing. */
async function watchOver(work: CloseWork, targets: readonly Target[], deps: Dependencies): Promise<string[]> {
  const { minutes, everySeconds } = (await lastConfig(deps)).config.watch;
  if (minutes === 0 || targets.length === 0) return [];
  const until = new Date(Date.parse(work.at) + minutes * 60_000).toISOString();
  const watch = { rollbackId: work.rollbackId, workflowId: work.workflowId, environment: work.environment, targets, until, everySeconds };
  return deps.startWatch(watch).then(
    () => [],
    (error: unknown) => [`nobody watches what was put back: ${error instanceof Error ? error.message : 'the watch could not be started'}`],
  );
}

/** A confirmation may come days after the gates have passed: a success is only written while the target is still served. */
async function drift(work: CloseWork, deps: Dependencies, attempt: Attempt): Promise<Closed['drifted']> {
  // Of an incident the last look was before the freeze was lifted; what comes after is another matter.
  if (!succeeded(work) || work.verified !== undefined) return [];
  const loaded = await lastConfig(deps);
  const looks = await Promise.all(
    work.targets.map(async (target) => {
      try {
        const component = findComponent(loaded, deps.adapters, work.environment, target.component);
        const served = await checkServed(component.config, target.to, component.adapter.name, attempt.signal);
        return served.failure
          ? [{ component: target.component, failure: failure('Drifted', `${target.component} was put back and verified, but now: ${served.failure.message}`) }]
          : [];
      } catch (error) {
        // The configuration has lost the component; what was verified stays verified.
        if (error instanceof NotPossible) return [];
        throw error;
      }
    }),
  );
  return looks.flat();
}
