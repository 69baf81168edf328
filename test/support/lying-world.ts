/** A world with components on paper beside its real shops: for rollbacks by the dozen, where the platform is not the point. */
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import type { WorkflowHandle } from '@temporalio/client';
import type { RollbackState } from '../../model/state.ts';
import { TASK_QUEUE } from '../../model/task-queue.ts';
import { LYING_WORKER } from './lying-worker.ts';
import { paperYaml, readSheet, servePaper, writeSheet, type Sheet } from './lying-platform.ts';
import { World, type WorldOptions } from './world.ts';

export interface LyingOptions extends WorldOptions {
  /** Components on paper, and further lines of `backout.yaml` for one. Each has v1.0.0 recorded as healthy, and v1.1.0 in place. */
  readonly paper: Readonly<Record<string, readonly string[]>>;
}

/** What a worker's webhook notifier has posted. */
export interface Hooked {
  readonly notice: string;
  readonly workflowId: string;
  readonly text: string;
}

export class LyingWorld {
  readonly world: World;
  private readonly servers: readonly Server[];

  private constructor(world: World, servers: readonly Server[]) {
    this.world = world;
    this.servers = servers;
  }

  /** The configuration may refer to a webhook that is there: `env:INCIDENT_WEBHOOK`. */
  static async create({ paper, yaml = [], env, ...options }: LyingOptions, hooked: Hooked[] = [], secret = 'secret'): Promise<LyingWorld> {
    let world: World | undefined;
    const sheets = await servePaper(() => world?.folder ?? '');
    const hook = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request
        .on('data', (chunk: Buffer) => chunks.push(chunk))
        .on('end', () => {
          hooked.push(JSON.parse(Buffer.concat(chunks).toString('utf8')) as Hooked); // What `notify.ts` posts.
          response.end();
        });
    }).listen(0, '127.0.0.1');
    await once(hook, 'listening');
    const address = hook.address();
    const url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/hook/${secret}`;
    world = await World.create({
      shops: [],
      ...options,
      env: { INCIDENT_WEBHOOK: url, ...env },
      yaml: [
        ...Object.entries(paper).flatMap(([name, more]) => paperYaml(name, sheets.port, more)),
        ...(yaml.some((line) => line.startsWith('channels:')) ? [] : ['channels: { incident: [{ file: ./incidents.log }] }']),
        ...yaml,
      ].toSorted((a, b) => Number(b.startsWith(' ')) - Number(a.startsWith(' '))),
    });
    const lying = new LyingWorld(world, [sheets.server, hook]);
    try {
      await world.worker({}, LYING_WORKER);
      for (const name of Object.keys(paper)) {
        await world.recorded(name, 'v1.0.0', true);
        await world.recorded(name, 'v1.1.0', false);
      }
    } catch (error) {
      const log = await world.workerLog();
      await lying.close();
      throw new Error(`the world could not be made: ${log.split('\n').slice(-5).join('\n')}`, { cause: error });
    }
    return lying;
  }

  async close(): Promise<void> {
    await this.world.close();
    for (const server of this.servers) server.close();
  }

  sheet(component: string): Sheet {
    return readSheet(this.world.folder, component);
  }
  write(component: string, more: Partial<Sheet>): void {
    writeSheet(this.world.folder, component, more);
  }

  async changeConfig(change: (yaml: string) => string): Promise<void> {
    const before = await readFile(this.world.config, 'utf8');
    const after = change(before);
    if (after === before) throw new Error('nothing was changed');
    await writeFile(this.world.config, after);
  }

  /** Back to v1.0.0. */
  on(component: string, more: Record<string, unknown> = {}): Promise<WorkflowHandle> {
    return this.world.start({ components: [component], targets: { [component]: 'v1.0.0' }, ...more });
  }

  /** A start as some other client would make it: these very bytes. */
  async raw(payload: Raw | null, workflowType = 'deployRevert', workflowId = 'deployRevert/production/web'): Promise<WorkflowHandle> {
    const { client, services } = this.world;
    await client.workflowService.startWorkflowExecution({
      namespace: services.namespace,
      workflowId,
      workflowType: { name: workflowType },
      taskQueue: { name: TASK_QUEUE },
      requestId: crypto.randomUUID(),
      identity: 'a stranger',
      ...(payload === null ? {} : { input: { payloads: [payloadOf(payload)] } }),
    });
    return client.workflow.getHandle(workflowId);
  }

  /** A signal of these very bytes. */
  async rawSignal(handle: WorkflowHandle, signalName: string, payloads: readonly Raw[]): Promise<void> {
    const { client, services } = this.world;
    await client.workflowService.signalWorkflowExecution({
      namespace: services.namespace,
      workflowExecution: { workflowId: handle.workflowId },
      signalName,
      requestId: crypto.randomUUID(),
      identity: 'a stranger',
      ...(payloads.length === 0 ? {} : { input: { payloads: payloads.map(payloadOf) } }),
    });
  }

  /** The entries of its record, without the exported history. */
  async recordOf(state: RollbackState): Promise<Record<string, unknown>[]> {
    const entries = (await this.world.store.entriesOf(state.rollbackId)).map((entry) => JSON.parse(entry.body) as Record<string, unknown>); // Our own writer's.
    return entries.filter((entry) => entry['type'] !== 'history');
  }

  /** What its incident channel was told of one rollback. */
  async toldOf(handle: WorkflowHandle): Promise<{ notice: string; text: string; next: string[] }[]> {
    return (await this.world.incidents()).filter((one) => (one as unknown as Hooked).workflowId === handle.workflowId); // The file has the same JSON.
  }

  async effectsOf(component: string): Promise<number> {
    return component in this.world.ports ? (await this.world.ownEffects(component)).length : this.sheet(component).applied.length;
  }
}

export interface Raw {
  readonly encoding?: string;
  readonly data?: string;
}
const payloadOf = ({ encoding, data }: Raw) => ({ metadata: encoding === undefined ? {} : { encoding: Buffer.from(encoding) }, data: Buffer.from(data ?? '') });
export const json = (value: unknown): Raw => ({ encoding: 'json/plain', data: JSON.stringify(value) });

/** Waits until it is so; `expect.poll` does not work in helpers of tests that run side by side. */
export async function eventually(what: string, isSo: () => boolean | Promise<boolean>, waitMs = 20_000): Promise<void> {
  for (const end = Date.now() + waitMs; !(await isSo());) {
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise((soon) => {
      setTimeout(soon, 50);
    });
  }
}
