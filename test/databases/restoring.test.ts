/** What a person is told before rows are put back, and in which order they are: of a database that answers as it is told to. */
import { expect, it } from 'vitest';
import type { Database, Preview, Restore } from '../../activities/databases/database.ts';
import type { Scope } from '../../activities/incident/data-look.ts';
import type { DatabaseAt } from '../../activities/incident/places.ts';
import { restoringOf } from '../../activities/incident/restoring.ts';

const WINDOW = { from: '2026-11-20T10:00:00.000Z', to: '2026-11-20T11:00:00.000Z' };
const NONE: Preview = { missing: 0, same: 0, changed: 0, unreadable: 0, later: 0, others: 0, table: 't', refersTo: [], notes: [], byTenant: [] };

/** `asked`: a person has named the window. */
async function restoring(tables: Readonly<Record<string, Partial<Preview>>>, { asked = true, before = 0 } = {}) {
  const warnings: string[] = [];
  const spans: string[] = [];
  const scope = { window: WINDOW, warnings, ask: { tenant: null, ...(asked ? { window: WINDOW } : {}) }, attempt: {} } as unknown as Scope;
  const preview = async (_call: unknown, { name, window }: Restore): Promise<Preview> => {
    spans.push(`${window.from} ${window.to}`);
    return window.to === WINDOW.from ? { ...NONE, missing: before } : { ...NONE, table: `public.${name}`, missing: 1, ...tables[name] };
  };
  const database = { preview } as unknown as Database;
  const call = { options: { restores: Object.fromEntries(Object.keys(tables).map((name) => [name, { table: name }])) } };
  const found = await restoringOf(scope, 'main', { database, call } as unknown as DatabaseAt);
  return { order: found.map((one) => one.name), found, warnings, spans };
}

it('rows that others refer to come first, however they are configured; a circle stays as it is configured', async () => {
  const refers = { lines: { refersTo: ['public.orders', 'public.items'] }, orders: { refersTo: ['public.customers'] }, items: {}, customers: {} };
  expect((await restoring(refers)).order).toEqual(['items', 'customers', 'orders', 'lines']);
  expect((await restoring({ a: { refersTo: ['public.b'] }, b: { refersTo: ['public.a'] } })).order).toEqual(['a', 'b']);
});

it('what was deleted shortly before a window that nobody has named is told, and not put back', async () => {
  const { warnings, spans } = await restoring({ orders: {} }, { asked: false, before: 5 });
  expect(spans).toContain('2026-11-20T09:00:00.000Z 2026-11-20T10:00:00.000Z');
  expect(warnings).toEqual([expect.stringMatching(/^5 more rows of orders were deleted in the hour before 2026-11-20T10:00:00\.000Z.*--window FROM\.\.TO/)]);
  const named = await restoring({ orders: {} }, { asked: true, before: 5 });
  expect([named.warnings, named.spans]).toEqual([[], [`${WINDOW.from} ${WINDOW.to}`]]);
});

it('rows of other tenants, rows with a later story, and a window without any are told', async () => {
  const { warnings, found } = await restoring({ orders: { others: 2, later: 3, byTenant: [{ tenant: 'acme', rows: 1 }] }, lines: { missing: 0 } });
  expect(warnings.join('\n')).toMatch(
    /3 rows of orders were made anew and deleted again after .*stay deleted\n2 deleted rows of orders belong to other tenants/,
  );
  expect(warnings).toContainEqual(expect.stringMatching(/^no row of lines was deleted from/));
  expect(found).toEqual([{ name: 'orders', table: 'orders', missing: 1, changed: 0, tenants: [{ tenant: 'acme', rows: 1 }] }]);
});
