/** Tenants in a world: an n8n with their live workflows, a template and a demo instance beside them, and their Canonical Objects. */
import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import type { WorkflowHandle } from '@temporalio/client';
import { expect } from 'vitest';
import { callWebhook, makeWorkflow, type MadeWorkflow, type N8nHouse } from '../../client/demo/house.ts';
import { TASK_QUEUE } from '../../model/task-queue.ts';
import type { Artifact, LogEntry, ProvisioningRequest } from '../../model/tenant.ts';
import type { RollbackState, StepState, Waiting } from '../../model/state.ts';
import type { MessageReply } from '../../workflows/messages.ts';
import { connect, type Database } from '../../store/database.ts';
import { logOf, recordRequest, requestsOf } from '../../store/provisioning.ts';
import { startFakeN8n, type FakeN8n } from '../fakes/n8n-process.ts';
import { eventually } from './lying-world.ts';
import { World, type WorldOptions } from './world.ts';

export const PEOPLE = ['people:', '  ana: { roles: [operator] }', '  ben: { roles: [operator] }', '  eve: { roles: [auditor] }'];

export interface TenantOptions {
  /** Lines under `platforms:`, indented by eight. */
  readonly platforms?: readonly string[];
  readonly yaml?: readonly string[];
  /** Lines under `environments:`, indented by two, beside production. */
  readonly environments?: readonly string[];
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

