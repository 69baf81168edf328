import { execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import fsItself, * as fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { scanFiles } from '../../activities/credentials/fingerprint-files.ts';
import { findSecrets, fingerprintOf } from '../../activities/credentials/fingerprint.ts';
import { rejection } from '../adapters/contract.ts';

const MODULE = fileURLToPath(new URL('../../activities/credentials/fingerprint.ts', import.meta.url));
const SECRET = 'canary-5f0c_9e/77+aa==';

let folder = '';
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'fingerprint-'));
});
afterEach(() => {
  fs.rmSync(folder, { recursive: true, force: true });
});

const key = (): string => join(folder, '.backout', 'fingerprint.key');
const of = async (secret: string): Promise<string> => (await fingerprintOf(folder, secret)).fingerprint;
const known = async (...secrets: string[]): Promise<Set<string>> => new Set(await Promise.all(secrets.map(of)));

describe('a fingerprint', () => {
  it('is the same for the same secret, another one for another, and shows the key it is made with', async () => {
    const { keyId, fingerprint } = await fingerprintOf(folder, SECRET);
    expect(fingerprint).toMatch(new RegExp(`^fp1:${keyId}:[0-9a-f]{64}$`));
    expect(keyId).toMatch(/^[0-9a-f]{8}$/);
    expect(await fingerprintOf(folder, SECRET)).toEqual({ keyId, fingerprint });
    expect(await of(`${SECRET}x`)).not.toBe(fingerprint);
  });

  it('cannot be told without the key: neither is it the plain hash, nor that of another installation', async () => {
    const first = await fingerprintOf(folder, SECRET);
    expect(first.fingerprint).not.toContain(createHash('sha256').update(SECRET).digest('hex'));
    fs.rmSync(key());
    const second = await fingerprintOf(folder, SECRET);
    expect([second.keyId, second.fingerprint.slice(13)]).not.toEqual([first.keyId, first.fingerprint.slice(13)]);
    expect(second.fingerprint.slice(13)).not.toBe(first.fingerprint.slice(13));
  });

  it('has a key for the worker alone, which is made once, by many processes at the same time too', async () => {
    const script = `import { fingerprintOf } from ${JSON.stringify(MODULE)}; process.stdout.write((await fingerprintOf(process.argv[1], 'x')).fingerprint);`;
    const said = await Promise.all(
      Array.from({ length: 6 }, () =>
        text(spawn(process.execPath, ['--input-type=module', '-e', script, folder], { stdio: ['ignore', 'pipe', 'inherit'] }).stdout),
      ),
    );
    expect(new Set(said)).toEqual(new Set([await of('x')]));
    expect(fs.readdirSync(join(folder, '.backout'))).toEqual(['fingerprint.key']);
    expect([fs.statSync(key()).mode & 0o777, fs.statSync(join(folder, '.backout')).mode & 0o777]).toEqual([0o600, 0o700]);
    fs.chmodSync(key(), 0o644);
    await of('x');
    expect(fs.statSync(key()).mode & 0o777).toBe(0o600);
  });

  it('has the key that somebody else makes in that very moment', async () => {
    const theirs = `${'a'.repeat(64)}\n`;
    const { fsyncSync } = fsItself;
    fsItself.fsyncSync = (file) => {
      fsyncSync(file);
      if (!fs.existsSync(key())) fs.writeFileSync(key(), theirs);
    };
    syncBuiltinESMExports();
    try {
      const mine = await of('x');
      expect(fs.readFileSync(key(), 'utf8')).toBe(theirs);
      expect(await of('x')).toBe(mine);
    } finally {
      fsItself.fsyncSync = fsyncSync;
      syncBuiltinESMExports();
    }
  });

  it.each(['', 'short\n', `${'g'.repeat(64)}\n`, `${'a'.repeat(64)}\n\n`])(
    'with a broken key (%j) is an error, and the key stays as it is',
    async (content) => {
      await of('x');
      fs.writeFileSync(key(), content);
      for (const answer of [fingerprintOf(folder, SECRET), findSecrets(folder, SECRET, new Set()), scanFiles(folder, [], new Set(), beat())])
        expect(await rejection(answer)).toMatchObject({ kind: 'configuration', message: expect.stringContaining(key()) });
      expect(fs.readFileSync(key(), 'utf8')).toBe(content);
    },
  );
});

