/** Calls an operation that only reads, and holds the answer against the document [001 step 3a]. */
import { Ajv2020 } from 'ajv/dist/2020.js';
import { read } from './checks.ts';
import { operationOf, resolved, type OpenApiDocument, type OpenApiOperation } from './openapi.ts';

type Node = Readonly<Record<string, unknown>>;

/** What one look at something says; `passed` is null where it could not be looked at. */
export interface Look {
  readonly passed: boolean | null;
  readonly detail: string;
}

const BODY_MAX = 1024 * 1024;
const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null && !Array.isArray(value);
const notProbed = (why: string): Look => ({ passed: null, detail: `not probed: ${why}` });
const bad = (detail: string): Look => ({ passed: false, detail });

/** GET and HEAD only: anything else might change something. */
export async function probe(critical: string, document: OpenApiDocument, documentUrl: string, seconds: number, signal: AbortSignal): Promise<Look> {
  const [method = '', path = ''] = critical.trim().split(/\s+/);
  if (!['GET', 'HEAD'].includes(method.toUpperCase())) return notProbed(`${method} may change something`);
  const operation = operationOf(document, critical);
  if (!operation) return notProbed('there is no document of it');
  const filled = fill(path, document, operation);
  if (filled.open !== null) return notProbed(filled.open);
  const url = baseOf(document, documentUrl) + filled.path;
  const answer = await read(url, seconds, signal, { method: method.toUpperCase(), bodyMax: BODY_MAX });
  if (answer.status === null) return bad(`${url}: ${answer.problem}`);
  const seen = `${url} answered ${answer.status}`;
  if (answer.status >= 500) return bad(seen);
  const response = responseOf(document, operation, answer.status);
  if (response === null) {
    if ([401, 403].includes(answer.status) && Array.isArray(operation['security']) && operation['security'].length > 0)
      return notProbed(`it asks for credentials (${answer.status})`);
    return bad(`${seen}, which is not documented`);
  }
  // A body that was not read to its end: the status above is all that is known of it.
  if (answer.problem !== null && answer.problem !== `HTTP ${answer.status}`) return notProbed(answer.problem);
  const said = answer.header('content-type');
  if (!isNode(response['content']) || Object.keys(response['content']).length === 0 || (method.toUpperCase() === 'HEAD' && said === null))
    return { passed: true, detail: seen };
  const media = mediaOf(response['content'], said ?? '');
  if (media === null) return bad(`${seen} with ${said ?? 'no content type'}, which is not documented`);
  if (method.toUpperCase() === 'HEAD' || !/^application\/(?:[^;]+\+)?json\b/i.test(said ?? '')) return { passed: true, detail: `${seen} ${media.type}` };
  const wrong = mismatch(document, media.schema, answer.body);
  return wrong === null ? { passed: true, detail: `${seen} ${media.type}` } : bad(`${seen}, and its body ${wrong}`);
}

/** Path parameters take what the document gives as an example; where it gives none, nobody can call it. */
function fill(path: string, document: OpenApiDocument, operation: OpenApiOperation): { path: string; open: string | null } {
  const missing = operation.parameters.filter((one) => one['required'] === true && one['in'] !== 'path').map((one) => String(one['name']));
  let text = path;
  for (const [hole, name = ''] of path.matchAll(/\{([^}]+)\}/g)) {
    const value = exampleOf(document, operation.parameters.find((one) => one['in'] === 'path' && one['name'] === name) ?? {});
    if (value === null) missing.push(name);
    else text = text.replace(hole, () => encodeURIComponent(value));
  }
  return { path: text, open: missing.length === 0 ? null : `the document gives no example for ${missing.join(', ')}` };
}

function exampleOf(document: OpenApiDocument, parameter: Node): string | null {
  const schema = resolved(document, parameter['schema']);
  const from = isNode(schema) ? schema : {};
  const [named] = isNode(parameter['examples']) ? Object.values(parameter['examples']).map((one) => resolved(document, one)) : [];
  const [listed] = Array.isArray(from['examples']) ? from['examples'] : [];
  const value = [parameter['example'], isNode(named) ? named['value'] : undefined, from['example'], listed, from['default']].find((one) => one !== undefined);
  return (typeof value === 'string' && value !== '') || typeof value === 'number' ? String(value) : null;
}

