/** What an adapter throws, and what becomes of it: a value a person can act on, or another attempt. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AdapterError, ADAPTER_ERROR_KINDS, type AdapterErrorKind } from '../../activities/adapters/adapter.ts';
import { runStep, type StepOutcome } from '../../activities/step.ts';
import { failure, type FailureType } from '../../model/failure.ts';
import { dependencies, deployment, firstAttempt, Paper, stepWork } from './given.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const work = stepWork();

/** One attempt whose call throws this; `sinceMs` after the first was scheduled. */
async function throwing(kind: AdapterErrorKind, where: 'inspect' | 'apply', sinceMs: number): Promise<StepOutcome> {
  const broken = new Paper();
  const adapter = { ...broken.adapter, [where]: () => Promise.reject(new AdapterError(kind, 'said the platform', { retryAfterMs: 90_000 })) };
  const deps = { ...dependencies(broken, { deployments: [deployment('v1.0.0')] }), adapters: { paper: adapter } };
  return runStep(work, deps, firstAttempt({ firstScheduledMs: Date.now() - sinceMs }));
}

const FINAL: Readonly<Partial<Record<AdapterErrorKind, FailureType>>> = {
  unauthorized: 'Unauthorized',
  'not-found': 'NotFound',
  conflict: 'Conflict',
  configuration: 'Configuration',
  'unexpected-response': 'UnexpectedResponse',
  failed: 'PlatformFailed',
  protected: 'Protected',
};
const TRANSIENT = ADAPTER_ERROR_KINDS.filter((kind) => !(kind in FINAL) && kind !== 'unknown');

describe('what a person must act on', () => {
  it.each(Object.entries(FINAL))('%s is a failed step of type %s, at once, with what to do', async (kind, type) => {
    const outcome = await throwing(kind as AdapterErrorKind, 'apply', 0); // The keys of the table.
    expect(outcome).toMatchObject({ state: 'failed', failure: failure(type, 'said the platform') });
    expect(outcome.failure?.retryable).toBe(false);
    expect(outcome.failure?.remedy).not.toBe('');
  });
});

describe('what passes by itself', () => {
  it.each(TRANSIENT)('%s is tried again, after what the platform asks for, and at most a minute', async (kind) => {
    await expect(throwing(kind, 'apply', 0)).rejects.toMatchObject({
      type: 'Transient',
      message: 'said the platform',
      nonRetryable: false,
      nextRetryDelay: 60_000,
    });
    await expect(throwing(kind, 'inspect', 29_000)).rejects.toMatchObject({ type: 'Transient' });
  });
  it.each(TRANSIENT)('%s for too long, once a call was made: unknown, since only the platform knows', async (kind) => {
    expect(await throwing(kind, 'apply', 31_000)).toMatchObject({ state: 'unknown', failure: { type: 'PlatformUnavailable', retryable: true } });
  });
  it.each(TRANSIENT)('%s for too long, before any call: failed, since nothing was done', async (kind) => {
    expect(await throwing(kind, 'inspect', 31_000)).toMatchObject({ state: 'failed', failure: { type: 'PlatformUnavailable' } });
  });
});

describe('what nobody knows the result of', () => {
  it('is never called again by itself: a person looks first', async () => {
    expect(await throwing('unknown', 'apply', 0)).toMatchObject({ state: 'unknown', failure: { type: 'ResultUnknown', retryable: true } });
  });
});

describe('what was not foreseen', () => {
  it('is thrown as it is', async () => {
    const broken = new Paper();
    broken.act = () => {
      throw new TypeError('a bug');
    };
    await expect(runStep(work, dependencies(broken, { deployments: [] }), firstAttempt())).rejects.toThrow(new TypeError('a bug'));
  });
});
