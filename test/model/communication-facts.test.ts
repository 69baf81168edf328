/** The facts that people are told, read from the state of an L1 at every stage. */
import { describe, expect, it } from 'vitest';
import { factsOf, type Facts, type MoreFacts } from '../../model/communications.ts';
import { failure } from '../../model/failure.ts';
import { incidentSteps, type IncidentPlace } from '../../model/incident.ts';
import { whole, type Compared, type Target } from '../../model/plan.ts';
import type { Answer, RollbackState, StepState, StepView } from '../../model/state.ts';

const FROZEN = ['merges', 'claims', 'promotions', 'deployments'];
const AT = '2026-11-21T03:10:42.000Z';
// A comparison is of now and then.
// oxlint-disable-next-line unicorn/no-thenable
const compared = (what: string, now: string, then: string): Compared => ({ what, now, then });
const TARGETS: readonly Target[] = [
  {
    component: 'web',
    from: 'v2',
    to: 'v1',
    config: 'sha256:c',
    comparison: [compared('commit', 'bad', 'c0ffee'), compared('build', 'b8', 'b7'), compared('deployment', 'dep-8', 'dep-7')],
  },
];
const PLACE: IncidentPlace = {
  kind: 'l1Rollback',
  cause: 'ci-failed-in-critical-area',
  targets: TARGETS,
  waves: [['web']],
  configured: new Set(['web']),
  parity: false,
  gates: [{ name: 'ci-pr', covers: 'ci' }],
  carriers: [],
  review: false,
  fourEyes: () => false,
};
const MORE: MoreFacts = { at: AT, product: 'Portarium', severity: 'P1', impact: 'orders fail', contact: 'dan', notes: null, risks: [] };
const answer = (name: string, step: string, detail: Record<string, unknown> = {}, by = 'carol'): Answer => ({
  name,
  step,
  by,
  proof: 'self-declared',
  at: AT,
  ...detail,
});

/** An L1 whose steps are in the given states, in the order of its plan. */
function state(states: Readonly<Record<string, StepState>>, more: Partial<RollbackState> = {}): RollbackState {
  const steps = incidentSteps(PLACE)
    .map(whole)
    .map((step, index): StepView => {
      const word = states[step.id] ?? 'pending';
      return {
        ...step,
        state: word,
        attempts: 1,
        startedAt: AT,
        endedAt: word === 'pending' ? null : `2026-11-21T03:${String(10 + index)}:00.000Z`,
        receipt: step.id === 'freeze' && word === 'done' ? { after: { scopes: FROZEN } } : null,
        failure: word === 'failed' ? failure('PlatformFailed', 'the registry answered 503') : null,
      };
    });
  return {
    rollbackId: 'r',
    id: 'l1Rollback/production/INC-42',
    runId: 'r',
    kind: 'l1Rollback',
    environment: 'production',
    components: ['web'],
    tenant: null,
    incident: 'INC-42',
    trigger: { type: 'verification', cause: 'ci-failed-in-critical-area', reason: 'checkout is red', by: 'ci', at: AT },
    state: 'running',
    outcome: null,
    planHash: 'sha256:p',
    targets: TARGETS,
    clock: { targetSeconds: 900, machineSeconds: 1, humanSeconds: 1, breached: false },
    steps,
    waiting: [],
    answers: [],
    remains: [],
    refusals: [],
    warnings: [],
    stopped: null,
    incidentCommand: {
      level: 1,
      declared: { by: 'carol', at: AT, criticalArea: 'checkout', missedWindow: '2 h' },
      roles: { 'incident-commander': ['carol'] },
      frozen: FROZEN,
      conditions: [],
      nextUpdateAt: '2026-11-21T03:40:00.000Z',
    },
    record: { entries: 1, head: null, behind: false },
    ...more,
  };
}
const DECLARED: Record<string, StepState> = { declaration: 'confirmed', freeze: 'done', 'communication.declared': 'done', identify: 'already' };
const PUT_BACK: Record<string, StepState> = { ...DECLARED, target: 'confirmed', 'web.config': 'already', 'web.deploy': 'done' };
const CHECKED: Record<string, StepState> = { ...PUT_BACK, health: 'done', smoke: 'done', served: 'done', 'gate.ci-pr': 'done' };
const SIGNED: Record<string, StepState> = {
  ...CHECKED,
  'cleanup.data': 'confirmed',
  'cleanup.evidence': 'confirmed',
  'cleanup.credentials': 'confirmed',
  ownership: 'confirmed',
  stability: 'done',
};
const facts = (states: Readonly<Record<string, StepState>>, more: Partial<RollbackState> = {}, given: Partial<MoreFacts> = {}): Facts =>
  factsOf(state(states, more), { ...MORE, ...given });

