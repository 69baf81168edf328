/**
 * Slack's incoming webhooks and Discord's webhooks, as a process of its own: `node test/fakes/chat.ts --port 0 --ledger FILE` prints
 * `{"url":…}`. It keeps to the documented protocol and its limits, and breaks on demand:
 *
 *   POST /services/T0/B0/<token>          Slack: `{text}` -> 200 `ok`
 *   POST /api/webhooks/<id>/<token>       Discord: `{content}` -> 204, or with ?wait=true 200 and the message
 *   POST /_control   hooks: what becomes of a token · limit: so many messages a window · faults: queue · reset: true
 *   GET  /_ledger    every message that is in a channel, from the file, which outlives this process · GET /_requests every status it answered
 */
import { appendFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

export interface Posted {
  readonly chat: 'slack' | 'discord';
  readonly token: string;
  /** As the channel shows it: Slack's escapes are undone. */
  readonly text: string;
  /** Who was pinged by it. */
  readonly pinged: readonly string[];
  readonly id: string;
}

export interface Fault {
  readonly chat?: Posted['chat'];
  readonly times?: number;
  /** Is the message in the channel before it breaks? */
  readonly after?: boolean;
  readonly answer: 'reset' | 'hang' | { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: string };
}

export interface Control {
  /** By token; a token that is not named works. */
  readonly hooks?: Readonly<Record<string, 'deleted' | 'archived' | 'prohibited' | 'other-token'>>;
  /** So many messages within a window; more are answered 429 with the time that is left. */
  readonly limit?: { readonly messages: number; readonly windowMs: number } | null;
  readonly faults?: readonly Fault[];
  readonly reset?: boolean;
}

interface Asked {
  readonly token: string;
  readonly wait: boolean;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}
interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
}

const SLACK_CUTS_AT = 40_000;
const DISCORD_MAX = 2_000;
const html = { 'content-type': 'text/html' };
const json = { 'content-type': 'application/json' };

/** What was posted, and the state that tests set. */
class Channels {
  readonly ledger: string;
  hooks: NonNullable<Control['hooks']> = {};
  limit: NonNullable<Control['limit']> | null = null;
  faults: Fault[] = [];
  requests: { chat: Posted['chat']; token: string; status: number | string }[] = [];
  private window = { since: 0, messages: 0 };
  private count = 0;

  constructor(ledger: string) {
    this.ledger = ledger;
  }

  control({ hooks, limit, faults = [], reset = false }: Control): void {
    if (reset) {
      Object.assign(this, { hooks: {}, limit: null, faults: [], requests: [] });
      rmSync(this.ledger, { force: true });
    }
    if (hooks !== undefined) this.hooks = hooks;
    if (limit !== undefined) this.limit = limit;
    this.window = { since: 0, messages: 0 };
    for (const fault of faults) this.faults.push(...Array.from({ length: fault.times ?? 1 }, () => fault));
  }

  posted(): Posted[] {
    if (!existsSync(this.ledger)) return [];
    return readFileSync(this.ledger, 'utf8')
      .trim()
      .split('\n')
      .map((line): Posted => JSON.parse(line));
  }

  /** In ms, where it is one too many. */
  over(): number | null {
    if (this.limit === null) return null;
    const now = Date.now();
    if (now - this.window.since >= this.limit.windowMs) this.window = { since: now, messages: 0 };
    this.window.messages += 1;
    return this.window.messages <= this.limit.messages ? null : this.window.since + this.limit.windowMs - now;
  }

  post(message: Omit<Posted, 'id'>): string {
    const id = `13374200000000${String((this.count += 1)).padStart(4, '0')}`;
    appendFileSync(this.ledger, `${JSON.stringify({ ...message, id })}\n`);
    return id;
  }
}

function parsed(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null;
  } catch {
    return null;
  }
}

const SLACK_HOOK = {
  deleted: [404, 'no_service'],
  archived: [410, 'channel_is_archived'],
  prohibited: [403, 'action_prohibited'],
  'other-token': [403, 'invalid_token'],
} as const;

/** https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors */
function slack(channels: Channels, { token, headers, text }: Asked): Answer {
  const said = (status: number, body: string, more = {}): Answer => ({ status, headers: { ...html, ...more }, body });
  const hook = channels.hooks[token];
  if (hook !== undefined) {
    const [status, word] = SLACK_HOOK[hook];
    return said(status, word);
  }
  const body = headers['content-type']?.startsWith('application/json') === true ? parsed(text) : null;
  if (body === null) return said(400, 'invalid_payload');
  if (typeof body['text'] !== 'string' || body['text'].trim() === '') return said(400, 'no_text');
  const leftMs = channels.over();
  if (leftMs !== null) return said(429, 'rate_limited', { 'retry-after': String(Math.ceil(leftMs / 1000)) });
  const shown = body['text'].slice(0, SLACK_CUTS_AT);
  const pinged = [...shown.matchAll(/<!(channel|here|everyone)>|<@([A-Z0-9]+)>/g)].map((match) => match[1] ?? match[2] ?? '');
  const plain = shown.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
  channels.post({ chat: 'slack', token, text: plain, pinged });
  return said(200, 'ok');
}

