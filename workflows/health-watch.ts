/**
 * The watch after a success [product.md 4]. Starts by itself when a rollback has ended well; changes nothing, ever: if what was put back degrades, the incident
 * channel is told and a person is awaited. Ends `healthy` after its time, `superseded` when another version is in place, `degraded` when a person has answered.
 */
import { CancellationScope, condition, setDefaultSignalHandler, setHandler, setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import type { WatchWork, Watched } from '../activities/watch.ts';
import { parseMessage } from '../model/input.ts';
import { confirmSignal, messageUpdate, type MessageReply } from './messages.ts';
import { notify, watchHealth } from './proxies.ts';

const HELP = 'Seen, and taken care of: {"step":"degraded","by":"ana","note":"started an L1"}';

export interface WatchEnd {
  readonly verdict: Watched['verdict'];
  readonly detail: string | null;
  /** Who took care of it, self-declared. */
  readonly by: string | null;
  readonly note: string | null;
}

export async function healthWatch(work: WatchWork): Promise<WatchEnd> {
  let degraded: string | null = null;
  const said: { answer: { readonly by: string; readonly note: string | null } | null } = { answer: null };
  const receive = (payload: unknown): boolean => {
    const parsed = parseMessage('confirm', payload);
    if ('error' in parsed || parsed.value.step !== 'degraded' || degraded === null) return false;
    said.answer ??= { by: parsed.value.by, note: parsed.value.note };
    return true;
  };
  setHandler(
    confirmSignal,
    (payload) => {
      receive(payload);
    },
    { description: HELP },
  );
  setHandler(messageUpdate('confirm'), (payload): MessageReply => ({ accepted: receive(payload), state: degraded === null ? 'running' : 'waiting' }), {
    description: HELP,
  });
  // Whatever else is sent must not break a watch.
  setDefaultSignalHandler(() => undefined);
  setCurrentDetails(`Watching until ${work.until}. Nothing is asked of anybody.`);
  const watched = await watchHealth(work);
  if (watched.verdict !== 'degraded')
    return { verdict: watched.verdict, detail: watched.verdict === 'superseded' ? watched.detail : null, by: null, note: null };
  degraded = watched.detail;
  const next = `backout confirm ${workflowInfo().workflowId} --step degraded --by YOU --note "what you did"`;
  setCurrentDetails(`**Degraded**: ${watched.detail}\n\n${HELP}\n\nor \`${next}\``);
  await CancellationScope.nonCancellable(async () => {
    const at = new Date().toISOString();
    await notify({
      rollbackId: work.rollbackId,
      workflowId: work.workflowId,
      notice: 'degraded',
      text: `after the rollback: ${watched.detail}`,
      at,
      next: [next, `backout plan deployRevert --help`],
      machineMs: 0,
      humanMs: 0,
      entries: [],
    }).catch(() => undefined);
    await condition(() => said.answer !== null);
  });
  return { verdict: 'degraded', detail: watched.detail, by: said.answer?.by ?? null, note: said.answer?.note ?? null };
}
