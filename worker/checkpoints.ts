/**
 * The chain's head, left outside Postgres: whoever rewrites the record and the histories kept beside it
 * cannot rewrite this file with the same hand. One JSON line each; `backout audit` compares them.
 */
import { appendFile, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';

export const checkpointFile = (folder: string): string => join(folder, '.backout', 'checkpoints.jsonl');

export const checkpointer = (folder: string, warn: (message: string) => void) => {
  let last = 0;
  return async (position: { readonly seq: number; readonly head: string }): Promise<void> => {
    if (position.seq <= last) return;
    last = position.seq;
    const file = checkpointFile(folder);
    try {
      await mkdir(dirname(file), { recursive: true });
      await appendFile(file, `${JSON.stringify({ seq: position.seq, head: position.head, at: new Date().toISOString() })}\n`);
    } catch (error) {
      warn(`the checkpoint of the record could not be written to ${file}: ${error instanceof Error ? error.message : 'unknown error'}`);
    }
  };
};
