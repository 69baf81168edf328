/** The five kinds against the table of product.md section 2, cell by cell. */
import { describe, expect, it } from 'vitest';
import { changes, EFFECTS, isKind, KINDS, POLICIES, type Effect, type Kind } from '../../model/policy.ts';
import { forbiddenStep, investigationStep, type PlannedStep } from '../../model/plan.ts';

const HARMLESS = ['read', 'notify', 'record'];
const TABLE: Readonly<
  Record<
    Kind,
    {
      starters: string[];
      effects: string[];
      partialEnd: boolean;
      retryNeedsAnalysis: boolean;
      targetSeconds: number | null;
      subject: string;
      lead: string;
      level: number | null;
      built: boolean;
    }
  >
> = {
  deployRevert: {
    starters: ['operator', 'verification', 'automatic', 'drill'],
    effects: ['deploy'],
    partialEnd: false,
    retryNeedsAnalysis: true,
    targetSeconds: 300,
    subject: 'components',
    lead: 'operator',
    level: null,
    built: true,
  },
  l1Rollback: {
    starters: ['operator', 'verification', 'automatic', 'drill'],
    effects: ['freeze', 'deploy', 'config'],
    partialEnd: true,
    retryNeedsAnalysis: false,
    targetSeconds: 900,
    subject: 'incident',
    lead: 'incident-commander',
    level: 1,
    built: true,
  },
  l2Rollback: {
    starters: ['operator', 'verification', 'automatic', 'drill'],
    effects: ['freeze', 'deploy', 'config', 'schema', 'data'],
    partialEnd: true,
    retryNeedsAnalysis: false,
    targetSeconds: 900,
    subject: 'incident',
    lead: 'incident-commander',
    level: 2,
    built: true,
  },
  l3Rollback: {
    starters: ['operator', 'verification', 'automatic', 'drill'],
    effects: ['freeze', 'deploy', 'config', 'schema', 'data', 'evidence', 'credential'],
    partialEnd: true,
    retryNeedsAnalysis: false,
    targetSeconds: 900,
    subject: 'incident',
    lead: 'incident-commander',
    level: 3,
    built: true,
  },
  upaDeprovision: {
    starters: ['operator'],
    effects: ['tenant'],
    partialEnd: true,
    retryNeedsAnalysis: false,
    targetSeconds: null,
    subject: 'tenant',
    lead: 'operator',
    level: null,
    built: true,
  },
};

describe('the kinds [product.md 2]', () => {
  it('are exactly five', () => {
    expect([...KINDS]).toEqual(Object.keys(TABLE));
    expect(Object.keys(POLICIES)).toEqual(Object.keys(TABLE));
  });

  it.each(KINDS)('%s has the policy of the table', (kind) => {
    const { causes, effects, ...rest } = POLICIES[kind];
    const { effects: expected, ...row } = TABLE[kind];
    expect(rest).toEqual(row);
    expect([...effects].toSorted()).toEqual([...HARMLESS, ...expected].toSorted());
    expect(causes.length).toBeGreaterThan(0);
  });

  it('a deprovisioning is never automatic [000]', () => {
    expect(POLICIES.upaDeprovision.starters).toEqual(['operator']);
  });

  it.each(KINDS.flatMap((kind) => EFFECTS.map((effect) => [kind, effect] as const)))(
    '%s: a step that touches %s is planned only where the table has it',
    (kind, effect) => {
      const step: PlannedStep = { ...investigationStep(), effect };
      const allowed = HARMLESS.includes(effect) || TABLE[kind].effects.includes(effect);
      expect(forbiddenStep(kind, [investigationStep(), step])).toBe(allowed ? undefined : step);
    },
  );

  it('only reading, telling and recording change nothing', () => {
    expect(EFFECTS.filter((effect: Effect) => !changes(effect))).toEqual(HARMLESS);
  });

  it.each(['constructor', '__proto__', 'toString', 'DeployRevert', '', null, 1, {}])('%j is no kind', (value) => {
    expect(isKind(value)).toBe(false);
  });
});
