/**
 * The failing-cycle runbook [001], clause by clause, where a rule of ours carries it: the plan, the levels, the target, the checklist and the gates. What only a whole rollback can
 * show (freezing, telling, drifting) is named the same way in test/e2e/incident-*.test.ts.
 */
import { describe, expect, it } from 'vitest';
import { judgeConfirm, judgeDecide, judgeDecline } from '../../model/answers.ts';
import { CHECKLIST, type IncidentPlace } from '../../model/incident.ts';
import { forbiddenStep, type Plan, type PlannedStep } from '../../model/plan.ts';
import { changes, EFFECTS } from '../../model/policy.ts';
import { RULE_SOURCE } from '../../model/refusal.ts';
import { Progress } from '../../workflows/progress.ts';
import { YAML } from './given.ts';
import { confirm, decide, desk, HOLDER, ids, no, PEOPLE, planned, refused, stepOf, steps } from './runbook-given.ts';

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

describe('[001 step 2] the last known good version', () => {
  it('[001 step 2] is named, or found and then named; one that was never healthy here is refused', async () => {
    const to = async (version: string) => (await planned({ components: ['web'], targets: { web: version } })).plan.targets[0]?.to;
    expect(await to('v1.0.0')).toBe('v1.0.0');
    expect(await to('last-healthy')).toBe('v1.0.0');
    await expect(to('v7.7.7')).rejects.toMatchObject(refused('target-known', /never recorded as deployed in production; the last healthy one is v1\.0\.0$/));
    await expect(to('v1.1.0')).rejects.toMatchObject(refused('target-known-healthy', /^v1\.1\.0 of web is not known healthy/));
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
    expect(warnings).toContain(
      'web: the migrations are at 42, and were at 41 with v1.0.0; level 1 leaves the schema as it is, level 2 undoes what was recorded',
    );
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
    for (const junk of [`${two}=`, `${two}= `, `${two}`, `${two}!`, `=${two}`, 'https://ci/8'])
      expect(sign([`${one}=https://ci/7`, junk])?.rule, junk).toBe('evidence');
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
    // Of credentials where any is configured: without one nobody can have a log of its rotation.
    expect(choices('l3Rollback')).toEqual([['done'], ['done'], both]);
    const data = { databases: [], chains: [], credentials: [{ name: 'payments', byHand: null }] };
    expect(stepOf('cleanup.credentials', { kind: 'l3Rollback', data }).demands?.choices).toEqual(['done']);
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
      const row = confirm(`cleanup.${area}`, HOLDER[owner] ?? '', { choice: 'done', evidence });
      expect(judgeConfirm(desk({ declaration: 'confirmed' }), row)).toBeNull();
      // While it is only proposed it would be signed for nothing.
      expect(judgeConfirm(desk({ declaration: 'waiting' }), row)?.rule).toBe('not-asked');
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

describe('[001 Communication Templates]', () => {
  it('[001 Communication Templates] the declaration and the updates go out beside the walk, which no channel holds up', () => {
    expect(ids(steps().filter((step) => step.beside))).toEqual(['communication.declared', 'communication.update']);
    expect(ids(steps()).indexOf('communication.declared')).toBe(ids(steps()).indexOf('freeze.github') + 1);
  });
});
