import { beforeEach, describe, expect, it } from 'vitest';
import type { AdapterErrorKind } from '../../activities/adapters/adapter.ts';
import type { GithubFreezeOptions } from '../../activities/freezes/github-options.ts';
import { github as carrier } from '../../activities/freezes/github.ts';
import { rejection } from '../adapters/contract.ts';
import type { Control } from '../fakes/github-rules.ts';
import type { Ruleset } from '../fakes/github-rules-state.ts';
import type { Fault } from '../fakes/github-server.ts';
import { freezeContract, type Fault as ContractFault, type Fixture } from './contract.ts';
import { anew, callTo, CANARY, edit, editRuleset, FROZEN, github, lifting, OWNERS, rawOptions, standing, theRuleset } from './github-fixture.ts';

const WRITE = 'POST|PUT|PATCH|DELETE';

const loosened = {
  merges: () => editRuleset({ bypass_actors: [...(FROZEN.bypass_actors ?? []), { actor_type: 'RepositoryRole', actor_id: 4 }] }),
  promotions: () => edit(({ workflows }) => Object.assign(workflows, { 'promote.yml': 'active' })),
  deployments: () => edit(({ environments }) => environments['production']?.reviewers.push({ type: 'User', id: 33 })),
};
const frozenByHand = {
  merges: () => github.control({ rulesetsMore: [FROZEN] }),
  promotions: () => github.control({ workflows: { 'promote.yml': 'disabled_inactivity', 'nightly.yml': 'disabled_manually' } }),
  deployments: () =>
    edit(({ environments }) => {
      for (const environment of Object.values(environments)) environment.reviewers = [{ type: 'Team', id: 7 }];
    }),
};
const of = <T>(table: Record<'merges' | 'promotions' | 'deployments', T>, scope: string): T => table[scope as 'merges'];

async function setup(): Promise<Fixture<GithubFreezeOptions>> {
  await anew();
  return {
    carrier,
    rawOptions: rawOptions(github.url),
    scopes: ['merges', 'promotions', 'deployments'],
    call: (overrides) => callTo(overrides),
    effects: (scope) => github.effects(scope),
    snapshot: async () => ({ ...(await github.state()), token: null }),
    standing,
    loosen: (scope) => of(loosened, scope)(),
    freezeByHand: (scope) => of(frozenByHand, scope)(),
    loseAnswer: (writes) =>
      github.control({
        calm: true,
        faults:
          writes === null
            ? []
            : [
                { method: WRITE, times: writes },
                { method: WRITE, after: true, answer: 'reset' },
              ],
      }),
    stall: () => github.control({ faults: [{ delayMs: 30_000, times: 99 }] }),
    canary: CANARY,
    teardown: () => github.control({ calm: true }),
  };
}

const faulty = (name: string, control: Control, kinds: readonly AdapterErrorKind[]): ContractFault<GithubFreezeOptions> => ({
  name,
  kinds,
  prepare: async (fixture) => {
    await github.control(control);
    return fixture.call();
  },
});
const on = (path: string, answer: NonNullable<Fault['answer']>, method = 'GET'): Control => ({ faults: [{ method, path, answer }] });

freezeContract<GithubFreezeOptions>({
  name: 'github',
  setup: async () => {
    const fixture = await setup();
    return { ...fixture, call: (overrides) => ({ ...fixture.call(overrides), options: { ...fixture.call().options, requestSeconds: 15 } }) };
  },
  faults: [
    faulty('a token that is not valid', { token: 'another' }, ['unauthorized']),
    faulty('a token that may not write rulesets', { permissions: { administration: 'read', actions: 'write', variables: 'write' } }, ['unauthorized']),
    faulty('a token that may not read variables', { permissions: { administration: 'write', actions: 'write', variables: 'none' } }, ['unauthorized']),
    faulty('a free plan', { plan: 'free' }, ['unauthorized']),
    faulty('another repository, or none that the token may see', { repository: 'acme/other' }, ['not-found']),
    faulty('no such workflow', { workflows: {} }, ['not-found']),
    faulty('no such environment', { environments: {} }, ['not-found']),
    faulty('nobody of the ids', { actors: { Team: [], User: [], Integration: [], RepositoryRole: [] } }, ['conflict']),
    faulty('409', on('/rulesets$', { status: 409 }, 'POST'), ['conflict']),
    faulty('429 on a look', on('/rulesets$', { status: 429, headers: { 'retry-after': '7' } }), ['rate-limited']),
    faulty('429 on a write', on('/rulesets$', { status: 429, headers: { 'retry-after': '7' } }, 'POST'), ['rate-limited']),
    faulty('403 for too many writes', on('/rulesets$', { status: 403, headers: { 'retry-after': '60' } }, 'POST'), ['rate-limited']),
    faulty('502 on a look', on('/rulesets$', { status: 502, body: '<html>502</html>' }), ['unavailable']),
    faulty('502 instead of a write', on('/rulesets$', { status: 502 }, 'POST'), ['unavailable']),
    faulty('a reset instead of the note', on('/variables$', 'reset', 'POST'), ['unavailable']),
    faulty('HTML for a list', on('/rulesets$', 'html'), ['unexpected-response']),
    faulty('a list that is too large', on('/rulesets$', 'huge'), ['unexpected-response']),
    faulty('a list of another shape', on('/rulesets$', { status: 200, body: '{"rulesets":[]}' }), ['unexpected-response']),
  ],
});

