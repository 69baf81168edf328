/** Which rollbacks there are, by Temporal and by the record, and which of them a person means. */
import type { Engine, Run } from './engine.ts';

import { KINDS, isKind, type Kind } from '../model/policy.ts';
import { OUTCOMES, type Outcome, type RollbackStateName } from '../model/state.ts';
import type { Claim, RollbackEvent, Store } from '../store/store.ts';
import { note } from './output.ts';
import { EXIT, Problem, said } from './problem.ts';
import type { Session } from './session.ts';

/** A line of `backout list`. */
export interface Listed {
  readonly id: string;
  readonly rollbackId: string | null;
  readonly runId: string | null;
  readonly kind: Kind;
  readonly environment: string;
  readonly components: readonly string[];
  /** Null: no worker has said, and the record does not know. */
  readonly state: RollbackStateName | null;
  readonly outcome: Outcome | null;
  readonly targets: readonly string[];
  readonly waitingFor: readonly string[];
  readonly trigger: string | null;
  readonly incident: string | null;
  readonly startedAt: string;
  readonly closedAt: string | null;
}

export interface Listing {
  readonly source: 'temporal' | 'record';
  readonly rollbacks: readonly Listed[];
  /** Is the record known, so that nothing abandoned is overlooked? */ readonly claims: readonly Claim[] | null;
}

export interface Filter {
  readonly openOnly?: boolean;
  readonly limit?: number;
}

const RUNNING_MAX = 1000;

export const isOpen = (one: Listed): boolean => one.state !== 'closed';

/** Newest first. Without Temporal, what the record says. */
export async function listRollbacks(session: Session, filter: Filter = {}): Promise<Listing> {
  try {
    const [runs, claims] = await Promise.all([session.engine().then((engine) => ofTemporal(engine, filter)), heldClaims(session)]);
    return { source: 'temporal', rollbacks: withAbandoned(runs, claims, filter), claims };
  } catch (error) {
    const store = await session.store();
    if (!store || !(error instanceof Problem) || error.exitCode !== EXIT.unreachable) throw error;
    const [rollbacks, claims] = await Promise.all([ofRecord(store, filter), store.claims({})]).catch(() => {
      throw error;
    });
    note(`${error.message}; this is what the record says`);
    return { source: 'record', rollbacks, claims };
  }
}

/** Null where the record cannot be read; said on stderr, once. */
export async function heldClaims(session: Session): Promise<Claim[] | null> {
  try {
    return (await (await session.store())?.claims({})) ?? null;
  } catch (error) {
    note(`the record cannot be read: ${said(error).message}`);
    return null;
  }
}

async function ofTemporal(engine: Engine, { openOnly = false, limit = 100 }: Filter): Promise<Listed[]> {
  const types = `WorkflowType IN (${KINDS.map((kind) => `'${kind}'`).join(', ')})`;
  // An open one may be older than the newest: it waits for weeks if need be.
  const [running, newest] = await Promise.all([engine.list(`${types} AND ExecutionStatus = 'Running'`, RUNNING_MAX), engine.list(types, limit)]);
  const runs = [...new Map([...running, ...newest].map((run) => [run.runId, run])).values()].toSorted((one, other) =>
    other.startedAt.localeCompare(one.startedAt),
  );
  // A run that was reset or resumed lives on in the next one.
  const last = runs.filter((run, index) => run.status !== 'TERMINATED' || !runs.slice(0, index).some((later) => later.id === run.id));
  return last
    .map(listedOf)
    .filter((one) => one !== null)
    .filter((one) => !openOnly || isOpen(one));
}

function listedOf(run: Run): Listed | null {
  if (!isKind(run.type)) return null;
  const texts = (name: string): string[] => [run.attributes[name] ?? []].flat().filter((one) => typeof one === 'string');
  const shown = texts('RollbackState')[0] ?? null;
  const outcome = OUTCOMES.find((one) => one === shown) ?? null;
  const ended = run.status === 'TERMINATED' || run.status === 'TIMED_OUT';
  const [, environment = '', subject = ''] = run.id.split('/');
  return {
    id: run.id,
    rollbackId: null,
    runId: run.runId,
    kind: run.type,
    environment: texts('RollbackEnvironment')[0] ?? environment,
    components: run.attributes['RollbackComponents'] ? texts('RollbackComponents') : subject.split('+'),
    state:
      outcome || run.status === 'COMPLETED' || run.status === 'FAILED' ? 'closed' : ended ? 'abandoned' : ((shown as RollbackStateName | null) ?? 'planning'), // Written by movingAttributes.
    outcome: outcome ?? (run.status === 'FAILED' ? 'failed' : null),
    targets: texts('RollbackTarget'),
    waitingFor: ended || outcome ? [] : texts('RollbackWaitingFor'),
    trigger: texts('RollbackTrigger')[0] ?? null,
    incident: texts('RollbackIncident')[0] ?? null,
    startedAt: run.startedAt,
    closedAt: run.closedAt,
  };
}

