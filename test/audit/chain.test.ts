/** The chain is read in batches, and nothing is lost between two of them. */
import { describe, expect, test } from 'vitest';
import { checkCheckpoints, checkPosition, emptyChain, parseCheckpoints, readChain } from '../../client/audit/chain.ts';
import { Findings } from '../../client/audit/result.ts';
import { GENESIS, type RecordEntry, type StoredEntry, verifyChain } from '../../model/record.ts';
import { digest } from '../../store/digest.ts';
import { rechained } from './evidence.ts';

const entry = (index: number): RecordEntry => ({
  event: `run/${index}`,
  rollbackId: `rollback-${index % 3}`,
  at: `2026-11-21T10:00:00.${String(index).padStart(4, '0')}Z`,
  type: 'step',
  workflowId: `id-${index % 3}`,
});
/** Two whole batches and a bit. */
const LONG = rechained(Array.from({ length: 1_101 }, (_, index) => entry(index)));

async function* streamed(entries: readonly StoredEntry[]): AsyncGenerator<StoredEntry> {
  yield* entries;
}
async function read(entries: readonly StoredEntry[]) {
  const [chain, findings] = [emptyChain(), new Findings()];
  await readChain(chain, streamed(entries), findings);
  return { chain, findings };
}

describe('a long chain', () => {
  test('is found whole', async () => {
    const { chain, findings } = await read(LONG);
    expect(findings.faults).toEqual([]);
    expect(chain).toMatchObject({ entries: 1_101, head: LONG.at(-1)?.hash });
    expect(chain.rollbacks.get('rollback-1')).toMatchObject({ workflowIds: new Set(['id-1']) });
    expect(chain.rollbacks.get('rollback-1')?.seqs).toHaveLength(367);
  });

  test('that is empty is no fault', async () => {
    const { chain, findings } = await read([]);
    expect(findings.faults).toEqual([]);
    expect(chain).toMatchObject({ entries: 0, head: GENESIS });
  });

  test('that went on meanwhile is read on from where it was left, and shows the same faults', async () => {
    for (const [forged, left] of [
      [400, 399],
      [400, 400],
      [400, 401],
    ] as const) {
      const entries = LONG.map((one) => (one.seq === forged ? { ...one, body: one.body.replace('step', 'stop') } : one));
      const { chain, findings } = await read(entries.slice(0, left));
      await readChain(chain, streamed(entries.slice(left)), findings);
      expect(findings.faults.map((fault) => fault.fault)).toEqual(verifyChain(entries, digest).map((fault) => fault.fault));
      expect(chain).toMatchObject({ entries: 1_101, head: LONG.at(-1)?.hash });
      expect(chain.rollbacks.get('rollback-1')?.seqs).toHaveLength(367);
    }
  });

  // Around the seam of two batches, and away from it.
  test.each([1, 2, 250, 499, 500, 501, 502, 999, 1_000, 1_001, 1_101])('shows the same faults as one that is read at once: entry %i', async (seq) => {
    const forgeries = [
      LONG.map((one) => (one.seq === seq ? { ...one, body: one.body.replace('step', 'stop') } : one)),
      LONG.filter((one) => one.seq !== seq),
      LONG.map((one) => (one.seq === seq ? { ...one, at: 'yesterday' } : one)),
      LONG.map((one) => (one.seq === seq ? { ...one, body: 'no JSON' } : one)),
      [...LONG.slice(0, seq - 1), ...LONG.slice(seq, seq + 1), ...LONG.slice(seq - 1, seq), ...LONG.slice(seq + 1)],
    ];
    for (const forgery of forgeries) {
      const { findings } = await read(forgery);
      expect(findings.faults.map((fault) => fault.fault)).toEqual(verifyChain(forgery, digest).map((fault) => fault.fault));
      // That the last one is gone shows only from outside of the chain.
      expect(findings.faults.length > 0 || seq === LONG.length).toBe(true);
    }
  });

  test('that is broken everywhere is not listed for ever', async () => {
    const { findings } = await read(LONG.map((one) => ({ ...one, at: 'yesterday' })));
    expect(findings.faults).toHaveLength(51);
    expect(findings.faults.at(-1)?.fault).toContain('more than 50 faults');
  });
});

describe('checkpoints', () => {
  const lines = (...of: number[]): string => of.map((seq) => `${JSON.stringify({ seq, head: LONG[seq - 1]?.hash, at: '2026-11-21T10:00:00Z' })}\n`).join('');

  test('anchor the chain until the last of them', async () => {
    const { chain, findings } = await read(LONG);
    expect(checkCheckpoints(chain, parseCheckpoints(lines(1, 700, 300), 'file', findings), 'file', findings)).toBe(700);
    expect(findings.faults).toEqual([]);
  });

  test('show a chain that was cut off, and one that was written anew', async () => {
    const cut = await read(LONG.slice(0, 600));
    expect(checkCheckpoints(cut.chain, parseCheckpoints(lines(1, 700), 'file', cut.findings), 'file', cut.findings)).toBe(1);
    expect(cut.findings.faults[0]?.fault).toBe('entry 700 is gone: the record has only 600 (file)');
    const anew = await read(rechained(LONG.map((_, index) => entry(index + 5))));
    checkCheckpoints(anew.chain, parseCheckpoints(lines(700), 'file', anew.findings), 'file', anew.findings);
    expect(anew.findings.faults[0]?.fault).toContain('entry 700 is not the one that was written');
  });

  test('with a line that was cut by a crash are used all the same, and the line is named', () => {
    const findings = new Findings();
    expect(parseCheckpoints(`${lines(1, 2)}{"seq":3,"he`, 'file', findings)).toHaveLength(2);
    expect(findings.notChecked).toEqual(['line 3 of file: no checkpoint can be read there']);
  });
});

test('a head is looked for in the whole chain, with the number of entries its rollback had by then', async () => {
  const { chain, findings } = await read(LONG);
  const at = (rollbackId: string, entries: number, head: string): void => {
    checkPosition(chain, { where: 'here', rollbackId, entries, head }, findings);
  };
  at('rollback-1', 1, LONG[2]?.hash ?? '');
  at('rollback-1', 0, GENESIS);
  expect(findings.faults).toEqual([]);
  at('rollback-1', 2, LONG[2]?.hash ?? '');
  at('rollback-1', 1, `sha256:${'1'.repeat(64)}`);
  expect(findings.faults.map((fault) => fault.fault)).toEqual([
    'it saw 2 entries of this rollback at that head, and the record has 1',
    `the head of the record it saw is not in the record: sha256:${'1'.repeat(64)}`,
  ]);
});
