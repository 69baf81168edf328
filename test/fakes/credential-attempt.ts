/**
 * One attempt in a process of its own, which may be killed at any word that it says:
 *   node test/fakes/credential-attempt.ts '{"act":"issue","call":{…},"dieAt":"issuing","grant":{…}}'
 * prints the receipt. `act`: issue, revoke (with `id`), write (with `secret`).
 */
import { AdapterError } from '../../activities/adapters/adapter.ts';
import type { CredentialCall, Grant } from '../../activities/credentials/authority.ts';
import { envFile } from '../../activities/credentials/env-file.ts';
import { keyFiles } from '../../activities/credentials/key-files.ts';

interface Job {
  readonly act: 'issue' | 'revoke' | 'write';
  readonly call: Pick<CredentialCall<unknown>, 'environment' | 'credential' | 'options' | 'folder' | 'operationId'>;
  /** How the word begins at which it is killed. */
  readonly dieAt?: string;
  readonly grant?: Grant;
  readonly id?: string;
  readonly secret?: string;
}

const job: Job = JSON.parse(process.argv[2] ?? '{}');
const call = <Options>(options: Options): CredentialCall<Options> => ({
  ...job.call,
  options,
  attempt: 1,
  signal: new AbortController().signal,
  heartbeat: (word) => {
    if (job.dieAt !== undefined && word.startsWith(job.dieAt)) process.kill(process.pid, 'SIGKILL');
  },
  secret: () => Promise.reject(new AdapterError('configuration', 'none is needed')),
});
const act = {
  issue: () => keyFiles.issue(call(keyFiles.options.parse(job.call.options)), job.grant ?? { scopes: [], tenants: null }),
  revoke: () => keyFiles.revoke(call(keyFiles.options.parse(job.call.options)), job.id ?? '', false),
  write: () => envFile.write(call(envFile.options.parse(job.call.options)), job.secret ?? ''),
};
process.stdout.write(JSON.stringify(await act[job.act]()));
