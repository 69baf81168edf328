/** Telling the incident channel [002 section 11]. Best effort: what cannot be delivered comes back as a warning. */
import { channelName } from '../model/communications.ts';
import type { LoadedConfig } from '../model/config-file.ts';
import type { RecordEntry } from '../model/record.ts';
import type { RecordPosition } from '../model/state.ts';
import { post } from './channels.ts';
import { again, lastConfig, type Attempt, type Dependencies } from './dependencies.ts';
import { appendOrKeep } from './recording.ts';
import { Undelivered, type Missing } from './webhooks.ts';

/** Why somebody is told. */
export type Notice =
  | 'opened'
  | 'stopped'
  | 'warning'
  | 'breach'
  | 'reminder'
  | 'handed-over'
  | 'escalated'
  | 'closed'
  | 'abandoned'
  | 'stuck'
  | 'degraded'
  | 'freeze-drift'
  | 'verification';

/** The JSON that goes to a file (one line each) or a webhook (POST); a chat gets text and next. `id` is stable, so that a receiver can drop a repetition. */
export interface Told {
  readonly id: string;
  readonly notice: Notice;
  readonly at: string;
  readonly text: string;
  readonly rollbackId: string;
  readonly workflowId: string;
  /** What to do next: commands, filled in. */
  readonly next: readonly string[];
}

/** After that many the warning in the state has to do. */
const LAST_ATTEMPT = 5;
/** A chat that asks for patience must not hold up the activity that tells. */
const TELL_MS = 15_000;

export interface NotifyWork {
  readonly rollbackId: string;
  readonly workflowId: string;
  readonly notice: Notice;
  readonly text: string;
  readonly at: string;
  readonly next: readonly string[];
  readonly machineMs: number;
  readonly humanMs: number;
  readonly entries: readonly RecordEntry[];
}

export async function notify(
  work: NotifyWork,
  deps: Dependencies,
  attempt: Attempt,
): Promise<{ record: RecordPosition; entry: RecordEntry | null; warnings: string[] }> {
  const { rollbackId, workflowId, notice, text, at, next } = work;
  const event = `${notice}/${at}`;
  const loaded = await lastConfig(deps);
  const untold = await tellAll(loaded, { id: `${attempt.runId}/${event}`, notice, at, text, rollbackId, workflowId, next });
  const warnings = untold.map((one) => one.warning);
  const entry: RecordEntry = { event, rollbackId, at, type: 'notice', notice, text, machineMs: work.machineMs, humanMs: work.humanMs, undelivered: warnings };
  const { record } = await appendOrKeep(deps, attempt, rollbackId, [...work.entries, entry]);
  // Somebody has to hear of it: where no channel took it, it is tried again for a while.
  if (untold.length > 0 && untold.length === loaded.config.channels.incident.length && attempt.number < LAST_ATTEMPT && mayHelp(untold))
    throw again(warnings.join('; '), null);
  return { record, entry: record.behind ? entry : null, warnings };
}

/** Tells every incident channel; answers what could not be delivered, without the secret addresses. */
export const tell = async (loaded: LoadedConfig, told: Told): Promise<string[]> => (await tellAll(loaded, told)).map((one) => one.warning);

interface Untold {
  readonly warning: string;
  readonly missing: Missing;
}

async function tellAll({ config, folder }: LoadedConfig, told: Told): Promise<Untold[]> {
  const signal = AbortSignal.timeout(TELL_MS);
  const results = await Promise.all(
    config.channels.incident.map((channel) =>
      post(folder, channel, told, signal).then(
        () => null,
        (error: unknown): Untold => ({
          warning: `${channelName(channel)} could not be told: ${error instanceof Error ? error.message : 'unknown error'}`,
          missing: error instanceof Undelivered ? error.missing : 'later',
        }),
      ),
    ),
  );
  return results.filter((one) => one !== null);
}

/** Where nobody has heard of it: not while a chat may have it already, and not where only a person can mend it. */
const mayHelp = (untold: readonly Untold[]): boolean => untold.every((one) => one.missing !== 'unclear') && untold.some((one) => one.missing === 'later');
