/** Who may say what while a tenant is taken back [000]: the judges over a plan of a deprovisioning. */
import { describe, expect, it } from 'vitest';
import { judgeConfirm, judgeDecide, judgeDecline, type Desk, type DeskStep } from '../../model/answers.ts';
import { deprovisionSteps, type Inventoried } from '../../model/deprovision.ts';
import type { Confirm, Decide, Decline } from '../../model/input.ts';
import { whole, type PlanStep } from '../../model/plan.ts';
import { POLICIES } from '../../model/policy.ts';
import type { ArtifactType } from '../../model/tenant.ts';
import type { StepState } from '../../model/state.ts';
import { atDesk } from './given.ts';

const one = (type: ArtifactType, id: string, more: Partial<Inventoried> = {}): Inventoried => ({ type, id, requests: ['req-1'], presence: 'present', ...more });
const ALL = [
  one('n8n-workflow', 'wf1', { name: 'Intake' }),
  one('webhook', 'acme/intake'),
  one('crm', 'hub-7'),
  one('calendar', 'cal-7'),
  one('vapi-assistant', 'asst-1'),
  one('credential', 'acme-hubspot'),
];
const planOf = (artifacts: readonly Inventoried[] = ALL, fourEyes = false): PlanStep[] =>
  deprovisionSteps({ tenant: 'acme', requests: ['req-1'], artifacts, isOver: false, fourEyes: () => fourEyes });

const confirm = (id: string, more: Partial<Confirm> = {}): Confirm => ({
  step: id,
  by: 'ana',
  role: null,
  plan: null,
  choice: null,
  data: null,
  note: null,
  evidence: [],
  ...more,
});
const decline = (id: string, more: Partial<Decline> = {}): Decline => ({ step: id, by: 'ana', role: null, reason: 'no', ...more });
const decide = (id: string | null, action: Decide['action'], more: Partial<Decide> = {}): Decide => ({
  step: id,
  by: 'ana',
  role: null,
  action,
  reason: 'x',
  analysis: null,
  due: null,
  evidence: [],
  ...more,
});
const HASH = 'sha256:plan';
const people = { ana: { roles: ['operator'] }, ben: { roles: ['operator'] }, eve: { roles: ['auditor'] } };

function desk(states: Readonly<Record<string, StepState | Partial<DeskStep>>> = {}, more: Partial<Desk> = {}, steps: readonly PlanStep[] = planOf()): Desk {
  return {
    policy: POLICIES.upaDeprovision,
    planHash: HASH,
    starter: 'ana',
    people,
    assigned: {},
    stopRequested: false,
    escalating: false,
    closing: false,
    closed: false,
    kept: new Set(),
    answers: [],
    ...more,
    steps: steps.map((planned) => {
      const said = states[planned.id];
      return atDesk(whole(planned), typeof said === 'string' ? said : (said?.state ?? 'pending'), typeof said === 'object' ? said : {});
    }),
  };
}
const BEGUN = { identify: 'done', inventory: 'confirmed', begin: 'done' } as const;
const begun = (states: Parameters<typeof desk>[0] = {}, more: Partial<Desk> = {}): Desk => desk({ ...BEGUN, ...states }, more);

