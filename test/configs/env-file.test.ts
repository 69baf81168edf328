import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseEnv } from 'node:util';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { envFile, type EnvFileOptions } from '../../activities/configs/env-file.ts';
import { edit, entriesOf, lastOf } from '../../activities/configs/env-file-lines.ts';
import type { ConfigCall } from '../../activities/configs/source.ts';
import { rejection } from '../adapters/contract.ts';
import { configContract } from './contract.ts';

const CANARY = 'canary-4b1d9e';
const MODULE = join(import.meta.dirname, '../../activities/configs/env-file.ts');
/** Another user can load this code only where every folder above it lets him through. */
const isOpenToOthers = (path: string): boolean => {
  const folder = dirname(path);
  return (fs.statSync(folder).mode & 0o001) !== 0 && (folder === '/' || isOpenToOthers(folder));
};
const START = `# The shop\nPLAIN=one\nSECRET='${CANARY} # "quoted"'\n\nOTHER="${CANARY}\nin two lines"\n`;

let folder = '';
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'env-file-'));
  fs.writeFileSync(join(folder, '.env'), START, { mode: 0o640 });
});
afterEach(() => {
  fs.rmSync(folder, { recursive: true, force: true });
});

const file = (): string => join(folder, '.env');
const kept = (): string => join(folder, '.env.backout');
const text = (): string => fs.readFileSync(file(), 'utf8');
const write = (content: string | Buffer): void => {
  fs.writeFileSync(file(), content);
};
const options = (more: Partial<EnvFileOptions> = {}): EnvFileOptions => ({ path: '.env', plain: ['PLAIN'], keep: [], ...more });
const call = (overrides: Partial<ConfigCall<EnvFileOptions>> = {}): ConfigCall<EnvFileOptions> => ({
  environment: 'production',
  component: 'web',
  options: options(),
  folder,
  operationId: 'run/web.config/0',
  signal: new AbortController().signal,
  heartbeat: () => undefined,
  secret: () => Promise.resolve(CANARY),
  ...overrides,
});
const tree = (): unknown =>
  fs
    .readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => !name.includes('lease.'))
    .toSorted((a, b) => (a < b ? -1 : 1))
    .map((name) => {
      const stats = fs.lstatSync(join(folder, name));
      return [name, stats.mode, stats.isFile() ? [stats.ino, stats.mtimeMs, fs.readFileSync(join(folder, name), 'hex')] : null];
    });

configContract({
  name: 'env-file',
  setup: () => {
    const change = (values: Readonly<Record<string, string | null>>): void => {
      const lines = Object.entries({ ...parseEnv(text()), ...values }).flatMap(([key, value]) => (value === null ? [] : [`${key}=\`${value}\`\n`]));
      write(lines.join(''));
    };
    return Promise.resolve({
      source: envFile,
      rawOptions: { path: '.env', plain: ['PLAIN'], keep: ['ROTATED'], reload: ['true'] },
      call,
      values: () => Promise.resolve(parseEnv(text()) as Record<string, string>),
      change: (values) => Promise.resolve(change(values)),
      raced: () =>
        call({
          heartbeat: (word) => {
            if (word.startsWith('writing')) change({ PLAIN: 'theirs' });
          },
        }),
      // Something lies where the new file would be prepared.
      broken: () => {
        fs.mkdirSync(join(folder, '.next-.env.1'));
        return Promise.resolve(call());
      },
      snapshot: () => Promise.resolve(tree()),
      kept: () =>
        Promise.resolve(['', ...fs.readdirSync(kept())].map((name) => ({ name: join(kept(), name), mode: fs.statSync(join(kept(), name)).mode & 0o777 }))),
      lose: () => {
        fs.rmSync(kept(), { recursive: true });
        return Promise.resolve();
      },
      canary: CANARY,
      teardown: () => Promise.resolve(),
    });
  },
});

/** Records one text, meets another, and answers with what apply makes of it. */
async function put(then: string, now: string | null, more: Partial<EnvFileOptions> = {}): Promise<string> {
  write(then);
  const mark = await envFile.record(call({ options: options(more) }));
  if (now === null) fs.rmSync(file());
  else write(now);
  await envFile.apply(call({ options: options(more) }), mark);
  return text();
}

