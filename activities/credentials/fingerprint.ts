/**
 * Secrets as they may be shown and recorded: `fp1:<keyId>:<hex>`, their HMAC-SHA256 under a key of this installation, `.backout/fingerprint.key` beside
 * backout.yaml. Whoever does not have that key cannot try secrets against a fingerprint. And the other way round: which known ones occur in a text.
 *
 * What is found: a secret of 8 to 4096 characters that stands in one line as a word of A-Z a-z 0-9 _ - + / = . ~ with anything else around it, or behind a
 * `=` or between two `/` in such a word, or that is the whole value of a line `NAME=value` or `NAME: value`, in quotes or not, or the password of an
 * address; percent-encoded or not. What is not: one that is encoded otherwise (base64, escapes, compressed), taken apart, or put together at run time.
 */
import { createHash, createHmac, createSecretKey, randomBytes, randomUUID, type KeyObject } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { AdapterError } from '../adapters/adapter.ts';
import { guarded } from '../configs/env-file-disk.ts';
import { readIfThere, syncFolder, writeNew } from '../configs/env-file-kept.ts';

export interface Fingerprinted {
  /** Which installation's key: fingerprints under another one cannot be compared. */
  readonly keyId: string;
  readonly fingerprint: string;
}

export interface Findings {
  readonly found: readonly string[];
  /** Those known under another installation's key: whether they occur cannot be told here. */
  readonly foreign: readonly string[];
}

/** An object is prepared once; a Buffer is, each time, for seven times the cost of the rest [measured, Node 24.21]. */
type Key = Readonly<{ secret: KeyObject; id: string }>;

