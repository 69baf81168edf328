/** Gaps of data, evidence and credentials that this run shows, each with what to configure [001 Post-Rollback Deliverables]. */
import type { ChainReport } from './chains.ts';
import type { DatabaseReport } from './databases.ts';
import type { Findings } from './follow-ups.ts';
import type { Safeguard } from './safeguards.ts';

export function dataSafeguards({ incident, reading }: Findings): Safeguard[] {
  const data = incident?.data;
  if (!data) return [];
  const place = `environments.${reading.state.environment}`;
  return [
    ...data.databases.flatMap((one) => [...ofChecks(place, one), ...ofHand(place, one), ...ofLoss(one)]),
    ...data.chains.flatMap(ofChain),
    ...(data.credentials?.rotated ?? []).flatMap(({ name, installed }) =>
      installed && !installed.proven
        ? [yaml(`Nothing proved that what runs works with the new ${name}`, `add ${place}.credentials.${name}.prove with a command`, `install.${name}`)]
        : [],
    ),
  ];
}

const yaml = (gap: string, change: string, seenIn: string): Safeguard => ({ gap, change, where: 'backout.yaml', seenIn });
const runbook = (gap: string, change: string, seenIn: string): Safeguard => ({ gap, change, where: 'runbook', seenIn });

const ofChecks = (place: string, { name, checks, byHand, isChecked }: DatabaseReport): Safeguard[] => [
  ...(!isChecked && byHand === null
    ? [
        yaml(
          `Nothing proves the tenant boundaries of ${name} [001 step 3c]`,
          `add ${place}.databases.${name}.checks: queries whose rows are violations`,
          'the plan',
        ),
      ]
    : []),
  ...checks.flatMap((one) =>
    one.before?.violations
      ? [
          runbook(
            `${one.name} of ${name} found ${one.before.violations} violations before anything was changed`,
            'run the checks at each release, not only when it is rolled back',
            `survey.${name}`,
          ),
        ]
      : [],
  ),
];

const ofHand = (place: string, { name, byHand }: DatabaseReport): Safeguard[] =>
  byHand === null
    ? []
    : [
        yaml(
          `${name} was gone back with by hand`,
          `name ledger, backup or archive in ${place}.databases.${name}.options, and record each migration with its inverse`,
          byHand.step,
        ),
      ];

const ofLoss = ({ undone, restored }: DatabaseReport): Safeguard[] => [
  ...undone.flatMap((one) =>
    one.wouldDestroy.length > 0
      ? [runbook(`The inverse of ${one.migration} destroys data`, 'write inverses that keep what was added: rename it, or copy it aside', one.step)]
      : [],
  ),
  ...restored.flatMap((one) =>
    one.unreadable > 0 ? [runbook(`The audit log has entries of ${one.restore} whose key cannot be read`, 'have it keep the whole row', one.step)] : [],
  ),
];

const ofChain = ({ name, before }: ChainReport): Safeguard[] => [
  ...(before?.warnings ?? []).map((one) =>
    runbook(
      `The evidence ${name} could be rewritten or forked unseen: ${one}`,
      'make the link to the entry before unique, and take from its role the right to change or delete',
      `evidence.${name}`,
    ),
  ),
  ...((before?.broken ?? 0) > 0
    ? [runbook(`The evidence ${name} was broken, and nobody knew`, 'verify its chain on a schedule, and have somebody told', `evidence.${name}`)]
    : []),
];
