/** An environment file as text: values are read by Node's own parser, lines stay as people wrote them. */
import { parseEnv } from 'node:util';

/** What it takes to write a value again as it was written. */
export interface Written {
  readonly value: string;
  /** As it stands in the file, quotes included. */
  readonly raw: string;
  readonly exported: boolean;
}

export interface Entry extends Written {
  readonly key: string;
  /** Its lines, the end of the last one included. */
  readonly start: number;
  readonly end: number;
  /** Where `raw` stands, and where its last line ends. */
  readonly from: number;
  readonly to: number;
  readonly lineEnd: number;
}

const QUOTES = ['"', "'", '`'] as const;
/** What others take for a key is a line like any other: it may be part of a value that was badly quoted. */
const KEY = /^[A-Za-z_][\w.-]*$/;
const BYTE_ORDER_MARK = '\uFEFF';

/** One value, read for itself: for a whole file the parser takes the next line for the value of `KEY= ` [Node 24.21]. */
const valueOf = (raw: string): string => parseEnv(`K=${raw}`)['K'] ?? '';

/** What the parser takes for blank, and no more: other spaces belong to a value. */
const trimmed = (text: string): string => text.replaceAll(/^[ \t]+|[ \t\r]+$/g, '');

export function entriesOf(text: string): Entry[] {
  const entries: Entry[] = [];
  for (let start = text.startsWith(BYTE_ORDER_MARK) ? 1 : 0; start < text.length;) {
    const line = lineFrom(text, start);
    const equals = line.text.indexOf('=');
    const name = trimmed(line.text.slice(0, Math.max(0, equals)));
    if (equals < 0 || name === '' || name.startsWith('#')) {
      start = line.end;
      continue;
    }
    const blanks = /^[ \t]*/.exec(line.text.slice(equals + 1))?.[0].length ?? 0;
    const from = start + equals + 1 + blanks;
    const quote = QUOTES.find((one) => one === text[from]);
    const closing = quote === undefined ? -1 : text.indexOf(quote, from + 1);
    const last = closing < 0 ? line : lineFrom(text, closing);
    // A quote that is never closed is a character like any other, and so is a # behind it.
    const plain = text.slice(from, line.lineEnd);
    const to = closing < 0 ? from + trimmed(quote === undefined ? plain.replace(/#.*/s, '') : plain).length : closing + 1;
    const raw = text.slice(from, to);
    const exported = name.startsWith('export ');
    const key = exported ? trimmed(name.slice(7)) : name;
    if (KEY.test(key)) entries.push({ key, value: valueOf(raw), raw, exported, start, end: last.end, from, to, lineEnd: last.lineEnd });
    start = last.end;
  }
  return entries;
}

function lineFrom(text: string, start: number): { text: string; lineEnd: number; end: number } {
  const newline = text.indexOf('\n', start);
  const end = newline < 0 ? text.length : newline + 1;
  const lineEnd = start + text.slice(start, end).replace(/\r*\n?$/, '').length;
  return { text: text.slice(start, lineEnd), lineEnd, end };
}

/** What holds of each key: the last line that sets it. */
export const lastOf = (entries: readonly Entry[]): ReadonlyMap<string, Entry> => new Map(entries.map((entry) => [entry.key, entry]));

export interface Edit {
  readonly text: string;
  readonly set: readonly string[];
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

/**
 * The text with every key but `keep` as it is wanted; what it does not have to change it leaves alone. Null where a value cannot be
 * written among these lines, or the result would not be read back exactly: a file is not repaired by guessing.
 */
export function edit(text: string, wanted: ReadonlyMap<string, Written>, keep: ReadonlySet<string>): Edit | null {
  const entries = entriesOf(text);
  const now = lastOf(entries);
  const drifted = [...wanted].filter(([key, { value }]) => !keep.has(key) && now.get(key)?.value !== value);
  const set = drifted.filter(([key]) => now.has(key));
  const added = drifted.filter(([key]) => !now.has(key));
  const removed = new Set([...now.keys()].filter((key) => !keep.has(key) && !wanted.has(key)));
  const newline = /\r?\n/.exec(text)?.[0] ?? '\n';
  const changes = entries
    .filter(({ key }) => removed.has(key))
    .map(({ start, end }) => ({ start, end, by: '' }))
    .concat(
      set.flatMap(([key, one]) => {
        const entry = now.get(key);
        return entry ? [{ start: entry.from, end: entry.lineEnd, by: rawOf(one, newline) + commentOf(text.slice(entry.to, entry.lineEnd)) }] : [];
      }),
    )
    .sort((a, b) => a.start - b.start);
  let [result, done] = ['', 0];
  for (const { start, end, by } of changes) [result, done] = [result + text.slice(done, start) + by, end];
  result += text.slice(done);
  if (added.length > 0 && result !== '' && result !== BYTE_ORDER_MARK && !result.endsWith('\n')) result += newline;
  for (const [key, one] of added) result += `${one.exported ? 'export ' : ''}${key}=${rawOf(one, newline)}${newline}`;
  return isAs(result, text, wanted, keep) ? { text: result, set: set.map(([key]) => key), added: added.map(([key]) => key), removed: [...removed] } : null;
}

/** As it was written once; where that only held among its neighbours, in quotes that it does not contain. */
function rawOf({ raw, value }: Written, newline: string): string {
  const stands = (text: string): boolean => {
    const [only, ...more] = entriesOf(`K=${text}\nNEXT='"\`'`);
    return only?.raw === text && only.value === value && more.length === 1;
  };
  const found = [raw, ...["'", '"', '`'].map((quote) => quote + value + quote)].find(stands);
  return (found ?? raw).replaceAll(/\r?\n/g, newline);
}

/** What stood behind the value stays if it is a comment; anything else was ignored with the old value and might not be with the new one. */
const commentOf = (rest: string): string => (/^\s*#/.test(rest) ? rest.replace(/^#/, ' #') : '');

function isAs(result: string, before: string, wanted: ReadonlyMap<string, Written>, keep: ReadonlySet<string>): boolean {
  const [now, then] = [lastOf(entriesOf(result)), lastOf(entriesOf(before))];
  return [...new Set([...now.keys(), ...then.keys(), ...wanted.keys()])].every(
    (key) => now.get(key)?.value === (keep.has(key) ? then : wanted).get(key)?.value,
  );
}
