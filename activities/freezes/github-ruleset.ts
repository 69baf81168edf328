/**
 * Merges: one ruleset whose rule `update` lets nobody update the branch but those who may bypass it. A merged pull request is an update.
 * That it holds is read where GitHub says which rules are active on a branch, never from the ruleset alone.
 */
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { listed, read, understood, write, type Found, type Holder, type Session } from './github-api.ts';
import type { Bypass, GithubFreezeOptions } from './github-options.ts';

const actorSchema = z.object({ actor_type: z.string(), actor_id: z.number().nullable().default(null), bypass_mode: z.string().default('always') });
type Actor = z.infer<typeof actorSchema>;
const conditionsSchema = z.looseObject({
  ref_name: z.object({ include: z.array(z.string()).default([]), exclude: z.array(z.string()).default([]) }).optional(),
});
const contentSchema = z.object({
  enforcement: z.string(),
  bypass_actors: z.array(actorSchema),
  conditions: conditionsSchema.nullable().default(null),
  rules: z.array(z.looseObject({ type: z.string() })),
});
type Content = z.infer<typeof contentSchema>;
/** GitHub shows who may bypass a ruleset only to those who may write it. */
const rulesetSchema = contentSchema.extend({ id: z.number(), bypass_actors: z.array(actorSchema).optional(), rules: contentSchema.shape.rules.default([]) });
type Ruleset = Content & { readonly id: number };
const listedSchema = z.object({ id: z.number(), name: z.string(), target: z.string().optional(), source_type: z.string().optional(), enforcement: z.string() });
const branchRuleSchema = z.object({ type: z.string(), ruleset_id: z.number().optional() });
const updateSchema = z.object({ parameters: z.object({ update_allows_fetch_and_merge: z.boolean().optional() }).nullish() });
/** Null: there was no ruleset. */
const beforeSchema = contentSchema.nullable();
const DEFAULT_BRANCH = '~DEFAULT_BRANCH';

const actorOf = (bypass: Bypass): Actor => ({
  actor_type: bypass.type,
  // GitHub ignores the id of the organization's administrators, and wants one.
  actor_id: bypass.type === 'OrganizationAdmin' ? 1 : bypass.id,
  bypass_mode: 'always',
});
const titled = ({ actor_type: type, actor_id: id }: Actor): string => (type === 'OrganizationAdmin' || id === null ? type : `${type} ${id}`);
const titles = (actors: readonly Actor[]): string => (actors.length === 0 ? 'nobody' : actors.map(titled).join(', '));
const without = (some: readonly Actor[], others: readonly Actor[]): Actor[] => some.filter((one) => !others.some((other) => titled(one) === titled(other)));
const contentOf = ({ enforcement, bypass_actors, conditions, rules }: Content): Content => ({ enforcement, bypass_actors, conditions, rules });

/** What `set` writes, beside rules of other types that stand there already. */
export function rulesetContent({ branches, bypass }: GithubFreezeOptions): Pick<Content, 'bypass_actors' | 'conditions'> {
  const include = branches?.map((branch) => `refs/heads/${branch}`) ?? [DEFAULT_BRANCH];
  return { bypass_actors: bypass.map(actorOf), conditions: { ref_name: { include, exclude: [] } } };
}

async function theRuleset(session: Session, id: number): Promise<Ruleset> {
  const action = `reading ruleset ${id}`;
  const { bypass_actors: actors, ...rest } = await read(session, action, `/rulesets/${id}`, rulesetSchema, { includes_parents: 'false' });
  if (actors === undefined) throw session.http.error('unauthorized', action, 'GitHub does not show this token who may bypass it');
  return { ...rest, bypass_actors: actors };
}

/** The branches on which the ruleset's rule `update` is not active. */
async function uncovered(session: Session, id: number, branches: readonly string[]): Promise<string[]> {
  const missing: string[] = [];
  for (const branch of branches) {
    let covered = false;
    for await (const rule of listed(session, `reading the rules of ${branch}`, `/rules/branches/${encodeURIComponent(branch)}`, branchRuleSchema))
      covered ||= rule.type === 'update' && rule.ruleset_id === id;
    if (!covered) missing.push(branch);
  }
  return missing;
}

