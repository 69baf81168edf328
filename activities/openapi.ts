/**
 * OpenAPI 3 documents: what one says of an operation, with its local references resolved, and where two of them first differ. A part says the
 * same whether it is written out or referred to, so everything is compared by digest: written out in full, a real document can be endless.
 */
import { fieldOf } from '../model/field.ts';
import { parse } from 'yaml';
import { canonical, sha256 } from '../store/digest.ts';
import { read } from './checks.ts';

export type OpenApiDocument = Readonly<Record<string, unknown>>;
type Node = Readonly<Record<string, unknown>>;

export interface ReadDocument {
  readonly document: OpenApiDocument | null;
  /** Why there is none. */
  readonly problem: string | null;
}

const DOCUMENT_MAX = 5 * 1024 * 1024;
const READ_SECONDS = 5;
/** References that lead to references. */
const HOPS_MAX = 100;

const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null && !Array.isArray(value);

/** The document that is served at `url`, JSON or YAML; never throws for what the other side does. */
export async function askDocument(url: string, signal: AbortSignal, seconds = READ_SECONDS): Promise<ReadDocument> {
  const { ok, body, problem } = await read(url, seconds, signal, { bodyMax: DOCUMENT_MAX });
  return ok ? documentFrom(body) : { document: null, problem };
}

/** The same for a recorder; throws in words for people where there is none. */
export async function readDocument(url: string, signal: AbortSignal): Promise<OpenApiDocument> {
  const { document, problem } = await askDocument(url, signal);
  if (!document) throw new Error(`${url}: ${problem}`);
  return document;
}

export function documentFrom(text: string): ReadDocument {
  if (text.length > DOCUMENT_MAX) return { document: null, problem: `the document is larger than ${DOCUMENT_MAX} bytes` };
  const value = valueOf(text);
  if (!isNode(value)) return { document: null, problem: 'it is neither JSON nor YAML' };
  if (!/^3(\.|$)/.test(String(fieldOf(value, 'openapi'))) || !isNode(fieldOf(value, 'paths')))
    return { document: null, problem: 'it is no OpenAPI 3 document with paths' };
  return { document: value, problem: null };
}

function valueOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    try {
      // To JSON and back: YAML knows values that contain themselves, dates, and keys that are no text.
      return JSON.parse(JSON.stringify(parse(text, { logLevel: 'error' })));
    } catch {
      return null;
    }
  }
}

/** What `#/a/b` names; undefined where it names nothing here. */
function target(document: OpenApiDocument, pointer: string): unknown {
  if (!/^#(\/|$)/.test(pointer)) return undefined;
  try {
    const keys = decodeURIComponent(pointer.slice(1)).split('/').slice(1);
    return keys.reduce<unknown>((at, key) => fieldOf(at, key.replaceAll('~1', '/').replaceAll('~0', '~')), document);
  } catch {
    return undefined;
  }
}

/** What a value says in the end; a reference that leads nowhere, or out of the document, says itself. */
export function resolved(document: OpenApiDocument, value: unknown): unknown {
  let at = value;
  for (let hop = 0; hop < HOPS_MAX; hop++) {
    const pointer = fieldOf(at, '$ref');
    const next = typeof pointer === 'string' ? target(document, pointer) : undefined;
    if (next === undefined) return at;
    at = next;
  }
  return at;
}

export interface OpenApiOperation extends Node {
  /** Those of the path and of the operation, resolved, sorted by place and name. */
  readonly parameters: readonly Node[];
}

/** `GET /products/{id}`: all that holds for it, also what its path and the document say; null where the document does not have it. */
export function operationOf(document: OpenApiDocument, critical: string): OpenApiOperation | null {
  const [method = '', path = ''] = critical.trim().split(/\s+/);
  const item = resolved(document, fieldOf(fieldOf(document, 'paths'), path));
  const operation = resolved(document, fieldOf(item, method.toLowerCase()));
  if (!isNode(operation)) return null;
  const parameters = new Map<string, Node>();
  for (const from of [item, operation]) {
    const list = fieldOf(from, 'parameters');
    for (const one of Array.isArray(list) ? list : []) {
      const parameter = resolved(document, one);
      if (isNode(parameter)) parameters.set(`${String(fieldOf(parameter, 'in'))} ${String(fieldOf(parameter, 'name'))}`, parameter);
    }
  }
  const sorted = [...parameters].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, parameter]) => parameter);
  const security = fieldOf(operation, 'security') ?? fieldOf(document, 'security');
  const schemes = fieldOf(fieldOf(document, 'components'), 'securitySchemes');
  const names = Array.isArray(security) ? security.flatMap((one) => (isNode(one) ? Object.keys(one) : [])) : [];
  const securitySchemes = Object.fromEntries(names.map((name) => [name, fieldOf(schemes, name) ?? null]));
  return { ...operation, parameters: sorted, ...(security === undefined ? {} : { security, securitySchemes }) };
}

