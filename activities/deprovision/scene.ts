/** Where a step of a deprovisioning acts, and what its plan says. */
import { isTaken, type Inventoried } from '../../model/deprovision.ts';
import type { Plan } from '../../model/plan.ts';
import { keyOf, type Artifact, type ProvisioningRequest } from '../../model/tenant.ts';
import type { Attempt, Dependencies } from '../dependencies.ts';
import { failed, isHeld, operationIdOf, type Found } from '../found.ts';
import type { RequestCall } from '../provisioning/provisioning.ts';
import type { StepWork, TenantWork } from '../step.ts';
import type { Place } from './place.ts';

export interface Scene {
  readonly work: StepWork;
  readonly tenant: TenantWork;
  readonly place: Place;
  readonly deps: Dependencies;
  readonly attempt: Attempt;
}

/** The claim of a tenant; no component's name begins so. */
export const claimOf = (tenant: string): string => `@tenant:${tenant}`;

/** The plan as the record has it: the same for every attempt, and too long to ride with every step. */
export async function planOf({ work, deps }: Scene): Promise<Plan> {
  const plan = (await deps.store.rollback(work.rollbackId))?.plan;
  if (!plan?.artifacts) throw new Error(`the record has no plan of rollback ${work.rollbackId}`);
  return plan;
}

export const artifactsOf = (plan: Plan): readonly Inventoried[] => (plan.artifacts ?? []).filter(isTaken);

/** What some Canonical Object listed when it was planned; what only carries the mark is not among it. */
export const listedIn = (plan: Plan): readonly Inventoried[] => (plan.artifacts ?? []).filter((one) => one.requests.length > 0);

/** The artifact of this step. */
export function subjectOf(plan: Plan, { tenant: { subject } }: Scene): Inventoried {
  const found = plan.artifacts?.find((one) => keyOf(one) === subject);
  if (!found) throw new Error(`the plan has no artifact ${subject ?? ''}`);
  return found;
}

export const requestCall = ({ work, tenant, place }: Scene, requests: readonly string[]): RequestCall<unknown> => ({
  ...place.storeCall,
  requests,
  rollbackId: work.rollbackId,
  operationId: operationIdOf(work),
  by: tenant.by,
  at: new Date().toISOString(),
});

/** The requests of this rollback as the store has them now. */
export async function requestsNow({ place }: Scene, plan: Plan): Promise<readonly ProvisioningRequest[]> {
  const ids = plan.requests ?? [];
  return (await place.store.requests(place.storeCall)).filter((one) => ids.includes(one.requestId));
}

/** How an artifact has left a request that another has come to use: it was not removed. */
export const KEPT = 'kept';

/** Who else lists these by now, in words: over days another request, or another tenant, may have come to use one. */
export async function othersOf(
  { place }: Scene,
  plan: Plan,
  artifacts: readonly Artifact[],
): Promise<ReadonlyMap<string, { readonly isOther: boolean; readonly why: string }>> {
  const found = await place.store.alsoListed(place.storeCall, artifacts, plan.requests ?? []);
  return new Map(
    found.map(({ artifact, tenant, requestId }) => {
      const isOther = tenant !== place.tenant;
      return [
        keyOf(artifact),
        { isOther, why: `request ${requestId} of ${isOther ? 'another tenant, ' : ''}${tenant} lists it too by now, and is not rolled back` },
      ];
    }),
  );
}

/** Nothing is changed by a run that has lost the tenant, or of a request that is not in its rollback: another may be at it. Null: go on. */
export async function mayNotChange(scene: Scene, plan: Plan): Promise<Found | null> {
  const { work, tenant, deps } = scene;
  if (!(await isHeld(work, claimOf(tenant.name), deps)))
    return failed('ClaimLost', `${tenant.name} is no longer claimed by this rollback; nothing was changed`);
  // Who did it by hand after a failure changes nothing by saying so.
  const isRight = (status: string): boolean => status === 'ROLLBACK_IN_PROGRESS' || (work.mode === 'inspect' && status === 'FAILED');
  const odd = (await requestsNow(scene, plan)).find((one) => !isRight(one.status) || one.rollbackId !== work.rollbackId);
  if (!odd) return null;
  return failed(
    'ClaimLost',
    `request ${odd.requestId} is ${odd.status}${odd.rollbackId === work.rollbackId ? '' : ' and not under this rollback'}; nothing was changed`,
  );
}
