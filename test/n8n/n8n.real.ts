/**
 * The contract of the tenants' port against a real n8n, with two live tenants, templates and demo instances beside the one that leaves; and what the fake
 * must keep to. Skipped, loudly, only where n8n cannot be installed.
 */
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { N8nOptions } from '../../activities/tenants/n8n-options.ts';
import { n8n as platform } from '../../activities/tenants/n8n.ts';
import { rejection } from '../adapters/contract.ts';
import { tenantContract } from '../tenants/contract.ts';
import { node, Owner, scene, webhook, type Access, type Scene } from '../tenants/n8n-scene.ts';
import { startFront } from './front.ts';
import { N8nImpossible, startN8n, type RealN8n } from './start.ts';

const say = (line: string): void => {
  process.stderr.write(`[test:n8n] ${line}\n`);
};

const n8n: RealN8n | null = await startN8n(say).catch((error: unknown) => {
  if (!(error instanceof N8nImpossible)) throw error;
  say(`SKIPPED, AND THAT IS A SHORTFALL: a real n8n cannot be had here. ${error.message}`);
  return null;
});
const front = n8n === null ? null : await startFront(n8n.url, n8n.ownerKey);

afterAll(async () => {
  await front?.stop();
  await n8n?.stop();
});

const real = (): { n8n: RealN8n; owner: Owner; access: Access; front: NonNullable<typeof front> } => {
  if (n8n === null || front === null) throw new Error('there is no n8n');
  const owner = new Owner(n8n.url, n8n.ownerKey);
  return {
    n8n,
    owner,
    front,
    access: {
      owner,
      url: front.url,
      apiKey: n8n.apiKey,
      effects: () => Promise.resolve(front.effects()),
      loseAnswer: (writes) => Promise.resolve(front.loseAnswer(writes)),
      stall: () => Promise.resolve(front.stall()),
      calm: () => Promise.resolve(front.calm()),
    },
  };
};

async function setup(): Promise<Scene> {
  const { front: between, owner, access } = real();
  await owner.clear();
  between.anew();
  return scene(access);
}

