/** What a step on a database, evidence or a credential has done, in one line, from its receipt: counts, names and states, and nothing that is stored. */
import { fieldOf } from '../../model/field.ts';
import { lossOf } from '../../model/incident-data.ts';
import type { Destroyed } from '../../model/plan.ts';
import { signedOf } from '../../model/signed.ts';
import type { Answer, Receipt, StepView } from '../../model/state.ts';
import { listIn, numberIn, textIn, textsIn } from './reading.ts';

/** Enough of a hash to tell one from another. */
const HASH_SHOWN = 12;

export const count = (number: number, one: string, more = `${one}s`): string => `${number} ${number === 1 ? one : more}`;
export const shortHash = (hash: string | null): string => (hash === null ? 'none' : hash.length > HASH_SHOWN ? `${hash.slice(0, HASH_SHOWN)}…` : hash);

/** As an inverse says that it was; null: it does not say. */
export function destroyedIn(after: unknown): Destroyed[] | null {
  if (!Array.isArray(fieldOf(after, 'destroyed'))) return null;
  return listIn(after, 'destroyed').flatMap((one) => {
    const what = textIn(one, 'what');
    return what === null ? [] : [{ what, rows: numberIn(one, 'rows') }];
  });
}

export interface CheckFound {
  readonly name: string;
  readonly covers: string;
  /** Null: it could not be run. */
  readonly violations: number | null;
  readonly detail: string | null;
}

export const checksIn = (of: unknown, name: string): CheckFound[] =>
  listIn(of, name).flatMap((one) => {
    const check = textIn(one, 'name');
    return check === null
      ? []
      : [{ name: check, covers: textIn(one, 'covers') ?? 'other', violations: numberIn(one, 'violations'), detail: textIn(one, 'detail') }];
  });

export const violationWords = ({ violations, detail }: Pick<CheckFound, 'violations' | 'detail'>): string =>
  violations === null ? `could not be run: ${detail ?? 'no reason given'}` : violations === 0 ? 'holds' : count(violations, 'violation');

export interface GenerationFound {
  readonly generation: string;
  readonly state: string;
  readonly scopes: readonly string[];
  /** Null: all of them, or the authority does not say. */
  readonly tenants: readonly string[] | null;
}

export const generationsIn = (after: unknown): GenerationFound[] =>
  listIn(after, 'generations').flatMap((one) => {
    const generation = textIn(one, 'id');
    const tenants = Array.isArray(fieldOf(one, 'tenants')) ? textsIn(one, 'tenants') : null;
    return generation === null ? [] : [{ generation, state: textIn(one, 'state') ?? '', scopes: textsIn(one, 'scopes'), tenants }];
  });

export const allowed = ({ scopes, tenants }: Pick<GenerationFound, 'scopes' | 'tenants'>): string =>
  `${scopes.length === 0 ? 'no scope' : scopes.join(', ')}, for ${tenants === null ? 'every tenant, as far as its authority says' : tenants.join(', ')}`;

const WORDS: Readonly<Record<string, (after: unknown, receipt: Receipt) => string>> = {
  undo(after) {
    if (fieldOf(after, 'byHand') === true) return 'undone by hand, and out of the ledger';
    const destroyed = destroyedIn(after);
    return destroyed === null ? 'undone' : destroyed.length === 0 ? 'undone, nothing was destroyed' : `undone, destroying ${lossOf(destroyed)}`;
  },
  restore(after) {
    const [there, changed] = [numberIn(after, 'same') ?? numberIn(after, 'there'), numberIn(after, 'changed') ?? numberIn(after, 'changedSince')];
    return `${count(numberIn(after, 'restored') ?? 0, 'row')} put back, ${there ?? 0} were there as they were, ${changed ?? 0} made anew since and left`;
  },
  recover: (after) =>
    `recovered as of ${textIn(after, 'asOf') ?? 'an unknown time'} into ${textIn(after, 'database') ?? textIn(after, 'folder') ?? 'a new database'}`,
  switch: (after) => `switched over${fieldOf(after, 'byHand') === true ? ' by hand' : ''} in ${count(numberIn(after, 'switched') ?? 0, 'place')}`,
  rebuild: (after) => `rebuilt, ended with ${textIn(after, 'exit') ?? '?'}`,
  invariants: (after) =>
    checksIn(after, 'checks')
      .map((one) => `${one.name}: ${violationWords(one)}`)
      .join('; '),
  annotate: (after) =>
    `${count(numberIn(after, 'annotations') ?? 0, 'entry', 'entries')} appended${textIn(after, 'first') === null ? '' : `, at ${textIn(after, 'first')}`}`,
  chain(after) {
    const broken = numberIn(after, 'broken') ?? 0;
    const before = numberIn(fieldOf(after, 'before'), 'entries') ?? 0;
    return `${count(numberIn(after, 'entries') ?? 0, 'entry', 'entries')}, head ${shortHash(textIn(after, 'head'))}, ${broken === 0 ? 'nothing is broken' : count(broken, 'break')}; the ${before} that were there before are what they were`;
  },
  issue: (_, { ids }) => `issued ${textIn(ids, 'generation') ?? ''}`,
  install: (after, { ids }) =>
    `${textIn(ids, 'generation') ?? 'the new one'} put in ${count(numberIn(after, 'held') ?? 0, 'place')}${fieldOf(after, 'proven') === true ? ', and proven to work' : '; no command proves that it works'}`,
  revoke(after) {
    const all = listIn(after, 'revoked').map((one) => `${textIn(one, 'generation') ?? '?'}${proofWords(one)}`);
    return `${all.length === 0 ? 'nothing was alive to be revoked' : `revoked ${all.join(', ')}`}; ${textIn(after, 'order') ?? ''}`;
  },
  scope(after) {
    const all = generationsIn(after);
    const live = all.filter((one) => one.state === 'live').map((one) => `${one.generation}: ${allowed(one)}`);
    return `alive: ${live.join('; ') || 'none'}; ${all.length - live.length} revoked`;
  },
};

/** Which proof there is that it is not accepted any more. */
function proofWords(revoked: unknown): string {
  const proof = textIn(revoked, 'proof');
  const already = fieldOf(revoked, 'already') === true ? 'revoked before' : null;
  const words = [already, proof === 'service' ? 'the service refuses it' : proof === null ? null : `proven by the ${proof} alone`].filter(
    (one) => one !== null,
  );
  return words.length === 0 ? '' : ` (${words.join(', ')})`;
}

/** Null: it is no such step, or left no receipt. */
export function dataWords(operation: StepView['operation'], receipt: Receipt | null): string | null {
  const words = operation !== null && Object.hasOwn(WORDS, operation) ? WORDS[operation] : undefined;
  return words && receipt?.after !== undefined && receipt.after !== null ? words(receipt.after, receipt) : null;
}

/** The Security Lead's list, in words. */
export function signedWords(answer: Answer): string {
  const { rotate, revokeFirst, unaffected } = signedOf(answer['data']);
  const named = (words: string, names: readonly string[]): string[] => (names.length === 0 ? [] : [`${words} ${names.join(', ')}`]);
  return [...named('rotate', rotate), ...named('revoke first', revokeFirst), ...named('not exposed:', unaffected)].join('; ');
}
