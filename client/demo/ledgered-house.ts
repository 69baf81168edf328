/** What an incident of level 3 goes back with, small and real: a database with migrations, an audit log and evidence, and a service that authenticates by keys. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client, DatabaseError } from 'pg';

export const CHECKS_YAML: readonly string[] = [
  '        checks:',
  '          - { name: tenant-isolation, covers: tenants, sql: "select o.id from orders o left join tenants t on t.name = o.tenant where t.name is null" }',
  '          - { name: one-order-a-request, covers: idempotency, sql: "select request from orders group by request having count(*) > 1" }',
];

/** `url`: a reference to the address of the database that it lies in. */
export const evidenceYaml = (url: string): string[] => [
  '    evidence:',
  '      trail:',
  '        options:',
  `          url: ${url}`,
  '          table: evidence',
  '          order: seq',
  '          contiguous: true',
  '          previous: previous',
  '          hash: hash',
  '          genesis: genesis',
  '          over: [{ previous: true }, { text: "|" }, { column: seq }, { text: "|" }, { column: body }]',
  '          at: at',
  '          operation: { column: operation }',
  '          append: { columns: { at: "{at}", operation: "{operation}", body: { incident: "{incident}", rollback: "{rollbackId}", entries: "{entries}" } } }',
];

/** The address lies in `shop-db`, readable by its owner alone. */
export const DATABASE_YAML: readonly string[] = [
  '    databases:',
  '      main:',
  '        options:',
  '          url: file:shop-db',
  '          ledger: { table: supabase_migrations.schema_migrations, statements: statements }',
  '          restores: { orders: { table: orders, key: [id], tenant: tenant, audit: { table: audit_log } } }',
  '        rebuild: [{ name: totals, command: [./rebuild-totals] }]',
  ...CHECKS_YAML,
  ...evidenceYaml('file:shop-db'),
];

export const credentialYaml = (port: number): string[] => [
  '    credentials:',
  '      payments:',
  '        authority: key-files',
  `        options: { folder: ./payments-keys, accepts: { url: "http://127.0.0.1:${port}/key" } }`,
  '        scopes: [charge:read]',
  '        held: [{ holder: env-file, options: { path: ./api.env, key: PAYMENTS_KEY } }]',
  '        prove: { command: [./prove-payments] }',
  '      google:',
  '        authority: manual',
  '        options: { console: "https://console.cloud.google.com/apis/credentials", record: { command: [echo, "redirect https://shop.example/oauth, scope calendar.readonly"] } }',
];

export const SCHEMA = `
  CREATE SCHEMA supabase_migrations;
  CREATE TABLE supabase_migrations.schema_migrations (version text PRIMARY KEY, statements text[], name text);
  INSERT INTO supabase_migrations.schema_migrations VALUES ('20260101000001_orders', '{"create table orders"}', 'orders');
  CREATE TABLE tenants (name text PRIMARY KEY);
  INSERT INTO tenants VALUES ('acme'), ('globex');
  CREATE TABLE orders (id bigint PRIMARY KEY, tenant text NOT NULL, request text NOT NULL, cents int NOT NULL);
  CREATE TABLE totals (tenant text PRIMARY KEY, cents bigint NOT NULL);
  CREATE TABLE audit_log (id bigserial PRIMARY KEY, table_name text, action text, old_data jsonb, created_at timestamptz DEFAULT clock_timestamp());
  CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO audit_log (table_name, action, old_data) VALUES (TG_TABLE_NAME, TG_OP, to_jsonb(OLD)); RETURN NULL; END $$;
  CREATE TRIGGER audit AFTER UPDATE OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION audit();
  CREATE TABLE evidence (seq bigint PRIMARY KEY, at timestamptz NOT NULL, body text NOT NULL, operation text, previous text NOT NULL UNIQUE, hash text NOT NULL);
  CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'evidence is append-only'; END $$;
  CREATE TRIGGER refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON evidence FOR EACH STATEMENT EXECUTE FUNCTION refuse();
  INSERT INTO orders SELECT i, (ARRAY['acme', 'globex'])[1 + i % 2], 'request-' || i, i * 100 FROM generate_series(1, 100) i`;

export type Query = <Row extends object>(sql: string, values?: readonly unknown[]) => Promise<Row[]>;

/** A new database beside Backout's own, with a hundred orders; its address is where the configuration looks for it. */
export async function layDatabase(folder: string, server: string): Promise<Query> {
  const name = `shop_${Date.now()}`;
  await queryAt(server, `CREATE DATABASE ${name}`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  await writeFile(join(folder, 'shop-db'), url.href, { mode: 0o600 });
  const query: Query = (sql, values) => queryAt(url.href, sql, values);
  await query(SCHEMA);
  return query;
}

async function queryAt<Row extends object>(url: string, sql: string, values: readonly unknown[] = []): Promise<Row[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Row & Record<string, unknown>>(sql, [...values])).rows;
  } finally {
    await client.end();
  }
}

