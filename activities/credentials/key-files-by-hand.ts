/**
 * What `manual` of `key-files` gives: the same, with everything else down. No secret is printed: `issue` says where it is kept.
 *   node activities/credentials/key-files-by-hand.ts list|issue|revoke ID|adopt|install ID --credential NAME --options JSON [--scope S]… [--tenant T]… [--last]
 * `adopt` reads a secret from its input and says which generation it is. `install` puts the kept secret of a generation where what runs reads it, with
 * `--holder NAME --held JSON`, as `held` of backout.yaml has them, and `--environment NAME` for its reload.
 */
import { randomUUID } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { AdapterError } from '../adapters/adapter.ts';
import type { CredentialCall, CredentialHolder } from './authority.ts';
import * as holders from './holders.ts';
import { keyFiles, type KeyFilesOptions } from './key-files.ts';

const USAGE =
  'usage: key-files-by-hand.ts list|issue|revoke ID|adopt|install ID --credential NAME --options JSON [--scope SCOPE]… [--tenant TENANT]… [--last] [--holder NAME --held JSON --environment NAME]';

async function main(args: string[]): Promise<unknown> {
  const [one, many] = [{ type: 'string' }, { type: 'string', multiple: true }] as const;
  const where = { environment: one, holder: one, held: one } as const;
  const options = { credential: one, options: one, scope: many, tenant: many, last: { type: 'boolean' }, ...where } as const;
  const { values, positionals } = parseArgs({ args, allowPositionals: true, options });
  const [word, id = '', ...more] = positionals;
  if (values.credential === undefined || values.options === undefined || more.length > 0) throw new Error(USAGE);
  const call = callOf(values.environment ?? 'by-hand', values.credential, keyFiles.options.parse(JSON.parse(values.options)));
  if (word === 'list') return keyFiles.generations(call);
  if (word === 'issue') return keyFiles.issue(call, { scopes: values.scope ?? [], tenants: values.tenant ?? null });
  if (word === 'revoke' && id !== '') return keyFiles.revoke(call, id, values.last ?? false);
  if (word === 'adopt') return { generation: await keyFiles.adopt(call, (await text(process.stdin)).trim()) };
  if (word === 'install' && id !== '' && values.held !== undefined) return install(call, id, values.holder ?? '', values.held);
  throw new Error(USAGE);
}

async function install(call: CredentialCall<KeyFilesOptions>, id: string, name: string, held: string): Promise<unknown> {
  const holder = Object.values<CredentialHolder>(holders as unknown as Record<string, CredentialHolder>).find((one) => one.name === name); // Each has options of its own, which it checks itself.
  if (!holder)
    throw new Error(
      `there is no holder ${JSON.stringify(name)}; there is ${Object.values(holders)
        .map((one) => one.name)
        .join(', ')}`,
    );
  return holder.write({ ...call, options: holder.options.parse(JSON.parse(held)) }, await keyFiles.reveal(call, id));
}

function callOf(environment: string, credential: string, options: KeyFilesOptions): CredentialCall<KeyFilesOptions> {
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      abort.abort();
    });
  return {
    environment,
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
