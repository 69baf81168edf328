/** What levels 2 and 3 add to the walk of an incident [001 steps 3c to 3e]: what their steps are given, what the Security Lead's list means, and how a level grows. */
import { upsertSearchAttributes } from '@temporalio/workflow';
import { voidBetween } from '../model/escalation.ts';
import { parseMessage, type Escalate } from '../model/input.ts';
import { whole, type Plan, type PlanStep } from '../model/plan.ts';
import { POLICIES } from '../model/policy.ts';
import { signedOf } from '../model/signed.ts';
import type { Answer, StepState } from '../model/state.ts';
import type { DataWork, StepOutcome } from '../activities/step.ts';
import { plannedAttributes } from './details.ts';
import type { Progress } from './progress.ts';
import { escalateRollback } from './proxies.ts';
import { newStep, replanned, type StepProgress } from './step-progress.ts';
import { recorded, show, tell } from './telling.ts';

const iso = (ms: number): string => new Date(ms).toISOString();

/** Null: the step acts on components only. */
export function dataWorkOf(progress: Progress, step: StepProgress): DataWork | null {
  const { plan } = progress;
  const { place, operation, subject = '', digest, destroys = [], rows } = step.planned;
  const hash = place === undefined ? undefined : plan?.places?.[place];
  if (place === undefined || hash === undefined || !plan) return null;
  const [name = ''] = subject.split('/');
  const before = surveyOf(progress, place);
  const signed = place.startsWith('credential/') ? signedBy(progress, name) : null;
  return {
    at: place,
    place: hash,
    approved: step.approval === null ? [] : destroys,
    ...(lastRetry(progress, step.planned.id)?.['accepts'] === 'ConfigurationChanged' ? { acceptsPlace: true as const } : {}),
    ...(digest === undefined ? {} : { digest }),
    ...(rows === undefined ? {} : { rows }),
    ...(plan.window === undefined ? {} : { window: plan.window }),
    ...(plan.tenant === null ? {} : { tenant: plan.tenant }),
    ...(isRecovered(progress, step) && plan.recover?.[name] !== undefined ? { recover: plan.recover[name] } : {}),
    ...(before === undefined || (operation !== 'invariants' && operation !== 'chain') ? {} : { before }),
    ...(signed === null ? {} : { signed }),
    ...(operation === 'revoke' ? { use: useOf(progress, step, name) } : {}),
  };
}

/** Proven is the one that is in use: the recovered one only where it was switched to. */
const isRecovered = (progress: Progress, { planned: { place = '', operation, subject = '' } }: StepProgress): boolean =>
  place.startsWith('database/') && (operation !== 'invariants' || PASSED_RUN.has(progress.step(`switch.${subject}`)?.state ?? 'pending'));
const PASSED_RUN: ReadonlySet<StepState> = new Set(['done', 'already']);

/** As it was seen first: a later look would take what this rollback has done for what was there. */
const surveyOf = (progress: Progress, place: string): unknown =>
  progress.steps.find(({ planned }) => planned.operation === 'survey' && planned.place === place)?.receipt?.after;

const listOf = (progress: Progress): Answer | undefined =>
  progress.step('credentials')?.state === 'confirmed' ? progress.answers.findLast((one) => one.name === 'confirm' && one.step === 'credentials') : undefined;

function signedBy(progress: Progress, credential: string): NonNullable<DataWork['signed']> | null {
  const said = listOf(progress);
  if (!said) return null;
  const { rotate, revokeFirst } = signedOf(said['data']);
  return rotate.includes(credential) || revokeFirst.includes(credential) ? { by: said.by, first: revokeFirst.includes(credential) } : null;
}

/** What was used since the new one was put in place stands in the way; only after she was told so may she say to revoke it all the same. */
function useOf(progress: Progress, { planned: { id }, endedAt, generation }: StepProgress, credential: string): NonNullable<DataWork['use']> {
  const decided = lastRetry(progress, id);
  const anyway = decided?.['accepts'] === 'StillUsed' && typeof decided['analysis'] === 'string';
  const since = generation > 0 && decided ? decided.at : (progress.step(`install.${credential}`)?.endedAt ?? endedAt);
  return { since, anyway };
}

