/** Starts executions: a rollback, its successor, and what there is to know about those that have the Id already. */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseStart, type StartInput } from '../model/input.ts';
import { workflowIdOf, type Target } from '../model/plan.ts';
import type { Kind } from '../model/policy.ts';
import type { RollbackState } from '../model/state.ts';
import { commandName, note } from './output.ts';
import type { Engine, First } from './engine.ts';
import { EXIT, isNotFound, Problem, said } from './problem.ts';
import { query, type Session } from './session.ts';

/** A worker that is busy plans late: another request is not told from the same one before it has. */
const PLANNED_WITHIN_MS = 20_000;
const LOOK_EVERY_MS = 150;

export interface Started {
  readonly id: string;
  readonly runId: string;
  readonly attached: boolean;
}

/** Starts, or attaches to the same request that runs already; anything else that is in the way is thrown. */
export async function startRollback(session: Session, kind: Kind, input: StartInput): Promise<Started> {
  const engine = await session.engine();
  const id = workflowIdOf({ kind, ...input });
  await refuseAbandoned(session, engine, id);
  const started = await start(engine, kind, id, input);
  if (started !== null) return { id, runId: started, attached: false };
  const running = await engine.first(id);
  if (!running)
    throw new Problem(EXIT.refused, 'refused', `${id} runs already, and its request cannot be read`, `follow it: \`${commandName()} watch ${id}\``, {
      holder: { id },
    });
  const differs = await difference(session, engine, id, { kind, input }, running);
  if (differs === null) return { id, runId: running.runId, attached: true };
  throw new Problem(
    EXIT.refused,
    'refused',
    `another request runs under ${id}: ${differs}`,
    `follow it with \`${commandName()} watch ${id}\`, or stop it first with \`${commandName()} stop ${id} --reason WHY\``,
    { holder: { id, runId: running.runId } },
  );
}

/** The new run's id; null: one runs under this Id already. */
export function start(engine: Engine, kind: Kind, id: string, input: StartInput): Promise<string | null> {
  const what =
    Object.entries(input.targets)
      .map(([component, target]) => `${component} to ${target}`)
      .join(', ') ||
    input.components.join(', ') ||
    (input.tenant ?? '');
  return engine.start({ type: kind, id, input, summary: `Take back ${what} (${input.environment}): ${input.reason}`.slice(0, 200) });
}

/** Null: the same request. Else in what they differ. */
async function difference(session: Session, engine: Engine, id: string, asked: { kind: Kind; input: StartInput }, running: First): Promise<string | null> {
  const theirs = parseStart(running.input);
  if ('error' in theirs) return `it was started with something else (${theirs.error})`;
  const { input } = asked;
  if (
    running.kind !== asked.kind ||
    theirs.value.environment !== input.environment ||
    theirs.value.components.toSorted().join() !== input.components.toSorted().join()
  )
    return `a ${running.kind} of ${theirs.value.components.join(', ')}`;
  if (theirs.value.cause !== input.cause && input.tenant !== null)
    return `${theirs.value.by} started it because of ${theirs.value.cause}, not of ${input.cause}`;
  if (theirs.value.request !== input.request)
    return `${theirs.value.by} takes back ${theirs.value.request ?? 'every request'}, not ${input.request ?? 'every request'}`;
  const odd = input.components.filter((component) => theirs.value.targets[component] !== input.targets[component]);
  if (odd.length === 0) return null;
  const resolved = await targetsOf(engine, id);
  for (const component of odd) {
    const target = resolved.find((one) => one.component === component);
    const ours =
      input.targets[component] === 'last-healthy' && target ? await lastHealthy(session, input.environment, component, target.from) : input.targets[component];
    if (target?.to !== ours)
      return `${theirs.value.by} takes ${component} to ${target?.to ?? theirs.value.targets[component] ?? 'nothing named'}, not to ${ours ?? 'nothing named'}`;
  }
  return null;
}

/** What `last-healthy` came to there: known once it is planned. */
async function targetsOf(engine: Engine, id: string): Promise<readonly Target[]> {
  for (const until = Date.now() + PLANNED_WITHIN_MS; Date.now() < until; await sleep(LOOK_EVERY_MS)) {
    const heard = await query<RollbackState>(engine, id, undefined, 'state');
    if ('silence' in heard) return [];
    if (heard.value.state !== 'planning') return heard.value.targets;
  }
  return [];
}

async function lastHealthy(session: Session, environment: string, component: string, from: string | null): Promise<string> {
  const store = await session.store().catch(() => null);
  return (await store?.lastHealthy(environment, component, from).catch(() => null))?.version ?? 'last-healthy';
}

/** A rollback whose execution was ended from outside still holds its components: a new one would be refused by the worker; here it is said at once. */
async function refuseAbandoned(session: Session, engine: Engine, id: string): Promise<void> {
  const gone = await lastEnded(engine, id);
  if (gone === null) return;
  const store = await session.store();
  const [, environment = ''] = id.split('/');
  const claims =
    (await store?.claims({ environment }).catch((error: unknown) => {
      note(`the record cannot be read: ${said(error).message}`);
      return null;
    })) ?? null;
  const claim = claims?.find((one) => one.workflowId === id);
  const isOpen = claims ? claim !== undefined : gone.fromOutside && (await isUnfinished(engine, id));
  // Another start may have been faster between our two looks.
  if (!isOpen || (await lastEnded(engine, id)) === null) return;
  throw new Problem(
    EXIT.refused,
    'abandoned',
    `${id} is abandoned: its execution was ended from outside, and it still holds its components${claim ? ` (started by ${claim.by} at ${claim.at})` : ''}`,
    `go on with it: \`${commandName()} resume ${id} --reason WHY\``,
    { holder: { id, rollbackId: claim?.rollbackId ?? null } },
  );
}

/** Null: none, or it runs. */
async function lastEnded(engine: Engine, id: string): Promise<{ readonly fromOutside: boolean } | null> {
  try {
    const { status } = await engine.describe(id);
    return status === 'RUNNING' ? null : { fromOutside: status === 'TERMINATED' || status === 'TIMED_OUT' };
  } catch (error) {
    if (isNotFound(error)) return null;
    throw error;
  }
}

async function isUnfinished(engine: Engine, id: string): Promise<boolean> {
  const heard = await query<RollbackState>(engine, id, undefined, 'state');
  return 'value' in heard && heard.value.outcome === null && heard.value.state !== 'planning';
}
