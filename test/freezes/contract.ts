/**
 * The contract of activities/freezes/carrier.ts, for every carrier alike. A platform's test says how to set up a platform (a real one,
 * or a fake that is a process of its own) and adds only its peculiarities.
 */
import { spawnSync } from 'node:child_process';

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AdapterErrorKind } from '../../activities/adapters/adapter.ts';
import type { FreezeCall, FreezeCarrier } from '../../activities/freezes/carrier.ts';
import { FREEZE_SCOPES, type FreezeScope } from '../../model/freeze.ts';
import type { Receipt } from '../../model/state.ts';
import { rejection } from '../adapters/contract.ts';
import { expectFit, laxness, Overheard } from '../support/overheard.ts';

export interface Fixture<Options> {
  readonly carrier: FreezeCarrier<Options>;
  /** Valid options as a user writes them in `backout.yaml`. */
  readonly rawOptions: Readonly<Record<string, unknown>>;
  /** The scopes that it carries with these options. */
  readonly scopes: readonly FreezeScope[];
  /** A call about every scope there is, the same answer each time. Its `secret` answers with `canary` where the platform needs a secret. */
  readonly call: (overrides?: Partial<FreezeCall<Options>>) => FreezeCall<Options>;
  /** Changes to what freezes that took effect, in all or of one scope, counted by the platform's own ledger, never by the carrier's answers. */
  readonly effects: (scope?: FreezeScope) => Promise<number>;
  /** All that a change of any kind would show in: compared before and after what must change nothing. */
  readonly snapshot: () => Promise<unknown>;
  /** What holds and whom: a freeze that was set and lifted leaves no trace in it. */
  readonly standing: () => Promise<unknown>;
  /** Somebody changes a frozen part of the scope, so that it does not freeze any more. */
  readonly loosen: (scope: FreezeScope) => Promise<void>;
  /** Somebody has frozen the scope by hand, before any call. */
  readonly freezeByHand: (scope: FreezeScope) => Promise<void>;
  /** The write that comes after `writes` others takes effect, and its answer is lost. Null: no longer. */
  readonly loseAnswer: (writes: number | null) => Promise<void>;
  /** No answer for ten seconds at least, to whatever is asked. */
  readonly stall: () => Promise<void>;
  /** Planted as a secret; it must not be seen anywhere. */
  readonly canary: string;
  readonly teardown: () => Promise<void>;
}

export interface Fault<Options> {
  readonly name: string;
  /** Breaks the platform and answers with the call to try. */
  readonly prepare: (fixture: Fixture<Options>) => Promise<FreezeCall<Options>>;
  /** What `set` may throw then. Nothing may have taken effect. */
  readonly kinds: readonly AdapterErrorKind[];
}

export interface Contract<Options> {
  /** The carrier's name, as users write it. */
  readonly name: string;
  /** A fresh platform with nothing frozen and no effect counted. */
  readonly setup: () => Promise<Fixture<Options>>;
  readonly faults?: readonly Fault<Options>[];
}

/** At once is the promise; the rest is a busy machine. */
const PROMPTLY_MS = 10_000;
/** More writes than any carrier needs. */
const WRITES_MAX = 30;

/** Keeps all that leaves the carrier, so that each test ends with the same questions about it. */
function watched<Options>(carrier: FreezeCarrier<Options>, heard: Overheard): FreezeCarrier<Options> {
  return {
    name: carrier.name,
    options: carrier.options,
    limits: carrier.limits,
    inspect: (call) => heard.keep(carrier.inspect(heard.hearing(call))),
    set: (call) => heard.keep(carrier.set(heard.hearing(call))),
    lift: (call) => heard.keep(carrier.lift(heard.hearing(call))),
    manual: (call, action) => heard.note(carrier.manual(call, action)),
  };
}

