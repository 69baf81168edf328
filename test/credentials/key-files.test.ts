import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { CredentialCall } from '../../activities/credentials/authority.ts';
import { keyFiles, type KeyFilesOptions } from '../../activities/credentials/key-files.ts';
import { rejection } from '../adapters/contract.ts';
import { startKeyService, type KeyService } from '../fakes/key-service-process.ts';
import { authorityContract } from './contract.ts';

const CANARY = 'canary-0d7e51c2';
const GRANT = { scopes: ['charge:read'], tenants: ['acme'] };
const ATTEMPT = fileURLToPath(new URL('../fakes/credential-attempt.ts', import.meta.url));

let folder = '';
let service: KeyService;
const keys = (...more: string[]): string => join(folder, 'keys', ...more);
const keep = (...more: string[]): string => join(folder, 'keys.backout', ...more);

/** A generation as the house's own tool writes it. */
function plant(id: string, secret: string, more: Readonly<Record<string, unknown>> = {}): void {
  const sha256 = createHash('sha256').update(secret).digest('hex');
  const record = { id, sha256, scopes: ['charge:read', 'charge:write'], tenants: null, state: 'live', issuedAt: '2026-01-01T00:00:00Z', operation: null };
  fs.writeFileSync(keys(`${id}.json`), JSON.stringify({ ...record, ...more }));
}

beforeEach(async () => {
  folder = fs.mkdtempSync(join(tmpdir(), 'key-files-'));
  fs.mkdirSync(keys(), { mode: 0o750 });
  plant('old', CANARY);
  service = await startKeyService(keys());
});
afterEach(async () => {
  await service.stop();
  fs.rmSync(folder, { recursive: true, force: true });
});

const options = (more: Partial<KeyFilesOptions> = {}): KeyFilesOptions => ({
  folder: 'keys',
  accepts: { url: `${service.url}/key`, header: 'Authorization' },
  secretBytes: 32,
  ...more,
});
const call = (overrides: Partial<CredentialCall<KeyFilesOptions>> = {}): CredentialCall<KeyFilesOptions> => ({
  environment: 'production',
  credential: 'payments',
  options: options(),
  folder,
  operationId: 'run/payments.issue/0',
  attempt: 1,
  signal: new AbortController().signal,
  heartbeat: () => undefined,
  secret: () => Promise.reject(new Error('a folder of keys needs no secret')),
  ...overrides,
});
const issue = async (overrides: Partial<CredentialCall<KeyFilesOptions>> = {}): Promise<string> =>
  String((await keyFiles.issue(call(overrides), GRANT)).ids?.['generation']);
const live = async (): Promise<string[]> => (await keyFiles.generations(call())).filter(({ state }) => state === 'live').map(({ id }) => id);
const kept = (): string[] => (fs.existsSync(keep()) ? fs.readdirSync(keep()).filter((name) => name.endsWith('.secret')) : []);
const tree = (): unknown =>
  fs
    .readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => !name.includes('lease.'))
    .toSorted((a, b) => (a < b ? -1 : 1))
    .map((name) => {
      const stats = fs.lstatSync(join(folder, name));
      return [
        name,
        stats.mode,
        stats.isFile()
          ? [
              stats.ino,
              stats.mtimeMs,
              createHash('sha256')
                .update(fs.readFileSync(join(folder, name)))
                .digest('hex'),
            ]
          : null,
      ];
    })
    .filter(([name]) => name !== 'keys.backout');

