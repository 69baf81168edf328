/** The only copy of a workflow that is about to be deleted: n8n has no way back. A file for the worker alone, since a workflow may hold secrets. */
import { createHash, randomUUID } from 'node:crypto';
import { link, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { AdapterError } from '../adapters/adapter.ts';
import { NAME, type Workflow } from './n8n-api.ts';

export interface Kept {
  readonly file: string;
  readonly sha256: string;
}

const versionsSchema = z.object({ id: z.string(), versionId: z.string().nullable(), activeVersionId: z.string().nullable() });

/** Steps and generations of one rollback share the folder, so that a second try finds what the first one kept. */
function folderOf(folder: string, operationId: string): string {
  const rollbackId = operationId.split('/').slice(0, -2).join('/') || operationId;
  return join(folder, '.backout/tenants', encodeURIComponent(rollbackId).replaceAll('.', '%2E'));
}

const failed = (action: string, error: unknown): AdapterError =>
  new AdapterError(
    'configuration',
    `[${NAME}] ${action} failed: ${error instanceof Error && 'code' in error ? String(error.code) : 'the file cannot be used'}`,
  );

async function readIfThere(file: string): Promise<Buffer | null> {
  try {
    return await readFile(file);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw failed(`reading ${file}`, error);
  }
}

const kept = (file: string, bytes: Buffer): Kept => ({ file, sha256: createHash('sha256').update(bytes).digest('hex') });

/** What this rollback kept of it; null: it never came to delete it. */
export async function keptBefore(folder: string, operationId: string, id: string): Promise<Kept | null> {
  const file = join(folderOf(folder, operationId), `${id}.json`);
  const bytes = await readIfThere(file);
  return bytes === null ? null : kept(file, bytes);
}

/** Does the file have this draft, and the live version too while there is one? After unpublishing, n8n no longer tells which one was live. */
function covers(bytes: Buffer, { id, versionId, activeVersionId }: Workflow): boolean {
  try {
    const before = versionsSchema.safeParse(JSON.parse(bytes.toString('utf8'))).data;
    return before?.id === id && before.versionId === versionId && (activeVersionId === null || activeVersionId === before.activeVersionId);
  } catch {
    return false;
  }
}

/** What is there is never written over: a workflow that was changed since is kept beside it. */
export async function keep(folder: string, operationId: string, workflow: Workflow, whole: unknown): Promise<Kept> {
  const place = folderOf(folder, operationId);
  const bytes = Buffer.from(`${JSON.stringify(whole, null, 2)}\n`);
  const temporary = join(place, `${randomUUID()}.tmp`);
  try {
    await mkdir(place, { recursive: true, mode: 0o700 });
    // The folder may be in somebody's repository.
    await writeFile(join(folder, '.backout/.gitignore'), '*\n', { flag: 'wx' }).catch(() => null);
    for (let number = 1; ; number += 1) {
      const file = join(place, `${workflow.id}${number === 1 ? '' : `.${number}`}.json`);
      const there = await readIfThere(file);
      if (there !== null && covers(there, workflow)) return kept(file, there);
      if (there === null && (await written(temporary, file, bytes))) return kept(file, bytes);
    }
  } catch (error) {
    throw error instanceof AdapterError ? error : failed(`keeping the workflow in ${place}`, error);
  } finally {
    await rm(temporary, { force: true }).catch(() => null);
  }
}

/** In one step and on the disk; false where another attempt was faster. */
async function written(temporary: string, file: string, bytes: Buffer): Promise<boolean> {
  const handle = await open(temporary, 'w', 0o600);
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
  try {
    await link(temporary, file);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}
