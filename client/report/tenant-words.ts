/** A deprovisioning in sentences: why, what became of the artifacts, and how much of that was seen. */
import { OFFBOARDED } from '../../model/deprovision.ts';
import { own } from '../../model/roles.ts';
import type { RollbackState } from '../../model/state.ts';
import { duration } from '../words.ts';
import type { ArtifactReport, Known } from './artifacts.ts';
import type { TenantReport } from './tenant.ts';

/** [000 When Rollback Triggers] */
const CAUSE: Readonly<Record<string, string>> = {
  'provisioning-failed': 'provisioning failed, and its partial artifacts are cleaned up before a retry [000 reason 1]',
  'post-deployment-issue': 'a critical issue was found after provisioning had completed [000 reason 2]',
  'upgrade-regression': 'a version upgrade caused regressions [000 reason 3]',
  [OFFBOARDED]: 'the client is offboarded [000 reason 4]',
};
export const causeInWords = (cause: string): string => own(CAUSE, cause) ?? cause;

export const count = (number: number, one: string, many = `${one}s`): string => `${number} ${number === 1 ? one : many}`;

export function tenantSummary(report: TenantReport, state: RollbackState): string {
  const { trigger, outcome, environment, clock } = state;
  const { tenant, cause, requests, artifacts, isOver } = report;
  const why = `${trigger.by === '' ? 'Somebody' : trigger.by} asked for the deprovisioning of ${tenant}${environment === '' ? '' : ` in ${environment}`}: ${causeInWords(cause)}${trigger.reason === '' ? '.' : `, because: ${trigger.reason}.`}`;
  if (outcome === 'refused') return `${why} It was refused and nothing was changed: ${state.refusals.at(-1)?.explanation ?? 'see the refusals'}`;
  const of = requests.length === 0 ? '' : ` of request ${requests.map((one) => one.id).join(', ')}`;
  const what = isOver
    ? 'Every request had been rolled back before; it was only looked at once more.'
    : artifacts.length === 0 && requests.length === 0
      ? 'No plan was made.'
      : `${count(artifacts.length, 'artifact')}${of}: ${talliesOf(artifacts)}.`;
  const took = `${duration(clock.machineSeconds)} of machine time and ${duration(clock.humanSeconds)} in which only people were awaited`;
  if (state.state === 'closed') return `${why} ${what} It ended ${outcome ?? 'without an outcome'} after ${took}.`;
  return `${why} ${what} It is not closed: it is ${state.state}${state.stopped === null ? '' : ` (${state.stopped})`}. So far it took ${took}.`;
}

const FATE: Readonly<Record<ArtifactReport['fate'], string>> = {
  removed: 'taken back',
  left: 'not taken back',
  kept: 'kept, since another live request has it',
  'not-removable': 'not removable',
  'not-ours': 'said not to be the tenant’s',
};

function talliesOf(artifacts: readonly ArtifactReport[]): string {
  const by = Object.groupBy(artifacts, (one) => one.fate);
  const words = Object.entries(FATE).flatMap(([fate, word]) => {
    const all = by[fate as ArtifactReport['fate']]; // Its own keys.
    return all ? [`${all.length} ${word}`] : [];
  });
  return words.length === 0 ? 'none' : words.join(', ');
}

export function failedLines({ episodes, requests }: TenantReport): string[] {
  if (episodes.length === 0) return [];
  const last = episodes.at(-1);
  const what = requests.length === 1 ? 'The request was' : 'The requests were';
  const times = episodes.length === 1 ? '' : ` ${episodes.length} times`;
  return [
    `${what} FAILED${times}${last?.until === null ? ', and still so' : ''}: ${[...new Set(episodes.flatMap((one) => one.why))].slice(0, 3).join('; ') || 'no reason is recorded'}.`,
  ];
}

/** Hundreds of artifacts in a line for each person. */
export function confirmedLines({ artifacts }: TenantReport): string[] {
  // What was cleaned up is one word about all of it, and a decision of its own.
  const said = artifacts.filter((one) => one.by !== null && one.fate === 'removed' && one.known !== 'cleaned-up');
  return Object.entries(Object.groupBy(said, (one) => one.by ?? '')).map(([by, all = []]) => {
    const choices = Object.entries(Object.groupBy(all, (one) => one.chosen ?? 'without a choice')).map(([choice, some = []]) => `${some.length} ${choice}`);
    return `${by} confirmed ${count(all.length, 'artifact')}${choices.length === 1 && all[0]?.chosen === null ? '' : ` (${choices.join(', ')})`}`;
  });
}

const KNOWN: Readonly<Record<Known, string>> = {
  seen: 'seen gone, or inactive, on the platform',
  'gone-before': 'gone before',
  'by-hand': 'removed by hand and seen gone',
  'cleaned-up': 'cleaned up by hand and seen gone',
  configuration: 'taken out of the tenant’s configuration, not looked at further',
  said: 'by a person’s word, not verified',
};

export function provenOf({ artifacts, sweptAt }: TenantReport): string[] {
  const removed = artifacts.filter((one) => one.fate === 'removed');
  const lines = Object.entries(KNOWN).flatMap(([known, word]) => {
    const all = removed.filter((one) => one.known === known);
    return all.length === 0
      ? []
      : [
          `${all.length} of ${removed.length} taken back: ${word}${
            known === 'said'
              ? `: ${all
                  .slice(0, 5)
                  .map((one) => one.label)
                  .join(', ')}${all.length > 5 ? ' and more' : ''}`
              : ''
          }.`,
        ];
  });
  const swept = sweptAt === null ? 'The last look at everything has not passed.' : 'The last look at everything found nothing left.';
  return [...lines, swept];
}

/** How it is known; `who` as he may be named there. Null: it is not removed. */
export function knownInWords({ known, action, fate }: Pick<ArtifactReport, 'known' | 'action' | 'fate'>, who: string): string | null {
  if (fate !== 'removed' || known === null) return null;
  const gone = action === 'deactivated' || action === 'inactive' ? 'inactive' : 'gone';
  switch (known) {
    case 'seen':
      return `seen ${gone} on the platform`;
    case 'gone-before':
      return `was ${gone} before`;
    case 'by-hand':
      return `removed by hand by ${who}, seen ${gone} on the platform`;
    case 'cleaned-up':
      return `cleaned up by hand, seen ${gone}`;
    case 'configuration':
      return 'taken out of the tenant’s configuration';
    case 'said':
    default:
      return `confirmed by ${who}, not verified`;
  }
}
