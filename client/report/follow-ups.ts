/** What is left to do once everybody has gone home: each with who owns it and, where somebody said so, until when [001 Post-Rollback Deliverables, 004 section 8]. */
import { dataFollowUps } from './data-follow-ups.ts';
import type { GateReport, SignOff } from './proof.ts';
import type { IncidentReport } from './command.ts';
import type { TenantReport } from './tenant.ts';
import type { Drift } from './freeze.ts';
import { startAgain } from '../../model/start-again.ts';
import { own } from '../../model/roles.ts';
import { lastSaid, ownerOf, stepOf, textIn, type Reading } from './reading.ts';

export interface FollowUp {
  readonly action: string;
  /** A person where one is known, else the role. */
  readonly owner: string;
  /** A date or a time, as it was given or as the source demands it; null: nobody has said. */
  readonly due: string | null;
  /** What it comes from. */
  readonly source: string;
}

/** What the other parts of the report have found. */
export interface Findings {
  readonly reading: Reading;
  readonly incident: IncidentReport | null;
  readonly tenant: TenantReport | null;
  readonly signOffs: readonly SignOff[];
  readonly gates: readonly GateReport[];
  readonly drift: readonly Drift[];
}

const HOUR_MS = 3_600_000;
/** "A detailed analysis will be shared within 48 hours" [004 section 6.2]. */
const ANALYSIS_HOURS = 48;
/** The short-term actions of [004 section 8.2]. */
const PLAN_HOURS = 24;
/** Later than this after detection, a start owes an answer [002 section 3]. */
const LATE_SECONDS = 300;

export function followUpsOf(findings: Findings): FollowUp[] {
  return [
    ...frozen(findings),
    ...remaining(findings),
    ...untold(findings),
    ...signed(findings),
    ...unchecked(findings),
    ...drifted(findings),
    ...ofData(findings),
    ...breached(findings),
    ...migrated(findings),
    ...lateStart(findings),
    ...afterwards(findings),
  ];
}

function ofData(findings: Findings): FollowUp[] {
  const data = findings.incident?.data;
  return data ? dataFollowUps(data, { lead: personOf(findings, 'data-evidence-lead'), security: personOf(findings, 'security-lead') }) : [];
}

/** Who holds the role now; who answered in it, where nobody else is known; else the role itself. */
export function personOf({ reading, incident }: Pick<Findings, 'reading' | 'incident'>, role: string): string {
  const held = incident?.roles.find((one) => one.role === role)?.holders ?? [];
  if (held.length > 0) return held.join(', ');
  const answered = reading.answers.findLast(({ name, step }) => (name === 'confirm' || name === 'decline') && step !== null && ownerOf(reading, step) === role);
  return answered?.by ?? role;
}

const leadOf = (findings: Findings): string => personOf(findings, findings.reading.policy.lead);
const after = (iso: string | null, hours: number): string | null => (iso === null ? null : new Date(Date.parse(iso) + hours * HOUR_MS).toISOString());

function frozen(findings: Findings): FollowUp[] {
  const { incident, reading } = findings;
  if (!incident || incident.freeze.inForce.length === 0 || reading.state.state !== 'closed') return [];
  const where = incident.freeze.environments.filter((one) => one.inForce.length > 0).map((one) => one.environment);
  const { kind, environment, targets, trigger } = reading.state;
  const again = startAgain({ kind, environment, incident: incident.incident, cause: trigger.cause, targets });
  const action = `Lift the freeze of ${incident.freeze.inForce.join(', ')} in ${(where.length > 0 ? where : [environment]).join(', ')} by a controlled unfreeze: start the rollback of this incident again to come to it: ${again}`;
  return [{ action, owner: leadOf(findings), due: null, source: 'freeze still in force [001 step 5]' }];
}

/** What has a follow-up of its own is not said twice. */
function remaining(findings: Findings): FollowUp[] {
  const { reading, signOffs, incident, tenant } = findings;
  if (tenant) return ofTenant(findings, tenant);
  return reading.state.remains.flatMap(({ artifact, reason, owner }) => {
    const isKnown = signOffs.some((one) => one.step === artifact) || (incident !== null && artifact.startsWith('freeze of '));
    return isKnown
      ? []
      : [
          {
            action: `Settle what was left: ${artifact}: ${reason}`,
            owner: personOf(findings, owner ?? reading.policy.lead),
            due: null,
            source: 'what remains',
          },
        ];
  });
}

