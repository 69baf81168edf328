/** `backout list`: rollbacks, newest first; what is abandoned is said. */
import { Option, type Command } from 'commander';
import { isOpen, listRollbacks, type Listed } from '../find.ts';
import { commandName, note, paint, print, width } from '../output.ts';
import { EXIT, Problem } from '../problem.ts';
import { withSession } from '../session.ts';
import { paintState } from '../view.ts';
import { ago, cut, plain } from '../words.ts';

interface ListOptions {
  readonly open?: boolean;
  readonly environment?: string;
  readonly component?: string;
  readonly limit: number;
}

export function register(program: Command): void {
  program
    .command('list')
    .description('rollbacks, newest first, with what they wait for')
    .option('--open', 'only those that are not closed')
    .option('--environment <name>', 'only of this environment')
    .option('--component <name>', 'only of this component')
    .addOption(new Option('--limit <n>', 'at most so many').default(30).argParser(count))
    .addHelpText('after', '\nExamples:\n  $ backout list --open\n  $ backout list --component web --json')
    .action((options: ListOptions, command: Command) => list(options, command));
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 1000)
    throw new Problem(EXIT.usage, 'usage', `--limit ${text} is not a number from 1 to 1000`, 'see `backout list --help`');
  return value;
}

const list = ({ open = false, environment, component, limit }: ListOptions, command: Command): Promise<void> =>
  withSession(command, async (session) => {
    const { source, rollbacks } = await listRollbacks(session, { openOnly: open, limit: environment === undefined && component === undefined ? limit : 1000 });
    const wanted = rollbacks
      .filter((one) => (environment === undefined || one.environment === environment) && (component === undefined || one.components.includes(component)))
      .slice(0, limit);
    print(session.flags.json, { source, rollbacks: wanted }, () => (wanted.length === 0 ? 'no rollbacks' : table(wanted, width(), Date.now()).join('\n')));
    if (session.flags.json) return;
    for (const one of wanted.filter((each) => each.state === 'abandoned'))
      note(`${one.id} is abandoned: its execution was ended from outside. Go on with it: ${commandName()} resume ${one.id} --reason WHY`);
  });

/** Columns as wide as needed; the last two give way on a narrow terminal. */
function table(rollbacks: readonly Listed[], wide: number, nowMs: number): string[] {
  const rows = rollbacks.map((one) => [
    one.state === 'closed' ? (one.outcome ?? 'closed') : (one.state ?? 'open'),
    // What came from outside is no more than a name.
    cut(plain(one.id), 60),
    ago(one.startedAt, nowMs),
    one.targets.map((target) => `→ ${one.components.length === 1 ? target.slice(target.indexOf('=') + 1) : target}`).join(' '),
    isOpen(one) ? one.waitingFor.join(', ') : '',
  ]);
  const titles = ['STATE', 'ID', 'STARTED', 'TARGET', 'WAITING FOR'];
  const widths = titles.map((title, index) => Math.max(title.length, ...rows.map((row) => row[index]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    cut(
      row
        .map((text, index) => text.padEnd(widths[index] ?? 0))
        .join('  ')
        .trimEnd(),
      wide,
    );
  return [
    paint('dim', line(titles)),
    ...rows.map((row) => {
      const text = line(row);
      const [state = ''] = row;
      return `${paintState(state, text.slice(0, state.length))}${text.slice(state.length)}`;
    }),
  ];
}
