/** What a person is told to type, at every standstill: each decision that the rules take, with a word on when, and none that they refuse. */
import { beforeEach, describe, expect, it } from 'vitest';
import { judgeDecide } from '../../model/answers.ts';
import { failure } from '../../model/failure.ts';
import type { DataPlace } from '../../model/incident-data.ts';
import { incidentSteps } from '../../model/incident.ts';
import { parseMessage, type Decide } from '../../model/input.ts';
import { judgeLeft } from '../../model/later-rules.ts';
import type { Plan } from '../../model/plan.ts';
import type { StepState, Waiting } from '../../model/state.ts';
import { beforeClose, waitingOf } from '../../workflows/awaited.ts';
import { nextCommands } from '../../client/view.ts';
import { Progress } from '../../workflows/progress.ts';
import { viewOf } from '../../workflows/view.ts';
import { START } from './given.ts';
import { PEOPLE, target } from './runbook-given.ts';

const ID = 'l3Rollback/production/INC-42';
const DATA: DataPlace = {
  databases: [
    {
      name: 'main',
      recover: null,
      asOf: null,
      undo: [{ name: '2_coupon', digest: 'sha256:2', destroys: [], transactional: true }],
      restores: [],
      rebuild: [],
      checks: ['tenant-isolation'],
    },
  ],
  chains: [],
  credentials: [{ name: 'payments', byHand: null }],
};
const steps = incidentSteps({
  kind: 'l3Rollback',
  cause: 'reliability-regression',
  targets: [target('api')],
  waves: [['api']],
  configured: new Set(),
  parity: false,
  gates: [{ name: 'ci-pr', covers: 'ci' }],
  carriers: [],
  review: false,
  data: DATA,
  fourEyes: () => false,
});
const PLAN: Plan = {
  kind: 'l3Rollback',
  environment: 'production',
  tenant: null,
  incident: 'INC-42',
  targets: [target('api')],
  steps,
  targetSeconds: 900,
  data: DATA,
};

let progress: Progress;
beforeEach(() => {
  progress = new Progress({ rollbackId: 'r', workflowId: ID, runId: 'r', kind: 'l3Rollback', startedAtMs: 0 });
  progress.input = { ...START, components: ['api'], targets: { api: 'last-healthy' }, incident: 'INC-42', cause: 'reliability-regression' };
  progress.adopt(PLAN, 'sha256:plan', { people: PEOPLE, remindAfterSeconds: 1, handOverAfterSeconds: 2, handOverTo: 'x' }, null);
});
const put = (states: Readonly<Record<string, StepState>>): void => {
  for (const [id, state] of Object.entries(states)) {
    const step = progress.step(id);
    if (!step) throw new Error(`there is no ${id}`);
    Object.assign(step, { state, failure: state === 'failed' ? failure('PlatformFailed', 'it broke') : null });
  }
};
const skip = (step: string): void => {
  progress.answered({ name: 'decide', step, by: 'sam', action: 'skip', reason: 'x', due: '2099-01-01' }, 0);
  put({ [step]: 'skipped' });
};
/** Every answer that is offered, as the handler would judge it from whoever may give it. */
const isTaken = ({ json }: Pick<Waiting, 'json'>): boolean => {
  const [name, ...rest] = json.split(' ');
  if (name !== 'decide') return true;
  const parsed = parseMessage('decide', { ...(JSON.parse(rest.join(' ').replace('"DATE"', '"2099-01-01"')) as object), by: 'somebody' });
  if ('error' in parsed) throw new Error(parsed.error);
  const by = ['carol', 'sam', 'dora'];
  return judgeLeft(progress.desk(), parsed.value) === null && by.some((one) => judgeDecide(progress.desk(), { ...parsed.value, by: one }) === null);
};
const linesOf = (waits: readonly Waiting[]): string[] =>
  waits.flatMap((one) => [...(one.or ?? []).map((other) => other.answer), one.answer]).map((line) => line.replace(` ${ID}`, ''));
const failing = (step: string): Waiting => {
  put({ declaration: 'confirmed', [step]: 'failed' });
  const found = waitingOf(progress).find((one) => one.step === step);
  if (!found) throw new Error(`${step} is not awaited`);
  for (const one of [found, ...(found.or ?? [])]) expect(isTaken(one), one.answer).toBe(true);
  return found;
};

