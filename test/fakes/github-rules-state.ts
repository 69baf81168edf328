/** What the fake GitHub of the freezes knows: one repository with its rulesets, workflows, environments and variables. Answers are typed by the vendor's published types. */
import type { components } from '@octokit/openapi-types';

type Schemas = components['schemas'];
export type RulesetAnswer = Schemas['repository-ruleset'];
export type BypassActor = Schemas['repository-ruleset-bypass-actor'];
export type BranchRule = Schemas['repository-rule-detailed'];
export type Rule = Schemas['repository-rule'];
export type Permission = 'none' | 'read' | 'write';
export interface Reviewer {
  type: 'User' | 'Team';
  id: number;
}

/** A ruleset as it is stored; `was` is what is still shown of it for `staleMs` after a change. */
export interface Ruleset {
  id: number;
  name: string;
  target: 'branch' | 'tag' | 'push';
  enforcement: Schemas['repository-rule-enforcement'];
  bypass_actors: BypassActor[];
  conditions: { ref_name: { include: string[]; exclude: string[] } };
  rules: Rule[];
  changedMs: number;
  was: Ruleset | null;
}

export interface Environment {
  id: number;
  wait_timer: number;
  prevent_self_review: boolean;
  reviewers: Reviewer[];
  deployment_branch_policy: Schemas['deployment-branch-policy-settings'];
  can_admins_bypass: boolean;
}

export interface Settings {
  token: string;
  repository: string;
  defaultBranch: string;
  /** `free`: a private repository of a free plan. */
  plan: 'paid' | 'free';
  permissions: { administration: Permission; actions: Permission; variables: Permission };
  /** Does GitHub refuse a second ruleset of one name? Nobody says. */
  uniqueNames: boolean;
  /** Does it refuse to disable what is disabled? Nobody says that either. */
  strictWorkflows: boolean;
  /** A server that does not know who may pass the reviewers. */
  olderServer: boolean;
  /** How late the rules of a branch show a change. */
  staleMs: number;
  /** Active rules of the organization on every branch. */
  organizationRules: number;
  actors: { Team: number[]; User: number[]; Integration: number[]; RepositoryRole: number[] };
  rulesets: Ruleset[];
  workflows: Record<string, string>;
  environments: Record<string, Environment>;
  variables: Record<string, string>;
}

export const settings = (): Settings => ({
  token: 'fake-token',
  repository: 'acme/shop',
  defaultBranch: 'main',
  plan: 'paid',
  permissions: { administration: 'write', actions: 'write', variables: 'write' },
  uniqueNames: true,
  strictWorkflows: true,
  olderServer: false,
  staleMs: 0,
  organizationRules: 0,
  actors: { Team: [7, 8], User: [31, 32, 33], Integration: [99], RepositoryRole: [2, 4, 5] },
  rulesets: [],
  workflows: { 'promote.yml': 'active', 'nightly.yml': 'active' },
  environments: {
    production: {
      id: 501,
      wait_timer: 30,
      prevent_self_review: true,
      reviewers: [{ type: 'User', id: 31 }],
      deployment_branch_policy: { protected_branches: false, custom_branch_policies: true },
      can_admins_bypass: false,
    },
    'eu/west': { id: 502, wait_timer: 0, prevent_self_review: false, reviewers: [], deployment_branch_policy: null, can_admins_bypass: true },
  },
  variables: {},
});

/** The part of the answer that the vendor's types leave out, though GitHub sends it. */
type EnvironmentAnswer = Schemas['environment'] & { can_admins_bypass?: boolean };
const DATES = { created_at: '2026-11-21T00:00:00Z', updated_at: '2026-11-21T00:00:00Z' };

