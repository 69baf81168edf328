/** What was proven, and by what: the verdict of every check with its evidence, and what was let through by signature [001 steps 4 and 5]. */
import { fieldOf } from '../../model/field.ts';
import { itemsOf } from '../../model/evidence.ts';
import { PASSED, type Answer, type StepView } from '../../model/state.ts';
import { dataWords } from './data-words.ts';
import { isUnexposed, runsOf, skipOf, stepOf, textIn, textsIn, titleOf, type Reading, type Run } from './reading.ts';

/** `unchecked`: nothing is configured to look at. `not-run`: not looked at, or not again since something moved. */
export type Verdict = 'passed' | 'failed' | 'inconclusive' | 'error' | 'unchecked' | 'not-run';

/** A kept output: what is in it can be proven by its hash. */
export interface EvidenceFile {
  readonly file: string;
  readonly sha256: string;
  readonly bytes: number | null;
}

export interface GateRun {
  readonly at: string;
  readonly verdict: Verdict;
  readonly seconds: number | null;
  readonly detail: string;
  readonly evidence: EvidenceFile | null;
}

export interface GateReport {
  readonly step: string;
  readonly title: string;
  readonly component: string | null;
  readonly owner: string | null;
  readonly verdict: Verdict;
  /** Why, or what was seen. */
  readonly detail: string;
  /** What one check over all components found of each; null where it is about one thing. */
  readonly byComponent: Readonly<Record<string, string>> | null;
  readonly evidence: EvidenceFile | null;
  /** A check that did not pass, and was let through. */
  readonly signedOff: SignOff | null;
  /** Every time it was run; the last one is the verdict. */
  readonly runs: readonly GateRun[];
}

/** Let through without a pass: as a risk with a due date, or as known to fail before the cycle too. */
export interface SignOff {
  readonly as: 'accepted-risk' | 'baseline-blocker';
  readonly step: string;
  readonly title: string;
  readonly by: string;
  /** How the name is known. */
  readonly proof: string;
  readonly at: string;
  readonly reason: string;
  /** A date as it was given. */
  readonly due: string | null;
  /** Where it is tracked. */
  readonly link: string | null;
  /** That it failed before the cycle too. */
  readonly failedBefore: string | null;
}

/** Failures of a check that has looked; every other one could not tell. */
const BAD: ReadonlySet<string> = new Set([
  'SmokeFailed',
  'Unhealthy',
  'ServedVersionDiffers',
  'ParityDiffers',
  'GateFailed',
  'Drifted',
  'FreezeLifted',
  'NotAtTarget',
  'InvariantViolated',
  'ChainBroken',
  'NotScoped',
]);

function verdictOf({ state, failure }: Run): Verdict {
  if (state === 'skipped') return 'unchecked';
  if (PASSED.has(state)) return 'passed';
  if (failure?.type === 'GateInconclusive') return 'inconclusive';
  return failure !== null && BAD.has(failure.type) ? 'failed' : 'error';
}

/** But of a credential that was not exposed: there was nothing to check. */
export const gatesOf = (reading: Reading): GateReport[] =>
  reading.steps.filter((step) => step.mode === 'gate' && !isUnexposed(reading, step)).map((step) => gateOf(reading, step));

function gateOf(reading: Reading, step: StepView): GateReport {
  const raw = runsOf(reading, step.id);
  const runs = raw.map((run) => gateRunOf(run, step.operation));
  const last = runs.at(-1);
  const isOpen = step.state === 'pending' || step.state === 'running';
  const signed = skipOf(reading, step.id);
  return {
    step: step.id,
    title: step.title,
    component: step.component,
    owner: step.owner,
    verdict: isOpen || !last ? 'not-run' : last.verdict,
    detail: last?.detail ?? '',
    byComponent: step.component === null ? wordsIn(raw.at(-1)?.receipt?.after, reading) : null,
    evidence: last?.evidence ?? null,
    signedOff: signed && step.state === 'skipped' ? signOffOf(reading, signed) : null,
    runs,
  };
}

function gateRunOf(run: Run, operation: StepView['operation']): GateRun {
  const { failure, receipt, startedAt, at } = run;
  const seconds = fieldOf(receipt?.after, 'seconds');
  const took = startedAt === null ? null : (Date.parse(at) - Date.parse(startedAt)) / 1000;
  return {
    at,
    verdict: verdictOf(run),
    seconds: typeof seconds === 'number' ? seconds : took,
    detail: failure?.message ?? receipt?.detail ?? dataWords(operation, receipt) ?? seenIn(receipt?.after),
    evidence: evidenceIn(receipt?.ids),
  };
}

/** The few words of a pass that say more than that it passed. */
function seenIn(after: unknown): string {
  const [exit, version, stable] = [textIn(after, 'exit'), textIn(after, 'version'), fieldOf(after, 'stableForSeconds')];
  if (exit !== null) return `ended with ${exit}`;
  if (version !== null) return `serves ${version}`;
  return typeof stable === 'number' ? `held for ${stable} s` : '';
}

function evidenceIn(ids: unknown): EvidenceFile | null {
  const [file, sha256, bytes] = [textIn(ids, 'file'), textIn(ids, 'sha256'), fieldOf(ids, 'bytes')];
  return file === null || sha256 === null ? null : { file, sha256, bytes: typeof bytes === 'number' ? bytes : null };
}

/** A word for each component, as the checks over all of them leave it. */
function wordsIn(after: unknown, { state }: Reading): Readonly<Record<string, string>> | null {
  const known = state.targets.flatMap(({ component }) => {
    const word = textIn(after, component);
    return word === null ? [] : [[component, word === 'skipped' ? 'unchecked' : word]];
  });
  return known.length === 0 ? null : (Object.fromEntries(known) as Record<string, string>); // Pairs of texts, made above.
}

/** Everything that was let through without success, gates and others; what was tried again since is not among it. */
export function signOffsOf(reading: Reading): SignOff[] {
  const steps = [...new Set(reading.answers.flatMap((one) => (one.name === 'decide' && one.step !== null ? [one.step] : [])))];
  return steps.flatMap((step) => {
    const skip = skipOf(reading, step);
    return skip ? [signOffOf(reading, skip)] : [];
  });
}

function signOffOf(reading: Reading, answer: Answer): SignOff {
  const step = answer.step ?? '';
  const given = itemsOf(textsIn(answer, 'evidence'));
  const due = textIn(answer, 'due');
  return {
    as: due === null && stepOf(reading, step)?.mode === 'gate' ? 'baseline-blocker' : 'accepted-risk',
    step,
    title: titleOf(reading, step),
    by: answer.by,
    proof: answer.proof,
    at: answer.at,
    reason: textIn(answer, 'reason') ?? '',
    due,
    link: textIn(given, 'link'),
    failedBefore: textIn(given, 'proof'),
  };
}
