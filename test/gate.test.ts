/** Gates on real processes [001 step 4]. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runGate, type GateConfig, type GateResult } from '../activities/gate.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gate-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const place = (): Parameters<typeof runGate>[1] => ({
  folder,
  environment: 'production',
  version: 'v1',
  keepIn: join(folder, 'kept', 'outputs'),
  name: 'ci-pr',
});
const never = new AbortController().signal;
const gate = (command: readonly string[], more: Partial<GateConfig> = {}): Promise<GateResult> =>
  runGate({ command, ...more }, place(), never, () => undefined);
const sh = (script: string, more: Partial<GateConfig> = {}): Promise<GateResult> => gate(['sh', '-c', script], more);
const node = (script: string, more: Partial<GateConfig> = {}): Promise<GateResult> => gate([process.execPath, '-e', script], more);

/** A zombie has ended, also where nobody collects it. */
function runs(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
async function pidIn(file: string): Promise<number> {
  for (const end = Date.now() + 10_000; Date.now() < end; await delay(20)) {
    const pid = readdirSync(folder).includes(file) ? Number(readFileSync(join(folder, file), 'utf8')) : 0;
    if (pid > 0) return pid;
  }
  throw new Error(`nobody wrote ${file}`);
}

describe('the verdict of a gate [001 step 4]', () => {
  it.each([
    ['passed', 'exit 0', '0'],
    ['failed', 'exit 1', '1'],
    ['failed', 'exit 127', '127'],
    ['inconclusive', 'exit 75', '75'],
    ['inconclusive', 'exit 3', '3'],
    ['error', 'kill -KILL $$', 'signal SIGKILL'],
  ] as const)('is %s after %s', async (verdict, script, exit) => {
    expect(await sh(script, { inconclusiveExitCodes: [3] })).toMatchObject({ verdict, exit });
  });

  it('is error where the program or the folder is not there, and says which', async () => {
    expect(await gate(['no-such-program'])).toMatchObject({ verdict: 'error', exit: 'an error at the start: there is no program no-such-program' });
    expect(await sh('exit 0', { cwd: 'nowhere' })).toMatchObject({
      verdict: 'error',
      exit: `an error at the start: there is no folder ${join(folder, 'nowhere')}`,
    });
    expect(await gate(['sh', '-c', 'exit 0', 'x'.repeat(3_000_000)])).toMatchObject({ verdict: 'error', exit: expect.stringContaining('E2BIG') });
    expect(await gate([''])).toMatchObject({ verdict: 'error' });
  });
});

describe('what a gate is given', () => {
  it('is PATH, HOME, LANG and what Backout says, and nothing else of the worker', async () => {
    process.env['GATE_TEST_TOKEN'] = 'canary-7f3a';
    process.env['BACKOUT_GATE_TEST'] = 'canary-7f3a';
    try {
      const { output } = await gate(['env']);
      const names = output.tail.split('\n').map((line) => line.replace(/=.*/, ''));
      expect(names.toSorted()).toEqual(['BACKOUT_ENVIRONMENT', 'BACKOUT_GATE', 'BACKOUT_VERSION', 'HOME', 'LANG', 'PATH']);
    } finally {
      delete process.env['GATE_TEST_TOKEN'];
      delete process.env['BACKOUT_GATE_TEST'];
    }
  });

  it('is the folder that the configuration names, no shell, and nothing to read', async () => {
    expect((await gate(['pwd'], { cwd: '/usr' })).output.tail).toBe('/usr');
    expect((await gate(['echo', '$HOME; *'])).output.tail).toBe('$HOME; *');
    expect(await gate(['cat'])).toMatchObject({ verdict: 'passed', output: { bytes: 0, tail: '' } });
  });
});

describe('the output of a gate', () => {
  it('is kept whole, both streams, for the worker alone, with its hash', async () => {
    const { output } = await sh('echo one; sleep 0.2; echo two >&2; sleep 0.2; echo three');
    const bytes = readFileSync(output.file);
    expect(bytes.toString()).toBe('one\ntwo\nthree\n');
    expect(output).toMatchObject({ bytes: 14, sha256: createHash('sha256').update(bytes).digest('hex'), tail: 'one\ntwo\nthree' });
    expect(statSync(output.file).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, 'kept')).mode & 0o777).toBe(0o700);
  });

  it('of one run does not overwrite that of another', async () => {
    const files = await Promise.all([sh('echo a'), sh('echo b')]).then((all) => all.map(({ output }) => readFileSync(output.file, 'utf8')));
    expect(files).toEqual(['a\n', 'b\n']);
  });

  it('is shown by its last 1,500 characters, without colours and half characters', async () => {
    const { output } = await node(String.raw`process.stdout.write('é😀'.repeat(5000) + '\x1b[31mred\x1b[0m\n')`);
    expect(output.tail).toHaveLength(1_500);
    expect(output.tail).toMatch(/^(é|😀)(é|😀)*red$/u);
  });

  it('of 100 MB is its first 5 MB and its last 1 MB, and costs the worker no memory', async () => {
    const line = 'x'.repeat(99);
    const script = `let n = 0; const more = () => { while (n < 1e6) if (!process.stdout.write(String(n++).padStart(8, '0') + '${line}'.slice(8) + '\\n')) return process.stdout.once('drain', more); }; more()`;
    const before = process.memoryUsage();
    let [rss, external] = [0, 0];
    const watch = setInterval(() => {
      const now = process.memoryUsage();
      rss = Math.max(rss, now.rss);
      external = Math.max(external, now.arrayBuffers + now.heapUsed);
    }, 5);
    const { verdict, output } = await node(script, { timeoutSeconds: 60 });
    clearInterval(watch);
    expect(verdict).toBe('passed');
    const text = readFileSync(output.file, 'utf8');
    const left = 100_000_000 - 6 * 1024 * 1024;
    expect(text).toContain(`\n[${left} bytes are left out here]\n`);
    expect(text.startsWith(`00000000${line.slice(8)}\n00000001`)).toBe(true);
    expect(text.endsWith(`00999999${line.slice(8)}\n`)).toBe(true);
    expect(output.bytes).toBe(statSync(output.file).size);
    expect(output.bytes).toBeLessThan(6 * 1024 * 1024 + 100);
    expect(output.sha256).toBe(createHash('sha256').update(text).digest('hex'));
    // Garbage of the pipes included, which is collected when V8 likes: 100 MB held would show in both.
    expect(rss - before.rss).toBeLessThan(60_000_000);
    expect(external - before.arrayBuffers - before.heapUsed).toBeLessThan(60_000_000);
  });

  it('that the disk cannot take is an error, though the command passes', () => {
    const print = `process.stdout.write('x'.repeat(1_000_000))`;
    const script = `
      import { runGate } from ${JSON.stringify(join(import.meta.dirname, '../activities/gate.ts'))};
      const gate = { command: [process.execPath, '-e', ${JSON.stringify(print)}] };
      const result = await runGate(gate, ${JSON.stringify(place())}, new AbortController().signal, () => undefined);
      process.stdout.write(JSON.stringify(result));`;
    const { stdout, stderr } = spawnSync('sh', ['-c', 'ulimit -f 200; exec "$@"', 'sh', process.execPath, '--input-type=module', '-e', script], {
      encoding: 'utf8',
    });
    expect(stderr).toBe('');
    const { verdict, exit, output }: GateResult = JSON.parse(stdout);
    expect({ verdict, exit }).toEqual({ verdict: 'error', exit: 'its output could not be kept: EFBIG: file too large, write' });
    const bytes = readFileSync(output.file);
    expect(output).toMatchObject({ bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') });
  });

  it('that has no place at all keeps the gate from starting', async () => {
    writeFileSync(join(folder, 'kept'), 'a file');
    await expect(sh('echo > started')).rejects.toThrow(/kept/);
    expect(readdirSync(folder)).toEqual(['kept']);
  });
});

describe('a gate that does not end', () => {
  it('is inconclusive at its timeout, and what it started is gone, however deaf', async () => {
    const began = Date.now();
    const script = `trap '' TERM; sh -c 'trap "" TERM; echo $$ > grandchild; while :; do sleep 0.1; done' & echo $$ > child; while :; do sleep 0.1; done`;
    const result = await sh(script, { timeoutSeconds: 1 });
    expect(result).toMatchObject({ verdict: 'inconclusive', exit: 'a timeout after 1 s' });
    expect(Date.now() - began).toBeGreaterThan(2_900);
    for (const file of ['child', 'grandchild']) expect(runs(await pidIn(file)), file).toBe(false);
  });

  it('may tidy up at its timeout, and is inconclusive whatever it then says', async () => {
    const result = await sh(`trap 'echo tidied; exit 0' TERM; sleep 30 & wait`, { timeoutSeconds: 0.5 });
    expect(result).toMatchObject({ verdict: 'inconclusive', output: { tail: 'tidied' } });
    expect(result.seconds).toBeLessThan(20);
  });

  it('says that it is alive, and is ended with all it started when the worker stops', async () => {
    const abort = new AbortController();
    const beats: string[] = [];
    const running = runGate({ command: ['sh', '-c', 'sleep 60 & echo $! > grandchild; echo hello; wait'] }, place(), abort.signal, (word) => beats.push(word));
    const grandchild = await pidIn('grandchild');
    await delay(1_600);
    expect(beats.length).toBeGreaterThanOrEqual(2);
    expect(beats.at(-1)).toMatch(/^gate ci-pr: \d+ s, 6 bytes of output$/);
    expect(runs(grandchild)).toBe(true);
    abort.abort(new Error('the worker stops'));
    await expect(running).rejects.toThrow('the worker stops');
    expect(runs(grandchild)).toBe(false);
    const after = beats.length;
    await delay(800);
    expect(beats).toHaveLength(after);
  });

  it('is not started when it is stopped before', async () => {
    await expect(runGate({ command: ['sh', '-c', 'echo > started'] }, place(), AbortSignal.abort(), () => undefined)).rejects.toThrow(/abort/);
    expect(readdirSync(folder)).not.toContain('started');
  });
});

describe('what a gate leaves behind', () => {
  it('is ended with it, and does not hold up its verdict', async () => {
    const result = await sh('sleep 60 & echo $! > grandchild; exit 1', { timeoutSeconds: 30 });
    expect(result).toMatchObject({ verdict: 'failed', exit: '1' });
    expect(result.seconds).toBeLessThan(30);
    expect(runs(await pidIn('grandchild'))).toBe(false);
  });

  it('and has left its group cannot hold up its verdict either', async () => {
    const result = await sh('setsid sleep 60 & echo $! > grandchild; sleep 0.3; exit 0', { timeoutSeconds: 30 });
    const escaped = await pidIn('grandchild');
    process.kill(escaped, 'SIGKILL');
    expect(result.verdict).toBe('passed');
    expect(result.seconds).toBeLessThan(30);
  });
});
