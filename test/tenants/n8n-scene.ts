/**
 * One scene for the fake n8n and for a real one: a tenant that leaves, a tenant with a name like its own, templates and demo instances, one unmarked. It is set up
 * by n8n's public API with the owner's key, and looked at with it, never with Backout's.
 */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { n8n as platform } from '../../activities/tenants/n8n.ts';
import type { N8nOptions } from '../../activities/tenants/n8n-options.ts';
import type { ArtifactCall } from '../../activities/tenants/platform.ts';
import type { Artifact } from '../../model/tenant.ts';
import type { Fixture } from './contract.ts';

export interface SceneNode {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly typeVersion: number;
  readonly position: readonly number[];
  readonly webhookId: string;
  readonly parameters: Readonly<Record<string, unknown>>;
}

export const node = (type: string, typeVersion: number, parameters: SceneNode['parameters'], webhookId: string = randomUUID()): SceneNode => ({
  id: randomUUID(),
  name: type.split('.').at(-1) ?? type,
  type,
  typeVersion,
  position: [0, 0],
  webhookId,
  parameters,
});
export const webhook = (path: string, httpMethod: string | readonly string[] = 'POST', webhookId?: string): SceneNode =>
  node(
    'n8n-nodes-base.webhook',
    2,
    { path, httpMethod, responseMode: 'onReceived', options: {}, ...(typeof httpMethod === 'string' ? {} : { multipleMethods: true }) },
    webhookId,
  );

interface Seen {
  readonly id: string;
  readonly name: string;
  readonly active: boolean;
  readonly tags: readonly { readonly id: string; readonly name: string }[];
}

interface Making {
  readonly tags?: readonly string[];
  readonly nodes?: readonly SceneNode[];
  readonly published?: boolean;
}

/** Somebody who may do everything in n8n. */
export class Owner {
  readonly url: string;
  readonly #key: string;

  constructor(url: string, key: string) {
    this.url = url;
    this.#key = key;
  }

