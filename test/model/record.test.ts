/** Each way in which a chain can be broken, and that it is found. The store's own tests do the same in Postgres. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GENESIS, verifyChain, type StoredEntry } from '../../model/record.ts';
import { canonical, digest } from '../../store/digest.ts';

const AT = '2026-11-21T10:00:00.000Z';

function chain(length: number): StoredEntry[] {
  const entries: StoredEntry[] = [];
  for (let seq = 1; seq <= length; seq += 1) {
    const body = canonical({ event: `run/${seq}`, rollbackId: 'r', at: AT, type: 'step', seq });
    const previous = entries.at(-1)?.hash ?? GENESIS;
    entries.push({ seq, rollbackId: 'r', at: AT, body, previous, hash: digest(previous, body) });
  }
  return entries;
}
const faultsOf = (entries: readonly StoredEntry[]): string[] => verifyChain(entries, digest).map((one) => `${one.seq}: ${one.fault}`);
const changed = (entries: readonly StoredEntry[], index: number, more: Partial<StoredEntry>): StoredEntry[] =>
  entries.map((entry, at) => (at === index ? { ...entry, ...more } : entry));

describe('verifyChain', () => {
  it('finds nothing in a whole chain, nor in none at all', () => {
    expect(faultsOf(chain(5))).toEqual([]);
    expect(faultsOf([])).toEqual([]);
  });

  it('finds an edited body, and only there', () => {
    const entries = chain(4);
    const body = entries[1]!.body.replace('"step"', '"done"');
    expect(faultsOf(changed(entries, 1, { body }))).toEqual(['2: entry 2 was edited: its hash does not match its body']);
  });

  it('finds an edited body whose hash was made anew: the next one does not follow', () => {
    const entries = chain(4);
    const body = entries[1]!.body.replace('"step"', '"done"');
    const forged = changed(entries, 1, { body, hash: digest(entries[1]!.previous, body) });
    expect(faultsOf(forged)).toEqual(['3: entry 3 does not follow the entry before it: deleted, inserted or re-ordered']);
  });

  it('finds a deleted entry', () => {
    expect(faultsOf(chain(4).filter((entry) => entry.seq !== 2))).toEqual([
      '2: entry 2 is missing (the next one is 3)',
      '3: entry 3 does not follow the entry before it: deleted, inserted or re-ordered',
    ]);
  });

  it('finds a deleted first entry', () => {
    expect(faultsOf(chain(3).slice(1))[0]).toBe('1: entry 1 is missing (the next one is 2)');
  });

  it('finds re-ordered entries, even where their numbers were set right', () => {
    const [first, second, third] = chain(3);
    const swapped = [first!, { ...third!, seq: 2 }, { ...second!, seq: 3 }];
    expect(faultsOf(swapped)).toEqual([2, 3].map((seq) => `${seq}: entry ${seq} does not follow the entry before it: deleted, inserted or re-ordered`));
  });

  it.each([
    ['the time beside the body', { at: '2026-11-21T11:00:00.000Z' }],
    ['the rollback beside the body', { rollbackId: 'another' }],
  ])('finds that %s was edited', (_, more) => {
    expect(faultsOf(changed(chain(3), 1, more))).toEqual(['2: entry 2 was edited: its columns do not match its body']);
  });

  it('finds a body that is not JSON', () => {
    const entries = chain(1);
    const body = '{"half":';
    expect(faultsOf(changed(entries, 0, { body, hash: digest(GENESIS, body) }))).toEqual(['1: entry 1 is not JSON']);
  });

  it('cannot see a tail that was cut off: the head outside Postgres is for that', () => {
    expect(faultsOf(chain(5).slice(0, 3))).toEqual([]);
  });

  it('finds every single change of any one field', () => {
    fc.assert(
      fc.property(fc.nat(5), fc.constantFrom('body', 'previous', 'hash', 'at', 'rollbackId'), fc.nat(), (index, field, at) => {
        const entries = chain(6);
        const value = entries[index]![field];
        const place = at % value.length;
        const other = value[place] === 'f' ? 'e' : 'f';
        expect(faultsOf(changed(entries, index, { [field]: value.slice(0, place) + other + value.slice(place + 1) }))).not.toEqual([]);
      }),
    );
  });
});
