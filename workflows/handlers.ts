/**
 * The message handlers. They judge, write down and answer; they never throw, never await and never act: the walk does.
 * A signal and an update of one name run the same code; only the update's validator may reject, and only what is malformed.
 */
import { ApplicationFailure, patched, setDefaultSignalHandler, setHandler } from '@temporalio/workflow';
import { judgeConfirm, judgeDecide, judgeDecline, judgeEscalate, judgeResume } from '../model/answers.ts';
import { judgeAssign, type No } from '../model/authority.ts';
import { judgeDue, judgeKnownRole, judgeLeft, judgeSame, type Later } from '../model/later-rules.ts';
import { declinedBy } from '../model/failure.ts';
import { waitsFor } from '../model/plan.ts';
import { parseMessage, type Confirm, type Decide, type Decline, type MessageName, type Messages } from '../model/input.ts';
import { POLICIES } from '../model/policy.ts';
import type { Refusal } from '../model/refusal.ts';
import { BLOCKED } from '../model/state.ts';
import {
  assignSignal,
  confirmSignal,
  decideSignal,
  declineSignal,
  escalateSignal,
  MESSAGE_HELP,
  messageUpdate,
  planQuery,
  resumeSignal,
  stateQuery,
  stopSignal,
  waitingQuery,
  whyQuery,
  type MessageReply,
} from './messages.ts';
import type { Progress } from './progress.ts';
import type { StepProgress } from './step-progress.ts';
import { neverBegun } from './tenant.ts';
import { waitingOf } from './awaited.ts';
import { viewOf } from './view.ts';
import { whyOf } from './details.ts';
import { draw } from './telling.ts';

const SIGNALS = {
  confirm: confirmSignal,
  decline: declineSignal,
  decide: decideSignal,
  stop: stopSignal,
  resume: resumeSignal,
  escalate: escalateSignal,
  assign: assignSignal,
} as const;

/** Registers everything synchronously, before the first await: an update that arrives earlier would be rejected. */
export function installHandlers(progress: Progress): void {
  for (const name of Object.keys(SIGNALS) as MessageName[]) install(progress, name); // The keys are the message names.
  setDefaultSignalHandler((name) => {
    progress.refuse(
      'unknown-message',
      `there is no message ${JSON.stringify(name.slice(0, 100))}; the messages are ${Object.keys(SIGNALS).join(', ')}`,
      'unknown',
      Date.now(),
      name.slice(0, 100),
    );
  });
  setHandler(stateQuery, () => viewOf(progress, Date.now()), { description: 'The whole state, as JSON' });
  setHandler(waitingQuery, () => waitingOf(progress), { description: 'Who is awaited, for what, and what to send' });
  setHandler(planQuery, () => progress.plan, { description: 'The plan, as it was hashed' });
  setHandler(whyQuery, () => whyOf(progress), { description: 'Why was rollback executed, and to which version?' });
}

function install(progress: Progress, name: MessageName): void {
  const description = MESSAGE_HELP[name];
  setHandler(
    SIGNALS[name],
    (payload) => {
      receive(progress, name, payload);
    },
    { description },
  );
  setHandler(
    messageUpdate(name),
    (payload): MessageReply => {
      const refusal = receive(progress, name, payload);
      return refusal ? { accepted: false, refusal, state: progress.name() } : { accepted: true, state: progress.name() };
    },
    {
      description,
      validator: (payload) => {
        const parsed = parseMessage(name, payload);
        if ('error' in parsed) throw ApplicationFailure.nonRetryable(`${name}: ${parsed.error}. Expected: ${description}`, 'Malformed');
      },
    },
  );
}

function receive(progress: Progress, name: MessageName, payload: unknown): Refusal | null {
  const now = Date.now();
  const parsed = parseMessage(name, payload);
  if ('error' in parsed) return progress.refuse('malformed', `${name}: ${parsed.error}. Expected: ${MESSAGE_HELP[name]}`, 'unknown', now, name);
  const message = parsed.value;
  const no = RECEIVERS[name](progress, message as never, now); // parseMessage ties the name to its message; the table cannot say so.
  const refusal = no ? progress.refuse(no.rule, no.explanation, message.by, now, name) : null;
  draw(progress);
  return refusal;
}

