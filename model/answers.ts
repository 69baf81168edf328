/** May this person say this, now? Pure rules over what the rollback shows; null means yes [product.md 6]. Those that came later are in later-rules.ts. */
import { fieldOf } from './field.ts';
import { deadEnds, isSignedOff, unfreezeConditions } from './conditions.ts';
import { judgeEnd } from './ending.ts';
import { itemsOf } from './evidence.ts';
import { FREEZE_SCOPES, isFreezeScope } from './freeze.ts';
import { NOT_APPLICABLE } from './incident.ts';
import type { Confirm, Decide, Decline, Escalate, Resume } from './input.ts';
import type { Demands, PlannedStep } from './plan.ts';
import { POLICIES, type Policy } from './policy.ts';
import { holds, isDeputy, own, type Roster } from './roles.ts';
import { judgeOnly, judgeOwner, judgeRole, no, type No } from './authority.ts';
import { signedProblem } from './signed.ts';
import { BLOCKED, PASSED, type Answer, type StepState } from './state.ts';

export interface DeskStep extends PlannedStep {
  readonly state: StepState;
  /** Held back by the clock until a person decides. */
  readonly held: boolean;
  /** The role it was handed over to, which may answer beside its owner; null before. */
  readonly handedTo: string | null;
  /** That it may run, and how, as a person said; null: nobody did. */
  readonly approved: { readonly by: string; readonly choice: string | null } | null;
}

/** What a judge sees of the rollback. */
export interface Desk extends Roster {
  /** The Workflow Id, for words that name a command. */
  readonly id?: string;
  readonly policy: Policy;
  readonly steps: readonly DeskStep[];
  readonly planHash: string | null;
  readonly starter: string;
  readonly stopRequested: boolean;
  /** An escalation was accepted and its plan is not made yet. */
  readonly escalating: boolean;
  readonly closed: boolean;
  /** A person has ended it, and the end is not written yet. */
  readonly closing: boolean;
  /** Steps whose early yes is kept. */
  readonly kept: ReadonlySet<string>;
  /** What was answered so far. */
  readonly answers: readonly Answer[];
}

function findStep(desk: Desk, id: string): DeskStep | No {
  const step = desk.steps.find((one) => one.id === id);
  if (step) return step;
  const known = desk.steps.map((one) => one.id).join(', ');
  return no('unknown-step', `there is no step ${JSON.stringify(id)}; the steps are ${known === '' ? 'not planned yet' : known}`);
}

const isStep = (found: DeskStep | No): found is DeskStep => found !== null && 'id' in found;

/** Rules that confirm and decline share. */
function judgeManual(desk: Desk, message: { step: string; by: string }): DeskStep | No {
  if (desk.closed) return no('closed', 'the rollback is closed; nothing can be answered any more');
  const step = findStep(desk, message.step);
  if (!isStep(step)) return step;
  if (step.irreversible !== undefined) return no('not-asked', `${step.id} cannot be undone: ${step.irreversible}`);
  if (step.mode !== 'manual' && !step.approval)
    return no('not-asked', `${step.id} is decided by Backout's own check, not by a person's word; if it failed, use decide`);
  if (step.state === 'pending' && step.attests === 'seen')
    return no('not-asked', `${step.id} attests what was seen and is not asked yet; answer again when it is waiting`);
  if (step.state === 'pending' && !isBegun(desk, step)) return no('not-asked', `${step.id} answers for a rollback that has not begun; answer it then`);
  if (step.fourEyes && message.by === desk.starter) return no('four-eyes', `${message.by} started this rollback; somebody else has to answer ${step.id}`);
  if (step.only) return judgeOnly(desk, message.by, step) ?? step;
  if (step.handedTo !== null && (holds(desk, message.by, step.handedTo) || isDeputy(desk, message.by, step.owner ?? ''))) return step;
  return judgeRole(desk, message.by, step.owner ?? 'operator') ?? step;
}

/** Whoever signs for a mere proposal, or an inventory nobody has confirmed, signs for nothing. From then on, early answers about what people do are kept. */
const isBegun = (desk: Desk, { id }: DeskStep): boolean => {
  const first = desk.policy.subject === 'tenant' ? 'inventory' : 'declaration';
  return desk.policy.subject === 'components' || id === first || desk.steps.some((step) => step.id === first && step.state === 'confirmed');
};

