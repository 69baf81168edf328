/** A build or a configuration that would bring a revoked credential back is found before it is restored, and refused [001 step 3e]. */
import { StoreUnavailable } from '../store/store.ts';
import { callOf, type Component } from './components.ts';
import type { ConfigMark } from './configs/source.ts';
import { scanFiles } from './credentials/fingerprint-files.ts';
import { fingerprintOf } from './credentials/fingerprint.ts';
import type { Attempt, Dependencies } from './dependencies.ts';
import type { Source } from './incident/configuration.ts';

/** Fingerprints of what was revoked in any environment, with the credential's name. With the record away nobody can tell, and a plan was looked at before. */
async function revokedOnes({ store }: Pick<Dependencies, 'store'>): Promise<ReadonlyMap<string, string>> {
  try {
    const rows = await store.credentials({ state: 'revoked' });
    return new Map(rows.flatMap(({ fingerprint, credential }) => (fingerprint === null ? [] : [[fingerprint, credential]])));
  } catch (error) {
    if (error instanceof StoreUnavailable) return new Map();
    throw error;
  }
}

/** What this version carries, in words; null: nothing that is known, or nobody can look into it. */
export async function carriedByBuild(component: Component, to: string, deps: Pick<Dependencies, 'store'>, attempt: Attempt): Promise<string | null> {
  const { adapter, folder, name } = component;
  if (!adapter.files) return null;
  const known = await revokedOnes(deps);
  if (known.size === 0) return null;
  const { signal, heartbeat } = attempt;
  const paths = await adapter.files(callOf(component, { to, operationId: 'inspection', attempt: 1, signal, heartbeat }));
  const { found } = await scanFiles(folder, paths, new Set(known.keys()), { signal, heartbeat });
  return found.length === 0 ? null : `${to} of ${name} carries ${named(found.map((one) => [known.get(one.fingerprint) ?? '', one.path]))}`;
}

/** What the recorded configuration would bring back, in words. */
export async function carriedByConfig(
  folder: string,
  list: readonly Source[],
  marks: readonly string[],
  deps: Pick<Dependencies, 'store'>,
): Promise<string | null> {
  const known = await revokedOnes(deps);
  if (known.size === 0) return null;
  const carried: [string, string][] = [];
  for (const [index, { source, call }] of list.entries()) {
    const mark: ConfigMark = { id: marks[index] ?? '', keys: {} };
    if (mark.id === '' || !source.recorded) continue;
    for (const [key, value] of await source.recorded(call, mark)) {
      const credential = value === '' ? undefined : known.get((await fingerprintOf(folder, value)).fingerprint);
      if (credential !== undefined) carried.push([credential, key]);
    }
  }
  return carried.length === 0 ? null : `the recorded configuration carries ${named(carried)}`;
}

const named = (carried: readonly (readonly [credential: string, place: string])[]): string =>
  carried
    .slice(0, 5)
    .map(([credential, place]) => `the revoked ${credential} (${place})`)
    .join(', ');
