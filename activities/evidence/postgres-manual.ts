/** The same with psql alone: to look at a chain, and to annotate it. */
import { resolve } from 'node:path';
import { quotedTable } from '../databases/postgres-session.ts';
import type { ChainCall } from './chain.ts';
import type { ChainOptions } from './postgres-options.ts';
import { column, literal, printing, segmentsOf, type Segment } from './postgres-sql.ts';

const quoted = (word: string): string => `'${word.replaceAll("'", String.raw`'\''`)}'`;
/** The reference as the shell resolves it, never what it stands for. */
const address = (url: string, folder: string): string => (url.startsWith('env:') ? `"$${url.slice(4)}"` : `"$(cat ${quoted(resolve(folder, url.slice(5)))})"`);

const unlinked = ({ order, previous, hash, table }: ChainOptions): string =>
  [
    `SELECT "at" FROM (SELECT ${column(order)}::text AS "at", row_number() OVER chain AS place,`,
    `${column(previous)} IS DISTINCT FROM lag(${column(hash)}) OVER chain AS broken`,
    `FROM ${quotedTable(table)} t WINDOW chain AS (ORDER BY ${column(order)})) entries WHERE broken AND place > 1`,
  ].join(' ');

const bytesOf = ({ kind, sql, instead }: Segment): string =>
  kind === 'text' ? `convert_to(${sql}, 'UTF8')` : `coalesce(decode(${sql}, '${kind}'), convert_to(${literal(instead ?? '')}, 'UTF8'))`;

/** Null: psql cannot make canonical JSON. */
function unhashed(options: ChainOptions): string | null {
  const segments = segmentsOf(options);
  if (segments.some(({ kind }) => kind === 'json')) return null;
  const { order, hash, table, algorithm, encoding, prefix } = options;
  const bytes = `${algorithm}(${segments.map(bytesOf).join(' || ')})`;
  const stored = encoding === 'bytea' ? column(hash) : `decode(substr(${column(hash)}::text, ${prefix.length + 1}), '${encoding}')`;
  const settings = Object.entries(printing(options)).map(([name, value]) => `SET ${name} = ${literal(value)}; `);
  return `${settings.join('')}SELECT ${column(order)}::text AS "at" FROM ${quotedTable(table)} t WHERE ${stored} IS DISTINCT FROM ${bytes}`;
}

export function manual({ name, options, folder }: Pick<ChainCall<ChainOptions>, 'name' | 'options' | 'folder'>): string[] {
  const ask = (sql: string): string => `psql ${address(options.url, folder)} -c ${quoted(sql)}`;
  const hashes = unhashed(options);
  return [
    `# ${name}: the entries that are not linked to the one before them; none should be shown`,
    ask(unlinked(options)),
    `# ${name}: the entries whose hash is not that of what they hold; none should be shown`,
    hashes === null ? '# it is over canonical JSON (RFC 8785), which psql cannot make: verify it with the tool of the house' : ask(hashes),
    `# ${name}: append ONE entry that names the incident, and what is affected; change and delete none`,
    'function' in options.append
      ? `echo ${quoted(`SELECT ${quotedTable(options.append.function)}(jsonb_build_object('incident', :'incident', 'by', current_user, 'at', now()))`)} | psql ${address(options.url, folder)} -v incident="$INCIDENT"`
      : '# as the application of the house appends, with the link and the hash',
  ];
}
