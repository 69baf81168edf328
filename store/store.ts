/**
 * Postgres as Backout uses it: the `ops` tables of [003] and the chained record. Everything here is one round of
 * SQL, in a transaction where it writes. Throws `StoreUnavailable` where the database cannot be reached, so that callers can go on without it.
 */
import type { Freeze } from '../model/freeze.ts';
import type { RecordEntry, RecordPositionOf, StoredEntry } from '../model/record.ts';
import type { Kind, Trigger } from '../model/policy.ts';
import type { Plan } from '../model/plan.ts';
import type { Outcome } from '../model/state.ts';

/** The database did not answer in time, or not at all. Transient by nature. */
export class StoreUnavailable extends Error {
  override readonly name = 'StoreUnavailable';
}

export const DEPLOYMENT_STATUSES = ['pending', 'in_progress', 'success', 'failed', 'rolled_back'] as const;
export type DeploymentStatus = (typeof DEPLOYMENT_STATUSES)[number];

export interface Deployment {
  readonly deploymentId: string;
  readonly environment: string;
  readonly component: string;
  readonly version: string;
  readonly commit: string;
  readonly branch: string;
  readonly status: DeploymentStatus;
  readonly healthCheckPassed: boolean;
  readonly platformRef: string | null;
  readonly rollbackFrom: string | null;
  readonly deployedBy: string | null;
  /** ISO times. */
  readonly deployedAt: string;
  readonly completedAt: string | null;
  readonly rolledBackAt: string | null;
}

/** A migration that is applied, as it was recorded with its deployment. */
export interface RecordedMigration {
  readonly name: string;
  /** SHA-256 of what was applied, as `sha256:…`. */
  readonly hash: string;
  /** What was applied; null: only its hash was recorded. */
  readonly sql: string | null;
  /** SQL; null: none was recorded. */
  readonly inverse: string | null;
  /** False where somebody has changed the inverse since. */
  readonly isInverseAsRecorded: boolean;
  readonly deploymentId: string;
  readonly component: string;
  readonly version: string;
  readonly deployedAt: string;
}

/** What is known of one generation of a credential, as of `at`. */
export interface CredentialGeneration {
  readonly environment: string;
  readonly credential: string;
  /** As its authority names it. */
  readonly generation: string;
  /** Null where its secret is not known to any worker. */
  readonly fingerprint: string | null;
  /** `old`: alive when the Security Lead signed, and to be revoked. */
  readonly state: 'old' | 'issued' | 'installed' | 'revoked';
  readonly rollbackId: string;
  readonly at: string;
}

export interface Claim {
  readonly environment: string;
  readonly component: string;
  readonly rollbackId: string;
  readonly workflowId: string;
  readonly by: string;
  readonly at: string;
}

/** A row of `ops.rollback_events`, in our words; `outcome` null while it is open. */
export interface RollbackEvent {
  readonly rollbackId: string;
  readonly workflowId: string;
  readonly kind: Kind;
  readonly environment: string;
  readonly components: readonly string[];
  readonly trigger: Trigger;
  readonly cause: string;
  readonly reason: string;
  readonly by: string;
  readonly outcome: Outcome | null;
  readonly openedAt: string;
  readonly closedAt: string | null;
  readonly plan: Plan | null;
  readonly planHash: string | null;
}

export interface OpenRequest extends Omit<RollbackEvent, 'outcome' | 'closedAt'> {
  /** What is claimed where it is not the components; a name that begins with `@` is no component's. */
  readonly claims?: readonly string[];
  /** Refused at the door: no claims, status `aborted`. */
  readonly refused: boolean;
  /** The deployment that is taken back, per component, where CI has recorded it. */
  readonly deploymentIds: Readonly<Record<string, string>>;
  /** Observed before anything changes, per component; goes into `pre_rollback` snapshots. */
  readonly snapshots: Readonly<Record<string, unknown>>;
  readonly entries: readonly RecordEntry[];
}

