/** A database is gone back: migration by migration, row by row, or into a new one [001 step 3c, 004 section 3]. */
import { join } from 'node:path';
import { fieldOf } from '../../model/field.ts';
import { lossOf } from '../../model/incident-data.ts';
import { restoreTitle } from '../../model/restoring.ts';
import type { Destroyed, Plan, PlanStep } from '../../model/plan.ts';
import { canonical, sha256 } from '../../store/digest.ts';
import { AdapterError } from '../adapters/adapter.ts';
import { isNamed, MoreDestroyed, type Checked } from '../databases/database.ts';
import { environmentOf } from '../components.ts';
import { failed, fromError, type Found } from '../found.ts';
import { runGate } from '../gate.ts';
import { hiding } from '../secrets.ts';
import { replan } from '../recording.ts';
import { doneOr, found, onPlace, type OnPlace } from './on-place.ts';
import type { StepWork } from '../step.ts';
import { databaseAt, referencesOf, type Caller } from './places.ts';
import { bare, digestOf, hashesOf } from './undoing.ts';

const late = (what: string, again: boolean): Found =>
  failed('DeadlinePassed', `the time target was over before ${what}; ${again ? 'what an earlier attempt has begun is left as it is' : 'nothing was begun'}`);

/** One migration, by its recorded inverse. */
export const undo = onPlace(async (on) => {
  const { work, loaded, deps, attempt, data, name, part, caller, again } = on;
  const { database, call } = databaseAt(loaded, name, caller);
  const of = { environment: work.environment, database: name, name: part };
  const recorded = (await deps.store.migrations(of)).find((one) => one.name === part);
  const applied = (await database.ledger(call)).find((one) => isNamed(one.name, part));
  const isApplied = applied !== undefined;
  // Told as undone already, by an attempt that could not say so.
  if (!recorded && !isApplied && again) return found('done', { migration: part, already: true });
  if (!recorded || digestOf(recorded) !== data.digest)
    return stale(`${part} of ${name} is not recorded any more as it was confirmed: its hash or its inverse is another one`);
  if (work.mode === 'inspect') return isApplied ? failed('NotAtTarget', `${part} is still in the ledger of ${name}`) : handDone(on, of);
  if (on.isLate && isApplied) return late(`${part} of ${name} could be undone`, again);
  // As the ledger says it, where that is what was recorded.
  const known = await hashesOf(recorded, { database });
  const hash = known.find((one) => one === bare(applied?.hash ?? '')) ?? recorded.hash;
  const begun = Date.now();
  try {
    const receipt = await database.undo(call, { name: applied?.name ?? part, hash, inverse: recorded.inverse ?? '' }, data.approved);
    await deps.store.migrationUndone({ ...of, at: new Date().toISOString(), successful: true, milliseconds: millisecondsOf(receipt.after), error: null });
    return { state: doneOr(receipt, again), receipt, failure: null, remains: [] };
  } catch (error) {
    if (error instanceof MoreDestroyed) return recounted(on, { destroys: error.destroys }, destroying(error.destroys), failed('MoreDestroyed', error.message));
    if (error instanceof AdapterError && error.kind !== 'unavailable' && error.kind !== 'superseded')
      await deps.store.migrationUndone({ ...of, at: new Date().toISOString(), successful: false, milliseconds: Date.now() - begun, error: error.message });
    return fromError(work, attempt, error, { receipt: null, acted: true });
  }
}, true);

/** The whole is not looked at anew: what is done of it by now would not be found again. */
const stale = (why: string): Found => failed('CannotGoBack', why);

function millisecondsOf(after: unknown): number | null {
  const value = typeof after === 'object' && after !== null && 'milliseconds' in after ? after.milliseconds : null;
  return typeof value === 'number' ? Math.round(value) : null;
}

/** A person has undone it by hand, and the ledger agrees. */
async function handDone({ deps, part }: OnPlace, of: { environment: string; database: string; name: string }): Promise<Found> {
  await deps.store.migrationUndone({ ...of, at: new Date().toISOString(), successful: true, milliseconds: null, error: 'undone by hand' });
  return found('done', { migration: part, byHand: true });
}

