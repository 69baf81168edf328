/**
 * A real n8n, installed once into `$XDG_CACHE_HOME/backout/n8n-VERSION` (about 2 minutes and 1.9 GB), never into the repository: n8n is under
 * the Sustainable Use License, and is here to be tested against.
 */
import { cacheFolder } from '../../client/local/find-temporal.ts';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

export const N8N_VERSION = '2.41.1';
const NODE_MIN = 24;
const INSTALL_MAX_MS = 10 * 60_000;
const MANIFEST = {
  name: 'backout-n8n',
  private: true,
  dependencies: { n8n: N8N_VERSION },
  pnpm: {
    // 0.18.15 of linkedom asks for a package that the registry does not have; of the other two, n8n's own pins are not served (November 2026).
    overrides: { linkedom: '0.18.12', '@langchain/langgraph-checkpoint': '1.1.5', '@langchain/protocol': '0.0.19' },
    onlyBuiltDependencies: ['sqlite3', 'isolated-vm'],
  },
};

export type Installed = { readonly entry: string } | { readonly impossible: string };

/** Was it installed here before, and whole? */
export const isN8nInstalled = (): boolean => existsSync(join(installFolder(), 'installed')) && existsSync(entryOf(installFolder()));

const installFolder = (): string => join(cacheFolder(), `n8n-${N8N_VERSION}`);
const entryOf = (folder: string): string => join(folder, 'node_modules/n8n/bin/n8n');

/** The script that starts n8n, or why it cannot be had here. Whatever else goes wrong is a failure, not a reason to skip. */
export async function installN8n(progress: (line: string) => void): Promise<Installed> {
  const [major] = process.versions.node.split('.').map(Number);
  if (major === undefined || major < NODE_MIN) return { impossible: `n8n ${N8N_VERSION} needs Node ${NODE_MIN}, and this is ${process.version}` };
  const folder = installFolder();
  const entry = entryOf(folder);
  const finished = join(folder, 'installed');
  if (isN8nInstalled()) return { entry };
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'package.json'), `${JSON.stringify(MANIFEST, null, 2)}\n`);
  progress(`installing n8n ${N8N_VERSION} into ${folder}: about 2 minutes and 1.9 GB, once`);
  const failure = await pnpmInstall(folder);
  if (failure !== null) return { impossible: failure };
  // Written last: a folder without it was broken off, and is gone on with.
  await writeFile(finished, `${new Date().toISOString()}\n`);
  return { entry };
}

/** Null: installed. npm itself was still resolving after eleven minutes; pnpm names a missing package in twenty seconds. */
async function pnpmInstall(folder: string): Promise<string | null> {
  let output = '';
  const child = spawn('npx', ['--yes', 'pnpm@10', 'install', '--reporter=append-only'], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: INSTALL_MAX_MS,
    // Its own Node first, for the builds; and not under the npm that runs the tests, whose settings would be taken for ours.
    env: {
      ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('npm_package_'))),
      PATH: `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}`,
      CI: '1',
    },
  });
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output = `${output}${chunk.toString()}`.slice(-20_000);
    });
  const code = await new Promise<number | string>((resolve) => {
    child.once('error', (error) => {
      resolve(error.message);
    });
    child.once('exit', (status, signal) => {
      resolve(status ?? signal ?? 'no status');
    });
  });
  if (code === 0) return null;
  const said = output.split('\n').filter((line) => /ERR|error/i.test(line));
  return `pnpm ended with ${code}: ${(said.length > 0 ? said : output.split('\n')).slice(-5).join(' · ')}`;
}
