/** The `backout` command: which commands there are, and what happens to their errors. Each loads only what it needs. */
import type { Command } from 'commander';
import { print, printProblem } from './output.ts';
import { EXIT, Problem, said } from './problem.ts';

/** In the order of the root help; `file` registers the command, and maybe its neighbours. */
const COMMANDS: readonly {
  readonly group: string;
  readonly commands: readonly { readonly name: string; readonly file: string; readonly summary: string }[];
}[] = [
  {
    group: 'Try it',
    commands: [
      { name: 'dev', file: 'dev', summary: 'everything on this machine: Temporal server and UI, Postgres, worker' },
      { name: 'demo', file: 'demo', summary: 'a bad release of a real small service is taken back, told step by step' },
    ],
  },
  {
    group: 'Prepare',
    commands: [
      { name: 'init', file: 'init', summary: 'write backout.yaml, and a schema for editors' },
      { name: 'doctor', file: 'doctor', summary: 'would a rollback of each component work now?' },
      { name: 'deployment', file: 'deployment', summary: 'record, verify and list deployments: what can be gone back to' },
    ],
  },
  {
    group: 'Roll back',
    commands: [
      { name: 'now', file: 'now', summary: 'emergency: one component back to its last healthy version' },
      { name: 'plan', file: 'plan', summary: 'the steps a rollback would take; changes nothing' },
      { name: 'start', file: 'start', summary: 'start a rollback, or attach to the same one' },
    ],
  },
  {
    group: 'Follow',
    commands: [
      { name: 'list', file: 'list', summary: 'rollbacks, newest first' },
      { name: 'show', file: 'show', summary: 'one rollback: what happened, what now' },
      { name: 'watch', file: 'watch', summary: 'the same, live, until it is closed' },
      { name: 'waiting', file: 'waiting', summary: 'who is awaited, for what, and what to type' },
      { name: 'why', file: 'show', summary: 'why was it executed, to which version, and what does it wait for?' },
    ],
  },
  {
    group: 'Answer',
    commands: [
      { name: 'confirm', file: 'messages', summary: 'yes to a waiting step' },
      { name: 'decline', file: 'messages', summary: 'no to a waiting step' },
      { name: 'decide', file: 'messages', summary: 'what to do about a failed step: retry, skip, done or close' },
      { name: 'stop', file: 'messages', summary: 'finish the operation in flight, change nothing further' },
      { name: 'resume', file: 'resume', summary: 'go on after a stop, or with an abandoned rollback' },
      { name: 'escalate', file: 'messages', summary: 'raise the level of an incident rollback' },
      { name: 'assign', file: 'messages', summary: 'hand a role to somebody else' },
    ],
  },
  {
    group: 'Prove',
    commands: [
      { name: 'report', file: 'report', summary: 'incident report of a rollback: Markdown or JSON' },
      { name: 'audit', file: 'audit', summary: 'verify the record, replay the history, compare their values' },
    ],
  },
];

const ALL = COMMANDS.flatMap((group) => group.commands);

/** Options of every command, before or after its name. */
const GLOBAL = [
  ['--json', 'one JSON document on stdout; errors as {"error":{type,message,remedy}}'],
  ['--address <host:port>', 'Temporal server [TEMPORAL_ADDRESS]'],
  ['--namespace <name>', 'Temporal namespace [TEMPORAL_NAMESPACE]'],
  ['--database-url <url>', 'Postgres that holds the record [DATABASE_URL]'],
  ['--config <file>', 'backout.yaml [BACKOUT_CONFIG]'],
] as const;

