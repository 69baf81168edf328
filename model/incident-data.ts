/** What [001 steps 3c to 3e] add to the plan of an incident from level 2 and 3 on: data in, steps out. */
import type { Destroyed, PlanStep } from './plan.ts';
import { restoreTitle, type Restoring } from './restoring.ts';

/** A migration that is to be undone, with what its recorded inverse would destroy. */
export interface Undoing {
  readonly name: string;
  /** SHA-256 over the hashes of the migration and of its inverse. */
  readonly digest: string;
  readonly destroys: readonly Destroyed[];
  readonly transactional: boolean;
}

/** How a database is gone back: by what was recorded, into a new one, or by people. */
export const BY_HAND = 'by-hand';

export interface DatabasePlace {
  readonly name: string;
  /** `backup`, an ISO time, or `by-hand`; null: migration by migration and row by row. */
  readonly recover: string | null;
  /** Up to when what was written is in what it is recovered from. */
  readonly asOf: string | null;
  /** Newest first. */
  readonly undo: readonly Undoing[];
  readonly restores: readonly Restoring[];
  readonly rebuild: readonly string[];
  /** Names of the house's own checks. */
  readonly checks: readonly string[];
}

export interface ChainPlace {
  readonly name: string;
  /** Runs or entries in the window; null: no window is known, so none can be marked. */
  readonly affected: number | null;
}

export interface CredentialPlace {
  readonly name: string;
  /** What a person has to know to act on it himself; null: its authority is called. */
  readonly byHand: string | null;
}

export interface DataPlace {
  readonly databases: readonly DatabasePlace[];
  readonly chains: readonly ChainPlace[];
  readonly credentials: readonly CredentialPlace[];
}

type Wave = readonly PlanStep[];

const DATA_LEAD = 'data-evidence-lead';
const SECURITY_LEAD = 'security-lead';
/** A person's word before it runs, bound to the plan that shows what it does. */
const APPROVED = { approval: true, attests: 'seen', demands: { plan: true } } as const;

/** [001 step 3c], after the code is back: the old code has to bear the newer schema for a while, never the new code the older one. */
export const dataWaves = ({ databases, chains }: DataPlace): Wave[] => [
  // One that is left for a recovered one may not even answer.
  [...databases.filter((one) => one.checks.length > 0 && one.recover === null).map(surveyStep), ...chains.map(chainSurvey)],
  ...databases.flatMap(goneBack),
  ...databases.flatMap((database) => database.rebuild.map((name) => [rebuildStep(database.name, name)])),
  chains.filter((one) => one.affected !== null).map(annotateStep),
];

/** Proofs beside the gates of [001 step 4]: what is violated or broken can be accepted as risk by nobody. */
export const dataGates = ({ databases, chains }: DataPlace): PlanStep[] => [
  ...databases
    .filter((one) => one.checks.length > 0)
    .map(({ name }): PlanStep => ({
      id: `invariants.${name}`,
      title: `Tenant boundaries and idempotency of ${name} hold`,
      mode: 'gate',
      effect: 'read',
      owner: DATA_LEAD,
      operation: 'invariants',
      subject: name,
      place: `database/${name}`,
      mandatory: true,
    })),
  ...chains.map(({ name }): PlanStep => ({
    id: `chain.${name}`,
    title: `Nothing of ${name} was rewritten, and its hash chain goes on`,
    mode: 'gate',
    effect: 'read',
    owner: DATA_LEAD,
    operation: 'chain',
    subject: name,
    place: `evidence/${name}`,
    mandatory: true,
  })),
];

function goneBack(database: DatabasePlace): Wave[] {
  if (database.recover === BY_HAND) return [[byHandStep(database)]];
  if (database.recover !== null) return [[recoverStep(database)], [switchStep(database)]];
  return [...database.undo.map((one) => [undoStep(database.name, one)]), ...database.restores.map((one) => [restoreStep(database.name, one)])];
}

