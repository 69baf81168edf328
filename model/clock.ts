/** Machine time [002 section 7]: start to verified, less the intervals in which only a person was awaited. Times are epoch ms. */
export interface Clock {
  readonly startedAtMs: number;
  /** Machine and human time of earlier runs of the same rollback. */
  readonly carriedMachineMs: number;
  readonly carriedHumanMs: number;
  /** Closed human intervals of this run. */
  readonly humanMs: number;
  /** Since when only a person is awaited; null while the machine is at work. */
  readonly humanSinceMs: number | null;
  /** The end of everything; null while it goes on. */
  readonly endedAtMs: number | null;
}

export const startClock = (startedAtMs: number, carriedMachineMs = 0, carriedHumanMs = 0): Clock => ({
  startedAtMs,
  carriedMachineMs,
  carriedHumanMs,
  humanMs: 0,
  humanSinceMs: null,
  endedAtMs: null,
});

export const awaitPerson = (clock: Clock, nowMs: number): Clock => (clock.humanSinceMs === null ? { ...clock, humanSinceMs: nowMs } : clock);

export const resumeMachine = (clock: Clock, nowMs: number): Clock =>
  clock.humanSinceMs === null ? clock : { ...clock, humanMs: clock.humanMs + (nowMs - clock.humanSinceMs), humanSinceMs: null };

export const humanMs = (clock: Clock, nowMs: number): number => {
  const until = clock.endedAtMs ?? nowMs;
  return clock.carriedHumanMs + clock.humanMs + (clock.humanSinceMs === null ? 0 : until - clock.humanSinceMs);
};

export const machineMs = (clock: Clock, nowMs: number): number =>
  clock.carriedMachineMs + clock.carriedHumanMs + ((clock.endedAtMs ?? nowMs) - clock.startedAtMs) - humanMs(clock, nowMs);

/** The share of the target at which a warning goes out [product.md 4]. */
export const WARN_AT = 0.6;

/** The target of the whole: the policy's, or the smallest a component asks for. Tightened, never loosened. */
export function targetSecondsOf(policySeconds: number | null, componentSeconds: readonly (number | undefined)[]): number | null {
  return policySeconds === null ? null : Math.min(policySeconds, ...componentSeconds.filter((seconds) => seconds !== undefined));
}