const refusal = (status: number, code: number, message: string, more = {}): Answer => ({
  status,
  headers: json,
  body: JSON.stringify({ message, code, ...more }),
});

/** https://discord.com/developers/docs/resources/webhook#execute-webhook */
function discord(channels: Channels, { token, wait, headers, text }: Asked): Answer {
  const hook = channels.hooks[token];
  if (hook === 'other-token') return refusal(401, 50_027, 'Invalid Webhook Token');
  if (hook !== undefined) return refusal(404, 10_015, 'Unknown Webhook');
  const leftMs = channels.over();
  if (leftMs !== null)
    return {
      status: 429,
      // The header is whole seconds; the body is exact.
      headers: { ...json, 'retry-after': String(Math.ceil(leftMs / 1000)), 'x-ratelimit-scope': 'user' },
      body: JSON.stringify({ message: 'You are being rate limited.', retry_after: leftMs / 1000, global: false }),
    };
  const body = headers['content-type']?.startsWith('application/json') === true ? parsed(text) : null;
  if (body === null) return refusal(400, 50_109, 'The request body contains invalid JSON.');
  const content = body['content'];
  if (typeof content !== 'string' || content.trim() === '') return refusal(400, 50_006, 'Cannot send an empty message');
  if (Array.from(content).length > DISCORD_MAX) {
    const problem = { code: 'BASE_TYPE_MAX_LENGTH', message: 'Must be 2000 or fewer in length.' };
    return refusal(400, 50_035, 'Invalid Form Body', { errors: { content: { _errors: [problem] } } });
  }
  const mentions = body['allowed_mentions'];
  const isQuiet = typeof mentions === 'object' && mentions !== null && 'parse' in mentions && Array.isArray(mentions.parse) && mentions.parse.length === 0;
  const pinged = isQuiet ? [] : [...content.matchAll(/@(everyone|here)|<@&?(\d+)>/g)].map((match) => match[1] ?? match[2] ?? '');
  const id = channels.post({ chat: 'discord', token, text: content, pinged });
  if (!wait) return { status: 204, body: '' };
  return {
    status: 200,
    headers: json,
    body: JSON.stringify({ id, type: 0, content, channel_id: '1', author: { id: '2', username: 'backout' }, mentions: [] }),
  };
}

async function answer(channels: Channels, chat: Posted['chat'], asked: Asked, response: ServerResponse): Promise<void> {
  const index = channels.faults.findIndex((one) => (one.chat ?? chat) === chat);
  const [fault] = index < 0 ? [] : channels.faults.splice(index, 1);
  const usual = fault === undefined || fault.after === true ? (chat === 'slack' ? slack : discord)(channels, asked) : null;
  const given = fault?.answer ?? usual;
  channels.requests.push({ chat, token: asked.token, status: typeof given === 'object' && given !== null ? given.status : String(given) });
  if (given === 'hang') {
    await sleep(60_000, undefined, { ref: false });
  } else if (given === 'reset') {
    response.socket?.resetAndDestroy();
  } else if (given !== null) {
    response.writeHead(given.status, given.headers).end(given.body);
  }
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
  if (values.ledger === undefined || address === null || typeof address === 'string') throw new Error('usage: node test/fakes/chat.ts --port 0 --ledger FILE');
  const url = `http://127.0.0.1:${address.port}`;
  const channels = new Channels(values.ledger);
  server.on('request', (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', url);
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const text = Buffer.concat(chunks).toString('utf8');
      const [, slackToken, discordToken] = /^(?:\/services\/T0\/B0\/([^/]+)|\/api\/webhooks\/\d+\/([^/]+))$/.exec(pathname) ?? [];
      const token = slackToken ?? discordToken;
      if (pathname === '/_control') channels.control(parsed(text) ?? {});
      if (token !== undefined && request.method === 'POST') {
        void answer(
          channels,
          slackToken === undefined ? 'discord' : 'slack',
          { token, wait: searchParams.get('wait') === 'true', headers: request.headers, text },
          response,
        );
        return;
      }
      const known: Readonly<Record<string, unknown>> = { '/_control': {}, '/_ledger': channels.posted(), '/_requests': channels.requests };
      const shown = known[pathname];
      response.writeHead(shown === undefined ? 404 : 200, json).end(JSON.stringify(shown ?? { message: '404: Not Found', code: 0 }));
    });
  });
  if (values['until-stdin-ends'])
    process.stdin.resume().on('end', () => {
      process.exit(0);
    });
  process.stdout.write(`${JSON.stringify({ url })}\n`);
}

await main();
