/** An L1 that grows to L2 and to L3 as its workflow and its activities record it, with receipts such as a run on real parts has left them; and a recovery. */
import { INCIDENT_ROLES } from '../../model/roles.ts';
import type { DataPlace, DatabasePlace } from '../../model/incident-data.ts';
import type { Destroyed, Plan } from '../../model/plan.ts';
import type { Kind } from '../../model/policy.ts';
import type { RollbackState } from '../../model/state.ts';
import { at, given, PLAN, PLAN_2, planOf, ROLES, ROLLBACK, type Given, type GivenOptions, type Telling } from './incident-given.ts';

export const PLAN_3 = 'sha256:3333';
export const WINDOW = { from: at('02:30:00'), to: at('02:58:00') };
export const COUPON = '20260112000001_coupon';
/** What the plan would lose at first, and what was counted once it was to be done. */
export const [SEVEN, NINE]: readonly [readonly Destroyed[], readonly Destroyed[]] = [
  [{ what: 'column public.orders.coupon', rows: 7 }],
  [{ what: 'column public.orders.coupon', rows: 9 }],
];
/** A canary: whatever a report is made of, this must not come out of it. */
export const SECRET = 'canary-4f1b7c';

const main = (destroys: readonly Destroyed[]): DatabasePlace => ({
  name: 'main',
  recover: null,
  asOf: null,
  undo: [
    { name: '20260113000001_index', digest: 'sha256:i', destroys: [], transactional: true },
    { name: COUPON, digest: 'sha256:c', destroys, transactional: true },
  ],
  restores: [{ name: 'orders', table: 'orders', missing: 20, changed: 3 }],
  rebuild: ['totals'],
  checks: ['tenant-isolation', 'one-order-a-request'],
});
const CHAINS = [{ name: 'trail', affected: 5 }];
const CREDENTIALS = [
  { name: 'payments', byHand: null },
  { name: 'ledger', byHand: null },
  { name: 'google', byHand: 'https://console.example/google; recorded with the target: redirect https://shop.example/oauth' },
  { name: 'crm', byHand: 'https://console.example/crm; nothing was recorded of it with the target' },
  { name: 'mail', byHand: null },
  { name: 'sms', byHand: null },
];

export const dataPlan = (kind: Kind, data: DataPlace): Plan => ({
  ...planOf({ kind, data, parity: false, gates: [{ name: 'ci-pr', covers: 'ci' }], carriers: [], review: false }),
  kind,
  window: WINDOW,
  places: Object.fromEntries([
    ...data.databases.map(({ name }) => [`database/${name}`, 'sha256:p']),
    ...data.chains.map(({ name }) => [`evidence/${name}`, 'sha256:p']),
    ...data.credentials.map(({ name }) => [`credential/${name}`, 'sha256:p']),
  ]),
});
export const L1 = planOf({ parity: false, gates: [{ name: 'ci-pr', covers: 'ci' }], carriers: [], review: false });
const L2 = (destroys: readonly Destroyed[]): Plan => dataPlan('l2Rollback', { databases: [main(destroys)], chains: [], credentials: [] });
/** What is undone by then is not planned again. */
const L3 = dataPlan('l3Rollback', { databases: [{ ...main([]), undo: [], restores: [] }], chains: CHAINS, credentials: CREDENTIALS });
/** As the workflow walks it: what it knows of the smaller plan it keeps. */
const WALKED = dataPlan('l3Rollback', { databases: [main(NINE)], chains: CHAINS, credentials: CREDENTIALS });

const checks = (isolation: number): Record<string, unknown>[] => [
  { name: 'tenant-isolation', covers: 'tenants', violations: isolation },
  { name: 'one-order-a-request', covers: 'idempotency', violations: 0 },
];
const grow = (
  { say, put }: Telling,
  time: string,
  after: string,
  to: Kind,
  from: Kind,
  reason: string,
  plan: Plan,
  hashes: readonly [string, string],
): void => {
  say(time, 'escalate', 'carol', null, { to, reason });
  put(after, 'replanned', { plan, planHash: hashes[0], planHashBefore: hashes[1], escalated: { from, to, by: 'carol', reason } });
};

