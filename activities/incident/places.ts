/** What an incident acts on beside its components, found by its name in `backout.yaml` and ready to be called: databases, evidence, credentials. */
import { MANUAL, manualOptions } from '../../model/config-data.ts';
import type { LoadedConfig } from '../../model/config-file.ts';
import type { EnvironmentConfig } from '../../model/config.ts';
import { canonical, sha256 } from '../../store/digest.ts';
import { checkedOptions, environmentOf, NotPossible } from '../components.ts';
import { secretOf } from '../secrets.ts';
import * as authorities from '../credentials/authorities.ts';
import type { CredentialAuthority, CredentialCall, CredentialHolder } from '../credentials/authority.ts';
import * as holders from '../credentials/holders.ts';
import type { Database, DatabaseCall } from '../databases/database.ts';
import * as databases from '../databases/registry.ts';
import type { Attempt } from '../dependencies.ts';
import type { ChainCall, EvidenceChain } from '../evidence/chain.ts';
import * as chains from '../evidence/registry.ts';

/** Each has options of its own, which it checks itself. */
const listed = <T>(registry: object): T[] => Object.values(registry as Record<string, T>);
const DATABASES = listed<Database>(databases);
const CHAINS = listed<EvidenceChain>(chains);
const AUTHORITIES = listed<CredentialAuthority>(authorities);
const HOLDERS = listed<CredentialHolder>(holders);

/** Whose call it is. */
export interface Caller extends Pick<Attempt, 'signal' | 'heartbeat'> {
  readonly environment: string;
  /** `rollbackId/step/generation`. */
  readonly operationId: string;
  /** 1 for the first. */
  readonly attempt: number;
}

type DatabaseConfig = NonNullable<EnvironmentConfig['databases']>[string];
type CredentialConfig = NonNullable<EnvironmentConfig['credentials']>[string];

export interface DatabaseAt {
  readonly config: DatabaseConfig;
  readonly database: Database;
  readonly call: DatabaseCall<unknown>;
}
export interface ChainAt {
  readonly chain: EvidenceChain;
  readonly call: ChainCall<unknown>;
}
export interface HolderAt {
  readonly holder: CredentialHolder;
  readonly call: CredentialCall<unknown>;
}
export interface CredentialAt {
  readonly config: CredentialConfig;
  readonly authority: CredentialAuthority;
  readonly call: CredentialCall<unknown>;
  readonly holders: readonly HolderAt[];
}

const own = <T>(from: Readonly<Record<string, T>> | undefined, name: string): T | undefined => (from && Object.hasOwn(from, name) ? from[name] : undefined);

function named<T extends { readonly name: string }>(kinds: readonly T[], wanted: string, what: string): T {
  const found = kinds.find((one) => one.name === wanted);
  if (found) return found;
  throw new NotPossible(
    'unknown-platform',
    `${what} names ${JSON.stringify(wanted)}, which Backout does not know; it knows ${kinds.map((one) => one.name).join(', ')}`,
  );
}

function configured<T>(from: Readonly<Record<string, T>> | undefined, environment: string, what: string, name: string): T {
  const config = own(from, name);
  if (config !== undefined) return config;
  throw new NotPossible('configuration', `${what} ${name} of ${environment} is not in backout.yaml any more`);
}

const base = (loaded: LoadedConfig, { environment, operationId, attempt, signal, heartbeat }: Caller) => ({
  environment,
  operationId,
  attempt,
  signal,
  heartbeat,
  folder: loaded.folder,
  secret: secretOf(loaded.folder),
});

export function databaseAt(loaded: LoadedConfig, name: string, caller: Caller): DatabaseAt {
  const { environment } = caller;
  const config = configured(environmentOf(loaded, environment).databases, environment, 'the database', name);
  const database = named(DATABASES, config.database, `the database ${name}`);
  const options = checkedOptions(loaded, database.options, config.options, ['environments', environment, 'databases', name, 'options']);
  return { config, database, call: { ...base(loaded, caller), name, options } };
}

export function chainAt(loaded: LoadedConfig, name: string, caller: Caller): ChainAt {
  const { environment } = caller;
  const config = configured(environmentOf(loaded, environment).evidence, environment, 'the evidence', name);
  const chain = named(CHAINS, config.chain, `the evidence ${name}`);
  const options = checkedOptions(loaded, chain.options, config.options, ['environments', environment, 'evidence', name, 'options']);
  return { chain, call: { ...base(loaded, caller), name, options } };
}

type HolderConfig = CredentialConfig['held'][number];

function holdersAt(loaded: LoadedConfig, list: readonly HolderConfig[], caller: Caller, credential: string, path: (string | number)[]): HolderAt[] {
  return list.map((one, index) => {
    const holder = named(HOLDERS, one.holder, path.slice(2).join('.'));
    const options = checkedOptions(loaded, holder.options, one.options, [...path, index, 'options']);
    return { holder, call: { ...base(loaded, caller), credential, options } };
  });
}

/** Where the address of a database is read. */
export const referencesOf = (loaded: LoadedConfig, name: string, caller: Caller): HolderAt[] =>
  holdersAt(loaded, databaseAt(loaded, name, caller).config.reference, caller, name, ['environments', caller.environment, 'databases', name, 'reference']);

/** Null: no authority can be asked; a person acts. */
export function credentialAt(loaded: LoadedConfig, name: string, caller: Caller): CredentialAt | null {
  const { environment } = caller;
  const config = configured(environmentOf(loaded, environment).credentials, environment, 'the credential', name);
  if (config.authority === MANUAL) return null;
  const path = ['environments', environment, 'credentials', name];
  const authority = named(AUTHORITIES, config.authority, `the credential ${name}`);
  const options = checkedOptions(loaded, authority.options, config.options, [...path, 'options']);
  return {
    config,
    authority,
    call: { ...base(loaded, caller), credential: name, options },
    holders: holdersAt(loaded, config.held, caller, name, [...path, 'held']),
  };
}

/** What a person needs for one that only a person can rotate. */
export function manualAt(loaded: LoadedConfig, environment: string, name: string) {
  const config = configured(environmentOf(loaded, environment).credentials, environment, 'the credential', name);
  return checkedOptions(loaded, manualOptions, config.options, ['environments', environment, 'credentials', name, 'options']);
}

/** SHA-256 of the configuration of a place, by `database/NAME`, `evidence/NAME` or `credential/NAME`; null: it is not there any more. */
export function hashOfPlace(loaded: LoadedConfig, environment: string, place: string): string | null {
  const { databases: ofData, evidence, credentials } = environmentOf(loaded, environment);
  const [kind, name = ''] = place.split('/');
  const config = kind === 'database' ? own(ofData, name) : kind === 'evidence' ? own(evidence, name) : own(credentials, name);
  return config === undefined ? null : sha256(canonical(config));
}

/** Keys that are no drift of a component's configuration: credentials and addresses of databases, wherever they are held. */
export function heldPlaces(loaded: LoadedConfig, caller: Caller): { readonly path: string; readonly key: string }[] {
  const environment = environmentOf(loaded, caller.environment);
  const all = [
    ...Object.keys(environment.databases ?? {}).flatMap((name) => referencesOf(loaded, name, caller)),
    ...Object.keys(environment.credentials ?? {}).flatMap((name) => credentialAt(loaded, name, caller)?.holders ?? []),
  ];
  return all.flatMap(({ holder, call }) => holder.place(call) ?? []);
}
