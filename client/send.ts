/** Sends a message: as an update, which answers; with no worker there as a signal, which is kept [product.md 6, 7]. */
import { randomUUID } from 'node:crypto';
import { UpdateFailed, type Engine } from './engine.ts';
import { parseMessage, type MessageName } from '../model/input.ts';
import type { MessageReply } from '../workflows/messages.ts';
import { listRollbacks, unknown, type Meant } from './find.ts';
import { commandName } from './output.ts';
import { CallError, EXIT, GRPC, isNotFound, Problem } from './problem.ts';
import { readRollback } from './read.ts';
import { isPolled, type Session } from './session.ts';

const TRY_MS = 2_500;
const TRIES = 2;

/** Resolves when it was accepted. A refusal, and everything that kept it from being answered, is thrown. */
export async function send(session: Session, { id }: Meant, name: MessageName, message: Readonly<Record<string, unknown>>): Promise<MessageReply> {
  const parsed = parseMessage(name, message);
  if ('error' in parsed) throw new Problem(EXIT.usage, 'usage', parsed.error, `see \`${commandName()} ${name} --help\``);
  const engine = await session.engine();
  try {
    // A signal after an update that is still on its way would say it twice: so first see whether anybody listens.
    const reply = (await isPolled(engine)) ? await update(engine, id, name, message) : null;
    if (reply?.accepted === false) throw refusedMessage(id, reply);
    if (reply) return reply;
    await engine.signal(id, name, message);
  } catch (error) {
    if (!isNotFound(error)) throw error;
    throw await goneProblem(session, id, name);
  }
  throw new Problem(
    EXIT.unreachable,
    'no-worker',
    `kept, no worker runs: ${name} reaches ${id} as soon as one does`,
    'start a worker (`backout dev` brings one along), then look with `backout show`; it need not be said again',
    { kept: true, id },
  );
}

/** Null: no worker has answered. The same update id again is the same message. */
async function update(engine: Engine, id: string, name: MessageName, message: Readonly<Record<string, unknown>>): Promise<MessageReply | null> {
  const updateId = randomUUID();
  for (let attempt = 1; attempt <= TRIES; attempt += 1) {
    try {
      const reply = await engine.update<MessageReply>(id, name, message, updateId, TRY_MS);
      if (reply) return reply;
    } catch (error) {
      if (error instanceof UpdateFailed) throw rejected(name, error);
      if (!(error instanceof CallError) || error.code !== GRPC.deadline) throw error;
    }
  }
  return null;
}

/** The worker's validator found it malformed, or the rollback ended while it was being answered. */
function rejected(name: MessageName, error: UpdateFailed): Problem {
  if (error.type === 'Malformed') return new Problem(EXIT.usage, 'usage', error.message, `see \`${commandName()} ${name} --help\``, {}, error);
  return new Problem(
    EXIT.failed,
    'unexpected',
    `the rollback did not answer ${name}: ${error.message}`,
    `see what became of it: \`${commandName()} show\``,
    {},
    error,
  );
}

function refusedMessage(id: string, { refusal, state }: MessageReply): Problem {
  return new Problem(
    EXIT.refused,
    'refused',
    `refused: ${refusal?.explanation ?? 'no reason given'} ${refusal?.source ?? ''}`.trim(),
    `see \`${commandName()} show ${id}\``,
    { id, state, refusal: refusal ?? null },
  );
}

/** Why nothing can be said to it any more. */
async function goneProblem(session: Session, id: string, name: MessageName): Promise<Problem> {
  const reading = await readRollback(session, { id }).catch(() => null);
  if (!reading) return unknown(id, (await listRollbacks(session, { openOnly: true })).rollbacks);
  const { state } = reading;
  if (state.outcome === null && state.state !== 'closed') {
    return new Problem(
      EXIT.unfinished,
      'abandoned',
      `${id} is abandoned: its execution was ended from outside, so ${name} reaches nobody`,
      `go on with it first: \`${commandName()} resume ${id} --reason WHY\``,
      { id, state: 'abandoned' },
    );
  }
  return new Problem(
    EXIT.refused,
    'refused',
    `${id} is closed (${state.outcome ?? 'ended from outside'}); nothing can be answered any more`,
    `see \`${commandName()} show ${id}\``,
    { id, state: 'closed', outcome: state.outcome },
  );
}
