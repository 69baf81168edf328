/**
 * A house that an incident of level 3 goes back with: a database with migrations, an audit log and derived totals; evidence in a hash chain; a service that
 * authenticates by keys. All real; two components, so that it is quick.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import type { RollbackState } from '../../model/state.ts';
import { appendEvidence, CHECKS_YAML, evidenceYaml, SCHEMA, type Query } from '../../client/demo/ledgered-house.ts';
import { startKeyService, type KeyService } from '../fakes/key-service-process.ts';
import { queryAt } from '../store/database.ts';
import { GATES, incidentWorld, PEOPLE, waitsFor } from './incident.ts';
import type { World } from './world.ts';

export const NAMES = ['api', 'worker'] as const;
/** The key that was exposed: it must be in no history, record, log or answer. */
export const EXPOSED = `canary-${randomBytes(12).toString('hex')}`;

export interface Grave {
  readonly world: World;
  readonly keys: KeyService;
  /** Of the keys. */
  readonly folder: string;
  /** Of the house's database. */
  readonly url: string;
  readonly query: Query;
  /** What the key in `api.env` is good for. */
  readonly charges: (tenant?: string) => Promise<number>;
  readonly close: () => Promise<void>;
}

/** What an environment of a grave house has beside its components; every part of it lies where the options say. */
export interface PlaceOptions {
  /** A reference to the address of the database. */
  readonly url: string;
  readonly keysUrl: string;
  /** Of the keys. */
  readonly folder: string;
  /** Where what runs reads its key. */
  readonly envFile: string;
  /** Further options of the database. */
  readonly database?: readonly string[];
  readonly rebuild?: boolean;
}

export const placeYaml = ({ url, keysUrl, folder, envFile, database = [], rebuild = false }: PlaceOptions): string[] => [
  '    databases:',
  '      main:',
  '        options:',
  `          url: ${url}`,
  '          ledger: { table: supabase_migrations.schema_migrations, statements: statements }',
  '          restores: { orders: { table: orders, key: [id], tenant: tenant, audit: { table: audit_log, of: table_name } } }',
  ...database.map((line) => `          ${line}`),
  ...(rebuild ? ['        rebuild: [{ name: totals, command: [./rebuild-totals] }]'] : []),
  ...CHECKS_YAML,
  ...evidenceYaml(url),
  '    credentials:',
  '      payments:',
  '        authority: key-files',
  `        options: { folder: ${folder}, accepts: { url: "${keysUrl}/key" } }`,
  '        scopes: [charge:read]',
  '        tenants: [acme, globex]',
  `        held: [{ holder: env-file, options: { path: ./${envFile}, key: PAYMENTS_KEY, reload: [sh, -c, "date >> ${envFile.replace('.env', '')}.reloaded"] } }]`,
  '        prove: { command: [./prove-payments] }',
];

const GOOGLE = [
  '      google:',
  '        authority: manual',
  '        options: { console: "https://console.cloud.google.com/apis/credentials", record: { command: [echo, "redirect https://shop.example/oauth, scope calendar.readonly"] } }',
];

/** Everything at v1.0.0 and verified with the worker's own verification; then v1.1.0 with its migration, and what it damaged. */
export async function graveWorld(
  more: { readonly yaml?: readonly string[]; readonly worker?: boolean; readonly people?: readonly string[] } = {},
): Promise<Grave> {
  const folder = join(process.env['BACKOUT_TEST_FOLDER'] ?? '/tmp', `backout-keys-${randomUUID()}`);
  await mkdir(folder, { recursive: true });
  const keys = await startKeyService(folder);
  const env: NodeJS.ProcessEnv = {};
  const world = await incidentWorld({
    components: [...NAMES],
    component: { api: ['config: [{ source: env-file, options: { path: ./api.env, plain: [RATE_LIMIT] } }]'] },
    environment: [
      ...GATES,
      ...placeYaml({ url: 'env:SHOP_DB', keysUrl: keys.url, folder, envFile: 'api.env', rebuild: true }),
      ...GOOGLE,
      ...(more.yaml ?? []),
    ],
    people: more.people ?? PEOPLE,
    world: { env },
  });
  const { url, query } = await houseDatabase(world);
  env['SHOP_DB'] = url;
  const grave: Grave = {
    world,
    keys,
    folder,
    url,
    query,
    charges: async (tenant = 'acme') => keys.charges(/^PAYMENTS_KEY=(.*)$/m.exec(await readFile(join(world.folder, 'api.env'), 'utf8'))?.[1] ?? '', tenant),
    close: async () => {
      await world.close();
      await keys.stop();
    },
  };
  await layHouse(grave, folder);
  if (more.worker !== false) await world.worker();
  return grave;
}

