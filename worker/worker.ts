/** Composes configuration, adapters, store and activities, polls the task queue, and sweeps. */
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { ConfigError } from '../model/config-file.ts';
import { TASK_QUEUE } from '../model/task-queue.ts';
import { createActivities } from '../activities/index.ts';
import type { Dependencies } from '../activities/dependencies.ts';
import * as adapters from '../activities/adapters/registry.ts';
import { allComponents } from '../activities/components.ts';
import { openStore } from '../store/postgres.ts';
import { PAYLOAD_CONVERTER, workflowBundle } from './bundle.ts';
import { checkpointer } from './checkpoints.ts';
import { configPath, loadConfig } from './config.ts';
import { isOpen, peer, predecessor } from './past.ts';
import { startWatch } from './watches.ts';
import { sweep } from './sweep.ts';

const say = (message: string): void => {
  process.stderr.write(`${new Date().toISOString()} ${message}\n`);
};
const SWEEP_MS = Number(process.env['BACKOUT_SWEEP_MS'] ?? 15_000);

/** `arm` may wrap what the activities get: the crash tests kill the process between any two of their calls. */
export async function runWorker(arm: (deps: Dependencies) => Dependencies = (deps) => deps): Promise<void> {
  const path = configPath();
  const loaded = await loadConfig(path);
  for (const { environment, name, problem } of allComponents(loaded, adapters)) {
    // One component that cannot be used must not keep the others from being rolled back; a start of it is refused.
    if (problem) say(`${environment}/${name} cannot be rolled back: ${problem.message}`);
  }
  const databaseUrl = process.env['DATABASE_URL'];
  if (databaseUrl === undefined || databaseUrl === '') throw new Error('DATABASE_URL is not set; backout dev sets it, with a Postgres of its own');
  Runtime.install({ logger: new DefaultLogger('WARN'), shutdownSignals: ['SIGINT', 'SIGTERM'] });
  const store = openStore(databaseUrl);
  const { connectionOptions, namespace = 'default' } = loadClientConnectConfig();
  const bundle = await workflowBundle();
  const connection = await NativeConnection.connect(connectionOptions);
  const client = new Client({ connection, namespace, identity: `backout-worker@${process.pid}` });
  const checkpoint = checkpointer(loaded.folder, say);
  const config = () => loadConfig(path);
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort());
  // Started by `backout dev`, and left alone by it: the next one starts its own.
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
  const worker = await Worker.create({
    connection,
    namespace,
    taskQueue: TASK_QUEUE,
    identity: `backout-worker@${process.pid}`,
    workflowBundle: { codePath: bundle.codePath },
    dataConverter: { payloadConverterPath: PAYLOAD_CONVERTER },
    activities: createActivities(
      arm({
        config,
        store,
        adapters,
        checkpoint,
        isOpen: (workflowId) => isOpen(client, workflowId),
        startWatch: (work) => startWatch(client, work),
        stopping: stopping.signal,
        peer: (workflowId) => peer(client, workflowId),
        predecessor: (...of) => predecessor(client, ...of),
      }),
    ),
    // A dead worker's sticky queue and heartbeats are what a rollback waits for after a crash.
    stickyQueueScheduleToStartTimeout: '1s',
    maxHeartbeatThrottleInterval: '500ms',
    maxCachedWorkflows: 500,
    maxConcurrentActivityTaskExecutions: 50,
    // A worker that is suspended keeps its polls open at the server for a minute, and each of them swallows a task: few polls, few tasks lost.
    maxConcurrentActivityTaskPolls: 2,
    maxConcurrentWorkflowTaskPolls: 4,
    shutdownGraceTime: '20s',
    shutdownForceTime: '60s',
  });
  const sweeping = sweepForever({ client, store, config, checkpoint, adapters }, stopping.signal);
  say(`worker ready: task queue ${TASK_QUEUE}, namespace ${namespace}, build ${bundle.buildId}`);
  process.send?.({ ready: true });
  try {
    await worker.run();
  } finally {
    stopping.abort();
    await sweeping;
    await connection.close();
    await store.close();
  }
}

/** The schema first, then round after round; what is away now is there in a later one. */
async function sweepForever(deps: Parameters<typeof sweep>[0], signal: AbortSignal): Promise<void> {
  const memory = { exported: new Set<string>(), drifting: new Map<string, string>() };
  let migrated = false;
  let trouble = '';
  while (!signal.aborted) {
    try {
      if (!migrated) await deps.store.migrate();
      migrated = true;
      await sweep(deps, memory);
      trouble = '';
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (message !== trouble) say(`the sweep will try again: ${message}`);
      trouble = message;
    }
    await delay(migrated ? SWEEP_MS : 1_000, undefined, { signal }).catch(() => undefined);
  }
}

/** Runs the process to its end, with an exit code that says what kind of end it was. */
export async function runProcess(arm?: (deps: Dependencies) => Dependencies): Promise<never> {
  try {
    await runWorker(arm);
    // The SDK's runtime keeps handles open after a shutdown.
    return process.exit(0);
  } catch (error) {
    say(error instanceof ConfigError ? `configuration:\n${error.message}` : `the worker cannot run: ${error instanceof Error ? error.message : String(error)}`);
    return process.exit(error instanceof ConfigError ? 2 : 6);
  }
}
