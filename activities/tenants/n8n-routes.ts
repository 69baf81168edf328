/**
 * Which workflow serves a webhook path, and whether a route answers. Seen with a real n8n 2.41.1 on 2026-11-21 (test/n8n/routes.test.ts):
 *
 * - `OPTIONS` with an `Origin` and without `Access-Control-Request-Method` runs nothing, whatever the node listens to, and is answered 204 with the methods that are
 *   registered: `access-control-allow-methods: OPTIONS, POST`; `OPTIONS` alone where no route is. The test address answers 404 where no route is.
 * - No other method is safe or tells: a node may listen to HEAD too, which ran the flow; a method unknown to n8n is answered 500 for each path.
 * - `/webhook/PATH` shows the routes of form, chat and MCP triggers as well; they share one table.
 * - `/PATH/` with a slash at the end is answered as if it were not there, though it runs the flow: slashes are taken off before asking.
 * - A path with parameters is found as it is written, `users/:id`, and as it is called, `WEBHOOKID/users/7`.
 */
import { AdapterError } from '../adapters/adapter.ts';
import { NAME, type Node, type Session, type Workflow } from './n8n-api.ts';

/** As n8n stores a path: without slashes around it. */
export const pathOf = (text: string): string => text.trim().replaceAll(/^\/+|\/+$/g, '');

/** A path that can be asked for: `..` would lead elsewhere, and a whole address is no path. */
export function checkedPath(id: string): string {
  const path = pathOf(id);
  if (path === '' || /[?#\\\p{Cc}]|:\/\//u.test(path) || path.split('/').some((part) => ['', '.', '..'].includes(part)))
    throw new AdapterError('configuration', `[${NAME}] ${JSON.stringify(id)} is no webhook path; give what follows /webhook/`);
  return path;
}

const text = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null);
/** What n8n computes only when it publishes. */
const isExpression = (path: string): boolean => path.startsWith('=');

/** Without the package that it is from. */
const kindOf = (type: string): string => type.split('.').at(-1) ?? type;

function pathsOfNode({ type, webhookId, parameters }: Node): string[] {
  const options = parameters['options'];
  const chosen = text(parameters['path']) ?? (typeof options === 'object' && options !== null && 'path' in options ? text(options.path) : null);
  const id = text(webhookId);
  const own = chosen ?? id;
  switch (kindOf(type)) {
    case 'webhook':
    case 'formTrigger':
      return own === null ? [] : [own];
    case 'mcpTrigger':
      return own === null ? [] : [own, `${own}/sse`, `${own}/messages`];
    case 'chatTrigger':
      return id === null ? [] : [`${id}/chat`];
    // They are resumed under the id of an execution, and by nobody else.
    case 'wait':
    case 'form':
      return [];
    default:
      return id === null ? [] : [`${id}/webhook`];
  }
}

const liveNodes = ({ activeVersion }: Workflow): Node[] => (activeVersion?.nodes ?? []).filter(({ disabled }) => disabled !== true);

/** The paths of the version that is live, never of the draft. What an expression makes of it is not known here. */
export const livePaths = (workflow: Workflow): string[] => [
  ...new Set(
    liveNodes(workflow)
      .flatMap(pathsOfNode)
      .filter((path) => !isExpression(path))
      .map(pathOf),
  ),
];
export const hasExpressionPath = (workflow: Workflow): boolean => liveNodes(workflow).flatMap(pathsOfNode).some(isExpression);

const isParameter = (part: string): boolean => part.startsWith(':');

/** `users/:id` is served at `WEBHOOKID/users/7`. */
function matches(pattern: string, parts: readonly string[]): boolean {
  const wanted = pattern.split('/');
  return wanted.length === parts.length && wanted.every((part, index) => isParameter(part) || part === parts[index]);
}

export function serves(workflow: Workflow, path: string): boolean {
  if (livePaths(workflow).includes(path)) return true;
  const [first, ...rest] = path.split('/');
  return liveNodes(workflow).some((node) => {
    if (text(node.webhookId) !== first) return false;
    const dynamic = pathsOfNode(node)
      .map(pathOf)
      .filter((one) => one.split('/').some(isParameter));
    // A trigger whose paths we do not know serves them below its id.
    return dynamic.length === 0 ? !['webhook', 'formTrigger'].includes(kindOf(node.type)) : dynamic.some((one) => matches(one, rest));
  });
}

export interface Probe {
  readonly route: 'answers' | 'gone' | 'not known';
  /** The methods that answer, or why it is not known. */
  readonly detail: string;
}

/** Without the API key and not through http.ts, since the answer is in a header, of a method that it has no other use for. */
export async function probe({ call }: Session, kind: 'webhook' | 'webhook-test', path: string): Promise<Probe> {
  const { options, signal } = call;
  const base = (options.webhooks ?? options.url).replace(/\/+$/, '');
  const timeout = AbortSignal.timeout(options.requestSeconds * 1000);
  const url = `${base}/${kind}/${path.split('/').map(encodeURIComponent).join('/')}`;
  const notKnown = (why: string): Probe => ({ route: 'not known', detail: why });
  if (signal.aborted) throw interrupted();
  try {
    const answer = await fetch(url, {
      method: 'OPTIONS',
      redirect: 'manual',
      signal: AbortSignal.any([signal, timeout]),
      headers: { origin: 'https://backout.invalid', 'user-agent': 'backout' },
    });
    const body = await limited(answer);
    return readingOf(answer.status, answer.headers.get('access-control-allow-methods'), kind, body) ?? notKnown(`answered ${answer.status}`);
  } catch (error) {
    if (signal.aborted) throw interrupted();
    if (timeout.aborted) return notKnown(`no answer within ${options.requestSeconds} s`);
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    return notKnown(cause instanceof Error && 'code' in cause ? String(cause.code) : 'no connection');
  }
}

const interrupted = (): AdapterError => new AdapterError('unavailable', `[${NAME}] interrupted while asking whether a route answers`);
const BODY_CHARACTERS_MAX = 4000;

async function limited(answer: Response): Promise<string> {
  let body = '';
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  for (let next = await reader?.read(); next !== undefined && !next.done; next = await reader?.read()) {
    body += next.value;
    if (body.length > BODY_CHARACTERS_MAX) {
      await reader?.cancel();
      return body;
    }
  }
  return body;
}

/** Null: not n8n's own answer. A 500 is none either: n8n gave one to a route that was on its way out. */
function readingOf(status: number, methods: string | null, kind: string, body: string): Probe | null {
  if (status === 404 && kind === 'webhook-test' && /The requested webhook .* is not registered/.test(body)) return { route: 'gone', detail: 'none' };
  if (status >= 300 || methods === null) return null;
  const [first, ...registered] = methods.split(',').map((one) => one.trim());
  // n8n itself begins with OPTIONS; a proxy that answers for it does not know the routes.
  if (first !== 'OPTIONS') return null;
  return registered.length === 0 ? { route: 'gone', detail: 'none' } : { route: 'answers', detail: registered.join(', ') };
}
