/** One step: inspect, apply only what is missing, verify [product.md 3]. The same code whichever attempt it is. */
import { ConfigError } from '../model/config-file.ts';
import type { Facts } from '../model/communications.ts';
import type { Compared, Destroyed, Operation, Plan, PlanStep, Target, Window } from '../model/plan.ts';
import { tenantOperation } from './deprovision/operations.ts';
import type { Effect } from '../model/policy.ts';
import type { RecordEntry } from '../model/record.ts';
import type { Failure, Receipt, RecordPosition, Remaining, StepState } from '../model/state.ts';
import { checkOf } from './check-of.ts';
import { findComponent, NotPossible, type Component } from './components.ts';
import { deploy } from './deploy.ts';
import { again, type Attempt, type Dependencies } from './dependencies.ts';
import { failed, operationIdOf, type Found } from './found.ts';
import { incidentOperation } from './incident/operations.ts';
import { appendOrKeep, clean } from './recording.ts';
import { canonical } from '../store/digest.ts';

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
  /** Only where an incident is rolled back. */
  readonly incident?: IncidentWork;
  /** Only where a tenant is deprovisioned. */
  readonly tenant?: TenantWork;
}

/** What the operations of a deprovisioning are given beside the step itself [000]. */
export interface TenantWork {
  readonly name: string;
  readonly cause: string;
  /** Whose word this is: of the confirmation that let it go on, or of the start. */
  readonly by: string;
  /** The artifact, as `keyOf` names it. */
  readonly subject?: string;
  /** What was chosen for it. */
  readonly choice?: string;
  readonly reason?: string;
  readonly removed?: readonly string[];
  readonly remaining?: readonly Remaining[];
  /** What failed, in words. */
  readonly detail?: string;
  /** Who confirmed the manual cleanup, and when. */
  readonly cleanup?: { readonly by: string; readonly at: string };
  /** Artifacts that a person has documented as not to be had. */
  readonly documented?: readonly string[];
  /** Artifacts with the tenant's mark that a person has said to be another's. */
  readonly notOurs?: readonly string[];
  /** Digests of templates and demo instances as they were identified. */
  readonly standing?: unknown;
}

/** What the operations of an incident rollback are given beside the step itself. */
export interface IncidentWork {
  /** The incident's name. */
  readonly id: string;
  /** Who declared it. */
  readonly by: string;
  /** Why it was started; only where the steps are planned again. */
  readonly cause?: string;
  /** What the step is about: a gate, a carrier, a template. */
  readonly subject?: string;
  readonly facts?: Facts;
  /** With `marks` where their configuration was set back too. */
  readonly targets?: readonly { readonly component: string; readonly to: string; readonly marks?: readonly string[] }[];
  /** Components that are at their target by now: their plan stays as it is. */
  readonly settled?: readonly string[];
  /** The commander's word about another rollback that holds a component. */
  readonly takeover?: 'take-over' | 'wait' | null;
  /** The Workflow Id that word is about; another one is asked about anew. */
  readonly holder?: string | null;
  readonly marks?: readonly string[];
  /** What was confirmed of the configuration. */
  readonly comparison?: readonly Compared[];
  /** Carriers on which the freeze was set. */
  readonly carriers?: readonly string[];
  /** Of the plan that this run knows; absent at level 1. */
  readonly level?: number;
  /** What is to be lifted now; absent: everything. */
  readonly scopes?: readonly string[];
  /** Only where a database, evidence or a credential is acted on. */
  readonly data?: DataWork;
}

/** What the operations of [001 steps 3c to 3e] are given. */
export interface DataWork {
  /** `database/NAME`, `evidence/NAME` or `credential/NAME`. */
  readonly at: string;
  /** SHA-256 of the configuration of the place, as it was confirmed. */
  readonly place: string;
  /** A person was told that it is another one by now, and has decided to go on. */
  readonly acceptsPlace?: true;
  /** SHA-256 of what is carried out. */
  readonly digest?: string;
  /** What was approved to be lost. */
  readonly approved: readonly Destroyed[];
  /** How many rows were approved to be put back. */
  readonly rows?: number;
  readonly window?: Window;
  readonly tenant?: string;
  readonly recover?: string;
  /** What a survey has seen before anything was changed. */
  readonly before?: unknown;
  /** Who has signed the list of credentials, and whether the old ones go first. */
  readonly signed?: { readonly by: string; readonly first: boolean };
  /** Who still uses an old credential is looked for since then, ISO; and whether she has said to revoke it all the same. */
  readonly use?: { readonly since: string | null; readonly anyway: boolean };
}

