/**
 * The contract of activities/tenants/platform.ts, for every platform alike. A platform's test says how to set up a platform (a real one,
 * or a fake that is a process of its own) and adds only its peculiarities.
 */

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AdapterErrorKind } from '../../activities/adapters/adapter.ts';
import type { ArtifactCall, TenantPlatform } from '../../activities/tenants/platform.ts';
import { ARTIFACT_TYPES, keyOf, type Artifact } from '../../model/tenant.ts';
import { rejection } from '../adapters/contract.ts';
import { expectFit, laxness, Overheard } from '../support/overheard.ts';

export interface Fixture<Options> {
  readonly platform: TenantPlatform<Options>;
  /** Valid options as a user writes them in `backout.yaml`. */
  readonly rawOptions: Readonly<Record<string, unknown>>;
  /** A call about the first of `present`, with one tenant and one operationId each time. Its `secret` answers with `canary` where the platform needs a secret. */
  readonly call: (overrides?: Partial<ArtifactCall<Options>>) => ArtifactCall<Options>;
  /** The tenant's own, at work: one at least of each type. */
  readonly present: readonly Artifact[];
  /** What the platform says there is none of: one at least of each type that can be absent. */
  readonly absent: readonly Artifact[];
  /** Templates, demo instances, another tenant's: each is there and never to be touched. Empty where the platform has no marks. */
  readonly guarded: readonly Artifact[];
  /** What `marked` answers with for the tenant; empty where the platform has no marks. */
  readonly marked: readonly Pick<Artifact, 'type' | 'id'>[];
  /** The ids of `protected`; empty where the platform has none. */
  readonly protectedIds: readonly string[];
  /** Somebody changes one of `protectedIds`. */
  readonly changeProtected?: (id: string) => Promise<void>;
  /** Somebody removes one of `present` by hand, so that it is absent afterwards. */
  readonly removeByHand?: (artifact: Artifact) => Promise<void>;
  /** One of `present` becomes another tenant's. Needed where the platform acts. */
  readonly handOver?: (artifact: Artifact) => Promise<void>;
  /** The call for which the platform, or this configuration of it, cannot tell. */
  readonly cannotTell?: () => ArtifactCall<Options>;
  /** Changes that took effect and whatever ran of the tenant's, counted by the platform's own ledger, never by the adapter's answers. */
  readonly effects: () => Promise<number>;
  /** All that a change of any kind would show in: compared before and after what must change nothing. */
  readonly snapshot: () => Promise<unknown>;
  /** The write that comes after `writes` others takes effect, and its answer is lost. Null: no longer. Needed where the platform acts. */
  readonly loseAnswer?: (writes: number | null) => Promise<void>;
  /** No answer for ten seconds at least, to whatever is asked. The options of `call` must leave a request four seconds at least. */
  readonly stall: () => Promise<void>;
  /** Planted as a secret; it must not be seen anywhere. */
  readonly canary: string;
  readonly teardown: () => Promise<void>;
}

export interface Fault<Options> {
  readonly name: string;
  /** Which call is tried; `inspect` without it. */
  readonly on?: 'inspect' | 'marked' | 'protected' | 'apply';
  /** Breaks the platform and answers with the call to try. */
  readonly prepare: (fixture: Fixture<Options>) => Promise<ArtifactCall<Options>>;
  /** What may be thrown then. Nothing may have taken effect. */
  readonly kinds: readonly AdapterErrorKind[];
}

export interface Contract<Options> {
  /** The platform's name, as users write it. */
  readonly name: string;
  /** Does Backout act here, or does it only look? */
  readonly acts: boolean;
  /** A fresh platform with no effect counted. */
  readonly setup: () => Promise<Fixture<Options>>;
  readonly faults?: readonly Fault<Options>[];
}

/** At once is the promise; the rest is a busy machine. */
const PROMPTLY_MS = 10_000;
/** More writes than any choice needs. */
const WRITES_MAX = 20;
const SENTENCE = /\w{2}.*\.$/s;

/** Keeps all that leaves the platform, so that each test ends with the same questions about it. */
function watched<Options>(platform: TenantPlatform<Options>, heard: Overheard): TenantPlatform<Options> {
  return {
    name: platform.name,
    types: platform.types,
    options: platform.options,
    limits: platform.limits,
    actions: platform.actions,
    inspect: (call) => heard.keep(platform.inspect(heard.hearing(call))),
    marked: (call) => heard.keep(platform.marked(heard.hearing(call))),
    protected: (call) => heard.keep(platform.protected(heard.hearing(call))),
    apply: (call, choice) => heard.keep(platform.apply(heard.hearing(call), choice)),
    manual: (call, choice) => heard.note(platform.manual(call, choice)),
  };
}

interface Deed {
  readonly artifact: Artifact;
  readonly choice: string;
}

