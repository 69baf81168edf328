/** The command that goes on with an incident whose rollback was closed and whose freeze stays: with the versions, since what is at its target already has no other last healthy one. */
import type { Target } from './plan.ts';
import type { Kind } from './policy.ts';

export interface Closed {
  readonly kind: Kind;
  readonly environment: string;
  readonly incident: string | null;
  readonly cause: string;
  readonly targets: readonly Pick<Target, 'component' | 'to'>[];
  /** How databases that are not back yet were to be recovered. */
  readonly recover?: Readonly<Record<string, string>>;
}

export function startAgain({ kind, environment, incident, cause, targets, recover = {} }: Closed): string {
  const to = targets.map((one) => `--to ${one.component}=${one.to}`).join(' ');
  const how = Object.entries(recover)
    .map(([database, from]) => ` --recover ${database}=${from}`)
    .join('');
  return `backout start ${kind} --environment ${environment} --component ${targets.map((one) => one.component).join(' ')} ${to} --incident ${incident ?? 'INCIDENT'}${how} --cause ${cause} --reason WHY --by YOU`;
}
