/** What is taken back of a tenant: inspect, act by a person's choice only, prove it, then take it out of the tenant's configuration [000 Rollback Scope]. */
import { BY_HAND, nameOf, type Inventoried } from '../../model/deprovision.ts';
import { keyOf } from '../../model/tenant.ts';
import type { Plan } from '../../model/plan.ts';
import type { Receipt } from '../../model/state.ts';
import { AdapterError } from '../adapters/adapter.ts';
import { pause } from '../dependencies.ts';
import { failed, mayHaveActed, operationIdOf, type Found } from '../found.ts';
import type { Sighting } from '../tenants/platform.ts';
import { artifactCall, listedBy, platformOf, UNSEEN } from './place.ts';
import { KEPT, listedIn, mayNotChange, othersOf, planOf, requestCall, subjectOf, type Scene } from './scene.ts';

/** How long a platform may take until what it has done shows: routes go after the answer [platforms.md 5]. */
const SETTLE_MS = 30_000;
const LOOK_EVERY_MS = 250;
/** How long nobody may be able to tell whether a route answers, before a person hears of it. */
const UNTOLD_MS = 600_000;

interface Subject {
  readonly plan: Plan;
  readonly artifact: Inventoried;
  readonly name: string;
  readonly look: () => Promise<Sighting>;
  /** Null: nobody but a person can act on it. */
  readonly act: ((choice: string) => Promise<Receipt>) | null;
  /** Whose it is by now too; null: nobody's. */
  readonly other: { readonly isOther: boolean; readonly why: string } | null;
}

async function subject(scene: Scene): Promise<Subject> {
  const { work, attempt } = scene;
  const plan = await planOf(scene);
  const artifact = subjectOf(plan, scene);
  const at = platformOf(scene.place, artifact);
  const listed = [...listedBy(await scene.place.store.requests(scene.place.storeCall)), ...listedIn(plan)];
  return {
    plan,
    artifact,
    name: nameOf(artifact),
    look: () => (at ? at.platform.inspect(artifactCall(at, artifact, listed)) : Promise.resolve(UNSEEN)),
    act: at
      ? (choice) =>
          at.platform.apply(
            artifactCall(at, artifact, listed, { operationId: operationIdOf(work), attempt: attempt.number + (mayHaveActed(work, attempt) ? 1 : 0) }),
            choice,
          )
      : null,
    other: (await othersOf(scene, plan, [artifact])).get(keyOf(artifact)) ?? null,
  };
}

const guarded = (name: string, why: string): Found => failed('Protected', `${name} may not be touched: ${why}`);
const receiptOf = (before: Sighting, after: Sighting, more: Receipt = {}): Receipt => ({ ...more, before: shown(before), after: shown(after) });
const shown = ({ presence, detail, facts }: Sighting): Record<string, unknown> => ({ presence, detail, ...facts });

/** Looks until it is as it should be, or it does not become so. */
async function until(scene: Scene, { look }: Subject, isRight: (seen: Sighting) => boolean): Promise<Sighting> {
  const end = Date.now() + SETTLE_MS;
  for (;;) {
    const seen = await look();
    if (isRight(seen) || seen.guarded !== null || Date.now() >= end) return seen;
    scene.attempt.heartbeat(seen.detail);
    await pause(LOOK_EVERY_MS, scene.deps, scene.attempt);
  }
}

/** An n8n workflow: deactivated or deleted, as a person chose; `done`: he did it himself, and it is looked at [000 Rollback Procedure 3]. */
export async function remove(scene: Scene): Promise<Found> {
  const { work, tenant, attempt } = scene;
  const on = await subject(scene);
  const { artifact, name, act, other } = on;
  // Who did it himself says so, and nothing is acted on.
  const choice = tenant.choice ?? BY_HAND;
  const isRight = ({ presence }: Sighting): boolean => presence === 'absent' || (choice !== 'delete' && presence === 'inactive');
  const before = work.mode === 'inspect' ? await until(scene, on, isRight) : await on.look();
  if (before.guarded !== null) return guarded(name, before.guarded);
  if (isRight(before)) {
    await takeOut(scene, on, choice);
    // It was at work when it was planned: an attempt of this step that could not answer has done it.
    const ours = mayHaveActed(work, attempt) && choice !== BY_HAND && artifact.presence === 'present';
    return { state: ours ? 'done' : 'already', receipt: { after: shown(before) }, failure: null, remains: [] };
  }
  if (work.mode === 'inspect' || !act)
    return { ...failed('NotRemoved', `${name} is still ${before.presence}: ${before.detail}`), receipt: { after: shown(before) } };
  if (other) return guarded(name, other.why);
  const no = await mayNotChange(scene, on.plan);
  if (no) return no;
  const receipt = await act(choice).catch(async (error: unknown): Promise<Receipt> => {
    if (!(error instanceof AdapterError) || attempt.signal.aborted) throw error;
    // Gone between the look and the call, perhaps by an earlier call that was never answered: the look afterwards tells.
    if (error.kind === 'not-found') return { detail: 'it was gone when it was to be acted on' };
    if (error.kind !== 'unknown' && error.kind !== 'unavailable') throw error;
    // An error that came after the effect is none; where there was none, another attempt looks first.
    if (isRight(await on.look())) return { detail: `found done, though the answer was: ${error.message}` };
    throw new AdapterError('unavailable', error.message, { cause: error });
  });
  const after = await until(scene, on, isRight);
  if (!isRight(after))
    return { ...failed('NotRemoved', `${name} is still ${after.presence} after ${choice}: ${after.detail}`), receipt: receiptOf(before, after, receipt) };
  await takeOut(scene, on, choice);
  return { state: 'done', receipt: receiptOf(before, after, receipt), failure: null, remains: [] };
}

