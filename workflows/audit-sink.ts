/**
 * What a replay does, told to the auditor who runs it: replay itself compares only the kind and order of commands, so a changed
 * value passes unseen (`temporal.md` 0.9). Only a replay worker named `AUDIT_REPLAY` is listened to; everywhere else nothing is
 * installed. Not `isReplaying`: a worker that reads an evicted run back would tell it too, and the last task of a replay is not marked.
 */
import { proxySinks, workflowInfo, type ConcludeActivationInput, type Sinks, type WorkflowInterceptors } from '@temporalio/workflow';

/** `replayName` of the auditor's worker; the SDK makes its task queue of it. Nothing the workflow decides depends on it. */
export const AUDIT_REPLAY = 'backout-audit';

/** Bytes as the workflow would send them; read outside, where there is time for it. */
export interface ToldPayload {
  readonly encoding: string;
  readonly data: Uint8Array;
}
export interface ToldFailure {
  readonly message: string;
  readonly type: string;
  readonly nonRetryable: boolean;
  readonly details: readonly ToldPayload[];
}

export type ToldCommand =
  | {
      readonly kind: 'activity';
      readonly id: string;
      readonly type: string;
      readonly input: readonly ToldPayload[];
      readonly summary: ToldPayload | null;
      readonly timeoutsMs: Readonly<Record<string, number>>;
    }
  | { readonly kind: 'timer'; readonly id: string; readonly ms: number; readonly summary: ToldPayload | null }
  | { readonly kind: 'timer-cancelled'; readonly id: string }
  | { readonly kind: 'attributes'; readonly values: Readonly<Record<string, ToldPayload>> }
  | { readonly kind: 'update'; readonly id: string; readonly answer: ToldPayload | ToldFailure }
  | { readonly kind: 'completed'; readonly result: ToldPayload | null }
  | { readonly kind: 'failed'; readonly failure: ToldFailure }
  | { readonly kind: 'other'; readonly name: string };

/** The commands of one activation; `historyLength` is the history the workflow had seen by then. */
export interface ToldTask {
  readonly historyLength: number;
  readonly commands: readonly ToldCommand[];
}

export interface AuditSinks extends Sinks {
  audit: { task(task: ToldTask): void };
}

/** Empty outside of an audit, so that a running rollback pays nothing. */
export function auditInterceptors(): WorkflowInterceptors {
  if (!workflowInfo().taskQueue.startsWith(`${AUDIT_REPLAY}-`)) return {};
  const { audit } = proxySinks<AuditSinks>();
  return {
    internals: [
      {
        concludeActivation(input, next) {
          const commands = input.commands.flatMap(told);
          if (commands.length > 0) audit.task({ historyLength: workflowInfo().historyLength, commands });
          return next(input);
        },
      },
    ],
  };
}

type Command = ConcludeActivationInput['commands'][number];
type Payload = NonNullable<NonNullable<NonNullable<Command['completeWorkflowExecution']>['result']>>;
type Failure = NonNullable<NonNullable<Command['failWorkflowExecution']>['failure']>;
type Duration = NonNullable<NonNullable<Command['startTimer']>['startToFireTimeout']>;

function told(command: Command): ToldCommand[] {
  const {
    scheduleActivity: activity,
    startTimer: timer,
    cancelTimer,
    upsertWorkflowSearchAttributes: upsert,
    updateResponse: update,
    completeWorkflowExecution: completed,
    failWorkflowExecution: failed,
  } = command;
  const summary = command.userMetadata?.summary ? payload(command.userMetadata.summary) : null;
  if (activity)
    return [
      {
        kind: 'activity',
        id: activity.activityId ?? '',
        type: activity.activityType ?? '',
        input: (activity.arguments ?? []).map(payload),
        summary,
        timeoutsMs: timeouts(activity),
      },
    ];
  if (timer) return [{ kind: 'timer', id: String(timer.seq), ms: milliseconds(timer.startToFireTimeout), summary }];
  if (cancelTimer) return [{ kind: 'timer-cancelled', id: String(cancelTimer.seq) }];
  if (upsert)
    return [
      {
        kind: 'attributes',
        values: Object.fromEntries(Object.entries(upsert.searchAttributes?.indexedFields ?? {}).map(([name, value]) => [name, payload(value)])),
      },
    ];
  if (update) {
    const answer = update.completed ? payload(update.completed) : update.rejected ? failure(update.rejected) : null;
    // The acceptance says nothing but that it was accepted.
    return answer === null ? [] : [{ kind: 'update', id: update.protocolInstanceId ?? '', answer }];
  }
  if (completed) return [{ kind: 'completed', result: completed.result ? payload(completed.result) : null }];
  if (failed) return [{ kind: 'failed', failure: failure(failed.failure ?? {}) }];
  return [
    {
      kind: 'other',
      name: Object.entries(command).find(([name, value]) => name !== 'userMetadata' && value !== null && value !== undefined)?.[0] ?? 'unknown',
    },
  ];
}

/** A copy: the command goes its way, and may be encoded in place. */
const payload = (from: Payload): ToldPayload => ({
  encoding: String.fromCodePoint(...(from.metadata?.['encoding'] ?? [])),
  data: (from.data ?? new Uint8Array()).slice(),
});

const failure = (from: Failure): ToldFailure => ({
  message: from.message ?? '',
  type: from.applicationFailureInfo?.type ?? '',
  nonRetryable: from.applicationFailureInfo?.nonRetryable ?? false,
  details: (from.applicationFailureInfo?.details?.payloads ?? []).map(payload),
});

const milliseconds = (duration: Duration | null | undefined): number => Number(duration?.seconds ?? 0) * 1000 + (duration?.nanos ?? 0) / 1e6;

/** Those that were asked for; the server fills in the rest. */
function timeouts(activity: NonNullable<Command['scheduleActivity']>): Record<string, number> {
  const { startToCloseTimeout, scheduleToCloseTimeout, scheduleToStartTimeout, heartbeatTimeout } = activity;
  return Object.fromEntries(
    Object.entries({ startToCloseTimeout, scheduleToCloseTimeout, scheduleToStartTimeout, heartbeatTimeout }).flatMap(([name, value]) =>
      value ? [[name, milliseconds(value)]] : [],
    ),
  );
}
