/** Credentials are rotated on the Security Lead's word, and nobody else's [001 step 3e, 004 section 5.2]. What is old was written down before anything was issued; nothing else is ever revoked. */
import { join } from 'node:path';
import type { CredentialGeneration } from '../../store/store.ts';
import { AdapterError } from '../adapters/adapter.ts';
import type { Generation } from '../credentials/authority.ts';
import { fingerprintOf } from '../credentials/fingerprint.ts';
import { KeptSecrets } from '../credentials/kept.ts';
import { pause } from '../dependencies.ts';
import { failed, type Found } from '../found.ts';
import { discarded, runCommand } from '../command.ts';
import { doneOr, found, onPlace, type Act, type OnPlace } from './on-place.ts';
import { findComponent } from '../components.ts';
import { carriedByBuild } from '../revoked.ts';
import { credentialAt, type CredentialAt } from './places.ts';

const PROVE_SECONDS = 60;

interface OnCredential extends OnPlace {
  readonly at: CredentialAt;
}

/** Who is no Security Lead has signed nothing, whatever the workflow says. */
const onCredential = (act: (on: OnCredential) => Promise<Found>, changes: boolean): ReturnType<typeof onPlace> => {
  const signed: Act = async (on) => {
    if (!on.data.signed) return failed('Protected', `nobody has signed that ${on.name} is to be rotated`);
    const at = credentialAt(on.loaded, on.name, on.caller);
    if (!at) return failed('Configuration', `${on.name} is rotated by hand, and no authority is called for it`);
    return act({ ...on, at });
  };
  return onPlace(signed, changes);
};

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
  const { at, name } = on;
  const generation = await newOne(on);
  if (generation === null) return failed('NotFound', `no other ${name} was issued by this rollback`);
  const secret = await at.authority.reveal(at.call, generation);
  const isHeld = await holdsEverywhere(at, secret);
  if (on.work.mode === 'inspect' && !isHeld) return failed('NotAtTarget', `the new ${name} is not everywhere it is read`);
  if (!(await at.authority.accepts(at.call, secret)))
    return failed('CredentialRejected', `the new ${name} is not accepted; this attempt put it nowhere${isHeld ? ', and it is where it is read already' : ''}`);
  const unwritten = on.work.mode === 'run' ? await written(on, secret) : null;
  const problem = unwritten ?? ((await holdsEverywhere(at, secret)) ? await proven(on) : `what is read is not what was written`);
  // Who only looks puts nothing back either.
  if (problem !== null) {
    const where = on.work.mode === 'run' ? `; ${await putBack(on, secret)}` : '';
    return failed('CredentialRejected', `${name} does not work with the new one (${problem})${where}`);
  }
  await on.deps.store.tellCredentials([await generationOf(on, generation, 'installed', secret)]);
  return found(isHeld && !on.again ? 'already' : 'done', { held: at.holders.length, proven: at.config.prove !== undefined }, { ids: { generation } });
}, true);

/** What was alive when the list was signed. Last, once the new one is proven to work; or first, where she has said so. */
export const revoke = onCredential(async (on) => {
  const { at, data, name, work, again } = on;
  const old = (await oldOnes(on)).filter((one) => !one.generation.startsWith(HELD));
  const live = new Map((await at.authority.generations(at.call)).map((one) => [one.id, one]));
  const alive = old.filter((one) => live.get(one.generation)?.state === 'live');
  if (work.mode === 'inspect' && alive.length > 0) return failed('NotAtTarget', `${alive.map((one) => one.generation).join(', ')} of ${name} is still alive`);
  const notYet = data.signed?.first === true || alive.length === 0 ? null : await inTheWay(on, alive, live);
  if (notYet) return notYet;
  const receipts: unknown[] = [];
  for (const one of old) {
    // What its authority does not know any more has ended.
    const receipt = live.has(one.generation) ? await at.authority.revoke(at.call, one.generation, data.signed?.first === true) : { after: { state: 'gone' } };
    receipts.push({ generation: one.generation, ...(typeof receipt.after === 'object' ? receipt.after : {}) });
    // At once, and its secret too: it is known wherever it is found again.
    await on.deps.store.tellCredentials([{ ...one, state: 'revoked', at: new Date().toISOString() }]);
  }
  const accepted = await stillAccepted(on);
  if (accepted.length > 0)
    return {
      ...failed(
        'NotScoped',
        `what ${accepted.join(', ')} of ${name} held is still accepted, and no generation of its authority: revoke it by hand, then decide retry`,
      ),
      receipt: { after: { revoked: receipts } },
    };
  const unknown = (await oldOnes(on)).filter((one) => one.generation.startsWith(HELD));
  await on.deps.store.tellCredentials(unknown.map((one) => ({ ...one, state: 'revoked', at: new Date().toISOString() })));
  keptIn(on)
    .under(operationOf(on))
    .forEach((id) => keptIn(on).forget(id));
  const warnings =
    at.authority.tellsUse || data.signed?.first
      ? []
      : [`the authority of ${name} does not tell who uses a generation: that nobody uses the old one is not proven`];
  const state = alive.length === 0 && !again ? 'already' : 'done';
  return found(state, { revoked: receipts, order: data.signed?.first ? 'the old one first, accepting the outage' : 'the old one last' }, { warnings });
}, true);