describe('who may say yes', () => {
  it('to nothing before the inventory is confirmed, whatever the answer attests', () => {
    const before = desk({ identify: 'done', inventory: 'waiting' });
    for (const id of ['workflow.wf1', 'webhook.acme/intake', 'crm.hub-7', 'crm.hub-7.credentials', 'vapi.asst-1', 'routes', 'completion', 'cleanup'])
      expect([id, judgeConfirm(before, confirm(id, { choice: 'delete', note: 'n' }))?.rule]).toEqual([id, 'not-asked']);
    expect(judgeConfirm(before, confirm('inventory', { plan: HASH }))).toBeNull();
    // Void it is not confirmed either.
    expect(judgeConfirm(desk({ inventory: 'pending' }), confirm('workflow.wf1', { choice: 'delete' }))?.rule).toBe('not-asked');
  });
  it('to the inventory only with the plan that was looked at', () => {
    const before = desk({ identify: 'done', inventory: 'waiting' });
    expect(judgeConfirm(before, confirm('inventory'))).toMatchObject({ rule: 'stale-plan', explanation: expect.stringContaining('say in "plan"') as string });
    expect(judgeConfirm(before, confirm('inventory', { plan: 'sha256:old' }))).toMatchObject({
      rule: 'stale-plan',
      explanation: expect.stringContaining('is now sha256:plan') as string,
    });
    expect(judgeConfirm(begun(), confirm('workflow.wf1', { choice: 'delete', plan: 'sha256:old' }))?.rule).toBe('stale-plan');
  });
  it('early, once it is begun: to what is done, and to what is chosen; never to what is to be seen', () => {
    expect(judgeConfirm(begun(), confirm('workflow.wf1', { choice: 'delete' }))).toBeNull();
    expect(judgeConfirm(begun(), confirm('webhook.acme/intake'))).toBeNull();
    expect(judgeConfirm(begun(), confirm('vapi.asst-1', { note: 'deleted' }))).toBeNull();
    expect(judgeConfirm(begun(), confirm('crm.hub-7.credentials', { note: 'revoked' }))).toBeNull();
    for (const id of ['routes', 'cleanup', 'completion']) expect(judgeConfirm(begun(), confirm(id, { note: 'n' }))?.rule).toBe('not-asked');
    for (const id of ['routes', 'cleanup', 'completion']) expect(judgeConfirm(begun({ [id]: 'waiting' }), confirm(id, { note: 'n' }))).toBeNull();
  });
  it('with what is asked for: a choice, a note', () => {
    for (const choice of [null, 'archive', 'Delete']) expect(judgeConfirm(begun(), confirm('workflow.wf1', { choice }))?.rule).toBe('choice');
    for (const choice of ['deactivate', 'delete', 'done']) expect(judgeConfirm(begun(), confirm('workflow.wf1', { choice }))).toBeNull();
    for (const id of ['vapi.asst-1', 'crm.hub-7.credentials', 'calendar.cal-7.credentials']) expect(judgeConfirm(begun(), confirm(id))?.rule).toBe('evidence');
    expect(judgeConfirm(begun({ cleanup: 'waiting' }), confirm('cleanup', { note: 'WHY' }))?.rule).toBe('evidence');
    const strays = desk(BEGUN, {}, planOf([one('n8n-workflow', 'stray', { requests: [] })]));
    expect(judgeConfirm(strays, confirm('unlisted.workflow.stray', { choice: 'not-ours' }))?.rule).toBe('evidence');
    expect(judgeConfirm(strays, confirm('unlisted.workflow.stray', { choice: 'delete' }))?.rule).toBe('choice');
    expect(judgeConfirm(strays, confirm('unlisted.workflow.stray', { choice: 'removed' }))).toBeNull();
  });
  it('once: the same again changes nothing, another choice is refused until it is taken back', () => {
    const approved = { by: 'ben', choice: 'delete' };
    for (const state of ['pending', 'running', 'done'] as const) {
      const said = begun({ 'workflow.wf1': { state, approved } });
      expect(judgeConfirm(said, confirm('workflow.wf1', { choice: 'delete' }))).toBeNull();
      expect(judgeConfirm(said, confirm('workflow.wf1', { choice: 'deactivate' }))).toEqual({
        rule: 'already-answered',
        explanation: 'ben has confirmed workflow.wf1 with delete already; decline it first to choose anew',
      });
    }
    // What failed is decided about, and not said once more.
    const failing = begun({ 'workflow.wf1': { state: 'failed', approved } });
    expect(judgeConfirm(failing, confirm('workflow.wf1', { choice: 'delete' }))).toMatchObject({
      explanation: expect.stringMatching(/is failed; decide/) as string,
    });
    for (const state of ['skipped', 'failed', 'unknown', 'running'] as const)
      expect(judgeConfirm(begun({ 'workflow.wf1': state }), confirm('workflow.wf1', { choice: 'delete' }))?.rule).toBe('already-answered');
    expect(judgeConfirm(begun({ 'workflow.wf1': 'declined' }), confirm('workflow.wf1', { choice: 'delete' }))).toMatchObject({
      rule: 'already-answered',
      explanation: expect.stringContaining('decide') as string,
    });
  });
  it('by an operator, and where four eyes are asked for not by the starter', () => {
    expect(judgeConfirm(begun(), confirm('workflow.wf1', { choice: 'delete', by: 'eve', role: 'operator' }))?.rule).toBe('role');
    expect(judgeConfirm(begun(), confirm('workflow.wf1', { choice: 'delete', by: 'mallory' }))?.rule).toBe('unknown-person');
    const steps = planOf(ALL, true);
    for (const id of ['inventory', 'routes', 'cleanup', 'completion', 'crm.hub-7.credentials']) {
      const asked = desk({ ...BEGUN, [id]: 'waiting' }, {}, steps);
      expect([id, judgeConfirm(asked, confirm(id, { plan: HASH, note: 'n' }))?.rule]).toEqual([id, 'four-eyes']);
      expect([id, judgeConfirm(asked, confirm(id, { plan: HASH, note: 'n', by: 'ben' }))]).toEqual([id, null]);
      expect([id, judgeDecline(asked, decline(id))?.rule]).toEqual([id, 'four-eyes']);
    }
  });
  it('never to what Backout itself decides', () => {
    for (const id of ['identify', 'begin', 'failure', 'remnants', 'complete', 'vapi.asst-1.look', 'credential.acme-hubspot'])
      expect([id, judgeConfirm(begun(), confirm(id))?.rule]).toEqual([id, 'not-asked']);
    expect(judgeConfirm(begun({}, { closed: true }), confirm('workflow.wf1', { choice: 'delete' }))?.rule).toBe('closed');
  });
});

