/** The freeze of [001 Freeze Scope]: what stands still in an environment while a rollback is declared, and who is let through. Pure rules. */

/** Merges of features; claims of implementation work items ("beads"); promotions between environments; deployments. */
export const FREEZE_SCOPES = ['merges', 'claims', 'promotions', 'deployments'] as const;
export type FreezeScope = (typeof FREEZE_SCOPES)[number];
export const isFreezeScope = (value: unknown): value is FreezeScope => FREEZE_SCOPES.some((scope) => scope === value);

/** Rollback owners, and what may still be claimed, where the configuration says nothing. */
export const FREEZE_DEFAULTS = { owners: ['incident-commander', 'api-lead', 'infrastructure-lead'], items: ['rollback', 'incident'] };

export interface FreezeExceptions {
  /** Rollback owners: the roles that may still deploy [001 Freeze Scope 4]. */
  readonly roles: readonly string[];
  /** The kinds of work item that may still be claimed [001 Freeze Scope 2]. */
  readonly items: readonly string[];
}

/** One scope of a freeze that was lifted: by whom, when (ISO time), and the entry of the record that says so. */
export interface Lifted {
  readonly scope: FreezeScope;
  readonly by: string;
  readonly at: string;
  readonly rollbackId: string;
  readonly event: string;
}

/** One declared freeze of one environment, as the register holds it. */
export interface Freeze {
  readonly freezeId: string;
  readonly environment: string;
  readonly incident: string;
  readonly rollbackId: string;
  readonly workflowId: string;
  readonly by: string;
  /** ISO time. */
  readonly at: string;
  /** What was frozen. */
  readonly scopes: readonly FreezeScope[];
  /** What is still frozen; empty once it is lifted. */
  readonly inForce: readonly FreezeScope[];
  readonly lifted: readonly Lifted[];
  readonly exceptions: FreezeExceptions;
  /** The entry of the record that froze it. */
  readonly event: string;
}

/** What somebody wants to do while it may be frozen. */
export interface FreezeQuestion {
  readonly scope: FreezeScope;
  /** The roles of whoever asks. */
  readonly roles: readonly string[];
  /** The kind of the work item that is to be claimed. */
  readonly item: string | null;
}

/** The exception that lets it through this freeze, in words; null where there is none. Exceptions belong to their own scope: a rollback owner may deploy, not merge. */
function exceptionFor({ exceptions }: Freeze, { scope, roles, item }: FreezeQuestion): string | null {
  if (scope === 'deployments') {
    const owner = roles.find((role) => exceptions.roles.includes(role));
    return owner === undefined ? null : `${owner} is a rollback owner and may deploy`;
  }
  if (scope === 'claims') return item !== null && exceptions.items.includes(item) ? `work items of kind ${item} may be claimed` : null;
  return null;
}

/** Does this freeze stop it? */
export const stops = (freeze: Freeze, question: FreezeQuestion): boolean => freeze.inForce.includes(question.scope) && exceptionFor(freeze, question) === null;

export interface FreezeVerdict {
  readonly frozen: boolean;
  /** Everything in force for what was asked, whether it stops it or lets it through. */
  readonly freezes: readonly Freeze[];
  /** Why it may be done in spite of them; null where it may not, or where nothing is in force. */
  readonly allowedBy: string | null;
}

/** May it be done now? Each freeze has to let it through, since each incident has its own; `scope` null asks for all scopes at once. */
export function judge(freezes: readonly Freeze[], { scope, ...who }: Omit<FreezeQuestion, 'scope'> & { readonly scope: FreezeScope | null }): FreezeVerdict {
  const scopes = scope === null ? FREEZE_SCOPES : [scope];
  const questions = scopes.map((one) => ({ scope: one, ...who }));
  const inForce = freezes.filter((freeze) => scopes.some((one) => freeze.inForce.includes(one)));
  const frozen = inForce.some((freeze) => questions.some((question) => stops(freeze, question)));
  if (frozen || inForce.length === 0) return { frozen, freezes: inForce, allowedBy: null };
  const reasons = inForce.flatMap((freeze) =>
    questions.flatMap((question) => (freeze.inForce.includes(question.scope) ? (exceptionFor(freeze, question) ?? []) : [])),
  );
  return { frozen, freezes: inForce, allowedBy: [...new Set(reasons)].join('; ') };
}
