/** Messages to files, webhooks, Slack and Discord, over real HTTP: delivered once, in parts, patiently, and never with the address in an error. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import * as fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { post, type Message } from '../activities/channels.ts';
import { notify, tell, type NotifyWork, type Told } from '../activities/notify.ts';
import { partsOf, Undelivered } from '../activities/webhooks.ts';
import { ConfigError, parseConfig, type LoadedConfig } from '../model/config-file.ts';
import type { Channel } from '../model/config.ts';
import { startFakeChat, type FakeChat } from './fakes/chat-process.ts';
import { dependencies, firstAttempt, Paper, YAML } from './model/given.ts';

const CANARY = 'canary7f3a';
const SLACK: Channel = { slack: 'env:TEST_SLACK' };
const DISCORD: Channel = { discord: 'env:TEST_DISCORD' };
const LETTER: Message = { id: 'r/communication.update/0', subject: 'Portarium rollback in progress', body: 'Actions completed:\n- none' };
const TOLD: Told = {
  id: 'r/stopped/1',
  notice: 'stopped',
  at: '2026-11-21T03:00:00.000Z',
  text: 'web.deploy failed <@U024BE7LH>: 1 < 2 & 3',
  rollbackId: 'r',
  workflowId: 'deployRevert/production/web',
  next: ['backout decide web --step web.deploy --action retry --by YOU --reason WHY'],
};

let chat: FakeChat;
let folder: string;
beforeAll(async () => {
  chat = await startFakeChat();
  folder = await mkdtemp(join(tmpdir(), 'backout-channels-'));
  process.env['TEST_SLACK'] = chat.slack(CANARY);
  process.env['TEST_DISCORD'] = chat.discord(CANARY);
});
afterAll(async () => {
  await chat.stop();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(() => chat.control({ reset: true }));

const undelivered = async (channel: Channel, message: Message = LETTER, signal?: AbortSignal): Promise<Undelivered> => {
  const error: unknown = await post(folder, channel, message, signal).then(
    (value) => new Error(`delivered ${inspect(value)}`),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof Undelivered)) throw new Error('expected an Undelivered', { cause: error });
  expect(inspect(error, { depth: null, showHidden: true })).not.toContain('canary');
  return error;
};
const texts = async (): Promise<string[]> => (await chat.posted()).map((one) => one.text);
const statuses = async (): Promise<(number | string)[]> => (await chat.requests()).map((one) => one.status);
const failing = (status: number, headers: Record<string, string> = {}, body = ''): Promise<void> =>
  chat.control({ faults: [{ answer: { status, headers, body } }] });
/** Paragraphs of lines, each different. */
const long = (characters: number): string => {
  let text = '';
  for (let line = 1; text.length < characters; line += 1) text += `- item ${line}: ${'word '.repeat(9).trim()}\n${line % 10 === 0 ? '\n' : ''}`;
  return text.trim();
};
const words = (all: readonly string[]): string[] => all.flatMap((text) => text.replace(/^\(\d+\/\d+\) /, '').split(/\s+/));

