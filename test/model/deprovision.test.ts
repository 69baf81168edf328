/** The frozen policy line by line, as far as a plan or a judge decides it: every rule of [000] has its test, which fails when the rule is deleted. */
import { assert, constantFrom, oneof, property, record, string, uniqueArray } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { deprovisionSteps, isTaken, nameOf, notRemovable, OFFBOARDED, type DeprovisionOf, type Inventoried } from '../../model/deprovision.ts';
import type { StartInput } from '../../model/input.ts';
import { forbiddenStep, type PlanStep } from '../../model/plan.ts';
import { NO_REASON, EFFECTS, POLICIES } from '../../model/policy.ts';
import { ARTIFACT_TYPES, keyOf, type Artifact, type ArtifactType, type ProvisioningRequest } from '../../model/tenant.ts';
import { NotPossible } from '../../activities/components.ts';
import { inventoryOf, requestsOf } from '../../activities/deprovision/inventory.ts';
import type { Place } from '../../activities/deprovision/place.ts';
import { draft } from '../../activities/draft.ts';
import type { Sighting } from '../../activities/tenants/platform.ts';
import { START } from './given.ts';

const one = (type: ArtifactType, id: string, more: Partial<Inventoried> = {}): Inventoried => ({ type, id, requests: ['req-1'], presence: 'present', ...more });
const [W, P, C, K, V, S] = [
  one('n8n-workflow', 'wf1', { name: 'Intake' }),
  one('webhook', 'acme/intake'),
  one('crm', 'hub-7'),
  one('calendar', 'cal-7'),
  one('vapi-assistant', 'asst-1'),
  one('credential', 'acme-hubspot'),
] as const;
const ALL = [W, P, C, K, V, S];

const planOf = (artifacts: readonly Inventoried[] = ALL, more: Partial<DeprovisionOf> = {}): PlanStep[] =>
  deprovisionSteps({ tenant: 'acme', requests: ['req-1'], artifacts, isOver: false, fourEyes: () => false, ...more });
const stepIn = (steps: readonly PlanStep[], id: string): PlanStep => {
  const found = steps.find((step) => step.id === id);
  if (!found) throw new Error(`no ${id} in ${steps.map((step) => step.id).join(', ')}`);
  return found;
};
const step = (id: string, artifacts?: readonly Inventoried[]): PlanStep => stepIn(planOf(artifacts), id);
const idsOf = (steps: readonly PlanStep[]): string[] => steps.map(({ id }) => id);
const stays = (artifacts: readonly Inventoried[]): string[] => notRemovable(artifacts).map(({ artifact }) => artifact);
const PERSON = { effect: 'tenant', owner: 'operator' };

