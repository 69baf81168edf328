/** What an operation answers, and how what went wrong becomes a value: transient trouble is tried again by the engine, the rest is told. */
import { failure, type FailureType } from '../model/failure.ts';
import type { Receipt, Remaining } from '../model/state.ts';
import { StoreUnavailable } from '../store/store.ts';
import { AdapterError, type AdapterErrorKind } from './adapters/adapter.ts';
import { again, type Attempt, type Dependencies } from './dependencies.ts';
import type { StepOutcome, StepWork } from './step.ts';

export type Found = Pick<StepOutcome, 'state' | 'receipt' | 'failure' | 'remains' | 'change'> & { readonly warnings?: readonly string[] };

/** Nothing presses at a tenant: a platform may be away for long before that is a failure. */
const TENANT_PATIENCE_MS = 6 * 3_600_000;
/** How long attempts go on after the deadline, or after a person's decision, before they say what they know. */
const GIVE_UP_MS = 30_000;

export const failed = (type: FailureType, message: string, remedy?: string): Found => ({
  state: 'failed',
  receipt: null,
  failure: failure(type, message, remedy),
  remains: [],
});

const FAILURE_OF: Readonly<Record<Exclude<AdapterErrorKind, 'unavailable' | 'rate-limited' | 'unknown' | 'superseded'>, FailureType>> = {
  unauthorized: 'Unauthorized',
  'not-found': 'NotFound',
  conflict: 'Conflict',
  configuration: 'Configuration',
  'unexpected-response': 'UnexpectedResponse',
  failed: 'PlatformFailed',
  protected: 'Protected',
};

const isFinal = (kind: AdapterErrorKind): kind is keyof typeof FAILURE_OF => Object.hasOwn(FAILURE_OF, kind);

/** What a final no of a platform is called; null: it may pass, or nobody knows what became of the call. */
export const finalType = ({ kind }: AdapterError): FailureType | null => (isFinal(kind) ? FAILURE_OF[kind] : null);

/** What was known when it went wrong. */
export interface Known {
  readonly receipt: Receipt | null;
  /** This attempt, or an earlier one, may have changed something. */
  readonly acted: boolean;
  /** Looked at only where the platform's no is final. */
  readonly remains?: () => Promise<readonly Remaining[]>;
}

/** A bug is thrown as it is. */
export async function fromError(work: StepWork, attempt: Attempt, error: unknown, known: Known): Promise<Found> {
  if (attempt.signal.aborted) throw again('cancelled', error);
  if (error instanceof StoreUnavailable) return away(work, attempt, error, known);
  if (!(error instanceof AdapterError)) throw error;
  if (isFinal(error.kind)) return { ...failed(FAILURE_OF[error.kind], error.message), receipt: known.receipt, remains: (await known.remains?.()) ?? [] };
  // A call whose result is not known is never made again by itself: a person looks first.
  if (error.kind !== 'unknown' && Date.now() < patience(work, attempt)) throw again(error.message, error, error.retryAfterMs);
  const unknown = known.acted || error.kind === 'unknown';
  const type = error.kind === 'unknown' ? 'ResultUnknown' : 'PlatformUnavailable';
  return { state: unknown ? 'unknown' : 'failed', receipt: known.receipt, failure: failure(type, error.message), remains: [] };
}

const patience = (work: StepWork, attempt: Attempt): number =>
  Math.max(work.deadlineAt === null ? 0 : Date.parse(work.deadlineAt), attempt.firstScheduledMs) + (work.tenant ? TENANT_PATIENCE_MS : GIVE_UP_MS);

/** Steps that need the record for themselves, as the freeze does, wait for it for a while. */
function away(work: StepWork, attempt: Attempt, error: StoreUnavailable, known: Known): Found {
  if (Date.now() < (work.tenant ? patience(work, attempt) : attempt.firstScheduledMs + GIVE_UP_MS)) throw again('the record cannot be reached', error);
  return { ...failed('RecordUnavailable', `${work.step.id} needs the record, and Postgres cannot be reached`), receipt: known.receipt };
}

/**
 * Does this rollback still hold what it acts on: a component, or its incident as `@NAME`? A run that was reset after its end does not. With Postgres
 * away nobody can tell, and nobody else can take it either.
 */
export async function isHeld({ rollbackId, environment }: StepWork, name: string, { store }: Pick<Dependencies, 'store'>): Promise<boolean> {
  try {
    return (await store.claims({ rollbackId, environment, components: [name] })).length > 0;
  } catch (error) {
    if (error instanceof StoreUnavailable) return true;
    throw error;
  }
}

/** A successor and a reset run act under an operation id that an earlier run may have used. */
export const mayHaveActed = (work: StepWork, attempt: Attempt): boolean => work.mayHaveActed || attempt.number > 1 || attempt.runId !== work.rollbackId;

export const operationIdOf = (work: StepWork): string => `${work.rollbackId}/${work.step.id}/${work.generation}`;
