/**
 * What `manual` of `key-files` gives: the same, with everything else down. No secret is printed: `issue` says where it is kept.
 *   node activities/credentials/key-files-by-hand.ts list|issue|revoke ID|adopt --credential NAME --options JSON [--scope S]… [--tenant T]… [--last]
 * `adopt` reads a secret from its input and says which generation it is.
 */
import { randomUUID } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { AdapterError } from '../adapters/adapter.ts';
import type { CredentialCall } from './authority.ts';
import { keyFiles, type KeyFilesOptions } from './key-files.ts';

const USAGE = 'usage: key-files-by-hand.ts list|issue|revoke ID|adopt --credential NAME --options JSON [--scope SCOPE]… [--tenant TENANT]… [--last]';

async function main(args: string[]): Promise<unknown> {
  const [one, many] = [{ type: 'string' }, { type: 'string', multiple: true }] as const;
  const options = { credential: one, options: one, scope: many, tenant: many, last: { type: 'boolean' } } as const;
  const { values, positionals } = parseArgs({ args, allowPositionals: true, options });
  const [word, id = '', ...more] = positionals;
  if (values.credential === undefined || values.options === undefined || more.length > 0) throw new Error(USAGE);
  const call = callOf(values.credential, keyFiles.options.parse(JSON.parse(values.options)));
  if (word === 'list') return keyFiles.generations(call);
  if (word === 'issue' && values.scope !== undefined) return keyFiles.issue(call, { scopes: values.scope, tenants: values.tenant ?? null });
  if (word === 'revoke' && id !== '') return keyFiles.revoke(call, id, values.last ?? false);
  if (word === 'adopt') return { generation: await keyFiles.adopt(call, (await text(process.stdin)).trim()) };
  throw new Error(USAGE);
}

function callOf(credential: string, options: KeyFilesOptions): CredentialCall<KeyFilesOptions> {
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      abort.abort();
    });
  return {
    environment: 'by-hand',
    credential,
    options,
    folder: process.cwd(),
    operationId: `by-hand/${randomUUID()}/0`,
    attempt: 1,
    signal: abort.signal,
    heartbeat: () => undefined,
    secret: () => Promise.reject(new AdapterError('configuration', 'a folder of keys needs no secret')),
  };
}

try {
  process.stdout.write(`${JSON.stringify(await main(process.argv.slice(2)), null, 2)}\n`);
} catch (error) {
  process.stderr.write(`key-files: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
