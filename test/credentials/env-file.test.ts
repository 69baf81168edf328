import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseEnv } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { envFile as source } from '../../activities/configs/env-file.ts';
import type { CredentialCall } from '../../activities/credentials/authority.ts';
import { envFile, type EnvKeyOptions } from '../../activities/credentials/env-file.ts';
import { rejection } from '../adapters/contract.ts';
import { holderContract } from './contract.ts';

const CANARY = 'canary-77e0a1b9';
const START = `# The shop\nPLAIN=one\nexport KEY='${CANARY}-old' # of payments\n\nOTHER="${CANARY}\nin two lines"\n`;
const ATTEMPT = fileURLToPath(new URL('../fakes/credential-attempt.ts', import.meta.url));

let folder = '';
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'env-file-'));
  fs.writeFileSync(file(), START, { mode: 0o640 });
});
afterEach(() => {
  fs.rmSync(folder, { recursive: true, force: true });
});

const file = (): string => join(folder, '.env');
const text = (): string => fs.readFileSync(file(), 'utf8');
const write = (content: string | Buffer): void => {
  fs.writeFileSync(file(), content);
};
const reload = (end = 'exit 0'): string[] => ['sh', '-c', `echo ran >> ran; ${end}`];
const ran = (): number => (fs.existsSync(join(folder, 'ran')) ? fs.readFileSync(join(folder, 'ran'), 'utf8').split('\n').length - 1 : 0);
const options = (more: Partial<EnvKeyOptions> = {}): EnvKeyOptions => ({ path: '.env', key: 'KEY', reload: reload(), ...more });
const call = (overrides: Partial<CredentialCall<EnvKeyOptions>> = {}): CredentialCall<EnvKeyOptions> => ({
  environment: 'production',
  credential: 'payments',
  options: options(),
  folder,
  operationId: 'run/payments.install/0',
  attempt: 1,
  signal: new AbortController().signal,
  heartbeat: () => undefined,
  secret: () => Promise.reject(new Error('an environment file needs no secret')),
  ...overrides,
});
const put = async (now: string, secret = 'NEW', more: Partial<EnvKeyOptions> = {}): Promise<string> => {
  write(now);
  await envFile.write(call({ options: options(more) }), secret);
  return text();
};

holderContract({
  name: 'env-file',
  setup: () =>
    Promise.resolve({
      holder: envFile,
      rawOptions: { path: '.env', key: 'KEY', reload: ['true'] },
      call,
      held: () => {
        const { KEY = null, ...rest } = parseEnv(text());
        return Promise.resolve({ credential: KEY === '' ? null : KEY, rest });
      },
      empty: () => Promise.resolve(write(START.replace(/^export KEY=.*\n/m, ''))),
      reloads: () => Promise.resolve(ran()),
      failing: () => call({ options: options({ reload: reload('cat .env; cat .env >&2; exit 3') }) }),
      raced: () =>
        call({
          heartbeat: (word) => {
            if (word.startsWith('writing')) write('KEY=theirs\n');
          },
        }),
      // Something lies where the new file would be prepared.
      broken: () => {
        fs.mkdirSync(join(folder, '.next-.env.1'));
        return Promise.resolve(call());
      },
      snapshot: () =>
        Promise.resolve(
          fs
            .readdirSync(folder, { recursive: true, encoding: 'utf8' })
            .filter((name) => !name.includes('lease.'))
            .map((name) => [name, fs.statSync(join(folder, name)).mode, fs.statSync(join(folder, name)).ino]),
        ),
      canary: CANARY,
      teardown: () => Promise.resolve(),
    }),
});