const keys = (artifacts: readonly Pick<Artifact, 'type' | 'id'>[]): string[] => artifacts.map((one) => keyOf(one)).toSorted();

export function tenantContract<Options>({ name, acts, setup, faults = [] }: Contract<Options>): void {
  describe(`contract: ${name}`, () => {
    let fixture: Fixture<Options>;
    let platform: TenantPlatform<Options>;
    let heard: Overheard;

    beforeEach(async () => {
      heard = Overheard.listening();
      fixture = await setup();
      platform = watched(fixture.platform, heard);
    });

    afterEach(async () => {
      vi.restoreAllMocks();
      heard.note(await fixture.snapshot());
      await fixture.teardown();
      expectFit(heard, fixture.canary);
    });

    /** What Backout may do: each artifact of `present` with each of its choices. */
    const deeds = (): Deed[] => fixture.present.flatMap((artifact) => (platform.actions[artifact.type]?.choices ?? []).map((choice) => ({ artifact, choice })));
    const about = (artifact: Artifact, overrides: Partial<ArtifactCall<Options>> = {}): ArtifactCall<Options> => fixture.call({ artifact, ...overrides });
    const presence = async (artifact: Artifact): Promise<string> => (await platform.inspect(about(artifact))).presence;
    /** Each deed on a platform of its own, with the number under which a later platform has it again. */
    const eachDeed = async (work: (deed: Deed, index: number) => Promise<void>): Promise<void> => {
      const { length } = deeds();
      expect(length).toBeGreaterThan(0);
      for (let index = 0; index < length; index += 1) {
        if (index > 0) await anew();
        await work(deedAt(index), index);
      }
    };
    const anew = async (): Promise<void> => {
      await fixture.teardown();
      fixture = await setup();
    };
    const deedAt = (index: number): Deed => {
      const deed = deeds()[index];
      if (deed === undefined) throw new Error('each platform that is set up has the same deeds');
      return deed;
    };

    it('says what it is, what it serves, what it can do and what it cannot guarantee', () => {
      expect(platform.name).toBe(name);
      expect(name).toMatch(/^[a-z0-9-]+$/);
      expect(platform.types.length).toBeGreaterThan(0);
      for (const type of platform.types) expect(ARTIFACT_TYPES).toContain(type);
      for (const limit of platform.limits) expect(limit).toMatch(SENTENCE);
      expect(Object.keys(platform.actions).length > 0).toBe(acts);
      for (const [type, action] of Object.entries(platform.actions)) {
        expect(platform.types).toContain(type);
        expect(action.choices.length).toBeGreaterThan(0);
        for (const choice of action.choices) expect(choice).toMatch(/^[a-z-]+$/);
        // `done` is a person's word, never an action of ours.
        expect(action.choices).not.toContain('done');
        expect(action.fence.window).toMatch(SENTENCE);
      }
    });

    it('the tests have one of each type', () => {
      expect(new Set(fixture.present.map((one) => one.type))).toEqual(new Set(platform.types));
      expect(fixture.absent.length).toBeGreaterThan(0);
      expect(fixture.guarded.length).toBeGreaterThanOrEqual(acts ? 1 : 0);
      expect(acts).toBe(fixture.loseAnswer !== undefined && fixture.handOver !== undefined);
    });

    it('options are strict: valid ones pass, an unknown one is an error that names its place', () => {
      expect(laxness(platform.options, fixture.rawOptions)).toEqual([]);
    });

    it('inspect tells present from absent, says so in a sentence, and changes and runs nothing', async () => {
      const before = await fixture.snapshot();
      for (const [expected, artifacts] of [
        ['present', fixture.present],
        ['absent', fixture.absent],
      ] as const)
        for (const artifact of artifacts) {
          const sighting = await platform.inspect(about(artifact));
          expect(sighting, keyOf(artifact)).toMatchObject({ presence: expected, guarded: null, detail: expect.stringMatching(SENTENCE) });
          for (const fact of Object.values(sighting.facts)) expect(fact === null || ['string', 'number', 'boolean'].includes(typeof fact)).toBe(true);
        }
      expect(await fixture.snapshot()).toStrictEqual(before);
      expect(await fixture.effects()).toBe(0);
    });

    it('survey, where there is one, says of many what inspect says of each, and changes and runs nothing', async () => {
      const { platform: bare } = fixture;
      if (bare.survey === undefined) return;
      const before = await fixture.snapshot();
      const artifacts = [...fixture.present, ...fixture.absent, ...fixture.guarded];
      const call = fixture.call();
      const together = await bare.survey({ ...call, listed: artifacts }, artifacts);
      const each = await Promise.all(artifacts.map((artifact) => platform.inspect({ ...fixture.call({ artifact }), listed: artifacts })));
      const short = ({ presence, guarded }: (typeof each)[number]): unknown => [presence, guarded === null];
      expect(together.map(short)).toEqual(each.map(short));
      heard.note(together);
      expect(await fixture.snapshot()).toEqual(before);
      expect(await fixture.effects()).toBe(0);
    });

    it('inspect says why what is a template, a demo instance or somebody else’s may never be touched', async () => {
      for (const artifact of fixture.guarded) {
        const sighting = await platform.inspect(about(artifact));
        expect(sighting.guarded, keyOf(artifact)).toMatch(/\w{2}/);
        expect(sighting.presence, keyOf(artifact)).not.toBe('absent');
      }
      expect(await fixture.effects()).toBe(0);
    });

    it('inspect says `unknown`, and why, where it cannot tell', async () => {
      if (fixture.cannotTell === undefined) return;
      expect(await platform.inspect(fixture.cannotTell())).toMatchObject({ presence: 'unknown', detail: expect.stringMatching(SENTENCE) });
    });

    it('inspect sees what was removed by hand', async () => {
      if (fixture.removeByHand === undefined) return;
      for (const artifact of fixture.present) {
        await fixture.removeByHand(artifact);
        await vi.waitFor(async () => expect(await presence(artifact), keyOf(artifact)).toBe('absent'), { timeout: 15_000, interval: 100 });
      }
    });

    it('marked finds everything with this very tenant’s mark, nothing of a look-alike, and changes and runs nothing', async () => {
      const before = await fixture.snapshot();
      const marked = await platform.marked(fixture.call());
      expect(keys(marked)).toEqual(keys(fixture.marked));
      for (const artifact of marked) expect(platform.types).toContain(artifact.type);
      const { tenant } = fixture.call();
      for (const other of [`${tenant}-nobody`, tenant.slice(0, -1), tenant.toUpperCase(), '*'])
        expect(await platform.marked(fixture.call({ tenant: other })), other).toEqual([]);
      expect(await fixture.snapshot()).toStrictEqual(before);
      expect(await fixture.effects()).toBe(0);
    });

    it('protected has a fingerprint of each template and demo instance: the same while nothing changes, another after a change', async () => {
      const before = await fixture.snapshot();
      const first = await platform.protected(fixture.call());
      expect(Object.keys(first).toSorted()).toEqual([...fixture.protectedIds].toSorted());
      expect(await platform.protected(fixture.call())).toEqual(first);
      expect(await fixture.snapshot()).toStrictEqual(before);
      const [id] = fixture.protectedIds;
      if (id === undefined) return;
      expect(fixture.changeProtected).toBeDefined();
      await fixture.changeProtected?.(id);
      const changed = await platform.protected(fixture.call());
      expect(changed[id]).not.toBe(first[id]);
      expect({ ...changed, [id]: first[id] }).toEqual(first);
    });

    it('has no authority beyond its actions: another type or another choice is refused before the platform is asked', async () => {
      for (const artifact of fixture.present)
        for (const choice of ['done', 'remove', 'delete', 'deactivate', 'disconnect', 'constructor', '']) {
          if (platform.actions[artifact.type]?.choices.includes(choice) === true) continue;
          expect((await rejection(platform.apply(about(artifact), choice))).kind, `${keyOf(artifact)} ${choice}`).toBe('configuration');
        }
      for (const type of ARTIFACT_TYPES.filter((one) => !platform.types.includes(one))) {
        const artifact = { type, id: fixture.call().artifact.id };
        expect((await rejection(platform.inspect(about(artifact)))).kind).toBe('configuration');
        expect((await rejection(platform.apply(about(artifact), 'delete'))).kind).toBe('configuration');
      }
      expect(await fixture.effects()).toBe(0);
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
      const waiting = rejection(platform.inspect(call));
      await vi.waitFor(() => expect(beats).toBeGreaterThanOrEqual(3), { timeout: 15_000, interval: 50 });
      abort.abort();
      const abortedAt = Date.now();
      await waiting;
      expect(Date.now() - abortedAt).toBeLessThan(PROMPTLY_MS);
    });

    it('does nothing when aborted before it begins', async () => {
      const signal = AbortSignal.abort();
      await rejection(platform.inspect(fixture.call({ signal })));
      for (const { artifact, choice } of deeds()) await rejection(platform.apply(about(artifact, { signal }), choice));
      expect(await fixture.effects()).toBe(0);
    });

    it('manual says what a person does, with everything filled in, one line each', () => {
      for (const artifact of [...fixture.present, ...fixture.absent])
        for (const choice of [null, ...(platform.actions[artifact.type]?.choices ?? [])]) {
          const lines = platform.manual(about(artifact), choice);
          expect(lines.length, keyOf(artifact)).toBeGreaterThan(0);
          for (const line of lines) expect(line).not.toMatch(/\n|undefined|\[object|<[a-z]+>|^\s*$/i);
        }
    });

    it.each(faults)('$name', async ({ prepare, kinds, on = 'inspect' }) => {
      const call = await prepare(fixture);
      const choice = platform.actions[call.artifact.type]?.choices[0] ?? 'none';
      const trial: Promise<unknown> = on === 'apply' ? platform.apply(call, choice) : platform[on](call);
      expect(kinds).toContain((await rejection(trial)).kind);
      expect(await fixture.effects()).toBe(0);
    });

    const acting = (): void => {
      it('apply does what was chosen, proves it, and the receipt names the artifact', async () => {
        await eachDeed(async ({ artifact, choice }) => {
          const untouched = fixture.present.filter((one) => one !== artifact && one.type === artifact.type);
          const receipt = await platform.apply(about(artifact), choice);
          expect(await fixture.effects(), choice).toBeGreaterThan(0);
          expect(await presence(artifact), choice).not.toBe('present');
          expect(JSON.stringify(receipt)).toContain(artifact.id);
          expect(receipt).toMatchObject({ before: expect.anything() as unknown, after: expect.anything() as unknown });
          for (const other of untouched) expect(await presence(other)).toBe('present');
        });
      });

      it('apply again by the same operation changes nothing more, and answers all the same', async () => {
        await eachDeed(async ({ artifact, choice }) => {
          await platform.apply(about(artifact), choice);
          const before = await fixture.snapshot();
          const effects = await fixture.effects();
          const again = await platform.apply(about(artifact, { attempt: 2 }), choice);
          expect(JSON.stringify(again)).toContain(artifact.id);
          expect(await fixture.snapshot()).toStrictEqual(before);
          expect(await fixture.effects()).toBe(effects);
        });
      });

      it('two applies at once are one change', async () => {
        await eachDeed(async ({ artifact, choice }) => {
          await Promise.all([platform.apply(about(artifact), choice), platform.apply(about(artifact, { attempt: 2 }), choice)]);
          expect(await presence(artifact)).not.toBe('present');
        });
      });

      it('apply where there is nothing to act on throws `not-found`', async () => {
        for (const artifact of fixture.absent)
          for (const choice of platform.actions[artifact.type]?.choices ?? [])
            expect((await rejection(platform.apply(about(artifact), choice))).kind).toBe('not-found');
        expect(await fixture.effects()).toBe(0);
      });

      it('apply refuses a template, a demo instance and what is somebody else’s, and changes nothing', async () => {
        const before = await fixture.snapshot();
        let refused = 0;
        for (const artifact of fixture.guarded)
          for (const choice of platform.actions[artifact.type]?.choices ?? []) {
            const error = await rejection(platform.apply(about(artifact), choice));
            expect(error.kind, `${keyOf(artifact)} ${choice}`).toBe('protected');
            expect(error.message).toContain(artifact.id);
            refused += 1;
          }
        expect(refused).toBeGreaterThan(0);
        expect(await fixture.effects()).toBe(0);
        expect(await fixture.snapshot()).toStrictEqual(before);
      });

      it('apply looks again at whose it is, however lately that changed', async () => {
        await eachDeed(async ({ artifact, choice }) => {
          expect((await platform.inspect(about(artifact))).guarded).toBeNull();
          await fixture.handOver?.(artifact);
          const before = await fixture.snapshot();
          expect((await rejection(platform.apply(about(artifact), choice))).kind).toBe('protected');
          expect(await fixture.snapshot()).toStrictEqual(before);
          expect(await fixture.effects()).toBe(0);
        });
      });

      it('an apply broken off after any of its writes is gone on with, and nothing is done twice', async () => {
        await eachDeed(async (whole, index) => {
          await platform.apply(about(whole.artifact), whole.choice);
          const effects = await fixture.effects();
          let broken = 0;
          for (let isWhole = false; !isWhole && broken < WRITES_MAX;) {
            await anew();
            const { artifact, choice } = deedAt(index);
            await fixture.loseAnswer?.(broken);
            const first = await platform.apply(about(artifact), choice).catch((error: unknown) => error);
            await fixture.loseAnswer?.(null);
            const receipt = await platform.apply(about(artifact, { attempt: 2 }), choice);
            expect(JSON.stringify(receipt), `after ${broken} writes`).toContain(artifact.id);
            expect(await presence(artifact), `after ${broken} writes`).not.toBe('present');
            // Each write took effect, so the one that was lost is made no second time.
            expect(await fixture.effects(), `after ${broken} writes`).toBe(effects);
            isWhole = !(first instanceof Error);
            if (!isWhole) broken += 1;
          }
          expect(broken).toBeGreaterThan(0);
          expect(broken).toBeLessThan(WRITES_MAX);
        });
      });
    };
    if (acts) acting();
  });
}
