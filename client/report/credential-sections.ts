/** Credentials in the report [001 step 3e]: who signed what, the rotation log, what each is allowed now, what people rotated, and what was not exposed. */
import { duration } from '../words.ts';
import type { CredentialsReport, HandRotated, RotatedCredential } from './credentials.ts';
import { allowed, count } from './data-words.ts';
import { code, heading, moment, strong, table, tableIf, text, type Block, type Line, type Piece } from './document.ts';

export function credentialBlocks({ signed, rotated, byHand, notExposed }: CredentialsReport): Block[] {
  if (!signed) return [heading('Credentials'), text([{ tone: 'warn', text: 'The Security Lead has signed nothing: no credential was moved.' }])];
  const signature = `Signed by ${signed.by} (${signed.proof}), ${moment(signed.at)} UTC${signed.note === null ? '.' : `: ${signed.note}`}`;
  return [
    heading('Credentials'),
    text([strong(signature)]),
    ...(rotated.length === 0 ? [] : [table(['credential', 'state', 'order', 'issued', 'put in place', 'revoked', 'allowed now'], rotated.map(summary))]),
    ...tableIf(
      'Rotation log',
      ['time (UTC)', 'credential', 'step', 'what'],
      rotated.flatMap((one) => one.log.map((line): Line[] => [moment(line.at), one.name, [code(line.step), ` ${line.state}`], line.what])),
    ),
    ...tableIf('Rotated by hand', ['credential', 'what', 'state', 'by', 'evidence'], byHand.map(byPerson)),
    text([strong('Not exposed, and left as they are:'), ` ${notExposed.length === 0 ? 'none' : notExposed.join(', ')}`]),
    ...(signed.elsewhere.length === 0 ? [] : [text([strong('Exposed, and not known to Backout:'), ` ${signed.elsewhere.join('; ')}`])]),
  ];
}

function summary(one: RotatedCredential): Line[] {
  const { name, state, issued, installed, revoked, alive } = one;
  return [
    strong(name),
    state === 'rotated' ? { tone: 'good', text: 'rotated' } : { tone: 'warn', text: 'not finished' },
    orderOf(one),
    issued ?? '',
    installed === null ? '' : `${count(installed.places ?? 0, 'place')}, ${installed.proven ? 'proven to work' : 'not proven by a command'}`,
    revoked.map(({ generation, already }) => `${generation}${already ? ' (revoked before)' : ''}`).join(', '),
    alive.map((generation) => `${generation.generation}: ${allowed(generation)}`).join('; '),
  ];
}

function orderOf({ order, outageSeconds, installed }: RotatedCredential): readonly Piece[] {
  if (order === 'old-last') return ['the old one last'];
  return [
    { tone: 'warn', text: 'the old one first' },
    `, the outage accepted${outageSeconds === null ? '' : `: ${duration(outageSeconds)} ${installed?.proven ? 'without a working one' : 'until the new one was in place; nobody has proven that it works there'}`}`,
  ];
}

function byPerson({ name, title, state, by, at, evidence, note }: HandRotated): Line[] {
  const given = [...Object.entries(evidence).map(([item, value]) => `${item}: ${value}`), ...(note === null ? [] : [`note: ${note}`])];
  return [
    strong(name),
    title,
    state === 'confirmed' ? { tone: 'good', text: 'done' } : { tone: 'warn', text: state === 'pending' ? 'not done' : state },
    by === null ? '' : `${by}${at === null ? '' : `, ${moment(at)}`}`,
    given.join('; '),
  ];
}
