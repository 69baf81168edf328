/** Which migrations are to be undone, newest first, and whether each can be: what was recorded against what the database's own ledger says [001 step 3c]. */
import type { Undoing } from '../../model/incident-data.ts';
import { canonical, sha256 } from '../../store/digest.ts';
import type { RecordedMigration } from '../../store/store.ts';
import { NotPossible } from '../components.ts';
import type { Dependencies } from '../dependencies.ts';
import type { DataAsk } from './data-look.ts';
import { deployedSince, keptOf } from './keep.ts';
import type { DatabaseAt } from './places.ts';
import { isNamed, type Applied } from '../databases/database.ts';

/** Of a migration and its inverse: a plan is bound to both. */
export const digestOf = ({ hash, inverse }: Pick<RecordedMigration, 'hash' | 'inverse'>): string => sha256(canonical({ hash, inverse: sha256(inverse ?? '') }));

const refused = (why: string): NotPossible =>
  new NotPossible('inverse', `${why}; contain it at level 1, mend that, and escalate then, or say --recover DATABASE=backup, a time, or by-hand`);

export async function undoingOf(
  { ask, deps }: { readonly ask: DataAsk; readonly deps: Dependencies },
  name: string,
  at: DatabaseAt,
  evidence: readonly { chain: string; table: string }[],
): Promise<Undoing[]> {
  const recorded = await deps.store.migrations({ environment: ask.environment, database: name });
  const since = await recordedSince(ask, deps, recorded);
  const heads = await headsOf(ask, deps, name);
  if (since.length === 0 && heads.length === 0) return [];
  const ledger = await at.database.ledger(at.call);
  // What was there when the target was verified belongs to it, whoever recorded it when.
  const head = Math.max(-1, ...heads.map((one) => ledger.findIndex((applied) => applied.name === one)));
  const wanted = new Set(since.flatMap((one) => (placeOf(ledger, one.name) > head ? [one.name] : [])));
  const undo: Undoing[] = [];
  for (const [index, { name: migration, hash }] of [...ledger.entries()].toReversed()) {
    if (undo.length === wanted.size && (heads.length === 0 || index <= head)) break;
    const one = recorded.find((each) => isNamed(migration, each.name));
    if (!one) {
      const absent = since.filter((each) => placeOf(ledger, each.name) === -1).map((each) => each.name);
      const other = absent.length === 0 ? '' : `; recorded is ${absent.join(', ')}, which the ledger does not have: is it called otherwise there?`;
      throw refused(`${migration} is applied to ${name} since the target, and nobody has recorded it (backout deployment record --migrations)${other}`);
    }
    if (!wanted.has(one.name)) {
      const isOther = !ask.targets.some((target) => target.component === one.component);
      throw refused(
        isOther
          ? `${migration} of ${name} was applied by ${one.component}, which is not part of this rollback, after what is to be undone; name it as well`
          : `${migration} of ${name} belongs to the target or to what was before it, and was applied after what is to be undone`,
      );
    }
    if (hash !== null && !(await hashesOf(one, at)).includes(bare(hash)))
      throw refused(
        one.sql === null
          ? `the ledger of ${name} knows ${migration} by a hash that it was not recorded with; record it again, with its "sql"`
          : `${migration} is not what was recorded: the ledger of ${name} has another hash`,
      );
    undo.push(await assessed(name, one, at, evidence));
  }
  if (heads.length === 0 && undo.length > 0 && undo.length === ledger.length)
    throw refused(`what was applied to ${name} when the target was verified is not known, and by what is recorded since, the whole schema would be undone`);
  return undo;
}

const placeOf = (ledger: readonly Applied[], recorded: string): number => ledger.findIndex((applied) => isNamed(applied.name, recorded));

/** Recorded since the target, and not in the ledger: never applied, or applied past the migration tool. Neither is undone, and neither may go without a word. */
export async function unappliedOf(
  { ask, deps }: { readonly ask: DataAsk; readonly deps: Pick<Dependencies, 'store'> },
  name: string,
  at: DatabaseAt,
): Promise<string[]> {
  const since = await recordedSince(ask, deps, await deps.store.migrations({ environment: ask.environment, database: name }));
  if (since.length === 0) return [];
  const ledger = await at.database.ledger(at.call);
  return since.filter((one) => placeOf(ledger, one.name) === -1).map((one) => one.name);
}

/** Of the file, or of its statements, whichever the ledger keeps. */
export const hashesOf = async ({ hash, sql }: RecordedMigration, { database }: Pick<DatabaseAt, 'database'>): Promise<string[]> =>
  [hash, ...(sql === null ? [] : [await database.hashOf(sql)])].map(bare);

export const bare = (hash: string): string => hash.replace(/^sha256:/, '').toLowerCase();

async function assessed(database: string, one: RecordedMigration, at: DatabaseAt, evidence: readonly { chain: string; table: string }[]): Promise<Undoing> {
  const { inverse } = one;
  if (inverse === null) throw refused(`${one.name} of ${database} has no recorded inverse`);
  if (!one.isInverseAsRecorded) throw refused(`the inverse of ${one.name} of ${database} is not what was recorded: somebody has changed it`);
  const { problem, destroys, transactional, touches } = await at.database.assess(at.call, inverse);
  if (problem !== null) throw refused(`the inverse of ${one.name} of ${database} cannot be run: ${problem}`);
  const rewritten = evidence.find(({ table }) => touches.some((touched) => touched.split('.').at(-1) === table.split('.').at(-1)));
  if (rewritten)
    throw new NotPossible(
      'evidence-rewrite',
      `the inverse of ${one.name} of ${database} touches the evidence ${rewritten.chain}, which is never rewritten; say --recover ${database}=by-hand and mend it by what is appended`,
    );
  return { name: one.name, digest: digestOf(one), destroys, transactional };
}

/** Recorded with a deployment of a named component that came after its target. */
async function recordedSince(
  { environment, targets }: DataAsk,
  deps: Pick<Dependencies, 'store'>,
  recorded: readonly RecordedMigration[],
): Promise<RecordedMigration[]> {
  const later = await Promise.all(targets.map((target) => deployedSince(deps, environment, target)));
  const ids = new Set(later.flat().map((row) => row.deploymentId));
  return recorded.filter((one) => ids.has(one.deploymentId));
}

/** The newest migration of this database when each target was verified, as far as that was recorded. */
async function headsOf({ environment, targets }: DataAsk, deps: Pick<Dependencies, 'store'>, name: string): Promise<string[]> {
  const kept = await Promise.all(targets.map(({ component, to }) => keptOf(deps, environment, component, to)));
  return kept.flatMap((one) => one?.kept?.ledgers?.[name] ?? []);
}
