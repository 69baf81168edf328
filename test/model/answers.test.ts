/** Who may say what when: each rule of model/answers.ts that says no, and that it says yes otherwise. */
import { describe, expect, it } from 'vitest';
import { isStopped, judgeConfirm, judgeDecide, judgeDecline, judgeEscalate, judgeResume, type Desk } from '../../model/answers.ts';
import { judgeAssign, judgeRole } from '../../model/authority.ts';
import type { Confirm, Decide, Decline } from '../../model/input.ts';
import { POLICIES } from '../../model/policy.ts';
import { RULE_SOURCE } from '../../model/refusal.ts';
import type { StepState } from '../../model/state.ts';
import { desk } from './given.ts';

const NASTY = ['constructor', '__proto__', 'toString', 'hasOwnProperty', 'valueOf'];
const confirm = (more: Partial<Confirm> = {}): Confirm => ({
  step: 'availability',
  by: 'ana',
  role: null,
  plan: null,
  choice: null,
  data: null,
  note: null,
  evidence: [],
  ...more,
});
const decline = (more: Partial<Decline> = {}): Decline => ({ step: 'availability', by: 'ana', role: null, reason: 'still broken', ...more });
const decide = (more: Partial<Decide> = {}): Decide => ({
  step: 'web.deploy',
  by: 'ana',
  role: null,
  action: 'retry',
  reason: 'x',
  analysis: 'y',
  due: null,
  evidence: [],
  ...more,
});
const resume = { by: 'ana', reason: 'x', analysis: null };
const assign = { role: 'operator', to: 'ben', by: 'ana', reason: 'x' };

const waiting = { availability: 'waiting' } as const;
const failed = { 'web.deploy': 'failed' } as const;
const people = { ana: { roles: ['operator'] }, ben: { roles: ['auditor'] }, lea: { roles: ['on-call-lead'] } };
const no = (rule: keyof typeof RULE_SOURCE, explanation: RegExp | string): unknown => ({
  rule,
  explanation: typeof explanation === 'string' ? explanation : (expect.stringMatching(explanation) as unknown),
});
const with_ = (base: Desk, id: string, more: object): Desk => ({ ...base, steps: base.steps.map((step) => (step.id === id ? { ...step, ...more } : step)) });

