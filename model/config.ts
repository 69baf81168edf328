/** The shape of `backout.yaml` [product.md 8]. Adapter options are checked by the adapter itself. */
import { z } from 'zod';
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
});

const environment = z.strictObject({ components: z.record(name, component) });

const channel = z.union([z.strictObject({ file: z.string() }), z.strictObject({ webhook: z.union([reference, z.url({ protocol: /^https?$/ })]) })]);

export const configSchema = z.strictObject({
  environments: z.record(name, environment),
  people: z
    .record(z.string(), z.strictObject({ roles: z.array(z.string()).min(1) }))
    .optional()
    .describe('Without people, anyone is operator, self-declared'),
  channels: z.strictObject({ incident: z.array(channel).default([]) }).default({ incident: [] }),
  confirmations: z
    .strictObject({
      remindAfterSeconds: seconds.default(300),
      handOverAfterSeconds: seconds.default(1800),
      handOverTo: z.string().default('on-call-lead').describe('The role that hears of it next'),
      fourEyes: z.boolean().default(false).describe('The starter may not confirm availability'),
    })
    .default({ remindAfterSeconds: 300, handOverAfterSeconds: 1800, handOverTo: 'on-call-lead', fourEyes: false }),
  watch: z
    .strictObject({ minutes: z.number().min(0).max(1_440).default(30), everySeconds: seconds.default(15) })
    .default({ minutes: 30, everySeconds: 15 })
    .describe('How long what was put back is looked after [004 section 8.1]; 0 minutes: not at all'),
  temporal: z.strictObject({ address: z.string().optional(), namespace: z.string().optional() }).optional(),
  database: z.strictObject({ url: reference }).optional(),
});

export type Config = z.infer<typeof configSchema>;
export type ComponentConfig = z.infer<typeof component>;
export type Channel = z.infer<typeof channel>;
