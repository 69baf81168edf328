/** What the sweep works with, and how it tells people what it found. */
import type { Client } from '@temporalio/client';
import type { Dependencies } from '../activities/dependencies.ts';
import { tell, type Notice } from '../activities/notify.ts';
import type { LoadedConfig } from '../model/config-file.ts';
import type { Store } from '../store/store.ts';

export interface Sweep {
  readonly client: Client;
  readonly store: Store;
  readonly config: () => Promise<LoadedConfig>;
  readonly checkpoint: (position: { seq: number; head: string }) => Promise<void>;
  readonly adapters: Dependencies['adapters'];
}

/** Told once: the record's entry is the memory. */
export async function notice(
  deps: Sweep,
  what: { event: string; rollbackId: string; workflowId: string; kind: Notice; text: string; next: string[] },
): Promise<void> {
  if (await deps.store.find(what.event)) return;
  const at = new Date().toISOString();
  const undelivered = await tell(await deps.config(), {
    id: what.event,
    notice: what.kind,
    at,
    text: what.text,
    rollbackId: what.rollbackId,
    workflowId: what.workflowId,
    next: what.next,
  });
  const { position } = await deps.store.append(what.rollbackId, [
    { event: what.event, rollbackId: what.rollbackId, at, type: what.kind, text: what.text, undelivered },
  ]);
  await deps.checkpoint(position);
}
