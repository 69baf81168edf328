/** Redraws a block of lines in place. Without a terminal there is no screen: the caller prints plain lines. */
import { columns } from './words.ts';

const HIDE = '\u001B[?25l';
const SHOW = '\u001B[?25h';
const LINE_START = '\r';
const CLEAR_DOWN = '\u001B[0J';
const CLEAR_RIGHT = '\u001B[0K';
/** The terminal shows a frame at once or not at all, where it knows how. */
const [BEGIN, END] = ['\u001B[?2026h', '\u001B[?2026l'];

export class Screen {
  private rows = 0;
  private drawn = '';
  private readonly restore = (): void => {
    process.stdout.write(SHOW);
  };

  constructor() {
    process.stdout.write(HIDE);
    process.once('exit', this.restore);
    // Another width breaks lines elsewhere: what is above cannot be counted any more, so start afresh.
    process.stdout.on('resize', this.reset);
  }

  /** What does not fit is left out in the middle: the head says what it is, the foot what to do. */
  draw(lines: readonly string[]): void {
    const wide = process.stdout.columns;
    const fitting = fit(lines, Math.max(4, process.stdout.rows - 1), wide);
    const text = fitting.map((line) => (columns(line) % wide === 0 && line !== '' ? line : line + CLEAR_RIGHT)).join('\n');
    if (text === this.drawn) return;
    process.stdout.write(`${BEGIN}${this.toTop()}${text}${CLEAR_DOWN}${END}`);
    this.rows = fitting.reduce((sum, line) => sum + rowsOf(line, wide), 0);
    this.drawn = text;
  }

  /** Leaves the last frame as it is, in full, and gives the cursor back. */
  close(lines: readonly string[]): void {
    process.stdout.write(`${this.toTop()}${CLEAR_DOWN}${lines.join('\n')}\n`);
    process.stdout.off('resize', this.reset);
    process.off('exit', this.restore);
    this.restore();
  }

  private toTop(): string {
    return this.rows > 1 ? `${LINE_START}\u001B[${this.rows - 1}A` : LINE_START;
  }

  private readonly reset = (): void => {
    process.stdout.write('\u001B[2J\u001B[H');
    this.rows = 0;
    this.drawn = '';
  };
}

/** Commands are not broken, so that they can be copied: the terminal does it. */
const rowsOf = (line: string, wide: number): number => Math.max(1, Math.ceil(columns(line) / wide));

/** Keeps head and foot; says how much is left out between. */
export function fit(lines: readonly string[], rows: number, wide: number): string[] {
  const high = (some: readonly string[]): number => some.reduce((sum, line) => sum + rowsOf(line, wide), 0);
  if (high(lines) <= rows) return [...lines];
  const foot =
    lines.length -
    Math.max(
      1,
      lines.findIndex((_, index) => high(lines.slice(index)) <= Math.ceil(rows * 0.6)),
    );
  let head = 0;
  while (high(lines.slice(0, head + 1)) + 1 + high(lines.slice(-foot)) <= rows) head += 1;
  return [...lines.slice(0, head), `  … ${lines.length - head - foot} lines left out`, ...lines.slice(-foot)];
}
