/** Least privilege and tenant scoping [001 step 3e], and that what runs has one that works: asked of its authority, of its holders, and of what accepts it. */
import type { ByHand, Generation } from '../credentials/authority.ts';
import { findComponent } from '../components.ts';
import { failed, type Found } from '../found.ts';
import { carriedByBuild } from '../revoked.ts';
import { forgetRevoked } from './credential-earlier.ts';
import { proven } from './credential-held.ts';
import { handInstall, newOne, onCredential, placeOf, revealed, withHand, type OnCredential } from './credential-scene.ts';
import { found } from './on-place.ts';

interface Trouble {
  readonly what: string;
  readonly then: string;
  readonly hand?: ByHand;
}

/** The new one is allowed what is configured, no other one is alive, it is what is held, and no target brings an old one back. */
export const scope = onCredential(async (on) => {
  const { at } = on;
  const generation = await newOne(on);
  const all = await at.authority.generations(at.call);
  const after = { generations: all.slice(0, 20).map(({ id, state, scopes, tenants }) => ({ id, state, scopes, tenants })) };
  const builds = await Promise.all(
    (on.incident.targets ?? []).map(({ component, to }) =>
      carriedByBuild(findComponent(on.loaded, on.deps.adapters, on.work.environment, component), to, on.deps, on.attempt),
    ),
  );
  const troubles = [
    ...allowedTrouble(on, generation, all),
    ...(await heldTrouble(on, generation)),
    ...builds.flatMap(({ carried }): Trouble[] =>
      carried === null ? [] : [{ what: carried, then: 'build that version anew without it, or go on to another one' }],
    ),
  ];
  await forgetRevoked(on);
  const warnings = builds.flatMap((one) => one.warnings);
  if (troubles.length === 0) return found('done', after, { warnings });
  return { ...told(on, troubles), receipt: { after }, warnings };
}, false);

function told(on: OnCredential, troubles: readonly Trouble[]): Found {
  const remedy = `${[...new Set(troubles.map((one) => one.then))].join('; ')}; then decide retry`;
  const hand = troubles.reduce<ByHand>((sum, one) => ({ ...sum, ...one.hand }), {});
  const message = `${on.name}: ${troubles.map((one) => one.what).join('; ')}`;
  return failed('NotScoped', message, Object.keys(hand).length === 0 ? remedy : withHand(remedy, on, hand));
}

function allowedTrouble({ at }: OnCredential, generation: string | null, all: readonly Generation[]): Trouble[] {
  const { scopes, tenants = null } = at.config;
  const mine = all.find((one) => one.id === generation);
  const more = (mine?.scopes ?? []).filter((one) => !scopes.includes(one));
  const others = all.flatMap((one) => (one.state === 'live' && one.id !== generation ? [one.id] : []));
  return [
    ...(mine?.state === 'live'
      ? []
      : [{ what: 'the new one is not alive', then: 'issue another one, and put it where it is read', hand: { issue: { scopes, tenants } } }]),
    ...(more.length === 0 ? [] : [{ what: `it is allowed ${more.join(', ')}, which it need not be`, then: 'take that from it, at its authority' }]),
    ...(tenants !== null && mine && !isWithin(mine.tenants, tenants)
      ? [
          {
            what: `it is good for ${mine.tenants?.join(', ') ?? 'all tenants'}, and should be for ${tenants.join(', ')} alone`,
            then: 'take that from it, at its authority',
          },
        ]
      : []),
    ...(others.length === 0
      ? []
      : [{ what: `${others.join(', ')} is alive too`, then: 'see who has issued and who uses what else is alive, and revoke it', hand: { revoke: others } }]),
  ];
}

const isWithin = (has: readonly string[] | null, may: readonly string[]): boolean => has !== null && has.every((one) => may.includes(one));

/** What the authority's books say of the new one helps nobody where what runs holds another one. */
async function heldTrouble(on: OnCredential, generation: string | null): Promise<Trouble[]> {
  const { at } = on;
  const secret = generation === null ? null : await revealed(at, generation);
  const troubles: Trouble[] = [];
  const put = { then: `put the new one where it is read`, hand: handInstall(on, generation) };
  for (const [index, one] of at.holders.entries()) {
    const where = placeOf(one, index);
    const held = await one.holder.read(one.call);
    if (held === null) troubles.push({ what: `${where} holds nothing: nothing works there`, ...put });
    else if (!(await at.authority.accepts(at.call, held))) troubles.push({ what: `what ${where} holds is not accepted: nothing works there`, ...put });
    else if (secret !== null && held !== secret) troubles.push({ what: `${where} holds another one than ${generation ?? ''}`, ...put });
  }
  if (troubles.length > 0) return troubles;
  const problem = await proven(on);
  return problem === null
    ? []
    : [{ what: `what is held is accepted, and what runs does not work with it (${problem})`, then: 'see why it does not, and what it has read' }];
}
