/** Input that cannot be used, and nothing there to use it on: message, exit code, one document. */
import { readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { backout, emptyFolder, LAUNCHER, NOWHERE, problemOf } from './cli.ts';

const COMMANDS = [
  'dev',
  'demo',
  'init',
  'doctor',
  'deployment',
  'freeze',
  'communicate',
  'now',
  'plan',
  'start',
  'list',
  'show',
  'watch',
  'waiting',
  'why',
  'confirm',
  'decline',
  'decide',
  'stop',
  'resume',
  'escalate',
  'assign',
  'report',
  'audit',
];
const SUB = ['deployment record', 'deployment verify', 'deployment list', 'freeze check', 'freeze list'];
const START = ['start', 'deployRevert', '--environment', 'production', '--component', 'web', '--to', 'v1', '--cause', 'smoke-failed', '--reason', 'r'];
const RECORD = [
  'deployment',
  'record',
  '--id',
  '0192f3a4-5b6c-7d8e-9f00-112233445566',
  '--environment',
  'production',
  '--component',
  'web',
  '--version',
  'v1',
  '--commit',
  'abc',
  '--branch',
  'main',
  '--status',
  'pending',
];
const without = (args: readonly string[], flag: string): string[] => args.toSpliced(args.indexOf(flag), 2);
const having = (args: readonly string[], flag: string, value: string): string[] => args.with(args.indexOf(flag) + 1, value);

test('the root help names every command, its options, and has an example', async () => {
  const { code, stdout, stderr } = await backout(['--help']);
  expect(code).toBe(0);
  expect(stderr).toBe('');
  for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${command} `, 'm'));
  expect(stdout).toMatch(/Exit codes: 0 .*\n/);
  expect(stdout).toMatch(/Example:\n  \$ backout /);
  expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(140);
});

test.each([...COMMANDS, ...SUB])('`backout %s --help` has an example, and the options of every command', async (command) => {
  const { code, stdout } = await backout([...command.split(' '), '--help']);
  expect(code).toBe(0);
  expect(stdout).toMatch(/Examples?:\n\s+\$ backout /);
  expect(stdout).toContain('--json');
});

test('help by word, the version, and nothing at all', async () => {
  expect((await backout(['help', 'show'])).stdout).toContain('backout show');
  expect(JSON.parse((await backout(['--version', '--json'])).stdout)).toMatchObject({ version: expect.stringMatching(/^\d+\.\d+/) as string });
  expect((await backout([])).stdout).toContain('Usage: backout COMMAND');
});

/** What is typed, exit code, type, message. */
const TABLE: readonly (readonly [args: readonly string[], code: number, type: string, message: RegExp])[] = [
  [['rollback'], 2, 'unknown-name', /no command "rollback"/],
  [['--frobnicate'], 2, 'usage', /no command in/],
  [['show'], 2, 'usage', /missing required argument 'id'/],
  [['show', 'web', '--colour'], 2, 'usage', /unknown option '--colour'/],
  [['show', 'web', 'api'], 2, 'usage', /too many arguments/],
  [['list', '--limit', 'many'], 2, 'usage', /--limit many/],
  [['start', 'l9Rollback', ...START.slice(2)], 2, 'unknown-name', /no kind "l9Rollback"/],
  [without(START, '--component'), 2, 'usage', /at least one --component/],
  [without(START, '--environment'), 2, 'usage', /--environment/],
  [without(START, '--cause'), 2, 'usage', /"cause" must be a text/],
  [without(START, '--reason'), 2, 'usage', /"reason" must be a text/],
  [having(START, '--cause', 'bad-mood'), 2, 'unknown-name', /"bad-mood" is no cause/],
  [having(START, '--component', 'Web!'), 2, 'usage', /"Web!"/],
  [having(START, '--reason', ' '), 2, 'usage', /"reason"/],
  [[...START, '--trigger', 'cron'], 2, 'usage', /--trigger/],
  [[...START, '--component', 'api'], 2, 'usage', /--to v1 names none of the components/],
  [[...START, '--detected-at', 'yesterday'], 2, 'usage', /"detectedAt" must be an ISO time/],
  [[...START, '--wait=soon'], 2, 'usage', /--wait soon is no time/],
  [[...START, '--wait', '--detach'], 2, 'usage', /exclude each other/],
  [['now', 'web'], 2, 'usage', /--reason is missing/],
  [['confirm', 'deployRevert/production/web', '--step', 'availability', '--data', '{'], 2, 'usage', /--data is not JSON/],
  [['confirm', 'deployRevert/production/web', '--step', ' '], 2, 'usage', /"step" must be a text/],
  [['decline', 'deployRevert/production/web', '--step', 'availability'], 2, 'usage', /--reason/],
  [
    ['decide', 'deployRevert/production/web', '--step', 'web.deploy', '--action', 'undo', '--reason', 'r'],
    2,
    'usage',
    /"action" must be one of retry, skip, done, close/,
  ],
  [['escalate', 'deployRevert/production/web', '--to', 'l9', '--reason', 'r'], 2, 'usage', /"to" must be one of/],
  [having(RECORD, '--id', 'build-42'), 2, 'usage', /no UUID/],
  [having(RECORD, '--status', 'success'), 2, 'usage', /only the checks set it/],
  [having(RECORD, '--status', 'rolled_back'), 2, 'usage', /verified rollback alone/],
  [having(RECORD, '--status', 'fine'), 2, 'usage', /not known/],
  [having(RECORD, '--component', 'Web'), 2, 'usage', /no name/],
  [without(RECORD, '--commit'), 2, 'usage', /--commit/],
  [['deployment', 'verify', 'build-42'], 2, 'usage', /no UUID/],
  [['now', 'web', '--print'], 2, 'configuration', /backout\.yaml/],
  [['list', '--database-url', 'mysql://ana:secret@x'], 2, 'configuration', /--database-url: .*not a URL such as postgres/],
  // Nobody is there.
  [['list'], 6, 'temporal-unreachable', /127\.0\.0\.1:1 .*cannot be reached/],
  [['show', 'deployRevert/production/web'], 6, 'temporal-unreachable', /cannot be reached/],
  [['show', 'web'], 6, 'temporal-unreachable', /cannot be reached/],
  [['why', 'web'], 6, 'temporal-unreachable', /cannot be reached/],
  [['watch', 'web'], 6, 'temporal-unreachable', /cannot be reached/],
  [['waiting'], 6, 'temporal-unreachable', /cannot be reached/],
  [['confirm', 'web', '--step', 'availability'], 6, 'temporal-unreachable', /cannot be reached/],
  [['stop', 'deployRevert/production/web', '--reason', 'r'], 6, 'temporal-unreachable', /cannot be reached/],
  [['resume', 'deployRevert/production/web', '--reason', 'r'], 6, 'temporal-unreachable', /cannot be reached/],
  [START, 6, 'temporal-unreachable', /cannot be reached/],
  [['plan', ...START.slice(1)], 6, 'temporal-unreachable', /cannot be reached/],
  [RECORD, 6, 'postgres-unreachable', /Postgres at 127\.0\.0\.1:1\/b/],
  [['deployment', 'list'], 6, 'postgres-unreachable', /Postgres at/],
];

test.each(TABLE)('backout %j → %i %s', async (args, code, type, message) => {
  const ran = await backout([...args, '--json'], { env: NOWHERE });
  expect(ran.code).toBe(code);
  const problem = problemOf(ran);
  expect(problem.type).toBe(type);
  expect(problem.message).toMatch(message);
  expect(ran.stdout + ran.stderr).not.toContain('secret');
});

test('without --json the same goes to stderr, in lines, and stdout stays empty', async () => {
  const { code, stdout, stderr } = await backout(['list'], { env: { TEMPORAL_ADDRESS: NOWHERE.TEMPORAL_ADDRESS } });
  expect(code).toBe(6);
  expect(stdout).toBe('');
  expect(stderr).toMatch(/^backout: Temporal at 127\.0\.0\.1:1 .*\n  \S/);
  expect(stderr).not.toContain('\u001B[');
});

test('who speaks: --by, then BACKOUT_BY, then USER, and it is said', async () => {
  expect(problemOf(await backout(['stop', 'a/b/c', '--reason', 'r', '--json'], { env: { ...NOWHERE, USER: '' } })).message).toBe('nobody is named');
  expect((await backout(['stop', 'a/b/c', '--reason', 'r'], { env: NOWHERE })).stderr).toContain('as ana ($USER)');
  expect((await backout(['stop', 'a/b/c', '--reason', 'r'], { env: { ...NOWHERE, BACKOUT_BY: 'ben' } })).stderr).toContain('as ben ($BACKOUT_BY)');
  expect((await backout(['stop', 'a/b/c', '--reason', 'r', '--by', 'eve'], { env: NOWHERE })).stderr).not.toContain('as eve');
});

test('where Temporal is: flags, then environment, then backout.yaml, then the default', async () => {
  const cwd = await emptyFolder();
  const from = async (args: readonly string[], env: NodeJS.ProcessEnv = {}) => problemOf(await backout(['list', '--json', ...args], { cwd, env })).message;
  await writeFile(join(cwd, 'backout.yaml'), 'environments: {}\ntemporal: { address: "127.0.0.1:3" }\n');
  expect(await from(['--address', '127.0.0.1:1'], { TEMPORAL_ADDRESS: '127.0.0.1:2' })).toContain('127.0.0.1:1 (from --address)');
  expect(await from([], { TEMPORAL_ADDRESS: '127.0.0.1:2' })).toContain('127.0.0.1:2 (from TEMPORAL_ADDRESS)');
  expect(await from([])).toMatch(/127\.0\.0\.1:3 \(from .*backout\.yaml\)/);
  await writeFile(join(cwd, 'temporal.toml'), '[profile.ci]\naddress = "127.0.0.1:4"\n');
  expect(await from([], { TEMPORAL_PROFILE: 'ci', TEMPORAL_CONFIG_FILE: join(cwd, 'temporal.toml') })).toContain('127.0.0.1:4 (from TEMPORAL_PROFILE)');
});

test('a mistake in backout.yaml: file, line, what was expected', async () => {
  const cwd = await emptyFolder();
  const file = join(cwd, 'backout.yaml');
  await writeFile(file, 'environments:\n  production:\n    components:\n      web:\n        type: shop\n        adapter: releases\n        colour: red\n');
  const problem = problemOf(await backout(['now', 'web', '--print', '--json'], { cwd, env: NOWHERE }));
  expect(problem.type).toBe('configuration');
  expect(problem.message).toContain(`${file}:5: environments.production.components.web.type: expected one of storefront`);
  expect(problem.message).toContain(`${file}:7: environments.production.components.web.colour: no such setting here`);
  expect(problem['mistakes']).toHaveLength(2);
  await writeFile(file, 'environments:\n  production: [\n');
  expect((await backout(['now', 'web', '--print'], { cwd })).code).toBe(2);
});

test('doctor with nothing there: one finding for each, exit 1', async () => {
  const { code, stdout } = await backout(['doctor', '--json'], { env: NOWHERE });
  expect(code).toBe(1);
  const { ok, findings } = JSON.parse(stdout) as { ok: boolean; findings: { check: string; verdict: string; remedy: string }[] };
  expect(ok).toBe(false);
  expect(findings.map((one) => [one.check, one.verdict])).toEqual([
    ['configuration', 'problem'],
    ['postgres', 'problem'],
    ['temporal', 'problem'],
  ]);
  for (const one of findings) expect(one.remedy).toMatch(/\S/);
});

test('init writes what doctor accepts, and never overwrites', async () => {
  const cwd = await emptyFolder();
  const first = await backout(['init', '--json'], { cwd });
  expect(first.code).toBe(0);
  expect(JSON.parse(first.stdout)).toEqual({ written: [join(cwd, 'backout.yaml'), join(cwd, 'backout.schema.json')], kept: [] });
  const text = await readFile(join(cwd, 'backout.yaml'), 'utf8');
  expect(text).toMatch(/^# yaml-language-server: \$schema=\.\/backout\.schema\.json\n/);
  const schema = JSON.parse(await readFile(join(cwd, 'backout.schema.json'), 'utf8')) as { properties: Record<string, unknown>; required: string[] };
  expect(Object.keys(schema.properties)).toContain('environments');
  expect(schema.required).toEqual(['environments']);
  const doctor = JSON.parse((await backout(['doctor', '--json'], { cwd, env: NOWHERE })).stdout) as { findings: { check: string; verdict: string }[] };
  expect(doctor.findings[0]).toMatchObject({ check: 'configuration', verdict: 'warning' });
  await writeFile(join(cwd, 'backout.yaml'), '# mine\nenvironments: {}\n');
  expect(JSON.parse((await backout(['init', '--json'], { cwd })).stdout)).toMatchObject({ written: [] });
  expect(await readFile(join(cwd, 'backout.yaml'), 'utf8')).toContain('# mine');
});

test('now --print gives the commands, filled in, with everything down', async () => {
  const cwd = await emptyFolder();
  await backout(['init'], { cwd });
  const ran = await backout(['now', 'web', '--print', '--to', 'v1.2.3', '--json'], { cwd, env: NOWHERE });
  expect(ran.code).toBe(0);
  const { commands, checks, version } = JSON.parse(ran.stdout) as { commands: string[]; checks: string[]; version: string };
  expect(version).toBe('v1.2.3');
  expect(commands.join('\n')).toContain(`--root ${join(cwd, 'srv/web')}`);
  expect(commands.join('\n')).toContain('--version v1.2.3');
  expect(checks).toContain('curl --fail --silent --show-error http://127.0.0.1:8101/healthz');
  const open = await backout(['now', 'web', '--print'], { cwd, env: NOWHERE });
  expect(open.code).toBe(0);
  expect(open.stdout).toContain('--version VERSION');
  expect(open.stderr).toContain('replace VERSION');
  expect(problemOf(await backout(['now', 'api', '--print', '--json'], { cwd, env: NOWHERE })).message).toMatch(/no component "api"/);
});

test('runs from another folder, through a link', async () => {
  const cwd = await emptyFolder();
  await symlink(LAUNCHER, join(cwd, 'backout'));
  const { execFileSync } = await import('node:child_process');
  expect(execFileSync(process.execPath, [join(cwd, 'backout'), '--version'], { cwd, encoding: 'utf8' })).toMatch(/^\d+\.\d+/);
});
