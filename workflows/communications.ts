/** Stakeholders are told beside the walk [001 Communication Templates]: nothing of it holds up a rollback, and the freeze is not lifted before it is caught up. */
import { condition } from '@temporalio/workflow';
import type { Confirm } from '../model/input.ts';
import { execute } from './execute.ts';
import type { IncidentProgress } from './incident-progress.ts';
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
  /** One that failed waits for a decision, or for another text. */
  const isAsked = (): boolean => incident.updates.length > (update.state === 'failed' ? 1 : 0);
  const owes = (): boolean => declared.state === 'pending' || update.state === 'confirmed' || isAsked();
  goOn(progress, incident, { declared, update, everyMs });
  await condition(() => over() || isFrozen(progress));
  while (!over()) {
    if (update.state === 'confirmed') next(progress, update, everyMs);
    else if (owes()) {
      incident.sending = true;
      await (declared.state === 'pending' ? declare(progress, declared, everyMs) : send(progress, update, everyMs));
      incident.sending = false;
    } else if (update.state !== 'pending' || incident.nextUpdateMs === null) await condition(() => over() || owes());
    else if (!(await condition(() => over() || owes(), Math.max(1, incident.nextUpdateMs - Date.now()), { summary: 'next update' }))) due(progress, update);
  }
  incident.nextUpdateMs = null;
  if (update.state === 'pending') Object.assign(update, { state: incident.sent > 0 ? 'done' : 'already', endedAt: iso(Date.now()) });
}

/** After an execution that was ended from outside the cadence goes on from the last word, and what was asked for and not sent is owed. */
function goOn(
  { answers }: Progress,
  incident: IncidentProgress,
  { declared, update, everyMs }: { readonly declared: StepProgress; readonly update: StepProgress; readonly everyMs: number },
): void {
  // Whatever was asked after the last one had begun was not in it.
  for (const answer of answers)
    if (answer.name === 'confirm' && answer.step === update.planned.id && answer.at > (update.startedAt ?? '')) incident.asks(answer as unknown as Confirm); // As it was answered.
  if (declared.state !== 'pending') incident.nextUpdateMs = Math.max(...[declared, update].map((one) => Date.parse(one.endedAt ?? '') || 0)) + everyMs;
  if (update.state === 'pending') return;
  const isSent = update.state === 'done' || update.state === 'confirmed';
  if (isSent) incident.sent += 1;
  Object.assign(update, { state: isSent ? 'pending' : 'waiting', generation: update.generation + 1, failure: null, startedAt: null });
}

/** The declaration says that everything is frozen, so it is. */
const isFrozen = (progress: Progress): boolean => {
  const state = progress.step('freeze')?.state;
  return state === 'done' || state === 'already';
};

async function declare(progress: Progress, step: StepProgress, everyMs: number): Promise<void> {
  if (progress.incident) progress.incident.nextUpdateMs = Date.now() + everyMs;
  await execute(progress, step, 'run');
  if (step.state === 'failed') unsent(progress, step);
}

async function send(progress: Progress, step: StepProgress, everyMs: number): Promise<void> {
  const { incident } = progress;
  if (!incident) return;
  // Another text takes the place of the one that was not sent.
  if (step.state === 'failed') {
    incident.updates.shift();
    step.generation += 1;
  }
  const before = incident.nextUpdateMs;
  incident.nextUpdateMs = Date.now() + everyMs;
  await execute(progress, step, 'run');
  if (step.state === 'done') {
    next(progress, step, everyMs);
    return;
  }
  incident.nextUpdateMs = before;
  incident.mayRepeat();
  unsent(progress, step);
}

/** It was told, by a channel or by hand. The next one is another message, under another operation id. */
function next(progress: Progress, step: StepProgress, everyMs: number): void {
  const { incident } = progress;
  if (!incident) return;
  incident.updates.shift();
  incident.sent += 1;
  incident.nextUpdateMs = Date.now() + everyMs;
  Object.assign(step, { state: 'pending', generation: step.generation + 1, failure: null, endedAt: null });
  show(progress);
}

/** The rollback goes on; somebody has to see to it that they are told. */
function unsent(progress: Progress, { planned, failure }: StepProgress): void {
  show(progress);
  void tell(progress, 'reminder', `${planned.id} failed: ${failure?.message ?? 'no reason given'}; ${planned.owner ?? 'communications-owner'} is awaited`);
}

/** It waits for its owner, who is reminded once; sending it by itself would say what nobody has looked at. */
function due(progress: Progress, step: StepProgress): void {
  progress.incident?.mayRepeat();
  Object.assign(step, { state: 'waiting', startedAt: iso(Date.now()) });
  show(progress);
  void tell(progress, 'reminder', `an update to stakeholders is due; ${step.planned.owner ?? 'communications-owner'} is awaited for ${step.planned.id}`);
}
