/** `backout freeze`: does something stand still here, and would this be let through? What pipelines ask before they merge, promote or deploy. */
import type { Command } from 'commander';
import type { LoadedConfig } from '../../model/config-file.ts';
import { FREEZE_SCOPES, isFreezeScope, judge, type Freeze, type FreezeScope, type FreezeVerdict } from '../../model/freeze.ts';
import { own } from '../../model/roles.ts';
import type { Store } from '../../store/store.ts';
import { commandName, note, paint, print, width } from '../output.ts';
import { EXIT, Problem, said } from '../problem.ts';
import { withSession, type Session } from '../session.ts';
import { ago, cut, plain } from '../words.ts';

interface CheckFlags {
  readonly environment: string;
  readonly scope?: string;
  readonly role?: readonly string[];
  readonly by?: string;
  readonly item?: string;
}
interface ListFlags {
  readonly environment?: string;
  readonly all?: boolean;
}

export function register(program: Command): void {
  const freeze = program
    .command('freeze')
    .description('what an incident has frozen: asked by pipelines, listed for people')
    .addHelpText('after', '\nExample:\n  $ backout freeze check --environment production --scope deployments && ./deploy');
  freeze
    .command('check')
    .description('exit 0: not frozen, or let through; 3: frozen; 6: not known, so treat it as frozen')
    .requiredOption('--environment <name>', 'where')
    .option('--scope <scope>', `what is to be done: ${FREEZE_SCOPES.join(', ')}; without it, anything that is frozen counts`)
    .option('--role <role...>', 'roles of whoever asks; rollback owners may deploy')
    .option('--by <name>', 'whoever asks: has the roles that backout.yaml gives')
    .option('--item <kind>', 'kind of the work item that is to be claimed; rollback and incident items may be, unless configured otherwise')
    .addHelpText(
      'after',
      [
        '',
        'Examples:',
        '  $ backout freeze check --environment production --scope merges',
        '  $ backout freeze check --environment production --scope deployments --by "$GITHUB_ACTOR" && ./deploy',
        '  $ backout freeze check --environment production --scope claims --item incident --json',
      ].join('\n'),
    )
    .action((flags: CheckFlags, command: Command) => check(flags, command));
  freeze
    .command('list')
    .description('what is frozen, newest first')
    .option('--environment <name>', 'only of this environment')
    .option('--all', 'also what was lifted')
    .addHelpText('after', '\nExamples:\n  $ backout freeze list\n  $ backout freeze list --environment production --all --json')
    .action((flags: ListFlags, command: Command) => list(flags, command));
}

const check = ({ environment, scope, role = [], by, item }: CheckFlags, command: Command): Promise<void> =>
  withSession(command, async (session) => {
    const asked = scope === undefined ? null : scopeOf(scope);
    const loaded = by === undefined ? await configAtHand(session) : await session.settings.requireConfig();
    checkEnvironment(environment, loaded, session);
    const roles = [...role, ...(by === undefined || loaded === null ? [] : rolesOf(by, loaded))];
    const freezes = await registered(session, environment, (store) => store.freezes({ environment, inForceOnly: true }));
    const verdict = judge(freezes, { scope: asked, roles, item: item ?? null });
    if (verdict.frozen) process.exitCode = EXIT.refused;
    print(session.flags.json, { environment, scope: asked, ...verdict }, () => verdictLines(environment, asked, verdict, Date.now()).join('\n'));
  });

const list = ({ environment, all = false }: ListFlags, command: Command): Promise<void> =>
  withSession(command, async (session) => {
    if (environment !== undefined) checkEnvironment(environment, await configAtHand(session), session);
    const freezes = await registered(session, environment ?? null, (store) =>
      store.freezes({ inForceOnly: !all, ...(environment === undefined ? {} : { environment }) }),
    );
    const none = `nothing ${all ? 'was ever' : 'is'} frozen${environment === undefined ? '' : ` in ${environment}`}`;
    print(session.flags.json, { freezes }, () => (freezes.length === 0 ? none : table(freezes, width(), Date.now()).join('\n')));
  });

function scopeOf(text: string): FreezeScope {
  if (isFreezeScope(text)) return text;
  throw new Problem(EXIT.usage, 'unknown-name', `${JSON.stringify(text)} is nothing that can be frozen`, `--scope is one of ${FREEZE_SCOPES.join(', ')}`);
}

/** A pipeline may run far from the worker's file, and one that is broken must not hide the register. */
const configAtHand = (session: Session): Promise<LoadedConfig | null> =>
  session.settings.config().catch((error: unknown) => {
    note(said(error).message);
    return null;
  });

