/** A small real service for the demo and the tests: releases on disk, a smoke test, and the `backout.yaml` that describes them. */
import { chmod, mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** The service: says which version it is, and sells where it can. A bad release answers 500 at the checkout and looks healthy otherwise. */
const SERVE = `#!/usr/bin/env node
const { createServer } = require('node:http');
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const release = JSON.parse(readFileSync(join(__dirname, '..', 'release.json'), 'utf8'));
const answer = (response, status, body) => {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body) + '\\n');
};
const sold = { type: 'object', required: ['sold'], properties: { sold: { type: 'string' } } };
const document = {
  openapi: '3.1.0',
  info: { title: 'shop', version: release.version },
  paths: {
    '/checkout': { get: { responses: { 200: { description: 'sold', content: { 'application/json': { schema: release.broken ? {} : sold } } } } } },
    '/version': { get: { responses: { 200: { description: 'the version', content: { 'application/json': { schema: { type: 'object' } } } } } } },
  },
};
if (release.crashes) { console.error('cannot read the price list'); process.exit(1); }
const server = createServer((request, response) => {
  if (request.url === '/version') return answer(response, 200, { version: release.says ?? release.version });
  if (request.url === '/healthz') return release.unhealthy ? answer(response, 503, { ok: false }) : answer(response, 200, { ok: true });
  if (request.url === '/checkout') return release.broken ? answer(response, 500, { error: 'the price list is empty' }) : answer(response, 200, { sold: 'one pair of boots' });
  if (request.url === '/openapi.json') return answer(response, 200, document);
  return answer(response, 404, { error: 'not found' });
});
setTimeout(() => server.listen(Number(process.env.PORT), '127.0.0.1'), release.startMs ?? 0);
process.on('SIGTERM', () => { server.close(() => process.exit(0)); server.closeIdleConnections(); });
`;

/** The smoke test: can a customer buy something? */
const SMOKE = `#!/usr/bin/env node
const { get } = require('node:http');
get(process.argv[2] + '/checkout', { agent: false }, (response) => {
  response.resume();
  response.on('end', () => {
    console.log('checkout answered ' + response.statusCode);
    process.exit(response.statusCode === 200 ? 0 : 1);
  });
}).on('error', (error) => { console.log('checkout: ' + error.message); process.exit(1); });
`;

export interface Release {
  readonly version: string;
  /** Answers 500 at the checkout. */
  readonly broken?: boolean;
  /** Never answers its health check. */
  readonly unhealthy?: boolean;
  readonly crashes?: boolean;
  /** Claims another version than it is. */
  readonly says?: string;
  readonly startMs?: number;
}

const program = async (path: string, source: string): Promise<void> => {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, source);
  await chmod(path, 0o755);
};

/** Lays a release of a component on disk, where the platform \`releases\` finds it. */
export async function layRelease(folder: string, component: string, release: Release): Promise<void> {
  const root = join(folder, 'srv', component, 'releases', release.version);
  await program(join(root, 'bin', 'serve'), SERVE);
  await writeFile(join(root, 'release.json'), `${JSON.stringify(release)}\n`);
}

export async function laySmoke(folder: string): Promise<void> {
  // The folder may lie in a checkout whose own package.json says otherwise.
  await writeFile(join(folder, 'package.json'), '{ "type": "commonjs" }\n');
  await program(join(folder, 'smoke'), SMOKE);
}

/** The part of `backout.yaml` for one component of the shop. */
export const componentYaml = (name: string, port: number, more: readonly string[] = []): string[] => [
  `      ${name}:`,
  '        type: storefront',
  '        adapter: releases',
  `        options: { root: ./srv/${name}, command: [./bin/serve], port: ${port}, startTimeoutSeconds: 10, drainSeconds: 1 }`,
  `        served: { url: "http://127.0.0.1:${port}/version", json: version }`,
  `        health: [{ url: "http://127.0.0.1:${port}/healthz" }]`,
  `        smoke: [{ command: [./smoke, "http://127.0.0.1:${port}"], timeoutSeconds: 20 }]`,
  ...more.map((line) => `        ${line}`),
];

export const shopYaml = (components: readonly (readonly string[])[], more: readonly string[] = []): string =>
  ['environments:', '  production:', '    components:', ...components.flat(), ...more, ''].join('\n');

/** Ends what a shop of this folder has left running: its releases and their front, told by where they run. */
export async function stopShop(folder: string): Promise<void> {
  const srv = join(folder, 'srv');
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  for (const pid of pids) {
    const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => '');
    const words = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (pid === process.pid || !(cwd.startsWith(srv) || words.includes(srv))) continue;
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended by itself meanwhile.
    }
  }
}
