/** What the record says became of credentials, against the table by which targets are judged. */
import { expect, test } from 'vitest';
import { reconcileCredentials } from '../../client/audit/credentials.ts';
import type { RecordedEntry } from '../../client/audit/reconcile.ts';
import { Findings } from '../../client/audit/result.ts';
import type { CredentialGeneration } from '../../store/store.ts';

const at = '2026-11-21T10:00:00.000Z';
const entry = (seq: number, type: string, more: object): RecordedEntry => ({ seq, entry: { event: `run/${seq}`, rollbackId: 'run', at, type, ...more } });
const step = (seq: number, id: string, state: string, receipt: unknown): RecordedEntry => entry(seq, 'step', { step: id, state, receipt });
const row = (generation: string, state: CredentialGeneration['state'], fingerprint: string | null = null): CredentialGeneration => ({
  environment: 'production',
  credential: 'payments',
  generation,
  fingerprint,
  state,
  rollbackId: 'run',
  at,
});

const ENTRIES = [
  entry(1, 'opened', { plan: { environment: 'production' } }),
  step(2, 'issue.payments', 'done', { ids: { generation: 'key-new' } }),
  step(3, 'install.payments', 'failed', null),
  step(4, 'install.payments', 'done', { ids: { generation: 'key-new' } }),
  // What was revoked before its step failed is revoked all the same.
  step(5, 'revoke.payments', 'failed', { after: { revoked: [{ generation: 'key-2025', fingerprint: 'fp1:a' }] } }),
  step(6, 'rotate.google', 'done', { ids: { generation: 'elsewhere' } }),
];
const ROWS = [row('key-2025', 'old', 'fp1:a'), row('key-new', 'issued'), row('key-new', 'installed'), row('key-2025', 'revoked', 'fp1:a')];
const looked = (rows: readonly CredentialGeneration[]): { found: number; faults: string[] } => {
  const findings = new Findings();
  const found = reconcileCredentials(ENTRIES, rows, findings);
  return { found, faults: findings.faults.map((one) => `${one.check}, ${one.where}: ${one.fault}`) };
};

test('as it was recorded, nobody is accused', () => {
  expect(looked(ROWS)).toEqual({ found: 3, faults: [] });
});

test('an emptied table, a state that is gone and another fingerprint are faults', () => {
  expect(looked([]).faults).toHaveLength(3);
  expect(looked(ROWS.slice(0, 3))).toEqual({
    found: 2,
    faults: ['credentials, entry 5 of the record (run/5): key-2025 of payments was revoked in production, and ops.credential_generations has no such row'],
  });
  expect(looked([...ROWS.slice(0, 3), row('key-2025', 'revoked', 'fp1:b')]).faults.join()).toMatch(/has another fingerprint of it/);
});

test('what was recorded before fingerprints were is told by its row alone', () => {
  const before = [ENTRIES[0], step(5, 'revoke.payments', 'done', { after: { revoked: [{ generation: 'key-2025' }] } })].filter((one) => one !== undefined);
  const findings = new Findings();
  expect(reconcileCredentials(before, ROWS, findings)).toBe(1);
  expect(findings.faults).toEqual([]);
});