describe('confirm', () => {
  it('is taken when it is asked', () => {
    expect(judgeConfirm(desk(waiting), confirm())).toBeNull();
    expect(judgeConfirm(desk(waiting), confirm({ plan: 'sha256:plan' }))).toBeNull();
  });
  it('a second one changes nothing and is no refusal', () => {
    expect(judgeConfirm(desk({ availability: 'confirmed' }), confirm())).toBeNull();
  });
  it('closed', () => {
    expect(judgeConfirm(desk(waiting, { closed: true }), confirm())).toEqual(no('closed', 'the rollback is closed; nothing can be answered any more'));
  });
  it('unknown-step, with those there are', () => {
    expect(judgeConfirm(desk(waiting), confirm({ step: 'web.nope' }))).toEqual(
      no('unknown-step', 'there is no step "web.nope"; the steps are web.deploy, web.smoke, web.health, web.served, availability'),
    );
    expect(judgeConfirm({ ...desk(), steps: [] }, confirm())).toEqual(no('unknown-step', 'there is no step "availability"; the steps are not planned yet'));
  });
  it('not-asked: a check is not a matter of a word', () => {
    expect(judgeConfirm(desk({ 'web.smoke': 'failed' }), confirm({ step: 'web.smoke' }))).toEqual(no('not-asked', /decided by Backout's own check/));
    expect(judgeConfirm(desk(), confirm({ step: 'web.deploy' }))).toEqual(no('not-asked', /decided by Backout's own check/));
  });
  it('not-asked: what attests what was seen is not kept for later', () => {
    expect(judgeConfirm(desk(), confirm())).toEqual(
      no('not-asked', 'availability attests what was seen and is not asked yet; answer again when it is waiting'),
    );
  });
  it('what attests what was done may come early', () => {
    expect(judgeConfirm(desk({ investigation: 'pending' }), confirm({ step: 'investigation', note: 'slow disk' }))).toBeNull();
  });
  it('stale-plan', () => {
    expect(judgeConfirm(desk(waiting), confirm({ plan: 'sha256:old' }))).toEqual(
      no('stale-plan', 'the answer is for plan sha256:old, the plan is now sha256:plan; look at it again'),
    );
  });
  it('already-answered: after a decline only a decision helps', () => {
    expect(judgeConfirm(desk({ availability: 'declined' }), confirm())).toEqual(
      no('already-answered', 'availability was declined; decide what to do about it first'),
    );
  });
  it('finding: an investigation closes with what was found', () => {
    expect(judgeConfirm(desk({ investigation: 'waiting' }), confirm({ step: 'investigation' }))).toEqual(
      no('finding', 'the investigation closes with its finding; say it in "note"'),
    );
    expect(judgeConfirm(desk({ investigation: 'waiting' }), confirm({ step: 'investigation', note: 'a slow disk' }))).toBeNull();
    expect(judgeConfirm(desk({ investigation: 'waiting' }), confirm({ step: 'investigation', data: { cause: 'disk' } }))).toBeNull();
  });
  it('four-eyes: not the starter, whatever his role', () => {
    const asked = with_(desk(waiting), 'availability', { fourEyes: true });
    expect(judgeConfirm(asked, confirm({ by: 'ci' }))).toEqual(no('four-eyes', 'ci started this rollback; somebody else has to answer availability'));
    expect(judgeConfirm(asked, confirm({ by: 'ana' }))).toBeNull();
    expect(judgeDecline(asked, decline({ by: 'ci' }))).toEqual(no('four-eyes', /somebody else/));
  });
});

describe('decline', () => {
  it('is taken when it is asked, and twice', () => {
    expect(judgeDecline(desk(waiting), decline())).toBeNull();
    expect(judgeDecline(desk({ availability: 'declined' }), decline())).toBeNull();
  });
  it('already-answered after a confirmation', () => {
    expect(judgeDecline(desk({ availability: 'confirmed' }), decline())).toEqual(no('already-answered', 'availability was confirmed already'));
  });
  it('finding: an investigation cannot be declined', () => {
    expect(judgeDecline(desk({ investigation: 'waiting' }), decline({ step: 'investigation' }))).toEqual(no('finding', /cannot be declined/));
  });
  it('shares the rules of confirm', () => {
    expect(judgeDecline(desk(waiting, { closed: true }), decline())).toEqual(no('closed', /nothing can be answered/));
    expect(judgeDecline(desk(), decline())).toEqual(no('not-asked', /not asked yet/));
    expect(judgeDecline(desk(), decline({ step: 'nope' }))).toEqual(no('unknown-step', /there is no step "nope"/));
  });
});

describe('people and roles', () => {
  it('without people anyone is operator', () => {
    expect(judgeRole(desk(), 'anyone', 'operator')).toBeNull();
  });
  it('role: a known person without it, told who has it', () => {
    expect(judgeConfirm(desk(waiting, { people }), confirm({ by: 'ben' }))).toEqual(no('role', 'ben does not have the role operator; it is held by ana'));
    expect(judgeConfirm(desk(waiting, { people }), confirm({ by: 'ana' }))).toBeNull();
  });
  it('what a person says of his own role counts for nothing', () => {
    expect(judgeConfirm(desk(waiting, { people }), confirm({ by: 'ben', role: 'operator' }))).toEqual(no('role', /ben does not have/));
  });
  it('unknown-person', () => {
    expect(judgeConfirm(desk(waiting, { people }), confirm({ by: 'eve' }))).toEqual(
      no('unknown-person', 'eve is not among the people of backout.yaml; the role operator is needed, it is held by ana'),
    );
  });
  it('a role that nobody holds is named as such', () => {
    expect(judgeRole(desk({}, { people }), 'ana', 'surgeon')).toEqual(no('role', 'ana does not have the role surgeon; nobody has it yet; use assign'));
  });
  it.each(NASTY)('%s is a name like any other', (name) => {
    expect(judgeRole(desk({}, { people }), name, 'operator')).toEqual(no('unknown-person', /not among the people/));
    expect(judgeRole(desk({}, { people }), 'ana', name)?.rule).toBe('role');
    expect(judgeRole(desk({}, { people: {} }), name, name)?.rule).toBe('unknown-person');
    expect(judgeConfirm(desk(waiting), confirm({ step: name }))).toEqual(no('unknown-step', /there is no step/));
    expect(judgeDecide(desk(failed), decide({ step: name }))).toEqual(no('unknown-step', /there is no step/));
  });
  it('assign: whoever is given the role may answer', () => {
    expect(judgeConfirm(desk(waiting, { people, assigned: { operator: ['ben'] } }), confirm({ by: 'ben' }))).toBeNull();
    expect(judgeRole(desk({}, { people, assigned: { operator: ['ben'] } }), 'lea', 'operator')).toEqual(
      no('role', 'lea does not have the role operator; it is held by ana, ben'),
    );
  });
  it('assign: by whoever holds it, or by an operator; nobody else', () => {
    expect(judgeAssign(desk({}, { people }), assign)).toBeNull();
    expect(judgeAssign(desk({}, { people }), { ...assign, role: 'on-call-lead', by: 'lea' })).toBeNull();
    expect(judgeAssign(desk({}, { people }), { ...assign, role: 'surgeon', by: 'ana' })).toBeNull();
    expect(judgeAssign(desk({}, { people }), { ...assign, by: 'ben' })).toEqual(no('role', /ben does not have/));
    expect(judgeAssign(desk({}, { people, closed: true }), assign)).toEqual(no('closed', 'the rollback is closed'));
  });
  it('after the hand-over the next role may answer beside the owner', () => {
    const handed = with_(desk(waiting, { people }), 'availability', { handedTo: 'on-call-lead' });
    expect(judgeConfirm(handed, confirm({ by: 'lea' }))).toBeNull();
    expect(judgeConfirm(handed, confirm({ by: 'ana' }))).toBeNull();
    expect(judgeConfirm(desk(waiting, { people }), confirm({ by: 'lea' }))?.rule).toBe('role');
    expect(judgeConfirm(handed, confirm({ by: 'ben' }))?.rule).toBe('role');
  });
});

describe('decide', () => {
  it('is taken on what has failed, is unknown, was declined or is held', () => {
    for (const state of ['failed', 'unknown'] as const) expect(judgeDecide(desk({ 'web.deploy': state }), decide())).toBeNull();
    expect(judgeDecide(desk({ availability: 'declined' }), decide({ step: 'availability' }))).toBeNull();
    expect(judgeDecide(with_(desk(), 'web.deploy', { held: true }), decide())).toBeNull();
    expect(judgeDecide(desk(failed), decide({ action: 'done', analysis: null }))).toBeNull();
  });
  it('closed', () => {
    expect(judgeDecide(desk(failed, { closed: true }), decide())).toEqual(no('closed', 'the rollback is closed; nothing can be decided any more'));
  });
  it.each(['pending', 'running', 'waiting', 'done', 'already', 'skipped', 'confirmed', 'irreversible'] satisfies StepState[])(
    'not-failed: a step that is %s',
    (state) => {
      for (const action of ['retry', 'done', 'skip'] as const) {
        expect(judgeDecide(desk({ 'web.deploy': state }), decide({ action }))).toEqual(
          no('not-failed', `web.deploy is ${state}; there is nothing to decide about it`),
        );
      }
    },
  );
  it('no-partial: skip where the kind allows no partial end, and only there', () => {
    expect(judgeDecide(desk(failed), decide({ action: 'skip' }))).toEqual(
      no('no-partial', /partial rollbacks are forbidden here, so web.deploy cannot be skipped/),
    );
    expect(judgeDecide(desk(failed, { policy: POLICIES.l1Rollback }), decide({ action: 'skip', due: '2026-12-01' }))).toBeNull();
  });
  it('analysis: retry where the kind asks for one, and only there', () => {
    expect(judgeDecide(desk(failed), decide({ analysis: null }))).toEqual(no('analysis', /needs a written analysis/));
    expect(judgeDecide(desk(failed, { policy: POLICIES.l1Rollback }), decide({ analysis: null }))).toBeNull();
  });
  it('done is no answer to a question', () => {
    expect(judgeDecide(desk({ availability: 'declined' }), decide({ step: 'availability', action: 'done' }))).toEqual(
      no('not-failed', /answered by confirm, not by done/),
    );
  });
  it('role', () => {
    for (const action of ['retry', 'done', 'close'] as const)
      expect(judgeDecide(desk(failed, { people }), decide({ by: 'ben', action }))).toEqual(no('role', /ben does not have/));
  });
  it('close: only what is stopped', () => {
    const close = decide({ action: 'close', step: null });
    expect(judgeDecide(desk(waiting), close)).toEqual(no('not-stopped', 'only a stopped rollback can be closed; use stop first'));
    expect(judgeDecide(desk(failed), close)).toBeNull();
    expect(judgeDecide(desk(waiting, { stopRequested: true }), close)).toBeNull();
  });
  it('close: not before the finding', () => {
    const close = decide({ action: 'close', step: null });
    expect(judgeDecide(desk({ ...failed, investigation: 'waiting' }), close)).toEqual(
      no('finding', /confirm the step investigation with its finding before closing/),
    );
    expect(judgeDecide(desk({ ...failed, investigation: 'confirmed' }), close)).toBeNull();
  });
});

describe('stop and resume', () => {
  it('a rollback is stopped by a word, a failed step or a held one', () => {
    expect(isStopped(desk())).toBe(false);
    expect(isStopped(desk(waiting))).toBe(false);
    expect(isStopped(desk({}, { stopRequested: true }))).toBe(true);
    expect(isStopped(desk({ 'web.deploy': 'unknown' }))).toBe(true);
    expect(isStopped(with_(desk(), 'web.deploy', { held: true }))).toBe(true);
  });
  it('resume is taken after a stop', () => {
    expect(judgeResume(desk({}, { stopRequested: true }), resume)).toBeNull();
  });
  it('closed, not-stopped, role', () => {
    expect(judgeResume(desk({}, { stopRequested: true, closed: true }), resume)).toEqual(no('closed', 'the rollback is closed; nothing can be resumed'));
    expect(judgeResume(desk(), resume)).toEqual(no('not-stopped', 'it is not stopped'));
    expect(judgeResume(desk(failed), resume)).toEqual(no('not-stopped', 'it waits for a decision about a step; use decide'));
    expect(judgeResume(desk({}, { stopRequested: true, people }), { ...resume, by: 'ben' })).toEqual(no('role', /ben does not have/));
  });
});

describe('escalate', () => {
  it('level: a deployRevert has none to raise', () => {
    expect(judgeEscalate(desk(), { to: 'l2Rollback', by: 'ana', reason: 'x' })).toEqual(
      no('level', 'l2Rollback is a level of an incident rollback; this is not one. Stop this and start l1Rollback instead'),
    );
    expect(judgeEscalate(desk({}, { closed: true }), { to: 'l3Rollback', by: 'ana', reason: 'x' })).toEqual(no('level', /Start l1Rollback instead/));
  });
});

describe('the rules', () => {
  it('all have a source', () => {
    for (const source of Object.values(RULE_SOURCE)) expect(source).toMatch(/^\[(docs\/runbook\.md|00\d [^\]]+)\]$/);
  });
});
