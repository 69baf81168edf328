/** The main job on a real small service: a bad release is deployed, found out, and taken back. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { createInterface } from 'node:readline/promises';
import type { RollbackState } from '../../model/state.ts';
import { freePort } from '../local/ports.ts';
import { componentYaml, layRelease, laySmoke, shopYaml } from './shop.ts';
import { backout, chapter, follow, onStage, release, say, visit, type Stage } from './stage.ts';

const ID = 'deployRevert/production/shop';
const GOOD = 'v2.5.2';
const BAD = 'v2.5.3';

/** Exit code 0 only where the shop really serves the good release at the end. */
export async function demoRevert(folder: string): Promise<number> {
  chapter(
    'Backout: a bad release is taken back',
    `Real parts in ${relative(process.cwd(), folder)}: a Temporal server, a Postgres, a worker, and a small shop.`,
  );
  return onStage(folder, { shop: await layOut(folder) }, play);
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
  await release(stage, 'shop', GOOD, 'a7f3b29');
  chapter(`2. CI releases ${BAD}, and its verification fails`, 'The release looks healthy, but nobody can buy anything: the smoke test fails.');
  const verified = await release(stage, 'shop', BAD, 'c81d0e4');
  if (verified === 0) throw new Error(`${BAD} was expected to fail its verification`);
  say(`   a customer at the checkout gets: ${await visit(stage, 'shop', '/checkout')}`);
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
  const waiting = await follow(stage, ID, (state) => state.state !== 'planning' && state.state !== 'running');
  if (waiting.state === 'stopped') return unfinished(waiting);
  if (waiting.state === 'waiting') {
    chapter(
      '4. An operator confirms that the shop is back',
      'Machines have checked smoke, health and the served version; a person has the last word [002 section 8].',
    );
    say(`   a customer at the checkout gets: ${await visit(stage, 'shop', '/checkout')}`);
    if (!(await available())) {
      await backout(stage, ['decline', ID, '--step', 'availability', '--by', 'operator', '--reason', 'the operator says it is not available']);
      return unfinished(await follow(stage, ID, (state) => state.state === 'stopped'));
    }
    await backout(stage, ['confirm', ID, '--step', 'availability', '--by', 'operator', '--note', 'bought a pair of boots']);
  }
  const end = await follow(stage, ID, (state) => state.state === 'closed');
  chapter(
    '5. An auditor replays what happened',
    'The record is a hash chain in Postgres; the history is replayed offline and its values are compared with it.',
  );
  const audited = await backout(stage, ['audit', ID]);
  return conclude(stage, end, audited);
}

async function conclude(stage: Stage, end: RollbackState, audited: number): Promise<number> {
  const served = await visit(stage, 'shop', '/version');
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
