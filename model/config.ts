/** The shape of `backout.yaml` [product.md 8]. Adapter options are checked by the adapter itself. */
import { z } from 'zod';
import { credentials, databases, evidence } from './config-data.ts';
import { FREEZE_DEFAULTS } from './freeze.ts';
import { GATE_COVERS } from './incident.ts';
import { COMPONENT_TYPES } from './plan.ts';

const seconds = z.number().positive().max(86_400);
const name = z.string().regex(/^[a-z0-9-]+$/, 'lower-case letters, digits and hyphens');
/** A literal or a reference to a secret, resolved on the worker only. */
const reference = z.string().regex(/^(env|file):.+/, '`env:NAME` or `file:PATH`');

const probe = z.strictObject({
  url: z.url({ protocol: /^https?$/ }).describe('Answers 2xx when healthy'),
  timeoutSeconds: seconds.optional(),
});
const smoke = z.strictObject({
  command: z.array(z.string()).min(1).describe('Program and arguments, run in the folder of backout.yaml; exit 0 passes'),
  timeoutSeconds: seconds.optional(),
});
const served = z.strictObject({
  url: z.url({ protocol: /^https?$/ }).describe('Says which version is really served'),
  json: z.string().optional().describe('Field of the JSON answer, dots for depth; without it the whole trimmed body is the version'),
  header: z.string().optional().describe('Response header that holds the version, instead of the body'),
  timeoutSeconds: seconds.optional(),
});

/** A fact about what runs, read from a command's first line or a URL. */
const fact = z.union([
  z.strictObject({ command: z.array(z.string()).min(1), timeoutSeconds: seconds.optional() }),
  z.strictObject({ url: z.url({ protocol: /^https?$/ }), json: z.string().optional(), timeoutSeconds: seconds.optional() }),
]);

const component = z.strictObject({
  type: z.enum(COMPONENT_TYPES),
  adapter: z.string().default('releases').describe('The platform'),
  options: z.record(z.string(), z.unknown()).default({}).describe('Belong to the adapter and are checked by it'),
  executor: z.string().optional().describe('Demands this adapter as the CI/CD executor [002 section 6]'),
  targetSeconds: seconds.max(300).optional().describe('Time target; tightens the 300 s of [002 section 7]'),
  settleSeconds: seconds.optional().describe('How long health and served version may take to settle; default 15'),
  served: served.optional(),
  health: z.array(probe).default([]),
  smoke: z.array(smoke).default([]),
  // Without defaults: a component that says nothing of them keeps the hash its plans are bound to.
  after: z.array(name).min(1).optional().describe('In an incident rollback: components that go back before this one; without it, at the same time as others'),
  config: z
    .array(z.strictObject({ source: z.string().describe('Who keeps it, e.g. env-file'), options: z.record(z.string(), z.unknown()).default({}) }))
    .min(1)
    .optional()
    .describe('Configuration that is set back to what was recorded with the target [001 step 3b]'),
  openapi: z
    .strictObject({
      url: z.url({ protocol: /^https?$/ }).describe('Where the running component serves its document'),
      document: z.string().optional().describe("The target's own document, a file with {version} in its path; without it, the one recorded at verification"),
      critical: z.array(z.string()).min(1).describe('Operations such as GET /products'),
      timeoutSeconds: seconds.optional(),
    })
    .optional()
    .describe('Parity of critical endpoints [001 step 3a]'),
  facts: z
    .strictObject({ migrations: fact.optional(), cutover: fact.optional() })
    .optional()
    .describe('What else belongs to a version [001 step 2]: recorded at verification, compared in the plan'),
});

const gate = z.strictObject({
  command: z.array(z.string()).min(1).describe('Program and arguments; exit 0 passes, 75 is inconclusive'),
  cwd: z.string().optional().describe('Where it runs, from the folder of backout.yaml'),
  timeoutSeconds: seconds.optional(),
  inconclusiveExitCodes: z.array(z.int().min(1).max(255)).optional().describe('Exit codes that say it cannot tell, beside 75'),
  covers: z.enum(GATE_COVERS).default('ci').describe('Which check of [001 step 4] it is'),
});

const freeze = z.strictObject({
  also: z.array(name).default([]).describe('Further environments that are frozen with this one'),
  owners: z.array(z.string()).default(FREEZE_DEFAULTS.owners).describe('Rollback owners: the roles that may still deploy'),
  items: z.array(z.string()).default(FREEZE_DEFAULTS.items).describe('The kinds of work item that may still be claimed'),
  carriers: z
    .record(name, z.strictObject({ carrier: z.string().describe('The platform, e.g. github'), options: z.record(z.string(), z.unknown()).default({}) }))
    .default({})
    .describe('Platforms that hold the freeze too'),
});

/** What the tenants of this environment are provisioned by, and where their artifacts lie [000]. */
const tenants = z.strictObject({
  provisioning: z
    .strictObject({ store: z.string().default('postgres'), options: z.record(z.string(), z.unknown()).default({}) })
    .default({ store: 'postgres', options: {} })
    .describe('Who keeps provisioning requests, Canonical Objects and the error_log'),
  platforms: z
    .record(
      name,
      z.strictObject({ platform: z.string().describe('e.g. n8n, hubspot, google-calendar, vapi'), options: z.record(z.string(), z.unknown()).default({}) }),
    )
    .default({})
    .describe('Where the artifacts of tenants lie'),
});

