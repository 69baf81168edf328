/** The kinds of rollback and what each may do. Data: no step and no workflow asks for a kind by name. */

export const KINDS = ['deployRevert', 'l1Rollback', 'l2Rollback', 'l3Rollback', 'upaDeprovision'] as const;
export type Kind = (typeof KINDS)[number];

/** What a step touches [product.md 1]. */
export const EFFECTS = ['read', 'notify', 'record', 'freeze', 'deploy', 'config', 'schema', 'data', 'evidence', 'credential', 'tenant'] as const;
export type Effect = (typeof EFFECTS)[number];

/** Effects that change nothing outside Backout; every kind has them. */
const HARMLESS = ['read', 'notify', 'record'] as const satisfies readonly Effect[];

export const TRIGGERS = ['operator', 'verification', 'automatic', 'drill'] as const;
export type Trigger = (typeof TRIGGERS)[number];

/** [002 section 3] */
const DEPLOY_CAUSES = [
  'verification-failed',
  'smoke-failed',
  'health-degraded',
  'definition-of-done-violated',
  'behaviour-deviates',
  'operator-judgement',
] as const;
/** [001 Freeze Scope]. The first one is only complete with the critical area and the missed window. */
export const CI_FAILED = 'ci-failed-in-critical-area';
const INCIDENT_CAUSES = [CI_FAILED, 'reliability-regression', 'security-or-tenancy-risk', 'evidence-uncertain'] as const;
/** [000 When Rollback Triggers] */
const UPA_CAUSES = ['provisioning-failed', 'post-deployment-issue', 'upgrade-regression', 'client-offboarded'] as const;

/** [000 Rollback is NOT triggered by], with what to do instead. */
export const NO_REASON: Readonly<Record<string, string>> = {
  'transient-error': 'transient errors (network timeouts, temporary API failures) are retried, not rolled back',
  'non-critical-configuration': 'a configuration that is not critical is fixed in place',
  'bug-fix': 'a bug fix that needs no reprovisioning is applied as it is',
};

export interface Policy {
  /** Who may start it; a trigger outside this list is refused. */
  readonly starters: readonly Trigger[];
  readonly effects: ReadonlySet<Effect>;
  /** May it end with something undone? Then `skip` is a decision and `close` ends it `partial`. */
  readonly partialEnd: boolean;
  /** A second try after a failure needs a written analysis. */
  readonly retryNeedsAnalysis: boolean;
  /** The most machine time the whole may take, in seconds; null: reminders only. */
  readonly targetSeconds: number | null;
  readonly causes: readonly string[];
  /** The subject of the Workflow Id. */
  readonly subject: 'components' | 'tenant' | 'incident';
  /** The role that declares, closes and decides beside each step's owner. */
  readonly lead: 'operator' | 'incident-commander';
  /** The extent of [001 Rollback Scope Levels]; null where the kind has none. */
  readonly level: 1 | 2 | 3 | null;
  /** Is its plan built in this version? A kind that is not is refused, never half done. */
  readonly built: boolean;
}

const effects = (...more: Effect[]): ReadonlySet<Effect> => new Set([...HARMLESS, ...more]);
const incident = {
  starters: TRIGGERS,
  partialEnd: true,
  retryNeedsAnalysis: false,
  targetSeconds: 900,
  causes: INCIDENT_CAUSES,
  subject: 'incident',
  lead: 'incident-commander',
  built: false,
} as const;

/** [product.md 2]; `backout.yaml` may tighten, never loosen [002 section 13]. */
export const POLICIES: Readonly<Record<Kind, Policy>> = {
  deployRevert: {
    starters: TRIGGERS,
    effects: effects('deploy'),
    partialEnd: false,
    retryNeedsAnalysis: true,
    targetSeconds: 300,
    causes: DEPLOY_CAUSES,
    subject: 'components',
    lead: 'operator',
    level: null,
    built: true,
  },
  l1Rollback: { ...incident, effects: effects('freeze', 'deploy', 'config'), level: 1, built: true },
  l2Rollback: { ...incident, effects: effects('freeze', 'deploy', 'config', 'schema', 'data'), level: 2, built: true },
  l3Rollback: { ...incident, effects: effects('freeze', 'deploy', 'config', 'schema', 'data', 'evidence', 'credential'), level: 3, built: true },
  upaDeprovision: {
    starters: ['operator'],
    effects: effects('tenant'),
    partialEnd: true,
    retryNeedsAnalysis: false,
    targetSeconds: null,
    causes: UPA_CAUSES,
    subject: 'tenant',
    lead: 'operator',
    level: null,
    built: true,
  },
};

export const isKind = (value: unknown): value is Kind => typeof value === 'string' && (KINDS as readonly string[]).includes(value);

/** A changing effect is one that leaves a platform different; these stop at the deadline and at a stop. */
export const changes = (effect: Effect): boolean => !(HARMLESS as readonly Effect[]).includes(effect);
