/** One step: inspect, apply only what is missing, verify [product.md 3]. The same code whichever attempt it is. */
import { setTimeout as delay } from 'node:timers/promises';
import { ConfigError } from '../model/config-file.ts';
import { failure, type FailureType } from '../model/failure.ts';
import type { Operation } from '../model/plan.ts';
import type { Effect } from '../model/policy.ts';
import type { RecordEntry } from '../model/record.ts';
import type { Failure, Receipt, RecordPosition, Remaining, StepState } from '../model/state.ts';
import { AdapterError, type AdapterCall, type AdapterErrorKind, type Observation } from './adapters/adapter.ts';
import { checkHealth, checkServed, checkSmoke, type Checked } from './checks.ts';
import { callOf, findComponent, NotPossible, type Component } from './components.ts';
import type { Attempt, Dependencies } from './dependencies.ts';
import { again } from './dependencies.ts';
import { appendOrKeep, clean } from './recording.ts';
import { canonical } from '../store/digest.ts';
import { StoreUnavailable } from '../store/store.ts';

export interface StepWork {
  readonly rollbackId: string;
  readonly environment: string;
  readonly step: { readonly id: string; readonly operation: Operation | null; readonly component: string | null; readonly effect: Effect };
  readonly from: string | null;
  readonly to: string;
  /** SHA-256 of the configuration the plan was made for. */
  readonly config: string;
  readonly generation: number;
  /** How often this run has tried the step before: each try has its own entry. */
  readonly ordinal: number;
  /** `inspect`: a person says it is done; look, and change nothing. */
  readonly mode: 'run' | 'inspect';
  /** An earlier run may have acted under the same operation id. */
  readonly mayHaveActed: boolean;
  /** ISO time after which an attempt only inspects; null: a person let it go on. */
  readonly deadlineAt: string | null;
  readonly machineMs: number;
  readonly humanMs: number;
  readonly entries: readonly RecordEntry[];
}

export interface StepOutcome {
  readonly state: StepState;
  readonly attempts: number;
  readonly receipt: Receipt | null;
  readonly failure: Failure | null;
  readonly remains: readonly Remaining[];
  readonly warnings: readonly string[];
  /** This step's own entry, where the record could not take it. */
  readonly entry: RecordEntry | null;
  readonly record: RecordPosition;
}

type Found = Pick<StepOutcome, 'state' | 'receipt' | 'failure' | 'remains'> & { readonly warning?: string };

/** How long attempts go on after the deadline, or after a person's decision, before they say what they know. */
const GIVE_UP_MS = 30_000;
const VERIFY_SETTLE_MS = 5_000;
/** How long a `backout.yaml` that cannot be used may be one that is just being saved. */
const CONFIG_PATIENCE_MS = 2_000;

export async function runStep(work: StepWork, deps: Dependencies, attempt: Attempt): Promise<StepOutcome> {
  const event = `step/${work.step.id}/${work.generation}/${work.ordinal}`;
  const before = attempt.number > 1 ? await deps.store.find(`${attempt.runId}/${event}`).catch(() => null) : null;
  // An earlier attempt has finished and died before it could say so: what it recorded is what happened.
  if (before) return fromEntry(before, (await appendOrKeep(deps, attempt, work.rollbackId, work.entries)).record);
  const startedAt = new Date().toISOString();
  const found = clean(await perform(work, deps, attempt));
  const entry: RecordEntry = {
    event,
    rollbackId: work.rollbackId,
    at: new Date().toISOString(),
    type: 'step',
    step: work.step.id,
    state: found.state,
    generation: work.generation,
    attempts: attempt.number,
    operationId: operationIdOf(work),
    startedAt,
    receipt: found.receipt,
    failure: found.failure,
    remains: found.remains,
    machineMs: work.machineMs,
    humanMs: work.humanMs,
    mode: work.mode,
  };
  const { stored, record } = await appendOrKeep(deps, attempt, work.rollbackId, [...work.entries, entry]);
  const kept = stored.at(-1);
  // Another attempt has said something else meanwhile: this one's doing must not be missing from the record.
  if (kept && said(kept) !== said({ ...entry, ...found }))
    await appendOrKeep(deps, attempt, work.rollbackId, [{ ...entry, event: `${event}/attempt-${attempt.number}`, type: 'late-attempt' }]);
  return {
    state: found.state,
    attempts: attempt.number,
    receipt: found.receipt,
    failure: found.failure,
    remains: found.remains,
    warnings: found.warning === undefined ? [] : [found.warning],
    entry: record.behind ? entry : null,
    record,
  };
}

/** What two attempts at one step could say differently. */
const said = ({ state, receipt, failure }: Readonly<Record<string, unknown>>): string => canonical({ state, receipt, failure });

