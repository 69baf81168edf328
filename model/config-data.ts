/** The part of `backout.yaml` that levels 2 and 3 go back with: databases, evidence, credentials [001 steps 3c to 3e]. */
import { z } from 'zod';

const seconds = z.number().positive().max(86_400);
const name = z.string().regex(/^[a-z0-9-]+$/, 'lower-case letters, digits and hyphens');
const options = z.record(z.string(), z.unknown()).default({});

/** Where what runs reads a secret: an environment file's key, a platform's variable. */
const holder = z.strictObject({ holder: z.string().default('env-file').describe('Who holds it, e.g. env-file'), options });

const command = z.array(z.string()).min(1).describe('Program and arguments, run in the folder of backout.yaml; exit 0 passes');

export const databases = z.record(
  name,
  z.strictObject({
    database: z.string().default('postgres').describe('The kind of database'),
    options: options.describe('Belong to the kind and are checked by it'),
    rebuild: z
      .array(z.strictObject({ name, command, timeoutSeconds: seconds.optional() }))
      .default([])
      .describe('Derived tables and read models, rebuilt after the data is back, in this order'),
    checks: z
      .array(
        z.strictObject({
          name,
          covers: z.enum(['tenants', 'idempotency', 'other']).default('other').describe('Tenant boundaries, idempotency invariants, or something else'),
          sql: z.string().min(1).describe('A query: every row it returns is a violation'),
        }),
      )
      .default([])
      .describe('The house\u2019s own checks, run before and after'),
    reference: z.array(holder).default([]).describe('Where the address of this database is read: switched over when it is recovered into a new one'),
  }),
);

export const evidence = z.record(
  name,
  z.strictObject({
    chain: z.string().default('postgres').describe('The kind of evidence table'),
    options: options.describe('Belong to the kind and are checked by it'),
  }),
);

export const MANUAL = 'manual';

export const credentials = z.record(
  name,
  z.strictObject({
    authority: z.string().describe('Who issues and revokes it, e.g. key-files; `manual` where only a person can'),
    options: options.describe('Belong to the authority and are checked by it'),
    scopes: z.array(z.string()).default([]).describe('All that it needs to be allowed'),
    tenants: z.array(z.string()).min(1).optional().describe('The tenants it is good for; without it, all'),
    held: z.array(holder).default([]).describe('Where what runs reads it'),
    prove: z.strictObject({ command, timeoutSeconds: seconds.optional() }).optional().describe('Proves that what runs works with what it holds now'),
    quietSeconds: z
      .number()
      .positive()
      .max(300)
      .optional()
      .describe('How long nobody may have used an old one before it is revoked, where it was in use; 10 without it'),
  }),
);

/** What a person needs to rotate by hand what no authority can be asked for. */
export const manualOptions = z.strictObject({
  console: z.string().describe('Where: a link, or the name of the console'),
  record: z
    .strictObject({ command, timeoutSeconds: seconds.optional() })
    .optional()
    .describe('Prints, in one line without secrets, what is set there now, such as redirect URIs and scopes; recorded at verification'),
});
