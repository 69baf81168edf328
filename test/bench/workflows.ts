/** The floor: the same activities and the same signal as a deployRevert, with nothing around them. */
import { condition, defineSignal, proxyActivities, setHandler } from '@temporalio/workflow';

export * from '../../workflows/index.ts';

const { openRollback, runStep, closeRollback } = proxyActivities<Record<'openRollback' | 'runStep' | 'closeRollback', (work: unknown) => Promise<unknown>>>({
  startToCloseTimeout: '1m',
  heartbeatTimeout: '10s',
});

export async function bare(input: unknown): Promise<string> {
  let confirmed = false;
  setHandler(defineSignal('confirm'), () => {
    confirmed = true;
  });
  await openRollback({ input });
  for (const operation of ['deploy', 'smoke', 'health', 'served']) {
    const step = { id: `web.${operation}`, operation, component: 'web', effect: 'read' };
    // As large as the spine's own, so that bytes are compared step for step.
    await runStep({
      rollbackId: '0'.repeat(36),
      environment: 'production',
      step,
      from: 'v1.1.0',
      to: 'v1.0.0',
      config: '',
      generation: 0,
      ordinal: 0,
      mode: 'run',
      mayHaveActed: false,
      deadlineAt: '2026-01-01T00:00:00.000Z',
      machineMs: 100,
      humanMs: 0,
      entries: [],
    });
  }
  await condition(() => confirmed);
  await closeRollback({ outcome: 'rolled-back' });
  return 'done';
}
