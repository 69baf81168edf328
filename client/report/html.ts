/**
 * HTML by a tagged template that escapes whatever is put into it: only what this very template has made is taken as it is. No template library
 * is installed, and one would bring a runtime along for these forty lines.
 */
import { stripVTControlCharacters } from 'node:util';

const SAFE: unique symbol = Symbol('safe');
export interface Html {
  readonly [SAFE]: string;
}
export type Child = Html | string | number | null | readonly Child[];

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;', '`': '&#96;' };

/** Controls, marks that turn the direction of text, and halves of surrogate pairs have no business in a page. Safe between tags and in quoted attributes. */
export const escaped = (text: string): string =>
  stripVTControlCharacters(text)
    .toWellFormed()
    .replaceAll(/[\p{Cc}\p{Cf}]+/gu, ' ')
    .replaceAll(/[&<>"'`]/g, (character) => ENTITIES[character] ?? '');

function written(child: Child): string {
  if (child === null) return '';
  if (typeof child === 'string') return escaped(child);
  if (typeof child === 'number') return String(child);
  return isHtml(child) ? child[SAFE] : child.map(written).join('');
}

const isHtml = (child: Html | readonly Child[]): child is Html => SAFE in child;

export const html = (parts: TemplateStringsArray, ...children: readonly Child[]): Html => ({
  [SAFE]: parts.map((part, index) => part + written(children[index] ?? null)).join(''),
});

/** What a person or a platform said: its direction, whichever it is, stays its own. */
export const theirs = (text: string): Html => html`<bdi>${text}</bdi>`;

/** Text of our own that is no HTML, such as a style sheet. */
export const asIs = (text: string): Html => ({ [SAFE]: text });

export const textOf = (page: Html): string => page[SAFE];
