/** What an audit says. */

export const CHECKS = ['chain', 'checkpoints', 'heads', 'origin', 'export', 'replay', 'values', 'record', 'credentials'] as const;
export type Check = (typeof CHECKS)[number];

/** Something that is not as it was written down. `meaning` says what that means and what to do. */
export interface Fault {
  readonly check: Check;
  readonly where: string;
  readonly fault: string;
  readonly meaning: string;
}

export interface CheckedRun {
  readonly runId: string;
  /** `closed` by itself, `ended` from outside, or still `open`. */
  readonly state: 'closed' | 'ended' | 'open';
  readonly from: 'Temporal' | 'the record' | 'a file';
  readonly events: number;
  /** Build of the workflow code it was replayed with; null where it was not replayed. */
  readonly build: string | null;
  /** Was its export in the record the text that the record announces? Null: there is none. */
  readonly exported: boolean | null;
}

/** One rollback with all its runs. */
export interface Checked {
  readonly id: string;
  readonly rollbackId: string;
  readonly runs: readonly CheckedRun[];
  /** Entries of the record that belong to it. */
  readonly entries: number;
  /** Values of the histories that were compared with what replay computes. */
  readonly values: number;
  /** Positions of the chain that its histories tell. */
  readonly heads: number;
  /** What its steps say became of credentials, found where targets are judged by it. */
  readonly credentials: number;
}

/** The whole chain. `anchoredUntil`: the last entry that a checkpoint outside Postgres vouches for; null without checkpoints. */
export interface CheckedRecord {
  readonly entries: number;
  readonly head: string | null;
  readonly anchoredUntil: number | null;
}

export interface Audit {
  readonly ok: boolean;
  readonly record: CheckedRecord | null;
  readonly checked: readonly Checked[];
  readonly faults: readonly Fault[];
  /** What could not be looked at, and why. */
  readonly notChecked: readonly string[];
}

/** Collects while the audit goes on. */
export class Findings {
  readonly faults: Fault[] = [];
  readonly notChecked: string[] = [];
  private readonly kept = new Map<Check, number>();

  fault(check: Check, where: string, fault: string, meaning: string): void {
    const count = (this.kept.get(check) ?? 0) + 1;
    this.kept.set(check, count);
    if (count <= SHOWN_MAX) this.faults.push({ check, where, fault, meaning });
    else if (count === SHOWN_MAX + 1)
      this.faults.push({
        check,
        where: 'and more',
        fault: `more than ${SHOWN_MAX} faults of this check; only these are listed`,
        meaning: 'Begin with the first one: the later ones often follow from it.',
      });
  }

  skip(what: string): void {
    if (!this.notChecked.includes(what)) this.notChecked.push(what);
  }
}

/** Of one check; a chain that is broken at its start is broken everywhere. */
const SHOWN_MAX = 50;
