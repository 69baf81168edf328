/** An incident rollback as its workflow and its activities record it, entry by entry: what a report is made of, where no worker runs and where one does. */
import { failure, type FailureType } from '../../model/failure.ts';
import { incidentSteps } from '../../model/incident.ts';
import { FREEZE_SCOPES } from '../../model/freeze.ts';
import { unfreezeConditions } from '../../model/conditions.ts';
import type { Plan, Target } from '../../model/plan.ts';
import type { RecordEntry, StoredEntry } from '../../model/record.ts';
import { INCIDENT_ROLES } from '../../model/roles.ts';
import type { Answer, Outcome, Receipt, RollbackState, StepState, StepView } from '../../model/state.ts';
import { stateFrom } from '../../client/recorded.ts';
import { reportOf, type Report } from '../../client/report/report.ts';
import type { Material } from '../../client/report/reading.ts';
import type { Recorded } from '../../client/report/timeline.ts';
import type { RollbackEvent } from '../../store/store.ts';

export const ID = 'l1Rollback/production/INC-42';
export const ROLLBACK = '01a1fdec-ec78-71cc-8b47-b10cf201721e';
export const [PLAN, PLAN_2] = ['sha256:1111', 'sha256:2222'];
/** `03:02:01` of the night in question. */
export const at = (time: string): string => `2026-11-21T${time}.000Z`;

export const TARGETS: readonly Target[] = [
  {
    component: 'api',
    from: 'v2.6.0',
    to: 'v2.5.3',
    config: 'sha256:a',
    comparison: [
      { what: 'commit', now: '9f31c07', then: '41c09aa' },
      { what: 'migrations', now: '0042_orders', then: '0041_carts' },
      { what: 'cutover', now: null, then: 'orders@118204' },
    ],
  },
  {
    component: 'web',
    from: 'v1.1.0',
    to: 'v1.0.0',
    config: 'sha256:w',
    comparison: [
      { what: 'commit', now: 'b2d1170', then: '77a10fe' },
      { what: 'config API_TIMEOUT', now: '300', then: '3000' },
      { what: 'config SESSION_KEY', now: 'sha256:41aa', then: 'sha256:9bd0' },
    ],
  },
];

export const planOf = (more: Partial<Parameters<typeof incidentSteps>[0]> = {}): Plan => ({
  kind: 'l1Rollback',
  environment: 'production',
  tenant: null,
  incident: 'INC-42',
  targets: TARGETS,
  targetSeconds: 900,
  steps: incidentSteps({
    kind: 'l1Rollback',
    cause: 'ci-failed-in-critical-area',
    targets: TARGETS,
    waves: [['api'], ['web']],
    configured: new Set(['web']),
    parity: true,
    gates: [
      { name: 'ci-pr', covers: 'ci' },
      { name: 'emission', covers: 'evidence' },
    ],
    carriers: ['github'],
    review: true,
    fourEyes: () => false,
    ...more,
  }),
});

/** What is said and done, in the order in which it is recorded. */
export interface Telling {
  /** An entry. `time` is a time of that night; the event is the type and a number, unless it is named. */
  readonly put: (time: string, type: string, detail: Readonly<Record<string, unknown>>, event?: string) => void;
  readonly say: (time: string, name: string, by: string, step: string | null, detail?: Readonly<Record<string, unknown>>) => void;
  readonly ran: (
    step: string,
    times: readonly [from: string, to: string],
    state: StepState,
    receipt?: Receipt | null,
    failed?: readonly [FailureType, string],
  ) => void;
  /** As the workflow's own state has it: since when a person was asked. */
  readonly asked: (step: string, time: string) => void;
}

export const START = {
  environment: 'production',
  components: ['api', 'web'],
  targets: { api: 'v2.5.3', web: 'v1.0.0' },
  trigger: 'verification',
  cause: 'ci-failed-in-critical-area',
  reason: 'npm run ci:pr fails in orders, and orders are lost',
  by: 'ci',
  detectedAt: at('02:50:00'),
  delayJustification: null,
  incident: 'INC-42',
  severity: 'P1',
  impact: 'about 3 % of the orders of the night',
  contact: '#inc-42',
  analysis: null,
  tenant: null,
  resumes: null,
};

