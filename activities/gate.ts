/** A configured gate such as `npm run ci:pr` [001 step 4]: run where the configuration says, time-limited, its output kept as evidence. */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, type FileHandle } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { lastBytes, runCommand, textOf, type Ended } from './command.ts';

export interface GateConfig {
  /** Program and arguments, run without a shell. */
  readonly command: readonly string[];
  /** Relative to the folder of `backout.yaml`, which it is without it. */
  readonly cwd?: string | undefined;
  readonly timeoutSeconds?: number | undefined;
  /** Exit codes that say the gate cannot tell, beside 75 (EX_TEMPFAIL). */
  readonly inconclusiveExitCodes?: readonly number[] | undefined;
}

export interface GatePlace {
  readonly folder: string;
  readonly environment: string;
  readonly version?: string | undefined;
  /** Folder for outputs; made where it is not there. */
  readonly keepIn: string;
  /** The gate's name in `backout.yaml`. */
  readonly name: string;
}

/** `failed`: it ran and says no. `inconclusive`: it cannot tell, or did not end in time. `error`: it did not run, or was killed: nothing was measured. */
export type GateVerdict = 'passed' | 'failed' | 'inconclusive' | 'error';

export interface GateOutput {
  readonly file: string;
  /** Of the file, as its hash is: what is in it can be proven later. */
  readonly bytes: number;
  readonly sha256: string;
  /** The end of it, for people: 1,500 characters at most. */
  readonly tail: string;
}

export interface GateResult {
  readonly verdict: GateVerdict;
  /** The exit code, or in words what else ended it. */
  readonly exit: string;
  readonly seconds: number;
  readonly output: GateOutput;
}

const GATE_SECONDS = 600;
const HEAD_MAX = 5 * 1024 * 1024;
const TAIL_MAX = 1024 * 1024;
const SHOWN_MAX = 1_500;
const BEAT_MS = 700;
const EX_TEMPFAIL = 75;

/** Throws only when aborted, and where the output cannot be kept at all. Each run has a file of its own: a later one overwrites no evidence. */
export async function runGate(gate: GateConfig, place: GatePlace, signal: AbortSignal, heartbeat: (progress: string) => void): Promise<GateResult> {
  const started = Date.now();
  const kept = await keepOutput(place.keepIn, place.name);
  const beat = setInterval(() => {
    heartbeat(`gate ${place.name}: ${Math.round((Date.now() - started) / 1000)} s, ${kept.total()} bytes of output`);
  }, BEAT_MS);
  try {
    const env = {
      BACKOUT_ENVIRONMENT: place.environment,
      BACKOUT_GATE: place.name,
      ...(place.version === undefined ? {} : { BACKOUT_VERSION: place.version }),
    };
    const cwd = resolve(place.folder, gate.cwd ?? '.');
    const ended = await runCommand({ command: gate.command, cwd, seconds: gate.timeoutSeconds ?? GATE_SECONDS, env, output: kept.stream }, signal);
    const { problem, output } = await kept.end();
    if (problem !== null) return { verdict: 'error', exit: `its output could not be kept: ${problem}`, seconds: ended.seconds, output };
    return { verdict: verdictOf(ended, gate), exit: ended.exit, seconds: ended.seconds, output };
  } finally {
    clearInterval(beat);
    await kept.close();
  }
}

function verdictOf({ by, code }: Ended, gate: GateConfig): GateVerdict {
  if (by === 'start' || by === 'signal') return 'error';
  if (by === 'timeout') return 'inconclusive';
  if (code === 0) return 'passed';
  return code === EX_TEMPFAIL || gate.inconclusiveExitCodes?.includes(code ?? -1) ? 'inconclusive' : 'failed';
}

interface Kept {
  readonly stream: Writable;
  readonly total: () => number;
  readonly end: () => Promise<{ problem: string | null; output: GateOutput }>;
  readonly close: () => Promise<void>;
}

/** The first 5 MB go to the file as they come, the last 1 MB when all is said. A disk that is full must not stop the command half-way: it is told afterwards. */
async function keepOutput(folder: string, name: string): Promise<Kept> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, `${name}-${new Date().toISOString().replaceAll(':', '')}-${randomUUID().slice(0, 8)}.log`);
  const file: FileHandle = await open(path, 'wx', 0o600);
  const [hash, last, shown] = [createHash('sha256'), lastBytes(TAIL_MAX), lastBytes(4 * SHOWN_MAX)];
  let [head, bytes, problem]: [number, number, string | null] = [0, 0, null];
  const attempt = async (act: () => Promise<void>): Promise<void> => {
    if (problem === null)
      await act().catch((error: unknown) => {
        problem = error instanceof Error ? error.message : String(error);
      });
  };
  const put = (chunk: Buffer): Promise<void> =>
    attempt(async () => {
      await file.writeFile(chunk);
      hash.update(chunk);
      bytes += chunk.length;
    });
  const stream = new Writable({
    write: (chunk: Buffer, _, done) => {
      const first = chunk.subarray(0, HEAD_MAX - head);
      head += first.length;
      shown.add(chunk);
      last.add(chunk.subarray(first.length));
      if (first.length === 0) done();
      else void put(first).finally(done);
    },
  });
  return {
    stream,
    total: () => shown.total(),
    end: async () => {
      stream.end();
      await finished(stream);
      const left = last.total() - last.read().length;
      if (left > 0) await put(Buffer.from(`\n[${left} bytes are left out here]\n`));
      await put(last.read());
      await attempt(() => file.sync());
      // Half a chunk may have been written: the hash is of what is there.
      if (problem !== null) await file.truncate(bytes);
      return { problem, output: { file: path, bytes, sha256: hash.digest('hex'), tail: textOf(shown.read(), SHOWN_MAX) } };
    },
    close: () => file.close(),
  };
}
