/** Everything one run knows. Handlers write here, the walk reads here; nothing in this file waits or does I/O. */
import type { Desk } from '../model/answers.ts';
import { awaitPerson, humanMs, machineMs, resumeMachine, startClock, type Clock } from '../model/clock.ts';
import type { Confirm, Decline, StartInput } from '../model/input.ts';
import { investigationStep, type Plan, type PlannedStep } from '../model/plan.ts';
import { POLICIES, type Kind, type Policy } from '../model/policy.ts';
import type { RecordEntry } from '../model/record.ts';
import { refuse, type Refusal, type Rule } from '../model/refusal.ts';
import {
  BLOCKED, PASSED, type Answer, type Failure, type Outcome, type Receipt, type RecordPosition, type Remaining, type RollbackState, type RollbackStateName, type StepState, type StepView, type Waiting,
} from '../model/state.ts';
import type { Carried, Settings } from '../model/carried.ts';

/** The run id is shown, and never put into an activity's input: a reset run replays under another one. */
export interface Identity { readonly rollbackId: string; readonly workflowId: string; readonly runId: string; readonly kind: Kind; readonly startedAtMs: number }

/** A step on its way. */
export interface StepProgress {
  readonly planned: PlannedStep;
  state: StepState;
  /** Raised by each decision to retry; part of the operation id. */
  generation: number;
  attempts: number;
  /** How often this run has handed it to an activity. */
  tries: number;
  startedAt: string | null;
  endedAt: string | null;
  receipt: Receipt | null;
  failure: Failure | null;
  /** The clock has run out before this change; a person has to let it go on. */
  held: boolean;
  /** A person let it go on after the breach. */
  granted: boolean;
  /** A person says it is done; an inspection has to agree. */
  claimedDone: boolean;
  /** An earlier run may have acted on it. */
  mayHaveActed: boolean;
  /** Parts that were left in between. */
  remains: readonly Remaining[];
  /** The role it was handed over to. */
  handedTo: string | null;
}

const newStep = (planned: PlannedStep): StepProgress =>
  ({ planned, state: 'pending', generation: 0, attempts: 0, tries: 0, startedAt: null, endedAt: null, receipt: null, failure: null, held: false, granted: false, claimedDone: false, mayHaveActed: false, remains: [], handedTo: null });

/** Refusals and warnings kept in full; a flood beyond is counted, so that it cannot fill the history. Answers are always kept. */
const KEPT_MAX = 100;
/** What one activity carries at the most; the rest goes with the next ones. */
const CARRY_BYTES = 256_000;
const iso = (ms: number): string => new Date(ms).toISOString();

export class Progress {
  readonly identity: Identity;
  readonly policy: Policy;
  input: StartInput | null = null;
  plan: Plan | null = null;
  planHash: string | null = null;
  settings: Settings | null = null;
  steps: StepProgress[] = [];
  clock: Clock;
  breached = false;
  verified = false;
  outcome: Outcome | null = null;
  /** Every component was at its target before anything was done. */
  atTarget = false;
  stop: { readonly by: string; readonly reason: string } | null = null;
  closing: { readonly by: string; readonly reason: string } | null = null;
  /** Early answers about what people do, by step. */
  readonly kept = new Map<string, { readonly kind: 'confirm'; readonly message: Confirm } | { readonly kind: 'decline'; readonly message: Decline }>();
  readonly assigned: Record<string, string[]> = {};
  readonly answers: Answer[] = [];
  readonly refusals: Refusal[] = [];
  readonly warnings: string[] = [];
  /** Entries that no activity has carried to the record yet. */
  unrecorded: RecordEntry[] = [];
  record: RecordPosition = { entries: 0, head: null, behind: false };
  /** The end is being written; nothing can be answered any more. */
  ending = false;
  /** Notices on their way to the incident channel. */
  telling = 0;
  /** The moving search attributes as last shown. */
  shown = '';
  private dropped = 0;
  private notes = 0;
  private starter: string | null = null;

  constructor(identity: Identity) {
    this.identity = identity;
    this.policy = POLICIES[identity.kind];
    this.clock = startClock(identity.startedAtMs);
  }

  /** Takes over the plan and whatever earlier runs of this rollback have left in the record. */
  adopt(plan: Plan, planHash: string, settings: Settings, carried: Carried | null): void {
    this.plan = plan;
    this.planHash = planHash;
    this.settings = settings;
    this.steps = plan.steps.map(newStep);
    if (carried === null) return;
    this.clock = { ...this.clock, carriedMachineMs: carried.machineMs, carriedHumanMs: carried.humanMs };
    if (carried.breached) this.breach(this.identity.startedAtMs);
    this.starter = carried.starter;
    this.answers.push(...carried.answers);
    this.refusals.push(...carried.refusals);
    this.warnings.push(...carried.warnings);
    for (const answer of carried.answers) this.rebuild(answer);
    for (const answer of carried.unrecorded.answers) this.note('answer', this.identity.startedAtMs, { answer });
    for (const refusal of carried.unrecorded.refusals) this.note('refusal', this.identity.startedAtMs, { refusal });
    for (const step of this.steps) {
      const before = carried.steps.find((one) => one.id === step.planned.id);
      if (before) Object.assign(step, before.progress);
      else step.mayHaveActed = true;
    }
  }