describe('the file', () => {
  it.each([
    ['comments, order, quotes and export', START, START.replace(`${CANARY}-old`, 'NEW')],
    ['a value without quotes', 'A=1\nKEY=old # why\nB=2\n', 'A=1\nKEY=NEW # why\nB=2\n'],
    ['a value in double quotes', 'KEY="old"\n', 'KEY="NEW"\n'],
    ['the line ends of Windows', 'A=1\r\nKEY=old\r\nB="x\r\ny"\r\n', 'A=1\r\nKEY=NEW\r\nB="x\r\ny"\r\n'],
    ['other keys that stand twice', 'A=1\nA=2\nKEY=old\n', 'A=1\nA=2\nKEY=NEW\n'],
    ['what is commented out', '#KEY=older\nKEY=old\n', '#KEY=older\nKEY=NEW\n'],
    ['a key that only begins alike', 'KEY_2=a\nMY_KEY=b\nKEY=old\n', 'KEY_2=a\nMY_KEY=b\nKEY=NEW\n'],
    ['a missing last line end', 'KEY=old', 'KEY=NEW'],
    ['lines that are no variables', 'some words\nKEY=old\n%%\n', 'some words\nKEY=NEW\n%%\n'],
    ['an empty value', 'KEY=\nA=1\n', 'KEY=NEW\nA=1\n'],
  ])('keeps %s', async (_, now, then) => {
    expect(await put(now)).toBe(then);
  });

  it.each(['a#b', 'a b', `it's`, 'say "x"', String.raw`back\slash`, 'a=b==', 'é😀', 'x'.repeat(2_000)])('holds a secret like %j exactly', async (secret) => {
    for (const now of ['KEY=x\nNEXT=1\n', `KEY='x'\nNEXT=1\n`, `KEY="x"\nNEXT=1\n`, `NEXT=1`])
      expect(parseEnv(await put(now, secret))).toEqual({ KEY: secret, NEXT: '1' });
  });

  it('that no machine should edit is left as it is, and the error holds no secret', async () => {
    const open = 'KEY=x\nA="open\n';
    write(open);
    const error = await rejection(envFile.write(call(), `${CANARY}"'\`\n`));
    expect(error.kind).toBe('failed');
    expect(error.message).not.toContain(CANARY);
    expect(text()).toBe(open);
    expect(ran()).toBe(0);
  });

  it.each([
    ['not there', () => fs.rmSync(file()), 'not-found'],
    ['a folder', () => [fs.rmSync(file()), fs.mkdirSync(file())], 'configuration'],
    ['not UTF-8', () => write(Buffer.from([0x4b, 0x3d, 0xff])), 'configuration'],
    ['one with the key twice', () => write(`KEY=${CANARY}\nA=1\nKEY=b\n`), 'configuration'],
  ] as const)('%s is not written, nor made', async (_, spoil, kind) => {
    spoil();
    const before = fs.readdirSync(folder);
    const isThere = fs.existsSync(file());
    const error = await rejection(envFile.write(call(), 'NEW'));
    expect([error.kind, error.message]).toEqual([kind, expect.not.stringContaining(CANARY)]);
    expect(fs.readdirSync(folder)).toEqual(isThere ? [...before, '.env.backout'] : before);
  });

  it('that goes in that moment is not made', async () => {
    const writing = rejection(envFile.write(call(), 'NEW'));
    fs.rmSync(file());
    expect((await writing).kind).toBe('not-found');
    expect(fs.existsSync(file())).toBe(false);
  });

  it('that is not there holds nothing; one with the key twice cannot say', async () => {
    write('KEY=a\nKEY=a\n');
    expect((await rejection(envFile.read(call()))).kind).toBe('configuration');
    fs.rmSync(file());
    expect(await envFile.read(call())).toBeNull();
  });

  it('keeps its mode and its owner, behind links too', async () => {
    fs.mkdirSync(join(folder, 'real'));
    fs.renameSync(file(), join(folder, 'real', 'file'));
    fs.symlinkSync('real/file', file());
    fs.chmodSync(join(folder, 'real', 'file'), 0o604);
    if (process.getuid?.() === 0) fs.chownSync(join(folder, 'real', 'file'), 65_534, 65_533);
    const before = fs.statSync(file());
    await envFile.write(call(), 'NEW');
    const after = fs.statSync(file());
    expect([after.mode, after.uid, after.gid]).toEqual([before.mode, before.uid, before.gid]);
    expect(fs.readlinkSync(file())).toBe('real/file');
    expect(fs.statSync(join(folder, '.env.backout')).mode & 0o777).toBe(0o700);
  });

  it('is named fully resolved, also where it is not there yet', () => {
    const real = fs.realpathSync(folder);
    fs.mkdirSync(join(folder, 'real'));
    fs.symlinkSync('real', join(folder, 'linked'));
    fs.symlinkSync('real/file', join(folder, 'link'));
    for (const path of ['real/file', 'linked/file', 'link', './real/../linked/file'])
      expect(envFile.place(call({ options: options({ path }) })), path).toEqual({ path: join(real, 'real', 'file'), key: 'KEY' });
  });
});

