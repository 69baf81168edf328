/** A backup file as pg_dump makes it: which of its formats it is, of when, and whether it may be restored. Nothing is changed. */
import { open, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { plainProblem } from './postgres-plain-dump.ts';
import { stopped, type Call } from './postgres-session.ts';
import { runTool, wordsOf } from './postgres-tool.ts';

export interface Dump {
  readonly path: string;
  /** psql runs it, or pg_restore. */
  readonly isPlain: boolean;
  /** ISO. What was written later is not in it. */
  readonly asOf: string;
  /** Who says so: the dump itself, or only the date of its file, before which it was made. */
  readonly asOfFrom: 'dump' | 'file';
}
export type Read = Dump | { readonly problem: string };

const HEAD_BYTES = 4_096;

export async function readDump(call: Call, named: string): Promise<Read> {
  const path = resolve(call.folder, named);
  const there = await stat(path).catch(() => null);
  if (there === null) return { problem: `there is no backup ${named}` };
  const main = there.isDirectory() ? join(path, 'toc.dat') : path;
  const file = await stat(main).catch(() => null);
  if (file === null) return { problem: `${named} is a folder, and none that pg_dump made` };
  const head = await headOf(main).catch(() => null);
  if (head === null) return { problem: `${named} cannot be read` };
  // The file was begun after the dump was, and ended after that.
  const begun = new Date(Math.min(file.mtimeMs, file.birthtimeMs > 0 ? file.birthtimeMs : file.mtimeMs));
  const of = (said: Date | null): Pick<Dump, 'asOf' | 'asOfFrom'> =>
    said === null
      ? { asOf: begun.toISOString(), asOfFrom: 'file' }
      : { asOf: new Date(Math.min(said.getTime(), file.mtimeMs)).toISOString(), asOfFrom: 'dump' };
  if (head.length === 0) return { problem: `${named} is empty` };
  if (there.isDirectory() || head.subarray(0, 5).equals(Buffer.from('PGDMP')) || head.subarray(257, 262).equals(Buffer.from('ustar'))) {
    const listed = await list(call, path);
    return 'problem' in listed ? { problem: `${named}: ${listed.problem}` } : { path, isPlain: false, ...of(listed.made) };
  }
  if (head.includes(0) || head.subarray(0, 2).equals(Buffer.from([0x1f, 0x8b]))) return { problem: `${named} is neither SQL nor a dump (is it compressed?)` };
  const problem = await plainOf(call, path);
  if (problem !== null) return { problem: `${named} is not run: ${problem}` };
  const started = /^-- Started on (.+)$/m.exec(head.toString('latin1'))?.[1];
  return { path, isPlain: true, ...of(started === undefined ? null : wallClock(started)) };
}

async function headOf(path: string): Promise<Buffer> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

async function list(call: Call, path: string): Promise<{ readonly problem: string } | { readonly made: Date | null }> {
  let made: Date | null = null;
  const heard = (line: string): void => {
    const said = /^;\s+Archive created at (.+)$/.exec(line)?.[1];
    if (said !== undefined) made = wallClock(said);
  };
  const { ended, lines } = await runTool(call, { program: 'pg_restore', args: ['--list', path], heard, doing: () => 'reading the backup' });
  return ended.code === 0 ? { made } : { problem: `pg_restore cannot read it: ${wordsOf(lines, ended)}` };
}

async function plainOf(call: Call, path: string): Promise<string | null> {
  let beaten = 0;
  const passed = (bytes: number): void => {
    if (Date.now() - beaten < 500) return;
    beaten = Date.now();
    call.heartbeat(`reading the backup: ${Math.round(bytes / 1e6)} MB`);
  };
  try {
    return await plainProblem(path, call.signal, passed);
  } catch (error) {
    if (call.signal.aborted) throw stopped();
    throw error;
  }
}

/** Dumps keep the time that the clock on their own wall showed: taken for our own zone, unless they name UTC. */
function wallClock(text: string): Date | null {
  const found = /^(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.\d+)?(?: (\S+))?/.exec(text);
  if (found === null) return null;
  const [year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0] = found.slice(1, 7).map(Number);
  const isUtc = /^(?:UTC|GMT|Z)$/.test(found[7] ?? '');
  return isUtc ? new Date(Date.UTC(year, month - 1, day, hour, minute, second)) : new Date(year, month - 1, day, hour, minute, second);
}
