/**
 * `npm run bench`: ratios beside their own floor, interleaved in one run, medians of at least five rounds; event counts are exact. Absolute
 * times are noise on a shared machine and are shown only for orientation. Nothing here is asserted by a test.
 */
import { execFileSync, fork, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { Client, Connection } from '@temporalio/client';
import proto from '@temporalio/proto';
import { findTemporal } from '../../client/local/find-temporal.ts';
import { freePort } from '../../client/local/ports.ts';
import { startTemporal } from '../../client/local/temporal.ts';
import { TASK_QUEUE } from '../../model/task-queue.ts';
import { PAYLOAD_CONVERTER, workflowBundle } from '../../worker/bundle.ts';
import { World } from '../support/world.ts';
import { measureEvidence } from './evidence.ts';
import { measureTenant } from './tenant.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const ROUNDS = Number(process.env['ROUNDS'] ?? 7);
const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};
const row = (bar: string, what: string, value: string, limit: string, met: boolean): void => {
  say(`${met ? 'met   ' : 'MISSED'}  ${bar.padEnd(3)} ${what.padEnd(58)} ${value.padEnd(26)} bar ${limit}`);
};

async function spine(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'backout-bench-'));
  const { path } = await findTemporal({ progress: say });
  const server = await startTemporal({ path, folder, port: await freePort(), uiPort: await freePort(), headless: true, memory: true });
  const { code } = await bundleWorkflowCode({
    workflowsPath: join(ROOT, 'test/bench/workflows.ts'),
    workflowInterceptorModules: [join(ROOT, 'workflows/interceptors.ts')],
    payloadConverterPath: PAYLOAD_CONVERTER,
    logger: new DefaultLogger('ERROR'),
  });
  const codePath = join(folder, 'bundle.js');
  await writeFile(codePath, code);
  const worker = fork(join(ROOT, 'test/bench/worker.ts'), [server.address, codePath]);
  await new Promise((ready) => worker.once('message', ready));
  const connection = await Connection.connect({ address: server.address });
  const client = new Client({ connection });
  try {
    const ratios = { latency: [] as number[], cpu: [] as number[] };
    await measure(client, worker, 'bare', 'warm', 10);
    await measure(client, worker, 'deployRevert', 'warm', 10);
    for (let round = 0; round < ROUNDS; round += 1) {
      const bare = await measure(client, worker, 'bare', String(round), 20);
      const ours = await measure(client, worker, 'deployRevert', String(round), 20);
      ratios.latency.push(ours.latencyMs / bare.latencyMs);
      ratios.cpu.push(ours.cpuMs / bare.cpuMs);
    }
    row(
      '1',
      'a rollback through the spine, beside the bare workflow: time',
      `${median(ratios.latency).toFixed(2)}x`,
      '<= 1.15x',
      median(ratios.latency) <= 1.15,
    );
    row('1', 'the same: CPU of the worker', `${median(ratios.cpu).toFixed(2)}x`, '<= 1.10x', median(ratios.cpu) <= 1.1);
    await events(client);
    await incident(client, worker);
  } finally {
    worker.disconnect();
    await connection.close();
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

const INPUT = {
  environment: 'production',
  components: ['web'],
  targets: { web: 'v1.0.0' },
  trigger: 'verification',
  cause: 'smoke-failed',
  reason: 'bench',
  by: 'ci',
};

const cpuOf = (worker: ChildProcess): Promise<number> =>
  new Promise((told) => {
    worker.once('message', (message: { cpuMs: number }) => {
      told(message.cpuMs);
    });
    worker.send('cpu');
  });

/** One after the other, each from start to result, with one signal in between. */
async function measure(client: Client, worker: ChildProcess, type: string, round: string, count: number): Promise<{ latencyMs: number; cpuMs: number }> {
  const cpu = await cpuOf(worker);
  const times: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const started = performance.now();
    const handle = await client.workflow.start(type, { workflowId: `${type}/bench/${round}-${index}`, taskQueue: TASK_QUEUE, args: [INPUT] });
    // The bare workflow takes an early signal, the spine refuses one: both are sent when the step waits.
    await handle.query('__temporal_workflow_metadata').catch(() => undefined);
    for (;;) {
      const { historyLength } = await handle.describe();
      if (historyLength >= (type === 'bare' ? 34 : 36)) break;
    }
    await handle.signal('confirm', { step: 'availability', by: 'ana' });
    await handle.result();
    times.push(performance.now() - started);
  }
  return { latencyMs: median(times), cpuMs: ((await cpuOf(worker)) - cpu) / count };
}

