/**
 * The contract of activities/configs/source.ts, for every source of configuration alike. A source's test says how to set one up (a real one, or a
 * fake that is a process of its own) and adds only its peculiarities.
 */
import { spawnSync } from 'node:child_process';

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { ConfigCall, ConfigMark, ConfigSource } from '../../activities/configs/source.ts';
import { rejection } from '../adapters/contract.ts';
import { expectFit, laxness, Overheard } from '../support/overheard.ts';

type Values = Readonly<Record<string, string>>;

export interface Fixture<Options> {
  readonly source: ConfigSource<Options>;
  /** Valid options as a user writes them in `backout.yaml`: `PLAIN` may be shown, every other key is a secret. */
  readonly rawOptions: Readonly<Record<string, unknown>>;
  readonly call: (overrides?: Partial<ConfigCall<Options>>) => ConfigCall<Options>;
  /** What is there, read by other means than the source's own; at the start `PLAIN`, `SECRET` and `OTHER`, the last two with `canary` in them. */
  readonly values: () => Promise<Values>;
  /** Somebody else sets keys, or removes them with null. */
  readonly change: (values: Readonly<Record<string, string | null>>) => Promise<void>;
  /** A call during whose `apply` somebody else sets `PLAIN` to `theirs`, after the source has looked and before it writes. */
  readonly raced: () => ConfigCall<Options>;
  /** A call whose `apply` cannot write. */
  readonly broken: () => Promise<ConfigCall<Options>>;
  /** All that a change of any kind would show in, what was kept included. */
  readonly snapshot: () => Promise<unknown>;
  /** Where values are kept, if it is a place on this machine: every file and folder there, with its mode. */
  readonly kept: () => Promise<readonly { readonly name: string; readonly mode: number }[]>;
  /** Loses all that was kept. */
  readonly lose: () => Promise<void>;
  readonly canary: string;
  readonly teardown: () => Promise<void>;
}

export interface Contract<Options> {
  readonly name: string;
  readonly setup: () => Promise<Fixture<Options>>;
}

const FINGERPRINT = /^fingerprint:[0-9a-f]{12}$/;

/** Keeps all that leaves the source, so that each test ends with the same questions about it. */
function watched<Options>(source: ConfigSource<Options>, heard: Overheard): ConfigSource<Options> {
  return {
    name: source.name,
    options: source.options,
    limits: source.limits,
    record: (call) => heard.keep(source.record(heard.hearing(call))),
    compare: (call, mark) => heard.keep(source.compare(heard.hearing(call), mark)),
    apply: (call, mark) => heard.keep(source.apply(heard.hearing(call), mark)),
    manual: (call, mark) => heard.note(source.manual(call, mark)),
  };
}