describe.each([
  ['Slack', SLACK, 3_500],
  ['Discord', DISCORD, 2_000],
] as const)('%s', (name, channel, max) => {
  it('shows a letter as it was written, and pings nobody', async () => {
    const body = 'a < b & c > d &amp; <!channel> <@U1> <@1337> @everyone *not bold*';
    await post(folder, channel, { ...LETTER, body });
    expect(await chat.posted()).toMatchObject([{ chat: name.toLowerCase(), token: CANARY, text: `Portarium rollback in progress\n\n${body}`, pinged: [] }]);
  });

  it('shows a notice with what to do next', async () => {
    await post(folder, channel, TOLD);
    expect(await texts()).toEqual([`${TOLD.text}\n\nNext:\n${TOLD.next[0]}`]);
  });

  it('takes a long message in numbered parts, broken between lines, in order and whole', async () => {
    const body = long(max * 2.5);
    await post(folder, channel, { ...LETTER, body });
    const shown = await texts();
    expect(shown.length).toBeGreaterThanOrEqual(3);
    expect(shown.map((text) => /^\(\d+\/\d+\)/.exec(text)?.[0])).toEqual(shown.map((_, index) => `(${index + 1}/${shown.length})`));
    for (const text of shown) expect(text.length).toBeLessThanOrEqual(max);
    for (const text of shown.slice(1)) expect(text).toMatch(/^\(\d+\/\d+\) - item \d+: /);
    expect(words(shown)).toEqual(words([`Portarium rollback in progress\n\n${body}`]));
  });

  it('is waited for when it asks for patience, and gets every part once', async () => {
    await chat.control({ limit: { messages: 2, windowMs: 500 } });
    const body = long(max * 2.5);
    await post(folder, channel, { ...LETTER, body });
    expect(await statuses()).toContain(429);
    expect(words(await texts())).toEqual(words([`Portarium rollback in progress\n\n${body}`]));
  });

  it('is not waited for longer than a message is held back: certainly not delivered', async () => {
    await failing(429, { 'retry-after': '120' });
    const error = await undelivered(channel);
    expect(error).toMatchObject({ missing: 'later', message: expect.stringMatching(/^HTTP 429: .*for 120 s.*it was not delivered$/) as string });
    expect(await texts()).toEqual([]);
  });

  it('is not waited for once the caller gives up', async () => {
    await failing(429, { 'retry-after': '20' });
    expect(await undelivered(channel, LETTER, AbortSignal.timeout(200))).toMatchObject({ missing: 'later' });
    expect(await statuses()).toEqual([429]);
    expect((await undelivered(channel, LETTER, AbortSignal.abort())).missing).toBe('later');
    expect(await statuses()).toEqual([429]);
  });

  it('has the message and breaks the connection: it is not sent again, and nobody claims to know', async () => {
    await chat.control({ faults: [{ after: true, answer: 'reset' }] });
    const error = await undelivered(channel);
    expect(error).toMatchObject({ missing: 'unclear', message: expect.stringContaining('it is not known whether it was delivered') as string });
    expect(await texts()).toHaveLength(1);
    expect(await statuses()).toEqual(['reset']);
  });

  it('never answers: unclear', async () => {
    await chat.control({ faults: [{ answer: 'hang' }] });
    expect((await undelivered(channel, LETTER, AbortSignal.timeout(300))).message).toMatch(/^interrupted before it answered; it is not known/);
    expect(await statuses()).toEqual(['hang']);
  });

  it.each([500, 502, 503, 408])('answers %i: unclear, not repeated', async (status) => {
    await failing(status, { 'content-type': 'text/html' }, `<h1>${CANARY}</h1>`);
    expect(await undelivered(channel)).toMatchObject({ missing: 'unclear', message: expect.stringMatching(`^HTTP ${status}; it is not known`) as string });
    expect(await statuses()).toEqual([status]);
  });

  it('answers 200 as somebody else would: unclear', async () => {
    await failing(200, { 'content-type': 'text/html' }, `<h1>Welcome to ${CANARY}</h1>`);
    expect((await undelivered(channel)).missing).toBe('unclear');
  });

  it('has moved: refused, and not followed', async () => {
    await failing(307, { location: `${chat.url}/services/T0/B0/other` });
    expect(await undelivered(channel)).toMatchObject({ missing: 'refused', message: expect.stringMatching(/^HTTP 307: it has moved/) as string });
    expect(await texts()).toEqual([]);
  });

  it('breaks in the middle of a long message: says how much is there', async () => {
    await chat.control({ limit: { messages: 1, windowMs: 45_000 } });
    const error = await undelivered(channel, { ...LETTER, body: long(max * 2.5) });
    expect(error).toMatchObject({ missing: 'unclear', message: expect.stringMatching(/^only the first 1 of \d parts were delivered: HTTP 429/) as string });
    expect(await texts()).toHaveLength(1);
  });

  // Nobody listens at 2; to 1 fetch makes no connection at all.
  it.each([1, 2])('is not there at all, port %i: certainly not delivered', async (port) => {
    process.env['TEST_NOWHERE'] = `http://127.0.0.1:${port}/${CANARY}`;
    const nowhere = 'slack' in channel ? { slack: 'env:TEST_NOWHERE' } : { discord: 'env:TEST_NOWHERE' };
    expect(await undelivered(nowhere)).toMatchObject({ missing: 'later', message: 'no answer' });
  });

  it.each([
    ['env:TEST_NOT_SET', /no environment variable TEST_NOT_SET/],
    ['file:./not-there', /cannot read .*not-there/],
    ['env:TEST_NO_URL', /no http or https URL/],
    ['env:TEST_FTP', /no http or https URL/],
  ])('whose address is %s is refused, and says what to mend', async (reference, message) => {
    Object.assign(process.env, { TEST_NO_URL: `${CANARY} is no URL`, TEST_FTP: `ftp://${CANARY}/x` });
    const error = await undelivered('slack' in channel ? { slack: reference } : { discord: reference });
    expect(error.missing).toBe('refused');
    expect(error.message).toMatch(message);
  });

  it('is found by a secret in a file', async () => {
    await writeFile(join(folder, 'hook'), `${'slack' in channel ? chat.slack(CANARY) : chat.discord(CANARY)}\n`);
    await post(folder, 'slack' in channel ? { slack: 'file:./hook' } : { discord: 'file:./hook' }, LETTER);
    expect(await texts()).toHaveLength(1);
  });
});

