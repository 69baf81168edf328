/** What levels 2 and 3 would go back with: databases, evidence and credentials as they are now. Looks; changes nothing [001 steps 3c to 3e]. */
import type { LoadedConfig } from '../../model/config-file.ts';
import { MANUAL } from '../../model/config-data.ts';
import { BY_HAND, type ChainPlace, type CredentialPlace, type DatabasePlace, type DataPlace } from '../../model/incident-data.ts';
import type { StartInput } from '../../model/input.ts';
import type { Plan, Target, Window } from '../../model/plan.ts';
import { POLICIES, type Kind } from '../../model/policy.ts';
import { AdapterError } from '../adapters/adapter.ts';
import { environmentOf, NotPossible } from '../components.ts';
import type { Attempt, Dependencies } from '../dependencies.ts';
import { deployedInstead, keptOf } from './keep.ts';
import { chainAt, databaseAt, hashOfPlace, manualAt, referencesOf, type Caller, type DatabaseAt } from './places.ts';
import { patiently } from '../look.ts';
import { restoringOf } from './restoring.ts';
import { unappliedOf, undoingOf } from './undoing.ts';

export interface DataAsk extends Pick<StartInput, 'recover' | 'window'> {
  readonly kind: Kind;
  readonly environment: string;
  readonly targets: readonly Target[];
  readonly tenant: string | null;
  /** What a smaller level has begun with: it stays as it was confirmed, since what is done of it would not be found any more. */
  readonly begun?: readonly DatabasePlace[];
  /** When the rollback was started: nothing later is taken for damage. */
  readonly until: string;
}

export interface DataLook extends Required<Pick<Plan, 'places'>>, Pick<Plan, 'window' | 'recover'> {
  readonly data: DataPlace;
  readonly warnings: readonly string[];
  /** The most machine time of the whole, in seconds [004 section 7.2]. */
  readonly targetSeconds: number;
}

/** With a full restore [004 sections 1 and 7.2]. */
const RESTORE_SECONDS = 1_800;

export interface Scope {
  readonly loaded: LoadedConfig;
  readonly ask: DataAsk;
  readonly window: Window | null;
  readonly deps: Dependencies;
  readonly attempt: Attempt;
  readonly caller: Caller;
  /** Collected on the way. */
  readonly warnings: string[];
}

/** Null: this level goes back with none of it. Throws NotPossible where a rule says no. */
export async function lookAtData(loaded: LoadedConfig, ask: DataAsk, deps: Dependencies, attempt: Attempt): Promise<DataLook | null> {
  const level = POLICIES[ask.kind].level ?? 1;
  if (level < 2) return null;
  const environment = environmentOf(loaded, ask.environment);
  const unknown = Object.keys(ask.recover ?? {}).find((name) => !Object.hasOwn(environment.databases ?? {}, name));
  if (unknown !== undefined)
    throw new NotPossible(
      'recover',
      `there is no database ${unknown} in ${ask.environment}; there is ${Object.keys(environment.databases ?? {}).join(', ') || 'none'}`,
    );
  const { signal, heartbeat } = attempt;
  const caller = { environment: ask.environment, operationId: 'inspection', attempt: 1, signal, heartbeat };
  const scope: Scope = { loaded, ask, window: await windowOf(ask, deps), deps, attempt, caller, warnings: [] };
  const databases = await Promise.all(
    Object.keys(environment.databases ?? {}).map(async (name) => ask.begun?.find((one) => one.name === name) ?? lookAtDatabase(scope, name)),
  );
  const chains = level < 3 ? [] : await Promise.all(Object.keys(environment.evidence ?? {}).map((name) => lookAtChain(scope, name)));
  const credentials = level < 3 ? [] : await Promise.all(Object.keys(environment.credentials ?? {}).map((name) => lookAtCredential(scope, name)));
  checkSigner(loaded, credentials);
  const names = [
    ...databases.map(({ name }) => `database/${name}`),
    ...chains.map(({ name }) => `evidence/${name}`),
    ...credentials.map(({ name }) => `credential/${name}`),
  ];
  return {
    data: { databases, chains, credentials },
    places: Object.fromEntries(names.map((place) => [place, hashOfPlace(loaded, ask.environment, place) ?? ''])),
    ...(scope.window === null ? {} : { window: scope.window }),
    ...(ask.recover === undefined ? {} : { recover: ask.recover }),
    warnings: [...scope.warnings, ...missing(level, environment)],
    targetSeconds: databases.some((one) => one.recover !== null && one.recover !== BY_HAND)
      ? RESTORE_SECONDS
      : (POLICIES[ask.kind].targetSeconds ?? RESTORE_SECONDS),
  };
}

/** What was said, or since what is taken back was deployed; null: nothing was deployed since the target. */
async function windowOf({ window: said, environment, targets, until }: DataAsk, deps: Dependencies): Promise<Window | null> {
  if (said) return said;
  const since = await Promise.all(targets.map((target) => deployedInstead(deps, environment, target)));
  const [from] = since
    .flat()
    .map((row) => row.deployedAt)
    .toSorted();
  return from === undefined || from >= until ? null : { from, to: until };
}

