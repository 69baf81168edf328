/** The audit for people: one line per check, then what is wrong, what it means and what to do. */
import { plain, wrap } from '../words.ts';
import { CHECKS, type Audit, type Check, type Checked, type Fault } from './result.ts';

export interface Style {
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly faint: (text: string) => string;
  readonly width: number;
}

const count = (number: number, one: string, more = `${one}s`): string => `${number} ${number === 1 ? one : more}`;
const sum = (checked: readonly Checked[], of: (one: Checked) => number): number => checked.reduce((total, one) => total + of(one), 0);

/** What each check says where it found nothing; null: it had nothing to look at. */
function passed({ record, checked }: Audit): Readonly<Record<Check, string | null>> {
  const runs = checked.flatMap((one) => one.runs);
  const replayed = runs.filter((run) => run.build !== null).length;
  const exported = runs.filter((run) => run.exported === true).length;
  const [heads, values, entries] = [sum(checked, (one) => one.heads), sum(checked, (one) => one.values), sum(checked, (one) => one.entries)];
  const moved = sum(checked, (one) => one.credentials);
  const anchored = record?.anchoredUntil ?? null;
  return {
    chain: record && `${count(record.entries, 'entry', 'entries')}, each follows the one before; the last is ${record.head ?? 'none'}`,
    checkpoints: record === null || anchored === null ? null : `anchored outside Postgres until entry ${anchored} of ${record.entries}`,
    heads: heads === 0 ? null : `${count(heads, 'head')} that the histories saw ${heads === 1 ? 'is' : 'are'} in the chain`,
    origin: null,
    export: exported === 0 ? null : `${count(exported, 'exported history is the text', 'exported histories are the texts')} that the record announces`,
    replay: replayed === 0 ? null : `${count(replayed, 'history replays', 'histories replay')} offline`,
    values: values === 0 ? null : `${count(values, 'value')} of the histories ${values === 1 ? 'is' : 'are'} what replay computes`,
    record:
      record === null || runs.length === 0
        ? null
        : `${count(entries, 'entry', 'entries')} and ${count(runs.length, 'history tells', 'histories tell')} the same story`,
    credentials: moved === 0 ? null : `${count(moved, 'row')} of ops.credential_generations as the record says`,
  };
}

const failed = (faults: readonly Fault[]): string => `${plain(faults[0]?.where ?? '')}${faults.length > 1 ? `, and ${faults.length - 1} more` : ''}`;

export function textOf(audit: Audit, style: Style): string[] {
  const { checked, faults, notChecked } = audit;
  const wide = Math.max(...CHECKS.map((check) => check.length));
  const clean = passed(audit);
  const lines = CHECKS.flatMap((check) => {
    const own = faults.filter((fault) => fault.check === check);
    const name = check.padEnd(wide);
    if (own.length > 0) return [`${style.bad('✗')} ${name}  ${failed(own)}`];
    const text = clean[check];
    return text === null ? [] : [`${style.good('✓')} ${name}  ${text}`];
  });
  const runs = sum(checked, (one) => one.runs.length);
  const looked = `${count(checked.length, 'rollback')}, ${count(runs, 'run')}`;
  const end =
    faults.length > 0
      ? style.bad(`${count(faults.length, 'fault')} in ${looked}. This is not the record that was written, or not the history that happened.`)
      : notChecked.length > 0
        ? `No fault found in ${looked}. ${count(notChecked.length, 'thing was', 'things were')} not checked, see above.`
        : style.good(`No fault found in ${looked}.`);
  return [
    ...lines,
    ...notChecked.map((what) => `${style.faint('–')} not checked: ${plain(what)}`),
    '',
    ...faults.flatMap((fault, index) => [
      `${index + 1}. ${plain(fault.where)}`,
      ...wrap(plain(fault.fault), style.width, '   '),
      ...wrap(fault.meaning, style.width, '   ').map(style.faint),
      '',
    ]),
    end,
  ];
}
