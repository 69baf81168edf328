/**
 * What a client is given when he is offboarded [000]: what was removed, by whose confirmation, how that is known, and what could not be. It is read by people
 * outside the house: no failure message, no note, no reason in free text and no address of ours is in it, and of the house only who confirmed something shown.
 */
import { OFFBOARDED } from '../../model/deprovision.ts';
import { EXIT, Problem } from '../problem.ts';
import type { ArtifactReport } from './artifacts.ts';
import { actionWords, artifactWords, howWords, leftWords, notRemovableWords, withoutAddress, type ItemWords } from './certificate-words.ts';
import type { Material } from './reading.ts';
import type { Report } from './report.ts';

/** `complete`: it is a certificate. Whatever else says at the top that it is none. */
export type Standing = 'complete' | 'open' | 'partial' | 'failed' | 'refused' | 'unproven';

export interface RemovedItem extends ItemWords {
  readonly done: string;
  readonly confirmedBy: string | null;
  readonly at: string | null;
  readonly known: ArtifactReport['known'];
  readonly how: string;
  /** Of an earlier rollback; null: of this one. */
  readonly rollbackId: string | null;
}
export interface LeftItem extends ItemWords {
  readonly why: string;
  readonly owner: string;
}

export interface Certificate {
  readonly isCertificate: boolean;
  readonly standing: Standing;
  readonly subject: 'offboarding' | 'removal';
  readonly title: string;
  /** In one or two sentences, as it stands at the top. */
  readonly statement: string;
  readonly tenant: string;
  readonly house: string | null;
  readonly requests: readonly { readonly id: string; readonly status: string | null }[];
  readonly removed: readonly RemovedItem[];
  /** What is still to be removed. */
  readonly left: readonly LeftItem[];
  /** What is not removed, whatever is done. */
  readonly notRemovable: readonly LeftItem[];
  readonly notes: readonly string[];
  readonly completedAt: string | null;
  readonly completionConfirmedBy: string | null;
  /** When the last look found nothing left. */
  readonly lookedAt: string | null;
  readonly rollbackId: string;
  readonly record: { readonly entry: number | null; readonly head: string | null };
  readonly madeAt: string;
}

/** What `backout.yaml` says where nobody has named the product. */
const UNNAMED = 'the product';
export const houseOf = (product: string | undefined): string | null => (product === undefined || product === UNNAMED ? null : product);

export interface CertificateOf {
  readonly report: Report;
  readonly material: Pick<Material, 'state' | 'recorded' | 'head'>;
  /** Null: nobody knows. */
  readonly house: string | null;
}

/** Refused where no tenant is deprovisioned. */
export function certificateFor({ report, material, house }: CertificateOf): Certificate {
  const { deprovision: of } = report;
  if (!of) {
    const remedy = `leave out --certificate: \`backout report ${report.id}\` is the report of a ${report.kind}`;
    throw new Problem(EXIT.usage, 'usage', `only a deprovisioning has a certificate, and ${report.id} is a ${report.kind}`, remedy);
  }
  const standing = standingOf(report, material);
  const operator = house === null ? 'the operator' : `${house} (operator)`;
  const ownerOf = (owner: string): string => (owner === 'client' ? 'the client' : operator);
  const subject = of.cause === OFFBOARDED ? 'offboarding' : 'removal';
  const all = [...of.artifacts, ...of.earlier];
  const isBegun = standing !== 'refused';
  const removed = isBegun ? all.filter((one) => one.fate === 'removed').map((one) => removedItem(one, report.rollbackId)) : [];
  const left = [
    ...of.artifacts.flatMap((one) => (one.fate === 'left' ? [{ ...artifactWords(one), why: leftWords(one), owner: operator }] : [])),
    ...credentials(all, operator),
  ];
  const notRemovable = isBegun ? notRemovableWords(of).map((one) => ({ ...one, owner: ownerOf(one.owner) })) : [];
  // Credentials hinder no end [000]: where it is over, they are what could not be removed.
  const isComplete = standing === 'complete';
  return {
    isCertificate: isComplete,
    standing,
    subject,
    title: titleOf(standing, subject),
    statement: statementOf(standing, subject, {
      removed: removed.length,
      said: removed.filter((one) => one.known === 'said').length,
      left: left.length,
      isOver: of.isOver,
      operator,
    }),
    tenant: of.tenant,
    house,
    requests: of.requests.map(({ id, status, before }) => ({ id, status: status ?? before })),
    removed,
    left: isComplete ? [] : left,
    notRemovable: isComplete ? [...left, ...notRemovable] : notRemovable,
    notes: notesOf(report, material),
    completedAt: isComplete ? report.endedAt : null,
    completionConfirmedBy: isComplete ? (of.completion?.by ?? null) : null,
    lookedAt: isComplete ? of.sweptAt : null,
    rollbackId: report.rollbackId,
    record: { entry: material.head?.seq ?? null, head: material.head?.hash ?? report.record.head },
    madeAt: report.madeAt,
  };
}

