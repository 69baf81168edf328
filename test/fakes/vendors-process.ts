/** Starts the fakes of the vendors on which Backout only looks, and tells what they were asked. */
import { startFake, type FakeProcess } from './github-process.ts';
import type * as google from './google.ts';
import type * as hubspot from './hubspot.ts';
import type * as vapi from './vapi.ts';

export interface FakeVendor<Control, Entry> extends Omit<FakeProcess<Control, Entry>, 'read' | 'state'> {
  readonly state: () => Promise<Readonly<Record<string, unknown>>>;
  /** Changes that took effect, by the fake's own ledger. */
  readonly effects: () => Promise<number>;
  /** How often each method was used, whatever came of it. */
  readonly methods: () => Promise<Record<string, number>>;
}

async function startVendor<Control, Entry>(file: string, settings: Control): Promise<FakeVendor<Control, Entry>> {
  const fake = await startFake<Control, Entry>(file, settings);
  return {
    ...fake,
    state: () => fake.read('/_state'),
    effects: async () => (await fake.ledger()).length,
    methods: async () => {
      const counted: Record<string, number> = {};
      for (const request of await fake.requests()) {
        const [method = ''] = request.split(' ');
        counted[method] = (counted[method] ?? 0) + 1;
      }
      return counted;
    },
  };
}

export type FakeVapi = FakeVendor<vapi.Control, vapi.LedgerEntry>;
export const startFakeVapi = (settings: vapi.Control = {}): Promise<FakeVapi> => startVendor('./vapi.ts', settings);

export type FakeHubspot = FakeVendor<hubspot.Control, hubspot.LedgerEntry>;
export const startFakeHubspot = (settings: hubspot.Control = {}): Promise<FakeHubspot> => startVendor('./hubspot.ts', settings);

export type FakeGoogle = FakeVendor<google.Control, google.LedgerEntry>;
export const startFakeGoogle = (settings: google.Control = {}): Promise<FakeGoogle> => startVendor('./google.ts', settings);