/** With a hundred orders of two tenants, an audit log of what becomes of them, and an evidence table that refuses all but additions. */
export async function houseDatabase(world: World): Promise<Pick<Grave, 'url' | 'query'>> {
  const database = `house_${randomUUID().replaceAll('-', '')}`;
  await queryAt(world.services.databaseUrl, `CREATE DATABASE ${database}`);
  const at = new URL(world.services.databaseUrl);
  at.pathname = `/${database}`;
  const query: Grave['query'] = (sql, values = []) => queryAt(at.href, sql, values);
  await query(SCHEMA);
  return { url: at.href, query };
}

async function layHouse({ world }: Grave, folder: string): Promise<void> {
  await writeFile(
    join(world.folder, 'rebuild-totals'),
    `#!/usr/bin/env node\nimport('${join(import.meta.dirname, '../../node_modules/pg/lib/index.js')}').then(async ({ default: pg }) => {\n  const client = new pg.Client({ connectionString: require('node:fs').readFileSync('shop-db', 'utf8').trim() });\n  await client.connect();\n  await client.query('DELETE FROM totals');\n  await client.query('INSERT INTO totals SELECT tenant, sum(cents) FROM orders GROUP BY tenant');\n  await client.end();\n});\n`,
    { mode: 0o755 },
  );
  await writeFile(join(world.folder, 'prove-payments'), `#!/bin/sh\ntest ! -e refuse-proof && test ! -e "refuse-proof-$BACKOUT_ENVIRONMENT"\n`, {
    mode: 0o755,
  });
  await writeFile(join(world.folder, 'api.env'), `RATE_LIMIT=100\nPAYMENTS_KEY=${EXPOSED}\n`);
  await layKey(folder, 'key-2025', EXPOSED);
}

/** As the house's own tool has made it, long before Backout. */
export async function layKey(folder: string, id: string, secret: string): Promise<void> {
  const record = {
    id,
    sha256: createHash('sha256').update(secret).digest('hex'),
    scopes: ['charge:read', 'charge:write'],
    tenants: ['acme', 'globex'],
    state: 'live',
    issuedAt: '2025-01-01T00:00:00.000Z',
    operation: null,
  };
  await writeFile(join(folder, `${id}.json`), JSON.stringify(record), { mode: 0o640 });
}

export const MIGRATION = '20260112000001_coupon';
export const INVERSE = 'ALTER TABLE orders DROP COLUMN coupon;';

/** The bad release: a migration that is recorded with its inverse, and what its code did to data and evidence. */
export async function badCycle({ world, query, url }: Grave): Promise<void> {
  await writeFile(join(world.folder, 'shop-db'), url, { mode: 0o600 });
  await Promise.all(NAMES.map((name) => world.release(name, 'v1.0.0', false)));
  for (const name of NAMES) {
    const [row] = await world.store.deployments({ component: name });
    const verified = await world.cli(['deployment', 'verify', row?.deploymentId ?? '']);
    if (verified.code !== 0) throw new Error(`${name} could not be verified: ${verified.stdout}${verified.stderr}`);
  }
  const up = 'ALTER TABLE orders ADD COLUMN coupon text';
  await world.deploy('api', 'v1.1.0');
  await query(up);
  await query(`INSERT INTO supabase_migrations.schema_migrations VALUES ($1, $2, 'coupon')`, [MIGRATION, [up]]);
  await writeFile(join(world.folder, 'migrations.json'), JSON.stringify([{ name: MIGRATION, sql: up, inverse: INVERSE }]));
  const more = ['--environment', 'production', '--component', 'api', '--version', 'v1.1.0', '--commit', 'abc', '--branch', 'main', '--status', 'in_progress'];
  const recorded = await world.cli(['deployment', 'record', '--id', randomUUID(), ...more, '--migrations', join(world.folder, 'migrations.json')]);
  if (recorded.code !== 0) throw new Error(recorded.stderr);
  await world.release('worker', 'v1.1.0', false);
  await query(`UPDATE orders SET coupon = 'SPRING' WHERE id <= 7`);
  await query('DELETE FROM orders WHERE id BETWEEN 41 AND 60');
  await appendEvidence(query, 5);
}

/** Answers whatever is asked of the data lead about data, as it is shown. */
export async function approve(world: World, handle: WorkflowHandle, step: string): Promise<RollbackState> {
  const state = await waitsFor(world, handle, step);
  await handle.signal('confirm', { step, by: 'dora', plan: state.planHash });
  return state;
}
