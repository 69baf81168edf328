/** Tenants in a world: an n8n with their live workflows, a template and a demo instance beside them, and their Canonical Objects. */
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { WorkflowHandle } from '@temporalio/client';
import { callWebhook, makeWorkflow, type MadeWorkflow, type N8nHouse } from '../../client/demo/house.ts';
import { TASK_QUEUE } from '../../model/task-queue.ts';
import type { Artifact, LogEntry, ProvisioningRequest } from '../../model/tenant.ts';
import type { RollbackState } from '../../model/state.ts';
import { connect, type Database } from '../../store/database.ts';
import { logOf, recordRequest, requestsOf } from '../../store/provisioning.ts';
import { startFakeN8n, type FakeN8n } from '../fakes/n8n-process.ts';
import { World, type WorldOptions } from './world.ts';

export const PEOPLE = ['people:', '  ana: { roles: [operator] }', '  ben: { roles: [operator] }', '  eve: { roles: [auditor] }'];

export interface TenantOptions {
  /** Lines under `platforms:`, indented by eight. */
  readonly platforms?: readonly string[];
  readonly yaml?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly worker?: boolean | string;
  readonly world?: WorldOptions;
}

export class Tenants {
  readonly world: World;
  readonly n8n: FakeN8n;
  readonly house: N8nHouse;
  readonly database: Database;
  private constructor(world: World, n8n: FakeN8n) {
    this.world = world;
    this.n8n = n8n;
    this.house = { url: n8n.url, ownerKey: 'owner-key' };
    this.database = connect(world.services.databaseUrl, {});
  }

  static async create({ platforms = [], yaml = PEOPLE, env = {}, worker = true, world: options = {} }: TenantOptions = {}): Promise<Tenants> {
    const n8n = await startFakeN8n({ routeDelayMs: 50 });
    const world = await World.create({ ...options, shops: [], env: { N8N_API_KEY: 'fake-key', ...env } });
    await writeFile(
      world.config,
      [
        'environments:',
        '  production:',
        '    tenants:',
        '      platforms:',
        `        n8n: { platform: n8n, options: { url: "${n8n.url}", apiKey: "env:N8N_API_KEY" } }`,
        ...platforms,
        'channels: { incident: [{ file: ./incidents.log }] }',
        'watch: { minutes: 0 }',
        ...yaml,
        '',
      ].join('\n'),
    );
    const tenants = new Tenants(world, n8n);
    if (worker !== false) await world.worker({}, worker === true ? 'worker/main.ts' : worker);
    return tenants;
  }

  /** A live workflow of the tenant, marked as such. */
  workflow(tenant: string, name: string, path: string, tags: readonly string[] = [`tenant:${tenant}`]): Promise<MadeWorkflow> {
    return makeWorkflow(this.house, name, path, tags);
  }

  async provisioned(
    tenant: string,
    artifacts: readonly Artifact[],
    more: { requestId?: string; status?: 'COMPLETED' | 'FAILED'; version?: string } = {},
  ): Promise<string> {
    const requestId = more.requestId ?? `req-${randomUUID().slice(0, 8)}`;
    await recordRequest(this.database, {
      environment: 'production',
      requestId,
      tenant,
      version: more.version ?? null,
      status: more.status ?? 'COMPLETED',
      artifacts,
      by: 'upa',
    });
    return requestId;
  }

  /** A tenant with `count` live workflows, each with its webhook path, all listed. */
  async tenant(name: string, count = 1, more: readonly Artifact[] = []): Promise<{ requestId: string; workflows: MadeWorkflow[] }> {
    const workflows: MadeWorkflow[] = [];
    for (let number = 1; number <= count; number += 1) workflows.push(await this.workflow(name, `${name} intake ${number}`, `${name}/intake-${number}`));
    const requestId = await this.provisioned(name, [...workflows.flatMap(artifactsOf), ...more]);
    return { requestId, workflows };
  }

  requests(tenant: string): Promise<ProvisioningRequest[]> {
    return requestsOf(this.database, 'production', tenant);
  }
  log(tenant: string): Promise<LogEntry[]> {
    return logOf(this.database, 'production', tenant);
  }

  answers(path: string): Promise<number> {
    return callWebhook(this.house, path);
  }

  start(tenant: string, more: Record<string, unknown> = {}): Promise<WorkflowHandle> {
    return this.world.client.workflow.start('upaDeprovision', {
      workflowId: `upaDeprovision/production/${tenant}`,
      taskQueue: TASK_QUEUE,
      args: [{ environment: 'production', tenant, trigger: 'operator', cause: 'client-offboarded', reason: 'the contract ended', by: 'ana', ...more }],
    });
  }

  async say(handle: WorkflowHandle, name: string, message: Record<string, unknown>): Promise<void> {
    await handle.signal(name, { by: 'ana', ...message });
  }

  /** Confirms what waits, as it is asked. */
  async confirm(handle: WorkflowHandle, step: string, more: Record<string, unknown> = {}): Promise<void> {
    await this.asked(handle, step);
    await this.say(handle, 'confirm', { step, ...more });
  }

  asked(handle: WorkflowHandle, step: string): Promise<RollbackState> {
    return this.world.until(handle, `asked for ${step}`, (state) => state.waiting.some((one) => one.step === step));
  }

  async inventory(handle: WorkflowHandle): Promise<RollbackState> {
    const state = await this.asked(handle, 'inventory');
    await this.say(handle, 'confirm', { step: 'inventory', plan: state.planHash });
    return state;
  }

  async close(): Promise<void> {
    await this.database.close();
    await this.world.close();
    await this.n8n.stop();
  }
}

export const artifactsOf = ({ id, name, path }: MadeWorkflow): Artifact[] => [
  { type: 'n8n-workflow', id, name },
  { type: 'webhook', id: path },
];

export const stepOf = (state: RollbackState, id: string): RollbackState['steps'][number] => {
  const found = state.steps.find((one) => one.id === id);
  if (!found) throw new Error(`there is no step ${id} among ${state.steps.map((one) => one.id).join(', ')}`);
  return found;
};
