/** Appending to the record from an activity: with Postgres away the rollback goes on, and says that the record is behind. */
import type { RecordEntry } from '../model/record.ts';
import type { RecordPosition } from '../model/state.ts';
import { StoreUnavailable, type Replanned } from '../store/store.ts';
import type { Attempt, Dependencies } from './dependencies.ts';
import type { StepWork } from './step.ts';

/** An event is unique in the chain: the run, then what the workflow calls it. */
export const named = (runId: string, entries: readonly RecordEntry[]): RecordEntry[] =>
  entries.map((entry) => ({ ...entry, event: `${runId}/${entry.event}` }));

/** `behind: true` means nothing of `entries` was written, and the workflow has to carry them on. */
export async function appendOrKeep(
  deps: Dependencies,
  attempt: Attempt,
  rollbackId: string,
  entries: readonly RecordEntry[],
): Promise<{ readonly record: RecordPosition; readonly stored: readonly RecordEntry[] }> {
  try {
    if (entries.length === 0) return { record: shown(await deps.store.position(rollbackId)), stored: [] };
    const { position, stored } = await deps.store.append(rollbackId, named(attempt.runId, entries));
    await deps.checkpoint(position);
    return { record: shown(position), stored };
  } catch (error) {
    if (error instanceof StoreUnavailable) return { record: { entries: 0, head: null, behind: true }, stored: [] };
    throw error;
  }
}

/** Another plan for an open rollback, with the entry that tells of it: written once by each try of the step that has made it. */
export async function replan(
  { rollbackId, step, generation, ordinal }: Pick<StepWork, 'rollbackId' | 'step' | 'generation' | 'ordinal'>,
  { store, checkpoint }: Pick<Dependencies, 'store' | 'checkpoint'>,
  { runId }: Pick<Attempt, 'runId'>,
  { plan, planHash, planHashBefore, deploymentIds }: Replanned & { readonly planHashBefore: string },
): Promise<void> {
  const { position } = await store.replan(
    rollbackId,
    { plan, planHash, deploymentIds },
    {
      event: `${runId}/step/${step.id}/${generation}/${ordinal}/plan`,
      rollbackId,
      at: new Date().toISOString(),
      type: 'replanned',
      plan,
      planHash,
      planHashBefore,
    },
  );
  await checkpoint(position);
}

export const shown = (position: { readonly entries: number; readonly head: string }): RecordPosition => ({
  entries: position.entries,
  head: position.head,
  behind: false,
});

/** Texts from platforms and commands may hold what Postgres cannot store; and a platform must not fill the history. */
export function clean<T>(value: T): T {
  const text = (one: string): string => {
    const stored = one.replaceAll('\u0000', '\uFFFD').toWellFormed();
    return stored.length > 2_000 ? `${stored.slice(0, 2_000).toWellFormed()}…` : stored;
  };
  return JSON.parse(JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'string' ? text(inner) : inner))) as T; // Same shape, safe texts.
}