export interface Given {
  readonly event: RollbackEvent;
  readonly stored: readonly StoredEntry[];
  readonly recorded: readonly Recorded[];
  /** Put together from the record, where no worker runs. */
  readonly fromRecord: RollbackState;
  /** As the workflow says it. */
  readonly fromWorker: RollbackState;
}

export interface GivenOptions {
  /** The last one, as the record's own row has it. */
  readonly plan?: Plan;
  /** The one it was opened with, where it was another. */
  readonly opened?: Plan;
  readonly outcome?: Outcome | null;
  readonly closedAt?: string;
  readonly clock?: { readonly machineMs: number; readonly humanMs: number; readonly breached: boolean };
  readonly warnings?: readonly string[];
  readonly input?: Readonly<Record<string, unknown>>;
  /** Only of the worker's state. */
  readonly worker?: Partial<RollbackState>;
  readonly roles?: Readonly<Record<string, readonly string[]>>;
  readonly frozen?: readonly string[];
}

export const ROLES: Readonly<Record<string, readonly string[]>> = {
  'incident-commander': ['dan'],
  'api-lead': ['abe'],
  'infrastructure-lead': ['ivy'],
  'data-evidence-lead': ['dora'],
  'security-lead': ['sam'],
  'communications-owner': ['cleo'],
};

export function given(story: (telling: Telling) => void, options: GivenOptions = {}): Given {
  const { plan = planOf(), outcome = 'rolled-back', clock = { machineMs: 214_000, humanMs: 2_900_000, breached: false } } = options;
  const input = { ...START, ...options.input };
  const entries: RecordEntry[] = [];
  const askedAt = new Map<string, string>();
  const put: Telling['put'] = (time, type, detail, event) => {
    entries.push({ event: event ?? `${ROLLBACK}/${type}/${entries.length}`, rollbackId: ROLLBACK, at: at(time), type, ...detail });
  };
  put('02:58:10', 'opened', { workflowId: ID, runId: ROLLBACK, input, plan: options.opened ?? plan, planHash: PLAN, warnings: options.warnings ?? [] });
  story({
    put,
    say: (time, name, by, step, detail = {}) => {
      put(time, 'answer', { answer: { name, step, by, proof: 'self-declared', at: at(time), ...detail } });
    },
    ran: (step, [from, to], state, receipt = null, failed) => {
      const found = { receipt, failure: failed ? failure(...failed) : null, remains: [] };
      put(to, 'step', {
        step,
        state,
        generation: 0,
        attempts: 1,
        startedAt: at(from),
        machineMs: clock.machineMs,
        humanMs: clock.humanMs,
        mode: 'run',
        ...found,
      });
    },
    asked: (step, time) => askedAt.set(step, at(time)),
  });
  const closedAt = options.closedAt ?? '03:50:30';
  const event = eventOf(plan, input, outcome, outcome === null ? null : at(closedAt));
  const { steps } = stateFrom({ ...event, outcome: null }, storedOf(entries));
  const ended = endedOf(steps, entries, askedAt);
  if (outcome !== null)
    put(closedAt, 'closed', {
      outcome,
      ...clock,
      closing: null,
      steps: ended.map(({ id, component, state, attempts, startedAt, endedAt }) => ({ id, component, state, attempts, startedAt, endedAt })),
    });
  const stored = storedOf(entries);
  const fromRecord = stateFrom(event, stored);
  return { event, stored, recorded: entries.map((entry, index) => ({ seq: index + 1, entry })), fromRecord, fromWorker: workerOf(fromRecord, ended, options) };
}

const storedOf = (entries: readonly RecordEntry[]): StoredEntry[] =>
  entries.map((entry, index) => ({
    seq: index + 1,
    rollbackId: ROLLBACK,
    at: entry.at,
    body: JSON.stringify(entry),
    previous: 'sha256:0',
    hash: `sha256:${index}`,
  }));

const eventOf = (plan: Plan, input: typeof START, outcome: Outcome | null, closedAt: string | null): RollbackEvent => ({
  rollbackId: ROLLBACK,
  workflowId: ID,
  kind: 'l1Rollback',
  environment: 'production',
  components: input.components,
  trigger: input.trigger === 'operator' ? 'operator' : 'verification',
  cause: input.cause,
  reason: input.reason,
  by: input.by,
  outcome,
  openedAt: at('02:58:00'),
  closedAt,
  plan,
  planHash: PLAN,
});