describe('options', () => {
  it.each(['', '1A', 'A B', 'A=B', 'A\nB', '../x', 'A/B', 'é'])('a key like %j is refused', (key) => {
    expect(envFile.options.safeParse({ path: '.env', key }).error?.issues.map(({ path }) => path.join('.'))).toEqual(['key']);
  });

  it('no path and an empty reload are refused, and no secret is no credential', async () => {
    expect(envFile.options.safeParse({ path: '', key: 'K' }).success).toBe(false);
    expect(envFile.options.safeParse({ path: '.env', key: 'K', reload: [] }).success).toBe(false);
    expect((await rejection(envFile.write(call(), ''))).kind).toBe('configuration');
    expect(text()).toBe(START);
  });
});

describe('reload', () => {
  it.each([
    ['before it wrote', 'writing', false],
    ['while it reloaded', 'setting', true],
  ])('an attempt killed %s: the next one writes what is missing and reloads once', async (_, dieAt, written) => {
    const { environment, credential, operationId } = call();
    const slow = options({ reload: ['sleep', '30'] });
    const job = { act: 'write', secret: `${CANARY}-new`, dieAt, call: { environment, credential, folder, operationId, options: slow } };
    const child = spawn(process.execPath, [ATTEMPT, JSON.stringify(job)], { stdio: 'inherit' });
    expect((await once(child, 'exit'))[1]).toBe('SIGKILL');
    expect(text().includes(`${CANARY}-new`)).toBe(written);
    expect(await envFile.write(call(), `${CANARY}-new`)).toMatchObject({ after: { written: !written, reload: '0' } });
    expect(parseEnv(text())['KEY']).toBe(`${CANARY}-new`);
    expect(await envFile.write(call(), `${CANARY}-new`)).toMatchObject({ after: { written: false } });
    expect(ran()).toBe(1);
    expect(fs.readdirSync(folder).filter((name) => name.startsWith('.next-'))).toEqual([]);
  });

  it('of one key is due by itself: another key of the file, or its configuration, does not make up for it', async () => {
    await rejection(envFile.write(call({ options: options({ reload: ['false'] }) }), 'NEW'));
    const other = options({ key: 'PLAIN', reload: ['sh', '-c', 'echo other >> other'] });
    await envFile.write(call({ options: other }), 'two');
    const config = { environment: 'production', component: 'web', options: source.options.parse({ path: '.env', reload: ['true'] }), folder, operationId: 'x' };
    const rest = { signal: new AbortController().signal, heartbeat: () => undefined, secret: call().secret };
    const mark = await source.record({ ...config, ...rest });
    await source.apply({ ...config, ...rest }, mark);
    expect(ran()).toBe(0);
    await envFile.write(call(), 'NEW');
    expect(ran()).toBe(1);
  });

  it('that fails names its exit and where its output is, which only the worker may read', async () => {
    const error = await rejection(envFile.write(call({ options: options({ reload: reload('cat .env; exit 3') }) }), `${CANARY}-new`));
    expect(error.message).toMatch(/ended with 3;.*key-KEY-reload\.log/);
    const log = join(folder, '.env.backout', 'key-KEY-reload.log');
    expect(fs.readFileSync(log, 'utf8')).toContain(`${CANARY}-new`);
    expect(fs.statSync(log).mode & 0o777).toBe(0o600);
  });

  it('is told of what, in the folder of the configuration, and of no secret', async () => {
    await envFile.write(call({ options: options({ reload: ['sh', '-c', 'pwd > said; env >> said'] }) }), `${CANARY}-new`);
    const said = fs.readFileSync(join(folder, 'said'), 'utf8');
    expect(said.split('\n')[0]).toBe(fs.realpathSync(folder));
    expect(said).toContain('BACKOUT_CREDENTIAL=payments');
    expect(said).not.toContain(CANARY);
  });

  it('is not needed: without one, what runs reads it at its next start', async () => {
    const { reload: _, ...bare } = options();
    expect(await envFile.write(call({ options: bare }), 'NEW')).toEqual({ after: { written: true }, detail: 'KEY of .env is written' });
  });

  it('says that it is alive, ends when the worker stops, and is made up for by the next attempt', async () => {
    const abort = new AbortController();
    let beats = 0;
    const slow = call({ signal: abort.signal, heartbeat: () => (beats += 1), options: options({ reload: reload('sleep 30') }) });
    const writing = rejection(envFile.write(slow, 'NEW'));
    while (ran() === 0) await delay(20);
    await expect.poll(() => beats, { timeout: 5_000 }).toBeGreaterThan(3);
    const aborted = performance.now();
    abort.abort();
    expect((await writing).kind).toBe('unavailable');
    expect(performance.now() - aborted).toBeLessThan(4_000);
    expect(await envFile.write(call(), 'NEW')).toMatchObject({ after: { written: false, reload: '0' } });
  });
});