/** What is counted now is shown anew, in the plan, and approved anew; nothing was changed. */
async function recounted(
  { work, deps, attempt }: OnPlace,
  counts: Pick<PlanStep, 'destroys' | 'rows'>,
  titled: (before: string) => string,
  asked: Found,
): Promise<Found> {
  const row = await deps.store.rollback(work.rollbackId);
  if (!row?.plan || row.planHash === null) return failed('ClaimLost', 'the record has no plan of this rollback');
  const title = titled(row.plan.steps.find((one) => one.id === work.step.id)?.title ?? work.step.id);
  const demands = { approval: true, attests: 'seen', demands: { plan: true } } as const;
  const plan: Plan = { ...row.plan, steps: row.plan.steps.map((one) => (one.id === work.step.id ? { ...one, ...demands, ...counts, title } : one)) };
  const hash = sha256(canonical(plan));
  await replan(work, deps, attempt, { plan, planHash: hash, planHashBefore: row.planHash, deploymentIds: {} });
  return { ...asked, change: { recounted: { hash, ...counts, title } } };
}

const destroying =
  (destroys: readonly Destroyed[]) =>
  (before: string): string =>
    `${before.replace(/, which destroys .*$/, '')}, which destroys ${lossOf(destroys)}`;

/** Rows that were deleted in the window, from the audit log. */
export const restore = onPlace(async (on) => {
  const { loaded, work, data, name, part, caller, again, isLate } = on;
  const { database, call } = databaseAt(loaded, name, caller);
  if (!data.window) return failed('Configuration', 'the plan has no span of time to restore from');
  const what = { name: part, window: data.window, tenant: data.tenant ?? null };
  const before = await database.preview(call, what);
  // What died before it could say so has left its rows, and no count of them.
  const earlier =
    again && before.same > 0 ? [`rows of ${part} that an earlier attempt may have put back are counted among the ${before.same} that were there`] : [];
  if (before.missing === 0) return found(again ? 'done' : 'already', { restored: 0, there: before.same, changedSince: before.changed }, { warnings: earlier });
  if (work.mode === 'inspect') return failed('NotAtTarget', `${before.missing} deleted rows of ${part} are not there`);
  if (isLate) return late(`the rows of ${part} could be put back`, again);
  if (data.rows !== undefined && before.missing > data.rows) {
    const more = `${before.missing} rows of ${part} would be put back, and ${data.rows} were approved; nothing was changed`;
    return recounted(on, { rows: before.missing }, () => restoreTitle({ name: part, ...before, tenants: before.byTenant }), failed('MoreRestored', more));
  }
  const receipt = await database.restore(call, what);
  const left = await database.preview(call, what);
  const remains = left.missing === 0 ? [] : [{ artifact: `${left.missing} rows of ${part}`, reason: 'could not be put back', owner: 'data-evidence-lead' }];
  if (left.missing > 0)
    return {
      ...failed('RowsBlocked', `${left.missing} of ${before.missing} deleted rows of ${part} could not be put back: ${receipt.detail ?? 'no reason given'}`),
      receipt,
      remains,
    };
  const warnings = before.changed > 0 ? [`${before.changed} rows of ${part} were made anew since they were deleted, and were left as they are`] : [];
  return { state: 'done', receipt, failure: null, remains, warnings: [...earlier, ...warnings] };
}, true);

/** Into a new database; what is in use is not touched. The house's own checks are run on the new one before anybody is asked to switch over. */
export const recover = onPlace(async ({ loaded, work, data, name, caller, again, isLate }) => {
  const { config, database, call } = databaseAt(loaded, name, caller);
  const from = data.recover ?? 'backup';
  if (work.mode === 'inspect' || isLate) {
    const there = await database.recovered(call).then(
      () => true,
      (error: unknown) => {
        if (error instanceof AdapterError && error.kind === 'not-found') return false;
        throw error;
      },
    );
    if (!there) return isLate ? late(`${name} could be recovered`, again) : failed('NotAtTarget', `there is no recovered ${name}`);
  }
  const receipt = await database.recover(call, from);
  const checks = await database.check(call, config.checks, 'recovered');
  const ledger = fieldOf(call.options, 'ledger') === undefined ? [] : await database.ledger(call, 'recovered');
  const seen = {
    ...receipt,
    after: { ...(typeof receipt.after === 'object' ? receipt.after : {}), checks: shownOf(checks), newestMigration: ledger.at(-1)?.name ?? null },
  };
  const violated = violationsOf(checks);
  if (violated !== null) return { ...notSwitched(name, violated), receipt: seen };
  return { state: doneOr(receipt, again), receipt: seen, failure: null, remains: [] };
}, true);

const notSwitched = (name: string, violated: string): Found => failed('InvariantViolated', `the recovered ${name} is not switched to: ${violated}`);

/** As whoever recovered it is called: it is found by that name. */
export const recoveryOf = ({ rollbackId }: Pick<StepWork, 'rollbackId'>, name: string, caller: Caller): Caller => ({
  ...caller,
  operationId: `${rollbackId}/recover.${name}/0`,
});

const renamed = (name: string): string =>
  `databases.${name}.options.url still names the ${name} that was left: once this rollback has closed, set it to the recovered one and start the worker anew, and see that backups are made of that one`;

