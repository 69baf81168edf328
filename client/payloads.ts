/** Messages of the API as this side uses them: payloads, executions, failures. */
import type { Decoded, Fields } from './grpc.ts';

const STATUS = ['UNSPECIFIED', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELED', 'TERMINATED', 'CONTINUED_AS_NEW', 'TIMED_OUT', 'PAUSED'] as const;
export type RunStatus = (typeof STATUS)[number];

export interface Run {
  readonly id: string;
  readonly runId: string;
  readonly type: string;
  readonly status: RunStatus;
  readonly startedAt: string;
  readonly closedAt: string | null;
  readonly historyLength: number;
  readonly attributes: Readonly<Record<string, unknown>>;
}

export const payload = (value: unknown): Fields => [
  [
    1,
    [
      [1, 'encoding'],
      [2, 'json/plain'],
    ],
  ],
  [2, JSON.stringify(value)],
];
export const payloads = (value: unknown): Fields => [[1, payload(value)]];

export function runOf(info: Decoded): Run {
  const attributes = (info.message(11)?.messages(1) ?? []).map((entry) => [entry.text(1), jsonOf(entry.message(2))] as const);
  return {
    id: info.message(1)?.text(1) ?? '',
    runId: info.message(1)?.text(2) ?? '',
    type: info.message(2)?.text(1) ?? '',
    status: STATUS[info.number(5)] ?? 'UNSPECIFIED',
    startedAt: timeOf(info.message(3)) ?? '',
    closedAt: timeOf(info.message(4)),
    historyLength: info.number(6),
    attributes: Object.fromEntries(attributes),
  };
}

const timeOf = (timestamp: Decoded | null): string | null =>
  timestamp && new Date(timestamp.number(1) * 1000 + Math.floor(timestamp.number(2) / 1e6)).toISOString();
export const valueOf = (several: Decoded | null): unknown => jsonOf(several?.messages(1)[0] ?? null);

/** What is not JSON, or encrypted, is nothing that a command could show. */
function jsonOf(one: Decoded | null): unknown {
  try {
    return JSON.parse(one?.text(2) ?? 'null') as unknown;
  } catch {
    return null;
  }
}

export const failureOf = (failure: Decoded | null): string =>
  failure
    ? [failure.text(1), ...(failure.message(4) ? [failureOf(failure.message(4))] : [])].filter((part) => part !== '').join(': ')
    : 'it was ended from outside';
