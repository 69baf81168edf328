/** A rotation, operation by operation, on real parts: a record in Postgres, a folder of keys, a service that looks them up, an environment file [001 step 3e]. */
import { createHash, randomUUID } from 'node:crypto';
import fsItself, * as fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { keyFiles } from '../../activities/credentials/key-files.ts';
import type { Attempt, Dependencies } from '../../activities/dependencies.ts';
import type { Found } from '../../activities/found.ts';
import { incidentOperation } from '../../activities/incident/operations.ts';
import { hashOfPlace } from '../../activities/incident/places.ts';
import type { DataWork } from '../../activities/step.ts';
import { parseConfig, type LoadedConfig } from '../../model/config-file.ts';
import type { Operation } from '../../model/plan.ts';
import { openStore } from '../../store/postgres.ts';
import type { Store } from '../../store/store.ts';
import { startKeyService, type KeyService } from '../fakes/key-service-process.ts';
import { dependencies, firstAttempt, Paper, stepWork } from '../model/given.ts';
import { testDatabase, type TestDatabase } from '../store/database.ts';

const EXPOSED = 'canary-7d1f04ac';
const PLACE = '@credential/payments';

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

let folder = '';
let rollbackId = '';
let service: KeyService;
const at = (...path: string[]): string => join(folder, ...path);
const env = (): string => fs.readFileSync(at('api.env'), 'utf8');
const held = (): string => /^PAYMENTS_KEY=(.*)$/m.exec(env())?.[1] ?? '';
const plant = (id: string, secret: string): void => {
  const sha256 = createHash('sha256').update(secret).digest('hex');
  const record = { id, sha256, scopes: ['charge:read'], tenants: null, state: 'live', issuedAt: '2025-01-01T00:00:00Z', operation: null };
  fs.writeFileSync(at('keys', `${id}.json`), JSON.stringify(record));
};
const kept = (): string[] => {
  const names = fs.existsSync(at('.backout', 'credentials')) ? fs.readdirSync(at('.backout', 'credentials')) : [];
  return names.map((name) => fs.readFileSync(at('.backout', 'credentials', name), 'utf8'));
};

beforeEach(async () => {
  folder = fs.mkdtempSync(join(tmpdir(), 'rotation-'));
  rollbackId = randomUUID();
  fs.mkdirSync(at('keys'), { mode: 0o750 });
  plant('key-2025', EXPOSED);
  fs.writeFileSync(at('api.env'), `RATE_LIMIT=100\nPAYMENTS_KEY=${EXPOSED}\n`);
  fs.writeFileSync(at('prove'), '#!/bin/sh\ntest ! -e refuses\n', { mode: 0o755 });
  service = await startKeyService(at('keys'));
});
afterEach(async () => {
  await service.stop();
  fs.rmSync(folder, { recursive: true, force: true });
});

interface Given {
  readonly reload?: boolean;
  readonly prove?: boolean;
  readonly more?: readonly string[];
}
const configured = ({ reload = true, prove = true, more = [] }: Given = {}): LoadedConfig =>
  parseConfig(
    [
      'environments:',
      '  production:',
      '    components: { web: { type: storefront, adapter: paper } }',
      '    credentials:',
      '      payments:',
      '        authority: key-files',
      `        options: { folder: ./keys, accepts: { url: "${service.url}/key" } }`,
      '        scopes: [charge:read]',
      `        held: [{ holder: env-file, options: { path: ./api.env, key: PAYMENTS_KEY${reload ? ', reload: ["true"]' : ''} } }]`,
      ...(prove ? ['        prove: { command: [./prove] }'] : []),
      ...more.map((line) => `        ${line}`),
      '',
    ].join('\n'),
    'backout.yaml',
    folder,
  );

