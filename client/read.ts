/** The state of one rollback: from its worker, else from the record [product.md 7]. */
import type { Engine, Run } from './engine.ts';
import type { Outcome, RollbackState } from '../model/state.ts';
import { POLICIES } from '../model/policy.ts';
import { listRollbacks, unknown, type Meant } from './find.ts';
import { stateFrom } from './recorded.ts';
import { EXIT, isNotFound, Problem, said, type ExitCode } from './problem.ts';
import { query, type Heard, type Session } from './session.ts';

export interface Reading {
  readonly state: RollbackState;
  readonly source: 'worker' | 'record';
  /** Why no worker has said it; null: one has. */
  readonly silence: string | null;
  /** What the reader has to know about it; null: nothing. */
  readonly remark: string | null;
}

/** Throws where neither a worker nor the record can say. */
export async function readRollback(session: Session, meant: Meant): Promise<Reading> {
  let heard: Silent | { readonly value: Reading };
  let cause: unknown = null;
  try {
    heard = await fromWorker(session, meant);
  } catch (error) {
    cause = error;
    heard = { silence: isNotFound(error) ? 'Temporal does not know it (any more)' : said(error).message };
  }
  if ('value' in heard) return heard.value;
  const recorded = await fromRecord(session, meant, heard).catch((error: unknown) => {
    throw cause instanceof Error && !isNotFound(cause) ? cause : error;
  });
  if (recorded) return recorded;
  if (isNotFound(cause)) throw unknown(meant.id, (await listRollbacks(session, { openOnly: true })).rollbacks);
  if (cause instanceof Error) throw cause;
  throw new Problem(
    EXIT.unreachable,
    'no-worker',
    `${heard.silence}, and the record has nothing of ${meant.id} yet`,
    'start a worker (`backout dev` brings one along); it goes on when one runs',
  );
}

/** How an end, or a standstill, is told to a script [product.md 7]. */
export function exitOf(state: RollbackState): ExitCode {
  if (state.state === 'stopped' || state.state === 'abandoned') return EXIT.unfinished;
  if (state.state !== 'closed') return EXIT.ok;
  return state.outcome === null ? EXIT.unfinished : EXIT_OF[state.outcome];
}

const EXIT_OF: Readonly<Record<Outcome, ExitCode>> = {
  'rolled-back': EXIT.ok,
  'rolled-back-late': EXIT.late,
  refused: EXIT.refused,
  partial: EXIT.unfinished,
  failed: EXIT.unfinished,
};

/** No worker says it; but how the execution ended, the server knows. */
interface Silent {
  readonly silence: string;
  readonly ended?: Pick<Run, 'status' | 'closedAt'>;
}

interface Asked {
  readonly run: Run;
  readonly heard: Heard<RollbackState>;
}

async function fromWorker(session: Session, meant: Meant): Promise<Silent | { readonly value: Reading }> {
  const engine = await session.engine();
  const asked = await askRun(engine, meant.id, meant.runId);
  if ('silence' in asked.heard) return settle(session, asked);
  // An earlier rollback under the same Id: its own execution, which has the same id as the rollback.
  const isOther = meant.rollbackId !== undefined && asked.heard.value.rollbackId !== meant.rollbackId;
  return settle(session, isOther ? await askRun(engine, meant.id, meant.rollbackId) : asked);
}

async function askRun(engine: Engine, id: string, runId?: string): Promise<Asked> {
  const [run, heard] = await Promise.all([engine.describe(id, runId), query<RollbackState>(engine, id, runId, 'state')]);
  return { run, heard };
}

/** What the run says, seen against what became of the run itself. */
async function settle(session: Session, { run, heard }: Asked): Promise<Silent | { readonly value: Reading }> {
  if ('silence' in heard) return run.status === 'RUNNING' ? heard : { ...heard, ended: run };
  const state = heard.value;
  const plain = { value: { state, source: 'worker', silence: null, remark: run.status === 'RUNNING' ? run.trying : null } } as const;
  if (run.status === 'RUNNING' || (state.outcome !== null && state.outcome !== 'refused')) return plain;
  // A successor that was refused closes nothing: the claims tell whether the rollback is still open.
  const store = await session.store();
  const claims = (await store?.claims({ rollbackId: state.rollbackId }).catch(() => null)) ?? null;
  if (claims === null ? state.outcome === null : claims.length > 0) return { value: { ...plain.value, state: abandoned(state, run.status, run.closedAt) } };
  if (state.outcome !== null) return plain;
  const event = await store?.rollback(state.rollbackId);
  return event?.outcome
    ? { silence: `that execution was ${run.status.toLowerCase()}` }
    : {
        value: {
          state: { ...state, state: 'closed', waiting: [] },
          source: 'worker',
          silence: null,
          remark: state.steps.some((step) => step.mode === 'automatic' && step.attempts > 0)
            ? 'its execution was ended from outside, and it holds nothing any more: another rollback has taken its components over'
            : 'its execution was ended from outside before anything was claimed or changed',
        },
      };
}

/** Its execution is gone, and the rollback is not at its end. */
function abandoned(state: RollbackState, how: string, endedAt: string | null): RollbackState {
  return {
    ...state,
    state: 'abandoned',
    outcome: null,
    stopped: `its execution was ended from outside (${how.toLowerCase().replace('_', ' ')}); what was done stays done`,
    waiting: [
      { step: '', for: POLICIES[state.kind].lead, since: endedAt ?? state.trigger.at, answer: `backout resume ${state.id} --by YOU --reason WHY`, json: '' },
    ],
  };
}

async function fromRecord(session: Session, { id, rollbackId }: Meant, { silence, ended }: Silent): Promise<Reading | null> {
  const store = await session.store();
  if (!store) return null;
  const event = rollbackId === undefined ? (await store.rollbacks({ workflowId: id, limit: 1 }))[0] : await store.rollback(rollbackId);
  if (!event) return null;
  const entries = await store.entriesOf(event.rollbackId);
  const last = entries.at(-1)?.at ?? event.openedAt;
  const recorded = stateFrom(event, entries);
  const state = ended === undefined || event.outcome !== null ? recorded : abandoned(recorded, ended.status, ended.closedAt);
  return { state, source: 'record', silence, remark: `${silence}; this is the record as of ${last}` };
}
