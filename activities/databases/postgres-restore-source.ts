/** What a configured restore means in this very database: which columns, which audit entries, which sequences. */
import { escapeIdentifier, escapeLiteral, type Client } from 'pg';
import { AdapterError } from '../adapters/adapter.ts';
import type { Restore } from './database.ts';
import type { RestoreOptions } from './postgres-options.ts';
import { quotedTable, type Call } from './postgres-session.ts';

export interface Source {
  /** For a statement. */
  readonly table: string;
  readonly key: readonly string[];
  /** `k0 uuid, k1 text`: the key with its own types. */
  readonly keyColumns: string;
  /** What may be put back, with its type as Postgres writes it. */
  readonly columns: ReadonlyMap<string, string>;
  /** The numbers that count for themselves, with their sequences. */
  readonly sequences: readonly { readonly column: string; readonly sequence: string }[];
  readonly hasTenant: boolean;
  /** Those that may not be empty, and whose json `null` no audit entry can tell from nothing. */
  readonly jsonNulls: ReadonlySet<string>;
  /** As Preview has them. */
  readonly named: string;
  readonly refersTo: readonly string[];
  readonly notes: readonly string[];
  /** A query of the latest entry of each key: `k0…`, `tenant`, and `old`, of which only `columns` are left. */
  readonly wanted: string;
  /** The same of keys that were touched again after the window; and of tenants that are left out. */
  readonly later: string;
  readonly others: string | null;
  readonly values: readonly unknown[];
  /** Queries over the same window: entries without a key, which nobody can put back; and columns that the table has no more. */
  readonly unreadable: { readonly text: string; readonly values: readonly unknown[] };
  readonly lost: { readonly text: string; readonly values: readonly unknown[] };
}

interface Column {
  readonly name: string;
  readonly notNull: boolean;
  readonly type: string;
  readonly generated: boolean;
  readonly sequence: string | null;
}

