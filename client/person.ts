/** Who is at the keyboard, as far as he says so himself. */
import { note } from './output.ts';
import { EXIT, Problem } from './problem.ts';

/** --by, else $BACKOUT_BY, else $USER; null: nobody. */
export const personOf = (by: string | undefined): string | null => by ?? (process.env['BACKOUT_BY'] || process.env['USER'] || null);

/** The same, said on stderr where it was not given. */
export function requirePerson(by: string | undefined): string {
  const person = personOf(by);
  if (person === null) throw new Problem(EXIT.usage, 'usage', 'nobody is named', 'say who you are with --by NAME or BACKOUT_BY');
  if (by === undefined) note(`as ${person} ($${process.env['BACKOUT_BY'] ? 'BACKOUT_BY' : 'USER'}); --by says otherwise`);
  return person;
}
