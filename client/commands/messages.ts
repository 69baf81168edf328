/** The answers of people: confirm, decline, decide, stop, escalate, assign [product.md 6]. */
import type { Command } from 'commander';
import type { MessageName } from '../../model/input.ts';
import { findRollback, type Meant } from '../find.ts';
import { commandName, print } from '../output.ts';
import { RECOVER_HELP, recoveryOf, WINDOW_HELP } from '../request.ts';
import { requirePerson } from '../person.ts';
import { EXIT, Problem } from '../problem.ts';
import { readRollback } from '../read.ts';
import { send } from '../send.ts';
import { withSession, type Session } from '../session.ts';

const ID = 'Workflow Id, rollback id, or the name of a component';

/** As commander gives them. */
interface Given {
  readonly step?: readonly string[];
  readonly all?: true;
  readonly by?: string;
  readonly role?: string;
  readonly note?: string;
  readonly reason?: string;
  readonly action?: string;
  readonly analysis?: string;
  readonly due?: string;
  readonly evidence?: readonly string[];
  readonly data?: string;
  readonly choice?: string;
  readonly plan?: string;
  readonly to?: string;
  readonly recover?: readonly string[];
  readonly window?: string;
}

type Flag = keyof Given;
const FLAGS: Readonly<Record<Flag, readonly [flags: string, text: string]>> = {
  step: ['--step <id...>', 'which step, or several with the same answer; `backout waiting` names them'],
  all: ['--all', 'with retry: every step that stands still; with skip: also what waits to be taken back of a tenant'],
  by: ['--by <name>', 'who says it; default $BACKOUT_BY, then $USER'],
  role: ['--role <role>', 'in which role, as backout.yaml writes it: security-lead'],
  note: ['--note <text>', 'what was seen; the finding, where the step is investigation'],
  reason: ['--reason <text>', 'why'],
  action: ['--action <action>', 'retry, skip, done or close'],
  analysis: ['--analysis <text>', 'what went wrong; a retry in a deployRevert needs it, in an incident or of a tenant it may be left out'],
  due: ['--due <date>', 'with skip: until when it is made up for, a date to come such as 2099-12-31'],
  evidence: ['--evidence <text...>', 'links or references, several'],
  data: ['--data <json>', 'facts the step asks for, as JSON'],
  choice: ['--choice <name>', 'which of the choices the step offers'],
  plan: ['--plan <hash>', 'the plan that was looked at; refused when it is another by now'],
  to: ['--to <name>', 'to whom, or to which level'],
  recover: ['--recover <how...>', RECOVER_HELP],
  window: ['--window <span>', WINDOW_HELP],
};

interface MessageCommand {
  readonly name: Exclude<MessageName, 'resume'>;
  readonly summary: string;
  readonly flags: readonly Flag[];
  readonly required: readonly Flag[];
  readonly done: string;
  readonly examples: readonly string[];
}

const MESSAGES: readonly MessageCommand[] = [
  {
    name: 'confirm',
    summary: 'yes to a waiting step',
    flags: ['step', 'by', 'role', 'note', 'evidence', 'data', 'choice', 'plan'],
    required: [],
    done: 'confirmed',
    examples: ['web --step availability', 'web --step investigation --note "the registry was slow" --evidence https://wiki/incident-42'],
  },
  {
    name: 'decline',
    summary: 'no to a waiting step',
    flags: ['step', 'by', 'role', 'reason'],
    required: ['reason'],
    done: 'declined',
    examples: ['web --step availability --reason "checkout still fails"'],
  },
  {
    name: 'decide',
    summary: 'what to do about a failed step',
    flags: ['step', 'all', 'action', 'by', 'role', 'reason', 'analysis', 'due', 'evidence'],
    required: ['action', 'reason'],
    done: 'decided',
    examples: [
      'acme --all --action skip --reason "the client keeps them"',
      'web --step web.deploy --action retry --reason "disk was full" --analysis "freed 20 GB"',
      'web --action close --reason "fixed forward"',
    ],
  },
  {
    name: 'stop',
    summary: 'finish the operation in flight, change nothing further',
    flags: ['by', 'reason'],
    required: ['reason'],
    done: 'stopped',
    examples: ['web --reason "wrong component"'],
  },
  {
    name: 'escalate',
    summary: 'raise the level of an incident rollback',
    flags: ['to', 'recover', 'window', 'by', 'reason'],
    required: ['to', 'reason'],
    done: 'asked for a higher level',
    examples: [
      'INC-42 --to l2Rollback --reason "data is affected"',
      'INC-42 --to l2Rollback --recover main=2026-11-21T02:40:00Z --reason "rows were overwritten"',
    ],
  },
  {
    name: 'assign',
    summary: 'hand a role to somebody else',
    flags: ['role', 'to', 'by', 'reason'],
    required: ['role', 'to', 'reason'],
    done: 'assigned',
    examples: ['web --role operator --to ben --reason "end of shift"'],
  },
];

