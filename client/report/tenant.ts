/** What a deprovisioning leaves behind beside its steps [000]: the requests and how they stood, each artifact, what could not be removed and who owns it. */
import { fieldOf } from '../../model/field.ts';
import { notRemovable, type Inventoried } from '../../model/deprovision.ts';
import type { Plan } from '../../model/plan.ts';
import { BLOCKED, PASSED, type Remaining, type StepView } from '../../model/state.ts';
import type { NotRemovable } from '../../model/tenant.ts';
import { artifactsOf, isDone, type ArtifactReport } from './artifacts.ts';
import { readingOf, runsOf, said, textIn, type Material, type Reading, type Run } from './reading.ts';

export interface RequestReport {
  readonly id: string;
  /** Before this rollback; null: the record does not say. */
  readonly before: string | null;
  /** Null: as it was. */
  readonly status: string | null;
}

/** A time in which the requests were FAILED [000 Rollback Failure]. */
export interface FailedEpisode {
  readonly from: string;
  /** Null: they still are. */
  readonly until: string | null;
  readonly why: readonly string[];
}

/** Who confirmed something that is about the whole. */
export interface Word {
  readonly by: string;
  readonly at: string;
  readonly note: string | null;
}

export interface TenantReport {
  readonly tenant: string;
  readonly cause: string;
  readonly requests: readonly RequestReport[];
  readonly episodes: readonly FailedEpisode[];
  readonly artifacts: readonly ArtifactReport[];
  /** By earlier rollbacks of these requests; none of it is in this plan any more. */
  readonly earlier: readonly ArtifactReport[];
  /** By the policy itself: of everything that these requests had. */
  readonly notRemovable: readonly NotRemovable[];
  readonly inventory: Word | null;
  readonly routes: Word | null;
  readonly cleanup: Word | null;
  readonly completion: Word | null;
  /** When the last look saw that nothing was left; null: it did not, or has not yet. */
  readonly sweptAt: string | null;
  /** Every request had been rolled back before. */
  readonly isOver: boolean;
}

export function tenantReportOf(reading: Reading, earlier: readonly Material[] = []): TenantReport | null {
  const { policy, state } = reading;
  if (policy.subject !== 'tenant') return null;
  const plan = planOf(reading);
  const requests = requestsOf(reading, plan.requests);
  const named = textIn(reading.input, 'request');
  const own = new Set(plan.requests.length > 0 ? plan.requests : named === null ? [] : [named]);
  const before = earlier.map((one) => readingOf(one, null)).filter((one) => own.size === 0 || planOf(one).requests.some((id) => own.has(id)));
  const known = before.flatMap((one) => planOf(one).artifacts);
  const keys = new Set(plan.artifacts.map(({ type, id }) => `${type} ${id}`));
  // The last rollback that had an artifact knows what became of it.
  const past = new Map(before.flatMap((one) => artifactsOf(one, planOf(one).artifacts)).map((one) => [`${one.type} ${one.id}`, one]));
  const remnants = reading.steps.find((step) => step.operation === 'remnants');
  return {
    tenant: state.tenant ?? state.id.split('/')[2] ?? '',
    cause: state.trigger.cause,
    requests,
    episodes: episodesOf(reading),
    artifacts: artifactsOf(reading, plan.artifacts),
    earlier: [...past].flatMap(([key, one]) => (keys.has(key) || (one.fate !== 'removed' && one.fate !== 'not-removable') ? [] : [one])),
    notRemovable: state.outcome === 'refused' ? [] : notRemovable(unique([...plan.artifacts, ...known])),
    inventory: wordOf(reading, 'inventory'),
    routes: wordOf(reading, 'routes'),
    cleanup: wordOf(reading, 'cleanup'),
    completion: wordOf(reading, 'completion'),
    sweptAt: remnants && isDone(remnants) ? (runsOf(reading, remnants.id).at(-1)?.at ?? remnants.endedAt) : null,
    isOver: plan.known && plan.requests.length === 0,
  };
}

const unique = (all: readonly Inventoried[]): Inventoried[] => [...new Map(all.map((one) => [`${one.type} ${one.id}`, one])).values()];

interface Planned {
  readonly known: boolean;
  readonly requests: readonly string[];
  readonly artifacts: readonly Inventoried[];
}

/** The state has the plan that holds; from the record alone it is the last one that was made. */
function planOf({ state, entries }: Reading): Planned {
  const { deprovision } = state;
  if (deprovision) return { known: true, requests: deprovision.requests, artifacts: deprovision.artifacts };
  const plan = entries.findLast((entry) => entry['plan'] !== undefined && entry['plan'] !== null)?.['plan'] as Plan | undefined; // Written by openRollback or identify.
  return { known: plan !== undefined, requests: plan?.requests ?? [], artifacts: plan?.artifacts ?? [] };
}

const wordOf = (reading: Reading, id: string): Word | null => {
  const step = reading.steps.find((one) => one.id === id);
  const answer = said(reading, 'confirm', id).at(-1);
  return step?.state === 'confirmed' && answer ? { by: answer.by, at: answer.at, note: textIn(answer, 'note') } : null;
};

const by = (reading: Reading, operation: StepView['operation']): StepView | undefined => reading.steps.find((step) => step.operation === operation);