async function events(client: Client): Promise<void> {
  const of = async (type: string): Promise<{ count: number; stepBytes: number }> => {
    const { events: all } = await client.workflow.getHandle(`${type}/bench/0-0`).fetchHistory();
    const steps = new Set(
      (all ?? []).flatMap((event) => (event.activityTaskScheduledEventAttributes?.activityType?.name === 'runStep' ? [String(event.eventId)] : [])),
    );
    const own = (all ?? []).filter(
      (event) => steps.has(String(event.eventId)) || steps.has(String(event.activityTaskCompletedEventAttributes?.scheduledEventId ?? '')),
    );
    const stepBytes = own.reduce((sum, event) => sum + proto.temporal.api.history.v1.HistoryEvent.encode(event).finish().length, 0) / steps.size;
    return { count: all?.length ?? 0, stepBytes };
  };
  const [ours, bare] = [await of('deployRevert'), await of('bare')];
  // 4 automatic steps of 6, one human step of 10, fixed 20.
  row('2', 'events of a deployRevert of one component', `${ours.count} (bare ${bare.count})`, '<= 4*6 + 10 + 20 = 54', ours.count <= 54);
  const ratio = ours.stepBytes / bare.stepBytes;
  row('2', 'history bytes of a step, beside the bare one', `${ratio.toFixed(2)}x (${ours.stepBytes.toFixed(0)} B)`, '<= 1.2x', ratio <= 1.2);
}

const ROWS = ['cleanup.data', 'cleanup.evidence', 'cleanup.credentials'];
const saidTo = (step: string): Record<string, unknown> => ({
  step,
  by: 'ana',
  ...(step === 'target' ? { plan: 'sha256:0' } : {}),
  ...(ROWS.includes(step) ? { choice: 'not-applicable', note: 'untouched' } : {}),
  ...(step === 'ownership' ? { data: { nextCycleOwner: 'ana', reviewOwner: 'ana' } } : {}),
});

/** An L1 over four components beside the same activities and signals with nothing around them. */
async function incident(client: Client, worker: ChildProcess): Promise<void> {
  const input = { ...INPUT, components: ['a', 'b', 'c', 'd'], targets: {}, cause: 'reliability-regression', incident: 'INC-1', trigger: 'operator', by: 'ana' };
  const once = async (type: string, round: number): Promise<{ ms: number; cpuMs: number }> => {
    const cpu = await cpuOf(worker);
    const started = performance.now();
    const handle = await client.workflow.start(type, { workflowId: `${type}/bench/${round}`, taskQueue: TASK_QUEUE, args: [input] });
    for (const steps of [['target'], [...ROWS, 'ownership'], ['unfreeze']]) {
      for (;;) {
        const waiting = await handle.query<readonly { step: string }[]>('waiting').catch(() => []);
        if (steps.every((step) => waiting.some((one) => one.step === step))) break;
      }
      for (const step of steps) await handle.signal('confirm', saidTo(step));
    }
    await handle.result();
    return { ms: performance.now() - started, cpuMs: (await cpuOf(worker)) - cpu };
  };
  const ratios = { time: [] as number[], cpu: [] as number[] };
  for (let round = -3; round < ROUNDS * 3; round += 1) {
    const [bare, ours] = [await once('bareIncident', round), await once('l1Rollback', round)];
    if (round >= 0) ratios.time.push(ours.ms / bare.ms);
    if (round >= 0) ratios.cpu.push(ours.cpuMs / bare.cpuMs);
  }
  row('1', 'an L1 over four components, beside the bare workflow: time', `${median(ratios.time).toFixed(2)}x`, '<= 1.15x', median(ratios.time) <= 1.15);
  row('1', 'the same: CPU of the worker', `${median(ratios.cpu).toFixed(2)}x`, '<= 1.10x', median(ratios.cpu) <= 1.1);
  const { events: all = [] } = await client.workflow.getHandle('l1Rollback/bench/0').fetchHistory();
  const bytes = (all ?? []).reduce((sum, event) => sum + proto.temporal.api.history.v1.HistoryEvent.encode(event).finish().length, 0);
  row('2', 'events of an L1 of 19 steps over four components', String(all?.length ?? 0), '< 160', (all?.length ?? 0) < 160);
  row('2', 'bytes of its history', `${(bytes / 1000).toFixed(1)} kB`, '< 40 kB', bytes < 40_000);
}