describe('in a text', () => {
  it.each([
    ['alone', SECRET],
    ['in an environment file', `A=1\nKEY=${SECRET}\n`],
    ['with export and quotes', `export KEY='${SECRET}' # why`],
    ['in JSON', JSON.stringify({ a: [{ key: SECRET }] })],
    ['in YAML', `stripe:\n  key: ${SECRET}\n`],
    ['in minified code', `(()=>{fetch("https://x",{headers:{authorization:"Bearer ${SECRET}"}})})()`],
    ['in a template', `\`${SECRET}\``],
    ['in a query', `https://shop.example/?a=1&key=${SECRET}&b=2`],
    ['as a user of an address', `https://${SECRET}@shop.example`],
    ['as the password of an address', `PAY_URL=https://x:${SECRET}@pay.example/v1`],
    ['percent-encoded in an address', `PAY_URL=https://x:${encodeURIComponent(SECRET)}@pay.example/v1`],
    ['percent-encoded in a query', `https://shop.example/?a=1&key=${encodeURIComponent(SECRET)}&b=2`],
    ['at the end of a sentence', `The key is ${SECRET}.`],
    ['behind two equals signs', `a=KEY=${SECRET}`],
    ['with the line ends of Windows', `KEY=${SECRET}\r\nB=2\r\n`],
  ])('%s, a secret is found', async (_, content) => {
    const set = await known(SECRET, 'another-secret');
    expect(await findSecrets(folder, content, set)).toEqual({ found: [await of(SECRET)], foreign: [] });
  });

  it.each([`pass word!x`, 'p@ss:w0rd$', '{"json":"x"}', 'ünïcode-secret'])('one of other characters (%j) is found as a whole value', async (secret) => {
    for (const content of [`KEY=${secret}`, `KEY="${secret}"\n`, `A=1\nexport KEY='${secret}'\n`, `key: ${secret}`, `  key: '${secret}',`])
      expect((await findSecrets(folder, content, await known(secret))).found, content).toEqual([await of(secret)]);
  });

  it.each(['p@ss:w0rd$', 'ünïcode-secret'])('one of other characters (%j) is found as the password of an address, percent-encoded or not', async (secret) => {
    for (const content of [`URL=postgres://x:${secret}@db/shop`, `URL="postgres://x:${encodeURIComponent(secret)}@db/shop"`])
      expect((await findSecrets(folder, content, await known(secret))).found, content).toEqual([await of(secret)]);
  });

  it('one without slashes is found as a part of a path', async () => {
    for (const path of ['https://hooks.example/T0/xoxb-5f0c9e', '/T0/xoxb-5f0c9e/send', 'xoxb-5f0c9e/send?x=1'])
      expect((await findSecrets(folder, path, await known('xoxb-5f0c9e'))).found.length, path).toBe(1);
  });

  it.each([
    ['a part of a longer word', `x${SECRET}x`],
    ['another case', SECRET.toUpperCase()],
    ['a prefix', SECRET.slice(0, -3)],
    ['encoded', Buffer.from(SECRET).toString('base64')],
    ['nothing', ''],
  ])('%s is not it', async (_, content) => {
    expect((await findSecrets(folder, content, await known(SECRET))).found).toEqual([]);
  });

  it('each is named once; those of another installation are told, since nobody can say; what is no fingerprint is an error', async () => {
    const foreign = `fp1:00000000:${'0'.repeat(64)}`;
    const set = new Set([...(await known(SECRET, 'another-secret')), foreign]);
    expect(await findSecrets(folder, `${SECRET} ${SECRET}\nanother-secret`, set)).toEqual({
      found: [await of(SECRET), await of('another-secret')],
      foreign: [foreign],
    });
    for (const odd of ['', SECRET, 'fp2:00000000:00'])
      expect(await rejection(findSecrets(folder, '', new Set([odd])))).toMatchObject({ kind: 'configuration', message: expect.not.stringContaining(SECRET) });
  });

  it('of 8 to 4096 characters, and no other', async () => {
    const fits = (length: number): Promise<boolean> =>
      known('s'.repeat(length)).then(async (set) => (await findSecrets(folder, 's'.repeat(length), set)).found.length === 1);
    expect(await Promise.all([7, 8, 4096, 4097].map(fits))).toEqual([false, true, true, false]);
  });

  it('that comes in parts, it is found wherever they are cut', async () => {
    const set = await known(SECRET, 'pass word!é');
    const whole = Buffer.from(`A=1\nKEY=${SECRET}\nPASS="pass word!é"\n`);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(whole.length), { maxLength: 8 }), async (cuts) => {
        const ends = [0, ...cuts.toSorted((a, b) => a - b), whole.length];
        const parts = ends.slice(1).map((end, index) => whole.subarray(ends[index], end));
        expect((await findSecrets(folder, Readable.from(parts), set)).found.length).toBe(2);
      }),
      { numRuns: 200 },
    );
  });

  it('without an end of a line, in constant memory, it is found between the words', async () => {
    async function* endless(): AsyncGenerator<string> {
      for (let part = 0; part < 300; part++)
        yield part === 200 ? `"${SECRET}",` : part % 3 === 0 ? 'x'.repeat(70_000) : randomBytes(30_000).toString('hex').replaceAll('f', '","');
    }
    const before = process.memoryUsage().heapUsed;
    expect((await findSecrets(folder, endless(), await known(SECRET))).found).toEqual([await of(SECRET)]);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(200e6);
  });
});