describe('who may say no', () => {
  it('to every question, as long as nothing was done', () => {
    for (const id of [
      'inventory',
      'workflow.wf1',
      'webhook.acme/intake',
      'crm.hub-7',
      'calendar.cal-7',
      'vapi.asst-1',
      'crm.hub-7.credentials',
      'routes',
      'cleanup',
      'completion',
    ]) {
      const asked = id === 'inventory' ? desk({ inventory: 'waiting' }) : begun({ [id]: 'waiting' });
      expect([id, judgeDecline(asked, decline(id))]).toEqual([id, null]);
      expect([id, judgeDecline(asked, decline(id, { by: 'eve' }))?.rule]).toEqual([id, 'role']);
    }
    expect(judgeDecline(desk({ inventory: 'waiting' }), decline('workflow.wf1'))?.rule).toBe('not-asked');
    // What was approved and not carried out, or has failed, is taken back by it.
    for (const state of ['pending', 'failed'] as const)
      expect(judgeDecline(begun({ 'workflow.wf1': { state, approved: { by: 'ben', choice: 'delete' } } }), decline('workflow.wf1'))).toBeNull();
    for (const state of ['running', 'done', 'already', 'skipped'] as const)
      expect(judgeDecline(begun({ 'workflow.wf1': state }), decline('workflow.wf1'))?.rule).toBe('already-answered');
    expect(judgeDecline(begun({ 'vapi.asst-1': 'confirmed' }), decline('vapi.asst-1'))?.rule).toBe('already-answered');
    expect(judgeDecline(begun(), decline('remnants'))?.rule).toBe('not-asked');
  });
});

