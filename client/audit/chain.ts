/** The record as a whole: is it the chain that was written, and is it all of it? Read once, in order, keeping no bodies. */
import { GENESIS, verifyChain, type ChainFault, type StoredEntry } from '../../model/record.ts';
import { digest } from '../../store/digest.ts';
import { isFields } from './payloads.ts';
import type { Findings } from './result.ts';

export interface RollbackInRecord {
  readonly workflowIds: Set<string>;
  /** Sequence numbers of its entries, ascending. */
  readonly seqs: number[];
}

export interface Chain {
  entries: number;
  head: string;
  last: StoredEntry | null;
  /** Hash to sequence number. */
  readonly seqOf: Map<string, number>;
  readonly rollbacks: Map<string, RollbackInRecord>;
}

export interface Checkpoint {
  readonly seq: number;
  readonly head: string;
}

const BATCH = 500;

export const emptyChain = (): Chain => ({ entries: 0, head: GENESIS, last: null, seqOf: new Map(), rollbacks: new Map() });

/** Goes on where `chain` ends. */
export async function readChain(chain: Chain, stored: AsyncIterable<StoredEntry>, findings: Findings): Promise<void> {
  let batch: StoredEntry[] = [];
  const verify = (): void => {
    for (const fault of follow(chain.last, batch)) report(fault, findings);
    chain.last = batch.at(-1) ?? chain.last;
    batch = [];
  };
  for await (const entry of stored) {
    chain.entries += 1;
    chain.head = entry.hash;
    chain.seqOf.set(entry.hash, entry.seq);
    note(entry, chain.rollbacks);
    batch.push(entry);
    if (batch.length === BATCH) verify();
  }
  verify();
}

/** The one rule of the model on a part of the chain: the faults of a first entry depend on nothing after it, and are known already. */
function follow(last: StoredEntry | null, batch: readonly StoredEntry[]): ChainFault[] {
  if (last === null) return verifyChain(batch, digest);
  const known = verifyChain([last], digest).length;
  return verifyChain([last, ...batch], digest).slice(known);
}

function report({ seq, fault }: ChainFault, findings: Findings): void {
  const meaning = fault.includes('edited')
    ? 'Somebody changed what the record says, after it was written. Nothing about that entry can be believed; look at the histories and the platforms instead, and find out who can write to the database.'
    : 'Entries were deleted, inserted or put into another order. Take the database of the last backup whose audit is clean, and compare entry by entry.';
  findings.fault('chain', `entry ${seq} of the record`, fault, meaning);
}

function note(entry: StoredEntry, rollbacks: Map<string, RollbackInRecord>): void {
  const known = rollbacks.get(entry.rollbackId) ?? { workflowIds: new Set<string>(), seqs: [] };
  known.seqs.push(entry.seq);
  rollbacks.set(entry.rollbackId, known);
  if (!entry.body.includes('"workflowId"')) return;
  try {
    const body: unknown = JSON.parse(entry.body);
    if (isFields(body) && typeof body['workflowId'] === 'string') known.workflowIds.add(body['workflowId']);
  } catch {
    return; // The chain's own check has said that this is no JSON.
  }
}

/** Lines of the file the worker leaves outside Postgres. A last line cut by a crash says nothing. */
export function parseCheckpoints(text: string, file: string, findings: Findings): Checkpoint[] {
  const lines = text.split('\n');
  const unreadable: number[] = [];
  const read = lines.flatMap((line, index) => {
    if (line.trim() === '') return [];
    try {
      const value: unknown = JSON.parse(line);
      if (isFields(value) && typeof value['seq'] === 'number' && typeof value['head'] === 'string') return [{ seq: value['seq'], head: value['head'] }];
    } catch {
      // Named below.
    }
    unreadable.push(index + 1);
    return [];
  });
  if (unreadable.length > 0) findings.skip(`line ${unreadable.join(', ')} of ${file}: no checkpoint can be read there`);
  return read;
}

/** Answers the last entry they vouch for. */
export function checkCheckpoints(chain: Chain, checkpoints: readonly Checkpoint[], file: string, findings: Findings): number {
  let anchored = 0;
  for (const { seq, head } of checkpoints) {
    if (chain.seqOf.get(head) === seq) anchored = Math.max(anchored, seq);
    else {
      const fault =
        seq > chain.entries
          ? `entry ${seq} is gone: the record has only ${chain.entries}`
          : `entry ${seq} is not the one that was written: its hash was ${head}`;
      findings.fault(
        'checkpoints',
        `entry ${seq} of the record`,
        `${fault} (${file})`,
        'The record was cut off or written anew, up to here or from before it, with a chain that is whole in itself. Only a copy from outside this database can tell what it said.',
      );
    }
  }
  return anchored;
}

/** What a history says about the chain at a moment: so many entries of this rollback, and this head. */
export interface Position {
  readonly where: string;
  readonly rollbackId: string;
  readonly entries: number;
  readonly head: string;
}

export function checkPosition(chain: Chain, { where, rollbackId, entries, head }: Position, findings: Findings): void {
  if (head === GENESIS && entries === 0) return;
  const seq = chain.seqOf.get(head);
  if (seq === undefined) {
    findings.fault(
      'heads',
      where,
      `the head of the record it saw is not in the record: ${head}`,
      'The record was cut off before it, or written anew with a chain that is whole in itself. What the histories say is older and was not changed with it; take the record from a backup.',
    );
    return;
  }
  const own = chain.rollbacks.get(rollbackId)?.seqs.filter((one) => one <= seq).length ?? 0;
  if (own !== entries)
    findings.fault(
      'heads',
      where,
      `it saw ${entries} entries of this rollback at that head, and the record has ${own}`,
      'Entries were moved to or from another rollback, or the history was changed.',
    );
}
