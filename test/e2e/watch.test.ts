/** The watch after a success [004 section 8.1]: a workflow of its own that alerts and waits, and changes nothing. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { WatchEnd } from '../../workflows/health-watch.ts';
import { BOOTS, World } from '../support/world.ts';

let world: World;

beforeAll(async () => {
  world = await World.create({
    shops: [{ ...BOOTS, releases: [...BOOTS.releases, { version: 'v1.2.0' }] }],
    watch: 'watch: { minutes: 5, everySeconds: 0.1 }',
  });
  await world.worker();
});
afterAll(() => world.close());

async function rolledBack(): Promise<string> {
  await world.badRelease();
  const handle = await world.start();
  await world.waiting(handle);
  await world.confirm(handle);
  const { outcome, rollbackId } = await world.closed(handle);
  expect(outcome).toBe('rolled-back');
  return `watch/production/web/${rollbackId}`;
}

it('alerts once when the version that was taken back is served again, and waits for a person', async () => {
  const watch = world.client.workflow.getHandle<() => Promise<WatchEnd>>(await rolledBack());
  await world.deploy('web', 'v1.1.0');
  await expect
    .poll(async () => (await world.incidents()).filter((one) => one.notice === 'degraded').map((one) => one.text), { timeout: 20_000 })
    .toEqual(['after the rollback: web serves v1.1.0 again, the version that was taken back']);
  const effects = await world.effects();
  await watch.signal('confirm', { nonsense: true });
  expect((await watch.describe()).status.name).toBe('RUNNING');
  await watch.signal('confirm', { step: 'degraded', by: 'ana', note: 'a cron job redeployed it; removed' });
  expect(await watch.result()).toEqual({
    verdict: 'degraded',
    detail: 'web serves v1.1.0 again, the version that was taken back',
    by: 'ana',
    note: 'a cron job redeployed it; removed',
  });
  expect(await world.effects()).toEqual(effects);
});

it('ends by itself, without alarm, when another version is released', async () => {
  const watch = world.client.workflow.getHandle<() => Promise<WatchEnd>>(await rolledBack());
  const before = (await world.incidents()).filter((one) => one.notice === 'degraded').length;
  await world.deploy('web', 'v1.2.0');
  expect(await watch.result()).toMatchObject({ verdict: 'superseded' });
  expect((await world.incidents()).filter((one) => one.notice === 'degraded')).toHaveLength(before);
});