/** Least privilege and tenant scoping [001 step 3e]: the new one is allowed what is configured, and no other one is alive. */
export const scope = onCredential(async (on) => {
  const { at, name } = on;
  const generation = await newOne(on);
  const all = await at.authority.generations(at.call);
  const mine = all.find((one) => one.id === generation);
  const after = { generations: all.slice(0, 20).map(({ id, state, scopes, tenants }) => ({ id, state, scopes, tenants })) };
  const { scopes, tenants = null } = at.config;
  const more = (mine?.scopes ?? []).filter((one) => !scopes.includes(one));
  const others = all.filter((one) => one.state === 'live' && one.id !== generation);
  const carried = await Promise.all(
    (on.incident.targets ?? []).map(({ component, to }) =>
      carriedByBuild(findComponent(on.loaded, on.deps.adapters, on.work.environment, component), to, on.deps, on.attempt),
    ),
  );
  const problems = [
    ...(mine?.state === 'live' ? [] : [`the new one is not alive`]),
    ...(more.length === 0 ? [] : [`it is allowed ${more.join(', ')}, which it need not be`]),
    ...(tenants !== null && mine && !isWithin(mine.tenants, tenants)
      ? [`it is good for ${mine.tenants?.join(', ') ?? 'all tenants'}, and should be for ${tenants.join(', ')} alone`]
      : []),
    ...(others.length === 0 ? [] : [`${others.map((one) => one.id).join(', ')} is alive too`]),
    ...carried.filter((one) => one !== null),
  ];
  return problems.length === 0 ? found('done', after) : { ...failed('NotScoped', `${name}: ${problems.join('; ')}`), receipt: { after } };
}, false);

const isWithin = (has: readonly string[] | null, may: readonly string[]): boolean => has !== null && has.every((one) => may.includes(one));

/** Of a holder's value whose generation nobody can name: known by its fingerprint, so that it is found again in builds and environments. */
const HELD = 'held/';

