/** Runs a command line: finds the command, loads it, and says what went wrong. */
import type { CommandEntry } from './cli.ts';
import { print, printProblem } from './output.ts';
import { EXIT, Problem, said } from './problem.ts';

export interface CommandLine {
  readonly commands: readonly CommandEntry[];
  /** Of every command: flags and text. */
  readonly options: readonly (readonly [string, string])[];
  readonly help: () => string;
}

/** Never throws, never shows a trace. */
export async function run(argv: readonly string[], line: CommandLine): Promise<void> {
  try {
    await dispatch(argv, line);
  } catch (error) {
    const problem = said(error);
    printProblem(argv.includes('--json'), problem);
    process.exitCode = problem.exitCode;
  }
}

async function dispatch(argv: readonly string[], line: CommandLine): Promise<void> {
  const [first, second] = words(argv, line);
  const name = first === 'help' ? second : first;
  if (name !== undefined) return execute(name, first === 'help' ? [name, '--help'] : argv, line);
  if (argv.includes('--version') || argv.includes('-V')) return printVersion(argv.includes('--json'));
  if (first !== 'help' && !argv.includes('--help') && !argv.includes('-h')) {
    throw new Problem(EXIT.usage, 'usage', `there is no command in \`backout ${argv.join(' ')}\``, 'see `backout --help`');
  }
  process.stdout.write(line.help());
}

async function printVersion(json: boolean): Promise<void> {
  const { readFile } = await import('node:fs/promises');
  const { version } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }; // Our own file.
  print(json, { version, node: process.versions.node }, () => version);
}

/** The words that are neither options nor values of the options of every command. */
function words(argv: readonly string[], { options }: CommandLine): string[] {
  const valued = new Set(options.filter(([flags]) => flags.includes('<')).map(([flags]) => flags.split(' ')[0]));
  return argv.filter((word, index) => !word.startsWith('-') && !valued.has(argv[index - 1]));
}

async function execute(name: string, argv: readonly string[], { commands, options }: CommandLine): Promise<void> {
  const found = commands.find((one) => one.name === name);
  if (!found)
    throw new Problem(
      EXIT.usage,
      'unknown-name',
      `there is no command ${JSON.stringify(name)}`,
      `the commands are ${commands.map((one) => one.name).join(', ')}`,
    );
  const [{ Command, CommanderError }, { register }] = await Promise.all([import('commander'), found.load()]);
  const program = new Command('backout')
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
    .helpCommand(false)
    .configureHelp({ showGlobalOptions: true });
  for (const [flags, text] of options) program.option(flags, text);
  register(program);
  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return;
    throw new Problem(EXIT.usage, 'usage', error.message.replace(/^error: /, '').replaceAll('\n', ' '), `see \`backout ${name} --help\``, {}, error);
  }
}
