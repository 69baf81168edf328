/** Where a tenant is deprovisioned: its provisioning store and its platforms, as `backout.yaml` names them [000]. */
import type { LoadedConfig } from '../../model/config-file.ts';
import type { TenantsConfig } from '../../model/config.ts';
import { nameOf } from '../../model/deprovision.ts';
import { keyOf, type Artifact, type ProvisioningRequest } from '../../model/tenant.ts';
import type { Fence } from '../adapters/adapter.ts';
import { checkedOptions, environmentOf, NotPossible } from '../components.ts';
import { secretOf } from '../secrets.ts';
import type { Attempt } from '../dependencies.ts';
import type { ProvisioningCall, ProvisioningStore } from '../provisioning/provisioning.ts';
import * as stores from '../provisioning/registry.ts';
import type { ArtifactCall, PlatformCall, Sighting, TenantPlatform } from '../tenants/platform.ts';
import * as platforms from '../tenants/registry.ts';

// Each has options of its own, which it checks itself.
const STORES = Object.values<ProvisioningStore>(stores as unknown as Record<string, ProvisioningStore>);
const PLATFORMS = Object.values<TenantPlatform>(platforms as unknown as Record<string, TenantPlatform>);

/** A platform of `backout.yaml`, ready to be asked about this tenant. */
export interface Connected {
  /** As the house calls it. */
  readonly name: string;
  readonly platform: TenantPlatform;
  readonly call: PlatformCall<unknown>;
}

export interface Place {
  readonly environment: string;
  readonly tenant: string;
  readonly store: ProvisioningStore;
  readonly storeCall: ProvisioningCall<unknown>;
  readonly platforms: readonly Connected[];
}

export function placeOf(loaded: LoadedConfig, environment: string, tenant: string, attempt: Pick<Attempt, 'signal' | 'heartbeat'>): Place {
  const config = environmentOf(loaded, environment).tenants;
  if (!config)
    throw new NotPossible(
      'tenant',
      `${environment} has no tenants in ${loaded.file}; say under environments.${environment}.tenants where they are provisioned`,
    );
  const call = { environment, tenant, folder: loaded.folder, signal: attempt.signal, secret: secretOf(loaded.folder) };
  const { store: storeName } = config.provisioning;
  const store = STORES.find((one) => one.name === storeName) ?? unknown('provisioning store', storeName, STORES);
  return {
    environment,
    tenant,
    store,
    storeCall: {
      ...call,
      options: checkedOptions(loaded, store.options, config.provisioning.options, ['environments', environment, 'tenants', 'provisioning', 'options']),
    },
    platforms: Object.entries(config.platforms).map(([name, one]) => connected(loaded, environment, name, one, { ...call, heartbeat: attempt.heartbeat })),
  };
}

function connected(
  loaded: LoadedConfig,
  environment: string,
  name: string,
  config: TenantsConfig['platforms'][string],
  call: Omit<PlatformCall<unknown>, 'options'>,
): Connected {
  const platform = PLATFORMS.find((one) => one.name === config.platform) ?? unknown('platform of tenants', config.platform, PLATFORMS);
  const options = checkedOptions(loaded, platform.options, config.options, ['environments', environment, 'tenants', 'platforms', name, 'options']);
  return { name, platform, call: { ...call, options } };
}

function unknown(what: string, name: string, known: readonly { readonly name: string }[]): never {
  throw new NotPossible('unknown-platform', `there is no ${what} ${JSON.stringify(name)}; there is ${known.map((one) => one.name).join(', ')}`);
}

/** The platform that has this artifact; null where none that is configured could. */
export function platformOf(place: Place, artifact: Artifact): Connected | null {
  const able = place.platforms.filter(({ platform, name }) => platform.types.includes(artifact.type) && (artifact.platform ?? name) === name);
  const [one, another] = able;
  if (one && another)
    throw new NotPossible(
      'inventory',
      `${nameOf(artifact)} could lie on ${able.map(({ name }) => name).join(' or ')}; say which in "platform" of the artifact in the Canonical Object`,
    );
  if (one) return one;
  if (artifact.platform !== undefined)
    throw new NotPossible(
      'inventory',
      `${nameOf(artifact)} lies on ${JSON.stringify(artifact.platform)}, and environments.${place.environment}.tenants.platforms has no such platform for a ${artifact.type}`,
    );
  return null;
}

/** What there is to know about an artifact where nobody can look. */
export const UNSEEN: Sighting = { presence: 'unknown', guarded: null, detail: 'no platform is configured that could tell', facts: {} };

export const artifactCall = (
  { call }: Connected,
  artifact: Artifact,
  listed: readonly Artifact[],
  by: Pick<ArtifactCall<unknown>, 'operationId' | 'attempt'> = { operationId: 'inspection', attempt: 1 },
): ArtifactCall<unknown> => ({ ...call, artifact, listed, ...by });

/** How many artifacts of a platform are looked at together, where it cannot be asked about all at once. */
const AT_ONCE = 4;

/** Looks at each, in their order; where no platform is configured for one, that is what is known. */
export async function sight(place: Place, artifacts: readonly Artifact[], listed: readonly Artifact[]): Promise<Sighting[]> {
  const seen: Sighting[] = artifacts.map(() => UNSEEN);
  const at = artifacts.map((artifact) => platformOf(place, artifact));
  for (const one of place.platforms) {
    const mine = artifacts.flatMap((artifact, index) => (at[index] === one ? [{ artifact, index }] : []));
    const all = mine.map(({ artifact }) => artifact);
    const sightings = one.platform.survey ? await one.platform.survey({ ...one.call, listed }, all) : await eachOf(one, all, listed);
    for (const [number, { index }] of mine.entries()) seen[index] = sightings[number] ?? UNSEEN;
  }
  return seen;
}

async function eachOf(at: Connected, artifacts: readonly Artifact[], listed: readonly Artifact[]): Promise<Sighting[]> {
  const seen: Sighting[] = [];
  for (let from = 0; from < artifacts.length; from += AT_ONCE) {
    const some = artifacts.slice(from, from + AT_ONCE);
    seen.push(...(await Promise.all(some.map((artifact) => at.platform.inspect(artifactCall(at, artifact, listed))))));
    at.call.heartbeat(`looked at ${seen.length} of ${artifacts.length} on ${at.name}`);
  }
  return seen;
}

/** Everything that the tenant's Canonical Objects list, each once. */
export function listedBy(requests: readonly ProvisioningRequest[]): Artifact[] {
  const all = requests.flatMap(({ config }) => [...config.artifacts, ...config.removed]);
  return [...new Map(all.map((one) => [keyOf(one), one])).values()];
}

/** What each platform cannot guarantee, by the name it has in this house. */
export const limitsOf = (
  loaded: LoadedConfig,
  environment: string,
  tenant: string,
  attempt: Attempt,
): Readonly<Record<string, { readonly fence: Fence | null; readonly limits: readonly string[] }>> =>
  Object.fromEntries(
    placeOf(loaded, environment, tenant, attempt).platforms.map(({ name, platform }) => [
      name,
      { fence: Object.values(platform.actions)[0]?.fence ?? null, limits: platform.limits },
    ]),
  );
