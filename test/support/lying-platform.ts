/**
 * A platform on paper: a file per component says what is in place, and how the platform behaves. It can be obedient, or lie: answer that all is well and do
 * nothing, move half of its parts, fail, or take its time. What users see of it is served by the test's own process. Cheap, where the platform is not the point.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { AdapterError, type Adapter, type AdapterErrorKind, type Observation } from '../../activities/adapters/adapter.ts';

export interface Sheet {
  readonly version: string | null;
  readonly has: readonly string[];
  readonly operationId: string | null;
  /** `idle`: says yes and does nothing. `half`: moves one of two parts, and says yes. */
  readonly lie: 'idle' | 'half' | null;
  readonly fails: { readonly kind: AdapterErrorKind; readonly message: string } | null;
  /** Nothing can be read. */
  readonly locked: string | null;
  readonly takesMs: number;
  readonly parts: Observation['parts'];
  /** Health answers 503; the smoke test fails. */
  readonly unhealthy: boolean;
  readonly smokes: boolean;
  /** Every apply, in order: the platform's own ledger. */
  readonly applied: readonly { readonly operationId: string; readonly to: string }[];
}

const FRESH: Sheet = {
  version: 'v1.1.0',
  has: ['v1.1.0', 'v1.0.0'],
  operationId: null,
  lie: null,
  fails: null,
  locked: null,
  takesMs: 0,
  parts: [],
  unhealthy: false,
  smokes: true,
  applied: [],
};
const fileOf = (folder: string, component: string): string => join(folder, 'paper', `${component}.json`);

export function readSheet(folder: string, component: string): Sheet {
  try {
    return { ...FRESH, ...(JSON.parse(readFileSync(fileOf(folder, component), 'utf8')) as Partial<Sheet>) }; // Written below only.
  } catch {
    return FRESH;
  }
}

/** Changes what is on the sheet; the rename keeps a reader from seeing half of it. */
export function writeSheet(folder: string, component: string, more: Partial<Sheet>): void {
  const file = fileOf(folder, component);
  mkdirSync(dirname(file), { recursive: true });
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, JSON.stringify({ ...readSheet(folder, component), ...more }));
  renameSync(draft, file);
}

export const paper: Adapter<Record<string, never>> = {
  name: 'paper',
  options: z.strictObject({}),
  fence: { by: 'operation-id', window: 'none' },
  executesInCi: false,
  limits: [],
  inspect: ({ folder, component, to }) => {
    const { version, has, operationId, parts, locked } = readSheet(folder, component);
    if (locked !== null) return Promise.reject(new AdapterError('unauthorized', locked));
    return Promise.resolve({ current: version, targetPresent: has.includes(to), operationId, parts, versions: has, facts: {} });
  },
  apply: async ({ folder, component, to, operationId, heartbeat }) => {
    const { takesMs, fails, lie, applied } = readSheet(folder, component);
    writeSheet(folder, component, { applied: [...applied, { operationId, to }] });
    heartbeat('writing');
    await sleep(takesMs);
    if (fails) throw new AdapterError(fails.kind, fails.message);
    const from = readSheet(folder, component).version;
    if (lie === 'half')
      writeSheet(folder, component, {
        parts: [
          { name: 'shop.example', version: to },
          { name: 'www.shop.example', version: from },
        ],
      });
    if (lie === null) writeSheet(folder, component, { version: to, operationId, parts: [] });
    return { ids: { sheet: component }, detail: '200 OK' };
  },
  verify: (call) => paper.inspect(call),
  manual: ({ component, to }) => [`write ${to} on the sheet of ${component}`],
};

/** What users see of all components on paper: `/<component>/version` and `/<component>/healthz`. The folder is known only once the world is made. */
export async function servePaper(folder: () => string): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer((request, response) => {
    const [, component = '', what] = (request.url ?? '').split('/');
    const sheet = readSheet(folder(), component);
    if (what === 'version') response.end(sheet.version ?? '');
    else response.writeHead(sheet.unhealthy ? 503 : 200).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return { server, port: typeof address === 'object' && address !== null ? address.port : 0 };
}

/** The part of `backout.yaml` for one component on paper. The smoke test reads the sheet. */
export const paperYaml = (name: string, port: number, more: readonly string[] = []): string[] => [
  `      ${name}:`,
  '        type: service',
  '        adapter: paper',
  '        settleSeconds: 0.3',
  `        served: { url: "http://127.0.0.1:${port}/${name}/version" }`,
  `        health: [{ url: "http://127.0.0.1:${port}/${name}/healthz" }]`,
  `        smoke: [{ command: [sh, -c, "! grep -qs '.smokes.:false' paper/${name}.json || { echo checkout answered 500; false; }"] }]`,
  ...more.map((line) => `        ${line}`),
];
