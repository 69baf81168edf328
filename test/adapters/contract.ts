/**
 * The contract of activities/adapters/adapter.ts, for every adapter alike. A platform's test says how to set up a platform
 * (a real one, or a fake that is a process of its own) and adds only its peculiarities.
 */
import { spawnSync } from 'node:child_process';
import { inspect as print } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AdapterError, type Adapter, type AdapterCall, type AdapterErrorKind } from '../../activities/adapters/adapter.ts';
import { expectFit, laxness, Overheard } from '../support/overheard.ts';

export interface Fixture<Options> {
  readonly adapter: Adapter<Options>;
  /** Valid options as a user writes them in `backout.yaml`. */
  readonly rawOptions: Readonly<Record<string, unknown>>;
  /** The version in place at the start; another one that can be gone to; one whose apply fails; one that the platform does not have. */
  readonly start: string;
  readonly good: string;
  readonly bad: string;
  readonly missing: string;
  /** A call to `good`, the same answer each time. Its `secret` answers with `canary` where the platform needs a secret; its `operationId` is always the same. */
  readonly call: (overrides?: Partial<AdapterCall<Options>>) => AdapterCall<Options>;
  /** Changes that took effect, counted by the platform's own ledger, never by the adapter's answers. */
  readonly effects: () => Promise<number>;
  /** All that a change of any kind would show in: compared before and after what must change nothing. */
  readonly snapshot: () => Promise<unknown>;
  /** Makes the platform take long, so that an apply of the call answered waits for at least ten seconds. */
  readonly stall: () => Promise<AdapterCall<Options>>;
  /** Planted as a secret; it must not be seen anywhere. */
  readonly canary: string;
  readonly teardown: () => Promise<void>;
}

export interface Fault<Options> {
  readonly name: string;
  /** Breaks the platform and answers with the call to try. */
  readonly prepare: (fixture: Fixture<Options>) => Promise<AdapterCall<Options>>;
  /** What apply may throw then. Nothing may have taken effect. */
  readonly kinds: readonly AdapterErrorKind[];
}

export interface Contract<Options> {
  /** The adapter's name, as users write it. */
  readonly name: string;
  /** A fresh platform with `start` in place and no effect counted. */
  readonly setup: () => Promise<Fixture<Options>>;
  readonly faults?: readonly Fault<Options>[];
}

/** At once is the promise; the rest is a busy machine. */
const PROMPTLY_MS = 10_000;

export async function rejection(promise: Promise<unknown>): Promise<AdapterError> {
  const outcome = await promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  if (!('error' in outcome)) throw new Error(`expected a rejection, got ${print(outcome.value)}`);
  if (!(outcome.error instanceof AdapterError)) throw new Error('expected an AdapterError', { cause: outcome.error });
  return outcome.error;
}

/** Keeps all that leaves the adapter, so that each test ends with the same questions about it. */
function watched<Options>(adapter: Adapter<Options>, heard: Overheard): Adapter<Options> {
  return {
    name: adapter.name,
    options: adapter.options,
    fence: adapter.fence,
    executesInCi: adapter.executesInCi,
    limits: adapter.limits,
    inspect: (call) => heard.keep(adapter.inspect(heard.hearing(call))),
    apply: (call) => heard.keep(adapter.apply(heard.hearing(call))),
    verify: (call) => heard.keep(adapter.verify(heard.hearing(call))),
    manual: (call) => heard.note(adapter.manual(call)),
  };
}

