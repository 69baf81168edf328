/**
 * `env-file`: one key of an environment file on the worker's machine holds the credential [004 section 5.2]. The file keeps its comments, its order, its
 * quotes, its mode and its owner, and is written under the same lease as `env-file` of a component's configuration.
 */
import * as fs from 'node:fs';
import { resolve } from 'node:path';
import { z } from 'zod';
import { AdapterError } from '../adapters/adapter.ts';
import { behindLinks, guarded, read, rewrite, targetOf, textOf, type File } from '../configs/env-file-disk.ts';
import { KeptValues } from '../configs/env-file-kept.ts';
import { edit, entriesOf, type Entry, type Written } from '../configs/env-file-lines.ts';
import type { CredentialHolder } from './authority.ts';

const optionsSchema = z.strictObject({
  path: z.string().min(1).describe('The file, from the folder of backout.yaml'),
  key: z
    .string()
    .regex(/^[A-Za-z_][\w.-]{0,127}$/)
    .describe('The key whose value is the credential'),
  reload: z.array(z.string()).min(1).optional().describe('Program and arguments, run in the folder of backout.yaml after a change, for 60 s at most'),
});
export type EnvKeyOptions = z.infer<typeof optionsSchema>;

export const envFile: CredentialHolder<EnvKeyOptions> = {
  name: 'env-file',
  options: optionsSchema,
  limits: [
    'One Linux machine: who may write is told by /proc, and the file must not be shared with another machine.',
    'A writer that changes the file in the instant between the last look at it and its replacement is overwritten; one that keeps it open writes into the old file.',
    'The file is replaced: hard links, access control lists and extended attributes stay with the old one, and a file that is a mount point cannot be written.',
    'A key that stands there twice is for a person to mend, because programs differ in which line they read; what is commented out is left alone.',
    'What runs reads the file when it likes: without reload, at its next start. The output of reload stays in <path>.backout/, and may hold secrets.',
  ],
  read: ({ signal, folder, options }) => guarded(signal, () => entryOf(read(resolve(folder, options.path)), options)?.value || null),
  place: ({ folder, options }) => ({ path: behindLinks(resolve(folder, options.path)), key: options.key }),
  reloads: ({ options }) => options.reload !== undefined,
  write: (call, secret) =>
    guarded(call.signal, async () => {
      const { path, key, reload: command } = call.options;
      if (secret === '') throw new AdapterError('configuration', `there is no secret to write to ${key} of ${path}`);
      const kept = new KeptValues(resolve(call.folder, path), key);
      if (!fs.existsSync(targetOf(resolve(call.folder, path)))) throw missing(path);
      kept.open();
      const env = { BACKOUT_ENVIRONMENT: call.environment, BACKOUT_CREDENTIAL: call.credential };
      const { change, reload } = await rewrite({ call, path, kept, reload: command, env, change: (file) => changed(file, call.options, secret) });
      const written = change.set.length + change.added.length > 0;
      return {
        after: { written, ...(reload === null ? {} : { reload }) },
        detail: `${key} of ${path} ${written ? 'is written' : 'held it already'}${reload === null ? '' : ', and what runs is reloaded'}`,
      };
    }),
};

/** A file that this made would be one that nobody else may read, and perhaps not the one that anybody reads. */
const missing = (path: string): AdapterError => new AdapterError('not-found', `there is no file ${path} to hold the credential; nothing was changed`);

/** The line that sets the key; null where there is none. */
function entryOf(file: File, { path, key }: EnvKeyOptions): Entry | null {
  const [entry = null, ...more] = entriesOf(textOf(file)).filter((one) => one.key === key);
  if (more.length > 0)
    throw new AdapterError('configuration', `${key} stands ${more.length + 1} times in ${path}, and programs differ in which they read: leave one`);
  return entry;
}

/** Every other key is kept as it is, and the value's own quotes. */
function changed(file: File, options: EnvKeyOptions, secret: string): ReturnType<typeof edit> {
  if (file.bytes === null) throw missing(options.path);
  const text = textOf(file);
  const entry = entryOf(file, options);
  const [, quote = ''] = /^(["'`]).*\1$/s.exec(entry?.raw ?? '') ?? [];
  const wanted: Written = { value: secret, raw: quote + secret + quote, exported: entry?.exported ?? false };
  const others = entriesOf(text).map(({ key }) => key);
  return edit(text, new Map([[options.key, wanted]]), new Set(others.filter((key) => key !== options.key)));
}