/** Nothing is frozen where a name is mistyped: so it is looked up wherever it can be. */
function checkEnvironment(environment: string, loaded: LoadedConfig | null, session: Session): void {
  if (loaded === null) return note(`! without ${session.settings.configPath} nobody can say whether there is an environment ${plain(environment)}`);
  const { environments } = loaded.config;
  const known = [...new Set([...Object.keys(environments), ...Object.values(environments).flatMap((one) => one.freeze?.also ?? [])])];
  if (!known.includes(environment))
    throw new Problem(
      EXIT.usage,
      'unknown-name',
      `there is no environment ${JSON.stringify(environment)} in ${loaded.file}`,
      known.length === 0 ? 'it has none; add one' : `it has ${known.join(', ')}`,
    );
}

/** Whoever is not named there has no role: he is let through only where nothing is frozen. */
function rolesOf(by: string, { config, file }: LoadedConfig): readonly string[] {
  const person = own(config.people ?? {}, by);
  if (person === undefined) note(`! ${plain(by)} is not among the people of ${file}, and counts as having no role; --role names one`);
  return person?.roles ?? [];
}

/** Whatever keeps the register from being read: that nothing is frozen is not known then. */
async function registered(session: Session, environment: string | null, read: (store: Store) => Promise<Freeze[]>): Promise<Freeze[]> {
  try {
    return await read(await session.requireStore());
  } catch (error) {
    const { type, message, remedy, exitCode } = said(error);
    // An address that is none is a mistake of the command line, and no state of the register.
    if (exitCode === EXIT.usage) throw error;
    const isMissing = type === 'unexpected' && message.includes('"ops.freezes" does not exist');
    throw new Problem(
      EXIT.unreachable,
      'postgres-unreachable',
      `whether ${environment ?? 'anything'} is frozen is not known, since the register cannot be read: ${message}`,
      `treat it as frozen; ${isMissing ? 'no worker has ever used this database: correct --database-url or DATABASE_URL' : remedy}`,
      {},
      error,
    );
  }
}

const WHAT = { merges: 'merges', claims: 'claims of work items', promotions: 'promotions', deployments: 'deployments' } as const satisfies Record<
  FreezeScope,
  string
>;

function verdictLines(environment: string, scope: FreezeScope | null, { frozen, freezes, allowedBy }: FreezeVerdict, nowMs: number): string[] {
  const what = `${scope === null ? '' : `${WHAT[scope]} in `}${plain(environment)}`;
  if (!frozen && freezes.length === 0) return [`${paint('green', 'not frozen')}: ${what}`];
  return [
    frozen ? `${paint(['red', 'bold'], 'frozen')}: ${what}` : `${paint('green', 'let through')}: ${what}; ${plain(allowedBy ?? '')}`,
    ...freezes.flatMap((one) => [
      '',
      `  by       incident ${plain(one.incident)}, declared by ${plain(one.by)}`,
      `  since    ${one.at} (${ago(one.at, nowMs)})`,
      `  holds    ${one.inForce.join(', ')}`,
      ...(frozen ? [`  but for  ${butFor(one)}`] : []),
      `  until    its rollback lifts it: ${commandName()} show ${plain(one.workflowId)}`,
    ]),
  ];
}

/** What this freeze lets through. */
function butFor({ inForce, exceptions }: Freeze): string {
  const { roles, items } = exceptions;
  const parts = [
    ...(inForce.includes('deployments') && roles.length > 0 ? [`deployments by ${roles.join(', ')} (--role, --by)`] : []),
    ...(inForce.includes('claims') && items.length > 0 ? [`claims of ${items.join(', ')} items (--item)`] : []),
  ];
  return parts.length === 0 ? 'nothing' : plain(parts.join('; '));
}

function table(freezes: readonly Freeze[], wide: number, nowMs: number): string[] {
  const rows = freezes.map((one) => [one.environment, one.incident, stateOf(one, nowMs), ago(one.at, nowMs), one.by, one.workflowId].map(plain));
  const titles = ['ENVIRONMENT', 'INCIDENT', 'FROZEN', 'SINCE', 'BY', 'ROLLBACK'];
  const widths = titles.map((title, index) => Math.max(title.length, ...rows.map((row) => row[index]?.length ?? 0)));
  const line = (row: readonly string[]): string => {
    const padded = row.map((text, index) => text.padEnd(widths[index] ?? 0)).join('  ');
    return cut(padded.trimEnd(), wide);
  };
  return [paint('dim', line(titles)), ...rows.map(line)];
}

/** What is in force; what was lifted, by whom and when. */
function stateOf({ inForce, lifted }: Freeze, nowMs: number): string {
  const last = lifted.toSorted((a, b) => a.at.localeCompare(b.at)).at(-1);
  if (last === undefined) return inForce.join(', ');
  const gone = `lifted by ${last.by} ${ago(last.at, nowMs)}`;
  return inForce.length === 0 ? gone : `${inForce.join(', ')} (others ${gone})`;
}
