/**
 * A refusal is a value, never an exception: a rule said no, and the record must be able to say which
 * rule, from which document, and to whom [product.md 2].
 */
export interface Refusal {
  /** The rule's stable name, e.g. `target-known-healthy`. */
  readonly rule: string;
  /** Where the rule comes from, e.g. `[002 section 5]`. */
  readonly source: string;
  /** What was wrong and what to do instead, for the person at the keyboard. */
  readonly explanation: string;
  readonly by: string;
  /** ISO time. */
  readonly at: string;
  /** The name of the message that was refused; absent where a start was. */
  readonly message?: string;
}

/** The rules that can say no, each with its source. Explanations are written where the facts are. */
export const RULE_SOURCE = {
  malformed: 'product.md 6',
  configuration: 'product.md 8',
  'unknown-message': 'product.md 6',
  'unknown-step': 'product.md 6',
  'workflow-id': 'product.md 5',
  'kind-not-built': 'product.md 2',
  tenant: 'product.md 5',
  'operator-only': '[000 When Rollback Triggers]',
  'not-a-trigger': '[000 When Rollback Triggers]',
  request: '[000 Rollback Procedure]',
  inventory: '[000 Rollback Procedure 2]',
  'not-optional': '[000 Rollback Procedure]',
  protected: '[000 Invariants]',
  'unknown-environment': 'product.md 5',
  'unknown-component': 'product.md 5',
  'unknown-platform': 'product.md 9',
  starter: 'product.md 2',
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
  exclusion: 'product.md 5',
  abandoned: 'product.md 3',
  'record-unavailable': 'product.md 9',
  'platform-unavailable': 'product.md 9',
  role: 'product.md 6',
  'unknown-person': 'product.md 8',
  'four-eyes': 'product.md 6',
  'not-asked': 'product.md 6',
  'already-answered': 'product.md 6',
  'stale-plan': 'product.md 12',
  'not-failed': 'product.md 3',
  'no-partial': '[002 section 9]',
  'inspection-disagrees': 'product.md 2',
  'not-stopped': 'product.md 6',
  level: 'product.md 2',
  'security-lead': '[001 Ownership]',
  inverse: '[001 step 3c]',
  recover: '[004 section 3]',
  'evidence-rewrite': '[001 step 3d]',
  'revoked-credential': '[001 step 3e]',
  'credential-open': '[001 step 3e]',
  closed: 'product.md 6',
  finding: '[002 section 7]',
  declaration: '[001 step 1]',
  choice: 'product.md 6',
  evidence: '[001 step 3 checklist]',
  'mandatory-row': '[001 step 3 checklist]',
  'not-skippable': '[001 Procedure]',
  'accepted-risk': '[001 step 5]',
  'baseline-blocker': '[001 step 4]',
  'unfreeze-conditions': '[001 step 5]',
  incident: 'product.md 5',
} as const;
export type Rule = keyof typeof RULE_SOURCE;

export function refuse(rule: Rule, explanation: string, by: string, at: string, message?: string): Refusal {
  const refusal = { rule, source: RULE_SOURCE[rule], explanation, by, at };
  return message === undefined ? refusal : { ...refusal, message };
}
