/** What every step on a database, evidence or a credential tells: how far it is, on whose approval, and what went wrong. */
import type { StepView } from '../../model/state.ts';
import { confirmOf, isVoidSince, runsOf, said, textIn, type Reading, type Run } from './reading.ts';

/** A person's word. */
export interface Word {
  readonly by: string;
  readonly at: string;
  readonly note: string | null;
}

/** What every step of it tells. */
export interface DataStep {
  readonly step: string;
  readonly state: string;
  /** When it was last run; null: it was not. */
  readonly at: string | null;
  /** On whose approval; null: none was asked for, or none was given. */
  readonly approved: Word | null;
  readonly failure: string | null;
}

export const isPassedRun = ({ state }: Run): boolean => state === 'done' || state === 'already';

export const wordOf = (reading: Reading, id: string, before: string | null): Word | null => {
  const answer = before === null ? confirmOf(reading, id) : said(reading, 'confirm', id).findLast((one) => one.at <= before);
  return answer ? { by: answer.by, at: answer.at, note: textIn(answer, 'note') } : null;
};

/** Of the last run; where a later level has it run again, nothing of the run before counts. */
export function toldOf(reading: Reading, step: StepView): { readonly told: DataStep; readonly run: Run | undefined; readonly runs: readonly Run[] } {
  const runs = runsOf(reading, step.id).filter((run) => !(step.state === 'pending' && isVoidSince(reading, step.id, run.at)));
  const run = runs.at(-1);
  // An answer that had been void when it was run cannot be what let it run.
  const word = run
    ? wordOf(reading, step.id, run.startedAt ?? run.at)
    : step.state === 'pending' || step.state === 'waiting'
      ? null
      : wordOf(reading, step.id, null);
  const told = {
    step: step.id,
    state: step.state,
    at: run?.at ?? null,
    approved: step.approval || step.operation === null ? word : null,
    failure: step.failure?.message ?? null,
  };
  return { told, run, runs };
}

export const partOf = ({ subject = '' }: StepView): string => subject.replace(/^[^/]*\//, '');
