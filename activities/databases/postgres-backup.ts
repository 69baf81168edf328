/**
 * A backup restored into a new database of the same server [004 section 3.2]. Whose a database is, and how far it is, is said by its own COMMENT; what this
 * operation has half made is dropped and begun anew, and nothing else is ever dropped.
 */
import { randomUUID } from 'node:crypto';
import { escapeIdentifier, escapeLiteral, type Client } from 'pg';
import { AdapterError } from '../adapters/adapter.ts';
import type { Receipt } from '../../model/state.ts';
import { readDump, type Dump } from './postgres-dump.ts';
import { isOurs, shortId } from './postgres-mark.ts';
import { applicationOf, sqlState, withSession, type Address, type Call } from './postgres-session.ts';
import { databaseOf, environmentOf, isDiskFull, runTool, withDatabaseName, wordsOf } from './postgres-tool.ts';

type Backup = NonNullable<Call['options']['backup']>;

/** What the comment says. */
interface Mark {
  readonly backout: string;
  readonly state: 'begun' | 'finished';
  /** Of one attempt: whoever finds another's here has been superseded. */
  readonly attempt: string;
  readonly asOf: string;
  readonly asOfFrom: Dump['asOfFrom'];
}
interface Place {
  readonly admin: Backup['admin'];
  readonly inUse: string;
  readonly name: string;
  /** Who enters it later. */
  readonly user: string;
}

const LOCK_SECONDS = 60;
const NAME_BYTES = 63;
const EMPTY_NAME_BYTES = NAME_BYTES - '_backout_01234567'.length;

export function backupOf({ options, name }: Call): Backup {
  if (options.backup === undefined) throw new AdapterError('configuration', `the database ${name} has no \`backup\` to be recovered from`);
  return options.backup;
}

export async function backupRecoverable(call: Call): Promise<{ readonly problem: string | null; readonly asOf: string | null }> {
  if (call.options.backup === undefined) return { problem: `the database ${call.name} has no \`backup\` to be recovered from`, asOf: null };
  const dump = await readDump(call, call.options.backup.file);
  if ('problem' in dump) return { problem: dump.problem, asOf: null };
  const place = await placeOf(call);
  const problem = await withSession(call, place.admin, async (client) => {
    const { rows } = await client.query<{ may: boolean }>('SELECT rolcreatedb OR rolsuper AS may FROM pg_roles WHERE rolname = current_user');
    if (rows[0]?.may !== true) return `${place.admin} may not create databases`;
    const there = await standing(call, client, place);
    return there === 'foreign' ? `there is a database ${place.name} already that this rollback did not make` : null;
  });
  return { problem, asOf: dump.asOf };
}

export async function recoverBackup(call: Call): Promise<Receipt> {
  const { file } = backupOf(call);
  const dump = await readDump(call, file);
  if ('problem' in dump) throw new AdapterError('configuration', dump.problem);
  const place = await placeOf(call);
  await requireSameServer(call, place);
  const mark: Mark = { backout: call.operationId, state: 'begun', attempt: randomUUID(), asOf: dump.asOf, asOfFrom: dump.asOfFrom };
  const finished = await alone(call, place, (client) => begin(call, client, place, mark));
  if (finished !== null) return receiptOf(place, finished, true, []);
  try {
    await fill(call, place, dump);
    const lost = await finish(call, place, mark);
    return receiptOf(place, { ...mark, state: 'finished' }, false, lost);
  } catch (error) {
    // Stopped from outside: the next attempt finds it half made.
    if (call.signal.aborted || !(error instanceof AdapterError) || error.kind === 'superseded') throw error;
    throw new AdapterError(error.kind, `${error.message}; ${await dropped(call, place, mark)}, and the one in use was not touched`, { cause: error });
  }
}

/** Null: there is none. */
export async function recoveredFromBackup(call: Call): Promise<string | null> {
  if (call.options.backup === undefined) return null;
  const place = await placeOf(call);
  const there = await withSession(call, place.admin, (client) => standing(call, client, place));
  if (there === null || typeof there === 'string' || there.state !== 'finished') return null;
  return withDatabaseName(await call.secret(call.options.url), place.name);
}

async function placeOf(call: Call): Promise<Place> {
  const [url, { admin }] = [await call.secret(call.options.url), backupOf(call)];
  const inUse = databaseOf(url);
  const stem = Buffer.from(inUse)
    .subarray(0, EMPTY_NAME_BYTES)
    .toString('utf8')
    .replace(/\uFFFD+$/, '');
  return { admin, inUse, name: `${stem}_backout_${shortId(call.operationId)}`, user: decodeURIComponent(new URL(url).username) };
}

