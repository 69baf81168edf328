/** Levels 2 and 3 of the runbook [001 steps 3c to 3e], where a rule of ours carries them: the plan, what is approved, who signs, and how a level grows. */
import { describe, expect, it } from 'vitest';
import { judgeConfirm, judgeDecide, judgeDecline, judgeEscalate, type Desk } from '../../model/answers.ts';
import { judgeAssign } from '../../model/authority.ts';
import { CHECKLIST, type IncidentPlace } from '../../model/incident.ts';
import type { DatabasePlace, DataPlace } from '../../model/incident-data.ts';
import { forbiddenStep } from '../../model/plan.ts';
import { POLICIES } from '../../model/policy.ts';
import { signedProblem } from '../../model/signed.ts';
import type { Answer, StepState } from '../../model/state.ts';
import { confirm, decide, desk, ids, no, stepOf, steps } from './runbook-given.ts';

const MAIN: DatabasePlace = {
  name: 'main',
  recover: null,
  asOf: null,
  undo: [
    { name: '3_index', digest: 'sha256:3', destroys: [], transactional: true },
    { name: '2_coupon', digest: 'sha256:2', destroys: [{ what: 'column public.orders.coupon', rows: 7 }], transactional: true },
  ],
  restores: [{ name: 'orders', table: 'orders', missing: 20, changed: 1 }],
  rebuild: ['totals'],
  checks: ['tenant-isolation'],
};
const DATA: DataPlace = { databases: [MAIN], chains: [], credentials: [] };
const ALL: DataPlace = {
  databases: [MAIN],
  chains: [{ name: 'trail', affected: 5 }],
  credentials: [
    { name: 'payments', byHand: null },
    { name: 'google', byHand: 'https://console; recorded with the target: redirect https://shop' },
  ],
};
const L2: Partial<IncidentPlace> = { kind: 'l2Rollback', data: DATA };
const L3: Partial<IncidentPlace> = { kind: 'l3Rollback', data: ALL };
const LIST = { rotate: ['payments'], revokeFirst: [], unaffected: ['google'] };

const at = (kind: 'l2Rollback' | 'l3Rollback', states: Readonly<Record<string, StepState>> = {}, more: Partial<Desk> = {}): Desk =>
  desk(states, { policy: POLICIES[kind], ...more }, kind === 'l2Rollback' ? L2 : L3);
const assigned = (by: string, to: string): Answer => ({
  name: 'assign',
  step: null,
  by,
  role: 'security-lead',
  to,
  proof: 'self-declared',
  at: '2026-11-21T03:00:00.000Z',
});

