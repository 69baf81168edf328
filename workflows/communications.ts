/** Stakeholders are told beside the walk [001 Communication Templates]: nothing of it holds up a rollback, and the freeze is not lifted before it is caught up. */
import { condition } from '@temporalio/workflow';
import { execute } from './execute.ts';
import type { Progress } from './progress.ts';
import type { StepProgress } from './step-progress.ts';
import { show, tell } from './telling.ts';

const iso = (ms: number): string => new Date(ms).toISOString();

/** From the freeze to the end: the declaration, then updates whenever one is asked for or due. */
export async function keepInformed(progress: Progress): Promise<void> {
  const { incident } = progress;
  const [declared, update] = [progress.step('communication.declared'), progress.step('communication.update')];
  if (!incident || !declared || !update) return;
  const everyMs = (progress.settings?.updateEverySeconds ?? 1_800) * 1000;
  const over = (): boolean => progress.ending || progress.closed || progress.closing !== null;
  const owes = (): boolean => declared.state === 'pending' || declared.doneSaidBy !== null || incident.updates.length > 0;
  await condition(() => over() || isFrozen(progress));
  while (!over()) {
    if (declared.state === 'pending' || incident.updates.length > 0) {
      incident.sending = true;
      await (declared.state === 'pending' ? declare(progress, declared, everyMs) : send(progress, update, everyMs));
      incident.sending = false;
    } else if (update.state === 'waiting' || incident.nextUpdateMs === null) await condition(() => over() || owes());
    else if (!(await condition(() => over() || owes(), Math.max(1, incident.nextUpdateMs - Date.now()), { summary: 'next update' }))) due(progress, update);
  }
  incident.nextUpdateMs = null;
  if (update.state !== 'failed') Object.assign(update, { state: incident.sent > 0 ? 'done' : 'already', endedAt: iso(Date.now()) });
}

/** The declaration says that everything is frozen, so it is. */
const isFrozen = (progress: Progress): boolean => {
  const state = progress.step('freeze')?.state;
  return state === 'done' || state === 'already';
};

async function declare(progress: Progress, step: StepProgress, everyMs: number): Promise<void> {
  if (progress.incident) progress.incident.nextUpdateMs = Date.now() + everyMs;
  await execute(progress, step, 'run');
}

async function send(progress: Progress, step: StepProgress, everyMs: number): Promise<void> {
  const { incident } = progress;
  if (!incident) return;
  const before = incident.nextUpdateMs;
  incident.nextUpdateMs = Date.now() + everyMs;
  await execute(progress, step, 'run');
  incident.updates.shift();
  if (step.state === 'done') {
    incident.sent += 1;
    // The next one is another message, under another operation id.
    Object.assign(step, { state: 'pending', generation: step.generation + 1, endedAt: null });
  } else {
    incident.nextUpdateMs = before;
    progress.warn(`an update was not sent: ${step.failure?.message ?? 'no reason given'}`);
    Object.assign(step, { state: 'waiting', generation: step.generation + 1 });
  }
  show(progress);
}

/** It waits for its owner, who is reminded once; sending it by itself would say what nobody has looked at. */
function due(progress: Progress, step: StepProgress): void {
  Object.assign(step, { state: 'waiting', startedAt: iso(Date.now()) });
  show(progress);
  void tell(progress, 'reminder', `an update to stakeholders is due; ${step.planned.owner ?? 'communications-owner'} is awaited for ${step.planned.id}`);
}