describe.skipIf(n8n === null)('a real n8n', () => {
  tenantContract<N8nOptions>({
    name: 'n8n',
    acts: true,
    setup,
    faults: [
      {
        name: 'a key that is not valid',
        kinds: ['unauthorized'],
        prepare: (fixture) => Promise.resolve(fixture.call({ secret: () => Promise.resolve('n8n_api_nobody') })),
      },
      {
        name: 'a key that may only read',
        on: 'apply',
        kinds: ['unauthorized'],
        prepare: async (fixture) => {
          const key = await real().n8n.createKey(['workflow:read', 'workflow:list']);
          return fixture.call({ secret: () => Promise.resolve(key) });
        },
      },
    ],
  });

  describe('routes', () => {
    let at: Scene;
    beforeEach(async () => {
      at = await setup();
    });
    afterEach(() => at.teardown());

    const pathCall = (id: string) => at.call({ artifact: { type: 'webhook', id } });
    const gone = (id: string): Promise<void> =>
      expect.poll(async () => (await platform.inspect(pathCall(id))).presence, { timeout: 30_000, interval: 100 }).toBe('absent');

    it('go a moment after unpublishing; then the flow no longer runs, nobody else’s route went, and no probe ran one', async () => {
      const before = (await at.owner.executions()).length;
      const fingerprints = await platform.protected(at.call());
      expect((await platform.inspect(pathCall('acme-intake'))).presence).toBe('present');
      await platform.apply(at.call(), 'delete');
      await platform.apply(at.call({ artifact: { type: 'n8n-workflow', id: at.ids.reminder } }), 'deactivate');
      const saidAt = Date.now();
      await gone('acme-intake');
      await gone('acme/remind');
      say(`both routes were gone ${Date.now() - saidAt} ms after n8n had answered`);
      expect((await at.owner.executions()).length).toBe(before);
      expect(await at.owner.call('acme-intake')).toBe(404);
      expect(await at.owner.call('acme/remind', 'GET')).toBe(404);
      for (const path of ['acme-eu-intake', 'acme-both', 'unmarked', 'demo']) expect(await at.owner.call(path), path).toBe(200);
      await expect.poll(async () => (await at.owner.executions()).length, { timeout: 15_000 }).toBe(before + 4);
      expect(await platform.protected(at.call())).toEqual(fingerprints);
    });

    it('of a path that two workflows share, the other one’s stays and is theirs', async () => {
      const other = await at.owner.make('Theirs', { tags: ['tenant:acme-eu'], nodes: [webhook('acme-intake', 'GET')], published: true });
      await expect.poll(async () => (await platform.inspect(pathCall('acme-intake'))).facts['production'], { timeout: 15_000 }).toBe('answers: GET, POST');
      await platform.apply(at.call(), 'delete');
      await expect.poll(async () => (await platform.inspect(pathCall('acme-intake'))).facts['production'], { timeout: 30_000 }).toBe('answers: GET');
      expect(await platform.inspect(pathCall('acme-intake'))).toMatchObject({ presence: 'present', guarded: expect.stringContaining(other) });
      expect(await at.owner.call('acme-intake', 'GET')).toBe(200);
    });

    it('of every kind of trigger are seen, whatever they listen to, and asking runs nothing', async () => {
      const before = (await at.owner.executions()).length;
      const nodes = [
        webhook('/padded/'),
        webhook('users/:id/visits', 'POST', 'dynamic'),
        webhook('many', ['GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'DELETE']),
        node('n8n-nodes-base.formTrigger', 2.2, {
          formTitle: 'Form',
          formFields: { values: [{ fieldLabel: 'Name' }] },
          options: { path: 'form-path' },
        }),
        node('@n8n/n8n-nodes-langchain.chatTrigger', 1.1, { public: true, options: {} }, 'chatty'),
        node('@n8n/n8n-nodes-langchain.mcpTrigger', 1, { path: 'tools' }),
      ].map((one, index) => ({ ...one, name: `node ${index}` }));
      const ids: string[] = [];
      for (const one of nodes) ids.push(await at.owner.make(one.name, { tags: ['tenant:kinds'], nodes: [one], published: true }));
      const call = at.call({ tenant: 'kinds' });
      const paths = ['padded', 'users/:id/visits', 'many', 'form-path', 'chatty/chat', 'tools', 'tools/sse', 'tools/messages'];
      expect((await platform.marked(call)).map((one) => one.id).toSorted()).toEqual([...ids, ...paths].toSorted());
      for (const path of [...paths, 'dynamic/users/7/visits'])
        await expect
          .poll(() => platform.inspect({ ...call, artifact: { type: 'webhook', id: path } }), { timeout: 15_000 })
          .toMatchObject({ presence: 'present', guarded: null, facts: { servedBy: expect.stringMatching(/^\w+$/) } });
      expect((await at.owner.executions()).length).toBe(before);
    });

    it('of the live version count, not those of the draft', async () => {
      await at.owner.draft(at.ids.intake, 'Acme intake', [webhook('acme-draft')]);
      expect(await platform.inspect(pathCall('acme-draft'))).toMatchObject({ presence: 'absent' });
      expect(await platform.inspect(pathCall('acme-intake'))).toMatchObject({ presence: 'present', facts: { servedBy: at.ids.intake } });
      expect((await platform.marked(at.call())).map(({ id }) => id)).not.toContain('acme-draft');
    });
  });

  describe('what the fake keeps to', () => {
    let at: Scene;
    beforeEach(async () => {
      at = await setup();
    });
    afterEach(() => at.teardown());

    const status = async (method: string, path: string, body?: unknown, key = real().n8n.ownerKey): Promise<string> => {
      const response = await fetch(`${real().n8n.url}/api/v1${path}`, {
        method,
        headers: { 'x-n8n-api-key': key, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const answer = await response.text();
      return `${response.status} ${/"message":"(.*?)"/.exec(answer)?.[1] ?? ''}`.trim();
    };

    it('a published workflow is not deleted, an archived one is', async () => {
      expect(await status('DELETE', `/workflows/${at.ids.intake}`)).toBe('409 Cannot delete a published workflow. Unpublish it before deleting.');
      await at.owner.unpublish(at.ids.reminder);
      // The one where the routes are still there, the other where they went faster than we asked.
      expect(await status('DELETE', `/workflows/${at.ids.reminder}`)).toMatch(
        /^(409 Workflow is still being unpublished\. Please try again in a few moments\.|200)$/,
      );
      await at.owner.api('POST', `/workflows/${at.ids.intake}/archive`);
      expect(await platform.inspect(at.call())).toMatchObject({ presence: 'inactive', facts: { archived: true } });
      await platform.apply(at.call(), 'delete');
      expect(await status('GET', `/workflows/${at.ids.intake}`)).toBe('404 Not Found');
      expect(await status('DELETE', `/workflows/${at.ids.intake}`)).toBe('404 Not Found');
      expect(await status('POST', `/workflows/${at.ids.intake}/unpublish`)).toBe(
        '404 You do not have permission to deactivate this workflow. Ask the owner to share it with you.',
      );
    });

    it('unpublishing again is 200; a path that is taken is 409; scopes and keys are checked; a tag has 24 characters at most', async () => {
      expect(await status('POST', `/workflows/${at.ids.intake}/unpublish`)).toBe('200');
      expect(await status('POST', `/workflows/${at.ids.intake}/unpublish`)).toBe('200');
      const taken = await at.owner.make('Taken', { nodes: [webhook('demo')] });
      expect(await status('POST', `/workflows/${taken}/publish`)).toBe('409 There is a conflict with one of the webhooks.');
      expect(await status('POST', `/workflows/${at.ids.intake}/publish`, undefined, real().n8n.apiKey)).toBe('403 Forbidden');
      expect(await status('GET', '/workflows', undefined, 'nobody')).toBe('401 Unauthorized');
      expect(await status('GET', '/workflows?cursor=nonsense')).toBe('400 An invalid cursor was provided');
      expect(await status('POST', '/tags', { name: 'x'.repeat(25) })).toBe('409 Tag already exists');
      expect(await status('POST', '/tags', { name: ` ${'x'.repeat(24)} ` })).toMatch(/^201/);
    });

    it('more than a page of workflows is listed whole, also with a comma in the name of the tenant', async () => {
      for (let number = 0; number < 255; number += 1) await at.owner.make(`Bulk ${number}`);
      const [first] = (await at.owner.workflows()).filter(({ name }) => name === 'Bulk 7');
      await at.owner.tag(first?.id ?? '', ['tenant:a,b']);
      expect((await platform.marked(at.call({ tenant: 'a,b' }))).map(({ id }) => id)).toEqual([first?.id]);
      expect((await at.owner.workflows()).length).toBeGreaterThan(255);
    });

    it('the key that the tests give Backout can do what is needed and no more', async () => {
      const error = await rejection(platform.apply(at.call({ artifact: { type: 'n8n-workflow', id: at.ids.demo } }), 'delete'));
      expect(error.kind).toBe('protected');
      for (const asked of real().front.asked())
        expect(asked).toMatch(/^(GET \/api\/v1\/(workflows|executions)|POST .*\/unpublish$|DELETE \/api\/v1\/workflows\/\w+$)/);
    });
  });
});
