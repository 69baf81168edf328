/** An incident report: everything the state and the record can say, and the questions that only a person can answer. */
import type { Operation } from '../../model/plan.ts';
import { isAnswered } from '../../model/warnings.ts';
import { POLICIES } from '../../model/policy.ts';
import type { Answer, Receipt, RollbackState } from '../../model/state.ts';
import { duration } from '../words.ts';
import { incidentReportOf, type IncidentReport } from './command.ts';
import { dataWords } from './data-words.ts';
import { decisionsOf, waitingTimesOf, type Decision, type WaitingTimes } from './decisions.ts';
import { withEarlierSteps } from './earlier-steps.ts';
import { followUpsOf, type FollowUp } from './follow-ups.ts';
import { driftOf, type Drift } from './freeze.ts';
import { levelName } from './growth.ts';
import { inShortOf, type InShort } from './in-short.ts';
import { leftOf, stillToDo } from './left.ts';
import { gatesOf, signOffsOf, type GateReport } from './proof.ts';
import { incidentOf, readingOf, textIn, type Material, type Reading } from './reading.ts';
import { safeguardsOf, type Safeguard } from './safeguards.ts';
import { remainsOf, tenantReportOf, triesOf, type TenantReport, type Try } from './tenant.ts';
import { tenantSummary } from './tenant-words.ts';
import { timelineOf, type Moment } from './timeline.ts';

export interface Question {
  readonly question: string;
  /** Null: nobody has answered yet. */
  readonly answer: string | null;
}

export interface Report {
  readonly id: string;
  readonly rollbackId: string;
  readonly kind: string;
  readonly environment: string;
  readonly components: readonly string[];
  readonly targets: RollbackState['targets'];
  readonly trigger: RollbackState['trigger'];
  readonly incident: { readonly number: string | null; readonly severity: string | null; readonly detectedAt: string | null; readonly contact: string | null };
  readonly state: RollbackState['state'];
  readonly outcome: RollbackState['outcome'];
  readonly startedAt: string;
  readonly endedAt: string | null;
  /** "Why was rollback executed, and to which version?" [002 section 10] */
  readonly summary: string;
  readonly clock: RollbackState['clock'] & { readonly sumSeconds: number };
  readonly timeline: readonly Moment[];
  readonly steps: readonly {
    readonly id: string;
    readonly title: string;
    readonly state: string;
    readonly attempts: number;
    readonly startedAt: string | null;
    readonly endedAt: string | null;
    readonly evidence: string;
  }[];
  readonly answers: readonly Answer[];
  readonly refusals: RollbackState['refusals'];
  readonly warnings: readonly string[];
  readonly remains: RollbackState['remains'];
  /** Changes that are still to be made: what they will leave nobody can say yet. */
  readonly toDo: readonly string[];
  readonly waiting: RollbackState['waiting'];
  readonly record: { readonly entries: number; readonly head: string | null };
  readonly planHash: string | null;
  readonly verify: readonly string[];
  readonly open: readonly Question[];
  /** For somebody who was not there. */
  readonly inShort: InShort;
  readonly gates: readonly GateReport[];
  readonly decisions: readonly Decision[];
  readonly waitingTimes: WaitingTimes;
  readonly drift: readonly Drift[];
  readonly followUps: readonly FollowUp[];
  readonly safeguards: readonly Safeguard[];
  /** Null where no incident is rolled back. */
  readonly incidentCommand: IncidentReport | null;
  /** Null where no tenant is deprovisioned. */
  readonly deprovision: (TenantReport & { readonly tries: readonly Try[] }) | null;
  /** Where the report comes from, and what it could not read. */
  readonly sources: readonly string[];
  readonly madeAt: string;
}

export function reportOf(material: Material): Report {
  const { recorded, sources, madeAt } = material;
  const known = withEarlierSteps(
    material.state,
    recorded.map((one) => one.entry),
  );
  const timeline = timelineOf(known, recorded);
  // A refused successor ends nothing.
  const end = recorded.find(({ entry }) => entry.type === 'closed') ?? recorded.find(({ entry }) => entry.type === 'refused');
  const endedAt = known.state === 'closed' ? (end?.entry.at ?? timeline.at(-1)?.at ?? null) : null;
  const reading = readingOf({ ...material, state: known }, endedAt);
  const { state } = reading;
  const { clock, trigger } = state;
  const tenant = tenantReportOf(reading, material.earlier);
  return {
    id: state.id,
    rollbackId: state.rollbackId,
    kind: state.kind,
    environment: state.environment,
    components: state.components,
    targets: state.targets,
    trigger,
    incident: {
      number: incidentOf(reading),
      severity: textIn(reading.input, 'severity'),
      detectedAt: textIn(reading.input, 'detectedAt'),
      contact: textIn(reading.input, 'contact'),
    },
    state: state.state,
    outcome: state.outcome,
    startedAt: trigger.at,
    endedAt,
    summary: summaryOf(reading, tenant),
    clock: { ...clock, sumSeconds: clock.machineSeconds + clock.humanSeconds },
    timeline,
    steps: state.steps.map(({ id, title, state: word, attempts, startedAt, endedAt: ended, receipt, failure, operation }) => ({
      id,
      title,
      state: word,
      attempts,
      startedAt,
      endedAt: ended,
      evidence: failure ? `${failure.type}: ${failure.message}` : evidenceOf(receipt, operation),
    })),
    answers: state.answers,
    refusals: state.refusals,
    warnings: state.warnings.map((one) => (isAnswered(one, reading.steps) ? `${one} (answered since)` : one)),
    remains: tenant ? remainsOf(tenant, state) : leftOf(reading),
    toDo: tenant ? [] : stillToDo(reading),
    waiting: state.waiting,
    record: { entries: state.record.entries, head: state.record.head },
    planHash: state.planHash,
    verify: [`backout audit ${state.id}`],
    // Nothing broke that a post-mortem could be about.
    open: tenant ? [] : questions(textIn(reading.input, 'impact')),
    ...findingsOf(reading, tenant),
    deprovision: tenant && { ...tenant, tries: triesOf(reading) },
    sources,
    madeAt,
  };
}

