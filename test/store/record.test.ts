import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GENESIS, type StoredEntry, verifyChain } from '../../model/record.ts';
import { canonical, digest, sha256 } from '../../store/digest.ts';
import { openStore } from '../../store/postgres.ts';
import type { Store } from '../../store/store.ts';
import { queryAt, type TestDatabase, testDatabase } from './database.ts';
import { all, entry } from './given.ts';

let database: TestDatabase;
let store: Store;
let other: Store;
beforeAll(async () => {
  database = await testDatabase();
  store = openStore(database.url);
  other = openStore(database.url);
  await store.migrate();
}, 60_000);
afterAll(async () => {
  await store.close();
  await other.close();
  await database.drop();
});

describe('canonical JSON', () => {
  it('is RFC 8785: sorted, without spaces', () => {
    expect(canonical({ b: [1, { d: null, c: 'é' }], a: 1.0 })).toBe('{"a":1,"b":[1,{"c":"é","d":null}]}');
  });
  it('never fails on what people send', () => {
    expect(canonical({ text: '\ud800', escaped: '\\ud800', nul: '\u0000' })).toBe('{"escaped":"\\\\ud800","nul":"\\u0000","text":"\ufffd"}');
    expect(canonical({ '\udfff': 1, smile: '😀' })).toBe('{"smile":"😀","\ufffd":1}');
  });
  it('hashes the previous hash and the body', () => {
    expect(digest(GENESIS, '{}')).toBe(sha256(`${GENESIS}{}`));
    expect(sha256('')).toBe('sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  });
});

describe('the record', () => {
  it('starts from nothing', async () => {
    expect(await store.position(randomUUID())).toEqual({ entries: 0, seq: 0, head: GENESIS });
    expect(await all(store.chain())).toEqual([]);
  });

  it('keeps the first body of an event and adds nothing for a second', async () => {
    const id = randomUUID();
    const first = await store.append(id, [entry(id, `${id}/a`, { n: 1 }), entry(id, `${id}/b`, { n: 2 })]);
    const again = await store.append(id, [entry(id, `${id}/b`, { n: 'changed' }), entry(id, `${id}/c`), entry(id, `${id}/c`, { n: 'twice' })]);
    expect(first.position).toMatchObject({ entries: 2 });
    expect(again.position).toMatchObject({ entries: 3, seq: first.position.seq + 1 });
    expect(again.stored).toEqual([entry(id, `${id}/b`, { n: 2 }), entry(id, `${id}/c`), entry(id, `${id}/c`)]);
    expect(await store.position(id)).toEqual(again.position);
    expect(await store.append(id, [])).toEqual({ position: again.position, stored: [] });
    expect(await store.find(`${id}/b`)).toEqual(entry(id, `${id}/b`, { n: 2 }));
    expect(await store.find(`${id}/nothing`)).toBeNull();
  });

  it('gives back the very text that was hashed, whatever is in it', async () => {
    const id = randomUUID();
    const odd = { at: '2026-11-21T10:00:00Z', text: 'NUL \u0000, half \ud800, ‮RTL, 😀', ['__proto__']: 1 };
    await store.append(id, [entry(id, `${id}/odd \u0000 \udc00`, odd)]);
    const again = await store.append(id, [entry(id, `${id}/odd \u0000 \udc00`, odd)]);
    expect(again.position.entries).toBe(1);
    const [stored] = await store.entriesOf(id);
    expect(stored).toMatchObject({ rollbackId: id, at: '2026-11-21T10:00:00Z' });
    expect(verifyChain(await all(store.chain()), digest)).toEqual([]);
    expect(await store.entriesOf('no uuid')).toEqual([]);
  });

  it('refuses an entry of another rollback', async () => {
    await expect(store.append(randomUUID(), [entry(randomUUID(), 'x')])).rejects.toThrow('belongs to');
  });

  it('stays one chain without a gap when two stores append at once', async () => {
    const id = randomUUID();
    await Promise.all(Array.from({ length: 60 }, (_, n) => (n % 2 === 0 ? store : other).append(id, [entry(id, `${id}/${n}`), entry(id, `${id}/shared`)])));
    const chain = await all(store.chain());
    expect(verifyChain(chain, digest)).toEqual([]);
    expect(chain.map((one) => one.seq)).toEqual(chain.map((_, n) => n + 1));
    expect(await store.position(id)).toMatchObject({ entries: 61, seq: chain.length, head: chain.at(-1)?.hash });
  });

  it('is read in batches', async () => {
    const id = randomUUID();
    const before = (await store.position(id)).seq;
    await store.append(
      id,
      Array.from({ length: 1_200 }, (_, n) => entry(id, `${id}/${n}`)),
    );
    const chain = await all(store.chain());
    expect(chain).toHaveLength(before + 1_200);
    expect(verifyChain(chain, digest)).toEqual([]);
  });

  it('does not append half of a batch', async () => {
    const id = randomUUID();
    const { seq } = await store.position(id);
    await expect(store.append(id, [entry(id, `${id}/1`), entry(randomUUID(), `${id}/2`)])).rejects.toThrow('belongs to');
    expect(await store.position(id)).toMatchObject({ entries: 0, seq });
  });
});

describe('the database itself', () => {
  const changes = [
    `UPDATE ops.record SET body = '{}'`,
    'DELETE FROM ops.record',
    'TRUNCATE ops.record',
    `UPDATE ops.record SET body = '{}' WHERE false`,
    `INSERT INTO ops.record SELECT * FROM ops.record LIMIT 1 ON CONFLICT (seq) DO UPDATE SET body = '{}'`,
    `SET session_replication_role = replica; DELETE FROM ops.record`,
    'TRUNCATE ops.histories',
    'DELETE FROM ops.histories',
  ];
  it.each(changes)('refuses %s even to its superuser', async (change) => {
    await expect(database.query(change)).rejects.toThrow(/ops\.(?:record|histories) only grows: (?:UPDATE|DELETE|TRUNCATE) is refused/);
  });

  it('refuses it to an owner who is no superuser', async () => {
    const url = await database.another();
    const role = `owner_${randomUUID().slice(0, 8)}`;
    await queryAt(url, `CREATE ROLE ${role} LOGIN PASSWORD 'secret'`);
    await queryAt(url, `GRANT CREATE ON DATABASE ${new URL(url).pathname.slice(1)} TO ${role}`);
    const asOwner = new URL(url);
    asOwner.username = role;
    asOwner.password = 'secret';
    const owned = openStore(asOwner.href);
    try {
      await owned.migrate();
      const id = randomUUID();
      await owned.append(id, [entry(id, 'one')]);
      await expect(queryAt(asOwner.href, 'DELETE FROM ops.record')).rejects.toThrow('permission denied');
    } finally {
      await owned.close();
      await queryAt(url, `DROP OWNED BY ${role} CASCADE`);
      await queryAt(url, `DROP ROLE ${role}`);
    }
  });
});

describe('verifyChain', () => {
  /** A chain of five that somebody with every right then changed. */
  async function tampered(change: string): Promise<{ chain: StoredEntry[]; head: string; url: string }> {
    const url = await database.another();
    const mine = openStore(url);
    try {
      await mine.migrate();
      const id = randomUUID();
      const { position } = await mine.append(
        id,
        Array.from({ length: 5 }, (_, n) => entry(id, `${id}/${n}`, { n })),
      );
      await queryAt(url, `ALTER TABLE ops.record DISABLE TRIGGER USER; ${change}; ALTER TABLE ops.record ENABLE ALWAYS TRIGGER record_only_grows`);
      return { chain: await all(mine.chain()), head: position.head, url };
    } finally {
      await mine.close();
    }
  }
  const faultsAt = (chain: StoredEntry[]): number[] => [...new Set(verifyChain(chain, digest).map((fault) => fault.seq))];

  it('finds nothing where nothing was changed', async () => {
    expect(faultsAt((await tampered('SELECT 1')).chain)).toEqual([]);
  });
  it('finds an edited body', async () => {
    expect(faultsAt((await tampered(`UPDATE ops.record SET body = replace(body, '"n":2', '"n":7') WHERE seq = 3`)).chain)).toEqual([3]);
  });
  it('finds an edited column beside the body', async () => {
    expect(faultsAt((await tampered(`UPDATE ops.record SET at = '2020-01-01T00:00:00.000Z' WHERE seq = 3`)).chain)).toEqual([3]);
  });
  it('finds an edit whose hash was made to fit, at the entry after it', async () => {
    const change = `UPDATE ops.record SET body = replace(body, '"n":2', '"n":7') WHERE seq = 3;
      UPDATE ops.record SET hash = 'sha256:' || encode(sha256(convert_to(previous || body, 'UTF8')), 'hex') WHERE seq = 3`;
    expect(faultsAt((await tampered(change)).chain)).toEqual([4]);
  });
  it('finds a deleted entry', async () => {
    expect(faultsAt((await tampered('DELETE FROM ops.record WHERE seq = 3')).chain)).toEqual([3, 4]);
  });
  it('finds a deleted entry whose gap was closed', async () => {
    expect(faultsAt((await tampered('DELETE FROM ops.record WHERE seq = 3; UPDATE ops.record SET seq = seq - 1 WHERE seq > 3')).chain)).toEqual([3]);
  });
  it('finds re-ordered entries', async () => {
    expect(
      faultsAt(
        (
          await tampered(
            'UPDATE ops.record SET seq = 99 WHERE seq = 2; UPDATE ops.record SET seq = 2 WHERE seq = 3; UPDATE ops.record SET seq = 3 WHERE seq = 99',
          )
        ).chain,
      ),
    ).toEqual([2, 3, 4]);
  });
  it('finds a beginning that was cut off', async () => {
    expect(faultsAt((await tampered('DELETE FROM ops.record WHERE seq < 3')).chain)).toEqual([1, 3]);
  });
  it('cannot see a tail that was cut off: the head that was kept elsewhere shows it', async () => {
    const { chain, head } = await tampered('DELETE FROM ops.record WHERE seq > 3');
    expect(faultsAt(chain)).toEqual([]);
    expect(chain.map((one) => one.hash)).not.toContain(head);
  });
});
