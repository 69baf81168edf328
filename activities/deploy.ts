/** Putting a component back: inspect, apply only what is missing, verify [product.md 3]. The same code whichever attempt it is. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Receipt, Remaining } from '../model/state.ts';
import type { AdapterCall, Observation } from './adapters/adapter.ts';
import { callOf, type Component } from './components.ts';
import type { Attempt, Dependencies } from './dependencies.ts';
import { failed, fromError, isHeld, mayHaveActed, operationIdOf, type Found } from './found.ts';
import { carriedByBuild } from './revoked.ts';
import type { StepWork } from './step.ts';

const VERIFY_SETTLE_MS = 5_000;

export async function deploy(work: StepWork, component: Component, deps: Dependencies, attempt: Attempt): Promise<Found> {
  const { adapter } = component;
  const call = callOf(component, {
    to: work.to,
    operationId: operationIdOf(work),
    attempt: attempt.number + (mayHaveActed(work, attempt) ? 1 : 0),
    signal: attempt.signal,
    heartbeat: attempt.heartbeat,
  });
  const late = work.deadlineAt !== null && Date.now() >= Date.parse(work.deadlineAt);
  let before: Observation;
  try {
    before = await adapter.inspect(call);
  } catch (error) {
    return onError(work, component, attempt, error, null);
  }
  const ownDoing = before.operationId === call.operationId;
  if (isAt(before, work.to)) return { state: ownDoing ? 'done' : 'already', receipt: { before: null, after: shown(before) }, failure: null, remains: [] };
  if (work.mode === 'inspect')
    return {
      ...failed('NotAtTarget', `${component.name} is at ${before.current ?? 'an unknown version'}, not at ${work.to}`),
      receipt: { after: shown(before) },
      remains: remainsOf(before, work.to),
    };
  if (late)
    return {
      ...failed('DeadlinePassed', `the time target was over before ${component.name} could be put back; it is at ${before.current ?? 'an unknown version'}`),
      receipt: { before: shown(before) },
      remains: remainsOf(before, work.to),
    };
  const stale = staleness(work, before);
  if (stale !== null) return { ...failed('PlanStale', stale), receipt: { before: shown(before) }, change: { stale } };
  if (before.targetPresent === false)
    return {
      ...failed('NotFound', `${adapter.name} does not have ${work.to} of ${component.name}; it has ${before.versions.slice(0, 5).join(', ') || 'no versions'}`),
      receipt: { before: shown(before) },
    };
  if (!(await isHeld(work, component.name, deps)))
    return { ...failed('ClaimLost', `${component.name} is no longer claimed by this rollback; nothing was changed`), receipt: { before: shown(before) } };
  try {
    const { carried, warnings } = await carriedByBuild(component, work.to, deps, attempt);
    if (carried !== null) return { ...failed('RevokedCredential', `${carried}; nothing was changed`), receipt: { before: shown(before) } };
    const receipt = await adapter.apply(call);
    return { ...(await verified(work, component, call, before, receipt)), ...(warnings.length === 0 ? {} : { warnings }) };
  } catch (error) {
    return onError(work, component, attempt, error, before);
  }
}

/** In an incident a person has confirmed what is there now, too: something else in its place voids that. A decision to retry accepts it. */
function staleness(work: StepWork, { current }: Observation): string | null {
  if (!work.incident || work.generation > 0 || work.from === null || current === null || current === work.from) return null;
  return `${work.step.component ?? ''} is at ${current}, and the plan was confirmed for ${work.from}`;
}

/** What the platform shows after the write; its own "ok" proves nothing. */
async function verified(work: StepWork, component: Component, call: AdapterCall<unknown>, before: Observation, receipt: Receipt): Promise<Found> {
  const until = Date.now() + VERIFY_SETTLE_MS;
  let after = await component.adapter.verify(call);
  while (!isAt(after, work.to) && Date.now() < until) {
    call.heartbeat('verifying');
    await delay(250, undefined, { signal: call.signal });
    after = await component.adapter.verify(call);
  }
  const full = { ...receipt, before: shown(before), after: shown(after) };
  if (isAt(after, work.to)) return { state: 'done', receipt: full, failure: null, remains: [] };
  const remains = remainsOf(after, work.to);
  if (remains.length > 0)
    return {
      ...failed('HalfMoved', `${component.name} is half moved: ${remains.map((one) => one.artifact).join(', ')} not at ${work.to}`),
      receipt: full,
      remains,
    };
  return {
    ...failed(
      'NotAtTarget',
      `${component.adapter.name} reported success, but ${component.name} is at ${after.current ?? 'an unknown version'}, not at ${work.to}`,
    ),
    receipt: full,
  };
}

const isAt = (seen: Observation, to: string): boolean => seen.current === to && seen.parts.every((part) => part.version === to);
const shown = (seen: Observation): Record<string, unknown> => ({
  version: seen.current,
  ...(seen.parts.length > 0 ? { parts: seen.parts } : {}),
  ...seen.facts,
});
/** Parts count as left in between only where some have moved and some have not. */
const remainsOf = (seen: Observation, to: string): Remaining[] => {
  const left = seen.parts.filter((part) => part.version !== to);
  return left.length === 0 || left.length === seen.parts.length
    ? []
    : left.map((part) => ({ artifact: part.name, reason: `at ${part.version ?? 'an unknown version'}, not at ${to}`, owner: 'operator' }));
};
const onError = (work: StepWork, component: Component, attempt: Attempt, error: unknown, before: Observation | null): Promise<Found> =>
  fromError(work, attempt, error, {
    receipt: before ? { before: shown(before) } : null,
    acted: before !== null || mayHaveActed(work, attempt),
    remains: () => partsAfter(component, work, attempt),
  });

/** After a failure some parts may have moved: look, so that they are named; a look that fails adds nothing. */
async function partsAfter(component: Component, work: StepWork, attempt: Attempt): Promise<Remaining[]> {
  const call = callOf(component, {
    to: work.to,
    operationId: operationIdOf(work),
    attempt: attempt.number,
    signal: attempt.signal,
    heartbeat: attempt.heartbeat,
  });
  return component.adapter.inspect(call).then(
    (seen) => remainsOf(seen, work.to),
    () => [],
  );
}
