/** The `backout` command: which commands there are, and the help that names them. Nothing else is loaded for it: `--help` costs what Node costs. */
import type { Command } from 'commander';

export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  /** The module that registers the command, and maybe its neighbours. */
  readonly load: () => Promise<{ readonly register: (program: Command) => void }>;
}

/** In the order of the root help. */
const COMMANDS: readonly { readonly group: string; readonly commands: readonly CommandEntry[] }[] = [
  {
    group: 'Try it',
    commands: [
      { name: 'dev', summary: 'everything on this machine: Temporal server and UI, Postgres, worker', load: () => import('./commands/dev.ts') },
      { name: 'demo', summary: 'a bad release of a real small service is taken back, told step by step', load: () => import('./commands/demo.ts') },
    ],
  },
  {
    group: 'Prepare',
    commands: [
      { name: 'init', summary: 'write backout.yaml, and a schema for editors', load: () => import('./commands/init.ts') },
      { name: 'doctor', summary: 'would a rollback of each component work now?', load: () => import('./commands/doctor.ts') },
      { name: 'deployment', summary: 'record, verify and list deployments: what can be gone back to', load: () => import('./commands/deployment.ts') },
      { name: 'tenant', summary: 'what provisioning made for a tenant: record, list, show', load: () => import('./commands/tenant.ts') },
    ],
  },
  {
    group: 'Roll back',
    commands: [
      { name: 'now', summary: 'emergency: one component back to its last healthy version', load: () => import('./commands/now.ts') },
      { name: 'plan', summary: 'the steps a rollback would take; changes nothing', load: () => import('./commands/plan.ts') },
      { name: 'start', summary: 'start a rollback, or attach to the same one', load: () => import('./commands/start.ts') },
    ],
  },
  {
    group: 'Follow',
    commands: [
      { name: 'list', summary: 'rollbacks, newest first', load: () => import('./commands/list.ts') },
      { name: 'show', summary: 'one rollback: what happened, what now', load: () => import('./commands/show.ts') },
      { name: 'watch', summary: 'the same, live, until it is closed', load: () => import('./commands/watch.ts') },
      { name: 'waiting', summary: 'who is awaited, for what, and what to type', load: () => import('./commands/waiting.ts') },
      { name: 'why', summary: 'why was it executed, to which version, and what does it wait for?', load: () => import('./commands/show.ts') },
      { name: 'freeze', summary: 'what an incident has frozen; `freeze check` is for pipelines', load: () => import('./commands/freeze.ts') },
      { name: 'communicate', summary: 'preview what stakeholders would be told', load: () => import('./commands/communicate.ts') },
    ],
  },
  {
    group: 'Answer',
    commands: [
      { name: 'confirm', summary: 'yes to a waiting step', load: () => import('./commands/messages.ts') },
      { name: 'decline', summary: 'no to a waiting step', load: () => import('./commands/messages.ts') },
      { name: 'decide', summary: 'what to do about a failed step: retry, skip, done or close', load: () => import('./commands/messages.ts') },
      { name: 'stop', summary: 'finish the operation in flight, change nothing further', load: () => import('./commands/messages.ts') },
      { name: 'resume', summary: 'go on after a stop, or with an abandoned rollback', load: () => import('./commands/resume.ts') },
      { name: 'escalate', summary: 'raise the level of an incident rollback', load: () => import('./commands/messages.ts') },
      { name: 'assign', summary: 'hand a role to somebody else', load: () => import('./commands/messages.ts') },
    ],
  },
  {
    group: 'Prove',
    commands: [
      { name: 'report', summary: 'incident report of a rollback: Markdown, JSON or one HTML page', load: () => import('./commands/report.ts') },
      { name: 'audit', summary: 'verify the record, replay the history, compare their values', load: () => import('./commands/audit.ts') },
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
    '',
  ].join('\n');
}

/** Runs one command line and sets the exit code; never throws, never shows a trace. */
export async function main(argv: readonly string[]): Promise<void> {
  // A reader that has seen enough (`| head`) is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0);
  });
  const isHelp = argv.length === 0 || (argv.length === 1 && ['--help', '-h', 'help'].includes(argv[0] ?? ''));
  if (isHelp) process.stdout.write(rootHelp());
  else await (await import('./run.ts')).run(argv, { commands: ALL, options: GLOBAL, help: rootHelp });
}
