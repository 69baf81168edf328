/** A worker whose activities do nothing, so that only the spine is measured; it tells its CPU time when asked. */
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { incidentSteps } from '../../model/incident.ts';
import { deployRevertSteps, type Plan } from '../../model/plan.ts';
import { TASK_QUEUE } from '../../model/task-queue.ts';
import { PAYLOAD_CONVERTER } from '../../worker/bundle.ts';

const [, , address = '', codePath = ''] = process.argv;
const record = { entries: 1, head: `sha256:${'0'.repeat(64)}`, behind: false };
const targets = [{ component: 'web', from: 'v1.1.0', to: 'v1.0.0', config: 'sha256:0' }];
const plan: Plan = {
  kind: 'deployRevert',
  environment: 'production',
  tenant: null,
  incident: null,
  targets,
  steps: deployRevertSteps(targets, false),
  targetSeconds: 300,
};
const names = ['a', 'b', 'c', 'd'];
const four = names.map((component) => ({ component, from: 'v1.1.0', to: 'v1.0.0', config: 'sha256:0' }));
const incident: Plan = {
  kind: 'l1Rollback',
  environment: 'production',
  tenant: null,
  incident: 'INC-1',
  targets: four,
  steps: incidentSteps({
    kind: 'l1Rollback',
    cause: 'reliability-regression',
    targets: four,
    waves: [names],
    configured: new Set(),
    parity: false,
    gates: [],
    carriers: [],
    review: false,
    fourEyes: () => false,
  }),
  targetSeconds: 900,
};
const people = { ana: { roles: ['incident-commander', 'data-evidence-lead', 'security-lead'] } };
const settings = { people: null, remindAfterSeconds: 300, handOverAfterSeconds: 1800, handOverTo: 'on-call-lead' };

Runtime.install({ logger: new DefaultLogger('ERROR') });
const worker = await Worker.create({
  connection: await NativeConnection.connect({ address }),
  taskQueue: TASK_QUEUE,
  workflowBundle: { codePath },
  dataConverter: { payloadConverterPath: PAYLOAD_CONVERTER },
  activities: {
    openRollback: ({ kind }: { kind?: string }) =>
      kind === 'l1Rollback'
        ? Promise.resolve({ plan: incident, planHash: 'sha256:0', settings: { ...settings, people }, atTarget: false, carried: null, warnings: [], record })
        : Promise.resolve({ plan, planHash: 'sha256:0', settings, atTarget: false, carried: null, warnings: [], record }),
    runStep: () =>
      Promise.resolve({
        state: 'done',
        attempts: 1,
        receipt: { before: { version: 'v1.1.0' }, after: { version: 'v1.0.0' } },
        failure: null,
        remains: [],
        warnings: [],
        entry: null,
        record,
      }),
    closeRollback: () => Promise.resolve({ record, warnings: [], drifted: [] }),
    notify: () => Promise.resolve({ record, entry: null, warnings: [] }),
  },
});
process.on('message', () => {
  const { user, system } = process.cpuUsage();
  process.send?.({ cpuMs: (user + system) / 1000 });
});
process.on('disconnect', () => {
  process.exit(0);
});
process.send?.({ ready: true });
await worker.run();