describe('[001 step 3c] what is gone back with', () => {
  it('[001 step 3] code before schema, schema before rows, rows before what is derived of them; then the proof', () => {
    const all = ids(steps(L2));
    const order = [
      'target',
      'api.config',
      'api.deploy',
      'survey.main',
      'undo.main.3_index',
      'undo.main.2_coupon',
      'restore.main.orders',
      'rebuild.main.totals',
      'invariants.main',
    ];
    expect(order.map((id) => all.indexOf(id))).toEqual(order.map((id) => all.indexOf(id)).toSorted((a, b) => a - b));
    expect(order.every((id) => all.includes(id))).toBe(true);
  });
  it('[001 Rollback Scope Levels] level 1 touches neither schema nor data, level 2 neither evidence nor credentials', () => {
    expect(forbiddenStep('l1Rollback', steps(L2))?.effect).toBe('schema');
    expect(forbiddenStep('l2Rollback', steps(L2))).toBeUndefined();
    expect(forbiddenStep('l2Rollback', steps(L3))?.effect).toBe('credential');
    expect(forbiddenStep('l3Rollback', steps(L3))).toBeUndefined();
  });
  it('what an inverse would destroy is counted in the plan and asks for its own approval, bound to the plan; what destroys nothing does not', () => {
    expect(stepOf('undo.main.2_coupon', L2)).toMatchObject({
      title: 'Undo the migration 2_coupon of main, which destroys column public.orders.coupon with 7 rows',
      approval: true,
      attests: 'seen',
      demands: { plan: true },
      owner: 'data-evidence-lead',
    });
    expect(stepOf('undo.main.3_index', L2).approval).toBeUndefined();
    const waiting = at('l2Rollback', { declaration: 'confirmed', 'undo.main.2_coupon': 'waiting' });
    const say = (by: string, plan: string | null) => judgeConfirm(waiting, confirm('undo.main.2_coupon', by, { plan }));
    expect(say('dora', null)).toEqual(no('stale-plan', /say in "plan" the hash/));
    expect(say('dora', 'sha256:another')).toEqual(no('stale-plan', /the plan is now sha256:plan/));
    expect(say('carol', 'sha256:plan')).toEqual(no('role', /data-evidence-lead/));
    expect(say('dora', 'sha256:plan')).toBeNull();
    const pending = at('l2Rollback', { declaration: 'confirmed' });
    expect(judgeConfirm(pending, confirm('undo.main.2_coupon', 'dora', { plan: 'sha256:plan' }))).toEqual(no('not-asked', /attests what was seen/));
  });
  it('an inverse that cannot be one transaction is approved too, and says so', () => {
    const undo = [{ name: '4', digest: 'sha256:4', destroys: [], transactional: false }];
    expect(stepOf('undo.main.4', { kind: 'l2Rollback', data: { ...DATA, databases: [{ ...MAIN, undo }] } })).toMatchObject({
      title: expect.stringMatching(/statement by statement: it cannot be one transaction$/) as string,
      approval: true,
    });
  });
  it('[004 section 3.4] rows are put back after their preview was approved', () => {
    expect(stepOf('restore.main.orders', L2)).toMatchObject({
      title: 'Put back 20 deleted rows of orders from the audit log; 1 that were made anew since stay as they are',
      approval: true,
      demands: { plan: true },
      effect: 'data',
    });
  });
  it('[004 section 3.2] a restore goes into a new database; the switch-over is approved for itself, and says what is lost', () => {
    const data = { ...DATA, databases: [{ ...MAIN, recover: 'backup', asOf: '2026-11-21T02:00:00Z' }] };
    const all = steps({ kind: 'l2Rollback', data });
    expect(ids(all).filter((id) => id.endsWith('.main') || id.startsWith('undo') || id.startsWith('restore'))).toEqual([
      'recover.main',
      'switch.main',
      'invariants.main',
    ]);
    const [recover, switched] = ['recover.main', 'switch.main'].map((id) => all.find((step) => step.id === id));
    expect(recover).toMatchObject({
      effect: 'data',
      approval: true,
      title: expect.stringMatching(/what was written after 2026-11-21T02:00:00Z is not in it$/) as string,
    });
    expect(switched).toMatchObject({
      effect: 'config',
      approval: true,
      destroys: [{ what: 'everything written to main after 2026-11-21T02:00:00Z', rows: null }],
    });
  });
  it('a database may be left to people, who say how', () => {
    const data = { ...DATA, databases: [{ ...MAIN, recover: 'by-hand', undo: [], restores: [], rebuild: [], checks: [] }] };
    expect(stepOf('by-hand.main', { kind: 'l2Rollback', data })).toMatchObject({ mode: 'manual', mandatory: true, demands: { note: true } });
  });
  it('[001 step 3c] tenant boundaries and idempotency that do not hold can be accepted as risk by nobody', () => {
    const failed = at('l2Rollback', { 'invariants.main': 'failed' });
    expect(judgeDecide(failed, decide('invariants.main', 'skip', { due: '2026-12-01' }))).toEqual(no('not-skippable', /cannot be skipped/));
    expect(judgeDecide(at('l3Rollback', { 'chain.trail': 'failed' }), decide('chain.trail', 'skip', { due: '2026-12-01' }))).toEqual(no('not-skippable', /./));
  });
});

