/** An L1 over four components from the command line alone, as its people would type it; and the documents it leaves [001 Post-Rollback Deliverables]. */
import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { RollbackState } from '../../model/state.ts';
import { badReleases, COMPONENTS, ID, incidentWorld, lines, repository } from '../support/incident.ts';
import type { Ran, World } from '../support/world.ts';

const CANARY = 'canary-that-must-never-be-shown';
const API = ['config: [{ source: env-file, options: { path: ./api.env, plain: [RATE_LIMIT] } }]', 'facts: { migrations: { command: [echo, "0042_orders"] } }'];
let world: World;

beforeAll(async () => {
  world = await incidentWorld({
    component: { api: API, web: ['after: [api]'], admin: ['after: [api]'] },
    environment: [
      '    gates:',
      '      ci-pr: { command: [./ci-pr] }',
      '      emission: { command: ["true"], covers: evidence }',
      '    review: { repository: ./product, remote: origin }',
    ],
  });
  await repository(world);
  await writeFile(join(world.folder, 'api.env'), `RATE_LIMIT=100\nAPI_KEY=${CANARY}\n`);
  await badReleases(world, COMPONENTS.slice(1));
  await world.worker();
  await world.deploy('api', 'v1.0.0');
  const verified = await world.cli(['deployment', 'verify', await world.recorded('api', 'v1.0.0', false)]);
  if (verified.code !== 0) throw new Error(verified.stderr);
  await world.release('api', 'v1.1.0', false);
  await writeFile(join(world.folder, 'api.env'), `RATE_LIMIT=1\nAPI_KEY=${CANARY}\n`);
}, 120_000);
afterAll(() => world.close());

const seen: Ran[] = [];
const cli = async (...args: string[]): Promise<Ran> => {
  const ran = await world.cli(args);
  seen.push(ran);
  return ran;
};
const shown = async (): Promise<RollbackState> => JSON.parse((await cli('show', 'INC-42', '--json')).stdout) as RollbackState; // Printed by our own command.
const until = async (step: string): Promise<RollbackState> => {
  for (;;) {
    const state = await shown();
    if (state.waiting.some((one) => one.step === step)) return state;
    if (state.state === 'stopped' || state.state === 'closed') throw new Error(`never waiting for ${step}: ${JSON.stringify(state, null, 1)}`);
  }
};
const stopped = async (): Promise<RollbackState> => {
  for (;;) {
    const state = await shown();
    if (state.state === 'stopped') return state;
    if (state.state === 'closed') throw new Error(`it closed: ${JSON.stringify(state, null, 1)}`);
  }
};
const check = (scope: string, ...more: string[]): Promise<Ran> => cli('freeze', 'check', '--environment', 'production', '--scope', scope, ...more);

