/** Would going back bring a revoked credential back [001 step 3e]? Asked in peace, by a plan that is only shown and by doctor: an incident's own start is contained first [ADR 0014]. */
import type { LoadedConfig } from '../../model/config-file.ts';
import type { Target } from '../../model/plan.ts';
import { AdapterError } from '../adapters/adapter.ts';
import { findComponent, NotPossible } from '../components.ts';
import type { Attempt, Dependencies } from '../dependencies.ts';
import { carriedByBuild, carriedByConfig, revokedOnes, type LookedThrough } from '../revoked.ts';
import { drifted, sourcesOf } from './configuration.ts';
import { keptOf } from './keep.ts';

/** Of one component; what could not be looked at is a warning. */
export async function carriedAt(
  loaded: LoadedConfig,
  environment: string,
  { component: name, to }: Pick<Target, 'component' | 'to'>,
  deps: Dependencies,
  attempt: Attempt,
): Promise<{ readonly carried: readonly string[]; readonly warnings: readonly string[] }> {
  if ((await revokedOnes(deps)).size === 0) return { carried: [], warnings: [] };
  try {
    const component = findComponent(loaded, deps.adapters, environment, name);
    const build: LookedThrough = await carriedByBuild(component, to, deps, attempt);
    const list = sourcesOf(loaded, component, attempt, 'inspection');
    const kept = list.length === 0 ? null : await keptOf(deps, environment, name, to);
    const marks = list.map((_, index) => kept?.kept?.marks[index]?.id ?? '');
    // What has not drifted is not set back.
    const config = (await drifted(list, marks)).length === 0 ? null : await carriedByConfig(component.folder, list, marks, deps);
    const carried = [...(build.carried === null ? [] : [build.carried]), ...(config === null ? [] : [`${name}: ${config}`])];
    return { carried, warnings: build.warnings };
  } catch (error) {
    if (attempt.signal.aborted || !(error instanceof AdapterError || error instanceof NotPossible)) throw error;
    return { carried: [], warnings: [`${to} of ${name} cannot be looked through for revoked credentials: ${error.message}`] };
  }
}
