/** What an incident rollback leaves behind beside its steps [001]: who declared and held which role, what was frozen, what belonged to each version, what was told. */
import { fieldOf } from '../../model/field.ts';
import { isGuarded } from '../../model/authority.ts';
import { unfreezeConditions } from '../../model/conditions.ts';
import type { Compared, Plan } from '../../model/plan.ts';
import type { RecordEntry } from '../../model/record.ts';
import { INCIDENT_ROLES, roleTitle } from '../../model/roles.ts';
import type { Answer, Condition } from '../../model/state.ts';
import { cleanupOf, type CleanupRow } from './cleanup.ts';
import { dataOf, type DataReport } from './data.ts';
import { freezeOf, type FreezeReport } from './freeze.ts';
import { levelName } from './growth.ts';
import { signOffsOf, type SignOff } from './proof.ts';
import { entriesOf, lastSaid, runsOf, said, stepOf, textIn, textsIn, type Reading } from './reading.ts';

export interface Declaration {
  readonly by: string;
  readonly at: string;
  readonly level: string;
  /** The trigger of [001 Freeze Scope]. */
  readonly trigger: string;
  readonly reason: string;
  readonly criticalArea: string | null;
  readonly missedWindow: string | null;
}

export interface RoleReport {
  readonly role: string;
  readonly title: string;
  readonly holders: readonly string[];
  /** `configured`: as the worker has it. `acted`: no worker says it; these are the people who answered in it. */
  readonly known: 'configured' | 'acted' | 'unknown';
  /** Who answered a step of this role. */
  readonly acted: readonly string[];
  readonly handOvers: readonly { readonly at: string; readonly from: string | null; readonly to: string; readonly by: string; readonly reason: string }[];
}

export interface Communication {
  readonly template: string;
  readonly at: string;
  readonly subject: string | null;
  /** By audience, how many channels took it: `1 of 2`. */
  readonly sent: Readonly<Record<string, string>>;
  /** Why not everybody was told; null: everybody was. */
  readonly problem: string | null;
  /** Told by hand: who says so, and where. */
  readonly byHand: { readonly by: string; readonly evidence: readonly string[] } | null;
}

export interface Takeover {
  readonly at: string;
  readonly by: string;
  readonly choice: string;
  /** The Workflow Id of the rollback that held them. */
  readonly from: string | null;
  readonly components: readonly string[];
}

/** A confirmation that reality has overtaken, or another level. */
export interface VoidConfirmation {
  readonly step: string;
  readonly at: string;
  readonly by: string | null;
  readonly confirmedAt: string | null;
  readonly plan: string | null;
  readonly why: string;
}

/** The level grew in place [product.md 2]. */
export interface Escalation {
  readonly at: string;
  readonly from: string;
  readonly to: string;
  readonly by: string;
  readonly reason: string;
}

export interface IncidentReport {
  readonly incident: string | null;
  /** The last one. */
  readonly level: string;
  readonly escalations: readonly Escalation[];
  /** Null: it was only proposed. */
  readonly declaration: Declaration | null;
  readonly roles: readonly RoleReport[];
  readonly freeze: FreezeReport;
  readonly comparison: readonly { readonly component: string; readonly rows: readonly Compared[] }[];
  readonly cleanup: readonly CleanupRow[];
  readonly ownership: { readonly by: string; readonly at: string; readonly nextCycleOwner: string | null; readonly reviewOwner: string | null } | null;
  readonly acceptedRisks: readonly SignOff[];
  readonly baselineBlockers: readonly SignOff[];
  readonly unfreeze: {
    readonly conditions: readonly Condition[];
    /** Each time it was confirmed; scopes null: everything that was left. */
    readonly confirmed: readonly { readonly by: string; readonly at: string; readonly scopes: readonly string[] | null }[];
  };
  readonly communications: readonly Communication[];
  readonly takeovers: readonly Takeover[];
  readonly voided: readonly VoidConfirmation[];
  /** What levels 2 and 3 did; null where none of it was planned. */
  readonly data: DataReport | null;
  /** Where the verification was committed for review; null: nowhere. */
  readonly review: { readonly commit: string; readonly branch: string; readonly path: string; readonly remote: string | null } | null;
}