export function freezeContract<Options>({ name, setup, faults = [] }: Contract<Options>): void {
  describe(`contract: ${name}`, () => {
    let fixture: Fixture<Options>;
    let carrier: FreezeCarrier<Options>;
    let heard: Overheard;

    beforeEach(async () => {
      heard = Overheard.listening();
      fixture = await setup();
      carrier = watched(fixture.carrier, heard);
    });

    afterEach(async () => {
      vi.restoreAllMocks();
      heard.note(await fixture.snapshot());
      await fixture.teardown();
      expectFit(heard, fixture.canary);
    });

    /** Scope to whether all its parts are frozen. */
    const frozen = async (): Promise<Record<string, boolean>> => {
      const parts = await carrier.inspect(fixture.call());
      return Object.fromEntries(fixture.scopes.map((scope) => [scope, parts.filter((part) => part.scope === scope).every((part) => part.frozen)]));
    };
    const each = (value: boolean): Record<string, boolean> => Object.fromEntries(fixture.scopes.map((scope) => [scope, value]));
    const lifting = ({ before }: Receipt, overrides: Partial<FreezeCall<Options>> = {}): FreezeCall<Options> =>
      fixture.call({ before: before ?? null, operationId: `${fixture.call().operationId}-lift`, ...overrides });

    it('says what it is and what it cannot guarantee', () => {
      expect(carrier.name).toBe(name);
      expect(name).toMatch(/^[a-z0-9-]+$/);
      for (const limit of carrier.limits) expect(limit).toMatch(/\w{3}.*\.$/s);
    });

    it('options are strict: valid ones pass, an unknown one is an error that names its place', () => {
      expect(laxness(carrier.options, fixture.rawOptions)).toEqual([]);
    });

    it('inspect reads every part it carries, under a name of its own, and changes nothing', async () => {
      const before = await fixture.snapshot();
      const parts = await carrier.inspect(fixture.call());
      expect(new Set(parts.map((part) => part.scope))).toEqual(new Set(fixture.scopes));
      expect(new Set(parts.map((part) => part.name)).size).toBe(parts.length);
      for (const part of parts) expect(part).toMatchObject({ frozen: false, detail: expect.stringMatching(/\w/) });
      expect(await fixture.snapshot()).toStrictEqual(before);
    });

    it('scopes it does not carry are left alone', async () => {
      const before = await fixture.snapshot();
      const call = fixture.call({ scopes: FREEZE_SCOPES.filter((scope) => !fixture.scopes.includes(scope)) });
      expect(await carrier.inspect(call)).toEqual([]);
      await carrier.set(call);
      await carrier.lift(call);
      expect(await fixture.snapshot()).toStrictEqual(before);
    });

    it('set freezes every scope asked for, and inspect sees it', async () => {
      await carrier.set(fixture.call());
      expect(await frozen()).toEqual(each(true));
    });

    it('set and lift touch only the scopes asked for', async () => {
      for (const scope of fixture.scopes) {
        const others = await Promise.all(fixture.scopes.filter((one) => one !== scope).map(fixture.effects));
        const start = await frozen();
        const receipt = await carrier.set(fixture.call({ scopes: [scope] }));
        expect(await frozen()).toEqual({ ...start, [scope]: true });
        await carrier.lift(lifting(receipt, { scopes: [scope] }));
        expect(await frozen()).toEqual(start);
        expect(await Promise.all(fixture.scopes.filter((one) => one !== scope).map(fixture.effects))).toEqual(others);
      }
    });

    it('lift puts back what was there before', async () => {
      const start = await fixture.standing();
      const receipt = await carrier.set(fixture.call());
      expect(await fixture.standing()).not.toStrictEqual(start);
      const lifted = await carrier.lift(lifting(receipt));
      expect(await fixture.standing()).toStrictEqual(start);
      expect(lifted.detail).toBeUndefined();
    });

    it('set again changes nothing, and its receipt serves lift as well', async () => {
      const start = await fixture.standing();
      await carrier.set(fixture.call());
      const effects = await fixture.effects();
      const again = await carrier.set(fixture.call());
      expect(await fixture.effects()).toBe(effects);
      await carrier.lift(lifting(again));
      expect(await fixture.standing()).toStrictEqual(start);
    });

    it('lift again changes nothing', async () => {
      const receipt = await carrier.set(fixture.call());
      await carrier.lift(lifting(receipt));
      const before = await fixture.snapshot();
      for (const known of [receipt.before ?? null, null]) {
        expect((await carrier.lift(lifting(receipt, { before: known }))).detail).toBeUndefined();
        expect(await fixture.snapshot()).toStrictEqual(before);
      }
    });

    it('lift of what was never set changes nothing', async () => {
      const before = await fixture.snapshot();
      for (const known of [{}, null]) expect((await carrier.lift(fixture.call({ before: known }))).detail).toBeUndefined();
      expect(await fixture.snapshot()).toStrictEqual(before);
    });

    it('where nobody hands over what was there before, lift puts it back all the same, or says what it left', async () => {
      const start = await fixture.standing();
      const receipt = await carrier.set(fixture.call());
      const { detail } = await carrier.lift(lifting(receipt, { before: null }));
      expect(detail === undefined ? await fixture.standing() : start).toStrictEqual(start);
    });

    it('what somebody loosened is seen, said, and frozen again, nothing else', async () => {
      const start = await fixture.standing();
      await carrier.set(fixture.call());
      for (const scope of fixture.scopes) {
        await fixture.loosen(scope);
        expect(await frozen(), scope).toEqual({ ...each(true), [scope]: false });
        const others = await Promise.all(fixture.scopes.filter((one) => one !== scope).map(fixture.effects));
        await carrier.set(fixture.call());
        expect(await frozen()).toEqual(each(true));
        expect(await Promise.all(fixture.scopes.filter((one) => one !== scope).map(fixture.effects))).toEqual(others);
      }
      await carrier.lift(lifting(await carrier.set(fixture.call())));
      expect(await fixture.standing()).toStrictEqual(start);
    });

    it('lift leaves alone what somebody changed since', async () => {
      for (const scope of fixture.scopes) {
        const receipt = await carrier.set(fixture.call());
        await fixture.loosen(scope);
        const changed = (await carrier.inspect(fixture.call())).filter((part) => !part.frozen);
        expect(changed.map((part) => part.scope)).toEqual([scope]);
        await carrier.lift(lifting(receipt));
        expect(await carrier.inspect(fixture.call())).toEqual(expect.arrayContaining(changed));
      }
    });

    it('set leaves alone what was frozen before, and lift leaves it frozen and says so', async () => {
      for (const scope of fixture.scopes) await fixture.freezeByHand(scope);
      expect(await frozen()).toEqual(each(true));
      const start = await fixture.standing();
      const receipt = await carrier.set(fixture.call());
      const lifted = await carrier.lift(lifting(receipt));
      expect(lifted.detail).toMatch(/\w/);
      expect(await fixture.effects()).toBe(0);
      expect(await fixture.standing()).toStrictEqual(start);
    });

    it('two sets at once are one freeze, and either receipt lifts it', async () => {
      const start = await fixture.standing();
      const [one, other] = await Promise.all([carrier.set(fixture.call()), carrier.set(fixture.call({ operationId: 'another/freeze/1' }))]);
      expect(other.before).toEqual(one.before);
      expect(await frozen()).toEqual(each(true));
      await carrier.lift(lifting(other));
      expect(await fixture.standing()).toStrictEqual(start);
    });

    it('a set broken off after any of its writes is gone on with, and what was there before is still known', async () => {
      const start = await fixture.standing();
      let broken = 0;
      for (let writes = 0; writes < WRITES_MAX; writes += 1) {
        await fixture.loseAnswer(writes);
        const first = await carrier.set(fixture.call()).catch((error: unknown) => error);
        await fixture.loseAnswer(null);
        const receipt = await carrier.set(fixture.call());
        expect(await frozen(), `after ${writes} writes`).toEqual(each(true));
        await carrier.lift(lifting(receipt));
        expect(await fixture.standing(), `after ${writes} writes`).toStrictEqual(start);
        if (!(first instanceof Error)) break;
        broken += 1;
      }
      expect(broken).toBeGreaterThanOrEqual(fixture.scopes.length);
      expect(broken).toBeLessThan(WRITES_MAX);
    });

    it('a lift broken off after any of its writes is gone on with', async () => {
      const start = await fixture.standing();
      let broken = 0;
      for (let writes = 0; writes < WRITES_MAX; writes += 1) {
        const receipt = await carrier.set(fixture.call());
        await fixture.loseAnswer(writes);
        const first = await carrier.lift(lifting(receipt)).catch((error: unknown) => error);
        await fixture.loseAnswer(null);
        await carrier.lift(lifting(receipt));
        expect(await fixture.standing(), `after ${writes} writes`).toStrictEqual(start);
        if (!(first instanceof Error)) break;
        broken += 1;
      }
      expect(broken).toBeGreaterThanOrEqual(fixture.scopes.length);
      expect(broken).toBeLessThan(WRITES_MAX);
    });

    it('says that it is alive while it waits, and stops waiting promptly when aborted', async () => {
      const abort = new AbortController();
      let beats = 0;
      await fixture.stall();
      const call = fixture.call({
        signal: abort.signal,
        heartbeat: () => {
          beats += 1;
        },
      });
      const setting = rejection(carrier.set(call));
      await vi.waitFor(() => expect(beats).toBeGreaterThanOrEqual(3), { timeout: 15_000, interval: 50 });
      abort.abort();
      const abortedAt = Date.now();
      await setting;
      expect(Date.now() - abortedAt).toBeLessThan(PROMPTLY_MS);
    });

    it('does nothing when aborted before it begins', async () => {
      await rejection(carrier.set(fixture.call({ signal: AbortSignal.abort() })));
      expect(await fixture.effects()).toBe(0);
    });

    it.each(['set', 'lift'] as const)('manual %s gives shell commands with everything filled in, for the scopes asked for', (action) => {
      for (const scope of fixture.scopes) {
        const lines = carrier.manual(fixture.call({ scopes: [scope] }), action);
        expect(lines.length).toBeGreaterThan(0);
        for (const line of lines) expect(line).not.toMatch(/\n|undefined|\[object|<[a-z]+>/i);
        const parsed = spawnSync('sh', ['-n'], { input: lines.join('\n'), encoding: 'utf8' });
        expect(parsed.stderr).toBe('');
      }
      expect(carrier.manual(fixture.call({ scopes: [] }), action)).toEqual([]);
    });

    it.each(faults)('$name', async ({ prepare, kinds }) => {
      const call = await prepare(fixture);
      expect(kinds).toContain((await rejection(carrier.set(call))).kind);
      expect(await fixture.effects()).toBe(0);
    });
  });
}
