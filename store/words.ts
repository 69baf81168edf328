/** Our words and those of the tables of [003]: the one place where they meet. */
import type { Trigger } from '../model/policy.ts';
import type { Outcome } from '../model/state.ts';

/** `ops.rollback_events.trigger_type`. The trigger itself stays readable in `metadata.trigger`. */
export const TRIGGER_TYPE = {
  operator: 'manual',
  verification: 'automatic',
  automatic: 'automatic',
  drill: 'manual',
} as const satisfies Record<Trigger, 'automatic' | 'manual' | 'constitutional_violation'>;

/** `ops.rollback_events.status`. The outcome itself stays readable in `metadata.outcome`. */
export const EVENT_STATUS = {
  open: 'in_progress',
  'rolled-back': 'success',
  'rolled-back-late': 'success',
  partial: 'failed',
  failed: 'failed',
  refused: 'aborted',
} as const satisfies Record<Outcome | 'open', 'pending' | 'in_progress' | 'success' | 'failed' | 'aborted'>;