const RECEIVERS: { [N in MessageName]: (progress: Progress, message: Messages[N], nowMs: number) => No } = {
  confirm,
  decline,
  decide,
  stop(progress, message, now) {
    if (progress.closed || progress.ending) return { rule: 'closed', explanation: 'the rollback is closed; there is nothing to stop' };
    if (progress.stop) return null;
    progress.stop = message;
    progress.answered({ name: 'stop', step: null, ...message }, now);
    return null;
  },
  resume(progress, message, now) {
    const no = judgeResume(progress.desk(), message);
    if (no) return no;
    progress.stop = null;
    progress.answered({ name: 'resume', step: null, ...message }, now);
    return null;
  },
  escalate(progress, message, now) {
    if (progress.incident === null) return judgeEscalate(progress.desk(), message);
    // What an earlier version has begun has heard no to this, and is replayed so.
    if (!patched('escalate'))
      return {
        rule: 'kind-not-built',
        explanation: `${message.to} is a known level whose plan is not built in this version; nothing was changed, and the freeze stays`,
      };
    const no = judgeEscalate(progress.desk(), message);
    if (no) return no;
    const level = POLICIES[message.to].level ?? 0;
    const asked = Math.max(progress.policy.level ?? 0, POLICIES[progress.escalation?.to ?? 'l1Rollback'].level ?? 0);
    if (level <= asked) return saysOtherwise(progress, message);
    // What was said of databases with a lower one that is not planned yet still holds.
    progress.escalation = { ...progress.escalation, ...message };
    progress.answered({ name: 'escalate', step: null, ...message }, now);
    return null;
  },
  assign(progress, message, now) {
    const no = judgeAssign(progress.desk(), message) ?? since('known-role', judgeKnownRole(progress.desk(), message));
    if (no) return no;
    // Of a role that nobody else may fill it counts who has given it, also to who has it already.
    const counts = progress.steps.some((step) => step.planned.only && step.planned.owner === message.role);
    if (progress.assign(message.role, message.to) || counts) progress.answered({ name: 'assign', step: null, ...message }, now);
    return null;
  },
};

/** What an earlier version has accepted is accepted again where its history is replayed. */
const since = (rule: Later, no: No): No => (no !== null && patched(rule) ? no : null);

/** The same again changes nothing; how the same level goes back is part of its plan, and is not taken for said. */
function saysOtherwise(progress: Progress, message: Messages['escalate']): No {
  const { escalation, plan } = progress;
  const { to, recover, window } = message;
  const known = escalation ?? plan;
  const isSame = (mine: unknown, theirs: unknown): boolean => mine === undefined || JSON.stringify(mine) === JSON.stringify(theirs);
  if (isSame(recover, known?.recover) && isSame(window, known?.window)) return since('same-level', judgeSame(progress.desk(), message, progress.kind));
  return {
    rule: 'level',
    explanation: `this rollback is at ${escalation?.to ?? plan?.kind ?? to} already, and how it goes back is part of that plan: decide about its steps, or say it with a higher level`,
  };
}

function confirm(progress: Progress, message: Confirm, now: number): No {
  const no = judgeConfirm(progress.desk(), message);
  if (no) return no;
  const step = progress.step(message.step);
  if (!step || step.state === 'confirmed') return null;
  if (step.planned.approval) {
    if (step.approval) return null;
    const { by, choice, note } = message;
    // An earlier no that was kept is taken back by it.
    progress.kept.delete(message.step);
    Object.assign(step, { state: 'pending', approval: { by, choice, note } });
    progress.answered({ name: 'confirm', ...message }, now);
    return null;
  }
  if (step.planned.beside) {
    if (progress.incident?.asks(message)) progress.answered({ name: 'confirm', ...message }, now);
    return null;
  }
  if (step.state === 'pending' && !step.planned.demands?.lists) {
    if (progress.kept.get(message.step)?.kind === 'confirm') return null;
    progress.kept.set(message.step, { kind: 'confirm', message });
  } else {
    Object.assign(step, { state: 'confirmed', endedAt: new Date(now).toISOString() });
    progress.incident?.confirmed(message.step, message, new Date(now).toISOString());
  }
  progress.answered({ name: 'confirm', ...message }, now);
  return null;
}

function decline(progress: Progress, message: Decline, now: number): No {
  const no = judgeDecline(progress.desk(), message);
  if (no) return no;
  const step = progress.step(message.step);
  if (!step || step.state === 'declined') return null;
  step.approval = null;
  if (step.state === 'pending') progress.kept.set(message.step, { kind: 'decline', message });
  else Object.assign(step, { state: 'declined', endedAt: new Date(now).toISOString(), failure: declinedBy(message) });
  progress.answered({ name: 'decline', ...message }, now);
  // What was only proposed and is declined was never begun.
  if (message.step === 'declaration') {
    progress.refuse('declaration', `${message.by} declined to declare rollback mode: ${message.reason}`, message.by, now, 'decline');
    progress.closing = { by: message.by, reason: message.reason };
  }
  return null;
}

