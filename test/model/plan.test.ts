/** What is planned, in which order, under which names, and what its hash is bound to. */
import { describe, expect, it } from 'vitest';
import { deployRevertSteps, investigationStep, workflowIdOf, type Target } from '../../model/plan.ts';
import { changes, KINDS } from '../../model/policy.ts';
import { targetSecondsOf } from '../../model/clock.ts';
import { draft } from '../../activities/draft.ts';
import { dependencies, deployment, firstAttempt, Paper, START, WEB, YAML } from './given.ts';

const API: Target = { component: 'api', from: 'a2', to: 'a1', config: 'sha256:d' };
const both = {
  deployments: [deployment('v1.1.0'), deployment('v1.0.0'), deployment('v1.1.0', { component: 'api' }), deployment('v1.0.0', { component: 'api' })],
};
const planOf = async (input = START, yaml = YAML, paper = new Paper()) => draft('deployRevert', input, null, dependencies(paper, both, yaml), firstAttempt());

describe('the steps of a deployRevert', () => {
  it('are deploy, smoke, health and served per component, then availability [product.md 3]', () => {
    expect(deployRevertSteps([WEB, API], false).map((step) => step.id)).toEqual([
      'web.deploy',
      'web.smoke',
      'web.health',
      'web.served',
      'api.deploy',
      'api.smoke',
      'api.health',
      'api.served',
      'availability',
    ]);
  });

  it('have unique ids, a title, and name the component they touch', () => {
    const steps = deployRevertSteps([WEB, API], false);
    expect(new Set(steps.map((step) => step.id)).size).toBe(steps.length);
    for (const step of steps) {
      expect(step.title).not.toBe('');
      expect(step.component).toBe(step.mode === 'manual' ? null : step.id.split('.')[0]);
      expect(step.operation).toBe(step.mode === 'manual' ? null : step.id.split('.')[1]);
    }
  });

  it('change nothing but by the deploy, and gates only read', () => {
    expect(
      deployRevertSteps([WEB, API], false)
        .filter((step) => changes(step.effect))
        .map((step) => [step.id, step.mode, step.effect]),
    ).toEqual([
      ['web.deploy', 'automatic', 'deploy'],
      ['api.deploy', 'automatic', 'deploy'],
    ]);
  });

  it('ask for four eyes where the configuration does, at availability only', () => {
    expect(
      deployRevertSteps([WEB], true)
        .filter((step) => step.fourEyes)
        .map((step) => step.id),
    ).toEqual(['availability']);
    expect(deployRevertSteps([WEB], false).some((step) => step.fourEyes)).toBe(false);
  });

  it('have an availability that attests what was seen, and an investigation that attests what was done', () => {
    expect(deployRevertSteps([WEB], false).at(-1)).toMatchObject({ id: 'availability', mode: 'manual', owner: 'operator', attests: 'seen' });
    expect(investigationStep()).toMatchObject({ id: 'investigation', mode: 'manual', owner: 'operator', attests: 'done' });
  });
});

describe('the Workflow Id [product.md 5]', () => {
  it.each([
    [{ kind: 'deployRevert', environment: 'production', components: ['web', 'api'] }, 'deployRevert/production/api+web'],
    [{ kind: 'deployRevert', environment: 'staging', components: ['web'] }, 'deployRevert/staging/web'],
    [{ kind: 'l1Rollback', environment: 'production', components: ['web'], incident: 'INC-7' }, 'l1Rollback/production/INC-7'],
    [{ kind: 'upaDeprovision', environment: 'production', components: [], tenant: 'acme' }, 'upaDeprovision/production/acme'],
    [{ kind: 'l2Rollback', environment: 'production', components: [], incident: null }, 'l2Rollback/production/'],
  ] as const)('of %j is %s', (input, id) => {
    expect(workflowIdOf(input)).toBe(id);
  });

  it('has the kind first, for every kind', () => {
    for (const kind of KINDS) expect(workflowIdOf({ kind, environment: 'e', components: ['c'], tenant: 'c', incident: 'c' })).toBe(`${kind}/e/c`);
  });
});

describe('the plan hash', () => {
  it('is the same for the same request, however often and in whatever order it is made', async () => {
    const one = await planOf({ ...START, components: ['web', 'api'], targets: { web: 'v1.0.0', api: 'v1.0.0' } });
    const two = await planOf({ ...START, components: ['api', 'web'], targets: { api: 'v1.0.0', web: 'v1.0.0' } });
    expect(one.planHash).toBe(two.planHash);
    expect(one.planHash).toMatch(/^sha256:[0-9a-f]{64}$/);
  });

  it('says nothing of who asked, why and when', async () => {
    const one = await planOf();
    const two = await planOf({ ...START, by: 'ana', reason: 'another', cause: 'operator-judgement', trigger: 'operator' });
    expect(two.planHash).toBe(one.planHash);
  });

  it.each([
    ['another target', { ...START, targets: { web: 'v0.9.0' } }, YAML, new Paper()],
    ['another version in place', START, YAML, new Paper({ web: 'v1.2.0', api: null })],
    ['another configuration of the component', START, YAML.replace('type: storefront', 'type: service'), new Paper()],
    ['another time target', START, YAML.replace('targetSeconds: 120', 'targetSeconds: 60'), new Paper()],
    ['four eyes', START, `${YAML}confirmations: { fourEyes: true }\n`, new Paper()],
    ['one component more', { ...START, components: ['web', 'api'], targets: { web: 'v1.0.0', api: 'v1.0.0' } }, YAML, new Paper()],
  ])('changes with %s', async (_, input, yaml, paper) => {
    const record = { deployments: [...both.deployments, deployment('v0.9.0'), deployment('v1.2.0')] };
    const changed = await draft('deployRevert', input, null, dependencies(paper, record, yaml), firstAttempt());
    expect(changed.planHash).not.toBe((await planOf()).planHash);
  });

  it('does not change with the configuration of another component', async () => {
    expect((await planOf(START, YAML.replace('api: { type: service', 'api: { type: shop-agent'))).planHash).toBe((await planOf()).planHash);
  });
});

describe('several components', () => {
  it('go in the order in which backout.yaml declares them', async () => {
    const { plan } = await planOf({ ...START, components: ['api', 'web'], targets: { web: 'v1.0.0', api: 'v1.0.0' } });
    expect(plan.targets.map((target) => target.component)).toEqual(['web', 'api']);
    expect(plan.steps.map((step) => step.id)[0]).toBe('web.deploy');
  });
});

describe('[002 section 13] the time target', () => {
  it.each([
    [300, [], 300],
    [300, [undefined, undefined], 300],
    [300, [120], 120],
    [300, [120, 60, undefined], 60],
    [300, [900], 300],
    [null, [60], null],
  ])('of %j and %j is %j: tightened, never loosened', (policy, components, expected) => {
    expect(targetSecondsOf(policy, components)).toBe(expected);
  });
});
