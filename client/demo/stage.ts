/** What every demo is played on: real services in a folder, the commands a user would type, and a voice that tells it. */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { styleText } from 'node:util';
import type { RollbackState } from '../../model/state.ts';
import { keepWorker } from '../local/kept-worker.ts';
import { startServices, type LocalServices } from '../local/services.ts';
import { stopShop } from './shop.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');

export const bold = (text: string): string => styleText('bold', text, { stream: process.stdout });
export const dim = (text: string): string => styleText('dim', text, { stream: process.stdout });
export const say = (line = ''): void => {
  process.stdout.write(`${line}\n`);
};
export const chapter = (title: string, why: string): void => {
  say(`\n${bold(title)}\n${dim(why)}`);
};

export interface Stage {
  readonly folder: string;
  readonly ports: Readonly<Record<string, number>>;
  readonly services: LocalServices;
  readonly env: NodeJS.ProcessEnv;
  /** Steps told already. */
  readonly told: Set<string>;
}

/** Real services around a play; everything started here is ended here. */
export async function onStage(folder: string, ports: Readonly<Record<string, number>>, play: (stage: Stage) => Promise<number>): Promise<number> {
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
    return await play({ folder, ports, services, env, told: new Set() });
  } finally {
    stopped.abort();
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
    await worker.stop();
    await stopShop(folder);
    await services.stop();
  }
}

/** What CI does: deploy with its own script, record, verify. Answers the exit code of the verification. */
export async function release(stage: Stage, component: string, version: string, commit: string, more: readonly string[] = []): Promise<number> {
  const deploy = [
    'activities/adapters/releases.ts',
    'deploy',
    '--root',
    join(stage.folder, 'srv', component),
    '--port',
    String(stage.ports[component]),
    '--version',
    version,
    '--drain',
    '1',
    '--health',
    '/healthz',
    '--',
    './bin/serve',
  ];
  say(`   ${dim('$')} deploy ${component} ${version}`);
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
    component,
    '--version',
    version,
    '--commit',
    commit,
    '--branch',
    'main',
    '--status',
    'in_progress',
    '--by',
    'ci',
    ...more,
  ]);
  return backout(stage, ['deployment', 'verify', id]);
}

/** Shows the command and runs it, as the user would. */
export async function backout(stage: Stage, args: readonly string[]): Promise<number> {
  say(`   ${dim('$')} backout ${args.map((word) => (/^[\w./:=@-]+$/.test(word) ? word : JSON.stringify(word))).join(' ')}`);
  const { code, output } = await run(process.execPath, [join(ROOT, 'client/backout.mjs'), ...args], stage.env, true);
  for (const line of output.trimEnd().split('\n')) say(`   ${dim('│')} ${line}`);
  return code;
}

/** Tells each step as it ends, until it looks as wanted. */
export async function follow(stage: Stage, id: string, wanted: (state: RollbackState) => boolean): Promise<RollbackState> {
  for (;;) {
    const { code, output } = await run(process.execPath, [join(ROOT, 'client/backout.mjs'), 'show', id, '--json'], stage.env, false);
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

export async function visit(stage: Stage, component: string, path: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${stage.ports[component] ?? 0}${path}`, {
    headers: { connection: 'close' },
    signal: AbortSignal.timeout(5_000),
  });
  return `${response.status} ${(await response.text()).trim()}`;
}

export function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv, both: boolean): Promise<{ code: number; output: string }> {
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
