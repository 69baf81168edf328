/** The platforms that hold the freeze too: found by their name in `backout.yaml`, and asked whether they still do. */
import type { LoadedConfig } from '../../model/config-file.ts';
import { FREEZE_SCOPES, type FreezeScope } from '../../model/freeze.ts';
import { canonical } from '../../store/digest.ts';
import { checkedOptions, environmentOf, NotPossible } from '../components.ts';
import { secretOf } from '../secrets.ts';
import { operationIdOf } from '../found.ts';
import type { FreezeCall, FreezeCarrier, FreezePart } from '../freezes/carrier.ts';
import * as carriers from '../freezes/registry.ts';
import type { Scene } from './scene.ts';

/** The environments that stand still together. */
export const environmentsOf = ({ work, environment }: Scene): string[] => [...new Set([work.environment, ...(environment.freeze?.also ?? [])])];

/** What this incident still holds, over its environments. */
export async function inForce(scene: Scene): Promise<FreezeScope[]> {
  const all = await Promise.all(
    environmentsOf(scene).map((environment) => scene.deps.store.freezes({ environment, incident: scene.incident.id, inForceOnly: true })),
  );
  const scopes = new Set(all.flat().flatMap((one) => one.inForce));
  return FREEZE_SCOPES.filter((scope) => scopes.has(scope));
}

const CARRIERS = Object.values<FreezeCarrier>(carriers as unknown as Record<string, FreezeCarrier>); // Each has options of its own, which it checks itself.

/** A platform that holds the freeze, ready to be called. */
export interface Carrier {
  readonly name: string;
  readonly carrier: FreezeCarrier;
  readonly options: unknown;
  /** The same for the same place on the same platform, whatever it is called. */
  readonly key: string;
}

export function carrierOf(loaded: LoadedConfig, environment: string, name: string): Carrier {
  const configured = environmentOf(loaded, environment).freeze?.carriers ?? {};
  const config = Object.hasOwn(configured, name) ? configured[name] : undefined;
  if (!config) throw new NotPossible('configuration', `the freeze carrier ${name} is not in backout.yaml any more`);
  const carrier = CARRIERS.find((one) => one.name === config.carrier);
  if (!carrier)
    throw new NotPossible(
      'unknown-platform',
      `${name} names the carrier ${JSON.stringify(config.carrier)}, which Backout does not know; it knows ${CARRIERS.map((one) => one.name).join(', ')}`,
    );
  const options = checkedOptions(loaded, carrier.options, config.options, ['environments', environment, 'freeze', 'carriers', name, 'options']);
  return { name, carrier, options, key: canonical({ carrier: carrier.name, options: config.options }) };
}

export const callTo = (
  { name, options }: Carrier,
  from: {
    readonly environment: string;
    readonly incident: string;
    readonly folder: string;
    readonly operationId: string;
    readonly scopes: readonly FreezeScope[];
    readonly signal: AbortSignal;
    readonly heartbeat: (progress: string) => void;
  },
): FreezeCall<unknown> => ({ name, options, before: null, secret: secretOf(from.folder), ...from });

export const callIn = (scene: Scene, carrier: Carrier, scopes: readonly FreezeScope[]): FreezeCall<unknown> =>
  callTo(carrier, {
    environment: scene.work.environment,
    incident: scene.incident.id,
    folder: scene.loaded.folder,
    operationId: operationIdOf(scene.work),
    scopes,
    signal: scene.attempt.signal,
    heartbeat: scene.attempt.heartbeat,
  });

/** What is not frozen of what should be, in words; null: everything is. */
export function openOf(parts: readonly FreezePart[]): string | null {
  const open = parts.filter((part) => !part.frozen);
  return open.length === 0 ? null : open.map((part) => `${part.name}: ${part.detail}`).join('; ');
}

/** Whether the platforms still hold what this incident has frozen: those that do not, and why. Throws where one cannot be asked. */
export async function liftedByHand(scene: Scene): Promise<{ carrier: string; detail: string }[]> {
  const scopes = await inForce(scene);
  const names = scene.incident.carriers ?? [];
  const looks = await Promise.all(
    names.map(async (name) => {
      const found = carrierOf(scene.loaded, scene.work.environment, name);
      const detail = openOf(await found.carrier.inspect(callIn(scene, found, scopes)));
      return detail === null ? [] : [{ carrier: name, detail }];
    }),
  );
  return looks.flat();
}
