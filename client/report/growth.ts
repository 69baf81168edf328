/** How a level grew in place [product.md 2]: who had it grow, from what to what and why, and which earlier answers that made void. */
import { fieldOf } from '../../model/field.ts';
import { CHECKLIST } from '../../model/incident.ts';
import { isKind, POLICIES, type Kind } from '../../model/policy.ts';
import type { RecordEntry } from '../../model/record.ts';
import type { Answer, RollbackState } from '../../model/state.ts';

export interface Growth {
  /** When its plan took the place of the smaller one. */
  readonly at: string;
  readonly from: Kind;
  readonly to: Kind;
  readonly by: string;
  readonly reason: string;
}

/** From then on what was said of these steps before counts for nothing. */
export interface Void {
  readonly at: string;
  readonly steps: readonly string[];
  readonly why: string;
  /** By another plan of a higher level; else reality had moved. */
  readonly byGrowth: boolean;
}

const text = (from: unknown, name: string): string => {
  const value = fieldOf(from, name);
  return typeof value === 'string' ? value : '';
};
const levelOf = (kind: Kind): number => POLICIES[kind].level ?? 0;

export const levelName = (kind: Kind): string => `L${levelOf(kind)}`;

/** As the record has it; without the record, as it was asked for and not refused. */
export function growthOf(state: RollbackState, entries: readonly RecordEntry[]): Growth[] {
  const recorded = entries.flatMap((entry): Growth[] => {
    const said = entry.type === 'replanned' ? entry['escalated'] : undefined;
    const [from, to] = [fieldOf(said, 'from'), fieldOf(said, 'to')];
    return isKind(from) && isKind(to) ? [{ at: entry.at, from, to, by: text(said, 'by'), reason: text(said, 'reason') }] : [];
  });
  if (entries.length > 0) return recorded;
  const [begun] = state.id.split('/');
  let from: Kind = isKind(begun) ? begun : state.kind;
  return state.answers.flatMap((answer): Growth[] => {
    const { at, by } = answer;
    const to = answer['to'];
    if (answer.name !== 'escalate' || !isKind(to) || levelOf(to) <= levelOf(from) || levelOf(to) > levelOf(state.kind) || isRefused(state, answer)) return [];
    const grown = { at, from, to, by, reason: text(answer, 'reason') };
    from = to;
    return [grown];
  });
}

/** It was asked for and could not be planned: nothing changed. */
export const isRefused = ({ refusals }: Pick<RollbackState, 'refusals'>, { at, by, ...answer }: Answer): boolean =>
  refusals.some(
    (one) => one.message === 'escalate' && one.by === by && one.at >= at && one.explanation.startsWith(`not escalated to ${String(answer['to'])}:`),
  );

/** The record's own row keeps the kind it was opened with. */
export function grownState(state: RollbackState, growth: readonly Growth[]): RollbackState {
  const last = growth.at(-1)?.to;
  return last !== undefined && levelOf(last) > levelOf(state.kind) ? { ...state, kind: last } : state;
}

export function voidsOf(entries: readonly RecordEntry[], growth: readonly Growth[]): Void[] {
  const recorded = entries.flatMap(recordedVoid);
  // An entry of the workflow rides with its next activity: the last one may be missing.
  const missing = growth.slice(recorded.filter((one) => one.byGrowth).length).map(voidBy);
  return [...recorded, ...missing].toSorted((one, other) => one.at.localeCompare(other.at));
}

function recordedVoid(entry: RecordEntry): Void[] {
  if (entry.type === 'void') {
    const steps = Array.isArray(entry['steps']) ? entry['steps'].filter((one) => typeof one === 'string') : null;
    return [{ at: entry.at, steps: steps ?? [text(entry, 'step')], why: text(entry, 'why'), byGrowth: steps !== null }];
  }
  // More would have been lost than was approved: what was approved is not what is asked now.
  const recounted = fieldOf(fieldOf(entry, 'change'), 'recounted');
  return entry.type === 'step' && recounted !== undefined
    ? [{ at: entry.at, steps: [text(entry, 'step')], why: text(entry['failure'], 'message'), byGrowth: false }]
    : [];
}

/** What the workflow takes back then, as far as people answer it. */
function voidBy({ at, from, to }: Growth): Void {
  const rows = CHECKLIST.filter((row) => row.level > levelOf(from) && row.level <= levelOf(to)).map((row) => `cleanup.${row.area}`);
  return { at, steps: ['target', ...rows, 'unfreeze'], why: `escalated to ${to}`, byGrowth: true };
}
