/** What every operation on a credential begins with [001 step 3e]: the Security Lead's signature and its authority; and what a person is told to do where it fails. */
import type { CredentialGeneration } from '../../store/store.ts';
import { AdapterError, type AdapterErrorKind } from '../adapters/adapter.ts';
import type { ByHand } from '../credentials/authority.ts';
import { fingerprintOf } from '../credentials/fingerprint.ts';
import { failed, finalType, type Found } from '../found.ts';
import { onPlace, type Act, type OnPlace } from './on-place.ts';
import { credentialAt, type CredentialAt, type HolderAt } from './places.ts';

export interface OnCredential extends OnPlace {
  readonly at: CredentialAt;
}

/** Of a holder's value whose generation nobody can name: known by its fingerprint, so that it is found again in builds and environments. */
export const HELD = 'held/';

/** Who is no Security Lead has signed nothing, whatever the workflow says. */
export const onCredential = (act: (on: OnCredential) => Promise<Found>, changes: boolean): ReturnType<typeof onPlace> => {
  const signed: Act = async (on) => {
    if (!on.data.signed) return failed('Protected', `nobody has signed that ${on.name} is to be rotated`);
    const at = credentialAt(on.loaded, on.name, on.caller);
    if (!at) return failed('Configuration', `${on.name} is rotated by hand, and no authority is called for it`);
    try {
      return await act({ ...on, at });
    } catch (error) {
      if (!(error instanceof AdapterError) || on.attempt.signal.aborted) throw error;
      const type = finalType(error);
      if (type === null) throw error;
      return failed(
        type,
        error.message,
        withHand(REMEDIES[error.kind] ?? 'mend what is named, then decide retry', { ...on, at }, await wantedOf({ ...on, at })),
      );
    }
  };
  return onPlace(signed, changes);
};

/** Files of this machine and an authority's own books: what helps is not what helps with a platform. */
const REMEDIES: Readonly<Partial<Record<AdapterErrorKind, string>>> = {
  unauthorized: 'let the worker read and write what is named (its owner, its mode), or whoever may do it by hand; then decide retry',
  'not-found': 'see that what is named is there, and is what backout.yaml names; then decide retry',
  conflict: 'find out who else changes it, settle it, then decide retry',
  configuration: 'mend what is named: the file itself, or what backout.yaml says of it; then decide retry',
  'unexpected-response': 'mend what is named, or take it away where nobody needs it; then decide retry',
  failed: 'read what it says, mend the cause, then decide retry',
  protected: 'see that another one is alive, and works, before this one goes; then decide retry',
};

/** By hand, what this step would have done. */
async function wantedOf(on: OnCredential): Promise<ByHand> {
  const { at, deps, work, name } = on;
  if (work.step.operation === 'issue') return { issue: { scopes: at.config.scopes, tenants: at.config.tenants ?? null } };
  if (work.step.operation === 'install') return handInstall(on, await newOne(on));
  if (work.step.operation !== 'revoke') return {};
  const old = await deps.store.credentials({ environment: work.environment, credential: name, rollbackId: work.rollbackId, state: 'old' });
  return { revoke: old.flatMap(({ generation }) => (generation.startsWith(HELD) ? [] : [generation])) };
}

export const handInstall = ({ at }: OnCredential, generation: string | null): ByHand =>
  generation === null ? {} : { install: { generation, held: at.holders.map(({ holder, call }) => ({ holder: holder.name, options: call.options })) } };

/** A remedy, and under it the commands, one a line. */
export const withHand = (remedy: string, { at }: OnCredential, wanted: ByHand): string =>
  [`${remedy}. By hand:`, ...at.authority.manual(at.call, wanted)].join('\n');

export function placeOf({ holder, call }: HolderAt, index: number): string {
  const place = holder.place(call);
  return place === null ? `place ${index + 1}` : `${place.key} of ${place.path}`;
}

export const revealed = (at: CredentialAt, id: string): Promise<string | null> =>
  at.authority.reveal(at.call, id).catch((error: unknown) => {
    if (error instanceof AdapterError && error.kind === 'not-found') return null;
    throw error;
  });

export async function generationOf(
  { loaded, work, name }: OnCredential,
  generation: string,
  state: CredentialGeneration['state'],
  secret: string | null,
): Promise<CredentialGeneration> {
  const fingerprint = secret === null ? null : (await fingerprintOf(loaded.folder, secret)).fingerprint;
  return { environment: work.environment, credential: name, generation, fingerprint, state, rollbackId: work.rollbackId, at: new Date().toISOString() };
}

/** What this rollback has issued last; null: nothing. */
export async function newOne({ deps, work, name }: OnCredential): Promise<string | null> {
  const issued = await deps.store.credentials({ environment: work.environment, credential: name, rollbackId: work.rollbackId, state: 'issued' });
  return issued.at(-1)?.generation ?? null;
}