export interface CloseRequest {
  readonly rollbackId: string;
  readonly outcome: Outcome;
  readonly at: string;
  /** The steps as they ended, for `rollback_steps`. */
  readonly steps: readonly unknown[];
  /** Components that were verified at their target, with what was taken back; each gets a new row with `rollback_from`. */
  readonly restored: readonly { readonly component: string; readonly from: string | null; readonly to: string; readonly snapshot: unknown }[];
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly entries: readonly RecordEntry[];
}

/** What is to stand still, why, and who is let through. */
export interface FreezeRequest extends Omit<Freeze, 'freezeId' | 'inForce' | 'lifted' | 'event'> {
  /** Of type `freeze`, with `environment` and `incident`: the database takes no freeze that the record does not tell of. */
  readonly entry: RecordEntry;
  /** Go into the chain before `entry`, where something is frozen. */
  readonly entries?: readonly RecordEntry[];
}

export interface UnfreezeRequest extends Pick<Freeze, 'environment' | 'incident' | 'rollbackId' | 'by' | 'at' | 'scopes'> {
  /** Of type `unfreeze`, with `environment` and `incident`. */
  readonly entry: RecordEntry;
}

/** `already`: it was so before, and nothing was written. */
export interface Registered {
  readonly already: boolean;
  readonly position: RecordPositionOf;
}

export interface TransferRequest {
  readonly environment: string;
  readonly components: readonly string[];
  /** The rollback that is to hold them no longer. */
  readonly from: string;
  readonly to: Pick<Claim, 'rollbackId' | 'workflowId' | 'by' | 'at'>;
  /** Of the rollback that takes them. */
  readonly entry: RecordEntry;
}

/** What an open rollback goes on with instead. */
export interface Replanned {
  readonly plan: Plan;
  readonly planHash: string;
  /** The deployment that is taken back, per component, where CI has recorded it. */
  readonly deploymentIds: Readonly<Record<string, string>>;
}

/** Of a closed run: JSON text with its SHA-256. */
export interface ExportedHistory {
  readonly workflowId: string;
  readonly runId: string;
  readonly json: string;
  readonly sha256: string;
}

/** What an append says: where the chain stands after it, and what is stored under each event (the earlier body where the event was there already). */
export interface Appended {
  readonly position: RecordPositionOf;
  readonly stored: readonly RecordEntry[];
}

export interface Store {
  /** Brings the schema up; safe to run twice and at once. */
  migrate(): Promise<void>;
  ping(): Promise<void>;
  close(): Promise<void>;

  /** Appends in order, in one transaction; an event that is there already is left as it is and its stored body is returned. */
  append(rollbackId: string, entries: readonly RecordEntry[]): Promise<Appended>;
  find(event: string): Promise<RecordEntry | null>;
  entriesOf(rollbackId: string): Promise<StoredEntry[]>;
  /** The whole chain in order, or what follows an entry of it; in batches, constant memory. */
  chain(after?: number): AsyncIterable<StoredEntry>;
  /** The number of entries of a rollback and the head of the whole chain. */
  position(rollbackId: string): Promise<RecordPositionOf>;

  /** What CI says, as often as it says it. `success` is kept as `in_progress` until the checks have seen it; `rolled_back` is refused. */
  recordDeployment(deployment: Omit<Deployment, 'healthCheckPassed' | 'rollbackFrom' | 'deployedAt' | 'completedAt' | 'rolledBackAt'>): Promise<Deployment>;
  /** What the checks found: alone sets `success` and `health_check_passed`, and takes a `post_deployment` snapshot. A failed check sets `failed`; a row that is `rolled_back` stays so. */
  verifyDeployment(deploymentId: string, passed: boolean, details: unknown, snapshot: unknown): Promise<Deployment>;
  deployment(deploymentId: string): Promise<Deployment | null>;
  /** Newest first. */
  deployments(filter: { environment?: string; component?: string; version?: string; limit?: number }): Promise<Deployment[]>;
  /** The newest deployment known healthy whose version is not `except`; a version whose later deployment failed or was rolled back is not. */
  lastHealthy(environment: string, component: string, except: string | null): Promise<Deployment | null>;
  /** What was observed when a deployment was last verified; null where it never was. */
  snapshot(deploymentId: string): Promise<{ readonly config: unknown; readonly at: string } | null>;

