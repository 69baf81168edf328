/** The report of levels 2 and 3 [001 steps 3c to 3e, 004 section 3]: how the level grew, what was gone back with, and, so that nobody finds it out later, what was lost by design. */
import { describe, expect, test } from 'vitest';
import type { IncidentReport } from '../../client/report/command.ts';
import type { DataReport } from '../../client/report/data.ts';
import { markdownOf } from '../../client/report/markdown.ts';
import { pageOf } from '../../client/report/page.ts';
import type { Report } from '../../client/report/report.ts';
import { COUPON, graveGiven, L1, NINE, recovery, RECOVERING, SECRET, WINDOW } from './grave-given.ts';
import { at, given, made, PLAN, PLAN_2, type Telling } from './incident-given.ts';

const grave = graveGiven();
const [byWorker, byRecord, byState] = [made(grave.fromWorker, grave.recorded), made(grave.fromRecord, grave.recorded), made(grave.fromWorker, [])];
const command = ({ incidentCommand }: Report): IncidentReport => {
  if (!incidentCommand) throw new Error('the report is of no incident');
  return incidentCommand;
};
const dataOf = (report: Report): DataReport => {
  const { data } = command(report);
  if (!data) throw new Error('the report has no data');
  return data;
};
/** A section, from its title to the next one. */
const section = (report: Report, title: string): string => markdownOf(report).split(`## ${title}\n`)[1]?.split('\n## ')[0] ?? '';

