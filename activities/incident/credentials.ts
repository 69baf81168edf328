/** Credentials are rotated on the Security Lead's word, and nobody else's [001 step 3e, 004 section 5.2]. What is old was written down before anything was issued; nothing else is ever revoked. */
import type { CredentialGeneration } from '../../store/store.ts';
import type { Receipt } from '../../model/state.ts';
import type { Generation } from '../credentials/authority.ts';
import { failed, mayHaveActed, type Found } from '../found.ts';
import { forgetAll, forgetRevoked, oldOnes, putBack, stillAccepted } from './credential-earlier.ts';
import { holdsEverywhere, proven, standing, written } from './credential-held.ts';
import { generationOf, handInstall, HELD, newOne, onCredential, withHand, type OnCredential } from './credential-scene.ts';
import { inTheWay, isTakenUp } from './credential-use.ts';
import { doneOr, found } from './on-place.ts';

/** Another generation, under this rollback; asked for again it is the same. */
export const issue = onCredential(async (on) => {
  const { at, work, name, again } = on;
  if (work.mode === 'inspect') return (await newOne(on)) === null ? failed('NotAtTarget', `no other ${name} was issued by this rollback`) : found('done', {});
  await oldOnes(on);
  const receipt = await at.authority.issue(at.call, { scopes: at.config.scopes, tenants: at.config.tenants ?? null });
  const generation = receipt.ids?.['generation'];
  if (typeof generation !== 'string') return failed('UnexpectedResponse', `the authority of ${name} did not say which generation it has issued`);
  await on.deps.store.tellCredentials([await generationOf(on, generation, 'issued', await at.authority.reveal(at.call, generation))]);
  return { state: doneOr(receipt, again), receipt, failure: null, remains: [] };
}, true);

/** Where it is read; what does not work with it gets the earlier one back. */
export const install = onCredential(async (on) => {
  const { at, name, work } = on;
  const generation = await newOne(on);
  if (generation === null)
    return failed('NotFound', `no other ${name} was issued by this rollback`, 'see why it was not issued; decide retry once issue is done');
  const secret = await at.authority.reveal(at.call, generation);
  const isHeld = await holdsEverywhere(at, secret);
  if (work.mode === 'inspect' && !isHeld) return failed('NotAtTarget', `the new ${name} is not everywhere it is read`, putByHand(on, generation));
  if (!(await at.authority.accepts(at.call, secret)))
    return rejected(on, `the new ${name} is not accepted; this attempt put it nowhere${isHeld ? ', and it is where it is read already' : ''}`);
  const unwritten = work.mode === 'run' ? await written(on, secret) : null;
  // Who only looks puts nothing back either.
  const undone = async (): Promise<string> => (work.mode === 'run' ? `; ${await putBack(on, secret)}` : '');
  if (unwritten !== null) {
    const message = `the new ${name} could not be put in place: ${unwritten.message}${await undone()}`;
    const { works, words } = await standing(on);
    const remedy = works === false ? 'nothing works until it is in place: mend at once what is named' : 'mend what is named';
    return failed(unwritten.type, `${message}; ${words}`, withHand(`${remedy}, and decide retry; or put it there`, on, handInstall(on, generation)));
  }
  const problem = (await holdsEverywhere(at, secret)) ? await proven(on) : `what is read is not what was written`;
  if (problem !== null) return rejected(on, `${name} does not work with the new one (${problem})${await undone()}`);
  await on.deps.store.tellCredentials([await generationOf(on, generation, 'installed', secret)]);
  await forgetRevoked(on);
  const after = { held: at.holders.length, proven: at.config.prove !== undefined, takenUp: isTakenUp(at) };
  return found(isHeld && !on.again ? 'already' : 'done', after, { ids: { generation } });
}, true);

const putByHand = (on: OnCredential, generation: string): string => withHand('put it where it is read, then decide done', on, handInstall(on, generation));

