/** `postgres`: a customer's Postgres, Supabase's too [001 step 3c, 004 section 3]. */
import type { Database } from './database.ts';
import { check, isSame } from './postgres-checks.ts';
import { assess } from './postgres-counting.ts';
import { hashOfStatements } from './postgres-inverse.ts';
import { ledger } from './postgres-ledger.ts';
import { manual } from './postgres-manual.ts';
import { postgresOptions, type PostgresOptions } from './postgres-options.ts';
import { recover, recoverable, recovered, seal } from './postgres-recover.ts';
import { preview, restore } from './postgres-restore.ts';
import type { Address, Call } from './postgres-session.ts';
import { undo } from './postgres-undo.ts';

const addressOf = async (call: Call, at?: 'recovered'): Promise<Address> =>
  at === undefined ? call.options.url : { url: await recovered(call), as: `what was recovered of ${call.name}` };

export const postgres: Database<PostgresOptions> = {
  name: 'postgres',
  options: postgresOptions,
  limits: [
    'A connection of its own is needed: a pooler in transaction mode must not stand between.',
    'What the customer’s own operators, casts, triggers and event triggers do beside a statement of an inverse is not counted.',
    'A statement that Postgres does not run in a transaction cannot be taken back when a later one fails: what is applied is said.',
    'A migration tool that takes no lock of its own is kept out by a lock on its ledger, and only from writing there.',
    'What an inverse does outside of this database, by dblink or a program of the server, is neither seen nor undone.',
    'What Backout has done is known by the schema backout in the customer’s database: without it an undone migration is a conflict.',
  ],
  ledger: async (call, at) => ledger(call, await addressOf(call, at)),
  hashOf: async (sql) => hashOfStatements(sql),
  assess,
  undo,
  preview,
  restore,
  check: async (call, checks, at) => check(call, await addressOf(call, at), checks),
  recoverable,
  recover,
  recovered,
  seal,
  isSame,
  manual,
};