/** One step of it, as the workflow has it run; `told` is all that a person reads of it. */
async function run(
  operation: Operation,
  of: Given & {
    readonly first?: boolean;
    readonly since?: string;
    readonly mode?: 'inspect';
    readonly attempt?: Partial<Attempt>;
    readonly deps?: Partial<Dependencies>;
  } = {},
): Promise<Found & { readonly told: string }> {
  const loaded = configured(of);
  const data: DataWork = {
    at: 'credential/payments',
    place: hashOfPlace(loaded, 'production', 'credential/payments') ?? '',
    approved: [],
    signed: { by: 'sam', first: of.first ?? false },
    use: { since: of.since ?? new Date().toISOString(), anyway: false },
  };
  const work = stepWork({
    rollbackId,
    step: { id: `${operation}.payments`, operation, component: null, effect: 'credential' },
    mode: of.mode ?? 'run',
    incident: { id: 'INC-1', by: 'carol', subject: 'payments', data },
  });
  const claim = { environment: 'production', component: PLACE, rollbackId, workflowId: 'w', by: 'carol', at: '' };
  const held: Pick<Store, 'claims'> = { claims: () => Promise.resolve([claim]) };
  const real = new Proxy(store, { get: (target, name, self) => (name === 'claims' ? held.claims : (Reflect.get(target, name, self) as unknown)) });
  const deps = { ...dependencies(new Paper(), { deployments: [] }), store: real, ...of.deps };
  const act = incidentOperation(work);
  if (!act) throw new Error(`${operation} is no operation`);
  const found = await act({ loaded, deps, attempt: firstAttempt({ runId: rollbackId, ...of.attempt }) });
  expect(JSON.stringify(found)).not.toContain(EXPOSED);
  return { ...found, told: `${found.failure?.message ?? ''}\n${found.failure?.remedy ?? ''}` };
}
const installed = async (of: Given & { readonly first?: boolean } = {}): Promise<string> => {
  for (const operation of of.first === true ? (['revoke', 'issue', 'install'] as const) : (['issue', 'install'] as const))
    expect(await run(operation, of), operation).toMatchObject({ failure: null });
  return new Date().toISOString();
};
const stateOf = (id: string): string => (JSON.parse(fs.readFileSync(at('keys', `${id}.json`), 'utf8')) as { state: string }).state;

describe('an old key', () => {
  it('that was in use shortly before is watched for a quiet time, and a use in it stands in the way', async () => {
    expect(await service.charges(EXPOSED, 'acme')).toBe(200);
    const since = await installed();
    const words: string[] = [];
    // Somebody whom nobody knows of, once he is watched for.
    const uses = { used: null as Promise<number> | null };
    const heartbeat = (word: string): void => {
      words.push(word);
      if (word.startsWith('watching')) uses.used ??= service.charges(EXPOSED, 'acme');
    };
    const found = await run('revoke', { since, attempt: { heartbeat } });
    expect(found.told).toMatch(/the old payments was used after the new one was put in place: key-2025 by shop at 2/);
    expect(found.failure?.type).toBe('StillUsed');
    expect(stateOf('key-2025')).toBe('live');
    expect(words.some((word) => /^watching for \d+ s more/.test(word))).toBe(true);
  });

  it('that nobody uses in its quiet time is revoked after it, and not before', async () => {
    expect(await service.charges(EXPOSED, 'acme')).toBe(200);
    const since = await installed({ more: ['quietSeconds: 1'] });
    expect(await run('revoke', { since, more: ['quietSeconds: 1'] })).toMatchObject({ state: 'done' });
    expect(Date.now() - Date.parse(since)).toBeGreaterThanOrEqual(1_000);
    expect(stateOf('key-2025')).toBe('revoked');
  });

  it('that was never used costs no quiet time, unless nothing shows that the new one is in use instead', async () => {
    const since = await installed();
    const words: string[] = [];
    const heartbeat = (word: string): void => void words.push(word);
    expect(await run('revoke', { since, attempt: { heartbeat } })).toMatchObject({ state: 'done', warnings: [] });
    expect(words.filter((word) => word.startsWith('watching'))).toEqual([]);
  });

  it('that may be in the memory of what runs, since nothing reloads and nothing proves, is always watched, and that is said', async () => {
    const bare = { reload: false, prove: false, more: ['quietSeconds: 1'] };
    const since = await installed(bare);
    const found = await run('revoke', { ...bare, since });
    expect(found.warnings?.join()).toMatch(/nothing has what runs read the new payments at once/);
    expect(Date.now() - Date.parse(since)).toBeGreaterThanOrEqual(1_000);
  });

  it('is left alone by an abort while it is watched', async () => {
    expect(await service.charges(EXPOSED, 'acme')).toBe(200);
    const since = await installed();
    const abort = new AbortController();
    const heartbeat = (word: string): void => {
      if (word.startsWith('watching')) abort.abort();
    };
    await expect(run('revoke', { since, attempt: { heartbeat, signal: abort.signal } })).rejects.toThrow(/the worker is stopping|cancelled/);
    expect(stateOf('key-2025')).toBe('live');
  });

  it('is told as revoked before only where this rollback has not done it itself', async () => {
    const since = await installed();
    expect(await run('revoke', { since })).toMatchObject({ receipt: { after: { revoked: [{ generation: 'key-2025', already: false }] } } });
    expect(await run('revoke', { since })).toMatchObject({ receipt: { after: { revoked: [{ generation: 'key-2025', already: false }] } } });
  });

  it('that somebody else had revoked is told so', async () => {
    const since = await installed();
    const [cd = '', , revoke = ''] = keyFiles.manual(handCall(), { revoke: ['key-2025'] });
    expect(spawnSync('sh', ['-ec', `${cd}\n${revoke}`], { encoding: 'utf8' }).status).toBe(0);
    expect(await run('revoke', { since })).toMatchObject({ receipt: { after: { revoked: [{ generation: 'key-2025', already: true }] } } });
  });
});

