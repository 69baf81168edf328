/** Where the time went, as bars: the machine's beside the people's, and the machine's against its target. */
import { duration } from '../words.ts';
import { html, type Html } from './html.ts';
import type { Report } from './report.ts';

const WIDE = 1000;
/** A share that is there is seen. */
const LEAST = 4;

const share = (part: number, whole: number): number => (part <= 0 || whole <= 0 ? 0 : Math.min(WIDE, Math.max(LEAST, Math.round((part / whole) * WIDE))));

const svg = (label: string, bars: readonly Html[]): Html =>
  html`<svg role="img" aria-label="${label}" viewBox="0 0 ${WIDE} 20" preserveAspectRatio="none">
    <rect class="bar-back" width="${WIDE}" height="20" />
    ${bars}
  </svg>`;
const bar = (name: string, x: number, wide: number): Html => html`<rect class="bar-${name}" x="${x}" width="${wide}" height="20" />`;
const key = (name: string, words: string, value: string): Html => html`<span class="key ${name}"><span class="faint">${words}</span> <b>${value}</b></span>`;

/** Nothing where nothing was done. */
export function timeBars({ clock, outcome, state }: Report): Html | null {
  const { machineSeconds, humanSeconds, sumSeconds, targetSeconds, breached } = clock;
  if (outcome === 'refused' && sumSeconds < 1) return null;
  const [machine, people, sum] = [duration(machineSeconds), duration(humanSeconds), duration(sumSeconds)];
  // What is drawn at its least takes from the other one, so that both are seen.
  const own = Math.min(share(machineSeconds, sumSeconds), WIDE - (humanSeconds > 0 ? LEAST : 0));
  return html`<section class="times" aria-label="Time">
    <figure>
      <figcaption>${key('machine', 'Machine', machine)}${key('people', 'Only people awaited', people)}<span class="faint">together ${sum}</span></figcaption>
      ${svg(`Machine ${machine}, only people awaited ${people}`, [bar('machine', 0, own), humanSeconds > 0 ? bar('people', own, WIDE - own) : html``])}
    </figure>
    ${targetSeconds === null ? null : targetBar(machineSeconds, targetSeconds, breached, state === 'closed')}
  </section>`;
}

function targetBar(machineSeconds: number, targetSeconds: number, breached: boolean, isOver: boolean): Html {
  const isLate = breached || machineSeconds > targetSeconds;
  const whole = Math.max(machineSeconds, targetSeconds);
  const verdict = isLate ? 'missed' : isOver ? 'kept' : 'kept so far';
  const mark = Math.min(WIDE - LEAST, share(targetSeconds, whole));
  const label = `Machine time ${duration(machineSeconds)} of a target of ${duration(targetSeconds)}, ${verdict}`;
  return html`<figure>
    <figcaption>
      ${key('machine', 'Machine time', duration(machineSeconds))}<span class="faint">of a target of ${duration(targetSeconds)}:</span>
      <b class="${isLate ? 'bad' : 'good'}">${verdict}</b>
    </figcaption>
    ${svg(label, [bar(isLate ? 'late' : 'machine', 0, share(machineSeconds, whole)), isLate ? bar('mark', mark, LEAST) : html``])}
  </figure>`;
}
