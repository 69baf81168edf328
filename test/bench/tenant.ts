/** A tenant of many workflows: how long until the first question, how many runs, how many events in each. */
import { Tenants } from '../support/tenants.ts';

export interface TenantMeasured {
  readonly firstQuestionMs: number;
  readonly lookMs: number;
  readonly runs: readonly { readonly status: string; readonly events: number }[];
  readonly outcome: string | null;
}

/** Each workflow with a path of its own, each artifact answered by a signal of its own. */
export async function measureTenant(workflowsCount: number): Promise<TenantMeasured> {
  const house = await Tenants.create();
  try {
    const { workflows } = await house.tenant('acme', workflowsCount);
    // The floor: n8n's own listing of all of them, read once.
    const looked = performance.now();
    let cursor: string | null = '';
    while (cursor !== null) {
      const page = await fetch(`${house.n8n.url}/api/v1/workflows?limit=250${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}`, {
        headers: { 'x-n8n-api-key': 'owner-key' },
      });
      ({ nextCursor: cursor } = (await page.json()) as { nextCursor: string | null }); // The public API of n8n.
    }
    const lookMs = performance.now() - looked;
    const started = performance.now();
    const handle = await house.start('acme');
    await house.inventory(handle);
    const firstQuestionMs = performance.now() - started;
    await house.asked(handle, `workflow.${workflows[0]?.id ?? ''}`);
    const current = house.world.client.workflow.getHandle(handle.workflowId);
    for (const { id, path } of workflows) {
      await house.say(current, 'confirm', { step: `workflow.${id}`, choice: 'deactivate' });
      await house.say(current, 'confirm', { step: `webhook.${path}` });
    }
    await house.world.until(current, 'asked for the routes', (state) => state.waiting.some((one) => one.step === 'routes'), 900_000);
    await house.confirm(current, 'routes');
    await house.confirm(current, 'completion');
    const { outcome } = await house.world.until(current, 'closed', (state) => state.state === 'closed', 300_000);
    const runs: { status: string; events: number }[] = [];
    for await (const run of house.world.client.workflow.list({ query: `WorkflowId = '${handle.workflowId}'` })) {
      const { events } = await house.world.client.workflow.getHandle(run.workflowId, run.runId).fetchHistory();
      runs.push({ status: run.status.name, events: events?.length ?? 0 });
    }
    return { firstQuestionMs, lookMs, runs, outcome };
  } finally {
    await house.close();
  }
}
