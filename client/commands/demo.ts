/** `backout demo`: the main job on a real small service, told step by step, with the very commands a user would type. */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { fileURLToPath } from 'node:url';
import { styleText } from 'node:util';
import type { Command } from 'commander';
import type { RollbackState } from '../../model/state.ts';
import { componentYaml, layRelease, laySmoke, shopYaml, stopShop } from '../demo/shop.ts';
import { keepWorker } from '../local/kept-worker.ts';
import { freePort } from '../local/ports.ts';
import { startServices, type LocalServices } from '../local/services.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');
const ID = 'deployRevert/production/shop';
const GOOD = 'v2.5.2';
const BAD = 'v2.5.3';

const bold = (text: string): string => styleText('bold', text, { stream: process.stdout });
const dim = (text: string): string => styleText('dim', text, { stream: process.stdout });
const say = (line = ''): void => {
  process.stdout.write(`${line}\n`);
};
const chapter = (title: string, why: string): void => {
  say(`\n${bold(title)}\n${dim(why)}`);
};

export function register(program: Command): void {
  program
    .command('demo')
    .description('the main job on a real small service: a bad release is deployed, found out, and taken back')
    .addHelpText('after', '\nExample:\n  $ backout demo')
    .action(async () => {
      process.exitCode = await demo(resolve('.backout/demo'));
    });
}

interface Stage {
  readonly folder: string;
  readonly port: number;
  readonly services: LocalServices;
  readonly env: NodeJS.ProcessEnv;
  /** Steps told already. */
  readonly told: Set<string>;
}

/** Exit code 0 only where the shop really serves the good release at the end. */
export async function demo(folder: string): Promise<number> {
  chapter(
    'Backout: a bad release is taken back',
    `Real parts in ${relative(process.cwd(), folder)}: a Temporal server, a Postgres, a worker, and a small shop.`,
  );
  const port = await layOut(folder);
  const stopped = new AbortController();
  const onSignal = (): void => {
    stopped.abort(new Error('stopped by you'));
  };
  process.once('SIGINT', onSignal);
  process.once('SIGTERM', onSignal);
  const services = await startServices({
    folder: join(folder, '.backout'),
    progress: say,
    temporalPort: 0,
    uiPort: 0,
    postgresPort: 0,
    headless: true,
    signal: stopped.signal,
  });
  const config = join(folder, 'backout.yaml');
  const worker = keepWorker(services, config, stopped.signal);
  try {
    await Promise.race([
      worker.ready,
      new Promise<never>((_, reject) => {
        stopped.signal.addEventListener(
          'abort',
          () => {
            reject(new Error('stopped by you'));
          },
          { once: true },
        );
      }),
    ]);
    const env = {
      ...process.env,
      TEMPORAL_ADDRESS: services.temporalAddress,
      TEMPORAL_NAMESPACE: services.namespace,
      DATABASE_URL: services.databaseUrl,
      BACKOUT_CONFIG: config,
    };
    return await play({ folder, port, services, env, told: new Set() });
  } finally {
    stopped.abort();
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
    await worker.stop();
    await stopShop(folder);
    await services.stop();
  }
}

async function layOut(folder: string): Promise<number> {
  await mkdir(folder, { recursive: true });
  await layRelease(folder, 'shop', { version: GOOD });
  await layRelease(folder, 'shop', { version: BAD, broken: true });
  await laySmoke(folder);
  // The port of an earlier demo is kept: `backout dev` may have the same file open.
  const earlier = /127\.0\.0\.1:(\d+)/.exec(await readFile(join(folder, 'backout.yaml'), 'utf8').catch(() => ''))?.[1];
  const port = earlier === undefined ? await freePort() : Number(earlier);
  await writeFile(join(folder, 'backout.yaml'), shopYaml([componentYaml('shop', port)], ['channels: { incident: [{ file: ./incidents.log }] }']));
  return port;
}

async function play(stage: Stage): Promise<number> {
  chapter(
    `1. CI releases ${GOOD}, and proves it healthy`,
    'Only the checks of the configuration set "success": CI records the deployment, Backout verifies it.',
  );
  await release(stage, GOOD);
  chapter(`2. CI releases ${BAD}, and its verification fails`, 'The release looks healthy, but nobody can buy anything: the smoke test fails.');
  const verified = await release(stage, BAD);
  if (verified === 0) throw new Error(`${BAD} was expected to fail its verification`);
  say(`   a customer at the checkout gets: ${await visit(stage, '/checkout')}`);
  chapter('3. CI starts the rollback', 'One Temporal workflow carries it. The target is resolved to the last release known healthy, then named.');
  await backout(stage, [
    'start',
    'deployRevert',
    '--environment',
    'production',
    '--component',
    'shop',
    '--to',
    'shop=last-healthy',
    '--cause',
    'smoke-failed',
    '--reason',
    'the checkout answers 500',
    '--trigger',
    'verification',
    '--by',
    'ci',
  ]);
  const waiting = await follow(stage, (state) => state.state !== 'planning' && state.state !== 'running');
  if (waiting.state === 'stopped') return unfinished(waiting);
  if (waiting.state === 'waiting') {
    chapter(
      '4. An operator confirms that the shop is back',
      'Machines have checked smoke, health and the served version; a person has the last word [002 section 8].',
    );
    say(`   a customer at the checkout gets: ${await visit(stage, '/checkout')}`);
    if (!(await available())) {
      await backout(stage, ['decline', ID, '--step', 'availability', '--by', 'operator', '--reason', 'the operator says it is not available']);
      return unfinished(await follow(stage, (state) => state.state === 'stopped'));
    }
    await backout(stage, ['confirm', ID, '--step', 'availability', '--by', 'operator', '--note', 'bought a pair of boots']);
  }
  const end = await follow(stage, (state) => state.state === 'closed');
  chapter(
    '5. An auditor replays what happened',
    'The record is a hash chain in Postgres; the history is replayed offline and its values are compared with it.',
  );
  const audited = await backout(stage, ['audit', ID]);
  return conclude(stage, end, audited);
}

