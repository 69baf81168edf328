/** An L1 over four components, on real parts, with signals alone: the Temporal UI is enough to run it [001, product.md 6]. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { badReleases, COMPONENTS, ID, incidentWorld, lines, propose, stepOf, waitsFor, walkThrough } from '../support/incident.ts';
import type { World } from '../support/world.ts';

let world: World;
beforeAll(async () => {
  world = await incidentWorld({ component: { web: ['after: [api]'], admin: ['after: [api]'] } });
  await badReleases(world);
  await world.worker();
}, 120_000);
afterAll(() => world.close());

describe('an L1 rollback', () => {
  it('is carried by signals from the proposal to the unfreeze', async () => {
    const handle = await propose(world);
    const proposed = await waitsFor(world, handle, 'declaration');
    expect(proposed.incidentCommand).toMatchObject({ declared: null, frozen: [] });
    await expect(world.store.freezes({})).resolves.toEqual([]);
    await handle.signal('confirm', { step: 'declaration', by: 'carol' });
    const end = await walkThrough(world, handle);
    expect(end).toMatchObject({ outcome: 'rolled-back', id: ID, incidentCommand: { frozen: [], declared: { by: 'carol' } } });
    for (const name of COMPONENTS) {
      await expect(world.serves(name)).resolves.toBe('v1.0.0');
      await expect(world.ownEffects(name)).resolves.toHaveLength(1);
    }
    await expect(world.store.freezes({ inForceOnly: true })).resolves.toEqual([]);
    const told = await lines(world, 'stakeholders.log');
    expect(told.map((one) => one['template'])).toEqual(['declared', 'recovery']);
    expect(stepOf(end, 'communication.declared').state).toBe('done');
    const audited = await world.cli(['audit', ID]);
    expect(audited, audited.stdout).toMatchObject({ code: 0 });
    const { history } = await world.client.workflow
      .getHandle(ID)
      .fetchHistory()
      .then((one) => ({ history: one }));
    const bytes = Number((await world.client.workflow.getHandle(ID).describe()).raw.workflowExecutionInfo?.historySizeBytes ?? 0);
    expect(history.events?.length).toBeLessThan(160);
    expect(bytes).toBeGreaterThan(0);
  }, 120_000);
});
