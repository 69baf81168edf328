/** Could a tenant of this environment be deprovisioned now? The provisioning store and each platform are asked. Changes nothing. */
import type { LoadedConfig } from '../../model/config-file.ts';
import { AdapterError } from '../adapters/adapter.ts';
import { NotPossible } from '../components.ts';
import type { Attempt } from '../dependencies.ts';
import type { Finding } from '../inspect.ts';
import { placeOf, type Place } from './place.ts';

/** Nobody's: what is asked about it answers with nothing, and proves address, credential and rights. */
const NOBODY = 'backout-doctor';

const answers = async (check: string, ask: () => Promise<string>, remedy: string): Promise<Finding> => {
  try {
    return { check, verdict: 'ok', detail: await ask(), remedy: null };
  } catch (error) {
    if (error instanceof AdapterError) return { check, verdict: 'problem', detail: error.message, remedy };
    throw error;
  }
};

export async function diagnoseTenants(loaded: LoadedConfig, environment: string, attempt: Attempt): Promise<Finding[]> {
  let place: Place;
  try {
    place = placeOf(loaded, environment, NOBODY, attempt);
  } catch (error) {
    if (error instanceof NotPossible) return [{ check: 'configuration', verdict: 'problem', detail: error.message, remedy: 'mend backout.yaml' }];
    throw error;
  }
  const { store, storeCall, platforms } = place;
  return Promise.all([
    answers(
      `store ${store.name}`,
      async () => `answers; ${(await store.requests(storeCall)).length === 0 ? 'requests and error_log can be read' : 'it knows a tenant of that name'}`,
      'see that it runs, and that the worker may read it',
    ),
    ...platforms.map(({ name, platform, call }) =>
      answers(
        name,
        async () => {
          await platform.marked(call);
          const standing = Object.keys(await platform.protected(call)).length;
          const does = Object.values(platform.actions).flatMap(({ choices }) => choices);
          if (does.length === 0) return `${platform.name} is configured; it is asked only about an artifact, and Backout only looks there`;
          return `${platform.name} answers; Backout may ${does.join(' or ')}${standing === 0 ? '' : `; ${standing} templates and demo instances are protected`}`;
        },
        'mend it in backout.yaml, or renew its credential',
      ),
    ),
  ]);
}
