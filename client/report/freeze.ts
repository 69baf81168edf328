/**
 * What stood still, since when, and what became of it: from the register, which also knows what a later rollback of the incident has lifted; else from
 * this rollback's entries; else from the receipts of its steps. And what did not hold.
 */
import { fieldOf } from '../../model/field.ts';
import { FREEZE_SCOPES, type Freeze } from '../../model/freeze.ts';
import { PASSED, type Failure } from '../../model/state.ts';
import { entriesOf, runsOf, said, skipOf, textIn, textsIn, type Reading } from './reading.ts';

export interface FrozenEnvironment {
  readonly environment: string;
  readonly scopes: readonly string[];
  readonly frozenAt: string | null;
  readonly by: string | null;
  readonly lifted: readonly { readonly scope: string; readonly at: string; readonly by: string }[];
  /** What is still frozen, as far as this rollback knows. */
  readonly inForce: readonly string[];
}

export interface CarrierReport {
  readonly carrier: string;
  /** `left-to-people`: it could not be frozen, and was let go. */
  readonly state: 'frozen' | 'lifted' | 'lifted-by-hand' | 'failed' | 'left-to-people' | 'not-frozen';
  readonly at: string | null;
  readonly detail: string | null;
}

export interface FreezeReport {
  readonly environments: readonly FrozenEnvironment[];
  /** Who was let through. */
  readonly exceptions: { readonly roles: readonly string[]; readonly items: readonly string[] };
  readonly carriers: readonly CarrierReport[];
  readonly inForce: readonly string[];
}

/** Reality that moved without us. */
export interface Drift {
  readonly at: string;
  /** `component`: it left its target. `freeze`: it was lifted by hand. `health`: it got worse after the end. */
  readonly what: 'component' | 'freeze' | 'health';
  readonly subject: string | null;
  readonly detail: string;
}

export function freezeOf(reading: Reading): FreezeReport {
  const environments = reading.freezes === null ? environmentsOf(reading) : registered(reading, reading.freezes);
  const exceptions = fieldOf(entriesOf(reading, 'freeze').at(-1) ?? runsOf(reading, 'freeze').at(-1)?.receipt?.after, 'exceptions');
  const left = FREEZE_SCOPES.filter((scope) => environments.some((one) => one.inForce.includes(scope)));
  const inForce = reading.freezes === null ? (reading.state.incidentCommand?.frozen ?? left) : left;
  return {
    environments,
    exceptions: { roles: textsIn(exceptions, 'roles'), items: textsIn(exceptions, 'items') },
    carriers: carriersOf(reading),
    inForce,
  };
}

/** What the register holds of the time of this rollback. */
function registered(reading: Reading, freezes: readonly Freeze[]): FrozenEnvironment[] {
  const { state, endedAt, madeAt } = reading;
  const isPast = (one: Freeze): boolean => one.inForce.length === 0 && one.lifted.every(({ at }) => at < state.trigger.at);
  const own = freezes.filter((one) => one.at <= (endedAt ?? madeAt) && !isPast(one)).toSorted((one, other) => one.at.localeCompare(other.at));
  // Its own environment first, then those that were frozen with it.
  const others = own.map((one) => one.environment).toSorted();
  const names = [...new Set([...others.filter((name) => name === state.environment), ...others])];
  return names.map((environment) => {
    const rows = own.filter((one) => one.environment === environment);
    const [first] = rows;
    return {
      environment,
      scopes: FREEZE_SCOPES.filter((scope) => rows.some((row) => row.scopes.includes(scope))),
      frozenAt: first?.at ?? null,
      by: first?.by ?? null,
      lifted: rows.flatMap((row) =>
        row.lifted.map(({ scope, at, by, rollbackId }) => ({ scope, at, by: rollbackId === state.rollbackId ? liftedBy(reading, at, by) : by })),
      ),
      inForce: FREEZE_SCOPES.filter((scope) => rows.some((row) => row.inForce.includes(scope))),
    };
  });
}

/** Whoever confirmed the unfreeze has lifted it; register and entry name who declared the incident. */
const liftedBy = (reading: Reading, at: string, otherwise: string | null): string =>
  said(reading, 'confirm', 'unfreeze').findLast((one) => one.at <= at)?.by ?? otherwise ?? '';

