/** `backout communicate` on a real record, with Temporal away: what would be told, where, and how it gets sent. */
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { incidentSteps } from '../../model/incident.ts';
import type { Plan, Target } from '../../model/plan.ts';
import { openStore } from '../../store/postgres.ts';
import type { Store } from '../../store/store.ts';
import { testDatabase, type TestDatabase } from '../store/database.ts';
import { entry, opening } from '../store/given.ts';
import { backout, emptyFolder, NOWHERE, problemOf, type Ran } from './cli.ts';

const ID = 'l1Rollback/production/INC-42';
const TARGETS: readonly Target[] = [{ component: 'web', from: 'v2', to: 'v1', config: 'sha256:c' }];
const PLAN: Plan = {
  kind: 'l1Rollback',
  environment: 'production',
  tenant: null,
  incident: 'INC-42',
  targets: TARGETS,
  steps: incidentSteps({
    kind: 'l1Rollback',
    cause: 'reliability-regression',
    targets: TARGETS,
    waves: [['web']],
    configured: new Set(),
    parity: false,
    gates: [],
    carriers: [],
    review: false,
    fourEyes: () => false,
  }),
  targetSeconds: 900,
};
const SECRET = 'https://hooks.slack.com/services/T/B/canary';
const YAML = [
  'product: Portarium',
  'environments: { production: { components: { web: { type: storefront } } } }',
  'communications: { updateEveryMinutes: 45 }',
  `channels: { stakeholders: [{ file: ./told.log }, { slack: "env:STAKEHOLDERS" }], internal: [{ slack: "${SECRET}" }] }`,
  '',
].join('\n');

interface Previewed {
  readonly id: string;
  readonly template: string;
  readonly sent: boolean;
  readonly messages: readonly { readonly audience: string; readonly channels: readonly string[] | null; readonly subject: string; readonly body: string }[];
  readonly how: string;
  readonly command: string | null;
}

let database: TestDatabase;
let store: Store;
let rollbackId: string;
beforeAll(async () => {
  database = await testDatabase();
  store = openStore(database.url);
  await store.migrate();
  rollbackId = randomUUID();
  const input = { severity: 'P1', impact: 'orders cannot be placed', contact: '#incident-42' };
  const more = { kind: 'l1Rollback', workflowId: ID, plan: PLAN, cause: 'reliability-regression', by: 'carol' } as const;
  await store.open(opening({ rollbackId, ...more, entries: [entry(rollbackId, `${rollbackId}/opened`, { type: 'opened', input })] }));
  await store.open(opening({ workflowId: 'deployRevert/production/api', components: ['api'] }));
});
afterAll(async () => {
  await store.close();
  await database.drop();
});

/** With a `backout.yaml` at hand, or without. */
async function communicate(args: readonly string[], yaml: string | null = YAML): Promise<Ran> {
  const cwd = await emptyFolder();
  if (yaml !== null) await writeFile(join(cwd, 'backout.yaml'), yaml);
  return backout(['communicate', ...args], { cwd, env: { ...NOWHERE, DATABASE_URL: database.url, BACKOUT_BY: 'dan' } });
}
async function previewed(args: readonly string[], yaml: string | null = YAML): Promise<Previewed> {
  const ran = await communicate([...args, '--json'], yaml);
  expect(ran.code, ran.stdout + ran.stderr).toBe(0);
  return JSON.parse(ran.stdout) as Previewed; // Checked by its reader.
}

test('before anything is declared it shows the declaration, for every audience, with what the start said', async () => {
  const preview = await previewed([ID]);
  expect(preview).toMatchObject({ id: ID, rollbackId, template: 'declared', sent: false });
  const [stakeholders, internal, status] = preview.messages;
  expect(preview.messages.map((one) => one.audience)).toEqual(['stakeholders', 'internal', 'status']);
  expect(stakeholders?.subject).toMatch(/^Portarium delivery rollback declared - \d{4}-\d\d-\d\d \d\d:\d\d UTC$/);
  expect(stakeholders?.body).toContain('Freeze scope: feature merges, claims of implementation work and environment promotions paused; deployments restricted');
  expect(internal?.body).toContain('Severity: P1\nImpact: orders cannot be placed\n');
  expect(internal?.body).toContain('Point of Contact: #incident-42; ');
  expect(status?.body).toContain('Impact: orders cannot be placed.');
  expect(preview.how).toMatch(/^The rollback sends this by itself, at its step communication\.declared\./);
});

test('it names the channels without their addresses, and says where there is none', async () => {
  const { stdout, stderr, code } = await communicate(['INC-42']);
  expect(code).toBe(0);
  expect(stdout).toContain('stakeholders  to ./told.log, a Slack webhook (env:STAKEHOLDERS)');
  expect(stdout).toContain('internal  to a Slack webhook\n');
  expect(stdout).toContain('status  to nobody; name somebody under channels.status in backout.yaml');
  expect(stdout).toContain('Nothing was sent.');
  expect(stdout + stderr).not.toContain('canary');
});

test('an update has what its sender adds, and the command that sends it', async () => {
  const preview = await previewed([ID, '--template', 'update', '--note', "the vendor's told", '--risk', 'the queue is long', 'disk']);
  expect(preview.messages[0]?.subject).toMatch(/^Portarium rollback in progress - /);
  expect(preview.messages[0]?.body).toContain('Risks:\n- the queue is long\n- disk\n');
  expect(preview.messages[0]?.body).toContain("Note: the vendor's told.");
  expect(preview.command).toMatch(
    new RegExp(
      String.raw`^(npx )?backout confirm ${ID} --step communication\.update --by dan --note 'the vendor'\\''s told' --data '\{"risks":\["the queue is long","disk"\]\}'$`,
    ),
  );
});

test('without a backout.yaml it says that the worker knows the rest', async () => {
  const preview = await previewed([ID, '--template', 'recovery'], null);
  expect(preview.messages.map((one) => [one.channels, one.subject])).toEqual([
    [null, 'the product rollback complete - controlled unfreeze'],
    [null, 'INCIDENT: Rollback Complete - INC-42, the product production'],
    [null, 'Incident: Service Degradation - the product'],
  ]);
  const { stderr } = await communicate([ID], null);
  expect(stderr).toMatch(/there is no .*backout\.yaml here: the worker's own says the product's name and the channels/);
});

test('what cannot be previewed says why', async () => {
  const plain = await communicate(['deployRevert/production/api', '--json']);
  expect([plain.code, problemOf(plain).message]).toEqual([2, expect.stringContaining('is no incident rollback')]);
  const odd = await communicate([ID, '--template', 'farewell', '--json']);
  expect([odd.code, problemOf(odd).message]).toEqual([2, expect.stringContaining('declared, update, recovery')]);
  const mistaken = await communicate([ID, '--json'], `${YAML}channel: x\n`);
  expect([mistaken.code, problemOf(mistaken).message]).toEqual([2, expect.stringMatching(/backout\.yaml:5: channel: no such setting here/)]);
});

test('its help has an example, and the root help names it', async () => {
  expect((await backout(['communicate', '--help'])).stdout).toMatch(/Examples:\n {2}\$ backout communicate /);
  expect((await backout(['--help'])).stdout).toMatch(/^ {2}communicate +preview what stakeholders would be told$/m);
});
