/** What a successor goes on from: the record first, then the platforms. What they disagree about, a person decides. */
import type { Carried } from '../model/carried.ts';
import { failure } from '../model/failure.ts';
import { voidBetween } from '../model/escalation.ts';
import { POLICIES, type Kind } from '../model/policy.ts';
import { whole, type Operation, type Plan, type PlannedStep } from '../model/plan.ts';
import { entryOf, type RecordEntry, type StoredEntry } from '../model/record.ts';
import { BLOCKED, PASSED, type Answer, type Failure, type Receipt, type StepState } from '../model/state.ts';
import type { Refusal } from '../model/refusal.ts';
import type { Observation } from './adapters/adapter.ts';
import type { Predecessor } from './dependencies.ts';
import type { Change } from './step.ts';

/** As `runStep` writes it. */
interface StepEntry extends RecordEntry {
  readonly step: string;
  readonly state: StepState;
  readonly generation: number;
  readonly attempts: number;
  readonly startedAt: string;
  readonly receipt: Receipt | null;
  readonly failure: Failure | null;
  readonly change?: Change;
}

export interface Left {
  readonly stored: readonly StoredEntry[];
  readonly plan: Plan;
  readonly seen: Readonly<Record<string, Observation>>;
  readonly startedAtMs: number;
  readonly starter: string;
  readonly openedAt: string;
  readonly predecessor: Predecessor | null;
  /** It goes on by itself: nobody has ended it. */
  readonly continues?: boolean;
}

export function carriedFrom({ stored, plan, seen, startedAtMs, starter, openedAt, predecessor, continues }: Left): Carried {
  const entries = stored.map(entryOf);
  const answers = merge(
    entries.flatMap((one) => (one.type === 'answer' ? [one['answer'] as Answer] : [])),
    predecessor?.state.answers ?? [],
  );
  const refusals = merge(
    entries.flatMap((one) => (one.type === 'refusal' ? [one['refusal'] as Refusal] : [])),
    predecessor?.state.refusals.filter((one) => one.message !== undefined) ?? [],
  );
  const clock = clockOf(entries, startedAtMs, predecessor);
  const voided = voidedIn(entries, plan);
  const target = plan.targetSeconds;
  return {
    ...clock,
    starter,
    openedAt,
    answers: answers.all,
    refusals: refusals.all,
    unrecorded: { answers: answers.missing, refusals: refusals.missing },
    breached:
      entries.some((one) => one.type === 'breach') || (predecessor?.state.clock.breached ?? false) || (target !== null && clock.machineMs > target * 1000),
    warnings: continues
      ? (predecessor?.state.warnings ?? [])
      : ['resumed after its execution was ended from outside; it went on from the record and the platforms'],
    ...(Object.keys(voided).length === 0 ? {} : { voided }),
    steps: plan.steps.map((step) => ({
      id: step.id,
      progress: progressOf(
        whole(step),
        entries,
        answers.all.filter((one) => one.at > (voided[step.id] ?? '')),
        plan,
        seen,
        voided[step.id] ?? '',
      ),
    })),
  };
}

/** Messages ride with the next activity; those that never found one are known only to the lost run's history. */
function merge<T>(recorded: readonly T[], known: readonly T[]): { all: T[]; missing: T[] } {
  const have = new Set(recorded.map((one) => JSON.stringify(one, Object.keys(one as object).toSorted())));
  const missing = known.filter((one) => !have.has(JSON.stringify(one, Object.keys(one as object).toSorted())));
  return { all: [...recorded, ...missing], missing };
}

/** The lost run's own clock up to its end where its history is left, else the last entry's. From then on nobody but the person who resumes was awaited. */
function clockOf(entries: readonly RecordEntry[], startedAtMs: number, predecessor: Predecessor | null): { machineMs: number; humanMs: number } {
  if (predecessor) {
    const { machineSeconds, humanSeconds } = predecessor.state.clock;
    const since = Math.max(0, predecessor.endedAtMs - predecessor.asOfMs);
    const atWork = predecessor.state.state === 'running' || predecessor.state.state === 'planning';
    const gap = Math.max(0, startedAtMs - predecessor.endedAtMs);
    return { machineMs: machineSeconds * 1000 + (atWork ? since : 0), humanMs: humanSeconds * 1000 + (atWork ? 0 : since) + gap };
  }
  const last = entries.findLast((one) => typeof one['machineMs'] === 'number' && typeof one['humanMs'] === 'number');
  return { machineMs: Number(last?.['machineMs'] ?? 0), humanMs: Number(last?.['humanMs'] ?? 0) + (last ? Math.max(0, startedAtMs - Date.parse(last.at)) : 0) };
}

/** What was said of steps before a level grew is not what would be said now. */
const voidedIn = (entries: readonly RecordEntry[], plan: Plan): Record<string, string> =>
  Object.fromEntries(entries.flatMap((one) => voidedBy(one, plan).map((step): [string, string] => [step, one.at])));

function voidedBy({ type, ...entry }: RecordEntry, { steps }: Plan): string[] {
  if (type === 'void' && Array.isArray(entry['steps'])) return entry['steps'].map(String);
  if (type !== 'replanned' || entry['escalated'] === undefined) return [];
  // Written with the plan: the run may have ended before it heard of that, and so before it could say what is void.
  const { from, to } = entry['escalated'] as { readonly from: Kind; readonly to: Kind };
  const isVoid = voidBetween(POLICIES[from].level ?? 1, POLICIES[to].level ?? 1);
  return steps.filter(isVoid).map((one) => one.id);
}