  static async create({
    platforms = [],
    yaml = PEOPLE,
    environments = [],
    env = {},
    worker = true,
    world: options = {},
  }: TenantOptions = {}): Promise<Tenants> {
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
        ...environments,
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

  /** Before a worker reads it. */
  async replaceInConfig(from: string, to: string): Promise<void> {
    await writeFile(this.world.config, (await readFile(this.world.config, 'utf8')).replaceAll(from, to));
  }

  /** A live workflow of the tenant, marked as such. */
  workflow(tenant: string, name: string, path: string, tags: readonly string[] = [`tenant:${tenant}`]): Promise<MadeWorkflow> {
    return makeWorkflow(this.house, name, path, tags);
  }

  async provisioned(
    tenant: string,
    artifacts: readonly Artifact[],
    more: { requestId?: string; status?: 'COMPLETED' | 'FAILED'; version?: string; environment?: string } = {},
  ): Promise<string> {
    const requestId = more.requestId ?? `req-${randomUUID().slice(0, 8)}`;
    await recordRequest(this.database, {
      environment: more.environment ?? 'production',
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

  requests(tenant: string, environment = 'production'): Promise<ProvisioningRequest[]> {
    return requestsOf(this.database, environment, tenant);
  }
  log(tenant: string, environment = 'production'): Promise<LogEntry[]> {
    return logOf(this.database, environment, tenant);
  }

  /** The one request of this tenant, or the one that is named. */
  async requestOf(tenant: string, environment?: string, requestId?: string): Promise<ProvisioningRequest> {
    const found = (await this.requests(tenant, environment)).find((one) => one.requestId === (requestId ?? one.requestId));
    if (!found) throw new Error(`no request of ${tenant}`);
    return found;
  }
  async events(tenant: string, environment?: string): Promise<string[]> {
    return (await this.log(tenant, environment)).map((one) => one.event);
  }

  answers(path: string): Promise<number> {
    return callWebhook(this.house, path);
  }

  start(tenant: string, more: { readonly environment?: string; readonly [field: string]: unknown } = {}): Promise<WorkflowHandle> {
    return this.world.client.workflow.start('upaDeprovision', {
      workflowId: `upaDeprovision/${more.environment ?? 'production'}/${tenant}`,
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

  /** The same, answered. */
  tell(handle: WorkflowHandle, name: string, message: Record<string, unknown>): Promise<MessageReply> {
    return handle.executeUpdate<MessageReply, [unknown]>(name, { args: [{ by: 'ana', ...message }] });
  }

  /** The rule that says no; undefined where nothing does. */
  async ruleOf(handle: WorkflowHandle, name: string, message: Record<string, unknown>): Promise<string | undefined> {
    return (await this.tell(handle, name, message)).refusal?.rule;
  }

  decide(handle: WorkflowHandle, action: string, step?: string, more: Record<string, unknown> = {}): Promise<MessageReply> {
    return this.tell(handle, 'decide', { action, reason: 'it was looked at', ...(step === undefined ? {} : { step }), ...more });
  }

  /** From the start to the first question about an artifact. */
  async begun(tenant: string, more: Parameters<Tenants['start']>[1] = {}): Promise<WorkflowHandle> {
    const handle = await this.start(tenant, more);
    await this.inventory(handle);
    await this.passed(handle, 'begin');
    return handle;
  }

  /** A step has passed, and nothing is under way beside it. */
  passed(handle: WorkflowHandle, step: string): Promise<RollbackState> {
    return this.inState(handle, step, ['done', 'already', 'confirmed', 'skipped']);
  }
  inState(handle: WorkflowHandle, step: string, states: readonly StepState[]): Promise<RollbackState> {
    return this.world.until(handle, `${step} ${states.join(' or ')}`, (state) => state.steps.some((one) => one.id === step && states.includes(one.state)));
  }

  /** Says yes to whatever is asked, until it stops or ends; `answers` for some of the steps, null for those that are left waiting. */
  async finish(handle: WorkflowHandle, answers: Readonly<Record<string, Record<string, unknown> | null>> = {}): Promise<RollbackState> {
    const said = new Set<string>();
    const key = ({ step, since }: Waiting): string => `${step} ${since}`;
    const isOver = ({ state }: RollbackState): boolean => state === 'closed' || state === 'stopped';
    const isNew = (one: Waiting): boolean => !said.has(key(one)) && answers[one.step] !== null;
    for (;;) {
      const state = await this.world.until(
        handle,
        'asks, stops or ends',
        (one) => isOver(one) || one.waiting.some(isNew) || (one.state === 'waiting' && one.waiting.every(({ step }) => answers[step] === null)),
      );
      const open = state.waiting.filter(isNew);
      if (isOver(state) || open.length === 0) return state;
      for (const one of open) {
        said.add(key(one));
        const choice = one.step.startsWith('workflow.') ? { choice: 'delete' } : {};
        const plan = one.step === 'inventory' ? { plan: state.planHash } : {};
        await this.say(handle, 'confirm', { step: one.step, note: 'I have seen to it', ...choice, ...plan, ...answers[one.step] });
      }
    }
  }

  /** The request is FAILED, and the error_log has so many entries by now. */
  async failed(handle: WorkflowHandle, tenant: string, entries: number, environment?: string): Promise<RollbackState> {
    await eventually(`${entries} entries in the error_log of ${tenant}`, async () => (await this.log(tenant, environment)).length >= entries);
    return this.world.until(handle, 'FAILED', ({ state, deprovision }) => state === 'stopped' && deprovision?.status === 'FAILED');
  }

  /** What somebody does in n8n himself. */
  async owner<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await fetch(`${this.n8n.url}/api/v1${path}`, {
      method,
      headers: { 'X-N8N-API-KEY': this.house.ownerKey, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return JSON.parse(text) as T; // The public API of n8n.
  }
  /** With these tags, which are known, and no others. */
  async retagged({ id }: MadeWorkflow, ...tags: readonly string[]): Promise<void> {
    const { data } = await this.owner<{ data: { id: string; name: string }[] }>('GET', '/tags?limit=250');
    await this.owner(
      'PUT',
      `/workflows/${id}/tags`,
      data.filter(({ name }) => tags.includes(name)).map((tag) => ({ id: tag.id })),
    );
  }
  async deletedByHand({ id }: MadeWorkflow): Promise<void> {
    await this.owner('POST', `/workflows/${id}/unpublish`);
    // It is unpublished a moment later than it says so.
    await eventually(`${id} is deleted`, () =>
      this.owner('DELETE', `/workflows/${id}`).then(
        () => true,
        () => false,
      ),
    );
  }

  /** What Backout's key has done to these workflows, in order. */
  async effectsOn(...workflows: readonly MadeWorkflow[]): Promise<string[]> {
    const names = new Map(workflows.map(({ id }, index) => [id, index + 1]));
    return (await this.n8n.effects()).flatMap(({ event, workflowId }) => (names.has(workflowId) ? [`${event} ${names.get(workflowId)}`] : []));
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

/** The steps that are about them. */
export const workflowStep = ({ id }: MadeWorkflow): string => `workflow.${id}`;
export const webhookStep = ({ path }: MadeWorkflow): string => `webhook.${path}`;

export const stepOf = (state: RollbackState, id: string): RollbackState['steps'][number] => {
  const found = state.steps.find((one) => one.id === id);
  if (!found) throw new Error(`there is no step ${id} among ${state.steps.map((one) => one.id).join(', ')}`);
  return found;
};

/** Nothing was ever begun. */
export async function expectUntouched(house: Tenants, tenant: string, paths: readonly string[]): Promise<void> {
  expect(await house.requestOf(tenant)).toMatchObject({ status: 'COMPLETED', rollbackId: null, config: { status: 'active', removed: [], rollback: null } });
  expect(await house.log(tenant)).toEqual([]);
  for (const path of paths) expect(await house.answers(path), path).toBe(200);
}

export async function expectRolledBack(house: Tenants, tenant: string, state: RollbackState, paths: readonly string[], environment?: string): Promise<void> {
  expect(state, state.stopped ?? '').toMatchObject({ state: 'closed', outcome: 'rolled-back', deprovision: { status: 'ROLLED_BACK' } });
  const config = { status: 'deprovisioned', rollback: { rollbackId: state.rollbackId } };
  expect(await house.requestOf(tenant, environment)).toMatchObject({ status: 'ROLLED_BACK', config });
  for (const path of paths) expect(await house.answers(path), path).toBe(404);
}