export function configContract<Options>({ name, setup }: Contract<Options>): void {
  describe(`contract: ${name}`, () => {
    let fixture: Fixture<Options>;
    let source: ConfigSource<Options>;
    let heard: Overheard;

    beforeEach(async () => {
      heard = Overheard.listening();
      fixture = await setup();
      source = watched(fixture.source, heard);
    });

    afterEach(async () => {
      vi.restoreAllMocks();
      await fixture.teardown();
      expectFit(heard, fixture.canary);
    });

    const drift = (call = fixture.call()): Promise<void> =>
      fixture.change({ PLAIN: 'drifted', SECRET: `another ${call.component}`, OTHER: null, NEW: 'since' });
    const drifted = async (mark: ConfigMark): Promise<string[]> =>
      (await source.compare(fixture.call(), mark)).filter((one) => one.now !== one.then).map((one) => one.key);

    it('says what it is and what it cannot guarantee', () => {
      expect(source.name).toBe(name);
      expect(name).toMatch(/^[a-z0-9-]+$/);
      expect(source.limits.every((limit) => /^[A-Z].*\.$/s.test(limit))).toBe(true);
    });

    it('options are strict: valid ones pass, an unknown one is an error that names its place', () => {
      expect(laxness(source.options, fixture.rawOptions)).toEqual([]);
    });

    it('record keeps the values as they are, changes none of them, and shows a secret by fingerprint only', async () => {
      const before = await fixture.values();
      const mark = await source.record(fixture.call());
      expect(await fixture.values()).toEqual(before);
      expect(Object.keys(mark.keys)).toEqual(['OTHER', 'PLAIN', 'SECRET']);
      expect(mark.keys['PLAIN']).toBe(before['PLAIN']);
      for (const key of ['OTHER', 'SECRET']) expect(mark.keys[key]).toMatch(FINGERPRINT);
      expect(mark.keys['OTHER']).not.toBe(mark.keys['SECRET']);
    });

    it('what it keeps is for the worker alone', async () => {
      await source.record(fixture.call());
      for (const { name: file, mode } of await fixture.kept()) expect(mode & 0o077, file).toBe(0);
    });

    it('the same values give the same id, other values another one', async () => {
      const first = await source.record(fixture.call());
      expect(await source.record(fixture.call())).toEqual(first);
      await fixture.change({ PLAIN: 'other' });
      const second = await source.record(fixture.call());
      expect(second.id).not.toBe(first.id);
      await fixture.change({ PLAIN: first.keys['PLAIN'] ?? '' });
      expect(await source.record(fixture.call())).toEqual(first);
    });

    it('compare shows every key of either, sorted, null where it is not there, and changes nothing', async () => {
      const mark = await source.record(fixture.call());
      expect(await drifted(mark)).toEqual([]);
      await drift();
      const before = await fixture.snapshot();
      const compared = await source.compare(fixture.call(), mark);
      expect(await fixture.snapshot()).toStrictEqual(before);
      expect(compared.map((one) => [one.key, one.now, one.then])).toEqual([
        ['NEW', expect.stringMatching(FINGERPRINT), null],
        ['OTHER', null, mark.keys['OTHER']],
        ['PLAIN', 'drifted', mark.keys['PLAIN']],
        ['SECRET', expect.stringMatching(FINGERPRINT), mark.keys['SECRET']],
      ]);
      expect(compared[3]?.now).not.toBe(compared[3]?.then);
    });

    it('compare and apply need only the id of what was recorded, and say not-found where it is gone', async () => {
      const { id } = await source.record(fixture.call());
      await drift();
      expect(await drifted({ id, keys: {} })).toEqual(['NEW', 'OTHER', 'PLAIN', 'SECRET']);
      await fixture.lose();
      const before = await fixture.snapshot();
      for (const other of [id, '../../etc/passwd', ''])
        for (const act of ['compare', 'apply'] as const) expect((await rejection(source[act](fixture.call(), { id: other, keys: {} }))).kind).toBe('not-found');
      expect(await fixture.snapshot()).toStrictEqual(before);
    });

    it('apply sets back every drifted key, adds what is missing, removes what came since; the receipt names keys', async () => {
      const before = await fixture.values();
      const mark = await source.record(fixture.call());
      await drift();
      const receipt = JSON.stringify(await source.apply(fixture.call(), mark));
      for (const key of ['NEW', 'OTHER', 'PLAIN', 'SECRET']) expect(receipt).toContain(key);
      expect(await fixture.values()).toEqual(before);
      expect(await drifted(mark)).toEqual([]);
    });

    it('apply again finds nothing left to do', async () => {
      const mark = await source.record(fixture.call());
      await drift();
      await source.apply(fixture.call(), mark);
      const [values, before] = [await fixture.values(), await fixture.snapshot()];
      const receipt = JSON.stringify(await source.apply(fixture.call(), mark));
      for (const key of ['NEW', 'OTHER', 'PLAIN', 'SECRET']) expect(receipt).not.toContain(key);
      expect(await fixture.values()).toEqual(values);
      expect(await fixture.snapshot()).toStrictEqual(before);
    });

    it('two at once end as one', async () => {
      const before = await fixture.values();
      const mark = await source.record(fixture.call());
      await drift();
      await Promise.all([source.apply(fixture.call(), mark), source.apply(fixture.call({ operationId: 'another' }), mark)]);
      expect(await fixture.values()).toEqual(before);
    });

    it('a write that somebody else made meanwhile is a conflict: theirs stays, and none of ours is there', async () => {
      const mark = await source.record(fixture.call());
      await fixture.change({ SECRET: 'drifted', PLAIN: 'drifted' });
      expect((await rejection(source.apply(fixture.raced(), mark))).kind).toBe('conflict');
      expect(await fixture.values()).toMatchObject({ PLAIN: 'theirs', SECRET: 'drifted' });
    });

    it('where it cannot write, all stays as it is', async () => {
      const mark = await source.record(fixture.call());
      await drift();
      const before = await fixture.values();
      await rejection(source.apply(await fixture.broken(), mark));
      expect(await fixture.values()).toEqual(before);
    });

    it('does nothing when aborted before it begins', async () => {
      const mark = await source.record(fixture.call());
      await drift();
      const before = await fixture.snapshot();
      const call = fixture.call({ signal: AbortSignal.abort() });
      for (const answer of [source.record(call), source.compare(call, mark), source.apply(call, mark)]) await rejection(answer);
      expect(await fixture.snapshot()).toStrictEqual(before);
    });

    it('manual gives shell commands with everything filled in', async () => {
      const mark = await source.record(fixture.call());
      const lines = source.manual(fixture.call(), mark);
      expect(lines.length).toBeGreaterThan(0);
      expect(lines.join('\n')).toContain(mark.id);
      for (const line of lines) expect(line).not.toMatch(/\n|undefined|\[object|<[a-z]+>/i);
      expect(spawnSync('sh', ['-n'], { input: lines.join('\n'), encoding: 'utf8' }).stderr).toBe('');
    });
  });
}
