/** The report as one page: it needs nothing else, runs nothing, and says what it says whatever people and platforms have called themselves. And the command that writes it, on a real record. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { FreezeScope } from '../../model/freeze.ts';
import type { RollbackState } from '../../model/state.ts';
import { escaped, html, textOf, theirs } from '../../client/report/html.ts';
import { pageOf } from '../../client/report/page.ts';
import type { Report } from '../../client/report/report.ts';
import { openStore } from '../../store/postgres.ts';
import { testDatabase, type TestDatabase } from '../store/database.ts';
import { at, given, ID, longNight, made, PLAN, planOf, ROLLBACK, type Telling } from '../audit/incident-given.ts';
import { backout, emptyFolder, problemOf } from './cli.ts';

const night = given(longNight);
const page = pageOf(made(night.fromWorker, night.recorded));

const VOID = new Set(['meta', 'rect', 'br']);
/** What is opened and never closed, or closed and never opened. */
function unbalanced(of: string): string[] {
  const open: string[] = [];
  const wrong: string[] = [];
  const body = of.replace(/<style>[\s\S]*?<\/style>/, '');
  for (const [tag, slash = '', name = ''] of body.matchAll(/<(\/?)([a-z][a-z0-9]*)\b[^>]*>/g)) {
    if (VOID.has(name) || tag.endsWith('/>')) continue;
    if (slash === '') open.push(name);
    else if (open.pop() !== name) wrong.push(tag);
  }
  return [...wrong, ...open];
}
/** As a reader sees it. */
const words = (of: string): string =>
  of
    .replace(/<style>[\s\S]*?<\/style>/, '')
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll('&#39;', "'")
    .replaceAll('&quot;', '"')
    .replaceAll(/[\s\u00A0]+/g, ' ');

