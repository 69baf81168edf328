/** What a level that grows makes void [product.md 2]: answers about a smaller plan are none about this one, and what was seen or said of it is seen and said again. */
import { CHECKLIST } from './incident.ts';
import type { PlanStep } from './plan.ts';

/** Of a row of the checklist: where it comes within the level. */
export function voidBetween(from: number, to: number): (step: Pick<PlanStep, 'id' | 'mode' | 'operation'>) => boolean {
  const rows = CHECKLIST.filter((row) => row.level > from && row.level <= to).map((row) => `cleanup.${row.area}`);
  const said = new Set(['target', 'unfreeze', 'communication.declared', 'communication.recovery', ...rows]);
  return ({ id, mode, operation }) => said.has(id) || mode === 'gate' || operation === 'review' || operation === 'lift';
}
