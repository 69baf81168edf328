/** What the Security Lead has signed of the credentials [001 step 3e]: which go, in which order, and which were not exposed. */
import { fieldOf } from './field.ts';

/** `rotate`: the new one first; `revokeFirst`: exploited, the outage is accepted; `unaffected`: stays. */
export const SIGNED_LISTS = ['rotate', 'revokeFirst', 'unaffected'] as const;
export type Signed = Readonly<Record<(typeof SIGNED_LISTS)[number], readonly string[]>>;

const namesIn = (data: unknown, list: string): unknown[] | null => {
  const value = fieldOf(data, list) ?? [];
  return Array.isArray(value) ? value : null;
};

/** What is wrong with a list, in words; null: every name is in exactly one of the lists, and no other one is. */
export function signedProblem(data: unknown, names: readonly string[]): string | null {
  const shape = `{${SIGNED_LISTS.map((list) => `"${list}": […]`).join(', ')}}`;
  const lists = SIGNED_LISTS.map((list) => namesIn(data, list));
  if (lists.includes(null)) return `each list of ${shape} is a list of names`;
  const said = lists.flatMap((list) => list ?? []);
  const unknown = said.find((one) => typeof one !== 'string' || !names.includes(one));
  if (unknown !== undefined) return `${JSON.stringify(unknown)} is no credential of this plan; it has ${names.join(', ')}`;
  const twice = said.find((one, at) => said.indexOf(one) !== at);
  if (twice !== undefined) return `${JSON.stringify(twice)} is named twice`;
  const missing = names.filter((name) => !said.includes(name));
  return missing.length === 0 ? null : `say of ${missing.join(', ')} in which list of ${shape} it is`;
}

/** A list that was judged. */
export const signedOf = (data: unknown): Signed => {
  const names = (list: string): string[] => (namesIn(data, list) ?? []).filter((one) => typeof one === 'string');
  return { rotate: names('rotate'), revokeFirst: names('revokeFirst'), unaffected: names('unaffected') };
};
