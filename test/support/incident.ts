/** An incident in a world: four components that depend on each other, people in their roles, gates, channels, a repository for review. */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { WorkflowHandle } from '@temporalio/client';
import { TASK_QUEUE } from '../../model/task-queue.ts';
import { envFile } from '../../activities/configs/env-file.ts';
import type { Kept } from '../../activities/incident/keep.ts';
import type { RollbackState } from '../../model/state.ts';
import { World, type Shop, type WorldOptions } from './world.ts';

export const run = promisify(execFile);

export const COMPONENTS = ['api', 'worker', 'web', 'admin'] as const;
export const ID = 'l1Rollback/production/INC-42';
export const PEOPLE = [
  'people:',
  '  carol: { roles: [incident-commander] }',
  '  abe: { roles: [api-lead] }',
  '  ivy: { roles: [infrastructure-lead] }',
  '  dora: { roles: [data-evidence-lead] }',
  '  sam: { roles: [security-lead] }',
  '  cleo: { roles: [communications-owner] }',
  '  dan: { roles: [operator], deputyFor: [incident-commander] }',
];

export interface IncidentOptions {
  readonly components?: readonly string[];
  /** Lines under `production:`, indented by four. */
  readonly environment?: readonly string[];
  /** Lines of one component, by name. */
  readonly component?: Readonly<Record<string, readonly string[]>>;
  readonly yaml?: readonly string[];
  readonly people?: readonly string[];
  readonly worker?: boolean;
  readonly world?: WorldOptions;
}

export const GATES = ['    gates:', '      ci-pr: { command: [./ci-pr], timeoutSeconds: 30 }', '      emission: { command: ["true"], covers: evidence }'];
const CHANNELS =
  'channels: { incident: [{ file: ./incidents.log }], stakeholders: [{ file: ./stakeholders.log }], internal: [{ file: ./internal.log }], status: [{ file: ./status.log }] }';

/** Every component at v1.0.0, verified, then at a bad v1.1.0. */
export async function incidentWorld(options: IncidentOptions = {}): Promise<World> {
  const names = options.components ?? COMPONENTS;
  const shops = names.map((name): Shop => ({
    name,
    releases: [{ version: 'v1.0.0' }, { version: 'v1.1.0', broken: true }],
    yaml: options.component?.[name] ?? [],
  }));
  const world = await World.create({
    shops,
    yaml: [
      ...(options.environment ?? GATES),
      'product: Portarium',
      ...(options.people ?? PEOPLE),
      CHANNELS,
      'unfreeze: { stableForSeconds: 1 }',
      ...(options.yaml ?? []),
    ],
    ...options.world,
  });
  await writeFile(join(world.folder, 'ci-pr'), '#!/bin/sh\necho "42 tests passed"\n', { mode: 0o755 });
  return world;
}

/** Released side by side: the world of an incident is laid out once for each test file. */
export async function badReleases(world: World, names: readonly string[] = COMPONENTS): Promise<void> {
  await Promise.all(names.map((name) => world.badRelease(name)));
}

export const startInput = (more: Record<string, unknown> = {}): Record<string, unknown> => {
  const components = (more['components'] as string[] | undefined) ?? [...COMPONENTS];
  return {
    environment: 'production',
    components,
    targets: Object.fromEntries(components.map((name) => [name, 'v1.0.0'])),
    trigger: 'verification',
    cause: 'reliability-regression',
    reason: 'orders are lost',
    by: 'ci',
    incident: 'INC-42',
    severity: 'P1',
    impact: 'customers cannot order',
    contact: '#inc-42',
    ...more,
  };
};

export const propose = (world: World, more: Record<string, unknown> = {}): Promise<WorkflowHandle> => {
  const input = startInput(more);
  return world.client.workflow.start('l1Rollback', { workflowId: `l1Rollback/production/${String(input['incident'])}`, taskQueue: TASK_QUEUE, args: [input] });
};

export const declared = (world: World, more: Record<string, unknown> = {}): Promise<WorkflowHandle> =>
  propose(world, { trigger: 'operator', by: 'carol', ...more });

export const waitsFor = (world: World, handle: WorkflowHandle, step: string): Promise<RollbackState> =>
  world.until(handle, `waiting for ${step}`, (state) => state.steps.some((one) => one.id === step && one.state === 'waiting'));

export const stepOf = (state: RollbackState, id: string): RollbackState['steps'][number] => {
  const step = state.steps.find((one) => one.id === id);
  if (!step) throw new Error(`no step ${id} in ${state.steps.map((one) => one.id).join(', ')}`);
  return step;
};

