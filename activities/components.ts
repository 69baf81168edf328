/** From a name in a request to the platform that serves it. Callers send names; the worker's `backout.yaml` is the truth. */
import type { z } from 'zod';
import { ConfigError, type LoadedConfig } from '../model/config-file.ts';
import type { ComponentConfig, EnvironmentConfig } from '../model/config.ts';
import type { Rule } from '../model/refusal.ts';
import { canonical, sha256 } from '../store/digest.ts';
import type { Adapter, AdapterCall } from './adapters/adapter.ts';
import { readServed } from './checks.ts';
import { hiding, secretOf } from './secrets.ts';

export interface Component {
  readonly name: string;
  readonly environment: string;
  readonly config: ComponentConfig;
  readonly adapter: Adapter;
  readonly options: unknown;
  readonly folder: string;
  /** Takes out of what its checks print whatever its environment's configuration refers to. */
  readonly hide: () => Promise<(text: string) => string>;
  /** SHA-256 of its part of the configuration. */
  readonly hash: string;
}

/** Says no with a rule; the callers turn it into a refusal or a failure. */
export class NotPossible extends Error {
  readonly rule: Rule;
  constructor(rule: Rule, explanation: string) {
    super(explanation);
    this.rule = rule;
  }
}

const own = <T>(from: Readonly<Record<string, T>>, key: string): T | undefined => (Object.hasOwn(from, key) ? from[key] : undefined);
const listed = (names: readonly string[]): string => (names.length === 0 ? 'there are none' : names.join(', '));

export function environmentOf(loaded: LoadedConfig, name: string): EnvironmentConfig {
  const found = own(loaded.config.environments, name);
  if (found) return found;
  throw new NotPossible(
    'unknown-environment',
    `there is no environment ${JSON.stringify(name)} in ${loaded.file}; there is ${listed(Object.keys(loaded.config.environments))}`,
  );
}

export function findComponent(loaded: LoadedConfig, adapters: Readonly<Record<string, Adapter>>, environment: string, name: string): Component {
  const place = environmentOf(loaded, environment);
  const config = own(place.components, name);
  if (!config)
    throw new NotPossible(
      'unknown-component',
      `there is no component ${JSON.stringify(name)} in ${environment}; there is ${listed(Object.keys(place.components))}. External systems cannot be rolled back [002 section 4]`,
    );
  const adapter = Object.values(adapters).find((one) => one.name === config.adapter);
  if (!adapter)
    throw new NotPossible(
      'unknown-platform',
      `${name} names the platform ${JSON.stringify(config.adapter)}, which Backout does not know; it knows ${listed(Object.values(adapters).map((one) => one.name))}`,
    );
  if (config.executor !== undefined && (config.executor !== adapter.name || !adapter.executesInCi)) {
    throw new NotPossible('executor', `${name} demands execution by ${config.executor}, and its adapter is ${adapter.name}`);
  }
  return {
    name,
    environment,
    config,
    adapter,
    options: checkedOptions(loaded, adapter.options, config.options, ['environments', environment, 'components', name, 'options']),
    folder: loaded.folder,
    hide: async () => hiding(place, loaded.folder),
    hash: sha256(canonical(config)),
  };
}

/** Options belong to what is named beside them, which checks them itself; a mistake is told with its place in the file. */
export function checkedOptions<Options>(loaded: LoadedConfig, options: z.ZodType<Options>, given: unknown, path: (string | number)[]): Options {
  try {
    return loaded.check(options, given, path);
  } catch (error) {
    if (error instanceof ConfigError) throw new NotPossible('configuration', error.message);
    throw error;
  }
}

/** Every component of the file, with what is wrong with those that cannot be used: for a worker's start and for doctor. */
export function allComponents(
  loaded: LoadedConfig,
  adapters: Readonly<Record<string, Adapter>>,
): { component?: Component; environment: string; name: string; problem?: NotPossible }[] {
  return Object.entries(loaded.config.environments).flatMap(([environment, place]) =>
    Object.keys(place.components).map((name) => {
      try {
        return { environment, name, component: findComponent(loaded, adapters, environment, name) };
      } catch (error) {
        if (error instanceof NotPossible) return { environment, name, problem: error };
        throw error;
      }
    }),
  );
}

export interface CallContext {
  readonly to: string;
  readonly operationId: string;
  readonly attempt: number;
  readonly signal: AbortSignal;
  readonly heartbeat: (progress: string) => void;
}

export function callOf(component: Component, context: CallContext): AdapterCall<unknown> {
  return {
    environment: component.environment,
    component: component.name,
    options: component.options,
    folder: component.folder,
    ...context,
    healthPaths: component.config.health.map((probe) => {
      const url = new URL(probe.url);
      return url.pathname + url.search;
    }),
    secret: secretOf(component.folder),
    served: async () => (component.config.served ? (await readServed(component.config.served, context.signal)).version : null),
  };
}