export function judgeConfirm(desk: Desk, message: Confirm): No {
  const step = judgeManual(desk, message);
  if (!isStep(step)) return step;
  if (message.plan !== null && message.plan !== desk.planHash)
    return no('stale-plan', `the answer is for plan ${message.plan}, the plan is now ${desk.planHash ?? 'not made'}; look at it again`);
  const said = step.state === 'confirmed' && step.demands?.choices ? desk.answers.findLast((one) => one.name === 'confirm' && one.step === step.id) : undefined;
  if (said && said['choice'] !== message.choice) return no('already-answered', `${said.by} has confirmed ${step.id} with ${String(said['choice'])} already`);
  if (step.demands?.lists && (step.state === 'confirmed' || desk.kept.has(step.id))) return judgeSigned(desk, step, message);
  if (step.state === 'declined') return no('already-answered', `${step.id} was declined; decide what to do about it first`);
  if (step.id === 'investigation' && message.note === null && message.data === null)
    return no('finding', 'the investigation closes with its finding; say it in "note"');
  if (step.mode === 'manual' && step.state === 'skipped') return no('already-answered', `${step.id} was left out by a decision; there is nothing to confirm`);
  if (step.id === 'unfreeze' && desk.escalating) return no('level', 'it is being escalated: nothing is unfrozen before the plan of the higher level is shown');
  return judgeDemands(desk, step, message) ?? judgeUnfreeze(desk, step, message) ?? judgeApproval(step, message);
}

/** What was signed is carried out; another list than that one is not taken for it. */
function judgeSigned(desk: Desk, { id }: DeskStep, { data }: Confirm): No {
  const said = desk.answers.findLast((one) => one.name === 'confirm' && one.step === id);
  if (JSON.stringify(said?.['data']) === JSON.stringify(data)) return null;
  const rollback = desk.id ?? 'ID';
  return no(
    'already-answered',
    `${said?.by ?? 'somebody'} has signed another list already, and it is carried out as it was signed. To sign another one, end this rollback and start it again, where the list is asked for anew: \`backout stop ${rollback} --by YOU --reason WHY\`, then \`backout decide ${rollback} --action close --by YOU --reason WHY\` (what it asks for first it says), then \`backout start\` for the same incident`,
  );
}

/** What was said of an artifact is carried out: it is said once, or taken back first. */
function judgeApproval({ id, approval, approved, state }: DeskStep, { choice }: Confirm): No {
  if (!approval) return null;
  if (approved !== null && BLOCKED.has(state)) return no('already-answered', `${id} was confirmed and is ${state}; decide about it: retry, done or skip`);
  if (approved !== null && approved.choice === choice) return null;
  if (approved !== null)
    return no(
      'already-answered',
      `${approved.by} has confirmed ${id}${approved.choice === null ? '' : ` with ${approved.choice}`} already; decline it first to choose anew`,
    );
  return state === 'pending' || state === 'waiting' ? null : no('already-answered', `${id} is ${state}; there is nothing to confirm`);
}

/** Said at all, and not the sign that stands for it in the printed command. */
const isText = (value: unknown): value is string => typeof value === 'string' && value.trim() !== '' && value.trim() !== '…';

/** What the plan asks of this confirmation. */
function judgeDemands(desk: Desk, { id, demands }: DeskStep, message: Confirm): No {
  if (!demands) return null;
  if (demands.plan && message.plan === null) return no('stale-plan', `${id} is bound to the plan: say in "plan" the hash of the one you have looked at`);
  const { choice } = message;
  if (demands.choices && !demands.choices.some((one) => one === choice))
    return no('choice', `say in "choice" one of ${demands.choices.join(', ')}${choice === null ? '' : `, not ${choice}`}`);
  const signed = demands.lists ? signedProblem(message.data, demands.lists) : null;
  if (signed !== null) return no('choice', `in "data": ${signed}`);
  const missing = (demands.data ?? []).filter((name) => !isText(fieldOf(message.data, name)));
  if (missing.length > 0)
    return no(id === 'declaration' ? 'declaration' : 'evidence', `${id} needs ${missing.map((name) => `"${name}"`).join(' and ')} in "data", each a text`);
  if (demands.note !== undefined && (demands.note === true || demands.note === choice) && (message.note === null || message.note === 'WHY'))
    return no('evidence', `say in "note" why ${id} is ${choice ?? 'so'}`);
  if (choice === NOT_APPLICABLE) return null;
  const given = itemsOf(message.evidence);
  const wanted = stillToType(desk, demands).filter((item) => !isText(own(given, item)));
  return wanted.length === 0
    ? null
    : no('evidence', `${id} demands evidence item by item; missing: ${wanted.map((item) => `${item}=TEXT, link or file`).join(', ')}`);
}

