/**
 * A GitHub with one repository and one workflow, as a process of its own: `node test/fakes/github.ts --port 0 --ledger FILE` prints
 * `{"url":…}`. It enforces what the real one does where an adapter could go wrong, and breaks on demand:
 *
 *   POST /_control   settings (see github-runs.ts), and: plans, faults: queues · seed: older runs · approve, reset: true
 *   GET  /_ledger    every dispatch and every conclusion, from the file, which outlives this process too
 *   GET  /_state     runs and what is served · GET /_requests what was asked · GET /_served/<component> `{version}`
 */
import type { components } from '@octokit/openapi-types';
import { Runs, SHA, type Plan, type Run, type RunAnswer, type Settings, type WorkflowAnswer } from './github-runs.ts';
import { NOT_FOUND, parsed, refusal, serve, stopped, type Answer, type Asked, type ServerControl } from './github-server.ts';

export type { Fault } from './github-server.ts';

type Schemas = components['schemas'];
type DispatchAnswer = Schemas['workflow-dispatch-response'];
type GitRefAnswer = Schemas['git-ref'];
type FileAnswer = Pick<Schemas['content-file'], 'type' | 'encoding' | 'size' | 'name' | 'path' | 'content' | 'sha'>;

export interface Control extends Partial<Settings>, ServerControl {
  readonly plans?: readonly Plan[];
  readonly seed?: {
    readonly count: number;
    readonly ageMs?: number;
    readonly everyMs?: number;
    readonly inputs: Readonly<Record<string, string>>;
    readonly conclusion?: string;
  };
  readonly approve?: boolean;
}

const RESULTS_MAX = 1000;
const INPUTS_MAX = 25;

function dispatch(runs: Runs, text: string): Answer {
  const { settings } = runs;
  const body = parsed(text);
  if (body === null) return refusal(400, 'Problems parsing JSON');
  const { ref, inputs = {}, return_run_details: details, ...rest } = body;
  if (details !== undefined && settings.runDetails === 'refuse') return refusal(422, 'Invalid request.\n\n"return_run_details" is not a permitted key.');
  if (Object.keys(rest).length > 0) return refusal(422, `Invalid request.\n\n"${Object.keys(rest)[0]}" is not a permitted key.`);
  if (ref !== 'main') return refusal(422, `No ref found for: ${String(ref)}`);
  if (!settings.dispatchable) return refusal(422, "Workflow does not have 'workflow_dispatch' trigger");
  if (settings.state !== 'active') return refusal(422, "Cannot trigger a 'workflow_dispatch' on a disabled workflow");
  const given: [string, unknown][] = typeof inputs === 'object' && inputs !== null ? Object.entries(inputs) : [];
  if (given.length > INPUTS_MAX) return refusal(422, 'you may only define up to 25 `inputs` for a `workflow_dispatch` event');
  const strange = given.map(([name]) => name).filter((name) => !Object.hasOwn(settings.inputs, name));
  if (strange.length > 0) return refusal(422, `Unexpected inputs provided: ${JSON.stringify(strange)}`);
  for (const [name, { required }] of Object.entries(settings.inputs)) {
    if (required && !given.some(([one, value]) => one === name && value !== '')) return refusal(422, `Required input '${name}' not provided`);
  }
  const run = runs.dispatch(Object.fromEntries(given.map(([name, value]) => [name, String(value)])), ref);
  if (details !== true || settings.runDetails !== 'yes') return { status: 204 };
  const { id, url, html_url } = run.answer;
  return { status: 200, body: { workflow_run_id: id, run_url: url, html_url } satisfies DispatchAnswer };
}

function list(runs: Runs, query: URLSearchParams): Answer {
  const [from = '', to = '~'] = (query.get('created') ?? '').replace(/^>=/, '').split('..');
  const event = query.get('event');
  const shown = runs.all.filter(
    (run) =>
      Date.now() - run.createdMs >= runs.settings.staleMs &&
      (event === null || run.answer.event === event) &&
      run.answer.created_at >= from &&
      run.answer.created_at <= to,
  );
  const size = Math.min(100, Number(query.get('per_page') ?? 30));
  const first = (Number(query.get('page') ?? 1) - 1) * size;
  const page = shown
    .slice(0, RESULTS_MAX)
    .slice(first, first + size)
    .map((run) => run.answer);
  return { status: 200, body: { total_count: shown.length, workflow_runs: page } satisfies { total_count: number; workflow_runs: RunAnswer[] } };
}

