/**
 * The folder in which a service looks up the keys that it accepts: `<id>.json`, one per generation, never with its secret; `<id>.used`, when and by whom
 * it was last used, which the service writes, in one rename. Whoever changes it holds its lease, which lies in `<folder>.backout/`.
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { z } from 'zod';
import { AdapterError, type AdapterCall } from '../adapters/adapter.ts';
import { Lease, superseded } from '../adapters/releases-lease.ts';
import { readIfThere, syncFolder, writeNew } from '../configs/env-file-kept.ts';
import { jsonOf, makeOwn } from './kept.ts';

const ID = /^[A-Za-z0-9][\w-]{0,63}$/;
const BYTES_MAX = 64 * 1024;

/** What else a service keeps in there stays. */
const recordSchema = z.looseObject({
  id: z.string().regex(ID),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  scopes: z.array(z.string()),
  /** Null: all. */
  tenants: z.array(z.string()).nullable(),
  state: z.enum(['live', 'revoked']),
  issuedAt: z.iso.datetime({ offset: true }).nullable().default(null),
  /** `rollbackId/step`. */
  operation: z.string().nullable().default(null),
});
const usedSchema = z.looseObject({ lastUsedAt: z.iso.datetime({ offset: true }), lastUsedBy: z.string().nullable().default(null) });

export type KeyRecord = z.infer<typeof recordSchema>;
export interface Used {
  /** In UTC and ms, so that it is compared as text. */
  readonly lastUsedAt: string | null;
  readonly lastUsedBy: string | null;
}

export const sha256 = (secret: string): string => createHash('sha256').update(secret).digest('hex');

export class KeyFolder {
  /** Behind all links, so that there is one lease for it. */
  readonly path: string;

  constructor(path: string) {
    if (!fs.statSync(path, { throwIfNoEntry: false })?.isDirectory())
      throw new AdapterError('configuration', `there is no folder ${resolve(path)}: option "folder" names where the service looks its keys up`);
    this.path = fs.realpathSync(path);
  }

  /** For the lease, and for secrets where no other place is configured. */
  get own(): string {
    return `${this.path}.backout`;
  }

  /** Newest first. A file that is no generation is an error: nobody knows whether the service accepts it. */
  all(): KeyRecord[] {
    const names = fs.readdirSync(this.path).filter((name) => name.endsWith('.json') && !name.startsWith('.'));
    const records = names.flatMap((name) => this.read(basename(name, '.json')) ?? []);
    return records.toSorted((a, b) => Date.parse(b.issuedAt ?? '1970-01-01') - Date.parse(a.issuedAt ?? '1970-01-01') || (a.id < b.id ? 1 : -1));
  }

  /** Null where there is none. */
  read(id: string): KeyRecord | null {
    const bytes = ID.test(id) ? bytesOf(join(this.path, `${id}.json`)) : null;
    if (bytes === null && ID.test(id)) return null;
    const record = bytes === null ? null : recordSchema.safeParse(jsonOf(bytes));
    if (record?.success !== true || record.data.id !== id)
      throw new AdapterError('unexpected-response', `${JSON.stringify(id.slice(0, 64))} in ${this.path} is no generation of a key: mend it, or take it away`);
    return record.data;
  }

  used(id: string): Used {
    const bytes = bytesOf(join(this.path, `${id}.used`));
    if (bytes === null) return { lastUsedAt: null, lastUsedBy: null };
    const used = usedSchema.safeParse(jsonOf(bytes));
    if (!used.success)
      throw new AdapterError('unexpected-response', `${join(this.path, `${id}.used`)} cannot be read: does the service write it in one rename?`);
    const { lastUsedAt, lastUsedBy } = used.data;
    return { lastUsedAt: new Date(lastUsedAt).toISOString(), lastUsedBy: lastUsedBy?.replaceAll(/\p{Cc}/gu, ' ').slice(0, 100) ?? null };
  }

  /** Does it alone, after whoever is at it; what an earlier one had prepared is gone. */
  async alone<T>(call: Pick<AdapterCall<unknown>, 'operationId' | 'signal' | 'heartbeat'>, work: (lease: Lease) => Promise<T>): Promise<T> {
    makeOwn(this.own);
    const lease = await Lease.acquire(call, this.own);
    try {
      for (const name of fs.readdirSync(this.path)) if (/^\.next-.*\.json\.\d+$/.test(name)) fs.rmSync(join(this.path, name), { force: true });
      return await work(lease);
    } finally {
      lease.release();
    }
  }

  /** One rename, in the same breath as `look`, which throws where it must not be. A new one is given the folder's owner, and its group if that may read. */
  put(record: KeyRecord, lease: Lease, look: () => void): void {
    const target = join(this.path, `${record.id}.json`);
    const prepared = join(this.path, `.${basename(lease.prepared(target))}`);
    const old = fs.lstatSync(target, { throwIfNoEntry: false });
    const { mode, uid, gid } = fs.statSync(this.path);
    try {
      writeNew(prepared, `${JSON.stringify(record, null, 2)}\n`, old ?? { mode: (mode & 0o040) === 0 ? 0o600 : 0o640, uid, gid });
      lease.hold();
      look();
      // A successor has removed what was prepared: the rename is the fence itself.
      if (!fs.existsSync(prepared)) throw superseded();
      fs.renameSync(prepared, target);
    } finally {
      fs.rmSync(prepared, { force: true });
    }
    syncFolder(this.path);
  }
}

/** Null where there is nothing. A link is followed nowhere: others may write here. */
function bytesOf(path: string): Buffer | null {
  const stats = fs.lstatSync(path, { throwIfNoEntry: false });
  if (stats !== undefined && (!stats.isFile() || stats.size > BYTES_MAX))
    throw new AdapterError('unexpected-response', `${path} is no plain file of ${BYTES_MAX} bytes at most`);
  return readIfThere(path);
}
