/**
 * Messages by POST: to a webhook of one's own, which gets JSON and can drop a repetition by its `id`; to Slack and Discord, which cannot.
 * Their addresses are secrets: no message, no error and no cause of one here may hold them, or what an answer may echo of them.
 *
 * Slack: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks · Discord: https://discord.com/developers/docs/resources/webhook#execute-webhook,
 * API v10. Both checked 2026-11.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';

/**
 * Why a message is not there:
 * `refused`: certainly not delivered, and it will not be before a person mends something · `later`: sending it again is safe, and may help ·
 * `unclear`: it may be there, whole or in part; sending it again may say it twice, so that is for a person to decide.
 */
export type Missing = 'refused' | 'later' | 'unclear';

export class Undelivered extends Error {
  override readonly name = 'Undelivered';
  readonly missing: Missing;
  constructor(missing: Missing, message: string) {
    super(message);
    this.missing = missing;
  }
}

/** A chat that takes messages at a webhook. */
export interface Chat {
  /** Longest message, in characters of the chat's own counting. */
  readonly max: number;
  readonly address: (url: URL) => URL;
  readonly escape: (text: string) => string;
  readonly payload: (text: string) => unknown;
  readonly retryAfterMs: (answer: Answer) => number;
  /** The id of the message, null where the chat gives none; throws Undelivered. */
  readonly delivered: (answer: Answer) => string | null;
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

const WEBHOOK_TIMEOUT_MS = 5_000;
const CHAT_TIMEOUT_MS = 10_000;
/** How long one message is held back in all because a chat asks for it. */
const HELD_BACK_MAX_MS = 30_000;
const HELD_BACK_MIN_MS = 100;
const ANSWER_BYTES_MAX = 64 * 1024;
/** Of a part: `(12/34) `. */
const NUMBER_MAX = 10;
const NOT_KNOWN = 'it is not known whether it was delivered';
const LOOK = 'look there before it is sent again';
/** There was no connection to send it on, or fetch makes none to such a port. */
const NEVER_CONNECTED = new Set(['bad port', 'ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT']);

/** The JSON as it is. Whatever became of it may be sent again: `id` is stable. */
export async function postJson(address: string, message: { readonly id: string }, signal: AbortSignal): Promise<void> {
  try {
    const { status } = await ask(urlOf(address), message, signal, WEBHOOK_TIMEOUT_MS);
    if (status < 200 || status > 299) throw new Undelivered('later', `HTTP ${status}`);
  } catch (error) {
    if (error instanceof Undelivered && error.missing === 'unclear') throw new Undelivered('later', error.message);
    throw error;
  }
}

/** In as many messages as it needs, in their order; answers their ids. */
export async function postChat(chat: Chat, address: string, text: string, signal: AbortSignal): Promise<(string | null)[]> {
  const url = chat.address(urlOf(address));
  const parts = numbered(partsOf(text, chat.max - NUMBER_MAX, (character) => chat.escape(character).length));
  const ids: (string | null)[] = [];
  const patience = { leftMs: HELD_BACK_MAX_MS };
  for (const part of parts) {
    try {
      ids.push(await postPart(chat, url, part, signal, patience));
    } catch (error) {
      if (!(error instanceof Undelivered) || ids.length === 0) throw error;
      throw new Undelivered('unclear', `only the first ${ids.length} of ${parts.length} parts were delivered: ${error.message}`);
    }
  }
  return ids;
}

async function postPart(chat: Chat, url: URL, text: string, signal: AbortSignal, patience: { leftMs: number }): Promise<string | null> {
  for (;;) {
    const answer = await ask(url, chat.payload(chat.escape(text)), signal, CHAT_TIMEOUT_MS);
    if (answer.status !== 429) return chat.delivered(answer);
    const waitMs = Math.max(HELD_BACK_MIN_MS, chat.retryAfterMs(answer));
    if (waitMs > patience.leftMs)
      throw new Undelivered(
        'later',
        `HTTP 429: it takes no more messages for ${Math.ceil(waitMs / 1000)} s, longer than a message is held back; it was not delivered`,
      );
    patience.leftMs -= waitMs;
    await sleep(waitMs, undefined, { signal }).catch(() => {
      throw new Undelivered('later', 'HTTP 429: it takes no more messages for the moment, and waiting was interrupted; it was not delivered');
    });
  }
}

/** Escapes what Slack reads as markup or mentions, and nothing else: https://docs.slack.dev/messaging/formatting-message-text#escaping */
const slackEscaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

const NEW_SLACK = 'make another incoming webhook in Slack, and put its address where backout.yaml points to';
const SLACK_REMEDY: Readonly<Record<number, string>> = {
  400: 'Slack does not take this message, or nobody it is meant for; see whether the webhook takes any',
  403: `Slack refuses this webhook; let an administrator allow it, or ${NEW_SLACK}`,
  404: `Slack does not know this webhook or its channel any more; ${NEW_SLACK}`,
  410: `the channel is archived; restore it, or ${NEW_SLACK}`,
};

export const slack: Chat = {
  // Slack advises 4,000, and cuts at 40,000.
  max: 3_500,
  address: (url) => url,
  escape: slackEscaped,
  payload: (text) => ({ text }),
  retryAfterMs: ({ headers }) => secondsToMs(headers.get('retry-after')),
  delivered: ({ status, text }) => {
    // Slack's errors are one word; anything else comes from somebody in between, and may quote the address.
    const word = /^[a-z_]{1,60}$/.test(text.trim()) ? ` ${text.trim()}` : '';
    if (status === 200 && word === ' ok') return null;
    throw notTaken(status, word, SLACK_REMEDY);
  },
};

const NEW_DISCORD = 'make another under Server Settings, Integrations, Webhooks, and put its address where backout.yaml points to';
const DISCORD_REMEDY: Readonly<Record<number, string>> = {
  400: 'Discord does not take this message; see whether the webhook takes any',
  401: `Discord does not accept the token of this webhook; ${NEW_DISCORD}`,
  403: `Discord refuses this webhook; ${NEW_DISCORD}`,
  404: `the webhook was deleted; ${NEW_DISCORD}`,
};
const discordMessage = z.object({ id: z.string().regex(/^\d{1,30}$/) });
const discordLimit = z.object({ retry_after: z.number().nonnegative() });
const discordError = z.object({ code: z.int() });

export const discord: Chat = {
  // Discord counts characters, we count UTF-16 units, which are never fewer.
  max: 2_000,
  // Without `wait` a message that is not saved is no error.
  address: (url) => {
    url.searchParams.set('wait', 'true');
    return url;
  },
  escape: (text) => text,
  payload: (content) => ({ content, allowed_mentions: { parse: [] } }),
  retryAfterMs: ({ headers, text }) => {
    const limit = discordLimit.safeParse(jsonOf(text));
    return limit.success ? Math.ceil(limit.data.retry_after * 1000) : secondsToMs(headers.get('retry-after'));
  },
  delivered: ({ status, text }) => {
    const json = jsonOf(text);
    const message = discordMessage.safeParse(json);
    if (status === 200 && message.success) return message.data.id;
    const error = discordError.safeParse(json);
    throw notTaken(status, error.success ? ` code ${error.data.code}` : '', DISCORD_REMEDY);
  },
};

function notTaken(status: number, word: string, remedies: Readonly<Record<number, string>>): Undelivered {
  const remedy = remedies[status];
  if (remedy !== undefined) return new Undelivered('refused', `HTTP ${status}${word}: ${remedy}`);
  if (status < 300)
    return new Undelivered('unclear', `HTTP ${status}${word}, which is not how it answers; ${NOT_KNOWN}; ${LOOK}, and that the address is that of a webhook`);
  if (status < 400) return new Undelivered('refused', `HTTP ${status}: it has moved; put its new address where backout.yaml points to`);
  // 408 comes from somebody in between, who gave up waiting.
  if (status < 500 && status !== 408)
    return new Undelivered('refused', `HTTP ${status}${word}: it does not take the message; see that the address is that of a webhook`);
  return new Undelivered('unclear', `HTTP ${status}${word}; ${NOT_KNOWN}; ${LOOK}`);
}

/** One POST, never repeated. Throws Undelivered where there is no answer. */
async function ask(url: URL, body: unknown, signal: AbortSignal, timeoutMs: number): Promise<Answer> {
  if (signal.aborted) throw new Undelivered('later', 'interrupted before it was sent');
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'user-agent': 'backout' },
      body: JSON.stringify(body),
      signal: AbortSignal.any([signal, timeout]),
      redirect: 'manual',
    });
    return { status: response.status, headers: response.headers, text: await textOf(response) };
  } catch (error) {
    const code = codeOf(error);
    // Neither fetch's words nor its error go on: they may hold the address.
    if (NEVER_CONNECTED.has(code)) throw new Undelivered('later', 'no answer');
    if (/^ERR_TLS|CERT|^UNABLE_TO/.test(code))
      throw new Undelivered('refused', `its certificate is not accepted (${code}); correct the address, or what the worker trusts`);
    const why = signal.aborted
      ? 'interrupted before it answered'
      : timeout.aborted
        ? `no answer within ${timeoutMs / 1000} s`
        : 'the connection broke before it answered';
    throw new Undelivered('unclear', `${why}; ${NOT_KNOWN}; ${LOOK}`);
  }
}

