/**
 * The contracts of activities/credentials/authority.ts, for every authority and every holder alike. A platform's test says how to set one up (a real one,
 * or a fake that is a process of its own) and adds only its peculiarities.
 */
import { spawnSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { CredentialAuthority, CredentialCall, CredentialHolder, Grant } from '../../activities/credentials/authority.ts';
import { rejection } from '../adapters/contract.ts';
import { expectFit, laxness, Overheard } from '../support/overheard.ts';

/** Every file and folder where secrets are, with its mode. */
type Modes = readonly { readonly name: string; readonly mode: number }[];

export interface AuthorityFixture<Options> {
  readonly authority: CredentialAuthority<Options>;
  /** Valid options as a user writes them in `backout.yaml`. */
  readonly rawOptions: Readonly<Record<string, unknown>>;
  /** With one operationId each time, `ROLLBACK/STEP/0`. */
  readonly call: (overrides?: Partial<CredentialCall<Options>>) => CredentialCall<Options>;
  /** The only live generation at the start, issued by other means, never used; `canary` is its secret. */
  readonly old: string;
  readonly canary: string;
  /** Uses a secret, as the caller `shop` does; false: it was refused. */
  readonly use: (secret: string, scope: string, tenant: string) => Promise<boolean>;
  /** What allows `scope`, of two that `use` knows, for `tenant`, of two. */
  readonly grant: Grant;
  readonly refused: readonly { readonly scope: string; readonly tenant: string }[];
  /** All that a change of any kind would show in, what was kept included. */
  readonly snapshot: () => Promise<unknown>;
  readonly kept: () => Promise<Modes>;
  /** Every secret that this worker keeps. */
  readonly secrets: () => Promise<readonly string[]>;
  /** The worker loses all that it kept. */
  readonly lose: () => Promise<void>;
  /** What accepts keys is gone. */
  readonly down: () => Promise<void>;
  /** It gives no answer for ten seconds. */
  readonly stall: () => Promise<void>;
  readonly teardown: () => Promise<void>;
}

/** At once is the promise; the rest is a busy machine. */
const PROMPTLY_MS = 3_000;

export function authorityContract<Options>({ name, setup }: { name: string; setup: () => Promise<AuthorityFixture<Options>> }): void {
  describe(`contract: ${name}`, () => {
    let fixture: AuthorityFixture<Options>;
    let authority: CredentialAuthority<Options>;
    let heard: Overheard;
    const secrets = new Set<string>();

    beforeEach(async () => {
      heard = Overheard.listening();
      fixture = await setup();
      const given = fixture.authority;
      secrets.clear();
      secrets.add(fixture.canary);
      /** What is kept when the call ends is a secret that nobody may hear, for the rest of the test. */
      const keep = async <T>(answer: Promise<T>): Promise<T> => {
        try {
          return await heard.keep(answer);
        } finally {
          for (const secret of await fixture.secrets()) secrets.add(secret);
        }
      };
      authority = {
        ...given,
        generations: (call) => keep(given.generations(heard.hearing(call))),
        issue: (call, grant) => keep(given.issue(heard.hearing(call), grant)),
        adopt: (call, secret) => keep(given.adopt(heard.hearing(call), secret)),
        // The one thing that may hold a secret; what it throws may not.
        reveal: (call, id) =>
          given.reveal(heard.hearing(call), id).catch((error: unknown) => {
            throw heard.note(error);
          }),
        accepts: (call, secret) => keep(given.accepts(heard.hearing(call), secret)),
        revoke: (call, id, last) => keep(given.revoke(heard.hearing(call), id, last)),
        manual: (call) => heard.note(given.manual(call)),
      };
    });

    afterEach(async () => {
      vi.restoreAllMocks();
      await fixture.teardown();
      for (const secret of secrets) expectFit(heard, secret);
    });

    const issue = async (call = fixture.call()): Promise<string> => String((await authority.issue(call, fixture.grant)).ids?.['generation']);
    const live = async (): Promise<string[]> => (await authority.generations(fixture.call())).filter(({ state }) => state === 'live').map(({ id }) => id);
    const other = (number: number, step = 'key.issue'): CredentialCall<Options> => fixture.call({ operationId: `another/${step}/${number}` });

    it('says what it is and what it cannot guarantee', () => {
      expect(authority.name).toBe(name);
      expect(name).toMatch(/^[a-z0-9-]+$/);
      for (const text of [...authority.limits, authority.fence.window]) expect(text).toMatch(/^[A-Z].*\.$/s);
    });

    it('options are strict: valid ones pass, an unknown one is an error that names its place', () => {
      expect(laxness(authority.options, fixture.rawOptions)).toEqual([]);
    });

    it('generations are shown newest first, and looking changes nothing', async () => {
      const before = await fixture.snapshot();
      expect((await authority.generations(fixture.call())).map(({ id, state }) => [id, state])).toEqual([[fixture.old, 'live']]);
      expect(await fixture.snapshot()).toStrictEqual(before);
      const id = await issue();
      expect((await authority.generations(fixture.call())).map((one) => one.id)).toEqual([id, fixture.old]);
    });

    it('tells when and by whom a generation was last used, if it says so', async () => {
      const [{ scope, tenant }] = [{ scope: fixture.grant.scopes[0] ?? '', tenant: fixture.grant.tenants?.[0] ?? '' }];
      expect(await authority.generations(fixture.call())).toMatchObject([{ lastUsedAt: null, lastUsedBy: null }]);
      expect(await fixture.use(fixture.canary, scope, tenant)).toBe(true);
      const [used] = await authority.generations(fixture.call());
      expect(used?.lastUsedBy).toBe(authority.tellsUse ? 'shop' : null);
      expect(Math.abs(Date.parse(used?.lastUsedAt ?? '') - Date.now()) < 60_000).toBe(authority.tellsUse);
    });

    it('issues one that works, with exactly what is granted, and keeps its secret for the worker alone', async () => {
      const id = await issue();
      const [newest] = await authority.generations(fixture.call());
      expect(newest).toMatchObject({ id, state: 'live', ...fixture.grant });
      const secret = await authority.reveal(fixture.call(), id);
      expect(await authority.accepts(fixture.call(), secret)).toBe(true);
      for (const scope of fixture.grant.scopes)
        for (const tenant of fixture.grant.tenants ?? []) expect(await fixture.use(secret, scope, tenant), `${scope} of ${tenant}`).toBe(true);
      expect(fixture.refused.length).toBeGreaterThan(1);
      for (const { scope, tenant } of fixture.refused) expect(await fixture.use(secret, scope, tenant), `${scope} of ${tenant}`).toBe(false);
      expect((await fixture.kept()).length).toBeGreaterThan(1);
      for (const { name: file, mode } of await fixture.kept()) expect(mode & 0o077, file).toBe(0);
      expect(await live()).toEqual([id, fixture.old]);
    });

    it('issue called again, by an attempt or after a decision, finds its own and changes nothing', async () => {
      const id = await issue();
      const before = await fixture.snapshot();
      expect(await issue()).toBe(id);
      expect(await issue(fixture.call({ operationId: fixture.call().operationId.replace(/0$/, '1') }))).toBe(id);
      expect(await fixture.snapshot()).toStrictEqual(before);
    });

    it('two attempts at once issue one generation; two operations one each', async () => {
      const ids = await Promise.all([0, 1, 2].map(() => issue()));
      expect(new Set(ids).size).toBe(1);
      expect((await live()).length).toBe(2);
      const more = await Promise.all([issue(other(0, 'a')), issue(other(0, 'b'))]);
      expect(new Set([...ids, ...more]).size).toBe(3);
    });

    it('where the secret was lost, that orphan is revoked and told, and another one is issued', async () => {
      const lost = await issue();
      const [secret = ''] = await fixture.secrets();
      await fixture.lose();
      const receipt = await authority.issue(fixture.call(), fixture.grant);
      const id = String(receipt.ids?.['generation']);
      expect(id).not.toBe(lost);
      expect(JSON.stringify(receipt)).toContain(lost);
      expect(await live()).toEqual([id, fixture.old]);
      expect(await authority.accepts(fixture.call(), secret)).toBe(false);
      expect(await authority.accepts(fixture.call(), await authority.reveal(fixture.call(), id))).toBe(true);
    });

    it('where its generation was revoked meanwhile, another one is issued', async () => {
      const first = await issue();
      await authority.revoke(fixture.call(), first, false);
      const second = await issue();
      expect(second).not.toBe(first);
      expect(await live()).toEqual([second, fixture.old]);
    });

    it('reveals only what it keeps', async () => {
      const id = await issue();
      for (const one of [fixture.old, 'nothing', '', '../../etc/passwd', `${id}/../${id}`])
        expect((await rejection(authority.reveal(fixture.call(), one))).kind, one).toBe('not-found');
      await fixture.lose();
      expect((await rejection(authority.reveal(fixture.call(), id))).kind).toBe('not-found');
    });

    it('a secret that a holder has is recognised and kept from then on, another one is not', async () => {
      const before = await fixture.snapshot();
      expect(await authority.adopt(fixture.call(), 'nobody-knows-this-one')).toBeNull();
      expect(await fixture.snapshot()).toStrictEqual(before);
      for (const _ of [1, 2]) expect(await authority.adopt(fixture.call(), fixture.canary)).toBe(fixture.old);
      expect(await authority.reveal(fixture.call(), fixture.old)).toBe(fixture.canary);
      for (const { name: file, mode } of await fixture.kept()) expect(mode & 0o077, file).toBe(0);
      await issue();
      await authority.revoke(fixture.call(), fixture.old, false);
      expect(await authority.adopt(fixture.call(), fixture.canary)).toBeNull();
    });

    it('asks what accepts keys, and never says no where that gave no answer', async () => {
      expect(await authority.accepts(fixture.call(), fixture.canary)).toBe(true);
      expect(await authority.accepts(fixture.call(), `${fixture.canary}x`)).toBe(false);
      const odd = `${fixture.canary}\nx`;
      await authority.accepts(fixture.call(), odd).then(
        (accepted) => expect(accepted).toBe(false),
        (error: unknown) => expect(error).toMatchObject({ kind: 'configuration' }),
      );
      await fixture.down();
      expect((await rejection(authority.accepts(fixture.call(), fixture.canary))).kind).toBe('unavailable');
    });

    it('revokes one, proves that it is not accepted any more, forgets its secret, and leaves the others', async () => {
      const id = await issue();
      const secret = await authority.reveal(fixture.call(), id);
      const receipt = await authority.revoke(fixture.call(), id, false);
      expect(receipt).toMatchObject({ after: { already: false }, ids: { generation: id } });
      expect(await authority.accepts(fixture.call(), secret)).toBe(false);
      expect(await fixture.use(secret, fixture.grant.scopes[0] ?? '', fixture.grant.tenants?.[0] ?? '')).toBe(false);
      expect(await authority.accepts(fixture.call(), fixture.canary)).toBe(true);
      expect((await rejection(authority.reveal(fixture.call(), id))).kind).toBe('not-found');
      expect(await fixture.secrets()).not.toContain(secret);
      expect(await live()).toEqual([fixture.old]);
    });

    it('one that is revoked already is left as it is, and the receipt says so; one that is not there is not-found', async () => {
      await issue();
      await authority.revoke(fixture.call(), fixture.old, false);
      const before = await fixture.snapshot();
      expect(await authority.revoke(fixture.call(), fixture.old, false)).toMatchObject({ after: { already: true } });
      expect(await authority.revoke(other(0), fixture.old, true)).toMatchObject({ after: { already: true } });
      for (const id of ['nothing', '', '../escape']) expect((await rejection(authority.revoke(fixture.call(), id, true))).kind).toBe('not-found');
      expect(await fixture.snapshot()).toStrictEqual(before);
    });

    it('the last live one is never revoked unless that is allowed', async () => {
      const before = await fixture.snapshot();
      expect((await rejection(authority.revoke(fixture.call(), fixture.old, false))).kind).toBe('protected');
      expect(await fixture.snapshot()).toStrictEqual(before);
      expect(await authority.accepts(fixture.call(), fixture.canary)).toBe(true);
      await authority.revoke(fixture.call(), fixture.old, true);
      expect(await authority.accepts(fixture.call(), fixture.canary)).toBe(false);
    });

    it('two that revoke each other at once leave one live', async () => {
      const id = await issue();
      const ends = await Promise.allSettled([authority.revoke(other(0), id, false), authority.revoke(other(1), fixture.old, false)]);
      expect(ends.filter(({ status }) => status === 'rejected')).toMatchObject([{ reason: { kind: 'protected' } }]);
      expect((await live()).length).toBe(1);
    });

    it('does nothing when aborted before it begins', async () => {
      const id = await issue();
      const before = await fixture.snapshot();
      const call = fixture.call({ signal: AbortSignal.abort(), operationId: 'another/issue/0' });
      const { canary, grant } = fixture;
      const answers = [authority.generations(call), authority.issue(call, grant), authority.adopt(call, canary), authority.reveal(call, id)];
      for (const answer of [...answers, authority.accepts(call, canary), authority.revoke(call, id, true)])
        expect((await rejection(answer)).kind).toBe('unavailable');
      expect(await fixture.snapshot()).toStrictEqual(before);
    });

    it.each(['accepts', 'revoke'] as const)('%s says that it is alive while it waits, and stops waiting promptly when aborted', async (act) => {
      const id = await issue();
      const secret = await authority.reveal(fixture.call(), id);
      await fixture.stall();
      const abort = new AbortController();
      let beats = 0;
      const call = fixture.call({ signal: abort.signal, heartbeat: () => (beats += 1) });
      const answer = rejection(act === 'accepts' ? authority.accepts(call, secret) : authority.revoke(call, id, false));
      await expect.poll(() => beats, { timeout: 8_000 }).toBeGreaterThan(4);
      const aborted = performance.now();
      abort.abort();
      expect((await answer).kind).toBe('unavailable');
      expect(performance.now() - aborted).toBeLessThan(PROMPTLY_MS);
    });

    it('manual gives lines with everything filled in but the choice', () => {
      const lines = authority.manual(fixture.call());
      expect(lines.length).toBeGreaterThan(0);
      for (const line of lines) expect(line).not.toMatch(/\n|undefined|\[object|<[a-z]+>/i);
      expect(spawnSync('sh', ['-n'], { input: lines.join('\n'), encoding: 'utf8' }).stderr).toBe('');
    });
  });
}

export interface HolderFixture<Options> {
  readonly holder: CredentialHolder<Options>;
  readonly rawOptions: Readonly<Record<string, unknown>>;
  readonly call: (overrides?: Partial<CredentialCall<Options>>) => CredentialCall<Options>;
  /** What is there, read by other means than the holder's own: the credential (`canary` with `-old` behind it at the start), and all else that is held there. */
  readonly held: () => Promise<{ readonly credential: string | null; readonly rest: unknown }>;
  /** Somebody else takes the credential away. */
  readonly empty: () => Promise<void>;
  /** How often what runs was made to read it again. */
  readonly reloads: () => Promise<number>;
  /** A call whose reload fails, after it has written out all that it can read. */
  readonly failing: () => CredentialCall<Options>;
  /** A call during whose `write` somebody else sets it to `theirs`, after the holder has looked and before it writes. */
  readonly raced: () => CredentialCall<Options>;
  /** A call whose `write` cannot write. */
  readonly broken: () => Promise<CredentialCall<Options>>;
  readonly snapshot: () => Promise<unknown>;
  /** In every secret. */
  readonly canary: string;
  readonly teardown: () => Promise<void>;
}

export function holderContract<Options>({ name, setup }: { name: string; setup: () => Promise<HolderFixture<Options>> }): void {
  describe(`contract: ${name}`, () => {
    let fixture: HolderFixture<Options>;
    let holder: CredentialHolder<Options>;
    let heard: Overheard;
    let fresh = '';

    beforeEach(async () => {
      heard = Overheard.listening();
      fixture = await setup();
      fresh = `${fixture.canary}-new`;
      const given = fixture.holder;
      holder = {
        ...given,
        read: (call) =>
          given.read(heard.hearing(call)).catch((error: unknown) => {
            throw heard.note(error);
          }),
        place: (call) => heard.note(given.place(call)),
        write: (call, secret) => heard.keep(given.write(heard.hearing(call), secret)),
      };
    });

    afterEach(async () => {
      vi.restoreAllMocks();
      await fixture.teardown();
      expectFit(heard, fixture.canary);
    });

    it('says what it is and what it cannot guarantee; options are strict', () => {
      expect(holder.name).toBe(name);
      expect(holder.limits.every((limit) => /^[A-Z].*\.$/s.test(limit))).toBe(true);
      expect(laxness(holder.options, fixture.rawOptions)).toEqual([]);
    });

    it('reads what it holds, null where that is nothing, and changes nothing', async () => {
      const before = await fixture.snapshot();
      expect(await holder.read(fixture.call())).toBe(`${fixture.canary}-old`);
      expect(await fixture.snapshot()).toStrictEqual(before);
      await fixture.empty();
      expect(await holder.read(fixture.call())).toBeNull();
    });

    it('puts the secret there, leaves all else, and has what runs read it', async () => {
      const { rest } = await fixture.held();
      await holder.write(fixture.call(), fresh);
      expect(await fixture.held()).toEqual({ credential: fresh, rest });
      expect(await holder.read(fixture.call())).toBe(fresh);
      expect(await fixture.reloads()).toBe(1);
    });

    it('puts it where there is none', async () => {
      await fixture.empty();
      const { rest } = await fixture.held();
      await holder.write(fixture.call(), fresh);
      expect(await fixture.held()).toEqual({ credential: fresh, rest });
    });

    it('one that has it already is neither written nor reloaded', async () => {
      await holder.write(fixture.call(), fresh);
      const before = await fixture.snapshot();
      await holder.write(fixture.call(), fresh);
      expect(await fixture.snapshot()).toStrictEqual(before);
      expect(await fixture.reloads()).toBe(1);
    });

    it('a reload that failed is a failure, and is due until it succeeds', async () => {
      for (const _ of [1, 2]) expect((await rejection(holder.write(fixture.failing(), fresh))).kind).toBe('failed');
      expect((await fixture.held()).credential).toBe(fresh);
      const reloads = await fixture.reloads();
      await holder.write(fixture.call(), fresh);
      expect(await fixture.reloads()).toBe(reloads + 1);
      await holder.write(fixture.call(), fresh);
      expect(await fixture.reloads()).toBe(reloads + 1);
    });

    it('two at once end as one', async () => {
      await Promise.all([0, 1, 2].map((number) => holder.write(fixture.call({ operationId: `run/write/${number}` }), fresh)));
      expect((await fixture.held()).credential).toBe(fresh);
      expect(await fixture.reloads()).toBe(1);
    });

    it('a write that somebody else made meanwhile is a conflict: theirs stays', async () => {
      expect((await rejection(holder.write(fixture.raced(), fresh))).kind).toBe('conflict');
      expect((await fixture.held()).credential).toBe('theirs');
    });

    it('where it cannot write, all stays as it is', async () => {
      const before = await fixture.held();
      await rejection(holder.write(await fixture.broken(), fresh));
      expect(await fixture.held()).toEqual(before);
    });

    it('does nothing when aborted before it begins', async () => {
      const before = await fixture.snapshot();
      const call = fixture.call({ signal: AbortSignal.abort() });
      for (const answer of [holder.read(call), holder.write(call, fresh)]) expect((await rejection(answer)).kind).toBe('unavailable');
      expect(await fixture.snapshot()).toStrictEqual(before);
    });
  });
}
