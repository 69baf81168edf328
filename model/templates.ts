/**
 * The texts themselves: templates A, B and C of [001 Communication Templates], the internal text of [004 section 6.1] and the status
 * page of [004 section 6.2]. Labels are those of the sources; a fact that nobody knows is `not stated`, never invented.
 */
import { bounded, oneLine, type Audience, type Facts, type Template } from './communications.ts';
import { roleTitle } from './roles.ts';

export interface Text {
  readonly subject: string;
  readonly body: string;
}

export const NOT_STATED = 'not stated';

/** For every audience; which of them have channels is for the caller to know. */
export const render = (template: Template, facts: Facts): Readonly<Record<Audience, Text>> => ({
  stakeholders: STAKEHOLDERS[template](facts),
  internal: internal(template, facts),
  status: statusPage(facts),
});

const STAKEHOLDERS: Readonly<Record<Template, (facts: Facts) => Text>> = {
  /** [001 Template A] */
  declared: (facts) => ({
    subject: `${said(facts.product)} delivery rollback declared - ${time(facts.at)}`,
    body: lines(
      'Status: Rollback mode active.',
      field('Trigger', said(facts.trigger)),
      field('Scope level', facts.level),
      field('Freeze scope', frozen(facts.freezeScopes)),
      field('Current owner', commander(facts)),
      field('Next update', time(facts.nextUpdateAt)),
      ...about(facts),
    ),
  }),
  /** [001 Template B] */
  update: (facts) => ({
    subject: `${said(facts.product)} rollback in progress - ${time(facts.at)}`,
    body: lines(
      field('Rollback target', joined(facts.targets.map(target))),
      'Actions completed:',
      ...list(facts.done),
      'Actions in progress:',
      ...list(facts.inProgress),
      'Risks:',
      ...list(facts.risks),
      field('Next update', time(facts.nextUpdateAt)),
      ...about(facts),
    ),
  }),
  /** [001 Template C] */
  recovery: (facts) => ({
    subject: `${said(facts.product)} rollback complete - controlled unfreeze`,
    body: lines(
      field('Rollback completed at', time(facts.completedAt)),
      field('Verification status', joined(bounded(facts.verification))),
      'Remaining risks/follow-ups:',
      ...list(facts.remaining),
      'Unfreeze scope:',
      ...list(facts.unfreezeScopes.map(scopeName)),
      field('Post-incident review owner', said(facts.reviewOwner)),
      ...about(facts),
    ),
  }),
};

const HEADLINE: Readonly<Record<Template, string>> = { declared: 'Initiated', update: 'In Progress', recovery: 'Complete' };

/** Begins with a word of [004 section 6.1], and says what it means here. */
const CURRENT: Readonly<Record<Facts['status'], string>> = {
  Investigating: 'Investigating. The target of the rollback is not confirmed yet.',
  Identified: 'Investigating. The target is confirmed and is being put in place.',
  Monitoring: 'Monitoring. The target is in place and its checks are answered; the freeze still holds.',
  Resolved: 'Stable. The target is in place and holds.',
};

/** [004 section 6.1] */
function internal(template: Template, facts: Facts): Text {
  const back = facts.targets.filter((one) => one.inPlace).map(target);
  const open = facts.targets.filter((one) => !one.inPlace).map(target);
  const update = facts.nextUpdateAt === null ? [] : [`Next update: ${time(facts.nextUpdateAt)}`];
  const [heading, risks] = template === 'recovery' ? ['Remaining risks/follow-ups:', facts.remaining] : ['Risks:', facts.risks];
  return {
    subject: `INCIDENT: Rollback ${HEADLINE[template]} - ${said(facts.incident)}, ${said(facts.product)} ${said(facts.environment)}`,
    body: lines(
      `Time: ${time(facts.at)}`,
      `Severity: ${said(facts.severity)}`,
      `Impact: ${said(facts.impact)}`,
      `Trigger: ${said(facts.trigger)}`,
      '',
      'Action Taken:',
      `- Rolled back to deployment: ${back.length === 0 ? 'nothing yet' : joined(back)}`,
      ...(open.length === 0 ? [] : [`- Still to go back: ${joined(open)}`]),
      `- Database restored to: ${databases(facts)}`,
      ...bounded(facts.done).map((item) => `- ${item}`),
      '',
      `Current Status: ${CURRENT[facts.status]}`,
      '',
      'Next Steps:',
      ...numbered([...facts.inProgress, ...facts.next, ...update]),
      '',
      heading,
      ...list(risks),
      '',
      `Point of Contact: ${said(facts.contact)}; ${commander(facts)} decides`,
      ...note(facts),
    ),
  };
}