/** As the workflow leaves its steps: manual ones asked when it says so, let go where somebody decided it. */
function endedOf(steps: readonly StepView[], entries: readonly RecordEntry[], askedAt: ReadonlyMap<string, string>): StepView[] {
  const answers = entries.flatMap((entry) => (entry.type === 'answer' ? [entry['answer'] as Answer] : [])); // Put above.
  return steps.map((step) => {
    const last = answers.findLast((one) => one.name === 'decide' && one.step === step.id);
    const skipped = last?.['action'] === 'skip' && last.at >= (step.endedAt ?? '');
    return { ...step, startedAt: askedAt.get(step.id) ?? step.startedAt, ...(skipped ? { state: 'skipped', endedAt: last.at } : {}) };
  });
}

function workerOf(state: RollbackState, ended: readonly StepView[], { roles = ROLES, frozen = [], worker = {} }: GivenOptions): RollbackState {
  const said = state.answers.findLast((one) => one.name === 'confirm' && one.step === 'declaration');
  const data = (said?.['data'] ?? {}) as { criticalArea?: string; missedWindow?: string }; // As the stories put it.
  const steps = state.state === 'closed' ? state.steps : ended;
  const declared = said ? { by: said.by, at: said.at, criticalArea: data.criticalArea ?? null, missedWindow: data.missedWindow ?? null } : null;
  return {
    ...state,
    incident: 'INC-42',
    steps,
    incidentCommand: {
      level: 1,
      declared,
      roles: Object.fromEntries(Object.keys(INCIDENT_ROLES).map((role) => [role, roles[role] ?? []])),
      frozen,
      conditions: unfreezeConditions(steps, state.answers),
      nextUpdateAt: null,
    },
    ...worker,
  };
}

export const made = (state: RollbackState, recorded: readonly Recorded[], more: Partial<Material> = {}): Report =>
  reportOf({ state, recorded, sources: ['the state is what the workflow itself says'], madeAt: at('04:00:00'), ...more });

const SCOPES = [...FREEZE_SCOPES];
const EXCEPTIONS = { roles: ['incident-commander', 'api-lead', 'infrastructure-lead'], items: ['rollback', 'incident'] };
const SENT = { stakeholders: '1 of 1', internal: '1 of 1', status: '0 of 0' };
const kept = (name: string): Receipt => ({
  after: { verdict: 'failed', exit: '1', seconds: 41 },
  ids: { file: `/srv/.backout/evidence/${ROLLBACK}/${name}.log`, sha256: 'ab12'.repeat(16), bytes: 18_204 },
});

