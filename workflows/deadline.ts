/** The clock beside the walk [002 section 7]. */
import { condition } from '@temporalio/workflow';
import { WARN_AT } from '../model/clock.ts';
import type { Progress } from './progress.ts';
import { tell } from './telling.ts';

/** The clock beside the walk: a warning at 60 %, a breach at 100 % of the target. Runs until the rollback is closed. */
export async function watchClock(progress: Progress): Promise<void> {
  // Another level may have more time, also while this one's is being watched.
  const targetMs = (): number => (progress.plan?.targetSeconds ?? 0) * 1000;
  if (targetMs() === 0) return;
  for (const share of [WARN_AT, 1]) {
    for (;;) {
      await condition(() => progress.closed || progress.clock.humanSinceMs === null);
      const watched = targetMs();
      const left = watched * share - progress.machineMs(Date.now());
      if (progress.closed || progress.breached) return;
      if (left <= 0) break;
      await condition(() => progress.closed || progress.breached || progress.clock.humanSinceMs !== null || targetMs() !== watched, left, {
        summary: share === 1 ? 'time target' : 'time target, 60 %',
      });
    }
    if (share === 1) breach(progress);
    else void tell(progress, 'warning', `60 % of the ${targetMs() / 1000} s are used`);
  }
}

/** A timer may fire late; the walk looks at the clock itself at every boundary. */
export function checkClock(progress: Progress): void {
  const target = progress.plan?.targetSeconds ?? null;
  if (target !== null && progress.machineMs(Date.now()) > target * 1000) breach(progress);
}

function breach(progress: Progress): void {
  if (progress.breached) return;
  progress.breach(Date.now());
  const text = `the time target of ${progress.plan?.targetSeconds ?? 0} s was missed [002 section 7]; an investigation is open`;
  progress.note('breach', Date.now(), { targetSeconds: progress.plan?.targetSeconds ?? null, machineMs: progress.machineMs(Date.now()) });
  void tell(progress, 'breach', text);
}
