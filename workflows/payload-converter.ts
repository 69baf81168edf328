/**
 * A payload that cannot be read becomes a value that says so. The default converter throws instead, and a throw while a signal
 * is delivered fails the workflow task again and again: one broken click would block the rollback for ever.
 */
import { defaultPayloadConverter, type Payload, type PayloadConverter } from '@temporalio/common';
import { UNREADABLE } from '../model/reading.ts';

export const payloadConverter: PayloadConverter = {
  toPayload: (value) => defaultPayloadConverter.toPayload(value),
  // The type parameter is the interface's, and its caller's guess.
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters
  fromPayload<T>(payload: Payload): T {
    try {
      return defaultPayloadConverter.fromPayload<T>(payload);
    } catch {
      // Never the payload's own text: it may hold anything, and this goes into the record.
      // The guards of model/input.ts find the mark.
      return { [UNREADABLE]: `the payload cannot be read (encoding ${encodingOf(payload)})` } as T;
    }
  },
};

function encodingOf(payload: Payload): string {
  const raw = payload.metadata?.['encoding'];
  return raw ? String.fromCodePoint(...raw.subarray(0, 40)).replaceAll(/[^\w/.-]/g, '?') : 'missing';
}
