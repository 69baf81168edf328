/** What is shown and told while it runs: current details, search attributes, the incident channel. */
import { ActivityFailure, rootCause, setCurrentDetails, upsertSearchAttributes } from '@temporalio/workflow';
import type { Notice } from '../activities/notify.ts';
import { currentDetails, movingAttributes } from './details.ts';
import type { Progress } from './progress.ts';
import { notify } from './proxies.ts';
import { waitingOf } from './awaited.ts';

const iso = (ms: number): string => new Date(ms).toISOString();

/** What the activity said of the record: where the chain stands, or that the entries are still to be carried. */
export function recorded(progress: Progress, record: Progress['record'], entries: readonly (Progress['unrecorded'][number] | null)[]): void {
  if (record.behind) {
    progress.unrecorded.unshift(...entries.filter((one) => one !== null));
    progress.record = { ...progress.record, behind: true };
  } else {
    // Steps that run together may answer in another order than they appended.
    progress.record = record.entries < progress.record.entries && !progress.record.behind ? progress.record : record;
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

const drawn = new WeakSet<Progress>();

/** The details once, however many messages this task has brought: with hundreds of steps they are long. */
export function draw(progress: Progress): void {
  if (drawn.has(progress)) return;
  drawn.add(progress);
  void Promise.resolve().then(() => {
    drawn.delete(progress);
    setCurrentDetails(currentDetails(progress));
  });
}

/** Shows what people and searches see; costs one event, and only where something moved. */
export function show(progress: Progress): void {
  const attributes = movingAttributes(progress);
  const key = JSON.stringify(attributes.map((one) => one.value));
  if (progress.closed) setCurrentDetails(currentDetails(progress));
  else draw(progress);
  if (key === progress.shown) return;
  progress.shown = key;
  upsertSearchAttributes(attributes);
}
