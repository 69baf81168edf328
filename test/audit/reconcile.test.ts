/** What is unusual and innocent must not be accused; and what only looks like it must. Histories made by hand, of one activity each. */
import { describe, expect, test } from 'vitest';
import type { ActivityRan, RunHistory } from '../../client/audit/history.ts';
import { reconcile, type RecordedEntry } from '../../client/audit/reconcile.ts';
import { Findings } from '../../client/audit/result.ts';
import { compareValues } from '../../client/audit/values.ts';

const encoded = (value: unknown) => ({ encoding: 'json/plain', data: Buffer.from(JSON.stringify(value)) });
const RECORD = { entries: 1, head: 'sha256:head', behind: false };

const activity = (type: string, work: object, result: unknown, owner = 'run'): ActivityRan => ({
  eventId: 5,
  id: '1',
  type,
  input: [encoded({ entries: [], ...work })],
  summary: null,
  timeoutsMs: {},
  result: result === null ? null : encoded(result),
  owner,
  runs: [owner],
});
const run = (of: Partial<RunHistory>): RunHistory => ({
  workflowId: 'id',
  runId: 'run',
  originalRunId: 'run',
  type: 'deployRevert',
  rollbackId: 'run',
  raw: {},
  events: 9,
  lineage: ['run'],
  activities: [],
  timers: [],
  attributes: [],
  updates: [],
  end: null,
  lastTask: 8,
  takenOver: false,
  builds: [],
  foreign: [],
  ...of,
});
const entry = (event: string, type: string, more: object = {}): RecordedEntry => ({
  seq: 1,
  entry: { event, rollbackId: 'run', at: '2026-11-21T10:00:00.000Z', type, ...more },
});

function findings(runs: readonly RunHistory[], entries: readonly RecordedEntry[], knownRuns: readonly string[] | null = ['run']): Findings {
  const found = new Findings();
  reconcile({ rollbackId: 'run', runs, since: [], entries, knownRuns: knownRuns && new Set(knownRuns) }, found);
  return found;
}
const faults = (...of: Parameters<typeof findings>): string[] => findings(...of).faults.map((fault) => fault.fault);

const STEP = { step: { id: 'web.deploy' }, generation: 0, ordinal: 0 };
const DONE = { state: 'done', attempts: 2, receipt: null, failure: null, remains: [], record: RECORD, entry: null };

describe('a step', () => {
  test('whose attempt came late has its entry beside the one that was first', () => {
    const runs = [run({ activities: [activity('runStep', STEP, DONE)] })];
    const first = entry('run/step/web.deploy/0/0', 'step', { state: 'unknown', receipt: null, failure: null, remains: [] });
    const late = { ...DONE, record: undefined };
    expect(faults(runs, [first, entry('run/step/web.deploy/0/0/attempt-2', 'late-attempt', late)])).toEqual([]);
    expect(faults(runs, [first]).join()).toContain('says something else at state the history has "done", the record has "unknown"');
  });

  test('that was completed by hand, with something that is no result, proves nothing and is recorded as lost', () => {
    const runs = [run({ activities: [activity('runStep', STEP, 'done, trust me')] })];
    expect(faults(runs, [])).toEqual([]);
  });

  test('that was completed by hand, with what looks like a result, is not on the record', () => {
    expect(faults([run({ activities: [activity('runStep', STEP, DONE)] })], [])).toEqual(['the record has no entry run/step/web.deploy/0/0']);
  });

  test('that was recorded by an attempt which died is explained by its schedule', () => {
    expect(faults([run({ activities: [{ ...activity('runStep', STEP, null), owner: null }] })], [entry('run/step/web.deploy/0/0', 'step')])).toEqual([]);
  });
});

