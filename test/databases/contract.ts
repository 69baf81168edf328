/**
 * The contract of activities/databases/database.ts, for every kind alike: what only looks changes nothing, one undoing is one effect, nothing secret leaves.
 * A kind's test says how to set one up, and proves what is its own (locks, lost connections, recoveries) beside it.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MoreDestroyed, type Database, type DatabaseCall, type Migration } from '../../activities/databases/database.ts';
import type { Destroyed } from '../../model/plan.ts';
import { rejection } from '../adapters/contract.ts';
import { expectFit, laxness, Overheard } from '../support/overheard.ts';

export interface Fixture<Options> {
  readonly database: Database<Options>;
  /** Valid options as a user writes them in `backout.yaml`. */
  readonly rawOptions: Readonly<Record<string, unknown>>;
  /** A call to a house of its own, one operation each time. */
  readonly call: (overrides?: Partial<DatabaseCall<Options>>) => DatabaseCall<Options>;
  /** The newest of the ledger, and what its inverse destroys. */
  readonly newest: Migration;
  readonly destroys: readonly Destroyed[];
  /** Everything that a change of any kind would show in. */
  readonly picture: () => Promise<unknown>;
  /** A query that finds two violations, and one that cannot be run. */
  readonly violated: string;
  readonly broken: string;
  /** Planted in its address and in its rows. */
  readonly canary: string;
  readonly teardown: () => Promise<void>;
}

export function databaseContract<Options>(name: string, create: () => Promise<Fixture<Options>>): void {
  describe(`contract: ${name}`, () => {
    let fixture: Fixture<Options>;
    let heard: Overheard;
    beforeEach(async () => {
      fixture = await create();
      heard = Overheard.listening();
    }, 60_000);
    afterEach(async () => {
      vi.restoreAllMocks();
      expectFit(heard, fixture.canary);
      await fixture.teardown();
    });

    it('is named, tells its limits, and takes no option that it does not know', () => {
      const { database, rawOptions } = fixture;
      expect(database.name).toBe(name);
      expect(database.limits.length).toBeGreaterThan(0);
      expect(laxness(database.options, rawOptions)).toEqual([]);
    });

    it('only looks where it looks', async () => {
      const { database, call, newest, destroys, violated, broken } = fixture;
      const before = await fixture.picture();
      const ledger = await heard.keep(database.ledger(heard.hearing(call())));
      expect(ledger.at(-1)).toMatchObject({ name: newest.name });
      await expect(heard.keep(database.assess(call(), newest.inverse))).resolves.toMatchObject({ transactional: true, destroys, problem: null });
      await expect(heard.keep(database.assess(call(), 'this is no SQL'))).resolves.toMatchObject({ problem: expect.any(String) as string });
      const checks = [
        { name: 'two', covers: 'tenants', sql: violated },
        { name: 'broken', covers: 'other', sql: broken },
      ] as const;
      const [two, cannot] = await heard.keep(database.check(call(), checks));
      expect(two).toEqual({ name: 'two', covers: 'tenants', violations: 2, detail: null });
      expect(cannot).toMatchObject({ violations: null, detail: expect.any(String) as string });
      await expect(database.isSame(call(), await call().secret('env:SHOP_DB'))).resolves.toBe(true);
      heard.note(database.manual(call(), newest));
      expect(await fixture.picture()).toEqual(before);
    });

    it('undoes what was approved, once; the same operation finds its own mark, another one a conflict', async () => {
      const { database, call, newest, destroys } = fixture;
      const own = call();
      const first = await heard.keep(database.undo(heard.hearing(own), newest, destroys));
      expect(first.after).toMatchObject({ migration: newest.name });
      expect((await database.ledger(call())).map((one) => one.name)).not.toContain(newest.name);
      const after = await fixture.picture();
      await expect(heard.keep(database.undo(own, newest, destroys))).resolves.toMatchObject({ after: { already: true } });
      await expect(heard.keep(rejection(database.undo(call(), newest, destroys)))).resolves.toMatchObject({ kind: 'conflict' });
      expect(await fixture.picture()).toEqual(after);
    });

    it('destroys nothing that was not approved', async () => {
      const { database, call, newest, destroys } = fixture;
      const before = await fixture.picture();
      const refused = await heard.keep(rejection(database.undo(call(), newest, [])));
      expect(refused).toBeInstanceOf(MoreDestroyed);
      expect(refused).toMatchObject({ destroys });
      expect(await fixture.picture()).toEqual(before);
    });

    it('stops promptly when it is asked to, with nothing changed', async () => {
      const { database, call, newest, destroys } = fixture;
      const before = await fixture.picture();
      await expect(heard.keep(rejection(database.undo(call({ signal: AbortSignal.abort() }), newest, destroys)))).resolves.toMatchObject({
        kind: 'unavailable',
      });
      expect(await fixture.picture()).toEqual(before);
    });

    it('that cannot be reached is unavailable, and says nothing of how one gets in', async () => {
      const { database, call, canary } = fixture;
      const nowhere = call({ secret: () => Promise.resolve(`postgres://someone:${canary}@127.0.0.1:9/nowhere`) });
      await expect(heard.keep(rejection(database.ledger(nowhere)))).resolves.toMatchObject({ kind: 'unavailable' });
    });
  });
}
