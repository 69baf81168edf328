/** Machine time and human time [002 section 7], under any order of events. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { awaitPerson, humanMs, machineMs, resumeMachine, startClock, targetSecondsOf, WARN_AT, type Clock } from '../../model/clock.ts';
import { Progress } from '../../workflows/progress.ts';

const events = fc.array(fc.record({ after: fc.integer({ min: 0, max: 600_000 }), what: fc.constantFrom('person', 'machine', 'look') }), { maxLength: 60 });

/** Plays the events; answers the clock, the time, and both kinds of time as a naive count has them. */
function play(clock: Clock, steps: readonly { after: number; what: string }[]): { clock: Clock; now: number; human: number; seen: number[][] } {
  let now = clock.startedAtMs;
  let human = clock.carriedHumanMs;
  let awaited = false;
  const seen: number[][] = [];
  for (const { after, what } of steps) {
    now += after;
    if (awaited) human += after;
    if (what === 'person') {
      clock = awaitPerson(clock, now);
      awaited = true;
    } else if (what === 'machine') {
      clock = resumeMachine(clock, now);
      awaited = false;
    }
    seen.push([machineMs(clock, now), humanMs(clock, now)]);
  }
  return { clock, now, human, seen };
}

describe('the clock', () => {
  it('machine and human time together are what has passed', () => {
    fc.assert(
      fc.property(events, fc.nat(1e9), fc.nat(1e6), fc.nat(1e6), (steps, start, machine, human) => {
        const { clock, now } = play(startClock(start, machine, human), steps);
        expect(machineMs(clock, now) + humanMs(clock, now)).toBe(machine + human + now - start);
      }),
    );
  });

  it('human time is the sum of the intervals in which a person was awaited', () => {
    fc.assert(
      fc.property(events, (steps) => {
        const { clock, now, human } = play(startClock(1_000), steps);
        expect(humanMs(clock, now)).toBe(human);
      }),
    );
  });

  it('neither is ever negative, and neither ever goes back', () => {
    fc.assert(
      fc.property(events, fc.nat(1e6), (steps, carried) => {
        const { seen } = play(startClock(0, carried, carried), steps);
        for (const [index, [machine, human]] of seen.entries()) {
          expect(machine).toBeGreaterThanOrEqual(seen[index - 1]?.[0] ?? 0);
          expect(human).toBeGreaterThanOrEqual(seen[index - 1]?.[1] ?? 0);
        }
      }),
    );
  });

  it('stands still after the end', () => {
    fc.assert(
      fc.property(events, fc.nat(1e9), (steps, later) => {
        const { clock, now } = play(startClock(0), steps);
        const ended = { ...clock, endedAtMs: now };
        expect([machineMs(ended, now + later), humanMs(ended, now + later)]).toEqual([machineMs(clock, now), humanMs(clock, now)]);
      }),
    );
  });

  it('saying twice that a person is awaited, or that the machine goes on, is saying it once', () => {
    const once = awaitPerson(startClock(0), 10);
    expect(awaitPerson(once, 20)).toEqual(once);
    const on = resumeMachine(once, 30);
    expect(resumeMachine(on, 40)).toEqual(on);
    expect([machineMs(on, 100), humanMs(on, 100)]).toEqual([80, 20]);
  });

  it('a retry or an outage counts as machine time', () => {
    expect(machineMs(startClock(0), 299_999)).toBe(299_999);
  });

  it('what earlier runs took is carried on', () => {
    const clock = awaitPerson(startClock(1_000, 5_000, 7_000), 3_000);
    expect([machineMs(clock, 9_000), humanMs(clock, 9_000)]).toEqual([7_000, 13_000]);
  });

  it('warns at 60 % [product.md 4]', () => {
    expect(WARN_AT).toBe(0.6);
  });

  it('the target of the whole only ever tightens [002 section 13]', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 900 }), fc.array(fc.option(fc.integer({ min: 1, max: 900 }), { nil: undefined })), (policy, components) => {
        const target = targetSecondsOf(policy, components);
        expect(target).toBeLessThanOrEqual(policy);
        expect(components.filter((one) => one !== undefined && one < Number(target))).toEqual([]);
      }),
    );
    expect(targetSecondsOf(null, [5])).toBeNull();
  });
});

describe('a breach [002 section 7]', () => {
  it('opens the investigation once, and is never forgotten', () => {
    const progress = new Progress({ rollbackId: 'r', workflowId: 'w', runId: 'r', kind: 'deployRevert', startedAtMs: 0 });
    progress.breach(1);
    progress.breach(2);
    expect(progress.breached).toBe(true);
    expect(progress.steps.map((step) => [step.planned.id, step.state])).toEqual([['investigation', 'waiting']]);
  });
});