/** What the client owns, and what is kept for good, is nobody's task. */
function ofTenant(findings: Findings, { artifacts, earlier, requests }: TenantReport): FollowUp[] {
  const { reading } = findings;
  if (reading.state.outcome === 'refused') return [];
  const owner = leadOf(findings);
  const all = [...artifacts, ...earlier];
  const isOpen = requests.some((one) => one.status !== 'ROLLED_BACK') && reading.state.state === 'closed';
  return [
    ...artifacts.flatMap((one) =>
      one.fate === 'left' ? [{ action: `Remove ${one.label}: ${one.why ?? 'it was left'}`, owner, due: null, source: one.step ?? 'inventory' }] : [],
    ),
    ...(isOpen && requests.length > 0
      ? [
          {
            action: `Start the deprovisioning again once that is cleaned up: ${requests.map((one) => one.id).join(', ')} ${requests.length === 1 ? 'is' : 'are'} not ROLLED_BACK`,
            owner,
            due: null,
            source: 'rollback failure [000]',
          },
        ]
      : []),
    ...all.flatMap(({ label, credentials, step }) =>
      credentials && credentials.state !== 'confirmed'
        ? [{ action: `Clean up the credentials of ${label}`, owner, due: null, source: `${step ?? ''}.credentials` }]
        : [],
    ),
    ...all.flatMap((one) => (one.fate === 'not-removable' ? [{ action: `Clean up ${one.label} by hand`, owner, due: null, source: 'credentials [000]' }] : [])),
  ];
}

/** Closed, and somebody still waits for the word. */
function untold(findings: Findings): FollowUp[] {
  const { reading } = findings;
  if (reading.state.state !== 'closed') return [];
  return reading.steps.flatMap(({ operation, state, subject, owner, id }) =>
    operation === 'communicate' && state === 'failed'
      ? [{ action: `Tell by hand what was not delivered: ${subject ?? id}`, owner: personOf(findings, owner ?? reading.policy.lead), due: null, source: id }]
      : [],
  );
}

const signed = ({ signOffs }: Findings): FollowUp[] =>
  signOffs.map(({ as, step, title, by, due, link, reason }) =>
    as === 'accepted-risk'
      ? { action: `Settle the accepted risk of ${step} (${title}): ${reason}`, owner: by, due, source: `accepted risk, ${step}` }
      : {
          action: `Mend the known baseline blocker ${step}${link === null ? '' : `, tracked at ${link}`}: ${reason}`,
          owner: by,
          due,
          source: `baseline blocker, ${step}`,
        },
  );

const CHECK: Readonly<Record<string, string>> = {
  health: 'health check',
  smoke: 'smoke test',
  served: 'served version',
  parity: 'OpenAPI document of the target',
};

/** A check that looked at nothing has proven nothing. */
function unchecked(findings: Findings): FollowUp[] {
  const { gates, reading } = findings;
  return gates.flatMap(({ step, component, owner, verdict, byComponent }) => {
    const names = Object.entries(byComponent ?? {}).flatMap(([name, word]) => (word === 'unchecked' ? [name] : []));
    if (verdict !== 'unchecked' && names.length === 0) return [];
    const whose = names.length > 0 ? names.join(', ') : (component ?? 'every component');
    const what = own(CHECK, stepOf(reading, step)?.operation ?? '') ?? 'check';
    const action = `Look at ${whose} by hand, and configure what is missing: no ${what} was there, so nothing was checked`;
    return [{ action, owner: personOf(findings, owner ?? reading.policy.lead), due: null, source: `unchecked, ${step}` }];
  });
}

