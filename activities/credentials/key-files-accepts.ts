/** Asks the service itself whether it accepts a key: one GET, no redirect followed, and nothing of the answer but its status. */
import { z } from 'zod';
import { AdapterError, type AdapterErrorKind } from '../adapters/adapter.ts';

export const acceptsSchema = z.strictObject({
  url: z
    .url({ protocol: /^https?$/ })
    .refine((url) => URL.parse(url)?.username === '' && URL.parse(url)?.password === '', 'no user and no password in it: the key goes in a header')
    .describe('GET: 2xx for a key that is accepted, whatever its scopes; 401 or 403 for one that is not'),
  header: z
    .string()
    .regex(/^[A-Za-z][A-Za-z0-9-]{0,63}$/)
    .default('Authorization')
    .describe('Where the key goes; in Authorization after the word Bearer'),
});
export type AcceptsOptions = z.infer<typeof acceptsSchema>;

const TIMEOUT_MS = 10_000;

export async function isAccepted({ url, header }: AcceptsOptions, secret: string, signal: AbortSignal): Promise<boolean> {
  signal.throwIfAborted();
  const headers = headersOf(header, secret);
  if (headers === null)
    throw new AdapterError('configuration', `the key cannot be sent in the header ${header}: is there a line break or another odd character in it?`);
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  let response: Response;
  try {
    response = await fetch(url, { headers, redirect: 'manual', signal: AbortSignal.any([signal, timeout]) });
    await response.body?.cancel();
  } catch (error) {
    signal.throwIfAborted();
    throw new AdapterError(
      'unavailable',
      `${placeOf(url)} did not say whether the key is accepted: ${timeout.aborted ? 'no answer within 10 s' : reasonOf(error)}`,
      {
        cause: error,
      },
    );
  }
  if (response.ok) return true;
  if (response.status === 401 || response.status === 403) return false;
  throw new AdapterError(
    kindOf(response.status),
    `${placeOf(url)} answered ${response.status}, which says neither that the key is accepted nor that it is not`,
  );
}

/** Null where the key cannot be sent; the reason would quote it. */
function headersOf(header: string, secret: string): Headers | null {
  try {
    return new Headers({ 'user-agent': 'backout', accept: '*/*', [header]: header.toLowerCase() === 'authorization' ? `Bearer ${secret}` : secret });
  } catch {
    return null;
  }
}

const placeOf = (url: string): string => `${new URL(url).origin}${new URL(url).pathname}`;
const kindOf = (status: number): AdapterErrorKind =>
  status === 429 ? 'rate-limited' : status >= 500 || status === 408 ? 'unavailable' : 'unexpected-response';

function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? `${cause.code}: ` : '';
  return `${code}${cause instanceof Error ? cause.message : String(cause)}`;
}
