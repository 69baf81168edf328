/** What the Temporal UI shows of a rollback: enough to run it from there. Costs no history event. */
import { defineSearchAttributeKey, type SearchAttributeUpdatePair } from '@temporalio/common';
import { routeProofs } from '../model/route-proofs.ts';
import { unfreezeConditions } from '../model/conditions.ts';
import { signedOf } from '../model/signed.ts';
import { PASSED, type StepState } from '../model/state.ts';
import { isAnswered } from '../model/warnings.ts';
import type { Progress } from './progress.ts';
import { waitingOf } from './awaited.ts';

const KIND = defineSearchAttributeKey('RollbackKind', 'KEYWORD');
const STATE = defineSearchAttributeKey('RollbackState', 'KEYWORD');
const ENVIRONMENT = defineSearchAttributeKey('RollbackEnvironment', 'KEYWORD');
const COMPONENTS = defineSearchAttributeKey('RollbackComponents', 'KEYWORD_LIST');
const TENANT = defineSearchAttributeKey('RollbackTenant', 'KEYWORD');
const WAITING_FOR = defineSearchAttributeKey('RollbackWaitingFor', 'KEYWORD_LIST');
const TRIGGER = defineSearchAttributeKey('RollbackTrigger', 'KEYWORD');
const INCIDENT = defineSearchAttributeKey('RollbackIncident', 'KEYWORD');
const TARGET = defineSearchAttributeKey('RollbackTarget', 'KEYWORD_LIST');

/** What changes while it runs. */
export function movingAttributes(progress: Progress): SearchAttributeUpdatePair[] {
  const waiting = waitingOf(progress).map((one) => one.for);
  return [
    { key: STATE, value: progress.outcome ?? progress.name() },
    { key: WAITING_FOR, value: waiting.length === 0 ? null : [...new Set(waiting)] },
  ];
}

/** What is known once the plan is made. */
export function plannedAttributes(progress: Progress): SearchAttributeUpdatePair[] {
  const { input } = progress;
  return [
    { key: KIND, value: progress.kind },
    { key: ENVIRONMENT, value: input?.environment ?? null },
    { key: COMPONENTS, value: input ? [...input.components] : null },
    { key: TENANT, value: input?.tenant ?? null },
    { key: TRIGGER, value: input?.trigger ?? null },
    { key: INCIDENT, value: input?.incident ?? null },
    { key: TARGET, value: progress.plan ? progress.plan.targets.map((target) => `${target.component}=${target.to}`) : null },
  ];
}

const MARK: Readonly<Record<StepState, string>> = {
  pending: '·',
  running: '▶',
  waiting: '⏳',
  unknown: '❓',
  done: '✅',
  already: '✅',
  failed: '❌',
  skipped: '⏭',
  confirmed: '✅',
  declined: '❌',
  irreversible: '⛔',
};

/** One line: where it is going. */
export const headline = (progress: Progress): string =>
  progress.plan?.artifacts
    ? `${progress.plan.tenant ?? ''}: ${progress.plan.artifacts.length} artifacts of ${(progress.plan.requests ?? []).join(', ') || 'no open request'}`
    : progress.plan
      ? progress.plan.targets.map((target) => `${target.component} ${target.from ?? '?'} → ${target.to}`).join(', ')
      : (progress.input?.components.join(', ') ?? 'unreadable input');

/** "Why was rollback executed, and to which version?" [002 section 10], and what it is waiting for. */
export function whyOf(progress: Progress): string {
  const { input } = progress;
  if (!input) return `Nothing was executed: ${progress.refusals[0]?.explanation ?? 'the input could not be read'}.`;
  const awaited = waitingOf(progress);
  const waits = awaited.slice(0, SHOWN_MAX).map((one) => `${one.for} (${one.step}): ${one.answer}`);
  if (awaited.length > waits.length) waits.push(`${awaited.length - waits.length} more`);
  const end = progress.outcome === null ? '' : ` It ended ${progress.outcome}.`;
  const refused = progress.outcome === 'refused' ? ` Refused: ${progress.refusals[0]?.explanation ?? ''}` : '';
  const stopped = progress.stopReason();
  return `${input.by} started it (${input.trigger}, ${input.cause}): ${input.reason}. ${headline(progress)}.${end}${refused}${stopped ? ` Stopped: ${stopped}.` : ''}${waits.length > 0 ? ` Waiting for ${waits.join('; ')}` : ''}${heldUp(progress)}`;
}

/** Revoked first is first of what is changed, and nothing is before the target is confirmed: who has signed for an exploited one hears what it waits for. */
function heldUp(progress: Progress): string {
  if (progress.step('credentials')?.state !== 'confirmed' || progress.step('target')?.state === 'confirmed' || progress.outcome !== null) return '';
  const said = progress.answers.findLast((one) => one.name === 'confirm' && one.step === 'credentials');
  const names = signedOf(said?.['data']).revokeFirst.filter((name) => progress.step(`revoke.${name}`)?.state === 'pending');
  return names.length === 0 ? '' : ` Not revoked yet: ${names.join(', ')}. Revocation begins when \`target\` is confirmed.`;
}

/** A page of hundreds of steps is read by nobody. */
const SHOWN_MAX = 20;
const shownOf = (steps: Progress['steps']): Progress['steps'] =>
  steps.length <= 3 * SHOWN_MAX
    ? steps
    : [...steps.filter((step) => !PASSED.has(step.state)), ...steps.filter((step) => PASSED.has(step.state))].slice(0, 3 * SHOWN_MAX);

