/** `backout deployment`: what CI deployed, and what the checks found of it. Only what is known healthy can be gone back to. */
import { Option, type Command } from 'commander';
import { sha256 } from '../../store/digest.ts';
import { StoreUnavailable, type Deployment, type Store } from '../../store/store.ts';
import { askWorker } from '../ask.ts';
import { readMigrations, type MigrationGiven } from '../migrations-file.ts';
import { commandName, note, paint, print, width } from '../output.ts';
import { personOf } from '../person.ts';
import { EXIT, Problem, said } from '../problem.ts';
import { withSession, type Session } from '../session.ts';
import { ago, cut } from '../words.ts';

interface RecordFlags {
  readonly id: string;
  readonly environment: string;
  readonly component: string;
  readonly version: string;
  readonly commit: string;
  readonly branch: string;
  readonly status: string;
  readonly ref?: string;
  readonly by?: string;
  readonly migrations?: string;
  readonly database?: string;
}
interface ListFlags {
  readonly environment?: string;
  readonly component?: string;
  readonly limit: string;
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const NAME = /^[a-z0-9-]+$/;
/** What CI may say; the others are set by the checks and by rollbacks alone [product.md 5]. */
const RECORDABLE = ['pending', 'in_progress', 'failed'] as const;

export function register(program: Command): void {
  const deployment = program
    .command('deployment')
    .description('record, verify and list deployments: what can be gone back to')
    .addHelpText('after', '\nExample:\n  $ backout deployment list --component web');
  deployment
    .command('record')
    .description('CI says what it deploys; the same again changes nothing')
    .requiredOption('--id <uuid>', 'id of the deployment, made by CI')
    .requiredOption('--environment <name>', 'where')
    .requiredOption('--component <name>', 'what')
    .requiredOption('--version <version>', 'as its platform names it')
    .requiredOption('--commit <sha>', 'git commit')
    .requiredOption('--branch <name>', 'git branch')
    .requiredOption('--status <status>', RECORDABLE.join(', '))
    .option('--ref <platform-id>', 'id of the deployment on the platform')
    .option('--by <name>', 'who deployed; default $BACKOUT_BY, then $USER')
    .option('--migrations <path>', 'what it applies to a database, with the way back of each: a JSON file, or a folder with NAME.sql and NAME.down.sql')
    .option('--database <name>', 'which database of backout.yaml; needed where there are several')
    .addHelpText(
      'after',
      '\nExample:\n  $ backout deployment record --id "$(uuidgen)" --environment production --component web --version v2.5.3 --commit "$(git rev-parse HEAD)" --branch main --status in_progress',
    )
    .action((flags: RecordFlags, command: Command) => record(flags, command));
  deployment
    .command('verify')
    .argument('<id>', 'id of a recorded deployment')
    .description('run smoke, health and served version on the worker; what passes is known healthy')
    .addHelpText('after', '\nExample:\n  $ backout deployment verify 0192f3a4-5b6c-7d8e-9f00-112233445566')
    .action((id: string, _: unknown, command: Command) => verify(id, command));
  deployment
    .command('list')
    .description('deployments, newest first')
    .option('--environment <name>', 'only of this environment')
    .option('--component <name>', 'only of this component')
    .addOption(new Option('--limit <n>', 'at most so many').default('30'))
    .addHelpText('after', '\nExample:\n  $ backout deployment list --component web')
    .action((flags: ListFlags, command: Command) => list(flags, command));
}

const usage = (message: string, remedy: string): Problem => new Problem(EXIT.usage, 'usage', message, remedy);

/** The database is brought up first: CI may come before any worker. */
async function migrated(session: Session) {
  const store = await session.requireStore();
  await store.migrate();
  return store;
}

const record = (flags: RecordFlags, command: Command): Promise<void> =>
  withSession(command, async (session) => {
    if (!UUID.test(flags.id)) throw usage(`--id ${JSON.stringify(flags.id)} is no UUID`, 'make one with `uuidgen`, once per deployment');
    const status = RECORDABLE.find((one) => one === flags.status);
    if (flags.status === 'success')
      throw usage(
        '--status success is not for CI to say: only the checks set it [003]',
        `record in_progress, then run \`${commandName()} deployment verify ${flags.id}\``,
      );
    if (flags.status === 'rolled_back')
      throw usage('--status rolled_back is set by a verified rollback alone', `record failed, and start a rollback: \`${commandName()} start --help\``);
    if (!status) throw usage(`--status ${JSON.stringify(flags.status)} is not known`, `it is one of ${RECORDABLE.join(', ')}`);
    for (const [flag, value] of [
      ['--environment', flags.environment],
      ['--component', flags.component],
    ] as const)
      if (!NAME.test(value)) throw usage(`${flag} ${JSON.stringify(value)} is no name`, 'a name is lower-case letters, digits and hyphens');
    for (const [flag, value] of [
      ['--version', flags.version],
      ['--commit', flags.commit],
      ['--branch', flags.branch],
    ] as const)
      if (value.trim() === '') throw usage(`${flag} is empty`, `give the ${flag.slice(2)} that is deployed`);
    await warnUnknown(session, flags);
    const applied = flags.migrations === undefined ? null : { migrations: await readMigrations(flags.migrations), database: await databaseOf(session, flags) };
    const store = await migrated(session);
    const deploymentId = flags.id.toLowerCase();
    const before = await store.deployment(deploymentId);
    const differs = before && (['environment', 'component', 'version', 'commit', 'branch'] as const).filter((name) => before[name] !== flags[name]);
    if (before && differs && differs.length > 0) {
      throw new Problem(
        EXIT.usage,
        'conflict',
        `deployment ${deploymentId} is recorded already with another ${differs.map((name) => `${name} (${before[name]})`).join(', ')}`,
        'every deployment has an id of its own: make a new one with `uuidgen`',
        { deployment: before },
      );
    }
    const { environment, component, version, commit, branch } = flags;
    // What was deployed is recorded in any case; that nobody should have is said.
    for (const one of await store.freezes({ environment, inForceOnly: true }))
      if (one.inForce.includes('deployments'))
        note(`! ${environment} is frozen for incident ${one.incident} (${one.workflowId}): only rollback owners may deploy`);
    const stored = await store.recordDeployment({
      deploymentId,
      environment,
      component,
      version,
      commit,
      branch,
      status,
      platformRef: flags.ref ?? null,
      deployedBy: personOf(flags.by),
    });
    const told = applied && (await recordApplied(store, deploymentId, applied));
    print(
      session.flags.json,
      told === null ? stored : { ...stored, migrations: told },
      () =>
        `recorded ${component} ${version} in ${environment} as ${stored.status}${told === null ? '' : `, with ${told.length} migrations of ${applied?.database ?? ''}`}${stored.status === 'in_progress' ? `\n  ${commandName()} deployment verify ${deploymentId}` : ''}`,
    );
  });

/** Named, or the only one there is. */
async function databaseOf(session: Session, { environment, database }: RecordFlags): Promise<string> {
  const loaded = await session.settings.config().catch(() => null);
  const known = Object.keys(loaded?.config.environments[environment]?.databases ?? {});
  if (database !== undefined) {
    if (!NAME.test(database)) throw usage(`--database ${JSON.stringify(database)} is no name`, 'a name is lower-case letters, digits and hyphens');
    if (loaded && !known.includes(database)) note(`! ${environment} has no database ${database} in ${loaded.file}: what is recorded of it could not be undone`);
    return database;
  }
  const [only, another] = known;
  if (only !== undefined && another === undefined) return only;
  throw usage(
    `which database do these migrations belong to? ${known.length === 0 ? 'backout.yaml names none' : `there is ${known.join(', ')}`}`,
    'say --database NAME',
  );
}

async function recordApplied(store: Store, deploymentId: string, { migrations, database }: { migrations: readonly MigrationGiven[]; database: string }) {
  try {
    await store.recordMigrations({ deploymentId, database, migrations });
  } catch (error) {
    if (error instanceof StoreUnavailable) throw error;
    throw new Problem(EXIT.usage, 'conflict', said(error).message, 'what was applied is recorded once; another migration has another name', {}, error);
  }
  for (const { name, inverse } of migrations)
    if (inverse === null) note(`! ${name} has no inverse: a rollback over it is refused at level 2, or goes by a backup`);
  return migrations.map(({ name, hash, inverse }) => ({ name, hash, inverse: inverse === null ? null : sha256(inverse) }));
}

/** CI may run far from the worker's file, so it is a remark only. */
async function warnUnknown(session: Session, { environment, component }: RecordFlags): Promise<void> {
  const loaded = await session.settings.config().catch((error: unknown) => {
    note(said(error).message);
    return null;
  });
  if (loaded && !Object.hasOwn(loaded.config.environments[environment]?.components ?? {}, component))
    note(`! ${component} in ${environment} is not in ${loaded.file}: it could not be rolled back`);
}

const verify = (id: string, command: Command): Promise<void> =>
  withSession(command, async (session) => {
    if (!UUID.test(id)) throw usage(`${JSON.stringify(id)} is no UUID`, `see \`${commandName()} deployment list\``);
    const { passed, checks, deployment, refusal } = await askWorker(session, { ask: 'verify', deploymentId: id.toLowerCase() });
    if (refusal)
      throw new Problem(
        deployment === null ? EXIT.usage : EXIT.refused,
        deployment === null ? 'unknown-name' : 'refused',
        refusal.explanation,
        `see \`${commandName()} deployment list\``,
        { refusal },
      );
    if (!passed) process.exitCode = EXIT.failed;
    const colour = { done: 'green', already: 'green', failed: 'red' } as const;
    print(session.flags.json, { passed, deployment, checks }, () =>
      [
        ...checks.map((one) => `${one.check.padEnd(8)} ${paint(colour[one.state === 'failed' ? 'failed' : 'done'], one.state.padEnd(7))} ${one.detail}`),
        '',
        passed
          ? paint('green', `${deployment?.component ?? ''} ${deployment?.version ?? ''} is known healthy: a rollback can go back to it`)
          : paint(
              'red',
              `${deployment?.component ?? ''} ${deployment?.version ?? ''} did not pass${checks.every((one) => one.state !== 'failed') ? ': nothing is configured that could be checked' : ''}`,
            ),
        ...(passed || !deployment
          ? []
          : [`  ${commandName()} now ${deployment.component} --environment ${deployment.environment} --reason "verification failed"`]),
      ].join('\n'),
    );
  });

const list = (flags: ListFlags, command: Command): Promise<void> =>
  withSession(command, async (session) => {
    const limit = Number(flags.limit);
    if (!Number.isInteger(limit) || limit < 1 || limit > 1000)
      throw usage(`--limit ${flags.limit} is not a number from 1 to 1000`, 'see `backout deployment list --help`');
    const deployments = await (
      await migrated(session)
    ).deployments({
      limit,
      ...(flags.environment === undefined ? {} : { environment: flags.environment }),
      ...(flags.component === undefined ? {} : { component: flags.component }),
    });
    print(session.flags.json, { deployments }, () =>
      deployments.length === 0 ? 'no deployments are recorded' : table(deployments, width(), Date.now()).join('\n'),
    );
  });

function table(deployments: readonly Deployment[], wide: number, nowMs: number): string[] {
  const rows = deployments.map((one) => [
    one.component,
    one.version,
    one.environment,
    one.status,
    one.status === 'success' && one.healthCheckPassed ? 'healthy' : '',
    ago(one.deployedAt, nowMs),
    one.rollbackFrom === null ? '' : 'restored',
    one.deploymentId,
  ]);
  const titles = ['COMPONENT', 'VERSION', 'ENVIRONMENT', 'STATUS', 'CHECKS', 'RECORDED', '', 'ID'];
  const widths = titles.map((title, index) => Math.max(title.length, ...rows.map((row) => row[index]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    cut(
      row
        .map((text, index) => text.padEnd(widths[index] ?? 0))
        .join('  ')
        .trimEnd(),
      wide,
    );
  return [paint('dim', line(titles)), ...rows.map(line)];
}
