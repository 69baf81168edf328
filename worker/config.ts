/** Where the worker finds what it needs: flags of the environment, the ecosystem's profiles, `backout.yaml`. */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { ConfigError, parseConfig, type LoadedConfig } from '../model/config-file.ts';

/** The path of `backout.yaml`: BACKOUT_CONFIG, or the one in this folder. */
export const configPath = (): string => resolve(process.env['BACKOUT_CONFIG'] ?? 'backout.yaml');

/** What was read last, by path: every activity asks, and hardly ever has anything changed. */
const read = new Map<string, { readonly source: string; readonly loaded: LoadedConfig }>();

export async function loadConfig(path: string): Promise<LoadedConfig> {
  let source: string;
  try {
    source = await readFile(path, 'utf8');
  } catch {
    throw new ConfigError([{ file: path, line: 1, path: '', message: 'the file cannot be read; write one with backout init, or set BACKOUT_CONFIG' }]);
  }
  const last = read.get(path);
  if (last?.source === source) return last.loaded;
  const loaded = parseConfig(source, path, dirname(path));
  read.set(path, { source, loaded });
  return loaded;
}
