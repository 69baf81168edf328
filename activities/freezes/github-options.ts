/** What `backout.yaml` says of a repository that is to be frozen. A scope without its option is not carried. */
import { z } from 'zod';

const seconds = z.number().positive().max(3600);
const id = z.int().positive();
/** GitHub takes no more reviewers of an environment. */
const REVIEWERS_MAX = 6;

const bypassSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.enum(['Team', 'Integration', 'RepositoryRole']), id }),
  z.strictObject({ type: z.literal('OrganizationAdmin'), id: id.optional() }),
]);
export type Bypass = z.infer<typeof bypassSchema>;

const reviewerSchema = z.strictObject({ type: z.enum(['User', 'Team']), id });
export type Reviewer = z.infer<typeof reviewerSchema>;

export const optionsSchema = z
  .strictObject({
    repository: z.string().regex(/^[\w-]+\/(?!\.{1,2}$)[\w.-]+$/, 'owner/name'),
    token: z
      .string()
      .regex(/^(env:[A-Za-z_]\w*|file:.+)$/, '`env:NAME` or `file:PATH`')
      .default('env:GITHUB_TOKEN')
      .describe('Administration, Actions and Variables: read and write'),
    apiUrl: z
      .url()
      .refine((url) => /^https:|^http:\/\/(localhost|127\.0\.0\.1|\[::1\])([:/]|$)/.test(url), 'https, since the token goes there; http only to this machine')
      .default('https://api.github.com')
      .describe('GitHub Enterprise Server: https://HOST/api/v3'),
    ruleset: z
      .string()
      .regex(/^[\w .:-]{1,100}$/, 'letters, digits, space and . : - _')
      .default('rollback-freeze')
      .describe('The ruleset that freezes merges; it belongs to Backout alone'),
    branches: z
      .array(z.string().regex(/^(?!\/)[^\s~^:?*[\]\\]+$/, 'the name of a branch, without wildcards'))
      .min(1)
      .optional()
      .describe('Without it the default branch'),
    bypass: z.array(bypassSchema).default([]).describe('Who may merge all the same; with nobody here not even the rollback itself can'),
    promotionWorkflows: z
      .array(z.string().regex(/^(?!\.{1,2}$)[\w.-]+$/, 'the file name without folders, e.g. promote.yml, or the id'))
      .default([])
      .describe('The workflows that promote from one environment to the next'),
    environments: z.array(z.string().min(1)).default([]).describe('Environments of GitHub whose deployments are for the rollback owners to approve'),
    rollbackOwners: z.array(reviewerSchema).max(REVIEWERS_MAX, `GitHub takes ${REVIEWERS_MAX} reviewers at most`).default([]),
    settleSeconds: seconds.default(10).describe('How late GitHub may show a change'),
    requestSeconds: seconds.default(10),
  })
  .refine(({ environments, rollbackOwners }) => environments.length === 0 || rollbackOwners.length > 0, {
    path: ['rollbackOwners'],
    message: 'environments are frozen by making the rollback owners their reviewers; name at least one',
  });
export type GithubFreezeOptions = z.infer<typeof optionsSchema>;