const beat = (signal = new AbortController().signal): Parameters<typeof scanFiles>[3] => ({ signal, heartbeat: () => undefined });

describe('in files', () => {
  const put = (path: string, content: string | Buffer): void => {
    fs.mkdirSync(join(folder, 'build', path, '..'), { recursive: true });
    fs.writeFileSync(join(folder, 'build', path), content);
  };

  it('each file with each secret is named, and what was not looked at, with the reason', async () => {
    put('a/b/.env', `KEY=${SECRET}\n`);
    put('app.js', `const key = "${SECRET}", other = "another-secret";`);
    put('clean.txt', 'nothing');
    put('image.png', Buffer.concat([Buffer.from([0]), Buffer.from(SECRET)]));
    put('bundle.js', `${'x=1;'.repeat(1024 * 1024)}"${SECRET}";${'y=2;'.repeat(1024 * 1024)}`);
    put('late.bin', Buffer.concat([Buffer.alloc(1024 * 1024, 'a b '), Buffer.from([0])]));
    put('dump.sql', '');
    fs.truncateSync(join(folder, 'build', 'dump.sql'), 64 * 1024 * 1024 + 1);
    fs.writeFileSync(join(folder, 'outside'), SECRET);
    fs.symlinkSync('../outside', join(folder, 'build', 'out'));
    fs.symlinkSync('..', join(folder, 'build', 'up'));
    fs.symlinkSync('app.js', join(folder, 'build', 'inside'));
    fs.symlinkSync('nowhere', join(folder, 'build', 'dangling'));
    const [one, two] = await Promise.all([of(SECRET), of('another-secret')]);
    const scan = await scanFiles(folder, ['build'], new Set([one, two]), beat());
    expect(scan.found.toSorted((a, b) => (a.path + a.fingerprint < b.path + b.fingerprint ? -1 : 1))).toEqual(
      [
        { path: 'build/a/b/.env', fingerprint: one },
        { path: 'build/app.js', fingerprint: one },
        { path: 'build/app.js', fingerprint: two },
        { path: 'build/bundle.js', fingerprint: one },
      ].toSorted((a, b) => (a.path + a.fingerprint < b.path + b.fingerprint ? -1 : 1)),
    );
    expect(Object.fromEntries(scan.skipped.map(({ path, why }) => [path, why]))).toEqual({
      'build/dump.sql': 'larger than 64 MiB',
      'build/dangling': 'a link out of the folder, or to nothing',
      'build/image.png': 'binary',
      'build/late.bin': 'binary',
      'build/out': 'a link out of the folder, or to nothing',
      'build/up': 'a link out of the folder, or to nothing',
    });
    expect([scan.files, scan.foreign]).toEqual([4, []]);
    expect(JSON.stringify(scan)).not.toContain(SECRET);
  });

  it('what is named may be a link, a file, or an absolute path; what is not there is not-found', async () => {
    put('v1/.env', `KEY=${SECRET}`);
    fs.symlinkSync('build/v1', join(folder, 'current'));
    const set = await known(SECRET);
    for (const path of ['current', 'build/v1/.env', join(folder, 'build'), 'build/v1/../v1'])
      expect((await scanFiles(folder, [path], set, beat())).found.length, path).toBe(1);
    expect((await rejection(scanFiles(folder, ['nowhere'], set, beat()))).kind).toBe('not-found');
  });

  it('a pipe is not waited for, a large tree is heard of, and an abort ends it promptly', async () => {
    for (let index = 0; index < 400; index++) put(`many/${index}.txt`, randomBytes(15_000).toString('base64').replaceAll('A', ' '));
    execFileSync('mkfifo', [join(folder, 'build', 'pipe')]);
    const set = await known(SECRET);
    expect((await scanFiles(folder, ['build/pipe', 'build'], set, beat())).skipped).toEqual([
      { path: 'build/pipe', why: 'no plain file' },
      { path: 'build/pipe', why: 'no plain file' },
    ]);
    const abort = new AbortController();
    const said: string[] = [];
    const heartbeat = (word: string): void => {
      said.push(word);
      abort.abort();
    };
    const answer = rejection(
      scanFiles(
        folder,
        Array.from({ length: 200 }, () => 'build/many'),
        set,
        { signal: abort.signal, heartbeat },
      ),
    );
    expect((await answer).kind).toBe('unavailable');
    expect(said).toEqual([expect.stringMatching(/^looked for revoked secrets in \d+ files$/)]);
  });
});
