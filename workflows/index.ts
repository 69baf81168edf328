/** Exactly the workflow types [product.md 5]: the kinds, and one for readings that only a worker can make. */
import { proxyActivities, workflowInfo } from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';
import type { Ask, Inspected } from '../activities/inspect.ts';
import { rollback, type Ended } from './rollback.ts';

export { healthWatch } from './health-watch.ts';

export const deployRevert = (input: unknown): Promise<Ended> => rollback('deployRevert', input);
export const l1Rollback = (input: unknown): Promise<Ended> => rollback('l1Rollback', input);
export const l2Rollback = (input: unknown): Promise<Ended> => rollback('l2Rollback', input);
export const l3Rollback = (input: unknown): Promise<Ended> => rollback('l3Rollback', input);
export const upaDeprovision = (input: unknown): Promise<Ended> => rollback('upaDeprovision', input);

const { inspect } = proxyActivities<Pick<Activities, 'inspect'>>({ startToCloseTimeout: '10m', heartbeatTimeout: '3s', retry: { maximumAttempts: 3 } });

/** Plan, doctor and deployment verification, made on the worker, where the credentials are. Touches no platform. */
export const inspection = (ask: Ask): Promise<Inspected> => inspect(ask);

/**
 * Any other type. Without this the task of a misspelt type fails for ever and looks like a running rollback; with it, it ends at once and says why.
 */
export default async function unknownKind(): Promise<{ outcome: 'refused'; explanation: string }> {
  return {
    outcome: 'refused',
    explanation: `there is no kind ${workflowInfo().workflowType}; the kinds are deployRevert, l1Rollback, l2Rollback, l3Rollback, upaDeprovision`,
  };
}
