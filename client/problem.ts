/** What a command says when it cannot do what was asked: always a type, a message, a remedy, and the exit code [product.md 7]. */

export const EXIT = { ok: 0, failed: 1, usage: 2, refused: 3, unfinished: 4, late: 5, unreachable: 6 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export type ProblemType =
  | 'abandoned'
  | 'check-failed'
  | 'configuration'
  | 'conflict'
  | 'elapsed'
  | 'no-worker'
  | 'postgres-unreachable'
  | 'refused'
  | 'temporal-unreachable'
  | 'unexpected'
  | 'unknown-name'
  | 'usage';

export class Problem extends Error {
  override readonly name = 'Problem';
  readonly exitCode: number;
  readonly type: string;
  readonly remedy: string;
  /** What a program may want to know beside it; shown with `--json`. */
  readonly detail: Readonly<Record<string, unknown>>;

  constructor(exitCode: ExitCode, type: ProblemType, message: string, remedy: string, detail: Readonly<Record<string, unknown>> = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.exitCode = exitCode;
    this.type = type;
    this.remedy = remedy;
    this.detail = detail;
  }
}

/** Codes of gRPC. */
export const GRPC = { deadline: 4, notFound: 5, alreadyExists: 6, denied: 7, unavailable: 14, unauthenticated: 16 } as const;

/** What Temporal, or the way to it, said instead of an answer. */
export class CallError extends Error {
  override readonly name = 'CallError';
  readonly code: number;

  constructor(code: number, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

export const isNotFound = (error: unknown): boolean => error instanceof CallError && error.code === GRPC.notFound;

export interface Said {
  readonly type: string;
  readonly message: string;
  readonly remedy: string;
  readonly exitCode: number;
  readonly detail: Readonly<Record<string, unknown>>;
}

/** Local services that are not there; everything else of `client/local` is an error like any other. */
const AWAY = new Set(['database-unreachable', 'postgres-failed', 'postgres-missing', 'temporal-failed', 'temporal-missing', 'temporal-unreachable']);

const GRPC_AWAY = new Map<number, string>([
  [GRPC.deadline, 'did not answer in time'],
  [GRPC.unavailable, 'cannot be reached'],
  [GRPC.unauthenticated, 'does not accept these credentials'],
  [GRPC.denied, 'does not allow this'],
]);

/** Anything thrown, in words a person can act on. Told by name and fields: importing the classes would cost every command their modules. */
export function said(error: unknown): Said {
  if (!(error instanceof Error)) return unexpected(String(error));
  const { type, remedy, exitCode, detail } = error as Partial<Said>; // Checked below.
  if (typeof type === 'string' && typeof remedy === 'string') {
    return { type, message: error.message, remedy, exitCode: exitCode ?? (AWAY.has(type) ? EXIT.unreachable : EXIT.failed), detail: detail ?? {} };
  }
  if (error.name === 'ConfigError')
    return {
      type: 'configuration',
      message: error.message,
      remedy: 'mend the file; backout.schema.json (backout init) lets an editor check it',
      exitCode: EXIT.usage,
      detail: mistakesOf(error),
    };
  if (error.name === 'StoreUnavailable')
    return {
      type: 'postgres-unreachable',
      message: error.message,
      remedy: 'start it, or correct --database-url or DATABASE_URL; `backout dev` brings one along',
      exitCode: EXIT.unreachable,
      detail: {},
    };
  const grpc = grpcCode(error);
  const away = grpc === null ? undefined : GRPC_AWAY.get(grpc);
  if (away !== undefined)
    return {
      type: 'temporal-unreachable',
      message: `Temporal ${away}: ${reasonOf(error)}`,
      remedy: 'see whether it runs, or correct --address or TEMPORAL_ADDRESS; `backout dev` brings one along',
      exitCode: EXIT.unreachable,
      detail: {},
    };
  return unexpected(reasonOf(error), error);
}

const unexpected = (message: string, error?: Error): Said => ({
  type: 'unexpected',
  message,
  remedy: process.env['BACKOUT_DEBUG'] ? (error?.stack ?? 'no trace') : 'run it again with BACKOUT_DEBUG=1 to see where it comes from, and report it',
  exitCode: EXIT.failed,
  detail: {},
});

const mistakesOf = (error: Error): Record<string, unknown> => ('mistakes' in error ? { mistakes: error.mistakes } : {});

/** The SDK wraps what gRPC says; the code is on the innermost. */
export function grpcCode(error: unknown): number | null {
  for (let inner: unknown = error; inner instanceof Error; inner = inner.cause) {
    if ('code' in inner && typeof inner.code === 'number') return inner.code;
  }
  return null;
}

/** What lies beneath, where the top says nothing of use. */
export function reasonOf(error: unknown): string {
  let inner: unknown = error;
  while (inner instanceof Error && inner.cause instanceof Error) inner = inner.cause;
  if (inner instanceof Error && 'details' in inner && typeof inner.details === 'string' && inner.details !== '') return inner.details;
  return inner instanceof Error ? inner.message : String(inner);
}
