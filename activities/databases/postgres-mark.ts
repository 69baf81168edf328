/** How what `recover` makes is named after its operation, and found again. */
import { createHash } from 'node:crypto';

/** Eight hex digits of the rollback: short enough for a name, and what a person sees in the record. */
export function shortId(operationId: string): string {
  const [rollbackId = ''] = operationId.split('/');
  return /^[0-9a-f]{8}(?=-)/i.exec(rollbackId)?.[0].toLowerCase() ?? createHash('sha256').update(rollbackId).digest('hex').slice(0, 8);
}

/** The same step of the same rollback: a person's decision to try again is a new generation of it, and goes on with what is there. */
export const isOurs = (marked: string, operationId: string): boolean => stepOf(marked) === stepOf(operationId);
const stepOf = (operationId: string): string => operationId.split('/').slice(0, 2).join('/');