/** A claim without a running execution is an abandoned rollback, whatever its last run looks like; an ended run without a claim is history. */
function withAbandoned(runs: readonly Listed[], claims: readonly Claim[] | null, { openOnly = false }: Filter): Listed[] {
  if (!claims) return [...runs];
  const held = new Map(claims.map((claim) => [claim.workflowId, claim]));
  const known = runs.map((one): Listed => {
    const claim = held.get(one.id);
    if (one.state !== 'abandoned') return claim && isOpen(one) ? { ...one, rollbackId: claim.rollbackId } : one;
    return claim ? { ...one, rollbackId: claim.rollbackId } : { ...one, state: 'closed' };
  });
  const missing = [...held.values()]
    .filter((claim) => !known.some((one) => one.id === claim.workflowId && isOpen(one)))
    .map((claim): Listed => {
      const [kind = ''] = claim.workflowId.split('/');
      // A name with an @ is the incident's own claim, and no component.
      const components = claims.filter((one) => one.rollbackId === claim.rollbackId && !one.component.startsWith('@')).map((one) => one.component);
      return {
        id: claim.workflowId,
        rollbackId: claim.rollbackId,
        runId: null,
        kind: isKind(kind) ? kind : 'deployRevert',
        environment: claim.environment,
        components,
        state: 'abandoned',
        outcome: null,
        targets: [],
        waitingFor: [],
        trigger: null,
        incident: null,
        startedAt: claim.at,
        closedAt: null,
      };
    });
  return [...missing, ...known].filter((one) => !openOnly || isOpen(one)).toSorted((one, other) => other.startedAt.localeCompare(one.startedAt));
}

async function ofRecord(store: Store, { openOnly = false, limit = 100 }: Filter): Promise<Listed[]> {
  const events = await store.rollbacks({ limit });
  return events.map(listedOfEvent).filter((one) => !openOnly || isOpen(one));
}

export const listedOfEvent = (event: RollbackEvent): Listed => ({
  id: event.workflowId,
  rollbackId: event.rollbackId,
  runId: null,
  kind: event.kind,
  environment: event.environment,
  components: event.components,
  state: event.outcome === null ? null : 'closed',
  outcome: event.outcome,
  targets: event.plan?.targets.map((target) => `${target.component}=${target.to}`) ?? [],
  waitingFor: [],
  trigger: event.trigger,
  incident: null,
  startedAt: event.openedAt,
  closedAt: event.closedAt,
});

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export interface Meant {
  readonly id: string;
  /** Of one execution among several under the same Id. */ readonly runId?: string;
  readonly rollbackId?: string;
}

/** A Workflow Id is taken as it is; a rollback id is looked up; anything else has to be unique among the open ones, and for reading among the last. */
export async function findRollback(session: Session, text: string, reading = false): Promise<Meant> {
  if (text.includes('/')) return { id: text };
  if (UUID.test(text)) return byRollbackId(session, text.toLowerCase());
  const matches = (one: Listed): boolean =>
    one.components.includes(text) || one.id.split('/').at(-1) === text || (one.rollbackId ?? one.runId ?? '').startsWith(text) || one.incident === text;
  const sure = await quickly(session, matches);
  if (sure) return { id: sure.id };
  const { rollbacks } = await listRollbacks(session);
  const open = rollbacks.filter(isOpen);
  const found = open.filter(matches);
  const [only, another] = found;
  if (only && !another) return { id: only.id };
  if (only)
    throw new Problem(EXIT.usage, 'unknown-name', `${JSON.stringify(text)} is not unique: ${found.map((one) => one.id).join(', ')}`, 'give the whole id');
  const last = reading ? rollbacks.find(matches) : undefined;
  if (!last) throw unknown(text, open);
  note(`no open rollback of ${text}; this is the last one`);
  return { id: last.id, ...(last.runId === null ? {} : { runId: last.runId }), ...(last.rollbackId === null ? {} : { rollbackId: last.rollbackId }) };
}

/** Where nothing can be abandoned, the record need not be asked: its driver alone costs a Node. Null: it has to be looked at closely. */
async function quickly(session: Session, matches: (one: Listed) => boolean): Promise<Listed | null> {
  const open = await session
    .engine()
    .then((engine) => ofTemporal(engine, { openOnly: true }))
    .catch(() => null); // The closer look says why.
  const [only, another] = open?.filter(matches) ?? [];
  return only && !another && only.state !== 'abandoned' ? only : null;
}

async function byRollbackId(session: Session, rollbackId: string): Promise<Meant> {
  const store = await session.store();
  const event = await store?.rollback(rollbackId).catch(() => null);
  if (event) return { id: event.workflowId, rollbackId };
  const [run] = await (await session.engine()).list(`RunId = '${rollbackId}'`, 1);
  if (run && isKind(run.type)) return { id: run.id, runId: run.runId };
  throw unknown(rollbackId, (await listRollbacks(session, { openOnly: true })).rollbacks);
}

export function unknown(text: string, open: readonly Listed[]): Problem {
  const names = open.map((one) => one.id);
  return new Problem(
    EXIT.usage,
    'unknown-name',
    `there is no rollback ${JSON.stringify(text)}${open.length === 0 ? ', and none is open' : `; open are ${names.join(', ')}`}`,
    'see `backout list`',
    { open: names },
  );
}