type StepCarried = Carried['steps'][number]['progress'];
const untouched: StepCarried = {
  state: 'pending',
  generation: 0,
  attempts: 0,
  startedAt: null,
  endedAt: null,
  receipt: null,
  failure: null,
  mayHaveActed: true,
};

/** Of a tenant: what passed stays so, and the last look looks at all of it before the end. */
const OF_TENANT: ReadonlySet<Operation | null> = new Set(['inventory', 'begin', 'remove', 'release', 'look', 'fail']);
/** Of data, evidence and credentials too: it is proven by its gates anew, and a survey of before must not see what was done since. */
const OF_DATA: ReadonlySet<Operation | null> = new Set(['survey', 'undo', 'restore', 'recover', 'switch', 'rebuild', 'annotate', 'issue', 'install', 'revoke']);
/** What such a step has done stays done, and is not said or written twice, unless it was undone since. Everything else looks again: it finds what is there. */
const LASTING: ReadonlySet<Operation | null> = new Set(['communicate', 'freeze', 'lift', 'review', ...OF_TENANT, ...OF_DATA]);

/** What the walk answered by itself, by asking again or looking again: it is no failure for a person to decide about. */
const isAnswered = ({ change }: StepEntry): boolean =>
  change?.held !== undefined || change?.stale !== undefined || (change?.drifted ?? change?.unfrozen) !== undefined || change?.left?.itself === false;

const isStep = (one: RecordEntry, id: string): one is StepEntry => one.type === 'step' && one['step'] === id;

/** What has passed for good; null: the step looks again. */
function lastingOf(
  { id, operation, subject }: PlannedStep,
  came: StepCarried,
  entries: readonly RecordEntry[],
  answers: readonly Answer[],
): StepCarried | null {
  if (!LASTING.has(operation) || !PASSED.has(came.state)) return null;
  if (OF_TENANT.has(operation) || OF_DATA.has(operation)) return came;
  const since = entries.slice(entries.findLastIndex((one) => isStep(one, id)) + 1);
  const again = { ...came, state: 'pending', generation: came.generation + 1 } as const;
  const lifts = entries.filter((one): one is StepEntry => isStep(one, 'lift') && PASSED.has(one.state));
  const left = lifts.at(-1)?.change?.frozen;
  // Unfrozen in scopes, and the rest is asked about anew.
  const isPartOf = left !== undefined && left.length > 0 && (id === 'lift' || since.some((one) => isStep(one, 'lift')));
  const isUnsaid = since.some((one) => one.type === 'drift' && one['component'] !== undefined);
  if (operation === 'lift' && subject === undefined) return isPartOf || isUnsaid ? again : came;
  if (operation === 'review') return isUnsaid ? again : came;
  if (operation === 'communicate') return subject === 'recovery' && (isPartOf || isUnsaid) ? again : came;
  // A platform is held as long as the register is: the unfreeze is asked again, and what was lifted for it is not known to be frozen.
  const isHeld = left === undefined || left.length > 0;
  if (operation === 'lift') return isHeld ? null : came;
  const isUnfreezing = answers.some((one) => one.name === 'confirm' && one.step === 'unfreeze' && one.at > (came.endedAt ?? ''));
  return subject !== undefined && isHeld && isUnfreezing ? null : came;
}

function progressOf(
  planned: PlannedStep,
  entries: readonly RecordEntry[],
  answers: readonly Answer[],
  plan: Plan,
  seen: Readonly<Record<string, Observation>>,
  voidedAt: string,
): StepCarried {
  const { id, operation, component } = planned;
  const deploys = operation === 'deploy' ? (component ?? '') : null;
  const all = entries.filter((one): one is StepEntry => isStep(one, id));
  const last = all.at(-1);
  if (!last) return untouched;
  if (last.at <= voidedAt) return { ...untouched, generation: last.generation + 1 };
  const came: StepCarried = {
    state: last.state,
    generation: last.generation,
    attempts: all.length,
    startedAt: last.startedAt,
    endedAt: last.at,
    receipt: last.receipt,
    failure: last.failure,
    mayHaveActed: true,
  };
  // A retry was decided after that entry, and nothing is known of it; the generation is raised as the lost run raised it.
  const retried = answers.findLast((one) => one.name === 'decide' && one['action'] === 'retry' && one.step === id);
  if (retried && retried.at > last.at) return { ...came, state: 'pending', generation: last.generation + (last.state === 'unknown' ? 0 : 1), failure: null };
  const skipped = answers.findLast((one) => one.name === 'decide' && one['action'] === 'skip' && one.step === id);
  if (skipped && skipped.at > last.at) return { ...came, state: 'skipped', endedAt: skipped.at };
  const told = answers.findLast((one) => one.name === 'decide' && one['action'] === 'done' && one.step === id);
  if (told && told.at > last.at && operation === 'communicate') return { ...came, state: 'confirmed', endedAt: told.at, failure: null };
  if (isAnswered(last)) return { ...untouched, generation: last.generation };
  if (BLOCKED.has(last.state)) return came;
  const lasting = lastingOf(planned, came, entries, answers);
  if (lasting) return lasting;
  if (deploys === null || !PASSED.has(last.state)) return { ...untouched, generation: last.generation };
  const to = plan.targets.find((target) => target.component === deploys)?.to;
  const current = seen[deploys]?.current ?? null;
  // A platform that could not be asked says nothing against it; the gates look again.
  if (current === to || (current === null && seen[deploys]?.targetPresent === 'unknown' && plan.incident !== null)) return came;
  return {
    ...came,
    state: 'failed',
    failure: failure('Drifted', `${deploys} was put back to ${to ?? '?'}, and is now at ${current ?? 'an unknown version'}: somebody has changed it since`),
  };
}
