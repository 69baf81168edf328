/** How the parse tree of a statement is walked. */
import type { Node } from 'libpg-query';

/** As it is written; null: wherever the search path finds it. */
export interface Name {
  readonly schema: string | null;
  readonly name: string;
}

export const kindOf = (node: Node): string => Object.keys(node)[0] ?? '';

type Fields = Readonly<Record<string, unknown>>;
const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null;

/** Every field of the tree, however deep: its key and its value. */
export function* fieldsOf(tree: unknown): Generator<readonly [string, unknown]> {
  if (!isFields(tree)) return;
  for (const [key, value] of Object.entries(tree)) {
    yield [key, value];
    yield* fieldsOf(value);
  }
}

export function some(tree: unknown, holds: (key: string, value: unknown) => boolean): boolean {
  for (const [key, value] of fieldsOf(tree)) if (holds(key, value)) return true;
  return false;
}

export const textsOf = (list: unknown): string[] =>
  (Array.isArray(list) ? list : []).flatMap((item: unknown) => {
    const text = isFields(item) && isFields(item['String']) ? item['String']['sval'] : undefined;
    return typeof text === 'string' ? [text] : [];
  });

/** DATABASE.SCHEMA.TABLE, SCHEMA.TABLE or TABLE. */
export function nameOf(node: Node): Name[] {
  const [name, schema = null] = 'List' in node ? textsOf(node.List.items).toReversed() : [];
  return name === undefined ? [] : [{ schema, name }];
}

/** Every relation that the tree names. */
export function relationsOf(tree: unknown): Name[] {
  const names: Name[] = [];
  for (const [, value] of fieldsOf(tree))
    if (isFields(value) && typeof value['relname'] === 'string' && 'relpersistence' in value)
      names.push({ schema: typeof value['schemaname'] === 'string' ? value['schemaname'] : null, name: value['relname'] });
  return names;
}
