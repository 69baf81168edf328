/** What the doctors of an incident have in common: findings, and looks that are bounded. They are asked in peace, and must not hang on what is slow or away. */
import { AdapterError } from '../adapters/adapter.ts';
import { NotPossible } from '../components.ts';
import type { LoadedConfig } from '../../model/config-file.ts';
import type { Target } from '../../model/plan.ts';
import type { Attempt, Dependencies } from '../dependencies.ts';
import type { Finding } from '../inspect.ts';
import type { Caller } from './places.ts';

export const ok = (check: string, detail: string): Finding => ({ check, verdict: 'ok', detail, remedy: null });
export const warning = (check: string, detail: string, remedy: string): Finding => ({ check, verdict: 'warning', detail, remedy });
export const problem = (check: string, detail: string, remedy: string): Finding => ({ check, verdict: 'problem', detail, remedy });

/** Longer than this no look of a doctor takes. */
export const LOOK_SECONDS = 15;

/** An attempt that is over after `seconds`, and asks for no other one. */
export const bounded = (attempt: Attempt, seconds = LOOK_SECONDS): Attempt => ({
  ...attempt,
  firstScheduledMs: 0,
  signal: AbortSignal.any([attempt.signal, AbortSignal.timeout(seconds * 1_000)]),
});

export interface Looking {
  readonly check: string;
  /** What to do where it fails. */
  readonly remedy: string;
  readonly attempt: Attempt;
  readonly seconds?: number;
}

/** What is wrong is a finding; what could not be seen in time is one too, and no verdict. */
export async function looking({ check, remedy, attempt, seconds = LOOK_SECONDS }: Looking, look: (within: Attempt) => Promise<Finding[]>): Promise<Finding[]> {
  const within = bounded(attempt, seconds);
  try {
    return await look(within);
  } catch (error) {
    if (attempt.signal.aborted) throw error;
    if (within.signal.aborted) return [warning(check, `no answer within ${seconds} s: a rollback would wait longer for it`, 'see what holds it up')];
    if (error instanceof AdapterError || error instanceof NotPossible) return [problem(check, error.message, remedy)];
    throw error;
  }
}

export interface DoctorScene {
  readonly loaded: LoadedConfig;
  readonly environment: string;
  readonly deps: Dependencies;
  readonly attempt: Attempt;
  /** What a rollback of everything would go back to now; null: the record cannot be read. */
  readonly targets: readonly Target[] | null;
}

export const callerOf = ({ environment }: Pick<DoctorScene, 'environment'>, { signal, heartbeat }: Attempt): Caller => ({
  environment,
  operationId: 'inspection/doctor/0',
  attempt: 1,
  signal,
  heartbeat,
});
