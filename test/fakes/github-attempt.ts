/** One attempt of the adapter in a process of its own, to be killed: argv is `{options, call}` as JSON; the token is the variable GITHUB_TOKEN. */
import { githubActions } from '../../activities/adapters/github-actions.ts';

const { options, call }: { options: unknown; call: { environment: string; component: string; to: string; operationId: string; attempt: number } } = JSON.parse(
  process.argv[2] ?? '{}',
);
const receipt = await githubActions.apply({
  ...call,
  options: githubActions.options.parse(options),
  folder: '/',
  healthPaths: [],
  signal: new AbortController().signal,
  heartbeat: () => {},
  secret: () => Promise.resolve(process.env['GITHUB_TOKEN'] ?? ''),
  served: () => Promise.resolve(null),
});
process.stdout.write(`${JSON.stringify(receipt)}\n`);