/** Whether anything works meanwhile is asked of what accepts it: after a revocation the earlier one is no way back. */
async function rejected(on: OnCredential, message: string): Promise<Found> {
  const { works, words } = await standing(on);
  const remedy =
    works === false
      ? 'nothing works until the new one does: mend at once why it does not, then decide retry'
      : works
        ? 'what runs has one that is accepted: see why the new one does not work for it, then decide retry'
        : undefined;
  return failed('CredentialRejected', `${message}; ${words}`, remedy);
}

/** What was alive when the list was signed. Last, once the new one is proven to work; or first, where she has said so. */
export const revoke = onCredential(async (on) => {
  const { at, data, name, work, again } = on;
  const old = (await oldOnes(on)).filter((one) => !one.generation.startsWith(HELD));
  const live = new Map((await at.authority.generations(at.call)).map((one) => [one.id, one]));
  const alive = old.filter((one) => live.get(one.generation)?.state === 'live');
  const ids = alive.map((one) => one.generation);
  if (work.mode === 'inspect' && ids.length > 0)
    return failed('NotAtTarget', `${ids.join(', ')} of ${name} is still alive`, withHand('revoke it, then decide done', on, { revoke: ids }));
  const notYet = data.signed?.first === true || alive.length === 0 ? null : await inTheWay(on, alive, live);
  if (notYet) return notYet;
  const receipts = await revokeAll(on, old, live);
  const accepted = await stillAccepted(on);
  if (accepted.length > 0)
    return {
      ...failed(
        'NotScoped',
        `what ${accepted.join(', ')} of ${name} held is still accepted, and no generation of its authority: revoke it by hand, then decide retry`,
        'revoke it where it was issued, since its authority does not know it; then decide retry',
      ),
      receipt: { after: { revoked: receipts } },
    };
  const unknown = (await oldOnes(on)).filter((one) => one.generation.startsWith(HELD));
  await on.deps.store.tellCredentials(unknown.map((one) => ({ ...one, state: 'revoked', at: new Date().toISOString() })));
  forgetAll(on);
  const state = alive.length === 0 && !again ? 'already' : 'done';
  const order = data.signed?.first ? 'the old one first, accepting the outage' : 'the old one last';
  return found(state, { revoked: receipts, order }, { warnings: data.signed?.first ? [] : unproven(on) });
}, true);

/** Each is told at once, and its secret too: it is known wherever it is found again. */
async function revokeAll(on: OnCredential, old: readonly CredentialGeneration[], live: ReadonlyMap<string, Generation>): Promise<unknown[]> {
  const { at, data, deps, work, name, attempt } = on;
  const of = { environment: work.environment, credential: name, rollbackId: work.rollbackId, state: 'revoked' } as const;
  const before = new Set((await deps.store.credentials(of)).map((one) => one.generation));
  const receipts: unknown[] = [];
  for (const one of old) {
    // What its authority does not know any more has ended.
    const { after }: Pick<Receipt, 'after'> = live.has(one.generation)
      ? await at.authority.revoke(at.call, one.generation, data.signed?.first === true)
      : { after: { state: 'gone' } };
    // Revoked by an earlier attempt of this very rollback, or perhaps: that is no revocation of somebody else's.
    const isOurs = before.has(one.generation) || mayHaveActed(work, attempt);
    const seen = typeof after === 'object' && after !== null ? after : {};
    receipts.push({ generation: one.generation, fingerprint: one.fingerprint, ...seen, ...(isOurs && 'already' in seen ? { already: false } : {}) });
    await deps.store.tellCredentials([{ ...one, state: 'revoked', at: new Date().toISOString() }]);
  }
  return receipts;
}

/** What was not seen, and cannot be. */
const unproven = ({ at, name }: OnCredential): string[] => [
  ...(at.authority.tellsUse ? [] : [`the authority of ${name} does not tell who uses a generation: that nobody uses the old one is not proven`]),
  ...(isTakenUp(at) ? [] : [`nothing has what runs read the new ${name} at once, and no command proves it: it may hold the old one until it is started anew`]),
];
