/** Waits with a rollback: until it is planned, or until there is nothing more to wait for. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { RollbackState } from '../model/state.ts';
import type { StartInput } from '../model/input.ts';
import type { Kind } from '../model/policy.ts';
import { commandName, note, print, width } from './output.ts';
import { EXIT, Problem } from './problem.ts';
import { exitOf, readRollback } from './read.ts';
import { NO_WORKER, query, type Session } from './session.ts';
import type { Started } from './start.ts';
import { aheadOf, render, stateWord } from './view.ts';
import { duration } from './words.ts';

const PLANNED_WITHIN_MS = 5_000;
const LOOK_EVERY_MS = 150;

export interface Following {
  readonly started: Started;
  readonly kind: Kind;
  readonly input: StartInput;
  readonly by: string;
  /** Null: only until it is planned. */
  readonly waitSeconds: number | null;
}

/** Prints where it stands and sets the exit code by it. */
export async function follow(session: Session, following: Following): Promise<void> {
  const { started, waitSeconds } = following;
  const state = await untilPlanned(session, started);
  if (state === null) throw kept(following);
  if (started.attached) note(`attached: the same request runs already as ${started.id}`);
  const last = waitSeconds === null ? state : await untilEnd(session, started, state, waitSeconds);
  if (last.outcome === 'refused') throw refused(last, started);
  const nowMs = Date.now();
  print(session.flags.json, { ...last, attached: started.attached }, () =>
    render(last, { width: width(), nowMs, aheadSeconds: aheadOf(last, nowMs), by: following.by }).join('\n'),
  );
  const isOpen = last.state !== 'closed';
  if (waitSeconds !== null && isOpen && last.state !== 'stopped' && last.state !== 'abandoned') {
    note(`still ${last.state} after ${duration(waitSeconds)}; it goes on by itself`);
    process.exitCode = EXIT.unfinished;
  } else if (waitSeconds !== null || !isOpen) {
    process.exitCode = exitOf(last);
  }
}

/** Null: no worker has taken it up. */
async function untilPlanned(session: Session, { id, runId, attached }: Started): Promise<RollbackState | null> {
  const engine = await session.engine();
  const until = Date.now() + PLANNED_WITHIN_MS;
  let last: RollbackState | null = null;
  for (let left = PLANNED_WITHIN_MS; left > 0; left = until - Date.now()) {
    const heard = await query<RollbackState>(engine, id, attached ? undefined : runId, 'state', left);
    if ('value' in heard) last = heard.value;
    else if (heard.silence === NO_WORKER) return null;
    if (last && last.state !== 'planning') break;
    await sleep(LOOK_EVERY_MS);
  }
  return last;
}

/** Closed, or stopped so that only a person helps, or out of time. Lines on stderr meanwhile. */
async function untilEnd(session: Session, { id }: Started, first: RollbackState, waitSeconds: number): Promise<RollbackState> {
  const until = Date.now() + waitSeconds * 1000;
  let [state, told] = [first, ''];
  for (;;) {
    const line = `${stateWord(state)}${state.waiting.length === 0 ? '' : `, waiting for ${state.waiting.map((one) => `${one.for} (${one.step})`).join(', ')}`}`;
    if (line !== told) note(`${new Date().toISOString()} ${line}`);
    told = line;
    if (state.state === 'closed' || state.state === 'stopped' || state.state === 'abandoned' || Date.now() >= until) return state;
    await sleep(Math.min(500, Math.max(0, until - Date.now())));
    state = await readRollback(session, { id }).then(
      (reading) => (reading.source === 'worker' ? reading.state : state),
      () => state,
    ); // An outage is waited out.
  }
}

function refused(state: RollbackState, { id }: Started): Problem {
  const refusal = state.refusals.findLast((one) => one.message === undefined) ?? state.refusals.at(-1) ?? null;
  return new Problem(
    EXIT.refused,
    'refused',
    `refused: ${refusal?.explanation ?? 'no reason given'} ${refusal?.source ?? ''}`.trim(),
    `nothing was changed, and the refusal is on the record: \`${commandName()} show ${state.rollbackId}\``,
    { id, rollbackId: state.rollbackId, refusal, state },
  );
}

function kept({ started, kind, input }: Following): Problem {
  return new Problem(
    EXIT.unreachable,
    'no-worker',
    `kept, no worker runs: ${started.id} begins as soon as one does; until then nothing is changed`,
    `start a worker (\`backout dev\` brings one along), then \`${commandName()} watch ${started.id}\`. By hand instead: \`${commandName()} now ${input.components[0] ?? 'COMPONENT'} --print\``,
    { kept: true, id: started.id, runId: started.runId, attached: started.attached, kind, request: input },
  );
}
