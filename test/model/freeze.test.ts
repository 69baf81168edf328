import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FREEZE_SCOPES, type Freeze, type FreezeScope, isFreezeScope, judge, stops } from '../../model/freeze.ts';

const FREEZE: Freeze = {
  freezeId: '0192f3a4-5b6c-7d8e-9f00-112233445566',
  environment: 'production',
  incident: 'INC-1',
  rollbackId: '0192f3a4-5b6c-7d8e-9f00-112233445567',
  workflowId: 'l1Rollback/production/INC-1',
  by: 'ana',
  at: '2026-11-21T10:00:00.000Z',
  scopes: FREEZE_SCOPES,
  inForce: FREEZE_SCOPES,
  lifted: [],
  exceptions: { roles: ['incident-commander', 'api-lead'], items: ['rollback', 'incident'] },
  event: 'run/step/freeze',
};
const OWNER = { roles: ['developer', 'api-lead'], item: null };
const NOBODY = { roles: [], item: null };

describe('a freeze [001 Freeze Scope]', () => {
  it.each(FREEZE_SCOPES)('stops %s', (scope) => {
    expect(stops(FREEZE, { scope, ...NOBODY })).toBe(true);
    expect(judge([FREEZE], { scope, ...NOBODY })).toEqual({ frozen: true, freezes: [FREEZE], allowedBy: null });
  });

  it('lets rollback owners deploy, and do nothing else', () => {
    expect(judge([FREEZE], { scope: 'deployments', ...OWNER })).toEqual({
      frozen: false,
      freezes: [FREEZE],
      allowedBy: 'api-lead is a rollback owner and may deploy',
    });
    for (const scope of ['merges', 'claims', 'promotions'] as const) expect(stops(FREEZE, { scope, ...OWNER })).toBe(true);
    expect(stops(FREEZE, { scope: 'deployments', roles: ['developer'], item: 'incident' })).toBe(true);
  });

  it('lets rollback and incident items be claimed, and nothing else', () => {
    expect(judge([FREEZE], { scope: 'claims', roles: [], item: 'incident' })).toMatchObject({
      frozen: false,
      allowedBy: 'work items of kind incident may be claimed',
    });
    expect(stops(FREEZE, { scope: 'claims', roles: [], item: 'feature' })).toBe(true);
    for (const scope of ['merges', 'promotions', 'deployments'] as const) expect(stops(FREEZE, { scope, roles: [], item: 'incident' })).toBe(true);
  });

  it('stops only what is still in force', () => {
    const partly = { ...FREEZE, inForce: ['merges'] as const };
    expect(judge([partly], { scope: 'deployments', ...NOBODY })).toEqual({ frozen: false, freezes: [], allowedBy: null });
    expect(judge([partly], { scope: null, ...NOBODY })).toMatchObject({ frozen: true, freezes: [partly] });
  });

  it('holds while another of its kind lets it through: each incident has its own exceptions', () => {
    const strict = { ...FREEZE, incident: 'INC-2', exceptions: { roles: [], items: [] } };
    expect(judge([FREEZE, strict], { scope: 'deployments', ...OWNER })).toEqual({ frozen: true, freezes: [FREEZE, strict], allowedBy: null });
  });

  it('asked for everything at once, is over only where everything is let through', () => {
    expect(judge([FREEZE], { scope: null, roles: ['api-lead'], item: 'incident' })).toMatchObject({ frozen: true });
    const narrow = { ...FREEZE, inForce: ['claims', 'deployments'] as const };
    expect(judge([narrow], { scope: null, roles: ['api-lead'], item: 'incident' })).toMatchObject({
      frozen: false,
      allowedBy: 'work items of kind incident may be claimed; api-lead is a rollback owner and may deploy',
    });
    expect(judge([], { scope: null, ...NOBODY })).toEqual({ frozen: false, freezes: [], allowedBy: null });
  });

  it('is never passed without a reason that is told', () => {
    const scopes = fc.subarray([...FREEZE_SCOPES]);
    const freeze = fc
      .record({ inForce: scopes, roles: fc.subarray(['a', 'b']), items: fc.subarray(['x', 'y']) })
      .map(({ inForce, roles, items }): Freeze => ({ ...FREEZE, inForce, exceptions: { roles, items } }));
    const question = fc.record({
      scope: fc.constantFrom<FreezeScope | null>(null, ...FREEZE_SCOPES),
      roles: fc.subarray(['a', 'b', 'c']),
      item: fc.constantFrom(null, 'x', 'z'),
    });
    fc.assert(
      fc.property(fc.array(freeze, { maxLength: 3 }), question, (freezes, asked) => {
        const verdict = judge(freezes, asked);
        expect(verdict.allowedBy !== null).toBe(!verdict.frozen && verdict.freezes.length > 0);
        expect(verdict.allowedBy).not.toBe('');
      }),
    );
  });
});

it('knows its scopes by name', () => {
  expect(FREEZE_SCOPES.every(isFreezeScope)).toBe(true);
  for (const odd of ['merge', '', null, 1, 'constructor']) expect(isFreezeScope(odd)).toBe(false);
});
