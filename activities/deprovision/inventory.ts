/** What a tenant has: its Canonical Objects, checked against the platforms [000 Rollback Procedure 2]. Changes nothing. */
import { nameOf, OFFBOARDED, type Inventoried } from '../../model/deprovision.ts';
import { keyOf, type Artifact, type ProvisioningRequest } from '../../model/tenant.ts';
import { canonical, sha256 } from '../../store/digest.ts';
import { NotPossible } from '../components.ts';
import { listedBy, platformOf, sight, UNSEEN, type Place } from './place.ts';

export interface Inventory {
  readonly artifacts: readonly Inventoried[];
  readonly warnings: readonly string[];
  /** Digests of templates and demo instances, by platform: compared at the end [000 Invariant 2]. */
  readonly protected: Readonly<Record<string, { readonly count: number; readonly digest: string }>>;
}

/** Which requests are taken back: one, or at offboarding all that are not ROLLED_BACK. */
export function requestsOf(
  all: readonly ProvisioningRequest[],
  { tenant, cause, request, environment }: { tenant: string; cause: string; request?: string; environment: string },
): readonly ProvisioningRequest[] {
  if (all.length === 0)
    throw new NotPossible('tenant', `no provisioning request of ${JSON.stringify(tenant)} is known in ${environment}; see backout tenant list`);
  const known = all.map((one) => `${one.requestId} (${one.status})`).join(', ');
  if (cause === OFFBOARDED) {
    if (request !== undefined)
      throw new NotPossible('request', `offboarding takes back everything of ${tenant}: ${known}; leave the request out, or give another reason`);
    return all.filter((one) => one.status !== 'ROLLED_BACK');
  }
  if (request === undefined) throw new NotPossible('request', `${cause} concerns one provisioning request; name it with --request. ${tenant} has ${known}`);
  const found = all.find((one) => one.requestId === request);
  if (!found) throw new NotPossible('request', `${tenant} has no provisioning request ${JSON.stringify(request)} in ${environment}; it has ${known}`);
  return found.status === 'ROLLED_BACK' ? [] : [found];
}

export async function inventoryOf(place: Place, all: readonly ProvisioningRequest[], taken: readonly ProvisioningRequest[]): Promise<Inventory> {
  const ids = taken.map((one) => one.requestId);
  const listing = new Map<string, { artifact: Artifact; requests: string[] }>();
  for (const { requestId, config } of taken)
    for (const artifact of config.artifacts) {
      const known = listing.get(keyOf(artifact));
      if (known) known.requests.push(requestId);
      else listing.set(keyOf(artifact), { artifact, requests: [requestId] });
    }
  const listed = listedBy(all);
  const known = new Set(listed.map(keyOf));
  const marked = (await Promise.all(place.platforms.map(({ platform, call }) => platform.marked(call)))).flat();
  const strays = [...new Map(marked.map((one) => [keyOf(one), one])).values()].filter((one) => !known.has(keyOf(one)));
  const others = await place.store.alsoListed(
    place.storeCall,
    [...listing.values()].map((one) => one.artifact),
    ids,
  );
  const problems = others.flatMap((one) =>
    one.tenant === place.tenant ? [] : [`${nameOf(one.artifact)} is listed by request ${one.requestId} of another tenant, ${one.tenant}`],
  );
  const wanted = [...listing.values(), ...strays.map((artifact) => ({ artifact, requests: [] as string[] }))];
  const warnings: string[] = [];
  const artifacts: Inventoried[] = [];
  for (const { artifact, requests } of wanted) checkReach(place, artifact, requests);
  const sightings = await sight(
    place,
    wanted.map(({ artifact }) => artifact),
    listed,
  );
  for (const [index, { artifact, requests }] of wanted.entries()) {
    const { presence, guarded, detail } = sightings[index] ?? UNSEEN;
    const kept = others.find((one) => one.tenant === place.tenant && keyOf(one.artifact) === keyOf(artifact));
    if (guarded !== null && requests.length > 0 && !kept) problems.push(`${nameOf(artifact)}: ${guarded}`);
    else if (guarded !== null) warnings.push(`${nameOf(artifact)} is left alone: ${guarded}`);
    if (requests.length === 0 && guarded !== null) continue;
    if (requests.length > 0 && presence === 'unknown' && artifact.type !== 'credential') warnings.push(`${nameOf(artifact)} cannot be looked at: ${detail}`);
    artifacts.push({
      ...artifact,
      requests,
      presence,
      ...linkOf(place, artifact),
      ...(kept ? { kept: `request ${kept.requestId} of ${place.tenant} lists it too, and is not rolled back` } : {}),
    });
  }
  if (problems.length > 0)
    throw new NotPossible(
      'protected',
      `the Canonical Object of ${place.tenant} lists what is not this tenant's to take back; nothing was changed. Correct it first: ${problems.join('; ')}`,
    );
  return { artifacts, warnings: [...warnings, ...shownOf(artifacts)], protected: await protectedOf(place) };
}

/** Where nobody but a person can act, the way there. */
function linkOf(place: Place, artifact: Artifact): Pick<Inventoried, 'link'> {
  const at = artifact.type === 'vapi-assistant' ? platformOf(place, artifact) : null;
  const lines = at ? at.platform.manual({ ...at.call, artifact }, null).join('\n') : '';
  const link = /https?:\/\/\S+/.exec(lines)?.[0];
  return link === undefined ? {} : { link };
}

/** What Backout has to act on needs a platform that lets it. */
function checkReach(place: Place, artifact: Artifact, requests: readonly string[]): void {
  if (requests.length === 0 || (artifact.type !== 'n8n-workflow' && artifact.type !== 'webhook') || platformOf(place, artifact)) return;
  throw new NotPossible(
    'configuration',
    `${nameOf(artifact)} lies on a platform that is not configured; name it under environments.${place.environment}.tenants.platforms`,
  );
}

/** What is listed and absent, and what is there and not listed: said beside the plan, which shows it. */
function shownOf(artifacts: readonly Inventoried[]): string[] {
  return artifacts.flatMap((one) => {
    if (one.requests.length === 0) return [`${nameOf(one)} carries the tenant's mark, and no Canonical Object lists it`];
    return one.presence === 'absent' ? [`${nameOf(one)} is listed, and not there`] : [];
  });
}

export async function protectedOf(place: Place): Promise<Inventory['protected']> {
  const all = await Promise.all(
    place.platforms.map(async ({ name, platform, call }) => {
      const found = Object.entries(await platform.protected(call)).toSorted(([a], [b]) => (a < b ? -1 : 1));
      return found.length === 0 ? [] : [[name, { count: found.length, digest: sha256(canonical(found)) }] as const];
    }),
  );
  return Object.fromEntries(all.flat());
}