const lastRetry = ({ answers }: Progress, id: string): Answer | undefined =>
  answers.findLast((one) => one.name === 'decide' && one['action'] === 'retry' && (one.step === id || one.step === 'all'));

const OF_CREDENTIAL: ReadonlySet<string | null> = new Set(['issue', 'install', 'revoke', 'scope']);

/** What was not exposed stays; what is exploited goes before everything else. Done again after a resume, from the same answer. */
export function arrange(progress: Progress): void {
  const said = listOf(progress);
  if (!said) return;
  const { unaffected, revokeFirst } = signedOf(said['data']);
  const isOf = (names: readonly string[], { planned: { operation, id, subject } }: StepProgress): boolean =>
    (OF_CREDENTIAL.has(operation) || id.startsWith('rotate.')) && subject !== undefined && names.includes(subject);
  for (const step of progress.steps)
    if (step.state === 'pending' && isOf(unaffected, step)) Object.assign(step, { state: 'skipped', startedAt: said.at, endedAt: said.at });
  const first = (['revoke', 'issue', 'install'] as const).flatMap((operation) =>
    progress.steps.filter((step) => step.planned.operation === operation && isOf(revokeFirst, step)),
  );
  if (first.every((step) => (step.planned.wave ?? 0) < 0)) return;
  // Waves of their own, or each would run with the others of its kind.
  const wave: Readonly<Record<string, number>> = { revoke: -3, issue: -2, install: -1 };
  for (const step of first) replanned(step, { ...step.planned, wave: wave[step.planned.operation ?? ''] ?? -1 });
  const rest = progress.steps.filter((step) => !first.includes(step));
  // Before whatever is still to be changed, as soon as it is said.
  const at = rest.findIndex((step) => step.planned.id === 'credentials') + 1;
  progress.steps = [...rest.slice(0, at), ...first, ...rest.slice(at)];
}

/** More would be lost, or put back, than was approved: it is asked about again, with the counts of now. */
export function recount(
  progress: Progress,
  step: StepProgress,
  { hash, destroys, rows, title }: NonNullable<NonNullable<StepOutcome['change']>['recounted']>,
): void {
  if (!progress.plan) return;
  const counts = { ...(destroys === undefined ? {} : { destroys }), ...(rows === undefined ? {} : { rows }) };
  const words = { ...counts, title, approval: true, attests: 'seen', demands: { plan: true } } as const;
  const why = step.failure?.message ?? 'more would be destroyed than was approved';
  progress.plan = { ...progress.plan, steps: progress.plan.steps.map((one) => (one.id === step.planned.id ? { ...one, ...words } : one)) };
  progress.planHash = hash;
  replanned(step, { ...step.planned, ...words });
  Object.assign(step, { state: 'pending', approval: null, failure: null, startedAt: null, endedAt: null });
  progress.warn(`${step.planned.id} is asked about again: ${why}`);
}

/** The steps of another plan in the place of this one's: what is known of a step is kept, and so is what this run has asked beside its plan. */
export function adoptSteps(progress: Progress, before: Plan, steps: readonly PlanStep[]): void {
  const known = new Map(progress.steps.map((one) => [one.planned.id, one]));
  const next = steps.map((planned) => {
    const step = known.get(planned.id);
    if (!step) return newStep(whole(planned));
    const isAnother = JSON.stringify(step.planned.demands?.lists) !== JSON.stringify(planned.demands?.lists);
    replanned(step, whole(planned));
    // Another list than the one that was signed.
    if (isAnother) {
      progress.kept.delete(planned.id);
      Object.assign(step, { state: 'pending', startedAt: null, endedAt: null });
    }
    return step;
  });
  const was = new Set(before.steps.map((one) => one.id));
  for (const [at, step] of progress.steps.entries()) {
    if (next.includes(step) || (was.has(step.planned.id) && step.state === 'pending')) continue;
    const previous = progress.steps.slice(0, at).findLast((one) => next.includes(one));
    next.splice(previous ? next.indexOf(previous) + 1 : 0, 0, step);
  }
  progress.steps = next;
}