const surveyStep = ({ name, checks }: DatabasePlace): PlanStep => ({
  id: `survey.${name}`,
  title: `What ${checks.join(', ')} say of ${name} before anything is changed`,
  mode: 'automatic',
  effect: 'read',
  owner: DATA_LEAD,
  operation: 'survey',
  subject: name,
  place: `database/${name}`,
});

const chainSurvey = ({ name }: ChainPlace): PlanStep => ({
  id: `evidence.${name}`,
  title: `The evidence of ${name} as it is before anything is appended`,
  mode: 'automatic',
  effect: 'read',
  owner: DATA_LEAD,
  operation: 'survey',
  subject: name,
  place: `evidence/${name}`,
  // What is appended without it could not be told from what was there.
  mandatory: true,
});

/** In words, with what cannot be counted last. */
export const lossOf = (destroys: readonly Destroyed[]): string =>
  destroys.map(({ what, rows }) => (rows === null ? `${what}, which cannot be counted` : `${what} with ${rows} ${rows === 1 ? 'row' : 'rows'}`)).join('; ');

const undoStep = (database: string, { name, digest, destroys, transactional }: Undoing): PlanStep => ({
  id: `undo.${database}.${name}`,
  title: `Undo the migration ${name} of ${database}${destroys.length > 0 ? `, which destroys ${lossOf(destroys)}` : ''}${transactional ? '' : ', statement by statement: it cannot be one transaction'}`,
  mode: 'automatic',
  effect: 'schema',
  owner: DATA_LEAD,
  operation: 'undo',
  subject: `${database}/${name}`,
  place: `database/${database}`,
  digest,
  ...(destroys.length > 0 ? { destroys } : {}),
  ...(destroys.length > 0 || !transactional ? APPROVED : {}),
});

const restoreStep = (database: string, of: Restoring): PlanStep => ({
  id: `restore.${database}.${of.name}`,
  title: restoreTitle(of),
  mode: 'automatic',
  effect: 'data',
  owner: DATA_LEAD,
  operation: 'restore',
  subject: `${database}/${of.name}`,
  place: `database/${database}`,
  rows: of.missing,
  ...APPROVED,
});

const recoverStep = ({ name, recover, asOf }: DatabasePlace): PlanStep => ({
  id: `recover.${name}`,
  title: `Recover ${name} ${recover === 'backup' ? 'from its backup' : `to ${recover ?? '?'}`} into a new database; what was written after ${asOf ?? 'that'} is not in it`,
  mode: 'automatic',
  effect: 'data',
  owner: DATA_LEAD,
  operation: 'recover',
  subject: name,
  place: `database/${name}`,
  ...APPROVED,
});

const switchStep = ({ name, recover, asOf }: DatabasePlace): PlanStep => ({
  id: `switch.${name}`,
  title: `Switch over to the recovered ${name}; the one in use is kept, read-only`,
  mode: 'automatic',
  effect: 'config',
  owner: DATA_LEAD,
  operation: 'switch',
  subject: name,
  place: `database/${name}`,
  destroys: [{ what: `everything written to ${name} after ${asOf ?? (recover === 'backup' ? 'the backup' : (recover ?? '?'))}`, rows: null }],
  ...APPROVED,
});

const byHandStep = ({ name }: DatabasePlace): PlanStep => ({
  id: `by-hand.${name}`,
  title: `The Data and Evidence Lead goes back with ${name} by hand, and says how`,
  mode: 'manual',
  effect: 'record',
  owner: DATA_LEAD,
  attests: 'done',
  demands: { note: true, items: ['repair-notes', 'tenant-isolation-test'] },
  mandatory: true,
});

const rebuildStep = (database: string, name: string): PlanStep => ({
  id: `rebuild.${database}.${name}`,
  title: `Rebuild ${name} of ${database}`,
  mode: 'automatic',
  effect: 'data',
  owner: DATA_LEAD,
  operation: 'rebuild',
  subject: `${database}/${name}`,
  place: `database/${database}`,
});

const annotateStep = ({ name, affected }: ChainPlace): PlanStep => ({
  id: `annotate.${name}`,
  title: `Mark the ${affected} affected entries of ${name} with this incident, by an appended entry`,
  mode: 'automatic',
  effect: 'evidence',
  owner: DATA_LEAD,
  operation: 'annotate',
  subject: name,
  place: `evidence/${name}`,
});

