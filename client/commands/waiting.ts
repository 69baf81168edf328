/** `backout waiting`: everybody who is awaited, over all open rollbacks, with what to type. */
import type { Command } from 'commander';
import type { Waiting } from '../../model/state.ts';
import { listRollbacks } from '../find.ts';
import { note, paint, print } from '../output.ts';
import { personOf } from '../person.ts';
import { said } from '../problem.ts';
import { readRollback } from '../read.ts';
import { withSession } from '../session.ts';
import { answersTo } from '../view.ts';
import { ago } from '../words.ts';

interface Awaited extends Waiting {
  readonly id: string;
  readonly rollbackId: string;
  readonly state: string;
}

/** A worker answers this many at once without others waiting for it. */
const AT_ONCE = 10;

export function register(program: Command): void {
  program
    .command('waiting')
    .description('who is awaited, for what, and what to type')
    .option('--role <role>', 'only what this role is awaited for')
    .option('--overview', 'one line for each rollback and role: for many at once')
    .addHelpText('after', '\nExamples:\n  $ backout waiting --role operator\n  $ backout waiting --overview')
    .action((options: { role?: string; overview?: true }, command: Command) => waiting(options.role, options.overview === true, command));
}

const waiting = (role: string | undefined, isOverview: boolean, command: Command): Promise<void> =>
  withSession(command, async (session) => {
    const { rollbacks } = await listRollbacks(session, { openOnly: true });
    const awaited: Awaited[] = [];
    const lines: string[] = [];
    for (let from = 0; from < rollbacks.length; from += AT_ONCE) {
      const readings = await Promise.all(
        rollbacks.slice(from, from + AT_ONCE).map((one) =>
          readRollback(session, { id: one.id }).catch((error: unknown) => {
            note(`${one.id}: ${said(error).message}`);
            return null;
          }),
        ),
      );
      for (const reading of readings) {
        if (!reading) continue;
        const { state, remark } = reading;
        if (remark !== null) note(`${state.id}: ${remark}`);
        const wanted = state.waiting.filter((one) => role === undefined || one.for === role);
        awaited.push(...wanted.map((one) => ({ ...one, id: state.id, rollbackId: state.rollbackId, state: state.state })));
        for (const one of wanted) {
          const answers = answersTo(state, one, personOf(undefined));
          const wide = Math.max(...answers.map((answer) => answer.what.length));
          lines.push(
            `${paint('yellow', one.for)}  ${one.step === '' ? state.state : one.step}  ${paint('dim', `${state.id}, ${ago(one.since === '' ? state.trigger.at : one.since, Date.now())}`)}`,
            ...(one.why === undefined ? [] : [`  not yet: ${one.why}`]),
            // Of a yes or a no the yes is what is awaited; of decisions each may be the right one.
            ...(one.or
              ? answers.map((answer) => `  ${paint('dim', answer.what.padEnd(wide))}  ${paint('bold', answer.line)}`)
              : [`  ${paint('bold', answers.at(-1)?.line ?? one.answer)}`]),
            '',
          );
        }
      }
    }
    print(session.flags.json, { waiting: awaited }, () =>
      lines.length === 0
        ? `nobody is awaited${role === undefined ? '' : ` as ${role}`}`
        : isOverview
          ? overview(awaited).join('\n')
          : lines.slice(0, -1).join('\n'),
    );
  });

/** Who is awaited where, for how many steps and since when. */
function overview(awaited: readonly Awaited[]): string[] {
  const groups = Object.values(Object.groupBy(awaited, (one) => `${one.id} ${one.for}`)).filter((all) => all !== undefined);
  const rows = groups.map((all) => {
    const [first] = all;
    const since = all
      .map((one) => one.since)
      .filter((one) => one !== '')
      .toSorted()[0];
    const steps = all.map((one) => one.step);
    return [
      first?.id ?? '',
      first?.state ?? '',
      first?.for ?? '',
      `${all.length} ${all.length === 1 ? 'step' : 'steps'}`,
      since === undefined ? '' : ago(since, Date.now()),
      `${steps.slice(0, 3).join(', ')}${steps.length > 3 ? ', …' : ''}`,
    ];
  });
  const wide = [0, 1, 2, 3, 4].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(wide[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
