/** A database recovered beside the one in use, and the one in use sealed against writes while people move over. */
import { escapeIdentifier, type Client } from 'pg';
import type { Receipt } from '../../model/state.ts';
import { AdapterError } from '../adapters/adapter.ts';
import type { RecoverFrom } from './database.ts';
import { archiveRecoverable, recoverArchive, recoveredFromArchive } from './postgres-archive.ts';
import { backupRecoverable, recoverBackup, recoveredFromBackup } from './postgres-backup.ts';
import { applicationOf, withSession, type Call } from './postgres-session.ts';
import { databaseOf } from './postgres-tool.ts';

export async function recoverable(call: Call, from: RecoverFrom): Promise<{ readonly problem: string | null; readonly asOf: string | null }> {
  return from === 'backup' ? backupRecoverable(call) : archiveRecoverable(call, from);
}

export async function recover(call: Call, from: RecoverFrom): Promise<Receipt> {
  return from === 'backup' ? recoverBackup(call) : recoverArchive(call, from);
}

export async function recovered(call: Call): Promise<string> {
  const url = (await recoveredFromArchive(call)) ?? (await recoveredFromBackup(call));
  if (url === null) throw new AdapterError('not-found', 'this rollback has recovered no database that is finished');
  return url;
}

/** For new sessions, and only by default: whoever says otherwise in a session may write. The receipt names who is connected since before. */
export async function seal(call: Call, sealed: boolean): Promise<Receipt> {
  const inUse = databaseOf(await call.secret(call.options.url));
  return withSession(
    call,
    call.options.backup?.admin ?? call.options.url,
    async (client) => {
      // One's own session may be of the sealed ones.
      await client.query('SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE');
      const before = await isSealed(client, inUse);
      const database = escapeIdentifier(inUse);
      if (before !== sealed)
        await client.query(`ALTER DATABASE ${database} ${sealed ? 'SET default_transaction_read_only = on' : 'RESET default_transaction_read_only'}`);
      const { rows } = await client.query<{ application: string; sessions: number }>(
        `SELECT coalesce(nullif(application_name, ''), '(no name)') AS application, count(*)::int AS sessions FROM pg_stat_activity
         WHERE datname = $1 AND pid <> pg_backend_pid() AND application_name <> $2 AND coalesce(backend_type, 'client backend') = 'client backend'
         GROUP BY 1 ORDER BY 2 DESC, 1`,
        [inUse, applicationOf(call)],
      );
      const names = rows.map(({ application, sessions }) => `${application} (${sessions})`).join(', ');
      const detail = `${inUse} ${sealed ? 'takes no writes of new sessions' : 'takes writes again'}; still connected: ${names === '' ? 'nobody' : names}`;
      return { before: { sealed: before }, after: { database: inUse, sealed, already: before === sealed, connected: rows }, detail };
    },
    { doing: () => `${sealed ? 'sealing' : 'unsealing'} ${inUse}` },
  );
}

async function isSealed(client: Client, inUse: string): Promise<boolean> {
  const { rows } = await client.query<{ sealed: boolean }>(
    `SELECT EXISTS (SELECT FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase, unnest(setconfig) AS setting
       WHERE datname = $1 AND setrole = 0 AND setting ~ '^default_transaction_read_only=(on|true|yes|1)$') AS sealed`,
    [inUse],
  );
  return rows[0]?.sealed === true;
}
