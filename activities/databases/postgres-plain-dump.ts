/**
 * Reads a plain SQL dump as psql will read it, and refuses what reaches beyond the new database before anything of it is run: psql's own commands (a backslash
 * may start a program or lead to another database), and statements about the whole server. What pg_dump writes passes; whatever cannot be told is refused.
 * psql's rules are those of its psqlscan.l: quotes, dollars, nested comments, brackets, and the bodies of SQL functions, in which `;` ends nothing.
 */
import { createReadStream } from 'node:fs';

/** Null: it may be run. Otherwise why not, by line and in words, with nothing of its content. */
export async function plainProblem(path: string, signal: AbortSignal, passed: (bytes: number) => void): Promise<string | null> {
  const state: State = { inside: { kind: 'sql' }, statement: anew(), number: 0, isDump: false, isComplete: false };
  let [rest, bytes]: [Buffer, number] = [Buffer.alloc(0), 0];
  for await (const part of createReadStream(path, { highWaterMark: 1024 * 1024, signal }) as AsyncIterable<Buffer>) {
    const chunk = rest.length === 0 ? part : Buffer.concat([rest, part]);
    let from = 0;
    for (let to = chunk.indexOf(10); to >= 0; to = chunk.indexOf(10, from)) {
      // A character a byte: nothing that is looked for here is part of a longer one in UTF-8.
      const problem = readLine(state, chunk, from, to);
      if (problem !== null) return problem;
      from = to + 1;
    }
    rest = chunk.subarray(from);
    passed((bytes += part.length));
  }
  return (rest.length > 0 ? readLine(state, rest, 0, rest.length) : null) ?? cutShort(state);
}

type Inside =
  | { readonly kind: 'sql' | 'copy' | 'single' | 'escape' | 'double' }
  | { readonly kind: 'dollar'; readonly tag: string }
  | { readonly kind: 'comment'; readonly depth: number };
interface Statement {
  /** Its words and marks, upper-case, quoted names as `"`; cut after a while. */
  text: string;
  readonly words: string[];
  brackets: number;
  begun: number;
}
interface State {
  inside: Inside;
  statement: Statement;
  /** Of the line. */
  number: number;
  isDump: boolean;
  isComplete: boolean;
}

