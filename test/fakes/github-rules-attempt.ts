/** One attempt of the freeze carrier in a process of its own, to be killed: argv is `{action, options, call}` as JSON; the token is the variable GITHUB_TOKEN. */
import type { FreezeScope } from '../../model/freeze.ts';
import { github } from '../../activities/freezes/github.ts';

interface Job {
  readonly action: 'set' | 'lift';
  readonly options: unknown;
  readonly call: { environment: string; name: string; incident: string; operationId: string; scopes: readonly FreezeScope[]; before: unknown };
}

const { action, options, call }: Job = JSON.parse(process.argv[2] ?? '{}');
const receipt = await github[action]({
  ...call,
  options: github.options.parse(options),
  folder: '/',
  signal: new AbortController().signal,
  heartbeat: () => {},
  secret: () => Promise.resolve(process.env['GITHUB_TOKEN'] ?? ''),
});
process.stdout.write(`${JSON.stringify(receipt)}\n`);
