/** How `backout.yaml` describes a customer's hash-chained table in Postgres. */
import { z } from 'zod';

const seconds = z.number().positive().max(86_400);
const identifier = z.string().regex(/^[A-Za-z_]\w{0,62}$/, 'a name of letters, digits and _');
const qualified = z.string().regex(/^[A-Za-z_]\w{0,62}(\.[A-Za-z_]\w{0,62})?$/, 'NAME or SCHEMA.NAME, letters, digits and _');
const instead = z.string().default('').describe('What is hashed where it is null');

const part = z.union([
  z.strictObject({
    column: identifier,
    as: z
      .enum(['text', 'iso', 'json', 'bytes'])
      .default('text')
      .describe('As Postgres prints it; a time as 2026-11-21T10:00:00.000Z; JSON in its canonical form (RFC 8785); the bytes of a bytea'),
    null: instead,
  }),
  z.strictObject({
    previous: z.literal(true),
    as: z.enum(['stored', 'bytes']).default('stored').describe('The hash of the entry before, as its column holds it, or the bytes it stands for'),
    null: instead,
  }),
  z.strictObject({ text: z.string().min(1) }),
]);

/** What a template may name, in braces. */
const PLACEHOLDERS = ['incident', 'rollbackId', 'operation', 'by', 'at', 'from', 'to', 'runs', 'entries'] as const;
export type Placeholder = (typeof PLACEHOLDERS)[number];
export const PLACEHOLDER = /\{([A-Za-z]\w*)\}/g;
export type Template = z.infer<ReturnType<typeof z.json>>;

const isKnown = (name: string): boolean => PLACEHOLDERS.some((one) => one === name);
function strangers(template: Template): string[] {
  if (typeof template === 'string') return [...template.matchAll(PLACEHOLDER)].flatMap(([, name = '']) => (isKnown(name) ? [] : [name]));
  return template !== null && typeof template === 'object' ? Object.values(template).flatMap(strangers) : [];
}

const template = z.json().superRefine((value, context) => {
  for (const name of strangers(value)) context.addIssue({ code: 'custom', message: `{${name}} is none of ${PLACEHOLDERS.join(', ')}` });
});

const append = z.union([
  z.strictObject({
    columns: z
      .record(identifier, template)
      .describe(
        `Texts, or JSON with texts in it; in them {${PLACEHOLDERS.join('} {')}}; {runs} is {count, ids, more} or null, {entries} is {count, first, last}`,
      ),
    linkedBy: z.enum(['backout', 'trigger']).default('backout').describe("Who fills in `previous` and `hash`: Backout, or a trigger of the table's own"),
  }),
  z.strictObject({
    function: qualified.describe("The house's own function that takes one jsonb and appends it, links it, and locks as its writers do"),
  }),
]);

export const chainOptions = z
  .strictObject({
    url: z
      .string()
      .regex(/^(env|file):.+/, '`env:NAME` or `file:PATH`')
      .describe('The address; its role needs SELECT, INSERT, and MAINTAIN for the lock'),
    table: qualified,
    order: identifier.describe('The column by which entries are ordered, strictly growing'),
    contiguous: z.boolean().default(false).describe('Whole numbers without a gap'),
    hash: identifier,
    previous: identifier.describe('The column with the hash of the entry before'),
    algorithm: z.enum(['sha256', 'sha512']).default('sha256'),
    encoding: z.enum(['hex', 'base64', 'bytea']).default('hex').describe('Of both columns'),
    prefix: z.string().default('').describe('What stands before a hash in both columns, e.g. `sha256:`'),
    genesis: z.string().nullable().default(null).describe('What `previous` of the first entry holds; null: nothing'),
    over: z.array(part).min(1).describe('What is hashed, joined in this order, in UTF-8'),
    timezone: z.string().default('UTC').describe('In which times were printed when they were hashed'),
    at: identifier.describe('The time of an entry, a timestamp'),
    runs: z.strictObject({ table: qualified, id: identifier, at: identifier }).optional().describe('Where affected runs are named'),
    operation: z
      .strictObject({ column: identifier, path: z.array(z.string()).min(1).optional() })
      .describe('Where an annotation says {operation}, by which it is found again: a column, or a path in the JSON of a column'),
    append,
    lock: z.int().optional().describe("The advisory lock of the house's own writers, taken before the table is locked"),
    holdTimeoutSeconds: seconds.max(60).default(10).describe('How long a statement of an annotation may take while others wait for it'),
    lockTimeoutSeconds: seconds.max(60).default(3),
    statementTimeoutSeconds: seconds.default(300),
  })
  .superRefine((options, context) => {
    if (!('columns' in options.append)) return;
    const { columns } = options.append;
    for (const own of [options.order, options.hash, options.previous])
      if (own in columns) context.addIssue({ code: 'custom', path: ['append', 'columns', own], message: 'is filled in when it is appended' });
    const { column, path = [] } = options.operation;
    const said = path.reduce<unknown>((value, key) => (Object(value) as Record<string, unknown>)[key], columns[column]);
    if (said !== '{operation}')
      context.addIssue({
        code: 'custom',
        path: ['append', 'columns', column, ...path],
        message: 'must be {operation}, by which the annotation is found again',
      });
  });
export type ChainOptions = z.infer<typeof chainOptions>;
