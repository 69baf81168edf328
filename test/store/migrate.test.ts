import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrate } from '../../store/migrate.ts';
import { openStore } from '../../store/postgres.ts';
import type { Store } from '../../store/store.ts';
import { queryAt, type TestDatabase, testDatabase } from './database.ts';
import { closing, healthy, opening, recorded } from './given.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
}, 60_000);
afterAll(async () => {
  await database.drop();
});

const columnsOf = async (url: string, table: string): Promise<string[]> => {
  const rows = await queryAt<{ column_name: string }>(
    url,
    `SELECT column_name FROM information_schema.columns WHERE table_schema = 'ops' AND table_name = $1`,
    [table],
  );
  return rows.map((row) => row.column_name).toSorted();
};

async function using(url: string, work: (store: Store) => Promise<void>): Promise<void> {
  const store = openStore(url);
  try {
    await work(store);
  } finally {
    await store.close();
  }
}

describe('the migration', () => {
  it('may run twice, and four times at once on an empty database', async () => {
    await Promise.all([1, 2, 3, 4].map(() => migrate(database.url)));
    await migrate(database.url);
    const applied = await database.query<{ name: string }>('SELECT name FROM ops.schema_migrations ORDER BY id');
    expect(applied.map((row) => row.name)).toEqual(['0001_deployments', '0002_record', '0003_claims', '0004_freezes', '0005_provisioning', '0006_data']);
  });

  it('waits for a migration that is under way elsewhere', async () => {
    const url = await database.another();
    const { PG_MIGRATE_LOCK_ID } = await import('node-pg-migrate');
    const { Client } = await import('pg');
    const other = new Client({ connectionString: url });
    await other.connect();
    await other.query(`SELECT pg_advisory_lock(${PG_MIGRATE_LOCK_ID})`);
    const done = migrate(url).then(() => 'migrated');
    expect(await Promise.race([done, other.query('SELECT pg_sleep(0.3)').then(() => 'waiting')])).toBe('waiting');
    await other.end();
    expect(await done).toBe('migrated');
  });

  it('makes the tables of [003 Database Schema]', async () => {
    await migrate(database.url);
    expect(await columnsOf(database.url, 'deployments')).toEqual([
      'completed_at',
      'component',
      'constitutional_validation',
      'deployed_at',
      'deployed_by',
      'deployment_id',
      'environment',
      'git_branch',
      'git_commit',
      'health_check_details',
      'health_check_passed',
      'id',
      'metadata',
      'platform_ref',
      'rollback_from',
      'rolled_back_at',
      'status',
      'version',
    ]);
    expect(await columnsOf(database.url, 'rollback_events')).toEqual([
      'completed_at',
      'constitutional_validation',
      'deployment_id',
      'event_id',
      'id',
      'initiated_at',
      'initiated_by',
      'metadata',
      'rollback_plan',
      'rollback_steps',
      'status',
      'trigger_reason',
      'trigger_type',
    ]);
    expect(await columnsOf(database.url, 'system_snapshots')).toEqual([
      'created_at',
      'database_schema_hash',
      'deployment_id',
      'environment_config',
      'id',
      'key_metrics',
      'snapshot_id',
      'snapshot_type',
      'table_counts',
    ]);
    expect(await columnsOf(database.url, 'migration_history')).toEqual([
      'applied_at',
      'database',
      'deployment_id',
      'environment',
      'error_message',
      'execution_time_ms',
      'id',
      'metadata',
      'migration_hash',
      'migration_name',
      'rollback_script',
      'rollback_successful',
      'rolled_back_at',
    ]);
  });

  it('knows the words of [003] and no others', async () => {
    await migrate(database.url);
    const insert = (status: string): Promise<unknown> =>
      database.query(
        `INSERT INTO ops.deployments (deployment_id, environment, component, version, git_commit, git_branch, status) VALUES ($1, 'staging', 'web', 'v1', 'c', 'b', $2)`,
        [randomUUID(), status],
      );
    await insert('pending');
    await expect(insert('fine')).rejects.toThrow('deployments_status_known');
  });

  it('takes over the tables of an installation that runs [003] already', async () => {
    const url = await database.another();
    await queryAt(
      url,
      `CREATE SCHEMA ops;
      CREATE TABLE ops.deployments (id bigserial PRIMARY KEY, deployment_id uuid UNIQUE NOT NULL, environment text NOT NULL, version text NOT NULL,
        git_commit text NOT NULL, git_branch text NOT NULL, deployed_by text, deployed_at timestamptz DEFAULT now(), status text NOT NULL,
        rollback_from uuid REFERENCES ops.deployments(deployment_id), health_check_passed boolean DEFAULT false, health_check_details jsonb,
        constitutional_validation jsonb, metadata jsonb, completed_at timestamptz, rolled_back_at timestamptz);
      INSERT INTO ops.deployments (deployment_id, environment, version, git_commit, git_branch, status, health_check_passed)
        VALUES ('${randomUUID()}', 'production', 'v1', 'c', 'b', 'success', true)`,
    );
    await migrate(url);
    await using(url, async (store) => {
      await healthy(store, 'v2');
      const all = await store.deployments({ environment: 'production' });
      expect(all.map((row) => [row.component, row.version])).toEqual([
        ['web', 'v2'],
        ['', 'v1'],
      ]);
    });
  });
});

describe('people', () => {
  it('are names where there are no users', async () => {
    await migrate(database.url);
    await using(database.url, async (store) => {
      expect((await recorded(store, 'v9', { deployedBy: 'ana' })).deployedBy).toBe('ana');
      expect(await database.query(`SELECT deployed_by, metadata ? 'deployed_by' AS twice FROM ops.deployments WHERE version = 'v9'`)).toEqual([
        { deployed_by: 'ana', twice: false },
      ]);
      expect((await recorded(store, 'v10', { deployedBy: null })).deployedBy).toBeNull();
    });
  });

  it('are users where there are any, and every name can be read back', async () => {
    const url = await database.another();
    const ana = randomUUID();
    await queryAt(url, `CREATE SCHEMA auth; CREATE TABLE auth.users (id uuid PRIMARY KEY); INSERT INTO auth.users VALUES ('${ana}')`);
    await migrate(url);
    await using(url, async (store) => {
      const stranger = randomUUID();
      for (const name of [ana, 'ci', stranger, ana.toUpperCase()]) {
        const { deploymentId, deployedBy } = await recorded(store, 'v1', { deployedBy: name });
        expect(deployedBy).toBe(name);
        expect((await store.deployment(deploymentId))?.deployedBy).toBe(name);
      }
      expect(await queryAt(url, 'SELECT deployed_by FROM ops.deployments ORDER BY id')).toEqual([
        { deployed_by: ana },
        { deployed_by: null },
        { deployed_by: null },
        { deployed_by: null },
      ]);
      for (const by of [ana, 'ben']) {
        const request = opening({ by });
        await store.open(request);
        expect((await store.rollback(request.rollbackId))?.by).toBe(by);
        await store.finish(closing(request.rollbackId, { restored: [{ component: 'web', from: 'v2', to: 'v1', snapshot: {} }] }));
        expect((await store.deployments({ component: 'web', limit: 1 }))[0]?.deployedBy).toBe(by);
        expect((await store.rollback(request.rollbackId))?.by).toBe(by);
      }
      expect(await queryAt(url, 'SELECT initiated_by FROM ops.rollback_events ORDER BY id')).toEqual([{ initiated_by: ana }, { initiated_by: null }]);
    });
  });
});
