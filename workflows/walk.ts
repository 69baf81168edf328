/** One walk over the plan: hold where it is stopped, ask where people are needed, run what is left. Reads as a list. */
import { allHandlersFinished, condition } from '@temporalio/workflow';
import { declinedBy } from '../model/failure.ts';
import { waitsFor } from '../model/plan.ts';
import { changes } from '../model/policy.ts';
import { checkClock } from './deadline.ts';
import { execute } from './execute.ts';
import type { Progress } from './progress.ts';
import type { StepProgress } from './step-progress.ts';
import { show, tell } from './telling.ts';
import { sayFailure, writeFailure } from './request.ts';
import { arrange, escalate } from './incident-data.ts';
import { beginAgain, mayContinue, owesCleanup, owesFailure } from './tenant.ts';

const iso = (ms: number): string => new Date(ms).toISOString();

/** Walks until every step has passed or a person closes it; `continue`: the rest belongs to a new run. */
export async function walk(progress: Progress): Promise<'ended' | 'continue'> {
  for (;;) {
    await hold(progress);
    if (progress.closing) return 'ended';
    // Every check has passed: machine time ends here, whatever people do later.
    if (progress.verified) progress.awaitPerson(Date.now());
    beginAgain(progress);
    arrange(progress);
    const batch = progress.batch();
    const [first] = batch;
    if (!first) return 'ended';
    if (mayContinue(progress) && allHandlersFinished()) return 'continue';
    if (owesCleanup(progress, first)) await writeFailure(progress);
    else if (first.planned.wave !== undefined && progress.plan?.artifacts) await proceed(progress, batch);
    else if (batch.some(isAsked)) await ask(progress, batch.filter(isAsked));
    else await run(progress, batch);
    checkClock(progress);
  }
}

/** What runs together runs to its end together, also where one of it fails. */
async function run(progress: Progress, batch: readonly StepProgress[]): Promise<void> {
  // A freeze contains, and lifting one was just decided; a rotation that is held half-way is an outage: none of them waits for the clock.
  const late = batch.filter(
    ({ planned: { effect }, granted }) => progress.breached && changes(effect) && effect !== 'freeze' && effect !== 'credential' && !granted,
  );
  for (const step of late) step.held = true;
  await Promise.all(batch.filter((step) => !step.held).map((step) => execute(progress, step, 'run')));
}

/** What people answer in any order: each step runs as soon as it may, and the others wait, for days if need be. */
async function proceed(progress: Progress, batch: readonly StepProgress[]): Promise<void> {
  const open = batch.filter(waitsForNone(batch));
  for (const step of open) if (isAsked(step)) begin(progress, step);
  const ready = open.filter((step) => step.state === 'pending' && !isAsked(step)).slice(0, AT_ONCE);
  if (ready.length > 0) await run(progress, ready);
  else await ask(progress, open, true);
}

/** How many are carried out together: a platform has limits of its own. */
const AT_ONCE = 5;
/** `after` of its plan says what a step waits for; there may be hundreds of either. */
function waitsForNone(batch: readonly StepProgress[]): (step: StepProgress) => boolean {
  const awaited = new Map([...new Set(batch.map(({ planned }) => planned.after))].map((after) => [after, after === undefined ? 0 : count(batch, after)]));
  return ({ planned: { after } }) => after === undefined || awaited.get(after) === 0;
}
const count = (batch: readonly StepProgress[], after: string): number => batch.filter(({ planned: { id } }) => waitsFor(after, id)).length;

const isAsked = ({ planned, approval }: StepProgress): boolean => planned.mode === 'manual' || (planned.approval === true && approval === null);

/** Waits while it is stopped: for weeks if need be. A claim that a step is done is inspected here. */
async function hold(progress: Progress): Promise<void> {
  let told: string | null = null;
  for (;;) {
    if (progress.escalation && !progress.closing) {
      await escalate(progress);
      continue;
    }
    const claimed = progress.steps.find((step) => step.doneSaidBy !== null);
    if (claimed && !progress.closing) {
      await execute(progress, claimed, 'inspect');
      continue;
    }
    const reason = progress.stopReason();
    if (reason === null) break;
    if (owesFailure(progress)) {
      await sayFailure(progress);
      continue;
    }
    progress.awaitPerson(Date.now());
    show(progress);
    if (reason !== told) void tell(progress, 'stopped', reason);
    told = reason;
    await condition(
      () =>
        progress.stopReason() !== reason || owesFailure(progress) || progress.escalation !== null || progress.steps.some((step) => step.doneSaidBy !== null),
    );
  }
  if (!progress.verified) progress.resumeMachine(Date.now());
}

/** Asks people and waits, for all of them or for any; time passing never answers for them [product.md 4]. */
async function ask(progress: Progress, batch: readonly StepProgress[], any = false): Promise<void> {
  for (const step of batch) begin(progress, step);
  // A list that is asked together with something else is not waited for here.
  const others = batch.filter((step) => step.planned.demands?.lists === undefined);
  const open = (): StepProgress[] => (others.length > 0 ? others : batch).filter((step) => step.state === 'waiting');
  const asked = open().length;
  if (asked === 0) return;
  progress.awaitPerson(Date.now());
  show(progress);
  const { settings } = progress;
  const enough = any ? asked - 1 : 0;
  const answered = (): boolean => open().length <= enough || progress.stopReason() !== null || progress.closing !== null || progress.escalation !== null;
  const untilReminder = (settings?.remindAfterSeconds ?? 300) * 1000;
  const ids = batch.map((step) => step.planned.id).join(', ');
  if (await condition(answered, untilReminder, { summary: `reminder: ${ids}` })) return;
  for (const step of open()) void tell(progress, 'reminder', `${step.planned.owner ?? 'operator'} is still awaited for ${step.planned.id}`);
  const untilHandOver = Math.max(1000, (settings?.handOverAfterSeconds ?? 1800) * 1000 - untilReminder);
  if (await condition(answered, untilHandOver, { summary: `hand-over: ${ids}` })) return;
  for (const step of open()) {
    step.handedTo = handedTo(progress, step);
    void tell(progress, 'handed-over', `nobody has answered ${step.planned.id}; handed over to ${step.handedTo ?? 'on-call-lead'}`);
  }
  await condition(answered);
}

/** In an incident the deputies of the role take over; elsewhere the role that the configuration names. */
const handedTo = (progress: Progress, step: StepProgress): string | null =>
  progress.incident && step.planned.owner !== null ? `the deputy of ${step.planned.owner}` : (progress.settings?.handOverTo ?? null);

/** It waits, unless it is answered already. */
function begin(progress: Progress, step: StepProgress): void {
  const { id } = step.planned;
  if (id === 'availability' && progress.atTarget && progress.steps.every((one) => one.planned.operation !== 'deploy' || one.state === 'already')) {
    // Nothing was changed, so there is no restored availability to confirm [product.md 2].
    Object.assign(step, { state: 'already', endedAt: iso(Date.now()) });
    return;
  }
  if (step.state === 'pending') Object.assign(step, { state: 'waiting', startedAt: iso(Date.now()) });
  const early = progress.kept.get(id);
  if (!early) return;
  // Once it is taken it is spent: a no that was decided about must not come back.
  progress.kept.delete(id);
  const endedAt = iso(Date.now());
  if (early.kind === 'decline') Object.assign(step, { state: 'declined', endedAt, failure: declinedBy(early.message) });
  else {
    Object.assign(step, { state: 'confirmed', endedAt });
    progress.incident?.confirmed(id, early.message, endedAt);
  }
}