describe.each([
  ['the worker', byWorker],
  ['the record alone', byRecord],
])('an L1 that grew to L3, told by %s', (_, report) => {
  const data = dataOf(report);
  const [main] = data.databases;

  test('says who had the level grow, when, from what to what and why; the level shown is the last one', () => {
    expect(report.kind).toBe('l3Rollback');
    expect(command(report)).toMatchObject({
      level: 'L3',
      escalations: [
        { at: at('03:10:02'), from: 'L1', to: 'L2', by: 'carol', reason: 'orders are gone' },
        { at: at('03:20:02'), from: 'L2', to: 'L3', by: 'carol', reason: 'a key was in a log' },
      ],
    });
    expect(report.summary).toContain('asked for an L1 rollback for incident INC-42');
    expect(report.inShort.happened.slice(1, 3)).toEqual([
      'carol had it grow from L1 to L2 at 03:10 UTC: orders are gone.',
      'carol had it grow from L2 to L3 at 03:20 UTC: a key was in a log.',
    ]);
    expect(section(report, 'Declaration and roles')).toContain('| Level | **L3**, grown from L1 |');
    expect(section(report, 'Declaration and roles')).toContain('| 2026-11-21 03:20:02 | L2 → **L3** | carol | a key was in a log |');
  });

  test('has every migration with the approval it ran on, and what was destroyed as it was counted then', () => {
    expect(main?.undone).toMatchObject([
      { migration: '20260113000001_index', state: 'done', approved: null, destroyed: [], wouldDestroy: [] },
      { migration: COUPON, state: 'done', at: at('03:13:04'), destroyed: NINE, milliseconds: 2_400, byHand: false },
    ]);
    expect(main?.undone[1]?.approved).toEqual({ by: 'dora', at: at('03:13:00'), note: 'the promotion is over' });
  });

  test('counts rows over every try: put back, there already, made anew since and left', () => {
    expect(main?.restored).toMatchObject([
      { restore: 'orders', state: 'done', restored: 18, there: 2, changed: 3, blocked: [], unreadable: 1, lostColumns: ['coupon'] },
    ]);
    expect(main?.restored[0]?.approved).toMatchObject({ by: 'dora', at: at('03:14:00') });
    expect(main?.rebuilt).toMatchObject([{ name: 'totals', exit: '0', file: '/e/rebuild.log', sha256: 'cd34' }]);
    expect(data.window).toEqual(WINDOW);
  });

  test('sets the house’s own checks of before beside those of after', () => {
    expect(main?.checks).toEqual([
      { name: 'tenant-isolation', covers: 'tenants', before: { violations: 4, detail: null }, after: { violations: 0, detail: null } },
      { name: 'one-order-a-request', covers: 'idempotency', before: { violations: 0, detail: null }, after: { violations: 0, detail: null } },
    ]);
    expect(section(report, 'Data, evidence and credentials')).toContain('| tenant-isolation | tenant boundaries | 4 violations | holds |');
  });

  test('shows evidence before and after, that it was broken before and not repaired, and what was appended', () => {
    expect(data.chains).toMatchObject([
      {
        name: 'trail',
        verdict: 'broken-before',
        before: { entries: 7, head: 'aa11bb22cc33dd44', broken: 1, firstBreak: 'at 2: its hash is not the one of what it holds' },
        after: { entries: 10, head: 'ee55ff66aa77bb88', broken: 1 },
        annotation: { state: 'done', annotations: 1, first: '9', last: '9', entries: 5, runs: 2 },
      },
    ]);
    const told = section(report, 'Data, evidence and credentials');
    expect(told).toContain('! broken before: it was so before anything was appended, and is so still; recorded, not repaired');
    expect(told).toContain('1 entry appended, entry 9, for 5 affected entries and 2 affected runs');
  });

  test('says in words that cannot be missed what was lost by design, by whose approval', () => {
    expect(data.lost.map(({ what, rows, approvedBy, step }) => [what, rows, approvedBy, step])).toEqual([
      ['column public.orders.coupon of main', 9, 'dora', `undo.main.${COUPON}`],
      ['the former content of rows of orders of main', 3, 'dora', 'restore.main.orders'],
      ['deleted rows of orders of main', 1, 'dora', 'restore.main.orders'],
      ['the values of coupon in the rows that were put back of orders of main', null, 'dora', 'restore.main.orders'],
      ['the proof of trail at 1 place, the first at 2: its hash is not the one of what it holds', null, null, 'evidence.trail'],
    ]);
    expect(report.inShort.happened.at(-1)).toMatch(
      /^LOST BY DESIGN: column public\.orders\.coupon of main \(9 rows\); the former content of rows of orders of main \(3 rows\);/,
    );
    expect(markdownOf(report)).toContain('### WHAT WAS LOST BY DESIGN');
    expect(markdownOf(report)).toMatch(/\| Lost by design \| \*\*column public\.orders\.coupon of main \(9 rows\)/);
    expect(report.followUps).toContainEqual({
      action: 'Settle with whom it concerns what was lost by design: column public.orders.coupon of main (9 rows)',
      owner: 'dora',
      due: null,
      source: `lost by design, undo.main.${COUPON}`,
    });
  });

  test('has the rotation log of each credential: who signed, in which order, which generations, with which scopes', () => {
    expect(data.credentials?.signed).toMatchObject({
      by: 'sam',
      at: at('03:21:00'),
      proof: 'self-declared',
      note: 'seen in the log of the night',
      elsewhere: ['the key of the warehouse'],
    });
    const [payments, ledger, mail] = data.credentials?.rotated ?? [];
    expect(payments).toMatchObject({
      name: 'payments',
      order: 'old-last',
      state: 'rotated',
      issued: 'payments-new',
      installed: { places: 2, proven: true },
      revoked: [{ generation: 'payments-2025', proof: 'service', already: false }],
      outageSeconds: null,
      alive: [{ generation: 'payments-new', scopes: ['charge:read'], tenants: ['acme'] }],
    });
    expect(payments?.log.map((one) => one.step)).toEqual(['issue.payments', 'install.payments', 'revoke.payments', 'scope.payments']);
    expect(ledger).toMatchObject({ name: 'ledger', order: 'old-first', state: 'rotated', outageSeconds: 90, installed: { proven: false } });
    expect(mail).toMatchObject({ name: 'mail', state: 'open', issued: 'mail-new', installed: null, revoked: [] });
    expect(section(report, 'Data, evidence and credentials')).toContain(
      'the old one first, the outage accepted: 1 min 30 s until the new one was in place; nobody has proven that it works there',
    );
    expect(report.inShort.proven).toContain('Rotated, as signed by sam: payments, ledger, crm.');
  });

  test('names what was not exposed and what people rotated, with its evidence; the first leaves no trace among checks, risks and follow-ups', () => {
    expect(data.credentials).toMatchObject({
      notExposed: ['google', 'sms'],
      byHand: [
        { name: 'crm', state: 'confirmed', by: 'sam', evidence: { 'rotation-log': 'https://tracker/CRM-1', 'scope-verification': 'two scopes, as before' } },
      ],
    });
    expect(section(report, 'Data, evidence and credentials')).toContain('**Not exposed, and left as they are:** google, sms');
    expect(report.gates.map((one) => one.step)).not.toContain('scope.sms');
    expect(report.gates.map((one) => one.step)).toContain('scope.mail');
    expect(JSON.stringify([report.followUps, command(report).acceptedRisks, report.inShort.proven])).not.toMatch(/google|sms/);
    const actions = report.followUps.map((one) => `${one.action} | ${one.owner}`);
    expect(actions).toContain('Rotate by hand what Backout does not know: the key of the warehouse | sam');
    expect(actions.find((one) => one.startsWith('Finish the rotation of mail'))).toContain('the earlier one is back where it was | sam');
  });

  test('shows for items that steps have produced which ones did, and their result', () => {
    const [ofData, evidence, credentials] = command(report).cleanup;
    expect(ofData).toMatchObject({ answer: 'done', by: 'dora', at: at('03:28:00') });
    expect(ofData?.evidence.find((one) => one.item === 'repair-notes')).toMatchObject({ text: 'https://wiki/INC-42#repair' });
    expect(ofData?.evidence.find((one) => one.item === 'tenant-isolation-test')?.produced).toEqual([
      { step: 'invariants.main', state: 'done', at: at('03:27:01'), what: 'tenant-isolation: holds; one-order-a-request: holds' },
    ]);
    expect(evidence?.evidence.map((one) => one.produced?.map((step) => step.step))).toEqual([['chain.trail'], ['annotate.trail']]);
    expect(credentials).toMatchObject({ answer: null, by: null });
    const told = section(report, 'Mandatory cleanup validation');
    expect(told).toContain('incident-links: produced by annotate.trail done, 1 entry appended, at 9');
    expect(told).toContain('not answered');
  });

  test('has confirmations that an escalation, or a recount, made void; what stands is told once', () => {
    expect(command(report).voided.map(({ step, by, confirmedAt, plan, why }) => [step, by, confirmedAt, plan, why])).toEqual([
      ['target', 'carol', at('03:03:00'), PLAN, 'escalated to L2'],
      ['cleanup.data', 'dora', at('03:05:00'), null, 'escalated to L2'],
      [`undo.main.${COUPON}`, 'dora', at('03:12:00'), PLAN_2, 'it would destroy 9 rows, 7 were approved; nothing was changed'],
      ['target', 'carol', at('03:11:00'), PLAN_2, 'escalated to L3'],
    ]);
    expect(section(report, 'Void confirmations')).toContain('`cleanup.data` | dora, 2026-11-21 03:05:00');
  });

  test('a risk that was accepted for a check is none any more once the level had it run again', () => {
    expect(command(report).acceptedRisks).toEqual([]);
    expect(report.gates.find((one) => one.step === 'gate.ci-pr')).toMatchObject({ verdict: 'passed', signedOff: null });
    expect(report.gates.find((one) => one.step === 'chain.trail')).toMatchObject({
      verdict: 'passed',
      detail: expect.stringContaining('the 7 that were there before are what they were') as string,
    });
  });

  test('names among the decisions who escalated, who approved what as it stood then, and who signed', () => {
    const what = report.decisions.map((one) => `${one.by} ${one.what}`);
    expect(what).toContain('carol escalated from L1 to L2');
    expect(what).toContain(`dora approved undo.main.${COUPON}: Undo the migration ${COUPON} of main, which destroys column public.orders.coupon with 7 rows`);
    expect(what).toContain(`dora approved undo.main.${COUPON}: Undo the migration ${COUPON} of main, which destroys column public.orders.coupon with 9 rows`);
    expect(what).toContain('sam signed the list of credentials: rotate payments, crm, mail; revoke first ledger; not exposed: google, sms');
    const moments = report.timeline.map((one) => one.what);
    expect(moments).toContain(`undo.main.${COUPON}: done, undone, destroying column public.orders.coupon with 9 rows`);
    expect(moments.some((one) => one.startsWith('counted anew what would be lost'))).toBe(true);
  });
});

