/**
 * The port of a customer's database [001 step 3c, 004 section 3]. One file per kind of database, one line in `registry.ts`, one contract test; each
 * sentence here is a rule of that test. Throws an AdapterError and nothing else; neither a secret nor a row's content is in anything returned or thrown.
 */
import type { z } from 'zod';
import type { Destroyed, Window } from '../../model/plan.ts';
import type { Receipt } from '../../model/state.ts';
import { AdapterError, type AdapterCall } from '../adapters/adapter.ts';

export interface DatabaseCall<Options> extends Pick<
  AdapterCall<Options>,
  'environment' | 'options' | 'folder' | 'operationId' | 'attempt' | 'signal' | 'heartbeat' | 'secret'
> {
  /** As `backout.yaml` names it. */
  readonly name: string;
}

/** What the migration tool's own ledger says is applied. */
export interface Applied {
  readonly name: string;
  /** SHA-256 of what was applied, or the tool's own checksum; null where its ledger keeps none. */
  readonly hash: string | null;
}

/** Tools that name a migration by its number alone (Supabase, Rails) have the rest of its file's name elsewhere, or nowhere. */
export const isNamed = (inLedger: string, recorded: string): boolean =>
  inLedger === recorded || (/^\d{3,}$/.test(inLedger) && recorded.startsWith(`${inLedger}_`));

/** A migration and the recorded way back. */
export interface Migration {
  readonly name: string;
  /** As it was recorded when it was applied. */
  readonly hash: string;
  /** SQL. */
  readonly inverse: string;
}

/** What is known of an inverse before it is run. Only statements that are known to destroy nothing go without an entry in `destroys`. */
export interface Assessment {
  /** Runs in one transaction; false: statement by statement, since this database does not allow otherwise. */
  readonly transactional: boolean;
  readonly destroys: readonly Destroyed[];
  /** Tables whose rows or columns it touches, as `schema.table`. */
  readonly touches: readonly string[];
  /** Why it can never be run: it does not parse, it ends its own transaction, it sets a role or a timeout. Null: it can. */
  readonly problem: string | null;
}

/** One of the house's own checks: what the query returns are violations. */
export interface Check {
  readonly name: string;
  readonly covers: 'tenants' | 'idempotency' | 'other';
  readonly sql: string;
}
export interface Checked {
  readonly name: string;
  readonly covers: Check['covers'];
  /** How many violations; null: it could not be run, and `detail` says why. */
  readonly violations: number | null;
  readonly detail: string | null;
}

/** What a restore from the audit log would do now, in rows. */
export interface Preview {
  /** Keys deleted in the window and not there now. */
  readonly missing: number;
  /** There already, as they were. */
  readonly same: number;
  /** There, and changed since: left as they are. */
  readonly changed: number;
  /** Entries of the window whose key cannot be read: nobody can put these back. */
  readonly unreadable: number;
  /** Made anew and deleted once more after the window: they stay as their last deletion has left them. */
  readonly later: number;
  /** Missing, and of tenants that are left out: they stay deleted. */
  readonly others: number;
  /** The table as this database names it, and the other tables that its rows refer to: these go first. */
  readonly table: string;
  readonly refersTo: readonly string[];
  /** What makes the count doubtful, in words. */
  readonly notes: readonly string[];
  /** The missing ones by tenant, most first, twenty at most; empty where the table has none. */
  readonly byTenant: readonly { readonly tenant: string; readonly rows: number }[];
}

export interface Restore {
  /** One of the configured restores. */
  readonly name: string;
  readonly window: Window;
  /** Only rows of this tenant; null: of all. */
  readonly tenant: string | null;
}

/** More would be destroyed than was approved: nothing more was changed, and it is asked again with these counts. */
export class MoreDestroyed extends AdapterError {
  readonly destroys: readonly Destroyed[];
  constructor(message: string, destroys: readonly Destroyed[]) {
    super('conflict', message);
    this.destroys = destroys;
  }
}