/** [001 step 3e]: the Security Lead, and nobody else, says which credentials were exposed. Asked with the target; waited for only once code is back. */
export const signature = ({ credentials }: DataPlace): PlanStep[] =>
  credentials.length === 0
    ? []
    : [
        {
          id: 'credentials',
          title: `The Security Lead signs which credentials were exposed or potentially impacted: ${credentials.map((one) => one.name).join(', ')}`,
          mode: 'manual',
          effect: 'record',
          owner: SECURITY_LEAD,
          only: true,
          attests: 'done',
          demands: { lists: credentials.map((one) => one.name), note: true },
          mandatory: true,
        },
      ];

const credentialStep = (operation: 'issue' | 'install' | 'revoke' | 'scope', name: string, title: string): PlanStep => ({
  id: `${operation}.${name}`,
  title,
  mode: operation === 'scope' ? 'gate' : 'automatic',
  effect: operation === 'scope' ? 'read' : 'credential',
  owner: SECURITY_LEAD,
  only: true,
  operation,
  subject: name,
  place: `credential/${name}`,
});

/** The new ones before the old ones go [004 section 5.2]; a signature may have one revoked first. */
export const issuedWaves = ({ credentials }: DataPlace): Wave[] => {
  const called = credentials.filter((one) => one.byHand === null);
  return [
    called.map(({ name }) => credentialStep('issue', name, `Issue another ${name}`)),
    // One by one: they may be held in one file, or by one service.
    ...called.map(({ name }) => [credentialStep('install', name, `Put the new ${name} where it is read, and prove that it works`)]),
    // Not after the data: a database that cannot be gone back must not keep an exposed key alive.
    called.map(({ name }) => credentialStep('revoke', name, `Revoke every earlier ${name}`)),
  ];
};

export const scopedWaves = ({ credentials }: DataPlace): Wave[] => {
  const called = credentials.filter((one) => one.byHand === null);
  return [
    called.map(({ name }) => credentialStep('scope', name, `The new ${name} is allowed no more than it needs, the earlier ones nothing`)),
    credentials.flatMap(({ name, byHand }): PlanStep[] =>
      byHand === null
        ? []
        : [
            {
              id: `rotate.${name}`,
              title: `Rotate ${name} by hand: ${byHand}`,
              mode: 'manual',
              effect: 'credential',
              owner: SECURITY_LEAD,
              only: true,
              attests: 'done',
              subject: name,
              demands: { items: ['rotation-log', 'scope-verification'] },
              mandatory: true,
            },
          ],
    ),
  ];
};

/** Which steps produce the evidence that a row of the checklist asks for, item by item; an item that none produces is a person's to give. */
export function producedBy({ databases, chains, credentials }: DataPlace): Readonly<Record<string, readonly string[]>> {
  const called = databases.filter((one) => one.recover !== BY_HAND);
  const all = called.length === databases.length;
  const repairs = databases.flatMap((one) => [...goneBack(one), ...one.rebuild.map((name) => [rebuildStep(one.name, name)])]).flat();
  const checks = dataGates({ databases: called, chains: [], credentials: [] });
  const items: Readonly<Record<string, readonly string[]>> = {
    'repair-notes': all ? repairs.map((one) => one.id) : [],
    'tenant-isolation-test': all && checks.length === databases.length ? checks.map((one) => one.id) : [],
    'chain-verification': chains.map(({ name }) => `chain.${name}`),
    'incident-links': chains.every((one) => one.affected !== null) ? chains.map(({ name }) => `annotate.${name}`) : [],
    'rotation-log': credentials.map(({ name, byHand }) => `${byHand === null ? 'revoke' : 'rotate'}.${name}`),
    'scope-verification': credentials.map(({ name, byHand }) => `${byHand === null ? 'scope' : 'rotate'}.${name}`),
  };
  return Object.fromEntries(Object.entries(items).filter(([, ids]) => ids.length > 0));
}