const operationIdOf = (work: StepWork): string => `${work.rollbackId}/${work.step.id}/${work.generation}`;

/** What a stored entry of this very step says; written by `runStep`, so its shape is known. */
function fromEntry(entry: RecordEntry, record: RecordPosition): StepOutcome {
  const said = entry as unknown as Pick<StepOutcome, 'state' | 'attempts' | 'receipt' | 'failure' | 'remains'>;
  return { state: said.state, attempts: said.attempts, receipt: said.receipt, failure: said.failure, remains: said.remains, warnings: [], entry: null, record };
}

async function perform(work: StepWork, deps: Dependencies, attempt: Attempt): Promise<Found> {
  try {
    const component = findComponent(await deps.config(), deps.adapters, work.environment, work.step.component ?? '');
    // Generation 0 acts under the confirmed plan only; a decision to retry accepts what was mended in between.
    if (component.hash !== work.config && work.generation === 0)
      return failed('ConfigurationChanged', `the configuration of ${component.name} has changed since the plan was made`);
    if (work.step.operation !== 'deploy') return await gate(work, component, attempt);
    return await deploy(work, component, deps, attempt);
  } catch (error) {
    if (error instanceof NotPossible) return failed('Configuration', error.message);
    if (!(error instanceof ConfigError)) throw error;
    if (Date.now() < attempt.firstScheduledMs + CONFIG_PATIENCE_MS) throw again(error.message, error);
    return failed('Configuration', error.message);
  }
}

async function gate(work: StepWork, component: Component, attempt: Attempt): Promise<Found> {
  const { config } = component;
  const place = { folder: component.folder, environment: work.environment, component: component.name, version: work.to };
  const checks: Record<Exclude<Operation, 'deploy'>, () => Promise<Checked>> = {
    smoke: () => checkSmoke(config, place, attempt.signal),
    health: () => checkHealth(config, attempt.signal),
    served: () => checkServed(config, work.to, component.adapter.name, attempt.signal),
  };
  const { operation } = work.step;
  if (operation === null || operation === 'deploy') throw new Error(`${work.step.id} is no gate`);
  const checked = await checks[operation]();
  const found = { state: checked.state, receipt: checked.receipt, failure: checked.failure, remains: [] };
  return checked.warning === undefined ? found : { ...found, warning: `${component.name}: ${checked.warning}` };
}

async function deploy(work: StepWork, component: Component, deps: Dependencies, attempt: Attempt): Promise<Found> {
  const { adapter } = component;
  const call = callOf(component, {
    to: work.to,
    operationId: operationIdOf(work),
    attempt: attempt.number + (mayHaveActed(work, attempt) ? 1 : 0),
    signal: attempt.signal,
    heartbeat: attempt.heartbeat,
  });
  const late = work.deadlineAt !== null && Date.now() >= Date.parse(work.deadlineAt);
  let before: Observation;
  try {
    before = await adapter.inspect(call);
  } catch (error) {
    return onError(work, component, attempt, error, null);
  }
  const ownDoing = before.operationId === call.operationId;
  if (isAt(before, work.to)) return { state: ownDoing ? 'done' : 'already', receipt: { before: null, after: shown(before) }, failure: null, remains: [] };
  if (work.mode === 'inspect')
    return {
      ...failed('NotAtTarget', `${component.name} is at ${before.current ?? 'an unknown version'}, not at ${work.to}`),
      receipt: { after: shown(before) },
      remains: remainsOf(before, work.to),
    };
  if (late)
    return {
      ...failed('DeadlinePassed', `the time target was over before ${component.name} could be put back; it is at ${before.current ?? 'an unknown version'}`),
      receipt: { before: shown(before) },
      remains: remainsOf(before, work.to),
    };
  if (before.targetPresent === false)
    return {
      ...failed('NotFound', `${adapter.name} does not have ${work.to} of ${component.name}; it has ${before.versions.slice(0, 5).join(', ') || 'no versions'}`),
      receipt: { before: shown(before) },
    };
  if (await claimLost(work, component, deps))
    return { ...failed('ClaimLost', `${component.name} is no longer claimed by this rollback; nothing was changed`), receipt: { before: shown(before) } };
  try {
    const receipt = await adapter.apply(call);
    return await verified(work, component, call, before, receipt);
  } catch (error) {
    return onError(work, component, attempt, error, before);
  }
}

/** A successor and a reset run act under an operation id that an earlier run may have used. */
const mayHaveActed = (work: StepWork, attempt: Attempt): boolean => work.mayHaveActed || attempt.number > 1 || attempt.runId !== work.rollbackId;

