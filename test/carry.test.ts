/** What a successor goes on from, step by step: what lasts, what looks again, and what a person still has to decide. */
import { describe, expect, it } from 'vitest';
import { carriedFrom } from '../activities/carry.ts';
import { incidentSteps } from '../model/incident.ts';
import type { Plan, Target } from '../model/plan.ts';

const ROLLBACK = '11111111-2222-4333-8444-555555555555';
const TARGETS: readonly Target[] = [{ component: 'web', from: 'v2', to: 'v1', config: 'sha256:1' }];
const PLAN: Plan = {
  kind: 'l1Rollback',
  environment: 'production',
  tenant: null,
  incident: 'INC-42',
  targets: TARGETS,
  targetSeconds: 900,
  steps: incidentSteps({
    kind: 'l3Rollback',
    cause: 'reliability-regression',
    targets: TARGETS,
    waves: [['web']],
    configured: new Set(['web']),
    parity: false,
    gates: [],
    carriers: ['github'],
    review: true,
    data: {
      databases: [
        {
          name: 'main',
          recover: null,
          asOf: null,
          undo: [{ name: '2', digest: 'sha256:2', destroys: [{ what: 'table a', rows: 1 }], transactional: true }],
          restores: [],
          rebuild: ['totals'],
          checks: ['tenants'],
        },
      ],
      chains: [{ name: 'trail', affected: 1 }],
      credentials: [{ name: 'payments', byHand: null }],
    },
    fourEyes: () => false,
  }),
};

type Fields = Readonly<Record<string, unknown>>;
const at = (second: number): string => new Date(Date.UTC(2026, 10, 21, 12, 0, second)).toISOString();
/** The entry of a step at a second of that minute. */
const step = (second: number, id: string, more: Fields = {}): Fields => ({
  type: 'step',
  step: id,
  at: at(second),
  startedAt: at(second - 1),
  state: 'done',
  generation: 0,
  attempts: 1,
  receipt: { detail: id },
  failure: null,
  ...more,
});
const failed = (second: number, id: string, more: Fields = {}): Fields => step(second, id, { state: 'failed', failure: { type: 'Undelivered' }, ...more });
const said = (second: number, name: string, id: string, more: Fields = {}): Fields => ({
  type: 'answer',
  at: at(second),
  answer: { name, step: id, by: 'carol', proof: 'self-declared', at: at(second), ...more },
});

function carried(entries: readonly Fields[], id: string, current: string | null = 'v1'): unknown {
  const stored = entries.map((entry, index) => ({
    seq: index + 1,
    rollbackId: ROLLBACK,
    at: String(entry['at']),
    body: JSON.stringify({ event: `run/${index}`, rollbackId: ROLLBACK, ...entry }),
    previous: '',
    hash: '',
  }));
  const seen = { web: { current, targetPresent: true, operationId: null, parts: [], versions: [], facts: {} } };
  const { steps } = carriedFrom({ stored, plan: PLAN, seen, startedAtMs: Date.parse(at(59)), starter: 'ci', openedAt: at(0), predecessor: null });
  const found = steps.find((one) => one.id === id)?.progress;
  return found && [found.state, found.generation];
}