export function register(program: Command): void {
  for (const message of MESSAGES) {
    const command = program.command(message.name).argument('<id>', ID).description(message.summary);
    for (const flag of message.flags) {
      const [flags, text] = FLAGS[flag];
      if (message.required.includes(flag)) command.requiredOption(flags, text);
      else command.option(flags, text);
    }
    command.addHelpText('after', `\nExample:\n${message.examples.map((line) => `  $ backout ${message.name} ${line}`).join('\n')}`);
    command.action((id: string, given: Given) => answer(message, id, given, command));
  }
}

const answer = (asked: MessageCommand, text: string, given: Given, command: Command): Promise<void> =>
  withSession(command, async (session) => {
    const { name, done } = asked;
    const data = given.data === undefined ? undefined : json(given.data);
    const meant = await findRollback(session, text);
    const needsStep = name === 'confirm' || name === 'decline' || (name === 'decide' && given.action !== 'close');
    const steps = given.all ? ['all'] : (given.step ?? []);
    if (given.all && given.step) throw new Problem(EXIT.usage, 'usage', '--all and --step exclude each other', 'give one of them');
    if (needsStep && steps.length === 0) throw await stepMissing(session, meant);
    const by = requirePerson(given.by);
    const { all: _, step: __, recover, window: span, ...rest } = given;
    const recovery = recoveryOf({ ...(recover === undefined ? {} : { recover }), ...(span === undefined ? {} : { window: span }) });
    const message = { ...rest, ...recovery, ...(data === undefined ? {} : { data }), by };
    let state = '';
    // One after the other: where one is refused, those before it are answered, and it says which.
    for (const step of steps) ({ state } = await send(session, meant, name, { ...message, step }));
    if (steps.length === 0) ({ state } = await send(session, meant, name, message));
    const what = steps.map((step) => ` ${step}`).join('');
    print(
      session.flags.json,
      { accepted: true, id: meant.id, state },
      () =>
        `${done}${what === '' ? '' : `${what} of`}${given.action === 'close' ? ' to close' : ''} ${meant.id} as ${by}${beside(name, given)}\n  ${commandName()} watch ${meant.id}`,
    );
  });

/** Who leads may give the role, and with it rows and decisions; the signature is not his to give. */
const beside = (name: MessageName, { role, to = '' }: Given): string =>
  name === 'assign' && role === 'security-lead'
    ? `\n  credentials stay signed for by whom backout.yaml names security-lead: ${to} signs only where that one, or a deputy who took it over, has given the role`
    : '';

function json(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new Problem(
      EXIT.usage,
      'usage',
      `--data is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`,
      'for example --data \'{"orders":12}\'',
      {},
      cause,
    );
  }
}

/** An answer attests something: it is never guessed what was meant. */
async function stepMissing(session: Session, meant: Meant): Promise<Problem> {
  const reading = await readRollback(session, meant).catch(() => null);
  const steps = reading?.state.waiting.map((one) => one.step).filter((step) => step !== '') ?? [];
  return new Problem(
    EXIT.usage,
    'usage',
    `--step is missing; ${steps.length === 0 ? 'no step is awaited right now' : `awaited now: ${steps.join(', ')}`}`,
    `see \`${commandName()} show ${meant.id}\``,
  );
}
