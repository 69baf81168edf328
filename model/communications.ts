/**
 * What people outside the rollback are told [001 Communication Templates, 004 section 6]: which texts there are, and the facts they
 * are made of, read from the state. The texts themselves are in `templates.ts`.
 */
import { fieldOf, textOf } from './field.ts';
import type { Channel } from './config.ts';
import { databaseFacts, type DatabaseFact } from './database-facts.ts';
import { isFreezeScope } from './freeze.ts';
import type { Target } from './plan.ts';
import { POLICIES } from './policy.ts';
import { signedOf } from './signed.ts';
import { BLOCKED, PASSED, type Answer, type RollbackState, type StepView } from './state.ts';

export const TEMPLATES = ['declared', 'update', 'recovery'] as const;
export type Template = (typeof TEMPLATES)[number];

/** Who is told. Each has a text of its own, and channels of its own under `channels:` in `backout.yaml`. */
export const AUDIENCES = ['stakeholders', 'internal', 'status'] as const;
export type Audience = (typeof AUDIENCES)[number];

/** JSON, bounded, no secrets: it is an activity's input. Null: nobody has said it. */
export interface Facts {
  /** When it is said, ISO. */
  readonly at: string;
  readonly product: string;
  readonly incident: string | null;
  readonly environment: string;
  readonly level: 'L1' | 'L2' | 'L3';
  readonly trigger: string;
  readonly severity: string | null;
  readonly impact: string | null;
  readonly contact: string | null;
  readonly commander: string | null;
  /** Scopes of the freeze in force. */
  readonly freezeScopes: readonly string[];
  /** ISO. */
  readonly nextUpdateAt: string | null;
  readonly targets: readonly {
    readonly component: string;
    readonly from: string | null;
    readonly to: string;
    readonly commit?: string | null;
    readonly build?: string | null;
    readonly deployment?: string | null;
    /** Has it been put back? */
    readonly inPlace: boolean;
  }[];
  readonly done: readonly string[];
  readonly inProgress: readonly string[];
  /** What comes after that. */
  readonly next: readonly string[];
  readonly risks: readonly string[];
  readonly verification: readonly string[];
  /** Risks and follow-ups that stay once it is over. */
  readonly remaining: readonly string[];
  readonly unfreezeScopes: readonly string[];
  readonly reviewOwner: string | null;
  /** ISO. */
  readonly completedAt: string | null;
  readonly status: 'Investigating' | 'Identified' | 'Monitoring' | 'Resolved';
  readonly notes: string | null;
  /** Absent where the plan has none: what an earlier version recorded at level 1 stays what it was. */
  readonly databases?: readonly DatabaseFact[];
}

/** What the state does not hold. */
export interface MoreFacts extends Pick<Facts, 'at' | 'severity' | 'impact' | 'contact' | 'notes'> {
  /** As `backout.yaml` names it; a workflow does not know it, and its activity puts it in. */
  readonly product?: string;
  /** Beside those the state shows. */
  readonly risks: readonly string[];
  /** Without it, what the state says. */
  readonly nextUpdateAt?: string | null;
  readonly freezeScopes?: readonly string[];
  readonly unfreezeScopes?: readonly string[];
}

/** Longest text of one fact, in characters, and the most items of a list: the whole stands in the report. */
const TEXT_MAX = 300;
const ITEMS_MAX = 30;
/** Of what comes next: nobody plans by a message. */
const NEXT_MAX = 8;

/** On one line: what people and platforms say must not look like a field of ours. */
export function oneLine(text: string): string {
  const characters = Array.from(text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\s]+/gu, ' ').trim());
  return characters.length > TEXT_MAX ? `${characters.slice(0, TEXT_MAX - 1).join('')}…` : characters.join('');
}

const lineOrNull = (text: string | null): string | null => (text === null ? null : oneLine(text));

/** Each said once. */
export function bounded(items: readonly string[], max = ITEMS_MAX): string[] {
  const all = [...new Set(items.map(oneLine))].filter((item) => item !== '');
  return all.length > max ? [...all.slice(0, max - 1), `and ${all.length - max + 1} more, which the report has`] : all;
}

/** Never by its address: whoever knows it may write there. */
export function channelName(channel: Channel): string {
  if ('file' in channel) return channel.file;
  if ('webhook' in channel) return 'a webhook';
  return 'slack' in channel ? 'a Slack webhook' : 'a Discord webhook';
}