export async function confirmTarget(world: World, handle: WorkflowHandle, by = 'carol'): Promise<void> {
  const { planHash } = await waitsFor(world, handle, 'target');
  await handle.signal('confirm', { step: 'target', by, plan: planHash });
}

export async function signRows(handle: WorkflowHandle): Promise<void> {
  await handle.signal('confirm', { step: 'cleanup.credentials', by: 'sam', choice: 'not-applicable', note: 'no credential was touched' });
  await handle.signal('confirm', { step: 'cleanup.data', by: 'dora', choice: 'not-applicable', note: 'no schema or data was touched' });
  await handle.signal('confirm', {
    step: 'cleanup.evidence',
    by: 'dora',
    choice: 'done',
    evidence: ['chain-verification=https://ci/verify/7', 'incident-links=https://wiki/INC-42'],
  });
  await handle.signal('confirm', { step: 'ownership', by: 'carol', data: { nextCycleOwner: 'abe', reviewOwner: 'carol' } });
}

/** From the declaration to the end, with signals alone. */
export async function walkThrough(world: World, handle: WorkflowHandle): Promise<RollbackState> {
  await confirmTarget(world, handle);
  await waitsFor(world, handle, 'ownership');
  await signRows(handle);
  await waitsFor(world, handle, 'unfreeze');
  await handle.signal('confirm', { step: 'unfreeze', by: 'carol' });
  return world.closed(handle);
}

export const lines = async (world: World, file: string): Promise<Record<string, unknown>[]> =>
  (await readFile(join(world.folder, file), 'utf8').catch(() => ''))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>); // Written by the file channel.

/** A repository with a first commit, and a bare remote of it. */
export async function repository(world: World): Promise<{ folder: string; remote: string }> {
  const [folder, remote] = [join(world.folder, 'product'), join(world.folder, 'remote.git')];
  await mkdir(folder, { recursive: true });
  const git = (args: readonly string[]): Promise<unknown> =>
    run('git', ['-C', folder, '-c', 'user.name=t', '-c', 'user.email=t@t', ...args], { env: { PATH: process.env['PATH'], HOME: world.folder } });
  await git(['init', '--quiet', '--initial-branch=main']);
  await writeFile(join(folder, 'README.md'), '# product\n');
  await git(['add', '.']);
  await git(['commit', '--quiet', '-m', 'first']);
  await run('git', ['init', '--quiet', '--bare', remote]);
  await git(['remote', 'add', 'origin', remote]);
  await git(['push', '--quiet', 'origin', 'main']);
  return { folder, remote };
}

/** The fake GitHub holds the freeze too; its token is the worker's GITHUB_TOKEN. */
export const githubFreeze = (apiUrl: string): string[] => [
  '    freeze:',
  '      carriers:',
  '        github:',
  '          carrier: github',
  `          options: { repository: acme/shop, apiUrl: "${apiUrl}", promotionWorkflows: [promote.yml], environments: [production], rollbackOwners: [{ type: Team, id: 7 }], settleSeconds: 1 }`,
];

/** Line of a component that keeps its configuration in `COMPONENT.env`, as the platform does; what runs hears of a change by `COMPONENT.reloaded`. */
export const envFileOf = (name: string): string =>
  `config: [{ source: env-file, options: { path: ./${name}.env, plain: [RATE_LIMIT], reload: [sh, -c, "date >> ${name}.reloaded"] } }]`;

/** CI has verified this version, and its configuration was recorded with it. */
export async function recordedWithConfig(world: World, component: string, version: string, text: string): Promise<void> {
  await writeFile(join(world.folder, `${component}.env`), text);
  const mark = await envFile.record({
    environment: 'production',
    component,
    options: envFile.options.parse({ path: `./${component}.env`, plain: ['RATE_LIMIT'] }),
    folder: world.folder,
    operationId: 'verification',
    signal: new AbortController().signal,
    heartbeat: () => undefined,
    secret: () => Promise.reject(new Error('an environment file needs no secret')),
  });
  const kept: Kept = { facts: {}, marks: [mark], openapi: null, problems: [] };
  await world.store.verifyDeployment(await world.recorded(component, version, false), true, [], { kept });
}

/** Another incident's name, so that tests in one world do not meet. */
export const incidentName = (): string => `INC-${randomUUID().slice(0, 8)}`;