describe('[000 When Rollback Triggers]', () => {
  const start = (more: Partial<StartInput>): Promise<unknown> => {
    const input = { ...START, components: [], targets: {}, tenant: 'acme', trigger: 'operator', cause: OFFBOARDED, by: 'ana', ...more } as const;
    const nowhere = { config: () => Promise.reject(new Error('it was looked at')) };
    return draft('upaDeprovision', input, null, nowhere as never, { signal: new AbortController().signal } as never).catch((error: unknown) =>
      error instanceof NotPossible ? `${error.rule}: ${error.message}` : String(error),
    );
  };
  it('always operator-initiated: by no machine, and not as a drill', async () => {
    for (const trigger of ['automatic', 'verification', 'drill'] as const)
      expect(await start({ trigger })).toBe(`operator-only: a deprovisioning is always started by an operator, never by ${trigger}`);
    expect(POLICIES.upaDeprovision.starters).toEqual(['operator']);
    expect(await start({})).toContain('it was looked at');
  });
  it.each(['provisioning-failed', 'post-deployment-issue', 'upgrade-regression', 'client-offboarded'])('1 to 4: %s is a reason', async (cause) => {
    expect(await start({ cause, request: 'req-1' })).toContain('it was looked at');
  });
  it('and nothing else is', async () => {
    expect(POLICIES.upaDeprovision.causes).toHaveLength(4);
    for (const cause of ['smoke-failed', 'toString', ''])
      expect(await start({ cause })).toMatch(/^not-a-trigger: .* is no reason to deprovision; the reasons are provisioning-failed/);
  });
  it.each([
    ['transient-error', /retried, not rolled back/],
    ['non-critical-configuration', /fixed in place/],
    ['bug-fix', /no reprovisioning/],
  ])('is NOT triggered by %s', async (cause, why) => {
    expect(await start({ cause })).toMatch(/^not-a-trigger: /);
    expect(await start({ cause })).toMatch(why);
    expect(NO_REASON[cause]).toMatch(why);
  });
  it('of a tenant that can be told from others, and of no component', async () => {
    for (const tenant of [null, '', 'a b', 'a/b', '-a', 'a,b', 'ä']) expect(await start({ tenant })).toMatch(/^tenant: /);
    expect(await start({ components: ['web'] })).toMatch(/^tenant: .*leave out web/);
  });
  const request = (requestId: string, status: ProvisioningRequest['status'] = 'COMPLETED'): ProvisioningRequest => ({
    requestId,
    tenant: 'acme',
    version: null,
    status,
    rollbackId: null,
    cleanup: null,
    config: { status: 'active', artifacts: [], removed: [], rollback: null },
  });
  it('1 to 3 concern one request, 4 all of the tenant that are not ROLLED_BACK', () => {
    const all = [request('a'), request('b', 'FAILED'), request('c', 'ROLLED_BACK')];
    const ids = (cause: string, named?: string): string[] =>
      requestsOf(all, { tenant: 'acme', environment: 'production', cause, ...(named === undefined ? {} : { request: named }) }).map(
        ({ requestId }) => requestId,
      );
    expect(ids(OFFBOARDED)).toEqual(['a', 'b']);
    expect(ids('upgrade-regression', 'b')).toEqual(['b']);
    expect(ids('upgrade-regression', 'c')).toEqual([]);
    expect(() => ids('upgrade-regression')).toThrow(/concerns one provisioning request/);
    expect(() => ids('upgrade-regression', 'd')).toThrow(/has no provisioning request "d"/);
    expect(() => ids(OFFBOARDED, 'a')).toThrow(/leave the request out/);
    expect(() => requestsOf([], { tenant: 'acme', environment: 'production', cause: OFFBOARDED })).toThrow(/no provisioning request of "acme"/);
  });
});

describe('[000 What CAN Be Rolled Back]', () => {
  it('Cloned n8n workflows: deactivated or deleted, each by its own choice of an operator', () => {
    const second = one('n8n-workflow', 'wf2');
    for (const { id } of [W, second])
      expect(step(`workflow.${id}`, [W, second])).toMatchObject({
        ...PERSON,
        mode: 'automatic',
        operation: 'remove',
        approval: true,
        removal: true,
        subject: `n8n-workflow ${id}`,
        demands: { choices: ['deactivate', 'delete', 'done'] },
      });
    expect(step('workflow.wf1').mandatory).toBeUndefined();
  });
  it('Webhook paths: taken out of the configuration once their workflows are dealt with', () => {
    expect(step('webhook.acme/intake')).toMatchObject({
      ...PERSON,
      mode: 'automatic',
      operation: 'release',
      approval: true,
      removal: true,
      after: 'workflow.',
    });
  });
  it('Webhook paths: an operator verifies that no route lingers, with the probes in front of him', () => {
    expect(step('routes')).toMatchObject({ owner: 'operator', mode: 'manual', attests: 'seen', after: 'webhook.', removal: true });
    expect(step('routes').title).toContain('acme/intake');
    expect(idsOf(planOf([W]))).not.toContain('routes');
    expect(idsOf(planOf([one('webhook', 'acme/kept', { kept: 'of another' })]))).not.toContain('routes');
  });
  it.each([
    ['CRM configuration', C],
    ['Calendar configuration', K],
  ])('%s: disconnected on an operator’s word, who then answers for the credentials', (_, artifact) => {
    const id = `${artifact.type}.${artifact.id}`;
    expect(step(id)).toMatchObject({ ...PERSON, mode: 'automatic', operation: 'release', approval: true, removal: true });
    expect(step(`${id}.credentials`)).toMatchObject({ ...PERSON, mode: 'manual', attests: 'done', after: id, demands: { note: true } });
    // Credentials are the operator's: that they are not cleaned up is no failed removal.
    expect(step(`${id}.credentials`).removal).toBeUndefined();
    expect(step(`${id}.credentials`).operation).toBeUndefined();
  });
  it('Provisioning request state: to ROLLED_BACK by Backout, after the operator’s final word', () => {
    const ids = idsOf(planOf());
    expect(step('complete')).toMatchObject({ ...PERSON, mode: 'automatic', operation: 'complete', mandatory: true });
    expect(step('completion')).toMatchObject({ owner: 'operator', mode: 'manual', attests: 'seen', mandatory: true });
    expect(ids.indexOf('completion')).toBe(ids.indexOf('complete') - 1);
    expect(step('complete').title).toContain('req-1 ROLLED_BACK');
  });
  it('Tenant configuration object: deprovisioned at the very end, when everything was looked at', () => {
    const ids = idsOf(planOf());
    expect(ids.slice(-3)).toEqual(['remnants', 'completion', 'complete']);
    expect(step('remnants')).toMatchObject({ mode: 'gate', operation: 'remnants', mandatory: true, removal: true });
    expect(step('complete').title).toContain('acme is deprovisioned');
  });
  it('Error log entries: preserved, whatever there is', () => {
    expect(stays([])).toEqual(['audit log entries']);
    expect(planOf().filter(({ operation }) => operation === 'fail' || operation === 'complete')).toHaveLength(2);
  });
});

