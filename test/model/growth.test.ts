/** What a run makes of another plan, of the Security Lead's list, and of what was approved before it was ended from outside. */
import { describe, expect, it } from 'vitest';
import { asCounted } from '../../activities/incident/escalate.ts';
import type { DataPlace } from '../../model/incident-data.ts';
import { whole, type Plan } from '../../model/plan.ts';
import type { Carried } from '../../model/carried.ts';
import type { Answer } from '../../model/state.ts';
import { currentDetails } from '../../workflows/details.ts';
import { adoptSteps, arrange, dataWorkOf, recount } from '../../workflows/incident-data.ts';
import { Progress } from '../../workflows/progress.ts';
import { newStep } from '../../workflows/step-progress.ts';
import { PEOPLE, steps } from './runbook-given.ts';

const DATA: DataPlace = {
  databases: [
    {
      name: 'main',
      recover: null,
      asOf: null,
      undo: [{ name: '2', digest: 'sha256:2', destroys: [{ what: 'table a', rows: 1 }], transactional: true }],
      restores: [],
      rebuild: [],
      checks: ['tenants'],
    },
  ],
  chains: [{ name: 'trail', affected: 2 }],
  credentials: [
    { name: 'payments', byHand: null },
    { name: 'mail', byHand: null },
    { name: 'google', byHand: 'https://console' },
  ],
};
const AT = '2026-11-21T03:00:00.000Z';
const planOf = (kind: 'l1Rollback' | 'l3Rollback'): Plan => ({
  kind,
  environment: 'production',
  tenant: null,
  incident: 'INC-42',
  targets: [],
  targetSeconds: 900,
  steps: steps(kind === 'l1Rollback' ? {} : { kind, data: DATA }),
  ...(kind === 'l1Rollback'
    ? {}
    : { places: { 'database/main': 'sha256:db', 'evidence/trail': 'sha256:ev', 'credential/payments': 'sha256:p', 'credential/mail': 'sha256:m' } }),
});
const settings = { people: PEOPLE, remindAfterSeconds: 300, handOverAfterSeconds: 1800, handOverTo: 'on-call-lead' };

function progress(kind: 'l1Rollback' | 'l3Rollback', carried: Carried | null = null): Progress {
  const made = new Progress({ rollbackId: 'r', workflowId: 'l1Rollback/production/INC-42', runId: 'run', kind: 'l1Rollback', startedAtMs: 0 });
  made.adopt(planOf(kind), 'sha256:plan', settings, carried);
  return made;
}
const ids = ({ steps: all }: Progress): string[] => all.map((step) => step.planned.id);
const signed = (here: Progress, data: unknown): void => {
  here.answers.push({ name: 'confirm', step: 'credentials', by: 'sam', data, proof: 'self-declared', at: AT });
  Object.assign(here.step('credentials') ?? {}, { state: 'confirmed' });
  arrange(here);
};

describe('another plan', () => {
  it('keeps what is known of a step, takes its new words, and has the new steps in their place', () => {
    const here = progress('l1Rollback');
    const deployed = here.step('api.deploy');
    Object.assign(deployed ?? {}, { state: 'done', attempts: 3 });
    const before = here.plan as Plan;
    here.plan = planOf('l3Rollback');
    adoptSteps(here, before, here.plan.steps);
    expect(ids(here)).toEqual(planOf('l3Rollback').steps.map((step) => step.id));
    expect(here.step('api.deploy')).toBe(deployed);
    expect(deployed).toMatchObject({ state: 'done', attempts: 3 });
    expect(here.step('cleanup.data')?.planned.demands?.choices).toEqual(['done']);
    expect(here.desk().steps.find((step) => step.id === 'cleanup.data')?.demands?.choices).toEqual(['done']);
    expect([here.kind, here.policy.level]).toEqual(['l3Rollback', 3]);
  });
  it('keeps what this run has asked beside its plan, and what was begun of the old one', () => {
    const here = progress('l1Rollback');
    const before = here.plan as Plan;
    const takeover = newStep(whole({ id: 'takeover', title: 'x', mode: 'manual', effect: 'record', owner: null }));
    here.steps.splice(
      here.steps.findIndex((step) => step.planned.id === 'identify'),
      0,
      takeover,
    );
    here.breach(0);
    Object.assign(here.step('gate.ci-pr') ?? {}, { state: 'done' });
    const less = planOf('l3Rollback').steps.filter((step) => step.id !== 'gate.ci-pr' && step.id !== 'gate.orders');
    adoptSteps(here, before, less);
    expect(ids(here).indexOf('takeover')).toBe(ids(here).indexOf('identify') - 1);
    expect(ids(here)).toContain('investigation');
    expect(ids(here)).toContain('gate.ci-pr');
    expect(ids(here)).not.toContain('gate.orders');
  });
});

