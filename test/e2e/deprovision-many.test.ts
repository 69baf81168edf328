/** Many artifacts and many tenants: a history that has grown long goes on as a new run, answers come several at once, one overview says who is awaited. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { stepOf, Tenants, workflowStep } from '../support/tenants.ts';

let house: Tenants;
beforeAll(async () => {
  // After 4,000 events by itself; here the server suggests it after a few, so that it happens in every list of answers.
  house = await Tenants.create({ env: { BACKOUT_ASKING_ATTEMPTS: '4' }, world: { dynamicConfig: { 'limit.historyCount.suggestContinueAsNew': 150 } } });
});
afterAll(() => house.close());

describe('a tenant with many workflows', () => {
  it('goes on over several runs: every answer is kept, everything is done once, and the audit reads one story', { timeout: 120_000 }, async () => {
    const { workflows } = await house.tenant('acme', 16);
    const others = await house.tenant('globex', 1);
    const handle = await house.start('acme');
    const { runId } = await house.inventory(handle);
    const current = house.world.client.workflow.getHandle(handle.workflowId);
    await house.asked(current, `workflow.${workflows[0]?.id ?? ''}`);
    // All at once, also for what is asked only later.
    for (const { id, path } of workflows) {
      await house.say(current, 'confirm', { step: `workflow.${id}`, choice: 'delete' });
      await house.say(current, 'confirm', { step: `webhook.${path}` });
    }
    await house.confirm(current, 'routes');
    await house.confirm(current, 'completion');
    const state = await house.world.closed(current);
    expect(state).toMatchObject({ outcome: 'rolled-back', warnings: [], deprovision: { status: 'ROLLED_BACK' } });
    expect(state.runId).not.toBe(runId);
    const said = state.answers.map((one) => `${one.name} ${one.step ?? ''}`);
    expect(new Set(said).size).toBe(said.length);
    expect(said).toHaveLength(2 * workflows.length + 3);
    const effects = (await house.n8n.effects()).map(({ event, workflowId }) => `${event} ${workflowId}`);
    expect(effects.toSorted()).toEqual(workflows.flatMap(({ id }) => [`delete ${id}`, `unpublish ${id}`]).toSorted());
    expect(await house.log('acme')).toHaveLength(1);
    expect(await house.answers(others.workflows[0]?.path ?? '')).toBe(200);
    const notices = (await house.world.incidents()).map((one) => one.notice);
    expect(notices.filter((one) => one === 'opened')).toHaveLength(1);
    const audit = await house.world.cli(['audit', handle.workflowId]);
    expect([audit.code, audit.stdout]).toEqual([0, expect.stringMatching(/No fault found in 1 rollback, [2-9] runs/)]);
  });
});

describe('before anything begins', () => {
  it('doctor asks the provisioning store and the platforms, and plan shows the steps and what the platforms cannot guarantee', async () => {
    const { requestId } = await house.tenant('piper', 1);
    const doctor = await house.world.cli(['doctor']);
    expect([doctor.code, doctor.stdout]).toEqual([
      0,
      expect.stringMatching(/a tenant in production\n {2}✔ store postgres answers; .+\n {2}✔ n8n +n8n answers; Backout may deactivate or delete/),
    ]);
    await house.n8n.control({ key: 'another-key' });
    const locked = await house.world.cli(['doctor', '--json']);
    await house.n8n.control({ key: 'fake-key' });
    expect(locked.code).toBe(1);
    const { tenants } = JSON.parse(locked.stdout) as { tenants: { findings: { check: string; verdict: string }[] }[] };
    expect(tenants[0]?.findings.map(({ check, verdict }) => [check, verdict])).toEqual([
      ['store postgres', 'ok'],
      ['n8n', 'problem'],
    ]);
    const plan = await house.world.cli(['plan', 'upaDeprovision', '--environment', 'production', '--tenant', 'piper', '--by', 'ana']);
    expect(plan.stdout).toMatch(new RegExp(`^piper: 2 artifacts of ${requestId}\n`));
    expect(plan.stdout).toContain('Put');
    expect(await house.requests('piper')).toMatchObject([{ status: 'COMPLETED' }]);
  });
});

describe('[000 Rollback is NOT triggered by] a platform that is away', () => {
  it('is asked again and again, people hear of it once, and nothing has failed', async () => {
    const { workflows } = await house.tenant('vandelay', 1);
    const [{ id, path } = { id: '', path: '' }] = workflows;
    const handle = await house.start('vandelay');
    await house.inventory(handle);
    await house.asked(handle, `workflow.${id}`);
    await house.n8n.control({ faults: [{ answer: { status: 503 }, times: 1_000 }] });
    await house.say(handle, 'confirm', { step: `workflow.${id}`, choice: 'delete' });
    await eventually(async () => (await house.world.incidents()).some((one) => one.notice === 'stuck' && one.text.includes('has tried one step')));
    expect(await house.world.state(handle)).toMatchObject({ state: 'running', deprovision: { status: 'ROLLBACK_IN_PROGRESS' } });
    await house.n8n.control({ calm: true });
    await house.confirm(handle, `webhook.${path}`);
    await house.confirm(handle, 'routes');
    await house.confirm(handle, 'completion');
    expect((await house.world.closed(handle)).outcome).toBe('rolled-back');
    expect(await house.log('vandelay')).toMatchObject([{ event: 'rolled-back' }]);
    expect((await house.world.incidents()).filter((one) => one.notice === 'stuck')).toHaveLength(1);
    expect((await house.world.cli(['audit', handle.workflowId])).code).toBe(0);
  });
});

async function eventually(isSo: () => Promise<boolean>): Promise<void> {
  await vi.waitFor(async () => expect(await isSo()).toBe(true), { timeout: 40_000, interval: 100 });
}

describe('an artifact', () => {
  it('[000 Invariant 4] that another has come to use since is not touched: another tenant, or a live request of this one', async () => {
    const { workflows } = await house.tenant('oscar', 2);
    const [first, second] = workflows;
    if (!first || !second) throw new Error('two workflows are needed');
    const handle = await house.begun('oscar');
    await house.asked(handle, workflowStep(first));
    await house.tell(handle, 'decline', { step: workflowStep(first), reason: 'one moment' });
    await house.failed(handle, 'oscar', 1);
    // Recorded while it waits for a decision: provisioning goes on.
    await house.provisioned('oscar', [
      { type: 'n8n-workflow', id: first.id },
      { type: 'webhook', id: `/${first.path}/` },
    ]);
    await house.provisioned('papa', [{ type: 'n8n-workflow', id: second.id }]);
    await house.decide(handle, 'retry', workflowStep(first));
    await house.confirm(handle, workflowStep(first), { choice: 'delete' });
    const one = await house.failed(handle, 'oscar', 2);
    expect(stepOf(one, workflowStep(first)).failure).toMatchObject({ type: 'Protected', message: expect.stringContaining('of oscar lists it too') as string });
    await house.decide(handle, 'skip', workflowStep(first));
    await house.confirm(handle, workflowStep(second), { choice: 'delete' });
    const other = await house.failed(handle, 'oscar', 3);
    expect(stepOf(other, workflowStep(second)).failure?.message).toContain('of another tenant, papa lists it too');
    await house.decide(handle, 'skip', workflowStep(second));
    // What others use stays for them; the path of the first is taken out of this request alone.
    const end = await house.finish(handle, { cleanup: { note: 'others use them by now' }, [`webhook.${second.path}`]: null });
    expect(end.waiting.map((waits) => waits.step)).toContain(`webhook.${second.path}`);
    await house.decide(handle, 'skip', `webhook.${second.path}`);
    expect(await house.effectsOn(first, second)).toEqual([]);
    for (const { path } of workflows) expect(await house.answers(path)).toBe(200);
    await house.tell(handle, 'stop', { reason: 'the second is still at work for papa' });
    await house.decide(handle, 'close');
    expect((await house.world.closed(handle)).outcome).toBe('partial');
  });
});

describe('many tenants', () => {
  it('are started by one command, each its own workflow, and one overview says who is awaited where', async () => {
    await house.tenant('hooli', 1);
    await house.tenant('initech', 2);
    const command = ['start', 'upaDeprovision', '--environment', 'production', '--cause', 'client-offboarded', '--reason', 'the house closes', '--by', 'ana'];
    const started = await house.world.cli([...command, '--tenant', 'hooli', 'initech', 'nobody']);
    expect(started.stdout).toContain(
      'started  upaDeprovision/production/hooli\nstarted  upaDeprovision/production/initech\nrefused  upaDeprovision/production/nobody\n',
    );
    expect([started.code, started.stderr]).toEqual([3, expect.stringContaining('no provisioning request of "nobody" is known')]);
    const handles = ['hooli', 'initech'].map((name) => house.world.client.workflow.getHandle(`upaDeprovision/production/${name}`));
    for (const handle of handles) await house.inventory(handle);
    for (const handle of handles) await house.world.until(handle, 'asked', (state) => state.waiting.some((one) => one.step.startsWith('workflow.')));
    const overview = await house.world.cli(['waiting', '--overview']);
    expect(overview.stdout).toMatch(/^upaDeprovision\/production\/hooli +waiting +operator +1 step /m);
    expect(overview.stdout).toMatch(/^upaDeprovision\/production\/initech +waiting +operator +2 steps /m);
    expect(overview.stdout).not.toContain('nobody');
    const again = await house.world.cli([...command, '--tenant', 'hooli', '--json']);
    expect(JSON.parse(again.stdout)).toMatchObject({ attached: true });
    const other = await house.world.cli([
      'start',
      'upaDeprovision',
      '--environment',
      'production',
      '--tenant',
      'hooli',
      '--cause',
      'post-deployment-issue',
      '--request',
      'x',
      '--reason',
      'no',
      '--by',
      'ben',
    ]);
    expect([other.code, other.stderr]).toEqual([3, expect.stringContaining('ana started it because of client-offboarded')]);
  });
});
