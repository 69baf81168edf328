/** The sections of an incident rollback [001]: who commanded, what stood still, what was compared, cleaned up, accepted and told. */
import { NOT_APPLICABLE } from '../../model/incident.ts';
import { roleTitle } from '../../model/roles.ts';
import type { IncidentReport } from './command.ts';
import type { CleanupItem } from './cleanup.ts';
import { dataBlocks } from './data-sections.ts';
import { code, moment, strong, table, tableIf, tableOr, text, type Block, type Line, type Piece, type Section, type Tone } from './document.ts';
import type { CarrierReport } from './freeze.ts';
import type { SignOff } from './proof.ts';
import type { Report } from './report.ts';

export function incidentSections(report: Report): Section[] {
  const { incidentCommand: command } = report;
  if (!command || report.steps.length === 0) return driftSections(report);
  return [
    { id: 'declaration', title: 'Declaration and roles', blocks: [...declaration(command), ...escalations(command), ...roles(command)] },
    { id: 'freeze', title: 'Freeze', blocks: freeze(command) },
    { id: 'comparison', title: 'Now and then', blocks: comparison(command) },
    ...(command.data ? [{ id: 'data', title: 'Data, evidence and credentials', blocks: dataBlocks(command.data) }] : []),
    { id: 'cleanup', title: 'Mandatory cleanup validation', blocks: cleanup(command) },
    { id: 'risks', title: 'Accepted risks and known baseline blockers', blocks: risks(command) },
    { id: 'unfreeze', title: 'Conditions of the unfreeze', blocks: unfreeze(command) },
    { id: 'communications', title: 'Communications', blocks: communications(command) },
    { id: 'takeovers', title: 'Beside other rollbacks', blocks: takeovers(command) },
    { id: 'void', title: 'Void confirmations', blocks: voided(command) },
    ...driftSections(report),
  ];
}

function declaration({ declaration: one, level, incident, escalations: [first] }: IncidentReport): Block[] {
  if (!one) return [text('Rollback mode was proposed, and not declared.')];
  const rows: Line[][] = [
    ['Declared', [`${moment(one.at)} UTC by `, strong(one.by)]],
    ['Incident', incident ?? 'not named'],
    ['Level', first ? [strong(level), `, grown from ${first.from}`] : level],
    ['Trigger', one.trigger],
    ['Reason', one.reason],
    ...(one.criticalArea === null ? [] : [['Critical area', one.criticalArea]]),
    ...(one.missedWindow === null ? [] : [['Missed window', one.missedWindow]]),
  ];
  return [table(['', ''], rows)];
}

const escalations = ({ escalations: all }: IncidentReport): Block[] =>
  tableIf(
    'How the level grew',
    ['time (UTC)', 'level', 'escalated by', 'why'],
    all.map((one): Line[] => [moment(one.at), [one.from, ' → ', strong(one.to)], one.by, one.reason]),
  );

const KNOWN: Readonly<Record<IncidentReport['roles'][number]['known'], string>> = {
  configured: '',
  acted: 'by what was answered',
  unknown: '',
};

function roles({ roles: all }: IncidentReport): Block[] {
  // The record does not say who was configured: who never answered may have been there all the same.
  const nobody: Piece = all.some((one) => one.known === 'configured') ? { tone: 'warn', text: 'nobody' } : 'not known from the record';
  const rows = all.map(({ title, holders, known, acted }): Line[] => [
    title,
    holders.length === 0 ? nobody : holders.join(', '),
    acted.join(', '),
    KNOWN[known],
  ]);
  const handOvers = all.flatMap(({ title, handOvers: list }) =>
    list.map((one): Line[] => [moment(one.at), title, `${one.from === null ? '' : `${one.from} → `}${one.to}`, one.by, one.reason]),
  );
  return [...tableIf('Roles', ['role', 'held by', 'answered in it', ''], rows), ...tableIf('Hand-overs', ['time (UTC)', 'role', 'to', 'by', 'why'], handOvers)];
}