/** Items of evidence that no step has produced: a person types them. */
export const stillToType = (desk: Pick<Desk, 'steps' | 'answers'>, { items = [], produced = {} }: Demands): readonly string[] =>
  items.filter((item) => !isProduced(desk, own(produced, item)));

/** By steps that have passed, each of them: what was left out by a decision, or has failed, proves nothing. */
const isProduced = ({ steps, answers }: Pick<Desk, 'steps' | 'answers'>, ids: readonly string[] = []): boolean =>
  ids.length > 0 && ids.every((id) => steps.some((step) => step.id === id && PASSED.has(step.state)) && !isSignedOff(answers, id));

/** All four conditions before anything is unfrozen [001 step 5], and what is chosen is something that can be. */
function judgeUnfreeze(desk: Desk, step: DeskStep, { data }: Confirm): No {
  if (step.id !== 'unfreeze') return null;
  const scopes = fieldOf(data, 'scopes');
  if (scopes !== undefined && !(Array.isArray(scopes) && scopes.length > 0 && scopes.every(isFreezeScope)))
    return no('choice', `say in "data" {"scopes": […]} what is unfrozen, at least one of ${FREEZE_SCOPES.join(', ')}; without it, everything is`);
  const unmet = unfreezeConditions(desk.steps, desk.answers).filter((one) => !one.met);
  if (unmet.length === 0) return null;
  const left = deadEnds(desk.steps, desk.answers);
  const wayOut =
    left.length === 0
      ? ''
      : `. What was left out is not taken up again here: stop it and close it, which keeps the freeze, and start it again for the same incident`;
  return no('unfreeze-conditions', `nothing is unfrozen yet: ${unmet.map((one) => `"${one.condition}" is not met (${one.by})`).join('; ')}${wayOut}`);
}

export function judgeDecline(desk: Desk, message: Decline): No {
  const step = judgeManual(desk, message);
  if (!isStep(step)) return step;
  if (step.id === 'investigation') return no('finding', 'an investigation cannot be declined; confirm it with its finding in "note"');
  if (step.state === 'confirmed') return no('already-answered', `${step.id} was confirmed already`);
  return step.approval && (step.state === 'running' || PASSED.has(step.state)) ? no('already-answered', `${step.id} is ${step.state} already`) : null;
}

/** Is it stopped, so that a person has to decide? */
export const isStopped = (desk: Desk): boolean => desk.stopRequested || desk.steps.some((step) => !step.beside && (BLOCKED.has(step.state) || step.held));

export function judgeDecide(desk: Desk, message: Decide): No {
  if (desk.closed) return no('closed', 'the rollback is closed; nothing can be decided any more');
  if (message.action === 'close') return judgeClose(desk, message);
  const step = findStep(desk, message.step ?? '');
  if (!isStep(step)) return step;
  return judgeDecision(desk, step, message) ?? judgeOwner(desk, message.by, step);
}

/** May this be decided about it at all, whoever says so? */
export function judgeDecision(desk: Desk, step: DeskStep, message: Decide): No {
  if (!BLOCKED.has(step.state) && !step.held && !(message.action === 'skip' && mayBeLeft(desk, step)))
    return no('not-failed', `${step.id} is ${step.state}; there is nothing to decide about it`);
  if (message.action === 'skip' && !desk.policy.partialEnd)
    return no('no-partial', `partial rollbacks are forbidden here, so ${step.id} cannot be skipped; retry with an analysis, or close`);
  if (message.action === 'retry' && desk.policy.retryNeedsAnalysis && message.analysis === null)
    return no('analysis', 'a repeated attempt needs a written analysis of the failure; say it in "analysis"');
  if (message.action === 'done' && step.mode === 'manual' && step.operation === null)
    return no('not-failed', `${step.id} is answered by confirm, not by done; retry asks it again`);
  if (message.action === 'done' && step.operation === 'communicate' && message.evidence.length === 0)
    return no('evidence', `who has told them by hand says where: give in "evidence" a link to what was sent for ${step.id}`);
  return message.action === 'skip' ? judgeSkip(desk, step, message) : null;
}

