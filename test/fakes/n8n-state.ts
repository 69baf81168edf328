/** The n8n of the fake: workflows with a draft and a live version, tags, routes that come and go a moment later, executions. As seen of n8n 2.41.1 on 2026-11-21. */
import { randomUUID } from 'node:crypto';

export interface FakeNode {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly webhookId?: string;
  readonly disabled?: boolean;
  readonly parameters: Readonly<Record<string, unknown>>;
}

export interface FakeWorkflow {
  id: string;
  name: string;
  nodes: readonly FakeNode[];
  versionId: string;
  activeVersionId: string | null;
  /** The nodes of the version that is live. */
  live: readonly FakeNode[] | null;
  isArchived: boolean;
  tags: string[];
  updatedAt: string;
}

export interface Route {
  readonly workflowId: string;
  readonly webhookId: string | undefined;
  readonly path: string;
  readonly method: string;
}

export interface Execution {
  readonly id: number;
  readonly workflowId: string;
  readonly status: string;
  readonly mode: string;
}

export interface Settings {
  key: string;
  ownerKey: string;
  scopes: string[];
  /** How late routes follow; null: not before `settle`. */
  routeDelayMs: number | null;
  /** So many of the next calls of a route whose workflow is no longer published are answered 500, and run nothing. */
  brokenRoutes: number;
  testRoutes: { path: string; method: string }[];
}

export const settings = (): Settings => ({
  key: 'fake-key',
  ownerKey: 'owner-key',
  scopes: ['workflow:list', 'workflow:read', 'workflow:deactivate', 'workflow:delete', 'execution:list'],
  routeDelayMs: 0,
  brokenRoutes: 0,
  testRoutes: [],
});

const normal = (path: string): string => path.trim().replace(/^\//, '').replace(/\/$/, '');
const isDynamic = (path: string): boolean => path.startsWith(':') || path.includes('/:');
const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);
/** Of expressions it knows the one that is a literal: `={{ "path" }}`. */
const evaluated = (path: string): string => /^=\{\{\s*"(.*)"\s*\}\}$/.exec(path)?.[1] ?? path;

function endpoints({ type, webhookId = '', parameters }: FakeNode): { path: string; methods: string[] }[] {
  const options = parameters['options'];
  const inOptions = typeof options === 'object' && options !== null && 'path' in options ? text(options.path) : undefined;
  const path = evaluated(text(parameters['path']) ?? inOptions ?? webhookId);
  const asked = parameters['httpMethod'];
  switch (type.split('.').at(-1) ?? type) {
    case 'webhook':
      return [{ path, methods: Array.isArray(asked) ? asked.map(String) : [text(asked) ?? 'GET'] }];
    case 'formTrigger':
      return [{ path, methods: ['GET', 'POST'] }];
    case 'chatTrigger':
      return [{ path: `${webhookId}/chat`, methods: ['GET', 'POST'] }];
    case 'mcpTrigger':
      return [
        { path, methods: ['DELETE'] },
        { path: `${path}/sse`, methods: ['GET'] },
        { path: `${path}/messages`, methods: ['POST'] },
      ];
    default:
      return type.endsWith('Trigger') && webhookId !== '' ? [{ path: `${webhookId}/webhook`, methods: ['POST'] }] : [];
  }
}

export function routesOf({ id, live }: FakeWorkflow): Route[] {
  return (live ?? [])
    .filter((node) => node.disabled !== true)
    .flatMap((node) =>
      endpoints(node).flatMap(({ path, methods }) => methods.map((method) => ({ workflowId: id, webhookId: node.webhookId, path: normal(path), method }))),
    );
}

export class Instance {
  readonly settings: Settings = settings();
  readonly workflows = new Map<string, FakeWorkflow>();
  readonly tags = new Map<string, string>();
  readonly executions: Execution[] = [];
  routes: Route[] = [];
  private readonly queue: { readonly workflowId: string; readonly dueMs: number }[] = [];
  private executionId = 0;

  add(name: string, nodes: readonly FakeNode[]): FakeWorkflow {
    const id = randomUUID().replaceAll('-', '').slice(0, 16);
    const workflow: FakeWorkflow = {
      id,
      name,
      nodes,
      versionId: randomUUID(),
      activeVersionId: null,
      live: null,
      isArchived: false,
      tags: [],
      updatedAt: new Date().toISOString(),
    };
    this.workflows.set(id, workflow);
    return workflow;
  }

  /** The routes follow the live version a moment later. */
  publish(workflow: FakeWorkflow, live: readonly FakeNode[] | null): void {
    Object.assign(workflow, { live, activeVersionId: live === null ? null : workflow.versionId, updatedAt: new Date().toISOString() });
    this.queue.push({ workflowId: workflow.id, dueMs: this.settings.routeDelayMs === null ? Infinity : Date.now() + this.settings.routeDelayMs });
    this.carryOut();
  }

  /** Routes of what is deleted go like those of what is unpublished. */
  carryOut(nowMs = Date.now()): void {
    for (let index = 0; index < this.queue.length;) {
      const [change] = (this.queue[index]?.dueMs ?? Infinity) <= nowMs ? this.queue.splice(index, 1) : [];
      if (change === undefined) {
        index += 1;
        continue;
      }
      this.routes = this.routes.filter((route) => route.workflowId !== change.workflowId);
      const workflow = this.workflows.get(change.workflowId);
      const wanted = workflow === undefined ? [] : routesOf(workflow);
      this.routes.push(...wanted.filter((route) => !this.taken(route)));
    }
  }

  /** Are routes of it still to come or to go? */
  isChanging(workflowId: string): boolean {
    this.carryOut();
    return this.queue.some((change) => change.workflowId === workflowId);
  }

  /** Only routes that are there already are in the way: what is still in the queue is not seen. */
  taken(wanted: Route): boolean {
    return this.routes.some((route) => route.path === wanted.path && route.method === wanted.method && route.workflowId !== wanted.workflowId);
  }

  at(path: string, method?: string): Route[] {
    this.carryOut();
    const fits = this.routes.filter((route) => method === undefined || route.method === method);
    const literal = fits.filter((route) => route.path === path);
    if (literal.length > 0) return literal;
    const [webhookId, ...parts] = path.split('/');
    return fits.filter((route) => {
      const wanted = route.path.split('/');
      return (
        isDynamic(route.path) &&
        route.webhookId === webhookId &&
        wanted.length === parts.length &&
        wanted.every((part) => part.startsWith(':') || parts.includes(part))
      );
    });
  }

  run(workflowId: string, status = 'success'): Execution {
    const execution = { id: (this.executionId += 1), workflowId, status, mode: 'webhook' };
    this.executions.push(execution);
    return execution;
  }
}
