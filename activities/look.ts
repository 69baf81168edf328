/** One component before its rollback: where it is, where it may go, and every precondition of [002 section 5]. Changes nothing. */
import type { StartInput } from '../model/input.ts';
import type { Target } from '../model/plan.ts';
import type { Deployment } from '../store/store.ts';
import { AdapterError, type Observation } from './adapters/adapter.ts';
import { checkHealth } from './checks.ts';
import { callOf, NotPossible, type Component } from './components.ts';
import { again, type Attempt, type Dependencies } from './dependencies.ts';
import { carriedByBuild } from './revoked.ts';

/** How long a platform may be silent before the plan is refused. */
const PLATFORM_PATIENCE_MS = 30_000;

export interface Look {
  readonly target: Target;
  readonly atTarget: boolean;
  readonly deployment: Deployment | null;
  readonly warnings: readonly string[];
  readonly snapshot: unknown;
  readonly observation: Observation;
}

/** What is asked of a component. */
export type Request = Pick<StartInput, 'environment' | 'targets' | 'trigger' | 'analysis' | 'resumes'>;

export interface Manner {
  /** False: a platform that is away is an unknown place, since containing comes before looking [001]. */
  readonly patient: boolean;
  /** Do the rules of a deployRevert about repeated and needless attempts hold [002 section 11, 003]? */
  readonly strict: boolean;
}

export async function look(component: Component, input: Request, deps: Dependencies, attempt: Attempt, manner: Manner): Promise<Look> {
  const asked = Object.hasOwn(input.targets, component.name) ? input.targets[component.name] : undefined;
  const inspect = manner.patient ? inspectPatiently : inspectOnce;
  const observation = await inspect(component, asked ?? '', attempt);
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
  checkPresent(component, to, observation.current === to ? observation : await inspect(component, to, attempt));
  const unseen = manner.patient ? await checkCarried(component, to, deps, attempt) : [];
  if (manner.strict) await checkAnalysis(component, input, deployment, deps);
  const warnings: string[] = [...unseen];
  const moreWarnings = manner.strict ? await checkStability(component, input, attempt) : [];
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

const UNKNOWN: Observation = { current: null, targetPresent: 'unknown', operationId: null, parts: [], versions: [], facts: {} };

export async function inspectOnce(component: Component, to: string, attempt: Attempt): Promise<Observation> {
  return component.adapter.inspect(callFor(component, to, attempt)).catch((error: unknown) => {
    if (!(error instanceof AdapterError) || attempt.signal.aborted) throw error;
    return UNKNOWN;
  });
}

/** A platform that is away for a moment is asked again, by the engine; one that stays away is a refusal with the reason. */
export async function patiently<T>(attempt: Attempt, refused: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof AdapterError) || attempt.signal.aborted) throw error;
    const transient = error.kind === 'unavailable' || error.kind === 'rate-limited' || error.kind === 'unknown';
    if (transient && Date.now() < attempt.firstScheduledMs + PLATFORM_PATIENCE_MS) throw again(error.message, error, error.retryAfterMs);
    throw new NotPossible('platform-unavailable', `${refused}: ${error.message}`);
  }
}

export const inspectPatiently = (component: Component, to: string, attempt: Attempt): Promise<Observation> =>
  patiently(attempt, `${component.name} cannot be inspected`, () => component.adapter.inspect(callFor(component, to, attempt)));

/** Explicit, released, known healthy: a rollback to anything else is forbidden [002 section 5]. */
async function resolveTarget(component: Component, input: Request, asked: string | undefined, current: string | null, deps: Dependencies): Promise<string> {
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

function checkPresent(component: Component, to: string, seen: Observation): void {
  if (seen.current === to || seen.targetPresent !== false) return;
  throw new NotPossible(
    'target-in-place',
    `${component.adapter.name} no longer has ${to} of ${component.name}; it has ${seen.versions.slice(0, 5).join(', ') || 'no versions'}`,
  );
}

/** A build that brings a revoked credential back is no target [001 step 3e]. */
async function checkCarried(component: Component, to: string, deps: Dependencies, attempt: Attempt): Promise<readonly string[]> {
  const { carried, warnings } = await patiently(attempt, `${to} of ${component.name} cannot be looked through`, () =>
    carriedByBuild(component, to, deps, attempt),
  );
  if (carried !== null) throw new NotPossible('revoked-credential', `${carried}; name a version without it, or build it anew`);
  return warnings;
}

/** Repeated attempts without analysis are forbidden [002 section 11]. */
async function checkAnalysis(component: Component, input: Request, deployment: Deployment | null, deps: Dependencies): Promise<void> {
  const last = await deps.store.lastAttempt(input.environment, component.name, deployment?.deploymentId ?? null);
  if (last?.outcome === 'failed' && input.analysis === null && input.resumes === null) {
    throw new NotPossible(
      'analysis',
      `rollback ${last.rollbackId} of this deployment of ${component.name} failed; another attempt needs a written analysis (--analysis)`,
    );
  }
}

/** "Already stable" refuses automatic starts only, and warns on others [003]. */
async function checkStability(component: Component, input: Request, attempt: Attempt): Promise<string[]> {
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
