import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { recover, recoverable, recovered } from '../../activities/databases/postgres-recover.ts';
import type { Call } from '../../activities/databases/postgres-session.ts';
import { freePort } from '../../client/local/ports.ts';
import { rejection } from '../adapters/contract.ts';
import { queryAt } from '../store/database.ts';
import { everything, given, type Given } from './postgres-given.ts';
import { postgresTools, startReal, type RealServer } from './postgres-tools.ts';

const CANARY = 'canary/4+b9';
const bin = await postgresTools();

describe.skipIf(bin === null)('point-in-time recovery [004 section 3.1]', () => {
  let server: RealServer;
  let folder = '';
  let [base, wal, into, port] = ['', '', '', 0];
  /** Before the base backup; behind its end; between the good and the bad; behind all that is archived. */
  const at = { early: '', first: '', good: '', late: '' };

  const clock = async (): Promise<string> => {
    const rows = await server.query<{ now: string }>(
      `SELECT pg_sleep(0.05), to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS now, pg_sleep(0.05)`,
    );
    return rows[0]!.now;
  };
  const archived = async (): Promise<void> => {
    const [row] = await server.query<{ name: string }>('SELECT pg_walfile_name(pg_switch_wal()) AS name');
    await vi.waitUntil(async () => (await readdir(wal)).includes(row!.name), { timeout: 20_000 });
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'backout-archive-'));
    [base, wal] = [join(folder, 'base'), join(folder, 'wal')];
    await mkdir(wal);
    await chmod(folder, 0o777);
    await chmod(wal, 0o777);
    const archiving = ['archive_mode=on', `archive_command=cp %p ${wal}/%f`, 'wal_level=replica', 'max_connections=150', 'cluster_name=in-use'];
    server = await startReal({ bin: bin!, password: CANARY, settings: archiving });
    await server.query(`CREATE ROLE shop LOGIN PASSWORD '${CANARY}'`);
    await server.query('CREATE DATABASE shop OWNER shop');
    await server.query('CREATE TABLE orders (id int PRIMARY KEY, note text); ALTER TABLE orders OWNER TO shop', [], 'shop');
    at.early = await clock();
    await server.query(`INSERT INTO orders SELECT n, 'first' FROM generate_series(1, 1000) AS n`, [], 'shop');
    // The labels of a base backup count whole seconds.
    await server.query('SELECT pg_sleep(1.1)');
    await server.run('pg_basebackup', ['--pgdata', base, '--checkpoint=fast', '--wal-method=none', '--no-sync']);
    await server.query('SELECT pg_sleep(1.1)');
    at.first = await clock();
    await server.query(`INSERT INTO orders SELECT n, 'good' FROM generate_series(1001, 2000) AS n`, [], 'shop');
    await archived();
    at.good = await clock();
    await server.query(`DELETE FROM orders WHERE id % 2 = 0`, [], 'shop');
    await archived();
    await server.query(`INSERT INTO orders VALUES (5000, 'since')`, [], 'shop');
    await archived();
    at.late = await clock();
  }, 120_000);
  afterAll(async () => {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  });
  beforeEach(async () => {
    into = await mkdtemp(join(folder, 'into-'));
    await chmod(into, 0o755);
    port = await freePort();
  });
  afterEach(async () => {
    for (const data of await datas())
      spawnSync(server.prefix[0] ?? 'env', [...server.prefix.slice(1), join(bin!, 'pg_ctl'), 'stop', '-m', 'immediate', '-D', data]);
    await rm(into, { recursive: true, force: true });
  });

  const datas = async (): Promise<string[]> => {
    const homes = await readdir(into);
    const all = await Promise.all(homes.map(async (home) => (await readdir(join(into, home)).catch(() => [])).map((name) => join(into, home, name))));
    return all.flat().filter((path) => path.includes('/data-'));
  };
  const givenFor = (archive: Readonly<Record<string, unknown>> = {}, overrides: Partial<Call> = {}): Given =>
    given({ bin, archive: { base, wal, into, port, ...archive } }, { 'env:SHOP': server.url('shop', 'shop') }, { folder, ...overrides });
  /** Every file, by name, size and content; of the server in use what it says of itself. */
  const untouched = async (): Promise<unknown> => {
    const files = execFileSync('sh', ['-c', 'find "$1" "$2" -type f -exec sha256sum {} + | sort', 'sh', base, wal], { encoding: 'utf8', maxBuffer: 1e9 });
    return [
      createHash('sha256').update(files).digest('hex'),
      createHash('sha256')
        .update(await server.run('pg_dump', [], 'shop'))
        .digest('hex'),
    ];
  };
  const notes = async (call: Call): Promise<unknown> => queryAt(await recovered(call), `SELECT note, count(*)::int AS n FROM orders GROUP BY 1 ORDER BY 1`);
  const GOOD = [
    { note: 'first', n: 1_000 },
    { note: 'good', n: 1_000 },
  ];

  it('a server of its own, at the very time, with all that was committed until then and nothing later; neither the one in use nor the archive is touched', async () => {
    const { call, beats } = givenFor();
    const before = await untouched();
    expect(await recoverable(call, at.good)).toEqual({ problem: null, asOf: at.good });
    expect(await readdir(into)).toEqual([]);
    const receipt = await recover(call, at.good);
    expect(receipt).toMatchObject({ after: { asOf: at.good, port, folder: join(into, call.operationId.slice(0, 8)), already: false } });
    const { lastCommit } = receipt.after as { lastCommit: string };
    expect([lastCommit > at.first, lastCommit < at.good]).toEqual([true, true]);
    const address = await recovered(call);
    expect(new URL(address)).toMatchObject({ hostname: '127.0.0.1', port: String(port), username: 'shop', pathname: '/shop' });
    expect(await notes(call)).toEqual(GOOD);
    const admin = new URL(address);
    admin.username = 'admin';
    const settings = ['archive_mode', 'listen_addresses', 'max_connections', 'cluster_name'].map((name) => `current_setting('${name}') AS ${name}`);
    expect(await queryAt(admin.href, `SELECT pg_is_in_recovery(), ${settings.join()}`)).toEqual([
      { pg_is_in_recovery: false, archive_mode: 'off', listen_addresses: '127.0.0.1', max_connections: '100', cluster_name: '' },
    ]);
    expect((await stat(join(into, call.operationId.slice(0, 8)))).mode & 0o777).toBe(0o700);
    await queryAt(address, `INSERT INTO orders VALUES (7000, 'written after the switch-over')`);
    expect(await recover({ ...call, attempt: 2 }, at.good)).toMatchObject({ after: { already: true, asOf: at.good } });
    expect(await queryAt(address, 'SELECT FROM orders WHERE id = 7000')).toHaveLength(1);
    expect(await untouched()).toEqual(before);
    expect(everything(receipt, beats)).not.toMatch(/canary/);
  });

  it('what is finished is started again where the machine has been, and keeps what was written', async () => {
    const { call } = givenFor();
    await recover(call, at.good);
    await queryAt(await recovered(call), `INSERT INTO orders VALUES (7000, 'later')`);
    const [data] = await datas();
    spawnSync(server.prefix[0] ?? 'env', [...server.prefix.slice(1), join(bin!, 'pg_ctl'), 'stop', '-m', 'fast', '-D', data!]);
    await expect(queryAt(await recovered(call), 'SELECT 1')).rejects.toThrow(/ECONNREFUSED/);
    expect(await recover({ ...call, attempt: 2 }, at.good)).toMatchObject({ after: { already: true } });
    expect(await queryAt(await recovered(call), 'SELECT FROM orders WHERE id = 7000')).toHaveLength(1);
  });

  it('a time outside of the archive is told beforehand, and nothing is begun', async () => {
    const { call } = givenFor();
    const cases = [
      [at.early, /lies before the end of the base backup/],
      [at.late, /lies after the end of the archive \(last commit /],
      ['2999-01-01T00:00:00Z', /lies after the end of the archive/],
    ] as const;
    for (const [target, words] of cases) {
      expect(await recoverable(call, target)).toEqual({ problem: expect.stringMatching(words) as string, asOf: null });
      expect(await rejection(recover(call, target))).toMatchObject({ kind: 'failed', message: expect.stringMatching(words) as string });
      expect(await readdir(into)).toEqual([]);
    }
    for (const target of ['yesterday', '2026-11-21T00:00:00']) {
      expect((await recoverable(call, target)).problem).toMatch(/no ISO time/);
      expect((await rejection(recover(call, target))).kind).toBe('configuration');
    }
    // Without the program that reads WAL only the date of the last segment is known, and that is said.
    expect((await recoverable({ ...call, options: { ...call.options, bin: '/nowhere' } }, '2999-01-01T00:00:00Z')).problem).toMatch(/\(written /);
  });

  it('a time that only Postgres can tell is missing: failed in its words, and cleaned up', async () => {
    const other = join(folder, 'wal-history');
    await cp(wal, other, { recursive: true });
    // A timeline that Postgres never gets to: which one the target is on cannot be told from outside.
    await writeFile(join(other, '00000009.history'), '');
    const { call } = givenFor({ wal: other });
    expect((await recoverable(call, at.late)).problem).toBeNull();
    const error = await rejection(recover(call, at.late));
    expect(error).toMatchObject({
      kind: 'failed',
      message: expect.stringMatching(
        /recovery ended before configured recovery target was reached; what was begun in .* was removed, and the server in use was not touched$/,
      ) as string,
    });
    expect(await readdir(into)).toEqual([]);
    expect(everything(error)).not.toMatch(/canary/);
    expect((await rejection(recovered(call))).kind).toBe('not-found');
  });

  it('a gap in the archive is named', async () => {
    const other = join(folder, 'wal-gap');
    await cp(wal, other, { recursive: true });
    const [first, second] = (await readdir(other))
      .filter((name) => /^[0-9A-F]{24}$/.test(name))
      .sort()
      .slice(-2);
    await rm(join(other, first!));
    const { problem } = await recoverable(givenFor({ wal: other }).call, at.late);
    expect(problem).toMatch(/the segment after [0-9A-F]{24} is missing/);
    expect(second).toBeDefined();
  });

  it.each([
    ['no label', (copy: string) => rm(join(copy, 'backup_label')), /no backup_label/],
    ['no data folder', (copy: string) => rm(join(copy, 'PG_VERSION')), /no base backup as a folder/],
    ['another version', (copy: string) => writeFile(join(copy, 'PG_VERSION'), '15\n'), /of Postgres 15, and pg_ctl of 16/],
    ['a tablespace of the server in use', (copy: string) => symlink(server.folder, join(copy, 'pg_tblspc', '16999')), /tablespaces/],
    [
      'WAL of the server in use',
      async (copy: string) => (await rm(join(copy, 'pg_wal'), { recursive: true }), symlink(server.folder, join(copy, 'pg_wal'))),
      /another folder \(pg_wal\)/,
    ],
  ])('a base backup that cannot be used is told beforehand: %s', async (_, spoil, words) => {
    const copy = await mkdtemp(join(folder, 'spoilt-'));
    await cp(base, copy, { recursive: true });
    await spoil(copy);
    const { call } = givenFor({ base: copy });
    expect((await recoverable(call, at.good)).problem).toMatch(words);
    expect((await rejection(recover(call, at.good))).message).toMatch(words);
    expect(await readdir(into)).toEqual([]);
  });

  it('the settings of the server in use do not come along: neither its folders nor its archive', async () => {
    const copy = await mkdtemp(join(folder, 'set-'));
    await cp(base, copy, { recursive: true });
    const theirs = [
      `data_directory = '${join(server.folder, 'data')}'`,
      `port = ${server.port}`,
      "archive_mode = 'on'",
      `archive_command = 'touch ${join(folder, 'archived-twice')}'`,
      "listen_addresses = '*'",
    ];
    await writeFile(join(copy, 'postgresql.conf'), `${theirs.join('\n')}\nmax_connections = 77 # theirs\nshared_buffers=16MB\n`);
    await writeFile(join(copy, 'postgresql.auto.conf'), "primary_conninfo = 'host=elsewhere'\n");
    const { call } = givenFor({ base: copy });
    await recover(call, at.good);
    const admin = new URL(await recovered(call));
    admin.username = 'admin';
    const settings = ['data_directory', 'archive_command', 'listen_addresses', 'max_connections', 'primary_conninfo'].map(
      (name) => `current_setting('${name}') AS ${name}`,
    );
    const [row] = await queryAt<Record<string, string>>(admin.href, `SELECT ${settings.join()}`);
    expect(row).toEqual({
      data_directory: (await datas())[0],
      archive_command: '(disabled)',
      listen_addresses: '127.0.0.1',
      max_connections: '77',
      primary_conninfo: '',
    });
  });

  it.each(['copying the base', 'the recovered server is starting'])('killed while %s and called again: one server, complete', async (moment) => {
    const { call } = givenFor();
    const before = await untouched();
    const source = `const { recover } = await import(process.env.MODULE);
      const call = { ...JSON.parse(process.env.CALL), signal: new AbortController().signal, secret: async () => process.env.SHOP,
        heartbeat: (said) => { if (said.startsWith(process.env.MOMENT)) process.kill(process.pid, 'SIGKILL'); } };
      await recover(call, process.env.TARGET);`;
    const env = {
      ...process.env,
      MODULE: new URL('../../activities/databases/postgres-recover.ts', import.meta.url).href,
      CALL: JSON.stringify(call),
      SHOP: server.url('shop', 'shop'),
      MOMENT: moment,
      TARGET: at.good,
    };
    const [, signal] = (await once(spawn(process.execPath, ['--input-type=module', '--eval', source], { env, stdio: 'inherit' }), 'exit')) as [unknown, string];
    expect(signal).toBe('SIGKILL');
    expect((await rejection(recovered(call))).kind).toBe('not-found');
    expect(await recover({ ...call, attempt: 2 }, at.good)).toMatchObject({ after: { already: false } });
    expect(await notes(call)).toEqual(GOOD);
    expect(await datas()).toHaveLength(1);
    expect(await untouched()).toEqual(before);
  });

  it('stopped while copying: at once; the next call begins anew', async () => {
    const { call, abort } = givenFor();
    const stopping = { ...call, heartbeat: (said: string): void => void (said.startsWith('copying') && abort.abort()) };
    const started = Date.now();
    expect((await rejection(recover(stopping, at.good))).kind).toBe('unavailable');
    expect(Date.now() - started).toBeLessThan(5_000);
    expect(await recover({ ...call, signal: new AbortController().signal }, at.good)).toMatchObject({ after: { already: false } });
  });

  it('what others made is a conflict, and stays: a folder, a port', async () => {
    const { call } = givenFor();
    const home = join(into, call.operationId.slice(0, 8));
    await mkdir(home);
    await writeFile(join(home, 'theirs'), 'x');
    expect((await recoverable(call, at.good)).problem).toMatch(/did not make/);
    expect((await rejection(recover(call, at.good))).kind).toBe('conflict');
    expect(await readFile(join(home, 'theirs'), 'utf8')).toBe('x');
    await rm(home, { recursive: true });
    const other = createServer().listen(port, '127.0.0.1');
    await once(other, 'listening');
    expect((await recoverable(call, at.good)).problem).toMatch(/port \d+ already/);
    expect((await rejection(recover(call, at.good))).kind).toBe('conflict');
    other.close();
    expect(await readdir(into)).toEqual([]);
  });

  it('a full disk: failed, and nothing is left', async ({ skip }) => {
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', into]).status !== 0) {
      process.stderr.write('\n*** NO RIGHT TO MOUNT A SMALL DISK: THE TEST OF A FULL ONE IS SKIPPED ***\n\n');
      skip();
    }
    try {
      const { call } = givenFor();
      expect(await rejection(recover(call, at.good))).toMatchObject({
        kind: 'failed',
        message: expect.stringMatching(/^the disk is full; what was begun in .* was removed/) as string,
      });
      expect(await readdir(into)).toEqual([]);
    } finally {
      spawnSync('umount', [into]);
    }
  });

  it('started by the house’s own command; one that fails leaves nothing', async () => {
    const start = join(folder, 'start');
    await writeFile(
      start,
      `#!/bin/sh\nexec ${[...server.prefix, join(bin!, 'pg_ctl')].join(' ')} start -W -s -D "$BACKOUT_DATA" -l "$BACKOUT_DATA/start.log" -o "-p $BACKOUT_PORT"\n`,
      { mode: 0o755 },
    );
    const { call } = givenFor({ start: ['./start'] });
    await recover(call, at.good);
    expect(await notes(call)).toEqual(GOOD);
    const failing = givenFor({ start: ['false'], port: await freePort() });
    expect(await rejection(recover(failing.call, at.good))).toMatchObject({
      kind: 'failed',
      message: expect.stringMatching(/configured start ended with 1; .* was removed/) as string,
    });
    expect(await readdir(into)).toEqual([call.operationId.slice(0, 8)]);
  });
});
