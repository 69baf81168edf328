/** What happened, in order, from the entries of the record; without them, from the state. */
import type { RecordEntry } from '../../model/record.ts';
import { fieldOf } from '../../model/field.ts';
import type { Plan } from '../../model/plan.ts';
import { isKind, type Kind } from '../../model/policy.ts';
import { BLOCKED, type Answer, type Failure, type RollbackState, type StepState, type StepView } from '../../model/state.ts';
import type { Refusal } from '../../model/refusal.ts';
import { dataWords, signedWords } from './data-words.ts';
import { levelName } from './growth.ts';

export interface Moment {
  /** ISO time, by the clock of whoever made it happen. */
  readonly at: string;
  readonly who: string;
  readonly what: string;
  /** It went wrong, was refused, or moved without us. */
  readonly trouble?: true;
}

export interface Recorded {
  readonly seq: number;
  readonly entry: RecordEntry;
}

export const BACKOUT = 'Backout';
/** Of no interest to a reader of what happened: the sweep saves histories afterwards. */
const SILENT: ReadonlySet<string> = new Set(['history']);

const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const words = (value: unknown): string => (Array.isArray(value) ? value.map(text).join(', ') : '');
const secondsOf = (ms: unknown): string => `${(Number(ms ?? 0) / 1000).toFixed(1)} s`;

export function timelineOf(state: RollbackState, recorded: readonly Recorded[]): Moment[] {
  const operations: Operations = new Map(state.steps.map((step) => [step.id, step.operation]));
  const moments =
    recorded.length > 0
      ? recorded
          .filter(({ entry }) => !SILENT.has(entry.type))
          .map(({ entry }) => ({ ...momentOf(entry, operations), ...(isTrouble(entry) ? { trouble: true as const } : {}) }))
      : momentsOf(state);
  // Answers ride with the next entry; the time is when they were given.
  return moments.toSorted((one, other) => one.at.localeCompare(other.at));
}

const TROUBLE: ReadonlySet<string> = new Set(['refused', 'refusal', 'breach', 'drift', 'freeze-drift', 'void', 'abandoned', 'stuck', 'flood', 'late-attempt']);
const isTrouble = (entry: RecordEntry): boolean => TROUBLE.has(entry.type) || (entry.type === 'step' && BLOCKED.has(entry['state'] as StepState)); // Written by runStep.

/** What each step does, by its id. */
type Operations = ReadonlyMap<string, StepView['operation']>;

function momentOf(entry: RecordEntry, operations: Operations): Moment {
  const { at, type } = entry;
  const moment = (who: string, what: string): Moment => ({ at, who, what });
  switch (type) {
    case 'opened':
    case 'resumed': {
      return opened(entry, moment);
    }
    case 'refused': {
      const refusal = entry['refusal'] as Refusal; // Written by openRollback.
      return moment(BACKOUT, `refused the start of ${refusal.by}: ${refusal.explanation} ${refusal.source}`);
    }
    case 'step':
    case 'late-attempt':
      return moment(BACKOUT, ranOf(entry, operations));
    case 'answer': {
      const answer = entry['answer'] as Answer; // Written by the workflow.
      return { at: answer.at, who: answer.by, what: saidBy(answer) };
    }
    case 'refusal': {
      const refusal = entry['refusal'] as Refusal; // Written by the workflow.
      return { at: refusal.at, who: refusal.by, what: `was refused (${refusal.message ?? 'start'}): ${refusal.explanation}` };
    }
    case 'breach':
      return moment(
        BACKOUT,
        `the time target of ${String(entry['targetSeconds'])} s was missed after ${secondsOf(entry['machineMs'])} of machine time; an investigation was opened`,
      );
    case 'drift': {
      const { message = '' } = (entry['failure'] as Failure | undefined) ?? {}; // Written by the workflow.
      return moment(
        BACKOUT,
        text(entry['carrier']) === '' ? `${text(entry['component'])} no longer served its target: ${message}` : `the freeze does not hold: ${message}`,
      );
    }
    case 'freeze':
      return moment(text(entry['by']), `froze ${words(entry['scopes'])} in ${text(entry['environment'])}, for ${text(entry['incident'])}`);
    case 'unfreeze':
      return moment(BACKOUT, `lifted the freeze of ${words(entry['scopes'])} in ${text(entry['environment'])}`);
    case 'replanned':
      if (isKind(fieldOf(entry['escalated'], 'to'))) return grown(entry, moment);
      if (RECOUNT.test(entry.event)) return moment(BACKOUT, recounted(entry));
      return moment(BACKOUT, `made another plan, since reality has moved: ${plannedOf(entry['plan'])}`);
    case 'takeover':
      return moment(text(entry['by']), `took ${words(entry['components'])} over from ${text(entry['from'])}, which was stopped`);
    case 'void':
      return moment(
        BACKOUT,
        Array.isArray(entry['steps'])
          ? `asked again, and void what was said of them: ${words(entry['steps'])}`
          : `the confirmation of the ${text(entry['step'])} is void: ${text(entry['why'])}`,
      );
    case 'freeze-drift':
      return moment(BACKOUT, `saw that ${text(entry['text'])}`);
    case 'flood':
      return moment(BACKOUT, `${String(entry['refusedBeyondCount'])} more messages were refused`);
    case 'notice':
      return moment(
        BACKOUT,
        `told the incident channel (${text(entry['notice'])}): ${text(entry['text'])}${Array.isArray(entry['undelivered']) && entry['undelivered'].length > 0 ? '; not every channel took it' : ''}`,
      );
    case 'closed':
      return moment(BACKOUT, `closed it: ${text(entry['outcome'])}`);
    default:
      return moment(BACKOUT, `${type}: ${text(entry['text'])}`);
  }
}

