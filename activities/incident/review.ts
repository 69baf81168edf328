/**
 * Verification evidence is committed for review, under `docs/review/` of a configured repository [001 step 4]. With git's own plumbing:
 * no work tree and no index of anybody is touched, no hook is run, and the branch moves only from where it was seen.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { entryOf } from '../../model/record.ts';
import { AdapterError } from '../adapters/adapter.ts';
import { failed, fromError, operationIdOf, type Found } from '../found.ts';
import { tell } from '../notify.ts';
import type { Scene } from './scene.ts';
import { reviewMarkdown } from './review-text.ts';

const GIT_SECONDS = 60;
const NOBODY = '0'.repeat(40);

export async function review(scene: Scene): Promise<Found> {
  const { work, incident, loaded, environment, deps, attempt } = scene;
  const config = environment.review;
  if (!config) return failed('Configuration', 'no repository for review is configured any more');
  const branch = config.branch.replaceAll('{incident}', incident.id);
  const path = `docs/review/${incident.id}-${work.rollbackId.slice(0, 8)}.md`;
  try {
    const stored = await deps.store.entriesOf(work.rollbackId);
    // Entries that only this step carries are said before it, too.
    const entries = [...stored.map(entryOf), ...work.entries];
    const text = reviewMarkdown({ incident: incident.id, environment: work.environment, rollbackId: work.rollbackId, workflowId: attempt.workflowId, entries });
    const repository = { folder: resolve(loaded.folder, config.repository), signal: attempt.signal };
    const sha = await commitOnce(repository, { branch, path, text, operationId: operationIdOf(work), incident: incident.id, remote: config.remote ?? null });
    // And into the incident's notes; who reads them there need not have the repository.
    const notes = { notice: 'verification', at: new Date().toISOString(), text, rollbackId: work.rollbackId, workflowId: attempt.workflowId } as const;
    const warnings = await tell(loaded, { id: `${operationIdOf(work)}/notes`, ...notes, next: [`git show ${branch}`] });
    return {
      warnings,
      state: 'done',
      receipt: { ids: { commit: sha, branch, path, ...(config.remote === undefined ? {} : { remote: config.remote }) } },
      failure: null,
      remains: [],
    };
  } catch (error) {
    if (error instanceof GitFailed) return failed('ReviewFailed', error.message);
    return fromError(work, attempt, error, { receipt: null, acted: false });
  }
}

class GitFailed extends Error {}

interface Repository {
  readonly folder: string;
  readonly signal: AbortSignal;
}
interface Wanted {
  readonly branch: string;
  readonly path: string;
  readonly text: string;
  readonly operationId: string;
  readonly incident: string;
  readonly remote: string | null;
}

const execute = promisify(execFile);

/** Its output, trimmed. Addresses may hold a password, so none is repeated. */
async function git(
  { folder, signal }: Repository,
  args: readonly string[],
  { env = {}, input }: { env?: NodeJS.ProcessEnv; input?: string } = {},
): Promise<string> {
  const { PATH, HOME, LANG, SSH_AUTH_SOCK } = process.env;
  try {
    const running = execute('git', ['-C', folder, ...args], {
      signal,
      timeout: GIT_SECONDS * 1000,
      maxBuffer: 10_000_000,
      env: { PATH, HOME, LANG, SSH_AUTH_SOCK, GIT_TERMINAL_PROMPT: '0', ...env },
    });
    // One that has ended without reading says why by its exit code.
    running.child.stdin?.on('error', () => undefined);
    running.child.stdin?.end(input ?? '');
    return (await running).stdout.trim();
  } catch (error) {
    if (signal.aborted) throw error;
    const said =
      error instanceof Error && 'stderr' in error && typeof error.stderr === 'string' && error.stderr.trim() !== ''
        ? error.stderr
        : String(error instanceof Error ? error.message : error);
    throw new GitFailed(
      `git ${args[0] ?? ''} in ${folder}: ${said
        .trim()
        .replaceAll(/\/\/[^/@\s]+@/g, '//')
        .slice(-500)}`,
    );
  }
}

const orNull = (answer: Promise<string>): Promise<string | null> =>
  answer.then(
    (text) => (text === '' ? null : text),
    (error: unknown) => {
      if (error instanceof GitFailed) return null;
      throw error;
    },
  );

