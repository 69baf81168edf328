/** The plan of an incident rollback [001 Procedure], level by level: data in, steps out. */
import { dataGates, dataWaves, issuedWaves, producedBy, scopedWaves, signature, type DataPlace } from './incident-data.ts';
import { CI_FAILED, POLICIES, type Kind } from './policy.ts';
import type { Demands, PlanStep, Target } from './plan.ts';

/** What the configuration says about the environment, as far as the steps depend on it. */
export interface IncidentPlace {
  readonly kind: Kind;
  readonly cause: string;
  readonly targets: readonly Target[];
  /** Components in the order in which they may be moved: those of one wave do not depend on each other. */
  readonly waves: readonly (readonly string[])[];
  /** Components with recorded configuration to go back to. */
  readonly configured: ReadonlySet<string>;
  /** Is any component's OpenAPI document configured? */
  readonly parity: boolean;
  readonly gates: readonly { readonly name: string; readonly covers: GateCover }[];
  readonly carriers: readonly string[];
  readonly review: boolean;
  /** What levels 2 and 3 go back with; absent at level 1. */
  readonly data?: DataPlace;
  readonly fourEyes: (step: string) => boolean;
}

/** What a configured command checks, by [001 step 4]. */
export const GATE_COVERS = ['ci', 'smoke', 'evidence'] as const;
export type GateCover = (typeof GATE_COVERS)[number];

/** A row of the mandatory cleanup checklist [001 Step 3 Checklist]. */
export interface ChecklistRow {
  readonly area: string;
  readonly title: string;
  readonly owner: string;
  readonly actions: readonly string[];
  /** The evidence to capture, item by item. */
  readonly items: readonly string[];
  /** From this level on it cannot be signed not-applicable. */
  readonly level: 2 | 3;
}

export const CHECKLIST: readonly ChecklistRow[] = [
  {
    area: 'data',
    title: 'Data rollback and cleanup',
    owner: 'data-evidence-lead',
    actions: ['revert unsafe schema and data changes', 'rebuild projections', 're-verify tenant isolation'],
    items: ['repair-notes', 'tenant-isolation-test'],
    level: 2,
  },
  {
    area: 'evidence',
    title: 'Evidence is rollback safe',
    owner: 'data-evidence-lead',
    actions: ['preserve the append-only log', 'annotate impacted records', 'verify hash-chain continuity'],
    items: ['chain-verification', 'incident-links'],
    level: 3,
  },
  {
    area: 'credentials',
    title: 'Credential hygiene',
    owner: 'security-lead',
    actions: ['revoke and rotate impacted credentials', 're-verify scoped permissions'],
    items: ['rotation-log', 'scope-verification'],
    level: 3,
  },
];

export const NOT_APPLICABLE = 'not-applicable';

/** What runs, or is asked, together. */
type Wave = readonly PlanStep[];

export function incidentSteps(place: IncidentPlace): PlanStep[] {
  const waves = [...contained(place), ...rolledBack(place), ...proven(place), ...unfrozen(place), [communicationUpdate]];
  return waves.flatMap((wave, number) =>
    wave.map((step) => ({
      ...step,
      ...(wave.length > 1 ? { wave: number } : {}),
      ...(step.mode === 'manual' && place.fourEyes(step.id) ? { fourEyes: true } : {}),
    })),
  );
}

/** [001 steps 1 and 2] */
const contained = ({ cause, carriers, data }: IncidentPlace): Wave[] => [
  [declaration(cause)],
  [freeze(null), ...carriers.map(freeze)],
  [communication('declared', 'Stakeholders are told that a rollback is declared')],
  [
    {
      id: 'identify',
      title: 'Look again at every component and take it',
      mode: 'automatic',
      effect: 'record',
      owner: 'incident-commander',
      operation: 'identify',
      // Without it no component is taken, and nothing keeps others from changing what is confirmed.
      mandatory: true,
    },
  ],
  [
    {
      id: 'target',
      title: 'The Incident Commander confirms the target of this plan',
      mode: 'manual',
      effect: 'record',
      owner: 'incident-commander',
      attests: 'seen',
      demands: { plan: true },
      mandatory: true,
    },
    ...(data ? signature(data) : []),
  ],
];

/** [001 step 3]: configuration before code, since a component that goes back starts anew and reads it. */
const rolledBack = ({ waves, configured, targets, data }: IncidentPlace): Wave[] => [
  ...waves.map((names) => names.filter((name) => configured.has(name)).map(configStep)),
  ...waves.map((names) => names.map((name) => deployStep(name, targets))),
  ...(data ? [...issuedWaves(data), ...dataWaves(data), ...scopedWaves(data)] : []),
];

/** [001 Step 3 Checklist and step 4] */
const proven = (place: IncidentPlace): Wave[] => [
  [...gates(place), ...(place.data ? dataGates(place.data) : [])],
  [...CHECKLIST.map((row) => cleanup(row, POLICIES[place.kind].level ?? 1, place.data ?? null)), ownership],
  place.review
    ? [{ id: 'review', title: 'The results are committed for review', mode: 'automatic', effect: 'record', owner: 'data-evidence-lead', operation: 'review' }]
    : [],
  [
    {
      id: 'stability',
      title: 'The target stays in place, healthy and frozen',
      mode: 'gate',
      effect: 'read',
      owner: 'infrastructure-lead',
      operation: 'stability',
      mandatory: true,
    },
  ],
];

