/** What the record alone says of a rollback, in the shape of its state: for when no worker can be asked. */
import type { Inventoried } from '../model/deprovision.ts';
import { whole } from '../model/plan.ts';
import { entryOf, type RecordEntry, type StoredEntry } from '../model/record.ts';
import { failure } from '../model/failure.ts';
import { POLICIES } from '../model/policy.ts';
import type { Refusal } from '../model/refusal.ts';
import {
  BLOCKED,
  PASSED,
  type Answer,
  type Failure,
  type Receipt,
  type Remaining,
  type RollbackState,
  type RollbackStateName,
  type StepState,
  type StepView,
  type TenantView,
  type Waiting,
} from '../model/state.ts';
import type { RollbackEvent } from '../store/store.ts';

/** As the activities write them. */
interface StepEntry extends RecordEntry {
  readonly step: string;
  readonly state: StepState;
  readonly attempts?: number;
  readonly startedAt?: string;
  readonly receipt?: Receipt | null;
  readonly failure?: Failure | null;
  readonly remains?: readonly Remaining[];
}
interface ClosedEntry extends RecordEntry {
  readonly machineMs: number;
  readonly humanMs: number;
  readonly breached: boolean;
  readonly steps: readonly Pick<StepView, 'id' | 'state' | 'attempts' | 'startedAt' | 'endedAt'>[];
}

/** Messages ride with the next activity: the last answers may be missing here, and only the workflow knows who is awaited. */
export function stateFrom(event: RollbackEvent, stored: readonly StoredEntry[]): RollbackState {
  const entries = stored.map(entryOf);
  const of = (type: string): RecordEntry[] => entries.filter((one) => one.type === type);
  const closed = of('closed').at(-1) as ClosedEntry | undefined;
  const steps = stepsOf(event, entries, closed);
  const timed = entries.findLast((one) => typeof one['machineMs'] === 'number');
  const answers = of('answer').map((one) => one['answer'] as Answer);
  const refusals = entries.flatMap((one) => (one.type === 'refusal' || one.type === 'refused' ? [one['refusal'] as Refusal] : []));
  const blocked = steps.find((step) => BLOCKED.has(step.state));
  const standing = answers.findLast((one) => one.name === 'stop' || one.name === 'resume');
  const stop = standing?.name === 'stop' ? standing : null;
  const why = stop
    ? `stopped by ${stop.by}: ${String(stop['reason'])}`
    : blocked
      ? `${blocked.id} ${blocked.state}: ${blocked.failure?.message ?? 'no reason given'}`
      : null;
  const stopped = event.outcome === null ? why : null;
  return {
    rollbackId: event.rollbackId,
    id: event.workflowId,
    runId: entries.map((one) => one['runId']).findLast((runId) => typeof runId === 'string') ?? event.rollbackId,
    kind: event.plan?.kind ?? event.kind,
    environment: event.environment,
    components: event.components,
    tenant: event.plan?.tenant ?? null,
    incident: event.plan?.incident ?? null,
    trigger: { type: event.trigger, cause: event.cause, reason: event.reason, by: event.by, at: event.openedAt },
    state: nameOf(event, steps, stopped),
    outcome: event.outcome,
    planHash: event.planHash,
    targets: event.plan?.targets ?? [],
    clock: {
      targetSeconds: event.plan ? event.plan.targetSeconds : POLICIES[event.kind].targetSeconds,
      machineSeconds: Number(timed?.['machineMs'] ?? 0) / 1000,
      humanSeconds: Number(timed?.['humanMs'] ?? 0) / 1000,
      breached: (closed?.breached ?? false) || of('breach').length > 0,
    },
    steps,
    waiting: event.outcome === null ? [...(stop ? [resumeOf(event, stop)] : []), ...waitingOf(event, steps)] : [],
    answers,
    remains: remainsOf(entries, steps),
    refusals,
    warnings: of('opened').flatMap((one) => (one['warnings'] as string[] | undefined) ?? []),
    stopped,
    ...(event.plan?.artifacts ? { deprovision: tenantOf(event.plan.requests ?? [], event.plan.artifacts, steps) } : {}),
    record: { entries: stored.length, head: stored.at(-1)?.hash ?? null, behind: false },
  };
}