test('what the record alone tells of data, voids and growth is what the worker tells, though its plan has left out what was done', () => {
  expect(grave.fromRecord.steps.some((step) => step.id.startsWith('undo.'))).toBe(false);
  expect(grave.fromRecord.kind).toBe('l3Rollback');
  const [{ databases, ...mine }, { databases: theirs, ...others }] = [dataOf(byRecord), dataOf(byWorker)];
  expect(mine).toEqual(others);
  expect(databases).toEqual(theirs);
  for (const part of ['voided', 'escalations', 'acceptedRisks'] as const) expect(command(byRecord)[part], part).toEqual(command(byWorker)[part]);
});

test('without the record the state still says how the level grew, which answers are void, and what was lost', () => {
  expect(command(byState).escalations.map(({ from, to, by }) => [from, to, by])).toEqual([
    ['L1', 'L2', 'carol'],
    ['L2', 'L3', 'carol'],
  ]);
  expect(command(byState).voided.map((one) => [one.step, one.confirmedAt])).toEqual([
    ['target', at('03:03:00')],
    ['cleanup.data', at('03:05:00')],
    ['target', at('03:11:00')],
  ]);
  expect(dataOf(byState).lost[0]).toMatchObject({ what: 'column public.orders.coupon of main', rows: 9 });
});

