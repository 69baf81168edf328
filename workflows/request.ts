/** What a failure does to the provisioning request of a tenant [000 Rollback Failure 1 and 2]. */
import { PASSED } from '../model/state.ts';
import { execute } from './execute.ts';
import type { Progress } from './progress.ts';
import { leftUnsaid, unsaid } from './tenant.ts';

/** The request is FAILED and the error_log says why [000 Rollback Failure 1 and 2]. */
export async function sayFailure(progress: Progress): Promise<void> {
  const failing = unsaid(progress);
  if (!(await writeFailure(progress))) return;
  for (const step of failing) step.failureSaid = step.endedAt;
}

/** Each failure is an entry of its own. */
export async function writeFailure(progress: Progress): Promise<boolean> {
  const say = progress.step('failure');
  if (!say) return false;
  if (say.state !== 'pending') say.generation += 1;
  await execute(progress, say, 'run');
  if (PASSED.has(say.state)) for (const step of leftUnsaid(progress)) step.failureSaid = step.endedAt;
  // What was cleaned up was about what had failed by then.
  const cleanup = progress.step('cleanup');
  if (cleanup?.state === 'confirmed') Object.assign(cleanup, { state: 'pending', startedAt: null, endedAt: null });
  return PASSED.has(say.state);
}
