/** A deprovisioning as its workflow and its activities record it, entry by entry: what a report and a certificate are made of, without Temporal. */
import { stateFrom } from '../../client/recorded.ts';
import { certificateFor, type Certificate } from '../../client/report/certificate.ts';
import { certificateMarkdown } from '../../client/report/certificate-markdown.ts';
import { certificatePage } from '../../client/report/certificate-page.ts';
import type { Material } from '../../client/report/reading.ts';
import { reportOf, type Report } from '../../client/report/report.ts';
import type { Recorded } from '../../client/report/timeline.ts';
import { deprovisionSteps, type Inventoried } from '../../model/deprovision.ts';
import { failure, type FailureType } from '../../model/failure.ts';
import type { Plan } from '../../model/plan.ts';
import type { RecordEntry, StoredEntry } from '../../model/record.ts';
import type { Answer, Outcome, Receipt, RollbackState, StepState, StepView, TenantView } from '../../model/state.ts';
import type { RollbackEvent } from '../../store/store.ts';

export const ID = 'upaDeprovision/production/acme';
export const ROLLBACK = '01a1fdec-ec78-71cc-8b47-b10cf201721e';
export const EARLIER = '01a1ab00-0000-71cc-8b47-000000000001';
export const PLAN = 'sha256:c0ffee11c0ffee11';
export const HEAD = `sha256:${'4be1'.repeat(16)}`;
/** `02 09:30:00`: a day of November and a time. */
export const at = (when: string): string => `2026-11-${when.replace(' ', 'T')}.000Z`;

const listed = (artifact: Omit<Inventoried, 'requests' | 'presence'> & Partial<Inventoried>): Inventoried => ({
  requests: ['req-2041'],
  presence: 'present',
  ...artifact,
});
export const WORKFLOW = listed({ type: 'n8n-workflow', id: 'x7Kq2', name: 'Acme intake' });
export const SECOND = listed({ type: 'n8n-workflow', id: 'b9Lm4', name: 'Acme follow-up' });
export const WEBHOOK = listed({ type: 'webhook', id: 'acme/intake' });
export const CRM = listed({ type: 'crm', id: '4471102', name: 'HubSpot Acme' });
export const CALENDAR = listed({ type: 'calendar', id: 'front-desk@acme.example', presence: 'unknown' });
export const VAPI = listed({ type: 'vapi-assistant', id: '5f0c-77', name: 'Recepcionista Acme', presence: 'unknown' });
export const CREDENTIAL = listed({ type: 'credential', id: 'acme-hubspot', presence: 'unknown' });
export const ALL: readonly Inventoried[] = [WORKFLOW, SECOND, WEBHOOK, CRM, CALENDAR, VAPI, CREDENTIAL];

export const planOf = (artifacts: readonly Inventoried[], requests: readonly string[] = ['req-2041']): Plan => ({
  kind: 'upaDeprovision',
  environment: 'production',
  tenant: 'acme',
  incident: null,
  targets: [],
  steps: deprovisionSteps({ tenant: 'acme', requests, artifacts, isOver: requests.length === 0, fourEyes: () => false }),
  targetSeconds: null,
  artifacts,
  requests,
});

export interface Telling {
  readonly put: (when: string, type: string, detail: Readonly<Record<string, unknown>>) => void;
  readonly say: (when: string, name: string, by: string, step: string | null, detail?: Readonly<Record<string, unknown>>) => void;
  readonly ran: (
    step: string,
    when: string,
    state: StepState,
    receipt?: Receipt | null,
    failed?: readonly [FailureType, string],
    more?: Readonly<Record<string, unknown>>,
  ) => void;
}

export const START = {
  environment: 'production',
  components: [],
  targets: {},
  trigger: 'operator',
  cause: 'client-offboarded',
  reason: 'contract 88-B ends, see https://wiki.internal/acme?key=s3cret',
  by: 'olga',
  tenant: 'acme',
  incident: null,
  resumes: null,
} as const;