authorityContract({
  name: 'key-files',
  setup: () =>
    Promise.resolve({
      authority: keyFiles,
      rawOptions: { folder: 'keys', accepts: { url: 'https://shop.example/key' }, secretBytes: 24, keep: './kept' },
      call,
      old: 'old',
      canary: CANARY,
      use: async (secret, scope, tenant) => (await service.charges(secret, tenant, scope === 'charge:read' ? 'GET' : 'POST')) === 200,
      grant: GRANT,
      refused: [
        { scope: 'charge:write', tenant: 'acme' },
        { scope: 'charge:read', tenant: 'globex' },
      ],
      snapshot: () => Promise.resolve(tree()),
      kept: () => Promise.resolve(['', ...kept()].map((name) => ({ name, mode: fs.statSync(keep(name)).mode & 0o777 }))),
      secrets: () => Promise.resolve(kept().map((name) => (JSON.parse(fs.readFileSync(keep(name), 'utf8')) as { secret: string }).secret)),
      lose: () => {
        for (const name of kept()) fs.rmSync(keep(name));
        return Promise.resolve();
      },
      down: () => service.stop(),
      stall: () => service.control({ stall: true }),
      teardown: () => Promise.resolve(),
    }),
});

interface Job {
  readonly act: 'issue' | 'revoke';
  readonly dieAt?: string;
  readonly id?: string;
}

