/**
 * GitHub Actions as the CI/CD executor [002 section 6]: dispatches the user's rollback workflow, finds its run again, follows it to its end.
 * https://docs.github.com/rest/actions/workflows and /workflow-runs, API 2022-11-28, checked November 2026 with @octokit/openapi-types 29.0.1.
 *
 * A dispatch is not idempotent and its answer may be lost. So the operation id goes into the run's name, which is the only input of a
 * run that can be read back, and the runs are searched for it before every dispatch. The user's workflow must therefore have these four inputs and
 *   run-name: Rollback ${{ inputs.component }} to ${{ inputs.version }} in ${{ inputs.environment }} (${{ inputs.operation }})
 * and should have `concurrency: { group: "rollback-${{ inputs.environment }}-${{ inputs.component }}", cancel-in-progress: false }`.
 */
import { resolve } from 'node:path';
import { z } from 'zod';
import type { Receipt } from '../../model/state.ts';
import type { Adapter, Observation } from './adapter.ts';
import {
  ask,
  LOOKBACK_DAYS,
  NAME,
  names,
  operationIn,
  PAGE,
  PAGES_MAX,
  runSchema,
  runsOf,
  search,
  TRANSIENT,
  webHost,
  webUrl,
  withGithub,
  workflowPath,
  type Call,
  type Run,
  type Session,
} from './github-actions-runs.ts';
import { HttpError, orNull } from './http.ts';

const seconds = z.number().positive().max(86_400);
const input = z.string().regex(/^[\w-]+$/, 'the name of an input of the workflow');

const optionsSchema = z.strictObject({
  repository: z.string().regex(/^[\w-]+\/(?!\.{1,2}$)[\w.-]+$/, 'owner/name'),
  workflow: z.string().regex(/^(?!\.{1,2}$)[\w.-]+$/, 'the file name without folders, e.g. rollback.yml, or the id'),
  ref: z.string().min(1).default('main').describe('Branch or tag whose workflow file is run'),
  token: z
    .string()
    .regex(/^(env:[A-Za-z_]\w*|file:.+)$/, '`env:NAME` or `file:PATH`')
    .default('env:GITHUB_TOKEN')
    .describe('Actions: read and write; Contents: read'),
  baseUrl: z
    .url()
    .refine((url) => /^https:|^http:\/\/(localhost|127\.0\.0\.1|\[::1\])([:/]|$)/.test(url), 'https, since the token goes there; http only to this machine')
    .default('https://api.github.com')
    .describe('GitHub Enterprise Server: https://HOST/api/v3'),
  inputs: z
    .strictObject({
      version: input.default('version'),
      component: input.default('component'),
      environment: input.default('environment'),
      operation: input.default('operation'),
    })
    .refine((names) => new Set(Object.values(names)).size === Object.keys(names).length, 'four different inputs')
    .prefault({}),
  pollSeconds: seconds.default(2),
  findSeconds: seconds.default(20).describe('How late a dispatched run may appear in the list'),
  followSeconds: seconds.default(900).describe('How long a run may take, waiting for approval included'),
  requestSeconds: seconds.default(10),
});
export type GithubActionsOptions = z.infer<typeof optionsSchema>;

const workflowSchema = z.object({ state: z.string(), path: z.string(), html_url: z.string() });
const fileSchema = z.object({ encoding: z.literal('base64'), content: z.string() });
/** Null: 204 without a body, where run details are not known or not asked for. */
const dispatchSchema = z.object({ workflow_run_id: z.number(), html_url: z.string() }).nullable();

const PAUSE_MS_MAX = 15_000;
/** What a person should do about a run that ended otherwise than in success. The list is open. */
const ADVICE: Readonly<Record<string, string>> = {
  failure: 'read the failed job there, and check what is served before you retry',
  cancelled: 'somebody cancelled it, or a newer run took its place in its concurrency group; check what is served, then retry',
  timed_out: 'a job ran into its time limit; check what is served, then retry or give the job more time',
  action_required: 'a person must approve something there before it can run; do that and use decide done, or retry',
  neutral: 'it says neither success nor failure, so nothing is known to be restored; check what is served',
  skipped: 'its jobs were skipped, probably by an `if:`, so nothing was restored; mend the condition, then retry',
  stale: 'GitHub gave up waiting for it; check that a runner is online, then retry',
};
const NO_ADVICE = 'this is not a success, and nothing more is known of it; check what is served';

const valuesOf = (
  { to, component, environment }: Pick<Call, 'to' | 'component' | 'environment'>,
  inputs: GithubActionsOptions['inputs'],
  operation: string,
): Record<string, string> => ({ [inputs.version]: to, [inputs.component]: component, [inputs.environment]: environment, [inputs.operation]: operation });