const handCall = (): Parameters<typeof keyFiles.manual>[0] => ({
  environment: 'production',
  credential: 'payments',
  folder,
  options: keyFiles.options.parse({ folder: './keys', accepts: { url: `${service.url}/key` } }),
});

describe('an exploited one that is revoked first', () => {
  it('leaves its secret nowhere on the disk of the worker', async () => {
    await installed({ first: true });
    expect(await run('scope', { first: true })).toMatchObject({ state: 'done' });
    expect(kept().join()).not.toContain(EXPOSED);
    expect(fs.readdirSync(at('keys.backout')).filter((name) => name.startsWith('key-2025'))).toEqual([]);
  });

  it('and a file that is not there: that nothing works, what is missing, and what to type', async () => {
    for (const operation of ['revoke', 'issue'] as const) await run(operation, { first: true });
    fs.renameSync(at('api.env'), at('elsewhere.env'));
    const found = await run('install', { first: true });
    expect(found.failure).toMatchObject({ type: 'NotFound' });
    expect(found.told).toMatch(/could not be put in place: there is no file \.\/api\.env.*PAYMENTS_KEY of .* holds nothing: nothing works there now/s);
    expect(found.told).toMatch(/nothing works until it is in place/);
    expect(found.told).toMatch(/By hand:\ncd .*\n.* install key-\w+ --environment production --holder env-file/s);
    expect(found.told).not.toMatch(/earlier one is in place/);
  });

  it('a service that refuses the new one: nothing works, and it is said to mend that at once', async () => {
    for (const operation of ['revoke', 'issue'] as const) await run(operation, { first: true });
    await service.control({ status: 401 });
    const found = await run('install', { first: true });
    expect(found.failure?.type).toBe('CredentialRejected');
    expect(found.told).toMatch(
      /is not accepted; this attempt put it nowhere; what PAYMENTS_KEY of .* holds is not accepted: nothing works there now\nnothing works until the new one does/,
    );
  });

  it('and an install that is left out: the scope says that nothing works, and what to type; typed, it passes', async () => {
    for (const operation of ['revoke', 'issue'] as const) await run(operation, { first: true });
    const found = await run('scope', { first: true });
    expect(found.failure?.type).toBe('NotScoped');
    expect(found.told).toMatch(
      /what PAYMENTS_KEY of .* holds is not accepted: nothing works there\nput the new one where it is read; then decide retry\. By hand:/,
    );
    const lines = found.told.split('By hand:\n')[1] ?? '';
    expect(spawnSync('sh', ['-ec', lines], { encoding: 'utf8' }).status).toBe(0);
    expect(await service.charges(held(), 'acme')).toBe(200);
    expect(await run('scope', { first: true })).toMatchObject({ state: 'done' });
  });
});