describe('[001 step 3d] evidence', () => {
  it('is surveyed before anything else is done with data, marked after it, and verified at the gates', () => {
    const all = ids(steps(L3));
    const order = ['api.deploy', 'evidence.trail', 'undo.main.2_coupon', 'annotate.trail', 'chain.trail', 'cleanup.evidence'];
    expect(order.map((id) => all.indexOf(id))).toEqual(order.map((id) => all.indexOf(id)).toSorted((a, b) => a - b));
    expect(stepOf('evidence.trail', L3)).toMatchObject({ effect: 'read', mandatory: true });
    expect(stepOf('annotate.trail', L3)).toMatchObject({ effect: 'evidence', owner: 'data-evidence-lead' });
  });
});

describe('[001 step 3e] credentials', () => {
  it('[004 section 5.2] the new one is issued and put in place before the old one goes; least privilege is looked at last', () => {
    const all = ids(steps(L3));
    const order = [
      'credentials',
      'api.deploy',
      'issue.payments',
      'install.payments',
      'revoke.payments',
      'undo.main.2_coupon',
      'scope.payments',
      'cleanup.credentials',
    ];
    expect(order.map((id) => all.indexOf(id))).toEqual(order.map((id) => all.indexOf(id)).toSorted((a, b) => a - b));
    expect(stepOf('credentials', L3).wave).toBe(stepOf('target', L3).wave);
  });
  it('what no authority can be asked for is a person\u2019s, with what was recorded of it', () => {
    expect(stepOf('rotate.google', L3)).toMatchObject({ mode: 'manual', owner: 'security-lead', only: true });
    expect(stepOf('rotate.google', L3).title).toMatch(/recorded with the target: redirect https:\/\/shop$/);
    expect(ids(steps(L3))).not.toContain('issue.google');
  });
  it('every credential is in exactly one list, with a note', () => {
    const waiting = at('l3Rollback', { declaration: 'confirmed', credentials: 'waiting' });
    const sign = (data: unknown, note: string | null = 'seen in a log') => judgeConfirm(waiting, confirm('credentials', 'sam', { data, note }));
    expect(sign(LIST)).toBeNull();
    expect(sign(LIST, null)).toEqual(no('evidence', /say in "note" why/));
    expect(sign({ rotate: ['payments'] })).toEqual(no('choice', /say of google in which list/));
    expect(sign({ ...LIST, revokeFirst: ['payments'] })).toEqual(no('choice', /"payments" is named twice/));
    expect(sign({ ...LIST, unaffected: ['google', 'other'] })).toEqual(no('choice', /"other" is no credential of this plan; it has payments, google/));
    expect(sign({ ...LIST, rotate: 'payments' })).toEqual(no('choice', /is a list of names/));
    expect(signedProblem({ rotate: [7] }, ['payments'])).toMatch(/^7 is no credential/);
  });
  it('the same list again changes nothing; another one is refused', () => {
    const said: Answer = { name: 'confirm', step: 'credentials', by: 'sam', data: LIST, proof: 'self-declared', at: '2026-11-21T03:00:00.000Z' };
    const signed = at('l3Rollback', { declaration: 'confirmed', credentials: 'confirmed' }, { answers: [said] });
    expect(judgeConfirm(signed, confirm('credentials', 'sam', { data: LIST, note: 'x' }))).toBeNull();
    const other = { rotate: [], revokeFirst: ['payments'], unaffected: ['google'] };
    expect(judgeConfirm(signed, confirm('credentials', 'sam', { data: other, note: 'x' }))).toEqual(no('already-answered', /sam has signed another list/));
  });
});