/** Where the document itself was served, with the path of its first server: a server on another host may be another environment. */
function baseOf(document: OpenApiDocument, documentUrl: string): string {
  const [server] = Array.isArray(document['servers']) ? document['servers'] : [];
  const variables: Node = isNode(server) && isNode(server['variables']) ? server['variables'] : {};
  const written = isNode(server) && typeof server['url'] === 'string' ? server['url'] : '/';
  const url = written.replaceAll(/\{([^}]+)\}/g, (_, name: string) => {
    const variable = variables[name];
    return isNode(variable) ? String(variable['default']) : '';
  });
  const { origin } = new URL(documentUrl);
  return origin + (URL.canParse(url, documentUrl) ? new URL(url, documentUrl).pathname.replace(/\/+$/, '') : '');
}

/** What is documented for a status: itself, its class, or the default. */
function responseOf(document: OpenApiDocument, operation: OpenApiOperation, status: number): Node | null {
  const responses = isNode(operation['responses']) ? operation['responses'] : {};
  const key = [String(status), `${Math.floor(status / 100)}XX`, `${Math.floor(status / 100)}xx`, 'default'].find((one) => Object.hasOwn(responses, one));
  const response = key === undefined ? null : resolved(document, responses[key]);
  return isNode(response) ? response : null;
}

function mediaOf(content: Node, said: string): { type: string; schema: unknown } | null {
  const essence = (type: string): string => (type.split(';')[0] ?? '').trim().toLowerCase();
  const type = essence(said);
  const key = [type, type.replace(/\/.*/, '/*'), '*/*'].flatMap((wanted) => Object.keys(content).filter((one) => essence(one) === wanted))[0];
  if (key === undefined || type === '') return null;
  const media = content[key];
  return { type, schema: isNode(media) ? media['schema'] : undefined };
}

/** What is wrong with a body, in words without any of its values; null: nothing. */
function mismatch(document: OpenApiDocument, schema: unknown, body: string): string | null {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return 'is no JSON';
  }
  const ajv = new Ajv2020({ strict: false, logger: false });
  const validate = ajv.compile(outline(document, schema, true, new Set()));
  if (validate(value)) return null;
  return `is not as documented: ${ajv.errorsText(validate.errors?.slice(0, 3), { dataVar: 'it' })}`;
}

const TYPES: ReadonlySet<unknown> = new Set(['null', 'boolean', 'object', 'array', 'number', 'integer', 'string']);

/**
 * What a schema says of the types, and of the properties at the top. Its finer rules are where documents and services part for years
 * without anybody minding; a rollback is no time to find out. OpenAPI 3.0 and 3.1 are the same in this.
 */
function outline(document: OpenApiDocument, schema: unknown, atTop: boolean, within: ReadonlySet<unknown>): Record<string, unknown> {
  const node = resolved(document, schema);
  if (!isNode(node) || within.has(node)) return {};
  const inside = new Set([...within, node]);
  const inner = (one: unknown, top: boolean): Record<string, unknown> => outline(document, one, top, inside);
  const list = (key: string): readonly unknown[] => (Array.isArray(node[key]) ? node[key] : []);
  const types = [node['type']].flat().filter((type) => TYPES.has(type));
  const rules: unknown[] = types.length > 0 ? [{ type: types }] : [];
  rules.push(...list('allOf').map((part) => inner(part, atTop)));
  // An answer that fits two outlines is still one that fits.
  for (const parts of [list('anyOf'), list('oneOf')]) if (parts.length > 0) rules.push({ anyOf: parts.map((part) => inner(part, atTop)) });
  if (atTop) {
    const properties = isNode(node['properties']) ? node['properties'] : {};
    const isSent = (name: unknown): boolean => {
      const property = resolved(document, typeof name === 'string' && Object.hasOwn(properties, name) ? properties[name] : null);
      return typeof name === 'string' && !(isNode(property) && property['writeOnly'] === true);
    };
    const types = Object.fromEntries(Object.entries(properties).map(([name, property]) => [name, inner(property, false)]));
    rules.push({ required: [...new Set(list('required').filter(isSent))], properties: types, items: inner(node['items'] ?? null, true) });
  }
  const all = rules.length > 0 ? { allOf: rules } : {};
  return node['nullable'] === true ? { anyOf: [{ type: 'null' }, all] } : all;
}
