/** The store on Postgres: one line a method; what it means is said in `store.ts`. */
import type { Store } from './store.ts';
import { claim, claims, transferClaims } from './claims.ts';
import { credentials, tellCredentials } from './credentials.ts';
import { connect, type StoreOptions } from './database.ts';
import { deployment, deployments, lastHealthy, recordDeployment, verifyDeployment } from './deployments.ts';
import { freeze, freezes, unfreeze } from './freezes.ts';
import { hasHistory, recordOf, saveHistory } from './histories.ts';
import { migrate } from './migrate.ts';
import { append, chain, entriesOf, find, position } from './record.ts';
import { finish, lastAttempt, open, replan, rollback, rollbacks } from './rollbacks.ts';
import { migrations, migrationUndone, recordMigrations } from './schema-history.ts';
import { snapshot } from './snapshots.ts';

/** Connects with the first call, not here; throws only where `url` is no address at all. */
export function openStore(url: string, options: StoreOptions = {}): Store {
  const database = connect(url, options);
  return {
    migrate: () => migrate(url),
    ping: async () => {
      await database.query('SELECT 1');
    },
    close: () => database.close(),

    append: (rollbackId, entries) => append(database, rollbackId, entries),
    find: (event) => find(database, event),
    entriesOf: (rollbackId) => entriesOf(database, rollbackId),
    chain: (after = 0) => chain(database, after),
    position: (rollbackId) => position(database, rollbackId),

    recordDeployment: (row) => recordDeployment(database, row),
    verifyDeployment: (deploymentId, passed, details, snapshot) => verifyDeployment(database, deploymentId, passed, details, snapshot),
    deployment: (deploymentId) => deployment(database, deploymentId),
    deployments: (filter) => deployments(database, filter),
    lastHealthy: (environment, component, except) => lastHealthy(database, environment, component, except),
    snapshot: (deploymentId) => snapshot(database, deploymentId),

    open: (request) => open(database, request),
    finish: (request) => finish(database, request),
    claims: (filter) => claims(database, filter),
    claim: (request) => claim(database, request),
    transferClaims: (request) => transferClaims(database, request),
    replan: (rollbackId, to, entry) => replan(database, rollbackId, to, entry),

    freeze: (request) => freeze(database, request),
    unfreeze: (request) => unfreeze(database, request),
    freezes: (filter) => freezes(database, filter),

    recordMigrations: (request) => recordMigrations(database, request),
    migrations: (of) => migrations(database, of),
    migrationUndone: (told) => migrationUndone(database, told),
    tellCredentials: (all) => tellCredentials(database, all),
    credentials: (filter) => credentials(database, filter),

    rollback: (rollbackId) => rollback(database, rollbackId),
    rollbacks: (filter) => rollbacks(database, filter),
    lastAttempt: (environment, component, deploymentId) => lastAttempt(database, environment, component, deploymentId),

    saveHistory: (history, entry) => saveHistory(database, history, entry),
    hasHistory: (runId) => hasHistory(database, runId),
    recordOf: (rollbackId) => recordOf(database, rollbackId),
  };
}
