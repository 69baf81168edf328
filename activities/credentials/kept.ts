/**
 * The secrets that the worker keeps, one file per generation, in a folder that it alone may enter. A secret is here before anybody else knows it, and
 * stays until its generation is revoked.
 */
import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { AdapterError } from '../adapters/adapter.ts';
import { readIfThere, syncFolder, writeNew } from '../configs/env-file-kept.ts';

const keptSchema = z.strictObject({ id: z.string(), operation: z.string().nullable(), secret: z.string().min(1) });
export type Kept = z.infer<typeof keptSchema>;

const FILE = /^[A-Za-z0-9][\w.-]{0,127}\.secret$/;

export class KeptSecrets {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Returns with all of it on the disk, the folder's own name included. A second one of that id is an error; one that was cut off gives way. */
  keep(kept: Kept): void {
    makeOwn(this.#folder);
    if (this.read(kept.id) === null) this.forget(kept.id);
    writeNew(join(this.#folder, `${kept.id}.secret`), JSON.stringify(kept));
    syncFolder(this.#folder);
  }

  /** Null where there is none, or one that was cut off while it was written: nobody was ever told that one. */
  read(id: string): Kept | null {
    const name = `${id}.secret`;
    const bytes = FILE.test(name) ? readIfThere(join(this.#folder, name)) : null;
    const kept = bytes === null ? null : keptSchema.safeParse(jsonOf(bytes));
    return kept?.success === true && kept.data.id === id ? kept.data : null;
  }

  /** Ids of all that is kept under this operation. */
  under(operation: string): string[] {
    const names = fs.existsSync(this.#folder) ? fs.readdirSync(this.#folder).filter((name) => FILE.test(name)) : [];
    return names.map((name) => name.replace(/\.secret$/, '')).filter((id) => this.read(id)?.operation === operation);
  }

  forget(id: string): void {
    const name = `${id}.secret`;
    if (!FILE.test(name) || !fs.existsSync(join(this.#folder, name))) return;
    fs.rmSync(join(this.#folder, name));
    syncFolder(this.#folder);
  }
}

/** A folder for the worker alone, and its name on the disk. Somebody else's is not closed to him: he may need it. */
export function makeOwn(folder: string): void {
  const first = fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (first !== undefined) for (const one of new Set([dirname(folder), dirname(first)])) syncFolder(one);
  if ((fs.statSync(folder).mode & 0o077) !== 0)
    throw new AdapterError('configuration', `others may enter ${folder}, where secrets are kept: give it to the worker alone, chmod 700`);
}

/** The parser's own error would quote what it could not read. */
export function jsonOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return null;
  }
}
