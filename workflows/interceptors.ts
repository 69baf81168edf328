/** Stands around every workflow: unreadable names are disarmed before the SDK sees them, and a replay can be audited. */
import type { WorkflowInterceptorsFactory } from '@temporalio/workflow';
import { auditInterceptors } from './audit-sink.ts';

const RESERVED = '__temporal_';

/**
 * A signal whose name starts like Temporal's own makes the SDK throw while it is delivered, which would fail the
 * workflow task for ever. It gets another name, and so ends as an unknown message, on the record.
 */
export const interceptors: WorkflowInterceptorsFactory = () => ({
  internals: [
    {
      activate(input, next) {
        for (const job of input.activation.jobs ?? []) {
          if (job.signalWorkflow?.signalName?.startsWith(RESERVED)) job.signalWorkflow.signalName = `reserved: ${job.signalWorkflow.signalName}`;
        }
        next(input);
      },
    },
    ...(auditInterceptors().internals ?? []),
  ],
});