/** The address where it is read, and what reads it begun anew. The database in use takes no writes any more, and is kept. */
export const switchOver = onPlace(async ({ loaded, work, attempt, name, caller, again, isLate }) => {
  const { config, database, call } = databaseAt(loaded, name, recoveryOf(work, name, caller));
  const holders = referencesOf(loaded, name, caller);
  const address = await database.recovered(call);
  const read = (): Promise<(string | null)[]> => Promise.all(holders.map((one) => one.holder.read(one.call)));
  const held = await read();
  if (work.mode === 'inspect') {
    if (held.length === 0 || held.some((one) => one !== address))
      return failed('NotAtTarget', `the address of ${name} is not that of the recovered one everywhere`);
    const unsealed = `${name} was switched over by hand: see that the one that was in use takes no writes any more`;
    return found('done', { switched: holders.length, byHand: true }, { warnings: [unsealed, renamed(name)] });
  }
  // What was begun is gone on with: some here and some there is worse than late.
  if (!held.includes(address)) {
    if (isLate) {
      // An attempt that died may have sealed it, and nobody was switched over.
      if (again) await database.seal(call, false);
      return late(`${name} could be switched over`, false);
    }
    if (held.includes(null)) return failed('NotFound', `the address of ${name} is not everywhere where it is said to be read; nothing was changed`);
    // Whoever has left out what the recovery found, or has written to it since, is told here.
    const violated = violationsOf(await database.check(call, config.checks, 'recovered'));
    if (violated !== null) return notSwitched(name, violated);
  }
  const sealed = await database.seal(call, true);
  try {
    for (const one of holders) await one.holder.write(one.call, address);
  } catch (error) {
    // Another attempt goes on from here.
    if (attempt.signal.aborted || !(error instanceof AdapterError) || error.kind === 'unavailable' || error.kind === 'superseded') throw error;
    const isNobody = !(await read()).includes(address);
    if (isNobody) await database.seal(call, false);
    const now = isNobody ? 'nobody was switched over, and the one in use takes writes' : 'the one that was in use takes no writes of new sessions any more';
    throw new AdapterError(error.kind, `${error.message}; ${now}`, { cause: error });
  }
  if ((await read()).some((one) => one !== address)) return failed('NotAtTarget', `the address of ${name} is not everywhere what it was set to`);
  return found(
    'done',
    { switched: holders.length, kept: 'the one that was in use, read-only for new sessions', stillConnected: sealed.after },
    { warnings: [renamed(name)] },
  );
}, true);

/** Derived tables and read models, by the house's own command; its output is kept as evidence. */
export const rebuild = onPlace(async ({ loaded, work, attempt, name, part, caller, again, isLate }) => {
  const { config } = databaseAt(loaded, name, caller);
  const one = config.rebuild.find((each) => each.name === part);
  if (!one) return failed('Configuration', `${name} has no ${part} to rebuild in backout.yaml any more`);
  if (work.mode === 'inspect')
    return failed('NotAtTarget', `nobody can see of ${part} whether it was rebuilt; retry runs it once more, or skip it with a due date`);
  if (isLate) return late(`${part} of ${name} could be rebuilt`, again);
  const place = {
    folder: loaded.folder,
    environment: work.environment,
    keepIn: join(loaded.folder, '.backout', 'evidence', work.rollbackId),
    name: `rebuild-${part}`,
  };
  const { verdict, exit, seconds, output } = await runGate(one, place, attempt.signal, attempt.heartbeat);
  const ids = { file: output.file, sha256: output.sha256, bytes: output.bytes };
  if (verdict === 'passed') return found('done', { exit, seconds }, { ids });
  const hide = await hiding(environmentOf(loaded, work.environment), loaded.folder);
  return {
    ...failed('PlatformFailed', `the rebuild of ${part} ended with ${exit}: ${hide(output.tail).trim().slice(-300) || 'no output'}`),
    receipt: { after: { exit, seconds }, ids },
  };
}, true);

export const shownOf = (checks: readonly Checked[]): Record<string, unknown>[] =>
  checks.map(({ name, covers, violations, detail }) => ({ name, covers, violations, ...(detail === null ? {} : { detail }) }));

/** In words; null: every check was run and holds. */
export function violationsOf(checks: readonly Checked[]): string | null {
  const bad = checks.flatMap(({ name, violations, detail }) =>
    violations === null ? [`${name} could not be run: ${detail ?? 'no reason given'}`] : violations > 0 ? [`${name} finds ${violations} violations`] : [],
  );
  return bad.length === 0 ? null : bad.join('; ');
}