/** Where both can be asked: what is in use may be gone altogether, which is what a backup is for. */
async function requireSameServer(call: Call, { admin }: Place): Promise<void> {
  const identity = async (address: Address): Promise<string | null> =>
    withSession(
      call,
      address,
      async (client) => (await client.query<{ id: string }>('SELECT system_identifier::text AS id FROM pg_control_system()')).rows[0]?.id ?? null,
    );
  const its = await identity(call.options.url).catch((error: unknown) => {
    if (call.signal.aborted || !(error instanceof AdapterError)) throw error;
    return null;
  });
  if (its !== null && its !== (await identity(admin))) {
    throw new AdapterError('configuration', `${admin} is not a database of the same server as ${call.options.url}: nobody would find there what was recovered`);
  }
}

/** Null: there is none of this name. `empty`: a crash between two statements left it, without a comment and with nothing in it. */
async function standing(call: Call, client: Client, { name, admin }: Place): Promise<Mark | 'foreign' | 'empty' | null> {
  const comment = await commentOf(client, name);
  if (comment === undefined) return null;
  if (comment === null) return (await isEmpty(call, { name, admin })) ? 'empty' : 'foreign';
  const mark = markOf(comment);
  return mark !== null && isOurs(mark.backout, call.operationId) ? mark : 'foreign';
}

/** One attempt at a time looks whose it is and acts on it. */
const alone = <T>(call: Call, { admin, name }: Place, work: (client: Client) => Promise<T>): Promise<T> => {
  const locked = async (client: Client): Promise<T> => {
    await client.query('SELECT pg_advisory_lock(hashtextextended($1, 0))', [name]);
    return work(client);
  };
  return withSession(call, admin, locked, { lockTimeoutSeconds: LOCK_SECONDS, doing: () => `recovering into ${name}` });
};

/** Null: it has none. Undefined: there is no such database. */
async function commentOf(client: Client, name: string): Promise<string | null | undefined> {
  const { rows } = await client.query<{ comment: string | null }>(
    `SELECT shobj_description(oid, 'pg_database') AS comment FROM pg_database WHERE datname = $1`,
    [name],
  );
  return rows[0]?.comment;
}

async function isEmpty(call: Call, { name, admin }: Pick<Place, 'name' | 'admin'>): Promise<boolean> {
  const url = withDatabaseName(await call.secret(admin), name);
  return withSession(call, { url, as: admin }, async (client) => {
    const { rows } = await client.query<{ empty: boolean }>(
      `SELECT NOT EXISTS (SELECT FROM pg_class WHERE oid >= 16384) AND NOT EXISTS (SELECT FROM pg_namespace WHERE oid >= 16384) AS empty`,
    );
    return rows[0]?.empty === true;
  });
}

function markOf(comment: string): Mark | null {
  try {
    const mark = JSON.parse(comment) as Mark | null;
    return typeof mark?.backout === 'string' ? mark : null;
  } catch {
    return null; // Somebody's own words.
  }
}

const commented = (name: string, mark: Mark): string => `COMMENT ON DATABASE ${escapeIdentifier(name)} IS ${escapeLiteral(JSON.stringify(mark))}`;

/** Answers the mark of what is finished already; null: a new one stands there, empty and closed to others. */
async function begin(call: Call, client: Client, place: Place, mark: Mark): Promise<Mark | null> {
  const there = await standing(call, client, place);
  if (there === 'foreign') throw new AdapterError('conflict', `there is a database ${place.name} already that this rollback did not make; it was not touched`);
  if (there !== null && there !== 'empty' && there.state === 'finished') return there;
  const name = escapeIdentifier(place.name);
  // Its sessions are those of an attempt that is over, or is thereby.
  if (there !== null) await client.query(`DROP DATABASE ${name} WITH (FORCE)`);
  try {
    await client.query(`CREATE DATABASE ${name} TEMPLATE template0 ${await likeOf(client, place)}`);
  } catch (error) {
    if (/^(?:42P04|23505)$/.test(sqlState(error))) throw new AdapterError('superseded', `another attempt has just begun with ${place.name}`);
    throw error;
  }
  await client.query(commented(place.name, mark));
  await client.query(`REVOKE ALL ON DATABASE ${name} FROM PUBLIC`);
  return null;
}

/** Owner, encoding and language of the one in use, where that is still there. */
async function likeOf(client: Client, { inUse, user }: Place): Promise<string> {
  const { rows } = await client.query<{ owner: string; its: Record<string, string | null> }>(
    `SELECT pg_get_userbyid(datdba) AS owner, to_jsonb(d) || jsonb_build_object('name', pg_encoding_to_char(encoding)) AS its FROM pg_database AS d WHERE datname = $1`,
    [inUse],
  );
  const { owner = user, its = {} } = rows[0] ?? {};
  const { name, datcollate, datctype, datlocprovider } = its as Record<string, string | null | undefined>;
  const locale = its['datlocale'] ?? its['daticulocale'];
  const said = { ENCODING: name, LC_COLLATE: datcollate, LC_CTYPE: datctype };
  const like = Object.entries(said).flatMap(([option, value]) => (typeof value === 'string' ? [`${option} ${escapeLiteral(value)}`] : []));
  if (datlocprovider === 'i' && typeof locale === 'string') like.push(`LOCALE_PROVIDER icu ICU_LOCALE ${escapeLiteral(locale)}`);
  if (datlocprovider === 'b' && typeof locale === 'string') like.push(`LOCALE_PROVIDER builtin BUILTIN_LOCALE ${escapeLiteral(locale)}`);
  return [`OWNER ${escapeIdentifier(owner)}`, ...like].join(' ');
}

