/** Looking, from outside of any rollback, whether what an incident put back and froze is still so. Each answers what is wrong, or null. */
import type { LoadedConfig } from '../../model/config-file.ts';
import type { Freeze } from '../../model/freeze.ts';
import { AdapterError, type Adapter } from '../adapters/adapter.ts';
import { callOf, findComponent, NotPossible } from '../components.ts';
import { callTo, carrierOf, openOf } from './carriers.ts';

const quiet = new AbortController().signal;

/** Null: where it should be, or the platform cannot be asked. */
export async function whereIs(
  adapters: Readonly<Record<string, Adapter>>,
  loaded: LoadedConfig,
  { environment }: Freeze,
  name: string,
  to: string,
): Promise<string | null> {
  return lookAt(async () => {
    const component = findComponent(loaded, adapters, environment, name);
    const { current } = await component.adapter.inspect(
      callOf(component, { to, operationId: 'inspection', attempt: 1, signal: quiet, heartbeat: () => undefined }),
    );
    return current === null || current === to ? null : `${name} was put back to ${to}, and ${component.adapter.name} has ${current} in place`;
  });
}

export async function whatIsLifted(loaded: LoadedConfig, { environment, incident, inForce }: Freeze, name: string): Promise<string | null> {
  return lookAt(async () => {
    const carrier = carrierOf(loaded, environment, name);
    const call = callTo(carrier, {
      environment,
      incident,
      folder: loaded.folder,
      operationId: 'inspection',
      scopes: inForce,
      signal: quiet,
      heartbeat: () => undefined,
    });
    const open = openOf(await carrier.carrier.inspect(call));
    return open === null ? null : `the freeze was lifted by hand on ${name}: ${open}`;
  });
}

/** A platform that is away proves nothing. */
async function lookAt(look: () => Promise<string | null>): Promise<string | null> {
  try {
    return await look();
  } catch (error) {
    if (error instanceof AdapterError || error instanceof NotPossible) return null;
    throw error;
  }
}
