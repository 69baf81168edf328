import { createHash } from 'node:crypto';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AdapterErrorKind } from '../../activities/adapters/adapter.ts';
import { CALLS } from '../../activities/tenants/n8n-api.ts';
import type { N8nOptions } from '../../activities/tenants/n8n-options.ts';
import { n8n as platform } from '../../activities/tenants/n8n.ts';
import type { ArtifactCall } from '../../activities/tenants/platform.ts';
import type { Artifact } from '../../model/tenant.ts';
import { rejection } from '../adapters/contract.ts';
import type { Control } from '../fakes/n8n.ts';
import { tenantContract, type Fault } from './contract.ts';
import { events, fake, setup, to as about } from './n8n-fixture.ts';
import { OPERATION, webhook, type Scene } from './n8n-scene.ts';

const faulty = (name: string, control: Control, kinds: readonly AdapterErrorKind[], on: Fault<N8nOptions>['on'] = 'inspect'): Fault<N8nOptions> => ({
  name: `${name}: ${on}`,
  on,
  kinds,
  prepare: async (fixture) => {
    await fake.control(control);
    return fixture.call();
  },
});
const answered = (method: string, path: string, answer: NonNullable<NonNullable<Control['faults']>[number]['answer']>): Control => ({
  faults: [{ method, path, answer }],
});
const scopesWithout = (scope: string): Control => ({
  scopes: ['workflow:list', 'workflow:read', 'workflow:deactivate', 'workflow:delete', 'execution:list'].filter((one) => one !== scope),
});

tenantContract<N8nOptions>({
  name: 'n8n',
  acts: true,
  setup,
  faults: [
    faulty('a key that is not valid', { key: 'another' }, ['unauthorized']),
    faulty('a key that is not valid', { key: 'another' }, ['unauthorized'], 'apply'),
    faulty('a key that may not read', scopesWithout('workflow:read'), ['unauthorized']),
    faulty('a key that may not list', scopesWithout('workflow:list'), ['unauthorized'], 'marked'),
    faulty('a key that may not list', scopesWithout('workflow:list'), ['unauthorized'], 'protected'),
    faulty('a key that may not unpublish', scopesWithout('workflow:deactivate'), ['unauthorized'], 'apply'),
    faulty('429 on a look', answered('GET', '^/api', { status: 429, headers: { 'retry-after': '7' } }), ['rate-limited']),
    faulty('429 on a write', answered('POST', 'unpublish', { status: 429, headers: { 'retry-after': '7' } }), ['rate-limited'], 'apply'),
    faulty('409 on a write', answered('POST', 'unpublish', { status: 409 }), ['conflict'], 'apply'),
    faulty('500 instead of a write', answered('POST', 'unpublish', { status: 500 }), ['unavailable'], 'apply'),
    faulty('502 on a look', answered('GET', '^/api', { status: 502, body: '<html>502</html>' }), ['unavailable']),
    faulty('a reset', answered('GET', '^/api', 'reset'), ['unavailable']),
    faulty('a page instead of JSON', answered('GET', '^/api', 'html'), ['unexpected-response']),
    faulty('a list of another shape', answered('GET', '^/api', { status: 200, body: '{"data":{}}' }), ['unexpected-response'], 'marked'),
    faulty('an n8n before 2.0', answered('GET', '^/api', { status: 200, body: '{"id":"x","name":"x","active":true}' }), ['unexpected-response']),
    faulty(
      'a workflow that was not asked for',
      answered('GET', '^/api', { status: 200, body: '{"id":"x","name":"x","active":false,"activeVersionId":null,"versionId":"v"}' }),
      ['unexpected-response'],
    ),
    faulty(
      'a 404 from somebody in between',
      { faults: [{ method: 'GET', path: '^/api', answer: { status: 404, body: '{"message":"Not Found"}' }, times: 2 }] },
      ['not-found'],
    ),
  ],
});

