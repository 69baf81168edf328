/** The first activity of a rollback: inspect, decide, plan, claim, and write it all down before anything is touched. */
import type { Carried, Settings } from '../model/carried.ts';
import { ConfigError, type LoadedConfig } from '../model/config-file.ts';
import type { StartInput } from '../model/input.ts';
import type { Plan } from '../model/plan.ts';
import { POLICIES, type Kind } from '../model/policy.ts';
import type { RecordEntry } from '../model/record.ts';
import { refuse, type Refusal, type Rule } from '../model/refusal.ts';
import type { RecordPosition } from '../model/state.ts';
import { StoreUnavailable, type Claim } from '../store/store.ts';
import { carriedFrom } from './carry.ts';
import { claimOf } from './deprovision/scene.ts';
import { findComponent, NotPossible } from './components.ts';
import { again, lastConfig, type Attempt, type Dependencies } from './dependencies.ts';
import { draft, redraft } from './draft.ts';
import { tell } from './notify.ts';
import { named, shown } from './recording.ts';

export interface OpenWork {
  readonly rollbackId: string;
  readonly workflowId: string;
  readonly kind: Kind;
  readonly startedAt: string;
  readonly input: StartInput | null;
  /** Why the input could not be read. */
  readonly malformed: string | null;
}

interface Written {
  readonly record: RecordPosition;
  readonly warnings: readonly string[];
}
export interface Refused extends Written {
  readonly refusal: Refusal;
}
export interface Opened extends Written {
  readonly plan: Plan;
  readonly planHash: string;
  readonly settings: Settings;
  readonly atTarget: boolean;
  readonly carried: Carried | null;
}

/** How long Postgres may be away before the start is refused, with the commands to act by hand. */
const RECORD_PATIENCE_MS = 10_000;

export async function openRollback(work: OpenWork, deps: Dependencies, attempt: Attempt): Promise<Opened | Refused> {
  try {
    if (work.input === null) throw new NotPossible('malformed', `the start input cannot be used: ${work.malformed ?? ''}`);
    return await openWith(work, work.input, deps, attempt);
  } catch (error) {
    if (error instanceof NotPossible) return refused(work, error.rule, error.message, deps, attempt);
    if (error instanceof ConfigError) return refused(work, 'configuration', `the worker's backout.yaml cannot be used:\n${error.message}`, deps, attempt);
    if (!(error instanceof StoreUnavailable)) throw error;
    if (Date.now() < attempt.firstScheduledMs + RECORD_PATIENCE_MS) throw again('the record cannot be reached', error);
    return refused(
      work,
      'record-unavailable',
      `Postgres cannot be reached, so nothing could be recorded and nothing was changed.${await byHand(work, deps)}`,
      deps,
      attempt,
    );
  }
}

async function openWith(work: OpenWork, input: StartInput, deps: Dependencies, attempt: Attempt): Promise<Opened | Refused> {
  const earlier = await deps.store.rollback(work.rollbackId);
  if (input.resumes) checkSuccessor(work, input, earlier);
  // A successor, a retried attempt and a run reset to its start keep the plan it was opened with: confirmations are bound to it, and by now it may be half carried out.
  const kept = earlier?.plan && earlier.planHash !== null && earlier.outcome === null ? { plan: earlier.plan, planHash: earlier.planHash } : null;
  const made = kept ? await redraft(kept.plan, deps, attempt) : await draft(work.kind, input, work.workflowId, deps, attempt);
  const { plan, planHash } = kept ?? made;
  const entry: RecordEntry = {
    event: 'opened',
    rollbackId: work.rollbackId,
    at: new Date().toISOString(),
    type: kept ? 'resumed' : 'opened',
    workflowId: work.workflowId,
    runId: attempt.runId,
    input,
    plan,
    planHash,
    warnings: made.warnings,
  };
  const opened = await deps.store.open({
    ...requestOf(work, input),
    ...claimsOf(work.kind, input),
    plan,
    planHash,
    refused: false,
    deploymentIds: made.deploymentIds,
    snapshots: made.snapshots,
    entries: named(attempt.runId, [entry]),
  });
  if ('holder' in opened) return refused(work, ...(await heldBy(opened.holder, work, deps)), deps, attempt);
  await deps.checkpoint(opened.position);
  const loaded = await lastConfig(deps);
  const undelivered = input.resumes?.continues === undefined ? await tellOpened(loaded, work, input, plan, attempt) : [];
  // An attempt of this very run that died after its transaction left nothing to carry over but the plan.
  const successor = kept !== null && (attempt.number === 1 || attempt.runId !== work.rollbackId);
  return {
    plan,
    planHash,
    atTarget: made.atTarget && !successor,
    warnings: [...made.warnings, ...undelivered],
    settings: settingsOf(loaded, work.kind),
    carried:
      successor && earlier
        ? carriedFrom({
            stored: await deps.store.entriesOf(work.rollbackId),
            plan,
            seen: made.observations,
            startedAtMs: Date.parse(work.startedAt),
            starter: earlier.by,
            openedAt: earlier.openedAt,
            predecessor: await deps.predecessor(work.workflowId, work.rollbackId, attempt.runId),
            continues: input.resumes?.continues !== undefined,
          })
        : null,
    record: shown(opened.position),
  };
}

