/** A build or a configuration that would bring a revoked credential back is found before it is restored, and refused [001 step 3e]. */
import { StoreUnavailable } from '../store/store.ts';
import { callOf, type Component } from './components.ts';
import type { ConfigMark } from './configs/source.ts';
import { scanFiles, type Scan } from './credentials/fingerprint-files.ts';
import { Finder, fingerprintOf } from './credentials/fingerprint.ts';
import type { Attempt, Dependencies } from './dependencies.ts';
import type { Source } from './incident/configuration.ts';

/** Fingerprints of what was revoked in any environment, with the credential's name. With the record away nobody can tell, and a plan was looked at before. */
export async function revokedOnes({ store }: Pick<Dependencies, 'store'>): Promise<ReadonlyMap<string, string>> {
  try {
    const rows = await store.credentials({ state: 'revoked' });
    return new Map(rows.flatMap(({ fingerprint, credential }) => (fingerprint === null ? [] : [[fingerprint, credential]])));
  } catch (error) {
    if (error instanceof StoreUnavailable) return new Map();
    throw error;
  }
}

export interface LookedThrough {
  /** In words; null: nothing that is known. */
  readonly carried: string | null;
  /** What may carry one all the same, since it was not looked through. */
  readonly warnings: readonly string[];
}

const NOTHING: LookedThrough = { carried: null, warnings: [] };

/** What this version carries, where its platform lets the worker look into it. */
export async function carriedByBuild(component: Component, to: string, deps: Pick<Dependencies, 'store'>, attempt: Attempt): Promise<LookedThrough> {
  const { adapter, folder, name } = component;
  if (!adapter.files) return NOTHING;
  const known = await revokedOnes(deps);
  if (known.size === 0) return NOTHING;
  const { signal, heartbeat } = attempt;
  const paths = await adapter.files(callOf(component, { to, operationId: 'inspection', attempt: 1, signal, heartbeat }));
  const scan = await scanFiles(folder, paths, new Set(known.keys()), { signal, heartbeat });
  const carried = scan.found.map((one) => [known.get(one.fingerprint) ?? '', one.path] as const);
  return { carried: carried.length === 0 ? null : `${to} of ${name} carries ${named(carried)}`, warnings: notSeen(`${to} of ${name}`, scan, known) };
}

/** Few names and a count: what is not said to be skipped is believed to be clean. */
function notSeen(what: string, { skipped, foreign }: Scan, known: ReadonlyMap<string, string>): string[] {
  const names = skipped.slice(0, SHOWN_MAX).map(({ path, why }) => `${path} (${why})`);
  if (skipped.length > SHOWN_MAX) names.push(`and ${skipped.length - SHOWN_MAX} more`);
  return [
    ...(names.length === 0 ? [] : [`not looked through for revoked credentials, of ${what}: ${names.join(', ')}`]),
    ...(foreign.length === 0
      ? []
      : [
          `${what} was not looked through for ${foreign.length} revoked ${foreign.length === 1 ? 'secret' : 'secrets'} of ${[...new Set(foreign.map((one) => known.get(one)))].join(', ')}: another installation has fingerprinted them (.backout/fingerprint.key)`,
        ]),
  ];
}

const SHOWN_MAX = 3;

/** What the recorded configuration would bring back, in words: as a whole value, or within one, as in an address. */
export async function carriedByConfig(
  folder: string,
  list: readonly Source[],
  marks: readonly string[],
  deps: Pick<Dependencies, 'store'>,
): Promise<string | null> {
  const known = await revokedOnes(deps);
  if (known.size === 0) return null;
  const finder = new Finder(folder, new Set(known.keys()));
  const carried: [string, string][] = [];
  for (const [index, { source, call }] of list.entries()) {
    const mark: ConfigMark = { id: marks[index] ?? '', keys: {} };
    if (mark.id === '' || !source.recorded) continue;
    for (const [key, value] of await source.recorded(call, mark)) {
      const found = new Set(value === '' ? [] : [(await fingerprintOf(folder, value)).fingerprint]);
      finder.look(`${key}=${value}`, found);
      finder.forget();
      carried.push(...[...new Set([...found].flatMap((one) => known.get(one) ?? []))].map((credential): [string, string] => [credential, key]));
    }
  }
  return carried.length === 0 ? null : `the recorded configuration carries ${named(carried)}`;
}

const named = (carried: readonly (readonly [credential: string, place: string])[]): string =>
  carried
    .slice(0, 5)
    .map(([credential, place]) => `the revoked ${credential} (${place})`)
    .join(', ');
