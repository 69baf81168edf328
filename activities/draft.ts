/** The plan of a deployRevert, or the rule that says no: every precondition of [002 section 5], read from the platforms and the record. Changes nothing. */
import { targetSecondsOf } from '../model/clock.ts';
import type { LoadedConfig } from '../model/config-file.ts';
import type { StartInput } from '../model/input.ts';
import { deployRevertSteps, forbiddenStep, workflowIdOf, type Plan, type Target } from '../model/plan.ts';
import { POLICIES, type Kind } from '../model/policy.ts';
import { canonical, sha256 } from '../store/digest.ts';
import type { Deployment } from '../store/store.ts';
import { AdapterError, type Observation } from './adapters/adapter.ts';
import { checkHealth } from './checks.ts';
import { callOf, findComponent, NotPossible, type Component } from './components.ts';
import { again, type Attempt, type Dependencies } from './dependencies.ts';

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

/** Later than this after detection, a start owes an answer [002 section 3]. */
const LATE_MS = 300_000;
/** How long a platform may be silent before the plan is refused. */
const PLATFORM_PATIENCE_MS = 30_000;

export async function draft(kind: Kind, input: StartInput, workflowId: string | null, deps: Dependencies, attempt: Attempt): Promise<Draft> {
  checkPolicy(kind, input, workflowId);
  const loaded = await deps.config();
  const components = inDeclaredOrder(loaded, input).map((name) => findComponent(loaded, deps.adapters, input.environment, name));
  const seen = await Promise.all(components.map((component) => look(component, input, deps, attempt)));
  const targets = seen.map((one) => one.target);
  const steps = deployRevertSteps(targets, loaded.config.confirmations.fourEyes);
  const forbidden = forbiddenStep(kind, steps);
  if (forbidden) throw new NotPossible('effect-not-allowed', `${forbidden.id} would touch ${forbidden.effect}, which a ${kind} may not`);
  const plan: Plan = {
    kind,
    environment: input.environment,
    tenant: input.tenant,
    incident: input.incident,
    targets,
    steps,
    targetSeconds: targetSecondsOf(
      POLICIES[kind].targetSeconds,
      components.map((component) => component.config.targetSeconds),
    ),
  };
  return {
    plan,
    planHash: sha256(canonical(plan)),
    atTarget: seen.every((one) => one.atTarget),
    warnings: [...lateness(input), ...seen.flatMap((one) => one.warnings)],
    deploymentIds: Object.fromEntries(seen.flatMap((one) => (one.deployment ? [[one.target.component, one.deployment.deploymentId]] : []))),
    snapshots: Object.fromEntries(seen.map((one) => [one.target.component, one.snapshot])),
    observations: Object.fromEntries(seen.map((one) => [one.target.component, one.observation])),
  };
}

/** For a plan that exists already: looks at where the components are now, and decides nothing. */
export async function redraft(plan: Plan, deps: Dependencies, attempt: Attempt): Promise<Omit<Draft, 'plan' | 'planHash'> & { planHash: string; plan: Plan }> {
  const loaded = await deps.config();
  const seen = await Promise.all(
    plan.targets.map(async (target) => {
      const component = findComponent(loaded, deps.adapters, plan.environment, target.component);
      return [target, await inspectPatiently(component, target.to, attempt)] as const;
    }),
  );
  return {
    plan,
    planHash: sha256(canonical(plan)),
    warnings: [],
    deploymentIds: {},
    snapshots: {},
    atTarget: seen.every(([target, observation]) => observation.current === target.to && target.from === target.to),
    observations: Object.fromEntries(seen.map(([target, observation]) => [target.component, observation])),
  };
}