describe('what apply leaves alone', () => {
  it.each([
    [
      'comments, order, blanks and what it does not have to change',
      '# a\n\n  A = 1  # first\nB=2\n#B=9\nC=3',
      '# b\n\n  A = 9  # first\nC=3\n#B=9\nB=2\n',
      '# b\n\n  A = 1  # first\nC=3\n#B=9\nB=2\n',
    ],
    ['quotes', `A='x'\nB="y"\n`, `A='q'\nB="y"\n`, `A='x'\nB="y"\n`],
    ['export', 'export A=1\nB=2\n', 'B=2\n  export  A=9\n', 'B=2\n  export  A=1\n'],
    ['the line ends of Windows', 'A=1\r\nB="x\r\ny"\r\nC=3\r\n', 'A=9\r\nB=2\r\n', 'A=1\r\nB="x\r\ny"\r\nC=3\r\n'],
    ['line ends of the file where the record had others', 'B="x\r\ny"\r\n', 'A=1\nB=2\n', 'B="x\ny"\n'],
    ['a missing last line end, where nothing is added', 'A=1', 'A=2', 'A=1'],
    ['a byte order mark', '\uFEFFA=1\n', '\uFEFFA=2\n', '\uFEFFA=1\n'],
    ['lines that are no variables', 'A=1\n', 'some words\nA=2\nnot a key=1\n%%\n', 'some words\nA=1\nnot a key=1\n%%\n'],
  ])('%s', async (_, then, now, result) => {
    expect(await put(then, now)).toBe(result);
  });

  it.each([
    ['adds at the end what is missing, as it was written', 'A=1\nexport B="x y" # why\nC=\n', 'A=1', 'A=1\nexport B="x y"\nC=\n'],
    ['removes what came since, all its lines', 'A=1\n', "N='x\ny' # z\nA=1\nM=2\nN=3", 'A=1\n'],
    ['sets the last of several, which is the one that holds', 'A=1\nA=2\n', 'A=7\nB=1\nA=8\n', 'A=7\nA=2\n'],
    ['leaves several alone where the last one is right', 'A=2\n', 'A=1\nA=2\n', 'A=1\nA=2\n'],
    ['replaces several lines by one and one by several', `A='x\ny'\nB=1\n`, `A=1\nB="p\nq" # r\n`, `A='x\ny'\nB=1 # r\n`],
    ['keeps a comment apart from the value', 'A=1\n', 'A="2"# two\n', 'A=1 # two\n'],
    ['drops what stood behind a quote and would become part of the value', 'A=1\n', 'A="2"3\n', 'A=1\n'],
    ['restores a missing file, in the recorded order', 'B=2\nA=1\n', null, 'B=2\nA=1\n'],
    ['empties a value', 'A=\nB=1\n', 'A=1\nB=1\n', 'A=\nB=1\n'],
    ['fills an empty value, with blanks behind it', 'A=1\nB=1\n', 'A= \nB=1\n', 'A= 1\nB=1\n'],
    ['empties all', '# nothing\n', 'A=1\n', ''],
  ])('%s', async (_, then, now, result) => {
    expect(await put(then, now)).toBe(result);
  });

  it.each([
    'a#b',
    'a # b',
    'a\nb',
    `it's`,
    'say "x"',
    '`x`',
    `'a" b`,
    '$HOME `x`',
    ' spaced ',
    String.raw`a\nb`,
    String.raw`\\`,
    '',
    '=',
    'é😀',
    `"open`,
    "'open",
    'a=b=c',
  ])('a value of %j comes back exactly', async (value) => {
    const raw = [value, ...["'", '"', '`'].map((quote) => quote + value + quote)].find((one) => parseEnv(`K=${one}`)['K'] === value) ?? '';
    for (const now of ['K=x\nNEXT=1\n', `K='x' # c\nNEXT=1\n`, `K="x\ny"\nNEXT=1\n`, `NEXT=1`]) {
      expect(parseEnv(await put(`K=${raw}\nNEXT=1\n`, now))).toEqual({ K: value, NEXT: '1' });
    }
  });

  it('keys that are kept are neither compared, recorded nor touched', async () => {
    const more = { keep: ['ROTATED', 'FRESH'] };
    expect(await put('A=1\nROTATED=old\n', 'ROTATED=new\nFRESH=1\nA=2\n', more)).toBe('ROTATED=new\nFRESH=1\nA=1\n');
    expect(
      fs
        .readdirSync(kept())
        .map((name) => fs.readFileSync(join(kept(), name), 'utf8'))
        .join(''),
    ).not.toContain('ROTATED');
    const mark = await envFile.record(call());
    write('ROTATED=newer\n');
    expect((await envFile.compare(call({ options: options(more) }), mark)).map(({ key }) => key)).toEqual(['A']);
    await envFile.apply(call({ options: options(more) }), mark);
    expect(text()).toBe('ROTATED=newer\nA=1\n');
  });

  const piece = fc.constantFrom('A', 'B', 'C', '=', '=', ' ', '#', "'", '"', '`', '\n', '\n', '\r\n', 'x', 'export ', '\\n', '\t', '1');
  const any = fc.array(piece, { maxLength: 30 }).map((pieces) => pieces.join(''));

  it('any file is read as Node reads it, but for errors of its own', () => {
    // `KEY= ` takes the next line for its value, `export KEY=` keeps the word in the name, `=KEY=` is a key [Node 24.21].
    const sound = any.filter((one) => !/=[ \t]+\r?(\n|$)/.test(one) && !/export[^\n=]*=\r?(\n|$)/.test(one) && !/^\s*=/m.test(one));
    fc.assert(
      fc.property(sound, (now) => {
        // Whether blanks belong to a quote that is never closed depends on the line after it.
        const told = (pairs: readonly (readonly [string, string | undefined])[]): unknown =>
          Object.fromEntries(pairs.map(([key, value = '']) => [key, value.replace(/^(["'`].*?)[ \t]+$/s, '$1')]));
        const read = Object.entries(parseEnv(now)).filter(([key]) => /^[A-Za-z_][\w.-]*$/.test(key));
        expect(told([...lastOf(entriesOf(now))].map(([key, { value }]) => [key, value]))).toEqual(told(read));
      }),
      { numRuns: 5_000 },
    );
    expect(entriesOf('A= \nexport B=\nC=1').map(({ key, value }) => [key, value])).toEqual([
      ['A', ''],
      ['B', ''],
      ['C', '1'],
    ]);
  });

  it('any edit of any file reads back as wanted', () => {
    let edited = 0;
    fc.assert(
      fc.property(any, any, (then, now) => {
        const wanted = lastOf(entriesOf(then));
        const result = edit(now, wanted, new Set(['C']));
        if (result === null) return;
        edited += 1;
        const [after, before] = [lastOf(entriesOf(result.text)), lastOf(entriesOf(now))];
        for (const key of ['A', 'B']) expect(after.get(key)?.value).toBe(wanted.get(key)?.value);
        expect(after.get('C')?.value).toBe(before.get('C')?.value);
        const again = edit(result.text, wanted, new Set(['C']));
        expect(again).toEqual({ text: result.text, set: [], added: [], removed: [] });
      }),
      { numRuns: 5_000 },
    );
    expect(edited).toBeGreaterThan(4_000);
  });
});

describe('the file', () => {
  it('keeps its mode and its owner', async () => {
    fs.chmodSync(file(), 0o604);
    if (process.getuid?.() === 0) fs.chownSync(file(), 65_534, 65_533);
    const before = fs.statSync(file());
    await put('A=1\n', 'A=2\n');
    const after = fs.statSync(file());
    expect([after.mode, after.uid, after.gid]).toEqual([before.mode, before.uid, before.gid]);
    expect(after.ino).not.toBe(before.ino);
    expect(fs.readdirSync(folder).toSorted((a, b) => (a < b ? -1 : 1))).toEqual(['.env', '.env.backout']);
  });

  it('behind links is the one that is written, also where it is not there yet', async () => {
    fs.mkdirSync(join(folder, 'real'));
    fs.renameSync(file(), join(folder, 'real', 'file'));
    fs.symlinkSync('real/file', join(folder, 'link'));
    fs.symlinkSync('link', file());
    const mark = await envFile.record(call());
    for (const spoil of [() => write('A=1\n'), () => fs.rmSync(join(folder, 'real', 'file'))]) {
      spoil();
      await envFile.apply(call(), mark);
      expect(parseEnv(fs.readFileSync(join(folder, 'real', 'file'), 'utf8'))).toEqual(parseEnv(START));
      expect([fs.readlinkSync(file()), fs.readlinkSync(join(folder, 'link'))]).toEqual(['link', 'real/file']);
    }
    expect(fs.statSync(join(folder, 'real', 'file')).mode & 0o777).toBe(0o600);
  });

  it.each([
    ['not there', () => fs.rmSync(file()), 'not-found'],
    ['a folder', () => [fs.rmSync(file()), fs.mkdirSync(file())], 'configuration'],
    ['a device', () => [fs.rmSync(file()), fs.symlinkSync('/dev/zero', file())], 'configuration'],
    ['too large', () => write('A=1\n'.repeat(300_000)), 'configuration'],
    ['not UTF-8', () => write(Buffer.from([0x41, 0x3d, 0xff, 0x0a])), 'configuration'],
    ['a link to itself', () => [fs.rmSync(file()), fs.symlinkSync('.env', file())], 'unexpected-response'],
  ] as const)('%s is nothing to record', async (_, spoil, kind) => {
    spoil();
    expect((await rejection(envFile.record(call()))).kind).toBe(kind);
  });

  it('that is gone compares as having no key', async () => {
    const mark = await envFile.record(call());
    fs.rmSync(file());
    expect((await envFile.compare(call(), mark)).map(({ now }) => now)).toEqual([null, null, null]);
  });

  it.skipIf(process.getuid?.() !== 0 || !isOpenToOthers(MODULE))('that another user may not read or write is unauthorized, and stays', async () => {
    const mark = await envFile.record(call());
    write('A=1\n');
    const script = `
      import { envFile } from ${JSON.stringify(MODULE)};
      const call = { options: ${JSON.stringify(options())}, folder: ${JSON.stringify(folder)}, signal: new AbortController().signal, heartbeat: () => undefined, operationId: 'x' };
      for (const act of [() => envFile.record(call), () => envFile.apply(call, ${JSON.stringify(mark)})])
        await act().then(() => process.stdout.write('done '), (error) => process.stdout.write(error.kind + ' '));`;
    const run = (): string =>
      spawnSync('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', '--', process.execPath, '--input-type=module', '-e', script], {
        encoding: 'utf8',
      }).stdout;
    fs.chmodSync(folder, 0o755);
    fs.chmodSync(file(), 0o600);
    expect(run()).toBe('unauthorized unauthorized ');
    fs.chmodSync(file(), 0o644);
    expect(run()).toBe('unauthorized unauthorized ');
    expect(text()).toBe('A=1\n');
  });
});

describe('what is kept', () => {
  it('cannot be guessed without the key, and is told from what somebody made of it', async () => {
    const mark = await envFile.record(call());
    const plain = createHash('sha256')
      .update(parseEnv(START)['SECRET'] ?? '')
      .digest('hex');
    expect(JSON.stringify(mark)).not.toContain(plain.slice(0, 12));
    expect(mark.id).toMatch(/^[0-9a-f]{32}$/);
    const path = join(kept(), `${mark.id}.json`);
    for (const content of [fs.readFileSync(path, 'utf8').replace('one', 'two'), `{ ${CANARY}`, '[]']) {
      fs.writeFileSync(path, content);
      const error = await rejection(envFile.apply(call(), mark));
      expect(error.kind).toBe('conflict');
      expect(error.message).not.toContain(CANARY);
    }
    expect(text()).toBe(START);
  });

  it("is nobody else's, whoever made the folder, and one key serves all records, at the same time too", async () => {
    fs.mkdirSync(kept(), { mode: 0o755 });
    const marks = await Promise.all(Array.from({ length: 5 }, () => envFile.record(call())));
    expect(new Set(marks.map(({ id }) => id)).size).toBe(1);
    expect(fs.statSync(kept()).mode & 0o777).toBe(0o700);
    expect(fs.readdirSync(kept()).length).toBe(2);
    fs.writeFileSync(join(kept(), 'key'), '');
    expect((await rejection(envFile.compare(call(), marks[0]!))).kind).toBe('not-found');
  });

  it('has the same id whatever the order and the quotes, and gives back those recorded last', async () => {
    write('A=1\nB=2\n');
    const first = await envFile.record(call());
    write(`B='2'\nA="1"\n`);
    expect(await envFile.record(call())).toEqual(first);
    write('');
    await envFile.apply(call(), first);
    expect(text()).toBe(`B='2'\nA="1"\n`);
  });
});

describe('reload', () => {
  const script = (body: string): string[] => ['sh', '-c', `echo ran >> "$(dirname "$0")/ran"; ${body}`, join(folder, 'x')];
  const ran = (): number => (fs.existsSync(join(folder, 'ran')) ? fs.readFileSync(join(folder, 'ran'), 'utf8').split('\n').length - 1 : 0);

  it('runs after a change, and only then', async () => {
    const mine = call({ options: options({ reload: script('exit 0') }) });
    const mark = await envFile.record(mine);
    await envFile.apply(mine, mark);
    expect(ran()).toBe(0);
    write('A=1\n');
    expect(await envFile.apply(mine, mark)).toMatchObject({ after: { reload: '0' } });
    expect(ran()).toBe(1);
    await envFile.apply(mine, mark);
    expect(ran()).toBe(1);
  });

  it('that fails is a failure that names the exit and nothing of the output; the file is written; applied again, it runs again', async () => {
    const mark = await envFile.record(call());
    write('A=1\n');
    const failing = call({ options: options({ reload: script(`cat "$(dirname "$0")/.env"; exit 3`) }) });
    for (const count of [1, 2]) {
      const error = await rejection(envFile.apply(failing, mark));
      expect(error).toMatchObject({ kind: 'failed', message: expect.stringContaining('ended with 3') });
      expect(error.message).not.toContain(CANARY);
      expect(parseEnv(text())).toEqual(parseEnv(START));
      expect(ran()).toBe(count);
    }
    expect(fs.readFileSync(join(kept(), 'reload.log'), 'utf8')).toContain(CANARY);
    expect(fs.statSync(join(kept(), 'reload.log')).mode & 0o777).toBe(0o600);
    const mended = call({ options: options({ reload: script('exit 0') }) });
    expect(await envFile.apply(mended, mark)).toMatchObject({ after: { set: [], reload: '0' } });
    expect(await envFile.apply(mended, mark)).not.toHaveProperty('after.reload');
    expect(ran()).toBe(3);
  });

  it('has no shell, the folder of the configuration, little environment, and may leave a service running', async () => {
    process.env['ENV_FILE_TEST'] = CANARY;
    try {
      const mark = await envFile.record(call());
      write('A=1\n');
      await envFile.apply(call({ options: options({ reload: ['sh', '-c', 'pwd > said; env >> said; sleep 30 & echo $! > service'] }) }), mark);
      const said = fs.readFileSync(join(folder, 'said'), 'utf8');
      expect(said.split('\n')[0]).toBe(fs.realpathSync(folder));
      expect(said).toContain('BACKOUT_COMPONENT=web');
      expect(said).not.toContain(CANARY);
      expect(process.kill(Number(fs.readFileSync(join(folder, 'service'), 'utf8')), 'SIGKILL')).toBe(true);
    } finally {
      delete process.env['ENV_FILE_TEST'];
    }
  });

  it('says that it is alive, ends when the worker stops, and is made up for by the next attempt', async () => {
    const mark = await envFile.record(call());
    write('A=1\n');
    const abort = new AbortController();
    let beats = 0;
    const slow = call({ signal: abort.signal, heartbeat: () => (beats += 1), options: options({ reload: script('sleep 30') }) });
    const applying = rejection(envFile.apply(slow, mark));
    while (ran() === 0) await delay(20);
    await delay(1_200);
    expect(beats).toBeGreaterThan(2);
    abort.abort();
    expect((await applying).kind).toBe('unavailable');
    expect(await envFile.apply(call({ options: options({ reload: script('exit 0') }) }), mark)).toMatchObject({ after: { set: [], reload: '0' } });
  });
});

describe('several at once', () => {
  const children: ChildProcess[] = [];
  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
  });

  it('in processes of their own, killed at any moment, leave the file whole: as it was, or as recorded', async () => {
    const mark = await envFile.record(call());
    const args = ['apply', '--path', '.env', '--mark', mark.id];
    const spoiled = `A=${'x'.repeat(50_000)}\nPLAIN=9\n`;
    for (let round = 0; round < 8; round++) {
      write(spoiled);
      const two = [0, 1].map(() => spawn(process.execPath, [MODULE, ...args], { cwd: folder, stdio: 'ignore' }));
      children.push(...two);
      const ends = two.map((child) => once(child, 'close'));
      await delay(150 + round * 60);
      two[0]?.kill('SIGKILL');
      await ends[0];
      expect([spoiled, START].map(parseEnv)).toContainEqual(parseEnv(text()));
      const [code] = (await ends[1]) as [number];
      expect(code).toBe(0);
      expect(parseEnv(text())).toEqual(parseEnv(START));
    }
    expect(fs.readdirSync(folder).filter((name) => name.startsWith('.next-'))).toEqual([]);
  });

  it('by hand it is the same, and says why not', async () => {
    const mark = await envFile.record(call());
    write('A=1\nROTATED=1\n');
    const lines = envFile.manual(call({ options: options({ keep: ['ROTATED'], reload: ['touch', "it's done"] }) }), mark);
    const { stdout, status } = spawnSync('sh', ['-e'], { input: lines.join('\n'), encoding: 'utf8' });
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ after: { added: ['OTHER', 'PLAIN', 'SECRET'], removed: ['A'], reload: '0' } });
    expect(text()).toContain('ROTATED=1');
    expect(fs.existsSync(join(folder, "it's done"))).toBe(true);
    fs.rmSync(kept(), { recursive: true });
    const { stderr, status: failed } = spawnSync('sh', ['-e'], { input: lines.join('\n'), encoding: 'utf8' });
    expect([failed, stderr]).toEqual([1, expect.stringMatching(/^env-file: .* does not have what was recorded/)]);
  });
});