/** Throws `configuration` where it cannot be done as it is configured or asked. */
export async function restoreOf(call: Call, restore: Restore, client: Client): Promise<Source> {
  const options = Object.hasOwn(call.options.restores, restore.name) ? call.options.restores[restore.name] : undefined;
  if (options === undefined) throw wrong(`no restore ${restore.name} is configured`);
  const tenants = tenantsOf(options, restore);
  await requireClosed(client, restore);
  const table = quotedTable(options.table);
  const all = await columnsOf(client, table);
  if (all.length === 0) throw wrong(`there is no table ${options.table}`);
  await requireKey(client, table, options);
  const columns = restorable(options, all);
  const { audit, key } = options;
  const about = await aboutOf(client, table, options);
  const [of, action, old, id] = [audit.of, audit.action, audit.old, audit.id].map((name) => `entry.${escapeIdentifier(name)}`);
  const at = timeOf(options, about);
  const ofTable = `${of}::text = $3${audit.schema === undefined ? '' : ` AND entry.${escapeIdentifier(audit.schema)}::text = ${escapeLiteral(about.schema)}`}`;
  const entries = `SELECT ${old}::jsonb AS old, ${at} AS at, ${id} AS id FROM ${quotedTable(audit.table)} AS entry
    WHERE ${at} >= $1::timestamptz AND ${at} < $2::timestamptz AND ${ofTable} AND ${action}::text = $4`;
  const window = [restore.window.from, restore.window.to, audit.named ?? options.table.split('.').at(-1), audit.deleted];
  const types = key.map((name) => columns.get(name) ?? '');
  const places = key.map((_, place) => `k${place}`).join();
  // The keys and the tenant alone are read here, once for each entry: the rest of it may be large. A row that has changed hands is filtered by whose it was last.
  const named = [...new Set([...key, ...(options.tenant === undefined ? [] : [options.tenant])])];
  const raw = (name: string): string => `raw.${escapeIdentifier(name)}`;
  const typed = key.map((name, place) => {
    const value = `${raw(name)}::${types[place]}`;
    return about.validates ? `CASE WHEN pg_input_is_valid(${raw(name)}, ${escapeLiteral(types[place] ?? '')}) THEN ${value} END` : value;
  });
  const keyed = `(${entries}) AS entries
      LEFT JOIN LATERAL jsonb_to_record(CASE WHEN jsonb_typeof(entries.old) = 'object' THEN entries.old END) AS raw(${named.map((name) => `${escapeIdentifier(name)} text`).join()}) ON true,
      LATERAL (SELECT ${typed.map((value, place) => `${value} AS k${place}, ${raw(key[place] ?? '')} AS t${place}`).join()}) AS keys`;
  const readable = key.map((_, place) => `k${place} IS NOT NULL`).join(' AND ');
  const tenant = options.tenant === undefined ? 'NULL::text' : raw(options.tenant);
  // What was made anew and deleted once more has its own, later story. Read once: there may be as many of these as rows.
  const since = `SELECT DISTINCT ${key.map((name, place) => `${old}::jsonb ->> '${name}' AS t${place}`).join()} FROM ${quotedTable(audit.table)} AS entry
      WHERE ${at} >= $2::timestamptz AND ${ofTable} AND ${action}::text = $4`;
  const again = `EXISTS (SELECT FROM since WHERE ${key.map((_, place) => `since.t${place} = latest.t${place}`).join(' AND ')})`;
  const latest = (
    which: string,
  ): string => `WITH since AS MATERIALIZED (${since}) SELECT ${places}, tenant, (SELECT jsonb_object_agg(key, value) FROM jsonb_each(old) WHERE key = ANY ($5)) AS old FROM (
      SELECT DISTINCT ON (${places}) ${places}, ${key.map((_, place) => `t${place}`).join()}, ${tenant} AS tenant, entries.old
      FROM ${keyed} WHERE ${readable} ORDER BY ${places}, entries.at DESC, entries.id DESC) AS latest
    WHERE ${which}`;
  const own = '($6::text[] IS NULL OR tenant = ANY ($6))';
  return {
    table,
    key,
    keyColumns: types.map((type, place) => `k${place} ${type}`).join(),
    columns,
    sequences: all.flatMap(({ name, sequence }) => (sequence === null || !columns.has(name) ? [] : [{ column: name, sequence }])),
    hasTenant: options.tenant !== undefined,
    jsonNulls: new Set(all.flatMap(({ name, type, notNull }) => (notNull && /^jsonb?$/.test(type) ? [name] : []))),
    named: about.named,
    refersTo: about.refersTo,
    notes: notesOf(options, about),
    wanted: latest(`${own} AND NOT ${again}`),
    later: latest(`${own} AND ${again}`),
    others: tenants === null ? null : latest(`(${own}) IS NOT TRUE AND NOT ${again}`),
    values: [...window, [...columns.keys()], tenants],
    unreadable: {
      text: `SELECT count(*) AS rows FROM ${keyed} WHERE (${readable}) IS NOT TRUE`,
      values: window,
    },
    lost: {
      text: `SELECT DISTINCT name FROM (${entries}) AS entries, jsonb_object_keys(CASE WHEN jsonb_typeof(entries.old) = 'object' THEN entries.old END) AS name
        WHERE name <> ALL ($5) ORDER BY 1 LIMIT 20`,
      values: [...window, all.map(({ name }) => name)],
    },
  };
}

interface About {
  readonly named: string;
  readonly schema: string;
  readonly refersTo: readonly string[];
  /** Other tables of the same name. */
  readonly namesakes: readonly string[];
  /** Of the column with the time: its type, and the zone that a time without one is read in. */
  readonly time: string | null;
  readonly zone: string;
  /** Can this Postgres be asked whether a text is a value of a type? From 16 on. */
  readonly validates: boolean;
}

async function aboutOf(client: Client, table: string, { audit }: RestoreOptions): Promise<About> {
  const { rows } = await client.query<About>(
    `SELECT c.oid::regclass::text AS named, n.nspname::text AS schema,
       ARRAY(SELECT DISTINCT confrelid::regclass::text FROM pg_constraint WHERE contype = 'f' AND conrelid = c.oid AND confrelid <> c.oid) AS "refersTo",
       ARRAY(SELECT format('%s.%s', m.nspname, o.relname) FROM pg_class o JOIN pg_namespace m ON m.oid = o.relnamespace
         WHERE o.relname = c.relname AND o.oid <> c.oid AND o.relkind IN ('r', 'p') AND m.nspname !~ '^(pg_|information_schema$)' ORDER BY 1) AS namesakes,
       (SELECT format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = to_regclass($2) AND attname = $3) AS time,
       current_setting('TimeZone') AS zone, to_regprocedure('pg_input_is_valid(text, text)') IS NOT NULL AS validates
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1)`,
    [table, quotedTable(audit.table), audit.at],
  );
  const [about] = rows;
  if (about === undefined) throw wrong(`there is no table ${table}`);
  return about;
}

const WITHOUT_ZONE = 'timestamp without time zone';