function ranOf(entry: RecordEntry, operations: Operations): string {
  const { failure, receipt } = entry as Partial<Pick<StepView, 'failure' | 'receipt'>>; // Written by runStep.
  const late = entry.type === 'late-attempt' ? ', by an attempt that came late' : '';
  const what = failure?.message ?? dataWords(operations.get(text(entry['step'])) ?? null, receipt ?? null);
  return `${text(entry['step'])}: ${text(entry['state'])}${late}${what === null ? '' : `, ${what}`}`;
}

function opened(entry: RecordEntry, moment: (who: string, what: string) => Moment): Moment {
  const input = entry['input'] as {
    by?: string;
    trigger?: string;
    cause?: string;
    reason?: string;
    resumes?: { by?: string; reason?: string; continues?: string } | null;
  } | null; // As parseStart made it.
  const where = plannedOf(entry['plan']);
  if (input?.resumes?.continues !== undefined) return moment(BACKOUT, `went on in a new run: ${input.resumes.reason ?? ''}`);
  if (input?.resumes) return moment(input.resumes.by ?? '', `went on with it after its execution had been ended: ${input.resumes.reason ?? ''}`);
  if (entry.type === 'resumed') return moment(BACKOUT, 'went on with the plan it had');
  return moment(input?.by ?? '', `started it (${input?.trigger ?? ''}, ${input?.cause ?? ''}): ${input?.reason ?? ''}. The plan: ${where}`);
}

function grown(entry: RecordEntry, moment: (who: string, what: string) => Moment): Moment {
  const { from, to, by, reason } = entry['escalated'] as { from: Kind; to: Kind; by: string; reason: string }; // Written by escalateRollback.
  const { steps = [] } = (entry['plan'] as Pick<Plan, 'steps'> | null) ?? {};
  const added = steps.filter((step) => step.place !== undefined || step.id === 'credentials').map((step) => step.id);
  return moment(
    by,
    `had it grow from ${levelName(from)} to ${levelName(to)}: ${reason}. Its plan has now ${added.length === 0 ? 'no more steps' : added.join(', ')}`,
  );
}

/** By a step that would have destroyed more than was approved, and has changed nothing. */
const RECOUNT = /\/step\/(undo\..+)\/\d+\/\d+\/plan$/;

function recounted({ event, plan }: RecordEntry): string {
  const [, id = ''] = RECOUNT.exec(event) ?? [];
  const step = (plan as Pick<Plan, 'steps'> | null)?.steps.find((one) => one.id === id);
  return `counted anew what would be lost, which is more than was approved, and asks again: ${step?.title ?? id}`;
}

function plannedOf(planned: unknown): string {
  const plan = planned as Partial<Pick<Plan, 'targets' | 'artifacts' | 'requests'>> | null; // Written by openRollback or identify.
  if (plan?.artifacts)
    return `${plan.artifacts.length} artifact${plan.artifacts.length === 1 ? '' : 's'} of ${plan.requests?.length ? `request ${plan.requests.join(', ')}` : 'requests that are rolled back already'}`;
  return (plan?.targets ?? []).map((target) => `${target.component} from ${target.from ?? 'an unknown version'} to ${target.to}`).join(', ');
}

function saidBy(answer: Answer): string {
  const reason = [answer['reason'], answer['note'], answer['analysis']]
    .map(text)
    .filter((one) => one !== '')
    .join('; ');
  const more = reason === '' ? '' : `: ${reason}`;
  const step = answer.step === null ? '' : ` ${answer.step}`;
  switch (answer.name) {
    case 'confirm':
      if (answer.step === 'credentials') return `signed the list of credentials: ${signedWords(answer)}${more}`;
      return `confirmed${step}${text(answer['choice']) === '' ? '' : ` (${text(answer['choice'])})`}${more}`;
    case 'decline':
      return `declined${step}${more}`;
    case 'decide':
      return `decided on${step === '' ? ' the whole' : step}: ${text(answer['action'])}${text(answer['due']) === '' ? '' : ` until ${text(answer['due'])}`}${more}`;
    case 'stop':
      return `stopped it${more}`;
    case 'resume':
      return `let it go on${more}`;
    case 'escalate':
      return `asked for ${isKind(answer['to']) ? levelName(answer['to']) : 'a higher level'}${more}`;
    case 'assign':
      return `gave the role ${text(answer['role'])} to ${text(answer['to'])}${more}`;
    default:
      return `${answer.name}${step}${more}`;
  }
}

function momentsOf(state: RollbackState): Moment[] {
  const { trigger, steps, answers, refusals } = state;
  const automatic = steps.filter((step) => step.mode !== 'manual');
  return [
    { at: trigger.at, who: trigger.by, what: `started it (${trigger.type}, ${trigger.cause}): ${trigger.reason}` },
    ...automatic.flatMap((step) =>
      step.endedAt === null ? [] : [{ at: step.endedAt, who: BACKOUT, what: `${step.id}: ${step.state}${step.failure ? `, ${step.failure.message}` : ''}` }],
    ),
    ...answers.map((answer) => ({ at: answer.at, who: answer.by, what: saidBy(answer) })),
    ...refusals.map((refusal) => ({ at: refusal.at, who: refusal.by, what: `was refused (${refusal.message ?? 'start'}): ${refusal.explanation}` })),
  ];
}
