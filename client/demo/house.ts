/** A house that provisions tenants: their workflows on an n8n, with tags that say whose they are. For the demo and the tests; works on a real n8n and on its stand-in alike. */
import { randomUUID } from 'node:crypto';

/** An n8n, and a key of its owner. */
export interface N8nHouse {
  readonly url: string;
  readonly ownerKey: string;
}

export interface MadeWorkflow {
  readonly id: string;
  readonly name: string;
  readonly path: string;
}

async function ask<T>({ url, ownerKey }: N8nHouse, method: string, path: string, body?: unknown): Promise<T> {
  const response = await fetch(`${url}/api/v1${path}`, {
    method,
    headers: { 'X-N8N-API-KEY': ownerKey, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return JSON.parse(text) as T; // The public API of n8n.
}

async function tagId(n8n: N8nHouse, name: string): Promise<string> {
  const { data } = await ask<{ data: { id: string; name: string }[] }>(n8n, 'GET', '/tags?limit=250');
  const known = data.find((tag) => tag.name === name);
  return known ? known.id : (await ask<{ id: string }>(n8n, 'POST', '/tags', { name })).id;
}

/** A published workflow that answers POST on its path. */
export async function makeWorkflow(n8n: N8nHouse, name: string, path: string, tags: readonly string[]): Promise<MadeWorkflow> {
  const webhookId = randomUUID();
  const { id } = await ask<{ id: string }>(n8n, 'POST', '/workflows', {
    name,
    nodes: [
      {
        id: randomUUID(),
        name: 'Webhook',
        type: 'n8n-nodes-base.webhook',
        typeVersion: 2,
        position: [0, 0],
        webhookId,
        parameters: { httpMethod: 'POST', path, responseMode: 'onReceived', options: {} },
      },
    ],
    connections: {},
    settings: { executionOrder: 'v1' },
  });
  const ids: { id: string }[] = [];
  for (const tag of tags) ids.push({ id: await tagId(n8n, tag) });
  await ask(n8n, 'PUT', `/workflows/${id}/tags`, ids);
  await publish(n8n, id);
  return { id, name, path };
}

export const publish = (n8n: N8nHouse, id: string): Promise<unknown> => ask(n8n, 'POST', `/workflows/${id}/publish`);
/** What a client of the tenant does. */
export async function callWebhook({ url }: N8nHouse, path: string): Promise<number> {
  const response = await fetch(`${url}/webhook/${path}`, { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } });
  await response.arrayBuffer();
  return response.status;
}
