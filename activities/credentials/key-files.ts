/**
 * `key-files`: a secret store of plain files with owners: a folder in which a service looks up which keys it accepts [001 step 3e, 004 section 5.2]. The
 * folder knows hashes; the secrets of new generations lie with the worker until they are revoked. By hand, the same: `key-files-by-hand.ts`.
 */
import { randomBytes } from 'node:crypto';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { AdapterError } from '../adapters/adapter.ts';
import { beating, type Beat } from '../adapters/http.ts';
import type { Lease } from '../adapters/releases-lease.ts';
import { guarded } from '../configs/env-file-disk.ts';
import type { CredentialAuthority, CredentialCall, Grant } from './authority.ts';
import { KeptSecrets } from './kept.ts';
import { acceptsSchema, isAccepted } from './key-files-accepts.ts';
import { KeyFolder, sha256, type KeyRecord } from './key-files-folder.ts';
import type { Receipt } from '../../model/state.ts';

const optionsSchema = z.strictObject({
  folder: z.string().min(1).describe('Where the service looks its keys up, from the folder of backout.yaml'),
  accepts: acceptsSchema,
  secretBytes: z.int().min(16).max(256).default(32).describe('Of randomness in a new secret; it is written in base64url'),
  keep: z.string().min(1).optional().describe('Folder on the worker for the secrets of new generations; <folder>.backout without it'),
});
export type KeyFilesOptions = z.infer<typeof optionsSchema>;
type Call = CredentialCall<KeyFilesOptions>;

/** How long a service may take to see that a key is revoked. */
const PROOF_MS = 15_000;
const PROOF_POLL_MS = 250;

const folderOf = ({ folder, options }: Pick<Call, 'folder' | 'options'>): KeyFolder => new KeyFolder(resolve(folder, options.folder));
const placeOf = ({ folder, options }: Pick<Call, 'folder' | 'options'>, keys: KeyFolder): string =>
  options.keep === undefined ? keys.own : resolve(folder, options.keep);

/** `rollbackId/step`: another try by a person finds what an earlier one had issued. */
const operationOf = (operationId: string): string => operationId.replace(/(?<=.)\/[^/]*$/, '');

export const keyFiles: CredentialAuthority<KeyFilesOptions> = {
  name: 'key-files',
  options: optionsSchema,
  fence: {
    by: 'lease',
    window: 'Two workers on one machine wait for each other; a tool that writes into the folder in the very instant of a change is not seen.',
  },
  limits: [
    'One Linux machine: who may write is told by /proc, and the folder must not be shared with another machine.',
    'A folder is one credential. The service must look at it on every request, or soon: a revoked key that it still accepts after 15 seconds is told as a failure.',
    'When a key was last used is what the service writes beside it; a service that writes it late, or not at all, hides a use.',
    'Whether a key is accepted is asked with the key itself: let the address not count that as a use, and be https where the network is not yours.',
    'A generation that Backout has not issued is proven by the file alone where its secret was never seen. The worker keeps secrets until they are revoked.',
  ],
  tellsUse: true,
  generations: (call) =>
    guarded(call.signal, () => {
      const keys = folderOf(call);
      return keys.all().map((record) => {
        const { id, state, scopes, tenants, issuedAt, operation } = record;
        return { id, state, scopes, tenants, issuedAt: issuedAt && new Date(issuedAt).toISOString(), ...keys.used(id), operationId: operation };
      });
    }),
  issue: (call, grant) => atWork(call, (scene) => Promise.resolve(issue(scene, grant))),
  adopt: (call, secret) =>
    atWork(call, ({ keys, kept }) => {
      const found = keys.all().find((one) => one.state === 'live' && one.sha256 === sha256(secret));
      if (found !== undefined && secretOf(kept, found) === null) {
        kept.forget(found.id);
        kept.keep({ id: found.id, operation: null, secret });
      }
      return Promise.resolve(found?.id ?? null);
    }),
  reveal: (call, id) =>
    guarded(call.signal, () => {
      const keys = folderOf(call);
      const place = placeOf(call, keys);
      const record = keys.all().find((one) => one.id === id);
      const secret = record?.state === 'live' ? secretOf(new KeptSecrets(place), record) : null;
      if (secret === null) throw new AdapterError('not-found', `${place} has no secret of ${named(id)}: this worker did not issue it, or it is revoked`);
      return secret;
    }),
  accepts: (call, secret) => guarded(call.signal, () => beating(call, 'key-files', () => isAccepted(call.options.accepts, secret, call.signal))),
  revoke: (call, id, last) => atWork(call, (scene) => revoke(scene, id, last)),
  manual: ({ environment, credential, folder, options }, wanted = { issue: { scopes: ['SCOPE'], tenants: ['TENANT'] }, revoke: ['ID'] }) => {
    const words = (...more: string[]): string =>
      [process.execPath, join(import.meta.dirname, 'key-files-by-hand.ts'), ...more, '--credential', credential, '--options', JSON.stringify(options)]
        .map(quoted)
        .join(' ');
    const { issue: grant, revoke: ids = [], install: put } = wanted;
    const granted = grant && [...grant.scopes.flatMap((scope) => ['--scope', scope]), ...(grant.tenants ?? []).flatMap((tenant) => ['--tenant', tenant])];
    return [
      `cd ${quoted(folder)}`,
      words('list'),
      ...(granted ? [words('issue', ...granted)] : []),
      ...(put?.held ?? []).map((one) =>
        words('install', put?.generation ?? '', '--environment', environment, '--holder', one.holder, '--held', JSON.stringify(one.options)),
      ),
      ...ids.map((id) => words('revoke', id)),
    ];
  },
};

