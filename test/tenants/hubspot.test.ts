import { inspect as print } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { AdapterError, type AdapterErrorKind } from '../../activities/adapters/adapter.ts';
import { hubspot as platform } from '../../activities/tenants/hubspot.ts';
import type { ArtifactCall, Sighting } from '../../activities/tenants/platform.ts';
import type { Artifact } from '../../model/tenant.ts';
import { rejection } from '../adapters/contract.ts';
import type { Fault } from '../fakes/github-server.ts';
import type { Control } from '../fakes/hubspot.ts';
import { startFakeHubspot, type FakeHubspot } from '../fakes/vendors-process.ts';
import { tenantContract, type Fault as ContractFault, type Fixture } from './contract.ts';

type Options = Parameters<typeof platform.inspect>[0]['options'];

/** Each of its characters looks otherwise in an address, in JSON or in a form. */
const CANARY = 'canary/"+= ü(8c1)';
const REVOKED = `${CANARY}-revoked`;
const account = (id: string): Artifact => ({ type: 'crm', id });
const HUB = account('62515');
const GONE = account('62516');
const OTHER = account('77777');
const WORLD: Control = { tokens: { [CANARY]: { hubId: 62_515, appId: 1234 } } };
/** In every form in which it could come back. */
const FORMS = [CANARY, encodeURIComponent(CANARY), JSON.stringify(CANARY).slice(1, -1), 'canary'];

let hubspot: FakeHubspot;
beforeAll(async () => {
  hubspot = await startFakeHubspot();
});
afterAll(() => hubspot.stop());
const anew = (): Promise<void> => hubspot.control({ reset: true, ...WORLD });

const rawOptions = (): Record<string, unknown> => ({ url: hubspot.url, refreshToken: 'file:./secrets/{tenant}.hubspot' });
const callTo = (overrides: Partial<ArtifactCall<Options>> = {}, options: Record<string, unknown> = {}): ArtifactCall<Options> => ({
  environment: 'production',
  tenant: 'acme',
  artifact: HUB,
  listed: [HUB],
  options: platform.options.parse({ ...rawOptions(), ...options }),
  folder: '/srv',
  operationId: '11111111-2222-4333-8444-555555555555/crm.look/1',
  attempt: 1,
  signal: new AbortController().signal,
  heartbeat: () => {},
  // What HubSpot says depends on the token alone.
  secret: () => Promise.resolve(overrides.artifact === GONE ? REVOKED : CANARY),
  ...overrides,
});
const seen = (overrides: Partial<ArtifactCall<Options>> = {}): Promise<Sighting> => platform.inspect(callTo(overrides));
const noSecret = (): Promise<string> => Promise.reject(new AdapterError('configuration', 'the worker cannot read /srv/secrets/acme.hubspot'));

async function setup(): Promise<Fixture<Options>> {
  await anew();
  return {
    platform,
    rawOptions: rawOptions(),
    call: (overrides) => callTo(overrides),
    present: [HUB],
    absent: [GONE],
    guarded: [OTHER],
    marked: [],
    protectedIds: [],
    removeByHand: () => hubspot.control({ tokens: {} }),
    cannotTell: () => callTo({ secret: noSecret }),
    effects: hubspot.effects,
    snapshot: async () => ({ revoked: await hubspot.effects(), tokens: JSON.stringify(await hubspot.state()).replaceAll(JSON.stringify(CANARY), 'its') }),
    stall: () => hubspot.control({ faults: [{ delayMs: 30_000, times: 99 }] }),
    canary: 'canary',
    teardown: () => hubspot.control({ calm: true }),
  };
}

const faulty = (name: string, answer: NonNullable<Fault['answer']>, kinds: readonly AdapterErrorKind[]): ContractFault<Options> => ({
  name,
  kinds,
  prepare: async (fixture) => {
    await hubspot.control({ faults: [{ answer }] });
    return fixture.call();
  },
});
const echo = (text: string): string =>
  JSON.stringify({ message: `no ${text} here`, context: { path: [`/oauth/v1/refresh-tokens/${encodeURIComponent(text)}`] } });

tenantContract<Options>({
  name: 'hubspot',
  acts: false,
  setup,
  faults: [
    faulty('401', { status: 401, body: echo(CANARY) }, ['unauthorized']),
    faulty('429', { status: 429, headers: { 'retry-after': '10' }, body: echo(CANARY) }, ['rate-limited']),
    faulty('500 that quotes the token', { status: 500, body: `<html>${CANARY}</html>` }, ['unavailable']),
    faulty('400 that quotes the address', { status: 400, body: `not JSON: ${encodeURIComponent(CANARY)}` }, ['unexpected-response']),
    faulty('a reset', 'reset', ['unavailable']),
    faulty('HTML', 'html', ['unexpected-response']),
    faulty('a page instead of HubSpot’s 404', { status: 404, body: '<html>404</html>' }, ['unexpected-response']),
    faulty('an answer of another shape', { status: 200, body: JSON.stringify({ token: CANARY, hub_id: CANARY }) }, ['unexpected-response']),
    faulty('a redirect', { status: 301, headers: { location: `https://elsewhere.example/${encodeURIComponent(CANARY)}` } }, ['unexpected-response']),
    faulty('a redirect that leads nowhere', { status: 307, headers: { location: 'https://' } }, ['unexpected-response']),
  ],
});

