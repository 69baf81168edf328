/** Starts the fake n8n and talks to its control. */
import { startFake, type FakeProcess } from './github-process.ts';
import type { Control, LedgerEntry } from './n8n.ts';

export interface FakeN8n extends Omit<FakeProcess<Control, LedgerEntry>, 'read'> {
  /** Changes by Backout's key that took effect. */
  readonly effects: () => Promise<LedgerEntry[]>;
}

export async function startFakeN8n(settings: Control = {}): Promise<FakeN8n> {
  const { read: _, ...fake } = await startFake<Control, LedgerEntry>('./n8n.ts', settings);
  return { ...fake, effects: async () => (await fake.ledger()).filter((entry) => entry.by === 'backout') };
}