export function factsOf(state: RollbackState, more: MoreFacts): Facts {
  const { incidentCommand: command, steps } = state;
  const own = steps.filter((step) => step.operation !== 'communicate');
  const everything = frozenBy(steps);
  const isLifted = steps.some((step) => step.id === 'lift' && PASSED.has(step.state));
  const frozen = command?.frozen ?? (isLifted ? [] : everything);
  const unfrozen = more.unfreezeScopes ?? chosenScopes(state) ?? (frozen.length > 0 ? frozen : everything);
  const risks = [...more.risks, ...steps.flatMap((step) => risksOf(step, state)), ...wholeRisks(state)];
  const held = isReleased(state) ? frozen.filter((scope) => !unfrozen.includes(scope)) : [];
  return {
    at: more.at,
    product: more.product ?? 'the product',
    incident: state.incident ?? incidentOf(state),
    environment: state.environment,
    level: `L${command?.level ?? POLICIES[state.kind].level ?? 1}`,
    trigger: triggerOf(state),
    severity: lineOrNull(more.severity),
    impact: lineOrNull(more.impact),
    contact: lineOrNull(more.contact),
    commander: command?.roles['incident-commander']?.join(', ') || (command?.declared?.by ?? answerTo(state, 'confirm', 'declaration')?.by ?? null),
    freezeScopes: more.freezeScopes ?? frozen,
    nextUpdateAt: more.nextUpdateAt === undefined ? (command?.nextUpdateAt ?? null) : more.nextUpdateAt,
    targets: state.targets.map((target) => targetOf(target, steps)),
    done: bounded(steps.flatMap((step) => doneOf(step, state))),
    inProgress: bounded(own.flatMap(inProgressOf)),
    next: bounded(
      own.flatMap((step) => (step.state === 'pending' ? [step.title] : [])),
      NEXT_MAX,
    ),
    risks: bounded(risks),
    verification: verificationOf(steps, state),
    remaining: bounded([...risks, ...held.map((scope) => `still frozen: ${scope}`)]),
    unfreezeScopes: unfrozen,
    reviewOwner: textOf(answerTo(state, 'confirm', 'ownership')?.['data'], 'reviewOwner'),
    completedAt: completedAt(steps),
    status: statusOf(state),
    notes: lineOrNull(more.notes),
    ...databasesOf(steps),
  };
}

function databasesOf(steps: readonly StepView[]): Pick<Facts, 'databases'> {
  const all = databaseFacts(steps).map((one) => ({ ...one, stands: oneLine(one.stands) }));
  return all.length === 0 ? {} : { databases: all.slice(0, ITEMS_MAX) };
}

const answerTo = (state: RollbackState, name: string, step: string): Answer | undefined =>
  state.answers.findLast((one) => one.name === name && one.step === step);

/** What the Incident Commander chose to unfreeze; null: nothing was chosen. */
function chosenScopes(state: RollbackState): string[] | null {
  const scopes = fieldOf(answerTo(state, 'confirm', 'unfreeze')?.['data'], 'scopes');
  return Array.isArray(scopes) ? scopes.filter(isFreezeScope) : null;
}

/** What the freeze took in when it was set, as its receipt says. */
function frozenBy(steps: readonly StepView[]): string[] {
  const scopes = fieldOf(steps.find((step) => step.id === 'freeze')?.receipt?.after, 'scopes');
  return Array.isArray(scopes) ? scopes.filter(isFreezeScope) : [];
}

/** A state that is put together from the record has it in its Workflow Id only. */
const incidentOf = ({ id, kind }: RollbackState): string | null => (POLICIES[kind].subject === 'incident' ? (id.split('/')[2] ?? null) : null);

/** [001 Freeze Scope] */
const CAUSES: Readonly<Record<string, string>> = {
  'ci-failed-in-critical-area': 'CI fails in a critical area and cannot be mended in time',
  'reliability-regression': 'reliability or integrity has regressed',
  'security-or-tenancy-risk': 'security or tenancy isolation is at risk',
  'evidence-uncertain': 'the integrity of the evidence chain is uncertain',
};

function triggerOf({ trigger, incidentCommand }: RollbackState): string {
  const { criticalArea = null, missedWindow = null } = incidentCommand?.declared ?? {};
  const area = [...(criticalArea === null ? [] : [`area: ${criticalArea}`]), ...(missedWindow === null ? [] : [`missed window: ${missedWindow}`])];
  const cause = Object.hasOwn(CAUSES, trigger.cause) ? CAUSES[trigger.cause] : trigger.cause;
  return oneLine(`${cause}${area.length === 0 ? '' : ` (${area.join('; ')})`}: ${trigger.reason}`);
}

function targetOf({ component, from, to, comparison = [] }: Target, steps: readonly StepView[]): Facts['targets'][number] {
  const then = (what: string): string | null => comparison.find((one) => one.what === what)?.then ?? null;
  const deploy = steps.find((step) => step.operation === 'deploy' && step.component === component);
  const inPlace = deploy?.state === 'done' || deploy?.state === 'already';
  return { component, from, to, commit: then('commit'), build: then('build'), deployment: then('deployment'), inPlace };
}