async function conclude(stage: Stage, end: RollbackState, audited: number): Promise<number> {
  const served = await visit(stage, '/version');
  const good = served.includes(`"${GOOD}"`) && end.outcome === 'rolled-back' && audited === 0;
  const config = relative(process.cwd(), join(stage.folder, 'backout.yaml'));
  chapter(
    good ? 'Done: the shop serves the good release again' : 'Not done',
    `The shop says ${served}; the rollback ended ${end.outcome ?? end.state} after ${end.clock.machineSeconds.toFixed(1)} s of machine time.`,
  );
  say(
    `\nSee this very history in the Temporal UI:\n  npx backout dev --config ${config}\n  http://127.0.0.1:8233/namespaces/default/workflows/${encodeURIComponent(ID)}/${end.runId}/history`,
  );
  say(`Read it as an incident report, while that runs:\n  npx backout report ${ID} --config ${config}`);
  return good ? 0 : 1;
}

function unfinished(state: RollbackState): number {
  say(`\nThe rollback is ${state.state}: ${state.stopped ?? ''}\nIt waits, for weeks if need be:\n  ${state.waiting.map((one) => one.answer).join('\n  ')}`);
  return 4;
}

/** What CI does: deploy with its own script, record, verify. Answers the exit code of the verification. */
async function release(stage: Stage, version: string): Promise<number> {
  const deploy = [
    'activities/adapters/releases.ts',
    'deploy',
    '--root',
    join(stage.folder, 'srv/shop'),
    '--port',
    String(stage.port),
    '--version',
    version,
    '--drain',
    '1',
    '--health',
    '/healthz',
    '--',
    './bin/serve',
  ];
  say(`   ${dim('$')} deploy shop ${version}`);
  const deployed = await run(process.execPath, [join(ROOT, deploy[0] ?? ''), ...deploy.slice(1)], stage.env, true);
  if (deployed.code !== 0) throw new Error(`the deployment of ${version} failed:\n${deployed.output}`);
  const id = randomUUID();
  await backout(stage, [
    'deployment',
    'record',
    '--id',
    id,
    '--environment',
    'production',
    '--component',
    'shop',
    '--version',
    version,
    '--commit',
    version === GOOD ? 'a7f3b29' : 'c81d0e4',
    '--branch',
    'main',
    '--status',
    'in_progress',
    '--by',
    'ci',
  ]);
  return backout(stage, ['deployment', 'verify', id]);
}

/** Shows the command and runs it, as the user would. */
async function backout(stage: Stage, args: readonly string[]): Promise<number> {
  say(`   ${dim('$')} backout ${args.map((word) => (/^[\w./:=@-]+$/.test(word) ? word : JSON.stringify(word))).join(' ')}`);
  const { code, output } = await run(process.execPath, [join(ROOT, 'client/backout.mjs'), ...args], stage.env, true);
  for (const line of output.trimEnd().split('\n')) say(`   ${dim('│')} ${line}`);
  return code;
}

/** Tells each step as it ends, until it looks as wanted. */
async function follow(stage: Stage, wanted: (state: RollbackState) => boolean): Promise<RollbackState> {
  for (;;) {
    const { code, output } = await run(process.execPath, [join(ROOT, 'client/backout.mjs'), 'show', ID, '--json'], stage.env, false);
    const state = code === 6 ? null : parse(output);
    for (const step of state?.steps ?? []) {
      const line = `${step.state.padEnd(9)} ${step.title}`;
      if (step.state === 'pending' || step.state === 'running' || stage.told.has(line)) continue;
      stage.told.add(line);
      say(`   ${line}`);
    }
    if (state && wanted(state)) return state;
  }
}

function parse(output: string): RollbackState | null {
  try {
    const value = JSON.parse(output) as RollbackState | { error: unknown }; // Printed by our own command.
    return 'error' in value ? null : value;
  } catch {
    return null;
  }
}

/** Asked at a terminal; without one the demo answers for the operator, and says so. */
async function available(): Promise<boolean> {
  if (!process.stdin.isTTY) {
    say('   no terminal: the demo answers for the operator');
    return true;
  }
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return !/^n/i.test((await terminal.question('   Is the shop available again? [Y/n] ')).trim());
  } finally {
    terminal.close();
  }
}

async function visit(stage: Stage, path: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${stage.port}${path}`, { headers: { connection: 'close' }, signal: AbortSignal.timeout(5_000) });
  return `${response.status} ${(await response.text()).trim()}`;
}

function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv, both: boolean): Promise<{ code: number; output: string }> {
  return new Promise((done, reject) => {
    let output = '';
    const child = spawn(command, [...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    const keep = (chunk: Buffer): void => {
      output += chunk.toString('utf8');
    };
    child.stdout.on('data', keep);
    if (both) child.stderr.on('data', keep);
    child.once('error', reject);
    child.once('close', (code) => {
      done({ code: code ?? 1, output });
    });
  });
}