/** Written once for each rollback, before anything is issued or revoked. */
async function oldOnes(on: OnCredential): Promise<CredentialGeneration[]> {
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

const revealed = (at: CredentialAt, id: string): Promise<string | null> =>
  at.authority.reveal(at.call, id).catch((error: unknown) => {
    if (error instanceof AdapterError && error.kind === 'not-found') return null;
    throw error;
  });

async function generationOf(
  { loaded, work, name }: OnCredential,
  generation: string,
  state: CredentialGeneration['state'],
  secret: string | null,
): Promise<CredentialGeneration> {
  const fingerprint = secret === null ? null : (await fingerprintOf(loaded.folder, secret)).fingerprint;
  return { environment: work.environment, credential: name, generation, fingerprint, state, rollbackId: work.rollbackId, at: new Date().toISOString() };
}

/** What this rollback has issued last; null: nothing. */
async function newOne({ deps, work, name }: OnCredential): Promise<string | null> {
  const issued = await deps.store.credentials({ environment: work.environment, credential: name, rollbackId: work.rollbackId, state: 'issued' });
  return issued.at(-1)?.generation ?? null;
}

async function holdsEverywhere(at: CredentialAt, secret: string): Promise<boolean> {
  const held = await Promise.all(at.holders.map(({ holder, call }) => holder.read(call)));
  return held.every((one) => one === secret);
}

/** Null: what runs works with it. Its output may hold secrets, and is kept nowhere. */
async function proven({ at, loaded, work, name, attempt }: OnCredential): Promise<string | null> {
  const { prove } = at.config;
  if (!prove) return null;
  const env = { BACKOUT_ENVIRONMENT: work.environment, BACKOUT_CREDENTIAL: name };
  const { code, exit } = await runCommand(
    { command: prove.command, cwd: loaded.folder, seconds: prove.timeoutSeconds ?? PROVE_SECONDS, env, output: discarded() },
    attempt.signal,
  );
  return code === 0 ? null : `${prove.command.join(' ')} ended with ${exit}`;
}

const keptIn = ({ loaded }: OnCredential): KeptSecrets => new KeptSecrets(join(loaded.folder, '.backout', 'credentials'));
const operationOf = ({ work, name }: OnCredential): string => `${work.rollbackId}/earlier/${name}`;
const earlierId = ({ work, name }: OnCredential, index: number): string => `${work.rollbackId}.${name}.${index}`;

/** What each holder had before this rollback wrote to it: kept before it is overwritten, once. */
async function keepEarlier(on: OnCredential, secret: string): Promise<void> {
  for (const [index, { holder, call }] of on.at.holders.entries()) {
    const id = earlierId(on, index);
    if (keptIn(on).read(id) !== null) continue;
    const now = await holder.read(call);
    if (now !== null && now !== secret) keptIn(on).keep({ id, operation: operationOf(on), secret: now });
  }
}

/** What could not be written, in words; null: all of it was. Trouble that passes is the next attempt's. */
async function written(on: OnCredential, secret: string): Promise<string | null> {
  await keepEarlier(on, secret);
  for (const { holder, call } of on.at.holders) {
    try {
      await holder.write(call, secret);
    } catch (error) {
      if (!(error instanceof AdapterError) || error.kind === 'unavailable' || error.kind === 'rate-limited' || error.kind === 'superseded') throw error;
      return error.message;
    }
  }
  return null;
}

/** Each place for itself, whatever becomes of the others. Answers what each has now, in words. */
async function putBack(on: OnCredential, secret: string): Promise<string> {
  // Of one that is revoked already nothing would come back.
  if (on.data.signed?.first) return 'the earlier one is revoked, so the new one stays where it was put';
  const told: string[] = [];
  for (const [index, { holder, call }] of on.at.holders.entries()) {
    const earlier = keptIn(on).read(earlierId(on, index))?.secret;
    const place = holder.place(call);
    const where = place === null ? `place ${index + 1}` : `${place.key} of ${place.path}`;
    if (earlier === undefined || earlier === secret) {
      told.push(`${where} held no other one before`);
      continue;
    }
    const problem = await holder.write(call, earlier).then(
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
async function stillAccepted(on: OnCredential): Promise<string[]> {
  const generation = await newOne(on);
  const now = generation === null ? null : await revealed(on.at, generation);
  const places: string[] = [];
  for (const [index, { holder, call }] of on.at.holders.entries()) {
    const earlier = keptIn(on).read(earlierId(on, index))?.secret;
    if (earlier === undefined || earlier === now || !(await on.at.authority.accepts(on.at.call, earlier))) continue;
    const place = holder.place(call);
    places.push(place === null ? `place ${index + 1}` : `${place.key} of ${place.path}`);
  }
  return places;
}

/** Why no old one may go yet; null: it may. */
async function inTheWay(on: OnCredential, alive: readonly CredentialGeneration[], live: ReadonlyMap<string, Generation>): Promise<Found | null> {
  const { at, data, name } = on;
  const generation = await newOne(on);
  if (generation === null || live.get(generation)?.state !== 'live')
    return failed('CredentialRejected', `there is no new ${name} that is alive: the old one is not revoked before another one works`);
  const secret = await at.authority.reveal(at.call, generation);
  if (!(await holdsEverywhere(at, secret))) return failed('CredentialRejected', `the new ${name} is not everywhere it is read: the old one is not revoked`);
  const problem = (await at.authority.accepts(at.call, secret)) ? await proven(on) : 'the new one is not accepted';
  if (problem !== null) return failed('CredentialRejected', `${name}: ${problem}; the old one is not revoked`);
  if (data.use?.anyway) return null;
  const used = await usedSince(on, alive, data.use?.since ?? null);
  if (used.length === 0) return null;
  const who = used.map((one) => `${one.id} by ${one.lastUsedBy ?? 'somebody'} at ${one.lastUsedAt ?? '?'}`).join('; ');
  return failed('StillUsed', `the old ${name} was used after the new one was put in place: ${who}`);
}

const QUIET_MS = 10_000; // How long nobody may have used it, where a person says that nobody does any more.
const LOOK_EVERY_MS = 500;

/** Of the old ones, who was used since then. After a person's word it is watched for a while: her word alone is no proof. */
async function usedSince(on: OnCredential, alive: readonly CredentialGeneration[], since: string | null): Promise<Generation[]> {
  const { at, work, deps, attempt } = on;
  const old = new Set(alive.map((one) => one.generation));
  const until = Date.now() + (work.generation > 0 ? QUIET_MS : 0);
  for (;;) {
    const all = await at.authority.generations(at.call);
    const used = all.filter((one) => old.has(one.id) && one.lastUsedAt !== null && since !== null && one.lastUsedAt > since);
    if (used.length > 0 || Date.now() >= until) return used;
    attempt.heartbeat('watching who still uses the old one');
    await pause(LOOK_EVERY_MS, deps, attempt);
  }
}
