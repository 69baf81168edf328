/** A planner that has gone wrong: whatever it plans, a step whose effect the kind does not allow is refused before anything is claimed. */
import { expect, it, vi } from 'vitest';
import type * as Planning from '../../model/plan.ts';
import { draft } from '../../activities/draft.ts';
import { dependencies, deployment, firstAttempt, Paper, START } from './given.ts';

vi.mock(import('../../model/plan.ts'), async (original) => {
  const real: typeof Planning = await original();
  return {
    ...real,
    deployRevertSteps: (...of) => [...real.deployRevertSteps(...of), { ...real.investigationStep(), id: 'web.migrate', effect: 'schema' }],
  };
});

it('[002 section 9] a data migration cannot be planned', async () => {
  const deps = dependencies(new Paper(), { deployments: [deployment('v1.0.0')] });
  const expected = { rule: 'effect-not-allowed', message: 'web.migrate would touch schema, which a deployRevert may not' };
  await expect(draft('deployRevert', START, null, deps, firstAttempt())).rejects.toMatchObject(expected);
});
