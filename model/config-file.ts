/** `backout.yaml`, from text to a checked configuration; every mistake with file, line and what was expected [product.md 8]. */
import { isNode, LineCounter, parseDocument, type Document } from 'yaml';
import type { z } from 'zod';
import { configSchema, type Config } from './config.ts';

export interface ConfigMistake {
  readonly file: string;
  readonly line: number;
  readonly path: string;
  readonly message: string;
}

/** Thrown for a configuration that cannot be used. The message has every mistake, one a line. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly mistakes: readonly ConfigMistake[];
  constructor(mistakes: readonly ConfigMistake[]) {
    super(mistakes.map((one) => `${one.file}:${one.line}: ${one.path === '' ? '' : `${one.path}: `}${one.message}`).join('\n'));
    this.mistakes = mistakes;
  }
}

export interface LoadedConfig {
  readonly config: Config;
  readonly file: string;
  /** Folder of the file; relative paths in it start here. */
  readonly folder: string;
  /** Checks a part of the file against an adapter's own schema, with the same kind of error. */
  check<T>(schema: z.ZodType<T>, value: unknown, path: readonly PropertyKey[]): T;
}

export function parseConfig(source: string, file: string, folder: string): LoadedConfig {
  const lines = new LineCounter();
  const document = parseDocument(source, { lineCounter: lines });
  const broken = document.errors.map((error) => ({ file, line: error.linePos?.[0].line ?? 1, path: '', message: error.message.split('\n')[0] ?? 'not YAML' }));
  if (broken.length > 0) throw new ConfigError(broken);
  const check = <T>(schema: z.ZodType<T>, value: unknown, path: readonly PropertyKey[]): T => {
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    throw new ConfigError(parsed.error.issues.flatMap((issue) => mistakes(issue, [...path, ...issue.path], { document, lines, file })));
  };
  return { config: check(configSchema, document.toJS() ?? {}, []), file, folder, check };
}

interface Place {
  readonly document: Document;
  readonly lines: LineCounter;
  readonly file: string;
}

function mistakes(issue: z.core.$ZodIssue, path: readonly PropertyKey[], place: Place): ConfigMistake[] {
  const keys = issue.code === 'unrecognized_keys' ? issue.keys : [null];
  return keys.map((key) => {
    const full = key === null ? path : [...path, key];
    return { file: place.file, line: lineOf(full, place), path: full.map(String).join('.'), message: key === null ? sentence(issue) : 'no such setting here' };
  });
}

/** The line of the deepest node of the path that exists: a missing key is shown where it should have been. */
function lineOf(path: readonly PropertyKey[], { document, lines }: Place): number {
  for (let depth = path.length; depth > 0; depth -= 1) {
    const parent = depth === 1 ? document.contents : document.getIn(path.slice(0, depth - 1), true);
    const key = path[depth - 1];
    if (isNode(parent) && 'items' in parent) {
      const pair = (parent.items as { key?: unknown }[]).find((item) => isNode(item.key) && String(item.key) === String(key)); // YAML's own collections hold pairs or nodes.
      if (pair && isNode(pair.key) && pair.key.range) return lines.linePos(pair.key.range[0]).line;
    }
    const node = document.getIn(path.slice(0, depth), true);
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return 1;
}

/** Zod's words, with what was expected always named. */
function sentence(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_value') return `expected one of ${issue.values.map(String).join(', ')}`;
  if (issue.code === 'invalid_type') return `expected ${issue.expected}${issue.message.includes('undefined') ? ', and it is missing' : ''}`;
  // Of a key: what was expected stands inside.
  if (issue.code === 'invalid_key' && issue.issues[0]) return sentence(issue.issues[0]);
  if (issue.code === 'invalid_format' && issue.format === 'url') return 'expected an http or https URL';
  return issue.message.charAt(0).toLowerCase() + issue.message.slice(1);
}
