/**
 * Point-in-time recovery [004 section 3.1] from a base backup and a WAL archive, into a server of its own beside the one in use: the archive is only read, and
 * the base backup is copied. `<into>/<8 hex of the rollback>` holds a mark with the operation and how far it is, and the data.
 */
import { randomUUID } from 'node:crypto';
import { lstat, mkdir, open, readFile, rename } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Receipt } from '../../model/state.ts';
import { AdapterError } from '../adapters/adapter.ts';
import { runCommand } from '../command.ts';
import { configure, copyBase, diskWords, pause, readMark, removeHome, runAs, writeMark, type Mark, type RunAs } from './postgres-cluster.ts';
import { answers, endOf, fatalOf, wordsOf } from './postgres-recovery-log.ts';
import { isOurs, shortId } from './postgres-mark.ts';
import { stopped, withSession, type Call } from './postgres-session.ts';
import { runTool } from './postgres-tool.ts';
import { microseconds, wordsAgainst } from './postgres-wal.ts';

const NO_TIME = 'the time is no ISO time with its time zone';
const isTime = (target: string): boolean => /^\d{4}-\d\d-\d\dT.*(?:Z|[+-]\d\d:?\d\d)$/.test(target) && !Number.isNaN(Date.parse(target));

interface Place {
  readonly base: string;
  readonly wal: string;
  readonly home: string;
  readonly port: number;
  readonly start: readonly string[] | undefined;
}
/** Of one attempt: an earlier one that wakes up writes into a folder that nobody uses. */
interface Cluster extends Place {
  readonly data: string;
  readonly log: string;
}
interface Reached {
  /** ISO; null: nothing was replayed behind the base backup. */
  readonly lastCommit: string | null;
}

const START_SECONDS = 120;
const LOOK_MS = 200;
const START_MS = 5_000;
const SILENT_MS = 60_000;

function placeOf({ options: { archive }, folder, operationId, name }: Call): Place {
  if (archive === undefined) throw new AdapterError('configuration', `the database ${name} has no \`archive\` to be recovered from`);
  const home = join(resolve(folder, archive.into), shortId(operationId));
  const [base, wal] = [resolve(folder, archive.base), resolve(folder, archive.wal)];
  return { base, wal, home, port: archive.port, start: archive.start };
}

function clusterOf(place: Place, { attempt }: Mark): Cluster {
  const data = join(place.home, `data-${attempt.slice(0, 8)}`);
  return { ...place, data, log: join(data, 'log', 'backout.log') };
}

export async function archiveRecoverable(call: Call, target: string): Promise<{ readonly problem: string | null; readonly asOf: string | null }> {
  const problem = await problemOf(call, target);
  return { problem, asOf: problem === null ? new Date(target).toISOString() : null };
}

async function problemOf(call: Call, target: string): Promise<string | null> {
  if (call.options.archive === undefined) return `the database ${call.name} has no \`archive\` to be recovered from`;
  if (!isTime(target)) return NO_TIME;
  const place = placeOf(call);
  const there = await readMark(place.home);
  const isForeign = there !== null && (there === 'foreign' || !isOurs(there.backout, call.operationId));
  if (isForeign) return `there is something in ${place.home} already that this rollback did not make`;
  if (there === null && (await answers(place.port))) return `something listens on port ${place.port} already`;
  return (await wordsAgainst(call, place.base, place.wal, target)) ?? (await versionWords(call, place));
}

async function versionWords(call: Call, { base, start }: Place): Promise<string | null> {
  if (start !== undefined) return null;
  const { lines } = await runTool(call, { program: 'pg_ctl', args: ['--version'], doing: () => 'asking for the version' });
  const ours = / (\d+)[.\w]*\s*(?:\(.*\))?$/.exec(lines[0] ?? '')?.[1];
  const its = (await readFile(join(base, 'PG_VERSION'), 'utf8')).trim();
  return ours === undefined || ours === its
    ? null
    : `the base backup is of Postgres ${its}, and pg_ctl of ${ours} (\`bin\` says where Postgres's programs are)`;
}

export async function recoverArchive(call: Call, target: string): Promise<Receipt> {
  if (!isTime(target)) throw new AdapterError('configuration', NO_TIME);
  const place = placeOf(call);
  const there = await readMark(place.home);
  if (there === 'foreign' || (there !== null && !isOurs(there.backout, call.operationId))) {
    throw new AdapterError('conflict', `there is something in ${place.home} already that this rollback did not make; it was not touched`);
  }
  if (there !== null && there.target !== target) throw new AdapterError('conflict', `${place.home} was begun for ${there.target}; it was not touched`);
  try {
    const as = await runAs(call, place.base);
    if (there?.state === 'finished') return await standing(call, clusterOf(place, there), as, there);
    return await make(call, place, as, target, there);
  } catch (error) {
    if (call.signal.aborted) throw stopped();
    throw diskWords(error);
  }
}