/** What waits for a person may be left out too, once it was begun: it is documented as what remains. */
const mayBeLeft = (desk: Desk, step: DeskStep): boolean =>
  // A rollback that cannot go on may end with what its owner signs for, also where that was not come to.
  (step.only === true && step.operation !== null && step.state === 'pending' && isStopped(desk)) ||
  ((step.removal === true || (step.wave !== undefined && desk.policy.subject === 'tenant')) &&
    (step.state === 'waiting' || step.state === 'pending') &&
    step.mandatory !== true &&
    desk.steps.some(({ id, state }) => (id === 'begin' || id === 'failure') && state !== 'pending'));

const DATE = /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(T\S+)?$/;

/** What may be left undone, and how it is signed [001 steps 4 and 5]. */
function judgeSkip({ policy }: Desk, step: DeskStep, { due, evidence }: Decide): No {
  // A tenant may keep what cannot be had: it is documented, and the request stays FAILED until it is cleaned up [000 Rollback Failure].
  if (policy.subject === 'tenant')
    return step.mandatory
      ? no(
          'not-optional',
          `${step.id} cannot be left out; retry it, or close the rollback, which leaves the request ${step.id === 'identify' || step.id === 'inventory' ? 'as it was' : 'FAILED'}`,
        )
      : null;
  if (step.mandatory)
    return step.id.startsWith('cleanup.')
      ? no('mandatory-row', `${step.id} is a mandatory row of the cleanup checklist; it cannot be accepted as risk`)
      : no('not-skippable', `${step.id} cannot be skipped; retry it, or close the rollback, which keeps the freeze`);
  if (due !== null) return DATE.test(due) ? null : no('accepted-risk', 'an accepted risk has a due date, such as 2026-12-01, in "due"');
  if (step.operation !== 'gate') return no('accepted-risk', `skipping ${step.id} accepts a risk: sign it with a reason and a due date, in "due"`);
  const given = itemsOf(evidence);
  return isText(own(given, 'link')) && isText(own(given, 'proof'))
    ? null
    : no(
        'baseline-blocker',
        `a red ${step.id} passes as a known baseline blocker, with "evidence" ["link=WHERE IT IS TRACKED", "proof=THAT IT FAILED BEFORE THE CYCLE TOO"], or as an accepted risk with a date in "due"`,
      );
}

function judgeClose(desk: Desk, message: Decide): No {
  if (!isStopped(desk)) return no('not-stopped', 'only a stopped rollback can be closed; use stop first');
  return judgeEnd(desk) ?? judgeRole(desk, message.by, desk.policy.lead);
}

export function judgeResume(desk: Desk, message: Resume): No {
  if (desk.closed) return no('closed', 'the rollback is closed; nothing can be resumed');
  if (!desk.stopRequested) return no('not-stopped', isStopped(desk) ? 'it waits for a decision about a step; use decide' : 'it is not stopped');
  return judgeRole(desk, message.by, desk.policy.lead);
}

export function judgeEscalate(desk: Desk, message: Escalate): No {
  if (desk.policy.level === null)
    return no(
      'level',
      `${message.to} is a level of an incident rollback; this is not one. ${desk.closed ? 'Start' : 'Stop this and start'} l1Rollback instead`,
    );
  if (desk.closed || desk.closing) return no('closed', `the rollback is ending; start ${message.to} of this incident instead`);
  const level = POLICIES[message.to].level ?? 0;
  const { level: now } = desk.policy;
  if (level < now) return no('level', `this rollback is at level ${now} already; a level only grows`);
  if (!desk.steps.some((step) => step.id === 'declaration' && step.state === 'confirmed'))
    return no('declaration', 'rollback mode is not declared yet: a proposal is declared first, then escalated');
  return judgeRole(desk, message.by, desk.policy.lead);
}
