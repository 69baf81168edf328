/** The plan of a rollback, or the rule that says no, read from the platforms and the record. Changes nothing. */
import { targetSecondsOf } from '../model/clock.ts';
import type { LoadedConfig } from '../model/config-file.ts';
import { fourEyesOn } from '../model/config.ts';
import type { StartInput } from '../model/input.ts';
import { deployRevertSteps, forbiddenStep, workflowIdOf, type Plan } from '../model/plan.ts';
import { NO_REASON, POLICIES, type Kind } from '../model/policy.ts';
import { canonical, sha256 } from '../store/digest.ts';
import type { Observation } from './adapters/adapter.ts';
import { findComponent, NotPossible, type Component } from './components.ts';
import type { Attempt, Dependencies } from './dependencies.ts';
import { checkTenant, tenantDraft } from './deprovision/identify.ts';
import { carriedAt } from './incident/carried.ts';
import { incidentPlan } from './incident/plan.ts';
import { inspectOnce, inspectPatiently, look, type Look, type Manner } from './look.ts';

export interface Draft {
  readonly plan: Plan;
  readonly planHash: string;
  readonly warnings: readonly string[];
  readonly atTarget: boolean;
  /** The deployment that is taken back, per component, where CI has recorded it. */
  readonly deploymentIds: Readonly<Record<string, string>>;
  readonly snapshots: Readonly<Record<string, unknown>>;
  readonly observations: Readonly<Record<string, Observation>>;
}

/** It is the last part of the Workflow Id. */
const INCIDENT = /^[A-Za-z0-9][\w.-]{0,63}$/;
/** Later than this after detection, a start owes an answer [002 section 3]. */
const LATE_MS = 300_000;
const STRICT: Manner = { patient: true, strict: true };
/** An incident is contained first; what stands in the way of its rollback is met by `identify`. */
const CONTAIN: Manner = { patient: false, strict: false };

export async function draft(kind: Kind, input: StartInput, workflowId: string | null, deps: Dependencies, attempt: Attempt): Promise<Draft> {
  checkPolicy(kind, input, workflowId);
  if (POLICIES[kind].subject === 'tenant') return tenantDraft(kind, input, deps, attempt);
  const loaded = await deps.config();
  const components = inDeclaredOrder(loaded, input).map((name) => findComponent(loaded, deps.adapters, input.environment, name));
  const incident = POLICIES[kind].level !== null;
  const seen = await Promise.all(
    components.map((component) => look(component, input, deps, attempt, incident ? CONTAIN : STRICT).catch(atTargetAlready(component, input, deps, attempt))),
  );
  const base = { kind, environment: input.environment, tenant: input.tenant, incident: input.incident };
  const { targets, steps, targetSeconds, warnings, ...more } = incident
    ? await incidentPlan({ kind, input, loaded, components, seen, deps, attempt })
    : await deployRevertPlan(loaded, input, components, seen, deps);
  const forbidden = forbiddenStep(kind, steps);
  if (forbidden) throw new NotPossible('effect-not-allowed', `${forbidden.id} would touch ${forbidden.effect}, which a ${kind} may not`);
  const plan: Plan = { ...base, targets, steps, targetSeconds, ...more };
  // Without a Workflow Id it is only shown: whoever asks in peace hears what a start would meet once everything is frozen.
  const met = incident && workflowId === null ? await metLater(loaded, plan, deps, attempt) : [];
  return {
    plan,
    planHash: sha256(canonical(plan)),
    atTarget: seen.every((one) => one.atTarget),
    warnings: [...lateness(input), ...met, ...seen.flatMap((one) => one.warnings), ...warnings],
    deploymentIds: Object.fromEntries(seen.flatMap((one) => (one.deployment ? [[one.target.component, one.deployment.deploymentId]] : []))),
    snapshots: Object.fromEntries(seen.map((one) => [one.target.component, one.snapshot])),
    observations: Object.fromEntries(seen.map((one) => [one.target.component, one.observation])),
  };
}

async function metLater(loaded: LoadedConfig, { environment, targets }: Plan, deps: Dependencies, attempt: Attempt): Promise<string[]> {
  const all = await Promise.all(targets.map((target) => carriedAt(loaded, environment, target, deps, attempt)));
  return all.flatMap(({ carried, warnings }) => [
    ...carried.map((one) => `${one}; it would be refused once everything is frozen: name a version without it, or build it anew`),
    ...warnings,
  ]);
}

/** "The last healthy one" is another than the one in place: where that one is the only one, it is the target already, and has to be named. */
const atTargetAlready =
  (component: Component, { environment }: StartInput, { store }: Dependencies, attempt: Attempt) =>
  async (error: unknown): Promise<never> => {
    const isNone = error instanceof NotPossible && error.rule === 'previous-release';
    const healthy = isNone ? await store.lastHealthy(environment, component.name, null) : null;
    if (!healthy || (await inspectOnce(component, healthy.version, attempt)).current !== healthy.version) throw error;
    throw new NotPossible(
      'previous-release',
      `${component.name} is at ${healthy.version} already, and has no earlier release that is known healthy; to have it stay there, name it: --to ${component.name}=${healthy.version}`,
    );
  };

