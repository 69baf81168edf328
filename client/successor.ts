/** Whose word goes on with a rollback whose execution is gone: the same as after a stop. Nobody is there who could judge it, so what is known of people is asked here. */
import { POLICIES } from '../model/policy.ts';
import { holdersOf, isDeputy, own, roleTitle, type Roster } from '../model/roles.ts';
import type { RollbackState } from '../model/state.ts';
import { commandName } from './output.ts';
import { EXIT, Problem } from './problem.ts';
import type { Session } from './session.ts';

/** Throws where somebody else has to say it. */
export async function judgeSuccessor(session: Session, state: RollbackState, by: string): Promise<void> {
  const why = refusalOf(await rosterOf(session, state), state, by);
  if (why === null) return;
  throw new Problem(
    EXIT.refused,
    'refused',
    `refused: ${why}`,
    `have one of them type \`${commandName()} resume ${state.id} --by YOU --reason WHY\`; nothing was started, and what was done stays done`,
    { id: state.id, state: 'abandoned' },
  );
}

/** People as backout.yaml has them here, roles as they were handed on; without the file, as the lost execution had them. Null people: nobody is known, anyone is anything. */
async function rosterOf(session: Session, state: RollbackState): Promise<Roster> {
  const assigned: Record<string, string[]> = {};
  for (const { name, ...answer } of state.answers) {
    const { role, to } = answer as { readonly role?: unknown; readonly to?: unknown };
    if (name === 'assign' && typeof role === 'string' && typeof to === 'string')
      Object.defineProperty(assigned, role, { value: [...(own(assigned, role) ?? []), to], enumerable: true, configurable: true });
  }
  const loaded = await session.settings.config();
  if (loaded) return { people: loaded.config.people ?? null, assigned };
  const roles = Object.entries(state.incidentCommand?.roles ?? {}).flatMap(([role, names]) => names.map((name) => [name, role] as const));
  const people = Object.fromEntries(roles.map(([name]) => [name, { roles: roles.flatMap(([one, role]) => (one === name ? [role] : [])) }]));
  return { people: roles.length === 0 ? null : people, assigned };
}

/** Null: he may. A deputy may as well: nobody is there to whom the role could be assigned. Where nobody leads, an operator does. */
function refusalOf(roster: Roster, { kind }: RollbackState, by: string): string | null {
  const { people } = roster;
  if (people === null) return null;
  const { lead } = POLICIES[kind];
  const role = holdersOf(roster, lead).length > 0 ? lead : 'operator';
  const holders = holdersOf(roster, role);
  const deputies = Object.keys(people).filter((name) => isDeputy(roster, name, lead));
  if (holders.length === 0 || holders.includes(by) || deputies.includes(by)) return null;
  const known = own(people, by) !== undefined ? `${by} does not have the role ${role}` : `${by} is not among the people of backout.yaml`;
  return `${known}; the ${roleTitle(role)} goes on with an abandoned rollback: ${[...holders, ...deputies.map((name) => `${name} (deputy)`)].join(', ')}`;
}
