/** What GitHub refuses with 422 before it changes a ruleset or an environment. */
import { refusal, type Answer } from './github-server.ts';
import type { Environment, Ruleset, Settings } from './github-rules-state.ts';

export type Checked<T> = { readonly value: T } | { readonly refused: Answer };
type Body = Readonly<Record<string, unknown>>;

const invalid = (message: string): { readonly refused: Answer } => ({ refused: refusal(422, `Invalid request.\n\n${message}`) });
const failed = (error: string): { readonly refused: Answer } => ({ refused: { status: 422, body: { message: 'Validation Failed', errors: [error] } } });
const objects = (value: unknown): Body[] | null =>
  Array.isArray(value) && value.every((one: unknown) => typeof one === 'object' && one !== null) ? value.map((one: object) => ({ ...one })) : null;
const strange = (body: Body, keys: readonly string[]): string | undefined => Object.keys(body).find((key) => !keys.includes(key));

const RULES = [
  'creation',
  'update',
  'deletion',
  'non_fast_forward',
  'required_linear_history',
  'required_signatures',
  'pull_request',
  'required_status_checks',
];
const MODES = ['always', 'pull_request', 'exempt', undefined];

function actorFault(settings: Settings, { actor_type: type, actor_id: id, bypass_mode: mode }: Body): string | null {
  if (!MODES.includes(mode as string | undefined)) return 'Bypass mode is invalid';
  if (type === 'OrganizationAdmin') return null;
  const known = settings.actors[type as 'Team'];
  if (known === undefined) return 'Actor type is invalid';
  return known.includes(id as number) ? null : `Actor ${String(type)} ${String(id)} must be part of the ruleset source or owner organization`;
}

/** A body for a ruleset; nothing is required of a change. */
export function checkedRuleset(settings: Settings, body: Body | null, create: boolean): Checked<Partial<Ruleset>> {
  if (body === null) return { refused: refusal(400, 'Problems parsing JSON') };
  const key = strange(body, ['name', 'target', 'enforcement', 'bypass_actors', 'conditions', 'rules']);
  if (key !== undefined) return invalid(`"${key}" is not a permitted key.`);
  const { name, target = 'branch', enforcement, bypass_actors: actors = [], rules = [], conditions } = body;
  if (create && (typeof name !== 'string' || name === '')) return invalid('"name" wasn\'t supplied.');
  if (create && enforcement === undefined) return invalid('"enforcement" wasn\'t supplied.');
  if (!['disabled', 'active', 'evaluate', undefined].includes(enforcement as string | undefined)) return failed('Enforcement is invalid');
  if (!['branch', 'tag', 'push'].includes(target as string)) return failed('Target is invalid');
  const wrong = objects(actors)
    ?.map((actor) => actorFault(settings, actor))
    .find((fault) => fault !== null);
  if (objects(actors) === null || wrong !== undefined) return failed(wrong ?? 'Bypass actors is invalid');
  const unknown = objects(rules)?.find(({ type }) => !RULES.includes(type as string));
  if (objects(rules) === null || unknown !== undefined) return failed(`Invalid rule '${String(unknown?.['type'])}'`);
  const { ref_name: ref } = (conditions ?? {}) as { ref_name?: { include?: unknown; exclude?: unknown } };
  if (conditions !== undefined && (!Array.isArray(ref?.include) || !Array.isArray(ref.exclude))) return failed('Conditions are invalid');
  return { value: body };
}

const NEWER = ['prevent_self_review', 'can_admins_bypass'];
const REVIEWERS_MAX = 6;

/** The whole protection of an environment: what the body leaves out is as it is in a new one. */
export function checkedEnvironment(settings: Settings, body: Body | null): Checked<Omit<Environment, 'id'>> {
  const given = body ?? {};
  const key = strange(given, ['wait_timer', 'reviewers', 'deployment_branch_policy', ...(settings.olderServer ? [] : NEWER)]);
  if (key !== undefined) return invalid(`"${key}" is not a permitted key.`);
  const all: Omit<Environment, 'id'> = {
    wait_timer: 0,
    prevent_self_review: false,
    reviewers: [],
    deployment_branch_policy: null,
    can_admins_bypass: true,
    ...given,
    ...(given['reviewers'] === null ? { reviewers: [] } : {}),
  };
  const { reviewers, deployment_branch_policy: policy, prevent_self_review: preventSelfReview, wait_timer: waitTimer } = all;
  if (!Number.isInteger(waitTimer) || waitTimer < 0 || waitTimer > 43_200) return failed('Wait timer must be between 0 and 43,200');
  if (objects(reviewers) === null || reviewers.length > REVIEWERS_MAX) return failed(`Reviewers must be at most ${REVIEWERS_MAX}`);
  const nobody = reviewers.find(({ type, id }) => !settings.actors[type].includes(id));
  if (nobody !== undefined) return failed(`Could not resolve to a ${nobody.type} with the id ${nobody.id}`);
  if (preventSelfReview && reviewers.length === 0) return failed('prevent_self_review needs a reviewer');
  if (policy !== null && policy.protected_branches === policy.custom_branch_policies)
    return failed('protected_branches and custom_branch_policies cannot have the same value');
  return { value: all };
}