const environment = z.strictObject({
  components: z.record(name, component).default({}),
  databases: databases.optional().describe('What level 2 goes back with [001 step 3c]'),
  evidence: evidence.optional().describe('Append-only evidence, preserved and annotated at level 3 [001 step 3d]'),
  credentials: credentials.optional().describe('What the Security Lead may have rotated at level 3 [001 step 3e]'),
  tenants: tenants.optional().describe('What a deprovisioning takes back [000]'),
  gates: z.record(name, gate).optional().describe('Commands that have to pass after an incident rollback [001 step 4]'),
  freeze: freeze.optional().describe('What an incident rollback freezes beside its own environment, and who is let through [001 Freeze Scope]'),
  review: z
    .strictObject({
      repository: z.string().describe('A git repository, from the folder of backout.yaml'),
      branch: z.string().default('rollback/{incident}').describe('The branch the results are committed on'),
      remote: z.string().optional().describe('Where the branch is pushed to'),
    })
    .optional()
    .describe('Where verification evidence is committed, under docs/review/ [001 step 4]'),
});

/** Whoever knows the address of a chat's webhook may write there: it is a secret. */
const chat = z.union([reference, z.url({ protocol: /^https$/ })], { error: 'expected `env:NAME`, `file:PATH` or an https URL' });
const channel = z.union(
  [
    z.strictObject({ file: z.string() }),
    z.strictObject({ webhook: z.union([reference, z.url({ protocol: /^https?$/ })]) }),
    z.strictObject({ slack: chat }).describe('An incoming webhook of Slack'),
    z.strictObject({ discord: chat }).describe('A webhook of Discord'),
  ],
  { error: 'expected one of file, webhook, slack, discord, with a path, an address or a reference (`env:NAME`, `file:PATH`)' },
);
const audience = z.array(channel).default([]);

export const configSchema = z.strictObject({
  product: z.string().min(1).default('the product').describe('As stakeholders know it'),
  environments: z.record(name, environment),
  people: z
    .record(
      z.string(),
      z.strictObject({
        roles: z.array(z.string()).min(1),
        deputyFor: z.array(z.string()).optional().describe('Roles this person may take over'),
      }),
    )
    .optional()
    .describe('Without people, anyone is operator, self-declared'),
  channels: z
    .strictObject({
      incident: audience.describe('Who hears of everything that happens in a rollback'),
      stakeholders: audience.describe('Who gets the declaration, the updates and the recovery notice of an incident [001 Communication Templates]'),
      internal: audience.describe('Who gets the same in the form of [004 section 6.1]'),
      status: audience.describe('What feeds the public status page [004 section 6.2]'),
    })
    .default({ incident: [], stakeholders: [], internal: [], status: [] }),
  communications: z
    .strictObject({ updateEveryMinutes: z.number().positive().max(1_440).default(30).describe('When stakeholders are told next') })
    .default({ updateEveryMinutes: 30 }),
  confirmations: z
    .strictObject({
      remindAfterSeconds: seconds.default(300),
      handOverAfterSeconds: seconds.default(1800),
      handOverTo: z.string().default('on-call-lead').describe('The role that hears of it next'),
      fourEyes: z
        .union([z.boolean(), z.array(z.string())])
        .default(false)
        .describe('The starter may not answer: true for availability, target, unfreeze and completion, or a list of step ids'),
    })
    .default({ remindAfterSeconds: 300, handOverAfterSeconds: 1800, handOverTo: 'on-call-lead', fourEyes: false }),
  unfreeze: z
    .strictObject({ stableForSeconds: z.number().min(0).max(3_600).default(60) })
    .default({ stableForSeconds: 60 })
    .describe('How long a target has to hold before the freeze of an incident is lifted'),
  watch: z
    .strictObject({ minutes: z.number().min(0).max(1_440).default(30), everySeconds: seconds.default(15) })
    .default({ minutes: 30, everySeconds: 15 })
    .describe('How long what was put back is looked after [004 section 8.1]; 0 minutes: not at all'),
  temporal: z.strictObject({ address: z.string().optional(), namespace: z.string().optional() }).optional(),
  database: z.strictObject({ url: reference }).optional(),
});

export type Config = z.infer<typeof configSchema>;
export type ComponentConfig = z.infer<typeof component>;
export type EnvironmentConfig = z.infer<typeof environment>;
export type TenantsConfig = z.infer<typeof tenants>;
export type Fact = z.infer<typeof fact>;

/** The steps that `fourEyes: true` means. */
const FOUR_EYES = ['availability', 'target', 'unfreeze', 'completion'];

/** May the starter not answer this step? */
export const fourEyesOn = (config: Config, step: string): boolean => {
  const { fourEyes } = config.confirmations;
  return Array.isArray(fourEyes) ? fourEyes.includes(step) : fourEyes && FOUR_EYES.includes(step);
};
export type Channel = z.infer<typeof channel>;
