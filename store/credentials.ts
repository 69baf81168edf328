/** `ops.credential_generations`: which generation of a credential is old, issued, installed or revoked [001 step 3e]. Only grows. */
import type { CredentialGeneration, Store } from './store.ts';
import type { Database } from './database.ts';

interface Row {
  environment: string;
  credential: string;
  generation: string;
  fingerprint: string | null;
  state: CredentialGeneration['state'];
  rollback_id: string;
  at: Date;
}

/** `Store.tellCredentials`. In one transaction: half of a list would be taken for all of it. */
export const tellCredentials = (database: Database, all: readonly CredentialGeneration[]): Promise<void> =>
  database.transaction(async (queries) => {
    for (const one of all)
      await queries.query(
        `INSERT INTO ops.credential_generations (environment, credential, generation, fingerprint, state, rollback_id, at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
        [one.environment, one.credential, one.generation, one.fingerprint, one.state, one.rollbackId, one.at],
      );
  });

/** `Store.credentials`. */
export async function credentials(database: Database, filter: Parameters<Store['credentials']>[0]): Promise<CredentialGeneration[]> {
  const { environment = null, credential = null, rollbackId = null, state = null } = filter;
  const rows = await database.query<Row>(
    `SELECT environment, credential, generation, fingerprint, state, rollback_id, at FROM ops.credential_generations
     WHERE ($1::text IS NULL OR environment = $1) AND ($2::text IS NULL OR credential = $2) AND ($3::uuid IS NULL OR rollback_id = $3)
       AND ($4::text IS NULL OR state = $4) ORDER BY id`,
    [environment, credential, rollbackId, state],
  );
  return rows.map(({ rollback_id: of, at, ...row }) => ({ ...row, rollbackId: of, at: at.toISOString() }));
}