/** [001 step 5]. The register last: what is still frozen on a platform is not forgotten. */
const unfrozen = ({ carriers }: IncidentPlace): Wave[] => [
  [
    {
      id: 'unfreeze',
      title: 'The Incident Commander lifts the freeze, once all four conditions are met',
      mode: 'manual',
      effect: 'record',
      owner: 'incident-commander',
      attests: 'seen',
      mandatory: true,
    },
  ],
  [communication('recovery', 'Stakeholders are told of the recovery and of what is unblocked')],
  carriers.map(lift),
  [lift(null)],
];

const communicationUpdate: PlanStep = {
  id: 'communication.update',
  title: 'Stakeholders are kept up to date',
  mode: 'manual',
  effect: 'notify',
  owner: 'communications-owner',
  operation: 'communicate',
  subject: 'update',
  attests: 'done',
  beside: true,
  mandatory: true,
};

const declaration = (cause: string): PlanStep => ({
  id: 'declaration',
  title: 'The Incident Commander declares rollback mode',
  mode: 'manual',
  effect: 'record',
  owner: 'incident-commander',
  attests: 'done',
  mandatory: true,
  ...(cause === CI_FAILED ? { demands: { data: ['criticalArea', 'missedWindow'] } } : {}),
});

const freeze = (carrier: string | null): PlanStep => ({
  id: carrier === null ? 'freeze' : `freeze.${carrier}`,
  title: carrier === null ? 'Merges, claims, promotions and deployments are frozen' : `${carrier} holds the freeze`,
  mode: 'automatic',
  effect: 'freeze',
  owner: 'incident-commander',
  operation: 'freeze',
  // Without its own register there is no freeze at all; a platform may be left to people.
  ...(carrier === null ? { mandatory: true as const } : { subject: carrier }),
});

const lift = (carrier: string | null): PlanStep => ({
  id: carrier === null ? 'lift' : `lift.${carrier}`,
  title: carrier === null ? 'The freeze is lifted' : `${carrier} is unfrozen`,
  mode: 'automatic',
  effect: 'freeze',
  owner: 'incident-commander',
  operation: 'lift',
  ...(carrier === null ? { mandatory: true as const } : { subject: carrier }),
});

const communication = (template: string, title: string): PlanStep => ({
  id: `communication.${template}`,
  title,
  mode: 'automatic',
  effect: 'notify',
  owner: 'communications-owner',
  operation: 'communicate',
  subject: template,
  mandatory: true,
  // A channel that is down must not hold up the rollback; the freeze is not lifted before it is caught up.
  ...(template === 'declared' ? { beside: true as const } : {}),
});

const configStep = (component: string): PlanStep => ({
  id: `${component}.config`,
  title: `Set the drifted configuration of ${component} back`,
  mode: 'automatic',
  effect: 'config',
  owner: 'infrastructure-lead',
  operation: 'config',
  component,
});

const deployStep = (component: string, targets: readonly Target[]): PlanStep => ({
  id: `${component}.deploy`,
  title: `Put ${component} back to ${targets.find((one) => one.component === component)?.to ?? '?'}`,
  mode: 'automatic',
  effect: 'deploy',
  owner: 'api-lead',
  operation: 'deploy',
  component,
});

function gates(place: IncidentPlace): PlanStep[] {
  const gate = { mode: 'gate', effect: 'read' } as const;
  const owners: Readonly<Record<GateCover, string>> = { ci: 'incident-commander', smoke: 'api-lead', evidence: 'data-evidence-lead' };
  return [
    { id: 'health', title: 'Every component starts and is healthy', ...gate, owner: 'infrastructure-lead', operation: 'health' },
    { id: 'smoke', title: 'The critical smoke tests pass', ...gate, owner: 'api-lead', operation: 'smoke' },
    { id: 'served', title: 'Every component serves its target', ...gate, owner: 'api-lead', operation: 'served' },
    ...(place.parity
      ? [{ id: 'parity', title: 'The critical endpoints are those of the target', ...gate, owner: 'api-lead', operation: 'parity' } as const]
      : []),
    ...place.gates.map(({ name, covers }): PlanStep => ({
      id: `gate.${name}`,
      title: `${name} passes`,
      ...gate,
      owner: owners[covers],
      operation: 'gate',
      subject: name,
    })),
  ];
}

/** Within its level a row is done, with its evidence; outside of it its owner may sign that it does not apply, and why. */
function cleanup(row: ChecklistRow, level: number, data: DataPlace | null): PlanStep {
  const isNoCredential = row.area === 'credentials' && (data?.credentials.length ?? 0) === 0;
  return {
    id: `cleanup.${row.area}`,
    title: `${row.title}: ${row.actions.join(', ')}`,
    mode: 'manual',
    effect: 'record',
    owner: row.owner,
    attests: 'done',
    mandatory: true,
    // Who signs for credentials is nobody's to appoint.
    ...(row.area === 'credentials' && !isNoCredential ? { only: true as const } : {}),
    demands: {
      // Where no credential is configured nobody can have a log of its rotation: that none was exposed is signed, and why.
      choices: level >= row.level && !isNoCredential ? ['done'] : [NOT_APPLICABLE, 'done'],
      items: row.items,
      ...(data === null ? {} : producedOf(row, producedBy(data))),
      note: NOT_APPLICABLE,
    } satisfies Demands,
  };
}

function producedOf({ items }: ChecklistRow, by: Readonly<Record<string, readonly string[]>>): Pick<Demands, 'produced'> {
  const own = Object.entries(by).filter(([item]) => items.includes(item));
  return own.length === 0 ? {} : { produced: Object.fromEntries(own) };
}

const ownership: PlanStep = {
  id: 'ownership',
  title: 'Ownership for the next cycle is re-established',
  mode: 'manual',
  effect: 'record',
  owner: 'incident-commander',
  attests: 'done',
  mandatory: true,
  demands: { data: ['nextCycleOwner', 'reviewOwner'] },
};