export interface GivenOptions {
  readonly artifacts?: readonly Inventoried[];
  readonly requests?: readonly string[];
  /** Null: there is none. */
  readonly plan?: Plan | null;
  readonly outcome?: Outcome | null;
  readonly input?: Readonly<Record<string, unknown>>;
  readonly status?: TenantView['status'];
  readonly rollbackId?: string;
  readonly closedAt?: string;
  readonly openedAt?: string;
  readonly worker?: Partial<RollbackState>;
}

export interface Given {
  readonly fromRecord: RollbackState;
  readonly fromWorker: RollbackState;
  readonly recorded: readonly Recorded[];
}

export function given(story: (telling: Telling) => void, options: GivenOptions = {}): Given {
  const {
    artifacts = ALL,
    requests = ['req-2041'],
    outcome = 'rolled-back',
    rollbackId = ROLLBACK,
    closedAt = '04 16:00:00',
    openedAt = '02 09:00:00',
  } = options;
  const plan = options.plan === undefined ? planOf(artifacts, requests) : options.plan;
  const input = { ...START, ...options.input };
  const entries: RecordEntry[] = [];
  const put: Telling['put'] = (when, type, detail) => {
    entries.push({ event: `${rollbackId}/${type}/${entries.length}`, rollbackId, at: at(when), type, ...detail });
  };
  if (plan) put(openedAt, 'opened', { workflowId: ID, runId: rollbackId, input, plan, planHash: PLAN, warnings: [] });
  story({
    put,
    say: (when, name, by, step, detail = {}) => {
      put(when, 'answer', { answer: { name, step, by, proof: 'self-declared', at: at(when), ...detail } });
    },
    ran: (step, when, state, receipt = null, failed, more = {}) => {
      const found = { receipt, failure: failed ? failure(...failed) : null, remains: [] };
      put(when, 'step', {
        step,
        state,
        generation: 0,
        attempts: 1,
        startedAt: at(when),
        machineMs: 41_000,
        humanMs: 183_600_000,
        mode: 'run',
        ...found,
        ...more,
      });
    },
  });
  const event: RollbackEvent = {
    rollbackId,
    workflowId: ID,
    kind: 'upaDeprovision',
    environment: 'production',
    components: [],
    trigger: 'operator',
    cause: input.cause,
    reason: input.reason,
    by: input.by,
    outcome,
    openedAt: at(openedAt),
    closedAt: outcome === null ? null : at(closedAt),
    plan,
    planHash: plan ? PLAN : null,
  };
  const steps = asWorker(stateFrom({ ...event, outcome: null }, storedOf(entries, rollbackId)).steps, entries);
  if (outcome !== null && plan)
    put(closedAt, 'closed', {
      outcome,
      machineMs: 41_000,
      humanMs: 183_600_000,
      breached: false,
      closing: null,
      steps: steps.map(({ id, state, attempts, startedAt, endedAt }) => ({ id, state, attempts, startedAt, endedAt })),
    });
  const fromRecord = stateFrom(event, storedOf(entries, rollbackId));
  const fromWorker: RollbackState = {
    ...fromRecord,
    steps,
    ...(plan ? { deprovision: { requests, status: options.status === undefined ? 'ROLLED_BACK' : options.status, artifacts } } : {}),
    ...options.worker,
  };
  return { fromRecord, fromWorker, recorded: entries.map((entry, index) => ({ seq: index + 1, entry })) };
}

const storedOf = (entries: readonly RecordEntry[], rollbackId: string): StoredEntry[] =>
  entries.map((entry, index) => ({
    seq: index + 1,
    rollbackId,
    at: entry.at,
    body: JSON.stringify(entry),
    previous: 'sha256:0',
    hash: index === entries.length - 1 ? HEAD : `sha256:${index}`,
  }));