describe('n8n', () => {
  let at: Scene;
  beforeEach(async () => {
    at = await setup();
  });
  afterEach(() => at.teardown());

  const to = (artifact: Partial<Artifact>, overrides: Partial<ArtifactCall<N8nOptions>> = {}): ArtifactCall<N8nOptions> => about(at, artifact, overrides);
  it('surveys many at once: the contract holds what it says against what is said of each', () => {
    expect(Object.keys(platform)).toContain('survey');
  });

  const path = (id: string): ArtifactCall<N8nOptions> => to({ type: 'webhook', id });
  const kept = join('.backout/tenants', OPERATION);

  describe('what is asked', () => {
    it('is nothing but the calls that are listed, with the key, and the webhooks are asked by OPTIONS alone, without it', async () => {
      await platform.apply(at.call(), 'delete');
      await platform.inspect(path('acme-intake'));
      await platform.marked(at.call());
      await platform.protected(at.call());
      for (const asked of await fake.requests()) {
        const [method, address = ''] = asked.split(' ');
        const isListed = CALLS.some((one) => one.method === method && one.path.test(address.replace(/^\/api\/v1/, '')));
        expect(isListed || /^OPTIONS \/webhook(-test)?\//.test(asked), asked).toBe(true);
      }
      expect(CALLS.map(({ method, path: pattern }) => `${method} ${pattern.source}`)).toEqual([
        'GET ^\\/workflows$',
        'GET ^\\/workflows\\/[\\w-]+$',
        'GET ^\\/executions$',
        'POST ^\\/workflows\\/[\\w-]+\\/unpublish$',
        'DELETE ^\\/workflows\\/[\\w-]+$',
      ]);
    });

    it.each(['../tags', '.', 'a/b', 'a?x=1', '', 'x'.repeat(65), 'a b'])('an id that is none, %j, is refused before anything is asked', async (id) => {
      expect((await rejection(platform.inspect(to({ id })))).kind).toBe('configuration');
      expect((await rejection(platform.apply(to({ id }), 'delete'))).kind).toBe('configuration');
      expect(await fake.requests()).toEqual([]);
    });

    it.each(['', '/', '../rest/login', 'a/../b', 'a//b', 'https://n8n.example/webhook/a', 'a?b', 'a#b', 'a\nb'])('a path that is none, %j, too', async (id) => {
      expect((await rejection(platform.inspect(path(id)))).kind).toBe('configuration');
      expect(await fake.requests()).toEqual([]);
    });

    it.each([
      ['workflow:read', 'inspect'],
      ['workflow:list', 'marked'],
      ['workflow:deactivate', 'apply'],
      ['workflow:delete', 'apply'],
    ] as const)('where the key lacks %s the error of %s names it', async (scope, what) => {
      await fake.control(scopesWithout(scope));
      const asked: Promise<unknown> = what === 'apply' ? platform.apply(at.call(), 'delete') : platform[what](at.call());
      const error = await rejection(asked);
      expect(error).toMatchObject({ kind: 'unauthorized', message: expect.stringContaining(`scope ${scope}`) });
    });
  });

  describe('whose it is', () => {
    it.each([
      ['lookalike', /another tenant's, by its tag "tenant:acme-eu"/],
      ['cased', /does not carry the tag "tenant:acme"/],
      ['both', /another tenant's, by its tag "tenant:acme-eu" as well as "tenant:acme"/],
      ['unmarked', /does not carry the tag "tenant:acme"/],
      ['template', /a template, by its tag "template"/],
      ['demo', /a demo instance, by its tag "demo"/],
      ['templateById', /a template, by its id/],
      ['demoById', /a demo instance, by its id/],
    ] as const)('%s: says why', async (role, why) => {
      expect((await platform.inspect(to({ id: at.ids[role] }))).guarded).toMatch(why);
      expect(await rejection(platform.apply(to({ id: at.ids[role] }), 'delete'))).toMatchObject({ kind: 'protected', message: expect.stringMatching(why) });
      await expect(readdir(at.folder)).resolves.toEqual([]);
    });

    it('each of two tenants with names alike finds its own, and neither may touch the other’s', async () => {
      const other = at.call({ tenant: 'acme-eu' });
      expect((await platform.marked(other)).map(({ id }) => id).toSorted()).toEqual([at.ids.lookalike, at.ids.both, 'acme-eu-intake', 'acme-both'].toSorted());
      expect((await rejection(platform.apply(other, 'delete'))).kind).toBe('protected');
      await platform.apply(to({ id: at.ids.lookalike }, { tenant: 'acme-eu' }), 'deactivate');
      expect(await events()).toEqual([`unpublish ${at.ids.lookalike}`]);
    });

    it('the mark is the house’s own, and must tell one tenant from another', async () => {
      const marks = (tenant: string): unknown => platform.options.safeParse({ ...at.rawOptions, marks: { tenant } }).success;
      expect([marks('client={tenant}'), marks('{tenant}.client'), marks('{tenant}'), marks('client')]).toEqual([true, true, false, false]);
      const options = platform.options.parse({ ...at.rawOptions, marks: { tenant: 't{tenant}' } });
      // Its tag would be `template`.
      expect((await rejection(platform.marked(at.call({ options, tenant: 'emplate' })))).kind).toBe('configuration');
      expect((await rejection(platform.marked(at.call({ tenant: '' })))).kind).toBe('configuration');
      expect((await rejection(platform.marked(at.call({ tenant: ' acme' })))).kind).toBe('configuration');
    });

    it('a tenant with a comma in its name is not taken for two', async () => {
      const id = await at.owner.make('Comma', { tags: ['tenant:acme,eu'] });
      expect((await platform.marked(at.call({ tenant: 'acme,eu' }))).map((one) => one.id)).toEqual([id]);
    });

    it('of hundreds of workflows none is missed, page after page', async () => {
      for (let number = 0; number < 260; number += 1) await at.owner.make(`Acme ${number}`, { tags: ['tenant:bulk'] });
      const beats: string[] = [];
      const marked = await platform.marked(at.call({ tenant: 'bulk', heartbeat: (progress) => beats.push(progress) }));
      expect(new Set(marked.map(({ id }) => id)).size).toBe(260);
      expect(beats).toEqual(expect.arrayContaining(['read 250 workflows', 'read 260 workflows']));
    });

    it('a template that is changed, unmarked or removed is seen in its fingerprint', async () => {
      const before = await platform.protected(at.call());
      await at.owner.remove(at.ids.templateById);
      await at.owner.tag(at.ids.demo, []);
      const after = await platform.protected(at.call());
      expect(after).toEqual({ ...before, [at.ids.templateById]: 'absent', [at.ids.demo]: undefined });
      await at.owner.publish(at.ids.demoById);
      expect((await platform.protected(at.call()))[at.ids.demoById]).not.toBe(after[at.ids.demoById]);
    });
  });

  describe('deactivate', () => {
    it('the receipt says what was there and what is, and how many executions go on', async () => {
      await fake.control({ run: { workflowId: at.ids.intake, status: 'running' } });
      await fake.control({ run: { workflowId: at.ids.intake, status: 'waiting' } });
      const receipt = await platform.apply(at.call(), 'deactivate');
      expect(receipt).toEqual({
        before: expect.objectContaining({ id: at.ids.intake, name: 'Acme intake', active: true, activeVersionId: expect.any(String), tags: ['tenant:acme'] }),
        after: expect.objectContaining({ active: false, activeVersionId: null }),
        ids: { workflow: at.ids.intake },
        detail: '2 executions were running or waiting, and unpublishing does not stop them.',
      });
      expect(await platform.inspect(at.call())).toMatchObject({ presence: 'inactive', guarded: null });
    });

    it('a key that may not see executions is no error', async () => {
      await fake.control(scopesWithout('execution:list'));
      expect((await platform.apply(at.call(), 'deactivate')).detail).toMatch(/not known: the key lacks the scope execution:list/);
    });

    it('what is not published any more is left as it is', async () => {
      await at.owner.unpublish(at.ids.intake);
      expect((await platform.apply(at.call(), 'deactivate')).detail).toMatch(/not published any more/);
      expect(await events()).toEqual([]);
    });

    it('what is published again by somebody is a conflict, not a success', async () => {
      await fake.control({ faults: [{ method: 'POST', path: 'unpublish', answer: { status: 200, body: '{"active":false,"activeVersionId":null}' } }] });
      expect((await rejection(platform.apply(at.call(), 'deactivate'))).kind).toBe('conflict');
    });

    it('what was answered 500 and done is found done', async () => {
      await fake.control({ faults: [{ method: 'POST', path: 'unpublish', after: true, answer: { status: 500 } }] });
      expect((await rejection(platform.apply(at.call(), 'deactivate'))).kind).toBe('unavailable');
      await platform.apply(at.call({ attempt: 2 }), 'deactivate');
      expect(await events()).toEqual([`unpublish ${at.ids.intake}`]);
    });
  });

  describe('delete', () => {
    const fileOf = (id: string): string => join(at.folder, kept, `${id}.json`);

    it('keeps the whole workflow first, for the worker alone, and the receipt names the file and its hash', async () => {
      const whole = await at.owner.api('GET', `/workflows/${at.ids.intake}`);
      const receipt = await platform.apply(at.call(), 'delete');
      const bytes = await readFile(fileOf(at.ids.intake));
      expect(JSON.parse(bytes.toString())).toEqual(whole);
      expect((await stat(fileOf(at.ids.intake))).mode & 0o777).toBe(0o600);
      expect(receipt.ids).toEqual({ workflow: at.ids.intake, backup: fileOf(at.ids.intake), sha256: createHash('sha256').update(bytes).digest('hex') });
      expect(JSON.stringify(receipt)).not.toContain('acme-intake');
      expect(await events()).toEqual([`unpublish ${at.ids.intake}`, `delete ${at.ids.intake}`]);
      expect(await readFile(join(at.folder, '.backout/.gitignore'), 'utf8')).toBe('*\n');
      expect(await readdir(join(at.folder, kept))).toEqual([`${at.ids.intake}.json`]);
    });

    it('without a place to keep it nothing is deleted, and nothing unpublished', async () => {
      await writeFile(join(at.folder, 'file'), '');
      const error = await rejection(platform.apply(at.call({ folder: join(at.folder, 'file') }), 'delete'));
      expect(error).toMatchObject({ kind: 'configuration', message: expect.stringMatching(/keeping the workflow in .* failed: ENOTDIR/) });
      expect(await events()).toEqual([]);
    });

    it('after a crash between unpublishing and deleting, the copy still has what was live', async () => {
      await fake.control({ faults: [{ method: 'DELETE', answer: 'reset' }] });
      await rejection(platform.apply(at.call(), 'delete'));
      const receipt = await platform.apply(at.call({ attempt: 2 }), 'delete');
      expect(JSON.parse(await readFile(fileOf(at.ids.intake), 'utf8'))).toMatchObject({ active: true, activeVersion: { nodes: [expect.anything()] } });
      expect(receipt.ids).toMatchObject({ backup: fileOf(at.ids.intake) });
      expect(await events()).toEqual([`unpublish ${at.ids.intake}`, `delete ${at.ids.intake}`]);
    });

    it('a delete that was answered 500 and done is found done, by this rollback alone', async () => {
      await fake.control({ faults: [{ method: 'DELETE', after: true, answer: { status: 500 } }] });
      expect((await rejection(platform.apply(at.call(), 'delete'))).kind).toBe('unavailable');
      expect((await platform.apply(at.call({ operationId: `${OPERATION}/workflow/2` }), 'delete')).detail).toMatch(
        /^The whole workflow is kept in .*earlier attempt/,
      );
      expect((await rejection(platform.apply(at.call({ operationId: 'another/workflow/1' }), 'delete'))).kind).toBe('not-found');
      expect(await events()).toEqual([`unpublish ${at.ids.intake}`, `delete ${at.ids.intake}`]);
    });

    it('what was changed since it was kept is kept once more, and the first copy stays', async () => {
      await fake.control({ faults: [{ method: 'DELETE', answer: { status: 502 } }] });
      await rejection(platform.apply(at.call(), 'delete'));
      await at.owner.draft(at.ids.intake, 'Acme intake 2', [webhook('acme-intake-2')]);
      const receipt = await platform.apply(at.call({ attempt: 2 }), 'delete');
      expect((await readdir(join(at.folder, kept))).toSorted()).toEqual([`${at.ids.intake}.2.json`, `${at.ids.intake}.json`]);
      expect(receipt.ids?.['backup']).toMatch(/\.2\.json$/);
    });

    it('what is published again before it is deleted stays: n8n says 409', async () => {
      await fake.control({
        faults: [{ method: 'DELETE', answer: { status: 409, body: '{"message":"Cannot delete a published workflow. Unpublish it before deleting."}' } }],
      });
      expect(await rejection(platform.apply(at.call(), 'delete'))).toMatchObject({
        kind: 'conflict',
        message: expect.stringMatching(/Cannot delete a published workflow/),
      });
    });

    it('waits until n8n has taken the routes away, looks again at whose it is each time, and says what it waits for', async () => {
      await fake.control({ routeDelayMs: null });
      const beats: string[] = [];
      const deleting = platform.apply(at.call({ heartbeat: (progress) => beats.push(progress) }), 'delete');
      await expect.poll(() => beats.at(-1)).toMatch(/waiting until n8n has taken away the routes/);
      expect(await events()).toEqual([`unpublish ${at.ids.intake}`]);
      await fake.control({ settle: true });
      await deleting;
      expect(await events()).toEqual([`unpublish ${at.ids.intake}`, `delete ${at.ids.intake}`]);
    });

    it('does not wait for ever: then it is unpublished, and said to be a conflict', async () => {
      await fake.control({ routeDelayMs: null });
      const options = platform.options.parse({ ...at.rawOptions, settleSeconds: 0.1 });
      const error = await rejection(platform.apply(at.call({ options }), 'delete'));
      expect(error).toMatchObject({ kind: 'conflict', message: expect.stringMatching(/still being unpublished/) });
      expect(await events()).toEqual([`unpublish ${at.ids.intake}`]);
    });

    it.each(['deactivate', 'delete'])('what is handed over between the first look and the first write is not touched: %s', async (choice) => {
      await fake.control({ faults: [{ method: 'GET', path: '/executions', delayMs: 1000 }] });
      const acting = rejection(platform.apply(at.call(), choice));
      await expect.poll(() => fake.requests()).toContain('GET /api/v1/executions');
      await at.owner.tag(at.ids.intake, ['tenant:acme-eu']);
      expect((await acting).kind).toBe('protected');
      expect(await events()).toEqual([]);
    });

    it('what is changed while it waits is not deleted, since the copy is of before', async () => {
      await fake.control({ routeDelayMs: null });
      const beats: string[] = [];
      const deleting = rejection(platform.apply(at.call({ heartbeat: (progress) => beats.push(progress) }), 'delete'));
      await expect.poll(() => beats.at(-1)).toMatch(/waiting until n8n has taken away the routes/);
      await at.owner.draft(at.ids.intake, 'Acme intake', [webhook('acme-intake-2')]);
      expect(await deleting).toMatchObject({ kind: 'conflict', message: expect.stringMatching(/was changed since it was kept/) });
      expect(await events()).toEqual([`unpublish ${at.ids.intake}`]);
    });

    it('what is handed over while it is being unpublished is not deleted', async () => {
      await fake.control({ faults: [{ method: 'POST', path: 'unpublish', after: true, delayMs: 1000 }] });
      const deleting = rejection(platform.apply(at.call(), 'delete'));
      await expect.poll(events).toEqual([`unpublish ${at.ids.intake}`]);
      await at.owner.tag(at.ids.intake, ['tenant:acme', 'tenant:acme-eu']);
      expect((await deleting).kind).toBe('protected');
      expect(await events()).toEqual([`unpublish ${at.ids.intake}`]);
    });

    it('what is handed over while it waits is not deleted', async () => {
      await fake.control({ routeDelayMs: null });
      const beats: string[] = [];
      const deleting = rejection(platform.apply(at.call({ heartbeat: (progress) => beats.push(progress) }), 'delete'));
      await expect.poll(() => beats.at(-1)).toMatch(/waiting until n8n has taken away the routes/);
      await at.owner.tag(at.ids.intake, ['tenant:acme-eu']);
      expect((await deleting).kind).toBe('protected');
      expect(await events()).toEqual([`unpublish ${at.ids.intake}`]);
    });

    it('n8n that says yes and has it still is no success', async () => {
      await fake.control({ faults: [{ method: 'DELETE', answer: { status: 200, body: '{}' } }] });
      expect((await rejection(platform.apply(at.call(), 'delete'))).kind).toBe('failed');
    });

    it('an archived workflow is inactive, and can be deleted', async () => {
      await at.owner.api('POST', `/workflows/${at.ids.intake}/archive`);
      expect(await platform.inspect(at.call())).toMatchObject({ presence: 'inactive', facts: { archived: true } });
      await platform.apply(at.call(), 'delete');
      expect(await platform.inspect(at.call())).toMatchObject({ presence: 'absent' });
    });
  });

  it('the other tenants’ flows run as before, after all of the tenant’s is gone', async () => {
    const before = await platform.protected(at.call());
    await platform.apply(at.call(), 'delete');
    await platform.apply(to({ id: at.ids.reminder }), 'deactivate');
    for (const one of ['acme-eu-intake', 'acme-both', 'unmarked', 'demo']) expect(await at.owner.call(one), one).toBe(200);
    expect(await at.owner.call('acme-intake')).toBe(404);
    expect(await at.owner.call('acme/remind', 'GET')).toBe(404);
    expect(await platform.protected(at.call())).toEqual(before);
  });

  it('manual shows how, and where, without the key', () => {
    expect(platform.manual(at.call(), 'delete')).toEqual([
      `${fake.url}/workflow/${at.ids.intake}`,
      `curl -fsS -X GET -H "X-N8N-API-KEY: $N8N_API_KEY" '${fake.url}/api/v1/workflows/${at.ids.intake}' > '${at.ids.intake}.json'`,
      `curl -fsS -X POST -H "X-N8N-API-KEY: $N8N_API_KEY" '${fake.url}/api/v1/workflows/${at.ids.intake}/unpublish'`,
      `curl -fsS -X DELETE -H "X-N8N-API-KEY: $N8N_API_KEY" '${fake.url}/api/v1/workflows/${at.ids.intake}'`,
    ]);
    expect(platform.manual(path('a b/c'), null)[1]).toContain(`'${fake.url}/webhook/a%20b/c'`);
  });
});
