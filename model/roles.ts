/** The roles of [001 Ownership]. One person at a time holds each: who takes one over replaces its holder. */
export const INCIDENT_ROLES = {
  'incident-commander': 'Incident Commander',
  'api-lead': 'API Lead',
  'infrastructure-lead': 'Infrastructure Lead',
  'data-evidence-lead': 'Data and Evidence Lead',
  'security-lead': 'Security Lead',
  'communications-owner': 'Communications Owner',
} as const;
export type IncidentRole = keyof typeof INCIDENT_ROLES;

export const isIncidentRole = (role: string): role is IncidentRole => Object.hasOwn(INCIDENT_ROLES, role);

/** As people read it. */
export const roleTitle = (role: string): string => (isIncidentRole(role) ? INCIDENT_ROLES[role] : role);

/** A person of `backout.yaml`. */
export interface Person {
  readonly roles: readonly string[];
  /** Roles he may take over, by himself or once a step is handed over. */
  readonly deputyFor?: readonly string[] | undefined;
}
export type People = Readonly<Record<string, Person>>;

/** Names come from outside; one such as `constructor` must not reach the prototype. */
export const own = <T>(from: Readonly<Record<string, T>>, name: string): T | undefined => (Object.hasOwn(from, name) ? from[name] : undefined);

export interface Roster {
  /** Null: nobody is configured, anyone is anything, self-declared. */
  readonly people: People | null;
  /** Roles handed over by `assign`: role to people, the latest last. */
  readonly assigned: Readonly<Record<string, readonly string[]>>;
}

/** Who holds a role now. */
export function holdersOf({ people, assigned }: Roster, role: string): string[] {
  const given = own(assigned, role) ?? [];
  const last = given.at(-1);
  if (isIncidentRole(role) && last !== undefined) return [last];
  const named = Object.entries(people ?? {}).flatMap(([name, person]) => (person.roles.includes(role) ? [name] : []));
  return [...new Set([...named, ...given])];
}

/** `assign` as it was answered. */
export interface Assigned {
  readonly by: string;
  readonly role: string;
  readonly to: string;
}

/**
 * Who has the role by its own right: whom `backout.yaml` names, or whom such a person, or a deputy who took it over, has given it to. Whoever leads cannot
 * appoint one, and where nobody is configured nobody has it.
 */
export function entitledTo({ people }: Pick<Roster, 'people'>, assigned: readonly Assigned[], role: string): string[] {
  let holders = Object.entries(people ?? {}).flatMap(([name, person]) => (person.roles.includes(role) ? [name] : []));
  for (const one of assigned) {
    if (one.role !== role) continue;
    const takesOver = one.to === one.by && (own(people ?? {}, one.by)?.deputyFor?.includes(role) ?? false);
    if (holders.includes(one.by) || takesOver) holders = [one.to];
  }
  return holders;
}

export const holds = (roster: Roster, by: string, role: string): boolean => roster.people === null || holdersOf(roster, role).includes(by);

export const isDeputy = ({ people }: Roster, by: string, role: string): boolean => own(people ?? {}, by)?.deputyFor?.includes(role) ?? false;