/** What a server has begun with goes on by itself; what was only being copied is begun anew. */
async function make(call: Call, place: Place, as: RunAs, target: string, there: Mark | null): Promise<Receipt> {
  const isGoing = there?.state === 'starting' && (await isRunning(call, clusterOf(place, there), as));
  const mark: Mark = isGoing ? there : { backout: call.operationId, state: 'copying', target, port: place.port, attempt: randomUUID() };
  const cluster = clusterOf(place, mark);
  try {
    if (!isGoing) {
      await prepare(call, cluster, as, mark);
      await requireOurs(place, mark);
      await writeMark(place.home, { ...mark, state: 'starting' });
      await launch(call, cluster, as);
    }
    const reached = await promoted(call, cluster, as);
    prove(target, reached, await endOf(cluster.log));
    await requireOurs(place, mark);
    await writeMark(place.home, { ...mark, state: 'finished' });
    return receiptOf(cluster, target, reached, false);
  } catch (error) {
    const told = diskWords(error);
    if (call.signal.aborted || !(told instanceof AdapterError) || told.kind === 'superseded') throw told;
    throw new AdapterError(told.kind, `${told.message}; ${await cleared(call, cluster, as, mark)}, and the server in use was not touched`, { cause: told });
  }
}

async function requireOurs({ home }: Place, { attempt }: Mark): Promise<void> {
  const there = await readMark(home);
  if (there === null || there === 'foreign' || there.attempt !== attempt) throw new AdapterError('superseded', `another attempt has taken over ${home}`);
}

/** Null: there is none. */
export async function recoveredFromArchive(call: Call): Promise<string | null> {
  if (call.options.archive === undefined) return null;
  const place = placeOf(call);
  const mark = await readMark(place.home);
  if (mark === null || mark === 'foreign' || !isOurs(mark.backout, call.operationId) || mark.state !== 'finished') return null;
  return addressOf(call, place);
}

async function addressOf(call: Call, { port }: Place): Promise<string> {
  const url = new URL(await call.secret(call.options.url));
  [url.hostname, url.port] = ['127.0.0.1', String(port)];
  for (const name of ['host', 'port', 'sslmode', 'sslrootcert', 'sslcert', 'sslkey']) url.searchParams.delete(name);
  return url.href;
}

async function prepare(call: Call, place: Cluster, as: RunAs, mark: Mark): Promise<void> {
  const problem = (await wordsAgainst(call, place.base, place.wal, mark.target)) ?? (await versionWords(call, place));
  if (problem !== null) throw new AdapterError('failed', problem);
  if (await answers(place.port)) throw new AdapterError('conflict', `something listens on port ${place.port} already`);
  await removeHome(place.home);
  await mkdir(place.home, { recursive: true, mode: 0o700 });
  await writeMark(place.home, mark);
  if (as.owner !== null) await own(place.home, as.owner);
  await copyBase(call, place.base, place.data, as);
  const hasPassword = new URL(await call.secret(call.options.url)).password !== '';
  await configure(place.base, place.data, as, { port: place.port, wal: place.wal, target: mark.target, hasPassword });
}

async function own(path: string, { uid, gid }: { readonly uid: number; readonly gid: number }): Promise<void> {
  const folder = await open(path);
  try {
    await folder.chown(uid, gid);
  } finally {
    await folder.close();
  }
}

async function launch(call: Call, place: Cluster, as: RunAs): Promise<void> {
  const { data, port, start, home } = place;
  if (start === undefined) {
    const args = ['start', '-W', '-s', '-D', data, '-l', join(data, 'start.log')];
    const { ended } = await runTool(call, { program: 'pg_ctl', args, prefix: as.prefix, doing: () => 'starting the recovered server', leaves: true });
    if (ended.code !== 0) throw new AdapterError('failed', `pg_ctl ended with ${ended.exit}`);
    return;
  }
  const log = await open(join(home, 'start.log'), 'a', 0o600);
  try {
    const env = { BACKOUT_DATA: data, BACKOUT_PORT: String(port) };
    const ended = await runCommand({ command: start, cwd: call.folder, seconds: START_SECONDS, env, output: log.fd }, call.signal);
    if (ended.code !== 0) throw new AdapterError('failed', `the configured start ended with ${ended.exit}; what it said is in its own log`);
  } finally {
    await log.close();
  }
}

