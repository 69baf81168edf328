/**
 * A refusal is a value, never an exception: a rule said no, and the record must be able to say which
 * rule, from which document, and to whom [product.md 2].
 */
export interface Refusal {
  /** The rule's stable name, e.g. `target-known-healthy`. */
  readonly rule: string;
  /** Where the rule comes from, e.g. `[002 section 5]`; our own are explained in the runbook. */
  readonly source: string;
  /** What was wrong and what to do instead, for the person at the keyboard. */
  readonly explanation: string;
  readonly by: string;
  /** ISO time. */
  readonly at: string;
  /** The name of the message that was refused; absent where a start was. */
  readonly message?: string;
}

/** Where our own rules are explained to whoever is refused, one by one: beside the code, so that he can look it up. */
const RUNBOOK = '[docs/runbook.md]';

/** The rules that can say no, each with its source. Explanations are written where the facts are. */
export const RULE_SOURCE = {
  malformed: RUNBOOK,
  configuration: RUNBOOK,
  'unknown-message': RUNBOOK,
  'unknown-step': RUNBOOK,
  'workflow-id': RUNBOOK,
  'kind-not-built': RUNBOOK,
  tenant: RUNBOOK,
  'operator-only': '[000 When Rollback Triggers]',
  'not-a-trigger': '[000 When Rollback Triggers]',
  request: '[000 Rollback Procedure]',
  inventory: '[000 Rollback Procedure 2]',
  'not-optional': '[000 Rollback Procedure]',
  protected: '[000 Invariants]',
  'unknown-environment': RUNBOOK,
  'unknown-component': RUNBOOK,
  'unknown-platform': RUNBOOK,
  starter: RUNBOOK,
  cause: '[002 section 3]',
  'effect-not-allowed': '[002 section 9]',
  'target-named': '[002 section 5]',
  'target-known': '[002 section 5]',
  'target-known-healthy': '[002 section 5]',
  'previous-release': '[002 section 5]',
  'target-in-place': '[002 section 5]',
  executor: '[002 section 6]',
  analysis: '[002 section 11]',
  'already-stable': '[003 Constitutional Rejection Scenarios]',
  exclusion: RUNBOOK,
  abandoned: RUNBOOK,
  'record-unavailable': RUNBOOK,
  'platform-unavailable': RUNBOOK,
  role: RUNBOOK,
  'unknown-person': RUNBOOK,
  'four-eyes': RUNBOOK,
  'not-asked': RUNBOOK,
  'already-answered': RUNBOOK,
  'stale-plan': RUNBOOK,
  'not-failed': RUNBOOK,
  'no-partial': '[002 section 9]',
  'inspection-disagrees': RUNBOOK,
  'not-stopped': RUNBOOK,
  level: RUNBOOK,
  'security-lead': '[001 Ownership]',
  inverse: '[001 step 3c]',
  recover: '[004 section 3]',
  'evidence-rewrite': '[001 step 3d]',
  'revoked-credential': '[001 step 3e]',
  'credential-open': '[001 step 3e]',
  closed: RUNBOOK,
  finding: '[002 section 7]',
  declaration: '[001 step 1]',
  choice: RUNBOOK,
  evidence: '[001 step 3 checklist]',
  'mandatory-row': '[001 step 3 checklist]',
  'not-skippable': '[001 Procedure]',
  'accepted-risk': '[001 step 5]',
  'baseline-blocker': '[001 step 4]',
  'unfreeze-conditions': '[001 step 5]',
  incident: RUNBOOK,
} as const;
export type Rule = keyof typeof RULE_SOURCE;

export function refuse(rule: Rule, explanation: string, by: string, at: string, message?: string): Refusal {
  const refusal = { rule, source: RULE_SOURCE[rule], explanation, by, at };
  return message === undefined ? refusal : { ...refusal, message };
}