function help(): void {
  const time = (args: readonly string[]): number => {
    const started = performance.now();
    execFileSync(process.execPath, [...args], { stdio: 'ignore' });
    return performance.now() - started;
  };
  const command = [join(ROOT, 'client/backout.mjs'), '--help'];
  time(command);
  const ratios = Array.from({ length: ROUNDS * 3 }, () => time(command) / time(['-e', '0']));
  row('8', 'backout --help, beside node -e 0', `${median(ratios).toFixed(2)}x`, '<= 1.15x', median(ratios) <= 1.15);
}

async function workerStart(): Promise<void> {
  await workflowBundle();
  const world = await World.create();
  try {
    const ratios: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const time = async (env: NodeJS.ProcessEnv, program?: string): Promise<number> => {
        const started = performance.now();
        const worker = await world.worker(env, program);
        const took = performance.now() - started;
        await world.end(worker);
        return took;
      };
      const prebuilt = await time({});
      ratios.push(prebuilt / (await time({}, 'test/bench/bundling-worker.ts')));
    }
    row('9', 'worker to polling from the prebuilt bundle, beside bundling', `${median(ratios).toFixed(2)}x`, '<= 0.5x', median(ratios) <= 0.5);
    await recovery(world);
  } finally {
    await world.close();
  }
}

/** From the SIGKILL of the worker in the middle of a step to the end of that step, another worker standing by. */
async function recovery(world: World): Promise<void> {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    await world.badRelease();
    const victim = await world.worker({ BACKOUT_STALL_MS: '60000' }, 'test/bench/stalling-worker.ts');
    const handle = await world.start();
    await world.until(handle, 'deploying', (state) => state.steps.some((step) => step.id === 'web.deploy' && step.state === 'running'));
    await world.worker();
    await world.end(victim);
    const killed = performance.now();
    await world.waiting(handle);
    times.push((performance.now() - killed) / 1000);
    await world.confirm(handle);
    await world.closed(handle);
    await world.endWorkers();
  }
  row(
    '11',
    'SIGKILL of the worker to the rollback verified',
    `${median(times).toFixed(1)} s (${times.map((one) => one.toFixed(1)).join(' ')})`,
    'median <= 5 s',
    median(times) <= 5,
  );
}

async function tenant(): Promise<void> {
  const { firstQuestionMs, lookMs, runs, outcome } = await measureTenant(500);
  row(
    '5',
    'a tenant of 500 workflows and paths: start to first question',
    `${(firstQuestionMs / 1000).toFixed(1)} s (one listing ${(lookMs / 1000).toFixed(1)} s)`,
    '< 3 s',
    firstQuestionMs < 3_000,
  );
  const most = Math.max(...runs.map((run) => run.events));
  row('5', `the same: most events of its ${runs.length} runs, ended ${outcome ?? 'not'}`, String(most), '< 5,000', most < 5_000);
}

async function evidence(): Promise<void> {
  const { entries, survey, bare, rssMb } = await measureEvidence(1_000_000, 5);
  const perSecond = median(survey);
  row(
    '6',
    `a chain of ${entries} entries verified: entries a second`,
    `${Math.round(perSecond)} (a bare SHA-256 loop ${Math.round(median(bare))}, ${(median(bare) / perSecond).toFixed(1)}x; ${Math.round(rssMb)} MB)`,
    '>= 100,000',
    perSecond >= 100_000,
  );
}

const wanted = new Set(process.argv.slice(2));
const asked = (name: string): boolean => wanted.size === 0 || wanted.has(name);
if (asked('spine')) await spine();
if (asked('help')) help();
if (asked('worker')) await workerStart();
if (asked('tenant')) await tenant();
if (asked('evidence')) await evidence();
process.exit(0);
