/** Is anything left? Every artifact is looked at once more, and whatever carries the tenant's mark: a success is only said of what is seen. */
import { nameOf } from '../../model/deprovision.ts';
import { failure } from '../../model/failure.ts';
import type { Plan } from '../../model/plan.ts';
import type { Failure } from '../../model/state.ts';
import { keyOf, type Artifact, type Removed } from '../../model/tenant.ts';
import { canonical } from '../../store/digest.ts';
import { failed, type Found } from '../found.ts';
import { protectedOf } from './inventory.ts';
import { listedBy, sight, UNSEEN } from './place.ts';
import { artifactsOf, listedIn, othersOf, planOf, type Scene } from './scene.ts';

/** `subject` null: no step of the plan is about it. */
interface Left {
  readonly subject: string | null;
  readonly message: string;
  /** It carries the mark, and no Canonical Object lists it. */
  readonly isStray?: true;
}

/** A receipt is no place for a list of hundreds. */
const UNSEEN_MAX = 50;

export async function remnants(scene: Scene): Promise<Found> {
  const plan = await planOf(scene);
  const { problems, unseen } = await leftOver(scene, plan);
  if (problems.length > 0) return reopened(problems);
  const standing = await protectedOf(scene.place);
  const { standing: before } = scene.tenant;
  const moved = before !== undefined && canonical(before) !== canonical(standing);
  return {
    state: 'done',
    receipt: { after: { left: 0, unseen: unseen.slice(0, UNSEEN_MAX), protected: standing } },
    failure: null,
    remains: [],
    // Days pass, and templates are the house's to change: this rollback has no call that could.
    warnings: moved ? ['a template or demo instance is another than when the artifacts were identified; this rollback has changed none'] : [],
  };
}

/** Each thing that is left goes back to its own step; what has none is this look's own failure. */
export function reopened(problems: readonly Left[]): Found {
  const found = failed('SomethingLeft', problems.map((one) => one.message).join('; '));
  const back = problems.flatMap(({ subject, message }): { subject: string; failure: Failure }[] =>
    subject === null ? [] : [{ subject, failure: failure('NotRemoved', message) }],
  );
  // A word about what is listed nowhere was wrong: that fails the look too, since nothing of it was Backout's to take back.
  return { ...found, change: { left: { again: back, itself: problems.some(({ subject, isStray }) => subject === null || isStray) } } };
}

/** `unseen`: nobody can look there, and only a person says that it is gone. */
export async function leftOver(scene: Scene, plan: Plan): Promise<{ readonly problems: readonly Left[]; readonly unseen: readonly string[] }> {
  const { place, tenant } = scene;
  const all = await place.store.requests(place.storeCall);
  const listed = [...listedBy(all), ...listedIn(plan)];
  const planned = new Map(artifactsOf(plan).map((one) => [keyOf(one), one]));
  const requests = plan.requests ?? [];
  const removed = all.flatMap(({ requestId, config }) => (requests.includes(requestId) || requests.length === 0 ? config.removed : []));
  const mine = new Map<string, Artifact>([...planned, ...removed.map((one) => [keyOf(one), one] as const)]);
  const how = new Map(removed.map((one) => [keyOf(one), one.how]));
  const left: Left[] = [];
  const artifacts = [...mine.values()].filter((one) => one.type !== 'credential');
  const others = await othersOf(scene, plan, artifacts);
  const sightings = await sight(place, artifacts, listed);
  for (const [index, artifact] of artifacts.entries()) {
    const seen = sightings[index] ?? UNSEEN;
    // By now it is somebody else's too, and stays for him.
    if (others.has(keyOf(artifact))) continue;
    const message = problemOf(artifact, seen.presence, seen.guarded, how.get(keyOf(artifact)), tenant.documented ?? []);
    if (message !== null) left.push({ subject: planned.has(keyOf(artifact)) ? keyOf(artifact) : null, message: `${message}: ${seen.detail}` });
  }
  const unseen = artifacts.flatMap((artifact, index) => (sightings[index]?.presence === 'unknown' ? [keyOf(artifact)] : []));
  return { problems: [...left, ...(await strays(scene, plan, listed))], unseen };
}

/** Null: it is gone, or a person answers for it where nobody can look. */
function problemOf(
  artifact: Artifact,
  presence: string,
  guarded: string | null,
  how: Removed['how'] | undefined,
  documented: readonly string[],
): string | null {
  // By now it is somebody else's: what serves the path, or has the id, is not this tenant's.
  if (guarded !== null && how !== undefined) return null;
  const name = nameOf(artifact);
  if (presence === 'absent') return null;
  if (presence === 'unknown') return artifact.type === 'webhook' ? `it cannot be told whether ${name} is gone` : null;
  if (presence === 'inactive') return how === 'delete' ? `${name} was deleted, and is there` : null;
  // What the client does not give up is his: it was documented.
  if ((artifact.type === 'crm' || artifact.type === 'calendar') && documented.includes(keyOf(artifact))) return null;
  return artifact.type === 'crm' || artifact.type === 'calendar' ? `the credentials of ${name} are still accepted` : `${name} is still at work`;
}

/** What carries the mark and is listed nowhere. */
async function strays({ place, tenant }: Scene, plan: Plan, listed: readonly Artifact[]): Promise<Left[]> {
  // One that was there from the start has a step, and is asked about again.
  const asked = new Set(plan.steps.flatMap(({ id, subject }) => (id.startsWith('unlisted.') && subject !== undefined ? [subject] : [])));
  const known = new Set([...listed.map(keyOf), ...(tenant.notOurs ?? [])]);
  // A path goes with the workflow that serves it, and is asked about with it.
  const marked = (await Promise.all(place.platforms.map(({ platform, call }) => platform.marked(call))))
    .flat()
    .filter((one) => one.type !== 'webhook' && !known.has(keyOf(one)));
  const strange = [...new Map(marked.map((one) => [keyOf(one), one])).values()];
  const sightings = await sight(place, strange, listed);
  return strange.flatMap((artifact, index) => {
    const { presence, guarded } = sightings[index] ?? UNSEEN;
    return guarded === null && presence === 'present'
      ? [
          {
            isStray: true,
            subject: asked.has(keyOf(artifact)) ? keyOf(artifact) : null,
            message: `${nameOf(artifact)} carries the tenant's mark, and no Canonical Object lists it`,
          },
        ]
      : [];
  });
}
