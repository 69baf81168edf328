/** `backout watch`: the live tree with the clock, until the rollback is closed. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { RollbackState } from '../../model/state.ts';
import { findRollback, type Meant } from '../find.ts';
import { note, paint, width } from '../output.ts';
import { personOf } from '../person.ts';
import { EXIT, said } from '../problem.ts';
import { exitOf, readRollback, type Reading } from '../read.ts';
import { Screen } from '../screen.ts';
import { withSession, type Session } from '../session.ts';
import { aheadOf, nextCommands, render, stateWord } from '../view.ts';
import { cut, elapsed, plain } from '../words.ts';

const LOOK_EVERY_MS = 500;
/** Questions that no worker answers pile up at the server. */
const LOOK_AGAIN_MS = 3_000;
/** Between looks only the clocks move. */
const DRAW_EVERY_MS = 250;
const INTERRUPTED = 130;

export function register(program: Command): void {
  program
    .command('watch')
    .argument('<id>', 'Workflow Id, rollback id, or the name of a component')
    .description('one rollback, live, until it is closed; the exit code tells how it ended')
    .addHelpText('after', '\nExamples:\n  $ backout watch web\n  $ backout watch deployRevert/production/web --json')
    .action((id: string, _: unknown, command: Command) =>
      withSession(command, async (session) => {
        const meant = await findRollback(session, id, true);
        const first = await readRollback(session, meant);
        const show = session.flags.json ? jsonLines() : process.stdout.isTTY ? tree() : textLines();
        process.exitCode = await watch(session, { ...meant, rollbackId: first.state.rollbackId }, first, show);
      }),
    );
}

/** What was last known, since when, and what is wrong with knowing more. */
interface Seen {
  readonly state: RollbackState;
  readonly sinceMs: number;
  readonly trouble: { readonly text: string; readonly sinceMs: number } | null;
}
interface Show {
  readonly draw: (seen: Seen) => void;
  readonly end: (seen: Seen) => void;
}

async function watch(session: Session, meant: Meant, first: Reading, show: Show): Promise<number> {
  const interrupted = new AbortController();
  const onSignal = (): void => {
    interrupted.abort();
  };
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  let seen = see(null, first);
  const redraw = setInterval(() => {
    show.draw(seen);
  }, DRAW_EVERY_MS);
  try {
    show.draw(seen);
    while (seen.state.state !== 'closed' && !interrupted.signal.aborted) {
      await sleep(seen.trouble === null ? LOOK_EVERY_MS : LOOK_AGAIN_MS, undefined, { signal: interrupted.signal }).catch(() => undefined);
      if (interrupted.signal.aborted) break;
      seen = await readRollback(session, meant).then(
        (reading) => see(seen, reading),
        (error: unknown) => ({ ...seen, trouble: { text: said(error).message, sinceMs: seen.trouble?.sinceMs ?? Date.now() } }),
      );
      show.draw(seen);
    }
  } finally {
    clearInterval(redraw);
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    show.end(seen);
  }
  return interrupted.signal.aborted ? INTERRUPTED : exitOf(seen.state) || EXIT.ok;
}

/** While no worker answers, what one said last is better than what the record knows. */
function see(before: Seen | null, { state, source, silence, remark }: Reading): Seen {
  const now = Date.now();
  const isKept = before !== null && source === 'record' && state.state !== 'closed';
  const text = isKept ? silence : remark;
  const trouble = text === null ? null : { text, sinceMs: before?.trouble?.sinceMs ?? now };
  if (isKept) return { ...before, trouble };
  const moved = before === null || JSON.stringify(before.state) !== JSON.stringify(state);
  return { state, sinceMs: moved ? now : before.sinceMs, trouble };
}

function tree(): Show {
  const screen = new Screen();
  const lines = ({ state, sinceMs, trouble }: Seen): string[] => {
    const nowMs = Date.now();
    const frame = render(state, { width: width(), nowMs, aheadSeconds: aheadOf(state, nowMs, sinceMs), by: personOf(undefined) });
    return trouble === null
      ? frame
      : [...frame, '', paint(['yellow', 'bold'], cut(`! trying again, for ${elapsed((nowMs - trouble.sinceMs) / 1000)}: ${plain(trouble.text)}`, width()))];
  };
  return {
    draw: (seen) => {
      screen.draw(lines(seen));
    },
    end: (seen) => {
      screen.close(lines(seen));
    },
  };
}

/** A line when something has changed: for logs. */
function textLines(): Show {
  let told = new Set<string>();
  let trouble = '';
  const draw = (seen: Seen): void => {
    const { state } = seen;
    const now = [
      ...state.steps
        .filter((step) => step.state !== 'pending')
        .map((step) => `${step.id} ${step.state}${step.failure ? `: ${plain(step.failure.message)}` : ''}`),
      stateWord(state) + (state.stopped === null ? '' : `: ${plain(state.stopped)}`),
      ...state.waiting.map((one) => `waiting for ${one.for}${one.step === '' ? '' : ` (${one.step})`}: ${one.answer}`),
      ...(state.clock.breached ? ['time target missed'] : []),
      ...state.warnings.map((warning) => `warning: ${plain(warning)}`),
    ];
    for (const line of now) if (!told.has(line)) process.stdout.write(`${new Date().toISOString()} ${line}\n`);
    told = new Set(now);
    const text = seen.trouble?.text ?? '';
    if (text !== '' && text.replace(/as of .*/, '') !== trouble.replace(/as of .*/, '')) note(text);
    trouble = text;
  };
  return {
    draw,
    end: (seen) => {
      draw(seen);
      for (const { line } of nextCommands(seen.state, personOf(undefined))) process.stdout.write(`  ${line}\n`);
    },
  };
}

/** One state a line, when more has changed than the clock. */
function jsonLines(): Show {
  let told = '';
  const draw = ({ state }: Seen): void => {
    const text = JSON.stringify({ ...state, clock: { ...state.clock, machineSeconds: 0, humanSeconds: 0 } });
    if (text !== told) process.stdout.write(`${JSON.stringify(state)}\n`);
    told = text;
  };
  return { draw, end: draw };
}
