/** What a deprovisioning does beside walking its plan [000]: what its steps are given, what their outcomes mean, and what a failure does to the request. */
import { fieldOf, textOf } from '../model/field.ts';
import { makeContinueAsNewFunc, workflowInfo } from '@temporalio/workflow';
import type { StepOutcome, TenantWork } from '../activities/step.ts';
import { nameOf, notRemovable, NOT_OURS, type Inventoried } from '../model/deprovision.ts';
import type { Decide } from '../model/input.ts';
import { whole, type Plan } from '../model/plan.ts';
import { BLOCKED, PASSED, type Remaining, type StepState, type TenantView } from '../model/state.ts';
import { keyOf } from '../model/tenant.ts';
import type { Progress } from './progress.ts';
import { newStep, type StepProgress } from './step-progress.ts';

/** What the activity needs beyond a component's step; empty for every other kind. */
export function tenantWorkOf(progress: Progress, step: StepProgress): { readonly tenant?: TenantWork } {
  const { plan, input } = progress;
  if (!plan?.artifacts || !input || plan.tenant === null) return {};
  const { subject, operation } = step.planned;
  const approval = step.approval ?? answerOf(progress, step);
  const base = { name: plan.tenant, cause: input.cause, by: approval?.by ?? input.by };
  if (operation === 'fail') return { tenant: { ...base, by: whoLeft(progress), ...endOf(progress, operation) } };
  if (operation === 'remnants' || operation === 'complete')
    return { tenant: { ...base, ...(operation === 'complete' ? endOf(progress, operation) : { standing: standingOf(progress) }), ...judged(progress) } };
  return {
    tenant: {
      ...base,
      ...(subject === undefined ? {} : { subject }),
      ...(approval?.choice === undefined || approval.choice === null ? {} : { choice: approval.choice }),
    },
  };
}

/** Whose word made it fail: of whoever closed it, declined or left something last; else of the start. */
const whoLeft = (progress: Progress): string =>
  progress.closing?.by ??
  progress.answers.findLast((one) => one.name === 'decline' || (one.name === 'decide' && one['action'] === 'skip'))?.by ??
  progress.input?.by ??
  '';

/** Whose word a step acts on that is not approved itself: what looks acts on the person who said it is done. */
function answerOf(progress: Progress, { planned: { id, operation } }: StepProgress): { by: string; choice: string | null } | null {
  // Who says that he did it himself.
  const byHand = progress.answers.findLast((one) => one.name === 'decide' && one['action'] === 'done' && one.step === id);
  if (byHand) return { by: byHand.by, choice: null };
  const said = operation === 'look' ? id.replace(/\.look$/, '') : operation === 'complete' ? 'completion' : 'inventory';
  const answer = progress.answers.findLast((one) => one.name === 'confirm' && (one.step === said || (operation === 'look' && one.step === 'inventory')));
  return answer ? { by: answer.by, choice: null } : null;
}

/** What was done, what could not be, and what failed: for the error_log [000 Rollback Procedure 9]. */
function endOf(progress: Progress, operation: 'fail' | 'complete'): Pick<TenantWork, 'reason' | 'removed' | 'remaining' | 'detail' | 'cleanup'> {
  const about = progress.steps.filter(({ planned }) => planned.removal && planned.subject !== undefined);
  // Of an assistant the word and the look: one of them alone removes nothing.
  const open = new Set(about.flatMap(({ planned, state }) => (PASSED.has(state) && state !== 'skipped' ? [] : [planned.subject])));
  const removed = about.filter(({ planned, receipt }) => !open.has(planned.subject) && !isKept(receipt));
  const cleanup = progress.answers.findLast((one) => one.name === 'confirm' && one.step === 'cleanup');
  return {
    reason: progress.input?.reason ?? '',
    removed: [...new Set(removed.flatMap(({ planned }) => namesOf(progress.plan, planned.subject))), ...cleanedUp(progress, operation)],
    remaining: remainsOfTenant(progress),
    ...(operation === 'fail' ? { detail: failureOf(progress) } : {}),
    ...(operation === 'complete' && cleanup ? { cleanup: { by: cleanup.by, at: cleanup.at } } : {}),
  };
}