describe('an end', () => {
  const close = (outcome: string, owner = 'run') =>
    activity('closeRollback', { outcome, at: '2026-11-21T10:00:00.000Z', steps: [] }, { record: RECORD, drifted: [], warnings: [] }, owner);

  test('of what was never opened is none', () => {
    expect(faults([run({ activities: [close('refused')] })], [])).toEqual([]);
    expect(faults([run({ activities: [activity('openRollback', {}, null), close('refused')] })], [entry('run/opened', 'opened')])).toEqual([
      'the record has no entry run/closed',
    ]);
    expect(faults([run({ activities: [close('rolled-back')] })], [])).toEqual(['the record has no entry run/closed']);
  });

  test('of a run that was reset after the end writes none: the first end counts', () => {
    const state = { rollbackId: 'run', outcome: 'failed', answers: [], refusals: [], record: RECORD };
    const second = run({
      runId: 'reset',
      lineage: ['run', 'reset'],
      activities: [close('failed', 'reset')],
      end: { kind: 'failed', failure: { message: '', type: '', nonRetryable: true, details: [encoded(state)] } },
    });
    expect(
      faults([run({ activities: [close('rolled-back')] }), second], [entry('run/closed', 'closed', { outcome: 'rolled-back', steps: [] })], ['run', 'reset']),
    ).toEqual([]);
  });

  test('that is another than the one on the record is a fault', () => {
    const state = { rollbackId: 'run', outcome: 'rolled-back', answers: [], refusals: [], record: RECORD };
    expect(
      faults(
        [run({ activities: [close('failed')], end: { kind: 'completed', result: encoded(state) } })],
        [entry('run/closed', 'closed', { outcome: 'failed', steps: [] })],
      ),
    ).toEqual(['it ended "rolled-back", and entry 1 of the record says "failed"']);
  });

  test('while Postgres was away is said, since its refusal is nowhere else', () => {
    const state = {
      rollbackId: 'run',
      outcome: 'refused',
      answers: [],
      refusals: [{ rule: 'record-unavailable' }],
      record: { entries: 0, head: null, behind: true },
    };
    const found = findings([run({ end: { kind: 'completed', result: encoded(state) } })], []);
    expect(found.faults).toEqual([]);
    expect(found.notChecked).toEqual(['run run: its refusals; it ended while Postgres could not be reached, and says so']);
  });
});

describe('a run that is not at hand', () => {
  test('is not accused where nobody could be asked, nor where it is the watch after a success', () => {
    expect(faults([], [entry('other/opened', 'opened')], null)).toEqual([]);
    expect(faults([], [entry('other/opened', 'opened')])).toEqual(['it belongs to run other, which neither Temporal nor the exported histories know']);
    const watch = findings([], [entry('other/degraded/now', 'notice', { notice: 'degraded' })]);
    expect([watch.faults, watch.notChecked.length]).toEqual([[], 1]);
  });
});

test('time that a replay counts as the machine’s where another worker has taken over is told, and accuses nobody; anything else does', () => {
  const input = (machineMs: number, humanMs: number, deadlineAt: string, more = {}) => [{ step: 'a', deadlineAt, machineMs, humanMs, ...more }];
  const [was, now] = [input(63_311, 9_556, '2026-11-22T01:30:35.813Z'), input(69_155, 3_712, '2026-11-22T01:30:29.969Z')];
  const compared = (takenOver: boolean, recorded: object[], replayed: object[], ms = 1_016_689): Findings => {
    const found = new Findings();
    const scheduled = { ...activity('runStep', {}, null), input: recorded.map(encoded) };
    const timers = [{ eventId: 6, id: '8', ms, summary: null }];
    const told = { kind: 'activity', id: '1', type: 'runStep', input: replayed.map(encoded), summary: null, timeoutsMs: {} } as const;
    const commands = [told, { kind: 'timer', id: '8', ms: 1_010_845, summary: null } as const];
    compareValues(run({ takenOver, activities: [scheduled], timers }), [{ historyLength: 2, commands }], found);
    return found;
  };
  const innocent = compared(true, was, now);
  expect(innocent.faults).toEqual([]);
  expect(innocent.notChecked).toEqual([expect.stringMatching(/which 5844 ms were people's time and which the machine's/)]);
  expect(compared(false, was, now).faults).toHaveLength(2);
  expect(compared(true, input(63_311, 9_557.5, '2026-11-22T01:30:35.813Z'), now).faults).toHaveLength(2);
  expect(compared(true, input(63_311, 9_556, '2026-11-22T01:30:35.813Z', { step: 'b' }), now).faults).toHaveLength(2);
  expect(compared(true, was, now, 1_016_600).faults).toHaveLength(1);
});

test('a timer that was computed to a fraction of a nanosecond is the one that was started', () => {
  const found = new Findings();
  const of = run({ timers: [{ eventId: 3, id: '1', ms: 170_107.589843, summary: null }] });
  compareValues(of, [{ historyLength: 2, commands: [{ kind: 'timer', id: '1', ms: 170_107.58984375, summary: null }] }], found);
  expect(found.faults).toEqual([]);
  compareValues(of, [{ historyLength: 2, commands: [{ kind: 'timer', id: '1', ms: 170_107.6, summary: null }] }], found);
  expect(found.faults).toHaveLength(1);
});