/** What is read out of it all. */
function findingsOf(
  reading: Reading,
  tenant: TenantReport | null,
): Pick<Report, 'inShort' | 'gates' | 'decisions' | 'waitingTimes' | 'drift' | 'followUps' | 'safeguards' | 'incidentCommand'> {
  const [gates, decisions, drift] = [gatesOf(reading), decisionsOf(reading), driftOf(reading)];
  const incident = incidentReportOf(reading, incidentOf(reading));
  const findings = { reading, incident, tenant, gates, drift, signOffs: tenant ? [] : signOffsOf(reading) };
  const followUps = followUpsOf(findings);
  return {
    inShort: inShortOf({ reading, summary: summaryOf(reading, tenant), incident, tenant, gates, decisions, drift, followUps }),
    gates,
    decisions,
    waitingTimes: waitingTimesOf(reading),
    drift,
    followUps,
    safeguards: safeguardsOf(findings),
    incidentCommand: incident,
  };
}

function kindOf({ state: { kind, incident, id }, growth: [first] }: Reading): string {
  const { level, subject } = POLICIES[kind];
  const name = incident ?? (subject === 'incident' ? id.split('/')[2] : undefined);
  return level === null ? 'a rollback' : `an ${levelName(first?.from ?? kind)} rollback${name === undefined ? '' : ` for incident ${name}`}`;
}

function summaryOf(reading: Reading, tenant: TenantReport | null): string {
  const { state } = reading;
  if (tenant) return tenantSummary(tenant, state);
  const { trigger, targets, clock, outcome } = state;
  const what = state.components.length > 0 ? state.components.join(', ') : (state.tenant ?? state.incident ?? 'nothing that could be named');
  const why = `${trigger.by === '' ? 'Somebody' : trigger.by} asked for ${kindOf(reading)} of ${what}${state.environment === '' ? '' : ` in ${state.environment}`} (${trigger.type}${trigger.cause === '' ? '' : `, ${trigger.cause}`})${trigger.reason === '' ? '.' : `, because: ${trigger.reason}.`}`;
  const where = targets.map((target) => `${target.component} from ${target.from ?? 'an unknown version'} to ${target.to}`).join(', ');
  const to = where === '' ? 'No plan was made.' : `It went back: ${where}.`;
  if (outcome === 'refused') return `${why} It was refused and nothing was changed: ${state.refusals.at(-1)?.explanation ?? 'see the refusals'}`;
  const target =
    clock.targetSeconds === null
      ? ''
      : clock.breached
        ? `, and missed the target of ${duration(clock.targetSeconds)}`
        : `, within the target of ${duration(clock.targetSeconds)}`;
  const took = `${duration(clock.machineSeconds)} of machine time and ${duration(clock.humanSeconds)} in which only people were awaited${target}`;
  if (state.state !== 'closed')
    return `${why} ${where === '' ? to : `The plan is to go back: ${where}.`} It is not closed: it is ${state.state}${state.stopped === null ? '' : ` (${state.stopped})`}. So far it took ${took}.`;
  return `${why} ${outcome === 'rolled-back' || outcome === 'rolled-back-late' ? to : `The plan was to go back: ${where}.`} It ended ${outcome ?? 'without an outcome'} after ${took}.`;
}

/** What the platform answered, in a few words: from which version to which, and its own ids. */
function evidenceOf(receipt: Receipt | null, operation: Operation | null): string {
  if (receipt === null) return '';
  const version = (seen: unknown): string | null =>
    typeof seen === 'object' && seen !== null && 'version' in seen && typeof seen.version === 'string' ? seen.version : null;
  const [before, after] = [version(receipt.before), version(receipt.after)];
  const moved = after === null ? null : before === null || before === after ? `at ${after}` : `${before} → ${after}`;
  const ids = Object.entries(receipt.ids ?? {})
    .map(([name, id]) => `${name} ${id}`)
    .join(', ');
  return [moved, receipt.detail ?? dataWords(operation, receipt), ids === '' ? null : ids].filter((one) => one !== null).join('; ');
}

const questions = (impact: string | null): Question[] => [
  { question: 'Impact: who was affected, how, and for how long?', answer: impact },
  { question: 'Root cause: why did the release behave as it did?', answer: null },
  { question: 'Detection: why did no check stop it before it was released?', answer: null },
  { question: 'Resolution: what was done beside the rollback, and what is still to be done before it is released again?', answer: null },
  { question: 'Lessons learned', answer: null },
  { question: 'Prevention: what will keep it from happening again, who owns it, and by when?', answer: null },
];