test('a check that the level has run again, and that has not been run yet, is neither passed nor an accepted risk; a row is not answered', () => {
  const one = graveGiven(
    (telling) => {
      telling.say('03:02:00', 'confirm', 'carol', 'declaration', {});
      telling.ran('gate.ci-pr', ['03:03:00', '03:03:20'], 'failed', null, ['GateFailed', 'ci-pr is failed']);
      telling.say('03:04:00', 'decide', 'dan', 'gate.ci-pr', { action: 'skip', reason: 'red', due: '2026-12-01', evidence: [] });
      telling.ran('health', ['03:03:00', '03:03:20'], 'done', { after: { api: 'passed' } });
      telling.say('03:05:00', 'confirm', 'dora', 'cleanup.data', { choice: 'not-applicable', note: 'none', evidence: [] });
      telling.say('03:10:00', 'escalate', 'carol', null, { to: 'l2Rollback', reason: 'more' });
      telling.put('03:10:01', 'replanned', {
        plan: RECOVERING,
        planHash: PLAN_2,
        planHashBefore: PLAN,
        escalated: { from: 'l1Rollback', to: 'l2Rollback', by: 'carol', reason: 'more' },
      });
      telling.put('03:10:01', 'void', { steps: ['health', 'gate.ci-pr', 'cleanup.data'], why: 'escalated to l2Rollback' });
    },
    { kind: 'l2Rollback', walked: RECOVERING, last: RECOVERING },
  );
  const report = made(one.fromRecord, one.recorded);
  expect(command(report)).toMatchObject({ acceptedRisks: [], level: 'L2' });
  expect(command(report).cleanup[0]).toMatchObject({ step: 'cleanup.data', answer: null, by: null });
  expect(report.gates.filter((gate) => gate.step === 'health' || gate.step === 'gate.ci-pr').map((gate) => [gate.verdict, gate.signedOff])).toEqual([
    ['not-run', null],
    ['not-run', null],
  ]);
  expect(report.steps.find((step) => step.id === 'cleanup.data')?.state).toBe('pending');
});

describe('a recovery', () => {
  const one = graveGiven(recovery, { kind: 'l2Rollback', walked: RECOVERING, last: RECOVERING });
  const report = made(one.fromWorker, one.recorded);

  test('says into which new database, as of when, on whose approvals, and who was still connected to the one that is kept', () => {
    expect(dataOf(report).databases[0]?.recovered).toMatchObject({
      state: 'done',
      into: 'shop_backout_01a1fdec',
      asOf: at('02:00:00'),
      approved: { by: 'dora', at: at('03:04:00') },
      newestMigration: '20260101000001_orders',
      switched: { state: 'done', places: 2, kept: 'shop', connected: ['psql (2)'], approved: { by: 'dora', note: 'nobody wrote since' } },
    });
  });

  test('says that everything written since is lost, and what no backup holds', () => {
    expect(dataOf(report).lost).toMatchObject([
      {
        what: 'everything written to main after 2026-11-21 02:00:00 UTC',
        rows: null,
        approvedBy: 'dora',
        why: expect.stringContaining('it is still in shop, which is kept, read-only') as string,
      },
      { what: '1 setting of the database itself: work_mem' },
    ]);
    expect(report.inShort.happened.at(-2)).toContain('LOST BY DESIGN: everything written to main after 2026-11-21 02:00:00 UTC');
    expect(report.followUps.map((follow) => follow.action)).toContain('Decide what becomes of shop, the main that was in use: it is kept, read-only');
  });

  test('is no loss before anybody is switched over', () => {
    const half = graveGiven(
      (telling: Telling) => {
        recovery({ ...telling, ran: (step, ...rest) => (step === 'switch.main' ? undefined : telling.ran(step, ...rest)) });
      },
      { kind: 'l2Rollback', walked: RECOVERING, last: RECOVERING },
    );
    const told = dataOf(made(half.fromWorker, half.recorded));
    expect(told.lost).toEqual([]);
    expect(told.databases[0]?.recovered?.switched).toMatchObject({ kept: null, state: 'pending' });
  });

  test('does not say of checks that were not run yet that there are none', () => {
    const told = section(report, 'Data, evidence and credentials');
    expect(told.split('### Database legacy')[0]).toContain('The house’s own checks were not run yet.');
    expect(told).not.toContain('has no check of its own');
    expect(report.safeguards.filter((one) => one.gap.includes('Nothing proves the tenant boundaries'))).toEqual([]);
  });

  test('of a database that people went back with says that Backout cannot say what was lost', () => {
    expect(dataOf(report)).toMatchObject({ lostUntold: ['legacy'] });
    expect(dataOf(report).databases[1]?.byHand).toMatchObject({
      approved: { by: 'dora', note: 'restored table by table' },
      evidence: ['repair-notes=https://wiki/legacy', 'tenant-isolation-test=passed'],
    });
    expect(report.inShort.happened.at(-1)).toContain('legacy, which people went back with by hand, they alone can say');
  });
});