describe('[000 What CANNOT Be Rolled Back]', () => {
  const operationsOn = (artifact: Inventoried): unknown[] =>
    planOf().flatMap(({ subject, operation, approval, mode }) => (subject === keyOf(artifact) ? [[mode, operation, approval]] : []));
  it('VAPI assistant instance: a person’s to delete in its dashboard; Backout only looks', () => {
    expect(operationsOn(V)).toEqual([
      ['manual', undefined, undefined],
      ['automatic', 'look', undefined],
    ]);
    expect(step('vapi.asst-1')).toMatchObject({ ...PERSON, attests: 'done', removal: true, demands: { note: true } });
    expect(step('vapi.asst-1').title).toContain('VAPI dashboard');
    expect(step('vapi.asst-1', [one('vapi-assistant', 'asst-1', { link: 'https://dash/asst-1' })]).title).toContain('VAPI dashboard: https://dash/asst-1');
    expect(step('vapi.asst-1.look')).toMatchObject({ after: 'vapi.asst-1', removal: true });
  });
  it('External CRM records: named as the client’s, and no type of artifact', () => {
    expect(notRemovable([C])).toContainEqual({
      artifact: 'external CRM records',
      reason: expect.stringContaining('cannot be recalled') as string,
      owner: 'client',
    });
    expect(stays([W, K])).not.toContain('external CRM records');
    expect(ARTIFACT_TYPES).toEqual(['n8n-workflow', 'webhook', 'crm', 'calendar', 'vapi-assistant', 'credential']);
  });
  it('Calendar events: named as the client’s', () => {
    expect(notRemovable([K])).toContainEqual({
      artifact: 'calendar events',
      reason: expect.stringContaining('belong to the client') as string,
      owner: 'client',
    });
    expect(stays([W, C])).not.toContain('calendar events');
  });
  it('Audit log entries: a rollback does not erase history', () => {
    expect(notRemovable(ALL).at(-1)).toMatchObject({ artifact: 'audit log entries', owner: 'operator' });
    expect(EFFECTS.filter((effect) => POLICIES.upaDeprovision.effects.has(effect))).toEqual(['read', 'notify', 'record', 'tenant']);
  });
  it('Credentials: neither created nor deleted, the operator’s to clean up', () => {
    expect(operationsOn(S)).toEqual([['manual', undefined, undefined]]);
    expect(step('credential.acme-hubspot').irreversible).toContain('neither creates nor deletes credentials');
    expect(notRemovable([S])[0]).toMatchObject({ artifact: 'credential acme-hubspot', owner: 'operator' });
  });
  it('Provisioning request object: no step deletes it', () => {
    const all = new Set(planOf().flatMap(({ operation }) => operation ?? []));
    expect([...all].toSorted()).toEqual(['begin', 'complete', 'fail', 'inventory', 'look', 'release', 'remnants', 'remove']);
  });

  const sighting = (guarded: string | null): Sighting => ({ presence: 'present', guarded, detail: 'it is there', facts: {} });
  /** A platform on which some are guarded, and some carry the mark. */
  function place(
    guarded: Readonly<Record<string, string>>,
    marked: readonly Artifact[] = [],
    also: readonly { artifact: Artifact; tenant: string; requestId: string }[] = [],
  ): Place {
    const platform = {
      name: 'paper',
      types: ARTIFACT_TYPES,
      actions: {},
      inspect: ({ artifact }: { artifact: Artifact }) => Promise.resolve(sighting(guarded[artifact.id] ?? null)),
      marked: () => Promise.resolve(marked),
      protected: () => Promise.resolve({}),
    };
    const call = { heartbeat: () => undefined };
    const store = { alsoListed: () => Promise.resolve(also), requests: () => Promise.resolve([]) };
    return { environment: 'production', tenant: 'acme', store, storeCall: {}, platforms: [{ name: 'paper', platform, call }] } as unknown as Place;
  }
  const listing = (...artifacts: readonly Artifact[]): ProvisioningRequest => ({
    requestId: 'req-1',
    tenant: 'acme',
    version: null,
    status: 'COMPLETED',
    rollbackId: null,
    cleanup: null,
    config: { status: 'active', artifacts, removed: [], rollback: null },
  });
  const bare = ({ type, id }: Artifact): Artifact => ({ type, id });
  it.each([
    ['Template workflows: refused where a Canonical Object lists one', 'it is a template'],
    ['Demo instances: refused where a Canonical Object lists one', 'it is a demo instance'],
  ])('%s', async (_, why) => {
    const request = listing(bare(W), bare(P));
    await expect(inventoryOf(place({ wf1: why }), [request], [request])).rejects.toThrow(`n8n workflow wf1: ${why}`);
    await expect(inventoryOf(place({ wf1: why }), [request], [request])).rejects.toMatchObject({ rule: 'protected' });
    const { artifacts } = await inventoryOf(place({}), [request], [request]);
    expect(artifacts.map(keyOf)).toEqual([keyOf(W), keyOf(P)]);
  });
  it('[000 Invariants 4] another tenant’s: refused where another Canonical Object lists it, and left out where only a mark is shared', async () => {
    const request = listing(bare(W));
    const theirs = [{ artifact: bare(W), tenant: 'globex', requestId: 'req-9' }];
    await expect(inventoryOf(place({}, [], theirs), [request], [request])).rejects.toThrow('listed by request req-9 of another tenant, globex');
    const { artifacts, warnings } = await inventoryOf(place({ stray: 'it is a template' }, [{ type: 'n8n-workflow', id: 'stray' }]), [request], [request]);
    expect(artifacts.map(keyOf)).toEqual([keyOf(W)]);
    expect(warnings).toEqual(['n8n workflow stray is left alone: it is a template']);
  });
  it('what another live request of the tenant lists is kept, and said to be', async () => {
    const request = listing(bare(W), bare(C));
    const { artifacts } = await inventoryOf(place({}, [], [{ artifact: bare(W), tenant: 'acme', requestId: 'req-2' }]), [request], [request]);
    const [kept, taken] = artifacts;
    if (!kept || !taken) throw new Error('nothing');
    expect([isTaken(kept), isTaken(taken)]).toEqual([false, true]);
    expect(idsOf(planOf(artifacts)).filter((id) => /^(workflow|crm)/.test(id))).toEqual(['crm.hub-7', 'crm.hub-7.credentials']);
    expect(notRemovable(artifacts)).toContainEqual({
      artifact: 'n8n workflow wf1',
      reason: expect.stringContaining('request req-2') as string,
      owner: 'operator',
    });
  });
});