async function dispatch(session: Session): Promise<Pick<Run, 'id' | 'html_url'>> {
  const { call, http } = session;
  const { inputs, ref, findSeconds } = call.options;
  const body = { ref, inputs: valuesOf(call, inputs, call.operationId) };
  const send = (details: object): Promise<z.infer<typeof dispatchSchema>> =>
    ask(session, 'dispatch', `${workflowPath(call.options)}/dispatches`, dispatchSchema, { body: { ...body, ...details } });
  let lost: HttpError | null = null;
  try {
    session.say(`dispatching ${call.options.workflow}`);
    const run = await send({ return_run_details: true }).catch((error: unknown) => {
      // Older servers do not know the field; they have refused the whole request, so it may be sent again.
      if (error instanceof HttpError && (error.status === 400 || error.status === 422) && error.message.includes('return_run_details')) return send({});
      throw error;
    });
    if (run !== null) return { id: run.workflow_run_id, html_url: run.html_url };
  } catch (error) {
    if (!(error instanceof HttpError) || error.acted === 'no' || call.signal.aborted) throw error;
    lost = error;
  }
  session.say(lost === null ? 'dispatched; looking for the run' : `${lost.reason}; looking whether it was dispatched`);
  const found = await search(session, findSeconds * 1000, true);
  if (found !== null) return found;
  // `unknown` is looked into by another attempt, which may dispatch; what was accepted must not be dispatched again by anybody but a person.
  throw http.error(
    lost === null ? 'unexpected-response' : 'unknown',
    'dispatch',
    `${lost?.reason ?? 'GitHub accepted it'}, and no run named ${call.operationId} ` +
      `appeared within ${findSeconds} s; look at ${webUrl(call.options)} before anything is dispatched again`,
    lost === null ? {} : { cause: lost },
  );
}

async function follow(session: Session, reference: Pick<Run, 'id' | 'html_url'>): Promise<Receipt> {
  const { call, http, say, pause } = session;
  const { pollSeconds, findSeconds, followSeconds } = call.options;
  const startedAt = Date.now();
  for (let errors = 0; ;) {
    let pauseMs = pollSeconds * 1000;
    try {
      const run = await ask(session, 'follow', `/actions/runs/${reference.id}`, runSchema);
      errors = 0;
      if (run.status === 'completed' && run.conclusion !== null) return concluded(session, run, run.conclusion);
      say(run.status === 'waiting' ? `waiting for approval at ${run.html_url}` : `run ${run.status ?? 'without status'}: ${run.html_url}`);
    } catch (error) {
      if (!(error instanceof HttpError) || error.kind === 'failed' || call.signal.aborted) throw error;
      const unseen = error.kind === 'not-found' && Date.now() - startedAt < findSeconds * 1000;
      if (!unseen && !TRANSIENT.has(error.kind))
        throw http.error('unknown', 'follow', `${error.reason}; the run goes on at ${reference.html_url}`, { cause: error });
      errors += 1;
      pauseMs = Math.max(Math.min(pauseMs * 2 ** errors, PAUSE_MS_MAX), error.retryAfterMs ?? 0);
      say(`${error.reason}; asking again for ${reference.html_url}`);
    }
    const leftMs = startedAt + followSeconds * 1000 - Date.now();
    if (leftMs <= 0)
      throw http.error(
        'unknown',
        'follow',
        `the run had not ended after ${followSeconds} s and goes on at ${reference.html_url}; wait for it or cancel it there, then decide`,
      );
    await pause(Math.min(pauseMs, leftMs));
  }
}

function concluded({ call, http }: Session, run: Run, conclusion: string): Receipt {
  if (conclusion !== 'success') throw http.error('failed', 'run', `it ended as ${conclusion}: ${run.html_url}; ${ADVICE[conclusion] ?? NO_ADVICE}`);
  const nameless = names(run.display_title, call.operationId)
    ? {}
    : { detail: `its name, ${run.display_title}, lacks the operation id: after a crash it would not be found again` };
  return { after: { conclusion, headSha: run.head_sha }, ids: { runId: run.id, runUrl: run.html_url, runAttempt: run.run_attempt ?? 1 }, ...nameless };
}

/** Would a dispatch work, and would its run be found again? */
async function checkWorkflow(session: Session): Promise<void> {
  const {
    http,
    call: { options },
  } = session;
  const workflow = await ask(session, 'inspect', workflowPath(options), workflowSchema);
  if (workflow.state !== 'active') throw http.error('configuration', 'inspect', `the workflow is ${workflow.state}; enable it at ${workflow.html_url}`);
  const path = workflow.path.split('/').map(encodeURIComponent).join('/');
  const file = await ask(session, `reading ${workflow.path} on ${options.ref}`, `/contents/${path}`, fileSchema, { query: { ref: options.ref } });
  const runName = /^run-name:.*(\n[ \t]+.*)*/m.exec(Buffer.from(file.content, 'base64').toString('utf8'))?.[0] ?? '';
  if (new RegExp(`inputs(\\.|\\[['"])${options.inputs.operation}\\b`).test(runName)) return;
  throw http.error(
    'configuration',
    'inspect',
    `${workflow.path} on ${options.ref} lacks a run-name with the operation id, so a run could not be found again after a crash; ` +
      `add: run-name: Rollback \${{ inputs.${options.inputs.component} }} to \${{ inputs.${options.inputs.version} }} in \${{ inputs.${options.inputs.environment} }} (\${{ inputs.${options.inputs.operation} }})`,
  );
}

