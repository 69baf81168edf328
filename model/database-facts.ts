/** Where each database stands ("Database restored to", [004 section 6.1]), read from the steps that go back with it. */
import { fieldOf, textOf } from './field.ts';
import type { StepView } from './state.ts';

export interface DatabaseFact {
  readonly name: string;
  /** ISO: up to when what was written is in it. Null: it was not recovered. */
  readonly asOf: string | null;
  /** In words. */
  readonly stands: string;
}

const BACK: ReadonlySet<string | null> = new Set(['undo', 'restore', 'recover', 'switch']);
const AT = 'database/';
const HAND = 'by-hand.';

/** Of every database that the plan looks at or goes back with; at level 1 there is none. */
export function databaseFacts(steps: readonly StepView[]): DatabaseFact[] {
  const names = new Set(
    steps.flatMap(({ place, id }) => (place?.startsWith(AT) ? [place.slice(AT.length)] : id.startsWith(HAND) ? [id.slice(HAND.length)] : [])),
  );
  return [...names].map((name) => factOf(name, steps));
}

const isDone = ({ operation, state }: StepView): boolean => (operation === null ? state === 'confirmed' : state === 'done' || state === 'already');

function factOf(name: string, steps: readonly StepView[]): DatabaseFact {
  const own = steps.filter((step) => step.id === `${HAND}${name}` || (step.place === `${AT}${name}` && BACK.has(step.operation)));
  const done = own.filter(isDone);
  const recovered = done.find((step) => step.operation === 'recover');
  const open = own.length - done.length;
  const left = own.filter((step) => step.state === 'skipped').length;
  const words = [
    ...(recovered ? [done.some((step) => step.operation === 'switch') ? 'a new database, which is in use now' : 'a new database, which is not in use'] : []),
    ...undone(done),
    ...done.flatMap((step) => (step.operation === 'restore' ? [rowsOf(step)] : [])),
    ...(done.some((step) => step.operation === null) ? ['gone back by hand'] : []),
  ];
  const rest = [...(open > left ? [`${open - left} ${open - left === 1 ? 'step' : 'steps'} to go`] : []), ...(left > 0 ? [`${left} left out`] : [])];
  const stands = own.length === 0 ? 'as it was, nothing in it is gone back with' : [...(words.length === 0 ? ['nothing yet'] : words), ...rest].join(', ');
  return { name, asOf: recovered ? textOf(fieldOf(recovered.receipt, 'after'), 'asOf') : null, stands };
}

function undone(done: readonly StepView[]): string[] {
  const all = done.filter((step) => step.operation === 'undo');
  // The newest is undone first: the last one says how far it is.
  const last = all.at(-1)?.subject?.replace(/^[^/]*\//, '');
  return last === undefined ? [] : [`${all.length} ${all.length === 1 ? 'migration' : 'migrations'} undone, down to before ${last}`];
}

function rowsOf({ receipt, subject }: StepView): string {
  const rows = fieldOf(fieldOf(receipt, 'after'), 'restored');
  const of = subject?.replace(/^[^/]*\//, '') ?? '';
  return typeof rows === 'number' ? `${rows} rows of ${of} put back` : `rows of ${of} put back`;
}
