/** What an earlier rollback of the same incident has left [001 step 5], and what belongs to a version that a rollback has restored [001 step 2]. */
import { describe, expect, it } from 'vitest';
import { stillHeld } from '../../activities/incident/communicate.ts';
import { keptOf } from '../../activities/incident/keep.ts';
import { draft } from '../../activities/draft.ts';
import type { Facts } from '../../model/communications.ts';
import type { Freeze } from '../../model/freeze.ts';
import type { RollbackEvent } from '../../store/store.ts';
import { dependencies, deployment, firstAttempt, Paper, START, stepWork } from './given.ts';
import { refused } from './runbook-given.ts';

const RECORDED = { deployments: ['web', 'api'].map((component) => deployment('v1.0.0', { component, deploymentId: `good-${component}` })) };
const freeze = (incident: string, inForce: Freeze['inForce']): Freeze => ({
  freezeId: `f-${incident}`,
  environment: 'production',
  incident,
  rollbackId: 'before',
  workflowId: `l1Rollback/production/${incident}`,
  by: 'carol',
  at: '2026-11-21T03:00:00.000Z',
  scopes: inForce,
  exceptions: { roles: [], items: [] },
  inForce,
  lifted: [],
  event: 'e',
});

describe('[001 step 5] a freeze that an earlier rollback of the incident has left', () => {
  const start = (components: readonly string[], earlier: Partial<RollbackEvent>[], held: readonly Freeze[]) => {
    const deps = dependencies(new Paper(), RECORDED);
    const store = {
      ...deps.store,
      freezes: () => Promise.resolve([...held]),
      rollbacks: () => Promise.resolve(earlier as RollbackEvent[]), // The plan reads outcome and components only.
      snapshot: () => Promise.resolve(null),
    };
    const targets = Object.fromEntries(components.map((name) => [name, 'v1.0.0']));
    const input = { ...START, components, targets, cause: 'reliability-regression', incident: 'INC-42' };
    return draft('l1Rollback', input, null, { ...deps, store }, firstAttempt());
  };
  const partial = { outcome: 'partial', components: ['web', 'api'] } as const;

  it('is not answered for by fewer components: whoever lifts it answers for all of them', async () => {
    await expect(start(['web'], [partial], [freeze('INC-42', ['merges'])])).rejects.toMatchObject(
      refused('incident', /ended partial and left the freeze, and api belong to it too; name them as well/),
    );
  });

  it('is by all of them; and where nothing is frozen, or nothing was left, by any', async () => {
    await expect(start(['web', 'api'], [partial], [freeze('INC-42', ['merges'])])).resolves.toBeDefined();
    await expect(start(['web'], [partial], [])).resolves.toBeDefined();
    await expect(start(['web'], [{ outcome: 'rolled-back', components: ['web', 'api'] }], [freeze('INC-42', ['merges'])])).resolves.toBeDefined();
  });

  it('has nothing to do with components that the configuration has lost', async () => {
    await expect(start(['web'], [{ outcome: 'partial', components: ['web', 'gone'] }], [freeze('INC-42', ['merges'])])).resolves.toBeDefined();
  });
});

describe('[001 Template C] what is unblocked', () => {
  const facts = { unfreezeScopes: ['merges', 'promotions'], remaining: ['a follow-up'] } as unknown as Facts; // It reads these two only.
  const said = (held: readonly Freeze[]): Promise<Facts> => {
    const deps = dependencies(new Paper(), RECORDED);
    const incident = { id: 'INC-42', by: 'carol' };
    return stillHeld({ work: stepWork(), incident, deps: { ...deps, store: { ...deps.store, freezes: () => Promise.resolve([...held]) } } }, facts);
  };

  it('is not what another incident holds too', async () => {
    expect(await said([freeze('INC-42', ['merges', 'promotions']), freeze('INC-7', ['merges'])])).toEqual({
      unfreezeScopes: ['promotions'],
      remaining: ['a follow-up', 'still frozen: merges, by INC-7'],
    });
  });

  it('is all of it where only this one holds it', async () => {
    expect(await said([freeze('INC-42', ['merges', 'promotions'])])).toEqual(facts);
  });
});

describe('[001 step 2] what belongs to a version', () => {
  it('was kept when it was verified, also where a rollback has restored it since', async () => {
    const rows = [deployment('v1.0.0', { deploymentId: 'restored', rollbackFrom: 'bad' }), deployment('v1.0.0', { deploymentId: 'verified' })];
    const deps = dependencies(new Paper(), { deployments: rows });
    const kept = { facts: { migrations: '0042' }, marks: [], openapi: null, problems: [] };
    const snapshot = (id: string) => Promise.resolve(id === 'verified' ? { config: { kept }, at: '' } : { config: { version: 'v1.0.0' }, at: '' });
    const found = await keptOf({ store: { ...deps.store, snapshot } }, 'production', 'web', 'v1.0.0');
    expect(found).toMatchObject({ deployment: { deploymentId: 'verified' }, kept });
    const none = await keptOf({ store: { ...deps.store, snapshot: () => Promise.resolve(null) } }, 'production', 'web', 'v1.0.0');
    expect(none).toMatchObject({ deployment: { deploymentId: 'restored' }, kept: null });
  });
});
