/** Reading JSON from outside, field by field and bounded, by hand: for the guards of `input.ts`, which run inside the workflow. */

export type Parsed<T> = { readonly value: T } | { readonly error: string };

/** What the payload converter puts in the place of something it could not read. */
export const UNREADABLE = '__unreadable';

/** Longest text taken from outside: a history is no place for a novel. */
const TEXT_MAX = 4_000;
/** Longest name of a person, a role or a step: it is repeated in what we say about it. */
export const LABEL_MAX = 200;
/** Longest sentence about what was wrong: it is kept and carried, and may quote what was sent. */
const ERROR_MAX = 500;
const DATA_MAX = 16_000;
const DEPTH_MAX = 10;
const EVIDENCE_MAX = 20;
export const NAME = /^[a-z0-9-]+$/;

export class Malformed extends Error {}

export type Fields = Readonly<Record<string, unknown>>;

export function fields(value: unknown): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Malformed('one JSON object is expected');
  const unreadable: unknown = Object.getOwnPropertyDescriptor(value, UNREADABLE)?.value;
  if (typeof unreadable === 'string') throw new Malformed(unreadable.trim() === '' ? 'the payload cannot be read' : unreadable);
  return value as Fields; // Checked above: a plain object.
}

export function text(from: Fields, name: string, max = TEXT_MAX): string {
  const value = from[name];
  if (typeof value !== 'string' || value.trim() === '') throw new Malformed(`"${name}" must be a text that is not empty`);
  if (value.length > max) throw new Malformed(`"${name}" is longer than ${max} characters`);
  return storable(value, name).trim();
}

/** Postgres takes neither NUL nor half a surrogate pair; what cannot be recorded is not accepted. */
export function storable(value: string, name: string): string {
  if (value.includes('\u0000') || !value.isWellFormed())
    throw new Malformed(`"${name}" holds a character that cannot be stored (NUL or half a surrogate pair)`);
  return value;
}

export const label = (from: Fields, name: string): string => text(from, name, LABEL_MAX);

export const optional = (from: Fields, name: string, max = TEXT_MAX): string | null =>
  from[name] === undefined || from[name] === null || from[name] === '' ? null : text(from, name, max);

export function texts(from: Fields, name: string): string[] {
  const value = from[name] ?? [];
  if (!Array.isArray(value) || value.length > EVIDENCE_MAX || !value.every((one) => typeof one === 'string' && one.length <= TEXT_MAX / 4)) {
    throw new Malformed(`"${name}" must be a list of at most ${EVIDENCE_MAX} texts of at most ${TEXT_MAX / 4} characters`);
  }
  return value.map((one: string) => storable(one, name));
}

/** Free JSON from outside, bounded before anything walks it by recursion. */
export function data(from: Fields, name: string): unknown {
  const value = from[name] ?? null;
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > DEPTH_MAX || level.length > DATA_MAX) throw new Malformed(`"${name}" is nested deeper than ${DEPTH_MAX} levels or too large`);
    level = level.flatMap((one) => (typeof one === 'object' && one !== null ? Object.values(one) : []));
  }
  const json = JSON.stringify(value);
  if (json.length > DATA_MAX) throw new Malformed(`"${name}" is larger than ${DATA_MAX} characters`);
  // JSON.stringify escapes these, and a backslash as two: one that stands alone begins an escape.
  if (/(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/.test(json))
    throw new Malformed(`"${name}" holds a character that cannot be stored (NUL or half a surrogate pair)`);
  return value;
}

export function oneOf<const T extends string>(from: Fields, name: string, allowed: readonly T[], fallback?: T): T {
  const value = from[name] ?? fallback;
  const found = allowed.find((one) => one === value);
  if (found === undefined) throw new Malformed(`"${name}" must be one of ${allowed.join(', ')}`);
  return found;
}

export function attempt<T>(parse: () => T): Parsed<T> {
  try {
    return { value: parse() };
  } catch (error) {
    if (error instanceof Malformed) return { error: error.message.slice(0, ERROR_MAX).replaceAll('\u0000', '\uFFFD').toWellFormed() };
    throw error;
  }
}

export function time(from: Fields, name: string): string | null {
  const value = optional(from, name);
  if (value !== null && !/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)$/.test(value))
    throw new Malformed(`"${name}" must be an ISO time such as 2026-11-21T03:00:00Z`);
  return value;
}

export function names(from: Fields, name: string): string[] {
  const value = from[name] ?? [];
  if (!Array.isArray(value) || value.length > 50 || !value.every((one) => typeof one === 'string')) throw new Malformed(`"${name}" must be a list of names`);
  const list = [...new Set<string>(value)];
  const odd = list.find((one) => !NAME.test(one));
  if (odd !== undefined) throw new Malformed(`"${name}" holds ${JSON.stringify(odd)}; a name is lower-case letters, digits and hyphens`);
  return list;
}
