import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { AdapterError, type AdapterErrorKind } from '../../activities/adapters/adapter.ts';
import { googleCalendar as platform } from '../../activities/tenants/google-calendar.ts';
import type { ArtifactCall, Sighting } from '../../activities/tenants/platform.ts';
import { createLimitedHttp } from '../../activities/tenants/read-only.ts';
import type { Artifact } from '../../model/tenant.ts';
import { rejection } from '../adapters/contract.ts';
import type { Fault } from '../fakes/github-server.ts';
import type { Control } from '../fakes/google.ts';
import { startFakeGoogle, type FakeGoogle } from '../fakes/vendors-process.ts';
import { tenantContract, type Fault as ContractFault, type Fixture } from './contract.ts';

type Options = Parameters<typeof platform.inspect>[0]['options'];

const CANARY = "1//canary'(8c1)~ +=";
const REVOKED = `${CANARY}-revoked`;
const SECRET = 'GOCSPX-canary/8c1';
const calendar = (id: string): Artifact => ({ type: 'calendar', id });
const CALENDAR = calendar('es.client#citas@group.calendar.google.com');
const GONE = calendar('gone@group.calendar.google.com');
const WORLD: Control = {
  clientId: 'client.apps.googleusercontent.com',
  clientSecret: SECRET,
  tokens: { [CANARY]: 'valid', [REVOKED]: 'revoked' },
  accessToken: 'ya29.canary-access',
  calendars: [CALENDAR.id],
};

let google: FakeGoogle;
beforeAll(async () => {
  google = await startFakeGoogle();
});
afterAll(() => google.stop());
const anew = (): Promise<void> => google.control({ reset: true, ...WORLD });

const rawOptions = (): Record<string, unknown> => ({
  url: google.url,
  api: google.url,
  refreshToken: 'file:./secrets/{tenant}.google',
  clientId: 'env:GOOGLE_CLIENT_ID',
  clientSecret: 'env:GOOGLE_CLIENT_SECRET',
});
const house: Record<string, string> = { 'env:GOOGLE_CLIENT_ID': 'client.apps.googleusercontent.com', 'env:GOOGLE_CLIENT_SECRET': SECRET };
/** The house's own, and this one for the tenant. */
const secrets =
  (token: string) =>
  (reference: string): Promise<string> =>
    Promise.resolve(house[reference] ?? token);
const missing = (part: string) => (reference: string) =>
  reference.includes(part) ? Promise.reject(new AdapterError('configuration', `there is no ${reference}`)) : secrets(CANARY)(reference);

const callTo = (overrides: Partial<ArtifactCall<Options>> = {}, options: Record<string, unknown> = {}): ArtifactCall<Options> => ({
  environment: 'production',
  tenant: 'acme',
  artifact: CALENDAR,
  listed: [CALENDAR],
  options: platform.options.parse({ ...rawOptions(), ...options }),
  folder: '/srv',
  operationId: '11111111-2222-4333-8444-555555555555/calendar.look/1',
  attempt: 1,
  signal: new AbortController().signal,
  heartbeat: () => {},
  // What Google says depends on the token alone.
  secret: secrets(overrides.artifact === GONE ? REVOKED : CANARY),
  ...overrides,
});
const seen = (overrides: Partial<ArtifactCall<Options>> = {}): Promise<Sighting> => platform.inspect(callTo(overrides));

async function setup(): Promise<Fixture<Options>> {
  await anew();
  return {
    platform,
    rawOptions: rawOptions(),
    call: (overrides) => callTo(overrides),
    present: [CALENDAR],
    absent: [GONE],
    guarded: [],
    marked: [],
    protectedIds: [],
    removeByHand: () => google.control({ tokens: { [CANARY]: 'revoked' } }),
    cannotTell: () => callTo({ secret: missing('acme') }),
    effects: google.effects,
    snapshot: async () => ({ ledger: await google.ledger(), state: JSON.stringify(await google.state()).replaceAll('canary', 'hidden') }),
    stall: () => google.control({ faults: [{ delayMs: 30_000, times: 99 }] }),
    canary: 'canary',
    teardown: () => google.control({ calm: true }),
  };
}

