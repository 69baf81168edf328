/** What belongs to a version beside its code [001 step 2]: kept when its deployment is verified, read again when it is gone back to. */
import { fieldOf } from '../../model/field.ts';
import { Writable } from 'node:stream';
import { MANUAL } from '../../model/config-data.ts';
import type { LoadedConfig } from '../../model/config-file.ts';
import type { Fact } from '../../model/config.ts';
import type { Target } from '../../model/plan.ts';
import { StoreUnavailable, type Deployment } from '../../store/store.ts';
import { AdapterError } from '../adapters/adapter.ts';
import { readServed } from '../checks.ts';
import { lastBytes, runCommand, textOf } from '../command.ts';
import { environmentOf, type Component } from '../components.ts';
import type { ConfigMark } from '../configs/source.ts';
import type { Attempt, Dependencies } from '../dependencies.ts';
import { digestOf, readDocument } from '../parity.ts';
import { sourcesOf } from './configuration.ts';
import { databaseAt, manualAt } from './places.ts';

/** As it lies in the snapshot of a verified deployment. A fact that could not be read is absent, and said so. */
export interface Kept {
  readonly facts: Readonly<Record<string, string>>;
  readonly marks: readonly (ConfigMark | null)[];
  readonly openapi: unknown;
  /** The newest migration of each database, by name. */
  readonly ledgers?: Readonly<Record<string, string>>;
  /** What was set in the consoles of credentials that only a person can rotate, by name. */
  readonly consoles?: Readonly<Record<string, string>>;
  readonly problems: readonly string[];
}

const FACT_SECONDS = 10;
const FACT_MAX = 200;

/** Reads everything that is configured. What cannot be read is a problem in words, and keeps nothing from being verified. */
export async function keep(loaded: LoadedConfig, component: Component, version: string, attempt: Attempt): Promise<Kept> {
  const { facts, problems } = await factsOf(component, version, attempt.signal);
  const list = sourcesOf(loaded, component, attempt, 'verification');
  const marks = await Promise.all(
    list.map(({ source, call }) =>
      source.record(call).catch((error: unknown) => {
        if (!(error instanceof AdapterError)) throw error;
        problems.push(`the configuration in ${source.name} could not be kept: ${error.message}`);
        return null;
      }),
    ),
  );
  const { openapi } = component.config;
  const document = openapi
    ? await readDocument(openapi.url, attempt.signal).catch((error: unknown) => {
        if (attempt.signal.aborted) throw error;
        problems.push(`the OpenAPI document could not be read: ${error instanceof Error ? error.message : 'unknown error'}`);
        return null;
      })
    : null;
  const beside = await keepBeside(loaded, component.environment, attempt, problems);
  return { facts, marks, openapi: document === null || !openapi ? null : digestOf(document, openapi.critical), ...beside, problems };
}

/** What levels 2 and 3 go back by: it belongs to the environment, and to whatever version runs in it. */
async function keepBeside(loaded: LoadedConfig, environment: string, attempt: Attempt, problems: string[]): Promise<Pick<Kept, 'ledgers' | 'consoles'>> {
  const { databases = {}, credentials = {} } = environmentOf(loaded, environment);
  const { signal, heartbeat } = attempt;
  const caller = { environment, operationId: 'verification', attempt: 1, signal, heartbeat };
  const ledgers = await Promise.all(
    Object.keys(databases).map(async (name): Promise<[string, string][]> => {
      const { database, call } = databaseAt(loaded, name, caller);
      const applied = await database.ledger(call).catch((error: unknown) => {
        if (!(error instanceof AdapterError)) throw error;
        problems.push(`the migrations of ${name} could not be read: ${error.message}`);
        return [];
      });
      const newest = applied.at(-1);
      return newest ? [[name, newest.name]] : [];
    }),
  );
  const consoles = await Promise.all(
    Object.entries(credentials).map(async ([name, { authority }]): Promise<[string, string][]> => {
      const read = authority === MANUAL ? manualAt(loaded, environment, name).record : undefined;
      if (!read) return [];
      const { value, problem } = await firstLine(
        read.command,
        { cwd: loaded.folder, seconds: read.timeoutSeconds ?? FACT_SECONDS, env: { BACKOUT_ENVIRONMENT: environment } },
        signal,
      );
      if (value !== null) return [[name, value]];
      problems.push(`what is set for ${name} could not be read: ${problem ?? 'no answer'}`);
      return [];
    }),
  );
  const [read, shown] = [Object.fromEntries(ledgers.flat()), Object.fromEntries(consoles.flat())];
  return { ...(Object.keys(read).length === 0 ? {} : { ledgers: read }), ...(Object.keys(shown).length === 0 ? {} : { consoles: shown }) };
}