const timeOf = ({ audit }: RestoreOptions, { time }: About): string => {
  const at = `entry.${escapeIdentifier(audit.at)}`;
  return time === WITHOUT_ZONE && audit.zone !== undefined ? `(${at} AT TIME ZONE ${escapeLiteral(audit.zone)})` : at;
};

function notesOf({ table, audit }: RestoreOptions, { time, zone, namesakes }: About): string[] {
  return [
    ...(time === WITHOUT_ZONE && audit.zone === undefined && !/^(?:Etc\/)?(?:UTC|GMT)$/.test(zone)
      ? [`the times of ${audit.table} have no zone and are read as ${zone}, which is this database's: where they are of another one, say it in audit.zone`]
      : []),
    ...(namesakes.length > 0 && audit.schema === undefined && audit.named?.includes('.') !== true
      ? [
          `${audit.table} does not say of which schema a table is, and ${namesakes.join(', ')} is called like ${table}: what was deleted there is taken for rows of it; say audit.schema or audit.named`,
        ]
      : []),
  ];
}

/** Null: rows of all. What is asked for may narrow what is configured, never widen it. */
function tenantsOf({ tenant, tenants }: RestoreOptions, restore: Restore): readonly string[] | null {
  if (tenant === undefined && (restore.tenant !== null || tenants !== undefined)) {
    throw wrong(`the restore ${restore.name} names no column that says whose row it is (\`tenant\`), so it cannot be narrowed to a tenant`);
  }
  if (restore.tenant === null) return tenants ?? null;
  if (tenants !== undefined && !tenants.includes(restore.tenant)) throw wrong(`the restore ${restore.name} is not configured for the tenant ${restore.tenant}`);
  return [restore.tenant];
}

/** By the database's own clock: in an open window what is restored would not be what was counted. */
async function requireClosed(client: Client, { window: { from, to } }: Restore): Promise<void> {
  if ([from, to].some((time) => !/^\d{4}-\d\d-\d\dT.*(?:Z|[+-]\d\d:?\d\d)$/.test(time) || Number.isNaN(Date.parse(time)))) {
    throw wrong('the window wants two ISO times with their time zone');
  }
  if (Date.parse(from) >= Date.parse(to)) throw wrong(`the window ends (${to}) before it begins (${from})`);
  const { rows } = await client.query<{ closed: boolean }>('SELECT $1::timestamptz <= clock_timestamp() AS closed', [to]);
  if (rows[0]?.closed !== true) throw wrong(`the window is not over yet (${to}): what is restored would not be what was counted`);
}

async function columnsOf(client: Client, table: string): Promise<readonly Column[]> {
  const { rows } = await client.query<Column>(
    `SELECT attname::text AS name, format_type(atttypid, atttypmod) AS type, attgenerated <> '' AS generated, attnotnull AS "notNull", pg_get_serial_sequence($1, attname) AS sequence
     FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid AND relkind IN ('r', 'p')
     WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
    [table],
  );
  return rows;
}

/** What `ON CONFLICT` asks for, in words that a person can act on. */
async function requireKey(client: Client, table: string, { table: named, key }: RestoreOptions): Promise<void> {
  const { rows } = await client.query(
    `SELECT FROM pg_index WHERE indrelid = to_regclass($1) AND indisunique AND indisvalid AND indimmediate AND indpred IS NULL AND indexprs IS NULL
       AND ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = indrelid AND attnum = ANY ((indkey::int2[])[0:indnkeyatts - 1]) ORDER BY attname) = $2`,
    [table, [...key].sort()],
  );
  if (rows.length === 0) throw wrong(`${key.join(', ')} is no primary key or unique constraint of ${named}`);
}

function restorable(options: RestoreOptions, all: readonly Column[]): ReadonlyMap<string, string> {
  const asked = options.columns === undefined ? all.filter(({ generated }) => !generated).map(({ name }) => name) : [...options.columns, ...options.key];
  const wanted = options.tenant === undefined ? asked : [...asked, ...(options.columns === undefined ? [] : [options.tenant])];
  return new Map(
    [...new Set(wanted)].map((name) => {
      const column = all.find((one) => one.name === name);
      if (column === undefined) throw wrong(`${options.table} has no column ${name}`);
      if (column.generated) throw wrong(`${options.table}.${name} is a generated column: it is not put back, it follows from the others`);
      return [name, column.type];
    }),
  );
}

const wrong = (message: string): AdapterError => new AdapterError('configuration', message);