const column = (rows: readonly (readonly [string, string])[]): string => {
  const wide = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(wide)}  ${right}`).join('\n');
};

/** Printed without commander, which alone would cost half a Node. */
function rootHelp(): string {
  const wide = Math.max(...ALL.map((one) => one.name.length));
  return [
    'backout: take a bad release back, durably, with a record that can be replayed',
    '',
    'Usage: backout COMMAND [options]     backout COMMAND --help has examples',
    '',
    ...COMMANDS.flatMap(({ group, commands }) => [group, ...commands.map((one) => `  ${one.name.padEnd(wide)}  ${one.summary}`), '']),
    'Options of every command',
    column(GLOBAL.map(([flags, text]) => [flags, text])),
    '',
    'Settings come from flags, then the environment, then backout.yaml, then a running `backout dev` of this folder.',
    'ID is a Workflow Id, a rollback id, or what is unique among the open ones: the name of a component will do.',
    'Exit codes: 0 done · 1 error or a check failed · 2 command line, configuration or unknown name · 3 refused',
    '            4 stopped, partial, failed, abandoned or time elapsed · 5 done, target time missed · 6 Temporal, Postgres or worker unreachable',
    '',
    'Example:',
    '  $ backout now web --reason "checkout answers 500"',
    '  $ backout watch web',
    '  $ backout confirm web --step availability',
  ].join('\n');
}

/** Runs one command line and sets the exit code; never throws, never shows a trace. */
export async function main(argv: readonly string[]): Promise<void> {
  // A reader that has seen enough (`| head`) is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0);
  });
  try {
    await dispatch(argv);
  } catch (error) {
    const problem = said(error);
    printProblem(argv.includes('--json'), problem);
    process.exitCode = problem.exitCode;
  }
}

async function dispatch(argv: readonly string[]): Promise<void> {
  const [name, ...more] = words(argv);
  if (name === undefined || (name === 'help' && more.length === 0)) {
    if (argv.includes('--version') || argv.includes('-V')) return printVersion(argv.includes('--json'));
    if (argv.length > 0 && name === undefined && !argv.includes('--help') && !argv.includes('-h'))
      throw new Problem(EXIT.usage, 'usage', `there is no command in \`backout ${argv.join(' ')}\``, 'see `backout --help`');
    print(false, null, rootHelp);
    return;
  }
  if (name === 'help') return run(String(more[0]), [String(more[0]), '--help']);
  return run(name, argv);
}

async function printVersion(json: boolean): Promise<void> {
  const { readFile } = await import('node:fs/promises');
  const { version } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }; // Our own file.
  print(json, { version, node: process.versions.node }, () => version);
}

/** The words that are neither options nor values of global options. */
function words(argv: readonly string[]): string[] {
  const valued = new Set(GLOBAL.filter(([flags]) => flags.includes('<')).map(([flags]) => flags.split(' ')[0]));
  return argv.filter((word, index) => !word.startsWith('-') && !valued.has(argv[index - 1]));
}

async function run(name: string, argv: readonly string[]): Promise<void> {
  const found = ALL.find((one) => one.name === name);
  if (!found)
    throw new Problem(EXIT.usage, 'unknown-name', `there is no command ${JSON.stringify(name)}`, `the commands are ${ALL.map((one) => one.name).join(', ')}`);
  const [{ Command, CommanderError }, { register }] = await Promise.all([import('commander'), load(found.file)]);
  const program = new Command('backout')
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
    .helpCommand(false)
    .configureHelp({ showGlobalOptions: true });
  for (const [flags, text] of GLOBAL) program.option(flags, text);
  register(program);
  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return;
    throw new Problem(EXIT.usage, 'usage', error.message.replace(/^error: /, '').replace(/\n/g, ' '), `see \`backout ${name} --help\``, {}, error);
  }
}

async function load(file: string): Promise<{ readonly register: (program: Command) => void }> {
  try {
    return (await import(`./commands/${file}.ts`)) as { readonly register: (program: Command) => void }; // The convention of client/commands.
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND' && error.message.includes(`/commands/${file}.ts'`)) {
      throw new Problem(EXIT.usage, 'unknown-name', `${file} is not part of this version yet`, 'see `backout --help`', {}, error);
    }
    throw error;
  }
}