const faulty = (name: string, control: Control, kinds: readonly AdapterErrorKind[]): ContractFault<Options> => ({
  name,
  kinds,
  prepare: async (fixture) => {
    await google.control(control);
    return fixture.call();
  },
});
const on = (path: string, answer: NonNullable<Fault['answer']>): Control => ({ faults: [{ path, answer }] });
const LIMITED = JSON.stringify({ error: { errors: [{ domain: 'usageLimits', reason: 'rateLimitExceeded' }], code: 403, message: 'Rate Limit Exceeded' } });

tenantContract<Options>({
  name: 'google-calendar',
  acts: false,
  setup,
  faults: [
    faulty('a client that Google does not know', { clientId: 'another' }, ['unauthorized']),
    faulty('another client secret', { clientSecret: 'another' }, ['unauthorized']),
    faulty('400 invalid_client', { tokenError: 'invalid_client' }, ['unauthorized']),
    faulty('400 invalid_request that quotes the form', { tokenError: 'invalid_request' }, ['unexpected-response']),
    faulty('429', on('/token', { status: 429, headers: { 'retry-after': '7' } }), ['rate-limited']),
    faulty('503', on('/token', { status: 503 }), ['unavailable']),
    faulty('a reset', on('/token', 'reset'), ['unavailable']),
    faulty('HTML', on('/token', 'html'), ['unexpected-response']),
    faulty('a token of another shape', on('/token', { status: 200, body: '{"token":"canary"}' }), ['unexpected-response']),
    faulty('a 400 that is not JSON', on('/token', { status: 400, body: '<html>400</html>' }), ['unexpected-response']),
    faulty('a redirect, which a write does not follow', on('/token', { status: 307, headers: { location: '/elsewhere' } }), ['not-found']),
    faulty('403 for too many looks at the calendar', on('/calendar/', { status: 403, body: LIMITED }), ['rate-limited']),
    faulty('500 at the calendar', on('/calendar/', { status: 500, body: '{"echo":"ya29.canary-access"}' }), ['unavailable']),
    {
      name: 'a client secret that is configured and not there',
      kinds: ['configuration'],
      prepare: () => Promise.resolve(callTo({ secret: missing('SECRET') })),
    },
  ],
});