/** In a process of its own; answers with its signal, if it was killed, and with what it printed. */
async function attempt(job: Job): Promise<{ signal: string | null; out: string }> {
  const { environment, credential, folder: at, operationId } = call();
  const whole = { ...job, call: { environment, credential, folder: at, operationId, options: options() }, grant: GRANT };
  const child = spawn(process.execPath, [ATTEMPT, JSON.stringify(whole)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const out = await text(child.stdout);
  return { signal: ((await ended) as [number | null, string | null])[1], out };
}

describe('an attempt that is killed', () => {
  it.each([
    ['before its secret is kept', 'keeping', 0, 1],
    ['after its secret was kept', 'issuing', 1, 1],
    ['after the folder knew it', 'issued', 1, 2],
  ])('%s: the next one ends with one generation and one secret', async (_, dieAt, secrets, generations) => {
    expect(await attempt({ act: 'issue', dieAt })).toEqual({ signal: 'SIGKILL', out: '' });
    expect([kept().length, (await live()).length]).toEqual([secrets, generations]);
    const left = kept().map((name) => name.replace('.secret', ''));
    const id = await issue();
    expect(generations === 2 ? left : [id]).toEqual([id]);
    expect(await live()).toEqual([id, 'old']);
    expect(kept()).toEqual([`${id}.secret`]);
    expect(await keyFiles.accepts(call(), await keyFiles.reveal(call(), id))).toBe(true);
    expect(fs.readdirSync(keys()).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('a key that somebody took out of the folder is not brought back by another try', async () => {
    const first = await issue();
    const secret = await keyFiles.reveal(call(), first);
    fs.rmSync(keys(`${first}.json`));
    expect(await issue()).not.toBe(first);
    expect(await keyFiles.accepts(call(), secret)).toBe(false);
    expect(kept().length).toBe(1);
  });

  it.each([
    ['before it revoked', 'revoking', 'live', false],
    ['after it revoked', 'revoked', 'revoked', true],
    ['before it forgot', 'forgetting', 'revoked', true],
  ])('%s: the next one proves it by the service, and forgets', async (_, dieAt, state, already) => {
    const id = await issue();
    const secret = await keyFiles.reveal(call(), id);
    expect((await attempt({ act: 'revoke', id, dieAt })).signal).toBe('SIGKILL');
    expect((await keyFiles.generations(call()))[0]).toMatchObject({ id, state });
    expect(kept().length).toBe(1);
    expect(await keyFiles.revoke(call(), id, false)).toMatchObject({ after: { already, proof: 'service' } });
    expect(kept()).toEqual([]);
    expect(await service.charges(secret, 'acme')).toBe(401);
  });

  it('two in processes of their own, one killed at any moment, leave one generation', async () => {
    for (const dieAt of ['keeping', 'issuing', 'issued', 'waiting']) {
      const [, second] = await Promise.all([attempt({ act: 'issue', dieAt }), attempt({ act: 'issue' })]);
      const { ids } = JSON.parse(second.out) as { ids: { generation: string } };
      expect(await live()).toEqual([ids.generation, 'old']);
      expect(kept()).toEqual([`${ids.generation}.secret`]);
    }
  });

  it('one that wakes up late finds that another has taken over, and does nothing', async () => {
    const stale = (at: string): void => {
      for (const name of fs.readdirSync(keep())) if (name === at) fs.utimesSync(keep(name), 0, 0);
    };
    let second: Promise<string> | undefined;
    const first = rejection(
      issue({
        heartbeat: (word) => {
          if (!word.startsWith('issuing')) return;
          // As if it had slept here: its lease has run out, and a successor has come and gone.
          stale('lease.1');
          fs.writeFileSync(keep('lease.2'), '{}');
          fs.utimesSync(keep('lease.2'), 0, 0);
          second = issue({ operationId: 'run/payments.issue/1' });
        },
      }),
    );
    expect((await first).kind).toBe('superseded');
    expect(await live()).toEqual([await second, 'old']);
    expect(kept()).toEqual([`${await second}.secret`]);
  });
});

describe('issue', () => {
  it('a lost one that somebody uses is left live and told: its secret is not lost', async () => {
    const id = await issue();
    await service.charges(await keyFiles.reveal(call(), id), 'acme');
    for (const name of kept()) fs.rmSync(keep(name));
    const receipt = await keyFiles.issue(call(), GRANT);
    expect(receipt).toMatchObject({
      after: { orphans: { revoked: [], inUse: [id] } },
      detail: expect.stringContaining(`${id} of this operation is not kept here`),
    });
    expect(await live()).toEqual([String(receipt.ids?.['generation']), id, 'old']);
  });

  it('what is kept and is another secret than the one of that generation is not revealed, and counts as lost', async () => {
    const id = await issue();
    fs.writeFileSync(keep(`${id}.secret`), fs.readFileSync(keep(`${id}.secret`), 'utf8').replace(/"secret":"./, '"secret":"!'));
    expect((await rejection(keyFiles.reveal(call(), id))).kind).toBe('not-found');
    const other = await issue();
    expect(await live()).toEqual([other, 'old']);
  });

  it('an orphan that is the only live one ends only after another one is live', async () => {
    await issue();
    await keyFiles.revoke(call(), 'old', false);
    for (const name of kept()) fs.rmSync(keep(name));
    const id = await issue();
    expect(await live()).toEqual([id]);
  });

  it('one of this operation with another grant is not taken for what is asked', async () => {
    await issue();
    const before = tree();
    for (const grant of [
      { ...GRANT, scopes: ['charge:read', 'charge:write'] },
      { ...GRANT, tenants: null },
      { ...GRANT, tenants: ['acme', 'globex'] },
    ])
      expect((await rejection(keyFiles.issue(call(), grant))).kind).toBe('conflict');
    expect(tree()).toEqual(before);
  });

  it('writes the hash and never the secret, with as much randomness as configured', async () => {
    const id = await issue({ options: options({ secretBytes: 48 }) });
    const secret = await keyFiles.reveal(call(), id);
    expect(Buffer.from(secret, 'base64url').length).toBe(48);
    const written = fs.readFileSync(keys(`${id}.json`), 'utf8');
    expect(written).not.toContain(secret);
    expect(JSON.parse(written)).toMatchObject({
      id,
      sha256: createHash('sha256').update(secret).digest('hex'),
      operation: 'run/payments.issue',
      state: 'live',
    });
  });

  it.each([
    [0o750, 0o640],
    [0o700, 0o600],
  ])('a folder of mode %o gets files of mode %o, and its own owner, also when one is revoked', async (of, mode) => {
    fs.chmodSync(keys(), of);
    if (process.getuid?.() === 0) fs.chownSync(keys(), 65_534, 65_533);
    const { uid, gid } = fs.statSync(keys());
    const id = await issue();
    const look = (name: string): unknown[] => [fs.statSync(keys(name)).mode & 0o777, fs.statSync(keys(name)).uid, fs.statSync(keys(name)).gid];
    expect(look(`${id}.json`)).toEqual([mode, uid, gid]);
    fs.chmodSync(keys('old.json'), 0o604);
    const old = look('old.json');
    await keyFiles.revoke(call(), 'old', false);
    expect(look('old.json')).toEqual(old);
  });

  it('keeps secrets where it is told to, and not where others may enter', async () => {
    const place = join(folder, 'vault');
    const mine = { options: options({ keep: './vault' }) };
    const id = await issue(mine);
    expect(fs.readdirSync(place)).toEqual([`${id}.secret`]);
    expect(fs.statSync(place).mode & 0o777).toBe(0o700);
    fs.chmodSync(place, 0o755);
    expect((await rejection(issue({ ...mine, operationId: 'run/other/0' }))).kind).toBe('configuration');
    expect(await live()).toEqual([id, 'old']);
  });
});

describe('the folder', () => {
  it.each([
    ['no JSON', `{ ${CANARY}`],
    ['another id', JSON.stringify({ id: 'old', sha256: '0'.repeat(64), scopes: [], tenants: null, state: 'live' })],
    ['a state that nobody knows', JSON.stringify({ id: 'x', sha256: '0'.repeat(64), scopes: [], tenants: null, state: 'perhaps' })],
    ['no tenants', JSON.stringify({ id: 'x', sha256: '0'.repeat(64), scopes: [], state: 'live' })],
    ['too much', ' '.repeat(70_000)],
  ])('a file with %s is an error that names it and quotes nothing; nothing is done beside it', async (_, content) => {
    fs.writeFileSync(keys('x.json'), content);
    const before = tree();
    for (const answer of [keyFiles.generations(call()), keyFiles.issue(call(), GRANT), keyFiles.revoke(call(), 'old', true)]) {
      const error = await rejection(answer);
      expect([error.kind, error.message]).toEqual(['unexpected-response', expect.stringContaining('x')]);
      expect(error.message).not.toContain(CANARY);
    }
    expect(tree()).toEqual(before);
  });

  it('a link in it is followed nowhere, a strange name is an error, and other files are left alone', async () => {
    fs.writeFileSync(keys('README'), 'ours');
    expect(await live()).toEqual(['old']);
    fs.writeFileSync(join(folder, 'elsewhere'), fs.readFileSync(keys('old.json'), 'utf8').replace('"old"', '"x"'));
    fs.symlinkSync(join(folder, 'elsewhere'), keys('x.json'));
    expect((await rejection(keyFiles.generations(call()))).kind).toBe('unexpected-response');
    fs.renameSync(keys('x.json'), keys('..x y.json'));
    fs.rmSync(keys('..x y.json'));
    fs.writeFileSync(keys('x y.json'), '{}');
    expect((await rejection(keyFiles.generations(call()))).kind).toBe('unexpected-response');
  });

  it('what says of a use nothing that can be read is an error: it may hide one', async () => {
    fs.writeFileSync(keys('old.used'), '{"lastUsedAt":');
    expect(await rejection(keyFiles.generations(call()))).toMatchObject({ kind: 'unexpected-response', message: expect.stringContaining('old.used') });
    fs.writeFileSync(keys('old.used'), JSON.stringify({ lastUsedAt: '2026-02-01T00:00:00Z', lastUsedBy: `\u001B[31m${'x'.repeat(500)}` }));
    const [old] = await keyFiles.generations(call());
    expect(old?.lastUsedBy).toMatch(/^ \[31mx{95}$/);
    fs.writeFileSync(keys('old.used'), JSON.stringify({ lastUsedAt: '2026-02-01T01:00:00+01:00' }));
    expect(await keyFiles.generations(call())).toMatchObject([{ lastUsedAt: '2026-02-01T00:00:00.000Z', lastUsedBy: null }]);
  });

  it('that is not there is a configuration error; behind a link it is the same one, with one lease', async () => {
    expect((await rejection(keyFiles.generations(call({ options: options({ folder: 'nowhere' }) })))).kind).toBe('configuration');
    fs.symlinkSync('keys', join(folder, 'link'));
    const ids = await Promise.all([issue(), issue({ options: options({ folder: 'link' }) })]);
    expect(new Set(ids).size).toBe(1);
    expect(fs.existsSync(join(folder, 'link.backout'))).toBe(false);
  });

  it('what else a service keeps in a file stays', async () => {
    plant('noted', 'another', { note: 'of the shop', limits: { perSecond: 5 } });
    await keyFiles.revoke(call(), 'noted', false);
    expect(JSON.parse(fs.readFileSync(keys('noted.json'), 'utf8'))).toMatchObject({ state: 'revoked', note: 'of the shop', limits: { perSecond: 5 } });
  });
});

describe('revoke', () => {
  it('says by what it is proven: the service where the secret is known, else the file', async () => {
    const id = await issue();
    plant('seen', 'seen-secret');
    await keyFiles.adopt(call(), 'seen-secret');
    expect(await keyFiles.revoke(call(), 'old', false)).toMatchObject({ after: { proof: 'file' }, detail: expect.stringContaining('by the file alone') });
    expect(await service.requests()).toEqual([]);
    for (const one of ['seen', id]) expect(await keyFiles.revoke(call(), one, true)).toMatchObject({ after: { proof: 'service' } });
    expect((await service.requests()).length).toBe(2);
  });

  it('a change that somebody else makes in that moment stays, and nothing is revoked', async () => {
    await issue();
    const call2 = call({
      heartbeat: (word) => {
        if (word.startsWith('revoking')) plant('old', CANARY, { scopes: ['charge:read'] });
      },
    });
    expect((await rejection(keyFiles.revoke(call2, 'old', false))).kind).toBe('conflict');
    expect((await keyFiles.generations(call())).at(-1)).toMatchObject({ id: 'old', state: 'live', scopes: ['charge:read'] });
  });

  it('the other live one that goes in that moment keeps this one', async () => {
    plant('other', 'another');
    const call2 = call({
      heartbeat: (word) => {
        if (word.startsWith('revoking')) plant('other', 'another', { state: 'revoked' });
      },
    });
    expect((await rejection(keyFiles.revoke(call2, 'old', false))).kind).toBe('protected');
    expect(await live()).toEqual(['old']);
  });

  it('waits for a service that sees it late', async () => {
    const id = await issue();
    await service.control({ cacheMs: 1_500 });
    const started = performance.now();
    expect(await keyFiles.revoke(call(), id, false)).toMatchObject({ after: { proof: 'service' } });
    expect(performance.now() - started).toBeGreaterThan(1_000);
  });

  it('a service that goes on accepting it is a failure that says so; the secret stays for the next proof', async () => {
    const id = await issue();
    await service.control({ cacheMs: 60_000 });
    const real = performance.now.bind(performance);
    const from = real();
    vi.spyOn(performance, 'now').mockImplementation(() => from + (real() - from) * 20);
    expect(await rejection(keyFiles.revoke(call(), id, false))).toMatchObject({
      kind: 'failed',
      message: expect.stringMatching(/is revoked in .* still accepts it/),
    });
    vi.restoreAllMocks();
    await service.control({});
    expect(await keyFiles.revoke(call(), id, false)).toMatchObject({ after: { already: true, proof: 'service' } });
    expect(kept()).toEqual([]);
  });

  it.each([
    [500, 'unavailable'],
    [429, 'rate-limited'],
    [302, 'unexpected-response'],
    [404, 'unexpected-response'],
  ])('a service that answers %i proves nothing (%s): the message says that it is revoked all the same', async (status, kind) => {
    const id = await issue();
    await service.control({ status });
    expect((await rejection(keyFiles.accepts(call(), CANARY))).kind).toBe(kind);
    expect(await rejection(keyFiles.revoke(call(), id, false))).toMatchObject({ kind, message: expect.stringMatching(/is revoked in .* not proven/) });
    expect(await service.requests()).not.toContain('GET /charges');
    expect(kept().length).toBe(1);
    await service.control({ status: 403 });
    expect(await keyFiles.revoke(call(), id, false)).toMatchObject({ after: { proof: 'service' } });
  });
});

describe('the service is asked', () => {
  it('in the configured header', async () => {
    const other = await startKeyService(keys(), 'X-Api-Key');
    const accepts = { url: `${other.url}/key`, header: 'X-Api-Key' };
    expect(await keyFiles.accepts(call({ options: options({ accepts }) }), CANARY)).toBe(true);
    expect(await keyFiles.accepts(call({ options: options({ accepts: { ...accepts, header: 'Authorization' } }) }), CANARY)).toBe(false);
    await other.stop();
  });

  it('and a redirect takes the key nowhere', async () => {
    const heard: string[] = [];
    const thief = createServer((request, response) => {
      heard.push(String(request.headers.authorization));
      response.end();
    }).listen(0, '127.0.0.1');
    const front = createServer((_, response) => {
      const address = thief.address();
      response.writeHead(307, { location: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/` }).end();
    }).listen(0, '127.0.0.1');
    await Promise.all([once(thief, 'listening').catch(() => undefined), once(front, 'listening')]);
    const address = front.address();
    const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/key`;
    expect((await rejection(keyFiles.accepts(call({ options: options({ accepts: { url, header: 'Authorization' } }) }), CANARY))).kind).toBe(
      'unexpected-response',
    );
    expect(heard).toEqual([]);
    for (const server of [thief, front]) server.close().closeAllConnections();
  });

  it('options that would send a key where none belongs are refused', () => {
    const place = (accepts: unknown, more: object = {}): unknown =>
      keyFiles.options.safeParse({ folder: 'k', accepts, ...more }).error?.issues.map(({ path }) => path.join('.'));
    for (const url of ['file:///etc/passwd', 'ftp://h/key', 'javascript:1', 'key', '', 'http://user:pass@h/key', 'data:,x'])
      expect(place({ url }), url).toEqual(expect.arrayContaining(['accepts.url']));
    for (const header of ['', 'A B', 'A:', 'A\nB', 'ü']) expect(place({ url: 'http://h/key', header }), header).toEqual(['accepts.header']);
    for (const secretBytes of [15, 257, 20.5, '32']) expect(place({ url: 'http://h/key' }, { secretBytes })).toEqual(['secretBytes']);
    for (const more of [{ folder: '' }, { keep: '' }]) expect(place({ url: 'http://h/key' }, more)).toEqual(Object.keys(more));
    expect(place({ url: 'http://h/key', method: 'POST' })).toEqual(['accepts']);
    expect(keyFiles.options.parse({ folder: 'k', accepts: { url: 'http://h/key' } })).toEqual({
      folder: 'k',
      accepts: { url: 'http://h/key', header: 'Authorization' },
      secretBytes: 32,
    });
  });
});

describe('by hand', () => {
  const run = (line: string, input = ''): { out: string; status: number | null } => {
    const [cd = ''] = keyFiles.manual(call());
    const { stdout, stderr, status } = spawnSync('sh', ['-ec', `${cd}\n${line}`], { input, encoding: 'utf8' });
    return { out: stdout + stderr, status };
  };

  it('all is the same, without a secret, and it says why not', async () => {
    const [, list = '', make = '', revoke = ''] = keyFiles.manual(call());
    expect(JSON.parse(run(list).out)).toMatchObject([{ id: 'old', state: 'live' }]);
    const made = run(make.replace('SCOPE', 'charge:read').replace('TENANT', 'acme'));
    const { ids, detail } = JSON.parse(made.out) as { ids: { generation: string }; detail: string };
    expect(detail).toContain(keep());
    expect(made.out).not.toContain(await keyFiles.reveal(call(), ids.generation));
    expect(JSON.parse(run(list.replace('list', 'adopt'), `${CANARY}\n`).out)).toEqual({ generation: 'old' });
    expect(JSON.parse(run(revoke.replace('ID', 'old')).out)).toMatchObject({ after: { proof: 'service' } });
    expect(run(revoke.replace('ID', ids.generation))).toEqual({ status: 1, out: expect.stringMatching(/^key-files: .* is the last live generation/) });
    expect(run(`${revoke.replace('ID', ids.generation)} --last`).status).toBe(0);
    expect(run(list.replace('list', 'nonsense'))).toEqual({ status: 1, out: expect.stringMatching(/^key-files: usage/) });
  });
});
