/** What became of evidence [001 step 3d]: how it was before and after, what was appended to it, and that nothing of it was rewritten. */
import { fieldOf } from '../../model/field.ts';
import type { StepView } from '../../model/state.ts';
import { isPassedRun, toldOf, type DataStep } from './data-step.ts';
import { listIn, numberIn, runsOf, textIn, textsIn, type Reading, type Run } from './reading.ts';

interface ChainSeen {
  readonly at: string;
  readonly entries: number | null;
  readonly head: string | null;
  readonly broken: number | null;
}

export interface ChainReport {
  readonly name: string;
  /** Null: nobody looked. */
  readonly before: (ChainSeen & { readonly firstBreak: string | null; readonly warnings: readonly string[] }) | null;
  readonly after: ChainSeen | null;
  /** Is what was there before what it was, and does what came after it link on? */
  readonly verdict: 'intact' | 'broken-before' | 'failed' | 'not-verified';
  readonly failure: string | null;
  readonly annotation:
    | (DataStep & {
        readonly annotations: number | null;
        readonly first: string | null;
        readonly last: string | null;
        readonly entries: number | null;
        readonly runs: number | null;
      })
    | null;
}

export function chainOf(reading: Reading, name: string): ChainReport {
  const of = (operation: string): StepView | undefined => reading.steps.find((step) => step.place === `evidence/${name}` && step.operation === operation);
  const [survey, annotate, gate] = [of('survey'), of('annotate'), of('chain')];
  const first = survey ? runsOf(reading, survey.id).find(isPassedRun) : undefined;
  const proof = gate ? toldOf(reading, gate) : undefined;
  const seen = ({ at, receipt }: Run): ChainSeen => ({
    at,
    entries: numberIn(receipt?.after, 'entries'),
    head: textIn(receipt?.after, 'head'),
    broken: numberIn(receipt?.after, 'broken'),
  });
  const before = first ? { ...seen(first), firstBreak: breakIn(first), warnings: textsIn(first.receipt?.after, 'warnings') } : null;
  const last = proof?.run;
  const passed = last !== undefined && isPassedRun(last);
  return {
    name,
    before,
    after: last?.receipt?.after ? seen(last) : null,
    verdict: !last ? 'not-verified' : !passed ? 'failed' : (before?.broken ?? 0) > 0 ? 'broken-before' : 'intact',
    failure: proof?.told.failure ?? null,
    annotation: annotate ? annotationOf(reading, annotate) : null,
  };
}

function breakIn({ receipt }: Run): string | null {
  const [first] = listIn(receipt?.after, 'breaks');
  return first === undefined ? null : `at ${textIn(first, 'at') ?? '?'}: ${textIn(first, 'detail') ?? textIn(first, 'kind') ?? ''}`;
}

function annotationOf(reading: Reading, step: StepView): ChainReport['annotation'] {
  const { told, runs } = toldOf(reading, step);
  const afters = runs.filter(isPassedRun).map((run) => run.receipt?.after);
  const last = afters.at(-1);
  // Found again, it does not count anew what it had marked.
  const affected = afters.map((after) => fieldOf(after, 'affected')).findLast((one) => one !== undefined);
  return {
    ...told,
    annotations: numberIn(last, 'annotations'),
    first: textIn(last, 'first'),
    last: textIn(last, 'last'),
    entries: numberIn(affected, 'entries'),
    runs: numberIn(affected, 'runs'),
  };
}