describe('a successor', () => {
  it.each([
    ['what it has frozen stays frozen', [step(1, 'freeze')], 'freeze', ['done', 0]],
    ['a platform too', [step(1, 'freeze.github')], 'freeze.github', ['done', 0]],
    ['what was said is not said again', [step(1, 'communication.declared')], 'communication.declared', ['done', 0]],
    ['what was committed is not committed again', [step(1, 'review', { generation: 2 })], 'review', ['done', 2]],
    ['a gate looks again', [step(1, 'health')], 'health', ['pending', 0]],
    ['configuration is looked at again', [step(1, 'web.config')], 'web.config', ['pending', 0]],
    ['a component that is at its target stays done', [step(1, 'web.deploy')], 'web.deploy', ['done', 0]],
    ['what nothing is known of has perhaps been done', [], 'web.deploy', ['pending', 0]],
    ['a migration that was undone is not undone again', [step(1, 'undo.main.2')], 'undo.main.2', ['done', 0]],
    ['a survey is of before, whatever was done since', [step(1, 'evidence.trail'), step(2, 'annotate.trail')], 'evidence.trail', ['done', 0]],
    ['a key that was issued is not issued again', [step(1, 'issue.payments', { generation: 1 })], 'issue.payments', ['done', 1]],
    ['one that was revoked stays so', [step(1, 'revoke.payments')], 'revoke.payments', ['done', 0]],
    ['the proofs look again', [step(1, 'chain.trail')], 'chain.trail', ['pending', 0]],
    ['invariants too', [step(1, 'invariants.main')], 'invariants.main', ['pending', 0]],
    ['an undo that nothing is known of has perhaps been done', [], 'undo.main.2', ['pending', 0]],
    [
      'what was seen before a level grew is seen again, under another operation id',
      [step(1, 'health'), { type: 'void', at: at(2), steps: ['health'], why: 'escalated' }],
      'health',
      ['pending', 1],
    ],
    [
      'what was accepted before it is not accepted after it',
      [failed(1, 'health'), said(2, 'decide', 'health', { action: 'skip' }), { type: 'void', at: at(3), steps: ['health'], why: 'escalated' }],
      'health',
      ['pending', 1],
    ],
    [
      'what was done before it stays done',
      [step(1, 'web.deploy'), { type: 'void', at: at(2), steps: ['target'], why: 'escalated' }],
      'web.deploy',
      ['done', 0],
    ],
    ['a failure waits for its decision', [failed(1, 'review')], 'review', ['failed', 0]],
    ['a retry that was decided goes on', [failed(1, 'review'), said(2, 'decide', 'review', { action: 'retry' })], 'review', ['pending', 1]],
    [
      'who was told by hand is told',
      [failed(1, 'communication.recovery'), said(2, 'decide', 'communication.recovery', { action: 'done' })],
      'communication.recovery',
      ['confirmed', 0],
    ],
  ])('%s', (_, entries, id, expected) => {
    expect(carried(entries, id)).toEqual(expected);
  });

  it('that finds another version in place asks', () => {
    expect(carried([step(1, 'web.deploy')], 'web.deploy', 'v2')).toEqual(['failed', 0]);
  });

  it.each([
    ['held', 'identify', { held: { component: 'web', workflowId: 'deployRevert/production/web' } }],
    ['stale', 'web.deploy', { stale: 'web is at v3' }],
    ['drifted', 'stability', { drifted: [{ component: 'web' }] }],
    ['unfrozen', 'stability', { unfrozen: [{ carrier: 'github', detail: 'open' }] }],
  ])('looks again where the walk did: %s', (_, id, change) => {
    expect(carried([failed(1, id, { change, generation: 1 })], id)).toEqual(['pending', 1]);
  });

  const UNFREEZING = [step(1, 'freeze'), step(1, 'freeze.github'), said(2, 'confirm', 'unfreeze'), step(3, 'communication.recovery'), step(4, 'lift.github')];

  it.each([
    ['freeze', ['done', 0]],
    ['freeze.github', ['pending', 0]],
    ['lift.github', ['pending', 0]],
    ['communication.recovery', ['done', 0]],
    ['lift', ['pending', 0]],
  ])('asks about the unfreeze again, and holds the platforms until then: %s', (id, expected) => {
    expect(carried(UNFREEZING, id)).toEqual(expected);
    expect(carried(UNFREEZING.slice(0, -1), id)).toEqual(expected);
  });

  it.each(['freeze', 'freeze.github', 'lift.github', 'communication.recovery', 'lift'])('leaves alone what is lifted: %s', (id) => {
    expect(carried([...UNFREEZING, step(5, 'lift', { change: { frozen: [] } })], id)).toEqual(['done', 0]);
  });

  it.each([
    ['freeze.github', ['pending', 0]],
    ['lift.github', ['pending', 0]],
    ['communication.recovery', ['pending', 1]],
    ['lift', ['pending', 1]],
  ])('asks about what is left of a freeze that was lifted in part: %s', (id, expected) => {
    expect(carried([...UNFREEZING, step(5, 'lift', { change: { frozen: ['deployments'] } })], id)).toEqual(expected);
  });

  it('does not tell of the rest twice', () => {
    const part = [...UNFREEZING, step(5, 'lift', { change: { frozen: ['deployments'] } })];
    const again = [...part, said(6, 'confirm', 'unfreeze'), step(7, 'communication.recovery', { generation: 1 })];
    expect(carried(again, 'communication.recovery')).toEqual(['done', 1]);
    expect(carried([...again, step(8, 'lift', { generation: 1, change: { frozen: [] } })], 'lift')).toEqual(['done', 1]);
  });

  it.each([
    ['review', ['pending', 1]],
    ['communication.recovery', ['pending', 1]],
    ['communication.declared', ['done', 0]],
    ['freeze', ['done', 0]],
  ])('says and commits anew what was of a time before a drift: %s', (id, expected) => {
    const drift = { type: 'drift', at: at(5), component: 'web', failure: {} };
    expect(carried([step(1, 'freeze'), step(1, 'communication.declared'), step(2, 'review'), step(3, 'communication.recovery'), drift], id)).toEqual(expected);
    expect(carried([step(2, 'review'), drift, step(6, 'review', { generation: 1 })], 'review')).toEqual(['done', 1]);
  });
});
