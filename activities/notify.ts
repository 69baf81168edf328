/** Telling the incident channel [002 section 11]. Best effort: what cannot be delivered comes back as a warning. */
import { appendFile, mkdir } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { LoadedConfig } from '../model/config-file.ts';
import type { Channel } from '../model/config.ts';
import type { RecordEntry } from '../model/record.ts';
import type { RecordPosition } from '../model/state.ts';
import { secretOf } from './components.ts';
import { again, lastConfig, type Attempt, type Dependencies } from './dependencies.ts';
import { appendOrKeep } from './recording.ts';

/** Why somebody is told. */
export type Notice = 'opened' | 'stopped' | 'warning' | 'breach' | 'reminder' | 'handed-over' | 'closed' | 'abandoned' | 'stuck' | 'degraded';

/** The JSON that goes to a file (one line each) or a webhook (POST). `id` is stable, so that a receiver can drop a repetition. */
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
  const warnings = await tell(loaded, { id: `${attempt.runId}/${event}`, notice, at, text, rollbackId, workflowId, next });
  const entry: RecordEntry = { event, rollbackId, at, type: 'notice', notice, text, machineMs: work.machineMs, humanMs: work.humanMs, undelivered: warnings };
  const { record } = await appendOrKeep(deps, attempt, rollbackId, [...work.entries, entry]);
  // Somebody has to hear of it: where no channel took it, it is tried again for a while.
  if (warnings.length > 0 && warnings.length === loaded.config.channels.incident.length && attempt.number < LAST_ATTEMPT)
    throw again(warnings.join('; '), null);
  return { record, entry: record.behind ? entry : null, warnings };
}

/** Delivers to every incident channel; answers what could not be delivered, without the secret addresses. */
export async function tell(loaded: LoadedConfig, told: Told): Promise<string[]> {
  const results = await Promise.all(
    loaded.config.channels.incident.map((channel) =>
      deliver(loaded.folder, channel, told).then(
        () => null,
        (error: unknown) => `${'file' in channel ? channel.file : 'a webhook'} could not be told: ${error instanceof Error ? error.message : 'unknown error'}`,
      ),
    ),
  );
  return results.filter((one) => one !== null);
}

async function deliver(folder: string, channel: Channel, told: Told): Promise<void> {
  if ('file' in channel) {
    const path = resolve(folder, channel.file);
    await mkdir(dirname(path), { recursive: true });
    await appendFile(path, `${JSON.stringify(told)}\n`);
    return;
  }
  const url = /^(env|file):/.test(channel.webhook) ? await secretOf(folder)(channel.webhook) : channel.webhook;
  let response: Response;
  try {
    response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(told),
      signal: AbortSignal.timeout(5_000),
      redirect: 'error',
    });
  } catch {
    // Fetch's own message may hold the address, which is the secret.
    throw new Error('no answer');
  }
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
}
