/** The state of one rollback: from its worker, else from the record [product.md 7]. */
import type { WorkflowExecutionDescription } from '@temporalio/client';
import type { RollbackState } from '../model/state.ts';
import { listRollbacks, unknown, type Meant } from './find.ts';
import { stateFrom } from './recorded.ts';
import { EXIT, Problem, said, type ExitCode } from './problem.ts';
import { ANSWER_MS, isNotFound, query, type Heard, type Server, type Session } from './session.ts';

export interface Reading {
  readonly state: RollbackState;
  readonly source: 'worker' | 'record';
  /** What the reader has to know about it; null: nothing. */
  readonly remark: string | null;
}

/** Throws where neither a worker nor the record can say. */
export async function readRollback(session: Session, meant: Meant): Promise<Reading> {
  let heard: Heard<Reading>;
  let cause: unknown = null;
  try {
    heard = await fromWorker(session, meant);
  } catch (error) {
    cause = error;
    heard = { silence: isNotFound(error) ? 'Temporal does not know it (any more)' : said(error).message };
  }
  if ('value' in heard) return heard.value;
  const { silence } = heard;
  const recorded = await fromRecord(session, meant, silence).catch((error: unknown) => {
    throw cause instanceof Error && !isNotFound(cause) ? cause : error;
  });
  if (recorded) return recorded;
  if (isNotFound(cause)) throw unknown(meant.id, (await listRollbacks(session, { openOnly: true })).rollbacks);
  if (cause instanceof Error) throw cause;
  throw new Problem(
    EXIT.unreachable,
    'no-worker',
    `${silence}, and the record has nothing of ${meant.id} yet`,
    'start a worker (`backout dev` brings one along); it goes on when one runs',
  );
}

/** How an end, or a standstill, is told to a script [product.md 7]. */
export function exitOf(state: RollbackState): ExitCode {
  if (state.state === 'stopped' || state.state === 'abandoned') return EXIT.unfinished;
  if (state.state !== 'closed') return EXIT.ok;
  switch (state.outcome) {
    case 'rolled-back':
      return EXIT.ok;
    case 'rolled-back-late':
      return EXIT.late;
    case 'refused':
      return EXIT.refused;
    case 'partial':
    case 'failed':
    case null:
      return EXIT.unfinished;
  }
}

interface Asked {
  readonly description: WorkflowExecutionDescription;
  readonly heard: Heard<RollbackState>;
}

async function fromWorker(session: Session, meant: Meant): Promise<Heard<Reading>> {
  const server = await session.temporal();
  const asked = await askRun(server, meant.id, meant.runId);
  if ('silence' in asked.heard) return asked.heard;
  // An earlier rollback under the same Id: its own execution, which has the same id as the rollback.
  const isOther = meant.rollbackId !== undefined && asked.heard.value.rollbackId !== meant.rollbackId;
  return settle(session, isOther ? await askRun(server, meant.id, meant.rollbackId) : asked);
}

async function askRun(server: Server, id: string, runId?: string): Promise<Asked> {
  const handle = server.client.workflow.getHandle(id, runId);
  const [description, heard] = await Promise.all([server.within(ANSWER_MS, () => handle.describe()), query<RollbackState>(server, handle, 'state')]);
  return { description, heard };
}

/** What the run says, seen against what became of the run itself. */
async function settle(session: Session, { description, heard }: Asked): Promise<Heard<Reading>> {
  if ('silence' in heard) return heard;
  const state = heard.value;
  const plain = { value: { state, source: 'worker', remark: null } } as const;
  if (description.status.name === 'RUNNING' || (state.outcome !== null && state.outcome !== 'refused')) return plain;
  // A successor that was refused closes nothing: the claims tell whether the rollback is still open.
  const store = await session.store();
  const claims = (await store?.claims({ rollbackId: state.rollbackId }).catch(() => null)) ?? null;
  if (claims === null ? state.outcome === null : claims.length > 0) return { value: { ...plain.value, state: abandoned(state, description.status.name) } };
  if (state.outcome !== null) return plain;
  const event = await store?.rollback(state.rollbackId);
  return event?.outcome
    ? { silence: `that execution was ${description.status.name.toLowerCase()}` }
    : {
        value: {
          state: { ...state, state: 'closed', waiting: [] },
          source: 'worker',
          remark: 'its execution was ended from outside before anything was claimed or changed',
        },
      };
}

/** Its execution is gone, and the rollback is not at its end. */
export function abandoned(state: RollbackState, how: string): RollbackState {
  return {
    ...state,
    state: 'abandoned',
    outcome: null,
    stopped: `its execution was ended from outside (${how.toLowerCase().replace('_', ' ')}); what was done stays done`,
    waiting: [{ step: '', for: 'operator', since: state.trigger.at, answer: `backout resume ${state.id} --by YOU --reason WHY`, json: '' }],
  };
}

async function fromRecord(session: Session, { id, rollbackId }: Meant, silence: string): Promise<Reading | null> {
  const store = await session.store();
  if (!store) return null;
  const event = rollbackId === undefined ? (await store.rollbacks({ workflowId: id, limit: 1 }))[0] : await store.rollback(rollbackId);
  if (!event) return null;
  const entries = await store.entriesOf(event.rollbackId);
  const last = entries.at(-1)?.at ?? event.openedAt;
  return { state: stateFrom(event, entries), source: 'record', remark: `${silence}; this is the record as of ${last}` };
}
