/** What a base backup and a WAL archive say of themselves: from when to when they can be recovered, as far as that can be known without doing it. */
import { lstat, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AdapterError } from '../adapters/adapter.ts';
import type { Call } from './postgres-session.ts';
import { runTool } from './postgres-tool.ts';

/** How far back a commit is looked for: an idle server fills no segment for hours. */
const SEGMENTS_READ = 16;
const SEGMENT = /^[0-9A-F]{24}$/;

/** Null: it can be reached, as far as anybody can say beforehand. */
export async function wordsAgainst(call: Call, base: string, wal: string, target: string): Promise<string | null> {
  const label = await readFile(join(base, 'backup_label'), 'utf8').catch(() => null);
  const version = await readFile(join(base, 'PG_VERSION'), 'utf8').catch(() => null);
  if (version === null) return `${base} is no base backup as a folder (pg_basebackup --format=plain)`;
  if (label === null) return `${base} has no backup_label: it was started already, or is no base backup`;
  const elsewhere = await placesElsewhere(base);
  if (elsewhere !== null) return `${base} points to ${elsewhere}: a server on a copy of it would write into the files of the one in use`;
  const names = await readdir(wal).catch(() => null);
  if (names === null) return `there is no folder ${wal} with archived WAL`;
  const first = /^START WAL LOCATION: \S+ \(file ([0-9A-F]{24})\)/m.exec(label)?.[1];
  if (first === undefined) return `the backup_label of ${base} names no WAL`;
  const end = await endOfBase(label, first, names, wal);
  if (end !== null && microseconds(target) < end) return `${target} lies before the end of the base backup (${isoOf(end)})`;
  // Another timeline than that of the base: which one the target lies on is decided by Postgres alone.
  if (names.some((name) => /^[0-9A-F]{8}\.history$/.test(name))) return null;
  const chain = await unbroken(first, new Set(names), wal);
  const last = chain.at(-1);
  if (last === undefined) return `the archive ${wal} lacks ${first}, with which the base backup begins`;
  const commit = await lastCommit(call, chain, wal);
  const until = commit ?? (await stat(join(wal, last))).mtimeMs * 1_000;
  if (microseconds(target) < until) return null;
  const follows = names.some((name) => SEGMENT.test(name) && name.startsWith(first.slice(0, 8)) && name > last);
  const why = `${commit === null ? 'written' : 'last commit'} ${isoOf(until)}${follows ? `; the segment after ${last} is missing` : ''}`;
  return `${target} lies after the end of the archive (${why})`;
}

/** Microseconds, as Postgres counts. */
export function microseconds(time: string): number {
  const fraction = /\.(\d+)/.exec(time)?.[1] ?? '';
  return Math.floor(Date.parse(time.replace(/\.\d+/, '')) / 1_000) * 1e6 + Number(fraction.padEnd(6, '0').slice(0, 6));
}
const isoOf = (micro: number): string => new Date(Math.floor(micro / 1_000)).toISOString();

/** Links lead out of the copy; so does a tablespace. */
async function placesElsewhere(base: string): Promise<string | null> {
  const spaces = await readdir(join(base, 'pg_tblspc')).catch(() => []);
  if (spaces.length > 0) return 'tablespaces of its own';
  for (const name of await readdir(base)) if ((await lstat(join(base, name))).isSymbolicLink()) return `another folder (${name})`;
  return null;
}

/** From the history file that Postgres archives at the end of a base backup; without it, at least its beginning. Null: in a zone that cannot be read. */
async function endOfBase(label: string, first: string, names: readonly string[], wal: string): Promise<number | null> {
  const history = names.find((name) => name.startsWith(`${first}.`) && name.endsWith('.backup'));
  const text = history === undefined ? null : await readFile(join(wal, history), 'utf8').catch(() => null);
  const said = /^STOP TIME: (.+)$/m.exec(text ?? '')?.[1] ?? /^START TIME: (.+)$/m.exec(label)?.[1] ?? '';
  const time = Date.parse(said);
  return Number.isNaN(time) ? null : time * 1_000;
}

/** The segments from the first one on, up to a gap. */
async function unbroken(first: string, names: ReadonlySet<string>, wal: string): Promise<readonly string[]> {
  if (!names.has(first)) return [];
  const perLog = Math.floor(0x1_0000_0000 / Math.max(1, (await stat(join(wal, first))).size));
  const hex = (number: number): string => number.toString(16).toUpperCase().padStart(8, '0');
  const chain: string[] = [];
  let [log, segment] = [Number.parseInt(first.slice(8, 16), 16), Number.parseInt(first.slice(16), 16)];
  for (let name = first; names.has(name); name = `${first.slice(0, 8)}${hex(log)}${hex(segment)}`) {
    chain.push(name);
    segment += 1;
    if (segment >= perLog) [log, segment] = [log + 1, 0];
  }
  return chain;
}

/** Null: nobody here can read WAL, or there is no commit far and wide. */
async function lastCommit(call: Call, chain: readonly string[], wal: string): Promise<number | null> {
  for (const name of chain.slice(-SEGMENTS_READ).toReversed()) {
    let last: number | null = null;
    const heard = (line: string): void => {
      const said = /desc: (?:COMMIT|ABORT)\S* (\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?) UTC/.exec(line);
      if (said !== null) last = Math.max(last ?? 0, microseconds(`${said[1]}T${said[2]}Z`));
    };
    const tool = {
      program: 'pg_waldump',
      args: ['--rmgr=Transaction', '--path', wal, name, name],
      env: { TZ: 'UTC' },
      heard,
      doing: () => 'reading the archive',
    } as const;
    try {
      await runTool(call, tool);
    } catch (error) {
      if (error instanceof AdapterError && error.kind === 'configuration') return null;
      throw error;
    }
    if (last !== null) return last;
  }
  return null;
}