describe('[000 Rollback Procedure]', () => {
  const ids = idsOf(planOf());
  it('1: ROLLBACK_IN_PROGRESS comes before any change, and after the operator has confirmed what there is', () => {
    expect(ids.slice(0, 3)).toEqual(['identify', 'inventory', 'begin']);
    expect(planOf().findIndex(({ effect }) => effect === 'tenant')).toBe(ids.indexOf('begin'));
    expect(step('begin')).toMatchObject({ mode: 'automatic', operation: 'begin', mandatory: true });
    expect(step('begin').title).toContain('ROLLBACK_IN_PROGRESS');
  });
  it('2: identified from the Canonical Object, and confirmed with the very plan', () => {
    expect(step('identify')).toMatchObject({ mode: 'automatic', effect: 'read', operation: 'inventory', mandatory: true });
    expect(step('inventory')).toMatchObject({ mode: 'manual', effect: 'read', owner: 'operator', attests: 'seen', mandatory: true, demands: { plan: true } });
  });
  it('2: what carries the mark and is listed nowhere is only a person’s to remove', () => {
    const stray = one('n8n-workflow', 'stray', { requests: [] });
    const steps = planOf([stray, one('webhook', 'acme/stray', { requests: [] })]);
    expect(stepIn(steps, 'unlisted.workflow.stray')).toMatchObject({
      ...PERSON,
      mode: 'manual',
      attests: 'done',
      mandatory: true,
      demands: { choices: ['removed', 'not-ours'], note: 'not-ours' },
    });
    expect(steps.filter(({ subject, operation }) => subject !== undefined && operation !== undefined)).toEqual([]);
    expect(idsOf(steps).filter((id) => id.includes('webhook'))).toEqual([]);
  });
  it('3 to 6: one question an artifact, in any order, each acting only on its own word', () => {
    const wave = planOf().filter(({ wave: number }) => number === 1);
    expect(wave.map(({ id }) => id)).toEqual([
      'workflow.wf1',
      'crm.hub-7',
      'calendar.cal-7',
      'vapi.asst-1',
      'credential.acme-hubspot',
      'webhook.acme/intake',
      'vapi.asst-1.look',
      'crm.hub-7.credentials',
      'calendar.cal-7.credentials',
      'routes',
    ]);
    const acting = wave.filter(({ operation }) => operation !== undefined && operation !== 'look');
    for (const { approval, mode, id } of acting) expect([id, mode, approval]).toEqual([id, 'automatic', true]);
  });
  it('2: what is listed and cannot be seen is said to be gone by a person, and never passed over', () => {
    for (const artifact of [W, P, C, V]) {
      const steps = planOf([{ ...artifact, presence: 'absent' }]);
      const own = steps.filter(({ subject }) => subject === keyOf(artifact));
      expect(own.every(({ approval, mode }) => approval === true || mode === 'manual')).toBe(true);
      expect(own[0]?.title).toMatch(artifact.type === 'webhook' ? /until no route answers/ : /is listed and cannot be seen: say that it is gone/);
    }
    expect(idsOf(planOf([{ ...V, presence: 'absent' }]))).not.toContain('vapi.asst-1.look');
    expect(stepIn(planOf([{ ...S, presence: 'absent' }]), 'credential.acme-hubspot').irreversible).toBeDefined();
  });
  it('7, 8: the last word is the operator’s, then deprovisioned and ROLLED_BACK', () => {
    expect(ids.slice(-2)).toEqual(['completion', 'complete']);
  });
  it('9: what cannot be removed goes into the log with its reason and its owner', () => {
    for (const { reason, owner } of notRemovable(ALL))
      expect([reason, owner]).toEqual([expect.stringMatching(/\S{3}/) as string, expect.stringMatching(/^(operator|client)$/) as string]);
    expect(stays(ALL)).toEqual(['credential acme-hubspot', 'external CRM records', 'calendar events', 'audit log entries']);
  });
  it('of what is over already nothing is asked and nothing changed: it is looked at', () => {
    const over = planOf([], { isOver: true });
    expect(over.map(({ id, mode, effect }) => [id, mode, effect])).toEqual([
      ['identify', 'automatic', 'read'],
      ['remnants', 'gate', 'read'],
    ]);
  });
});

