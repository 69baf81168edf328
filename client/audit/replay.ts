/** Replays histories offline, with the code that made them where it is still there, and listens to what they do. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { AUDIT_REPLAY, AuditSinks, ToldTask } from '../../workflows/audit-sink.ts';
import type { RunHistory } from './history.ts';
import type { Findings } from './result.ts';
import { buildName, buildOf, compareValues } from './values.ts';

/** Where the bundled workflow code is, and its payload converter. */
export interface Code {
  readonly codePath: string;
  readonly payloadConverterPath: string;
}

export interface Replayed {
  /** Of the code that was used. */
  readonly build: string;
  readonly values: number;
}

const REPLAY_NAME: typeof AUDIT_REPLAY = 'backout-audit';

/** The code of earlier builds stays beside the current one; a history is replayed with its own. */
export class Builds {
  private readonly code: Code;
  private known: Promise<Map<string, string>> | null = null;

  constructor(code: Code) {
    this.code = code;
  }

  /** The bundle that made this run, else the current one. */
  async of(run: RunHistory): Promise<{ readonly codePath: string; readonly build: string; readonly own: boolean }> {
    const known = await (this.known ??= this.read());
    const wanted = buildOf(run)?.replace(/^.*\+/, '') ?? '';
    const codePath = known.get(wanted);
    if (codePath !== undefined) return { codePath, build: wanted, own: true };
    const [current] = [...known].filter(([, path]) => path === this.code.codePath);
    return { codePath: this.code.codePath, build: current?.[0] ?? '', own: false };
  }

  /** The SDK names a build by the SHA-256 of its code. */
  private async read(): Promise<Map<string, string>> {
    const folder = dirname(this.code.codePath);
    const files = (await readdir(folder)).filter((name) => name.endsWith('.js')).map((name) => join(folder, name));
    const paths = [...new Set([...files, this.code.codePath])];
    const hashes = await Promise.all(
      paths.map(
        async (path) =>
          [
            createHash('sha256')
              .update(await readFile(path))
              .digest('hex'),
            path,
          ] as const,
      ),
    );
    return new Map(hashes);
  }
}

/** Replays each run, compares its values, and reports both. Runs of one wave share a worker, which is five times cheaper. */
export async function replayAll(runs: readonly RunHistory[], code: Code, findings: Findings): Promise<Map<RunHistory, Replayed>> {
  const builds = new Builds(code);
  const replayed = new Map<RunHistory, Replayed>();
  for (const wave of await wavesOf(runs, builds)) await replayWave(wave, code.payloadConverterPath, findings, replayed);
  return replayed;
}

interface Wave {
  readonly codePath: string;
  readonly build: string;
  readonly own: boolean;
  readonly runs: RunHistory[];
}

/** Of one build, and no two that replay under the same id: the sink tells runs apart by it. */
async function wavesOf(runs: readonly RunHistory[], builds: Builds): Promise<Wave[]> {
  const waves: Wave[] = [];
  for (const run of runs) {
    // Nothing was ever carried out, so there is nothing to replay.
    if (run.lastTask === 0) continue;
    const build = await builds.of(run);
    const wave = waves.find(
      (one) => one.codePath === build.codePath && one.own === build.own && one.runs.every((other) => other.originalRunId !== run.originalRunId),
    );
    if (wave) wave.runs.push(run);
    else waves.push({ ...build, runs: [run] });
  }
  return waves;
}

/** No task of ours takes long to replay; a history that was cut in an odd place may leave the engine waiting for more. */
const PATIENCE_MS = 60_000;

async function replayWave(wave: Wave, payloadConverterPath: string, findings: Findings, replayed: Map<RunHistory, Replayed>): Promise<void> {
  const { Worker } = await worker();
  const told = new Map<string, ToldTask[]>(wave.runs.map((run) => [run.originalRunId, []]));
  const fn = (info: { readonly runId: string }, task: ToldTask): void => {
    told.get(info.runId)?.push(task);
  };
  const sinks: { [I in keyof AuditSinks]: { task: { fn: typeof fn; callDuringReplay: true } } } = { audit: { task: { fn, callDuringReplay: true } } };
  const histories = wave.runs.map((run) => ({ workflowId: run.workflowId, history: run.raw }));
  const results = Worker.runReplayHistories(
    { workflowBundle: { codePath: wave.codePath }, dataConverter: { payloadConverterPath }, replayName: REPLAY_NAME, sinks },
    histories,
  );
  for (const [index, run] of wave.runs.entries()) {
    const error = await outcome(results);
    replayed.set(run, judge(run, wave, told.get(run.originalRunId) ?? [], error ?? undefined, findings));
    if (!(error instanceof Unreplayable)) continue;
    // The worker may not survive it; the others get another one.
    const rest = wave.runs.slice(index + 1);
    if (rest.length > 0) await replayWave({ ...wave, runs: rest }, payloadConverterPath, findings, replayed);
    return;
  }
  await results.return?.();
}

/** The engine could not even begin, or did not come to an end. */
class Unreplayable extends Error {}

async function outcome(results: AsyncIterableIterator<{ readonly error?: Error }>): Promise<Error | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error('it did not come to an end'));
    }, PATIENCE_MS);
  });
  try {
    const next = await Promise.race([results.next(), late]);
    return next.done === true ? new Unreplayable('it ended too soon') : (next.value.error ?? null);
  } catch (error) {
    return new Unreplayable(error instanceof Error ? error.message : String(error));
  } finally {
    clearTimeout(timer);
  }
}

function judge(run: RunHistory, wave: Wave, tasks: readonly ToldTask[], error: Error | undefined, findings: Findings): Replayed {
  const otherCode = `It was made by ${buildName(buildOf(run))}, whose code is not here, and replayed with ${buildName(wave.build)}`;
  const before = findings.faults.length;
  if (error) {
    findings.fault(
      'replay',
      `run ${run.runId}`,
      `the history does not replay: ${firstSentence(error.message)}`,
      'Events were added, removed or re-ordered, or a value that decides the way was changed. Keep this copy, and compare it with the history in Temporal or with the export in the record.',
    );
  }
  const values = error ? 0 : compareValues(run, tasks, findings);
  if (!wave.own && findings.faults.length > before)
    findings.skip(`run ${run.runId}: ${otherCode}; what differs may come from that. Check out that version of Backout and audit again`);
  if (!error && tasks.length === 0 && run.lastTask > 0)
    findings.skip(`run ${run.runId}: its values; the code it was replayed with (${buildName(wave.build)}) does not tell what it does`);
  if (run.foreign.length > 0) findings.skip(`run ${run.runId}: the values of ${run.foreign.join(', ')} events; only their place was checked`);
  return { build: wave.build.slice(0, 12), values };
}

const firstSentence = (message: string): string => (message.split('Details: ')[1] ?? message).split('\n')[0]?.slice(0, 400) ?? '';

let quiet = false;

/** The SDK's runtime is installed once a process, and quiet: what it would log of a broken history is the audit's to say. */
async function worker() {
  const sdk = await import('@temporalio/worker');
  if (quiet) return sdk;
  quiet = true;
  try {
    sdk.Runtime.install({
      logger: new sdk.DefaultLogger('ERROR', () => undefined),
      shutdownSignals: [],
      telemetryOptions: { logging: { filter: 'OFF', forward: {} } },
    });
  } catch (error) {
    // Somebody in this process has installed one already, and that one will do.
    if (!(error instanceof Error) || !error.message.includes('already')) throw error;
  }
  return sdk;
}
