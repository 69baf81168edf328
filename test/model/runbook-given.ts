/** An L1 on paper as the tests of the runbook need it: its plan, a desk whose steps are in given states, people in their roles, and answers. */
import { expect } from 'vitest';
import { draft } from '../../activities/draft.ts';
import type { Desk } from '../../model/answers.ts';
import type { No } from '../../model/authority.ts';
import { incidentSteps, type IncidentPlace } from '../../model/incident.ts';
import { parseMessage, type Confirm, type Decide, type StartInput } from '../../model/input.ts';
import { whole, type PlannedStep, type PlanStep, type Target } from '../../model/plan.ts';
import { POLICIES } from '../../model/policy.ts';
import type { Rule } from '../../model/refusal.ts';
import type { Answer, StepState } from '../../model/state.ts';
import { atDesk, dependencies, deployment, firstAttempt, Paper, START, YAML } from './given.ts';

export const target = (component: string): Target => ({ component, from: 'v1.1.0', to: 'v1.0.0', config: 'sha256:c' });
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
export const steps = (more: Partial<IncidentPlace> = {}): PlannedStep[] => incidentSteps({ ...PLACE, ...more }).map(whole);
export const ids = (list: readonly PlanStep[]): string[] => list.map((step) => step.id);
export const stepOf = (id: string, more: Partial<IncidentPlace> = {}): PlannedStep => steps(more).find((step) => step.id === id)!;

export const PEOPLE = {
  carol: { roles: ['incident-commander'] },
  abe: { roles: ['api-lead'] },
  ivy: { roles: ['infrastructure-lead'] },
  dora: { roles: ['data-evidence-lead'] },
  sam: { roles: ['security-lead'] },
  cleo: { roles: ['communications-owner'] },
  dan: { roles: ['operator'], deputyFor: ['incident-commander'] },
  sid: { roles: ['developer'], deputyFor: ['security-lead'] },
};
export const HOLDER: Readonly<Record<string, string>> = Object.fromEntries(Object.entries(PEOPLE).map(([name, { roles }]) => [roles[0], name]));
/** Everything before the unfreeze has passed. */
export const READY: Readonly<Record<string, StepState>> = Object.fromEntries(
  steps().map((step): [string, StepState] => {
    if (step.id === 'unfreeze') return [step.id, 'waiting'];
    if (step.beside) return [step.id, step.id === 'communication.declared' ? 'done' : 'pending'];
    if (step.id === 'communication.recovery' || step.operation === 'lift') return [step.id, 'pending'];
    return [step.id, step.mode === 'manual' ? 'confirmed' : 'done'];
  }),
);
export const desk = (states: Readonly<Record<string, StepState>> = {}, more: Partial<Desk> = {}, place: Partial<IncidentPlace> = {}): Desk => ({
  policy: POLICIES.l1Rollback,
  planHash: 'sha256:plan',
  starter: 'ci',
  people: PEOPLE,
  assigned: {},
  stopRequested: false,
  escalating: false,
  closing: false,
  closed: false,
  kept: new Set(),
  answers: [],
  steps: steps(place).map((step) => atDesk(step, states[step.id] ?? 'pending')),
  ...more,
});
export const confirm = (step: string, by: string, more: Partial<Confirm> = {}): Confirm => ({
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
export const decide = (step: string | null, action: Decide['action'], more: Partial<Decide> = {}): Decide => ({
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
export const answer = (name: string, step: string, by: string, more: Record<string, unknown> = {}): Answer => ({
  name,
  step,
  by,
  proof: 'self-declared',
  at: '2026-11-21T03:00:00.000Z',
  ...more,
});
export const no = (rule: Rule, explanation: RegExp | string): No => ({
  rule,
  explanation: typeof explanation === 'string' ? explanation : (expect.stringMatching(explanation) as string),
});
/** What the judge is given comes through the parser, as it does in a rollback. */
export const parsed = (message: Record<string, unknown>): Confirm => {
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
export const planned = (more: Partial<StartInput> = {}, yaml = YAML, kept: unknown = null) => {
  const deps = dependencies(new Paper(), BOTH, yaml);
  const snapshot = (id: string) => Promise.resolve(id.startsWith('good-') ? { config: { kept }, at: '2026-11-21T10:00:00.000Z' } : null);
  return draft('l1Rollback', { ...INCIDENT, ...more }, null, { ...deps, store: { ...deps.store, snapshot } }, firstAttempt());
};
export const refused = (rule: Rule, explanation: RegExp) => ({ rule, message: expect.stringMatching(explanation) as string });
