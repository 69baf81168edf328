/**
 * The one fetch of all adapters. It asks once: a retry belongs to whoever knows whether the call can be made twice, and after a
 * write nobody here knows. It follows a redirect only for GET and only to the same origin, because the credentials go with it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { z } from 'zod';
import { redactor } from '../secrets.ts';
import { AdapterError, type AdapterCall, type AdapterErrorKind } from './adapter.ts';

export interface HttpOptions {
  /** The adapter's name, which every message opens with. */
  readonly adapter: string;
  readonly baseUrl: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** What the calls are about, shown in every message: `{ repository: 'o/r' }`. */
  readonly about: Readonly<Record<string, string>>;
  /** Values that no message may show, even where the platform sends them back. */
  readonly secrets: readonly string[];
  /** For one request with its answer, redirects included; 10 s without it. */
  readonly timeoutMs?: number;
  readonly bodyBytesMax?: number;
  /** What a person should do, by the kind of error. */
  readonly remedies?: Partial<Readonly<Record<AdapterErrorKind, string>>>;
}

export interface HttpRequest<T> {
  /** For messages: `dispatch` gives `dispatch failed`. */
  readonly action: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Below the base URL; what is put into it must be encoded. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number>>;
  /** Sent as JSON; `URLSearchParams` as a form. */
  readonly body?: unknown;
  /** Refusals that are an answer all the same: `answer` reads them, too. */
  readonly refusals?: readonly number[];
  /** The part of the answer that is read. An empty body is parsed as null. */
  readonly answer: z.ZodType<T>;
  readonly signal: AbortSignal;
}

interface Details {
  readonly status?: number;
  readonly acted?: 'no' | 'maybe';
  readonly retryAfterMs?: number | undefined;
  readonly cause?: unknown;
}

export interface Http {
  request<T>(request: HttpRequest<T>): Promise<T>;
  /** An error of the adapter's own, in the same form and with the same secrets left out. */
  error(kind: AdapterErrorKind, action: string, text: string, details?: Details): HttpError;
}

/** Beside the kind it says what decides whether a write may be made again. */
export class HttpError extends AdapterError {
  readonly status: number | undefined;
  /** `no`: the platform cannot have acted on this request. `maybe`: only looking tells. */
  readonly acted: 'no' | 'maybe';
  /** The message without what every message opens with, to be quoted in another one. */
  readonly reason: string;
  constructor(kind: AdapterErrorKind, message: string, reason: string, details: Details = {}) {
    super(kind, message, {
      ...(details.cause === undefined ? {} : { cause: details.cause }),
      ...(details.retryAfterMs === undefined ? {} : { retryAfterMs: details.retryAfterMs }),
    });
    this.status = details.status;
    this.acted = details.acted ?? 'maybe';
    this.reason = reason;
  }
}

/** For an adapter that asks again and again. */
export interface Beat {
  /** What it is doing, said now and then until it says something else. */
  readonly say: (progress: string) => void;
  /** Ends early, by an error, when the call is aborted. */
  readonly pause: (ms: number) => Promise<void>;
}

type Fail = (kind: AdapterErrorKind, text: string, details?: Details) => HttpError;

const BEAT_MS = 700;
const TIMEOUT_MS = 10_000;
const BODY_BYTES_MAX = 5 * 1024 * 1024;
const ANSWER_CHARACTERS_MAX = 300;
const REDIRECTS_MAX = 3;
/** GitHub's advice where a rate limit names no time; too long is harmless, too short makes it worse. */
const RATE_LIMIT_PAUSE_MS = 60_000;
/** The request cannot have left: there was no connection to send it on. */
const NEVER_CONNECTED = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'UND_ERR_CONNECT_TIMEOUT']);

/** Heartbeats for as long as the work takes, because a single request may take longer than a second. */
export async function beating<T>(call: Pick<AdapterCall<unknown>, 'heartbeat' | 'signal'>, adapter: string, work: (beat: Beat) => Promise<T>): Promise<T> {
  let progress = `asking ${adapter}`;
  const timer = setInterval(() => {
    call.heartbeat(progress);
  }, BEAT_MS);
  const say = (now: string): void => {
    progress = now;
    call.heartbeat(now);
  };
  const pause = (ms: number): Promise<void> =>
    sleep(ms, undefined, { signal: call.signal }).catch(() => {
      throw new AdapterError('unavailable', `[${adapter}] interrupted while waiting; what was asked of the platform goes on there`);
    });
  try {
    return await work({ say, pause });
  } finally {
    clearInterval(timer);
  }
}

