/** Which known secrets occur in files, as in a build that is to be restored [001 step 3e]: what was looked at, and what was not, and why. */
import * as fs from 'node:fs';
import { join, relative, resolve } from 'node:path';
import type { AdapterCall } from '../adapters/adapter.ts';
import { guarded } from '../configs/env-file-disk.ts';
import { Finder, linesOf } from './fingerprint.ts';

/** No text that anybody writes or bundles; a dump or an archive. */
const BYTES_MAX = 64 * 1024 * 1024;
const PART_BYTES = 256 * 1024;
const HEARTBEAT_MS = 500;

export interface Scan {
  readonly found: readonly { readonly path: string; readonly fingerprint: string }[];
  /** What may hold one all the same: binary, larger than 64 MiB, a link that leads out, not to be read. */
  readonly skipped: readonly { readonly path: string; readonly why: string }[];
  /** How many files were looked at. */
  readonly files: number;
  /** Known ones that cannot be told here, since another installation fingerprinted them. */
  readonly foreign: readonly string[];
}

interface Entry {
  /** As it is shown. */
  readonly path: string;
  readonly real: string;
  /** Null: to be read. */
  readonly why: string | null;
}

/**
 * Looks through files and folders, from the folder of backout.yaml. Throws `not-found` where one of `paths` is not there. A link is not followed: within its
 * folder what it leads to is looked at anyway, and one that leads out is told as skipped.
 */
export const scanFiles = (
  folder: string,
  paths: readonly string[],
  known: ReadonlySet<string>,
  { signal, heartbeat }: Pick<AdapterCall<unknown>, 'signal' | 'heartbeat'>,
): Promise<Scan> =>
  guarded(signal, async () => {
    const finder = new Finder(folder, known);
    const [found, skipped]: [Scan['found'][number][], Scan['skipped'][number][]] = [[], []];
    let files = 0;
    const beat = setInterval(() => {
      heartbeat(`looked for revoked secrets in ${files} files`);
    }, HEARTBEAT_MS);
    try {
      for (const path of paths)
        for await (const entry of entriesOf(path, fs.realpathSync(resolve(folder, path)))) {
          signal.throwIfAborted();
          const here = new Set<string>();
          const why = entry.why ?? (await lookedThrough(entry.real, finder, here, signal));
          finder.forget();
          found.push(...[...here].map((fingerprint) => ({ path: entry.path, fingerprint })));
          if (why === null) files += 1;
          else skipped.push({ path: entry.path, why });
        }
      return { found, skipped, files, foreign: finder.foreign };
    } finally {
      clearInterval(beat);
    }
  });

/** All that lies there; `root` is where it really is. */
async function* entriesOf(path: string, root: string): AsyncGenerator<Entry> {
  if (!fs.statSync(root).isDirectory()) {
    yield { path, real: root, why: null };
    return;
  }
  const left = [root];
  for (let at = left.pop(); at !== undefined; at = left.pop()) {
    const entries = await fs.promises.readdir(at, { withFileTypes: true }).catch(reasonOf);
    if (typeof entries === 'string') {
      yield { path: join(path, relative(root, at)), real: at, why: entries };
      continue;
    }
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const real = join(at, entry.name);
      const one = { path: join(path, relative(root, real)), real };
      if (entry.isDirectory()) left.push(real);
      else if (entry.isFile()) yield { ...one, why: null };
      else if (!entry.isSymbolicLink()) yield { ...one, why: 'no plain file' };
      else if (!leadsWithin(root, real)) yield { ...one, why: 'a link out of the folder, or to nothing' };
    }
  }
}

function leadsWithin(root: string, link: string): boolean {
  try {
    return !relative(root, fs.realpathSync(link)).startsWith('..');
  } catch {
    return false; // It leads to nothing, or in a circle.
  }
}

/** In constant memory. Why not all of it was looked at, in words; null: it was. What has become a link or a pipe since it was listed is neither followed nor waited for. */
async function lookedThrough(path: string, finder: Finder, found: Set<string>, signal: AbortSignal): Promise<string | null> {
  try {
    const file = await fs.promises.open(path, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK);
    try {
      const stats = await file.stat();
      if (!stats.isFile()) return 'no plain file';
      if (stats.size > BYTES_MAX) return 'larger than 64 MiB';
      for await (const lines of linesOf(partsOf(file, signal))) finder.look(lines, found);
      return null;
    } finally {
      await file.close();
    }
  } catch (error) {
    return error instanceof Binary ? 'binary' : reasonOf(error);
  }
}

class Binary extends Error {}

async function* partsOf(file: fs.promises.FileHandle, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  for (;;) {
    signal.throwIfAborted();
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(PART_BYTES), 0, PART_BYTES, null);
    if (bytesRead === 0) return;
    const part = buffer.subarray(0, bytesRead);
    if (part.includes(0)) throw new Binary('binary');
    yield part;
  }
}

const REASONS: Readonly<Record<string, string>> = { EACCES: 'may not be read', EPERM: 'may not be read', ENOENT: 'gone meanwhile', ELOOP: 'has become a link' };

function reasonOf(error: unknown): string {
  const reason = error instanceof Error && 'code' in error ? REASONS[String(error.code)] : undefined;
  if (reason === undefined) throw error;
  return reason;
}
