/**
 * An n8n as a process of its own, with its public API and its webhooks: `node test/fakes/n8n.ts --port 0 --ledger FILE` prints `{"url":…}`. It keeps to
 * what was recorded of n8n 2.41.1; test/n8n/ runs the same contract against a real one.
 *
 *   POST /_control   settings (see n8n-state.ts), and: faults: a queue · calm · settle: carries out what routes wait for · run: an execution that goes on ·
 *                    reset: true
 *   GET  /_ledger    every change that took effect, by whose key · GET /_requests what was asked · GET /_state settings and routes
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import type { Fault, ServerControl } from './github-server.ts';
import { Instance, routesOf, type FakeNode, type FakeWorkflow, type Settings } from './n8n-state.ts';

export interface Control extends Partial<Settings>, ServerControl {
  readonly settle?: boolean;
  readonly run?: { readonly workflowId: string; readonly status: string };
}

export interface LedgerEntry {
  readonly by: 'backout' | 'owner';
  readonly event: 'create' | 'update' | 'tag' | 'publish' | 'unpublish' | 'archive' | 'delete';
  readonly workflowId: string;
}

interface Answer {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}
interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
}
type By = LedgerEntry['by'];

const said = (status: number, message: string): Answer => ({ status, body: { message } });
const NOT_FOUND = said(404, 'Not Found');
const nodesSchema = z.array(
  z.object({
    id: z.string(),
    name: z.string(),
    type: z.string(),
    webhookId: z.string().optional(),
    disabled: z.boolean().optional(),
    parameters: z.record(z.string(), z.unknown()),
  }),
);
const draftSchema = z.object({ name: z.string(), nodes: nodesSchema });

const { values } = parseArgs({
  options: { port: { type: 'string', default: '0' }, ledger: { type: 'string' }, 'until-stdin-ends': { type: 'boolean', default: false } },
});
const first = values.ledger;
if (first === undefined) throw new Error('usage: node FILE --port 0 --ledger FILE');
let ledger = first;
let times = 1;
let n8n = new Instance();
const faults: Fault[] = [];
const requests: string[] = [];

const note = (by: By, event: LedgerEntry['event'], workflowId: string): void => {
  appendFileSync(ledger, `${JSON.stringify({ at: new Date().toISOString(), by, event, workflowId })}\n`);
};
const entries = (): unknown[] => (existsSync(ledger) ? readFileSync(ledger, 'utf8').trim().split('\n') : []).map((line): unknown => JSON.parse(line));

function shown(workflow: FakeWorkflow): Record<string, unknown> {
  const { live, nodes, tags, ...rest } = workflow;
  const active = workflow.activeVersionId !== null;
  return {
    ...rest,
    active,
    nodes,
    connections: {},
    settings: { executionOrder: 'v1' },
    triggerCount: active ? 1 : 0,
    tags: tags.map((name) => ({ id: n8n.tags.get(name), name })),
    activeVersion: live === null ? null : { versionId: workflow.activeVersionId, workflowId: workflow.id, nodes: live, connections: {} },
  };
}

/** The cursor is an offset, so whoever deletes meanwhile shifts the next page. */
function paged(items: readonly unknown[], query: URLSearchParams): Answer {
  const size = Math.min(250, Number(query.get('limit') ?? 100));
  const cursor = query.get('cursor');
  let offset = 0;
  if (cursor !== null) {
    const found = z.object({ offset: z.number() }).safeParse(jsonOf(Buffer.from(cursor, 'base64').toString()));
    if (!found.success) return said(400, 'An invalid cursor was provided');
    ({ offset } = found.data);
  }
  const end = offset + size;
  const nextCursor = end < items.length ? Buffer.from(JSON.stringify({ limit: size, offset: end })).toString('base64') : null;
  return { status: 200, body: { data: items.slice(offset, end), nextCursor } };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function listed(query: URLSearchParams): Answer {
  const active = query.get('active');
  // Of several tags all must be there.
  const tags =
    query
      .get('tags')
      ?.split(',')
      .map((one) => one.trim()) ?? [];
  const found = [...n8n.workflows.values()].filter(
    (one) => (active === null || String(one.activeVersionId !== null) === active) && tags.every((tag) => one.tags.includes(tag)),
  );
  return paged(found.map(shown), query);
}

function published(workflow: FakeWorkflow, by: By): Answer {
  if (workflow.isArchived) return said(400, 'Cannot activate an archived workflow.');
  if (routesOf({ ...workflow, live: workflow.nodes }).some((route) => n8n.taken(route))) return said(409, 'There is a conflict with one of the webhooks.');
  n8n.publish(workflow, workflow.nodes);
  note(by, 'publish', workflow.id);
  return { status: 200, body: shown(workflow) };
}

function unpublished(workflow: FakeWorkflow, by: By): Answer {
  if (workflow.activeVersionId !== null) {
    n8n.publish(workflow, null);
    note(by, 'unpublish', workflow.id);
  }
  return { status: 200, body: shown(workflow) };
}

function deleted(workflow: FakeWorkflow, by: By): Answer {
  if (workflow.activeVersionId !== null) return said(409, 'Cannot delete a published workflow. Unpublish it before deleting.');
  if (n8n.isChanging(workflow.id)) return said(409, 'Workflow is still being unpublished. Please try again in a few moments.');
  n8n.workflows.delete(workflow.id);
  note(by, 'delete', workflow.id);
  return { status: 200, body: shown(workflow) };
}

function updated(workflow: FakeWorkflow, { text, query }: Asked, by: By): Answer {
  const draft = draftSchema.safeParse(jsonOf(text));
  if (!draft.success) return said(400, 'request/body is not valid');
  Object.assign(workflow, draft.data, { versionId: crypto.randomUUID(), updatedAt: new Date().toISOString() });
  if (workflow.activeVersionId !== null && query.get('publishIfActive') !== 'false') n8n.publish(workflow, workflow.nodes);
  note(by, 'update', workflow.id);
  return { status: 200, body: shown(workflow) };
}

function retagged(workflow: FakeWorkflow, { text }: Asked, by: By): Answer {
  const ids = z.array(z.object({ id: z.string() })).parse(jsonOf(text));
  workflow.tags = [...n8n.tags].flatMap(([name, id]) => (ids.some((one) => one.id === id) ? [name] : []));
  note(by, 'tag', workflow.id);
  return { status: 200, body: shown(workflow)['tags'] };
}

function tags({ method, text, query }: Asked): Answer {
  if (method === 'GET')
    return paged(
      [...n8n.tags].map(([name, id]) => ({ id, name })),
      query,
    );
  const name = z.object({ name: z.string() }).parse(jsonOf(text)).name.trim();
  // Real n8n says the same of a name that is longer than 24 characters.
  if (n8n.tags.has(name) || name.length > 24) return said(409, 'Tag already exists');
  const id = crypto.randomUUID().slice(0, 8);
  n8n.tags.set(name, id);
  return { status: 201, body: { id, name } };
}

const SCOPES: Record<string, string> = {
  'GET /workflows': 'workflow:list',
  'POST /workflows': 'workflow:create',
  'GET /workflows/{id}': 'workflow:read',
  'PUT /workflows/{id}': 'workflow:update',
  'DELETE /workflows/{id}': 'workflow:delete',
  'POST /workflows/{id}/publish': 'workflow:activate',
  'POST /workflows/{id}/unpublish': 'workflow:deactivate',
  'POST /workflows/{id}/archive': 'workflow:archive',
  'PUT /workflows/{id}/tags': 'workflowTags:update',
  'GET /executions': 'execution:list',
  'GET /tags': 'tag:list',
  'POST /tags': 'tag:create',
};

function api(asked: Asked): Answer {
  const key = asked.headers['x-n8n-api-key'];
  const by = key === n8n.settings.ownerKey ? 'owner' : 'backout';
  if (by === 'backout' && key !== n8n.settings.key) return said(401, 'Unauthorized');
  const [, id, verb] = /^\/workflows\/([^/]+)(?:\/(\w+))?$/.exec(asked.path) ?? [];
  const route = `${asked.method} ${id === undefined ? asked.path : `/workflows/{id}${verb === undefined ? '' : `/${verb}`}`}`;
  const scope = SCOPES[route];
  if (scope === undefined) return NOT_FOUND;
  if (by === 'backout' && !n8n.settings.scopes.includes(scope)) return said(403, 'Forbidden');
  const workflow = n8n.workflows.get(id ?? '');
  if (id !== undefined && workflow === undefined)
    return verb === 'unpublish' ? said(404, 'You do not have permission to deactivate this workflow. Ask the owner to share it with you.') : NOT_FOUND;
  return workflow === undefined ? ofAll(route, asked, by) : ofOne(route, workflow, asked, by);
}

function ofAll(route: string, asked: Asked, by: By): Answer {
  switch (route) {
    case 'GET /workflows':
      return listed(asked.query);
    case 'POST /workflows': {
      const { name, nodes } = draftSchema.parse(jsonOf(asked.text));
      const workflow = n8n.add(name, nodes as FakeNode[]);
      note(by, 'create', workflow.id);
      return { status: 200, body: shown(workflow) };
    }
    case 'GET /executions': {
      const of = (one: string): string | null => asked.query.get(one);
      const found = n8n.executions.filter((one) => (of('workflowId') ?? one.workflowId) === one.workflowId && (of('status') ?? one.status) === one.status);
      return paged(found, asked.query);
    }
    default:
      return tags(asked);
  }
}

function ofOne(route: string, workflow: FakeWorkflow, asked: Asked, by: By): Answer {
  switch (route) {
    case 'GET /workflows/{id}':
      return { status: 200, body: shown(workflow) };
    case 'PUT /workflows/{id}':
      return updated(workflow, asked, by);
    case 'DELETE /workflows/{id}':
      return deleted(workflow, by);
    case 'POST /workflows/{id}/publish':
      return published(workflow, by);
    case 'POST /workflows/{id}/unpublish':
      return unpublished(workflow, by);
    case 'PUT /workflows/{id}/tags':
      return retagged(workflow, asked, by);
    default:
      workflow.isArchived = true;
      note(by, 'archive', workflow.id);
      return { ...unpublished(workflow, by), body: shown(workflow) };
  }
}

const METHODS = ['DELETE', 'GET', 'HEAD', 'PATCH', 'POST', 'PUT'];

function webhook({ method, headers }: Asked, path: string): Answer {
  if (method === 'OPTIONS') {
    if (headers.origin === undefined) return { status: 204 };
    const methods = n8n.at(path).map((route) => route.method);
    return { status: 204, headers: { 'access-control-allow-methods': ['OPTIONS', ...methods.toSorted()].join(', ') } };
  }
  if (!METHODS.includes(method)) return { status: 500, body: { code: 0, message: `The method ${method} is not supported.` } };
  // A slash at the end is forgiven here, and not above.
  const called = path.replace(/\/$/, '');
  const [route] = n8n.at(called, method);
  if (route === undefined) {
    const others = n8n.at(called).map((one) => one.method);
    const message =
      others.length === 0
        ? `The requested webhook "${method} ${called}" is not registered.`
        : `This webhook is not registered for ${method} requests. Did you mean to make a ${others.join(' or ')} request?`;
    return { status: 404, body: { code: 404, message } };
  }
  const isPublished = n8n.workflows.get(route.workflowId)?.activeVersionId ?? null;
  if (isPublished === null && n8n.settings.brokenRoutes > 0) {
    n8n.settings.brokenRoutes -= 1;
    return { status: 500, body: { code: 0, message: "Cannot read properties of undefined (reading 'node')" } };
  }
  n8n.run(route.workflowId);
  return { status: 200, body: { message: 'Workflow was started' } };
}

function testWebhook({ method, headers }: Asked, path: string): Answer {
  const listening = n8n.settings.testRoutes.filter((one) => one.path === path);
  if (method === 'OPTIONS' && headers.origin === undefined) return { status: 204 };
  if (listening.length === 0) return { status: 404, body: { code: 404, message: `The requested webhook "${path}" is not registered.` } };
  if (method === 'OPTIONS') return { status: 204, headers: { 'access-control-allow-methods': ['OPTIONS', ...listening.map((one) => one.method)].join(', ') } };
  n8n.run('test');
  return { status: 200, body: {} };
}

function answer(asked: Asked): Answer {
  const [, area, rest] = /^\/(api\/v1|webhook|webhook-test)\/(.*)$/s.exec(asked.path) ?? [];
  if (area === 'api/v1') return api({ ...asked, path: `/${rest}` });
  if (area === 'webhook' && rest !== undefined) return webhook(asked, rest);
  if (area === 'webhook-test' && rest !== undefined) return testWebhook(asked, rest);
  return NOT_FOUND;
}

function control({ faults: more = [], calm, reset, settle, run, ...settings }: Control): void {
  if (reset === true) {
    ledger = `${first}.${(times += 1)}`;
    n8n = new Instance();
    requests.length = 0;
  }
  if (reset === true || calm === true) faults.length = 0;
  faults.push(...more.flatMap((fault) => Array.from({ length: fault.times ?? 1 }, () => fault)));
  Object.assign(n8n.settings, settings);
  if (settle === true) n8n.carryOut(Infinity);
  if (run !== undefined) n8n.run(run.workflowId, run.status);
}

function reply(response: ServerResponse, { status, body, headers = {} }: Answer): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers });
  response.end(body === undefined ? undefined : JSON.stringify(body));
}

