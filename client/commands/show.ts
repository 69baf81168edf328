/** `backout show` and `backout why`: one rollback. */
import type { Command } from 'commander';
import type { RollbackState } from '../../model/state.ts';
import { findRollback } from '../find.ts';
import { note, print, width } from '../output.ts';
import { personOf } from '../person.ts';
import { readRollback } from '../read.ts';
import { withSession } from '../session.ts';
import { aheadOf, render, stateWord } from '../view.ts';
import { plain } from '../words.ts';

export function register(program: Command): void {
  program
    .command('show')
    .argument('<id>', 'Workflow Id, rollback id, or the name of a component')
    .description('one rollback: what happened, what now, and the exact next command')
    .addHelpText('after', '\nExamples:\n  $ backout show web\n  $ backout show deployRevert/production/web --json')
    .action((id: string, _: unknown, command: Command) => show(id, command));
  program
    .command('why')
    .argument('<id>', 'Workflow Id, rollback id, or the name of a component')
    .description('why was the rollback executed, to which version, and what does it wait for?')
    .addHelpText('after', '\nExample:\n  $ backout why web')
    .action((id: string, _: unknown, command: Command) => why(id, command));
}

const show = (text: string, command: Command): Promise<void> =>
  withSession(command, async (session) => {
    const { state, remark } = await readRollback(session, await findRollback(session, text, true));
    if (remark !== null) note(remark);
    const nowMs = Date.now();
    print(session.flags.json, state, () =>
      render(state, { width: width(), nowMs, aheadSeconds: remark === null ? aheadOf(state, nowMs) : 0, by: personOf(undefined) }).join('\n'),
    );
  });

const why = (text: string, command: Command): Promise<void> =>
  withSession(command, async (session) => {
    const { state, remark } = await readRollback(session, await findRollback(session, text, true));
    if (remark !== null) note(remark);
    print(
      session.flags.json,
      {
        id: state.id,
        rollbackId: state.rollbackId,
        state: state.state,
        outcome: state.outcome,
        trigger: state.trigger,
        targets: state.targets,
        waiting: state.waiting,
        why: whyOf(state),
      },
      () => whyOf(state),
    );
  });

/** The sentences of the query `why`, from the state: so that the record can answer too. */
function whyOf(state: RollbackState): string {
  const { trigger } = state;
  const where = state.targets.map((target) => `${target.component} ${target.from ?? '?'} → ${target.to}`).join(', ');
  const refused = state.refusals.at(-1);
  return [
    `${plain(trigger.by)} started it at ${trigger.at} (${trigger.type}, ${trigger.cause}): ${plain(trigger.reason)}.`,
    state.deprovision
      ? `It takes back ${state.deprovision.artifacts.length} artifacts of ${plain(state.tenant ?? '')}: ${state.deprovision.requests.map(plain).join(', ') || 'no open request'}${state.deprovision.status === null ? ', not begun' : `, ${state.deprovision.status}`}.`
      : where === ''
        ? `Nothing was planned for ${state.components.join(', ') || plain(state.tenant ?? '')}.`
        : `To: ${plain(where)}.`,
    ...(state.outcome === null ? [`It is ${stateWord(state)}.`] : [`It ended ${state.outcome}.`]),
    ...(state.outcome === 'refused' && refused ? [`Refused: ${plain(refused.explanation)} ${refused.source}.`] : []),
    ...(state.stopped === null ? [] : [`Stopped: ${plain(state.stopped)}.`]),
    ...state.waiting.map((one) => `Waiting for ${one.for}${one.step === '' ? '' : ` (${one.step})`}: ${one.answer}`),
  ].join('\n');
}