const CARRIER: Readonly<Record<CarrierReport['state'], readonly [Tone, string]>> = {
  frozen: ['warn', 'frozen'],
  lifted: ['good', 'lifted'],
  'lifted-by-hand': ['bad', 'lifted by hand'],
  failed: ['bad', 'could not be frozen'],
  'left-to-people': ['warn', 'left to people'],
  'not-frozen': ['calm', 'not frozen'],
};

function freeze({ freeze: { environments, exceptions, carriers, inForce } }: IncidentReport): Block[] {
  if (environments.length === 0) return [text('Nothing was frozen.')];
  const rows = environments.map((one): Line[] => {
    const lifts = [...new Set(one.lifted.map(({ at, by }) => `${moment(at)} by ${by}`))];
    const scopesOf = (lift: string): string => one.lifted.flatMap(({ scope, at, by }) => (`${moment(at)} by ${by}` === lift ? [scope] : [])).join(', ');
    return [
      one.environment,
      one.scopes.join(', '),
      `${one.frozenAt === null ? 'by an earlier rollback of the incident' : moment(one.frozenAt)}${one.by === null ? '' : `, ${one.by}`}`,
      lifts.map((lift) => `${scopesOf(lift)}: ${lift}`).join('; '),
      one.inForce.length === 0 ? { tone: 'good', text: 'nothing' } : { tone: 'warn', text: one.inForce.join(', ') },
    ];
  });
  const allowed = [
    ...(exceptions.roles.length === 0 ? [] : [`deploy: ${exceptions.roles.map(roleTitle).join(', ')}`]),
    ...(exceptions.items.length === 0 ? [] : [`claim: work items of kind ${exceptions.items.join(', ')}`]),
  ];
  return [
    table(['environment', 'what', 'frozen (UTC)', 'lifted (UTC)', 'still frozen'], rows),
    ...(inForce.length === 0 ? [] : [text([strong(`Still frozen: ${inForce.join(', ')}.`)])]),
    ...(allowed.length === 0 ? [] : [text(`Let through meanwhile: ${allowed.join('; ')}.`)]),
    ...tableIf(
      'Platforms that held it too',
      ['platform', 'state', 'time (UTC)', 'detail'],
      carriers.map(({ carrier, state, at, detail }): Line[] => [carrier, toned(CARRIER[state]), at === null ? '' : moment(at), detail ?? '']),
    ),
  ];
}

const toned = ([tone, words]: readonly [Tone, string]): Piece => ({ tone, text: words });

function comparison({ comparison: all }: IncidentReport): Block[] {
  const rows = all.flatMap(({ component, rows: own }) =>
    own.map(({ what, now, then }, index): Line[] => [
      index === 0 ? strong(component) : '',
      what,
      now ?? '–',
      then === null ? '–' : now === then ? then : strong(then),
    ]),
  );
  return [tableOr('No plan was made.', ['component', 'what', 'now (before the rollback)', 'then (gone back to)'], rows)];
}

function cleanup({ cleanup: rows, ownership }: IncidentReport): Block[] {
  const answered = rows.map((row): Line[] => [
    `${row.title}: ${row.actions.join(', ')}`,
    row.answer === null ? { tone: 'bad', text: 'not answered' } : row.answer,
    row.by === null ? roleTitle(row.owner) : `${row.by}, ${row.at === null ? '' : moment(row.at)}`,
    [
      ...row.evidence.flatMap((one) => (one.text === null && !one.produced && row.answer === NOT_APPLICABLE ? [] : [`${one.item}: ${itemWords(one)}`])),
      ...(row.note === null ? [] : [`note: ${row.note}`]),
    ].join('; '),
  ]);
  const owner = ownership
    ? `Ownership is re-established by ${ownership.by}: ${ownership.nextCycleOwner ?? 'nobody named'} owns the next cycle, ${ownership.reviewOwner ?? 'nobody named'} the post-incident review.`
    : 'Ownership for the next cycle is not re-established.';
  return [table(['area and actions', 'answer', 'by', 'evidence'], answered), text(owner)];
}

/** What a person gave, and what the steps themselves have produced. */
function itemWords({ text: given, produced = [] }: CleanupItem): string {
  // A state and what it left in the same word say it once.
  const made = produced.map(({ step, state, what }) => (what === state ? `${step} ${what}` : `${step} ${state}, ${what}`)).join('; ');
  if (made === '') return given ?? 'not given';
  return `${given === null ? '' : `${given}; `}produced by ${made}`;
}

