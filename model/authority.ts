/** Whose word it is: may this person answer for this role? Null means yes. */
import type { Desk, DeskStep } from './answers.ts';
import type { Assign } from './input.ts';
import type { Rule } from './refusal.ts';
import { entitledTo, holds, holdersOf, isDeputy, own } from './roles.ts';

export type No = { readonly rule: Rule; readonly explanation: string } | null;
export const no = (rule: Rule, explanation: string): No => ({ rule, explanation });

/** Without people in `backout.yaml` anyone is operator, and says so himself. */
export function judgeRole(desk: Desk, by: string, role: string): No {
  if (holds(desk, by, role)) return null;
  const can = holdersOf(desk, role);
  const deputy = isDeputy(desk, by, role) ? `; ${by} is a deputy and may take it over: assign ${role} to ${by}, with a reason` : '';
  const who = `${can.length === 0 ? 'nobody has it yet; use assign' : `it is held by ${can.join(', ')}`}${deputy}`;
  const known = own(desk.people ?? {}, by) !== undefined;
  return known
    ? no('role', `${by} does not have the role ${role}; ${who}`)
    : no('unknown-person', `${by} is not among the people of backout.yaml; the role ${role} is needed, ${who}`);
}

/** Who signs in a role that nobody else may fill: by its own right, or given it by such a one. */
export function signersOf(desk: Desk, role: string): string[] {
  const assigned = desk.answers.flatMap((one) =>
    one.name === 'assign' && typeof one['role'] === 'string' && typeof one['to'] === 'string' ? [{ by: one.by, role: one['role'], to: one['to'] }] : [],
  );
  return entitledTo(desk, assigned, role);
}

/** Is there anything that this role alone may answer? */
export const isGuarded = ({ steps }: { readonly steps: readonly Pick<DeskStep, 'only' | 'owner'>[] }, role: string): boolean =>
  steps.some((step) => step.only === true && step.owner === role);

/** Of credentials nobody but the Security Lead decides [001 Ownership]; how somebody else came to the role counts too. */
export function judgeOnly(desk: Desk, by: string, { id, owner }: DeskStep): No {
  const role = owner ?? desk.policy.lead;
  const can = signersOf(desk, role);
  if (can.includes(by)) return null;
  const who = can.length === 0 ? `nobody holds it: name a ${role} in backout.yaml` : `it is held by ${can.join(', ')}, who may assign it`;
  const deputy = isDeputy(desk, by, role) ? `; ${by} is a deputy and may take it over: assign ${role} to ${by}, with a reason` : '';
  return no('security-lead', `${id} is answered by the ${role} alone, not by whoever leads; ${who}${deputy}`);
}

/** The owner of a step, or whoever leads. */
export const judgeOwner = (desk: Desk, by: string, step: DeskStep): No => {
  if (step.only) return judgeOnly(desk, by, step);
  return holds(desk, by, desk.policy.lead) ? null : judgeRole(desk, by, step.owner ?? desk.policy.lead);
};

/**
 * Whoever holds a role hands it on; his deputy may take it, and whoever leads may give it, so that a role nobody holds is never a dead end.
 * Where nobody leads either, an operator says who does.
 */
export function judgeAssign(desk: Desk, message: Assign): No {
  if (desk.closed) return no('closed', 'the rollback is closed');
  const guarded = desk.steps.find((step) => step.only && step.owner === message.role);
  if (guarded) return isDeputy(desk, message.by, message.role) && message.to === message.by ? null : judgeOnly(desk, message.by, guarded);
  if (holds(desk, message.by, message.role) || holds(desk, message.by, desk.policy.lead)) return null;
  if (message.to === message.by && isDeputy(desk, message.by, message.role)) return null;
  const { lead } = desk.policy;
  return judgeRole(desk, message.by, holdersOf(desk, lead).length === 0 ? 'operator' : lead);
}
