/** What became of each credential [001 step 3e, 004 section 5.2]: on whose signature, in which order, generation by generation. No secret is in what it is read from. */
import { itemsOf } from '../../model/evidence.ts';
import { fieldOf } from '../../model/field.ts';
import { signedOf } from '../../model/signed.ts';
import type { StepView } from '../../model/state.ts';
import { dataWords, generationsIn, type GenerationFound } from './data-words.ts';
import { confirmOf, listIn, numberIn, runsOf, secondsBetween, skipOf, textIn, textsIn, type Reading, type Run } from './reading.ts';

/** The Security Lead's list. */
export interface SignedList {
  readonly by: string;
  readonly at: string;
  /** How the name is known. */
  readonly proof: string;
  readonly note: string | null;
  readonly rotate: readonly string[];
  readonly revokeFirst: readonly string[];
  readonly unaffected: readonly string[];
  /** What Backout does not know, in words. */
  readonly elsewhere: readonly string[];
}

export interface RotationMoment {
  readonly at: string;
  readonly step: string;
  readonly state: string;
  readonly what: string;
}

export interface RotatedCredential {
  readonly name: string;
  /** `old-last`: the new one worked before the old ones went. `old-first`: exploited, the outage was accepted. */
  readonly order: 'old-last' | 'old-first';
  /** `open`: not all of it is done. */
  readonly state: 'rotated' | 'open';
  readonly issued: string | null;
  /** In how many places it is read; null: it is in none yet. */
  readonly installed: { readonly places: number | null; readonly proven: boolean } | null;
  readonly revoked: readonly { readonly generation: string; readonly proof: string | null; readonly already: boolean }[];
  /** Between the end of the old one and the new one in its place; null where there was none, or it lasts. */
  readonly outageSeconds: number | null;
  /** What is alive now, as the scope gate has seen it. */
  readonly alive: readonly GenerationFound[];
  readonly log: readonly RotationMoment[];
}

/** Rotated by a person, where no authority can be asked. */
export interface HandRotated {
  readonly name: string;
  /** With what was recorded of it with the target. */
  readonly title: string;
  readonly state: string;
  readonly by: string | null;
  readonly at: string | null;
  readonly evidence: Readonly<Record<string, string>>;
  readonly note: string | null;
}

export interface CredentialsReport {
  /** Null: nobody has signed. */
  readonly signed: SignedList | null;
  readonly rotated: readonly RotatedCredential[];
  readonly byHand: readonly HandRotated[];
  readonly notExposed: readonly string[];
}

const AT = 'credential/';

/** Null where none was part of it. */
export function credentialsOf(reading: Reading): CredentialsReport | null {
  const list = reading.steps.find((step) => step.id === 'credentials');
  if (!list) return null;
  const signed = listOf(reading);
  const isMoved = (name: string): boolean => !signed?.unaffected.includes(name);
  const called = [...new Set(reading.steps.flatMap(({ place }) => (place?.startsWith(AT) ? [place.slice(AT.length)] : [])))];
  const hand = reading.steps.filter((step) => step.id.startsWith('rotate.') && step.subject !== undefined);
  return {
    signed,
    rotated: signed ? called.filter(isMoved).map((name) => rotatedOf(reading, name, signed)) : [],
    byHand: signed ? hand.filter((step) => isMoved(step.subject ?? '')).map((step) => handRotated(reading, step)) : [],
    notExposed: signed?.unaffected ?? [],
  };
}

function listOf(reading: Reading): SignedList | null {
  const answer = confirmOf(reading, 'credentials');
  if (!answer) return null;
  const { by, at, proof, data } = answer;
  const { rotate, revokeFirst, unaffected } = signedOf(data);
  return { by, at, proof, note: textIn(answer, 'note'), rotate, revokeFirst, unaffected, elsewhere: textsIn(data, 'elsewhere') };
}

const isDone = ({ state }: Pick<Run, 'state'>): boolean => state === 'done' || state === 'already';

function rotatedOf(reading: Reading, name: string, signed: SignedList): RotatedCredential {
  const steps = reading.steps.filter((step) => step.place === `${AT}${name}`);
  const done = (operation: string): Run | undefined => {
    const step = steps.find((one) => one.operation === operation);
    return step ? runsOf(reading, step.id).findLast(isDone) : undefined;
  };
  const [issue, install, revoke, scope] = [done('issue'), done('install'), done('revoke'), done('scope')];
  const order = signed.revokeFirst.includes(name) ? 'old-first' : 'old-last';
  return {
    name,
    order,
    state: steps.every(isDone) ? 'rotated' : 'open',
    issued: textIn(issue?.receipt?.ids, 'generation') ?? textIn(install?.receipt?.ids, 'generation'),
    installed: install ? { places: numberIn(install.receipt?.after, 'held'), proven: fieldOf(install.receipt?.after, 'proven') === true } : null,
    revoked: listIn(revoke?.receipt?.after, 'revoked').map((one) => ({
      generation: textIn(one, 'generation') ?? '?',
      proof: textIn(one, 'proof'),
      already: fieldOf(one, 'already') === true,
    })),
    outageSeconds: order === 'old-first' && revoke && install && install.at > revoke.at ? secondsBetween(revoke.at, install.at) : null,
    alive: generationsIn(scope?.receipt?.after).filter((one) => one.state === 'live'),
    log: steps.flatMap((step) => logOf(reading, step)).toSorted((one, other) => one.at.localeCompare(other.at)),
  };
}

function logOf(reading: Reading, { id, operation }: StepView): RotationMoment[] {
  const runs = runsOf(reading, id).map(({ at, state, failure, receipt }) => ({
    at,
    step: id,
    state,
    what: failure?.message ?? dataWords(operation, receipt) ?? state,
  }));
  const skip = skipOf(reading, id);
  return skip ? [...runs, { at: skip.at, step: id, state: 'skipped', what: `left out by ${skip.by}: ${textIn(skip, 'reason') ?? 'no reason given'}` }] : runs;
}

function handRotated(reading: Reading, step: StepView): HandRotated {
  const answer = step.state === 'confirmed' ? confirmOf(reading, step.id) : undefined;
  return {
    name: step.subject ?? '',
    title: step.title,
    state: step.state,
    by: answer?.by ?? null,
    at: answer?.at ?? null,
    evidence: itemsOf(textsIn(answer, 'evidence')),
    note: textIn(answer, 'note'),
  };
}
