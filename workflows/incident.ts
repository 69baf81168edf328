/** What an incident rollback does beside walking its plan [001]: what its steps are given, and what their outcomes mean. */
import { fieldOf } from '../model/field.ts';
import { failure } from '../model/failure.ts';
import { newStep, type StepProgress } from './step-progress.ts';
import type { Change, IncidentWork, StepOutcome } from '../activities/step.ts';
import type { Plan } from '../model/plan.ts';
import { isKind, POLICIES } from '../model/policy.ts';
import { holds } from '../model/roles.ts';
import type { Failure } from '../model/state.ts';
import type { Progress } from './progress.ts';
import { factsNow } from './facts.ts';
import { adoptSteps, dataWorkOf, recount, stillAsked } from './incident-data.ts';

const iso = (ms: number): string => new Date(ms).toISOString();

/**
 * The commander's own start is the declaration, where it says all that one has to say; whoever else starts only proposes. Who goes on for an execution
 * that was ended finds what that one has frozen.
 */
export function declareAtOnce(progress: Progress, nowMs: number): void {
  const { incident, input, settings } = progress;
  if (incident) {
    incident.frozen = frozenBefore(progress);
    progress.escalation ??= stillAsked(progress);
  }
  const step = progress.step('declaration');
  if (!incident || !input || !step || step.state !== 'pending' || settings?.people === null) return;
  const byCommander = (input.trigger === 'operator' || input.trigger === 'drill') && holds(progress.desk(), input.by, progress.policy.lead);
  if (!byCommander || (step.planned.demands?.data && !input.declaration)) return;
  const message = { by: input.by, choice: null, data: input.declaration ?? null };
  Object.assign(step, { state: 'confirmed', startedAt: iso(nowMs), endedAt: iso(nowMs) });
  incident.confirmed('declaration', message, iso(nowMs));
  progress.answered({ name: 'confirm', step: 'declaration', by: input.by, data: message.data, note: 'declared by the start' }, nowMs);
}

/** As the receipts of the register said last. */
function frozenBefore(progress: Progress): string[] {
  const said = (step: string, name: string): unknown => fieldOf(progress.step(step)?.receipt?.after, name);
  const scopes = said('lift', 'frozen') ?? said('freeze', 'scopes');
  return Array.isArray(scopes) ? scopes.filter((one) => typeof one === 'string') : [];
}

/** What the activity needs beyond a component's step; empty for every other kind, so that what was released is given what it always was. */
export function incidentWorkOf(progress: Progress, step: StepProgress): { readonly incident?: IncidentWork } {
  const { incident, input, plan } = progress;
  if (!incident || !input || !plan) return {};
  const { operation, subject } = step.planned;
  const base = { id: input.incident ?? '', by: incident.declared?.by ?? input.by, ...(subject === undefined ? {} : { subject }) };
  const targets = plan.targets.map(({ component, to }) => ({ component, to }));
  // What was left out by a decision cannot leave its place.
  const settled = settledOf(progress);
  const back = plan.targets.flatMap(({ component, to, marks }) =>
    settled.includes(component) ? [{ component, to, ...(marks && isSetBack(progress, component) ? { marks } : {}) }] : [],
  );
  if (operation === 'communicate')
    return { incident: { ...base, facts: factsNow(progress, subject ?? '', Date.now()), ...(subject === 'recovery' ? { targets: back } : {}) } };
  if (operation === 'identify')
    return {
      incident: {
        ...base,
        ...by(progress, 'takeover'),
        settled,
        takeover: incident.takeover,
        holder: incident.holder,
        ...(plan.places === undefined ? {} : { cause: input.cause }),
      },
    };
  const data = dataWorkOf(progress, step);
  if (data) return { incident: { ...base, ...approver(step), ...(operation === 'scope' ? { targets } : {}), data } };
  if (operation === 'config') return { incident: { ...base, ...configOf(plan, step) } };
  const { level } = progress.policy;
  if (operation === 'stability')
    return { incident: { ...base, targets: back, carriers: carriersOf(progress), ...(level === null || level === 1 ? {} : { level }) } };
  if (operation === 'lift')
    return {
      incident: {
        ...base,
        ...by(progress, 'unfreeze'),
        targets: back,
        carriers: carriersOf(progress),
        ...(incident.lifting === null ? {} : { scopes: incident.lifting }),
      },
    };
  return { incident: step.planned.mode === 'gate' ? { ...base, targets } : base };
}

