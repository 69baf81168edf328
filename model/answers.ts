/** May this person say this, now? Pure rules over what the rollback shows; null means yes [product.md 6]. */
import type { Assign, Confirm, Decide, Decline, Escalate, Resume } from './input.ts';
import type { PlannedStep } from './plan.ts';
import type { Policy } from './policy.ts';
import type { Rule } from './refusal.ts';
import { BLOCKED, type StepState } from './state.ts';

export interface DeskStep extends PlannedStep {
  readonly state: StepState;
  /** Held back by the clock until a person decides. */
  readonly held: boolean;
  /** The role it was handed over to, which may answer beside its owner; null before. */
  readonly handedTo: string | null;
}

/** What a judge sees of the rollback. */
export interface Desk {
  readonly policy: Policy;
  readonly steps: readonly DeskStep[];
  readonly planHash: string | null;
  readonly starter: string;
  /** Null: nobody is configured, anyone is operator. */
  readonly people: Readonly<Record<string, { readonly roles: readonly string[] }>> | null;
  /** Roles taken over by `assign`: role to people. */
  readonly assigned: Readonly<Record<string, readonly string[]>>;
  readonly stopRequested: boolean;
  readonly closed: boolean;
}

export type No = { readonly rule: Rule; readonly explanation: string } | null;
const no = (rule: Rule, explanation: string): No => ({ rule, explanation });

/** Names come from outside; one such as `constructor` must not reach the prototype. */
const own = <T>(from: Readonly<Record<string, T>>, name: string): T | undefined => (Object.hasOwn(from, name) ? from[name] : undefined);

const holds = (desk: Desk, by: string, role: string): boolean =>
  desk.people === null || (own(desk.people, by)?.roles.includes(role) ?? false) || (own(desk.assigned, role)?.includes(by) ?? false);

/** Without people in `backout.yaml` anyone is operator, and says so himself. */
export function judgeRole(desk: Desk, by: string, role: string): No {
  if (holds(desk, by, role)) return null;
  const can = [
    ...Object.entries(desk.people ?? {})
      .filter(([, person]) => person.roles.includes(role))
      .map(([name]) => name),
    ...(own(desk.assigned, role) ?? []),
  ];
  const who = can.length === 0 ? 'nobody has it yet; use assign' : `it is held by ${can.join(', ')}`;
  const known = own(desk.people ?? {}, by) !== undefined;
  return known
    ? no('role', `${by} does not have the role ${role}; ${who}`)
    : no('unknown-person', `${by} is not among the people of backout.yaml; the role ${role} is needed, ${who}`);
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
  if (step.mode !== 'manual') return no('not-asked', `${step.id} is decided by Backout's own check, not by a person's word; if it failed, use decide`);
  if (step.state === 'pending' && step.attests === 'seen')
    return no('not-asked', `${step.id} attests what was seen and is not asked yet; answer again when it is waiting`);
  if (step.fourEyes && message.by === desk.starter) return no('four-eyes', `${message.by} started this rollback; somebody else has to answer ${step.id}`);
  if (step.handedTo !== null && holds(desk, message.by, step.handedTo)) return step;
  return judgeRole(desk, message.by, step.owner ?? 'operator') ?? step;
}

export function judgeConfirm(desk: Desk, message: Confirm): No {
  const step = judgeManual(desk, message);
  if (!isStep(step)) return step;
  if (message.plan !== null && message.plan !== desk.planHash)
    return no('stale-plan', `the answer is for plan ${message.plan}, the plan is now ${desk.planHash ?? 'not made'}; look at it again`);
  if (step.state === 'declined') return no('already-answered', `${step.id} was declined; decide what to do about it first`);
  if (step.id === 'investigation' && message.note === null && message.data === null)
    return no('finding', 'the investigation closes with its finding; say it in "note"');
  return null;
}

export function judgeDecline(desk: Desk, message: Decline): No {
  const step = judgeManual(desk, message);
  if (!isStep(step)) return step;
  if (step.id === 'investigation') return no('finding', 'an investigation cannot be declined; confirm it with its finding in "note"');
  return step.state === 'confirmed' ? no('already-answered', `${step.id} was confirmed already`) : null;
}

/** Is it stopped, so that a person has to decide? */
export const isStopped = (desk: Desk): boolean => desk.stopRequested || desk.steps.some((step) => BLOCKED.has(step.state) || step.held);

export function judgeDecide(desk: Desk, message: Decide): No {
  if (desk.closed) return no('closed', 'the rollback is closed; nothing can be decided any more');
  if (message.action === 'close') {
    if (!isStopped(desk)) return no('not-stopped', 'only a stopped rollback can be closed; use stop first');
    const open = desk.steps.some((step) => step.id === 'investigation' && step.state !== 'confirmed');
    return open
      ? no('finding', 'the time target was missed; confirm the step investigation with its finding before closing')
      : judgeRole(desk, message.by, 'operator');
  }
  const step = findStep(desk, message.step ?? '');
  if (!isStep(step)) return step;
  if (!BLOCKED.has(step.state) && !step.held) return no('not-failed', `${step.id} is ${step.state}; there is nothing to decide about it`);
  if (message.action === 'skip' && !desk.policy.partialEnd)
    return no('no-partial', `partial rollbacks are forbidden here, so ${step.id} cannot be skipped; retry with an analysis, or close`);
  if (message.action === 'retry' && desk.policy.retryNeedsAnalysis && message.analysis === null)
    return no('analysis', 'a repeated attempt needs a written analysis of the failure; say it in "analysis"');
  if (message.action === 'done' && step.mode === 'manual') return no('not-failed', `${step.id} is answered by confirm, not by done; retry asks it again`);
  return judgeRole(desk, message.by, step.owner ?? 'operator');
}

export function judgeResume(desk: Desk, message: Resume): No {
  if (desk.closed) return no('closed', 'the rollback is closed; nothing can be resumed');
  if (!desk.stopRequested) return no('not-stopped', isStopped(desk) ? 'it waits for a decision about a step; use decide' : 'it is not stopped');
  return judgeRole(desk, message.by, 'operator');
}

export function judgeEscalate(desk: Desk, message: Escalate): No {
  return no('level', `${message.to} is a level of an incident rollback; this is not one. ${desk.closed ? 'Start' : 'Stop this and start'} l1Rollback instead`);
}

/** Whoever holds a role hands it on; an operator may, so that a role nobody holds is never a dead end. */
export function judgeAssign(desk: Desk, message: Assign): No {
  if (desk.closed) return no('closed', 'the rollback is closed');
  return holds(desk, message.by, message.role) ? null : judgeRole(desk, message.by, 'operator');
}