function requestsOf(reading: Reading, ids: readonly string[]): RequestReport[] {
  const begin = by(reading, 'begin');
  const began = begin ? runsOf(reading, begin.id) : [];
  const word = statusOf(reading);
  return ids.map((id) => ({
    id,
    before: began.map((run) => textIn(run.receipt?.before, id)).find((one) => one !== null) ?? null,
    status: word,
  }));
}

/** The last of the three steps that move a request. */
function statusOf(reading: Reading): string | null {
  const { deprovision } = reading.state;
  if (deprovision) return deprovision.status;
  const moved = MOVES.flatMap(([operation, status]) => {
    const step = by(reading, operation);
    return step ? runsOf(reading, step.id).flatMap((run) => (isMove(run) ? [{ at: run.at, status }] : [])) : [];
  });
  return moved.toSorted((one, other) => one.at.localeCompare(other.at)).at(-1)?.status ?? null;
}
const MOVES = [
  ['begin', 'ROLLBACK_IN_PROGRESS'],
  ['fail', 'FAILED'],
  ['complete', 'ROLLED_BACK'],
] as const;
/** `fail` on requests that were never begun says so in its receipt, and moves nothing. */
const isMove = ({ state, receipt }: Run): boolean =>
  PASSED.has(state) && state !== 'skipped' && fieldOf(receipt, 'after') !== undefined && fieldOf(receipt, 'after') !== null;

function episodesOf(reading: Reading): FailedEpisode[] {
  const [begin, fail, complete] = [by(reading, 'begin'), by(reading, 'fail'), by(reading, 'complete')];
  if (!fail) return [];
  const times = (step: StepView | undefined): string[] => (step ? runsOf(reading, step.id).flatMap((run) => (isMove(run) ? [run.at] : [])) : []);
  const ends = [...times(begin), ...times(complete)].toSorted();
  const episodes: { from: string; until: string | null; why: string[] }[] = [];
  let told = '';
  for (const at of times(fail).toSorted()) {
    const open = episodes.at(-1);
    const until = ends.find((end) => end > at) ?? null;
    const why = troubles(reading, told, at);
    told = at;
    // Another failure while it is FAILED is an entry of its own, and the same episode.
    if (open && (open.until === null || open.until > at)) open.why.push(...why);
    else episodes.push({ from: at, until, why });
  }
  return episodes;
}

/** A step that nobody has run may be declined: that is an answer, and told as one. */
const isFailure = ({ state }: Run): boolean => BLOCKED.has(state) && state !== 'declined';

/** What failed, was declined, was left out or was closed in this time. */
function troubles(reading: Reading, after: string, until: string): string[] {
  const within = (at: string): boolean => at > after && at <= until;
  const failed = reading.steps
    .filter((step) => step.removal || step.operation === 'remnants')
    .flatMap((step) =>
      runsOf(reading, step.id).flatMap((run) =>
        isFailure(run) && within(run.at) ? [{ at: run.at, text: `${step.id}: ${run.failure?.message ?? run.state}` }] : [],
      ),
    );
  const answered = reading.answers.flatMap((one) => {
    if (!within(one.at)) return [];
    const reason = textIn(one, 'reason') ?? 'no reason given';
    if (one.name === 'decline') return [{ at: one.at, text: `${one.step ?? ''}: declined by ${one.by}: ${reason}` }];
    if (one.name !== 'decide' || (one['action'] !== 'skip' && one['action'] !== 'close')) return [];
    return [{ at: one.at, text: one['action'] === 'skip' ? `${one.step ?? ''}: left by ${one.by}: ${reason}` : `closed by ${one.by}: ${reason}` }];
  });
  return [...failed, ...answered].toSorted((one, other) => one.at.localeCompare(other.at)).map((one) => one.text);
}

/** What is not undone, and what cannot be: the same from the worker and from the record alone. */
export function remainsOf(report: TenantReport, state: Reading['state']): Remaining[] {
  if (state.outcome === 'refused') return [];
  const OWNER = 'operator';
  return [
    ...report.artifacts.flatMap((one) => (one.fate === 'left' ? [{ artifact: one.label, reason: one.why ?? 'not removed', owner: OWNER }] : [])),
    ...[...report.artifacts, ...report.earlier].flatMap(({ label, credentials }) =>
      credentials && credentials.state !== 'confirmed'
        ? [{ artifact: `credentials of ${label}`, reason: 'nobody has confirmed that they were cleaned up', owner: OWNER }]
        : [],
    ),
    ...report.notRemovable,
  ];
}

/** Every start, the failed tries at a removal, in order: what the error_log says shortly. */
export interface Try {
  readonly at: string;
  readonly step: string;
  readonly state: string;
  readonly what: string;
}

export function triesOf(reading: Reading): Try[] {
  const failed = reading.steps
    .filter((step) => step.removal || step.operation === 'remnants' || step.effect === 'tenant')
    .flatMap((step) => {
      const runs = runsOf(reading, step.id);
      if (!runs.some(isFailure)) return [];
      return runs.map((run, index) => ({
        at: run.at,
        step: step.id,
        state: run.state,
        what: run.failure?.message ?? (index === 0 ? '' : `after ${index} failed`),
      }));
    });
  const declined = said(reading, 'decline').map((one) => ({
    at: one.at,
    step: one.step ?? '',
    state: 'declined',
    what: `${one.by}: ${textIn(one, 'reason') ?? ''}`,
  }));
  return [...failed, ...declined].toSorted((one, other) => one.at.localeCompare(other.at));
}
