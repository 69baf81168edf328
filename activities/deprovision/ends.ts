/** The states of the provisioning request [000 Rollback Procedure 1, 7, 8, 9 and Rollback Failure]. Only these three move it. */
import { nameOf, OFFBOARDED } from '../../model/deprovision.ts';
import { keyOf, type LogEntry, type ProvisioningRequest } from '../../model/tenant.ts';
import { failed, isHeld, type Found } from '../found.ts';
import { staleness } from './identify.ts';
import { artifactsOf, claimOf, KEPT, othersOf, planOf, requestCall, requestsNow, type Scene } from './scene.ts';
import { leftOver, reopened } from './remnants.ts';

const LEFT = 'cleanup';

/** The first change of all: it is made only of what was confirmed, while it is as it was confirmed. */
export async function begin(scene: Scene): Promise<Found> {
  const { work, tenant, place, deps } = scene;
  const plan = await planOf(scene);
  const ids = plan.requests ?? [];
  const now = await requestsNow(scene, plan);
  const ours = now.every((one) => one.status === 'ROLLBACK_IN_PROGRESS' && one.rollbackId === work.rollbackId);
  const receipt = { after: Object.fromEntries(ids.map((id) => [id, 'ROLLBACK_IN_PROGRESS'])) };
  if (ours) return { state: 'done', receipt, failure: null, remains: [] };
  if (work.mode === 'inspect') return failed('NotRemoved', now.map((one) => `${one.requestId} is ${one.status}`).join(', '));
  // After a failure it is taken up again: by then what was removed is no surprise.
  const first = now.every((one) => one.rollbackId !== work.rollbackId);
  const stale = first ? await staleness(scene, plan) : null;
  if (typeof stale === 'string') return { ...failed('PlanStale', stale), change: { stale } };
  if (stale !== null) return stale;
  if (!(await isHeld(work, claimOf(tenant.name), deps)))
    return failed('ClaimLost', `${tenant.name} is no longer claimed by this rollback; nothing was changed`);
  const before = Object.fromEntries(now.map((one) => [one.requestId, one.status]));
  await place.store.begin(requestCall(scene, ids));
  return { state: 'done', receipt: { before, ...receipt }, failure: null, remains: [] };
}

/** What failed, was declined or was left: the request says so, and the error_log [000 Rollback Failure 1 and 2]. */
export async function fail(scene: Scene): Promise<Found> {
  const { work, place } = scene;
  const plan = await planOf(scene);
  // A request that was never begun is as it was: nothing failed.
  const ids = (await requestsNow(scene, plan)).flatMap((one) => (one.rollbackId === work.rollbackId && one.status !== 'ROLLED_BACK' ? [one.requestId] : []));
  if (ids.length === 0) return { state: 'already', receipt: { detail: 'no request was begun' }, failure: null, remains: [] };
  const { already } = await place.store.fail(requestCall(scene, ids), entryOf(scene, 'rollback-failed'));
  return { state: already ? 'already' : 'done', receipt: { after: Object.fromEntries(ids.map((id) => [id, 'FAILED'])) }, failure: null, remains: [] };
}

/** The end, on a fresh look: deprovisioned, ROLLED_BACK, and the entry of [000 Rollback Procedure 9]. */
export async function complete(scene: Scene): Promise<Found> {
  const { work, tenant, place } = scene;
  const plan = await planOf(scene);
  const ids = plan.requests ?? [];
  const now = await requestsNow(scene, plan);
  const receipt = { after: Object.fromEntries(ids.map((id) => [id, 'ROLLED_BACK'])) };
  if (now.every((one) => one.status === 'ROLLED_BACK')) return { state: 'done', receipt, failure: null, remains: [] };
  if (work.mode === 'inspect') return failed('NotRemoved', now.map((one) => `${one.requestId} is ${one.status}`).join(', '));
  const { problems } = await leftOver(scene, plan);
  if (problems.length > 0) return reopened(problems);
  if (tenant.cause === OFFBOARDED) {
    const newer = (await place.store.requests(place.storeCall)).find((one) => one.status !== 'ROLLED_BACK' && !ids.includes(one.requestId));
    if (newer)
      return failed('SomethingLeft', `${tenant.name} has a request that is not rolled back, ${newer.requestId} (${newer.status}): it came after this plan`);
  }
  if (tenant.cleanup && now.some((one) => one.status === 'FAILED'))
    await place.store.confirmCleanup({ ...requestCall(scene, ids), by: tenant.cleanup.by, at: tenant.cleanup.at });
  // What a person has cleaned up, and is seen gone where that can be seen, is no longer the tenant's.
  const staying = new Set((plan.artifacts ?? []).filter((one) => one.type === 'credential' || one.kept !== undefined).map(keyOf));
  const others = await othersOf(scene, plan, artifactsOf(plan));
  const listed = new Set(now.flatMap(({ config }) => config.artifacts.map(keyOf)));
  for (const artifact of artifactsOf(plan))
    if (listed.has(keyOf(artifact)) && !staying.has(keyOf(artifact)))
      await place.store.release(requestCall(scene, ids), artifact, others.has(keyOf(artifact)) ? KEPT : LEFT);
  const entry = entryOf(scene, 'rolled-back');
  await place.store.complete(
    requestCall(scene, ids),
    {
      ...entry,
      removed: removedOf(await requestsNow(scene, plan)),
      notRemovable: [
        ...entry.notRemovable,
        ...artifactsOf(plan).flatMap((one) => {
          const other = others.get(keyOf(one));
          return other ? [{ artifact: nameOf(one), reason: `it stays: ${other.why}`, owner: 'operator' }] : [];
        }),
      ],
    },
    (plan.artifacts ?? []).filter((one) => staying.has(keyOf(one))),
  );
  return { state: 'done', receipt, failure: null, remains: [] };
}

/** All that was taken back of these requests, by an earlier rollback that was left half-way too; what was never seen was not removed. */
const removedOf = (requests: readonly ProvisioningRequest[]): string[] => [
  ...new Set(
    requests.flatMap(({ config }) =>
      config.removed.flatMap((one) => (one.how === 'absent' || one.how === KEPT ? [] : [`${nameOf(one)}${one.how === LEFT ? ', cleaned up by hand' : ''}`])),
    ),
  ),
];

const entryOf = ({ tenant }: Scene, event: LogEntry['event']): LogEntry => ({
  at: new Date().toISOString(),
  event,
  by: tenant.by,
  reason: `${tenant.cause}: ${tenant.reason ?? ''}`,
  removed: tenant.removed ?? [],
  notRemovable: (tenant.remaining ?? []).map(({ artifact, reason, owner }) => ({ artifact, reason, owner: owner ?? 'operator' })),
  detail: tenant.detail ?? null,
});
