/** `backout plan`: what a rollback would do, made by the worker, where the credentials are. */
import type { Command } from 'commander';
import type { Planned } from '../../activities/inspect.ts';
import { isKind, POLICIES } from '../../model/policy.ts';
import { askWorker } from '../ask.ts';
import { note, paint, print } from '../output.ts';
import { EXIT, Problem } from '../problem.ts';
import { requestOf, requestOptions, type RequestFlags } from '../request.ts';
import { withSession } from '../session.ts';
import { plain } from '../words.ts';

export function register(program: Command): void {
  requestOptions(program.command('plan').description('the steps a rollback would take; changes nothing'))
    .addHelpText('after', '\nExample:\n  $ backout plan deployRevert --environment production --component web --to last-healthy')
    .action((kind: string, flags: RequestFlags, command: Command) => plan(kind, flags, command));
}

/** Where it is not the request that has to be another one. */
const REMEDY: Readonly<Record<string, string>> = {
  configuration: 'mend backout.yaml, or what it refers to on the worker; nothing was started',
  'platform-unavailable':
    'see that the worker reaches it as backout.yaml says (`backout doctor`), or leave it out: level 1, or --recover DATABASE=by-hand; nothing was started',
  'unknown-platform': 'mend backout.yaml; nothing was started',
};

const plan = (kindText: string, flags: RequestFlags, command: Command): Promise<void> =>
  withSession(command, async (session) => {
    const { kind, input } = requestOf(kindText, {
      ...flags,
      cause: flags.cause ?? POLICIES[isKind(kindText) ? kindText : 'deployRevert'].causes.at(-1) ?? '',
      reason: flags.reason ?? 'plan only',
    });
    const planned = await askWorker(session, { ask: 'plan', kind, input });
    const { refusal } = planned;
    if (refusal)
      throw new Problem(
        EXIT.refused,
        'refused',
        `a start would be refused: ${refusal.explanation} ${refusal.source}`,
        REMEDY[refusal.rule] ?? 'change what was asked for; nothing was started',
        { id: planned.workflowId, refusal },
      );
    for (const warning of planned.warnings) note(`! ${plain(warning)}`);
    print(session.flags.json, { workflowId: planned.workflowId, plan: planned.plan, planHash: planned.planHash, warnings: planned.warnings }, () =>
      lines(planned).join('\n'),
    );
  });

function lines({ plan: made, planHash, workflowId }: Planned): string[] {
  if (!made) return [`no plan for ${workflowId}`];
  const wide = Math.max(...made.steps.map((step) => step.id.length));
  return [
    paint(
      'bold',
      made.artifacts
        ? `${plain(made.tenant ?? '')}: ${made.artifacts.length} artifacts of ${(made.requests ?? []).map(plain).join(', ') || 'no open request'}`
        : made.targets.map((target) => `${target.component}  ${plain(target.from ?? '?')} → ${plain(target.to)}`).join(',  '),
    ),
    paint('dim', `${workflowId}   ${planHash ?? ''}`),
    ...(made.targetSeconds === null ? [] : [`within ${made.targetSeconds} s of machine time`]),
    ...(made.window === undefined
      ? []
      : [`damaged from ${made.window.from} to ${made.window.to}: what was deleted then is put back (--window says otherwise)`]),
    '',
    ...made.steps.map(
      (step, index) =>
        `${String(index + 1).padStart(2)}  ${step.id.padEnd(wide)}  ${paint('dim', `${step.mode.padEnd(9)}  ${plain(step.title)}${step.afterFailure ? ', only if something cannot be removed' : ''}${step.mode === 'manual' || step.approval ? ` (${step.owner ?? 'operator'})` : ''}`)}`,
    ),
    '',
    'Nothing was changed.',
  ];
}