/** How often somebody else may be quicker with a push. */
const PUSHES = 5;

/** A commit of this very operation is found again by its trailer, here or on the remote, and not made twice. */
async function commitOnce(repository: Repository, wanted: Wanted): Promise<string> {
  const ref = `refs/heads/${wanted.branch}`;
  await git(repository, ['check-ref-format', ref]);
  const head = await git(repository, ['rev-parse', '--verify', 'HEAD']);
  await refuseCheckedOut(repository, wanted.branch);
  const local = await orNull(git(repository, ['rev-parse', '--verify', '--quiet', ref]));
  const trailer = `Backout-Operation: ${wanted.operationId}`;
  for (let push = 1; ; push += 1) {
    const there = wanted.remote === null ? null : await remoteTip(repository, wanted.remote, ref);
    const base = there ?? local ?? head;
    const made = await orNull(git(repository, ['log', '--format=%H', '--fixed-strings', `--grep=${trailer}`, '-n', '1', base]));
    const sha = made ?? (await commitOn(repository, base, wanted, trailer));
    if (wanted.remote !== null && made === null) {
      const refused = await git(repository, ['push', '--no-verify', '--quiet', wanted.remote, `${sha}:${ref}`]).then(() => null, onlyGit);
      if (refused !== null && (push === PUSHES || (await remoteTip(repository, wanted.remote, ref)) === there)) throw refused;
      if (refused !== null) continue;
    }
    // Only from where it was seen, and only forwards: somebody else's commit is never lost.
    if (local === null || (await isIn(repository, local, sha))) await git(repository, ['update-ref', ref, sha, local ?? NOBODY]);
    return sha;
  }
}

function onlyGit(error: unknown): GitFailed {
  if (error instanceof GitFailed) return error;
  throw error;
}

const isIn = async (repository: Repository, commit: string, later: string): Promise<boolean> =>
  (await git(repository, ['rev-list', '--count', `${later}..${commit}`])) === '0';

/** Whoever works on a branch would find it moved under his hands, and his next commit would undo ours. */
async function refuseCheckedOut(repository: Repository, branch: string): Promise<void> {
  const trees = (await git(repository, ['worktree', 'list', '--porcelain'])).split('\n\n').map((tree) => tree.split('\n'));
  const [folder] = trees.find((lines) => lines.includes(`branch refs/heads/${branch}`)) ?? [];
  if (folder === undefined) return;
  throw new GitFailed(`the branch ${branch} is checked out in ${folder.replace('worktree ', '')}; check out another one there, or configure another branch`);
}

/** Where the branch is on the remote, fetched; null where it is not there. */
async function remoteTip(repository: Repository, remote: string, ref: string): Promise<string | null> {
  const listed = await git(repository, ['ls-remote', remote, ref]);
  const [tip = ''] = listed.split(/\s/);
  if (tip === '') return null;
  await git(repository, ['fetch', '--quiet', '--no-tags', remote, ref]);
  return tip;
}

async function commitOn(repository: Repository, base: string, { path, text, incident }: Wanted, trailer: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'backout-index-'));
  const env = { GIT_INDEX_FILE: join(folder, 'index') };
  try {
    const blob = await git(repository, ['hash-object', '-w', '--stdin'], { input: text });
    await git(repository, ['read-tree', base], { env });
    await git(repository, ['update-index', '--add', '--cacheinfo', `100644,${blob},${path}`], { env });
    const tree = await git(repository, ['write-tree'], { env });
    const who = { GIT_AUTHOR_NAME: 'Backout', GIT_AUTHOR_EMAIL: 'backout@localhost', GIT_COMMITTER_NAME: 'Backout', GIT_COMMITTER_EMAIL: 'backout@localhost' };
    return await git(repository, ['commit-tree', tree, '-p', base, '-m', `Verification of the rollback of ${incident}`, '-m', trailer], { env: who });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A repository that cannot be used shows in doctor, before it is needed. */
export async function reviewProblem(folder: string, signal: AbortSignal): Promise<string | null> {
  try {
    await git({ folder, signal }, ['rev-parse', '--verify', 'HEAD']);
    return null;
  } catch (error) {
    if (error instanceof GitFailed || error instanceof AdapterError) return error.message;
    throw error;
  }
}