describe('a step that stands still', () => {
  it('a broken inverse: undone by hand or tried again; that it cannot be left is not offered', () => {
    expect(linesOf([failing('undo.main.2_coupon')])).toEqual([
      'backout decide --step undo.main.2_coupon --action done --by YOU --reason WHY',
      'backout decide --step undo.main.2_coupon --action retry --by YOU --reason WHY',
    ]);
  });
  it('a credential: left as a signed risk, done by hand, or tried again, each with when', () => {
    const { or = [], when } = failing('revoke.payments');
    expect([...or.map((one) => one.when), when]).toEqual([
      'leave it: a risk you sign for, until a date',
      'you did it by hand: Backout looks',
      'again, the cause is mended',
    ]);
    expect(or[0]?.answer).toContain('--action skip --by YOU --due DATE --reason WHY');
  });
  it('a gate: a risk, a blocker known from before, or looked at again; nobody does a check by hand', () => {
    expect(linesOf([failing('gate.ci-pr')]).map((line) => / --action (\w+)/.exec(line)?.[1])).toEqual(['skip', 'skip', 'retry']);
  });
  it('what nobody may accept is only tried again', () => {
    expect(failing('invariants.main').or).toBeUndefined();
  });
});

describe('the end', () => {
  it('may be offered only once nothing stands in its way; until then what does is', () => {
    put({ declaration: 'confirmed', 'api.deploy': 'done', 'issue.payments': 'done', 'install.payments': 'done', 'revoke.payments': 'failed' });
    const first = beforeClose(progress) ?? [];
    expect(first.map((one) => one.step)).toEqual(['cleanup.data', 'cleanup.evidence', 'cleanup.credentials', 'revoke.payments']);
    expect(first.at(-1)?.answer).toContain('--step revoke.payments --action skip');
    skip('revoke.payments');
    put({ 'cleanup.data': 'confirmed', 'cleanup.evidence': 'confirmed', 'cleanup.credentials': 'confirmed', 'scope.payments': 'failed' });
    expect(beforeClose(progress)).toEqual([]);
    expect(viewOf(progress, 0).beforeClose).toEqual([]);
  });
  it('is not spoken of while it goes on', () => {
    expect(beforeClose(progress)).toBeNull();
    expect(viewOf(progress, 0)).not.toHaveProperty('beforeClose');
  });
  it('leaves the freeze with the very command that comes to it, versions and all', () => {
    put({ declaration: 'confirmed' });
    if (progress.incident) progress.incident.frozen = ['merges'];
    progress.outcome = 'partial';
    expect(viewOf(progress, 0).remains.find((one) => one.artifact.startsWith('freeze of '))?.reason).toContain(
      'backout start l3Rollback --environment production --component api --to api=v1.0.0 --incident INC-42 --cause reliability-regression --reason WHY --by YOU',
    );
  });
});

describe('the unfreeze', () => {
  const ready = (): void => {
    for (const { id, mode } of steps) if (id !== 'unfreeze' && !id.startsWith('lift')) put({ [id]: mode === 'manual' ? 'confirmed' : 'done' });
    put({ unfreeze: 'waiting' });
  };
  const asked = (): Waiting | undefined => waitingOf(progress).findLast((one) => one.step === 'unfreeze');
  it('is offered once all four conditions are met', () => {
    ready();
    expect(asked()?.answer).toBe(`backout confirm ${ID} --step unfreeze --by YOU`);
  });
  it('after something was left out that it needs, is not: what can be done is, and why', () => {
    ready();
    skip('revoke.payments');
    expect(asked()).toMatchObject({
      answer: `backout stop ${ID} --by YOU --reason WHY`,
      why: expect.stringMatching(/^revoke\.payments was left out.*close.*started again$/) as string,
    });
  });
  it('once it is stopped, is not: the end is, which is taken then', () => {
    ready();
    skip('revoke.payments');
    progress.stop = { by: 'carol', reason: 'as it says' };
    expect(asked()).toMatchObject({ answer: `backout decide ${ID} --action close --by YOU --reason WHY`, why: expect.stringContaining('close it') as string });
    expect(judgeDecide(progress.desk(), { ...(JSON.parse(asked()?.json.slice('decide '.length) ?? '') as Decide), by: 'carol' })).toBeNull();
    expect(nextCommands(viewOf(progress, 0), null).map((one) => one.what)).toEqual(['go on', 'give up']);
  });
  it('while a notice is undelivered, that comes first', () => {
    ready();
    put({ 'communication.declared': 'failed' });
    expect(asked()).toMatchObject({
      answer: expect.stringContaining('--step communication.declared --action retry') as string,
      why: expect.stringContaining('first') as string,
    });
  });
});

describe('a row of the checklist', () => {
  it('asks only for the evidence that no step has produced', () => {
    put({ declaration: 'confirmed', 'cleanup.credentials': 'waiting', 'revoke.payments': 'done' });
    const row = (): string => waitingOf(progress).find((one) => one.step === 'cleanup.credentials')?.answer ?? '';
    expect(row()).toMatch(/--choice done --evidence "scope-verification=…"$/);
    put({ 'scope.payments': 'done' });
    expect(row()).toMatch(/--choice done$/);
  });
});