const SQL: Inside = { kind: 'sql' };
const TEXT_MAX = 100_000;
const RESTRICT = /^\\(?:un)?restrict [A-Za-z0-9]+\s*$/;
const NAME = '[^\\s().,;]+';
const COPY = new RegExp(`^COPY ${NAME}(?: \\. ${NAME})?(?: \\( ${NAME}(?: , ${NAME})* \\))? FROM STDIN$`);
const SERVER_WIDE = [
  /^(?:CREATE|ALTER|DROP) (?:DATABASE|ROLE|GROUP|TABLESPACE|SYSTEM)\b/,
  /^(?:CREATE|ALTER|DROP) USER (?!MAPPING\b)/,
  /^(?:COMMENT|SECURITY LABEL(?: FOR \S+)?) ON (?:DATABASE|ROLE|TABLESPACE)\b/,
  /^(?:GRANT|REVOKE) (?:.* )?ON (?:DATABASE|TABLESPACE|PARAMETER)\b/,
  /^(?:GRANT|REVOKE) (?!.* ON )/,
] as const;
const TOKEN =
  /\s+|--.*|\/\*|\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$|[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|[\s\S]/y;

const cutShort = ({ inside, statement, isDump, isComplete }: State): string | null =>
  inside.kind !== 'sql' || statement.brackets > 0 || statement.begun > 0 || (isDump && !isComplete) ? 'it is not complete: it ends in the middle' : null;

function readLine(state: State, chunk: Buffer, from: number, to: number): string | null {
  state.number += 1;
  if (state.inside.kind === 'copy') {
    if (chunk[from] === 0x5c && /^\\\.\r?$/.test(chunk.toString('latin1', from, Math.min(to, from + 4)))) state.inside = SQL;
    return null;
  }
  const line = chunk.toString('latin1', from, to);
  if (/^-- PostgreSQL database dump\s*$/.test(line)) state.isDump = true;
  if (/^-- PostgreSQL database dump complete\s*$/.test(line)) state.isComplete = true;
  for (let place = 0; place < line.length;) {
    const next = stepIn(state, line, place);
    if (typeof next === 'string') return `line ${state.number}: ${next}`;
    place = next;
  }
  return null;
}

/** Answers where it goes on, or the problem. */
function stepIn(state: State, line: string, place: number): number | string {
  const { inside } = state;
  if (inside.kind === 'sql') return inSql(state, line, place);
  if (inside.kind === 'copy') return line.length;
  if (inside.kind === 'dollar') {
    const end = line.indexOf(inside.tag, place);
    if (end >= 0) state.inside = SQL;
    return end < 0 ? line.length : end + inside.tag.length;
  }
  if (inside.kind === 'comment') {
    const mark = /\/\*|\*\//.exec(line.slice(place));
    if (mark === null) return line.length;
    const depth = inside.depth + (mark[0] === '/*' ? 1 : -1);
    state.inside = depth === 0 ? SQL : { kind: 'comment', depth };
    return place + mark.index + 2;
  }
  return inQuotes(state, inside.kind, line, place);
}

function inSql(state: State, line: string, place: number): number | string {
  TOKEN.lastIndex = place;
  const token = TOKEN.exec(line)?.[0] ?? '';
  const next = place + token.length;
  if (token.startsWith('--') || token.trim() === '') return next;
  const { statement } = state;
  if (token === '\\') {
    if (place === 0 && statement.text === '' && RESTRICT.test(line)) return line.length;
    return 'a command of psql itself (a backslash), which could start a program or lead elsewhere';
  }
  if (token === '/*') {
    state.inside = { kind: 'comment', depth: 1 };
    return next;
  }
  if (token === ';' && statement.brackets === 0 && statement.begun === 0) return endOfStatement(state, line.slice(next)) ?? next;
  // Versions of psql read these in several ways.
  if (/^\d/.test(token) && /[A-Za-z_$'\x80-\xff]/.test(line[next] ?? '')) return 'a number that goes on as something else';
  if (/^[A-Za-z_\x80-\xff]/.test(token)) word(statement, token.toUpperCase());
  else if (token === '(') statement.brackets += 1;
  else if (token === ')') statement.brackets = Math.max(0, statement.brackets - 1);
  else if (token === '"') state.inside = { kind: 'double' };
  else if (token === "'") state.inside = { kind: /(?:^|[^A-Za-z0-9_$\x80-\xff])e$/i.test(line.slice(Math.max(0, place - 2), place)) ? 'escape' : 'single' };
  else if (token.length > 1 && token.startsWith('$')) state.inside = { kind: 'dollar', tag: token };
  if (statement.text.length < TEXT_MAX) statement.text += `${statement.text === '' ? '' : ' '}${token.toUpperCase()}`;
  return next;
}

function inQuotes(state: State, kind: 'single' | 'escape' | 'double', line: string, place: number): number | string {
  const quote = kind === 'double' ? '"' : "'";
  for (let now = place; now < line.length; now += 1) {
    if (kind === 'escape' && line[now] === '\\') {
      if (line.charCodeAt(now - 1) >= 0x80) return 'an escape that depends on the encoding';
      now += 1;
    } else if (line[now] === quote) {
      if (kind === 'single' && line[now - 1] === '\\') return 'a text with a backslash before a quote, which can be read in two ways (use the custom format)';
      if (line[now + 1] !== quote) {
        state.inside = SQL;
        return now + 1;
      }
      now += 1;
    }
  }
  return line.length;
}

function endOfStatement(state: State, rest: string): string | null {
  const { text } = state.statement;
  state.statement = anew();
  if (SERVER_WIDE.some((pattern) => pattern.test(text))) {
    return 'a statement about the whole server, not about one database (made with --create, or by pg_dumpall?)';
  }
  if (text.includes('STANDARD_CONFORMING_STRINGS') && !/^SET STANDARD_CONFORMING_STRINGS (?:=|TO) ON$/.test(text)) return 'quotes are to be read another way';
  if (!/^COPY\b/.test(text)) return null;
  if (!COPY.test(text) || rest.trim() !== '') return 'a COPY such as pg_dump does not write';
  state.inside = { kind: 'copy' };
  return null;
}

const anew = (): Statement => ({ text: '', words: [], brackets: 0, begun: 0 });

/** As psql finds the end of a function whose body is SQL: `BEGIN ATOMIC … END`, with `CASE … END` in it. */
function word(statement: Statement, name: string): void {
  if (statement.words.length < 4) statement.words.push(name);
  const [first, second, third, fourth] = statement.words;
  const kind = second === 'OR' && third === 'REPLACE' ? fourth : second;
  if (first !== 'CREATE' || (kind !== 'FUNCTION' && kind !== 'PROCEDURE') || statement.brackets > 0) return;
  if (name === 'BEGIN' || (name === 'CASE' && statement.begun > 0)) statement.begun += 1;
  else if (name === 'END') statement.begun = Math.max(0, statement.begun - 1);
}
