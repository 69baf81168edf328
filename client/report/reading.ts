/** What a report is made of, and the ways to look into it. The record's entries are typed as their writers made them; what people sent is looked into by hand. */
import { fieldOf } from '../../model/field.ts';
import type { Freeze } from '../../model/freeze.ts';
import { CHECKLIST } from '../../model/incident.ts';
import type { RecordEntry } from '../../model/record.ts';
import { POLICIES, type Policy } from '../../model/policy.ts';
import { own } from '../../model/roles.ts';
import { signedOf, type Signed } from '../../model/signed.ts';
import { BLOCKED, PASSED, type Answer, type Failure, type Receipt, type RollbackState, type StepState, type StepView } from '../../model/state.ts';
import type { Plan } from '../../model/plan.ts';
import { growthOf, grownState, voidsOf, type Growth, type Void } from './growth.ts';
import type { Recorded } from './timeline.ts';

export interface Material {
  readonly state: RollbackState;
  /** Empty: the record could not be read, or has nothing of it. */
  readonly recorded: readonly Recorded[];
  /** The register's freezes of the incident, whichever of its rollbacks set or lifted them; absent where it could not be read. */
  readonly freezes?: readonly Freeze[];
  /** Earlier rollbacks of the same tenant, oldest first; absent where they could not be read, or nobody needs them. */
  readonly earlier?: readonly Material[];
  /** The last entry of this rollback in the record, by which its head can be checked; absent where it could not be read. */
  readonly head?: { readonly seq: number; readonly hash: string };
  readonly sources: readonly string[];
  readonly madeAt: string;
}

/** One try at a step, as `runStep` recorded it; without the record, the last one as the state has it. */
export interface Run {
  readonly at: string;
  readonly startedAt: string | null;
  readonly state: StepState;
  readonly receipt: Receipt | null;
  readonly failure: Failure | null;
}

export interface Reading {
  readonly state: RollbackState;
  readonly policy: Policy;
  /** Is an incident rolled back? */
  readonly isIncident: boolean;
  readonly entries: readonly RecordEntry[];
  /** Null: not known. */
  readonly freezes: readonly Freeze[] | null;
  /** What the start said; empty where nobody knows. */
  readonly input: Readonly<Record<string, unknown>>;
  readonly steps: readonly StepView[];
  readonly answers: readonly Answer[];
  /** Oldest first. */
  readonly growth: readonly Growth[];
  readonly voids: readonly Void[];
  /** ISO; null while it is not closed. */
  readonly endedAt: string | null;
  readonly madeAt: string;
}

export function readingOf({ state: known, recorded, freezes, madeAt }: Material, endedAt: string | null): Reading {
  const entries = recorded.map((one) => one.entry);
  const growth = growthOf(known, entries);
  const voids = voidsOf(entries, growth);
  const { answers } = known;
  const signed = signedIn(answers);
  const standing = known.steps.map((step) => asSigned(asAskedAgain(step, voids), signed));
  const state = { ...grownState(known, growth), steps: standing };
  const policy = POLICIES[state.kind];
  return {
    state,
    policy,
    isIncident: policy.level !== null,
    entries,
    freezes: freezes ?? null,
    input: startInput(entries),
    steps: standing.map((step) => asDecided(step, answers, policy.subject === 'tenant')),
    answers,
    growth,
    voids,
    endedAt,
    madeAt,
  };
}

/** What the start said, as the record has it. */
function startInput(entries: readonly RecordEntry[]): Readonly<Record<string, unknown>> {
  const input = entries.find((entry) => entry.type === 'opened' || entry.type === 'refused')?.['input'];
  return typeof input === 'object' && input !== null ? (input as Record<string, unknown>) : {}; // JSON of our own writer.
}

/** A state that is put together from the record does not know yet that a failed step was let go; of a tenant, also one that nobody had answered. */
function asDecided(step: StepView, answers: readonly Answer[], anyOpen: boolean): StepView {
  if (!BLOCKED.has(step.state) && !(anyOpen && step.removal && !PASSED.has(step.state))) return step;
  const last = answers.findLast((one) => one.name === 'decide' && one.step === step.id);
  const isLater = last !== undefined && (step.endedAt === null || last.at >= step.endedAt);
  return isLater && last['action'] === 'skip' ? { ...step, state: 'skipped' } : step;
}

/** It does not know either that an answer was taken back when the level grew. */
function asAskedAgain(step: StepView, voids: readonly Void[]): StepView {
  const isOver = PASSED.has(step.state) || BLOCKED.has(step.state);
  const isVoid = voids.some((one) => one.byGrowth && one.steps.includes(step.id) && step.endedAt !== null && one.at >= step.endedAt);
  return isOver && isVoid ? { ...step, state: 'pending', startedAt: null, endedAt: null, failure: null } : step;
}

/** Null: the Security Lead has signed nothing. */
export const signedIn = (answers: readonly Answer[]): Signed | null => {
  const said = answers.findLast((one) => one.name === 'confirm' && one.step === 'credentials');
  return said ? signedOf(said['data']) : null;
};

const isOfCredential = ({ effect, operation }: StepView): boolean => effect === 'credential' || operation === 'scope';