/** Where a database is recovered from: a backup, or the archive at this ISO time. */
export type RecoverFrom = string;

export interface Database<Options = unknown> {
  /** As users write it in `backout.yaml`. */
  readonly name: string;
  /** Strict: an unknown option is an error that names its place. */
  readonly options: z.ZodType<Options>;
  readonly limits: readonly string[];
  /** Oldest first, as the tool orders them; of what `recover` has made where `at` says so. Changes nothing. */
  ledger(call: DatabaseCall<Options>, at?: 'recovered'): Promise<readonly Applied[]>;
  /** The hash that its ledger has of a migration with this SQL, where the ledger keeps statements instead of a hash. */
  hashOf(sql: string): Promise<string>;
  /** Reads what the inverse would destroy. Changes nothing and waits for no lock. */
  assess(call: DatabaseCall<Options>, inverse: string): Promise<Assessment>;
  /**
   * Undoes one migration and takes it out of the ledger, in one transaction under an advisory lock where the inverse allows it, and leaves a mark of this
   * operation in the same transaction. Called again it finds the mark, and its receipt says `already: true`; neither a mark nor a row in the ledger is a
   * `conflict`, since nobody can say what became of it. Counts again inside the transaction, and throws MoreDestroyed with nothing changed where more
   * would be destroyed than `approved` says; a `conflict` where the migration is not the newest of the ledger. An inverse that fails throws
   * `failed` with nothing changed; one that cannot be run in a transaction stops where it failed, and the message says exactly which of its statements are
   * applied and which are not. A lock that is not had within the configured time, tried three times, is a `conflict` that names who holds it: nobody's
   * session is ever ended. A connection lost at COMMIT is `unavailable`: the mark says what became of it.
   */
  undo(call: DatabaseCall<Options>, migration: Migration, approved: readonly Destroyed[]): Promise<Receipt>;
  /** What a restore would do, counted. Changes nothing. Throws `configuration` for a name that is not configured. */
  preview(call: DatabaseCall<Options>, restore: Restore): Promise<Preview>;
  /**
   * Puts back the rows that were deleted in the window: the latest of each key, in batches, with progress and in constant memory. A row that is there is never
   * touched. Called again it finds what is left. The receipt counts rows restored, there already, and changed since.
   */
  restore(call: DatabaseCall<Options>, restore: Restore): Promise<Receipt>;
  /** Runs the checks, each read-only and within its time; what cannot be run is said, never passed. Of what `recover` has made where `at` says so. */
  check(call: DatabaseCall<Options>, checks: readonly Check[], at?: 'recovered'): Promise<readonly Checked[]>;
  /** Can it be recovered from there? Null, or why not, in words: no backup, a time outside of the archive. Changes nothing. */
  recoverable(call: DatabaseCall<Options>, from: RecoverFrom): Promise<{ readonly problem: string | null; readonly asOf: string | null }>;
  /**
   * Recovers into a new database, named by the operation, and never touches the one in use. Called again after a crash it goes on with or begins anew its own
   * half-made one, and takes a finished one for what it is. The receipt has, in `after.asOf`, the time up to which it holds what was written.
   */
  recover(call: DatabaseCall<Options>, from: RecoverFrom): Promise<Receipt>;
  /** The secret address of the database that this operation has made, for the switch-over. Throws `not-found` where there is none. */
  recovered(call: DatabaseCall<Options>): Promise<string>;
  /** The one in use takes no writes of new sessions any more (`sealed`), or takes them again. Whoever is still connected to it is named in the receipt, by application, never ended. */
  seal(call: DatabaseCall<Options>, sealed: boolean): Promise<Receipt>;
  /** Is this address that very database, whatever it is called there? */
  isSame(call: DatabaseCall<Options>, url: string): Promise<boolean>;
  /** The same by hand, one shell command a line; no secret in it. */
  manual(call: Pick<DatabaseCall<Options>, 'name' | 'options' | 'folder'>, migration: Migration): string[];
}