/** Another request has come to use it: it has only left this one. */
const isKept = (receipt: StepProgress['receipt']): boolean => textOf(receipt?.after, 'presence') === 'kept';

/** What was left and is seen gone now, or said to be: at the end only. */
const cleanedUp = (progress: Progress, operation: 'fail' | 'complete'): string[] =>
  operation === 'fail'
    ? []
    : [
        ...new Set(
          progress.steps
            .filter(({ planned, state }) => planned.removal && state === 'skipped')
            .flatMap(({ planned }) => namesOf(progress.plan, planned.subject).map((name) => `${name}, cleaned up by hand`)),
        ),
      ];

const failureOf = (progress: Progress): string =>
  [
    ...progress.blocked().map((step) => `${step.planned.id}: ${step.failure?.message ?? step.state}`),
    ...progress.steps.flatMap(({ planned, state }) =>
      planned.removal && state === 'skipped' ? [[planned.id, ...whySkipped(progress, planned.id, state)].join(': ')] : [],
    ),
    ...(progress.closing ? [`closed by ${progress.closing.by}: ${progress.closing.reason}`] : []),
  ].join('; ');

const namesOf = (plan: Plan | null, subject: string | undefined): string[] =>
  (plan?.artifacts ?? []).flatMap((one) => (keyOf(one) === subject ? [nameOf(one)] : []));

/** What people have said of artifacts that are still to be seen. */
function judged(progress: Progress): Pick<TenantWork, 'documented' | 'notOurs'> {
  const subjects = (isIt: (step: StepProgress) => boolean): string[] =>
    progress.steps.flatMap((step) => (step.planned.subject !== undefined && isIt(step) ? [step.planned.subject] : []));
  // His last word counts: an earlier one may have been about an inventory that is void.
  const choices = new Map(progress.answers.flatMap((one) => (one.name === 'confirm' ? [[one.step, one['choice']] as const] : [])));
  return {
    documented: subjects((step) => step.state === 'skipped' && !step.planned.removal),
    notOurs: subjects((step) => choices.get(step.planned.id) === NOT_OURS),
  };
}

/** Templates and demo instances as they were identified. */
const standingOf = (progress: Progress): unknown => fieldOf(progress.step('identify')?.receipt?.after, 'protected');

export const tenantViewOf = (progress: Progress, artifacts: readonly Inventoried[]): TenantView => ({
  requests: progress.plan?.requests ?? [],
  status: statusOf(progress),
  artifacts,
});

function statusOf(progress: Progress): TenantView['status'] {
  const passed = (id: string): boolean => PASSED.has(progress.step(id)?.state ?? 'pending');
  if (passed('complete')) return 'ROLLED_BACK';
  // Where no request was begun none was put into FAILED either.
  if (progress.isFailed) return progress.step('failure')?.receipt?.after === undefined ? null : 'FAILED';
  return passed('begin') || (progress.step('begin')?.generation ?? 0) > 0 ? 'ROLLBACK_IN_PROGRESS' : null;
}

/** What was not undone, and what cannot be [000 What CANNOT Be Rolled Back]. */
export function remainsOfTenant(progress: Progress): Remaining[] {
  const { plan } = progress;
  if (!plan?.artifacts || isNeverBegun(progress)) return [];
  const isOver = PASSED.has(progress.step('remnants')?.state ?? 'pending');
  const open = progress.steps.filter(({ planned, state }) => {
    if (planned.subject === undefined || planned.irreversible !== undefined || state === 'confirmed') return false;
    if (BLOCKED.has(state) || state === 'skipped') return !(isOver && planned.removal);
    return progress.closing !== null && !PASSED.has(state);
  });
  // What the last look has found and no step is about.
  const found = progress.steps.filter(({ planned, state }) => (planned.operation === 'remnants' || planned.operation === 'complete') && BLOCKED.has(state));
  return [
    ...found.map(({ planned, failure }) => ({ artifact: planned.title, reason: failure?.message ?? 'not known', owner: planned.owner })),
    ...open.map(({ planned, state, failure }) => ({
      artifact: `${planned.id.endsWith('.credentials') ? 'credentials of ' : ''}${namesOf(plan, planned.subject)[0] ?? planned.id}`,
      reason: [failure?.message ?? 'not attempted', ...whySkipped(progress, planned.id, state)].join('; '),
      owner: planned.owner,
    })),
    ...notRemovable(plan.artifacts),
  ];
}