  /** One transaction: the event row, the claims (or a refusal's row without), the snapshots, the entries. Answers the holder where a claim is another's. Idempotent by rollbackId. */
  open(request: OpenRequest): Promise<{ readonly holder: Claim } | Appended>;
  /** One transaction: outcome and steps, deployments, snapshots, entries, claims given up. Idempotent by rollbackId: a second answers the first one's entries, and appends nothing. */
  finish(request: CloseRequest): Promise<Appended>;
  /** The claims that are held, by environment and component. */
  claims(filter: { rollbackId?: string; environment?: string; components?: readonly string[] }): Promise<Claim[]>;
  /** Takes all of these or none, as `open` does, and answers the holder of the first that is another's. Throws where the rollback has ended. */
  claim(request: Omit<Claim, 'component'> & { readonly components: readonly string[] }): Promise<{ readonly holder: Claim } | null>;
  /** One transaction: all of these, held by `from` or by nobody, change hands, and the entry tells of it. Where one is a third's, answers its holder and writes nothing. Throws where the taker has ended. */
  transferClaims(request: TransferRequest): Promise<Appended & { readonly holder: Claim | null }>;
  /** One transaction: another plan for an open rollback, and the entry that tells of it; one that is there already changes nothing. Throws where the rollback is not open. */
  replan(rollbackId: string, to: Replanned, entry: RecordEntry): Promise<Appended>;

  /**
   * One transaction: freezes those of the scopes that this incident does not hold in this environment yet, and the entry
   * tells of it. Where it holds all of them, or the entry has frozen before: `already`, and the freeze that is there.
   */
  freeze(request: FreezeRequest): Promise<Registered & { readonly freeze: Freeze }>;
  /** One transaction: lifts those of the scopes that this incident holds in this environment, whichever of its rollbacks froze them. `already` where it holds none, or the entry is there already. */
  unfreeze(request: UnfreezeRequest): Promise<Registered>;
  /** Newest first. */
  freezes(filter: { environment?: string; incident?: string; inForceOnly?: boolean }): Promise<Freeze[]>;

  /** Migrations that a deployment has applied to a database of its environment. One transaction; told again it changes nothing, and throws where it differs. */
  recordMigrations(request: {
    readonly deploymentId: string;
    readonly database: string;
    readonly migrations: readonly { readonly name: string; readonly hash: string; readonly sql: string | null; readonly inverse: string | null }[];
  }): Promise<{ readonly recorded: number; readonly already: number }>;
  /** Those that are not rolled back, the latest deployment first. */
  migrations(of: { readonly environment: string; readonly database: string }): Promise<RecordedMigration[]>;
  migrationUndone(told: {
    readonly environment: string;
    readonly database: string;
    readonly name: string;
    readonly at: string;
    readonly successful: boolean;
    readonly milliseconds: number | null;
    readonly error: string | null;
  }): Promise<void>;
  /** All of them, or none. Told twice for one rollback it is told once. */
  tellCredentials(all: readonly CredentialGeneration[]): Promise<void>;
  /** In the order they were told. */
  credentials(filter: {
    readonly environment?: string;
    readonly credential?: string;
    readonly rollbackId?: string;
    readonly state?: CredentialGeneration['state'];
  }): Promise<CredentialGeneration[]>;

  rollback(rollbackId: string): Promise<RollbackEvent | null>;
  /** Newest first. */
  rollbacks(filter: { environment?: string; component?: string; workflowId?: string; limit?: number }): Promise<RollbackEvent[]>;
  /** The last ended attempt on this deployment of this component, for [002 section 11]; with null on any. A refused start is none. */
  lastAttempt(environment: string, component: string, deploymentId: string | null): Promise<RollbackEvent | null>;

  /** The entry that announces it goes into the chain in the same transaction. */
  saveHistory(history: ExportedHistory & { readonly rollbackId: string }, entry: RecordEntry): Promise<void>;
  hasHistory(runId: string): Promise<boolean>;
  /** All entries of a rollback, and its exported histories in the order they were saved; both of one moment. */
  recordOf(rollbackId: string): Promise<{ readonly entries: readonly StoredEntry[]; readonly histories: readonly ExportedHistory[] }>;
}