  async api<T = unknown>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await fetch(`${this.url}/api/v1${path}`, {
      method,
      headers: { 'x-n8n-api-key': this.#key, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text.slice(0, 300)}`);
    const answer: T = JSON.parse(text);
    return answer;
  }

  async all<T>(path: string): Promise<T[]> {
    const found: T[] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const page: { data: T[]; nextCursor: string | null } = await this.api('GET', `${path}?limit=250${cursor === '' ? '' : `&cursor=${cursor}`}`);
      found.push(...page.data);
      cursor = page.nextCursor;
    }
    return found;
  }

  workflows(): Promise<Seen[]> {
    return this.all('/workflows');
  }

  async make(name: string, { tags = [], nodes = [], published = false }: Making = {}): Promise<string> {
    const { id } = await this.api<Seen>('POST', '/workflows', { name, nodes, connections: {}, settings: { executionOrder: 'v1' } });
    if (tags.length > 0) await this.tag(id, tags);
    if (published) await this.publish(id);
    return id;
  }

  async tag(id: string, names: readonly string[]): Promise<void> {
    const known = await this.all<{ id: string; name: string }>('/tags');
    const ids: { id: string }[] = [];
    for (const name of names) ids.push({ id: known.find((one) => one.name === name)?.id ?? (await this.api<{ id: string }>('POST', '/tags', { name })).id });
    await this.api('PUT', `/workflows/${id}/tags`, ids);
  }

  async publish(id: string): Promise<void> {
    await this.api('POST', `/workflows/${id}/publish`);
  }

  async unpublish(id: string): Promise<void> {
    await this.api('POST', `/workflows/${id}/unpublish`);
  }

  /** A new draft; what is live stays. */
  async draft(id: string, name: string, nodes: readonly SceneNode[]): Promise<void> {
    await this.api('PUT', `/workflows/${id}?publishIfActive=false`, { name, nodes, connections: {}, settings: { executionOrder: 'v1' } });
  }

  async remove(id: string): Promise<void> {
    for (;;) {
      const response = await fetch(`${this.url}/api/v1/workflows/${id}`, { method: 'DELETE', headers: { 'x-n8n-api-key': this.#key } });
      const text = await response.text();
      if (response.ok || response.status === 404) return;
      if (response.status !== 409) throw new Error(`DELETE ${id}: ${response.status} ${text.slice(0, 300)}`);
      // Published, or still being unpublished.
      if (/Unpublish it/.test(text)) await this.unpublish(id);
      else await sleep(50);
    }
  }

  async clear(): Promise<void> {
    await Promise.all((await this.workflows()).map((one) => this.remove(one.id)));
  }

  executions(): Promise<{ workflowId: string; status: string }[]> {
    return this.all('/executions');
  }

  /** Calls it as a client of the tenant does, which runs the flow where there is one. */
  async call(path: string, method = 'POST'): Promise<number> {
    const response = await fetch(`${this.url}/webhook/${path}`, { method });
    await response.text();
    return response.status;
  }

  /** Waits for routes to come, or to go. */
  async routes(paths: readonly string[], wanted: 'answer' | 'gone'): Promise<void> {
    for (const path of paths)
      for (let isThere: boolean | null = null; isThere !== (wanted === 'answer');) {
        const { headers } = await fetch(`${this.url}/webhook/${path}`, { method: 'OPTIONS', headers: { origin: 'https://owner.invalid' } });
        isThere = (headers.get('access-control-allow-methods') ?? '').includes(',');
        if (isThere !== (wanted === 'answer')) await sleep(25);
      }
  }
}

export interface Access {
  readonly owner: Owner;
  /** Where Backout asks; the webhooks are at the owner's address. */
  readonly url: string;
  readonly apiKey: string;
  readonly effects: () => Promise<number>;
  readonly loseAnswer: (writes: number | null) => Promise<void>;
  readonly stall: () => Promise<void>;
  /** What was made to go wrong no longer does. */
  readonly calm: () => Promise<void>;
}

export type Ids = Readonly<
  Record<'intake' | 'reminder' | 'lookalike' | 'cased' | 'both' | 'unmarked' | 'template' | 'demo' | 'templateById' | 'demoById', string>
>;
export interface Scene extends Fixture<N8nOptions> {
  readonly owner: Owner;
  readonly ids: Ids;
  readonly folder: string;
}

export const TENANT = 'acme';
export const OPERATION = '11111111-2222-4333-8444-555555555555';
const mine = [`tenant:${TENANT}`];

const makings: Readonly<Record<keyof Ids, { readonly name: string } & Making>> = {
  intake: { name: 'Acme intake', tags: mine, nodes: [webhook('acme-intake')], published: true },
  reminder: { name: 'Acme reminder', tags: [...mine, 'clinic'], nodes: [webhook('acme/remind', 'GET')], published: true },
  // Names like the tenant's own, in all the ways that tags can be alike.
  lookalike: { name: 'Acme intake', tags: ['tenant:acme-eu'], nodes: [webhook('acme-eu-intake')], published: true },
  cased: { name: 'Acme intake', tags: ['Tenant:Acme'] },
  both: { name: 'Acme shared', tags: [...mine, 'tenant:acme-eu'], nodes: [webhook('acme-both')], published: true },
  unmarked: { name: 'Acme intake', nodes: [webhook('unmarked')], published: true },
  template: { name: 'Acme', tags: ['template', ...mine] },
  demo: { name: 'Demo', tags: ['demo'], nodes: [webhook('demo')], published: true },
  templateById: { name: 'Acme by id', tags: mine },
  demoById: { name: 'Demo by id', tags: mine },
};
const ROLES = Object.keys(makings) as (keyof Ids)[];

export async function scene({ owner, url, apiKey, effects, loseAnswer, stall, calm }: Access, raw: Readonly<Record<string, unknown>> = {}): Promise<Scene> {
  const folder = await mkdtemp(join(tmpdir(), 'backout-n8n-kept-'));
  // One after the other until each tag is there, since a name can be taken once.
  const made = new Map<string, string>();
  for (const role of ROLES) made.set(role, await owner.make(makings[role].name, makings[role]));
  const ids = Object.fromEntries(made) as Ids;
  await owner.routes(['acme-intake', 'acme/remind', 'acme-eu-intake', 'acme-both', 'unmarked', 'demo'], 'answer');
  const rawOptions = { url, webhooks: owner.url, apiKey: 'env:N8N_API_KEY', templates: [ids.templateById], demos: [ids.demoById], ...raw };
  const workflow = (role: keyof Ids): Artifact => ({ type: 'n8n-workflow', id: ids[role], name: makings[role].name });
  const path = (id: string): Artifact => ({ type: 'webhook', id });
  const present = [workflow('intake'), workflow('reminder'), path('acme-intake')];
  const call = (overrides: Partial<ArtifactCall<N8nOptions>> = {}): ArtifactCall<N8nOptions> => ({
    environment: 'production',
    tenant: TENANT,
    options: platform.options.parse(rawOptions),
    folder,
    operationId: `${OPERATION}/workflow.${ids.intake}/1`,
    attempt: 1,
    artifact: workflow('intake'),
    listed: present,
    signal: new AbortController().signal,
    heartbeat: () => {},
    secret: () => Promise.resolve(apiKey),
    ...overrides,
  });
  const isThere = async (id: string): Promise<boolean> => (await owner.workflows()).some((one) => one.id === id);
  return {
    owner,
    ids,
    folder,
    platform,
    rawOptions,
    call,
    present,
    absent: [
      { type: 'n8n-workflow', id: 'nobodyHasThis0001' },
      { type: 'webhook', id: 'acme-nothing' },
    ],
    guarded: [
      ...ROLES.filter((role) => role !== 'intake' && role !== 'reminder').map(workflow),
      ...['acme-eu-intake', 'acme-both', 'unmarked', 'demo'].map(path),
    ],
    marked: [
      ...(['intake', 'reminder', 'both', 'template', 'templateById', 'demoById'] as const).map(workflow),
      ...['acme-intake', 'acme/remind', 'acme-both'].map(path),
    ],
    protectedIds: [ids.template, ids.demo, ids.templateById, ids.demoById],
    changeProtected: (id) => owner.draft(id, 'Acme', [webhook('changed')]),
    removeByHand: async ({ type, id }) => {
      const target = type === 'webhook' ? ids.intake : id;
      if (await isThere(target)) await owner.remove(target);
    },
    handOver: ({ id }) => owner.tag(id, ['tenant:acme-eu']),
    effects: async () => (await effects()) + (await owner.executions()).length,
    snapshot: async () => ({ workflows: await owner.workflows(), executions: await owner.executions() }),
    loseAnswer,
    stall,
    canary: apiKey,
    teardown: async () => {
      await calm();
      await owner.clear();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
