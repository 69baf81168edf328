/** What became of each database [001 step 3c, 004 section 3]: migrations, rows, a recovery, what was rebuilt, and the house's own checks. */
import { fieldOf } from '../../model/field.ts';
import type { Destroyed } from '../../model/plan.ts';
import type { StepView } from '../../model/state.ts';
import { isPassedRun, partOf, toldOf, type DataStep } from './data-step.ts';
import { checksIn, destroyedIn, type CheckFound } from './data-words.ts';
import { confirmOf, listIn, numberIn, runsOf, textIn, textsIn, type Reading } from './reading.ts';

export interface Undone extends DataStep {
  readonly migration: string;
  /** As it was counted in the plan. */
  readonly wouldDestroy: readonly Destroyed[];
  /** As it was counted when it was done; null: nobody counted. */
  readonly destroyed: readonly Destroyed[] | null;
  readonly byHand: boolean;
  /** It has failed, and may have been done all the same, or in part. */
  readonly mayBePartly: boolean;
  readonly milliseconds: number | null;
}

/** In rows; null: not told. */
export interface Restored extends DataStep {
  readonly restore: string;
  readonly restored: number | null;
  readonly there: number | null;
  /** Made anew, or changed, since: left as they are. */
  readonly changed: number | null;
  readonly blocked: readonly { readonly by: string; readonly rows: number }[];
  /** Audit entries whose key cannot be read. */
  readonly unreadable: number;
  /** Columns of the audit entries that the table does not have any more. */
  readonly lostColumns: readonly string[];
  readonly tenant: string | null;
}

export interface Recovered extends DataStep {
  /** `backup`, or the time that was asked for. */
  readonly from: string | null;
  /** Up to when what was written is in it. */
  readonly asOf: string | null;
  /** The new database, or the folder of the new server. */
  readonly into: string | null;
  readonly checks: readonly CheckFound[];
  readonly newestMigration: string | null;
  readonly settingsNotRestored: readonly string[];
  readonly switched:
    | (DataStep & {
        /** In how many places its address was changed. */
        readonly places: number | null;
        readonly byHand: boolean;
        /** The one that was in use, kept read-only; null: not told. */
        readonly kept: string | null;
        /** Who was still connected to that one, by application. */
        readonly connected: readonly string[];
      })
    | null;
}

export interface Rebuilt extends DataStep {
  readonly name: string;
  readonly exit: string | null;
  readonly file: string | null;
  readonly sha256: string | null;
}

/** A check of the house's own; undefined: it was not run then. */
export interface CheckReport extends Pick<CheckFound, 'name' | 'covers'> {
  readonly before: Pick<CheckFound, 'violations' | 'detail'> | null;
  readonly after: Pick<CheckFound, 'violations' | 'detail'> | null;
}

export interface DatabaseReport {
  readonly name: string;
  readonly undone: readonly Undone[];
  readonly restored: readonly Restored[];
  readonly recovered: Recovered | null;
  /** People went back with it; null: they did not have to. */
  readonly byHand: (DataStep & { readonly evidence: readonly string[] }) | null;
  readonly rebuilt: readonly Rebuilt[];
  readonly checks: readonly CheckReport[];
  /** Has the house any check of its own for it, run or not? */
  readonly isChecked: boolean;
}

export const HAND = 'by-hand.';

export function databaseOf(reading: Reading, name: string): DatabaseReport {
  const own = reading.steps.filter((step) => step.place === `database/${name}`);
  const of = (operation: string): StepView[] => own.filter((step) => step.operation === operation);
  const [recover] = of('recover');
  const hand = reading.steps.find((step) => step.id === `${HAND}${name}`);
  return {
    name,
    undone: of('undo').map((step) => undoneOf(reading, step)),
    restored: of('restore').map((step) => restoredOf(reading, step)),
    recovered: recover ? recoveredOf(reading, recover, of('switch')[0]) : null,
    byHand: hand ? { ...toldOf(reading, hand).told, evidence: textsIn(confirmOf(reading, hand.id), 'evidence') } : null,
    rebuilt: of('rebuild').map((step) => {
      const { told, run } = toldOf(reading, step);
      const ids = run?.receipt?.ids;
      return { ...told, name: partOf(step), exit: textIn(run?.receipt?.after, 'exit'), file: textIn(ids, 'file'), sha256: textIn(ids, 'sha256') };
    }),
    checks: checksOf(reading, of('survey')[0], of('invariants')[0]),
    isChecked: of('invariants').length > 0,
  };
}

