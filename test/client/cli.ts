/** Runs the command as a user does: the launcher, in a process of its own, in a folder of its own. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, expect } from 'vitest';

export const LAUNCHER = resolve(import.meta.dirname, '../../client/backout.mjs');

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}
export interface Said {
  readonly error: { readonly type: string; readonly message: string; readonly remedy: string; readonly [detail: string]: unknown };
}

/** Nobody listens there. */
export const NOWHERE = { TEMPORAL_ADDRESS: '127.0.0.1:1', DATABASE_URL: 'postgres://u:secret@127.0.0.1:1/b' } as const;

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

export async function emptyFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'backout-cli-'));
  folders.push(folder);
  return folder;
}

export async function backout(args: readonly string[], { cwd, env = {} }: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {}): Promise<Ran> {
  const folder = cwd ?? (await emptyFolder());
  const { PATH } = process.env;
  return new Promise((done) => {
    execFile(
      process.execPath,
      [LAUNCHER, ...args],
      { cwd: folder, env: { PATH, HOME: folder, USER: 'ana', ...env }, timeout: 60_000 },
      (error, stdout, stderr) => {
        done({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, stdout, stderr });
      },
    );
  });
}

/** The one document of a command that failed: type, message and remedy, and never a trace. */
export function problemOf({ stdout, stderr }: Ran): Said['error'] {
  const document = JSON.parse(stdout) as Said; // Checked here.
  expect(Object.keys(document)).toEqual(['error']);
  for (const field of ['type', 'message', 'remedy'] as const) expect(document.error[field], field).toMatch(/\S/);
  expect(stdout + stderr).not.toMatch(/\n\s+at .*[.:]\d+:\d+/);
  return document.error;
}
