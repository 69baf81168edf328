/** The plan of an incident rollback: what belongs to each target, now and then, and the steps in their declared order [001 steps 2 and 3]. */
import type { LoadedConfig } from '../../model/config-file.ts';
import { fourEyesOn } from '../../model/config.ts';
import { incidentSteps } from '../../model/incident.ts';
import type { StartInput } from '../../model/input.ts';
import { workflowIdOf, type Compared, type Plan, type PlanStep, type Target } from '../../model/plan.ts';
import { KINDS, POLICIES, type Kind } from '../../model/policy.ts';
import { AdapterError } from '../adapters/adapter.ts';
import { environmentOf, NotPossible, type Component } from '../components.ts';
import type { Attempt, Dependencies } from '../dependencies.ts';
import type { Look } from '../look.ts';
import { drifted, sourcesOf } from './configuration.ts';
import { lookAtData, type DataLook } from './data-look.ts';
import { carrierOf } from './carriers.ts';
import { factsOf, keptOf } from './keep.ts';

export interface PlanOf {
  readonly kind: Kind;
  readonly input: StartInput;
  readonly loaded: LoadedConfig;
  readonly components: readonly Component[];
  readonly seen: readonly Look[];
  readonly deps: Dependencies;
  readonly attempt: Attempt;
}

export async function incidentPlan(
  of: PlanOf,
): Promise<{ targets: Target[]; steps: PlanStep[]; targetSeconds: number | null; warnings: string[] } & Pick<Plan, 'places' | 'window' | 'recover' | 'data'>> {
  const { kind, input, loaded, components, seen, deps, attempt } = of;
  const environment = environmentOf(loaded, input.environment);
  await checkLeft(of);
  const carriers = Object.keys(environment.freeze?.carriers ?? {});
  // A carrier that cannot be used is said before anything is declared, not in the middle of it.
  for (const name of carriers) carrierOf(loaded, input.environment, name);
  const compared = await Promise.all(
    components.map((component, index) => {
      const one = seen[index];
      if (!one) throw new Error(`${component.name} was not looked at`);
      return targetOf(component, one, loaded, deps, attempt);
    }),
  );
  const targets = compared.map((one) => one.target);
  const ask = { kind, environment: input.environment, targets, tenant: input.tenant, until: new Date().toISOString(), ...recoveryOf(input) };
  const seenOfData = await lookAtData(loaded, ask, deps, attempt);
  return {
    targets,
    steps: stepsOf(loaded, { kind, environment: input.environment, cause: input.cause, components, targets, data: seenOfData }),
    ...beside(seenOfData),
    targetSeconds: seenOfData?.targetSeconds ?? POLICIES[kind].targetSeconds,
    warnings: [...compared.flatMap((one) => one.warnings), ...missing(loaded, input), ...(seenOfData?.warnings ?? [])],
  };
}

export const recoveryOf = ({ recover, window: span }: Pick<StartInput, 'recover' | 'window'>): Pick<StartInput, 'recover' | 'window'> => ({
  ...(recover === undefined ? {} : { recover }),
  ...(span === undefined ? {} : { window: span }),
});

/** What a plan of level 2 or 3 says beside its steps. */
export const beside = (seen: DataLook | null): Pick<Plan, 'places' | 'window' | 'recover' | 'data'> =>
  seen === null
    ? {}
    : {
        places: seen.places,
        data: seen.data,
        ...(seen.window === undefined ? {} : { window: seen.window }),
        ...(seen.recover === undefined ? {} : { recover: seen.recover }),
      };

/** The steps as the configuration has them now, in their declared order. */
export function stepsOf(
  loaded: LoadedConfig,
  of: {
    readonly kind: Kind;
    readonly environment: string;
    readonly cause: string;
    readonly components: readonly Component[];
    readonly targets: readonly Target[];
    readonly data: DataLook | null;
  },
): PlanStep[] {
  const { kind, cause, components, targets, data } = of;
  const environment = environmentOf(loaded, of.environment);
  return incidentSteps({
    kind,
    cause,
    targets,
    waves: wavesOf(components),
    configured: new Set(components.flatMap((component) => (component.config.config ? [component.name] : []))),
    parity: components.some((component) => component.config.openapi),
    gates: Object.entries(environment.gates ?? {}).map(([name, gate]) => ({ name, covers: gate.covers })),
    carriers: Object.keys(environment.freeze?.carriers ?? {}),
    review: environment.review !== undefined,
    ...(data === null ? {} : { data: data.data }),
    fourEyes: (step) => fourEyesOn(loaded.config, step),
  });
}

/** The freeze is the incident's: whoever lifts it answers for everything that an earlier rollback of it left behind. */
async function checkLeft({ input, deps, loaded }: PlanOf): Promise<void> {
  const held = await deps.store.freezes({ environment: input.environment, incident: input.incident ?? '', inForceOnly: true });
  if (held.length === 0) return;
  // It may have been of another level.
  const levels = KINDS.filter((one) => POLICIES[one].level !== null);
  const earlier = (await Promise.all(levels.map((one) => deps.store.rollbacks({ workflowId: workflowIdOf({ kind: one, ...input }), limit: 50 })))).flat();
  const configured = loaded.config.environments[input.environment]?.components ?? {};
  const left = new Set(earlier.flatMap((one) => (one.outcome === 'partial' ? one.components : [])).filter((name) => Object.hasOwn(configured, name)));
  const missing = [...left].filter((name) => !input.components.includes(name));
  if (missing.length > 0)
    throw new NotPossible(
      'incident',
      `an earlier rollback of ${input.incident ?? ''} ended partial and left the freeze, and ${missing.join(', ')} belong to it too; name them as well, those that are at their target already stay as they are`,
    );
}

