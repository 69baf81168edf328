/** Which deleted rows would be put back from the audit log, in which order, and what a person has to know of it before he approves [004 section 3.4]. */
import type { Restoring } from '../../model/restoring.ts';
import type { Window } from '../../model/plan.ts';
import { patiently } from '../look.ts';
import type { Preview } from '../databases/database.ts';
import type { Scope } from './data-look.ts';
import type { DatabaseAt } from './places.ts';

/** What is deployed may have deleted before its deployment was recorded. */
const BEFORE_MS = 3_600_000;

export async function restoringOf({ ask, window, attempt, warnings }: Scope, database: string, { database: kind, call }: DatabaseAt): Promise<Restoring[]> {
  const restores = restoresOf(call.options);
  if (restores.length === 0) return [];
  if (window === null) {
    warnings.push(`nothing was deployed since the target, so no span of time is known in which rows of ${database} were deleted: say --window`);
    return [];
  }
  const counted = (name: string, table: string, span: Window): Promise<Preview> =>
    patiently(attempt, `the deleted rows of ${table} cannot be counted (databases.${database}.options.restores.${name}; --window bounds them)`, () =>
      kind.preview(call, { name, window: span, tenant: ask.tenant }),
    );
  const previews = await Promise.all(
    restores.map(async ({ name, table }) => {
      const preview = await counted(name, table, window);
      warnings.push(...notesOf(table, preview, window));
      // Said by a person, the window is what he wants.
      const before = ask.window ? null : await counted(name, table, { from: new Date(Date.parse(window.from) - BEFORE_MS).toISOString(), to: window.from });
      if (before !== null && before.missing > 0)
        warnings.push(
          `${before.missing} more rows of ${table} were deleted in the hour before ${window.from}, when what is taken back began to be recorded, and stay deleted: say --window FROM..TO to put them back too`,
        );
      return { name, table, preview };
    }),
  );
  return inOrder(previews).flatMap(({ name, table, preview: { missing, changed, byTenant } }) =>
    missing > 0 ? [{ name, table, missing, changed, ...(byTenant.length === 0 ? {} : { tenants: byTenant }) }] : [],
  );
}

/** The kind's own options; every kind that can restore rows names them so. */
function restoresOf(options: unknown): { name: string; table: string }[] {
  const { restores } = options as { readonly restores?: Readonly<Record<string, { readonly table: string }>> };
  return Object.entries(restores ?? {}).map(([name, { table }]) => ({ name, table }));
}

function notesOf(table: string, { missing, same, changed, unreadable, later, others, notes }: Preview, { from, to }: Window): string[] {
  const none = missing + same + changed + later + others + unreadable === 0;
  return [
    ...notes,
    ...(none ? [`no row of ${table} was deleted from ${from} to ${to}, as far as the audit log says`] : []),
    ...(unreadable > 0 ? [`${unreadable} deleted rows of ${table} have no readable key in the audit log: they are put back by hand`] : []),
    ...(later > 0 ? [`${later} rows of ${table} were made anew and deleted again after ${to}: they stay deleted`] : []),
    ...(others > 0 ? [`${others} deleted rows of ${table} belong to other tenants than those that are gone back with: they stay deleted`] : []),
  ];
}

interface Counted {
  readonly name: string;
  readonly table: string;
  readonly preview: Preview;
}

/** Rows that others refer to come first; where tables refer to each other in a circle, as they are configured. */
function inOrder(all: readonly Counted[]): Counted[] {
  const left = [...all];
  const ordered: Counted[] = [];
  while (left.length > 0) {
    const free = left.findIndex(
      ({ preview }) => !left.some((other) => other.preview.table !== preview.table && preview.refersTo.includes(other.preview.table)),
    );
    ordered.push(...left.splice(Math.max(0, free), 1));
  }
  return ordered;
}
