/**
 * Postgres refuses to run as root, and a root's checkout may lie where no other user can look. So as root it runs, in this order,
 * - as another user only in its own eyes (a user namespace): everything stays root's;
 * - as `postgres` or `nobody`, with the one capability that lets it pass through root's folders (containers forbid the first);
 * - as that user plainly.
 */
import { chmod, chown, lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { LocalProblem } from './problem.ts';
import { answers, outputOf } from './processes.ts';

export interface Runner {
  /** Words before the binary. */
  readonly prefix: readonly string[];
  /** To be given to `spawn`. */
  readonly identity: { readonly uid?: number; readonly gid?: number };
  /** Who must own the data; null: whoever makes it. */
  readonly owner: { readonly uid: number; readonly gid: number } | null;
}

export type RunnerName = 'plain' | 'namespace' | 'capability' | 'user';

/** The first way that can execute `binary` and write in `folder`; `only` is for the tests. */
export async function chooseRunner(binary: string, folder: string, only?: RunnerName): Promise<Runner> {
  if (process.getuid?.() !== 0) return { prefix: [], identity: {}, owner: null };
  const candidates: [RunnerName, Runner][] = [['namespace', inNamespace()]];
  const other = await otherUser();
  if (other !== null) candidates.push(['capability', withCapability(other)], ['user', { prefix: [], identity: other, owner: other }]);
  for (const [name, runner] of candidates) {
    if (only !== undefined && only !== name) continue;
    // Others may pass through it then, not list it; what is secret in it is 0600 by itself.
    if (name === 'user') await chmod(folder, 0o711);
    if (await works(runner, binary, folder)) return runner;
  }
  throw new LocalProblem(
    'postgres-failed',
    `Postgres does not run as root, and no other way works here (tried: ${candidates.map(([name]) => name).join(', ')}).`,
    'Run Backout as an ordinary user who owns the checkout, or set DATABASE_URL.',
  );
}

function inNamespace(): Runner {
  return { prefix: ['unshare', '--user', '--map-user=1000', '--map-group=1000', '--'], identity: {}, owner: { uid: 0, gid: 0 } };
}

function withCapability({ uid, gid }: { readonly uid: number; readonly gid: number }): Runner {
  const capability = ['--inh-caps', '+dac_override', '--ambient-caps', '+dac_override'];
  return { prefix: ['setpriv', '--reuid', String(uid), '--regid', String(gid), '--clear-groups', ...capability, '--'], identity: {}, owner: { uid, gid } };
}

async function otherUser(): Promise<{ uid: number; gid: number } | null> {
  for (const name of ['postgres', 'nobody']) {
    const [uid, gid] = [await outputOf(['id', '-u', name]), await outputOf(['id', '-g', name])].map(Number);
    if (uid !== undefined && gid !== undefined && uid > 0 && gid > 0) return { uid, gid };
  }
  return null;
}

/**
 * A dry run: not root in its own eyes, the binary within reach, the folder too. Postgres looks for its own binary with access(2), which does not count
 * capabilities; `find -executable` asks the same way, the shell's own test does not.
 */
async function works({ prefix, identity }: Runner, binary: string, folder: string): Promise<boolean> {
  const test = '[ "$(id -u)" != 0 ] && [ -n "$(find "$0" -maxdepth 0 -executable)" ] && cd "$1"';
  return answers([...prefix, 'sh', '-c', test, binary, folder], { identity });
}

/** Gives a folder and all in it to the owner that the way of running asks for: the way may have changed since the last start. */
export async function giveTo(path: string, owner: Runner['owner']): Promise<void> {
  if (owner === null) return;
  const { uid, gid } = await lstat(path);
  if (uid !== owner.uid || gid !== owner.gid) await giveAll(path, owner);
}

async function giveAll(path: string, owner: { readonly uid: number; readonly gid: number }): Promise<void> {
  const children = await readdir(path, { withFileTypes: true }).catch(() => []);
  for (const child of children) {
    const inside = join(path, child.name);
    if (child.isDirectory()) await giveAll(inside, owner);
    else if (!child.isSymbolicLink()) await chown(inside, owner.uid, owner.gid);
  }
  // Last, so that an interrupted change is seen as not done.
  await chown(path, owner.uid, owner.gid);
}
