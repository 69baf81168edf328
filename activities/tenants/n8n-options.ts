/** What `backout.yaml` says of an n8n, and whose a workflow is by its tags. */
import { z } from 'zod';

const seconds = z.number().positive().max(3600);
const address = z
  .url()
  .refine((url) => /^https:|^http:\/\/(localhost|127\.0\.0\.1|\[::1\])([:/]|$)/.test(url), 'https, since the key goes there; http only to this machine')
  .refine((url) => !/[?#@]/.test(url), 'without user, query and fragment');
const tag = z.string().regex(/^\S(.*\S)?$/, 'a tag, without spaces around it');

export const optionsSchema = z.strictObject({
  url: address.describe('Where n8n is, without /api/v1'),
  apiKey: z
    .string()
    .regex(/^(env:[A-Za-z_]\w*|file:.+)$/, '`env:NAME` or `file:PATH`')
    .default('env:N8N_API_KEY')
    .describe('Scopes workflow:list, workflow:read, workflow:deactivate, workflow:delete; execution:list is welcome'),
  webhooks: address.optional().describe('Where the webhooks are served, where that is another address'),
  templates: z.array(z.string().min(1)).default([]).describe('Ids of workflows that are templates, beside those with the tag'),
  demos: z.array(z.string().min(1)).default([]).describe('Ids of workflows that are demo instances, beside those with the tag'),
  marks: z
    .strictObject({
      // Without anything beside it every tag would be a tenant's.
      tenant: tag.regex(/^(.+\{tenant\}.*|.*\{tenant\}.+)$/, 'a tag with {tenant} and something beside it').default('tenant:{tenant}'),
      template: tag.default('template'),
      demo: tag.default('demo'),
    })
    .prefault({})
    .describe('The tags; n8n takes 24 characters at most'),
  settleSeconds: seconds.default(30).describe('How long n8n may take to take routes away before a workflow can be deleted'),
  requestSeconds: seconds.default(20),
});
export type N8nOptions = z.infer<typeof optionsSchema>;

/** The tag of this tenant, exactly. */
export const markOf = ({ marks }: N8nOptions, tenant: string): string => marks.tenant.replace('{tenant}', () => tenant);

/** Does the tag say that something is a tenant's, whoever that is? */
function isTenantMark({ marks }: N8nOptions, name: string): boolean {
  const [before = '', after = ''] = marks.tenant.split('{tenant}');
  return name.length > before.length + after.length && name.startsWith(before) && name.endsWith(after);
}

interface Marked {
  readonly id: string;
  readonly tags: readonly { readonly name: string }[];
}

/** Null: neither a template nor a demo instance. */
export function sharedAs({ marks, templates, demos }: N8nOptions, { id, tags }: Marked): string | null {
  const has = (name: string): boolean => tags.some((one) => one.name === name);
  if (has(marks.template)) return `it is a template, by its tag ${JSON.stringify(marks.template)}`;
  if (templates.includes(id)) return 'it is a template, by its id in the options';
  if (has(marks.demo)) return `it is a demo instance, by its tag ${JSON.stringify(marks.demo)}`;
  return demos.includes(id) ? 'it is a demo instance, by its id in the options' : null;
}

export interface Ownership {
  /** Null: it is this tenant's alone. */
  readonly guarded: string | null;
  /** Nobody's by its tags: it has no tenant's and is nothing shared. */
  readonly unmarked: boolean;
}

/** Tags are compared exactly: `tenant:acme` is neither `tenant:acme-eu` nor `Tenant:Acme`, which are two more tags to n8n. */
export function ownershipOf(options: N8nOptions, tenant: string, workflow: Marked): Ownership {
  const mark = markOf(options, tenant);
  const names = workflow.tags.map(({ name }) => name);
  const others = names.filter((name) => name !== mark && isTenantMark(options, name));
  const shared = sharedAs(options, workflow);
  if (shared !== null) return { guarded: shared, unmarked: false };
  if (others.length > 0) {
    const also = names.includes(mark) ? ` as well as ${JSON.stringify(mark)}` : '';
    return { guarded: `it is another tenant's, by its tag ${others.map((name) => JSON.stringify(name)).join(', ')}${also}`, unmarked: false };
  }
  return names.includes(mark) ? { guarded: null, unmarked: false } : { guarded: `it does not carry the tag ${JSON.stringify(mark)}`, unmarked: true };
}
