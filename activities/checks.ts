/** The gates [002 section 8]: smoke tests, health, and the version that is really served. They read; they change nothing. */
import { fieldOf } from '../model/field.ts';
import { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { failure } from '../model/failure.ts';
import type { ComponentConfig } from '../model/config.ts';
import type { Failure, Receipt } from '../model/state.ts';
import { lastBytes, runCommand, textOf } from './command.ts';

export interface Checked {
  readonly state: 'done' | 'failed' | 'skipped';
  readonly receipt: Receipt;
  readonly failure: Failure | null;
  readonly warning?: string;
}

const SETTLE_SECONDS = 15;
const PROBE_SECONDS = 5;
const SMOKE_SECONDS = 60;
const BODY_MAX = 256 * 1024;
const OUTPUT_MAX = 2_000;

export interface Reading {
  readonly ok: boolean;
  readonly status: number | null;
  readonly body: string;
  readonly header: (name: string) => string | null;
  readonly problem: string | null;
}

/** One GET or HEAD; never throws for what the other side does. Redirects are not followed: what answers elsewhere proves nothing here. */
export async function read(url: string, seconds: number, signal: AbortSignal, { method = 'GET', bodyMax = BODY_MAX } = {}): Promise<Reading> {
  try {
    const response = await fetch(url, {
      method,
      signal: AbortSignal.any([signal, AbortSignal.timeout(seconds * 1000)]),
      redirect: 'manual',
      headers: { 'cache-control': 'no-cache', connection: 'close' },
    });
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of response.body ?? []) {
      size += chunk.length;
      if (size > bodyMax) return { ok: false, status: response.status, body: '', header: () => null, problem: `the answer is larger than ${bodyMax} bytes` };
      chunks.push(chunk);
    }
    return {
      ok: response.ok,
      status: response.status,
      body: Buffer.concat(chunks).toString('utf8'),
      header: (name) => response.headers.get(name),
      problem: response.ok ? null : `HTTP ${response.status}`,
    };
  } catch (error) {
    if (signal.aborted) throw error;
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : error instanceof Error ? error.message : String(error);
    return { ok: false, status: null, body: '', header: () => null, problem: cause || 'no answer' };
  }
}

type Served = NonNullable<ComponentConfig['served']>;

/** What the user's side says is running; null with a reason where it does not say. */
export async function readServed(served: Served, signal: AbortSignal): Promise<{ version: string | null; problem: string | null }> {
  const answer = await read(served.url, served.timeoutSeconds ?? PROBE_SECONDS, signal);
  if (!answer.ok) return { version: null, problem: answer.problem };
  if (served.header !== undefined) return { version: answer.header(served.header), problem: null };
  if (served.json === undefined) return { version: answer.body.trim(), problem: null };
  try {
    const value = served.json.split('.').reduce<unknown>((at, key) => fieldOf(at, key), JSON.parse(answer.body));
    return typeof value === 'string' || typeof value === 'number'
      ? { version: String(value), problem: null }
      : { version: null, problem: `the answer has no ${served.json}` };
  } catch {
    return { version: null, problem: 'the answer is not JSON' };
  }
}

/** Reads until it is as it should be, or the time to settle is over. */
export async function settle<T>(seconds: number, signal: AbortSignal, attempt: () => Promise<{ ok: boolean; value: T }>): Promise<{ ok: boolean; value: T }> {
  const until = Date.now() + seconds * 1000;
  for (;;) {
    const result = await attempt();
    if (result.ok || Date.now() >= until) return result;
    await delay(Math.min(250, Math.max(1, until - Date.now())), undefined, { signal });
  }
}

const nothing = (what: string, section: string): Checked => ({
  state: 'skipped',
  receipt: { detail: `no ${what} is configured: nothing was checked` },
  failure: null,
  warning: `no ${what} is configured in backout.yaml; ${section} asks for one`,
});

export async function checkHealth(config: ComponentConfig, signal: AbortSignal): Promise<Checked> {
  if (config.health.length === 0) return nothing('health check', '[002 section 8]');
  const settled = config.settleSeconds ?? SETTLE_SECONDS;
  const { ok, value } = await settle(settled, signal, async () => {
    const answers = await Promise.all(
      config.health.map(async (probe) => ({ url: probe.url, answer: await read(probe.url, probe.timeoutSeconds ?? PROBE_SECONDS, signal) })),
    );
    return { ok: answers.every((one) => one.answer.ok), value: answers.map(({ url, answer }) => ({ url, status: answer.status, problem: answer.problem })) };
  });
  const bad = value.filter((one) => one.problem !== null).map((one) => `${one.url}: ${one.problem ?? ''}`);
  return {
    state: ok ? 'done' : 'failed',
    receipt: { after: value },
    failure: ok ? null : failure('Unhealthy', `not healthy${settled >= 1 ? ` after ${settled} s` : ''}: ${bad.join('; ')}`),
  };
}

export async function checkServed(config: ComponentConfig, to: string, platform: string, signal: AbortSignal): Promise<Checked> {
  const { served } = config;
  if (!served) return nothing('served version', '[002 section 8]');
  const { ok, value } = await settle(config.settleSeconds ?? SETTLE_SECONDS, signal, async () => {
    const reading = await readServed(served, signal);
    return { ok: reading.version === to, value: reading };
  });
  const what = value.version ?? `nothing that can be read (${value.problem ?? 'no version in the answer'})`;
  return {
    state: ok ? 'done' : 'failed',
    receipt: { after: { url: served.url, version: value.version } },
    failure: ok ? null : failure('ServedVersionDiffers', `${served.url} serves ${what}, not ${to}, although ${platform} reports ${to} in place`),
  };
}

interface Place {
  readonly folder: string;
  readonly environment: string;
  readonly component: string;
  readonly version: string;
}

export async function checkSmoke(
  config: ComponentConfig,
  { place, hide }: { place: Place; hide: () => Promise<(text: string) => string> },
  signal: AbortSignal,
): Promise<Checked> {
  if (config.smoke.length === 0) return nothing('smoke test', '[002 section 8]');
  const results: { command: string; exit: string; seconds: number; output: string }[] = [];
  for (const smoke of config.smoke) {
    const result = await run(smoke.command, smoke.timeoutSeconds ?? SMOKE_SECONDS, place, signal);
    results.push(result);
    if (result.exit !== '0')
      return {
        state: 'failed',
        receipt: { after: results },
        failure: failure('SmokeFailed', `${result.command} ended with ${result.exit}: ${(await hide())(result.output).slice(-300) || 'no output'}`),
      };
  }
  return { state: 'done', receipt: { after: results.map(({ command, exit, seconds }) => ({ command, exit, seconds })) }, failure: null };
}

async function run(
  command: readonly string[],
  seconds: number,
  place: Place,
  signal: AbortSignal,
): Promise<{ command: string; exit: string; seconds: number; output: string }> {
  const last = lastBytes(OUTPUT_MAX);
  const output = new Writable({
    write: (chunk: Buffer, _, done) => {
      last.add(chunk);
      done();
    },
  });
  const env = { BACKOUT_ENVIRONMENT: place.environment, BACKOUT_COMPONENT: place.component, BACKOUT_VERSION: place.version };
  const ended = await runCommand({ command, cwd: place.folder, seconds, env, output }, signal);
  return { command: command.join(' '), exit: ended.exit, seconds: ended.seconds, output: textOf(last.read(), OUTPUT_MAX) };
}
