/** Would the last healthy versions bring a revoked credential back [001 step 3e]? An incident meets that only once everything is frozen: doctor says it before. */
import type { LoadedConfig } from '../../model/config-file.ts';
import { StoreUnavailable } from '../../store/store.ts';
import { environmentOf } from '../components.ts';
import type { Attempt, Dependencies } from '../dependencies.ts';
import type { Finding } from '../inspect.ts';
import { revokedOnes } from '../revoked.ts';
import { carriedAt } from './carried.ts';
import { looking, ok, problem, warning } from './findings.ts';

const CHECK = 'revoked';
/** A build is read to its end. */
const LOOK_SECONDS = 60;

export async function carriedFindings(loaded: LoadedConfig, environment: string, deps: Dependencies, attempt: Attempt): Promise<Finding[]> {
  if ((await revokedOnes(deps)).size === 0) return [];
  const names = Object.keys(environmentOf(loaded, environment).components);
  const all = await Promise.all(
    names.map((name) =>
      looking({ check: CHECK, remedy: 'see what it cannot look into', attempt, seconds: LOOK_SECONDS }, (within) =>
        ofComponent(loaded, environment, name, deps, within),
      ),
    ),
  );
  const found = all.flat();
  return found.length > 0 ? found : [ok(CHECK, 'no last healthy version, and no configuration recorded with one, carries a revoked credential')];
}

async function ofComponent(loaded: LoadedConfig, environment: string, name: string, deps: Dependencies, within: Attempt): Promise<Finding[]> {
  try {
    const from = (await deps.store.deployments({ environment, component: name, limit: 50 })).find((row) => row.status !== 'rolled_back')?.version ?? null;
    const to = (await deps.store.lastHealthy(environment, name, from))?.version;
    if (to === undefined) return [];
    const { carried, warnings } = await carriedAt(loaded, environment, { component: name, to }, deps, within);
    return [
      ...carried.map((one) =>
        problem(CHECK, `${one}: a rollback to it is refused`, 'build that version anew without it, and record and verify it; or mend what is recorded'),
      ),
      ...warnings.map((one) => warning(CHECK, one, 'look through it by other means')),
    ];
  } catch (error) {
    if (error instanceof StoreUnavailable) return [];
    throw error;
  }
}