describe('an inverse that failed', () => {
  const failed = (type: 'PlatformFailed' | 'ClaimLost' | 'PlanStale', message: string): DataReport => {
    const one = graveGiven(({ say, ran }) => {
      say('03:12:00', 'confirm', 'dora', `undo.main.${COUPON}`, { plan: PLAN });
      ran(`undo.main.${COUPON}`, ['03:12:01', '03:12:09'], 'failed', null, [type, message]);
    });
    return dataOf(made(one.fromWorker, one.recorded));
  };

  test('half-way may have lost some of it, and says so', () => {
    expect(failed('PlatformFailed', 'statement 2 failed; applied: statement 1; not applied: statement 2').lost).toMatchObject([
      {
        what: 'of main, some or all of: column public.orders.coupon with 9 rows',
        rows: null,
        approvedBy: 'dora',
        why: expect.stringContaining('applied: statement 1') as string,
      },
    ]);
  });

  test.each([
    ['PlatformFailed', 'statement 1 failed: no such column; nothing was changed'],
    ['PlatformFailed', 'statement 1 failed; applied: none; not applied: statement 1'],
    ['ClaimLost', 'database/main is no longer claimed by this rollback'],
    ['PlanStale', 'it is not recorded any more as it was confirmed'],
  ] as const)('with nothing changed has lost nothing (%s: %s)', (type, message) => {
    expect(failed(type, message).lost).toEqual([]);
  });
});

test('an escalation that was refused changes nothing, and is told as one that was refused', () => {
  const refusals = [
    { rule: 'inverse', source: '[001 step 3c]', by: 'carol', at: at('03:10:02'), message: 'escalate', explanation: 'not escalated to l2Rollback: no inverse' },
  ] as const;
  const one = given(
    ({ say }) => {
      say('03:02:00', 'confirm', 'carol', 'declaration', {});
      say('03:10:00', 'escalate', 'carol', null, { to: 'l2Rollback', reason: 'orders are gone' });
    },
    { plan: L1, outcome: null, worker: { refusals } },
  );
  for (const recorded of [one.recorded, []]) {
    const report = made(one.fromWorker, recorded);
    expect(command(report)).toMatchObject({ level: 'L1', escalations: [], data: null, voided: [] });
    expect(report.decisions.find((decision) => decision.name === 'escalate')?.what).toBe('asked for L2, which was refused');
  }
});