describe('facts of a state', () => {
  it('know who, where, why and what', () => {
    expect(facts(DECLARED)).toMatchObject({
      at: AT,
      product: 'Portarium',
      incident: 'INC-42',
      environment: 'production',
      level: 'L1',
      trigger: 'CI fails in a critical area and cannot be mended in time (area: checkout; missed window: 2 h): checkout is red',
      severity: 'P1',
      impact: 'orders fail',
      contact: 'dan',
      commander: 'carol',
      freezeScopes: FROZEN,
      nextUpdateAt: '2026-11-21T03:40:00.000Z',
      targets: [{ component: 'web', from: 'v2', to: 'v1', commit: 'c0ffee', build: 'b7', deployment: 'dep-7', inPlace: false }],
    });
    expect(facts(PUT_BACK).targets[0]?.inPlace).toBe(true);
  });

  it('know nothing that nobody has said', () => {
    const bare = state({ declaration: 'waiting' }, { incident: null });
    const { incidentCommand: _, ...recorded } = bare;
    expect(factsOf(recorded, { ...MORE, severity: null, impact: null, contact: null })).toMatchObject({
      incident: 'INC-42',
      level: 'L1',
      commander: null,
      freezeScopes: [],
      unfreezeScopes: [],
      nextUpdateAt: null,
      completedAt: null,
      reviewOwner: null,
      severity: null,
    });
    const { product: __, ...rest } = MORE;
    expect(factsOf(recorded, rest).product).toBe('the product');
  });

  it('know from the receipt of the freeze what was frozen, and from the answers who declared, where the workflow cannot be asked', () => {
    const { incidentCommand, ...recorded } = state(DECLARED, { answers: [answer('confirm', 'declaration')] });
    expect(factsOf(recorded, MORE)).toMatchObject({ commander: 'carol', freezeScopes: FROZEN, unfreezeScopes: FROZEN });
    const { incidentCommand: _, ...lifted } = state({ ...SIGNED, unfreeze: 'confirmed', lift: 'done' });
    expect(factsOf(lifted, MORE)).toMatchObject({ freezeScopes: [], unfreezeScopes: FROZEN });
    expect(incidentCommand?.frozen).toEqual(FROZEN);
  });

  it('take what the sender says before what the state says', () => {
    const given = facts(
      DECLARED,
      {},
      { nextUpdateAt: null, freezeScopes: ['merges'], unfreezeScopes: ['claims'], risks: ['the queue is long'], notes: 'a note' },
    );
    expect(given).toMatchObject({ nextUpdateAt: null, freezeScopes: ['merges'], unfreezeScopes: ['claims'], risks: ['the queue is long'], notes: 'a note' });
    expect(given.remaining).toEqual(['the queue is long']);
  });

  it('tell what is done, by whom it was confirmed, what is going on and what comes', () => {
    const given = facts(
      { ...PUT_BACK, health: 'running', smoke: 'running', 'cleanup.data': 'confirmed', 'communication.update': 'waiting' },
      { answers: [answer('confirm', 'target'), answer('confirm', 'cleanup.data', { choice: 'not-applicable' }, 'sue')] },
    );
    expect(given.done).toEqual(
      expect.arrayContaining([
        'Put web back to v1',
        'Look again at every component and take it (it was so already)',
        'The Incident Commander confirms the target of this plan (confirmed by carol)',
        expect.stringMatching(/^Data rollback and cleanup: .* \(not-applicable by sue\)$/),
      ]),
    );
    expect(given.inProgress).toEqual(['Every component starts and is healthy', 'The critical smoke tests pass']);
    expect(given.next[0]).toBe('Every component serves its target');
    expect([...given.next, ...given.inProgress].join()).not.toMatch(/Stakeholders/);
    expect(facts({ ...DECLARED, target: 'waiting' }).inProgress).toEqual([
      'The Incident Commander confirms the target of this plan (waiting for incident-commander)',
    ]);
  });

  it('count as risk: what failed, is not known, was declined, left out or not undone, a stop, a missed target, warnings', () => {
    const risky = (states: Record<string, StepState>, more: Partial<RollbackState> = {}): readonly string[] => facts({ ...PUT_BACK, ...states }, more).risks;
    expect(risky({})).toEqual([]);
    expect(risky({ health: 'failed' }, { stopped: 'health failed' })).toEqual(['Every component starts and is healthy: failed: the registry answered 503']);
    expect(risky({ 'web.deploy': 'unknown' })).toEqual(['Put web back to v1: its result is not known']);
    expect(risky({ target: 'declined' })).toEqual(['The Incident Commander confirms the target of this plan: declined']);
    expect(risky({ 'web.config': 'irreversible' })).toEqual(['Set the drifted configuration of web back: cannot be undone']);
    const skip = { reason: 'known', due: '2026-12-01', evidence: ['link=https://wiki/1'] };
    expect(risky({ 'gate.ci-pr': 'skipped' }, { answers: [answer('decide', 'gate.ci-pr', { action: 'skip', ...skip })] })).toEqual([
      'ci-pr passes: risk accepted by carol, due 2026-12-01; link=https://wiki/1; known',
    ]);
    expect(risky({ 'gate.ci-pr': 'skipped' })).toEqual(['ci-pr passes: left out']);
    expect(risky({}, { remains: [{ artifact: 'api', reason: 'not attempted', owner: 'api-lead' }] })).toEqual(['api is not undone: not attempted (api-lead)']);
    expect(risky({}, { stopped: 'stopped by ana: wait' })).toEqual(['it is stopped: stopped by ana: wait']);
    expect(risky({}, { clock: { targetSeconds: 900, machineSeconds: 901, humanSeconds: 0, breached: true } })).toEqual(['the time target of 900 s was missed']);
    expect(risky({}, { warnings: ['web has no health check', 'web has no health check'] })).toEqual(['web has no health check']);
  });

  it('sum the checks up, and name those that did not pass', () => {
    expect(facts(DECLARED).verification).toEqual(expect.arrayContaining(['0 of 5 checks passed', 'ci-pr passes: not run yet']));
    expect(
      facts({ ...CHECKED, 'gate.ci-pr': 'skipped', stability: 'running' }, { answers: [answer('decide', 'gate.ci-pr', { reason: 'known' })] }).verification,
    ).toEqual([
      '3 of 5 checks passed (health, smoke, served)',
      'ci-pr passes: risk accepted by carol; known',
      'The target stays in place, healthy and frozen: running',
    ]);
    expect(facts(SIGNED).verification).toEqual(['5 of 5 checks passed (health, smoke, served, gate.ci-pr, stability)']);
  });

  it.each([
    ['Investigating', DECLARED],
    ['Identified', { ...DECLARED, target: 'confirmed' }],
    ['Identified', { ...CHECKED, smoke: 'failed' }],
    ['Monitoring', CHECKED],
    ['Monitoring', { ...CHECKED, 'gate.ci-pr': 'skipped' }],
    ['Resolved', { ...SIGNED, unfreeze: 'confirmed' }],
  ] as const)('stand at %s', (status, states) => {
    expect(facts(states).status).toBe(status);
  });

  it('at the end know when it was complete, what is unblocked, what stays frozen, and who looks back', () => {
    const given = facts(
      { ...SIGNED, unfreeze: 'confirmed' },
      {
        answers: [
          answer('confirm', 'ownership', { data: { nextCycleOwner: 'ben', reviewOwner: 'dan' } }),
          answer('confirm', 'unfreeze', { data: { scopes: ['merges', 'claims', 'bogus'] } }),
        ],
      },
    );
    const stability = state(SIGNED).steps.find((step) => step.id === 'stability');
    expect(given).toMatchObject({
      completedAt: stability?.endedAt,
      unfreezeScopes: ['merges', 'claims'],
      remaining: ['still frozen: promotions', 'still frozen: deployments'],
      reviewOwner: 'dan',
    });
    expect(facts({ ...SIGNED, unfreeze: 'confirmed' }).unfreezeScopes).toEqual(FROZEN);
    expect(facts({ ...SIGNED, stability: 'running' }).completedAt).toBeNull();
  });

  it('are small, whatever is in the state: they are part of a history', () => {
    const noise = 'x\n'.repeat(5_000);
    const given = facts(CHECKED, { warnings: Array.from({ length: 500 }, (_, index) => `${index} ${noise}`) }, { notes: noise, impact: noise, risks: [noise] });
    expect(JSON.stringify(given).length).toBeLessThan(40_000);
    expect(JSON.stringify(given)).not.toContain(String.raw`\n`);
  });
});