  /** What earlier answers still mean for what lies ahead. */
  private rebuild(answer: Answer): void {
    if (answer.name === 'assign' && typeof answer['role'] === 'string' && typeof answer['to'] === 'string') this.assign(answer['role'], answer['to']);
    if (answer.name === 'stop') this.stop = { by: answer.by, reason: String(answer['reason'] ?? '') };
    if (answer.name === 'resume') this.stop = null;
  }

  /** A property of its own whatever the name is: it comes from outside. */
  assign(role: string, to: string): void {
    const holders = Object.hasOwn(this.assigned, role) ? (this.assigned[role] ?? []) : [];
    if (!holders.includes(to)) Object.defineProperty(this.assigned, role, { value: [...holders, to], enumerable: true, configurable: true, writable: true });
  }

  get closed(): boolean { return this.outcome !== null; }

  /** The first step that has not passed. */
  next(): StepProgress | undefined { return this.steps.find((step) => !PASSED.has(step.state)); }

  step(id: string): StepProgress | undefined { return this.steps.find((step) => step.planned.id === id); }

  /** Why it stands still, in one sentence; null while it does not. */
  stopReason(): string | null {
    if (this.closed || this.closing) return null;
    if (this.stop) return `stopped by ${this.stop.by}: ${this.stop.reason}`;
    const step = this.next();
    if (!step) return null;
    if (BLOCKED.has(step.state)) return `${step.planned.id} ${step.state === 'unknown' ? 'has an unknown result' : step.state}: ${step.failure?.message ?? 'no reason given'}`;
    return step.held ? `the time target was missed before ${step.planned.id}; no further change begins without a decision` : null;
  }

  /** The investigation is asked from now on, beside whatever else goes on. */
  breach(nowMs: number): void {
    this.breached = true;
    if (!this.step('investigation')) this.steps.push({ ...newStep(investigationStep()), state: 'waiting', startedAt: iso(nowMs) });
  }

  /** Opens the way for a step again, by a person's decision. */
  retry(step: StepProgress): void {
    Object.assign(step, { state: 'pending', held: false, granted: this.breached, failure: null, endedAt: null, generation: step.generation + 1, mayHaveActed: true } satisfies Partial<StepProgress>);
  }

  /** Notes an entry for the record; the next activity carries it. */
  note(type: string, nowMs: number, detail: Readonly<Record<string, unknown>>): void {
    this.notes += 1;
    this.unrecorded.push({ event: `${type}/${this.notes}`, rollbackId: this.identity.rollbackId, at: iso(nowMs), type, ...detail });
  }

  answered(answer: Omit<Answer, 'proof' | 'at'>, nowMs: number): void {
    const full = { ...answer, proof: 'self-declared', at: iso(nowMs) } as Answer; // The index signature of Answer hides that all fields are there.
    this.answers.push(full);
    this.note('answer', nowMs, { answer: full });
  }

  refuse(rule: Rule, explanation: string, by: string, nowMs: number, message?: string): Refusal {
    const refusal = refuse(rule, explanation, by, iso(nowMs), message);
    if (this.refusals.length < KEPT_MAX) {
      this.refusals.push(refusal);
      this.note('refusal', nowMs, { refusal });
    } else {
      this.dropped += 1;
      this.warn(`more than ${KEPT_MAX} messages were refused; the later ones are only counted`);
    }
    return refusal;
  }

  warn(warning: string): void { if (!this.warnings.includes(warning) && this.warnings.length < KEPT_MAX) this.warnings.push(warning); }

  /** Hands the unrecorded entries to an activity. */
  takeUnrecorded(nowMs: number): RecordEntry[] {
    if (this.dropped > 0) {
      const dropped = this.dropped;
      this.dropped = 0;
      this.note('flood', nowMs, { refusedBeyondCount: dropped });
    }
    let bytes = 0;
    const until = this.unrecorded.findIndex((entry) => { bytes += JSON.stringify(entry).length; return bytes > CARRY_BYTES; });
    return this.unrecorded.splice(0, until === -1 ? this.unrecorded.length : Math.max(1, until));
  }

