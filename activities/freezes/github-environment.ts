/**
 * Deployments: the rollback owners become the required reviewers of an environment, so that every deployment to it waits for one of
 * them. A PUT replaces the whole protection, hence all that the GET shows is sent back with it; what it does not show is not sent,
 * because older servers refuse fields they do not know.
 */
import { z } from 'zod';
import { read, understood, write, type Found, type Holder, type Session } from './github-api.ts';
import type { Reviewer } from './github-options.ts';

const environmentSchema = z.object({
  id: z.number(),
  html_url: z.string(),
  protection_rules: z
    .array(
      z.object({
        type: z.string(),
        wait_timer: z.number().optional(),
        prevent_self_review: z.boolean().optional(),
        reviewers: z.array(z.object({ type: z.enum(['User', 'Team']), reviewer: z.object({ id: z.number() }) })).optional(),
      }),
    )
    .default([]),
  deployment_branch_policy: z.object({ protected_branches: z.boolean(), custom_branch_policies: z.boolean() }).nullish(),
  can_admins_bypass: z.boolean().optional(),
});
type Environment = z.infer<typeof environmentSchema>;
const beforeSchema = z.object({ reviewers: z.array(z.object({ type: z.enum(['User', 'Team']), id: z.number() })) });

const rule = (environment: Environment, type: string): Environment['protection_rules'][number] | undefined =>
  environment.protection_rules.find((one) => one.type === type);
const reviewersOf = (environment: Environment): Reviewer[] =>
  (rule(environment, 'required_reviewers')?.reviewers ?? []).map(({ type, reviewer }) => ({ type, id: reviewer.id }));
const titled = ({ type, id }: Reviewer): string => `${type} ${id}`;
const within = (some: readonly Reviewer[], all: readonly Reviewer[]): boolean => some.every((one) => all.some((other) => titled(one) === titled(other)));
const same = (one: readonly Reviewer[], other: readonly Reviewer[]): boolean => within(one, other) && within(other, one);

/** Everything as it is but the reviewers. */
function protection(environment: Environment, reviewers: readonly Reviewer[]): Record<string, unknown> {
  const preventSelfReview = rule(environment, 'required_reviewers')?.prevent_self_review;
  return {
    wait_timer: rule(environment, 'wait_timer')?.wait_timer ?? 0,
    reviewers,
    deployment_branch_policy: environment.deployment_branch_policy ?? null,
    // Refused where there is nobody to review.
    ...(preventSelfReview === undefined || reviewers.length === 0 ? {} : { prevent_self_review: preventSelfReview }),
    ...(environment.can_admins_bypass === undefined ? {} : { can_admins_bypass: environment.can_admins_bypass }),
  };
}

export const environmentPart = (environment: string): string => `environment ${environment}`;

export function environmentHolder(environmentName: string): Holder {
  const name = environmentPart(environmentName);
  const path = `/environments/${encodeURIComponent(environmentName)}`;

  const look = async (session: Session): Promise<Found> => {
    const { rollbackOwners } = session.call.options;
    const environment = await read(session, `reading ${name}`, path, environmentSchema);
    const reviewers = reviewersOf(environment);
    const put = (wanted: readonly Reviewer[]): Promise<void> =>
      write(session, `setting the reviewers of ${name}`, 'PUT', path, protection(environment, wanted));
    const who = reviewers.length === 0 ? 'no reviewers' : `reviewers: ${reviewers.map(titled).join(', ')}`;
    return {
      part: {
        name,
        scope: 'deployments',
        frozen: reviewers.length > 0 && within(reviewers, rollbackOwners),
        detail: `${who}${environment.can_admins_bypass === true ? '; administrators may pass without them' : ''} (${environment.html_url})`,
      },
      id: environment.id,
      asSet: same(reviewers, rollbackOwners),
      fault: null,
      before: { reviewers },
      presumed: undefined,
      isBack: (before) => {
        const { data } = beforeSchema.safeParse(before);
        return data !== undefined && same(data.reviewers, reviewers);
      },
      freeze: () => put(rollbackOwners),
      thaw: (before) => put(understood(session, name, beforeSchema, before).reviewers),
    };
  };
  return { name, scope: 'deployments', look };
}