/** Why this is no freeze; nothing where it is one. */
async function holes(session: Session, ruleset: Ruleset, branches: readonly string[]): Promise<string[]> {
  const { enforcement, bypass_actors: actors, rules } = ruleset;
  const update = rules.find(({ type }) => type === 'update');
  const wider = [
    ...without(actors, rulesetContent(session.call.options).bypass_actors).map((actor) => `${titled(actor)} may bypass it, which the options do not say`),
    ...actors.filter((actor) => actor.bypass_mode === 'exempt').map((actor) => `${titled(actor)} is exempt from it, which leaves no trace`),
  ];
  const found = [
    ...(enforcement === 'active' ? [] : [`its enforcement is ${enforcement}`]),
    ...(update === undefined ? ['its rule update is missing'] : []),
    ...(updateSchema.safeParse(update).data?.parameters?.update_allows_fetch_and_merge === true ? ['its rule update lets changes of the upstream in'] : []),
    ...wider,
  ];
  if (found.length > 0) return found;
  return (await uncovered(session, ruleset.id, branches)).map((branch) => `it is not active on ${branch}`);
}

function described(options: GithubFreezeOptions, ruleset: Ruleset | null, reasons: readonly string[], branches: readonly string[]): string {
  if (ruleset === null) return 'there is none of this name';
  if (reasons.length > 0) return `id ${ruleset.id}: ${reasons.join('; ')}`;
  const narrower = without(rulesetContent(options).bypass_actors, ruleset.bypass_actors);
  return (
    `id ${ruleset.id}: active on ${branches.join(', ')}; ${titles(ruleset.bypass_actors)} may bypass it` +
    (narrower.length === 0 ? '' : `, though the options let ${titles(narrower)}`)
  );
}

export function rulesetHolder(rulesetName: string): Holder {
  const name = `ruleset ${rulesetName}`;

  const look = async (session: Session): Promise<Found> => {
    const { options } = session.call;
    const branches = options.branches ?? [(await read(session, 'reading the repository', '', z.object({ default_branch: z.string() }))).default_branch];
    const namesakes: z.infer<typeof listedSchema>[] = [];
    for await (const one of listed(session, 'listing rulesets', '/rulesets', listedSchema, { includes_parents: 'false' }))
      if (one.name === rulesetName && (one.target ?? 'branch') === 'branch' && (one.source_type ?? 'Repository') === 'Repository') namesakes.push(one);
    const [first, ...others] = namesakes.sort((one, other) => one.id - other.id);
    const ruleset = first === undefined ? null : await theRuleset(session, first.id);
    const fault =
      others.length === 0
        ? null
        : `there are ${namesakes.length} rulesets of this name (${namesakes.map(({ id, enforcement }) => `${id} ${enforcement}`).join(', ')}); delete all but ${first?.id}`;
    const gaps = ruleset === null ? [] : await holes(session, ruleset, branches);
    const reasons = [...gaps, ...(fault === null ? [] : [fault])];
    const goal = rulesetContent(options);
    const [method, path] = ruleset === null ? (['POST', '/rulesets'] as const) : (['PUT', `/rulesets/${ruleset.id}`] as const);
    const save = (content: Content): Promise<void> =>
      write(session, `writing ${name}`, method, path, {
        name: rulesetName,
        target: 'branch',
        ...content,
        conditions: content.conditions ?? { ref_name: { include: [], exclude: [] } },
      });
    return {
      part: { name, scope: 'merges', frozen: ruleset !== null && reasons.length === 0, detail: described(options, ruleset, reasons, branches) },
      id: ruleset?.id ?? null,
      asSet:
        ruleset !== null &&
        gaps.length === 0 &&
        isDeepStrictEqual(ruleset.conditions, goal.conditions) &&
        without(goal.bypass_actors, ruleset.bypass_actors).length === 0 &&
        ruleset.bypass_actors.every(({ bypass_mode: mode }) => mode === 'always'),
      fault,
      before: ruleset === null ? null : contentOf(ruleset),
      // It belongs to Backout alone, so what it was before is known well enough.
      presumed: null,
      isBack: () => ruleset?.enforcement !== 'active',
      freeze: () => save({ ...goal, enforcement: 'active', rules: [...(ruleset?.rules ?? []).filter(({ type }) => type !== 'update'), { type: 'update' }] }),
      thaw: async (before) => {
        const earlier = understood(session, name, beforeSchema, before);
        if (ruleset === null) return;
        const content = earlier ?? contentOf(ruleset);
        // A freeze that was there with a hole in it is not put back either.
        await save({ ...content, enforcement: content.enforcement === 'active' ? 'disabled' : content.enforcement });
      },
    };
  };
  return { name, scope: 'merges', look };
}