function whySkipped(progress: Progress, id: string, state: string): string[] {
  if (state !== 'skipped') return [];
  const decision = progress.answers.findLast((one) => one.name === 'decide' && one['action'] === 'skip' && one.step === id);
  return decision ? [`left by ${decision.by}: ${typeof decision['reason'] === 'string' ? decision['reason'] : ''}`] : [];
}

/** What a step has found that concerns more than itself. */
export function followTenant(progress: Progress, step: StepProgress, { change }: Pick<StepOutcome, 'change'>): void {
  if (!change || !progress.plan?.artifacts) return;
  if (change.stale !== undefined) {
    for (const id of ['identify', 'inventory', 'begin'])
      Object.assign(progress.step(id) ?? {}, { state: 'pending', failure: null, startedAt: null, endedAt: null });
    // And with it what was said of its artifacts.
    for (const one of progress.steps) one.approval = null;
    progress.warn(`the confirmation of the inventory is void: ${change.stale}`);
    progress.note('void', Date.now(), { step: 'inventory', why: change.stale });
  }
  if (change.left) reopen(progress, step, change.left);
  if (!change.inventory) return;
  const { plan, hash } = change.inventory;
  if (hash === progress.planHash) return;
  const isAsked = progress.step('inventory')?.state !== 'pending';
  progress.plan = plan;
  progress.planHash = hash;
  // Nothing was changed yet: every step but the look itself is a new one. How often one was tried is kept, since each try has an entry of its own.
  const before = new Map(progress.steps.map((one) => [one.planned.id, one]));
  progress.steps = plan.steps.map((planned) => {
    const known = before.get(planned.id);
    if (known && planned.id === 'identify') return known;
    return { ...newStep(whole(planned)), tries: known?.tries ?? 0, generation: known?.generation ?? 0 };
  });
  if (isAsked) progress.warn('reality has moved since the inventory was shown: the plan is another one, and is asked about again');
}

/** What is still there is taken back by its own step, by a person's word anew; what else was asked at the end is asked again then. */
function reopen(progress: Progress, looked: StepProgress, { again, itself }: NonNullable<NonNullable<StepOutcome['change']>['left']>): void {
  for (const { subject, failure } of again) {
    // The last step of it: of a CRM the credentials, of an assistant the look.
    const own = progress.steps.findLast((one) => one.planned.subject === subject && one.planned.irreversible === undefined);
    if (own) Object.assign(own, { state: 'failed', failure, approval: null, endedAt: looked.endedAt });
  }
  for (const one of progress.steps) {
    const asksAgain =
      one.planned.id === 'completion' || one.planned.operation === 'complete' || (one.planned.operation === 'remnants' && !(itself && one === looked));
    if (asksAgain) Object.assign(one, { state: 'pending', failure: null, startedAt: null, endedAt: null });
  }
}

/** Does a failed or declined removal not show in the request yet? */
export const unsaid = (progress: Progress): StepProgress[] =>
  progress.steps.filter((step) => step.planned.removal && BLOCKED.has(step.state) && step.failureSaid !== step.endedAt);

export function owesFailure(progress: Progress): boolean {
  const state = progress.step('failure')?.state;
  return state !== undefined && !BLOCKED.has(state) && !progress.closing && unsaid(progress).length > 0;
}

