/**
 * The failing-cycle runbook [001], clause by clause, where a rule of ours carries it: plan, judges, conditions, roles, checklist. What only
 * a whole rollback can show (freezing, telling, drifting) is named the same way in test/e2e/incident-*.test.ts.
 */
import { describe, expect, it } from 'vitest';
import { draft } from '../../activities/draft.ts';
import { answerTo } from '../../model/answer-to.ts';
import { judgeAssign, judgeConfirm, judgeDecide, judgeDecline, judgeEscalate, judgeResume, type Desk, type No } from '../../model/answers.ts';
import { unfreezeConditions } from '../../model/conditions.ts';
import { CHECKLIST, incidentSteps, type IncidentPlace } from '../../model/incident.ts';
import { parseMessage, type Confirm, type Decide, type StartInput } from '../../model/input.ts';
import { forbiddenStep, whole, type Plan, type PlannedStep, type PlanStep, type Target } from '../../model/plan.ts';
import { changes, EFFECTS, POLICIES } from '../../model/policy.ts';
import { RULE_SOURCE, type Rule } from '../../model/refusal.ts';
import { holdersOf, INCIDENT_ROLES, roleTitle } from '../../model/roles.ts';
import type { Answer, Condition, StepState } from '../../model/state.ts';
import { Progress } from '../../workflows/progress.ts';
import { atDesk, dependencies, deployment, firstAttempt, Paper, START, YAML } from './given.ts';

const target = (component: string): Target => ({ component, from: 'v1.1.0', to: 'v1.0.0', config: 'sha256:c' });
const PLACE: IncidentPlace = {
  kind: 'l1Rollback',
  cause: 'reliability-regression',
  targets: ['api', 'worker', 'web'].map(target),
  waves: [['api', 'worker'], ['web']],
  configured: new Set(['api', 'web']),
  parity: true,
  gates: [
    { name: 'ci-pr', covers: 'ci' },
    { name: 'orders', covers: 'smoke' },
    { name: 'emission', covers: 'evidence' },
  ],
  carriers: ['github'],
  review: true,
  fourEyes: () => false,
};
const steps = (more: Partial<IncidentPlace> = {}): PlannedStep[] => incidentSteps({ ...PLACE, ...more }).map(whole);
const ids = (list: readonly PlanStep[]): string[] => list.map((step) => step.id);
const stepOf = (id: string, more: Partial<IncidentPlace> = {}): PlannedStep => steps(more).find((step) => step.id === id)!;

const PEOPLE = {
  carol: { roles: ['incident-commander'] },
  abe: { roles: ['api-lead'] },
  ivy: { roles: ['infrastructure-lead'] },
  dora: { roles: ['data-evidence-lead'] },
  sam: { roles: ['security-lead'] },
  cleo: { roles: ['communications-owner'] },
  dan: { roles: ['operator'], deputyFor: ['incident-commander'] },
  sid: { roles: ['developer'], deputyFor: ['security-lead'] },
};
const HOLDER: Readonly<Record<string, string>> = Object.fromEntries(Object.entries(PEOPLE).map(([name, { roles }]) => [roles[0], name]));
/** Everything before the unfreeze has passed. */
const READY: Readonly<Record<string, StepState>> = Object.fromEntries(
  steps().map((step): [string, StepState] => {
    if (step.id === 'unfreeze') return [step.id, 'waiting'];
    if (step.beside) return [step.id, step.id === 'communication.declared' ? 'done' : 'pending'];
    if (step.id === 'communication.recovery' || step.operation === 'lift') return [step.id, 'pending'];
    return [step.id, step.mode === 'manual' ? 'confirmed' : 'done'];
  }),
);
const desk = (states: Readonly<Record<string, StepState>> = {}, more: Partial<Desk> = {}, place: Partial<IncidentPlace> = {}): Desk => ({
  policy: POLICIES.l1Rollback,
  planHash: 'sha256:plan',
  starter: 'ci',
  people: PEOPLE,
  assigned: {},
  stopRequested: false,
  closed: false,
  kept: new Set(),
  answers: [],
  steps: steps(place).map((step) => atDesk(step, states[step.id] ?? 'pending')),
  ...more,
});
const confirm = (step: string, by: string, more: Partial<Confirm> = {}): Confirm => ({
  step,
  by,
  role: null,
  plan: null,
  choice: null,
  data: null,
  note: null,
  evidence: [],
  ...more,
});
const decide = (step: string | null, action: Decide['action'], more: Partial<Decide> = {}): Decide => ({
  step,
  by: 'carol',
  role: null,
  action,
  reason: 'x',
  analysis: null,
  due: null,
  evidence: [],
  ...more,
});
const answer = (name: string, step: string, by: string, more: Record<string, unknown> = {}): Answer => ({
  name,
  step,
  by,
  proof: 'self-declared',
  at: '2026-11-21T03:00:00.000Z',
  ...more,
});
const no = (rule: Rule, explanation: RegExp | string): No => ({
  rule,
  explanation: typeof explanation === 'string' ? explanation : (expect.stringMatching(explanation) as string),
});
/** What the judge is given comes through the parser, as it does in a rollback. */
const parsed = (message: Record<string, unknown>): Confirm => {
  const found = parseMessage('confirm', message);
  if ('error' in found) throw new Error(found.error);
  return found.value;
};