export function createHttp(options: HttpOptions): Http {
  const hide = redactor(options.secrets);
  const about = Object.entries(options.about)
    .map(([name, value]) => `${name}=${value}`)
    .join(', ');
  const error: Http['error'] = (kind, action, text, details) => {
    const remedy = options.remedies?.[kind];
    const reason = hide(`${text}${remedy === undefined ? '' : ` (${remedy})`}`);
    return new HttpError(kind, hide(`[${options.adapter}] ${action} failed [${about}]: ${reason}`), reason, {
      ...details,
      ...(details?.cause === undefined ? {} : { cause: withoutSecrets(details.cause, hide) }),
    });
  };
  return { error, request: (request) => send(options, request, hide, (kind, text, details) => error(kind, request.action, text, details)) };
}

/** Null for what is not there, or not shown to these credentials: for a reading that is welcome and not needed. */
export const orNull = <T>(answer: Promise<T>): Promise<T | null> =>
  answer.catch((error: unknown) => {
    if (error instanceof HttpError && ['not-found', 'unauthorized', 'conflict'].includes(error.kind)) return null;
    throw error;
  });

async function send<T>(options: HttpOptions, request: HttpRequest<T>, hide: (text: string) => string, fail: Fail): Promise<T> {
  if (request.signal.aborted) throw fail('unavailable', 'interrupted before it was sent', { acted: 'no' });
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  const timeout = AbortSignal.timeout(timeoutMs);
  let response: Response;
  let text: string;
  try {
    response = await follow(options, request, AbortSignal.any([request.signal, timeout]), fail);
    text = await bodyOf(response, options.bodyBytesMax ?? BODY_BYTES_MAX, fail);
  } catch (error) {
    if (error instanceof HttpError) throw error;
    if (request.signal.aborted) throw fail('unavailable', 'interrupted while it waited for the answer');
    if (timeout.aborted) throw fail('unavailable', `no answer within ${timeoutMs / 1000} s`);
    throw networkError(error, fail);
  }
  if (!response.ok && request.refusals?.includes(response.status) !== true) throw refusal(response, text, hide, fail);
  return parsed(request.answer, text, response.status, fail);
}

async function follow<T>(options: HttpOptions, request: HttpRequest<T>, signal: AbortSignal, fail: Fail): Promise<Response> {
  let url = addressOf(options.baseUrl, request);
  const headers = headersOf(options, request, fail);
  const body = request.body === undefined ? {} : { body: request.body instanceof URLSearchParams ? request.body : JSON.stringify(request.body) };
  for (let redirects = 0; ; redirects += 1) {
    const response = await fetch(url, { method: request.method, headers, redirect: 'manual', signal, ...body });
    const location = response.headers.get('location');
    if (response.status < 300 || response.status > 399 || location === null) return response;
    await response.body?.cancel();
    const next = URL.parse(location, url.href);
    const details = { status: response.status, acted: 'no' } as const;
    if (next === null || next.origin !== url.origin)
      throw fail('unexpected-response', `${response.status}: redirected to ${next?.origin ?? 'nowhere'}, which was not followed`, details);
    if (request.method !== 'GET') throw fail('not-found', `${response.status}: moved to ${next.pathname}; a write is not sent after it`, details);
    if (redirects >= REDIRECTS_MAX) throw fail('unexpected-response', `more than ${REDIRECTS_MAX} redirects`, details);
    url = next;
  }
}

function addressOf<T>(baseUrl: string, request: HttpRequest<T>): URL {
  const url = new URL(`${baseUrl.replace(/\/+$/, '')}${request.path}`);
  for (const [name, value] of Object.entries(request.query ?? {})) url.searchParams.set(name, String(value));
  return url;
}

/** A token with a line break in it makes `Headers` throw a message that quotes the token, so that error is left out. */
function headersOf<T>(options: HttpOptions, request: HttpRequest<T>, fail: Fail): Headers {
  const headers = new Headers({ accept: 'application/json', 'user-agent': 'backout' });
  if (request.body !== undefined && !(request.body instanceof URLSearchParams)) headers.set('content-type', 'application/json');
  for (const [name, value] of Object.entries(options.headers ?? {})) {
    let valid = true;
    try {
      headers.set(name, value);
    } catch {
      valid = false;
    }
    if (!valid)
      throw fail('configuration', `the header ${name} cannot be sent; is there a line break or another odd character in the secret?`, { acted: 'no' });
  }
  return headers;
}