export function incidentReportOf(reading: Reading, incident: string | null): IncidentReport | null {
  const { policy, state } = reading;
  if (policy.level === null) return null;
  const signed = signOffsOf(reading);
  const level = `L${policy.level}`;
  return {
    incident,
    level,
    escalations: reading.growth.map(({ from, to, ...one }) => ({ ...one, from: levelName(from), to: levelName(to) })),
    declaration: declarationOf(reading, level),
    roles: rolesOf(reading),
    freeze: freezeOf(reading),
    comparison: comparisonOf(reading),
    cleanup: cleanupOf(reading),
    ownership: ownershipOf(reading),
    acceptedRisks: signed.filter((one) => one.as === 'accepted-risk'),
    baselineBlockers: signed.filter((one) => one.as === 'baseline-blocker'),
    unfreeze: {
      conditions: state.incidentCommand?.conditions ?? unfreezeConditions(reading.steps, reading.answers),
      confirmed: said(reading, 'confirm', 'unfreeze').map(({ by, at, data }) => ({
        by,
        at,
        scopes: fieldOf(data, 'scopes') === undefined ? null : textsIn(data, 'scopes'),
      })),
    },
    communications: communicationsOf(reading),
    takeovers: takeoversOf(reading),
    voided: voidedOf(reading),
    data: dataOf(reading),
    review: reviewOf(reading),
  };
}

function declarationOf(reading: Reading, level: string): Declaration | null {
  const { trigger, incidentCommand } = reading.state;
  const answer = lastSaid(reading, 'confirm', 'declaration');
  const declared = incidentCommand?.declared ?? answer;
  if (!declared) return null;
  const fact = (name: 'criticalArea' | 'missedWindow'): string | null => textIn(incidentCommand?.declared, name) ?? textIn(answer?.['data'], name);
  return {
    by: declared.by,
    at: declared.at,
    level,
    trigger: trigger.cause,
    reason: trigger.reason,
    criticalArea: fact('criticalArea'),
    missedWindow: fact('missedWindow'),
  };
}

function rolesOf(reading: Reading): RoleReport[] {
  const configured = reading.state.incidentCommand?.roles;
  return Object.keys(INCIDENT_ROLES).map((role) => {
    const handOvers = said(reading, 'assign').filter((one) => one['role'] === role);
    const acted = actedIn(reading, role);
    const last = handOvers.at(-1);
    const named = configured?.[role] ?? [];
    // Who was given a role that signs for itself need not be who may sign.
    const guessed = last && !isGuarded(reading, role) ? [textIn(last, 'to') ?? ''] : acted;
    const holders = configured ? named : guessed;
    return {
      role,
      title: roleTitle(role),
      holders,
      known: holders.length === 0 ? 'unknown' : configured ? 'configured' : 'acted',
      acted,
      handOvers: handOvers.map((one, index) => ({
        at: one.at,
        from: textIn(handOvers[index - 1], 'to') ?? answeredIn(reading, role).findLast((answer) => answer.at < one.at)?.by ?? null,
        to: textIn(one, 'to') ?? '',
        by: one.by,
        reason: textIn(one, 'reason') ?? '',
      })),
    };
  });
}

/** By these words nobody but the role's holder, or his deputy, can have answered. */
const answeredIn = (reading: Reading, role: string): Answer[] =>
  reading.answers.filter(({ name, step }) => (name === 'confirm' || name === 'decline') && step !== null && stepOf(reading, step)?.owner === role);

/** Decisions may also be those of whoever leads: they count only for people who never did. */
function actedIn(reading: Reading, role: string): string[] {
  const leads = new Set([
    ...answeredIn(reading, reading.policy.lead).map((one) => one.by),
    ...said(reading, 'assign').flatMap((one) => (one['role'] === reading.policy.lead ? [textIn(one, 'to') ?? ''] : [])),
  ]);
  const decided = reading.answers.filter(({ name, step, by }) => name === 'decide' && step !== null && stepOf(reading, step)?.owner === role && !leads.has(by));
  return [...new Set([...answeredIn(reading, role), ...decided].map((one) => one.by))];
}

/** With what changes from minute to minute, as the platforms last said it. */
function comparisonOf(reading: Reading): IncidentReport['comparison'] {
  const now = fieldOf(runsOf(reading, 'identify').at(-1)?.receipt?.after, 'now');
  return reading.state.targets.map(({ component, from, to, comparison = [] }) => ({
    component,
    rows: [{ what: 'version', now: from, then: to }, ...comparison.map((row) => ({ ...row, now: row.now ?? textIn(fieldOf(now, component), row.what) }))],
  }));
}

function ownershipOf(reading: Reading): IncidentReport['ownership'] {
  const answer = lastSaid(reading, 'confirm', 'ownership');
  if (!answer) return null;
  const { by, at, data } = answer;
  return { by, at, nextCycleOwner: textIn(data, 'nextCycleOwner'), reviewOwner: textIn(data, 'reviewOwner') };
}