it('is proposed, declared, frozen, rolled back, proven, unfrozen and told', async () => {
  const what = [
    'start',
    'l1Rollback',
    '--environment',
    'production',
    '--component',
    ...COMPONENTS,
    ...COMPONENTS.flatMap((name) => ['--to', `${name}=v1.0.0`]),
  ];
  const why = ['--incident', 'INC-42', '--cause', 'ci-failed-in-critical-area', '--reason', 'ci:pr fails', '--trigger', 'verification', '--by', 'ci'];
  expect(await cli('plan', ...what.slice(1), ...why)).toMatchObject({ code: 0 });
  expect(await cli(...what, ...why)).toMatchObject({ code: 0 });
  expect(await check('merges')).toMatchObject({ code: 0 });
  const wrong = await cli('confirm', 'INC-42', '--step', 'declaration', '--by', 'abe');
  expect(wrong).toMatchObject({ code: 3 });
  const bare = await cli('confirm', 'INC-42', '--step', 'declaration', '--by', 'carol');
  expect(bare.stderr + bare.stdout).toContain('criticalArea');
  const facts = '{"criticalArea":"checkout","missedWindow":"02:00-02:30"}';
  expect(await cli('confirm', 'INC-42', '--step', 'declaration', '--by', 'carol', '--data', facts)).toMatchObject({ code: 0 });

  const { planHash, targets } = await until('target');
  expect(targets.find((one) => one.component === 'api')?.comparison).toContainEqual({ what: 'config RATE_LIMIT', now: '1', then: '100' });
  expect(await check('merges')).toMatchObject({ code: 3 });
  expect(await check('deployments', '--by', 'abe')).toMatchObject({ code: 0 });
  expect(await check('claims', '--item', 'incident')).toMatchObject({ code: 0 });
  expect(await check('promotions', '--by', 'carol')).toMatchObject({ code: 3 });
  expect(await cli('waiting', '--role', 'incident-commander')).toMatchObject({ code: 0 });
  expect(await cli('confirm', 'INC-42', '--step', 'target', '--by', 'carol', '--plan', `sha256:${'0'.repeat(64)}`)).toMatchObject({ code: 3 });
  expect(await cli('confirm', 'INC-42', '--step', 'target', '--by', 'carol', '--plan', planHash ?? '')).toMatchObject({ code: 0 });

  await until('ownership');
  expect((await cli('communicate', 'INC-42', '--template', 'update')).stdout).toContain('Actions completed:');
  expect(await cli('confirm', 'INC-42', '--step', 'communication.update', '--by', 'cleo', '--note', 'all back')).toMatchObject({ code: 0 });
  const row = (area: string, by: string) =>
    cli('confirm', 'INC-42', '--step', `cleanup.${area}`, '--choice', 'not-applicable', '--note', 'untouched', '--by', by);
  expect((await Promise.all([row('data', 'dora'), row('evidence', 'dora'), row('credentials', 'sam')])).map((one) => one.code)).toEqual([0, 0, 0]);
  const owners = '{"nextCycleOwner":"abe","reviewOwner":"carol"}';
  expect(await cli('confirm', 'INC-42', '--step', 'ownership', '--by', 'carol', '--data', owners)).toMatchObject({ code: 0 });
  await until('unfreeze');
  // Somebody changes the configuration once more, after it was seen to be stable: nothing is lifted, and nobody is told that it is.
  await writeFile(join(world.folder, 'api.env'), `RATE_LIMIT=7\nAPI_KEY=${CANARY}\n`);
  expect(await cli('confirm', 'INC-42', '--step', 'unfreeze', '--by', 'carol')).toMatchObject({ code: 0 });
  const drifted = await stopped();
  expect(drifted.stopped).toMatch(/^api\.config failed: api was put back to v1\.0\.0, and now its configuration is not as it was recorded: config RATE_LIMIT$/);
  expect(await check('merges')).toMatchObject({ code: 3 });
  expect((await lines(world, 'stakeholders.log')).map((one) => one['template'])).toEqual(['declared', 'update']);
  expect(await cli('decide', 'INC-42', '--step', 'api.config', '--action', 'retry', '--reason', 'set back again', '--by', 'carol')).toMatchObject({ code: 0 });
  await until('unfreeze');
  expect((await cli('show', 'INC-42')).stdout).toContain('critical checks pass or accepted risk is signed off');
  expect(await cli('confirm', 'INC-42', '--step', 'unfreeze', '--by', 'carol')).toMatchObject({ code: 0 });
  expect(await cli('watch', ID)).toMatchObject({ code: 0 });
  await expect(shown()).resolves.toMatchObject({ outcome: 'rolled-back', remains: [] });
  expect(await check('merges')).toMatchObject({ code: 0 });
  await expect(readFile(join(world.folder, 'api.env'), 'utf8')).resolves.toBe(`RATE_LIMIT=100\nAPI_KEY=${CANARY}\n`);
  for (const name of COMPONENTS) await expect(world.serves(name)).resolves.toBe('v1.0.0');
}, 120_000);

it('leaves a report, follow-ups, a commit for review, and a clean audit', async () => {
  const html = join(world.folder, 'INC-42.html');
  expect(await cli('report', ID, '--format', 'html', '--out', html)).toMatchObject({ code: 0 });
  const page = await readFile(html, 'utf8');
  seen.push({ code: 0, stdout: page, stderr: '' });
  for (const words of ['INC-42', 'carol', 'ci:pr fails', 'v1.0.0', 'checkout', '02:00-02:30']) expect(page).toContain(words);
  const followUps = JSON.parse((await cli('report', ID, '--follow-ups', '--format', 'json')).stdout) as {
    followUps: { action: string; owner: string | null }[];
  }; // Printed by our own command.
  expect(followUps.followUps.length).toBeGreaterThan(0);
  expect((await cli('report', ID)).stdout).toContain('carol');
  const log = execFileSync('git', ['-C', join(world.folder, 'remote.git'), 'show', '--stat', 'rollback/INC-42'], { encoding: 'utf8' });
  expect(log).toContain('docs/review/INC-42-');
  const notes = (await lines(world, 'incidents.log')).filter((one) => one['notice'] === 'verification');
  // Before the drift, and after it.
  expect(notes).toHaveLength(2);
  expect(notes[0]?.['text']).toContain('gate.ci-pr');
  expect((await lines(world, 'stakeholders.log')).map((one) => one['template'])).toEqual(['declared', 'update', 'recovery']);
  const audited = await cli('audit', ID);
  expect(audited, audited.stdout).toMatchObject({ code: 0 });
}, 60_000);

it('shows no secret, anywhere', async () => {
  const { rollbackId } = await shown();
  const record = (await world.store.entriesOf(rollbackId)).map((one) => one.body).join('\n');
  const history = JSON.stringify(await world.client.workflow.getHandle(ID).fetchHistory(), (_, value: unknown) =>
    value instanceof Uint8Array ? Buffer.from(value).toString('utf8') : typeof value === 'bigint' ? String(value) : value,
  );
  const logs = await Promise.all(
    ['stakeholders.log', 'internal.log', 'status.log', 'incidents.log', 'worker.log'].map((file) => readFile(join(world.folder, file), 'utf8').catch(() => '')),
  );
  const all = [record, history, ...logs, ...seen.flatMap((one) => [one.stdout, one.stderr])].join('\n');
  expect(all).toContain('RATE_LIMIT');
  expect(all).not.toContain(CANARY);
});
