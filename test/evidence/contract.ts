/**
 * The contract of activities/evidence/chain.ts, for every kind of chain alike. A kind's test says how to set one up, a real one, and adds only its
 * peculiarities. The chain there is of entries numbered from 1, one a minute from `minute(0)`, each with `canary` in it.
 */
import { spawnSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Annotation, ChainCall, EvidenceChain } from '../../activities/evidence/chain.ts';
import { rejection } from '../adapters/contract.ts';
import { expectFit, laxness, Overheard } from '../support/overheard.ts';
import type { Entry, Tampering } from './house.ts';

export interface Fixture<Options> {
  readonly chain: EvidenceChain<Options>;
  /** Valid options as a user writes them in `backout.yaml`. */
  readonly rawOptions: Readonly<Record<string, unknown>>;
  readonly call: (overrides?: Partial<ChainCall<Options>>) => ChainCall<Options>;
  /** The application appends so many, linked, under its lock. After each one it waits for `pause`. */
  readonly append: (count: number, pause?: () => Promise<void>) => Promise<void>;
  /** Runs that started in these minutes. */
  readonly runs: (...places: readonly number[]) => Promise<void>;
  /** All of them in order, read by other means than the chain's own. */
  readonly entries: () => Promise<readonly Entry[]>;
  /** All that a change of any kind would show in, first of each entry, in order. */
  readonly snapshot: () => Promise<readonly unknown[]>;
  /** Somebody with all rights changes one entry and what belongs to it. */
  readonly tamper: (how: Tampering, place: number) => Promise<void>;
  /** Another program, of this name, keeps everybody from appending until it is told to end. */
  readonly holding: (program: string) => Promise<() => Promise<void>>;
  /** Until somebody waits for that program. */
  readonly awaited: () => Promise<void>;
  /** A call that does not reach it. */
  readonly away: () => ChainCall<Options>;
  /** A call whose answer to the last word of a change is lost: after it took effect, or before. */
  readonly lossy: (takesEffect: boolean) => Promise<ChainCall<Options>>;
  readonly minute: (place: number) => string;
  readonly canary: string;
  readonly teardown: () => Promise<void>;
}

export interface Contract<Options> {
  readonly name: string;
  readonly setup: () => Promise<Fixture<Options>>;
}

/** Keeps all that leaves the chain, so that each test ends with the same questions about it. */
const watched = <Options>(chain: EvidenceChain<Options>, heard: Overheard): EvidenceChain<Options> => ({
  name: chain.name,
  options: chain.options,
  limits: chain.limits,
  survey: (call, until) => heard.keep(chain.survey(heard.hearing(call), until)),
  annotate: (call, annotation) => heard.keep(chain.annotate(heard.hearing(call), annotation)),
  affected: (call, window) => heard.keep(chain.affected(heard.hearing(call), window)),
  manual: (call) => heard.note(chain.manual(call)),
});