/** Foreign text, as it is: outside of code the UI's renderer bends quotes, and JSON copied from it is none. */
const verbatim = (text: string): string => `\`${text.replaceAll(/[`\s]+/g, ' ')}\``;

/**
 * Markdown for the Temporal UI: first who is awaited and the exact JSON to send. Its renderer wants a blank line before a list
 * and four spaces within; its frame cuts off the last line, hence the rule. It calls a refused answer successful, so refusals are told here.
 */
export function currentDetails(progress: Progress): string {
  const awaited = waitingOf(progress);
  const waits = awaited.slice(0, SHOWN_MAX).map((one) => {
    const [name = '', ...json] = one.json.split(' ');
    const title = progress.steps.find((step) => step.planned.id === one.step && step.state === 'waiting')?.planned.title;
    const proofs =
      one.step === 'routes' ? routeProofs(progress.steps.map(({ planned, state, receipt }) => ({ id: planned.id, state, receipt }))).slice(0, SHOWN_MAX) : [];
    return [
      `- **${one.for}**, for \`${one.step}\`${title ? ` (${title})` : ''}. Send the signal or update \`${name}\` with\n`,
      `    \`\`\`json\n    ${json.join(' ')}\n    \`\`\`\n`,
      ...(one.why ? [`    ${one.why}\n`] : []),
      `    or run \`${one.answer}\`${name === 'confirm' && one.step !== 'investigation' ? '. If the answer is no: `decline`, with a `reason`' : ''}`,
      ...(one.or ?? []).map((other) => `    - ${other.when}: \`${other.json}\``),
      ...proofs.map(({ path, seen, isGone }) => `    - ${isGone ? '✅' : '❌'} ${verbatim(path)}: ${verbatim(seen)}`),
    ].join('\n');
  });
  const more = awaited.length > SHOWN_MAX ? [`- and ${awaited.length - SHOWN_MAX} more: \`backout show ${progress.identity.workflowId}\``] : [];
  const steps = shownOf(progress.steps).map((step) => `| ${MARK[step.state]} ${step.state} | ${step.planned.id} | ${step.planned.title} |`);
  const warnings = progress.warnings.filter((one) => !isAnswered(one, progress.desk().steps));
  const refused = progress.refusals
    .slice(-3)
    .map((one) => `- ${one.at.slice(11, 19)} UTC, \`${one.message ?? 'start'}\` by ${verbatim(one.by)}: ${verbatim(one.explanation)}`);
  return [
    `**${headline(progress)}** · ${progress.outcome ?? progress.name()}${progress.breached ? ' · time target missed' : ''}`,
    ...(progress.stopReason() === null ? [] : ['', `**Stopped**: ${progress.stopReason() ?? ''}`]),
    ...(waits.length === 0 ? [] : ['', '**Awaited** (here: *More Actions*, *Send an Update*; write your name for YOU)', '', [...waits, ...more].join('\n\n')]),
    ...(heldUp(progress) === '' ? [] : ['', `**${heldUp(progress).trim()}**`]),
    ...commandDetails(progress),
    ...(refused.length === 0 ? [] : ['', '**Refused**, without effect', '', ...refused]),
    ...(warnings.length === 0 ? [] : ['', '**Warnings**', '', ...warnings.map((warning) => `- ${warning}`)]),
    '',
    '| state | step | what |',
    '|---|---|---|',
    ...steps,
    '',
    whyOf(progress).split(' Waiting for')[0] ?? '',
    '',
    '---',
  ].join('\n');
}

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string[] => [
  '',
  `| ${head.join(' | ')} |`,
  `|${head.map(() => '---').join('|')}|`,
  ...rows.map((row) => `| ${row.map((text) => text.replaceAll(/[\s|]+/g, ' ')).join(' | ')} |`),
];

/** Of an incident: who commands, what is frozen, what the target differs in, and what the unfreeze still needs. */
function commandDetails(progress: Progress): string[] {
  const { incident, plan } = progress;
  if (!incident) return [];
  const asked = (id: string): boolean => progress.step(id)?.state === 'waiting';
  const { declared, frozen } = incident;
  const lines = [
    '',
    declared
      ? `**L${progress.policy.level ?? 1}**, declared by ${verbatim(declared.by)} at ${declared.at}`
      : `**L${progress.policy.level ?? 1}**, only proposed: nothing is touched before it is declared`,
    ...(frozen.length === 0 ? [] : [`· frozen: ${frozen.join(', ')}`]),
  ];
  if (asked('target') && plan)
    lines.push(
      ...table(
        ['component', 'what', 'when planned', 'then'],
        plan.targets.flatMap((target) => [
          [target.component, 'version', target.from ?? '?', target.to],
          ...(target.comparison ?? []).map((one) => ['', one.what, one.now ?? '–', one.then ?? '–']),
        ]),
      ),
    );
  if (asked('unfreeze') || asked('ownership'))
    lines.push(
      ...table(
        ['unfreeze when', 'met', 'by'],
        unfreezeConditions(progress.desk().steps, progress.answers).map((one) => [one.condition, one.met ? 'yes' : 'no', one.by]),
      ),
    );
  return lines;
}