function drifted(findings: Findings): FollowUp[] {
  const { drift, reading } = findings;
  const latest = [...new Map(drift.map((one) => [`${one.what}/${one.subject ?? ''}`, one])).values()];
  return latest.map(({ what, subject, detail }) => {
    const step = what === 'freeze' ? `freeze.${subject ?? ''}` : `${subject ?? ''}.deploy`;
    const owner = personOf(findings, stepOf(reading, step)?.owner ?? reading.policy.lead);
    const action =
      what === 'health' ? `Find out why it got worse after the end: ${detail}` : `Find out who or what did this, and keep it from happening again: ${detail}`;
    return { action, owner, due: null, source: `drift, ${subject ?? 'after the end'}` };
  });
}

function breached(findings: Findings): FollowUp[] {
  const { reading } = findings;
  const { breached: isLate, targetSeconds } = reading.state.clock;
  if (!isLate) return [];
  const source = 'time target missed [002 section 7]';
  const finding = lastSaid(reading, 'confirm', 'investigation');
  const missed = `the time target${targetSeconds === null ? '' : ` of ${targetSeconds} s`}`;
  return finding
    ? [
        {
          action: `Act on the finding, so that ${missed} is kept next time: ${textIn(finding, 'note') ?? 'see its data'}`,
          owner: finding.by,
          due: null,
          source,
        },
      ]
    : [{ action: `Find out why ${missed} was missed`, owner: leadOf(findings), due: null, source }];
}

/** An L1 touches no schema [001 Rollback Scope Levels]: what runs now may meet another one than it was made for. */
function migrated(findings: Findings): FollowUp[] {
  const { incident, reading } = findings;
  if (!incident || incident.level !== 'L1') return [];
  const moved = (component: string): boolean => ['done', 'already'].includes(stepOf(reading, `${component}.deploy`)?.state ?? '');
  return incident.comparison.flatMap(({ component, rows }) =>
    rows.flatMap(({ what, now, then }) =>
      what === 'migrations' && then !== null && now !== then && moved(component)
        ? [
            {
              action: `Check ${component} against its schema: the migrations are at ${now ?? 'an unknown state'}, and were at ${then} with the version it went back to`,
              owner: personOf(findings, 'data-evidence-lead'),
              due: null,
              source: 'comparison of now and then [001 step 2]',
            },
          ]
        : [],
    ),
  );
}

/** A machine cannot answer why it was late. */
function lateStart(findings: Findings): FollowUp[] {
  const { reading } = findings;
  const { by, at, type } = reading.state.trigger;
  const detectedAt = textIn(reading.input, 'detectedAt');
  if (detectedAt === null || textIn(reading.input, 'delayJustification') !== null) return [];
  const seconds = (Date.parse(at) - Date.parse(detectedAt)) / 1000;
  if (!(seconds >= LATE_SECONDS)) return [];
  return [
    {
      action: `Answer why it was started ${Math.round(seconds / 60)} minutes after it was detected`,
      owner: type === 'operator' || type === 'drill' ? by : leadOf(findings),
      due: null,
      source: 'late start without a justification [002 section 3]',
    },
  ];
}

/** Nothing was moved, so there is nothing to understand or to release again. */
function afterwards(findings: Findings): FollowUp[] {
  const { reading, incident } = findings;
  const { steps, endedAt } = reading;
  const moved = steps.filter(({ operation, state }) => operation === 'deploy' && state === 'done').map((step) => step.component ?? step.id);
  const isDeclared = incident?.declaration !== undefined && incident.declaration !== null;
  if (moved.length === 0 && !isDeclared) return [];
  const reviewer = incident?.ownership?.reviewOwner ?? leadOf(findings);
  const next = incident?.ownership?.nextCycleOwner ?? leadOf(findings);
  return [
    {
      action: 'Write the root cause, the lessons learned and the prevention into the post-mortem, and share it',
      owner: reviewer,
      due: after(endedAt, ANALYSIS_HOURS),
      source: 'post-mortem within 48 hours [004 section 6.2]',
    },
    ...(moved.length === 0
      ? []
      : [
          {
            action: `Mend what was taken back, test it in staging and plan its re-deployment: ${moved.join(', ')}`,
            owner: next,
            due: after(endedAt, PLAN_HOURS),
            source: 'short-term actions within 24 hours [004 section 8.2]',
          },
        ]),
  ];
}