/** Who asked for what, as the event's row has it. */
const requestOf = ({ rollbackId, workflowId, kind, startedAt }: OpenWork, { environment, components, trigger, cause, reason, by }: StartInput) => ({
  rollbackId,
  workflowId,
  kind,
  environment,
  components,
  trigger,
  cause,
  reason,
  by,
  openedAt: startedAt,
});

/** A tenant, or an incident, is taken at once; an incident's components only when it is declared: a mere proposal must not stand in the way of anybody. */
const claimsOf = (kind: Kind, { incident, tenant }: StartInput): { readonly claims?: readonly string[] } => {
  const { subject } = POLICIES[kind];
  if (subject === 'components') return {};
  return { claims: [subject === 'incident' ? `@${incident ?? ''}` : claimOf(tenant ?? '')] };
};

function settingsOf({ config }: LoadedConfig, kind: Kind): Settings {
  const { remindAfterSeconds, handOverAfterSeconds, handOverTo } = config.confirmations;
  return {
    people: config.people ?? null,
    remindAfterSeconds,
    handOverAfterSeconds,
    handOverTo,
    ...(POLICIES[kind].level === null ? {} : { updateEverySeconds: config.communications.updateEveryMinutes * 60 }),
  };
}

function tellOpened(loaded: LoadedConfig, work: OpenWork, input: StartInput, plan: Plan, attempt: Attempt): Promise<string[]> {
  const where = plan.artifacts
    ? `${plan.artifacts.length} artifacts of ${(plan.requests ?? []).join(', ')}`
    : plan.targets.map((target) => `${target.component} ${target.from ?? '?'} → ${target.to}`).join(', ');
  return tell(loaded, {
    id: `${attempt.runId}/opened`,
    notice: 'opened',
    at: new Date().toISOString(),
    rollbackId: work.rollbackId,
    workflowId: work.workflowId,
    text: `${input.by} ${POLICIES[work.kind].subject === 'incident' ? 'asks for' : 'started'} ${work.workflowId} (${input.trigger}, ${input.cause}): ${input.reason}. ${where}`,
    next: [`backout watch ${work.workflowId}`],
  });
}

function checkSuccessor(work: OpenWork, input: StartInput, earlier: Awaited<ReturnType<Dependencies['store']['rollback']>>): void {
  if (!earlier) throw new NotPossible('abandoned', `there is no rollback ${input.resumes?.rollbackId ?? ''} on the record to resume`);
  if (earlier.outcome !== null) throw new NotPossible('abandoned', `rollback ${earlier.rollbackId} ended ${earlier.outcome}; there is nothing to resume`);
  if (earlier.workflowId !== work.workflowId)
    throw new NotPossible('workflow-id', `rollback ${earlier.rollbackId} runs under ${earlier.workflowId}, not ${work.workflowId}`);
}

async function heldBy(holder: Claim, work: OpenWork, deps: Dependencies): Promise<[Rule, string]> {
  const who = `${holder.component} in ${holder.environment} is held by rollback ${holder.rollbackId} (${holder.workflowId}), started by ${holder.by} at ${holder.at}`;
  const open = holder.workflowId !== work.workflowId && (await deps.isOpen(holder.workflowId));
  return open
    ? ['exclusion', `${who}; follow it with backout watch ${holder.workflowId}`]
    : ['abandoned', `${who}, and abandoned: its execution is gone. Go on with backout resume ${holder.workflowId}`];
}

/** A refusal is on the record too, where there is one. */
async function refused(work: OpenWork, rule: Rule, explanation: string, deps: Dependencies, attempt: Attempt): Promise<Refused> {
  const at = new Date().toISOString();
  const refusal = refuse(rule, explanation, work.input?.by ?? 'unknown', at);
  const { input } = work;
  const entry: RecordEntry = {
    event: `${attempt.runId}/refused`,
    rollbackId: work.rollbackId,
    at,
    type: 'refused',
    workflowId: work.workflowId,
    runId: attempt.runId,
    input,
    refusal,
  };
  // A successor that is refused must not close the rollback it wanted to resume.
  const write =
    input === null || input.resumes
      ? deps.store.append(work.rollbackId, [entry])
      : deps.store.open({
          ...requestOf(work, input),
          plan: null,
          planHash: null,
          refused: true,
          deploymentIds: {},
          snapshots: {},
          entries: [entry],
        });
  try {
    const written = await write;
    if ('holder' in written) throw new Error('a refusal takes no claim');
    return { refusal, warnings: [], record: { entries: written.position.entries, head: written.position.head, behind: false } };
  } catch (error) {
    if (error instanceof StoreUnavailable)
      return { refusal, warnings: ['the refusal could not be recorded: Postgres cannot be reached'], record: { entries: 0, head: null, behind: true } };
    throw error;
  }
}

/** The same by hand, for the operator who cannot wait. */
async function byHand(work: OpenWork, deps: Dependencies): Promise<string> {
  const loaded = await deps.config();
  const commands = (work.input?.components ?? []).flatMap((name) => {
    try {
      const component = findComponent(loaded, deps.adapters, work.input?.environment ?? '', name);
      const to = work.input?.targets[name];
      return component.adapter.manual({
        environment: component.environment,
        component: name,
        options: component.options,
        folder: component.folder,
        to: to === undefined || to === 'last-healthy' ? 'VERSION' : to,
      });
    } catch (error) {
      if (error instanceof NotPossible) return [`# ${name}: ${error.message}`];
      throw error;
    }
  });
  return commands.length === 0 ? '' : ` By hand:\n${commands.join('\n')}`;
}
