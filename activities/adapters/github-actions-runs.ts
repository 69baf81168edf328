/** The runs of the user's workflow as GitHub lists them, and how the one of an operation is told from the others. */
import { z } from 'zod';
import { AdapterError, type AdapterCall, type AdapterErrorKind } from './adapter.ts';
import type { GithubActionsOptions } from './github-actions.ts';
import { beating, createHttp, HttpError, type Beat, type Http, type HttpRequest } from './http.ts';

export const NAME = 'github-actions';
export type Call = AdapterCall<GithubActionsOptions>;

export const runSchema = z.object({
  id: z.number(),
  display_title: z.string(),
  status: z.string().nullable(),
  conclusion: z.string().nullable(),
  html_url: z.string(),
  created_at: z.string(),
  head_sha: z.string(),
  run_attempt: z.number().optional(),
});
const runsSchema = z.object({ total_count: z.number(), workflow_runs: z.array(runSchema) });
export type Run = z.infer<typeof runSchema>;

/** GitHub shows the first 1,000 results of a search; older ones need another search. */
export const [PAGE, PAGES_MAX] = [100, 10];
const SEARCHES_MAX = 5;
export const LOOKBACK_DAYS = 90;
export const TRANSIENT: ReadonlySet<AdapterErrorKind> = new Set(['unavailable', 'rate-limited', 'unexpected-response']);
const REMEDIES = {
  unauthorized: 'give the token Actions: read and write and Contents: read on this repository',
  'not-found': 'check repository and workflow in the options, and that the token may see them: GitHub answers 404 to both',
} as const;

export interface Session extends Beat {
  readonly call: Call;
  readonly http: Http;
}

export function withGithub<T>(call: Call, work: (session: Session) => Promise<T>): Promise<T> {
  const { options } = call;
  return beating(call, NAME, async (beat) => {
    const token = (await call.secret(options.token)).trim();
    if (token === '') throw new AdapterError('configuration', `[${NAME}] ${options.token} is empty; put the token there`);
    const http = createHttp({
      adapter: NAME,
      baseUrl: options.baseUrl,
      secrets: [token],
      timeoutMs: options.requestSeconds * 1000,
      remedies: REMEDIES,
      about: { repository: options.repository, workflow: options.workflow },
      headers: { authorization: `Bearer ${token}`, accept: 'application/vnd.github+json', 'x-github-api-version': '2022-11-28' },
    });
    return work({ ...beat, call, http });
  });
}

/** `path` continues `/repos/{owner}/{repo}`; with a body it is a POST. */
export const ask = <T>(
  { call, http }: Session,
  action: string,
  path: string,
  answer: z.ZodType<T>,
  more: Pick<HttpRequest<T>, 'query' | 'body'> = {},
): Promise<T> =>
  http.request({
    action,
    method: more.body === undefined ? 'GET' : 'POST',
    path: `/repos/${call.options.repository}${path}`,
    answer,
    signal: call.signal,
    ...more,
  });

export const workflowPath = (options: GithubActionsOptions): string => `/actions/workflows/${options.workflow}`;
export const webHost = (baseUrl: string): string => new URL(baseUrl).host.replace(/^api\.(?=github\.com$|[\w-]+\.ghe\.com$)/, '');
export const webUrl = (options: GithubActionsOptions): string =>
  `${new URL(options.baseUrl).protocol}//${webHost(options.baseUrl)}/${options.repository}${workflowPath(options)}`;

/** A whole word: `…/1` is not in `…/10`, nor `v1` in `v1.2`. */
export const names = (title: string, word: string): boolean => new RegExp(`(?<![\\w./-])${literal(word)}(?![\\w./-])`).test(title);
const literal = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');

/** The operation id in a title, where it is one on this component: `rollbackId/component.operation/generation`. */
export const operationIn = (title: string, component: string): string | null =>
  new RegExp(`(?<![\\w./-])[\\w-]+/${literal(component)}\\.[\\w.-]+/[\\w-]+(?![\\w./-])`).exec(title)?.[0] ?? null;

/** Every dispatched run of the workflow, newest first; a run may come twice, since new ones move the pages. */
export async function* runsOf(session: Session): AsyncGenerator<Run> {
  const since = new Date(Date.now() - LOOKBACK_DAYS * 86_400_000).toISOString().slice(0, 10);
  let created = `>=${since}`;
  for (let searches = 0; searches < SEARCHES_MAX; searches += 1) {
    let oldest = '';
    for (let page = 1; page <= PAGES_MAX; page += 1) {
      const query = { event: 'workflow_dispatch', created, per_page: PAGE, page };
      const { total_count: total, workflow_runs: runs } = await ask(session, 'list runs', `${workflowPath(session.call.options)}/runs`, runsSchema, { query });
      yield* runs;
      // Both must say that it was the last page, since neither is promised.
      if (runs.length === 0 || (runs.length < PAGE && page * PAGE >= total)) return;
      oldest = runs.at(-1)?.created_at ?? '';
    }
    created = `${since}..${oldest}`;
  }
  throw session.http.error(
    'unknown',
    'list runs',
    `there are too many runs to look through; give Backout a workflow of its own (${webUrl(session.call.options)})`,
  );
}

/**
 * Looks for the operation's run, for `graceMs` because the list may be stale. What proves nothing begins the grace again: a look that
 * took longer than a later attempt would wait before its own dispatch (this process was suspended, say), and, once there was a dispatch
 * (`sent`), a look that failed. Before one, a failed look is thrown.
 */
export async function search(session: Session, graceMs: number, sent: boolean): Promise<Run | null> {
  const { call, http, say, pause } = session;
  const findMs = call.options.findSeconds * 1000;
  const until = Date.now() + call.options.followSeconds * 1000;
  for (let [since, grace] = [Date.now(), graceMs]; Date.now() < until;) {
    const askedAt = Date.now();
    let pauseMs = call.options.pollSeconds * 1000;
    let failed = false;
    try {
      for await (const run of runsOf(session)) if (names(run.display_title, call.operationId)) return run;
    } catch (error) {
      if (!sent || !(error instanceof HttpError) || call.signal.aborted) throw error;
      if (!TRANSIENT.has(error.kind)) return null;
      failed = true;
      pauseMs = Math.max(pauseMs, error.retryAfterMs ?? 0);
    }
    if (failed || Date.now() - askedAt > findMs) [since, grace] = [Date.now(), findMs];
    else if (askedAt - since >= grace) return null;
    say(`looking for a run named ${call.operationId}`);
    await pause(Math.max(0, Math.min(pauseMs, until - Date.now())));
  }
  if (sent) return null;
  throw http.error('unavailable', 'list runs', `each look takes longer than ${findMs / 1000} s, so it cannot be trusted; nothing was dispatched`);
}