describe('github', () => {
  beforeEach(anew);

  const detailOf = async (scope: string): Promise<string> =>
    (await carrier.inspect(callTo())).flatMap((part) => (part.scope === scope && !part.frozen ? [part.detail] : [])).join('; ');

  it('writes the ruleset as configured, and the receipt says what was there, what is, and the ids', async () => {
    const receipt = await carrier.set(callTo());
    const ruleset = await theRuleset();
    expect(ruleset).toMatchObject({ ...FROZEN, target: 'branch' });
    expect(receipt).toEqual({
      before: {
        'ruleset rollback-freeze': null,
        'workflow promote.yml': 'active',
        'workflow nightly.yml': 'active',
        'environment production': { reviewers: [{ type: 'User', id: 31 }] },
        'environment eu/west': { reviewers: [] },
      },
      after: {
        parts: [
          {
            name: 'ruleset rollback-freeze',
            scope: 'merges',
            frozen: true,
            detail: `id ${ruleset?.id}: active on main; Team 7, OrganizationAdmin may bypass it`,
          },
          { name: 'workflow promote.yml', scope: 'promotions', frozen: true, detail: expect.stringMatching(/^disabled_manually \(http/) },
          { name: 'workflow nightly.yml', scope: 'promotions', frozen: true, detail: expect.stringMatching(/^disabled_manually \(http/) },
          { name: 'environment production', scope: 'deployments', frozen: true, detail: expect.stringMatching(/^reviewers: Team 7, User 32 \(http/) },
          { name: 'environment eu/west', scope: 'deployments', frozen: true, detail: expect.stringMatching(/; administrators may pass without them \(http/) },
        ],
      },
      ids: {
        'ruleset rollback-freeze': ruleset?.id,
        'workflow promote.yml': 900,
        'workflow nightly.yml': 901,
        'environment production': 501,
        'environment eu/west': 502,
      },
    });
  });

  it('carries only what the options name', async () => {
    const bare = callTo({}, { bypass: [], promotionWorkflows: [], environments: [], rollbackOwners: [] });
    expect((await carrier.inspect(bare)).map((part) => part.name)).toEqual(['ruleset rollback-freeze']);
    await carrier.set(bare);
    expect(await github.effects()).toBe(1);
    expect((await carrier.inspect(bare))[0]?.detail).toMatch(/nobody may bypass it/);
  });

  it('keeps all of an environment but its reviewers', async () => {
    const { environments } = await github.state();
    await carrier.set(callTo());
    expect((await github.state()).environments).toEqual({
      production: { ...environments['production'], reviewers: OWNERS },
      'eu/west': { ...environments['eu/west'], reviewers: OWNERS },
    });
  });

  it('a server that does not know who may pass reviewers is not told', async () => {
    await github.control({ olderServer: true });
    const { before } = await carrier.set(callTo());
    await carrier.lift(lifting(before));
    expect((await github.state()).environments['production']).toMatchObject({ reviewers: [{ type: 'User', id: 31 }], wait_timer: 30 });
  });

  it.each<[string, Partial<Ruleset>, RegExp]>([
    ['evaluated only', { enforcement: 'evaluate' }, /its enforcement is evaluate/],
    ['disabled', { enforcement: 'disabled' }, /its enforcement is disabled/],
    ['without its rule', { rules: [{ type: 'deletion' }] }, /its rule update is missing/],
    ['open to the upstream', { rules: [{ type: 'update', parameters: { update_allows_fetch_and_merge: true } }] }, /lets changes of the upstream in/],
    ['wider', { bypass_actors: [{ actor_type: 'RepositoryRole', actor_id: 4 }] }, /RepositoryRole 4 may bypass it, which the options do not say/],
    ['with somebody exempt', { bypass_actors: [{ actor_type: 'Team', actor_id: 7, bypass_mode: 'exempt' }] }, /Team 7 is exempt from it/],
    ['for another branch', { conditions: { ref_name: { include: ['refs/heads/next'], exclude: [] } } }, /it is not active on main/],
    ['with an exception', { conditions: { ref_name: { include: ['~ALL'], exclude: ['refs/heads/main'] } } }, /it is not active on main/],
  ])('a ruleset that somebody made %s is no freeze; set mends it, and lift disables it', async (_, change, detail) => {
    const { before } = await carrier.set(callTo());
    await editRuleset(change);
    expect(await detailOf('merges')).toMatch(detail);
    await carrier.set(callTo());
    expect(await theRuleset()).toMatchObject({ enforcement: 'active', bypass_actors: FROZEN.bypass_actors, conditions: FROZEN.conditions });
    await carrier.lift(lifting(before));
    expect((await theRuleset())?.enforcement).toBe('disabled');
    expect(await github.rulesOn('main')).toEqual([]);
  });

  it('a ruleset that is narrower, or wider in its branches, freezes; what nobody says is left to a person at the lift', async () => {
    await carrier.set(callTo());
    await editRuleset({ bypass_actors: [{ actor_type: 'OrganizationAdmin', actor_id: null }], conditions: { ref_name: { include: ['~ALL'], exclude: [] } } });
    const [merges] = await carrier.inspect(callTo({ scopes: ['merges'] }));
    expect(merges).toMatchObject({ frozen: true, detail: expect.stringMatching(/OrganizationAdmin may bypass it, though the options let Team 7$/) });
    const { detail } = await carrier.lift(lifting(null));
    expect(detail).toMatch(/^ruleset rollback-freeze is left as it is, because somebody changed it since/);
    expect((await theRuleset())?.enforcement).toBe('active');
  });

  it('rules of other types in it stay, and what it was before comes back', async () => {
    const earlier: Partial<Ruleset> = {
      ...FROZEN,
      enforcement: 'evaluate',
      bypass_actors: [{ actor_type: 'Integration', actor_id: 99, bypass_mode: 'pull_request' }],
      rules: [{ type: 'deletion' }],
    };
    await github.control({ rulesetsMore: [earlier] });
    const { before } = await carrier.set(callTo());
    expect((await theRuleset())?.rules).toEqual([{ type: 'deletion' }, { type: 'update' }]);
    await carrier.lift(lifting(before));
    expect(await theRuleset()).toMatchObject(earlier);
  });

  it('freezes the branches it is told to, each of them read back', async () => {
    const call = callTo({ scopes: ['merges'] }, { branches: ['main', 'release/2'] });
    await carrier.set(call);
    expect((await theRuleset())?.conditions.ref_name.include).toEqual(['refs/heads/main', 'refs/heads/release/2']);
    expect((await carrier.inspect(call))[0]).toMatchObject({ frozen: true, detail: expect.stringMatching(/active on main, release\/2/) });
    expect((await github.requests()).join('\n')).toContain('/rules/branches/release/2');
  });

  it('finds its ruleset and its rule behind many others, and takes neither tag rulesets nor others of its kind for it', async () => {
    await github.control({
      uniqueNames: false,
      organizationRules: 230,
      rulesetsMore: [
        { name: 'rollback-freeze', target: 'tag' },
        ...Array.from({ length: 204 }, (_, index) => ({ name: `rollback-freeze-${index}`, enforcement: 'disabled' as const })),
        { ...FROZEN, enforcement: 'disabled' as const },
      ],
    });
    await carrier.set(callTo({ scopes: ['merges'] }));
    const { rulesets } = await github.state();
    expect(rulesets).toHaveLength(206);
    expect(rulesets.filter((one) => one.enforcement === 'active' && one.target === 'branch')).toHaveLength(1);
    expect((await carrier.inspect(callTo({ scopes: ['merges'] })))[0]).toMatchObject({ frozen: true });
  });

  it('a second ruleset of the name is a fault that names both; nothing is deleted', async () => {
    await github.control({
      uniqueNames: false,
      rulesetsMore: [
        { ...FROZEN, id: 12, enforcement: 'disabled' },
        { ...FROZEN, id: 11 },
      ],
    });
    const error = await rejection(carrier.set(callTo()));
    expect(error).toMatchObject({
      kind: 'failed',
      message: expect.stringMatching(/not frozen: ruleset rollback-freeze: .*there are 2 rulesets of this name \(11 active, 12 disabled\); delete all but 11/),
    });
    expect((await github.state()).rulesets).toHaveLength(2);
    expect(await github.rulesOn('main')).toHaveLength(1);
    const { detail } = await carrier.lift(lifting(null));
    expect(detail).toMatch(/there are 2 rulesets of this name/);
    expect(await github.rulesOn('main')).toHaveLength(0);
  });

  it('a token that may not see who may bypass the ruleset cannot say that it freezes', async () => {
    await github.control({ rulesetsMore: [FROZEN], permissions: { administration: 'read', actions: 'write', variables: 'write' } });
    expect(await rejection(carrier.inspect(callTo()))).toMatchObject({
      kind: 'unauthorized',
      message: expect.stringMatching(/does not show this token who may bypass it \(give the token Administration/),
    });
  });

  it('waits until GitHub shows the freeze, and fails where it never does', async () => {
    await github.control({ staleMs: 700 });
    await carrier.set(callTo({ scopes: ['merges'] }));
    await anew();
    await github.control({ staleMs: 60_000 });
    expect(await rejection(carrier.set(callTo({ scopes: ['merges'] })))).toMatchObject({
      kind: 'failed',
      message: expect.stringMatching(/not frozen: ruleset rollback-freeze: id \d+: it is not active on main/),
    });
  });

  it('enables only the workflows that set disabled', async () => {
    await github.control({ workflows: { 'promote.yml': 'active', 'nightly.yml': 'disabled_manually' } });
    const { before } = await carrier.set(callTo({ scopes: ['promotions'] }));
    expect(before).toEqual({ 'workflow promote.yml': 'active' });
    const { detail } = await carrier.lift(lifting(before, { scopes: ['promotions'] }));
    expect((await github.state()).workflows).toEqual({ 'promote.yml': 'active', 'nightly.yml': 'disabled_manually' });
    expect(detail).toBe('workflow nightly.yml is left frozen, because it was so before');
  });

  it('reviewers that somebody changed since are left, and the receipt says which', async () => {
    const { before } = await carrier.set(callTo());
    await edit(({ environments }) => Object.assign(environments['production'] ?? {}, { reviewers: [{ type: 'Team', id: 7 }] }));
    const { detail } = await carrier.lift(lifting(before));
    expect(detail).toMatch(/^environment production is left as it is, because somebody changed it since: reviewers: Team 7 \(http/);
    const { environments } = await github.state();
    expect(environments['production']?.reviewers).toEqual([{ type: 'Team', id: 7 }]);
    expect(environments['eu/west']?.reviewers).toEqual([]);
  });

  it('an empty token, and one that is no header, are configuration; neither is shown', async () => {
    expect((await rejection(carrier.set(callTo({ secret: () => Promise.resolve(' \n') })))).kind).toBe('configuration');
    const error = await rejection(carrier.set(callTo({ secret: () => Promise.resolve('canary\nsecond line') })));
    expect(error.kind).toBe('configuration');
    expect(String(error.stack)).not.toContain('canary');
  });

  it.each([
    [{ repository: '../x' }, 'repository'],
    [{ token: 'ghp_literal' }, 'token'],
    [{ apiUrl: 'http://example.com' }, 'apiUrl'],
    [{ ruleset: "x'; rm" }, 'ruleset'],
    [{ branches: [] }, 'branches'],
    [{ branches: ['release/*'] }, 'branches'],
    [{ bypass: [{ type: 'User', id: 1 }] }, 'bypass'],
    [{ bypass: [{ type: 'Team' }] }, 'bypass'],
    [{ promotionWorkflows: ['../x.yml'] }, 'promotionWorkflows'],
    [{ rollbackOwners: [] }, 'rollbackOwners'],
    [{ rollbackOwners: [1, 2, 3, 4, 5, 6, 7].map((id) => ({ type: 'User', id })) }, 'rollbackOwners'],
    [{ settleSeconds: 0 }, 'settleSeconds'],
  ])('options %j are refused at %s', (options, place) => {
    const { error } = carrier.options.safeParse({ ...rawOptions('https://api.github.com'), ...options });
    expect(error?.issues[0]?.path[0]).toBe(place);
  });
});

describe('github by hand', () => {
  const options = (more: Record<string, unknown> = {}): Record<string, unknown> => ({ apiUrl: 'https://api.github.com', ...more });

  it('names the host of an Enterprise server and quotes what would break out of the shell', () => {
    const lines = carrier.manual(callTo({}, options({ apiUrl: 'https://ghes.example/api/v3', environments: ["it's"] })), 'set').join('\n');
    expect(lines).toContain("gh api --hostname 'ghes.example'");
    expect(lines).toContain("gh workflow disable 'promote.yml' --repo 'ghes.example/acme/shop'");
    expect(lines).toContain("environments/it'\\''s'");
    expect(carrier.manual(callTo({}, options()), 'lift').join('\n')).toContain("gh workflow enable 'promote.yml' --repo 'acme/shop'");
  });

  it('never replaces a setting with what a failed reading left', () => {
    for (const action of ['set', 'lift'] as const)
      for (const line of carrier.manual(callTo(), action)) {
        const puts = line.split('--method PUT').length - 1;
        expect(line.split(`&& printf '%s' "$body" | `).length - 1, line).toBe(puts);
      }
  });
});
