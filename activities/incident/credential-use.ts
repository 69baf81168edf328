/** May the old ones go [001 step 3e]? Another one has to work, and nobody may use them any more: that is watched, and not taken on anybody's word. */
import type { CredentialGeneration } from '../../store/store.ts';
import type { Generation } from '../credentials/authority.ts';
import { pause } from '../dependencies.ts';
import { failed, type Found } from '../found.ts';
import { holdsEverywhere, proven, standing } from './credential-held.ts';
import { handInstall, newOne, withHand, type OnCredential } from './credential-scene.ts';
import type { CredentialAt } from './places.ts';

/** Why no old one may go yet; null: it may. */
export async function inTheWay(on: OnCredential, alive: readonly CredentialGeneration[], live: ReadonlyMap<string, Generation>): Promise<Found | null> {
  const { at, data, name } = on;
  const generation = await newOne(on);
  const ids = alive.map((one) => one.generation);
  if (generation === null || live.get(generation)?.state !== 'live')
    return failed(
      'CredentialRejected',
      `there is no new ${name} that is alive: the old one is not revoked before another one works`,
      withHand('issue another one, put it where it is read, revoke the old one, and decide skip', on, {
        issue: { scopes: at.config.scopes, tenants: at.config.tenants ?? null },
        revoke: ids,
      }),
    );
  const secret = await at.authority.reveal(at.call, generation);
  if (!(await holdsEverywhere(at, secret)))
    return failed(
      'CredentialRejected',
      `the new ${name} is not everywhere it is read: the old one is not revoked`,
      withHand(`put ${generation} where it is read, then decide retry`, on, handInstall(on, generation)),
    );
  const problem = (await at.authority.accepts(at.call, secret)) ? await proven(on) : 'the new one is not accepted';
  if (problem !== null) {
    const { works, words } = await standing(on);
    const remedy = works === false ? 'mend at once why what is held is not accepted' : 'see why it does not work for what runs';
    return failed(
      'CredentialRejected',
      `${name}: ${problem}; the old one is not revoked; ${words}`,
      `${remedy}, then decide retry; ${ids.join(', ')} is alive until then`,
    );
  }
  if (data.use?.anyway) return null;
  const used = await usedSince(on, alive, data.use?.since ?? null);
  if (used.length === 0) return null;
  const who = used.map((one) => `${one.id} by ${one.lastUsedBy ?? 'somebody'} at ${one.lastUsedAt ?? '?'}`).join('; ');
  return failed('StillUsed', `the old ${name} was used after the new one was put in place: ${who}`);
}

/** How long nobody may have used it. */
const QUIET_SECONDS = 10;
/** Used so shortly before the new one was put in place, an old one may be used by others than who has just got it. */
const RECENTLY_MS = 60_000;
const LOOK_EVERY_MS = 500;

/** Has everybody who reads it been made to read it anew, or is it proven that what runs works with the new one? */
export const isTakenUp = ({ config, holders }: CredentialAt): boolean =>
  config.prove !== undefined || (holders.length > 0 && holders.every(({ holder, call }) => holder.reloads(call)));

/** Of the old ones, who was used since then. That nobody has used it in an instant proves nothing: where somebody may, it is watched for a quiet time. */
async function usedSince(on: OnCredential, alive: readonly CredentialGeneration[], since: string | null): Promise<Generation[]> {
  const { at, deps, attempt } = on;
  const old = new Set(alive.map((one) => one.generation));
  const askedMs = Date.now();
  for (;;) {
    const all = (await at.authority.generations(at.call)).filter((one) => old.has(one.id));
    const used = all.filter((one) => one.lastUsedAt !== null && since !== null && one.lastUsedAt > since);
    const leftMs = quietUntil(on, all, { askedMs, sinceMs: since === null ? askedMs : Date.parse(since) }) - Date.now();
    if (used.length > 0 || leftMs <= 0) return used;
    attempt.heartbeat(`watching for ${Math.ceil(leftMs / 1000)} s more whether anybody still uses the old one`);
    await pause(Math.min(LOOK_EVERY_MS, leftMs), deps, attempt);
  }
}

/** Until when it is watched. It begins with the install, so what was done meanwhile costs nothing more; after a person's word, with this attempt. */
function quietUntil({ at, work }: OnCredential, old: readonly Generation[], { askedMs, sinceMs }: { askedMs: number; sinceMs: number }): number {
  const quietMs = (at.config.quietSeconds ?? QUIET_SECONDS) * 1000;
  if (work.generation > 0) return askedMs + quietMs;
  // Of an authority that tells of no use nothing would be seen.
  if (!at.authority.tellsUse) return askedMs;
  const isInUse = old.some(({ lastUsedAt }) => lastUsedAt !== null && Date.parse(lastUsedAt) > sinceMs - RECENTLY_MS);
  return isInUse || !isTakenUp(at) ? sinceMs + quietMs : askedMs;
}
