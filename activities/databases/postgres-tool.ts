/** Postgres's own programs (pg_restore, psql, pg_ctl) as children: what they need comes in their environment, and what they say is weighed before it is told. */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Writable } from 'node:stream';
import { AdapterError } from '../adapters/adapter.ts';
import { runCommand, type Ended } from '../command.ts';
import { stopped, type Call } from './postgres-session.ts';

/** A restore has no time of its own: the step that waits for it has. */
const DAY_SECONDS = 86_400;
const HEARTBEAT_MS = 500;
const LINE_MAX = 2_000;
const LINES_KEPT = 200;

export interface Tool {
  readonly program: 'pg_restore' | 'psql' | 'pg_waldump' | 'pg_ctl';
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Words before the program: another user. */
  readonly prefix?: readonly string[];
  /** Each line of both outputs, shortened. */
  readonly heard?: (line: string) => void;
  /** What the heartbeat says. */
  readonly doing: () => string;
  /** It may leave something running, and its output is not read. */
  readonly leaves?: boolean;
}

/** Ended with us: when aborted its whole group, and by the kernel when we are killed, so that nobody writes on into what the next attempt begins anew. */
export async function runTool(call: Call, tool: Tool): Promise<{ readonly ended: Ended; readonly lines: readonly string[] }> {
  const lines: string[] = [];
  const nowhere = tool.leaves ? openSync('/dev/null', 'w') : null;
  const output = lineByLine((line) => {
    tool.heard?.(line);
    if (lines.push(line) > LINES_KEPT) lines.shift();
  });
  const beat = setInterval(() => {
    call.heartbeat(tool.doing());
  }, HEARTBEAT_MS);
  const { TZ } = process.env;
  const program = call.options.bin === undefined ? tool.program : join(resolve(call.folder, call.options.bin), tool.program);
  const command = [...(tool.prefix ?? []), ...(tool.leaves ? [] : diesWithUs()), program, ...tool.args];
  try {
    const env = { LC_ALL: 'C', ...(TZ === undefined ? {} : { TZ }), ...tool.env };
    const ended = await runCommand({ command, cwd: call.folder, seconds: DAY_SECONDS, env, output: nowhere ?? output }, call.signal);
    output.end();
    // As the words before a program say that there is none.
    if (ended.by === 'start' || ended.code === 127 || ended.code === 126) {
      const why = ended.by === 'start' ? ended.exit : 'it cannot be started';
      throw new AdapterError('configuration', `${tool.program}: ${why} (\`bin\` says where Postgres's programs are)`);
    }
    return { ended, lines };
  } catch (error) {
    if (call.signal.aborted) throw stopped();
    throw error;
  } finally {
    clearInterval(beat);
    if (nowhere !== null) closeSync(nowhere);
  }
}

let dying: readonly string[] | undefined;
/** Words before a program so that the kernel ends it when we are gone, even by SIGKILL; none where the system has no such tool. */
function diesWithUs(): readonly string[] {
  const words = ['setpriv', '--pdeathsig', 'KILL', '--'];
  dying ??= spawnSync(words[0] ?? '', [...words.slice(1), 'true'], { timeout: 5_000 }).status === 0 ? words : [];
  return dying;
}

function lineByLine(heard: (line: string) => void): Writable {
  let rest = '';
  return new Writable({
    decodeStrings: true,
    write: (chunk: Buffer, _encoding, done) => {
      const lines = `${rest}${chunk.toString('utf8')}`.split('\n');
      rest = (lines.pop() ?? '').slice(0, LINE_MAX);
      for (const line of lines) heard(line.slice(0, LINE_MAX));
      done();
    },
    final: (done) => {
      if (rest !== '') heard(rest);
      done();
    },
  });
}

const PARAMETERS = { sslmode: 'PGSSLMODE', sslrootcert: 'PGSSLROOTCERT', sslcert: 'PGSSLCERT', sslkey: 'PGSSLKEY', host: 'PGHOST' } as const;

/** An address as Postgres's programs read it; nothing of it is ever an argument, which everybody on the machine could read. */
export function environmentOf(address: string, application: string): Record<string, string> {
  const url = new URL(address);
  const parameters = Object.entries(PARAMETERS).flatMap(([name, variable]) => {
    const value = url.searchParams.get(name);
    // Of node-postgres alone.
    return value === null ? [] : [[variable, value === 'no-verify' ? 'require' : value] as const];
  });
  return {
    PGHOST: decodeURIComponent(url.hostname).replaceAll(/^\[|\]$/g, ''),
    PGPORT: url.port === '' ? '5432' : url.port,
    PGUSER: decodeURIComponent(url.username),
    ...(url.password === '' ? {} : { PGPASSWORD: decodeURIComponent(url.password) }),
    PGDATABASE: databaseOf(address),
    PGCONNECT_TIMEOUT: '10',
    PGAPPNAME: application,
    ...Object.fromEntries(parameters),
  };
}

export function databaseOf(address: string): string {
  const url = new URL(address);
  return decodeURIComponent(url.pathname.slice(1)) || decodeURIComponent(url.username);
}

export function withDatabaseName(address: string, name: string): string {
  const url = new URL(address);
  url.pathname = `/${encodeURIComponent(name)}`;
  return url.href;
}

/** What Postgres says where neither a value nor a row can be in it. All else stays in the server's log. */
const SPEAKING = [
  /No space left on device/,
  /out of memory/,
  /(?:role|database|schema|extension|type|function|collation|tablespace) "[^"]{1,63}" (?:does not exist|already exists|is not available)/,
  /permission denied (?:for|to) [a-z ]{1,40}(?:"?\w{1,63}"?)?/,
  /must be (?:owner of|superuser|able to) ?[\w ]{0,80}/,
  /unrecognized configuration parameter "[\w.]{1,63}"/,
  /(?:unsupported version \([\d.]+\) in file header|did not find magic string in file header|could not read from input file: end of file|input file is too short.*)/,
  /(?:server closed the connection unexpectedly|terminating connection due to \w+ ?\w*|Connection refused|could not translate host name|timeout expired)/,
  /password authentication failed/,
] as const;

/** Why a program failed, in one sentence; `entry` names the part of the dump that it was at, which holds names only. */
export function wordsOf(lines: readonly string[], { exit }: Ended): string {
  const why = lines.flatMap((line) => SPEAKING.flatMap((pattern) => pattern.exec(line)?.[0] ?? []));
  const entry = lines.flatMap((line) => /from TOC entry \d+; \d+ \d+ (.{1,200})$/.exec(line)?.[1] ?? []);
  const state = lines.flatMap((line) => {
    const found = /:(\d+): (?:ERROR|FATAL|PANIC):\s+([0-9A-Z]{5})$/.exec(line);
    return found === null ? [] : [`Postgres says ${found[2]} in line ${found[1]}`];
  });
  const said = [...new Set([...state.slice(0, 1), ...why])].slice(0, 3).join('; ');
  return `${said === '' ? `it ended with ${exit}; its words could hold data, and stay in the server's log` : said}${entry[0] === undefined ? '' : ` (at ${entry[0]})`}`;
}

export const isDiskFull = (lines: readonly string[]): boolean => lines.some((line) => /No space left on device|(?:ERROR|FATAL|PANIC):\s+53100$/.test(line));
