/** `backout audit`: verifies the record, replays the histories, compares their values, and reconciles all of it. Only reads. */
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Command } from 'commander';
import type { Auditor, Evidence, HistoryFile } from '../audit/audit.ts';
import type { Audit } from '../audit/result.ts';
import { findRollback, type Meant } from '../find.ts';
import { textOf } from '../audit/text.ts';
import { paint, print, width } from '../output.ts';
import { EXIT, Problem, said } from '../problem.ts';
import { withSession, type Session } from '../session.ts';

export function register(program: Command): void {
  program
    .command('audit')
    .argument('[what...]', 'Workflow Id, rollback id or the name of a component; or files with exported histories (*.json)')
    .option('--all', 'every rollback of the record and of Temporal')
    .description(
      'verify the record, replay the histories offline, compare their values, and reconcile both; exit code 1 where something is not as it was written',
    )
    .addHelpText(
      'after',
      [
        '',
        'Examples:',
        '  $ backout audit deployRevert/production/web',
        '  $ backout audit --all --json',
        '  $ temporal workflow show -w deployRevert/production/web -o json > history.json && backout audit history.json',
        '',
        'What is audited is the record and the histories; and that what the record says was issued, installed and revoked is in ops.credential_generations.',
        'ops.deployments, ops.rollback_events and ops.migration_history are working copies, and are not audited.',
        'A file is audited offline. Without Postgres only its replay and its values can be checked, and the audit says so.',
      ].join('\n'),
    )
    .action((what: string[], { all = false }: { all?: boolean }, command: Command) => withSession(command, (session) => run(session, what, all)));
}

async function run(session: Session, what: readonly string[], all: boolean): Promise<void> {
  if (all === what.length > 0)
    throw new Problem(
      EXIT.usage,
      'usage',
      all ? '--all is everything already' : 'nothing to audit was named',
      'name rollbacks or files, or say --all: `backout audit deployRevert/production/web`',
    );
  const files = await Promise.all(what.filter(isFile).map(readHistory));
  const names = what.filter((one) => !isFile(one));
  const { Auditor } = await import('../audit/audit.ts');
  const { evidence, away } = await gather(session, files.length > 0 && names.length === 0);
  const auditor = new Auditor(evidence);
  for (const reason of away) auditor.findings.skip(reason);
  const chain = await auditor.record();
  for (const file of files) await auditor.file(file);
  for (const name of names) await one(auditor, evidence, await findRollback(session, name, true), name);
  if (all) for (const id of await everything(evidence, chain?.rollbacks.values() ?? [])) await auditor.workflow(id);
  const audit = await auditor.end();
  show(session, audit);
  // What only Temporal holds could not be looked at: that is no clean audit.
  if (audit.ok && !evidence.temporal && files.length === 0 && audit.checked.some((one) => one.runs.length === 0)) process.exitCode = EXIT.unreachable;
}

const isFile = (what: string): boolean => /\.json$/i.test(what);

async function readHistory(name: string): Promise<HistoryFile> {
  try {
    return { name, text: await readFile(name, 'utf8') };
  } catch (cause) {
    throw new Problem(EXIT.usage, 'unknown-name', `${name} cannot be read`, 'name a file as written by `temporal workflow show -o json`', {}, cause);
  }
}

async function one(auditor: Auditor, { temporal }: Evidence, meant: Meant, name: string): Promise<void> {
  if ((await auditor.workflow(meant.id, meant.rollbackId ?? null)) > 0) return;
  if (!temporal)
    throw new Problem(
      EXIT.unreachable,
      'temporal-unreachable',
      `the record has nothing of ${name}, and Temporal could not be asked`,
      'start Temporal, or correct --address or TEMPORAL_ADDRESS',
    );
  throw new Problem(EXIT.usage, 'unknown-name', `neither the record nor Temporal knows ${name}`, 'see `backout list`');
}

async function everything({ temporal }: Evidence, inRecord: Iterable<{ readonly workflowIds: ReadonlySet<string> }>): Promise<string[]> {
  const ids = new Set([...inRecord].flatMap((rollback) => [...rollback.workflowIds]));
  for (const id of (await temporal?.workflowIds()) ?? []) ids.add(id);
  return [...ids].toSorted();
}

/** For files both may be missing; without the record nothing else can be audited. */
async function gather(session: Session, offline: boolean): Promise<{ evidence: Evidence; away: string[] }> {
  const away: string[] = [];
  const store = offline ? await session.store() : await session.requireStore();
  const reachable =
    (await store?.ping().then(
      () => true,
      (error: unknown) => {
        if (!offline) throw error;
        away.push(`the record: ${said(error).message}`);
        return false;
      },
    )) ?? false;
  const temporal = await session.temporal().catch((error: unknown) => {
    if (!offline) away.push(`what only Temporal knows, such as runs that were never exported: ${said(error).message}`);
    return null;
  });
  const [{ temporalSource }, { workflowBundle, PAYLOAD_CONVERTER }, { checkpointFile }] = await Promise.all([
    import('../audit/sources.ts'),
    import('../../worker/bundle.ts'),
    import('../../worker/checkpoints.ts'),
  ]);
  const file = checkpointFile(dirname(session.settings.configPath));
  const text = await readFile(file, 'utf8').catch(() => null);
  const { codePath } = await workflowBundle();
  return {
    away,
    evidence: {
      store: reachable ? store : null,
      temporal: temporal && temporalSource(temporal.client),
      code: { codePath, payloadConverterPath: PAYLOAD_CONVERTER },
      checkpoints: { file, text },
    },
  };
}

function show(session: Session, audit: Audit): void {
  const style = { good: (text: string) => paint('green', text), bad: (text: string) => paint('red', text), faint: (text: string) => paint('dim', text) };
  print(session.flags.json, audit, () => textOf(audit, { ...style, width: width() }).join('\n'));
  if (!audit.ok) process.exitCode = EXIT.failed;
}