describe('the page', () => {
  test('is one file: no script, no image, no address to be fetched, and a policy that allows none', () => {
    expect(page).toMatch(/^<!doctype html>/);
    expect(page).not.toMatch(/<(script|img|link|iframe|object|embed|base|form|video|audio)\b/i);
    expect(page).not.toMatch(/\s(src|srcset|action|on[a-z]+|style)\s*=/i);
    expect(page.match(/href="[^"]*"/g)?.filter((one) => !one.startsWith('href="#'))).toEqual([]);
    expect(page).not.toMatch(/url\(|@import/i);
    expect(page).toContain(`content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"`);
    expect(page).toContain('<meta charset="utf-8" />');
    expect(Buffer.byteLength(page)).toBeLessThan(250_000);
  });

  test('is well-formed, and every link leads to a section of it', () => {
    expect(unbalanced(page)).toEqual([]);
    expect(unbalanced('<p><b></p>')).not.toEqual([]);
    const ids = [...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const [, id] of page.matchAll(/href="#([^"]+)"/g)) expect(ids).toContain(id);
  });

  test('tells the story first, to somebody who was not there', () => {
    const parts = ['What happened', 'Who decided', 'What was proven', 'What remains', 'In figures', 'Follow-ups', 'Declaration and roles', 'Timeline'];
    const places = parts.map((part) => page.indexOf(`<h2>${part}</h2>`));
    expect(places.every((place) => place > 0)).toBe(true);
    expect(places).toEqual(places.toSorted((one, other) => one - other));
    const story = words(page.slice(0, page.indexOf('In figures')));
    for (const part of [
      'ci asked for an L1 rollback for incident INC-42',
      '03:02 UTC: carol declared rollback mode: orders are being lost',
      'Failed: gate.ci-pr (known baseline blocker, by dan).',
      'Settle the accepted risk of gate.emission (emission passes): the collector is slow at night (dan, until 2026-11-28)',
    ])
      expect(story).toContain(part);
  });

  test('draws where the time went, in words too', () => {
    expect(page).toContain('aria-label="Machine 3 min 34 s, only people awaited 48 min 20 s"');
    expect(page).toContain('aria-label="Machine time 3 min 34 s of a target of 15 min 00 s, kept"');
    const wide = (name: string, of = page): number[] =>
      [...of.matchAll(new RegExp(`class="bar-${name}" x="(\\d+)" width="(\\d+)"`, 'g'))].map(([, , width]) => Number(width));
    const [machine = 0] = wide('machine');
    expect(machine + (wide('people')[0] ?? 0)).toBe(1000);
    expect(machine).toBe(Math.round((214 / (214 + 2_900)) * 1000));
    // A second beside three days is seen all the same.
    const long = pageOf(made({ ...night.fromWorker, clock: { ...night.fromWorker.clock, machineSeconds: 1, humanSeconds: 259_200 } }, []));
    expect(wide('machine', long)[0]).toBeGreaterThan(0);
    const late = pageOf(made({ ...night.fromWorker, clock: { targetSeconds: 900, machineSeconds: 1_800, humanSeconds: 0, breached: true } }, []));
    expect(wide('late', late)).toEqual([1000]);
    expect(late).toContain('of a target of 15 min 00 s, missed');
  });

  test('follows the reader in light, dark, on paper and on a narrow screen', () => {
    for (const part of ['color-scheme: light dark', '@media screen and (prefers-color-scheme: dark)', '@media print', '@media (max-width: 44rem)'])
      expect(page).toContain(part);
    // Where a table becomes a list, each value says what it is.
    expect(page).toMatch(/<td class="\w*" data-title="owner"><bdi>ivy<\/bdi><\/td>/);
  });

  test('of a refused start has neither bars nor empty sections', () => {
    const refused: RollbackState = {
      ...night.fromWorker,
      outcome: 'refused',
      steps: [],
      targets: [],
      answers: [],
      clock: { ...night.fromWorker.clock, machineSeconds: 0.1, humanSeconds: 0 },
    };
    const of = pageOf(made(refused, []));
    expect(of).not.toContain('<svg');
    expect(of).not.toContain('<h2>Freeze</h2>');
    expect(unbalanced(of)).toEqual([]);
  });
});

describe('foreign text', () => {
  const EVIL = '</script><script>alert(1)</script><img src=x onerror="alert(2)"> \u0000\u001B[2J \u202Eetirw\u202C \uD800 " \' ` &lt; {{x}}';
  /** Everywhere where people and platforms can put something. */
  const evil = (telling: Telling): void => {
    const { say, ran, put } = telling;
    say('03:02:00', 'confirm', EVIL, 'declaration', { data: { criticalArea: EVIL, missedWindow: EVIL }, note: EVIL });
    put('03:02:01', 'freeze', { environment: EVIL, incident: EVIL, by: EVIL, scopes: [EVIL], exceptions: { roles: [EVIL], items: [EVIL] } });
    ran('freeze', ['03:02:00', '03:02:01'], 'done');
    ran('communication.declared', ['03:02:00', '03:02:01'], 'failed', { after: { subject: EVIL, sent: { [EVIL]: EVIL } } }, ['Undelivered', EVIL]);
    ran('gate.ci-pr', ['03:02:00', '03:02:01'], 'failed', { after: { verdict: 'failed' }, ids: { file: EVIL, sha256: EVIL } }, ['GateFailed', EVIL]);
    say('03:03:00', 'decide', EVIL, 'gate.ci-pr', { action: 'skip', reason: EVIL, due: EVIL, evidence: [`link=${EVIL}`] });
    say('03:04:00', 'confirm', EVIL, 'cleanup.data', { choice: EVIL, note: EVIL, evidence: [`repair-notes=${EVIL}`, EVIL] });
    say('03:05:00', 'assign', EVIL, null, { role: 'api-lead', to: EVIL, reason: EVIL });
    put('03:06:00', 'void', { step: 'target', why: EVIL });
    put('03:06:00', 'drift', { component: EVIL, failure: { message: EVIL } });
    put('03:06:00', EVIL, { text: EVIL });
    say('03:07:00', 'stop', EVIL, null, { reason: EVIL });
  };

  test('is text: it opens no tag, ends no attribute, turns no direction and holds no control character', () => {
    const one = given(evil, { warnings: [EVIL], input: { reason: EVIL, impact: EVIL, severity: EVIL }, roles: { 'security-lead': [EVIL] } });
    const state: RollbackState = {
      ...one.fromWorker,
      incident: EVIL,
      warnings: [EVIL],
      remains: [{ artifact: EVIL, reason: EVIL, owner: EVIL }],
      refusals: [{ rule: EVIL, source: EVIL, explanation: EVIL, by: EVIL, at: at('03:00:00') }],
      targets: [{ component: EVIL, from: EVIL, to: EVIL, config: EVIL, comparison: [{ what: EVIL, now: EVIL, then: EVIL }] }],
    };
    const of = pageOf(made(state, one.recorded));
    expect(of).not.toMatch(/<(script|img)\b/);
    expect(of).not.toContain('</script>');
    expect(of.isWellFormed()).toBe(true);
    // oxlint-disable-next-line no-control-regex -- It is these that must not be there.
    expect(of).not.toMatch(/[\u0000-\u0009\u000B-\u001F\u007F\u202A-\u202E\u2066-\u2069]/);
    expect(unbalanced(of)).toEqual([]);
    // The tags of a page are those of our own templates: a page about nothing foreign has the same attributes.
    const attributes = (text: string): Set<string> =>
      new Set([...text.matchAll(/<[a-z][^>]*>/g)].flatMap(([tag]) => [...tag.matchAll(/ ([a-z-]+)="/g)].map(([, name]) => name ?? '')));
    expect([...attributes(of)].filter((name) => !attributes(page).has(name))).toEqual([]);
    expect(of.split('alert(1)').length).toBeGreaterThan(30);
  });

  test('keeps its own direction', () => {
    expect(textOf(theirs('שלום <b>'))).toBe('<bdi>שלום &lt;b&gt;</bdi>');
    expect(escaped('a\u0000b\u202Ec')).toBe('a b c');
    expect(textOf(html`<a title="${'" onclick="x'}">${['<i>', html`<b>${'&'}</b>`, null, 3]}</a>`)).toBe(
      '<a title="&quot; onclick=&quot;x">&lt;i&gt;<b>&amp;</b>3</a>',
    );
  });
});

describe('backout report, from a real record and without a worker', () => {
  let database: TestDatabase;
  const run = (args: readonly string[], cwd?: string) =>
    backout(['report', ...args], { env: { TEMPORAL_ADDRESS: '127.0.0.1:1', DATABASE_URL: database.url }, ...(cwd === undefined ? {} : { cwd }) });

  beforeAll(async () => {
    database = await testDatabase();
    const store = openStore(database.url);
    await store.migrate();
    const { event, recorded } = night;
    for (const { entry } of recorded) {
      const place = {
        environment: String(entry['environment']),
        incident: 'INC-42',
        rollbackId: ROLLBACK,
        by: 'carol',
        at: entry.at,
        scopes: (entry['scopes'] ?? []) as FreezeScope[],
      }; // As the story puts them.
      if (entry.type === 'opened')
        await store.open({ ...event, plan: planOf(), planHash: PLAN, claims: ['@INC-42'], refused: false, deploymentIds: {}, snapshots: {}, entries: [entry] });
      else if (entry.type === 'freeze') await store.freeze({ ...place, workflowId: ID, exceptions: { roles: ['api-lead'], items: ['incident'] }, entry });
      else if (entry.type === 'unfreeze') await store.unfreeze({ ...place, entry });
      else if (entry.type === 'closed')
        await store.finish({ rollbackId: ROLLBACK, outcome: 'rolled-back', at: entry.at, steps: [], restored: [], metadata: {}, entries: [entry] });
      else await store.append(ROLLBACK, [entry]);
    }
    await store.close();
  });
  afterAll(() => database.drop());

  test('writes the page to stdout or into a file, found by the name of the incident', async () => {
    const ran = await run(['INC-42', '--format', 'html']);
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
    expect(ran.stdout).toMatch(/^<!doctype html>/);
    expect(words(ran.stdout)).toContain('the state is put together from the record alone');
    const folder = await emptyFolder();
    const written = await run([ID, '--format', 'html', '--out', 'page.html'], folder);
    expect(written).toMatchObject({ code: 0, stdout: '' });
    expect(unbalanced(await readFile(join(folder, 'page.html'), 'utf8'))).toEqual([]);
  });

  test('tells in JSON what the entries tell, and of the freeze what the register holds', async () => {
    const ran = await run([ROLLBACK, '--format', 'json']);
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
    const report = JSON.parse(ran.stdout) as Report;
    const expected = made(night.fromRecord, night.recorded);
    for (const part of ['gates', 'decisions', 'drift', 'timeline', 'followUps', 'safeguards'] as const) expect(report[part], part).toEqual(expected[part]);
    expect(report.incidentCommand?.freeze.environments).toMatchObject([
      { environment: 'production', frozenAt: at('03:02:01'), inForce: [], lifted: [{ by: 'dan' }, {}, {}, {}] },
      { environment: 'staging', inForce: [] },
    ]);
    expect(report.incidentCommand?.baselineBlockers).toMatchObject([{ step: 'gate.ci-pr', by: 'dan', link: 'https://tracker/CART-7' }]);
  });

  test('exports the follow-ups alone, as a checklist or as JSON', async () => {
    const text = await run(['INC-42', '--follow-ups']);
    expect(text.stdout.match(/^- \[ \] /gm)).toHaveLength(8);
    expect(text.stdout).not.toContain('## Timeline');
    for (const args of [['--format', 'json'], ['--json']]) {
      const { stdout } = await run(['INC-42', '--follow-ups', ...args]);
      expect(JSON.parse(stdout)).toMatchObject({
        incident: 'INC-42',
        followUps: expect.arrayContaining([expect.objectContaining({ owner: 'dan', due: '2026-11-28' })]) as unknown,
      });
    }
    const refused = await run(['INC-42', '--follow-ups', '--format', 'html', '--json']);
    expect(refused.code).toBe(2);
    expect(problemOf(refused)).toMatchObject({ type: 'usage', message: expect.stringContaining('follow-ups') as string });
  });
});
