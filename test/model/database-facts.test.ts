/** "Database restored to: [TIMESTAMP] (if applicable)" [004 section 6.1], filled from the steps; and what levels 2 and 3 change in the other facts. */
import { describe, expect, it } from 'vitest';
import { factsOf, type Facts } from '../../model/communications.ts';
import { incidentSteps, type IncidentPlace } from '../../model/incident.ts';
import type { DatabasePlace, DataPlace } from '../../model/incident-data.ts';
import { whole } from '../../model/plan.ts';
import type { Answer, Receipt, RollbackState, StepState, StepView } from '../../model/state.ts';
import { NOT_STATED, render } from '../../model/templates.ts';

const AT = '2026-11-21T03:10:42.000Z';
const MAIN: DatabasePlace = {
  name: 'main',
  recover: null,
  asOf: null,
  undo: [
    { name: '3_index', digest: 'sha256:3', destroys: [], transactional: true },
    { name: '2_coupon', digest: 'sha256:2', destroys: [{ what: 'column public.orders.coupon', rows: 7 }], transactional: true },
  ],
  restores: [{ name: 'orders', table: 'orders', missing: 20, changed: 0 }],
  rebuild: [],
  checks: ['tenant-isolation'],
};
const RECOVERED: DatabasePlace = { ...MAIN, recover: 'backup', asOf: '2026-11-21T02:00:00.000Z', undo: [], restores: [] };
const DATA: DataPlace = { databases: [MAIN], chains: [], credentials: [] };
const steps = (data: DataPlace | null, states: Readonly<Record<string, StepState>>, receipts: Readonly<Record<string, Receipt>>): StepView[] => {
  const place: IncidentPlace = {
    kind: data === null ? 'l1Rollback' : 'l3Rollback',
    cause: 'reliability-regression',
    targets: [{ component: 'web', from: 'v2', to: 'v1', config: 'sha256:c' }],
    waves: [['web']],
    configured: new Set(),
    parity: false,
    gates: [],
    carriers: [],
    review: false,
    fourEyes: () => false,
    ...(data === null ? {} : { data }),
  };
  return incidentSteps(place)
    .map(whole)
    .map((step) => ({
      ...step,
      state: states[step.id] ?? 'pending',
      attempts: 1,
      startedAt: AT,
      endedAt: AT,
      receipt: receipts[step.id] ?? null,
      failure: null,
    }));
};
const facts = (
  data: DataPlace | null,
  states: Readonly<Record<string, StepState>> = {},
  receipts: Readonly<Record<string, Receipt>> = {},
  answers: readonly Answer[] = [],
): Facts => {
  const state: RollbackState = {
    rollbackId: 'r',
    id: 'l1Rollback/production/INC-42',
    runId: 'r',
    kind: data === null ? 'l1Rollback' : 'l3Rollback',
    environment: 'production',
    components: ['web'],
    tenant: null,
    incident: 'INC-42',
    trigger: { type: 'operator', cause: 'reliability-regression', reason: 'orders are lost', by: 'carol', at: AT },
    state: 'running',
    outcome: null,
    planHash: null,
    targets: [],
    clock: { targetSeconds: 900, machineSeconds: 1, humanSeconds: 1, breached: false },
    steps: steps(data, states, receipts),
    waiting: [],
    answers,
    remains: [],
    refusals: [],
    warnings: [],
    stopped: null,
    record: { entries: 1, head: null, behind: false },
  };
  return factsOf(state, { at: AT, severity: null, impact: null, contact: null, notes: null, risks: [] });
};
const line = (of: Facts): string => /^- Database restored to: (.*)$/m.exec(render('update', of).internal.body)?.[1] ?? '';

