/** The plan of a deprovisioning [000 Rollback Procedure]: what is asked, done and looked at, per artifact. */
import type { Demands, PlanStep } from './plan.ts';
import { keyOf, type Artifact, type ArtifactType, type NotRemovable } from './tenant.ts';

/** The only reason that concerns all of a tenant; the others concern one provisioning request. */
export const OFFBOARDED = 'client-offboarded';

/** An artifact as the platforms and the provisioning store show it. */
export interface Inventoried extends Artifact {
  /** The requests of this rollback that list it; none: it carries the tenant's mark, and no Canonical Object knows it. */
  readonly requests: readonly string[];
  readonly presence: 'present' | 'inactive' | 'absent' | 'unknown';
  /** Where a person acts on it, who alone can. */
  readonly link?: string;
  /** Why it stays, though it is listed: another live request of this tenant lists it too. */
  readonly kept?: string;
}

const PREFIX: Readonly<Record<ArtifactType, string>> = {
  'n8n-workflow': 'workflow',
  webhook: 'webhook',
  crm: 'crm',
  calendar: 'calendar',
  'vapi-assistant': 'vapi',
  credential: 'credential',
};
const TITLE: Readonly<Record<ArtifactType, string>> = {
  'n8n-workflow': 'n8n workflow',
  webhook: 'webhook path',
  crm: 'CRM integration',
  calendar: 'calendar integration',
  'vapi-assistant': 'VAPI assistant',
  credential: 'credential',
};

/** As people read it: `n8n workflow "Intake" (aX7)`. */
export const nameOf = ({ type, id, name }: Pick<Artifact, 'type' | 'id' | 'name'>): string =>
  name === undefined || name === id ? `${TITLE[type]} ${id}` : `${TITLE[type]} "${name}" (${id})`;

/** Letters that a shell and a step id can carry as they are; any other id is named by its number. */
const PLAIN = /^[\w./:@+-]{1,120}$/;
/** An id that reads as if another step were meant: of another artifact, or the second one of its own type. */
const CONFUSING = /^number-\d+$|\.(look|credentials)$/;

/** The step of an artifact. A number in the order of the inventory stands for an id that no command line could carry. */
const stepIdOf = (artifact: Pick<Artifact, 'type' | 'id'>, index: number): string =>
  `${PREFIX[artifact.type]}.${PLAIN.test(artifact.id) && !CONFUSING.test(artifact.id) ? artifact.id : `number-${index + 1}`}`;

/** What stays whatever is done, by the very policy [000 What CANNOT Be Rolled Back]. */
export function notRemovable(artifacts: readonly Inventoried[]): NotRemovable[] {
  const has = (type: ArtifactType): boolean => artifacts.some((one) => one.type === type && one.requests.length > 0);
  return [
    ...artifacts.flatMap((one) =>
      one.type === 'credential' && one.requests.length > 0
        ? [{ artifact: nameOf(one), reason: 'Backout neither creates nor deletes credentials: their cleanup is the operator’s [000]', owner: 'operator' }]
        : [],
    ),
    ...artifacts.flatMap((one) => (one.kept === undefined ? [] : [{ artifact: nameOf(one), reason: one.kept, owner: 'operator' }])),
    ...(has('crm')
      ? [{ artifact: 'external CRM records', reason: 'data written to the client’s CRM while the tenant was active cannot be recalled [000]', owner: 'client' }]
      : []),
    ...(has('calendar')
      ? [{ artifact: 'calendar events', reason: 'appointments that were booked belong to the client’s calendar [000]', owner: 'client' }]
      : []),
    { artifact: 'audit log entries', reason: 'the error_log only grows: a rollback does not erase history [000]', owner: 'operator' },
  ];
}

export interface DeprovisionOf {
  readonly tenant: string;
  readonly requests: readonly string[];
  readonly artifacts: readonly Inventoried[];
  /** Every request is ROLLED_BACK: nothing is to be done, only looked at. */
  readonly isOver: boolean;
  readonly fourEyes: (step: string) => boolean;
}

const OWNER = 'operator';
/** The choice of who did it himself. */
export const BY_HAND = 'done';
export const NOT_OURS = 'not-ours';