describe('[001 Ownership] the Security Lead, and nobody else', () => {
  const asked = { declaration: 'confirmed', credentials: 'waiting', 'revoke.payments': 'failed' } as const;
  const sign = (by: string, more: Partial<Desk> = {}) => judgeConfirm(at('l3Rollback', asked, more), confirm('credentials', by, { data: LIST, note: 'x' }));
  const alone = no('security-lead', /is answered by the security-lead alone, not by whoever leads/);

  it('signs: neither who leads, nor a deputy who has not taken the role over', () => {
    expect(sign('sam')).toBeNull();
    for (const by of ['carol', 'dora', 'sid', 'nobody']) expect(sign(by)).toEqual(alone);
  });
  it('decides about what failed: who leads cannot retry, skip or call it done', () => {
    const failed = at('l3Rollback', asked);
    for (const action of ['retry', 'skip', 'done'] as const) {
      expect(judgeDecide(failed, decide('revoke.payments', action, { by: 'carol', due: '2026-12-01' }))).toEqual(alone);
      expect(judgeDecide(failed, decide('revoke.payments', action, { by: 'sam', due: '2026-12-01' }))).toBeNull();
    }
    expect(judgeDecline(failed, { step: 'credentials', by: 'carol', role: null, reason: 'x' })).toEqual(alone);
  });
  it('is whom backout.yaml names, or whom such a one, or a deputy who took it over, has appointed', () => {
    const given = (...answers: Answer[]): Partial<Desk> => ({ answers, assigned: { 'security-lead': answers.map((one) => String(one['to'])) } });
    expect(sign('abe', given(assigned('carol', 'abe')))).toEqual(alone);
    expect(sign('carol', given(assigned('carol', 'carol')))).toEqual(alone);
    expect(sign('abe', given(assigned('sam', 'abe')))).toBeNull();
    expect(sign('sam', given(assigned('sam', 'abe')))).toEqual(alone);
    expect(sign('sid', given(assigned('sid', 'sid')))).toBeNull();
    expect(sign('abe', given(assigned('sid', 'sid'), assigned('sid', 'abe')))).toBeNull();
    expect(sign('abe', given(assigned('abe', 'abe')))).toEqual(alone);
  });
  it('is appointed by no commander once credentials are planned', () => {
    const here = at('l3Rollback', asked);
    const assign = (by: string, to: string) => judgeAssign(here, { role: 'security-lead', by, to, reason: 'x' });
    expect(assign('carol', 'abe')).toEqual(no('security-lead', /./));
    expect(assign('carol', 'carol')).toEqual(no('security-lead', /./));
    expect(assign('sam', 'abe')).toBeNull();
    expect(assign('sid', 'sid')).toBeNull();
    expect(assign('sid', 'abe')).toEqual(no('security-lead', /./));
    expect(judgeAssign(here, { role: 'api-lead', by: 'carol', to: 'abe', reason: 'x' })).toBeNull();
  });
  it('is nobody where nobody is named', () => {
    expect(sign('sam', { people: null })).toEqual(no('security-lead', /nobody holds it: name a security-lead in backout\.yaml/));
  });
  it('two generations are never left alive unsigned: it is not closed over them', () => {
    const rows = Object.fromEntries(CHECKLIST.map((row) => [`cleanup.${row.area}`, 'confirmed' as const]));
    const open = at('l3Rollback', { ...rows, declaration: 'confirmed', 'install.payments': 'done', 'revoke.payments': 'failed' });
    const close = { ...decide('revoke.payments', 'close', { by: 'carol' }), step: null };
    expect(judgeDecide(open, close)).toEqual(
      no('credential-open', /two generations are alive of payments: go on with revoke\.payments, or the security-lead decides to skip it/),
    );
    const left = at('l3Rollback', { ...rows, declaration: 'confirmed', 'install.payments': 'done', 'revoke.payments': 'skipped', 'scope.payments': 'failed' });
    expect(judgeDecide(left, close)).toBeNull();
  });
});