export function adapterContract<Options>({ name, setup, faults = [] }: Contract<Options>): void {
  describe(`contract: ${name}`, () => {
    let fixture: Fixture<Options>;
    let adapter: Adapter<Options>;
    let heard: Overheard;

    beforeEach(async () => {
      heard = Overheard.listening();
      fixture = await setup();
      adapter = watched(fixture.adapter, heard);
    });

    afterEach(async () => {
      vi.restoreAllMocks();
      await fixture.teardown();
      expectFit(heard, fixture.canary);
    });

    it('says what it is, what fences it and what it cannot guarantee', () => {
      expect(adapter.name).toBe(name);
      expect(name).toMatch(/^[a-z0-9-]+$/);
      expect(adapter.fence.window).toMatch(/\w{3}.*\.$/s);
      expect(adapter.limits.every((limit) => limit.trim().length > 0)).toBe(true);
    });

    it('options are strict: valid ones pass, an unknown one is an error that names its place', () => {
      expect(laxness(adapter.options, fixture.rawOptions)).toEqual([]);
    });

    it('inspect and verify change nothing, and see what is in place', async () => {
      const before = await fixture.snapshot();
      for (const look of ['inspect', 'verify'] as const) {
        const seenNow = await adapter[look](fixture.call());
        expect([fixture.start, null]).toContain(seenNow.current);
        expect([true, 'unknown']).toContain(seenNow.targetPresent);
        expect(seenNow.operationId).not.toBe(fixture.call().operationId);
      }
      expect(await fixture.snapshot()).toStrictEqual(before);
      expect(await fixture.effects()).toBe(0);
    });

    it('apply puts the target in place; verify and inspect see it, and the operation that did it', async () => {
      const call = fixture.call();
      const receipt = await adapter.apply(call);
      expect(receipt).toBeTypeOf('object');
      expect(await fixture.effects()).toBe(1);
      for (const look of ['verify', 'inspect'] as const) {
        const observation = await adapter[look](call);
        expect(observation.current).toBe(fixture.good);
        expect(observation.operationId).toBe(call.operationId);
        expect(observation.parts.filter((part) => part.version !== fixture.good)).toEqual([]);
      }
      expect(await fixture.effects()).toBe(1);
    });

    it('apply again under the same operation has no second effect', async () => {
      await adapter.apply(fixture.call());
      await adapter.apply(fixture.call());
      expect(await fixture.effects()).toBe(1);
      expect((await adapter.verify(fixture.call())).current).toBe(fixture.good);
    });

    it('another operation is another effect', async () => {
      await adapter.apply(fixture.call());
      const back = fixture.call({ to: fixture.start, operationId: `${fixture.call().operationId}-next` });
      await adapter.apply(back);
      expect(await fixture.effects()).toBe(2);
      const observation = await adapter.verify(back);
      expect(observation).toMatchObject({ current: fixture.start, operationId: back.operationId });
    });

    it('a target that does not work fails, and what was in place stays', async () => {
      const call = fixture.call({ to: fixture.bad });
      expect((await rejection(adapter.apply(call))).kind).toBe('failed');
      expect([fixture.start, null]).toContain((await adapter.verify(call)).current);
    });

    it('a target that is not there is not gone to', async () => {
      const call = fixture.call({ to: fixture.missing });
      const { targetPresent } = await adapter.inspect(call);
      expect(targetPresent).not.toBe(true);
      expect(['not-found', 'failed']).toContain((await rejection(adapter.apply(call))).kind);
      expect(targetPresent === false ? await fixture.effects() : 0).toBe(0);
      expect([fixture.start, null]).toContain((await adapter.verify(call)).current);
    });

    it('says that it is alive while it waits, and stops waiting promptly when aborted', async () => {
      const abort = new AbortController();
      let beats = 0;
      const call = {
        ...(await fixture.stall()),
        signal: abort.signal,
        heartbeat: () => {
          beats += 1;
        },
      };
      const applying = rejection(adapter.apply(call));
      await vi.waitFor(() => expect(beats).toBeGreaterThanOrEqual(3), { timeout: 15_000, interval: 50 });
      abort.abort();
      const abortedAt = Date.now();
      await applying;
      expect(Date.now() - abortedAt).toBeLessThan(PROMPTLY_MS);
    });

    it('does nothing when aborted before it begins', async () => {
      await rejection(adapter.apply(fixture.call({ signal: AbortSignal.abort() })));
      expect(await fixture.effects()).toBe(0);
    });

    it('manual gives shell commands with everything filled in', () => {
      const lines = adapter.manual(fixture.call());
      expect(lines.length).toBeGreaterThan(0);
      expect(lines.join('\n')).toContain(fixture.good);
      for (const line of lines) expect(line).not.toMatch(/\n|undefined|\[object|<[a-z]+>/i);
      const parsed = spawnSync('sh', ['-n'], { input: lines.join('\n'), encoding: 'utf8' });
      expect(parsed.stderr).toBe('');
    });

    it.each(faults)('$name', async ({ prepare, kinds }) => {
      const call = await prepare(fixture);
      expect(kinds).toContain((await rejection(adapter.apply(call))).kind);
      expect(await fixture.effects()).toBe(0);
    });
  });
}