/** Declared, frozen, put back and checked at level 1; somebody signs that no data was touched, too early. */
function contained({ say, put, ran }: Telling): void {
  say('03:02:00', 'confirm', 'carol', 'declaration', { data: { criticalArea: 'orders', missedWindow: 'the window of 02:30' } });
  put('03:02:01', 'freeze', { environment: 'production', incident: 'INC-42', by: 'carol', scopes: ['merges'], exceptions: { roles: [], items: [] } });
  ran('freeze', ['03:02:00', '03:02:01'], 'done', { after: { environments: ['production'], scopes: ['merges'] } });
  ran('identify', ['03:02:02', '03:02:05'], 'done');
  say('03:03:00', 'confirm', 'carol', 'target', { plan: PLAN });
  ran('api.deploy', ['03:03:01', '03:03:10'], 'done', { after: { version: 'v2.5.3' } });
  ran('gate.ci-pr', ['03:03:20', '03:03:40'], 'failed', { after: { verdict: 'failed', exit: '1' } }, ['GateFailed', 'ci-pr is failed (1)']);
  say('03:04:00', 'decide', 'dan', 'gate.ci-pr', { action: 'skip', reason: 'red for a week', due: '2026-12-01', evidence: [] });
  say('03:05:00', 'confirm', 'dora', 'cleanup.data', { choice: 'not-applicable', note: 'no data was touched', evidence: [] });
}

/** A migration that would destroy more than was approved, and then does what was approved; rows, of which three were made anew. */
function goneBack(telling: Telling): void {
  const { say, put, ran } = telling;
  grow(telling, '03:10:00', '03:10:02', 'l2Rollback', 'l1Rollback', 'orders are gone', L2(SEVEN), [PLAN_2, PLAN]);
  put('03:10:02', 'void', { steps: ['target', 'health', 'gate.ci-pr', 'cleanup.data'], why: 'escalated to l2Rollback', plan: PLAN_2 });
  say('03:11:00', 'confirm', 'carol', 'target', { plan: PLAN_2 });
  ran('survey.main', ['03:11:01', '03:11:02'], 'done', { after: { checks: checks(4) } });
  ran('undo.main.20260113000001_index', ['03:11:03', '03:11:04'], 'done', { after: { migration: '20260113000001_index', destroyed: [], milliseconds: 12 } });
  say('03:12:00', 'confirm', 'dora', `undo.main.${COUPON}`, { plan: PLAN_2 });
  put('03:12:02', 'replanned', { plan: L2(NINE), planHash: 'sha256:2b', planHashBefore: PLAN_2 }, `${ROLLBACK}/step/undo.main.${COUPON}/0/0/plan`);
  put('03:12:02', 'step', {
    step: `undo.main.${COUPON}`,
    state: 'failed',
    startedAt: at('03:12:01'),
    receipt: null,
    failure: { type: 'MoreDestroyed', message: 'it would destroy 9 rows, 7 were approved; nothing was changed', retryable: false, remedy: '' },
    change: { recounted: { hash: 'sha256:2b', destroys: NINE, title: 'more' } },
  });
  say('03:13:00', 'confirm', 'dora', `undo.main.${COUPON}`, { plan: 'sha256:2b', note: 'the promotion is over' });
  ran(`undo.main.${COUPON}`, ['03:13:01', '03:13:04'], 'done', { after: { migration: COUPON, destroyed: NINE, milliseconds: 2_400 } });
  say('03:14:00', 'confirm', 'dora', 'restore.main.orders', { plan: 'sha256:2b' });
  const receipt = { restore: 'orders', window: WINDOW, tenant: null };
  ran(
    'restore.main.orders',
    ['03:14:01', '03:14:20'],
    'failed',
    { after: { ...receipt, restored: 15, same: 2, changed: 3, blocked: [{ by: 'fk', rows: 3 }], unreadable: 1, lost: [] } },
    ['NotAtTarget', '3 of 18 deleted rows of orders could not be put back: see the receipt'],
  );
  say('03:14:40', 'decide', 'dora', 'restore.main.orders', { action: 'retry', reason: 'their customers are back' });
  ran('restore.main.orders', ['03:14:41', '03:14:50'], 'done', {
    after: { ...receipt, restored: 3, same: 17, changed: 3, blocked: [], unreadable: 1, lost: ['coupon'] },
  });
  ran('rebuild.main.totals', ['03:15:00', '03:15:20'], 'done', {
    after: { exit: '0', seconds: 20 },
    ids: { file: '/e/rebuild.log', sha256: 'cd34', bytes: 10 },
  });
  ran('gate.ci-pr', ['03:15:21', '03:15:30'], 'done', { after: { verdict: 'passed', exit: '0' } });
  ran('invariants.main', ['03:15:21', '03:15:22'], 'done', { after: { checks: checks(0), before: checks(4) } });
}

