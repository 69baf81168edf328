/** The gates of [001 step 4]: each looks at every component, or runs one configured command. They read; they change nothing. */
import { join } from 'node:path';
import { failure, type FailureType } from '../../model/failure.ts';
import type { Receipt, StepState } from '../../model/state.ts';
import { findComponent } from '../components.ts';
import { failed, type Found } from '../found.ts';
import { runGate, type GateVerdict } from '../gate.ts';
import { hiding } from '../secrets.ts';
import { checkParity } from '../parity.ts';
import { checkOf } from '../check-of.ts';
import type { Checked } from '../checks.ts';
import { documentOf } from './keep.ts';
import type { Scene } from './scene.ts';

const SETTLE_SECONDS = 15;

/** Health, smoke and served version, of all components at once. */
export async function overAll(scene: Scene): Promise<Found> {
  const { work, attempt } = scene;
  return merged(scene, (component, to) => checkOf(work.step.operation, component, work.environment, to, attempt.signal));
}

/** Parity of critical endpoints with the target's own document [001 step 3a]. */
export async function parity(scene: Scene): Promise<Found> {
  return merged(scene, async (component, to) => {
    const { openapi, settleSeconds } = component.config;
    if (!openapi) return null;
    const recorded = await documentOf(scene.deps, scene.work.environment, component.name, to);
    return checkParity(openapi, {
      folder: component.folder,
      version: to,
      recorded,
      settleSeconds: settleSeconds ?? SETTLE_SECONDS,
      signal: scene.attempt.signal,
    });
  });
}

type Component = ReturnType<typeof findComponent>;

async function merged({ work, incident, loaded, deps }: Scene, check: (component: Component, to: string) => Promise<Checked | null>): Promise<Found> {
  const results = await Promise.all(
    (incident.targets ?? []).map(async ({ component, to }) => ({
      component,
      checked: await check(findComponent(loaded, deps.adapters, work.environment, component), to),
    })),
  );
  const made = results.flatMap(({ component, checked }) => (checked ? [{ component, checked }] : []));
  const bad = made.filter(({ checked }) => checked.failure !== null);
  // Parity says which operation of which component; of the others a word is enough.
  const isDetailed = work.step.operation === 'parity';
  const word = ({ state, receipt }: Checked): unknown => (isDetailed ? receipt.after : state === 'done' ? 'passed' : state);
  const receipt: Receipt = { after: Object.fromEntries(made.map(({ component, checked }) => [component, word(checked)])) };
  const warnings = made.flatMap(({ component, checked }) => (checked.warning === undefined ? [] : [`${component}: ${checked.warning}`]));
  const [first] = bad;
  if (first?.checked.failure) {
    const message = bad.map(({ component, checked }) => `${component}: ${checked.failure?.message ?? ''}`).join('; ');
    return {
      state: 'failed',
      receipt,
      failure: { ...first.checked.failure, message },
      remains: [],
      warnings,
    };
  }
  const state: StepState = made.some(({ checked }) => checked.state === 'done') ? 'done' : 'skipped';
  return { state, receipt, failure: null, remains: [], warnings };
}

const FAILURE_OF: Readonly<Record<Exclude<GateVerdict, 'passed'>, FailureType>> = {
  failed: 'GateFailed',
  inconclusive: 'GateInconclusive',
  error: 'GateError',
};

/** A configured command such as `npm run ci:pr`. Its output is kept as evidence, and only its hash goes into the history. */
export async function commandGate({ work, incident, loaded, environment, attempt }: Scene): Promise<Found> {
  const name = incident.subject ?? '';
  const gate = Object.hasOwn(environment.gates ?? {}, name) ? environment.gates?.[name] : undefined;
  if (!gate) return failed('Configuration', `the gate ${name} is not in backout.yaml any more`);
  const keepIn = join(loaded.folder, '.backout', 'evidence', work.rollbackId);
  const place = { folder: loaded.folder, environment: work.environment, keepIn, name };
  const result = await runGate(gate, place, attempt.signal, attempt.heartbeat).catch((error: unknown) => {
    if (attempt.signal.aborted) throw error;
    // A disk that is full will be full again: a person has to know.
    return error instanceof Error ? error : new Error(String(error));
  });
  if (result instanceof Error) return failed('GateError', `the output of ${name} cannot be kept in ${keepIn}: ${result.message}`);
  const { verdict, exit, seconds, output } = result;
  const receipt: Receipt = {
    after: { verdict, exit, seconds },
    ids: { file: output.file, sha256: output.sha256, bytes: output.bytes },
  };
  if (verdict === 'passed') return { state: 'done', receipt, failure: null, remains: [] };
  const hide = await hiding(environment, loaded.folder);
  const said = hide(output.tail).trim().slice(-300) || 'no output';
  return { state: 'failed', receipt, failure: failure(FAILURE_OF[verdict], `${name} is ${verdict} (${exit}): ${said}`), remains: [] };
}
