/** What a judge sees of one run. */
import type { Desk } from '../model/answers.ts';
import type { Progress } from './progress.ts';
import { deskStepOf } from './step-progress.ts';

export const deskOf = (progress: Progress): Desk => ({
  id: progress.identity.workflowId,
  policy: progress.policy,
  planHash: progress.planHash,
  starter: progress.starter ?? progress.input?.by ?? '',
  people: progress.settings?.people ?? null,
  assigned: progress.assigned,
  stopRequested: progress.stop !== null,
  escalating: progress.escalation !== null,
  closing: progress.closing !== null,
  closed: progress.closed || progress.ending,
  kept: new Set([...progress.kept].flatMap(([id, { kind }]) => (kind === 'confirm' ? [id] : []))),
  answers: progress.answers,
  steps: progress.steps.map(deskStepOf),
});
