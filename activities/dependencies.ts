/** What the worker hands to the activities: everything with an outside. */
import { setTimeout as delay } from 'node:timers/promises';
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import { ConfigError, type LoadedConfig } from '../model/config-file.ts';
import type { RollbackState } from '../model/state.ts';
import type { Store } from '../store/store.ts';
import type { Adapter } from './adapters/adapter.ts';
import type { WatchWork } from './watch.ts';

export interface Dependencies {
  /** Reads `backout.yaml` anew: the file may have been mended while a rollback was stopped. Throws ConfigError. */
  readonly config: () => Promise<LoadedConfig>;
  readonly store: Store;
  readonly adapters: Readonly<Record<string, Adapter>>;
  /** Is an execution under this Workflow Id open? */
  readonly isOpen: (workflowId: string) => Promise<boolean>;
  /** What the last execution of this rollback before the given run knew, and when it was ended; null where no history is left. */
  readonly predecessor: (workflowId: string, rollbackId: string, runId: string) => Promise<Predecessor | null>;
  /** Another rollback, to be stopped before its components are taken over. */
  readonly peer: (workflowId: string) => Peer;
  /** Aborted when the worker is asked to stop: what only looks gives way at once, and goes on elsewhere. */
  readonly stopping: AbortSignal;
  /** Starts the watch over what was put back; starting it twice is starting it once. */
  readonly startWatch: (work: WatchWork) => Promise<void>;
  /** Leaves a trace of the chain's head outside Postgres. Never throws. */
  readonly checkpoint: (position: { readonly seq: number; readonly head: string }) => Promise<void>;
}

/** The lost run as its own history tells it: its state as of its last workflow task, and when it was ended. */
export interface Predecessor {
  readonly state: RollbackState;
  readonly asOfMs: number;
  readonly endedAtMs: number;
}

export interface Peer {
  /** Sends `stop`; a rollback that has ended meanwhile is stopped enough. */
  stop(message: { readonly by: string; readonly reason: string }): Promise<void>;
  /** Is it still carrying anything out, or about to? One that has ended is not. */
  isMoving(): Promise<boolean>;
}

/** One attempt of one activity, as the engine sees it. */
export interface Attempt {
  readonly number: number;
  /** The run it belongs to: the record names entries by it. Not an input, since a reset run replays under another id. */
  readonly runId: string;
  readonly workflowId: string;
  readonly firstScheduledMs: number;
  readonly signal: AbortSignal;
  readonly heartbeat: (progress: string) => void;
}

/** Asks the engine for another attempt. */
export const again = (message: string, cause: unknown, afterMs?: number): ApplicationFailure =>
  ApplicationFailure.create({
    message,
    type: 'Transient',
    // Expected, and told to the operator where it matters: no stack in the worker's log.
    category: ApplicationFailureCategory.BENIGN,
    nonRetryable: false,
    ...(afterMs === undefined ? {} : { nextRetryDelay: Math.min(afterMs, 60_000) }),
    ...(cause instanceof Error ? { cause } : {}),
  });

/** Waits between two looks. What only looks gives way at once to a worker that is asked to stop, and goes on elsewhere. */
export const pause = (ms: number, { stopping }: Pick<Dependencies, 'stopping'>, { signal }: Pick<Attempt, 'signal'>): Promise<void> =>
  delay(ms, undefined, { signal: AbortSignal.any([signal, stopping]) }).catch((error: unknown) => {
    throw again('the worker is stopping', error);
  });

const lastRead = new WeakMap<Dependencies, LoadedConfig>();

/** `backout.yaml` as it could last be read: to tell people, and to write an end, an older one is better than none. That it is broken is one of the things they must hear. */
export async function lastConfig(deps: Dependencies): Promise<LoadedConfig> {
  try {
    const loaded = await deps.config();
    lastRead.set(deps, loaded);
    return loaded;
  } catch (error) {
    const last = lastRead.get(deps);
    if (!(error instanceof ConfigError) || last === undefined) throw error;
    return last;
  }
}
