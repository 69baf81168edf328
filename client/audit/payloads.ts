/** Values as they stand in histories, made readable and comparable. */
import type { Payload } from '@temporalio/common';

/** One value: its encoding's name and its bytes. */
export interface Encoded {
  readonly encoding: string;
  readonly data: Uint8Array;
}

export const encodedOf = (payload: Payload | null | undefined): Encoded | null =>
  payload ? { encoding: Buffer.from(payload.metadata?.['encoding'] ?? []).toString('utf8'), data: payload.data ?? new Uint8Array() } : null;

/** The JSON value; what is no JSON stays as its bytes, so that it can still be compared. */
export function valueOf(encoded: Encoded | null): unknown {
  if (encoded === null || encoded.encoding === 'binary/null') return null;
  const bytes = Buffer.from(encoded.data);
  const raw = { encoding: encoded.encoding, base64: bytes.toString('base64') };
  if (encoded.encoding !== 'json/plain') return raw;
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return raw;
  }
}

export interface Difference {
  /** e.g. `steps[0].receipt.after.version`; empty for the whole. */
  readonly path: string;
  readonly left: unknown;
  readonly right: unknown;
}

type Fields = Readonly<Record<string, unknown>>;
export const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Where two JSON values differ, in order; absent and undefined are the same, as they are in JSON. */
export function differences(left: unknown, right: unknown, path = ''): Difference[] {
  if (Object.is(left, right)) return [];
  if (Array.isArray(left) && Array.isArray(right)) {
    return Array.from({ length: Math.max(left.length, right.length) }, (_, index) => index).flatMap((index) =>
      differences(left[index], right[index], `${path}[${index}]`),
    );
  }
  if (isFields(left) && isFields(right)) {
    const names = new Set([...Object.keys(left), ...Object.keys(right)]);
    return [...names].flatMap((name) => differences(left[name], right[name], path === '' ? name : `${path}.${name}`));
  }
  return [{ path, left, right }];
}

/** For a sentence. */
export function short(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > 120 ? `${text.slice(0, 117)}…` : text;
}

/** The first of the differences in words. */
export function inWords(found: readonly Difference[], left: string, right: string): string {
  const shown = found.slice(0, 3).map((one) => `${one.path === '' ? '' : `at ${one.path} `}${left} ${short(one.left)}, ${right} ${short(one.right)}`);
  return `${shown.join('; ')}${found.length > 3 ? `; and ${found.length - 3} more` : ''}`;
}