function communicationsOf(reading: Reading): Communication[] {
  const steps = reading.steps.filter((step) => step.operation === 'communicate');
  const all = steps.flatMap((step): Communication[] => {
    const template = step.subject ?? step.id;
    const sent = runsOf(reading, step.id).map(({ at, receipt, failure }) => ({
      template,
      at,
      subject: textIn(receipt?.after, 'subject'),
      sent: textsByName(fieldOf(receipt?.after, 'sent')),
      problem: failure?.message ?? null,
      byHand: null,
    }));
    const told = said(reading, 'decide', step.id).filter((one) => one['action'] === 'done');
    const byHand = told.map((one) => ({
      template,
      at: one.at,
      subject: null,
      sent: {},
      problem: null,
      byHand: { by: one.by, evidence: textsIn(one, 'evidence') },
    }));
    return [...sent, ...byHand];
  });
  return all.toSorted((one, other) => one.at.localeCompare(other.at));
}

const textsByName = (from: unknown): Readonly<Record<string, string>> =>
  typeof from === 'object' && from !== null
    ? Object.fromEntries(Object.entries(from).filter((one): one is [string, string] => typeof one[1] === 'string'))
    : {};

function takeoversOf(reading: Reading): Takeover[] {
  const moved = entriesOf(reading, 'takeover');
  const choices = said(reading, 'confirm', 'takeover');
  return choices.map((answer, index) => {
    const next = choices[index + 1]?.at;
    const taken = moved.filter((entry) => entry.at >= answer.at && (next === undefined || entry.at < next));
    return {
      at: answer.at,
      by: answer.by,
      choice: textIn(answer, 'choice') ?? '',
      from: textIn(taken[0], 'from'),
      components: taken.flatMap((entry) => textsIn(entry, 'components')),
    };
  });
}

/** Said so by the workflow; or by a plan that took the place of one that had been confirmed. */
function voidedOf(reading: Reading): VoidConfirmation[] {
  const voided = reading.voids.flatMap((one, index) =>
    one.steps.flatMap((step): VoidConfirmation[] => {
      const answer = said(reading, 'confirm', step).findLast((given) => given.at <= one.at);
      const isVoidAlready = answer !== undefined && reading.voids.slice(0, index).some((earlier) => earlier.steps.includes(step) && earlier.at >= answer.at);
      // Of a level that grows every step is named that is gone through again, answered or not.
      if ((answer === undefined && one.byGrowth) || isVoidAlready) return [];
      return [{ step, at: one.at, by: answer?.by ?? null, confirmedAt: answer?.at ?? null, plan: textIn(answer, 'plan'), why: inLevels(one.why) }];
    }),
  );
  const confirmed = said(reading, 'confirm', 'target');
  const replaced = entriesOf(reading, 'replanned').flatMap((entry): VoidConfirmation[] => {
    const answer = confirmed.findLast((one) => one.at <= entry.at && one['plan'] === entry['planHashBefore']);
    if (!answer || isRecount(reading, entry) || voided.some((one) => one.confirmedAt === answer.at)) return [];
    const { targets } = entry['plan'] as Plan; // Written by identify.
    const why = `the plan is another one: ${targets.map((one) => `${one.component} from ${one.from ?? 'an unknown version'} to ${one.to}`).join(', ')}`;
    return [{ step: 'target', at: entry.at, by: answer.by, confirmedAt: answer.at, plan: textIn(answer, 'plan'), why }];
  });
  return [...voided, ...replaced].toSorted((one, other) => one.at.localeCompare(other.at));
}

const inLevels = (why: string): string => why.replaceAll(/\bl([123])Rollback\b/g, 'L$1');

/** The same targets; only what one step would destroy was counted anew, and that step alone is asked again. */
const isRecount = (reading: Reading, entry: RecordEntry): boolean =>
  entriesOf(reading, 'step').some((one) => fieldOf(fieldOf(fieldOf(one, 'change'), 'recounted'), 'hash') === entry['planHash']);

function reviewOf(reading: Reading): IncidentReport['review'] {
  const ids = runsOf(reading, 'review').findLast((run) => run.failure === null)?.receipt?.ids;
  const [commit, branch, path] = [textIn(ids, 'commit'), textIn(ids, 'branch'), textIn(ids, 'path')];
  return commit === null || branch === null || path === null ? null : { commit, branch, path, remote: textIn(ids, 'remote') };
}