/** Before anything further is taken back after a failure, the request is begun again. */
export function beginAgain(progress: Progress): void {
  const begin = progress.step('begin');
  const isLeft = progress.steps.some(({ planned, state }) => planned.removal && planned.subject !== undefined && !PASSED.has(state));
  if (begin && PASSED.has(begin.state) && progress.isFailed && isLeft) Object.assign(begin, { state: 'pending', generation: begin.generation + 1 });
}

/** After its execution was ended from outside: what the request says already. */
export function rejoin(progress: Progress): void {
  for (const { planned, state } of progress.steps.filter((step) => step.planned.removal || step.planned.wave !== undefined)) {
    // What was left out before it was attempted has no entry but the word itself.
    const word = progress.answers.findLast((one) => one.step === planned.id);
    if (state === 'pending' && word?.name === 'decide' && word['action'] === 'skip')
      Object.assign(progress.step(planned.id) ?? {}, { state: 'skipped', endedAt: word.at });
  }
  const said = progress.step('failure');
  if (!said || !progress.isFailed) return;
  for (const step of [...unsaid(progress), ...leftUnsaid(progress)]) if ((step.endedAt ?? '') <= (said.endedAt ?? '')) step.failureSaid = step.endedAt;
}

/** Before people clean up by hand what was left, the request says so. */
export const owesCleanup = (progress: Progress, next: StepProgress): boolean =>
  next.planned.id === 'cleanup' && next.state === 'pending' && (!progress.isFailed || leftUnsaid(progress).length > 0);

/** Left out, and no failure of the same artifact was said. */
export function leftUnsaid({ steps }: Progress): StepProgress[] {
  const said = new Set(steps.flatMap(({ planned, failureSaid }) => (failureSaid === null ? [] : [planned.subject ?? planned.id])));
  return steps.filter(({ planned, state }) => planned.removal && state === 'skipped' && !said.has(planned.subject ?? planned.id));
}

/** Who ends it where it was begun and is not over leaves the request FAILED. */
export function leavesRequest(progress: Progress): boolean {
  const state = (id: string): StepState | undefined => progress.step(id)?.state;
  return progress.closing !== null && state('failure') !== undefined && !isNeverBegun(progress) && !PASSED.has(state('complete') ?? 'pending');
}

/** Of the 50,000 events at which the engine ends a run, and of the 5,000 that an auditor still likes to replay. */
const EVENTS_MAX = 4_000;

/** A history that has grown long goes on as a new run, at a moment when nothing is under way and the record has everything. */
export function mayContinue(progress: Progress): boolean {
  const { historyLength, continueAsNewSuggested } = workflowInfo();
  const isLong = historyLength > EVENTS_MAX || continueAsNewSuggested;
  const isQuiet = progress.telling === 0 && progress.unrecorded.length === 0 && !progress.record.behind && !progress.closing;
  return isLong && isQuiet && progress.plan?.artifacts !== undefined && PASSED.has(progress.step('begin')?.state ?? 'pending');
}

/** The successor goes on from the record, as after a resume. Never returns. */
export const continueRun = ({ input, identity }: Progress): Promise<never> =>
  makeContinueAsNewFunc()({
    ...input,
    resumes: { rollbackId: identity.rollbackId, by: 'backout', reason: 'the history had grown long', continues: identity.runId },
  });

/** Closed before anything was begun: that is a refusal by a person, and the request stays as it was. */
export function neverBegun(progress: Progress, { by, reason }: Decide, nowMs: number): void {
  if (!isNeverBegun(progress)) return;
  progress.refuse('inventory', `${by} closed it before anything was changed: ${reason}`, by, nowMs, 'decide');
}

/** After a failure it is to be begun again, and was begun all the same. */
export const isNeverBegun = (progress: Progress): boolean =>
  progress.plan?.artifacts !== undefined && progress.step('begin')?.state === 'pending' && progress.step('failure')?.state === 'pending';
