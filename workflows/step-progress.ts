/** A step on its way, as one run sees it. */
import type { DeskStep } from '../model/answers.ts';
import type { Confirm } from '../model/input.ts';
import type { PlannedStep } from '../model/plan.ts';
import { textOf } from '../model/field.ts';
import type { Answer, Failure, Receipt, Remaining, StepState } from '../model/state.ts';

export interface StepProgress {
  /** As the plan has it; another plan of the same rollback may say otherwise. */
  planned: PlannedStep;
  state: StepState;
  /** Raised by each decision to retry; part of the operation id. */
  generation: number;
  attempts: number;
  /** How often this run has handed it to an activity. */
  tries: number;
  startedAt: string | null;
  endedAt: string | null;
  receipt: Receipt | null;
  failure: Failure | null;
  /** The clock has run out before this change; a person has to let it go on. */
  held: boolean;
  /** A person let it go on after the breach. */
  granted: boolean;
  /** Who says that it is done; an inspection has to agree. */
  doneSaidBy: string | null;
  /** An earlier run may have acted on it. */
  mayHaveActed: boolean;
  /** Parts that were left in between. */
  remains: readonly Remaining[];
  /** The role it was handed over to. */
  handedTo: string | null;
  /** A person's word that it may run, and how; null where none was given, or none is needed. */
  approval: Pick<Confirm, 'by' | 'choice' | 'note'> | null;
  /** When it had ended as the request's FAILED was last written for it; null before. */
  failureSaid: string | null;
}

export const newStep = (planned: PlannedStep): StepProgress => ({
  planned,
  state: planned.irreversible === undefined ? 'pending' : 'irreversible',
  generation: 0,
  attempts: 0,
  tries: 0,
  startedAt: null,
  endedAt: null,
  receipt: null,
  failure: null,
  held: false,
  granted: false,
  doneSaidBy: null,
  mayHaveActed: false,
  remains: [],
  handedTo: null,
  approval: null,
  failureSaid: null,
});

/** One for each step, kept: a message is judged over all of them, and there may be hundreds of both. */
const deskSteps = new WeakMap<StepProgress, DeskStep>();
export function replanned(step: StepProgress, planned: PlannedStep): void {
  step.planned = planned;
  deskSteps.delete(step);
}

export function deskStepOf(step: StepProgress): DeskStep {
  const known = deskSteps.get(step);
  if (known) return known;
  const made: DeskStep = {
    ...step.planned,
    get state() {
      return step.state;
    },
    get held() {
      return step.held;
    },
    get handedTo() {
      return step.handedTo;
    },
    get approved() {
      return step.approval;
    },
  };
  deskSteps.set(step, made);
  return made;
}

/** As it was answered. */
export const approvalOf = (answer: Answer): StepProgress['approval'] => ({ by: answer.by, choice: textOf(answer, 'choice'), note: textOf(answer, 'note') });

/** Who signs a list is waited for by what acts on it, and by nothing else that comes before it. */
export const isSignedBeside = (asked: StepProgress, next: StepProgress): boolean =>
  asked.state === 'waiting' && asked.planned.demands?.lists !== undefined && !next.planned.only;