const BREAK = { at: '2', kind: 'hash', detail: 'its hash is not the one of what it holds' };
const generation = (id: string, state: 'live' | 'revoked'): Record<string, unknown> => ({ id, state, scopes: ['charge:read'], tenants: ['acme'] });

function rotated(name: string, isFirst: boolean, { ran }: Telling, times: Readonly<Record<'issue' | 'install' | 'revoke', string>>): void {
  const ids = { generation: `${name}-new` };
  const span = (time: string): [string, string] => [time, time];
  const issue = (): void => ran(`issue.${name}`, span(times.issue), 'done', { after: { issuedAt: at(times.issue) }, ids, detail: `${name}-new is live` });
  const install = (): void => ran(`install.${name}`, span(times.install), 'done', { after: { held: 2, proven: !isFirst }, ids });
  const revoke = (): void =>
    ran(`revoke.${name}`, span(times.revoke), 'done', {
      after: {
        revoked: [{ generation: `${name}-2025`, state: 'revoked', already: false, proof: 'service' }],
        order: isFirst ? 'the old one first, accepting the outage' : 'the old one last',
      },
    });
  for (const act of isFirst ? [revoke, issue, install] : [issue, install, revoke]) act();
}

/** Evidence that was broken before; a list with every kind of word; one credential exploited, one by hand, one that is not finished. */
function signed(telling: Telling): void {
  const { say, put, ran } = telling;
  grow(telling, '03:20:00', '03:20:02', 'l3Rollback', 'l2Rollback', 'a key was in a log', L3, [PLAN_3, 'sha256:2b']);
  put('03:20:02', 'void', {
    steps: ['target', 'gate.ci-pr', 'invariants.main', 'cleanup.evidence', 'cleanup.credentials'],
    why: 'escalated to l3Rollback',
    plan: PLAN_3,
  });
  say('03:21:00', 'confirm', 'sam', 'credentials', {
    note: 'seen in the log of the night',
    data: { rotate: ['payments', 'crm', 'mail'], revokeFirst: ['ledger'], unaffected: ['google', 'sms'], elsewhere: ['the key of the warehouse'] },
  });
  say('03:22:00', 'confirm', 'carol', 'target', { plan: PLAN_3 });
  rotated('ledger', true, telling, { revoke: '03:22:10', issue: '03:22:20', install: '03:23:40' });
  rotated('payments', false, telling, { issue: '03:24:00', install: '03:24:10', revoke: '03:26:00' });
  ran('issue.mail', ['03:24:00', '03:24:01'], 'done', { after: {}, ids: { generation: 'mail-new' } });
  ran('install.mail', ['03:24:10', '03:24:12'], 'failed', null, [
    'CredentialRejected',
    'mail does not work with the new one (./prove ended with 1); the earlier one is back where it was',
  ]);
  ran('evidence.trail', ['03:24:20', '03:24:30'], 'done', {
    after: {
      entries: 7,
      last: '7',
      head: 'aa11bb22cc33dd44',
      digest: 'd1',
      breaks: [BREAK],
      broken: 1,
      warnings: ['nothing keeps two entries from the same previous'],
    },
  });
  ran('annotate.trail', ['03:25:00', '03:25:01'], 'done', {
    after: { annotations: 1, first: '9', last: '9', already: false, affected: { entries: 5, runs: 2 } },
  });
  for (const name of ['ledger', 'payments'])
    ran(`scope.${name}`, ['03:26:10', '03:26:11'], 'done', {
      after: { generations: [generation(`${name}-new`, 'live'), generation(`${name}-2025`, 'revoked')] },
    });
  say('03:26:30', 'confirm', 'sam', 'rotate.crm', { evidence: ['rotation-log=https://tracker/CRM-1', 'scope-verification=two scopes, as before'] });
  ran('gate.ci-pr', ['03:27:00', '03:27:10'], 'done', { after: { verdict: 'passed', exit: '0' } });
  ran('invariants.main', ['03:27:00', '03:27:01'], 'done', { after: { checks: checks(0), before: checks(4) } });
  ran('chain.trail', ['03:27:00', '03:27:05'], 'done', {
    after: { entries: 10, head: 'ee55ff66aa77bb88', digest: 'd2', before: { entries: 7, head: 'aa11bb22cc33dd44', digest: 'd1' }, broken: 1 },
  });
  say('03:28:00', 'confirm', 'dora', 'cleanup.data', { choice: 'done', evidence: ['repair-notes=https://wiki/INC-42#repair'] });
  say('03:28:10', 'confirm', 'dora', 'cleanup.evidence', { choice: 'done', evidence: [] });
}

