/** The plan of a deprovisioning, and the look that makes it anew where reality has moved before anything was changed [000 Rollback Procedure 1 and 2]. */
import type { LoadedConfig } from '../../model/config-file.ts';
import { fourEyesOn } from '../../model/config.ts';
import { deprovisionSteps, OFFBOARDED } from '../../model/deprovision.ts';
import type { StartInput } from '../../model/input.ts';
import { forbiddenStep, type Plan } from '../../model/plan.ts';
import { POLICIES, type Kind } from '../../model/policy.ts';
import { TENANT } from '../../model/tenant.ts';
import { canonical, sha256 } from '../../store/digest.ts';
import { NotPossible } from '../components.ts';
import type { Attempt, Dependencies } from '../dependencies.ts';
import { patiently } from '../look.ts';
import { replan } from '../recording.ts';
import type { Draft } from '../draft.ts';
import { failed, mayHaveActed, type Found } from '../found.ts';
import { inventoryOf, requestsOf } from './inventory.ts';
import { placeOf } from './place.ts';
import { planOf, type Scene } from './scene.ts';

/** What can be said of a tenant's request without looking anywhere. */
export function checkTenant({ tenant, components }: StartInput): string {
  if (tenant === null || !TENANT.test(tenant))
    throw new NotPossible('tenant', 'a deprovisioning needs the name of its tenant: letters, digits, dots, hyphens and underscores, such as acme');
  if (components.length > 0) throw new NotPossible('tenant', `a deprovisioning takes back a tenant, no components; leave out ${components.join(', ')}`);
  return tenant;
}

/** Only a person with the role may begin what takes a tenant's work away [000 When Rollback Triggers]. */
function checkOperator(loaded: LoadedConfig, { by }: StartInput): void {
  const { people } = loaded.config;
  if (people === undefined) return;
  const roles = Object.hasOwn(people, by) ? people[by]?.roles : undefined;
  if (roles?.includes('operator')) return;
  const who = Object.entries(people).flatMap(([name, person]) => (person.roles.includes('operator') ? [name] : []));
  throw new NotPossible(
    'operator-only',
    `${by} ${roles ? 'is no operator' : 'is not among the people of backout.yaml'}; a deprovisioning is started by an operator: ${who.join(', ') || 'nobody has the role'}`,
  );
}

interface Made {
  readonly plan: Plan;
  readonly planHash: string;
  readonly warnings: readonly string[];
  readonly snapshot: unknown;
}

async function make(
  kind: Kind,
  input: Pick<StartInput, 'environment' | 'cause' | 'request'> & { readonly tenant: string },
  loaded: LoadedConfig,
  attempt: Attempt,
): Promise<Made> {
  const { environment, tenant, cause, request } = input;
  const place = placeOf(loaded, environment, tenant, attempt);
  const all = await place.store.requests(place.storeCall);
  const taken = requestsOf(all, { environment, tenant, cause, ...(request === undefined ? {} : { request }) });
  const { artifacts, warnings, protected: standing } = await inventoryOf(place, all, taken);
  const requests = taken.map((one) => one.requestId);
  const steps = deprovisionSteps({
    tenant,
    requests,
    artifacts,
    isOver: taken.length === 0,
    fourEyes: (step) => fourEyesOn(loaded.config, step),
  });
  const forbidden = forbiddenStep(kind, steps);
  if (forbidden) throw new NotPossible('effect-not-allowed', `${forbidden.id} would touch ${forbidden.effect}, which a ${kind} may not`);
  const plan: Plan = { kind, environment, tenant, incident: null, targets: [], steps, targetSeconds: POLICIES[kind].targetSeconds, artifacts, requests };
  const over = taken.length === 0 ? [`nothing of ${tenant} is left to take back: it is only looked at once more`] : [];
  return { plan, planHash: sha256(canonical(plan)), warnings: [...over, ...warnings], snapshot: standing };
}

/** The first plan; a platform that is away for a moment is asked again, by the engine. */
export async function tenantDraft(kind: Kind, input: StartInput, deps: Dependencies, attempt: Attempt): Promise<Draft> {
  const tenant = checkTenant(input);
  const loaded = await deps.config();
  checkOperator(loaded, input);
  const { plan, planHash, warnings } = await patiently(attempt, `${tenant} cannot be looked at`, () => make(kind, { ...input, tenant }, loaded, attempt));
  return { plan, planHash, warnings, atTarget: false, deploymentIds: {}, snapshots: {}, observations: {} };
}

/** Looks again at what was planned; where something else is there, that is the plan, and nothing else of it was carried out. */
export async function identify(scene: Scene): Promise<Found> {
  const { work, deps, attempt } = scene;
  const before = await planOf(scene);
  const hashBefore = sha256(canonical(before));
  const made = await now(scene, before);
  if ('failure' in made) return made;
  const found: Found = {
    state: 'done',
    receipt: { after: { planHash: made.planHash, artifacts: made.plan.artifacts?.length ?? 0, protected: made.snapshot } },
    failure: null,
    remains: [],
    warnings: made.warnings,
  };
  if (made.planHash === hashBefore) return mayHaveActed(work, attempt) ? { ...found, change: { inventory: { plan: before, hash: hashBefore } } } : found;
  await replan(work, deps, attempt, { plan: made.plan, planHash: made.planHash, planHashBefore: hashBefore, deploymentIds: {} });
  return { ...found, change: { inventory: { plan: made.plan, hash: made.planHash } } };
}

async function now({ work, tenant, deps, attempt }: Scene, before: Plan): Promise<Made | Found> {
  try {
    const [only] = before.requests ?? [];
    const named = tenant.cause === OFFBOARDED || only === undefined ? {} : { request: only };
    return await make(before.kind, { environment: work.environment, tenant: tenant.name, cause: tenant.cause, ...named }, await deps.config(), attempt);
  } catch (error) {
    if (error instanceof NotPossible) return failed(error.rule === 'protected' ? 'Protected' : 'Configuration', error.message);
    throw error;
  }
}

/** What stands in the way of beginning: reality is not what was confirmed. Null: nothing. */
export async function staleness(scene: Scene, plan: Plan): Promise<string | Found | null> {
  const made = await now(scene, plan);
  if ('failure' in made) return made;
  return made.planHash === sha256(canonical(plan)) ? null : `${scene.tenant.name} is not as it was confirmed: look at the inventory again`;
}