/** Nor that what was not exposed stays as it is. */
const asSigned = (step: StepView, signed: Signed | null): StepView =>
  step.state === 'pending' && isOfCredential(step) && signed?.unaffected.includes(step.subject ?? '') ? { ...step, state: 'skipped' } : step;

/** A credential that was not exposed: nothing of it was left out. */
export const isUnexposed = ({ answers }: Pick<Reading, 'answers'>, step: StepView): boolean =>
  step.state === 'skipped' && isOfCredential(step) && (signedIn(answers)?.unaffected.includes(step.subject ?? '') ?? false);

/** As it was made last, or was at that time; null where the record has none. */
export const planAt = ({ entries }: Reading, at: string | null = null): Plan | null =>
  (entries.findLast((entry) => (at === null || entry.at <= at) && typeof entry['plan'] === 'object' && entry['plan'] !== null)?.['plan'] as Plan | undefined) ??
  null; // Written by whoever plans.

/** Null where it is no text, or an empty one. */
export function textIn(from: unknown, name: string): string | null {
  const value = fieldOf(from, name);
  return typeof value === 'string' && value.trim() !== '' ? value : null;
}
export function textsIn(from: unknown, name: string): string[] {
  const value = fieldOf(from, name);
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
}

export function numberIn(from: unknown, name: string): number | null {
  const value = fieldOf(from, name);
  return typeof value === 'number' ? value : null;
}
export function listIn(from: unknown, name: string): readonly unknown[] {
  const value = fieldOf(from, name);
  return Array.isArray(value) ? value : [];
}

export const secondsBetween = (from: string, to: string): number => Math.max(0, (Date.parse(to) - Date.parse(from)) / 1000);

export const stepOf = ({ steps }: Reading, id: string): StepView | undefined => steps.find((step) => step.id === id);
export const entriesOf = ({ entries }: Reading, ...types: readonly string[]): RecordEntry[] => entries.filter((entry) => types.includes(entry.type));
export const said = ({ answers }: Reading, name: string, step?: string | null): Answer[] =>
  answers.filter((one) => one.name === name && (step === undefined || one.step === step));
export const lastSaid = (reading: Reading, name: string, step?: string | null): Answer | undefined => said(reading, name, step).at(-1);

/** By step, once: a tenant may have hundreds of them. */
const BY_STEP = new WeakMap<readonly RecordEntry[], Map<unknown, RecordEntry[]>>();
function stepEntries(reading: Reading): Map<unknown, RecordEntry[]> {
  const known = BY_STEP.get(reading.entries);
  if (known) return known;
  const made = Map.groupBy(entriesOf(reading, 'step'), (entry) => entry['step']);
  BY_STEP.set(reading.entries, made);
  return made;
}

/** Oldest first. */
export function runsOf(reading: Reading, id: string): Run[] {
  const recorded = stepEntries(reading).get(id) ?? [];
  if (recorded.length > 0) return recorded.map(runOf);
  const step = stepOf(reading, id);
  if (!step || step.mode === 'manual' || step.endedAt === null || (!PASSED.has(step.state) && !BLOCKED.has(step.state))) return [];
  const { endedAt, startedAt, receipt, failure } = step;
  return [{ at: endedAt, startedAt, state: failure && step.state === 'skipped' ? 'failed' : step.state, receipt, failure }];
}

function runOf(entry: RecordEntry): Run {
  const { startedAt, state, receipt, failure } = entry as unknown as Partial<Run>; // Written by runStep, or for it by the workflow.
  return { at: entry.at, startedAt: startedAt ?? null, state: state ?? 'unknown', receipt: receipt ?? null, failure: failure ?? null };
}

/** The decision that let a step go without its success; null: there is none, or it was tried again since, as after a drift. */
export function skipOf(reading: Reading, id: string): Answer | null {
  const last = lastSaid(reading, 'decide', id);
  return last?.['action'] === 'skip' && !runsOf(reading, id).some((run) => run.at > last.at) && !isVoidSince(reading, id, last.at) ? last : null;
}

export const isVoidSince = ({ voids }: Reading, id: string, at: string): boolean => voids.some((one) => one.at >= at && one.steps.includes(id));

/** The last confirmation that still counts. */
export function confirmOf(reading: Reading, id: string): Answer | undefined {
  const last = lastSaid(reading, 'confirm', id);
  return last && !isVoidSince(reading, id, last.at) ? last : undefined;
}

/** In a state that is put together from the record it is in the Workflow Id only. */
export const incidentOf = ({ state, policy }: Reading): string | null =>
  state.incident ?? (policy.subject === 'incident' ? (state.id.split('/')[2] ?? null) : null);

/** Who answers for a step: its owner; of what came in on the way, whoever leads. */
export const ownerOf = (reading: Reading, step: string | null): string => (step === null ? null : stepOf(reading, step)?.owner) ?? reading.policy.lead;

export const titleOf = (reading: Reading, step: string): string =>
  CHECKLIST.find((row) => step === `cleanup.${row.area}`)?.title ?? stepOf(reading, step)?.title ?? own(TITLES, step) ?? step;
/** Steps that come in on the way; a plan from the record alone does not have them. */
const TITLES: Readonly<Record<string, string>> = {
  takeover: 'Take over the other rollback, or wait for it?',
  investigation: 'Why was the time target missed?',
};
