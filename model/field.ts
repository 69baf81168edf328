/** Reading what came from outside: JSON of a person, of a platform, of a receipt. A name such as `constructor` must not reach the prototype. */

/** The field of an object; undefined where it is none, or has none of that name. */
export const fieldOf = (from: unknown, name: string): unknown =>
  typeof from === 'object' && from !== null ? Object.getOwnPropertyDescriptor(from, name)?.value : undefined;

/** The same where it is a text; null otherwise. */
export function textOf(from: unknown, name: string): string | null {
  const value = fieldOf(from, name);
  return typeof value === 'string' ? value : null;
}