async function lookAtDatabase(scope: Scope, name: string): Promise<DatabasePlace> {
  const { loaded, ask, attempt, caller, warnings } = scope;
  const at = databaseAt(loaded, name, caller);
  const recover = ask.recover?.[name] ?? null;
  const place = {
    name,
    recover,
    asOf: null,
    undo: [],
    restores: [],
    rebuild: at.config.rebuild.map((one) => one.name),
    checks: at.config.checks.map((one) => one.name),
  };
  if (at.config.checks.length === 0) warnings.push(`no checks of ${name} are configured: nothing proves its tenant boundaries (databases.${name}.checks)`);
  if (recover === BY_HAND) return { ...place, rebuild: [], checks: [] };
  const looking = <T>(look: () => Promise<T>): Promise<T> => patiently(attempt, `the database ${name} cannot be looked at`, look);
  await refuseLeft(scope, name, at);
  if (recover !== null) {
    const { problem, asOf } = await looking(() => at.database.recoverable(at.call, recover));
    const others = recover === 'backup' ? 'a time or by-hand' : 'another time, backup or by-hand';
    if (problem !== null) throw new NotPossible('recover', `${name} cannot be recovered from ${recover}: ${problem}; name ${others}`);
    await refuseRewrite(scope, name);
    if (at.config.reference.length === 0)
      throw new NotPossible(
        'recover',
        `nothing says where the address of ${name} is read (databases.${name}.reference), so nothing could be switched over; add it, or say by-hand`,
      );
    return { ...place, asOf };
  }
  const undo = await looking(async () => undoingOf(scope, name, at, await evidenceIn(scope, name)));
  for (const one of await looking(() => unappliedOf(scope, name, at)))
    warnings.push(
      `${one} was recorded for ${name} since the target, and its ledger does not have it: it is not undone; where it is applied all the same, undo it by hand`,
    );
  return { ...place, undo, restores: await restoringOf(scope, name, at) };
}

/** After a switch-over the configuration may still name the one that was left: what is gone back with has to be what is in use. */
async function refuseLeft({ loaded, caller, warnings }: Scope, name: string, { database, call }: DatabaseAt): Promise<void> {
  for (const [index, { holder, call: held }] of referencesOf(loaded, name, caller).entries()) {
    const place = `databases.${name}.reference.${index}`;
    try {
      const address = await holder.read(held);
      if (address !== null && (await database.isSame(call, address))) continue;
      const what = address === null ? 'holds no address' : `holds the address of another database than databases.${name}.options.url`;
      throw new NotPossible('recover', `${place} ${what}: set it to the one in use and start the worker anew, or say --recover ${name}=by-hand`);
    } catch (error) {
      if (!(error instanceof AdapterError)) throw error;
      warnings.push(`whether ${place} holds the address of ${name} cannot be told: ${error.message}`);
    }
  }
}

/** The evidence that lies in this very database: its name and its table. */
async function evidenceIn({ loaded, ask, caller }: Pick<Scope, 'loaded' | 'ask' | 'caller'>, name: string): Promise<{ chain: string; table: string }[]> {
  const at = databaseAt(loaded, name, caller);
  const all = Object.keys(environmentOf(loaded, ask.environment).evidence ?? {}).map(async (chain) => {
    const { options } = chainAt(loaded, chain, caller).call;
    const { url, table } = options as { readonly url?: string; readonly table?: string }; // Every kind that lies in a database names it so.
    return url !== undefined && table !== undefined && (await at.database.isSame(at.call, await at.call.secret(url))) ? [{ chain, table }] : [];
  });
  return (await Promise.all(all)).flat();
}

/** What is recovered into a new database leaves out what was written since: of evidence nothing may be left out [001 step 3d]. */
async function refuseRewrite(scope: Scope, name: string): Promise<void> {
  const unknown = `whether ${name} holds evidence cannot be told, so it is not recovered; say --recover ${name}=by-hand, or start again once it answers`;
  const [held] = await patiently(scope.attempt, unknown, () => evidenceIn(scope, name));
  if (held)
    throw new NotPossible(
      'evidence-rewrite',
      `${name} holds the evidence ${held.chain}, of which nothing may be lost: recover it by hand, entry by entry, or go back without recovering`,
    );
}

async function lookAtChain({ loaded, window, caller, attempt, warnings }: Scope, name: string): Promise<ChainPlace> {
  const { chain, call } = chainAt(loaded, name, caller);
  if (window === null) {
    warnings.push(`no span of time is known in which entries of ${name} are affected: say --window`);
    return { name, affected: null };
  }
  return { name, affected: await patiently(attempt, `the evidence ${name} cannot be read`, () => chain.affected(call, window)) };
}

async function lookAtCredential({ loaded, ask, deps }: Scope, name: string): Promise<CredentialPlace> {
  const { environment, targets } = ask;
  if (environmentOf(loaded, environment).credentials?.[name]?.authority !== MANUAL) return { name, byHand: null };
  const { console: place } = manualAt(loaded, environment, name);
  const kept = await Promise.all(targets.map(({ component, to }) => keptOf(deps, environment, component, to)));
  const then = kept.map((one) => one?.kept?.consoles?.[name]).find((one) => one !== undefined);
  return { name, byHand: `${place}; ${then === undefined ? 'nothing was recorded of it with the target' : `recorded with the target: ${then}`}` };
}

/** Only the Security Lead moves credentials; where nobody is named, anybody could say that he is one. */
function checkSigner({ config }: LoadedConfig, credentials: readonly CredentialPlace[]): void {
  if (credentials.length === 0) return;
  const all = Object.values(config.people ?? {});
  if (all.some((person) => person.roles.includes('security-lead') || person.deputyFor?.includes('security-lead'))) return;
  throw new NotPossible(
    'security-lead',
    'credentials are moved by the Security Lead alone, and backout.yaml names nobody with the role security-lead (people)',
  );
}

function missing(level: number, { databases, evidence, credentials }: ReturnType<typeof environmentOf>): string[] {
  return [
    ...(databases === undefined ? ['no databases are configured: what level 2 goes back with is by hand'] : []),
    ...(level < 3 || evidence !== undefined ? [] : ['no evidence is configured: its chain is verified by hand']),
    ...(level < 3 || credentials !== undefined ? [] : ['no credentials are configured: what was exposed is rotated by hand']),
  ];
}
