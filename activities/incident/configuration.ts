/** Drifted configuration is set back to what was recorded with the target [001 step 3b], key by key, and read again. */
import type { Compared } from '../../model/plan.ts';
import type { Receipt } from '../../model/state.ts';
import type { LoadedConfig } from '../../model/config-file.ts';
import { checkedOptions, findComponent, NotPossible, type Component } from '../components.ts';
import { secretOf } from '../secrets.ts';
import type { ConfigCall, ConfigKey, ConfigMark, ConfigSource } from '../configs/source.ts';
import * as sources from '../configs/registry.ts';
import type { Attempt } from '../dependencies.ts';
import { failed, fromError, isHeld, mayHaveActed, operationIdOf, type Found } from '../found.ts';
import { carriedByConfig } from '../revoked.ts';
import { heldPlaces } from './places.ts';
import type { Scene } from './scene.ts';

export interface Source {
  readonly source: ConfigSource;
  readonly call: ConfigCall<unknown>;
}

const SOURCES = Object.values<ConfigSource>(sources as unknown as Record<string, ConfigSource>); // Each has options of its own, which it checks itself.

/** Where a component keeps its configuration, in the order of `backout.yaml`. */
export function sourcesOf(
  loaded: LoadedConfig,
  component: Component,
  { signal, heartbeat }: Pick<Attempt, 'signal' | 'heartbeat'>,
  operationId: string,
): Source[] {
  const { name, environment, folder } = component;
  const held = component.config.config === undefined ? [] : heldPlaces(loaded, { environment, operationId, attempt: 1, signal, heartbeat });
  return (component.config.config ?? []).map((config, index) => {
    const source = SOURCES.find((one) => one.name === config.source);
    const known = SOURCES.map((one) => one.name).join(', ');
    if (!source)
      throw new NotPossible(
        'unknown-platform',
        `${name} keeps its configuration in ${JSON.stringify(config.source)}, which Backout does not know; it knows ${known}`,
      );
    const options = checkedOptions(loaded, source.options, config.options, ['environments', environment, 'components', name, 'config', index, 'options']);
    const own = held.length === 0 ? options : (source.without?.({ folder, options }, held) ?? options);
    return { source, call: { environment, component: name, options: own, folder, operationId, secret: secretOf(folder), signal, heartbeat } };
  });
}

/** All that is known of what was recorded is where it lies; the source has the values. */
const markOf = (id: string): ConfigMark => ({ id, keys: {} });

/** The drifted keys of a component, as lines of the comparison. */
export async function drifted(list: readonly Source[], marks: readonly string[]): Promise<Compared[]> {
  const keys = await Promise.all(
    list.map(({ source, call }, index) => (marks[index] ? source.compare(call, markOf(marks[index])) : Promise.resolve<readonly ConfigKey[]>([]))),
  );
  return keys.flat().flatMap(({ key, now, then }) => (now === then ? [] : [{ what: `config ${key}`, now, then }]));
}

/** Another target is no help where a key is in what was recorded with this one. */
const BY_HAND = 'set the other keys back by hand and decide skip; what is recorded is mended by verifying a deployment anew';

export async function setBack(scene: Scene): Promise<Found> {
  const { work, incident, loaded, deps, attempt } = scene;
  const component = findComponent(loaded, deps.adapters, work.environment, work.step.component ?? '');
  if (component.hash !== work.config && work.generation === 0)
    return failed('ConfigurationChanged', `the configuration of ${component.name} has changed since the plan was made`);
  const list = sourcesOf(loaded, component, attempt, operationIdOf(work));
  const marks = incident.marks ?? [];
  if (marks.every((id) => id === ''))
    return {
      state: 'skipped',
      receipt: { detail: 'no configuration was recorded with the target' },
      failure: null,
      remains: [],
      warnings: [`${component.name}: no configuration was recorded with its target, so none is set back; backout deployment verify records it`],
    };
  let receipt: Receipt | null = null;
  try {
    const before = await drifted(list, marks);
    receipt = { before };
    const again = mayHaveActed(work, attempt) || work.generation > 0;
    if (before.length === 0 && !again) return { state: 'already', receipt: { after: 'as it was recorded' }, failure: null, remains: [] };
    const unlike = before.filter(
      (one) => !(incident.comparison ?? []).some((known) => known.what === one.what && known.now === one.now && known.then === one.then),
    );
    if (unlike.length > 0 && !again) {
      const stale = `${unlike.map((one) => one.what).join(', ')} of ${component.name} is not what the plan shows`;
      return { ...failed('PlanStale', stale), receipt, change: { stale } };
    }
    const late = work.deadlineAt !== null && Date.now() >= Date.parse(work.deadlineAt);
    // Who may only look finds it as it was recorded.
    if (before.length === 0 && (late || work.mode === 'inspect'))
      return { state: 'done', receipt: { after: 'as it was recorded' }, failure: null, remains: [] };
    if (work.mode === 'inspect')
      return { ...failed('NotAtTarget', `${before.map((one) => one.what).join(', ')} of ${component.name} is not as it was recorded`), receipt };
    if (late) return { ...failed('DeadlinePassed', `the time target was over before the configuration of ${component.name} could be set back`), receipt };
    if (!(await isHeld(work, component.name, deps)))
      return { ...failed('ClaimLost', `${component.name} is no longer claimed by this rollback; nothing was changed`), receipt };
    const carried = await carriedByConfig(component.folder, list, marks, deps);
    if (carried !== null) return { ...failed('RevokedCredential', `${component.name}: ${carried}; nothing was set back`, BY_HAND), receipt };
    // Also where nothing has drifted any more: an attempt that died may have left its reload undone.
    for (const [index, { source, call }] of list.entries()) if (marks[index]) await source.apply(call, markOf(marks[index]));
    const after = await drifted(list, marks);
    return after.length === 0
      ? { state: 'done', receipt: { before, after: 'as it was recorded' }, failure: null, remains: [] }
      : {
          ...failed('NotAtTarget', `${after.map((one) => one.what).join(', ')} of ${component.name} is still not as it was recorded`),
          receipt: { before, after },
        };
  } catch (error) {
    return fromError(work, attempt, error, { receipt, acted: receipt !== null });
  }
}