describe('[004 section 6.1] database restored to', () => {
  it('does not apply at level 1, where the facts are what they always were', () => {
    expect(facts(null)).not.toHaveProperty('databases');
    expect(line(facts(null))).toBe('not applicable, L1 is code and configuration only');
  });

  it('is the time up to which a recovered database holds what was written, and whether it is in use', () => {
    const data = { ...DATA, databases: [RECOVERED] };
    const receipts = { 'recover.main': { after: { asOf: '2026-11-21T02:00:00.000Z' } } };
    expect(line(facts(data))).toBe('main: nothing yet, 2 steps to go');
    expect(line(facts(data, { 'recover.main': 'done' }, receipts))).toBe('main as of 2026-11-21 02:00 UTC (a new database, which is not in use, 1 step to go)');
    expect(line(facts(data, { 'recover.main': 'done', 'switch.main': 'done' }, receipts))).toBe(
      'main as of 2026-11-21 02:00 UTC (a new database, which is in use now)',
    );
  });

  it('says in words which migrations were undone, and how many rows were put back', () => {
    const undone = { 'undo.main.3_index': 'done', 'undo.main.2_coupon': 'already', 'restore.main.orders': 'done' } as const;
    expect(line(facts(DATA, { 'undo.main.3_index': 'done' }))).toBe('main: 1 migration undone, down to before 3_index, 2 steps to go');
    expect(line(facts(DATA, undone, { 'restore.main.orders': { after: { restored: 18 } } }))).toBe(
      'main: 2 migrations undone, down to before 2_coupon, 18 rows of orders put back',
    );
    expect(line(facts(DATA, { ...undone, 'restore.main.orders': 'skipped' }))).toBe('main: 2 migrations undone, down to before 2_coupon, 1 left out');
  });

  it('says so where nothing of it goes back, where people do, and where no step goes back with any', () => {
    expect(line(facts({ ...DATA, databases: [{ ...MAIN, undo: [], restores: [] }] }))).toBe('main: as it was, nothing in it is gone back with');
    const hand = { ...DATA, databases: [{ ...MAIN, recover: 'by-hand', undo: [], restores: [], checks: [] }] };
    expect([line(facts(hand)), line(facts(hand, { 'by-hand.main': 'confirmed' }))]).toEqual(['main: nothing yet, 1 step to go', 'main: gone back by hand']);
    expect(line(facts({ databases: [], chains: [], credentials: [] }))).toBe(`${NOT_STATED}, no database is gone back with by a step`);
  });

  it('is told to no status page', () => {
    expect(render('recovery', facts(DATA, { 'undo.main.3_index': 'done' })).status.body).not.toMatch(/main|migration/);
  });
});

describe('levels 2 and 3', () => {
  it('[001 step 3e] a credential that was not exposed is no risk and no check that was left out; one that was left out is', () => {
    const data = {
      ...DATA,
      credentials: [
        { name: 'payments', byHand: null },
        { name: 'mail', byHand: null },
      ],
    };
    const skipped = Object.fromEntries(
      ['issue', 'install', 'revoke', 'scope'].flatMap((one) => [`${one}.payments`, `${one}.mail`].map((id) => [id, 'skipped' as const])),
    );
    const answer = (step: string, name: string, more: Readonly<Record<string, unknown>>): Answer => ({
      name,
      step,
      by: 'sam',
      proof: 'self-declared',
      at: AT,
      ...more,
    });
    const signed = answer('credentials', 'confirm', { data: { rotate: ['mail'], unaffected: ['payments'] } });
    const left = answer('revoke.mail', 'decide', { action: 'skip', due: '2026-12-01', reason: 'the vendor is away' });
    const { risks, verification } = facts(data, { ...skipped, credentials: 'confirmed' }, {}, [signed, left]);
    expect(risks.filter((one) => one.includes('payments'))).toEqual([]);
    expect(verification.filter((one) => one.includes('payments'))).toEqual([]);
    expect(risks).toContain('Revoke every earlier mail: risk accepted by sam, due 2026-12-01; the vendor is away');
  });

  it('is not in place before data, evidence and credentials are', () => {
    const work = ['web.deploy', 'health', 'smoke', 'served', 'survey.main', 'undo.main.3_index', 'undo.main.2_coupon', 'invariants.main', 'stability'];
    const done = Object.fromEntries(work.map((id) => [id, 'done' as const]));
    const [open, all] = [facts(DATA, { ...done, target: 'confirmed' }), facts(DATA, { ...done, target: 'confirmed', 'restore.main.orders': 'done' })];
    expect([open.status, open.completedAt]).toEqual(['Identified', null]);
    expect([all.status, all.completedAt]).toEqual(['Monitoring', AT]);
  });
});
