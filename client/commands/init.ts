/** `backout init`: a `backout.yaml` to start from, and its schema for editors. Never overwrites. */
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { commandName, print } from '../output.ts';
import { EXIT, Problem } from '../problem.ts';
import { flagsOf, Settings } from '../settings.ts';

const SCHEMA = 'backout.schema.json';

const EXAMPLE = `# yaml-language-server: $schema=./${SCHEMA}
#
# What Backout can take back, and how. The worker reads this file; callers only send names.
# Check it with \`backout doctor\`. Secrets are references: env:NAME or file:PATH, never the value itself.

environments:
  production:
    components:
      # The name operators type: backout now web
      web:
        # storefront, service, shop-agent or control-plane
        type: storefront
        # The platform: releases (directories on this machine) or github-actions (a workflow that deploys)
        adapter: releases
        # Belong to the platform. releases: <root>/releases/<version>, and <root>/current points to the one in place.
        options: { root: ./srv/web, command: [./bin/serve], port: 8101 }
        # Machine time it may take; tightens the 300 s of the policy.
        targetSeconds: 120
        # Which version do users really get? Asked after every rollback; the platform's own answer is not believed.
        served: { url: "http://127.0.0.1:8101/version", json: version }
        # Answer 2xx when healthy.
        health: [{ url: "http://127.0.0.1:8101/healthz" }]
        # Programs that exit 0 when the component does its job. Run in the folder of this file.
        smoke: []
        # smoke: [{ command: [./smoke, "http://127.0.0.1:8101"], timeoutSeconds: 20 }]

      # api:
      #   type: service
      #   adapter: github-actions
      #   executor: github-actions
      #   options: { repository: acme/api, workflow: rollback.yml, ref: main, token: "env:GITHUB_TOKEN" }
      #   served: { url: "https://api.example.com/version", header: x-version }

    # When an incident (l1Rollback) is rolled back: what has to pass, and who holds the freeze beside Backout. docs/incidents.md has everything.
    # gates:
    #   ci-pr: { command: [npm, run, "ci:pr"], cwd: ../product, timeoutSeconds: 900 }
    #   emission: { command: [./emission-check], covers: evidence }
    # freeze: { owners: [incident-commander, api-lead, infrastructure-lead], items: [rollback, incident] }
    # review: { repository: ../product }

# Who may answer. Without people, anyone is operator, and says so himself.
# people:
#   ana: { roles: [operator, incident-commander] }
#   ben: { roles: [operator, on-call-lead, api-lead], deputyFor: [incident-commander] }

# Who is told when a rollback starts, stops, is late or ends.
channels: { incident: [{ file: ./incidents.log }] }
# channels: { incident: [{ webhook: "env:INCIDENT_WEBHOOK" }], stakeholders: [{ slack: "env:SLACK_WEBHOOK" }], status: [{ file: ./status.log }] }

# When a person is awaited: reminder, then the next role hears of it. Time passing never answers for anyone.
# confirmations: { remindAfterSeconds: 300, handOverAfterSeconds: 1800, handOverTo: on-call-lead, fourEyes: false }

# Only where they are not in the environment. Flags and TEMPORAL_ADDRESS, DATABASE_URL come first.
# temporal: { address: "temporal.internal:7233", namespace: default }
# database: { url: "env:BACKOUT_DATABASE_URL" }
`;

export function register(program: Command): void {
  program
    .command('init')
    .description('write backout.yaml, with comments, and backout.schema.json for editors; never overwrites')
    .addHelpText('after', '\nExample:\n  $ backout init && backout doctor')
    .action((_: unknown, command: Command) => init(command));
}

async function init(command: Command): Promise<void> {
  const flags = flagsOf(command);
  const { configPath } = new Settings(flags);
  const files = [
    [configPath, () => EXAMPLE],
    [join(dirname(configPath), SCHEMA), schemaText],
  ] as const;
  const written: string[] = [];
  const kept: string[] = [];
  for (const [path, text] of files) ((await writeNew(path, await text())) ? written : kept).push(path);
  print(flags.json, { written, kept }, () =>
    [
      ...written.map((path) => `wrote ${path}`),
      ...kept.map((path) => `kept ${path}, which was there already`),
      '',
      ...(written.includes(configPath)
        ? [`Next: describe your components in it, then \`${commandName()} dev\`, and \`${commandName()} doctor\` beside it`]
        : [`Next: \`${commandName()} doctor\``]),
    ].join('\n'),
  );
}

async function writeNew(path: string, text: string): Promise<boolean> {
  try {
    await writeFile(path, text, { flag: 'wx' });
    return true;
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'EEXIST') return false;
    throw new Problem(
      EXIT.failed,
      'configuration',
      `${path} cannot be written: ${cause instanceof Error ? cause.message : String(cause)}`,
      'choose another folder, or another file with --config',
      {},
      cause,
    );
  }
}

async function schemaText(): Promise<string> {
  const [{ z }, { configSchema }] = await Promise.all([import('zod'), import('../../model/config.ts')]);
  // What a person writes, with the defaults still open.
  const schema = { title: 'backout.yaml', ...z.toJSONSchema(configSchema, { io: 'input' }) };
  return `${JSON.stringify(schema, null, 2)}\n`;
}
