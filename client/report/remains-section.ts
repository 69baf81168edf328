/** What remains: what was left, what is still to be done, and who is awaited for what. */
import { code, list, tableOr, text, type Block, type Line } from './document.ts';
import type { Report } from './report.ts';

/** The steps have a table of their own. */
const NAMED_MAX = 8;

export function remainsBlocks(report: Report): Block[] {
  const rows = report.remains.map((one): Line[] => [one.artifact, one.reason, one.owner ?? 'nobody yet']);
  const none = report.deprovision && report.outcome === 'refused' ? 'Nothing was changed.' : 'Nothing was left behind, as far as the platforms show.';
  const toDo =
    report.toDo.length === 0
      ? []
      : [
          text(
            `Still to be done, and nobody can say yet what it leaves: ${report.toDo.slice(0, NAMED_MAX).join(', ')}${report.toDo.length > NAMED_MAX ? ` and ${report.toDo.length - NAMED_MAX} more steps` : ''}.`,
          ),
        ];
  const waits = report.waiting.map((one): Line => [one.for, ...(one.step === '' ? [] : [', for ', code(one.step)]), ': ', code(one.answer)]);
  return [
    ...(rows.length === 0 && toDo.length > 0 ? [] : [tableOr(none, ['what', 'why', 'who owns it'], rows)]),
    ...toDo,
    ...(waits.length === 0 ? [] : [text('Awaited:'), list(waits)]),
  ];
}
