/** The undoing of a migration by hand, for psql. */
import { join } from 'node:path';
import { escapeIdentifier, escapeLiteral } from 'pg';
import type { Migration } from './database.ts';
import { inverseOf } from './postgres-inverse.ts';
import { ledgerOf, lockOf, newestFirst } from './postgres-ledger.ts';
import { quotedTable, type Call } from './postgres-session.ts';

const word = (text: string): string => (/^[\w./:=@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`);
/** One argument of several lines, on one line. */
const lines = (sql: readonly string[]): string =>
  `"$(printf '%s\\n' ${sql
    .flatMap((text) => text.split(/\r?\n/))
    .map((line) => word(line) || "''")
    .join(' ')})"`;

/** The address as the shell finds it, so that it is written nowhere. */
function addressOf(reference: string): string {
  const [, kind, place = ''] = /^(env|file):(.+)$/s.exec(reference) ?? [];
  if (kind === 'file') return `"$(cat ${word(place)})"`;
  return /^[A-Za-z_]\w*$/.test(place) ? `"$${place}"` : `"$(printenv ${word(place)})"`;
}

export function manual(call: Pick<Call, 'name' | 'options' | 'folder'>, migration: Migration): string[] {
  const { options, folder } = call;
  const ledger = ledgerOf(call);
  const [table, column] = [quotedTable(ledger.table), escapeIdentifier(ledger.name)];
  const name = escapeLiteral(migration.name);
  const psql = `${word(options.bin === undefined ? 'psql' : join(options.bin, 'psql'))} -X -v ON_ERROR_STOP=1 ${addressOf(options.url)} -c`;
  const newest = `SELECT ${column}::text FROM ${table} ORDER BY ${newestFirst(ledger)} LIMIT 1`;
  const refuse = `BEGIN IF (${newest}) IS DISTINCT FROM ${name} THEN RAISE EXCEPTION 'it is not the newest migration'; END IF; END`;
  const guard = `DO ${escapeLiteral(refuse)};`;
  const takeOut = `DELETE FROM ${table} WHERE ${column}::text = ${name};`;
  const limits = `-c lock_timeout=${options.lockTimeoutSeconds}s -c statement_timeout=${options.statementTimeoutSeconds}s`;
  const start = [`cd ${word(folder)}`, `export PGOPTIONS='${limits}'`];
  const { statements, problem } = inverseOf(migration.inverse);
  if (problem !== null)
    return [...start, `# the inverse of ${migration.name.replaceAll(/\s+/g, ' ')} cannot be run: ${problem}`, `${psql} ${lines([`${newest};`])}`];
  if (statements.every(({ alone }) => alone === null)) {
    const locks = [lockOf(ledger), ...(ledger.lock === undefined ? [] : [`SELECT pg_catalog.pg_advisory_xact_lock(${ledger.lock});`])];
    return [...start, `${psql} ${lines(['BEGIN;', ...locks, guard, ...statements.map(({ sql }) => `${sql.trim()}\n;`), takeOut, 'COMMIT;'])}`];
  }
  // Each on its own, and the next one only where the one before has worked.
  return [...start, [[guard], ...statements.map(({ sql }) => [sql.trim()]), [takeOut]].map((sql) => `${psql} ${lines(sql)}`).join(' && ')];
}
