/** A desk, a plan and a configuration as the tests of the rules need them. */
import { vi } from 'vitest';
import { z } from 'zod';
import type { Desk, DeskStep } from '../../model/answers.ts';
import { parseConfig, type LoadedConfig } from '../../model/config-file.ts';
import type { StartInput } from '../../model/input.ts';
import { deployRevertSteps, investigationStep, type PlannedStep, type Target } from '../../model/plan.ts';
import { POLICIES } from '../../model/policy.ts';
import type { StepState } from '../../model/state.ts';
import type { Adapter, AdapterCall, Observation } from '../../activities/adapters/adapter.ts';
import { findComponent } from '../../activities/components.ts';
import type { StepWork } from '../../activities/step.ts';
import type { Attempt, Dependencies } from '../../activities/dependencies.ts';
import type { Deployment, RollbackEvent, Store } from '../../store/store.ts';

export const WEB: Target = { component: 'web', from: 'v1.1.0', to: 'v1.0.0', config: 'sha256:c' };

export const atDesk = (planned: PlannedStep, state: StepState = 'pending', more: Partial<DeskStep> = {}): DeskStep => ({
  ...planned,
  state,
  held: false,
  handedTo: null,
  approved: null,
  ...more,
});

/** A deployRevert of web whose steps are in the given states; everything else as at the plan. */
export function desk(states: Readonly<Record<string, StepState>> = {}, more: Partial<Desk> = {}): Desk {
  const steps = [...deployRevertSteps([WEB], false), ...('investigation' in states ? [investigationStep()] : [])];
  return {
    policy: POLICIES.deployRevert,
    planHash: 'sha256:plan',
    starter: 'ci',
    people: null,
    assigned: {},
    stopRequested: false,
    escalating: false,
    closing: false,
    closed: false,
    kept: new Set(),
    answers: [],
    steps: steps.map((step) => atDesk(step, states[step.id] ?? 'pending')),
    ...more,
  };
}

export const START: StartInput = {
  environment: 'production',
  components: ['web'],
  targets: { web: 'v1.0.0' },
  trigger: 'verification',
  cause: 'smoke-failed',
  reason: 'checkout answers 500',
  by: 'ci',
  detectedAt: null,
  delayJustification: null,
  incident: null,
  severity: null,
  impact: null,
  contact: null,
  analysis: null,
  tenant: null,
  resumes: null,
};

export const YAML = [
  'environments:',
  '  production:',
  '    components:',
  '      web:',
  '        type: storefront',
  '        adapter: paper',
  '        targetSeconds: 120',
  '      api: { type: service, adapter: paper }',
  '',
].join('\n');

export const load = (yaml = YAML): LoadedConfig => parseConfig(yaml, 'backout.yaml', '/srv');

/** A platform on paper: what it has in place per component, and what was asked of it. */
export class Paper {
  readonly applied: { component: string; to: string; operationId: string }[] = [];
  readonly current: Record<string, string | null>;
  readonly has: string[];
  operationId: string | null = null;
  parts: Observation['parts'] = [];
  /** What `apply` really does; by default what it is asked to. */
  act: (call: AdapterCall<unknown>) => void = (call) => {
    this.current[call.component] = call.to;
    this.operationId = call.operationId;
  };

  constructor(current: Record<string, string | null> = { web: 'v1.1.0', api: 'v1.1.0' }, has = ['v1.1.0', 'v1.0.0', 'v0.9.0']) {
    this.current = current;
    this.has = has;
  }

  readonly adapter: Adapter = {
    name: 'paper',
    options: z.strictObject({}),
    fence: { by: 'operation-id', window: 'none' },
    executesInCi: false,
    limits: [],
    inspect: (call) =>
      Promise.resolve({
        current: this.current[call.component] ?? null,
        targetPresent: this.has.includes(call.to),
        operationId: this.operationId,
        parts: this.parts,
        versions: this.has,
        facts: {},
      }),
    apply: (call) => {
      this.applied.push({ component: call.component, to: call.to, operationId: call.operationId });
      this.act(call);
      return Promise.resolve({ ids: { run: 1 } });
    },
    verify: (call) => {
      if (vi.isFakeTimers()) vi.setSystemTime(Date.now() + 6_000);
      return this.adapter.inspect(call);
    },
    manual: () => [],
  };
}

