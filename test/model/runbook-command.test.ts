/**
 * The failing-cycle runbook [001], clause by clause, where a rule of ours carries it: who may say what, and what it takes to unfreeze. What only a whole rollback can
 * show (freezing, telling, drifting) is named the same way in test/e2e/incident-*.test.ts.
 */
import { describe, expect, it } from 'vitest';
import { answerTo } from '../../model/answer-to.ts';
import { judgeConfirm, judgeDecide, judgeDecline, judgeResume, type Desk } from '../../model/answers.ts';
import { judgeAssign } from '../../model/authority.ts';
import { unfreezeConditions } from '../../model/conditions.ts';
import { parseMessage } from '../../model/input.ts';
import { RULE_SOURCE } from '../../model/refusal.ts';
import { holdersOf, INCIDENT_ROLES, roleTitle } from '../../model/roles.ts';
import type { Answer, Condition, StepState } from '../../model/state.ts';
import { YAML } from './given.ts';
import { answer, confirm, decide, desk, HOLDER, ids, no, parsed, PEOPLE, planned, READY, stepOf, steps } from './runbook-given.ts';

/** What stands for an answer in the printed words, replaced by one. */
const filled = (json: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  JSON.parse(JSON.stringify(json).replaceAll('…', 'seen').replaceAll('"WHY"', '"it was untouched"')) as Record<string, unknown>; // As it was.

const LEFT_OUT = '. What was left out is not taken up again here: stop it and close it, which keeps the freeze, and start it again for the same incident';

describe('[001 Ownership]', () => {
  it('[001 Ownership] six roles, by their names', () => {
    expect(INCIDENT_ROLES).toEqual({
      'incident-commander': 'Incident Commander',
      'api-lead': 'API Lead',
      'infrastructure-lead': 'Infrastructure Lead',
      'data-evidence-lead': 'Data and Evidence Lead',
      'security-lead': 'Security Lead',
      'communications-owner': 'Communications Owner',
    });
    expect(roleTitle('api-lead')).toBe('API Lead');
    expect(roleTitle('toString')).toBe('toString');
  });
  it('[001 Ownership] every step has its owner', () => {
    expect(Object.groupBy(steps(), (step) => step.owner ?? '')).toEqual({
      'incident-commander': ids2('declaration freeze freeze.github identify target gate.ci-pr ownership unfreeze lift.github lift'),
      'api-lead': ids2('api.deploy worker.deploy web.deploy smoke served parity gate.orders'),
      'infrastructure-lead': ids2('api.config web.config health stability'),
      'data-evidence-lead': ids2('gate.emission cleanup.data cleanup.evidence review'),
      'security-lead': ids2('cleanup.credentials'),
      'communications-owner': ids2('communication.declared communication.recovery communication.update'),
    });
  });
  it('[001 Ownership] a question is answered by the holder of its role and by nobody else, whoever he says he is', () => {
    for (const step of steps().filter((one) => one.mode === 'manual')) {
      const json = filled(answerTo(step, 'sha256:plan').json);
      for (const by of Object.keys(PEOPLE)) {
        const said = judgeConfirm(desk({ ...READY, [step.id]: 'waiting' }), parsed({ ...json, by, role: step.owner }));
        expect(said?.rule, `${by} for ${step.id}`).toBe(by === HOLDER[step.owner ?? ''] ? undefined : 'role');
      }
      expect(judgeConfirm(desk({ ...READY, [step.id]: 'waiting' }), parsed({ ...json, by: 'eve' }))?.rule).toBe('unknown-person');
    }
  });
  it('[001 Ownership] a step that failed is decided about by its owner, or by the Incident Commander who coordinates decisions', () => {
    const failed = desk({ smoke: 'failed' });
    expect(judgeDecide(failed, decide('smoke', 'retry', { by: 'abe' }))).toBeNull();
    expect(judgeDecide(failed, decide('smoke', 'retry'))).toBeNull();
    expect(judgeDecide(failed, decide('smoke', 'retry', { by: 'ivy' }))).toEqual(no('role', /^ivy does not have the role api-lead; it is held by abe$/));
    for (const by of ['abe', 'dan']) expect(judgeDecide(failed, decide(null, 'close', { by }))?.rule).toBe('role');
    expect(judgeResume(desk({}, { stopRequested: true }), { by: 'abe', reason: 'x', analysis: null })?.rule).toBe('role');
  });
  it('a role has one holder: who takes it over replaces him, and he may answer no longer', () => {
    const handed = desk({ target: 'waiting' }, { assigned: { 'incident-commander': ['dan'] } });
    const plan = 'sha256:plan';
    expect(holdersOf(handed, 'incident-commander')).toEqual(['dan']);
    expect(judgeConfirm(handed, confirm('target', 'dan', { plan }))).toBeNull();
    expect(judgeConfirm(handed, confirm('target', 'carol', { plan }))).toEqual(
      no('role', 'carol does not have the role incident-commander; it is held by dan'),
    );
    expect(judgeDecide(desk({ smoke: 'failed' }, { assigned: handed.assigned }), decide(null, 'close'))?.rule).toBe('role');
    expect(judgeAssign(handed, { role: 'api-lead', to: 'dan', by: 'carol', reason: 'x' })?.rule).toBe('role');
  });
  it('a deputy is refused and told how; he takes the role by assigning it to himself, and only his', () => {
    expect(judgeConfirm(desk({ target: 'waiting' }), confirm('target', 'dan', { plan: 'sha256:plan' }))).toEqual(
      no('role', /held by carol; dan is a deputy and may take it over: assign incident-commander to dan, with a reason$/),
    );
    const assign = { role: 'incident-commander', to: 'dan', by: 'dan', reason: 'carol is on a plane' };
    expect(judgeAssign(desk(), assign)).toBeNull();
    expect(judgeAssign(desk(), { ...assign, to: 'eve' })?.rule).toBe('role');
    expect(judgeAssign(desk(), { ...assign, role: 'api-lead' })?.rule).toBe('role');
    expect(judgeAssign(desk(), { ...assign, by: 'sid', to: 'sid' })?.rule).toBe('role');
    expect(judgeAssign(desk(), { ...assign, role: 'security-lead', by: 'sid', to: 'sid' })).toBeNull();
  });
  it('a role is handed on by its holder or by the Incident Commander; an operator commands nothing', () => {
    const assign = { role: 'api-lead', to: 'sid', by: 'abe', reason: 'x' };
    expect(judgeAssign(desk(), assign)).toBeNull();
    expect(judgeAssign(desk(), { ...assign, by: 'carol' })).toBeNull();
    expect(judgeAssign(desk(), { ...assign, by: 'ivy' })?.rule).toBe('role');
    const people = { ...PEOPLE, olga: { roles: ['operator'] } };
    expect(judgeAssign(desk({}, { people }), { ...assign, role: 'incident-commander', to: 'olga', by: 'olga' })).toEqual(
      no('role', 'olga does not have the role incident-commander; it is held by carol'),
    );
    // Where nobody leads an operator may name who does: otherwise nobody could.
    const { carol: _, ...leaderless } = people;
    expect(judgeAssign(desk({}, { people: leaderless }), { ...assign, role: 'incident-commander', to: 'abe', by: 'olga' })).toBeNull();
  });
  it('after the hand-over time a deputy of that role may answer beside its holder, and nobody else', () => {
    const base = desk({ ...READY, 'cleanup.credentials': 'waiting' });
    const handed: Desk = {
      ...base,
      steps: base.steps.map((one) => (one.id === 'cleanup.credentials' ? { ...one, handedTo: 'the deputy of security-lead' } : one)),
    };
    const row = { choice: 'not-applicable', note: 'no credential was touched' };
    expect(judgeConfirm(base, confirm('cleanup.credentials', 'sid', row))?.rule).toBe('role');
    for (const by of ['sid', 'sam']) expect(judgeConfirm(handed, confirm('cleanup.credentials', by, row))).toBeNull();
    for (const by of ['dan', 'carol', 'abe']) expect(judgeConfirm(handed, confirm('cleanup.credentials', by, row))?.rule).toBe('role');
  });
  it('four eyes: who started it may not answer, also where he leads', () => {
    const place = { fourEyes: (step: string) => step === 'target' || step === 'unfreeze' };
    expect(ids(steps(place).filter((step) => step.fourEyes))).toEqual(['target', 'unfreeze']);
    for (const step of ['target', 'unfreeze']) {
      const waiting = desk({ ...READY, [step]: 'waiting' }, { starter: 'carol', assigned: {} }, place);
      expect(judgeConfirm(waiting, confirm(step, 'carol', { plan: 'sha256:plan' }))).toEqual(
        no('four-eyes', `carol started this rollback; somebody else has to answer ${step}`),
      );
      expect(judgeDecline(waiting, { step, by: 'carol', role: null, reason: 'x' })?.rule).toBe('four-eyes');
      expect(judgeConfirm({ ...waiting, starter: 'ci' }, confirm(step, 'carol', { plan: 'sha256:plan' }))).toBeNull();
    }
  });
  it('who is missing is said in the plan', async () => {
    const people = 'people:\n  abe: { roles: [api-lead] }\n';
    expect((await planned({}, YAML + people)).warnings).toContain('nobody has the role incident-commander: assign it to somebody');
    expect((await planned()).warnings).toContain('no people are configured: anyone may declare, confirm and unfreeze, self-declared');
    expect((await planned({}, `${YAML}people:\n  carol: { roles: [incident-commander] }\n`)).warnings.join()).not.toMatch(/people|nobody/);
  });
  function ids2(names: string): unknown {
    return names.split(' ').map((id) => expect.objectContaining({ id }) as unknown);
  }
});

describe('[001 step 5] controlled unfreeze', () => {
  const conditions = (states: Readonly<Record<string, StepState>>, answers: readonly Answer[] = []): Condition[] =>
    unfreezeConditions(desk({ ...READY, ...states }).steps, answers);
  const unmet = (states: Readonly<Record<string, StepState>>) => conditions(states).filter((one) => !one.met);
  const unfreeze = (states: Readonly<Record<string, StepState>>, data: unknown = null) =>
    judgeConfirm(desk({ ...READY, ...states }), confirm('unfreeze', 'carol', { data }));

  it('[001 step 5] four conditions, by their words, each met by something that is named', () => {
    expect(conditions({}, [answer('confirm', 'ownership', 'carol')])).toEqual([
      { condition: 'rollback target is stable', met: true, by: 'api.config, web.config, api.deploy, worker.deploy, web.deploy, stability are done' },
      { condition: 'critical checks pass or accepted risk is signed off', met: true, by: '7 checks passed, 3 cleanup rows signed' },
      { condition: 'ownership is re-established for next-cycle work', met: true, by: 'confirmed by carol' },
      { condition: 'communication updates are sent', met: true, by: 'communication.declared, communication.update: nothing is overdue' },
    ]);
    expect(unfreeze({})).toBeNull();
  });
  it.each([
    ['rollback target is stable', 'stability', 'pending'],
    ['rollback target is stable', 'stability', 'failed'],
    ['rollback target is stable', 'web.deploy', 'skipped'],
    ['rollback target is stable', 'api.deploy', 'failed'],
    ['critical checks pass or accepted risk is signed off', 'smoke', 'failed'],
    ['critical checks pass or accepted risk is signed off', 'gate.ci-pr', 'pending'],
    ['critical checks pass or accepted risk is signed off', 'cleanup.credentials', 'waiting'],
    ['critical checks pass or accepted risk is signed off', 'cleanup.data', 'declined'],
    ['ownership is re-established for next-cycle work', 'ownership', 'waiting'],
    ['communication updates are sent', 'communication.declared', 'pending'],
    ['communication updates are sent', 'communication.declared', 'running'],
    ['communication updates are sent', 'communication.declared', 'failed'],
    ['communication updates are sent', 'communication.update', 'waiting'],
    ['communication updates are sent', 'communication.update', 'running'],
    ['communication updates are sent', 'communication.update', 'failed'],
  ] as const)('[001 step 5] %s: not while %s is %s, which is named', (condition, step, state) => {
    expect(unmet({ [step]: state })).toEqual([{ condition, met: false, by: `${step} is ${state}` }]);
    expect(unfreeze({ [step]: state })).toEqual(
      no('unfreeze-conditions', `nothing is unfrozen yet: "${condition}" is not met (${step} is ${state})${step === 'web.deploy' ? LEFT_OUT : ''}`),
    );
    expect(RULE_SOURCE['unfreeze-conditions']).toBe('[001 step 5]');
  });
  it('[001 step 5] all that is missing is named at once', () => {
    expect(unfreeze({ stability: 'failed', smoke: 'failed', ownership: 'waiting', 'communication.update': 'waiting' })?.explanation).toMatch(
      /stable" is not met .*signed off" is not met .*work" is not met .*sent" is not met/,
    );
  });
  it('[001 step 5] a target without recorded configuration is as stable as it can be; one whose configuration was left out is not', () => {
    expect(conditions({ 'api.config': 'skipped' })[0]).toEqual({
      condition: 'rollback target is stable',
      met: true,
      by: 'web.config, api.deploy, worker.deploy, web.deploy, stability are done; nothing was recorded for api.config',
    });
    expect(conditions({ 'api.config': 'skipped' }, [answer('decide', 'api.config', 'ivy', { action: 'skip', due: '2026-12-01' })])[0]).toMatchObject({
      met: false,
      by: 'api.config is skipped',
    });
  });
  it('[001 step 5] accepted risk is signed off, and by whom is said; a check that nobody has configured did not pass', () => {
    const signed = [
      answer('decide', 'smoke', 'abe', { action: 'retry' }),
      answer('decide', 'gate.ci-pr', 'carol', { action: 'retry' }),
      answer('decide', 'gate.ci-pr', 'carol', { action: 'skip', due: '2026-12-01' }),
    ];
    expect(conditions({ 'gate.ci-pr': 'skipped', smoke: 'skipped' }, signed)[1]).toEqual({
      condition: 'critical checks pass or accepted risk is signed off',
      met: true,
      by: '5 checks passed, 3 cleanup rows signed; gate.ci-pr signed off by carol; nothing was checked by smoke',
    });
  });
  it('[001 step 5] told by hand counts as told, with where it was said', () => {
    expect(unmet({ 'communication.declared': 'confirmed' })).toEqual([]);
    const failed = desk({ 'communication.declared': 'failed' });
    expect(judgeDecide(failed, decide('communication.declared', 'done', { by: 'cleo' }))).toEqual(no('evidence', /a link to what was sent/));
    expect(judgeDecide(failed, decide('communication.declared', 'done', { by: 'cleo', evidence: ['https://chat/7'] }))).toBeNull();
    expect(
      judgeDecide(desk({ 'communication.update': 'failed' }), decide('communication.update', 'done', { by: 'cleo', evidence: ['https://chat/7'] })),
    ).toBeNull();
    expect(judgeDecide(failed, decide('communication.declared', 'skip', { by: 'cleo', due: '2026-12-01' }))?.rule).toBe('not-skippable');
  });
  it('[001 step 5] stakeholders hear of it before anything is lifted, the register last, and none of it is left out', () => {
    const order = ids(steps());
    expect(order.slice(order.indexOf('stability'), -1)).toEqual(['stability', 'unfreeze', 'communication.recovery', 'lift.github', 'lift']);
    for (const id of ['stability', 'unfreeze', 'communication.recovery', 'lift']) expect(stepOf(id).mandatory, id).toBe(true);
    expect(judgeDecide(desk({ stability: 'failed' }), decide('stability', 'skip', { due: '2026-12-01' }))?.rule).toBe('not-skippable');
  });
  it('[001 step 5] an early yes is none', () => {
    expect(judgeConfirm(desk({ ...READY, unfreeze: 'pending' }), confirm('unfreeze', 'carol'))?.rule).toBe('not-asked');
  });
  it('[001 Template C] what is unblocked is chosen among the scopes that there are', () => {
    expect(unfreeze({}, { scopes: ['merges', 'claims'] })).toBeNull();
    for (const scopes of [[], ['everything'], ['merges', 'meals'], 'merges', null, 7, [7]])
      expect(unfreeze({}, { scopes }), JSON.stringify(scopes)).toEqual(
        no('choice', 'say in "data" {"scopes": […]} what is unfrozen, at least one of merges, claims, promotions, deployments; without it, everything is'),
      );
    expect(unfreeze({}, { else: 1 })).toBeNull();
  });
  it('[001 step 5] ownership for the next cycle and for the review is stated, by name', () => {
    const waiting = desk({ ownership: 'waiting' });
    expect(judgeConfirm(waiting, confirm('ownership', 'carol', { data: { nextCycleOwner: 'abe' } }))).toEqual(
      no('evidence', 'ownership needs "reviewOwner" in "data", each a text'),
    );
    expect(judgeConfirm(waiting, confirm('ownership', 'carol', { data: { nextCycleOwner: 'abe', reviewOwner: 'ivy' } }))).toBeNull();
  });
});

describe('the very words of an answer', () => {
  it('are accepted once they are filled in, and refused as they are printed', () => {
    for (const cause of ['reliability-regression', 'ci-failed-in-critical-area'])
      for (const step of steps({ cause }).filter((one) => one.mode === 'manual')) {
        const { json, flags } = answerTo(step, 'sha256:plan');
        expect(parseMessage('confirm', { ...json })).toEqual({ error: '"by" is still YOU; put your own name there' });
        const by = HOLDER[step.owner ?? ''] ?? '';
        const at = desk({ ...READY, [step.id]: 'waiting' }, {}, { cause });
        expect(judgeConfirm(at, parsed({ ...filled(json), by })), `${step.id}${flags}`).toBeNull();
        const asks = step.demands?.data ?? step.demands?.items ?? step.demands?.note;
        const rule = judgeConfirm(at, parsed({ ...json, by }))?.rule ?? null;
        expect(asks === undefined ? [null] : ['evidence', 'declaration'], `${step.id}${flags}`).toContain(rule);
      }
  });
});
