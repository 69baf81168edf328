import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { AdapterError } from '../../activities/adapters/adapter.ts';
import { beating, createHttp, HttpError, orNull, type HttpOptions, type HttpRequest } from '../../activities/adapters/http.ts';

const SECRET = 'canary/"+=8c1';
/** The address of a TCP server that listens is never a path. */
const portOf = (server: Server): number => (server.address() as AddressInfo).port;
type Handler = (request: IncomingMessage, response: ServerResponse) => void;

describe('http', () => {
  let handler: Handler;
  let asked: { method: string; url: string; headers: IncomingMessage['headers']; body: string }[];
  let base: string;
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on('end', () => {
      asked.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, body });
      handler(request, response);
    });
  });
  const answers = (status: number, body: unknown = {}, headers: Record<string, string> = {}): void => {
    handler = (_, response) => {
      response.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body));
    };
  };
  const http = (options: Partial<HttpOptions> = {}) =>
    createHttp({
      adapter: 'shop',
      baseUrl: `${base}/api/`,
      about: { resource: 'web', target: 'v2' },
      secrets: [SECRET],
      timeoutMs: 500,
      headers: { authorization: `Bearer ${SECRET}` },
      ...options,
    });
  const request = (more: Partial<HttpRequest<unknown>> = {}): HttpRequest<unknown> => ({
    action: 'read',
    method: 'GET',
    path: '/things',
    answer: z.unknown(),
    signal: new AbortController().signal,
    ...more,
  });
  const failure = async (more: Partial<HttpRequest<unknown>> = {}, options: Partial<HttpOptions> = {}): Promise<HttpError> => {
    const error: unknown = await http(options)
      .request(request(more))
      .then(
        (value) => new Error(`answered ${inspect(value)}`),
        (thrown: unknown) => thrown,
      );
    if (!(error instanceof HttpError)) throw new Error('expected an HttpError', { cause: error });
    expect(inspect(error, { depth: null, showHidden: true })).not.toContain('canary');
    return error;
  };

  beforeEach(async () => {
    asked = [];
    answers(200);
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    base = `http://127.0.0.1:${portOf(server)}`;
  });
  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => {
      server.close(resolve);
    });
  });

  it('sends method, path below the base, query and JSON, and reads only what the schema names', async () => {
    answers(200, { id: 7, more: 'left out' });
    const answer = await http().request({
      ...request({ method: 'POST', query: { page: 2, of: 'a b' }, body: { to: 'v2' } }),
      answer: z.object({ id: z.number() }),
    });
    expect(answer).toStrictEqual({ id: 7 });
    expect(asked).toMatchObject([
      {
        method: 'POST',
        url: '/api/things?page=2&of=a+b',
        body: '{"to":"v2"}',
        headers: { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json', 'user-agent': 'backout' },
      },
    ]);
  });

  it('sends URLSearchParams as a form', async () => {
    await http().request(request({ method: 'POST', body: new URLSearchParams({ token: SECRET, 'a b': 'é' }) }));
    expect(asked).toMatchObject([
      { method: 'POST', body: 'token=canary%2F%22%2B%3D8c1&a+b=%C3%A9', headers: { 'content-type': 'application/x-www-form-urlencoded;charset=UTF-8' } },
    ]);
  });

  it('a refusal that was asked for is read as an answer, and no other', async () => {
    const refusable = { ...request({ refusals: [400] }), answer: z.object({ error: z.string() }) };
    answers(400, { error: 'invalid_grant' });
    expect(await http().request(refusable)).toStrictEqual({ error: 'invalid_grant' });
    answers(401, { error: 'invalid_client' });
    expect(await failure({ refusals: [400] })).toMatchObject({ kind: 'unauthorized', status: 401 });
    answers(400, '<html>');
    expect(await failure({ refusals: [400] })).toMatchObject({ kind: 'unexpected-response', status: 400 });
  });

  it('parses an empty answer as null', async () => {
    answers(204, '');
    expect(await http().request({ ...request(), answer: z.null() })).toBeNull();
  });

  it.each([
    [400, 'unexpected-response', 'no'],
    [401, 'unauthorized', 'no'],
    [403, 'unauthorized', 'no'],
    [404, 'not-found', 'no'],
    [408, 'unavailable', 'maybe'],
    [409, 'conflict', 'no'],
    [410, 'not-found', 'no'],
    [422, 'conflict', 'no'],
    [429, 'rate-limited', 'no'],
    [500, 'unavailable', 'maybe'],
    [502, 'unavailable', 'maybe'],
    [503, 'unavailable', 'maybe'],
    [504, 'unavailable', 'maybe'],
  ] as const)('%i is %s, and whether it can have acted: %s', async (status, kind, acted) => {
    answers(status, { message: 'No.' });
    const error = await failure({ method: 'POST', body: {} });
    expect(error).toMatchObject({ kind, acted, status, reason: `${status}: No.`, message: `[shop] read failed [resource=web, target=v2]: ${status}: No.` });
    expect(error).toBeInstanceOf(AdapterError);
    expect(asked).toHaveLength(1);
  });

  const at = Date.parse('2026-11-20T10:00:00Z') / 1000;
  const date = 'Fri, 20 Nov 2026 10:00:00 GMT';
  it.each([
    [429, { 'retry-after': '7' }, 7000],
    [429, { 'retry-after': 'Fri, 20 Nov 2026 10:00:30 GMT', date }, 30_000],
    [429, { 'x-ratelimit-reset': String(at + 90), date }, 90_000],
    [429, { 'x-ratelimit-reset': String(at - 90), date }, 0],
    [429, { 'retry-after': 'soon' }, 60_000],
    [429, {}, 60_000],
    [403, { 'retry-after': '3' }, 3000],
    [403, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(at + 5), date }, 5000],
  ])('%i with %j asks to wait %i ms', async (status, headers, retryAfterMs) => {
    answers(status, {}, headers);
    expect(await failure()).toMatchObject({ kind: 'rate-limited', retryAfterMs, acted: 'no' });
  });

  it('403 is a rate limit by its words, and none because of a remaining allowance', async () => {
    answers(403, { message: 'You have exceeded a secondary rate limit.' });
    expect((await failure()).kind).toBe('rate-limited');
    answers(403, { message: 'Resource not accessible' }, { 'x-ratelimit-remaining': '4999', 'x-ratelimit-reset': '1' });
    expect(await failure()).toMatchObject({ kind: 'unauthorized', retryAfterMs: undefined });
  });

  it.each([
    ['no answer', () => {}, /no answer within 0.5 s/],
    [
      'an answer that never ends',
      (_: IncomingMessage, response: ServerResponse) => {
        response.writeHead(200).write('{');
      },
      /no answer within 0.5 s/,
    ],
    [
      'a reset',
      (_: IncomingMessage, response: ServerResponse) => {
        response.socket?.resetAndDestroy();
      },
      /ECONNRESET|UND_ERR_SOCKET/,
    ],
    [
      'an answer that breaks off',
      (_: IncomingMessage, response: ServerResponse) => {
        response.writeHead(200, { 'content-length': '99' }).write('{', () => {
          response.destroy();
        });
      },
      /./,
    ],
  ] as const)('%s is unavailable, may have acted, and is asked once', async (_, answer, message) => {
    handler = answer;
    const error = await failure({ method: 'POST', body: {} });
    expect(error).toMatchObject({ kind: 'unavailable', acted: 'maybe' });
    expect(error.message).toMatch(message);
    expect(asked).toHaveLength(1);
  });

  it('nobody listens: unavailable, and it cannot have acted', async () => {
    const closed = createServer();
    await new Promise<void>((resolve) => {
      closed.listen(0, resolve);
    });
    const port = portOf(closed);
    await new Promise((resolve) => {
      closed.close(resolve);
    });
    expect(await failure({}, { baseUrl: `http://127.0.0.1:${port}` })).toMatchObject({
      kind: 'unavailable',
      acted: 'no',
      message: expect.stringContaining('ECONNREFUSED'),
      cause: { code: 'ECONNREFUSED' },
    });
    expect(await failure({}, { baseUrl: `http://localhost:${port}` })).toMatchObject({ kind: 'unavailable', acted: 'no' });
  });

  it('stops when the call is aborted, before and while it waits', async () => {
    expect(await failure({ signal: AbortSignal.abort() })).toMatchObject({ kind: 'unavailable', acted: 'no', reason: 'interrupted before it was sent' });
    expect(asked).toHaveLength(0);
    handler = () => {};
    expect(await failure({ signal: AbortSignal.timeout(100) })).toMatchObject({
      kind: 'unavailable',
      acted: 'maybe',
      reason: 'interrupted while it waited for the answer',
    });
  });

  it.each([
    ['<!doctype html><title>Login</title>', /200: an HTML page instead of JSON/],
    ['so it is', /200: something else instead of JSON/],
    ['{"id":"7"}', /200: id: .*number/],
    ['{', /instead of JSON/],
    ['', /the answer: /],
  ])('200 with %j is an unexpected response', async (body, message) => {
    answers(200, body);
    const error = await failure({ answer: z.object({ id: z.number() }) });
    expect(error).toMatchObject({ kind: 'unexpected-response', status: 200 });
    expect(error.message).toMatch(message);
  });

  it('does not read more than it may', async () => {
    answers(200, JSON.stringify('x'.repeat(2000)));
    expect(await failure({}, { bodyBytesMax: 1000 })).toMatchObject({ kind: 'unexpected-response', reason: '200: the answer is larger than 1000 bytes' });
    answers(200, JSON.stringify('x'.repeat(6 * 1024 * 1024)));
    expect(await failure()).toMatchObject({ kind: 'unexpected-response' });
  });

  it('follows a redirect of a GET to the same origin, three at most', async () => {
    handler = (incoming, response) => {
      if (incoming.url === '/api/things') response.writeHead(301, { location: '/api/moved' }).end();
      else response.end('"here"');
    };
    expect(await http().request(request())).toBe('here');
    expect(asked[1]?.headers.authorization).toBe(`Bearer ${SECRET}`);
    answers(302, '', { location: '/api/things' });
    expect(await failure()).toMatchObject({ kind: 'unexpected-response', reason: 'more than 3 redirects' });
  });

  it('follows no redirect to another origin, and none of a write', async () => {
    answers(302, '', { location: 'http://localhost:1/login?next=x' });
    expect(await failure()).toMatchObject({ kind: 'unexpected-response', reason: '302: redirected to http://localhost:1, which was not followed' });
    answers(307, '', { location: '/api/moved' });
    expect(await failure({ method: 'POST', body: {} })).toMatchObject({
      kind: 'not-found',
      acted: 'no',
      reason: '307: moved to /api/moved; a write is not sent after it',
    });
    expect(asked).toHaveLength(2);
  });

  it.each([SECRET, encodeURIComponent(SECRET), JSON.stringify(SECRET).slice(1, -1), Buffer.from(SECRET).toString('base64')])(
    'hides a secret that comes back as %s, even where the text is cut',
    async (form) => {
      for (const body of [
        { message: `no ${form} here` },
        `{"detail":"${'x'.repeat(280)} ${form.replaceAll(/./gs, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)}"}`,
        `${'x'.repeat(295)}${form}`,
        { errors: [form], message: 'no' },
      ]) {
        answers(401, body);
        const error = await failure();
        expect(error.message).not.toContain(form);
        expect(error.message).not.toContain(form.slice(0, 5));
      }
    },
  );

  it('hides a secret as it looks in a form', async () => {
    answers(400, { message: 'no: token=canary%27%28a%7E+%2B%29' });
    expect((await failure({}, { secrets: ["canary'(a~ +)"], headers: {} })).message).toContain('token=[secret]');
  });

  it('a secret that makes no header is not shown', async () => {
    expect(await failure({}, { headers: { authorization: 'Bearer canary\nmore' }, secrets: ['canary\nmore'] })).toMatchObject({
      kind: 'configuration',
      acted: 'no',
    });
    expect(asked).toHaveLength(0);
  });

  it('keeps control characters and length out of messages, and says what to do', async () => {
    answers(404, { message: `\u001b[31mred\r\n${'x'.repeat(1000)}` });
    const { message } = await failure({}, { remedies: { 'not-found': 'check the name' } });
    expect(message).toMatch(/404: \[31mred x+… \(check the name\)$/);
    expect(message.length).toBeLessThan(450);
  });

  it('orNull passes over what is not there, and nothing else', async () => {
    answers(404);
    expect(await orNull(http().request(request()))).toBeNull();
    answers(502);
    await expect(orNull(http().request(request()))).rejects.toMatchObject({ kind: 'unavailable' });
  });

  it('beats while the work takes its time, with the last word, and no longer', async () => {
    const beats: string[] = [];
    const call = {
      heartbeat: (progress: string) => {
        beats.push(progress);
      },
      signal: new AbortController().signal,
    };
    expect(
      await beating(call, 'shop', async ({ say, pause }) => {
        say('looking');
        await pause(1600);
        return 7;
      }),
    ).toBe(7);
    expect(beats).toStrictEqual(['looking', 'looking', 'looking']);
    await expect(beating({ ...call, signal: AbortSignal.timeout(50) }, 'shop', ({ pause }) => pause(60_000))).rejects.toMatchObject({ kind: 'unavailable' });
  });
});