async function bodyOf(response: Response, bytesMax: number, fail: Fail): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const reader = response.body?.getReader();
  for (let next = await reader?.read(); next !== undefined && !next.done; next = await reader?.read()) {
    bytes += next.value.byteLength;
    if (bytes > bytesMax) {
      await reader?.cancel();
      throw fail('unexpected-response', `${response.status}: the answer is larger than ${bytesMax} bytes`, { status: response.status });
    }
    chunks.push(next.value);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function networkError(error: unknown, fail: Fail): HttpError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = codeOf(cause);
  const text = cause instanceof Error && cause.message !== '' ? cause.message : String(cause);
  return fail('unavailable', code === '' || text.includes(code) ? text : `${code}: ${text}`, { cause, acted: NEVER_CONNECTED.has(code) ? 'no' : 'maybe' });
}

const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '');

/** A copy, because the message, the stack and the properties of the original may quote what was sent. */
function withoutSecrets(cause: unknown, hide: (text: string) => string): Error {
  const copy = new Error(hide(cause instanceof Error ? cause.message : String(cause)));
  return Object.assign(copy, { stack: hide(cause instanceof Error ? (cause.stack ?? '') : ''), ...(codeOf(cause) === '' ? {} : { code: codeOf(cause) }) });
}

function refusal(response: Response, text: string, hide: (text: string) => string, fail: Fail): HttpError {
  const { status } = response;
  const answer = summaryOf(text, hide);
  const limited =
    status === 429 ||
    (status === 403 && (response.headers.has('retry-after') || response.headers.get('x-ratelimit-remaining') === '0' || /rate limit/i.test(answer)));
  // 408 comes from something in between that gave up waiting; the platform may have the request all the same.
  const acted = status >= 300 && status < 500 && status !== 408 ? 'no' : 'maybe';
  const message = `${status}: ${answer}`;
  if (limited) return fail('rate-limited', message, { status, acted, retryAfterMs: retryAfterMs(response.headers) });
  return fail(kindOf(status), message, { status, acted });
}

function kindOf(status: number): AdapterErrorKind {
  if (status === 401 || status === 403) return 'unauthorized';
  if (status === 404 || status === 410) return 'not-found';
  if (status === 409 || status === 422) return 'conflict';
  if (status === 408 || status >= 500) return 'unavailable';
  return 'unexpected-response';
}

function retryAfterMs(headers: Headers): number {
  const after = headers.get('retry-after') ?? '';
  if (/^\d+$/.test(after)) return Number(after) * 1000;
  const now = Date.parse(headers.get('date') ?? '') || Date.now();
  if (after !== '' && !Number.isNaN(Date.parse(after))) return Math.max(0, Date.parse(after) - now);
  const reset = headers.get('x-ratelimit-reset') ?? '';
  return /^\d+$/.test(reset) ? Math.max(0, Number(reset) * 1000 - now) : RATE_LIMIT_PAUSE_MS;
}

/** The platform's own short words, in JSON as we write it, so that a secret has one of the forms we know. Hidden first and cut then; the other way round leaves half a secret. */
function summaryOf(text: string, hide: (text: string) => string): string {
  if (text.trim() === '') return 'no text in the answer';
  const value = jsonOf(text);
  if (value === undefined) return /^\s*</.test(text) ? 'an HTML page instead of JSON' : short(hide(text));
  if (typeof value !== 'object' || value === null || !('message' in value) || typeof value.message !== 'string') return short(hide(JSON.stringify(value)));
  return short(hide('errors' in value ? `${value.message} ${JSON.stringify(value.errors)}` : value.message));
}

/** Undefined where it is not JSON: JSON itself has no such value. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** On one line and without control characters, which would write to an operator's terminal. */
function short(text: string): string {
  const line = text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\s]+/gu, ' ').trim();
  return line.length > ANSWER_CHARACTERS_MAX ? `${line.slice(0, ANSWER_CHARACTERS_MAX)}…` : line;
}

function parsed<T>(schema: z.ZodType<T>, text: string, status: number, fail: Fail): T {
  const value = text.trim() === '' ? null : jsonOf(text);
  if (value === undefined)
    throw fail('unexpected-response', `${status}: ${/^\s*</.test(text) ? 'an HTML page' : 'something else'} instead of JSON`, { status });
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw fail('unexpected-response', `${status}: ${issue?.path.join('.') || 'the answer'}: ${issue?.message ?? 'not what was expected'}`, { status });
}