function environmentsOf(reading: Reading): FrozenEnvironment[] {
  const entries = entriesOf(reading, 'freeze');
  const after = runsOf(reading, 'freeze').findLast((run) => PASSED.has(run.state))?.receipt?.after;
  const names = [...new Set([...entries.map((entry) => textIn(entry, 'environment') ?? ''), ...textsIn(after, 'environments')])];
  const lifts = liftsOf(reading);
  return names.map((environment) => {
    const own = entries.filter((entry) => entry['environment'] === environment);
    const recorded = own.flatMap((entry) => textsIn(entry, 'scopes'));
    // A freeze that an earlier rollback of the incident left behind was taken over, and has no entry here.
    const scopes = [...new Set(recorded.length > 0 ? recorded : textsIn(after, 'scopes'))];
    // An entry names what was to be lifted; what had been lifted before stays lifted then.
    // One that was frozen again, since the level had grown, is not lifted by what was lifted before.
    const since = (scope: string): string => own.findLast((entry) => textsIn(entry, 'scopes').includes(scope))?.at ?? '';
    const lifted = scopes.flatMap((scope) =>
      lifts.filter((one) => one.environment === environment && one.scope === scope && one.at >= since(scope)).slice(0, 1),
    );
    return {
      environment,
      scopes,
      frozenAt: own[0]?.at ?? null,
      by: textIn(own[0], 'by'),
      lifted: lifted.map(({ scope, at, by }) => ({ scope, at, by })),
      inForce: scopes.filter((scope) => !lifted.some((one) => one.scope === scope)),
    };
  });
}

function liftsOf(reading: Reading): { environment: string; scope: string; at: string; by: string }[] {
  const recorded = entriesOf(reading, 'unfreeze').flatMap((entry) =>
    textsIn(entry, 'scopes').map((scope) => ({
      environment: textIn(entry, 'environment') ?? '',
      scope,
      at: entry.at,
      by: liftedBy(reading, entry.at, textIn(entry, 'by')),
    })),
  );
  if (recorded.length > 0) return recorded;
  return runsOf(reading, 'lift').flatMap(({ at, receipt }) =>
    textsIn(receipt?.after, 'environments').flatMap((environment) =>
      textsIn(receipt?.after, 'lifted').map((scope) => ({ environment, scope, at, by: liftedBy(reading, at, null) })),
    ),
  );
}

function carriersOf(reading: Reading): CarrierReport[] {
  const drifts = driftOf(reading);
  return reading.steps.flatMap(({ operation, subject, id }): CarrierReport[] => {
    if (operation !== 'freeze' || subject === undefined) return [];
    const [set, lift] = [runsOf(reading, id).at(-1), runsOf(reading, `lift.${subject}`).at(-1)];
    const byHand = drifts.findLast((one) => one.what === 'freeze' && one.subject === subject);
    const report = (state: CarrierReport['state'], at: string | null, detail: string | null): CarrierReport[] => [{ carrier: subject, state, at, detail }];
    if (!set) return report('not-frozen', null, null);
    if (skipOf(reading, id)) return report('left-to-people', set.at, set.failure?.message ?? null);
    if (lift && PASSED.has(lift.state) && lift.at > set.at) return report('lifted', lift.at, lift.receipt?.detail ?? null);
    if (byHand && byHand.at > set.at) return report('lifted-by-hand', byHand.at, byHand.detail);
    return PASSED.has(set.state) ? report('frozen', set.at, set.receipt?.detail ?? null) : report('failed', set.at, set.failure?.message ?? null);
  });
}

/** As the rollback's own look, the worker's sweep and the watch after the end have found it. */
export function driftOf(reading: Reading): Drift[] {
  const carriers = new Set(reading.steps.flatMap(({ operation, subject }) => (operation === 'freeze' && subject !== undefined ? [subject] : [])));
  return reading.entries.flatMap((entry): Drift[] => {
    const { at, type } = entry;
    if (type === 'drift') {
      const carrier = textIn(entry, 'carrier');
      const { message } = entry['failure'] as Failure; // Written by the workflow.
      return [{ at, what: carrier === null ? 'component' : 'freeze', subject: carrier ?? textIn(entry, 'component'), detail: message }];
    }
    if (type === 'freeze-drift') {
      // The register's sweep names what it is about in the event only.
      const subject = /freeze-drift\/(.+)\/[^/]+$/.exec(entry.event)?.[1] ?? null;
      return [{ at, what: subject !== null && carriers.has(subject) ? 'freeze' : 'component', subject, detail: textIn(entry, 'text') ?? '' }];
    }
    if (type === 'notice' && entry['notice'] === 'degraded') return [{ at, what: 'health', subject: null, detail: textIn(entry, 'text') ?? '' }];
    return [];
  });
}
