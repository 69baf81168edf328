/** A worker of its own that makes one attempt, and stops or kills itself when the adapter says the word it was told. */
import { AdapterError } from '../../../activities/adapters/adapter.ts';
import { releases } from '../../../activities/adapters/releases.ts';

export interface Order {
  readonly options: Readonly<Record<string, unknown>>;
  readonly folder: string;
  readonly to: string;
  readonly operationId: string;
  readonly at?: { readonly word: string; readonly signal: 'SIGSTOP' | 'SIGKILL' };
}

async function main({ options, folder, to, operationId, at }: Order): Promise<string> {
  let pending = at;
  const heartbeat = (word: string): void => {
    if (pending === undefined || !word.startsWith(pending.word)) return;
    const { signal } = pending;
    pending = undefined;
    process.kill(process.pid, signal);
  };
  try {
    await releases.apply({
      options: releases.options.parse(options),
      folder,
      to,
      operationId,
      heartbeat,
      environment: 'test',
      component: 'web',
      attempt: 1,
      healthPaths: ['/healthz'],
      signal: new AbortController().signal,
      secret: () => Promise.resolve('secret'),
      served: () => Promise.resolve(null),
    });
    return 'applied';
  } catch (error) {
    return error instanceof AdapterError ? error.kind : String(error);
  }
}

const order: Order = JSON.parse(process.argv[2] ?? '');
process.stdout.write(`${await main(order)}\n`);