const isSetBack = (progress: Progress, component: string): boolean => {
  const state = progress.step(`${component}.config`)?.state;
  return state === 'done' || state === 'already';
};

const approver = ({ approval }: StepProgress): Partial<Pick<IncidentWork, 'by'>> => (approval === null ? {} : { by: approval.by });

/** Who gave the word for it; it need not be who declared. */
function by({ answers }: Progress, step: string): Partial<Pick<IncidentWork, 'by'>> {
  const said = answers.findLast((one) => one.name === 'confirm' && one.step === step);
  return said ? { by: said.by } : {};
}

/** Components that are back: their plan stays as it was confirmed. */
const settledOf = (progress: Progress): string[] =>
  progress.steps.flatMap(({ planned: { operation, component }, state }) =>
    operation === 'deploy' && (state === 'done' || state === 'already') ? [component ?? ''] : [],
  );

function configOf(plan: Plan, step: StepProgress): Pick<IncidentWork, 'marks' | 'comparison'> {
  const target = plan.targets.find((one) => one.component === step.planned.component);
  return { marks: target?.marks ?? [], comparison: (target?.comparison ?? []).filter((one) => one.what.startsWith('config ')) };
}

/** Platforms that hold the freeze; one that was left to people is not among them. */
const carriersOf = (progress: Progress): string[] =>
  progress.steps.flatMap(({ planned: { operation, subject }, state }) =>
    operation === 'freeze' && subject !== undefined && (state === 'done' || state === 'already') ? [subject] : [],
  );

/** What a step has found that concerns more than itself. */
export function follow(progress: Progress, step: StepProgress, { change }: Pick<StepOutcome, 'change'>): void {
  const { incident } = progress;
  if (!incident || !change) return;
  if (change.frozen) incident.frozen = change.frozen;
  if (change.plan) adopt(progress, change.plan);
  if (change.recounted) recount(progress, step, change.recounted);
  if (change.held) askTakeover(progress, step, change.held.workflowId);
  if (change.stale !== undefined) voidTarget(progress, step, change.stale);
  if (change.drifted) reopen(progress, change.drifted);
  if (change.unfrozen) unfrozen(progress, change.unfrozen);
  if (step.planned.operation === 'lift' && step.planned.subject === undefined && step.state === 'done') askForTheRest(progress);
}

/** A component may have a time target of its own beside the whole's; that it was missed is said. */
export function checkOwnTime(progress: Progress, { planned: { id, component } }: StepProgress, tookMs: number): void {
  const own = progress.incident && progress.plan?.targets.find((one) => one.component === component)?.targetSeconds;
  if (own && tookMs > own * 1000) progress.warn(`${id} took ${(tookMs / 1000).toFixed(1)} s; the time target of ${component ?? ''} is ${own} s`);
}

/** Another plan than the one that was looked at: what was confirmed of it is void. */
function adopt(progress: Progress, { targets, hash, steps, ...more }: NonNullable<Change['plan']>): void {
  if (!progress.plan || hash === progress.planHash) return;
  const before = progress.plan;
  progress.plan = { ...before, targets, ...more, ...(steps === undefined ? {} : { steps }) };
  if (steps) adoptSteps(progress, before, steps);
  progress.planHash = hash;
  const target = progress.step('target');
  if (target?.state === 'confirmed') {
    Object.assign(target, { state: 'pending', startedAt: null, endedAt: null });
    progress.warn('reality has moved since the target was confirmed: the plan is another one, and is asked about again');
  }
}

/** Another rollback holds a component: the commander takes it over knowingly, or waits for it. */
function askTakeover(progress: Progress, identify: StepProgress, holder: string): void {
  const because = identify.failure?.message ?? 'another rollback holds a component';
  Object.assign(identify, { state: 'pending', failure: null, startedAt: null, endedAt: null });
  if (progress.incident) Object.assign(progress.incident, { takeover: null, holder });
  const step = newStep({
    id: 'takeover',
    title: `Take over or wait? ${because}`,
    mode: 'manual',
    effect: 'record',
    component: null,
    owner: progress.policy.lead,
    operation: null,
    attests: 'seen',
    fourEyes: false,
    mandatory: true,
    // Two incidents do not take components from each other.
    demands: { choices: isIncident(holder) ? ['wait'] : ['take-over', 'wait'] },
  });
  const asked = progress.steps.findIndex((one) => one.planned.id === 'takeover');
  // Asked once more, it may be about another one.
  if (asked === -1) progress.steps.splice(progress.steps.indexOf(identify), 0, step);
  else progress.steps[asked] = step;
}

