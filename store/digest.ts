/** The texts that are hashed and stored, and their hashes. */
import canonicalize from 'canonicalize';
import { createHash } from 'node:crypto';

/** `sha256:` and 64 hexadecimal digits, over the text's UTF-8 bytes. */
export const sha256 = (text: string): string => `sha256:${createHash('sha256').update(text, 'utf8').digest('hex')}`;

/** The hash of a record entry, for `verifyChain` [reliability.md]. */
export const digest = (previous: string, body: string): string => sha256(previous + body);

/** JSON.stringify escapes control characters and lone surrogates only, so every escape with digits is one of these. */
const ESCAPE = /\\(?:u([0-9a-f]{4})|.)/g;
const replaceEscapes = (json: string, isBad: (digits: string) => boolean): string =>
  json.replace(ESCAPE, (escape, digits: string | undefined) => (digits !== undefined && isBad(digits) ? '\\ufffd' : escape));

const isSurrogate = (digits: string): boolean => digits.startsWith('d');

function jsonOf(value: unknown): string {
  // Its declared type hides that `undefined` and functions have no JSON.
  const json: unknown = JSON.stringify(value);
  if (typeof json !== 'string') throw new TypeError(`${typeof value} has no JSON`);
  return json;
}

/**
 * Canonical JSON (RFC 8785). Half a surrogate pair, which has no UTF-8, becomes U+FFFD: what people send
 * must never keep a rollback from being recorded.
 */
export function canonical(value: unknown): string {
  const text = canonicalize(JSON.parse(replaceEscapes(jsonOf(value), isSurrogate)));
  if (text === undefined) throw new TypeError('not JSON');
  return text;
}

/** JSON that `jsonb` takes: it knows neither NUL nor half a surrogate pair. Nothing at all is null. */
export const jsonb = (value: unknown): string =>
  value === undefined ? 'null' : replaceEscapes(jsonOf(value), (digits) => digits === '0000' || isSurrogate(digits));

/** Text that a column takes: it knows no NUL. */
export const column = (text: string): string => text.replaceAll('\u0000', '\ufffd').replaceAll(/\p{Surrogate}/gu, '\ufffd');