/** "[TIMESTAMP] (if applicable)": a database that was not recovered as a whole has none, and is told in words. */
function databases({ level, databases: all = [] }: Facts): string {
  if (all.length > 0)
    return joined(
      all.map(({ name, asOf, stands }) => (asOf === null ? `${said(name)}: ${said(stands)}` : `${said(name)} as of ${time(asOf)} (${said(stands)})`)),
    );
  return level === 'L1' ? 'not applicable, L1 is code and configuration only' : `${NOT_STATED}, no database is gone back with by a step`;
}

const PUBLIC: Readonly<Record<Facts['status'], string>> = {
  Investigating: 'We have reports of a problem and are looking into them.',
  Identified: 'We know where the problem comes from and are putting it right.',
  Monitoring: 'The service has been put right, and we are keeping watch over it.',
  Resolved: 'The problem is solved. We are sorry for the trouble it caused.',
};

/** [004 section 6.2]. Everybody reads it: beside product, impact and status nothing of what we know is in it. */
const statusPage = ({ at, product, impact, status }: Facts): Text => ({
  subject: `Incident: Service Degradation - ${said(product)}`,
  body: lines(
    `${time(at)} - ${status}`,
    PUBLIC[status],
    field('Impact', said(impact)),
    ...(status === 'Resolved' ? ['Post-mortem: A detailed analysis will be shared within 48 hours.'] : []),
  ),
});

/** Which rollback it is, for whoever hears of it for the first time. */
const about = (facts: Facts): string[] => [field('Incident', `${said(facts.incident)}, environment ${said(facts.environment)}`), ...note(facts)];
const note = ({ notes }: Facts): string[] => (notes === null ? [] : [field('Note', said(notes))]);
const commander = (facts: Facts): string => `${said(facts.commander)} (${roleTitle('incident-commander')})`;

function target({ component, from, to, commit = null, build = null, deployment = null }: Facts['targets'][number]): string {
  const more = [
    ...(commit === null ? [] : [`commit ${said(commit)}`]),
    ...(build === null ? [] : [`build ${said(build)}`]),
    ...(deployment === null ? [] : [`deployment ${said(deployment)}`]),
    `in place of ${from === null ? 'an unknown version' : said(from)}`,
  ];
  return `${said(component)} ${said(to)} (${more.join(', ')})`;
}

const SCOPES: Readonly<Record<string, string>> = {
  merges: 'feature merges',
  claims: 'claims of implementation work',
  promotions: 'environment promotions',
  deployments: 'deployments',
};
const scopeName = (scope: string): string => (Object.hasOwn(SCOPES, scope) ? (SCOPES[scope] ?? scope) : scope);

/** Deployments are restricted, not paused: rollback owners still deploy [001 Freeze Scope 4]. */
function frozen(scopes: readonly string[]): string {
  const paused = scopes.filter((scope) => scope !== 'deployments').map(scopeName);
  const named = paused.length < 2 ? paused.join('') : `${paused.slice(0, -1).join(', ')} and ${paused.at(-1)}`;
  const parts = [...(named === '' ? [] : [`${named} paused`]), ...(scopes.includes('deployments') ? ['deployments restricted to rollback owners'] : [])];
  return parts.length === 0 ? 'none' : parts.join('; ');
}

const lines = (...all: readonly string[]): string => all.join('\n');
/** Ends as a sentence does. */
const field = (label: string, value: string): string => `${label}: ${value}${/[.!?…]$/.test(value) ? '' : '.'}`;
const joined = (items: readonly string[]): string => (items.length === 0 ? NOT_STATED : items.join('; '));
const list = (items: readonly string[]): string[] => (items.length === 0 ? ['- none'] : bounded(items).map((item) => `- ${item}`));
const numbered = (items: readonly string[]): string[] => (items.length === 0 ? ['- none'] : bounded(items).map((item, index) => `${index + 1}. ${item}`));
const said = (value: string | null): string => (value === null ? '' : oneLine(value)) || NOT_STATED;

/** `2026-11-21 03:10 UTC`. Our own times are ISO in UTC; anything else is shown as it is. */
const time = (iso: string | null): string => said(iso).replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(?::\d\d(?:\.\d+)?)?Z$/, '$1 $2 UTC');
