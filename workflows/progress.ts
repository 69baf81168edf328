/** Everything one run knows. Handlers write here, the walk reads here; nothing in this file waits or does I/O. */
import type { Desk } from '../model/answers.ts';
import { awaitPerson, humanMs, machineMs, resumeMachine, startClock, type Clock } from '../model/clock.ts';
import type { Confirm, Decline, Escalate, StartInput } from '../model/input.ts';
import { investigationStep, TECHNICAL, whole, type Plan } from '../model/plan.ts';
import { POLICIES, type Kind, type Policy } from '../model/policy.ts';
import type { RecordEntry } from '../model/record.ts';
import { refuse, type Refusal, type Rule } from '../model/refusal.ts';
import { isIncidentRole } from '../model/roles.ts';
import { BLOCKED, PASSED, type Answer, type Outcome, type RecordPosition, type RollbackStateName } from '../model/state.ts';
import type { Carried, Settings } from '../model/carried.ts';
import { IncidentProgress } from './incident-progress.ts';
import { deskOf } from './desk.ts';
import { approvalOf, isSignedBeside, newStep, type StepProgress } from './step-progress.ts';

/** The run id is shown, and never put into an activity's input: a reset run replays under another one. */
export interface Identity {
  readonly rollbackId: string;
  readonly workflowId: string;
  readonly runId: string;
  readonly kind: Kind;
  readonly startedAtMs: number;
}

/** Refusals and warnings kept in full; a flood beyond is counted, so that it cannot fill the history. Answers are always kept. */
const KEPT_MAX = 100;
const CARRY_BYTES = 256_000; // What one activity carries at the most; the rest goes with the next ones.
const iso = (ms: number): string => new Date(ms).toISOString();

export class Progress {
  readonly identity: Identity;
  input: StartInput | null = null;
  plan: Plan | null = null;
  planHash: string | null = null;
  settings: Settings | null = null;
  steps: StepProgress[] = [];
  clock: Clock;
  breached = false;
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
  /** A level that was asked for; its plan is made at the next boundary of the walk. */
  escalation: Escalate | null = null;
  /** The end is being written; nothing can be answered any more. */
  ending = false;
  /** What only an incident rollback knows; null for every other kind. */
  readonly incident: IncidentProgress | null;
  /** Notices on their way to the incident channel. */
  telling = 0;
  /** The moving search attributes as last shown. */
  shown = '';
  private dropped = 0;
  private notes = 0;
  /** Where this run is a successor: who started the first. */
  starter: string | null = null;
  openedAt: string | null = null; // When it was started first, where this run is a successor.

  constructor(identity: Identity) {
    this.identity = identity;
    this.incident = this.policy.level === null ? null : new IncidentProgress();
    this.clock = startClock(identity.startedAtMs);
  }

  /** What was asked for, or what it has grown to since: the plan says it. */
  get kind(): Kind {
    return this.plan?.kind ?? this.identity.kind;
  }

  get policy(): Policy {
    return POLICIES[this.kind];
  }

  /** Takes over the plan and whatever earlier runs of this rollback have left in the record. */
  adopt(plan: Plan, planHash: string, settings: Settings, carried: Carried | null): void {
    this.plan = plan;
    this.planHash = planHash;
    this.settings = settings;
    this.steps = plan.steps.map((step) => newStep(whole(step)));
    if (carried === null) return;
    this.clock = { ...this.clock, carriedMachineMs: carried.machineMs, carriedHumanMs: carried.humanMs };
    if (carried.breached) this.breach(this.identity.startedAtMs);
    this.starter = carried.starter;
    this.openedAt = carried.openedAt ?? null;
    this.answers.push(...carried.answers);
    this.refusals.push(...carried.refusals);
    this.warnings.push(...carried.warnings);
    for (const step of this.steps) {
      const before = carried.steps.find((one) => one.id === step.planned.id);
      if (before) Object.assign(step, before.progress);
      else step.mayHaveActed = true;
    }
    for (const answer of carried.answers) {
      if (answer.step !== null && answer.at <= (carried.voided?.[answer.step] ?? '')) continue;
      this.rebuild(answer);
      this.incident?.rebuild(answer);
    }
    for (const answer of carried.unrecorded.answers) this.note('answer', this.identity.startedAtMs, { answer });
    for (const refusal of carried.unrecorded.refusals) this.note('refusal', this.identity.startedAtMs, { refusal });
  }

  /** What earlier answers still mean for what lies ahead. */
  private rebuild(answer: Answer): void {
    if (answer.name === 'assign' && typeof answer['role'] === 'string' && typeof answer['to'] === 'string') this.assign(answer['role'], answer['to']);
    if (answer.name === 'stop') this.stop = { by: answer.by, reason: typeof answer['reason'] === 'string' ? answer['reason'] : '' };
    if (answer.name === 'resume') this.stop = null;
    const step = (answer.name === 'confirm' || answer.name === 'decline') && answer.step !== null ? this.step(answer.step) : undefined;
    // A word about another plan than the one that is gone on with is none.
    const isBound = step?.planned.demands?.plan !== true || answer['plan'] === this.planHash;
    if (step?.planned.approval) step.approval = answer.name === 'confirm' && isBound ? approvalOf(answer) : null;
    // What was said of artifacts was about the inventory that was confirmed before.
    if (answer.name === 'confirm' && answer.step === 'inventory') for (const one of this.steps) one.approval = null;
    const isTakenBack = answer.name === 'decline' && step?.planned.mode === 'manual' && step.state === 'confirmed';
    if (isTakenBack) Object.assign(step, { state: 'pending', endedAt: null });
    if (answer.name === 'decline') return;
    // What a person has done stays done; what he has seen is asked again, unless it is bound to the very plan that is gone on with.
    const holds = step?.planned.attests === 'done' || (step?.planned.demands?.plan === true && isBound);
    if (step && holds && !step.planned.beside && !step.planned.approval) Object.assign(step, { state: 'confirmed', endedAt: answer.at });
  }

