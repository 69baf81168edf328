/** `backout tenant`: what was provisioned for whom, in the provisioning store that comes with Backout. A house that has a store of its own records there. */
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { keyOf, type Artifact, type LogEntry } from '../../model/tenant.ts';
import type { Database } from '../../store/database.ts';
import type { Correction, Recorded, StoredRequest } from '../../store/provisioning.ts';
import { commandName, note, paint, print, width } from '../output.ts';
import { personOf } from '../person.ts';
import { EXIT, Problem, said } from '../problem.ts';
import { withSession, type Session } from '../session.ts';
import { ago, cut, plain } from '../words.ts';

interface RecordFlags {
  readonly environment: string;
  readonly file: string;
  readonly by?: string;
}
interface ReadFlags {
  readonly environment: string;
}

const EXAMPLE = `{
    "requestId": "req-2041", "tenant": "acme", "version": "1.4.0", "status": "COMPLETED",
    "artifacts": [
      { "type": "n8n-workflow", "id": "x7Kq2", "name": "Acme intake" },
      { "type": "webhook", "id": "acme/intake" },
      { "type": "vapi-assistant", "id": "5f0c", "platform": "vapi" }
    ]
  }`;

export function register(program: Command): void {
  const tenant = program
    .command('tenant')
    .description('what provisioning made for a tenant: record, list, show')
    .addHelpText('after', '\nExample:\n  $ backout tenant show acme --environment production');
  tenant
    .command('record')
    .description('provisioning says what it made; the same again changes nothing')
    .requiredOption('--environment <name>', 'where')
    .requiredOption('--file <file>', 'a request and its artifacts, as JSON; no secrets')
    .option('--by <name>', 'who says so; default $BACKOUT_BY, then $USER')
    .addHelpText('after', `\nExample:\n  $ backout tenant record --environment production --file acme.json\n\n  acme.json\n  ${EXAMPLE}`)
    .action((flags: RecordFlags, command: Command) => record(flags, command));
  tenant
    .command('list')
    .description('tenants, by name')
    .requiredOption('--environment <name>', 'where')
    .addHelpText('after', '\nExample:\n  $ backout tenant list --environment production')
    .action((flags: ReadFlags, command: Command) => list(flags, command));
  tenant
    .command('show')
    .argument('<tenant>', 'letter by letter as it was recorded')
    .description('its requests, its artifacts, what was removed, and the error_log')
    .requiredOption('--environment <name>', 'where')
    .addHelpText('after', '\nExample:\n  $ backout tenant show acme --environment production --json')
    .action((name: string, flags: ReadFlags, command: Command) => show(name, flags, command));
}

/** Opens the store for one command. What its triggers and constraints refuse is a conflict, in their own words. */
async function withStore<T>(session: Session, work: (database: Database) => Promise<T>): Promise<T> {
  const settings = await session.settings.database();
  await session.requireStore(); // Says what is missing, and checks the address.
  const { connect } = await import('../../store/database.ts');
  const database = connect(settings?.url ?? '', { connections: 1, statementTimeoutMs: 4_000 });
  try {
    return await work(database);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (/^(?:42P01|3F000)$/.test(code))
      throw new Problem(
        EXIT.usage,
        'configuration',
        'this database has no provisioning store yet',
        `correct --database-url or DATABASE_URL; a worker makes it when it starts, and \`${commandName()} tenant record\` does`,
        {},
        error,
      );
    if ((error instanceof Error && error.name === 'NotRecordable') || /^(?:55000|23...)$/.test(code))
      throw new Problem(EXIT.usage, 'conflict', said(error).message, `nothing was written; see \`${commandName()} tenant list --help\``, {}, error);
    throw error;
  } finally {
    await database.close();
  }
}

/** Provisioning may run far from the worker's file, so it is a remark only. */
async function warnUnknown(session: Session, environment: string): Promise<void> {
  const loaded = await session.settings.config().catch((error: unknown) => {
    note(said(error).message);
    return null;
  });
  if (loaded && !Object.hasOwn(loaded.config.environments, environment)) note(`! there is no environment ${plain(environment)} in ${loaded.file}`);
}

const record = ({ environment, file, by }: RecordFlags, command: Command): Promise<void> =>
  withSession(command, async (session) => {
    const [{ parseTenantFile }, { isStorable, recordRequest }] = await Promise.all([import('../tenant-file.ts'), import('../../store/provisioning.ts')]);
    const text = await readFile(file, 'utf8').catch((cause: unknown) => {
      throw new Problem(EXIT.usage, 'usage', `${file} cannot be read`, 'name the file with --file; `backout tenant record --help` shows one', {}, cause);
    });
    const given = parseTenantFile(text, file);
    if (environment.trim() === '' || !isStorable(environment)) throw new Problem(EXIT.usage, 'usage', '--environment is no name', 'give it as in backout.yaml');
    await warnUnknown(session, environment);
    await (await session.requireStore()).migrate();
    const recorded = await withStore(session, (database) =>
      recordRequest(database, { environment, ...given, artifacts: given.artifacts.map(artifactOf), by: personOf(by) }),
    );
    print(session.flags.json, recorded, () => saidOf(recorded).join('\n'));
  });

/** Without the keys that are not there. */
const artifactOf = ({ type, id, name, platform }: { [Key in keyof Artifact]: Artifact[Key] | undefined } & Pick<Artifact, 'type' | 'id'>): Artifact => ({
  type,
  id,
  ...(name === undefined ? {} : { name }),
  ...(platform === undefined ? {} : { platform }),
});

