/** Starts the fake GitHub of the freezes and talks to its control. */
import { startFake, type FakeProcess } from './github-process.ts';
import type { Control, LedgerEntry } from './github-rules.ts';
import type { Settings } from './github-rules-state.ts';

export interface FakeGithubRules extends Omit<FakeProcess<Control, LedgerEntry>, 'state' | 'read'> {
  readonly state: () => Promise<Settings>;
  /** Changes of what freezes, in all or of one scope; notes are not counted. */
  readonly effects: (scope?: string) => Promise<number>;
  /** The rules that are active on a branch, as anybody may read them. */
  readonly rulesOn: (branch: string) => Promise<unknown[]>;
}

export async function startFakeGithubRules(settings: Control = {}): Promise<FakeGithubRules> {
  const { read, ...fake } = await startFake<Control, LedgerEntry>('./github-rules.ts', settings);
  const state = (): Promise<Settings> => read('/_state');
  return {
    ...fake,
    state,
    effects: async (scope) => (await fake.ledger()).filter((entry) => entry.scope !== null && (scope === undefined || entry.scope === scope)).length,
    rulesOn: async (branch) => {
      const { repository, token } = await state();
      const headers = { authorization: `Bearer ${token}`, 'user-agent': 'a person' };
      const answer: unknown = await (await fetch(`${fake.url}/repos/${repository}/rules/branches/${encodeURIComponent(branch)}`, { headers })).json();
      return Array.isArray(answer) ? answer : [];
    },
  };
}
