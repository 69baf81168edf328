/**
 * Rules that came after executions had begun without them. Whoever judges a message of such an execution asks them last, and only
 * where its history does not say that it was accepted (`patched` in workflows/handlers.ts): what was accepted stays so.
 */
import type { Desk } from './answers.ts';
import { no, type No } from './authority.ts';
import type { Assign, Decide, Escalate } from './input.ts';
import type { Operation } from './plan.ts';
import { INCIDENT_ROLES } from './roles.ts';

const LATER = ['skip-of-schema', 'due-is-over', 'same-level', 'known-role'] as const;
export type Later = (typeof LATER)[number];

/** Steps without which the target is not what was confirmed: left out, nothing could ever be unfrozen. */
const NOT_LEFT: ReadonlySet<Operation> = new Set(['undo', 'recover', 'switch']);

/** A database that is not back makes no stable target, and the freeze would stay for good. */
export function judgeLeft({ steps, policy }: Desk, { action, step: id }: Decide): No {
  const step = steps.find((one) => one.id === id);
  if (action !== 'skip' || policy.level === null || !step?.operation || !NOT_LEFT.has(step.operation)) return null;
  const byHand = step.operation === 'undo' ? 'undo it' : step.operation === 'switch' ? 'switch it over' : 'recover it';
  return no(
    'not-skippable',
    `without ${step.id} the target is never stable, and this rollback could not lift its freeze: ${byHand} by hand and decide it done (--action done), mend the cause and retry, or close the rollback (--action close), which keeps the freeze`,
  );
}

const HOUR_MS = 3_600_000;
/** When it is over, by whoever can tell times. A day is over when it is over everywhere on earth: whoever signs far in the west still has his own. */
const overAt = (due: string, parse: (text: string) => number): number => parse(due) + (due.includes('T') ? 0 : 36 * HOUR_MS);

/** By the time of the message itself: what is due has to be able to be done. */
export function judgeDue({ due }: Decide, nowMs: number, parse: (text: string) => number): No {
  if (due === null || !(overAt(due, parse) < nowMs)) return null;
  return no('accepted-risk', `${due} is over: say in "due" a date that is still to come, until when it is made up for`);
}

/** Nothing is asked for that is not so already. While it is being planned, the same request again is none of its own. */
export const judgeSame = (desk: Desk, { to }: Escalate, kind: string): No =>
  desk.escalating ? null : no('level', `it is at ${kind} already${kind === to ? '' : `, which is above ${to}`}; nothing was changed`);

/** Who is given a role that nobody asks for has been given nothing. */
export function judgeKnownRole({ people, steps, policy, assigned }: Desk, { role }: Assign): No {
  const known = new Set([
    'operator',
    policy.lead,
    ...(policy.level === null ? [] : Object.keys(INCIDENT_ROLES)),
    ...steps.flatMap((step) => [step.owner ?? [], step.handedTo ?? []].flat()),
    ...Object.values(people ?? {}).flatMap((person) => [...person.roles, ...(person.deputyFor ?? [])]),
    ...Object.keys(assigned),
  ]);
  return known.has(role) ? null : no('role', `there is no role ${JSON.stringify(role)} here; the roles are ${[...known].toSorted().join(', ')}`);
}
