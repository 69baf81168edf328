/** What goes where: one document or text on stdout, everything else on stderr; colour only where a terminal shows it. */
import { styleText } from 'node:util';
import type { Said } from './problem.ts';

type Format = Parameters<typeof styleText>[0];

/** Colour for stdout; nothing without a terminal, with NO_COLOR or with a dumb one. */
export const paint = (format: Format, text: string): string => styleText(format, text, { stream: process.stdout });

/** One document with `--json`, else the text. */
export function print(json: boolean, document: unknown, text: () => string): void {
  process.stdout.write(json ? `${JSON.stringify(document, null, 2)}\n` : `${text()}\n`);
}

/** A remark beside the answer. */
export function note(text: string): void {
  process.stderr.write(`${styleText('dim', text, { stream: process.stderr })}\n`);
}

/** The error, and nothing else: with `--json` it is the one document. */
export function printProblem(json: boolean, { type, message, remedy, detail }: Said): void {
  if (json) {
    process.stdout.write(`${JSON.stringify({ error: { type, message, remedy, ...detail } }, null, 2)}\n`);
    return;
  }
  const red = styleText(['red', 'bold'], 'backout:', { stream: process.stderr });
  process.stderr.write(
    `${red} ${message}\n${
      remedy === ''
        ? ''
        : `${remedy
            .split('\n')
            .map((line) => `  ${line}`)
            .join('\n')}\n`
    }`,
  );
}

/** The command as this person runs it: for lines to be copied. */
export const commandName = (): string => (process.env['npm_command'] === undefined ? 'backout' : 'npx backout');

/** Columns to fill; a pipe gets whole lines. */
export const width = (): number => (process.stdout.isTTY ? Math.max(40, process.stdout.columns) : 200);
