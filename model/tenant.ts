/** What a tenant has, and what may become of it [000]. */

/** [000 Rollback Scope] What provisioning assigns to a tenant. Records and events that lie outside are of no type here: no plan can name them. */
export const ARTIFACT_TYPES = ['n8n-workflow', 'webhook', 'crm', 'calendar', 'vapi-assistant', 'credential'] as const;
export type ArtifactType = (typeof ARTIFACT_TYPES)[number];

/** As the Canonical Object's `tenant_config` lists it. Never holds a secret. */
export interface Artifact {
  readonly type: ArtifactType;
  /** The platform's own id: of a workflow or an assistant; the path of a webhook; the account of a CRM; the id of a calendar; the name of a credential. */
  readonly id: string;
  /** For people. */
  readonly name?: string;
  /** Which platform of `backout.yaml` has it, where more than one could. */
  readonly platform?: string;
}

/** The name of a tenant: the last part of a Workflow Id, and part of the platforms' marks. */
export const TENANT = /^[A-Za-z0-9][\w.-]{0,62}$/;

/** Two are the same artifact where these agree; slashes around a path make no other route of it. */
export const keyOf = ({ type, id }: Pick<Artifact, 'type' | 'id'>): string => `${type} ${type === 'webhook' ? id.replaceAll(/^\/+|\/+$/g, '') : id}`;

/** The states of a provisioning request that a rollback knows [000 Rollback Procedure, Rollback Failure]. */
export const REQUEST_STATUSES = ['COMPLETED', 'FAILED', 'ROLLBACK_IN_PROGRESS', 'ROLLED_BACK'] as const;
export type RequestStatus = (typeof REQUEST_STATUSES)[number];

/** An artifact that is no longer the tenant's: taken out of `artifacts`, with who said so. */
export interface Removed extends Artifact {
  /** ISO time. */
  readonly at: string;
  readonly by: string;
  readonly rollbackId: string;
  /** What was done: `deactivate`, `delete`, `remove`, `disconnect`, `done` by hand, `cleanup` after a failure; `absent`: it was never seen; `kept`: another request has it now. */
  readonly how: string;
}

/** The Canonical Object of one request, as far as a rollback reads and writes it. */
export interface TenantConfig {
  readonly status: 'active' | 'deprovisioned';
  readonly artifacts: readonly Artifact[];
  readonly removed: readonly Removed[];
  /** That a rollback was finished, when and by whom [000 Invariant 5]; null before. */
  readonly rollback: { readonly at: string; readonly by: string; readonly rollbackId: string; readonly reason: string } | null;
}

/** One provisioning request with its Canonical Object. */
export interface ProvisioningRequest {
  readonly requestId: string;
  readonly tenant: string;
  /** The version of the provisioning, where the house names one. */
  readonly version: string | null;
  readonly status: RequestStatus;
  /** The rollback that has it, or had it last; null where none ever did. */
  readonly rollbackId: string | null;
  /** Who confirmed the manual cleanup after a failed rollback, and when; null before. */
  readonly cleanup: { readonly by: string; readonly at: string } | null;
  readonly config: TenantConfig;
}

/** What could not be taken back, and who owns it. */
export interface NotRemovable {
  readonly artifact: string;
  readonly reason: string;
  readonly owner: string;
}

/** One row of the append-only `error_log` [000 Rollback Procedure 9]. */
export interface LogEntry {
  /** ISO time. */
  readonly at: string;
  readonly event: 'rollback-failed' | 'rolled-back';
  readonly by: string;
  readonly reason: string;
  readonly removed: readonly string[];
  readonly notRemovable: readonly NotRemovable[];
  /** What failed, where something did. */
  readonly detail: string | null;
}
