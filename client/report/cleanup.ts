/** The mandatory cleanup checklist [001 Step 3 Checklist], row by row: what was answered, and the evidence item by item, given by a person or produced by steps. */
import { itemsOf } from '../../model/evidence.ts';
import { CHECKLIST } from '../../model/incident.ts';
import { own } from '../../model/roles.ts';
import type { StepView } from '../../model/state.ts';
import { dataWords } from './data-words.ts';
import { confirmOf, isUnexposed, runsOf, skipOf, stepOf, textIn, textsIn, type Reading } from './reading.ts';

/** A step that produces an item, and what it says. */
export interface Produced {
  readonly step: string;
  readonly state: string;
  readonly at: string | null;
  readonly what: string;
}

export interface CleanupItem {
  readonly item: string;
  /** As a person gave it; null: nobody did. */
  readonly text: string | null;
  /** Absent where no step produces it. */
  readonly produced?: readonly Produced[];
}

export interface CleanupRow {
  readonly step: string;
  readonly title: string;
  readonly owner: string;
  readonly actions: readonly string[];
  /** Null: not answered, or not again since the level grew. */
  readonly answer: string | null;
  readonly by: string | null;
  readonly at: string | null;
  readonly note: string | null;
  /** Each item that [001] asks for. What was given beside them comes after. */
  readonly evidence: readonly CleanupItem[];
}

export function cleanupOf(reading: Reading): CleanupRow[] {
  return CHECKLIST.map((row) => {
    const step = `cleanup.${row.area}`;
    const answer = confirmOf(reading, step);
    const given = textsIn(answer, 'evidence');
    const items = itemsOf(given);
    const by = stepOf(reading, step)?.demands?.produced ?? {};
    const more = given.filter((one) => !row.items.includes(one.slice(0, Math.max(0, one.indexOf('='))).trim()));
    return {
      step,
      title: row.title,
      owner: row.owner,
      actions: row.actions,
      answer: answer === undefined ? null : (textIn(answer, 'choice') ?? 'confirmed'),
      by: answer?.by ?? null,
      at: answer?.at ?? null,
      note: textIn(answer, 'note'),
      evidence: [
        ...row.items.map((item) => ({ item, text: textIn(items, item), ...producedOf(reading, own(by, item) ?? []) })),
        ...more.map((text) => ({ item: 'beside that', text })),
      ],
    };
  });
}

function producedOf(reading: Reading, ids: readonly string[]): Pick<CleanupItem, 'produced'> {
  const all = ids.flatMap((id) => {
    const step = stepOf(reading, id);
    return step ? [{ step: id, state: step.state, ...resultOf(reading, step) }] : [];
  });
  return all.length === 0 ? {} : { produced: all };
}

function resultOf(reading: Reading, step: StepView): Pick<Produced, 'at' | 'what'> {
  const run = runsOf(reading, step.id).at(-1);
  const skip = skipOf(reading, step.id);
  if (skip) return { at: skip.at, what: `left out by ${skip.by}: ${textIn(skip, 'reason') ?? 'no reason given'}` };
  // As it was signed, and by whom: there was nothing of it to be done.
  const signed = isUnexposed(reading, step) ? confirmOf(reading, 'credentials') : undefined;
  if (signed) return { at: signed.at, what: `not exposed, as signed by ${signed.by}` };
  if (!run || step.state === 'pending') return { at: null, what: step.state === 'skipped' ? 'not exposed, as signed' : 'not done' };
  return { at: run.at, what: run.failure?.message ?? dataWords(step.operation, run.receipt) ?? run.receipt?.detail ?? run.state };
}
