/** Who may say what while a tenant is taken back, and what becomes of the request, the error_log and the platforms [000]. */
import type { WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { publish } from '../../client/demo/house.ts';
import type { Artifact } from '../../model/tenant.ts';
import type { RollbackState } from '../../model/state.ts';
import { eventually } from '../support/lying-world.ts';
import { artifactsOf, expectRolledBack, expectUntouched, stepOf, Tenants, webhookStep, workflowStep } from '../support/tenants.ts';

let house: Tenants;
const standing = ['globex/intake-1', 'template/intake', 'demo/intake'];
beforeAll(async () => {
  house = await Tenants.create();
  await house.tenant('globex');
  await house.workflow('globex', 'intake', 'template/intake', ['template']);
  await house.workflow('globex', 'show room', 'demo/intake', ['demo']);
});
afterAll(() => house.close());

const crm = (tenant: string): Artifact => ({ type: 'crm', id: `hub-${tenant}` });
const vapi = (tenant: string): Artifact => ({ type: 'vapi-assistant', id: `asst-${tenant}`, name: 'Receptionist' });

/** A tenant with two workflows, each with its path. */
async function two(tenant: string, ...more: readonly ((tenant: string) => Artifact)[]) {
  const { requestId, workflows } = await house.tenant(
    tenant,
    2,
    more.map((one) => one(tenant)),
  );
  const [first, second] = workflows;
  if (!first || !second) throw new Error('no workflows');
  return { requestId, first, second, paths: [first.path, second.path] as const };
}
const stepsOf = (state: RollbackState, ...states: string[]): string[] => state.steps.filter((one) => states.includes(one.state)).map((one) => one.id);

describe.concurrent('a word that is not true', () => {
  it('"done" by hand is believed as far as a look agrees: where it does not, it is asked again, and nothing has failed', async () => {
    const { first, second, paths } = await two('bob');
    const handle = await house.begun('bob');
    await house.deletedByHand(first);
    await house.confirm(handle, workflowStep(first), { choice: 'done' });
    await house.passed(handle, workflowStep(first));
    await house.confirm(handle, workflowStep(second), { choice: 'done' });
    const state = await house.world.until(handle, 'disagreed with', (one) => one.refusals.length > 0 && one.state === 'waiting', 60_000);
    expect(state.refusals).toMatchObject([{ rule: 'inspection-disagrees', by: 'ana', message: 'confirm' }]);
    expect(stepOf(state, workflowStep(second)).state).toBe('waiting');
    expect(await house.requestOf('bob')).toMatchObject({ status: 'ROLLBACK_IN_PROGRESS' });
    await expectRolledBack(house, 'bob', await house.finish(handle), paths);
    expect(await house.events('bob')).toEqual(['rolled-back']);
    expect(await house.effectsOn(first, second)).toEqual(['unpublish 2', 'delete 2']);
  });
});

describe.concurrent('a start', () => {
  it('[000 When Rollback Triggers] is by an operator, for one of four reasons, of a request or of all; anything else is refused and touches nothing', async () => {
    const { paths } = await two('starter');
    const { requestId } = await house.tenant('another');
    const wrong: readonly (readonly [more: Record<string, unknown>, rule: string, why: RegExp])[] = [
      [{ cause: 'transient-error' }, 'not-a-trigger', /transient errors .* are retried, not rolled back/],
      [{ cause: 'non-critical-configuration' }, 'not-a-trigger', /fixed in place/],
      [{ cause: 'bug-fix' }, 'not-a-trigger', /needs no reprovisioning/],
      [{ cause: 'smoke-failed' }, 'not-a-trigger', /the reasons are provisioning-failed, post-deployment-issue, upgrade-regression, client-offboarded/],
      [{ cause: 'constructor' }, 'not-a-trigger', /is no reason/],
      [{ trigger: 'automatic' }, 'operator-only', /never by automatic/],
      [{ trigger: 'drill' }, 'operator-only', /never by drill/],
      [{ trigger: 'verification', by: 'ci' }, 'operator-only', /never by verification/],
      [{ trigger: 'ci' }, 'malformed', /"trigger"/],
      [{ by: 'eve' }, 'operator-only', /eve is no operator; .*: ana, ben/],
      [{ by: 'mallory' }, 'operator-only', /not among the people/],
      [{ cause: 'provisioning-failed' }, 'request', /concerns one provisioning request/],
      [{ cause: 'post-deployment-issue' }, 'request', /concerns one provisioning request/],
      [{ cause: 'upgrade-regression' }, 'request', /concerns one provisioning request/],
      [{ request: 'req-1' }, 'request', /leave the request out/],
      [{ cause: 'upgrade-regression', request: 'req-none' }, 'request', /has no provisioning request "req-none"/],
      [{ cause: 'upgrade-regression', request: requestId }, 'request', /has no provisioning request/],
      [{ environment: 'nowhere' }, 'unknown-environment', /no environment "nowhere"/],
      [{ components: ['web'] }, 'tenant', /no components/],
    ];
    const refusals: unknown[] = [];
    for (const [more] of wrong) {
      const handle = await house.start('starter', more).catch((error: unknown) => error);
      if (handle instanceof Error) throw handle;
      const state = await house.world.closed(handle as WorkflowHandle);
      expect(state).toMatchObject({ outcome: 'refused', steps: [] });
      refusals.push([state.refusals[0]?.rule, state.refusals[0]?.explanation]);
    }
    expect(refusals).toEqual(wrong.map(([, rule, why]) => [rule, expect.stringMatching(why) as string]));
    for (const tenant of ['nobody', 'Starter']) {
      const state = await house.world.closed(await house.start(tenant));
      expect(state.refusals).toMatchObject([{ rule: 'tenant', explanation: expect.stringContaining('no provisioning request') as string }]);
    }
    await expectUntouched(house, 'starter', paths);
    await expectUntouched(house, 'another', []);
  });

  it('is of this very tenant: acme is neither acme-corp nor Acme', async () => {
    const acme = await two('acme', crm);
    await house.tenant('acme-corp', 1, [crm('acme-corp')]);
    await house.tenant('Acme');
    const unlisted = await house.workflow('acme-corp', 'acme intake 3', 'acme-corp/unlisted');
    const handle = await house.start('acme');
    const { deprovision } = await house.inventory(handle);
    expect(deprovision?.artifacts.map((one) => one.id).toSorted()).toEqual([acme.first.id, acme.second.id, ...acme.paths, 'hub-acme'].toSorted());
    await expectRolledBack(house, 'acme', await house.finish(handle), acme.paths);
    for (const path of ['acme-corp/intake-1', 'Acme/intake-1', unlisted.path]) expect(await house.answers(path)).toBe(200);
    for (const tenant of ['acme-corp', 'Acme']) await expectUntouched(house, tenant, []);
  });

  it('after ROLLED_BACK only looks, and says so', async () => {
    const { first, second, paths } = await two('again');
    const before = await house.finish(await house.start('again'), {});
    await expectRolledBack(house, 'again', before, paths);
    const state = await house.world.closed(await house.start('again'));
    expect(state).toMatchObject({
      outcome: 'rolled-back',
      steps: [
        { id: 'identify', state: 'done' },
        { id: 'remnants', state: 'done' },
      ],
    });
    expect(state.warnings).toContain('nothing of again is left to take back: it is only looked at once more');
    expect(await house.events('again')).toEqual(['rolled-back']);
    expect((await house.requestOf('again')).config.rollback?.rollbackId).toBe(before.rollbackId);
    expect(await house.effectsOn(first, second)).toHaveLength(4);
    // Never a success while something is left [000 Rollback Failure].
    const stray = await house.workflow('again', 'again newcomer', 'again/newcomer');
    const looking = await house.start('again');
    const stopped = await house.world.stopped(looking);
    expect(stopped.stopped).toContain(stray.id);
    await house.decide(looking, 'close');
    const end = await house.world.closed(looking);
    expect(end.outcome).toBe('partial');
    expect(end.remains[0]?.reason).toContain(stray.id);
    expect(await house.answers(stray.path)).toBe(200);
  });

  it('[000 When Rollback Triggers 3] of one request leaves what another live request of the tenant lists too', async () => {
    const [shared, fresh] = [await house.workflow('upgrader', 'shared', 'upgrader/shared'), await house.workflow('upgrader', 'new', 'upgrader/new')];
    const [old, now] = [
      await house.provisioned('upgrader', [...artifactsOf(shared), crm('upgrader')], { version: '1' }),
      await house.provisioned('upgrader', [...artifactsOf(shared), ...artifactsOf(fresh), crm('upgrader')], { version: '2' }),
    ];
    const handle = await house.start('upgrader', { cause: 'upgrade-regression', request: now });
    const state = await house.inventory(handle);
    expect(state.deprovision?.requests).toEqual([now]);
    expect(state.deprovision?.artifacts.filter((one) => one.kept !== undefined).map((one) => one.id)).toEqual([shared.id, shared.path, 'hub-upgrader']);
    expect(state.steps.some((one) => one.id.includes(shared.id) || one.id.startsWith('crm.'))).toBe(false);
    const end = await house.finish(handle);
    expect(end).toMatchObject({
      outcome: 'rolled-back',
      remains: expect.arrayContaining([expect.objectContaining({ artifact: 'CRM integration hub-upgrader' })]) as unknown,
    });
    expect([await house.answers(shared.path), await house.answers(fresh.path)]).toEqual([200, 404]);
    expect(await house.requestOf('upgrader', 'production', now)).toMatchObject({
      status: 'ROLLED_BACK',
      config: { artifacts: [{ id: shared.id }, { id: shared.path }, { id: 'hub-upgrader' }] },
    });
    expect(await house.requestOf('upgrader', 'production', old)).toMatchObject({ status: 'COMPLETED', rollbackId: null, config: { removed: [] } });
    expect((await house.log('upgrader'))[0]?.notRemovable.map((one) => one.artifact)).toContain('CRM integration hub-upgrader');
    // What is kept goes when the last that lists it goes.
    const last = await house.finish(await house.start('upgrader'));
    expect(last).toMatchObject({ outcome: 'rolled-back', deprovision: { requests: [old] } });
    expect(await house.answers(shared.path)).toBe(404);
  });
});

describe.concurrent('the inventory', () => {
  it('[000 Rollback Procedure 2] declined and closed is a refusal: the request is as it was, and so is everything else', async () => {
    const { paths, first, second } = await two('decliner');
    const handle = await house.start('decliner');
    await house.asked(handle, 'inventory');
    expect(await house.ruleOf(handle, 'confirm', { step: workflowStep(first), choice: 'delete' })).toBe('not-asked');
    expect(await house.ruleOf(handle, 'confirm', { step: 'inventory' })).toBe('stale-plan');
    expect(await house.ruleOf(handle, 'confirm', { step: 'inventory', by: 'eve' })).toBe('role');
    expect(await house.ruleOf(handle, 'decline', { step: 'inventory', by: 'ben', reason: 'the CRM is missing' })).toBeUndefined();
    await house.world.stopped(handle);
    // Asked anew it is looked at anew.
    expect(await house.decide(handle, 'skip', 'inventory')).toMatchObject({ refusal: { rule: 'not-optional' } });
    expect(await house.decide(handle, 'retry', 'inventory')).toMatchObject({ accepted: true });
    const again = await house.asked(handle, 'inventory');
    expect(stepOf(again, 'identify').attempts).toBe(2);
    await house.say(handle, 'decline', { step: 'inventory', reason: 'it still is' });
    await house.world.stopped(handle);
    await house.decide(handle, 'close');
    const end = await house.world.closed(handle);
    expect(end).toMatchObject({ outcome: 'refused', remains: [], deprovision: { status: null } });
    expect(end.refusals.at(-1)).toMatchObject({
      rule: 'inventory',
      explanation: expect.stringContaining('ana closed it before anything was changed') as string,
    });
    await expectUntouched(house, 'decliner', paths);
    expect(await house.effectsOn(first, second)).toEqual([]);
    await expectRolledBack(house, 'decliner', await house.finish(await house.start('decliner')), paths);
  });

  it('is void where reality has moved since: asked again with another plan, and what was said of its artifacts is forgotten', async () => {
    const { first, second, paths } = await two('mover');
    const handle = await house.start('mover');
    const { planHash } = await house.asked(handle, 'inventory');
    // Shown, moved, confirmed: and approved at once, before anything was begun.
    await house.tell(handle, 'stop', { reason: 'one moment' });
    const stray = await house.workflow('mover', 'mover newcomer', 'mover/newcomer');
    const other = await house.workflow('mover', 'mover stranger', 'mover/stranger');
    expect(await house.tell(handle, 'confirm', { step: 'inventory', plan: planHash })).toMatchObject({ accepted: true });
    expect(await house.tell(handle, 'confirm', { step: workflowStep(first), choice: 'delete' })).toMatchObject({ accepted: true });
    await house.tell(handle, 'resume', { reason: 'go on' });
    const again = await house.asked(handle, 'inventory');
    expect(again.planHash).not.toBe(planHash);
    expect(again.warnings.some((one) => one.startsWith('the confirmation of the inventory is void'))).toBe(true);
    await expectUntouched(house, 'mover', paths);
    expect(await house.ruleOf(handle, 'confirm', { step: 'inventory', plan: planHash })).toBe('stale-plan');
    // Confirmed, moved, and only then begun.
    await house.tell(handle, 'stop', { reason: 'one moment' });
    expect(await house.tell(handle, 'confirm', { step: 'inventory', plan: again.planHash })).toMatchObject({ accepted: true });
    const late = await house.workflow('mover', 'mover latecomer', 'mover/latecomer');
    await house.tell(handle, 'resume', { reason: 'go on' });
    const third = await house.world.until(handle, 'asked a third time', (one) => one.planHash !== again.planHash && one.waiting.length > 0);
    await expectUntouched(house, 'mover', paths);
    await house.confirm(handle, 'inventory', { plan: third.planHash });
    const asked = await house.asked(handle, workflowStep(first));
    // Backout touches only what is listed [000 Rollback Procedure 2].
    const [left, removed] = [`unlisted.workflow.${other.id}`, `unlisted.workflow.${stray.id}`];
    expect(stepOf(asked, removed)).toMatchObject({ mode: 'manual', state: 'waiting' });
    expect(await house.ruleOf(handle, 'confirm', { step: left, choice: 'not-ours' })).toBe('evidence');
    expect(await house.ruleOf(handle, 'confirm', { step: left, choice: 'delete' })).toBe('choice');
    expect(await house.decide(handle, 'skip', left)).toMatchObject({ accepted: false });
    const end = await house.finish(handle, {
      [left]: { choice: 'not-ours', note: 'of the trial' },
      [`unlisted.workflow.${late.id}`]: { choice: 'not-ours', note: 'of the trial too' },
      [removed]: { choice: 'removed' },
    });
    // It was said to be removed, and is not.
    expect(end.stopped ?? '').toContain(stray.id);
    expect(end.stopped).not.toContain(other.id);
    await house.failed(handle, 'mover', 1);
    await house.deletedByHand(stray);
    expect(await house.ruleOf(handle, 'confirm', { step: left, choice: 'removed' })).toBe('already-answered');
    await house.decide(handle, 'retry', 'all');
    await expectRolledBack(house, 'mover', await house.finish(handle, { [removed]: { choice: 'removed' } }), [...paths, stray.path]);
    // Each try has an entry of its own, also of a step that another plan has made anew.
    const audit = await house.world.cli(['audit', handle.workflowId]);
    expect([audit.code, audit.stdout]).toEqual([0, expect.stringContaining('No fault found')]);
    for (const one of [other, late]) expect(await house.answers(one.path)).toBe(200);
    expect((await house.effectsOn(first, second, stray, other, late)).toSorted()).toEqual(['delete 1', 'delete 2', 'unpublish 1', 'unpublish 2']);
  });
});

describe.concurrent('an artifact', () => {
  it('[000 Rollback Failure 1, 2] that is declined makes the request FAILED; chosen anew it goes, and no cleanup is asked for', async () => {
    const { first, second, paths } = await two('chooser', crm);
    const handle = await house.begun('chooser');
    await house.asked(handle, workflowStep(first));
    expect(await house.ruleOf(handle, 'decline', { step: workflowStep(first), by: 'eve', reason: 'x' })).toBe('role');
    await house.tell(handle, 'decline', { step: workflowStep(first), by: 'ben', reason: 'they still need it' });
    await house.failed(handle, 'chooser', 1);
    expect(await house.requestOf('chooser')).toMatchObject({ status: 'FAILED', config: { status: 'active' } });
    expect(await house.log('chooser')).toMatchObject([
      { event: 'rollback-failed', removed: [], detail: expect.stringContaining('they still need it') as string },
    ]);
    // Others are answered meanwhile, and nothing is changed of a request that is FAILED.
    expect(await house.tell(handle, 'confirm', { step: workflowStep(second), choice: 'delete' })).toMatchObject({ accepted: true, state: 'stopped' });
    expect(await house.ruleOf(handle, 'confirm', { step: workflowStep(first), choice: 'delete' })).toBe('already-answered');
    expect(await house.ruleOf(handle, 'confirm', { step: workflowStep(second), choice: 'deactivate' })).toBe('already-answered');
    expect(await house.tell(handle, 'confirm', { step: workflowStep(second), choice: 'delete' })).toMatchObject({ accepted: true });
    expect(await house.effectsOn(first, second)).toEqual([]);
    expect(await house.ruleOf(handle, 'decide', { step: workflowStep(first), action: 'retry', reason: 'x', by: 'eve' })).toBe('role');
    await house.decide(handle, 'retry', workflowStep(first));
    const end = await house.finish(handle, { [workflowStep(first)]: { choice: 'deactivate' } });
    await expectRolledBack(house, 'chooser', end, paths);
    expect(stepOf(end, 'cleanup').state).toBe('pending');
    expect(await house.events('chooser')).toEqual(['rollback-failed', 'rolled-back']);
    expect((await house.effectsOn(first, second)).toSorted()).toEqual(['delete 2', 'unpublish 1', 'unpublish 2']);
    const removed = (await house.requestOf('chooser')).config.removed.map(({ id, how, by }) => [id, how, by]);
    expect(removed).toEqual(
      expect.arrayContaining([
        [first.id, 'deactivate', 'ana'],
        [second.id, 'delete', 'ana'],
        ['hub-chooser', 'disconnect', 'ana'],
      ]),
    );
  });

  it('[000 Rollback Failure 3, 4] that is left out is cleaned up by hand: what is still there comes back, what is gone is the end', async () => {
    const { first, second, paths } = await two('leaver');
    const handle = await house.begun('leaver');
    await house.asked(handle, workflowStep(second));
    // Before it was attempted, also before it is asked: a path waits for its workflow.
    for (const step of [workflowStep(second), webhookStep(second)]) expect(await house.decide(handle, 'skip', step)).toMatchObject({ accepted: true });
    expect(await house.decide(handle, 'skip', 'remnants')).toMatchObject({ accepted: false });
    const asked = await house.finish(handle, { cleanup: null });
    expect(asked.waiting.map((one) => one.step)).toEqual(['cleanup']);
    expect(await house.requestOf('leaver')).toMatchObject({ status: 'FAILED' });
    expect(asked.remains.map((one) => one.artifact)).toEqual(expect.arrayContaining([expect.stringContaining(second.id) as string]));
    expect(await house.log('leaver')).toMatchObject([{ event: 'rollback-failed', detail: expect.stringContaining('left by ana: it was looked at') as string }]);
    expect(await house.ruleOf(handle, 'confirm', { step: 'cleanup' })).toBe('evidence');
    expect(await house.ruleOf(handle, 'confirm', { step: 'completion' })).toBe('not-asked');
    // Confirmed, and still there.
    await house.say(handle, 'confirm', { step: 'cleanup', note: 'I have deleted it' });
    const stopped = await house.failed(handle, 'leaver', 2);
    expect(stepsOf(stopped, 'failed')).toEqual([workflowStep(second), webhookStep(second)]);
    expect(stepOf(stopped, workflowStep(second)).failure?.message).toContain('is still at work');
    expect(await house.requestOf('leaver')).toMatchObject({ status: 'FAILED', cleanup: null });
    expect(await house.events('leaver')).toEqual(['rollback-failed', 'rollback-failed']);
    // The one is taken back by Backout now, the other is left out again, and is gone with it.
    expect(await house.decide(handle, 'retry', workflowStep(second))).toMatchObject({ accepted: true });
    expect(await house.decide(handle, 'skip', webhookStep(second))).toMatchObject({ accepted: true });
    const end = await house.finish(handle, { cleanup: { note: 'now I have' } });
    await expectRolledBack(house, 'leaver', end, paths);
    expect(await house.events('leaver')).toEqual(['rollback-failed', 'rollback-failed', 'rollback-failed', 'rolled-back']);
    expect(await house.requestOf('leaver')).toMatchObject({ cleanup: { by: 'ana' }, config: { artifacts: [] } });
    expect((await house.log('leaver')).at(-1)?.removed).toEqual(
      expect.arrayContaining([
        expect.stringContaining(first.id),
        expect.stringContaining(second.id),
        `webhook path ${second.path}, cleaned up by hand`,
      ] as unknown[]),
    );
    expect((await house.effectsOn(first, second)).toSorted()).toEqual(['delete 1', 'delete 2', 'unpublish 1', 'unpublish 2']);
  });

  it('[000 Rollback Failure] may be left with all that is left, in one word, also after something has failed', async () => {
    const { first, second, paths } = await two('skipper', crm, vapi);
    const handle = await house.begun('skipper');
    await house.confirm(handle, workflowStep(first), { choice: 'delete' });
    await house.passed(handle, workflowStep(first));
    await house.asked(handle, 'vapi.asst-skipper');
    await house.tell(handle, 'stop', { reason: 'one moment' });
    // Said to be gone, and not looked at yet: it is not removed so far.
    await house.tell(handle, 'confirm', { step: 'vapi.asst-skipper', note: 'deleted in the dashboard' });
    await house.tell(handle, 'decline', { step: workflowStep(second), reason: 'they still need it' });
    await house.tell(handle, 'resume', { reason: 'go on' });
    await house.failed(handle, 'skipper', 1);
    expect((await house.log('skipper'))[0]?.removed).toEqual([`n8n workflow "${first.name}" (${first.id})`]);
    expect(await house.decide(handle, 'skip', 'all', { by: 'eve' })).toMatchObject({ refusal: { rule: 'role' } });
    expect(await house.decide(handle, 'skip', 'all')).toMatchObject({ accepted: true });
    const state = await house.finish(handle, { cleanup: null });
    // What a person has said is looked at all the same.
    expect(stepOf(state, 'vapi.asst-skipper.look').state).toBe('done');
    expect(stepsOf(state, 'skipped')).toEqual(
      expect.arrayContaining([workflowStep(second), webhookStep(first), webhookStep(second), 'crm.hub-skipper', 'routes']),
    );
    expect(await house.requestOf('skipper')).toMatchObject({ status: 'FAILED' });
    expect(state.remains.map((one) => one.artifact)).toEqual(
      expect.arrayContaining([`n8n workflow "${second.name}" (${second.id})`, 'CRM integration hub-skipper']),
    );
    expect(await house.decide(handle, 'skip', 'all')).toMatchObject({ refusal: { rule: 'not-failed' } });
    // Cleaned up by hand after all.
    await house.deletedByHand(second);
    await expectRolledBack(house, 'skipper', await house.finish(handle), paths);
    expect(await house.effectsOn(first, second)).toEqual(['unpublish 1', 'delete 1']);
  });

  it('[000 Rollback Failure] partial is allowed: closed half-way it is FAILED with what remains; the next start goes on and finishes', async () => {
    const { first, second, paths } = await two('halfway', crm);
    const handle = await house.begun('halfway');
    await house.confirm(handle, workflowStep(first), { choice: 'delete' });
    await house.passed(handle, workflowStep(first));
    expect(await house.decide(handle, 'close')).toMatchObject({ refusal: { rule: 'not-stopped' } });
    await house.asked(handle, workflowStep(second));
    await house.say(handle, 'decline', { step: workflowStep(second), reason: 'they still need it' });
    await house.failed(handle, 'halfway', 1);
    expect(await house.decide(handle, 'close', undefined, { by: 'eve' })).toMatchObject({ refusal: { rule: 'role' } });
    await house.decide(handle, 'close', undefined, { reason: 'the rest next week' });
    const end = await house.world.closed(handle);
    expect(end).toMatchObject({ outcome: 'partial', deprovision: { status: 'FAILED' }, refusals: [{ rule: 'not-stopped' }, { rule: 'role' }] });
    const remains = end.remains.map((one) => one.artifact);
    expect(remains).toEqual(
      expect.arrayContaining([
        `n8n workflow "${second.name}" (${second.id})`,
        `webhook path ${first.path}`,
        'CRM integration hub-halfway',
        'external CRM records',
      ]),
    );
    expect(remains).not.toContain(`n8n workflow "${first.name}" (${first.id})`);
    expect(await house.requestOf('halfway')).toMatchObject({ status: 'FAILED', config: { status: 'active', rollback: null } });
    expect(await house.log('halfway')).toMatchObject([
      { event: 'rollback-failed' },
      {
        event: 'rollback-failed',
        removed: [expect.stringContaining(first.id)],
        detail: expect.stringContaining('closed by ana: the rest next week') as string,
      },
    ]);
    expect(await house.answers(second.path)).toBe(200);
    const next = await house.start('halfway');
    const inventory = await house.asked(next, 'inventory');
    expect(inventory.steps.some((one) => one.id === workflowStep(first))).toBe(false);
    await expectRolledBack(house, 'halfway', await house.finish(next), paths);
    expect((await house.log('halfway')).at(-1)?.removed).toEqual(
      expect.arrayContaining([expect.stringContaining(first.id), expect.stringContaining(second.id)] as unknown[]),
    );
    expect(await house.effectsOn(first, second)).toEqual(['unpublish 1', 'delete 1', 'unpublish 2', 'delete 2']);
  });

  it('waits while it is stopped, however much was said', async () => {
    const { first, second, paths } = await two('stopper');
    const handle = await house.begun('stopper');
    await house.asked(handle, workflowStep(second));
    await house.tell(handle, 'stop', { reason: 'one moment' });
    for (const one of [first, second])
      expect(await house.tell(handle, 'confirm', { step: workflowStep(one), choice: 'delete' })).toMatchObject({ accepted: true, state: 'stopped' });
    // Taken back before it was carried out.
    expect(await house.tell(handle, 'decline', { step: workflowStep(first), reason: 'rather not' })).toMatchObject({ accepted: true });
    expect(await house.tell(handle, 'confirm', { step: workflowStep(first), choice: 'deactivate', by: 'ben' })).toMatchObject({ accepted: true });
    expect(await house.effectsOn(first, second)).toEqual([]);
    expect(await house.requestOf('stopper')).toMatchObject({ status: 'ROLLBACK_IN_PROGRESS' });
    await house.tell(handle, 'resume', { reason: 'go on' });
    await expectRolledBack(house, 'stopper', await house.finish(handle), paths);
    expect((await house.effectsOn(first, second)).toSorted()).toEqual(['delete 2', 'unpublish 1', 'unpublish 2']);
    expect((await house.requestOf('stopper')).config.removed.find((one) => one.id === first.id)).toMatchObject({ by: 'ben', how: 'deactivate' });
    expect(await house.events('stopper')).toEqual(['rolled-back']);
  });

  it('[000 Rollback Failure 3] that was taken back by hand after a failure is looked at, and is his who says so', async () => {
    const { first, second, paths } = await two('handy', crm);
    const handle = await house.begun('handy');
    const declined = [workflowStep(first), 'crm.hub-handy', webhookStep(first)];
    for (const [index, step] of declined.entries()) {
      await house.asked(handle, index === 2 ? workflowStep(second) : step);
      if (index === 2) {
        await house.say(handle, 'confirm', { step: workflowStep(second), choice: 'delete' });
        await house.asked(handle, step);
      }
      await house.say(handle, 'decline', { step, reason: 'I do it myself' });
      await house.failed(handle, 'handy', index + 1);
      if (index === 0) await house.deletedByHand(first);
      expect(await house.ruleOf(handle, 'decide', { step, action: 'done', reason: 'done', by: 'eve' })).toBe('role');
      expect(await house.decide(handle, 'done', step, { by: 'ben' })).toMatchObject({ accepted: true });
      await house.passed(handle, step);
    }
    const end = await house.finish(handle);
    await expectRolledBack(house, 'handy', end, paths);
    expect(end.refusals.map((one) => one.rule)).toEqual(['role', 'role', 'role']);
    const by = Object.fromEntries((await house.requestOf('handy')).config.removed.map((one) => [one.id, one.by]));
    expect(by).toEqual({ [first.id]: 'ben', [second.id]: 'ana', [first.path]: 'ben', [second.path]: 'ana', 'hub-handy': 'ben' });
    expect((await house.effectsOn(first, second)).toSorted()).toEqual(['delete 2', 'unpublish 2']);
  });

  it('that is at work again by the last word is found by another look, and asked about anew', async () => {
    const { first, second, paths } = await two('lazarus');
    const handle = await house.begun('lazarus');
    await house.asked(handle, workflowStep(second));
    // A no that was taken back must not come back either.
    await house.tell(handle, 'stop', { reason: 'one moment' });
    await house.tell(handle, 'confirm', { step: workflowStep(first), choice: 'delete' });
    await house.tell(handle, 'decline', { step: workflowStep(first), reason: 'rather not' });
    await house.tell(handle, 'confirm', { step: workflowStep(first), choice: 'deactivate' });
    await house.tell(handle, 'resume', { reason: 'go on' });
    const asked = await house.finish(handle, { completion: null });
    expect(asked.waiting.map((one) => one.step)).toEqual(['completion']);
    await publish(house.house, first.id);
    await eventually('it answers again', async () => (await house.answers(first.path)) === 200);
    await house.say(handle, 'confirm', { step: 'completion' });
    const state = await house.failed(handle, 'lazarus', 1);
    expect(stepsOf(state, 'failed')).toEqual([workflowStep(first), webhookStep(first)]);
    expect(await house.requestOf('lazarus')).toMatchObject({ status: 'FAILED', config: { status: 'active' } });
    await house.decide(handle, 'retry', 'all');
    const again = await house.asked(handle, workflowStep(first));
    expect(again.deprovision?.status).toBe('ROLLBACK_IN_PROGRESS');
    await expectRolledBack(house, 'lazarus', await house.finish(handle), paths);
    expect((await house.effectsOn(first, second)).filter((one) => one.endsWith('1'))).toEqual(['unpublish 1', 'unpublish 1', 'delete 1']);
    expect(await house.events('lazarus')).toEqual(['rollback-failed', 'rolled-back']);
  });

  it('is not taken back twice where the execution is terminated in the middle: approvals are kept, and the error_log says nothing twice', async () => {
    const { first, second, paths } = await two('phoenix', crm, vapi);
    const handle = await house.begun('phoenix');
    await house.confirm(handle, workflowStep(first), { choice: 'delete' });
    await house.passed(handle, workflowStep(first));
    await house.asked(handle, 'crm.hub-phoenix');
    await house.say(handle, 'decline', { step: 'crm.hub-phoenix', reason: 'the client objects' });
    await house.failed(handle, 'phoenix', 1);
    await house.decide(handle, 'skip', 'vapi.asst-phoenix');
    await house.decide(handle, 'skip', 'vapi.asst-phoenix.look');
    expect(await house.tell(handle, 'confirm', { step: workflowStep(second), choice: 'deactivate', by: 'ben' })).toMatchObject({ accepted: true });
    await handle.terminate('by mistake');
    const ran = await house.world.cli(['resume', 'upaDeprovision/production/phoenix', '--by', 'ana', '--reason', 'terminated by mistake', '--json']);
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
    const successor = house.world.client.workflow.getHandle('upaDeprovision/production/phoenix');
    const state = await house.passed(successor, workflowStep(second));
    expect(stepOf(state, workflowStep(second)).receipt).not.toBeNull();
    expect(stepOf(state, 'vapi.asst-phoenix').state).toBe('skipped');
    expect(await house.requestOf('phoenix')).toMatchObject({ status: 'ROLLBACK_IN_PROGRESS' });
    const end = await house.finish(successor);
    await expectRolledBack(house, 'phoenix', end, paths);
    expect(await house.effectsOn(first, second)).toEqual(['unpublish 1', 'delete 1', 'unpublish 2']);
    // Declined, then left out; the second is the cleanup's.
    expect(await house.events('phoenix')).toEqual(['rollback-failed', 'rollback-failed', 'rolled-back']);
    expect((await house.requestOf('phoenix')).config.removed.find((one) => one.id === second.id)).toMatchObject({ by: 'ben', how: 'deactivate' });
  });
});

describe('whatever was decided', () => {
  it('[000 Invariants 2, 4] templates, demo instances and other tenants are as they were', async () => {
    for (const path of standing) expect(await house.answers(path), path).toBe(200);
    await expectUntouched(house, 'globex', []);
  });
});