function doneOf(step: StepView, state: RollbackState): string[] {
  if (step.state === 'done') return [step.title];
  if (step.state === 'already') return step.beside ? [] : [`${step.title} (it was so already)`];
  if (step.state !== 'confirmed') return [];
  const said = answerTo(state, 'confirm', step.id);
  const choice = textOf(said, 'choice');
  return [`${step.title} (${choice === null ? 'confirmed' : choice}${said ? ` by ${said.by}` : ''})`];
}

function inProgressOf({ title, state, owner }: StepView): string[] {
  if (state === 'running') return [title];
  return state === 'waiting' ? [`${title} (waiting for ${owner ?? 'a person'})`] : [];
}

function risksOf(step: StepView, state: RollbackState): string[] {
  const { title, failure } = step;
  if (step.state === 'irreversible') return [`${title}: cannot be undone`];
  if (BLOCKED.has(step.state))
    return [`${title}: ${step.state === 'unknown' ? 'its result is not known' : step.state}${failure ? `: ${failure.message}` : ''}`];
  return step.state === 'skipped' && !isUnexposed(step, state) ? [`${title}: ${skippedAs(step, state)}`] : [];
}

/** Of a credential that was not exposed, as the Security Lead has signed: nothing is left out. */
const isUnexposed = ({ subject, effect, operation }: StepView, state: RollbackState): boolean =>
  (effect === 'credential' || operation === 'scope') &&
  subject !== undefined &&
  signedOf(answerTo(state, 'confirm', 'credentials')?.['data']).unaffected.includes(subject);

/** Who signed for what was left out, until when, and with what [001 steps 4 and 5]. */
function skippedAs({ id }: StepView, state: RollbackState): string {
  const said = answerTo(state, 'decide', id);
  if (!said) return 'left out';
  const evidence = Array.isArray(said['evidence']) ? said['evidence'].filter((one) => typeof one === 'string') : [];
  const due = textOf(said, 'due');
  const signed = `risk accepted by ${said.by}${due === null ? '' : `, due ${due}`}`;
  return [signed, ...(evidence.length === 0 ? [] : [evidence.join(', ')]), textOf(said, 'reason') ?? 'no reason given'].join('; ');
}

function wholeRisks({ steps, remains, clock, stopped, warnings }: RollbackState): string[] {
  const isStopped = stopped !== null && !steps.some((step) => BLOCKED.has(step.state));
  return [
    ...remains.map((one) => `${one.artifact} is not undone: ${one.reason}${one.owner === null ? '' : ` (${one.owner})`}`),
    ...(isStopped ? [`it is stopped: ${stopped}`] : []),
    ...(clock.breached && clock.targetSeconds !== null ? [`the time target of ${clock.targetSeconds} s was missed`] : []),
    ...warnings,
  ];
}

function verificationOf(steps: readonly StepView[], state: RollbackState): string[] {
  const gates = steps.filter((step) => step.mode === 'gate' && !(step.state === 'skipped' && isUnexposed(step, state)));
  const isPassed = (step: StepView): boolean => step.state === 'done' || step.state === 'already';
  const passed = gates.filter(isPassed);
  if (gates.length === 0) return [];
  return bounded([
    `${passed.length} of ${gates.length} checks passed${passed.length === 0 ? '' : ` (${passed.map((step) => step.id).join(', ')})`}`,
    ...gates
      .filter((step) => !isPassed(step))
      .map((step) => risksOf(step, state)[0] ?? `${step.title}: ${step.state === 'pending' ? 'not run yet' : step.state}`),
  ]);
}

const technical = (steps: readonly StepView[]): StepView[] =>
  steps.filter((step) => step.mode === 'gate' || step.operation === 'deploy' || step.operation === 'config' || step.place !== undefined);

/** When the last of what was to be put back and checked was; null while it is not. */
function completedAt(steps: readonly StepView[]): string | null {
  const work = technical(steps);
  if (!work.some((step) => step.operation === 'deploy') || !work.every((step) => PASSED.has(step.state))) return null;
  return work.flatMap((step) => step.endedAt ?? []).reduce<string | null>((last, at) => (last === null || at > last ? at : last), null);
}

/** The Incident Commander has lifted the freeze: the end, for whoever looks from outside. */
const isReleased = (state: RollbackState): boolean => state.steps.some((step) => step.id === 'unfreeze' && step.state === 'confirmed');

function statusOf(state: RollbackState): Facts['status'] {
  const { steps } = state;
  if (isReleased(state)) return 'Resolved';
  const work = technical(steps).filter((step) => step.operation !== 'stability');
  if (work.some((step) => step.operation === 'deploy') && work.every((step) => PASSED.has(step.state))) return 'Monitoring';
  const isKnown = steps.some((step) => step.id === 'target' && PASSED.has(step.state));
  return isKnown ? 'Identified' : 'Investigating';
}
