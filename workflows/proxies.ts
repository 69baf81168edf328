/** Every timeout and retry policy, on one screen. */
import { proxyActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';

/** Activities beat twice a second; a worker that is silent this long is taken for dead and another attempt inspects. */
const HEARTBEAT_TIMEOUT = '3s';
/** A cancelled activity that goes on acting must not be reported as over. */
const base = { heartbeatTimeout: HEARTBEAT_TIMEOUT, cancellationType: 'WAIT_CANCELLATION_COMPLETED' } as const;

/** Inspects and opens; gives up on its own, with a refusal. */
export const { openRollback } = proxyActivities<Pick<Activities, 'openRollback'>>({
  ...base,
  startToCloseTimeout: '3m',
  retry: { initialInterval: '500ms', backoffCoefficient: 2, maximumInterval: '5s', maximumAttempts: 30 },
});

/**
 * One attempt may follow a platform for long; nothing kills it half-way. Attempts after the deadline only inspect,
 * so many attempts are harmless, and the activity itself says when trying again is over.
 */
export const { runStep } = proxyActivities<Pick<Activities, 'runStep'>>({
  ...base,
  startToCloseTimeout: '2h',
  retry: { initialInterval: '500ms', backoffCoefficient: 2, maximumInterval: '10s', maximumAttempts: 100 },
});

/** Of a tenant: nothing presses, and a platform that is away for hours is no failure [000 Rollback is NOT triggered by]; when to give up the activity says itself. */
export const { runStep: runTenantStep } = proxyActivities<Pick<Activities, 'runStep'>>({
  ...base,
  startToCloseTimeout: '2h',
  // More than eight hours: a bug of ours must not be asked again for ever either.
  retry: { initialInterval: '500ms', backoffCoefficient: 2, maximumInterval: '30s', maximumAttempts: 1_000 },
});

/** Says itself when it is refused; a bug of ours, or a worker that is away, leaves it asked for. */
export const { escalateRollback } = proxyActivities<Pick<Activities, 'escalateRollback'>>({
  ...base,
  startToCloseTimeout: '10m',
  retry: { initialInterval: '500ms', backoffCoefficient: 2, maximumInterval: '10s' },
});

/** Best effort: a channel that is down must not hold up a rollback. */
export const { notify } = proxyActivities<Pick<Activities, 'notify'>>({
  ...base,
  startToCloseTimeout: '30s',
  retry: { initialInterval: '1s', maximumInterval: '10s', maximumAttempts: 5 },
});

/** A few quick tries, so that a database that is away shows as `behind` instead of silence. */
const { closeRollback: closeSoon } = proxyActivities<Pick<Activities, 'closeRollback'>>({
  ...base,
  startToCloseTimeout: '30s',
  retry: { initialInterval: '500ms', maximumInterval: '2s', maximumAttempts: 3 },
});
/** It cannot close until the record has caught up: for ever, once in a while. */
const { closeRollback: closeEventually } = proxyActivities<Pick<Activities, 'closeRollback'>>({
  ...base,
  startToCloseTimeout: '30s',
  retry: { initialInterval: '1s', backoffCoefficient: 1.5, maximumInterval: '30s' },
});
export { closeEventually, closeSoon };

/** As long as the watch lasts; a dead worker's watch goes on with another attempt. */
export const { watchHealth } = proxyActivities<Pick<Activities, 'watchHealth'>>({
  ...base,
  startToCloseTimeout: '24h',
  retry: { initialInterval: '1s', maximumInterval: '30s' },
});
