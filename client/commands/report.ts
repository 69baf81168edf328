/** `backout report`: the incident report of one rollback. */
import { writeFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import type { RecordEntry } from '../../model/record.ts';
import { findRollback } from '../find.ts';
import { note } from '../output.ts';
import { EXIT, Problem, said } from '../problem.ts';
import { readRollback } from '../read.ts';
import { markdownOf } from '../report/markdown.ts';
import { reportOf, type Report } from '../report/report.ts';
import type { Recorded } from '../report/timeline.ts';
import { withSession, type Session } from '../session.ts';

type Format = 'markdown' | 'json';
interface Options {
  readonly format?: Format;
  readonly out?: string;
}

export function register(program: Command): void {
  program
    .command('report')
    .argument('<id>', 'Workflow Id, rollback id, or the name of a component')
    .addOption(new Option('--format <format>', 'how it is written').choices(['markdown', 'json']))
    .option('--out <file>', 'write it there instead of to stdout')
    .description('incident report of a rollback: what happened, who said what, what remains, and how to verify it')
    .addHelpText(
      'after',
      '\nExamples:\n  $ backout report web\n  $ backout report deployRevert/production/web --out incident-42.md\n  $ backout report web --format json',
    )
    .action((id: string, options: Options, command: Command) => withSession(command, (session) => run(session, id, options)));
}

async function run(session: Session, id: string, { format = session.flags.json ? 'json' : 'markdown', out }: Options): Promise<void> {
  const report = await make(session, id);
  const text = format === 'json' ? `${JSON.stringify(report, null, 2)}\n` : markdownOf(report);
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

async function make(session: Session, id: string): Promise<Report> {
  const meant = await findRollback(session, id, true);
  const { state, source, remark } = await readRollback(session, meant);
  if (remark !== null) note(remark);
  const { recorded, problem } = await entriesOf(session, state.rollbackId);
  const sources = [
    source === 'worker' ? 'the state is what the workflow itself says' : `the state is put together from the record alone: ${remark ?? ''}`,
    problem === null ? `the timeline is from ${recorded.length} entries of the record` : `the timeline is from the state alone: ${problem}`,
  ];
  if (problem !== null) note(problem);
  return reportOf({ state, recorded, sources, madeAt: new Date().toISOString() });
}

/** The record makes the timeline; without it the state still says most of it. */
async function entriesOf(session: Session, rollbackId: string): Promise<{ recorded: Recorded[]; problem: string | null }> {
  try {
    const store = await session.store();
    if (!store) return { recorded: [], problem: 'no database is configured' };
    const recorded = (await store.entriesOf(rollbackId)).map(({ seq, body }) => ({ seq, entry: JSON.parse(body) as RecordEntry })); // The chain holds what our own writer put there; `backout audit` tells whether it still does.
    return recorded.length === 0 ? { recorded, problem: 'the record has nothing of it' } : { recorded, problem: null };
  } catch (error) {
    return { recorded: [], problem: said(error).message };
  }
}
