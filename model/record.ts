/**
 * One entry of the record. `event` is its logical name: appending the same event again is a no-op, so
 * that an attempt that died after its append does not write twice.
 */
export interface RecordEntry {
  /** `<runId>/<what>[/<generation>]`, unique in the chain. */
  readonly event: string;
  readonly rollbackId: string;
  /** ISO time, by the clock of whoever made it happen. */
  readonly at: string;
  /** e.g. `opened`, `refused`, `step`, `answer`, `breach`, `closed`, `history`. */
  readonly type: string;
  readonly [detail: string]: unknown;
}

/** A stored entry: the body is its canonical text (RFC 8785), since `jsonb` would reorder it. */
export interface StoredEntry {
  readonly seq: number;
  readonly rollbackId: string;
  readonly at: string;
  readonly body: string;
  /** `sha256:…` of the entry before; 64 zeros for the first. */
  readonly previous: string;
  /** SHA-256 over the previous hash's text, then the body's bytes [reliability.md]. */
  readonly hash: string;
}

/** The chain holds what our own writer put there; whether it still does, `backout audit` tells. */
export const entryOf = ({ body }: Pick<StoredEntry, 'body'>): RecordEntry => JSON.parse(body) as RecordEntry;

export const GENESIS = `sha256:${'0'.repeat(64)}`;

/** Where the chain stood after an append: `entries` of this rollback, `seq` and `head` of the whole chain. */
export interface RecordPositionOf {
  readonly entries: number;
  readonly seq: number;
  readonly head: string;
}

/** A break in the chain: where, and what it means to the reader. */
export interface ChainFault {
  readonly seq: number;
  readonly fault: string;
}

/** Verifies a whole chain; `digest` is passed in, since this file is pure. Entries must come in order of `seq`. */
export function verifyChain(entries: readonly StoredEntry[], digest: (previous: string, body: string) => string): ChainFault[] {
  const faults: ChainFault[] = [];
  let previous = GENESIS;
  let seq = 0;
  for (const entry of entries) {
    seq += 1;
    if (entry.seq !== seq) {
      faults.push({ seq, fault: `entry ${seq} is missing (the next one is ${entry.seq})` });
      seq = entry.seq;
    }
    if (entry.previous !== previous)
      faults.push({ seq: entry.seq, fault: `entry ${entry.seq} does not follow the entry before it: deleted, inserted or re-ordered` });
    if (digest(entry.previous, entry.body) !== entry.hash)
      faults.push({ seq: entry.seq, fault: `entry ${entry.seq} was edited: its hash does not match its body` });
    faults.push(...columnFaults(entry));
    previous = entry.hash;
  }
  return faults;
}

/** The columns beside the body are copies for queries; they must not say anything else. */
function columnFaults(entry: StoredEntry): ChainFault[] {
  let body: Partial<RecordEntry>;
  try {
    body = JSON.parse(entry.body) as Partial<RecordEntry>; // Our own writer's text; a foreign one shows below.
  } catch {
    return [{ seq: entry.seq, fault: `entry ${entry.seq} is not JSON` }];
  }
  const agrees = body.rollbackId === entry.rollbackId && body.at === entry.at;
  return agrees ? [] : [{ seq: entry.seq, fault: `entry ${entry.seq} was edited: its columns do not match its body` }];
}
