/** Who is awaited for what, with the very words to answer: only such as the rules take now. */
import { stillToType, type Desk, type DeskStep } from '../model/answers.ts';
import { answerTo } from '../model/answer-to.ts';
import { deadEnds, unfreezeConditions } from '../model/conditions.ts';
import { openBefore } from '../model/ending.ts';
import { offersOf, type Offer } from '../model/offers.ts';
import { BLOCKED, type Waiting } from '../model/state.ts';
import type { Progress } from './progress.ts';
import { deskStepOf, type StepProgress } from './step-progress.ts';

const iso = (ms: number): string => new Date(ms).toISOString();

export function waitingOf(progress: Progress): Waiting[] {
  if (progress.closed) return [];
  const desk = progress.desk();
  const waits = progress.steps
    .filter((step) => step.state === 'waiting')
    .map((step) => (step.planned.id === 'unfreeze' ? unfreezing(progress, desk, step) : asked(progress, desk, step)));
  const beside = progress.steps.filter((step) => step.planned.beside && BLOCKED.has(step.state)).map((step) => decisionOn(progress, desk, step));
  return progress.stopReason() === null ? [...beside, ...waits] : [...decisionsAwaited(progress, desk), ...beside, ...waits];
}

/** What has to be answered before it may be closed; null while it is not stopped. */
export function beforeClose(progress: Progress): Waiting[] | null {
  if (progress.stopReason() === null) return null;
  const desk = progress.desk();
  const { finding, none, alive, rows } = openBefore(desk);
  const stepOf = ({ id }: DeskStep): StepProgress[] => progress.steps.filter((step) => step.planned.id === id);
  return [
    ...[...finding, ...rows].flatMap(stepOf).map((step) => asked(progress, desk, step)),
    ...[...none, ...alive].flatMap(stepOf).flatMap((step) => {
      const left = offersOf(desk, deskStepOf(step)).find((offer) => offer.action === 'skip');
      return left ? [{ ...awaited(progress, step), when: left.when, ...decided(progress, step, left) }] : [];
    }),
  ];
}

const awaited = (progress: Progress, { planned, endedAt }: StepProgress): Pick<Waiting, 'step' | 'for' | 'since'> => ({
  step: planned.id,
  for: planned.owner ?? 'operator',
  since: endedAt ?? iso(progress.clock.humanSinceMs ?? progress.identity.startedAtMs),
});

/** What steps have produced nobody types. */
function asked(progress: Progress, desk: Desk, { planned, startedAt }: StepProgress): Waiting {
  const items = planned.demands?.items && stillToType(desk, planned.demands);
  const { flags, json } = answerTo(items ? { ...planned, demands: { ...planned.demands, items } } : planned, progress.planHash);
  return {
    step: planned.id,
    for: planned.owner ?? 'operator',
    since: startedAt ?? '',
    answer: `backout confirm ${progress.identity.workflowId} --step ${planned.id} --by YOU${flags}`,
    json: `confirm ${JSON.stringify(json)}`,
  };
}

/** A yes that would be refused is not offered: what has to come first is. */
function unfreezing(progress: Progress, desk: Desk, step: StepProgress): Waiting {
  const plain = asked(progress, desk, step);
  const unmet = unfreezeConditions(desk.steps, desk.answers).filter((one) => !one.met);
  if (unmet.length === 0) return plain;
  const left = deadEnds(desk.steps, desk.answers).map((one) => one.id);
  const id = progress.identity.workflowId;
  if (left.length > 0) {
    const [how, message, json] = progress.stop
      ? (['close it', 'decide', { action: 'close', by: 'YOU', reason: 'WHY' }] as const)
      : (['stop, then close', 'stop', { by: 'YOU', reason: 'WHY' }] as const);
    return {
      ...plain,
      why: `${left.join(', ')} ${left.length === 1 ? 'was' : 'were'} left out, so nothing can be unfrozen here: ${how}; the freeze stays, and the incident's rollback is started again`,
      answer: `backout ${message} ${id}${progress.stop ? ' --action close' : ''} --by YOU --reason WHY`,
      json: `${message} ${JSON.stringify(json)}`,
    };
  }
  // What is awaited beside it, such as a notice that was not delivered, is offered by itself.
  const first = progress.steps.find((one) => BLOCKED.has(one.state));
  if (!first) return plain;
  const { answer, json } = decisionOn(progress, desk, first);
  return { ...plain, why: `"${unmet[0]?.condition ?? ''}" is not met yet: ${first.planned.id} first`, answer, json };
}

function decisionsAwaited(progress: Progress, desk: Desk): Waiting[] {
  const blocked = progress.blocked();
  if (!progress.stop && blocked.length > 0) return blocked.map((step) => decisionOn(progress, desk, step));
  return [
    {
      step: progress.next()?.planned.id ?? '',
      for: progress.policy.lead,
      since: iso(progress.clock.humanSinceMs ?? progress.identity.startedAtMs),
      answer: `backout resume ${progress.identity.workflowId} --by YOU --reason WHY`,
      json: 'resume {"by":"YOU","reason":"WHY"}',
    },
  ];
}

/** The likeliest is the answer, and the others beside it. */
function decisionOn(progress: Progress, desk: Desk, step: StepProgress): Waiting {
  const offers = offersOf(desk, deskStepOf(step));
  const last = offers.at(-1);
  const or = offers.slice(0, -1).map((offer) => ({ when: offer.when, ...decided(progress, step, offer) }));
  if (!last) return { ...awaited(progress, step), answer: `backout show ${progress.identity.workflowId}`, json: '' };
  return { ...awaited(progress, step), when: last.when, ...decided(progress, step, last), ...(or.length === 0 ? {} : { or }) };
}

const decided = (progress: Progress, { planned: { id } }: StepProgress, { action, flags, json }: Offer): Pick<Waiting, 'answer' | 'json'> => ({
  answer: `backout decide ${progress.identity.workflowId} --step ${id} --action ${action} --by YOU${flags}`,
  json: `decide ${JSON.stringify({ step: id, by: 'YOU', action, ...json })}`,
});
