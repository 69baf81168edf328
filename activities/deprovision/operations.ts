/** The operations of a deprovisioning [000 Rollback Procedure]. One line each. */
import type { Operation } from '../../model/plan.ts';
import type { LoadedConfig } from '../../model/config-file.ts';
import type { Attempt, Dependencies } from '../dependencies.ts';
import { fromError, type Found } from '../found.ts';
import type { StepWork } from '../step.ts';
import { begin, complete, fail } from './ends.ts';
import { identify } from './identify.ts';
import { placeOf } from './place.ts';
import { look, release, remove } from './removals.ts';
import type { Scene } from './scene.ts';
import { remnants } from './remnants.ts';

const OPERATIONS: Partial<Record<Operation, (scene: Scene) => Promise<Found>>> = {
  inventory: identify,
  begin,
  remove,
  release,
  look,
  remnants,
  fail,
  complete,
};

/** Null: the step is none of a deprovisioning. */
export function tenantOperation(
  work: StepWork,
): ((at: { readonly loaded: LoadedConfig; readonly deps: Dependencies; readonly attempt: Attempt }) => Promise<Found>) | null {
  const { tenant } = work;
  const operation = work.step.operation === null ? undefined : OPERATIONS[work.step.operation];
  if (!tenant || !operation) return null;
  return async ({ loaded, deps, attempt }) => {
    const scene: Scene = { work, tenant, place: placeOf(loaded, work.environment, tenant.name, attempt), deps, attempt };
    // What the operation saw before it went wrong is in its own message; whether it acted only another look tells.
    return operation(scene).catch((error: unknown) => fromError(work, attempt, error, { receipt: null, acted: work.step.effect === 'tenant' }));
  };
}