interface Scene {
  readonly call: Call;
  readonly keys: KeyFolder;
  readonly kept: KeptSecrets;
  readonly place: string;
  readonly lease: Lease;
  readonly beat: Beat;
}

/** Under the lease of the folder, and heard of all the while. */
const atWork = <T>(call: Call, work: (scene: Scene) => Promise<T>): Promise<T> =>
  guarded(call.signal, () => {
    const keys = folderOf(call);
    const place = placeOf(call, keys);
    return beating(call, 'key-files', (beat) => keys.alone(call, (lease) => work({ call, keys, kept: new KeptSecrets(place), place, lease, beat })));
  });

/** Null where it is not kept; what is kept for it and is another secret is not. */
function secretOf(kept: KeptSecrets, record: KeyRecord): string | null {
  const secret = kept.read(record.id)?.secret ?? null;
  return secret !== null && sha256(secret) === record.sha256 ? secret : null;
}

function issue(scene: Scene, grant: Grant): Receipt {
  const { call, keys, kept, place } = scene;
  const operation = operationOf(call.operationId);
  const mine = keys.all().filter((one) => one.state === 'live' && one.operation === operation);
  const own = mine.find((one) => secretOf(kept, one) !== null);
  if (own !== undefined && !isAs(own, grant))
    throw new AdapterError('conflict', `${own.id} of this operation is live with another grant than is asked for now: revoke it first; nothing was changed`);
  // A secret that no live generation has was told to nobody: an attempt died before the folder knew it, or after it was revoked.
  for (const id of kept.under(operation)) if (!mine.some((one) => one.id === id)) kept.forget(id);
  const record = own ?? made(scene, grant, operation);
  // Only now: what is left without its secret may have been the only live one.
  const orphans = mine.filter((one) => one.id !== record.id && secretOf(kept, one) === null);
  const isInUse = ({ id }: KeyRecord): boolean => keys.used(id).lastUsedAt !== null;
  for (const one of orphans) if (!isInUse(one)) end(scene, one, false);
  const [inUse, revoked] = [orphans.filter(isInUse), orphans.filter((one) => !isInUse(one))].map((some) => some.map(({ id }) => id));
  return {
    after: { found: own !== undefined, scopes: record.scopes, tenants: record.tenants, issuedAt: record.issuedAt, orphans: { revoked, inUse } },
    ids: { generation: record.id },
    detail: [
      `${record.id} of ${call.credential} is live; its secret is kept in ${place}`,
      ...(revoked?.length ? [`${revoked.join(', ')} of this operation had lost its secret and is revoked`] : []),
      ...(inUse?.length ? [`${inUse.join(', ')} of this operation is not kept here, but is in use, and was left live`] : []),
    ].join('; '),
  };
}