describe('google-calendar', () => {
  beforeEach(anew);

  it('a valid token is present; of the calendar only that it can be reached is told', async () => {
    const sighting = await seen();
    expect(sighting).toEqual({ presence: 'present', guarded: null, detail: expect.stringContaining('can be reached'), facts: { calendarReachable: true } });
    expect(JSON.stringify(sighting)).not.toMatch(/patients|Madrid|ya29/);
    expect(await google.requests()).toEqual(['POST /token', `GET /calendar/v3/calendars/${CALENDAR.id}`]);
  });

  it.each([
    [{ calendars: [] }, false],
    [{ scoped: false }, null],
  ])('a valid token stays present where the calendar does not answer: %j', async (control, calendarReachable) => {
    await google.control(control);
    expect(await seen()).toMatchObject({ presence: 'present', facts: { calendarReachable } });
  });

  it('a revoked token is absent, and nothing more is asked', async () => {
    expect(await seen({ artifact: GONE })).toMatchObject({ presence: 'absent', guarded: null, facts: {} });
    expect(await google.requests()).toEqual(['POST /token']);
  });

  it.each([
    ['an owner who must log in anew', { tokens: { [CANARY]: 'rapt' } } satisfies Control, /new login/],
    ['a token that never was one', { tokens: {} }, /does not say that it was revoked/],
  ])('invalid_grant proves no revocation of %s', async (_, control, detail) => {
    await google.control(control);
    expect(await seen()).toMatchObject({ presence: 'unknown', detail: expect.stringMatching(detail) });
  });

  it('invalid_grant without another word is a revocation', async () => {
    await google.control(on('/token', { status: 400, body: '{"error":"invalid_grant"}' }));
    expect((await seen()).presence).toBe('absent');
  });

  it('without a token it asks nothing and says so', async () => {
    for (const call of [callTo({ secret: missing('acme') }), callTo({}, { refreshToken: undefined }), callTo({ secret: secrets(' ') })])
      expect(await platform.inspect(call)).toMatchObject({ presence: 'unknown', detail: expect.stringContaining('no token to look with') });
    expect(await google.requests()).toEqual([]);
  });

  it('a tenant whose name is no plain name reaches no file', async () => {
    expect((await rejection(seen({ tenant: '../other' }))).kind).toBe('configuration');
    expect(await google.requests()).toEqual([]);
  });

  it('a token needs its client', () => {
    const { clientSecret: _, ...without } = rawOptions();
    expect(platform.options.safeParse(without).error?.issues[0]?.path).toEqual(['clientId']);
    expect(platform.options.safeParse({}).success).toBe(true);
  });

  it('says what to do where Google does not know the client', async () => {
    await google.control({ clientId: 'another' });
    expect((await rejection(seen())).message).toMatch(/invalid_client.*check clientId and clientSecret/s);
  });

  it.each(['../users/me/calendarList', 'primary/events', 'a?b', 'a#b', '%2e%2e'])('a calendar %j is asked for by this very name', async (id) => {
    expect(await seen({ artifact: calendar(id) })).toMatchObject({ presence: 'present', facts: { calendarReachable: false } });
    expect(await google.requests()).toEqual(['POST /token', `GET /calendar/v3/calendars/${id}`]);
  });

  it.each(['', '.', '..'])('a calendar %j would be another address, which is not asked for', async (id) => {
    expect((await rejection(seen({ artifact: calendar(id) }))).kind).toBe('protected');
    expect(await google.requests()).toEqual(['POST /token']);
  });

  it('sends nothing but the refresh and GET, whatever is called', async () => {
    for (const artifact of [CALENDAR, GONE]) {
      await seen({ artifact });
      for (const choice of ['disconnect', 'revoke', 'done']) await rejection(platform.apply(callTo({ artifact }), choice));
    }
    await platform.marked(callTo());
    await platform.protected(callTo());
    expect((await google.requests()).filter((request) => !request.startsWith('GET '))).toEqual(['POST /token', 'POST /token']);
    expect(await google.effects()).toBe(0);
  });

  it.each([
    ['POST', '/revoke'],
    ['POST', '/token/x'],
    ['DELETE', '/calendar/v3/calendars/x'],
    ['GET', '/calendar/v3/calendars/x/events'],
  ] as const)('its client refuses %s %s before it is sent', async (method, path) => {
    const http = createLimitedHttp({ adapter: 'google-calendar', baseUrl: google.url, about: {}, secrets: [SECRET] }, [
      /^POST \/token$/,
      /^GET \/calendar\/v3\/calendars\/(?!\.{1,2}$)[^/?#]+$/,
    ]);
    const request = { action: `try ${SECRET}`, method, path, answer: z.unknown(), signal: new AbortController().signal };
    expect(await rejection(http.request(request))).toMatchObject({ kind: 'protected', acted: 'no', message: expect.not.stringContaining('canary') });
    expect(await google.requests()).toEqual([]);
  });

  it('holds no other call than these two', async () => {
    const code = await readFile(new URL('../../activities/tenants/google-calendar.ts', import.meta.url), 'utf8');
    expect(code.match(/method: '[A-Z]+'|path: '[^']*'|\^(?:POST|GET|PUT|PATCH|DELETE) [^/]*\S+/g)).toEqual([
      '^POST \\/token$/];',
      String.raw`^GET \/calendar\/v3\/calendars\/(?!\.{1,2}$)[^/?#]+$/];`,
      "method: 'POST'",
      "path: '/token'",
      "method: 'GET'",
    ]);
    expect(code).not.toMatch(/\b(fetch|createHttp|import\()\b/);
  });
});
