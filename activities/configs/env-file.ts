/**
 * `env-file`: a component's environment file on the worker's machine, put back key by key [001 step 3b]. What was recorded lies beside it in
 * `<path>.backout/`; the file itself keeps its comments, its order, its mode and its owner. By hand, the same:
 *   node activities/configs/env-file.ts apply --path .env --mark ID [--keep KEY]… [-- RELOAD…]
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { AdapterError } from '../adapters/adapter.ts';
import { behindLinks, guarded, read, rewrite, textOf, type File } from './env-file-disk.ts';
import { KeptValues } from './env-file-kept.ts';
import { edit, entriesOf, lastOf, type Entry } from './env-file-lines.ts';
import type { ConfigCall, ConfigSource } from './source.ts';

const key = z.string().min(1);
const optionsSchema = z.strictObject({
  path: z.string().min(1).describe('The file, from the folder of backout.yaml; what was recorded lies beside it in <path>.backout/'),
  plain: z.array(key).default([]).describe('Keys whose values may be shown; every other one is a secret'),
  keep: z.array(key).default([]).describe('Keys that are never compared nor touched, such as credentials that were rotated since'),
  reload: z.array(z.string()).min(1).optional().describe('Program and arguments, run in the folder of backout.yaml after a change, for 60 s at most'),
});
export type EnvFileOptions = z.infer<typeof optionsSchema>;
type Call = ConfigCall<EnvFileOptions>;

const placeOf = ({ folder, options }: Pick<Call, 'folder' | 'options'>): string => resolve(folder, options.path);

export const envFile: ConfigSource<EnvFileOptions> = {
  name: 'env-file',
  options: optionsSchema,
  limits: [
    'One Linux machine: who may write is told by /proc, and the file must not be shared with another machine.',
    'A writer that changes the file in the instant between the last look at it and its replacement is overwritten; one that keeps it open writes into the old file.',
    'The file is replaced: hard links, access control lists and extended attributes stay with the old one, and a file that is a mount point cannot be set back.',
    'Keys are letters, digits and _ . - only; other lines are left alone. A value on several lines needs quotes, or its lines may be taken for keys.',
    'What runs reads the file when it likes: without reload, at its next start. A key listed in keep is not brought back where the whole file is gone.',
    'Backups and images of the machine have <path>.backout/ too: it holds secrets, as the file itself does.',
  ],
  record: (call) =>
    guarded(call.signal, () => {
      const path = placeOf(call);
      const file = read(path);
      if (file.bytes === null) throw new AdapterError('not-found', `there is no file ${path} to record`);
      const kept = new KeptValues(path);
      const entries = held(file, call);
      const id = kept.record(entries.values());
      return { id, keys: Object.fromEntries(sorted(entries.keys()).map((name) => [name, shown(call, kept, name, entries.get(name)?.value ?? '')])) };
    }),
  compare: (call, mark) =>
    guarded(call.signal, () => {
      const path = placeOf(call);
      const kept = new KeptValues(path);
      const [now, then] = [held(read(path), call), kept.read(mark.id)];
      const show = (name: string, value: string | undefined): string | null => (value === undefined ? null : shown(call, kept, name, value));
      return (
        sorted(new Set([...now.keys(), ...then.keys()]))
          .filter((name) => !call.options.keep.includes(name))
          // oxlint-disable-next-line unicorn/no-thenable -- The port's word: text, and never awaited.
          .map((name) => ({ key: name, now: show(name, now.get(name)?.value), then: show(name, then.get(name)?.value) }))
      );
    }),
  apply: (call, mark) =>
    guarded(call.signal, async () => {
      const path = placeOf(call);
      const kept = new KeptValues(path);
      const wanted = kept.read(mark.id);
      const { path: shownPath, keep, reload: command } = call.options;
      const { change, reload } = await rewrite({
        call,
        path: shownPath,
        kept,
        reload: command,
        env: { BACKOUT_ENVIRONMENT: call.environment, BACKOUT_COMPONENT: call.component },
        change: (file) => edit(textOf(file), wanted, new Set(keep)),
      });
      const { set, added, removed } = change;
      const count = set.length + added.length + removed.length;
      return {
        after: { set: sorted(set), added: sorted(added), removed: sorted(removed), ...(reload === null ? {} : { reload }) },
        ids: { recorded: mark.id },
        detail: count === 0 ? `${call.options.path} was as recorded` : `${count} keys of ${call.options.path} set back`,
      };
    }),
  without: ({ folder, options }, held) => {
    const path = behindLinks(placeOf({ folder, options }));
    const more = held.flatMap((one) => (one.path === path ? [one.key] : []));
    return more.length === 0 ? options : { ...options, keep: [...new Set([...options.keep, ...more])] };
  },
  recorded: (call, mark) =>
    guarded(call.signal, () => {
      const values = new KeptValues(placeOf(call)).read(mark.id);
      return new Map([...values].flatMap(([name, { value }]) => (call.options.keep.includes(name) ? [] : [[name, value]])));
    }),
  manual: ({ folder, options }, mark) => {
    const keep = options.keep.flatMap((name) => ['--keep', name]);
    const reload = options.reload ? ['--', ...options.reload] : [];
    const words = [process.execPath, import.meta.filename, 'apply', '--path', options.path, '--mark', mark.id, ...keep, ...reload];
    return [`cd ${quoted(folder)}`, words.map(quoted).join(' ')];
  },
};

/** In the order of code points, which no machine's language changes. */
const sorted = (names: Iterable<string>): string[] => [...names].sort((a, b) => (a < b ? -1 : 1));
const quoted = (word: string): string => (/^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`);

const held = (file: File, { options }: Call): Map<string, Entry> =>
  new Map([...lastOf(entriesOf(textOf(file)))].filter(([name]) => !options.keep.includes(name)));
const shown = ({ options }: Call, kept: KeptValues, name: string, value: string): string =>
  options.plain.includes(name) ? value : kept.fingerprint(name, value);

/** What `manual` gives: the same `apply`, with everything else down. */
async function main(argv: readonly string[]): Promise<void> {
  const text = { type: 'string' } as const;
  const options = { path: text, mark: text, keep: { type: 'string', multiple: true } } as const;
  const { values, positionals } = parseArgs({ args: [...argv], allowPositionals: true, options });
  const [word, ...reload] = positionals;
  if (word !== 'apply' || values.path === undefined || values.mark === undefined)
    throw new Error('usage: env-file.ts apply --path PATH --mark ID [--keep KEY]… [-- RELOAD…]');
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      abort.abort();
    });
  const receipt = await envFile.apply(
    {
      environment: 'by-hand',
      component: 'by-hand',
      options: optionsSchema.parse({ path: values.path, keep: values.keep, ...(reload.length === 0 ? {} : { reload }) }),
      folder: process.cwd(),
      operationId: `by-hand/${process.pid}`,
      signal: abort.signal,
      heartbeat: () => undefined,
      secret: () => Promise.reject(new AdapterError('configuration', 'an environment file needs no secret')),
    },
    { id: values.mark, keys: {} },
  );
  process.stdout.write(`${JSON.stringify(receipt)}\n`);
}

if (import.meta.main) {
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`env-file: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
