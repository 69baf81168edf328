/** What a client reads of his artifacts: no type names of ours, no messages of platforms, no address. */
import type { ArtifactType, NotRemovable } from '../../model/tenant.ts';
import type { Action, ArtifactReport, Stands } from './artifacts.ts';
import type { TenantReport } from './tenant.ts';
import { knownInWords } from './tenant-words.ts';

export interface ItemWords {
  readonly kind: string;
  readonly name: string;
  /** Where it says more than the name. */
  readonly id: string | null;
}

const KIND: Readonly<Record<ArtifactType, string>> = {
  'n8n-workflow': 'Automated workflow',
  webhook: 'Web address',
  crm: 'CRM connection',
  calendar: 'Calendar connection',
  'vapi-assistant': 'Voice assistant',
  credential: 'Access credential',
};

/** Of an address only the path says something to a client; host, user and query are the house's. */
export const withoutAddress = (text: string): string => text.replaceAll(/[a-z][\w+.-]*:\/\/[^\s/?#]*([^\s?#]*)[^\s]*/gi, '$1');

/** What nobody has listed, and nobody has judged yet, may be another tenant's: it has no name here. */
export function artifactWords({ type, id, name, requests, fate }: Pick<ArtifactReport, 'type' | 'id' | 'name' | 'requests' | 'fate'>): ItemWords {
  if (requests === null && fate !== 'removed') return { kind: 'Item', name: 'found beside the listed ones', id: null };
  const shown = withoutAddress(type === 'webhook' ? id.replace(/\?.*$/s, '') : id);
  if (type === 'webhook') return { kind: KIND[type], name: shown.startsWith('/') ? shown : `/${shown}`, id: null };
  const named = name === null ? shown : withoutAddress(name);
  return { kind: KIND[type], name: named, id: named === shown ? null : shown };
}

const DONE: Readonly<Record<Action, string>> = {
  deleted: 'deleted',
  deactivated: 'deactivated',
  removed: 'removed',
  disconnected: 'disconnected',
  gone: 'was gone before',
  inactive: 'was inactive before',
  'deleted-or-deactivated': 'deactivated or deleted',
};
export const actionWords = ({ action, known }: ArtifactReport): string => {
  if (action === null) return '';
  if (known === 'gone-before' && action === 'removed') return 'was gone before';
  if (known === 'said') return `reported ${action === 'gone' ? 'gone' : DONE[action]}`;
  return `${DONE[action]}${known === 'by-hand' ? ' by hand' : ''}`;
};

export function howWords(one: ArtifactReport): string {
  const { credentials } = one;
  const more =
    credentials?.state === 'confirmed' ? `; access credentials cleaned up: confirmed by ${withoutAddress(credentials.by ?? 'nobody')}, not verified` : '';
  return `${knownInWords(one, withoutAddress(one.by ?? 'nobody')) ?? ''}${more}`;
}

const LEFT: Readonly<Record<Stands, string>> = {
  'not-begun': 'not started',
  awaited: 'not confirmed yet',
  agreed: 'confirmed, not carried out yet',
  unproven: 'reported as removed, still to be checked',
  failed: 'the removal was tried and did not succeed',
  declined: 'the removal was declined',
  'left-out': 'left to be cleaned up by hand',
  unlisted: 'still to be judged',
  again: 'was found in place again',
};
export const leftWords = ({ stands }: ArtifactReport): string => (stands === null ? 'not removed' : LEFT[stands]);

/** What the policy itself leaves, in a client's words [000 What CANNOT Be Rolled Back]. */
export function notRemovableWords({ artifacts, earlier, notRemovable }: TenantReport): (ItemWords & { readonly why: string; readonly owner: string })[] {
  const all = [...artifacts, ...earlier];
  const kept = artifacts.filter((one) => one.fate === 'kept');
  const own = all.filter((one) => one.fate === 'not-removable');
  return [
    ...own.map((one) => ({ ...artifactWords(one), why: 'credentials are neither made nor deleted here; they are cleaned up by hand', owner: 'operator' })),
    ...kept.map((one) => ({ ...artifactWords(one), why: 'stays in use by another active request of this tenant', owner: 'operator' })),
    ...notRemovable.flatMap(general),
  ];
}

const GENERAL: Readonly<Record<string, readonly [kind: string, why: string]>> = {
  'external CRM records': ['Records in the CRM', 'data that was written to the client’s CRM cannot be recalled'],
  'calendar events': ['Booked appointments', 'they belong to the client’s calendar'],
  'audit log entries': ['Audit log entries', 'kept: removing a service does not erase its history'],
};

const general = ({ artifact, owner }: NotRemovable): (ItemWords & { why: string; owner: string })[] => {
  const words = Object.hasOwn(GENERAL, artifact) ? GENERAL[artifact] : undefined;
  return words ? [{ kind: words[0], name: '', id: null, why: words[1], owner }] : [];
};
