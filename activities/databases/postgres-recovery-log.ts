/** What a recovered server shows of itself from outside: its log, and whether it answers. */
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';

const LOG_BYTES = 256 * 1024;

/** The end of a log; empty where there is none. */
export const endOf = async (path: string): Promise<string> => (await readFile(path, 'utf8').catch(() => '')).slice(-LOG_BYTES);

/** What Postgres says of a recovery that cannot be: names of files and of settings, no data. */
const SPEAKING = [
  /recovery ended before configured recovery target was reached/,
  /requested recovery stop point is before consistent recovery point/,
  /could not locate (?:required|a valid) checkpoint record/,
  /WAL ends before (?:end of online backup|consistent recovery point)/,
  /WAL file is from different database system/,
  /No space left on device/,
  /could not (?:bind|create any TCP\/IP sockets)/,
  /data directory "[^"]*" has (?:invalid permissions|wrong ownership)/,
  /could not access file "[^"]*": [A-Z][a-z ]+/,
  /database files are incompatible with server/,
  /Permission denied/,
] as const;
/** Empty, or `: ` and the words. */
export const wordsOf = (log: string): string => {
  const said = SPEAKING.flatMap((pattern) => pattern.exec(log)?.[0] ?? []);
  return said.length === 0 ? '' : `: ${said.join('; ')}`;
};

/** Null: it is alive, as far as its log says. */
export function fatalOf(whole: string): string | null {
  // Of its last start alone.
  const log = whole.slice(Math.max(0, whole.lastIndexOf('starting PostgreSQL')));
  if (!/(?:startup process .* (?:exited with|was terminated)|database system is shut down|aborting startup)/.test(log)) return null;
  return `the recovered server gave up${wordsOf(log)}`;
}

/** Whether something on this machine takes a connection there. */
export async function answers(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect({ port, host: '127.0.0.1' });
    const end = (value: boolean): void => {
      socket.destroy();
      done(value);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
    socket.setTimeout(1_000, () => end(false));
  });
}