describe('a hook that is no more', () => {
  it.each([
    [SLACK, 'deleted', /^HTTP 404 no_service: .*make another incoming webhook/],
    [SLACK, 'archived', /^HTTP 410 channel_is_archived: .*restore it/],
    [SLACK, 'prohibited', /^HTTP 403 action_prohibited: .*administrator/],
    [SLACK, 'other-token', /^HTTP 403 invalid_token: /],
    [DISCORD, 'deleted', /^HTTP 404 code 10015: the webhook was deleted; make another/],
    [DISCORD, 'other-token', /^HTTP 401 code 50027: .*token/],
  ] as const)('%o %s is refused at once, with what to do', async (channel, hook, message) => {
    await chat.control({ hooks: { [CANARY]: hook } });
    const error = await undelivered(channel);
    expect(error.missing).toBe('refused');
    expect(error.message).toMatch(message);
    expect(await chat.requests()).toHaveLength(1);
  });

  it('what neither takes is refused', async () => {
    const empty: Message = { id: '1', text: '\u200B \n', next: [] };
    await failing(400, {}, 'invalid_payload');
    expect(await undelivered(SLACK, empty)).toMatchObject({ missing: 'refused', message: expect.stringMatching(/^HTTP 400 invalid_payload: /) as string });
    await failing(400, {}, '{"message":"Invalid Form Body","code":50035}');
    expect(await undelivered(DISCORD, empty)).toMatchObject({ missing: 'refused', message: expect.stringMatching(/^HTTP 400 code 50035: /) as string });
  });
});

describe('parts', () => {
  const escaped = (character: string): number => ({ '&': 5, '<': 4, '>': 4 })[character] ?? character.length;
  const sizeOf = (text: string): number => Array.from(text).reduce((sum, character) => sum + escaped(character), 0);

  it('are whole, in order, no longer than they may be, and cut through no character', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('a', 'b', ' ', '\n', '\n\n', '&', '<', '👩‍💻', 'é'), maxLength: 600 }),
        fc.integer({ min: 10, max: 120 }),
        (text, max) => {
          const parts = partsOf(text, max, escaped);
          expect(parts.join('').replaceAll(/\s/g, '')).toBe(text.replaceAll(/\s/g, ''));
          for (const part of parts) {
            expect(part).toMatch(/\S/);
            expect(sizeOf(part)).toBeLessThanOrEqual(max);
            expect(part.isWellFormed()).toBe(true);
          }
        },
      ),
    );
  });

  it('break between paragraphs before lines, and between lines before words', () => {
    const size = (character: string): number => character.length;
    expect(partsOf('one one\n\ntwo two\nthree', 14, size)).toEqual(['one one', 'two two\nthree']);
    expect(partsOf('one one one\ntwo two', 16, size)).toEqual(['one one one', 'two two']);
    expect(partsOf('one two three four', 10, size)).toEqual(['one two', 'three four']);
    expect(partsOf('x'.repeat(25), 10, size)).toEqual(['x'.repeat(10), 'x'.repeat(10), 'x'.repeat(5)]);
  });
});