interface Digests {
  readonly of: (value: unknown) => string;
  /** References that come back to themselves cannot be written out: they are known by their name, and what they say is compared beside. */
  readonly recursive: (value: unknown) => Readonly<Record<string, unknown>>;
}

function digestsOf(document: OpenApiDocument): Digests {
  const known = new WeakMap<object, string>();
  const direct = new WeakMap<object, ReadonlySet<string>>();
  const reach = new Map<string, ReadonlySet<string>>();

  /** The references within a value, not followed. */
  const references = (value: unknown): ReadonlySet<string> => {
    if (typeof value !== 'object' || value === null) return new Set();
    const before = direct.get(value);
    if (before) return before;
    const found = new Set(Object.values(value).flatMap((inner) => [...references(inner)]));
    const pointer = fieldOf(value, '$ref');
    if (typeof pointer === 'string' && target(document, pointer) !== undefined) found.add(pointer);
    direct.set(value, found);
    return found;
  };
  const reachable = (value: unknown): ReadonlySet<string> => {
    const found = new Set(references(value));
    for (const pointer of found) for (const next of references(target(document, pointer))) found.add(next);
    return found;
  };
  const isRecursive = (pointer: string): boolean => {
    const found = reach.get(pointer) ?? reachable(target(document, pointer));
    reach.set(pointer, found);
    return found.has(pointer);
  };

  const of = (value: unknown): string => {
    if (typeof value !== 'object' || value === null) return canonical(value);
    const before = known.get(value);
    if (before !== undefined) return before;
    const pointer = fieldOf(value, '$ref');
    const next = typeof pointer === 'string' && !isRecursive(pointer) ? target(document, pointer) : undefined;
    const parts = Array.isArray(value) ? value.map(of) : Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, of(inner)]));
    // What stands beside a reference holds as well.
    if (next !== undefined && !Array.isArray(parts)) parts['$ref'] = of(next);
    const digest = next !== undefined && Object.keys(value).length === 1 ? of(next) : sha256(canonical(parts));
    known.set(value, digest);
    return digest;
  };
  return {
    of,
    recursive: (value) => Object.fromEntries([...reachable(value)].filter(isRecursive).map((pointer) => [pointer, target(document, pointer)])),
  };
}

/** SHA-256 of each critical operation with its references resolved: equal where two documents say the same. Null: not in the document. */
export function digestOf(document: OpenApiDocument, critical: readonly string[]): Readonly<Record<string, string | null>> {
  const digests = digestsOf(document);
  return Object.fromEntries(
    critical.map((name) => {
      const operation = operationOf(document, name);
      return [name, operation === null ? null : digests.of({ operation, recursive: digests.recursive(operation) })];
    }),
  );
}

type Side = readonly [value: unknown, document: OpenApiDocument, digests: Digests];

/** Where the served document first says something else about an operation than the target's, in words for the operator; null where they say the same. */
export function difference(ofTarget: OpenApiDocument, served: OpenApiDocument, critical: string): string | null {
  const side = (document: OpenApiDocument): Side => {
    const [operation, digests] = [operationOf(document, critical), digestsOf(document)];
    return [{ operation, recursive: digests.recursive(operation) }, document, digests];
  };
  const [left, right] = [side(ofTarget), side(served)];
  return isSame(left, right) ? null : first(left, right, []);
}

const isSame = (left: Side, right: Side): boolean => left[2].of(left[0]) === right[2].of(right[0]);

function first(left: Side, right: Side, path: readonly string[]): string {
  const [expected, found] = [unfolded(left), unfolded(right)];
  const at = (further: readonly string[]): string => [...path, ...further].slice(1).join(' › ') || 'the operation';
  if (!isObject(expected) || !isObject(found) || Array.isArray(expected) !== Array.isArray(found))
    return `${at([])} is ${word(expected)} in the target's document and ${word(found)} in the one served`;
  for (const key of new Set([...Object.keys(expected), ...Object.keys(found)].sort())) {
    if (!Object.hasOwn(found, key)) return `${at([key])} is only in the target's document`;
    if (!Object.hasOwn(expected, key)) return `${at([key])} is only in the document served`;
    const [a, b]: [Side, Side] = [
      [fieldOf(expected, key), left[1], left[2]],
      [fieldOf(found, key), right[1], right[2]],
    ];
    if (!isSame(a, b)) return first(a, b, [...path, key]);
  }
  return `${at([])} differs`;
}

/** Recursive references stay as they are: what they say is compared under their name. */
function unfolded([value, document, digests]: Side): unknown {
  const next = isNode(value) && Object.keys(value).length === 1 ? resolved(document, value) : value;
  return next !== value && digests.of(next) === digests.of(value) ? next : value;
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;
const word = (value: unknown): string => (Array.isArray(value) ? 'a list' : isObject(value) ? 'an object' : JSON.stringify(value).slice(0, 60));
