/** A migration is undone by its recorded inverse: in one transaction, or statement by statement where Postgres wants that [001 step 3c]. */
import type { Client } from 'pg';
import type { Destroyed } from '../../model/plan.ts';
import type { Receipt } from '../../model/state.ts';
import { AdapterError } from '../adapters/adapter.ts';
import type { Migration } from './database.ts';
import { countLocked, destroyedOf, recount, refuseMore, type Counted } from './postgres-counting.ts';
import { watched } from './postgres-holders.ts';
import { inverseOf } from './postgres-inverse.ts';
import { holdLedger, inspect, leaveMark, ledgerOf, lockLedger, prepareMarks, receiptOf, takeOut, type Mark } from './postgres-ledger.ts';
import { withSession, type Call } from './postgres-session.ts';
import { undoApart } from './postgres-undo-apart.ts';
import { BEGIN, commit, markOf, NOTHING, patiently, runGuarded, type Undoing } from './postgres-undoing.ts';

export async function undo(call: Call, migration: Migration, approved: readonly Destroyed[]): Promise<Receipt> {
  ledgerOf(call);
  const { statements, problem } = inverseOf(migration.inverse);
  if (problem !== null) throw new AdapterError('failed', `the inverse of ${migration.name} cannot be run: ${problem}; ${NOTHING}`);
  let doing = `undoing ${migration.name}`;
  const say = (text: string): void => {
    doing = `undoing ${migration.name}: ${text}`;
  };
  const work = (client: Client): Promise<Receipt> =>
    watched(call, client, (holders) => {
      const undoing = { call, client, migration, approved, statements, holders, say };
      return statements.some(({ alone }) => alone !== null) ? undoApart(undoing) : patiently(undoing, NOTHING, () => undoAtOnce(undoing));
    });
  return withSession(call, call.options.url, work, { doing: () => doing });
}

async function undoAtOnce(undoing: Undoing): Promise<Receipt> {
  const { call, client, migration, approved, statements, say } = undoing;
  const ledger = ledgerOf(call);
  await client.query(BEGIN);
  say('waits for its turn');
  await lockLedger(client, ledger, 'xact_');
  const already = await inspect(client, call, migration, NOTHING);
  if (already !== null) {
    await client.query('ROLLBACK');
    return receiptOf(already, true);
  }
  const before = await holdLedger(client, ledger);
  await inspect(client, call, migration, NOTHING); // From here on it stays the newest.
  await prepareMarks(client);
  const started = performance.now();
  say('counts what would be destroyed');
  const counted = await countLocked(client, statements, statements, approved);
  refuseMore(counted, approved, NOTHING);
  const destroyed = await runAll(undoing, counted);
  await takeOut(client, ledger, migration.name, before, NOTHING);
  const mark: Mark = { ...markOf(undoing, destroyed), milliseconds: Math.round(performance.now() - started) };
  await leaveMark(client, mark);
  await commit(client, NOTHING);
  return receiptOf(mark, false);
}

async function runAll({ client, approved, statements, say }: Undoing, counted: readonly Counted[]): Promise<Destroyed[]> {
  let now = counted;
  let moved = false;
  for (const statement of statements) {
    say(`${statement.title} of ${statements.length}`);
    const isOfIt = (one: Counted): boolean => one.statement === statement.number;
    const again = await recount(client, now.filter(isOfIt), moved);
    now = [...now.filter((one) => !isOfIt(one)), ...again];
    refuseMore(now, approved, NOTHING);
    await runGuarded(client, statement, NOTHING);
    moved ||= statement.effects.some(({ of }) => of === 'unknown');
  }
  return destroyedOf(now.toSorted((a, b) => a.statement - b.statement));
}