/** What [001 step 4] and [001 Ownership] ask for and the configuration does not have. */
function missing(loaded: LoadedConfig, input: StartInput): string[] {
  const { people, channels } = loaded.config;
  const environment = environmentOf(loaded, input.environment);
  const gates = Object.values(environment.gates ?? {});
  const uncovered = ['ci', 'evidence'].filter((cover) => !gates.some((gate) => gate.covers === cover));
  const held = Object.values(people ?? {}).flatMap((person) => person.roles);
  return [
    ...uncovered.map((cover) => `no gate of ${input.environment} covers ${cover}; [001 step 4] asks for one`),
    ...(environment.review ? [] : ['no repository for review is configured: [001 step 4] asks to record verification evidence in docs/review/']),
    ...(people === undefined ? ['no people are configured: anyone may declare, confirm and unfreeze, self-declared'] : []),
    ...(people !== undefined && !held.includes('incident-commander') ? ['nobody has the role incident-commander: assign it to somebody'] : []),
    ...(channels.stakeholders.length === 0 ? ['no channel for stakeholders is configured (channels.stakeholders)'] : []),
  ];
}

/**
 * What is gone back to, and how it differs from what is there. What changes from minute to minute, as the cutover point does, is shown by
 * its recorded value only: a plan that never holds still could never be confirmed.
 */
export async function targetOf(
  component: Component,
  { target, deployment }: Look,
  loaded: LoadedConfig,
  deps: Pick<Dependencies, 'store'>,
  attempt: Attempt,
): Promise<{ target: Target; warnings: string[]; volatile: Readonly<Record<string, string>> }> {
  const then = await keptOf(deps, component.environment, component.name, target.to);
  const { facts, problems } = await factsOf(component, target.from ?? '', attempt.signal);
  const marks = (component.config.config ?? []).map((_, index) => then?.kept?.marks[index]?.id ?? '');
  const warnings = [...problems];
  if (marks.length > 0 && marks.every((id) => id === ''))
    warnings.push(`${component.name}: no configuration was recorded with ${target.to}, so none will be set back; verify its deployment before you need it`);
  if (component.config.openapi && component.config.openapi.document === undefined && !then?.kept?.openapi)
    warnings.push(`${component.name}: no OpenAPI document was recorded with ${target.to}, so its parity cannot be proven`);
  const keys = await drifted(sourcesOf(loaded, component, attempt, 'inspection'), marks).catch((error: unknown): Compared[] => {
    if (!(error instanceof AdapterError)) throw error;
    warnings.push(`${component.name}: its configuration cannot be compared: ${error.message}`);
    return [];
  });
  const row = (what: string, now: string | null | undefined, was: string | null | undefined): Compared[] =>
    (now ?? null) === null && (was ?? null) === null ? [] : [{ what, now: now ?? null, then: was ?? null }];
  const comparison = [
    ...row('commit', deployment?.commit, then?.deployment.commit),
    ...row('build', deployment?.platformRef, then?.deployment.platformRef),
    ...row('deployment', deployment?.deploymentId, then?.deployment.deploymentId),
    ...row('migrations', facts['migrations'], then?.kept?.facts['migrations']),
    ...row('cutover', null, then?.kept?.facts['cutover']),
    ...keys,
  ];
  const migrated = comparison.find((one) => one.what === 'migrations' && one.then !== null && one.now !== one.then);
  if (migrated)
    warnings.push(
      `${component.name}: the migrations are at ${migrated.now ?? '?'}, and were at ${migrated.then ?? '?'} with ${target.to}; level 1 leaves the schema as it is, level 2 undoes what was recorded`,
    );
  const { targetSeconds } = component.config;
  return {
    target: { ...target, comparison, ...(marks.length === 0 ? {} : { marks }), ...(targetSeconds === undefined ? {} : { targetSeconds }) },
    warnings,
    volatile: facts['cutover'] === undefined ? {} : { cutover: facts['cutover'] },
  };
}

/** Components that wait for nobody go together; the others when those named in `after` are back. */
function wavesOf(components: readonly Component[]): string[][] {
  const names = new Set(components.map((component) => component.name));
  const left = new Map(components.map((component) => [component.name, (component.config.after ?? []).filter((name) => names.has(name))]));
  const waves: string[][] = [];
  while (left.size > 0) {
    const wave = [...left].flatMap(([name, after]) => (after.some((one) => left.has(one)) ? [] : [name]));
    if (wave.length === 0)
      throw new NotPossible('configuration', `the components ${[...left.keys()].join(', ')} wait for each other: mend "after" in backout.yaml`);
    for (const name of wave) left.delete(name);
    waves.push(wave);
  }
  return waves;
}
