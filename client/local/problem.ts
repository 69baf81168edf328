/** What can be wrong with the services of this machine, in words a person can act on. */
export type LocalProblemType =
  | 'already-running'
  | 'database-unreachable'
  | 'port-taken'
  | 'postgres-failed'
  | 'postgres-missing'
  | 'search-attributes'
  | 'stopped'
  | 'temporal-failed'
  | 'temporal-missing'
  | 'temporal-unreachable';

/** Thrown where Temporal or Postgres cannot be provided. `message` says what happened, `remedy` what to do about it. */
export class LocalProblem extends Error {
  override readonly name = 'LocalProblem';
  readonly type: LocalProblemType;
  readonly remedy: string;

  constructor(type: LocalProblemType, message: string, remedy: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.type = type;
    this.remedy = remedy;
  }
}

/** Receives one line about long work; the caller decides where it is shown. */
export type Progress = (line: string) => void;

/** The text of anything thrown, with what the vendor put beneath it where the top says little (an AggregateError of `connect` has no message). */
export function textOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(textOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}