  desk(): Desk {
    return {
      policy: this.policy, planHash: this.planHash, starter: this.starter ?? this.input?.by ?? '', people: this.settings?.people ?? null, assigned: this.assigned,
      stopRequested: this.stop !== null, closed: this.closed || this.ending, steps: this.steps.map((step) => ({ ...step.planned, state: step.state, held: step.held, handedTo: step.handedTo })),
    };
  }

  machineMs(nowMs: number): number { return machineMs(this.clock, nowMs); }
  humanMs(nowMs: number): number { return humanMs(this.clock, nowMs); }
  awaitPerson(nowMs: number): void { this.clock = awaitPerson(this.clock, nowMs); }
  resumeMachine(nowMs: number): void { this.clock = resumeMachine(this.clock, nowMs); }

  name(): RollbackStateName {
    if (this.closed) return 'closed';
    if (this.plan === null) return 'planning';
    if (this.stopReason() !== null) return 'stopped';
    return this.clock.humanSinceMs !== null && !this.ending ? 'waiting' : 'running';
  }

  view(nowMs: number): RollbackState {
    const { identity, input, plan } = this;
    return {
      rollbackId: identity.rollbackId, id: identity.workflowId, runId: identity.runId, kind: identity.kind,
      environment: input?.environment ?? '', components: input?.components ?? [], tenant: input?.tenant ?? null, incident: input?.incident ?? null,
      trigger: { type: input?.trigger ?? 'operator', cause: input?.cause ?? '', reason: input?.reason ?? '', by: input?.by ?? '', at: iso(identity.startedAtMs) },
      state: this.name(), outcome: this.outcome, planHash: this.planHash, targets: plan?.targets ?? [],
      clock: {
        targetSeconds: plan ? plan.targetSeconds : this.policy.targetSeconds, machineSeconds: this.machineMs(nowMs) / 1000, humanSeconds: this.humanMs(nowMs) / 1000, breached: this.breached,
      },
      steps: this.steps.map(viewOf), waiting: this.waiting(), answers: this.answers, remains: this.remains(), refusals: this.refusals, warnings: this.warnings,
      stopped: this.stopReason(), record: this.record,
    };
  }

  /** What was not undone: parts in between, and at an end without success every component that is not at its target. */
  remains(): Remaining[] {
    const parts = this.steps.flatMap((step) => step.remains);
    if (this.outcome !== 'failed' && this.outcome !== 'partial') return parts;
    const left = this.steps.filter((step) => step.planned.operation === 'deploy' && !PASSED.has(step.state));
    return [...parts, ...left.map((step) => ({ artifact: step.planned.component ?? step.planned.id, reason: step.failure?.message ?? 'not attempted', owner: step.planned.owner }))];
  }

  /** Who is awaited for what, with the very words to answer. */
  waiting(): Waiting[] {
    if (this.closed) return [];
    const id = this.identity.workflowId;
    const waits = this.steps.filter((step) => step.state === 'waiting').map((step) => {
      const note = step.planned.id === 'investigation' ? ' --note "the finding"' : '';
      const json = { step: step.planned.id, by: 'YOU', ...(note === '' ? {} : { note: 'the finding' }) };
      return { step: step.planned.id, for: step.planned.owner ?? 'operator', since: step.startedAt ?? '', answer: `backout confirm ${id} --step ${step.planned.id} --by YOU${note}`, json: `confirm ${JSON.stringify(json)}` };
    });
    return this.stopReason() === null ? waits : [this.decisionAwaited(id), ...waits];
  }

  private decisionAwaited(id: string): Waiting {
    const step = this.next();
    if (this.stop || !step) return { step: step?.planned.id ?? '', for: 'operator', since: iso(this.clock.humanSinceMs ?? this.identity.startedAtMs), answer: `backout resume ${id} --by YOU --reason WHY`, json: 'resume {"by":"YOU","reason":"WHY"}' };
    const analysis = this.policy.retryNeedsAnalysis;
    const json = { step: step.planned.id, by: 'YOU', action: 'retry', reason: 'WHY', ...(analysis ? { analysis: 'WHAT WENT WRONG' } : {}) };
    return {
      step: step.planned.id, for: step.planned.owner ?? 'operator', since: step.endedAt ?? iso(this.clock.humanSinceMs ?? this.identity.startedAtMs),
      answer: `backout decide ${id} --step ${step.planned.id} --action retry --by YOU --reason WHY${analysis ? ' --analysis "WHAT WENT WRONG"' : ''}`, json: `decide ${JSON.stringify(json)}`,
    };
  }
}

const viewOf = (step: StepProgress): StepView =>
  ({ ...step.planned, state: step.state, attempts: step.attempts, startedAt: step.startedAt, endedAt: step.endedAt, receipt: step.receipt, failure: step.failure });
