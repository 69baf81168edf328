/** The floor: the same activities and the same signal as a deployRevert, with nothing around them. */
import { condition, defineQuery, defineSignal, proxyActivities, setHandler } from '@temporalio/workflow';

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

/** The floor of an incident over four components: the same activities, in parallel where the spine's are, and the same signals. */
export async function bareIncident(input: unknown): Promise<string> {
  const said = new Set<string>();
  let asked: readonly string[] = [];
  setHandler(defineSignal<[{ step: string }]>('confirm'), ({ step }) => {
    said.add(step);
  });
  setHandler(defineQuery<readonly { step: string }[]>('waiting'), () => asked.filter((step) => !said.has(step)).map((step) => ({ step })));
  const ask = async (steps: readonly string[]): Promise<void> => {
    asked = steps;
    await condition(() => steps.every((step) => said.has(step)));
    asked = [];
  };
  const run = (id: string): Promise<unknown> =>
    runStep({
      rollbackId: '0'.repeat(36),
      environment: 'production',
      step: { id, operation: 'deploy', component: 'web', effect: 'read' },
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
  await openRollback({ input });
  await run('freeze');
  await Promise.all(['communication.declared', 'identify'].map(run));
  await ask(['target']);
  await Promise.all(['a.deploy', 'b.deploy', 'c.deploy', 'd.deploy'].map(run));
  await Promise.all(['health', 'smoke', 'served'].map(run));
  await ask(['cleanup.data', 'cleanup.evidence', 'cleanup.credentials', 'ownership']);
  await run('stability');
  await ask(['unfreeze']);
  for (const id of ['communication.recovery', 'lift']) await run(id);
  await closeRollback({ outcome: 'rolled-back' });
  return 'done';
}
