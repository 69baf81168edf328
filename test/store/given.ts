/** Rollbacks, entries and deployments as tests need them. */
import { randomUUID } from 'node:crypto';
import type { RecordEntry, StoredEntry } from '../../model/record.ts';
import type { CloseRequest, Deployment, OpenRequest, Store } from '../../store/store.ts';

export const AT = '2026-11-21T10:00:00.123Z';

export const entry = (rollbackId: string, event: string, more: Record<string, unknown> = {}): RecordEntry => ({
  event,
  rollbackId,
  at: AT,
  type: 'step',
  ...more,
});

export const opening = (more: Partial<OpenRequest> = {}): OpenRequest => {
  const rollbackId = more.rollbackId ?? randomUUID();
  return {
    rollbackId,
    workflowId: 'deployRevert/production/web',
    kind: 'deployRevert',
    environment: 'production',
    components: ['web'],
    trigger: 'verification',
    cause: 'smoke-failed',
    reason: 'checkout answers 500',
    by: 'ci',
    openedAt: AT,
    plan: null,
    planHash: null,
    refused: false,
    deploymentIds: {},
    snapshots: {},
    entries: [entry(rollbackId, `${rollbackId}/opened`, { type: 'opened' })],
    ...more,
  };
};

export const closing = (rollbackId: string, more: Partial<CloseRequest> = {}): CloseRequest => ({
  rollbackId,
  outcome: 'rolled-back',
  at: '2026-11-21T10:01:00.000Z',
  steps: [{ id: 'web.deploy', state: 'done' }],
  restored: [],
  metadata: {},
  entries: [entry(rollbackId, `${rollbackId}/closed`, { type: 'closed' })],
  ...more,
});

/** A deployment that CI recorded. */
export async function recorded(store: Store, version: string, more: Partial<Deployment> = {}): Promise<Deployment> {
  return store.recordDeployment({
    deploymentId: randomUUID(),
    environment: 'production',
    component: 'web',
    version,
    commit: `commit-of-${version}`,
    branch: 'main',
    status: 'in_progress',
    platformRef: `ref-of-${version}`,
    deployedBy: 'ci',
    ...more,
  });
}

/** A deployment that the checks found healthy. */
export async function healthy(store: Store, version: string, more: Partial<Deployment> = {}): Promise<Deployment> {
  const { deploymentId } = await recorded(store, version, more);
  return store.verifyDeployment(deploymentId, true, { health: 'ok' }, { version });
}

export async function all(entries: AsyncIterable<StoredEntry>): Promise<StoredEntry[]> {
  const list: StoredEntry[] = [];
  for await (const one of entries) list.push(one);
  return list;
}
