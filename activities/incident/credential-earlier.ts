/** What there was before this rollback [001 step 3e]: written down before anything is issued, kept while it may be put back, and forgotten once it is revoked. */
import { join } from 'node:path';
import type { CredentialGeneration } from '../../store/store.ts';
import { AdapterError } from '../adapters/adapter.ts';
import type { Generation } from '../credentials/authority.ts';
import { fingerprintOf } from '../credentials/fingerprint.ts';
import { KeptSecrets } from '../credentials/kept.ts';
import { generationOf, HELD, newOne, placeOf, revealed, type OnCredential } from './credential-scene.ts';

const keptIn = ({ loaded }: OnCredential): KeptSecrets => new KeptSecrets(join(loaded.folder, '.backout', 'credentials'));
const operationOf = ({ work, name }: OnCredential): string => `${work.rollbackId}/earlier/${name}`;
const earlierId = ({ work, name }: OnCredential, index: number): string => `${work.rollbackId}.${name}.${index}`;

/** Written once for each rollback, before anything is issued or revoked. */
export async function oldOnes(on: OnCredential): Promise<CredentialGeneration[]> {
  const { at, deps, work, name } = on;
  const of = { environment: work.environment, credential: name, rollbackId: work.rollbackId };
  const known = await deps.store.credentials({ ...of, state: 'old' });
  if (known.length > 0) return known;
  const issued = new Set((await deps.store.credentials({ ...of, state: 'issued' })).map((one) => one.generation));
  // Nor is one that an attempt has issued and died before it could tell.
  const isOwn = (one: Generation): boolean => issued.has(one.id) || (one.operationId?.startsWith(`${work.rollbackId}/`) ?? false);
  const alive = (await at.authority.generations(at.call)).filter((one) => one.state === 'live' && !isOwn(one));
  const held = await Promise.all(at.holders.map(({ holder, call }) => holder.read(call)));
  const old: CredentialGeneration[] = [];
  for (const [index, secret] of held.entries()) {
    const id = secret === null ? null : await at.authority.adopt(at.call, secret);
    // Its authority does not know it: nothing can be revoked, and it is recognised all the same where it is found again.
    if (secret === null || id !== null) continue;
    old.push(await generationOf(on, `${HELD}${index}`, 'old', secret));
    if (keptIn(on).read(earlierId(on, index)) === null) keptIn(on).keep({ id: earlierId(on, index), operation: operationOf(on), secret });
  }
  for (const { id } of alive) old.push(await generationOf(on, id, 'old', await revealed(at, id)));
  // At once: what was left out of the list would stay alive for good.
  await deps.store.tellCredentials(old);
  return deps.store.credentials({ ...of, state: 'old' });
}

/** Fingerprints of what this rollback has revoked of it. */
async function revokedHere({ deps, work, name }: OnCredential): Promise<ReadonlySet<string>> {
  const rows = await deps.store.credentials({ environment: work.environment, credential: name, rollbackId: work.rollbackId, state: 'revoked' });
  return new Set(rows.flatMap(({ fingerprint }) => fingerprint ?? []));
}

const isOneOf = async ({ loaded }: OnCredential, secret: string, fingerprints: ReadonlySet<string>): Promise<boolean> =>
  fingerprints.size > 0 && fingerprints.has((await fingerprintOf(loaded.folder, secret)).fingerprint);

/** What each holder had before this rollback wrote to it: kept before it is overwritten, once; of one that is revoked nothing would come back. */
export async function keepEarlier(on: OnCredential, secret: string): Promise<void> {
  const revoked = await revokedHere(on);
  for (const [index, { holder, call }] of on.at.holders.entries()) {
    const id = earlierId(on, index);
    if (keptIn(on).read(id) !== null) continue;
    const now = await holder.read(call);
    if (now !== null && now !== secret && !(await isOneOf(on, now, revoked))) keptIn(on).keep({ id, operation: operationOf(on), secret: now });
  }
}

/** Once nothing is left that could be put back. */
export function forgetAll(on: OnCredential): void {
  for (const id of keptIn(on).under(operationOf(on))) keptIn(on).forget(id);
}

/** Nobody needs the secret of what is revoked any more, and it may be the exploited one. */
export async function forgetRevoked(on: OnCredential): Promise<void> {
  const revoked = await revokedHere(on);
  for (const id of keptIn(on).under(operationOf(on))) {
    const kept = keptIn(on).read(id);
    if (kept !== null && (await isOneOf(on, kept.secret, revoked))) keptIn(on).forget(id);
  }
}

/** Each place for itself, whatever becomes of the others. Answers what each has now, in words. */
export async function putBack(on: OnCredential, secret: string): Promise<string> {
  const revoked = await revokedHere(on);
  const told: string[] = [];
  for (const [index, one] of on.at.holders.entries()) {
    const earlier = keptIn(on).read(earlierId(on, index))?.secret;
    const where = placeOf(one, index);
    if (earlier === undefined || earlier === secret) {
      told.push(revoked.size > 0 ? `${where}: the earlier one is revoked, so nothing is put back` : `${where} held no other one before`);
      continue;
    }
    const problem = await one.holder.write(one.call, earlier).then(
      () => null,
      (error: unknown) => {
        if (error instanceof AdapterError) return error.message;
        throw error;
      },
    );
    told.push(problem === null ? `${where} has the earlier one again` : `${where} could not be put back: ${problem}`);
  }
  return told.join('; ');
}

/** Which places held what the service still takes, although no generation of the authority is that one. */
export async function stillAccepted(on: OnCredential): Promise<string[]> {
  const generation = await newOne(on);
  const now = generation === null ? null : await revealed(on.at, generation);
  const places: string[] = [];
  for (const [index, one] of on.at.holders.entries()) {
    const earlier = keptIn(on).read(earlierId(on, index))?.secret;
    if (earlier === undefined || earlier === now || !(await on.at.authority.accepts(on.at.call, earlier))) continue;
    places.push(placeOf(one, index));
  }
  return places;
}