describe('[000 Rollback Failure]', () => {
  it('1, 2: FAILED and the error_log, only after a failure, and never left out', () => {
    expect(step('failure')).toMatchObject({ ...PERSON, mode: 'automatic', operation: 'fail', afterFailure: true, mandatory: true });
  });
  it('1: a removal that fails is one; credentials, inventory, cleanup and completion are none', () => {
    const removals = idsOf(planOf().filter(({ removal }) => removal === true));
    expect(removals).toEqual(['workflow.wf1', 'crm.hub-7', 'calendar.cal-7', 'vapi.asst-1', 'webhook.acme/intake', 'vapi.asst-1.look', 'routes', 'remnants']);
  });
  it('3, 4: the manual cleanup is confirmed by the operator, in his words, before everything is looked at', () => {
    const ids = idsOf(planOf());
    expect(step('cleanup')).toMatchObject({ ...PERSON, mode: 'manual', attests: 'seen', afterFailure: true, mandatory: true, demands: { note: true } });
    expect(ids.indexOf('cleanup')).toBeLessThan(ids.indexOf('remnants'));
  });
  it('partial is explicitly allowed: every artifact may be left, and nothing else', () => {
    expect(POLICIES.upaDeprovision.partialEnd).toBe(true);
    const mandatory = idsOf(planOf().filter((one_) => one_.mandatory === true));
    expect(mandatory).toEqual(['identify', 'inventory', 'begin', 'failure', 'cleanup', 'remnants', 'completion', 'complete']);
  });
});

