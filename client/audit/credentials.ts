/** Is what the record says became of credentials still where targets are judged by it? Who empties `ops.credential_generations` lets a revoked key through. */
import { fieldOf } from '../../model/field.ts';
import type { CredentialGeneration } from '../../store/store.ts';
import { isFields } from './payloads.ts';
import type { RecordedEntry } from './reconcile.ts';
import type { Findings } from './result.ts';

const MEANING =
  'A revoked credential is known again by this table alone: without the row a build or a configuration that carries it is no longer refused. Somebody has been at the table; find out who can write to the database, and look for that key in what was restored since.';

type Row = Pick<CredentialGeneration, 'environment' | 'credential' | 'generation' | 'state' | 'fingerprint'>;
interface Said {
  readonly where: string;
  readonly row: Row;
}

/** Answers how many rows are as the record says. */
export function reconcileCredentials(entries: readonly RecordedEntry[], rows: readonly CredentialGeneration[], findings: Findings): number {
  const environment = textOf(entries.map(({ entry }) => fieldOf(entry['plan'], 'environment')).find((one) => typeof one === 'string'));
  let found = 0;
  for (const { where, row } of entries.flatMap((one) => saidBy(one, environment))) {
    const same = rows.filter((one) => (['environment', 'credential', 'generation', 'state'] as const).every((name) => one[name] === row[name]));
    const what = `${row.generation} of ${row.credential} was ${row.state} in ${row.environment}`;
    if (same.length === 0) findings.fault('credentials', where, `${what}, and ops.credential_generations has no such row`, MEANING);
    else if (row.fingerprint !== null && !same.some((one) => one.fingerprint === row.fingerprint))
      findings.fault('credentials', where, `${what}, and ops.credential_generations has another fingerprint of it`, MEANING);
    else found += 1;
  }
  return found;
}

const STATE: Readonly<Record<string, CredentialGeneration['state']>> = { issue: 'issued', install: 'installed' };
const DONE: ReadonlySet<unknown> = new Set(['done', 'already']);

/** What a step has told before it was recorded. A revocation counts whatever became of the rest of its step. */
function saidBy({ seq, entry }: RecordedEntry, environment: string): Said[] {
  const [, operation = '', credential = ''] = /^(issue|install|revoke)\.(.+)$/.exec(textOf(entry['step'])) ?? [];
  if (credential === '' || (entry.type !== 'step' && entry.type !== 'late-attempt')) return [];
  const said = (generation: unknown, state: CredentialGeneration['state'], fingerprint: unknown): Said[] =>
    typeof generation === 'string'
      ? [
          {
            where: `entry ${seq} of the record (${entry.event})`,
            row: { environment, credential, generation, state, fingerprint: typeof fingerprint === 'string' ? fingerprint : null },
          },
        ]
      : [];
  const receipt = entry['receipt'];
  if (operation !== 'revoke') return DONE.has(entry['state']) ? said(fieldOf(fieldOf(receipt, 'ids'), 'generation'), STATE[operation] ?? 'issued', null) : [];
  const revoked = fieldOf(fieldOf(receipt, 'after'), 'revoked');
  return Array.isArray(revoked) ? revoked.filter(isFields).flatMap((one) => said(one['generation'], 'revoked', one['fingerprint'])) : [];
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');