/** Waits until the server is its own master. */
async function promoted(call: Call, place: Cluster, as: RunAs): Promise<Reached> {
  const began = Date.now();
  const address = { url: await addressOf(call, place), as: `the recovered server on port ${place.port}` };
  for (;;) {
    const log = await endOf(place.log);
    const fatal = fatalOf(log);
    if (fatal !== null) throw new AdapterError('failed', fatal);
    const reached = await withSession(
      call,
      address,
      async (client) => {
        const { rows } = await client.query<{ recovering: boolean; last: string | null }>(
          `SELECT pg_is_in_recovery() AS recovering, to_char(pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS last`,
        );
        return rows[0]?.recovering === false ? { lastCommit: rows[0].last } : null;
      },
      { quiet: true },
    ).catch((error: unknown) => {
      if (error instanceof AdapterError && error.kind === 'unavailable' && !call.signal.aborted) return null;
      throw error;
    });
    if (reached !== null) return reached;
    const said = /restored log file "([0-9A-F]+)"(?![\s\S]*restored log file)/.exec(log)?.[1];
    call.heartbeat(said === undefined ? 'the recovered server is starting' : `replaying ${said}`);
    await requireAlive(call, place, as, Date.now() - began);
    await pause(call, LOOK_MS);
  }
}

/** A server that has just been started takes a moment to say so. */
async function requireAlive(call: Call, place: Cluster, as: RunAs, sinceMs: number): Promise<void> {
  const start = await endOf(join(place.start === undefined ? place.data : place.home, 'start.log'));
  const isLate = sinceMs > (place.start === undefined ? START_MS : SILENT_MS) || /FATAL|PANIC/.test(start);
  if (!isLate || (await isRunning(call, place, as)) || fatalOf(await endOf(place.log)) !== null) return;
  throw new AdapterError('failed', `the recovered server did not start${wordsOf(start)}`);
}

/** Before anybody is sent there: it stopped at the first commit behind the target, and holds none that is later. */
function prove(target: string, { lastCommit }: Reached, log: string): void {
  if (lastCommit !== null && microseconds(lastCommit) > microseconds(target)) {
    throw new AdapterError('failed', `the recovered server holds commits up to ${lastCommit}, which is later than ${target}`);
  }
  if (!/recovery stopping (?:before|after) (?:commit|abort)/.test(log))
    throw new AdapterError('failed', 'the log of the recovered server does not say that it has reached the target');
}

async function standing(call: Call, place: Cluster, as: RunAs, mark: Mark): Promise<Receipt> {
  // A machine that was restarted meanwhile: the data is what it was.
  if (!(await isRunning(call, place, as))) {
    // What it said when it ended is not what it says now.
    await rename(place.log, `${place.log}.old`);
    await launch(call, place, as);
  }
  return receiptOf(place, mark.target, await promoted(call, place, as), true);
}

async function isRunning(call: Call, { data, port, start }: Cluster, as: RunAs): Promise<boolean> {
  if (start !== undefined) return answers(port);
  const { ended } = await runTool(call, { program: 'pg_ctl', args: ['status', '-D', data], prefix: as.prefix, doing: () => 'asking for the recovered server' });
  return ended.code === 0;
}

/** In words, what became of what was begun. A folder on which a server may still run is left. */
async function cleared(call: Call, place: Cluster, as: RunAs, mark: Mark): Promise<string> {
  const there = await readMark(place.home).catch(() => null);
  if (there === null || there === 'foreign' || there.attempt !== mark.attempt) return 'nothing was begun';
  try {
    if (place.start === undefined && (await isRunning(call, place, as))) {
      const args = ['stop', '-D', place.data, '-m', 'immediate', '-s'];
      await runTool(call, { program: 'pg_ctl', args, prefix: as.prefix, doing: () => 'stopping the recovered server' });
    }
    const hasPid = (await lstat(join(place.data, 'postmaster.pid')).catch(() => null)) !== null;
    if (hasPid && (await answers(place.port))) return `the half-made server in ${place.home} still runs, and was left`;
    await removeHome(place.home);
    return `what was begun in ${place.home} was removed`;
  } catch (error) {
    return `what was begun in ${place.home} is still there (${error instanceof Error ? error.message : 'no reason'})`;
  }
}

function receiptOf({ home, port }: Place, target: string, { lastCommit }: Reached, already: boolean): Receipt {
  const asOf = new Date(target).toISOString();
  const detail = `the server in ${home} on port ${port} holds what was committed up to ${asOf} (last commit ${lastCommit ?? 'in the base backup'}); it archives no WAL yet`;
  return { after: { folder: home, port, from: target, asOf, lastCommit, already }, detail };
}