/** What it has said so far, where the connection breaks in the middle: the status came first, and counts. */
async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const reader = response.body?.getReader();
  try {
    for (let next = await reader?.read(); next !== undefined && !next.done && bytes < ANSWER_BYTES_MAX; next = await reader?.read()) {
      chunks.push(next.value);
      bytes += next.value.byteLength;
    }
    await reader?.cancel();
  } catch {
    return '';
  }
  return Buffer.concat(chunks).toString('utf8');
}

function codeOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (!(cause instanceof Error)) return '';
  return 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.message === 'bad port' ? cause.message : '';
}

function urlOf(address: string): URL {
  const url = URL.parse(address);
  if (url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '') return url;
  throw new Undelivered('refused', 'its address is no http or https URL that can be posted to; correct what backout.yaml points to');
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** One second, where it names none. */
const secondsToMs = (seconds: string | null): number => (seconds !== null && /^\d{1,9}(\.\d+)?$/.test(seconds) ? Math.ceil(Number(seconds) * 1000) : 1_000);

const numbered = (parts: readonly string[]): string[] => (parts.length < 2 ? [...parts] : parts.map((part, index) => `(${index + 1}/${parts.length}) ${part}`));

/** Parts of at most `max`, by the size of each character: broken between paragraphs, else lines, else words, else anywhere. */
export function partsOf(text: string, max: number, size: (character: string) => number): string[] {
  const parts: string[] = [];
  let rest = text.trim();
  while (rest !== '') {
    const fits = fitting(rest, max, size);
    const end = fits === rest.length ? fits : borderIn(rest, fits);
    parts.push(rest.slice(0, end).trimEnd());
    rest = rest.slice(end).trimStart();
  }
  return parts;
}

function fitting(text: string, max: number, size: (character: string) => number): number {
  let [units, used] = [0, 0];
  for (const character of text) {
    used += size(character);
    if (used > max) return units;
    units += character.length;
  }
  return units;
}

/** The last border in the second half; an earlier one would leave a part of a few words. */
function borderIn(text: string, fits: number): number {
  for (const border of ['\n\n', '\n', ' ']) {
    const at = text.lastIndexOf(border, fits);
    if (at >= fits / 2) return at;
  }
  return fits;
}
