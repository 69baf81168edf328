/** Warnings that ask for an answer: once it is given they are about nothing any more. */
import type { StepView } from './state.ts';

const ABOUT: readonly (readonly [RegExp, (match: RegExpExecArray) => string])[] = [
  [/^(\S+) is asked about again: /, (match) => match[1] ?? ''],
  [/^(?:reality has moved since the target was confirmed|the confirmation of the target is void)/, () => 'target'],
  [/^(?:reality has moved since the inventory was shown|the confirmation of the inventory is void)/, () => 'inventory'],
];

/** Has what it asks for been answered, or done, since? */
export function isAnswered(warning: string, steps: readonly Pick<StepView, 'id' | 'state'>[]): boolean {
  for (const [words, stepIn] of ABOUT) {
    const match = words.exec(warning);
    const state = match && steps.find((step) => step.id === stepIn(match))?.state;
    if (match) return state !== undefined && state !== null && state !== 'pending' && state !== 'waiting';
  }
  return false;
}