/** What is confirmed in any order is one wave; `after` says what waits for what in it. */
export function deprovisionSteps(of: DeprovisionOf): PlanStep[] {
  const { tenant, artifacts, isOver, fourEyes } = of;
  const identify: PlanStep = {
    id: 'identify',
    title: `Identify the artifacts of ${tenant}`,
    mode: 'automatic',
    effect: 'read',
    owner: null,
    operation: 'inventory',
    mandatory: true,
  };
  if (isOver) return [identify, remnantsOf(tenant)];
  const numbered = artifacts.map((artifact, index) => ({ artifact, id: stepIdOf(artifact, index) }));
  return [
    identify,
    ...beginning(of),
    ...numbered.flatMap(firstOf),
    ...numbered.flatMap(secondOf),
    ...numbered.flatMap((one) => lastOf(one, fourEyes)),
    ...routesOf(numbered, of),
    ...ending(of),
  ];
}

/** Nothing is changed before the inventory is confirmed, and nothing before the request says so [000 Rollback Procedure 1 and 2]. */
const beginning = ({ tenant, requests, fourEyes }: DeprovisionOf): PlanStep[] => [
  {
    id: 'inventory',
    title: `Is this what ${tenant} has, and all of it?`,
    mode: 'manual',
    effect: 'read',
    owner: OWNER,
    attests: 'seen',
    fourEyes: fourEyes('inventory'),
    mandatory: true,
    demands: { plan: true },
  },
  {
    id: 'begin',
    title: `Put ${listed(requests)} into ROLLBACK_IN_PROGRESS`,
    mode: 'automatic',
    effect: 'tenant',
    owner: OWNER,
    operation: 'begin',
    mandatory: true,
  },
];

/** [000 Rollback Procedure 4]: that no route is left is an operator's word, on what the probes have seen. */
function routesOf(numbered: readonly Numbered[], { tenant, fourEyes }: DeprovisionOf): PlanStep[] {
  const paths = numbered.flatMap(({ artifact }) => (artifact.type === 'webhook' && isTaken(artifact) ? [artifact.id] : []));
  if (paths.length === 0) return [];
  return [
    {
      id: 'routes',
      title: `No route of ${tenant} answers any more: ${listed(paths)}`,
      mode: 'manual',
      effect: 'read',
      owner: OWNER,
      attests: 'seen',
      fourEyes: fourEyes('routes'),
      wave: 1,
      after: 'webhook.',
      removal: true,
    },
  ];
}

const remnantsOf = (tenant: string): PlanStep => ({
  id: 'remnants',
  title: `Look whether anything of ${tenant} is left`,
  mode: 'gate',
  effect: 'read',
  owner: OWNER,
  operation: 'remnants',
  removal: true,
  mandatory: true,
});

/** [000 Rollback Failure], then [000 Rollback Procedure 7 to 9]. */
const ending = ({ tenant, requests, fourEyes }: DeprovisionOf): PlanStep[] => [
  {
    id: 'failure',
    title: `Put ${listed(requests)} into FAILED`,
    mode: 'automatic',
    effect: 'tenant',
    owner: OWNER,
    operation: 'fail',
    afterFailure: true,
    mandatory: true,
  },
  {
    id: 'cleanup',
    title: 'What could not be removed was cleaned up by hand',
    mode: 'manual',
    effect: 'tenant',
    owner: OWNER,
    attests: 'seen',
    fourEyes: fourEyes('cleanup'),
    mandatory: true,
    afterFailure: true,
    demands: { note: true },
  },
  remnantsOf(tenant),
  {
    id: 'completion',
    title: `Mark ${tenant} deprovisioned and ${listed(requests)} ROLLED_BACK`,
    mode: 'manual',
    effect: 'tenant',
    owner: OWNER,
    attests: 'seen',
    fourEyes: fourEyes('completion'),
    mandatory: true,
  },
  {
    id: 'complete',
    title: `${tenant} is deprovisioned, ${listed(requests)} ROLLED_BACK, the error_log written`,
    mode: 'automatic',
    effect: 'tenant',
    owner: OWNER,
    operation: 'complete',
    mandatory: true,
  },
];

interface Numbered {
  readonly artifact: Inventoried;
  readonly id: string;
}

const listed = (names: readonly string[]): string => (names.length <= 3 ? names.join(', ') : `${names.slice(0, 3).join(', ')} and ${names.length - 3} more`);

