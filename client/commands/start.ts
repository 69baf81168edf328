/** `backout start`: starts a rollback, or attaches to the same one. */
import type { Command } from 'commander';
import { follow } from '../follow.ts';
import { EXIT, Problem } from '../problem.ts';
import { requestOf, requestOptions, type RequestFlags } from '../request.ts';
import { withSession } from '../session.ts';
import { startRollback } from '../start.ts';

interface StartFlags extends RequestFlags {
  readonly wait?: string | true;
  readonly detach?: boolean;
}

const DEFAULT_WAIT = '10m';
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
        '  $ backout start deployRevert --environment production --component web api --to web=v2.5.2 --to api=v1.9.0 --cause operator-judgement --reason "prices are wrong"',
      ].join('\n'),
    )
    .action((kind: string, flags: StartFlags, command: Command) => run(kind, flags, command));
}

async function run(kindText: string, flags: StartFlags, command: Command): Promise<void> {
  if (flags.detach === true && flags.wait !== undefined) throw new Problem(EXIT.usage, 'usage', '--detach and --wait exclude each other', 'give one of them');
  const waitSeconds = flags.wait === undefined ? null : secondsOf(flags.wait === true ? DEFAULT_WAIT : flags.wait);
  const { kind, input } = requestOf(kindText, flags);
  await withSession(command, async (session) => {
    const started = await startRollback(session, kind, input);
    await follow(session, { started, kind, input, by: input.by, waitSeconds });
  });
}

function secondsOf(text: string): number {
  const [, amount, unit = 's'] = /^(\d+)([smh]?)$/.exec(text) ?? [];
  if (amount === undefined) throw new Problem(EXIT.usage, 'usage', `--wait ${text} is no time`, 'for example --wait=90s, --wait=10m or --wait=2h');
  return Number(amount) * UNIT_SECONDS[unit === 'm' || unit === 'h' ? unit : 's'];
}
