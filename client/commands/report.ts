/** `backout report`: the report of one rollback, or the certificate of a deprovisioning. */
import { writeFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import type { Freeze } from '../../model/freeze.ts';
import { POLICIES } from '../../model/policy.ts';
import { entryOf } from '../../model/record.ts';
import type { RollbackState } from '../../model/state.ts';
import { findRollback } from '../find.ts';
import { note } from '../output.ts';
import { EXIT, Problem, said } from '../problem.ts';
import { readRollback } from '../read.ts';
import { stateFrom } from '../recorded.ts';
import { certificateFor, houseOf, type Certificate } from '../report/certificate.ts';
import { certificateMarkdown } from '../report/certificate-markdown.ts';
import { certificatePage } from '../report/certificate-page.ts';
import { followUpsDocument, followUpsMarkdown, markdownOf } from '../report/markdown.ts';
import { pageOf } from '../report/page.ts';
import type { Material } from '../report/reading.ts';
import { reportOf, type Report } from '../report/report.ts';
import type { Recorded } from '../report/timeline.ts';
import { withSession, type Session } from '../session.ts';

const FORMATS = ['markdown', 'json', 'html'] as const;
type Format = (typeof FORMATS)[number];
interface Options {
  readonly format?: Format;
  readonly followUps?: boolean;
  readonly certificate?: boolean;
  readonly out?: string;
}

export function register(program: Command): void {
  program
    .command('report')
    .argument('<id>', 'Workflow Id, rollback id, or the name of a component')
    .addOption(new Option('--format <format>', 'how it is written').choices(FORMATS))
    .option('--follow-ups', 'only what is left to do: a checklist with owners and due dates, in Markdown or JSON')
    .option('--certificate', 'of a deprovisioning: the page for the client, with what was removed, by whose confirmation, and what could not be')
    .option('--out <file>', 'write it there instead of to stdout')
    .description('report of a rollback: what happened, who decided, what was proven, what remains, and how to verify it')
    .addHelpText(
      'after',
      '\nExamples:\n  $ backout report web\n  $ backout report INC-42 --format html --out incident-42.html\n  $ backout report INC-42 --follow-ups >> TODO.md\n  $ backout report web --format json\n  $ backout report acme --certificate --format html --out acme.html',
    )
    .action((id: string, options: Options, command: Command) => withSession(command, (session) => run(session, id, options)));
}

async function run(session: Session, id: string, options: Options): Promise<void> {
  const { format = session.flags.json ? 'json' : 'markdown', followUps = false, certificate = false, out } = options;
  if (followUps && certificate)
    throw new Problem(EXIT.usage, 'usage', '--follow-ups and --certificate are two documents', 'ask for one of them; the certificate says what is left too');
  const write = followUps ? followUpsAs(format) : WRITERS[format];
  const material = await make(session, id);
  const report = reportOf(material);
  const text = certificate ? CERTIFICATES[format](await certificateOf(session, report, material)) : write(report);
  if (out === undefined) {
    process.stdout.write(text);
    return;
  }
  try {
    await writeFile(out, text);
  } catch (cause) {
    throw new Problem(
      EXIT.usage,
      'usage',
      `the report cannot be written to ${out}: ${cause instanceof Error ? cause.message : String(cause)}`,
      'name another file with --out',
      {},
      cause,
    );
  }
  if (session.flags.json) process.stdout.write(`${JSON.stringify({ id: report.id, rollbackId: report.rollbackId, format, out }, null, 2)}\n`);
  else note(`written to ${out}`);
}

const json = (document: unknown): string => `${JSON.stringify(document, null, 2)}\n`;
const WRITERS: Readonly<Record<Format, (report: Report) => string>> = { markdown: markdownOf, json, html: pageOf };
const FOLLOW_UPS: Readonly<Record<Exclude<Format, 'html'>, (report: Report) => string>> = {
  markdown: followUpsMarkdown,
  json: (report) => json(followUpsDocument(report)),
};

const CERTIFICATES: Readonly<Record<Format, (certificate: Certificate) => string>> = { markdown: certificateMarkdown, json, html: certificatePage };

async function certificateOf(session: Session, report: Report, material: Material): Promise<Certificate> {
  const loaded = await session.settings.config().catch(() => null);
  const certificate = certificateFor({ report, material, house: houseOf(loaded?.config.product) });
  if (!certificate.isCertificate) note(certificate.statement);
  return certificate;
}

function followUpsAs(format: Format): (report: Report) => string {
  if (format !== 'html') return FOLLOW_UPS[format];
  const remedy = 'leave out --format html; the whole report as HTML has them too';
  throw new Problem(EXIT.usage, 'usage', 'follow-ups are written as Markdown or JSON, not as HTML', remedy);
}

async function make(session: Session, id: string): Promise<Material> {
  const meant = await findRollback(session, id, true);
  const { state, source, remark } = await readRollback(session, meant);
  if (remark !== null) note(remark);
  const [{ recorded, head, problem }, freezes, earlier] = await Promise.all([
    entriesOf(session, state.rollbackId),
    freezesOf(session, state),
    earlierOf(session, state),
  ]);
  const sources = [
    source === 'worker' ? 'the state is what the workflow itself says' : `the state is put together from the record alone: ${remark ?? ''}`,
    problem === null ? `the timeline is from ${recorded.length} entries of the record` : `the timeline is from the state alone: ${problem}`,
  ];
  if (problem !== null) note(problem);
  return {
    state,
    recorded,
    sources,
    madeAt: new Date().toISOString(),
    earlier,
    ...(head ? { head } : {}),
    ...(freezes === null ? {} : { freezes }),
  };
}

/** How far back a tenant's earlier rollbacks are looked for. */
const EARLIER_MAX = 50;

/** What an earlier rollback of the same tenant took back is in no plan any more, and it was taken back all the same. */
async function earlierOf(session: Session, { kind, id, rollbackId, trigger }: RollbackState): Promise<Material[]> {
  if (POLICIES[kind].subject !== 'tenant') return [];
  const store = await session.store().catch(() => null);
  const events = (await store?.rollbacks({ workflowId: id, limit: EARLIER_MAX }).catch(() => [])) ?? [];
  const before = events
    .filter((one) => one.rollbackId !== rollbackId && one.openedAt < trigger.at)
    .toSorted((one, other) => one.openedAt.localeCompare(other.openedAt));
  const read = before.map(async (event): Promise<Material> => {
    const stored = (await store?.entriesOf(event.rollbackId).catch(() => [])) ?? [];
    const recorded = stored.map((one) => ({ seq: one.seq, entry: entryOf(one) }));
    return { state: stateFrom(event, stored), recorded, sources: [], madeAt: trigger.at };
  });
  return Promise.all(read);
}

/** A later rollback of the incident may have lifted what this one froze: only the register knows. Null: it cannot be read, or there is none. */
async function freezesOf(session: Session, { kind, id, incident }: RollbackState): Promise<Freeze[] | null> {
  if (POLICIES[kind].subject !== 'incident') return null;
  const name = incident ?? id.split('/')[2];
  const store = await session.store().catch(() => null);
  return store && name !== undefined ? store.freezes({ incident: name }).catch(() => null) : null;
}

/** The record makes the timeline; without it the state still says most of it. */
async function entriesOf(session: Session, rollbackId: string): Promise<{ recorded: Recorded[]; head: Material['head'] | null; problem: string | null }> {
  try {
    const store = await session.store();
    if (!store) return { recorded: [], head: null, problem: 'no database is configured' };
    const stored = await store.entriesOf(rollbackId);
    const recorded = stored.map((one) => ({ seq: one.seq, entry: entryOf(one) }));
    const last = stored.at(-1);
    return { recorded, head: last ? { seq: last.seq, hash: last.hash } : null, problem: last ? null : 'the record has nothing of it' };
  } catch (error) {
    return { recorded: [], head: null, problem: said(error).message };
  }
}