/** A night in which nearly everything happens that may happen. */
export function longNight({ put, say, ran, asked }: Telling): void {
  asked('declaration', '02:58:10');
  say('03:02:00', 'confirm', 'carol', 'declaration', {
    data: { criticalArea: 'orders', missedWindow: 'the release window of 02:30' },
    note: 'orders are being lost',
  });
  for (const environment of ['production', 'staging'])
    put('03:02:01', 'freeze', { environment, incident: 'INC-42', by: 'carol', scopes: SCOPES, exceptions: EXCEPTIONS });
  ran('freeze', ['03:02:00', '03:02:01'], 'done', { after: { environments: ['production', 'staging'], scopes: SCOPES, exceptions: EXCEPTIONS } });
  ran('freeze.github', ['03:02:00', '03:02:03'], 'done', { before: { ruleset: 'off' }, after: { ruleset: 'active' } });
  ran('communication.declared', ['03:02:03', '03:02:04'], 'done', {
    after: { subject: 'Portarium delivery rollback declared - 2026-11-21 03:02 UTC', sent: SENT },
  });
  ran('identify', ['03:02:03', '03:02:05'], 'failed', null, ['Held', 'web is held by deployRevert/production/web, started by ci']);
  say('03:02:40', 'confirm', 'carol', 'takeover', { choice: 'take-over' });
  put('03:02:42', 'takeover', { from: 'deployRevert/production/web', fromRollbackId: 'f00', by: 'carol', components: ['web'] });
  ran('identify', ['03:02:40', '03:02:45'], 'done', { after: { planHash: PLAN, now: { api: { cutover: 'orders@119007' } } } });
  say('03:04:00', 'confirm', 'carol', 'target', { plan: PLAN });
  ran('web.config', ['03:04:01', '03:04:02'], 'failed', { before: [] }, ['PlanStale', 'config SESSION_KEY of web is not what the plan shows']);
  put('03:04:02', 'void', { step: 'target', why: 'config SESSION_KEY of web is not what the plan shows' });
  put('03:04:08', 'replanned', { plan: planOf(), planHash: PLAN_2, planHashBefore: PLAN });
  ran('identify', ['03:04:03', '03:04:08'], 'done', { after: { planHash: PLAN_2, now: { api: { cutover: 'orders@119021' } } } });
  say('03:05:00', 'assign', 'carol', null, { role: 'incident-commander', to: 'dan', reason: 'I have been up since five' });
  asked('target', '03:04:08');
  say('03:06:00', 'confirm', 'dan', 'target', { plan: PLAN_2 });
  ran('web.config', ['03:06:00', '03:06:02'], 'done', { after: 'as it was recorded' });
  ran('api.deploy', ['03:06:02', '03:06:10'], 'done', { before: { version: 'v2.6.0' }, after: { version: 'v2.5.3' }, ids: { run: 991 } });
  ran('web.deploy', ['03:06:10', '03:06:12'], 'failed', null, ['PlatformFailed', 'the platform says: no space left on device']);
  put('03:06:13', 'notice', { notice: 'stopped', text: 'web.deploy failed: no space left on device', undelivered: [] });
  say('03:07:30', 'decide', 'abe', 'web.deploy', { action: 'retry', reason: 'freed 20 GB', analysis: null, due: null, evidence: [] });
  ran('web.deploy', ['03:07:30', '03:07:40'], 'done', { before: { version: 'v1.1.0' }, after: { version: 'v1.0.0' } });
  ran('health', ['03:07:40', '03:07:45'], 'done', { after: { api: 'passed', web: 'skipped' } });
  ran('smoke', ['03:07:40', '03:07:52'], 'done', { after: { api: 'passed', web: 'passed' } });
  ran('served', ['03:07:40', '03:07:44'], 'done', { after: { api: 'passed', web: 'passed' } });
  ran('parity', ['03:07:40', '03:07:46'], 'done', { after: { api: 'passed' } });
  ran('gate.ci-pr', ['03:07:40', '03:08:21'], 'failed', kept('ci-pr'), ['GateFailed', 'ci-pr is failed (1): 1 of 1204 tests failed: carts › totals']);
  ran('gate.emission', ['03:07:40', '03:08:25'], 'failed', kept('emission'), ['GateInconclusive', 'emission is inconclusive (75): no event within 30 s']);
  say('03:14:00', 'confirm', 'dora', 'cleanup.evidence', {
    choice: 'done',
    evidence: ['chain-verification=https://ci/verify/7', 'incident-links=https://wiki/INC-42', 'the sheet in the drive'],
  });
  say('03:19:00', 'decide', 'dan', 'gate.ci-pr', {
    action: 'skip',
    reason: 'carts › totals fails on main for a week',
    due: null,
    evidence: ['link=https://tracker/CART-7', 'proof=https://ci/main/8817'],
  });
  say('03:20:00', 'decide', 'dan', 'gate.emission', { action: 'skip', reason: 'the collector is slow at night', due: '2026-11-28', evidence: [] });
  asked('cleanup.data', '03:20:00');
  asked('cleanup.evidence', '03:20:00');
  asked('cleanup.credentials', '03:20:00');
  asked('ownership', '03:20:00');
  say('03:21:00', 'confirm', 'dora', 'cleanup.data', { choice: 'not-applicable', note: 'no schema and no data was touched', evidence: [] });
  say('03:24:00', 'confirm', 'sam', 'cleanup.credentials', { choice: 'not-applicable', note: 'no credential was in the release', evidence: [] });
  say('03:25:00', 'confirm', 'dan', 'ownership', { data: { nextCycleOwner: 'abe', reviewOwner: 'ivy' } });
  ran('review', ['03:25:00', '03:25:02'], 'done', {
    ids: { commit: '5c3e1d9a77', branch: 'rollback/INC-42', path: `docs/review/INC-42-${ROLLBACK.slice(0, 8)}.md`, remote: 'origin' },
  });
  put(
    '03:26:00',
    'freeze-drift',
    { text: 'production is frozen for INC-42, and web was put back to v1.0.0, and releases has v1.1.0 in place', undelivered: [] },
    `${ROLLBACK}/freeze-drift/web/${at('03:26:00')}`,
  );
  ran('stability', ['03:25:02', '03:26:02'], 'failed', null, ['Drifted', 'web was put back to v1.0.0, and now releases has v1.1.0 in place']);
  put('03:26:02', 'drift', { component: 'web', failure: failure('Drifted', 'web was put back to v1.0.0, and now releases has v1.1.0 in place') });
  say('03:29:00', 'decide', 'abe', 'web.deploy', { action: 'retry', reason: 'the nightly pipeline is paused', analysis: null, due: null, evidence: [] });
  ran('web.deploy', ['03:29:00', '03:29:08'], 'done', { before: { version: 'v1.1.0' }, after: { version: 'v1.0.0' } });
  ran('health', ['03:29:08', '03:29:12'], 'done', { after: { api: 'passed', web: 'skipped' } });
  ran('smoke', ['03:29:08', '03:29:20'], 'done', { after: { api: 'passed', web: 'passed' } });
  ran('served', ['03:29:08', '03:29:12'], 'done', { after: { api: 'passed', web: 'passed' } });
  ran('parity', ['03:29:08', '03:29:14'], 'done', { after: { api: 'passed' } });
  ran('gate.ci-pr', ['03:29:08', '03:29:49'], 'failed', kept('ci-pr-2'), ['GateFailed', 'ci-pr is failed (1): 1 of 1204 tests failed: carts › totals']);
  ran('gate.emission', ['03:29:08', '03:29:30'], 'failed', kept('emission-2'), ['GateInconclusive', 'emission is inconclusive (75): no event within 30 s']);
  say('03:30:30', 'decide', 'dan', 'gate.ci-pr', {
    action: 'skip',
    reason: 'carts › totals fails on main for a week',
    due: null,
    evidence: ['link=https://tracker/CART-7', 'proof=https://ci/main/8817'],
  });
  say('03:30:50', 'decide', 'dan', 'gate.emission', { action: 'skip', reason: 'the collector is slow at night', due: '2026-11-28', evidence: [] });
  ran('review', ['03:30:50', '03:30:52'], 'done', {
    ids: { commit: '77d0c5b1e2', branch: 'rollback/INC-42', path: `docs/review/INC-42-${ROLLBACK.slice(0, 8)}.md`, remote: 'origin' },
  });
  ran('stability', ['03:30:52', '03:31:52'], 'done', { after: { stableForSeconds: 60, components: ['api', 'web'] } });
  put('03:32:04', 'notice', {
    notice: 'reminder',
    text: 'an update to stakeholders is due; communications-owner is awaited for communication.update',
    undelivered: [],
  });
  say('03:34:00', 'confirm', 'cleo', 'communication.update', { note: 'the target is in place' });
  ran('communication.update', ['03:34:00', '03:34:01'], 'done', { after: { subject: 'Portarium rollback in progress - 2026-11-21 03:34 UTC', sent: SENT } });
  asked('unfreeze', '03:31:52');
  say('03:40:00', 'confirm', 'dan', 'unfreeze', {});
  ran('communication.recovery', ['03:40:00', '03:40:01'], 'done', { after: { subject: 'Portarium rollback complete - controlled unfreeze', sent: SENT } });
  ran('lift.github', ['03:40:01', '03:40:03'], 'done', { after: { ruleset: 'off' } });
  for (const environment of ['production', 'staging']) put('03:40:04', 'unfreeze', { environment, incident: 'INC-42', by: 'carol', scopes: SCOPES });
  ran('lift', ['03:40:03', '03:40:04'], 'done', { after: { environments: ['production', 'staging'], lifted: SCOPES, frozen: [] } });
}
