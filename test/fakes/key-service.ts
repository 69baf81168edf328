/**
 * A service that really authenticates: on every request it looks its keys up anew in the folder of `key-files`, enforces scopes and tenants, and writes
 * beside a key when and by whom it was last used. A process of its own:
 *   node test/fakes/key-service.ts --folder F [--header X-Api-Key] --port 0 --until-stdin-ends
 * says `{"url"}`. `GET /key`: 204 for any key that is accepted, not counted as a use. `GET /charges?tenant=T` needs charge:read, `POST` charge:write.
 * `POST /_control` takes `Control`; `GET /_requests` what was asked, without keys.
 */
import { createHash, randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';

export interface Control {
  /** Answers nothing. */
  readonly stall?: boolean;
  /** Answers `GET /key` with this status; null: as it is. */
  readonly status?: number | null;
  /** Goes on with the keys that it knew at that time for so long. */
  readonly cacheMs?: number;
}

interface Key {
  readonly id: string;
  readonly sha256: string;
  readonly scopes: readonly string[];
  readonly tenants: readonly string[] | null;
  readonly state: 'live' | 'revoked';
}

const one = { type: 'string' } as const;
const { values } = parseArgs({ options: { folder: one, header: one, port: one, 'until-stdin-ends': { type: 'boolean' } } });
const folder = values.folder ?? '.';
const header = (values.header ?? 'authorization').toLowerCase();

let control: Control = {};
let cached: { readonly keys: readonly Key[]; readonly until: number } = { keys: [], until: 0 };
const requests: string[] = [];

const onDisk = (): Key[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.json') && !name.startsWith('.'))
    .map((name): Key => JSON.parse(readFileSync(join(folder, name), 'utf8')));

function keyOf(request: IncomingMessage): Key | null {
  const value = String(request.headers[header] ?? '');
  const secret = header === 'authorization' ? (/^Bearer (.+)$/.exec(value)?.[1] ?? '') : value;
  const sha256 = createHash('sha256').update(secret).digest('hex');
  const keys = Date.now() < cached.until ? cached.keys : onDisk();
  return keys.find((key) => key.state === 'live' && key.sha256 === sha256) ?? null;
}

/** In one rename, so that nobody reads half of it. */
function use(key: Key, by: string): void {
  const prepared = join(folder, `.used-${randomUUID()}`);
  writeFileSync(prepared, JSON.stringify({ lastUsedAt: new Date().toISOString(), lastUsedBy: by }), { mode: 0o640 });
  renameSync(prepared, join(folder, `${key.id}.used`));
}

function statusOf(request: IncomingMessage, url: URL): number {
  const key = keyOf(request);
  if (url.pathname === '/key') return control.status ?? (key === null ? 401 : 204);
  if (key === null) return 401;
  if (url.pathname !== '/charges') return 404;
  const tenant = url.searchParams.get('tenant') ?? '';
  const scope = request.method === 'GET' ? 'charge:read' : 'charge:write';
  if (!key.scopes.includes(scope) || (key.tenants !== null && !key.tenants.includes(tenant))) return 403;
  use(key, String(request.headers['x-caller'] ?? request.headers['user-agent'] ?? 'nobody'));
  return 200;
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://localhost');
  if (url.pathname === '/_control') {
    control = JSON.parse(await text(request));
    cached = { keys: onDisk(), until: Date.now() + (control.cacheMs ?? 0) };
    response.end();
    return;
  }
  if (url.pathname === '/_requests') {
    response.end(JSON.stringify(requests));
    return;
  }
  requests.push(`${request.method} ${url.pathname}`);
  if (control.stall === true) return;
  const status = statusOf(request, url);
  response.writeHead(status, status >= 300 && status < 400 ? { location: '/charges' } : {}).end();
}

const server = createServer((request, response) => {
  answer(request, response).catch((error: unknown) => {
    response.writeHead(500).end(String(error));
  });
});
server.listen(Number(values.port ?? 0), '127.0.0.1', () => {
  const address = server.address();
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}` })}\n`);
});
if (values['until-stdin-ends'] === true) process.stdin.resume().once('end', () => process.exit());
