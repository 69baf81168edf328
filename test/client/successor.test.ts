/** Who may go on with a rollback whose execution is gone: whoever leads, or a deputy, as far as people are known. */
import { expect, test } from 'vitest';
import type { People } from '../../model/roles.ts';
import type { RollbackState } from '../../model/state.ts';
import type { Session } from '../../client/session.ts';
import { judgeSuccessor } from '../../client/successor.ts';
import { PEOPLE } from '../model/runbook-given.ts';

/** `none`: a file that names nobody; null: no file. */
type Known = People | 'none' | null;
const session = (people: Known): Session =>
  ({ settings: { config: () => Promise.resolve(people === null ? null : { config: people === 'none' ? {} : { people } }) } }) as unknown as Session; // Nothing else is asked of it.
const state = (more: Partial<RollbackState> = {}): RollbackState =>
  ({ id: 'l3Rollback/production/INC-42', kind: 'l3Rollback', answers: [], ...more }) as unknown as RollbackState; // Nothing else is asked of it.
const resumes = (by: string, people: Known = PEOPLE, more: Partial<RollbackState> = {}) => judgeSuccessor(session(people), state(more), by);
const given = (role: string, to: string) =>
  ({ name: 'assign', step: null, by: 'carol', role, to, proof: 'self-declared', at: '2026-11-21T03:00:00.000Z' }) as const;
const command = (roles: Readonly<Record<string, readonly string[]>>): Partial<RollbackState> => ({
  incidentCommand: { roles } as RollbackState['incidentCommand'] & object,
});

test('whoever leads, and his deputy: nobody is there who could assign the role', async () => {
  await expect(resumes('carol')).resolves.toBeUndefined();
  await expect(resumes('dan')).resolves.toBeUndefined();
});

test('nobody else: refused with exit 3, with who may', async () => {
  await expect(resumes('eve')).rejects.toMatchObject({
    exitCode: 3,
    message: 'refused: eve is not among the people of backout.yaml; the Incident Commander goes on with an abandoned rollback: carol, dan (deputy)',
  });
  await expect(resumes('sam')).rejects.toMatchObject({
    exitCode: 3,
    message: expect.stringMatching(/^refused: sam does not have the role incident-commander/) as string,
  });
});

test('the role as it was handed on', async () => {
  const more = { answers: [given('incident-commander', 'abe')] };
  await expect(resumes('abe', PEOPLE, more)).resolves.toBeUndefined();
  await expect(resumes('carol', PEOPLE, more)).rejects.toMatchObject({ exitCode: 3 });
});

test('without backout.yaml, whom the lost execution has known', async () => {
  await expect(resumes('carol', null, command({ 'incident-commander': ['carol'] }))).resolves.toBeUndefined();
  await expect(resumes('eve', null, command({ 'incident-commander': ['carol'] }))).rejects.toMatchObject({ exitCode: 3 });
});

test('anybody, where nobody is known; an operator, where nobody leads', async () => {
  await expect(resumes('eve', 'none')).resolves.toBeUndefined();
  await expect(resumes('eve', null)).resolves.toBeUndefined();
  const people = { ana: { roles: ['operator'] }, ben: { roles: ['auditor'] } };
  await expect(resumes('ana', people)).resolves.toBeUndefined();
  await expect(resumes('ben', people)).rejects.toMatchObject({ exitCode: 3 });
});
