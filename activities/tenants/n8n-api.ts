/**
 * How Backout asks n8n: https://docs.n8n.io/api/, the public API v1 of n8n 2.x, checked with a real 2.41.1 in November 2026 (test/n8n/). Only the
 * calls of `CALLS` exist; none of them makes, changes, publishes or runs a workflow.
 */
import { z } from 'zod';
import { AdapterError } from '../adapters/adapter.ts';
import { beating, createHttp, HttpError, type Beat, type Http, type HttpRequest } from '../adapters/http.ts';
import { markOf, type N8nOptions } from './n8n-options.ts';
import type { PlatformCall } from './platform.ts';

export const NAME = 'n8n';

/** All that is ever asked, with the scope that the key needs for it. n8n checks scopes without a licence too. */
export const CALLS = [
  { method: 'GET', path: /^\/workflows$/, scope: 'workflow:list' },
  { method: 'GET', path: /^\/workflows\/[\w-]+$/, scope: 'workflow:read' },
  { method: 'GET', path: /^\/executions$/, scope: 'execution:list' },
  { method: 'POST', path: /^\/workflows\/[\w-]+\/unpublish$/, scope: 'workflow:deactivate' },
  { method: 'DELETE', path: /^\/workflows\/[\w-]+$/, scope: 'workflow:delete' },
] as const;

const nodeSchema = z.object({
  name: z.string(),
  type: z.string(),
  webhookId: z.string().nullish(),
  disabled: z.boolean().nullish(),
  parameters: z.record(z.string(), z.unknown()).default({}),
});
export type Node = z.infer<typeof nodeSchema>;

/** `nodes` and `versionId` are the draft's; what is live is in `activeVersion`. */
const workflowSchema = z.object({
  id: z.string(),
  name: z.string(),
  active: z.boolean(),
  activeVersionId: z.string().nullable(),
  versionId: z.string().nullable(),
  isArchived: z.boolean().default(false),
  tags: z.array(z.object({ name: z.string() })).default([]),
  activeVersion: z.object({ nodes: z.array(nodeSchema) }).nullish(),
});
export type Workflow = z.infer<typeof workflowSchema>;
const pageOf = <T>(item: z.ZodType<T>): z.ZodType<{ data: T[]; nextCursor: string | null }> =>
  z.object({ data: z.array(item), nextCursor: z.string().nullable().default(null) });

/** n8n takes no more; a larger number is cut without a word. */
const PAGE = 250;
const PAGES_MAX = 400;
/** A page is 250 whole workflows, draft and live. */
const BODY_BYTES_MAX = 128 * 1024 * 1024;

export interface Session extends Beat {
  readonly call: PlatformCall<N8nOptions>;
  readonly request: <T>(request: Omit<HttpRequest<T>, 'signal'>) => Promise<T>;
  readonly error: Http['error'];
}

export const isPublished = ({ active, activeVersionId }: Workflow): boolean => active || activeVersionId !== null;

export function withN8n<T>(call: PlatformCall<N8nOptions>, about: string, work: (session: Session) => Promise<T>): Promise<T> {
  const { options, tenant } = call;
  const mark = markOf(options, tenant);
  if (tenant.trim() !== tenant || tenant === '' || mark === options.marks.template || mark === options.marks.demo)
    throw new AdapterError('configuration', `[${NAME}] the tenant ${JSON.stringify(tenant)} cannot be told from others by the tag ${JSON.stringify(mark)}`);
  return beating(call, NAME, async (beat) => {
    const key = (await call.secret(options.apiKey)).trim();
    if (key === '') throw new AdapterError('configuration', `[${NAME}] ${options.apiKey} is empty; put the API key there`);
    const http = (scope: string | null): Http =>
      createHttp({
        adapter: NAME,
        baseUrl: `${options.url.replace(/\/+$/, '')}/api/v1`,
        secrets: [key],
        timeoutMs: options.requestSeconds * 1000,
        bodyBytesMax: BODY_BYTES_MAX,
        about: { tenant, about },
        headers: { 'x-n8n-api-key': key },
        remedies: scope === null ? {} : { unauthorized: `the API key must be valid and have the scope ${scope}` },
      });
    const plain = http(null);
    const error: Http['error'] = (kind, action, text, details) => plain.error(kind, action, text, details);
    const request: Session['request'] = async (asked) => {
      const allowed = CALLS.find(({ method, path }) => method === asked.method && path.test(asked.path));
      if (allowed === undefined) throw error('configuration', asked.action, `${asked.method} ${asked.path} is not among the calls that Backout makes`);
      return http(allowed.scope).request({ ...asked, signal: call.signal });
    };
    return work({ ...beat, call, request, error });
  });
}

