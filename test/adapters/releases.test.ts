import { spawnSync, type ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, type TestContext } from 'vitest';
import type { AdapterError } from '../../activities/adapters/adapter.ts';
import { releases } from '../../activities/adapters/releases.ts';
import { adapterContract, rejection } from './contract.ts';
import { ask, Load } from './releases-fixture/load.ts';
import { CANARY, Platform } from './releases-fixture/platform.ts';

adapterContract({
  name: 'releases',
  setup: async () => {
    const platform = await Platform.serving();
    return {
      adapter: releases,
      rawOptions: platform.rawOptions,
      canary: CANARY,
      start: 'v1',
      good: 'v2',
      bad: 'crashing',
      missing: 'v0',
      call: (overrides) => platform.call(overrides),
      effects: () => Promise.resolve(platform.effects()),
      snapshot: () => Promise.resolve(platform.snapshot()),
      stall: () => Promise.resolve(platform.call({ to: 'silent' })),
      teardown: async () => {
        const left = await platform.teardown();
        if (left.length > 0) throw new Error(`still ran: ${left.join(', ')}`);
      },
    };
  },
});

async function given(test: TestContext, state: 'serving' | 'bare' = 'serving'): Promise<Platform> {
  const platform = await Platform[state]();
  test.onTestFinished(async () => {
    test.expect(await platform.teardown()).toEqual([]);
  });
  return platform;
}

async function sleep(ms: number): Promise<void> {
  await new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

async function until(done: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 10_000; !(await done()); await sleep(20)) if (Date.now() > end) throw new Error('it never came to that');
}

const stateOf = (pid: number | undefined): string => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.[0] ?? '';

/** Starts v1 on the public port itself, as a simple deploy script would. */
async function startedDirectly(platform: Platform): Promise<ChildProcess> {
  const { TOKEN: _, ...env } = process.env;
  const direct = platform.child(process.execPath, [join(import.meta.dirname, 'releases-fixture', 'service.ts'), String(platform.port)], {
    cwd: join(platform.root, 'releases', 'v1'),
    env,
  });
  symlinkSync('releases/v1', join(platform.root, 'current'));
  await until(() =>
    ask(platform.port, '/').then(
      () => true,
      () => false,
    ),
  );
  return direct;
}