const BOTH = {
  deployments: ['web', 'api'].flatMap((component) => [
    deployment('v1.1.0', {
      component,
      deploymentId: `bad-${component}`,
      commit: 'bad',
      platformRef: 'build-8',
      status: 'in_progress',
      healthCheckPassed: false,
    }),
    deployment('v1.0.0', { component, deploymentId: `good-${component}`, commit: 'c0ffee', platformRef: 'build-7' }),
  ]),
};
const INCIDENT: StartInput = {
  ...START,
  components: ['web', 'api'],
  targets: { web: 'v1.0.0', api: 'v1.0.0' },
  cause: 'reliability-regression',
  incident: 'INC-42',
};
/** Planned from the configuration, over a platform on paper and what was kept at the verification. */
const planned = (more: Partial<StartInput> = {}, yaml = YAML, kept: unknown = null) => {
  const deps = dependencies(new Paper(), BOTH, yaml);
  const snapshot = (id: string) => Promise.resolve(id.startsWith('good-') ? { config: { kept }, at: '2026-11-21T10:00:00.000Z' } : null);
  return draft('l1Rollback', { ...INCIDENT, ...more }, null, { ...deps, store: { ...deps.store, snapshot } }, firstAttempt());
};
const refused = (rule: Rule, explanation: RegExp) => ({ rule, message: expect.stringMatching(explanation) as string });

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
      const { json } = answerTo(step, 'sha256:plan');
      for (const by of Object.keys(PEOPLE)) {
        const said = judgeConfirm(desk({ ...READY, [step.id]: 'waiting' }), parsed({ ...json, by, role: step.owner }));
        if (by === HOLDER[step.owner ?? '']) expect(said, `${by} for ${step.id}`).toBeNull();
        else expect(said?.rule, `${by} for ${step.id}`).toBe('role');
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

describe('[001 Freeze Scope]', () => {
  it.each(['ci-failed-in-critical-area', 'reliability-regression', 'security-or-tenancy-risk', 'evidence-uncertain'])(
    '[001 Freeze Scope] %s is a trigger',
    async (cause) => {
      await expect(planned({ cause })).resolves.toHaveProperty('planHash');
    },
  );
  it.each(['smoke-failed', 'friday'])('[001 Freeze Scope] %s is none', async (cause) => {
    await expect(planned({ cause })).rejects.toMatchObject(refused('cause', /the causes are ci-failed-in-critical-area, reliability-regression, /));
  });
  it('[001 Freeze Scope] CI that failed counts in a critical area that cannot be resolved within its window: both are stated', () => {
    const cause = 'ci-failed-in-critical-area';
    const waiting = desk({ declaration: 'waiting' }, {}, { cause });
    const declare = (data: unknown) => judgeConfirm(waiting, confirm('declaration', 'carol', { data }));
    for (const data of [null, 'checkout', [], {}])
      expect(declare(data)).toEqual(no('declaration', 'declaration needs "criticalArea" and "missedWindow" in "data", each a text'));
    expect(declare({ criticalArea: 'checkout', missedWindow: ' ' })).toEqual(no('declaration', /^declaration needs "missedWindow" in "data"/));
    expect(declare({ criticalArea: 7, missedWindow: 'two hours' })).toEqual(no('declaration', /^declaration needs "criticalArea" in "data"/));
    expect(declare({ criticalArea: 'checkout', missedWindow: 'two hours' })).toBeNull();
    expect(RULE_SOURCE.declaration).toBe('[001 step 1]');
    expect(judgeConfirm(desk({ declaration: 'waiting' }), confirm('declaration', 'carol'))).toBeNull();
  });
  it('[001 Freeze Scope] the freeze comes once it is declared, before anything else is told or changed; its own register cannot be left out', () => {
    const all = steps();
    expect(ids(all).slice(0, 3)).toEqual(['declaration', 'freeze', 'freeze.github']);
    expect(all[0]?.effect).toBe('record');
    expect(stepOf('freeze')).toMatchObject({ effect: 'freeze', mandatory: true, wave: stepOf('freeze.github').wave });
    expect(judgeDecide(desk({ freeze: 'failed' }), decide('freeze', 'skip', { due: '2026-12-01' }))).toEqual(
      no('not-skippable', 'freeze cannot be skipped; retry it, or close the rollback, which keeps the freeze'),
    );
  });
  it('[001 Freeze Scope] a platform that cannot be frozen is a known rest, signed', () => {
    const failed = desk({ 'freeze.github': 'failed' });
    expect(judgeDecide(failed, decide('freeze.github', 'skip'))).toEqual(no('accepted-risk', /^skipping freeze\.github accepts a risk: sign it/));
    expect(judgeDecide(failed, decide('freeze.github', 'skip', { due: '2026-12-01' }))).toBeNull();
  });
});

describe('[001 Rollback Scope Levels]', () => {
  it.each(EFFECTS.filter(changes))('[001 Rollback Scope Levels] L1 is code and configuration: %s', (effect) => {
    const step: PlannedStep = { ...stepOf('api.deploy'), id: 'api.more', effect };
    const allowed = ['freeze', 'deploy', 'config'].includes(effect);
    expect(forbiddenStep('l1Rollback', [...steps(), step])).toBe(allowed ? undefined : step);
  });
  it('[001 Rollback Scope Levels] there is no other level yet: it is refused, and nothing changes', () => {
    for (const to of ['l2Rollback', 'l3Rollback'] as const)
      expect(judgeEscalate(desk(), { to, by: 'carol', reason: 'x' })).toEqual(no('kind-not-built', /nothing was changed, and the freeze stays$/));
  });
  it('the time target is 15 minutes for the whole, and each component has its own', async () => {
    const { plan } = await planned();
    expect(plan.targetSeconds).toBe(900);
    expect(plan.targets.map((one) => [one.component, one.targetSeconds])).toEqual([
      ['web', 120],
      ['api', undefined],
    ]);
  });
});

describe('[001 step 1] declare', () => {
  it('[001 step 1] the Incident Commander declares, before anything, and it cannot be left out', () => {
    expect(stepOf('declaration')).toMatchObject({ mode: 'manual', owner: 'incident-commander', mandatory: true });
    expect(judgeConfirm(desk({ declaration: 'waiting' }), confirm('declaration', 'abe'))?.rule).toBe('role');
    expect(judgeDecline(desk({ declaration: 'waiting' }), { step: 'declaration', by: 'carol', role: null, reason: 'a false alarm' })).toBeNull();
    expect(judgeDecline(desk({ declaration: 'waiting' }), { step: 'declaration', by: 'abe', role: null, reason: 'x' })?.rule).toBe('role');
  });
  it('an incident has a name, the Workflow Id is made of it', async () => {
    await expect(planned({ incident: null })).rejects.toMatchObject(refused('incident', /needs its name in "incident"/));
    await expect(planned({ incident: '../x' })).rejects.toMatchObject(refused('incident', /letters, digits, dots/));
  });
});

const FACTS = YAML.replace('        targetSeconds: 120\n', '        facts: { migrations: { command: [echo, "42"] }, cutover: { command: [echo, now] } }\n');

describe('[001 step 2] identify', () => {
  it('[001 step 2] commit, build and deployment, migration state and cutover point: now and then', async () => {
    const { plan, warnings } = await planned({}, FACTS, { facts: { migrations: '41', cutover: 'offset 7' }, marks: [], openapi: null, problems: [] });
    // A comparison is of now and then.
    // oxlint-disable-next-line unicorn/no-thenable
    const row = (what: string, now: string | null, then: string | null) => ({ what, now, then });
    expect(plan.targets[0]?.comparison).toEqual([
      row('commit', 'bad', 'c0ffee'),
      row('build', 'build-8', 'build-7'),
      row('deployment', 'bad-web', 'good-web'),
      row('migrations', '42', '41'),
      row('cutover', null, 'offset 7'),
    ]);
    expect(warnings).toContain('web: the migrations are at 42, and were at 41 with v1.0.0; this level does not touch the schema');
    const same = await planned({}, FACTS, { facts: { migrations: '42' }, marks: [], openapi: null, problems: [] });
    expect(same.warnings.join()).not.toMatch(/migrations are at 42/);
  });
  it('a fact that cannot be read is said, and nothing is made up', async () => {
    const { plan, warnings } = await planned({}, FACTS.replace('[echo, "42"]', '["false"]'));
    expect(warnings).toContain('migrations of web could not be read: false ended with 1');
    expect(plan.targets[0]?.comparison?.map((one) => one.what)).toEqual(['commit', 'build', 'deployment']);
  });
  it('[001 step 2] the target is confirmed by the Incident Commander, bound to the plan that was looked at', () => {
    const waiting = desk({ target: 'waiting' });
    expect(judgeConfirm(waiting, confirm('target', 'carol'))).toEqual(no('stale-plan', /^target is bound to the plan: say in "plan" the hash/));
    expect(judgeConfirm(waiting, confirm('target', 'carol', { plan: 'sha256:old' }))).toEqual(no('stale-plan', /the plan is now sha256:plan/));
    expect(judgeConfirm(waiting, confirm('target', 'carol', { plan: 'sha256:plan' }))).toBeNull();
    expect(judgeConfirm(desk(), confirm('target', 'carol', { plan: 'sha256:plan' }))?.rule).toBe('not-asked');
    expect(stepOf('target').mandatory).toBe(true);
  });
  it('[001 step 2] nobody goes on without having looked: components are taken there', () => {
    expect(judgeDecide(desk({ identify: 'failed' }), decide('identify', 'skip', { due: '2026-12-01' }))?.rule).toBe('not-skippable');
  });
  it('[001 step 2] nothing changes before it, but the freeze', () => {
    const before = steps().slice(0, ids(steps()).indexOf('target'));
    expect(ids(before.filter((step) => changes(step.effect)))).toEqual(['freeze', 'freeze.github']);
  });
});

describe('[001 step 3] execute', () => {
  it('[001 steps 3a, 3b] configuration, then code, by their waves: what does not depend on each other goes together', () => {
    const moved = steps().filter((step) => step.operation === 'config' || step.operation === 'deploy');
    expect(moved.map(({ id, wave }) => [id, wave === stepOf('api.deploy').wave])).toEqual([
      ['api.config', false],
      ['web.config', false],
      ['api.deploy', true],
      ['worker.deploy', true],
      ['web.deploy', false],
    ]);
    expect(stepOf('web.deploy').wave).toBeUndefined();
  });
  it('[001 step 3] the order is declared in the configuration', async () => {
    const order = async (after: string) => {
      const { plan } = await planned({}, YAML.replace('adapter: paper }', `adapter: paper${after} }`).replace('targetSeconds: 120', 'targetSeconds: 60'));
      return plan.steps.filter((step) => step.operation === 'deploy').map(({ id, wave }) => `${id}${wave === undefined ? '' : ' together'}`);
    };
    expect(await order('')).toEqual(['web.deploy together', 'api.deploy together']);
    expect(await order(', after: [web]')).toEqual(['web.deploy', 'api.deploy']);
    const first = YAML.replace('targetSeconds: 120', 'after: [api]');
    expect(ids((await planned({}, first)).plan.steps).filter((id) => id.endsWith('.deploy'))).toEqual(['api.deploy', 'web.deploy']);
    await expect(planned({}, first.replace('adapter: paper }', 'adapter: paper, after: [web] }'))).rejects.toMatchObject(
      refused('configuration', /^the components web, api wait for each other: mend "after" in backout\.yaml$/),
    );
    // One that is not part of this rollback is not waited for.
    expect(ids((await planned({ components: ['web'], targets: { web: 'v1.0.0' } }, first)).plan.steps)).toContain('web.deploy');
  });
  it('[001 step 3a] parity of critical endpoints is a gate where a document is configured', async () => {
    expect(ids((await planned()).plan.steps)).not.toContain('parity');
    const openapi = 'openapi: { url: "http://127.0.0.1:1/openapi.json", critical: ["GET /orders"] }';
    expect((await planned({}, YAML.replace('targetSeconds: 120', openapi))).plan.steps.find((step) => step.id === 'parity')).toMatchObject({ mode: 'gate' });
  });
});

describe('[001 Step 3 Checklist] mandatory cleanup validation', () => {
  it('[001 Step 3 Checklist] three rows: area, action set, owner and evidence as the table has them', () => {
    expect(CHECKLIST.map(({ area, owner, actions, items }) => ({ area, owner, actions: actions.join('; '), items }))).toEqual([
      {
        area: 'data',
        owner: 'data-evidence-lead',
        actions: 'revert unsafe schema and data changes; rebuild projections; re-verify tenant isolation',
        items: ['repair-notes', 'tenant-isolation-test'],
      },
      {
        area: 'evidence',
        owner: 'data-evidence-lead',
        actions: 'preserve the append-only log; annotate impacted records; verify hash-chain continuity',
        items: ['chain-verification', 'incident-links'],
      },
      {
        area: 'credentials',
        owner: 'security-lead',
        actions: 'revoke and rotate impacted credentials; re-verify scoped permissions',
        items: ['rotation-log', 'scope-verification'],
      },
    ]);
    for (const row of CHECKLIST)
      expect(stepOf(`cleanup.${row.area}`)).toMatchObject({ mode: 'manual', owner: row.owner, mandatory: true, demands: { items: row.items } });
  });
  it.each(CHECKLIST)('[001 Step 3 Checklist] $title demands its evidence, item by item', ({ area, owner, items }) => {
    const by = HOLDER[owner] ?? '';
    const sign = (evidence: readonly string[], choice: string | null = 'done') =>
      judgeConfirm(desk({ [`cleanup.${area}`]: 'waiting' }), confirm(`cleanup.${area}`, by, { choice, evidence, note: 'x' }));
    const [one, two] = items;
    expect(sign([])).toEqual(no('evidence', `cleanup.${area} demands evidence item by item; missing: ${one}=TEXT, link or file, ${two}=TEXT, link or file`));
    expect(sign([`${one}=https://ci/7`])).toEqual(no('evidence', new RegExp(`missing: ${two}=TEXT, link or file$`)));
    for (const junk of [`${two}=`, `${two}= `, `${two}`, `=${two}`, 'https://ci/8']) expect(sign([`${one}=https://ci/7`, junk])?.rule, junk).toBe('evidence');
    expect(sign([`${one}=https://ci/7?a=b`, `${two} = ok`])).toBeNull();
    expect(sign([`${one}=https://ci/7`, `${two}=ok`], null)).toEqual(no('choice', 'say in "choice" one of not-applicable, done'));
    expect(sign([`${one}=https://ci/7`, `${two}=ok`], 'later')).toEqual(no('choice', /, not later$/));
    expect(RULE_SOURCE.evidence).toBe('[001 step 3 checklist]');
  });
  it('a row outside the level is signed not-applicable, and why; one within it is not', () => {
    const choices = (kind: IncidentPlace['kind']) => CHECKLIST.map(({ area }) => stepOf(`cleanup.${area}`, { kind }).demands?.choices);
    const both = ['not-applicable', 'done'];
    expect(choices('l1Rollback')).toEqual([both, both, both]);
    expect(choices('l2Rollback')).toEqual([['done'], both, both]);
    expect(choices('l3Rollback')).toEqual([['done'], ['done'], ['done']]);
    const waiting = desk({ 'cleanup.data': 'waiting' });
    expect(judgeConfirm(waiting, confirm('cleanup.data', 'dora', { choice: 'not-applicable' }))).toEqual(
      no('evidence', 'say in "note" why cleanup.data is not-applicable'),
    );
    expect(judgeConfirm(waiting, confirm('cleanup.data', 'dora', { choice: 'not-applicable', note: 'no schema was touched' }))).toBeNull();
    const third = desk({ 'cleanup.data': 'waiting' }, {}, { kind: 'l3Rollback' });
    expect(judgeConfirm(third, confirm('cleanup.data', 'dora', { choice: 'not-applicable', note: 'x' }))?.rule).toBe('choice');
  });
  it('[001 Step 3 Checklist] a mandatory row is never accepted as risk', () => {
    for (const { area } of CHECKLIST)
      expect(judgeDecide(desk({ [`cleanup.${area}`]: 'declined' }), decide(`cleanup.${area}`, 'skip', { due: '2026-12-01' }))).toEqual(
        no('mandatory-row', `cleanup.${area} is a mandatory row of the cleanup checklist; it cannot be accepted as risk`),
      );
    expect(RULE_SOURCE['mandatory-row']).toBe('[001 step 3 checklist]');
  });
  it('answers of two leads may come early and in any order: rows attest what was done', () => {
    for (const { area, owner, items } of CHECKLIST) {
      const evidence = items.map((item) => `${item}=seen`);
      expect(judgeConfirm(desk(), confirm(`cleanup.${area}`, HOLDER[owner] ?? '', { choice: 'done', evidence }))).toBeNull();
    }
    expect(new Set([...CHECKLIST.map(({ area }) => stepOf(`cleanup.${area}`).wave), stepOf('ownership').wave]).size).toBe(1);
  });
  it('[001 Step 3 Checklist] once something was changed, no end leaves a row unanswered; before, there is nothing to clean up', () => {
    const close = decide(null, 'close');
    expect(judgeDecide(desk({ 'freeze.github': 'failed', freeze: 'done' }), close)).toBeNull();
    const changed = { 'api.deploy': 'done', 'web.deploy': 'failed', 'cleanup.credentials': 'confirmed' } as const;
    expect(judgeDecide(desk(changed), close)).toEqual(
      no('mandatory-row', /^the cleanup checklist is not answered: cleanup\.data \(data-evidence-lead\), cleanup\.evidence \(data-evidence-lead\);/),
    );
    for (const state of ['failed', 'unknown', 'already', 'skipped'] as const)
      expect(judgeDecide(desk({ 'api.config': state, health: 'failed' }), close)?.rule, state).toBe('mandatory-row');
    expect(judgeDecide(desk(changed, { kept: new Set(['cleanup.data', 'cleanup.evidence']) }), close)).toBeNull();
  });
  it('an early no is no answer to a row', () => {
    const progress = new Progress({ rollbackId: 'r', workflowId: 'l1Rollback/production/INC-42', runId: 'r', kind: 'l1Rollback', startedAtMs: 0 });
    const plan: Plan = { kind: 'l1Rollback', environment: 'production', tenant: null, incident: 'INC-42', targets: [], steps: steps(), targetSeconds: 900 };
    progress.adopt(plan, 'sha256:plan', { people: PEOPLE, remindAfterSeconds: 1, handOverAfterSeconds: 2, handOverTo: 'x' }, null);
    Object.assign(progress.step('api.deploy')!, { state: 'failed' });
    for (const { area } of CHECKLIST)
      progress.kept.set(`cleanup.${area}`, { kind: 'decline', message: { step: `cleanup.${area}`, by: 'dora', role: null, reason: 'not done' } });
    expect(judgeDecide(progress.desk(), decide(null, 'close'))?.rule).toBe('mandatory-row');
    for (const { area } of CHECKLIST) progress.kept.set(`cleanup.${area}`, { kind: 'confirm', message: confirm(`cleanup.${area}`, 'dora') });
    expect(judgeDecide(progress.desk(), decide(null, 'close'))).toBeNull();
  });
});

describe('[001 step 4] verification gates', () => {
  it('[001 step 4] health, critical smoke, the served version, parity, and the configured commands, all together, after everything that changes', () => {
    const all = steps();
    const gates = all.filter((step) => step.mode === 'gate' && step.id !== 'stability');
    expect(ids(gates)).toEqual(['health', 'smoke', 'served', 'parity', 'gate.ci-pr', 'gate.orders', 'gate.emission']);
    expect(new Set(gates.map((step) => step.wave)).size).toBe(1);
    expect(ids(all).indexOf('health')).toBeGreaterThan(all.findLastIndex((step) => step.effect === 'deploy'));
    expect(gates.every((step) => step.effect === 'read')).toBe(true);
  });
  it('[001 step 4] a check that nobody has configured is said', async () => {
    const missing = (name: string) => `no gate of production covers ${name}; [001 step 4] asks for one`;
    expect((await planned()).warnings).toEqual(expect.arrayContaining([missing('ci'), missing('evidence')]));
    const gates = '    gates: { ci-pr: { command: ["true"] }, emission: { command: ["true"], covers: evidence } }\n';
    expect((await planned({}, YAML + gates)).warnings.join()).not.toMatch(/covers/);
  });
  it('[001 step 4] results are recorded for review where a repository is configured, after the checks and the rows; without one it is said', async () => {
    const order = ids(steps());
    expect(order.indexOf('review')).toBeGreaterThan(order.indexOf('ownership'));
    expect(order.indexOf('review')).toBeLessThan(order.indexOf('unfreeze'));
    expect(ids(steps({ review: false }))).not.toContain('review');
    expect((await planned()).warnings).toContain('no repository for review is configured: [001 step 4] asks to record verification evidence in docs/review/');
  });
  it('[001 step 4] a red gate passes as a known baseline blocker only with where it is tracked and proof that it failed before', () => {
    const failed = desk({ 'gate.ci-pr': 'failed' });
    const skip = (evidence: string[]) => judgeDecide(failed, decide('gate.ci-pr', 'skip', { evidence }));
    for (const evidence of [[], ['link=https://t/7'], ['proof=https://ci/1'], ['link=https://t/7', 'proof='], ['https://t/7', 'https://ci/1']])
      expect(skip(evidence)).toEqual(no('baseline-blocker', /^a red gate\.ci-pr passes as a known baseline blocker, with "evidence" \["link=/));
    expect(skip(['link=https://t/7', 'proof=https://ci/1'])).toBeNull();
    expect(RULE_SOURCE['baseline-blocker']).toBe('[001 step 4]');
  });
  it('[001 step 5] or as an accepted risk, with a date; health, smoke and what is served only so', () => {
    for (const gate of ['gate.ci-pr', 'health', 'smoke', 'served', 'parity'])
      expect(judgeDecide(desk({ [gate]: 'failed' }), decide(gate, 'skip', { due: '2026-12-01' }))).toBeNull();
    for (const due of ['tomorrow', '2026', '01.12.2026', '2026-12-01 or so', '2026-13-01', '2026-12-32'])
      expect(judgeDecide(desk({ health: 'failed' }), decide('health', 'skip', { due })), due).toEqual(no('accepted-risk', /has a due date, such as/));
    expect(judgeDecide(desk({ health: 'failed' }), decide('health', 'skip', { due: '2026-12-01T10:00:00Z' }))).toBeNull();
    for (const gate of ['health', 'smoke', 'served', 'parity'])
      expect(judgeDecide(desk({ [gate]: 'failed' }), decide(gate, 'skip', { evidence: ['link=x', 'proof=y'] }))?.rule, gate).toBe('accepted-risk');
    expect(judgeDecide(desk({ health: 'failed' }), decide('health', 'skip', { by: 'sam', due: '2026-12-01' }))?.rule).toBe('role');
    expect(RULE_SOURCE['accepted-risk']).toBe('[001 step 5]');
  });
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
    expect(unfreeze({ [step]: state })).toEqual(no('unfreeze-conditions', `nothing is unfrozen yet: "${condition}" is not met (${step} is ${state})`));
    expect(RULE_SOURCE['unfreeze-conditions']).toBe('[001 step 5]');
  });
  it('[001 step 5] all that is missing is named at once', () => {
    expect(unfreeze({ stability: 'failed', smoke: 'failed', ownership: 'waiting', 'communication.update': 'waiting' })?.explanation).toMatch(
      /stable" is not met .*signed off" is not met .*work" is not met .*sent" is not met/,
    );
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

describe('[001 Communication Templates]', () => {
  it('[001 Communication Templates] the declaration and the updates go out beside the walk, which no channel holds up', () => {
    expect(ids(steps().filter((step) => step.beside))).toEqual(['communication.declared', 'communication.update']);
    expect(ids(steps()).indexOf('communication.declared')).toBe(ids(steps()).indexOf('freeze.github') + 1);
  });
});

describe('the very words of an answer', () => {
  it('are accepted as they stand, once the name is filled in', () => {
    for (const cause of ['reliability-regression', 'ci-failed-in-critical-area'])
      for (const step of steps({ cause }).filter((one) => one.mode === 'manual')) {
        const { json, flags } = answerTo(step, 'sha256:plan');
        expect(parseMessage('confirm', { ...json })).toEqual({ error: '"by" is still YOU; put your own name there' });
        const by = HOLDER[step.owner ?? ''] ?? '';
        expect(judgeConfirm(desk({ ...READY, [step.id]: 'waiting' }, {}, { cause }), parsed({ ...json, by })), `${step.id}${flags}`).toBeNull();
      }
  });
});