export const graveNight = (telling: Telling): void => {
  for (const part of [contained, goneBack, signed]) part(telling);
};

/** `fromWorker`: as the workflow has it, every step it has walked; `fromRecord`: the row still says level 1, and has the steps of the last plan alone. */
export function graveGiven(
  story: (telling: Telling) => void = graveNight,
  options: GivenOptions & { readonly kind?: Kind; readonly walked?: Plan; readonly last?: Plan } = {},
): Given {
  const { kind = 'l3Rollback', walked = WALKED, last = L3, ...more } = options;
  const base = { opened: L1, outcome: null, ...more } as const;
  const level = kind === 'l3Rollback' ? 3 : kind === 'l2Rollback' ? 2 : 1;
  const byWorker = given(story, { ...base, plan: walked });
  const byRecord = given(story, { ...base, plan: last });
  const asAsked = (state: RollbackState): RollbackState => {
    const command = state.incidentCommand;
    const roles = Object.fromEntries(Object.keys(INCIDENT_ROLES).map((role) => [role, ROLES[role] ?? []]));
    return { ...state, kind, planHash: PLAN_3, ...(command ? { incidentCommand: { ...command, level, roles } } : {}) };
  };
  return { ...byRecord, fromWorker: asAsked(byWorker.fromWorker) };
}

/** Recovered as of three o'clock, and switched over to; at level 2 from the start. */
export const RECOVERING = dataPlan('l2Rollback', {
  databases: [
    { ...main([]), recover: 'backup', asOf: at('02:00:00'), undo: [], restores: [], rebuild: [] },
    { ...main([]), name: 'legacy', recover: 'by-hand', undo: [], restores: [], rebuild: [], checks: [] },
  ],
  chains: [],
  credentials: [],
});
export function recovery({ say, ran }: Telling): void {
  say('03:02:00', 'confirm', 'carol', 'declaration', {});
  ran('identify', ['03:02:02', '03:02:05'], 'done');
  say('03:03:00', 'confirm', 'carol', 'target', { plan: PLAN });
  say('03:04:00', 'confirm', 'dora', 'recover.main', { plan: PLAN });
  ran('recover.main', ['03:04:01', '03:09:00'], 'done', {
    before: { inUse: 'shop' },
    after: {
      database: 'shop_backout_01a1fdec',
      from: 'backup',
      asOf: at('02:00:00'),
      asOfFrom: 'dump',
      already: false,
      settingsNotRestored: ['work_mem'],
      checks: checks(0),
      newestMigration: '20260101000001_orders',
    },
  });
  say('03:10:00', 'confirm', 'dora', 'switch.main', { plan: PLAN, note: 'nobody wrote since' });
  ran('switch.main', ['03:10:01', '03:10:05'], 'done', {
    after: {
      switched: 2,
      kept: 'the one that was in use',
      stillConnected: { database: 'shop', sealed: true, already: false, connected: [{ application: 'psql', sessions: 2 }] },
    },
  });
  say('03:12:00', 'confirm', 'dora', 'by-hand.legacy', {
    note: 'restored table by table',
    evidence: ['repair-notes=https://wiki/legacy', 'tenant-isolation-test=passed'],
  });
}