async function targetPresent(session: Session): Promise<true | 'unknown'> {
  const { to } = session.call;
  const paths = [`/git/ref/${encodeURIComponent(`tags/${to}`)}`, ...(/^[0-9a-f]{7,40}$/.test(to) ? [`/commits/${to}`] : [])];
  for (const path of paths) if ((await orNull(ask(session, 'inspect', path, z.unknown()))) !== null) return true;
  return 'unknown';
}

/** The runs on this component here, newest first, down to the newest successful one, as far as the first search goes. */
async function history(session: Session): Promise<Run[]> {
  const { component, environment } = session.call;
  const runs: Run[] = [];
  let seen = 0;
  for await (const run of runsOf(session)) {
    if (operationIn(run.display_title, component) !== null && names(run.display_title, environment)) runs.push(run);
    if ((seen += 1) >= PAGE * PAGES_MAX || runs.at(-1)?.conclusion === 'success') break;
  }
  return runs;
}

async function observe(session: Session, check: boolean): Promise<Observation> {
  const { call } = session;
  if (check) await checkWorkflow(session);
  const [current, present, runs] = await Promise.all([call.served(), targetPresent(session), history(session)]);
  const success = runs.find((run) => run.conclusion === 'success');
  // A run that went elsewhere did not put in place what is served now.
  const did = success !== undefined && (current === null || names(success.display_title, current)) ? operationIn(success.display_title, call.component) : null;
  const facts = {
    lastRunId: runs[0]?.id ?? null,
    lastRunUrl: runs[0]?.html_url ?? null,
    lastRunStatus: runs[0]?.conclusion ?? runs[0]?.status ?? null,
    runInFlight: runs.find((run) => run.status !== 'completed')?.html_url ?? null,
  };
  return { current, targetPresent: present, operationId: did, parts: [], versions: [], facts };
}

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

function manual(call: Pick<Call, 'environment' | 'component' | 'options' | 'folder' | 'to'>): string[] {
  const { inputs, ref, workflow, baseUrl, repository: name, token: reference } = call.options;
  const repository = `--repo ${`${webHost(baseUrl)}/`.replace(/^github\.com\/$/, '')}${name}`;
  const values = valuesOf(call, inputs, `manual/${call.component}.deploy/1`);
  const fields = Object.entries(values)
    .map(([field, value]) => `-f ${quoted(`${field}=${value}`)}`)
    .join(' ');
  const token = reference.startsWith('env:') ? `"\${${reference.slice(4)}}"` : `"$(cat ${quoted(resolve(call.folder, reference.slice(5)))})"`;
  const api = `${baseUrl.replace(/\/+$/, '')}/repos/${name}${workflowPath(call.options)}/dispatches`;
  return [
    `gh workflow run ${quoted(workflow)} ${repository} --ref ${quoted(ref)} ${fields}`,
    `sleep 10; gh run watch --exit-status ${repository} "$(gh run list ${repository} --workflow ${quoted(workflow)} --event workflow_dispatch --limit 1 --json databaseId --jq '.[0].databaseId')"`,
    '# Without gh, instead of both (the token stays out of the list of processes):',
    `printf 'Authorization: Bearer %s' ${token} | curl --fail-with-body -X POST -H @- -H 'Accept: application/vnd.github+json' -H 'X-GitHub-Api-Version: 2022-11-28' ${quoted(api)} -d ${quoted(JSON.stringify({ ref, inputs: values }))}`,
  ];
}

export const githubActions: Adapter<GithubActionsOptions> = {
  name: NAME,
  options: optionsSchema,
  fence: {
    by: 'operation-id',
    window:
      'Two runs of one operation are possible only if GitHub lists a new run later than findSeconds after its dispatch and the worker was killed in between, ' +
      'if a worker is suspended in the instant between its look for an earlier run and its dispatch while another attempt acts, ' +
      `or if the earlier run is older than ${LOOKBACK_DAYS} days; the concurrency group of the workflow then still keeps them from running at the same time.`,
  },
  executesInCi: true,
  limits: [
    'GitHub does not know which version is live: what is in place is what the served check of the component reads, and nothing without one.',
    'A run is found again only by its run-name, which must carry the operation id; inspection reads the workflow file and refuses one without.',
    'Beforehand it is only known whether the target is a tag or a commit, not whether it can still be deployed.',
    'A run that failed or was cancelled may have changed a part; GitHub does not tell which.',
  ],
  inspect: (call) => withGithub(call, (session) => observe(session, true)),
  verify: (call) => withGithub(call, (session) => observe(session, false)),
  apply: (call) =>
    withGithub(call, async (session) => {
      // An earlier attempt may have dispatched and died before its answer, too short ago for the list to show it.
      const graceMs = call.attempt > 1 ? call.options.findSeconds * 1000 : 0;
      return follow(session, (await search(session, graceMs, false)) ?? (await dispatch(session)));
    }),
  manual,
};