test('one that is asked for again after it was refused is told once, and a confirmation that is void already is not void again', () => {
  const refusals = [
    { rule: 'inverse', source: '[001 step 3c]', by: 'carol', at: at('03:10:02'), message: 'escalate', explanation: 'not escalated to l2Rollback: no inverse' },
  ] as const;
  const one = graveGiven(
    ({ say, put }) => {
      say('03:02:00', 'confirm', 'carol', 'declaration', {});
      say('03:03:00', 'confirm', 'carol', 'target', { plan: PLAN });
      say('03:10:00', 'escalate', 'carol', null, { to: 'l2Rollback', reason: 'orders are gone' });
      for (const [time, from, to] of [
        ['03:11:00', 'l1Rollback', 'l2Rollback'],
        ['03:12:00', 'l2Rollback', 'l3Rollback'],
      ] as const) {
        say(time, 'escalate', 'carol', null, { to, reason: `to ${to}` });
        put(time, 'replanned', { plan: L1, planHash: PLAN_2, planHashBefore: PLAN, escalated: { from, to, by: 'carol', reason: `to ${to}` } });
        put(time, 'void', { steps: ['target'], why: `escalated to ${to}` });
      }
    },
    { worker: { refusals } },
  );
  for (const recorded of [one.recorded, []]) {
    const report = made(one.fromWorker, recorded);
    expect(command(report).escalations.map(({ at: time, to }) => [time, to])).toEqual([
      [at('03:11:00'), 'L2'],
      [at('03:12:00'), 'L3'],
    ]);
    expect(command(report).voided.map(({ step, why }) => [step, why])).toEqual([['target', 'escalated to L2']]);
  }
});

test('what was unfrozen and is frozen again, since the level has grown, is told as frozen', () => {
  const freeze = { environment: 'production', incident: 'INC-42', by: 'carol', scopes: ['merges', 'claims'], exceptions: { roles: [], items: [] } };
  const one = graveGiven(({ say, put }) => {
    say('03:02:00', 'confirm', 'carol', 'declaration', {});
    put('03:02:01', 'freeze', freeze);
    put('03:40:00', 'unfreeze', { environment: 'production', incident: 'INC-42', by: 'carol', scopes: ['merges', 'claims'] });
    say('03:41:00', 'escalate', 'carol', null, { to: 'l2Rollback', reason: 'orders are gone' });
    put('03:41:01', 'replanned', {
      plan: L1,
      planHash: PLAN_2,
      planHashBefore: PLAN,
      escalated: { from: 'l1Rollback', to: 'l2Rollback', by: 'carol', reason: 'more' },
    });
    put('03:41:02', 'freeze', { ...freeze, scopes: ['merges'] });
  });
  expect(command(made(one.fromRecord, one.recorded)).freeze.environments[0]).toMatchObject({
    inForce: ['merges'],
    lifted: [{ scope: 'claims', at: at('03:40:00') }],
  });
});

test('level 1 has no such section, and says nothing of what was lost', () => {
  const one = given(({ say }) => say('03:02:00', 'confirm', 'carol', 'declaration', {}), { plan: L1, outcome: null });
  const text = markdownOf(made(one.fromWorker, one.recorded));
  expect(text).not.toContain('Data, evidence and credentials');
  expect(text).not.toMatch(/lost by design/i);
});

test('what adapters leave in a receipt beside what is told is nowhere in the report; what people say is no markup', () => {
  const evil = graveGiven((telling) => {
    telling.say('03:21:00', 'confirm', 'sam', 'credentials', {
      note: '<script>alert(1)</script>',
      data: { rotate: ['payments'], unaffected: ['google', 'crm', 'mail', 'ledger', 'sms'] },
    });
    const secrets = { secret: SECRET, fingerprint: SECRET, address: `postgres://u:${SECRET}@h/d` };
    telling.ran('issue.payments', ['03:22:00', '03:22:01'], 'done', { before: secrets, after: { ...secrets }, ids: { generation: 'key-2' } });
    telling.ran('revoke.payments', ['03:23:00', '03:23:01'], 'done', {
      after: { ...secrets, revoked: [{ generation: 'key-1', ...secrets }], order: 'the old one last' },
    });
    telling.ran('survey.main', ['03:23:00', '03:23:01'], 'done', {
      after: { ...secrets, checks: [{ name: 'a', covers: 'other', violations: 0, ...secrets }] },
    });
    telling.ran('evidence.trail', ['03:23:00', '03:23:01'], 'done', {
      after: { ...secrets, entries: 1, head: 'h', broken: 1, breaks: [{ at: '1', kind: 'hash', detail: 'wrong', ...secrets }] },
    });
  });
  const report = made(evil.fromWorker, evil.recorded);
  const page = pageOf(report);
  for (const text of [page, markdownOf(report), JSON.stringify(report)]) expect(text).not.toContain(SECRET);
  expect(page).toContain('&lt;script&gt;');
  expect(page).not.toContain('<script>');
});