/**
 * Whole, for a copy of it; null where there is none. A 404 alone could be a proxy's or that of a wrong address, so then the list is asked too: only n8n
 * with a valid key answers that.
 */
export async function readWhole(session: Session, id: string): Promise<{ readonly whole: unknown; readonly workflow: Workflow } | null> {
  const action = 'read the workflow';
  const whole = await session.request({ action, method: 'GET', path: `/workflows/${id}`, answer: z.unknown() }).catch((error: unknown) => {
    if (error instanceof HttpError && error.status === 404) return null;
    throw error;
  });
  if (whole === null) {
    await session.request({ action: 'list workflows', method: 'GET', path: '/workflows', query: { limit: 1 }, answer: pageOf(z.unknown()) });
    return null;
  }
  const { data, error } = workflowSchema.safeParse(whole);
  const [issue] = error?.issues ?? [];
  if (data === undefined)
    throw session.error('unexpected-response', action, `${issue?.path.join('.')}: ${issue?.message}; Backout knows the public API of n8n 2.x`);
  if (data.id !== id) throw session.error('unexpected-response', action, `asked for ${id}, answered with ${data.id}`);
  return { whole, workflow: data };
}

export const read = async (session: Session, id: string): Promise<Workflow | null> => (await readWhole(session, id))?.workflow ?? null;

/** Page after page. n8n's cursor is an offset: what somebody deletes meanwhile may hide another one, which the next listing shows. */
export async function listed(session: Session, query: Readonly<Record<string, string>>): Promise<Workflow[]> {
  const found = new Map<string, Workflow>();
  let cursor: string | null = null;
  for (let pages = 0; pages < PAGES_MAX; pages += 1) {
    const next: Record<string, string> = cursor === null ? {} : { cursor };
    const page: { data: Workflow[]; nextCursor: string | null } = await session.request({
      action: 'list workflows',
      method: 'GET',
      path: '/workflows',
      query: { limit: PAGE, excludePinnedData: 'true', ...query, ...next },
      answer: pageOf(workflowSchema),
    });
    for (const workflow of page.data) found.set(workflow.id, workflow);
    session.say(`read ${found.size} workflows`);
    if (page.nextCursor === null) return [...found.values()];
    cursor = page.nextCursor;
  }
  throw session.error('unexpected-response', 'list workflows', `there are more than ${PAGE * PAGES_MAX}, which is more than can be looked through`);
}

/** All with exactly this tag. n8n takes a comma for two tags, so then all are read. */
export async function tagged(session: Session, tag: string): Promise<Workflow[]> {
  const all = await listed(session, tag.includes(',') ? {} : { tags: tag });
  return all.filter(({ tags }) => tags.some(({ name }) => name === tag));
}

/** How many are running or waiting, since unpublishing stops none; null where the key may not see them. */
export async function unfinished(session: Session, id: string): Promise<string | null> {
  let count = 0;
  let isMore = false;
  for (const status of ['running', 'waiting']) {
    const query = { workflowId: id, status, limit: PAGE };
    const page = await session
      .request({ action: 'count executions', method: 'GET', path: '/executions', query, answer: pageOf(z.unknown()) })
      .catch((error: unknown) => {
        if (error instanceof AdapterError && error.kind === 'unauthorized') return null;
        throw error;
      });
    if (page === null) return null;
    count += page.data.length;
    isMore ||= page.nextCursor !== null;
  }
  return `${count}${isMore ? ' or more' : ''}`;
}
