/** `backout waiting`: everybody who is awaited, over all open rollbacks, with what to type. */
import type { Command } from 'commander';
import type { Waiting } from '../../model/state.ts';
import { listRollbacks } from '../find.ts';
import { note, paint, print } from '../output.ts';
import { personOf } from '../person.ts';
import { said } from '../problem.ts';
import { readRollback } from '../read.ts';
import { withSession } from '../session.ts';
import { nextCommands } from '../view.ts';
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
    .addHelpText('after', '\nExample:\n  $ backout waiting --role operator')
    .action((options: { role?: string }, command: Command) => waiting(options.role, command));
}

const waiting = (role: string | undefined, command: Command): Promise<void> =>
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
          const last = nextCommands({ ...state, waiting: [one] }, personOf(undefined)).at(-1)?.line ?? one.answer;
          lines.push(
            `${paint('yellow', one.for)}  ${one.step === '' ? state.state : one.step}  ${paint('dim', `${state.id}, ${ago(one.since === '' ? state.trigger.at : one.since, Date.now())}`)}`,
            `  ${paint('bold', last)}`,
            '',
          );
        }
      }
    }
    print(session.flags.json, { waiting: awaited }, () =>
      lines.length === 0 ? `nobody is awaited${role === undefined ? '' : ` as ${role}`}` : lines.slice(0, -1).join('\n'),
    );
  });