function risks({ acceptedRisks, baselineBlockers }: IncidentReport): Block[] {
  const signedBy = (one: SignOff): string => `${one.by} (${one.proof}), ${moment(one.at)}`;
  if (acceptedRisks.length + baselineBlockers.length === 0) return [text('No risk was accepted, and no baseline blocker was captured.')];
  return [
    ...tableIf(
      'Accepted risks',
      ['what', 'signed by', 'due', 'why'],
      acceptedRisks.map((one): Line[] => [[code(one.step), ' ', one.title], signedBy(one), one.due ?? 'not stated', one.reason]),
    ),
    ...tableIf(
      'Known baseline blockers',
      ['what', 'captured by', 'tracked at', 'proof that it failed before', 'why'],
      baselineBlockers.map((one): Line[] => [
        [code(one.step), ' ', one.title],
        signedBy(one),
        one.link ?? 'not given',
        one.failedBefore ?? 'not given',
        one.reason,
      ]),
    ),
  ];
}

function unfreeze({ unfreeze: { conditions, confirmed } }: IncidentReport): Block[] {
  const rows = conditions.map(({ condition, met, by }): Line[] => [condition, met ? { tone: 'good', text: '✔ met' } : { tone: 'warn', text: '· not met' }, by]);
  const said = confirmed.map(
    ({ by, at, scopes }) => `${by} confirmed the unfreeze of ${scopes === null ? 'everything' : scopes.join(', ')} at ${moment(at)} UTC.`,
  );
  return [table(['condition', '', 'by what'], rows), ...(said.length === 0 ? [text('The unfreeze was not confirmed.')] : said.map(text))];
}

function communications({ communications: all }: IncidentReport): Block[] {
  const rows = all.map(({ template, at, subject, sent, problem, byHand }): Line[] => [
    moment(at),
    template,
    subject ?? (byHand ? 'told by hand' : ''),
    byHand
      ? `by ${byHand.by}${byHand.evidence.length === 0 ? '' : `: ${byHand.evidence.join('; ')}`}`
      : Object.entries(sent)
          .map(([audience, count]) => `${audience}: ${count.endsWith(' of 0') ? 'no channel' : count}`)
          .join(', '),
    problem === null ? '' : { tone: 'bad', text: problem },
  ]);
  return [tableOr('Nobody was told anything.', ['time (UTC)', 'template', 'subject', 'channels that took it', ''], rows)];
}

const takeovers = ({ takeovers: all }: IncidentReport): Block[] =>
  all.length === 0
    ? []
    : [
        table(
          ['time (UTC)', 'who', 'choice', 'from', 'components'],
          all.map((one): Line[] => [moment(one.at), one.by, one.choice, one.from === null ? '' : code(one.from), one.components.join(', ')]),
        ),
      ];

const voided = ({ voided: all }: IncidentReport): Block[] =>
  all.length === 0
    ? []
    : [
        text('What was confirmed here counts for nothing any more: reality had moved, or the level had grown. It was asked again.'),
        table(
          ['void since (UTC)', 'step', 'confirmed by', 'plan', 'why'],
          all.map((one): Line[] => [
            moment(one.at),
            code(one.step),
            `${one.by ?? 'nobody'}${one.confirmedAt === null ? '' : `, ${moment(one.confirmedAt)}`}`,
            one.plan === null ? '' : code(one.plan),
            one.why,
          ]),
        ),
      ];

const driftSections = ({ drift }: Report): Section[] =>
  drift.length === 0
    ? []
    : [
        {
          id: 'drift',
          title: 'Drift',
          blocks: [
            table(
              ['time (UTC)', 'what', 'where', 'detail'],
              drift.map((one): Line[] => [moment(one.at), DRIFT[one.what], one.subject ?? '', one.detail]),
            ),
          ],
        },
      ];
const DRIFT = { component: 'a component left its target', freeze: 'the freeze was lifted by hand', health: 'it got worse after the end' } as const;