export function evidenceContract<Options>({ name, setup }: Contract<Options>): void {
  describe(`contract: ${name}`, () => {
    let fixture: Fixture<Options>;
    let chain: EvidenceChain<Options>;
    let heard: Overheard;

    beforeEach(async () => {
      heard = Overheard.listening();
      fixture = await setup();
      chain = watched(fixture.chain, heard);
    });

    afterEach(async () => {
      vi.restoreAllMocks();
      await fixture.teardown();
      expectFit(heard, fixture.canary);
    });

    const annotation = (): Annotation => ({
      incident: 'INC-7 "quoted" {by}',
      rollbackId: 'a-rollback',
      by: "o'hara",
      at: '2026-11-21T11:00:00.000Z',
      window: { from: fixture.minute(2), to: fixture.minute(5) },
    });
    const expectSound = async (): Promise<void> => {
      const entries = await fixture.entries();
      for (const [place, entry] of entries.entries()) {
        expect(entry.hash, entry.order).toBe(entry.meant);
        if (place > 0) expect(entry.previous, entry.order).toBe(entries[place - 1]?.hash);
      }
    };
    const annotations = async (): Promise<readonly Entry[]> => (await fixture.entries()).filter(({ body }) => body.includes('INC-7'));

    it('says what it is and what it cannot guarantee', () => {
      expect(chain.name).toBe(name);
      expect(name).toMatch(/^[a-z0-9-]+$/);
      expect(chain.limits.every((limit) => /^[A-Z].*\.$/s.test(limit))).toBe(true);
    });

    it('options are strict: valid ones pass, an unknown one is an error that names its place', () => {
      expect(laxness(chain.options, fixture.rawOptions)).toEqual([]);
    });

    describe('survey', () => {
      it('of an empty chain: nothing, and no break', async () => {
        expect(await chain.survey(fixture.call())).toMatchObject({ entries: 0, last: null, head: null, breaks: [], broken: 0 });
      });

      it('of one entry, and of many: how many, the last one, its hash, no break; and changes nothing', async () => {
        for (const count of [1, 40]) {
          await fixture.append(count === 1 ? 1 : count - 1);
          const before = await fixture.snapshot();
          const last = (await fixture.entries()).at(-1);
          expect(await chain.survey(fixture.call())).toMatchObject({ entries: count, last: last?.order, head: last?.hash, breaks: [], broken: 0 });
          expect(await fixture.snapshot()).toStrictEqual(before);
        }
      });

      it('up to an order value it is as it was when that was the last one, whatever came since', async () => {
        await fixture.append(5);
        const then = await chain.survey(fixture.call());
        await fixture.append(3);
        expect(await chain.survey(fixture.call(), then.last)).toStrictEqual(then);
        const now = await chain.survey(fixture.call());
        expect([now.entries, now.digest === then.digest]).toEqual([8, false]);
      });

      it.each([
        ['remove', 4, ['5 gap']],
        ['content', 4, ['4 hash']],
        ['hash', 4, ['4 hash']],
        ['hash', 9, ['9 hash']],
        ['previous', 4, ['4 link']],
        ['previous', 1, ['1 link']],
        ['swap', 4, ['4 link', '5 link', '6 link']],
        ['remove', 1, ['2 link']],
      ] as const)('%s at %i is told as %j, and nothing else is', async (how, place, expected) => {
        await fixture.append(9);
        await fixture.tamper(how, place);
        const { breaks, broken } = await chain.survey(fixture.call());
        expect(breaks.map(({ at, kind }) => `${at} ${kind}`)).toEqual(expected);
        expect(broken).toBe(expected.length);
        for (const { detail } of breaks) expect(detail).toMatch(/^[^\n]+$/);
      });

      it.each([
        ['content', 1],
        ['aside', 0],
        ['hash', 1],
        ['previous', 1],
        ['rewrite', 0],
        ['swap', 3],
        ['remove', 1],
      ] as const)('%s shows in the digest, with %i breaks', async (how, expected) => {
        await fixture.append(6);
        const before = await chain.survey(fixture.call());
        await fixture.tamper(how, 3);
        const { digest, broken } = await chain.survey(fixture.call(), before.last);
        expect(digest).not.toBe(before.digest);
        expect(broken).toBe(expected);
      });

      it('shows the first twenty breaks, and counts all', async () => {
        await fixture.append(30);
        for (let place = 2; place <= 26; place += 1) await fixture.tamper('content', place);
        const { breaks, broken } = await chain.survey(fixture.call());
        expect([broken, breaks.length, breaks[0]?.at, breaks.at(-1)?.at]).toEqual([25, 20, '2', '21']);
      });
    });

    describe('annotate', () => {
      it('appends one linked entry that names the incident and what is affected; nothing that is there is touched', async () => {
        await fixture.append(8);
        await fixture.runs(1, 2, 3, 4, 4, 5);
        const before = await fixture.snapshot();
        const surveyed = await chain.survey(fixture.call());
        const receipt = await chain.annotate(fixture.call(), annotation());
        const [entry] = await annotations();
        expect(receipt.after).toMatchObject({ annotations: 1, first: entry?.order, last: entry?.order, already: false, affected: { entries: 3, runs: 3 } });
        expect((await fixture.snapshot()).slice(0, before.length)).toStrictEqual(before);
        await expectSound();
        const said: unknown = JSON.parse(entry?.body ?? '');
        expect(said).toMatchObject({
          incident: 'INC-7 "quoted" {by}',
          by: "o'hara",
          runs: { count: 3, ids: ['run-2', 'run-3', 'run-4'], more: false },
          entries: { count: 3, first: '3', last: '5' },
        });
        expect(await chain.survey(fixture.call())).toMatchObject({ entries: 9, broken: 0 });
        expect(await chain.survey(fixture.call(), surveyed.last)).toStrictEqual(surveyed);
      });

      it('into an empty chain: the first entry', async () => {
        await chain.annotate(fixture.call(), annotation());
        await expectSound();
        expect(await chain.survey(fixture.call())).toMatchObject({ entries: 1, broken: 0 });
      });

      it('again, and in another generation, it finds its own; another step and another rollback append theirs', async () => {
        await fixture.append(3);
        const { operationId } = fixture.call();
        const first = await chain.annotate(fixture.call(), annotation());
        const before = await fixture.snapshot();
        for (const again of [operationId, operationId.replace(/1$/, '12')]) {
          const { after } = await chain.annotate(fixture.call({ operationId: again }), annotation());
          expect(after).toMatchObject({ annotations: 1, first: (first.after as { first: string }).first, already: true });
          expect(await fixture.snapshot()).toStrictEqual(before);
        }
        for (const other of [operationId.replace('annotate', 'annotate-2'), `another${operationId}`]) {
          await chain.annotate(fixture.call({ operationId: other }), annotation());
        }
        expect(await annotations()).toHaveLength(3);
        await expectSound();
      });

      it('several at once end as one', async () => {
        await fixture.append(3);
        const receipts = await Promise.all(Array.from({ length: 4 }, () => chain.annotate(fixture.call(), annotation())));
        expect(await annotations()).toHaveLength(1);
        expect(receipts.filter(({ after }) => !(after as { already: boolean }).already)).toHaveLength(1);
        await expectSound();
      });

      it.each([true, false])(
        'where the answer to the last word is lost (it took effect: %s) it is unavailable, and the next attempt finds or appends it',
        async (takesEffect) => {
          await fixture.append(3);
          expect((await rejection(chain.annotate(await fixture.lossy(takesEffect), annotation()))).kind).toBe('unavailable');
          const { after } = await chain.annotate(fixture.call({ attempt: 2 }), annotation());
          expect(after).toMatchObject({ already: takesEffect });
          expect(await annotations()).toHaveLength(1);
          await expectSound();
        },
      );

      it('links itself in between an application that goes on appending', async () => {
        await fixture.append(1);
        const pause = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
        const writing = Promise.all([fixture.append(40, pause), fixture.append(40, pause)]);
        const { operationId } = fixture.call();
        for (const step of ['one', 'two', 'three', 'four']) await chain.annotate(fixture.call({ operationId: `${operationId}/${step}/1` }), annotation());
        await writing;
        expect(await annotations()).toHaveLength(4);
        expect(await fixture.entries()).toHaveLength(85);
        await expectSound();
      });

      it('waits for who is writing; where it does not end, it is a conflict that names the program, and nothing is appended', async () => {
        await fixture.append(3);
        const end = await fixture.holding('nightly-export');
        const before = await fixture.snapshot();
        const error = await rejection(chain.annotate(fixture.call(), annotation()));
        expect(error.kind).toBe('conflict');
        expect(error.message).toContain('nightly-export');
        expect(await fixture.snapshot()).toStrictEqual(before);
        const waiting = chain.annotate(fixture.call(), annotation());
        await fixture.awaited();
        await end();
        expect((await waiting).after).toMatchObject({ already: false });
        await expectSound();
      });

      it('stops waiting at once when aborted, and has then appended nothing', async () => {
        await fixture.append(3);
        const end = await fixture.holding('nightly-export');
        const abort = new AbortController();
        const waiting = rejection(chain.annotate(fixture.call({ signal: abort.signal }), annotation()));
        await fixture.awaited();
        const aborted = performance.now();
        abort.abort();
        expect((await waiting).kind).toBe('unavailable');
        expect(performance.now() - aborted).toBeLessThan(1_000);
        await end();
        await chain.annotate(fixture.call(), annotation());
        expect(await annotations()).toHaveLength(1);
      });
    });

    it('affected counts the runs of the window, its end exclusive, each once, and changes nothing', async () => {
      await fixture.append(8);
      await fixture.runs(1, 2, 3, 4, 4, 5);
      const before = await fixture.snapshot();
      expect(await chain.affected(fixture.call(), annotation().window)).toBe(3);
      expect(await chain.affected(fixture.call(), { from: fixture.minute(6), to: fixture.minute(9) })).toBe(0);
      expect(await fixture.snapshot()).toStrictEqual(before);
    });

    it('out of reach it is unavailable, and no secret is in the message', async () => {
      for (const act of [
        () => chain.survey(fixture.away()),
        () => chain.annotate(fixture.away(), annotation()),
        () => chain.affected(fixture.away(), annotation().window),
      ])
        expect((await rejection(act())).kind).toBe('unavailable');
    });

    it('does nothing when aborted before it begins', async () => {
      await fixture.append(2);
      const before = await fixture.snapshot();
      const call = fixture.call({ signal: AbortSignal.abort() });
      for (const answer of [chain.survey(call), chain.annotate(call, annotation()), chain.affected(call, annotation().window)])
        expect((await rejection(answer)).kind).toBe('unavailable');
      expect(await fixture.snapshot()).toStrictEqual(before);
    });

    it('manual gives lines for a shell, with everything filled in', () => {
      const lines = chain.manual(fixture.call());
      expect(lines.length).toBeGreaterThan(0);
      for (const line of lines) expect(line).not.toMatch(/\n|undefined|\[object|<[a-z]+>/i);
      expect(spawnSync('sh', ['-n'], { input: lines.join('\n'), encoding: 'utf8' }).stderr).toBe('');
    });
  });
}
