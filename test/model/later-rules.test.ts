/** Rules that came after executions had begun without them: each says no, with the way out in its words, and yes otherwise. */
import { describe, expect, it } from 'vitest';
import { judgeConfirm, judgeDecide, type Desk } from '../../model/answers.ts';
import type { IncidentPlace } from '../../model/incident.ts';
import type { DataPlace, DatabasePlace } from '../../model/incident-data.ts';
import { judgeDue, judgeKnownRole, judgeLeft, judgeSame } from '../../model/later-rules.ts';
import { POLICIES } from '../../model/policy.ts';
import type { StepState } from '../../model/state.ts';
import { desk as plainDesk } from './given.ts';
import { answer, confirm, decide, desk, no, PEOPLE } from './runbook-given.ts';

const MAIN: DatabasePlace = {
  name: 'main',
  recover: null,
  asOf: null,
  undo: [{ name: '2_coupon', digest: 'sha256:2', destroys: [], transactional: true }],
  restores: [{ name: 'orders', table: 'orders', missing: 20, changed: 1 }],
  rebuild: [],
  checks: [],
};
const at = (states: Readonly<Record<string, StepState>>, main: Partial<DatabasePlace> = {}, more: Partial<Desk> = {}): Desk => {
  const data: DataPlace = { databases: [{ ...MAIN, ...main }], chains: [], credentials: [{ name: 'payments', byHand: null }] };
  return desk(states, { policy: POLICIES.l3Rollback, ...more }, { kind: 'l3Rollback', data } satisfies Partial<IncidentPlace>);
};

describe('what may not be left out', () => {
  const recovered = { recover: 'backup', asOf: '2026-11-21T02:00:00Z', undo: [], restores: [] };
  it.each([
    ['undo.main.2_coupon', {}, 'undo it by hand'],
    ['recover.main', recovered, 'recover it by hand'],
    ['switch.main', recovered, 'switch it over by hand'],
  ] as const)('%s: nothing could be unfrozen then, so it is refused with every way out', (step, main, byHand) => {
    const skip = decide(step, 'skip', { by: 'dora', due: '2099-12-01' });
    const failed = at({ [step]: 'failed' }, main);
    // As it was judged before: what was accepted then is replayed so.
    expect(judgeDecide(failed, skip)).toBeNull();
    expect(judgeLeft(failed, skip)?.rule).toBe('not-skippable');
    for (const words of [byHand, '--action done', 'retry', '--action close', 'keeps the freeze']) expect(judgeLeft(failed, skip)?.explanation).toContain(words);
    for (const action of ['retry', 'done', 'close'] as const) expect(judgeLeft(failed, { ...skip, action })).toBeNull();
  });
  it('rows, a gate, a credential and a component may be', () => {
    for (const step of ['restore.main.orders', 'gate.ci-pr', 'revoke.payments', 'api.deploy']) expect(judgeLeft(at({}), decide(step, 'skip'))).toBeNull();
  });
});

describe('a due date', () => {
  const noon = Date.parse('2026-11-22T12:00:00Z');
  it.each(['2020-01-01', '2026-11-20', '2026-11-22T11:59:00Z'])('%s is over, and is refused', (due) => {
    expect(judgeDue(decide('gate.ci-pr', 'skip', { due }), noon, Date.parse)).toEqual(
      no('accepted-risk', `${due} is over: say in "due" a date that is still to come, until when it is made up for`),
    );
  });
  it.each(['2026-11-22', '2026-11-21', '2026-11-22T12:01:00Z', '2099-12-01'])('%s is not, somewhere on earth', (due) => {
    expect(judgeDue(decide('gate.ci-pr', 'skip', { due }), noon, Date.parse)).toBeNull();
  });
  it('none is none', () => {
    expect(judgeDue(decide('gate.ci-pr', 'retry'), noon, Date.parse)).toBeNull();
  });
});

describe('the level it is at', () => {
  const ask = { to: 'l3Rollback', by: 'carol', reason: 'x' } as const;
  it('is not asked for again; while it is being planned the same request is none of its own', () => {
    expect(judgeSame(at({}), ask, 'l3Rollback')).toEqual(no('level', 'it is at l3Rollback already; nothing was changed'));
    expect(judgeSame(at({}, {}, { escalating: true }), ask, 'l3Rollback')).toBeNull();
  });
});

describe('a role', () => {
  const give = (role: string, here = at({})) => judgeKnownRole(here, { role, to: 'eve', by: 'carol', reason: 'x' });
  it.each(['Security-Lead', 'Security Lead', 'surgeon', 'constructor', ''])('%j is none, and the roles are named', (role) => {
    expect(give(role)).toEqual(no('role', /^there is no role ".*" here; the roles are .*incident-commander, .*security-lead/));
  });
  it.each(['security-lead', 'api-lead', 'operator', 'developer', 'communications-owner'])('%s is one', (role) => {
    expect(give(role)).toBeNull();
  });
  it('of a deployRevert are its own, those that people have, and the one it was handed over to', () => {
    const here = plainDesk({}, { people: { ana: { roles: ['operator'] }, lea: { roles: ['on-call-lead'] } } });
    expect(give('on-call-lead', here)).toBeNull();
    expect(give('security-lead', here)).toEqual(no('role', 'there is no role "security-lead" here; the roles are on-call-lead, operator'));
    const handed = { ...here, people: null, steps: here.steps.map((step) => ({ ...step, handedTo: 'night-shift' })) };
    expect(give('night-shift', handed)).toBeNull();
  });
});

describe('a list that was signed', () => {
  it('is not signed anew: the refusal says how another one can be', () => {
    const list = { rotate: ['payments'], revokeFirst: [], unaffected: [] };
    const answers = [answer('confirm', 'credentials', 'sam', { data: list })];
    const here = at({ declaration: 'confirmed', credentials: 'confirmed' }, {}, { answers, people: PEOPLE, id: 'l3Rollback/production/INC-42' });
    const sign = (data: unknown) => judgeConfirm(here, confirm('credentials', 'sam', { data, note: 'x' }));
    expect(sign(list)).toBeNull();
    expect(sign({ rotate: [], revokeFirst: ['payments'], unaffected: [] })).toEqual(
      no(
        'already-answered',
        /^sam has signed another list already.*`backout stop l3Rollback\/production\/INC-42 .*`backout decide l3Rollback\/production\/INC-42 --action close .*`backout start`/,
      ),
    );
  });
});
