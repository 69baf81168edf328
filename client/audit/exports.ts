/** Exported histories: are they the very texts that the record announces, and the same as what Temporal still has? */
import { historyToJSON, type History } from '@temporalio/common/lib/proto-utils.js';
import { sha256 } from '../../store/digest.ts';
import type { ExportedHistory } from '../../store/store.ts';
import { NoHistory, parseHistory } from './history.ts';
import { differences, inWords, isFields } from './payloads.ts';
import type { RecordedEntry } from './reconcile.ts';
import type { Findings } from './result.ts';

/** `whole`: its text is the one that the record announces. */
export interface ReadExport {
  readonly workflowId: string;
  readonly raw: History;
  readonly whole: boolean;
}

const CHANGED = 'The exported history was changed after it was saved. Do not rely on it; if Temporal still has the run, that one is the original.';

/** Answers the histories that can be read, by run. */
export function readExports(rows: readonly ExportedHistory[], entries: readonly RecordedEntry[], findings: Findings): Map<string, ReadExport> {
  const announced = new Map(
    entries.flatMap(({ seq, entry }) =>
      entry.type === 'history' && typeof entry['runId'] === 'string' ? [[entry['runId'], { seq, sha256: entry['sha256'] }]] : [],
    ),
  );
  const histories = new Map<string, ReadExport>();
  for (const row of rows) {
    const where = `the exported history of run ${row.runId}`;
    const entry = announced.get(row.runId);
    announced.delete(row.runId);
    const hash = sha256(row.json);
    if (!entry)
      findings.fault('export', where, 'the record does not announce it', 'It was put there by another hand, or its entry was taken out of the record.');
    else if (entry.sha256 !== hash)
      findings.fault('export', where, `its text has the hash ${hash}; entry ${entry.seq} of the record says ${String(entry.sha256)}`, CHANGED);
    else if (row.sha256 !== hash)
      findings.fault(
        'export',
        where,
        `its text does not have the hash beside it, ${row.sha256}`,
        'The hash column was changed; the record still vouches for the text.',
      );
    try {
      histories.set(row.runId, { workflowId: row.workflowId, raw: parseHistory(row.json), whole: entry?.sha256 === hash });
    } catch (error) {
      if (!(error instanceof NoHistory)) throw error;
      findings.fault('export', where, error.message, CHANGED);
    }
  }
  for (const [runId, { seq }] of announced)
    findings.fault(
      'export',
      `entry ${seq} of the record`,
      `the exported history of run ${runId}, which it announces, is gone`,
      'Somebody deleted it from ops.histories. A backup has it; Temporal may, too.',
    );
  return histories;
}

/** Compares two copies of one run's history, event by event; `left` may end earlier where it was taken while the run was open. */
export function compareCopies(
  runId: string,
  left: History,
  right: History,
  names: { readonly left: string; readonly right: string; readonly isOpen: boolean },
  findings: Findings,
): void {
  const [a, b] = [eventsOf(left), eventsOf(right)];
  const index = Array.from({ length: Math.max(a.length, b.length) }, (_, at) => at).find((at) => differences(a[at], b[at]).length > 0);
  if (index === undefined || (index === a.length && names.isOpen)) return;
  const where = `run ${runId}, event ${index + 1}`;
  const meaning =
    'One of the two copies was changed. The one whose hash the record announces is the one that was saved; audit each of them as a file to see which one replays.';
  if (a[index] === undefined || b[index] === undefined)
    findings.fault(
      'export',
      where,
      `${a[index] === undefined ? names.left : names.right} ends here, and ${a[index] === undefined ? names.right : names.left} goes on`,
      meaning,
    );
  else findings.fault('export', where, `the copies differ: ${inWords(differences(a[index], b[index]), `${names.left} has`, `${names.right} has`)}`, meaning);
}

/** Through the same code both times, so that only what was said can differ. */
function eventsOf(history: History): readonly unknown[] {
  const json: unknown = JSON.parse(historyToJSON(history));
  const events = isFields(json) ? json['events'] : [];
  return Array.isArray(events) ? events : [];
}
