import { spawn } from 'node:child_process';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { claimFolder, readDev, stateFolder } from '../../client/local/folder.ts';
import { bornAt, isAlive } from '../../client/local/processes.ts';
import { temporaryFolder, untilDead } from './support/local.ts';

const services = { temporalAddress: '127.0.0.1:7233', namespace: 'default', uiUrl: null, databaseUrl: 'postgresql://127.0.0.1/backout' };

function sleeper(): number {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  return child.pid ?? 0;
}

async function leftBehind(folder: string, temporal: { readonly pid: number; readonly born: string | null }): Promise<void> {
  const dead = sleeper();
  const born = await bornAt(dead);
  process.kill(dead, 'SIGKILL');
  await untilDead([dead]);
  await mkdir(folder, { recursive: true });
  await writeFile(
    join(folder, 'dev.json'),
    JSON.stringify({ ...services, startedAt: '2026-11-21T10:00:00.000Z', pids: { dev: { pid: dead, born }, temporal } }),
  );
}

test('the state lies beside the configuration, or where one stands', () => {
  expect(stateFolder('/srv/shop/backout.yaml')).toBe('/srv/shop/.backout');
  expect(stateFolder('config/backout.yaml', '/srv/shop')).toBe('/srv/shop/config/.backout');
  expect(stateFolder(null, '/srv/shop')).toBe('/srv/shop/.backout');
});

test('a folder is held until it is given up; what runs is told only between', async () => {
  const folder = join(await temporaryFolder(), '.backout');
  expect(await readDev(folder)).toBeNull();
  const claim = await claimFolder(folder);
  expect(await readDev(folder)).toBeNull();
  await expect(claimFolder(folder)).rejects.toMatchObject({ type: 'already-running' });
  await claim.publish(services, { temporal: process.pid });
  expect(await readDev(folder)).toMatchObject({ ...services, pids: { dev: { pid: process.pid }, temporal: { pid: process.pid } } });
  await claim.release();
  expect(await readDev(folder)).toBeNull();
  await (await claimFolder(folder)).release();
  expect(await readdir(folder)).toEqual(['.gitignore']);
});

test('what a killed holder left running is ended', async () => {
  const folder = await temporaryFolder();
  const left = sleeper();
  await leftBehind(folder, { pid: left, born: await bornAt(left) });
  expect(await readDev(folder)).toBeNull();
  await (await claimFolder(folder)).release();
  expect(isAlive(left)).toBe(false);
});

test('another process that has got the pid since is left alone', async () => {
  const folder = await temporaryFolder();
  const stranger = sleeper();
  await leftBehind(folder, { pid: stranger, born: 'another time' });
  await (await claimFolder(folder)).release();
  expect(isAlive(stranger)).toBe(true);
});

test.each(['', '{', 'null', '{"pids":{}}', '{"startedAt":"now","pids":{"dev":{"pid":-1,"born":null}}}'])(
  'a damaged dev.json (%j) is as good as none',
  async (text) => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'dev.json'), text);
    expect(await readDev(folder)).toBeNull();
    await (await claimFolder(folder)).release();
  },
);