/** As the shop's application does it. */
export async function appendEvidence(query: Query, count: number): Promise<void> {
  for (let round = 0; round < count; round += 1) {
    const [head] = await query<{ seq: string; hash: string }>('SELECT seq, hash FROM evidence ORDER BY seq DESC LIMIT 1');
    const [seq, previous] = [String(Number(head?.seq ?? 0) + 1), head?.hash ?? 'genesis'];
    const body = `{"run":"${seq}"}`;
    const hash = createHash('sha256').update(`${previous}|${seq}|${body}`).digest('hex');
    await query('INSERT INTO evidence (seq, at, body, previous, hash) VALUES ($1, clock_timestamp(), $2, $3, $4)', [seq, body, previous, hash]).catch(
      (error: unknown) => {
        // Another writer was first, and has the place: after it, then.
        if (!(error instanceof DatabaseError) || error.code !== '23505') throw error;
        round -= 1;
      },
    );
  }
}

const REBUILD = (pg: string): string => `#!/usr/bin/env node
const { readFileSync } = require('node:fs');
const { Client } = require(${JSON.stringify(pg)});
const client = new Client({ connectionString: readFileSync('shop-db', 'utf8').trim() });
const run = async () => {
  await client.connect();
  await client.query('BEGIN');
  await client.query('DELETE FROM totals');
  await client.query('INSERT INTO totals SELECT tenant, sum(cents) FROM orders GROUP BY tenant');
  await client.query('COMMIT');
  await client.end();
  console.log('totals are rebuilt');
};
run().catch((error) => { console.error(error.message); process.exit(1); });
`;

/** Can the shop charge with the key it holds? */
const PROVE = (port: number): string => `#!/usr/bin/env node
const { readFileSync } = require('node:fs');
const key = /^PAYMENTS_KEY=(.*)$/m.exec(readFileSync('api.env', 'utf8'))[1];
fetch('http://127.0.0.1:${port}/charges', { headers: { authorization: 'Bearer ' + key, 'x-caller': 'api' } })
  .then((response) => process.exit(response.status === 200 ? 0 : 1), () => process.exit(1));
`;

/** Looks its keys up anew on every request, and says beside a key when it was last used. */
const PAYMENTS = `#!/usr/bin/env node
const { createHash, randomUUID } = require('node:crypto');
const { createServer } = require('node:http');
const { readdirSync, readFileSync, renameSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
const folder = join(__dirname, 'payments-keys');
const keys = () => readdirSync(folder).filter((name) => name.endsWith('.json') && !name.startsWith('.')).map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')));
createServer((request, response) => {
  const secret = (/^Bearer (.+)$/.exec(request.headers.authorization ?? '') ?? [])[1] ?? '';
  const sha256 = createHash('sha256').update(secret).digest('hex');
  const key = keys().find((one) => one.state === 'live' && one.sha256 === sha256);
  if (!key) return response.writeHead(401).end();
  if (request.url === '/key') return response.writeHead(204).end();
  const prepared = join(folder, '.used-' + randomUUID());
  writeFileSync(prepared, JSON.stringify({ lastUsedAt: new Date().toISOString(), lastUsedBy: request.headers['x-caller'] ?? 'somebody' }));
  renameSync(prepared, join(folder, key.id + '.used'));
  response.writeHead(200).end();
}).listen(Number(process.argv[2]), '127.0.0.1', () => process.stdout.write('ready\\n'));
`;

export interface Payments {
  /** What the service answers to who holds this key. */
  readonly charge: (key: string) => Promise<number>;
  readonly stop: () => void;
}

/** The key that `api.env` holds is older than Backout, and allowed more than it needs. */
export async function layKeys(folder: string, port: number, pg: string): Promise<string> {
  const key = randomBytes(24).toString('base64url');
  for (const old of ['payments-keys', 'payments-keys.backout']) await rm(join(folder, old), { recursive: true, force: true });
  await mkdir(join(folder, 'payments-keys'));
  const sha256 = createHash('sha256').update(key).digest('hex');
  const record = {
    id: 'key-2025',
    sha256,
    scopes: ['charge:read', 'charge:write'],
    tenants: null,
    state: 'live',
    issuedAt: '2025-01-01T00:00:00.000Z',
    operation: null,
  };
  await writeFile(join(folder, 'payments-keys', 'key-2025.json'), JSON.stringify(record));
  await writeFile(join(folder, 'api.env'), `RATE_LIMIT=100\nPAYMENTS_KEY=${key}\n`);
  for (const [name, source] of [
    ['payments', PAYMENTS],
    ['prove-payments', PROVE(port)],
    ['rebuild-totals', REBUILD(pg)],
  ] as const) {
    await writeFile(join(folder, name), source);
    await chmod(join(folder, name), 0o755);
  }
  return key;
}

export async function startPayments(folder: string, port: number): Promise<Payments> {
  const child: ChildProcess = spawn(process.execPath, [join(folder, 'payments'), String(port)], { stdio: ['ignore', 'pipe', 'inherit'] });
  if (child.stdout) await once(child.stdout, 'data');
  return {
    charge: async (key) => (await fetch(`http://127.0.0.1:${port}/charges`, { headers: { authorization: `Bearer ${key}` } })).status,
    stop: () => {
      child.kill('SIGKILL');
    },
  };
}