describe('hubspot', () => {
  beforeEach(anew);
  afterEach(() => {
    vi.useRealTimers();
  });

  it('says whose token it is: the account and the app, and no person', async () => {
    const sighting = await seen();
    expect(sighting).toEqual({
      presence: 'present',
      guarded: null,
      detail: 'The refresh token for the account 62515 is valid.',
      facts: { hubId: 62_515, appId: 1234 },
    });
    expect(JSON.stringify(sighting)).not.toMatch(/person|client\.example|4711|contacts/);
  });

  it('a revoked token is absent, and its detail does not say it', async () => {
    await hubspot.control({ tokens: {} });
    const sighting = await seen();
    expect(sighting).toMatchObject({ presence: 'absent', guarded: null, facts: {} });
    for (const form of FORMS) expect(JSON.stringify(sighting)).not.toContain(form);
  });

  it('a token of another account is guarded', async () => {
    expect(await seen({ artifact: OTHER })).toMatchObject({ presence: 'present', guarded: expect.stringContaining('62515'), facts: { hubId: 62_515 } });
  });

  it('from the day on which HubSpot closes the address a 404 proves nothing, and an answer still does', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.UTC(2027, 1, 15, 23, 59, 59) });
    expect((await seen({ artifact: GONE })).presence).toBe('absent');
    vi.setSystemTime(Date.UTC(2027, 1, 16));
    expect(await seen({ artifact: GONE })).toMatchObject({ presence: 'unknown', detail: expect.stringContaining('no longer tells') });
    expect((await seen()).presence).toBe('present');
    vi.useRealTimers();
    await hubspot.control({ faults: [{ answer: { status: 410 } }] });
    expect((await seen()).presence).toBe('unknown');
  });

  it.each([
    ['none is configured', { refreshToken: undefined }, () => Promise.resolve(CANARY)],
    ['its file is gone', {}, noSecret],
    ['its file is empty', {}, () => Promise.resolve('\n')],
  ])('without a token it asks nothing and says so: %s', async (_, options, secret) => {
    expect(await platform.inspect(callTo({ secret }, options))).toMatchObject({
      presence: 'unknown',
      detail: expect.stringContaining('no token to look with'),
    });
    expect(await hubspot.requests()).toEqual([]);
  });

  it('a secret that cannot be read just now is no secret that is gone', async () => {
    const secret = (): Promise<string> => Promise.reject(new AdapterError('unavailable', 'the vault sleeps'));
    expect((await rejection(seen({ secret }))).kind).toBe('unavailable');
  });

  it('asks for the secret of this tenant', async () => {
    const asked: string[] = [];
    const secret = (reference: string): Promise<string> => {
      asked.push(reference);
      return Promise.resolve(CANARY);
    };
    await seen({ secret, tenant: 'acme.dental-2' });
    await platform.inspect(callTo({ secret }, { refreshToken: 'env:HUBSPOT_{tenant}' }));
    await platform.inspect(callTo({ secret }, { refreshToken: 'file:/run/{tenant}/{tenant}.token' }));
    expect(asked).toEqual(['file:./secrets/acme.dental-2.hubspot', 'env:HUBSPOT_acme', 'file:/run/acme/acme.token']);
  });

  it.each(['', '.', '..', '../other', 'a/b', 'a\\b', 'a..b', '.hidden', '-x', 'a b', 'a\0b', 'a\n', '{tenant}', '$&', 'é', 'x'.repeat(101)])(
    'the tenant %j reaches no file',
    async (tenant) => {
      const secret = vi.fn<() => Promise<string>>(() => Promise.resolve(CANARY));
      expect((await rejection(seen({ tenant, secret }))).kind).toBe('configuration');
      expect(secret).not.toHaveBeenCalled();
      expect(await hubspot.requests()).toEqual([]);
    },
  );

  it.each(['env:HUBSPOT', 'env:{tenant}', 'file:./secrets/token', 'pat-na1-secret', 'vault:{tenant}'])('refreshToken %j is refused', (refreshToken) => {
    expect(platform.options.safeParse({ ...rawOptions(), refreshToken }).success).toBe(false);
  });

  it.each(['http://api.hubapi.com', 'https://me:pw@api.hubapi.com', 'https://api.hubapi.com?x=1', 'http://localhost.evil.example', 'api.hubapi.com'])(
    'url %j is refused',
    (url) => {
      expect(platform.options.safeParse({ url }).success).toBe(false);
    },
  );

  it.each(['.', '..'])('a token %j that would be another address is not sent', async (token) => {
    expect((await rejection(seen({ secret: () => Promise.resolve(token) }))).kind).toBe('protected');
    expect(await hubspot.requests()).toEqual([]);
  });

  it.each([
    ['nobody listens', 'http://127.0.0.1:1'],
    ['no such name', 'https://hubspot.invalid'],
  ])('no error, and no cause of one, holds the token in any form: %s', async (_, url) => {
    const error = await rejection(platform.inspect(callTo({}, { url })));
    expect(error.kind).toBe('unavailable');
    for (const form of FORMS) expect(print(error, { depth: null, showHidden: true, maxStringLength: null })).not.toContain(form);
  });

  it('sends nothing but GET, whatever is called', async () => {
    for (const artifact of [HUB, GONE, OTHER]) {
      await seen({ artifact });
      for (const choice of ['disconnect', 'delete', 'done']) await rejection(platform.apply(callTo({ artifact }), choice));
    }
    await platform.marked(callTo());
    await platform.protected(callTo());
    expect(await hubspot.methods()).toEqual({ GET: 3 });
    expect(await hubspot.effects()).toBe(0);
  });
});