function undoneOf(reading: Reading, step: StepView): Undone {
  const { told, run, runs } = toldOf(reading, step);
  const after = run && isPassedRun(run) ? run.receipt?.after : undefined;
  const counted = runs
    .filter(isPassedRun)
    .flatMap((one) => (destroyedIn(one.receipt?.after) ? [one.receipt?.after] : []))
    .at(-1);
  return {
    ...told,
    migration: partOf(step),
    wouldDestroy: step.destroys ?? [],
    destroyed: destroyedIn(counted),
    byHand: fieldOf(after, 'byHand') === true,
    mayBePartly: isPartly(step),
    milliseconds: numberIn(counted, 'milliseconds'),
  };
}

/** Failures of an attempt that had begun. Of what is one transaction it says itself that nothing was changed. */
const BEGUN: ReadonlySet<string> = new Set(['PlatformFailed', 'PlatformUnavailable', 'ResultUnknown', 'UnexpectedResponse', 'Conflict', 'RecordUnavailable']);
const isPartly = ({ state, failure }: StepView): boolean =>
  (state === 'failed' || state === 'unknown') &&
  failure !== null &&
  BEGUN.has(failure.type) &&
  (!/nothing was changed|applied: none/.test(failure.message) || failure.message.includes('in part'));

function restoredOf(reading: Reading, step: StepView): Restored {
  const { told, runs } = toldOf(reading, step);
  const afters = runs.flatMap(({ receipt }) => (receipt?.after === undefined || receipt.after === null ? [] : [receipt.after]));
  const last = afters.at(-1);
  // What an earlier try has put back is there already for a later one.
  const put = afters.map((after) => numberIn(after, 'restored') ?? 0);
  const restored = put.reduce((sum, rows) => sum + rows, 0);
  const there = numberIn(last, 'same') ?? numberIn(last, 'there');
  return {
    ...told,
    restore: partOf(step),
    restored: last === undefined ? null : restored,
    there: there === null ? null : Math.max(0, there - (restored - (put.at(-1) ?? 0))),
    changed: numberIn(last, 'changed') ?? numberIn(last, 'changedSince'),
    blocked: listIn(last, 'blocked').map((one) => ({ by: textIn(one, 'by') ?? 'the database', rows: numberIn(one, 'rows') ?? 0 })),
    unreadable: numberIn(last, 'unreadable') ?? 0,
    lostColumns: textsIn(last, 'lost'),
    tenant: textIn(last, 'tenant'),
  };
}

function recoveredOf(reading: Reading, step: StepView, change: StepView | undefined): Recovered {
  const { told, run } = toldOf(reading, step);
  const after = run?.receipt?.after;
  const inUse = textIn(run?.receipt?.before, 'inUse');
  return {
    ...told,
    from: textIn(after, 'from'),
    asOf: textIn(after, 'asOf'),
    into: textIn(after, 'database') ?? textIn(after, 'folder'),
    checks: checksIn(after, 'checks'),
    newestMigration: textIn(after, 'newestMigration'),
    settingsNotRestored: textsIn(after, 'settingsNotRestored'),
    switched: change ? switchedOf(reading, change, inUse) : null,
  };
}

function switchedOf(reading: Reading, step: StepView, inUse: string | null): Recovered['switched'] {
  const { told, run } = toldOf(reading, step);
  const after = run?.receipt?.after;
  const still = fieldOf(after, 'stillConnected');
  const byHand = fieldOf(after, 'byHand') === true;
  const connected = listIn(still, 'connected').map((one) => `${textIn(one, 'application') ?? '?'} (${numberIn(one, 'sessions') ?? '?'})`);
  return {
    ...told,
    places: numberIn(after, 'switched'),
    byHand,
    // Of what people did nobody has seen whether they have sealed the other one.
    kept: !byHand && (step.state === 'done' || step.state === 'already') ? (textIn(still, 'database') ?? inUse) : null,
    connected,
  };
}

function checksOf(reading: Reading, survey: StepView | undefined, gate: StepView | undefined): CheckReport[] {
  const lastOf = (step: StepView | undefined): unknown => (step ? toldOf(reading, step).run?.receipt?.after : undefined);
  // As it was seen first: a later survey sees what this rollback has done.
  const first = survey ? runsOf(reading, survey.id).find(isPassedRun)?.receipt?.after : undefined;
  const [before, after] = [checksIn(first, 'checks'), checksIn(lastOf(gate), 'checks')];
  const names = [...new Set([...before, ...after].map((one) => one.name))];
  return names.map((name) => {
    const [then, now] = [before, after].map((list) => list.find((one) => one.name === name));
    const found = (one: CheckFound | undefined): CheckReport['before'] => (one ? { violations: one.violations, detail: one.detail } : null);
    return { name, covers: (now ?? then)?.covers ?? 'other', before: found(then), after: found(now) };
  });
}