function fail(response: ServerResponse, kind: Exclude<Fault['answer'], undefined>): void {
  if (kind === 'hang') return;
  if (kind === 'reset') response.socket?.resetAndDestroy();
  else if (kind === 'html') response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>n8n.io</title>');
  else if (kind === 'huge') response.writeHead(200).end(`["${'x'.repeat(130 * 1024 * 1024)}"]`);
  else response.writeHead(kind.status, { 'content-type': 'application/json', ...kind.headers }).end(kind.body ?? JSON.stringify({ message: 'Server Error' }));
}

function own({ path, text }: Asked): Answer | null {
  switch (path) {
    case '/_control':
      control(JSON.parse(text));
      return { status: 200, body: {} };
    case '/_ledger':
      return { status: 200, body: entries() };
    case '/_requests':
      return { status: 200, body: requests };
    case '/_state':
      return { status: 200, body: { ...n8n.settings, key: null, ownerKey: null, routes: n8n.routes } };
    default:
      return null;
  }
}

async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://fake');
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(Buffer.from(chunk));
  const asked: Asked = {
    method: request.method ?? 'GET',
    path: decodeURIComponent(pathname),
    query: searchParams,
    headers: request.headers,
    text: Buffer.concat(chunks).toString('utf8'),
  };
  const page = own(asked);
  if (page !== null) {
    reply(response, page);
    return;
  }
  const isOwner = asked.headers['x-n8n-api-key'] === n8n.settings.ownerKey || asked.headers.origin === 'https://owner.invalid';
  if (!isOwner) requests.push(`${asked.method} ${asked.path}`);
  // What goes wrong goes wrong for Backout, never for whoever sets the scene up.
  const index = isOwner
    ? -1
    : faults.findIndex((one) => new RegExp(`^(${one.method ?? '.*'})$`).test(asked.method) && new RegExp(one.path ?? '').test(asked.path));
  const [fault] = index < 0 ? [] : faults.splice(index, 1);
  faults.push(...(fault?.then ?? []));
  const early = fault?.after === true ? answer(asked) : null;
  if (fault?.delayMs !== undefined) await sleep(fault.delayMs);
  if (fault?.answer === undefined) reply(response, early ?? answer(asked));
  else fail(response, fault.answer);
}

const server = createServer((request, response) => {
  handle(request, response).catch((error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    response.destroy();
  });
});
await new Promise<void>((resolve) => {
  server.listen(Number(values.port), '127.0.0.1', resolve);
});
const address = server.address();
if (address === null || typeof address === 'string') throw new Error('no address');
if (values['until-stdin-ends'])
  process.stdin.resume().on('end', () => {
    process.exit(0);
  });
process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${address.port}` })}\n`);
