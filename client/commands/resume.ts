/** `backout resume`: goes on after a stop, or starts the successor of an execution that was ended from outside. */
import type { Command } from 'commander';
import { parseStart, type StartInput } from '../../model/input.ts';
import { isKind, type Kind } from '../../model/policy.ts';
import { entryOf } from '../../model/record.ts';
import { findRollback, type Meant } from '../find.ts';
import { follow } from '../follow.ts';
import { commandName, note, print } from '../output.ts';
import { requirePerson } from '../person.ts';
import { EXIT, isNotFound, Problem } from '../problem.ts';
import { readRollback } from '../read.ts';
import { send } from '../send.ts';
import { withSession, type Session } from '../session.ts';
import { start, type Started } from '../start.ts';
import { judgeSuccessor } from '../successor.ts';

interface ResumeFlags {
  readonly by?: string;
  readonly reason: string;
  readonly analysis?: string;
}

export function register(program: Command): void {
  program
    .command('resume')
    .argument('<id>', 'Workflow Id, rollback id, or the name of a component')
    .description('go on after a stop, or with an abandoned rollback: only what is left is done')
    .requiredOption('--reason <text>', 'why it may go on')
    .option('--by <name>', 'who says it; default $BACKOUT_BY, then $USER')
    .option('--analysis <text>', 'what was found out meanwhile')
    .addHelpText('after', '\nExample:\n  $ backout resume web --reason "the stop was for another component"')
    .action((id: string, flags: ResumeFlags, command: Command) => resume(id, flags, command));
}

const resume = (text: string, flags: ResumeFlags, command: Command): Promise<void> =>
  withSession(command, async (session) => {
    const meant = await findRollback(session, text);
    const by = requirePerson(flags.by);
    if (await isRunning(session, meant)) {
      const { state } = await send(session, meant, 'resume', {
        by,
        reason: flags.reason,
        ...(flags.analysis === undefined ? {} : { analysis: flags.analysis }),
      });
      print(session.flags.json, { accepted: true, id: meant.id, state }, () => `resumed ${meant.id} as ${by}\n  ${commandName()} watch ${meant.id}`);
      return;
    }
    const original = await originalOf(session, meant);
    await judgeSuccessor(session, (await readRollback(session, meant)).state, by);
    const input: StartInput = { ...original.input, resumes: { rollbackId: original.rollbackId, by, reason: flags.reason } };
    const started = await startSuccessor(session, meant, original.kind, input);
    note(`${meant.id} goes on under the same rollback id, ${original.rollbackId}`);
    await follow(session, { started, kind: original.kind, input, by, waitSeconds: null });
  });

async function isRunning(session: Session, { id }: Meant): Promise<boolean> {
  const engine = await session.engine();
  try {
    return (await engine.describe(id)).status === 'RUNNING';
  } catch (error) {
    if (isNotFound(error)) return false; // Its history may be gone; the record may still know it.
    throw error;
  }
}

interface Original {
  readonly kind: Kind;
  readonly rollbackId: string;
  readonly input: StartInput;
}

/** The request it was started with: from the lost execution's first event, else from the record. */
async function originalOf(session: Session, meant: Meant): Promise<Original> {
  const rollbackId = await openRollbackId(session, meant);
  const first = await (await session.engine()).first(meant.id);
  const parsed = first ? parseStart(first.input) : null;
  if (first && parsed && 'value' in parsed && isKind(first.kind) && (parsed.value.resumes?.rollbackId ?? first.runId) === rollbackId)
    return { kind: first.kind, rollbackId, input: parsed.value };
  const store = await session.requireStore();
  const event = await store.rollback(rollbackId);
  const opened = (await store.entriesOf(rollbackId)).map(entryOf).find((one) => one.type === 'opened' || one.type === 'resumed');
  const recorded = parseStart(opened?.['input']);
  if (event && 'value' in recorded) return { kind: event.kind, rollbackId, input: recorded.value };
  throw new Problem(
    EXIT.failed,
    'unexpected',
    `the request of ${meant.id} is neither in Temporal nor in the record`,
    `see \`${commandName()} show ${rollbackId}\`, and act by hand: \`${commandName()} now COMPONENT --print\``,
  );
}

/** The rollback that is still open under this Id; closed ones are not resumed. */
async function openRollbackId(session: Session, meant: Meant): Promise<string> {
  const store = await session.store();
  const claims = (await store?.claims({})) ?? [];
  const claim = claims.find((one) => one.workflowId === meant.id && (meant.rollbackId === undefined || one.rollbackId === meant.rollbackId));
  if (claim) return claim.rollbackId;
  const { state } = await readRollback(session, meant);
  if (state.state === 'abandoned') return state.rollbackId;
  const remedy = state.targets.length === 0 ? `start it anew: \`${commandName()} start --help\`` : `see \`${commandName()} show ${meant.id}\``;
  throw new Problem(
    EXIT.refused,
    'refused',
    `${meant.id} is ${state.state}${state.outcome === null ? '' : ` (${state.outcome})`}; there is nothing to resume`,
    remedy,
    { id: meant.id, state: state.state, outcome: state.outcome },
  );
}

async function startSuccessor(session: Session, { id }: Meant, kind: Kind, input: StartInput): Promise<Started> {
  const engine = await session.engine();
  const runId = await start(engine, kind, id, input);
  if (runId !== null) return { id, runId, attached: false };
  note('somebody else has just resumed it');
  return { id, runId: '', attached: true };
}
