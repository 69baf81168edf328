import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AdapterError, type AdapterErrorKind } from '../../activities/adapters/adapter.ts';
import type { ArtifactCall, Sighting } from '../../activities/tenants/platform.ts';
import { vapi as platform } from '../../activities/tenants/vapi.ts';
import type { Artifact } from '../../model/tenant.ts';
import { rejection } from '../adapters/contract.ts';
import type { Fault } from '../fakes/github-server.ts';
import type { Control } from '../fakes/vapi.ts';
import { startFakeVapi, type FakeVapi } from '../fakes/vendors-process.ts';
import { tenantContract, type Fault as ContractFault, type Fixture } from './contract.ts';

type Options = Parameters<typeof platform.inspect>[0]['options'];

const CANARY = 'vapi-canary/+=8c1';
const assistant = (id: string, name?: string): Artifact => ({ type: 'vapi-assistant', id, ...(name === undefined ? {} : { name }) });
const RINGING = assistant('a0000000-0000-4000-8000-000000000001', 'Recepcionista');
const QUIET = assistant('a0000000-0000-4000-8000-000000000002');
const OTHERS = assistant('a0000000-0000-4000-8000-000000000003');
const GONE = assistant('a0000000-0000-4000-8000-000000000009');
const at = (second: number): string => new Date(Date.UTC(2026, 10, 1, 0, 0, second)).toISOString();
const NUMBER = { id: 'n1', number: '+34910000001', createdAt: at(1) };

const WORLD: Control = {
  key: CANARY,
  assistants: [
    { id: RINGING.id, name: 'Recepcionista', metadata: { tenant: 'acme' }, createdAt: at(1) },
    { id: QUIET.id, createdAt: at(2) },
    { id: OTHERS.id, metadata: { tenant: 'acme-2' }, createdAt: at(3) },
  ],
  numbers: [
    { ...NUMBER, assistantId: RINGING.id },
    { id: 'n2', number: '+34910000002', assistantId: OTHERS.id, createdAt: at(2) },
    { id: 'n3', sipUri: 'sip:free@sip.vapi.ai', assistantId: null, createdAt: at(3) },
  ],
};

let vapi: FakeVapi;
beforeAll(async () => {
  vapi = await startFakeVapi();
});
afterAll(() => vapi.stop());
const anew = (): Promise<void> => vapi.control({ reset: true, ...WORLD });

const rawOptions = (): Record<string, unknown> => ({ url: vapi.url, key: 'env:VAPI_KEY' });
const callTo = (overrides: Partial<ArtifactCall<Options>> = {}, options: Record<string, unknown> = {}): ArtifactCall<Options> => ({
  environment: 'production',
  tenant: 'acme',
  artifact: RINGING,
  listed: [RINGING, QUIET],
  options: platform.options.parse({ ...rawOptions(), ...options }),
  folder: '/srv',
  operationId: '11111111-2222-4333-8444-555555555555/vapi.look/1',
  attempt: 1,
  signal: new AbortController().signal,
  heartbeat: () => {},
  secret: () => Promise.resolve(CANARY),
  ...overrides,
});
const keyless = (): ArtifactCall<Options> => callTo({ secret: () => Promise.reject(new Error('nobody asks')) }, { key: undefined });
const seen = (artifact: Artifact): Promise<Sighting> => platform.inspect(callTo({ artifact }));

async function setup(): Promise<Fixture<Options>> {
  await anew();
  return {
    platform,
    rawOptions: rawOptions(),
    call: (overrides) => callTo(overrides),
    present: [RINGING],
    absent: [GONE],
    guarded: [OTHERS],
    marked: [RINGING],
    protectedIds: [],
    removeByHand: ({ id }) => vapi.control({ assistants: WORLD.assistants?.filter((one) => one.id !== id) ?? [] }),
    cannotTell: keyless,
    effects: vapi.effects,
    snapshot: async () => ({ ...(await vapi.state()), key: null }),
    stall: () => vapi.control({ faults: [{ delayMs: 30_000, times: 99 }] }),
    canary: CANARY,
    teardown: () => vapi.control({ calm: true }),
  };
}

