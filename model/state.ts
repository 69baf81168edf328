import type { Inventoried } from './deprovision.ts';
import type { PlannedStep, Target } from './plan.ts';
import type { Kind, Trigger } from './policy.ts';
import type { Refusal } from './refusal.ts';

/** The life of a step [product.md 3]. */
export type StepState = 'pending' | 'running' | 'waiting' | 'unknown' | 'done' | 'already' | 'failed' | 'skipped' | 'confirmed' | 'declined' | 'irreversible';

/** Ends that let the walk go on. */
export const PASSED: ReadonlySet<StepState> = new Set(['done', 'already', 'skipped', 'confirmed', 'irreversible']);
/** Ends that stop it until a person decides. */
export const BLOCKED: ReadonlySet<StepState> = new Set(['failed', 'unknown', 'declined']);

export const OUTCOMES = ['rolled-back', 'rolled-back-late', 'partial', 'failed', 'refused'] as const;
export type Outcome = (typeof OUTCOMES)[number];
export type RollbackStateName = 'planning' | 'running' | 'waiting' | 'stopped' | 'closed' | 'abandoned';

/** What the platform answered: its ids, and what was observed before and after. JSON, no secrets, kept small. */
export interface Receipt {
  readonly before?: unknown;
  readonly after?: unknown;
  /** The platform's own ids: a run, a process, a deployment. */
  readonly ids?: Readonly<Record<string, string | number>>;
  readonly detail?: string;
}

export interface Failure {
  readonly type: string;
  readonly message: string;
  /** Can trying again help, without anybody changing anything? */
  readonly retryable: boolean;
  /** What the operator should do. */
  readonly remedy: string;
}

/** What was not undone. */
export interface Remaining {
  readonly artifact: string;
  readonly reason: string;
  readonly owner: string | null;
}

export interface StepView extends PlannedStep {
  readonly state: StepState;
  readonly attempts: number;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
  readonly receipt: Receipt | null;
  readonly failure: Failure | null;
}

export interface Waiting {
  readonly step: string;
  readonly for: string;
  readonly since: string;
  readonly answer: string;
  readonly json: string;
  /** When this answer is the right one; absent where the question says it. */
  readonly when?: string;
  /** Why it is another answer than the question asks for; absent where it is not. */
  readonly why?: string;
  /** What else may be answered; absent where nothing may. */
  readonly or?: readonly Alternative[];
}

/** Another answer to what is awaited. */
export interface Alternative {
  readonly when: string;
  readonly answer: string;
  readonly json: string;
}

export interface Answer {
  readonly name: string;
  readonly step: string | null;
  readonly by: string;
  readonly proof: 'self-declared';
  readonly at: string;
  readonly [detail: string]: unknown;
}

/** One condition of the controlled unfreeze [001 step 5]. */
export interface Condition {
  readonly condition: string;
  readonly met: boolean;
  /** What meets it, or what is missing. */
  readonly by: string;
}

/** What only an incident rollback shows [001]. */
export interface IncidentView {
  readonly level: 1 | 2 | 3;
  /** Who declared it, when; null while it is only proposed. */
  readonly declared: { readonly by: string; readonly at: string; readonly criticalArea: string | null; readonly missedWindow: string | null } | null;
  /** Who holds each role now. */
  readonly roles: Readonly<Record<string, readonly string[]>>;
  /** Scopes that are frozen by this incident now. */
  readonly frozen: readonly string[];
  readonly conditions: readonly Condition[];
  /** When stakeholders are told next; null before the declaration and after the end. */
  readonly nextUpdateAt: string | null;
}

/** What only a deprovisioning shows [000]. */
export interface TenantView {
  readonly requests: readonly string[];
  /** Where those stand, as this rollback has put them; null: as they were. */
  readonly status: 'ROLLBACK_IN_PROGRESS' | 'FAILED' | 'ROLLED_BACK' | null;
  readonly artifacts: readonly Inventoried[];
}

/** Where the chain stands, as the last activity saw it [product.md 9]. */
export interface RecordPosition {
  readonly entries: number;
  readonly head: string | null;
  readonly behind: boolean;
}

/** `backout show ID --json`, query `state` [product.md 10]. */
export interface RollbackState {
  readonly rollbackId: string;
  readonly id: string;
  readonly runId: string;
  readonly kind: Kind;
  readonly environment: string;
  readonly components: readonly string[];
  readonly tenant: string | null;
  readonly incident: string | null;
  readonly trigger: { readonly type: Trigger; readonly cause: string; readonly reason: string; readonly by: string; readonly at: string };
  readonly state: RollbackStateName;
  readonly outcome: Outcome | null;
  readonly planHash: string | null;
  readonly targets: readonly Target[];
  readonly clock: { readonly targetSeconds: number | null; readonly machineSeconds: number; readonly humanSeconds: number; readonly breached: boolean };
  readonly steps: readonly StepView[];
  readonly waiting: readonly Waiting[];
  readonly answers: readonly Answer[];
  readonly remains: readonly Remaining[];
  readonly refusals: readonly Refusal[];
  readonly warnings: readonly string[];
  /** Why it is stopped, in one sentence; null while it is not. */
  readonly stopped: string | null;
  /** Only while it is stopped: what has to be answered before it may be closed; empty: it may be closed now. */
  readonly beforeClose?: readonly Waiting[];
  /** Only where an incident is rolled back. */
  readonly incidentCommand?: IncidentView;
  /** Only where a tenant is deprovisioned. */
  readonly deprovision?: TenantView;
  readonly record: RecordPosition;
}
