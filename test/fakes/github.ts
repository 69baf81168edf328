/**
 * A GitHub with one repository and one workflow, as a process of its own: `node test/fakes/github.ts --port 0 --ledger FILE` prints
 * `{"url":…}`. It enforces what the real one does where an adapter could go wrong, and breaks on demand:
 *
 *   POST /_control   settings (see github-runs.ts), and: plans, faults: queues · seed: older runs · approve, reset: true
 *   GET  /_ledger    every dispatch and every conclusion, from the file, which outlives this process too
 *   GET  /_state     runs and what is served · GET /_requests what was asked · GET /_served/<component> `{version}`
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { components } from '@octokit/openapi-types';
import { Runs, SHA, type Plan, type Run, type RunAnswer, type Settings, type WorkflowAnswer } from './github-runs.ts';

type Schemas = components['schemas'];
type DispatchAnswer = Schemas['workflow-dispatch-response'];
type GitRefAnswer = Schemas['git-ref'];
type FileAnswer = Pick<Schemas['content-file'], 'type' | 'encoding' | 'size' | 'name' | 'path' | 'content' | 'sha'>;

/** The first that matches is used up. */
export interface Fault {
  readonly method?: string;
  /** A regular expression on the path. */
  readonly path?: string;
  readonly times?: number;
  /** Does the request take its effect before it breaks? */
  readonly after?: boolean;
  readonly delayMs?: number;
  /** Without one the request goes on after `delayMs`. */
  /** Faults that are queued when this one strikes. */
  readonly then?: readonly Fault[];
  readonly answer?:
    | { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: string }
    | 'reset'
    | 'hang'
    | 'html'
    | 'huge';
}

export interface Control extends Partial<Settings> {
  readonly plans?: readonly Plan[];
  readonly faults?: readonly Fault[];
  readonly seed?: {
    readonly count: number;
    readonly ageMs?: number;
    readonly everyMs?: number;
    readonly inputs: Readonly<Record<string, string>>;
    readonly conclusion?: string;
  };
  readonly approve?: boolean;
  /** Begins anew: nothing of before is seen again, and the ledger is another file, `FILE.2`, `FILE.3` and so on. */
  readonly reset?: boolean;
}

interface Answer {
  readonly status: number;
  readonly body?: unknown;
}
interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
}

const refusal = (status: number, message: string): Answer => ({
  status,
  body: { message, documentation_url: 'https://docs.github.com/rest', status: String(status) } satisfies Schemas['basic-error'],
});
const NOT_FOUND = refusal(404, 'Not Found');
const RESULTS_MAX = 1000;
const INPUTS_MAX = 25;

function parsed(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : null;
  } catch {
    return null;
  }
}

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
  if ((asked.headers['user-agent'] ?? '') === '')
    return refusal(403, 'Request forbidden by administrative rules. Please make sure your request has a User-Agent header');
  if (asked.headers.authorization !== `Bearer ${settings.token}`) return refusal(401, 'Bad credentials');
  const repository = `/repos/${settings.repository}`;
  if (!asked.path.startsWith(`${repository}/`)) return NOT_FOUND;
  const path = asked.path.slice(repository.length);
  const [, noun, id, verb] = /^\/actions\/(workflows|runs)\/([\w.-]+)(?:\/(\w+))?$/.exec(path) ?? [];
  if (noun === 'workflows') return id === '5' || id === settings.workflow ? workflow(runs, asked, verb) : NOT_FOUND;
  if (noun === 'runs') return oneRun(runs, asked.method, id ?? '', verb);
  return asked.method === 'GET' ? reading(runs, path) : NOT_FOUND;
}

const queued = (faults: readonly Fault[]): Fault[] => faults.flatMap((fault) => Array.from({ length: fault.times ?? 1 }, () => fault));

function control(runs: Runs, faults: Fault[], { plans = [], faults: more = [], seed, approve = false, reset: _, ...settings }: Control): Answer {
  Object.assign(runs.settings, settings);
  runs.plans.push(...plans);
  faults.push(...queued(more));
  for (let index = 0; index < (seed?.count ?? 0); index += 1) {
    const inputs = Object.fromEntries(Object.entries(seed?.inputs ?? {}).map(([name, value]) => [name, value.replaceAll('#', String(index))]));
    Object.assign(runs.add(inputs, 'main', (seed?.ageMs ?? 0) + ((seed?.count ?? 0) - index) * (seed?.everyMs ?? 0)).answer, {
      status: 'completed',
      conclusion: seed?.conclusion ?? 'success',
    });
  }
  if (approve) for (const run of runs.all) if (run.answer.status === 'waiting') runs.wake(run);
  return { status: 200, body: {} };
}