const faulty = (name: string, control: Control, kinds: readonly AdapterErrorKind[], on?: 'marked'): ContractFault<Options> => ({
  name: `${name}${on === undefined ? '' : `: ${on}`}`,
  kinds,
  ...(on === undefined ? {} : { on }),
  prepare: async (fixture) => {
    await vapi.control(control);
    return fixture.call();
  },
});
const answering = (path: string, answer: NonNullable<Fault['answer']>): Control => ({ faults: [{ method: 'GET', path, answer }] });

tenantContract<Options>({
  name: 'vapi',
  acts: false,
  setup,
  faults: [
    faulty('a key that is not valid', { key: 'another' }, ['unauthorized']),
    faulty('a key that is not valid', { key: 'another' }, ['unauthorized'], 'marked'),
    faulty('401 that quotes the key', answering('/assistant/', { status: 401, body: JSON.stringify({ message: `Invalid Key ${CANARY}.` }) }), ['unauthorized']),
    faulty('429', answering('/phone-number', { status: 429, headers: { 'retry-after': '7' } }), ['rate-limited']),
    faulty('429', answering('/assistant', { status: 429 }), ['rate-limited'], 'marked'),
    faulty('502', answering('/assistant/', { status: 502, body: '<html>502</html>' }), ['unavailable']),
    faulty('a reset', answering('/assistant/', 'reset'), ['unavailable']),
    faulty('HTML', answering('/phone-number', 'html'), ['unexpected-response']),
    faulty('a list of another shape', answering('/phone-number', { status: 200, body: '{"results":[]}' }), ['unexpected-response']),
    faulty('404 to everything: the address is a wrong one', { faults: [{ answer: { status: 404 }, times: 9 }] }, ['not-found']),
    faulty('a redirect to elsewhere', answering('/assistant/', { status: 302, headers: { location: 'https://vapi.example/' } }), ['unexpected-response']),
    {
      name: 'a key that is configured and not there',
      kinds: ['configuration'],
      prepare: (fixture) => Promise.resolve(fixture.call({ secret: () => Promise.reject(new AdapterError('configuration', 'no such variable')) })),
    },
    {
      name: 'an empty key',
      kinds: ['configuration'],
      prepare: (fixture) => Promise.resolve(fixture.call({ secret: () => Promise.resolve(' \n') })),
    },
  ],
});