function oneRun(runs: Runs, method: string, id: string, verb: string | undefined): Answer {
  const run = runs.all.find((one) => String(one.answer.id) === id);
  if (run === undefined || Date.now() - run.createdMs < runs.settings.staleGetMs) return NOT_FOUND;
  if (method === 'GET' && verb === undefined) return { status: 200, body: run.answer };
  if (method !== 'POST' || verb !== 'cancel') return NOT_FOUND;
  if (run.answer.status === 'completed') return refusal(409, 'Cannot cancel a workflow run that is completed.');
  run.cancelled = true;
  runs.note({ event: 'cancel', run: run.answer.id });
  runs.wake(run);
  return { status: 202, body: {} satisfies Schemas['empty-object'] };
}

function workflow(runs: Runs, asked: Asked, verb: string | undefined): Answer {
  switch (`${asked.method} ${verb ?? ''}`) {
    case 'GET ':
      return { status: 200, body: runs.workflow() satisfies WorkflowAnswer };
    case 'GET runs':
      return list(runs, asked.query);
    case 'POST dispatches':
      return dispatch(runs, asked.text);
    case 'PUT enable':
      runs.settings.state = 'active';
      return { status: 204 };
    case 'PUT disable':
      runs.settings.state = 'disabled_manually';
      return { status: 204 };
    default:
      return NOT_FOUND;
  }
}

function reading(runs: Runs, path: string): Answer {
  const { tags, contents } = runs.settings;
  const tag = /^\/git\/ref\/tags\/(.+)$/.exec(path)?.[1];
  if (tag !== undefined && tags.includes(tag)) {
    return {
      status: 200,
      body: {
        ref: `refs/tags/${tag}`,
        node_id: 'T_1',
        url: `${runs.repositoryUrl}${path}`,
        object: { type: 'commit', sha: SHA, url: `${runs.repositoryUrl}/git/commits/${SHA}` },
      } satisfies GitRefAnswer,
    };
  }
  const commit = /^\/commits\/([0-9a-f]{7,40})$/.exec(path)?.[1];
  if (commit !== undefined) return SHA.startsWith(commit) ? { status: 200, body: { sha: SHA } } : refusal(422, `No commit found for SHA: ${commit}`);
  if (contents && path === `/contents/.github/workflows/${runs.settings.workflow}`) {
    const name = runs.settings.workflow;
    return {
      status: 200,
      body: {
        type: 'file',
        encoding: 'base64',
        size: runs.file.length,
        name,
        path: `.github/workflows/${name}`,
        content: Buffer.from(runs.file)
          .toString('base64')
          .replaceAll(/(.{60})/g, '$1\n'),
        sha: SHA,
      } satisfies FileAnswer,
    };
  }
  return NOT_FOUND;
}

function api(runs: Runs, asked: Asked): Answer {
  const { settings } = runs;
  const refused = stopped(asked, settings.token, settings.repository);
  if (refused !== null) return refused;
  const path = asked.path.slice(`/repos/${settings.repository}`.length);
  const [, noun, id, verb] = /^\/actions\/(workflows|runs)\/([\w.-]+)(?:\/(\w+))?$/.exec(path) ?? [];
  if (noun === 'workflows') return id === '5' || id === settings.workflow ? workflow(runs, asked, verb) : NOT_FOUND;
  if (noun === 'runs') return oneRun(runs, asked.method, id ?? '', verb);
  return asked.method === 'GET' ? reading(runs, path) : NOT_FOUND;
}

function control(runs: Runs, { plans = [], seed, approve = false, faults: _, calm: __, reset: ___, ...settings }: Control): void {
  Object.assign(runs.settings, settings);
  runs.plans.push(...plans);
  for (let index = 0; index < (seed?.count ?? 0); index += 1) {
    const inputs = Object.fromEntries(Object.entries(seed?.inputs ?? {}).map(([name, value]) => [name, value.replaceAll('#', String(index))]));
    Object.assign(runs.add(inputs, 'main', (seed?.ageMs ?? 0) + ((seed?.count ?? 0) - index) * (seed?.everyMs ?? 0)).answer, {
      status: 'completed',
      conclusion: seed?.conclusion ?? 'success',
    });
  }
  if (approve) for (const run of runs.all) if (run.answer.status === 'waiting') runs.wake(run);
}

await serve<Control>((url, ledger) => {
  const runs = new Runs(url, ledger);
  return {
    api: (asked) => api(runs, asked),
    control: (change) => {
      control(runs, change);
    },
    state: () => ({ settings: runs.settings, runs: runs.all.map(({ answer, inputs }: Run) => ({ answer, inputs })) }),
    page: (path) => {
      const component = /^\/_served\/(.+)$/.exec(path)?.[1];
      return component === undefined ? null : { status: 200, body: { version: runs.settings.served[component] ?? null } };
    },
  };
});
