/** Which workflow serves a path, and whether a route answers, asked without running it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { N8nOptions } from '../../activities/tenants/n8n-options.ts';
import { n8n as platform } from '../../activities/tenants/n8n.ts';
import type { ArtifactCall } from '../../activities/tenants/platform.ts';
import type { Artifact } from '../../model/tenant.ts';
import { fake, setup, to as about } from './n8n-fixture.ts';
import { node, webhook, type Scene } from './n8n-scene.ts';

describe('webhook paths of n8n', () => {
  let at: Scene;
  beforeEach(async () => {
    at = await setup();
  });
  afterEach(() => at.teardown());

  const to = (artifact: Partial<Artifact>, overrides: Partial<ArtifactCall<N8nOptions>> = {}): ArtifactCall<N8nOptions> => about(at, artifact, overrides);
  const path = (id: string): ArtifactCall<N8nOptions> => to({ type: 'webhook', id });
  it('are those of the version that is live, not of the draft', async () => {
    await at.owner.draft(at.ids.intake, 'Acme intake', [webhook('acme-draft')]);
    expect((await platform.marked(at.call())).map(({ id }) => id)).toContain('acme-intake');
    expect((await platform.marked(at.call())).map(({ id }) => id)).not.toContain('acme-draft');
    expect(await platform.inspect(path('acme-draft'))).toMatchObject({ presence: 'absent' });
    expect(await platform.inspect(path('acme-intake'))).toMatchObject({ presence: 'present', facts: { servedBy: at.ids.intake } });
  });

  it('are found of every kind of trigger that is known, and as they are called', async () => {
    const nodes = [
      webhook('/padded/'),
      webhook('', 'POST', 'no-path'),
      webhook('users/:id/visits', 'POST', 'dynamic'),
      webhook('many', ['GET', 'HEAD', 'PUT']),
      node('n8n-nodes-base.formTrigger', 2.2, { options: { path: 'form-path' } }),
      node('@n8n/n8n-nodes-langchain.chatTrigger', 1.1, { public: true }, 'chatty'),
      node('@n8n/n8n-nodes-langchain.mcpTrigger', 1, { path: 'tools' }),
      node('n8n-nodes-base.typeformTrigger', 1, {}, 'typed'),
      node('n8n-nodes-base.wait', 1, {}, 'waiting'),
    ];
    const id = await at.owner.make('All kinds', { tags: ['tenant:kinds'], nodes, published: true });
    const call = at.call({ tenant: 'kinds' });
    const paths = ['padded', 'no-path', 'users/:id/visits', 'many', 'form-path', 'chatty/chat', 'tools', 'tools/sse', 'tools/messages', 'typed/webhook'];
    expect((await platform.marked(call)).map((one) => one.id)).toEqual([id, ...paths]);
    for (const one of [...paths, '/padded/', 'dynamic/users/7/visits'])
      expect(await platform.inspect({ ...call, artifact: { type: 'webhook', id: one } }), one).toMatchObject({
        presence: 'present',
        guarded: null,
        facts: { servedBy: id },
      });
    expect(await at.owner.executions()).toEqual([]);
  });

  it('a path that another tenant serves too is theirs as well, and still answers when ours is gone', async () => {
    const other = await at.owner.make('Theirs', { tags: ['tenant:acme-eu'], nodes: [webhook('acme-intake', 'GET')], published: true });
    expect(await platform.inspect(path('acme-intake'))).toMatchObject({ presence: 'present', guarded: expect.stringContaining(other) });
    await platform.apply(at.call(), 'delete');
    expect(await platform.inspect(path('acme-intake'))).toMatchObject({
      presence: 'present',
      guarded: expect.stringMatching(/another tenant's/),
      facts: { production: 'answers: GET', servedBy: other },
    });
    expect(await at.owner.call('acme-intake', 'GET')).toBe(200);
  });

  it('a path that an unmarked workflow serves is guarded, unless the Canonical Object lists that workflow', async () => {
    expect((await platform.inspect(path('unmarked'))).guarded).toMatch(/does not carry the tag/);
    const listed: Artifact[] = [{ type: 'n8n-workflow', id: at.ids.unmarked }];
    expect((await platform.inspect({ ...path('unmarked'), listed })).guarded).toBeNull();
    const others: Artifact[] = [at.ids.lookalike, at.ids.demo].map((id) => ({ type: 'n8n-workflow', id }));
    for (const one of ['acme-eu-intake', 'demo']) expect((await platform.inspect({ ...path(one), listed: others })).guarded, one).not.toBeNull();
  });

  it('a route that is withdrawn late is present for as long as it answers, and looking runs nothing', async () => {
    await fake.control({ routeDelayMs: null });
    await platform.apply(at.call(), 'deactivate');
    expect(await platform.inspect(path('acme-intake'))).toMatchObject({
      presence: 'present',
      guarded: null,
      detail: expect.stringMatching(/on its way out/),
    });
    expect(await at.owner.executions()).toEqual([]);
    // What n8n says is gone, a client can still run.
    expect(await at.owner.call('acme-intake')).toBe(200);
    await fake.control({ brokenRoutes: 1 });
    expect(await at.owner.call('acme-intake')).toBe(500);
    await fake.control({ settle: true });
    expect(await platform.inspect(path('acme-intake'))).toMatchObject({ presence: 'absent', facts: { production: 'gone: none', test: 'gone: none' } });
    expect((await at.owner.executions()).length).toBe(1);
  });

  it('a path that is published and does not answer yet is not taken for gone', async () => {
    await fake.control({ routeDelayMs: null });
    await at.owner.make('Late', { tags: ['tenant:acme'], nodes: [webhook('late')], published: true });
    expect(await platform.inspect(path('late'))).toMatchObject({ presence: 'unknown', detail: expect.stringMatching(/look again/) });
  });

  it('a path that an expression makes is seen by its route, and it is said that nobody knows whose it is', async () => {
    await at.owner.make('Computed', { tags: ['tenant:acme-eu'], nodes: [webhook('={{ "made-up" }}')], published: true });
    expect(await platform.inspect(path('made-up'))).toMatchObject({
      presence: 'present',
      detail: expect.stringMatching(/an expression makes it, as in 1 published/),
      facts: { expressions: 1 },
    });
  });

  it('a test route that listens counts too', async () => {
    await fake.control({ testRoutes: [{ path: 'acme-nothing', method: 'POST' }] });
    expect(await platform.inspect(path('acme-nothing'))).toMatchObject({ presence: 'present', facts: { test: 'answers: POST' } });
    expect(await at.owner.executions()).toEqual([]);
  });

  it.each([
    ['500', { status: 500 }],
    ['502 with a page', { status: 502, body: '<html>' }],
    ['404 of a proxy', { status: 404, body: '{"message":"no such host"}' }],
    ['a proxy that answers for n8n', { status: 204, headers: { 'access-control-allow-methods': 'GET, POST, OPTIONS' } }],
    ['no header', { status: 204 }],
    ['a redirect', { status: 302, headers: { location: 'https://elsewhere.example' } }],
    ['a reset', 'reset'],
  ] as const)('%s is not known, never gone', async (_, answer) => {
    for (const route of ['webhook', 'webhook-test']) {
      await fake.control({ calm: true, faults: [{ method: 'OPTIONS', path: `^/${route}/`, answer }] });
      expect(await platform.inspect(path('acme-nothing')), route).toMatchObject({ presence: 'unknown', detail: expect.stringMatching(/not known yet/) });
    }
  });

  it('no answer in time is not known either', async () => {
    const options = platform.options.parse({ ...at.rawOptions, requestSeconds: 1 });
    await fake.control({ faults: [{ method: 'OPTIONS', path: '^/webhook/', answer: 'hang' }] });
    expect(await platform.inspect({ ...path('acme-nothing'), options })).toMatchObject({
      presence: 'unknown',
      detail: expect.stringMatching(/no answer within 1 s/),
    });
  });

  it('an answering production route is present whatever the test address says', async () => {
    await fake.control({ faults: [{ method: 'OPTIONS', path: '^/webhook-test/', answer: 'reset' }] });
    expect(await platform.inspect(path('acme-intake'))).toMatchObject({ presence: 'present' });
  });
});
