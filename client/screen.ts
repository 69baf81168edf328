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
  private height = 0;
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

  /** Lines must not be wider than the terminal. What does not fit is left out in the middle: the head says what it is, the foot what to do. */
  draw(lines: readonly string[]): void {
    const rows = Math.max(4, process.stdout.rows - 1);
    const fitting = fit(lines, rows);
    const text = fitting.map((line) => `${line}${columns(line) < process.stdout.columns ? CLEAR_RIGHT : ''}`).join('\n');
    if (text === this.drawn) return;
    const up = this.height > 1 ? `\u001B[${this.height - 1}A` : '';
    process.stdout.write(`${BEGIN}${LINE_START}${up}${text}${CLEAR_DOWN}${END}`);
    this.height = fitting.length;
    this.drawn = text;
  }

  /** Leaves the last frame as it is, in full, and gives the cursor back. */
  close(lines: readonly string[]): void {
    const up = this.height > 1 ? `\u001B[${this.height - 1}A` : '';
    process.stdout.write(`${LINE_START}${up}${CLEAR_DOWN}${lines.join('\n')}\n`);
    process.stdout.off('resize', this.reset);
    process.off('exit', this.restore);
    this.restore();
  }

  private readonly reset = (): void => {
    process.stdout.write('\u001B[2J\u001B[H');
    this.height = 0;
    this.drawn = '';
  };
}

/** Keeps head and foot; says how much is left out between. */
export function fit(lines: readonly string[], rows: number): string[] {
  if (lines.length <= rows) return [...lines];
  const foot = Math.max(1, Math.min(rows - 3, Math.ceil(rows * 0.6)));
  const head = rows - foot - 1;
  return [...lines.slice(0, head), `  … ${lines.length - head - foot} lines left out; a higher terminal shows them`, ...lines.slice(-foot)];
}