describe('the list of credentials', () => {
  it('lets nothing of a credential run before it is signed, and says so to the activity', () => {
    const here = progress('l3Rollback');
    arrange(here);
    const issue = here.step('issue.payments');
    expect(issue && dataWorkOf(here, issue)).not.toHaveProperty('signed');
    signed(here, { rotate: ['payments'], revokeFirst: [], unaffected: ['mail', 'google'] });
    expect(issue && dataWorkOf(here, issue)).toMatchObject({ at: 'credential/payments', place: 'sha256:p', signed: { by: 'sam', first: false } });
    const mail = here.step('issue.mail');
    expect(mail && dataWorkOf(here, mail)).not.toHaveProperty('signed');
  });
  it('leaves out what was not exposed, by hand and by authority', () => {
    const here = progress('l3Rollback');
    signed(here, { rotate: ['payments'], revokeFirst: [], unaffected: ['mail', 'google'] });
    for (const id of ['issue.mail', 'install.mail', 'revoke.mail', 'scope.mail', 'rotate.google']) expect(here.step(id)?.state, id).toBe('skipped');
    expect(here.step('issue.payments')?.state).toBe('pending');
  });
  it('has an exploited one revoked before anything else is changed, in a wave of its own, each in its order; again it changes nothing', () => {
    const here = progress('l3Rollback');
    const list = { rotate: ['mail'], revokeFirst: ['payments'], unaffected: ['google'] };
    signed(here, list);
    const all = ids(here);
    const first = all.indexOf('credentials');
    expect(all.slice(first, first + 4)).toEqual(['credentials', 'revoke.payments', 'issue.payments', 'install.payments']);
    expect(all.indexOf('revoke.mail')).toBeGreaterThan(all.indexOf('install.mail'));
    for (const step of here.steps.slice(0, first)) Object.assign(step, { state: 'done' });
    expect(here.batch().map((step) => step.planned.id)).toEqual(['revoke.payments']);
    const revoke = here.step('revoke.payments');
    expect(revoke && dataWorkOf(here, revoke)).toMatchObject({ signed: { first: true } });
    signed(here, list);
    expect(ids(here)).toEqual(all);
  });
  it('says what an exploited one is revoked after, as long as that is outstanding', () => {
    const here = progress('l3Rollback');
    const words = 'Not revoked yet: payments. Revocation begins when `target` is confirmed.';
    expect(currentDetails(here)).not.toContain('Not revoked yet');
    signed(here, { rotate: ['mail'], revokeFirst: ['payments'], unaffected: ['google'] });
    expect(currentDetails(here)).toContain(words);
    Object.assign(here.step('target') ?? {}, { state: 'confirmed' });
    expect(currentDetails(here)).not.toContain('Not revoked yet');
  });
});

describe('what was approved', () => {
  const answer = (step: string, more: Record<string, unknown>): Answer => ({ name: 'confirm', step, by: 'dora', proof: 'self-declared', at: AT, ...more });
  const carried = (answers: readonly Answer[], more: Partial<Carried> = {}): Carried => ({
    machineMs: 0,
    humanMs: 0,
    breached: false,
    starter: 'carol',
    answers,
    refusals: [],
    unrecorded: { answers: [], refusals: [] },
    warnings: [],
    steps: [],
    ...more,
  });
  it('is no deed: after a resume it may run, and has not run', () => {
    const here = progress('l3Rollback', carried([answer('undo.main.2', { plan: 'sha256:plan' })]));
    expect(here.step('undo.main.2')).toMatchObject({ state: 'pending', approval: { by: 'dora' } });
    const undo = here.step('undo.main.2');
    expect(undo && dataWorkOf(here, undo)).toMatchObject({ approved: [{ what: 'table a', rows: 1 }], digest: 'sha256:2' });
  });
  it('of another plan is nothing, and neither is what a level has made void', () => {
    const other = progress('l3Rollback', carried([answer('undo.main.2', { plan: 'sha256:older' })]));
    expect(other.step('undo.main.2')?.approval).toBeNull();
    const grown = progress('l3Rollback', carried([answer('cleanup.data', { choice: 'not-applicable' })], { voided: { 'cleanup.data': AT } }));
    expect(grown.step('cleanup.data')?.state).toBe('pending');
    const kept = progress('l3Rollback', carried([answer('cleanup.data', { choice: 'done' })]));
    expect(kept.step('cleanup.data')?.state).toBe('confirmed');
  });
  it('is asked anew where more would be lost, with another plan', () => {
    const here = progress('l3Rollback');
    const undo = here.step('undo.main.2');
    if (!undo) throw new Error('no such step');
    Object.assign(undo, { state: 'failed', approval: { by: 'dora', choice: null, note: null } });
    recount(here, undo, { hash: 'sha256:more', destroys: [{ what: 'table a', rows: 9 }], title: 'nine rows' });
    expect(undo).toMatchObject({ state: 'pending', approval: null, failure: null, planned: { title: 'nine rows', destroys: [{ what: 'table a', rows: 9 }] } });
    expect(here.planHash).toBe('sha256:more');
    expect(here.plan?.steps.find((step) => step.id === 'undo.main.2')).toMatchObject({ destroys: [{ rows: 9 }] });
    expect(dataWorkOf(here, undo)).toMatchObject({ approved: [] });
  });
});

describe('what was counted anew before it was approved', () => {
  const before = planOf('l3Rollback').steps.map((step) =>
    step.id === 'undo.main.2' ? { ...step, title: 'Undo 2, which destroys table a with 3 rows', destroys: [{ what: 'table a', rows: 3 }] } : step,
  );
  const grown = (kept: readonly string[], was = before) =>
    asCounted(planOf('l3Rollback').steps, { steps: was }, new Set(kept)).find((step) => step.id === 'undo.main.2');
  it('is in the words of a higher level too, where the database is kept as it was begun', () => {
    expect(grown(['database/main'])).toMatchObject({ title: 'Undo 2, which destroys table a with 3 rows', destroys: [{ rows: 3 }], approval: true });
  });
  it('is not where it is looked at anew, nor where it is another migration by now', () => {
    expect(grown([])?.destroys).toEqual([{ what: 'table a', rows: 1 }]);
    expect(
      grown(
        ['database/main'],
        before.map((step) => ({ ...step, digest: 'sha256:other' })),
      )?.destroys,
    ).toEqual([{ what: 'table a', rows: 1 }]);
  });
});