/** The secret is on the worker's disk before the folder knows its hash. */
function made({ call, keys, kept, lease, beat }: Scene, { scopes, tenants }: Grant, operation: string): KeyRecord {
  const id = `key-${randomBytes(8).toString('hex')}`;
  const secret = randomBytes(call.options.secretBytes).toString('base64url');
  beat.say(`keeping the secret of ${id}`);
  call.signal.throwIfAborted();
  kept.keep({ id, operation, secret });
  beat.say(`issuing ${id}`);
  call.signal.throwIfAborted();
  const record = {
    id,
    sha256: sha256(secret),
    scopes: [...scopes],
    tenants: tenants && [...tenants],
    state: 'live' as const,
    issuedAt: new Date().toISOString(),
    operation,
  };
  keys.put(record, lease, () => {
    if (keys.read(id) !== null) throw new AdapterError('conflict', `somebody else has made ${id} in ${keys.path}; it was left as it is`);
  });
  beat.say(`issued ${id}`);
  return record;
}

async function revoke(scene: Scene, id: string, last: boolean): Promise<Receipt> {
  const { keys, kept, beat } = scene;
  const record = keys.all().find((one) => one.id === id);
  if (record === undefined) throw new AdapterError('not-found', `${keys.path} has no generation ${named(id)}`);
  const secret = secretOf(kept, record);
  const already = record.state === 'revoked';
  if (!already) end(scene, record, last);
  beat.say(`revoked ${id}`);
  const proof = await proven(scene, id, secret);
  beat.say(`forgetting ${id}`);
  kept.forget(id);
  return {
    before: { state: record.state, ...keys.used(id) },
    after: { state: 'revoked', already, proof },
    ids: { generation: id },
    detail: `${id} ${already ? 'was revoked already' : 'is revoked'}; ${proof === 'service' ? 'the service refuses it' : 'proven by the file alone, since its secret is not kept here'}`,
  };
}

/** In the very moment of the rename it is looked at who else is live. */
function end({ call, keys, lease, beat }: Scene, record: KeyRecord, last: boolean): void {
  beat.say(`revoking ${record.id}`);
  call.signal.throwIfAborted();
  keys.put({ ...record, state: 'revoked', revokedAt: new Date().toISOString() }, lease, () => {
    const now = keys.all();
    if (JSON.stringify(now.find(({ id }) => id === record.id)) !== JSON.stringify(record))
      throw new AdapterError('conflict', `somebody else has changed ${record.id} in ${keys.path} meanwhile; theirs is in place, and nothing was changed here`);
    if (!last && !now.some(({ id, state }) => id !== record.id && state === 'live'))
      throw new AdapterError(
        'protected',
        `${record.id} is the last live generation of ${call.credential}, and nothing would be accepted after it; nothing was changed`,
      );
  });
}

async function proven({ call, keys, beat }: Scene, id: string, secret: string | null): Promise<'service' | 'file'> {
  if (keys.read(id)?.state !== 'revoked') throw new AdapterError('conflict', `somebody else has set ${id} in ${keys.path} live again`);
  if (secret === null) return 'file';
  const unproven = `${id} is revoked in ${keys.path}, but`;
  for (const until = performance.now() + PROOF_MS; ; await beat.pause(PROOF_POLL_MS)) {
    const isStillAccepted = await isAccepted(call.options.accepts, secret, call.signal).catch((error: unknown) => {
      if (!(error instanceof AdapterError)) throw error;
      throw new AdapterError(error.kind, `${unproven} that it is refused is not proven: ${error.message}`, { cause: error });
    });
    if (!isStillAccepted) return 'service';
    if (performance.now() > until)
      throw new AdapterError(
        'failed',
        `${unproven} the service still accepts it after ${PROOF_MS / 1000} s: does it look at that folder? Try again once it does`,
      );
  }
}

const named = (id: string): string => JSON.stringify(id.slice(0, 64));
const asSet = (list: readonly string[] | null): string => JSON.stringify(list && [...new Set(list)].toSorted());
const isAs = (record: KeyRecord, grant: Grant): boolean => asSet(record.scopes) === asSet(grant.scopes) && asSet(record.tenants) === asSet(grant.tenants);
const quoted = (word: string): string => (/^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`);