const KEY = /^[0-9a-f]{64}\n?$/;
const SHOWN = /^fp1:([0-9a-f]{8}):[0-9a-f]{64}$/;
const SEPARATORS = /[^A-Za-z0-9_\-+/=.~]+/;
/** Between words that may be percent-encoded. */
const BETWEEN_ENCODED = /[^A-Za-z0-9_\-+/=.~%]+/;
const PASSWORD = /:\/\/[^\s:/@"'`]{0,256}:([^\s"'`]{0,1024})@/g;
const [LENGTH_MIN, LENGTH_MAX] = [8, 4096];
/** Of a line without an end: what is longer is looked at in parts. */
const LINE_MAX = 64 * 1024;
/** Of one word. */
const PARTS_MAX = 16;
/** Words that were looked at already, in one text. */
const SEEN_MAX = 50_000;

/** `folder`: of backout.yaml. The key is made where there is none; throws `configuration` where it is broken, and never makes another one then. */
export const fingerprintOf = (folder: string, secret: string): Promise<Fingerprinted> =>
  guarded(new AbortController().signal, () => {
    const key = keyOf(folder);
    return { keyId: key.id, fingerprint: shown(key, secret) };
  });

/** Which known fingerprints occur in a text, in constant memory where it comes in parts. */
export const findSecrets = (folder: string, text: string | AsyncIterable<string | Uint8Array>, known: ReadonlySet<string>): Promise<Findings> =>
  guarded(new AbortController().signal, async () => {
    const finder = new Finder(folder, known);
    const found = new Set<string>();
    for await (const line of linesOf(typeof text === 'string' ? [text] : text)) finder.look(line, found);
    return { found: [...found], foreign: finder.foreign };
  });

export class Finder {
  readonly foreign: readonly string[];
  readonly #key: Key;
  readonly #known: ReadonlySet<string>;
  #seen = new Set<string>();

  /** Throws `configuration` where one of them is no fingerprint. */
  constructor(folder: string, known: ReadonlySet<string>) {
    const key = keyOf(folder);
    const odd = [...known].find((one) => !SHOWN.test(one));
    if (odd !== undefined) throw new AdapterError('configuration', 'what is to be looked for is no fingerprint fp1:<keyId>:<hex>');
    this.foreign = [...known].filter((one) => SHOWN.exec(one)?.[1] !== key.id);
    this.#key = key;
    this.#known = known;
  }

  /** Adds what occurs in this line, or in some whole lines. */
  look(text: string, found: Set<string>): void {
    for (const line of text.split(/\r?\n/))
      for (const word of wordsOf(line)) {
        if (word.length < LENGTH_MIN || word.length > LENGTH_MAX || this.#seen.has(word)) continue;
        if (this.#seen.size >= SEEN_MAX) this.forget();
        this.#seen.add(word);
        const fingerprint = shown(this.#key, word);
        if (this.#known.has(fingerprint)) found.add(fingerprint);
      }
  }

  /** Between two texts: a word that was looked at is looked at again. */
  forget(): void {
    this.#seen = new Set();
  }
}

/** All that may be a secret in a line; most of it is none. */
function* wordsOf(line: string): Generator<string> {
  const value = /^[^=:]*[=:]\s*(.*?)\s*[,;]?\s*$/s.exec(line)?.[1] ?? '';
  yield value;
  yield value.replace(/^(["'`])(.*)\1$/s, '$2');
  yield* tokensOf(line);
  for (const [, password = ''] of line.matchAll(PASSWORD)) {
    yield password;
    yield decoded(password);
  }
  if (!line.includes('%')) return;
  for (const word of line.split(BETWEEN_ENCODED)) {
    const whole = decoded(word);
    if (whole === word) continue;
    yield whole;
    for (const { index } of [...whole.matchAll(/=/g)].slice(0, PARTS_MAX)) yield whole.slice(index + 1);
    yield* tokensOf(whole);
  }
}

/** What is no encoding stays as it is. */
const decoded = (word: string): string =>
  word.replaceAll(/(?:%[0-9A-Fa-f]{2})+/g, (encoded) => {
    try {
      return decodeURIComponent(encoded);
    } catch {
      return encoded;
    }
  });

function* tokensOf(line: string): Generator<string> {
  for (const token of line.split(SEPARATORS)) {
    const behind = [...token.matchAll(/=+|^\/+/g)].slice(0, PARTS_MAX).map(({ index, 0: mark }) => token.slice(index + mark.length));
    for (const word of [token, ...behind, ...token.split('/', PARTS_MAX)]) {
      yield word;
      // The end of a sentence.
      if (word.endsWith('.')) yield word.replace(/\.+$/, '');
    }
  }
}

/** Whole lines; of one that never ends, parts that end between two words. */
export async function* linesOf(text: Iterable<string> | AsyncIterable<string | Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const part of text) {
    rest += typeof part === 'string' ? part : decoder.decode(part, { stream: true });
    const end = endOf(rest);
    if (end > 0) yield rest.slice(0, end);
    rest = rest.slice(end);
  }
  yield rest + decoder.decode();
}

/** How far it may be looked at before more of it is there. A word that is longer than a line may be is no secret, and cut anywhere. */
function endOf(text: string): number {
  const newline = text.lastIndexOf('\n') + 1;
  if (newline > 0 || text.length <= LINE_MAX) return newline;
  const word = /[A-Za-z0-9_\-+/=.~%]*$/.exec(text.slice(-LENGTH_MAX - 1))?.[0].length ?? 0;
  return word > LENGTH_MAX ? text.length : text.length - word;
}

const shown = (key: Key, secret: string): string => `fp1:${key.id}:${createHmac('sha256', key.secret).update(secret).digest('hex')}`;

/** The first of two at the same time makes it; it is never replaced. */
function keyOf(folder: string): Key {
  const within = join(folder, '.backout');
  const path = join(within, 'fingerprint.key');
  const there = readIfThere(path) ?? made(within, path);
  const text = there.toString('utf8');
  if (!KEY.test(text))
    throw new AdapterError(
      'configuration',
      `${path} is broken, and no fingerprint can be told without it: restore it; it is not made anew, since what is recorded would be lost`,
    );
  if ((fs.statSync(path).mode & 0o077) !== 0) fs.chmodSync(path, 0o600);
  const bytes = Buffer.from(text.trim(), 'hex');
  return { secret: createSecretKey(bytes), id: createHash('sha256').update('fingerprint key\0').update(bytes).digest('hex').slice(0, 8) };
}

function made(within: string, path: string): Buffer {
  fs.mkdirSync(within, { recursive: true, mode: 0o700 });
  const prepared = join(within, `new-${randomUUID()}`);
  try {
    writeNew(prepared, `${randomBytes(32).toString('hex')}\n`);
    fs.linkSync(prepared, path);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  } finally {
    fs.rmSync(prepared, { force: true });
  }
  syncFolder(within);
  syncFolder(join(within, '..'));
  return fs.readFileSync(path);
}
