/**
 * What was recorded of an environment file, in `<path>.backout/`, which only the worker may enter: `key`, a random key that no value can be
 * told without; `<id>.json`, the values under the name that the key and the values make; `reload-due` and `reload.log`, also by key.
 */
import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { AdapterError } from '../adapters/adapter.ts';
import type { Entry, Written } from './env-file-lines.ts';

const ID = /^[0-9a-f]{32}$/;
const keptSchema = z.array(z.strictObject({ key: z.string(), value: z.string(), raw: z.string(), exported: z.boolean() }));

/** Null where there is nothing; anything else that keeps it from being read is thrown. */
export function readIfThere(path: string): Buffer | null {
  try {
    return fs.readFileSync(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

/** A new file with all its bytes on the disk; for the worker alone until it is given away. */
export function writeNew(path: string, bytes: Buffer | string, as?: Pick<fs.Stats, 'mode' | 'uid' | 'gid'>): void {
  const file = fs.openSync(path, 'wx', 0o600);
  try {
    fs.writeFileSync(file, bytes);
    if (as) {
      const mine = fs.fstatSync(file);
      if (mine.uid !== as.uid || mine.gid !== as.gid) fs.fchownSync(file, as.uid, as.gid);
      fs.fchmodSync(file, as.mode & 0o7777);
    }
    fs.fsyncSync(file);
  } finally {
    fs.closeSync(file);
  }
}

/** Makes a rename or a new name in it last. */
export function syncFolder(folder: string): void {
  const file = fs.openSync(folder, 'r');
  fs.fsyncSync(file);
  fs.closeSync(file);
}

export class KeptValues {
  readonly folder: string;
  readonly reloadLog: string;
  readonly #path: string;
  readonly #reloadDue: string;

  /** `key`: whoever writes that key alone has a reload of its own, which is due by itself. */
  constructor(path: string, key?: string) {
    this.#path = path;
    this.folder = `${path}.backout`;
    const name = key === undefined ? 'reload' : `key-${key}-reload`;
    this.reloadLog = join(this.folder, `${name}.log`);
    this.#reloadDue = join(this.folder, `${name}-due`);
  }

  /** Keeps the values and answers with their id: the same values have the same one. */
  record(entries: Iterable<Entry>): string {
    this.open();
    const kept = [...entries].map(({ key, value, raw, exported }) => ({ key, value, raw, exported }));
    const id = this.#idOf(kept);
    this.#put(`${id}.json`, JSON.stringify(kept), fs.renameSync);
    return id;
  }

  /** Throws `not-found` where it is gone, and `conflict` where it is not what was kept. No message has anything of its content. */
  read(id: string): ReadonlyMap<string, Written> {
    const bytes = ID.test(id) ? readIfThere(join(this.folder, `${id}.json`)) : null;
    if (bytes === null)
      throw new AdapterError(
        'not-found',
        `${this.folder} does not have what was recorded of ${this.#path} under ${JSON.stringify(id.slice(0, 64))}; restore that folder, or set the keys by hand`,
      );
    const kept = keptSchema.safeParse(jsonOf(bytes.toString('utf8')));
    if (!kept.success || this.#idOf(kept.data) !== id)
      throw new AdapterError('conflict', `${join(this.folder, `${id}.json`)} is not what was kept there: somebody has changed it or the key beside it`);
    return new Map(kept.data.map((one) => [one.key, one]));
  }

  /** A secret as it may be shown: whoever does not have the key cannot try values against it. */
  fingerprint(name: string, value: string): string {
    return `fingerprint:${this.#hmac('value', `${name}\0${value}`).slice(0, 12)}`;
  }

  /** Between a change and the end of the reload it needs: an attempt that finds the change made must not take it for done. */
  isReloadDue(): boolean {
    return fs.existsSync(this.#reloadDue);
  }
  setReloadDue(isDue: boolean): void {
    if (!isDue) fs.rmSync(this.#reloadDue, { force: true });
    else if (!this.isReloadDue()) writeNew(this.#reloadDue, '');
    syncFolder(this.folder);
  }

  /** Makes the folder, for the worker alone. */
  open(): void {
    fs.mkdirSync(this.folder, { recursive: true, mode: 0o700 });
    if ((fs.statSync(this.folder).mode & 0o077) !== 0) fs.chmodSync(this.folder, 0o700);
    // The first of two at the same time gives the key; it is never replaced.
    if (readIfThere(join(this.folder, 'key')) === null) this.#put('key', randomBytes(32).toString('hex'), linkIfNew);
  }

  #put(name: string, text: string, move: (from: string, to: string) => void): void {
    const prepared = join(this.folder, `new-${randomUUID()}`);
    try {
      writeNew(prepared, text);
      move(prepared, join(this.folder, name));
    } finally {
      fs.rmSync(prepared, { force: true });
    }
    syncFolder(this.folder);
    syncFolder(dirname(this.folder));
  }

  #idOf(kept: readonly { readonly key: string; readonly value: string }[]): string {
    const pairs = kept.map(({ key, value }) => [key, value] as const).sort(([a], [b]) => (a < b ? -1 : 1));
    return this.#hmac('values', JSON.stringify(pairs)).slice(0, 32);
  }

  #hmac(what: string, text: string): string {
    const key = readIfThere(join(this.folder, 'key'));
    if (key?.length !== 64)
      throw new AdapterError('not-found', `${join(this.folder, 'key')} is gone or cut off, and nothing that was recorded there can be told without it`);
    return createHmac('sha256', key).update(`${what}\0${text}`).digest('hex');
  }
}

function linkIfNew(from: string, to: string): void {
  try {
    fs.linkSync(from, to);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
}

/** The parser's own error would quote what it could not read. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