/** Listed by what is rolled back, and by nobody else who lives on. */
export const isTaken = ({ requests, kept }: Inventoried): boolean => requests.length > 0 && kept === undefined;

/** What can be confirmed in any order, and is acted on as soon as it is. */
function firstOf({ artifact, id }: Numbered): PlanStep[] {
  const base = { effect: 'tenant', owner: OWNER, subject: keyOf(artifact), wave: 1, removal: true } as const;
  if (artifact.requests.length === 0) return artifact.type === 'webhook' ? [] : [unlisted(artifact, id)];
  if (!isTaken(artifact) || artifact.type === 'webhook') return [];
  const name = nameOf(artifact);
  // What cannot be seen may only be hidden from the key that looks: a person says that it is gone.
  if (artifact.presence === 'absent' && artifact.type !== 'credential')
    return [asked({ ...base, id, title: `${name} is listed and cannot be seen: say that it is gone`, operation: 'look' })];
  if (artifact.type === 'credential')
    return [{ id, title: name, mode: 'manual', effect: 'tenant', owner: OWNER, subject: keyOf(artifact), wave: 1, irreversible: credentialReason(artifact) }];
  if (artifact.type === 'vapi-assistant')
    return [
      {
        ...base,
        id,
        title: `Deactivate or delete ${name} in the VAPI dashboard${artifact.link === undefined ? '' : `: ${artifact.link}`}`,
        mode: 'manual',
        attests: 'done',
        demands: { note: true },
      },
    ];
  if (artifact.type === 'n8n-workflow')
    return [asked({ ...base, id, title: `Take ${name} out of work`, operation: 'remove' }, { choices: ['deactivate', 'delete', BY_HAND] })];
  return [asked({ ...base, id, title: `Disconnect ${name} in the tenant's configuration`, operation: 'release' })];
}

/** What can be done and proven only when the first are gone. */
function secondOf({ artifact, id }: Numbered): PlanStep[] {
  if (!isTaken(artifact)) return [];
  const base = { effect: 'tenant', owner: OWNER, subject: keyOf(artifact), wave: 1, removal: true } as const;
  const name = nameOf(artifact);
  if (artifact.type === 'webhook')
    return [asked({ ...base, id, after: 'workflow.', title: `Remove ${name} from the tenant's configuration, until no route answers`, operation: 'release' })];
  if (artifact.type !== 'vapi-assistant' || artifact.presence === 'absent') return [];
  return [{ ...base, id: `${id}.look`, after: id, title: `${name} is gone or inactive`, mode: 'automatic', operation: 'look' }];
}

/** What a person attests when everything else is done. */
function lastOf({ artifact, id }: Numbered, fourEyes: DeprovisionOf['fourEyes']): PlanStep[] {
  if (!isTaken(artifact) || (artifact.type !== 'crm' && artifact.type !== 'calendar')) return [];
  return [
    {
      id: `${id}.credentials`,
      title: `The credentials of ${nameOf(artifact)} were cleaned up`,
      mode: 'manual',
      effect: 'tenant',
      owner: OWNER,
      attests: 'done',
      fourEyes: fourEyes(`${id}.credentials`),
      wave: 1,
      after: id,
      subject: keyOf(artifact),
      demands: { note: true },
    },
  ];
}

const asked = (step: Omit<PlanStep, 'mode'>, demands?: Demands): PlanStep => ({
  ...step,
  mode: 'automatic',
  approval: true,
  ...(demands === undefined ? {} : { demands }),
});

/** Backout touches only what a Canonical Object lists [000 Rollback Procedure 2]: a person removes it, lists it, or says whose it is. */
const unlisted = (artifact: Inventoried, id: string): PlanStep => ({
  id: `unlisted.${id}`,
  title: `${nameOf(artifact)} carries the tenant's mark and no Canonical Object lists it: remove it by hand, or say whose it is`,
  mode: 'manual',
  effect: 'tenant',
  owner: OWNER,
  attests: 'done',
  subject: keyOf(artifact),
  wave: 1,
  mandatory: true,
  demands: { choices: ['removed', NOT_OURS], note: NOT_OURS },
});

const credentialReason = (artifact: Inventoried): string => notRemovable([artifact])[0]?.reason ?? 'not removable';