export const deployment = (version: string, more: Partial<Deployment> = {}): Deployment => ({
  deploymentId: `id-of-${version}`,
  environment: 'production',
  component: 'web',
  version,
  commit: 'c0ffee',
  branch: 'main',
  status: 'success',
  healthCheckPassed: true,
  platformRef: null,
  rollbackFrom: null,
  deployedBy: 'ci',
  deployedAt: '2026-11-21T10:00:00.000Z',
  completedAt: null,
  rolledBackAt: null,
  ...more,
});

export interface Recorded {
  readonly deployments: readonly Deployment[];
  readonly last?: Pick<RollbackEvent, 'rollbackId' | 'outcome'>;
}

/** The dependencies of the activities, over a platform on paper and a record in memory. Only what planning and a step ask of them. */
export function dependencies(paper: Paper, recorded: Recorded, yaml = YAML): Dependencies & { readonly appended: Record<string, unknown>[] } {
  const appended: Record<string, unknown>[] = [];
  const position = { entries: 1, seq: 1, head: 'sha256:head' };
  const matching = (component?: string, version?: string): Deployment[] =>
    recorded.deployments.filter((one) => (component === undefined || one.component === component) && (version === undefined || one.version === version));
  const store: Partial<Store> = {
    deployments: (filter) => Promise.resolve(matching(filter.component, filter.version)),
    lastHealthy: (_, component, except) =>
      Promise.resolve(matching(component).find((one) => one.status === 'success' && one.healthCheckPassed && one.version !== except) ?? null),
    lastAttempt: () => Promise.resolve((recorded.last ?? null) as RollbackEvent | null), // The plan reads these two fields only.
    find: (event) => Promise.resolve((appended.find((one) => one['event'] === event) ?? null) as Awaited<ReturnType<Store['find']>>), // What was appended below.
    append: (_, entries) => {
      appended.push(...entries);
      return Promise.resolve({ position, stored: entries });
    },
    claims: () => Promise.resolve([{ environment: 'production', component: 'web', rollbackId: 'r', workflowId: 'w', by: 'ci', at: '' }]),
    position: () => Promise.resolve(position),
    freezes: () => Promise.resolve([]),
    credentials: () => Promise.resolve([]),
  };
  return {
    appended,
    config: () => Promise.resolve(load(yaml)),
    store: store as Store, // Partial on purpose: whatever else is asked for fails the test.
    adapters: { paper: paper.adapter },
    isOpen: () => Promise.resolve(false),
    predecessor: () => Promise.resolve(null),
    stopping: new AbortController().signal,
    startWatch: () => Promise.resolve(),
    peer: () => ({ stop: () => Promise.resolve(), isMoving: () => Promise.resolve(false) }),
    checkpoint: () => Promise.resolve(),
  };
}

export const firstAttempt = (more: Partial<Attempt> = {}): Attempt => ({
  number: 1,
  runId: 'r',
  workflowId: 'deployRevert/production/web',
  firstScheduledMs: Date.now() - 3_600_000,
  signal: new AbortController().signal,
  heartbeat: () => undefined,
  ...more,
});

/** Of the configuration of web. */
export const hashOf = (yaml = YAML): string => findComponent(load(yaml), { paper: new Paper().adapter }, 'production', 'web').hash;

/** What the workflow hands to the deployment of web. */
export const stepWork = (more: Partial<StepWork> = {}): StepWork => ({
  rollbackId: 'r',
  environment: 'production',
  step: { id: 'web.deploy', operation: 'deploy', component: 'web', effect: 'deploy' },
  from: 'v1.1.0',
  to: 'v1.0.0',
  config: hashOf(),
  generation: 0,
  ordinal: 0,
  mode: 'run',
  mayHaveActed: false,
  deadlineAt: null,
  machineMs: 0,
  humanMs: 0,
  entries: [],
  ...more,
});