async function fill(call: Call, { admin, name }: Place, dump: Dump): Promise<void> {
  const address = withDatabaseName(await call.secret(admin), name);
  const env = environmentOf(address, applicationOf(call));
  // Not in the environment alone: pg_restore writes to its output unless it is told where to.
  const into = `dbname='${name.replaceAll(/['\\]/g, '\\$&')}'`;
  let now = 'beginning';
  const heard = (line: string): void => {
    now = /^pg_restore: ((?:creating|processing data for|executing) .{1,120})/.exec(line)?.[1] ?? now;
  };
  const args = dump.isPlain
    ? ['-X', '-q', '-w', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=sqlstate', '-o', '/dev/null', '-f', dump.path, '-d', into]
    : ['--exit-on-error', '--no-password', '--verbose', '-d', into, dump.path];
  const program = dump.isPlain ? 'psql' : 'pg_restore';
  const { ended, lines } = await runTool(call, { program, args, env, heard, doing: () => `restoring into ${name}: ${now}` });
  if (ended.code === 0) return;
  throw new AdapterError('failed', `${program}: ${isDiskFull(lines) ? 'the disk of the server is full' : wordsOf(lines, ended)}`);
}

/** Opens it to those who may enter the one in use; answers the settings of that one, which no dump holds. */
async function finish(call: Call, place: Place, mark: Mark): Promise<readonly string[]> {
  const url = withDatabaseName(await call.secret(place.admin), place.name);
  // Without it the first queries after the switch-over would be planned blindly.
  const doing = (): string => `analysing ${place.name}`;
  await withSession(call, { url, as: place.admin }, (client) => client.query('ANALYZE'), { statementTimeoutSeconds: 0, doing });
  return alone(call, place, async (client) => {
    const { rows: grants } = await client.query<{ grantee: string | null; privilege: string }>(
      `SELECT DISTINCT CASE WHEN grantee <> 0 THEN pg_get_userbyid(grantee) END AS grantee, privilege_type AS privilege
       FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE datname = $1`,
      [place.inUse],
    );
    await client.query('BEGIN');
    await requireOurs(client, place, mark);
    const all = grants.length > 0 ? grants : [{ grantee: null, privilege: 'CONNECT' }];
    for (const { grantee, privilege } of all) {
      await client.query(`GRANT ${privilege} ON DATABASE ${escapeIdentifier(place.name)} TO ${grantee === null ? 'PUBLIC' : escapeIdentifier(grantee)}`);
    }
    await client.query(commented(place.name, { ...mark, state: 'finished' }));
    await client.query('COMMIT');
    const { rows } = await client.query<{ name: string }>(
      `SELECT DISTINCT split_part(unnest(setconfig), '=', 1) AS name FROM pg_db_role_setting JOIN pg_database ON oid = setdatabase WHERE datname = $1 ORDER BY 1`,
      [place.inUse],
    );
    return rows.map(({ name }) => name).filter((name) => name !== 'default_transaction_read_only');
  });
}

async function requireOurs(client: Client, { name }: Place, { attempt }: Mark): Promise<void> {
  const comment = await commentOf(client, name);
  if (markOf(comment ?? '')?.attempt !== attempt) throw new AdapterError('superseded', `another attempt has taken over ${name}`);
}

/** In words, what became of the half-made one. Throws `superseded` where it is no longer ours. */
async function dropped(call: Call, place: Place, mark: Mark): Promise<string> {
  try {
    return await alone(call, place, async (client) => {
      await requireOurs(client, place, mark);
      await client.query(`DROP DATABASE ${escapeIdentifier(place.name)} WITH (FORCE)`);
      return `the half-made database ${place.name} was dropped`;
    });
  } catch (error) {
    if (error instanceof AdapterError && error.kind === 'superseded') throw error;
    return `the half-made database ${place.name} is still there (${error instanceof Error ? error.message : 'no reason'})`;
  }
}

function receiptOf(place: Place, { asOf, asOfFrom }: Mark, already: boolean, lost: readonly string[]): Receipt {
  const detail = [
    `${place.name} holds the backup as of ${asOf}${asOfFrom === 'file' ? ' at the latest (the date of its file)' : ''}; ${place.inUse} was not touched`,
    ...(lost.length > 0 ? [`settings of ${place.inUse} itself are in no dump: ${lost.join(', ')}`] : []),
  ].join('; ');
  return { before: { inUse: place.inUse }, after: { database: place.name, from: 'backup', asOf, asOfFrom, already, settingsNotRestored: lost }, detail };
}