/** What can be said without looking anywhere. */
function checkPolicy(kind: Kind, input: StartInput, workflowId: string | null): void {
  const policy = POLICIES[kind];
  if (!policy.starters.includes(input.trigger))
    throw new NotPossible('starter', `a ${kind} may be started by ${policy.starters.join(', ')}, not by ${input.trigger}`);
  if (!policy.causes.includes(input.cause))
    throw new NotPossible('cause', `${JSON.stringify(input.cause)} is no cause of a ${kind}; the causes are ${policy.causes.join(', ')}`);
  if (!policy.built) throw new NotPossible('kind-not-built', `${kind} is a known kind whose plan is not built in this version; nothing was changed`);
  if (input.components.length === 0) throw new NotPossible('unknown-component', 'no component was named');
  const expected = workflowIdOf({ kind, ...input });
  if (workflowId !== null && workflowId !== expected)
    throw new NotPossible('workflow-id', `the Workflow Id of this request is ${expected}, not ${workflowId}; start it under that Id`);
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

interface Look {
  readonly target: Target;
  readonly atTarget: boolean;
  readonly deployment: Deployment | null;
  readonly warnings: readonly string[];
  readonly snapshot: unknown;
  readonly observation: Observation;
}

async function look(component: Component, input: StartInput, deps: Dependencies, attempt: Attempt): Promise<Look> {
  const asked = Object.hasOwn(input.targets, component.name) ? input.targets[component.name] : undefined;
  const observation = await inspectPatiently(component, asked ?? '', attempt);
  const current =
    observation.current ??
    (await component.adapter.inspect(callFor(component, asked ?? '', attempt)).then(
      (seen) => seen.current,
      () => null,
    ));
  const recorded = (await deps.store.deployments({ environment: input.environment, component: component.name, limit: 50 })).filter(
    (one) => one.status !== 'rolled_back',
  );
  const deployment = recorded.find((one) => one.version === current) ?? (current === null ? recorded[0] : undefined) ?? null;
  const to = await resolveTarget(component, input, asked, current ?? deployment?.version ?? null, deps);
  await checkPresent(component, to, observation, attempt);
  await checkAnalysis(component, input, deployment, deps);
  const warnings: string[] = [];
  const moreWarnings = await checkStability(component, input, attempt);
  if (deployment === null)
    warnings.push(
      `${component.name}: the deployment of ${current ?? 'what is in place'} is not recorded, so none can be marked rolled_back; record it with backout deployment record`,
    );
  return {
    target: { component: component.name, from: current, to, config: component.hash },
    atTarget: current === to && observation.parts.every((part) => part.version === to),
    deployment,
    warnings: [...warnings, ...moreWarnings],
    observation,
    snapshot: { version: current, ...observation.facts, parts: observation.parts },
  };
}

const callFor = (component: Component, to: string, attempt: Attempt) =>
  callOf(component, { to, operationId: 'inspection', attempt: 1, signal: attempt.signal, heartbeat: attempt.heartbeat });

/** A platform that is away for a moment is asked again, by the engine; one that stays away is a refusal with the reason. */
async function inspectPatiently(component: Component, to: string, attempt: Attempt): Promise<Observation> {
  try {
    return await component.adapter.inspect(callFor(component, to, attempt));
  } catch (error) {
    if (!(error instanceof AdapterError) || attempt.signal.aborted) throw error;
    const transient = error.kind === 'unavailable' || error.kind === 'rate-limited' || error.kind === 'unknown';
    if (transient && Date.now() < attempt.firstScheduledMs + PLATFORM_PATIENCE_MS) throw again(error.message, error, error.retryAfterMs);
    throw new NotPossible('platform-unavailable', `${component.name} cannot be inspected: ${error.message}`);
  }
}

/** Explicit, released, known healthy: a rollback to anything else is forbidden [002 section 5]. */
async function resolveTarget(component: Component, input: StartInput, asked: string | undefined, current: string | null, deps: Dependencies): Promise<string> {
  const healthy = await deps.store.lastHealthy(input.environment, component.name, current);
  const hint = healthy ? `the last healthy one is ${healthy.version}` : 'no other version is recorded as healthy';
  if (asked === undefined) throw new NotPossible('target-named', `no target is named for ${component.name}; ${hint}`);
  if (asked === 'last-healthy') {
    if (!healthy)
      throw new NotPossible('previous-release', `${component.name} has no earlier release that is known healthy; record and verify one, or act by hand`);
    return healthy.version;
  }
  const rows = await deps.store.deployments({ environment: input.environment, component: component.name, version: asked, limit: 50 });
  if (rows.length === 0) throw new NotPossible('target-known', `${asked} of ${component.name} was never recorded as deployed in ${input.environment}; ${hint}`);
  if (!rows.some((row) => row.status === 'success' && row.healthCheckPassed)) {
    throw new NotPossible(
      'target-known-healthy',
      `${asked} of ${component.name} is not known healthy (its checks never passed, or it was rolled back); ${hint}`,
    );
  }
  return asked;
}

async function checkPresent(component: Component, to: string, observation: Observation, attempt: Attempt): Promise<void> {
  if (observation.current === to) return;
  const seen = await inspectPatiently(component, to, attempt);
  if (seen.targetPresent === false)
    throw new NotPossible(
      'target-in-place',
      `${component.adapter.name} no longer has ${to} of ${component.name}; it has ${seen.versions.slice(0, 5).join(', ') || 'no versions'}`,
    );
}

/** Repeated attempts without analysis are forbidden [002 section 11]. */
async function checkAnalysis(component: Component, input: StartInput, deployment: Deployment | null, deps: Dependencies): Promise<void> {
  const last = await deps.store.lastAttempt(input.environment, component.name, deployment?.deploymentId ?? null);
  if (last?.outcome === 'failed' && input.analysis === null && input.resumes === null) {
    throw new NotPossible(
      'analysis',
      `rollback ${last.rollbackId} of this deployment of ${component.name} failed; another attempt needs a written analysis (--analysis)`,
    );
  }
}

/** "Already stable" refuses automatic starts only, and warns on others [003]. */
async function checkStability(component: Component, input: StartInput, attempt: Attempt): Promise<string[]> {
  if (component.config.health.length === 0) return [];
  const health = await checkHealth({ ...component.config, settleSeconds: 0.001 }, attempt.signal);
  if (health.state !== 'done') return [];
  if (input.trigger === 'automatic')
    throw new NotPossible(
      'already-stable',
      `${component.name} answers its health checks; an automatic rollback of a stable component is refused, an operator may start one`,
    );
  return [`${component.name} answered its health checks when this was planned`];
}
