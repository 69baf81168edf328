/** What provisioning says of a request, in a file: checked here, so that a mistake is named by its place before anything is written. */
import { z } from 'zod';
import { ARTIFACT_TYPES, keyOf, TENANT } from '../model/tenant.ts';
import { EXIT, Problem } from './problem.ts';

/** An id that a terminal shows as it is and a database keeps as it is. */
const name = z
  .string()
  .min(1, 'is empty')
  .refine((text) => !/\p{Cc}|\p{Surrogate}/u.test(text), 'holds a control character')
  .refine((text) => text.trim() === text, 'begins or ends with a blank');

const artifact = z.strictObject({ type: z.enum(ARTIFACT_TYPES), id: name, name: z.string().optional(), platform: name.optional() });

const schema = z.strictObject({
  requestId: name,
  // Another name could be recorded, and never be deprovisioned.
  tenant: z.string().regex(TENANT, 'is a name of letters, digits, dots, hyphens and underscores, of at most 63 characters'),
  version: name.nullable().default(null),
  status: z.enum(['COMPLETED', 'FAILED'], { error: 'is COMPLETED or FAILED: what else becomes of a request is written by its rollback' }),
  artifacts: z.array(artifact).superRefine((artifacts, context) => {
    for (const [place, one] of artifacts.entries()) {
      const first = artifacts.findIndex((other) => keyOf(other) === keyOf(one));
      if (first < place) context.addIssue({ code: 'custom', path: [place], message: `is ${keyOf(one)} once more, as artifacts.${first}` });
    }
  }),
});
export type TenantFile = z.infer<typeof schema>;

export function parseTenantFile(text: string, file: string): TenantFile {
  const wrong = (lines: readonly string[], cause?: unknown): Problem =>
    new Problem(
      EXIT.usage,
      'configuration',
      lines.map((line) => `${file}: ${line}`).join('\n'),
      'mend the file; `backout tenant record --help` shows one',
      {},
      cause,
    );
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw wrong([`is no JSON: ${error instanceof Error ? error.message : String(error)}`], error);
  }
  const parsed = schema.safeParse(document);
  if (parsed.success) return parsed.data;
  throw wrong(parsed.error.issues.map((issue) => `${issue.path.length === 0 ? 'the document' : issue.path.join('.')}: ${issue.message}`));
}
