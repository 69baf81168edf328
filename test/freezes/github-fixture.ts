/** What the tests of the GitHub carrier share: one fake process for a file, calls to the carrier, and what somebody else does to the repository. */
import { afterAll, beforeAll } from 'vitest';
import type { FreezeCall } from '../../activities/freezes/carrier.ts';
import type { GithubFreezeOptions } from '../../activities/freezes/github-options.ts';
import { github as carrier } from '../../activities/freezes/github.ts';
import { FREEZE_SCOPES } from '../../model/freeze.ts';
import { startFakeGithubRules, type FakeGithubRules } from '../fakes/github-rules-process.ts';
import type { Ruleset, Settings } from '../fakes/github-rules-state.ts';

export type Call = FreezeCall<GithubFreezeOptions>;
export const CANARY = 'ghp_canary-7f3a/+=';
export const NOTE = 'BACKOUT_ROLLBACK_FREEZE_BEFORE';
const SETTLE_SECONDS = 1;
export const OWNERS = [
  { type: 'Team', id: 7 },
  { type: 'User', id: 32 },
] as const;

export const rawOptions = (apiUrl: string): Record<string, unknown> => ({
  repository: 'acme/shop',
  token: 'env:GITHUB_TOKEN',
  apiUrl,
  bypass: [{ type: 'Team', id: 7 }, { type: 'OrganizationAdmin' }],
  promotionWorkflows: ['promote.yml', 'nightly.yml'],
  environments: ['production', 'eu/west'],
  rollbackOwners: OWNERS,
  settleSeconds: SETTLE_SECONDS,
  requestSeconds: 1,
});
/** What `set` writes with these options. */
export const FROZEN: Partial<Ruleset> = {
  name: 'rollback-freeze',
  enforcement: 'active',
  bypass_actors: [
    { actor_type: 'Team', actor_id: 7, bypass_mode: 'always' },
    { actor_type: 'OrganizationAdmin', actor_id: 1, bypass_mode: 'always' },
  ],
  conditions: { ref_name: { include: ['~DEFAULT_BRANCH'], exclude: [] } },
  rules: [{ type: 'update' }],
};

/** One process for the file; each test begins with it anew. */
/** One process for the file; each test begins with it anew. */
export let github: FakeGithubRules;
beforeAll(async () => {
  github = await startFakeGithubRules();
});
afterAll(() => github.stop());
export const anew = (): Promise<void> => github.control({ reset: true, token: CANARY });

export const callTo = (overrides: Partial<Call> = {}, options: Record<string, unknown> = {}): Call => ({
  environment: 'production',
  name: 'github',
  incident: 'INC-42',
  options: carrier.options.parse({ ...rawOptions(github.url), ...options }),
  folder: '/srv',
  operationId: '11111111-2222-4333-8444-555555555555/freeze.github/1',
  scopes: FREEZE_SCOPES,
  before: null,
  signal: new AbortController().signal,
  heartbeat: () => {},
  secret: () => Promise.resolve(CANARY),
  ...overrides,
});

/** Somebody edits what is there, over the settings of the repository. */
export async function edit(change: (settings: Settings) => void): Promise<void> {
  const settings = await github.state();
  change(settings);
  await github.control(settings);
}
export const editRuleset = (change: Partial<Ruleset>): Promise<void> =>
  edit((settings) => {
    Object.assign(settings.rulesets.find((one) => one.name === 'rollback-freeze') ?? {}, change);
  });

export async function standing(): Promise<unknown> {
  const { workflows, environments, variables } = await github.state();
  return { rules: await github.rulesOn('main'), workflows, environments, variables };
}

export const theRuleset = async (): Promise<Ruleset | undefined> => (await github.state()).rulesets.find((one) => one.name === 'rollback-freeze');
export const lifting = (before: unknown, overrides: Partial<Call> = {}): Call => callTo({ before, ...overrides });
