/** `ops.migration_history` [003] over several environments and databases, and `ops.credential_generations`. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sha256 } from '../../store/digest.ts';
import { openStore } from '../../store/postgres.ts';
import type { CredentialGeneration, Store } from '../../store/store.ts';
import { type TestDatabase, testDatabase } from './database.ts';
import { recorded } from './given.ts';

let database: TestDatabase;
let store: Store;
beforeAll(async () => {
  database = await testDatabase();
  store = openStore(database.url);
  await store.migrate();
}, 60_000);
afterAll(async () => {
  await store.close();
  await database.drop();
});

const given = (name: string, more: Partial<{ hash: string; sql: string | null; inverse: string | null }> = {}) => ({
  name,
  hash: sha256(name),
  sql: null,
  inverse: `DROP TABLE ${name}`,
  ...more,
});
const AT = '2026-11-21T03:00:00.000Z';

describe('migrations', () => {
  it('are recorded with their deployment, once, and told newest deployment first', async () => {
    const environment = randomUUID();
    const [first, second] = [await recorded(store, 'v1', { environment }), await recorded(store, 'v2', { environment })];
    const both = [given('a'), given('b')];
    await expect(store.recordMigrations({ deploymentId: first.deploymentId, database: 'main', migrations: both })).resolves.toEqual({
      recorded: 2,
      already: 0,
    });
    await expect(store.recordMigrations({ deploymentId: second.deploymentId, database: 'main', migrations: [...both, given('c')] })).resolves.toEqual({
      recorded: 1,
      already: 2,
    });
    const all = await store.migrations({ environment, database: 'main' });
    expect(all.map(({ name, deploymentId, component, version }) => [name, deploymentId, component, version])).toEqual([
      ['c', second.deploymentId, 'web', 'v2'],
      ['b', first.deploymentId, 'web', 'v1'],
      ['a', first.deploymentId, 'web', 'v1'],
    ]);
    expect(all[0]).toMatchObject({ hash: sha256('c'), inverse: 'DROP TABLE c', isInverseAsRecorded: true });
  });
  it('[ADR 0023] of another environment or database may have the same name', async () => {
    for (const [environment, name] of [
      ['x-1', 'main'],
      ['x-2', 'main'],
      ['x-2', 'billing'],
    ] as const) {
      const { deploymentId } = await recorded(store, 'v1', { environment });
      await expect(store.recordMigrations({ deploymentId, database: name, migrations: [given('same')] })).resolves.toEqual({ recorded: 1, already: 0 });
    }
  });
  it('that are recorded otherwise already are refused, and nothing of the call is kept', async () => {
    const environment = randomUUID();
    const { deploymentId } = await recorded(store, 'v1', { environment });
    const record = (...migrations: ReturnType<typeof given>[]) => store.recordMigrations({ deploymentId, database: 'main', migrations });
    await record(given('a'));
    await expect(record(given('new'), given('a', { hash: sha256('other') }))).rejects.toThrow(/a of main is recorded already, with another hash/);
    await expect(record(given('new'), given('a', { inverse: 'SELECT 1' }))).rejects.toThrow(/with another inverse; what is recorded is not changed afterwards/);
    await expect(store.migrations({ environment, database: 'main' })).resolves.toHaveLength(1);
    await expect(store.recordMigrations({ deploymentId: randomUUID(), database: 'main', migrations: [given('a')] })).rejects.toThrow(/no deployment/);
  });
  it('may be given their SQL and a way back later, and keep what they have', async () => {
    const environment = randomUUID();
    const { deploymentId } = await recorded(store, 'v1', { environment });
    const record = (one: ReturnType<typeof given>) => store.recordMigrations({ deploymentId, database: 'main', migrations: [one] });
    await record(given('a', { inverse: null }));
    await expect(store.migrations({ environment, database: 'main' })).resolves.toMatchObject([{ inverse: null, sql: null, isInverseAsRecorded: true }]);
    await record(given('a', { sql: 'CREATE TABLE a ()' }));
    await record(given('a', { inverse: null }));
    await expect(store.migrations({ environment, database: 'main' })).resolves.toMatchObject([
      { inverse: 'DROP TABLE a', sql: 'CREATE TABLE a ()', isInverseAsRecorded: true },
    ]);
  });
  it('whose inverse somebody has changed behind our back say so', async () => {
    const environment = randomUUID();
    const { deploymentId } = await recorded(store, 'v1', { environment });
    await store.recordMigrations({ deploymentId, database: 'main', migrations: [given('a')] });
    await database.query(`UPDATE ops.migration_history SET rollback_script = 'DROP TABLE orders' WHERE environment = '${environment}'`);
    await expect(store.migrations({ environment, database: 'main' })).resolves.toMatchObject([{ isInverseAsRecorded: false }]);
  });
  it('that were undone fill the columns of [003], and may be applied again in a row of their own', async () => {
    const environment = randomUUID();
    const { deploymentId } = await recorded(store, 'v1', { environment });
    const record = () => store.recordMigrations({ deploymentId, database: 'main', migrations: [given('a')] });
    const told = { environment, database: 'main', name: 'a', at: AT };
    await record();
    await store.migrationUndone({ ...told, successful: false, milliseconds: null, error: 'relation does not exist' });
    await expect(store.migrations({ environment, database: 'main' })).resolves.toHaveLength(1);
    await store.migrationUndone({ ...told, successful: true, milliseconds: 12, error: null });
    await store.migrationUndone({ ...told, successful: false, milliseconds: 99, error: 'too late' });
    await expect(store.migrations({ environment, database: 'main' })).resolves.toEqual([]);
    await record();
    const rows = await database.query(
      `SELECT rolled_back_at, rollback_successful, execution_time_ms, error_message FROM ops.migration_history WHERE environment = '${environment}' ORDER BY id`,
    );
    expect(rows).toEqual([
      { rolled_back_at: new Date(AT), rollback_successful: true, execution_time_ms: 12, error_message: null },
      { rolled_back_at: null, rollback_successful: null, execution_time_ms: null, error_message: null },
    ]);
  });
});

describe('generations of credentials', () => {
  const rollbackId = randomUUID();
  const generation = (more: Partial<CredentialGeneration> = {}): CredentialGeneration => ({
    environment: 'production',
    credential: 'payments',
    generation: 'key-1',
    fingerprint: 'fp1:a:b',
    state: 'old',
    rollbackId,
    at: AT,
    ...more,
  });
  it('are told once, in their order, and found by what they are', async () => {
    await store.tellCredentials([generation()]);
    await store.tellCredentials([generation({ at: '2026-11-21T04:00:00.000Z' })]);
    await store.tellCredentials([generation({ generation: 'key-2', state: 'issued', fingerprint: null })]);
    await store.tellCredentials([generation({ state: 'revoked' })]);
    await store.tellCredentials([generation({ rollbackId: randomUUID(), credential: 'other' })]);
    const all = await store.credentials({ environment: 'production', credential: 'payments', rollbackId });
    expect(all.map((one) => [one.generation, one.state, one.at])).toEqual([
      ['key-1', 'old', AT],
      ['key-2', 'issued', AT],
      ['key-1', 'revoked', AT],
    ]);
    await expect(store.credentials({ state: 'revoked' })).resolves.toEqual([generation({ state: 'revoked' })]);
  });
  it('only grow, and know no other states', async () => {
    for (const sql of [
      'UPDATE ops.credential_generations SET state = $$old$$',
      'DELETE FROM ops.credential_generations',
      'TRUNCATE ops.credential_generations',
    ])
      await expect(database.query(sql)).rejects.toThrow(/credential_generations|permission/);
    await expect(
      database.query(
        `INSERT INTO ops.credential_generations (environment, credential, generation, state, rollback_id, at) VALUES ('e', 'c', 'g', 'lost', '${rollbackId}', now())`,
      ),
    ).rejects.toThrow(/credential_generations_state_known/);
  });
});
