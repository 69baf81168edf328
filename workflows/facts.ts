/** What stakeholders are told is made of the state. Part of an activity's input: after a release its fields change under a patch only. */
import { fieldOf } from '../model/field.ts';
import { factsOf, type Facts } from '../model/communications.ts';
import type { Progress } from './progress.ts';
import { viewOf } from './view.ts';

const iso = (ms: number): string => new Date(ms).toISOString();

/** What the message of this moment is made of: the state, and what its sender adds. */
export function factsNow(progress: Progress, template: string, nowMs: number): Facts {
  const { incident } = progress;
  const [update] = incident?.updates ?? [];
  const data: unknown = update?.data;
  const risks = fieldOf(data, 'risks');
  const facts = factsOf(viewOf(progress, nowMs), {
    at: iso(nowMs),
    nextUpdateAt: incident?.nextUpdateMs ? iso(incident.nextUpdateMs) : null,
    severity: progress.input?.severity ?? null,
    impact: progress.input?.impact ?? null,
    contact: progress.input?.contact ?? null,
    unfreezeScopes: incident?.lifting ?? incident?.frozen ?? [],
    risks: Array.isArray(risks) ? risks.filter((one) => typeof one === 'string') : [],
    notes: update?.note ?? null,
  });
  // Only what its text is made of goes into the history.
  if (template === 'update') return facts;
  if (template === 'declared')
    return { ...facts, targets: [], done: [], inProgress: [], next: facts.next.slice(0, 2), verification: [], remaining: [], unfreezeScopes: [] };
  return { ...facts, done: [], inProgress: [], next: [], risks: [], freezeScopes: [] };
}
