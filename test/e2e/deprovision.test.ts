/** A tenant leaves, carried by signals alone: what the Temporal UI sends [000]. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stepOf, Tenants } from '../support/tenants.ts';

let house: Tenants;
beforeAll(async () => {
  house = await Tenants.create({ platforms: ['        vapi: { platform: vapi, options: {} }'] });
});
afterAll(() => house.close());

describe('an offboarding', () => {
  it('takes back what is confirmed, one by one, and nothing else', async () => {
    const acme = await house.tenant('acme', 2, [
      { type: 'crm', id: 'hub-7' },
      { type: 'vapi-assistant', id: 'asst-1', name: 'Receptionist' },
      { type: 'credential', id: 'acme-hubspot' },
    ]);
    const globex = await house.tenant('acme-corp', 1);
    const template = await house.workflow('acme', 'acme intake', 'template/intake', ['template']);
    const [first, second] = acme.workflows;
    if (!first || !second) throw new Error('no workflows');
    const handle = await house.start('acme');
    const before = await house.inventory(handle);
    expect(before.deprovision).toMatchObject({ requests: [acme.requestId], status: null });
    // Where only a person can act, the way there.
    expect(stepOf(before, 'vapi.asst-1').title).toContain('https://dashboard.vapi.ai/assistants/asst-1');
    await house.confirm(handle, `workflow.${first.id}`, { choice: 'delete' });
    await house.confirm(handle, `workflow.${second.id}`, { choice: 'deactivate' });
    await house.say(handle, 'confirm', { step: 'webhook.acme/intake-1' });
    await house.say(handle, 'confirm', { step: 'webhook.acme/intake-2' });
    await house.confirm(handle, 'crm.hub-7');
    await house.confirm(handle, 'crm.hub-7.credentials', { note: 'token revoked in HubSpot' });
    await house.confirm(handle, 'vapi.asst-1', { note: 'deleted in the dashboard' });
    await house.confirm(handle, 'routes');
    await house.confirm(handle, 'completion');
    const state = await house.world.closed(handle);
    expect(state.outcome).toBe('rolled-back');
    expect(stepOf(state, 'credential.acme-hubspot').state).toBe('irreversible');
    expect((await house.requests('acme'))[0]).toMatchObject({ status: 'ROLLED_BACK', config: { status: 'deprovisioned', rollback: { by: 'ana' } } });
    expect(await house.log('acme')).toMatchObject([{ event: 'rolled-back' }]);
    expect(await house.answers('acme/intake-1')).toBe(404);
    expect(await house.answers('acme-corp/intake-1')).toBe(200);
    expect(await house.answers('template/intake')).toBe(200);
    expect((await house.n8n.effects()).map(({ event, workflowId }) => `${event} ${workflowId}`).toSorted()).toEqual(
      [`unpublish ${first.id}`, `delete ${first.id}`, `unpublish ${second.id}`].toSorted(),
    );
    expect(globex.requestId).not.toBe(template.id);
  });
});
