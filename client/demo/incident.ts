/** An incident over four components: proposed by CI, declared, frozen, rolled back, proven, unfrozen [001], with the commands people would type. */
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { RollbackState } from '../../model/state.ts';
import { freePort } from '../local/ports.ts';
import { componentYaml, layRelease, laySmoke, shopYaml } from './shop.ts';
import { backout, chapter, follow, onStage, release, run, say, visit, type Stage } from './stage.ts';

const ID = 'l1Rollback/production/INC-42';
const GOOD = 'v1.4.0';
const BAD = 'v1.5.0';
const COMPONENTS = ['api', 'worker', 'web', 'admin'] as const;

/** Exit code 0 only where every component serves the good release at the end, nothing is frozen, and the audit is clean. */
export async function demoIncident(folder: string): Promise<number> {
  chapter(
    'Backout: an incident is rolled back, level 1',
    `Real parts in ${relative(process.cwd(), folder)}: a Temporal server, a Postgres, a worker, four services, a git repository, and six people.`,
  );
  return onStage(folder, await layOut(folder), play);
}

const MORE: Readonly<Record<string, readonly string[]>> = {
  web: ['after: [api]'],
  admin: ['after: [api]'],
};

async function layOut(folder: string): Promise<Record<string, number>> {
  await mkdir(folder, { recursive: true });
  const ports: Record<string, number> = {};
  const earlier = [...(await readFile(join(folder, 'backout.yaml'), 'utf8').catch(() => '')).matchAll(/srv\/(\w+),.*port: (\d+)/g)];
  for (const name of COMPONENTS) {
    await layRelease(folder, name, { version: GOOD });
    await layRelease(folder, name, { version: BAD, broken: true });
    // The ports of an earlier demo are kept: `backout dev` may have the same file open.
    ports[name] = Number(earlier.find((one) => one[1] === name)?.[2] ?? (await freePort()));
  }
  await laySmoke(folder);
  await writeFile(join(folder, 'api.env'), 'RATE_LIMIT=100\nAPI_KEY=a-secret-that-is-never-shown\n');
  await program(join(folder, 'ci-pr'), '#!/bin/sh\necho "128 tests passed"\n');
  await program(join(folder, 'emission-check'), '#!/bin/sh\necho "3 events emitted, 3 found in the evidence stream"\n');
  await repository(join(folder, 'product'));
  const api = [
    `openapi: { url: "http://127.0.0.1:${ports['api'] ?? 0}/openapi.json", critical: [GET /checkout] }`,
    'config: [{ source: env-file, options: { path: ./api.env, plain: [RATE_LIMIT] } }]',
    'facts: { migrations: { command: [echo, "0042_orders"] } }',
  ];
  await writeFile(
    join(folder, 'backout.yaml'),
    shopYaml(
      COMPONENTS.map((name) => componentYaml(name, ports[name] ?? 0, name === 'api' ? api : MORE[name])),
      [
        '    gates:',
        '      ci-pr: { command: [./ci-pr], timeoutSeconds: 60 }',
        '      emission: { command: [./emission-check], covers: evidence }',
        '    review: { repository: ./product }',
        'product: Portarium',
        'people:',
        '  carol: { roles: [incident-commander] }',
        '  abe: { roles: [api-lead] }',
        '  ivy: { roles: [infrastructure-lead] }',
        '  dora: { roles: [data-evidence-lead] }',
        '  sam: { roles: [security-lead] }',
        '  cleo: { roles: [communications-owner] }',
        'channels:',
        '  incident: [{ file: ./incidents.log }]',
        '  stakeholders: [{ file: ./stakeholders.log }]',
        '  status: [{ file: ./status.log }]',
        'unfreeze: { stableForSeconds: 2 }',
        'watch: { minutes: 0 }',
      ],
    ),
  );
  return ports;
}

async function program(path: string, source: string): Promise<void> {
  await writeFile(path, source);
  await chmod(path, 0o755);
}

async function repository(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const git = (...args: string[]) => run('git', ['-C', folder, '-c', 'user.name=demo', '-c', 'user.email=demo@localhost', ...args], process.env, true);
  await git('init', '--quiet', '--initial-branch=main');
  await git('commit', '--quiet', '--allow-empty', '-m', 'The product');
}