describe('the new one', () => {
  it('that is refused while the earlier one works: nothing has changed, and the remedy says so', async () => {
    await run('issue');
    fs.writeFileSync(at('refuses'), '');
    const found = await run('install');
    expect(found.told).toMatch(/ended with 1\); PAYMENTS_KEY of .* has the earlier one again; what is held is accepted\nwhat runs has one that is accepted/);
    expect(held()).toBe(EXPOSED);
  });

  it('that is not where it is read, after an install was left out: what to type stands in the failure of revoke; typed, it goes on', async () => {
    await run('issue');
    const found = await run('revoke');
    expect(found.failure?.type).toBe('CredentialRejected');
    expect(found.told).toMatch(/not everywhere it is read: the old one is not revoked\nput key-\w+ where it is read, then decide retry\. By hand:/);
    expect(spawnSync('sh', ['-ec', found.told.split('By hand:\n')[1] ?? ''], { encoding: 'utf8' }).status).toBe(0);
    expect(await run('revoke')).toMatchObject({ state: 'done' });
  });

  it('that is not the only one alive: which, and how it is revoked', async () => {
    const since = await installed();
    await run('revoke', { since });
    plant('evil', 'canary-evil-evil');
    const found = await run('scope');
    expect(found.told).toMatch(/evil is alive too\nsee who has issued and who uses what else is alive, and revoke it; then decide retry\. By hand:/);
    expect(spawnSync('sh', ['-ec', found.told.split('By hand:\n')[1] ?? ''], { encoding: 'utf8' }).status).toBe(0);
    expect(await run('scope')).toMatchObject({ state: 'done' });
  });

  it('that is in place and does not work for what runs is no rotation that is done', async () => {
    const since = await installed();
    await run('revoke', { since });
    fs.writeFileSync(at('refuses'), '');
    expect((await run('scope')).told).toMatch(/what is held is accepted, and what runs does not work with it \(\.\/prove ended with 1\)\nsee why it does not/);
  });
});

describe('trouble of this machine has the remedy that helps', () => {
  it.each([
    [
      'a key that stands twice',
      () => fs.appendFileSync(at('api.env'), 'PAYMENTS_KEY=another\n'),
      'issue',
      /stands 2 times.*\nmend what is named: the file itself/s,
    ],
    [
      'a file that is a folder',
      () => {
        fs.rmSync(at('api.env'));
        fs.mkdirSync(at('api.env'));
      },
      'issue',
      /is no file\nmend what is named: the file itself/,
    ],
    ['a broken generation', () => fs.writeFileSync(at('keys', 'odd.json'), '{'), 'issue', /is no generation of a key.*\nmend what is named, or take it away/s],
  ] as const)('%s', async (_, make, operation, words) => {
    make();
    const found = await run(operation);
    expect(found.told).toMatch(words);
    expect(found.told).toMatch(/By hand:\ncd /);
    expect(found.told).not.toMatch(/mend backout\.yaml|renew the credential|backout now/);
  });

  it('a folder that may not be written', async () => {
    const { renameSync } = fsItself;
    fsItself.renameSync = (from, to) => {
      if (String(to).startsWith(at('keys', 'key-')))
        throw Object.assign(new Error(`EPERM: operation not permitted, rename '${String(to)}'`), { code: 'EPERM' });
      renameSync(from, to);
    };
    syncBuiltinESMExports();
    try {
      const found = await run('issue');
      expect(found.failure?.type).toBe('Unauthorized');
      expect(found.told).toMatch(/EPERM.*\nlet the worker read and write what is named.*By hand:\ncd .* issue --scope charge:read/s);
    } finally {
      fsItself.renameSync = renameSync;
      syncBuiltinESMExports();
    }
  });
});
