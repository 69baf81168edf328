/** The doors of a rollback: each message is a signal and an update of the same name, with one JSON object [product.md 6]. */
import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type { Plan } from '../model/plan.ts';
import type { Refusal } from '../model/refusal.ts';
import type { RollbackState, RollbackStateName, Waiting } from '../model/state.ts';
import type { MessageName } from '../model/input.ts';

/** What an update answers. A refusal is accepted and recorded; only what is malformed is rejected, and leaves no trace. */
export interface MessageReply {
  readonly accepted: boolean;
  readonly refusal?: Refusal;
  readonly state: RollbackStateName;
}

/** What each message is for, with JSON to copy: shown by the dialogs of the Temporal UI and by `temporal workflow metadata`. */
export const MESSAGE_HELP: Readonly<Record<MessageName, string>> = {
  confirm: 'Yes to a waiting step: {"step":"availability","by":"ana","note":"checked the shop"}',
  decline: 'No to a waiting step: {"step":"availability","by":"ana","reason":"checkout still fails"}',
  decide:
    'What to do about a failed step: {"step":"web.deploy","by":"ana","action":"retry","reason":"disk was full","analysis":"freed 20 GB"}; action is retry, skip, done or close',
  stop: 'Finish the operation in flight and change nothing further: {"by":"ana","reason":"wrong component"}',
  resume: 'Go on after a stop: {"by":"ana","reason":"checked, it was right"}',
  escalate: 'Raise the level of an incident rollback: {"to":"l2Rollback","by":"ana","reason":"data is affected"}',
  assign: 'Hand a role to somebody: {"role":"operator","to":"ben","by":"ana","reason":"end of shift"}',
};

export const confirmSignal = defineSignal<[unknown]>('confirm');
export const declineSignal = defineSignal<[unknown]>('decline');
export const decideSignal = defineSignal<[unknown]>('decide');
export const stopSignal = defineSignal<[unknown]>('stop');
export const resumeSignal = defineSignal<[unknown]>('resume');
export const escalateSignal = defineSignal<[unknown]>('escalate');
export const assignSignal = defineSignal<[unknown]>('assign');

export const messageUpdate = (name: MessageName) => defineUpdate<MessageReply, [unknown]>(name);

export const stateQuery = defineQuery<RollbackState>('state');
export const waitingQuery = defineQuery<readonly Waiting[]>('waiting');
export const planQuery = defineQuery<Plan | null>('plan');
export const whyQuery = defineQuery<string>('why');