/** Where the requests stand, as the last of the steps that move them has put them. */
function tenantOf(requests: readonly string[], artifacts: readonly Inventoried[], steps: readonly StepView[]): TenantView {
  const endedAt = (id: string): string => {
    const step = steps.find((one) => one.id === id);
    return step && PASSED.has(step.state) ? (step.endedAt ?? '') : '';
  };
  const [begun, failed, over] = [endedAt('begin'), endedAt('failure'), endedAt('complete')];
  const status = over !== '' ? 'ROLLED_BACK' : failed > begun ? 'FAILED' : begun === '' ? null : 'ROLLBACK_IN_PROGRESS';
  return { requests, status, artifacts };
}

function stepsOf(event: RollbackEvent, entries: readonly RecordEntry[], closed: ClosedEntry | undefined): StepView[] {
  const planned = (event.plan?.steps ?? []).map(whole);
  const answers = entries.filter((one) => one.type === 'answer').map((one) => one['answer'] as Answer);
  return planned.map((step) => {
    const all = entries.filter((one): one is StepEntry => one.type === 'step' && one['step'] === step.id);
    const last = all.at(-1);
    const said = answers.findLast((one) => one.step === step.id && (one.name === 'confirm' || one.name === 'decline'));
    const end = closed?.steps.find((one) => one.id === step.id);
    // What was approved and has no entry was not run.
    const answered: StepState =
      said?.name === 'confirm' && !step.approval ? 'confirmed' : said?.name === 'decline' ? 'declined' : (step.irreversible && 'irreversible') || 'pending';
    return {
      ...step,
      state: end?.state ?? last?.state ?? answered,
      attempts: end?.attempts ?? all.reduce((sum, one) => sum + (one.attempts ?? 0), 0),
      startedAt: end?.startedAt ?? last?.startedAt ?? null,
      endedAt: end?.endedAt ?? last?.at ?? said?.at ?? null,
      receipt: last?.receipt ?? null,
      failure:
        last?.failure ??
        (said?.name === 'decline'
          ? failure('Declined', `${said.by} declined ${step.id}: ${typeof said['reason'] === 'string' ? said['reason'] : 'no reason given'}`)
          : null),
    };
  });
}

function nameOf(event: RollbackEvent, steps: readonly StepView[], stopped: string | null): RollbackStateName {
  if (event.outcome !== null) return 'closed';
  if (event.plan === null) return 'planning';
  if (stopped !== null) return 'stopped';
  return steps.every((step) => PASSED.has(step.state) || step.mode === 'manual') ? 'waiting' : 'running';
}

const resumeOf = (event: RollbackEvent, stop: Answer): Waiting => ({
  step: '',
  for: 'operator',
  since: stop.at,
  answer: `backout resume ${event.workflowId} --by YOU --reason WHY`,
  json: 'resume {"by":"YOU","reason":"WHY"}',
});

function waitingOf(event: RollbackEvent, steps: readonly StepView[]): Waiting[] {
  const next = steps.find((step) => !PASSED.has(step.state));
  if (!next) return [];
  const common = {
    step: next.id,
    for: next.owner ?? 'operator',
    since: next.endedAt ?? steps.findLast((step) => step.endedAt !== null)?.endedAt ?? event.openedAt,
  };
  if (BLOCKED.has(next.state)) {
    const analysis = POLICIES[event.kind].retryNeedsAnalysis;
    const json = { step: next.id, by: 'YOU', action: 'retry', reason: 'WHY', ...(analysis ? { analysis: 'WHAT WENT WRONG' } : {}) };
    const answer = `backout decide ${event.workflowId} --step ${next.id} --action retry --by YOU --reason WHY${analysis ? ' --analysis "WHAT WENT WRONG"' : ''}`;
    return [{ ...common, answer, json: `decide ${JSON.stringify(json)}` }];
  }
  if (next.mode !== 'manual' || next.state !== 'pending') return [];
  return [
    { ...common, answer: `backout confirm ${event.workflowId} --step ${next.id} --by YOU`, json: `confirm ${JSON.stringify({ step: next.id, by: 'YOU' })}` },
  ];
}

const remainsOf = (entries: readonly RecordEntry[], steps: readonly StepView[]): Remaining[] =>
  steps.flatMap((step) => entries.findLast((one): one is StepEntry => one.type === 'step' && one['step'] === step.id)?.remains ?? []);