describe('who decides', () => {
  it('[000 Rollback Failure] what waits, or has failed, may be left once it is begun, also after a failure', () => {
    for (const id of ['workflow.wf1', 'webhook.acme/intake', 'crm.hub-7', 'vapi.asst-1', 'vapi.asst-1.look', 'routes']) {
      for (const state of ['waiting', 'pending', 'failed', 'declined', 'unknown'] as const)
        expect([id, state, judgeDecide(begun({ [id]: state }), decide(id, 'skip'))]).toEqual([id, state, null]);
      expect([id, judgeDecide(desk({ inventory: 'waiting' }), decide(id, 'skip'))?.rule]).toEqual([id, 'not-failed']);
      // FAILED, it is to be begun again.
      expect([id, judgeDecide(begun({ begin: 'pending', failure: 'done' }), decide(id, 'skip'))]).toEqual([id, null]);
      expect([id, judgeDecide(begun({ [id]: 'done' }), decide(id, 'skip'))?.rule]).toEqual([id, 'not-failed']);
    }
    // Neither a due date nor an analysis is asked for here.
    expect(judgeDecide(begun({ 'workflow.wf1': 'failed' }), decide('workflow.wf1', 'retry'))).toBeNull();
  });
  it('nothing mandatory is left out', () => {
    for (const id of ['identify', 'inventory', 'begin', 'failure', 'cleanup', 'remnants', 'completion', 'complete'])
      expect([id, judgeDecide(begun({ [id]: 'failed' }), decide(id, 'skip'))?.rule]).toEqual([id, 'not-optional']);
    const strays = desk({ ...BEGUN, 'unlisted.workflow.stray': 'declined' }, {}, planOf([one('n8n-workflow', 'stray', { requests: [] })]));
    expect(judgeDecide(strays, decide('unlisted.workflow.stray', 'skip'))?.rule).toBe('not-optional');
    expect(judgeDecide(begun({ completion: 'waiting' }), decide('completion', 'skip'))?.rule).toBe('not-failed');
    // The client may not give his credentials up: that is documented.
    expect(judgeDecide(begun({ 'crm.hub-7.credentials': 'waiting' }), decide('crm.hub-7.credentials', 'skip'))).toBeNull();
  });
  it('done by hand is said of what failed, and of nothing that only a person answers', () => {
    expect(judgeDecide(begun({ 'workflow.wf1': 'failed' }), decide('workflow.wf1', 'done'))).toBeNull();
    expect(judgeDecide(begun({ 'vapi.asst-1.look': 'failed' }), decide('vapi.asst-1.look', 'done'))).toBeNull();
    expect(judgeDecide(begun({ 'vapi.asst-1': 'declined' }), decide('vapi.asst-1', 'done'))?.rule).toBe('not-failed');
    for (const action of ['retry', 'done'] as const)
      expect(judgeDecide(begun({ 'workflow.wf1': 'waiting' }), decide('workflow.wf1', action))?.rule).toBe('not-failed');
  });
  it('an operator, and closing only what stands still', () => {
    expect(judgeDecide(begun({ 'workflow.wf1': 'failed' }), decide('workflow.wf1', 'skip', { by: 'eve' }))?.rule).toBe('role');
    expect(judgeDecide(begun({ 'workflow.wf1': 'waiting' }), decide(null, 'close'))?.rule).toBe('not-stopped');
    expect(judgeDecide(begun({ 'workflow.wf1': 'failed' }), decide(null, 'close', { by: 'eve' }))?.rule).toBe('role');
    for (const state of ['failed', 'declined', 'unknown'] as const) expect(judgeDecide(begun({ 'workflow.wf1': state }), decide(null, 'close'))).toBeNull();
    expect(judgeDecide(begun({}, { stopRequested: true }), decide(null, 'close'))).toBeNull();
    expect(judgeDecide(begun({}, { closed: true }), decide(null, 'close'))?.rule).toBe('closed');
    expect(judgeDecide(begun(), decide('workflow.nope', 'skip'))?.rule).toBe('unknown-step');
  });
});