const isIncident = (workflowId: string): boolean => {
  const [kind = ''] = workflowId.split('/');
  return isKind(kind) && POLICIES[kind].level !== null;
};

/** Reality is not what the plan shows: nothing was changed by this step, and the target is asked about again. */
function voidTarget(progress: Progress, step: StepProgress, why: string): void {
  Object.assign(step, { state: 'pending', failure: null, startedAt: null, endedAt: null });
  for (const id of ['identify', 'target']) {
    const one = progress.step(id);
    if (one) Object.assign(one, { state: 'pending', failure: null, startedAt: null, endedAt: null });
  }
  progress.warn(`the confirmation of the target is void: ${why}`);
  progress.note('void', Date.now(), { step: 'target', why });
}

/** What was put back is not there any more: the change itself is in doubt, and everything that was seen after it. */
export function reopen(progress: Progress, drifted: readonly { readonly component: string; readonly failure: Failure; readonly config?: true }[]): void {
  for (const { component, failure: found, config } of drifted) {
    const doubted = config ? 'config' : 'deploy';
    for (const step of progress.steps) {
      if (step.planned.component !== component) continue;
      if (step.planned.operation === doubted) Object.assign(step, { state: 'failed', failure: found });
      else Object.assign(step, { state: 'pending', startedAt: null, endedAt: null });
    }
    progress.note('drift', Date.now(), { component, failure: found });
  }
  const after = progress.steps.filter((step) => step.planned.component === null && looksAgain(step));
  for (const step of after) {
    // What was unfrozen for an end that does not come is frozen again.
    const held = step.planned.operation === 'lift' && step.state === 'done' ? progress.step(`freeze.${step.planned.subject ?? ''}`) : undefined;
    if (held?.state === 'done' || held?.state === 'already') Object.assign(held, { state: 'pending', mayHaveActed: true });
    // What was said or committed of it was of another time: it is said anew, and not found again as the same.
    const isSaid = step.planned.operation === 'communicate' || step.planned.operation === 'review';
    if (isSaid && step.state !== 'pending') step.generation += 1;
    Object.assign(step, { state: 'pending', failure: null, startedAt: null, endedAt: null });
  }
}

/** Steps that attest what was seen after the change; in a deployRevert that is the last one alone. */
const looksAgain = ({ planned: { id, mode, operation } }: StepProgress): boolean =>
  mode === 'gate' || operation === 'review' || id === 'availability' || id === 'unfreeze' || id === 'communication.recovery' || operation === 'lift';

/** Somebody has lifted the freeze on a platform by hand. */
function unfrozen(progress: Progress, carriers: NonNullable<Change['unfrozen']>): void {
  for (const { carrier, detail } of carriers) {
    const step = progress.step(`freeze.${carrier}`);
    if (!step) continue;
    Object.assign(step, { state: 'failed', failure: failure('FreezeLifted', `${carrier} is not frozen any more: ${detail}`) });
    progress.note('drift', Date.now(), { carrier, failure: step.failure });
    const lift = progress.step(`lift.${carrier}`);
    if (lift) Object.assign(lift, { state: 'pending', failure: null, startedAt: null, endedAt: null });
  }
  for (const step of progress.steps)
    if (step.planned.operation === 'stability') Object.assign(step, { state: 'pending', failure: null, startedAt: null, endedAt: null });
}

/** Unfrozen in scopes: what is still frozen is asked about again, with its own notice. */
function askForTheRest(progress: Progress): void {
  if (!progress.incident || progress.incident.frozen.length === 0) return;
  progress.incident.lifting = null;
  for (const step of progress.steps) {
    const { id, operation } = step.planned;
    if (id !== 'unfreeze' && id !== 'communication.recovery' && operation !== 'lift' && operation !== 'stability') continue;
    Object.assign(step, { state: 'pending', generation: step.generation + 1, failure: null, startedAt: null, endedAt: null });
  }
}