describe('[000 Invariants]', () => {
  it('1: a request ends; it is never deleted', () => {
    expect(planOf().at(-1)).toMatchObject({ operation: 'complete' });
  });
  it('2, 4: a plan has only effects on the tenant, and each only on an artifact of the plan', () => {
    expect(forbiddenStep('upaDeprovision', planOf())).toBeUndefined();
    expect(planOf().filter(({ subject, wave, id }) => (wave === 1 && id !== 'routes') !== ALL.some((artifact) => keyOf(artifact) === subject))).toEqual([]);
    for (const effect of ['deploy', 'config', 'schema', 'data', 'evidence', 'credential'] as const)
      expect(forbiddenStep('upaDeprovision', [{ id: 'x', title: 'x', mode: 'automatic', effect, owner: null }])?.id).toBe('x');
  });
  it('5: every person’s step is an operator’s', () => {
    const asked = planOf().filter(({ mode, approval }) => mode === 'manual' || approval === true);
    expect(new Set(asked.map(({ owner }) => owner))).toEqual(new Set(['operator']));
  });
});

describe('the steps of a plan', () => {
  const ids = oneof(
    string({ minLength: 1, unit: 'binary' }),
    constantFrom(
      'a',
      'a.look',
      'a.credentials',
      'number-1',
      'number-2',
      'number-3',
      'a.look.look',
      'look',
      '.look',
      'acme/intake',
      '__proto__',
      'x'.repeat(300),
    ),
  );
  const artifacts = uniqueArray(
    record({
      type: constantFrom(...ARTIFACT_TYPES),
      id: ids,
      requests: constantFrom<readonly string[]>([], ['req-1'], ['req-1', 'req-2']),
      presence: constantFrom('present' as const, 'inactive' as const, 'absent' as const, 'unknown' as const),
    }),
    { selector: keyOf, maxLength: 12 },
  );
  it('have ids of their own that a command line can carry, whatever the platforms call things', () => {
    assert(
      property(artifacts, (given) => {
        const all = idsOf(planOf(given));
        expect(new Set(all).size).toBe(all.length);
        for (const id of all) expect(id).toMatch(/^[\w./:@+-]{1,200}$/);
      }),
      { numRuns: 300 },
    );
  });
  it('name an odd id by its number, and the id itself in words', () => {
    const odd = one('webhook', 'acme intake; rm -rf', {});
    expect(step('webhook.number-2', [W, odd]).title).toContain('acme intake; rm -rf');
    expect(step('vapi.number-1', [one('vapi-assistant', 'a.look')])).toBeDefined();
  });
  it('leave every artifact that is listed with a step of its own, or among what stays', () => {
    assert(
      property(artifacts, (given) => {
        const subjects = new Set(planOf(given).map(({ subject }) => subject));
        for (const artifact of given) {
          const isSaid = subjects.has(keyOf(artifact)) || stays(given).includes(nameOf(artifact));
          expect(isSaid || (artifact.type === 'webhook' && artifact.requests.length === 0)).toBe(true);
        }
      }),
    );
  });
});
