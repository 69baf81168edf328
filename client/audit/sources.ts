/** Where an audit gets its evidence: Temporal, the record's exports, files. */
import type { Client, WorkflowExecutionInfo } from '@temporalio/client';
import type { History } from '@temporalio/common/lib/proto-utils.js';
import { KINDS } from '../../model/policy.ts';
import { GRPC, grpcCode } from '../problem.ts';

export interface RunAtServer {
  readonly workflowId: string;
  readonly runId: string;
}

export interface TemporalSource {
  /** All runs of a Workflow Id that Temporal still has. */
  runsOf(workflowId: string): Promise<RunAtServer[]>;
  /** Workflow Ids of our kinds. */
  workflowIds(): Promise<Set<string>>;
  /** Null where it was deleted meanwhile. */
  history(run: RunAtServer): Promise<History | null>;
}

const TYPES = KINDS.map((kind) => `'${kind}'`).join(', ');
/** The watch over what a rollback has put back; what it tells belongs to the rollback. */
const WATCH = 'healthWatch';

export function temporalSource(client: Client): TemporalSource {
  const list = async (query: string): Promise<WorkflowExecutionInfo[]> => {
    const runs: WorkflowExecutionInfo[] = [];
    for await (const run of client.workflow.list({ query })) runs.push(run);
    return runs;
  };
  return {
    // A quote would end the query's text; no Workflow Id of ours has one.
    runsOf: async (workflowId) =>
      (await list(`WorkflowId = '${workflowId.replaceAll("'", '')}' AND WorkflowType IN (${TYPES}, '${WATCH}')`)).map(({ workflowId: id, runId }) => ({
        workflowId: id,
        runId,
      })),
    workflowIds: async () => new Set((await list(`WorkflowType IN (${TYPES})`)).map((run) => run.workflowId)),
    history: async (run) => {
      try {
        return await client.workflow.getHandle(run.workflowId, run.runId).fetchHistory();
      } catch (error) {
        if (grpcCode(error) === GRPC.notFound || (error instanceof Error && error.name === 'WorkflowNotFoundError')) return null;
        throw error;
      }
    },
  };
}