async function play(stage: Stage): Promise<number> {
  chapter(
    `1. ${GOOD} runs everywhere, and is proven healthy`,
    'Verification also keeps what belongs to the version: configuration, migrations, the OpenAPI document.',
  );
  for (const name of COMPONENTS) await release(stage, name, GOOD, 'a7f3b29');
  chapter(`2. ${BAD} is released everywhere; the cycle fails`, 'Nobody can buy anything, and somebody has changed the rate limit by hand.');
  for (const name of COMPONENTS) await release(stage, name, BAD, 'c81d0e4');
  await writeFile(join(stage.folder, 'api.env'), 'RATE_LIMIT=1\nAPI_KEY=a-secret-that-is-never-shown\n');
  chapter('3. CI proposes an L1 rollback', 'A proposal touches nothing, not even the freeze.');
  const what = ['start', 'l1Rollback', '--environment', 'production', '--component', ...COMPONENTS, '--incident', 'INC-42'];
  const where = COMPONENTS.flatMap((name) => ['--to', `${name}=last-healthy`]);
  const why = ['--cause', 'ci-failed-in-critical-area', '--reason', 'npm run ci:pr fails at the checkout', '--trigger', 'verification', '--by', 'ci'];
  await backout(stage, [...what, ...where, ...why, '--severity', 'P1', '--impact', 'customers cannot buy', '--contact', '#inc-42']);
  await follow(stage, ID, waitsFor('declaration'));
  await backout(stage, ['freeze', 'check', '--environment', 'production', '--scope', 'merges']);
  chapter('4. The Incident Commander declares; everything is frozen', 'Merges, claims, promotions and deployments. Pipelines ask, and get exit code 3.');
  await backout(stage, ['confirm', ID, '--step', 'declaration', '--by', 'carol', '--data', '{"criticalArea":"checkout","missedWindow":"02:00-02:30"}']);
  const asked = await follow(stage, ID, waitsFor('target'));
  const frozen = await backout(stage, ['freeze', 'check', '--environment', 'production', '--scope', 'merges']);
  if (frozen !== 3) throw new Error('production was expected to be frozen');
  chapter(
    '5. The target is identified, now against then, and confirmed',
    'The confirmation is bound to the hash of this very plan; were reality to move, it would be void.',
  );
  await backout(stage, ['show', ID]);
  await backout(stage, ['confirm', ID, '--step', 'target', '--plan', asked.planHash ?? '', '--by', 'carol']);
  const rolledBack = await follow(stage, ID, (state) => waitsFor('ownership')(state) || state.state === 'stopped');
  if (rolledBack.state === 'stopped') return unfinished(rolledBack);
  chapter(
    '6. Everybody answers for his part',
    'The cleanup checklist cannot be skipped; what is outside of level 1 is signed as such. Stakeholders hear of it.',
  );
  await backout(stage, ['confirm', ID, '--step', 'communication.update', '--note', 'every component is back, the checks pass', '--by', 'cleo']);
  const row = (area: string, by: string, note: string) =>
    backout(stage, ['confirm', ID, '--step', `cleanup.${area}`, '--choice', 'not-applicable', '--note', note, '--by', by]);
  await row('data', 'dora', 'no migration since the target');
  await row('credentials', 'sam', 'no credential was exposed');
  const evidence = ['chain-verification=https://ci.example/verify/7', 'incident-links=https://wiki.example/INC-42'];
  await backout(stage, ['confirm', ID, '--step', 'cleanup.evidence', '--choice', 'done', '--by', 'dora', '--evidence', ...evidence]);
  await backout(stage, ['confirm', ID, '--step', 'ownership', '--data', '{"nextCycleOwner":"abe","reviewOwner":"carol"}', '--by', 'carol']);
  await follow(stage, ID, (state) => waitsFor('unfreeze')(state) || state.state === 'stopped');
  chapter('7. Controlled unfreeze', 'Four conditions, each shown as met or not and by what; only then is anything lifted.');
  await backout(stage, ['show', ID]);
  await backout(stage, ['confirm', ID, '--step', 'unfreeze', '--by', 'carol']);
  const end = await follow(stage, ID, (state) => state.state === 'closed' || state.state === 'stopped');
  if (end.state === 'stopped') return unfinished(end);
  return conclude(stage, end);
}

const waitsFor =
  (step: string) =>
  (state: RollbackState): boolean =>
    state.steps.some((one) => one.id === step && one.state === 'waiting');

async function conclude(stage: Stage, end: RollbackState): Promise<number> {
  chapter('8. What is left for those who were not there', 'A report, a list of follow-ups, a commit for review, and an audit that replays the history.');
  const report = join(stage.folder, 'INC-42.html');
  await backout(stage, ['report', ID, '--format', 'html', '--out', relative(process.cwd(), report)]);
  await backout(stage, ['report', ID, '--follow-ups']);
  await backout(stage, ['freeze', 'list', '--environment', 'production']);
  const audited = await backout(stage, ['audit', ID]);
  const versions = await Promise.all(COMPONENTS.map((name) => visit(stage, name, '/version')));
  const good = versions.every((one) => one.includes(`"${GOOD}"`)) && end.outcome === 'rolled-back' && audited === 0;
  chapter(
    good ? 'Done: every component serves the good release again, and nothing is frozen' : 'Not done',
    `It ended ${end.outcome ?? end.state} after ${end.clock.machineSeconds.toFixed(1)} s of machine time. The report: ${relative(process.cwd(), report)}`,
  );
  return good ? 0 : 1;
}

function unfinished(state: RollbackState): number {
  say(`\nThe rollback is ${state.state}: ${state.stopped ?? ''}\nIt waits, for weeks if need be:\n  ${state.waiting.map((one) => one.answer).join('\n  ')}`);
  return 4;
}
