/**
 * The contract of activities/provisioning/provisioning.ts, for every store alike. A store's test says how to set one up (a real one, or a fake that
 * is a process of its own) and adds only its peculiarities.
 */
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { Changed, ProvisioningStore, RequestCall } from '../../activities/provisioning/provisioning.ts';
import type { Artifact, LogEntry, ProvisioningRequest, RequestStatus } from '../../model/tenant.ts';
import { rejection } from '../adapters/contract.ts';
import { expectFit, laxness, Overheard } from '../support/overheard.ts';

export interface Seed {
  readonly requestId: string;
  readonly tenant: string;
  readonly status: 'COMPLETED' | 'FAILED';
  readonly artifacts: readonly Artifact[];
  readonly environment?: string;
  readonly version?: string;
}

export interface Fixture<Options> {
  readonly store: ProvisioningStore<Options>;
  /** Valid options as a user writes them in `backout.yaml`. */
  readonly rawOptions: Readonly<Record<string, unknown>>;
  /** A call for tenant `acme` in an environment with nothing in it; its secret holds `canary`. The same rollback each time, and a new operation. */
  readonly call: (overrides?: Partial<RequestCall<Options>>) => RequestCall<Options>;
  /** What the house's provisioning does, by other means than the store's own. */
  readonly provision: (seed: Seed) => Promise<void>;
  /** All that a change of any kind would show in. */
  readonly snapshot: () => Promise<unknown>;
  /** A call whose store cannot be reached. */
  readonly away: () => RequestCall<Options>;
  /** A call whose write takes effect, or does not, and whose answer is lost. */
  readonly lossy: (takesEffect: boolean) => Promise<RequestCall<Options>>;
  readonly canary: string;
  readonly teardown: () => Promise<void>;
}

export interface Contract<Options> {
  readonly name: string;
  readonly setup: () => Promise<Fixture<Options>>;
}

export const WORKFLOW: Artifact = { type: 'n8n-workflow', id: 'x7Kq2', name: 'Acme intake 😀' };
export const WEBHOOK: Artifact = { type: 'webhook', id: 'acme/intake', platform: 'n8n' };
const ASSISTANT: Artifact = { type: 'vapi-assistant', id: '5f0c' };
const AT = '2026-11-21T10:00:00.000Z';

export const entry = (overrides: Partial<LogEntry> = {}): LogEntry => ({
  at: AT,
  event: 'rolled-back',
  by: 'ana',
  reason: 'client offboarded',
  removed: ['n8n-workflow x7Kq2'],
  notRemovable: [{ artifact: 'credential smtp', reason: 'credentials are operator-managed', owner: 'ben' }],
  detail: null,
  ...overrides,
});
const failure = entry({ event: 'rollback-failed', detail: 'n8n answered 500', removed: [] });

/** Keeps all that leaves the store, so that each test ends with the same questions about it. */
function watched<Options>(store: ProvisioningStore<Options>, heard: Overheard): ProvisioningStore<Options> {
  return {
    name: store.name,
    options: store.options,
    limits: store.limits,
    requests: (call) => heard.keep(store.requests(call)),
    alsoListed: (call, artifacts, except) => heard.keep(store.alsoListed(call, artifacts, except)),
    begin: (call) => heard.keep(store.begin(call)),
    release: (call, artifact, how) => heard.keep(store.release(call, artifact, how)),
    fail: (call, entry) => heard.keep(store.fail(call, entry)),
    confirmCleanup: (call) => heard.keep(store.confirmCleanup(call)),
    complete: (call, entry, left) => heard.keep(store.complete(call, entry, left)),
    log: (call) => heard.keep(store.log(call)),
  };
}

