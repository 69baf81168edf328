/** What the tests of the fake n8n share: one process for a file, which begins anew with each test, and calls about it. */
import { afterAll, beforeAll } from 'vitest';
import type { N8nOptions } from '../../activities/tenants/n8n-options.ts';
import type { ArtifactCall } from '../../activities/tenants/platform.ts';
import type { Artifact } from '../../model/tenant.ts';
import { startFakeN8n, type FakeN8n } from '../fakes/n8n-process.ts';
import { Owner, scene, type Access, type Scene } from './n8n-scene.ts';

export const CANARY = 'n8n_api_canary-7f3a/+=';
const WRITE = 'POST|DELETE';

export let fake: FakeN8n;
let access: Access;
beforeAll(async () => {
  fake = await startFakeN8n();
  access = {
    owner: new Owner(fake.url, 'owner-key'),
    url: fake.url,
    apiKey: CANARY,
    effects: async () => (await fake.effects()).length,
    loseAnswer: (writes) =>
      fake.control({
        calm: true,
        faults:
          writes === null
            ? []
            : [
                { method: WRITE, times: writes },
                { method: WRITE, after: true, answer: 'reset' },
              ],
      }),
    stall: () => fake.control({ faults: [{ delayMs: 30_000, times: 99 }] }),
    // Routes that wait would keep their workflows from being removed.
    calm: () => fake.control({ calm: true, settle: true, routeDelayMs: 0 }),
  };
});
afterAll(() => fake.stop());

export async function setup(): Promise<Scene> {
  await fake.control({ reset: true, key: CANARY });
  return scene(access);
}

export const events = async (): Promise<string[]> => (await fake.effects()).map((entry) => `${entry.event} ${entry.workflowId}`);

/** A call about another artifact of the scene. */
export const to = (at: Scene, artifact: Partial<Artifact>, overrides: Partial<ArtifactCall<N8nOptions>> = {}): ArtifactCall<N8nOptions> =>
  at.call({ artifact: { ...at.call().artifact, ...artifact }, ...overrides });
