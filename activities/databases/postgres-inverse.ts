/** What an inverse is, read by Postgres's own parser: its statements one by one, what each may destroy, and why it can never be run. Reads no database. */
import { createHash } from 'node:crypto';
import { type AlterTableStmt, hasSqlDetails, loadModule, type Node, parseSync, type RawStmt, scanSync } from 'libpg-query';
import { aloneOf, type Alone } from './postgres-alone.ts';
import { isHarmless, isHarmlessCommand, isHarmlessDrop, refusalOf, strangeFunctions } from './postgres-harmless.ts';
import { kindOf, nameOf, relationsOf, some, type Name } from './postgres-tree.ts';

/** What a statement may destroy: counted, or only named. */
export type Effect =
  | { readonly of: 'table' | 'rows' | 'materialized view'; readonly relation: Name; readonly ifExists: boolean }
  | { readonly of: 'column'; readonly relation: Name; readonly column: string; readonly ifExists: boolean }
  | { readonly of: 'unknown'; readonly what: string };

export interface Statement {
  /** From 1. */
  readonly number: number;
  readonly sql: string;
  /** e.g. `statement 2 (ALTER TABLE public.orders)`: its first words and no literal. */
  readonly title: string;
  readonly effects: readonly Effect[];
  readonly relations: readonly Name[];
  /** Null: it runs in a transaction. */
  readonly alone: Alone | null;
  /** A name that is there may mean something else after it; one that is not there may have come. */
  readonly renames: boolean;
  readonly creates: boolean;
  readonly isQuery: boolean;
}

export interface Inverse {
  readonly statements: readonly Statement[];
  readonly problem: string | null;
}

const LENGTH_MAX = 1_000_000;
const WORDS_MAX = 8;

await loadModule();

export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

export function inverseOf(sql: string): Inverse {
  const refused = (problem: string): Inverse => ({ statements: [], problem });
  if (sql.length > LENGTH_MAX) return refused(`it is longer than ${LENGTH_MAX} characters`);
  if (sql.includes('\0')) return refused('it has a NUL character in it');
  if (sql.trim() === '') return refused('it is empty');
  const parsed = treeOf(sql);
  if (typeof parsed === 'string') return refused(parsed);
  const bytes = Buffer.from(sql);
  const all = parsed.flatMap(({ stmt, stmt_location: from = 0, stmt_len: length }, place) =>
    stmt === undefined ? [] : [{ node: stmt, statement: statementOf(stmt, place + 1, bytes.subarray(from, length ? from + length : bytes.length).toString()) }],
  );
  if (all.length === 0) return refused('it is empty');
  const problem = all.map(({ node, statement }) => ({ title: statement.title, why: refusalOf(node) })).find(({ why }) => why !== null);
  return { statements: all.map(({ statement }) => statement), problem: problem ? `${problem.title} ${problem.why}` : null };
}

/** Or why not. */
function treeOf(sql: string): readonly RawStmt[] | string {
  try {
    return parseSync(sql).stmts ?? [];
  } catch (error) {
    // Its message would repeat what it could not read.
    const position = hasSqlDetails(error) ? error.sqlDetails?.cursorPosition : undefined;
    return `it does not parse${position === undefined ? '' : `: see line ${sql.slice(0, position).split('\n').length}`}`;
  }
}

/** A query that may stand in brackets: one SELECT and nothing else. */
export function soleQuery(sql: string): { readonly sql: string } | { readonly problem: string } {
  const { statements, problem } = inverseOf(sql);
  if (problem !== null) return { problem };
  const [only] = statements;
  if (only === undefined || statements.length > 1 || !only.isQuery) return { problem: 'it is not one SELECT' };
  return { sql: only.sql };
}

/** The text of all statements whatever their spacing and comments: the ledgers of some tools keep the statements, and not the file they came from. */
export const hashOfStatements = (sql: string): string =>
  sha256(
    scanSync(sql)
      .tokens.filter(({ tokenName, text }) => !tokenName.endsWith('COMMENT') && text !== ';')
      .map(({ text }) => text)
      .join('\n'),
  );