/** The facts of what runs now. */
export async function factsOf(component: Component, version: string, signal: AbortSignal): Promise<{ facts: Record<string, string>; problems: string[] }> {
  const problems: string[] = [];
  const read = await Promise.all(
    Object.entries(component.config.facts ?? {}).map(async ([name, fact]): Promise<[string, string][]> => {
      if (!fact) return [];
      const { value, problem } = await readFact(fact, component, version, signal);
      if (value !== null) return [[name, value]];
      problems.push(`${name} of ${component.name} could not be read: ${problem ?? 'no answer'}`);
      return [];
    }),
  );
  return { facts: Object.fromEntries(read.flat()), problems };
}

async function readFact(fact: Fact, component: Component, version: string, signal: AbortSignal): Promise<{ value: string | null; problem: string | null }> {
  if ('url' in fact) {
    const { version: value, problem } = await readServed(fact, signal);
    return { value: value === null || value === '' ? null : value.slice(0, FACT_MAX), problem };
  }
  const env = { BACKOUT_ENVIRONMENT: component.environment, BACKOUT_COMPONENT: component.name, BACKOUT_VERSION: version };
  return firstLine(fact.command, { cwd: component.folder, seconds: fact.timeoutSeconds ?? FACT_SECONDS, env }, signal);
}

async function firstLine(
  command: readonly string[],
  where: { readonly cwd: string; readonly seconds: number; readonly env: Readonly<Record<string, string>> },
  signal: AbortSignal,
): Promise<{ value: string | null; problem: string | null }> {
  const output = lastBytes(4_096);
  const ended = await runCommand(
    {
      command,
      ...where,
      output: new Writable({
        write: (chunk: Buffer, _, done) => {
          output.add(chunk);
          done();
        },
      }),
    },
    signal,
  );
  const [line = ''] = textOf(output.read(), 4_096).split('\n');
  const value = line.trim().slice(0, FACT_MAX);
  return ended.code === 0 && value !== '' ? { value, problem: null } : { value: null, problem: `${command.join(' ')} ended with ${ended.exit}` };
}

/** What was recorded of a component after its target, the newest first; everything where the target was never recorded. */
export async function deployedSince(
  { store }: Pick<Dependencies, 'store'>,
  environment: string,
  { component, to }: Pick<Target, 'component' | 'to'>,
): Promise<Deployment[]> {
  const rows = await store.deployments({ environment, component, limit: 1_000 });
  const target = rows.findIndex((row) => row.version === to && row.rollbackFrom === null);
  return target === -1 ? rows : rows.slice(0, target);
}

/** What was served instead of the target the last time, the newest first: a rollback that was closed since has ended what came before it. */
export async function deployedInstead(
  { store }: Pick<Dependencies, 'store'>,
  environment: string,
  { component, to }: Pick<Target, 'component' | 'to'>,
): Promise<Deployment[]> {
  const rows = await store.deployments({ environment, component, limit: 1_000 });
  const since = rows.slice(
    Math.max(
      0,
      rows.findIndex((row) => row.version !== to),
    ),
  );
  const target = since.findIndex((row) => row.version === to && row.status === 'success');
  return target === -1 ? since.filter((row) => row.version !== to) : since.slice(0, target);
}

/** What was kept of a version, with the deployment it was kept for; null where it was never verified. */
export async function keptOf(
  { store }: Pick<Dependencies, 'store'>,
  environment: string,
  component: string,
  version: string,
): Promise<{ readonly deployment: Deployment; readonly kept: Kept | null } | null> {
  const rows = (await store.deployments({ environment, component, version, limit: 50 })).filter((row) => row.status === 'success' && row.healthCheckPassed);
  // One that a rollback restored was never verified by itself: what belongs to the version was kept with an earlier one.
  for (const deployment of rows) {
    const snapshot = await store.snapshot(deployment.deploymentId);
    const kept = fieldOf(snapshot?.config, 'kept');
    if (kept !== undefined) return { deployment, kept: kept as Kept }; // Written by `deployment verify`, as keep() made it.
  }
  const [deployment] = rows;
  return deployment ? { deployment, kept: null } : null;
}

/** The OpenAPI document that was kept of a version; null where none was. */
export const documentOf = async (deps: Pick<Dependencies, 'store'>, environment: string, component: string, version: string): Promise<unknown> =>
  (
    await keptOf(deps, environment, component, version).catch((error: unknown) => {
      // The gate goes on without the record; the target's own document may be in its release.
      if (error instanceof StoreUnavailable) return null;
      throw error;
    })
  )?.kept?.openapi ?? null;