/** Asked for before the execution was ended, and neither planned nor refused since: whoever has asked does not know that he would have to again. */
export function stillAsked({ answers, refusals, policy }: Progress): Escalate | null {
  const asked = answers.findLast((one) => one.name === 'escalate');
  const parsed = asked && parseMessage('escalate', asked);
  if (!parsed || 'error' in parsed || refusals.some((one) => one.message === 'escalate' && one.at > asked.at)) return null;
  return (POLICIES[parsed.value.to].level ?? 0) > (policy.level ?? 0) ? parsed.value : null;
}

/** Plans the level that was asked for, at a boundary of the walk: nothing is under way. What is done stays done; what was signed of the smaller one is asked again. */
export async function escalate(progress: Progress): Promise<void> {
  const { escalation, identity, input, plan } = progress;
  if (!escalation || !plan) return;
  const entries = progress.takeUnrecorded(Date.now());
  const answer = await escalateRollback.executeWithOptions({ summary: `${escalation.to}: ${escalation.reason}`.slice(0, 200) }, [
    { ...escalation, rollbackId: identity.rollbackId, cause: input?.cause ?? '', entries },
  ]);
  recorded(progress, answer.record, entries);
  // A higher one may have been asked for meanwhile.
  if (progress.escalation === escalation) progress.escalation = null;
  if ('rule' in answer) {
    progress.refuse(answer.rule, `not escalated to ${escalation.to}: ${answer.explanation}`, escalation.by, Date.now(), 'escalate');
    show(progress);
    void tell(progress, 'escalated', `${escalation.by} asked for ${escalation.to}, which is refused: ${answer.explanation}`);
    return;
  }
  const from = progress.policy.level ?? 1;
  progress.plan = answer.plan;
  if (progress.settings) progress.settings = { ...progress.settings, people: answer.people };
  progress.planHash = answer.planHash;
  adoptSteps(progress, plan, answer.plan.steps);
  for (const step of progress.steps) step.mayHaveActed ||= !plan.steps.some((one) => one.id === step.planned.id);
  askAgain(progress, from);
  for (const warning of answer.warnings) progress.warn(warning);
  upsertSearchAttributes(plannedAttributes(progress));
  show(progress);
  void tell(
    progress,
    'escalated',
    `${escalation.by} escalated to ${progress.kind}: ${escalation.reason}. Confirm its plan; ${rolesIn(answer.plan).join(', ')} are needed`,
  );
}

const rolesIn = ({ steps }: Plan): string[] => [...new Set(steps.flatMap((step) => (step.place !== undefined && step.owner !== null ? [step.owner] : [])))];

/** Answers about a smaller plan are none about this one; what was seen or said after the change is seen and said again, and what was unfrozen is frozen again. */
function askAgain(progress: Progress, from: number): void {
  const isVoid = voidBetween(from, progress.policy.level ?? 1);
  // What was asked already comes after what is planned now, and is asked in its turn.
  for (const step of progress.steps)
    if (step.state === 'waiting' && step.planned.mode === 'manual' && !step.planned.beside && progress.plan?.steps.some((one) => one.id === step.planned.id))
      Object.assign(step, { state: 'pending', startedAt: null });
  // Also where only a part was lifted, or where that failed on its way.
  const lifted = progress.steps.filter(({ planned, attempts }) => planned.operation === 'lift' && attempts > 0);
  const voided = progress.steps.filter((step) => isVoid(step.planned) && step.state !== 'pending');
  for (const step of voided) {
    const isTold = step.planned.operation !== null && step.planned.operation !== 'freeze';
    Object.assign(step, { state: 'pending', approval: null, failure: null, startedAt: null, endedAt: null, generation: step.generation + (isTold ? 1 : 0) });
  }
  for (const { planned } of lifted) {
    const held = progress.step(planned.subject === undefined ? 'freeze' : `freeze.${planned.subject}`);
    // A platform that was left to people still is.
    if (held && held.state !== 'skipped') Object.assign(held, { state: 'pending', mayHaveActed: true, generation: held.generation + 1 });
  }
  if (progress.incident) progress.incident.lifting = null;
  const early = [...progress.kept.keys()];
  progress.kept.clear();
  progress.note('void', Date.now(), {
    steps: [...voided.map((step) => step.planned.id), ...early],
    why: `escalated to ${progress.kind}`,
    plan: progress.planHash,
    at: iso(Date.now()),
  });
}