/** As the workflow leaves its steps: skipped where somebody left them, pending where an approval is all there is. */
function asWorker(steps: readonly StepView[], entries: readonly RecordEntry[]): StepView[] {
  const answers = entries.flatMap((entry) => (entry.type === 'answer' ? [entry['answer'] as Answer] : [])); // Put above.
  const ran = new Set(entries.flatMap((entry) => (entry.type === 'step' ? [entry['step']] : [])));
  return steps.map((step) => {
    const last = answers.findLast((one) => one.name === 'decide' && one.step === step.id);
    if (last?.['action'] === 'skip' && last.at >= (step.endedAt ?? '')) return { ...step, state: 'skipped', endedAt: last.at };
    if (step.irreversible !== undefined) return { ...step, state: 'irreversible' };
    return step.approval && step.state === 'confirmed' && !ran.has(step.id) ? { ...step, state: 'pending', endedAt: null } : step;
  });
}

export type From = 'fromWorker' | 'fromRecord';
export const materialOf = (one: Given, from: From = 'fromWorker', more: Partial<Material> = {}): Material => ({
  state: one[from],
  recorded: one.recorded,
  sources: ['the state is what the workflow itself says'],
  madeAt: at('05 10:00:00'),
  head: { seq: one.recorded.length, hash: HEAD },
  ...more,
});
export const reported = (one: Given, from: From = 'fromWorker', more: Partial<Material> = {}): Report => reportOf(materialOf(one, from, more));
export function certified(one: Given, from: From = 'fromWorker', more: Partial<Material> = {}, house: string | null = 'NexumOps'): Certificate {
  const material = materialOf(one, from, more);
  return certificateFor({ report: reportOf(material), material, house });
}

export const SOURCES = [['fromWorker'], ['fromRecord']] as const;
export const everything = (one: Certificate): string => [JSON.stringify(one), certificateMarkdown(one), certificatePage(one)].join('\n');
/** `kind name: done, by, how`. */
export const lines = ({ removed }: Certificate): string[] => removed.map((one) => `${one.name}: ${one.done}, ${one.confirmedBy ?? 'nobody'}, ${one.how}`);
export const leftOf = ({ left }: Certificate): string[] => left.map((one) => `${one.name}: ${one.why}, ${one.owner}`);

/** What is said instead of a certificate. */
export function refusalOf(of: Parameters<typeof certificateFor>[0]): unknown {
  try {
    return certificateFor(of);
  } catch (error) {
    return error;
  }
}

const seen = (presence: string): Receipt => ({
  before: { presence: 'present', detail: 'n8n at http://n8n.internal:5678 has it' },
  after: { presence, detail: `it is ${presence} at http://n8n.internal:5678` },
});