export function provisioningContract<Options>({ name, setup }: Contract<Options>): void {
  describe(`contract: ${name}`, () => {
    let fixture: Fixture<Options>;
    let store: ProvisioningStore<Options>;
    let heard: Overheard;
    let one = '';
    let two = '';

    beforeEach(async () => {
      heard = Overheard.listening();
      fixture = await setup();
      store = watched(fixture.store, heard);
      [one, two] = [`one-${randomUUID()}`, `two-${randomUUID()}`];
      await fixture.provision({ requestId: one, tenant: 'acme', version: '1.4.0', status: 'COMPLETED', artifacts: [WORKFLOW, WEBHOOK] });
      await fixture.provision({ requestId: two, tenant: 'acme', status: 'FAILED', artifacts: [WEBHOOK] });
    });

    afterEach(async () => {
      vi.restoreAllMocks();
      await fixture.teardown();
      expectFit(heard, fixture.canary);
    });

    const call = (overrides: Partial<RequestCall<Options>> = {}): RequestCall<Options> => fixture.call({ requests: [one, two], ...overrides });
    const all = (): Promise<readonly ProvisioningRequest[]> => store.requests(call());
    const statuses = async (): Promise<RequestStatus[]> => (await all()).map((request) => request.status);
    const config = async (requestId: string) => (await all()).find((request) => request.requestId === requestId)?.config;
    /** The two requests, emptied and under the rollback. */
    const emptied = async (): Promise<void> => {
      await store.begin(call());
      for (const artifact of [WORKFLOW, WEBHOOK]) await store.release(call(), artifact, 'delete');
    };
    const writers: readonly (readonly [string, (from: RequestCall<Options>) => Promise<Changed>])[] = [
      ['begin', (from) => store.begin(from)],
      ['release', (from) => store.release(from, WEBHOOK, 'remove')],
      ['fail', (from) => store.fail(from, failure)],
      ['confirmCleanup', (from) => store.confirmCleanup(from)],
      ['complete', (from) => store.complete(from, entry(), [WORKFLOW, WEBHOOK])],
    ];
    /** Every state in which this writer has something to write. */
    const ready: Readonly<Record<string, () => Promise<unknown>>> = {
      begin: async () => undefined,
      release: () => store.begin(call()),
      fail: () => store.begin(call()),
      confirmCleanup: async () => {
        await store.begin(call());
        await store.fail(call(), failure);
      },
      complete: () => store.begin(call()),
    };

    it('says what it is and what it cannot guarantee', () => {
      expect(store.name).toBe(name);
      expect(name).toMatch(/^[a-z0-9-]+$/);
      expect(store.limits.every((limit) => /^[A-Z].*\.$/s.test(limit))).toBe(true);
    });

    it('options are strict: valid ones pass, an unknown one is an error that names its place', () => {
      expect(laxness(store.options, fixture.rawOptions)).toEqual([]);
    });

    it('requests are every one of this tenant in this environment, oldest first, and reading changes nothing', async () => {
      const before = await fixture.snapshot();
      const active = { status: 'active', removed: [], rollback: null } as const;
      const untouched = { tenant: 'acme', rollbackId: null, cleanup: null };
      expect(await all()).toEqual([
        { ...untouched, requestId: one, version: '1.4.0', status: 'COMPLETED', config: { ...active, artifacts: [WORKFLOW, WEBHOOK] } },
        { ...untouched, requestId: two, version: null, status: 'FAILED', config: { ...active, artifacts: [WEBHOOK] } },
      ]);
      expect(await store.log(call())).toEqual([]);
      await store.alsoListed(call(), [WORKFLOW], []);
      expect(await fixture.snapshot()).toStrictEqual(before);
    });

    const LOOKALIKES = ['Acme', 'ACME', 'acme ', ' acme', 'acme\u200B', 'acm', 'acme2', 'аcme', 'acme\u0000', '\ud800acme', '%', 'acm_', '', "acme' OR ''='"];
    it('a tenant is this very one: a look-alike has nothing, and nothing of it is found', async () => {
      for (const tenant of LOOKALIKES) expect(await store.requests(call({ tenant })), JSON.stringify(tenant)).toEqual([]);
      expect(await store.requests(call({ environment: `${call().environment} ` }))).toEqual([]);
      for (const [tenant, other] of [
        ['caf\u00e9', 'cafe\u0301'],
        ['a\ufffdb', 'a\u0000b'],
        ['a\ufffdc', 'a\ud800c'],
      ] as const) {
        await fixture.provision({ requestId: randomUUID(), tenant, status: 'COMPLETED', artifacts: [] });
        expect(await store.requests(call({ tenant }))).toMatchObject([{ tenant }]);
        expect(await store.requests(call({ tenant: other })), JSON.stringify(other)).toEqual([]);
        expect(await store.log(call({ tenant: other }))).toEqual([]);
      }
    });

    it('alsoListed names other tenants, and requests of this one beside those that are excepted and not ROLLED_BACK', async () => {
      const { tenant, environment } = call();
      const foreign = {
        requestId: `foreign-${randomUUID()}`,
        tenant: 'Acme',
        status: 'FAILED',
        artifacts: [ASSISTANT, { ...WEBHOOK, name: 'theirs' }],
      } as const;
      await fixture.provision(foreign);
      // Another environment, another type with the same id, an id that is nearly the same: nobody's business.
      await fixture.provision({ ...foreign, requestId: randomUUID(), environment: `${environment}-2` });
      const near: Artifact[] = [
        { type: 'n8n-workflow', id: WEBHOOK.id },
        { type: 'webhook', id: `${WEBHOOK.id}-2` },
      ];
      await fixture.provision({ ...foreign, requestId: randomUUID(), artifacts: near });
      const theirs = { artifact: WEBHOOK, tenant: 'Acme', requestId: foreign.requestId };
      expect(await store.alsoListed(call(), [WORKFLOW, WEBHOOK], [one, two])).toEqual([theirs]);
      expect(await store.alsoListed(call(), [WEBHOOK, WORKFLOW], [two])).toEqual([
        theirs,
        { artifact: WEBHOOK, tenant, requestId: one },
        { artifact: WORKFLOW, tenant, requestId: one },
      ]);
      // Slashes around a path make no other route of it.
      const slashed = { type: 'webhook', id: `/${WEBHOOK.id}/` } as const;
      expect(await store.alsoListed(call(), [slashed], [one, two])).toEqual([{ ...theirs, artifact: slashed }]);
      expect(await store.alsoListed(call(), [], [])).toEqual([]);
      expect(await store.alsoListed(call(), [{ type: 'webhook', id: '\u0000' }], [])).toEqual([]);
      const both = call({ requests: [one] });
      await store.begin(both);
      await store.complete(call({ requests: [one] }), entry(), [WORKFLOW, WEBHOOK]);
      expect(await store.alsoListed(call(), [WORKFLOW, WEBHOOK], [two])).toEqual([theirs]);
    });

    it('begin takes COMPLETED and FAILED to ROLLBACK_IN_PROGRESS', async () => {
      expect(await store.begin(call())).toEqual({ already: false });
      expect(await all()).toMatchObject(
        [one, two].map((requestId) => ({ requestId, status: 'ROLLBACK_IN_PROGRESS', rollbackId: call().rollbackId, cleanup: null })),
      );
      expect(await store.begin(call())).toEqual({ already: true });
    });

    it('begin goes on under this rollback with what an earlier one began', async () => {
      const rollbackId = randomUUID();
      await store.begin(call({ requests: [one] }));
      expect(await store.begin(call({ rollbackId }))).toEqual({ already: false });
      expect(await all()).toMatchObject([{ rollbackId }, { rollbackId }]);
      // The earlier one has lost them.
      for (const [, write] of writers.slice(1)) expect((await rejection(write(call()))).kind).toBe('conflict');
    });

    it('begin is for all or for none: a request that is ROLLED_BACK stays so', async () => {
      await store.begin(call({ requests: [one] }));
      await store.complete(call({ requests: [one] }), entry(), [WORKFLOW, WEBHOOK]);
      const before = await fixture.snapshot();
      expect((await rejection(store.begin(call()))).kind).toBe('conflict');
      expect(await fixture.snapshot()).toStrictEqual(before);
    });

    it.each(writers)('%s refuses requests of others and such as are not there, and changes none', async (action, write) => {
      await ready[action]?.();
      const foreign = { requestId: `a-${randomUUID()}`, tenant: 'acme ', status: 'COMPLETED', artifacts: [WEBHOOK] } as const;
      const elsewhere = { ...foreign, requestId: `b-${randomUUID()}`, tenant: 'acme', environment: 'elsewhere' };
      await fixture.provision(foreign);
      await fixture.provision(elsewhere);
      const before = await fixture.snapshot();
      for (const { requestId } of [foreign, elsewhere])
        for (const requests of [[requestId], [one, requestId, two]]) expect((await rejection(write(call({ requests })))).kind).toBe('protected');
      expect((await rejection(write(call({ tenant: 'Acme' })))).kind).toBe('protected');
      for (const requests of [[one, 'nothing'], ['one'], [`${one}\u0000`], []]) expect((await rejection(write(call({ requests })))).kind).toBe('not-found');
      expect(await fixture.snapshot()).toStrictEqual(before);
    });

    it.each(writers)('%s under the same operation is done once, however often and late it comes', async (action, write) => {
      await ready[action]?.();
      const same = call();
      const answers = await Promise.all(Array.from({ length: 4 }, () => write(same)));
      expect(answers.filter(({ already }) => !already)).toHaveLength(1);
      const before = await fixture.snapshot();
      expect(await write(same)).toEqual({ already: true });
      expect(await fixture.snapshot()).toStrictEqual(before);
    });

    it('begin that comes late does not begin again what has failed since', async () => {
      const begun = call();
      await store.begin(begun);
      await store.fail(call(), failure);
      expect(await store.begin(begun)).toEqual({ already: true });
      expect(await statuses()).toEqual(['FAILED', 'FAILED']);
    });

    it('an operation that was done for other requests is a conflict, and for another artifact it is another', async () => {
      const { operationId } = call();
      await store.begin(call({ requests: [one], operationId }));
      expect((await rejection(store.begin(call({ operationId })))).kind).toBe('conflict');
      await store.begin(call());
      for (const artifact of [WORKFLOW, WEBHOOK]) expect(await store.release(call({ operationId }), artifact, 'delete')).toEqual({ already: false });
    });

    it.each(writers)('%s by four at once leaves one change', async (action, write) => {
      await ready[action]?.();
      const outcomes = await Promise.allSettled(Array.from({ length: 4 }, () => write(call())));
      const done = outcomes.filter((outcome) => outcome.status === 'fulfilled' && !outcome.value.already);
      // A further failure is a further entry; everything else has been done by then.
      expect(done).toHaveLength(action === 'fail' ? 4 : 1);
      expect(outcomes.every((outcome) => outcome.status === 'fulfilled')).toBe(true);
      expect(new Set(await statuses()).size).toBe(1);
    });

    it('release takes the artifact out of every request that lists it, and keeps it as it was listed', async () => {
      await store.begin(call());
      expect(await store.release(call(), { type: 'webhook', id: WEBHOOK.id, name: 'another' }, 'remove')).toEqual({ already: false });
      const removed = [{ ...WEBHOOK, at: call().at, by: call().by, rollbackId: call().rollbackId, how: 'remove' }];
      expect(await config(one)).toMatchObject({ status: 'active', artifacts: [WORKFLOW], removed });
      expect(await config(two)).toMatchObject({ status: 'active', artifacts: [], removed });
      expect(await store.release(call({ by: 'ben' }), WEBHOOK, 'done')).toEqual({ already: true });
      expect(await store.release(call(), ASSISTANT, 'done')).toEqual({ already: true });
      expect(await config(two)).toMatchObject({ removed });
    });

    it('release of two artifacts at once loses neither', async () => {
      await store.begin(call());
      await Promise.all([store.release(call(), WORKFLOW, 'delete'), store.release(call(), WEBHOOK, 'remove')]);
      expect(await config(one)).toMatchObject({
        artifacts: [],
        removed: expect.arrayContaining([WORKFLOW, WEBHOOK].map((each) => expect.objectContaining(each) as unknown)) as unknown,
      });
    });

    it('release is for this rollback alone, while it is in progress or FAILED', async () => {
      const before = await fixture.snapshot();
      expect((await rejection(store.release(call(), WORKFLOW, 'delete'))).kind).toBe('conflict');
      expect(await fixture.snapshot()).toStrictEqual(before);
      await store.begin(call());
      expect((await rejection(store.release(call({ rollbackId: randomUUID() }), WORKFLOW, 'delete'))).kind).toBe('conflict');
      await store.fail(call(), failure);
      expect(await store.release(call(), WORKFLOW, 'done')).toEqual({ already: false });
    });

    it('fail writes FAILED and the entry; of what is FAILED already, the entry alone', async () => {
      expect((await rejection(store.fail(call(), failure))).kind).toBe('conflict');
      await store.begin(call());
      expect(await store.fail(call(), failure)).toEqual({ already: false });
      expect(await statuses()).toEqual(['FAILED', 'FAILED']);
      const second = { ...failure, detail: 'and again \u{1F4A5}', by: 'ben' };
      expect(await store.fail(call(), second)).toEqual({ already: false });
      expect(await statuses()).toEqual(['FAILED', 'FAILED']);
      expect(await store.log(call())).toEqual([failure, second]);
    });

    it('what is written with an entry is written with it or not at all', async () => {
      await emptied();
      const before = await fixture.snapshot();
      await rejection(store.fail(call(), { ...failure, at: 'never' }));
      await rejection(store.complete(call(), entry({ at: 'never' }), []));
      expect(await fixture.snapshot()).toStrictEqual(before);
    });

    it('confirmCleanup is of requests that are FAILED under this rollback', async () => {
      const cleaning = call({ by: 'ben', at: '2026-11-22T08:00:00.000Z' });
      // `two` is FAILED, but no rollback of it has failed.
      for (const requests of [[one], [two]]) expect((await rejection(store.confirmCleanup(call({ requests })))).kind).toBe('conflict');
      await store.begin(call());
      expect((await rejection(store.confirmCleanup(call()))).kind).toBe('conflict');
      await store.fail(call(), failure);
      expect((await rejection(store.confirmCleanup(call({ rollbackId: randomUUID() })))).kind).toBe('conflict');
      expect(await store.confirmCleanup(cleaning)).toEqual({ already: false });
      const cleanup = { by: 'ben', at: cleaning.at };
      expect(await all()).toMatchObject([{ status: 'FAILED', cleanup }, { cleanup }]);
      expect(await store.confirmCleanup(call())).toEqual({ already: true });
      expect(await all()).toMatchObject([{ cleanup }, { cleanup }]);
      // A further attempt needs a confirmation of its own.
      await store.begin(call({ rollbackId: randomUUID() }));
      expect(await all()).toMatchObject([{ cleanup: null }, { cleanup: null }]);
    });

    it('complete writes deprovisioned with who and when, ROLLED_BACK, and the entry', async () => {
      await emptied();
      const ending = call({ by: 'carol', at: '2026-11-23T09:30:00.123Z' });
      expect(await store.complete(ending, entry(), [])).toEqual({ already: false });
      const rollback = { at: ending.at, by: 'carol', rollbackId: ending.rollbackId, reason: 'client offboarded' };
      expect(await all()).toMatchObject(
        [one, two].map((requestId) => ({ requestId, status: 'ROLLED_BACK', config: { status: 'deprovisioned', artifacts: [], rollback } })),
      );
      expect(await store.log(call())).toEqual([entry()]);
      expect(await store.complete(call(), entry(), [])).toEqual({ already: true });
      expect(await store.log(call())).toEqual([entry()]);
    });

    it('complete is a conflict while an artifact is listed that is not among what is left', async () => {
      expect((await rejection(store.complete(call(), entry(), [WORKFLOW, WEBHOOK]))).kind).toBe('conflict');
      await store.begin(call());
      const before = await fixture.snapshot();
      const error = await rejection(store.complete(call(), entry(), [WEBHOOK, ASSISTANT]));
      expect(error).toMatchObject({ kind: 'conflict', message: expect.stringContaining('n8n-workflow x7Kq2') as string });
      expect(await fixture.snapshot()).toStrictEqual(before);
      expect(await store.complete(call(), entry(), [WEBHOOK, WORKFLOW])).toEqual({ already: false });
      expect(await config(two)).toMatchObject({ status: 'deprovisioned', artifacts: [WEBHOOK] });
    });

    it('complete after a failure is a conflict until the cleanup is confirmed', async () => {
      await emptied();
      await store.fail(call(), failure);
      const before = await fixture.snapshot();
      expect((await rejection(store.complete(call(), entry(), []))).kind).toBe('conflict');
      expect(await fixture.snapshot()).toStrictEqual(before);
      await store.confirmCleanup(call());
      expect(await store.complete(call(), entry(), [])).toEqual({ already: false });
      expect(await statuses()).toEqual(['ROLLED_BACK', 'ROLLED_BACK']);
      expect(await store.log(call())).toEqual([failure, entry()]);
    });

    it('log is of this tenant in this environment alone', async () => {
      await store.begin(call());
      await store.fail(call(), failure);
      for (const other of [{ tenant: 'Acme' }, { environment: 'elsewhere' }]) expect(await store.log(call(other))).toEqual([]);
    });

    it('a store that is away is unavailable, and an aborted call does nothing', async () => {
      const before = await fixture.snapshot();
      const aborted = call({ signal: AbortSignal.abort() });
      for (const [from, kinds] of [
        [fixture.away(), ['unavailable']],
        [aborted, ['unavailable', 'superseded']],
      ] as const) {
        for (const read of [() => store.requests(from), () => store.alsoListed(from, [WEBHOOK], []), () => store.log(from)])
          expect(kinds).toContain((await rejection(read())).kind);
        for (const [, write] of writers) expect(kinds).toContain((await rejection(write(from))).kind);
      }
      expect(await fixture.snapshot()).toStrictEqual(before);
    });

    it.each(writers.flatMap(([action, write]) => [true, false].map((takesEffect) => ({ action, write, takesEffect }))))(
      '$action whose answer is lost (took effect: $takesEffect) may be repeated, and is done once',
      async ({ action, write, takesEffect }) => {
        await ready[action]?.();
        const before = await fixture.snapshot();
        const lossy = { ...(await fixture.lossy(takesEffect)), requests: [one, two] };
        expect(['unavailable', 'unknown']).toContain((await rejection(write(lossy))).kind);
        const isAsBefore = isDeepStrictEqual(await fixture.snapshot(), before);
        expect(isAsBefore).toBe(!takesEffect);
        expect(await write({ ...lossy, options: call().options, secret: call().secret })).toEqual({ already: takesEffect });
        expect((await store.log(call())).length).toBe({ fail: 1, complete: 1, confirmCleanup: 1 }[action] ?? 0);
      },
    );
  });
}