function saidOf({ did, request, added, changed, corrected }: Recorded): string[] {
  const { requestId, tenant, environment, status, config } = request;
  const of = `request ${plain(requestId)} of ${plain(tenant)} in ${plain(environment)}`;
  if (did === 'unchanged') return [`unchanged: ${of} is recorded so already`];
  return [
    `${did} ${of} as ${status}: ${count(config.artifacts.length, 'artifact')}`,
    ...(did === 'recorded' ? [] : added.map((one) => `  + ${artifactLine(one)}`)),
    ...changed.map((one) => `  ~ ${artifactLine(one)}`),
    ...corrected.map((one) => `  - ${artifactLine(one)}, off the list; that it was there is kept`),
  ];
}

const count = (many: number, what: string): string => `${many} ${what}${many === 1 ? '' : 's'}`;
const artifactLine = (one: Artifact): string =>
  plain(`${keyOf(one)}${one.name === undefined ? '' : ` (${one.name})`}${one.platform === undefined ? '' : ` on ${one.platform}`}`);

const list = ({ environment }: ReadFlags, command: Command): Promise<void> =>
  withSession(command, async (session) => {
    const { requestsOf } = await import('../../store/provisioning.ts');
    await warnUnknown(session, environment);
    const requests = await withStore(session, (database) => requestsOf(database, environment, null));
    const tenants = [...Map.groupBy(requests, (one) => one.tenant)]
      .map(([tenant, own]) => ({
        tenant,
        requests: own.map(({ requestId, status, version, rollbackId, createdAt }) => ({ requestId, status, version, rollbackId, createdAt })),
        artifacts: sum(own, (one) => one.config.artifacts.length),
        removed: sum(own, (one) => one.config.removed.length),
      }))
      .toSorted((a, b) => (a.tenant < b.tenant ? -1 : 1));
    print(session.flags.json, { environment, tenants }, () => {
      if (tenants.length === 0) return `no tenant is recorded in ${plain(environment)}`;
      const titles = ['TENANT', 'REQUESTS', 'ARTIFACTS', 'REMOVED', 'LAST RECORDED'];
      const rows = tenants.map((one) => [
        plain(one.tenant),
        [...Map.groupBy(one.requests, (request) => request.status)].map(([status, own]) => `${own.length} ${status}`).join(', '),
        String(one.artifacts),
        String(one.removed),
        ago(one.requests.at(-1)?.createdAt ?? '', Date.now()),
      ]);
      const widths = titles.map((title, index) => Math.max(title.length, ...rows.map((row) => row[index]?.length ?? 0)));
      const line = (row: readonly string[]): string =>
        cut(
          row
            .map((cell, index) => cell.padEnd(widths[index] ?? 0))
            .join('  ')
            .trimEnd(),
          width(),
        );
      return [paint('dim', line(titles)), ...rows.map(line)].join('\n');
    });
  });

const sum = (requests: readonly StoredRequest[], of: (request: StoredRequest) => number): number => requests.reduce((total, one) => total + of(one), 0);

const show = (tenant: string, { environment }: ReadFlags, command: Command): Promise<void> =>
  withSession(command, async (session) => {
    const { correctionsOf, logOf, requestsOf } = await import('../../store/provisioning.ts');
    await warnUnknown(session, environment);
    const found = await withStore(session, async (database) => {
      const requests = await requestsOf(database, environment, tenant);
      return {
        requests,
        corrections: await correctionsOf(
          database,
          requests.map((one) => one.requestId),
        ),
        errorLog: await logOf(database, environment, tenant),
      };
    });
    if (found.requests.length === 0)
      throw new Problem(
        EXIT.usage,
        'unknown-name',
        `no tenant ${JSON.stringify(tenant)} is recorded in ${environment}`,
        `names count letter by letter; see \`${commandName()} tenant list --environment ${environment}\``,
      );
    print(session.flags.json, { environment, tenant, ...found }, () =>
      [
        `${paint('bold', plain(tenant))} in ${plain(environment)}`,
        ...found.requests.flatMap((one) => ['', ...requestLines(one, found.corrections)]),
        ...(found.errorLog.length === 0 ? [] : ['', 'error_log', ...found.errorLog.flatMap(logLines)]),
      ].join('\n'),
    );
  });

function requestLines({ requestId, version, status, rollbackId, cleanup, createdAt, config }: StoredRequest, corrections: readonly Correction[]): string[] {
  const { rollback } = config;
  const own = corrections.filter((one) => one.requestId === requestId);
  return [
    plain(`request ${requestId}${version === null ? '' : ` (${version})`}: ${status}, ${config.status}; recorded ${createdAt}`),
    ...(rollbackId === null ? [] : [`  rollback  ${rollbackId}`]),
    ...(cleanup === null ? [] : [`  cleanup   ${plain(`confirmed by ${cleanup.by} ${cleanup.at}`)}`]),
    ...(rollback === null ? [] : [`  ended     ${plain(`rolled back by ${rollback.by} ${rollback.at}: ${rollback.reason}`)}`]),
    ...config.artifacts.map((one) => `  has       ${artifactLine(one)}`),
    ...config.removed.map((one) => `  removed   ${artifactLine(one)}: ${plain(`${one.how}, by ${one.by} ${one.at}`)}`),
    ...own.map((one) => `  corrected ${artifactLine(one.artifact)}: ${plain(`listed by mistake, says ${one.by} ${one.at}`)}`),
  ];
}

const logLines = ({ at, event, by, reason, removed, notRemovable, detail }: LogEntry): string[] => [
  `  ${plain(`${at} ${event} by ${by}: ${reason}`)}`,
  ...(detail === null ? [] : [`    ${plain(detail)}`]),
  ...removed.map((one) => `    removed ${plain(one)}`),
  ...notRemovable.map((one) => `    not removable ${plain(`${one.artifact}: ${one.reason} (${one.owner})`)}`),
];
