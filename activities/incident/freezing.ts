/** The freeze of [001 Freeze Scope]: its register in Postgres, which is what holds, and the platforms that hold it too. */
import { FREEZE_DEFAULTS, FREEZE_SCOPES, isFreezeScope, type FreezeScope } from '../../model/freeze.ts';
import type { Receipt } from '../../model/state.ts';
import { entryOf, type RecordEntry } from '../../model/record.ts';
import { canonical } from '../../store/digest.ts';
import { failed, fromError, isHeld, mayHaveActed, type Found } from '../found.ts';
import type { FreezeCall, FreezePart } from '../freezes/carrier.ts';
import { callIn, carrierOf, environmentsOf, inForce, openOf, type Carrier } from './carriers.ts';
import type { Scene } from './scene.ts';
import { driftOf } from './stability.ts';

export const freeze = (scene: Scene): Promise<Found> => (scene.incident.subject === undefined ? register(scene) : carry(scene, scene.incident.subject));
export const lift = (scene: Scene): Promise<Found> => (scene.incident.subject === undefined ? unregister(scene) : release(scene, scene.incident.subject));

/** The scopes a decision is about; the whole where nothing was chosen. */
const chosen = ({ incident }: Scene): readonly FreezeScope[] => incident.scopes?.filter(isFreezeScope) ?? FREEZE_SCOPES;

/** Written with what it is about, in one transaction, under the name of this very step. */
const tellingOf = ({ work, attempt }: Scene, type: string, environment: string, more: Readonly<Record<string, unknown>>): RecordEntry => ({
  event: `${attempt.runId}/step/${work.step.id}/${work.generation}/${work.ordinal}/${environment}`,
  rollbackId: work.rollbackId,
  at: new Date().toISOString(),
  type,
  environment,
  ...more,
});

/** A run that was reset after its end must not freeze anew, nor lift what the next rollback of its incident has frozen. Null: it is ours to do. */
async function notOurs({ work, incident, deps }: Scene): Promise<Found | null> {
  if (await isHeld(work, `@${incident.id}`, deps)) return null;
  return failed('ClaimLost', `${incident.id} is no longer held by this rollback, which has ended; nothing was frozen or lifted`);
}

async function register(scene: Scene): Promise<Found> {
  const { work, incident, environment, deps, attempt } = scene;
  const { owners, items } = environment.freeze ?? FREEZE_DEFAULTS;
  const exceptions = { roles: owners, items };
  try {
    const lost = await notOurs(scene);
    if (lost) return lost;
    let already = true;
    for (const place of environmentsOf(scene)) {
      if (work.mode === 'inspect') continue;
      const frozen = await deps.store.freeze({
        environment: place,
        incident: incident.id,
        rollbackId: work.rollbackId,
        workflowId: attempt.workflowId,
        by: incident.by,
        at: new Date().toISOString(),
        scopes: FREEZE_SCOPES,
        exceptions,
        entry: tellingOf(scene, 'freeze', place, { incident: incident.id, by: incident.by, scopes: FREEZE_SCOPES, exceptions }),
      });
      await deps.checkpoint(frozen.position);
      already &&= frozen.already;
    }
    const frozen = await inForce(scene);
    if (frozen.length === 0) return failed('FreezeLifted', `${work.environment} is not frozen`);
    const own = !already || mayHaveActed(work, attempt);
    return {
      state: own ? 'done' : 'already',
      receipt: { after: { environments: environmentsOf(scene), scopes: frozen, exceptions } },
      failure: null,
      remains: [],
      change: { frozen },
    };
  } catch (error) {
    return fromError(work, attempt, error, { receipt: null, acted: false });
  }
}

async function unregister(scene: Scene): Promise<Found> {
  const { work, incident, deps, attempt } = scene;
  try {
    // It may be long ago that the target was seen to be stable.
    const not = (await notOurs(scene)) ?? (await driftOf(scene));
    if (not) return not;
    for (const place of environmentsOf(scene)) {
      const lifted = await deps.store.unfreeze({
        environment: place,
        incident: incident.id,
        rollbackId: work.rollbackId,
        by: incident.by,
        at: new Date().toISOString(),
        scopes: chosen(scene),
        entry: tellingOf(scene, 'unfreeze', place, { incident: incident.id, by: incident.by, scopes: chosen(scene) }),
      });
      await deps.checkpoint(lifted.position);
    }
    const frozen = await inForce(scene);
    return {
      state: 'done',
      receipt: { after: { environments: environmentsOf(scene), lifted: chosen(scene), frozen } },
      failure: null,
      remains: [],
      change: { frozen },
    };
  } catch (error) {
    return fromError(work, attempt, error, { receipt: null, acted: false });
  }
}

const shown = (parts: readonly FreezePart[]): Record<string, string> => Object.fromEntries(parts.map((part) => [part.name, part.detail]));

