/**
 * Where an incident rollback meets the outside, beside what every rollback meets: the register, the platforms that hold the freeze, the
 * configuration, the channels, the repository for review. What the worker is not handed but imports, is armed where it lies.
 */
import childProcess from 'node:child_process';
import files from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { promisify } from 'node:util';
import { activityInfo } from '@temporalio/activity';
import type { ConfigCall, ConfigSource } from '../../activities/configs/source.ts';
import * as sources from '../../activities/configs/registry.ts';
import type { FreezeCarrier } from '../../activities/freezes/carrier.ts';
import * as carriers from '../../activities/freezes/registry.ts';
import type { ProvisioningStore } from '../../activities/provisioning/provisioning.ts';
import * as stores from '../../activities/provisioning/registry.ts';
import type { TenantPlatform } from '../../activities/tenants/platform.ts';
import * as platforms from '../../activities/tenants/registry.ts';
import type { Store } from '../../store/store.ts';

export type Reach = (step: string, boundary: string) => void;

/** The step that an entry belongs to: `…/step/NAME/…`; a plan of a higher level is no step's. */
const stepOfEvent = (event: string): string => (event.includes('/escalated/') ? ESCALATION : (/\/step\/([^/]+)\//.exec(event)?.[1] ?? ''));
const ESCALATION = 'escalateRollback';
/** The name of a step may hold slashes itself, as a webhook's path does. */
export const stepOf = ({ operationId }: { readonly operationId: string }): string => operationId.split('/').slice(1, -1).join('/');

/** Runs it between the two boundaries of its name. */
export async function between<T>(reach: Reach, step: string, name: string, act: () => Promise<T>): Promise<T> {
  reach(step, `before-${name}`);
  const result = await act();
  reach(step, `after-${name}`);
  return result;
}

export const armedRegister = (store: Store, reach: Reach): Pick<Store, 'freeze' | 'unfreeze' | 'claim' | 'replan'> => ({
  freeze: (request) => between(reach, stepOfEvent(request.entry.event), 'freeze', () => store.freeze(request)),
  unfreeze: (request) => between(reach, stepOfEvent(request.entry.event), 'unfreeze', () => store.unfreeze(request)),
  claim: (request) => between(reach, activityInfo().activityType === ESCALATION ? ESCALATION : 'identify', 'claim', () => store.claim(request)),
  replan: (rollbackId, to, entry) => between(reach, stepOfEvent(entry.event), 'replan', () => store.replan(rollbackId, to, entry)),
});

/** Before the worker's own modules are loaded, since one of them keeps what it imports. */
export function armOutside(reach: Reach): void {
  for (const carrier of Object.values(carriers)) armCarrier(carrier, reach);
  for (const source of Object.values(sources)) armSource(source, reach);
  // Each has options of its own, which none of these calls looks into.
  for (const platform of Object.values(platforms as unknown as Record<string, TenantPlatform>)) armPlatform(platform, reach);
  for (const store of Object.values(stores)) armProvisioning(store, reach);
  armFiles(reach);
  armGit(reach);
  syncBuiltinESMExports();
}

/** Its words are boundaries too. */
export const hearing = <Call extends Pick<ConfigCall<unknown>, 'heartbeat' | 'operationId'>>(call: Call, reach: Reach): Call => ({
  ...call,
  heartbeat: (word: string) => {
    call.heartbeat(word);
    reach(stepOf(call), `word=${word}`);
  },
});

function armCarrier<Options>(carrier: FreezeCarrier<Options>, reach: Reach): void {
  const bare = { ...carrier };
  Object.assign(carrier, {
    inspect: (call) => between(reach, stepOf(call), 'inspect', () => bare.inspect(call)),
    set: (call) => between(reach, stepOf(call), 'set', () => bare.set(hearing(call, reach))),
    lift: (call) => between(reach, stepOf(call), 'lift', () => bare.lift(hearing(call, reach))),
  } satisfies Partial<FreezeCarrier<Options>>);
}

function armSource<Options>(source: ConfigSource<Options>, reach: Reach): void {
  const bare = { ...source };
  Object.assign(source, {
    compare: (call, mark) => between(reach, stepOf(call), 'compare', () => bare.compare(call, mark)),
    apply: (call, mark) => between(reach, stepOf(call), 'apply', () => bare.apply(hearing(call, reach), mark)),
  } satisfies Partial<ConfigSource<Options>>);
}

function armPlatform(platform: TenantPlatform, reach: Reach): void {
  const bare = { ...platform };
  platform.apply = (call, choice) => between(reach, stepOf(call), 'apply', () => bare.apply({ ...call, heartbeat: hearing(call, reach).heartbeat }, choice));
}

function armProvisioning<Options>(store: ProvisioningStore<Options>, reach: Reach): void {
  const bare = { ...store };
  store.begin = (call) => between(reach, stepOf(call), 'begin', () => bare.begin(call));
  store.release = (call, artifact, how) => between(reach, stepOf(call), 'release', () => bare.release(call, artifact, how));
  store.fail = (call, entry) => between(reach, stepOf(call), 'fail', () => bare.fail(call, entry));
  store.confirmCleanup = (call) => between(reach, stepOf(call), 'confirm', () => bare.confirmCleanup(call));
  store.complete = (call, entry, left) => between(reach, stepOf(call), 'complete', () => bare.complete(call, entry, left));
}

/** A channel that is a file gets its letters line by line: `before-post=AUDIENCE`, `after-post=AUDIENCE`. */
function armFiles(reach: Reach): void {
  const { open } = files;
  files.open = async (path, flags, mode) => {
    const file = await open(path, flags, mode);
    if (flags !== 'a+') return file;
    const append = file.appendFile.bind(file);
    file.appendFile = (line, options) => {
      const [step = '', audience] = typeof line === 'string' ? letterOf(line) : [];
      return audience === undefined ? append(line, options) : between(reach, step, `post=${audience}`, () => append(line, options));
    };
    return file;
  };
}

/** Step and audience of `rollbackId/STEP/generation/AUDIENCE`; empty for a notice. */
function letterOf(line: string): string[] {
  const { id, audience }: { id: string; audience?: string } = JSON.parse(line); // Written by our own channel.
  return audience === undefined ? [] : [id.split('/')[1] ?? '', audience];
}

/** Git by its words: `before-git=update-ref`, `after-git=push`. */
function armGit(reach: Reach): void {
  const { execFile } = childProcess;
  const bare = promisify(execFile);
  const armed = (file: string, args: readonly string[], options: object): ReturnType<typeof bare> => {
    const [, , word = ''] = args;
    if (file === 'git') reach('review', `before-git=${word}`);
    const running = bare(file, args, options);
    const ended = running.then((result) => {
      if (file === 'git') reach('review', `after-git=${word}`);
      return result;
    });
    return Object.assign(ended, { child: running.child });
  };
  childProcess.execFile = Object.assign((...all: Parameters<typeof execFile>) => execFile(...all), { [promisify.custom]: armed }) as unknown as typeof execFile; // Its other ways of being called are types alone.
}