function statementOf(node: Node, number: number, sql: string): Statement {
  const kind = kindOf(node);
  const words = wordsOf(sql);
  const calls = strangeFunctions(node);
  const effects = [...effectsOf(node, words), ...cascadeOf(node, words), ...calls.map((name) => unknown(`a call of ${name}()`))].map((effect) =>
    effect.of === 'unknown' ? unknown(`statement ${number}: ${effect.what}`) : effect,
  );
  return {
    number,
    sql,
    title: `statement ${number} (${words})`,
    effects: effects.filter((one, place) => effects.findIndex((other) => JSON.stringify(other) === JSON.stringify(one)) === place),
    relations: [...relationsOf(node), ...effects.flatMap((effect) => (effect.of === 'unknown' ? [] : [effect.relation]))],
    alone: aloneOf(node),
    renames: kind === 'RenameStmt' || kind === 'AlterObjectSchemaStmt' || kind === 'DoStmt' || kind === 'CallStmt' || calls.length > 0,
    creates: !('DropStmt' in node) && !('TruncateStmt' in node) && !('AlterTableStmt' in node && dropsOnly(node.AlterTableStmt)),
    isQuery: kind === 'SelectStmt',
  };
}

/** `DROP INDEX CONCURRENTLY public.orders_idx`: keywords and the first name. */
function wordsOf(sql: string): string {
  const tokens = scanSync(sql).tokens.filter(({ tokenName }) => !tokenName.endsWith('COMMENT'));
  const isName = ({ tokenName }: { tokenName: string }): boolean => tokenName === 'IDENT';
  const first = tokens.findIndex((token) => isName(token) || token.keywordName === 'NO_KEYWORD');
  const keywords = tokens.slice(0, first < 0 ? WORDS_MAX : Math.min(first, WORDS_MAX)).map(({ text }) => text.toUpperCase());
  const name = tokens.slice(first < 0 ? tokens.length : first);
  const end = name.findIndex((token, place) => (place % 2 === 0 ? !isName(token) : token.text !== '.'));
  const named = name.slice(0, end < 0 ? name.length : end).map(({ text }) => text);
  return [...keywords, named.join('')].filter((word) => word !== '').join(' ');
}

const unknown = (what: string): Effect & { of: 'unknown' } => ({ of: 'unknown', what });
const cascadeOf = (node: Node, words: string): Effect[] =>
  some(node, (key, value) => key === 'behavior' && value === 'DROP_CASCADE') ? [unknown(`${words} … CASCADE`)] : [];

const DROPPED: Readonly<Record<string, 'table' | 'materialized view'>> = { OBJECT_TABLE: 'table', OBJECT_MATVIEW: 'materialized view' };

function effectsOf(node: Node, words: string): Effect[] {
  if ('DropStmt' in node) {
    const { removeType = '', objects = [], missing_ok: ifExists = false } = node.DropStmt;
    const of = DROPPED[removeType];
    if (of !== undefined) return objects.flatMap(nameOf).map((relation) => ({ of, relation, ifExists }));
    return isHarmlessDrop(removeType) ? [] : [unknown(words)];
  }
  if ('TruncateStmt' in node) return relationsOf(node).map((relation) => ({ of: 'rows', relation, ifExists: false }));
  if ('AlterTableStmt' in node) return commandsOf(node.AlterTableStmt, words);
  return isHarmless(node) ? [] : [unknown(words)];
}

function commandsOf({ relation, cmds = [], objtype, missing_ok: isTableOptional = false }: AlterTableStmt, words: string): Effect[] {
  const of = { relation: { schema: relation?.schemaname ?? null, name: relation?.relname ?? '' } };
  return cmds.flatMap((node): Effect[] => {
    const { subtype = '', name: column = '', missing_ok: ifExists = false } = 'AlterTableCmd' in node ? node.AlterTableCmd : {};
    if (isHarmlessCommand(subtype)) return [];
    if (subtype === 'AT_DropColumn' && objtype === 'OBJECT_TABLE') return [{ of: 'column', ...of, column, ifExists: ifExists || isTableOptional }];
    const what = subtype === 'AT_AlterColumnType' ? `${words} ALTER COLUMN ${column} TYPE` : `${words} ${subtype.replace('AT_', '')}${column && ` ${column}`}`;
    return [unknown(what)];
  });
}

const dropsOnly = ({ cmds = [] }: AlterTableStmt): boolean =>
  cmds.every((node) => 'AlterTableCmd' in node && /^AT_(?:Drop|ColumnDefault|SetNotNull)/.test(node.AlterTableCmd.subtype ?? ''));