async function carry(scene: Scene, name: string): Promise<Found> {
  const { work, attempt } = scene;
  const found = carrierOf(scene.loaded, work.environment, name);
  let receipt: Receipt | null = null;
  try {
    const lost = await notOurs(scene);
    if (lost) return lost;
    // Once a part was unfrozen, only the rest is to be held.
    const call = callIn(scene, found, mayHaveActed(work, attempt) ? await toHold(scene) : FREEZE_SCOPES);
    const before = await found.carrier.inspect(call);
    receipt = { before: shown(before) };
    const open = openOf(before);
    if (open === null) return { state: mayHaveActed(work, attempt) ? 'done' : 'already', receipt: { after: shown(before) }, failure: null, remains: [] };
    if (work.mode === 'inspect') return { ...failed('FreezeLifted', `${name} is not frozen: ${open}`), receipt };
    const set = await found.carrier.set(call);
    const after = await found.carrier.inspect(call);
    const left = openOf(after);
    return left === null
      ? { state: 'done', receipt: { ...set, after: shown(after) }, failure: null, remains: [] }
      : { ...failed('FreezeLifted', `${name} reported success, and is not frozen: ${left}`), receipt: set };
  } catch (error) {
    return fromError(work, attempt, error, { receipt, acted: mayHaveActed(work, attempt) });
  }
}

/** All scopes but those that this rollback has lifted. */
async function toHold(scene: Scene): Promise<readonly FreezeScope[]> {
  const { work, incident, deps } = scene;
  const freezes = await deps.store.freezes({ environment: work.environment, incident: incident.id });
  const lifted = freezes.flatMap((one) => one.lifted.flatMap(({ scope, rollbackId }) => (rollbackId === work.rollbackId ? [scope] : [])));
  const held = await inForce(scene);
  return FREEZE_SCOPES.filter((scope) => held.includes(scope) || !lifted.includes(scope));
}

async function release(scene: Scene, name: string): Promise<Found> {
  const { work, attempt, incident } = scene;
  if (!incident.carriers?.includes(name))
    return { state: 'already', receipt: { detail: `${name} was never frozen by this rollback` }, failure: null, remains: [] };
  const found = carrierOf(scene.loaded, work.environment, name);
  const call = callIn(scene, found, chosen(scene));
  try {
    const lost = await notOurs(scene);
    if (lost) return lost;
    const other = await anotherHolds(scene, found);
    if (other !== null)
      return { state: 'done', receipt: { detail: `left frozen: ${other} needs it too, and lifts it with its own unfreeze` }, failure: null, remains: [] };
    if (work.mode === 'run') {
      const drift = await driftOf(scene);
      if (drift) return drift;
      const receipt = await found.carrier.lift({ ...call, before: await setBefore(scene, name) });
      const remains = (await stillFrozen(found, call)).map((part) => ({ artifact: `${name}: ${part.name}`, reason: part.detail, owner: 'incident-commander' }));
      return { state: 'done', receipt, failure: null, remains };
    }
    const left = await stillFrozen(found, call);
    return left.length === 0
      ? { state: 'done', receipt: { detail: 'lifted by hand' }, failure: null, remains: [] }
      : { ...failed('NotAtTarget', `${name} still holds ${left.map((part) => part.name).join(', ')}`) };
  } catch (error) {
    return fromError(work, attempt, error, { receipt: null, acted: mayHaveActed(work, attempt) });
  }
}

/** What the receipt of `freeze.<carrier>` says was there before; null: it was frozen by an earlier rollback, or by an attempt that died, and the carrier has its own note. */
async function setBefore({ work, deps }: Scene, name: string): Promise<unknown> {
  const entries = (await deps.store.entriesOf(work.rollbackId)).map(entryOf);
  const receipts = entries.flatMap((one) =>
    one.type === 'step' && one['step'] === `freeze.${name}` && one['state'] === 'done' ? [one['receipt'] as Receipt | null] : [],
  );
  // Whoever looked again and found it frozen has no word about what was there.
  return receipts.findLast((one) => one?.before !== undefined)?.before ?? null;
}

const stillFrozen = async (found: Carrier, call: FreezeCall<unknown>): Promise<FreezePart[]> =>
  (await found.carrier.inspect(call)).filter((part) => part.frozen);

/** One platform may hold the freeze of two incidents, or of two environments: the last one lifts it. */
async function anotherHolds(scene: Scene, { key }: Carrier): Promise<string | null> {
  const { loaded, incident, deps } = scene;
  const held = await deps.store.freezes({ inForceOnly: true });
  const other = held.find((freeze) => {
    if (freeze.incident === incident.id && environmentsOf(scene).includes(freeze.environment)) return false;
    const environment = Object.hasOwn(loaded.config.environments, freeze.environment) ? loaded.config.environments[freeze.environment] : undefined;
    return Object.entries(environment?.freeze?.carriers ?? {}).some(([, config]) => canonical({ carrier: config.carrier, options: config.options }) === key);
  });
  return other ? `${other.incident} in ${other.environment}` : null;
}