/** A webhook path, a CRM or a calendar: taken out of the tenant's configuration; of a path, until no route answers [000 Rollback Procedure 4 and 5]. */
export async function release(scene: Scene): Promise<Found> {
  const on = await subject(scene);
  const { artifact, name, other } = on;
  const isPath = artifact.type === 'webhook';
  const before = await on.look();
  if (before.guarded !== null) return guarded(name, before.guarded);
  if (other?.isOther) return guarded(name, other.why);
  const no = await mayNotChange(scene, on.plan);
  if (no) return no;
  // Another request of this tenant has come to use it: it stays, and is this one's no more.
  if (other) {
    await takeOut(scene, on, KEPT);
    const stays = `${name} stays: ${other.why}`;
    return { state: 'done', receipt: { before: shown(before), after: { presence: KEPT, detail: stays } }, failure: null, remains: [], warnings: [stays] };
  }
  // Said to be done: while a route answers it is not, and nothing is changed.
  if (isPath && scene.work.mode === 'inspect' && before.presence !== 'absent')
    return { ...failed('RouteAnswers', `${name} is not gone: ${before.detail}`), receipt: { after: shown(before) } };
  const already = await takeOut(scene, on, isPath ? 'remove' : 'disconnect');
  const after = isPath ? await until(scene, on, (seen) => seen.presence === 'absent') : before;
  if (after.guarded !== null) return guarded(name, after.guarded);
  const receipt = receiptOf(before, after);
  // A proxy that is away says nothing of the route: it is asked again, for a while.
  if (isPath && after.presence === 'unknown' && Date.now() < scene.attempt.firstScheduledMs + UNTOLD_MS) throw new AdapterError('unavailable', after.detail);
  if (isPath && after.presence !== 'absent')
    return {
      ...failed(
        'RouteAnswers',
        `${name} is out of the tenant's configuration, and ${after.presence === 'unknown' ? 'it cannot be told whether its route answers' : 'its route still answers'}: ${after.detail}`,
      ),
      receipt,
    };
  return { state: already && !mayHaveActed(scene.work, scene.attempt) ? 'already' : 'done', receipt, failure: null, remains: [] };
}

/** What a person has done where Backout has no authority, or what was not to be seen from the start: looked at where that can be. */
export async function look(scene: Scene): Promise<Found> {
  const on = await subject(scene);
  const { artifact, name } = on;
  const isGone = ({ presence }: Sighting): boolean => presence === 'absent' || presence === 'inactive' || presence === 'unknown';
  const seen = await until(scene, on, isGone);
  if (seen.guarded !== null && seen.presence === 'present') return guarded(name, seen.guarded);
  if (!isGone(seen)) return { ...failed('NotRemoved', `${name} is still at work: ${seen.detail}`), receipt: { after: shown(seen) } };
  const no = await mayNotChange(scene, on.plan);
  if (no) return no;
  const wasAbsent = artifact.presence === 'absent';
  await takeOut(scene, on, wasAbsent ? 'absent' : 'done');
  const found: Found = {
    state: wasAbsent ? 'already' : 'done',
    receipt: { after: { ...shown(seen), verified: seen.presence !== 'unknown' } },
    failure: null,
    remains: [],
  };
  return seen.presence === 'unknown' ? { ...found, warnings: [`${name}: nobody but a person says that it is gone; ${seen.detail}`] } : found;
}

/** It is no longer the tenant's. */
async function takeOut(scene: Scene, { plan, artifact }: Subject, how: string): Promise<boolean> {
  const { already } = await scene.place.store.release(requestCall(scene, plan.requests ?? []), artifact, how);
  return already;
}
