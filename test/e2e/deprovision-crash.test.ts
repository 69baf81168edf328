/** The worker is killed at every boundary of a deprovisioning: between any two calls to n8n, to the provisioning store and to the record (I1, I2 of `reliability.md`). */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Crashes, keepAWorker } from '../support/crashing-worker.ts';
import { stepOf, Tenants } from '../support/tenants.ts';

/** Of a workflow that is deleted, and one that is deactivated; each list in the order in which one rollback meets them. */
const boundaries = (deleted: string, deactivated: string): readonly (readonly string[])[] => [
  [
    'openRollback:after-open',
    'begin:before-begin',
    `${deleted}:before-apply`,
    `${deleted}:after-release`,
    `${deactivated}:before-append`,
    'webhook.acme/intake-1:before-release',
    'failure:after-fail',
    'complete:after-complete',
    'closeRollback:after-finish',
  ],
  [
    'identify:before-append',
    'begin:after-begin',
    `${deleted}:after-apply`,
    // Carried out beside the other, it may have taken effect when that one was killed: only what is always called again is sure to come.
    `${deactivated}:after-release`,
    'crm.hub-7:after-release',
    'webhook.acme/intake-2:after-release',
    'remnants:before-append',
    'complete:after-confirm',
    'complete:before-append',
  ],
];

describe.concurrent('a deprovisioning whose worker is killed', () => {
  it.for([0, 1])(
    'list %i of its boundaries: every effect once, and the request and the error_log tell it once',
    { timeout: 280_000 },
    async (list, context) => {
      const house = await Tenants.create({ worker: false });
      context.onTestFinished(() => house.close());
      const { workflows } = await house.tenant('acme', 2, [
        { type: 'crm', id: 'hub-7' },
        { type: 'vapi-assistant', id: 'asst-1' },
      ]);
      await house.tenant('acme-corp', 1);
      const [deleted, deactivated] = workflows.map(({ id }) => `workflow.${id}`);
      if (deleted === undefined || deactivated === undefined) throw new Error('two workflows are needed');
      const points = boundaries(deleted, deactivated)[list] ?? [];
      const crashes = new Crashes(join(house.world.folder, 'crashes'), points);
      const { deaths } = keepAWorker(context, house.world, crashes.env);

      const handle = await house.start('acme');
      await house.inventory(handle);
      await house.confirm(handle, deleted, { choice: 'delete' });
      await house.confirm(handle, deactivated, { choice: 'deactivate' });
      await house.confirm(handle, 'crm.hub-7');
      await house.confirm(handle, 'webhook.acme/intake-1');
      await house.confirm(handle, 'webhook.acme/intake-2');
      await house.confirm(handle, 'crm.hub-7.credentials', { note: 'revoked' });
      await house.confirm(handle, 'routes');
      await house.asked(handle, 'vapi.asst-1');
      await house.say(handle, 'decline', { step: 'vapi.asst-1', reason: 'the dashboard is down' });
      await house.world.until(handle, 'failed', (state) => state.state === 'stopped' && state.deprovision?.status === 'FAILED', 60_000);
      await house.say(handle, 'decide', { step: 'vapi.asst-1', action: 'skip', reason: 'tomorrow' });
      await house.confirm(handle, 'cleanup', { note: 'deleted in the dashboard' });
      await house.confirm(handle, 'completion');
      const state = await house.world.until(handle, 'closed', (seen) => seen.state === 'closed', 60_000);

      expect(crashes.fired()).toEqual(points);
      expect(deaths).toEqual(points.map(() => 'SIGKILL'));
      expect(state.outcome).toBe('rolled-back');
      for (const step of [deleted, deactivated, 'crm.hub-7', 'webhook.acme/intake-1', 'webhook.acme/intake-2', 'begin', 'complete'])
        expect([step, stepOf(state, step).state]).toEqual([step, 'done']);
      expect((await house.n8n.effects()).map(({ event, workflowId }) => `${event} workflow.${workflowId}`)).toEqual([
        `unpublish ${deleted}`,
        `delete ${deleted}`,
        `unpublish ${deactivated}`,
      ]);
      expect((await house.log('acme')).map(({ event }) => event)).toEqual(['rollback-failed', 'rolled-back']);
      expect((await house.requests('acme'))[0]).toMatchObject({ status: 'ROLLED_BACK', config: { status: 'deprovisioned' } });
      expect(await house.answers('acme-corp/intake-1')).toBe(200);
      const audit = await house.world.cli(['audit', handle.workflowId]);
      expect([audit.code, audit.stdout]).toEqual([0, expect.stringContaining('No fault found')]);
    },
  );
});
