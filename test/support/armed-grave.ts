/**
 * Where a rollback of levels 2 and 3 meets the outside, beside what every incident meets [001 steps 3c to 3e]: a customer's database, its evidence, whoever
 * issues credentials, and where they are read. Each call has two boundaries, `STEP:before-CALL` and `STEP:after-CALL`, and its words are boundaries too.
 */
import * as authorities from '../../activities/credentials/authorities.ts';
import type { CredentialAuthority, CredentialHolder } from '../../activities/credentials/authority.ts';
import * as holders from '../../activities/credentials/holders.ts';
import type { Database } from '../../activities/databases/database.ts';
import * as databases from '../../activities/databases/registry.ts';
import type { EvidenceChain } from '../../activities/evidence/chain.ts';
import * as chains from '../../activities/evidence/registry.ts';
import type { Store } from '../../store/store.ts';
import { between, hearing, stepOf, type Reach } from './armed-incident.ts';

/** Each has options of its own, which none of these calls looks into. */
const listed = <T>(registry: object): T[] => Object.values(registry as Record<string, T>);

/** `recover.NAME` also while it is switched over: the recovered one is called by the operation that has made it. */
export function armGrave(reach: Reach): void {
  for (const database of listed<Database>(databases)) armDatabase(database, reach);
  for (const chain of listed<EvidenceChain>(chains)) armChain(chain, reach);
  for (const authority of listed<CredentialAuthority>(authorities)) armAuthority(authority, reach);
  for (const holder of listed<CredentialHolder>(holders)) armHolder(holder, reach);
}

function armDatabase(database: Database, reach: Reach): void {
  const bare = { ...database };
  database.ledger = (call, at) => between(reach, stepOf(call), 'ledger', () => bare.ledger(call, at));
  database.undo = (call, ...more) => between(reach, stepOf(call), 'undo', () => bare.undo(hearing(call, reach), ...more));
  database.preview = (call, what) => between(reach, stepOf(call), 'preview', () => bare.preview(call, what));
  database.restore = (call, what) => between(reach, stepOf(call), 'restore', () => bare.restore(hearing(call, reach), what));
  database.check = (call, ...more) => between(reach, stepOf(call), 'check', () => bare.check(call, ...more));
  database.recover = (call, from) => between(reach, stepOf(call), 'recover', () => bare.recover(hearing(call, reach), from));
  database.recovered = (call) => between(reach, stepOf(call), 'recovered', () => bare.recovered(call));
  database.seal = (call, sealed) => between(reach, stepOf(call), 'seal', () => bare.seal(call, sealed));
}

function armChain(chain: EvidenceChain, reach: Reach): void {
  const bare = { ...chain };
  chain.survey = (call, until) => between(reach, stepOf(call), 'survey', () => bare.survey(call, until));
  chain.annotate = (call, annotation) => between(reach, stepOf(call), 'annotate', () => bare.annotate(hearing(call, reach), annotation));
}

function armAuthority(authority: CredentialAuthority, reach: Reach): void {
  const bare = { ...authority };
  authority.generations = (call) => between(reach, stepOf(call), 'generations', () => bare.generations(call));
  authority.adopt = (call, secret) => between(reach, stepOf(call), 'adopt', () => bare.adopt(call, secret));
  authority.issue = (call, grant) => between(reach, stepOf(call), 'issue', () => bare.issue(hearing(call, reach), grant));
  authority.reveal = (call, id) => between(reach, stepOf(call), 'reveal', () => bare.reveal(call, id));
  authority.accepts = (call, secret) => between(reach, stepOf(call), 'accepts', () => bare.accepts(call, secret));
  authority.revoke = (call, ...more) => between(reach, stepOf(call), 'revoke', () => bare.revoke(hearing(call, reach), ...more));
}

function armHolder(holder: CredentialHolder, reach: Reach): void {
  const bare = { ...holder };
  holder.read = (call) => between(reach, stepOf(call), 'read', () => bare.read(call));
  holder.write = (call, secret) => between(reach, stepOf(call), 'write', () => bare.write(hearing(call, reach), secret));
}

/** What the store is told belongs to no call: `undo.DATABASE.MIGRATION:before-told`, `credential.NAME:before-tell=STATE`. */
export const armedHistory = (store: Store, reach: Reach): Pick<Store, 'migrations' | 'migrationUndone' | 'tellCredentials' | 'credentials'> => ({
  migrations: (of) => between(reach, `database.${of.database}`, 'migrations', () => store.migrations(of)),
  migrationUndone: (told) => between(reach, `undo.${told.database}.${told.name}`, 'told', () => store.migrationUndone(told)),
  tellCredentials: (all) => between(reach, `credential.${all[0]?.credential ?? ''}`, `tell=${all[0]?.state ?? ''}`, () => store.tellCredentials(all)),
  credentials: (filter) => between(reach, `credential.${filter.credential ?? ''}`, 'credentials', () => store.credentials(filter)),
});