async function deployRevertPlan(loaded: LoadedConfig, input: StartInput, components: readonly Component[], seen: readonly Look[], deps: Dependencies) {
  const targets = seen.map((one) => one.target);
  const own = components.map((component) => component.config.targetSeconds);
  return {
    targets,
    steps: deployRevertSteps(targets, fourEyesOn(loaded.config, 'availability')),
    targetSeconds: targetSecondsOf(POLICIES.deployRevert.targetSeconds, own),
    warnings: await frozenBy(input.environment, deps),
  };
}

/** Taking a release back is what rollback owners may do while everything stands still; that it does is said. */
async function frozenBy(environment: string, { store }: Dependencies): Promise<string[]> {
  const freezes = await store.freezes({ environment, inForceOnly: true });
  return freezes.map((one) => `${environment} is frozen by incident ${one.incident} (${one.workflowId}), declared by ${one.by}; tell its Incident Commander`);
}

/** For a plan that exists already: looks at where the components are now, and decides nothing. */
export async function redraft(plan: Plan, deps: Dependencies, attempt: Attempt): Promise<Omit<Draft, 'plan' | 'planHash'> & { planHash: string; plan: Plan }> {
  const loaded = await deps.config();
  const seen = await Promise.all(
    plan.targets.map(async (target) => {
      const component = findComponent(loaded, deps.adapters, plan.environment, target.component);
      // An incident's steps look again themselves; its freeze must not be left to itself because a platform is away.
      const inspect = plan.incident === null ? inspectPatiently : inspectOnce;
      return [target, await inspect(component, target.to, attempt)] as const;
    }),
  );
  return {
    plan,
    planHash: sha256(canonical(plan)),
    warnings: [],
    deploymentIds: {},
    snapshots: {},
    atTarget: seen.length > 0 && seen.every(([target, observation]) => observation.current === target.to && target.from === target.to),
    observations: Object.fromEntries(seen.map(([target, observation]) => [target.component, observation])),
  };
}

/** What can be said without looking anywhere. */
function checkPolicy(kind: Kind, input: StartInput, workflowId: string | null): void {
  const policy = POLICIES[kind];
  if (policy.subject === 'tenant') checkTrigger(input);
  if (!policy.starters.includes(input.trigger))
    throw new NotPossible('starter', `a ${kind} may be started by ${policy.starters.join(', ')}, not by ${input.trigger}`);
  if (!policy.causes.includes(input.cause))
    throw new NotPossible('cause', `${JSON.stringify(input.cause)} is no cause of a ${kind}; the causes are ${policy.causes.join(', ')}`);
  if (!policy.built) throw new NotPossible('kind-not-built', `${kind} is a known kind whose plan is not built in this version; nothing was changed`);
  if (policy.subject === 'incident' && !INCIDENT.test(input.incident ?? ''))
    throw new NotPossible('incident', 'a rollback of an incident needs its name in "incident": letters, digits, dots, hyphens and underscores, such as INC-42');
  if (policy.subject === 'tenant') checkTenant(input);
  else if (input.components.length === 0) throw new NotPossible('unknown-component', 'no component was named');
  const expected = workflowIdOf({ kind, ...input });
  if (workflowId !== null && workflowId !== expected)
    throw new NotPossible('workflow-id', `the Workflow Id of this request is ${expected}, not ${workflowId}; start it under that Id`);
}

/** [000 When Rollback Triggers] */
function checkTrigger({ trigger, cause }: StartInput): void {
  if (trigger !== 'operator') throw new NotPossible('operator-only', `a deprovisioning is always started by an operator, never by ${trigger}`);
  const instead = Object.hasOwn(NO_REASON, cause) ? NO_REASON[cause] : undefined;
  if (instead !== undefined) throw new NotPossible('not-a-trigger', `${cause} is no reason to deprovision: ${instead}`);
  const { causes } = POLICIES.upaDeprovision;
  if (!causes.includes(cause))
    throw new NotPossible('not-a-trigger', `${JSON.stringify(cause)} is no reason to deprovision; the reasons are ${causes.join(', ')}`);
}

/** Several components go in the order in which `backout.yaml` declares them. */
function inDeclaredOrder(loaded: LoadedConfig, input: StartInput): string[] {
  const place = Object.hasOwn(loaded.config.environments, input.environment) ? loaded.config.environments[input.environment] : undefined;
  const declared = Object.keys(place?.components ?? {});
  return input.components.toSorted((a, b) => declared.indexOf(a) - declared.indexOf(b));
}

const lateness = (input: StartInput): string[] => {
  if (input.detectedAt === null || input.delayJustification !== null) return [];
  const lateMs = Date.now() - Date.parse(input.detectedAt);
  if (Number.isNaN(lateMs)) return [`detectedAt ${input.detectedAt} is no time, so it is not known whether the start was late [002 section 3]`];
  if (lateMs < LATE_MS) return [];
  return [
    `detected at ${input.detectedAt} and started ${Math.round(lateMs / 60_000)} minutes later without a justification; an answer is owed [002 section 3]`,
  ];
};