describe('a file', () => {
  const channel: Channel = { file: './logs/incidents.log' };
  const path = (): string => join(folder, 'logs/incidents.log');
  beforeEach(() => rm(path(), { force: true }));
  const written = async (): Promise<unknown[]> =>
    (await readFile(path(), 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);

  it('gets one JSON line a message, once for each id', async () => {
    expect(await post(folder, channel, TOLD)).toEqual({ already: false, ids: [] });
    expect(await post(folder, channel, { ...LETTER, body: `quotes "${TOLD.id}"` })).toEqual({ already: false, ids: [] });
    expect(await post(folder, channel, TOLD)).toEqual({ already: true, ids: [] });
    expect(await post(folder, channel, { ...TOLD, id: `${TOLD.id}0` })).toEqual({ already: false, ids: [] });
    expect(await written()).toEqual([TOLD, { ...LETTER, body: `quotes "${TOLD.id}"` }, { ...TOLD, id: `${TOLD.id}0` }]);
  });

  it('whose last line was cut off by a crash keeps the next one whole', async () => {
    await post(folder, channel, TOLD);
    await writeFile(path(), `{"id":"${LETTER.id}","sub`, { flag: 'a' });
    expect((await post(folder, channel, LETTER)).already).toBe(false);
    expect((await readFile(path(), 'utf8')).trim().split('\n').at(-1)).toBe(JSON.stringify(LETTER));
  });

  it('that cannot be written says so', async () => {
    expect(await undelivered({ file: '.' })).toMatchObject({ missing: 'later', message: expect.stringMatching(/^EISDIR.*or name another file$/) as string });
  });
});

describe('a webhook of its own', () => {
  const asked: { method: string | undefined; type: string | undefined; body: unknown }[] = [];
  let act: (response: ServerResponse, request: IncomingMessage) => void;
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on('end', () => {
      asked.push({ method: request.method, type: request.headers['content-type'], body: JSON.parse(body) });
      act(response, request);
    });
  });
  const channel: Channel = { webhook: 'env:TEST_WEBHOOK' };
  beforeAll(async () => {
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    process.env['TEST_WEBHOOK'] = `http://127.0.0.1:${(server.address() as AddressInfo).port}/${CANARY}`; // A TCP server that listens.
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  beforeEach(() => {
    asked.length = 0;
    act = (response) => response.end();
  });

  it('gets the JSON by POST', async () => {
    expect(await post(folder, channel, TOLD)).toEqual({ already: false, ids: [] });
    expect(asked).toEqual([{ method: 'POST', type: 'application/json', body: TOLD }]);
  });

  it.each([500, 404, 302])('that answers %i may be asked again: it knows repetitions by their id', async (status) => {
    act = (response) => response.writeHead(status, { location: `http://127.0.0.1/${CANARY}` }).end(CANARY);
    expect(await undelivered(channel, TOLD)).toMatchObject({ missing: 'later', message: `HTTP ${status}` });
    expect(asked).toHaveLength(1);
  });

  it('that breaks the connection may have it, and may be asked again', async () => {
    act = (_, request) => request.socket.resetAndDestroy();
    const error = await undelivered(channel, TOLD);
    expect(error).toMatchObject({ missing: 'later', message: expect.stringContaining('it is not known whether it was delivered') as string });
    expect(asked).toHaveLength(1);
  });
});

describe('the incident channel', () => {
  const yaml = (channels: string): string => `${YAML}channels: { incident: [${channels}] }\n`;
  const loaded = (channels: string): LoadedConfig => parseConfig(yaml(channels), 'backout.yaml', folder);
  const work: NotifyWork = { ...TOLD, machineMs: 0, humanMs: 0, entries: [] };
  const notified = (channels: string, number = 1): Promise<{ warnings: string[] }> =>
    notify(work, dependencies(new Paper(), { deployments: [] }, yaml(channels)), firstAttempt({ number }));
  const BOTH = '{ slack: "env:TEST_SLACK" }, { discord: "env:TEST_DISCORD" }';

  it('may be Slack and Discord', async () => {
    expect(await tell(loaded(BOTH), TOLD)).toEqual([]);
    const posted = await chat.posted();
    expect(new Set(posted.map((one) => one.chat))).toEqual(new Set(['slack', 'discord']));
    expect(posted.map((one) => one.text)).toEqual(Array.from({ length: 2 }, () => `${TOLD.text}\n\nNext:\n${TOLD.next[0]}`));
  });

  it('names the chat that could not be told, never its address', async () => {
    await chat.control({ hooks: { [CANARY]: 'deleted' } });
    const warnings = await tell(loaded(BOTH), TOLD);
    expect(warnings).toEqual([
      expect.stringMatching(/^a Slack webhook could not be told: HTTP 404 no_service/),
      expect.stringMatching(/^a Discord webhook could not be told: HTTP 404 code 10015/),
    ]);
    expect(warnings.join()).not.toContain(CANARY);
  });

  it('is tried again where nobody has heard of it', async () => {
    await failing(429, { 'retry-after': '60' });
    await expect(notified('{ slack: "env:TEST_SLACK" }')).rejects.toThrow(/HTTP 429/);
    await failing(429, { 'retry-after': '60' });
    expect((await notified('{ slack: "env:TEST_SLACK" }', 5)).warnings).toEqual([expect.stringMatching(/HTTP 429/)]);
  });

  it('is not tried again while somebody may have heard of it, nor where only a person can mend it', async () => {
    await chat.control({
      faults: [
        { chat: 'slack', after: true, answer: 'reset' },
        { chat: 'discord', answer: { status: 429, headers: { 'retry-after': '60' } } },
      ],
    });
    expect((await notified(BOTH)).warnings).toHaveLength(2);
    expect(await texts()).toHaveLength(1);
    await chat.control({ reset: true, hooks: { [CANARY]: 'deleted' } });
    expect((await notified(BOTH)).warnings).toHaveLength(2);
  });
});

describe('in backout.yaml', () => {
  const mistake = (lines: string): string => {
    try {
      parseConfig(`${YAML}${lines}\n`, 'backout.yaml', folder);
    } catch (error) {
      if (error instanceof ConfigError) return error.message;
      throw error;
    }
    return 'no mistake';
  };

  it('every audience has channels, a product its name, and updates a cadence', () => {
    const given = 'channels: { stakeholders: [{ slack: "env:S" }], status: [{ discord: "https://discord.com/api/webhooks/1/x" }] }';
    const { config } = parseConfig(`${YAML}product: Portarium\ncommunications: { updateEveryMinutes: 15 }\n${given}\n`, 'backout.yaml', folder);
    expect(config).toMatchObject({
      product: 'Portarium',
      communications: { updateEveryMinutes: 15 },
      channels: { incident: [], internal: [], stakeholders: [{ slack: 'env:S' }], status: [{ discord: 'https://discord.com/api/webhooks/1/x' }] },
    });
    expect(parseConfig(YAML, 'backout.yaml', folder).config).toMatchObject({
      product: 'the product',
      communications: { updateEveryMinutes: 30 },
      channels: { incident: [], stakeholders: [], internal: [], status: [] },
    });
  });

  it.each([
    'channels: { stakeholders: [{ slack: "http://hooks.example.com/x" }] }',
    'channels: { stakeholders: [{ slak: "env:S" }] }',
    'channels: { stakeholders: [{ slack: "env:S", discord: "env:D" }] }',
    'channels: { stakeholders: [{ discord: hook }] }',
  ])('%s is a mistake that names what is expected, not what was written', (lines) => {
    const message = mistake(lines);
    expect(message).toMatch(
      /^backout\.yaml:9: channels\.stakeholders\.0\S*: expected .*https|^backout\.yaml:9: channels\.stakeholders\.0: expected one of file, webhook, slack, discord/,
    );
    expect(message).not.toContain('hooks.example.com');
  });
});