describe('vapi', () => {
  beforeEach(anew);

  it('names the numbers that an assistant answers', async () => {
    expect(await seen(RINGING)).toEqual({
      presence: 'present',
      guarded: null,
      detail: `The assistant ${RINGING.id} (Recepcionista) answers the phone: +34910000001.`,
      facts: { phoneNumbers: '+34910000001' },
    });
  });

  it('an assistant without a number is inactive, and whether it was called all the same is told', async () => {
    expect(await seen(QUIET)).toMatchObject({ presence: 'inactive', guarded: null, facts: { phoneNumbers: '', calledInLastDay: false } });
    await vapi.control({ calls: [{ id: 'c0', assistantId: QUIET.id, createdAt: at(0) }] });
    const old = await seen(QUIET);
    const now = new Date().toISOString();
    await vapi.control({
      calls: [
        { id: 'c1', assistantId: QUIET.id, createdAt: now },
        { id: 'c2', assistantId: RINGING.id, createdAt: now },
      ],
    });
    const called = await seen(QUIET);
    expect([old.facts['calledInLastDay'], called.facts['calledInLastDay']]).toEqual([false, true]);
    expect(called).toMatchObject({ presence: 'inactive', detail: expect.stringContaining('and yet it had a call') });
    // What was seen is part of a plan that is hashed: it may not change by itself.
    expect(await seen(QUIET)).toEqual(called);
  });

  it('an assistant is present by a number of its squad, and not by one of another', async () => {
    const squad = { id: 's1', members: [{ assistantId: OTHERS.id }, { assistantId: QUIET.id }, {}], createdAt: at(1) };
    await vapi.control({ squads: [{ ...squad, id: 's2', members: [] }], numbers: [{ ...NUMBER, squadId: 's2' }] });
    expect((await seen(QUIET)).presence).toBe('inactive');
    await vapi.control({ squads: [squad], numbers: [{ ...NUMBER, squadId: 's1' }] });
    expect(await seen(QUIET)).toMatchObject({ presence: 'present', facts: { phoneNumbers: '+34910000001' } });
  });

  it.each([100, 250])('finds the one number among %i others, behind pages and in one instant', async (others) => {
    const crowd = Array.from({ length: others }, (_, index) => ({ id: `x${index}`, number: `+1${index}`, createdAt: at(100 + Math.floor(index / 90)) }));
    await vapi.control({ numbers: [...crowd, { ...NUMBER, assistantId: QUIET.id }] });
    expect((await seen(QUIET)).presence).toBe('present');
  });

  it('does not say inactive where not every number could be seen', async () => {
    await vapi.control({ numbers: Array.from({ length: 101 }, (_, index) => ({ id: `x${index}`, createdAt: at(1) })) });
    expect((await rejection(seen(QUIET))).kind).toBe('unexpected-response');
  });

  it('another tenant’s assistant is guarded, and its numbers are not told', async () => {
    const sighting = await seen(OTHERS);
    expect(sighting).toMatchObject({ presence: 'present', guarded: expect.stringContaining('acme-2'), facts: { phoneNumbers: '1 of another tenant' } });
    expect(JSON.stringify(sighting)).not.toContain('+34910000002');
    await vapi.control({ assistants: [{ id: QUIET.id, metadata: { tenant: ['acme'] }, createdAt: at(1) }] });
    expect((await seen(QUIET)).guarded).toContain('cannot be read');
  });

  it('an id that could be another path is not asked for', async () => {
    for (const id of ['..', '.', '../phone-number', 'a/b', 'a?x', '%2e%2e', ''])
      expect((await rejection(platform.inspect(callTo({ artifact: assistant(id) })))).kind, id).toBe('configuration');
    expect(await vapi.requests()).toEqual([]);
  });

  it('without a key it asks nothing and says so', async () => {
    expect(await platform.inspect(keyless())).toMatchObject({ presence: 'unknown', guarded: null, detail: expect.stringContaining('no key') });
    expect(await platform.marked(keyless())).toEqual([]);
    expect(await vapi.requests()).toEqual([]);
  });

  it('says how long VAPI asks to wait, and whose key to put there', async () => {
    await vapi.control(answering('/assistant/', { status: 429, headers: { 'retry-after': '7' } }));
    expect(await rejection(seen(RINGING))).toMatchObject({ kind: 'rate-limited', retryAfterMs: 7000 });
    await vapi.control({ key: 'another' });
    expect((await rejection(seen(RINGING))).message).toMatch(/Invalid Key.*private key of the organization/s);
  });

  it('manual leads to the assistant in the dashboard', () => {
    expect(platform.manual(callTo(), null)[0]).toContain(`https://dashboard.vapi.ai/assistants/${RINGING.id}`);
    expect(platform.manual(callTo({}, { dashboard: 'https://eu.example/' }), null).join(' ')).toContain('https://eu.example/phone-numbers');
  });

  it('sends nothing but GET, whatever is called', async () => {
    const before = await vapi.state();
    for (const artifact of [RINGING, QUIET, OTHERS, GONE]) {
      await seen(artifact);
      for (const choice of ['delete', 'deactivate', 'done']) await rejection(platform.apply(callTo({ artifact }), choice));
      platform.manual(callTo({ artifact }), null);
    }
    await platform.marked(callTo());
    await platform.protected(callTo());
    expect(Object.keys(await vapi.methods())).toEqual(['GET']);
    expect(await vapi.effects()).toBe(0);
    expect(await vapi.state()).toEqual(before);
  });

  it('holds no other method than GET, and no way around its client', async () => {
    const source = await readFile(new URL('../../activities/tenants/vapi.ts', import.meta.url), 'utf8');
    const code = source.replaceAll(/\/\*\*?[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
    expect(code.match(/method: '[A-Z]+'/g)).toEqual(["method: 'GET'"]);
    expect(code.match(/\.request\(/g)).toHaveLength(1);
    expect(code).not.toMatch(/\b(POST|PUT|PATCH|DELETE|fetch|createHttp|undici|import\()\b/);
    expect([...code.matchAll(/from '([^']+)'/g)].map(([, from]) => from)).toEqual([
      'zod',
      '../../model/tenant.ts',
      '../adapters/adapter.ts',
      '../adapters/http.ts',
      './platform.ts',
      './read-only.ts',
    ]);
    const allowed = /const ALLOWED = (.*);/.exec(code)?.[1] ?? '';
    expect(allowed.match(/\/\^[A-Z]+/g)).toEqual(['/^GET', '/^GET']);
  });
});
