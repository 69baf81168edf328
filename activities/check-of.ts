import type { Operation } from '../model/plan.ts';
import { checkHealth, checkServed, checkSmoke, type Checked } from './checks.ts';
import type { Component } from './components.ts';

/** The check that an operation makes of a component. */
export function checkOf(operation: Operation | null, component: Component, environment: string, to: string, signal: AbortSignal): Promise<Checked> {
  const { config, folder, name, adapter, hide } = component;
  if (operation === 'smoke') return checkSmoke(config, { place: { folder, environment, component: name, version: to }, hide }, signal);
  if (operation === 'health') return checkHealth(config, signal);
  if (operation === 'served') return checkServed(config, to, adapter.name, signal);
  throw new Error(`${operation ?? 'nothing'} is no check of a component`);
}