/** A word of the engine is not enough: nothing may be open, and every request has to be where the end puts it. */
function standingOf({ state, outcome, deprovision: of }: Report, material: CertificateOf['material']): Standing {
  if (outcome === 'refused') return 'refused';
  if (state !== 'closed') return 'open';
  if (outcome === 'partial' || outcome === 'failed') return outcome;
  if (outcome === null || !of || material.state.record.behind) return 'unproven';
  const isSeen = of.sweptAt !== null && of.artifacts.every((one) => one.fate !== 'left');
  const isMoved = of.isOver || (of.requests.length > 0 && of.requests.every((one) => one.status === 'ROLLED_BACK'));
  return isSeen && isMoved ? 'complete' : 'unproven';
}

const removedItem = (one: ArtifactReport, rollbackId: string): RemovedItem => ({
  ...artifactWords(one),
  done: actionWords(one),
  confirmedBy: one.by,
  at: one.at,
  known: one.known,
  how: howWords(one),
  rollbackId: one.rollbackId === rollbackId ? null : one.rollbackId,
});

const credentials = (all: readonly ArtifactReport[], owner: string): LeftItem[] =>
  all.flatMap((one) => {
    if (!one.credentials || one.credentials.state === 'confirmed') return [];
    const { kind, name } = artifactWords(one);
    return [{ kind: 'Access credentials', name: `of the ${kind} ${name}`, id: null, why: 'nobody has confirmed that they were cleaned up', owner }];
  });

function titleOf(standing: Standing, subject: Certificate['subject']): string {
  if (standing === 'complete') return subject === 'offboarding' ? 'Offboarding certificate' : 'Certificate of removal';
  return subject === 'offboarding' ? 'Offboarding status' : 'Removal status';
}

interface Counts {
  readonly removed: number;
  /** Of those: on a person's word alone. */
  readonly said: number;
  readonly left: number;
  readonly isOver: boolean;
  readonly operator: string;
}

function statementOf(standing: Standing, subject: Certificate['subject'], { removed, said, left, isOver, operator }: Counts): string {
  const what = subject === 'offboarding' ? 'The offboarding' : 'The removal';
  const alone = said === 0 ? '' : `, ${said} of them on a person’s word alone`;
  const rest = `${removed} of ${removed + left} items are taken back${alone}; ${left === 1 ? 'what is left rests' : `${left} are left, and rest`} with ${operator}.`;
  switch (standing) {
    case 'complete':
      if (removed === 0)
        return isOver
          ? 'Everything had been taken back before. It was looked at once more, and nothing was left.'
          : 'There was nothing to remove: no item was in place.';
      return `The ${removed === 1 ? 'item below was' : `${removed} items below were`} set up ${subject === 'offboarding' ? 'for this tenant' : 'by the request named here'}, and taken back${alone}. Each line says who confirmed it, and how it is known.`;
    case 'refused':
      return `This is not a certificate. ${what} was refused before anything was changed: nothing was removed.`;
    case 'partial':
      return `This is not a certificate. ${what} ended partial: ${rest}`;
    case 'failed':
      return `This is not a certificate. ${what} failed: ${rest}`;
    case 'unproven':
      return `This is not a certificate. ${what} is closed, and not everything of it can be shown from the record at hand. Ask for this page again.`;
    case 'open':
    default:
      return `This is not a certificate. ${what} is not finished: ${rest}`;
  }
}

function notesOf({ deprovision: of }: Report, { recorded }: CertificateOf['material']): string[] {
  if (!of) return [];
  const others = of.artifacts.filter((one) => one.fate === 'not-ours').length;
  const who = [...new Set(of.artifacts.flatMap((one) => (one.fate === 'not-ours' && one.by !== null ? [one.by] : [])))];
  return [
    ...(of.routes ? [`That no web address of the tenant answers any more was confirmed by ${withoutAddress(of.routes.by)}.`] : []),
    ...(of.cause === OFFBOARDED ? [] : ['It concerns the request named here only; the tenant may have others, which are as they were.']),
    // By name they may be somebody else's.
    ...(others === 0
      ? []
      : [
          `${others === 1 ? 'One item that was found beside these does' : `${others} items that were found beside these do`} not belong to the tenant, as ${who.join(' and ')} judged; left as found.`,
        ]),
    ...(recorded.length === 0 ? ['The record could not be read when this page was made: it rests on the word of the running process alone.'] : []),
  ];
}