describe('traffic', () => {
  it('no request fails during switches forth and back, kept alive or fresh, small or slow or with a body', async (test) => {
    const platform = await given(test);
    const load = new Load(platform.port);
    await sleep(200);
    await releases.apply(platform.call());
    await releases.apply(platform.call({ to: 'v1', operationId: 'back' }));
    await releases.apply(platform.call({ to: 'v3', operationId: 'forth' }));
    await sleep(500);
    await load.stop();
    expect(load.failed).toEqual([]);
    expect(new Set(load.served)).toEqual(new Set(['v1', 'v2', 'v3']));
    expect(load.served.length).toBeGreaterThan(200);
    expect(load.served.at(-1)).toBe('v3');
    expect(platform.versions()).toEqual(['front', 'v3']);
  });

  it('a request in flight is answered by the release it went to; one that outlasts the drain is cut off', async (test) => {
    const platform = await given(test);
    const [short, long] = [ask(platform.port, '/?ms=900'), ask(platform.port, '/?ms=60000').catch(String)];
    await sleep(50);
    await releases.apply(platform.call());
    expect((await short).version).toBe('v1');
    expect(await long).toMatch(/hang up|ECONNRESET|502/);
    expect((await ask(platform.port, '/')).version).toBe('v2');
  });

  it('a release that ignores SIGTERM is killed after the drain', async (test) => {
    const platform = await given(test);
    const options = platform.options({ drainSeconds: 0.3 });
    await releases.apply(platform.call({ to: 'stubborn', operationId: 'a', options }));
    await releases.apply(platform.call({ to: 'v1', operationId: 'b', options }));
    expect(platform.versions()).toEqual(['front', 'v1']);
  });

  it('headers, cookies and upgraded connections pass through the front', async (test) => {
    const platform = await given(test);
    const { headers } = await ask(platform.port, '/');
    expect(headers).toMatchObject({ host: `127.0.0.1:${platform.port}`, 'x-forwarded-for': '127.0.0.1' });
    expect((await fetch(`http://127.0.0.1:${platform.port}/`)).headers.getSetCookie()).toEqual(['a=1', 'b=2']);
    const socket = connect(platform.port, '127.0.0.1');
    socket.write('GET /socket HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    let heard = '';
    socket.on('data', (chunk: Buffer) => {
      heard += chunk.toString();
    });
    await until(() => heard.includes('101'));
    socket.write('ping');
    await until(() => heard.endsWith('ping'));
    socket.destroy();
  });
});

describe.concurrent('what is in the way', () => {
  it('a release that never becomes healthy gets no traffic, and is stopped', async (test) => {
    const platform = await given(test);
    const load = new Load(platform.port);
    const error = await rejection(releases.apply(platform.call({ to: 'sick', options: platform.options({ startTimeoutSeconds: 1 }) })));
    await load.stop();
    expect(error.kind).toBe('failed');
    expect(error.message).toMatch(/sick was not healthy .* within 1 s .*it was stopped, and v1 still serves; log: .*\/logs\/sick\.log/);
    expect([load.failed, new Set(load.served), platform.versions(), platform.effects()]).toEqual([[], new Set(['v1']), ['front', 'v1'], 0]);
  });

  it.for([
    ['the old release', ['v1']],
    ['the front', ['front']],
    ['everything, as after a reboot,', ['front', 'v1']],
  ] as const)('%s was killed: apply brings the target up', async ([, killed], test) => {
    const platform = await given(test);
    killed.forEach((version) => {
      platform.kill(version);
    });
    await until(() => killed.every((version) => !platform.versions().includes(version)));
    expect(await releases.inspect(platform.call())).toMatchObject({ current: null, parts: [{ version: 'v1' }, { version: null }] });
    await releases.apply(platform.call());
    expect((await ask(platform.port, '/')).version).toBe('v2');
    expect([platform.effects(), platform.versions()]).toEqual([1, ['front', 'v2']]);
  });

  it('a foreign process on the public port is named and left alone', async (test) => {
    const platform = await given(test, 'bare');
    const foreign = platform.child(process.execPath, ['-e', `require('http').createServer((_, r) => r.end()).listen(${platform.port})`], {
      cwd: platform.folder,
    });
    await until(() =>
      fetch(`http://127.0.0.1:${platform.port}`).then(
        () => true,
        () => false,
      ),
    );
    const error = await rejection(releases.apply(platform.call()));
    expect(error).toMatchObject({ kind: 'conflict' });
    expect(error.message).toContain(`pid ${foreign.pid}: ${process.execPath}`);
    expect([foreign.exitCode, foreign.signalCode, platform.versions(), platform.effects()]).toEqual([null, null, [], 0]);
  });

  it('a release started directly on the public port is seen, and taken over with a short gap', async (test) => {
    const platform = await given(test, 'bare');
    const direct = await startedDirectly(platform);
    expect(await releases.inspect(platform.call())).toMatchObject({ current: 'v1', operationId: null, parts: [], facts: { portHeldBy: 'direct' } });
    await releases.apply(platform.call());
    await until(() => direct.signalCode !== null || direct.exitCode !== null);
    expect(direct.signalCode).toBe('SIGTERM');
    expect((await ask(platform.port, '/')).version).toBe('v2');
    expect(await releases.verify(platform.call())).toMatchObject({ current: 'v2', operationId: platform.call().operationId, parts: [] });
    expect([platform.effects(), platform.versions()]).toEqual([1, ['front', 'v2']]);
  });
});

describe.concurrent('what must not be believed', () => {
  it('a process that has got the number of one of ours is never stopped', async (test) => {
    const platform = await given(test);
    const stranger = platform.child('sleep', ['60']);
    platform.kill('v1');
    const file = join(platform.root, '.backout', 'active.json');
    const active: Record<string, unknown> = JSON.parse(readFileSync(file, 'utf8'));
    writeFileSync(
      file,
      JSON.stringify({ ...active, pid: stranger.pid, previous: { id: 'x', pid: stranger.pid, start: active['start'], version: 'v0', port: 1 } }),
    );
    await sleep(400);
    await releases.apply(platform.call());
    expect([stranger.exitCode, stranger.signalCode]).toEqual([null, null]);
  });

  it.for(['..', '../releases/v2', 'v2/../v1', '/etc', 'v2\0', '', '.backout', '-v2', 'v2\n'])('%j is no version', async (to, test) => {
    const platform = await given(test, 'bare');
    expect((await releases.inspect(platform.call({ to }))).targetPresent).toBe(false);
    expect(await rejection(releases.apply(platform.call({ to })))).toMatchObject({ kind: 'not-found' });
  });

  it('link and process that disagree are both named', async (test) => {
    const platform = await given(test);
    rmSync(join(platform.root, 'current'));
    symlinkSync('releases/v2', join(platform.root, 'current'));
    expect(await releases.inspect(platform.call())).toMatchObject({
      current: null,
      operationId: null,
      parts: [
        { name: 'the current link', version: 'v2' },
        { name: 'the serving process', version: 'v1' },
      ],
    });
    await releases.apply(platform.call({ to: 'v1' }));
    expect(await releases.inspect(platform.call())).toMatchObject({ current: 'v1', parts: [] });
    expect(platform.effects()).toBe(0);
  });

  it('a root that is not there is a mistake in the configuration', async (test) => {
    const platform = await given(test, 'bare');
    const call = platform.call({ options: platform.options({ root: './nowhere' }) });
    expect(await rejection(releases.inspect(call))).toMatchObject({ kind: 'configuration' });
    expect(await rejection(releases.apply(call))).toMatchObject({ kind: 'configuration' });
  });
});

describe.concurrent('attempts', () => {
  it('two at once under one operation have one effect', async (test) => {
    const platform = await given(test);
    const workers = [platform.attempt(), platform.attempt()];
    const ours = [releases.apply(platform.call()), releases.apply(platform.call())].map((one) =>
      one.then(
        () => 'applied',
        (error: AdapterError) => error.kind,
      ),
    );
    const all = await Promise.all([...ours, ...workers.map(({ said }) => said)]);
    // Whoever was kept waiting too long by the machine has been taken over, and did nothing more.
    expect(all.filter((one) => one !== 'applied' && one !== 'superseded')).toEqual([]);
    expect(all).toContain('applied');
    expect([platform.effects(), platform.versions()]).toEqual([1, ['front', 'v2']]);
  });

  async function notMissed(test: TestContext): Promise<void> {
    const platform = await given(test);
    const { child, said } = platform.attempt({ at: { word: 'switching', signal: 'SIGSTOP' } });
    await until(() => stateOf(child.pid) === 'T');
    await sleep(4_500);
    child.kill('SIGCONT');
    expect(await said).toBe('applied');
    expect([platform.effects(), platform.versions()]).toEqual([1, ['front', 'v2']]);
  }

  it('a worker that was stopped and wakes after another took over does nothing more; one that was not missed goes on', async (test) => {
    await Promise.all([
      notMissed(test),
      ...['starting v2', 'waiting for v2', 'switching', 'recording', 'pointing'].map(async (word) => {
        const platform = await given(test);
        const { child, said } = platform.attempt({ at: { word, signal: 'SIGSTOP' } });
        await until(() => stateOf(child.pid) === 'T');
        await releases.apply(platform.call());
        const [before, ledger] = [platform.running(), platform.ledger()];
        child.kill('SIGCONT');
        expect([word, await said]).toEqual([word, 'superseded']);
        expect([word, platform.running(), platform.ledger(), platform.effects(), platform.versions()]).toEqual([word, before, ledger, 1, ['front', 'v2']]);
      }),
    ]);
  });

  it('a switch whose successor has come between the last look at the lease and the rename does not happen', async (test) => {
    const platform = await given(test);
    const prepared = (): string[] => readdirSync(join(platform.root, '.backout')).filter((name) => name.startsWith('next-active'));
    const heartbeat = (word: string): void => {
      if (word.startsWith('switching')) for (const name of prepared()) rmSync(join(platform.root, '.backout', name));
    };
    expect(await rejection(releases.apply(platform.call({ heartbeat })))).toMatchObject({ kind: 'superseded' });
    expect([platform.effects(), (await ask(platform.port, '/')).version]).toEqual([0, 'v1']);
  });

  async function killedDuringTakeover(test: TestContext, word: string): Promise<void> {
    const platform = await given(test, 'bare');
    await startedDirectly(platform);
    await platform.attempt({ at: { word, signal: 'SIGKILL' } }).said;
    await releases.apply(platform.call());
    expect([word, (await ask(platform.port, '/')).version, platform.effects(), platform.versions()]).toEqual([word, 'v2', 1, ['front', 'v2']]);
  }

  it('a worker killed at any point: the next one finishes, with one effect and no orphan', async (test) => {
    await Promise.all([
      ...['starting the front', 'stopping v1', 'waiting for the front'].map((word) => killedDuringTakeover(test, word)),
      ...['looking', 'starting v2', 'waiting for v2', 'switching', 'recording', 'pointing', 'waiting for the old'].map(async (word) => {
        const platform = await given(test);
        const { child, said } = platform.attempt({ at: { word, signal: 'SIGKILL' } });
        await said;
        expect([word, child.signalCode]).toEqual([word, 'SIGKILL']);
        await releases.apply(platform.call());
        expect(await releases.verify(platform.call())).toMatchObject({ current: 'v2', operationId: platform.call().operationId, parts: [] });
        expect([word, platform.effects(), platform.versions()]).toEqual([word, 1, ['front', 'v2']]);
      }),
    ]);
  });

  it('nobody comes after a worker that died at once after the switch: the old release is stopped, and the next operation records the effect', async (test) => {
    const platform = await given(test);
    await platform.attempt({ at: { word: 'recording', signal: 'SIGKILL' } }).said;
    await until(() => !platform.versions().includes('v1'));
    expect((await ask(platform.port, '/')).version).toBe('v2');
    await releases.apply(platform.call({ to: 'v3', operationId: 'another' }));
    expect(platform.ledger().map((line): unknown => JSON.parse(line))).toMatchObject([
      { operationId: 'start', from: null, to: 'v1' },
      { operationId: platform.call().operationId, from: 'v1', to: 'v2' },
      { operationId: 'another', from: 'v2', to: 'v3' },
    ]);
  });
});

describe('around it', () => {
  it("a release gets what it needs of the environment, and none of the worker's secrets", async (test) => {
    const platform = await given(test);
    await platform.attempt().said;
    const env: Record<string, string> = JSON.parse(await (await fetch(`http://127.0.0.1:${platform.port}/env`)).text());
    expect(env).toMatchObject({ BACKOUT_RELEASE: 'v2', TOKEN: 'secret', PATH: process.env['PATH'] });
    expect(Object.keys(env).filter((name) => !/^(PATH|HOME|LANG|TZ|PWD|OLDPWD|SHLVL|_|TOKEN|PORT|BACKOUT_(RELEASE|ROOT|PROCESS))$/.test(name))).toEqual([]);
  });

  it('CI deploys forward by the program, and the manual commands do the same', async (test) => {
    const platform = await given(test, 'bare');
    const program = join(import.meta.dirname, '..', '..', 'activities', 'adapters', 'releases.ts');
    const deploy = (version: string): ReturnType<typeof spawnSync> =>
      spawnSync(
        process.execPath,
        [
          program,
          'deploy',
          '--root',
          platform.root,
          '--port',
          String(platform.port),
          '--version',
          version,
          '--health',
          '/healthz',
          '--drain',
          '1',
          '--',
          './bin/serve',
          '{port}',
        ],
        { encoding: 'utf8' },
      );
    expect(deploy('v1')).toMatchObject({ status: 0, stderr: '' });
    expect((await ask(platform.port, '/')).version).toBe('v1');
    expect(deploy('crashing')).toMatchObject({ status: 1, stderr: expect.stringContaining('v1 still serves') });
    const lines = releases.manual(platform.call({ to: 'v3' })).join(' && ');
    expect(spawnSync('sh', ['-c', lines], { encoding: 'utf8', env: { ...process.env, TOKEN: 'by-hand' } })).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('releases/v3'),
    });
    expect((await ask(platform.port, '/')).version).toBe('v3');
    expect(await releases.inspect(platform.call())).toMatchObject({ current: 'v3', versions: expect.arrayContaining(['v1', 'v2', 'v3']) });
  });
});