const stateOf = ({ all, settings }: Runs): unknown => ({ settings, runs: all.map(({ answer, inputs }: Run) => ({ answer, inputs })) });

function reply(response: ServerResponse, { status, body }: Answer): void {
  const reset = String(Math.ceil(Date.now() / 1000) + 3600);
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'x-ratelimit-limit': '5000',
    'x-ratelimit-remaining': '4999',
    'x-ratelimit-reset': reset,
  });
  response.end(body === undefined ? undefined : JSON.stringify(body));
}

function fail(response: ServerResponse, answer: Exclude<Fault['answer'], undefined>): void {
  if (answer === 'hang') return;
  if (answer === 'reset') {
    response.socket?.resetAndDestroy();
    return;
  }
  if (answer === 'html') {
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>Unicorn!</title>');
    return;
  }
  if (answer === 'huge') {
    response.writeHead(200, { 'content-type': 'application/json' }).end(`["${'x'.repeat(6 * 1024 * 1024)}"]`);
    return;
  }
  response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers }).end(answer.body ?? JSON.stringify({ message: 'Server Error' }));
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { port: { type: 'string', default: '0' }, ledger: { type: 'string' }, 'until-stdin-ends': { type: 'boolean', default: false } },
  });
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(Number(values.port), '127.0.0.1', resolve);
  });
  const address = server.address();
  if (values.ledger === undefined || address === null || typeof address === 'string')
    throw new Error('usage: node test/fakes/github.ts --port 0 --ledger FILE');
  const url = `http://127.0.0.1:${address.port}`;
  const ledger = values.ledger;
  let runs = new Runs(url, ledger);
  const faults: Fault[] = [];
  const requests: string[] = [];
  let times = 1;
  const controlled = (change: Control): Answer => {
    if (change.reset === true) {
      runs = new Runs(url, `${ledger}.${(times += 1)}`);
      faults.length = 0;
      requests.length = 0;
    }
    return control(runs, faults, change);
  };

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { pathname, searchParams } = new URL(request.url ?? '/', url);
    const method = request.method ?? 'GET';
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(Buffer.from(chunk));
    const asked: Asked = {
      method,
      path: decodeURIComponent(pathname),
      query: searchParams,
      headers: request.headers,
      text: Buffer.concat(chunks).toString('utf8'),
    };
    const component = /^\/_served\/(.+)$/.exec(asked.path)?.[1];
    if (component !== undefined) {
      reply(response, { status: 200, body: { version: runs.settings.served[component] ?? null } });
      return;
    }
    switch (asked.path) {
      case '/_control':
        reply(response, controlled(parsed(asked.text) ?? {}));
        return;
      case '/_ledger':
        reply(response, { status: 200, body: runs.ledgerEntries() });
        return;
      case '/_state':
        reply(response, { status: 200, body: stateOf(runs) });
        return;
      case '/_requests':
        reply(response, { status: 200, body: requests });
        return;
      default:
        requests.push(`${method} ${asked.path}`);
    }
    const index = faults.findIndex((one) => (one.method ?? method) === method && new RegExp(one.path ?? '').test(asked.path));
    const [fault] = index < 0 ? [] : faults.splice(index, 1);
    faults.push(...queued(fault?.then ?? []));
    const early = fault?.after === true ? api(runs, asked) : null;
    if (fault?.delayMs !== undefined) await sleep(fault.delayMs);
    if (fault?.answer === undefined) reply(response, early ?? api(runs, asked));
    else fail(response, fault.answer);
  };
  server.on('request', (request, response) => {
    handle(request, response).catch((error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      response.destroy();
    });
  });
  if (values['until-stdin-ends'])
    process.stdin.resume().on('end', () => {
      process.exit(0);
    });
  process.stdout.write(`${JSON.stringify({ url })}\n`);
}

await main();