describe('[001 Step 3 Checklist] evidence that steps produce', () => {
  const row = (area: string, states: Readonly<Record<string, StepState>>, by: string, answers: readonly Answer[] = []) =>
    judgeConfirm(
      at('l3Rollback', { declaration: 'confirmed', [`cleanup.${area}`]: 'waiting', ...states }, { answers }),
      confirm(`cleanup.${area}`, by, { choice: 'done' }),
    );
  const back: Readonly<Record<string, StepState>> = {
    'undo.main.3_index': 'done',
    'undo.main.2_coupon': 'already',
    'restore.main.orders': 'done',
    'rebuild.main.totals': 'done',
    'invariants.main': 'done',
  };
  it('need not be typed, where every one of them has passed', () => {
    expect(row('data', back, 'dora')).toBeNull();
    expect(row('evidence', { 'annotate.trail': 'done', 'chain.trail': 'done' }, 'dora')).toBeNull();
  });
  it('is typed where one was left out or has failed', () => {
    const left: Answer = { name: 'decide', step: 'restore.main.orders', by: 'dora', action: 'skip', proof: 'self-declared', at: '2026-11-21T03:00:00.000Z' };
    expect(row('data', { ...back, 'restore.main.orders': 'skipped' }, 'dora', [left])).toEqual(no('evidence', /missing: repair-notes=/));
    expect(row('data', { ...back, 'invariants.main': 'failed' }, 'dora')).toEqual(no('evidence', /missing: tenant-isolation-test=/));
    expect(row('evidence', { 'annotate.trail': 'done', 'chain.trail': 'pending' }, 'dora')).toEqual(no('evidence', /missing: chain-verification=/));
  });
  it('of what people rotate by hand is what they gave with it; what was signed as not exposed asks for nothing', () => {
    const passed = { 'revoke.payments': 'done', 'scope.payments': 'done' } as const;
    expect(row('credentials', passed, 'sam')).toEqual(no('evidence', /rotation-log=.*scope-verification=/));
    expect(row('credentials', { ...passed, 'rotate.google': 'confirmed' }, 'sam')).toBeNull();
    expect(row('credentials', { ...passed, 'rotate.google': 'skipped' }, 'sam')).toBeNull();
  });
  it('[001 Step 3 Checklist] a row within the level is never not applicable', () => {
    const say = judgeConfirm(
      at('l2Rollback', { declaration: 'confirmed', 'cleanup.data': 'waiting' }),
      confirm('cleanup.data', 'dora', { choice: 'not-applicable', note: 'x' }),
    );
    expect(say).toEqual(no('choice', /one of done, not not-applicable/));
  });
});

describe('[product.md 2] a level grows in place', () => {
  const grow = (to: 'l2Rollback' | 'l3Rollback', here: Desk, by = 'carol') => judgeEscalate(here, { to, by, reason: 'x' });
  const declared = { declaration: 'confirmed' } as const;
  it('upwards, by the Incident Commander, once it is declared', () => {
    expect(grow('l2Rollback', desk(declared))).toBeNull();
    expect(grow('l3Rollback', desk(declared))).toBeNull();
    expect(grow('l3Rollback', at('l2Rollback', declared))).toBeNull();
    expect(grow('l2Rollback', at('l2Rollback', declared))).toBeNull();
    expect(grow('l2Rollback', at('l3Rollback', declared))).toEqual(no('level', 'this rollback is at level 3 already; a level only grows'));
    expect(grow('l2Rollback', desk(declared), 'dora')).toEqual(no('role', /incident-commander/));
    expect(grow('l2Rollback', desk())).toEqual(no('declaration', /not declared yet/));
  });
  it('not once it is ending', () => {
    expect(grow('l2Rollback', desk(declared, { closed: true }))).toEqual(no('closed', /start l2Rollback of this incident instead/));
    expect(grow('l2Rollback', desk(declared, { closing: true }))).toEqual(no('closed', /./));
  });
  it('nothing is unfrozen before the plan of the higher level is shown', () => {
    expect(judgeConfirm(desk({ unfreeze: 'waiting', declaration: 'confirmed' }, { escalating: true }), confirm('unfreeze', 'carol'))).toEqual(
      no('level', /it is being escalated/),
    );
  });
});
