/** How the freeze carrier asks GitHub, and what each kind of part looks like to it. */
import { z } from 'zod';
import { AdapterError } from '../adapters/adapter.ts';
import { beating, createHttp, type Beat, type Http, type HttpRequest } from '../adapters/http.ts';
import type { FreezeCall, FreezePart } from './carrier.ts';
import type { GithubFreezeOptions } from './github-options.ts';

export const NAME = 'github';
export type Call = FreezeCall<GithubFreezeOptions>;

export interface Session extends Beat {
  readonly call: Call;
  readonly http: Http;
}

/** A part as it was found, with what can be done to it from there. */
export interface Found {
  readonly part: FreezePart;
  /** GitHub's own id of it; null where there is none yet. */
  readonly id: number | null;
  /** Exactly as `set` leaves it: `lift` touches nothing else. */
  readonly asSet: boolean;
  /** What a person must tidy up, since Backout deletes nothing. */
  readonly fault: string | null;
  /** What `lift` needs to put it back. JSON, no secrets. */
  readonly before: unknown;
  /** What `lift` may take for it where nobody knows; undefined: then it is left alone. */
  readonly presumed: unknown;
  /** Is it no longer frozen by us, or as it was before? Then there is nothing to lift and nothing to say. */
  readonly isBack: (before: unknown) => boolean;
  readonly freeze: () => Promise<void>;
  readonly thaw: (before: unknown) => Promise<void>;
}

/** One thing on the platform that can hold the freeze. */
export interface Holder extends Pick<FreezePart, 'name' | 'scope'> {
  readonly look: (session: Session) => Promise<Found>;
}

const REMEDIES = {
  unauthorized: 'give the token Administration, Actions and Variables: read and write on this repository; rulesets of a private repository need a paid plan',
  'not-found': 'check repository, workflows and environments in the options, and that the token may see them: GitHub answers 404 to both',
  conflict: 'check the ids in bypass and rollbackOwners; required reviewers of a private repository need GitHub Enterprise',
} as const;
const PAGE = 100;
const PAGES_MAX = 50;

export function withGithub<T>(call: Call, work: (session: Session) => Promise<T>): Promise<T> {
  const { options } = call;
  return beating(call, NAME, async (beat) => {
    const token = (await call.secret(options.token)).trim();
    if (token === '') throw new AdapterError('configuration', `[${NAME}] ${options.token} is empty; put the token there`);
    const http = createHttp({
      adapter: NAME,
      baseUrl: options.apiUrl,
      secrets: [token],
      timeoutMs: options.requestSeconds * 1000,
      remedies: REMEDIES,
      about: { repository: options.repository },
      headers: { authorization: `Bearer ${token}`, accept: 'application/vnd.github+json', 'x-github-api-version': '2022-11-28' },
    });
    return work({ ...beat, call, http });
  });
}

/** `path` continues `/repos/{owner}/{repo}`. */
export const ask = <T>({ call, http }: Session, request: Omit<HttpRequest<T>, 'signal'>): Promise<T> =>
  http.request({ ...request, path: `/repos/${call.options.repository}${request.path}`, signal: call.signal });

export const read = <T>(session: Session, action: string, path: string, answer: z.ZodType<T>, query: HttpRequest<T>['query'] = {}): Promise<T> =>
  ask(session, { action, method: 'GET', path, answer, query });

/** A write whose answer is not read: only a fresh look counts. */
export const write = async (session: Session, action: string, method: HttpRequest<unknown>['method'], path: string, body?: unknown): Promise<void> => {
  await ask(session, { action, method, path, answer: z.unknown(), ...(body === undefined ? {} : { body }) });
};

/** Every item of a list, page after page. */
export async function* listed<T>(session: Session, action: string, path: string, item: z.ZodType<T>, query: HttpRequest<T>['query'] = {}): AsyncGenerator<T> {
  for (let page = 1; page <= PAGES_MAX; page += 1) {
    const items = await read(session, action, path, z.array(item), { ...query, per_page: PAGE, page });
    yield* items;
    if (items.length < PAGE) return;
  }
  throw session.http.error('unexpected-response', action, `there are more than ${PAGE * PAGES_MAX}, which is more than can be looked through`);
}

/** A `before` of our own that has come back, from a receipt or from the note. */
export function understood<T>(session: Session, name: string, schema: z.ZodType<T>, before: unknown): T {
  const { success, data } = schema.safeParse(before);
  if (success) return data;
  throw session.http.error('configuration', 'lift', `what was noted of ${name} before the freeze cannot be read; put it back by hand`);
}
