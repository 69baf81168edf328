/** Secrets: resolved where they are needed, and taken out of whatever is going to be told. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { AdapterError } from './adapters/adapter.ts';

/** Resolves `env:NAME` and `file:PATH`, relative to the configuration; the value never goes into a message. */
export const secretOf =
  (folder: string) =>
  async (reference: string): Promise<string> => {
    const [kind, rest] = [reference.slice(0, reference.indexOf(':')), reference.slice(reference.indexOf(':') + 1)];
    if (kind === 'env') {
      const value = process.env[rest];
      if (value === undefined || value === '')
        throw new AdapterError('configuration', `the worker has no environment variable ${rest}, to which backout.yaml refers`);
      return value;
    }
    if (kind === 'file') {
      const path = resolve(folder, rest);
      return (
        await readFile(path, 'utf8').catch((cause: unknown) => {
          throw new AdapterError('configuration', `the worker cannot read ${path}, to which backout.yaml refers`, { cause });
        })
      ).trim();
    }
    throw new AdapterError('configuration', 'a secret is a reference: env:NAME or file:PATH');
  };

/** Takes secrets out of a text, also as they look in a URL, in a form, in JSON and in basic authentication. */
export function redactor(secrets: readonly string[]): (text: string) => string {
  const escaped = (text: string): string => JSON.stringify(text).slice(1, -1);
  const inForm = (text: string): string => new URLSearchParams([['', text]]).toString().slice(1);
  const forms = secrets
    .filter((secret) => secret !== '')
    .flatMap((text) => [text, encodeURIComponent(text), inForm(text), escaped(text), escaped(escaped(text)), Buffer.from(text).toString('base64')]);
  return (text) => forms.reduce((left, form) => left.replaceAll(form, '[secret]'), text);
}

/** A shorter one would be found in every other word. */
const SECRET_MIN = 6;

/**
 * For what the house's own commands print: they are told no secret by Backout, and find them where Backout does. Everything that this part of the
 * configuration refers to is taken out, of an address its password too; what cannot be resolved now is no secret that could be known.
 */
export async function hiding(config: unknown, folder: string): Promise<(text: string) => string> {
  const secret = secretOf(folder);
  const found = await Promise.all(referencesIn(config).map((reference) => secret(reference).catch(() => '')));
  return redactor(found.flatMap((value) => [value, ...passwordOf(value)]).filter((value) => value.length >= SECRET_MIN));
}

function referencesIn(value: unknown): string[] {
  if (typeof value === 'string') return /^(?:env|file):./.test(value) ? [value] : [];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(referencesIn) : [];
}

function passwordOf(value: string): string[] {
  if (!URL.canParse(value)) return [];
  const { password } = new URL(value);
  try {
    return [password, decodeURIComponent(password)];
  } catch {
    return [password]; // Not as a URL has it: it is what it is.
  }
}