/** `all`: one message for every step that it can be about, so that hundreds of answers cannot be cut off half-way. */
const ALL = 'all';

function decideAll(progress: Progress, message: Decide, now: number): No {
  // What a person has confirmed is carried out, and looked at.
  const isSaid = ({ planned, approval }: StepProgress): boolean =>
    approval !== null || (planned.operation === 'look' && progress.step(planned.after ?? '')?.state === 'confirmed');
  const isOpen = (step: StepProgress): boolean =>
    (step.planned.removal === true || step.planned.wave !== undefined) && (step.state === 'waiting' || step.state === 'pending') && !isSaid(step);
  const about = progress.steps.filter((step) => BLOCKED.has(step.state) || (message.action === 'skip' && isOpen(step)));
  const said = about
    .filter(({ planned }) => message.action !== 'skip' || !planned.mandatory)
    .map(({ planned }) => decide(progress, { ...message, step: planned.id }, now));
  if (said.length === 0) return { rule: 'not-failed', explanation: 'no step waits for such a decision' };
  return said.includes(null) ? null : (said[0] ?? null);
}

function decide(progress: Progress, message: Decide, now: number): No {
  if (message.step === ALL && message.action !== 'close') return decideAll(progress, message, now);
  const desk = progress.desk();
  const no = judgeDecide(desk, message) ?? since('skip-of-schema', judgeLeft(desk, message)) ?? since('due-is-over', judgeDue(message, now, Date.parse));
  if (no) return no;
  const told = progress.step(message.step ?? '');
  // What he decides about counts as far as he was told of it.
  const accepts = told?.planned.place !== undefined && told.failure ? { accepts: told.failure.type } : {};
  progress.answered({ name: 'decide', ...message, ...accepts }, now);
  if (message.action === 'close') {
    progress.closing = { by: message.by, reason: message.reason };
    neverBegun(progress, message, now);
    return null;
  }
  const step = progress.step(message.step ?? '');
  if (!step) return null;
  if (message.action === 'done' && step.planned.operation === 'communicate') Object.assign(step, { state: 'confirmed', endedAt: new Date(now).toISOString() });
  else if (message.action === 'done') step.doneSaidBy = message.by;
  else if (message.action === 'skip') {
    Object.assign(step, { state: 'skipped', held: false, endedAt: new Date(now).toISOString() });
    // What was left is not proven gone either.
    const proofs = progress.steps.filter(
      ({ planned, state }) =>
        planned.removal &&
        planned.operation !== 'release' &&
        planned.after !== undefined &&
        waitsFor(planned.after, step.planned.id) &&
        (state === 'pending' || state === 'waiting'),
    );
    for (const proof of proofs) decide(progress, { ...message, step: proof.planned.id }, now);
  } else {
    // Who goes on with a changed configuration goes on with it for the whole component.
    const accepts = step.failure?.type === 'ConfigurationChanged';
    if (accepts && step.planned.component !== null)
      for (const one of progress.steps) if (one !== step && one.planned.component === step.planned.component && one.state === 'pending') one.generation += 1;
    // One decision lets everything go on that the clock has held.
    for (const one of step.held ? progress.steps.filter((other) => other.held && (!other.planned.only || other === step)) : [step]) progress.retry(one);
    lookAgain(progress, step);
  }
  return null;
}

/** What was declined is not asked again before it was looked at again: what the gates saw, or what the plan shows, is no longer believed. */
function lookAgain(progress: Progress, { planned: { id, mode } }: StepProgress): void {
  if (mode !== 'manual') return;
  const seen = (step: StepProgress): boolean => {
    if (id === 'target') return step.planned.operation === 'identify';
    if (id === 'unfreeze') return step.planned.operation === 'stability';
    if (id === 'inventory') return step.planned.operation === 'inventory';
    if (id === 'routes') return step.planned.id.startsWith('webhook.');
    if (id === 'completion') return step.planned.operation === 'remnants';
    return id === 'availability' && step.planned.mode === 'gate';
  };
  for (const step of progress.steps) if (seen(step)) progress.retry(step);
}
