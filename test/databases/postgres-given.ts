/** A call to a customer's Postgres, with ears: whatever leaves it is kept, so that a test can ask what was in it. */
import { randomUUID } from 'node:crypto';
import { inspect as print } from 'node:util';
import { postgresOptions } from '../../activities/databases/postgres-options.ts';
import type { Call } from '../../activities/databases/postgres-session.ts';

export interface Given {
  readonly call: Call;
  readonly beats: string[];
  readonly abort: AbortController;
}

export function given(raw: Readonly<Record<string, unknown>>, secrets: Readonly<Record<string, string>>, overrides: Partial<Call> = {}): Given {
  const [beats, abort]: [string[], AbortController] = [[], new AbortController()];
  const call: Call = {
    name: 'main',
    environment: 'production',
    options: postgresOptions.parse({ url: 'env:SHOP', ...raw }),
    folder: '/',
    operationId: `${randomUUID()}/main.recover/1`,
    attempt: 1,
    signal: abort.signal,
    heartbeat: (progress) => {
      beats.push(progress);
    },
    secret: (reference) => Promise.resolve(secrets[reference] ?? ''),
    ...overrides,
  };
  return { call, beats, abort };
}

/** All of a value, causes and hidden properties too, as one text. */
export const everything = (...values: readonly unknown[]): string =>
  print(values, { depth: null, showHidden: true, maxStringLength: null, maxArrayLength: null });
