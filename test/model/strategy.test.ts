/**
 * The rollback strategy [002], clause by clause, where a rule of ours carries it. What only a whole rollback can show (waiting, telling,
 * closing) is named the same way in test/e2e. Sections 1, 12 and 14 are about the document itself.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { draft } from '../../activities/draft.ts';
import { runStep } from '../../activities/step.ts';
import { judgeConfirm, judgeDecide } from '../../model/answers.ts';
import { failure } from '../../model/failure.ts';
import type { StartInput } from '../../model/input.ts';
import { COMPONENT_TYPES, deployRevertSteps, forbiddenStep, investigationStep, type Plan, type PlannedStep } from '../../model/plan.ts';
import { changes, EFFECTS, POLICIES } from '../../model/policy.ts';
import { RULE_SOURCE, type Rule } from '../../model/refusal.ts';
import { BLOCKED, PASSED } from '../../model/state.ts';
import { whyOf } from '../../workflows/details.ts';
import { Progress } from '../../workflows/progress.ts';
import { waitingOf } from '../../workflows/awaited.ts';
import { viewOf } from '../../workflows/view.ts';
import { dependencies, deployment, desk, firstAttempt, load, Paper, START, stepWork, hashOf, WEB, YAML, type Recorded } from './given.ts';

const KNOWN: Recorded = { deployments: [deployment('v1.1.0', { status: 'in_progress', healthCheckPassed: false }), deployment('v1.0.0')] };
const asked = (more: Partial<StartInput> = {}, recorded = KNOWN, paper = new Paper(), yaml = YAML) =>
  draft('deployRevert', { ...START, ...more }, null, dependencies(paper, recorded, yaml), firstAttempt());
const refused = (rule: Rule, explanation: RegExp) => ({ rule, message: expect.stringMatching(explanation) as string });

// A platform gets some seconds to settle; on paper they pass at each look.
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const plan: Plan = {
  kind: 'deployRevert',
  environment: 'production',
  tenant: null,
  incident: null,
  targets: [WEB],
  steps: deployRevertSteps([WEB], false),
  targetSeconds: 300,
};
function running(): Progress {
  const progress = new Progress({ rollbackId: 'r', workflowId: 'deployRevert/production/web', runId: 'r', kind: 'deployRevert', startedAtMs: 0 });
  progress.input = START;
  progress.adopt(plan, 'sha256:plan', { people: null, remindAfterSeconds: 300, handOverAfterSeconds: 1800, handOverTo: 'on-call-lead' }, null);
  return progress;
}
describe('[002 section 2] definition', () => {
  it('[002 section 2] a rollback goes from the version in place to a previously known, healthy version', async () => {
    const { plan: made } = await asked();
    expect(made.targets).toEqual([{ component: 'web', from: 'v1.1.0', to: 'v1.0.0', config: hashOf() }]);
  });
  it('[002 section 2] manual intervention is none: no step that changes anything is left to a person', () => {
    expect(deployRevertSteps([WEB], false).filter((step) => step.mode !== 'automatic' && changes(step.effect))).toEqual([]);
    expect(changes(investigationStep().effect)).toBe(false);
  });
});

describe('[002 section 3] when it is required', () => {
  it.each(['verification-failed', 'smoke-failed', 'health-degraded', 'definition-of-done-violated', 'behaviour-deviates'])(
    '[002 section 3] %s is a cause',
    async (cause) => {
      expect(RULE_SOURCE.cause).toBe('[002 section 3]');
      await expect(asked({ cause })).resolves.toHaveProperty('planHash');
    },
  );
  it('[002 section 3] another cause is none', async () => {
    await expect(asked({ cause: 'friday' })).rejects.toMatchObject(
      refused('cause', /^"friday" is no cause of a deployRevert; the causes are verification-failed, smoke-failed, /),
    );
  });
  it('[002 section 3] a late start without a justification owes an answer, and is never blocked', async () => {
    const detectedAt = new Date(Date.now() - 600_000).toISOString();
    expect((await asked({ detectedAt })).warnings).toEqual([
      `detected at ${detectedAt} and started 10 minutes later without a justification; an answer is owed [002 section 3]`,
    ]);
    expect((await asked({ detectedAt, delayJustification: 'the registry was down' })).warnings).toEqual([]);
    expect((await asked({ detectedAt: new Date().toISOString() })).warnings).toEqual([]);
    expect((await asked({ detectedAt: '2026-99-99T99:99:99Z' })).warnings).toEqual([
      'detectedAt 2026-99-99T99:99:99Z is no time, so it is not known whether the start was late [002 section 3]',
    ]);
  });
});

describe('[002 section 4] scope', () => {
  it('[002 section 4] storefronts, services, shop agents and the control plane', () => {
    expect([...COMPONENT_TYPES]).toEqual(['storefront', 'service', 'shop-agent', 'control-plane']);
  });
  it('[002 section 4] an external system can neither be configured nor named', async () => {
    await expect(asked({}, KNOWN, new Paper(), YAML.replace('type: storefront', 'type: external'))).rejects.toThrow(
      'backout.yaml:5: environments.production.components.web.type: expected one of',
    );
    await expect(asked({ components: ['stripe'], targets: {} })).rejects.toMatchObject(
      refused('unknown-component', /External systems cannot be rolled back \[002 section 4\]/),
    );
  });
  it('[002 section 4] persistent data is not corrected', () => {
    expect([...POLICIES.deployRevert.effects]).toEqual(['read', 'notify', 'record', 'deploy']);
  });
});

describe('[002 section 5] preconditions', () => {
  it('[002 section 5] the target is explicitly identified; a missing one is refused by naming the last healthy version', async () => {
    await expect(asked({ targets: {} })).rejects.toMatchObject(refused('target-named', /^no target is named for web; the last healthy one is v1\.0\.0$/));
  });
  it('[002 section 5] last-healthy is resolved to a name', async () => {
    expect((await asked({ targets: { web: 'last-healthy' } })).plan.targets[0]?.to).toBe('v1.0.0');
  });
  it('[002 section 5] a previous released version exists', async () => {
    const none = { deployments: [deployment('v1.1.0', { status: 'in_progress', healthCheckPassed: false })] };
    await expect(asked({ targets: { web: 'last-healthy' } }, none)).rejects.toMatchObject(
      refused('previous-release', /no earlier release that is known healthy/),
    );
    await expect(asked({ targets: {} }, none)).rejects.toMatchObject(refused('target-named', /no other version is recorded as healthy$/));
  });
  it('[002 section 5] where the one in place is the only healthy one, it is the target already, and is named', async () => {
    const there = asked({ targets: { web: 'last-healthy' } }, { deployments: [deployment('v1.0.0')] }, new Paper({ web: 'v1.0.0' }));
    await expect(there).rejects.toMatchObject(refused('previous-release', /^web is at v1\.0\.0 already, .*name it: --to web=v1\.0\.0$/));
  });
  it('[002 section 5] an unknown version is forbidden', async () => {
    await expect(asked({ targets: { web: 'v7.7.7' } })).rejects.toMatchObject(
      refused('target-known', /^v7\.7\.7 of web was never recorded as deployed in production; the last healthy one is v1\.0\.0$/),
    );
  });
  it.each([
    ['was only deployed', deployment('v0.9.0', { status: 'in_progress', healthCheckPassed: false })],
    ['failed its checks', deployment('v0.9.0', { status: 'failed', healthCheckPassed: false })],
    ['was rolled back', deployment('v0.9.0', { status: 'rolled_back', healthCheckPassed: true })],
    ['is called a success and was not checked', deployment('v0.9.0', { status: 'success', healthCheckPassed: false })],
  ])('[002 section 5] an unverified version is forbidden: one that %s', async (_, row) => {
    await expect(asked({ targets: { web: 'v0.9.0' } }, { deployments: [...KNOWN.deployments, row] })).rejects.toMatchObject(
      refused('target-known-healthy', /^v0\.9\.0 of web is not known healthy/),
    );
  });
  it('[002 section 5] a version that the platform no longer has cannot be gone back to', async () => {
    await expect(asked({}, KNOWN, new Paper({ web: 'v1.1.0' }, ['v1.1.0']))).rejects.toMatchObject(
      refused('target-in-place', /^paper no longer has v1\.0\.0 of web; it has v1\.1\.0$/),
    );
  });
});

describe('[002 section 6] execution guarantees', () => {
  it('[002 section 6] through CI/CD only: a component that demands an executor gets no other', async () => {
    const demanding = YAML.replace('        adapter: paper\n', '        adapter: paper\n        executor: github-actions\n');
    await expect(asked({}, KNOWN, new Paper(), demanding)).rejects.toMatchObject(
      refused('executor', /^web demands execution by github-actions, and its adapter is paper$/),
    );
    await expect(asked({}, KNOWN, new Paper(), demanding.replace('github-actions', 'paper'))).rejects.toMatchObject(
      refused('executor', /demands execution by paper/),
    );
  });
  it('[002 section 6] persistent data is not modified: nothing but the deploy changes anything', () => {
    expect(EFFECTS.filter((effect) => changes(effect) && POLICIES.deployRevert.effects.has(effect))).toEqual(['deploy']);
  });
  it('[002 section 6] deterministic: the same request makes the same plan', async () => {
    expect((await asked()).planHash).toBe((await asked()).planHash);
  });
  it('[002 section 6] deterministic: a plan acts only on the configuration it was made for, until a person decides', async () => {
    const paper = new Paper();
    const changed = YAML.replace('targetSeconds: 120', 'targetSeconds: 60');
    const outcome = await runStep(stepWork(), dependencies(paper, KNOWN, changed), firstAttempt());
    expect(outcome).toMatchObject({ state: 'failed', failure: { type: 'ConfigurationChanged' } });
    expect(paper.applied).toEqual([]);
    expect(await runStep(stepWork({ generation: 1 }), dependencies(paper, KNOWN, changed), firstAttempt())).toMatchObject({ state: 'done' });
  });
  it('[002 section 6] idempotent: what is at its target is left alone', async () => {
    const paper = new Paper({ web: 'v1.0.0' });
    expect(await runStep(stepWork(), dependencies(paper, KNOWN), firstAttempt())).toMatchObject({ state: 'already', failure: null });
    expect(paper.applied).toEqual([]);
  });
  it('[002 section 6] idempotent: one operation id over attempts, another only by a decision', async () => {
    const paper = new Paper();
    const deps = dependencies(paper, KNOWN);
    for (const number of [1, 2]) {
      paper.current['web'] = 'v1.1.0';
      await runStep(stepWork({ ordinal: number }), deps, firstAttempt({ number }));
    }
    paper.current['web'] = 'v1.1.0';
    await runStep(stepWork({ generation: 1 }), deps, firstAttempt());
    expect(paper.applied.map((call) => call.operationId)).toEqual(['r/web.deploy/0', 'r/web.deploy/0', 'r/web.deploy/1']);
  });
  it('[002 section 6] idempotent: an attempt that finds its predecessor’s entry says the same and touches nothing', async () => {
    const paper = new Paper();
    const deps = dependencies(paper, KNOWN);
    const first = await runStep(stepWork(), deps, firstAttempt());
    paper.current['web'] = 'v1.1.0';
    const second = await runStep(stepWork(), deps, firstAttempt({ number: 2 }));
    expect([first.state, second.state]).toEqual(['done', 'done']);
    expect(paper.applied).toHaveLength(1);
  });
  it('[002 section 6] idempotent: an attempt after a crash knows its own effect', async () => {
    const paper = new Paper({ web: 'v1.0.0' });
    paper.operationId = 'r/web.deploy/0';
    expect(await runStep(stepWork(), dependencies(paper, KNOWN), firstAttempt({ number: 2 }))).toMatchObject({ state: 'done' });
    expect(paper.applied).toEqual([]);
  });
});

describe('[002 section 7] time', () => {
  it('[002 section 7] R is at most 5 minutes', async () => {
    expect(POLICIES.deployRevert.targetSeconds).toBe(300);
    expect((await asked({}, KNOWN, new Paper(), YAML.replace('        targetSeconds: 120\n', ''))).plan.targetSeconds).toBe(300);
    expect((await asked()).plan.targetSeconds).toBe(120);
  });
  it('[002 section 7] after the deadline an attempt only inspects', async () => {
    const paper = new Paper();
    const late = stepWork({ deadlineAt: new Date(Date.now() - 1).toISOString() });
    expect(await runStep(late, dependencies(paper, KNOWN), firstAttempt())).toMatchObject({ state: 'failed', failure: { type: 'DeadlinePassed' } });
    expect(paper.applied).toEqual([]);
    paper.current['web'] = 'v1.0.0';
    expect(await runStep({ ...late, ordinal: 1 }, dependencies(paper, KNOWN), firstAttempt())).toMatchObject({ state: 'already' });
  });
  it('[002 section 7] a breach must be investigated: an investigation is asked of a person', () => {
    const progress = running();
    progress.breach(1);
    expect(waitingOf(progress).map((one) => [one.step, one.for])).toEqual([['investigation', 'operator']]);
    expect(RULE_SOURCE.finding).toBe('[002 section 7]');
  });
  it('[002 section 7] nor is it closed without a finding', () => {
    const close = { step: null, by: 'ana', role: null, action: 'close', reason: 'x', analysis: null, due: null, evidence: [] } as const;
    expect(judgeDecide(desk({ 'web.deploy': 'failed', investigation: 'waiting' }), close)?.rule).toBe('finding');
    const confirm = { step: 'investigation', by: 'ana', role: null, plan: null, choice: null, data: null, note: null, evidence: [] };
    expect(judgeConfirm(desk({ investigation: 'waiting' }), confirm)?.rule).toBe('finding');
  });
});

describe('[002 section 8] verification', () => {
  it('[002 section 8] every deploy is followed by smoke, health and the served version, and at the end an operator is asked', () => {
    expect(deployRevertSteps([WEB], false).map(({ id, mode, owner }) => ({ id, mode, owner }))).toEqual([
      { id: 'web.deploy', mode: 'automatic', owner: 'operator' },
      { id: 'web.smoke', mode: 'gate', owner: null },
      { id: 'web.health', mode: 'gate', owner: null },
      { id: 'web.served', mode: 'gate', owner: null },
      { id: 'availability', mode: 'manual', owner: 'operator' },
    ]);
  });
  it('[002 section 8] it is not complete until verification passes: nothing follows a gate that has not', () => {
    const progress = running();
    for (const id of ['web.deploy', 'web.smoke']) progress.step(id)!.state = 'done';
    for (const state of ['pending', 'running', 'waiting', 'failed', 'unknown', 'declined'] as const) {
      progress.step('web.health')!.state = state;
      expect(progress.next()?.planned.id).toBe('web.health');
    }
    progress.step('web.health')!.state = 'done';
    expect(progress.next()?.planned.id).toBe('web.served');
  });
  it('[002 section 8] a declined availability is a failed verification', () => {
    const progress = running();
    for (const step of progress.steps) step.state = 'done';
    Object.assign(progress.step('availability')!, { state: 'declined', failure: failure('Declined', 'ana declined availability: checkout still fails') });
    expect(progress.stopReason()).toBe('availability declined: ana declined availability: checkout still fails');
    expect(PASSED.has('declined')).toBe(false);
  });
  it('[002 section 8] what the platform answers is not believed: its state is read anew after the write', async () => {
    const paper = new Paper();
    paper.act = () => undefined;
    const outcome = await runStep(stepWork(), dependencies(paper, KNOWN), firstAttempt());
    expect(paper.applied).toHaveLength(1);
    expect(outcome).toMatchObject({
      state: 'failed',
      failure: { type: 'NotAtTarget', message: 'paper reported success, but web is at v1.1.0, not at v1.0.0' },
    });
  });
});

describe('[002 section 9] prohibited actions', () => {
  it.each([
    ['manipulates the database', 'schema'],
    ['touches data', 'data'],
    ['rotates a secret', 'credential'],
    ['changes configuration', 'config'],
    ['freezes', 'freeze'],
    ['takes evidence', 'evidence'],
    ['touches a tenant', 'tenant'],
  ] as const)('[002 section 9] a deployRevert cannot plan a step that %s', (_, effect) => {
    const step: PlannedStep = { ...deployRevertSteps([WEB], false)[0]!, id: 'web.patch', effect };
    expect(forbiddenStep('deployRevert', [...deployRevertSteps([WEB], false), step])).toBe(step);
    expect(RULE_SOURCE['effect-not-allowed']).toBe('[002 section 9]');
  });
  it('[002 section 9] what is planned passes that very check', () => {
    expect(forbiddenStep('deployRevert', [...deployRevertSteps([WEB], true), investigationStep()])).toBeUndefined();
  });
  it('[002 section 9] no partial rollback: skip is refused, and its end is never partial', () => {
    const skip = { step: 'web.deploy', by: 'ana', role: null, action: 'skip', reason: 'x', analysis: null, due: null, evidence: [] } as const;
    expect(judgeDecide(desk({ 'web.deploy': 'failed' }), skip)?.rule).toBe('no-partial');
    expect(RULE_SOURCE['no-partial']).toBe('[002 section 9]');
    expect(POLICIES.deployRevert.partialEnd).toBe(false);
  });
  it('[002 section 9] atomic per component: one that is half moved is failed, and its parts are named', async () => {
    const paper = new Paper();
    paper.act = () => {
      paper.parts = [
        { name: 'shop.example', version: 'v1.0.0' },
        { name: 'www.shop.example', version: 'v1.1.0' },
      ];
    };
    expect(await runStep(stepWork(), dependencies(paper, KNOWN), firstAttempt())).toMatchObject({
      state: 'failed',
      failure: { type: 'HalfMoved' },
      remains: [{ artifact: 'www.shop.example', reason: 'at v1.1.0, not at v1.0.0', owner: 'operator' }],
    });
  });
  it('[002 section 9] atomic per component: at the target means all of its parts', async () => {
    const paper = new Paper({ web: 'v1.0.0' });
    paper.parts = [
      { name: 'shop.example', version: 'v1.0.0' },
      { name: 'www.shop.example', version: 'v1.1.0' },
    ];
    expect((await asked({}, KNOWN, paper)).atTarget).toBe(false);
    paper.act = () => {
      paper.parts = [];
    };
    expect(await runStep(stepWork(), dependencies(paper, KNOWN), firstAttempt())).toMatchObject({ state: 'done' });
    expect(paper.applied).toHaveLength(1);
  });
});

describe('[002 section 10] visibility', () => {
  it('[002 section 10] why was it executed, and to which version? is answered in one sentence', () => {
    expect(whyOf(running())).toBe('ci started it (verification, smoke-failed): checkout answers 500. web v1.1.0 → v1.0.0.');
  });
  it('[002 section 10] trigger reason, target version, timestamps and outcome are in the state', () => {
    const progress = running();
    progress.outcome = 'rolled-back';
    expect(viewOf(progress, 1_000)).toMatchObject({
      trigger: { type: 'verification', cause: 'smoke-failed', reason: 'checkout answers 500', by: 'ci', at: '1970-01-01T00:00:00.000Z' },
      targets: [{ component: 'web', from: 'v1.1.0', to: 'v1.0.0' }],
      outcome: 'rolled-back',
    });
  });
  it('[002 section 10] each step leaves its entry: what, when, under which operation, before and after', async () => {
    const deps = dependencies(new Paper(), KNOWN);
    await runStep(stepWork(), deps, firstAttempt());
    expect(deps.appended).toEqual([
      expect.objectContaining({
        event: 'r/step/web.deploy/0/0',
        type: 'step',
        state: 'done',
        operationId: 'r/web.deploy/0',
        startedAt: expect.any(String) as string,
        at: expect.any(String) as string,
        receipt: { ids: { run: 1 }, before: { version: 'v1.1.0' }, after: { version: 'v1.0.0' } },
      }),
    ]);
  });
  it('[002 section 10] what was refused is kept too', () => {
    const progress = running();
    progress.refuse('role', 'ben does not have the role operator', 'ben', 0, 'confirm');
    expect(viewOf(progress, 0).refusals).toHaveLength(1);
    expect(progress.takeUnrecorded(0)).toMatchObject([{ type: 'refusal', refusal: { rule: 'role', by: 'ben' } }]);
  });
});

describe('[002 section 11] failure', () => {
  it('[002 section 11] no further changes: a failed step stops the walk until a person decides', () => {
    for (const state of ['failed', 'unknown', 'declined'] as const) {
      const progress = running();
      Object.assign(progress.step('web.deploy')!, { state, failure: failure('PlatformFailed', 'disk full') });
      expect(BLOCKED.has(state)).toBe(true);
      expect(progress.stopReason()).toMatch(/^web\.deploy .*: disk full$/);
      expect(progress.name()).toBe('stopped');
    }
  });
  it('[002 section 11] manual intervention is explicit: "done" is inspected, and an inspection changes nothing', async () => {
    const paper = new Paper();
    expect(await runStep(stepWork({ mode: 'inspect' }), dependencies(paper, KNOWN), firstAttempt())).toMatchObject({
      state: 'failed',
      failure: { type: 'NotAtTarget' },
    });
    expect(paper.applied).toEqual([]);
    paper.current['web'] = 'v1.0.0';
    expect(await runStep(stepWork({ mode: 'inspect', ordinal: 1 }), dependencies(paper, KNOWN), firstAttempt())).toMatchObject({ state: 'already' });
    expect(paper.applied).toEqual([]);
  });
  it('[002 section 11] no repeated attempt without analysis: retry within a rollback', () => {
    const retry = { step: 'web.deploy', by: 'ana', role: null, action: 'retry', reason: 'again', analysis: null, due: null, evidence: [] } as const;
    expect(judgeDecide(desk({ 'web.deploy': 'failed' }), retry)?.rule).toBe('analysis');
    expect(judgeDecide(desk({ 'web.deploy': 'failed' }), { ...retry, analysis: 'disk was full; freed' })).toBeNull();
    expect(RULE_SOURCE.analysis).toBe('[002 section 11]');
  });
  it('[002 section 11] no repeated attempt without analysis: another rollback of the same deployment', async () => {
    const failedBefore: Recorded = { ...KNOWN, last: { rollbackId: 'r0', outcome: 'failed' } };
    await expect(asked({}, failedBefore)).rejects.toMatchObject(
      refused('analysis', /^rollback r0 of this deployment of web failed; another attempt needs a written analysis/),
    );
    await expect(asked({ analysis: 'freed 20 GB' }, failedBefore)).resolves.toHaveProperty('planHash');
    await expect(asked({}, { ...KNOWN, last: { rollbackId: 'r0', outcome: 'rolled-back' } })).resolves.toHaveProperty('planHash');
  });
  it('[002 section 11] a rollback that no longer holds its component changes nothing', async () => {
    const paper = new Paper();
    const deps = dependencies(paper, KNOWN);
    const outcome = await runStep(stepWork(), { ...deps, store: { ...deps.store, claims: () => Promise.resolve([]) } }, firstAttempt());
    expect(outcome).toMatchObject({ state: 'failed', failure: { type: 'ClaimLost' } });
    expect(paper.applied).toEqual([]);
  });
});

describe('[002 section 13] changes', () => {
  it('[002 section 13] the configuration cannot weaken a guarantee: no setting for it exists', () => {
    const path = 'environments.production.components.web';
    for (const line of ['partialEnd: true', 'retryNeedsAnalysis: false', 'effects: [data]', 'smokeRequired: false']) {
      expect(() => load(YAML.replace('        targetSeconds: 120', `        ${line}`))).toThrow(
        `backout.yaml:7: ${path}.${line.split(':')[0] ?? ''}: no such setting here`,
      );
    }
    expect(() => load(YAML.replace('targetSeconds: 120', 'targetSeconds: 600'))).toThrow(
      `backout.yaml:7: ${path}.targetSeconds: too big: expected number to be <=300`,
    );
  });
});
