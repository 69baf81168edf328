/** Asks a worker for a reading that only it can make, through the workflow `inspection`; changes nothing. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Ask, Inspected } from '../activities/inspect.ts';
import { EXIT, Problem } from './problem.ts';
import type { Engine } from './engine.ts';
import { isPolled, NO_WORKER, type Session } from './session.ts';

/** Until a worker has taken it up. The reading itself may take as long as its checks do. */
const TAKEN_WITHIN_MS = 5_000;
const TIMEOUT_SECONDS = 900;

export async function askWorker<A extends Ask['ask']>(session: Session, ask: Ask & { readonly ask: A }): Promise<Extract<Inspected, { ask: A }>> {
  const engine = await session.engine();
  if (!(await isPolled(engine))) throw noWorker(NO_WORKER);
  const id = `inspection/${randomUUID()}`;
  const runId = (await engine.start({ type: 'inspection', id, input: ask, summary: `backout ${ask.ask}`, timeoutSeconds: TIMEOUT_SECONDS })) ?? '';
  const given = new AbortController();
  try {
    const result = engine.result(id, runId, given.signal).then((value) => ({ value }));
    result.catch(() => undefined); // Awaited below, or given up.
    const inspected = await Promise.race([result, untaken(engine, id, given.signal)]);
    if (inspected !== null) return inspected.value as Extract<Inspected, { ask: A }>; // The workflow answers what it was asked.
  } finally {
    given.abort();
  }
  // Nobody waits for the answer any more.
  await engine.terminate(id, 'no worker answered');
  throw noWorker(`no worker answered within ${TAKEN_WITHIN_MS / 1000} s`);
}

/** Resolves only when no worker has taken it up in time. */
async function untaken(engine: Engine, id: string, signal: AbortSignal): Promise<null> {
  await sleep(TAKEN_WITHIN_MS, undefined, { signal });
  const { historyLength } = await engine.describe(id);
  // Started, and its first task scheduled: that is all that has happened.
  return historyLength > 2 ? new Promise<null>(() => undefined) : null;
}

const noWorker = (message: string): Problem => new Problem(EXIT.unreachable, 'no-worker', message, 'start a worker; `backout dev` brings one along');
