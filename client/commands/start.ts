/** `backout start`: starts a rollback, or attaches to the same one. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { workflowIdOf } from '../../model/plan.ts';
import { follow } from '../follow.ts';
import { readRollback } from '../read.ts';
import { EXIT, Problem } from '../problem.ts';
import { commandName, note, print } from '../output.ts';
import { said } from '../problem.ts';
import { requestsOf, requestOptions, type RequestFlags } from '../request.ts';
import { withSession, type Session } from '../session.ts';
import { startRollback } from '../start.ts';

interface StartFlags extends RequestFlags {
  readonly wait?: string | true;
  readonly detach?: boolean;
}

const DEFAULT_WAIT = '10m';
const PLANNED_WITHIN_MS = 10_000;
const LOOK_EVERY_MS = 150;
const UNIT_SECONDS = { s: 1, m: 60, h: 3600 } as const;

export function register(program: Command): void {
  requestOptions(program.command('start').description('start a rollback, or attach to the same one'))
    .option('--detach', 'do not wait for the end (default): print where it stands once it is planned')
    .option('--wait [time]', `wait for the end, at most so long, e.g. 90s, 10m; ${DEFAULT_WAIT} when no time is given`)
    .addHelpText(
      'after',
      [
        '',
        'Examples:',
        '  $ backout start deployRevert --environment production --component web --to last-healthy --cause smoke-failed --reason "checkout answers 500" --trigger verification --by ci --wait=5m',
        '  $ backout start upaDeprovision --environment production --tenant acme --cause client-offboarded --reason "contract ended" --by ana',
        '  $ backout start deployRevert --environment production --component web api --to web=v2.5.2 --to api=v1.9.0 --cause operator-judgement --reason "prices are wrong"',
      ].join('\n'),
    )
    .action((kind: string, flags: StartFlags, command: Command) => run(kind, flags, command));
}

async function run(kindText: string, flags: StartFlags, command: Command): Promise<void> {
  if (flags.detach === true && flags.wait !== undefined) throw new Problem(EXIT.usage, 'usage', '--detach and --wait exclude each other', 'give one of them');
  const waitSeconds = flags.wait === undefined ? null : secondsOf(flags.wait === true ? DEFAULT_WAIT : flags.wait);
  const requests = requestsOf(kindText, flags);
  const [first, another] = requests;
  if (!first) return;
  if (another && waitSeconds !== null)
    throw new Problem(EXIT.usage, 'usage', '--wait is for one rollback, and several are started', 'leave it out, and see `backout waiting --overview`');
  await withSession(command, async (session) => {
    if (another) return startAll(session, requests);
    const { kind, input } = first;
    const started = await startRollback(session, kind, input);
    await follow(session, { started, kind, input, by: input.by, waitSeconds });
  });
}

/** Each its own workflow: what one of them is refused for keeps none of the others. */
async function startAll(session: Session, requests: ReturnType<typeof requestsOf>): Promise<void> {
  const rollbacks: { id: string; runId: string | null; attached: boolean; error: string | null }[] = [];
  for (const { kind, input } of requests) {
    const started = await startRollback(session, kind, input).catch((error: unknown) => said(error));
    const id = workflowIdOf({ kind, ...input });
    const error = 'attached' in started ? await refusalOf(session, id) : started.message;
    if (error !== null) note(`${id}: ${error}`);
    rollbacks.push({ id, runId: 'attached' in started ? started.runId : null, attached: 'attached' in started && started.attached, error });
  }
  print(session.flags.json, { rollbacks }, () =>
    [...rollbacks.map((one) => `${wordOf(one)}  ${one.id}`), '', `  ${commandName()} waiting --overview`].join('\n'),
  );
  if (rollbacks.some((one) => one.error !== null)) process.exitCode = EXIT.refused;
}

const wordOf = ({ error, runId, attached }: { error: string | null; runId: string | null; attached: boolean }): string => {
  if (error !== null) return runId === null ? 'not started' : 'refused';
  return attached ? 'runs already' : 'started';
};

/** What policy refuses ends at once: it is waited for, so that nobody takes a start for a rollback. */
async function refusalOf(session: Session, id: string): Promise<string | null> {
  for (const until = Date.now() + PLANNED_WITHIN_MS; Date.now() < until; await sleep(LOOK_EVERY_MS)) {
    const reading = await readRollback(session, { id }).catch(() => null);
    if (reading?.state.outcome === 'refused') return reading.state.refusals.at(-1)?.explanation ?? 'refused';
    if (reading && reading.state.state !== 'planning') return null;
  }
  return null;
}

function secondsOf(text: string): number {
  const [, amount, unit = 's'] = /^(\d+)([smh]?)$/.exec(text) ?? [];
  if (amount === undefined) throw new Problem(EXIT.usage, 'usage', `--wait ${text} is no time`, 'for example --wait=90s, --wait=10m or --wait=2h');
  return Number(amount) * UNIT_SECONDS[unit === 'm' || unit === 'h' ? unit : 's'];
}