/** What a step has found that concerns more than itself. */
export interface Change {
  /** The plan as reality makes it now. */
  readonly plan?: { readonly targets: readonly Target[]; readonly hash: string; readonly steps?: readonly PlanStep[] } & Pick<
    Plan,
    'places' | 'window' | 'recover' | 'data'
  >;
  /** More would be destroyed, or put back, than was approved: the plan with the counts of now, to be approved anew. */
  readonly recounted?: { readonly hash: string; readonly title: string } & Pick<PlanStep, 'destroys' | 'rows'>;
  /** Another rollback holds a component. */
  readonly held?: { readonly component: string; readonly workflowId: string };
  /** Reality is not what the plan shows: what was confirmed is void. */
  readonly stale?: string;
  /** Components that left their target after they were put back. */
  readonly drifted?: readonly { readonly component: string; readonly failure: Failure; readonly config?: true }[];
  /** Carriers on which the freeze was lifted by hand. */
  readonly unfrozen?: readonly { readonly carrier: string; readonly detail: string }[];
  /** Scopes that are frozen by this incident now. */
  readonly frozen?: readonly string[];
  /** What a tenant has now, and the steps that follow from it. */
  readonly inventory?: { readonly plan: Plan; readonly hash: string };
  /** What is still there: artifacts whose own steps have to be gone through again; `itself`: and things that no step is about. */
  readonly left?: { readonly again: readonly { readonly subject: string; readonly failure: Failure }[]; readonly itself: boolean };
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
  readonly change?: Change;
}

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
    ...(found.change === undefined ? {} : { change: found.change }),
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
    warnings: found.warnings ?? [],
    entry: record.behind ? entry : null,
    record,
    ...(found.change === undefined ? {} : { change: found.change }),
  };
}

/** What two attempts at one step could say differently. */
const said = ({ state, receipt, failure }: Readonly<Record<string, unknown>>): string => canonical({ state, receipt, failure });

/** What a stored entry of this very step says; written by `runStep`, so its shape is known. */
function fromEntry(entry: RecordEntry, record: RecordPosition): StepOutcome {
  const { state, attempts, receipt, failure, remains, change } = entry as unknown as StepOutcome;
  return { state, attempts, receipt, failure, remains, warnings: [], entry: null, record, ...(change === undefined ? {} : { change }) };
}

async function perform(work: StepWork, deps: Dependencies, attempt: Attempt): Promise<Found> {
  try {
    const loaded = await deps.config();
    const ofIncident = incidentOperation(work);
    if (ofIncident) return await ofIncident({ loaded, deps, attempt });
    const ofTenant = tenantOperation(work);
    if (ofTenant) return await ofTenant({ loaded, deps, attempt });
    const component = findComponent(loaded, deps.adapters, work.environment, work.step.component ?? '');
    // Generation 0 acts under the confirmed plan only; a decision to retry accepts what was mended in between.
    if (component.hash !== work.config && work.generation === 0)
      return failed('ConfigurationChanged', `the configuration of ${component.name} has changed since the plan was made`);
    return await (work.step.operation === 'deploy' ? deploy(work, component, deps, attempt) : gate(work, component, attempt));
  } catch (error) {
    if (error instanceof NotPossible) return failed('Configuration', error.message);
    if (!(error instanceof ConfigError)) throw error;
    if (Date.now() < attempt.firstScheduledMs + CONFIG_PATIENCE_MS) throw again(error.message, error);
    return failed('Configuration', error.message);
  }
}

/** A gate of one component. */
async function gate(work: StepWork, component: Component, attempt: Attempt): Promise<Found> {
  const checked = await checkOf(work.step.operation, component, work.environment, work.to, attempt.signal);
  const found = { state: checked.state, receipt: checked.receipt, failure: checked.failure, remains: [] };
  return checked.warning === undefined ? found : { ...found, warnings: [`${component.name}: ${checked.warning}`] };
}
