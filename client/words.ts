/** Times, counts and lines, as people read them. */
import { stripVTControlCharacters } from 'node:util';

/** `0.4 s`, `42 s`, `3 min 05 s`, `2 h 14 min`, `3 d 4 h`. */
export function duration(seconds: number): string {
  if (seconds < 9.95) return `${Math.max(0, seconds).toFixed(1)} s`;
  const whole = Math.round(seconds);
  const [days, hours, minutes] = [Math.floor(whole / 86_400), Math.floor((whole % 86_400) / 3600), Math.floor((whole % 3600) / 60)];
  const padded = (value: number): string => String(value).padStart(2, '0');
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${padded(minutes)} min`;
  return minutes > 0 ? `${minutes} min ${padded(whole % 60)} s` : `${whole} s`;
}

/** For what is still going on: tenths would only flicker. */
export const elapsed = (seconds: number): string => duration(Math.max(0, Math.floor(seconds))).replace('.0 s', ' s');

/** `4:05`: for a clock that runs. */
export const clock = (seconds: number): string => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;

/** In the largest unit: nobody needs the seconds of an hour ago. */
export function ago(iso: string, nowMs: number): string {
  const seconds = Math.max(0, Math.round((nowMs - Date.parse(iso)) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return seconds < 86_400 ? `${Math.floor(seconds / 3600)} h ago` : `${Math.floor(seconds / 86_400)} d ago`;
}

/** Time of day here; with the date where it is not today. */
export function at(iso: string, nowMs: number): string {
  const time = new Date(iso);
  const day = (one: Date): string => `${one.getFullYear()}-${String(one.getMonth() + 1).padStart(2, '0')}-${String(one.getDate()).padStart(2, '0')}`;
  const clockTime = [time.getHours(), time.getMinutes(), time.getSeconds()].map((part) => String(part).padStart(2, '0')).join(':');
  return day(time) === day(new Date(nowMs)) ? clockTime : `${day(time)} ${clockTime}`;
}

/** Columns on the screen; colours take none. */
export const columns = (text: string): number => Array.from(stripVTControlCharacters(text)).length;

export function cut(text: string, wide: number): string {
  const letters = Array.from(text);
  return letters.length <= wide ? text : `${letters.slice(0, Math.max(0, wide - 1)).join('')}…`;
}

/** What comes from platforms and people may hold anything: on a terminal it must not move the cursor. */
export const plain = (text: string): string =>
  stripVTControlCharacters(text)
    .replaceAll(/[\p{Cc}\p{Cf}]+/gu, ' ')
    .trim();

/** Breaks at blanks; a word that is wider than the line is left whole, so that it can be copied. */
export function wrap(text: string, wide: number, indent = ''): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    if (line !== '' && columns(line) + 1 + columns(word) > wide - indent.length) {
      lines.push(indent + line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return line === '' ? lines : [...lines, indent + line];
}

/** A word for the shell. */
export const quoted = (word: string): string => (/^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`);
