/** What a report consists of for a reader, whatever it is written in: sections of tables, lists and texts. Every text in it is raw: who writes it out makes it safe. */

/** How something is to be taken. */
export type Tone = 'good' | 'warn' | 'bad' | 'calm';

export type Piece = string | { readonly code: string } | { readonly strong: string } | { readonly em: string } | { readonly tone: Tone; readonly text: string };
/** A line of text, or a cell of a table. */
export type Line = Piece | readonly Piece[];

export type Block =
  | { readonly kind: 'text'; readonly line: Line }
  | { readonly kind: 'quote'; readonly line: Line }
  | { readonly kind: 'heading'; readonly text: string }
  | { readonly kind: 'list'; readonly items: readonly Line[] }
  | { readonly kind: 'table'; readonly titles: readonly string[]; readonly rows: readonly (readonly Line[])[] }
  | { readonly kind: 'moments'; readonly rows: readonly MomentRow[] }
  | { readonly kind: 'commands'; readonly lines: readonly string[] };

export interface MomentRow {
  readonly at: string;
  readonly after: string;
  readonly who: string;
  readonly what: string;
  readonly mark: 'machine' | 'person' | 'trouble';
}

export interface Section {
  readonly id: string;
  readonly title: string;
  readonly blocks: readonly Block[];
}

export const piecesOf = (line: Line): readonly Piece[] => (Array.isArray(line) ? (line as readonly Piece[]) : [line as Piece]); // A line is one piece or several.

export const text = (line: Line): Block => ({ kind: 'text', line });
export const quote = (line: Line): Block => ({ kind: 'quote', line });
export const heading = (words: string): Block => ({ kind: 'heading', text: words });
export const list = (items: readonly Line[]): Block => ({ kind: 'list', items });
export const table = (titles: readonly string[], rows: readonly (readonly Line[])[]): Block => ({ kind: 'table', titles, rows });
export const code = (words: string): Piece => ({ code: words });
export const strong = (words: string): Piece => ({ strong: words });
export const em = (words: string): Piece => ({ em: words });

/** A table, or a word that there is nothing to put into one. */
export const tableOr = (none: string, titles: readonly string[], rows: readonly (readonly Line[])[]): Block =>
  rows.length === 0 ? text(none) : table(titles, rows);
/** Nothing where there are no rows. */
export const tableIf = (title: string, titles: readonly string[], rows: readonly (readonly Line[])[]): Block[] =>
  rows.length === 0 ? [] : [heading(title), table(titles, rows)];

export const day = (iso: string): string => iso.slice(0, 10);
export const time = (iso: string): string => iso.slice(11, 19);
export const moment = (iso: string): string => `${day(iso)} ${time(iso)}`;
/** A date stays one, a time is shown as one. */
export const due = (value: string | null): string =>
  value === null ? '' : /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(value) ? `${day(value)} ${value.slice(11, 16)} UTC` : value;
