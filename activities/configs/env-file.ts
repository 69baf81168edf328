/**
 * `env-file`: a component's environment file on the worker's machine, put back key by key [001 step 3b]. What was recorded lies beside it in
 * `<path>.backout/`; the file itself keeps its comments, its order, its mode and its owner. By hand, the same:
 *   node activities/configs/env-file.ts apply --path .env --mark ID [--keep KEY]… [-- RELOAD…]
 */
import * as fs from 'node:fs';
import { isUtf8 } from 'node:buffer';
import { basename, dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { AdapterError, type AdapterErrorKind } from '../adapters/adapter.ts';
import { Lease, superseded } from '../adapters/releases-lease.ts';
import { runCommand } from '../command.ts';
import { edit, entriesOf, lastOf, type Edit, type Entry } from './env-file-lines.ts';
import { KeptValues, readIfThere, syncFolder, writeNew } from './env-file-kept.ts';
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

const FILE_MAX = 1024 * 1024;
const RELOAD_SECONDS = 60;
const HEARTBEAT_MS = 500;
/** As many as Linux follows. */
const LINKS_MAX = 40;

const KINDS: Readonly<Record<string, AdapterErrorKind>> = {
  EACCES: 'unauthorized',
  EPERM: 'unauthorized',
  EROFS: 'unauthorized',
  ENOENT: 'not-found',
  EEXIST: 'conflict',
};

/** Nothing but an AdapterError leaves: the system's errors name a file and a reason, and hold no value. */
async function guarded<T>(signal: AbortSignal, act: () => Promise<T> | T): Promise<T> {
  try {
    signal.throwIfAborted();
    return await act();
  } catch (error) {
    if (error instanceof AdapterError) throw error;
    if (signal.aborted) throw new AdapterError('unavailable', 'stopped as asked; what was not finished is found by the next attempt', { cause: error });
    const code = error instanceof Error && 'code' in error ? error.code : null;
    throw new AdapterError(KINDS[String(code)] ?? 'unexpected-response', error instanceof Error ? error.message : 'no error', { cause: error });
  }
}

interface File {
  /** The file itself, behind all links. */
  readonly target: string;
  readonly bytes: Buffer | null;
  readonly stats: fs.Stats | null;
}

/** Null bytes: there is no file. */
function read(path: string): File {
  const target = targetOf(path);
  const stats = fs.statSync(target, { throwIfNoEntry: false }) ?? null;
  if (stats !== null && !stats.isFile()) throw new AdapterError('configuration', `${path} is no file`);
  if (stats !== null && stats.size > FILE_MAX) throw new AdapterError('configuration', `${path} is larger than ${FILE_MAX} bytes: no environment file`);
  const bytes = readIfThere(target);
  if (bytes !== null && !isUtf8(bytes)) throw new AdapterError('configuration', `${path} is not UTF-8, and would not survive being written`);
  return { target, bytes, stats };
}

/** A link may lead to what is not there yet. */
function targetOf(path: string): string {
  if (fs.existsSync(path)) return fs.realpathSync(path);
  let target = path;
  for (let hop = 0; hop < LINKS_MAX && fs.lstatSync(target, { throwIfNoEntry: false })?.isSymbolicLink(); hop++)
    target = resolve(dirname(target), fs.readlinkSync(target));
  return target;
}

const textOf = ({ bytes }: File): string => bytes?.toString('utf8') ?? '';
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
      const lease = await Lease.acquire(call, kept.folder);
      const beat = setInterval(() => {
        call.heartbeat(`setting back ${call.options.path}`);
      }, HEARTBEAT_MS);
      try {
        const file = read(path);
        const change = edit(textOf(file), wanted, new Set(call.options.keep));
        if (change === null)
          throw new AdapterError(
            'failed',
            `${path} has lines that no machine should edit, an open quote perhaps; nothing was changed: mend it, or set the keys by hand`,
          );
        if (textOf(file) !== change.text) replace(call, path, file, change, kept, lease);
        const reload = call.options.reload && kept.isReloadDue() ? await reloaded(call, call.options.reload, path, kept) : null;
        const { set, added, removed } = change;
        const count = set.length + added.length + removed.length;
        return {
          after: { set: sorted(set), added: sorted(added), removed: sorted(removed), ...(reload === null ? {} : { reload }) },
          ids: { recorded: mark.id },
          detail: count === 0 ? `${call.options.path} was as recorded` : `${count} keys of ${call.options.path} set back`,
        };
      } finally {
        clearInterval(beat);
        lease.release();
      }
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

/** One rename in the file's own folder, in the same breath as the last look at the file and at the lease. */
function replace(call: Call, path: string, file: File, change: Edit, kept: KeptValues, lease: Lease): void {
  const folder = dirname(file.target);
  const old = `.next-${basename(file.target)}.`;
  for (const name of fs.readdirSync(folder)) if (name.startsWith(old) && /^\d+$/.test(name.slice(old.length))) fs.rmSync(join(folder, name), { force: true });
  const prepared = join(folder, `.${basename(lease.prepared(file.target))}`);
  try {
    writeNew(prepared, change.text, file.stats ?? undefined);
    if (call.options.reload) kept.setReloadDue(true);
    call.heartbeat(`writing ${call.options.path}`);
    call.signal.throwIfAborted();
    lease.hold();
    const now = read(path);
    const isSame = now.target === file.target && now.stats?.ino === file.stats?.ino && now.stats?.mode === file.stats?.mode && textOf(now) === textOf(file);
    if (!isSame || (now.bytes === null) !== (file.bytes === null))
      throw new AdapterError(
        'conflict',
        `somebody else has changed ${path} while it was being set back; their change is in place, and nothing was changed here`,
      );
    // A successor has removed what was prepared: the rename is the fence itself.
    if (!fs.existsSync(prepared)) throw superseded();
    // What has come into being meanwhile is nobody's to replace.
    if (file.bytes === null) fs.linkSync(prepared, file.target);
    else fs.renameSync(prepared, file.target);
  } finally {
    fs.rmSync(prepared, { force: true });
  }
  syncFolder(folder);
}

/** Its output may hold values: it stays beside them, and is in no message. */
async function reloaded(call: Call, command: readonly string[], path: string, kept: KeptValues): Promise<string> {
  const log = join(kept.folder, 'reload.log');
  const output = fs.openSync(log, 'w', 0o600);
  try {
    const env = { BACKOUT_ENVIRONMENT: call.environment, BACKOUT_COMPONENT: call.component };
    const { exit } = await runCommand({ command, cwd: call.folder, seconds: RELOAD_SECONDS, env, output }, call.signal);
    if (exit !== '0')
      throw new AdapterError(
        'failed',
        `${path} is written as recorded, but its reload ${command[0]} ended with ${exit}; what runs may hold the old values; its output: ${log}`,
      );
    kept.setReloadDue(false);
    return exit;
  } finally {
    fs.closeSync(output);
  }
}

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