  /** A property of its own whatever the name is: it comes from outside. False: he has it already. */
  assign(role: string, to: string): boolean {
    const holders = Object.hasOwn(this.assigned, role) ? (this.assigned[role] ?? []) : [];
    if (isIncidentRole(role) ? holders.at(-1) === to : holders.includes(to)) return false;
    Object.defineProperty(this.assigned, role, { value: [...holders, to], enumerable: true, configurable: true, writable: true });
    return true;
  }

  get closed(): boolean {
    return this.outcome !== null;
  }

  /** Is this step walked at all? What goes on beside the walk is not waited for; a cleanup only where something was left to be cleaned up. */
  private isWalked({ state, planned }: StepProgress): boolean {
    if (PASSED.has(state) || planned.beside) return false;
    return (
      !planned.afterFailure || (planned.operation === null && (this.isFailed || this.steps.some((step) => step.planned.removal && step.state === 'skipped')))
    );
  }

  /** Was the tenant's request put into FAILED, and not begun again since? */
  get isFailed(): boolean {
    const [said, begun] = [this.step('failure'), this.step('begin')];
    return said !== undefined && PASSED.has(said.state) && (said.endedAt ?? '') >= (begun?.endedAt ?? '');
  }

  /** The first step that has not passed. */
  next(): StepProgress | undefined {
    const [first, second] = this.steps.filter((step) => this.isWalked(step));
    return first && second && isSignedBeside(first, second) ? second : first;
  }

  /** That step and those of its wave that have not passed either. */
  batch(): StepProgress[] {
    const first = this.next();
    if (!first) return [];
    const { wave } = first.planned;
    return wave === undefined ? [first] : this.steps.filter((step) => step.planned.wave === wave && !PASSED.has(step.state));
  }

  /** Has everything that a machine has to do for the rollback itself passed? What follows is people's time. */
  get verified(): boolean {
    const { incident } = this;
    return !this.steps.some(({ planned: { mode, operation, afterFailure }, state }) => {
      const counts = incident === null ? mode !== 'manual' : operation !== null && TECHNICAL.has(operation);
      return counts && !afterFailure && state !== 'done' && state !== 'already' && state !== 'skipped';
    });
  }

  /** Those that stop the walk until a person decides. */
  blocked(): StepProgress[] {
    return this.steps.filter((step) => (BLOCKED.has(step.state) || (step.held && !PASSED.has(step.state))) && !step.planned.beside);
  }

  step(id: string): StepProgress | undefined {
    return this.steps.find((step) => step.planned.id === id);
  }

  /** Why it stands still, in one sentence; null while it does not. */
  stopReason(): string | null {
    if (this.closed || this.closing) return null;
    if (this.stop) return `stopped by ${this.stop.by}: ${this.stop.reason}`;
    const [step] = this.blocked();
    if (!step) return null;
    if (BLOCKED.has(step.state))
      return `${step.planned.id} ${step.state === 'unknown' ? 'has an unknown result' : step.state}: ${step.failure?.message ?? 'no reason given'}`;
    return `the time target was missed before ${step.planned.id}; no further change begins without a decision`;
  }

  /** The investigation is asked from now on, beside whatever else goes on. */
  breach(nowMs: number): void {
    this.breached = true;
    if (!this.step('investigation')) this.steps.push({ ...newStep(investigationStep(this.policy.lead)), state: 'waiting', startedAt: iso(nowMs) });
  }

  /** Opens the way for a step again, by a person's decision. */
  retry(step: StepProgress): void {
    // What was called under the old operation id and never answered must be found again, not asked for once more under a new one.
    const generation = step.state === 'unknown' || step.held ? step.generation : step.generation + 1;
    const again = {
      state: 'pending',
      held: false,
      granted: this.breached,
      failure: null,
      endedAt: null,
      generation,
      mayHaveActed: true,
    } satisfies Partial<StepProgress>;
    Object.assign(step, again);
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

  warn(warning: string): void {
    if (!this.warnings.includes(warning) && this.warnings.length < KEPT_MAX) this.warnings.push(warning);
  }

  /** Hands the unrecorded entries to an activity. */
  takeUnrecorded(nowMs: number): RecordEntry[] {
    if (this.dropped > 0) {
      const dropped = this.dropped;
      this.dropped = 0;
      this.note('flood', nowMs, { refusedBeyondCount: dropped });
    }
    let bytes = 0;
    const until = this.unrecorded.findIndex((entry) => {
      bytes += JSON.stringify(entry).length;
      return bytes > CARRY_BYTES;
    });
    return this.unrecorded.splice(0, until === -1 ? this.unrecorded.length : Math.max(1, until));
  }

  desk(): Desk {
    return deskOf(this);
  }

  machineMs(nowMs: number): number {
    return machineMs(this.clock, nowMs);
  }
  humanMs(nowMs: number): number {
    return humanMs(this.clock, nowMs);
  }
  awaitPerson(nowMs: number): void {
    this.clock = awaitPerson(this.clock, nowMs);
  }
  resumeMachine(nowMs: number): void {
    this.clock = resumeMachine(this.clock, nowMs);
  }

  name(): RollbackStateName {
    if (this.closed) return 'closed';
    if (this.plan === null) return 'planning';
    if (this.stopReason() !== null) return 'stopped';
    const asked = this.clock.humanSinceMs !== null && this.steps.some((step) => step.state === 'waiting');
    return asked && !this.ending ? 'waiting' : 'running';
  }
}