export function begun({ say, ran }: Telling): void {
  ran('identify', '02 09:00:01', 'done', { after: { planHash: PLAN, artifacts: ALL.length, protected: {} } });
  say('02 09:10:00', 'confirm', 'ana', 'inventory', { plan: PLAN });
  ran('begin', '02 09:10:01', 'done', { before: { 'req-2041': 'COMPLETED' }, after: { 'req-2041': 'ROLLBACK_IN_PROGRESS' } });
}
/** Every artifact but what a test says itself. */
export function artifacts({ say, ran }: Telling, except: readonly string[] = []): void {
  const unless = (step: string, tell: () => void): void => {
    if (!except.includes(step)) tell();
  };
  unless('workflow.x7Kq2', () => {
    say('02 09:30:00', 'confirm', 'ana', 'workflow.x7Kq2', { choice: 'delete', note: 'see https://n8n.internal/x7Kq2' });
    ran('workflow.x7Kq2', '02 09:30:02', 'done', seen('absent'));
  });
  unless('workflow.b9Lm4', () => {
    say('02 09:31:00', 'confirm', 'ben', 'workflow.b9Lm4', { choice: 'deactivate' });
    ran('workflow.b9Lm4', '02 09:31:02', 'done', seen('inactive'));
  });
  unless('crm.4471102', () => {
    say('02 09:40:00', 'confirm', 'ana', 'crm.4471102');
    ran('crm.4471102', '02 09:40:01', 'done', seen('present'));
    say('03 11:00:00', 'confirm', 'carl', 'crm.4471102.credentials', { note: 'private app token pat-eu1-0001 revoked' });
  });
  unless('calendar', () => {
    say('02 09:41:00', 'confirm', 'ana', 'calendar.front-desk@acme.example');
    ran('calendar.front-desk@acme.example', '02 09:41:01', 'done', seen('unknown'));
    say('03 11:05:00', 'confirm', 'carl', 'calendar.front-desk@acme.example.credentials', { note: 'removed' });
  });
  unless('vapi.5f0c-77', () => {
    say('03 12:00:00', 'confirm', 'ben', 'vapi.5f0c-77', { note: 'deleted in the dashboard' });
    ran('vapi.5f0c-77.look', '03 12:00:01', 'done', { after: { presence: 'unknown', detail: 'no read key', verified: false } });
  });
  unless('webhook.acme/intake', () => {
    say('03 12:10:00', 'confirm', 'ana', 'webhook.acme/intake');
    ran('webhook.acme/intake', '03 12:10:05', 'done', seen('absent'));
  });
  unless('routes', () => say('03 12:30:00', 'confirm', 'ana', 'routes'));
}
export function completed({ say, ran }: Telling): void {
  ran('remnants', '04 15:00:00', 'done', { after: { left: 0, protected: {} } });
  say('04 15:59:00', 'confirm', 'dina', 'completion');
  ran('complete', '04 15:59:02', 'done', { after: { 'req-2041': 'ROLLED_BACK' } });
}
export function whole(telling: Telling): void {
  begun(telling);
  artifacts(telling);
  completed(telling);
}
/** A workflow that could not be deleted, left to people, cleaned up by hand two days later. */
export function failedOnce(telling: Telling): void {
  const { say, ran } = telling;
  begun(telling);
  say('02 09:30:00', 'confirm', 'ana', 'workflow.x7Kq2', { choice: 'delete' });
  ran('workflow.x7Kq2', '02 09:30:10', 'failed', seen('present'), [
    'NotRemoved',
    'n8n workflow "Acme intake" is still present: http://n8n.internal:5678 answered 500',
  ]);
  ran('failure', '02 09:30:11', 'done', { after: { 'req-2041': 'FAILED' } });
  artifacts(telling, ['workflow.x7Kq2']);
  say('03 13:00:00', 'decide', 'eve', 'workflow.x7Kq2', { action: 'skip', reason: 'n8n is down until Thursday', evidence: [] });
}
export function cleanedUp(telling: Telling): void {
  failedOnce(telling);
  telling.say('04 14:00:00', 'confirm', 'fred', 'cleanup', { note: 'deleted on the server' });
  completed(telling);
}
/** Of these artifacts alone, from the start to the end. */
export const only = (list: readonly Inventoried[], story: (telling: Telling) => void): Given =>
  given(
    (telling) => {
      begun(telling);
      story(telling);
      completed(telling);
    },
    { artifacts: list },
  );
/** What a look has seen. */
export const after = (presence: string, more: Readonly<Record<string, unknown>> = {}): Receipt => ({ after: { presence, detail: 'as it is', ...more } });
export function many(number: number): Given {
  const list = Array.from({ length: number }, (_, index): Inventoried => ({
    ...WORKFLOW,
    id: `wf-${index}-aX7Kq2`,
    name: `Acme appointment reminder ${index}`,
  }));
  return only(list, ({ say, ran }) => {
    for (const { id } of list) {
      say('02 09:30:00', 'confirm', 'ana', `workflow.${id}`, { choice: 'delete' });
      ran(`workflow.${id}`, '02 09:30:02', 'done', after('absent'));
    }
  });
}
