/**
 * An inverse that Postgres does not run in a transaction: statement by statement. Those that can be have a transaction with their mark each; of the others
 * it is written down that they are begun, and that they are done, and what a crash leaves between is decided by the catalog or by nobody.
 */
import type { Receipt } from '../../model/state.ts';
import { AdapterError } from '../adapters/adapter.ts';
import type { Alone } from './postgres-alone.ts';
import { settle, stateOfIndex } from './postgres-begun.ts';
import { countFreely, countLocked, destroyedOf, refuseMore, type Counted } from './postgres-counting.ts';
import type { Statement } from './postgres-inverse.ts';
import { holdLedger, inspect, leaveMark, ledgerOf, lockLedger, prepareMarks, receiptOf, takeOut, type Mark } from './postgres-ledger.ts';
import { Progress } from './postgres-progress.ts';
import { isLost } from './postgres-session.ts';
import { BEGIN, commit, failedBy, isLocked, markOf, patiently, pause, runGuarded, TRIES, type Undoing } from './postgres-undoing.ts';

/** An earlier attempt may have. */
const NOT_NOW = 'nothing was changed by this attempt';

/** Under a lock of the session, since no transaction lasts. */
export async function undoApart(undoing: Undoing): Promise<Receipt> {
  const { call, client, migration, approved, statements, say } = undoing;
  const ledger = ledgerOf(call);
  const started = performance.now();
  say('waits for its turn');
  await patiently(undoing, NOT_NOW, () => lockLedger(client, ledger, ''));
  const already = await patiently(undoing, NOT_NOW, async () => {
    await client.query(BEGIN);
    const mark = await inspect(client, call, migration, NOT_NOW);
    if (mark === null) await prepareMarks(client);
    await commit(client, NOT_NOW);
    return mark;
  });
  if (already !== null) return receiptOf(already, true);
  const progress = await Progress.read(undoing);
  say('counts what would be destroyed');
  let expected = (await countFreely(client, progress.left(), statements)).filter(({ found, rows }) => found === null || rows !== null);
  refuseMore(expected, approved, progress.words());
  for (const statement of progress.left()) {
    say(`${statement.title} of ${statements.length}`);
    if (statement.alone === null) expected = await runMarked(undoing, progress, statement, expected);
    else await runAlone(undoing, progress, statement, statement.alone);
  }
  return patiently(undoing, progress.words(), async () => {
    await client.query(BEGIN);
    const before = await holdLedger(client, ledger);
    await inspect(client, call, migration, progress.words());
    await takeOut(client, ledger, migration.name, before, progress.words());
    const mark: Mark = { ...markOf(undoing, progress.destroyed()), milliseconds: Math.round(performance.now() - started) };
    await leaveMark(client, mark);
    await commit(client, progress.words());
    return receiptOf(mark, false);
  });
}

/** In a transaction with its mark. What all of them destroy, as far as it is known by now. */
function runMarked(undoing: Undoing, progress: Progress, statement: Statement, expected: readonly Counted[]): Promise<Counted[]> {
  const { client, approved, statements } = undoing;
  return patiently(undoing, progress.words(), async () => {
    await client.query(BEGIN);
    const counted = await countLocked(client, [statement], statements, approved);
    const now = [...expected.filter((one) => one.statement !== statement.number), ...counted];
    refuseMore(now, approved, progress.words());
    await runGuarded(client, statement, progress.words());
    const destroyed = destroyedOf(counted);
    await progress.write(statement, 'done', null, destroyed);
    await commit(client, progress.words());
    progress.note(statement, 'done', null, destroyed);
    return now.filter((one) => one.statement !== statement.number);
  });
}

async function runAlone(undoing: Undoing, progress: Progress, statement: Statement, alone: Alone): Promise<void> {
  const { client, holders } = undoing;
  const destroyed = destroyedOf(
    statement.effects.flatMap((effect) =>
      effect.of === 'unknown' ? [{ statement: statement.number, effect, found: null, what: effect.what, rows: null }] : [],
    ),
  );
  const write = async (state: 'begun' | 'failed' | 'done', object: string | null): Promise<void> => {
    await progress.write(statement, state, object, destroyed);
    progress.note(statement, state, object, destroyed);
  };
  for (let number = 1; ; number += 1) {
    const earlier = progress.of(statement);
    if (earlier !== null && (await settle(client, statement, alone, earlier, progress)) === 'applied') return write('done', earlier.object);
    const object = (await stateOfIndex(client, alone))?.oid ?? null;
    await write('begun', object);
    try {
      await client.query(statement.sql);
      if (alone.as === 'create-index' && alone.index !== null && (await stateOfIndex(client, alone))?.isValid === false)
        throw new AdapterError(
          'failed',
          `${statement.title} has changed nothing: the index ${alone.index} was there, and is not valid; drop it, and try again; ${progress.words()}`,
        );
      return await write('done', object);
    } catch (error) {
      if (isLost(error)) throw error;
      await write('failed', object);
      if (error instanceof AdapterError) throw error;
      const left = await leftBy(undoing, alone, object);
      if (!isLocked(error)) throw failedBy(statement.title, error, `${left}${progress.words()}`);
      if (number === TRIES || (left !== '' && alone.as !== 'drop-index')) throw holders.refusal(`${left}${progress.words()}`);
      await pause(undoing, number);
    }
  }
}

/** What a statement that failed has left behind. */
async function leftBy({ client }: Undoing, alone: Alone, before: string | null): Promise<string> {
  if (alone.as === 'other') return 'it may be applied in part; ';
  const index = await stateOfIndex(client, alone);
  if (index === null || index.isValid) return '';
  if (alone.as === 'create-index' && index.oid !== before)
    return `it has left the index ${index.name} behind, which is not valid and not used: drop it before you try again; `;
  return alone.as === 'drop-index' ? `the index ${index.name} is still there and not used any more; ` : '';
}
