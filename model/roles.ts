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

export const holds = (roster: Roster, by: string, role: string): boolean => roster.people === null || holdersOf(roster, role).includes(by);

export const isDeputy = ({ people }: Roster, by: string, role: string): boolean => own(people ?? {}, by)?.deputyFor?.includes(role) ?? false;