/** A run that was reset after its end would act without holding its component. With Postgres away the claim cannot be read, and nobody else can take it either. */
async function claimLost(work: StepWork, component: Component, deps: Dependencies): Promise<boolean> {
  try {
    return (await deps.store.claims({ rollbackId: work.rollbackId, environment: work.environment, components: [component.name] })).length === 0;
  } catch (error) {
    if (error instanceof StoreUnavailable) return false;
    throw error;
  }
}

/** What the platform shows after the write; its own "ok" proves nothing. */
async function verified(work: StepWork, component: Component, call: AdapterCall<unknown>, before: Observation, receipt: Receipt): Promise<Found> {
  const until = Date.now() + VERIFY_SETTLE_MS;
  let after = await component.adapter.verify(call);
  while (!isAt(after, work.to) && Date.now() < until) {
    call.heartbeat('verifying');
    await delay(250, undefined, { signal: call.signal });
    after = await component.adapter.verify(call);
  }
  const full = { ...receipt, before: shown(before), after: shown(after) };
  if (isAt(after, work.to)) return { state: 'done', receipt: full, failure: null, remains: [] };
  const remains = remainsOf(after, work.to);
  if (remains.length > 0)
    return {
      ...failed('HalfMoved', `${component.name} is half moved: ${remains.map((one) => one.artifact).join(', ')} not at ${work.to}`),
      receipt: full,
      remains,
    };
  return {
    ...failed(
      'NotAtTarget',
      `${component.adapter.name} reported success, but ${component.name} is at ${after.current ?? 'an unknown version'}, not at ${work.to}`,
    ),
    receipt: full,
  };
}

const isAt = (seen: Observation, to: string): boolean => seen.current === to && seen.parts.every((part) => part.version === to);
const shown = (seen: Observation): Record<string, unknown> => ({
  version: seen.current,
  ...(seen.parts.length > 0 ? { parts: seen.parts } : {}),
  ...seen.facts,
});
/** Parts count as left in between only where some have moved and some have not. */
const remainsOf = (seen: Observation, to: string): Remaining[] => {
  const left = seen.parts.filter((part) => part.version !== to);
  return left.length === 0 || left.length === seen.parts.length
    ? []
    : left.map((part) => ({ artifact: part.name, reason: `at ${part.version ?? 'an unknown version'}, not at ${to}`, owner: 'operator' }));
};
const failed = (type: FailureType, message: string): Found => ({ state: 'failed', receipt: null, failure: failure(type, message), remains: [] });

const FAILURE_OF: Readonly<Record<Exclude<AdapterErrorKind, 'unavailable' | 'rate-limited' | 'unknown' | 'superseded'>, FailureType>> = {
  unauthorized: 'Unauthorized',
  'not-found': 'NotFound',
  conflict: 'Conflict',
  configuration: 'Configuration',
  'unexpected-response': 'UnexpectedResponse',
  failed: 'PlatformFailed',
};

/** Transient trouble is tried again, by the engine; the rest is a value. A bug is thrown as it is. */
async function onError(work: StepWork, component: Component, attempt: Attempt, error: unknown, before: Observation | null): Promise<Found> {
  if (attempt.signal.aborted) throw again('cancelled', error);
  if (!(error instanceof AdapterError)) throw error;
  if (!isFinal(error.kind)) {
    const until = Math.max(work.deadlineAt === null ? 0 : Date.parse(work.deadlineAt), attempt.firstScheduledMs) + GIVE_UP_MS;
    // A call whose result is not known is never made again by itself: a person looks first.
    if (error.kind !== 'unknown' && Date.now() < until) throw again(error.message, error, error.retryAfterMs);
    const acted = before !== null || mayHaveActed(work, attempt) || error.kind === 'unknown';
    const type = error.kind === 'unknown' ? 'ResultUnknown' : 'PlatformUnavailable';
    return { state: acted ? 'unknown' : 'failed', receipt: before ? { before: shown(before) } : null, failure: failure(type, error.message), remains: [] };
  }
  return {
    ...failed(FAILURE_OF[error.kind], error.message),
    receipt: before ? { before: shown(before) } : null,
    remains: await partsAfter(component, work, attempt),
  };
}

const isFinal = (kind: AdapterErrorKind): kind is keyof typeof FAILURE_OF => Object.hasOwn(FAILURE_OF, kind);

/** After a failure some parts may have moved: look, so that they are named; a look that fails adds nothing. */
async function partsAfter(component: Component, work: StepWork, attempt: Attempt): Promise<Remaining[]> {
  const call = callOf(component, {
    to: work.to,
    operationId: operationIdOf(work),
    attempt: attempt.number,
    signal: attempt.signal,
    heartbeat: attempt.heartbeat,
  });
  return component.adapter.inspect(call).then(
    (seen) => remainsOf(seen, work.to),
    () => [],
  );
}