export function environmentAnswer(name: string, environment: Environment, base: string, older: boolean): EnvironmentAnswer {
  const { id, wait_timer: waitTimer, prevent_self_review: preventSelfReview, reviewers, deployment_branch_policy: policy } = environment;
  return {
    id,
    node_id: `EN_${id}`,
    name,
    url: `${base}/environments/${encodeURIComponent(name)}`,
    html_url: `${base}/deployments/activity_log?environments_filter=${encodeURIComponent(name)}`,
    ...DATES,
    ...(older ? {} : { can_admins_bypass: environment.can_admins_bypass }),
    protection_rules: [
      ...(waitTimer > 0 ? [{ id: id * 10, node_id: `W_${id}`, type: 'wait_timer', wait_timer: waitTimer }] : []),
      ...(reviewers.length > 0
        ? [
            {
              id: id * 10 + 1,
              node_id: `R_${id}`,
              type: 'required_reviewers',
              ...(older ? {} : { prevent_self_review: preventSelfReview }),
              reviewers: reviewers.map((one) => ({ type: one.type, reviewer: reviewer(one) })),
            },
          ]
        : []),
      ...(policy === null ? [] : [{ id: id * 10 + 2, node_id: `B_${id}`, type: 'branch_policy' }]),
    ],
    deployment_branch_policy: policy,
  };
}

/** Only what tells one from another; the vendor's types ask for forty addresses more. */
const reviewer = ({ type, id }: Reviewer): Schemas['simple-user'] | Schemas['team'] =>
  (type === 'Team' ? { id, slug: `team-${id}`, name: `Team ${id}` } : { id, login: `user-${id}` }) as Schemas['simple-user'] | Schemas['team'];

/** GitHub fills the parameters in, and shows who may bypass it only to those who may write it. */
export function rulesetAnswer(ruleset: Ruleset, repository: string, full: boolean, administration: Permission): RulesetAnswer {
  const { id, name, target, enforcement, conditions } = ruleset;
  return {
    id,
    name,
    target,
    source_type: 'Repository',
    source: repository,
    enforcement,
    node_id: `RRS_${id}`,
    ...DATES,
    ...(full ? { conditions, rules: ruleset.rules.map(filled) } : {}),
    ...(full && administration === 'write' ? { bypass_actors: ruleset.bypass_actors } : {}),
  };
}

const filled = (rule: Rule): Rule => (rule.type === 'update' ? { parameters: { update_allows_fetch_and_merge: false }, ...rule } : rule);

/** As it was shown before its last change, as long as that is not to be seen. Null: it is not there yet. */
const shown = (ruleset: Ruleset, staleMs: number): Ruleset | null => (Date.now() - ruleset.changedMs < staleMs ? ruleset.was : ruleset);

function covers({ conditions: { ref_name: ref } }: Ruleset, branch: string, defaultBranch: string): boolean {
  const among = (patterns: readonly string[]): boolean =>
    patterns.some((pattern) => pattern === '~ALL' || pattern === `refs/heads/${branch}` || (pattern === '~DEFAULT_BRANCH' && branch === defaultBranch));
  return among(ref.include) && !among(ref.exclude);
}

/** What is active on the branch, the organization's rules first, so that ours may be on another page. */
export function branchRules({ rulesets, staleMs, defaultBranch, repository, organizationRules }: Settings, branch: string): BranchRule[] {
  const others = Array.from({ length: organizationRules }, (_, index): BranchRule => ({
    type: 'deletion',
    ruleset_source_type: 'Organization',
    ruleset_source: 'acme',
    ruleset_id: 10_000 + index,
  }));
  const ours = rulesets
    .map((ruleset) => shown(ruleset, staleMs))
    .filter((ruleset) => ruleset !== null)
    .filter((ruleset) => ruleset.target === 'branch' && ruleset.enforcement === 'active' && covers(ruleset, branch, defaultBranch))
    .flatMap(({ id, rules }): BranchRule[] =>
      rules.map((rule) => ({ ...filled(rule), ruleset_source_type: 'Repository', ruleset_source: repository, ruleset_id: id })),
    );
  return [...others, ...ours];
}
