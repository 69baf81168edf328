/** What every fake GitHub has, whatever it knows: a process with an address, a ledger, a control, and faults on demand. */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { components } from '@octokit/openapi-types';

/** The first that matches is used up. */
export interface Fault {
  /** `PUT`, or several: `PUT|POST`. */
  readonly method?: string;
  /** A regular expression on the path. */
  readonly path?: string;
  readonly times?: number;
  /** Does the request take its effect before it breaks? */
  readonly after?: boolean;
  readonly delayMs?: number;
  /** Faults that are queued when this one strikes. */
  readonly then?: readonly Fault[];
  /** Without one the request goes on after `delayMs`. */
  readonly answer?:
    | { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: string }
    | 'reset'
    | 'hang'
    | 'html'
    | 'huge';
}

export interface ServerControl {
  readonly faults?: readonly Fault[];
  /** Forgets the faults that have not struck. */
  readonly calm?: boolean;
  /** Begins anew: nothing of before is seen again, and the ledger is another file, `FILE.2`, `FILE.3` and so on. */
  readonly reset?: boolean;
}

export interface Answer {
  readonly status: number;
  readonly body?: unknown;
}
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
}

/** A platform behind the server. */
export interface Platform<Control> {
  readonly api: (asked: Asked) => Answer;
  readonly control: (change: Control) => void;
  readonly state: () => unknown;
  /** Its own addresses outside of GitHub's. */
  readonly page?: (path: string) => Answer | null;
}

export const refusal = (status: number, message: string): Answer => ({
  status,
  body: { message, documentation_url: 'https://docs.github.com/rest', status: String(status) } satisfies components['schemas']['basic-error'],
});
export const NOT_FOUND = refusal(404, 'Not Found');

/** Null: no JSON object. */
export function parsed(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : null;
  } catch {
    return null;
  }
}

/** What GitHub asks of every request, wherever it goes; null: it may pass. */
export function stopped({ headers, path }: Asked, token: string, repository: string): Answer | null {
  if ((headers['user-agent'] ?? '') === '')
    return refusal(403, 'Request forbidden by administrative rules. Please make sure your request has a User-Agent header');
  if (headers.authorization !== `Bearer ${token}`) return refusal(401, 'Bad credentials');
  return path === `/repos/${repository}` || path.startsWith(`/repos/${repository}/`) ? null : NOT_FOUND;
}

/** The effects, in a file, which outlives the process. */
export function note(ledger: string, event: Readonly<Record<string, unknown>>): void {
  appendFileSync(ledger, `${JSON.stringify({ at: new Date().toISOString(), ...event })}\n`);
}

function entries(ledger: string): unknown[] {
  const text = existsSync(ledger) ? readFileSync(ledger, 'utf8') : '';
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line): unknown => JSON.parse(line));
}

const queued = (faults: readonly Fault[]): Fault[] => faults.flatMap((fault) => Array.from({ length: fault.times ?? 1 }, () => fault));

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

async function askedBy(request: IncomingMessage, base: string): Promise<Asked> {
  const { pathname, searchParams } = new URL(request.url ?? '/', base);
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(Buffer.from(chunk));
  return {
    method: request.method ?? 'GET',
    path: decodeURIComponent(pathname),
    query: searchParams,
    headers: request.headers,
    text: Buffer.concat(chunks).toString('utf8'),
  };
}

/** `node FILE --port 0 --ledger FILE` prints `{"url":…}`; `/_control`, `/_ledger`, `/_state` and `/_requests` are not GitHub's. */
export async function serve<Control extends ServerControl>(begin: (url: string, ledger: string) => Platform<Control>): Promise<void> {
  const { values } = parseArgs({
    options: { port: { type: 'string', default: '0' }, ledger: { type: 'string' }, 'until-stdin-ends': { type: 'boolean', default: false } },
  });
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(Number(values.port), '127.0.0.1', resolve);
  });
  const address = server.address();
  if (values.ledger === undefined || address === null || typeof address === 'string') throw new Error('usage: node FILE --port 0 --ledger FILE');
  const url = `http://127.0.0.1:${address.port}`;
  const first = values.ledger;
  let ledger = first;
  let platform = begin(url, ledger);
  const faults: Fault[] = [];
  const requests: string[] = [];
  let times = 1;
  const control = (change: Control): Answer => {
    if (change.reset === true) {
      ledger = `${first}.${(times += 1)}`;
      platform = begin(url, ledger);
      faults.length = 0;
      requests.length = 0;
    }
    if (change.calm === true) faults.length = 0;
    faults.push(...queued(change.faults ?? []));
    platform.control(change);
    return { status: 200, body: {} };
  };
  const own = ({ path, text }: Asked): Answer | null => {
    switch (path) {
      case '/_control':
        return control(JSON.parse(text));
      case '/_ledger':
        return { status: 200, body: entries(ledger) };
      case '/_state':
        return { status: 200, body: platform.state() };
      case '/_requests':
        return { status: 200, body: requests };
      default:
        return platform.page?.(path) ?? null;
    }
  };

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const asked = await askedBy(request, url);
    const page = own(asked);
    if (page !== null) {
      reply(response, page);
      return;
    }
    requests.push(`${asked.method} ${asked.path}`);
    const index = faults.findIndex((one) => new RegExp(`^(${one.method ?? '.*'})$`).test(asked.method) && new RegExp(one.path ?? '').test(asked.path));
    const [fault] = index < 0 ? [] : faults.splice(index, 1);
    faults.push(...queued(fault?.then ?? []));
    const early = fault?.after === true ? platform.api(asked) : null;
    if (fault?.delayMs !== undefined) await sleep(fault.delayMs);
    if (fault?.answer === undefined) reply(response, early ?? platform.api(asked));
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
